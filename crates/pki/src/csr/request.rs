//! Writing requests: a client's side, also of this CA's own orders.

use std::collections::BTreeSet;

use crate::certificate::{signed, write_extension, write_general_name};
use crate::writer::{Writer, tag};
use crate::{GeneralName, PublicKey, SignatureAlgorithm, oid};

/// A request that is still to be signed: CertificationRequestInfo (RFC 2986 §4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TbsRequest {
    der: Vec<u8>,
}

/// A request for these names with this key: no subject, and nothing asked for beside them.
pub fn request(names: &BTreeSet<GeneralName>, public_key: &PublicKey) -> TbsRequest {
    let mut writer = Writer::with_capacity(256);
    writer.sequence(|writer| {
        writer.unsigned_integer(&[0]);
        writer.sequence(|_| {});
        writer.raw(public_key.spki_der());
        writer.nested(tag::context_constructed(0), |writer| {
            writer.sequence(|writer| {
                writer.object_identifier(&oid::EXTENSION_REQUEST);
                writer.nested(tag::SET, |writer| {
                    writer.sequence(|writer| {
                        write_extension(writer, &oid::SUBJECT_ALT_NAME, false, |writer| {
                            writer.sequence(|writer| names.iter().for_each(|name| write_general_name(writer, name)));
                        });
                    });
                });
            });
        });
    });
    TbsRequest { der: writer.finish() }
}

impl TbsRequest {
    /// The exact bytes to be signed.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The request, with the signature of its own key.
    pub fn with_signature(&self, algorithm: SignatureAlgorithm, signature: &[u8]) -> Vec<u8> {
        signed(&self.der, algorithm, signature)
    }
}
