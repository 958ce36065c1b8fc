//! A world in which time passes only when somebody waits.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kinewatch::clock::Clock;
use kinewatch::error::{Error, Result};
use kinewatch::stop::Stop;
use kinewatch::video::{
    Candidate, Colour, Connection, Frame, Health, Polled, Pulse, ReconnectOptions, Reset,
    Supervised, Supervisor,
};

/// What a camera does at some moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Weather {
    /// It gives a picture at each interval.
    Up(Duration),
    /// It refuses connections, and breaks those it has.
    Refused,
    /// It opens, and breaks as soon as it is asked for a picture.
    Breaks,
    /// It says that the stream is over.
    Ends,
    /// It opens and gives nothing.
    Frozen,
    /// It never opens.
    Hangs,
}

struct Simulated {
    begun: Instant,
    passed: Mutex<Duration>,
}

impl Clock for Simulated {
    fn wall(&self) -> SystemTime {
        UNIX_EPOCH + *self.passed.lock().unwrap()
    }

    fn instant(&self) -> Instant {
        self.begun + *self.passed.lock().unwrap()
    }

    fn sleep(&self, time: Duration) {
        *self.passed.lock().unwrap() += time;
    }
}

impl Simulated {
    fn now(&self) -> Duration {
        *self.passed.lock().unwrap()
    }
}

/// A frame as it came out.
#[derive(Clone, Debug)]
pub struct Watched {
    /// The stream's time.
    pub t: Duration,
    /// The simulated time.
    pub at: Duration,
    pub reset: Option<Reset>,
}

pub struct World {
    clock: Arc<Simulated>,
    pub stop: Stop,
    pub health: Health,
}

impl World {
    pub fn new() -> Self {
        let clock =
            Arc::new(Simulated { begun: Instant::now(), passed: Mutex::new(Duration::ZERO) });
        World { health: Health::new(clock.clone()), clock, stop: Stop::default() }
    }

    pub fn now(&self) -> Duration {
        self.clock.now()
    }

    pub fn frame(&self) -> Frame {
        Frame::new(Colour::Gray)
    }

    pub fn supervise(&self, cameras: Vec<Camera>) -> Supervisor {
        self.try_supervise(cameras).unwrap()
    }

    pub fn try_supervise(&self, cameras: Vec<Camera>) -> Result<Supervisor> {
        self.start(cameras, ReconnectOptions::default())
    }

    pub fn supervise_with(
        &self,
        cameras: Vec<Camera>,
        set: impl FnOnce(&mut ReconnectOptions),
    ) -> Supervisor {
        let mut reconnect = ReconnectOptions::default();
        set(&mut reconnect);
        self.start(cameras, reconnect).unwrap()
    }

    fn start(&self, cameras: Vec<Camera>, reconnect: ReconnectOptions) -> Result<Supervisor> {
        let told = Supervised {
            name: "gate".into(),
            reconnect,
            clock: self.clock.clone(),
            stop: self.stop.clone(),
            health: self.health.clone(),
        };
        Supervisor::start(cameras.into_iter().map(Camera::candidate).collect(), told)
    }

    /// Every frame until the simulated time `end`.
    pub fn watch(&self, source: &mut Supervisor, end: Duration) -> Vec<Watched> {
        let mut frame = self.frame();
        let mut seen = Vec::new();
        while self.now() < end {
            match source.step(&mut frame).unwrap() {
                Polled::Frame => {
                    let (t, reset) = (frame.tick_time, frame.reset);
                    seen.push(Watched { t, at: self.now(), reset });
                }
                Polled::Nothing => {}
                Polled::End => break,
            }
        }
        seen
    }
}

type Sky = Arc<dyn Fn(Duration) -> Weather + Send + Sync>;

/// A camera under a sky. Clones are the same camera.
#[derive(Clone)]
pub struct Camera {
    clock: Arc<Simulated>,
    sky: Sky,
    opened: Arc<Mutex<Vec<Duration>>>,
    /// Whether its pictures carry its rate.
    pub says_its_rate: bool,
    recording: bool,
    impossible: Option<Error>,
}

