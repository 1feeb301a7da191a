//! Numbered migrations: a store made by any released version opens in every later one.

use std::collections::BTreeSet;

use acme::Jwk;
use pki::Sha256;
use rusqlite::{Connection, OptionalExtension, params};

use super::ledger::serials::reversed;
use super::open::OpenError;

/// One step from a schema to the next. Once released it never changes: its checksum is kept in each store.
struct Migration {
    number: u32,
    name: &'static str,
    sql: &'static str,
    /// What SQL can't compute of what was there before.
    fill: Option<fn(&Connection) -> rusqlite::Result<()>>,
}

impl Migration {
    const fn of(number: u32, name: &'static str, sql: &'static str) -> Self {
        Self { number, name, sql, fill: None }
    }
}

const MIGRATIONS: &[Migration] = &[
    Migration::of(
        1,
        "ledger, workbench and logs",
        include_str!("../../migrations/sqlite/0001_ledger_workbench_logs.sql"),
    ),
    Migration::of(2, "accounts", include_str!("../../migrations/sqlite/0002_accounts.sql")),
    Migration::of(3, "reuse and renewal", include_str!("../../migrations/sqlite/0003_reuse_and_renewal.sql")),
    Migration::of(4, "tests by account", include_str!("../../migrations/sqlite/0004_tests_by_account.sql")),
    Migration::of(5, "failures and time", include_str!("../../migrations/sqlite/0005_failures_and_time.sql")),
    Migration::of(6, "our faults", include_str!("../../migrations/sqlite/0006_our_faults.sql")),
    Migration::of(7, "recoveries", include_str!("../../migrations/sqlite/0007_recoveries.sql")),
    Migration::of(8, "OCSP responders", include_str!("../../migrations/sqlite/0008_ocsp_responders.sql")),
    Migration {
        fill: Some(fill_spki_hashes),
        ..Migration::of(9, "blocked keys", include_str!("../../migrations/sqlite/0009_blocked_keys.sql"))
    },
    Migration::of(10, "CRL parts", include_str!("../../migrations/sqlite/0010_crl_parts.sql")),
    Migration {
        fill: Some(fill_domain_names),
        ..Migration::of(11, "domain names", include_str!("../../migrations/sqlite/0011_domain_names.sql"))
    },
    Migration::of(12, "stops", include_str!("../../migrations/sqlite/0012_stops.sql")),
    Migration::of(13, "replaced_crls", include_str!("../../migrations/sqlite/0013_replaced_crls.sql")),
    Migration::of(14, "stops by scope", include_str!("../../migrations/sqlite/0014_stops_by_scope.sql")),
    Migration::of(15, "CRL generations", include_str!("../../migrations/sqlite/0015_crl_generations.sql")),
    Migration::of(16, "packed documents", include_str!("../../migrations/sqlite/0016_packed_documents.sql")),
];

/// The schema that this version reads and writes.
pub const SCHEMA: u32 = MIGRATIONS[MIGRATIONS.len() - 1].number;

/// The number of a store's schema; 0: an empty file.
pub(super) fn schema(connection: &Connection) -> rusqlite::Result<u32> {
    connection.query_row("-- migrations.schema\nPRAGMA user_version", [], |row| row.get(0))
}

/// Brings a store to [`SCHEMA`] in one transaction, after a look at what was done to it before.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), OpenError> {
    let found = schema(connection)?;
    if found == SCHEMA {
        return verify(connection, found);
    }
    let cache: i64 = connection.pragma_query_value(None, "cache_size", |row| row.get(0))?;
    let temporary: i64 = connection.pragma_query_value(None, "temp_store", |row| row.get(0))?;
    // Indexes of millions of rows are filled and sorted: in more memory, but not without a limit.
    connection.pragma_update(None, "cache_size", -i64::from(CACHE_KIB))?;
    connection.pragma_update(None, "temp_store", "FILE")?;
    let migrated = migrate_to(connection, SCHEMA);
    connection.pragma_update(None, "cache_size", cache)?;
    connection.pragma_update(None, "temp_store", temporary)?;
    migrated
}

fn migrate_to(connection: &mut Connection, last: u32) -> Result<(), OpenError> {
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Exclusive)?;
    // Read again: another process may have migrated it before this one had the lock.
    let found = schema(&transaction)?;
    if found > 0 {
        verify(&transaction, found)?;
        tracing::info!(found, to = last, "the store is brought to the schema of this version; large ones take minutes");
    }
    for migration in MIGRATIONS.iter().filter(|one| one.number > found && one.number <= last) {
        if found > 0 {
            tracing::info!(number = migration.number, "store: {}", migration.name);
        }
        transaction.execute_batch(migration.sql)?;
        if let Some(fill) = migration.fill {
            fill(&transaction)?;
        }
        transaction.execute(
            "-- migrations.applied\nINSERT INTO migrations (number, name, sha256) VALUES (?1, ?2, ?3)",
            params![migration.number, migration.name, Sha256::of(migration.sql.as_bytes()).as_bytes()],
        )?;
    }
    transaction.pragma_update(None, "user_version", last.max(found))?;
    transaction.commit()?;
    Ok(())
}

