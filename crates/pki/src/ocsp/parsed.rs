//! Answers read back: our own before they are signed, and anybody's after that.

use super::response::{CertStatus, TbsOcspResponse};
use super::{CertId, OcspError, extensions};
use crate::reader::{Reader, only};
use crate::time::Calendar;
use crate::writer::tag;
use crate::{Certificate, KeyError, Name, PublicKey, Reason, SignatureAlgorithm, Timestamp, oid};

/// Why bytes are no OCSPResponse.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an OCSPResponse in DER: {0}")]
pub struct OcspResponseError(&'static str);

/// Who signed an answer, by its own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResponderId {
    /// The subject of his certificate.
    ByName(Name),
    /// SHA-1 of his key.
    ByKey(Vec<u8>),
}

/// A ResponseData, read strictly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseData<'a> {
    /// Whether the version is stated, which it must not be: v1 is the DEFAULT.
    pub states_version: bool,
    /// Who signs.
    pub responder: ResponderId,
    /// When it was made.
    pub produced_at: Timestamp,
    /// About which certificates, and what. One at least.
    pub responses: Vec<SingleResponse<'a>>,
    /// The nonce.
    pub nonce: Option<&'a [u8]>,
    /// Whether it has extensions beside the nonce.
    pub has_other_extensions: bool,
}

/// What is said about one certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SingleResponse<'a> {
    /// Which.
    pub cert_id: CertId<'a>,
    /// Its status; `None`: unknown.
    pub status: Option<CertStatus>,
    /// Whether a reason is stated.
    pub states_reason: bool,
    /// When that is known to have been so.
    pub this_update: Timestamp,
    /// When a newer answer will be there.
    pub next_update: Option<Timestamp>,
    /// Whether it has extensions.
    pub has_extensions: bool,
}

impl<'a> ResponseData<'a> {
    /// Reads one. `None`: it is none in DER.
    pub fn from_der(der: &'a [u8]) -> Option<Self> {
        let mut fields = Reader::new(only(der, tag::SEQUENCE)?.contents);
        let states_version = match fields.optional(tag::context_constructed(0)) {
            Some(version) if version.contents == [tag::INTEGER, 1, 0] => true,
            Some(_) => return None,
            None => false,
        };
        let responder = fields.any()?;
        let responder = if responder.tag == tag::context_constructed(1) {
            ResponderId::ByName(Name::from_der(responder.contents).ok()?)
        } else if responder.tag == tag::context_constructed(2) {
            ResponderId::ByKey(only(responder.contents, tag::OCTET_STRING)?.contents.to_vec())
        } else {
            return None;
        };
        let produced_at = generalized_time(&mut fields)?;
        let mut list = Reader::new(fields.expect(tag::SEQUENCE)?.contents);
        let mut responses = Vec::new();
        while !list.is_empty() {
            responses.push(single(list.expect(tag::SEQUENCE)?.contents)?);
        }
        let found = match fields.optional(tag::context_constructed(1)) {
            Some(explicit) => extensions(explicit)?,
            None => Vec::new(),
        };
        fields.finish()?;
        let nonce = found.iter().find(|extension| extension.id == oid::OCSP_NONCE.as_bytes());
        let nonce = match nonce {
            Some(extension) => Some(only(extension.value, tag::OCTET_STRING)?.contents),
            None => None,
        };
        let has_other_extensions = found.len() > usize::from(nonce.is_some());
        let states_one = !responses.is_empty();
        let read = Self { states_version, responder, produced_at, responses, nonce, has_other_extensions };
        states_one.then_some(read)
    }
}

fn single(contents: &[u8]) -> Option<SingleResponse<'_>> {
    let mut fields = Reader::new(contents);
    let cert_id = CertId::read(fields.expect(tag::SEQUENCE)?)?;
    let (status, states_reason) = status(&mut fields)?;
    let this_update = generalized_time(&mut fields)?;
    let next_update = match fields.optional(tag::context_constructed(0)) {
        Some(explicit) => {
            let mut explicit = Reader::new(explicit.contents);
            let time = generalized_time(&mut explicit)?;
            explicit.finish()?;
            Some(time)
        }
        None => None,
    };
    let has_extensions = fields.optional(tag::context_constructed(1)).is_some();
    fields.finish()?;
    Some(SingleResponse { cert_id, status, states_reason, this_update, next_update, has_extensions })
}

/// The status, and whether a reason is stated.
fn status(fields: &mut Reader<'_>) -> Option<(Option<CertStatus>, bool)> {
    const GOOD: u8 = tag::context(0);
    const REVOKED: u8 = tag::context_constructed(1);
    const UNKNOWN: u8 = tag::context(2);
    let status = fields.any()?;
    match status.tag {
        GOOD if status.contents.is_empty() => Some((Some(CertStatus::Good), false)),
        UNKNOWN if status.contents.is_empty() => Some((None, false)),
        REVOKED => {
            let mut revoked = Reader::new(status.contents);
            let at = generalized_time(&mut revoked)?;
            let stated = match revoked.optional(tag::context_constructed(0)) {
                Some(explicit) => match only(explicit.contents, tag::ENUMERATED)?.contents {
                    [code] => Some(Reason::from_code(*code)?),
                    [..] => return None,
                },
                None => None,
            };
            revoked.finish()?;
            let reason = stated.unwrap_or(Reason::Unspecified);
            Some((Some(CertStatus::Revoked { at, reason }), stated.is_some()))
        }
        _ => None,
    }
}

