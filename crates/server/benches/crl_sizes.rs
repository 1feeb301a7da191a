//! What CRLs with very many entries take: time, memory, octets.
//! `cargo bench -p server --bench crl_sizes -- ENTRIES SHARDS`, of which 1000000 128 takes some minutes.

#![allow(clippy::disallowed_methods, reason = "time that passes is what is measured")]

use ca::ports::CrlShard;
use std::fs;
use std::time::{Duration, Instant};

use server::assembly::Assembly;
use server::config::{Choices, Config, parse};

/// The most memory that making CRLs may take, whatever their size.
const PEAK_KIB_MAX: u64 = 64 * 1024;

/// What this process has used at most since the last look, in KiB.
fn peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux tells");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("it is there");
    let kib = peak.trim().trim_end_matches(" kB").parse().expect("a number");
    fs::write("/proc/self/clear_refs", "5").expect("it can be begun anew");
    kib
}

/// Serials as issuances would have left them, all revoked a day ago.
fn fill(assembly: &Assembly, entries: u32) {
    let connection = rusqlite::Connection::open(assembly.database.path()).expect("it opens");
    connection.busy_timeout(Duration::from_secs(60)).expect("it waits");
    connection.execute_batch("PRAGMA foreign_keys = OFF; PRAGMA synchronous = OFF").expect("it obeys");
    let issuer = assembly.ca.issuers[0].id;
    let (now, day) = (assembly.ca.now().millis(), 86_400_000);
    let sql = "WITH RECURSIVE counted (n, tail) AS (
            SELECT ?1, abs(random() % 4294967296)
            UNION ALL SELECT n + 1, abs(random() % 4294967296) FROM counted WHERE n < ?2)
        INSERT INTO serials (serial, tail, order_row, number, account, status, given_up, ct, issuer, profile,
            profile_hash, spki_hash, begun, not_after, revoked, reason, revoked_by, revoked_at)
        SELECT unhex('4c' || hex(randomblob(12)) || printf('%08x', tail)), tail, 1, n, zeroblob(16), 'revoked', 0, 1,
            ?3, 'classic', zeroblob(32), randomblob(32), ?4, ?5, ?4, 4, 'a test', ?4 FROM counted";
    for first in (1..=entries).step_by(100_000) {
        let last = (first + 99_999).min(entries);
        let values = rusqlite::params![first, last, issuer.as_bytes(), now - day, now + 60 * day];
        connection.execute(sql, values).expect("they are written");
    }
}

async fn measure(entries: u32, shards: u16) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = parse(&format!("[crl]\nshards = {shards}"), "cairn.toml").expect("a configuration");
    let config = Config::new(folder.path().join("data"), &file, &Choices::default()).expect("a configuration");
    let assembly = Assembly::open(&config).await.expect("a CA");
    let begun = Instant::now();
    fill(&assembly, entries);
    println!("{entries} revoked serials written in {:?}", begun.elapsed());
    let (ca, before) = (&assembly.ca, peak_kib());
    let begun = Instant::now();
    assert_eq!(ca.renew_crls().await.expect("they are made"), u32::from(shards));
    let (first, peak) = (begun.elapsed(), peak_kib());
    let (mut listed, mut octets, mut one) = (0, 0, None);
    for shard in 0..shards {
        let crl = ca
            .ledger
            .crl_state(ca.issuers[0].id, CrlShard::of_first(shard, shards))
            .await
            .expect("it reads")
            .last
            .expect("made");
        (listed, octets) = (listed + crl.entries, octets + crl.octets());
        one = Some(crl);
    }
    println!(
        "{shards} CRLs made in {first:?}, {octets} octets, {:.2} for each entry",
        octets as f64 / f64::from(entries)
    );
    println!("peak memory {peak} KiB, {before} KiB before");
    assert_eq!(listed, u64::from(entries), "each serial is on one list");
    let mut reader = pki::EntryReader::default();
    let mut parts = ca::crl::CrlParts::of(&*ca.ledger, one.as_ref().expect("there is a shard"));
    let part = parts.next().await.expect("it reads").expect("it has entries");
    let serial = reader.push(&part).expect("entries").entries[0].serial;
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert!(ca.ledger.upgrade_to_key_compromise(serial, "a test").await.expect("it is written"));
    let begun = Instant::now();
    assert_eq!(ca.renew_crls().await.expect("it is made"), 1, "the shard that it is in");
    println!("one revocation in {:?}, peak memory {} KiB", begun.elapsed(), peak_kib());
    let begun = Instant::now();
    assert_eq!(ca.renew_crls().await.expect("it looks"), 0);
    println!("a look at CRLs that need nothing in {:?}", begun.elapsed());
    assert!(peak < PEAK_KIB_MAX.max(before + PEAK_KIB_MAX / 2), "{peak} KiB, {before} KiB before");
}

#[tokio::main]
async fn main() {
    // `cargo bench` adds an option of its own.
    let numbers: Vec<u32> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let [entries, shards] = numbers[..] else {
        println!("which CRLs? cargo bench -p server --bench crl_sizes -- ENTRIES SHARDS");
        return;
    };
    measure(entries, u16::try_from(shards).expect("there are fewer shards")).await;
}
