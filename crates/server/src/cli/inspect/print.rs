//! How answers are written: plain columns for people, one JSON document for programs.

use std::fmt::Write as _;
use std::io::{self, BufWriter, Write};
use std::time::Duration;

use pki::Timestamp;
use serde_json::Value;

use super::Failure;

/// Rows whose columns are aligned with each other; more are not kept.
const ROWS: usize = 500;
/// Names shown in a row; the others are counted.
const NAMES: usize = 3;

/// Where answers go. Whoever reads them may stop reading: nothing is written then, and that is no failure.
pub(super) struct Paper<'a> {
    out: BufWriter<&'a mut dyn Write>,
    failed: Option<io::Error>,
}

impl<'a> Paper<'a> {
    pub(super) fn new(out: &'a mut dyn Write) -> Self {
        Self { out: BufWriter::new(out), failed: None }
    }

    pub(super) fn line(&mut self, text: &str) {
        self.text(text);
        self.text("\n");
    }

    pub(super) fn text(&mut self, text: &str) {
        if self.failed.is_none() {
            self.failed = self.out.write_all(text.as_bytes()).err();
        }
    }

    /// What was written so far is shown before anything else is.
    pub(super) fn flush(&mut self) {
        if self.failed.is_none() {
            self.failed = self.out.flush().err();
        }
    }

    /// One JSON document.
    pub(super) fn json(&mut self, value: &Value) {
        self.line(&format!("{value:#}"));
    }

    /// Whether nobody reads any more.
    pub(super) const fn is_torn(&self) -> bool {
        self.failed.is_some()
    }

