//! HTTP/1.1 to one server, over TLS or not, with a few kept connections. All of hyper and rustls stays in this file.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use ca::ports::Clock;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use hyper::rt::{Read, Write};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::TlsConnector;
use url::Url;

use crate::EndpointError;

/// Addresses of one host that are tried.
const ADDRESSES_MAX: usize = 4;

/// Header fields of one answer.
const HEADERS_MAX: usize = 64;

/// Octets that are buffered of one answer's head.
const HEAD_OCTETS_MAX: usize = 32 * 1024;

/// Limits on talking to a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpLimits {
    /// For one connection to be made, TLS included.
    pub connect: Duration,
    /// For one request with its answer, a connection for it included.
    pub exchange: Duration,
    /// Connections at a time, to each log.
    pub connections_max: usize,
    /// A connection that was idle for longer isn't used again.
    pub idle: Duration,
    /// Octets of an answer's body.
    pub body_octets_max: usize,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            exchange: Duration::from_secs(20),
            connections_max: 32,
            idle: Duration::from_secs(30),
            body_octets_max: 64 * 1024,
        }
    }
}

/// Why there is nothing to verify a log's TLS certificate with.
#[derive(Debug, thiserror::Error)]
pub enum TlsTrustError {
    /// The file can't be read.
    #[error("the root certificates in {path} can't be read: {reason}")]
    Unreadable {
        /// Which.
        path: String,
        /// Why.
        reason: String,
    },
    /// No usable certificate in it.
    #[error("there is no usable root certificate in {0}")]
    Empty(String),
    /// The TLS library refused.
    #[error("TLS can't be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// The root certificates that logs' TLS certificates are verified with.
#[derive(Clone)]
pub struct TlsTrust {
    config: Arc<ClientConfig>,
}

impl std::fmt::Debug for TlsTrust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsTrust")
    }
}

impl TlsTrust {
    /// Where Debian and its kin keep the system's roots.
    pub const SYSTEM_ROOTS: &'static str = "/etc/ssl/certs/ca-certificates.crt";

    /// Roots from a file of PEM certificates. Those that the TLS library can't use are left out.
    ///
    /// # Errors
    /// A file that can't be read, or without a usable certificate.
    pub fn from_pem_file(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, TlsTrustError> {
        let name = || path.display().to_string();
        let unreadable = |reason: String| TlsTrustError::Unreadable { path: name(), reason };
        let file = CertificateDer::pem_file_iter(path).map_err(|error| unreadable(error.to_string()))?;
        let roots: Vec<_> = file.collect::<Result<_, _>>().map_err(|error| unreadable(error.to_string()))?;
        Self::new(roots, &name(), clock)
    }

    /// These roots, in DER, and no others.
    ///
    /// # Errors
    /// No usable certificate among them.
    pub fn from_der(roots: &[Vec<u8>], clock: Arc<dyn Clock>) -> Result<Self, TlsTrustError> {
        Self::new(roots.iter().cloned().map(CertificateDer::from).collect(), "the configuration", clock)
    }

    /// What a TLS connection that is to be verified with them is made with.
    pub fn client_config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.config)
    }

    fn new(roots: Vec<CertificateDer<'static>>, from: &str, clock: Arc<dyn Clock>) -> Result<Self, TlsTrustError> {
        let mut store = RootCertStore::empty();
        let (usable, _) = store.add_parsable_certificates(roots);
        if usable == 0 {
            return Err(TlsTrustError::Empty(from.to_owned()));
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_details(provider, Arc::new(TlsClock(clock)))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(store)
            .with_no_client_auth();
        Ok(Self { config: Arc::new(config) })
    }
}

/// TLS reads the time from the port too.
#[derive(Debug)]
struct TlsClock(Arc<dyn Clock>);

