//! Values that the file holds.

use tract_onnx::prelude::*;

use super::Import;
use super::view::{Axis, View};
use crate::model::graph::Shape;

/// A tensor of constants.
pub(super) struct Constant<'m> {
    pub values: &'m [f32],
    pub shape: &'m [usize],
}

/// Constants as one side of an operator that works value by value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum PerChannel {
    /// The same for all.
    Same(f32),
    /// One for each channel.
    Each(Vec<f32>),
}

impl PerChannel {
    /// A value for each of `channels`.
    pub fn spread(self, channels: usize) -> Vec<f32> {
        match self {
            PerChannel::Same(value) => vec![value; channels],
            PerChannel::Each(values) => values,
        }
    }

    pub fn map(self, f: impl Fn(f32) -> f32) -> Self {
        match self {
            PerChannel::Same(value) => PerChannel::Same(f(value)),
            PerChannel::Each(values) => PerChannel::Each(values.into_iter().map(f).collect()),
        }
    }
}

impl<'m> Import<'m> {
    /// The constant that `outlet` is; none where it is computed.
    pub(super) fn constant(&self, outlet: OutletId) -> Result<Option<Constant<'m>>, String> {
        let Some(tensor) = &self.fact(outlet)?.konst else { return Ok(None) };
        let view = tensor
            .as_plain_ram()
            .filter(|_| tensor.datum_type() == DatumType::F32)
            .ok_or("it uses constants that are not plain f32 values")?;
        let values = view.as_slice::<f32>().map_err(|_| "its constants cannot be read")?;
        Ok(Some(Constant { values, shape: tensor.shape() }))
    }
}

impl Constant<'_> {
    /// The constant beside a tensor of `shape` seen as `view`.
    pub fn per_channel(&self, view: &View, shape: &Shape) -> Result<PerChannel, String> {
        let repeats = "it repeats a computed tensor to match constants";
        let sizes = view.sizes(shape);
        // Missing axes stand in front, as in NumPy.
        let Some(missing) = sizes.len().checked_sub(self.shape.len()) else {
            return Err(repeats.into());
        };
        let beside = sizes.iter().skip(missing);
        if self.shape.iter().zip(beside).any(|(&size, &other)| size > 1 && size != other) {
            return Err(repeats.into());
        }
        if let Some(&first) = self.values.first()
            && self.values.iter().all(|&value| value == first)
        {
            return Ok(PerChannel::Same(first));
        }
        let mut along = self.shape.iter().enumerate().filter(|(_, size)| **size > 1);
        let per_channel = match (along.next(), along.next()) {
            (Some((at, _)), None) => view.long(at + missing, shape) == [Axis::Channels],
            _ => false,
        };
        if !per_channel {
            return Err(
                "it uses constants that differ from frame to frame or pixel to pixel".into()
            );
        }
        Ok(PerChannel::Each(self.values.to_vec()))
    }
}
