//! DNS messages: our queries, written octet by octet, and the parts of an answer that matter (RFC 1035 §4, RFC 6891).
//!
//! Record data is read here and not by a library, so that one odd record (a CAA tag with a foreign character) is judged
//! by our rules and does not spoil the whole answer.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hickory_proto::op::{Header, MessageType, OpCode};
use hickory_proto::rr::{Name, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder, DecodeError};

use super::{DnsFailure, Outcome, Record, RecordKind};
use crate::caa::Property;

/// Aliases in a row that are followed.
pub(super) const ALIASES_MAX: usize = 10;
/// Records of one section that are read. More are an error, never silently dropped: a CAA record might be among them.
const RECORDS_MAX: usize = 512;

/// What fits a UDP answer without fragments (DNS Flag Day 2020; RFC 9715 §3.2).
const EDNS_PAYLOAD_OCTETS: u16 = 1232;
const HEADER_OCTETS: usize = 12;
const NAME_OCTETS_MAX: usize = 255;
const LABEL_OCTETS_MAX: usize = 63;
const CLASS_IN: u16 = 1;
const CODE_NO_ERROR: u16 = 0;
const CODE_NO_NAME: u16 = 3;
const FLAG_RECURSION_DESIRED: u16 = 0x0100;
/// In a query: "tell me whether you validated it" (RFC 6840 §5.7).
const FLAG_AUTHENTIC_DATA: u16 = 0x0020;

/// A domain name as it stands in a message: labels with their lengths, the root's empty label last. Its letters keep
/// their case; it is compared without.
#[derive(Clone, Debug)]
pub(super) struct WireName(Vec<u8>);

impl WireName {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut octets = Vec::with_capacity(text.len() + 2);
        for label in text.split('.') {
            if label.is_empty() || label.len() > LABEL_OCTETS_MAX || !label.is_ascii() {
                return None;
            }
            octets.push(u8::try_from(label.len()).ok()?);
            octets.extend_from_slice(label.as_bytes());
        }
        octets.push(0);
        (octets.len() <= NAME_OCTETS_MAX).then_some(Self(octets))
    }

    fn from_name(name: &Name) -> Self {
        let mut octets = Vec::with_capacity(name.len() + 1);
        for label in name {
            octets.push(u8::try_from(label.len()).expect("the decoder limits labels to 63 octets"));
            octets.extend_from_slice(label);
        }
        octets.push(0);
        Self(octets)
    }

    /// The same name, each letter in upper case where the next bit is set, and in lower case elsewhere: an answer that
    /// repeats the mix comes from somebody who saw the question (draft-vixie-dnsext-dns0x20).
    pub(super) fn with_case(&self, bits: &[u8]) -> Self {
        let mut octets = self.0.clone();
        // Lengths are at most 63 and so never letters.
        let letters = octets.iter_mut().filter(|octet| octet.is_ascii_alphabetic());
        for (index, letter) in letters.enumerate() {
            let upper = bits.get(index / 8).is_some_and(|octet| octet >> (index % 8) & 1 == 1);
            *letter = if upper { letter.to_ascii_uppercase() } else { letter.to_ascii_lowercase() };
        }
        Self(octets)
    }
}

impl PartialEq for WireName {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl fmt::Display for WireName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_slice();
        let mut first = true;
        while let [length, tail @ ..] = rest
            && *length > 0
        {
            let (label, next) = tail.split_at_checked(usize::from(*length)).unwrap_or((tail, &[]));
            write!(f, "{}{}", if first { "" } else { "." }, label.to_ascii_lowercase().escape_ascii())?;
            first = false;
            rest = next;
        }
        if first { f.write_str(".") } else { Ok(()) }
    }
}

/// A query as it goes to a resolver.
#[derive(Debug)]
pub(super) struct Query {
    pub(super) id: u16,
    pub(super) name: WireName,
    pub(super) kind: RecordKind,
    pub(super) edns: bool,
}

impl Query {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut wire = Vec::with_capacity(HEADER_OCTETS + self.name.0.len() + 4 + 11);
        let additional = u16::from(self.edns);
        let flags = FLAG_RECURSION_DESIRED | FLAG_AUTHENTIC_DATA;
        for field in [self.id, flags, 1, 0, 0, additional] {
            wire.extend_from_slice(&field.to_be_bytes());
        }
        wire.extend_from_slice(&self.name.0);
        for field in [u16::from(record_type(self.kind)), CLASS_IN] {
            wire.extend_from_slice(&field.to_be_bytes());
        }
        if self.edns {
            // The root, type OPT, our payload size, version 0 without flags, no options (RFC 6891 §6.1.2).
            wire.push(0);
            wire.extend_from_slice(&u16::from(RecordType::OPT).to_be_bytes());
            wire.extend_from_slice(&EDNS_PAYLOAD_OCTETS.to_be_bytes());
            wire.extend_from_slice(&[0; 6]);
        }
        wire
    }
}

