//! Annotation formats: what each fixture says, what is refused and where, and
//! that nothing makes a reader panic.

use std::fs;
use std::path::{Path, PathBuf};

use kinewatch::label::{
    Aliases, Annotations, Entry, Format, LabelClock, Match, ReadOptions, Survey, Truth,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/labels").join(name)
}

fn read_with(name: &str, options: &ReadOptions) -> Annotations {
    Annotations::read(&fixture(name), options).unwrap_or_else(|error| panic!("{error}"))
}

fn read(name: &str) -> Annotations {
    read_with(name, &ReadOptions::default())
}

/// `video: label start-end, …`, with `(seconds)` behind a video of known length
/// and `*` for the time of a label that holds throughout.
fn shown(entry: &Entry) -> String {
    let length = entry.duration.map(|d| format!(" ({d})")).unwrap_or_default();
    let labels: Vec<String> = match &entry.truth {
        Truth::Whole(labels) => labels.iter().map(|label| format!("{label} *")).collect(),
        Truth::Spans(spans) => {
            spans.iter().map(|s| format!("{} {}-{}", s.label, s.start, s.end)).collect()
        }
    };
    format!("{}{length}: {}", entry.video, labels.join(", "))
}

fn all(annotations: &Annotations) -> Vec<String> {
    annotations.entries().iter().map(shown).collect()
}

#[track_caller]
fn says(annotations: &Annotations, format: Format, expected: &[&str]) {
    assert_eq!(annotations.format(), format);
    assert_eq!(all(annotations), expected);
}

fn found<'a>(annotations: &'a Annotations, video: &str) -> Option<&'a str> {
    annotations.find(video).unwrap().map(|entry| entry.video.as_str())
}

#[test]
fn our_own_csv() {
    let annotations = read("ours.csv");
    says(
        &annotations,
        Format::Csv,
        &["a.mp4: idle 0-2, wave 2-5.5", "b, second.mp4: say \"hello\" 1-2"],
    );
    assert!(!annotations.multi_label());
    assert_eq!(annotations.labels()[0], ("idle".to_owned(), 1));
}

#[test]
fn a_csv_about_one_video_is_named_after_it() {
    let text = b"start,end,label\n0,1.5,idle\n00:01:00,61,wave\n";
    let parsed = Annotations::parse("gate.csv", text, &ReadOptions::default()).unwrap();
    says(&parsed, Format::Csv, &["gate: idle 0-1.5, wave 60-61"]);
    assert_eq!(found(&parsed, "recordings/gate.mkv"), Some("gate"));
}

fn of_day(name: &str, text: &str) -> Result<Annotations, String> {
    let options = ReadOptions { clock: LabelClock::Wall, ..Default::default() };
    Annotations::parse(name, text.as_bytes(), &options).map_err(|error| error.to_string())
}

#[test]
fn times_of_day_in_csv_and_json() {
    let expected = ["gate: idle 1795339802-1795339804.5, wave 1795339804.5-1795339810"];
    let csv = "video,start,end,label\n\
        gate,2026-11-22T09:30:02Z,2026-11-22T10:30:04.5+01:00,idle\n\
        gate,1795339804.5,1795339810,wave\n";
    says(&of_day("log.csv", csv).unwrap(), Format::Csv, &expected);
    let csv = "start_ms,end_ms,label\n1795339802000,1795339804500,idle\n1795339804500,1795339810000,wave\n";
    says(&of_day("gate.csv", csv).unwrap(), Format::Csv, &expected);
    for json in [
        r#"{"gate": [["idle", "2026-11-22T09:30:02Z", 1795339804.5],
            {"label": "wave", "start": "2026-11-22T09:30:04.5Z", "end": 1795339810}]}"#,
        r#"{"gate": [["2026-11-22T09:30:02Z", "2026-11-22T09:30:04.5Z", "idle"],
            {"label": "wave", "segment": [1795339804.5, "1795339810"]}]}"#,
    ] {
        says(&of_day("log.json", json).unwrap(), Format::SpanMap, &expected);
    }
    let json = r#"{"gate": ["wave", "2026-11-22T09:30:02Z", "2026-11-22T09:30:03Z"]}"#;
    let one = of_day("log.json", json).unwrap();
    says(&one, Format::SpanMap, &["gate: wave 1795339802-1795339803"]);
    says(
        &of_day("x.json", r#"{"a": ["b", "c", "d"]}"#).unwrap(),
        Format::SpanMap,
        &["a: b *, c *, d *"],
    );
}

