//! Receipts: types that prove that a step was done. Their fields are private to the cycle; they are moved into the next
//! step and can't be cloned.

use std::collections::BTreeSet;

use pki::lint::Linted;
use pki::{Csr, GeneralName, Sct, Serial, Sha256, TbsCertificate, Timestamp};

use crate::authorization::EndedAuthorization;
use crate::ports::{IssuanceNumber, Issuer, Reservation};
use crate::profile::Profile;

/// Step 1: all authorizations of the order are good.
#[derive(Debug)]
pub(super) struct Authorized {
    pub(super) authorizations: Vec<EndedAuthorization>,
}

/// Step 2: CAA permits every name, or doesn't count in this regime.
#[derive(Debug)]
pub(super) struct Permitted {
    pub(super) _authorized: Authorized,
}

/// Step 3: a serial number was drawn, and room for its audit lines is kept. `begin` makes it ours.
#[derive(Debug)]
pub(super) struct Allocated {
    pub(super) permitted: Permitted,
    pub(super) serial: Serial,
    pub(super) room: Box<dyn Reservation>,
}

/// Step 4: the profile.
#[derive(Debug)]
pub(super) struct Profiled<'a> {
    pub(super) allocated: Allocated,
    pub(super) profile: &'a Profile,
    pub(super) profile_hash: Sha256,
}

/// Step 5, done or to be done anew.
#[derive(Debug)]
pub(super) enum Precommitted<'a> {
    /// The ledger has it.
    Begun(Box<Committed<'a>>),
    /// The serial was taken before: again from step 3.
    SerialTaken(Permitted),
}

/// Step 5: the ledger has the serial, the number of the issuance and the exact bytes to be signed.
#[derive(Debug)]
pub(super) struct Committed<'a> {
    pub(super) planned: Planned<'a>,
    pub(super) tbs: Linted<TbsCertificate>,
}

impl Committed<'_> {
    /// Whether a precertificate is made.
    pub(super) const fn has_ct(&self) -> bool {
        self.planned.profile.ct.is_some()
    }
}

/// What steps 6 to 9 need to know of what was committed.
#[derive(Debug)]
pub(super) struct Planned<'a> {
    pub(super) serial: Serial,
    pub(super) number: IssuanceNumber,
    pub(super) profile: &'a Profile,
    pub(super) issuer: &'a Issuer,
    pub(super) csr: Csr,
    pub(super) names: BTreeSet<GeneralName>,
    pub(super) not_after: Timestamp,
    pub(super) _room: Box<dyn Reservation>,
}

/// Step 6: the precertificate is signed and logged, and its status is `good`.
#[derive(Debug)]
pub(super) struct Precertified<'a> {
    pub(super) planned: Planned<'a>,
    pub(super) tbs: TbsCertificate,
    pub(super) der: Vec<u8>,
}

/// Step 7: the SCTs, verified, in sufficient number.
#[derive(Debug)]
pub(super) struct Logged<'a> {
    pub(super) planned: Planned<'a>,
    pub(super) precertificate: TbsCertificate,
    pub(super) scts: Vec<Sct>,
}

/// Step 8: the final certificate is built and linted, and corresponds to its precertificate.
#[derive(Debug)]
pub(super) struct Finished<'a> {
    pub(super) planned: Planned<'a>,
    pub(super) tbs: Linted<TbsCertificate>,
}
