//! OCSP (RFC 6960), as the profile for large numbers of clients has it (RFC 5019), with nonces (RFC 9654).

mod cert_id;
mod parsed;
mod request;
mod responder;
mod response;

use crate::reader::{Reader, Value, only};
use crate::writer::tag;

pub use cert_id::{CertId, IdAlgorithm, IdForm, IssuerIdentity};
pub use parsed::{BasicOcspResponse, OcspResponse, OcspResponseError, ResponderId, ResponseData, SingleResponse};
pub use request::{
    NONCE_OCTETS_MAX, OcspRequest, PATH_OCTETS_MAX, REQUEST_OCTETS_MAX, RequestError, request_from_path,
};
pub use responder::{Responder, TbsResponder};
pub use response::{CertStatus, OcspFields, TbsOcspResponse};

/// Why there is no answer: an OCSPResponseStatus that is not `successful` (RFC 6960 §4.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OcspError {
    /// The request is none.
    MalformedRequest = 1,
    /// The responder is in a state in which it can't answer.
    InternalError = 2,
    /// It can't answer for the time being.
    TryLater = 3,
    /// It has no answer to give about this certificate (RFC 5019 §2.2.3).
    Unauthorized = 6,
}

impl OcspError {
    /// The whole OCSPResponse: DER, the same each time, and signed by nobody.
    pub const fn response_der(self) -> &'static [u8] {
        match self {
            Self::MalformedRequest => &[tag::SEQUENCE, 3, tag::ENUMERATED, 1, 1],
            Self::InternalError => &[tag::SEQUENCE, 3, tag::ENUMERATED, 1, 2],
            Self::TryLater => &[tag::SEQUENCE, 3, tag::ENUMERATED, 1, 3],
            Self::Unauthorized => &[tag::SEQUENCE, 3, tag::ENUMERATED, 1, 6],
        }
    }

    /// Its name in RFC 6960 §4.2.1.
    pub const fn name(self) -> &'static str {
        match self {
            Self::MalformedRequest => "malformedRequest",
            Self::InternalError => "internalError",
            Self::TryLater => "tryLater",
            Self::Unauthorized => "unauthorized",
        }
    }
}

/// An extension as it stands in a request or a response.
#[derive(Clone, Copy)]
struct Extension<'a> {
    id: &'a [u8],
    critical: bool,
    value: &'a [u8],
}

/// So many extensions are read; clients send a nonce, or two or three at most.
const EXTENSIONS_MAX: usize = 16;

/// The extensions in the contents of an explicit tag. `None`: they are not DER, or too many.
fn extensions(explicit: Value<'_>) -> Option<Vec<Extension<'_>>> {
    let mut list = Reader::new(only(explicit.contents, tag::SEQUENCE)?.contents);
    let mut found: Vec<Extension<'_>> = Vec::new();
    while !list.is_empty() {
        let mut fields = Reader::new(list.expect(tag::SEQUENCE)?.contents);
        let id = fields.expect(tag::OBJECT_IDENTIFIER)?.contents;
        let critical = match fields.optional(tag::BOOLEAN).map(|value| value.contents) {
            Some([0xff]) => true,
            // FALSE is the DEFAULT, which DER does not encode; clients do.
            Some([0]) | None => false,
            Some(_) => return None,
        };
        let value = fields.expect(tag::OCTET_STRING)?.contents;
        fields.finish()?;
        if found.len() == EXTENSIONS_MAX || found.iter().any(|earlier| earlier.id == id) {
            return None;
        }
        found.push(Extension { id, critical, value });
    }
    // SEQUENCE SIZE (1..MAX)
    (!found.is_empty()).then_some(found)
}

#[cfg(test)]
mod tests;
