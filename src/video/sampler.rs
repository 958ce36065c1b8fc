//! The sampler: which decoded frames stand for which ticks of the time grid.
//!
//! Tick k lies at t0 + k / rate, where t0 is the first PTS after a reset, and
//! takes the frame whose PTS is nearest to it (of two equally near, the
//! earlier). Everything is computed in whole nanoseconds from k, so that
//! nothing drifts and the same PTS give the same ticks at any playing speed.

use std::time::Duration;

use crate::error::{Error, Result};
use crate::video::Reset;

/// A tick whose frame is decided.
#[derive(Debug, PartialEq, Eq)]
pub struct Tick<'a, T> {
    /// The tick's own time on the grid, in nanoseconds.
    pub time: u64,
    /// PTS of the frame that is nearest to it, in nanoseconds.
    pub pts: u64,
    /// Why the grid began here; `None` on every tick but a grid's first.
    pub reset: Option<Reset>,
    /// That frame. The same frame is given again when the source is slower
    /// than the rate.
    pub item: &'a T,
}

struct Held<T> {
    pts: u64,
    item: T,
}

/// Where the ticks lie, counted from the first frame.
enum Grid {
    /// Ticks a second, in 10⁻⁹ ticks: a rational, so that ticks are exact.
    Rate { nano_rate: u128 },
    /// These, in nanoseconds and ascending.
    Chosen(Vec<u64>),
}

/// Picks frames for a time grid. Holds two frames at most.
///
/// ```
/// use kinewatch::video::Sampler;
/// let mut sampler = Sampler::new(2.0, std::time::Duration::from_secs(1)).unwrap();
/// let mut times = Vec::new();
/// for (pts, name) in [(0, 'a'), (200, 'b'), (400, 'c'), (600, 'd')] {
///     sampler.push(Some(pts * 1_000_000), None, name);
///     while let Some(tick) = sampler.poll() {
///         times.push((tick.time / 1_000_000, *tick.item));
///     }
/// }
/// assert_eq!(times, [(0, 'a'), (500, 'c')]);
/// ```
pub struct Sampler<T> {
    grid: Grid,
    max_gap: u64,
    /// Time of tick 0; `None` before the first frame.
    origin: Option<u64>,
    /// The next tick that is not yet decided.
    next: u64,
    /// The newest frame that is not later than the next tick, or the last one.
    held: Option<Held<T>>,
    /// The frame just pushed, while it still decides ticks.
    incoming: Option<Held<T>>,
    /// The time between the last two frames.
    period: Option<u64>,
    /// Duration of the last frame, for one that comes without PTS.
    duration: Option<u64>,
    reset: Option<Reset>,
    /// Set when the frame in `incoming` begins a new grid.
    break_before: Option<Reset>,
    ended: bool,
}

impl<T> Sampler<T> {
    /// `rate` in ticks a second; `max_gap` is the longest forward step of PTS
    /// that is still the same clip.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config) unless 0.001 ≤ rate ≤ 1000
    /// and `max_gap` is more than zero.
    pub fn new(rate: f64, max_gap: Duration) -> Result<Self> {
        if !(0.001..=1000.0).contains(&rate) {
            return Err(Error::config(
                "setting up the sampler",
                format!("a rate of {rate} frames a second is out of range"),
            )
            .remedy("set a rate between 0.001 and 1000 frames a second"));
        }
        if max_gap.is_zero() {
            return Err(Error::config(
                "setting up the sampler",
                "max_gap is zero: every frame would begin a new clip",
            )
            .remedy("set max_gap to more than the time between two frames, \"1 s\" for example"));
        }
        Ok(Sampler::on(Grid::Rate { nano_rate: (rate * 1e9).round() as u128 }, nanos(max_gap)))
    }

