//! What a signer checks before it signs: records only, and what clients signed themselves. Pure, so that a signer in a
//! process of its own runs the very same checks.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use acme::{Identifier, Jwk, Jws, KeyChange, KeyReference};
use pki::ocsp::{IssuerIdentity, ResponseData};
use pki::{Certificate, Crl, Csr, GeneralName, PublicKey, Sha256, TbsCertificate, Timestamp};

use crate::account::Account;
use crate::authorization::{CaaDecision, CaaRecord};
use crate::clock::BEHIND_MAX;
use crate::crl::CrlScheme;
use crate::ocsp::says_the_same;
use crate::ports::{CrlState, ResponderRecord, SerialRecord, SerialStatus, SigningRecord, StatusRecord};
use crate::settings::{CaaMode, Settings};
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
    /// How long after finalize an order may wait for its certificate, in seconds: for so long after a key change a
    /// finalize request counts that was signed with the key before it.
    pub finalize_seconds: u64,
}

impl SignerRules {
    /// Those of a configuration.
    pub const fn of(settings: &Settings) -> Self {
        Self {
            caa: settings.caa,
            caa_reuse_seconds: settings.times.caa_reuse.as_secs(),
            finalize_seconds: settings.times.issue_deadline.as_secs(),
        }
    }
}

/// A request that was checked against a key may be noted so much later than the change of that key.
const TAKING: Duration = Duration::from_secs(10);

