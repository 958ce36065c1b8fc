//! The plots of docs/calibration.md.

use std::error::Error;
use std::fs;
use std::path::Path;

use kinewatch::report::chart::{Line, Svg};

/// A curve; `hue` and `dash` as in [`Line`].
pub fn line(name: &str, hue: usize, dash: usize, points: Vec<(f64, f64)>) -> Line {
    Line { name: name.to_owned(), points, hue, dash, thin: false }
}

/// Writes docs/NAME.svg.
pub fn write(name: &str, svg: &Svg) -> Result<(), Box<dyn Error>> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    fs::write(docs.join(format!("{name}.svg")), svg.file(1.0))?;
    Ok(())
}

/// The mean of curves over the same x.
pub fn mean(curves: &[Vec<(f64, f64)>]) -> Vec<(f64, f64)> {
    let Some(first) = curves.first() else { return Vec::new() };
    let mean =
        |at: usize| curves.iter().map(|curve| curve[at].1).sum::<f64>() / curves.len() as f64;
    first.iter().enumerate().map(|(at, &(x, _))| (x, mean(at))).collect()
}
