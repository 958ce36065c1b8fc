//! Pools and reductions: the largest or the mean of a neighbourhood, of a frame, of all.

use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::cnn::{MaxPool, PoolSpec, SumPool};
use tract_onnx::tract_core::ops::nn::{Reduce, Reducer};

use super::convolution::{Geometry, channel_axis};
use super::view::Axis;
use super::{Import, Pending, Value, plain, unknown};
use crate::model::graph::{Op, Pad, Shape};
use crate::model::kernels::{Activation, PoolKind};

impl Import<'_> {
    pub(super) fn max_pool(&mut self, node: &TypedNode, op: &MaxPool) -> Result<Value, String> {
        let Some(&input) = node.inputs.first() else { return Err(unknown(node)) };
        let value = self.value(input)?;
        // Zeros around it are as good as nothing around it where no value is below zero
        // and no window lies wholly among them.
        let value = match value.pending {
            Pending::Pad(zeros) if !value.repeated && self.above_zero(value.node) => {
                let mut geometry = self.pool_geometry(&op.pool_spec, &value)?;
                if reaches_inside(&geometry, zeros, &value.shape) {
                    let value = self.taken(input, value, &mut geometry)?;
                    return self.pool(node, PoolKind::Max, geometry, &value);
                }
                self.whole(input)?
            }
            _ => self.whole(input)?,
        };
        let geometry = self.pool_geometry(&op.pool_spec, &value)?;
        self.pool(node, PoolKind::Max, geometry, &value)
    }

    pub(super) fn sum_pool(&mut self, node: &TypedNode, op: &SumPool) -> Result<Value, String> {
        let Some(&input) = node.inputs.first() else { return Err(unknown(node)) };
        let mut value = self.value(input)?;
        if !matches!(value.pending, Pending::Pad(_)) || value.repeated {
            value = self.whole(input)?;
        }
        let mut geometry = self.pool_geometry(&op.pool_spec, &value)?;
        let mut padded = op.count_include_pad && geometry.padded;
        if padded && geometry.beyond || !op.normalize && !padded && geometry.pad != Pad::default() {
            return Err("its windows at the edge count another number of values".into());
        }
        if let Pending::Pad(_) = value.pending {
            // The zeros are values like others; there must be none that are not.
            if padded || geometry.pad == Pad::default() {
                padded = true;
                value = self.taken(input, value, &mut geometry)?;
            } else {
                value = self.whole(input)?;
            }
        }
        let taps = geometry.kernel.iter().fold(1usize, |all, &taps| all.saturating_mul(taps));
        let kind = if padded { PoolKind::PaddedMean } else { PoolKind::Mean };
        // A mean over all of time is a mean of means, and in a stream one over the last
        // frames.
        let inside = self.nodes.get(value.node).map_or(value.shape, |node| node.shape);
        let over_time = geometry.pad[0] == [0, 0]
            && geometry.kernel[0] == inside.frames
            && geometry.shape.frames == 1
            && inside.frames > 1;
        if over_time {
            (geometry.kernel[0], geometry.stride[0]) = (1, 1);
        }
        let shape = geometry.shape;
        geometry.shape.frames = if over_time { inside.frames } else { shape.frames };
        let whole_frame = geometry.kernel == [1, inside.height, inside.width]
            && geometry.pad == Pad::default()
            && (shape.height, shape.width) == (1, 1);
        let untouched = (geometry.kernel, geometry.stride, geometry.pad);
        let mut result = if untouched == ([1; 3], [1; 3], Pad::default()) {
            Value::new(value.node, geometry.view.clone(), inside)
        } else if whole_frame && geometry.stride[0] == 1 {
            let shape = geometry.shape;
            let id = self.push(plain(&node.name), Op::SpaceMean, vec![value.node], shape);
            Value::new(id, geometry.view.clone(), shape)
        } else {
            self.pool(node, kind, geometry, &value)?
        };
        if over_time {
            let id = self.push(plain(&node.name), Op::TimeMean, vec![result.node], shape);
            result = Value { node: id, shape, ..result };
        }
        if !op.normalize && taps > 1 {
            result.pending = Pending::Times(taps as f32);
        }
        Ok(result)
    }

    pub(super) fn reduce(&mut self, node: &TypedNode, op: &Reduce) -> Result<Value, String> {
        let Some(&input) = node.inputs.first() else { return Err(unknown(node)) };
        let value = self.whole(input)?;
        let over: Vec<Axis> =
            op.axes.iter().flat_map(|&at| value.view.long(at, &value.shape)).collect();
        if over.contains(&Axis::Channels) {
            return Err("it takes a mean, sum or maximum over channels".into());
        }
        let kind = match op.reducer {
            Reducer::Sum | Reducer::MeanOfSquares => PoolKind::Mean,
            Reducer::Max => PoolKind::Max,
            _ => return Err(format!("its reduction {:?} is not supported", op.reducer)),
        };
        let Shape { frames, height, width, channels } = value.shape;
        let [over_time, down, across] = Axis::EXTENTS.map(|axis| over.contains(&axis));
        let name = plain(&node.name);
        let mut shape = Shape {
            frames,
            height: if down { 1 } else { height },
            width: if across { 1 } else { width },
            channels,
        };
        let mut id = value.node;
        if op.reducer == Reducer::MeanOfSquares {
            let squares = Op::Multiply(Activation::None);
            id = self.push(name, squares, vec![id, id], value.shape);
        }
        let mean = kind == PoolKind::Mean;
        if mean && (down || across) && (shape.height, shape.width) == (1, 1) {
            id = self.push(name, Op::SpaceMean, vec![id], shape);
        } else if down || across || (over_time && !mean) {
            let in_time = if over_time && !mean { frames } else { 1 };
            shape.frames = frames / in_time;
            let kernel = [in_time, height / shape.height, width / shape.width];
            let op = Op::Pool { kind, kernel, stride: [1; 3], pad: Pad::default() };
            id = self.push(name, op, vec![id], shape);
        }
        if mean && over_time {
            shape.frames = 1;
            id = self.push(name, Op::TimeMean, vec![id], shape);
        }
        let count: usize = over.iter().map(|axis| axis.size(&value.shape)).product();
        let mut result = Value::new(id, value.view, shape);
        if op.reducer == Reducer::Sum && count > 1 {
            result.pending = Pending::Times(count as f32);
        }
        Ok(result)
    }

    fn pool_geometry(&self, spec: &PoolSpec, value: &Value) -> Result<Geometry, String> {
        let channels = value.view.long(channel_axis(spec), &value.shape);
        if !channels.is_empty() && channels != [Axis::Channels] {
            return Err("it takes frames or pixels for channels".into());
        }
        let geometry = Geometry::of(spec, value)?;
        if geometry.dilation > 1 {
            return Err("it is a pool with gaps between frames (dilation)".into());
        }
        Ok(geometry)
    }

    fn pool(
        &mut self,
        node: &TypedNode,
        kind: PoolKind,
        geometry: Geometry,
        value: &Value,
    ) -> Result<Value, String> {
        let Geometry { kernel, stride, pad, shape, view, .. } = geometry;
        let op = Op::Pool { kind, kernel, stride, pad };
        let id = self.push(plain(&node.name), op, vec![value.node], shape);
        Ok(Value::new(id, view, shape))
    }
}

/// Whether every window of `geometry` over a tensor that `zeros` were added to holds a
/// value of the tensor.
fn reaches_inside(geometry: &Geometry, zeros: Pad, shape: &Shape) -> bool {
    Axis::EXTENTS.iter().enumerate().all(|(place, axis)| {
        let [zeros_before, zeros_after] = zeros[place];
        let before = geometry.pad[place][0].saturating_add(zeros_before);
        let inside = axis.size(shape).saturating_sub(zeros_before).saturating_sub(zeros_after);
        let windows = axis.size(&geometry.shape);
        let last = windows.saturating_sub(1).saturating_mul(geometry.stride[place]);
        before < geometry.kernel[place] && last < before.saturating_add(inside)
    })
}
