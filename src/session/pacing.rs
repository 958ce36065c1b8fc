//! Which frames bring a prediction, and what is left out when the model cannot keep up.
//!
//! All is counted in sampled frames, none of it timed: the same frames, arriving in the
//! same order between the same steps of the model, are treated the same.

/// The hop is lowered only after so many predictions in a row that left room for it.
const CALM: u32 = 16;

/// What to do with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It only enters the clip.
    Enter,
    /// It brings a prediction.
    Predict,
    /// It would bring a prediction, but the model is behind.
    Skip,
}

/// When one stream's predictions are due.
#[derive(Clone, Debug)]
pub(super) struct Pacing {
    /// Frames that fill a clip.
    warm_up: u64,
    /// Frames between two predictions, as configured, and at most.
    base: usize,
    most: usize,
    /// Whether a prediction may be left out to catch up.
    may_skip: bool,
    /// Frames between two predictions, now.
    hop: usize,
    /// The frame, counted from 1 since the last reset, that brings the next prediction.
    due: u64,
    /// The most frames that waited after a step, and over how many predictions.
    waited: usize,
    calm: u32,
}

impl Pacing {
    /// Every `hop` frames once `warm_up` are in. Where predictions may be left out and
    /// `most` allows it, the hop is doubled before any is skipped.
    pub fn new(warm_up: u64, hop: usize, most: usize, may_skip: bool) -> Self {
        let (warm_up, base) = (warm_up.max(1), hop.max(1));
        let most = most.max(base);
        Pacing { warm_up, base, most, may_skip, hop: base, due: warm_up, waited: 0, calm: 0 }
    }

    /// Frames between two predictions, now.
    pub fn hop(&self) -> usize {
        self.hop
    }

    /// Begins with an empty clip, which `warm_up` frames fill; the hop stays as it is.
    pub fn reset(&mut self, warm_up: u64) {
        self.warm_up = warm_up.max(1);
        self.due = self.warm_up;
    }

    /// What to do with frame `at`, counted from 1 since the last reset, while `waiting`
    /// more wait. Frames keep coming in while the model runs: one in hand is how a network
    /// delivers them, more than a hop is overload.
    pub fn take(&mut self, at: u64, waiting: usize) -> Turn {
        if at < self.due {
            return Turn::Enter;
        }
        if self.may_skip && waiting > self.hop {
            if 2 * self.hop <= self.most {
                self.due += self.hop as u64;
                self.hop *= 2;
                (self.waited, self.calm) = (0, 0);
                return Turn::Enter;
            }
            self.due += self.hop as u64;
            return Turn::Skip;
        }
        self.due += self.hop as u64;
        Turn::Predict
    }

    /// A prediction was made, and `waiting` frames wait now.
    pub fn made(&mut self, waiting: usize) {
        self.waited = self.waited.max(waiting);
        self.calm += 1;
        if self.calm < CALM {
            return;
        }
        // Three quarters of the lower hop, so that it is not raised again at once.
        if self.hop > self.base && 8 * self.waited <= 3 * self.hop {
            self.hop /= 2;
        }
        (self.waited, self.calm) = (0, 0);
    }

    /// How many predictions the `lost` frames after frame `at` would have brought.
    pub fn among(&self, at: u64, lost: u64) -> u64 {
        let last = at + lost;
        if at < self.warm_up || last < self.due {
            return 0;
        }
        1 + (last - self.due) / self.hop as u64
    }
}

#[cfg(test)]
mod tests {
    use super::super::queue::{Overflow, queue};
    use super::*;

    fn turns(pacing: &mut Pacing, frames: u64, waiting: usize) -> Vec<u64> {
        (1..=frames).filter(|&at| pacing.take(at, waiting) == Turn::Predict).collect()
    }

    #[test]
    fn the_first_full_clip_and_every_hop_after_it_bring_a_prediction() {
        assert_eq!(turns(&mut Pacing::new(4, 3, 3, true), 12, 0), [4, 7, 10]);
        // Nobody may skip in a recording, or where each frame changes the state.
        assert_eq!(turns(&mut Pacing::new(4, 3, 3, false), 12, 99), [4, 7, 10]);
        assert!(turns(&mut Pacing::new(4, 3, 3, true), 12, 4).is_empty());
    }

    #[test]
    fn lost_frames_count_as_the_predictions_that_they_would_have_brought() {
        let mut pacing = Pacing::new(4, 3, 3, true);
        assert_eq!(pacing.among(2, 100), 0, "the clip was not full");
        turns(&mut pacing, 5, 0);
        assert_eq!((pacing.among(5, 1), pacing.among(5, 2), pacing.among(5, 8)), (0, 1, 3));
    }

