//! `cairn-load run`: workers that order certificates until there are enough, and what it took.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use futures_util::future::try_join_all;
use indicatif::{ProgressBar, ProgressStyle};
use rustls::ClientConfig;

use crate::client::{self, Account, Client};
use crate::connection;
use crate::csr::{SubscriberKey, SubscriberKeyKind};
use crate::failure::Failure;
use crate::flow::{Draft, Flow, Issued};
use crate::process::Usage;
use crate::report::{Circumstances, ProcessReport, Report, Tally, millis};
use crate::responder::{self, Shown};
use crate::{tls, world};

const ORDERS_DEFAULT: u64 = 100;
const ORDERS_MAX: u64 = 1_000_000_000;
/// Registering an account, and fetching the directory.
const SETUP_TIME: Duration = Duration::from_secs(60);

/// Order certificates, many at a time, through the whole flow of RFC 8555, and report what it took.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Arguments {
    /// URL of the ACME directory.
    #[arg(long, value_name = "URL", value_parser = connection::check_url)]
    pub(crate) directory: String,
    /// PEM file of the CA of the directory's TLS certificate [default: those that the system trusts].
    #[arg(long, value_name = "FILE")]
    pub(crate) root: Option<PathBuf>,
    /// How many orders are made [default: 100].
    #[arg(long, value_name = "N", conflicts_with = "seconds")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=ORDERS_MAX))]
    pub(crate) orders: Option<u64>,
    /// For how long new orders are made, in seconds; those begun are brought to their end.
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(1..=864_000))]
    pub(crate) seconds: Option<u64>,
    /// How many workers order at the same time, each on a connection of its own.
    #[arg(long, value_name = "C", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) concurrency: u32,
    /// How many names each certificate has.
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub(crate) names: u16,
    /// How many accounts are registered before the run [default: one for each worker].
    #[arg(long, value_name = "A", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) accounts: Option<u32>,
    /// Port on which http-01 challenges are answered.
    #[arg(long, value_name = "PORT", default_value_t = 5002)]
    pub(crate) http01_port: u16,
    /// Address on which http-01 challenges are answered.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub(crate) http01_address: IpAddr,
    /// Domain under which each order gets a random name; all names under it must resolve to the responder.
    #[arg(long, value_name = "DOMAIN", default_value = "example.localhost", value_parser = check_domain)]
    pub(crate) domain: String,
    /// Kind of the certificates' keys.
    #[arg(long, value_enum, default_value_t = SubscriberKeyKind::P256)]
    pub(crate) key: SubscriberKeyKind,
    /// Profile that is asked for (draft-ietf-acme-profiles).
    #[arg(long, value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// Ids of the server's processes on this machine, whose CPU time for each certificate and memory are reported.
    #[arg(long, value_name = "PID", num_args = 1..=256)]
    pub(crate) pid: Vec<u32>,
    /// The longest pause between two polls, whatever the server asks for, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 250, value_parser = clap::value_parser!(u64).range(10..=60_000))]
    pub(crate) pause_max: u64,
    /// When an order is given up, in seconds.
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) timeout: u64,
    /// Threads of the client. One is enough for some hundred certificates a second and disturbs the server least.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) threads: u16,
    /// Print the report as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Room for the random label and the number of the name before the domain.
const DOMAIN_OCTETS_MAX: usize = 220;

pub(crate) fn check_domain(domain: &str) -> Result<String, String> {
    if domain.len() > DOMAIN_OCTETS_MAX {
        return Err(format!(
            "the domain has {} octets; at most {DOMAIN_OCTETS_MAX} leave room for labels",
            domain.len()
        ));
    }
    // A name under it must be good, whether or not the domain itself is one that a certificate may have.
    let name = acme::DnsName::parse(&format!("label.{domain}")).map_err(|error| error.to_string())?;
    Ok(name.as_str().split_once('.').map_or_else(String::new, |(_, domain)| domain.to_owned()))
}

/// Which orders are still to be made.
struct Schedule {
    left: AtomicU64,
    until: Option<Instant>,
    stopped: AtomicBool,
}

impl Schedule {
    fn new(arguments: &Arguments, started: Instant) -> Self {
        let until = arguments.seconds.map(|seconds| started + Duration::from_secs(seconds));
        let orders = if until.is_some() { u64::MAX } else { arguments.orders.unwrap_or(ORDERS_DEFAULT) };
        Self { left: AtomicU64::new(orders), until, stopped: AtomicBool::new(false) }
    }

    /// Whether the caller shall make one order more.
    fn next(&self, now: Instant) -> bool {
        if self.stopped.load(Ordering::Relaxed) || self.until.is_some_and(|until| now >= until) {
            return false;
        }
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }

    fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }
}

/// What all workers share.
struct Shared {
    arguments: Arguments,
    accounts: Vec<Account>,
    schedule: Schedule,
    progress: ProgressBar,
}

/// A worker before the run: its connection stands, its accounts are registered.
struct Ready {
    flow: Flow,
    accounts: Vec<Account>,
    /// RSA keys are made before the run.
    key: Option<SubscriberKey>,
}

