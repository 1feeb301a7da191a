//! The keys that certificates are verified with: root and issuers, and the built-in logs.

use std::collections::BTreeMap;
use std::path::Path;

use pki::{Certificate, LogId, PublicKey, Sha256};

use super::Invariant;
use super::report::{Fault, Report};
use crate::hierarchy::chains::{self, CHAINS_MAX};
use crate::hierarchy::{Files, log_keys};

/// More issuers than this are no hierarchy of one CA.
const AUTHORITIES_MAX: usize = 1_000;

/// The keys of the built-in logs of a data folder, as far as they can be read: number and key. Those of logs that have
/// ended have the number of the log that took their place.
pub(crate) fn log_keys(data: &Path) -> BTreeMap<LogId, (u8, PublicKey)> {
    let files = Files::of(data);
    let retired = log_keys::retired(&files).unwrap_or_default().into_iter().map(|log| {
        let digits = log.name.trim_start_matches("log-").split('.').next().unwrap_or_default();
        (LogId::of(&log.key), (digits.parse().unwrap_or_default(), log.key))
    });
    (0..u8::MAX)
        .filter_map(|number| {
            let pair = files.key(&format!("log-{number}")).load().ok()?;
            let key = pair.public_key().clone();
            Some((LogId::of(&key), (number, key)))
        })
        .chain(retired)
        .collect()
}

/// The certificates of this CA itself, each verified.
#[derive(Debug, Default)]
pub(super) struct Authorities {
    by_id: BTreeMap<Sha256, Certificate>,
    /// The keys of the built-in logs.
    pub(super) log_keys: BTreeMap<LogId, (u8, PublicKey)>,
}

impl Authorities {
    /// Reads those of a data folder.
    pub(super) fn read(data: &Path, report: &mut Report) -> Self {
        let files = Files::of(data);
        let mut authorities = Self { by_id: BTreeMap::new(), log_keys: log_keys(data) };
        let chain = |number: u16| (chains::file(&files.chains, number), format!("chains/{number}.pem"));
        let chains = (1..=CHAINS_MAX).map(chain).filter(|(path, _)| path.exists());
        let own = [(files.root, "root.pem".to_owned()), (files.intermediate, "intermediate.pem".to_owned())];
        for (path, name) in own.into_iter().chain(chains) {
            let faults = match read(&path) {
                // Each is verified under the one behind it.
                Ok(certificates) => certificates.into_iter().rev().filter_map(|one| authorities.add(one)).collect(),
                Err(detail) => vec![detail],
            };
            for detail in faults {
                report.add(&name, Fault::new(Invariant::CertificateChain, detail));
            }
        }
        authorities
    }

    /// Those that are given, each behind the one that signed it.
    pub(super) fn of(certificates: &[Certificate], keys: &[PublicKey], report: &mut Report) -> Self {
        let log_keys = (0..).zip(keys).map(|(number, key)| (LogId::of(key), (number, key.clone()))).collect();
        let mut authorities = Self { by_id: BTreeMap::new(), log_keys };
        for certificate in certificates {
            if let Some(detail) = authorities.add(certificate.clone()) {
                report.add("an authority", Fault::new(Invariant::CertificateChain, detail));
            }
        }
        authorities
    }

    /// Adds an authority that verifies under one that is known, or under itself. What is wrong with it, if anything is.
    pub(super) fn add(&mut self, certificate: Certificate) -> Option<String> {
        let id = certificate.public_key().spki_hash();
        if !certificate.is_authority() {
            return Some("it is no certificate of a CA (RFC 5280 4.2.1.9)".to_owned());
        }
        let signer = if certificate.issuer() == certificate.subject() {
            Some(&certificate)
        } else {
            self.by_id.values().find(|one| {
                one.subject() == certificate.issuer() && one.key_identifier() == certificate.authority_key_identifier()
            })
        };
        let Some(signer) = signer else {
            return Some("its issuer is neither in the data folder nor in the audit log".to_owned());
        };
        if let Err(error) = certificate.verify_signed_by(signer.public_key()) {
            return Some(format!("it does not verify under its issuer: {error}"));
        }
        if self.by_id.len() < AUTHORITIES_MAX {
            self.by_id.entry(id).or_insert(certificate);
        }
        None
    }

    /// The certificate of this issuer.
    pub(super) fn issuer(&self, id: &Sha256) -> Option<&Certificate> {
        self.by_id.get(id)
    }

    /// The ids of those that issue certificates for others than themselves.
    pub(super) fn ids(&self) -> Vec<Sha256> {
        self.by_id.keys().copied().collect()
    }

    /// Whether this is a root: its CRL is made with the hierarchy, without a number of the ledger's.
    pub(super) fn is_root(&self, id: &Sha256) -> bool {
        self.by_id.get(id).is_some_and(|certificate| certificate.issuer() == certificate.subject())
    }
}

fn read(path: &Path) -> Result<Vec<Certificate>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("it can't be read: {error}"))?;
    let blocks = pki::pem::decode(&text).map_err(|error| error.to_string())?;
    blocks.iter().map(|(_, der)| Certificate::from_der(der).map_err(|error| error.to_string())).collect()
}
