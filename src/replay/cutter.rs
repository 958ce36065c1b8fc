//! Clips cut out of a recording, one after the other: every clip's frames from
//! its first to its last, once for each crop.

use std::collections::VecDeque;

use crate::clip::{Feed, InputSpec, Normalised, Preprocess};
use crate::error::Result;
use crate::video::{Frame, FrameSource, Next, Reset};

use super::Views;

/// Which ticks make up which clip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cuts {
    /// Windows of `len` ticks, each `hop` after the one before it.
    Sliding { len: usize, hop: usize },
    /// For each clip its ticks, ascending; clips in the order of their first
    /// and of their last tick.
    Chosen(Vec<Vec<usize>>),
}

impl Cuts {
    /// The tick that is the `j`th of clip `n`; ticks and clips are counted from
    /// the last reset.
    fn tick(&self, n: usize, j: usize) -> Option<usize> {
        match self {
            Cuts::Sliding { len, hop } => (j < *len).then(|| n * hop + j),
            Cuts::Chosen(clips) => clips.get(n)?.get(j).copied(),
        }
    }

    fn len(&self, n: usize) -> usize {
        match self {
            Cuts::Sliding { len, .. } => *len,
            Cuts::Chosen(clips) => clips.get(n).map_or(0, Vec::len),
        }
    }
}

/// Feeds a session with clips that do not hang together. A decoded picture is
/// normalised once for each tick and crop, however many clips it is part of;
/// no more is held than the clips that are open need.
pub(super) struct Cutter {
    source: Box<dyn FrameSource>,
    frame: Frame,
    /// One for each crop.
    preprocess: Vec<Preprocess>,
    cuts: Cuts,
    frame_len: usize,
    /// The ticks from `first` on, each with one tensor a crop.
    held: VecDeque<Vec<Normalised>>,
    spare: Vec<Vec<Normalised>>,
    first: usize,
    /// The clip that is being given or comes next, and how far it is given.
    clip: usize,
    crop: usize,
    at: usize,
    /// Why the ticks began anew, until the next clip has told it.
    reset: Option<Reset>,
}

impl Cutter {
    /// # Errors
    /// As [`Preprocess::new`].
    pub fn new(
        source: Box<dyn FrameSource>,
        input: &InputSpec,
        views: &Views,
        cuts: Cuts,
    ) -> Result<Self> {
        let preprocess = Preprocess::new(input)?;
        Ok(Cutter {
            source,
            frame: Frame::new(input.colour),
            preprocess: views.crops().iter().map(|c| preprocess.clone().keeping(*c)).collect(),
            cuts,
            frame_len: input.frame_len(),
            held: VecDeque::new(),
            spare: Vec::new(),
            first: 0,
            clip: 0,
            crop: 0,
            at: 0,
            reset: None,
        })
    }

    /// Whether every frame of the clip that comes next is there.
    fn is_ready(&self) -> bool {
        let last = self.cuts.len(self.clip).checked_sub(1);
        let last = last.and_then(|last| self.cuts.tick(self.clip, last));
        last.is_some_and(|last| last < self.first + self.held.len())
    }

    /// Gives the next frame of the clip that is ready.
    fn give(&mut self, into: &mut Normalised) {
        let tick = self.cuts.tick(self.clip, self.at).and_then(|tick| tick.checked_sub(self.first));
        if let Some(frame) = tick.and_then(|tick| self.held.get(tick)?.get(self.crop)) {
            into.tensor.copy_from_slice(&frame.tensor);
            into.t = frame.t;
            into.arrived = frame.arrived;
        }
        into.reset = (self.at == 0).then(|| self.reset.take().unwrap_or(Reset::Clip));
        self.at += 1;
        if self.at == self.cuts.len(self.clip) {
            self.at = 0;
            self.crop += 1;
        }
        if self.crop == self.preprocess.len() {
            self.crop = 0;
            self.clip += 1;
            self.let_go();
        }
    }

    /// Lets go of the ticks that no later clip needs.
    fn let_go(&mut self) {
        let needed = self.cuts.tick(self.clip, 0).unwrap_or(usize::MAX);
        while self.first < needed {
            let Some(done) = self.held.pop_front() else { break };
            self.spare.push(done);
            self.first += 1;
        }
    }

    /// Takes the next sampled frame from the source.
    fn take(&mut self) -> Result<Next> {
        if self.source.next(&mut self.frame)? == Next::End {
            return Ok(Next::End);
        }
        if let Some(reset) = self.frame.reset {
            self.spare.extend(self.held.drain(..));
            (self.first, self.clip) = (0, 0);
            self.reset = Some(reset);
        }
        let mut tick = self.spare.pop().unwrap_or_else(|| {
            self.preprocess.iter().map(|_| Normalised::new(self.frame_len)).collect()
        });
        for (preprocess, out) in self.preprocess.iter_mut().zip(&mut tick) {
            preprocess.run(&self.frame, &mut out.tensor)?;
            out.t = self.frame.tick_time;
            out.arrived = self.frame.arrived;
        }
        self.held.push_back(tick);
        // A hop longer than a clip leaves ticks that belong to none.
        self.let_go();
        Ok(Next::Frame)
    }
}

