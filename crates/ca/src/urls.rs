//! Paths of ACME resources. Signed requests carry their URL (RFC 8555 §6.4), so the signer can tell what was asked for.

use acme::ChallengeKind;
use pki::Serial;

use crate::{AccountId, AuthorizationId, OrderCursor, OrderId};

/// The directory (RFC 8555 §7.1.1).
pub const DIRECTORY: &str = "/dir";
/// newNonce (RFC 8555 §7.2).
pub const NEW_NONCE: &str = "/new-nonce";
/// newAccount (RFC 8555 §7.3).
pub const NEW_ACCOUNT: &str = "/new-account";
/// keyChange (RFC 8555 §7.3.5).
pub const KEY_CHANGE: &str = "/key-change";
/// A page for people about the terms of service, read by GET (RFC 8555 §7.3.3).
pub const TERMS: &str = "/terms";
/// newOrder (RFC 8555 §7.4).
pub const NEW_ORDER: &str = "/new-order";
/// revokeCert (RFC 8555 §7.6).
pub const REVOKE_CERT: &str = "/revoke-cert";

/// Renewal information (RFC 9773 §4.1): the certificate's name follows, behind a slash.
pub const RENEWAL_INFO: &str = "/renewal-info";

/// An account: its URL is the `kid` of its requests.
pub fn account(id: AccountId) -> String {
    format!("/acct/{id}")
}

/// The list of an account's orders (RFC 8555 §7.1.2.1).
pub fn orders(id: AccountId) -> String {
    format!("/acct/{id}/orders")
}

/// A later page of that list.
pub fn orders_behind(id: AccountId, place: OrderCursor) -> String {
    format!("/acct/{id}/orders/{place}")
}

/// An order.
pub fn order(id: OrderId) -> String {
    format!("/order/{id}")
}

/// Where an order is finalized (RFC 8555 §7.4).
pub fn finalize(id: OrderId) -> String {
    format!("/order/{id}/finalize")
}

/// Where a client says that it has its certificate.
pub fn acknowledge(id: OrderId) -> String {
    format!("/order/{id}/acknowledge")
}

/// An authorization.
pub fn authorization(id: AuthorizationId) -> String {
    format!("/authz/{id}")
}

/// A challenge of an authorization.
pub fn challenge(id: AuthorizationId, kind: &ChallengeKind) -> String {
    format!("/chall/{id}/{kind}")
}

/// A certificate.
pub fn certificate(serial: Serial) -> String {
    format!("/cert/{serial}")
}

/// A certificate with another chain than the issuer's own.
pub fn certificate_with_chain(serial: Serial, chain: u16) -> String {
    format!("/cert/{serial}/{chain}")
}

/// A CRL on the status listener: `issuer` is the start of the issuer's id.
pub fn crl(issuer: &pki::Sha256, shard: u16) -> String {
    format!("/crl/{}/{shard}.crl", issuer_label(issuer))
}

/// The OCSP responder on the status listener (RFC 6960 appendix A.1).
pub const OCSP: &str = "/ocsp";

/// An issuer's certificate on the status listener.
pub fn issuer(issuer: &pki::Sha256) -> String {
    format!("/issuer/{}.cer", issuer_label(issuer))
}

/// The same in PEM.
pub fn issuer_pem(issuer: &pki::Sha256) -> String {
    format!("/issuer/{}.pem", issuer_label(issuer))
}

/// 16 hexadecimal digits tell the issuers of one CA apart, and keep certificates small.
pub fn issuer_label(issuer: &pki::Sha256) -> String {
    issuer.to_string()[..16].to_owned()
}
