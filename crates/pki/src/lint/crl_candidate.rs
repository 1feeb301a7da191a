//! A CRL as the lints see it: read once, strictly, and then only looked at.

use const_oid::ObjectIdentifier;
use der::asn1::{IntRef, UintRef};
use der::{Decode, Encode, Enumerated, Reader, SliceReader, Tag};
use spki::AlgorithmIdentifierOwned;
use x509_cert::ext::pkix::{AuthorityKeyIdentifier, IssuingDistributionPoint};
use x509_cert::ext::{Extension, Extensions};
use x509_cert::name::Name;
use x509_cert::time::Time;

use super::CrlRules;
use super::candidate::timestamp;
use super::fields;
use super::oids;
use crate::Timestamp;

/// A CRL under judgement, with the rules it is judged by.
pub struct CrlCandidate<'a> {
    pub(super) rules: &'a CrlRules<'a>,
    /// As encoded: 1 is v2. Nothing if it is not stated.
    pub(super) version: Option<u8>,
    pub(super) signature: AlgorithmIdentifierOwned,
    pub(super) issuer: &'a [u8],
    /// thisUpdate and, if it is stated, nextUpdate, as encoded.
    pub(super) updates: (Time, Option<Time>),
    pub(super) this_update: Timestamp,
    pub(super) next_update: Option<Timestamp>,
    /// Nothing if revokedCertificates are absent.
    pub(super) entries: Option<Vec<Entry<'a>>>,
    pub(super) extensions: Extensions,
    /// The octets of the number.
    pub(super) number: Option<Vec<u8>>,
    pub(super) authority_key_identifier: Option<AuthorityKeyIdentifier>,
    pub(super) distribution_point: Option<IssuingDistributionPoint>,
    /// Whether a known extension's value was refused, or was not in canonical form.
    pub(super) undecodable: Vec<ObjectIdentifier>,
    /// Whether all that was decoded as a whole encodes to the same bytes again.
    pub(super) is_canonical: bool,
}

/// A revoked certificate.
pub(super) struct Entry<'a> {
    /// The octets of the INTEGER.
    pub(super) serial: &'a [u8],
    pub(super) revoked_at: Time,
    pub(super) reason: Option<Reason>,
    /// Of the first extension that is not the reason code, or a second reason code.
    pub(super) other_extension: Option<ObjectIdentifier>,
}

pub(super) struct Reason {
    pub(super) code: u8,
    pub(super) critical: bool,
}

/// CRLReason (RFC 5280 §5.3.1), and the number that was never assigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enumerated)]
#[repr(u8)]
enum ReasonCode {
    Unspecified = 0,
    KeyCompromise = 1,
    CaCompromise = 2,
    AffiliationChanged = 3,
    Superseded = 4,
    CessationOfOperation = 5,
    CertificateHold = 6,
    Unassigned = 7,
    RemoveFromCrl = 8,
    PrivilegeWithdrawn = 9,
    AaCompromise = 10,
}

impl<'a> CrlCandidate<'a> {
    pub(super) fn parse(tbs: &'a [u8], rules: &'a CrlRules<'a>) -> der::Result<Self> {
        let mut reader = SliceReader::new(fields::content(tbs, Tag::Sequence)?)?;
        let version = if Tag::peek(&reader)? == Tag::Integer { Some(u8::decode(&mut reader)?) } else { None };
        let (signature, mut is_canonical) = decoded::<AlgorithmIdentifierOwned>(reader.tlv_bytes()?)?;
        let issuer = reader.tlv_bytes()?;
        is_canonical &= decoded::<Name>(issuer)?.1;
        let this_update = Time::decode(&mut reader)?;
        let next_update = Option::<Time>::decode(&mut reader)?;
        let entries = entries(&mut reader, &mut is_canonical)?;
        let extensions = if reader.is_finished() {
            Extensions::new()
        } else {
            let explicit = fields::content(reader.tlv_bytes()?, fields::CRL_EXTENSIONS)?;
            let (extensions, canonical) = decoded::<Extensions>(explicit)?;
            is_canonical &= canonical;
            extensions
        };
        reader.finish()?;
        let mut candidate = Self {
            rules,
            version,
            signature,
            issuer,
            updates: (this_update, next_update),
            this_update: timestamp(this_update)?,
            next_update: next_update.map(timestamp).transpose()?,
            entries,
            extensions,
            number: None,
            authority_key_identifier: None,
            distribution_point: None,
            undecodable: Vec::new(),
            is_canonical,
        };
        candidate.read_extensions();
        Ok(candidate)
    }

