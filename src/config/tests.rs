//! What a configuration may say, and what is said back when it may not.

use std::fs;
use std::time::Duration;

use super::*;
use crate::control::StatusOptions;

struct File {
    folder: tempfile::TempDir,
}

impl File {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.mp4"), "").unwrap();
        File { folder }
    }

    fn load(&self, text: &str) -> Result<Config> {
        let path = self.folder.path().join("c.toml");
        fs::write(&path, text).unwrap();
        Config::load(&path)
    }
}

const STREAM: &str = "[[stream]]\nname = \"gate\"\nsource = { path = \"a.mp4\" }\n";

fn load(rest: &str) -> Result<Config> {
    File::new().load(&format!("{STREAM}{rest}"))
}

fn refused(rest: &str) -> String {
    match load(rest) {
        Ok(_) => panic!("{rest:?} was taken"),
        Err(error) => {
            assert_eq!(error.exit_code(), 2, "{error}");
            error.to_string()
        }
    }
}

#[test]
fn a_stream_alone_takes_every_default() {
    let file = File::new();
    let config = file.load(STREAM).unwrap();
    let stream = &config.streams[0];
    assert_eq!(stream.name, "gate");
    assert_eq!(stream.max_gap, HumanDuration(Duration::from_secs(1)));
    assert_eq!(
        (&stream.model, &stream.predict),
        (&ModelOptions::default(), &PredictOptions::default())
    );
    assert_eq!(stream.source.path.as_deref(), Some(file.folder.path().join("a.mp4").as_path()));
    assert_eq!(stream.video_names(), ["a.mp4", "gate"]);
    assert_eq!(config.sinks, [SinkConfig::Stdout(FileOptions::QUEUE_BYTES)]);
}

#[test]
fn unknown_keys_are_placed_and_the_nearest_is_proposed() {
    let error = refused("[predict]\nhop = 1\ntopk = 3\n");
    for part in [
        "c.toml\", line 6, column 1",
        "predict.topk",
        "expected one of",
        "\"top_k\"",
        "Remedy: write \"top_k\"",
    ] {
        assert!(error.contains(part), "{part} in {error}");
    }
    let error = refused("lables = \"x.csv\"\n");
    assert!(error.contains("line 4") && error.contains("write \"labels\""), "{error}");
    let error = refused("[predict.events]\nmin_durration = \"1 s\"\n");
    assert!(error.contains("line 5") && error.contains("write \"min_duration\""), "{error}");
    let error = refused("[[sink]]\nkind = \"stdot\"\n");
    assert!(error.contains("line 5, column 8") && error.contains("write \"stdout\""), "{error}");
    let error = refused("labels = { path = \"x.json\", format = \"activity-net\" }\n");
    assert!(error.contains("line 4") && error.contains("write \"activitynet\""), "{error}");
    let error = refused("labels = { path = \"x.json\", colum = \"x\" }\n");
    assert!(error.contains("line 4") && error.contains("write \"column\""), "{error}");
    let error = refused("[calibrate]\ntemperature = \"online\"\n");
    assert!(error.contains("calibrate.temperature") && error.contains("\"method\""), "{error}");
    let error = refused("[calibration]\n");
    assert!(error.contains("unknown key \"calibration\""), "{error}");
    let error = refused("[model]\nmode = \"windw\"\n");
    assert!(error.contains("line 5, column 8") && error.contains("write \"window\""), "{error}");
    let error = refused("[stream.predict]\nhopp = 2\n");
    assert!(error.contains("stream[0].predict.hopp") && error.contains("write \"hop\""), "{error}");
}

#[test]
fn wrong_types_say_what_was_expected_and_found() {
    for (text, parts) in [
        (
            "[predict]\nhop = \"often\"\n",
            ["line 5, column 7", "predict.hop", "a whole number of 0 or more, found string"],
        ),
        (
            "[predict]\nhop = -1\n",
            ["line 5, column 7", "predict.hop", "a whole number of 0 or more, found integer -1"],
        ),
        (
            "[predict]\nsmooth = 3\n",
            ["line 5, column 10", "predict.smooth", "a table or \"none\", found integer 3"],
        ),
        (
            "labels = 2\n",
            [
                "line 4, column 10",
                "stream[0].labels",
                "a table of where they come from, found integer 2",
            ],
        ),
        ("max_gap = 2\n", ["line 4, column 11", "stream[0].max_gap", "such as \"250 ms\""]),
        ("max_gap = \"2\"\n", ["line 4, column 11", "stream[0].max_gap", "no unit"]),
        ("predict = 1\n", ["line 4", "stream[0].predict", "expected a table"]),
    ] {
        let error = refused(text);
        for part in parts {
            assert!(error.contains(part), "{part} in {error}");
        }
    }
}