fn verify(connection: &Connection, found: u32) -> Result<(), OpenError> {
    for migration in MIGRATIONS.iter().filter(|one| one.number <= found) {
        let stored: Option<[u8; 32]> = connection
            .query_row(
                "-- migrations.verify\nSELECT sha256 FROM migrations WHERE number = ?1",
                [migration.number],
                |row| row.get(0),
            )
            .optional()?;
        if stored != Some(*Sha256::of(migration.sql.as_bytes()).as_bytes()) {
            return Err(OpenError::Altered { number: migration.number, name: migration.name });
        }
    }
    Ok(())
}

/// The page cache while a store is migrated, in KiB.
const CACHE_KIB: u32 = if cfg!(test) { 256 } else { 64 * 1024 };
/// Accounts of one page.
const FILL_PAGE: u32 = 1000;
/// Names that are sorted at a time: some 100 MiB.
const NAMES_SORTED: usize = if cfg!(test) { 5_000 } else { 1_000_000 };
/// So often a line says how far it is, in rows.
const TOLD_EACH: u64 = 100_000;

/// By the SHA-256 of its SubjectPublicKeyInfo the account of a blocked key is found. A key that can't be read has none.
fn fill_spki_hashes(connection: &Connection) -> rusqlite::Result<()> {
    // Hashes come in no order: their index is made when all are there.
    let index: String = connection.query_row(
        "-- migrations.accounts.index\nSELECT sql FROM sqlite_schema WHERE name = 'accounts_by_spki_hash'",
        [],
        |row| row.get(0),
    )?;
    connection.execute_batch("-- migrations.accounts.without\nDROP INDEX accounts_by_spki_hash")?;
    let last: i64 =
        connection.query_row("-- migrations.accounts.last\nSELECT coalesce(max(row), 0) FROM accounts", [], |row| {
            row.get(0)
        })?;
    let mut page = connection.prepare(
        "-- migrations.accounts
        SELECT row, CAST(key AS BLOB) FROM accounts WHERE row > ?1 ORDER BY row LIMIT ?2",
    )?;
    let mut fill =
        connection.prepare("-- migrations.accounts.fill\nUPDATE accounts SET spki_hash = ?2 WHERE row = ?1")?;
    let (mut after, mut done) = (0, 0);
    loop {
        let keys: Vec<(i64, Vec<u8>)> = page
            .query_map(params![after, FILL_PAGE], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        let Some((row, _)) = keys.last() else { break };
        after = *row;
        for (row, key) in keys {
            if let Ok(key) = serde_json::from_slice::<Jwk>(&key) {
                fill.execute(params![row, Sha256::of(&key.spki_der()).as_bytes()])?;
            }
            done += 1;
            if done % TOLD_EACH == 0 {
                tracing::info!(done, last, "store: keys of accounts");
            }
        }
    }
    connection.execute_batch(&index)
}

/// The names that serials have. Addresses are below no domain.
///
/// They are read in their own order and written in that of their labels from the last to the first: one by one, each
/// would change another page of an index that is larger than any cache. Many sorted together change each page once.
fn fill_domain_names(connection: &Connection) -> rusqlite::Result<()> {
    let mut names =
        connection.prepare("-- migrations.names\nSELECT CAST(name AS BLOB) FROM serial_names ORDER BY name")?;
    let mut fill = connection
        .prepare("-- migrations.names.fill\nINSERT INTO domain_names (reversed) VALUES (?1) ON CONFLICT DO NOTHING")?;
    let mut rows = names.query([])?;
    let (mut last, mut sorted, mut done) = (Vec::new(), BTreeSet::new(), 0_u64);
    let mut write = |sorted: &mut BTreeSet<String>| {
        std::mem::take(sorted).iter().try_for_each(|reversed| fill.execute([reversed]).map(drop))
    };
    while let Some(row) = rows.next()? {
        let name = row.get_ref(0)?.as_blob()?;
        done += 1;
        if done % (10 * TOLD_EACH) == 0 {
            tracing::info!(done, "store: names of certificates");
        }
        // Each is there once for each of its serials.
        if name == last {
            continue;
        }
        last = name.to_vec();
        sorted.extend(std::str::from_utf8(name).ok().and_then(reversed));
        if sorted.len() >= NAMES_SORTED {
            write(&mut sorted)?;
        }
    }
    write(&mut sorted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_are_numbered_without_gaps() {
        for (at, migration) in MIGRATIONS.iter().enumerate() {
            assert_eq!(u32::try_from(at + 1), Ok(migration.number));
        }
    }

    #[test]
    fn migrating_twice_is_migrating_once() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection).unwrap();
        migrate(&mut connection).unwrap();
        assert_eq!(schema(&connection).unwrap(), SCHEMA);
    }

    #[test]
    fn a_store_whose_migration_was_another_is_refused() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection).unwrap();
        connection.execute("UPDATE migrations SET sha256 = zeroblob(32)", []).unwrap();
        assert!(matches!(migrate(&mut connection), Err(OpenError::Altered { number: 1, .. })));
    }

    fn store_at(schema: u32) -> (tempfile::TempDir, Connection) {
        let folder = tempfile::tempdir().unwrap();
        let mut connection = Connection::open(folder.path().join("cairn.db")).unwrap();
        connection.pragma_update(None, "journal_mode", "WAL").unwrap();
        connection.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
        // Serials are not needed for their names.
        connection.pragma_update(None, "foreign_keys", false).unwrap();
        migrate_to(&mut connection, schema).unwrap();
        (folder, connection)
    }

    #[test]
    fn names_of_many_domains_are_filled_without_changing_each_page_again_and_again() {
        const NAMES: u32 = 40_000;
        let (folder, mut connection) = store_at(10);
        let transaction = connection.transaction().unwrap();
        let mut insert = transaction.prepare("INSERT INTO serial_names (name, serial) VALUES (?1, ?2)").unwrap();
        for number in 0..NAMES {
            // No two have their domain beside each other, as with the names of many owners.
            let domain = number.wrapping_mul(2_654_435_761);
            for serial in 0..2 {
                insert.execute(params![format!("www{number}.{domain:08x}.example"), serial]).unwrap();
            }
        }
        insert.execute(params!["192.0.2.1", 1]).unwrap();
        transaction.execute("INSERT INTO serial_names VALUES (CAST(x'ff61' AS TEXT), 1)", []).unwrap();
        drop(insert);
        transaction.commit().unwrap();
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        migrate(&mut connection).unwrap();
        let log = std::fs::metadata(folder.path().join("cairn.db-wal")).unwrap().len();
        assert!(log < 20 << 20, "{log} octets were written for names of some 1.5 MiB");
        let filled: u32 = connection.query_row("SELECT count(*) FROM domain_names", [], |row| row.get(0)).unwrap();
        assert_eq!(filled, NAMES, "what is no text is passed over");
    }

    #[test]
    fn account_whose_key_was_blocked_before_blocks_ended_accounts_is_ended() {
        let (_folder, mut connection) = store_at(8);
        let of = |key: &str| Sha256::of(&serde_json::from_str::<Jwk>(key).unwrap().spki_der());
        let keys = [KEY, OTHER_KEY, "not a key"];
        for (number, key) in (1_u8..).zip(keys) {
            connection
                .execute(
                    "INSERT INTO accounts (id, thumbprint, key, status, contact, terms_of_service_agreed, created)
                    VALUES (?1, ?2, ?3, 'valid', '[]', 0, 0)",
                    params![[number; 16], [number; 32], key],
                )
                .unwrap();
        }
        connection
            .execute(
                "INSERT INTO blocked_keys (spki_hash, blocked, blocked_by) VALUES (?1, 0, 'one')",
                [of(KEY).as_bytes()],
            )
            .unwrap();
        migrate(&mut connection).unwrap();
        let mut statement = connection.prepare("SELECT status, spki_hash FROM accounts ORDER BY row").unwrap();
        let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, Option<[u8; 32]>>(1)?)));
        let found: Vec<_> = rows.unwrap().map(|row| row.unwrap()).collect();
        let hash = |key| Some(*of(key).as_bytes());
        let due = [("revoked", hash(KEY)), ("valid", hash(OTHER_KEY)), ("valid", None)];
        assert_eq!(found, due.map(|(status, hash)| (status.to_owned(), hash)));
    }

    const KEY: &str = r#"{"crv":"Ed25519","kty":"OKP","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    const OTHER_KEY: &str = r#"{"crv":"Ed25519","kty":"OKP","x":"1aj_sLhDrfnNXvCkBNLCHvVJSZEFYzzDCTFr7ZeXR2Q"}"#;
}
