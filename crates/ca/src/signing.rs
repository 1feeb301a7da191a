//! What a signer checks before it signs: records only, and what clients signed themselves. Pure, so that a signer in a
//! process of its own runs the very same checks.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use acme::{Identifier, Jwk, Jws, KeyReference};
use pki::{Certificate, Csr, GeneralName, Sha256, TbsCertificate, Timestamp};

use crate::account::Account;
use crate::authorization::{CaaDecision, CaaRecord};
use crate::ports::{CrlState, SerialStatus, SigningRecord};
use crate::settings::CaaMode;
use crate::urls;
use crate::{AccountId, OrderId};

/// Why a signer won't sign. It names the record that is wrong or missing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(String);

impl Refused {
    fn because(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

/// What the signer itself is configured with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignerRules {
    /// Whether a fresh CAA check must be on record.
    pub caa: CaaMode,
    /// How long a CAA check may be used, in seconds, if its TTL isn't longer.
    pub caa_reuse_seconds: u64,
}

/// Whether this precertificate may be signed.
///
/// # Errors
/// The first record that doesn't bear it out.
pub fn check_precertificate(
    proofs: &Proofs,
    record: &SigningRecord,
    tbs: &TbsCertificate,
    rules: SignerRules,
    now: Timestamp,
) -> Result<(), Refused> {
    if !record.serial.ct {
        return Err(Refused::because("the profile of this serial makes no precertificates"));
    }
    require_status(record, SerialStatus::Wait)?;
    if planned_tbs(record)?.tbs_der() != tbs.der() {
        return Err(Refused::because("these are not the bytes of the linting certificate"));
    }
    check_issuance(proofs, record, tbs, rules, now)
}

/// Whether this certificate may be signed.
///
/// # Errors
/// The first record that doesn't bear it out.
pub fn check_certificate(
    proofs: &Proofs,
    record: &SigningRecord,
    tbs: &TbsCertificate,
    rules: SignerRules,
    now: Timestamp,
) -> Result<(), Refused> {
    let planned = planned_tbs(record)?;
    if record.serial.ct {
        require_status(record, SerialStatus::Good)?;
        pki::corresponds(planned.tbs_der(), tbs.der()).map_err(|mismatch| {
            Refused::because(format!("it does not correspond to its precertificate: {mismatch}"))
        })?;
    } else {
        require_status(record, SerialStatus::Wait)?;
        if planned.tbs_der() != tbs.der() {
            return Err(Refused::because("these are not the bytes of the linting certificate"));
        }
    }
    check_issuance(proofs, record, tbs, rules, now)
}

/// Whether a CRL with this number may be signed.
///
/// # Errors
/// The number was not allocated, or was signed before.
pub fn check_crl(state: &CrlState, number: u64) -> Result<(), Refused> {
    if number != state.allocated {
        return Err(Refused::because(format!(
            "CRL number {number} is not the one allocated last, {}",
            state.allocated
        )));
    }
    match &state.last {
        Some(last) if last.number >= number => Err(Refused::because(format!("a CRL with number {number} is stored"))),
        Some(_) | None => Ok(()),
    }
}

fn require_status(record: &SigningRecord, status: SerialStatus) -> Result<(), Refused> {
    let serial = &record.serial;
    if !serial.current {
        return Err(Refused::because("a newer issuance of this order has begun, or the order has ended"));
    }
    if serial.status != status {
        return Err(Refused::because(format!("the serial is {}, not {}", serial.status.name(), status.name())));
    }
    Ok(())
}

fn planned_tbs(record: &SigningRecord) -> Result<Certificate, Refused> {
    Certificate::from_der(&record.serial.linting_certificate)
        .map_err(|error| Refused::because(format!("the linting certificate on record can't be read: {error}")))
}

fn check_issuance(
    proofs: &Proofs,
    record: &SigningRecord,
    tbs: &TbsCertificate,
    rules: SignerRules,
    now: Timestamp,
) -> Result<(), Refused> {
    if record.key_blocked {
        return Err(Refused::because("the certificate's key is blocked"));
    }
    if !record.account.is_valid() {
        return Err(Refused::because("the account is not valid"));
    }
    let csr = proofs.signed_request(record)?;
    let planned = planned_tbs(record)?;
    if planned.serial() != tbs.serial() {
        return Err(Refused::because("the serial is not that of the linting certificate"));
    }
    if planned.public_key() != csr.public_key() {
        return Err(Refused::because("the key is not that of the client's own request"));
    }
    let names = planned.names();
    if names != csr.names() {
        return Err(Refused::because("the names are not those of the client's own request"));
    }
    check_authorizations(record, names, now)?;
    match rules.caa {
        CaaMode::Enforce => check_caa(record, rules, now),
        CaaMode::Log | CaaMode::Off => Ok(()),
    }
}

/// What clients' own signatures were found to prove. Bytes don't change, so each is verified once; the last few
/// thousand are remembered.
#[derive(Debug, Default)]
pub struct Proofs {
    keys: Mutex<Remembered<Jwk>>,
    requests: Mutex<Remembered<Csr>>,
}

/// So many proofs of each kind are remembered.
const PROOFS_MAX: usize = 4096;

#[derive(Debug)]
struct Remembered<T> {
    proved: HashMap<Sha256, T>,
    oldest_first: VecDeque<Sha256>,
}

impl<T> Default for Remembered<T> {
    fn default() -> Self {
        Self { proved: HashMap::new(), oldest_first: VecDeque::new() }
    }
}

impl<T: Clone> Remembered<T> {
    fn add(&mut self, name: Sha256, proved: T) {
        if self.oldest_first.len() >= PROOFS_MAX
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.proved.remove(&oldest);
        }
        if self.proved.insert(name, proved).is_none() {
            self.oldest_first.push_back(name);
        }
    }
}

