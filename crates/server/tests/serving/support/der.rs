//! As much DER as certificate requests need that no tool would write (ITU-T X.690).

pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const SEQUENCE: u8 = 0x30;

/// An element with this content.
pub(crate) fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = u16::try_from(content.len()).expect("nothing here is that long");
    let [high, low] = length.to_be_bytes();
    let length = match length {
        0..=0x7f => vec![low],
        0x80..=0xff => vec![0x81, low],
        0x100..=0xffff => vec![0x82, high, low],
    };
    [&[tag], length.as_slice(), &content].concat()
}

/// A number that is not negative, from its octets.
pub(crate) fn unsigned(octets: &[u8]) -> Vec<u8> {
    let sign: &[u8] = if octets.first().is_some_and(|first| *first >= 0x80) { &[0] } else { &[] };
    element(INTEGER, &[sign, octets])
}
