//! Colours that colour-blind people can tell apart, on light and on dark paper.

use std::fmt::Write as _;
use std::sync::LazyLock;

/// Colours for classes and curves; further ones are grey.
pub(super) const HUES: usize = 8;
/// Steps of the heat map.
pub(super) const STEPS: usize = 20;

/// Okabe and Ito, "Color Universal Design" (2008): eight colours that people
/// with any common colour blindness can tell apart. The first two mean right and
/// wrong, too. Yellow comes last: it is faint on white.
const LIGHT: [&str; HUES] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#555555", "#d8c400"];
/// The same hues, lighter where they would drown in the dark.
const DARK: [&str; HUES] =
    ["#4aa8e0", "#ff8a3c", "#2fc79a", "#e29ac4", "#f0b429", "#9ad4f5", "#b8b8b8", "#f0e442"];
/// Whether white type reads better than black on a light page's colour.
const WHITE_TYPE: [bool; HUES] = [true, false, false, false, false, false, true, false];

/// Points along viridis (Smith and van der Walt, matplotlib, 2015): its
/// lightness rises evenly, so that it can be read in grey as well.
const VIRIDIS: [[f64; 3]; 9] = [
    [68.0, 1.0, 84.0],
    [71.0, 45.0, 123.0],
    [59.0, 82.0, 139.0],
    [44.0, 114.0, 142.0],
    [33.0, 145.0, 140.0],
    [40.0, 174.0, 128.0],
    [94.0, 201.0, 98.0],
    [173.0, 220.0, 48.0],
    [253.0, 231.0, 37.0],
];

fn viridis(place: f64) -> String {
    let along = place.clamp(0.0, 1.0) * (VIRIDIS.len() - 1) as f64;
    let from = (along as usize).min(VIRIDIS.len() - 2);
    let part = along - from as f64;
    let mix = |c: usize| {
        let (a, b) = (VIRIDIS[from][c], VIRIDIS[from + 1][c]);
        (a + (b - a) * part).round() as u8
    };
    format!("#{:02x}{:02x}{:02x}", mix(0), mix(1), mix(2))
}

/// The colour of a step of the heat map: what is much stands out from the paper,
/// dark on light and light on dark, and what is little can still be seen on it.
fn heat(step: usize, light: bool) -> String {
    let place = (step - 1) as f64 / (STEPS - 1) as f64;
    viridis(if light { 0.92 * (1.0 - place) } else { 0.1 + 0.9 * place })
}

/// The style sheet of every chart: paper and ink, `f0`… to fill and `s0`… to
/// stroke with a hue (`fx`, `sx` grey), `t0`… for type upon it, `h1`…`h20` for
/// the heat map and `hlo`, `hhi` for type upon its lower and upper half.
pub(in crate::report) fn style() -> &'static str {
    static STYLE: LazyLock<String> = LazyLock::new(|| {
        let mut css = String::from(
            ".chart{font:12px system-ui,-apple-system,\"Segoe UI\",Roboto,\"DejaVu Sans\",sans-serif}\
             .small{font-size:10px}.bold{font-weight:600}\
             .curve{fill:none;stroke-width:1.6;stroke-linejoin:round}.thin{stroke-width:.8}.thick{stroke-width:3}\
             .d1{stroke-dasharray:6 3}.d2{stroke-dasharray:2 2}.d3{stroke-dasharray:8 3 2 3}",
        );
        theme(&mut css, true);
        css.push_str("@media (prefers-color-scheme:dark){");
        theme(&mut css, false);
        css.push('}');
        css
    });
    &STYLE
}

fn theme(css: &mut String, light: bool) {
    let (paper, ink, soft, grid, grey, none) = match light {
        true => ("#ffffff", "#1a1d21", "#59626c", "#dfe3e8", "#a3acb5", "#f3f5f7"),
        false => ("#14171b", "#e8eaed", "#a2abb5", "#343a42", "#6d7680", "#1c2026"),
    };
    let _ = write!(
        css,
        ".paper{{fill:{paper}}}.none{{fill:{none}}}.ink{{fill:{ink}}}.soft{{fill:{soft}}}\
         .axis{{stroke:{soft};fill:none}}.grid{{stroke:{grid};fill:none}}.edge{{stroke:{paper};stroke-width:.6}}\
         .fx{{fill:{grey}}}.sx{{stroke:{grey}}}.tx{{fill:#111}}.mark{{fill:none;stroke:{ink};stroke-width:2;vector-effect:non-scaling-stroke}}"
    );
    let hues = if light { LIGHT } else { DARK };
    for (i, hue) in hues.iter().enumerate() {
        let type_ = if light && WHITE_TYPE[i] { "#fff" } else { "#111" };
        let _ = write!(css, ".f{i}{{fill:{hue}}}.s{i}{{stroke:{hue}}}.t{i}{{fill:{type_}}}");
    }
    for step in 1..=STEPS {
        let _ = write!(css, ".h{step}{{fill:{}}}", heat(step, light));
    }
    let (low, high) = if light { ("#111", "#fff") } else { ("#fff", "#111") };
    let _ = write!(css, ".hlo{{fill:{low}}}.hhi{{fill:{high}}}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn luminance(hex: &str) -> f64 {
        let part = |at: usize| {
            let c = f64::from(u8::from_str_radix(&hex[at..at + 2], 16).unwrap()) / 255.0;
            if c <= 0.040_45 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * part(1) + 0.7152 * part(3) + 0.0722 * part(5)
    }

    fn contrast(a: &str, b: &str) -> f64 {
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    /// WCAG 2.1, 1.4.3: 4.5 for type.
    #[test]
    fn type_can_be_read_on_every_colour() {
        for (i, white) in WHITE_TYPE.iter().enumerate() {
            let type_ = if *white { "#ffffff" } else { "#111111" };
            assert!(contrast(LIGHT[i], type_) >= 4.5, "{} on {type_}", LIGHT[i]);
            assert!(contrast(DARK[i], "#111111") >= 4.5, "{}", DARK[i]);
        }
        for step in 1..=STEPS {
            let (light, dark) = (heat(step, true), heat(step, false));
            let upper = step > STEPS / 2;
            let (on_light, on_dark) =
                if upper { ("#ffffff", "#111111") } else { ("#111111", "#ffffff") };
            assert!(contrast(&light, on_light) >= 3.0, "step {step}: {light}");
            assert!(contrast(&dark, on_dark) >= 3.0, "step {step}: {dark}");
        }
    }

    /// WCAG 2.1, 1.4.11: 3 for what must be seen; Okabe and Ito's yellow and sky
    /// blue stay below on white and never stand alone.
    #[test]
    fn right_and_wrong_stand_out_from_the_paper() {
        for hue in 0..2 {
            assert!(contrast(LIGHT[hue], "#ffffff") >= 3.0);
            assert!(contrast(DARK[hue], "#14171b") >= 3.0);
        }
    }
}
