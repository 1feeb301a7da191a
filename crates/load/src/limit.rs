//! `cairn-load limit`: the least that an issuance can cost on this machine, which is the cryptography that nothing can
//! be left out of.

use std::collections::BTreeSet;
use std::fmt;
use std::hint::black_box;
use std::time::Duration;

use acme::{Finalize, Header, Jws, NewOrder, SigningKey, VerifyingKey, WireIdentifier, base64url_encode, sign};
use anyhow::{Context, anyhow};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use pki::{
    Csr, Ct, DigitallySigned, GeneralName, KeyKind, KeyUsage, Leaf, LogId, Name, PrecertEntry, PublicKey, Purpose, Sct,
    Serial, SignatureAlgorithm, TbsCertificate, Timestamp, Validity,
};
use serde::Serialize;

use crate::client;
use crate::csr::{SubscriberKey, SubscriberKeyKind, certificate_request};
use crate::report::percentile;
use crate::world;

/// A round lasts about this long: much longer than it takes to read the clock, much shorter than a turn of the
/// scheduler, so that the median knows nothing of other processes.
const ROUND: Duration = Duration::from_millis(1);
const REPEATS_MAX: u32 = 1 << 20;
const NAME: &str = "www.example.com";

/// Measure what the least that an issuance can cost is on this machine: 7 JWS verifications, 1 CSR verification,
/// 3 certificate signatures, 2 SCT signatures and 2 SCT verifications, all ECDSA P-256, in CPU time of one thread.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Arguments {
    /// How many rounds of about a millisecond each operation is measured in; the median counts.
    #[arg(long, value_name = "N", default_value_t = 501, value_parser = clap::value_parser!(u32).range(3..=100_000))]
    pub(crate) rounds: u32,
    /// Print the table as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// The limit, and what it is the sum of.
#[derive(Debug, Serialize)]
pub(crate) struct Limit {
    operations: Vec<Operation>,
    sum_ms: f64,
}

/// What one kind of operation costs.
#[derive(Debug, Serialize)]
struct Operation {
    name: &'static str,
    /// How many of them an issuance needs.
    count: u32,
    /// Median CPU time of one, in microseconds.
    each_us: f64,
    /// Of all of an issuance, in microseconds.
    all_us: f64,
}

impl Limit {
    fn of(operations: Vec<Operation>) -> Self {
        let sum_ms = operations.iter().map(|operation| operation.all_us).sum::<f64>() / 1000.0;
        Self { operations, sum_ms }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<46}{:>6}{:>12}{:>12}", "operation (ECDSA P-256)", "count", "each (µs)", "all (µs)")?;
        for Operation { name, count, each_us, all_us } in &self.operations {
            writeln!(f, "{name:<46}{count:>6}{each_us:>12.1}{all_us:>12.1}")?;
        }
        writeln!(f, "limit: {:.3} ms of CPU time for each certificate", self.sum_ms)
    }
}

/// Measures all operations.
pub(crate) fn measure(arguments: &Arguments) -> anyhow::Result<Limit> {
    let issuance = Issuance::new()?;
    let rounds = arguments.rounds;
    let operation = |name, count, run: &dyn Fn() -> bool| -> anyhow::Result<Operation> {
        let all_us = median_us(rounds, run).with_context(|| format!("{name} failed"))?;
        Ok(Operation { name, count, each_us: all_us / f64::from(count), all_us })
    };
    Ok(Limit::of(vec![
        operation("JWS: parse and verify, key at hand", 7, &|| issuance.verify_requests())?,
        operation("CSR: parse and verify", 1, &|| issuance.verify_csr())?,
        operation("certificate signature (linting, pre-, final)", 3, &|| issuance.sign_certificates())?,
        operation("SCT signature", 2, &|| issuance.sign_scts())?,
        operation("SCT verification", 2, &|| issuance.verify_scts())?,
    ]))
}

/// The median CPU time of one run, in microseconds.
fn median_us(rounds: u32, run: &dyn Fn() -> bool) -> anyhow::Result<f64> {
    let time = |repeats: u32| {
        let before = world::thread_cpu();
        let good = (0..repeats).all(|_| black_box(run()));
        good.then(|| world::thread_cpu().saturating_sub(before)).ok_or_else(|| anyhow!("a signature was not good"))
    };
    let mut repeats = 1;
    while time(repeats)? < ROUND && repeats < REPEATS_MAX {
        repeats *= 2;
    }
    let mut times = Vec::new();
    for _ in 0..rounds {
        times.push(time(repeats)?);
    }
    times.sort_unstable();
    let median = percentile(&times, 50).context("there is one round at least")?;
    Ok(median.as_secs_f64() * 1e6 / f64::from(repeats))
}

/// All that the cryptography of one issuance needs.
struct Issuance {
    requests: Vec<Vec<u8>>,
    account_key: VerifyingKey,
    csr: Vec<u8>,
    issuer: EcdsaKeyPair,
    tbs: TbsCertificate,
    entry: PrecertEntry,
    log: EcdsaKeyPair,
    log_key: PublicKey,
    sct: Sct,
}

