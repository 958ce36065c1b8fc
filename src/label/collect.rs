//! Where readers put what they find.

use std::collections::BTreeMap;

use super::fault::{Broken, Fault};
use super::naming::path;
use super::options::ReadOptions;
use super::text::Lines;
use super::track::Span;
use super::truth::{Entry, Truth};

/// A longer label or video name is a file read in the wrong format.
const LONGEST_NAME: usize = 1000;
/// All labels of all spans together, in bytes: a small file can ask for very
/// many spans (each of its ranges with each of its labels).
const LARGEST: usize = 512 << 20;
/// Different labels that one recording as a whole can have.
const MOST_LABELS: usize = 10_000;
/// Other names that one file can have.
const MOST_ALTERNATES: usize = 16;
/// A file with more faults than this is not what it was taken for.
const MOST_FAULTS: usize = 1000;

/// What is known so far about each video.
pub(super) struct Collector {
    drafts: BTreeMap<String, Draft>,
    faults: Vec<Fault>,
    pending: Vec<(usize, String)>,
    offset: f64,
    strict: bool,
    held: usize,
}

#[derive(Default)]
struct Draft {
    whole: Vec<String>,
    spans: Vec<Span>,
    duration: Option<f64>,
    alternates: Vec<String>,
}

/// What came out: the entries in order of their names, for each the other names
/// under which its file may be found, and the faults.
pub(super) struct Collected {
    pub entries: Vec<Entry>,
    pub alternates: Vec<Vec<String>>,
    pub faults: Vec<Fault>,
}

impl Collector {
    pub fn new(options: &ReadOptions) -> Self {
        Collector {
            drafts: BTreeMap::new(),
            faults: Vec::new(),
            pending: Vec::new(),
            offset: options.offset,
            strict: options.strict,
            held: 0,
        }
    }

    /// A video is listed. `at` says where, for a fault.
    pub fn video(&mut self, video: &str, at: impl Fn() -> usize) -> Result<(), Broken> {
        self.draft(video, at).map(|_| ())
    }

    /// Its length in seconds is stated.
    pub fn duration(&mut self, video: &str, duration: f64) {
        if let Some(draft) = self.drafts.get_mut(&path(video)) {
            draft.duration = Some(duration);
        }
    }

    /// Its file may have this name too.
    pub fn alternate(&mut self, video: &str, name: String) {
        if let Some(draft) = self.drafts.get_mut(&path(video))
            && draft.alternates.len() < MOST_ALTERNATES
            && !draft.alternates.contains(&name)
        {
            draft.alternates.push(name);
        }
    }

    /// A label for the whole recording.
    pub fn whole(
        &mut self,
        video: &str,
        label: &str,
        at: impl Fn() -> usize,
    ) -> Result<(), Broken> {
        let label = self.label(label, &at)?;
        let draft = self.draft(video, &at)?;
        if !draft.spans.is_empty() {
            return Err(mixed(video, at()));
        }
        if draft.whole.contains(&label) {
            return Ok(());
        }
        if draft.whole.len() >= MOST_LABELS {
            let fault = format!("\"{video}\" has more than {MOST_LABELS} labels by now");
            return Err(Broken::at(at(), fault));
        }
        draft.whole.push(label);
        Ok(())
    }

    /// A label from `start` to before `end`, in seconds. A span that is empty or
    /// runs backwards is a fault.
    pub fn span(
        &mut self,
        video: &str,
        (start, end): (f64, f64),
        label: &str,
        at: impl Fn() -> usize,
    ) -> Result<(), Broken> {
        let label = self.label(label, &at)?;
        // The video is listed even where its span is left out.
        self.draft(video, &at)?;
        if end <= start {
            return self.fault(
                format!("\"{label}\" ends at {end} s, not after its start at {start} s"),
                at,
            );
        }
        let (start, end) = ((start + self.offset).max(0.0), end + self.offset);
        if end <= start {
            return self.fault(
                format!(
                    "\"{label}\" ends at {end} s, before the video begins (offset {} s)",
                    self.offset
                ),
                at,
            );
        }
        let draft = self.draft(video, &at)?;
        if !draft.whole.is_empty() {
            return Err(mixed(video, at()));
        }
        draft.spans.push(Span { start, end, label });
        Ok(())
    }

    /// Something that has to be left out.
    pub fn fault(&mut self, fault: String, at: impl Fn() -> usize) -> Result<(), Broken> {
        if self.strict {
            return Err(Broken::at(at(), fault));
        }
        if self.faults.len() + self.pending.len() >= MOST_FAULTS {
            return Err(Broken::at(
                at(),
                format!("more than {MOST_FAULTS} things are wrong by now, here: {fault}"),
            )
            .remedy("is it really of this format? Another can be forced (--format)"));
        }
        self.pending.push((at(), fault));
        Ok(())
    }

