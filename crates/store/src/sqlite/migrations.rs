//! Numbered migrations: a store made by any released version opens in every later one.

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
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Exclusive)?;
    // Read again: another process may have migrated it before this one had the lock.
    let found = schema(&transaction)?;
    if found > 0 {
        verify(&transaction, found)?;
    }
    for migration in MIGRATIONS.iter().filter(|one| one.number > found) {
        transaction.execute_batch(migration.sql)?;
        if let Some(fill) = migration.fill {
            fill(&transaction)?;
        }
        transaction.execute(
            "-- migrations.applied\nINSERT INTO migrations (number, name, sha256) VALUES (?1, ?2, ?3)",
            params![migration.number, migration.name, Sha256::of(migration.sql.as_bytes()).as_bytes()],
        )?;
    }
    transaction.pragma_update(None, "user_version", SCHEMA)?;
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

/// Accounts of one page.
const FILL_PAGE: u32 = 1000;

/// By the SHA-256 of its SubjectPublicKeyInfo the account of a blocked key is found. A key that can't be read has none.
fn fill_spki_hashes(connection: &Connection) -> rusqlite::Result<()> {
    let mut page = connection
        .prepare("-- migrations.accounts\nSELECT row, key FROM accounts WHERE row > ?1 ORDER BY row LIMIT ?2")?;
    let mut fill =
        connection.prepare("-- migrations.accounts.fill\nUPDATE accounts SET spki_hash = ?2 WHERE row = ?1")?;
    let mut after = 0;
    loop {
        let keys: Vec<(i64, String)> = page
            .query_map(params![after, FILL_PAGE], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        let Some((last, _)) = keys.last() else { return Ok(()) };
        after = *last;
        for (row, key) in keys {
            if let Ok(key) = serde_json::from_str::<Jwk>(&key) {
                fill.execute(params![row, Sha256::of(&key.spki_der()).as_bytes()])?;
            }
        }
    }
}

/// The names that serials have. Addresses are below no domain.
fn fill_domain_names(connection: &Connection) -> rusqlite::Result<()> {
    let mut next = connection
        .prepare("-- migrations.names\nSELECT name FROM serial_names WHERE name > ?1 ORDER BY name LIMIT 1")?;
    let mut fill = connection
        .prepare("-- migrations.names.fill\nINSERT INTO domain_names (reversed) VALUES (?1) ON CONFLICT DO NOTHING")?;
    let mut after = String::new();
    while let Some(name) = next.query_row([&after], |row| row.get::<_, String>(0)).optional()? {
        if let Some(reversed) = reversed(&name) {
            fill.execute([reversed])?;
        }
        after = name;
    }
    Ok(())
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
}
