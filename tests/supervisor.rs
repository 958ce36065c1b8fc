//! Sources that come and go: what the supervisor makes of them, in simulated
//! time first, and then with real servers.

mod supervisor_support;

use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kinewatch::clock::SystemClock;
use kinewatch::duration::HumanDuration;
use kinewatch::error::{Error, Kind};
use kinewatch::stop::Stop;
use kinewatch::video::{
    Colour, Frame, FrameSource, Health, Next, Pace, ReconnectOptions, Reset, SourceSpec, State,
    Supervised, Want, supervise,
};
use supervisor_support::daemon::{Daemon, Said};
use supervisor_support::network::{Fault, Network};
use supervisor_support::server::{self, Server};
use supervisor_support::simulated::{Camera, Rng, Watched, Weather, World};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);
/// 10 pictures a second.
const UP: Weather = Weather::Up(Duration::from_millis(100));

/// Out of order for every time in `times`, in seconds, and else up.
fn down_in(times: &'static [(u64, u64)], weather: Weather) -> impl Fn(Duration) -> Weather + Sync {
    move |now| {
        let down = times.iter().any(|(from, to)| (*from..*to).contains(&now.as_secs()));
        if down { weather } else { UP }
    }
}

/// No two frames of one clip have a gap between them, and time never goes back.
fn check_times(seen: &[Watched], longest: Duration) {
    assert_eq!(seen[0].reset, Some(Reset::Start));
    for pair in seen.windows(2) {
        let (before, after) = (&pair[0], &pair[1]);
        assert!(after.t > before.t, "time goes back: {before:?} {after:?}");
        if after.reset.is_none() {
            assert!(after.t - before.t <= longest, "a gap in a clip: {before:?} {after:?}");
        }
        // The stream's time is the monotonic time that passed.
        let (stream, passed) = (after.t - before.t, after.at - before.at);
        assert!(stream.abs_diff(passed) <= Duration::from_millis(200), "{before:?} {after:?}");
    }
}

fn resets(seen: &[Watched]) -> usize {
    seen.iter().filter(|w| w.reset == Some(Reset::Reconnect)).count()
}

#[test]
fn a_camera_that_comes_up_after_boot_is_waited_for() {
    let world = World::new();
    let camera = Camera::new(&world, down_in(&[(0, 3_600)], Weather::Refused));
    let mut source = world.supervise(vec![camera.clone()]);
    let seen = world.watch(&mut source, HOUR + 70 * SECOND);
    // At most one whole wait after it came up.
    assert!(seen[0].at <= HOUR + 60 * SECOND, "{:?}", seen[0]);
    check_times(&seen, SECOND);
    assert_eq!((seen[0].t, resets(&seen)), (Duration::ZERO, 0));
    // 1 + 2 + 4 + 8 + 16 + 32 and then one a minute, less the jitter.
    let tries = camera.tries();
    assert!((60..90).contains(&tries), "{tries} tries in an hour");
    let status = world.health.status();
    assert_eq!((status.state, status.opened, status.lost), (State::Live, 1, 0));
    assert_eq!(status.refused, tries as u64 - 1);
    assert!(status.backing_off_s > 3_500.0, "{status:?}");
}

#[test]
fn the_end_of_a_live_stream_and_an_error_in_it_are_losses_and_time_goes_on() {
    for lost in [Weather::Ends, Weather::Breaks, Weather::Refused] {
        let world = World::new();
        let camera = Camera::new(&world, down_in(&[(100, 101), (200, 230)], lost));
        let mut source = world.supervise(vec![camera]);
        let seen = world.watch(&mut source, 400 * SECOND);
        check_times(&seen, SECOND);
        assert_eq!(resets(&seen), 2, "{lost:?}");
        let late = seen.last().unwrap();
        assert!(late.at - late.t < SECOND, "the stream's time is behind: {late:?}");
        // It had been healthy: 1 s after the loss it is tried, and 2 s after that.
        let after = seen.iter().find(|w| w.at > 100 * SECOND && w.reset.is_some()).unwrap();
        assert!(after.at <= 104 * SECOND, "{after:?}");
    }
}