#[test]
fn what_is_no_time_of_day_is_named_with_its_row() {
    for (name, text, why) in [
        (
            "log.csv",
            "video,start,end,label\ngate,1795339802,1795339804,idle\ngate,noon,1795339809,wave\n",
            "line 3, column 6: start: \"noon\" is no time of day",
        ),
        (
            "log.csv",
            "start,end,label\n1.5,2.5,idle\n",
            "line 2, column 1: start: 1.5 is no time of day",
        ),
        (
            "log.csv",
            "start,end,label\n1795339802,2026-11-22T09:30:04,idle\n",
            "line 2, column 12: end: \"2026-11-22T09:30:04\" is no time of day; expected RFC 3339 with its offset",
        ),
        ("log.csv", "start,end,label\n1795339802,1795339801,idle\n", "line 2, column 12"),
        ("log.json", "{\"a\":\n[[\"wave\", 1, 2]]}", "line 2, column 11"),
        ("cues.srt", "1\n00:00:01,000 --> 00:00:02,000\nwave\n", "cannot give times of day"),
    ] {
        let error = of_day(name, text).unwrap_err();
        assert!(error.contains(why), "{text}: {error}");
    }
}

#[test]
fn csv_with_other_columns_and_delimiters() {
    says(
        &read("whole.csv"),
        Format::Csv,
        &["doors/close.mkv (3): close door *", "doors/open.mkv (2.6): open door *"],
    );
    let options = ReadOptions { column: Some("Licence".into()), ..Default::default() };
    assert_eq!(all(&read_with("whole.csv", &options))[0], "doors/close.mkv (3): ours *");
    let text = b"path,action,begin_ms,end_ms\nx.mp4,run,500,00:00:02.5\n";
    let milliseconds = Annotations::parse("x.csv", text, &ReadOptions::default()).unwrap();
    assert_eq!(all(&milliseconds), ["x.mp4: run 0.5-2.5"]);
}

#[test]
fn kinetics() {
    let annotations = read("kinetics.csv");
    says(
        &annotations,
        Format::Kinetics,
        &[
            "-aB_0dEfGhI_000012_000022: juggling balls *",
            "zZ-9dEfGhI__000103_000113: baking, cookies *",
        ],
    );
    for name in [
        "val/juggling balls/-aB_0dEfGhI_000012_000022.mp4",
        "-aB_0dEfGhI.mkv",
        "-aB_0dEfGhI_12_22.MP4",
    ] {
        assert_eq!(found(&annotations, name), Some("-aB_0dEfGhI_000012_000022"), "{name}");
    }
    let options = ReadOptions { split: Some("train".into()), ..Default::default() };
    assert_eq!(read_with("kinetics.csv", &options).entries().len(), 1);
    says(
        &read("kinetics.json"),
        Format::ActivityNet,
        &["-aB_0dEfGhI_000012_000022: juggling balls *"],
    );
}

#[test]
fn lists() {
    let annotations = read("list.txt");
    says(
        &annotations,
        Format::List,
        &[
            "clips/one.mp4: 3 *",
            "clips/three.mkv: shaking head *",
            "clips/with space.avi: 0 *, 2 *",
            "frames/four: 1 *",
        ],
    );
    assert!(annotations.multi_label());
    let options = ReadOptions { classes: Some(fixture("classes.txt")), ..Default::default() };
    assert_eq!(all(&read_with("list.txt", &options))[2], "clips/with space.avi: sit *, wave *");
}

#[test]
fn ucf101_reads_the_test_list_of_the_first_split_unless_told_otherwise() {
    says(
        &read("ucf101"),
        Format::Ucf101,
        &[
            "FlyKite/v_FlyKite_g01_c01.avi: FlyKite *",
            "PeelApple/v_PeelApple_g01_c01.avi: PeelApple *",
        ],
    );
    let options = |split: &str| ReadOptions { split: Some(split.into()), ..Default::default() };
    assert_eq!(
        all(&read_with("ucf101", &options("test2"))),
        ["PeelApple/v_PeelApple_g02_c02.avi: PeelApple *"]
    );
    // The second video stands in no folder: classInd.txt names its class.
    assert_eq!(
        all(&read_with("ucf101", &options("train"))),
        ["FlyKite/v_FlyKite_g08_c01.avi: FlyKite *", "v_PeelApple_g08_c01.avi: PeelApple *"]
    );
    let error = Annotations::read(&fixture("ucf101"), &options("test3")).unwrap_err().to_string();
    assert!(error.contains("test3") && error.contains("testlist02.txt"), "{error}");
}

#[test]
fn hmdb51_reads_the_test_part() {
    says(
        &read("hmdb51"),
        Format::Hmdb51,
        &[
            "shake_hands/meeting_shake_hands_u_cm_np2_ri_med_1.avi: shake_hands *",
            "wave/farewell_wave_h_nm_np1_fr_med_0.avi: wave *",
        ],
    );
    let options = ReadOptions { split: Some("train2".into()), ..Default::default() };
    assert_eq!(
        all(&read_with("hmdb51", &options)),
        ["wave/farewell_wave_h_nm_np1_fr_med_0.avi: wave *"]
    );
}

