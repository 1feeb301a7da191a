//! The encoded fields as they stand in the bytes. What has to be equal byte for byte is compared here and not after
//! a decoder has had its say.

use der::{Decode, Encode, Header, Reader, SliceReader, Tag, TagNumber, Writer};
use x509_cert::ext::Extensions;

/// The octets inside a TLV of this tag that fills `der` to its end.
pub(super) fn content(der: &[u8], tag: Tag) -> der::Result<&[u8]> {
    let mut reader = SliceReader::new(der)?;
    let header = Header::decode(&mut reader)?;
    header.tag().assert_eq(tag)?;
    let content = reader.read_slice(header.length())?;
    reader.finish()?;
    Ok(content)
}

/// Fields of a TBSCertificate (RFC 5280 §4.1), each whole, with tag and length.
pub(super) struct TbsFields<'a> {
    pub(super) serial: &'a [u8],
    pub(super) signature: &'a [u8],
    pub(super) issuer: &'a [u8],
    pub(super) public_key: &'a [u8],
}

impl<'a> TbsFields<'a> {
    pub(super) fn of(tbs: &'a [u8]) -> der::Result<Self> {
        let mut reader = SliceReader::new(content(tbs, Tag::Sequence)?)?;
        if Tag::peek(&reader)?.is_context_specific() {
            reader.tlv_bytes()?; // version
        }
        let serial = reader.tlv_bytes()?;
        let signature = reader.tlv_bytes()?;
        let issuer = reader.tlv_bytes()?;
        reader.tlv_bytes()?; // validity
        reader.tlv_bytes()?; // subject
        Ok(Self { serial, signature, issuer, public_key: reader.tlv_bytes()? })
    }
}

/// TBS and outer signature algorithm of a certificate, each whole.
pub(super) fn signed(certificate: &[u8]) -> der::Result<(&[u8], &[u8])> {
    let mut reader = SliceReader::new(content(certificate, Tag::Sequence)?)?;
    Ok((reader.tlv_bytes()?, reader.tlv_bytes()?))
}

/// The tag of the extensions in a TBSCertList.
pub(super) const CRL_EXTENSIONS: Tag = Tag::ContextSpecific { constructed: true, number: TagNumber(0) };

/// The extensions of a TBSCertList, its other fields passed over.
pub(super) fn crl_extensions(tbs: &[u8]) -> der::Result<Extensions> {
    let mut reader = SliceReader::new(content(tbs, Tag::Sequence)?)?;
    while !reader.is_finished() {
        let tag = Tag::peek(&reader)?;
        let field = reader.tlv_bytes()?;
        if tag == CRL_EXTENSIONS {
            return Extensions::from_der(content(field, tag)?);
        }
    }
    Ok(Extensions::new())
}

/// Whether the canonical encoding of a decoded value is what it was decoded from. Nothing is written down for it.
pub(super) fn is_encoding_of<T: Encode>(value: &T, encoded: &[u8]) -> bool {
    let mut comparison = Comparison { rest: encoded };
    value.encode(&mut comparison).is_ok() && comparison.rest.is_empty()
}

struct Comparison<'a> {
    rest: &'a [u8],
}

impl Writer for Comparison<'_> {
    fn write(&mut self, octets: &[u8]) -> der::Result<()> {
        let Some(rest) = self.rest.strip_prefix(octets) else {
            return Err(der::ErrorKind::Failed.into());
        };
        self.rest = rest;
        Ok(())
    }
}
