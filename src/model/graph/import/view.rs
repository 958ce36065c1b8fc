//! How the axes of the engine's tensors map to a graph's.

use crate::model::graph::Shape;

/// What an axis of a network's input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// One clip: of length 1.
    Batch,
    Frames,
    Height,
    Width,
    Channels,
}

impl Axis {
    /// Time, down, across: the order of a kernel's axes.
    pub(super) const EXTENTS: [Axis; 3] = [Axis::Frames, Axis::Height, Axis::Width];

    /// Its length in a tensor of `shape`.
    pub(super) fn size(self, shape: &Shape) -> usize {
        match self {
            Axis::Batch => 1,
            Axis::Frames => shape.frames,
            Axis::Height => shape.height,
            Axis::Width => shape.width,
            Axis::Channels => shape.channels,
        }
    }

    /// As a person calls it.
    pub(super) fn words(self) -> &'static str {
        match self {
            Axis::Batch => "the batch",
            Axis::Frames => "frames",
            Axis::Height | Axis::Width => "pixels",
            Axis::Channels => "channels",
        }
    }
}

/// For each axis of an engine's tensor what it runs over, outermost first: several where
/// axes were merged, none for an axis of length 1 that means nothing. Every axis of the
/// graph's tensor that is longer than 1 stands in exactly one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct View(pub Vec<Vec<Axis>>);

impl View {
    /// The lengths of the engine's axes.
    pub fn sizes(&self, shape: &Shape) -> Vec<usize> {
        let size = |axes: &Vec<Axis>| {
            axes.iter().fold(1usize, |all, axis| all.saturating_mul(axis.size(shape)))
        };
        self.0.iter().map(size).collect()
    }

    /// What axis `at` runs over that is longer than 1.
    pub fn long(&self, at: usize, shape: &Shape) -> Vec<Axis> {
        let axes = self.0.get(at).map_or(&[][..], Vec::as_slice);
        axes.iter().copied().filter(|axis| axis.size(shape) > 1).collect()
    }

    /// Whether some axis runs over `axis`.
    pub fn holds(&self, axis: Axis) -> bool {
        self.0.iter().flatten().any(|&other| other == axis)
    }

    /// The same tensor with the axes from `at` on, as many as `from` has, laid out as
    /// `to`: none where one of the graph's axes would have to be cut.
    pub fn reshaped(&self, shape: &Shape, at: usize, from: usize, to: &[usize]) -> Option<View> {
        let merged: Vec<Axis> = self
            .0
            .get(at..at.checked_add(from)?)?
            .iter()
            .flatten()
            .copied()
            .filter(|axis| axis.size(shape) > 1)
            .collect();
        let mut rest = merged.into_iter().peekable();
        let mut axes = self.0.get(..at)?.to_vec();
        for &size in to {
            let (mut taken, mut reached) = (Vec::new(), 1usize);
            while reached < size {
                let axis = rest.next()?;
                reached = reached.checked_mul(axis.size(shape))?;
                taken.push(axis);
            }
            if reached != size {
                return None;
            }
            axes.push(taken);
        }
        if rest.peek().is_some() {
            return None;
        }
        axes.extend_from_slice(self.0.get(at + from..)?);
        Some(View(axes))
    }

    /// The view of what two tensors give that are joined value by value: none where an
    /// axis runs over different things in them.
    pub fn joined(&self, shape: &Shape, other: &View, other_shape: &Shape) -> Option<View> {
        if self.0.len() != other.0.len() {
            return None;
        }
        let mut axes: Vec<Vec<Axis>> = Vec::with_capacity(self.0.len());
        for at in 0..self.0.len() {
            let (a, b) = (self.long(at, shape), other.long(at, other_shape));
            if !a.is_empty() && !b.is_empty() && a != b {
                return None;
            }
            axes.push(if a.is_empty() { b } else { a });
        }
        // Axes of length 1 keep the meaning that one of them knows.
        for at in 0..axes.len() {
            for known in [self, other] {
                for &axis in known.0.get(at)? {
                    let named = axes.iter().flatten().any(|&other| other == axis);
                    if axes.get(at)?.is_empty() && !named {
                        axes.get_mut(at)?.push(axis);
                    }
                }
            }
        }
        let joined = View(axes);
        let once = [Axis::Frames, Axis::Height, Axis::Width, Axis::Channels]
            .iter()
            .all(|axis| joined.0.iter().flatten().filter(|&other| other == axis).count() <= 1);
        once.then_some(joined)
    }
}