#[test]
fn a_folder_for_each_class() {
    let folder = tempfile::tempdir().unwrap();
    for file in [
        "jump/a.mp4",
        "jump/b.AVI",
        "set/run fast/a.mp4",
        "jump/notes.txt",
        "stray.mp4",
        ".hidden/x.mp4",
    ] {
        let path = folder.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "notes").unwrap();
    }
    let annotations = Annotations::read(folder.path(), &ReadOptions::default()).unwrap();
    says(
        &annotations,
        Format::Folders,
        &["jump/a.mp4: jump *", "jump/b.AVI: jump *", "set/run fast/a.mp4: run fast *"],
    );
    assert!(annotations.faults()[0].to_string().contains("stray.mp4"));
    fs::remove_dir_all(folder.path().join("jump")).unwrap();
    fs::remove_dir_all(folder.path().join("set")).unwrap();
    let error = Annotations::read(folder.path(), &ReadOptions::default()).unwrap_err().to_string();
    assert!(error.contains("neither label files"), "{error}");
}

#[test]
fn activitynet() {
    let annotations = read("activitynet.json");
    says(
        &annotations,
        Format::ActivityNet,
        &["q1w2e3r4t5y (60.5): Folding laundry 3.25-20", "u7i8o9p0a1s (12): "],
    );
    assert_eq!(found(&annotations, "v_q1w2e3r4t5y.mp4"), Some("q1w2e3r4t5y"));
    let fault = annotations.faults()[0].to_string();
    assert!(
        fault.ends_with(
            "line 12, column 9: \"Ironing\" ends at 31.5 s, not after its start at 31.5 s"
        ),
        "{fault}"
    );
    let options = ReadOptions { split: Some("val".into()), ..Default::default() };
    assert_eq!(read_with("activitynet.json", &options).entries().len(), 1);
    let strict = ReadOptions { strict: true, ..Default::default() };
    let error = Annotations::read(&fixture("activitynet.json"), &strict).unwrap_err().to_string();
    assert!(error.contains("line 12, column 9"), "{error}");
}

#[test]
fn thumos14() {
    says(
        &read("thumos14"),
        Format::Thumos14,
        &[
            "video_test_0000901: Vaulting 1.5-3.25, Vaulting 10-12, Ambiguous 11-12.5",
            "video_test_0000902: Ambiguous 0-4.4",
        ],
    );
}

#[test]
fn charades() {
    let annotations = read("charades/Charades_v1_test.csv");
    says(
        &annotations,
        Format::Charades,
        &["XQ001 (11.96): Opening a box 0-4.5, Smiling at something 3.1-12.6", "XQ002 (7): "],
    );
    assert!(annotations.multi_label());
    // The folder holds the class list as well, which is no annotation.
    assert_eq!(all(&read("charades")), all(&annotations));
}

#[test]
fn epic_kitchens() {
    says(
        &read("epic/EPIC_100_validation.csv"),
        Format::EpicKitchens,
        &["P77_01: lift 0.5-62.25, stir 64-66.1"],
    );
    let options = |column: &str| ReadOptions { column: Some(column.into()), ..Default::default() };
    let verbs = read_with("epic", &options("verb"));
    assert_eq!(all(&verbs), ["P77_01: lift-up 0.5-62.25, stir 64-66.1"]);
    assert_eq!(found(&verbs, "P77/P77_01.MP4"), Some("P77_01"));
    assert_eq!(all(&read_with("epic", &options("noun_class"))), ["P77_01: 5 0.5-62.25, 9 64-66.1"]);
}

#[test]
fn ava() {
    let options = ReadOptions { offset: -900.0, ..Default::default() };
    let annotations = read_with("ava/ava_val_v2.2.csv", &options);
    says(
        &annotations,
        Format::Ava,
        &[
            "Xy_-0AbCdEf: shrug 1.5-3.5, lean (on something) 2.5-3.5, shrug 5.5-6.5",
            "Zz_-0AbCdEf: ",
        ],
    );
    assert!(annotations.multi_label());
    let bytes = fs::read(fixture("ava/ava_val_v2.2.csv")).unwrap();
    let bare = Annotations::parse("ava.csv", &bytes, &ReadOptions::default()).unwrap();
    assert_eq!(bare.labels()[0].0, "action 1");
}

#[test]
fn elan() {
    let options = |tier: &str| ReadOptions { tier: Some(tier.into()), ..Default::default() };
    let annotations = read_with("elan.eaf", &options("gloss"));
    says(&annotations, Format::Elan, &["elan: HOUSE 0.5-2, TREE & BIRD 2-3.5"]);
    assert!(
        annotations.faults()[0]
            .to_string()
            .contains("annotations of tier \"gloss\" without a value: 1")
    );
    for name in ["videos/interview 3.mp4", "x/elan.mov"] {
        assert_eq!(found(&annotations, name), Some("elan"), "{name}");
    }
    assert_eq!(all(&read_with("elan.eaf", &options("hand"))), ["elan: left 2-3.5"]);
    assert!(read_with("elan.eaf", &options("*")).multi_label());
    let error =
        Annotations::read(&fixture("elan.eaf"), &ReadOptions::default()).unwrap_err().to_string();
    assert!(error.contains("\"gloss\", \"hand\"") && error.contains("--tier"), "{error}");
}

