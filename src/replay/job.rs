//! One video, from its file to its place in the store.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::Serialize;

use super::cache::{Cache, Head};
use super::collector::Collector;
use super::cutter::{Cuts, Cutter};
use super::truth;
use super::watch::{Watch, Watched, nanos};
use super::{Clips, Tally, Video, Views};
use crate::clip::{Feed, InputSpec, Preprocessed};
use crate::clock::SystemClock;
use crate::duration::HumanDuration;
use crate::error::{Error, Result};
use crate::label::{LabelClock, Truths};
use crate::model::Model;
use crate::predict::PredictOptions;
use crate::report::store::{Store, Truth, VideoHeader};
use crate::session::{ModelFacts, Progress, Session, Summary};
use crate::sink::Sinks;
use crate::stop::Stop;
use crate::video::isolate::Isolation;
use crate::video::{self, FrameSource, Pace, Recording, SourceSpec, Want};

/// A recording that gives no picture for this long is given up.
const PATIENCE: HumanDuration = HumanDuration::seconds(60);

/// What every video of a run has in common.
pub(super) struct Shared<'a> {
    pub model: &'a Arc<Model>,
    pub facts: ModelFacts,
    pub predict: PredictOptions,
    pub views: Views,
    pub max_gap: Duration,
    pub isolate: Option<Isolation>,
    /// Sampled frames from a reset to the first logits.
    pub warm_up: usize,
    pub cache: Option<Arc<Cache>>,
    pub store: &'a Store,
    pub sinks: Arc<Sinks>,
    pub stop: &'a Stop,
}

/// How a video came out.
#[derive(Debug)]
pub(super) enum Done {
    /// It is in the store.
    Well { seconds: f64, clips: u64, tally: Tally },
    /// It is in the store as failed.
    Failed(Error),
    /// The run was asked to end.
    Stopped,
}

/// Whatever decides which normalised frames a session is fed: with the video
/// itself, a cache entry's identity.
#[derive(Serialize)]
struct Identity<'a> {
    input: &'a InputSpec,
    views: String,
    /// Length and hop of clips that are cut out.
    cut: Option<(usize, usize)>,
    max_gap: u64,
}

