//! How far a command is, on standard error: a bar where people look at it, else a line now and then.

use std::borrow::Cow;
use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

const BAR: &str = "{msg:26} {wide_bar} {percent:>3} %, {eta} left";
const COUNT: &str = "{spinner} {msg} {pos}";
/// Seconds between two lines: what is done sooner has none.
const LINE_SECONDS: u64 = 10;

/// How far a command is.
#[derive(Debug)]
pub(super) struct Progress {
    /// Counts and knows the time, shown or not.
    bar: ProgressBar,
    lines: Option<Lines>,
}

impl Progress {
    /// Of so much, if that is known yet.
    pub(super) fn of(what: impl Into<Cow<'static, str>>, length: Option<u64>) -> Self {
        Self::shown(what.into(), length.unwrap_or(0), BAR)
    }

    /// Of what nobody knows how much it is.
    pub(super) fn counting(what: impl Into<Cow<'static, str>>) -> Self {
        Self::shown(what.into(), 0, COUNT)
    }

    fn shown(what: Cow<'static, str>, length: u64, template: &str) -> Self {
        let is_watched = std::io::stderr().is_terminal();
        let bar = ProgressBar::hidden().with_message(what);
        bar.set_length(length);
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        if is_watched {
            bar.set_draw_target(indicatif::ProgressDrawTarget::stderr());
        }
        Self { bar, lines: (!is_watched).then(Lines::default) }
    }

    pub(super) fn set_message(&self, what: impl Into<Cow<'static, str>>) {
        self.bar.set_message(what);
    }

    pub(super) fn set_length(&self, length: u64) {
        self.bar.set_length(length);
    }

    pub(super) fn set_position(&self, position: u64) {
        self.bar.set_position(position);
        let Some(lines) = &self.lines else { return };
        let length = self.bar.length().unwrap_or(0);
        if let Some(line) = lines.at(self.bar.elapsed(), &self.bar.message(), (position, length)) {
            eprintln!("cairn: {line}");
        }
    }

    pub(super) fn advance(&self, by: u64) {
        self.set_position(self.bar.position().saturating_add(by));
    }

    pub(super) fn finish_and_clear(&self) {
        self.bar.finish_and_clear();
    }
}

/// Lines for a log or a pipe.
#[derive(Debug, Default)]
struct Lines {
    /// When the last one was written, in seconds since the beginning.
    last: AtomicU64,
}

impl Lines {
    fn at(&self, elapsed: Duration, what: &str, (position, length): (u64, u64)) -> Option<String> {
        let now = elapsed.as_secs();
        if now < self.last.load(Ordering::Relaxed) + LINE_SECONDS {
            return None;
        }
        self.last.store(now, Ordering::Relaxed);
        let of = if length > 0 { format!(" of {length}") } else { String::new() };
        Some(format!("{what}: {position}{of} after {now} s"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_terminal_there_is_a_line_now_and_then() {
        let lines = Lines::default();
        let at = |seconds, place| lines.at(Duration::from_secs(seconds), "certificates", place);
        assert_eq!(at(9, (1, 5)), None);
        assert_eq!(at(10, (2, 5)).as_deref(), Some("certificates: 2 of 5 after 10 s"));
        assert_eq!(at(19, (3, 5)), None);
        assert_eq!(at(45, (3, 0)).as_deref(), Some("certificates: 3 after 45 s"));
        assert_eq!(at(54, (4, 0)), None);
    }
}