#[test]
fn label_studio() {
    let options = ReadOptions { fps: Some(30.0), ..Default::default() };
    let annotations = read_with("label-studio.json", &options);
    says(
        &annotations,
        Format::LabelStudio,
        &["0a1b2c3d-yard.mp4: Run 0-1, Jump 1.5-1.5333333333333334"],
    );
    assert_eq!(found(&annotations, "yard.mp4"), Some("0a1b2c3d-yard.mp4"));
    says(&read("label-studio-min.json"), Format::LabelStudio, &["yard.mp4: Run 0-3"]);
    let error = Annotations::read(&fixture("label-studio.json"), &ReadOptions::default())
        .unwrap_err()
        .to_string();
    assert!(error.contains("line 12, column 33") && error.contains("--fps"), "{error}");
}

#[test]
fn cues() {
    let annotations = read("cues");
    says(&annotations, Format::WebVtt, &["yard: bark 1.5-4, run & jump 1.5-4, sleep 3600-3601"]);
    assert_eq!(found(&annotations, "films/Yard.MP4"), Some("yard"));
    says(&read("yard.srt"), Format::Srt, &["yard: run 1.5-4, bark 3-5.25"]);
}

#[test]
fn gmdcsa24() {
    for path in ["gmdcsa24", "gmdcsa24/Subject 9"] {
        let annotations = read(path);
        assert_eq!(annotations.format(), Format::Gmdcsa24);
        let name = if path == "gmdcsa24" { "Subject 9/ADL" } else { "ADL" };
        assert_eq!(
            all(&annotations),
            [
                format!("{name}/01.mp4 (8): Sitting 0-1, Sleeping 2-8"),
                format!("{name}/02.mp4 (9): Standing 0-0.5, Eating 0.9-4.6, Standing 4.2-6.5"),
            ]
        );
        let fault = annotations.faults()[0].to_string();
        assert!(fault.contains("line 3, column 85: \"Sitting\" ends at 3 s"), "{fault}");
    }
    assert_eq!(
        found(&read("gmdcsa24"), "clips/Subject_9_ADL_02.mp4"),
        Some("Subject 9/ADL/02.mp4")
    );
}

#[test]
fn span_maps() {
    says(
        &read("span-map.json"),
        Format::SpanMap,
        &[
            "a/five.mp4: 4 *",
            "a/four.mp4: wash *, sing *",
            "a/one.mp4: wave 0-2.5, point 2.5-4",
            "a/three.mp4: sleep *",
            "a/two.mp4: sit 1-2, sit 3-4",
        ],
    );
    let list = br#"[{"video": "x.mp4", "label": "run", "start": 1, "end": "2.5"}]"#;
    let list = Annotations::parse("x.json", list, &ReadOptions::default()).unwrap();
    assert_eq!(all(&list), ["x.mp4: run 1-2.5"]);
}

