use std::fs::OpenOptions;
use std::io::Write as _;

use super::*;

fn header(truth: Truth) -> VideoHeader {
    VideoHeader {
        v: FORMAT,
        video: String::new(),
        path: "/videos/a.mp4".into(),
        seconds: 2.5,
        frames: 20,
        truth,
        views: "window".into(),
        clips: 0,
        error: None,
    }
}

fn clip(t: f64, logits: &[f32]) -> Clip {
    Clip { start: t - 1.0, t, view: [0, 0], logits: logits.to_vec() }
}

fn filled(folder: &Path) -> Store {
    let store = Store::create(folder, &test_run(&["a", "b"])).unwrap();
    let mut writer = store.write("x/a.mp4").unwrap();
    writer.clip(&clip(1.0, &[0.1, -7.5e-12])).unwrap();
    writer.clip(&clip(1.2, &[f32::MIN_POSITIVE, 3.4e38])).unwrap();
    writer.finish(header(Truth::Video(vec!["a".into()]))).unwrap();
    store
}

fn only_file(store: &Store) -> PathBuf {
    store.file("x/a.mp4")
}

#[test]
fn what_was_written_is_read_back_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path());
    assert_eq!(store.videos().unwrap(), ["x/a.mp4"]);
    let reader = store.read("x/a.mp4").unwrap();
    assert_eq!((reader.header().clips, reader.header().video.as_str()), (2, "x/a.mp4"));
    let clips: Vec<Clip> = reader.collect::<Result<_>>().unwrap();
    assert_eq!(clips[0], clip(1.0, &[0.1, -7.5e-12]));
    assert_eq!(clips[1], clip(1.2, &[f32::MIN_POSITIVE, 3.4e38]));
}

/// Every finite f32 was tried once, outside the tests (2^31 values); here are
/// those at the ends, and one in every 2^16 + 1.
#[test]
fn logits_keep_every_bit() {
    let mut all: Vec<f32> = (0..u32::MAX)
        .step_by((1 << 16) + 1)
        .map(f32::from_bits)
        .filter(|x| x.is_finite())
        .collect();
    all.extend([0.0, -0.0, f32::MIN, f32::MAX, f32::MIN_POSITIVE, f32::from_bits(1), 1.0 / 3.0]);
    let clip = clip(0.0, &all);
    let back: Clip = serde_json::from_str(&serde_json::to_string(&clip).unwrap()).unwrap();
    let bits = |logits: &[f32]| logits.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&back.logits), bits(&all));
}

#[test]
fn the_file_is_plain_json_lines_inside() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path());
    let bytes = fs::read(only_file(&store)).unwrap();
    let text = String::from_utf8(zstd::decode_all(&bytes[..]).unwrap()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3);
    assert!(lines[0].contains("\"truth\":{\"video\":[\"a\"]}"), "{}", lines[0]);
    assert_eq!(lines[1], "{\"start\":0.0,\"t\":1.0,\"view\":[0,0],\"logits\":[0.1,-7.5e-12]}");
}

#[test]
fn a_video_is_there_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(folder.path(), &test_run(&["a", "b"])).unwrap();
    let mut writer = store.write("v").unwrap();
    writer.clip(&clip(1.0, &[0.0, 1.0])).unwrap();
    assert_eq!(store.header("v").unwrap(), None);
    drop(writer);
    assert!(store.read("v").is_err());
    assert!(names(&folder.path().join(PREDICTIONS)).unwrap().is_empty());
}

#[test]
fn what_a_killed_run_left_is_removed_and_what_another_run_writes_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let run = test_run(&["a", "b"]);
    let store = Store::create(folder.path(), &run).unwrap();
    let stale = folder.path().join(PREDICTIONS).join(".v.jsonl.zst.clips.1.part");
    fs::write(&stale, b"half a video").unwrap();
    let mut writer = store.write("w").unwrap();
    Store::create(folder.path(), &run).unwrap();
    assert!(!stale.exists());
    writer.clip(&clip(1.0, &[0.0, 1.0])).unwrap();
    writer.finish(header(Truth::None)).unwrap();
    assert_eq!(store.header("w").unwrap().unwrap().clips, 1);
}

