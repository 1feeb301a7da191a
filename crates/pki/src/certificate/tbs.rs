//! The exact bytes that are signed.

use std::net::IpAddr;

use const_oid::ObjectIdentifier;

use super::correspondence::{Extension, Layout, sct_list_value};
use super::parsed::read_tbs;
use super::{Authority, CertificateError, Ct, KeyUsage, Leaf, Mismatch, Purpose, Validity};
use crate::name::write_attribute;
use crate::ocsp::Responder;
use crate::sct::sct_list_length;
use crate::writer::{Writer, tag};
use crate::{GeneralName, KeyKind, Sct, Serial, SignatureAlgorithm, encode_sct_list, oid};

/// A TBSCertificate: its exact bytes (RFC 5280 §4.1.2).
#[derive(Clone, PartialEq, Eq)]
pub struct TbsCertificate {
    der: Vec<u8>,
    serial: Serial,
}

/// Octets that a usual TBSCertificate needs, so that the buffer is made once.
const USUAL_OCTETS: usize = 1_536;

/// Bits of keyUsage (RFC 5280 §4.2.1.3), bit 0 being the highest.
const DIGITAL_SIGNATURE: u8 = 0x80;
const KEY_ENCIPHERMENT: u8 = 0x20;
const KEY_CERT_SIGN: u8 = 0x04;
const CRL_SIGN: u8 = 0x02;

impl TbsCertificate {
    /// Of a leaf. Extensions in the order keyUsage, extendedKeyUsage, subjectKeyIdentifier, authorityKeyIdentifier,
    /// authorityInfoAccess, subjectAltName, certificatePolicies, cRLDistributionPoints, TLS feature, CT.
    /// No basicConstraints: absent means that it is no CA.
    pub fn leaf(leaf: &Leaf<'_>) -> Self {
        let mut writer = Writer::with_capacity(USUAL_OCTETS);
        writer.sequence(|writer| {
            write_head(writer, leaf.serial, leaf.signature_algorithm, leaf.issuer.der(), &leaf.validity);
            writer.sequence(|writer| {
                if let Some(common_name) = leaf.common_name {
                    write_attribute(writer, &oid::COMMON_NAME, tag::UTF8_STRING, common_name);
                }
            });
            writer.raw(leaf.public_key.spki_der());
            writer.nested(tag::context_constructed(3), |writer| {
                writer.sequence(|writer| write_leaf_extensions(writer, leaf));
            });
        });
        Self { der: writer.finish(), serial: leaf.serial }
    }

    /// Of a CA's certificate.
    pub fn authority(authority: &Authority<'_>) -> Self {
        let mut writer = Writer::with_capacity(USUAL_OCTETS);
        writer.sequence(|writer| {
            let Authority { serial, signature_algorithm, issuer, validity, .. } = authority;
            write_head(writer, *serial, *signature_algorithm, issuer.der(), validity);
            writer.raw(authority.subject.der());
            writer.raw(authority.public_key.spki_der());
            writer.nested(tag::context_constructed(3), |writer| {
                writer.sequence(|writer| write_authority_extensions(writer, authority));
            });
        });
        Self { der: writer.finish(), serial: authority.serial }
    }

    /// Of an OCSP responder's certificate.
    pub(crate) fn ocsp_responder(responder: &Responder<'_>) -> Self {
        let mut writer = Writer::with_capacity(USUAL_OCTETS);
        writer.sequence(|writer| {
            let Responder { serial, signature_algorithm, issuer, validity, .. } = responder;
            write_head(writer, *serial, *signature_algorithm, issuer.der(), validity);
            writer.raw(responder.subject.der());
            writer.raw(responder.public_key.spki_der());
            writer.nested(tag::context_constructed(3), |writer| {
                writer.sequence(|writer| {
                    write_extension(writer, &oid::KEY_USAGE, true, |writer| writer.named_bits(DIGITAL_SIGNATURE));
                    write_extension(writer, &oid::EXTENDED_KEY_USAGE, false, |writer| {
                        writer.sequence(|writer| writer.object_identifier(&oid::OCSP_SIGNING));
                    });
                    write_subject_key_identifier(writer, &responder.public_key.key_identifier());
                    write_authority_key_identifier(writer, &responder.issuer_key_identifier);
                    write_extension(writer, &oid::OCSP_NOCHECK, false, |writer| writer.value(tag::NULL, &[]));
                });
            });
        });
        Self { der: writer.finish(), serial: responder.serial }
    }

    /// Reads one, strictly: DER that encodes back to the same bytes, nothing after it.
    pub fn from_der(der: Vec<u8>) -> Result<Self, CertificateError> {
        let serial = read_tbs(&der)?;
        Ok(Self { der, serial })
    }

    /// Of a certificate that a strict reader has accepted.
    pub(super) fn from_checked(der: Vec<u8>, serial: Serial) -> Self {
        Self { der, serial }
    }

    /// The exact bytes.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Its serial number.
    pub fn serial(&self) -> Serial {
        self.serial
    }