    /// # Errors
    /// It could not be written, and not since its reader had enough.
    pub(super) fn finish(mut self) -> Result<(), Failure> {
        let failed = self.failed.take().or_else(|| self.out.flush().err());
        match failed {
            Some(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(Failure::Failed(format!("the answer can't be written: {error}")))
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// A list of any length, written as it comes: aligned columns, or an array of JSON objects.
pub(super) struct Listing<'a, 'b> {
    paper: &'a mut Paper<'b>,
    columns: Columns,
    json: bool,
    items: u64,
}

impl<'a, 'b> Listing<'a, 'b> {
    pub(super) fn new(paper: &'a mut Paper<'b>, json: bool, headers: &[&str]) -> Self {
        if json {
            paper.text("[");
        }
        Self { paper, columns: Columns::new(headers), json, items: 0 }
    }

    /// Adds one, in the form that is asked for.
    pub(super) fn push(&mut self, row: impl FnOnce() -> Vec<String>, json: impl FnOnce() -> Value) {
        if self.json {
            self.paper.text(if self.items == 0 { "\n" } else { ",\n" });
            self.paper.text(&json().to_string());
        } else {
            self.columns.rows.push(row());
            if self.columns.rows.len() >= ROWS {
                self.columns.flush(self.paper);
            }
        }
        self.items += 1;
    }

    pub(super) const fn is_torn(&self) -> bool {
        self.paper.is_torn()
    }

    /// Ends the list; an empty one says so.
    pub(super) fn end(mut self, empty: &str) {
        if self.json {
            self.paper.line(if self.items == 0 { "]" } else { "\n]" });
        } else if self.items == 0 {
            self.paper.line(empty);
        } else {
            self.columns.flush(self.paper);
        }
    }
}

struct Columns {
    headers: Option<Vec<String>>,
    widths: Vec<usize>,
    rows: Vec<Vec<String>>,
}

impl Columns {
    fn new(headers: &[&str]) -> Self {
        let headers: Vec<String> = headers.iter().map(|header| header.to_uppercase()).collect();
        Self { widths: vec![0; headers.len()], headers: Some(headers), rows: Vec::new() }
    }

    fn flush(&mut self, paper: &mut Paper<'_>) {
        let rows: Vec<Vec<String>> = self.headers.take().into_iter().chain(self.rows.drain(..)).collect();
        for (at, width) in self.widths.iter_mut().enumerate() {
            let widest = rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max();
            *width = widest.unwrap_or(0).max(*width);
        }
        for row in &rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&self.widths) {
                // Writing to a String never fails.
                let _written = write!(line, "{cell:<width$}  ");
            }
            paper.line(line.trim_end());
        }
    }
}

/// What is known of one thing, a line each.
#[derive(Default)]
pub(super) struct Facts {
    lines: Vec<(String, String)>,
}

impl Facts {
    pub(super) fn add(&mut self, label: &str, value: impl Into<String>) {
        self.lines.push((label.to_owned(), value.into()));
    }

    pub(super) fn write(&self, paper: &mut Paper<'_>) {
        let width = self.lines.iter().map(|(label, _)| label.chars().count()).max().unwrap_or(0);
        for (label, value) in &self.lines {
            paper.line(format!("{label:<width$}  {value}").trim_end());
        }
    }
}

/// A time, or a dash.
pub(super) fn time_or_dash(time: Option<Timestamp>) -> String {
    time.map_or_else(|| "-".to_owned(), Timestamp::to_rfc3339)
}

/// A time for programs, to the millisecond; `null` if there is none.
pub(super) fn json_time(time: impl Into<Option<Timestamp>>) -> Value {
    time.into().map_or(Value::Null, |time| Value::String(time.to_rfc3339_millis()))
}

/// A duration in its two largest units: `3 m 12 s`.
pub(super) fn duration(duration: Duration) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let seconds = duration.as_secs();
    let Some(first) = UNITS.iter().position(|(unit, _)| seconds >= *unit) else { return "0 s".to_owned() };
    let (unit, name) = UNITS[first];
    let text = format!("{} {name}", seconds / unit);
    match UNITS.get(first + 1) {
        Some((next, next_name)) if seconds % unit / next > 0 => format!("{text} {} {next_name}", seconds % unit / next),
        Some(_) | None => text,
    }
}

/// Names in a row: the first few, and how many more there are.
pub(super) fn names_in_short(names: impl IntoIterator<Item = String>) -> String {
    let mut names = names.into_iter();
    let shown: Vec<String> = names.by_ref().take(NAMES).collect();
    match names.count() {
        0 => shown.join(" "),
        more => format!("{} +{more}", shown.join(" ")),
    }
}

/// Says that there is more than was asked for.
pub(super) fn note_limit(cut: bool, limit: u32) {
    if cut {
        eprintln!("cairn: the first {limit} are shown; --limit shows more");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Paper<'_>)) -> String {
        let mut out = Vec::new();
        let mut paper = Paper::new(&mut out);
        write(&mut paper);
        paper.finish().unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn durations_have_two_units() {
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (192, "3 m 12 s"),
            (3_600, "1 h"),
            (3_605, "1 h"),
            (7_260, "2 h 1 m"),
            (200_000, "2 d 7 h"),
        ] {
            assert_eq!(duration(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn columns_are_aligned() {
        let text = written(|paper| {
            let mut listing = Listing::new(paper, false, &["order", "age"]);
            listing.push(|| vec!["short".into(), "1 s".into()], || Value::Null);
            listing.push(|| vec!["much longer".into(), "2 s".into()], || Value::Null);
            listing.end("nothing");
        });
        assert_eq!(text, "ORDER        AGE\nshort        1 s\nmuch longer  2 s\n");
    }

    #[test]
    fn empty_list_says_so_in_words_and_in_json() {
        assert_eq!(
            written(|paper| Listing::new(paper, false, &["a"]).end("there are no orders")),
            "there are no orders\n"
        );
        assert_eq!(written(|paper| Listing::new(paper, true, &["a"]).end("there are no orders")), "[]\n");
    }

    #[test]
    fn list_for_programs_is_one_array() {
        let text = written(|paper| {
            let mut listing = Listing::new(paper, true, &["a"]);
            for number in 0..3 {
                listing.push(Vec::new, || serde_json::json!({ "a": number }));
            }
            listing.end("nothing");
        });
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), serde_json::json!([{"a": 0}, {"a": 1}, {"a": 2}]));
    }

    #[test]
    fn many_names_are_counted() {
        let names = |number: usize| (0..number).map(|at| format!("n{at}"));
        assert_eq!(names_in_short(names(2)), "n0 n1");
        assert_eq!(names_in_short(names(5)), "n0 n1 n2 +2");
    }

    /// A pipe whose reader has gone.
    struct Gone;

    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn reader_who_had_enough_is_no_failure() {
        let mut gone = Gone;
        let mut paper = Paper::new(&mut gone);
        paper.text(&"x".repeat(100_000));
        assert!(paper.is_torn());
        assert!(paper.finish().is_ok());
    }
}
