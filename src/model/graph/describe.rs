//! Operators in words, for profiles.

use std::fmt;

use super::{Conv, Op};
use crate::model::kernels::PoolKind;

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Op::Input => f.write_str("input"),
            Op::Conv(conv) => conv.fmt(f),
            Op::Pool { kind, kernel, stride, .. } => {
                f.write_str(match kind {
                    PoolKind::Max => "max pool ",
                    PoolKind::Mean | PoolKind::PaddedMean => "mean pool ",
                })?;
                taps(*kernel, *stride, f)
            }
            Op::SpaceMean => f.write_str("mean over space"),
            Op::TimeMean => f.write_str("mean over time"),
            Op::Activation(_) => f.write_str("activation"),
            Op::Affine { .. } => f.write_str("scale and offset"),
            Op::Add(_) => f.write_str("add"),
            Op::Multiply(_) => f.write_str("multiply"),
            Op::Concat => f.write_str("concat"),
            Op::Softmax => f.write_str("softmax"),
        }
    }
}

impl fmt::Display for Conv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.depthwise { "depthwise " } else { "conv " })?;
        taps(self.kernel, self.stride, f)
    }
}

/// `1×3×3`, and `/1×2×2` where there is a stride.
fn taps(kernel: [usize; 3], stride: [usize; 3], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let [time, down, across] = kernel;
    write!(f, "{time}×{down}×{across}")?;
    match stride {
        [1, 1, 1] => Ok(()),
        [time, down, across] => write!(f, " /{time}×{down}×{across}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::graph::Pad;
    use crate::model::kernels::Activation;

    #[test]
    fn operators_are_told_by_kind_kernel_and_stride() {
        let mut conv = Conv {
            kernel: [1; 3],
            stride: [1; 3],
            dilation: 1,
            pad: Pad::default(),
            depthwise: false,
            weights: Vec::new(),
            bias: Vec::new(),
            before: None,
            residual: false,
            after: Activation::None,
        };
        assert_eq!(Op::Conv(Box::new(conv.clone())).to_string(), "conv 1×1×1");
        (conv.kernel, conv.stride, conv.depthwise) = ([3; 3], [1, 2, 2], true);
        assert_eq!(Op::Conv(Box::new(conv)).to_string(), "depthwise 3×3×3 /1×2×2");
        let (kernel, stride, pad) = ([2, 3, 3], [1; 3], Pad::default());
        let pool = |kind| Op::Pool { kind, kernel, stride, pad }.to_string();
        assert_eq!(pool(PoolKind::Max), "max pool 2×3×3");
        assert_eq!(pool(PoolKind::PaddedMean), "mean pool 2×3×3");
        assert_eq!(Op::TimeMean.to_string(), "mean over time");
    }
}
