//! Frames are resized and normalised as PyTorchVideo and torchvision do it: see
//! tests/golden/preprocess.py, which made the pictures and the expected tensors.

use std::path::Path;

use kinewatch::clip::{InputSpec, Layout, Preprocess, Resize};
use kinewatch::video::{Colour, Frame};

#[path = "support/npy.rs"]
mod npy;
use npy::Npy;

#[derive(serde::Deserialize)]
struct Case {
    frame: String,
    expected: String,
    resize: Resize,
    antialias: bool,
    size: [usize; 2],
    colour: Colour,
    mean: Vec<f32>,
    std: Vec<f32>,
}

/// Of normalised values. One step of an 8-bit pixel is 1 / (255 × 0.225) =
/// 0.0174 here; what is left between two implementations that both compute in
/// f32 is rounding.
const TOLERANCE: f32 = 2e-5;

#[test]
fn agrees_with_pytorchvideo_and_torchvision() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/preprocess");
    let index = std::fs::read_to_string(folder.join("index.json")).unwrap();
    let cases: Vec<Case> = serde_json::from_str(&index).unwrap();
    assert!(cases.len() >= 24);
    let mut largest = 0.0f32;
    for case in cases {
        let picture = Npy::read(&folder.join(&case.frame));
        assert_eq!(picture.descr, "|u1");
        let [height, width, channels] = picture.shape[..] else { panic!("{:?}", picture.shape) };
        assert_eq!(channels, case.colour.channels());
        let frame = Frame { data: picture.bytes, width, height, ..Frame::new(case.colour) };
        let spec = InputSpec {
            layout: Layout::NCTHW,
            frames: 1,
            rate: 1.0,
            size: case.size,
            resize: case.resize,
            antialias: case.antialias,
            colour: case.colour,
            mean: case.mean,
            std: case.std,
        };
        let mut out = vec![f32::NAN; spec.frame_len()];
        Preprocess::new(&spec).unwrap().run(&frame, &mut out).unwrap();
        let expected = Npy::f32(&folder.join(&case.expected));
        assert_eq!(out.len(), expected.len(), "{}", case.expected);
        let difference = out.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        println!("{:<40} {difference:.2e}", case.expected);
        assert!(difference <= TOLERANCE, "{}: {difference}", case.expected);
        largest = largest.max(difference);
    }
    println!("largest difference of a normalised value: {largest:.2e}");
}
