//! What the board's own sensors say of energy.
//!
//! Two kinds are read. Intel and AMD CPUs count energy (RAPL, which Linux shows under
//! `powercap`): the difference of two readings, modulo the counter's range. Jetsons and
//! other boards carry INA monitors (`hwmon`) that give the power of the moment: samples
//! are joined by straight lines.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Channels of an INA3221. Its higher numbers are not voltages of rails.
const CHANNELS: std::ops::RangeInclusive<u32> = 1..=3;
/// On Jetson modules: what the whole module takes; the other rails are parts of it.
const WHOLE: &str = "VDD_IN";

/// Adds up energy from its first sample to its last.
#[derive(Debug)]
pub(super) struct Meter {
    counter: String,
    source: Source,
    joules: f64,
    /// The time and, of monitors, the watts of the last sample.
    last: Option<(Instant, f64)>,
    seconds: f64,
}

#[derive(Debug)]
enum Source {
    Counters(Vec<Counter>),
    Rails(Vec<Rail>),
}

/// Microjoules since some time, wrapping after `range`.
#[derive(Debug)]
struct Counter {
    file: PathBuf,
    range: u64,
    last: Option<u64>,
}

/// What a monitor tells of one supply.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Rail {
    /// Microwatts.
    Power(PathBuf),
    /// Millivolts and milliamperes.
    Product(PathBuf, PathBuf),
}

impl Meter {
    /// The sensors of this board; `root` is `/`. Where there is none that can be read:
    /// why, in a few words.
    pub fn find(root: &Path) -> Result<Self, String> {
        let source = counters(&root.join("sys/class/powercap"))?;
        let source = match source {
            Some(found) => Some(found),
            None => rails(&root.join("sys/class/hwmon")),
        };
        let (counter, source) = source.ok_or("no counter")?;
        Ok(Meter { counter, source, joules: 0.0, last: None, seconds: 0.0 })
    }

    /// What is read.
    pub fn counter(&self) -> &str {
        &self.counter
    }

    /// When it was last read.
    pub fn sampled(&self) -> Option<Instant> {
        self.last.map(|(at, _)| at)
    }

    /// Reads the sensors at the time `at`, which is now.
    ///
    /// # Errors
    /// A sensor that was there can no longer be read: its file.
    pub fn sample(&mut self, at: Instant) -> Result<(), String> {
        let watts = match &mut self.source {
            Source::Counters(counters) => {
                for counter in counters {
                    self.joules += counter.advance()? as f64 / 1e6;
                }
                0.0
            }
            Source::Rails(rails) => rails.iter().map(Rail::watts).sum::<Result<f64, _>>()?,
        };
        if let Some((before, watts_before)) = self.last {
            let seconds = at.saturating_duration_since(before).as_secs_f64();
            self.seconds += seconds;
            self.joules += seconds * (watts + watts_before) / 2.0;
        }
        self.last = Some((at, watts));
        Ok(())
    }

    /// Joules, and the seconds that they were spent in. None before the second sample.
    pub fn total(&self) -> Option<(f64, f64)> {
        (self.seconds > 0.0).then_some((self.joules, self.seconds))
    }
}

impl Counter {
    /// Microjoules since the last reading, 0 at the first.
    fn advance(&mut self) -> Result<u64, String> {
        let now = number(&self.file)?;
        let before = self.last.replace(now).unwrap_or(now);
        Ok(if now >= before { now - before } else { (self.range - before.min(self.range)) + now })
    }
}

impl Rail {
    fn watts(&self) -> Result<f64, String> {
        Ok(match self {
            Rail::Power(microwatts) => number(microwatts)? as f64 / 1e6,
            Rail::Product(millivolts, milliamperes) => {
                number(millivolts)? as f64 * number(milliamperes)? as f64 / 1e6
            }
        })
    }
}

