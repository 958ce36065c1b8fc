//! The threads that share the making of frames.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use crate::model::kernels::{Buffer, Crew, Extent};

/// Below so many multiply-accumulates, some 8 µs, sharing costs more than it saves.
const WORTH: usize = 1 << 18;

/// One thread, or several.
#[derive(Debug)]
pub(super) struct Threads(Option<Crew>);

/// Frames to make.
pub(super) struct Task<'a> {
    /// How each lies in its memory.
    pub extent: &'a Extent,
    /// Where that memory lies in its buffer.
    pub memory: Range<usize>,
    /// Multiply-accumulates of each.
    pub cost: usize,
    /// Whether rows of one frame can be made apart.
    pub by_rows: bool,
}

/// What one thread makes.
struct Share<'a> {
    /// Frames by their numbers, rows of them, and the memory of these rows.
    parts: Vec<(usize, Range<usize>, &'a mut [f32])>,
    scratch: &'a mut Buffer,
}

impl Threads {
    /// `count` threads; one where they cannot be started.
    pub fn new(count: usize) -> Self {
        if count < 2 {
            return Threads(None);
        }
        let crew = Crew::new(count);
        if let Err(error) = &crew {
            log::warn!("cannot start {count} threads for the model ({error}); it runs on one");
        }
        Threads(crew.ok())
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.as_ref().map_or(1, Crew::count)
    }

    /// Has `work` make `frames`, with a scratch for each thread: it is given a frame's
    /// number, rows of it, and their memory.
    pub fn make(
        &self,
        task: &Task<'_>,
        frames: &mut [Buffer],
        scratch: &mut [Buffer],
        work: impl Fn(usize, Range<usize>, &mut [f32], &mut Buffer) + Sync,
    ) {
        let Task { extent, memory, cost, by_rows } = task;
        let all = 0..extent.height;
        let (height, count) = (extent.height, frames.len());
        let frames = frames.iter_mut().map(|frame| &mut frame[memory.clone()][extent.rows(&all)]);
        let frames = frames.enumerate();
        let Some(crew) = self.0.as_ref().filter(|_| count * cost >= 2 * WORTH) else {
            if let [scratch, ..] = scratch {
                frames.for_each(|(at, frame)| work(at, all.clone(), frame, scratch));
            }
            return;
        };
        let members = crew.count();
        let mut shares: Vec<Mutex<Share>> = scratch
            .iter_mut()
            .take(members)
            .map(|scratch| Mutex::new(Share { parts: Vec::new(), scratch }))
            .collect();
        let mut give = |member: usize, part| {
            if let Some(share) = shares.get_mut(member) {
                share.get_mut().unwrap_or_else(PoisonError::into_inner).parts.push(part);
            }
        };
        // The same rows of each frame, layer after layer: what a thread reads it has mostly
        // written itself, so it lies in its own cache. Whole frames where rows do not share
        // out as evenly.
        if *by_rows && height.div_ceil(members) * count <= count.div_ceil(members) * height {
            for (at, mut rest) in frames {
                for member in 0..members {
                    let rows = height * member / members..height * (member + 1) / members;
                    let (own, after) = rest.split_at_mut(extent.rows(&rows).len());
                    rest = after;
                    give(member, (at, rows, own));
                }
            }
        } else {
            frames.for_each(|(at, frame)| give(at * members / count, (at, all.clone(), frame)));
        }
        crew.share(&|member| {
            let Some(share) = shares.get(member) else { return };
            let mut share = share.lock().unwrap_or_else(PoisonError::into_inner);
            let Share { parts, scratch } = &mut *share;
            for (at, rows, memory) in parts {
                work(*at, rows.clone(), memory, scratch);
            }
        });
    }
}