#[test]
fn impossible_values_are_refused_where_they_stand() {
    for (text, parts) in [
        ("[predict]\nhop = 0\n", ["line 5, column 7", "predict.hop"]),
        ("[predict]\nevents = { on = 0.3, off = 0.4 }\n", ["line 5, column 28", "lies above on"]),
        ("[predict.events]\non = 0.3\n", ["line 4, column 10", "off = 0.4 lies above on = 0.3"]),
        ("[model]\nthreads = 0\n", ["line 5, column 11", "0 threads"]),
        ("max_gap = \"0 s\"\n", ["line 4, column 11", "no gap at all"]),
        (
            "[[stream]]\nname = \"gate\"\nsource = { path = \"a.mp4\" }\n",
            ["line 5, column 8", "stream 1 is called \"gate\" as well"],
        ),
        ("[[sink]]\nkind = \"file\"\n", ["line 5, column 8", "needs a path"]),
        (
            "[[sink]]\nkind = \"stdout\"\n[[sink]]\nkind = \"stdout\"\n",
            ["line 7, column 8", "a sink already"],
        ),
        (
            "[[sink]]\nkind = \"file\"\npath = \"p\"\n[[sink]]\nkind = \"file\"\npath = \"p\"\n",
            ["line 9, column 8", "another sink"],
        ),
    ] {
        let error = refused(text);
        for part in parts {
            assert!(error.contains(part), "{part} in {error}");
        }
    }
}

#[test]
fn a_missing_recording_is_refused_before_anything_starts() {
    let error = File::new()
        .load("[[stream]]\nname = \"x\"\nsource = { path = \"none.mp4\" }\n")
        .err()
        .unwrap();
    assert!(
        error.to_string().contains("none.mp4") && error.to_string().contains("line 3"),
        "{error}"
    );
}

#[test]
fn broken_toml_missing_files_and_missing_keys_are_told_apart() {
    let file = File::new();
    let error = file.load("[[stream]\n").err().unwrap().to_string();
    assert!(error.contains("not valid TOML") && error.contains("line 1"), "{error}");
    let error = Config::load(Path::new("/nonexistent/c.toml")).err().unwrap().to_string();
    assert!(error.contains("/nonexistent/c.toml"), "{error}");
    let error = file.load("[[stream]]\nname = \"x\"\n").err().unwrap().to_string();
    assert!(error.contains("\"source\" is missing") && error.contains("line 1"), "{error}");
    let error = file.load("[predict]\nhop = 1\n").err().unwrap().to_string();
    assert!(error.contains("\"stream\" is missing"), "{error}");
    let error = file.load("stream = []\n").err().unwrap().to_string();
    assert!(error.contains("at least one [[stream]]"), "{error}");
}

#[test]
fn a_stream_takes_the_global_keys_that_it_does_not_set() {
    let config = load(
        "[stream.predict]\nhop = 4\n[[stream]]\nname = \"b\"\nsource = { path = \"a.mp4\" }\n\
         model = { path = \"other\" }\n[model]\npath = \"m\"\nmode = \"window\"\nthreads = 2\n[predict]\nhop = 2\ntop_k = 7\n",
    )
    .unwrap();
    let [a, b] = config.streams.as_slice() else { panic!() };
    assert_eq!((a.predict.hop, a.predict.top_k), (4, 7));
    assert_eq!((b.predict.hop, b.predict.top_k), (2, 7));
    assert!(a.model.path.as_ref().unwrap().ends_with("m") && a.model.mode.is_some());
    assert!(b.model.path.as_ref().unwrap().ends_with("other"));
    assert_eq!((b.model.mode, b.model.threads), (None, 2), "the mode belongs to the global model");
}

#[test]
fn variables_are_put_in_and_never_shown() {
    // PATH is set wherever cargo runs.
    let secret = std::env::var("PATH").unwrap();
    let error = refused("max_gap = \"${PATH}\"\n");
    assert!(error.contains("***") && !error.contains(&secret), "{error}");
    let error = refused("labels = \"${KINEWATCH_SURELY_UNSET}\"\n");
    assert!(
        error.contains("KINEWATCH_SURELY_UNSET is not set") && error.contains("line 4, column 10"),
        "{error}"
    );
    let config = load("labels = \"${KINEWATCH_SURELY_UNSET:-x.csv}\"\n").unwrap();
    let labels = config.streams[0].labels.as_ref().unwrap();
    assert!(labels.path.as_ref().unwrap().ends_with("x.csv"));
}

