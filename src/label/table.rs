//! Comma-separated values (RFC 4180) with the place of each field.

use csv::{ReaderBuilder, StringRecord, Trim};

use super::fault::Broken;

/// The rows of a CSV text.
pub(super) struct Table<'t> {
    text: &'t str,
    delimiter: u8,
    reader: csv::Reader<&'t [u8]>,
    record: StringRecord,
}

/// One row. Fields are trimmed.
pub(super) struct Row<'a> {
    text: &'a str,
    delimiter: u8,
    start: usize,
    record: &'a StringRecord,
}

impl<'t> Table<'t> {
    /// Over `text` with fields set apart by `delimiter`.
    ///
    /// # Errors
    /// A quote that is never closed, or text after a closing quote: the rest of
    /// the file would silently become one field.
    pub fn new(text: &'t str, delimiter: u8) -> Result<Self, Broken> {
        check_quotes(text, delimiter)?;
        let reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(delimiter)
            .trim(Trim::All)
            .from_reader(text.as_bytes());
        Ok(Table { text, delimiter, reader, record: StringRecord::new() })
    }

    /// The next row that is not blank.
    pub fn next_row(&mut self) -> Result<Option<Row<'_>>, Broken> {
        loop {
            let start = usize::try_from(self.reader.position().byte()).unwrap_or(usize::MAX);
            let more = self
                .reader
                .read_record(&mut self.record)
                .map_err(|error| Broken::at(start, error.to_string()))?;
            if !more {
                return Ok(None);
            }
            if self.record.iter().any(|field| !field.is_empty()) {
                let rest = self.text.get(start..).unwrap_or_default();
                let blank = rest.len() - rest.trim_start_matches(['\r', '\n']).len();
                return Ok(Some(Row {
                    text: self.text,
                    delimiter: self.delimiter,
                    start: start + blank,
                    record: &self.record,
                }));
            }
        }
    }
}

impl<'a> Row<'a> {
    /// Field `i`, empty if there is none.
    pub fn get(&self, i: usize) -> &'a str {
        self.record.get(i).unwrap_or_default()
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.record.len()
    }

    /// All fields.
    pub fn fields(&self) -> impl Iterator<Item = &'a str> {
        self.record.iter()
    }

    /// The byte offset at which field `i` begins; for a field that is missing,
    /// the end of the row.
    pub fn at(&self, i: usize) -> usize {
        let rest = self.text.get(self.start..).unwrap_or_default().as_bytes();
        let (mut field, mut begun, mut begins) = (0, 0, true);
        // Whether the field began with a quote, and whether we are within quotes.
        let (mut opened, mut quoted) = (false, false);
        let mut end = rest.len();
        for (k, &byte) in rest.iter().enumerate() {
            if byte == b'"' && (begins || opened) {
                opened = true;
                quoted = !quoted;
            } else if !quoted && byte == self.delimiter {
                if field == i {
                    break;
                }
                field += 1;
                begun = k + 1;
                begins = true;
                opened = false;
                continue;
            } else if !quoted && matches!(byte, b'\r' | b'\n') {
                end = k;
                break;
            }
            begins = false;
        }
        if field < i {
            return self.start + end;
        }
        let space = rest[begun..end.max(begun)].iter().take_while(|b| **b == b' ').count();
        self.start + begun + space
    }

    /// A fault in field `i`.
    pub fn broken(&self, i: usize, fault: impl Into<String>) -> Broken {
        Broken::at(self.at(i), fault)
    }
}

fn check_quotes(text: &str, delimiter: u8) -> Result<(), Broken> {
    let bytes = text.as_bytes();
    let mut i = 0;
    let mut begins = true;
    while let Some(&byte) = bytes.get(i) {
        if begins && byte == b'"' {
            let opened = i;
            i += 1;
            loop {
                match (bytes.get(i), bytes.get(i + 1)) {
                    (None, _) => return Err(Broken::at(opened, "the quote is never closed")),
                    (Some(b'"'), Some(b'"')) => i += 2,
                    (Some(b'"'), after) => {
                        let ends = |b: &u8| *b == delimiter || matches!(b, b'\r' | b'\n');
                        if after.is_some_and(|b| !ends(b)) {
                            return Err(Broken::at(i + 1, "text after the closing quote"));
                        }
                        i += 1;
                        break;
                    }
                    _ => i += 1,
                }
            }
            begins = false;
        } else {
            begins = byte == delimiter || matches!(byte, b'\r' | b'\n');
            i += 1;
        }
    }
    Ok(())
}

/// The delimiter of a table: the one of comma, semicolon and tab that its first
/// line holds most of, outside quotes.
pub(super) fn delimiter(text: &str) -> u8 {
    let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let count = |delimiter: u8| {
        let mut quoted = false;
        line.bytes()
            .filter(|b| {
                quoted ^= *b == b'"';
                !quoted && *b == delimiter
            })
            .count()
    };
    // The last of equals wins: a comma, where nothing speaks for another.
    [b'\t', b';', b','].into_iter().max_by_key(|d| count(*d)).unwrap_or(b',')
}

/// A column's name as it is compared: lower case, letters and digits only.
pub(super) fn folded(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// The column that bears one of `names` (folded), the earliest name first.
pub(super) fn column(header: &[String], names: &[&str]) -> Option<usize> {
    names.iter().find_map(|name| header.iter().position(|h| folded(h) == *name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_trimmed_unquoted_and_know_their_place() {
        let text = "é.mp4, 1 ,\"x,\"\"y\"\"\",z\n\n  \nb,\"two\nlines\",3\n";
        let mut table = Table::new(text, b',').unwrap();
        let row = table.next_row().unwrap().unwrap();
        assert_eq!(row.fields().collect::<Vec<_>>(), ["é.mp4", "1", "x,\"y\"", "z"]);
        let at: Vec<_> = (0..5).map(|i| row.at(i)).collect();
        assert_eq!(at, [0, 8, 11, 21, 22]);
        assert_eq!(&text[21..22], "z");
        let row = table.next_row().unwrap().unwrap();
        assert_eq!(row.get(1), "two\nlines");
        assert_eq!(&text[row.at(2)..row.at(2) + 1], "3");
        assert!(table.next_row().unwrap().is_none());
    }

    #[test]
    fn broken_quotes_are_refused_where_they_stand() {
        assert_eq!(Table::new("a,\"b", b',').err().unwrap().at, Some(2));
        assert_eq!(Table::new("a,\"b\"c", b',').err().unwrap().at, Some(5));
        assert!(Table::new("a,6\" pipe,\"b\"\r\n", b',').is_ok());
    }

    #[test]
    fn the_delimiter_is_the_commonest() {
        assert_eq!(delimiter("a,b,c;d"), b',');
        assert_eq!(delimiter("\na;b;\"c,d,e,f\""), b';');
        assert_eq!(delimiter("a\tb"), b'\t');
        assert_eq!(delimiter("a"), b',');
    }
}
