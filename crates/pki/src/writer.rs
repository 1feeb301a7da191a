//! A forward writer of DER: each length is patched in when its contents are there.

use crate::time::{Calendar, Timestamp};

pub(crate) mod tag {
    pub(crate) const BOOLEAN: u8 = 0x01;
    pub(crate) const INTEGER: u8 = 0x02;
    pub(crate) const BIT_STRING: u8 = 0x03;
    pub(crate) const OCTET_STRING: u8 = 0x04;
    pub(crate) const NULL: u8 = 0x05;
    pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;
    pub(crate) const ENUMERATED: u8 = 0x0a;
    pub(crate) const UTF8_STRING: u8 = 0x0c;
    pub(crate) const PRINTABLE_STRING: u8 = 0x13;
    pub(crate) const UTC_TIME: u8 = 0x17;
    pub(crate) const GENERALIZED_TIME: u8 = 0x18;
    pub(crate) const SEQUENCE: u8 = 0x30;
    pub(crate) const SET: u8 = 0x31;

    /// `[n]`, primitive.
    pub(crate) const fn context(number: u8) -> u8 {
        0x80 | number
    }

    /// `[n]`, constructed.
    pub(crate) const fn context_constructed(number: u8) -> u8 {
        0xa0 | number
    }
}

/// The last second that a GeneralizedTime can say, and the first of a UTCTime (RFC 5280 §4.1.2.5).
const LAST_SECOND: Timestamp = Timestamp::from_seconds(253_402_300_799);
const FIRST_SECOND: Timestamp = Timestamp::from_seconds(-631_152_000);

pub(crate) struct Writer {
    out: Vec<u8>,
}

impl Writer {
    pub(crate) fn with_capacity(octets: usize) -> Self {
        Self { out: Vec::with_capacity(octets) }
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.out
    }

    /// Bytes that are encoded already.
    pub(crate) fn raw(&mut self, encoded: &[u8]) {
        self.out.extend_from_slice(encoded);
    }

    pub(crate) fn value(&mut self, tag: u8, contents: &[u8]) {
        self.out.push(tag);
        self.length(contents.len());
        self.out.extend_from_slice(contents);
    }

    /// A value whose contents `write` appends. One octet is kept for the length; longer contents are moved up.
    pub(crate) fn nested(&mut self, tag: u8, write: impl FnOnce(&mut Self)) {
        self.out.push(tag);
        let length_at = self.out.len();
        self.out.push(0);
        write(self);
        let length = self.out.len() - length_at - 1;
        if let (true, Ok(short)) = (length < 0x80, u8::try_from(length)) {
            self.out[length_at] = short;
            return;
        }
        let octets = length.to_be_bytes();
        let significant = &octets[octets.iter().take_while(|octet| **octet == 0).count()..];
        let contents_at = length_at + 1;
        let end = self.out.len();
        self.out.resize(end + significant.len(), 0);
        self.out.copy_within(contents_at..end, contents_at + significant.len());
        self.out[length_at] = long_form(significant.len());
        self.out[contents_at..contents_at + significant.len()].copy_from_slice(significant);
    }

    pub(crate) fn sequence(&mut self, write: impl FnOnce(&mut Self)) {
        self.nested(tag::SEQUENCE, write);
    }

    fn length(&mut self, length: usize) {
        if let (true, Ok(short)) = (length < 0x80, u8::try_from(length)) {
            self.out.push(short);
            return;
        }
        let octets = length.to_be_bytes();
        let significant = &octets[octets.iter().take_while(|octet| **octet == 0).count()..];
        self.out.push(long_form(significant.len()));
        self.out.extend_from_slice(significant);
    }

    pub(crate) fn object_identifier(&mut self, oid: &const_oid::ObjectIdentifier) {
        self.value(tag::OBJECT_IDENTIFIER, oid.as_bytes());
    }

    pub(crate) fn boolean_true(&mut self) {
        self.value(tag::BOOLEAN, &[0xff]);
    }

    /// A non-negative INTEGER from its big-endian octets, whatever zeros they begin with.
    pub(crate) fn unsigned_integer(&mut self, big_endian: &[u8]) {
        let start = big_endian.iter().position(|octet| *octet != 0).unwrap_or(big_endian.len());
        let significant = &big_endian[start..];
        let sign = usize::from(significant.first().is_none_or(|octet| *octet >= 0x80));
        self.out.push(tag::INTEGER);
        self.length(sign + significant.len());
        if sign == 1 {
            self.out.push(0);
        }
        self.out.extend_from_slice(significant);
    }

    /// A BIT STRING of whole octets.
    pub(crate) fn bit_string(&mut self, octets: &[u8]) {
        self.out.push(tag::BIT_STRING);
        self.length(octets.len() + 1);
        self.out.push(0);
        self.out.extend_from_slice(octets);
    }

