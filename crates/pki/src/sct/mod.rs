//! Signed certificate timestamps (RFC 6962 §3).

pub mod tree;

use std::fmt;

use data_encoding::BASE64;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{KeyError, PublicKey, Sha256, SignatureAlgorithm, Timestamp};

/// The only version: v1 (RFC 6962 §3.2).
const V1: u8 = 0;
/// SignatureType certificate_timestamp.
const CERTIFICATE_TIMESTAMP: u8 = 0;
/// MerkleLeafType timestamped_entry.
const TIMESTAMPED_ENTRY: u8 = 0;
/// LogEntryType precert_entry.
const PRECERT_ENTRY: [u8; 2] = [0, 1];

/// HashAlgorithm and SignatureAlgorithm of TLS 1.2 (RFC 5246 §7.4.1.4.1).
const HASH_SHA256: u8 = 4;
const SIGNATURE_RSA: u8 = 1;
const SIGNATURE_ECDSA: u8 = 3;

/// The name of a log: SHA-256 of its key's SubjectPublicKeyInfo (RFC 6962 §3.2). Shown and serialized as base64.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId(pub [u8; 32]);

impl LogId {
    /// Of the log that signs with this key.
    pub fn of(key: &PublicKey) -> Self {
        Self(*key.spki_hash().as_bytes())
    }

    /// Reads base64 with padding, as log lists have it.
    pub fn parse(text: &str) -> Option<Self> {
        BASE64.decode(text.as_bytes()).ok()?.try_into().ok().map(Self)
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64.encode(&self.0))
    }
}

impl fmt::Debug for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogId({self})")
    }
}

impl Serialize for LogId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LogId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom("a log id is 32 octets in base64"))
    }
}

/// A signature as TLS 1.2 has it (RFC 5246 §4.7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DigitallySigned {
    /// HashAlgorithm; 4 is SHA-256, and the only one that RFC 6962 §2.1.4 allows.
    pub hash: u8,
    /// SignatureAlgorithm; 1 is RSA, 3 is ECDSA.
    pub algorithm: u8,
    /// The signature; at most 65,535 octets.
    pub signature: Vec<u8>,
}

impl DigitallySigned {
    /// A signature that was made with a key like `key` and SHA-256; `None` for keys that no log may have.
    pub fn sha256(key: &PublicKey, signature: Vec<u8>) -> Option<Self> {
        let algorithm = match key.default_signature_algorithm() {
            SignatureAlgorithm::EcdsaSha256 => SIGNATURE_ECDSA,
            SignatureAlgorithm::RsaSha256 => SIGNATURE_RSA,
            SignatureAlgorithm::EcdsaSha384
            | SignatureAlgorithm::EcdsaSha512
            | SignatureAlgorithm::RsaSha384
            | SignatureAlgorithm::RsaSha512
            | SignatureAlgorithm::Ed25519 => return None,
        };
        Some(Self { hash: HASH_SHA256, algorithm, signature })
    }

    /// The TLS encoding.
    pub fn to_tls(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(4 + self.signature.len());
        self.write(&mut out);
        out
    }

    /// Reads the TLS encoding; nothing may follow.
    pub fn from_tls(encoded: &[u8]) -> Result<Self, SctError> {
        let mut input = TlsReader(encoded);
        let read = Self::read(&mut input).ok_or(SctError::Malformed("signature"))?;
        if input.0.is_empty() { Ok(read) } else { Err(SctError::Malformed("signature")) }
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[self.hash, self.algorithm]);
        write_u16_vector(out, &self.signature);
    }

    fn read(input: &mut TlsReader<'_>) -> Option<Self> {
        let [hash, algorithm] = input.array()?;
        Some(Self { hash, algorithm, signature: input.u16_vector()?.to_vec() })
    }

    /// Verifies it over `message`.
    pub fn verify(&self, key: &PublicKey, message: &[u8]) -> Result<(), SctError> {
        let algorithm = match (self.hash, self.algorithm) {
            (HASH_SHA256, SIGNATURE_ECDSA) => SignatureAlgorithm::EcdsaSha256,
            (HASH_SHA256, SIGNATURE_RSA) => SignatureAlgorithm::RsaSha256,
            (hash, algorithm) => return Err(SctError::Algorithm { hash, algorithm }),
        };
        Ok(key.verify(algorithm, message, &self.signature)?)
    }
}

/// What is wrong with an SCT or a list of them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SctError {
    /// Not the TLS encoding of what it should be.
    #[error("the {0} is not encoded as RFC 6962 has it")]
    Malformed(&'static str),
    /// Another version.
    #[error("the SCT has version {0}; only v1 (0) is known")]
    Version(u8),
    /// Not signed as RFC 6962 §2.1.4 has it.
    #[error(
        "the signature uses hash {hash} and algorithm {algorithm}; RFC 6962 has SHA-256 (4) with RSA (1) or ECDSA (3)"
    )]
    Algorithm {
        /// HashAlgorithm.
        hash: u8,
        /// SignatureAlgorithm.
        algorithm: u8,
    },
    /// Another log's SCT.
    #[error("the SCT is of log {found}, not of {expected}")]
    OtherLog {
        /// The log it names.
        found: LogId,
        /// The log that was asked.
        expected: LogId,
    },
    /// A signature or key that is no good.
    #[error("the SCT cannot be verified: {0}")]
    Key(#[from] KeyError),
}

/// A log's promise to include a certificate (RFC 6962 §3.2), version 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sct {
    /// The log.
    pub log_id: LogId,
    /// When the log took the entry, to the millisecond.
    pub timestamp: Timestamp,
    /// CtExtensions; at most 65,535 octets.
    pub extensions: Vec<u8>,
    /// The log's signature.
    pub signature: DigitallySigned,
}