#[test]
fn a_camera_that_is_away_for_a_day_comes_back_within_a_minute() {
    let world = World::new();
    let camera = Camera::new(&world, down_in(&[(50, 86_450)], Weather::Refused));
    let mut source = world.supervise(vec![camera.clone()]);
    let seen = world.watch(&mut source, DAY + 200 * SECOND);
    check_times(&seen, SECOND);
    let back = seen.iter().find(|w| w.reset == Some(Reset::Reconnect)).unwrap();
    assert!(back.at <= DAY + 50 * SECOND + 60 * SECOND, "{back:?}");
    assert!(camera.tries() < 2_000, "{} tries", camera.tries());
}

#[test]
fn a_silent_camera_is_stalled_then_lost_by_its_own_rate() {
    // Frozen: given up after the timeout of 10 s.
    let world = World::new();
    let camera = Camera::new(&world, down_in(&[(100, 130)], Weather::Frozen));
    let mut source = world.supervise(vec![camera]);
    let seen = world.watch(&mut source, 300 * SECOND);
    check_times(&seen, SECOND);
    assert_eq!(resets(&seen), 1);
    let status = world.health.status();
    assert_eq!((status.stalls, status.lost), (1, 1));
    let states: Vec<State> = status.history.iter().map(|change| change.state).take(4).collect();
    assert_eq!(states, [State::Connecting, State::Live, State::Stalled, State::BackingOff]);
    let at = |i: usize| status.history[i].after_s;
    assert!((105.0..106.0).contains(&at(2)) && (110.0..111.0).contains(&at(3)), "{status:?}");

    // Too short a silence is none.
    let world = World::new();
    let camera = Camera::new(&world, down_in(&[(100, 104)], Weather::Frozen));
    let mut source = world.supervise(vec![camera.clone()]);
    let seen = world.watch(&mut source, 200 * SECOND);
    assert_eq!((camera.tries(), resets(&seen), world.health.status().stalls), (1, 0, 0));
}

#[test]
fn a_time_lapse_camera_is_not_stalled() {
    // One a second: never lost. It says so or not.
    for seconds in [1, 9, 60] {
        for says in [false, true] {
            let world = World::new();
            let interval = Duration::from_secs(seconds);
            let mut camera = Camera::new(&world, move |_| Weather::Up(interval));
            camera.says_its_rate = says;
            let mut source = world.supervise(vec![camera.clone()]);
            let seen = world.watch(&mut source, DAY);
            // Nobody can know the rate of a camera whose second picture is still
            // to come: it is learned within a few connections.
            let known = says || seconds < 10;
            let most = if known { 1 } else { 6 };
            assert!(camera.tries() <= most, "{seconds} s: {} tries", camera.tries());
            let pictures = 86_400 / seconds as usize;
            assert!(seen.len() + 10 > pictures, "{} of {pictures} pictures", seen.len());
            // It is noticed all the same when it is gone.
            let patience = world.health.patience().unwrap();
            assert!(patience <= (10 * SECOND).max(6 * interval));
        }
    }
}

#[test]
fn waits_double_and_begin_again_after_half_a_minute_of_health() {
    let world = World::new();
    // Lives for 5 s each time, 8 times; then for a minute.
    let camera = Camera::new(&world, |_| UP);
    let opened = camera.opened_at();
    let life = {
        let opened = camera.opened_at();
        move |now: Duration| {
            let opened = opened.lock().unwrap();
            let last = opened.last().copied().unwrap_or_default();
            let lives = if opened.len() <= 8 { 5 * SECOND } else { 60 * SECOND };
            if now >= last + lives { Weather::Breaks } else { UP }
        }
    };
    let camera = camera.with_sky(life);
    let mut source = world.supervise_with(vec![camera], |r| r.jitter = 0.0);
    world.watch(&mut source, 400 * SECOND);
    let opened = opened.lock().unwrap().clone();
    let waits: Vec<u64> =
        opened.windows(2).map(|pair| (pair[1] - pair[0] - 5 * SECOND).as_millis() as u64).collect();
    let seconds: Vec<u64> = waits.iter().take(8).map(|ms| ms / 1_000).collect();
    assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60], "{waits:?}");
    // After the minute of health: 60 - 5 s more of life, and a wait of 1 s.
    assert_eq!(waits[8] / 1_000, 56, "{waits:?}");
}

