//! What an OCSP answer costs, without the HTTP around it: `cargo bench -p server --bench ocsp`.

use std::collections::BTreeSet;
use std::hint::black_box;
use std::path::PathBuf;
use std::time::Duration;

use ca::ocsp::OcspReply;
use ca::order::{Order, Progress};
use ca::ports::{CrlGenerationId, LineCounts, RecoveryRecord, Restore, RestoredLine, RestoredSignature};
use ca::validity::AskedValidity;
use ca::{AccountId, OrderId};
use criterion::{Criterion, criterion_group, criterion_main};
use pki::ocsp::{IdAlgorithm, IdForm, IssuerIdentity};
use pki::{OcspRequest, Serial, Sha256};
use server::assembly::Assembly;
use server::config::{Choices, Config, File};

/// So many certificates are on record.
const SERIALS: u32 = 10_000;

fn serial(number: u32) -> Serial {
    let mut random = [7; 16];
    random[..4].copy_from_slice(&number.to_be_bytes());
    Serial::from_random(random)
}

/// As from an audit log: `good` without the cycle that leads to it.
async fn fill(assembly: &Assembly) {
    let (ca, now) = (&assembly.ca, assembly.ca.now());
    let from = ca.instance;
    let recovery = RecoveryRecord {
        number: 0,
        from,
        first: 0,
        since: None,
        until: now,
        begun: now,
        ended: None,
        restored: LineCounts::default(),
        retired: Vec::new(),
    };
    let recovery = ca.ledger.begin_recovery(recovery).await.expect("no recovery is open");
    let line = |number: u32| {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&number.to_be_bytes());
        let order = Order {
            id: OrderId::from_bytes(id),
            account: AccountId::UNKNOWN,
            profile: String::new(),
            identifiers: Vec::new(),
            validity: AskedValidity::default(),
            replaces: None,
            method: None,
            created: now,
            expires: now,
            authorizations: Vec::new(),
            progress: Progress::TestChallenge,
        };
        RestoredLine::Signature(Box::new(RestoredSignature {
            serial: serial(number),
            order,
            issuer: ca.issuers[0].id,
            ct: true,
            is_final: false,
            der: vec![0; 1_000],
            spki_hash: Sha256::of(b"key"),
            names: BTreeSet::new(),
            not_after: now.plus(Duration::from_secs(90 * 86_400)),
            crl_generation: CrlGenerationId::default(),
            at: now,
        }))
    };
    let lines = (0..SERIALS).map(line).collect();
    let restore = Restore { from, lines, mark: ca.audit.mark(), at: now };
    ca.ledger.restore(restore).await.expect("the ledger takes them");
    ca.ledger.end_recovery(recovery.number, now).await.expect("the recovery ends");
}

fn answers(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let data: PathBuf = folder.path().join("data");
    let mut file = File::default();
    file.ocsp.nonce = true;
    file.ocsp.in_certificates = true;
    let config = Config::new(data, &file, &Choices::default()).expect("the defaults are right");
    let assembly = runtime.block_on(Assembly::open(&config)).expect("a new CA");
    runtime.block_on(fill(&assembly));
    let ca = &assembly.ca;
    runtime.block_on(ca.renew_responders()).expect("the responder gets its certificate");
    let identity = IssuerIdentity::of(&ca.issuers[0].certificate);
    let form = IdForm { algorithm: IdAlgorithm::Sha1, null_parameters: true };
    let request = |number: u32, nonce| OcspRequest::write(&identity.cert_id(form, serial(number)), nonce);
    let ask = |request: &[u8]| runtime.block_on(ca.ocsp(request));
    let known = request(0, None);
    assert!(matches!(ask(&known), OcspReply::Answer(_)), "it is good");
    criterion.bench_function("an answer that is kept", |bencher| bencher.iter(|| black_box(ask(black_box(&known)))));
    let once = request(1, Some(b"sixteen octets.."));
    criterion.bench_function("an answer that is signed", |bencher| bencher.iter(|| black_box(ask(black_box(&once)))));
    let unknown = request(SERIALS + 1, None);
    criterion.bench_function("a serial that is not ours", |bencher| bencher.iter(|| black_box(ask(&unknown))));
}

criterion_group!(benches, answers);
criterion_main!(benches);
