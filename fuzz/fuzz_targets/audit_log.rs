//! The audit log of a folder: lines that somebody else wrote, with a chain that fits.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use pki::Sha256;
use store::audit::AuditReader;
use tempfile::TempDir;

fn folder() -> &'static TempDir {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    FOLDER.get_or_init(|| tempfile::tempdir().expect("a temporary folder can be made"))
}

fuzz_target!(|bodies: &[u8]| {
    let mut chain = [0; 32];
    let mut log = Vec::new();
    for body in bodies.split(|octet| *octet == b'\n') {
        let after = Sha256::of_parts(&[&chain, body, b"}"]);
        log.extend_from_slice(body);
        log.extend_from_slice(format!(",\"chain\":\"{after}\"}}\n").as_bytes());
        chain = *after.as_bytes();
    }
    std::fs::write(folder().path().join("00000000.jsonl"), &log).expect("a file can be written");
    let reader = AuditReader::new(folder().path());
    if let Ok((lines, mark)) = reader.lines(AuditReader::start(), 100) {
        assert!(lines.len() <= 100);
        assert!(lines.is_empty() || reader.lines(mark, 100).is_ok());
    }
});