fn record_type(kind: RecordKind) -> RecordType {
    match kind {
        RecordKind::A => RecordType::A,
        RecordKind::Aaaa => RecordType::AAAA,
        RecordKind::Txt => RecordType::TXT,
        RecordKind::Caa => RecordType::CAA,
    }
}

/// Why a datagram is not the answer to our query.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    /// Somebody else's, or forged: keep waiting.
    Foreign,
    /// It repeats our question, but not the case of its letters.
    CaseLost,
    /// It is the answer, and nobody can read it.
    Malformed(&'static str),
}

impl From<DecodeError> for Unusable {
    fn from(_: DecodeError) -> Self {
        Self::Malformed("it ends too early, or a name in it is wrong")
    }
}

/// An answer.
#[derive(Debug)]
pub(super) struct Reply {
    /// It did not fit: to be asked again over TCP.
    pub(super) truncated: bool,
    /// RCODE with its extension.
    pub(super) code: u16,
    /// The resolver says that it validated this by DNSSEC.
    pub(super) authenticated: bool,
    answers: Vec<RawRecord>,
    /// The authority section has a SOA record: the denial is final (RFC 2308 §2.2).
    denies: bool,
}

#[derive(Debug)]
struct RawRecord {
    owner: WireName,
    ttl: u32,
    data: Data,
}

#[derive(Debug)]
enum Data {
    Alias(WireName),
    Record(Record),
    Other,
}

impl Reply {
    /// Reads what came in answer to this query.
    pub(super) fn decode(wire: &[u8], query: &Query) -> Result<Self, Unusable> {
        let mut decoder = BinDecoder::new(wire);
        let header = Header::read(&mut decoder).map_err(|_| Unusable::Foreign)?;
        let metadata = header.metadata;
        if metadata.id != query.id || metadata.message_type != MessageType::Response {
            return Err(Unusable::Foreign);
        }
        let mut reply = Self {
            truncated: metadata.truncation,
            code: u16::from(metadata.response_code) & 0x0f,
            authenticated: metadata.authentic_data,
            answers: Vec::new(),
            denies: false,
        };
        if header.counts.queries == 0 && !reply.is_definite() {
            // Some servers say no more than that they can't.
            return Ok(reply);
        }
        if header.counts.queries != 1 || metadata.op_code != OpCode::Query {
            return Err(Unusable::Foreign);
        }
        check_question(&mut decoder, query)?;
        if reply.truncated {
            return Ok(reply);
        }
        reply.read_sections(&mut decoder, &header, query.kind)?;
        Ok(reply)
    }

    fn read_sections(
        &mut self,
        decoder: &mut BinDecoder<'_>,
        header: &Header,
        kind: RecordKind,
    ) -> Result<(), Unusable> {
        let counts = &header.counts;
        let sections = [counts.answers, counts.authorities, counts.additionals];
        if sections.iter().any(|count| usize::from(*count) > RECORDS_MAX) {
            return Err(Unusable::Malformed("it has more than 512 records"));
        }
        for _ in 0..counts.answers {
            let part = Part::read(decoder)?;
            let data = part.data(kind)?;
            self.answers.push(RawRecord { owner: part.owner, ttl: part.ttl, data });
        }
        for _ in 0..counts.authorities {
            self.denies |= Part::read(decoder)?.kind == RecordType::SOA;
        }
        for _ in 0..counts.additionals {
            let part = Part::read(decoder)?;
            if part.kind == RecordType::OPT {
                // The upper eight bits of an OPT record's TTL extend RCODE (RFC 6891 §6.1.3).
                self.code |= u16::try_from(part.ttl_field >> 24).unwrap_or(0) << 4;
            }
        }
        Ok(())
    }

    /// Whether it says something about the name.
    pub(super) fn is_definite(&self) -> bool {
        self.code == CODE_NO_ERROR || self.code == CODE_NO_NAME
    }

    /// The code as a failure, for an answer that says nothing about the name.
    pub(super) fn failure(&self) -> DnsFailure {
        match self.code {
            2 => DnsFailure::ServFail,
            5 => DnsFailure::Refused,
            other => DnsFailure::Code(other),
        }
    }

    /// Whether the server may just not know EDNS (RFC 6891 §7).
    pub(super) fn dislikes_edns(&self) -> bool {
        matches!(self.code, 1 | 4)
    }