/// What these bytes prove: found, or proved now.
fn once<T: Clone>(
    remembered: &Mutex<Remembered<T>>,
    name: Sha256,
    prove: impl FnOnce() -> Result<T, Refused>,
) -> Result<T, Refused> {
    let found = remembered.lock().unwrap_or_else(PoisonError::into_inner).proved.get(&name).cloned();
    if let Some(found) = found {
        return Ok(found);
    }
    let proved = prove()?;
    remembered.lock().unwrap_or_else(PoisonError::into_inner).add(name, proved.clone());
    Ok(proved)
}

impl Proofs {
    /// The CSR of the finalize request that the account's own key signed for this very order.
    fn signed_request(&self, record: &SigningRecord) -> Result<Csr, Refused> {
        let finalize = record
            .order
            .finalize_request()
            .ok_or_else(|| Refused::because("the order on record has no finalize request"))?;
        let key = self.account_key(&record.account)?;
        let (account, order) = (record.account.id, record.serial.order);
        let thumbprint = key.thumbprint();
        let name =
            Sha256::of_parts(&[account.as_bytes(), order.as_bytes(), thumbprint.as_bytes(), finalize.jws.as_slice()]);
        once(&self.requests, name, || signed_request(&finalize.jws, account, order, &key))
    }

    fn account_key(&self, account: &Account) -> Result<Jwk, Refused> {
        let [first] = account.proofs.as_slice() else { return proven_key(account) };
        let name = Sha256::of_parts(&[account.thumbprint().as_bytes(), first]);
        once(&self.keys, name, || proven_key(account))
    }
}