    /// The certificate: these bytes, the AlgorithmIdentifier and the signature. `algorithm` has to be the one in
    /// these bytes (RFC 5280 §4.1.1.2).
    pub fn with_signature(&self, algorithm: SignatureAlgorithm, signature: &[u8]) -> Vec<u8> {
        signed(&self.der, algorithm, signature)
    }

    /// What a log signs: these bytes without poison and SCT list, everything else as it is (RFC 6962 §3.2).
    pub fn without_ct(&self) -> Vec<u8> {
        match Layout::of(&self.der) {
            Some(layout) => layout.rebuilt(layout.extensions.iter().filter(|extension| !extension.is_ct())),
            // Without extensions there is nothing to leave out.
            None => self.der.clone(),
        }
    }

    /// The TBSCertificate of the final certificate: the SCT list stands where the poison stood.
    pub fn with_scts(&self, scts: &[Sct]) -> Result<Self, Mismatch> {
        let layout = Layout::of(&self.der).ok_or(Mismatch::Malformed("precertificate"))?;
        layout.check_precertificate()?;
        if scts.is_empty() {
            return Err(Mismatch::NoScts);
        }
        let length = sct_list_length(scts);
        if length > usize::from(u16::MAX) {
            return Err(Mismatch::SctsTooLong(length));
        }
        let mut writer = Writer::with_capacity(scts.len() * 128);
        write_sct_list(&mut writer, scts);
        let list = writer.finish();
        let replaced = layout.extensions.iter().map(|extension| {
            if extension.id == oid::CT_POISON.as_bytes() {
                Extension { id: oid::SCT_LIST.as_bytes(), encoded: &list }
            } else {
                *extension
            }
        });
        let der = layout.rebuilt(replaced.collect::<Vec<_>>().iter());
        Ok(Self { der, serial: self.serial })
    }

    /// The value of the SCT list extension, if there is one: the TLS-encoded list (RFC 6962 §3.3).
    pub fn sct_list(&self) -> Option<&[u8]> {
        sct_list_value(&self.der)
    }
}

impl std::fmt::Debug for TbsCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TbsCertificate({}, {} octets)", self.serial, self.der.len())
    }
}

/// SEQUENCE { tbs, AlgorithmIdentifier, BIT STRING }: a certificate or a CRL.
pub(crate) fn signed(tbs: &[u8], algorithm: SignatureAlgorithm, signature: &[u8]) -> Vec<u8> {
    let mut writer = Writer::with_capacity(tbs.len() + signature.len() + 32);
    writer.sequence(|writer| {
        writer.raw(tbs);
        writer.raw(algorithm.algorithm_identifier_der());
        writer.bit_string(signature);
    });
    writer.finish()
}

/// Version 3, serial, signature algorithm, issuer, validity.
fn write_head(writer: &mut Writer, serial: Serial, algorithm: SignatureAlgorithm, issuer: &[u8], validity: &Validity) {
    writer.raw(&[tag::context_constructed(0), 3, tag::INTEGER, 1, 2]);
    writer.value(tag::INTEGER, serial.as_bytes());
    writer.raw(algorithm.algorithm_identifier_der());
    writer.raw(issuer);
    writer.sequence(|writer| {
        writer.time(validity.not_before);
        writer.time(validity.not_after);
    });
}

fn write_leaf_extensions(writer: &mut Writer, leaf: &Leaf<'_>) {
    let encipherment =
        leaf.key_usage == KeyUsage::KeyEncipherment && matches!(leaf.public_key.kind(), KeyKind::Rsa { .. });
    let key_usage = DIGITAL_SIGNATURE | if encipherment { KEY_ENCIPHERMENT } else { 0 };
    write_extension(writer, &oid::KEY_USAGE, true, |writer| writer.named_bits(key_usage));
    write_purposes(writer, leaf.extended_key_usage);
    if leaf.subject_key_identifier {
        write_subject_key_identifier(writer, &leaf.public_key.key_identifier());
    }
    write_authority_key_identifier(writer, &leaf.issuer_key_identifier);
    write_information_access(writer, leaf.ocsp_url, leaf.ca_issuers_url);
    write_extension(writer, &oid::SUBJECT_ALT_NAME, leaf.common_name.is_none(), |writer| {
        writer.sequence(|writer| leaf.names.iter().for_each(|name| write_general_name(writer, name)));
    });
    write_policies(writer, leaf.policies);
    write_crl_distribution_point(writer, leaf.crl_url);
    if leaf.must_staple {
        const STATUS_REQUEST: u8 = 5;
        write_extension(writer, &oid::TLS_FEATURE, false, |writer| {
            writer.sequence(|writer| writer.unsigned_integer(&[STATUS_REQUEST]));
        });
    }
    match leaf.ct {
        Ct::None => {}
        Ct::Poison => write_extension(writer, &oid::CT_POISON, true, |writer| writer.value(tag::NULL, &[])),
        Ct::Scts(scts) => write_sct_list(writer, scts),
    }
}

