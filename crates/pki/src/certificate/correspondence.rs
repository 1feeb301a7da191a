//! The bytes of precertificate and final certificate side by side (RFC 6962 §3.2).

use const_oid::ObjectIdentifier;

use crate::oid;
use crate::reader::{Reader, only};
use crate::writer::{Writer, tag};

/// Why a precertificate and a certificate do not belong together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// Not the DER of a TBSCertificate with extensions.
    #[error("the TBSCertificate of the {0} is not DER, or has no extensions")]
    Malformed(&'static str),
    /// No poison, or more than one, or an SCT list beside it.
    #[error("a precertificate has exactly one poison extension and no SCT list; this has {poisons} and {sct_lists}")]
    NotPrecertificate {
        /// How many poison extensions it has.
        poisons: usize,
        /// How many SCT lists it has.
        sct_lists: usize,
    },
    /// No SCT list, or more than one, or a poison beside it.
    #[error("a final certificate has exactly one SCT list and no poison; this has {sct_lists} and {poisons}")]
    NotFinal {
        /// How many SCT lists it has.
        sct_lists: usize,
        /// How many poison extensions it has.
        poisons: usize,
    },
    /// A poison or SCT list that is not encoded as it should be.
    #[error("the {0} extension is not encoded as RFC 6962 §3.1 and §3.3 have it")]
    CtExtension(&'static str),
    /// An SCT list would have been empty (RFC 6962 §3.3 wants one SCT at least).
    #[error("there is no SCT to put in the place of the poison; one at least is needed")]
    NoScts,
    /// An SCT list would have been longer than its length field can say (RFC 6962 §3.3).
    #[error("the list of SCTs has {0} octets; at most 65535 fit")]
    SctsTooLong(usize),
    /// A field before the extensions differs.
    #[error("{0} differs between precertificate and certificate; only poison and SCT list may")]
    Field(&'static str),
    /// Another extension differs, or their order.
    #[error("the extensions differ from number {0} on, poison and SCT list not counted; nothing else may change")]
    Extension(usize),
}

/// The only encoding of a poison: critical, its value NULL (RFC 6962 §3.1).
const POISON: &[u8] = &[0x30, 19, 0x06, 10, 0x2b, 6, 1, 4, 1, 0xd6, 0x79, 2, 4, 3, 0x01, 1, 0xff, 0x04, 2, 0x05, 0];

/// One extension: the contents of its OID, and the whole of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Extension<'a> {
    pub(super) id: &'a [u8],
    pub(super) encoded: &'a [u8],
}

impl Extension<'_> {
    pub(super) fn is_ct(&self) -> bool {
        self.id == oid::CT_POISON.as_bytes() || self.id == oid::SCT_LIST.as_bytes()
    }
}

/// A TBSCertificate cut at its extensions, which are its last field.
pub(super) struct Layout<'a> {
    before_extensions: &'a [u8],
    pub(super) extensions: Vec<Extension<'a>>,
}

impl<'a> Layout<'a> {
    pub(super) fn of(tbs: &'a [u8]) -> Option<Self> {
        let contents = only(tbs, tag::SEQUENCE)?.contents;
        let mut fields = Reader::new(contents);
        let wrapper = loop {
            let field = fields.any()?;
            if field.tag == tag::context_constructed(3) {
                break field;
            }
        };
        fields.finish()?;
        let mut list = Reader::new(only(wrapper.contents, tag::SEQUENCE)?.contents);
        let mut extensions = Vec::with_capacity(12);
        while !list.is_empty() {
            let extension = list.expect(tag::SEQUENCE)?;
            let id = Reader::new(extension.contents).expect(tag::OBJECT_IDENTIFIER)?.contents;
            extensions.push(Extension { id, encoded: extension.encoded });
        }
        let before_extensions = &contents[..contents.len() - wrapper.encoded.len()];
        Some(Self { before_extensions, extensions })
    }

