//! CRLs that are too long to be held as a whole: what stands around the entries, and entries piece by piece.

use der::Decode;
use x509_cert::time::Time;

use super::{Crl, CrlEntry, CrlError, CrlFields, Reason, TbsCrl, write_crl_extensions, write_entry, write_fields};
use crate::certificate::timestamp;
use crate::reader::{Reader, Value};
use crate::writer::{Writer, tag};
use crate::{Serial, Sha256, SignatureAlgorithm};

/// No entry is longer: a serial of 20 octets, a time, a reason.
const ENTRY_OCTETS_MAX: usize = 64;

/// Appends an entry as it stands in a CRL; reason 0 is left out.
pub fn encode_entry(octets: &mut Vec<u8>, entry: &CrlEntry) {
    let mut writer = Writer::with_capacity(ENTRY_OCTETS_MAX);
    write_entry(&mut writer, entry);
    octets.extend_from_slice(&writer.finish());
}

/// A TBSCertList without its entries, which stand elsewhere: it is `head`, then `entry_octets` octets of entries, then
/// `tail`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrlOutline {
    head: Vec<u8>,
    tail: Vec<u8>,
    entries: u64,
    entry_octets: u64,
}

impl CrlOutline {
    /// As [`TbsCrl::build`] has it, around so many entries of so many octets together.
    pub fn build(fields: &CrlFields<'_>, entries: u64, entry_octets: u64) -> Self {
        let (mut before, mut tail) = (Writer::with_capacity(256), Writer::with_capacity(256));
        write_fields(&mut before, fields);
        write_crl_extensions(&mut tail, fields);
        let (before, tail) = (before.finish(), tail.finish());
        let list = if entries == 0 { Vec::new() } else { header(entry_octets) };
        let length = (before.len() + list.len() + tail.len()) as u64 + entry_octets;
        Self { head: [header(length), before, list].concat(), tail, entries, entry_octets }
    }

    /// Of a signed CRL, from what stands before and behind its entries. `None`: these don't fit together.
    pub fn of_signed(head: &[u8], (entries, entry_octets): (u64, u64), tail: &[u8]) -> Option<Self> {
        let (length, tbs_head) = contents(head)?;
        (length == tbs_head.len() as u64 + entry_octets + tail.len() as u64).then_some(())?;
        let (length, fields) = contents(tbs_head)?;
        let of_tail = length.checked_sub(fields.len() as u64 + entry_octets)?;
        let (tail, _) = tail.split_at_checked(usize::try_from(of_tail).ok()?)?;
        Some(Self { head: tbs_head.to_vec(), tail: tail.to_vec(), entries, entry_octets })
    }

    /// Where the entries lie of a CRL that is too long to be read as a whole. `start`: its first octets, one more than
    /// those that stand before the entries at least. `None`: it is no CRL, or more octets are needed.
    pub fn entries_within(start: &[u8]) -> Option<std::ops::Range<u64>> {
        let (_, tbs) = contents(start)?;
        let (_, fields) = contents(tbs)?;
        let mut reader = Reader::new(fields);
        let mut octets = 0;
        for expected in [&[tag::INTEGER][..], &[tag::SEQUENCE], &[tag::SEQUENCE], &TIMES, &TIMES] {
            octets += reader.any().filter(|value| expected.contains(&value.tag))?.encoded.len();
        }
        let list = &fields[octets..];
        let (length, behind) = if *list.first()? == tag::SEQUENCE { contents(list)? } else { (0, list) };
        let begin = (start.len() - behind.len()) as u64;
        Some(begin..begin.checked_add(length)?)
    }

    /// What stands before the entries.
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// What stands behind the entries.
    pub fn tail(&self) -> &[u8] {
        &self.tail
    }

    /// How many entries there are, and of how many octets together.
    pub const fn entries(&self) -> (u64, u64) {
        (self.entries, self.entry_octets)
    }

    /// The same with these entries alone, or with none. `None`: the lengths in it are not those of its parts, or it is
    /// not such a structure at all.
    pub fn with_entries(&self, entries: &[u8]) -> Option<TbsCrl> {
        let (length, rest) = contents(&self.head)?;
        (length == rest.len() as u64 + self.entry_octets + self.tail.len() as u64).then_some(())?;
        let mut reader = Reader::new(rest);
        let mut fields = Vec::with_capacity(rest.len());
        for expected in [&[tag::INTEGER][..], &[tag::SEQUENCE], &[tag::SEQUENCE], &TIMES, &TIMES] {
            let value = reader.any().filter(|value| expected.contains(&value.tag))?;
            fields.extend_from_slice(value.encoded);
        }
        let list = &rest[fields.len()..];
        let right = if self.entries == 0 {
            self.entry_octets == 0 && list.is_empty()
        } else {
            list == header(self.entry_octets)
        };
        right.then_some(())?;
        let mut writer = Writer::with_capacity(fields.len() + entries.len() + self.tail.len() + 16);
        writer.sequence(|writer| {
            writer.raw(&fields);
            if !entries.is_empty() {
                writer.value(tag::SEQUENCE, entries);
            }
            writer.raw(&self.tail);
        });
        Some(TbsCrl { der: writer.finish() })
    }

    /// The same with no entries, read: its signature is none.
    ///
    /// # Errors
    /// It is no such structure.
    pub fn read(&self) -> Result<Crl, CrlError> {
        let tbs = self.with_entries(&[]).ok_or(CrlError::Value("length"))?;
        let inner = super::Outline::inner_algorithm(tbs.der()).ok_or(CrlError::SignatureAlgorithm)?;
        let algorithm = SignatureAlgorithm::from_algorithm_identifier_der(inner).ok_or(CrlError::SignatureAlgorithm)?;
        Crl::from_der(&tbs.with_signature(algorithm, &[0]))
    }

