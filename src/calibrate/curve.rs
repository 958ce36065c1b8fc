//! How the loss of a set of samples depends on the temperature, in few numbers.

use super::scaling::MOST_TEMPERATURE;
use super::state::Numbers;

/// Inverse temperatures at which the curve is known: 2^(k/2 - 4), from 1/16 to 16.
const NODES: usize = 17;
/// Their distance in ln β.
const STEP: f64 = std::f64::consts::LN_2 / 2.0;
/// Exponentials below this are nothing; squaring them would make denormals,
/// which are slow.
const TINY: f64 = 1e-150;
/// Sums are kept in so many parts, so that they can be added side by side.
const LANES: usize = 4;
/// A prior on ln T, as strong as this much curvature (a standard deviation of
/// 0.5): no fit from two samples runs to the bounds.
pub(super) const PRIOR: f64 = 4.0;
/// Newton steps of a fit at most; the interval is halved where one fails.
const MOST_STEPS: usize = 60;

/// Slope and curvature of the negative log-likelihood of softmax(β z) over
/// s = ln β, summed over samples, at [`NODES`] inverse temperatures. Sums of
/// samples are sums of curves: a window needs no sample, and a fit over a
/// thousand samples costs as much as one over ten.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Curve {
    slope: [f64; NODES],
    bend: [f64; NODES],
}

impl Curve {
    /// Of no sample.
    pub const fn new() -> Self {
        Curve { slope: [0.0; NODES], bend: [0.0; NODES] }
    }

    /// Adds the sample `z` (logits less the greatest) of class `truth`, with a
    /// weight. `a` and `b` are scratch.
    ///
    /// With f(β) = ln Σ exp(β z_j) - β z_truth: f' = E z - z_truth and f'' = Var z
    /// under softmax(β z); over ln β the slope is β f' and the curvature
    /// β² f'' + β f'. Each node's exponentials are those of two nodes before,
    /// squared.
    pub fn add(&mut self, z: &[f64], truth: usize, weight: f64, scratch: &mut Powers) {
        let right = z.get(truth).copied().unwrap_or_default();
        for k in 0..NODES {
            let beta = beta(k);
            let powers = if k % 2 == 0 { &mut scratch.even } else { &mut scratch.odd };
            if k < 2 {
                powers.clear();
                powers.extend(z.iter().map(|z| (beta * z).exp()));
            } else {
                for e in powers.iter_mut() {
                    *e = if *e > TINY { *e * *e } else { 0.0 };
                }
            }
            let (sum, first, second) = moments(z, powers);
            let mean = first / sum;
            let slope = beta * (mean - right);
            self.slope[k] += weight * slope;
            self.bend[k] += weight * (beta * beta * (second / sum - mean * mean).max(0.0) + slope);
        }
    }

    /// Adds all samples of another.
    pub fn merge(&mut self, other: &Curve) {
        for (sum, part) in self.slope.iter_mut().zip(other.slope) {
            *sum += part;
        }
        for (sum, part) in self.bend.iter_mut().zip(other.bend) {
            *sum += part;
        }
    }

    /// The β with the least loss, with a weak prior around `prior`: Newton steps
    /// from `start` over the slope between the nodes (cubic Hermite), halving
    /// the interval where a step would leave it.
    pub fn least(&self, start: f64, prior: f64) -> f64 {
        let centre = prior.ln();
        let at = |s: f64| {
            let (slope, bend) = self.at(s);
            (slope + PRIOR * (s - centre), bend + PRIOR)
        };
        let most = MOST_TEMPERATURE.ln();
        newton(at, start.ln().clamp(-most, most), -most, most).exp()
    }

    /// Slope and curvature at s = ln β.
    fn at(&self, s: f64) -> (f64, f64) {
        let place = (s + MOST_TEMPERATURE.ln()) / STEP;
        let k = (place.max(0.0) as usize).min(NODES - 2);
        let u = place - k as f64;
        let (f0, f1) = (self.slope[k], self.slope[k + 1]);
        let (d0, d1) = (self.bend[k] * STEP, self.bend[k + 1] * STEP);
        // f0 + d0 u + c u² + d u³ with the two slopes' values and derivatives.
        let (c, d) = (3.0 * (f1 - f0) - 2.0 * d0 - d1, d0 + d1 - 2.0 * (f1 - f0));
        (f0 + u * (d0 + u * (c + u * d)), (d0 + u * (2.0 * c + 3.0 * u * d)) / STEP)
    }

    pub fn write(&self, out: &mut Vec<f64>) {
        out.extend(self.slope);
        out.extend(self.bend);
    }

    pub fn read(&mut self, numbers: &mut Numbers<'_>) -> Option<()> {
        numbers.fill(&mut self.slope, f64::MIN, f64::MAX)?;
        numbers.fill(&mut self.bend, f64::MIN, f64::MAX)
    }
}

/// Exponentials of one sample at two neighbouring nodes.
#[derive(Clone, Debug, Default)]
pub(super) struct Powers {
    even: Vec<f64>,
    odd: Vec<f64>,
}

