//! The list of what is checked.

use std::fmt;

/// An invariant that can be read from the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Invariant {
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
    /// The file of the store is sound.
    StoreSound,
    /// Columns are what they follow from.
    ColumnsFollow,
    /// References lead somewhere.
    NothingDangles,
    /// What is counted is there.
    CountsFit,
    /// Issuances have numbers without gaps.
    IssuancesNumbered,
    /// An order has what its stage needs.
    StageFits,
    /// Challenges fit their authorization.
    ChallengesFit,
    /// Authorizations end in the ledger first.
    AuthorizationsEnded,
    /// Ended orders leave the active ones.
    RetentionKept,
    /// Certificates are delivered after they are there.
    DeliveryFits,
    /// A certificate is replaced by the order that did.
    ReplacementKept,
    /// Revocations stand in the audit log.
    RevocationLogged,
    /// CAA permitted each name.
    CaaChecked,
    /// Stops and blocks stand in the audit log.
    OperatorsLogged,
    /// A blocked key has no valid account.
    BlockedKeysHaveNoAccount,
}

/// What is said of each.
struct Row {
    invariant: Invariant,
    name: &'static str,
    says: &'static str,
    remedy: &'static str,
}

/// In the order of the enumeration.
const ROWS: [Row; 41] = [
    Row {
        invariant: Invariant::RecordsReadable,
        name: "records-readable",
        says: "each record of ledger and workbench makes sense",
        remedy: "--repair for active orders (from the ledger, or taken out); else restore the store from a backup, \
                 then `cairn recover`",
    },
    Row {
        invariant: Invariant::AuditChain,
        name: "audit-chain",
        says: "the audit log's chain verifies from its first line to the last that the ledger knows",
        remedy: "nothing mends a log that was changed: keep it, ask who did it, and take its copy if there is one",
    },
    Row {
        invariant: Invariant::PrecertificateRecorded,
        name: "precertificate-recorded",
        says: "each precertificate in the audit log has a serial of the ledger, whose linting certificate has the \
               same TBS bytes",
        remedy: "an unknown serial: the store is older than its log, `cairn recover`; other bytes: revoke the \
                 certificate and ask how they were signed",
    },
    Row {
        invariant: Invariant::CertificateCorresponds,
        name: "certificate-corresponds",
        says: "each certificate has an earlier precertificate line and corresponds to it (RFC 6962 3.2); without CT, \
               it has the TBS bytes of its linting certificate",
        remedy: "revoke the certificate (`cairn cert revoke`), and ask how it came to be",
    },
    Row {
        invariant: Invariant::OneSignaturePerSerial,
        name: "one-signature-per-serial",
        says: "a serial has at most one precertificate and one certificate",
        remedy: "revoke the certificate (`cairn cert revoke`), and ask how it came to be",
    },
    Row {
        invariant: Invariant::SignatureLogged,
        name: "signature-logged",
        says: "each serial that is good, and each stored certificate, has its line in the audit log",
        remedy: "look for a copy of the audit log: lines are missing in this one",
    },
    Row {
        invariant: Invariant::CertificateStored,
        name: "certificate-stored",
        says: "each certificate of the audit log is stored under its serial, byte for byte",
        remedy: "--repair, from the audit log as far as that says it",
    },
    Row {
        invariant: Invariant::LogApplied,
        name: "log-applied",
        says: "each signature, revocation, key block and CRL number of the audit log has come to the ledger",
        remedy: "--repair",
    },
    Row {
        invariant: Invariant::StatusConsistent,
        name: "status-consistent",
        says: "status, times, certificate and revocation of each serial fit each other",
        remedy: "--repair, from the audit log as far as that says it",
    },
    Row {
        invariant: Invariant::CertificateMatchesRecord,
        name: "certificate-matches-record",
        says: "serial, key and end of validity in each certificate are those that the ledger keeps",
        remedy: "revoke the certificate (`cairn cert revoke`), and ask how it came to be",
    },
    Row {
        invariant: Invariant::CertificateChain,
        name: "certificate-chain",
        says: "each certificate verifies under its issuer, and each issuer up to the root",
        remedy: "revoke the certificate (`cairn cert revoke`), and ask how it came to be",
    },
    Row {
        invariant: Invariant::SctsVerify,
        name: "scts-verify",
        says: "each SCT of a built-in log verifies under its key (keys that can't be read are left out)",
        remedy: "revoke the certificate (`cairn cert revoke`), and ask how it came to be",
    },
    Row {
        invariant: Invariant::AccountKeyProved,
        name: "account-key-proved",
        says: "each account's key is proved by its newAccount request and each key change since (RFC 8555 7.3.5)",
        remedy: "nothing is signed for the account any more; its owner makes a new one",
    },
    Row {
        invariant: Invariant::CertificateAskedFor,
        name: "certificate-asked-for",
        says: "each certificate is for the key and the names of a finalize request that its account signed, with the \
               key that it had then",
        remedy: "revoke the certificate (`cairn cert revoke`), and ask how it came to be",
    },
    Row {
        invariant: Invariant::NamesAuthorized,
        name: "names-authorized",
        says: "each name of a certificate has an authorization of its account that was valid when the issuance began",
        remedy: "revoke the certificate (`cairn cert revoke`), and ask how it came to be",
    },
    Row {
        invariant: Invariant::BlockedKeysRevoked,
        name: "blocked-keys-revoked",
        says: "each serial of a blocked key is revoked, once a worker has noted that all are",
        remedy: "--repair, or a start of the server",
    },
    Row {
        invariant: Invariant::OneCertificatePerOrder,
        name: "one-certificate-per-order",
        says: "an order names at most one certificate; any other that was stored for it is revoked",
        remedy: "--repair, but for an order whose certificate is nowhere",
    },
    Row {
        invariant: Invariant::OnePlace,
        name: "one-place",
        says: "each active order, and each with an open issuance, stands in a place",
        remedy: "--repair",
    },
    Row {
        invariant: Invariant::PlaceFits,
        name: "place-fits",
        says: "the place of each active order fits its stage and its status",
        remedy: "--repair",
    },
    Row {
        invariant: Invariant::LedgerDecides,
        name: "ledger-decides",
        says: "an order that has ended on the workbench has ended so in the ledger",
        remedy: "--repair, but for a certificate that the ledger never had",
    },
    Row {
        invariant: Invariant::BehindTheLedger,
        name: "behind-the-ledger",
        says: "no order is active that has ended in the ledger (the next worker or sweep mends it: a warning)",
        remedy: "--repair",
    },
    Row {
        invariant: Invariant::DeadlineKept,
        name: "deadline-kept",
        says: "no order lives longer than one sweep after its deadline (a warning while no server runs)",
        remedy: "--repair, or a start of the server",
    },
    Row {
        invariant: Invariant::LeaseEnds,
        name: "lease-ends",
        says: "no lease or park is older than one sweep after its end (a warning while no server runs)",
        remedy: "--repair",
    },
    Row {
        invariant: Invariant::CrlNumbersGrow,
        name: "crl-numbers-grow",
        says: "CRL numbers in the audit log grow, for each issuer and shard",
        remedy: "ask how it came about: relying parties may refuse a CRL whose number went back",
    },
    Row {
        invariant: Invariant::CrlSound,
        name: "crl-sound",
        says: "each last CRL verifies under its issuer, has its number and its line in the audit log",
        remedy: "--repair, and a start of the server, which signs a new one",
    },
    Row {
        invariant: Invariant::CrlComplete,
        name: "crl-complete",
        says: "each revoked serial that has not expired is in the last CRL of its shard, if that was made later; no \
               other is",
        remedy: "--repair, and a start of the server, which signs a new one",
    },
    Row {
        invariant: Invariant::StoreSound,
        name: "store-sound",
        says: "the pages, rows and indexes of the store's file are sound (indexes against tables while no server \
               runs)",
        remedy: "--repair for indexes; else restore the store from a backup, then `cairn recover`",
    },
    Row {
        invariant: Invariant::ColumnsFollow,
        name: "columns-follow",
        says: "columns of each row are what its document, or what else they follow from, says",
        remedy: "--repair",
    },
    Row {
        invariant: Invariant::NothingDangles,
        name: "nothing-dangles",
        says: "each record refers to records that are there, and what belongs to it is there too",
        remedy: "--repair for rows that only find others; else restore the store from a backup, then `cairn recover`",
    },
    Row {
        invariant: Invariant::CountsFit,
        name: "counts-fit",
        says: "the ledger's counts, and those of external account keys, are those of its records",
        remedy: "--repair",
    },
    Row {
        invariant: Invariant::IssuancesNumbered,
        name: "issuances-numbered",
        says: "the issuances of each order are numbered from 1 without gaps, and a valid one ended with its last",
        remedy: "--repair for a wrong count; a serial that is gone: restore the store from a backup",
    },
    Row {
        invariant: Invariant::StageFits,
        name: "stage-fits",
        says: "each active order has what its stage needs, and nothing of a later one",
        remedy: "--repair for challenges that are made already; else the order dies at its deadline, and its client \
                 makes a new one",
    },
    Row {
        invariant: Invariant::ChallengesFit,
        name: "challenges-fit",
        says: "the challenges of each active order fit how its authorizations stand",
        remedy: "--repair for challenges that are made already; else the order dies at its deadline, and its client \
                 makes a new one",
    },
    Row {
        invariant: Invariant::AuthorizationsEnded,
        name: "authorizations-ended",
        says: "each authorization that has ended for an active order has ended so in the ledger, for its account and \
               its name",
        remedy: "--repair for challenges that are made already; else the order dies at its deadline, and its client \
                 makes a new one",
    },
    Row {
        invariant: Invariant::RetentionKept,
        name: "retention-kept",
        says: "no order stays active after its acknowledgement or its retention (a warning if the retention is not \
               known)",
        remedy: "--repair, or a start of the server",
    },
    Row {
        invariant: Invariant::DeliveryFits,
        name: "delivery-fits",
        says: "only valid orders were delivered or acknowledged, and not before they ended",
        remedy: "nothing hangs on it: it is a sign that clocks or records were set by hand",
    },
    Row {
        invariant: Invariant::ReplacementKept,
        name: "replacement-kept",
        says: "each valid order that replaces a certificate has its place (RFC 9773 5)",
        remedy: "--repair",
    },
    Row {
        invariant: Invariant::RevocationLogged,
        name: "revocation-logged",
        says: "each revoked serial has its revocation, or the block of its key, in the audit log, or was superseded \
               when it was stored",
        remedy: "look for a copy of the audit log: lines are missing in this one",
    },
    Row {
        invariant: Invariant::CaaChecked,
        name: "caa-checked",
        says: "where CAA is enforced, a fresh check permits each name of a certificate when its issuance begins (a \
               warning)",
        remedy: "revoke the certificate (`cairn cert revoke`), and ask how it came to be",
    },
    Row {
        invariant: Invariant::OperatorsLogged,
        name: "operators-logged",
        says: "each stop of issuance, each end of one and each blocked key stands in the audit log as in the ledger",
        remedy: "--repair for a stop that was ended in the store alone; else ask who wrote to the store, and look for \
                 a copy of the audit log",
    },
    Row {
        invariant: Invariant::BlockedKeysHaveNoAccount,
        name: "blocked-keys-have-no-account",
        says: "no valid account has a blocked key",
        remedy: "--repair, or a start of the server if its key is not settled yet",
    },
];

impl Invariant {
    /// How many there are.
    pub const NUMBER: usize = ROWS.len();

    /// All of them, in the order in which they are listed.
    pub fn all() -> impl Iterator<Item = Self> {
        ROWS.iter().map(|row| row.invariant)
    }

    const fn row(self) -> &'static Row {
        &ROWS[self as usize]
    }

    /// Its name, as findings show it.
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// What holds.
    pub const fn says(self) -> &'static str {
        self.row().says
    }

    /// What mends it: `--repair`, or what else is to be done.
    pub const fn remedy(self) -> &'static str {
        self.row().remedy
    }
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