impl Feed for Cutter {
    fn next(&mut self, into: &mut Normalised) -> Result<Next> {
        while !self.is_ready() {
            if self.take()? == Next::End {
                return Ok(Next::End);
            }
        }
        self.give(into);
        Ok(Next::Frame)
    }

    fn live(&self) -> bool {
        self.source.live()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clip::{Layout, Resize};
    use crate::replay::Clips;
    use crate::video::Colour;

    fn input() -> InputSpec {
        InputSpec {
            layout: Layout::NCTHW,
            frames: 2,
            rate: 1.0,
            size: [2, 2],
            resize: Resize::ShortSide,
            antialias: false,
            colour: Colour::Gray,
            mean: vec![0.0],
            std: vec![1.0 / 255.0],
        }
    }

    /// Pictures of 6×2: the columns hold 0 to 5 and the number of the picture ×10.
    struct Script(Vec<Option<Reset>>, usize);

    impl FrameSource for Script {
        fn next(&mut self, frame: &mut Frame) -> Result<Next> {
            let Some(reset) = self.0.get(self.1) else { return Ok(Next::End) };
            (frame.width, frame.height) = (6, 2);
            frame.data = (0..12u8).map(|at| at % 6 + 10 * self.1 as u8).collect();
            frame.tick_time = Duration::from_secs(self.1 as u64);
            frame.reset = *reset;
            self.1 += 1;
            Ok(Next::Frame)
        }

        fn live(&self) -> bool {
            false
        }
    }

    /// First pixel, time and reset of every frame given.
    fn run(resets: &[Option<Reset>], crops: usize, cuts: Cuts) -> Vec<(f32, u64, Option<Reset>)> {
        let views = Views { crops, clips: Clips::Window, resample: None };
        let source = Box::new(Script(resets.to_vec(), 0));
        let mut cutter = Cutter::new(source, &input(), &views, cuts).unwrap();
        let mut out = Vec::new();
        let mut into = Normalised::new(4);
        while cutter.next(&mut into).unwrap() == Next::Frame {
            out.push((into.tensor[0].round(), into.t.as_secs(), into.reset));
        }
        assert!(cutter.held.len() <= 4, "{} ticks are held", cutter.held.len());
        out
    }

    const START: Option<Reset> = Some(Reset::Start);
    const CLIP: Option<Reset> = Some(Reset::Clip);

    #[test]
    fn sliding_windows_come_whole_once_for_each_crop() {
        let resets = [START, None, None, None];
        let out = run(&resets, 1, Cuts::Sliding { len: 2, hop: 2 });
        assert_eq!(
            out,
            [(2.0, 0, START), (12.0, 1, None), (22.0, 2, CLIP), (32.0, 3, None)],
            "the centre crop"
        );
        let out = run(&resets[..3], 3, Cuts::Sliding { len: 2, hop: 1 });
        let pixels: Vec<f32> = out.iter().map(|frame| frame.0).collect();
        assert_eq!(pixels, [0., 10., 2., 12., 4., 14., 10., 20., 12., 22., 14., 24.]);
        assert!(out.iter().enumerate().all(|(at, frame)| frame.2.is_some() == (at % 2 == 0)));
    }

    #[test]
    fn a_gap_begins_the_windows_anew_and_no_clip_reaches_over_it() {
        let resets = [START, None, None, Some(Reset::Gap), None];
        let out = run(&resets, 1, Cuts::Sliding { len: 2, hop: 2 });
        let times: Vec<_> = out.iter().map(|frame| (frame.1, frame.2)).collect();
        assert_eq!(times, [(0, START), (1, None), (3, Some(Reset::Gap)), (4, None)]);
    }

    #[test]
    fn chosen_clips_may_overlap_and_leave_holes() {
        let clips = vec![vec![0, 2], vec![1, 4]];
        let out = run(&[START, None, None, None, None], 1, Cuts::Chosen(clips));
        let times: Vec<_> = out.iter().map(|frame| frame.1).collect();
        assert_eq!(times, [0, 2, 1, 4]);
    }

    #[test]
    fn a_hop_longer_than_a_clip_leaves_frames_out() {
        let out = run(&[START, None, None, None, None], 1, Cuts::Sliding { len: 2, hop: 3 });
        let times: Vec<_> = out.iter().map(|frame| frame.1).collect();
        assert_eq!(times, [0, 1, 3, 4]);
    }
}
