//! One certificate against the records of its serial. Pure: what is wrong is answered, nothing is read.

use std::collections::BTreeSet;

use ca::authorization::{AuthorizationEnd, CaaRecord, EndedAuthorization};
use ca::crl::CrlScheme;
use ca::ports::{SerialRecord, SigningRecord};
use ca::settings::CaaMode;
use ca::signing::{Proofs, SignerRules, general_name, is_fresh, permits};
use pki::{Certificate, GeneralName, PrecertEntry, Sha256, Timestamp, corresponds};

use super::accepted::AcceptedTimes;
use super::authorities::Authorities;
use super::report::Fault;
use super::{CLOCK_STEP, Invariant, Rules};

/// Whether a signed certificate has the bytes that were announced for it: those of its linting certificate, or, as a
/// final certificate with CT, those that correspond to them.
pub(super) fn tbs_fault(der: &[u8], record: &SerialRecord, is_final: bool) -> Option<Fault> {
    let invariant = if is_final { Invariant::CertificateCorresponds } else { Invariant::PrecertificateRecorded };
    let fault = |detail: String| Some(Fault::new(invariant, detail));
    let linting = match Certificate::from_der(&record.linting_certificate) {
        Ok(linting) => linting,
        Err(error) => return fault(format!("its linting certificate can't be read: {error}")),
    };
    let certificate = match Certificate::from_der(der) {
        Ok(certificate) => certificate,
        Err(error) => return fault(format!("it can't be read: {error}")),
    };
    if !is_final && !certificate.is_precertificate() {
        return fault("it has no poison: it is no precertificate (RFC 6962 3.1)".to_owned());
    }
    if is_final && record.ct {
        return match corresponds(linting.tbs_der(), certificate.tbs_der()) {
            Ok(()) => None,
            Err(mismatch) => fault(format!("it does not correspond to its precertificate: {mismatch}")),
        };
    }
    if linting.tbs_der() == certificate.tbs_der() {
        return None;
    }
    fault("its TBS bytes are not those of the linting certificate, which was stored before the signature".to_owned())
}

/// Whether a certificate verifies under its issuer.
pub(super) fn chain_fault(certificate: &Certificate, issuer: &Sha256, authorities: &Authorities) -> Option<Fault> {
    let fault = |detail: String| Some(Fault::new(Invariant::CertificateChain, detail));
    let Some(issuer) = authorities.issuer(issuer) else {
        return fault(format!("no verified certificate of its issuer {issuer} is in the data folder or the audit log"));
    };
    if certificate.issuer() != issuer.subject() {
        return fault("its issuer's name is not the subject of the issuer's certificate".to_owned());
    }
    if certificate.authority_key_identifier() != issuer.key_identifier() {
        return fault("its authorityKeyIdentifier is not that of its issuer".to_owned());
    }
    certificate
        .verify_signed_by(issuer.public_key())
        .err()
        .and_then(|error| fault(format!("its signature is wrong: {error}")))
}

/// Whether a certificate, final or linting, says what the columns of its serial say.
pub(super) fn record_fault(certificate: &Certificate, record: &SerialRecord, crls: &CrlScheme) -> Option<Fault> {
    let differs = if certificate.serial() != record.serial {
        "serial number"
    } else if certificate.public_key().spki_hash() != record.spki_hash {
        "key"
    } else if certificate.validity().not_after != record.not_after.whole_second() {
        "end of validity"
    } else {
        return crl_fault(certificate, record, crls);
    };
    Some(Fault::new(Invariant::CertificateMatchesRecord, format!("its {differs} is not the one that the ledger keeps")))
}

/// Whether it says the CRL in which its revocation would stand.
fn crl_fault(certificate: &Certificate, record: &SerialRecord, crls: &CrlScheme) -> Option<Fault> {
    let said = certificate.crl_url()?;
    let wrong = match crls.url_of(&record.issuer, record.crl_generation, record.serial) {
        Some(url) if url == said => return None,
        Some(url) => format!("it says that its CRL is {said}; by the ledger that is {url}"),
        None => format!("the ledger has it in CRL shards from {} on, which there are not", record.crl_generation),
    };
    Some(Fault::new(Invariant::CertificateMatchesRecord, wrong))
}

/// The SCTs of a certificate, verified with the keys of our own logs. How many were, and what is wrong.
pub(super) fn sct_faults(certificate: &Certificate, issuer: &Sha256, authorities: &Authorities) -> (u64, Vec<Fault>) {
    let scts = match certificate.scts() {
        Ok(scts) => scts,
        Err(error) => {
            return (0, vec![Fault::new(Invariant::SctsVerify, format!("its SCT list can't be read: {error}"))]);
        }
    };
    let entry = PrecertEntry { issuer_key_hash: *issuer, tbs: certificate.tbs().without_ct() };
    let (mut verified, mut faults) = (0, Vec::new());
    for sct in scts {
        let Some((number, key)) = authorities.log_keys.get(&sct.log_id) else { continue };
        verified += 1;
        if let Err(error) = sct.verify(key, &entry) {
            let detail = format!("the SCT of built-in log {number} of {} does not verify: {error}", sct.timestamp);
            faults.push(Fault::new(Invariant::SctsVerify, detail));
        }
    }
    (verified, faults)
}

