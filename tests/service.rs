//! The daemon as systemd and people meet it: through its signals, its notify
//! socket and its status socket.

#[path = "service_support/mod.rs"]
mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{LIVE, Rig, SYNTH, stream};

/// What is promised, and a little for a machine that is busy.
const END: Duration = Duration::from_millis(5_500);

#[test]
fn systemd_is_told_what_it_needs_to_know() {
    let rig = Rig::new(&stream("gate", LIVE, ""));
    let mut daemon = rig.start_with(&[("WATCHDOG_USEC", "3000000")]);
    daemon.told("READY=1");
    daemon.told("STATUS=1 stream live");
    // A second is a third of the interval.
    let begun = Instant::now();
    for _ in 0..4 {
        daemon.told("WATCHDOG=1");
    }
    assert!(begun.elapsed() < Duration::from_secs(12), "{:?}", begun.elapsed());

    let socket = rig.path("runtime/status.sock");
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o660);
    let (code, status) = rig.status();
    assert_eq!((code, &status["healthy"]), (0, &Value::Bool(true)), "{status}");
    assert_eq!(status["v"], 1);
    let gate = &status["streams"][0];
    assert_eq!((&gate["name"], &gate["state"]), (&"gate".into(), &"live".into()));
    assert!(gate["predictions"].as_u64() > Some(0) && gate["latency_s"].is_f64(), "{gate}");
    let table = rig.kinewatch(&["status", "--socket", socket.to_str().unwrap()]);
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.contains("predictions") && table.contains("gate    live"), "{table}");

    // Nobody has labels, and that is said, too.
    daemon.signal("USR1");
    daemon.said("no stream has labels");
    daemon.signal("TERM");
    daemon.told("STOPPING=1");
    assert_eq!(daemon.ends_within(END), Some(0));
    assert!(!socket.exists());
    assert_eq!(rig.status().0, 1);
}

#[test]
fn another_process_s_watchdog_is_not_fed_and_a_socket_may_be_off() {
    let rig = Rig::new(&format!("[status]\nsocket = \"off\"\n{}", stream("gate", SYNTH, "")));
    let mut daemon = rig.start_with(&[("WATCHDOG_USEC", "300000"), ("WATCHDOG_PID", "1")]);
    daemon.told("READY=1");
    rig.wait_for_predictions("gate", 20);
    assert!(!daemon.heard().contains("WATCHDOG=1"));
    assert!(!rig.path("runtime/status.sock").exists());
}

#[test]
fn a_socket_left_behind_is_replaced() {
    let rig = Rig::new(&stream("gate", SYNTH, ""));
    drop(UnixListener::bind(rig.path("runtime/status.sock")).unwrap());
    assert_eq!(rig.status().0, 1);
    let mut daemon = rig.start();
    daemon.told("STATUS=1 stream live");
    assert_eq!(rig.status().0, 0);
    daemon.process.kill().unwrap();
    daemon.process.wait().unwrap();
    let mut daemon = rig.start();
    daemon.told("STATUS=1 stream live");
    assert_eq!(rig.status().0, 0);
}