#[test]
fn errors_found_later_know_their_place() {
    let config = load("[predict]\nevents = { ignore = [\"idel\"] }\n").unwrap();
    let error = config.error_at("stream[0].predict.events.ignore", "no such label").to_string();
    assert!(error.contains("line 5, column 21"), "{error}");
    let error = config.error_at("stream[0].labels", "no such file").to_string();
    assert!(error.contains("line 1"), "{error}");
}

#[test]
fn the_quick_form_knows_files_uris_cameras_and_synth() {
    let file = File::new();
    let video = file.folder.path().join("a.mp4");
    let config =
        Config::quick(video.to_str().unwrap(), Some(Path::new("m")), Some(Path::new("l.csv")))
            .unwrap();
    assert_eq!(
        (config.streams[0].name.as_str(), &config.streams[0].source.path),
        ("a", &Some(video))
    );
    assert_eq!(config.streams[0].model.path.as_deref(), Some(Path::new("m")));
    assert_eq!(config.streams[0].labels, Some(Path::new("l.csv").into()));
    let config = Config::quick("rtsp://cam/1", None, None).unwrap();
    assert_eq!(config.streams[0].source.uri.as_deref(), Some("rtsp://cam/1"));
    let config = Config::quick("/dev/video2", None, None).unwrap();
    assert_eq!(
        (config.streams[0].name.as_str(), config.streams[0].source.device.is_some()),
        ("video2", true)
    );
    let error = Config::quick("none.mp4", None, None).err().unwrap().to_string();
    assert!(error.contains("none.mp4") && error.contains("the command line"), "{error}");
}