/// The CPU packages' counters. `psys`, DRAM and cores apart are not taken: they overlap
/// with packages, or are not on every board.
fn counters(powercap: &Path) -> Result<Option<(String, Source)>, String> {
    let mut found = Vec::new();
    for zone in folders(powercap) {
        // `intel-rapl-mmio:…` shows the same package once more.
        let name = zone.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if !name.starts_with("intel-rapl:") {
            continue;
        }
        let is_package = text(&zone.join("name")).is_ok_and(|name| name.starts_with("package"));
        if is_package {
            let counter = Counter {
                range: number(&zone.join("max_energy_range_uj"))?,
                file: zone.join("energy_uj"),
                last: None,
            };
            number(&counter.file)?;
            found.push(counter);
        }
    }
    let counter = format!("RAPL, {} CPU package{}", found.len(), plural(found.len()));
    Ok((!found.is_empty()).then_some((counter, Source::Counters(found))))
}

/// What INA monitors can tell: of the whole module where one rail is that, otherwise of
/// all rails.
fn rails(hwmon: &Path) -> Option<(String, Source)> {
    let mut found: Vec<(String, Rail)> = Vec::new();
    for folder in folders(hwmon) {
        let Ok(chip) = text(&folder.join("name")) else { continue };
        if !chip.starts_with("ina") {
            continue;
        }
        for channel in CHANNELS {
            let file =
                |prefix: &str, suffix: &str| folder.join(format!("{prefix}{channel}{suffix}"));
            let product = Rail::Product(file("in", "_input"), file("curr", "_input"));
            // A channel that is switched off has files that cannot be read.
            let rail = [Rail::Power(file("power", "_input")), product]
                .into_iter()
                .find(|rail| rail.watts().is_ok());
            if let Some(rail) = rail {
                let label = text(&file("in", "_label")).unwrap_or_else(|_| chip.clone());
                found.push((label, rail));
            }
        }
    }
    if let Some(whole) = found.iter().position(|(label, _)| label == WHOLE) {
        found = vec![found.swap_remove(whole)];
    }
    let labels: Vec<&str> = found.iter().map(|(label, _)| label.as_str()).collect();
    let counter = labels.join(" + ");
    let rails: Vec<Rail> = found.into_iter().map(|(_, rail)| rail).collect();
    (!rails.is_empty()).then_some((counter, Source::Rails(rails)))
}