#[test]
fn a_reload_leaves_untouched_streams_alone() {
    let text = |streams: &[String]| streams.concat();
    let gate = stream("gate", SYNTH, "");
    let rig =
        Rig::new(&text(&[gate.clone(), stream("yard", SYNTH, ""), stream("hall", SYNTH, "")]));
    let mut daemon = rig.start();
    daemon.told("STATUS=3 streams live");
    rig.wait_for_predictions("gate", 3);

    // `yard` changes, `hall` goes, `door` is new.
    let yard = stream("yard", SYNTH, "predict = { hop = 2 }");
    let door = stream("door", SYNTH, "");
    rig.write(&text(&[door.clone(), gate.clone(), yard.clone()]));
    daemon.signal("HUP");
    let said = daemon.told("RELOADING=1");
    assert!(said.contains("MONOTONIC_USEC="), "{said}");
    daemon.told("READY=1");
    daemon.said("1 go on untouched (gate); 1 start anew (yard); 1 end (hall); 1 are new (door)");
    let before = rig.predictions("gate").len();
    rig.wait_for_predictions("door", 3);
    rig.wait_for_predictions("gate", before + 8);
    rig.wait_until("yard to begin anew", || {
        rig.predictions("yard").iter().filter(|p| p["seq"] == 0).count() == 2
    });
    let (_, status) = rig.status();
    let names: Vec<&Value> =
        status["streams"].as_array().unwrap().iter().map(|s| &s["name"]).collect();
    assert_eq!(names, ["door", "gate", "yard"]);
    assert_eq!(status["reload"]["count"], 1);

    // What cannot be read changes nothing, and is said.
    rig.write("[[stream]]\nname = 3\n");
    daemon.signal("HUP");
    daemon.told("RELOADING=1");
    daemon.told("READY=1");
    daemon.said("the configuration stays as it was: reading");
    daemon.told("STATUS=the configuration was refused");
    let (_, status) = rig.status();
    assert!(status["reload"]["error"].as_str().unwrap().contains("name"), "{status}");

    // What waits for a restart is named.
    rig.write(&(text(&[door, gate, yard]) + "[control]\nlisten = \"127.0.0.1:0\"\n"));
    daemon.signal("HUP");
    daemon.said("what changed in [control] waits for a restart");
    daemon.said("3 go on untouched");
    daemon.signal("TERM");
    assert_eq!(daemon.ends_within(END), Some(0));

    // Through three reloads, not a frame of it was lost.
    let gate = rig.predictions("gate");
    assert!(gate.iter().enumerate().all(|(i, p)| p["seq"] == i as u64), "{gate:?}");
    assert!(gate.iter().skip(1).all(|p| p.get("reset").is_none_or(Value::is_null)));
    let hop = gate[1]["t"].as_f64().unwrap() - gate[0]["t"].as_f64().unwrap();
    for pair in gate.windows(2) {
        let step = pair[1]["t"].as_f64().unwrap() - pair[0]["t"].as_f64().unwrap();
        assert!((step - hop).abs() < 1e-6, "{pair:?}");
    }
}

/// The keys of a stream whose model never comes back.
fn hanging(rig: &Rig) -> String {
    let bundle = rig.bundle("slow", support::hang);
    format!("model = {{ path = {bundle:?}, mode = \"window\" }}")
}

#[test]
fn a_model_that_hangs_takes_down_its_stream_alone() {
    let rig = Rig::new("");
    let slow = hanging(&rig);
    rig.write(&format!(
        "[watchdog]\npatience = \"2 s\"\n{}{}",
        stream("gate", SYNTH, ""),
        stream("yard", LIVE, &slow)
    ));
    let mut daemon = rig.start_with(&[("WATCHDOG_USEC", "2000000")]);
    daemon.said("stream \"yard\": its model hangs; it was left behind");
    let (code, status) = rig.status();
    assert_eq!((code, &status["healthy"]), (1, &Value::Bool(false)), "{status}");
    assert!(status["sessions_abandoned"].as_u64() >= Some(1), "{status}");
    assert!(status["streams"][1]["last_fault"].as_str().unwrap().contains("its model hangs"));
    daemon.said("stream \"yard\" is started again in");
    rig.wait_until("yard to be started again", || {
        rig.status().1["streams"][1]["restarts"].as_u64() >= Some(1)
    });
    // The other one goes on, so that the watchdog is fed.
    let before = rig.predictions("gate").len();
    rig.wait_for_predictions("gate", before + 20);
    daemon.heard();
    daemon.told("WATCHDOG=1");
    daemon.signal("TERM");
    // 1 if it hangs again by now, and 0 if it does not yet.
    assert!(daemon.ends_within(END).is_some(), "a signal killed it");
    let gate = rig.predictions("gate");
    assert!(gate.iter().enumerate().all(|(i, p)| p["seq"] == i as u64));
}

