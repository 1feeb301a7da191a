//! What a nonce costs, without the HTTP around it: `cargo bench -p store --bench nonce`.

use std::hint::black_box;

use ca::ports::{NonceUse, Random};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use store::nonce::NonceFile;

#[derive(Debug)]
struct Fixed;

impl Random for Fixed {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
}

fn nonce(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let path = folder.path().join("nonces");
    let nonces = NonceFile::open(&path, &Fixed, "boot").expect("a new file can be made");
    let issue = || nonces.issue().expect("there is room on the disk");
    criterion.bench_function("issue a nonce", |bencher| bencher.iter(|| black_box(issue())));
    criterion.bench_function("use a nonce up", |bencher| {
        let use_up = |nonce: String| assert_eq!(nonces.use_up(&nonce), Ok(NonceUse::Fresh));
        bencher.iter_batched(issue, use_up, BatchSize::LargeInput);
    });
    criterion.bench_function("refuse a nonce of somebody else", |bencher| {
        let foreign = "A".repeat(issue().len());
        bencher.iter(|| assert_eq!(nonces.use_up(black_box(&foreign)), Ok(NonceUse::Unknown)));
    });
}

criterion_group!(benches, nonce);
criterion_main!(benches);