/// Name, content, format to force, line and column (0 for the whole file), and
/// words of the fault.
const MALFORMED: [(&str, &str, &str, usize, usize, &str); 46] = [
    ("o.csv", "", "", 1, 1, "it is empty"),
    ("o.csv", "hello there\nworld\n", "", 1, 1, "no format that is known"),
    ("o.csv", "clip_no,begin,end,what\n", "csv", 1, 1, "names the label"),
    ("o.csv", "when,begin,end,label\n", "csv", 1, 1, "names the video"),
    ("o.csv", "video,start,end,label\na,0,1\n", "", 2, 6, "found 3"),
    ("o.csv", "video,start,end,label\na,0,1,x,y\n", "", 2, 9, "found 5"),
    ("o.csv", "video,start,end,label\n\na,zero,1,x\n", "", 3, 3, "\"zero\""),
    ("o.csv", "video,start,end,label\na,0,-1,x\n", "", 2, 5, "expected seconds"),
    ("o.csv", "video,start,end,label\na,0,nan,x\n", "", 2, 5, "expected seconds"),
    ("o.csv", "video,start,end,label\na,0,1e300,x\n", "", 2, 5, "expected seconds"),
    ("o.csv", "video,start,end,label\né, 2 ,1,x\n", "", 2, 7, "not after its start"),
    ("o.csv", "video,start,end,label\na,0,1,\n", "", 2, 7, "label is empty"),
    ("o.csv", "video,start,end,label\n,0,1,x\n", "", 2, 1, "no name"),
    ("o.csv", "video,start,end,label\na,0,1,\"x\n", "", 2, 7, "never closed"),
    ("o.csv", "video,start,end,label\na,0,1,x\na,,,y\n", "", 3, 5, "whole recording and"),
    ("o.csv", "video,start,end,label\n", "", 0, 0, "only a header"),
    ("o.csv", "video,start,label\na,0,x\n", "", 1, 7, "no column for the end"),
    ("o.csv", "video,start_frame,end_frame,label\na,0,1,x\n", "", 1, 7, "a unit that is not known"),
    (
        "k.csv",
        "youtube_id,time_start,time_end,split\na,1,2,test\n",
        "",
        1,
        1,
        "no column \"label\"",
    ),
    ("k.csv", "label,youtube_id,time_start,time_end,split\nx,a,1,two,val\n", "", 2, 7, "no time"),
    (
        "k.csv",
        "label,youtube_id,time_start,time_end,split\nx,,1,2,val\n",
        "",
        2,
        3,
        "youtube_id is missing",
    ),
    ("l.txt", "a/b.mp4 1\na/c.mp4\n", "list", 2, 8, "label is missing"),
    ("testlist01.txt", "FlyKite/a.avi\nb.avi\n", "", 2, 1, "no class"),
    ("trainlist01.txt", "FlyKite/a.avi one\n", "", 1, 1, "is not Class/clip.avi"),
    ("wave_test_split1.txt", "a.avi 2\nb.avi 3\n", "", 2, 7, "\"3\" says no part"),
    ("wave_test_split1.txt", "a.avi\n", "", 1, 6, "0, 1 or 2"),
    ("any.txt", "a.avi 2\n", "hmdb51", 0, 0, "neither class nor split"),
    ("a.json", "{\"database\": {\"x\": {\"annotations\": [}}", "", 1, 37, "expected value"),
    (
        "a.json",
        "{\"database\": {\"x\": {\"annotations\":\n [{\"label\": \"y\", \"segment\": [1, -2]}]}}}",
        "",
        2,
        33,
        "-2 is no time",
    ),
    (
        "a.json",
        "{\"database\": {\"x\": {\"annotations\":\n [{\"segment\": [1, 2]}]}}}",
        "",
        2,
        3,
        "no \"label\"",
    ),
    ("a.json", "{\"x\": {\"annotations\": 5}}", "", 1, 23, "expected a list"),
    ("Dive_test.txt", "v 1.0 2.0\nv 1.0 x\n", "thumos14", 2, 7, "end is \"x\""),
    ("Dive_test.txt", "v 1.0\n", "thumos14", 1, 1, "is not a video"),
    ("c.csv", "id,script,actions,length\nA,s,c001 1.0,9\n", "", 2, 5, "is no action"),
    (
        "e.csv",
        "video_id,start_timestamp,stop_timestamp,verb_class\nP,00:00:01.5,90,1\n",
        "",
        2,
        14,
        "no time stamp",
    ),
    (
        "e.csv",
        "video_id,start_timestamp,stop_timestamp\nP,00:00:01.5,00:00:09\n",
        "",
        1,
        1,
        "no column \"verb_class\"",
    ),
    ("v.csv", "x,0902,0.1,0.1,0.2,0.2,1,1\nx,t,0.1,0.1,0.2,0.2,1,1\n", "", 2, 3, "no time stamp"),
    ("v.csv", "x,0902,0.1,0.1,0.2,0.2,1,1\nx,0903,0.1\n", "", 2, 11, "found 3"),
    (
        "e.eaf",
        "<?xml version=\"1.0\"?>\n<ANNOTATION_DOCUMENT>\n<TIER></ANNOTATION_DOCUMENT>",
        "",
        3,
        7,
        "expected 'TIER' tag",
    ),
    ("e.eaf", "<a/>", "", 1, 1, "expected <ANNOTATION_DOCUMENT>"),
    ("e.eaf", "<!DOCTYPE a [<!ENTITY b \"c\">]><ANNOTATION_DOCUMENT/>", "", 1, 1, "DTD"),
    (
        "e.eaf",
        "<ANNOTATION_DOCUMENT><TIME_ORDER>\n<TIME_SLOT TIME_SLOT_ID=\"t\" TIME_VALUE=\"x\"/></TIME_ORDER></ANNOTATION_DOCUMENT>",
        "",
        2,
        1,
        "expected milliseconds",
    ),
    (
        "s.json",
        "[{\"data\": {\"video\": \"a.mp4\"}, \"annotations\": [{\"result\": [{\"type\": \"timelinelabels\",\n\"value\": {\"timelinelabels\": [\"x\"]}}]}]}]",
        "",
        2,
        10,
        "no \"ranges\"",
    ),
    ("c.vtt", "WEBVTT\n\n00:01 --> 00:xx\nhi\n", "", 3, 11, "\"00:xx\" is no time"),
    ("c.vtt", "\n00:01.000 --> 00:02.000\nhi\n", "", 1, 1, "begin with WEBVTT"),
    ("c.srt", "1\n00:00:01,000 -> 00:00:02,000\nhi\n", "", 1, 1, "holds no cue"),
];

