//! What a seed draws: how many servers and clients, what they do, and what goes wrong.

use std::time::Duration;

use ca::crl::CrlScheme;
use ca::ports::Retention;
use ca::profile::{CtRequirement, Profile};
use ca::settings::{CaaMode, CrlTimes, ExternalAccounts, Limits, OcspSettings, Reuse, Settings, Times};

use crate::chance::Chance;
use crate::client::{Task, Temper};
use crate::machine::BASE;
use crate::network::Weather;
use crate::operators::Operations;
use crate::ports::Fate;

const STATUS_URL: &str = "http://status.example.com:14080";
const DAY: u64 = 86_400;
/// The longest that a process stands still: longer than any lease.
pub(crate) const STOP_MAX: Duration = Duration::from_secs(240);
/// No clock needs to be nearer to the true time than this: nobody notices.
const SMALL_JUMP: Duration = Duration::from_secs(25);
/// So far off a clock stops the signing, until time has caught up.
const JUMP: Duration = Duration::from_secs(300);
/// So far off it is until an operator says what is right.
const LEAP: Duration = Duration::from_secs(40 * DAY);

/// Of those who come by chance most want nothing but a certificate.
const TEMPERS: [Temper; 8] = [
    Temper::Honest,
    Temper::Honest,
    Temper::Honest,
    Temper::Careful,
    Temper::Careful,
    Temper::Lazy,
    Temper::Impatient,
    Temper::Hostile,
];

/// All of it.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Servers over shared stores.
    pub machines: usize,
    /// Who asks for certificates.
    pub clients: Vec<Task>,
    /// Who asks for the status of certificates.
    pub relying_parties: usize,
    /// What operators do.
    pub operations: Operations,
    /// So many of 100,000 calls of ports meet a fault.
    pub fault_rate: u32,
    /// At most so many faults.
    pub faults_max: u32,
    /// Which faults.
    pub fates: Vec<Fate>,
    /// How long most calls take at most.
    pub latency: Duration,
    /// How messages fare.
    pub weather: Weather,
    /// So many of a thousand DNS look-ups fail.
    pub dns_failing: u32,
    /// Processes are killed from outside, so often.
    pub kills: u32,
    /// Clocks of machines jump, so often.
    pub clock_jumps: u32,
    /// After a jump a clock is at most so far ahead of the true time, or behind it.
    pub clock_jump_max: Duration,
    /// The workbench is lost or rolled back to a snapshot, so often.
    pub workbench_losses: u32,
    /// Of a thousand submissions to a CT log so many go wrong.
    pub ct_failing: u32,
    /// A CT log is away for a while, so often.
    pub logs_away: u32,
    /// The workbench may forget what was not synced when its machine loses power.
    pub power_cuts: bool,
    /// Another CA is named for some names.
    pub forbids: bool,
    /// Built-in CT logs.
    pub logs: usize,
    /// The settings of the servers.
    pub settings: Settings,
    /// How often CRLs, tree heads and the audit log's mark are looked after.
    pub upkeep: Duration,
    /// How long the storm lasts.
    pub storm: Duration,
}

impl Scenario {
    /// What this seed draws.
    pub fn draw(seed: u64) -> Self {
        let chance = Chance::new(seed, "scenario");
        let machines = chance.one_of(&[1, 1, 1, 2, 3]);
        let kinds = [
            Fate::NotDone,
            Fate::Full,
            Fate::Unknown,
            Fate::DiesBefore,
            Fate::DiesAfter,
            Fate::StopsBefore(STOP_MAX),
            Fate::StopsAfter(STOP_MAX),
        ];
        let mut fates: Vec<Fate> = kinds.into_iter().filter(|_| chance.happens(600)).collect();
        if fates.is_empty() {
            fates.push(Fate::DiesAfter);
        }
        let clients = 1 + chance.place(3);
        let clients = (0..clients)
            .map(|number| Task {
                number,
                temper: chance.one_of(&TEMPERS),
                orders: 1 + u32::try_from(chance.below(2)).unwrap_or(0),
                begins: chance.time(Duration::ZERO, Duration::from_secs(20)),
            })
            .collect();
        let weather = Weather {
            request_lost: chance.one_of(&[0, 0, 10, 50]),
            answer_lost: chance.one_of(&[0, 0, 10, 50]),
            repeated: chance.one_of(&[0, 0, 20, 100]),
            slow: chance.one_of(&[Duration::from_millis(2), Duration::from_millis(200), Duration::from_secs(5)]),
        };
        Self {
            machines,
            clients,
            relying_parties: Chance::new(seed, "relying parties").one_of(&[0, 1, 1, 2]),
            operations: Operations::draw(seed),
            fault_rate: chance.one_of(&[0, 200, 1_000, 3_000, 8_000]),
            faults_max: 10 + u32::try_from(chance.below(30)).unwrap_or(0),
            fates,
            latency: chance.one_of(&[Duration::ZERO, Duration::from_millis(2), Duration::from_millis(50)]),
            weather,
            dns_failing: chance.one_of(&[0, 0, 50, 300]),
            kills: u32::try_from(chance.below(4)).unwrap_or(0),
            clock_jumps: chance.one_of(&[0, 0, 1, 4]),
            clock_jump_max: chance.one_of(&[SMALL_JUMP, SMALL_JUMP, JUMP]),
            workbench_losses: chance.one_of(&[0, 0, 0, 1, 2]),
            ct_failing: chance.one_of(&[0, 0, 100, 400]),
            logs_away: chance.one_of(&[0, 0, 1, 3]),
            power_cuts: machines == 1 && chance.happens(500),
            forbids: chance.happens(250),
            logs: 2 + chance.place(2),
            settings: pointing(hurried(settings(&chance), &Chance::new(seed, "deadlines")), seed),
            upkeep: Duration::from_secs(chance.one_of(&[2, 10, 30])),
            storm: chance.time(Duration::from_secs(60), Duration::from_secs(600)),
        }
    }

