//! `clips.csv` and `videos.csv`: a line a clip, a line a video, the best five
//! classes in each.

use std::path::Path;

use super::store::AtomicFile;
use crate::error::{Error, Result};

/// Classes listed.
pub(super) const LISTED: usize = 5;

/// A table that is written line by line and is there when it is whole.
pub(super) struct Table {
    doing: String,
    writer: csv::Writer<AtomicFile>,
}

impl Table {
    /// Begins the file `path`; after the columns that every table has come `more`.
    pub fn create(path: &Path, more: &[&str]) -> Result<Self> {
        let doing = format!("writing \"{}\"", path.display());
        let file = AtomicFile::create(path).map_err(|e| Error::unavailable(&doing, e))?;
        let mut table = Table { doing, writer: csv::Writer::from_writer(file) };
        let mut header = vec!["id".to_owned(), "ground_truth".to_owned()];
        header.extend((1..=LISTED).map(|k| format!("pred_{k}")));
        header.extend((1..=LISTED).map(|k| format!("score_{k}")));
        header.extend(more.iter().map(|&name| name.to_owned()));
        table.line(&header)?;
        Ok(table)
    }

    /// Adds a line. `top` holds class names and scores, best first; places that
    /// it does not fill stay empty.
    pub fn add(
        &mut self,
        id: &str,
        truth: &str,
        top: &[(&str, f64)],
        more: impl IntoIterator<Item = String>,
    ) -> Result<()> {
        let mut line = vec![id.to_owned(), truth.to_owned()];
        let place = |k: usize| top.get(k);
        line.extend(
            (0..LISTED).map(|k| place(k).map_or(String::new(), |(name, _)| (*name).into())),
        );
        line.extend(
            (0..LISTED).map(|k| place(k).map_or(String::new(), |(_, p)| format!("{p:.6}"))),
        );
        line.extend(more);
        self.line(&line)
    }

    /// Puts the file in its place.
    pub fn finish(self) -> Result<()> {
        let doing = self.doing;
        let file =
            self.writer.into_inner().map_err(|error| Error::unavailable(&doing, error.error()))?;
        file.commit().map_err(|error| Error::unavailable(&doing, error))
    }

    fn line(&mut self, fields: &[String]) -> Result<()> {
        self.writer.write_record(fields).map_err(|error| Error::unavailable(&self.doing, error))
    }
}

/// Seconds to the microsecond, without zeros at the end.
pub(super) fn seconds(t: f64) -> String {
    format!("{}", (t * 1e6).round() / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_are_those_of_the_field_and_quotes_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.csv");
        let mut table = Table::create(&path, &["t"]).unwrap();
        table.add("a,b", "x|\"y\"", &[("x", 0.75), ("y", 0.25)], [seconds(0.1 + 0.2)]).unwrap();
        assert!(!path.exists());
        table.finish().unwrap();
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "id,ground_truth,pred_1,pred_2,pred_3,pred_4,pred_5,score_1,score_2,score_3,score_4,score_5,t\n\
             \"a,b\",\"x|\"\"y\"\"\",x,y,,,,0.750000,0.250000,,,,0.3\n"
        );
    }
}
