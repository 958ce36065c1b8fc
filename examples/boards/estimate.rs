//! What a step of a model costs on a board that nobody ran it on, from what it costs
//! here and from the board's published figures. docs/boards.md says why it is so.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use kinewatch::error::{Error, Result};
use serde::Deserialize;

/// docs/boards.toml.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    pub measured: Measured,
    pub decoding: Decoding,
    #[serde(rename = "board")]
    pub boards: Vec<Board>,
    #[serde(rename = "model")]
    pub models: Vec<Model>,
}

/// The machine that models were measured on.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    pub machine: String,
    pub date: String,
    /// Multiply-adds of one core in registers, GFLOP/s, by the name of the instructions.
    pub gflops: BTreeMap<String, f64>,
    /// What one core reads of 16 MiB again and again, GB/s.
    pub reads_gb_per_s: f64,
}

/// A board, as others published it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Board {
    pub name: String,
    /// Its file in configs/boards, without `.toml`.
    pub file: String,
    pub cpu: String,
    pub cores: u32,
    /// Single-precision multiply-adds of one core, GFLOP/s.
    pub gflops_per_core: f64,
    /// What one core copies, GB/s: read once and written once.
    pub copies_gb_per_s: f64,
    /// 7-Zip's rating of one core, MIPS: how fast plain integer code is.
    pub seven_zip_mips: f64,
    /// What decodes H.264.
    pub decoder: String,
    /// Where each figure was found.
    pub sources: Vec<String>,
}

/// A model in one mode, measured here.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    pub name: String,
    pub mode: String,
    /// Sampled frames a second, as it was trained.
    pub rate: f64,
    /// Of a step.
    pub multiply_adds: f64,
    /// Processor time of a step on one core, by the name of the instructions.
    pub ms: BTreeMap<String, f64>,
    /// Whether a step is done for each sampled frame, whatever `hop` is.
    pub every_frame: bool,
}

/// Software decoding that somebody timed on a board.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decoding {
    /// 7-Zip's rating of one core of that board.
    pub seven_zip_mips: f64,
    /// Cores that were busy at most.
    pub cores: f64,
    /// Frames a second that a camera sends.
    pub camera_fps: f64,
    /// Decoded frames a second, by picture size.
    pub fps: BTreeMap<String, f64>,
    pub source: String,
}

/// Between what.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    pub low: f64,
    pub high: f64,
}

impl Range {
    fn times(self, factor: f64) -> Range {
        Range { low: self.low * factor, high: self.high * factor }
    }
}

/// A board's core is not to be used further than this, so that a bad minute is no
/// overload.
const FULL: f64 = 0.7;

impl Data {
    /// # Errors
    /// The file is not there, or is no such table.
    pub fn read(path: &Path) -> Result<Data> {
        let doing = format!("reading {}", path.display());
        let text =
            std::fs::read_to_string(path).map_err(|error| Error::unavailable(&doing, error))?;
        toml::from_str(&text).map_err(|error| Error::config(&doing, error))
    }
}

/// The share of the peak that a step reaches here, from the least to the greatest of
/// the instruction sets.
fn efficiency(model: &Model, measured: &Measured) -> Range {
    let shares = model.ms.iter().filter_map(|(isa, ms)| {
        let peak = measured.gflops.get(isa)?;
        Some(2.0 * model.multiply_adds / 1e6 / ms / peak)
    });
    let (low, high) = shares
        .fold((1.0f64, 0.0f64), |(low, high), share| (low.min(share), high.max(share.min(1.0))));
    Range { low, high }
}

/// Processor time of a step of `model` on one core of `board`, milliseconds.
pub fn step_ms(model: &Model, board: &Board, measured: &Measured) -> Range {
    let share = efficiency(model, measured);
    let at_peak = 2.0 * model.multiply_adds / 1e6 / board.gflops_per_core;
    Range { low: at_peak / share.high, high: at_peak / share.low }
}

/// The share of one core that a prediction at each sampled frame takes.
fn share(model: &Model, board: &Board, measured: &Measured) -> Range {
    step_ms(model, board, measured).times(model.rate / 1e3)
}

/// Two digits, which is more than is known.
fn digits(value: f64) -> String {
    if value <= 0.0 {
        return "0".into();
    }
    let places = 1 - value.abs().log10().floor() as i32;
    let unit = 10f64.powi(places);
    format!("{:.*}", places.max(0) as usize, (value * unit).round() / unit)
}

fn range(range: Range, unit: &str) -> String {
    format!("{}–{}{unit}", digits(range.low), digits(range.high))
}

/// A row of a table.
fn row(cells: impl IntoIterator<Item = String>) -> String {
    format!("| {} |\n", cells.into_iter().collect::<Vec<_>>().join(" | "))
}

/// A table with a column for each board.
fn by_board(
    data: &Data,
    first: &str,
    rows: impl Fn(&Board) -> Vec<String>,
    names: Vec<String>,
) -> String {
    let columns: Vec<Vec<String>> = data.boards.iter().map(rows).collect();
    let mut text =
        row(std::iter::once(first.to_owned()).chain(data.boards.iter().map(|b| b.name.clone())));
    text += &row(
        std::iter::once("---".to_owned()).chain(data.boards.iter().map(|_| "---:".to_owned()))
    );
    for (index, name) in names.into_iter().enumerate() {
        let cells = columns.iter().map(|column| column.get(index).cloned().unwrap_or_default());
        text += &row(std::iter::once(name).chain(cells));
    }
    text
}

