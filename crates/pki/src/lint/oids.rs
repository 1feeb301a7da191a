//! The object identifiers that the lints know, written down a second time on purpose: a linter that shared the
//! writer's table would share its mistakes.

use const_oid::ObjectIdentifier;

const fn oid(dotted: &str) -> ObjectIdentifier {
    ObjectIdentifier::new_unwrap(dotted)
}

// RFC 5280 §4.1.2.6
pub(super) const COMMON_NAME: ObjectIdentifier = oid("2.5.4.3");

// RFC 5280 §4.2
pub(super) const SUBJECT_KEY_IDENTIFIER: ObjectIdentifier = oid("2.5.29.14");
pub(super) const KEY_USAGE: ObjectIdentifier = oid("2.5.29.15");
pub(super) const SUBJECT_ALT_NAME: ObjectIdentifier = oid("2.5.29.17");
pub(super) const BASIC_CONSTRAINTS: ObjectIdentifier = oid("2.5.29.19");
pub(super) const CRL_NUMBER: ObjectIdentifier = oid("2.5.29.20");
pub(super) const REASON_CODE: ObjectIdentifier = oid("2.5.29.21");
pub(super) const ISSUING_DISTRIBUTION_POINT: ObjectIdentifier = oid("2.5.29.28");
pub(super) const CRL_DISTRIBUTION_POINTS: ObjectIdentifier = oid("2.5.29.31");
pub(super) const CERTIFICATE_POLICIES: ObjectIdentifier = oid("2.5.29.32");
pub(super) const AUTHORITY_KEY_IDENTIFIER: ObjectIdentifier = oid("2.5.29.35");
pub(super) const EXTENDED_KEY_USAGE: ObjectIdentifier = oid("2.5.29.37");
pub(super) const AUTHORITY_INFO_ACCESS: ObjectIdentifier = oid("1.3.6.1.5.5.7.1.1");
// RFC 7633
pub(super) const TLS_FEATURE: ObjectIdentifier = oid("1.3.6.1.5.5.7.1.24");
// RFC 6962 §3.1, §3.3
pub(super) const SCT_LIST: ObjectIdentifier = oid("1.3.6.1.4.1.11129.2.4.2");
pub(super) const POISON: ObjectIdentifier = oid("1.3.6.1.4.1.11129.2.4.3");

// RFC 5280 §4.2.2.1
pub(super) const ACCESS_OCSP: ObjectIdentifier = oid("1.3.6.1.5.5.7.48.1");
pub(super) const ACCESS_CA_ISSUERS: ObjectIdentifier = oid("1.3.6.1.5.5.7.48.2");

// RFC 5280 §4.2.1.12
pub(super) const ANY_EXTENDED_KEY_USAGE: ObjectIdentifier = oid("2.5.29.37.0");
pub(super) const SERVER_AUTH: ObjectIdentifier = oid("1.3.6.1.5.5.7.3.1");
pub(super) const CLIENT_AUTH: ObjectIdentifier = oid("1.3.6.1.5.5.7.3.2");

// RFC 6960 §4.2.2.2, §4.2.2.2.1
pub(super) const OCSP_SIGNING: ObjectIdentifier = oid("1.3.6.1.5.5.7.3.9");
pub(super) const OCSP_NOCHECK: ObjectIdentifier = oid("1.3.6.1.5.5.7.48.1.5");

// BR 7.1.6.1; RFC 5280 §4.2.1.4
pub(super) const DOMAIN_VALIDATED: ObjectIdentifier = oid("2.23.140.1.2.1");
pub(super) const CA_BROWSER_FORUM: ObjectIdentifier = oid("2.23.140");
pub(super) const ANY_POLICY: ObjectIdentifier = oid("2.5.29.32.0");
pub(super) const USER_NOTICE: ObjectIdentifier = oid("1.3.6.1.5.5.7.2.2");

// RFC 5758 §3.2, RFC 4055 §5, RFC 8410 §3
pub(super) const ECDSA_SHA256: ObjectIdentifier = oid("1.2.840.10045.4.3.2");
pub(super) const ECDSA_SHA384: ObjectIdentifier = oid("1.2.840.10045.4.3.3");
pub(super) const ECDSA_SHA512: ObjectIdentifier = oid("1.2.840.10045.4.3.4");
pub(super) const RSA_SHA256: ObjectIdentifier = oid("1.2.840.113549.1.1.11");
pub(super) const RSA_SHA384: ObjectIdentifier = oid("1.2.840.113549.1.1.12");
pub(super) const RSA_SHA512: ObjectIdentifier = oid("1.2.840.113549.1.1.13");
pub(super) const ED25519: ObjectIdentifier = oid("1.3.101.112");

// RFC 3279 §2.2: refused wherever they stand
pub(super) const ECDSA_SHA1: ObjectIdentifier = oid("1.2.840.10045.4.1");
pub(super) const RSA_SHA1: ObjectIdentifier = oid("1.2.840.113549.1.1.5");