/// The keys that the code takes in the table at `header`: what it proposes
/// when it meets one that it does not know.
fn keys_of(header: &str) -> Vec<String> {
    let error = match header {
        "" => refused("zzz = 1\n").replace("stream[0].", ""),
        _ => refused(&format!("{header}\nzzz = 1\n")),
    };
    let list = error
        .split("expected one of ")
        .nth(1)
        .or_else(|| error.split("; expected ").nth(1))
        .unwrap();
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn the_documentation_lists_every_key_with_its_default() {
    let text = include_str!("../../docs/config.md");
    let documented: std::collections::BTreeMap<&str, &str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .map(|row| {
            let mut cells = row.split(" | ");
            (cells.next().unwrap().trim_end_matches('`'), cells.next().unwrap().trim_matches('`'))
        })
        .collect();

    let mut keys: Vec<String> = Vec::new();
    for (prefix, header) in [
        ("stream", ""),
        ("model", "[model]"),
        ("model.nvinfer", "[model.nvinfer]"),
        ("predict", "[predict]"),
        ("predict.smooth", "[predict.smooth]"),
        ("predict.events", "[predict.events]"),
        ("calibrate", "[calibrate]"),
        ("accuracy", "[accuracy]"),
        ("state", "[state]"),
        ("control", "[control]"),
        ("status", "[status]"),
        ("watchdog", "[watchdog]"),
        ("stream.labels", "[stream.labels]"),
        ("stream.isolate", "[stream.isolate]"),
        ("stream.reconnect", "[stream.reconnect]"),
        ("sink", "[[sink]]"),
    ] {
        keys.extend(keys_of(header).iter().map(|key| format!("{prefix}.{key}")));
    }
    keys.sort();
    assert_eq!(documented.keys().copied().collect::<Vec<_>>(), keys);

    let mut defaults = toml::Table::new();
    defaults.insert("predict".into(), toml::Value::try_from(PredictOptions::default()).unwrap());
    defaults.insert("model".into(), toml::Value::try_from(ModelOptions::default()).unwrap());
    let of = |table: &str, value| (table.to_owned(), value);
    defaults.extend([
        of("calibrate", toml::Value::try_from(CalibrateOptions::default()).unwrap()),
        of("accuracy", toml::Value::try_from(AccuracyOptions::default()).unwrap()),
        of("state", toml::Value::try_from(StateOptions::default()).unwrap()),
        of("control", toml::Value::try_from(ControlOptions::default()).unwrap()),
        of("status", toml::Value::try_from(StatusOptions::default()).unwrap()),
        of("watchdog", toml::Value::try_from(WatchdogOptions::default()).unwrap()),
    ]);
    let labels = [
        ("offset".into(), 0.0.into()),
        ("strict".into(), false.into()),
        ("live".into(), false.into()),
        ("clock".into(), crate::label::LabelClock::default().name().into()),
        ("wait".into(), crate::label::WAIT.to_string().into()),
    ];
    defaults.insert(
        "stream".into(),
        toml::Value::Table(
            [
                ("max_gap".into(), MAX_GAP.to_string().into()),
                ("labels".into(), toml::Value::Table(labels.into_iter().collect())),
                ("isolate".into(), toml::Value::try_from(Isolation::default()).unwrap()),
                ("reconnect".into(), toml::Value::try_from(ReconnectOptions::default()).unwrap()),
            ]
            .into_iter()
            .collect(),
        ),
    );
    defaults.insert(
        "sink".into(),
        toml::Value::Table(
            [
                ("rotate_bytes".into(), (FileOptions::ROTATE_BYTES as i64).into()),
                ("rotate_age".into(), FileOptions::ROTATE_AGE.to_string().into()),
                ("keep".into(), (FileOptions::KEEP as i64).into()),
                ("flush".into(), FileOptions::FLUSH.to_string().into()),
                ("sync".into(), FileOptions::SYNC.to_string().into()),
                ("queue_bytes".into(), (FileOptions::QUEUE_BYTES as i64).into()),
            ]
            .into_iter()
            .collect(),
        ),
    );
    for (key, default) in documented {
        let value = key
            .split('.')
            .try_fold(&toml::Value::Table(defaults.clone()), |value, part| value.get(part))
            .cloned();
        let expected = match value {
            None | Some(toml::Value::Table(_)) => "–".to_owned(),
            Some(value) => value.to_string(),
        };
        assert_eq!(default, expected, "{key}");
    }
}

#[test]
fn a_stream_takes_one_source_or_a_list_of_them() {
    let list = |sources: &str| {
        File::new().load(&format!("[[stream]]\nname = \"gate\"\nsource = [{sources}]\n"))
    };
    let config =
        list("{ uri = \"rtsp://a/1\" }, { uri = \"rtsp://b/1\", timeout = \"3 s\" }").unwrap();
    let stream = &config.streams[0];
    let hosts: Vec<_> = stream.sources().map(|s| s.uri.as_deref().unwrap()).collect();
    assert_eq!(hosts, ["rtsp://a/1", "rtsp://b/1"]);
    for (sources, parts) in [
        ("", ["stream[0].source", "names nothing"]),
        ("{ uri = \"rtsp://a/1\" }, { uri = \"gopher://b\" }", ["source[1]", "gopher"]),
        ("{ uri = \"rtsp://a/1\" }, { ury = \"rtsp://b\" }", ["source", "write \"uri\""]),
        ("{ uri = \"rtsp://a/1\" }, { path = \"a.mp4\" }", ["source[1]", "a recording cannot be"]),
        ("3", ["line 3", "expected a table"]),
    ] {
        let error = list(sources).err().unwrap();
        assert_eq!(error.exit_code(), 2);
        let error = error.to_string();
        parts.iter().for_each(|part| assert!(error.contains(part), "{part} in {error}"));
    }
    let error = refused("reconnect = { first = \"0 s\" }\n");
    assert!(error.contains("stream[0].reconnect.first"), "{error}");
    let error = refused("reconnect = { first = \"2 s\", longest = \"1 s\" }\n");
    assert!(error.contains("stream[0].reconnect.longest"), "{error}");
    let error = refused("reconnect = { jitter = 2 }\n");
    assert!(error.contains("stream[0].reconnect.jitter"), "{error}");
    let set = load("reconnect = { longest = \"5 min\" }\n").unwrap().streams[0].reconnect;
    assert_eq!(
        set,
        ReconnectOptions { longest: HumanDuration::seconds(300), ..Default::default() }
    );
}

fn evaluation(text: &str) -> Result<Evaluation> {
    let file = File::new();
    let path = file.folder.path().join("c.toml");
    fs::write(&path, text).unwrap();
    Config::evaluation(&path)
}

#[test]
fn an_evaluation_needs_no_stream_and_takes_the_only_one_s_settings() {
    assert_eq!(evaluation("").unwrap(), Evaluation::default());
    let global = evaluation("[predict]\nhop = 3\n").unwrap();
    assert_eq!(global.predict.hop, 3);
    let own = format!(
        "{STREAM}max_gap = \"2 s\"\npredict = {{ hop = 5 }}\n[predict]\nhop = 3\ntop_k = 2\n"
    );
    let own = evaluation(&own).unwrap();
    assert_eq!((own.predict.hop, own.predict.top_k), (5, 2));
    assert_eq!(own.max_gap, HumanDuration::seconds(2));
    let second = STREAM.replace("gate", "yard");
    let two = evaluation(&format!("{STREAM}predict = {{ hop = 5 }}\n{second}")).unwrap();
    assert_eq!(two.predict.hop, 1, "of two streams neither is meant");
}

#[test]
fn an_evaluation_refuses_what_a_daemon_refuses() {
    for (text, why) in [
        ("[predict]\nhop = 0\n", "predict.hop"),
        ("[model]\nthreads = 0\n", "threads"),
        ("[predictt]\n", "predict"),
        ("[[sink]]\nkind = \"file\"\n", "path"),
    ] {
        let error = evaluation(text).unwrap_err();
        assert!(error.to_string().contains(why) && error.exit_code() == 2, "{text}: {error}");
    }
}

#[test]
fn what_calibrates_logs_keeps_and_listens_is_checked_before_anything_starts() {
    for (text, why) in [
        ("[calibrate]\nmethod = \"isotonic\"\n", "temperature"),
        ("[calibrate]\nmin_evidence = 0\n", "calibrate.min_evidence"),
        ("[calibrate]\ncoverage = 1.5\n", "calibrate.coverage"),
        ("calibrate = { window = 3 }\n", "calibrate.window"),
        ("[accuracy]\ninterval = \"0 s\"\n", "accuracy.interval"),
        ("[accuracy]\npaht = \"log\"\n", "path"),
        ("[state]\nevery = \"0 s\"\n", "state.every"),
        ("[control]\nlisten = \"0.0.0.0:8710\"\n", "allow_remote"),
        ("labels = { live = true }\n", "[control]"),
        ("labels = { strict = true }\n", "live = true"),
    ] {
        let error = refused(text);
        assert!(error.contains(why), "{text}: {error}");
    }
}

#[test]
fn a_stream_calibrates_as_the_global_table_says_unless_it_says_otherwise() {
    let rest = "calibrate = { method = \"platt\" }\n[calibrate]\ncoverage = 0.8\n[accuracy]\npath = \"log\"\n";
    let config = load(rest).unwrap();
    let options = config.streams[0].calibrate.as_ref().unwrap();
    assert_eq!(options.method, crate::calibrate::Method::Platt);
    assert_eq!(options.coverage, Some(0.8));
    assert!(config.accuracy.path.as_ref().unwrap().is_absolute());
    assert!(load("").unwrap().streams[0].calibrate.is_none());
}

#[test]
fn labels_are_a_path_or_a_table() {
    let plain = load("labels = \"x.csv\"\n").unwrap();
    let labels = plain.streams[0].labels.as_ref().unwrap();
    let path = labels.path.as_ref().unwrap();
    assert!(path.is_absolute() && path.ends_with("x.csv"), "{labels:?}");
    let table = load(
        "labels = { path = \"x.eaf\", format = \"elan\", tier = \"gloss\", offset = -2, map = \"m.csv\" }\n",
    )
    .unwrap();
    let labels = table.streams[0].labels.as_ref().unwrap();
    assert!(labels.map.as_ref().unwrap().is_absolute());
    assert_eq!(labels.read.format, Some(crate::label::Format::Elan));
    assert_eq!((labels.read.tier.as_deref(), labels.read.offset), (Some("gloss"), -2.0));
}

#[test]
fn isolate_is_a_word_or_a_table() {
    let of = |rest: &str| load(rest).unwrap().streams[0].source.isolate.clone();
    assert_eq!(of(""), None);
    assert_eq!(of("isolate = false\n"), None);
    assert_eq!(of("isolate = true\n"), Some(Isolation::default()));
    let table = of("isolate = { strict = true, devices = [\"/dev/dri\"] }\n").unwrap();
    assert_eq!((table.strict, table.devices), (true, vec![Path::new("/dev/dri").to_owned()]));
    for (text, why) in [
        ("isolate = \"strict\"\n", "true, false or a table"),
        ("isolate = { memory = 5 }\n", "isolate.memory"),
        ("isolate = { read = [\"a\"] }\n", "isolate.read"),
        ("isolate = { strikt = true }\n", "write \"strict\""),
    ] {
        let error = refused(text);
        assert!(error.contains(why), "{text}: {error}");
    }
    let own = evaluation(&format!("{STREAM}isolate = true\n")).unwrap();
    assert_eq!(own.isolate, Some(Isolation::default()));
}