    /// The same, and clocks are weeks off: when they are set right, an operator has to say that they are.
    #[must_use]
    pub fn with_leaps(mut self) -> Self {
        self.clock_jumps = self.clock_jumps.max(2);
        self.clock_jump_max = LEAP;
        self
    }

    /// Whether clocks are so far off that nobody waits for them.
    pub fn has_leaps(&self) -> bool {
        self.clock_jumps > 0 && self.clock_jump_max > JUMP
    }

    /// Nothing goes wrong: one server, one honest client, one certificate.
    pub fn calm() -> Self {
        let client = Task { number: 0, temper: Temper::Honest, orders: 1, begins: Duration::ZERO };
        Self {
            machines: 1,
            clients: vec![client],
            relying_parties: 0,
            operations: Operations::default(),
            fault_rate: 0,
            faults_max: 0,
            fates: Vec::new(),
            latency: Duration::ZERO,
            weather: Weather { slow: Duration::from_millis(1), ..Weather::default() },
            dns_failing: 0,
            kills: 0,
            clock_jumps: 0,
            clock_jump_max: Duration::ZERO,
            workbench_losses: 0,
            ct_failing: 0,
            logs_away: 0,
            power_cuts: false,
            forbids: false,
            logs: 2,
            settings: plain_settings(),
            upkeep: Duration::from_secs(1),
            storm: Duration::ZERO,
        }
    }
}

fn settings(chance: &Chance) -> Settings {
    let mut settings = plain_settings();
    settings.caa = chance.one_of(&[CaaMode::Enforce, CaaMode::Enforce, CaaMode::Log, CaaMode::Off]);
    settings.reuse = Reuse { authorizations_percent: chance.one_of(&[100, 50, 0]), orders: chance.happens(700) };
    if chance.happens(300) {
        // A client can be away for longer than this.
        settings.times.order_lifetime = Duration::from_secs(chance.one_of(&[240, 1_200]));
        settings.retention.invalid = Duration::from_secs(chance.one_of(&[300, 900]));
    }
    settings.times.sweep = Duration::from_secs(chance.one_of(&[5, 10, 20, 60]));
    if chance.happens(500) {
        settings.profiles.swap(0, 1);
    }
    settings
}

/// Some orders have so little time to be issued that their deadline comes while a worker stands still.
fn hurried(mut settings: Settings, chance: &Chance) -> Settings {
    if chance.happens(250) {
        settings.times.issue_deadline = Duration::from_secs(chance.one_of(&[5, 30, 120]));
    }
    settings
}

/// Half of them name the responder of OCSP in certificates: it has its certificate before anybody asks.
fn pointing(mut settings: Settings, seed: u64) -> Settings {
    settings.ocsp.in_certificates = Chance::new(seed, "pointers to OCSP").happens(500);
    settings
}

/// As a private CA has them by default, with few workers.
pub fn plain_settings() -> Settings {
    let classic = Profile {
        name: "classic".to_owned(),
        description: "90 days, logged".to_owned(),
        lifetime_seconds: 90 * DAY,
        backdate_seconds: 300,
        ct: Some(CtRequirement { scts: 2, operators: 1 }),
        baseline: true,
        client_auth: false,
        common_name: true,
        crl: true,
        ocsp: true,
        ip_addresses: true,
        offered: true,
    };
    let internal = Profile { name: "internal".to_owned(), ct: None, baseline: false, ..classic.clone() };
    Settings {
        profiles: vec![classic, internal],
        caa: CaaMode::Enforce,
        base_url: Some(BASE.to_owned()),
        status_url: STATUS_URL.to_owned(),
        crls: CrlScheme::new(2, STATUS_URL.to_owned()),
        crl: CrlTimes::default(),
        times: Times::default(),
        limits: Limits { test_workers: 2, tests: 2, issue_workers: 2, sweep_page: 3, ..Limits::default() },
        reuse: Reuse::default(),
        retention: Retention {
            valid: Duration::from_secs(DAY),
            invalid: Duration::from_secs(7 * DAY),
            number_max: 1_000,
        },
        terms: None,
        external_accounts: ExternalAccounts::Off,
        public_names: false,
        denied_names: Vec::new(),
        ocsp: OcspSettings::default(),
        ocsp_url: None,
    }
}
