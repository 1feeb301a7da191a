//! What the keys of this CA's own certificates sign when they are made: a root, intermediates, the root's CRL.
//!
//! These signatures rest on no order, so no record of the ledger bears them out: a person does. What can be checked is
//! checked all the same, and each result is verified before it is handed out.

use pki::{Certificate, CertificateError, Crl, CrlError, KeyError, Name, SignatureAlgorithm, TbsCertificate, TbsCrl};

use crate::{KeyPair, KeyPairError};

/// Why a ceremony came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CeremonyError {
    /// The key could not sign.
    #[error(transparent)]
    Key(#[from] KeyPairError),
    /// The certificate makes no sense, or its signature algorithm isn't the key's.
    #[error("the certificate: {0}")]
    Certificate(#[from] CertificateError),
    /// The CRL makes no sense, or its signature algorithm isn't the key's.
    #[error("the CRL: {0}")]
    Crl(#[from] CrlError),
    /// The signature doesn't verify.
    #[error("the signature that was made: {0}")]
    Signature(#[from] KeyError),
    /// Something in it belongs to another ceremony.
    #[error("{0}")]
    Refused(&'static str),
}

/// Self-signs a root.
///
/// # Errors
/// A TBSCertificate that isn't a CA's, whose issuer isn't its subject, or that carries another key than this one.
pub fn root(pair: &KeyPair, tbs: &TbsCertificate) -> Result<Certificate, CeremonyError> {
    let certificate = authority(pair, pair.default_signature_algorithm(), tbs)?;
    if certificate.issuer() != certificate.subject() {
        return Err(CeremonyError::Refused("a root's issuer is the root itself, but the names differ"));
    }
    if certificate.public_key() != pair.public_key() {
        return Err(CeremonyError::Refused("a root carries the key that signs it, but this one carries another"));
    }
    Ok(certificate)
}

/// Signs the certificate of a CA below another.
///
/// # Errors
/// A TBSCertificate that isn't a CA's, or that names another issuer than the one whose key signs.
pub fn intermediate(pair: &KeyPair, issuer: &Certificate, tbs: &TbsCertificate) -> Result<Certificate, CeremonyError> {
    if issuer.public_key() != pair.public_key() {
        return Err(CeremonyError::Refused("the key is not that of the issuer's certificate"));
    }
    let certificate = authority(pair, pair.default_signature_algorithm(), tbs)?;
    if certificate.issuer() != issuer.subject() {
        return Err(CeremonyError::Refused("the certificate names another issuer"));
    }
    if certificate.authority_key_identifier() != issuer.key_identifier() {
        return Err(CeremonyError::Refused("its authorityKeyIdentifier is not the issuer's subjectKeyIdentifier"));
    }
    if certificate.public_key() == pair.public_key() {
        return Err(CeremonyError::Refused("an intermediate has a key of its own"));
    }
    Ok(certificate)
}

/// Signs a root's CRL.
///
/// # Errors
/// A CRL that names another issuer than the one whose key signs.
pub fn crl(pair: &KeyPair, issuer: &Name, tbs: &TbsCrl) -> Result<Crl, CeremonyError> {
    let algorithm = pair.default_signature_algorithm();
    let crl = Crl::from_der(&tbs.with_signature(algorithm, &pair.sign(algorithm, tbs.der())?))?;
    crl.verify_signed_by(pair.public_key())?;
    if crl.issuer() != issuer {
        return Err(CeremonyError::Refused("the CRL names another issuer"));
    }
    Ok(crl)
}

fn authority(
    pair: &KeyPair,
    algorithm: SignatureAlgorithm,
    tbs: &TbsCertificate,
) -> Result<Certificate, CeremonyError> {
    let der = tbs.with_signature(algorithm, &pair.sign(algorithm, tbs.der())?);
    let certificate = Certificate::from_der(&der)?;
    certificate.verify_signed_by(pair.public_key())?;
    if !certificate.is_authority() {
        return Err(CeremonyError::Refused("only certificates of CAs are made in a ceremony"));
    }
    Ok(certificate)
}

#[cfg(test)]
mod tests {
    use pki::{Authority, CrlEntry, CrlFields, Reason, Serial, Timestamp, Validity};

    use super::*;
    use crate::KeyAlgorithm;

    const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);

    struct Made<'a> {
        issuer: &'a Name,
        subject: &'a Name,
        key: &'a KeyPair,
        signed_by: &'a KeyPair,
    }

    fn tbs(made: &Made<'_>) -> TbsCertificate {
        let root = made.issuer == made.subject;
        TbsCertificate::authority(&Authority {
            serial: Serial::from_random([7; 16]),
            issuer: made.issuer,
            subject: made.subject,
            signature_algorithm: made.signed_by.default_signature_algorithm(),
            validity: Validity { not_before: NOW, not_after: NOW.plus(std::time::Duration::from_secs(86_400)) },
            public_key: made.key.public_key(),
            authority_key_identifier: (!root).then(|| made.signed_by.public_key().key_identifier()),
            path_length: (!root).then_some(0),
            digital_signature: false,
            extended_key_usage: &[],
            policies: &[],
            ca_issuers_url: None,
            ocsp_url: None,
            crl_url: None,
        })
    }

    fn names() -> (Name, Name) {
        (Name::new().common_name("Example Root"), Name::new().common_name("Example Intermediate"))
    }

    #[test]
    fn a_root_signs_itself_and_an_intermediate() {
        for kind in [KeyAlgorithm::P256, KeyAlgorithm::P384, KeyAlgorithm::Ed25519] {
            let (root_name, name) = names();
            let root_key = KeyPair::generate(kind).unwrap();
            let key = KeyPair::generate(KeyAlgorithm::P256).unwrap();
            let own = Made { issuer: &root_name, subject: &root_name, key: &root_key, signed_by: &root_key };
            let root = root(&root_key, &tbs(&own)).unwrap();
            let below = Made { issuer: &root_name, subject: &name, key: &key, signed_by: &root_key };
            let intermediate = intermediate(&root_key, &root, &tbs(&below)).unwrap();
            assert_eq!(root.verify_signed_by(root.public_key()), Ok(()));
            assert_eq!(intermediate.verify_signed_by(root.public_key()), Ok(()));
            assert_eq!(intermediate.subject(), &name);
        }
    }

    #[test]
    fn a_root_with_another_key_or_issuer_is_refused() {
        let (root_name, name) = names();
        let key = KeyPair::generate(KeyAlgorithm::P256).unwrap();
        let other = KeyPair::generate(KeyAlgorithm::P256).unwrap();
        let foreign_key = Made { issuer: &root_name, subject: &root_name, key: &other, signed_by: &key };
        assert!(matches!(root(&key, &tbs(&foreign_key)), Err(CeremonyError::Refused(_))));
        let foreign_issuer = Made { issuer: &root_name, subject: &name, key: &key, signed_by: &key };
        assert!(matches!(root(&key, &tbs(&foreign_issuer)), Err(CeremonyError::Refused(_))));
    }

    #[test]
    fn an_intermediate_is_signed_by_the_issuer_it_names() {
        let (root_name, name) = names();
        let root_key = KeyPair::generate(KeyAlgorithm::P256).unwrap();
        let other = KeyPair::generate(KeyAlgorithm::P256).unwrap();
        let key = KeyPair::generate(KeyAlgorithm::P256).unwrap();
        let own = Made { issuer: &root_name, subject: &root_name, key: &root_key, signed_by: &root_key };
        let root = root(&root_key, &tbs(&own)).unwrap();
        let good = tbs(&Made { issuer: &root_name, subject: &name, key: &key, signed_by: &root_key });
        assert!(matches!(intermediate(&other, &root, &good), Err(CeremonyError::Refused(_))));
        let foreign = tbs(&Made { issuer: &name, subject: &name, key: &key, signed_by: &root_key });
        assert!(matches!(intermediate(&root_key, &root, &foreign), Err(CeremonyError::Refused(_))));
        let other_identifier = tbs(&Made { issuer: &root_name, subject: &name, key: &key, signed_by: &other });
        assert!(matches!(intermediate(&root_key, &root, &other_identifier), Err(CeremonyError::Refused(_))));
        let same_key = tbs(&Made { issuer: &root_name, subject: &name, key: &root_key, signed_by: &root_key });
        assert!(matches!(intermediate(&root_key, &root, &same_key), Err(CeremonyError::Refused(_))));
    }

    #[test]
    fn an_algorithm_that_is_not_the_keys_is_refused() {
        let (root_name, _) = names();
        let key = KeyPair::generate(KeyAlgorithm::P256).unwrap();
        let other = KeyPair::generate(KeyAlgorithm::P384).unwrap();
        let made = Made { issuer: &root_name, subject: &root_name, key: &key, signed_by: &other };
        assert_eq!(
            root(&key, &tbs(&made)).unwrap_err(),
            CeremonyError::Certificate(CertificateError::SignatureAlgorithm)
        );
    }

    #[test]
    fn a_root_signs_its_crl() {
        let (root_name, name) = names();
        let key = KeyPair::generate(KeyAlgorithm::P256).unwrap();
        let tbs = TbsCrl::build(
            &CrlFields {
                issuer: &root_name,
                issuer_key_identifier: key.public_key().key_identifier(),
                signature_algorithm: key.default_signature_algorithm(),
                number: 3,
                this_update: NOW,
                next_update: NOW.plus(std::time::Duration::from_secs(86_400)),
                distribution_point: None,
            },
            &[CrlEntry { serial: Serial::from_random([9; 16]), revoked_at: NOW, reason: Reason::CaCompromise }],
        );
        let signed = crl(&key, &root_name, &tbs).unwrap();
        assert_eq!((signed.number(), signed.entries().len()), (3, 1));
        assert!(matches!(crl(&key, &name, &tbs), Err(CeremonyError::Refused(_))));
    }
}
