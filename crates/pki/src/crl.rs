//! Certificate revocation lists (RFC 5280 §5).

mod outline;

use std::fmt;
use std::str::FromStr;

use const_oid::ObjectIdentifier;
use der::{Decode, Encode};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use x509_cert::crl::{CertificateList, RevokedCert};
use x509_cert::ext::pkix::{AuthorityKeyIdentifier, CrlNumber, CrlReason, IssuingDistributionPoint};

use crate::certificate::{
    distribution_point_url, signed, timestamp, write_authority_key_identifier, write_distribution_point_name,
    write_extension,
};
use crate::reader::{Reader, only};
use crate::writer::{Writer, tag};
use crate::{KeyError, Name, PublicKey, Serial, SignatureAlgorithm, Timestamp, oid};

pub use outline::{CrlDraft, CrlOutline, EntryReader, WholeEntries, encode_entry};

/// The longest CRL that is read as a whole, in octets.
pub const CRL_OCTETS_MAX: usize = 64 << 20;

/// Why a certificate was revoked (RFC 5280 §5.3.1). Shown, read and serialized by the names given there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// No reason given; never encoded.
    Unspecified = 0,
    /// The key is known to others.
    KeyCompromise = 1,
    /// The CA's key is known to others.
    CaCompromise = 2,
    /// The subject's name or organization changed.
    AffiliationChanged = 3,
    /// Another certificate takes its place.
    Superseded = 4,
    /// The name is no longer in use, or no longer the subject's.
    CessationOfOperation = 5,
    /// Not valid for the time being; BR 7.2.2 forbids it.
    CertificateHold = 6,
    /// No longer revoked; in delta CRLs only.
    RemoveFromCrl = 8,
    /// The subscriber broke the agreement.
    PrivilegeWithdrawn = 9,
    /// The attribute authority's key is known to others.
    AaCompromise = 10,
}

/// A text or number that names no reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a revocation reason; RFC 5280 §5.3.1 has unspecified, keyCompromise, superseded and others")]
pub struct ReasonError;

impl Reason {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Unspecified,
        Self::KeyCompromise,
        Self::CaCompromise,
        Self::AffiliationChanged,
        Self::Superseded,
        Self::CessationOfOperation,
        Self::CertificateHold,
        Self::RemoveFromCrl,
        Self::PrivilegeWithdrawn,
        Self::AaCompromise,
    ];

    /// Its CRLReason code.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The reason of this code; 7 is not used.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }

    /// Its name in RFC 5280 §5.3.1.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::KeyCompromise => "keyCompromise",
            Self::CaCompromise => "cACompromise",
            Self::AffiliationChanged => "affiliationChanged",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessationOfOperation",
            Self::CertificateHold => "certificateHold",
            Self::RemoveFromCrl => "removeFromCRL",
            Self::PrivilegeWithdrawn => "privilegeWithdrawn",
            Self::AaCompromise => "aACompromise",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Reason {
    type Err = ReasonError;

    fn from_str(text: &str) -> Result<Self, ReasonError> {
        Self::ALL.into_iter().find(|reason| reason.name().eq_ignore_ascii_case(text)).ok_or(ReasonError)
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Reason {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// One revoked certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CrlEntry {
    /// Its serial number.
    pub serial: Serial,
    /// When it was revoked, to the second.
    pub revoked_at: Timestamp,
    /// Why.
    pub reason: Reason,
}

impl CrlEntry {
    /// As a CRL of this time shows it. A revocation that was noted with a clock that was ahead has happened by then: no
    /// list dates one later than itself.
    #[must_use]
    pub fn shown_at(self, this_update: Timestamp) -> Self {
        Self { revoked_at: self.revoked_at.min(this_update), ..self }
    }
}

/// What a CRL says besides its entries.
#[derive(Clone, Copy, Debug)]
pub struct CrlFields<'a> {
    /// The subject of the issuer, byte for byte.
    pub issuer: &'a Name,
    /// The issuer's subjectKeyIdentifier.
    pub issuer_key_identifier: [u8; 20],
    /// The algorithm that it will be signed with.
    pub signature_algorithm: SignatureAlgorithm,
    /// cRLNumber: more than in any earlier CRL of this issuer and shard (RFC 5280 §5.2.3).
    pub number: u64,
    /// When it was made.
    pub this_update: Timestamp,
    /// When the next will be there at the latest.
    pub next_update: Timestamp,
    /// For one shard of leaves: the URL in its certificates' cRLDistributionPoints, byte for byte. It goes into a
    /// critical issuingDistributionPoint with onlyContainsUserCerts (RFC 5280 §5.2.5).
    pub distribution_point: Option<&'a str>,
}

/// A TBSCertList: its exact bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct TbsCrl {
    der: Vec<u8>,
}

