//! Checkpoints as signed notes (C2SP signed-note): text that can be kept and verified elsewhere.
//!
//! ```text
//! cairn.audit/0123456789abcdef0123456789abcdef     whose log: the name of the key too
//! 1234567                                          lines
//! 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=     the chain's hash after the last of them
//! 2026-11-21T10:00:00.120Z                         when it was signed
//!
//! — cairn.audit/0123456789abcdef0123456789abcdef AbCdEf…
//! ```

use ca::InstanceId;
use ca::ports::AuditEvent;
use data_encoding::{BASE64, HEXLOWER};
use pki::{KeyKind, PublicKey, Sha256, SignatureAlgorithm, Timestamp};

/// Longer ones are not read, in octets.
pub const NOTE_OCTETS_MAX: usize = 16 << 10;

const ORIGIN: &str = "cairn.audit/";
const SIGNATURE_BEGINS: &str = "— ";
/// The type of Ed25519 in signed notes.
const ED25519: u8 = 1;
const KEY_HASH_OCTETS: usize = 4;

/// What a log was when it had so many lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Whose log.
    pub instance: InstanceId,
    /// Its lines.
    pub lines: u64,
    /// The chain's hash after the last of them.
    pub head: Sha256,
    /// When it was signed.
    pub signed: Timestamp,
}

/// A text is no checkpoint, or no key of checkpoints.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// It is no signed note of ours.
    #[error("it is no checkpoint: {0}; `cairn audit checkpoint` prints one")]
    NoCheckpoint(&'static str),
    /// It is no key.
    #[error("it is no key of checkpoints ({0}); `cairn audit key` prints one")]
    NoKey(&'static str),
}

impl Checkpoint {
    /// What is signed: the note's text with the newline at its end.
    pub fn text(&self) -> String {
        let head = BASE64.encode(self.head.as_bytes());
        format!("{}\n{}\n{head}\n{}\n", key_name(self.instance), self.lines, self.signed.to_rfc3339_millis())
    }

    /// The checkpoint of a line of the log, if it is one.
    pub fn of_event(instance: InstanceId, event: &AuditEvent) -> Option<SignedCheckpoint> {
        let AuditEvent::Checkpoint { lines, head, signed, spki, signature } = event else { return None };
        let checkpoint = Self { instance, lines: *lines, head: *head, signed: *signed };
        let key_hash = PublicKey::from_spki_der(spki).ok().map(|key| key_hash(instance, &key))?;
        Some(SignedCheckpoint { checkpoint, signatures: vec![(key_hash, signature.clone())] })
    }
}

/// A checkpoint with its signatures, none of them verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    /// What is signed.
    pub checkpoint: Checkpoint,
    signatures: Vec<([u8; KEY_HASH_OCTETS], Vec<u8>)>,
}

impl SignedCheckpoint {
    /// Reads a signed note.
    ///
    /// # Errors
    /// It is none, or not one of an audit log.
    pub fn parse(note: &str) -> Result<Self, NoteError> {
        let wrong = NoteError::NoCheckpoint;
        if note.len() > NOTE_OCTETS_MAX {
            return Err(wrong("it is too long"));
        }
        let (text, signatures) = note.split_once("\n\n").ok_or(wrong("it has no empty line"))?;
        let lines: Vec<&str> = text.split('\n').collect();
        let [origin, lines, head, signed] = lines[..] else { return Err(wrong("its text does not have four lines")) };
        let instance = instance_of(origin).ok_or(wrong("its first line names no audit log"))?;
        let head = BASE64.decode(head.as_bytes()).ok().and_then(|head| <[u8; 32]>::try_from(head).ok());
        let checkpoint = Checkpoint {
            instance,
            lines: lines.parse().map_err(|_| wrong("its second line is no number"))?,
            head: Sha256::from_bytes(head.ok_or(wrong("its third line is no hash in base64"))?),
            signed: Timestamp::parse_rfc3339(signed).ok_or(wrong("its fourth line is no time"))?,
        };
        if checkpoint.text() != format!("{text}\n") {
            return Err(wrong("its text is not written as it should be"));
        }
        // Signatures with other names are no concern of ours: others may sign that they have seen it.
        let signatures: Vec<_> = signatures.lines().filter_map(|line| signature_of(line, origin)).collect();
        if signatures.is_empty() {
            return Err(wrong("its log has not signed it"));
        }
        Ok(Self { checkpoint, signatures })
    }

    /// The whole note.
    pub fn note(&self) -> String {
        let name = key_name(self.checkpoint.instance);
        let mut note = format!("{}\n", self.checkpoint.text());
        for (key_hash, signature) in &self.signatures {
            let value = BASE64.encode(&[&key_hash[..], signature].concat());
            note.push_str(&format!("{SIGNATURE_BEGINS}{name} {value}\n"));
        }
        note
    }

    /// Whether this key signed it.
    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        let text = self.checkpoint.text();
        let hash = key_hash(self.checkpoint.instance, key);
        let mut of_key = self.signatures.iter().filter(|(of, _)| *of == hash);
        of_key.any(|(_, signature)| key.verify(SignatureAlgorithm::Ed25519, text.as_bytes(), signature).is_ok())
    }
}

/// A key of checkpoints as it is given to others: `NAME+HASH+KEY` (the verifier key of a signed note).
pub fn verifier_key(instance: InstanceId, key: &PublicKey) -> String {
    let hash = HEXLOWER.encode(&key_hash(instance, key));
    format!("{}+{hash}+{}", key_name(instance), BASE64.encode(&typed(key)))
}

