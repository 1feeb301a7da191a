//! What a run found: rates, latencies, errors, CPU and memory.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::client::Counts;
use crate::failure::Failure;
use crate::flow::{Issued, Step};

/// How many kinds of errors are told apart; the rest is counted together.
const KINDS_MAX: usize = 64;

/// What one worker has done.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    latencies: Vec<Duration>,
    last: Option<Instant>,
    errors: BTreeMap<String, Errors>,
    counts: Counts,
}

/// The failures of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Errors {
    count: u64,
    /// The first of them, in words.
    example: String,
}

impl Tally {
    pub(crate) fn issued(&mut self, issued: Issued) {
        self.latencies.push(issued.latency);
        self.last = self.last.max(Some(issued.at));
    }

    pub(crate) fn failed(&mut self, failure: &Failure, step: Step) {
        self.record(failure.kind(), Errors { count: 1, example: format!("at {step}: {failure}") });
    }

    pub(crate) fn count(&mut self, counts: Counts) {
        self.counts.requests += counts.requests;
        self.counts.bad_nonces += counts.bad_nonces;
        self.counts.resent += counts.resent;
        self.counts.connections += counts.connections;
    }

    /// Adds what another worker has done.
    pub(crate) fn add(&mut self, other: Self) {
        self.latencies.extend(other.latencies);
        self.last = self.last.max(other.last);
        self.count(other.counts);
        for (kind, errors) in other.errors {
            self.record(kind, errors);
        }
    }

    fn record(&mut self, kind: String, errors: Errors) {
        let full = self.errors.len() >= KINDS_MAX && !self.errors.contains_key(&kind);
        let kind = if full { "(other)".to_owned() } else { kind };
        self.errors.entry(kind).and_modify(|same| same.count += errors.count).or_insert(errors);
    }
}

/// What the run used besides: taken before and after by the caller.
#[derive(Debug)]
pub(crate) struct Circumstances {
    pub(crate) directory: String,
    pub(crate) started: Instant,
    pub(crate) ended: Instant,
    pub(crate) client_cpu: Duration,
    pub(crate) validations: u64,
    pub(crate) processes: Vec<ProcessReport>,
}

/// What a server process used during the run; nothing is known if it ended before the run did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct ProcessReport {
    pub(crate) pid: u32,
    pub(crate) cpu_ms: Option<f64>,
    pub(crate) peak_kib: Option<u64>,
    pub(crate) resident_kib: Option<u64>,
}

/// Latencies in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Latencies {
    p50: f64,
    p90: f64,
    p99: f64,
    max: f64,
}

impl Latencies {
    fn of(mut latencies: Vec<Duration>) -> Option<Self> {
        latencies.sort_unstable();
        let at = |percent| percentile(&latencies, percent).map(millis);
        Some(Self { p50: at(50)?, p90: at(90)?, p99: at(99)?, max: at(100)? })
    }
}

/// The nearest-rank percentile of sorted values: the least value that `percent` of a hundred values do not exceed.
/// `None` if there are no values.
pub(crate) fn percentile<T: Copy>(sorted: &[T], percent: usize) -> Option<T> {
    let rank = (sorted.len() * percent.min(100)).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

/// A duration in milliseconds.
pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// The whole report; its serialized form is that of `--json`.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    directory: String,
    certificates: usize,
    failed: u64,
    elapsed_s: f64,
    certificates_per_second: f64,
    latency_ms: Option<Latencies>,
    errors: BTreeMap<String, Errors>,
    requests: u64,
    bad_nonces: u64,
    resent: u64,
    connections: u64,
    validations: u64,
    client_cpu_ms_per_certificate: Option<f64>,
    server_cpu_ms_per_certificate: Option<f64>,
    processes: Vec<ProcessReport>,
}

