//! Our own CSV, and any other with a header.
//!
//! Ours has the header `video,start,end,label`: RFC 4180 quoting, one label a
//! row, start and end in seconds or as clock times (`00:01:02.5`), the end not
//! included. `kinewatch synth` writes it.
//!
//! Any CSV with a header is read the same way if one column can be recognised as
//! the video's (`video`, `file`, `path` …) and one as the label's (`label`,
//! `class`, `action` …). Columns for start and end are used where there are any
//! (`start`, `start_time`, `begin` …; `start_ms` is milliseconds); without them a
//! label holds for the whole recording. A table of label, start and end alone is
//! about the video of its own name. Times may be times of day (RFC 3339, or
//! seconds since 1970) where the options say so. The delimiter may be a comma, a
//! semicolon or a tab.

use super::Source;
use crate::label::collect::Collector;
use crate::label::fault::Broken;
use crate::label::options::LabelClock;
use crate::label::seconds;
use crate::label::table::{self, Row, Table};
use crate::label::wall;

/// Folded names of columns, the likeliest first.
const VIDEO: [&str; 18] = [
    "video",
    "videopath",
    "videoname",
    "videofile",
    "videofilename",
    "file",
    "filename",
    "filepath",
    "path",
    "relativepath",
    "clip",
    "clipname",
    "clippath",
    "videoid",
    "clipid",
    "recording",
    "name",
    "id",
];
const LABEL: [&str; 15] = [
    "label",
    "labels",
    "labelname",
    "class",
    "classname",
    "classes",
    "category",
    "action",
    "activity",
    "groundtruth",
    "event",
    "gloss",
    "tag",
    "sign",
    "verb",
];
const START: [&str; 10] = [
    "start",
    "starttime",
    "starts",
    "startsec",
    "startseconds",
    "tstart",
    "timestart",
    "begin",
    "begintime",
    "onset",
];
const END: [&str; 11] = [
    "end",
    "endtime",
    "ends",
    "endsec",
    "endseconds",
    "tend",
    "timeend",
    "stop",
    "stoptime",
    "finish",
    "offset",
];
const DURATION: [&str; 5] = ["duration", "seconds", "length", "lengthseconds", "durationseconds"];
const SPLIT: [&str; 3] = ["split", "subset", "partition"];

pub(in super::super) const OURS: &str = "video,start,end,label";

/// Which column holds what.
struct Columns {
    /// None where the file's name is the video's.
    video: Option<usize>,
    label: usize,
    times: Option<Times>,
    duration: Option<usize>,
    split: Option<usize>,
    count: usize,
}

struct Times {
    start: usize,
    end: usize,
    /// What a number is multiplied with to be seconds.
    scale: f64,
}

/// The column of the video's name.
pub(in super::super) fn video_column(header: &[String]) -> Option<usize> {
    table::column(header, &VIDEO)
}

/// The column of the video's length in seconds.
pub(in super::super) fn duration_column(header: &[String]) -> Option<usize> {
    table::column(header, &DURATION)
}

/// Whether these fields are a header that this reader understands.
pub(in super::super) fn is_header(fields: &[String]) -> bool {
    let has = |names: &[&str]| table::column(fields, names).is_some();
    let timed = |names: &[&str]| has(names) || milliseconds(fields, names).is_some();
    has(&LABEL) && (has(&VIDEO) || fields.len() == 3 && timed(&START) && timed(&END))
}

/// The column with one of these names and `ms` behind it.
fn milliseconds(header: &[String], names: &[&str]) -> Option<usize> {
    header.iter().position(|name| {
        let name = table::folded(name);
        name.strip_suffix("ms").is_some_and(|name| names.contains(&name))
    })
}

pub(super) fn read(source: &Source<'_>, out: &mut Collector) -> Result<(), Broken> {
    let mut table = Table::new(source.text, table::delimiter(source.text))?;
    let Some(row) = table.next_row()? else {
        return Err(Broken::at(0, format!("it is empty; expected the header {OURS}")));
    };
    let columns = Columns::of(&row, source.options.column.as_deref())?;
    let mut rows = 0usize;
    while let Some(row) = table.next_row()? {
        rows += 1;
        columns.row(&row, source, out)?;
    }
    if rows == 0 {
        return Err(Broken::whole("it holds no labels, only a header"));
    }
    Ok(())
}

