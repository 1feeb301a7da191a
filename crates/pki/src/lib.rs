//! DER in, DER out: names, keys, serials, certificates, requests, SCTs, CRLs and OCSP.
//!
//! Pure code: no clock, no randomness, no input or output. Keys are verified with here, never signed with.
//! What is written comes from a small writer of our own that controls every byte; what is read goes through strict
//! DER readers, and what would not encode back to the same bytes is refused.

pub mod certificate;
pub mod crl;
pub mod csr;
mod digest;
mod general_name;
pub mod key;
pub mod lint;
pub mod name;
pub mod ocsp;
pub mod oid;
pub mod pem;
mod reader;
pub mod sct;
mod serial;
#[cfg(test)]
mod testing;
mod time;
mod writer;

pub use certificate::{
    Authority, Certificate, CertificateError, Ct, KeyUsage, Leaf, Mismatch, Purpose, TbsCertificate, Validity,
    corresponds,
};
pub use const_oid::ObjectIdentifier;
pub use crl::{Crl, CrlDraft, CrlEntry, CrlError, CrlFields, CrlOutline, EntryReader, Reason, TbsCrl};
pub use csr::{Csr, CsrError};
pub use digest::{Sha256, Sha256Pieces};
pub use general_name::{GeneralName, reversed_labels};
pub use key::{KeyError, KeyKind, PublicKey, SignatureAlgorithm, SignedPieces, WeakKey};
pub use name::Name;
pub use ocsp::{OcspError, OcspRequest, OcspResponse, TbsOcspResponse, TbsResponder};
pub use sct::{DigitallySigned, LogId, PrecertEntry, Sct, SctError, decode_sct_list, encode_sct_list};
pub use serial::Serial;
pub use time::Timestamp;
