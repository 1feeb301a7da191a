//! The directory: where everything else is (RFC 8555 §7.1.1).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The URLs of a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Directory {
    /// Fresh nonces.
    pub new_nonce: String,
    /// New accounts.
    pub new_account: String,
    /// New orders.
    pub new_order: String,
    /// Pre-authorization; absent if the server has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_authz: Option<String>,
    /// Revocation.
    pub revoke_cert: String,
    /// Key change; RFC 8555 wants it, but not every server has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_change: Option<String>,
    /// Renewal information (RFC 9773 §3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewal_info: Option<String>,
    /// What else there is to know.
    #[serde(default)]
    pub meta: DirectoryMeta,
}

/// Metadata of a server (RFC 8555 §9.7.6).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DirectoryMeta {
    /// URL of the terms that an account must agree to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terms_of_service: Option<String>,
    /// URL of more about the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub website: Option<String>,
    /// The names that mean this CA in CAA records (RFC 8659).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub caa_identities: Vec<String>,
    /// Whether newAccount needs an external account binding.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub external_account_required: bool,
    /// Profiles by name, each with a description or its URL (draft-ietf-acme-profiles).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub profiles: BTreeMap<String, String>,
}