    /// The signature of the CRL that this is the outline of, from what stands behind its entries. `None`: none is
    /// there.
    pub fn signature<'t>(&self, algorithm: SignatureAlgorithm, tail: &'t [u8]) -> Option<&'t [u8]> {
        let behind = tail.strip_prefix(&*self.tail)?.strip_prefix(algorithm.algorithm_identifier_der())?;
        let mut reader = Reader::new(behind);
        let bits = reader.expect(tag::BIT_STRING).filter(|_| reader.is_empty())?;
        bits.contents.strip_prefix(&[0])
    }

    /// What stands before and behind the entries of the whole CRL with this signature.
    pub fn signed(&self, algorithm: SignatureAlgorithm, signature: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let mut end = Writer::with_capacity(self.tail.len() + signature.len() + 32);
        end.raw(&self.tail);
        end.raw(algorithm.algorithm_identifier_der());
        end.bit_string(signature);
        let end = end.finish();
        let length = (self.head.len() + end.len()) as u64 + self.entry_octets;
        ([header(length), self.head.clone()].concat(), end)
    }
}

const TIMES: [u8; 2] = [tag::UTC_TIME, tag::GENERALIZED_TIME];

/// The header of a SEQUENCE of this length.
fn header(length: u64) -> Vec<u8> {
    let octets = length.to_be_bytes();
    let significant = &octets[octets.iter().take_while(|octet| **octet == 0).count()..];
    match significant {
        [] => vec![tag::SEQUENCE, 0],
        [short] if *short < 0x80 => vec![tag::SEQUENCE, *short],
        // Eight at most.
        long => [&[tag::SEQUENCE, 0x80 | u8::try_from(long.len()).unwrap_or(8)], long].concat(),
    }
}

/// Reads the header of a SEQUENCE: its length, and what follows the header, which may be less.
fn contents(encoded: &[u8]) -> Option<(u64, &[u8])> {
    let first = *encoded.get(1)?;
    let octets = if first < 0x80 { 0 } else { usize::from(first & 0x7f) };
    let length = match octets {
        0 => u64::from(first),
        1..=8 => encoded.get(2..2 + octets)?.iter().fold(0, |value, octet| value << 8 | u64::from(*octet)),
        _ => return None,
    };
    let (found, rest) = encoded.split_at_checked(2 + octets)?;
    (found == header(length)).then_some((length, rest))
}

/// A [`CrlOutline`] with the digest of the whole TBSCertList, entries included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrlDraft {
    outline: CrlOutline,
    sha256: Sha256,
}

impl CrlDraft {
    /// Of a TBSCertList whose digest was taken.
    pub const fn new(outline: CrlOutline, sha256: Sha256) -> Self {
        Self { outline, sha256 }
    }

    /// What stands around the entries.
    pub const fn outline(&self) -> &CrlOutline {
        &self.outline
    }

    /// SHA-256 of all its bytes.
    pub const fn sha256(&self) -> Sha256 {
        self.sha256
    }
}

/// Reads entries from the pieces that they come in.
#[derive(Debug, Default)]
pub struct EntryReader {
    begun: Vec<u8>,
}

/// Entries that are there from their first octet to their last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WholeEntries {
    /// As they are encoded.
    pub octets: Vec<u8>,
    /// As they are read.
    pub entries: Vec<CrlEntry>,
}

impl EntryReader {
    /// The entries that end in this piece; what is left of it is kept for the next one.
    ///
    /// # Errors
    /// What is there is not what [`encode_entry`] makes of any entry.
    pub fn push(&mut self, piece: &[u8]) -> Result<WholeEntries, CrlError> {
        let mut octets = std::mem::take(&mut self.begun);
        octets.extend_from_slice(piece);
        let mut reader = Reader::new(&octets);
        let mut entries = Vec::with_capacity(octets.len() / 32);
        let (mut whole, mut again) = (0, Vec::with_capacity(ENTRY_OCTETS_MAX));
        while let Some(value) = reader.any() {
            let entry = entry_of(value).ok_or(CrlError::Value("entry"))?;
            again.clear();
            encode_entry(&mut again, &entry);
            if again != value.encoded {
                return Err(CrlError::NotCanonical);
            }
            whole += value.encoded.len();
            entries.push(entry);
        }
        self.begun = octets.split_off(whole);
        if self.begun.len() > ENTRY_OCTETS_MAX {
            return Err(CrlError::Value("entry"));
        }
        Ok(WholeEntries { octets, entries })
    }

    /// Whether nothing is left that has begun and not ended.
    pub fn is_between_entries(&self) -> bool {
        self.begun.is_empty()
    }
}

fn entry_of(value: Value<'_>) -> Option<CrlEntry> {
    let mut reader = Reader::new((value.tag == tag::SEQUENCE).then_some(value.contents)?);
    let serial = Serial::from_der_integer(reader.expect(tag::INTEGER)?.contents)?;
    let revoked_at = timestamp(Time::from_der(reader.any()?.encoded).ok()?);
    // Encoded again, an entry has to be the same: of its extension the code alone has to be read.
    let reason = match reader.any() {
        Some(extensions) => Reason::from_code(*extensions.contents.last()?)?,
        None => Reason::Unspecified,
    };
    Some(CrlEntry { serial, revoked_at, reason })
}
