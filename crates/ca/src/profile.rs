//! Certificate profiles (draft-ietf-acme-profiles): what a certificate says beside key and names.

use std::time::Duration;

use pki::Sha256;
use serde::{Deserialize, Serialize};

use crate::ports::CtPolicy;

/// A certificate profile. Nothing else that a configuration says enters a certificate, but for the URLs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// Its name, as clients ask for it.
    pub name: String,
    /// One line for people, shown in the directory.
    pub description: String,
    /// How long its certificates are valid, in seconds: both ends included (RFC 5280 §4.1.2.5).
    pub lifetime_seconds: u64,
    /// `notBefore` lies this many seconds before the issuance, for clients whose clock is slow.
    pub backdate_seconds: u64,
    /// SCTs: how many, of how many operators. `None`: no precertificate is made (`ct = "none"`).
    pub ct: Option<CtRequirement>,
    /// Whether the lints of the Baseline Requirements apply.
    pub baseline: bool,
    /// Whether an EKU for TLS clients is added.
    pub client_auth: bool,
    /// Whether the first name that fits (64 characters) is repeated as common name.
    pub common_name: bool,
    /// Whether certificates point to a CRL.
    pub crl: bool,
    /// Whether certificates point to the OCSP responder, where the CA has them do so.
    #[serde(default = "yes")]
    pub ocsp: bool,
    /// Whether its certificates may be for IP addresses (RFC 8738).
    #[serde(default = "yes")]
    pub ip_addresses: bool,
    /// Whether accounts may ask for it. The built-in account's profile is not offered.
    pub offered: bool,
}

/// What a profile says that was written down before there was a choice.
const fn yes() -> bool {
    true
}

/// How many SCTs a profile wants, as it is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CtRequirement {
    /// At least so many SCTs.
    pub scts: usize,
    /// Of at least so many operators.
    pub operators: usize,
}

impl From<CtRequirement> for CtPolicy {
    fn from(requirement: CtRequirement) -> Self {
        Self { scts: requirement.scts, operators: requirement.operators }
    }
}

impl Profile {
    /// How long its certificates are valid.
    pub const fn lifetime(&self) -> Duration {
        Duration::from_secs(self.lifetime_seconds)
    }

    /// SHA-256 over all it says, in a fixed order: an issuance records under which rules it was made.
    pub fn hash(&self) -> Sha256 {
        let Self { name, description: _, lifetime_seconds, backdate_seconds, ct, baseline, client_auth, .. } = self;
        let Self { common_name, crl, ocsp, ip_addresses, offered: _, .. } = self;
        // Written only where it forbids: what could be said before has the hash that it had.
        let ocsp = if *ocsp { "" } else { "ocsp false\n" };
        let ip_addresses = if *ip_addresses { "" } else { "ip-addresses false\n" };
        let ct = ct.map_or_else(|| "none".to_owned(), |ct| format!("{}/{}", ct.scts, ct.operators));
        Sha256::of(
            format!(
                "cairn profile 1\n{name}\nlifetime {lifetime_seconds}\nbackdate {backdate_seconds}\nct {ct}\n\
                 baseline {baseline}\nclient-auth {client_auth}\ncommon-name {common_name}\ncrl {crl}\n\
                 {ip_addresses}{ocsp}"
            )
            .as_bytes(),
        )
    }
}