    fn read_extensions(&mut self) {
        for extension in &self.extensions {
            let encoded = extension.extn_value.as_bytes();
            let read = match extension.extn_id {
                oids::CRL_NUMBER => UintRef::from_der(encoded).is_ok_and(|number| {
                    self.number.get_or_insert_with(|| number.as_bytes().to_vec());
                    true
                }),
                oids::AUTHORITY_KEY_IDENTIFIER => take(&mut self.authority_key_identifier, encoded),
                oids::ISSUING_DISTRIBUTION_POINT => take(&mut self.distribution_point, encoded),
                // An unknown extension is refused whatever its value says.
                _ => true,
            };
            if !read {
                self.undecodable.push(extension.extn_id);
            }
        }
    }

    pub(super) fn extension(&self, id: ObjectIdentifier) -> Option<&Extension> {
        self.extensions.iter().find(|extension| extension.extn_id == id)
    }

    pub(super) fn entries(&self) -> &[Entry<'a>] {
        self.entries.as_deref().unwrap_or_default()
    }
}

/// revokedCertificates, if they are the next field.
fn entries<'a>(reader: &mut SliceReader<'a>, is_canonical: &mut bool) -> der::Result<Option<Vec<Entry<'a>>>> {
    if reader.is_finished() || Tag::peek(reader)? != Tag::Sequence {
        return Ok(None);
    }
    let mut list = SliceReader::new(fields::content(reader.tlv_bytes()?, Tag::Sequence)?)?;
    let mut entries = Vec::new();
    while !list.is_finished() {
        let entry = list.tlv_bytes()?;
        entries.push(entry_of(fields::content(entry, Tag::Sequence)?, is_canonical)?);
    }
    Ok(Some(entries))
}

fn entry_of<'a>(entry: &'a [u8], is_canonical: &mut bool) -> der::Result<Entry<'a>> {
    let mut reader = SliceReader::new(entry)?;
    let serial = reader.tlv_bytes()?;
    IntRef::from_der(serial)?;
    let revoked_at = Time::decode(&mut reader)?;
    let mut read =
        Entry { serial: fields::content(serial, Tag::Integer)?, revoked_at, reason: None, other_extension: None };
    if !reader.is_finished() {
        let (extensions, canonical) = decoded::<Extensions>(reader.tlv_bytes()?)?;
        *is_canonical &= canonical;
        for extension in extensions {
            if extension.extn_id == oids::REASON_CODE && read.reason.is_none() {
                let code = ReasonCode::from_der(extension.extn_value.as_bytes())? as u8;
                read.reason = Some(Reason { code, critical: extension.critical });
            } else {
                read.other_extension.get_or_insert(extension.extn_id);
            }
        }
    }
    reader.finish()?;
    Ok(read)
}

/// A value, and whether its canonical encoding is what it was read from.
fn decoded<'a, T: Decode<'a, Error = der::Error> + Encode>(encoded: &'a [u8]) -> der::Result<(T, bool)> {
    let value = T::from_der(encoded)?;
    let canonical = fields::is_encoding_of(&value, encoded);
    Ok((value, canonical))
}

fn take<T: for<'r> Decode<'r, Error = der::Error> + Encode>(place: &mut Option<T>, encoded: &[u8]) -> bool {
    match decoded(encoded) {
        Ok((value, true)) => {
            place.get_or_insert(value);
            true
        }
        Ok((_, false)) | Err(_) => false,
    }
}
