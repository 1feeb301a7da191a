//! HTTP/1.1 over TLS, one connection that is kept.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// An answer that takes longer never comes: the longest stop of a server is much shorter.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);

/// The way to a listener.
#[derive(Clone)]
pub(crate) struct Door {
    port: u16,
    tls: TlsConnector,
}

impl Door {
    /// A listener on this port of this machine, whose certificate the root in this file vouches for.
    pub(crate) fn new(port: u16, root: &Path) -> Self {
        let mut roots = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_file(root).expect("the root's certificate is there, in PEM");
        roots.add(certificate).expect("the root can be trusted");
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider knows TLS 1.2 and 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self { port, tls: TlsConnector::from(Arc::new(config)) }
    }

    /// A connection through TLS with nothing sent yet, from this address of this machine, for HTTP/2 or HTTP/1.1.
    pub(crate) async fn open(&self, from: Ipv4Addr, http2: bool) -> std::io::Result<TlsStream<TcpStream>> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((from, 0).into())?;
        let stream = socket.connect((Ipv4Addr::LOCALHOST, self.port).into()).await?;
        stream.set_nodelay(true)?;
        let mut config = ClientConfig::clone(self.tls.config());
        config.alpn_protocols = if http2 { vec![b"h2".to_vec()] } else { Vec::new() };
        let tls = TlsConnector::from(Arc::new(config));
        tls.connect(ServerName::try_from("localhost").expect("a plain name"), stream).await
    }

    /// The port of the listener.
    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// The start of the URLs behind it.
    pub(crate) fn base(&self) -> String {
        format!("https://localhost:{}", self.port)
    }
}

/// Why there is no answer. Whoever asked may ask again.
#[derive(Debug)]
pub(crate) struct NoAnswer(#[expect(dead_code, reason = "shown by tests that expect an answer")] String);

impl<E: std::error::Error> From<E> for NoAnswer {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    /// The first header of this name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The URLs of the Link headers with this relation (RFC 8288).
    pub(crate) fn links(&self, relation: &str) -> Vec<&str> {
        let relation = format!(";rel=\"{relation}\"");
        let links = self.headers.get_all("link").iter().filter_map(|link| link.to_str().ok());
        links.filter_map(|link| link.strip_suffix(&relation)?.strip_prefix('<')?.strip_suffix('>')).collect()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the answer is text")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The URL of what was made or asked for.
    pub(crate) fn location(&self) -> String {
        self.header("location").unwrap_or_else(|| panic!("no Location: {self:?}")).to_owned()
    }

    /// The object of a good answer.
    pub(crate) fn object(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("content-type"), Some("application/json"));
        self.json()
    }
}

/// A connection that is made when it is needed.
pub(crate) struct Connection {
    door: Door,
    open: Option<SendRequest<Full<Bytes>>>,
}

impl Connection {
    pub(crate) const fn new(door: Door) -> Self {
        Self { door, open: None }
    }

    /// Sends a request and reads the answer.
    pub(crate) async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Answer, NoAnswer> {
        tokio::time::timeout(ANSWER_TIME_MAX, self.exchange(request)).await?
    }

    async fn exchange(&mut self, mut request: Request<Full<Bytes>>) -> Result<Answer, NoAnswer> {
        // Taken out, so that one that breaks is not used again.
        let mut sender = match self.open.take().filter(|open| !open.is_closed()) {
            Some(open) => open,
            None => self.connect().await?,
        };
        if !request.headers().contains_key("host") {
            let host = format!("localhost:{}", self.door.port);
            request.headers_mut().insert("host", host.parse().expect("a plain host"));
        }
        sender.ready().await?;
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        self.open = Some(sender);
        Ok(Answer { status: head.status, headers: head.headers, body })
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, NoAnswer> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.door.port)).await?;
        stream.set_nodelay(true)?;
        let stream = self.door.tls.connect(ServerName::try_from("localhost")?, stream).await?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // Its error is also that of the request in flight, which reports it.
        tokio::spawn(async move { drop(connection.await) });
        Ok(sender)
    }
}