impl Camera {
    pub fn new(world: &World, sky: impl Fn(Duration) -> Weather + Send + Sync + 'static) -> Self {
        Camera {
            clock: world.clock.clone(),
            sky: Arc::new(sky),
            opened: Arc::default(),
            says_its_rate: false,
            recording: false,
            impossible: None,
        }
    }

    pub fn with_sky(self, sky: impl Fn(Duration) -> Weather + Send + Sync + 'static) -> Self {
        Camera { sky: Arc::new(sky), ..self }
    }

    pub fn recording(self) -> Self {
        Camera { recording: true, ..self }
    }

    pub fn that_cannot_be(self, error: Error) -> Self {
        Camera { impossible: Some(error), ..self }
    }

    /// How often somebody tried to open it.
    pub fn tries(&self) -> usize {
        self.opened.lock().unwrap().len()
    }

    /// When somebody tried to.
    pub fn opened_at(&self) -> Arc<Mutex<Vec<Duration>>> {
        self.opened.clone()
    }

    fn candidate(self) -> Candidate {
        let recording = self.recording;
        let open = move || -> Result<Box<dyn Connection>> {
            self.opened.lock().unwrap().push(self.clock.now());
            match &self.impossible {
                Some(error) => Err(error.clone()),
                None => Ok(Box::new(Line {
                    camera: self.clone(),
                    since: self.clock.now(),
                    next: None,
                    pulse: Pulse::default(),
                    first: None,
                })),
            }
        };
        Candidate {
            text: "a simulated camera".into(),
            timeout: Duration::from_secs(10),
            recording,
            open: Box::new(open),
        }
    }
}

struct Line {
    camera: Camera,
    since: Duration,
    /// When the next picture is due.
    next: Option<Duration>,
    pulse: Pulse,
    first: Option<Duration>,
}

const MAX_GAP: Duration = Duration::from_secs(1);

/// From the connection to the first picture.
const SETUP: Duration = Duration::from_millis(100);

impl Connection for Line {
    fn opened(&mut self, wait: Duration) -> Result<bool> {
        match (self.camera.sky)(self.camera.clock.now()) {
            Weather::Hangs => {
                self.camera.clock.sleep(wait);
                Ok(false)
            }
            Weather::Refused => Err(Error::unavailable("opening", "refused")),
            _ => Ok(true),
        }
    }

    fn poll(&mut self, frame: &mut Frame, wait: Duration) -> Result<Polled> {
        let clock = &self.camera.clock;
        let end = clock.now() + wait;
        let now = clock.now();
        let interval = match (self.camera.sky)(now) {
            Weather::Refused | Weather::Breaks => {
                return Err(Error::unavailable("playing", format!("broke at {now:?}")));
            }
            Weather::Ends => return Ok(Polled::End),
            // What was due meanwhile is lost.
            Weather::Frozen | Weather::Hangs => {
                self.next = self.next.max(Some(now));
                clock.sleep(end - now);
                return Ok(Polled::Nothing);
            }
            Weather::Up(interval) => interval,
        };
        let due = *self.next.get_or_insert(self.since.max(now) + SETUP);
        if due > end {
            clock.sleep(end - now);
            return Ok(Polled::Nothing);
        }
        clock.sleep(due.saturating_sub(now));
        self.next = Some(due.max(now) + interval);
        let first = *self.first.get_or_insert(clock.now());
        self.pulse.pictures += 1;
        let newest = self.pulse.newest.replace(clock.instant());
        let step = newest.map(|newest| clock.instant() - newest);
        self.pulse.announced = self.camera.says_its_rate.then_some(interval);
        frame.tick_time = clock.now() - first;
        frame.pts = frame.tick_time;
        frame.arrived = clock.instant();
        // As the sampler does it.
        frame.reset = match step {
            None => Some(Reset::Start),
            Some(step) if step > MAX_GAP.max(interval) => Some(Reset::Gap),
            Some(_) => None,
        };
        Ok(Polled::Frame)
    }

    fn live(&self) -> bool {
        !self.camera.recording
    }

    fn pulse(&self) -> Pulse {
        self.pulse
    }

    fn overdue(&self, time: Duration) -> Error {
        Error::unavailable("playing", format!("nothing for {time:?}"))
    }
}

/// Numbers at random, the same for one seed (splitmix64).
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Less than `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}
