//! What the daemon and a decoder process may say to each other, and what the
//! daemon believes.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use super::wire::{Lens, Nonsense, Pen};
use crate::error::{Error, Kind};
use crate::video::{Colour, Frame, Orientation, Reset};

/// Slots of the shared memory: one that is read, one that waits, one that is
/// being filled.
pub(super) const SLOTS: usize = 3;
/// The longest side of a picture, in pixels.
const LONGEST_SIDE: u64 = 32_768;
/// No stream runs so long, in nanoseconds: 146 years.
const LATEST: u64 = 1 << 62;

/// What the daemon says after the job.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Say how long the recording is.
    Length,
    /// Sample at these times, in nanoseconds.
    SampleAt(Vec<u64>),
    /// Begin.
    Start,
    /// This slot was read.
    Free(usize),
}

impl Order {
    pub fn write<'a>(&self, buffer: &'a mut Vec<u8>) -> &'a [u8] {
        let kind = match self {
            Order::Length => 1,
            Order::SampleAt(_) => 2,
            Order::Start => 3,
            Order::Free(_) => 4,
        };
        {
            let mut pen = Pen::begin(buffer, kind);
            match self {
                Order::SampleAt(times) => {
                    pen.each(times, |pen, time| {
                        pen.number(*time);
                    });
                }
                Order::Free(slot) => {
                    pen.number(*slot as u64);
                }
                Order::Length | Order::Start => {}
            }
            pen.end();
        }
        buffer
    }

    pub fn read(body: &[u8]) -> Option<Order> {
        let mut lens = Lens(body);
        Some(match lens.kind()? {
            1 => Order::Length,
            2 => Order::SampleAt(lens.each(Lens::number)?),
            3 => Order::Start,
            4 => Order::Free(usize::try_from(lens.up_to(SLOTS as u64 - 1)?).ok()?),
            _ => return None,
        })
    }
}

/// How a source stands, told with everything that comes of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    pub live: bool,
    pub dropped: u64,
    /// Nanoseconds.
    pub reach: u64,
}

impl Standing {
    fn write(&self, pen: &mut Pen<'_>) {
        pen.number(u64::from(self.live)).number(self.dropped).number(self.reach);
    }

    fn read(lens: &mut Lens<'_>) -> Option<Standing> {
        Some(Standing {
            live: lens.flag()?,
            dropped: lens.up_to(LATEST)?,
            reach: lens.up_to(LATEST)?,
        })
    }
}

/// A sampled frame without its pixels, which lie in `slot`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Picture {
    pub slot: usize,
    pub width: u64,
    pub height: u64,
    pub pixel_aspect: (u32, u32),
    pub orientation: Orientation,
    /// Nanoseconds.
    pub tick: u64,
    pub pts: u64,
    /// By the machine's monotonic clock, in nanoseconds.
    pub arrived: u64,
    pub reset: Option<Reset>,
    pub standing: Standing,
}

/// Those that a source gives.
const RESETS: [Reset; 4] = [Reset::Start, Reset::Gap, Reset::Backwards, Reset::Reconnect];

impl Picture {
    /// Of a frame whose pixels were put into `slot`.
    pub fn of(frame: &Frame, slot: usize, standing: Standing) -> Picture {
        Picture {
            slot,
            width: frame.width as u64,
            height: frame.height as u64,
            pixel_aspect: frame.pixel_aspect,
            orientation: frame.orientation,
            tick: nanos(frame.tick_time),
            pts: nanos(frame.pts),
            arrived: monotonic().saturating_sub(nanos(frame.arrived.elapsed())),
            reset: frame.reset,
            standing,
        }
    }

    fn read(lens: &mut Lens<'_>) -> Option<Picture> {
        let side = u64::from(u32::MAX);
        Some(Picture {
            slot: usize::try_from(lens.up_to(SLOTS as u64 - 1)?).ok()?,
            width: lens.up_to(LONGEST_SIDE).filter(|width| *width > 0)?,
            height: lens.up_to(LONGEST_SIDE).filter(|height| *height > 0)?,
            pixel_aspect: (
                u32::try_from(lens.up_to(side)?).ok().filter(|n| *n > 0)?,
                u32::try_from(lens.up_to(side)?).ok().filter(|n| *n > 0)?,
            ),
            orientation: Orientation {
                quarters: u8::try_from(lens.up_to(3)?).ok()?,
                flip: lens.flag()?,
            },
            tick: lens.up_to(LATEST)?,
            pts: lens.up_to(LATEST)?,
            arrived: lens.number()?,
            reset: match lens.up_to(RESETS.len() as u64)? {
                0 => None,
                index => Some(*RESETS.get(usize::try_from(index).ok()? - 1)?),
            },
            standing: Standing::read(lens)?,
        })
    }

