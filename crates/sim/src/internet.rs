//! The world that validation sees: names with their records and sites, as clients set them, and the faults of those who
//! serve them.

mod sites;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use validation::caa::Property;
use validation::dns::{Answer, Dns, DnsFailure, Outcome, Record, RecordKind};

use crate::chance::Chance;
use crate::executor::{Executor, Node};
use crate::tally::Tally;
use sites::{HOSTING, INSIDE};

/// The CA's own name in CAA records.
pub const CAA_IDENTITY: &str = "ca.example.com";
/// The time to live of all records, in seconds.
const TTL: u32 = 60;

#[derive(Debug, Default)]
struct Names {
    texts: BTreeMap<String, BTreeSet<String>>,
    /// What sites show: by their names, then by token.
    sites: BTreeMap<String, BTreeMap<String, String>>,
    /// What was ever served of it: name and key authorization.
    served: BTreeSet<(String, String)>,
    /// The names that have addresses, in the order of these.
    hosts: Vec<String>,
    /// When sites answered what no repetition changes.
    wrong: BTreeMap<String, Vec<Duration>>,
    /// What was dialled and is the address of none of these names.
    strays: BTreeSet<SocketAddr>,
    /// Names for which another CA is named.
    forbidden: BTreeSet<String>,
    /// What was ever answered: name and text.
    shown: BTreeSet<(String, String)>,
    /// Names for which another CA was ever named.
    ever_forbidden: BTreeSet<String>,
    /// When look-ups of a name failed.
    failed: BTreeMap<String, Vec<Duration>>,
    /// So many of a thousand look-ups fail.
    failing_permille: u32,
    /// So many of a thousand names that clients show something for are forbidden.
    forbidden_permille: u32,
}

/// All names there are.
#[derive(Debug)]
pub struct Internet {
    executor: Executor,
    /// On which sites run.
    node: Node,
    seed: u64,
    chance: Chance,
    tally: Arc<Tally>,
    names: Arc<Mutex<Names>>,
}

