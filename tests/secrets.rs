//! Secrets, as somebody would look for them: the program is run with one of its own in
//! every place where it takes one, as talkative as it can be, and everything that it
//! says, writes and shows of itself is searched for them. And that it talks to no
//! server whose certificate nobody vouches for.

#[path = "support/program.rs"]
mod program;
#[allow(dead_code)]
#[path = "video_support/mod.rs"]
mod support;

use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use gstreamer as gst;
use program::kinewatch;
use support::{Clip, HttpServer, RtspServer, closed_port, make};

const CAMERA: &str = "( videotestsrc is-live=true pattern=ball ! video/x-raw,width=64,height=48,framerate=20/1 ! x264enc tune=zerolatency key-int-max=5 speed-preset=ultrafast ! rtph264pay name=pay0 pt=96 )";

/// What none of these runs takes as long as.
const DEADLINE: Duration = Duration::from_secs(240);

/// One secret for each place. The middle of each is found nowhere else; what is around
/// it looks different in a URI.
macro_rules! secrets {
    ($($name:ident = $core:literal),* $(,)?) => {
        $(const $name: &str = concat!("p@", $core, ":/ #");)*
        const CORES: &[&str] = &[$($core),*];
    };
}
secrets!(
    RIGHT = "Zq1Xk9vRtspRight",
    WRONG = "Zq2Xk9vRtspWrong",
    IN_URI = "Zq3Xk9vRtspInUri",
    HTTP_WRONG = "Zq4Xk9vHttpWrong",
    HTTP_RIGHT = "Zq5Xk9vHttpRight",
    QUERY = "Zq6Xk9vQueryToken",
    PATH = "Zq7Xk9vInThePath",
    PIPELINE = "Zq8Xk9vPipeline",
    CREDENTIAL = "Zq9Xk9vCredential",
    FROM_FILE = "ZqAXk9vFromAFile",
    PLAIN = "ZqBXk9vPlainInConfig",
    TYPED = "ZqCXk9vOfAWrongType",
    ON_THE_LINE = "ZqDXk9vOnTheLine",
);
const USER: &str = "viewer";