#[test]
fn malformed_files_are_refused_with_line_and_column() {
    for (name, text, format, line, column, why) in MALFORMED {
        let options = ReadOptions { format: format.parse().ok(), ..Default::default() };
        let error = Annotations::parse(name, text.as_bytes(), &options).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        let error = error.to_string();
        let place = match line {
            0 => format!("reading labels \"{name}\": "),
            _ => format!("reading labels \"{name}\", line {line}, column {column}: "),
        };
        assert!(error.starts_with(&place), "{text:?}: {error}");
        assert!(error.contains(why), "{text:?}: {error}");
    }
    for (format, text) in [
        ("gmdcsa24", "File Name,Classes\n01.mp4,Sitting[0 to 1\n"),
        ("span-map", "{\"a\":\n [[\"x\", 1]]}"),
        ("span-map", "{\"a\":\n true}"),
    ] {
        let options = ReadOptions { format: format.parse().ok(), ..Default::default() };
        let error = Annotations::parse("x", text.as_bytes(), &options).unwrap_err().to_string();
        assert!(error.contains("line 2, column "), "{error}");
    }
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    let error = Annotations::parse("a.csv", b"video,label\na,\xff\n", &ReadOptions::default());
    let error = error.unwrap_err().to_string();
    assert!(error.contains("line 2, column 3") && error.contains("UTF-8"), "{error}");
    let error = Annotations::read(Path::new("/nonexistent/labels.csv"), &ReadOptions::default());
    assert!(error.unwrap_err().to_string().contains("/nonexistent/labels.csv"));
}

#[test]
fn a_folder_of_several_formats_is_refused_until_one_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["kinetics.csv", "activitynet.json"] {
        fs::copy(fixture(name), folder.path().join(name)).unwrap();
    }
    let error = Annotations::read(folder.path(), &ReadOptions::default()).unwrap_err().to_string();
    assert!(error.contains("several formats") && error.contains("--format"), "{error}");
    let options = ReadOptions { format: Some(Format::Kinetics), ..Default::default() };
    assert_eq!(Annotations::read(folder.path(), &options).unwrap().entries().len(), 2);
}

#[test]
fn a_class_that_the_list_does_not_name_is_refused() {
    let options = ReadOptions { classes: Some(fixture("classes.txt")), ..Default::default() };
    let error = Annotations::parse("l.txt", b"a/b.mp4 9\n", &options).unwrap_err().to_string();
    assert!(error.contains("line 1, column 9: class \"9\" is none of the 4"), "{error}");
    let options = ReadOptions { classes: Some(fixture("none.txt")), ..Default::default() };
    let error = Annotations::parse("l.txt", b"a/b.mp4 9\n", &options).unwrap_err().to_string();
    assert!(error.contains("class list") && error.contains("none.txt"), "{error}");
}

