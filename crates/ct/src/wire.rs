//! RFC 6962 §4 in JSON, for clients of logs and for the built-in log: binary values in base64, times in milliseconds.

use data_encoding::BASE64;
use pki::{LogId, Sha256, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Octets that are base64 in JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Base64(pub Vec<u8>);

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        BASE64.decode(text.as_bytes()).map(Self).map_err(de::Error::custom)
    }
}

/// A hash that is base64 in JSON (elsewhere SHA-256 is shown in hexadecimal).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hash(pub Sha256);

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(self.0.as_bytes()))
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let octets: [u8; 32] = Base64::deserialize(deserializer)?
            .0
            .try_into()
            .map_err(|_| de::Error::custom("a hash is 32 octets in base64"))?;
        Ok(Self(Sha256::from_bytes(octets)))
    }
}

/// A time in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Millis(pub Timestamp);

impl Serialize for Millis {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.0.millis())
    }
}

impl<'de> Deserialize<'de> for Millis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let millis = u64::deserialize(deserializer)?;
        let millis = i64::try_from(millis).map_err(|_| de::Error::custom("a time out of range"))?;
        Ok(Self(Timestamp::from_millis(millis)))
    }
}

/// The request of add-pre-chain (RFC 6962 §4.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddPreChain {
    /// The precertificate and the certificates above it, DER.
    pub chain: Vec<Base64>,
}

/// The answer of add-pre-chain (RFC 6962 §4.1): an SCT.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddedChain {
    /// 0: v1.
    pub sct_version: u8,
    /// The log.
    pub id: LogId,
    /// When it was logged.
    pub timestamp: Millis,
    /// Extensions; none are defined for v1.
    pub extensions: Base64,
    /// `digitally-signed`, TLS-encoded.
    pub signature: Base64,
}

/// The answer of get-sth (RFC 6962 §4.3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedTreeHead {
    /// How many leaves it covers.
    pub tree_size: u64,
    /// Its time.
    pub timestamp: Millis,
    /// The root hash.
    pub sha256_root_hash: Hash,
    /// `digitally-signed`, TLS-encoded.
    pub tree_head_signature: Base64,
}

/// The answer of get-sth-consistency (RFC 6962 §4.4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SthConsistency {
    /// The nodes.
    pub consistency: Vec<Hash>,
}

/// The answer of get-proof-by-hash (RFC 6962 §4.5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProofByHash {
    /// The leaf's place, from 0.
    pub leaf_index: u64,
    /// The nodes, from the leaf's sibling up.
    pub audit_path: Vec<Hash>,
}

/// One leaf as it is given out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEntry {
    /// MerkleTreeLeaf (RFC 6962 §3.4).
    pub leaf_input: Base64,
    /// PrecertChainEntry (RFC 6962 §3.1).
    pub extra_data: Base64,
}

/// The answer of get-entries (RFC 6962 §4.6).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entries {
    /// The leaves, in order; maybe fewer than were asked for.
    pub entries: Vec<LogEntry>,
}

/// The answer of get-roots (RFC 6962 §4.7).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roots {
    /// The certificates that chains may end with.
    pub certificates: Vec<Base64>,
}

/// The answer of get-entry-and-proof (RFC 6962 §4.8).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryAndProof {
    /// MerkleTreeLeaf.
    pub leaf_input: Base64,
    /// PrecertChainEntry.
    pub extra_data: Base64,
    /// The nodes, from the leaf's sibling up.
    pub audit_path: Vec<Hash>,
}

/// PrecertChainEntry (RFC 6962 §3.1): what a log gives out beside a leaf.
pub fn precert_chain_entry(precertificate: &[u8], chain: &[Vec<u8>]) -> Vec<u8> {
    let chain_octets: usize = chain.iter().map(|one| 3 + one.len()).sum();
    let mut out = Vec::with_capacity(6 + precertificate.len() + chain_octets);
    write_u24_vector(&mut out, precertificate);
    out.extend_from_slice(&u24(chain_octets));
    for certificate in chain {
        write_u24_vector(&mut out, certificate);
    }
    out
}

fn write_u24_vector(out: &mut Vec<u8>, contents: &[u8]) {
    out.extend_from_slice(&u24(contents.len()));
    out.extend_from_slice(contents);
}

fn u24(length: usize) -> [u8; 3] {
    // Certificates are read up to 64 KiB and chains are short: nothing near 2^24 comes here.
    let [_, high, middle, low] = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    [high, middle, low]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_sct_is_spelled_as_rfc_6962_has_it() {
        let text = concat!(
            r#"{"sct_version":0,"id":"KXm+8J45OSHwVnOfY6V35b5XfZxgCvj5TV0mXCVdx4Q=","#,
            r#""timestamp":1512556025588,"extensions":"","signature":"BAM="}"#
        );
        let read: AddedChain = serde_json::from_str(text).unwrap();
        assert_eq!(read.timestamp.0, Timestamp::from_millis(1_512_556_025_588));
        assert_eq!(read.signature.0, [4, 3]);
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
    }

    #[test]
    fn what_is_not_base64_or_no_time_is_refused() {
        for text in [r#""AA""#, r#""A===""#, r#""-_8=""#, "7"] {
            assert!(serde_json::from_str::<Base64>(text).is_err(), "{text}");
        }
        assert!(serde_json::from_str::<Hash>(r#""AAAA""#).is_err());
        for text in ["-1", "1.5", "18446744073709551615", r#""1""#] {
            assert!(serde_json::from_str::<Millis>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_chain_entry_has_its_lengths_in_three_octets() {
        let entry = precert_chain_entry(&[1, 2], &[vec![3], vec![4, 5]]);
        assert_eq!(entry, [0, 0, 2, 1, 2, 0, 0, 9, 0, 0, 1, 3, 0, 0, 2, 4, 5]);
    }
}
