//! Whether calibration keeps what is promised of it: `make bench-calibration`.
//!
//! Simulated logits whose right probabilities are known (tests/support/logits.rs)
//! go through the very code that a stream's session runs: predict first, then
//! learn. Every figure is checked against its bound; one that is missed ends the
//! program with exit code 1. The plots of docs/calibration.md are written on the way.

mod conformal;
mod cost;
mod drift;
#[path = "../../tests/support/logits.rs"]
mod logits;
mod multi_label;
mod online;
mod plot;
mod score;

use std::error::Error;
use std::process::ExitCode;
use std::time::Instant;

/// Figures with their bounds, as they are found.
#[derive(Default)]
pub struct Report {
    missed: Vec<String>,
    checked: usize,
}

impl Report {
    /// A part of the report.
    pub fn part(&mut self, title: &str) {
        println!("\n{title}");
        println!("{}", "-".repeat(title.chars().count()));
    }

    /// A figure that may not be above `most`.
    pub fn most(&mut self, what: &str, found: f64, most: f64) {
        // What is not a number is missed, too.
        self.bound(what, found, &format!("at most {most}"), found <= most);
    }

    /// A figure that may not be below `least`.
    pub fn least(&mut self, what: &str, found: f64, least: f64) {
        self.bound(what, found, &format!("at least {least}"), found >= least);
    }

    /// A figure that is only told.
    pub fn told(&mut self, what: &str, found: &str) {
        println!("  {what:<78} {found:>9}");
    }

    fn bound(&mut self, what: &str, found: f64, bound: &str, kept: bool) {
        self.checked += 1;
        let verdict = if kept { "ok" } else { "MISSED" };
        println!("  {what:<78} {found:>9.4}   {bound:<16} {verdict}");
        if !kept {
            self.missed.push(format!("{what}: {found:.4}, {bound}"));
        }
    }
}

/// The first seed: far from those by which constants were chosen and those of the
/// tests, so that the figures say how it does on what it has not seen.
const FIRST: u64 = 3001;

/// That, or what `KINEWATCH_SEED` says.
pub fn first() -> u64 {
    std::env::var("KINEWATCH_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(FIRST)
}

/// So many seeds from the first on, in words.
pub fn named(seeds: u64) -> String {
    format!("seeds {} to {}", first(), first() + seeds - 1)
}

/// The results of `work(first())` and so many seeds on, in that order, over the
/// machine's cores.
pub fn seeds<T: Send>(seeds: u64, work: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let work = &work;
    let share = |core: u64| {
        move || (first()..first() + seeds).filter(|s| s % cores == core).map(work).collect()
    };
    let mut shares: Vec<std::vec::IntoIter<T>> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..cores).map(|core| scope.spawn::<_, Vec<T>>(share(core))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("a seed's work").into_iter())
            .collect()
    });
    (first()..first() + seeds).filter_map(|seed| shares[(seed % cores) as usize].next()).collect()
}

/// Checks one kind of figure.
type Part = fn(&mut Report) -> Result<(), Box<dyn Error>>;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    // `cargo bench -- NAME…` runs only these parts.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let mut report = Report::default();
    let parts: [(&str, Part); 5] = [
        ("online", online::run),
        ("multi-label", multi_label::run),
        ("conformal", conformal::run),
        ("drift", drift::run),
        ("cost", cost::run),
    ];
    for (name, run) in parts {
        if wanted.is_empty() || wanted.iter().any(|w| w == name) {
            let begun = Instant::now();
            run(&mut report)?;
            eprintln!("({name}: {:.0} s)", begun.elapsed().as_secs_f64());
        }
    }
    println!("\n{} figures checked, {} missed", report.checked, report.missed.len());
    report.missed.iter().for_each(|missed| println!("  MISSED {missed}"));
    Ok(if report.missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