    /// Ticks at `times` after the first frame, in ascending order, instead of at
    /// a rate: for clips that are cut out of a recording. Gaps begin nothing
    /// anew, and a frame that lies before the one before it is left out. Past
    /// the last frame that frame is given for every tick that is left.
    pub fn at(mut times: Vec<Duration>) -> Self {
        times.sort();
        Sampler::on(Grid::Chosen(times.into_iter().map(nanos).collect()), u64::MAX)
    }

    fn on(grid: Grid, max_gap: u64) -> Self {
        Sampler {
            grid,
            max_gap,
            origin: None,
            next: 0,
            held: None,
            incoming: None,
            period: None,
            duration: None,
            reset: Some(Reset::Start),
            break_before: None,
            ended: false,
        }
    }

    /// Whether no tick will follow, whatever is pushed.
    pub fn is_exhausted(&self) -> bool {
        self.tick_time(self.next).is_none()
    }

    /// Whether the frames so far decide no tick that was not polled.
    pub(crate) fn is_settled(&self) -> bool {
        self.incoming.is_none() && !self.ended
    }

    /// How far the frames so far reach: to the end of the newest one, in
    /// nanoseconds.
    pub fn reach(&self) -> Option<u64> {
        let newest = self.incoming.as_ref().or(self.held.as_ref())?.pts;
        Some(newest.saturating_add(self.duration.or(self.period).unwrap_or(0)))
    }

    /// Takes the next decoded frame, in the order of decoding; PTS and duration
    /// in nanoseconds. Call [`poll`](Self::poll) until it gives `None` before
    /// the next push: ticks that were not polled are lost.
    ///
    /// A frame without PTS is put one duration (else one frame period) after
    /// the one before it. Returns false when that is not known either, or when
    /// the PTS is exactly that of the frame before; the frame is then unused.
    pub fn push(&mut self, pts: Option<u64>, duration: Option<u64>, item: T) -> bool {
        while self.poll().is_some() {}
        let previous = self.held.as_ref().map(|held| held.pts);
        let Some(pts) = pts.or_else(|| previous?.checked_add(self.duration.or(self.period)?))
        else {
            return false;
        };
        match previous {
            Some(previous) if pts == previous => return false,
            Some(previous) if pts < previous && matches!(self.grid, Grid::Chosen(_)) => {
                return false;
            }
            Some(previous) if pts < previous => self.break_before = Some(Reset::Backwards),
            Some(previous) if pts - previous > self.max_gap => self.break_before = Some(Reset::Gap),
            Some(previous) => self.period = Some(pts - previous),
            None => {}
        }
        if self.break_before.is_none() {
            // Before a break, the last frame's own duration still says how far
            // it reaches. Never over what would be a gap: a damaged file may claim
            // centuries.
            self.duration = duration.filter(|d| *d > 0).map(|d| d.min(self.max_gap));
        }
        self.origin.get_or_insert(pts);
        self.incoming = Some(Held { pts, item });
        true
    }

    /// Says that no frame will follow: [`poll`](Self::poll) then gives the
    /// ticks that lie within half a frame period after the last frame.
    pub fn finish(&mut self) {
        self.ended = true;
    }