/// Whole seconds, `Z` (RFC 6960 §4.2.2.1: as RFC 5280 has it).
fn generalized_time(fields: &mut Reader<'_>) -> Option<Timestamp> {
    let text = fields.expect(tag::GENERALIZED_TIME)?.contents;
    let digits = text.strip_suffix(b"Z").filter(|digits| digits.len() == 14)?;
    let number = |range: std::ops::Range<usize>| {
        digits[range]
            .iter()
            .try_fold(0i64, |value, octet| octet.is_ascii_digit().then(|| value * 10 + i64::from(octet - b'0')))
    };
    let calendar = Calendar {
        year: number(0..4)?,
        month: number(4..6)?,
        day: number(6..8)?,
        hour: number(8..10)?,
        minute: number(10..12)?,
        second: number(12..14)?,
    };
    calendar.seconds().map(Timestamp::from_seconds)
}

/// An OCSPResponse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OcspResponse {
    /// There is an answer.
    Successful(Box<BasicOcspResponse>),
    /// There is none.
    Failed(OcspError),
}

/// A signed answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BasicOcspResponse {
    tbs: TbsOcspResponse,
    algorithm: SignatureAlgorithm,
    signature: Vec<u8>,
    certificate: Option<Certificate>,
}

impl OcspResponse {
    /// Reads one, strictly.
    ///
    /// # Errors
    /// It is none in DER, or one that we never make.
    pub fn from_der(der: &[u8]) -> Result<Self, OcspResponseError> {
        let failed =
            [OcspError::MalformedRequest, OcspError::InternalError, OcspError::TryLater, OcspError::Unauthorized];
        if let Some(error) = failed.into_iter().find(|error| error.response_der() == der) {
            return Ok(Self::Failed(error));
        }
        let mut fields = Reader::new(only(der, tag::SEQUENCE).ok_or(OcspResponseError("it is no SEQUENCE"))?.contents);
        if fields.expect(tag::ENUMERATED).is_none_or(|status| status.contents != [0]) {
            return Err(OcspResponseError("its status"));
        }
        let basic = fields.expect(tag::context_constructed(0)).and_then(|explicit| {
            fields.finish()?;
            let mut bytes = Reader::new(only(explicit.contents, tag::SEQUENCE)?.contents);
            let kind = bytes.expect(tag::OBJECT_IDENTIFIER)?.contents;
            let octets = bytes.expect(tag::OCTET_STRING)?.contents;
            bytes.finish()?;
            (kind == oid::OCSP_BASIC.as_bytes()).then_some(octets)
        });
        let basic = basic.and_then(BasicOcspResponse::read).ok_or(OcspResponseError("its BasicOCSPResponse"))?;
        Ok(Self::Successful(Box::new(basic)))
    }
}

impl BasicOcspResponse {
    fn read(der: &[u8]) -> Option<Self> {
        let mut fields = Reader::new(only(der, tag::SEQUENCE)?.contents);
        let tbs = fields.expect(tag::SEQUENCE)?.encoded;
        ResponseData::from_der(tbs)?;
        let algorithm = SignatureAlgorithm::from_algorithm_identifier_der(fields.expect(tag::SEQUENCE)?.encoded)?;
        let signature = fields.expect(tag::BIT_STRING)?.contents.strip_prefix(&[0])?.to_vec();
        let certificate = match fields.optional(tag::context_constructed(0)) {
            Some(explicit) => {
                let one = only(explicit.contents, tag::SEQUENCE)?.contents;
                Some(Certificate::from_der(one).ok()?)
            }
            None => None,
        };
        fields.finish()?;
        Some(Self { tbs: TbsOcspResponse::from_checked(tbs.to_vec()), algorithm, signature, certificate })
    }

    /// What is signed.
    pub fn tbs(&self) -> &TbsOcspResponse {
        &self.tbs
    }

    /// What it says.
    pub fn data(&self) -> Option<ResponseData<'_>> {
        ResponseData::from_der(self.tbs.der())
    }

    /// The certificate of a delegated responder, if it comes with it.
    pub fn certificate(&self) -> Option<&Certificate> {
        self.certificate.as_ref()
    }

    /// Whether this key signed it.
    ///
    /// # Errors
    /// It did not.
    pub fn verify_signed_by(&self, key: &PublicKey) -> Result<(), KeyError> {
        key.verify(self.algorithm, self.tbs.der(), &self.signature)
    }
}
