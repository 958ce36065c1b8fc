//! What it was measured on, and with.

use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::model::kernels::Isa;

/// The inference engine's version; a test holds it against Cargo.lock.
const TRACT: &str = "0.23.9";

/// The machine, and what ran on it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Machine {
    /// As the board calls itself, such as `Raspberry Pi 5 Model B Rev 1.0`.
    pub board: Option<String>,
    /// As the CPU calls itself; few but x86 ones do.
    pub cpu: Option<String>,
    /// `x86_64`, `aarch64` …
    pub architecture: &'static str,
    /// Cores that this process may use.
    pub cores: Option<usize>,
    /// The vector instructions that kernels use here.
    pub instructions: &'static str,
    pub kinewatch: &'static str,
    pub tract: &'static str,
}

impl Machine {
    /// This machine; `root` is `/`.
    pub fn read(root: &Path) -> Self {
        let text = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
        let said = |text: &str| {
            let text = text.trim_matches(|c: char| c == '\0' || c.is_whitespace());
            (!text.is_empty()).then(|| text.to_owned())
        };
        Machine {
            board: said(&text("proc/device-tree/model")),
            cpu: cpu(&text("proc/cpuinfo")).and_then(said),
            architecture: std::env::consts::ARCH,
            cores: std::thread::available_parallelism().ok().map(usize::from),
            instructions: Isa::best().name(),
            kinewatch: env!("CARGO_PKG_VERSION"),
            tract: TRACT,
        }
    }

    /// In one line.
    pub fn describe(&self) -> String {
        let name = [&self.board, &self.cpu].into_iter().flatten().cloned().collect::<Vec<_>>();
        let name = if name.is_empty() { self.architecture.to_owned() } else { name.join(", ") };
        let cores = match self.cores {
            Some(1) => "1 core, ".to_owned(),
            Some(cores) => format!("{cores} cores, "),
            None => String::new(),
        };
        format!(
            "{name}; {cores}{}; kinewatch {}, tract {}",
            self.instructions, self.kinewatch, self.tract
        )
    }
}

fn cpu(info: &str) -> Option<&str> {
    let line = info.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engines_version_is_that_of_the_lock_file() {
        let lock = include_str!("../../Cargo.lock");
        assert!(lock.contains(&format!("name = \"tract-core\"\nversion = \"{TRACT}\"")));
    }

    #[test]
    fn board_and_cpu_are_read_where_they_are_told() {
        let root = tempfile::tempdir().unwrap();
        let machine = Machine::read(root.path());
        assert_eq!((&machine.board, &machine.cpu), (&None, &None));
        assert!(machine.describe().starts_with(std::env::consts::ARCH));
        fs::create_dir_all(root.path().join("proc/device-tree")).unwrap();
        fs::write(root.path().join("proc/device-tree/model"), "Some Board 5\0").unwrap();
        fs::write(root.path().join("proc/cpuinfo"), "processor\t: 0\nmodel name\t: A CPU\n\n")
            .unwrap();
        let machine = Machine::read(root.path());
        assert_eq!(machine.board.as_deref(), Some("Some Board 5"));
        assert!(machine.describe().starts_with("Some Board 5, A CPU; "), "{}", machine.describe());
    }
}
