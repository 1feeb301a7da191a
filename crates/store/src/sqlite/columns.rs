//! How values of the domain stand in columns.

use acme::{AccountStatus, Thumbprint};
use ca::order::Stage;
use ca::ports::{SerialStatus, StoreError, StoreErrorKind};
use ca::{AccountId, InstanceId, LeaseToken, OrderCursor, OrderId};
use pki::{LogId, Reason, Serial, Sha256, Timestamp};
use rusqlite::Row;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::failure::{Failure, Step};
use crate::packed;

/// A value of the domain as a column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Col<T>(pub(super) T);

/// A document in JSON as a column; where it stands in octets, it is packed.
#[derive(Clone, Debug)]
pub(super) struct Json<T>(pub(super) T);

/// A document to be kept packed: see [`crate::packed`].
#[derive(Clone, Debug)]
pub(super) struct Packed(Vec<u8>);

/// Reads a column as a value of the domain.
pub(super) fn col<T>(row: &Row<'_>, index: usize) -> rusqlite::Result<T>
where
    Col<T>: FromSql,
{
    row.get::<_, Col<T>>(index).map(|column| column.0)
}

/// Reads a column that may be NULL.
pub(super) fn maybe<T>(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<T>>
where
    Col<T>: FromSql,
{
    row.get::<_, Option<Col<T>>>(index).map(|column| column.map(|column| column.0))
}

/// Reads a document.
pub(super) fn json<T: DeserializeOwned>(row: &Row<'_>, index: usize) -> rusqlite::Result<T> {
    row.get::<_, Json<T>>(index).map(|document| document.0)
}

/// Writes a document.
pub(super) fn document<T: Serialize>(what: &'static str, value: &T) -> Step<String> {
    serde_json::to_string(value).map_err(|error| Failure::corrupt(what, error))
}

/// Writes a document that is kept for years.
pub(super) fn packed<T: Serialize>(what: &'static str, value: &T) -> Step<Packed> {
    let written = serde_json::to_vec(value).map_err(|error| Failure::corrupt(what, error))?;
    // Nothing is wrong with the document: it is too long, or there is no memory.
    let unavailable = |error| StoreError::new(StoreErrorKind::Unavailable, format!("{what} can't be packed: {error}"));
    packed::pack(&written).map(Packed).map_err(|error: std::io::Error| Failure::Refused(unavailable(error)))
}

/// A place in a list of orders that begins with the newest: without a cursor the place before all.
pub(super) fn place(behind: Option<OrderCursor>) -> (i64, Vec<u8>) {
    behind.map_or((i64::MAX, Vec::new()), |at| (at.created.millis(), at.order.as_bytes().to_vec()))
}

fn other(error: impl std::error::Error + Send + Sync + 'static) -> FromSqlError {
    FromSqlError::Other(Box::new(error))
}

fn unreadable(what: &str) -> FromSqlError {
    FromSqlError::Other(format!("this is no {what}").into())
}

impl<T: DeserializeOwned> FromSql for Json<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        if let ValueRef::Blob(packed) = value {
            let written = packed::unpack(packed).map_err(other)?;
            return serde_json::from_slice(&written).map(Self).map_err(other);
        }
        serde_json::from_str(value.as_str()?).map(Self).map_err(other)
    }
}

impl ToSql for Packed {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Blob(&self.0)))
    }
}

macro_rules! octets {
    ($($type:ty: $from:expr, $into:expr;)*) => {$(
        impl FromSql for Col<$type> {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                FromSql::column_result(value).map(|octets| Self(($from)(octets)))
            }
        }

        impl ToSql for Col<$type> {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                let into: fn(&$type) -> &[u8] = $into;
                Ok(ToSqlOutput::Borrowed(ValueRef::Blob(into(&self.0))))
            }
        }
    )*};
}

