//! What the audit log costs: lines appended with their syncs, and all of them verified.
//! `cargo bench -p store --bench audit`

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ca::ports::{AuditEvent, AuditLog, Clock};
use ca::{InstanceId, OrderId};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures_util::future::{BoxFuture, join_all};
use pki::{Serial, Timestamp};
use store::audit::{FileAuditLog, verify};

/// So many callers wait for a sync together.
const TOGETHER: u64 = 64;

/// What is verified: about 350 MB.
const LINES: u64 = 200_000;

/// A certificate of P-256 with two SCTs has about so many octets.
const DER_OCTETS: usize = 1_200;

#[derive(Debug)]
struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(1_795_262_400)
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, _duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}

fn open(folder: &Path) -> FileAuditLog {
    let on_fatal = Arc::new(|error: &ca::ports::StoreError| panic!("{error}"));
    FileAuditLog::open(folder, InstanceId::from_bytes([0xa1; 16]), Arc::new(Noon), on_fatal)
        .expect("a log can be begun in a new folder")
}

fn certificate(number: u64) -> AuditEvent {
    let mut serial = [1; 16];
    serial[8..].copy_from_slice(&number.to_be_bytes());
    AuditEvent::Certificate {
        order: OrderId::from_bytes(serial),
        serial: Serial::from_random(serial),
        der: number.to_be_bytes().into_iter().cycle().take(DER_OCTETS).collect(),
    }
}

async fn append(log: &FileAuditLog, first: u64, lines: u64) {
    let lines = join_all((first..first + lines).map(|number| log.append(certificate(number)))).await;
    for line in lines {
        log.applied(line.expect("there is room on the disk"));
    }
}

fn audit(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime can be built");
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let mut group = criterion.benchmark_group("audit log");
    group.sample_size(10);
    let log = open(folder.path());
    let mut number = 0;
    group.throughput(Throughput::Elements(TOGETHER));
    group.bench_function("append 64 lines, one sync", |bencher| {
        bencher.iter(|| {
            runtime.block_on(append(&log, number, TOGETHER));
            number += TOGETHER;
        });
    });
    while number < LINES {
        runtime.block_on(append(&log, number, 1_000));
        number += 1_000;
    }
    drop(log);
    let verified = || verify(folder.path(), None, &mut |_| {}).expect("nobody changed it");
    group.throughput(Throughput::Elements(verified().lines));
    group.bench_function("verify all lines", |bencher| bencher.iter(|| black_box(verified())));
    group.finish();
}

criterion_group!(benches, audit);
criterion_main!(benches);
