//! What a decoder process is to do: a source's specification and what is wanted
//! of it, on its way through a socket, never on a command line.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Isolation;
use super::protocol::nanos;
use super::wire::{Lens, Pen};
use crate::duration::HumanDuration;
use crate::video::spec::{ConverterChoice, DecoderChoice, SourceSpec, Transport};
use crate::video::{Colour, Pace, Want};

/// The first message to a decoder process.
pub(super) struct Job {
    pub name: String,
    pub spec: SourceSpec,
    pub isolation: Isolation,
    pub want: Want,
    pub pace: Pace,
    /// Whether the daemon looks itself whether a live source is silent.
    pub watched: bool,
    /// The log's level, as `log` counts.
    pub verbosity: u8,
}

const COLOURS: [Colour; 3] = [Colour::Rgb, Colour::Bgr, Colour::Gray];
const TRANSPORTS: [Transport; 3] = [Transport::Tcp, Transport::Udp, Transport::Auto];

fn place<T: PartialEq>(known: &[T], value: &T) -> u64 {
    known.iter().position(|one| one == value).unwrap_or(0) as u64
}

fn pick<T: Copy>(known: &[T], lens: &mut Lens<'_>) -> Option<T> {
    known.get(usize::try_from(lens.number()?).ok()?).copied()
}

fn write_path(pen: &mut Pen<'_>, path: &Path) {
    pen.bytes(path.as_os_str().as_bytes());
}

fn read_path(lens: &mut Lens<'_>) -> Option<PathBuf> {
    lens.bytes().map(|bytes| PathBuf::from(OsStr::from_bytes(bytes)))
}

fn read_duration(lens: &mut Lens<'_>) -> Option<HumanDuration> {
    lens.number().map(|nanos| HumanDuration(Duration::from_nanos(nanos)))
}