    fn write(&self, pen: &mut Pen<'_>) {
        let reset = self.reset.and_then(|reset| RESETS.iter().position(|known| *known == reset));
        pen.number(self.slot as u64)
            .number(self.width)
            .number(self.height)
            .number(self.pixel_aspect.0.into())
            .number(self.pixel_aspect.1.into())
            .number(self.orientation.quarters.into())
            .number(self.orientation.flip.into())
            .number(self.tick)
            .number(self.pts)
            .number(self.arrived)
            .number(reset.map_or(0, |index| index as u64 + 1));
        self.standing.write(pen);
    }

    /// Everything but the pixels.
    pub fn describe(&self, frame: &mut Frame) {
        frame.width = usize::try_from(self.width).unwrap_or(0);
        frame.height = usize::try_from(self.height).unwrap_or(0);
        frame.pixel_aspect = self.pixel_aspect;
        frame.orientation = self.orientation;
        frame.tick_time = Duration::from_nanos(self.tick);
        frame.pts = Duration::from_nanos(self.pts);
        frame.reset = self.reset;
        let now = Instant::now();
        let age = Duration::from_nanos(monotonic().saturating_sub(self.arrived));
        frame.arrived = now.checked_sub(age).unwrap_or(now);
    }
}

/// What a decoder process says.
#[derive(Clone, Debug)]
pub(super) enum Said {
    /// It is in its sandbox; whether Landlock is part of it.
    Ready {
        landlock: bool,
    },
    Opened(Standing),
    /// In nanoseconds; `None`: not known.
    Length(Option<u64>),
    Frame(Picture),
    End(Standing),
    Failed(Error, Standing),
    /// A line for the log: its level as `log` counts, and the text.
    Log(u8, String),
    /// It goes on.
    Alive,
}

const KINDS: [Kind; 4] = [Kind::Config, Kind::Unavailable, Kind::Data, Kind::Internal];
const GIBBERISH: Nonsense = Nonsense("a message that makes no sense");
/// The longest text that a process sends, in bytes.
const TEXT: usize = 4 << 10;

impl Said {
    pub fn write<'a>(&self, buffer: &'a mut Vec<u8>) -> &'a [u8] {
        let kind = match self {
            Said::Ready { .. } => 1,
            Said::Opened(_) => 2,
            Said::Length(_) => 3,
            Said::Frame(_) => 4,
            Said::End(_) => 5,
            Said::Failed(..) => 6,
            Said::Log(..) => 7,
            Said::Alive => 8,
        };
        {
            let mut pen = Pen::begin(buffer, kind);
            match self {
                Said::Ready { landlock } => {
                    pen.number(u64::from(*landlock));
                }
                Said::Opened(standing) | Said::End(standing) => standing.write(&mut pen),
                Said::Length(length) => {
                    pen.maybe(*length, |pen, length| {
                        pen.number(length);
                    });
                }
                Said::Frame(picture) => picture.write(&mut pen),
                Said::Failed(error, standing) => {
                    let kind = KINDS.iter().position(|kind| *kind == error.kind());
                    let (doing, fault, remedy) = error.parts();
                    pen.number(kind.unwrap_or(KINDS.len() - 1) as u64)
                        .text(cut(doing))
                        .text(cut(fault))
                        .maybe(remedy, |pen, remedy| {
                            pen.text(cut(remedy));
                        });
                    standing.write(&mut pen);
                }
                Said::Log(level, text) => {
                    pen.number((*level).into()).text(cut(text));
                }
                Said::Alive => {}
            }
            pen.end();
        }
        buffer
    }

    pub fn read(body: &[u8]) -> Result<Said, Nonsense> {
        let mut lens = Lens(body);
        let said = Said::parse(&mut lens).ok_or(GIBBERISH)?;
        lens.end().ok_or(GIBBERISH)?;
        Ok(said)
    }

    fn parse(lens: &mut Lens<'_>) -> Option<Said> {
        Some(match lens.kind()? {
            1 => Said::Ready { landlock: lens.flag()? },
            2 => Said::Opened(Standing::read(lens)?),
            3 => Said::Length(lens.maybe(|lens| lens.up_to(LATEST))?),
            4 => Said::Frame(Picture::read(lens)?),
            5 => Said::End(Standing::read(lens)?),
            6 => {
                let kind = *KINDS.get(usize::try_from(lens.number()?).ok()?)?;
                let error = Error::new(kind, lens.text()?, lens.text()?);
                let error = match lens.maybe(Lens::text)? {
                    Some(remedy) => error.remedy(remedy),
                    None => error,
                };
                Said::Failed(error, Standing::read(lens)?)
            }
            7 => Said::Log(u8::try_from(lens.up_to(5)?).ok()?, lens.text()?),
            8 => Said::Alive,
            _ => return None,
        })
    }
}

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(TEXT)).unwrap_or_default()
}