/// Runs, and says what it took.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<Report> {
    let address = SocketAddr::new(arguments.http01_address, arguments.http01_port);
    let listener = responder::bind(address).await?;
    let shown = Arc::new(Shown::default());
    let responding = tokio::spawn(responder::serve(listener, Arc::clone(&shown)));
    let config = tls::configuration(arguments.root.as_deref())?;
    let workers = set_up(&arguments, &config, &shown).await?;
    let before = usage(&arguments.pid)?;

    let (accounts, workers) = share_out(workers);
    let cpu = world::process_cpu();
    let started = world::now();
    let schedule = Schedule::new(&arguments, started);
    let progress = progress_bar(&arguments);
    let shared = Arc::new(Shared { arguments, accounts, schedule, progress });
    let interrupt = tokio::spawn(stop_at_interrupt(Arc::clone(&shared)));
    let mut tally = Tally::default();
    let spawned =
        workers.into_iter().enumerate().map(|(number, worker)| tokio::spawn(work(number, worker, Arc::clone(&shared))));
    // All are spawned before the first is waited for.
    let spawned: Vec<_> = spawned.collect();
    for worker in spawned {
        tally.add(worker.await.context("a worker ended before its time")?);
    }
    interrupt.abort();
    responding.abort();
    shared.progress.finish_and_clear();
    let circumstances = Circumstances {
        directory: shared.arguments.directory.clone(),
        started,
        ended: world::now(),
        client_cpu: world::process_cpu().saturating_sub(cpu),
        validations: shown.served(),
        processes: before.iter().map(|(pid, before)| since(*pid, *before, Usage::read(*pid).ok())).collect(),
    };
    Ok(Report::new(tally, circumstances))
}

/// Makes the workers ready, all at the same time.
async fn set_up(arguments: &Arguments, config: &Arc<ClientConfig>, shown: &Arc<Shown>) -> anyhow::Result<Vec<Ready>> {
    let setup = async {
        let directory = client::directory(config, &arguments.directory).await.map_err(described)?;
        if let Some(profile) = &arguments.profile
            && !directory.meta.profiles.contains_key(profile)
        {
            let known: Vec<&str> = directory.meta.profiles.keys().map(String::as_str).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(anyhow!("the server has no profile `{profile}`; it has: {known}"));
        }
        let directory = Arc::new(directory);
        let workers = (0..arguments.concurrency).map(|number| {
            let client = Client::new(Arc::clone(config), Arc::clone(&directory));
            let pause_max = Duration::from_millis(arguments.pause_max);
            make_ready(arguments, number, Flow::new(client, Arc::clone(shown), pause_max))
        });
        try_join_all(workers).await
    };
    tokio::time::timeout(SETUP_TIME, setup)
        .await
        .with_context(|| format!("the server did not let all workers begin within {} s", SETUP_TIME.as_secs()))?
        .with_context(|| format!("cannot begin with {}", arguments.directory))
}

async fn make_ready(arguments: &Arguments, number: u32, mut flow: Flow) -> anyhow::Result<Ready> {
    let accounts_wanted = arguments.accounts.unwrap_or(arguments.concurrency);
    let key = match arguments.key {
        SubscriberKeyKind::P256 => None,
        SubscriberKeyKind::Rsa2048 => Some(subscriber_key(arguments.key).map_err(described)?),
    };
    flow.client().warm_up().await.map_err(described)?;
    let mut accounts = Vec::new();
    // Worker n registers accounts n, n + C, n + 2 C and so on.
    let concurrency = usize::try_from(arguments.concurrency)?;
    for _ in (number..accounts_wanted).step_by(concurrency) {
        accounts.push(flow.client().register(client::account_key()?).await.map_err(described)?);
    }
    Ok(Ready { flow, accounts, key })
}

fn described(failure: Failure) -> anyhow::Error {
    anyhow::Error::new(failure)
}

fn subscriber_key(kind: SubscriberKeyKind) -> Result<SubscriberKey, Failure> {
    SubscriberKey::generate(kind).map_err(|_| Failure::Protocol("no key could be made for a certificate".to_owned()))
}

/// Accounts belong to all, since there may be fewer than workers.
fn share_out(workers: Vec<Ready>) -> (Vec<Account>, Vec<(Flow, Option<SubscriberKey>)>) {
    let mut accounts = Vec::new();
    let mut flows = Vec::with_capacity(workers.len());
    for worker in workers {
        accounts.extend(worker.accounts);
        flows.push((worker.flow, worker.key));
    }
    (accounts, flows)
}

async fn work(number: usize, (mut flow, key): (Flow, Option<SubscriberKey>), shared: Arc<Shared>) -> Tally {
    let mut tally = Tally::default();
    let concurrency = usize::try_from(shared.arguments.concurrency).unwrap_or(1);
    let mut turn = number;
    while shared.schedule.next(world::now()) {
        let account = &shared.accounts[turn % shared.accounts.len()];
        turn = turn.wrapping_add(concurrency);
        match one_order(&mut flow, account, key.as_ref(), &shared.arguments).await {
            Ok(issued) => tally.issued(issued),
            Err(failure) => {
                tally.failed(&failure, flow.step());
                shared.progress.set_message(format!("{} failed", failure.kind()));
            }
        }
        shared.progress.inc(1);
    }
    tally.count(flow.client().counts());
    tally
}