/// Whether a certificate, final or linting, is what its client asked for, and its names were authorized.
pub(super) fn rights_faults(
    certificate: &Certificate,
    read: &SigningRecord,
    proofs: &Proofs,
    accepted: &AcceptedTimes,
) -> Vec<Fault> {
    let mut faults: Vec<Fault> = asked_for_fault(certificate, read, proofs, accepted).into_iter().collect();
    let missing: Vec<String> = certificate
        .names()
        .iter()
        .filter(|name| !read.authorizations.iter().any(|one| covers(one, name, read, accepted)))
        .map(GeneralName::to_string)
        .collect();
    if !missing.is_empty() {
        let detail = format!(
            "account {} had no valid authorization for {} when the issuance began ({})",
            read.serial.account,
            missing.join(", "),
            read.serial.begun
        );
        faults.push(Fault::new(Invariant::NamesAuthorized, detail));
    }
    faults
}

/// Whether a fresh CAA check permitted each DNS name when the issuance began. The operator's own names need none. What
/// was issued before CAA was enforced can't be told from the records: a warning.
pub(super) fn caa_fault(certificate: &Certificate, read: &SigningRecord, rules: &Rules) -> Option<Fault> {
    match rules.caa {
        CaaMode::Enforce if read.order.method.is_none() => {}
        CaaMode::Enforce | CaaMode::Log | CaaMode::Off => return None,
    }
    let (begun, reuse) = (read.serial.begun, rules.caa_reuse.as_secs());
    let taken = read.authorizations.iter().filter_map(|one| one.caa.as_ref());
    let checks: Vec<&CaaRecord> = read.rechecks.iter().chain(taken).collect();
    let permitted = |name: &GeneralName| {
        let fits = |check: &&&CaaRecord| general_name(&check.identifier) == *name && permits(&check.decision);
        checks.iter().filter(fits).any(|check| is_fresh(check, reuse, begun))
    };
    let is_dns = |name: &&GeneralName| matches!(name, GeneralName::Dns(_));
    let name = certificate.names().iter().filter(is_dns).find(|name| !permitted(name))?;
    let detail = format!("no CAA check on record that was fresh at {begun} permits {name}");
    Some(Fault::warning(Invariant::CaaChecked, detail))
}

/// How long an order waited after finalize is looked at where its deadline is.
const RULES: SignerRules = SignerRules { caa: CaaMode::Off, caa_reuse_seconds: 0, finalize_seconds: u32::MAX as u64 };

fn asked_for_fault(
    certificate: &Certificate,
    read: &SigningRecord,
    proofs: &Proofs,
    accepted: &AcceptedTimes,
) -> Option<Fault> {
    let fault = |detail: String| Some(Fault::new(Invariant::CertificateAskedFor, detail));
    let asked = |received: Timestamp| (accepted.earliest(received), accepted.earliest(read.serial.begun));
    let csr = match proofs.request_signed_at(asked, read, RULES) {
        Ok(csr) => csr,
        Err(refused) => return fault(refused.to_string()),
    };
    if read.order.finalize_request().is_none_or(|finalize| finalize.csr != csr.der()) {
        return fault("the CSR on record is not the one that its account signed".to_owned());
    }
    let ordered: BTreeSet<GeneralName> = read.order.identifiers.iter().map(general_name).collect();
    if csr.public_key() != certificate.public_key() {
        return fault("its key is not the one of the CSR".to_owned());
    }
    if csr.names() != certificate.names() || ordered != *certificate.names() {
        return fault("its names are not those of order and CSR".to_owned());
    }
    None
}

fn covers(
    authorization: &EndedAuthorization,
    name: &GeneralName,
    read: &SigningRecord,
    accepted: &AcceptedTimes,
) -> bool {
    authorization.account == read.serial.account
        && general_name(&authorization.identifier) == *name
        && was_valid(authorization, read.serial.begun, accepted)
}

fn was_valid(authorization: &EndedAuthorization, at: Timestamp, accepted: &AcceptedTimes) -> bool {
    // A clock that is set back while a name is validated dates the end of that before the test: what counts is written
    // with the end.
    let shown = authorization.validation.as_ref().filter(|one| one.problem.is_none());
    let shown = shown.map(|one| one.ended.min(authorization.ended));
    let Some(shown) = shown.filter(|shown| accepted.earliest(*shown) <= at.plus(CLOCK_STEP)) else { return false };
    match authorization.end {
        AuthorizationEnd::Valid { expires } => shown <= expires && at <= expires,
        // It was valid until it was given up or taken back.
        AuthorizationEnd::Deactivated | AuthorizationEnd::Revoked => {
            accepted.earliest(at) <= authorization.ended.plus(CLOCK_STEP)
        }
        AuthorizationEnd::Invalid => false,
    }
}