/// What a decoder process may say next: a slot is filled once until it is freed,
/// a picture fits into its slot, and time goes forward within a clip.
pub(super) struct Book {
    slot: u64,
    colour: Colour,
    free: [bool; SLOTS],
    last: Option<u64>,
}

impl Book {
    /// `slot` in bytes.
    pub fn new(slot: u64, colour: Colour) -> Self {
        Book { slot, colour, free: [true; SLOTS], last: None }
    }

    /// Takes note of a picture: how many bytes it has and where they lie in the
    /// shared memory.
    pub fn take(&mut self, picture: &Picture) -> Result<(usize, u64), Nonsense> {
        let free = self.free.get_mut(picture.slot).ok_or(Nonsense("a slot that is not there"))?;
        if !std::mem::replace(free, false) {
            return Err(Nonsense("a picture in a slot that is still being read"));
        }
        let len = picture
            .width
            .checked_mul(picture.height)
            .and_then(|pixels| pixels.checked_mul(self.colour.channels() as u64))
            .filter(|len| *len <= self.slot)
            .and_then(|len| usize::try_from(len).ok())
            .ok_or(Nonsense("a picture that is larger than its slot"))?;
        match self.last {
            None if picture.reset.is_none() => return Err(Nonsense("a clip without a beginning")),
            Some(last) if picture.reset.is_none() && picture.tick < last => {
                return Err(Nonsense("times that run backwards"));
            }
            _ => self.last = Some(picture.tick),
        }
        Ok((len, picture.slot as u64 * self.slot))
    }

    /// What every picture's pixels are.
    pub fn colour(&self) -> Colour {
        self.colour
    }

    /// The slot was read.
    pub fn give_back(&mut self, slot: usize) {
        if let Some(free) = self.free.get_mut(slot) {
            *free = true;
        }
    }
}

/// The machine's monotonic clock, which all processes share, in nanoseconds.
fn monotonic() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(now.tv_nsec).unwrap_or(0))
}