impl Sct {
    /// The TLS encoding.
    pub fn to_tls(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.tls_length());
        self.write(&mut out);
        out
    }

    /// Reads the TLS encoding; nothing may follow.
    pub fn from_tls(encoded: &[u8]) -> Result<Self, SctError> {
        let mut input = TlsReader(encoded);
        let [version] = input.array().ok_or(SctError::Malformed("SCT"))?;
        if version != V1 {
            return Err(SctError::Version(version));
        }
        let sct = Self::read_after_version(&mut input).ok_or(SctError::Malformed("SCT"))?;
        if input.0.is_empty() { Ok(sct) } else { Err(SctError::Malformed("SCT")) }
    }

    /// Whether the log with this key promised to include this entry.
    pub fn verify(&self, log_key: &PublicKey, entry: &PrecertEntry) -> Result<(), SctError> {
        let expected = LogId::of(log_key);
        if self.log_id != expected {
            return Err(SctError::OtherLog { found: self.log_id, expected });
        }
        self.signature.verify(log_key, &entry.signed_data(self.timestamp, &self.extensions))
    }

    fn tls_length(&self) -> usize {
        1 + 32 + 8 + 2 + self.extensions.len() + 4 + self.signature.signature.len()
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.push(V1);
        out.extend_from_slice(&self.log_id.0);
        out.extend_from_slice(&tls_time(self.timestamp));
        write_u16_vector(out, &self.extensions);
        self.signature.write(out);
    }

    fn read_after_version(input: &mut TlsReader<'_>) -> Option<Self> {
        Some(Self {
            log_id: LogId(input.array()?),
            timestamp: Timestamp::from_millis(i64::try_from(u64::from_be_bytes(input.array()?)).ok()?),
            extensions: input.u16_vector()?.to_vec(),
            signature: DigitallySigned::read(input)?,
        })
    }
}

/// A precertificate as a log sees it (RFC 6962 §3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrecertEntry {
    /// SHA-256 of the issuer's SubjectPublicKeyInfo.
    pub issuer_key_hash: Sha256,
    /// The TBSCertificate without poison and SCT list; at most 2^24 - 1 octets.
    pub tbs: Vec<u8>,
}

impl PrecertEntry {
    /// What an SCT's signature covers (RFC 6962 §3.2).
    pub fn signed_data(&self, timestamp: Timestamp, extensions: &[u8]) -> Vec<u8> {
        self.timestamped(CERTIFICATE_TIMESTAMP, timestamp, extensions)
    }

    /// The MerkleTreeLeaf whose hash goes into the log's tree (RFC 6962 §3.4).
    pub fn merkle_tree_leaf(&self, timestamp: Timestamp, extensions: &[u8]) -> Vec<u8> {
        self.timestamped(TIMESTAMPED_ENTRY, timestamp, extensions)
    }

    fn timestamped(&self, kind: u8, timestamp: Timestamp, extensions: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 + self.tbs.len() + extensions.len());
        out.extend_from_slice(&[V1, kind]);
        out.extend_from_slice(&tls_time(timestamp));
        out.extend_from_slice(&PRECERT_ENTRY);
        out.extend_from_slice(self.issuer_key_hash.as_bytes());
        let length = u32::try_from(self.tbs.len()).unwrap_or(u32::MAX).to_be_bytes();
        out.extend_from_slice(&length[1..]);
        out.extend_from_slice(&self.tbs);
        write_u16_vector(&mut out, extensions);
        out
    }
}

/// Octets of the list, its own length field not counted.
pub(crate) fn sct_list_length(scts: &[Sct]) -> usize {
    scts.iter().map(|sct| 2 + sct.tls_length()).sum()
}

/// The SignedCertificateTimestampList of these SCTs, in their order (RFC 6962 §3.3). Together they may have 65,535
/// octets at most, as [`crate::TbsCertificate::with_scts`] makes sure.
pub fn encode_sct_list(scts: &[Sct]) -> Vec<u8> {
    let length = sct_list_length(scts);
    let mut out = Vec::with_capacity(2 + length);
    out.extend_from_slice(&u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
    for sct in scts {
        out.extend_from_slice(&u16::try_from(sct.tls_length()).unwrap_or(u16::MAX).to_be_bytes());
        sct.write(&mut out);
    }
    out
}

/// Reads a SignedCertificateTimestampList: one SCT at least, none empty, nothing after it.
pub fn decode_sct_list(encoded: &[u8]) -> Result<Vec<Sct>, SctError> {
    const LIST: SctError = SctError::Malformed("SCT list");
    let mut input = TlsReader(encoded);
    let mut list = TlsReader(input.u16_vector().ok_or(LIST)?);
    if !input.0.is_empty() || list.0.is_empty() {
        return Err(LIST);
    }
    let mut scts = Vec::new();
    while !list.0.is_empty() {
        scts.push(Sct::from_tls(list.u16_vector().ok_or(LIST)?)?);
    }
    Ok(scts)
}

fn tls_time(timestamp: Timestamp) -> [u8; 8] {
    // RFC 6962 counts from the Unix epoch; nothing is logged before it.
    u64::try_from(timestamp.millis()).unwrap_or(0).to_be_bytes()
}

fn write_u16_vector(out: &mut Vec<u8>, contents: &[u8]) {
    out.extend_from_slice(&u16::try_from(contents.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.extend_from_slice(contents);
}

struct TlsReader<'a>(&'a [u8]);

impl<'a> TlsReader<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    fn u16_vector(&mut self) -> Option<&'a [u8]> {
        let length = usize::from(u16::from_be_bytes(self.array()?));
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
}

#[cfg(test)]
mod tests;
