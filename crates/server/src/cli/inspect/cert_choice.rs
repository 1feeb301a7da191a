//! Which certificates a command means, page by page, and how many they are.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;

use acme::DnsName;
use ca::ports::{Ledger, SerialFilter, SerialRecord, SerialStatus};
use keys::KeyPair;
use pki::{Certificate, Csr, GeneralName, PublicKey, Serial, Sha256, Timestamp, reversed_labels};
use serde_json::{Value, json};

use super::cert::names;
use super::key::{read, unusable};
use super::print::Facts;
use super::progress::Progress;
use super::{Failure, serial_file};

const PAGE: u32 = 500;
/// So many keys are blocked by one command at most: each is remembered while it counts.
const KEYS_MAX: usize = 1_000_000;
/// So many names are shown of what is chosen.
const NAMES_SHOWN: usize = 10;

/// What certificates are chosen by.
#[derive(Debug)]
pub(super) enum Choice {
    /// These.
    Listed(Vec<Serial>),
    /// All that the ledger finds by this.
    Found(SerialFilter),
    /// All that have a name that is this domain or below it.
    Below(DnsName),
}

impl Choice {
    /// What a file lists.
    ///
    /// # Errors
    /// The file is not good as a whole.
    pub(super) async fn of_file(file: &Path, ledger: &dyn Ledger) -> Result<Self, Failure> {
        Ok(Self::Listed(serial_file::read(file, ledger).await?.into_iter().collect()))
    }

    /// These, if the ledger has all of them.
    ///
    /// # Errors
    /// It never allocated one of them.
    pub(super) async fn of_serials(serials: &[Serial], ledger: &dyn Ledger) -> Result<Self, Failure> {
        let distinct: BTreeSet<Serial> = serials.iter().copied().collect();
        for serial in &distinct {
            if ledger.status(*serial).await.map_err(Failure::failed)?.is_none() {
                return Err(Failure::Failed(format!(
                    "nothing is revoked: this CA never allocated the serial {serial}"
                )));
            }
        }
        Ok(Self::Listed(distinct.into_iter().collect()))
    }

    /// All that was issued for a key: by its hash, or by a file that has it or goes with it.
    ///
    /// # Errors
    /// There is no key in the file.
    pub(super) fn of_key(text: &str) -> Result<Self, Failure> {
        Ok(Self::Found(SerialFilter { spki_hash: Some(key_hash(text)?), ..SerialFilter::default() }))
    }

    /// What is chosen of the serials up to the one that was allocated last; none was: nothing is.
    pub(super) fn until<'a>(&'a self, last: Option<Serial>, ledger: &'a dyn Ledger) -> Pages<'a> {
        let place = match (self, last) {
            (Self::Listed(serials), _) => Place::Listed(serials),
            (Self::Found(_) | Self::Below(_), None) => Place::Listed(&[]),
            (Self::Found(filter), Some(_)) => Place::Found(SerialFilter { until: last, ..filter.clone() }),
            (Self::Below(domain), Some(_)) => {
                Place::Below(Below::of(domain, SerialFilter { until: last, ..SerialFilter::default() }))
            }
        };
        Pages { ledger, place }
    }

    /// What is chosen of the serials that were allocated after that one.
    pub(super) fn after<'a>(&'a self, last: Option<Serial>, ledger: &'a dyn Ledger) -> Pages<'a> {
        let place = match self {
            Self::Listed(_) => Place::Listed(&[]),
            Self::Found(filter) => Place::Found(SerialFilter { after: last, ..filter.clone() }),
            Self::Below(domain) => {
                Place::Below(Below::of(domain, SerialFilter { after: last, ..SerialFilter::default() }))
            }
        };
        Pages { ledger, place }
    }
}

