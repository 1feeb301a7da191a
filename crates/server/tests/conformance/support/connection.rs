//! HTTP/1.1 over TLS, one connection that is kept.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, USER_AGENT};
use http::{HeaderValue, Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::answer::Answer;

const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);
const HTTPS_PORT: u16 = 443;

/// Why there is no answer.
pub(crate) type Broken = Box<dyn std::error::Error + Send + Sync>;

/// What is trusted: the certificates in PEM of a file.
pub(crate) fn trust(pem: &std::path::Path) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(pem).unwrap_or_else(|error| panic!("{}: {error}", pem.display()));
    for certificate in certificates {
        roots.add(certificate.expect("PEM holds certificates")).expect("the certificate can be trusted");
    }
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider knows TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

/// A connection that is made when it is needed.
pub(crate) struct Connection {
    tls: TlsConnector,
    open: Option<(String, SendRequest<Full<Bytes>>)>,
}

impl Connection {
    pub(crate) const fn new(tls: TlsConnector) -> Self {
        Self { tls, open: None }
    }

    /// Sends a request, whose URI is a whole URL, and reads the answer.
    pub(crate) async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Answer, Broken> {
        tokio::time::timeout(ANSWER_TIME_MAX, self.exchange(request)).await?
    }

    async fn exchange(&mut self, mut request: Request<Full<Bytes>>) -> Result<Answer, Broken> {
        let authority = request.uri().authority().ok_or("a URL has an authority")?.to_string();
        // Taken out, so that one that breaks is not used again.
        let open = self.open.take().filter(|(to, open)| *to == authority && !open.is_closed());
        let mut sender = match open {
            Some((_, open)) => open,
            None => self.connect(request.uri()).await?,
        };
        let path = request.uri().path_and_query().map_or("/", http::uri::PathAndQuery::as_str).parse()?;
        *request.uri_mut() = path;
        request.headers_mut().entry(HOST).or_insert(authority.parse()?);
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static("cairn-conformance"));
        sender.ready().await?;
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        self.open = Some((authority, sender));
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
    }

    async fn connect(&self, url: &Uri) -> Result<SendRequest<Full<Bytes>>, Broken> {
        let host = url.host().ok_or("a URL has a host")?;
        let stream = TcpStream::connect((host.trim_matches(['[', ']']), url.port_u16().unwrap_or(HTTPS_PORT))).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())?;
        let stream = self.tls.connect(name, stream).await?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // Its error is also that of the request in flight, which reports it.
        tokio::spawn(async move { drop(connection.await) });
        Ok(sender)
    }
}