#[test]
fn a_survey_lists_what_does_not_fit() {
    let annotations = read("gmdcsa24");
    let aliases = Aliases::new(&["sitting".into(), "standing up".into(), "eating".into()]);
    let videos = [
        ("Subject_9_ADL_01.mp4".to_owned(), Some(7.5)),
        ("Subject_9_ADL_02.mp4".to_owned(), None),
        ("other.mp4".to_owned(), Some(3.0)),
    ];
    let survey = Survey::new(&annotations, &videos, &aliases);
    let unknown: Vec<_> = survey
        .unknown_labels
        .iter()
        .map(|u| (u.label.as_str(), u.count, u.nearest.as_deref()))
        .collect();
    assert_eq!(unknown, [("Sleeping", 1, None), ("Standing", 2, Some("standing up"))]);
    assert_eq!(survey.videos_without_labels, ["other.mp4"]);
    assert!(survey.labels_without_videos.is_empty());
    assert_eq!(survey.spans_past_end.len(), 1);
    assert_eq!((survey.spans_past_end[0].end, survey.spans_past_end[0].duration), (8.0, 7.5));
    let text = survey.to_string();
    for line in [
        "labels that the model does not know: 2",
        "  Standing  2      standing up",
        "videos without labels: 1",
        "  Subject_9_ADL_01.mp4  Sleeping  2.00   8.00  7.50",
        "ADL.csv:3:85",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    let fits = Survey::new(&annotations, &videos[..2], &Aliases::new(&[]));
    assert!(!fits.is_empty());
    let survey = Survey::new(&annotations, &[], &aliases);
    assert_eq!(survey.labels_without_videos.len(), 2);
}

#[test]
fn long_tables_are_cut_short_unless_asked_for() {
    let annotations = read("ours.csv");
    let videos: Vec<_> = (0..30).map(|i| (format!("v{i:02}.mp4"), None)).collect();
    let survey = Survey::new(&annotations, &videos, &Aliases::new(&[]));
    let short = survey.to_string();
    assert!(short.contains("… and 10 more") && !short.contains("v29.mp4"), "{short}");
    assert!(format!("{survey:#}").contains("v29.mp4"));
}

#[test]
fn every_video_of_a_run_is_matched_once() {
    let annotations = read("span-map.json");
    let found = annotations.match_videos(&["one.mp4", "b/two.mp4", "a/two.mp4"]);
    assert!(matches!(found[0], Match::Found(entry) if entry.video == "a/one.mp4"));
    // Another folder's video of the same name does not take the labels.
    assert_eq!(found[1], Match::None);
    assert!(matches!(found[2], Match::Found(entry) if entry.video == "a/two.mp4"));
}

#[test]
fn hostile_files_are_refused_without_taking_the_machine_along() {
    let deep_json = format!("{{\"a\": {}", "[".repeat(200_000));
    let deep_xml = format!("<ANNOTATION_DOCUMENT>{}", "<TIER>".repeat(200_000));
    // Each of many ranges with each of many labels.
    let ranges = vec!["{\"start\":1,\"end\":2}"; 20_000].join(",");
    let labels: Vec<_> = (0..20_000).map(|i| format!("\"{i:0>900}\"")).collect();
    let product = format!(
        "[{{\"data\":{{\"video\":\"a.mp4\"}},\"annotations\":[{{\"result\":[{{\"type\":\"timelinelabels\",\"value\":{{\"ranges\":[{ranges}],\"timelinelabels\":[{}]}}}}]}}]}}]",
        labels.join(",")
    );
    let endless = format!("video,label\na,{}\n", "x".repeat(1 << 20));
    for (name, text, why) in [
        ("a.json", deep_json, "recursion"),
        ("a.eaf", deep_xml, ""),
        ("a.json", product, "take more than"),
        ("a.csv", endless, "at most"),
    ] {
        let options = ReadOptions { fps: Some(30.0), ..Default::default() };
        let error = Annotations::parse(name, text.as_bytes(), &options).unwrap_err().to_string();
        assert!(error.contains(why) && error.len() < 2000, "{error}");
    }
}

/// Pieces that files are made of, and that readers may stumble over.
const PIECES: [&str; 40] = [
    ",",
    ";",
    "\t",
    "\n",
    "\r\n",
    "\n\n",
    "\"",
    "\"\"",
    "[",
    "]",
    "{",
    "}",
    ":",
    "-->",
    "<",
    ">",
    "</",
    "/>",
    "&amp;",
    "&x;",
    "<!DOCTYPE a>",
    "\\",
    "/",
    "../",
    "é",
    "\u{feff}",
    "\0",
    "nan",
    "inf",
    "-1",
    "1e999",
    "99999999999999999999",
    "0.0000001",
    "00:00:61.5",
    "99:59:59,999",
    "null",
    "true",
    "[0 to 1]",
    " to ",
    "label",
];

struct Fuzzer {
    chance: ChaCha8Rng,
    fixtures: Vec<(String, Vec<u8>)>,
    classes: PathBuf,
    _folder: tempfile::TempDir,
}

impl Fuzzer {
    fn new(seed: u64) -> Fuzzer {
        let mut fixtures = Vec::new();
        let mut folders = vec![fixture("")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let name = path.file_name().unwrap().to_string_lossy().into_owned();
                    fixtures.push((name, fs::read(path).unwrap()));
                }
            }
        }
        fixtures.sort();
        let folder = tempfile::tempdir().unwrap();
        Fuzzer {
            chance: ChaCha8Rng::seed_from_u64(seed),
            fixtures,
            classes: folder.path().join("classes"),
            _folder: folder,
        }
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.chance.next_u64() % limit.max(1) as u64) as usize
    }

    fn piece(&mut self) -> Vec<u8> {
        match self.below(4) {
            0 => (0..self.below(8)).map(|_| self.chance.next_u32() as u8).collect(),
            _ => PIECES[self.below(PIECES.len())].as_bytes().to_vec(),
        }
    }

    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        let a = self.below(bytes.len() + 1);
        let b = a + self.below((bytes.len() - a).min(40) + 1);
        match self.below(6) {
            0 => {
                let piece = self.piece();
                bytes.splice(a..a, piece);
            }
            1 => {
                let piece = self.piece();
                bytes.splice(a..b, piece);
            }
            2 => {
                bytes.drain(a..b);
            }
            3 => {
                let copy = bytes[a..b].to_vec();
                let to = self.below(bytes.len() + 1);
                bytes.splice(to..to, copy);
            }
            4 => bytes.truncate(a),
            _ => {
                if let Some(byte) = bytes.get_mut(a) {
                    *byte ^= 1 << (self.chance.next_u32() % 8);
                }
            }
        }
    }

    fn input(&mut self) -> (String, Vec<u8>) {
        let (name, mut bytes) = {
            let i = self.below(self.fixtures.len());
            self.fixtures[i].clone()
        };
        match self.below(8) {
            0 => bytes = (0..self.below(200)).map(|_| self.chance.next_u32() as u8).collect(),
            1 => bytes = (0..self.below(60)).flat_map(|_| self.piece()).collect(),
            2 => {
                // The head of one file with the tail of another.
                let other = self.below(self.fixtures.len());
                let (head, tail) = (self.below(bytes.len() + 1), self.fixtures[other].1.clone());
                bytes.truncate(head);
                bytes.extend_from_slice(&tail[self.below(tail.len() + 1)..]);
            }
            _ => {
                for _ in 0..=self.below(4) {
                    self.mutate(&mut bytes);
                }
            }
        }
        (name, bytes)
    }

    fn options(&mut self) -> ReadOptions {
        let mut some =
            |text: &str, one_in: usize| (self.below(one_in) == 0).then(|| text.to_owned());
        ReadOptions {
            tier: some("*", 2),
            column: some("label", 12),
            split: some("test1", 12),
            format: None,
            fps: [Some(30.0), Some(1e-300), Some(-1.0), None][self.below(16).saturating_sub(12)],
            offset: [0.0, -900.0, 1e9, 1e300][self.below(16).saturating_sub(12)],
            strict: self.below(8) == 0,
            classes: None,
            clock: [LabelClock::Stream, LabelClock::Wall][self.below(16) / 15],
        }
    }

    /// Reads one input in a format that it says itself, its own or any.
    fn round(&mut self) -> bool {
        let (name, bytes) = self.input();
        let mut options = self.options();
        if self.below(6) == 0 {
            options.format = Some(Format::ALL[self.below(Format::ALL.len())]);
        }
        if self.below(100) == 0 {
            fs::write(&self.classes, &bytes).unwrap();
            options.classes = Some(self.classes.clone());
            let _ = Aliases::with_map(&["a".into(), "b".into()], &self.classes);
        }
        let outcome =
            std::panic::catch_unwind(|| match Annotations::parse(&name, &bytes, &options) {
                Ok(annotations) => {
                    check(&annotations);
                    true
                }
                Err(error) => {
                    assert!(!error.to_string().is_empty());
                    false
                }
            });
        outcome.unwrap_or_else(|_| {
            panic!("{name}, {options:?}: {:?}", String::from_utf8_lossy(&bytes));
        })
    }
}