impl TbsCrl {
    /// Version 2, entries in the order given; reason 0 is left out, and so is the list itself if it is empty
    /// (RFC 5280 §5.1.2.6, §5.3.1). Serials have to be unique.
    pub fn build(fields: &CrlFields<'_>, entries: &[CrlEntry]) -> Self {
        const ENTRY_OCTETS: usize = 54;
        let mut writer = Writer::with_capacity(512 + entries.len() * ENTRY_OCTETS);
        writer.sequence(|writer| {
            write_fields(writer, fields);
            if !entries.is_empty() {
                writer.sequence(|writer| entries.iter().for_each(|entry| write_entry(writer, entry)));
            }
            write_crl_extensions(writer, fields);
        });
        Self { der: writer.finish() }
    }

    /// The exact bytes.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The CRL: these bytes, the AlgorithmIdentifier and the signature. `algorithm` has to be the one in these
    /// bytes (RFC 5280 §5.1.1.2).
    pub fn with_signature(&self, algorithm: SignatureAlgorithm, signature: &[u8]) -> Vec<u8> {
        signed(&self.der, algorithm, signature)
    }
}

impl fmt::Debug for TbsCrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TbsCrl({} octets)", self.der.len())
    }
}

/// What stands before the entries.
fn write_fields(writer: &mut Writer, fields: &CrlFields<'_>) {
    writer.raw(&[tag::INTEGER, 1, 1]);
    writer.raw(fields.signature_algorithm.algorithm_identifier_der());
    writer.raw(fields.issuer.der());
    writer.time(fields.this_update);
    writer.time(fields.next_update);
}

fn write_entry(writer: &mut Writer, entry: &CrlEntry) {
    writer.sequence(|writer| {
        writer.value(tag::INTEGER, entry.serial.as_bytes());
        writer.time(entry.revoked_at);
        if entry.reason != Reason::Unspecified {
            writer.sequence(|writer| {
                write_extension(writer, &oid::REASON_CODE, false, |writer| {
                    writer.value(tag::ENUMERATED, &[entry.reason.code()]);
                });
            });
        }
    });
}

fn write_crl_extensions(writer: &mut Writer, fields: &CrlFields<'_>) {
    writer.nested(tag::context_constructed(0), |writer| {
        writer.sequence(|writer| {
            write_authority_key_identifier(writer, &fields.issuer_key_identifier);
            write_extension(writer, &oid::CRL_NUMBER, false, |writer| {
                writer.unsigned_integer(&fields.number.to_be_bytes());
            });
            if let Some(url) = fields.distribution_point {
                write_extension(writer, &oid::ISSUING_DISTRIBUTION_POINT, true, |writer| {
                    writer.sequence(|writer| {
                        write_distribution_point_name(writer, url);
                        // onlyContainsUserCerts [1] IMPLICIT BOOLEAN.
                        writer.value(tag::context(1), &[0xff]);
                    });
                });
            }
        });
    });
}