impl Columns {
    fn of(row: &Row<'_>, label: Option<&str>) -> Result<Columns, Broken> {
        let header: Vec<String> = row.fields().map(str::to_owned).collect();
        let missing = |what: &str| {
            Broken::at(
                row.at(0),
                format!(
                    "expected the header {OURS}, or another that names the video and the label; none of \"{}\" names the {what}",
                    header.join("\", \"")
                ),
            )
        };
        let label = match label {
            Some(name) => {
                let found = table::column(&header, &[&table::folded(name)]);
                found.ok_or_else(|| missing(&format!("label (\"{name}\" was asked for)")))?
            }
            None => table::column(&header, &LABEL).ok_or_else(|| missing("label"))?,
        };
        let video = table::column(&header, &VIDEO).filter(|video| *video != label);
        let times = Times::of(&header, row)?;
        // Of any more columns one may well be the video's, by a name of its own.
        if video.is_none() && (times.is_none() || header.len() > 3) {
            return Err(missing("video"));
        }
        Ok(Columns {
            video,
            label,
            times,
            duration: duration_column(&header),
            split: table::column(&header, &SPLIT),
            count: header.len(),
        })
    }

    fn row(&self, row: &Row<'_>, source: &Source<'_>, out: &mut Collector) -> Result<(), Broken> {
        if row.len() != self.count {
            return Err(row.broken(
                self.count,
                format!("expected {} fields as in the header, found {}", self.count, row.len()),
            ));
        }
        if self.split.is_some_and(|split| !source.options.wants_split(row.get(split))) {
            return Ok(());
        }
        let at = |i: usize| move || row.at(i);
        let video = match self.video {
            Some(column) => row.get(column),
            None => source.stem(),
        };
        out.video(video, at(self.video.unwrap_or(0)))?;
        if let Some(column) = self.duration
            && let Some(duration) = seconds::seconds_or_clock(row.get(column))
        {
            out.duration(video, duration);
        }
        let label = row.get(self.label);
        let label = if is_number(label) { source.class(label, at(self.label))? } else { label };
        let Some(times) = &self.times else {
            return out.whole(video, label, at(self.label));
        };
        // A row without any time speaks of the whole recording.
        if row.get(times.start).is_empty() && row.get(times.end).is_empty() {
            return out.whole(video, label, at(self.label));
        }
        let clock = source.options.clock;
        let start = times.read(row, times.start, "start", clock)?;
        let end = times.read(row, times.end, "end", clock)?;
        // This file is its user's own: what is wrong in it is refused, not left out.
        if end <= start {
            return Err(row.broken(
                times.end,
                format!("the span ends at {end} s, not after its start at {start} s"),
            ));
        }
        out.span(video, (start, end), label, at(self.label))
    }
}

impl Times {
    fn of(header: &[String], row: &Row<'_>) -> Result<Option<Times>, Broken> {
        let pairs = [
            (table::column(header, &START), table::column(header, &END), 1.0),
            (milliseconds(header, &START), milliseconds(header, &END), 1e-3),
        ];
        for (start, end, scale) in pairs {
            match (start, end) {
                (Some(start), Some(end)) => return Ok(Some(Times { start, end, scale })),
                (Some(lone), None) => {
                    return Err(row.broken(lone, "there is a start, but no column for the end"));
                }
                _ => {}
            }
        }
        // A time in a unit that is not known here must not become "always".
        let odd = header.iter().position(|name| {
            let name = table::folded(name);
            ["start", "end", "begin", "stop"].iter().any(|word| name.starts_with(word))
        });
        match odd {
            Some(odd) => Err(row.broken(
                odd,
                format!(
                    "\"{}\" looks like a time in a unit that is not known; expected start and end (seconds) or start_ms and end_ms",
                    header[odd]
                ),
            )),
            None => Ok(None),
        }
    }

    fn read(&self, row: &Row<'_>, i: usize, what: &str, clock: LabelClock) -> Result<f64, Broken> {
        let text = row.get(i);
        if clock == LabelClock::Wall {
            return wall::from_text(text, self.scale)
                .map_err(|fault| row.broken(i, format!("{what}: {fault}")));
        }
        let value = match seconds::clock(text) {
            Some(clock) => Some(clock),
            None => text.parse::<f64>().ok().map(|n| n * self.scale).filter(|s| seconds::sound(*s)),
        };
        value.ok_or_else(|| {
            row.broken(i, format!("{what} is \"{text}\"; expected seconds, such as 12.5"))
        })
    }
}

/// Whether a label is a class's index.
pub(super) fn is_number(label: &str) -> bool {
    !label.is_empty() && label.bytes().all(|b| b.is_ascii_digit())
}
