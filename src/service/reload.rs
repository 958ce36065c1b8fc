//! What a configuration that was read again means for the streams that run.

use super::blueprint::Blueprint;
use crate::config::{Config, SinkConfig};
use crate::control::{ControlOptions, StatusOptions};

/// What is to be done with the streams of the old and the new configuration, by
/// name.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    /// They go on, untouched.
    pub kept: Vec<String>,
    /// They are stopped, and started as they are now.
    pub changed: Vec<String>,
    /// They are stopped.
    pub removed: Vec<String>,
    /// They are started.
    pub added: Vec<String>,
}

impl Changes {
    /// From the streams as they are to those as they shall be. `failed` says of a
    /// stream that it has failed for good: a reload tries it again.
    pub fn between(
        old: &[&Blueprint],
        new: &[Blueprint],
        failed: impl Fn(&str) -> bool,
    ) -> Changes {
        let mut changes = Changes::default();
        for blueprint in new {
            let name = blueprint.name();
            let before = old.iter().find(|before| before.name() == name);
            let list = match before {
                Some(before) if **before == *blueprint && !failed(name) => &mut changes.kept,
                Some(_) => &mut changes.changed,
                None => &mut changes.added,
            };
            list.push(name.to_owned());
        }
        let is_gone = |before: &&&Blueprint| new.iter().all(|b| b.name() != before.name());
        changes.removed = old.iter().filter(is_gone).map(|b| b.name().to_owned()).collect();
        changes
    }

    /// In words: what became of how many.
    pub fn text(&self) -> String {
        let said: Vec<String> = [
            (&self.kept, "go on untouched"),
            (&self.changed, "start anew"),
            (&self.removed, "end"),
            (&self.added, "are new"),
        ]
        .iter()
        .filter(|(names, _)| !names.is_empty())
        .map(|(names, what)| format!("{} {what} ({})", names.len(), names.join(", ")))
        .collect();
        format!("streams: {}", said.join("; "))
    }
}

/// What of a configuration is made once and for all when the daemon starts.
#[derive(Clone, PartialEq)]
pub(super) struct Fixed {
    sinks: Vec<SinkConfig>,
    control: ControlOptions,
    status: StatusOptions,
}

impl Fixed {
    /// Of this configuration.
    pub fn of(config: &Config) -> Fixed {
        Fixed {
            sinks: config.sinks.clone(),
            control: config.control.clone(),
            status: config.status.clone(),
        }
    }

    /// The tables of `now` that are not as they were, and wait for a restart.
    pub fn changed(&self, now: &Fixed) -> Vec<&'static str> {
        [
            ("[[sink]]", self.sinks != now.sinks),
            ("[control]", self.control != now.control),
            ("[status]", self.status != now.status),
        ]
        .iter()
        .filter(|(_, changed)| *changed)
        .map(|(table, _)| *table)
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::service::plan::Plan;
    use crate::service::prepare::{Loaded, load};

    const GATE: &str = "[[stream]]\nname = \"gate\"\nsource = { synth = \"seconds=9\" }\n";
    const YARD: &str =
        "[[stream]]\nname = \"yard\"\nsource = { path = \"yard.mp4\" }\nlabels = \"yard.csv\"\n";

    /// The streams of a configuration in `folder`, and its models.
    fn read(folder: &Path, text: &str, known: &[Loaded]) -> (Vec<Blueprint>, Vec<Loaded>) {
        let path = folder.join("c.toml");
        fs::write(&path, text).unwrap();
        let prepared = load(Plan::new(Config::load(&path).unwrap()).unwrap(), known).unwrap();
        let models = prepared.models.clone();
        (Blueprint::all(prepared), models)
    }

    fn labels(folder: &Path, end: u32) {
        let text = format!("video,start,end,label\nyard.mp4,0,{end},idle\n");
        fs::write(folder.join("yard.csv"), text).unwrap();
    }

    #[test]
    fn a_stream_is_touched_only_where_something_of_it_changed() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        fs::write(folder.join("yard.mp4"), "").unwrap();
        labels(folder, 5);
        let both = format!("{GATE}{YARD}");
        let (old, models) = read(folder, &both, &[]);
        let old: Vec<&Blueprint> = old.iter().collect();
        let between = |text: &str, failed: &str| {
            let (new, _) = read(folder, text, &models);
            let Changes { kept, changed, removed, added } =
                Changes::between(&old, &new, |name| name == failed);
            [kept, changed, removed, added].map(|names| names.join(" "))
        };
        let cases = [
            ("the same", both.clone(), ["gate yard", "", "", ""]),
            ("the other way round", format!("{YARD}{GATE}"), ["yard gate", "", "", ""]),
            ("a comment", format!("# now\n{both}"), ["gate yard", "", "", ""]),
            ("a key of one", format!("{GATE}max_gap = \"2 s\"\n{YARD}"), ["yard", "gate", "", ""]),
            ("a key of all", format!("{both}[predict]\nhop = 2\n"), ["", "gate yard", "", ""]),
            ("threads", format!("{both}[model]\nthreads = 2\n"), ["", "gate yard", "", ""]),
            ("the log", format!("{both}[accuracy]\nkeep = 2\n"), ["", "gate yard", "", ""]),
            ("sinks", format!("{both}[[sink]]\nkind = \"stdout\"\n"), ["gate yard", "", "", ""]),
            ("one goes", GATE.to_owned(), ["gate", "", "yard", ""]),
            (
                "another name",
                format!("{}{YARD}", GATE.replace("gate", "door")),
                ["yard", "", "gate", "door"],
            ),
        ];
        for (what, text, expected) in cases {
            assert_eq!(between(&text, ""), expected, "{what}");
        }
        assert_eq!(between(&both, "yard"), ["gate", "yard", "", ""]);
        labels(folder, 6);
        assert_eq!(between(&both, ""), ["gate", "yard", "", ""]);
    }

    #[test]
    fn models_that_are_the_same_are_loaded_once() {
        let folder = tempfile::tempdir().unwrap();
        let (one, models) = read(folder.path(), GATE, &[]);
        let (again, _) = read(folder.path(), GATE, &models);
        assert!(std::sync::Arc::ptr_eq(&one[0].model, &again[0].model));
        let (anew, _) = read(folder.path(), GATE, &[]);
        assert!(one[0] != anew[0]);
    }

    #[test]
    fn what_waits_for_a_restart_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let fixed = |more: &str| {
            let path = folder.path().join("c.toml");
            fs::write(&path, format!("{GATE}{more}")).unwrap();
            Fixed::of(&Config::load(&path).unwrap())
        };
        let was = fixed("");
        assert!(was.changed(&fixed("[watchdog]\npatience = \"9 s\"\n")).is_empty());
        let now = fixed("[[sink]]\nkind = \"file\"\npath = \"p\"\n[status]\nsocket = \"off\"\n");
        assert_eq!(was.changed(&now), ["[[sink]]", "[status]"]);
        let now = fixed("[control]\nlisten = \"127.0.0.1:1\"\n");
        assert_eq!(was.changed(&now), ["[control]"]);
    }
}
