//! The list of what is checked.

use std::fmt;

/// An invariant that can be read from the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Invariant {
    /// The store's records can be read.
    RecordsReadable,
    /// The audit log is whole.
    AuditChain,
    /// A precertificate was announced.
    PrecertificateRecorded,
    /// A certificate corresponds to its precertificate.
    CertificateCorresponds,
    /// At most one signature of each kind for a serial.
    OneSignaturePerSerial,
    /// What was signed stands in the audit log.
    SignatureLogged,
    /// A certificate that was signed is stored.
    CertificateStored,
    /// What the audit log announces is in the ledger.
    LogApplied,
    /// Status and times of a serial fit each other.
    StatusConsistent,
    /// A certificate says what the records of its serial say.
    CertificateMatchesRecord,
    /// A certificate verifies up to the root.
    CertificateChain,
    /// SCTs of our own logs verify.
    SctsVerify,
    /// An account's key is its own.
    AccountKeyProved,
    /// A certificate is for what its client asked for.
    CertificateAskedFor,
    /// Each name was authorized.
    NamesAuthorized,
    /// Blocked keys have no good certificates.
    BlockedKeysRevoked,
    /// An order names one certificate at most.
    OneCertificatePerOrder,
    /// An active order is somewhere.
    OnePlace,
    /// Its place fits its stage and status.
    PlaceFits,
    /// Workbench and ledger tell the same end.
    LedgerDecides,
    /// The workbench has followed the ledger.
    BehindTheLedger,
    /// Orders die in time.
    DeadlineKept,
    /// Leases and parks end in time.
    LeaseEnds,
    /// CRL numbers grow.
    CrlNumbersGrow,
    /// CRLs are signed by their issuer, logged, and as they were stored.
    CrlSound,
    /// CRLs list what is revoked, and nothing else.
    CrlComplete,
}

impl Invariant {
    /// All of them, in the order in which they are listed.
    pub(crate) const ALL: [Self; 26] = [
        Self::RecordsReadable,
        Self::AuditChain,
        Self::PrecertificateRecorded,
        Self::CertificateCorresponds,
        Self::OneSignaturePerSerial,
        Self::SignatureLogged,
        Self::CertificateStored,
        Self::LogApplied,
        Self::StatusConsistent,
        Self::CertificateMatchesRecord,
        Self::CertificateChain,
        Self::SctsVerify,
        Self::AccountKeyProved,
        Self::CertificateAskedFor,
        Self::NamesAuthorized,
        Self::BlockedKeysRevoked,
        Self::OneCertificatePerOrder,
        Self::OnePlace,
        Self::PlaceFits,
        Self::LedgerDecides,
        Self::BehindTheLedger,
        Self::DeadlineKept,
        Self::LeaseEnds,
        Self::CrlNumbersGrow,
        Self::CrlSound,
        Self::CrlComplete,
    ];

    /// Its name, as findings show it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::RecordsReadable => "records-readable",
            Self::AuditChain => "audit-chain",
            Self::PrecertificateRecorded => "precertificate-recorded",
            Self::CertificateCorresponds => "certificate-corresponds",
            Self::OneSignaturePerSerial => "one-signature-per-serial",
            Self::SignatureLogged => "signature-logged",
            Self::CertificateStored => "certificate-stored",
            Self::LogApplied => "log-applied",
            Self::StatusConsistent => "status-consistent",
            Self::CertificateMatchesRecord => "certificate-matches-record",
            Self::CertificateChain => "certificate-chain",
            Self::SctsVerify => "scts-verify",
            Self::AccountKeyProved => "account-key-proved",
            Self::CertificateAskedFor => "certificate-asked-for",
            Self::NamesAuthorized => "names-authorized",
            Self::BlockedKeysRevoked => "blocked-keys-revoked",
            Self::OneCertificatePerOrder => "one-certificate-per-order",
            Self::OnePlace => "one-place",
            Self::PlaceFits => "place-fits",
            Self::LedgerDecides => "ledger-decides",
            Self::BehindTheLedger => "behind-the-ledger",
            Self::DeadlineKept => "deadline-kept",
            Self::LeaseEnds => "lease-ends",
            Self::CrlNumbersGrow => "crl-numbers-grow",
            Self::CrlSound => "crl-sound",
            Self::CrlComplete => "crl-complete",
        }
    }

    /// What holds.
    pub(crate) const fn says(self) -> &'static str {
        match self {
            Self::RecordsReadable => "each record of ledger and workbench makes sense",
            Self::AuditChain => "the audit log's chain verifies from its first line to the last that the ledger knows",
            Self::PrecertificateRecorded => {
                "each precertificate in the audit log has a serial of the ledger, whose linting certificate has the \
                 same TBS bytes"
            }
            Self::CertificateCorresponds => {
                "each certificate has an earlier precertificate line and corresponds to it (RFC 6962 3.2); without CT, \
                 it has the TBS bytes of its linting certificate"
            }
            Self::OneSignaturePerSerial => "a serial has at most one precertificate and one certificate",
            Self::SignatureLogged => {
                "each serial that is good, and each stored certificate, has its line in the audit log"
            }
            Self::CertificateStored => "each certificate of the audit log is stored under its serial, byte for byte",
            Self::LogApplied => {
                "each signature, revocation, key block and CRL number of the audit log has come to the ledger"
            }
            Self::StatusConsistent => "status, times, certificate and revocation of each serial fit each other",
            Self::CertificateMatchesRecord => {
                "serial, key and end of validity in each certificate are those that the ledger keeps"
            }
            Self::CertificateChain => "each certificate verifies under its issuer, and each issuer up to the root",
            Self::SctsVerify => {
                "each SCT of a built-in log verifies under its key (keys that can't be read are left out)"
            }
            Self::AccountKeyProved => {
                "each account's key is proved by its newAccount request and each key change since (RFC 8555 7.3.5)"
            }
            Self::CertificateAskedFor => {
                "each certificate is for the key and the names of a finalize request that its account signed, with the \
                 key that it had then"
            }
            Self::NamesAuthorized => {
                "each name of a certificate has an authorization of its account that was valid when the issuance began"
            }
            Self::BlockedKeysRevoked => "no certificate of a blocked key is good",
            Self::OneCertificatePerOrder => {
                "an order names at most one certificate; any other that was stored for it is revoked"
            }
            Self::OnePlace => "each active order, and each with an open issuance, stands in a place",
            Self::PlaceFits => "the place of each active order fits its stage and its status",
            Self::LedgerDecides => "an order that has ended on the workbench has ended so in the ledger",
            Self::BehindTheLedger => {
                "no order is active that has ended in the ledger (the next worker or sweep mends it: a warning)"
            }
            Self::DeadlineKept => {
                "no order lives longer than one sweep after its deadline (a warning while no server runs)"
            }
            Self::LeaseEnds => {
                "no lease or park is older than one sweep after its end (a warning while no server runs)"
            }
            Self::CrlNumbersGrow => "CRL numbers in the audit log grow, for each issuer and shard",
            Self::CrlSound => "each last CRL verifies under its issuer, has its number and its line in the audit log",
            Self::CrlComplete => {
                "each revoked serial that has not expired is in the last CRL of its shard, if that was made later; no \
                 other is"
            }
        }
    }
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
