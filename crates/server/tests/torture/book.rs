//! What is known of the orders and the blows of a run, and what it comes to.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::world::{PATIENCE, pause, within};

/// Between two looks at the book.
const LOOK_PAUSE: Duration = Duration::from_millis(2);

#[allow(clippy::disallowed_methods, reason = "how long real processes take is measured")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// How far an order has come, as its client was told. It never goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Progress {
    Pending,
    Ready,
    Processing,
    Ended,
}

impl Progress {
    /// That of an order object.
    pub(crate) fn of(order: &Value) -> Self {
        match order["status"].as_str() {
            Some("pending") => Self::Pending,
            Some("ready") => Self::Ready,
            Some("processing") => Self::Processing,
            Some("valid" | "invalid") => Self::Ended,
            Some(_) | None => panic!("an order has a status: {order}"),
        }
    }
}

/// One order.
#[derive(Clone, Debug)]
pub(crate) struct Course {
    pub(crate) url: String,
    made: Instant,
    pub(crate) progress: Progress,
    end: Option<(Instant, Value)>,
    /// The chain that its client downloaded.
    pub(crate) chain: Option<String>,
}

impl Course {
    /// The order object at its end.
    pub(crate) fn end(&self) -> Option<&Value> {
        self.end.as_ref().map(|(_, order)| order)
    }

    pub(crate) fn is_valid(&self) -> bool {
        self.end().is_some_and(|order| order["status"] == "valid")
    }

    /// Whether it ended `invalid` by our fault: the clients of this test make none.
    pub(crate) fn is_our_fault(&self) -> bool {
        self.end().is_some_and(|order| order["status"] != "valid")
    }
}

/// A blow, and when the server was started again, or went on, after it.
#[derive(Clone, Copy, Debug)]
struct Blow {
    fell: Instant,
    over: Instant,
}

/// The number of an order in the book.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry(usize);

/// Shared by the clients of a run and whoever deals the blows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Book(Arc<Mutex<Pages>>);

#[derive(Debug, Default)]
struct Pages {
    courses: Vec<Course>,
    blows: Vec<Blow>,
    taken_back: Vec<String>,
    refusals: u64,
    /// How often a client was told that an order has gone on.
    steps: u64,
}

impl Book {
    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An order was made.
    pub(crate) fn made(&self, url: &str) -> Entry {
        let mut pages = self.pages();
        let url = url.to_owned();
        let course = Course { url, made: now(), progress: Progress::Pending, end: None, chain: None };
        pages.courses.push(course);
        pages.steps += 1;
        Entry(pages.courses.len() - 1)
    }

    /// What its client was told of an order.
    pub(crate) fn told(&self, entry: Entry, order: &Value) {
        let progress = Progress::of(order);
        let mut pages = self.pages();
        let course = &mut pages.courses[entry.0];
        if let Some((_, end)) = &course.end {
            let same = end["status"] == order["status"] && end["certificate"] == order["certificate"];
            if !same {
                let taken_back = format!("{end} became {order}");
                pages.taken_back.push(taken_back);
            }
            return;
        }
        if progress < course.progress {
            let taken_back = format!("{}: {:?} became {progress:?}", course.url, course.progress);
            pages.taken_back.push(taken_back);
            return;
        }
        let step = u64::from(progress > course.progress);
        course.progress = progress;
        if progress == Progress::Ended {
            course.end = Some((now(), order.clone()));
        }
        pages.steps += step;
    }

    /// Waits until clients were told so often more that an order has gone on.
    pub(crate) async fn wait_for_steps(&self, steps: u64) {
        let wanted = self.pages().steps + steps;
        self.wait("orders go on", |pages| pages.steps >= wanted).await;
    }

    /// Waits until so many requests more were refused.
    pub(crate) async fn wait_for_refusals(&self, refusals: u64) {
        let wanted = self.pages().refusals + refusals;
        self.wait("requests are refused", |pages| pages.refusals >= wanted).await;
    }

    async fn wait(&self, what: &str, until: impl Fn(&Pages) -> bool) {
        // A file that has room of its own takes many orders before a full disk is felt, beside other servers.
        within(PATIENCE * 3, what, async {
            while !until(&self.pages()) {
                pause(LOOK_PAUSE).await;
            }
        })
        .await;
    }

