//! A TLS server for tls-alpn-01 (RFC 8737): one for all cases, since each has a name of its own.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::{default_provider, sign::any_supported_type};
use rustls::server::{Acceptor, ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::LazyConfigAcceptor;

/// The protocol that the validation speaks.
pub(crate) const ACME_TLS: &[u8] = b"acme-tls/1";

/// The server, until the process ends.
#[derive(Clone)]
pub(crate) struct TlsResponder {
    port: u16,
    shown: Arc<Mutex<HashMap<String, Shown>>>,
}

/// What a name shows.
#[derive(Clone, Debug)]
struct Shown {
    key: Arc<CertifiedKey>,
    protocol: Vec<u8>,
}

#[derive(Debug)]
struct Only(Arc<CertifiedKey>);

impl ResolvesServerCert for Only {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

impl TlsResponder {
    /// Listens on this port of loopback, or with 0 on a free one.
    pub(crate) async fn on(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
        let listener =
            listener.unwrap_or_else(|error| panic!("the port {port}, for tls-alpn-01, can't be listened on: {error}"));
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let responder = Self { port, shown: Arc::default() };
        let serving = responder.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let responder = serving.clone();
                tokio::spawn(async move { responder.answer(stream).await });
            }
        });
        responder
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// Shows a certificate to those who ask for a name, in this protocol.
    pub(crate) fn show(&self, name: &str, protocol: &[u8], identity: &Identity) {
        let key = any_supported_type(&identity.key).expect("a key on P-256");
        let key = Arc::new(CertifiedKey::new(vec![identity.certificate.clone()], key));
        let shown = Shown { key, protocol: protocol.to_vec() };
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), shown);
    }

    async fn answer(&self, stream: TcpStream) {
        let Ok(start) = LazyConfigAcceptor::new(Acceptor::default(), stream).await else { return };
        let name = start.client_hello().server_name().unwrap_or_default().to_lowercase();
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner).get(&name).cloned();
        let Some(shown) = shown else { return };
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider knows TLS 1.2 and 1.3")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Only(shown.key)));
        config.alpn_protocols = vec![shown.protocol];
        // The other side closes it when it has seen enough.
        if let Ok(mut stream) = start.into_stream(Arc::new(config)).await {
            let _closed = tokio::io::AsyncReadExt::read(&mut stream, &mut [0; 16]).await;
        }
    }
}

/// A certificate with its key.
pub(crate) struct Identity {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    /// A self-signed one by OpenSSL, with this subjectAltName and this id-pe-acmeIdentifier, both as OpenSSL writes
    /// extensions.
    pub(crate) async fn new(names: &str, acme_identifier: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let (key, certificate) = (folder.path().join("key.pem"), folder.path().join("certificate.pem"));
        let status = tokio::process::Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "7"])
            .args(["-subj", "/CN=challenge", "-addext", &format!("subjectAltName={names}")])
            .args(["-addext", &format!("1.3.6.1.5.5.7.1.31={acme_identifier}"), "-keyout"])
            .arg(&key)
            .arg("-out")
            .arg(&certificate)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .await;
        assert!(status.is_ok_and(|status| status.success()), "openssl makes no certificate for {names}");
        Self {
            certificate: CertificateDer::from_pem_file(certificate).expect("openssl made it"),
            key: PrivateKeyDer::from_pem_file(key).expect("openssl made it"),
        }
    }
}
