//! Measures what this machine can do at most: multiply-adds a second in registers,
//! and bytes read a second from each level of memory. `make bench-peers` puts it
//! beside what the runtimes reach.
//!
//! ```text
//! cargo run --release --example roofline -- [THREADS]
//! ```
//!
//! One line of JSON. Each figure is near the best of many tries of a thousandth of a
//! second: other work on the machine makes a try slower, never faster, and is seldom
//! long enough to touch most of them.

use std::hint::black_box;
use std::time::Instant;

use kinewatch::error::{Error, Result};
use kinewatch::model::kernels::{Isa, multiply_adds, read_sum};

/// Tries of each figure.
const TRIES: usize = 500;
/// Which of them counts, by rank: the very best may be a clock's slip, and on several
/// threads one may profit from the others' being stopped.
const RANK: usize = TRIES * 9 / 10;
/// How long a try takes at least, in seconds.
const TRY: f64 = 0.001;
/// The most bytes of a try.
const PART: usize = 4 << 20;
/// Bytes that each thread reads again and again: they fit into a first-level cache, a
/// second-level cache, a share of a last-level cache, and none.
const SIZES: [usize; 4] = [16 << 10, 512 << 10, 16 << 20, 1 << 30];

fn main() {
    if let Err(error) = run() {
        eprintln!("{error}");
        std::process::exit(error.exit_code().into());
    }
}

fn run() -> Result<()> {
    let threads = match std::env::args().nth(1) {
        None => 1,
        Some(count) => count.parse().map_err(|error| Error::config("reading THREADS", error))?,
    };
    let peaks: Vec<_> = Isa::all()
        .into_iter()
        .map(|isa| {
            let rate =
                on(threads, |_| usual_best(|repeat| multiply_adds(isa, 4096 * repeat).1 as f64));
            serde_json::json!({ "instructions": isa.name(), "gflops": rate / 1e9 })
        })
        .collect();
    let isa = Isa::best();
    let reads: Vec<_> = SIZES
        .into_iter()
        .map(|bytes| {
            let rate = on(threads, |thread| {
                // Written before they are read: pages that were never touched are one
                // and the same page of zeros.
                let values = vec![1.0 + thread as f32; bytes / 4];
                let mut parts = values.chunks(PART.min(bytes) / 4).cycle();
                usual_best(|repeat| {
                    let mut read = 0;
                    for part in parts.by_ref().take(repeat) {
                        black_box(read_sum(isa, black_box(part)));
                        read += 4 * part.len();
                    }
                    read as f64
                })
            });
            serde_json::json!({ "bytes": bytes, "gb_per_s": rate / 1e9 })
        })
        .collect();
    println!("{}", serde_json::json!({ "threads": threads, "peaks": peaks, "reads": reads }));
    Ok(())
}

/// Runs `measure` on `threads` threads at once and adds up what they give.
fn on(threads: usize, measure: impl Fn(usize) -> f64 + Sync) -> f64 {
    let measure = &measure;
    std::thread::scope(|scope| {
        let running: Vec<_> =
            (0..threads).map(|thread| scope.spawn(move || measure(thread))).collect();
        running.into_iter().filter_map(|thread| thread.join().ok()).sum()
    })
}

/// The work a second that nine tries in ten stay below; `work` does some so many times
/// over, and says how much.
fn usual_best(mut work: impl FnMut(usize) -> f64) -> f64 {
    let mut timed = |repeat: usize| {
        let began = Instant::now();
        let done = black_box(work(repeat));
        (done, began.elapsed().as_secs_f64())
    };
    let mut repeat = 1;
    while timed(repeat).1 < TRY {
        repeat *= 2;
    }
    let mut rates: Vec<f64> =
        (0..TRIES).map(|_| timed(repeat)).map(|(done, took)| done / took).collect();
    rates.sort_by(f64::total_cmp);
    rates.get(RANK).copied().unwrap_or_default()
}
