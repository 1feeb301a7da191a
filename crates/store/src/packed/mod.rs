//! Documents as octets: JSON, packed with Zstandard (RFC 8878).
//!
//! Documents of orders and authorizations are small and say nearly the same, so that packed alone they hardly shrink. A
//! dictionary that holds what they have in common takes away two thirds. The first octet says which dictionary, the
//! rest is one frame with its length and a checksum: by hand, `tail -c +2 FILE | zstd -d -D dictionary-1.txt`.
//!
//! A dictionary never changes, since what was packed with it is unpacked with it: a better one is another one, with the
//! next number.

use std::cell::RefCell;
use std::io;

use zstd::bulk::{Compressor, Decompressor};

/// The dictionary's number, in front of each document.
const DICTIONARY: u8 = 1;
const WORDS: &[u8] = include_bytes!("dictionary-1.txt");
/// Higher ones take twice the time for a few octets.
const LEVEL: i32 = 1;
/// The longest document, packed or not: far above what an order with as many names as one can have takes. What a
/// damaged frame claims to hold beyond that gets no memory.
const LENGTH_MAX: usize = 16 << 20;

thread_local! {
    // Each holds the dictionary, digested: that takes longer than a document.
    static PACK: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static UNPACK: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

fn packs() -> io::Result<Compressor<'static>> {
    let mut compressor = Compressor::with_dictionary(LEVEL, WORDS)?;
    compressor.set_parameter(zstd::zstd_safe::CParameter::ChecksumFlag(true))?;
    Ok(compressor)
}

fn kept<T, R>(
    place: &RefCell<Option<T>>,
    make: fn() -> io::Result<T>,
    work: impl FnOnce(&mut T) -> R,
) -> io::Result<R> {
    let mut place = place.borrow_mut();
    let tool = match place.take() {
        Some(tool) => tool,
        None => make()?,
    };
    Ok(work(place.insert(tool)))
}

/// Packs a document.
///
/// # Errors
///
/// The document is longer than 16 MiB, or there is no memory.
pub(crate) fn pack(document: &[u8]) -> io::Result<Vec<u8>> {
    if document.len() > LENGTH_MAX {
        return Err(io::Error::other(format!(
            "a document of {} octets; at most {LENGTH_MAX} are kept",
            document.len()
        )));
    }
    let frame = PACK.with(|place| kept(place, packs, |pack| pack.compress(document)))??;
    let mut packed = Vec::with_capacity(1 + frame.len());
    packed.push(DICTIONARY);
    packed.extend_from_slice(&frame);
    Ok(packed)
}

/// The document that was packed.
///
/// # Errors
///
/// These are not the octets of a packed document, or their checksum is wrong, or the dictionary is one of a later
/// version.
pub(crate) fn unpack(packed: &[u8]) -> io::Result<Vec<u8>> {
    let (number, frame) = packed.split_first().ok_or_else(|| io::Error::other("a packed document of no octets"))?;
    if *number != DICTIONARY {
        let told = format!("a document packed with dictionary {number}; this version has dictionary {DICTIONARY}");
        return Err(io::Error::other(told));
    }
    let make = || Decompressor::with_dictionary(WORDS);
    UNPACK.with(|place| kept(place, make, |unpack| unpack.decompress(frame, LENGTH_MAX)))?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const AUTHORIZATION: &str = concat!(
        r#"{"id":"0b58ba274febe2fd636abf96f435cee9-0","account":"9bc8cec7ab49cf4b08ca9c966ee7d3e4","#,
        r#""identifier":{"type":"dns","value":"www.example.net"},"end":{"end":"valid","expires":1791659419895},"#,
        r#""ended":1789067419895,"challenges":[{"method":"http01","token":"slT_4SGqTyO3rndOXuhS1Q","state":"#,
        r#"{"state":"valid","at":1789067419895}}],"validation":{"method":"http01","began":1789067419775,"#,
        r#""ended":1789067419895,"evidence":["www.example.net: 1 address: 192.0.2.4"],"problem":null},"caa":null}"#,
    );

    proptest! {
        #[test]
        fn what_was_packed_comes_back(document in proptest::collection::vec(any::<u8>(), 0..4000)) {
            prop_assert_eq!(unpack(&pack(&document).unwrap()).unwrap(), document);
        }

        #[test]
        fn changed_octet_is_noticed(at in 0_usize..100, bit in 0_u8..8) {
            let mut packed = pack(AUTHORIZATION.as_bytes()).unwrap();
            let at = at % packed.len();
            packed[at] ^= 1 << bit;
            prop_assert!(unpack(&packed).ok().is_none_or(|found| found == AUTHORIZATION.as_bytes()));
        }

        #[test]
        fn octets_of_any_kind_make_no_longer_document(octets in proptest::collection::vec(any::<u8>(), 0..200)) {
            let framed = [&[DICTIONARY, 0x28, 0xb5, 0x2f, 0xfd], &octets[..]].concat();
            prop_assert!(unpack(&framed).map_or(0, |document| document.len()) <= LENGTH_MAX);
        }
    }

    #[test]
    fn document_beyond_the_limit_is_neither_packed_nor_unpacked() {
        let long = vec![b' '; LENGTH_MAX + 1];
        assert!(pack(&long).unwrap_err().to_string().contains("at most 16777216 are kept"));
        let mut frame = packs().unwrap().compress(&long).unwrap();
        frame.insert(0, DICTIONARY);
        assert!(frame.len() < 10_000, "small on the disk");
        assert!(unpack(&frame).is_err());
        assert_eq!(unpack(&pack(&long[1..]).unwrap()).unwrap().len(), LENGTH_MAX);
    }

    #[test]
    fn documents_take_less_than_half() {
        let packed = pack(AUTHORIZATION.as_bytes()).unwrap();
        assert!(packed.len() * 2 < AUTHORIZATION.len(), "{} of {}", packed.len(), AUTHORIZATION.len());
    }

    #[test]
    fn what_this_version_cannot_read_is_said() {
        let mut packed = pack(b"{}").unwrap();
        packed[0] = 9;
        let told = unpack(&packed).unwrap_err().to_string();
        assert_eq!(told, "a document packed with dictionary 9; this version has dictionary 1");
        assert!(unpack(&[]).is_err());
        assert!(unpack(&packed[..3]).is_err());
    }

    /// By the command `zstd`, as the module says; and the dictionary's text is part of the store's format.
    #[test]
    fn what_was_packed_elsewhere_is_unpacked() {
        let frame = b"28b52ffd244ea50000107d7d054000410c4b6ba0fe2e9b104392060206e33e4d13";
        let mut packed = data_encoding::HEXLOWER.decode(frame).unwrap();
        packed.insert(0, 1);
        let document = r#"{"end":"invalid","problem":{"type":"urn:ietf:params:acme:error:unauthorized"}}"#;
        assert_eq!(unpack(&packed).unwrap(), document.as_bytes());
        assert_eq!(
            pki::Sha256::of(WORDS).to_string(),
            "5326b651444278a53ff4de79fe61bf685876577d57da98965dbba3617db6e063"
        );
    }
}