impl Report {
    pub(crate) fn new(tally: Tally, circumstances: Circumstances) -> Self {
        let certificates = tally.latencies.len();
        // Until the last certificate, not until the last failure was given up.
        let ended = tally.last.unwrap_or(circumstances.ended);
        let elapsed_s = ended.duration_since(circumstances.started).as_secs_f64();
        let counted = f64::from(u32::try_from(certificates).unwrap_or(u32::MAX));
        let each = |total_ms: f64| (certificates > 0).then(|| total_ms / counted);
        // Unknown as a whole if it is unknown of one process.
        let server_ms: Option<f64> = circumstances.processes.iter().map(|process| process.cpu_ms).sum();
        Self {
            directory: circumstances.directory,
            certificates,
            failed: tally.errors.values().map(|errors| errors.count).sum(),
            elapsed_s,
            certificates_per_second: if elapsed_s > 0.0 { counted / elapsed_s } else { 0.0 },
            latency_ms: Latencies::of(tally.latencies),
            errors: tally.errors,
            requests: tally.counts.requests,
            bad_nonces: tally.counts.bad_nonces,
            resent: tally.counts.resent,
            connections: tally.counts.connections,
            validations: circumstances.validations,
            client_cpu_ms_per_certificate: each(millis(circumstances.client_cpu)),
            server_cpu_ms_per_certificate: server_ms.filter(|_| !circumstances.processes.is_empty()).and_then(each),
            processes: circumstances.processes,
        }
    }

    /// Whether every order has its certificate, and there was one at least.
    pub(crate) const fn is_success(&self) -> bool {
        self.failed == 0 && self.certificates > 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.directory)?;
        writeln!(
            f,
            "certificates   {} in {:.2} s: {:.1}/s; failed: {}",
            self.certificates, self.elapsed_s, self.certificates_per_second, self.failed
        )?;
        if let Some(Latencies { p50, p90, p99, max }) = &self.latency_ms {
            writeln!(f, "latency (ms)   p50 {p50:.1}  p90 {p90:.1}  p99 {p99:.1}  max {max:.1}")?;
        }
        writeln!(
            f,
            "requests       {} on {} connections; bad nonces: {}, sent again: {}; validations seen: {}",
            self.requests, self.connections, self.bad_nonces, self.resent, self.validations
        )?;
        if let Some(cpu) = self.client_cpu_ms_per_certificate {
            writeln!(f, "client CPU     {cpu:.3} ms per certificate")?;
        }
        if let Some(cpu) = self.server_cpu_ms_per_certificate {
            writeln!(f, "server CPU     {cpu:.3} ms per certificate")?;
        }
        for ProcessReport { pid, cpu_ms, peak_kib, resident_kib } in &self.processes {
            match (cpu_ms, peak_kib, resident_kib) {
                (Some(cpu), Some(peak), Some(now)) => writeln!(
                    f,
                    "  process {pid}: CPU {cpu:.0} ms, memory peak {:.1} MiB, now {:.1} MiB",
                    mebi(*peak),
                    mebi(*now)
                )?,
                (..) => writeln!(f, "  process {pid}: ended before the run did")?,
            }
        }
        for (kind, Errors { count, example }) in &self.errors {
            writeln!(f, "error          {kind} × {count}, first {example}")?;
        }
        Ok(())
    }
}

fn mebi(kib: u64) -> f64 {
    f64::from(u32::try_from(kib).unwrap_or(u32::MAX)) / 1024.0
}

#[cfg(test)]
mod tests {
    use acme::{Problem, ProblemType};

