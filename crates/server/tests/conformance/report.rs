//! What cases came to: a line for each fault, a score for each section and in all.

use std::cell::RefCell;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::support::case::{Case, Level, NotApplicable, Verdict};
use crate::support::server::Server;
use crate::support::world::within;

/// What a Cairn of our own is free to lack, since the RFCs leave it open. Anything else that is not applicable to it is
/// a fault.
const OPTIONAL: &[&str] = &["newAuthz"];

/// What a case came to.
pub(crate) enum Outcome {
    Passed,
    NotApplicable(&'static str),
    Failed(String),
}

/// A case that has ended.
pub(crate) struct Ended {
    pub(crate) case: Case,
    pub(crate) outcome: Outcome,
}

thread_local! {
    /// Where and why the last case of this thread failed.
    static FAULT: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Failures are reported once, at the end and by name.
pub(crate) fn keep_panics_quiet() {
    std::panic::set_hook(Box::new(|panic| {
        let payload = panic.payload();
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("it panicked");
        let place = panic.location().map(|place| format!("{}:{}", place.file(), place.line())).unwrap_or_default();
        FAULT.with_borrow_mut(|fault| *fault = format!("{text}\n    at {place}"));
    }));
}

/// Runs a case to its end, whatever that is. A panic is caught on the thread of its hook.
pub(crate) async fn guarded(case: BoxFuture<'static, Verdict>) -> Outcome {
    let limited = within("the case ends", case);
    match AssertUnwindSafe(limited).catch_unwind().await {
        Ok(Ok(())) => Outcome::Passed,
        Ok(Err(NotApplicable(what))) => Outcome::NotApplicable(what),
        Err(_) => Outcome::Failed(FAULT.take()),
    }
}

/// How many passed of how many.
#[derive(Clone, Copy, Default)]
struct Score {
    passed: usize,
    of: usize,
}

impl Score {
    fn add(&mut self, passed: bool) {
        self.passed += usize::from(passed);
        self.of += 1;
    }
}

impl std::fmt::Display for Score {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {}", self.passed, self.of)
    }
}

/// The scores of a section, or of all.
#[derive(Clone, Default)]
struct Tally {
    all: Score,
    must: Score,
    should: Score,
    not_applicable: usize,
}

impl Tally {
    fn add(&mut self, ended: &Ended) {
        let passed = match &ended.outcome {
            Outcome::NotApplicable(_) => {
                self.not_applicable += 1;
                return;
            }
            Outcome::Passed => true,
            Outcome::Failed(_) => false,
        };
        self.all.add(passed);
        match ended.case.level {
            Level::Must => self.must.add(passed),
            Level::Should => self.should.add(passed),
        }
    }

    fn line(&self, name: &str) -> String {
        let Self { all, must, should, not_applicable } = self;
        let absent = if *not_applicable > 0 { format!(", {not_applicable} not applicable") } else { String::new() };
        format!("{name}: passed {all} (MUST {must}, SHOULD {should}{absent})")
    }
}

/// What a run came to.
pub(crate) struct Report<'a> {
    ended: &'a [Ended],
    own: Option<&'a Server>,
}

impl<'a> Report<'a> {
    pub(crate) const fn of(ended: &'a [Ended], own: Option<&'a Server>) -> Self {
        Self { ended, own }
    }

    /// Prints it. Whether no case failed and, at a Cairn of our own, none was left out without need.
    pub(crate) fn print(&self) -> bool {
        let mut good = true;
        for one in self.ended {
            let name = format!("{}::{}", one.case.section(), one.case.name);
            match &one.outcome {
                Outcome::Passed => {}
                Outcome::NotApplicable(what) => {
                    println!("{name} ({:?}): not applicable: the server has no {what}", one.case.level);
                    good &= self.own.is_none() || OPTIONAL.contains(what);
                }
                Outcome::Failed(why) => {
                    println!("{name} ({:?}): FAILED\n    {why}", one.case.level);
                    good = false;
                }
            }
        }
        let mut sections: Vec<(&str, Tally)> = Vec::new();
        let mut total = Tally::default();
        for one in self.ended {
            if sections.last().is_none_or(|(section, _)| *section != one.case.section()) {
                sections.push((one.case.section(), Tally::default()));
            }
            if let Some((_, tally)) = sections.last_mut() {
                tally.add(one);
            }
            total.add(one);
        }
        sections.iter().for_each(|(section, tally)| println!("{}", tally.line(section)));
        println!("{}", total.line("total"));
        if !good && let Some(own) = self.own {
            let log = own.log();
            let lines: Vec<&str> = log.lines().collect();
            println!("the server's log ends with:\n{}", lines[lines.len().saturating_sub(20)..].join("\n"));
        }
        good
    }
}
