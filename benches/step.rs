//! What one sampled frame costs on one core: `make bench`.
//!
//! Each part is run a few hundred times; the median stands, because other work
//! on the machine makes single runs slower, never faster.

use std::error::Error;
use std::time::Instant;

use kinewatch::clip::Preprocess;
use kinewatch::model::{Bundle, Mode, Model};
use kinewatch::video::{Colour, Frame};

const ROUNDS: usize = 300;

fn main() -> Result<(), Box<dyn Error>> {
    let bundle = Bundle::embedded()?;
    let input = bundle.input().clone();
    for (width, height) in [(640, 360), (1920, 1080)] {
        let mut frame = Frame::new(Colour::Gray);
        (frame.width, frame.height) = (width, height);
        frame.data = (0..width * height).map(|i| (i * 7919 % 251) as u8).collect();
        let mut preprocess = Preprocess::new(&input)?;
        let mut out = vec![0.0; input.frame_len()];
        let cost = median(|| Ok(preprocess.run(&frame, &mut out)?))?;
        println!("preprocess, {width}x{height} luma to the model's size: {cost:.3} ms");
    }
    let mut seed = 1u32;
    let mut noise = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    let frame: Vec<f32> = (0..input.frame_len()).map(|_| noise()).collect();
    for mode in [Mode::Stateful, Mode::Window] {
        let model = Model::load(Bundle::embedded()?, Some(mode), 1)?;
        let mut classifier = model.classifier()?;
        for _ in 0..classifier.warm_up() {
            classifier.push(&frame, false)?;
        }
        let cost = median(|| match classifier.push(&frame, true)? {
            Some(_) => Ok(()),
            None => Err("the model gave no logits".into()),
        })?;
        println!("{} {mode}, one prediction: {cost:.3} ms", bundle.name());
    }
    Ok(())
}

/// Median wall-clock time of a call, milliseconds.
fn median(mut call: impl FnMut() -> Result<(), Box<dyn Error>>) -> Result<f64, Box<dyn Error>> {
    let mut times = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let start = Instant::now();
        call()?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[ROUNDS / 2])
}
