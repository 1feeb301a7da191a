//! The world that validation sees: names with their records, as clients set them, and the faults of those who serve
//! them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use validation::caa::Property;
use validation::dns::{Answer, Dns, DnsFailure, Outcome, Record, RecordKind};

use crate::chance::Chance;
use crate::executor::Executor;
use crate::tally::Tally;

/// The CA's own name in CAA records.
pub const CAA_IDENTITY: &str = "ca.example.com";
/// The time to live of all records, in seconds.
const TTL: u32 = 60;

#[derive(Debug, Default)]
struct Names {
    texts: BTreeMap<String, BTreeSet<String>>,
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
    seed: u64,
    chance: Chance,
    tally: Arc<Tally>,
    names: Mutex<Names>,
}

impl Internet {
    /// No names yet; so many of a thousand look-ups fail.
    pub fn new(executor: Executor, seed: u64, failing_permille: u32, tally: Arc<Tally>) -> Self {
        let names = Names { failing_permille, ..Names::default() };
        Self { executor, seed, chance: Chance::new(seed, "internet"), tally, names: Mutex::new(names) }
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
        self.names().texts.contains_key(&format!("_acme-challenge.{name}"))
    }

    /// Whether this text was ever answered for this name.
    pub fn has_shown(&self, name: &str, text: &str) -> bool {
        self.names().shown.contains(&(name.to_owned(), text.to_owned()))
    }

    /// Whether another CA was ever named for this name.
    pub fn was_forbidden(&self, name: &str) -> bool {
        self.names().ever_forbidden.contains(name)
    }

    /// Whether anything was ever answered for this name.
    pub fn has_shown_any(&self, name: &str) -> bool {
        self.names().shown.iter().any(|(of, _)| of == name)
    }

    /// How many look-ups have failed, since then, that a validation of this name needs: its challenge's, and the CAA
    /// records of the name and those above it.
    pub fn failures(&self, name: &str, since: Duration) -> usize {
        let challenge = format!("_acme-challenge.{name}");
        let is_above = |of: &str| name.strip_suffix(of).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        let names = self.names();
        let of_name = names.failed.iter().filter(|(of, _)| **of == challenge || is_above(of));
        of_name.flat_map(|(_, times)| times).filter(|at| **at >= since).count()
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
            RecordKind::Caa | RecordKind::A | RecordKind::Aaaa => Outcome::NoData,
        }
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