    /// Follows the aliases within the answer to its end.
    pub(super) fn follow(self, asked: &WireName) -> Followed {
        let mut current = asked.clone();
        let mut ttl_seconds = u32::MAX;
        let mut aliases = Vec::new();
        while let Some((target, ttl)) = self.answers.iter().find_map(|record| record.alias_of(&current)) {
            if aliases.len() == ALIASES_MAX {
                return Followed { aliases, ttl_seconds: 0, end: End::Outcome(Outcome::Failed(DnsFailure::Aliases)) };
            }
            ttl_seconds = ttl_seconds.min(ttl);
            aliases.push(target.clone());
            current = target.clone();
        }
        let mut records = Vec::new();
        for answer in self.answers {
            if let Data::Record(record) = answer.data
                && answer.owner == current
            {
                ttl_seconds = ttl_seconds.min(answer.ttl);
                records.push(record);
            }
        }
        let end = match (records.is_empty(), self.code) {
            (false, _) => End::Outcome(Outcome::Records(records)),
            (true, CODE_NO_NAME) => End::Outcome(Outcome::NoName),
            // The resolver followed the alias to an end without records; else it left the rest to us.
            (true, _) if aliases.is_empty() || self.denies => End::Outcome(Outcome::NoData),
            (true, _) => End::Alias(current),
        };
        Followed { aliases, ttl_seconds, end }
    }
}

/// An answer with its aliases followed.
#[derive(Debug)]
pub(super) struct Followed {
    pub(super) aliases: Vec<WireName>,
    /// The least on the way; meaningless without records.
    pub(super) ttl_seconds: u32,
    pub(super) end: End,
}

/// Where the aliases of an answer lead.
#[derive(Debug)]
pub(super) enum End {
    Outcome(Outcome),
    /// To a name of which the answer says nothing: it has to be asked for.
    Alias(WireName),
}

impl RawRecord {
    fn alias_of(&self, name: &WireName) -> Option<(&WireName, u32)> {
        match &self.data {
            Data::Alias(target) if self.owner == *name => Some((target, self.ttl)),
            Data::Alias(_) | Data::Record(_) | Data::Other => None,
        }
    }
}

/// The question has to be ours, letter by letter.
fn check_question(decoder: &mut BinDecoder<'_>, query: &Query) -> Result<(), Unusable> {
    let name = decoder.read_slice(query.name.0.len()).map_err(|_| Unusable::Foreign)?.unverified();
    let kind = decoder.read_u16().map_err(|_| Unusable::Foreign)?.unverified();
    let class = decoder.read_u16().map_err(|_| Unusable::Foreign)?.unverified();
    if kind != u16::from(record_type(query.kind)) || class != CLASS_IN || !name.eq_ignore_ascii_case(&query.name.0) {
        return Err(Unusable::Foreign);
    }
    if name == query.name.0 { Ok(()) } else { Err(Unusable::CaseLost) }
}

/// A record of any section, its data not yet read.
struct Part<'a> {
    owner: WireName,
    kind: RecordType,
    class: u16,
    /// As it stands there; for OPT no time at all.
    ttl_field: u32,
    /// In seconds; a value with the highest bit set counts as 0 (RFC 2181 §8).
    ttl: u32,
    bytes: &'a [u8],
    /// At the start of the data, within the whole message: for compressed names.
    inside: BinDecoder<'a>,
}

impl<'a> Part<'a> {
    fn read(decoder: &mut BinDecoder<'a>) -> Result<Self, DecodeError> {
        let owner = WireName::from_name(&Name::read(decoder)?);
        let kind = RecordType::from(decoder.read_u16()?.unverified());
        let class = decoder.read_u16()?.unverified();
        let ttl_field = decoder.read_u32()?.unverified();
        let length = usize::from(decoder.read_u16()?.unverified());
        let start = u16::try_from(decoder.index()).map_err(|_| DecodeError::InsufficientBytes)?;
        let inside = decoder.clone(start);
        let bytes = decoder.read_slice(length)?.unverified();
        let ttl = if ttl_field > i32::MAX.unsigned_abs() { 0 } else { ttl_field };
        Ok(Self { owner, kind, class, ttl_field, ttl, bytes, inside })
    }

    fn data(&self, asked: RecordKind) -> Result<Data, Unusable> {
        if self.class != CLASS_IN {
            return Ok(Data::Other);
        }
        if self.kind == RecordType::CNAME {
            let mut inside = self.inside.clone(u16::try_from(self.inside.index()).unwrap_or(u16::MAX));
            return Ok(Data::Alias(WireName::from_name(&Name::read(&mut inside)?)));
        }
        if self.kind != record_type(asked) {
            return Ok(Data::Other);
        }
        let record = match asked {
            RecordKind::A => <[u8; 4]>::try_from(self.bytes).ok().map(|octets| address(Ipv4Addr::from(octets))),
            RecordKind::Aaaa => <[u8; 16]>::try_from(self.bytes).ok().map(|octets| address(Ipv6Addr::from(octets))),
            RecordKind::Txt => joined_strings(self.bytes).map(Record::Text),
            RecordKind::Caa => Property::from_record_data(self.bytes).map(Record::Caa),
        };
        record.map(Data::Record).ok_or(Unusable::Malformed("a record in it has the wrong length"))
    }
}