impl Job {
    pub fn write(&self, buffer: &mut Vec<u8>) {
        let Job { name, spec, isolation, want, pace, watched, verbosity } = self;
        // By name, so that a new field is not forgotten here.
        let SourceSpec {
            path,
            uri,
            device,
            csi,
            pipeline,
            synth,
            size,
            fps,
            transport,
            latency,
            timeout,
            user,
            password,
            tls_verify,
            decoder: DecoderChoice { prefer, forbid },
            converter,
            isolate: _,
        } = spec;
        let Isolation { strict, memory, read, devices } = isolation;
        // Pictures do not leave that process: [`connect`](crate::video::connection) sees to it.
        let Want { rate, colour, max_gap, pictures: _ } = want;
        let text = |pen: &mut Pen<'_>, text: &String| {
            pen.text(text);
        };
        let time = |pen: &mut Pen<'_>, time: HumanDuration| {
            pen.number(nanos(time.0));
        };
        let side = |pen: &mut Pen<'_>, [width, height]: [u32; 2]| {
            pen.number(width.into()).number(height.into());
        };
        let path_of = |pen: &mut Pen<'_>, path: &PathBuf| write_path(pen, path);
        let mut pen = Pen::begin(buffer, 0);
        pen.text(name)
            .maybe(path.as_ref(), path_of)
            .maybe(uri.as_ref(), text)
            .maybe(device.as_ref(), path_of)
            .maybe(*csi, |pen, csi| {
                pen.number(csi.into());
            })
            .maybe(pipeline.as_ref(), text)
            .maybe(synth.as_ref(), text)
            .maybe(*size, side)
            .maybe(*fps, |pen, fps| {
                pen.number(fps.to_bits());
            })
            .maybe(*transport, |pen, transport| {
                pen.number(place(&TRANSPORTS, &transport));
            })
            .maybe(*latency, time)
            .maybe(*timeout, time)
            .maybe(user.as_ref(), text)
            .maybe(password.as_ref(), text)
            .maybe(*tls_verify, |pen, verify| {
                pen.number(verify.into());
            })
            .each(prefer, text)
            .each(forbid, text)
            .each(&converter.prefer, text)
            .maybe(converter.size, side)
            .number((*strict).into())
            .number(*memory)
            .each(read, path_of)
            .each(devices, path_of)
            .number(rate.to_bits())
            .number(place(&COLOURS, colour))
            .number(nanos(*max_gap))
            .number(u64::from(*pace == Pace::RealTime))
            .number((*watched).into())
            .number((*verbosity).into())
            .end();
    }

    pub fn read(body: &[u8]) -> Option<Job> {
        let mut lens = Lens(body);
        lens.kind().filter(|kind| *kind == 0)?;
        let lens = &mut lens;
        let number32 = |lens: &mut Lens<'_>| u32::try_from(lens.number()?).ok();
        let size = |lens: &mut Lens<'_>| Some([number32(lens)?, number32(lens)?]);
        Some(Job {
            name: lens.text()?,
            spec: SourceSpec {
                path: lens.maybe(read_path)?,
                uri: lens.maybe(Lens::text)?,
                device: lens.maybe(read_path)?,
                csi: lens.maybe(number32)?,
                pipeline: lens.maybe(Lens::text)?,
                synth: lens.maybe(Lens::text)?,
                size: lens.maybe(size)?,
                fps: lens.maybe(Lens::number)?.map(f64::from_bits),
                transport: lens.maybe(|lens| pick(&TRANSPORTS, lens))?,
                latency: lens.maybe(read_duration)?,
                timeout: lens.maybe(read_duration)?,
                user: lens.maybe(Lens::text)?,
                password: lens.maybe(Lens::text)?,
                tls_verify: lens.maybe(Lens::flag)?,
                decoder: DecoderChoice {
                    prefer: lens.each(Lens::text)?,
                    forbid: lens.each(Lens::text)?,
                },
                converter: ConverterChoice {
                    prefer: lens.each(Lens::text)?,
                    size: lens.maybe(size)?,
                },
                isolate: None,
            },
            isolation: Isolation {
                strict: lens.flag()?,
                memory: lens.number()?,
                read: lens.each(read_path)?,
                devices: lens.each(read_path)?,
            },
            want: Want {
                rate: f64::from_bits(lens.number()?),
                colour: pick(&COLOURS, lens)?,
                max_gap: Duration::from_nanos(lens.number()?),
                pictures: false,
            },
            pace: if lens.flag()? { Pace::RealTime } else { Pace::Fast },
            watched: lens.flag()?,
            verbosity: u8::try_from(lens.number()?).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    #[test]
    fn a_job_arrives_as_it_was_sent() {
        let spec = SourceSpec {
            uri: Some("rtsp://cam/ü".into()),
            path: Some(PathBuf::from(std::ffi::OsString::from_vec(vec![b'/', 0xff]))),
            csi: Some(1),
            size: Some([640, 480]),
            fps: Some(14.5),
            transport: Some(Transport::Auto),
            timeout: Some(HumanDuration(Duration::from_millis(1_500))),
            user: Some("u".into()),
            password: Some("p".into()),
            tls_verify: Some(false),
            decoder: DecoderChoice {
                prefer: vec!["a".into(), "b".into()],
                forbid: vec!["c".into()],
            },
            converter: ConverterChoice { prefer: vec!["d".into()], size: Some([64, 48]) },
            ..SourceSpec::default()
        };
        let isolation = Isolation {
            strict: true,
            memory: 77,
            read: vec!["/x".into()],
            devices: vec!["/dev/y".into()],
        };
        let want = Want {
            rate: 7.25,
            colour: Colour::Gray,
            max_gap: Duration::from_nanos(3),
            pictures: false,
        };
        let job = Job {
            name: "gate".into(),
            spec: spec.clone(),
            isolation: isolation.clone(),
            want: want.clone(),
            pace: Pace::RealTime,
            watched: true,
            verbosity: 4,
        };
        let mut bytes = Vec::new();
        job.write(&mut bytes);
        let back = Job::read(&bytes[4..]).unwrap();
        assert!(back.spec == spec);
        assert_eq!((back.name.as_str(), back.verbosity), ("gate", 4));
        assert_eq!((back.isolation, back.want, back.pace), (isolation, want, Pace::RealTime));
        assert!(Job::read(&bytes[4..bytes.len() - 1]).is_none());
    }
}
