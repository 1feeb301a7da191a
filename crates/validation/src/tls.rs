//! TLS towards targets whose certificates nobody vouches for: that is what validation is there to change.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use acme::ProblemType;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature_with_raw_key};
use rustls::{AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer, UnixTime};
use tokio_rustls::TlsConnector;

use crate::addresses::Host;
use crate::challenge_certificate::Leaf;
use crate::evidence::Evidence;
use crate::shortfall::Shortfall;

/// The protocol of RFC 8737 §6.2.
pub(crate) const ACME_TLS_1: &[u8] = b"acme-tls/1";
const HTTP_1_1: &[u8] = b"http/1.1";

/// For `https` redirects: any certificate, HTTP/1.1.
pub(crate) fn redirect_connector() -> TlsConnector {
    connector(HTTP_1_1, Handshake::Anyone)
}

/// For tls-alpn-01: any certificate, if the server has its key; `acme-tls/1` and nothing else (RFC 8737 §3).
pub(crate) fn challenge_connector() -> TlsConnector {
    connector(ACME_TLS_1, Handshake::KeyHolder)
}

fn connector(protocol: &[u8], handshake: Handshake) -> TlsConnector {
    let provider = Arc::new(CryptoProvider {
        // Small and cheap: nothing secret goes over these connections, and some targets choke on large hellos.
        kx_groups: vec![aws_lc_rs::kx_group::X25519, aws_lc_rs::kx_group::SECP256R1, aws_lc_rs::kx_group::SECP384R1],
        ..aws_lc_rs::default_provider()
    });
    let verifier = Arc::new(Unvouched { provider: Arc::clone(&provider), handshake });
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has suites for TLS 1.2 and 1.3")
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    // A resumed handshake shows no certificate, and says nothing about today.
    config.resumption = Resumption::disabled();
    TlsConnector::from(Arc::new(config))
}

/// The signatures that can be verified.
pub(crate) fn signature_algorithms() -> &'static [&'static dyn SignatureVerificationAlgorithm] {
    aws_lc_rs::default_provider().signature_verification_algorithms.all
}

/// A name for SNI.
pub(crate) fn server_name(name: &str) -> Result<ServerName<'static>, Shortfall> {
    let detail = || format!("{name} can't be sent as the server name of a TLS handshake");
    ServerName::try_from(name.to_owned()).map_err(|_| Shortfall::lasting(ProblemType::Tls, detail()))
}

/// What a failed handshake means.
pub(crate) fn handshake_fault(error: &io::Error, host: &Host, address: SocketAddr, evidence: &Evidence) -> Shortfall {
    evidence.note(format!("TLS handshake with {host} at {address}: {error}"));
    let at = format!("the TLS handshake with {host} at {address}");
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::AlertReceived(AlertDescription::NoApplicationProtocol)) => Shortfall::unauthorized(format!(
            "{at} failed: the server knows none of the application protocols (ALPN) that were offered"
        )),
        Some(reason) => Shortfall::lasting(ProblemType::Tls, format!("{at} failed: {reason}")),
        None if error.kind() == io::ErrorKind::QuotaExceeded => {
            Shortfall::lasting(ProblemType::Tls, format!("{at} failed: the server sent too much"))
        }
        None => {
            let detail = format!("{at} failed: the server ended the connection in its middle");
            Shortfall::passing(ProblemType::Connection, detail)
        }
    }
}

/// Who may be at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Handshake {
    /// Anyone: with any certificate accepted, its key shows nothing.
    Anyone,
    /// The holder of the certificate's key.
    KeyHolder,
}

/// Takes any certificate.
#[derive(Debug)]
struct Unvouched {
    provider: Arc<CryptoProvider>,
    handshake: Handshake,
}

impl ServerCertVerifier for Unvouched {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if self.handshake == Handshake::Anyone {
            return Ok(HandshakeSignatureValid::assertion());
        }
        let leaf = Leaf::parse(certificate).map_err(|_| Error::from(CertificateError::BadEncoding))?;
        let mapping = self.provider.signature_verification_algorithms.mapping;
        let (_, algorithms) = mapping
            .iter()
            .find(|(scheme, _)| *scheme == signature.scheme)
            .ok_or(rustls::PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme)?;
        if leaf.verify(algorithms, message, signature.signature()) {
            Ok(HandshakeSignatureValid::assertion())
        } else {
            Err(CertificateError::BadSignature.into())
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if self.handshake == Handshake::Anyone {
            return Ok(HandshakeSignatureValid::assertion());
        }
        let bad = |_| Error::from(CertificateError::BadEncoding);
        let key = Leaf::parse(certificate).and_then(|leaf| leaf.public_key_der()).map_err(bad)?;
        // By the key alone: rustls's own check of a certificate refuses the critical extension that has to be there.
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature_with_raw_key(message, &SubjectPublicKeyInfoDer::from(key), signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
