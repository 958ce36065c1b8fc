//! What a video codec leaves in a picture, without one.
//!
//! Training draws hundreds of thousands of frames; encoding and decoding each
//! would cost more than painting it. Two traits of H.264 at a camera's bit rate
//! matter to a classifier: blocks that changed little are not sent at all, so
//! that still parts freeze; and each key frame sends everything again, so that
//! the picture pulses. Both are done here on 8×8 blocks of luma.

use super::rng::Rng;

const SIDE: usize = 8;

/// Freezes what changes little, pulses at key frames.
pub struct BlockCodec {
    /// Mean absolute difference (0..255) below which a block is not sent.
    threshold: f32,
    /// Step of a block's stored values, 0..255.
    step: f32,
    /// Frames from one key frame to the next.
    interval: usize,
    count: usize,
    held: Vec<u8>,
}

impl BlockCodec {
    /// A codec of this stream's quality. `fps` sets the key frames' distance
    /// of one to four seconds.
    pub fn new(seed: u64, fps: f64) -> Self {
        let mut rng = Rng::new(seed, 9);
        BlockCodec {
            threshold: if rng.chance(0.3) { 0.0 } else { rng.log_range(0.4, 4.0) },
            step: if rng.chance(0.5) { 1.0 } else { rng.log_range(1.0, 10.0) },
            interval: ((f64::from(rng.range(1.0, 4.0)) * fps) as usize).max(1),
            count: 0,
            held: vec![],
        }
    }

    /// Codes `luma` (rows of `width`) in place.
    pub fn code(&mut self, luma: &mut [u8], width: usize) {
        let key = self.count.is_multiple_of(self.interval) || self.held.len() != luma.len();
        self.count += 1;
        if key {
            self.held = vec![0; luma.len()];
        }
        let height = luma.len() / width;
        for top in (0..height).step_by(SIDE) {
            for left in (0..width).step_by(SIDE) {
                let rows = top..(top + SIDE).min(height);
                let span = |row: usize| row * width + left..row * width + (left + SIDE).min(width);
                let (mut difference, mut mean, mut count) = (0u32, 0u32, 0u32);
                for row in rows.clone() {
                    for (new, old) in luma[span(row)].iter().zip(&self.held[span(row)]) {
                        difference += u32::from(new.abs_diff(*old));
                        mean += u32::from(*new);
                        count += 1;
                    }
                }
                let send = key || difference as f32 > self.threshold * count as f32;
                let mean = mean as f32 / count as f32;
                for row in rows {
                    let range = span(row);
                    if send {
                        for (new, old) in
                            luma[range.clone()].iter().zip(&mut self.held[range.clone()])
                        {
                            // The mean is kept well, detail only in steps.
                            let detail = ((f32::from(*new) - mean) / self.step).round() * self.step;
                            *old = (mean + detail).clamp(0.0, 255.0) as u8;
                        }
                    }
                    luma[range.clone()].copy_from_slice(&self.held[range]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn still_blocks_freeze_until_the_next_key_frame() {
        let mut codec =
            BlockCodec { threshold: 2.0, step: 1.0, interval: 3, count: 0, held: vec![] };
        let mut coded = |value: u8| {
            let mut luma = vec![value; 16 * 16];
            codec.code(&mut luma, 16);
            luma[0]
        };
        assert_eq!([coded(100), coded(101), coded(110), coded(101)], [100, 100, 110, 101]);
    }
}