impl Issuance {
    fn new() -> anyhow::Result<Self> {
        let account = client::account_key()?;
        let subscriber = SubscriberKey::generate(SubscriberKeyKind::P256)?;
        let csr = certificate_request(&subscriber, &[NAME.to_owned()])?;
        let issuer = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)?;
        let log = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)?;
        let issuer_key = PublicKey::from_ec_point(KeyKind::P256, issuer.public_key().as_ref())?;
        let log_key = PublicKey::from_ec_point(KeyKind::P256, log.public_key().as_ref())?;
        let tbs = precertificate(&issuer_key, &PublicKey::from_spki_der(&subscriber.spki_der()?)?);
        let entry = PrecertEntry { issuer_key_hash: issuer_key.spki_hash(), tbs: tbs.without_ct() };
        let sct = signed(&log, &log_key, &entry).context("the log's key cannot sign")?;
        Ok(Self {
            requests: requests(&account, &csr)?,
            account_key: VerifyingKey::from(account.jwk()),
            csr,
            issuer,
            tbs,
            entry,
            log,
            log_key,
            sct,
        })
    }

    fn verify_requests(&self) -> bool {
        let verified = |body: &Vec<u8>| Jws::parse(body).and_then(|jws| jws.verify(&self.account_key)).is_ok();
        self.requests.iter().all(verified)
    }

    fn verify_csr(&self) -> bool {
        Csr::parse(&self.csr).is_ok()
    }

    fn sign_certificates(&self) -> bool {
        (0..3).all(|_| self.issuer.sign(&SystemRandom::new(), black_box(self.tbs.der())).is_ok())
    }

    fn sign_scts(&self) -> bool {
        (0..2).all(|_| signed(&self.log, &self.log_key, black_box(&self.entry)).is_some())
    }

    fn verify_scts(&self) -> bool {
        (0..2).all(|_| black_box(&self.sct).verify(&self.log_key, &self.entry).is_ok())
    }
}

/// The seven requests of an order for one name, as its client sends them.
fn requests(account: &SigningKey, csr: &[u8]) -> anyhow::Result<Vec<Vec<u8>>> {
    let new_order = NewOrder {
        identifiers: vec![WireIdentifier { kind: "dns".to_owned(), value: NAME.to_owned() }],
        ..NewOrder::default()
    };
    let new_order = serde_json::to_vec(&new_order)?;
    let finalize = serde_json::to_vec(&Finalize { csr: base64url_encode(csr) })?;
    let id = base64url_encode(&world::random::<16>());
    let nonce = base64url_encode(&world::random::<32>());
    let kid = format!("https://localhost:14000/account/{id}");
    let requests: [(&str, &[u8]); 7] = [
        ("new-order", &new_order),
        ("authorization", b""),
        ("challenge", b"{}"),
        ("order", b""),
        ("finalize", &finalize),
        ("order", b""),
        ("certificate", b""),
    ];
    let signed = requests.into_iter().map(|(path, payload)| {
        let url = format!("https://localhost:14000/{path}/{id}");
        sign(account, Header { nonce: Some(&nonce), url: &url, kid: Some(&kid) }, payload)
    });
    Ok(signed.collect())
}

/// A precertificate of the usual contents.
fn precertificate(issuer_key: &PublicKey, subscriber: &PublicKey) -> TbsCertificate {
    let not_before = Timestamp::from_seconds(1_800_000_000);
    TbsCertificate::leaf(&Leaf {
        serial: Serial::from_random(world::random()),
        issuer: &Name::new().country("XX").organization("Example").common_name("Example Intermediate 1"),
        issuer_key_identifier: issuer_key.key_identifier(),
        signature_algorithm: SignatureAlgorithm::EcdsaSha256,
        validity: Validity { not_before, not_after: not_before.plus(Duration::from_secs(90 * 86_400 - 1)) },
        common_name: None,
        names: &BTreeSet::from([GeneralName::Dns(NAME.to_owned())]),
        public_key: subscriber,
        key_usage: KeyUsage::DigitalSignature,
        extended_key_usage: &[Purpose::ServerAuth],
        policies: &[pki::oid::DOMAIN_VALIDATED],
        ca_issuers_url: Some("http://ca.example.com/issuer/1"),
        ocsp_url: Some("http://ca.example.com/ocsp"),
        crl_url: Some("http://ca.example.com/crl/1/7"),
        subject_key_identifier: false,
        must_staple: false,
        ct: Ct::Poison,
    })
}

fn signed(log: &EcdsaKeyPair, log_key: &PublicKey, entry: &PrecertEntry) -> Option<Sct> {
    let timestamp = Timestamp::from_seconds(1_800_000_000);
    let signature = log.sign(&SystemRandom::new(), &entry.signed_data(timestamp, &[])).ok()?;
    Some(Sct {
        log_id: LogId::of(log_key),
        timestamp,
        extensions: Vec::new(),
        signature: DigitallySigned::sha256(log_key, signature.as_ref().to_vec())?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_measured_is_done_and_is_good() {
        let issuance = Issuance::new().unwrap();
        assert!(issuance.verify_requests() && issuance.verify_csr() && issuance.verify_scts());
        assert!(issuance.sign_certificates() && issuance.sign_scts());
        assert_eq!(issuance.requests.len(), 7);
    }

    #[test]
    fn bad_signatures_end_the_measurement() {
        let mut issuance = Issuance::new().unwrap();
        issuance.entry.tbs[10] ^= 1;
        assert!(!issuance.verify_scts());
        assert!(median_us(3, &|| issuance.verify_scts()).is_err());
    }

    #[test]
    fn limit_is_the_sum_of_its_operations() {
        let operation =
            |count, each_us: f64| Operation { name: "x", count, each_us, all_us: each_us * f64::from(count) };
        let limit = Limit::of(vec![operation(7, 50.0), operation(1, 150.0)]);
        assert!((limit.sum_ms - 0.5).abs() < 1e-9);
        assert!(limit.to_string().contains("limit: 0.500 ms"), "{limit}");
    }
}
