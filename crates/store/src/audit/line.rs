//! One line of the audit log: JSON, and the chain that binds it to all lines before it.

use ca::ports::{AuditEvent, AuditLine};
use pki::{Sha256, Timestamp};
use serde::{Deserialize, Serialize};

/// The longest line that is written or read, in octets.
pub(crate) const LINE_OCTETS_MAX: usize = 1 << 20;
/// The chain's hash before the first line.
pub(crate) const CHAIN_START: Sha256 = Sha256::from_bytes([0; 32]);

const CHAIN_BEGINS: &[u8] = b",\"chain\":\"";
const CHAIN_ENDS: &[u8] = b"\"}";
const CHAIN_OCTETS: usize = CHAIN_BEGINS.len() + 64 + CHAIN_ENDS.len();
const SEQUENCE_BEGINS: &[u8] = b"{\"seq\":";

#[derive(Serialize)]
struct Body<'a> {
    seq: u64,
    at: String,
    #[serde(flatten)]
    event: &'a AuditEvent,
}

#[derive(Deserialize)]
struct Record {
    seq: u64,
    at: String,
    #[serde(flatten)]
    event: AuditEvent,
}

/// A line as it is written, without its newline, and the chain's hash after it.
pub(crate) fn encode(
    sequence: u64,
    at: Timestamp,
    event: &AuditEvent,
    before: Sha256,
) -> Result<(Vec<u8>, Sha256), serde_json::Error> {
    let mut line = serde_json::to_vec(&Body { seq: sequence, at: at.to_rfc3339_millis(), event })?;
    let chain = Sha256::of_parts(&[before.as_bytes(), &line]);
    line.pop();
    line.extend_from_slice(CHAIN_BEGINS);
    line.extend_from_slice(chain.to_string().as_bytes());
    line.extend_from_slice(CHAIN_ENDS);
    Ok((line, chain))
}

/// The hash that a line says the chain has after it. `None`: it is no line of an audit log.
pub(crate) fn chain_of(line: &[u8]) -> Option<Sha256> {
    let (_, chain) = line.split_at_checked(line.len().checked_sub(CHAIN_OCTETS)?)?;
    let digits = chain.strip_prefix(CHAIN_BEGINS)?.strip_suffix(CHAIN_ENDS)?;
    Sha256::parse(std::str::from_utf8(digits).ok()?).ok()
}

/// The chain's hash after this line, computed from the hash before it. Equal to [`chain_of`], or the line was changed.
pub(crate) fn chain_after(before: Sha256, line: &[u8]) -> Sha256 {
    let body = line.len().saturating_sub(CHAIN_OCTETS);
    Sha256::of_parts(&[before.as_bytes(), &line[..body], b"}"])
}

/// The sequence number at the head of a line, read without reading the rest.
pub(crate) fn sequence_of(line: &[u8]) -> Option<u64> {
    let rest = line.strip_prefix(SEQUENCE_BEGINS)?;
    let digits = &rest[..rest.iter().position(|octet| !octet.is_ascii_digit())?];
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Reads a line. `None`: it is no line of an audit log, or of a later release.
pub(crate) fn decode(line: &[u8]) -> Option<AuditLine> {
    chain_of(line)?;
    let record: Record = serde_json::from_slice(line).ok()?;
    Some(AuditLine { sequence: record.seq, at: Timestamp::parse_rfc3339(&record.at)?, event: record.event })
}

#[cfg(test)]
mod tests {
    use ca::InstanceId;

    use super::*;

    fn event() -> AuditEvent {
        AuditEvent::Begun { instance: InstanceId::from_bytes([0xab; 16]) }
    }

    #[test]
    fn line_is_plain_json_in_a_fixed_order() {
        let (line, chain) = encode(7, Timestamp::from_millis(1_795_255_200_120), &event(), CHAIN_START).unwrap();
        let text = String::from_utf8(line).unwrap();
        let body = "{\"seq\":7,\"at\":\"2026-11-21T10:00:00.120Z\",\"event\":\"begun\",\
                    \"instance\":\"abababababababababababababababab\"}";
        assert_eq!(chain, Sha256::of_parts(&[&[0; 32], body.as_bytes()]));
        assert_eq!(text, format!("{},\"chain\":\"{chain}\"}}", &body[..body.len() - 1]));
    }

    #[test]
    fn line_reads_back() {
        let at = Timestamp::from_millis(1_795_255_200_120);
        let event = AuditEvent::Authority { der: vec![0x30, 0x03, 0xff] };
        let (line, chain) = encode(8, at, &event, Sha256::of(b"before")).unwrap();
        assert_eq!(decode(&line), Some(AuditLine { sequence: 8, at, event }));
        assert_eq!((sequence_of(&line), chain_of(&line)), (Some(8), Some(chain)));
        assert_eq!(chain_after(Sha256::of(b"before"), &line), chain);
    }

    #[test]
    fn any_changed_octet_breaks_the_chain() {
        let (line, chain) = encode(8, Timestamp::from_seconds(1), &event(), CHAIN_START).unwrap();
        for at in 0..line.len() {
            let mut changed = line.clone();
            changed[at] ^= 1;
            let holds = chain_of(&changed).is_some_and(|said| said == chain_after(CHAIN_START, &changed));
            assert!(!holds && chain_of(&line) == Some(chain), "octet {at}");
        }
    }
}