fn signed_request(finalize: &[u8], account: AccountId, order: OrderId, key: &Jwk) -> Result<Csr, Refused> {
    let wrong = |what: String| Refused::because(format!("the finalize request on record: {what}"));
    let jws = Jws::parse(finalize).map_err(|error| wrong(error.to_string()))?;
    match &jws.protected().key {
        KeyReference::Kid(kid) if kid.ends_with(&urls::account(account)) => {}
        KeyReference::Kid(_) | KeyReference::Jwk(_) => return Err(wrong("is not signed by the account".into())),
    }
    if !jws.protected().url.ends_with(&urls::finalize(order)) {
        return Err(wrong("is for another order".into()));
    }
    let verified = jws.verify(key.verifying_key()).map_err(|error| wrong(error.to_string()))?;
    let payload: acme::Finalize = verified.json().map_err(|error| wrong(error.to_string()))?;
    let der = payload.csr_der().map_err(|problem| wrong(problem.detail))?;
    // The account's signature says what it wants; who took the request made sure that it has the key.
    Csr::parse_without_proof(&der).map_err(|error| wrong(error.to_string()))
}

/// The account's key, as the chain of its own signed requests proves it.
///
/// # Errors
/// The chain is empty, doesn't verify, or doesn't end with the key that the account's record names.
pub fn proven_key(account: &Account) -> Result<Jwk, Refused> {
    let wrong = |what: String| Refused::because(format!("the account's key is not proved: {what}"));
    let [first] = account.proofs.as_slice() else {
        return Err(wrong(format!("{} requests on record, expected the one of newAccount", account.proofs.len())));
    };
    let jws = Jws::parse(first).map_err(|error| wrong(error.to_string()))?;
    if !jws.protected().url.ends_with(urls::NEW_ACCOUNT) {
        return Err(wrong("the first request is not newAccount".into()));
    }
    let KeyReference::Jwk(key) = jws.protected().key.clone() else {
        return Err(wrong("newAccount carries no key".into()));
    };
    jws.verify(key.verifying_key()).map_err(|error| wrong(error.to_string()))?;
    if key != account.key {
        return Err(wrong("the record names another key".into()));
    }
    Ok(key)
}

fn check_authorizations(record: &SigningRecord, names: &BTreeSet<GeneralName>, now: Timestamp) -> Result<(), Refused> {
    for name in names {
        let covered = record.authorizations.iter().any(|authorization| {
            authorization.account == record.account.id
                && authorization.end.is_good(now)
                && general_name(&authorization.identifier) == *name
        });
        if !covered {
            return Err(Refused::because(format!("the account has no good authorization for {name}")));
        }
    }
    Ok(())
}

fn check_caa(record: &SigningRecord, rules: SignerRules, now: Timestamp) -> Result<(), Refused> {
    let checks: Vec<&CaaRecord> = record
        .rechecks
        .iter()
        .chain(record.authorizations.iter().filter_map(|authorization| authorization.caa.as_ref()))
        .collect();
    for identifier in &record.order.identifiers {
        let permitted = checks.iter().any(|check| {
            check.identifier == *identifier && permits(&check.decision) && is_fresh(check, rules.caa_reuse_seconds, now)
        });
        if !permitted && !matches!(identifier, Identifier::Ip(_)) {
            return Err(Refused::because(format!("no fresh CAA check permits {identifier}")));
        }
    }
    Ok(())
}

/// Whether a decision lets a certificate be issued.
pub const fn permits(decision: &CaaDecision) -> bool {
    match decision {
        CaaDecision::Permitted | CaaDecision::NotApplicable => true,
        CaaDecision::Forbidden { .. } | CaaDecision::Failed { .. } => false,
    }
}

/// Whether a CAA check may still be used: for 8 hours, or its TTL if that is longer (BR 4.2.2.1).
pub fn is_fresh(check: &CaaRecord, reuse_seconds: u64, now: Timestamp) -> bool {
    now.since(check.checked).as_secs() <= reuse_seconds.max(u64::from(check.ttl_seconds))
}

/// An identifier as it stands in a certificate.
pub fn general_name(identifier: &Identifier) -> GeneralName {
    match identifier {
        Identifier::Dns(name) => GeneralName::Dns(name.as_str().to_owned()),
        Identifier::Wildcard(name) => GeneralName::Dns(format!("*.{}", name.as_str())),
        Identifier::Ip(address) => GeneralName::Ip(*address),
    }
}