    /// Ten minutes of a live stream of `rate` frames a second through a model that takes
    /// `step` seconds for a prediction.
    struct Simulation {
        /// Of each prediction, in seconds, from its newest frame's arrival.
        latencies: Vec<f64>,
        skipped: u64,
        /// The hop at the end.
        hop: usize,
        /// The longest time between two predictions.
        pause: f64,
    }

    /// Step times may change as time goes by.
    fn simulate(
        rate: f64,
        clip: u64,
        hop: usize,
        most: usize,
        step: impl Fn(f64) -> f64,
    ) -> Simulation {
        let capacity = (clip as usize).max(most + 2) + 2;
        let (mut producer, consumer) = queue(capacity, 1, Overflow::DropOldest);
        let mut pacing = Pacing::new(clip, hop, most, true);
        let mut simulation = Simulation { latencies: Vec::new(), skipped: 0, hop, pause: 0.0 };
        let (mut arrived, mut now, mut last) = (0_u64, 0.0_f64, None);
        let (mut at, mut next) = (0_u64, 0_u64);
        while now < 600.0 {
            while arrived as f64 / rate <= now {
                let slot = producer.slot().unwrap();
                producer.send(slot);
                arrived += 1;
            }
            if consumer.waiting() == 0 {
                now = arrived as f64 / rate;
                continue;
            }
            let slot = consumer.next().unwrap();
            let index = slot.index;
            consumer.give_back(slot);
            if index > next {
                simulation.skipped += pacing.among(at, index - next);
                pacing.reset(clip);
                at = 0;
            }
            (next, at) = (index + 1, at + 1);
            match pacing.take(at, consumer.waiting()) {
                Turn::Enter => {}
                Turn::Skip => simulation.skipped += 1,
                Turn::Predict => {
                    let begun = now;
                    now += step(begun);
                    while arrived as f64 / rate <= now {
                        let slot = producer.slot().unwrap();
                        producer.send(slot);
                        arrived += 1;
                    }
                    pacing.made(consumer.waiting());
                    simulation.latencies.push(now - index as f64 / rate);
                    simulation.pause = simulation.pause.max(now - last.unwrap_or(now));
                    last = Some(now);
                }
            }
        }
        simulation.hop = pacing.hop();
        simulation
    }

    fn p99(latencies: &[f64]) -> f64 {
        let mut sorted = latencies.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted[(sorted.len() - 1) * 99 / 100]
    }

    #[test]
    fn at_ten_times_too_much_load_latency_stays_below_two_steps() {
        // Five frames a second, a prediction for each, and a model that takes ten hops.
        for (rate, clip, hop) in [(5.0, 13, 1), (5.0, 4, 1), (30.0, 16, 3), (1.0, 64, 2)] {
            let step = 10.0 * hop as f64 / rate;
            for most in [hop, 4 * hop, 16 * hop] {
                let done = simulate(rate, clip, hop, most, |_| step);
                let few = (600.0 / step) as usize;
                assert!(done.latencies.len() > few * 3 / 5, "{} of {few}", done.latencies.len());
                // What a hop comes to at this load is a step.
                assert!(p99(&done.latencies) < 2.0 * step, "{rate} {clip} {hop} {most}");
                assert!(done.pause <= 2.0 * step + 1e-9, "{} s of {step}", done.pause);
            }
        }
    }

    #[test]
    fn a_hop_may_be_raised_before_anything_is_skipped_and_is_lowered_again() {
        // Two minutes of a model that takes six hops, between times when it takes half of one.
        let busy = |now: f64| if (120.0..240.0).contains(&now) { 1.2 } else { 0.1 };
        let fixed = simulate(5.0, 13, 1, 1, busy);
        assert!(fixed.skipped > 400, "{} skipped", fixed.skipped);
        let shed = simulate(5.0, 13, 1, 16, busy);
        assert!(shed.skipped < 20, "{} skipped", shed.skipped);
        assert!(p99(&shed.latencies) < 2.0 * 1.2);
        assert_eq!(shed.hop, 1, "the load is over");
        // Of 2,400 in the other eight minutes; it takes most of one to get back to a hop of 1.
        assert!(shed.latencies.len() > 2_200, "{} predictions", shed.latencies.len());
    }

    #[test]
    fn a_model_that_keeps_up_is_never_held_back() {
        let done = simulate(5.0, 13, 1, 16, |_| 0.19);
        assert_eq!((done.skipped, done.hop), (0, 1));
        assert!(done.latencies.len() >= 2_985, "{}", done.latencies.len());
        assert!(p99(&done.latencies) < 0.4);
    }
}
