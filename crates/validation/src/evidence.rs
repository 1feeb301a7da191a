//! What was seen, written down while it is seen, so that it is there even if time runs out in the middle.

use std::sync::{Mutex, MutexGuard, PoisonError};

use acme::ProblemType;

/// Lines that one record holds.
const LINES_MAX: usize = 256;
/// Octets that one line holds.
const LINE_OCTETS_MAX: usize = 1_000;
/// Octets of foreign bytes that are shown.
const EXCERPT_OCTETS_MAX: usize = 96;

/// The evidence of one test, and what it is doing right now.
#[derive(Debug)]
pub(crate) struct Evidence {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    lines: Vec<String>,
    step: Step,
}

/// What a test is doing, for the case that its time runs out there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// The type of the problem if it does not end.
    pub(crate) kind: ProblemType,
    /// Reads on from "time ran out while ".
    pub(crate) doing: String,
}

impl Evidence {
    pub(crate) fn new() -> Self {
        let step = Step { kind: ProblemType::ServerInternal, doing: "beginning".to_owned() };
        Self { inner: Mutex::new(Inner { lines: Vec::with_capacity(8), step }) }
    }

    /// Writes a line down.
    pub(crate) fn note(&self, line: impl Into<String>) {
        push(&mut self.lock().lines, line.into());
    }

    pub(crate) fn note_all(&self, lines: Vec<String>) {
        let mut inner = self.lock();
        for line in lines {
            push(&mut inner.lines, line);
        }
    }

    /// Says what is done next.
    pub(crate) fn step(&self, kind: ProblemType, doing: impl Into<String>) {
        self.lock().step = Step { kind, doing: doing.into() };
    }

    pub(crate) fn into_parts(self) -> (Vec<String>, Step) {
        let inner = self.inner.into_inner().unwrap_or_else(PoisonError::into_inner);
        (inner.lines, inner.step)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic elsewhere leaves whole lines behind.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds a line within the limits of a record.
pub(crate) fn push(lines: &mut Vec<String>, mut line: String) {
    if line.len() > LINE_OCTETS_MAX {
        line.truncate(line.floor_char_boundary(LINE_OCTETS_MAX));
        line.push('…');
    }
    match lines.len() {
        count if count < LINES_MAX => lines.push(line),
        LINES_MAX => lines.push("further lines are left out".to_owned()),
        _ => {}
    }
}

/// The first bytes of something foreign, quoted and escaped, fit for a terminal, a log and a problem document.
pub(crate) fn excerpt(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(EXCERPT_OCTETS_MAX)];
    let ellipsis = if shown.len() < bytes.len() { "…" } else { "" };
    format!("\"{}\"{ellipsis}", shown.escape_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_stays_within_its_limits_and_says_so() {
        let mut lines = Vec::new();
        push(&mut lines, "ü".repeat(LINE_OCTETS_MAX));
        assert!(lines[0].len() <= LINE_OCTETS_MAX + "…".len());
        assert!(lines[0].ends_with('…'));
        for _ in 0..2 * LINES_MAX {
            push(&mut lines, "x".to_owned());
        }
        assert_eq!(lines.len(), LINES_MAX + 1);
        assert_eq!(lines[LINES_MAX], "further lines are left out");
    }

    #[test]
    fn foreign_bytes_are_escaped_and_cut() {
        assert_eq!(excerpt(b"<a href=\"x\">\r\n\x1b[31m\xff"), r#""<a href=\"x\">\r\n\x1b[31m\xff""#);
        let long = excerpt(&[b'a'; 500]);
        assert_eq!(long.len(), EXCERPT_OCTETS_MAX + 2 + "…".len());
    }
}