impl TimeProvider for TlsClock {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.0.now().seconds()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

/// Why an address is none of a log's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{url:?} is no log's address: {reason}")]
pub struct AddressError {
    pub(crate) url: String,
    pub(crate) reason: String,
}

/// The server of one log.
pub(crate) struct Server {
    host: String,
    port: u16,
    /// The path in front of `ct/v1/…`: it begins and ends with a slash.
    path: String,
    authority: HeaderValue,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    clock: Arc<dyn Clock>,
    limits: HttpLimits,
    idle: Mutex<Vec<Idle>>,
    permits: Semaphore,
}

type Connection = SendRequest<Full<Bytes>>;

struct Idle {
    connection: Connection,
    since: Duration,
}

impl Server {
    /// For this base URL. `trust` is needed for `https://` alone.
    pub(crate) fn new(
        url: &str,
        trust: Option<&TlsTrust>,
        clock: Arc<dyn Clock>,
        limits: HttpLimits,
    ) -> Result<Self, AddressError> {
        let wrong = |reason: &str| AddressError { url: url.to_owned(), reason: reason.to_owned() };
        let parsed = Url::parse(url).map_err(|error| wrong(&error.to_string()))?;
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err(wrong("it carries a user name or password"));
        }
        if parsed.query().is_some() || parsed.fragment().is_some() {
            return Err(wrong("it has a query or a fragment"));
        }
        // Url writes IPv6 addresses in brackets, which resolvers and TLS don't want.
        let shown = parsed.host_str().ok_or_else(|| wrong("it names no host"))?;
        let host = shown.trim_start_matches('[').trim_end_matches(']').to_owned();
        let tls = match parsed.scheme() {
            "http" => None,
            "https" => {
                let trust = trust.ok_or_else(|| wrong("https needs root certificates"))?;
                let name = ServerName::try_from(host.clone()).map_err(|error| wrong(&error.to_string()))?;
                Some((TlsConnector::from(Arc::clone(&trust.config)), name))
            }
            _ => return Err(wrong("it begins with neither https:// nor http://")),
        };
        let port = parsed.port_or_known_default().ok_or_else(|| wrong("it names no port"))?;
        let authority = parsed.port().map_or_else(|| shown.to_owned(), |port| format!("{shown}:{port}"));
        let authority = HeaderValue::from_str(&authority).map_err(|error| wrong(&error.to_string()))?;
        let mut path = parsed.path().to_owned();
        if !path.ends_with('/') {
            path.push('/');
        }
        let permits = Semaphore::new(limits.connections_max.max(1));
        Ok(Self { host, port, path, authority, tls, clock, limits, idle: Mutex::default(), permits })
    }

    /// GET of a path below the base URL.
    pub(crate) async fn get(&self, path: &str) -> Result<Bytes, EndpointError> {
        self.exchange(Method::GET, path, Bytes::new()).await
    }

    /// POST of JSON.
    pub(crate) async fn post(&self, path: &str, json: Vec<u8>) -> Result<Bytes, EndpointError> {
        self.exchange(Method::POST, path, Bytes::from(json)).await
    }

    async fn exchange(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes, EndpointError> {
        tokio::select! {
            answer = self.exchange_unlimited(method, path, body) => answer,
            () = self.clock.sleep(self.limits.exchange) => Err(EndpointError::TooSlow(self.limits.exchange)),
        }
    }

    async fn exchange_unlimited(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes, EndpointError> {
        let _permit = self.permits.acquire().await.map_err(broken)?;
        if let Some(mut connection) = self.reuse() {
            // A kept connection may have been closed by the other side just now, so its failure says nothing: what is
            // asked here can be asked twice.
            if let Ok(response) = self.send(&mut connection, &method, path, &body).await {
                return self.read(connection, response).await;
            }
        }
        let mut connection = self.connect().await?;
        let response = self.send(&mut connection, &method, path, &body).await?;
        self.read(connection, response).await
    }

    fn reuse(&self) -> Option<Connection> {
        let now = self.clock.monotonic();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|one| !one.connection.is_closed() && now.saturating_sub(one.since) <= self.limits.idle);
        idle.pop().map(|one| one.connection)
    }

    fn keep(&self, connection: Connection) {
        let since = self.clock.monotonic();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if !connection.is_closed() && idle.len() < self.limits.connections_max {
            idle.push(Idle { connection, since });
        }
    }

    async fn send(
        &self,
        connection: &mut Connection,
        method: &Method,
        path: &str,
        body: &Bytes,
    ) -> Result<Response<Incoming>, EndpointError> {
        connection.ready().await.map_err(broken)?;
        let mut request = Request::new(Full::new(body.clone()));
        *request.method_mut() = method.clone();
        *request.uri_mut() =
            format!("{}{path}", self.path).parse().map_err(|error: hyper::http::uri::InvalidUri| broken(error))?;
        let headers = request.headers_mut();
        headers.insert(HOST, self.authority.clone());
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("cairn/", env!("CARGO_PKG_VERSION"))));
        if method == Method::POST {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        connection.send_request(request).await.map_err(broken)
    }