/// Why bytes are no CRL, or not one that can be used here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CrlError {
    /// Longer than [`CRL_OCTETS_MAX`].
    #[error("the CRL is {0} octets long; at most {CRL_OCTETS_MAX} are read")]
    TooLong(usize),
    /// Not a CRL in DER.
    #[error("not a CRL in DER: {0}")]
    Malformed(String),
    /// DER would have other bytes for the same CRL.
    #[error("the CRL is not in DER: it does not encode back to the same bytes")]
    NotCanonical,
    /// Not version 2.
    #[error("the CRL is not of version 2")]
    Version,
    /// A signature algorithm that is not known, or not the same inside and outside (RFC 5280 §5.1.1.2).
    #[error("the signature algorithm is not supported, or differs inside and outside of the TBSCertList")]
    SignatureAlgorithm,
    /// A field that RFC 5280 §5 wants is not there.
    #[error("the CRL has no {0}")]
    Missing(&'static str),
    /// A value that cannot be understood.
    #[error("the CRL's {0} is malformed")]
    Value(&'static str),
}

/// A CRL, parsed. Its exact DER is kept.
#[derive(Clone)]
pub struct Crl {
    der: Vec<u8>,
    tbs: TbsCrl,
    issuer: Name,
    signature_algorithm: SignatureAlgorithm,
    signature: Vec<u8>,
    number: u64,
    this_update: Timestamp,
    next_update: Timestamp,
    entries: Vec<CrlEntry>,
    authority_key_identifier: Option<Vec<u8>>,
    distribution_point: Option<String>,
}

impl Crl {
    /// Reads one CRL with cRLNumber and nextUpdate: DER that encodes back to the same bytes, nothing after it.
    pub fn from_der(der: &[u8]) -> Result<Self, CrlError> {
        if der.len() > CRL_OCTETS_MAX {
            return Err(CrlError::TooLong(der.len()));
        }
        let list: CertificateList = CertificateList::from_der(der).map_err(malformed)?;
        if list.to_der().map_err(malformed)? != der {
            return Err(CrlError::NotCanonical);
        }
        let tbs = &list.tbs_cert_list;
        if tbs.version != x509_cert::Version::V2 {
            return Err(CrlError::Version);
        }
        let outline = Outline::of(der).ok_or(CrlError::Value("structure"))?;
        let signature_algorithm = SignatureAlgorithm::from_algorithm_identifier_der(outline.inner_algorithm)
            .filter(|_| outline.inner_algorithm == outline.outer_algorithm)
            .ok_or(CrlError::SignatureAlgorithm)?;
        let number = crl_extension::<CrlNumber>(&list, oid::CRL_NUMBER)?.ok_or(CrlError::Missing("cRLNumber"))?;
        let entries = tbs.revoked_certificates.iter().flatten().map(entry_of).collect::<Result<_, _>>()?;
        // The reader's own constant for this extension is another's, so none of its constants is relied upon.
        let distribution_point = crl_extension::<IssuingDistributionPoint>(&list, oid::ISSUING_DISTRIBUTION_POINT)?
            .and_then(|found| found.distribution_point);
        Ok(Self {
            der: der.to_vec(),
            tbs: TbsCrl { der: outline.tbs.to_vec() },
            issuer: Name::from_checked_der(outline.issuer),
            signature_algorithm,
            signature: list.signature.as_bytes().ok_or(CrlError::Value("signature"))?.to_vec(),
            number: unsigned(number.0.as_bytes()).ok_or(CrlError::Value("cRLNumber"))?,
            this_update: timestamp(tbs.this_update),
            next_update: timestamp(tbs.next_update.ok_or(CrlError::Missing("nextUpdate"))?),
            entries,
            authority_key_identifier: crl_extension::<AuthorityKeyIdentifier>(&list, oid::AUTHORITY_KEY_IDENTIFIER)?
                .and_then(|found| found.key_identifier)
                .map(|identifier| identifier.into_bytes().into_vec()),
            distribution_point: distribution_point.and_then(distribution_point_url),
        })
    }

    /// The exact bytes.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Its TBSCertList.
    pub fn tbs(&self) -> &TbsCrl {
        &self.tbs
    }

    /// Who issued it.
    pub fn issuer(&self) -> &Name {
        &self.issuer
    }

    /// The algorithm it is signed with.
    pub fn signature_algorithm(&self) -> SignatureAlgorithm {
        self.signature_algorithm
    }

    /// cRLNumber.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// When it was made.
    pub fn this_update(&self) -> Timestamp {
        self.this_update
    }

    /// When the next will be there at the latest.
    pub fn next_update(&self) -> Timestamp {
        self.next_update
    }

    /// The revoked certificates, in its order.
    pub fn entries(&self) -> &[CrlEntry] {
        &self.entries
    }

    /// keyIdentifier of authorityKeyIdentifier.
    pub fn authority_key_identifier(&self) -> Option<&[u8]> {
        self.authority_key_identifier.as_deref()
    }

    /// The first URL of issuingDistributionPoint.
    pub fn distribution_point(&self) -> Option<&str> {
        self.distribution_point.as_deref()
    }

    /// Whether this key signed it.
    pub fn verify_signed_by(&self, issuer_key: &PublicKey) -> Result<(), KeyError> {
        issuer_key.verify(self.signature_algorithm, self.tbs.der(), &self.signature)
    }
}

impl fmt::Debug for Crl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Crl(number {}, {} entries, issuer {:?})", self.number, self.entries.len(), self.issuer)
    }
}