/// What lies in a folder, in the order of names.
fn folders(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

fn text(file: &Path) -> Result<String, String> {
    let text = fs::read_to_string(file)
        .map_err(|error| format!("\"{}\" cannot be read: {error}", file.display()))?;
    Ok(text.trim().to_owned())
}

fn number(file: &Path) -> Result<u64, String> {
    let text = text(file)?;
    // A sensor at rest may read a little less than nothing.
    let value: i64 = text
        .parse()
        .map_err(|_| format!("\"{}\" holds \"{text}\", which is no number", file.display()))?;
    Ok(u64::try_from(value).unwrap_or(0))
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    struct Board(tempfile::TempDir);

    impl Board {
        fn new() -> Self {
            Board(tempfile::tempdir().unwrap())
        }

        fn set(&self, file: &str, contents: impl ToString) -> &Self {
            let file = self.0.path().join("sys/class").join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, contents.to_string() + "\n").unwrap();
            self
        }

        fn package(&self, zone: &str, name: &str, microjoules: u64) -> &Self {
            self.set(&format!("powercap/{zone}/name"), name)
                .set(&format!("powercap/{zone}/max_energy_range_uj"), 1_000_000_000u64)
                .set(&format!("powercap/{zone}/energy_uj"), microjoules)
        }

        fn find(&self) -> Result<Meter, String> {
            Meter::find(self.0.path())
        }
    }

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn a_board_without_sensors_says_so() {
        assert_eq!(Board::new().find().unwrap_err(), "no counter");
        let board = Board::new();
        board.set("hwmon/hwmon0/name", "coretemp").set("hwmon/hwmon0/power1_input", 5_000_000);
        assert_eq!(board.find().unwrap_err(), "no counter");
    }

    #[test]
    fn packages_are_added_up_and_counters_that_wrap_go_on() {
        let board = Board::new();
        board
            .package("intel-rapl:0", "package-0", 999_000_000)
            .package("intel-rapl:0:0", "core", 50)
            .package("intel-rapl:1", "package-1", 5_000_000)
            .package("intel-rapl:2", "psys", 7)
            .package("intel-rapl-mmio:0", "package-0", 999_000_000);
        let mut meter = board.find().unwrap();
        assert_eq!(meter.counter(), "RAPL, 2 CPU packages");
        let start = Instant::now();
        meter.sample(start).unwrap();
        assert_eq!(meter.total(), None);
        // One goes 3 J over its end, the other 2 J on.
        board.package("intel-rapl:0", "package-0", 2_000_000);
        board.package("intel-rapl:1", "package-1", 7_000_000);
        board.package("intel-rapl:2", "psys", 900_000_000);
        board.package("intel-rapl-mmio:0", "package-0", 2_000_000);
        meter.sample(after(start, 2)).unwrap();
        assert_eq!(meter.total(), Some((5.0, 2.0)));
        fs::remove_file(board.0.path().join("sys/class/powercap/intel-rapl:1/energy_uj")).unwrap();
        let fault = meter.sample(after(start, 3)).unwrap_err();
        assert!(fault.contains("intel-rapl:1/energy_uj"), "{fault}");
    }

    #[test]
    fn a_counter_that_cannot_be_read_is_named() {
        let board = Board::new();
        board.package("intel-rapl:0", "package-0", 1).set("powercap/intel-rapl:0/energy_uj", "?");
        let fault = board.find().unwrap_err();
        assert!(fault.contains("intel-rapl:0/energy_uj\" holds \"?\""), "{fault}");
    }

    #[test]
    fn a_jetsons_rails_are_power_over_time() {
        let board = Board::new();
        board.set("hwmon/hwmon3/name", "ina3221");
        for (channel, label, volts, amperes) in
            [(1, "VDD_GPU", 5000, 1000), (2, "VDD_CPU", 5000, 400), (3, "NC", 0, 0)]
        {
            board
                .set(&format!("hwmon/hwmon3/in{channel}_label"), label)
                .set(&format!("hwmon/hwmon3/in{channel}_input"), volts)
                .set(&format!("hwmon/hwmon3/curr{channel}_input"), amperes);
        }
        // Of a shunt, and the sum of all: not rails.
        board.set("hwmon/hwmon3/in4_input", 20).set("hwmon/hwmon3/curr4_input", 1400);
        let mut meter = board.find().unwrap();
        assert_eq!(meter.counter(), "VDD_GPU + VDD_CPU + NC");
        let start = Instant::now();
        meter.sample(start).unwrap();
        board.set("hwmon/hwmon3/curr2_input", 2400);
        meter.sample(after(start, 4)).unwrap();
        // From 7 W to 17 W within 4 s.
        assert_eq!(meter.total(), Some((48.0, 4.0)));
        assert_eq!(meter.sampled(), Some(after(start, 4)));
    }

    #[test]
    fn the_whole_modules_rail_stands_for_all() {
        let board = Board::new();
        board
            .set("hwmon/hwmon1/name", "ina3221")
            .set("hwmon/hwmon1/in1_label", "VDD_IN")
            .set("hwmon/hwmon1/in1_input", 5000)
            .set("hwmon/hwmon1/curr1_input", 2000)
            .set("hwmon/hwmon1/in2_label", "VDD_CPU_GPU_CV")
            .set("hwmon/hwmon1/in2_input", 5000)
            .set("hwmon/hwmon1/curr2_input", 800)
            .set("hwmon/hwmon2/name", "ina226")
            .set("hwmon/hwmon2/power1_input", 3_000_000);
        let mut meter = board.find().unwrap();
        assert_eq!(meter.counter(), "VDD_IN");
        let start = Instant::now();
        meter.sample(start).unwrap();
        meter.sample(after(start, 1)).unwrap();
        assert_eq!(meter.total(), Some((10.0, 1.0)));
    }

    #[test]
    fn a_monitor_that_gives_power_is_believed() {
        let board = Board::new();
        board.set("hwmon/hwmon2/name", "ina226").set("hwmon/hwmon2/power1_input", 3_000_000);
        let mut meter = board.find().unwrap();
        assert_eq!(meter.counter(), "ina226");
        let start = Instant::now();
        meter.sample(start).unwrap();
        meter.sample(after(start, 2)).unwrap();
        assert_eq!(meter.total(), Some((6.0, 2.0)));
    }
}
