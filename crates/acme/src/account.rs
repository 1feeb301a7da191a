//! Accounts (RFC 8555 §7.1.2, §7.3).

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::contact::{Contact, ContactError};
use crate::jwk::Jwk;
use crate::problem::Problem;

/// The most contacts that an account keeps.
pub const CONTACTS_MAX: usize = 10;

/// The state of an account (RFC 8555 §7.1.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AccountStatus {
    /// Good.
    Valid,
    /// Ended by its holder.
    Deactivated,
    /// Ended by the server.
    Revoked,
}

/// The payload of newAccount (RFC 8555 §7.3). Members that belong to the server are ignored.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NewAccount {
    /// Contact URLs, unchecked; [`NewAccount::contacts`] checks them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<Vec<String>>,
    /// Whether the client agrees to the terms.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub terms_of_service_agreed: bool,
    /// Whether an account must exist already (RFC 8555 §7.3.1).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub only_return_existing: bool,
    /// The inner JWS of an external account binding (RFC 8555 §7.3.4), as it was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_account_binding: Option<Box<RawValue>>,
}

impl NewAccount {
    /// The contacts, checked; none if the member is absent.
    ///
    /// # Errors
    /// `invalidContact` or `unsupportedContact` for the first bad one.
    pub fn contacts(&self) -> Result<Vec<Contact>, Problem> {
        self.contact.as_deref().map_or(Ok(Vec::new()), parse_contacts)
    }
}

fn parse_contacts(urls: &[String]) -> Result<Vec<Contact>, Problem> {
    if urls.len() > CONTACTS_MAX {
        return Err(ContactError::TooMany(urls.len()).problem());
    }
    let mut contacts: Vec<Contact> = Vec::with_capacity(urls.len());
    for url in urls {
        let contact = Contact::parse(url).map_err(|error| error.problem())?;
        if !contacts.contains(&contact) {
            contacts.push(contact);
        }
    }
    Ok(contacts)
}

/// The payload of an update of an account (RFC 8555 §7.3.2, §7.3.6).
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountUpdate {
    /// New contact URLs: `[]` clears, absent keeps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<Vec<String>>,
    /// Whether the client agrees to the terms as they now are (RFC 8555 §7.3.3).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub terms_of_service_agreed: bool,
    /// `deactivated` ends the account; unknown values are refused when read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<AccountStatus>,
}

impl AccountUpdate {
    /// The new contacts, checked: `None` keeps the old ones, an empty list clears them.
    ///
    /// # Errors
    /// `invalidContact` or `unsupportedContact` for the first bad one.
    pub fn contacts(&self) -> Result<Option<Vec<Contact>>, Problem> {
        self.contact.as_deref().map(parse_contacts).transpose()
    }

    /// Whether the client ends its account.
    ///
    /// # Errors
    /// `malformed` for `revoked`, which only the server may say.
    pub fn deactivates(&self) -> Result<bool, Problem> {
        match self.status {
            None | Some(AccountStatus::Valid) => Ok(false),
            Some(AccountStatus::Deactivated) => Ok(true),
            Some(AccountStatus::Revoked) => Err(Problem::malformed(
                "a client cannot set the status of its account to `revoked`; send `deactivated` (RFC 8555 §7.3.6)",
            )),
        }
    }
}

/// An account as clients see it (RFC 8555 §7.1.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountObject {
    /// Its state.
    pub status: AccountStatus,
    /// Contact URLs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contact: Vec<String>,
    /// Whether the terms were agreed to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terms_of_service_agreed: Option<bool>,
    /// Its key: no field of RFC 8555, but of its drafts, and clients read it after a key change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Jwk>,
    /// The binding that newAccount had, as it was sent (RFC 8555 §7.3.4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_account_binding: Option<serde_json::Value>,
    /// URL of the list of its orders; other servers may have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orders: Option<String>,
}

/// A page of the orders of an account (RFC 8555 §7.1.2.1).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderList {
    /// URLs of orders.
    pub orders: Vec<String>,
}
