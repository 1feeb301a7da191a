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
use super::{Failure, serial_file};

const PAGE: u32 = 500;
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

    pub(super) fn pages<'a>(&'a self, ledger: &'a dyn Ledger) -> Pages<'a> {
        let place = match self {
            Self::Listed(serials) => Place::Listed(serials),
            Self::Found(filter) => Place::Found(filter.clone()),
            Self::Below(domain) => Place::Below(Below {
                domain,
                beginning: reversed_labels(domain.as_str()),
                names: VecDeque::new(),
                last: None,
                current: None,
            }),
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
    let block = blocks.into_iter().find(|(label, _)| label != "EC PARAMETERS");
    let Some((label, der)) = block else { return Err(unusable(file, "there is no PEM in it")) };
    match label.as_str() {
        "CERTIFICATE" => Certificate::from_der(&der)
            .map(|certificate| certificate.public_key().spki_hash())
            .map_err(|error| unusable(file, error)),
        "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => {
            Csr::parse(&der).map(|csr| csr.public_key().spki_hash()).map_err(|error| unusable(file, error))
        }
        "PUBLIC KEY" => {
            PublicKey::from_spki_der(&der).map(|key| key.spki_hash()).map_err(|error| unusable(file, error))
        }
        "PRIVATE KEY" => KeyPair::from_pkcs8_der(&der)
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
    Below(Below<'a>),
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

impl Below<'_> {
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
            let filter = SerialFilter { name: Some(name.clone()), ..SerialFilter::default() };
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
}

impl Counts {
    /// Reads all of a choice once.
    ///
    /// # Errors
    /// The ledger can't be read.
    pub(super) async fn of(mut pages: Pages<'_>, now: Timestamp, expired_too: bool) -> Result<Self, Failure> {
        let mut counts = Self::default();
        while let Some(page) = pages.next().await? {
            for record in &page {
                counts.add(record, Fate::of(record, now, expired_too));
            }
        }
        Ok(counts)
    }

    fn add(&mut self, record: &SerialRecord, fate: Fate) {
        match fate {
            Fate::Revoked => self.revoked += 1,
            Fate::Expired => self.expired += 1,
            Fate::Chosen => {
                self.chosen += 1;
                match record.status {
                    SerialStatus::Wait => self.wait += 1,
                    SerialStatus::Good => self.good += 1,
                    SerialStatus::Revoked => {}
                }
                self.abandoned += u64::from(record.is_abandoned());
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
        facts.add("already revoked", self.revoked.to_string());
        facts.add("expired, left out", self.expired.to_string());
        facts
    }

    pub(super) fn document(&self) -> Value {
        let issuers = self.issuers.iter().map(|(issuer, count)| (issuer.to_string(), *count));
        json!({
            "chosen": self.chosen,
            "good": self.good,
            "wait": self.wait,
            "abandoned": self.abandoned,
            "profiles": self.profiles,
            "issuers": issuers.collect::<BTreeMap<_, _>>(),
            "first_names": self.names,
            "already_revoked": self.revoked,
            "expired_left_out": self.expired,
        })
    }
}

fn joined<K: std::fmt::Display>(counts: &BTreeMap<K, u64>) -> String {
    let counts: Vec<String> = counts.iter().map(|(what, count)| format!("{what} {count}")).collect();
    counts.join(", ")
}