#[test]
fn logits_that_cannot_be_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(folder.path(), &test_run(&["a", "b"])).unwrap();
    let mut writer = store.write("v").unwrap();
    for (bad, why) in [(&[0.0, f32::NAN][..], "logit 1 is NaN"), (&[0.0], "1 logits for 2 classes")]
    {
        let error = writer.clip(&clip(0.0, bad)).unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
    writer.finish(header(Truth::None)).unwrap();
    assert_eq!(store.header("v").unwrap().unwrap().clips, 0);
}

#[test]
fn the_same_run_goes_on_and_another_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path());
    let again = Store::create(folder.path(), &test_run(&["a", "b"])).unwrap();
    assert_eq!(again.videos().unwrap().len(), 1);
    let error = Store::create(folder.path(), &test_run(&["a", "c"])).unwrap_err();
    assert!(error.to_string().contains("model.labels") && error.to_string().contains("--force"));
    assert_eq!(error.exit_code(), 2);
    let anew = Store::begin_anew(folder.path(), &test_run(&["a", "c"])).unwrap();
    assert!(anew.videos().unwrap().is_empty());
}

#[test]
fn a_folder_of_somebody_else_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("thesis.tex"), b"").unwrap();
    for attempt in [Store::create, Store::begin_anew] {
        let error = attempt(folder.path(), &test_run(&["a"])).unwrap_err();
        assert!(error.to_string().contains("thesis.tex"), "{error}");
    }
    assert!(Store::open(folder.path()).is_err());
}

#[test]
fn to_begin_anew_removes_only_our_files() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path());
    fs::write(folder.path().join("notes.txt"), b"mine").unwrap();
    fs::write(folder.path().join("metrics.json"), b"{}").unwrap();
    Store::begin_anew(folder.path(), store.run()).unwrap();
    assert!(folder.path().join("notes.txt").exists());
    assert!(!folder.path().join("metrics.json").exists() && !only_file(&store).exists());
}

#[test]
fn damage_is_told_with_the_file_and_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path());
    let whole = fs::read(only_file(&store)).unwrap();
    let read = |bytes: &[u8]| -> Error {
        fs::write(only_file(&store), bytes).unwrap();
        let clips = store.read("x/a.mp4").and_then(|r| r.collect::<Result<Vec<Clip>>>());
        clips.expect_err("a damaged file was read")
    };
    for cut in 0..whole.len() {
        let error = read(&whole[..cut]).to_string();
        assert!(
            error.contains("x%2Fa.mp4.jsonl.zst") && error.contains("Remedy"),
            "{cut}: {error}"
        );
    }
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x10;
        fs::write(only_file(&store), &flipped).unwrap();
        // A flipped bit may fall where it changes nothing; it must never change a value.
        if let Ok(reader) = store.read("x/a.mp4")
            && let Ok(clips) = reader.collect::<Result<Vec<Clip>>>()
        {
            assert_eq!(clips[0], clip(1.0, &[0.1, -7.5e-12]), "bit flipped at {at}");
        }
    }
    fs::write(only_file(&store), &whole).unwrap();
    let extra =
        zstd::encode_all(&b"{\"start\":0,\"t\":1,\"view\":[0,0],\"logits\":[1,2]}\n"[..], 3);
    let mut file = OpenOptions::new().append(true).open(only_file(&store)).unwrap();
    file.write_all(&extra.unwrap()).unwrap();
    let clips = store.read("x/a.mp4").unwrap().collect::<Result<Vec<Clip>>>();
    assert!(clips.unwrap_err().to_string().contains("more lines"));
}

#[test]
fn another_version_and_a_broken_run_json_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path());
    let path = folder.path().join(RUN);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replacen("\"v\": 1", "\"v\": 99", 1)).unwrap();
    assert!(Store::open(folder.path()).unwrap_err().to_string().contains("version 99"));
    fs::write(&path, &text[..text.len() / 2]).unwrap();
    let error = Store::open(folder.path()).unwrap_err();
    assert!(error.to_string().contains("run.json"), "{error}");
    assert_eq!(error.exit_code(), 1);
}

#[test]
fn a_file_under_another_name_is_found_out() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path());
    fs::rename(only_file(&store), store.file("b.mp4")).unwrap();
    assert!(store.videos().unwrap_err().to_string().contains("x/a.mp4"));
    assert!(store.header("b.mp4").is_err());
}
