//! How far a run is, for a person: bars on a terminal, else a line of the log
//! for each video.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::Tally;
use super::job::Done;
use super::watch::Watch;
use crate::error::Result;

/// How often the bars are brought up to date.
const TICK: Duration = Duration::from_millis(100);

/// What is shown of a run.
pub struct Progress {
    bars: Option<MultiProgress>,
    total: AtomicUsize,
    figures: Mutex<Figures>,
    shown: Arc<Mutex<Shown>>,
    over: Arc<AtomicBool>,
    painter: Mutex<Option<JoinHandle<()>>>,
}

struct Figures {
    begun: Instant,
    done: usize,
    failed: usize,
    seconds: f64,
    tally: Tally,
}

/// The bars on the terminal.
#[derive(Default)]
struct Shown {
    total: Option<ProgressBar>,
    videos: Vec<(ProgressBar, Watch)>,
}

impl Progress {
    /// Bars on `bars`, or lines in the log.
    pub fn new(bars: Option<MultiProgress>) -> Self {
        Progress {
            bars,
            total: AtomicUsize::new(0),
            figures: Mutex::new(Figures {
                begun: Instant::now(),
                done: 0,
                failed: 0,
                seconds: 0.0,
                tally: Tally::default(),
            }),
            shown: Arc::default(),
            over: Arc::default(),
            painter: Mutex::new(None),
        }
    }

    /// A run of `total` videos begins, `kept` of which are done already.
    pub(super) fn begin(&self, total: usize, kept: usize) {
        self.total.store(total, Ordering::Relaxed);
        let mut figures = self.figures.lock().unwrap_or_else(PoisonError::into_inner);
        (figures.begun, figures.done) = (Instant::now(), kept);
        if kept > 0 {
            log::info!("{kept} of {total} videos are done already");
        }
        let Some(bars) = &self.bars else { return };
        let bar = bars.add(ProgressBar::new(total as u64).with_style(style(
            "{pos}/{len} videos {wide_bar:.green/dim} {elapsed_precise} (eta {eta}) {msg}",
        )));
        bar.set_position(kept as u64);
        bar.reset_eta();
        lock(&self.shown).total = Some(bar);
        let (shown, over) = (self.shown.clone(), self.over.clone());
        let paint = move || {
            while !over.load(Ordering::Acquire) {
                lock(&shown).paint();
                std::thread::sleep(TICK);
            }
        };
        // Without it the bars move only when a video ends.
        let painter = std::thread::Builder::new().name("progress".into()).spawn(paint);
        *self.painter.lock().unwrap_or_else(PoisonError::into_inner) = painter.ok();
    }

    /// A video begins.
    pub(super) fn video(&self, id: &str, watch: &Watch) -> Option<ProgressBar> {
        let bars = self.bars.as_ref()?;
        let mut shown = lock(&self.shown);
        let bar = ProgressBar::new(0)
            .with_style(style("  {wide_msg} {bar:24.cyan/dim} {prefix:>16}"))
            .with_message(id.to_owned());
        let bar = match &shown.total {
            Some(total) => bars.insert_before(total, bar),
            None => bars.add(bar),
        };
        shown.videos.push((bar.clone(), watch.clone()));
        Some(bar)
    }

    /// A video ended.
    pub(super) fn done(&self, bar: Option<ProgressBar>, id: &str, done: &Result<Done>) {
        let mut figures = self.figures.lock().unwrap_or_else(PoisonError::into_inner);
        let total = self.total.load(Ordering::Relaxed);
        match done {
            Ok(Done::Well { seconds, clips, tally }) => {
                figures.done += 1;
                figures.seconds += seconds;
                figures.tally = figures.tally.and(*tally);
                if self.bars.is_none() {
                    log::info!(
                        "[{}/{total}] {id}: {seconds:.1} s, {clips} clips; {}",
                        figures.done,
                        figures.text()
                    );
                }
            }
            Ok(Done::Failed(error)) => {
                figures.done += 1;
                figures.failed += 1;
                log::warn!("[{}/{total}] {id} failed: {error}", figures.done);
            }
            Ok(Done::Stopped) | Err(_) => {}
        }
        let Some(bar) = bar else { return };
        bar.finish_and_clear();
        if let Some(bars) = &self.bars {
            bars.remove(&bar);
        }
        let mut shown = lock(&self.shown);
        shown.videos.retain(|(bar, _)| !bar.is_finished());
        if let Some(total) = &shown.total {
            total.set_position(figures.done as u64);
            total.set_message(figures.text());
        }
    }

    /// The run is over: nothing more is shown.
    pub(super) fn end(&self) {
        self.over.store(true, Ordering::Release);
        let painter = self.painter.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(painter) = painter {
            let _ = painter.join();
        }
        if let Some(total) = lock(&self.shown).total.take() {
            total.finish_and_clear();
        }
        let figures = self.figures.lock().unwrap_or_else(PoisonError::into_inner);
        if figures.seconds > 0.0 {
            log::info!(
                "{:.1} s of video in {:.1} s; {}",
                figures.seconds,
                figures.begun.elapsed().as_secs_f64(),
                figures.text()
            );
        }
    }
}

impl Figures {
    fn text(&self) -> String {
        let wall = self.begun.elapsed().as_secs_f64();
        let mut text = match wall > 0.0 && self.seconds > 0.0 {
            true => format!("{:.1} × real time", self.seconds / wall),
            false => "not timed yet".to_owned(),
        };
        if let Some(top1) = self.tally.top1() {
            text += &format!(", clip top-1 so far {top1:.3}");
        }
        if self.failed > 0 {
            text += &format!(", {} failed", self.failed);
        }
        text
    }
}

impl Shown {
    fn paint(&self) {
        for (bar, watch) in &self.videos {
            let (reach, length) = (watch.reach().as_secs_f64(), watch.length().as_secs_f64());
            // In milliseconds: a bar counts in whole numbers.
            bar.set_length((length.max(reach) * 1e3) as u64);
            bar.set_position((reach * 1e3) as u64);
            bar.set_prefix(if length > 0.0 {
                format!("{reach:.1}/{length:.1} s")
            } else {
                format!("{reach:.1} s")
            });
        }
        if let Some(total) = &self.total {
            total.tick();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A template of ours, or indicatif's own where it does not parse; the test
/// below sees to it that it does.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests {
    use indicatif::ProgressDrawTarget;

    use super::*;

    #[test]
    fn bars_come_and_go_and_the_figures_add_up() {
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::hidden());
        let progress = Progress::new(Some(bars));
        progress.begin(3, 1);
        let watch = Watch::default();
        let bar = progress.video("a.mp4", &watch);
        watch.set_length(Duration::from_secs(4));
        watch.set_reach(Duration::from_secs(1));
        lock(&progress.shown).paint();
        assert_eq!(bar.as_ref().map(|bar| bar.position()), Some(1000));
        let tally = Tally { right: 1, scored: 2 };
        progress.done(bar, "a.mp4", &Ok(Done::Well { seconds: 4.0, clips: 2, tally }));
        assert!(lock(&progress.shown).videos.is_empty());
        let text = lock(&progress.figures).text();
        assert!(text.contains("top-1 so far 0.500") && text.contains("real time"), "{text}");
        progress.end();
    }
}
