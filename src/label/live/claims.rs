//! Claims as they are sent: JSON or CSV.

use serde_json::{Map, Value};

use super::claim::{Claim, Refusal};
use crate::label::options::LabelClock;
use crate::label::seconds;
use crate::label::table::{self, Table};
use crate::label::text::{self, Lines};
use crate::label::wall;
use crate::nearest::nearest;

const KEYS: [&str; 4] = ["label", "start", "end", "clock"];
const JSON: &str =
    "send {\"label\": \"…\", \"start\": 12.5, \"end\": 14}, or a list of such objects";
const CSV: &str = "send the header label,start,end and a line for each label";

/// What was sent together, as far as it can be read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Claims {
    /// Each with its place, from 1.
    pub claims: Vec<(usize, Claim)>,
    /// The places that hold no claim, and why.
    pub unreadable: Vec<(usize, Refusal)>,
    /// What a place counts: `item`s of a list, or `line`s.
    pub unit: &'static str,
}

impl Claims {
    /// An object, or a list of objects, with the keys `label`, `start`, `end` and
    /// `clock`. A time is a number of seconds, RFC 3339, or `HH:MM:SS.s`. Where no
    /// clock is named it is `clock`, unless a time is in RFC 3339.
    ///
    /// # Errors
    /// The text is something else.
    pub fn from_json(bytes: &[u8], clock: LabelClock) -> Result<Claims, Refusal> {
        let value: Value = serde_json::from_slice(plain(bytes))
            .map_err(|error| Refusal::invalid(format!("it is no JSON: {error}"), JSON))?;
        let mut claims = Claims { unit: "item", ..Claims::default() };
        match &value {
            Value::Array(items) => {
                for (i, item) in items.iter().enumerate() {
                    claims.add(i + 1, from_object(item, clock));
                }
            }
            item => claims.add(1, from_object(item, clock)),
        }
        claims.any(JSON)
    }

    /// A table with a header that has columns for label, start and end, in any
    /// order, and perhaps one for the clock. Otherwise as [`Claims::from_json`].
    ///
    /// # Errors
    /// The text is something else.
    pub fn from_csv(bytes: &[u8], clock: LabelClock) -> Result<Claims, Refusal> {
        let bytes = plain(bytes);
        let lines = Lines::new(bytes);
        let wrong = |at: usize, fault: &str| {
            let (line, column) = lines.place(at);
            Refusal::invalid(format!("line {line}, column {column}: {fault}"), CSV)
        };
        let broken =
            |broken: crate::label::fault::Broken| wrong(broken.at.unwrap_or(0), &broken.fault);
        let text = text::decode(bytes).map_err(broken)?;
        let mut table = Table::new(text, table::delimiter(text)).map_err(broken)?;
        let header: Vec<String> = match table.next_row().map_err(broken)? {
            Some(row) => row.fields().map(str::to_owned).collect(),
            None => return Err(Refusal::invalid("it is empty", CSV)),
        };
        let column = |name: &str| table::column(&header, &[name]);
        let (Some(label), Some(start), Some(end)) =
            (column("label"), column("start"), column("end"))
        else {
            return Err(wrong(0, "the header names no label, start or end"));
        };
        let on = column("clock");
        let mut claims = Claims { unit: "line", ..Claims::default() };
        while let Some(row) = table.next_row().map_err(broken)? {
            let place = lines.place(row.at(0)).0;
            if row.len() != header.len() {
                let fault = format!(
                    "expected {} fields as in the header, found {}",
                    header.len(),
                    row.len()
                );
                claims.add(place, Err(Refusal::invalid(fault, CSV)));
                continue;
            }
            let field = |i: usize| Some(row.get(i)).filter(|text| !text.is_empty());
            claims.add(
                place,
                claim(
                    field(label).map(str::to_owned),
                    field(start).map(Time::Text),
                    field(end).map(Time::Text),
                    on.and_then(field),
                    clock,
                ),
            );
        }
        claims.any(CSV)
    }

    fn add(&mut self, place: usize, claim: Result<Claim, Refusal>) {
        match claim {
            Ok(claim) => self.claims.push((place, claim)),
            Err(refusal) => self.unreadable.push((place, refusal)),
        }
    }

    fn any(self, remedy: &str) -> Result<Claims, Refusal> {
        if self.claims.is_empty() && self.unreadable.is_empty() {
            return Err(Refusal::invalid("it holds no labels", remedy));
        }
        Ok(self)
    }
}