fn key_hash(text: &str) -> Result<Sha256, Failure> {
    if let Ok(hash) = text.parse() {
        return Ok(hash);
    }
    let file = Path::new(text);
    if !file.exists() {
        let expected = "neither a file nor SHA-256 of a SubjectPublicKeyInfo in 64 hexadecimal digits";
        return Err(Failure::Usage(format!("--key {text}: {expected}")));
    }
    let octets = read(file)?;
    let pem = std::str::from_utf8(&octets).map_err(|_| unusable(file, "this is no PEM"))?;
    let blocks = pki::pem::decode(pem).map_err(|error| unusable(file, error))?;
    let blocks = blocks.iter().filter(|(label, _)| label != "EC PARAMETERS");
    let keys = blocks.map(|(label, der)| key_of_block(file, label, der)).collect::<Result<BTreeSet<_>, _>>()?;
    match (keys.first(), keys.len()) {
        (Some(key), 1) => Ok(*key),
        (None, _) => Err(unusable(file, "there is no PEM in it")),
        (Some(_), several) => Err(unusable(
            file,
            format!("it has {several} different keys (a chain of certificates?); which one is meant? Leave only that"),
        )),
    }
}

fn key_of_block(file: &Path, label: &str, der: &[u8]) -> Result<Sha256, Failure> {
    match label {
        "CERTIFICATE" => Certificate::from_der(der)
            .map(|certificate| certificate.public_key().spki_hash())
            .map_err(|error| unusable(file, error)),
        "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => {
            Csr::parse(der).map(|csr| csr.public_key().spki_hash()).map_err(|error| unusable(file, error))
        }
        "PUBLIC KEY" => PublicKey::from_spki_der(der).map(|key| key.spki_hash()).map_err(|error| unusable(file, error)),
        "PRIVATE KEY" => KeyPair::from_pkcs8_der(der)
            .map(|pair| pair.public_key().spki_hash())
            .map_err(|error| unusable(file, error)),
        other => Err(unusable(
            file,
            format!(
                "it has a {other}; what is read here is a certificate, a CSR, a public key or a private key in PKCS#8 \
                 (`openssl pkcs8 -topk8 -nocrypt -in FILE` writes one)"
            ),
        )),
    }
}

/// What was chosen, a page after the other, each serial once; its place holds while serials are revoked and added.
pub(super) struct Pages<'a> {
    ledger: &'a dyn Ledger,
    place: Place<'a>,
}

enum Place<'a> {
    Listed(&'a [Serial]),
    Found(SerialFilter),
    Below(Box<Below<'a>>),
}

struct Below<'a> {
    domain: &'a DnsName,
    /// The domain as names below it begin.
    beginning: String,
    /// The names that come next.
    names: VecDeque<GeneralName>,
    /// The last of the names that were read.
    last: Option<GeneralName>,
    /// Where it stands in the serials of a name.
    current: Option<(GeneralName, SerialFilter)>,
    /// Which serials of each name.
    only: SerialFilter,
}

impl Pages<'_> {
    /// The next page; it may be empty. `None`: that was all.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<SerialRecord>>, Failure> {
        match &mut self.place {
            Place::Listed(left) => {
                let (page, rest) = left.split_at(left.len().min(PAGE as usize));
                *left = rest;
                let mut records = Vec::with_capacity(page.len());
                for serial in page {
                    records.extend(self.ledger.serial(*serial).await.map_err(Failure::failed)?);
                }
                Ok((!page.is_empty()).then_some(records))
            }
            Place::Found(filter) => {
                let page = self.ledger.serials(filter.clone(), PAGE).await.map_err(Failure::failed)?;
                filter.after = page.last().map(|last| last.serial);
                Ok((!page.is_empty()).then_some(page))
            }
            Place::Below(below) => below.next(self.ledger).await,
        }
    }
}

impl<'a> Below<'a> {
    fn of(domain: &'a DnsName, only: SerialFilter) -> Box<Self> {
        let beginning = reversed_labels(domain.as_str());
        Box::new(Self { domain, beginning, names: VecDeque::new(), last: None, current: None, only })
    }

