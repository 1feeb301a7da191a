//! Accounts, with the JWS chain that proves their keys.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use acme::{AccountStatus, Thumbprint};
use ca::account::{Account, KeyProof};
use ca::ports::{KeyChangeRecord, KeyNotChanged, NewAccountRecord, Recorded};
use ca::{AccountId, ExternalKeyId};
use pki::{Sha256, Timestamp};
use rusqlite::types::ToSql;
use rusqlite::{Connection, OptionalExtension, params};

use super::{blocked_keys, external_keys};
use crate::sqlite::columns::{Col, Json, col, document};
use crate::sqlite::failure::{Failure, Step};
use crate::sqlite::writer::Batch;

/// An account with more proofs than this is read each time: it would take the room of many.
const REMEMBERED_PROOFS_MAX: usize = 8;

/// Each half of what is remembered holds at most so many accounts, of 1 to 3 KiB each.
const REMEMBERED: usize = 256;

pub(super) fn create(
    batch: &Batch<'_>,
    new: &NewAccountRecord,
    external_key: Option<&ExternalKeyId>,
) -> Step<(Account, bool)> {
    let thumbprint = new.key.thumbprint();
    if let Some(known) = by_thumbprint(batch, thumbprint)? {
        return Ok((known, false));
    }
    let spki_hash = Sha256::of(&new.key.spki_der());
    let blocked = blocked_keys::is_blocked(batch, spki_hash)?;
    let status = if blocked { AccountStatus::Revoked } else { AccountStatus::Valid };
    let NewAccountRecord { id, key, contact, terms_of_service_agreed, terms_version, created, jws } = new.clone();
    batch
        .prepare_cached(
            "-- ledger.create_account
            INSERT INTO accounts (id, thumbprint, key, status, contact, terms_of_service_agreed, created, terms_version,
                external_key, spki_hash)
            VALUES (?1, ?2, ?3, ?9, ?4, ?5, ?6, ?7, ?8, ?10)",
        )?
        .execute(params![
            Col(id),
            Col(thumbprint),
            key.to_json(),
            document("accounts.contact", &contact)?,
            terms_of_service_agreed,
            Col(created),
            terms_version,
            external_key.map(ExternalKeyId::as_str),
            Col(status),
            Col(spki_hash),
        ])?;
    batch
        .prepare_cached(
            "-- ledger.create_account.proof
            INSERT INTO account_proofs (account, number, jws, since) VALUES (?1, 0, ?2, ?3)",
        )?
        .execute(params![batch.last_insert_rowid(), jws, Col(created)])?;
    batch.count(|tally| tally.accounts += 1);
    batch.dated(created, Recorded::Account(id));
    let proofs = vec![KeyProof { jws, since: created }];
    let external_key = external_key.cloned();
    let made =
        Account { id, key, status, contact, terms_of_service_agreed, terms_version, created, external_key, proofs };
    Ok((made, true))
}

pub(super) fn by_id(connection: &Connection, id: AccountId) -> Step<Option<Account>> {
    read(
        connection,
        "-- ledger.account
        SELECT a.id, a.key, a.status, a.contact, a.terms_of_service_agreed, a.created, p.jws,
            coalesce(p.since, a.created), a.terms_version, a.external_key
        FROM accounts a LEFT JOIN account_proofs p ON p.account = a.row WHERE a.id = ?1 ORDER BY p.number",
        &Col(id),
    )
}

pub(super) fn by_thumbprint(connection: &Connection, thumbprint: Thumbprint) -> Step<Option<Account>> {
    read(
        connection,
        "-- ledger.account_by_key
        SELECT a.id, a.key, a.status, a.contact, a.terms_of_service_agreed, a.created, p.jws,
            coalesce(p.since, a.created), a.terms_version, a.external_key
        FROM accounts a LEFT JOIN account_proofs p ON p.account = a.row WHERE a.thumbprint = ?1 ORDER BY p.number",
        &Col(thumbprint),
    )
}