/// Without a byte order mark, from behind which places are counted.
fn plain(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

/// A time as it is sent.
#[derive(Clone, Copy)]
enum Time<'a> {
    Number(f64),
    Text(&'a str),
}

fn from_object(value: &Value, clock: LabelClock) -> Result<Claim, Refusal> {
    let Value::Object(object) = value else {
        return Err(Refusal::invalid("it is no object", JSON));
    };
    if let Some(key) = object.keys().find(|key| !KEYS.contains(&key.as_str())) {
        let near = nearest(key, KEYS).map(|near| format!("write \"{near}\"?"));
        let shown: String = key.chars().take(60).collect();
        let remedy = near.unwrap_or_else(|| format!("the keys are {}", KEYS.join(", ")));
        return Err(Refusal::invalid(format!("the key \"{shown}\" is not known"), remedy));
    }
    let label = match object.get("label") {
        None | Some(Value::Null) => None,
        Some(Value::String(label)) => Some(label.clone()),
        // A class by its index.
        Some(Value::Number(index)) if index.is_u64() => Some(index.to_string()),
        Some(_) => return Err(Refusal::invalid("the label is no text", JSON)),
    };
    let on = match object.get("clock") {
        None | Some(Value::Null) => None,
        Some(on) => Some(on.as_str().unwrap_or_default()),
    };
    claim(label, time(object, "start")?, time(object, "end")?, on, clock)
}

fn time<'a>(object: &'a Map<String, Value>, key: &str) -> Result<Option<Time<'a>>, Refusal> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(Time::Text(text))),
        Some(value) => match value.as_f64() {
            Some(number) => Ok(Some(Time::Number(number))),
            None => Err(Refusal::invalid(format!("the {key} is no time"), JSON)),
        },
    }
}

fn claim(
    label: Option<String>,
    start: Option<Time<'_>>,
    end: Option<Time<'_>>,
    on: Option<&str>,
    default: LabelClock,
) -> Result<Claim, Refusal> {
    let of_day = |time: &Option<Time<'_>>| matches!(time, Some(Time::Text(text)) if wall::from_rfc3339(text).is_some());
    let clock = match on {
        Some("stream") => LabelClock::Stream,
        Some("wall") => LabelClock::Wall,
        Some(other) => {
            let shown: String = other.chars().take(60).collect();
            let fault = format!("the clock \"{shown}\" is not known");
            return Err(Refusal::invalid(fault, "write \"stream\" or \"wall\""));
        }
        None if of_day(&start) || of_day(&end) => LabelClock::Wall,
        None => default,
    };
    let read = |what: &str, time: Option<Time<'_>>| {
        time.map(|time| seconds_of(time, clock))
            .transpose()
            .map_err(|fault| Refusal::invalid(format!("the {what}: {fault}"), JSON))
    };
    Ok(Claim { label, start: read("start", start)?, end: read("end", end)?, clock })
}

fn seconds_of(time: Time<'_>, clock: LabelClock) -> Result<f64, String> {
    match (clock, time) {
        (LabelClock::Wall, Time::Number(number)) => wall::from_number(number),
        (LabelClock::Wall, Time::Text(text)) => wall::from_text(short(text), 1.0),
        // Whether it makes sense is for the board to say.
        (LabelClock::Stream, Time::Number(number)) => Ok(number),
        (LabelClock::Stream, Time::Text(text)) => {
            let number = text.trim().parse().ok();
            number.or_else(|| seconds::clock(text)).ok_or_else(|| {
                format!("\"{}\" is no time; expected seconds, such as 12.5", short(text))
            })
        }
    }
}