/// Reads such a key.
///
/// # Errors
/// It is none, or not one of an audit log.
pub fn parse_verifier_key(text: &str) -> Result<(InstanceId, PublicKey), NoteError> {
    let wrong = NoteError::NoKey;
    let mut parts = text.trim().splitn(3, '+');
    let (Some(name), Some(hash), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(wrong("it does not have three parts with + between them"));
    };
    let instance = instance_of(name).ok_or(wrong("its first part names no audit log"))?;
    let octets = BASE64.decode(key.as_bytes()).map_err(|_| wrong("its third part is no base64"))?;
    let key = octets.split_first().filter(|(kind, _)| **kind == ED25519);
    let key = key.and_then(|(_, octets)| PublicKey::from_ec_point(KeyKind::Ed25519, octets).ok());
    let key = key.ok_or(wrong("its third part is no Ed25519 key"))?;
    if HEXLOWER.encode(&key_hash(instance, &key)) != hash {
        return Err(wrong("its parts do not belong together"));
    }
    Ok((instance, key))
}

/// What a key signs to name another one its successor.
pub(super) fn succession(instance: InstanceId, successor: &[u8]) -> Vec<u8> {
    format!("{}\nsuccessor\n{}\n", key_name(instance), BASE64.encode(successor)).into_bytes()
}

fn key_name(instance: InstanceId) -> String {
    format!("{ORIGIN}{instance}")
}

fn instance_of(name: &str) -> Option<InstanceId> {
    name.strip_prefix(ORIGIN)?.parse().ok()
}

fn typed(key: &PublicKey) -> Vec<u8> {
    [&[ED25519], key.key_octets()].concat()
}

fn key_hash(instance: InstanceId, key: &PublicKey) -> [u8; KEY_HASH_OCTETS] {
    let hash = Sha256::of_parts(&[key_name(instance).as_bytes(), b"\n", &typed(key)]);
    let [a, b, c, d, ..] = *hash.as_bytes();
    [a, b, c, d]
}

fn signature_of(line: &str, origin: &str) -> Option<([u8; KEY_HASH_OCTETS], Vec<u8>)> {
    let (name, value) = line.strip_prefix(SIGNATURE_BEGINS)?.split_once(' ')?;
    let value = BASE64.decode(value.as_bytes()).ok()?;
    let (hash, signature) = value.split_at_checked(KEY_HASH_OCTETS)?;
    (name == origin).then_some((<[u8; KEY_HASH_OCTETS]>::try_from(hash).ok()?, signature.to_vec()))
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};

    use super::*;

    const INSTANCE: InstanceId = InstanceId::from_bytes([0xab; 16]);

    fn pair() -> (Ed25519KeyPair, PublicKey) {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        let key = PublicKey::from_ec_point(KeyKind::Ed25519, pair.public_key().as_ref()).unwrap();
        (pair, key)
    }

    fn checkpoint() -> Checkpoint {
        let signed = Timestamp::from_millis(1_795_255_200_120);
        Checkpoint { instance: INSTANCE, lines: 12, head: Sha256::of(b""), signed }
    }

    fn signed() -> SignedCheckpoint {
        let (pair, key) = pair();
        let signature = pair.sign(checkpoint().text().as_bytes()).as_ref().to_vec();
        let (lines, spki) = (checkpoint().lines, key.spki_der().to_vec());
        let event =
            AuditEvent::Checkpoint { lines, head: Sha256::of(b""), signed: checkpoint().signed, spki, signature };
        Checkpoint::of_event(INSTANCE, &event).unwrap()
    }

    #[test]
    fn note_reads_back_and_its_signature_verifies() {
        let note = signed().note();
        let name = format!("cairn.audit/{}", "ab".repeat(16));
        let text = format!("{name}\n12\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n2026-11-21T10:00:00.120Z\n");
        assert!(note.starts_with(&format!("{text}\n— {name} ")), "{note}");
        let read = SignedCheckpoint::parse(&note).unwrap();
        assert_eq!(read, signed());
        assert!(read.is_signed_by(&pair().1));
        let other = Ed25519KeyPair::from_seed_unchecked(&[8; 32]).unwrap();
        let other = PublicKey::from_ec_point(KeyKind::Ed25519, other.public_key().as_ref()).unwrap();
        assert!(!read.is_signed_by(&other));
    }

    #[test]
    fn changed_note_is_refused_or_does_not_verify() {
        let note = signed().note();
        for (from, to) in [("\n12\n", "\n13\n"), ("10:00:00", "10:00:01"), ("47DE", "47DF")] {
            assert!(!SignedCheckpoint::parse(&note.replace(from, to)).unwrap().is_signed_by(&pair().1), "{to}");
        }
        for (from, to) in [("\n12\n", "\n012\n"), ("\n12\n", "\n"), ("— ", "- "), ("cairn.audit/ab", "cairn.audit/x")]
        {
            assert!(SignedCheckpoint::parse(&note.replacen(from, to, 1)).is_err(), "{to}");
        }
        assert!(SignedCheckpoint::parse("").is_err());
    }

    #[test]
    fn key_reads_back() {
        let text = verifier_key(INSTANCE, &pair().1);
        assert_eq!(parse_verifier_key(&format!("{text}\n")).unwrap(), (INSTANCE, pair().1));
        for wrong in [text.replace("abab", "abac"), text.replace('+', "-"), text[..text.len() - 4].to_owned()] {
            assert!(parse_verifier_key(&wrong).is_err(), "{wrong}");
        }
    }
}