#[test]
fn what_hangs_while_it_is_opened_is_given_up_and_tried_again() {
    let world = World::new();
    let camera = Camera::new(&world, down_in(&[(0, 100)], Weather::Hangs));
    let mut source = world.supervise(vec![camera.clone()]);
    let seen = world.watch(&mut source, 200 * SECOND);
    assert!(seen[0].at < 140 * SECOND && camera.tries() > 2, "{:?}", seen[0]);
    check_times(&seen, SECOND);
}

#[test]
fn a_recording_s_end_and_its_failure_are_final() {
    for (weather, state) in [(Weather::Ends, State::Ended), (Weather::Breaks, State::Failed)] {
        let world = World::new();
        let camera = Camera::new(&world, down_in(&[(10, 1_000)], weather)).recording();
        let mut source = world.supervise(vec![camera.clone()]);
        let mut frames = 0;
        let outcome = loop {
            match source.next(&mut world.frame()) {
                Ok(Next::Frame) => frames += 1,
                Ok(Next::End) => break None,
                Err(error) => break Some(error),
            }
        };
        assert!(frames >= 99 && !source.live());
        assert_eq!(outcome.is_some(), weather == Weather::Breaks);
        assert_eq!((camera.tries(), world.health.state()), (1, state));
        // It may wait for whoever reads its predictions.
        assert_eq!(world.health.patience(), None);
    }
}

#[test]
fn only_what_no_waiting_can_mend_is_refused_at_the_start() {
    let world = World::new();
    let bad = Camera::new(&world, |_| Weather::Up(SECOND));
    let refused = bad.clone().that_cannot_be(Error::config("opening", "no such element"));
    let error = world.try_supervise(vec![refused]).err().unwrap();
    assert_eq!((error.kind(), world.health.state()), (Kind::Config, State::Failed));
    // A plugin that is missing is waited for: somebody may install it.
    let world = World::new();
    let missing = Camera::new(&world, |_| Weather::Up(SECOND));
    let missing = missing.that_cannot_be(Error::unavailable("opening", "a plugin is missing"));
    let mut source = world.try_supervise(vec![missing.clone()]).unwrap();
    assert!(world.watch(&mut source, HOUR).is_empty());
    assert!((50..90).contains(&missing.tries()), "{} tries", missing.tries());
}

#[test]
fn a_stop_ends_it_in_any_state_at_once() {
    for weather in [UP, Weather::Refused, Weather::Frozen, Weather::Hangs] {
        let world = World::new();
        let camera = Camera::new(&world, move |_| weather);
        let mut source = world.supervise(vec![camera]);
        world.watch(&mut source, 100 * SECOND);
        let asked = world.now();
        world.stop.ask();
        assert_eq!(source.next(&mut world.frame()).unwrap(), Next::End);
        assert!(world.now() - asked < SECOND, "{weather:?}");
        assert_eq!(world.health.state(), State::Ended);
    }
}

#[test]
fn a_fallback_serves_while_the_first_is_away() {
    let world = World::new();
    let first = Camera::new(&world, down_in(&[(100, 1_000)], Weather::Refused));
    let second = Camera::new(&world, |_| UP);
    let third = Camera::new(&world, |_| UP);
    let mut source = world.supervise(vec![first.clone(), second.clone(), third.clone()]);
    let seen = world.watch(&mut source, 600 * SECOND);
    check_times(&seen, SECOND);
    assert_eq!(world.health.status().source, 1);
    // One wait, then the first is refused and the second tried at once.
    let over = seen.iter().find(|w| w.reset == Some(Reset::Reconnect)).unwrap();
    assert!(over.at < 103 * SECOND, "{over:?}");
    assert_eq!((second.tries(), third.tries()), (1, 0));
    // The first comes back: it takes over by itself, without a hole.
    let seen = world.watch(&mut source, 2_000 * SECOND);
    let status = world.health.status();
    assert_eq!((status.source, status.state), (0, State::Live));
    assert_eq!((resets(&seen), second.tries()), (1, 1));
    let widest = seen.windows(2).map(|pair| pair[1].at - pair[0].at).max().unwrap();
    assert!(widest < SECOND, "a hole of {widest:?}");
    assert_eq!(status.lost, 1, "leaving a fallback is no loss");
}