/// No time is longer, and nobody wants to read more of what is none.
fn short(text: &str) -> &str {
    text.char_indices().nth(60).map_or(text, |(end, _)| text.get(..end).unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: LabelClock = LabelClock::Stream;
    const WALL: LabelClock = LabelClock::Wall;

    fn said(label: &str, start: f64, end: f64, clock: LabelClock) -> Claim {
        Claim { label: Some(label.into()), start: Some(start), end: Some(end), clock }
    }

    fn one(json: &str) -> Claim {
        let claims = Claims::from_json(json.as_bytes(), STREAM).unwrap();
        assert!(claims.unreadable.is_empty() && claims.claims.len() == 1, "{claims:?}");
        claims.claims[0].1.clone()
    }

    #[test]
    fn json_is_an_object_or_a_list() {
        let wave = said("wave", 1.0, 2.5, STREAM);
        assert_eq!(one(r#"{"label": "wave", "start": 1, "end": 2.5}"#), wave);
        assert_eq!(one(r#"[{"label": "wave", "start": "1", "end": "00:00:02.5"}]"#), wave);
        assert_eq!(one(r#"{"label": 3, "start": 1, "end": 2}"#).label.as_deref(), Some("3"));
        assert_eq!(one(r#"{"label": "x", "start": 1, "end": null}"#).end, None);
        assert_eq!(one(r#"{"end": 4}"#).label, None);
        let two = Claims::from_json(br#"[{"label": "a"}, 7, {"lable": "b"}]"#, STREAM).unwrap();
        assert_eq!(two.claims.len(), 1);
        let places: Vec<_> = two.unreadable.iter().map(|(place, _)| *place).collect();
        assert_eq!((places, two.unit), (vec![2, 3], "item"));
        assert!(two.unreadable[1].1.remedy.contains("\"label\""));
    }

    #[test]
    fn a_time_of_day_needs_no_clock_to_be_named() {
        let wave = said("wave", 1_795_339_802.0, 1_795_339_804.5, WALL);
        assert_eq!(
            one(r#"{"label": "wave", "start": "2026-11-22T09:30:02Z", "end": 1795339804.5}"#),
            wave
        );
        assert_eq!(
            one(r#"{"label": "wave", "start": 1795339802, "end": 1795339804.5, "clock": "wall"}"#),
            wave
        );
        let csv = b"label,start,end\nwave,1795339802,2026-11-22T09:30:04.5Z\n";
        assert_eq!(Claims::from_csv(csv, STREAM).unwrap().claims, [(2, wave.clone())]);
        let csv = b"end;label;clock;start\n1795339804.5;wave;wall;1795339802\n";
        assert_eq!(Claims::from_csv(csv, STREAM).unwrap().claims, [(2, wave)]);
        let stream = br#"{"label": "wave", "start": 1, "end": 2, "clock": "stream"}"#;
        assert_eq!(Claims::from_json(stream, WALL).unwrap().claims[0].1.clock, STREAM);
    }

    #[test]
    fn a_line_that_cannot_be_read_is_named_and_the_others_count() {
        let csv = "\u{feff}label,start,end\n\nwave,1,2\nwave,one,2\nwave,1\n\"nod, off\",3,\n";
        let claims = Claims::from_csv(csv.as_bytes(), STREAM).unwrap();
        assert_eq!(claims.claims.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [3, 6]);
        assert_eq!(claims.claims[1].1.label.as_deref(), Some("nod, off"));
        assert_eq!(claims.claims[1].1.end, None);
        assert_eq!(claims.unreadable.iter().map(|(l, _)| *l).collect::<Vec<_>>(), [4, 5]);
        assert!(claims.unreadable[0].1.fault.contains("\"one\" is no time"));
    }

    #[test]
    fn what_is_neither_is_refused() {
        for (json, why) in
            [("", "no JSON"), ("{", "no JSON"), ("[]", "no labels"), (&"[".repeat(1000), "no JSON")]
        {
            let refusal = Claims::from_json(json.as_bytes(), STREAM).unwrap_err();
            assert!(refusal.fault.contains(why), "{json}: {refusal:?}");
        }
        for (csv, why) in [
            (&b""[..], "empty"),
            (b"wave,1,2\n", "header"),
            (b"label,start\nx,1\n", "header"),
            (b"label,start,end\n", "no labels"),
            (b"label,start,end\n\"x,1,2\n", "never closed"),
            (b"label,start,end\n\xff,1,2\n", "line 2"),
        ] {
            let refusal = Claims::from_csv(csv, STREAM).unwrap_err();
            assert!(refusal.fault.contains(why), "{refusal:?}");
        }
        for item in [
            r#"{"label": ["a"], "start": 1}"#,
            r#"{"label": "a", "start": true}"#,
            r#"{"label": "a", "start": "noon"}"#,
            r#"{"label": "a", "start": 1, "clock": "sun"}"#,
            r#"{"label": "a", "start": 1, "clock": 4}"#,
            r#"{"label": "a", "start": 12, "clock": "wall"}"#,
            r#"{"label": -1, "start": 12}"#,
        ] {
            let claims = Claims::from_json(item.as_bytes(), STREAM).unwrap();
            assert_eq!((claims.claims.len(), claims.unreadable.len()), (0, 1), "{item}");
        }
    }
}