    async fn next(&mut self, ledger: &dyn Ledger) -> Result<Option<Vec<SerialRecord>>, Failure> {
        let Some((name, mut filter)) = self.name(ledger).await? else { return Ok(None) };
        let mut page = ledger.serials(filter.clone(), PAGE).await.map_err(Failure::failed)?;
        if page.len() == PAGE as usize {
            filter.after = page.last().map(|last| last.serial);
            self.current = Some((name.clone(), filter));
        }
        // A serial with several such names is the first one's.
        let name = reversed_labels(&name.to_string());
        page.retain(|record| self.first_of(record).is_none_or(|first| first == name));
        Ok(Some(page))
    }

    async fn name(&mut self, ledger: &dyn Ledger) -> Result<Option<(GeneralName, SerialFilter)>, Failure> {
        if let Some(current) = self.current.take() {
            return Ok(Some(current));
        }
        if self.names.is_empty() {
            let names = ledger.names_below(self.domain, self.last.clone(), PAGE).await.map_err(Failure::failed)?;
            self.last = names.last().cloned().or_else(|| self.last.take());
            self.names = names.into();
        }
        let next = self.names.pop_front();
        Ok(next.map(|name| {
            let filter = SerialFilter { name: Some(name.clone()), ..self.only.clone() };
            (name, filter)
        }))
    }

    fn first_of(&self, record: &SerialRecord) -> Option<String> {
        let names = names(record).into_iter().map(|name| reversed_labels(&name));
        names.filter(|name| name.starts_with(&self.beginning)).min()
    }
}

/// What becomes of a serial that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Chosen,
    /// It is revoked already.
    Revoked,
    /// It has expired, and that leaves it out.
    Expired,
}

impl Fate {
    pub(super) fn of(record: &SerialRecord, now: Timestamp, expired_too: bool) -> Self {
        if record.status == SerialStatus::Revoked {
            Self::Revoked
        } else if !expired_too && record.not_after < now {
            Self::Expired
        } else {
            Self::Chosen
        }
    }
}

/// How many were found, and which.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Those that are to be revoked.
    pub(super) chosen: u64,
    wait: u64,
    good: u64,
    abandoned: u64,
    /// Those that are revoked already.
    pub(super) revoked: u64,
    /// Those that are left out.
    pub(super) expired: u64,
    issuers: BTreeMap<Sha256, u64>,
    profiles: BTreeMap<String, u64>,
    names: Vec<String>,
    /// How many of those that are to be revoked have each key, if the keys are to be blocked: also those of what is
    /// revoked already.
    keys: Option<BTreeMap<Sha256, u64>>,
    /// Others that have these keys, and are revoked with them.
    others: u64,
}

impl Counts {
    /// Reads all of a choice once, and shows how many it has read.
    ///
    /// # Errors
    /// The ledger can't be read.
    pub(super) async fn of(
        mut pages: Pages<'_>,
        (now, expired_too): (Timestamp, bool),
        progress: &Progress,
    ) -> Result<Self, Failure> {
        let mut counts = Self::default();
        counts.read(&mut pages, (now, expired_too), progress).await?;
        Ok(counts)
    }

    /// As [`Counts::of`], and what else has the keys of those that are to be revoked: blocked keys have nothing that
    /// stays good.
    ///
    /// # Errors
    /// The ledger can't be read, or there are too many keys.
    pub(super) async fn with_keys(
        mut pages: Pages<'_>,
        (now, expired_too): (Timestamp, bool),
        progress: &Progress,
    ) -> Result<Self, Failure> {
        let mut counts = Self { keys: Some(BTreeMap::new()), ..Self::default() };
        counts.read(&mut pages, (now, expired_too), progress).await?;
        for (key, chosen) in counts.keys.iter().flatten() {
            let (mut of_key, mut after) = (0_u64, None);
            loop {
                let page = pages.ledger.unrevoked_of_key(*key, after, PAGE).await.map_err(Failure::failed)?;
                of_key += page.len() as u64;
                after = page.last().copied();
                progress.advance(page.len() as u64);
                if page.len() < PAGE as usize {
                    break;
                }
            }
            counts.others += of_key.saturating_sub(*chosen);
        }
        Ok(counts)
    }