impl Shared<'_> {
    /// Runs `video` and stores what came of it.
    ///
    /// # Errors
    /// The store cannot be written: there is no use in going on.
    pub fn run(&self, video: &Video, truth: &Truth, watch: &Watch) -> Result<Done> {
        let key = self.cache.as_ref().and_then(|_| Cache::key(&video.path, &self.identity()));
        if let (Some(cache), Some(key)) = (&self.cache, &key)
            && let Some(reader) = cache.reader(key, self.facts.input.frame_len(), watch)
        {
            let damaged = reader.damaged();
            let length = Duration::from_nanos(reader.head.length);
            let stop = self.stop.child();
            let is_damaged =
                |failed: bool| damaged.load(Ordering::Acquire) || (failed && !cache.is_whole(key));
            let done =
                self.feed(video, truth, watch, length, Box::new(reader), stop, &is_damaged)?;
            match done {
                Some(done) => return Ok(done),
                None => cache.discard(key),
            }
        }
        let stop = self.stop.child();
        match self.open(video, watch, &stop) {
            Ok((source, length)) => {
                let feed = self.cut(source, length, watch);
                let feed = match (&self.cache, &key) {
                    (Some(cache), Some(key)) => feed.map(|feed| {
                        let head = Head::new(self.facts.input.frame_len(), length);
                        cache.recorder(key, head, feed, watch, &stop)
                    }),
                    _ => feed,
                };
                match feed {
                    Ok(feed) => self
                        .feed(video, truth, watch, length, feed, stop, &|_| false)?
                        .ok_or_else(|| Error::internal("replaying a video", "no cache was read")),
                    Err(error) => self.failed(video, truth, watch, error),
                }
            }
            Err(_) if self.stop.asked() => Ok(Done::Stopped),
            Err(error) => self.failed(video, truth, watch, error),
        }
    }

    fn identity(&self) -> Identity<'_> {
        // The clips of one recording differ with these; its stream of sampled
        // frames does not.
        let cut = self.views.separate().then_some((self.warm_up, self.predict.hop));
        let views = match self.views.separate() {
            true => self.views.to_string(),
            false => format!("stream {:?}", self.views.resample),
        };
        Identity { input: &self.facts.input, views, cut, max_gap: nanos(self.max_gap) }
    }

    /// Opens the recording; its length is zero where it is neither known nor
    /// needed.
    fn open(
        &self,
        video: &Video,
        watch: &Watch,
        stop: &Stop,
    ) -> Result<(Box<dyn Recording>, Duration)> {
        let mut source = self.source(video, stop)?;
        let announced = source.length()?;
        let needed = self.views.resample.is_some() || matches!(self.views.clips, Clips::Uniform(_));
        let length = match announced {
            Some(length) => length,
            None if needed => self.measure(video, stop)?,
            None => Duration::ZERO,
        };
        watch.set_length(length);
        Ok((source, length))
    }

    fn source(&self, video: &Video, stop: &Stop) -> Result<Box<dyn Recording>> {
        let want = Want {
            rate: self.facts.input.rate,
            colour: self.facts.input.colour,
            max_gap: self.max_gap,
            pictures: false,
        };
        // Nobody waits for a recording on a slow disk or a busy machine, as one
        // does for a camera.
        let spec = SourceSpec {
            timeout: Some(PATIENCE),
            isolate: self.isolate.clone(),
            ..SourceSpec::path(&video.path)
        };
        video::open_recording(&video.id, &spec, &want, Pace::Fast, stop)
    }

    /// Decodes the whole recording to see how long it is: for those whose
    /// container does not say.
    fn measure(&self, video: &Video, stop: &Stop) -> Result<Duration> {
        let mut source = self.source(video, stop)?;
        // A single tick, which comes at the end.
        source.sample_at(vec![Duration::MAX]);
        source.next(&mut crate::video::Frame::new(self.facts.input.colour))?;
        Ok(source.reach())
    }

    /// The source as the views want it.
    fn cut(
        &self,
        mut source: Box<dyn Recording>,
        length: Duration,
        watch: &Watch,
    ) -> Result<Box<dyn Feed>> {
        let input = &self.facts.input;
        let mut cuts = Cuts::Sliding { len: self.warm_up, hop: self.predict.hop };
        if let Some(frames) = self.views.resample {
            let rate = self.views.rate(input, length);
            let tick = |k: usize| Duration::from_secs_f64(k as f64 / rate);
            source.sample_at((0..frames).map(tick).collect());
        } else if let Clips::Uniform(count) = self.views.clips {
            let starts = Views::starts(count, input, length);
            let (times, clips) = ticks(&starts, self.warm_up, input.rate);
            source.sample_at(times);
            cuts = Cuts::Chosen(clips);
        }
        let source: Box<dyn FrameSource> = Box::new(Watched { source, watch: watch.clone() });
        Ok(match self.views.separate() {
            true => Box::new(Cutter::new(source, input, &self.views, cuts)?),
            false => Box::new(Preprocessed::new(source, input)?),
        })
    }

    /// Runs a session over `feed`, which heeds `stop`; `None` where the feed
    /// `is_damaged`, which is asked at its end with whether the session failed.
    #[expect(clippy::too_many_arguments, reason = "a video's whole state, used once")]
    fn feed(
        &self,
        video: &Video,
        truth: &Truth,
        watch: &Watch,
        length: Duration,
        feed: Box<dyn Feed>,
        stop: Stop,
        is_damaged: &dyn Fn(bool) -> bool,
    ) -> Result<Option<Done>> {
        let crops = u32::try_from(self.views.crops).unwrap_or(1);
        let collector = Collector::new(self.store.write(&video.id)?, crops);
        let mut model = self.facts.clone();
        model.input.rate = self.views.rate(&model.input, length);
        let session = Session {
            name: video.id.clone(),
            source: feed,
            classifier: self.model.classifier()?,
            model,
            predict: self.predict.clone(),
            truths: truth::track(truth)
                .map(|track| Truths::new(&video.id).with_track(track, LabelClock::Stream)),
            calibrate: None,
            accuracy: None,
            log: None,
            keeping: None,
            sinks: self.sinks.clone(),
            observer: Some(Box::new(collector.clone())),
            clock: Arc::new(SystemClock),
            stop,
            progress: Arc::new(Progress::default()),
        };
        let summary = session.run();
        let (writer, fault) = collector.into_parts()?;
        if let Some(fault) = fault {
            return Err(fault);
        }
        // What was read until then may be wrong, and is dropped with its writer.
        if is_damaged(summary.error.is_some()) {
            return Ok(None);
        }
        if self.stop.asked() {
            return Ok(Some(Done::Stopped));
        }
        if let Some(error) = summary.error {
            drop(writer);
            return self.failed(video, truth, watch, error).map(Some);
        }
        let header = self.header(video, truth, watch, &summary);
        let seconds = header.seconds;
        let tally = summary.score.as_ref().map_or_else(Tally::default, Tally::of);
        writer.finish(header)?;
        Ok(Some(Done::Well { seconds, clips: summary.predictions, tally }))
    }

    fn failed(&self, video: &Video, truth: &Truth, watch: &Watch, error: Error) -> Result<Done> {
        let header = VideoHeader {
            error: Some(error.to_string()),
            seconds: 0.0,
            ..self.header(video, truth, watch, &Summary::new(&video.id))
        };
        self.store.write(&video.id)?.finish(header)?;
        Ok(Done::Failed(error))
    }

    fn header(
        &self,
        video: &Video,
        truth: &Truth,
        watch: &Watch,
        summary: &Summary,
    ) -> VideoHeader {
        // Decoding ends early after the last clip that was chosen.
        let early = matches!(self.views.clips, Clips::Uniform(_)) || self.views.resample.is_some();
        let length = if early { watch.length().max(watch.reach()) } else { watch.reach() };
        VideoHeader {
            v: crate::report::store::FORMAT,
            video: video.id.clone(),
            path: absolute(&video.path),
            seconds: (length.as_secs_f64() * 1e6).round() / 1e6,
            frames: summary.frames,
            truth: truth.clone(),
            views: self.views.to_string(),
            clips: summary.predictions,
            error: None,
        }
    }
}

fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).to_string_lossy().into_owned()
}

/// All ticks of clips of `len` frames that begin at `starts`, each once and
/// ascending, and for each clip which of them are its own.
fn ticks(starts: &[Duration], len: usize, rate: f64) -> (Vec<Duration>, Vec<Vec<usize>>) {
    let at = |start: &Duration, j: usize| *start + Duration::from_secs_f64(j as f64 / rate);
    let mut times: Vec<Duration> =
        starts.iter().flat_map(|start| (0..len).map(move |j| at(start, j))).collect();
    times.sort();
    times.dedup();
    let index = |time: Duration| times.partition_point(|t| *t < time);
    let clips = starts.iter().map(|s| (0..len).map(|j| index(at(s, j))).collect()).collect();
    (times, clips)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clips_share_the_ticks_that_they_have_in_common() {
        let starts = [0.0, 0.25, 1.0].map(Duration::from_secs_f64);
        let (times, clips) = ticks(&starts, 3, 2.0);
        let times: Vec<f64> = times.iter().map(Duration::as_secs_f64).collect();
        assert_eq!(times, [0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0]);
        assert_eq!(clips, [[0, 2, 4], [1, 3, 5], [4, 6, 7]]);
    }

    #[test]
    fn clips_of_a_recording_that_is_too_short_are_the_same() {
        let (times, clips) = ticks(&[Duration::ZERO; 2], 2, 1.0);
        assert_eq!((times.len(), clips), (2, vec![vec![0, 1], vec![0, 1]]));
    }
}
