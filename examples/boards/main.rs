//! Computes the tables of docs/boards.md from docs/boards.toml and writes them into it.
//!
//! ```text
//! cargo run --release --example boards
//! ```
//!
//! What it computes, and on what grounds, is said in that page.

use std::path::Path;

use kinewatch::error::{Error, Result};

mod estimate;

fn main() {
    if let Err(error) = run() {
        eprintln!("{error}");
        std::process::exit(error.exit_code().into());
    }
}

fn run() -> Result<()> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let data = estimate::Data::read(&docs.join("boards.toml"))?;
    let page = docs.join("boards.md");
    let doing = format!("writing {}", page.display());
    let text = std::fs::read_to_string(&page).map_err(|error| Error::unavailable(&doing, error))?;
    std::fs::write(&page, estimate::renew(&text, &data)?)
        .map_err(|error| Error::unavailable(&doing, error))
}