    /// Its client downloaded the chain.
    pub(crate) fn downloaded(&self, entry: Entry, chain: &str) {
        let mut pages = self.pages();
        match pages.courses[entry.0].chain.replace(chain.to_owned()) {
            Some(before) if before != chain => pages.taken_back.push(format!("a chain was\n{before}and is\n{chain}")),
            Some(_) | None => {}
        }
    }

    /// Something that a client had been told is not so any more.
    pub(crate) fn taken_back(&self, what: String) {
        self.pages().taken_back.push(what);
    }

    /// A request was answered `serverInternal`, with the time to come again.
    pub(crate) fn refused(&self) {
        self.pages().refusals += 1;
    }

    /// A blow fell at this time, and is over now.
    pub(crate) fn blow(&self, fell: Instant) {
        self.pages().blows.push(Blow { fell, over: now() });
    }

    pub(crate) fn course(&self, entry: Entry) -> Course {
        self.pages().courses[entry.0].clone()
    }

    /// What it all came to.
    pub(crate) fn report(&self, what: &'static str) -> Report {
        let pages = self.pages();
        let mut last_ends = vec![None; pages.blows.len()];
        for course in &pages.courses {
            let Some((ended, _)) = &course.end else { continue };
            let hit = pages.blows.iter().rposition(|blow| course.made < blow.over && blow.fell < *ended);
            let Some(hit) = hit else { continue };
            let took = ended.saturating_duration_since(pages.blows[hit].over);
            last_ends[hit] = last_ends[hit].max(Some(took));
        }
        let mut last_ends: Vec<Duration> = last_ends.into_iter().flatten().collect();
        last_ends.sort_unstable();
        Report {
            what,
            blows: pages.blows.len(),
            orders: pages.courses.len(),
            valid: pages.courses.iter().filter(|course| course.is_valid()).count(),
            downloaded: pages.courses.iter().filter(|course| course.chain.is_some()).count(),
            without_end: pages.courses.iter().filter(|course| course.end.is_none()).cloned().collect(),
            our_fault: pages.courses.iter().filter(|course| course.is_our_fault()).cloned().collect(),
            taken_back: pages.taken_back.clone(),
            refusals: pages.refusals,
            last_ends,
        }
    }
}

/// What a run came to.
#[derive(Debug)]
pub(crate) struct Report {
    what: &'static str,
    pub(crate) blows: usize,
    pub(crate) orders: usize,
    pub(crate) valid: usize,
    downloaded: usize,
    pub(crate) without_end: Vec<Course>,
    /// Orders that are `invalid`: the clients of these tests make no faults.
    pub(crate) our_fault: Vec<Course>,
    pub(crate) taken_back: Vec<String>,
    refusals: u64,
    /// For each blow, the time from the restart after it to the end of the last order that it hit as the last one;
    /// sorted.
    last_ends: Vec<Duration>,
}

impl Report {
    /// So many of 100 are not above.
    fn percentile(&self, percent: usize) -> f64 {
        let at = (self.last_ends.len() * percent).div_ceil(100).saturating_sub(1);
        self.last_ends.get(at).map_or(0.0, Duration::as_secs_f64)
    }

    /// Every order ended, and nothing was taken back.
    pub(crate) fn assert_kept(&self) {
        assert!(self.without_end.is_empty(), "orders without an end: {:#?}", self.without_end);
        assert!(self.taken_back.is_empty(), "taken back: {:#?}", self.taken_back);
        assert_eq!(self.downloaded, self.valid, "each certificate was downloaded");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<34}{}", self.what, self.blows)?;
        writeln!(f, "{:<34}{}", "orders made", self.orders)?;
        writeln!(f, "{:<34}{}", "certificates, all downloaded twice", self.downloaded)?;
        writeln!(f, "{:<34}{}", "orders without an end", self.without_end.len())?;
        writeln!(f, "{:<34}{}", "orders `invalid` by our fault", self.our_fault.len())?;
        writeln!(f, "{:<34}{}", "taken back", self.taken_back.len())?;
        writeln!(f, "{:<34}{}", "requests asked to come again", self.refusals)?;
        write!(
            f,
            "restart to the last such end, s   p50 {:.2}, p99 {:.2}, max {:.2} ({} blows)",
            self.percentile(50),
            self.percentile(99),
            self.percentile(100),
            self.last_ends.len()
        )
    }
}
