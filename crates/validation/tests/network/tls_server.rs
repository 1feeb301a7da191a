//! A TLS server on loopback that shows whatever certificate it is given.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::{self, sign};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::certificate::Identity;

/// The server; ends with the runtime of its test.
pub(crate) struct TlsServer {
    pub(crate) address: SocketAddr,
    seen: Arc<Seen>,
}

/// What clients said.
#[derive(Debug, Default)]
struct Seen {
    names: Mutex<Vec<String>>,
    protocols: Mutex<Vec<Vec<Vec<u8>>>>,
    /// Octets of application data.
    data: Mutex<Vec<u8>>,
}

#[derive(Debug)]
struct Shows {
    key: Arc<CertifiedKey>,
    seen: Arc<Seen>,
}

impl ResolvesServerCert for Shows {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.seen.names.lock().unwrap().push(hello.server_name().unwrap_or("none").to_owned());
        let protocols = hello.alpn().map(|protocols| protocols.map(<[u8]>::to_vec).collect()).unwrap_or_default();
        self.seen.protocols.lock().unwrap().push(protocols);
        Some(Arc::clone(&self.key))
    }
}

impl TlsServer {
    /// Speaks these application protocols; answers the first data of a client, if there is an answer.
    pub(crate) async fn start(identity: Identity, protocols: &[&[u8]], answer: Option<Vec<u8>>) -> Self {
        Self::with_versions(identity, protocols, answer, rustls::ALL_VERSIONS).await
    }

    pub(crate) async fn with_versions(
        identity: Identity,
        protocols: &[&[u8]],
        answer: Option<Vec<u8>>,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> Self {
        let seen = Arc::new(Seen::default());
        let signing_key = sign::any_supported_type(&PrivateKeyDer::try_from(identity.key).unwrap()).unwrap();
        let key = Arc::new(CertifiedKey::new(vec![CertificateDer::from(identity.certificate)], signing_key));
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Shows { key, seen: Arc::clone(&seen) }));
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                serve(&acceptor, stream, answer.as_deref(), &shared).await;
            }
        });
        Self { address, seen }
    }

    /// The server names of the handshakes.
    pub(crate) fn names(&self) -> Vec<String> {
        self.seen.names.lock().unwrap().clone()
    }

    /// The application protocols offered in each.
    pub(crate) fn protocols(&self) -> Vec<Vec<Vec<u8>>> {
        self.seen.protocols.lock().unwrap().clone()
    }

    /// What was sent after them.
    pub(crate) fn data(&self) -> Vec<u8> {
        self.seen.data.lock().unwrap().clone()
    }
}

async fn serve(acceptor: &TlsAcceptor, stream: TcpStream, answer: Option<&[u8]>, seen: &Seen) {
    // The client may not like what it sees.
    let Ok(mut stream) = acceptor.accept(stream).await else { return };
    let mut buffer = [0; 4096];
    let length = stream.read(&mut buffer).await.unwrap_or(0);
    seen.data.lock().unwrap().extend_from_slice(&buffer[..length]);
    if let Some(answer) = answer {
        let _ = stream.write_all(answer).await;
        let _ = stream.shutdown().await;
    }
}