/// What holds of anything that was read.
fn check(annotations: &Annotations) {
    assert!(!annotations.entries().is_empty());
    for entry in annotations.entries() {
        assert!(!entry.video.is_empty());
        assert!(entry.truth.labels().iter().all(|label| !label.is_empty()));
        if let Truth::Spans(spans) = &entry.truth {
            assert!(spans.iter().all(|s| 0.0 <= s.start && s.start < s.end && s.end.is_finite()));
            assert!(spans.is_sorted_by(|a, b| a.start <= b.start));
        }
        let found = annotations.find(&entry.video);
        assert!(matches!(found, Ok(Some(same)) if same.truth == entry.truth), "{}", entry.video);
        assert!(entry.duration.is_none_or(|d| d.is_finite() && d >= 0.0));
    }
    for fault in annotations.faults() {
        assert!(fault.line >= 1 && fault.column >= 1 && !fault.fault.is_empty());
    }
    let videos =
        [("a.mp4".to_owned(), Some(1.0)), (annotations.entries()[0].video.clone(), Some(0.5))];
    let survey = Survey::new(annotations, &videos, &Aliases::new(&["idle".into(), "run".into()]));
    assert_eq!(survey.to_string().is_empty(), survey.is_empty());
    let _ = (annotations.multi_label(), annotations.labels());
}

/// How many of the inputs could be read.
fn fuzz(inputs: u64, seed: u64) -> u64 {
    let mut fuzzer = Fuzzer::new(seed);
    (0..inputs).map(|_| u64::from(fuzzer.round())).sum()
}

#[test]
fn no_input_makes_a_reader_panic() {
    let read = fuzz(20_000, 3);
    // Readers that refuse everything would pass otherwise.
    assert!(read > 1000, "only {read} of the inputs could be read");
}

#[test]
#[ignore = "takes minutes; run by `make fuzz`"]
fn a_million_inputs_make_no_reader_panic() {
    let read = fuzz(1_000_000, 4);
    println!("1000000 inputs, of which {read} could be read");
    assert!(read > 50_000, "only {read} of the inputs could be read");
}