    async fn read(&self, connection: Connection, response: Response<Incoming>) -> Result<Bytes, EndpointError> {
        let status = response.status();
        let body =
            Limited::new(response.into_body(), self.limits.body_octets_max).collect().await.map_err(|error| {
                if error.is::<LengthLimitError>() {
                    EndpointError::Answer(format!("it is longer than {} octets", self.limits.body_octets_max))
                } else {
                    EndpointError::Unreachable(format!("the connection broke within the answer: {error}"))
                }
            })?;
        self.keep(connection);
        let body = body.to_bytes();
        // Nothing but 200 is an answer, and no redirect is followed: a log that moves is another log.
        if status != hyper::StatusCode::OK {
            return Err(EndpointError::Status { status: status.as_u16(), said: excerpt(&body) });
        }
        Ok(body)
    }

    async fn connect(&self) -> Result<Connection, EndpointError> {
        let resolving = tokio::net::lookup_host((self.host.as_str(), self.port));
        let addresses: Vec<SocketAddr> = tokio::select! {
            found = resolving => found.map_err(|error| unreachable(&error))?.take(ADDRESSES_MAX).collect(),
            () = self.clock.sleep(self.limits.connect) => {
                return Err(EndpointError::Unreachable(format!("{} can't be resolved in time", self.host)));
            }
        };
        let mut failure = EndpointError::Unreachable(format!("{} has no address", self.host));
        for address in addresses {
            let made = tokio::select! {
                made = self.connect_to(address) => made,
                () = self.clock.sleep(self.limits.connect) => {
                    Err(EndpointError::Unreachable(format!("no connection to {address} in time")))
                }
            };
            match made {
                Ok(connection) => return Ok(connection),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    async fn connect_to(&self, address: SocketAddr) -> Result<Connection, EndpointError> {
        let at = |error: io::Error| EndpointError::Unreachable(format!("{address}: {error}"));
        let stream = TcpStream::connect(address).await.map_err(at)?;
        stream.set_nodelay(true).map_err(at)?;
        match &self.tls {
            None => handshake(TokioIo::new(stream)).await,
            Some((connector, name)) => {
                let stream = connector.connect(name.clone(), stream).await.map_err(at)?;
                handshake(TokioIo::new(stream)).await
            }
        }
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority.to_str().unwrap_or(&self.host), self.path)
    }
}

async fn handshake<S>(stream: S) -> Result<Connection, EndpointError>
where
    S: Read + Write + Send + Unpin + 'static,
{
    let (connection, driver) = http1::Builder::new()
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_OCTETS_MAX)
        .handshake(stream)
        .await
        .map_err(broken)?;
    // It ends when the connection is dropped, or when the other side closes it.
    tokio::spawn(async move {
        if let Err(error) = driver.await {
            tracing::debug!(%error, "a connection to a CT log broke");
        }
    });
    Ok(connection)
}

fn unreachable(error: &io::Error) -> EndpointError {
    EndpointError::Unreachable(error.to_string())
}

fn broken(error: impl std::error::Error) -> EndpointError {
    // hyper's own text says little; the cause beneath it says what happened.
    let cause = error.source().map(|cause| format!(" ({cause})")).unwrap_or_default();
    EndpointError::Unreachable(format!("{error}{cause}"))
}

/// The start of a foreign text, fit for a log line.
fn excerpt(body: &[u8]) -> String {
    const CHARACTERS_MAX: usize = 200;
    let text = String::from_utf8_lossy(&body[..body.len().min(4 * CHARACTERS_MAX)]);
    let shown: String =
        text.trim().chars().take(CHARACTERS_MAX).map(|one| if one.is_control() { ' ' } else { one }).collect();
    if shown.is_empty() { "no text".to_owned() } else { shown }
}
