//! What a newcomer relies on: the documents agree with the code.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The rows of docs/dependencies.md begin with the crate's name in backticks.
fn explained() -> BTreeSet<String> {
    include_str!("../docs/dependencies.md")
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(name, _)| name.to_owned())
        .collect()
}

#[test]
fn every_dependency_is_explained_and_every_explained_one_is_there() {
    let manifest: toml::Table = toml::from_str(include_str!("../Cargo.toml")).unwrap();
    let named: BTreeSet<String> = ["dependencies", "dev-dependencies", "build-dependencies"]
        .iter()
        .filter_map(|table| manifest.get(*table)?.as_table())
        .flat_map(|table| table.keys().cloned())
        .collect();
    assert_eq!(named, explained());
}

/// Crates that are named only to switch a feature on in one that is used.
const FEATURE_SWITCHES: [&str; 1] = ["tract-linalg"];

/// A crate that nothing uses costs build time and attack surface for nothing.
#[test]
fn every_dependency_is_used() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest: toml::Table = toml::from_str(include_str!("../Cargo.toml")).unwrap();
    let mut idle = Vec::new();
    for (table, folders) in [
        ("dependencies", &["src"][..]),
        ("dev-dependencies", &["src", "tests", "benches", "examples"]),
    ] {
        let code: String = folders
            .iter()
            .flat_map(|folder| rust_files(&root.join(folder)))
            .map(|file| std::fs::read_to_string(file).unwrap())
            .collect();
        let words: BTreeSet<&str> =
            code.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
        let crates = manifest[table].as_table().unwrap().keys();
        let crates = crates.filter(|name| !FEATURE_SWITCHES.contains(&name.as_str()));
        idle.extend(crates.filter(|name| !words.contains(name.replace('-', "_").as_str())));
    }
    assert!(idle.is_empty(), "nothing uses {idle:?}");
}

/// Every relative link of a document leads somewhere.
#[test]
fn links_in_the_documents_lead_to_files() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut documents = vec![root.join("README.md"), root.join("CHANGELOG.md")];
    let docs = std::fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    documents.extend(docs.filter(|path| path.extension().is_some_and(|e| e == "md")));
    let mut dead = Vec::new();
    for document in &documents {
        let text = std::fs::read_to_string(document).unwrap();
        for rest in text.split("](").skip(1) {
            let target = rest.split([')', '#']).next().unwrap_or_default();
            let local = !target.is_empty() && !target.contains("://");
            if local && !document.with_file_name(target).exists() {
                dead.push(format!("{}: {target}", document.display()));
            }
        }
    }
    assert!(dead.is_empty(), "{dead:#?}");
}

/// A file that the installation copies must be there, or `make install` fails
/// on somebody's board.
#[test]
fn what_make_install_copies_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let makefile = include_str!("../Makefile");
    let list = |name: &str| -> Vec<&str> {
        let line = makefile.lines().find(|line| line.starts_with(name)).expect(name);
        line.split_once(":=").expect(":=").1.split_whitespace().collect()
    };
    let models = list("MODEL_FILES").into_iter().map(|f| format!("models/camera-events/{f}"));
    let configs = list("CONFIGS").into_iter().map(|f| format!("configs/{f}.toml"));
    let boards: Vec<_> =
        list("BOARDS").into_iter().map(|f| format!("configs/boards/{f}.toml")).collect();
    let there = std::fs::read_dir(root.join("configs/boards")).unwrap().count();
    assert_eq!(boards.len(), there, "BOARDS names every file of configs/boards");
    let unit = ["systemd/kinewatch@.service".to_owned()];
    for file in models.chain(configs).chain(boards).chain(unit) {
        assert!(root.join(&file).is_file(), "{file} is missing");
    }
}

/// The version stands in two places, and dpkg's must be greater with each release.
#[test]
fn the_package_is_of_this_version() {
    let changelog = include_str!("../packages/debian/changelog");
    let newest = changelog.split(['(', ')']).nth(1).expect("kinewatch (VERSION) …");
    let (upstream, _revision) = newest.rsplit_once('-').expect("VERSION-REVISION");
    assert_eq!(upstream, env!("CARGO_PKG_VERSION"));
}