#[test]
fn a_first_source_that_hangs_or_is_silent_does_not_disturb_the_fallback() {
    for weather in [Weather::Hangs, Weather::Frozen] {
        let world = World::new();
        let first = Camera::new(&world, move |_| weather);
        let second = Camera::new(&world, |_| UP);
        let mut source = world.supervise(vec![first.clone(), second.clone()]);
        let seen = world.watch(&mut source, HOUR);
        let widest = seen.windows(2).map(|pair| pair[1].at - pair[0].at).max().unwrap();
        assert!(widest < SECOND, "{weather:?}: a hole of {widest:?}");
        assert!(seen[0].at < 15 * SECOND && second.tries() == 1, "{weather:?}");
        assert!(first.tries() >= 5, "it is not tried again: {}", first.tries());
    }
}

#[test]
fn a_flapping_first_source_leaves_the_fallback_in_use_most_of_the_time() {
    let world = World::new();
    // Up for 6 s, down for 6 s: never healthy.
    let first = Camera::new(&world, |now| match now.as_secs() / 6 % 2 {
        0 => UP,
        _ => Weather::Breaks,
    });
    let second = Camera::new(&world, |_| UP);
    let mut source = world.supervise(vec![first.clone(), second]);
    let seen = world.watch(&mut source, 2 * HOUR);
    check_times(&seen, SECOND);
    let changes = resets(&seen);
    assert!(changes < 60, "{changes} changes in two hours");
}

#[test]
fn a_thousand_outages_at_random_and_no_clip_spans_a_gap() {
    let mut random = Rng(7);
    let world = World::new();
    let mut plan = Vec::new();
    let mut at = 0;
    for _ in 0..1_000 {
        at += 5_000 + random.below(90_000);
        let lasts = 100 + random.below(30_000);
        let weather =
            [Weather::Refused, Weather::Ends, Weather::Breaks, Weather::Frozen, Weather::Hangs]
                [random.below(5) as usize];
        plan.push((Duration::from_millis(at), Duration::from_millis(at + lasts), weather));
        at += lasts;
    }
    let end = Duration::from_millis(at + 100_000);
    let ends: Vec<Duration> = plan.iter().map(|(_, to, _)| *to).collect();
    let camera = Camera::new(&world, move |now| {
        let next = plan.partition_point(|(_, to, _)| *to <= now);
        plan.get(next).filter(|(from, ..)| *from <= now).map_or(UP, |(.., weather)| *weather)
    });
    let mut source = world.supervise_with(vec![camera], |r| {
        r.first = HumanDuration(SECOND);
        r.longest = HumanDuration::seconds(4);
    });
    let seen = world.watch(&mut source, end);
    check_times(&seen, SECOND);
    assert!(resets(&seen) > 500, "{} reconnects", resets(&seen));
    // After each outage there is a frame within the longest wait and 2 s, unless the
    // next outage came first; what hangs or is silent is given up after 10 s.
    let mut late = 0;
    for end in &ends {
        let next = seen.partition_point(|w| w.at < *end);
        late += usize::from(seen[next].at > *end + 16 * SECOND);
    }
    assert_eq!(late, 0);
    assert!(world.health.status().history.len() <= 32);
}

/// Not a test: what the test binary runs when it is to be an RTSP server.
#[test]
#[ignore = "a helper of the tests, and not a test"]
fn to_be_an_rtsp_server() {
    server::serve();
}

/// A port on loopback that nobody listens on.
fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// So many as the environment says, or else a few.
fn count(name: &str, few: u64) -> u64 {
    std::env::var(name).map_or(few, |count| count.parse().unwrap())
}