pub(super) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::{Rng, SeedableRng};

    use super::*;
    use crate::video::isolate::wire::{Inbox, LONGEST};

    fn picture() -> Picture {
        Picture {
            slot: 1,
            width: 640,
            height: 480,
            pixel_aspect: (4, 3),
            orientation: Orientation { quarters: 3, flip: true },
            tick: 5_000,
            pts: 4_999,
            arrived: 7,
            reset: Some(Reset::Gap),
            standing: Standing { live: true, dropped: 9, reach: 8 },
        }
    }

    fn all() -> Vec<Said> {
        let standing = picture().standing;
        vec![
            Said::Ready { landlock: true },
            Said::Opened(standing),
            Said::Length(Some(3)),
            Said::Length(None),
            Said::Frame(picture()),
            Said::End(standing),
            Said::Failed(Error::data("doing", "fault").remedy("remedy"), standing),
            Said::Failed(Error::config("doing", "fault"), standing),
            Said::Log(2, "text".into()),
            Said::Alive,
        ]
    }

    #[test]
    fn what_is_said_is_what_is_heard() {
        let mut inbox = Inbox::new(LONGEST);
        for said in all() {
            inbox.push(said.write(&mut Vec::new()));
        }
        let mut body = Vec::new();
        for said in all() {
            assert!(inbox.take(&mut body).unwrap());
            assert_eq!(format!("{:?}", Said::read(&body).unwrap()), format!("{said:?}"));
        }
        assert!(!inbox.take(&mut body).unwrap());
        for order in [Order::Length, Order::Start, Order::Free(2), Order::SampleAt(vec![1, 2])] {
            assert_eq!(Order::read(&order.write(&mut Vec::new())[4..]).unwrap(), order);
        }
    }

    /// Every message, with every byte changed, cut short and made longer: it is
    /// refused or it is a message, and what it claims stays within bounds.
    #[test]
    fn a_damaged_message_is_refused_or_harmless() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut refused = 0;
        for said in all() {
            let whole = said.write(&mut Vec::new())[4..].to_vec();
            for at in 0..whole.len() {
                assert!(Said::read(&whole[..at]).is_err(), "{said:?} cut to {at}");
                for _ in 0..40 {
                    let mut broken = whole.clone();
                    broken[at] = rng.next_u32() as u8;
                    match Said::read(&broken) {
                        Err(_) => refused += 1,
                        Ok(Said::Frame(picture)) => {
                            assert!(picture.slot < SLOTS && picture.width <= LONGEST_SIDE);
                            assert!(picture.pixel_aspect.0 > 0 && picture.pixel_aspect.1 > 0);
                            assert!(picture.tick <= LATEST && picture.orientation.quarters < 4);
                        }
                        Ok(_) => {}
                    }
                }
            }
            let mut longer = whole;
            longer.push(0);
            assert!(Said::read(&longer).is_err(), "{said:?} and a byte more");
        }
        assert!(refused > 1_000, "{refused}");
    }

    #[test]
    fn noise_is_cut_into_messages_without_a_panic_and_without_end() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        for _ in 0..2_000 {
            let mut noise = vec![0; 300];
            rng.fill_bytes(&mut noise);
            // Half of them with a length that can be.
            if rng.next_u32().is_multiple_of(2) {
                noise[..4].copy_from_slice(&(rng.next_u32() % 290).to_le_bytes());
                noise[4] %= 10;
            }
            let mut inbox = Inbox::new(LONGEST);
            inbox.push(&noise);
            let mut body = Vec::new();
            while let Ok(true) = inbox.take(&mut body) {
                let _ = Said::read(&body);
                let _ = Order::read(&body);
            }
        }
        let mut inbox = Inbox::new(LONGEST);
        inbox.push(&(LONGEST as u32 + 1).to_le_bytes());
        assert!(inbox.take(&mut Vec::new()).is_err(), "it waits for no message that is too long");
    }

    #[test]
    fn the_book_knows_which_slot_is_whose() {
        let mut book = Book::new(640 * 480 * 3, Colour::Rgb);
        assert_eq!(book.take(&picture()).unwrap(), (640 * 480 * 3, 640 * 480 * 3));
        assert!(book.take(&picture()).is_err(), "it is still being read");
        book.give_back(1);
        let next = Picture { reset: None, tick: 6_000, ..picture() };
        book.take(&next).unwrap();
        book.give_back(1);
        assert!(book.take(&Picture { tick: 5_999, ..next }).is_err(), "backwards");
        book.give_back(1);
        book.take(&Picture { tick: 3, ..picture() }).unwrap();
        book.give_back(1);
        assert!(book.take(&Picture { width: 641, ..picture() }).is_err(), "a pixel too wide");
        let mut fresh = Book::new(1 << 20, Colour::Gray);
        assert!(fresh.take(&Picture { reset: None, ..picture() }).is_err(), "no beginning");
    }

    #[test]
    fn a_frame_s_age_survives_the_way() {
        let mut frame = Frame::new(Colour::Rgb);
        let arrived = Instant::now().checked_sub(Duration::from_millis(700)).unwrap();
        frame.arrived = arrived;
        let picture = Picture::of(&frame, 0, Standing::default());
        let mut other = Frame::new(Colour::Rgb);
        picture.describe(&mut other);
        let error = other.arrived.max(arrived) - other.arrived.min(arrived);
        assert!(error < Duration::from_millis(100), "{error:?}");
        // From the future, or before the machine was started.
        for arrived in [u64::MAX, 0] {
            Picture { arrived, ..picture }.describe(&mut other);
            assert!(other.arrived <= Instant::now());
        }
    }

    #[test]
    fn long_texts_are_cut_between_letters() {
        let long = "ü".repeat(TEXT);
        let said = Said::Failed(Error::data(&*long, &long).remedy(&*long), Standing::default());
        let bytes = said.write(&mut Vec::new()).len();
        assert!(bytes < LONGEST, "{bytes}");
        assert!(cut(&format!("a{long}")).ends_with('ü'));
    }
}