pub(super) fn page(connection: &Connection, after: Option<AccountId>, limit: u32) -> Step<Vec<Account>> {
    let ids: Vec<AccountId> = connection
        .prepare_cached("-- ledger.accounts\nSELECT id FROM accounts WHERE id > ?1 ORDER BY id LIMIT ?2")?
        .query_map(params![after.as_ref().map_or(&[][..], |id| id.as_bytes()), limit], |row| col(row, 0))?
        .collect::<Result<_, _>>()?;
    let mut accounts = Vec::with_capacity(ids.len());
    for id in ids {
        accounts.extend(by_id(connection, id)?);
    }
    Ok(accounts)
}

/// One row for each proof; without any, one row with NULL.
fn read(connection: &Connection, sql: &str, key: &dyn ToSql) -> Step<Option<Account>> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([key])?;
    let mut account: Option<Account> = None;
    while let Some(row) = rows.next()? {
        let jws: Option<Vec<u8>> = row.get(6)?;
        let since = col(row, 7)?;
        let proof = jws.map(|jws| KeyProof { jws, since });
        if let Some(account) = &mut account {
            account.proofs.extend(proof);
        } else {
            account = Some(Account {
                id: col(row, 0)?,
                key: row.get::<_, Json<_>>(1)?.0,
                status: col(row, 2)?,
                contact: row.get::<_, Json<_>>(3)?.0,
                terms_of_service_agreed: row.get(4)?,
                terms_version: row.get(8)?,
                created: col(row, 5)?,
                external_key: external_keys::kid(row, 9)?,
                proofs: proof.into_iter().collect(),
            });
        }
    }
    Ok(account)
}

/// The status alone; `None` for an unknown account.
pub(super) fn status(connection: &Connection, id: AccountId) -> Step<Option<AccountStatus>> {
    Ok(connection
        .prepare_cached("-- ledger.account.status\nSELECT status FROM accounts WHERE id = ?1")?
        .query_row([Col(id)], |row| col(row, 0))
        .optional()?)
}

pub(super) fn update_contact(batch: &Batch<'_>, id: AccountId, contact: &[String]) -> Step<Option<Account>> {
    let updated = batch
        .prepare_cached(
            "-- ledger.update_contact\nUPDATE accounts SET contact = ?2 WHERE id = ?1 AND status = 'valid'",
        )?
        .execute(params![Col(id), document("accounts.contact", &contact)?])?;
    if updated == 0 { Ok(None) } else { by_id(batch, id) }
}

pub(super) fn agree(batch: &Batch<'_>, id: AccountId, version: Option<&str>) -> Step<Option<Account>> {
    let updated = batch
        .prepare_cached(
            "-- ledger.agree_to_terms
            UPDATE accounts SET terms_of_service_agreed = 1, terms_version = ?2 WHERE id = ?1 AND status = 'valid'",
        )?
        .execute(params![Col(id), version])?;
    if updated == 0 { Ok(None) } else { by_id(batch, id) }
}

pub(super) fn first_terms_version(batch: &Batch<'_>, version: &str, at: Timestamp) -> Step<String> {
    batch
        .prepare_cached(
            "-- ledger.first_terms_version
            INSERT INTO terms_versions (version, since) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
        )?
        .execute(params![version, Col(at)])?;
    Ok(batch
        .prepare_cached("-- ledger.first_terms_version.look\nSELECT version FROM terms_versions ORDER BY row LIMIT 1")?
        .query_row([], |row| row.get(0))?)
}