#[test]
fn a_model_that_hangs_at_the_end_is_left_behind() {
    let rig = Rig::new("");
    let slow = hanging(&rig);
    rig.write(&format!(
        "[watchdog]\npatience = \"100 s\"\n{}{}",
        stream("gate", SYNTH, ""),
        stream("yard", LIVE, &slow)
    ));
    let mut daemon = rig.start();
    // It runs once it has a clip of sixteen frames.
    rig.wait_until("yard to have all frames of a clip but the last", || {
        rig.status().1["streams"][1]["frames"].as_u64() >= Some(15)
    });
    let before = rig.predictions("gate").len();
    rig.wait_for_predictions("gate", before + 20);
    daemon.signal("TERM");
    assert_eq!(daemon.ends_within(END), Some(1));
}

#[test]
fn a_daemon_whose_only_model_hangs_lets_the_watchdog_kill_it() {
    let rig = Rig::new("");
    let slow = hanging(&rig);
    rig.write(&format!("[watchdog]\npatience = \"1 s\"\n{}", stream("gate", LIVE, &slow)));
    let mut daemon = rig.start_with(&[("WATCHDOG_USEC", "1000000")]);
    daemon.told("READY=1");
    daemon.said("the watchdog is not fed any more");
    daemon.heard();
    let begun = Instant::now();
    rig.wait_until("three intervals", || begun.elapsed() > Duration::from_secs(3));
    let heard = daemon.heard();
    assert!(!heard.contains("WATCHDOG=1"), "{heard}");
    assert!(heard.contains("STATUS=0 of 1 stream live"), "{heard}");
}

#[test]
fn a_model_that_gives_no_numbers_fails_alone_and_is_tried_again() {
    let rig = Rig::new("");
    let broken = rig.bundle("broken", support::not_a_number);
    let broken = format!("model = {{ path = {broken:?}, mode = \"window\" }}");
    rig.write(&format!("{}{}", stream("gate", SYNTH, ""), stream("yard", LIVE, &broken)));
    let mut daemon = rig.start();
    daemon.said("stream \"yard\" failed");
    daemon.said("stream \"yard\" is started again in 1 s");
    daemon.said("stream \"yard\" is started again in 2 s");
    assert_eq!(rig.status().0, 1);
    let before = rig.predictions("gate").len();
    rig.wait_for_predictions("gate", before + 4);
    assert!(rig.predictions("yard").is_empty());
}

#[test]
fn it_ends_in_time_though_a_source_hangs_in_a_change_of_state() {
    let rig = Rig::new("");
    let fifo = rig.fifo("never-written");
    let hangs = format!("{{ pipeline = \"filesrc location={} ! decodebin\" }}", fifo.display());
    rig.write(&(stream("gate", SYNTH, "") + &stream("yard", &hangs, "")));
    let mut daemon = rig.start();
    rig.wait_for_predictions("gate", 2);
    daemon.signal("TERM");
    // The source alone is left behind; its stream ends well.
    assert_eq!(daemon.ends_within(END), Some(0), "{}", daemon.log());
}

#[test]
fn it_ends_in_time_though_nobody_reads_its_standard_output() {
    let rig = Rig::new(&(stream("gate", SYNTH, "") + "[[sink]]\nkind = \"stdout\"\n"));
    let mut daemon = rig.start_unread();
    // More than a pipe holds. A sink that blocks may hold its stream up, or lose lines.
    rig.wait_until("the pipe to be full", || {
        let before = rig.predictions("gate").len();
        std::thread::park_timeout(Duration::from_secs(3));
        let after = rig.predictions("gate").len();
        after > 400 || after > 20 && after == before
    });
    daemon.signal("TERM");
    daemon.ends_within(END);
}

/// Not a test: makes the model that `make torture-systemd` needs.
#[test]
#[ignore = "writes a bundle to $KINEWATCH_BUNDLE"]
fn a_bundle_that_hangs() {
    let to = std::env::var("KINEWATCH_BUNDLE").expect("KINEWATCH_BUNDLE");
    let rig = Rig::new("");
    let from = rig.bundle("hangs", support::hang);
    let _ = fs::remove_dir_all(&to);
    fs::create_dir_all(&to).unwrap();
    for file in fs::read_dir(from).unwrap().flatten() {
        fs::copy(file.path(), std::path::Path::new(&to).join(file.file_name())).unwrap();
    }
}
