//! The threads that share the rows of a frame.

use std::ops::Range;

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::model::kernels::{Buffer, Extent};

/// Below so many multiply-accumulates, some 30 µs, a thread costs more than it saves.
const WORTH: usize = 1 << 21;

const ONE: Threads = Threads(None);

/// One thread, or a pool of several.
#[derive(Debug)]
pub(super) struct Threads(Option<ThreadPool>);

impl Threads {
    /// `count` threads; one where they cannot be started.
    pub fn new(count: usize) -> Self {
        if count < 2 {
            return Threads(None);
        }
        let pool = ThreadPoolBuilder::new()
            .num_threads(count)
            .thread_name(|at| format!("model-{at}"))
            .build();
        if let Err(error) = &pool {
            log::warn!("cannot start {count} threads for the model ({error}); it runs on one");
        }
        Threads(pool.ok())
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.as_ref().map_or(1, ThreadPool::current_num_threads)
    }

    /// Has `work` make `frames`, each of which takes `cost` multiply-accumulates, with a
    /// scratch of its own: where there are enough of them, several at once; else one after
    /// the other, with the threads that may share its rows.
    pub fn frames(
        &self,
        frames: &mut [Buffer],
        cost: usize,
        scratch: &mut [Buffer],
        work: impl Fn(usize, &mut [f32], &mut [Buffer], &Threads) + Sync,
    ) {
        let pieces = self.count().min(frames.len() * cost / WORTH);
        let pool = self.0.as_ref().filter(|_| (2..=frames.len()).contains(&pieces));
        let Some(pool) = pool else {
            for (at, frame) in frames.iter_mut().enumerate() {
                work(at, frame, scratch, self);
            }
            return;
        };
        pool.in_place_scope(|scope| {
            let (all, work) = (frames.len(), &work);
            let (mut rest, mut begun) = (frames, 0);
            for (piece, scratch) in scratch.iter_mut().take(pieces).enumerate() {
                let end = all * (piece + 1) / pieces;
                let (own, after) = rest.split_at_mut(end - begun);
                let first = begun;
                (rest, begun) = (after, end);
                scope.spawn(move |_| {
                    for (at, frame) in own.iter_mut().enumerate() {
                        work(first + at, frame, std::slice::from_mut(scratch), &ONE);
                    }
                });
            }
        });
    }

    /// Has `work` compute all rows of a frame of `extent` that takes `cost`
    /// multiply-accumulates, `frame` being its memory: in pieces, each with the rows'
    /// memory and a scratch of its own.
    pub fn rows(
        &self,
        extent: &Extent,
        frame: &mut [f32],
        cost: usize,
        scratch: &mut [Buffer],
        work: impl Fn(Range<usize>, &mut [f32], &mut Buffer) + Sync,
    ) {
        let pieces = self.count().min(extent.height).min(cost / WORTH);
        let rows = 0..extent.height;
        let (Some(pool), 2..) = (&self.0, pieces) else {
            if let [scratch, ..] = scratch {
                work(rows.clone(), &mut frame[extent.rows(&rows)], scratch);
            }
            return;
        };
        pool.in_place_scope(|scope| {
            let (mut rest, work) = (&mut frame[extent.rows(&rows)], &work);
            for (piece, scratch) in scratch.iter_mut().take(pieces).enumerate() {
                let part = extent.height * piece / pieces..extent.height * (piece + 1) / pieces;
                let (own, after) = rest.split_at_mut(extent.rows(&part).len());
                rest = after;
                scope.spawn(move |_| work(part, own, scratch));
            }
        });
    }
}