struct Outline<'a> {
    tbs: &'a [u8],
    inner_algorithm: &'a [u8],
    issuer: &'a [u8],
    outer_algorithm: &'a [u8],
}

impl<'a> Outline<'a> {
    fn inner_algorithm(tbs: &'a [u8]) -> Option<&'a [u8]> {
        let mut fields = Reader::new(only(tbs, tag::SEQUENCE)?.contents);
        fields.expect(tag::INTEGER)?;
        Some(fields.expect(tag::SEQUENCE)?.encoded)
    }

    fn of(crl: &'a [u8]) -> Option<Self> {
        let mut outer = Reader::new(only(crl, tag::SEQUENCE)?.contents);
        let tbs = outer.expect(tag::SEQUENCE)?;
        let outer_algorithm = outer.expect(tag::SEQUENCE)?.encoded;
        let mut fields = Reader::new(tbs.contents);
        fields.expect(tag::INTEGER)?;
        let inner_algorithm = fields.expect(tag::SEQUENCE)?.encoded;
        let issuer = fields.expect(tag::SEQUENCE)?.encoded;
        Some(Self { tbs: tbs.encoded, inner_algorithm, issuer, outer_algorithm })
    }
}

fn malformed(error: der::Error) -> CrlError {
    CrlError::Malformed(error.to_string())
}

fn crl_extension<'a, T>(list: &'a CertificateList, id: ObjectIdentifier) -> Result<Option<T>, CrlError>
where
    T: Decode<'a, Error = der::Error>,
{
    let mut found = list.tbs_cert_list.crl_extensions.iter().flatten().filter(|extension| extension.extn_id == id);
    let Some(extension) = found.next() else {
        return Ok(None);
    };
    if found.next().is_some() {
        return Err(CrlError::Value("extension list, in which one appears twice,"));
    }
    T::from_der(extension.extn_value.as_bytes()).map(Some).map_err(malformed)
}

fn entry_of(revoked: &RevokedCert) -> Result<CrlEntry, CrlError> {
    let serial = Serial::from_der_integer(revoked.serial_number.as_bytes()).ok_or(CrlError::Value("serial number"))?;
    let mut extensions = revoked.crl_entry_extensions.iter().flatten();
    let reason = match extensions.find(|extension| extension.extn_id == oid::REASON_CODE) {
        Some(extension) => {
            let reason = CrlReason::from_der(extension.extn_value.as_bytes()).map_err(malformed)?;
            Reason::from_code(reason as u8).ok_or(CrlError::Value("reason code"))?
        }
        None => Reason::Unspecified,
    };
    Ok(CrlEntry { serial, revoked_at: timestamp(revoked.revocation_date), reason })
}

fn unsigned(big_endian: &[u8]) -> Option<u64> {
    let significant = &big_endian[big_endian.iter().take_while(|octet| **octet == 0).count()..];
    (significant.len() <= 8).then(|| significant.iter().fold(0, |value, octet| value << 8 | u64::from(*octet)))
}

#[cfg(test)]
mod tests;
