//! A sliding window of samples, kept as curves.

use std::collections::VecDeque;

use super::curve::{Curve, Powers};
use super::state::Numbers;

/// The window slides by a 40th of its length at a time.
const BLOCKS: usize = 40;
/// A block holds at most this much more than its share.
const MOST_EVIDENCE: f64 = 1e7;

/// The last `length` effective samples, in blocks: bounded memory however often
/// a clip is predicted.
#[derive(Clone, Debug)]
pub(super) struct Window {
    length: f64,
    blocks: VecDeque<Block>,
    powers: Powers,
}

#[derive(Clone, Debug)]
struct Block {
    evidence: f64,
    curve: Curve,
}

impl Window {
    /// Over `length` effective samples.
    pub fn new(length: f64) -> Self {
        let blocks = VecDeque::with_capacity(BLOCKS + 1);
        Window { length, blocks, powers: Powers::default() }
    }

    /// Adds a sample; the oldest block goes when it is no longer needed.
    pub fn add(&mut self, z: &[f64], truth: usize, evidence: f64) {
        let full = self.length / BLOCKS as f64;
        if self.blocks.back().is_none_or(|newest| newest.evidence >= full) {
            if self.blocks.len() > BLOCKS {
                self.blocks.pop_front();
            }
            self.blocks.push_back(Block { evidence: 0.0, curve: Curve::new() });
        }
        if let Some(newest) = self.blocks.back_mut() {
            newest.curve.add(z, truth, evidence, &mut self.powers);
            newest.evidence += evidence;
        }
    }

    /// The newest blocks that hold `horizon` effective samples, summed.
    pub fn last(&self, horizon: f64) -> Curve {
        let mut sum = Curve::new();
        let newest = self.blocks.iter().rev().take(self.blocks_within(horizon));
        newest.for_each(|block| sum.merge(&block.curve));
        sum
    }

    /// Forgets all but those.
    pub fn keep(&mut self, horizon: f64) {
        let gone = self.blocks.len() - self.blocks_within(horizon);
        self.blocks.drain(..gone);
    }

    fn blocks_within(&self, horizon: f64) -> usize {
        let mut evidence = 0.0;
        let within = |block: &&Block| {
            let needed = evidence < horizon;
            evidence += block.evidence;
            needed
        };
        self.blocks.iter().rev().take_while(within).count()
    }

    /// Forgets everything.
    pub fn reset(&mut self) {
        self.blocks.clear();
    }

    pub fn write(&self, out: &mut Vec<f64>) {
        out.push(self.blocks.len() as f64);
        for block in &self.blocks {
            out.push(block.evidence);
            block.curve.write(out);
        }
    }

    pub fn read(&mut self, numbers: &mut Numbers<'_>) -> Option<()> {
        self.blocks.clear();
        for _ in 0..numbers.count(BLOCKS + 1)? {
            let evidence = numbers.within(0.0, MOST_EVIDENCE)?;
            let mut block = Block { evidence, curve: Curve::new() };
            block.curve.read(numbers)?;
            self.blocks.push_back(block);
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `n` samples that want a small β, or a great one.
    fn feed(window: &mut Window, n: usize, right: bool) {
        (0..n).for_each(|i| window.add(&[0.0, -3.0], usize::from(!right && i % 2 == 0), 1.0));
    }

    #[test]
    fn what_lies_before_the_window_is_forgotten_and_a_shorter_look_sees_less() {
        let mut window = Window::new(400.0);
        feed(&mut window, 400, false);
        feed(&mut window, 200, true);
        let all = window.last(400.0).least(1.0, 1.0);
        let recent = window.last(100.0).least(1.0, 1.0);
        assert!(recent > 1.5 * all, "{recent} {all}");
        feed(&mut window, 300, true);
        let all = window.last(400.0).least(1.0, 1.0);
        assert!(all > 1.0, "{all}");
        assert!(window.blocks.len() <= BLOCKS + 1);
    }

    #[test]
    fn many_samples_of_little_evidence_take_no_more_memory() {
        let mut window = Window::new(100.0);
        (0..5000).for_each(|_| window.add(&[0.0, -1.0], 0, 0.01));
        assert!(window.blocks.len() <= 21, "{}", window.blocks.len());
    }
}
