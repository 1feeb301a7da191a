//! What is answered: a BasicOCSPResponse (RFC 6960 §4.2.1), about one certificate.

use std::fmt;

use crate::certificate::write_extension;
use crate::writer::{Writer, tag};
use crate::{Certificate, Reason, SignatureAlgorithm, Timestamp, oid};

/// The status of a certificate. `unknown` is not said: what this CA never allocated is not its to speak about
/// (RFC 5019 §2.2.3, unauthorized).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CertStatus {
    /// Not revoked.
    Good,
    /// Revoked.
    Revoked {
        /// When that counts from.
        at: Timestamp,
        /// Why; `unspecified` is said by silence (BR 7.2.2).
        reason: Reason,
    },
}

impl CertStatus {
    /// Its name in RFC 6960 §4.2.1.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Revoked { .. } => "revoked",
        }
    }
}

/// What an answer says.
#[derive(Clone, Copy, Debug)]
pub struct OcspFields<'a> {
    /// The key that signs it: SHA-1 of the contents of the BIT STRING (ResponderID byKey).
    pub responder_key: [u8; 20],
    /// When it was made.
    pub produced_at: Timestamp,
    /// The CertID: DER, as the request has it.
    pub cert_id: &'a [u8],
    /// The status.
    pub status: CertStatus,
    /// When the status is known to have been so.
    pub this_update: Timestamp,
    /// When a newer answer will be there at the latest.
    pub next_update: Timestamp,
    /// The request's nonce, if it is repeated (RFC 9654).
    pub nonce: Option<&'a [u8]>,
}

/// A ResponseData: its exact bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct TbsOcspResponse {
    der: Vec<u8>,
}

impl TbsOcspResponse {
    /// One SingleResponse, whole seconds, version v1 by silence.
    pub fn build(fields: &OcspFields<'_>) -> Self {
        let mut writer = Writer::with_capacity(256);
        writer.sequence(|writer| {
            writer.nested(tag::context_constructed(2), |writer| writer.value(tag::OCTET_STRING, &fields.responder_key));
            writer.generalized_time(fields.produced_at);
            writer.sequence(|writer| writer.sequence(|writer| write_single(writer, fields)));
            if let Some(nonce) = fields.nonce {
                writer.nested(tag::context_constructed(1), |writer| {
                    writer.sequence(|writer| write_nonce(writer, nonce));
                });
            }
        });
        Self { der: writer.finish() }
    }

    /// Of bytes that were read.
    pub(super) const fn from_checked(der: Vec<u8>) -> Self {
        Self { der }
    }

    /// The exact bytes.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The whole OCSPResponse: `successful`, these bytes, the AlgorithmIdentifier, the signature, and the certificate
    /// of a delegated responder.
    pub fn with_signature(
        &self,
        algorithm: SignatureAlgorithm,
        signature: &[u8],
        responder: Option<&Certificate>,
    ) -> Vec<u8> {
        let certificate = responder.map_or(0, |certificate| certificate.der().len());
        let mut writer = Writer::with_capacity(self.der.len() + signature.len() + certificate + 64);
        writer.sequence(|writer| {
            writer.value(tag::ENUMERATED, &[0]);
            writer.nested(tag::context_constructed(0), |writer| {
                writer.sequence(|writer| {
                    writer.object_identifier(&oid::OCSP_BASIC);
                    writer.nested(tag::OCTET_STRING, |writer| {
                        writer.sequence(|writer| {
                            writer.raw(&self.der);
                            writer.raw(algorithm.algorithm_identifier_der());
                            writer.bit_string(signature);
                            if let Some(responder) = responder {
                                writer.nested(tag::context_constructed(0), |writer| {
                                    writer.sequence(|writer| writer.raw(responder.der()));
                                });
                            }
                        });
                    });
                });
            });
        });
        writer.finish()
    }
}

impl fmt::Debug for TbsOcspResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TbsOcspResponse({} octets)", self.der.len())
    }
}

fn write_single(writer: &mut Writer, fields: &OcspFields<'_>) {
    writer.raw(fields.cert_id);
    match fields.status {
        CertStatus::Good => writer.value(tag::context(0), &[]),
        CertStatus::Revoked { at, reason } => writer.nested(tag::context_constructed(1), |writer| {
            writer.generalized_time(at);
            if reason != Reason::Unspecified {
                writer.nested(tag::context_constructed(0), |writer| writer.value(tag::ENUMERATED, &[reason.code()]));
            }
        }),
    }
    writer.generalized_time(fields.this_update);
    writer.nested(tag::context_constructed(0), |writer| writer.generalized_time(fields.next_update));
}

/// id-pkix-ocsp-nonce, as in a request and in its answer.
pub(super) fn write_nonce(writer: &mut Writer, nonce: &[u8]) {
    write_extension(writer, &oid::OCSP_NONCE, false, |writer| writer.value(tag::OCTET_STRING, nonce));
}