/// A camera whose plugin hangs in the operating system: a named pipe that nobody
/// writes to. The stream goes on; threads are left behind, few, counted, and
/// counted back.
#[test]
fn a_plugin_that_hangs_costs_a_few_threads_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let spec = SourceSpec {
        timeout: Some(HumanDuration(Duration::from_millis(200))),
        ..SourceSpec::pipeline(format!("filesrc location=\"{}\" ! decodebin", pipe.display()))
    };
    let (stop, health) = (Stop::default(), Health::default());
    let told = Supervised {
        name: "gate".into(),
        reconnect: ReconnectOptions {
            first: HumanDuration(Duration::from_millis(10)),
            longest: HumanDuration(Duration::from_millis(20)),
            ..ReconnectOptions::default()
        },
        clock: Arc::new(SystemClock),
        stop: stop.clone(),
        health: health.clone(),
    };
    let want = Want { rate: 8.0, colour: Colour::Rgb, max_gap: SECOND, pictures: false };
    let begun = Instant::now();
    let mut source = supervise(&[spec], &want, Pace::RealTime, &told).unwrap();
    assert!(begun.elapsed() < 60 * SECOND, "the start waited for a plugin that hangs");
    let thread = std::thread::spawn(move || {
        let outcome = source.next(&mut Frame::new(Colour::Rgb));
        drop(source);
        outcome
    });
    let until = |what: &str, done: &dyn Fn() -> bool| {
        let begun = Instant::now();
        while !done() {
            assert!(begun.elapsed() < 300 * SECOND, "{what}: {:?}", health.status());
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    // Tries go on, but for want of threads they end at once.
    until("refusing more threads", &|| health.status().why.contains("threads of this stream hang"));
    let refused = health.status().refused;
    until("trying on", &|| health.status().refused > refused + 5);
    assert_eq!(health.abandoned(), 4, "{:?}", health.status());
    stop.ask();
    let asked = Instant::now();
    assert_eq!(thread.join().unwrap().unwrap(), Next::End);
    assert!(asked.elapsed() < 60 * SECOND, "a stop waited for a plugin that hangs");
    // Somebody comes and goes at the other end: every thread comes back.
    until("the threads' return", &|| {
        let other_end = std::fs::OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
        std::thread::sleep(Duration::from_millis(50));
        drop(other_end);
        health.abandoned() == 0
    });
}

/// What a daemon holds after many reconnects is what it held after a few: to a
/// real server, over a network that cuts each connection once it has brought
/// pictures. `make torture` does it a thousand times.
#[test]
fn reconnects_leak_no_thread_no_file_and_no_socket() {
    let reconnects = count("KINEWATCH_RECONNECTS", 20);
    let server = Server::start(closed_port(), server::SNOW);
    let network = Network::before(server.port, 1);
    let mut daemon = Daemon::start(&format!(
        "[[stream]]\nname = \"gate\"\nsource = {{ uri = \"{}\", timeout = \"20 s\" }}\n\
         reconnect = {{ first = \"10 ms\", longest = \"20 ms\" }}\n",
        network.uri()
    ));
    let minute = 60 * SECOND;
    let hundred = u32::try_from(reconnects / 100 + 1).unwrap();
    let cut = |daemon: &mut Daemon, reconnects: u64| {
        let end = network.brought() + reconnects;
        network.set(Fault { cut_after: Some(60_000), ..Fault::default() });
        daemon.wait_for("reconnecting", 10 * minute * hundred, |_| network.brought() >= end);
        // Then left in peace until it has settled, and predicts.
        network.set(Fault::default());
        let cleared = Instant::now();
        let settled =
            |daemon: &Daemon| daemon.newest("gate").is_some_and(|said| said.since() > cleared);
        daemon.wait_for("a clip", 5 * minute, settled);
    };
    cut(&mut daemon, (reconnects / 10).max(5));
    let early = daemon.holds();
    cut(&mut daemon, reconnects);
    // Threads of a pool may linger for some seconds.
    let same = |daemon: &Daemon| {
        let (threads, files, _) = daemon.holds();
        threads <= early.0 && files <= early.1
    };
    println!("after a few reconnects (threads, files, kB): {early:?}");
    daemon.wait_for("giving threads and files back", minute, same);
    println!("after {reconnects} more: {:?}", daemon.holds());
    let (early, late) = (early.2, daemon.holds().2);
    assert!(late < early + early / 2, "memory grew from {early} kB to {late} kB");
    assert_eq!(daemon.end().1, Some(0));
}

/// Faults at random, from a fixed seed, of a real server and of the network before
/// it: each time the stream comes back, no clip spans a gap, and a stream from
/// another server misses nothing. `make torture` does 200.
#[test]
fn random_faults_are_recovered_from_and_disturb_nobody_else() {
    let faults = count("KINEWATCH_FAULTS", 4);
    let seed = count("KINEWATCH_SEED", 11);
    let mut random = Rng(seed);
    let steady = Server::start(closed_port(), server::H264);
    let mut server = Server::start(closed_port(), server::H264);
    let networks = [Network::before(server.port, seed), Network::before(server.port, seed + 1)];
    let (timeout, longest) = (2.0, 1.0);
    let stream = |name: &str, uri: &str, more: &str| {
        format!(
            "[[stream]]\nname = \"{name}\"\nsource = {{ uri = \"{uri}\", timeout = \"{timeout} s\"{more} }}\n\
             reconnect = {{ first = \"250 ms\", longest = \"{longest} s\", healthy = \"2 s\" }}\n"
        )
    };
    let mut daemon = Daemon::start(&format!(
        "{}{}{}",
        stream("tcp", &networks[0].uri(), ""),
        stream("udp", &networks[1].uri(), ", transport = \"udp\""),
        stream("steady", &format!("rtsp://127.0.0.1:{}/camera", steady.port), ""),
    ));
    let names = ["tcp", "udp", "steady"];
    let minute = 60 * SECOND;
    daemon.wait_for("the first predictions", 5 * minute, |daemon| {
        names.iter().all(|name| daemon.newest(name).is_some())
    });
    let mut recoveries: Vec<(f64, String)> = Vec::new();
    for fault in 0..faults {
        let target = random.below(2) as usize;
        let lasts = Duration::from_millis(200 + random.below(3_000));
        let network = &networks[target];
        let launch = [server::H264, server::JPEG, server::VP8][random.below(3) as usize];
        let kind = if faults <= 4 { [0, 2, 1, 3][fault as usize % 4] } else { random.below(10) };
        let set = |fault: Fault| {
            network.set(fault);
            std::thread::sleep(lasts);
            network.set(Fault::default());
        };
        let what = match kind {
            0 => {
                server.kill();
                std::thread::sleep(lasts);
                server.replace_dead(launch);
                "the server killed, another codec and size"
            }
            1 => {
                server.freeze();
                std::thread::sleep(lasts);
                server.thaw();
                "the server frozen"
            }
            2 => {
                network.cut();
                "the connection cut"
            }
            3 => {
                network.set(Fault { refuse: true, ..Fault::default() });
                network.cut();
                set(Fault { refuse: true, ..Fault::default() });
                "connections refused"
            }
            4 => {
                set(Fault { hold: true, ..Fault::default() });
                "nothing passes"
            }
            5 => {
                set(Fault { delay: Duration::from_millis(30), ..Fault::default() });
                "late packets"
            }
            6 => {
                set(Fault { drop: 100, ..Fault::default() });
                "lost packets"
            }
            7 => {
                set(Fault { corrupt: 100, ..Fault::default() });
                "corrupt packets"
            }
            8 => {
                set(Fault { reorder: 200, ..Fault::default() });
                "packets out of order"
            }
            _ => {
                set(Fault { drop: 50, corrupt: 50, reorder: 50, ..Fault::default() });
                "lost, corrupt and out of order"
            }
        };
        let cleared = Instant::now();
        // A prediction whose whole clip came after that.
        for name in &names[..2] {
            daemon.wait_for(&format!("recovery of {name} ({what})"), 2 * minute, |daemon| {
                daemon.newest(name).is_some_and(|said| said.since() > cleared)
            });
            let said = daemon.said(name);
            let first = said.iter().find(|said| said.since() > cleared).unwrap();
            let seconds = (first.since() - cleared).as_secs_f64();
            recoveries.push((seconds, format!("{what}, {lasts:?}: {name}")));
        }
    }
    recoveries.sort_by(|a, b| b.0.total_cmp(&a.0));
    println!("slowest recoveries: {:#?}", &recoveries[..recoveries.len().min(5)]);
    let within = |most: f64| recoveries.iter().filter(|(s, _)| *s <= most).count();
    println!(
        "of {} recoveries within back-off + 2 s ({} s): {}; with the time-out: {}",
        recoveries.len(),
        longest + 2.0,
        within(longest + 2.0),
        within(timeout + longest + 2.0)
    );
    for name in names {
        no_clip_spans_a_gap(name, &daemon.said(name));
    }
    let said = daemon.said("steady");
    let disturbed: Vec<_> = said
        .windows(2)
        .filter(|pair| {
            pair[1].reset.is_some() || pair[1].skipped > 0 || pair[1].t - pair[0].t > 0.126
        })
        .collect();
    println!("steady: {} predictions, {} of them after a missed hop", said.len(), disturbed.len());
    let log = daemon.log();
    assert!(disturbed.is_empty(), "the other stream missed something: {disturbed:?}\n{log}");
    let late = recoveries.len() - within(timeout + longest + 2.0);
    assert_eq!(late, 0, "{log}");
    let (took, code) = daemon.end();
    assert_eq!(code, Some(0));
    assert!(took < 5 * SECOND, "the end took {took:?}");
}

/// The whole daemon stands still for a while, as a debugger or a frozen machine makes
/// it. `make torture` does it twenty times.
#[test]
fn a_daemon_that_stood_still_goes_on() {
    let stops = count("KINEWATCH_STOPS", 2);
    let mut random = Rng(count("KINEWATCH_SEED", 5));
    let server = Server::start(closed_port(), server::H264);
    let names = ["here", "apart"];
    let stream = |name: &str, more: &str| {
        format!(
            "[[stream]]\nname = \"{name}\"\nsource = {{ uri = \"rtsp://127.0.0.1:{}/camera\", timeout = \"2 s\" }}\n\
             reconnect = {{ first = \"250 ms\", longest = \"1 s\", healthy = \"2 s\" }}\n{more}\n",
            server.port
        )
    };
    let mut daemon = Daemon::start(&(stream(names[0], "") + &stream(names[1], "isolate = true")));
    let minute = 60 * SECOND;
    for stop in 0..=stops {
        let resumed = Instant::now();
        for name in names {
            daemon.wait_for(&format!("{name} after stop {stop}"), 2 * minute, |daemon| {
                daemon.newest(name).is_some_and(|said| said.since() > resumed)
            });
            let first = daemon.said(name).into_iter().find(|said| said.since() > resumed);
            let took = (first.unwrap().since() - resumed).as_secs_f64();
            println!("stop {stop}, {name}: {took:.2} s");
            // The time-out, the longest wait, and what is promised.
            assert!(stop == 0 || took < 5.0, "{}", daemon.log());
        }
        if stop < stops {
            let lasts =
                Duration::from_millis(if stop == 0 { 7_000 } else { random.below(stops * 1_000) });
            println!("stopped for {lasts:?}");
            daemon.signal("-STOP");
            std::thread::sleep(lasts);
            daemon.signal("-CONT");
        }
    }
    for name in names {
        no_clip_spans_a_gap(name, &daemon.said(name));
    }
    assert_eq!(daemon.end().1, Some(0));
}

/// Within a clip, times step by a hop, or by as many as were skipped; and a clip that
/// begins anew begins after all that came before.
fn no_clip_spans_a_gap(name: &str, said: &[Said]) {
    assert_eq!(said[0].reset.as_deref(), Some("start"));
    for pair in said.windows(2) {
        let (before, after) = (&pair[0], &pair[1]);
        assert!(after.t > before.t, "{name}: time goes back: {before:?} {after:?}");
        match &after.reset {
            Some(_) => assert!(after.start > before.t, "{name}: {before:?} {after:?}"),
            None => {
                let most = 0.125 * (after.skipped + 1) as f64 + 1e-6;
                assert!(after.t - before.t <= most, "{name}: a gap: {before:?} {after:?}");
            }
        }
    }
}