    use super::*;
    use crate::world;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let hundred: Vec<u32> = (1..=100).collect();
        assert_eq!(percentile(&hundred, 50), Some(50));
        assert_eq!(percentile(&hundred, 99), Some(99));
        assert_eq!(percentile(&hundred, 100), Some(100));
        assert_eq!(percentile(&hundred, 0), Some(1));
        assert_eq!(percentile(&[1, 2, 3], 50), Some(2));
        assert_eq!(percentile(&[1, 2, 3, 4], 50), Some(2));
        assert_eq!(percentile(&[1, 2, 3], 99), Some(3));
        assert_eq!(percentile(&[7], 50), Some(7));
        assert_eq!(percentile::<u32>(&[], 50), None);
    }

    #[test]
    fn percentile_above_hundred_is_the_greatest_value() {
        assert_eq!(percentile(&[1, 2, 3], 250), Some(3));
    }

    fn circumstances(started: Instant) -> Circumstances {
        Circumstances {
            directory: "https://ca.test/dir".to_owned(),
            started,
            ended: started + Duration::from_secs(60),
            client_cpu: Duration::from_millis(30),
            validations: 3,
            processes: vec![
                ProcessReport { pid: 1, cpu_ms: Some(30.0), peak_kib: Some(2048), resident_kib: Some(1024) },
                ProcessReport { pid: 2, cpu_ms: Some(15.0), peak_kib: Some(0), resident_kib: Some(0) },
            ],
        }
    }

    fn issued(started: Instant, millis: u64) -> Issued {
        let latency = Duration::from_millis(millis);
        Issued { latency, at: started + latency }
    }

    #[test]
    fn rate_is_counted_until_the_last_certificate_of_all_workers() {
        let started = world::now();
        let (mut one, mut other) = (Tally::default(), Tally::default());
        one.issued(issued(started, 2000));
        other.issued(issued(started, 500));
        other.issued(issued(started, 1000));
        one.add(other);
        let report = Report::new(one, circumstances(started));
        assert_eq!(report.certificates, 3);
        assert!((report.certificates_per_second - 1.5).abs() < 1e-9);
        assert_eq!(report.latency_ms, Some(Latencies { p50: 1000.0, p90: 2000.0, p99: 2000.0, max: 2000.0 }));
        assert_eq!(report.server_cpu_ms_per_certificate, Some(15.0));
        assert_eq!(report.client_cpu_ms_per_certificate, Some(10.0));
        assert!(report.is_success());
    }

    #[test]
    fn errors_are_grouped_by_type_and_fail_the_run() {
        let started = world::now();
        let limited = |detail: &str| Failure::Problem(Problem::new(ProblemType::RateLimited, detail));
        let (mut one, mut other) = (Tally::default(), Tally::default());
        one.issued(issued(started, 5));
        one.failed(&limited("first"), Step::NewOrder);
        other.failed(&limited("second"), Step::Finalize);
        other.failed(&Failure::TimedOut(Duration::from_secs(9)), Step::Validation);
        one.add(other);
        let report = Report::new(one, circumstances(started));
        assert_eq!(report.failed, 3);
        assert_eq!(report.errors["rateLimited"].count, 2);
        assert!(report.errors["rateLimited"].example.contains("first"));
        assert!(!report.is_success());
        assert!(report.to_string().contains("rateLimited × 2, first at newOrder"), "{report}");
    }

    #[test]
    fn process_that_ended_leaves_the_server_cpu_unknown_and_the_rest_of_the_report_whole() {
        let started = world::now();
        let mut tally = Tally::default();
        tally.issued(issued(started, 5));
        let mut circumstances = circumstances(started);
        circumstances.processes[1] = ProcessReport { pid: 2, cpu_ms: None, peak_kib: None, resident_kib: None };
        let report = Report::new(tally, circumstances);
        assert_eq!((report.certificates, report.server_cpu_ms_per_certificate), (1, None));
        assert!(report.to_string().contains("process 2: ended before the run did"), "{report}");
    }

    #[test]
    fn run_without_certificates_is_no_success_and_has_no_latencies() {
        let started = world::now();
        let report = Report::new(Tally::default(), circumstances(started));
        assert!(!report.is_success());
        assert_eq!((report.latency_ms, report.server_cpu_ms_per_certificate), (None, None));
    }
}