fn beta(k: usize) -> f64 {
    (k as f64 * STEP).exp() / MOST_TEMPERATURE
}

/// Σ e, Σ e z and Σ e z².
fn moments(z: &[f64], e: &[f64]) -> (f64, f64, f64) {
    let mut sums = [[0.0; LANES]; 3];
    for (z, e) in z.chunks(LANES).zip(e.chunks(LANES)) {
        for (lane, (z, e)) in z.iter().zip(e).enumerate() {
            let ez = e * z;
            sums[0][lane] += e;
            sums[1][lane] += ez;
            sums[2][lane] += ez * z;
        }
    }
    let [sum, first, second] = sums.map(|lanes| lanes.iter().sum());
    (sum, first, second)
}

/// Where a slope that rises through zero between `low` and `high` is zero; the
/// nearer end where it does not. `at` gives the slope and its derivative.
pub(super) fn newton(
    mut at: impl FnMut(f64) -> (f64, f64),
    start: f64,
    mut low: f64,
    mut high: f64,
) -> f64 {
    let mut s = start;
    for _ in 0..MOST_STEPS {
        let (slope, bend) = at(s);
        if slope > 0.0 {
            high = s;
        } else {
            low = s;
        }
        let step = if bend > 0.0 { -slope / bend } else { f64::NAN };
        let next = s + step;
        // Also where a step is no number.
        let next = if next > low && next < high { next } else { 0.5 * (low + high) };
        let moved = (next - s).abs();
        s = next;
        if moved < 1e-9 {
            break;
        }
    }
    s
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Vec<(Vec<f64>, usize)> {
        (0..300)
            .map(|i| {
                let z = |j: usize| -(((i * 37 + j * 101) % 97) as f64) / 12.0;
                let mut z: Vec<f64> = (0..5).map(z).collect();
                let top = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                z.iter_mut().for_each(|z| *z -= top);
                let best = z.iter().position(|&z| z == 0.0).unwrap();
                (z, if i % 5 < 3 { best } else { i % 5 })
            })
            .collect()
    }

    /// Straight from the definition.
    fn slope(samples: &[(Vec<f64>, usize)], s: f64) -> f64 {
        let beta = s.exp();
        let slope = |(z, truth): &(Vec<f64>, usize)| {
            let e: Vec<f64> = z.iter().map(|z| (beta * z).exp()).collect();
            let mean = e.iter().zip(z).map(|(e, z)| e * z).sum::<f64>() / e.iter().sum::<f64>();
            beta * (mean - z[*truth])
        };
        samples.iter().map(slope).sum()
    }

    #[test]
    fn the_curve_follows_the_loss_between_its_nodes() {
        let samples = samples();
        let (mut curve, mut powers) = (Curve::new(), Powers::default());
        samples.iter().for_each(|(z, truth)| curve.add(z, *truth, 1.0, &mut powers));
        for k in -27..=27 {
            let s = f64::from(k) / 10.0;
            let (exact, (known, bend)) = (slope(&samples, s), curve.at(s));
            assert!((exact - known).abs() < 2e-3 * 300.0, "{s}: {exact} {known}");
            let numeric = (slope(&samples, s + 1e-5) - slope(&samples, s - 1e-5)) / 2e-5;
            assert!((numeric - bend).abs() < 2e-2 * 300.0, "{s}: {numeric} {bend}");
        }
    }

    #[test]
    fn the_least_loss_is_where_the_slope_is_zero_from_any_start() {
        let samples = samples();
        let (mut curve, mut powers) = (Curve::new(), Powers::default());
        samples.iter().for_each(|(z, truth)| curve.add(z, *truth, 1.0, &mut powers));
        let exact = newton(
            |s| {
                let pull = |s: f64| slope(&samples, s) + PRIOR * s;
                (pull(s), (pull(s + 1e-5) - pull(s - 1e-5)) / 2e-5)
            },
            0.0,
            -2.7,
            2.7,
        );
        for start in [1.0 / 16.0, 1.0, 16.0] {
            let beta = curve.least(start, 1.0);
            assert!((beta.ln() - exact).abs() < 1e-3, "{start}: {} {exact}", beta.ln());
        }
    }

    #[test]
    fn no_sample_gives_the_prior_and_hopeless_ones_a_bounded_temperature() {
        assert!((Curve::new().least(1.0, 0.5) - 0.5).abs() < 1e-6);
        let (mut curve, mut powers) = (Curve::new(), Powers::default());
        // Always sure, always wrong.
        (0..1000).for_each(|_| curve.add(&[0.0, -50.0], 1, 1.0, &mut powers));
        assert!((curve.least(1.0, 1.0) - 1.0 / 16.0).abs() < 1e-6);
        let mut curve = Curve::new();
        (0..1000).for_each(|_| curve.add(&[0.0, -0.1], 0, 1.0, &mut powers));
        assert!((curve.least(1.0, 1.0) - 16.0).abs() < 1e-6);
    }
}