octets! {
    AccountId: AccountId::from_bytes, |id| id.as_bytes();
    OrderId: OrderId::from_bytes, |id| id.as_bytes();
    InstanceId: InstanceId::from_bytes, |id| id.as_bytes();
    LeaseToken: LeaseToken::from_bytes, |token| token.as_bytes();
    Sha256: Sha256::from_bytes, |hash| hash.as_bytes();
    Thumbprint: Thumbprint::from_bytes, |thumbprint| thumbprint.as_bytes();
    LogId: LogId, |log| &log.0;
}

impl FromSql for Col<Serial> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Serial::from_der_integer(value.as_blob()?).map(Self).ok_or_else(|| unreadable("serial"))
    }
}

impl ToSql for Col<Serial> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Blob(self.0.as_bytes())))
    }
}

impl FromSql for Col<Timestamp> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_i64().map(Timestamp::from_millis).map(Self)
    }
}

impl ToSql for Col<Timestamp> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.millis().into())
    }
}

impl FromSql for Col<u64> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        u64::try_from(value.as_i64()?).map(Self).map_err(|_| unreadable("count"))
    }
}

impl ToSql for Col<u64> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let number = i64::try_from(self.0).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
        Ok(number.into())
    }
}

impl FromSql for Col<Reason> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let code = u8::column_result(value)?;
        Reason::from_code(code).map(Self).ok_or_else(|| unreadable("revocation reason"))
    }
}

impl ToSql for Col<Reason> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.code().into())
    }
}

macro_rules! names {
    ($($type:ty, $what:literal, $name:path: $($value:path),*;)*) => {$(
        impl FromSql for Col<$type> {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                let text = value.as_str()?;
                [$($value),*].into_iter().find(|one| $name(*one) == text).map(Self).ok_or_else(|| unreadable($what))
            }
        }

        impl ToSql for Col<$type> {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok($name(self.0).into())
            }
        }
    )*};
}

const fn account_status(status: AccountStatus) -> &'static str {
    match status {
        AccountStatus::Valid => "valid",
        AccountStatus::Deactivated => "deactivated",
        AccountStatus::Revoked => "revoked",
    }
}

names! {
    AccountStatus, "account status", account_status:
        AccountStatus::Valid, AccountStatus::Deactivated, AccountStatus::Revoked;
    SerialStatus, "serial status", SerialStatus::name:
        SerialStatus::Wait, SerialStatus::Good, SerialStatus::Revoked;
    Stage, "stage", Stage::name:
        Stage::MakeChallenge, Stage::TestChallenge, Stage::Issue, Stage::Done;
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::Connection;

    fn there_and_back<T>(value: T) -> rusqlite::Result<T>
    where
        Col<T>: ToSql + FromSql,
    {
        Connection::open_in_memory()?.query_row("SELECT ?1", [Col(value)], |row| col(row, 0))
    }

    #[test]
    fn values_come_back_as_they_went() {
        let serial = Serial::from_random([0xff; 16]);
        assert_eq!(there_and_back(serial), Ok(serial));
        assert_eq!(there_and_back(Timestamp::from_millis(-1)), Ok(Timestamp::from_millis(-1)));
        for status in [SerialStatus::Wait, SerialStatus::Good, SerialStatus::Revoked] {
            assert_eq!(there_and_back(status), Ok(status));
        }
        for reason in Reason::ALL {
            assert_eq!(there_and_back(reason), Ok(reason));
        }
    }

    #[test]
    fn what_makes_no_sense_is_corrupt() {
        let connection = Connection::open_in_memory().unwrap();
        let read = |sql: &str| connection.query_row(sql, [], |row| col::<Serial>(row, 0)).unwrap_err();
        for sql in ["SELECT x''", "SELECT x'ff'", "SELECT 1", "SELECT NULL"] {
            assert_eq!(Failure::from(read(sql)).kind(), ca::ports::StoreErrorKind::Corrupt, "{sql}");
        }
    }
}
