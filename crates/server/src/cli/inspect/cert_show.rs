//! `cairn cert show`.

use std::collections::BTreeMap;

use ca::ports::{Restored, SerialRecord};
use pki::{Certificate, LogId, PublicKey, Sct, pem};
use serde_json::{Value, json};

use super::Failure;
use super::cert::{Show, issuance, names, summary};
use super::print::{Facts, Paper, json_time, time_or_dash};
use crate::fsck::log_keys;

type LogKeys = BTreeMap<LogId, (u8, PublicKey)>;

pub(super) async fn show(asked: &Show, paper: &mut Paper<'_>) -> Result<(), Failure> {
    let records = asked.folder.open()?;
    let record = records.ledger.serial(asked.serial).await.map_err(Failure::failed)?;
    let Some(record) = record else {
        return Err(Failure::Failed(format!(
            "this CA never allocated the serial {}; `cairn cert list` shows those that it did",
            asked.serial
        )));
    };
    let logs = log_keys(&asked.folder.data);
    let certificate = record.certificate.as_deref().map(Certificate::from_der).transpose();
    let certificate =
        certificate.map_err(|error| Failure::Failed(format!("its certificate can't be read: {error}")))?;
    if asked.folder.json {
        paper.json(&document(&record, certificate.as_ref(), &logs, asked.pem));
        return Ok(());
    }
    facts(&record, certificate.as_ref(), &logs).write(paper);
    if asked.pem {
        if let Some(der) = &record.certificate {
            paper.line("");
            paper.line("certificate");
            paper.text(&pem::encode("CERTIFICATE", der));
        }
        paper.line("");
        paper.line(match record.restored {
            None => "linting certificate, signed with a throwaway key",
            Some(_) => "as it was signed first",
        });
        paper.text(&pem::encode("CERTIFICATE", &record.linting_certificate));
    }
    Ok(())
}

fn scts(certificate: Option<&Certificate>) -> Vec<Sct> {
    certificate.and_then(|certificate| certificate.scts().ok()).unwrap_or_default()
}

/// Where the validity begins: the linting certificate has it too.
fn shown(record: &SerialRecord, certificate: Option<&Certificate>) -> Option<Certificate> {
    certificate.cloned().or_else(|| Certificate::from_der(&record.linting_certificate).ok())
}

fn facts(record: &SerialRecord, certificate: Option<&Certificate>, logs: &LogKeys) -> Facts {
    let mut facts = Facts::default();
    facts.add("serial", record.serial.to_string());
    facts.add("status", record.status.name());
    facts.add("issuance", format!("{} of order {}, {}", record.number.0, record.order, issuance(record)));
    facts.add("account", record.account.to_string());
    let ct = if record.ct { "with CT" } else { "without CT" };
    facts.add("profile", format!("{}, {ct}, hash {}", record.profile, record.profile_hash));
    facts.add("issuer", record.issuer.to_string());
    let not_before = shown(record, certificate).map(|one| one.validity().not_before);
    facts.add("validity", format!("{} to {}", time_or_dash(not_before), record.not_after));
    for name in names(record) {
        facts.add("name", name);
    }
    facts.add("key", record.spki_hash.to_string());
    facts.add("begun", record.begun.to_rfc3339());
    facts.add("good", time_or_dash(record.good));
    facts.add("stored", time_or_dash(record.stored));
    facts.add(
        "certificate",
        certificate.map_or_else(|| "none is stored".to_owned(), |one| one.fingerprint().to_string()),
    );
    for sct in scts(certificate) {
        let log = logs.get(&sct.log_id).map_or_else(String::new, |(number, _)| format!(", built-in log {number}"));
        facts.add("sct", format!("{} by {}{log}", sct.timestamp.to_rfc3339_millis(), sct.log_id));
    }
    if let Some(revocation) = &record.revocation {
        facts.add("revoked", format!("{} ({}), by {}", revocation.revoked, revocation.reason, revocation.by));
    }
    if let Some(Restored { from, at }) = record.restored {
        facts.add(
            "restored",
            format!("{at}, from the audit log of instance {from}, which knows no more of it than this"),
        );
        return facts;
    }
    let linting = Certificate::from_der(&record.linting_certificate).map(|one| one.fingerprint().to_string());
    facts.add("linting certificate", linting.unwrap_or_else(|error| format!("can't be read: {error}")));
    facts
}

fn document(record: &SerialRecord, certificate: Option<&Certificate>, logs: &LogKeys, with_pem: bool) -> Value {
    let mut document = summary(record);
    let scts: Vec<Value> = scts(certificate)
        .iter()
        .map(|sct| {
            json!({
                "log_id": sct.log_id.to_string(),
                "timestamp": json_time(sct.timestamp),
                "built_in_log": logs.get(&sct.log_id).map(|(number, _)| number),
            })
        })
        .collect();
    let linting = Certificate::from_der(&record.linting_certificate).ok();
    let members = [
        ("profile_hash", json!(record.profile_hash.to_string())),
        ("issuer", json!(record.issuer.to_string())),
        ("not_before", json_time(shown(record, certificate).map(|one| one.validity().not_before))),
        ("spki_sha256", json!(record.spki_hash.to_string())),
        ("certificate_sha256", json!(certificate.map(|one| one.fingerprint().to_string()))),
        ("linting_certificate_sha256", json!(linting.map(|one| one.fingerprint().to_string()))),
        ("scts", Value::Array(scts)),
    ];
    for (key, value) in members {
        document[key] = value;
    }
    if with_pem {
        let certificate = record.certificate.as_ref().map(|der| pem::encode("CERTIFICATE", der));
        document["certificate_pem"] = json!(certificate);
        document["linting_certificate_pem"] = json!(pem::encode("CERTIFICATE", &record.linting_certificate));
    }
    document
}