fn address(address: impl Into<IpAddr>) -> Record {
    Record::Address(address.into())
}

/// The character strings of a TXT record as one (RFC 7208 §3.3 has the same rule).
fn joined_strings(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut joined = Vec::with_capacity(rest.len());
    while let [length, tail @ ..] = rest {
        let (string, next) = tail.split_at_checked(usize::from(*length))?;
        joined.extend_from_slice(string);
        rest = next;
    }
    Some(joined)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn query() -> Query {
        let name = WireName::parse("a.example").unwrap().with_case(&[0b0101_0101]);
        Query { id: 0x1234, name, kind: RecordKind::Txt, edns: true }
    }

    /// An alias, by a compressed name, and a record of its target.
    fn answer() -> Vec<u8> {
        let mut wire = query().encode();
        wire.truncate(wire.len() - 11);
        wire[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 2, 0, 0, 0, 0]);
        wire.extend_from_slice(&[0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 9, 0, 4, 1, b'b', 0xc0, 14]);
        wire.extend_from_slice(&[1, b'b', 0xc0, 14, 0, 16, 0, 1, 0, 0, 0, 8, 0, 5, 1, b'x', 2, b'y', b'z']);
        wire
    }

    #[test]
    fn names_are_compared_without_case_and_shown_in_lower_case() {
        let name = WireName::parse("Host.A.example").unwrap();
        assert_eq!(name, WireName::parse("hOST.a.EXAMPLE").unwrap());
        assert_ne!(name, WireName::parse("hosta.example").unwrap());
        assert_eq!(name.with_case(&[0xff; 32]).to_string(), "host.a.example");
        assert_eq!(name.with_case(&[0b10]).0, b"\x04hOst\x01a\x07example\x00");
        assert_eq!(WireName(vec![0]).to_string(), ".");
    }

    #[test]
    fn compressed_answer_is_read_to_its_end() {
        let reply = Reply::decode(&answer(), &query()).unwrap();
        let followed = reply.follow(&query().name);
        assert_eq!(followed.aliases, [WireName::parse("b.example").unwrap()]);
        assert_eq!(followed.ttl_seconds, 8);
        let End::Outcome(Outcome::Records(records)) = followed.end else { panic!() };
        assert_eq!(records, [Record::Text(b"xyz".to_vec())]);
    }

    #[test]
    fn case_must_be_kept_and_the_rest_must_match() {
        let mut wire = answer();
        wire[13] ^= 0x20;
        assert_eq!(Reply::decode(&wire, &query()).unwrap_err(), Unusable::CaseLost);
        let mut wire = answer();
        wire[13] = b'b';
        assert_eq!(Reply::decode(&wire, &query()).unwrap_err(), Unusable::Foreign);
        let other_id = Query { id: 1, ..query() };
        assert_eq!(Reply::decode(&answer(), &other_id).unwrap_err(), Unusable::Foreign);
    }

    #[test]
    fn extended_code_is_read_from_the_opt_record() {
        let mut wire = answer();
        wire[11] = 1;
        wire.extend_from_slice(&[0, 0, 41, 4, 208, 1, 0, 0, 0, 0, 0]);
        let reply = Reply::decode(&wire, &query()).unwrap();
        assert_eq!(reply.failure(), DnsFailure::Code(16));
        assert!(!reply.is_definite());
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_odd(
            bytes in prop::collection::vec(any::<u8>(), 0..80),
            flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        ) {
            let name = query().name;
            let mut wire = answer();
            for (index, value) in flips {
                *index.get_mut(&mut wire) = value;
            }
            for wire in [wire.clone(), [&wire[..30], &bytes].concat(), [&wire, bytes.as_slice()].concat()] {
                if let Ok(reply) = Reply::decode(&wire, &query()) {
                    prop_assert!(reply.follow(&name).aliases.len() <= ALIASES_MAX);
                }
            }
        }

        #[test]
        fn case_of_letters_follows_the_bits_and_changes_no_name(
            name in "[a-z0-9-]{1,20}(\\.[a-z0-9-]{1,20}){0,3}",
            bits in any::<[u8; 32]>(),
        ) {
            let name = WireName::parse(&name).unwrap();
            let mixed = name.with_case(&bits);
            prop_assert_eq!(&mixed, &name);
            prop_assert_eq!(mixed.with_case(&[]).0, name.0);
        }
    }
}