fn percent(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

/// The parts of base64 that do not depend on what stands around `core`, at each of the
/// three places where it can begin.
fn base64_parts(core: &str) -> Vec<String> {
    (0..3)
        .map(|shift| {
            let text = format!("{}{core}", "x".repeat(shift));
            let encoded = gst::glib::base64_encode(text.as_bytes()).to_string();
            let inner = encoded.trim_end_matches('=');
            inner[4.min(inner.len())..inner.len() - 2].to_owned()
        })
        .collect()
}

/// Where a secret is found in `bytes`, if anywhere.
fn leaks(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let mut found = Vec::new();
    for core in CORES {
        let forms = [(*core).to_owned(), core.to_lowercase(), core.chars().rev().collect()];
        for form in forms.into_iter().chain(base64_parts(core)) {
            if let Some(at) = text.find(&form) {
                let from = text[..at].char_indices().rev().nth(120).map_or(0, |(i, _)| i);
                let to = text[at..].char_indices().nth(120).map_or(text.len(), |(i, _)| at + i);
                found.push(format!("{core}: …{}…", &text[from..to]));
            }
        }
    }
    found
}

/// A run, and all of itself that it shows.
struct Run {
    folder: tempfile::TempDir,
    /// What was put there for it to read.
    given: Vec<PathBuf>,
}

impl Run {
    fn new() -> Run {
        Run { folder: tempfile::tempdir().unwrap(), given: Vec::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file that holds secrets and is not searched.
    fn secret(&mut self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        self.given.push(path.clone());
        path
    }

    /// Runs the program to its end and searches what there is; gives what it said.
    fn run(&self, arguments: &[&str]) -> (Output, String) {
        self.run_until(arguments, || false)
    }

    /// The same; once there is `enough`, it is asked to end.
    fn run_until(&self, arguments: &[&str], enough: impl Fn() -> bool) -> (Output, String) {
        let mut command = kinewatch();
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("KINEWATCH_LOG", "trace")
            .env("RUST_BACKTRACE", "full")
            .env("CREDENTIALS_DIRECTORY", self.path("credentials"))
            .env("STATE_DIRECTORY", self.path("state"))
            .env("LOGS_DIRECTORY", self.path("logs"))
            .env("RIGHT_PASSWORD", RIGHT)
            .env("WRONG_PASSWORD", WRONG)
            .env("URI_PASSWORD", percent(IN_URI))
            .env("HTTP_PW", HTTP_RIGHT)
            .env("QUERY_TOKEN", percent(QUERY))
            .env("PATH_SECRET", percent(PATH))
            .env("PIPELINE_KEY", PIPELINE);
        for (stream, name) in [("stdout", 0), ("stderr", 1)] {
            let file = fs::File::create(self.path(stream)).unwrap();
            match name {
                0 => command.stdout(file),
                _ => command.stderr(file),
            };
        }
        let mut child = command.spawn().unwrap();
        let began = Instant::now();
        // While it runs: how it shows itself to other users, and on its socket.
        let mut shown = Vec::new();
        let mut asked = false;
        let status = loop {
            for file in ["cmdline", "comm", "status"] {
                shown.extend(fs::read(format!("/proc/{}/{file}", child.id())).unwrap_or_default());
            }
            for task in fs::read_dir(format!("/proc/{}/task", child.id())).into_iter().flatten() {
                let name = task.unwrap().path().join("comm");
                shown.extend(fs::read(name).unwrap_or_default());
            }
            for target in ["/streams", "/streams/right/labels", "/nothing"] {
                shown.extend(ask(&self.path("control.sock"), target));
            }
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if !asked && enough() {
                let id = child.id().to_string();
                assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
                asked = true;
            }
            assert!(began.elapsed() < DEADLINE, "{arguments:?} did not end");
            std::thread::sleep(Duration::from_millis(20));
        };
        let said = fs::read(self.path("stderr")).unwrap();
        let output =
            Output { status, stdout: fs::read(self.path("stdout")).unwrap(), stderr: said.clone() };
        // What the engine tells of every weight is searched, and not shown.
        let text: String = String::from_utf8_lossy(&said)
            .lines()
            .filter(|line| {
                !["Initializer", "Refined", "step for", "visiting"].iter().any(|w| line.contains(w))
            })
            .fold(String::new(), |all, line| all + line + "\n");
        let found = leaks(&shown);
        assert!(found.is_empty(), "{arguments:?}, of itself: {found:#?}");
        let mut folders = vec![self.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path.to_string_lossy().into_owned();
                assert!(leaks(name.as_bytes()).is_empty(), "{arguments:?}: {name}");
                if path.is_dir() {
                    folders.push(path);
                } else if path.is_file() && !self.given.contains(&path) {
                    let found = leaks(&fs::read(&path).unwrap());
                    assert!(found.is_empty(), "{arguments:?}, in {name}: {found:#?}");
                }
            }
        }
        (output, text)
    }
}

/// What the control socket answers, if there is one yet.
fn ask(socket: &Path, target: &str) -> Vec<u8> {
    let mut answer = Vec::new();
    if let Ok(mut stream) = std::os::unix::net::UnixStream::connect(socket) {
        let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let _ = stream.set_read_timeout(Some(Duration::from_millis(500)));
        let _ = stream.write_all(request.as_bytes());
        let _ = stream.read_to_end(&mut answer);
    }
    answer
}

#[test]
fn this_search_finds_what_it_looks_for() {
    let pair = gst::glib::base64_encode(format!("{USER}:{RIGHT}").as_bytes());
    for text in [RIGHT, &percent(RIGHT), &pair, &percent(RIGHT).to_lowercase()] {
        assert!(!leaks(format!("before {text} after").as_bytes()).is_empty(), "{text}");
    }
    assert!(leaks(b"nothing of the kind").is_empty());
}

#[test]
fn no_secret_is_in_anything_that_a_run_says_writes_or_shows() {
    let camera = RtspServer::start(CAMERA, Some((USER, RIGHT)));
    let clip = Clip::new();
    let video = clip.path("a.mkv");
    make(
        "videotestsrc num-buffers=40 ! video/x-raw,width=64,height=48,framerate=10/1 ! x264enc ! matroskamux",
        &video,
    );
    let web = HttpServer::start(fs::read(&video).unwrap(), Some((USER, HTTP_RIGHT)));
    let port = closed_port();
    let mut run = Run::new();
    run.secret("credentials/camera", &format!("{CREDENTIAL}\n"));
    run.secret("camera-password", &format!("{FROM_FILE}\n"));
    let (rtsp, http) = (camera.uri(""), web.uri());
    let in_rtsp = |login: &str| camera.uri(&format!("{USER}:{login}@"));
    let in_http = |login: &str| http.replace("://", &format!("://{USER}:{login}@"));
    let sources = [
        (
            "right",
            format!(
                "{{ uri = \"{rtsp}\", user = \"{USER}\", password = \"${{RIGHT_PASSWORD}}\" }}"
            ),
        ),
        (
            "wrong",
            format!(
                "{{ uri = \"{rtsp}\", user = \"{USER}\", password = \"${{WRONG_PASSWORD}}\" }}"
            ),
        ),
        ("in-uri", format!("{{ uri = \"{}\" }}", in_rtsp("${URI_PASSWORD}"))),
        ("plain-uri", format!("{{ uri = \"{}\" }}", in_rtsp(&percent(PLAIN)))),
        ("plain", format!("{{ uri = \"{rtsp}\", user = \"{USER}\", password = \"{PLAIN}\" }}")),
        (
            "credential",
            format!(
                "{{ uri = \"{rtsp}\", user = \"{USER}\", password = \"${{credential:camera}}\" }}"
            ),
        ),
        (
            "file",
            format!(
                "{{ uri = \"{rtsp}\", user = \"{USER}\", password = \"${{file:camera-password}}\" }}"
            ),
        ),
        ("http", format!("{{ uri = \"{http}\", user = \"{USER}\", password = \"${{HTTP_PW}}\" }}")),
        ("http-wrong", format!("{{ uri = \"{}\" }}", in_http(&percent(HTTP_WRONG)))),
        (
            "query",
            format!("{{ uri = \"{http}?token=${{QUERY_TOKEN}}&password={}\" }}", percent(QUERY)),
        ),
        ("path", format!("{{ uri = \"http://127.0.0.1:{port}/${{PATH_SECRET}}/live\" }}")),
        (
            "gone",
            format!(
                "{{ uri = \"rtsp://127.0.0.1:{port}/${{PATH_SECRET}}\", user = \"a\", password = \"${{RIGHT_PASSWORD}}\" }}"
            ),
        ),
        (
            "pipeline",
            format!(
                "{{ pipeline = \"rtspsrc location=rtsp://{USER}:{}@127.0.0.1:{port}/x user-id=a user-pw=\\\"${{PIPELINE_KEY}}\\\" ! decodebin ! video/x-raw\" }}",
                percent(PIPELINE)
            ),
        ),
        (
            "no-pipeline",
            "{ pipeline = \"rtspsrc user-pw=\\\"${PIPELINE_KEY}\\\" ! nothing-such\" }".to_owned(),
        ),
    ];
    let mut config = String::from(
        "[[sink]]\nkind = \"file\"\npath = \"predictions.jsonl\"\n[control]\nsocket = \"control.sock\"\n[calibrate]\n",
    );
    fs::write(run.path("labels.csv"), "label,start,end\nidle,0,100\n").unwrap();
    for (name, source) in &sources {
        let labels = if *name == "right" { "labels = { live = true }\n" } else { "" };
        let _ = write!(config, "[[stream]]\nname = \"{name}\"\nsource = {source}\n{labels}");
    }
    run.secret("c.toml", &config);
    // The two that may watch have watched, and every other has said why not.
    let enough = || {
        let lines = fs::read_to_string(run.path("predictions.jsonl")).unwrap_or_default();
        let said = fs::read_to_string(run.path("stderr")).unwrap_or_default();
        ["right", "http"].iter().all(|name| lines.contains(&format!("\"{name}\"")))
            && said.matches("it is tried again").count() >= sources.len() - 2
    };
    let arguments = ["-vvvv", "run", "c.toml", "--for", "60 s", "--summary", "summary.json"];
    let (output, said) = run.run_until(&arguments, enough);
    // It said something of each, or the search would have had nothing to find.
    for (name, _) in &sources {
        assert!(said.contains(name), "nothing of {name} in {said}");
    }
    assert!(said.contains("user and password (401)"), "{said}");
    assert!(said.contains("TRACE") || said.contains("DEBUG"), "{said}");
    let lines = fs::read_to_string(run.path("predictions.jsonl")).unwrap();
    assert!(lines.contains("\"right\"") && lines.contains("\"http\""), "{lines}\n{said}");
    assert!(fs::read_to_string(run.path("summary.json")).unwrap().contains("wrong"));
    // A camera that refuses a password is tried again; only a recording fails its stream.
    assert_eq!(output.status.code(), Some(0), "{said}");

    // The other verbs that read a configuration.
    let (output, said) = run.run(&["-vvvv", "check", "c.toml"]);
    assert!(output.status.code().is_some(), "{said}");
    let video = video.to_str().unwrap();
    let (output, said) = run.run(&[
        "-vvvv",
        "replay",
        video,
        "--config",
        "c.toml",
        "-o",
        "out",
        "--labels",
        "labels.csv",
    ]);
    assert!(output.status.code().is_some(), "{said}");

    // One stream alone, each with a config that is wrong somewhere else.
    for (name, source) in &sources {
        for wrong in [
            "nonsense = 1",
            "max_gap = \"0 s\"",
            "name = \"again\"",
            "labels = \"missing.csv\"",
            "source = 3",
        ] {
            run.secret(
                "wrong.toml",
                &format!("[[stream]]\nname = \"{name}\"\nsource = {source}\n{wrong}\n"),
            );
            let (output, said) = run.run(&["-vvvv", "check", "wrong.toml"]);
            assert_eq!(output.status.code(), Some(2), "{name}: {said}");
        }
    }
    for source in [
        format!("{{ uri = \"{rtsp}\", user = \"a\", password = [\"{TYPED}\"] }}"),
        format!(
            "{{ uri = \"{rtsp}\", user = \"a\", password = {{ {} = 1 }} }}",
            TYPED.split(['@', ':']).nth(1).unwrap()
        ),
        format!("{{ uri = [\"rtsp://a:{}@host/\"] }}", percent(TYPED)),
        format!("{{ uri = \"rtsp://a:{}@host/\", transport = \"pigeon\" }}", percent(TYPED)),
        format!("{{ uri = \"gopher://a:{}@host/\" }}", percent(TYPED)),
        format!("{{ uri = \"rtsp://a:{}@\" }}", percent(TYPED)),
        format!("{{ path = \"x\", password = \"{TYPED}\" }}"),
        format!("{{ uri = \"{rtsp}\", password = \"{TYPED}\" }}"),
        format!("{{ uri = \"{rtsp}\", user = \"a\", pasword = \"{TYPED}\" }}"),
        format!("{{ uri = \"{rtsp}\", user = \"a\", password = \"{TYPED} }}"),
    ] {
        run.secret("wrong.toml", &format!("[[stream]]\nname = \"a\"\nsource = {source}\n"));
        let (output, said) = run.run(&["-vvvv", "check", "wrong.toml"]);
        assert_eq!(output.status.code(), Some(2), "{source}: {said}");
    }
}

#[test]
fn a_password_on_the_command_line_is_refused_and_one_from_the_environment_is_not() {
    let camera = RtspServer::start(CAMERA, Some((USER, RIGHT)));
    let run = Run::new();
    // Not searched: whoever types it there has shown it.
    for uri in [
        camera.uri(&format!("{USER}:{}@", percent(ON_THE_LINE))),
        format!("{}?token=abcdef", camera.uri("")),
    ] {
        let output = kinewatch().args(["run", "--source", &uri]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(
            said.contains("list of processes") && said.contains("${CAMERA_PASSWORD}"),
            "{said}"
        );
        assert!(leaks(&output.stderr).is_empty(), "{said}");
    }
    let uri = camera.uri(&format!("{USER}:${{URI_PASSWORD}}@"));
    let (_, said) = run.run(&["-vvvv", "run", "--source", &uri, "--for", "3 s"]);
    assert!(said.contains("refuses this user and password"), "{said}");
}

#[test]
fn a_configuration_with_a_secret_that_others_may_read_is_warned_about() {
    let run = Run::new();
    let config = |password: &str| {
        format!(
            "[[stream]]\nname = \"a\"\nsource = {{ uri = \"rtsp://127.0.0.1:9/x\", user = \"a\", password = \"{password}\" }}\n"
        )
    };
    for (mode, password, warned) in [
        (0o644, "somewhere", true),
        (0o640, "somewhere", false),
        (0o600, "somewhere", false),
        (0o644, "${RIGHT_PASSWORD}", false),
    ] {
        let path = run.path("c.toml");
        fs::write(&path, config(password)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let (output, said) = run.run(&["check", "c.toml"]);
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert_eq!(
            said.contains("stream[0].source.password holds a secret"),
            warned,
            "{mode:o}: {said}"
        );
    }
}

// TLS.

/// A certificate that nobody but itself vouches for, and its key.
fn certificate(folder: &Path) -> (PathBuf, PathBuf) {
    let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "30",
            "-subj",
            "/CN=127.0.0.1",
        ])
        .args(["-addext", "subjectAltName=IP:127.0.0.1", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .expect("openssl is needed: apt-get install openssl");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    (certificate, key)
}

/// The program on one source: whether it saw pictures, and what it said.
fn watch(run: &mut Run, source: &str) -> (bool, String) {
    run.secret("tls.toml", &format!("[[stream]]\nname = \"tls\"\nsource = {source}\n"));
    let (output, said) = run.run(&["-v", "run", "tls.toml", "--for", "8 s"]);
    assert!(output.status.code().is_some() && said.contains("sampled frames"), "{said}");
    let saw = !said.contains(": 0 sampled frames");
    (saw, said)
}

#[test]
fn an_rtsp_server_that_nobody_vouches_for_is_refused_unless_told_otherwise() {
    let mut run = Run::new();
    let (certificate, key) = certificate(run.folder.path());
    let pem = fs::read_to_string(certificate).unwrap() + &fs::read_to_string(key).unwrap();
    let camera = RtspServer::start_with(CAMERA, Some((USER, RIGHT)), Some(pem));
    let login = format!(
        "uri = \"{}\", user = \"{USER}\", password = \"${{RIGHT_PASSWORD}}\"",
        camera.uri("")
    );
    let (saw, said) = watch(&mut run, &format!("{{ {login} }}"));
    assert!(!saw && said.contains("certificate is not accepted"), "{said}");
    let (saw, said) = watch(&mut run, &format!("{{ {login}, tls_verify = true }}"));
    assert!(!saw && said.contains("certificate is not accepted"), "{said}");
    let (saw, said) = watch(&mut run, &format!("{{ {login}, tls_verify = false }}"));
    assert!(saw, "{said}");
}

/// `openssl s_server`, which hands out the files of its folder.
struct Https {
    child: std::process::Child,
    port: u16,
}

impl Https {
    fn start(folder: &Path) -> Https {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new("openssl")
            .args([
                "s_server", "-quiet", "-HTTP", "-cert", "cert.pem", "-key", "key.pem", "-accept",
            ])
            .arg(format!("127.0.0.1:{port}"))
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + DEADLINE;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "openssl s_server does not answer");
            std::thread::yield_now();
        }
        Https { child, port }
    }
}

impl Drop for Https {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_web_server_that_nobody_vouches_for_is_refused_unless_told_otherwise() {
    let mut run = Run::new();
    certificate(run.folder.path());
    let clip = Clip::new();
    let video = clip.path("a.ts");
    make(
        "videotestsrc num-buffers=60 ! video/x-raw,width=64,height=48,framerate=10/1 ! x264enc ! mpegtsmux",
        &video,
    );
    // With its own head, as `-HTTP` sends a file as it is.
    let mut page = b"HTTP/1.0 200 OK\r\nContent-Type: video/mp2t\r\n\r\n".to_vec();
    page.extend(fs::read(&video).unwrap());
    fs::write(run.path("a.ts"), page).unwrap();
    let server = Https::start(run.folder.path());
    let uri = format!("uri = \"https://127.0.0.1:{}/a.ts\"", server.port);
    let (saw, said) = watch(&mut run, &format!("{{ {uri} }}"));
    assert!(!saw, "{said}");
    assert!(said.contains("certificate is not accepted"), "{said}");
    let (saw, said) = watch(&mut run, &format!("{{ {uri}, tls_verify = false }}"));
    assert!(saw, "{said}");
}
