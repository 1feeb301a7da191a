//! TLS of the ACME and admin listeners: one certificate that can be replaced while connections are open.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// Why a certificate can't be used for TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// TLS itself refuses it.
    #[error("the server's own certificate can't be used for TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// A file of certificate or key.
    #[error("{}: can't be used for TLS: {detail}; name PEM files of a certificate and its key", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
}

/// The certificate that new connections are shown.
#[derive(Debug, Default)]
pub struct OwnCertificate(RwLock<Option<Arc<CertifiedKey>>>);

impl OwnCertificate {
    /// Replaces it; open connections keep theirs.
    ///
    /// # Errors
    /// The key is none, or not the certificate's.
    pub fn replace(&self, chain: Vec<Vec<u8>>, pkcs8: &[u8]) -> Result<(), TlsError> {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pkcs8.to_vec()));
        self.show(chain.into_iter().map(CertificateDer::from).collect(), key)
    }

    /// Shows the certificate of these files from now on.
    ///
    /// # Errors
    /// A file can't be read, is no PEM of a certificate or key, or they don't belong together.
    pub fn read(&self, certificate: &Path, key: &Path) -> Result<(), TlsError> {
        let failed = |path: &Path, detail: String| TlsError::File { path: path.to_owned(), detail };
        let chain = CertificateDer::pem_file_iter(certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| failed(certificate, error.to_string()))?;
        if chain.is_empty() {
            return Err(failed(certificate, "there is no certificate in it".to_owned()));
        }
        let pair = PrivateKeyDer::from_pem_file(key).map_err(|error| failed(key, error.to_string()))?;
        self.show(chain, pair).map_err(|error| failed(key, format!("it is not the key of the certificate: {error}")))
    }

    fn show(&self, chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<(), TlsError> {
        let certified = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(certified));
        Ok(())
    }
}

impl ResolvesServerCert for OwnCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1. The provider's suites are all ephemeral ECDH with an AEAD, and it never
/// renegotiates. Sessions are resumed by tickets whose key changes every 6 hours, so that no peer can fill a memory of
/// sessions; there is no early data, which could be replayed.
///
/// # Errors
/// The provider lacks the protocol versions, or randomness for the tickets' key, which can't be.
pub fn server_config(certificate: Arc<OwnCertificate>) -> Result<Arc<ServerConfig>, TlsError> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
