//! Pictures as SVG, for the page and as files. A chart speaks of colours by
//! class only; the style gives them, light and dark.

mod confidence;
mod confusion;
mod curves;
mod difference;
mod lines;
mod palette;
mod reliability;
mod svg;
mod timeline;

pub(super) use confidence::confidence;
pub(super) use confusion::{Cells, confusion};
pub(super) use curves::{ClassCurve, curves};
pub(super) use difference::{Difference, differences};
pub use lines::{Line, Panel, lines};
pub(super) use palette::style;
pub use reliability::reliability;
pub use svg::Svg;
pub(super) use svg::escape;
pub(super) use timeline::{Hues, timeline};

/// A share as people read it: `63.2 %`.
pub(super) fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}