impl Internet {
    /// No names yet; so many of a thousand look-ups fail.
    pub fn new(executor: Executor, seed: u64, failing_permille: u32, tally: Arc<Tally>) -> Self {
        let names = Names { failing_permille, ..Names::default() };
        let (node, chance) = (executor.node(), Chance::new(seed, "internet"));
        Self { executor, node, seed, chance, tally, names: Arc::new(Mutex::new(names)) }
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on nothing fails.
    pub fn calm(&self) {
        self.names().failing_permille = 0;
    }

    /// Adds a text to a name.
    pub fn show(&self, name: &str, text: &str) {
        self.names().texts.entry(name.to_owned()).or_default().insert(text.to_owned());
    }

    /// Takes all texts of a name away.
    pub fn hide(&self, name: &str) {
        self.names().texts.remove(name);
    }

    /// Shows a key authorization on the site of a name, for http-01 with this token.
    pub fn serve(&self, name: &str, token: &str, key_authorization: &str) {
        let mut names = self.names();
        let site = names.sites.entry(name.to_owned()).or_default();
        site.insert(token.to_owned(), key_authorization.to_owned());
    }

    /// Another CA is named for this name, or none any more.
    pub fn forbid(&self, name: &str, forbidden: bool) {
        let mut names = self.names();
        if forbidden {
            names.forbidden.insert(name.to_owned());
            names.ever_forbidden.insert(name.to_owned());
        } else {
            names.forbidden.remove(name);
        }
    }

    /// For so many of a thousand names of clients another CA is named, once and for all.
    pub fn forbid_some(&self, permille: u32) {
        self.names().forbidden_permille = permille;
    }

    /// Whether no certificate may have this name, from the beginning to the end.
    pub fn is_never_permitted(&self, name: &str) -> bool {
        let permille = self.names().forbidden_permille;
        permille > 0 && self.is_of_clients(name) && Chance::new(self.seed, name).happens(permille)
    }

    /// Names above those of clients are climbed to, and forbid nothing.
    fn is_of_clients(&self, name: &str) -> bool {
        self.was_set_up(name)
    }

    /// Whether this text was ever answered for this name.
    pub fn has_shown(&self, name: &str, text: &str) -> bool {
        self.names().shown.contains(&(name.to_owned(), text.to_owned()))
    }

    /// Whether another CA was ever named for this name.
    pub fn was_forbidden(&self, name: &str) -> bool {
        self.names().ever_forbidden.contains(name)
    }

    /// Whether the site of this name ever served this key authorization.
    pub fn has_served(&self, name: &str, key_authorization: &str) -> bool {
        self.names().served.contains(&(name.to_owned(), key_authorization.to_owned()))
    }

    /// Whether anything was ever set up for a challenge of this name, whether or not anybody saw it.
    pub fn was_set_up(&self, name: &str) -> bool {
        let names = self.names();
        names.sites.contains_key(name) || names.texts.contains_key(&format!("_acme-challenge.{name}"))
    }

    /// How many look-ups and visits have failed, since then, that a validation of this name needs: its challenge's, and
    /// the CAA records of the name and those above it. Redirects may lead elsewhere.
    pub fn failures(&self, name: &str, since: Duration) -> usize {
        let challenge = format!("_acme-challenge.{name}");
        let is_above = |of: &str| name.strip_suffix(of).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        let counts = |of: &str| of == challenge || of == HOSTING || is_above(of);
        let names = self.names();
        let of_name = names.failed.iter().filter(|(of, _)| counts(of));
        of_name.flat_map(|(_, times)| times).filter(|at| **at >= since).count()
    }

    /// Whether the site of this name has answered, since then, what no repetition changes.
    pub fn was_wrong(&self, name: &str, since: Duration) -> bool {
        self.names().wrong.get(name).is_some_and(|times| times.iter().any(|at| *at >= since))
    }

    /// What was dialled and is the address of no site: of what only the CA could reach.
    pub fn strays(&self) -> Vec<SocketAddr> {
        self.names().strays.iter().copied().collect()
    }

    /// Whoever tested a challenge of this name, or looked at its CAA, could see nothing.
    pub(crate) fn was_not_seen(&self, name: &str) {
        self.failed_now(&format!("_acme-challenge.{name}"));
    }

    fn fails(&self, name: &str) {
        self.tally.trouble_for(Duration::ZERO);
        self.failed_now(name);
    }

    fn failed_now(&self, name: &str) {
        let at = self.executor.now();
        self.names().failed.entry(name.to_owned()).or_default().push(at);
    }

    fn answer(&self, name: &str, kind: RecordKind) -> Outcome {
        let never_permitted = kind == RecordKind::Caa && self.is_never_permitted(name);
        let mut names = self.names();
        match kind {
            RecordKind::Txt => {
                let Some(texts) = names.texts.get(name).cloned() else { return Outcome::NoName };
                names.shown.extend(texts.iter().map(|text| (name.to_owned(), text.clone())));
                Outcome::Records(texts.into_iter().map(|text| Record::Text(text.into_bytes())).collect())
            }
            RecordKind::Caa if never_permitted || names.forbidden.contains(name) => {
                self.tally.fault("forbidden by CAA");
                let property =
                    Property { critical: false, tag: b"issue".to_vec(), value: b"other.example.net".to_vec() };
                Outcome::Records(vec![Record::Caa(property)])
            }
            RecordKind::Caa => Outcome::NoData,
            RecordKind::A | RecordKind::Aaaa => {
                let address = self.address(&mut names, name, kind == RecordKind::Aaaa);
                address.map_or(Outcome::NoData, |address| Outcome::Records(vec![Record::Address(address)]))
            }
        }
    }

    /// All sites have an IPv4 address, and some have an IPv6 address as well.
    fn address(&self, names: &mut Names, name: &str, v6: bool) -> Option<IpAddr> {
        if name == INSIDE {
            return Some(if v6 { Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::LOCALHOST.into() });
        }
        let is_site = name == HOSTING || names.sites.contains_key(name);
        if !is_site || v6 && !Chance::new(self.seed, name).happens(500) {
            return None;
        }
        let known = names.hosts.iter().position(|host| host == name);
        let place = known.unwrap_or_else(|| {
            names.hosts.push(name.to_owned());
            names.hosts.len() - 1
        });
        let number = u32::try_from(place).ok()?.checked_add(1)?;
        Some(if v6 { sites::v6(number).into() } else { sites::v4(number).into() })
    }
}

#[async_trait]
impl Dns for Internet {
    async fn lookup(&self, name: &str, kind: RecordKind) -> Answer {
        let failing = self.names().failing_permille;
        let (fails, time) = if self.chance.happens(failing) {
            self.tally.fault("look-up failed");
            (true, self.chance.time(Duration::ZERO, Duration::from_secs(15)))
        } else {
            (false, self.chance.time(Duration::ZERO, Duration::from_millis(20)))
        };
        // Whoever does not wait for a failure has met one as well.
        if fails {
            self.fails(name);
        }
        self.executor.sleep(time).await;
        let outcome = if fails { Outcome::Failed(DnsFailure::ServFail) } else { self.answer(name, kind) };
        let ttl_seconds = if matches!(outcome, Outcome::Records(_)) { TTL } else { 0 };
        Answer { outcome, ttl_seconds, evidence: vec![format!("simulated DNS: {kind} {name}")] }
    }
}