    /// A BIT STRING of named bits, trailing zero bits removed (X.690 §11.2.2). Bit 0 is the highest of `bits`.
    pub(crate) fn named_bits(&mut self, bits: u8) {
        if bits == 0 {
            self.value(tag::BIT_STRING, &[0]);
        } else {
            let unused = u8::try_from(bits.trailing_zeros()).unwrap_or(0);
            self.value(tag::BIT_STRING, &[unused, bits]);
        }
    }

    /// A Time: UTCTime until 2049, GeneralizedTime from 2050 on, whole seconds, `Z` (RFC 5280 §4.1.2.5). What lies
    /// outside 1950 to 9999 becomes the nearest second that can be said.
    pub(crate) fn time(&mut self, timestamp: Timestamp) {
        let Calendar { year, month, day, hour, minute, second } =
            Calendar::of(timestamp.clamp(FIRST_SECOND, LAST_SECOND));
        if year < 2050 {
            self.value_of_pairs(tag::UTC_TIME, &[year % 100, month, day, hour, minute, second]);
        } else {
            self.generalized_time(timestamp);
        }
    }

    /// A GeneralizedTime, whatever the year: whole seconds, `Z`. What lies outside 1950 to 9999 becomes the nearest
    /// second within.
    pub(crate) fn generalized_time(&mut self, timestamp: Timestamp) {
        let Calendar { year, month, day, hour, minute, second } =
            Calendar::of(timestamp.clamp(FIRST_SECOND, LAST_SECOND));
        self.value_of_pairs(tag::GENERALIZED_TIME, &[year / 100, year % 100, month, day, hour, minute, second]);
    }

    fn value_of_pairs(&mut self, tag: u8, pairs: &[i64]) {
        self.out.push(tag);
        self.length(pairs.len() * 2 + 1);
        for pair in pairs {
            let pair = u8::try_from(pair % 100).unwrap_or(0);
            self.out.extend_from_slice(&[b'0' + pair / 10, b'0' + pair % 10]);
        }
        self.out.push(b'Z');
    }
}

fn long_form(octets: usize) -> u8 {
    // A length has at most the eight octets of a usize.
    0x80 | u8::try_from(octets).unwrap_or(8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use der::{Decode, Encode};
    use proptest::prelude::*;

    fn written(write: impl FnOnce(&mut Writer)) -> Vec<u8> {
        let mut writer = Writer::with_capacity(0);
        write(&mut writer);
        writer.finish()
    }

    #[test]
    fn lengths_have_their_shortest_form() {
        for (length, header) in [
            (0, &[0x30, 0x00][..]),
            (127, &[0x30, 0x7f]),
            (128, &[0x30, 0x81, 0x80]),
            (255, &[0x30, 0x81, 0xff]),
            (256, &[0x30, 0x82, 0x01, 0x00]),
            (65_536, &[0x30, 0x83, 0x01, 0x00, 0x00]),
        ] {
            let contents = vec![7; length];
            let expected = [header, &contents].concat();
            assert_eq!(written(|writer| writer.sequence(|writer| writer.raw(&contents))), expected);
            assert_eq!(written(|writer| writer.value(0x30, &contents)), expected);
        }
    }

    #[test]
    fn named_bits_end_with_the_last_that_is_set() {
        assert_eq!(written(|writer| writer.named_bits(0x80)), [3, 2, 7, 0x80]);
        assert_eq!(written(|writer| writer.named_bits(0x06)), [3, 2, 1, 0x06]);
        assert_eq!(written(|writer| writer.named_bits(0)), [3, 1, 0]);
    }

    #[test]
    fn generalized_time_begins_with_2050() {
        let last_utc = Timestamp::from_seconds(2_524_607_999);
        assert_eq!(written(|writer| writer.time(last_utc)), b"\x17\x0d491231235959Z");
        let first_generalized = Timestamp::from_seconds(2_524_608_000);
        assert_eq!(written(|writer| writer.time(first_generalized)), b"\x18\x0f20500101000000Z");
        assert_eq!(written(|writer| writer.time(Timestamp::from_millis(i64::MAX))), b"\x18\x0f99991231235959Z");
        assert_eq!(written(|writer| writer.time(Timestamp::from_millis(i64::MIN))), b"\x17\x0d500101000000Z");
    }

    proptest! {
        #[test]
        fn integers_are_those_of_the_strict_reader(octets in proptest::collection::vec(any::<u8>(), 0..40)) {
            let encoded = written(|writer| writer.unsigned_integer(&octets));
            let read = der::asn1::Uint::from_der(&encoded).expect("strict reader accepts it");
            let start = octets.iter().position(|octet| *octet != 0).unwrap_or(octets.len());
            let expected: &[u8] = if start == octets.len() { &[0] } else { &octets[start..] };
            prop_assert_eq!(read.as_bytes(), expected);
            prop_assert_eq!(read.to_der().expect("encodes"), encoded);
        }
    }
}
