//! Where CRLs are: what certificates say of them, and what they say of themselves.

use pki::{CrlFields, CrlOutline, Serial, Sha256, Timestamp};

use crate::ports::Issuer;
use crate::settings::Settings;
use crate::urls;

/// How an issuer's CRL is cut into shards, and where those are fetched. Who makes CRLs and who signs them each have
/// one, of their own configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrlScheme {
    shards: u16,
    status_url: String,
}

/// What stands in a CRL around its entries, but for what its issuer and its shard's URL say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CrlOutlined {
    /// Its shard.
    pub shard: u16,
    /// Its number.
    pub number: u64,
    /// `thisUpdate`.
    pub this_update: Timestamp,
    /// `nextUpdate`.
    pub next_update: Timestamp,
    /// How many entries it has.
    pub entries: u64,
    /// How many octets those take.
    pub entry_octets: u64,
}

impl CrlScheme {
    /// So many shards, at URLs that begin with this one.
    pub const fn new(shards: u16, status_url: String) -> Self {
        Self { shards, status_url }
    }

    /// That of a configuration.
    pub fn of(settings: &Settings) -> Self {
        Self::new(settings.crl_shards, settings.status_url.clone())
    }

    /// How many shards there are, counted from 0.
    pub const fn shards(&self) -> u16 {
        self.shards
    }

    /// The shard that a serial is in, if it is revoked.
    pub fn shard_of(&self, serial: Serial) -> u16 {
        serial.shard(self.shards)
    }

    /// The URL of a shard: in cRLDistributionPoints of its certificates (RFC 5280 §4.2.1.13), and, byte for byte the
    /// same, in issuingDistributionPoint of its CRLs (§5.2.5).
    pub fn url(&self, issuer: &Sha256, shard: u16) -> String {
        format!("{}{}", self.status_url, urls::crl(issuer, shard))
    }

    /// All that stands around the entries of such a CRL.
    pub fn outline(&self, issuer: &Issuer, outlined: &CrlOutlined) -> CrlOutline {
        let CrlOutlined { shard, number, this_update, next_update, entries, entry_octets } = *outlined;
        let distribution_point = self.url(&issuer.id, shard);
        let fields = CrlFields {
            issuer: issuer.certificate.subject(),
            issuer_key_identifier: issuer.certificate.public_key().key_identifier(),
            signature_algorithm: issuer.signature_algorithm,
            number,
            this_update,
            next_update,
            distribution_point: Some(&distribution_point),
        };
        CrlOutline::build(&fields, entries, entry_octets)
    }
}