    /// The end of a file: its faults get line and column.
    pub fn end_of_file(&mut self, file: &str, bytes: &[u8]) {
        if self.pending.is_empty() {
            return;
        }
        let lines = Lines::new(bytes);
        for (at, fault) in self.pending.drain(..) {
            let (line, column) = lines.place(at);
            self.faults.push(Fault { file: file.to_owned(), line, column, fault });
        }
    }

    /// Everything, in order.
    pub fn finish(self) -> Collected {
        let mut collected = Collected {
            entries: Vec::with_capacity(self.drafts.len()),
            alternates: Vec::with_capacity(self.drafts.len()),
            faults: self.faults,
        };
        for (video, mut draft) in self.drafts {
            let truth = if draft.whole.is_empty() {
                draft.spans.sort_by(|a, b| {
                    a.start
                        .total_cmp(&b.start)
                        .then(a.end.total_cmp(&b.end))
                        .then_with(|| a.label.cmp(&b.label))
                });
                draft.spans.dedup();
                Truth::Spans(draft.spans)
            } else {
                Truth::Whole(draft.whole)
            };
            collected.entries.push(Entry { video, truth, duration: draft.duration });
            collected.alternates.push(draft.alternates);
        }
        collected
    }

    fn draft(&mut self, video: &str, at: impl Fn() -> usize) -> Result<&mut Draft, Broken> {
        let video = path(video);
        if video.is_empty() {
            return Err(Broken::at(at(), "the video has no name"));
        }
        if !self.drafts.contains_key(&video) {
            self.hold(&video, "the name of a video", &at)?;
        }
        Ok(self.drafts.entry(video).or_default())
    }

    fn label(&mut self, label: &str, at: impl Fn() -> usize) -> Result<String, Broken> {
        let label = label.trim();
        if label.is_empty() {
            return Err(Broken::at(at(), "the label is empty"));
        }
        self.hold(label, "a label", &at)?;
        Ok(label.to_owned())
    }

    fn hold(&mut self, text: &str, what: &str, at: impl Fn() -> usize) -> Result<(), Broken> {
        if text.len() > LONGEST_NAME {
            let fault =
                format!("{what} of {} bytes; at most {LONGEST_NAME} make sense", text.len());
            return Err(Broken::at(at(), fault));
        }
        self.held += text.len() + size_of::<Span>();
        if self.held > LARGEST {
            return Err(Broken::at(
                at(),
                format!("the labels up to here take more than {} MiB", LARGEST >> 20),
            ));
        }
        Ok(())
    }
}

fn mixed(video: &str, at: usize) -> Broken {
    Broken::at(
        at,
        format!("\"{video}\" has labels for the whole recording and labels for parts of it"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collector(offset: f64) -> Collector {
        Collector::new(&ReadOptions { offset, ..Default::default() })
    }

    #[test]
    fn impossible_spans_are_faults_with_their_place() {
        let mut collector = collector(0.0);
        collector.span("a", (2.0, 1.0), "x", || 5).unwrap();
        collector.end_of_file("f.csv", b"abc\ndef\n");
        let collected = collector.finish();
        assert_eq!(
            collected.faults[0].to_string(),
            "f.csv, line 2, column 2: \"x\" ends at 1 s, not after its start at 2 s"
        );
        assert_eq!(collected.entries[0].truth, Truth::Spans(vec![]));
    }

    #[test]
    fn an_offset_cuts_what_lies_before_the_video() {
        let mut collector = collector(-10.0);
        collector.span("a", (5.0, 12.0), "x", || 0).unwrap();
        collector.span("a", (5.0, 9.0), "y", || 0).unwrap();
        assert_eq!(collector.pending.len(), 1);
        let entries = collector.finish().entries;
        let spans = vec![Span { start: 0.0, end: 2.0, label: "x".into() }];
        assert_eq!(entries[0].truth, Truth::Spans(spans));
    }

    #[test]
    fn whole_and_part_do_not_mix_and_names_have_a_length() {
        let mut collector = collector(0.0);
        collector.whole("a", "x", || 0).unwrap();
        assert!(collector.span("a", (0.0, 1.0), "x", || 7).unwrap_err().at == Some(7));
        assert!(collector.whole("a", &"x".repeat(2000), || 0).is_err());
        assert!(collector.whole("", "x", || 0).is_err());
        assert!(collector.whole("a", " ", || 0).is_err());
    }

    #[test]
    fn too_many_faults_are_an_error() {
        let mut collector = collector(0.0);
        let outcome = (0..2000).try_for_each(|i| collector.span("a", (1.0, 1.0), "x", || i));
        assert!(outcome.unwrap_err().fault.contains("1000"));
    }
}
