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
const EVENT_BEGINS: &[u8] = b"\"event\":\"";
/// The name of the event stands in these first octets of a line.
const HEAD_OCTETS: usize = 160;

#[derive(Serialize)]
struct Body<'a> {
    seq: u64,
    at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    synced: Option<u64>,
    #[serde(flatten)]
    event: &'a AuditEvent,
}

#[derive(Deserialize)]
struct Record {
    seq: u64,
    at: String,
    synced: Option<u64>,
    #[serde(flatten)]
    event: AuditEvent,
}

/// A line as it is written, without its newline, and the chain's hash after it. `synced` lines were on disk when it was
/// written; it says so where they are not all lines before it.
pub(crate) fn encode(
    sequence: u64,
    at: Timestamp,
    event: &AuditEvent,
    before: Sha256,
    synced: u64,
) -> Result<(Vec<u8>, Sha256), serde_json::Error> {
    let synced = (synced < sequence).then_some(synced);
    let mut line = serde_json::to_vec(&Body { seq: sequence, at: at.to_rfc3339_millis(), synced, event })?;
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
    decode_with_synced(line).map(|(line, _)| line)
}

/// Reads a line, and how many lines were on disk when it was written.
pub(crate) fn decode_with_synced(line: &[u8]) -> Option<(AuditLine, u64)> {
    chain_of(line)?;
    let record: Record = serde_json::from_slice(line).ok()?;
    let at = Timestamp::parse_rfc3339(&record.at)?;
    let synced = record.synced.unwrap_or(record.seq).min(record.seq);
    Some((AuditLine { sequence: record.seq, at, event: record.event }, synced))
}

/// How many lines were on disk when this one was written, whatever else it says.
pub(crate) fn synced_of(line: &[u8]) -> Option<u64> {
    #[derive(Deserialize)]
    struct Head {
        seq: u64,
        synced: Option<u64>,
    }
    chain_of(line)?;
    let Head { seq, synced } = serde_json::from_slice(line).ok()?;
    Some(synced.unwrap_or(seq).min(seq))
}

/// Whether the line speaks of the log itself, seen without reading it.
pub(crate) fn is_of_log_itself(line: &[u8]) -> bool {
    let head = &line[..line.len().min(HEAD_OCTETS)];
    let Some(at) = head.windows(EVENT_BEGINS.len()).position(|window| window == EVENT_BEGINS) else { return false };
    let event = &head[at + EVENT_BEGINS.len()..];
    [&b"checkpoint"[..], b"continued\"", b"begun\""].iter().any(|name| event.starts_with(name))
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
        let (line, chain) = encode(7, Timestamp::from_millis(1_795_255_200_120), &event(), CHAIN_START, 7).unwrap();
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
        let (line, chain) = encode(8, at, &event, Sha256::of(b"before"), 8).unwrap();
        assert_eq!(decode(&line), Some(AuditLine { sequence: 8, at, event }));
        assert_eq!((sequence_of(&line), chain_of(&line)), (Some(8), Some(chain)));
        assert_eq!(chain_after(Sha256::of(b"before"), &line), chain);
    }

    #[test]
    fn line_says_how_many_were_on_disk_before_it_if_not_all_were() {
        let at = Timestamp::from_seconds(1);
        for (synced, said) in [(3, true), (8, false)] {
            let (line, _) = encode(8, at, &event(), CHAIN_START, synced).unwrap();
            assert_eq!(decode_with_synced(&line).map(|(_, synced)| synced), Some(synced));
            assert_eq!(String::from_utf8(line).unwrap().contains("\"synced\":3"), said);
        }
    }

    #[test]
    fn lines_of_the_log_itself_are_told_from_others() {
        let at = Timestamp::from_seconds(1);
        let (begun, _) = encode(1 << 60, at, &event(), CHAIN_START, 1 << 59).unwrap();
        assert!(is_of_log_itself(&begun));
        let (other, _) = encode(8, at, &AuditEvent::Authority { der: vec![1] }, CHAIN_START, 8).unwrap();
        assert!(!is_of_log_itself(&other));
    }

    #[test]
    fn any_changed_octet_breaks_the_chain() {
        let (line, chain) = encode(8, Timestamp::from_seconds(1), &event(), CHAIN_START, 8).unwrap();
        for at in 0..line.len() {
            let mut changed = line.clone();
            changed[at] ^= 1;
            let holds = chain_of(&changed).is_some_and(|said| said == chain_after(CHAIN_START, &changed));
            assert!(!holds && chain_of(&line) == Some(chain), "octet {at}");
        }
    }
}