    async fn read(
        &mut self,
        pages: &mut Pages<'_>,
        (now, expired_too): (Timestamp, bool),
        progress: &Progress,
    ) -> Result<(), Failure> {
        while let Some(page) = pages.next().await? {
            progress.advance(page.len() as u64);
            for record in &page {
                self.add(record, Fate::of(record, now, expired_too));
            }
            if self.keys.as_ref().is_some_and(|keys| keys.len() > KEYS_MAX) {
                return Err(Failure::Failed(format!(
                    "nothing is revoked: more than {KEYS_MAX} keys would be blocked; choose fewer at a time"
                )));
            }
        }
        Ok(())
    }

    /// Whether nothing at all was found, whatever would become of it.
    pub(super) const fn is_nothing(&self) -> bool {
        self.chosen == 0 && self.revoked == 0 && self.expired == 0
    }

    /// How many keys are to be blocked, those of what is revoked already among them.
    pub(super) fn keys_to_block(&self) -> usize {
        self.keys.as_ref().map_or(0, BTreeMap::len)
    }

    fn add(&mut self, record: &SerialRecord, fate: Fate) {
        match fate {
            Fate::Revoked => {
                self.revoked += 1;
                if let Some(keys) = &mut self.keys {
                    keys.entry(record.spki_hash).or_default();
                }
            }
            Fate::Expired => self.expired += 1,
            Fate::Chosen => {
                self.chosen += 1;
                match record.status {
                    SerialStatus::Wait => self.wait += 1,
                    SerialStatus::Good => self.good += 1,
                    SerialStatus::Revoked => {}
                }
                self.abandoned += u64::from(record.is_abandoned());
                if let Some(keys) = &mut self.keys {
                    *keys.entry(record.spki_hash).or_default() += 1;
                }
                *self.issuers.entry(record.issuer).or_default() += 1;
                *self.profiles.entry(record.profile.clone()).or_default() += 1;
                if self.names.len() < NAMES_SHOWN {
                    for name in names(record) {
                        if self.names.len() < NAMES_SHOWN && !self.names.contains(&name) {
                            self.names.push(name);
                        }
                    }
                }
            }
        }
    }

    pub(super) fn facts(&self) -> Facts {
        let mut facts = Facts::default();
        facts.add("to be revoked", self.chosen.to_string());
        if self.chosen > 0 {
            facts.add("status", format!("good {}, wait {}", self.good, self.wait));
            facts.add("abandoned", self.abandoned.to_string());
            facts.add("by profile", joined(&self.profiles));
            facts.add("by issuer", joined(&self.issuers));
            facts.add("first names", self.names.join(" "));
        }
        if let Some(keys) = &self.keys {
            facts.add("keys to be blocked", format!("{}; an account that has one ends", keys.len()));
            facts.add("others with these keys", format!("{}, revoked with them", self.others));
        }
        facts.add("already revoked", self.revoked.to_string());
        facts.add("expired, left out", self.expired.to_string());
        facts
    }

    pub(super) fn document(&self) -> Value {
        let issuers = self.issuers.iter().map(|(issuer, count)| (issuer.to_string(), *count));
        let mut document = json!({
            "chosen": self.chosen,
            "good": self.good,
            "wait": self.wait,
            "abandoned": self.abandoned,
            "profiles": self.profiles,
            "issuers": issuers.collect::<BTreeMap<_, _>>(),
            "first_names": self.names,
            "already_revoked": self.revoked,
            "expired_left_out": self.expired,
        });
        if let Some(keys) = &self.keys {
            document["keys"] = keys.len().into();
            document["others_with_these_keys"] = self.others.into();
        }
        document
    }
}

fn joined<K: std::fmt::Display>(counts: &BTreeMap<K, u64>) -> String {
    let counts: Vec<String> = counts.iter().map(|(what, count)| format!("{what} {count}")).collect();
    counts.join(", ")
}
