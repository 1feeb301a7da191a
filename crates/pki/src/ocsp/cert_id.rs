//! CertID: how a request names a certificate (RFC 6960 §4.1.1).

use aws_lc_rs::digest;

use crate::reader::{Reader, Value};
use crate::writer::{Writer, tag};
use crate::{Certificate, Serial};

/// The digest by which a CertID names the issuer. SHA-1 is a name here, on whose strength nothing rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IdAlgorithm {
    /// SHA-1: what RFC 5019 §2.1.1 wants of clients.
    Sha1,
    /// SHA-256.
    Sha256,
}

impl IdAlgorithm {
    const ALL: [Self; 2] = [Self::Sha1, Self::Sha256];

    /// The contents of its OBJECT IDENTIFIER: id-sha1 (RFC 3279 §2.1), id-sha256 (RFC 4055 §2.1).
    const fn oid(self) -> &'static [u8] {
        match self {
            Self::Sha1 => &[0x2b, 0x0e, 0x03, 0x02, 0x1a],
            Self::Sha256 => &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01],
        }
    }
}

/// How a CertID is written: answers repeat what the request had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdForm {
    /// The digest.
    pub algorithm: IdAlgorithm,
    /// Whether its parameters are NULL, or absent (RFC 4055 §2.1: both are to be accepted).
    pub null_parameters: bool,
}

/// A CertID, as it stands in a request or an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CertId<'a> {
    /// Its exact bytes.
    pub der: &'a [u8],
    /// How it is written; `None`: with a digest that we don't know.
    pub form: Option<IdForm>,
    /// The digest of the issuer's name.
    pub issuer_name_hash: &'a [u8],
    /// The digest of the issuer's key.
    pub issuer_key_hash: &'a [u8],
    /// The serial; `None`: an INTEGER that is no certificate's serial (RFC 5280 §4.1.2.2).
    pub serial: Option<Serial>,
}

impl<'a> CertId<'a> {
    /// `None`: it is no CertID in DER.
    pub(super) fn read(value: Value<'a>) -> Option<Self> {
        let mut fields = Reader::new(value.contents);
        let mut algorithm = Reader::new(fields.expect(tag::SEQUENCE)?.contents);
        let oid = algorithm.expect(tag::OBJECT_IDENTIFIER)?.contents;
        let parameters = if algorithm.is_empty() { None } else { Some(algorithm.any()?) };
        algorithm.finish()?;
        let null_parameters = match parameters {
            None => Some(false),
            Some(value) if value.tag == tag::NULL && value.contents.is_empty() => Some(true),
            Some(_) => None,
        };
        let known = IdAlgorithm::ALL.into_iter().find(|known| known.oid() == oid);
        let issuer_name_hash = fields.expect(tag::OCTET_STRING)?.contents;
        let issuer_key_hash = fields.expect(tag::OCTET_STRING)?.contents;
        let serial = fields.expect(tag::INTEGER)?.contents;
        fields.finish()?;
        // Nine bits that are all the same begin no INTEGER in DER.
        let is_shortest = match serial {
            [] => false,
            [0, second, ..] => *second >= 0x80,
            [0xff, second, ..] => *second < 0x80,
            [..] => true,
        };
        is_shortest.then_some(Self {
            der: value.encoded,
            form: known.zip(null_parameters).map(|(algorithm, null_parameters)| IdForm { algorithm, null_parameters }),
            issuer_name_hash,
            issuer_key_hash,
            serial: Serial::from_der_integer(serial),
        })
    }
}

impl std::fmt::Debug for CertId<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CertId({:?}, {:?})", self.form, self.serial)
    }
}

/// The digests by which CertIDs name an issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerIdentity {
    sha1: (Vec<u8>, Vec<u8>),
    sha256: (Vec<u8>, Vec<u8>),
}

impl IssuerIdentity {
    /// Those of the subject of this certificate.
    pub fn of(issuer: &Certificate) -> Self {
        let hashes = |algorithm: &'static digest::Algorithm| {
            let hash = |octets: &[u8]| digest::digest(algorithm, octets).as_ref().to_vec();
            (hash(issuer.subject().der()), hash(issuer.public_key().key_octets()))
        };
        Self { sha1: hashes(&digest::SHA1_FOR_LEGACY_USE_ONLY), sha256: hashes(&digest::SHA256) }
    }

    const fn hashes(&self, algorithm: IdAlgorithm) -> &(Vec<u8>, Vec<u8>) {
        match algorithm {
            IdAlgorithm::Sha1 => &self.sha1,
            IdAlgorithm::Sha256 => &self.sha256,
        }
    }

    /// Whether this CertID is of one of its certificates: name and key, by a digest that we know.
    pub fn is_named_by(&self, id: &CertId<'_>) -> bool {
        id.form.is_some_and(|form| {
            let (name, key) = self.hashes(form.algorithm);
            name == id.issuer_name_hash && key == id.issuer_key_hash
        })
    }

    /// The CertID of one of its certificates: DER.
    pub fn cert_id(&self, form: IdForm, serial: Serial) -> Vec<u8> {
        let (name, key) = self.hashes(form.algorithm);
        let mut writer = Writer::with_capacity(128);
        writer.sequence(|writer| {
            writer.sequence(|writer| {
                writer.value(tag::OBJECT_IDENTIFIER, form.algorithm.oid());
                if form.null_parameters {
                    writer.value(tag::NULL, &[]);
                }
            });
            writer.value(tag::OCTET_STRING, name);
            writer.value(tag::OCTET_STRING, key);
            writer.value(tag::INTEGER, serial.as_bytes());
        });
        writer.finish()
    }
}