async fn one_order(
    flow: &mut Flow,
    account: &Account,
    key: Option<&SubscriberKey>,
    arguments: &Arguments,
) -> Result<Issued, Failure> {
    let names = names(&arguments.domain, arguments.names);
    let profile = arguments.profile.as_deref();
    let draft = match key {
        Some(key) => Draft::new(names, key, profile)?,
        None => Draft::new(names, &subscriber_key(arguments.key)?, profile)?,
    };
    let limit = Duration::from_secs(arguments.timeout);
    match tokio::time::timeout(limit, flow.issue(account, &draft)).await {
        Ok(outcome) => outcome,
        Err(_) => {
            flow.client().reset();
            Err(Failure::TimedOut(limit))
        }
    }
}

/// Names that no other order has.
fn names(domain: &str, count: u16) -> Vec<String> {
    let label = u64::from_be_bytes(world::random());
    (0..count).map(|number| format!("n{number}-{label:016x}.{domain}")).collect()
}

fn usage(pids: &[u32]) -> anyhow::Result<Vec<(u32, Usage)>> {
    pids.iter().map(|&pid| Ok((pid, Usage::read(pid)?))).collect()
}

/// What a process used since `before`; `after` is `None` if it has ended.
fn since(pid: u32, before: Usage, after: Option<Usage>) -> ProcessReport {
    ProcessReport {
        pid,
        cpu_ms: after.map(|after| millis(after.cpu.saturating_sub(before.cpu))),
        peak_kib: after.map(|after| after.peak_kib),
        resident_kib: after.map(|after| after.resident_kib),
    }
}

/// A bar on stderr if that is a terminal, else nothing.
fn progress_bar(arguments: &Arguments) -> ProgressBar {
    let (bar, template) = match arguments.seconds {
        Some(_) => (ProgressBar::new_spinner(), "{elapsed_precise} {pos} orders, {per_sec} {msg}"),
        None => (
            ProgressBar::new(arguments.orders.unwrap_or(ORDERS_DEFAULT)),
            "{elapsed_precise} {wide_bar} {pos}/{len} orders, {per_sec}, {eta} left {msg}",
        ),
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// The first interrupt lets orders that were begun end, and the report be made; the second ends the process.
async fn stop_at_interrupt(shared: Arc<Shared>) {
    if tokio::signal::ctrl_c().await.is_ok() {
        shared.schedule.stop();
        shared.progress.set_message("stopping");
    }
    if tokio::signal::ctrl_c().await.is_ok() {
        std::process::exit(130);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::cli::{Cli, Command};

    fn arguments(more: &[&str]) -> Arguments {
        use clap::Parser as _;
        let fixed = ["cairn-load", "run", "--directory", "https://localhost:14000/dir"];
        match Cli::try_parse_from(fixed.iter().chain(more)).unwrap().command {
            Command::Run(arguments) => *arguments,
            Command::Limit(_) | Command::Fill(_) => panic!("`run` was asked for"),
        }
    }

    #[test]
    fn schedule_hands_out_as_many_orders_as_were_asked_for() {
        let started = world::now();
        let schedule = Schedule::new(&arguments(&["--orders", "3"]), started);
        assert_eq!((0..10).filter(|_| schedule.next(started)).count(), 3);
    }

    #[test]
    fn schedule_by_time_ends_with_its_last_second() {
        let started = world::now();
        let schedule = Schedule::new(&arguments(&["--seconds", "2"]), started);
        assert!(schedule.next(started + Duration::from_millis(1_999)));
        assert!(!schedule.next(started + Duration::from_secs(2)));
    }

    #[test]
    fn stopped_schedule_hands_out_nothing_more() {
        let started = world::now();
        let schedule = Schedule::new(&arguments(&[]), started);
        assert!(schedule.next(started));
        schedule.stop();
        assert!(!schedule.next(started));
    }

    #[test]
    fn names_of_an_order_are_good_and_differ_within_and_between_orders() {
        let all: BTreeSet<String> = (0..10).flat_map(|_| names("example.localhost", 20)).collect();
        assert_eq!(all.len(), 200);
        for name in &all {
            assert_eq!(acme::DnsName::parse(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn cpu_of_a_process_is_the_difference_and_its_memory_the_last() {
        let at = |seconds, kib| Usage { cpu: Duration::from_secs(seconds), peak_kib: 2 * kib, resident_kib: kib };
        let report = since(7, at(10, 100), Some(at(12, 300)));
        let expected = ProcessReport { pid: 7, cpu_ms: Some(2000.0), peak_kib: Some(600), resident_kib: Some(300) };
        assert_eq!(report, expected);
        assert_eq!(since(7, at(10, 100), None).cpu_ms, None);
    }
}