fn by_model(data: &Data, cell: impl Fn(&Model, &Board) -> String) -> String {
    let names =
        data.models.iter().map(|model| format!("{} `{}`", model.name, model.mode)).collect();
    by_board(
        data,
        "estimate",
        |board| data.models.iter().map(|model| cell(model, board)).collect(),
        names,
    )
}

fn boards(data: &Data) -> String {
    let mut text = row([
        "",
        "CPU",
        "GFLOP/s a core",
        "copies, GB/s a core",
        "GFLOP/s for each GB/s",
        "7-Zip, MIPS a core",
        "H.264 is decoded by",
    ]
    .map(String::from));
    text += "| --- | --- | ---: | ---: | ---: | ---: | --- |\n";
    for board in &data.boards {
        text += &row([
            format!("[{0}](../configs/boards/{1}.toml)", board.name, board.file),
            board.cpu.clone(),
            format!("{:.1}", board.gflops_per_core),
            format!("{:.1}", board.copies_gb_per_s),
            format!("{:.1}", board.gflops_per_core / (2.0 * board.copies_gb_per_s)),
            format!("{:.0}", board.seven_zip_mips),
            board.decoder.clone(),
        ]);
    }
    text
}

fn sources(data: &Data) -> String {
    let mut text = String::new();
    for board in &data.boards {
        let _ = writeln!(text, "- {}: {}.", board.name, board.sources.join("; "));
    }
    let _ = writeln!(text, "- Software decoding: {}.", data.decoding.source);
    text
}

fn measured(data: &Data) -> String {
    let isas: Vec<&String> = data.measured.gflops.keys().collect();
    let mut text = row(["".to_owned(), "G multiply-adds a step".to_owned()].into_iter().chain(
        isas.iter().map(|isa| format!("ms, {isa}")).chain(["share of the peak".to_owned()]),
    ));
    text += &row(
        std::iter::once("---".to_owned()).chain((0..isas.len() + 2).map(|_| "---:".to_owned()))
    );
    for model in &data.models {
        let times =
            isas.iter().map(|isa| model.ms.get(*isa).map_or("–".to_owned(), |ms| digits3(*ms)));
        let shares = efficiency(model, &data.measured).times(100.0);
        text +=
            &row([format!("{} `{}`", model.name, model.mode), digits3(model.multiply_adds / 1e9)]
                .into_iter()
                .chain(times)
                .chain([format!("{:.0}–{:.0} %", shares.low, shares.high)]));
    }
    text += &row(["peak, GFLOP/s".to_owned(), String::new()].into_iter().chain(
        data.measured.gflops.values().map(|peak| format!("{peak:.0}")).chain([String::new()]),
    ));
    text += &row(["GFLOP/s for each GB/s".to_owned(), String::new()].into_iter().chain(
        data.measured
            .gflops
            .values()
            .map(|peak| format!("{:.1}", peak / data.measured.reads_gb_per_s))
            .chain([String::new()]),
    ));
    let _ = writeln!(text, "\nMeasured on {}, {}.", data.measured.machine, data.measured.date);
    text
}

/// Three digits, of what was measured.
fn digits3(value: f64) -> String {
    let places = 2 - value.abs().max(1e-9).log10().floor() as i32;
    format!("{:.*}", places.clamp(0, 6) as usize, value)
}

/// What of a core a model takes, and where it fits.
pub fn hops(model: &Model, board: &Board, data: &Data) -> String {
    let high = share(model, board, &data.measured).high;
    if model.every_frame {
        return if high <= FULL {
            "yes".into()
        } else if high / f64::from(board.cores) <= FULL {
            "perhaps, with threads".into()
        } else {
            "no".into()
        };
    }
    let hop = (high / FULL).ceil().max(1.0);
    format!("{hop:.0} ({} s)", digits(hop / model.rate))
}

fn decoding(data: &Data) -> String {
    let Decoding { seven_zip_mips, cores, camera_fps, fps, .. } = &data.decoding;
    by_board(
        data,
        "estimate",
        |board| {
            fps.values()
                .map(|fps| {
                    let there = cores * camera_fps / fps;
                    let here = there * seven_zip_mips / board.seven_zip_mips;
                    // All cores need not have been busy; a stream may be twice as dense.
                    range(Range { low: here / 2.0, high: here * 2.0 }.times(100.0), " %")
                })
                .collect()
        },
        fps.keys().cloned().collect(),
    )
}

/// `page` with its tables computed anew: each stands between `<!-- NAME -->` and
/// `<!-- /NAME -->`.
///
/// # Errors
/// The page has not these marks.
pub fn renew(page: &str, data: &Data) -> Result<String> {
    let tables = [
        ("boards", boards(data)),
        ("measured", measured(data)),
        (
            "steps",
            by_model(data, |model, board| range(step_ms(model, board, &data.measured), " ms")),
        ),
        (
            "shares",
            by_model(data, |model, board| {
                range(share(model, board, &data.measured).times(100.0), " %")
            }),
        ),
        ("hops", by_model(data, |model, board| hops(model, board, data))),
        ("decoding", decoding(data)),
        ("sources", sources(data)),
    ];
    let mut text = page.to_owned();
    for (name, table) in tables {
        let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
        let parts = text.split_once(&begin).and_then(|(before, rest)| {
            let (_, after) = rest.split_once(&end)?;
            Some(format!("{before}{begin}\n{table}\n{end}{after}"))
        });
        text = parts.ok_or_else(|| {
            Error::config("writing the tables of the page", format!("it has no place \"{name}\""))
                .remedy(format!("put {} and {end} where the table is to be", begin.trim()))
        })?;
    }
    Ok(text)
}
