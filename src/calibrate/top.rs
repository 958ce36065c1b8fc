//! Another probability for the top label.

use super::parameters::Bin;

/// The top label stays this much above the next, as a share of its probability.
const MARGIN: f64 = 1e-4;

/// Gives the top label (the first of equals) the probability that `correct`
/// makes of its class and of what it has, and shares out the rest among the
/// others as before. Where another would then come to the top, the others are
/// drawn towards each other just so far that it does not: the order of the
/// classes never changes.
pub(super) fn replace_top(p: &mut [f32], correct: impl FnOnce(usize, f64) -> f64) {
    let mut top = 0;
    for (class, value) in p.iter().enumerate() {
        if *value > p[top] {
            top = class;
        }
    }
    let Some(&had) = p.get(top).filter(|had| had.is_finite()) else { return };
    let others = p.len().saturating_sub(1);
    if others == 0 {
        return;
    }
    let had = f64::from(had);
    let wanted = correct(top, had);
    if wanted == had || !wanted.is_finite() {
        return;
    }
    // Less than an equal share cannot be the greatest.
    let least = (1.0 + 2.0 * MARGIN) / (others as f64 + 1.0);
    let wanted = wanted.clamp(least.min(1.0), 1.0);
    let equal = (1.0 - wanted) / others as f64;
    let rest = 1.0 - had;
    // Where nothing was left to the others, they share alike.
    let (factor, mut towards) = if rest > 0.0 { ((1.0 - wanted) / rest, 0.0) } else { (0.0, 1.0) };
    let second = p.iter().enumerate().filter(|(class, _)| *class != top);
    let second = factor * f64::from(second.map(|(_, p)| *p).fold(0.0, f32::max));
    let most = wanted * (1.0 - MARGIN);
    if towards == 0.0 && second > most {
        towards = ((second - most) / (second - equal)).clamp(0.0, 1.0);
    }
    for (class, p) in p.iter_mut().enumerate() {
        let scaled = (1.0 - towards) * factor * f64::from(*p) + towards * equal;
        *p = if class == top { wanted as f32 } else { scaled as f32 };
    }
}

/// Which of the bins a probability falls into: the first that does not end
/// below it.
pub(super) fn place(bins: &[Bin], p: f64) -> usize {
    bins.partition_point(|bin| bin.to < p)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(p: &[f32], wanted: f64) -> Vec<f32> {
        let mut p = p.to_vec();
        replace_top(&mut p, |_, _| wanted);
        p
    }

    fn close(a: &[f32], b: &[f32]) -> bool {
        a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6)
    }

    #[test]
    fn the_rest_is_shared_out_as_before() {
        assert!(close(&to(&[0.1, 0.6, 0.3], 0.8), &[0.05, 0.8, 0.15]));
        assert!(close(&to(&[0.1, 0.6, 0.3], 0.52), &[0.12, 0.52, 0.36]));
        assert_eq!(to(&[0.1, 0.6, 0.3], f64::NAN), [0.1, 0.6, 0.3]);
        assert_eq!(to(&[1.0], 0.5), [1.0]);
        assert_eq!(to(&[], 0.5), [0.0; 0]);
    }

    #[test]
    fn the_order_of_the_classes_never_changes() {
        for wanted in [0.0, 0.2, 0.3, 0.35, 0.4, 0.45, 0.6, 0.9, 1.0] {
            let p = to(&[0.01, 0.35, 0.36, 0.28], wanted);
            assert!(p[2] > p[1] && p[1] >= p[3] && p[3] >= p[0], "{wanted}: {p:?}");
            assert!((p.iter().sum::<f32>() - 1.0).abs() < 1e-6, "{wanted}: {p:?}");
            assert!((f64::from(p[2]) - wanted.max(0.25)).abs() < 1e-3, "{wanted}: {p:?}");
        }
    }

    #[test]
    fn of_a_certain_label_something_may_be_left() {
        assert!(close(&to(&[1.0, 0.0, 0.0], 0.8), &[0.8, 0.1, 0.1]));
    }
}