/// A key that an account has or had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenKey {
    /// The key.
    pub key: Jwk,
    /// Since when.
    pub since: Timestamp,
    /// When the next one took its place.
    pub until: Option<Timestamp>,
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
    if planned_tbs(record)?.tbs_der() != tbs.der() && !planted!(OtherBytesSigned) {
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
        let corresponds = planted!(FinalBuiltAnew { Ok(()) } else { pki::corresponds(planned.tbs_der(), tbs.der()) });
        corresponds.map_err(|mismatch| {
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

/// Whether the linting certificate on record, which is what may be signed, says the CRL that a revocation would show
/// in: the URL of its shard in the generation that it was allocated in.
///
/// # Errors
/// [`Refused`].
pub fn check_crl_pointer(crls: &CrlScheme, record: &SigningRecord) -> Result<(), Refused> {
    let planned = planned_tbs(record)?;
    let Some(said) = planned.crl_url() else { return Ok(()) };
    let SerialRecord { issuer, serial, crl_generation, .. } = &record.serial;
    match crls.url_of(issuer, *crl_generation, *serial) {
        Some(url) if url == said => Ok(()),
        Some(url) => Err(Refused::because(format!("it says that its CRL is {said}, where it is {url}"))),
        None => Err(Refused::because(format!("there is no generation {crl_generation} of CRL shards in this CA"))),
    }
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
    check_crl_grows(state, number)
}

/// A CRL, and an OCSP answer, is signed so long after its `thisUpdate` at the latest: with an earlier one it would not
/// have to show what was revoked since.
const SIGNED_WITHIN: Duration = Duration::from_secs(3_600);
/// No CRL, and no OCSP answer, counts for longer (BR 4.9.7, 4.9.10).
const STATUS_VALIDITY_MAX: Duration = Duration::from_secs(10 * 86_400);

/// Whether a CRL with these times may be signed now, behind the last one of its shard.
///
/// # Errors
/// It is too old or counts for too long, or it would count from before the last one.
pub fn check_crl_times(state: &CrlState, crl: &Crl, now: Timestamp) -> Result<(), Refused> {
    check_times("the CRL", (crl.this_update(), crl.next_update()), now)?;
    // One of the future was made with a clock that was wrong.
    let last = state.last.as_ref().filter(|last| last.this_update.since(now) <= BEHIND_MAX);
    match last {
        Some(last) if last.this_update > crl.this_update() => Err(Refused::because(format!(
            "CRL {} is of {}, and this one of {}, before that",
            last.number,
            last.this_update.to_rfc3339(),
            crl.this_update().to_rfc3339()
        ))),
        Some(_) | None => Ok(()),
    }
}

fn check_times(what: &str, (this_update, next_update): (Timestamp, Timestamp), now: Timestamp) -> Result<(), Refused> {
    if now.since(this_update) > SIGNED_WITHIN {
        let (at, most) = (this_update.to_rfc3339(), SIGNED_WITHIN.as_secs());
        return Err(Refused::because(format!("{what} is of {at}, which is more than {most} seconds ago")));
    }
    if next_update <= this_update || next_update.since(this_update) > STATUS_VALIDITY_MAX {
        let (from, to) = (this_update.to_rfc3339(), next_update.to_rfc3339());
        return Err(Refused::because(format!("{what} counts from {from} to {to}: at most 10 days are permitted")));
    }
    Ok(())
}

/// Whether relying parties don't have a CRL of this number, or of a later one, yet: another process may have made one
/// since the number was allocated.
///
/// # Errors
/// [`Refused`].
pub fn check_crl_grows(state: &CrlState, number: u64) -> Result<(), Refused> {
    match &state.last {
        Some(last) if last.number >= number => {
            Err(Refused::because(format!("CRL {} is stored, and {number} is not above it", last.number)))
        }
        Some(_) | None => Ok(()),
    }
}

/// Whether this OCSP answer may be signed: it says of one allocated serial what the ledger does. Of a serial that is
/// `wait` nothing can be said.
///
/// # Errors
/// [`Refused`].
pub fn check_ocsp(
    record: Option<&StatusRecord>,
    issuer: (Sha256, &IssuerIdentity),
    data: &ResponseData<'_>,
    now: Timestamp,
) -> Result<(), Refused> {
    let [single] = data.responses.as_slice() else {
        return Err(Refused::because("the OCSP answer is not about one certificate"));
    };
    let record = record.ok_or_else(|| Refused::because("the serial was never allocated"))?;
    if record.issuer != issuer.0 || !issuer.1.is_named_by(&single.cert_id) {
        return Err(Refused::because("the serial was allocated for another issuer"));
    }
    if !says_the_same(record, single.status, single.this_update) {
        return Err(Refused::because(format!(
            "the serial is {}: the answer says something else",
            record.status.name()
        )));
    }
    if single.this_update > now || data.produced_at > now {
        return Err(Refused::because("the OCSP answer is made in the future"));
    }
    let next_update = single.next_update.ok_or_else(|| Refused::because("the OCSP answer has no nextUpdate"))?;
    check_times("the OCSP answer", (single.this_update, next_update), now)
}

/// Whether this certificate of an OCSP responder may be signed: it is the one that was announced, for this key, and
/// was not signed before.
///
/// # Errors
/// [`Refused`].
pub fn check_responder(
    record: Option<&ResponderRecord>,
    issuer: Sha256,
    key: &PublicKey,
    tbs: &TbsCertificate,
) -> Result<(), Refused> {
    let record = record.ok_or_else(|| Refused::because("the OCSP responder is not on record"))?;
    if record.issuer != issuer {
        return Err(Refused::because(format!("the OCSP responder was announced for issuer {}", record.issuer)));
    }
    if record.certificate.is_some() {
        return Err(Refused::because("the OCSP responder has its certificate"));
    }
    let planned = Certificate::from_der(&record.linting_certificate)
        .map_err(|error| Refused::because(format!("the linting certificate on record can't be read: {error}")))?;
    if planned.tbs_der() != tbs.der() {
        return Err(Refused::because("these are not the bytes of the linting certificate"));
    }
    if planned.public_key() != key {
        return Err(Refused::because("this is not the key of the signer's OCSP responder"));
    }
    Ok(())
}

fn require_status(record: &SigningRecord, status: SerialStatus) -> Result<(), Refused> {
    let serial = &record.serial;
    if serial.restored.is_some() {
        return Err(Refused::because("it was restored from an audit log: all that was signed for it was signed then"));
    }
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
    if let Some(stop) = record.stops.iter().find(|stop| stop.scope.covers(&record.order))
        && !planted!(SignerBlindToStops)
    {
        return Err(Refused::because(stop.to_string()));
    }
    if !record.account.is_valid() {
        return Err(Refused::because("the account is not valid"));
    }
    let csr = proofs.signed_request(record, rules, now)?;
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
    // The order is what a worker gave to `begin`: all else goes by the names that are signed.
    let ordered: BTreeSet<GeneralName> = record.order.identifiers.iter().map(general_name).collect();
    if *names != ordered {
        return Err(Refused::because("the names are not those of the order on record"));
    }
    check_authorizations(record, names, now)?;
    match rules.caa {
        CaaMode::Enforce => check_caa(record, names, rules, now),
        CaaMode::Log | CaaMode::Off => Ok(()),
    }
}

/// What clients' own signatures were found to prove. Bytes don't change, so each is verified once; the last few
/// thousand are remembered.
#[derive(Debug, Default)]
pub struct Proofs {
    keys: Mutex<Remembered<Arc<[ProvenKey]>>>,
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
    /// The CSR of the finalize request that the account signed for this very order, if its signature counts at this
    /// time: one made with a key that was replaced since must be older than the replacement, and counts no longer than
    /// an order may wait for its certificate. When it was received is what a worker wrote; when the key was replaced
    /// is not. So a worker that has a replaced key can't use it for longer than that.
    ///
    /// # Errors
    /// There is no such request, or no key of the account's chain that counts has signed it.
    pub fn signed_request(&self, record: &SigningRecord, rules: SignerRules, now: Timestamp) -> Result<Csr, Refused> {
        self.request_signed_at(|received| (received, now), record, rules)
    }

    /// The same, by whoever knows more of times than the records: `times` answers when the request was received, of
    /// what its record says, and the time at which it is to count.
    ///
    /// # Errors
    /// Those of [`Proofs::signed_request`].
    pub fn request_signed_at(
        &self,
        times: impl Fn(Timestamp) -> (Timestamp, Timestamp),
        record: &SigningRecord,
        rules: SignerRules,
    ) -> Result<Csr, Refused> {
        let finalize = record
            .order
            .finalize_request()
            .ok_or_else(|| Refused::because("the order on record has no finalize request"))?;
        let keys = self.account_keys(&record.account)?;
        let (account, order) = (record.account.id, record.serial.order);
        let (received, now) = times(finalize.received);
        let in_time = |until: Timestamp| {
            let taken = until.plus(TAKING);
            received <= taken && now <= taken.plus(Duration::from_secs(rules.finalize_seconds))
        };
        let mut refused = Refused::because("the account has no key");
        for proven in keys.iter().rev().filter(|proven| proven.until.is_none_or(in_time)) {
            let thumbprint = proven.key.thumbprint();
            let parts = [account.as_bytes(), order.as_bytes(), &thumbprint.as_bytes()[..], finalize.jws.as_slice()];
            match once(&self.requests, Sha256::of_parts(&parts), || {
                signed_request(&finalize.jws, account, order, &proven.key)
            }) {
                // What is wrong is said of the present key.
                Err(error) if proven.until.is_none() => refused = error,
                Err(_) => {}
                signed => return signed,
            }
        }
        Err(refused)
    }

    fn account_keys(&self, account: &Account) -> Result<Arc<[ProvenKey]>, Refused> {
        let thumbprint = account.thumbprint();
        let times: Vec<[u8; 8]> = account.proofs.iter().map(|proof| proof.since.millis().to_be_bytes()).collect();
        let mut parts = vec![account.id.as_bytes(), &thumbprint.as_bytes()[..]];
        for (proof, since) in account.proofs.iter().zip(&times) {
            parts.extend([since.as_slice(), proof.jws.as_slice()]);
        }
        once(&self.keys, Sha256::of_parts(&parts), || proven_keys(account).map(Arc::from))
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

/// The keys that an account has had, the first one first and the present one last, as the chain of its own signed
/// requests proves them: newAccount, then each key change by the key before it, with the new key's own inner JWS
/// (RFC 8555 §7.3.5).
///
/// # Errors
/// The chain is empty, doesn't verify, or doesn't end with the key that the account's record names.
pub fn proven_keys(account: &Account) -> Result<Vec<ProvenKey>, Refused> {
    let wrong = |what: String| Refused::because(format!("the account's key is not proved: {what}"));
    let [first, changes @ ..] = account.proofs.as_slice() else {
        return Err(wrong("there is no newAccount request on record".into()));
    };
    let key = key_of_new_account(&first.jws).map_err(wrong)?;
    let mut keys = vec![ProvenKey { key, since: first.since, until: None }];
    for change in changes {
        let Some(present) = keys.last_mut() else { continue };
        let key = key_of_change(&change.jws, account.id, &present.key).map_err(wrong)?;
        present.until = Some(change.since);
        keys.push(ProvenKey { key, since: change.since, until: None });
    }
    match keys.last() {
        Some(last) if last.key == account.key => Ok(keys),
        Some(_) | None => Err(wrong("the record names another key".into())),
    }
}

fn key_of_new_account(jws: &[u8]) -> Result<Jwk, String> {
    let jws = Jws::parse(jws).map_err(|error| error.to_string())?;
    if !jws.protected().url.ends_with(urls::NEW_ACCOUNT) {
        return Err("the first request is not newAccount".into());
    }
    let KeyReference::Jwk(key) = jws.protected().key.clone() else {
        return Err("newAccount carries no key".into());
    };
    jws.verify(key.verifying_key()).map_err(|error| error.to_string())?;
    Ok(key)
}

fn key_of_change(jws: &[u8], account: AccountId, present: &Jwk) -> Result<Jwk, String> {
    let jws = Jws::parse(jws).map_err(|error| error.to_string())?;
    if !jws.protected().url.ends_with(urls::KEY_CHANGE) {
        return Err("a request behind newAccount is no key change".into());
    }
    match &jws.protected().key {
        KeyReference::Kid(kid) if kid.ends_with(&urls::account(account)) => {}
        KeyReference::Kid(_) | KeyReference::Jwk(_) => return Err("a key change is not signed by the account".into()),
    }
    let outer = jws.verify(present.verifying_key()).map_err(|error| error.to_string())?;
    KeyChange::new_key(&outer, present).map_err(|error| error.to_string())
}

fn check_authorizations(record: &SigningRecord, names: &BTreeSet<GeneralName>, now: Timestamp) -> Result<(), Refused> {
    for name in names {
        let covered = record.authorizations.iter().any(|authorization| {
            authorization.account == record.account.id
                && authorization.is_good(now)
                && general_name(&authorization.identifier) == *name
        });
        if !covered {
            return Err(Refused::because(format!("the account has no good authorization for {name}")));
        }
    }
    Ok(())
}

/// Each name of the certificate that has CAA needs a check; IP addresses have none.
fn check_caa(
    record: &SigningRecord,
    names: &BTreeSet<GeneralName>,
    rules: SignerRules,
    now: Timestamp,
) -> Result<(), Refused> {
    let checks: Vec<&CaaRecord> = record
        .rechecks
        .iter()
        .chain(record.authorizations.iter().filter_map(|authorization| authorization.caa.as_ref()))
        .collect();
    for name in names.iter().filter(|name| matches!(name, GeneralName::Dns(_))) {
        let permitted = checks.iter().any(|check| {
            general_name(&check.identifier) == *name
                && permits(&check.decision)
                && (is_fresh(check, rules.caa_reuse_seconds, now) || planted!(StaleCaa))
        });
        if !permitted {
            return Err(Refused::because(format!("no fresh CAA check permits {name}")));
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

/// Whether a CAA check may still be used: for 8 hours, or its TTL if that is longer (BR 4.2.2.1). Nobody knows how old
/// one of the future is: it was made with a clock that was wrong.
pub fn is_fresh(check: &CaaRecord, reuse_seconds: u64, now: Timestamp) -> bool {
    check.checked.since(now) <= BEHIND_MAX
        && now.since(check.checked).as_secs() <= reuse_seconds.max(u64::from(check.ttl_seconds))
}

/// An identifier as it stands in a certificate.
pub fn general_name(identifier: &Identifier) -> GeneralName {
    match identifier {
        Identifier::Dns(name) => GeneralName::Dns(name.as_str().to_owned()),
        Identifier::Wildcard(name) => GeneralName::Dns(format!("*.{}", name.as_str())),
        Identifier::Ip(address) => GeneralName::Ip(*address),
    }
}
