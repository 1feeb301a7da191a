//! What clients ask: an OCSPRequest (RFC 6960 §4.1), whole or in the path of a GET (RFC 6960 appendix A.1).

use std::borrow::Cow;

use data_encoding::BASE64_NOPAD;

use super::{CertId, Extension, OcspError, extensions};
use crate::oid;
use crate::reader::{Reader, Value, only};
use crate::writer::{Writer, tag};

/// The longest request that is read, in octets. One for a single certificate has about a hundred.
pub const REQUEST_OCTETS_MAX: usize = 10 << 10;
/// The longest path of a GET that is read, in octets. RFC 5019 §5 has clients use POST beyond 255.
pub const PATH_OCTETS_MAX: usize = 4 << 10;
/// The longest nonce, in octets (RFC 9654 §2.1).
pub const NONCE_OCTETS_MAX: usize = 128;

/// Why a request is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Longer than [`REQUEST_OCTETS_MAX`], or [`PATH_OCTETS_MAX`] as a path.
    #[error("the request is {0} octets long; {REQUEST_OCTETS_MAX} are read, {PATH_OCTETS_MAX} of a path")]
    TooLong(usize),
    /// The path is not base64.
    #[error("the path is not an OCSPRequest in base64, percent-encoded where a URL needs it")]
    Path,
    /// Not an OCSPRequest in DER.
    #[error("not an OCSPRequest in DER: {0}")]
    Malformed(&'static str),
    /// A nonce of no octets or too many, or one that is no OCTET STRING (RFC 9654 §2.1).
    #[error("the nonce is no OCTET STRING of 1 to {NONCE_OCTETS_MAX} octets")]
    Nonce,
    /// A critical extension that we don't know: without it the answer would be to another question.
    #[error("a critical extension is not known")]
    CriticalExtension,
}

impl RequestError {
    /// What the client is answered.
    pub const fn status(self) -> OcspError {
        match self {
            Self::TooLong(_) | Self::Path | Self::Malformed(_) | Self::Nonce => OcspError::MalformedRequest,
            Self::CriticalExtension => OcspError::Unauthorized,
        }
    }
}

/// A request. Only its first certificate is answered for: RFC 5019 §2.1.1 allows one, and §2.2.1 one answer. A
/// signature is not looked at (RFC 5019 §2.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OcspRequest<'a> {
    /// The certificate that it asks about.
    pub cert_id: CertId<'a>,
    /// The octets of its nonce, if it has one.
    pub nonce: Option<&'a [u8]>,
}

impl<'a> OcspRequest<'a> {
    /// Reads a request: strict DER, all of it.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub fn from_der(der: &'a [u8]) -> Result<Self, RequestError> {
        if der.len() > REQUEST_OCTETS_MAX {
            return Err(RequestError::TooLong(der.len()));
        }
        let malformed = RequestError::Malformed;
        let mut request = Reader::new(only(der, tag::SEQUENCE).ok_or(malformed("it is no SEQUENCE alone"))?.contents);
        let mut tbs = Reader::new(request.expect(tag::SEQUENCE).ok_or(malformed("tbsRequest"))?.contents);
        request.optional(tag::context_constructed(0));
        request.finish().ok_or(malformed("octets after it"))?;
        if let Some(version) = tbs.optional(tag::context_constructed(0)) {
            // v1 is the DEFAULT, which DER does not encode; clients do.
            if version.contents != [tag::INTEGER, 1, 0] {
                return Err(malformed("a version that is not v1"));
            }
        }
        tbs.optional(tag::context_constructed(1));
        let list = tbs.expect(tag::SEQUENCE).ok_or(malformed("requestList"))?;
        let cert_id = first_of(list)?.ok_or(malformed("an empty requestList"))?;
        let nonce = match tbs.optional(tag::context_constructed(2)) {
            Some(explicit) => nonce(&extensions(explicit).ok_or(malformed("requestExtensions"))?)?,
            None => None,
        };
        tbs.finish().ok_or(malformed("octets after tbsRequest"))?;
        Ok(Self { cert_id, nonce })
    }

    /// A request about one certificate: DER. `cert_id` is a CertID in DER.
    pub fn write(cert_id: &[u8], nonce: Option<&[u8]>) -> Vec<u8> {
        let mut writer = Writer::with_capacity(256);
        writer.sequence(|writer| {
            writer.sequence(|writer| {
                writer.sequence(|writer| writer.sequence(|writer| writer.raw(cert_id)));
                if let Some(nonce) = nonce {
                    writer.nested(tag::context_constructed(2), |writer| {
                        writer.sequence(|writer| super::response::write_nonce(writer, nonce));
                    });
                }
            });
        });
        writer.finish()
    }
}