/// The configuration that the package puts into /etc must be good as it stands.
#[test]
fn the_packaged_configuration_is_good() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = kinewatch::config::Config::load(&root.join("packages/debian/camera.toml"));
    assert_eq!(config.unwrap().streams.len(), 1);
}

/// `make features` tries each feature that is offered, and docs/lean.md tells of it.
#[test]
fn every_feature_is_tried_and_explained() {
    let manifest: toml::Table = toml::from_str(include_str!("../Cargo.toml")).unwrap();
    let offered: BTreeSet<&str> = manifest["features"]
        .as_table()
        .unwrap()
        .keys()
        .map(String::as_str)
        .filter(|name| *name != "default")
        .collect();
    let makefile = include_str!("../Makefile");
    let line = makefile.lines().find(|line| line.starts_with("FEATURES")).unwrap();
    let tried: BTreeSet<&str> = line.split_once(":=").unwrap().1.split_whitespace().collect();
    assert_eq!(offered, tried);
    let explained = include_str!("../docs/lean.md");
    for feature in offered {
        assert!(explained.contains(&format!("\n| `{feature}` |")), "{feature}");
    }
}

/// The rooms and those that each may use: the table of docs/design.md, which
/// keeps imports pointing one way.
const ROOMS: [(&str, &[&str]); 18] = [
    ("metric", &[]),
    ("calibrate", &["metric"]),
    ("accuracy", &["metric", "calibrate"]),
    ("label", &[]),
    ("control", &["label"]),
    ("synth", &[]),
    ("video", &["synth"]),
    ("clip", &["video"]),
    ("model", &["metric", "calibrate", "clip", "video"]),
    ("bench", &["model", "clip"]),
    ("predict", &["metric", "calibrate", "model", "clip", "video"]),
    ("report", &["metric", "calibrate", "accuracy", "model", "predict"]),
    ("sink", &["calibrate", "predict"]),
    (
        "session",
        &[
            "metric",
            "calibrate",
            "accuracy",
            "label",
            "synth",
            "video",
            "clip",
            "model",
            "predict",
            "sink",
        ],
    ),
    (
        "config",
        &[
            "calibrate",
            "accuracy",
            "label",
            "control",
            "synth",
            "video",
            "clip",
            "model",
            "predict",
            "sink",
        ],
    ),
    (
        "service",
        &[
            "config",
            "session",
            "metric",
            "calibrate",
            "accuracy",
            "label",
            "control",
            "synth",
            "video",
            "clip",
            "model",
            "predict",
            "sink",
        ],
    ),
    (
        "replay",
        &["session", "report", "label", "metric", "model", "clip", "video", "predict", "sink"],
    ),
    (
        "cli",
        &[
            "bench",
            "config",
            "session",
            "service",
            "replay",
            "report",
            "metric",
            "calibrate",
            "accuracy",
            "label",
            "control",
            "synth",
            "video",
            "clip",
            "model",
            "predict",
            "sink",
        ],
    ),
];

#[test]
fn rooms_use_only_the_rooms_below_them() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let is_room = |name: &str| ROOMS.iter().any(|(room, _)| *room == name);
    let mut wrong = Vec::new();
    for (room, may_use) in ROOMS {
        // A room is a folder, a file or both.
        let single = source.join(format!("{room}.rs"));
        let mut files = rust_files(&source.join(room));
        files.extend(single.is_file().then_some(single));
        assert!(!files.is_empty(), "the room {room} has no files");
        for file in files {
            let text = std::fs::read_to_string(&file).unwrap();
            // A test may borrow what it likes.
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
            for used in lines.flat_map(|line| line.split("crate::").skip(1)) {
                let name = used.split(|c: char| !c.is_alphanumeric() && c != '_').next();
                let name = name.unwrap_or_default();
                // `use crate::{…}` would hide what follows from this reader.
                let hidden = name.is_empty();
                if hidden || name != room && is_room(name) && !may_use.contains(&name) {
                    wrong.push(format!("{} uses {name}", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The Rust files in a folder and the folders in it; none where it is not there.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut folders = vec![folder.to_path_buf()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            match path.extension() {
                None => folders.push(path),
                Some(extension) if extension == "rs" => files.push(path),
                Some(_) => {}
            }
        }
    }
    files
}