    /// The next tick that is decided, if there is one.
    pub fn poll(&mut self) -> Option<Tick<'_, T>> {
        if self.incoming.is_some() {
            if self.break_before.is_some() {
                if let Some(time) = self.tail_tick() {
                    return self.emit_held(time);
                }
                self.begin_again();
            }
            let pts = self.incoming.as_ref()?.pts;
            if let Some(time) = self.tick_time(self.next).filter(|time| pts >= *time) {
                let earlier_is_nearer =
                    self.held.as_ref().is_some_and(|held| time.abs_diff(held.pts) <= pts - time);
                if earlier_is_nearer {
                    return self.emit_held(time);
                }
                self.next += 1;
                let reset = self.reset.take();
                return self.incoming.as_ref().map(|frame| Tick {
                    time,
                    pts,
                    reset,
                    item: &frame.item,
                });
            }
            self.held = self.incoming.take();
        }
        if self.ended {
            let time = self.tail_tick()?;
            return self.emit_held(time);
        }
        None
    }

    /// Forgets everything, as before the first frame; the next tick carries
    /// `reset`.
    pub fn restart(&mut self, reset: Reset) {
        self.origin = None;
        self.next = 0;
        self.held = None;
        self.incoming = None;
        self.period = None;
        self.duration = None;
        self.reset = Some(reset);
        self.break_before = None;
        self.ended = false;
    }

    /// `None` where there is no such tick.
    fn tick_time(&self, k: u64) -> Option<u64> {
        let since = match &self.grid {
            Grid::Rate { nano_rate } => {
                let since = (u128::from(k) * 1_000_000_000_000_000_000 + nano_rate / 2) / nano_rate;
                u64::try_from(since).unwrap_or(u64::MAX)
            }
            Grid::Chosen(times) => *times.get(usize::try_from(k).ok()?)?,
        };
        Some(self.origin.unwrap_or(0).saturating_add(since))
    }

    /// The next tick, if it lies within half a frame period after the held
    /// frame, which nothing follows. Of chosen ticks, each that is left.
    fn tail_tick(&self) -> Option<u64> {
        let held = self.held.as_ref()?;
        let reach = self.period.or(self.duration).unwrap_or(0) / 2;
        let time = self.tick_time(self.next)?;
        let near = time <= held.pts.saturating_add(reach);
        (near || matches!(self.grid, Grid::Chosen(_))).then_some(time)
    }

    fn emit_held(&mut self, time: u64) -> Option<Tick<'_, T>> {
        self.next += 1;
        let reset = self.reset.take();
        self.held.as_ref().map(|frame| Tick { time, pts: frame.pts, reset, item: &frame.item })
    }

    fn begin_again(&mut self) {
        self.reset = self.break_before.take();
        self.held = None;
        self.period = None;
        self.origin = self.incoming.as_ref().map(|frame| frame.pts);
        self.next = 0;
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::{Rng, SeedableRng};

    use super::*;

    const MS: u64 = 1_000_000;

    /// (tick time, PTS, reset) of every tick for these PTS.
    fn run(rate: f64, pts: &[u64]) -> Vec<(u64, u64, Option<Reset>)> {
        let mut sampler = Sampler::new(rate, Duration::from_secs(1)).unwrap();
        let mut out = Vec::new();
        for (index, pts) in pts.iter().enumerate() {
            sampler.push(Some(*pts), None, index);
            while let Some(tick) = sampler.poll() {
                out.push((tick.time, tick.pts, tick.reset));
            }
        }
        sampler.finish();
        while let Some(tick) = sampler.poll() {
            out.push((tick.time, tick.pts, tick.reset));
        }
        out
    }

    #[test]
    fn the_first_frame_is_given_at_once() {
        let mut sampler = Sampler::new(8.0, Duration::from_secs(1)).unwrap();
        sampler.push(Some(7), None, 'a');
        assert_eq!(
            sampler.poll(),
            Some(Tick { time: 7, pts: 7, reset: Some(Reset::Start), item: &'a' })
        );
        assert_eq!(sampler.poll(), None);
    }

    #[test]
    fn of_two_equally_near_the_earlier_is_taken() {
        let ticks = run(10.0, &[0, 90 * MS, 110 * MS]);
        assert_eq!(ticks[1], (100 * MS, 90 * MS, None));
    }

    #[test]
    fn a_slow_source_repeats_frames_and_a_fast_one_skips() {
        let slow: Vec<u64> = (0..5).map(|i| i * 400 * MS).collect();
        let ticks = run(10.0, &slow);
        assert_eq!(ticks.len(), 19, "0 to 1.6 s at 10 a second, and half a period more: {ticks:?}");
        assert!(ticks.windows(2).any(|pair| pair[0].1 == pair[1].1));
        let fast: Vec<u64> = (0..101).map(|i| i * 10 * MS).collect();
        let ticks = run(10.0, &fast);
        assert_eq!(ticks.len(), 11);
        assert!(ticks.iter().all(|(time, pts, _)| time == pts));
    }

    #[test]
    fn ticks_do_not_drift_in_a_month() {
        // 30 days of 30000/1001 a second, one frame every half second.
        let rate = 30_000.0 / 1_001.0;
        let sampler = Sampler::<()> {
            origin: Some(0),
            ..Sampler::new(rate, Duration::from_secs(1)).unwrap()
        };
        let k = 77_688_000_u64 / 1_001 * 1_001;
        let exact = u128::from(k) * 1_001 * 1_000_000_000 / 30_000;
        let error = i128::from(sampler.tick_time(k).unwrap()) - exact as i128;
        assert!(error.abs() < 1_000_000, "{error} ns after {k} ticks");
    }

    #[test]
    fn a_gap_and_a_step_back_begin_a_new_grid() {
        let pts = [0, 100 * MS, 200 * MS, 5_033 * MS, 5_133 * MS, 1_000 * MS, 1_100 * MS];
        let ticks = run(10.0, &pts);
        let resets: Vec<_> =
            ticks.iter().filter_map(|t| t.2.map(|reset| (t.0 / MS, reset))).collect();
        assert_eq!(resets, [(0, Reset::Start), (5_033, Reset::Gap), (1_000, Reset::Backwards)]);
        assert_eq!(ticks.len(), 7, "no tick is filled in across the gap: {ticks:?}");
    }

    #[test]
    fn a_step_of_exactly_max_gap_is_no_gap() {
        let ticks = run(2.0, &[0, 1_000 * MS]);
        assert_eq!(ticks.iter().map(|t| t.0 / MS).collect::<Vec<_>>(), [0, 500, 1_000, 1_500]);
        assert!(ticks[1..].iter().all(|t| t.2.is_none()));
    }

    #[test]
    fn a_picture_reaches_no_further_than_a_gap_whatever_it_claims() {
        let mut sampler = Sampler::new(10.0, Duration::from_secs(1)).unwrap();
        assert!(sampler.push(Some(0), Some(u64::MAX / 2), 'a'));
        let mut ticks = vec![(0, 'a')];
        assert_eq!(sampler.poll().map(|tick| tick.time), Some(0));
        assert!(sampler.push(Some(5_000 * MS), Some(u64::MAX / 2), 'b'));
        while let Some(tick) = sampler.poll() {
            ticks.push((tick.time / MS, *tick.item));
            assert!(ticks.len() < 100);
        }
        assert_eq!(
            ticks,
            [(0, 'a'), (100, 'a'), (200, 'a'), (300, 'a'), (400, 'a'), (500, 'a'), (5_000, 'b')]
        );
    }

    #[test]
    fn a_missing_pts_is_derived_or_skipped() {
        let mut sampler = Sampler::new(10.0, Duration::from_secs(1)).unwrap();
        assert!(!sampler.push(None, Some(100 * MS), 'x'), "nothing to derive it from");
        assert!(sampler.push(Some(0), Some(100 * MS), 'a'));
        assert!(sampler.poll().is_some());
        assert!(sampler.push(None, None, 'b'));
        assert_eq!(sampler.poll().map(|t| (t.time, t.pts)), Some((100 * MS, 100 * MS)));
        assert!(sampler.push(None, None, 'c'), "the period serves where no duration is known");
        assert_eq!(sampler.poll().map(|t| t.pts), Some(200 * MS));
    }

    #[test]
    fn equal_pts_are_tolerated() {
        let doubled: Vec<u64> = (0..20).map(|i| (i / 2) * 50 * MS).collect();
        let single: Vec<u64> = (0..10).map(|i| i * 50 * MS).collect();
        assert_eq!(run(10.0, &doubled), run(10.0, &single));
    }

    #[test]
    fn at_the_end_only_ticks_near_the_last_frame_are_flushed() {
        // 30 a second: the tick at 100 ms is 0.0 ms from frame 3; with frames
        // 0..=2 only, it lies a whole period after the last.
        let pts: Vec<u64> = (0..3).map(|i| i * 33 * MS).collect();
        assert_eq!(run(10.0, &pts).len(), 1);
        let pts: Vec<u64> = (0..3).map(|i| i * 45 * MS).collect();
        assert_eq!(run(10.0, &pts).last().map(|t| (t.0, t.1)), Some((100 * MS, 90 * MS)));
    }

    #[test]
    fn chosen_ticks_take_the_nearest_frames_and_the_last_one_is_held_on() {
        let times = [0, 90, 110, 1_000, 2_000].map(Duration::from_millis).to_vec();
        let mut sampler = Sampler::at(times);
        let mut out = Vec::new();
        // Begins at 40 ms, jumps, steps back, and ends before the last tick.
        for pts in [40, 140, 5, 2_000] {
            sampler.push(Some(pts * MS), None, ());
            while let Some(tick) = sampler.poll() {
                out.push((tick.time / MS, tick.pts / MS, tick.reset.is_some()));
            }
        }
        assert!(!sampler.is_exhausted());
        sampler.finish();
        while let Some(tick) = sampler.poll() {
            out.push((tick.time / MS, tick.pts / MS, tick.reset.is_some()));
        }
        assert_eq!(
            out,
            [
                (40, 40, true),
                (130, 140, false),
                (150, 140, false),
                (1_040, 140, false),
                (2_040, 2_000, false)
            ]
        );
        assert!(sampler.is_exhausted());
    }

    #[test]
    fn impossible_settings_are_refused() {
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e9] {
            assert!(Sampler::<()>::new(rate, Duration::from_secs(1)).is_err(), "{rate}");
        }
        assert!(Sampler::<()>::new(1.0, Duration::ZERO).is_err());
    }

    /// Against the definition, computed with every frame at hand.
    #[test]
    fn agrees_with_the_definition_on_random_timestamps() {
        for seed in 0..400 {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let rate = 0.5 + f64::from(random.next_u32() % 4_000) / 100.0;
            let usual = 1 + u64::from(random.next_u32() % 120);
            let mut pts = vec![u64::from(random.next_u32() % 10_000) * MS];
            for _ in 0..200 {
                let jitter = match random.next_u32() % 12 {
                    0 => 0,
                    1 => u64::from(random.next_u32() % 900) * MS,
                    _ => usual * MS / 2 + u64::from(random.next_u32()) % (usual * MS + 1),
                };
                pts.push(pts[pts.len() - 1] + jitter.min(1_000 * MS));
            }
            let ticks = run(rate, &pts);
            let mut distinct = pts.clone();
            distinct.dedup();
            for (k, (time, chosen, reset)) in ticks.iter().enumerate() {
                let exact = pts[0] as f64 + k as f64 * 1e9 / rate;
                assert!(
                    (*time as f64 - exact).abs() < 2.0,
                    "seed {seed}: tick {k} at {time}, not {exact}"
                );
                let nearest =
                    distinct.iter().min_by_key(|pts| (pts.abs_diff(*time), **pts)).unwrap();
                assert_eq!(chosen, nearest, "seed {seed}: tick {k} at {time}");
                assert_eq!(reset.is_some(), k == 0);
            }
            let last = distinct[distinct.len() - 1];
            let reach = (last - distinct[distinct.len() - 2]) / 2;
            let wanted = ((last + reach - pts[0]) as f64 * rate / 1e9) as usize + 1;
            assert!(
                ticks.len().abs_diff(wanted) <= 1,
                "seed {seed}: {} ticks, not {wanted}",
                ticks.len()
            );
        }
    }
}