/// The first CertID of a requestList, all of which is read.
fn first_of(list: Value<'_>) -> Result<Option<CertId<'_>>, RequestError> {
    let malformed = RequestError::Malformed("a Request in requestList");
    let mut list = Reader::new(list.contents);
    let mut first = None;
    while !list.is_empty() {
        let mut request = Reader::new(list.expect(tag::SEQUENCE).ok_or(malformed)?.contents);
        let cert_id = request.expect(tag::SEQUENCE).and_then(CertId::read).ok_or(malformed)?;
        let single = request.optional(tag::context_constructed(0));
        request.finish().ok_or(malformed)?;
        if first.is_some() {
            continue;
        }
        if let Some(explicit) = single {
            let found = extensions(explicit).ok_or(malformed)?;
            if found.iter().any(|extension| extension.critical) {
                return Err(RequestError::CriticalExtension);
            }
        }
        first = Some(cert_id);
    }
    Ok(first)
}

fn nonce<'a>(extensions: &[Extension<'a>]) -> Result<Option<&'a [u8]>, RequestError> {
    let mut nonce = None;
    for extension in extensions {
        if extension.id == oid::OCSP_NONCE.as_bytes() {
            let octets = only(extension.value, tag::OCTET_STRING).map(|value| value.contents);
            let octets = octets.filter(|octets| (1..=NONCE_OCTETS_MAX).contains(&octets.len()));
            nonce = Some(octets.ok_or(RequestError::Nonce)?);
        } else if extension.critical {
            return Err(RequestError::CriticalExtension);
        }
    }
    Ok(nonce)
}

/// The DER in the path of a GET, what stands behind the responder's URL: base64, percent-encoded. Also as clients and
/// proxies send it: without padding, with slashes in front, in the alphabet for URLs, with a space for "+".
///
/// # Errors
/// It is too long, or nothing of that.
pub fn request_from_path(path: &str) -> Result<Vec<u8>, RequestError> {
    if path.len() > PATH_OCTETS_MAX {
        return Err(RequestError::TooLong(path.len()));
    }
    let decoded = percent_decoded(path).ok_or(RequestError::Path)?;
    // A request begins with a SEQUENCE, and so with "M": a slash before it is the URL's.
    let start = decoded.iter().position(|octet| *octet != b'/').unwrap_or(decoded.len());
    let text = &decoded[start..];
    let end = text.iter().rposition(|octet| *octet != b'=').map_or(0, |last| last + 1);
    let standard: Vec<u8> = text[..end]
        .iter()
        .map(|octet| match octet {
            b' ' | b'-' => b'+',
            b'_' => b'/',
            other => *other,
        })
        .collect();
    BASE64_NOPAD.decode(&standard).map_err(|_| RequestError::Path)
}

fn percent_decoded(text: &str) -> Option<Cow<'_, [u8]>> {
    if !text.contains('%') {
        return Some(Cow::Borrowed(text.as_bytes()));
    }
    let digit = |octet: &u8| char::from(*octet).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut decoded = Vec::with_capacity(text.len());
    let mut octets = text.as_bytes();
    while let [first, rest @ ..] = octets {
        octets = rest;
        if *first != b'%' {
            decoded.push(*first);
            continue;
        }
        let [high, low, rest @ ..] = octets else { return None };
        decoded.push(digit(high)? << 4 | digit(low)?);
        octets = rest;
    }
    Some(Cow::Owned(decoded))
}
