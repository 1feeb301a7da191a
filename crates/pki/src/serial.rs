//! Serial numbers of certificates.

use std::fmt;
use std::str::FromStr;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The first octet of each serial that this CA draws: positive, not zero, and easy to recognise.
const PREFIX: u8 = 0x4c;
/// RFC 5280 §4.1.2.2.
const OCTETS_MAX: usize = 20;

/// A certificate's serial number: positive, at most 20 octets, kept as the contents octets of its DER INTEGER
/// (RFC 5280 §4.1.2.2). Shown and serialized as lower-case hexadecimal; ordered by value.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serial {
    // First, so that the derived order is that of the values: the octets have no superfluous zeros in front.
    length: u8,
    octets: [u8; OCTETS_MAX],
}

/// A text that is no serial number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a serial number is 1 to 20 octets in hexadecimal, more than zero")]
pub struct SerialError;

impl Serial {
    /// A serial of ours: a fixed first octet and 128 random bits, 17 octets in all (BR 7.1 asks for 64 bits).
    pub fn from_random(random: [u8; 16]) -> Self {
        let mut octets = [0; OCTETS_MAX];
        octets[0] = PREFIX;
        octets[1..17].copy_from_slice(&random);
        Self { length: 17, octets }
    }

    /// From the contents octets of a DER INTEGER. `None` if it is not positive, longer than 20 octets, or not the
    /// shortest form.
    pub fn from_der_integer(contents: &[u8]) -> Option<Self> {
        let shortest = match contents {
            [] | [0] => false,
            [0, second, ..] => *second >= 0x80,
            [first, ..] => *first < 0x80,
        };
        if !shortest || contents.len() > OCTETS_MAX {
            return None;
        }
        let mut octets = [0; OCTETS_MAX];
        octets[..contents.len()].copy_from_slice(contents);
        Some(Self { length: u8::try_from(contents.len()).ok()?, octets })
    }

    /// Reads hexadecimal of either case; leading zeros are of no account.
    pub fn parse(text: &str) -> Result<Self, SerialError> {
        let even = if text.len() % 2 == 1 { format!("0{text}") } else { text.to_owned() };
        let decoded = HEXLOWER_PERMISSIVE.decode(even.as_bytes()).map_err(|_| SerialError)?;
        let start = decoded.iter().position(|octet| *octet != 0).ok_or(SerialError)?;
        let mut contents = Vec::with_capacity(decoded.len() + 1);
        if decoded[start] >= 0x80 {
            contents.push(0);
        }
        contents.extend_from_slice(&decoded[start..]);
        Self::from_der_integer(&contents).ok_or(SerialError)
    }

    /// The contents octets of the DER INTEGER, a leading zero octet included where the encoding has one.
    pub fn as_bytes(&self) -> &[u8] {
        &self.octets[..usize::from(self.length)]
    }

    /// The CRL shard of `shards` this serial belongs to: a function of the serial alone, for ever (RFC 5280
    /// §5.2.5). Zero shards count as one.
    pub fn shard(&self, shards: u16) -> u16 {
        let tail = self.as_bytes().iter().rev().take(4).rev().fold(0u32, |value, octet| value << 8 | u32::from(*octet));
        let shard = tail % u32::from(shards.max(1));
        u16::try_from(shard).unwrap_or(0)
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(self.as_bytes()))
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Serial({self})")
    }
}

impl FromStr for Serial {
    type Err = SerialError;

    fn from_str(text: &str) -> Result<Self, SerialError> {
        Self::parse(text)
    }
}

impl Serialize for Serial {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Serial {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn serials_of_ours_have_seventeen_octets_and_are_positive() {
        let serial = Serial::from_random([0xff; 16]);
        assert_eq!(serial.to_string(), format!("4c{}", "ff".repeat(16)));
        assert_eq!(Serial::from_der_integer(serial.as_bytes()), Some(serial));
    }

    #[test]
    fn integers_that_are_no_serials_are_refused() {
        for contents in [&[][..], &[0], &[0x80], &[0, 0x7f], &[1; 21]] {
            assert_eq!(Serial::from_der_integer(contents), None, "{contents:02x?}");
        }
    }

    #[test]
    fn text_without_the_sign_octet_is_the_same_serial() {
        assert_eq!(Serial::parse("8F"), Serial::parse("008f"));
        assert_eq!(Serial::parse("08f").map(|serial| serial.as_bytes().to_vec()), Ok(vec![0, 0x8f]));
        for text in ["", "0", "00", "xy", "-1", &"01".repeat(21)] {
            assert_eq!(Serial::parse(text), Err(SerialError), "{text}");
        }
    }

    #[test]
    fn order_is_that_of_the_values() {
        let serial = |text| Serial::parse(text).unwrap();
        assert!(serial("7f") < serial("80"));
        assert!(serial("ff") < serial("0100"));
    }

    #[test]
    fn shard_stays_where_it_is() {
        let serial = Serial::from_random(*b"sixteen octets..");
        assert_eq!(serial.shard(1), 0);
        assert_eq!(serial.shard(0), 0);
        assert_eq!(serial.shard(128), 0x2e);
    }

    proptest! {
        #[test]
        fn hexadecimal_reads_back(random: [u8; 16]) {
            let serial = Serial::from_random(random);
            prop_assert_eq!(serial.to_string().parse::<Serial>(), Ok(serial));
            prop_assert!(serial.shard(7) < 7);
        }
    }
}