pub(super) fn change_key(
    batch: &Batch<'_>,
    change: &KeyChangeRecord,
    now: Timestamp,
) -> Step<Result<Account, KeyNotChanged>> {
    let KeyChangeRecord { account: id, from, to, jws } = change;
    let Some(account) = by_id(batch, *id)?.filter(Account::is_valid) else {
        return Ok(Err(KeyNotChanged::NotValid));
    };
    if account.thumbprint() != *from {
        return Ok(Err(KeyNotChanged::Changed));
    }
    let thumbprint = to.thumbprint();
    let holder = batch
        .prepare_cached("-- ledger.change_key.look\nSELECT id FROM accounts WHERE thumbprint = ?1")?
        .query_row([Col(thumbprint)], |row| col(row, 0))
        .optional()?;
    if let Some(holder) = holder {
        return Ok(Err(KeyNotChanged::Taken(holder)));
    }
    let spki_hash = Sha256::of(&to.spki_der());
    if blocked_keys::is_blocked(batch, spki_hash)? {
        return Ok(Err(KeyNotChanged::Blocked));
    }
    batch
        .prepare_cached(
            "-- ledger.change_key\nUPDATE accounts SET thumbprint = ?2, key = ?3, spki_hash = ?4 WHERE id = ?1",
        )?
        .execute(params![Col(*id), Col(thumbprint), to.to_json(), Col(spki_hash)])?;
    batch
        .prepare_cached(
            "-- ledger.change_key.proof
            INSERT INTO account_proofs (account, number, jws, since)
            SELECT row, ?2, ?3, ?4 FROM accounts WHERE id = ?1",
        )?
        .execute(params![Col(*id), Col(account.proofs.len() as u64), jws, Col(now)])?;
    batch.dated(now, Recorded::Account(*id));
    by_id(batch, *id)?.map(Ok).ok_or_else(|| Failure::corrupt("accounts", format!("account {id} is gone")))
}

pub(super) fn deactivate(batch: &Batch<'_>, id: AccountId) -> Step<Option<Account>> {
    batch
        .prepare_cached(
            "-- ledger.deactivate_account
            UPDATE accounts SET status = 'deactivated' WHERE id = ?1 AND status = 'valid'",
        )?
        .execute([Col(id)])?;
    by_id(batch, id)
}

/// Accounts read lately: each request of a client asks for its account, and a key is costly to read.
///
/// All writes go through this process, and each of them ends what is remembered of its account before it is answered.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    accounts: Mutex<Halves>,
}

/// When the young half is full it becomes the old one, whose accounts are forgotten unless they are asked for again.
#[derive(Debug, Default)]
struct Halves {
    young: HashMap<AccountId, Account>,
    old: HashMap<AccountId, Account>,
    /// Counts what was forgotten: what was read before that must not be remembered after it.
    forgotten: u64,
}

/// How much was forgotten when somebody was about to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment(u64);

impl Remembered {
    /// To be taken before a read begins; where several statements read one state of the store, before the first.
    pub(super) fn moment(&self) -> Moment {
        Moment(self.lock().forgotten)
    }

    /// The account as it is remembered, or as `read` finds it in a state of the store that is no older than `moment`.
    pub(super) fn account(
        &self,
        id: AccountId,
        moment: Moment,
        read: impl FnOnce() -> Step<Option<Account>>,
    ) -> Step<Option<Account>> {
        {
            let mut halves = self.lock();
            if let Some(account) = halves.young.get(&id) {
                return Ok(Some(account.clone()));
            }
            if let Some(account) = halves.old.remove(&id) {
                halves.remember(account.clone());
                return Ok(Some(account));
            }
        }
        let found = read()?;
        if let Some(account) = found.as_ref().filter(|account| account.proofs.len() <= REMEMBERED_PROOFS_MAX) {
            let mut halves = self.lock();
            if Moment(halves.forgotten) == moment {
                halves.remember(account.clone());
            }
        }
        Ok(found)
    }

    /// It was written.
    pub(super) fn forget(&self, id: AccountId) {
        let mut halves = self.lock();
        halves.forgotten += 1;
        halves.young.remove(&id);
        halves.old.remove(&id);
    }

    /// Any of them may have been written.
    pub(super) fn forget_all(&self) {
        let mut halves = self.lock();
        halves.forgotten += 1;
        halves.young.clear();
        halves.old.clear();
    }

    // Nothing that panics runs under this lock.
    fn lock(&self) -> MutexGuard<'_, Halves> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Halves {
    fn remember(&mut self, account: Account) {
        if self.young.len() >= REMEMBERED {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(account.id, account);
    }
}
