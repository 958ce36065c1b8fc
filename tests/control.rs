//! Labels sent to a running stream, through real sockets: what is taken, what is
//! refused, and that no client can do harm.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use kinewatch::control::{Control, ControlOptions, Folders};
use kinewatch::label::{
    Aliases, ClipTime, FolderWatch, Inbox, Known, LabelClock, Post, ReadOptions, Rules, Truths,
    live,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::{Value, json};

/// Nothing here takes as long unless it hangs.
const DEADLINE: Duration = Duration::from_secs(30);

fn stream(name: &str) -> (Post, Inbox) {
    let classes = ["idle", "wave"].map(String::from).to_vec();
    let aliases = Aliases::new(&classes);
    let clock = LabelClock::Stream;
    live(Rules { stream: name.into(), classes, aliases, multi_label: false, clock })
}

fn tcp(posts: Vec<Post>) -> Control {
    let options = ControlOptions { listen: Some("127.0.0.1:0".into()), ..Default::default() };
    Control::start(&options, posts).unwrap_or_else(|error| panic!("{error}"))
}

fn connect(control: &Control) -> TcpStream {
    let client = TcpStream::connect(control.address()).unwrap();
    client.set_read_timeout(Some(DEADLINE)).unwrap();
    client.set_write_timeout(Some(DEADLINE)).unwrap();
    client
}

/// A request as curl would send it.
fn request(method: &str, target: &str, content_type: &str, body: &str) -> String {
    format!(
        "{method} {target} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: test\r\nAccept: */*\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Status and body of the answer to all that was written.
fn answer(client: &mut (impl Read + Write)) -> (u16, Value) {
    let mut bytes = Vec::new();
    client.read_to_end(&mut bytes).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{text:?}"));
    let status = head.strip_prefix("HTTP/1.1 ").unwrap().split(' ').next().unwrap();
    assert!(head.contains("Content-Type: application/json"), "{head}");
    (status.parse().unwrap(), serde_json::from_str(body).unwrap())
}

fn ask(control: &Control, request: &str) -> (u16, Value) {
    let mut client = connect(control);
    client.write_all(request.as_bytes()).unwrap();
    answer(&mut client)
}

fn post(control: &Control, stream: &str, body: &Value) -> (u16, Value) {
    let target = format!("/streams/{stream}/labels");
    ask(control, &request("POST", &target, "application/json", &body.to_string()))
}

fn get(control: &Control, target: &str) -> (u16, Value) {
    ask(control, &format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
}

/// A clip of one second, of a stream that began at the given time of day.
fn clip(t: f64, began: f64) -> ClipTime {
    ClipTime { start: t - 1.0, t, wall: began + t }
}

#[test]
fn what_is_posted_labels_the_stream() {
    let (gate, inbox) = stream("gate");
    let (yard, _other) = stream("back yard");
    let control = tcp(vec![gate, yard]);
    let mut truths = Truths::new("gate").with_inbox(inbox, Duration::from_secs(600));
    let began = 1_795_339_800.0;
    assert_eq!(truths.over(&clip(3.0, began)), Known::NotYet);

    let wave = json!({"label": "wave", "start": 1, "end": 4});
    let idle = json!({"label": "idle", "start": "2026-11-22T09:30:05Z", "end": 1795339809.5, "clock": "wall"});
    let (status, body) = post(&control, "gate", &json!([wave, idle]));
    assert_eq!((status, &body["taken"]), (200, &json!(2)), "{body}");
    assert_eq!(truths.take(&clip(9.0, began)), 2);
    for (t, label) in [(3.0, "wave"), (7.0, "idle")] {
        match truths.over(&clip(t, began)) {
            Known::Labels(labels) => {
                assert_eq!((labels.clip, labels.at), (vec![label], vec![label]))
            }
            other => panic!("{t}: {other:?}"),
        }
    }
    let (status, body) = get(&control, "/streams/gate/labels");
    assert_eq!((status, body["labels"].as_array().unwrap().len()), (200, 2));
    assert_eq!(
        (&body["t"], &body["wall"], &body["waiting"]),
        (&json!(9.0), &json!(1795339809.0), &json!(0))
    );
    // The other stream heard nothing of it.
    assert_eq!(get(&control, "/streams/back%20yard").1["taken"], 0);
    assert_eq!(get(&control, "/streams").1["streams"].as_array().unwrap().len(), 2);
    // The same again is no second label.
    let (status, body) = post(&control, "gate", &json!({"label": "wave", "start": 1, "end": 4}));
    assert_eq!((status, &body["taken"], &body["known"]), (200, &json!(0), &json!(1)));
    assert_eq!(truths.take(&clip(10.0, began)), 0);
}

#[test]
fn tables_are_taken_too() {
    let (gate, inbox) = stream("gate");
    let control = tcp(vec![gate]);
    let csv = "label,start,end\r\nwave,1,2\r\nidle,00:00:02,3.5\r\n";
    let (status, body) =
        ask(&control, &request("POST", "/streams/gate/labels", "text/csv; charset=utf-8", csv));
    assert_eq!((status, &body["taken"]), (200, &json!(2)), "{body}");
    let mut truths = Truths::new("gate").with_inbox(inbox, Duration::from_secs(600));
    assert_eq!(truths.take(&clip(4.0, 0.0)), 2);
}

#[test]
fn a_refusal_says_which_why_and_what_to_do() {
    let (gate, _inbox) = stream("gate");
    let control = tcp(vec![gate]);
    assert_eq!(post(&control, "gate", &json!({"label": "wave", "start": 1, "end": 2})).0, 200);
    for (stream, body, status, error, remedy) in [
        ("gaet", json!({}), 404, "\"gaet\"", "\"gate\""),
        (
            "gate",
            json!({"label": "wavee", "start": 3, "end": 4}),
            422,
            "item 1: \"wavee\"",
            "\"wave\"",
        ),
        (
            "gate",
            json!([{"label": "idle", "start": 5, "end": 4}]),
            422,
            "not after the start",
            "first instant",
        ),
        (
            "gate",
            json!({"label": "idle", "start": -5, "end": 4}),
            422,
            "before the stream begins",
            "0 s",
        ),
        (
            "gate",
            json!({"label": "idle", "start": 1.5, "end": 4}),
            409,
            "\"wave\" from 1 s to 2 s",
            "end the one",
        ),
        (
            "gate",
            json!({"label": "idle", "start": 1.5e12, "end": 2e12, "clock": "wall"}),
            422,
            "no time of day",
            "label",
        ),
        ("gate", json!([]), 400, "no labels", "label"),
    ] {
        let (got, told) = post(&control, stream, &body);
        assert_eq!(got, status, "{body}: {told}");
        let text = |key: &str| told[key].as_str().unwrap_or_else(|| panic!("{told}")).to_owned();
        assert!(text("error").contains(error), "{body}: {told}");
        assert!(text("remedy").contains(remedy), "{body}: {told}");
    }
    let form = request("POST", "/streams/gate/labels", "application/x-www-form-urlencoded", "{}");
    assert_eq!(ask(&control, &form).0, 415);
    assert_eq!(get(&control, "/streams/gate").1["taken"], 1);
}

#[test]
fn a_body_may_be_so_large_and_no_larger() {
    let (gate, _inbox) = stream("gate");
    let control = tcp(vec![gate]);
    let padded = |length: usize| {
        let body = r#"{"label": "wave", "start": 1, "end": 2}"#;
        format!("{body}{}", " ".repeat(length - body.len()))
    };
    let largest = padded(1 << 20);
    let (status, body) =
        ask(&control, &request("POST", "/streams/gate/labels", "application/json", &largest));
    assert_eq!(status, 200, "{body}");
    // It hears so, though it sends all the same.
    let larger = padded((1 << 20) + 1);
    let (status, body) =
        ask(&control, &request("POST", "/streams/gate/labels", "application/json", &larger));
    assert_eq!(status, 413, "{body}");
    assert_eq!(get(&control, "/streams/gate").1["taken"], 1);
}

#[test]
fn many_clients_at_once_are_all_served() {
    let (gate, inbox) = stream("gate");
    let control = tcp(vec![gate]);
    let (clients, each) = (48u32, 10u32);
    thread::scope(|scope| {
        for client in 0..clients {
            let control = &control;
            scope.spawn(move || {
                for i in 0..each {
                    let start = f64::from(client * each + i);
                    let span = json!({"label": "wave", "start": start, "end": start + 1.0});
                    let (status, body) = post(control, "gate", &span);
                    assert_eq!((status, &body["taken"]), (200, &json!(1)), "{body}");
                }
            });
        }
    });
    let mut truths = Truths::new("gate").with_inbox(inbox, Duration::from_secs(600));
    assert_eq!(truths.take(&clip(480.0, 0.0)), (clients * each) as usize);
}

/// Clients that send a part of a request and then nothing.
fn hang(control: &Control, clients: usize) -> Vec<TcpStream> {
    let hang = |i: usize| {
        let mut client = connect(control);
        let part = [
            &b""[..],
            b"POST /streams/gate/labels HT",
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{",
        ]
        .get(i % 3)
        .copied()
        .unwrap_or_default();
        client.write_all(part).unwrap();
        client
    };
    (0..clients).map(hang).collect()
}

#[test]
fn clients_that_hang_do_not_keep_others_out() {
    let (gate, _inbox) = stream("gate");
    let control = tcp(vec![gate]);
    // More than there are places.
    let hung = hang(&control, 40);
    let begun = Instant::now();
    assert_eq!(post(&control, "gate", &json!({"label": "wave", "start": 1, "end": 2})).0, 200);
    assert!(begun.elapsed() < Duration::from_secs(9), "{:?}", begun.elapsed());
    drop(hung);
}

#[test]
fn the_server_ends_at_once_whoever_is_there() {
    let (gate, inbox) = stream("gate");
    let control = tcp(vec![gate]);
    let address = control.address();
    let hung = hang(&control, 40);
    // One of them has surely been let in when the next one is answered.
    assert_eq!(get(&control, "/streams").0, 200);
    let begun = Instant::now();
    drop(control);
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert!(TcpStream::connect(&address).is_err());
    for mut client in hung {
        // Closed, not hanging; what it was told does not matter.
        let mut rest = Vec::new();
        let _ = client.read_to_end(&mut rest);
    }
    // The stream no longer waits for labels.
    let truths = Truths::new("gate").with_inbox(inbox, Duration::from_secs(600));
    assert!(!truths.waits());
}

#[test]
fn a_socket_serves_and_is_gone_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control.sock");
    let options = ControlOptions { socket: Some(path.clone()), ..Default::default() };
    for _ in 0..2 {
        let (gate, _inbox) = stream("gate");
        let control = Control::start(&options, vec![gate]).unwrap();
        assert_eq!(PathBuf::from(control.address()), path);
        let mut client = UnixStream::connect(&path).unwrap();
        client.set_read_timeout(Some(DEADLINE)).unwrap();
        let body = r#"{"label": "wave", "start": 1, "end": 2}"#;
        client
            .write_all(request("POST", "/streams/gate/labels", "application/json", body).as_bytes())
            .unwrap();
        assert_eq!(answer(&mut client).0, 200);
        let hung = UnixStream::connect(&path).unwrap();
        drop(control);
        assert!(!path.exists());
        drop(hung);
    }
}

#[test]
fn an_address_that_cannot_be_had_is_an_error_at_the_start() {
    let control = tcp(Vec::new());
    let options = ControlOptions { listen: Some(control.address()), ..Default::default() };
    let error = Control::start(&options, Vec::new()).err().unwrap();
    assert!(error.to_string().contains(&control.address()), "{error}");
    let remote = ControlOptions { listen: Some("0.0.0.0:0".into()), ..Default::default() };
    assert_eq!(Control::start(&remote, Vec::new()).err().unwrap().exit_code(), 2);
    let off = ControlOptions::default();
    assert!(Control::start(&off, Vec::new()).is_err());
    let open = ControlOptions {
        listen: Some("0.0.0.0:0".into()),
        allow_remote: true,
        ..Default::default()
    };
    let begun = Instant::now();
    drop(Control::start(&open, Vec::new()).unwrap());
    assert!(begun.elapsed() < Duration::from_secs(3));
}

/// Bytes that are almost a request: a good one with pieces changed, doubled,
/// cut out or cut off.
fn mangled(random: &mut ChaCha8Rng) -> Vec<u8> {
    let mut below = |n: usize| (random.next_u32() as usize) % n.max(1);
    let body = [
        r#"[{"label": "wave", "start": 1, "end": 2}, {"label": "idle", "start": "x"}]"#,
        r#"{"label": "wave", "start": 1e308, "end": 1e309}"#,
        "label,start,end\nwave,1,2\nidle,2,\n",
        "[[[[[[[[[[[[[[[[[[[[",
        "\u{feff}\u{0}\u{ffff}",
    ][below(5)];
    let content_type = ["application/json", "text/csv", ""][below(3)];
    let target = ["/streams/gate/labels", "/streams/%67ate/labels", "/streams/%", "//", "/streams"]
        [below(5)];
    let mut bytes =
        request(["POST", "GET", "PUT"][below(3)], target, content_type, body).into_bytes();
    for _ in 0..below(6) {
        let at = below(bytes.len());
        let end = (at + below(12)).min(bytes.len());
        match below(5) {
            0 => bytes[at] = below(256) as u8,
            1 => drop(bytes.drain(at..end)),
            2 => bytes.truncate(at),
            3 => {
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            _ => {
                let junk = [
                    &b"\r\n"[..],
                    b"\r\n\r\n",
                    b"\0",
                    b"\xff\xfe",
                    b"Content-Length: 7\r\n",
                    b"Transfer-Encoding: chunked\r\n",
                ];
                bytes.splice(at..at, junk[below(6)].iter().copied());
            }
        }
        if bytes.is_empty() {
            break;
        }
    }
    bytes
}

#[test]
fn no_bytes_do_any_harm() {
    let (gate, inbox) = stream("gate");
    let control = tcp(vec![gate]);
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let mut statuses = BTreeSet::new();
    for _ in 0..2000 {
        let bytes = mangled(&mut random);
        let mut client = connect(&control);
        // The server may have answered and closed before all is written.
        let _ = client.write_all(&bytes);
        let _ = client.shutdown(Shutdown::Write);
        let mut told = Vec::new();
        let _ = client.read_to_end(&mut told);
        if let Some(rest) = told.strip_prefix(b"HTTP/1.1 ") {
            statuses.insert(String::from_utf8_lossy(&rest[..3]).into_owned());
        }
    }
    // Good ones and several kinds of bad ones were among them, and no fault of ours.
    for status in ["200", "400", "404", "405", "415", "422"] {
        assert!(statuses.contains(status), "{statuses:?}");
    }
    assert!(statuses.iter().all(|status| !status.starts_with('5')), "{statuses:?}");
    assert_eq!(post(&control, "gate", &json!({"label": "wave", "start": 100, "end": 101})).0, 200);
    drop(inbox);
}

#[test]
fn files_that_appear_in_a_folder_label_the_stream() {
    let folder = tempfile::tempdir().unwrap();
    let (post, inbox) = stream("gate");
    let mut truths = Truths::new("gate").with_inbox(inbox, Duration::from_secs(600));
    let watch = |post: Post| {
        FolderWatch::new(folder.path(), &ReadOptions::default(), vec!["gate".into()], post)
    };
    let folders =
        Folders::start_every(vec![watch(post.clone())], Duration::from_millis(5)).unwrap();
    let mut take = |expected: usize| {
        let begun = Instant::now();
        let mut taken = 0;
        while taken < expected {
            taken += truths.take(&clip(9.0, 0.0));
            assert!(begun.elapsed() < DEADLINE, "{taken} of {expected}");
            thread::yield_now();
        }
        assert_eq!(taken, expected);
    };
    fs::write(folder.path().join("broken.csv"), "start,end,label\n1,2\n").unwrap();
    // Renamed in, as careful writers do.
    let part = folder.path().join(".a.csv");
    fs::write(&part, "start,end,label\n0,1,idle\n1,2,wave\n").unwrap();
    fs::rename(&part, folder.path().join("a.csv")).unwrap();
    take(2);
    fs::write(folder.path().join("a.csv"), "start,end,label\n0,1,idle\n1,2,wave\n2,3,idle\n")
        .unwrap();
    take(1);
    let begun = Instant::now();
    drop(folders);
    assert!(begun.elapsed() < Duration::from_secs(3));
    assert_eq!(post.listing(9).taken, 3);
    // One folder for two streams would be about either.
    let (other, _inbox) = stream("yard");
    assert!(Folders::start(vec![watch(post), watch(other)]).is_err());
    assert!(Folders::start(Vec::new()).is_ok());
}