    /// The TBSCertificate with these extensions instead of its own.
    pub(super) fn rebuilt<'b>(&self, extensions: impl Iterator<Item = &'b Extension<'b>>) -> Vec<u8> {
        let mut extensions = extensions.peekable();
        let mut writer = Writer::with_capacity(self.before_extensions.len() + 1_024);
        writer.sequence(|writer| {
            writer.raw(self.before_extensions);
            // An empty SEQUENCE OF Extension is not allowed (RFC 5280 §4.1).
            if extensions.peek().is_some() {
                writer.nested(tag::context_constructed(3), |writer| {
                    writer.sequence(|writer| extensions.for_each(|extension| writer.raw(extension.encoded)));
                });
            }
        });
        writer.finish()
    }

    fn count(&self, id: &ObjectIdentifier) -> usize {
        self.extensions.iter().filter(|extension| extension.id == id.as_bytes()).count()
    }

    /// The TLS-encoded SCT list, if the extension is not critical and two OCTET STRINGs hold it (RFC 6962 §3.3).
    fn sct_list(&self) -> Option<&'a [u8]> {
        let extension = self.extensions.iter().find(|extension| extension.id == oid::SCT_LIST.as_bytes())?;
        let mut fields = Reader::new(only(extension.encoded, tag::SEQUENCE)?.contents);
        fields.expect(tag::OBJECT_IDENTIFIER)?;
        let value = fields.expect(tag::OCTET_STRING)?;
        fields.finish()?;
        Some(only(value.contents, tag::OCTET_STRING)?.contents)
    }

    pub(super) fn check_precertificate(&self) -> Result<(), Mismatch> {
        match (self.count(&oid::CT_POISON), self.count(&oid::SCT_LIST)) {
            (1, 0) => {}
            (poisons, sct_lists) => return Err(Mismatch::NotPrecertificate { poisons, sct_lists }),
        }
        let is_right = self.extensions.iter().any(|extension| extension.encoded == POISON);
        if is_right { Ok(()) } else { Err(Mismatch::CtExtension("poison")) }
    }

    fn check_final(&self) -> Result<(), Mismatch> {
        match (self.count(&oid::SCT_LIST), self.count(&oid::CT_POISON)) {
            (1, 0) => {}
            (sct_lists, poisons) => return Err(Mismatch::NotFinal { sct_lists, poisons }),
        }
        if self.sct_list().is_some() { Ok(()) } else { Err(Mismatch::CtExtension("SCT list")) }
    }
}

/// Whether these two TBSCertificates are the same bytes but for one poison and one SCT list (RFC 6962 §3.2), the
/// order of all other extensions included.
pub fn corresponds(precertificate_tbs: &[u8], final_tbs: &[u8]) -> Result<(), Mismatch> {
    let precertificate = Layout::of(precertificate_tbs).ok_or(Mismatch::Malformed("precertificate"))?;
    let certificate = Layout::of(final_tbs).ok_or(Mismatch::Malformed("final certificate"))?;
    precertificate.check_precertificate()?;
    certificate.check_final()?;
    if precertificate.before_extensions != certificate.before_extensions {
        let field = first_difference(precertificate.before_extensions, certificate.before_extensions);
        return Err(Mismatch::Field(field));
    }
    let of_precertificate = precertificate.extensions.iter().filter(|extension| !extension.is_ct());
    let of_certificate = certificate.extensions.iter().filter(|extension| !extension.is_ct());
    if of_precertificate.clone().eq(of_certificate.clone()) {
        return Ok(());
    }
    let same = of_precertificate.zip(of_certificate).take_while(|(one, other)| one == other).count();
    Err(Mismatch::Extension(same + 1))
}

fn first_difference(one: &[u8], other: &[u8]) -> &'static str {
    const FIELDS: [&str; 7] = [
        "the version",
        "the serial number",
        "the signature algorithm",
        "the issuer",
        "the validity",
        "the subject",
        "the public key",
    ];
    let (mut one, mut other) = (Reader::new(one), Reader::new(other));
    for field in FIELDS {
        if one.any().map(|value| value.encoded) != other.any().map(|value| value.encoded) {
            return field;
        }
    }
    "a unique identifier"
}

/// The TLS-encoded SCT list of a TBSCertificate.
pub(super) fn sct_list_value(tbs: &[u8]) -> Option<&[u8]> {
    Layout::of(tbs)?.sct_list()
}
