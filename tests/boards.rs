//! The boards' configurations are taken everywhere, also where their hardware is not,
//! and docs/boards.md says what its figures give.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

#[path = "../examples/boards/estimate.rs"]
mod estimate;
#[path = "support/program.rs"]
mod program;
use program::kinewatch;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file of configs/boards.
fn files() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(root().join("configs/boards"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
}

fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {error}");
    output
}

#[test]
fn every_board_of_the_data_has_a_file_and_every_file_its_board() {
    let data = estimate::Data::read(&root().join("docs/boards.toml")).unwrap();
    let mut named: Vec<PathBuf> = data
        .boards
        .iter()
        .map(|board| root().join(format!("configs/boards/{}.toml", board.file)))
        .collect();
    named.sort();
    assert_eq!(named, files());
}

#[test]
fn every_boards_file_passes_the_check() {
    gstreamer::init().unwrap();
    for file in files() {
        let output = run(kinewatch().arg("check").arg(&file));
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.ends_with("ok\n"), "{}: {text}", file.display());
        let said = std::fs::read_to_string(&file).unwrap();
        assert!(said.contains("Not run on"), "{} does not say so", file.display());
        // What the file prefers and this machine has not is noted, and nothing else.
        let preferred = said.lines().filter(|line| !line.trim_start().starts_with('#'));
        let preferred =
            preferred.filter_map(|line| line.split_once("prefer = [")?.1.split_once(']'));
        for name in preferred.flat_map(|(names, _)| names.split('"').skip(1).step_by(2)) {
            let here = gstreamer::ElementFactory::find(name).is_some();
            let noted = text.contains(&format!("{name} is not here and is not used"));
            assert_eq!(noted, !here, "{}: {name}: {text}", file.display());
        }
    }
}

/// The hop that a file names for whole clips is the page's, and the file takes it.
#[test]
fn every_boards_file_takes_the_hop_that_it_names_for_whole_clips() {
    gstreamer::init().unwrap();
    let data = estimate::Data::read(&root().join("docs/boards.toml")).unwrap();
    let model = data.models.iter().find(|m| m.name.starts_with("X3D-S,") && m.mode == "window");
    let folder = tempfile::tempdir().unwrap();
    let mut named = 0;
    for board in &data.boards {
        let said = root().join(format!("configs/boards/{}.toml", board.file));
        let said = std::fs::read_to_string(said).unwrap();
        let number = |after: &str| {
            let digits = said.split_once(after)?.1;
            digits.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u32>().ok()
        };
        let Some(hop) = number("(mode = \"window\") need hop = ") else {
            continue;
        };
        named += 1;
        let expected = estimate::hops(model.unwrap(), board, &data);
        assert!(expected.starts_with(&format!("{hop} (")), "{}: {expected}", board.file);
        let most = number("with max_hop = ").unwrap();
        let config = said
            .replace("\nthreads = 1\n", "\nthreads = 1\nmode = \"window\"\n")
            .replace("\nhop    = 1\n", &format!("\nhop = {hop}\nmax_hop = {most}\n"));
        let file = folder.path().join("window.toml");
        std::fs::write(&file, config).unwrap();
        let text = String::from_utf8(run(kinewatch().arg("check").arg(&file)).stdout).unwrap();
        assert!(text.contains("mode window") && !text.contains("max_hop"), "{text}");
    }
    assert_eq!(named, 4);
}

#[test]
fn every_boards_file_runs_a_recording_in_software() {
    let folder = tempfile::tempdir().unwrap();
    let video = folder.path().join("yard.mp4");
    run(kinewatch().args(["synth", "--seed", "7", "--seconds", "6", "-o"]).arg(&video));
    for file in files() {
        let camera = format!("file://{}", video.display());
        let output =
            run(kinewatch().args(["run", "--fast"]).arg(&file).env("KINEWATCH_CAMERA", camera));
        let text = String::from_utf8(output.stdout).unwrap();
        let predictions = text.lines().filter(|line| line.contains("\"kind\":\"prediction\""));
        assert!(predictions.count() > 10, "{}: {text}", file.display());
    }
}

/// The page's tables are what the data gives; `cargo run --example boards` writes them.
#[test]
fn the_page_holds_what_the_data_gives() {
    let data = estimate::Data::read(&root().join("docs/boards.toml")).unwrap();
    let page = std::fs::read_to_string(root().join("docs/boards.md")).unwrap();
    let expected = estimate::renew(&page, &data).unwrap();
    assert_eq!(page, expected, "run: cargo run --release --example boards");
}

#[test]
fn an_estimate_is_a_range_and_grows_with_the_work() {
    let data = estimate::Data::read(&root().join("docs/boards.toml")).unwrap();
    for board in &data.boards {
        for model in &data.models {
            let range = estimate::step_ms(model, board, &data.measured);
            assert!(range.low > 0.0 && range.low < range.high, "{} {}", board.name, model.name);
            // No board is faster than its own peak allows.
            let floor = 2.0 * model.multiply_adds / board.gflops_per_core / 1e6;
            assert!(range.low >= floor, "{} {}", board.name, model.name);
        }
    }
}