fn write_authority_extensions(writer: &mut Writer, authority: &Authority<'_>) {
    write_extension(writer, &oid::BASIC_CONSTRAINTS, true, |writer| {
        writer.sequence(|writer| {
            writer.boolean_true();
            if let Some(path_length) = authority.path_length {
                writer.unsigned_integer(&[path_length]);
            }
        });
    });
    let signing = if authority.digital_signature { DIGITAL_SIGNATURE } else { 0 };
    write_extension(writer, &oid::KEY_USAGE, true, |writer| {
        writer.named_bits(signing | KEY_CERT_SIGN | CRL_SIGN);
    });
    write_purposes(writer, authority.extended_key_usage);
    write_subject_key_identifier(writer, &authority.public_key.key_identifier());
    if let Some(identifier) = &authority.authority_key_identifier {
        write_authority_key_identifier(writer, identifier);
    }
    write_information_access(writer, authority.ocsp_url, authority.ca_issuers_url);
    write_policies(writer, authority.policies);
    write_crl_distribution_point(writer, authority.crl_url);
}

pub(crate) fn write_extension(
    writer: &mut Writer,
    id: &ObjectIdentifier,
    critical: bool,
    value: impl FnOnce(&mut Writer),
) {
    writer.sequence(|writer| {
        writer.object_identifier(id);
        // FALSE is the DEFAULT, which DER does not encode.
        if critical {
            writer.boolean_true();
        }
        writer.nested(tag::OCTET_STRING, value);
    });
}

fn write_purposes(writer: &mut Writer, purposes: &[Purpose]) {
    if !purposes.is_empty() {
        write_extension(writer, &oid::EXTENDED_KEY_USAGE, false, |writer| {
            writer.sequence(|writer| purposes.iter().for_each(|purpose| writer.object_identifier(&purpose.oid())));
        });
    }
}

fn write_subject_key_identifier(writer: &mut Writer, identifier: &[u8]) {
    write_extension(writer, &oid::SUBJECT_KEY_IDENTIFIER, false, |writer| {
        writer.value(tag::OCTET_STRING, identifier);
    });
}

pub(crate) fn write_authority_key_identifier(writer: &mut Writer, identifier: &[u8]) {
    write_extension(writer, &oid::AUTHORITY_KEY_IDENTIFIER, false, |writer| {
        writer.sequence(|writer| writer.value(tag::context(0), identifier));
    });
}

fn write_information_access(writer: &mut Writer, ocsp: Option<&str>, ca_issuers: Option<&str>) {
    if ocsp.is_none() && ca_issuers.is_none() {
        return;
    }
    write_extension(writer, &oid::AUTHORITY_INFORMATION_ACCESS, false, |writer| {
        writer.sequence(|writer| {
            for (method, url) in [(oid::ACCESS_OCSP, ocsp), (oid::ACCESS_CA_ISSUERS, ca_issuers)] {
                if let Some(url) = url {
                    writer.sequence(|writer| {
                        writer.object_identifier(&method);
                        write_uri(writer, url);
                    });
                }
            }
        });
    });
}

fn write_policies(writer: &mut Writer, policies: &[ObjectIdentifier]) {
    if !policies.is_empty() {
        write_extension(writer, &oid::CERTIFICATE_POLICIES, false, |writer| {
            writer.sequence(|writer| {
                policies.iter().for_each(|policy| writer.sequence(|writer| writer.object_identifier(policy)));
            });
        });
    }
}

fn write_crl_distribution_point(writer: &mut Writer, url: Option<&str>) {
    if let Some(url) = url {
        write_extension(writer, &oid::CRL_DISTRIBUTION_POINTS, false, |writer| {
            writer.sequence(|writer| writer.sequence(|writer| write_distribution_point_name(writer, url)));
        });
    }
}

/// `distributionPoint [0] { fullName [0] { uniformResourceIdentifier [6] } }`, as in a certificate and in a CRL.
pub(crate) fn write_distribution_point_name(writer: &mut Writer, url: &str) {
    writer.nested(tag::context_constructed(0), |writer| {
        writer.nested(tag::context_constructed(0), |writer| write_uri(writer, url));
    });
}

fn write_uri(writer: &mut Writer, url: &str) {
    writer.value(tag::context(6), url.as_bytes());
}

pub(crate) fn write_general_name(writer: &mut Writer, name: &GeneralName) {
    match name {
        GeneralName::Dns(name) => writer.value(tag::context(2), name.as_bytes()),
        GeneralName::Ip(IpAddr::V4(address)) => writer.value(tag::context(7), &address.octets()),
        GeneralName::Ip(IpAddr::V6(address)) => writer.value(tag::context(7), &address.octets()),
    }
}

fn write_sct_list(writer: &mut Writer, scts: &[Sct]) {
    // RFC 6962 §3.3: an OCTET STRING within the extension's own.
    write_extension(writer, &oid::SCT_LIST, false, |writer| {
        writer.value(tag::OCTET_STRING, &encode_sct_list(scts));
    });
}
