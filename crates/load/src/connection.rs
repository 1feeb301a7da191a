//! HTTP/1.1 over TLS with connections that are kept: one worker has one, to each origin that the server names.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::failure::TransportError;

const BODY_OCTETS_MAX: usize = 1 << 20;
/// A server has one origin, or perhaps two behind a proxy.
const ORIGINS_MAX: usize = 4;
const AGENT: &str = concat!("cairn-load/", env!("CARGO_PKG_VERSION"));

/// Host and port of an https URL.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Origin {
    host: String,
    port: u16,
}

impl Origin {
    const HTTPS_PORT: u16 = 443;

    /// Origin and path of an https URL.
    fn of(url: &str) -> Result<(Self, PathAndQuery), TransportError> {
        let refused = |reason: &str| TransportError::Url { url: url.to_owned(), reason: reason.to_owned() };
        let uri: Uri = url.parse().map_err(|error: http::uri::InvalidUri| refused(&error.to_string()))?;
        let parts = uri.into_parts();
        if parts.scheme != Some(http::uri::Scheme::HTTPS) {
            return Err(refused("it must begin with `https://` (RFC 8555 §6.1)"));
        }
        let authority = parts.authority.ok_or_else(|| refused("it has no host"))?;
        let origin = Self {
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(Self::HTTPS_PORT),
        };
        Ok((origin, parts.path_and_query.unwrap_or_else(|| PathAndQuery::from_static("/"))))
    }

    /// The value of the Host header (RFC 9110 §7.2).
    fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == Self::HTTPS_PORT { host } else { format!("{host}:{}", self.port) }
    }
}

/// Says why a text cannot be the URL of a directory.
pub(crate) fn check_url(url: &str) -> Result<String, TransportError> {
    Origin::of(url).map(|_| url.to_owned())
}

/// What is sent.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    /// GET.
    None,
    /// HEAD, for newNonce (RFC 8555 §7.2).
    HeadOnly,
    /// POST of a JWS (RFC 8555 §6.2).
    Jws(Vec<u8>),
}

/// A response, read to its end.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    /// A header as text, if it is there once at least and ASCII.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// How long the server asks to wait (RFC 9110 §10.2.3); a date is more than anybody here will wait.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        let value = self.header(RETRY_AFTER.as_str())?;
        Some(value.trim().parse().map_or(Duration::MAX, Duration::from_secs))
    }

    /// Whether the server says that it waited for a change before it answered (RFC 7240 §3, §4.3).
    pub(crate) fn has_waited(&self) -> bool {
        self.header("preference-applied").is_some_and(|value| value.contains("wait"))
    }
}

/// The open connections of one worker.
pub(crate) struct Connections {
    tls: TlsConnector,
    open: Vec<Open>,
    opened: u64,
}

struct Open {
    origin: Origin,
    host: HeaderValue,
    sender: SendRequest<Full<Bytes>>,
}

impl Connections {
    pub(crate) fn new(config: Arc<ClientConfig>) -> Self {
        Self { tls: TlsConnector::from(config), open: Vec::new(), opened: 0 }
    }

    /// How many connections were made.
    pub(crate) const fn opened(&self) -> u64 {
        self.opened
    }

    /// Drops all connections: a request was given up in the midst of its response.
    pub(crate) fn reset(&mut self) {
        self.open.clear();
    }

    /// Sends a request and reads the response. `prefer` is the value of the Prefer header (RFC 7240).
    ///
    /// # Errors
    /// [`TransportError`]; the connection is dropped then, and the next request makes a new one.
    pub(crate) async fn send(
        &mut self,
        url: &str,
        body: Body,
        prefer: Option<&'static str>,
    ) -> Result<Answer, TransportError> {
        let (origin, path) = Origin::of(url)?;
        // The connection is taken out, so that an error or a request given up cannot leave it half used.
        let mut open = match self.take(&origin) {
            Some(open) => open,
            None => self.connect(origin).await?,
        };
        let request = open.request(path, body, prefer);
        open.sender.ready().await?;
        let (head, incoming) = open.sender.send_request(request).await?.into_parts();
        let body = Limited::new(incoming, BODY_OCTETS_MAX).collect().await.map_err(TransportError::Body)?.to_bytes();
        self.keep(open);
        Ok(Answer { status: head.status, headers: head.headers, body })
    }

    fn take(&mut self, origin: &Origin) -> Option<Open> {
        let at = self.open.iter().position(|open| open.origin == *origin)?;
        let open = self.open.swap_remove(at);
        (!open.sender.is_closed()).then_some(open)
    }

    fn keep(&mut self, open: Open) {
        if self.open.len() >= ORIGINS_MAX {
            self.open.remove(0);
        }
        self.open.push(open);
    }

    async fn connect(&mut self, origin: Origin) -> Result<Open, TransportError> {
        let refused = |reason| TransportError::Connect { origin: origin.authority(), reason };
        let name = ServerName::try_from(origin.host.clone())
            .map_err(|error| refused(std::io::Error::new(std::io::ErrorKind::InvalidInput, error)))?;
        let stream = TcpStream::connect((origin.host.as_str(), origin.port)).await.map_err(refused)?;
        stream.set_nodelay(true).map_err(refused)?;
        let stream = self.tls.connect(name, stream).await.map_err(refused)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // Its error is also that of the request in flight, which reports it.
        tokio::spawn(async move { drop(connection.await) });
        self.opened += 1;
        let host = HeaderValue::try_from(origin.authority())
            .map_err(|error| TransportError::Url { url: origin.authority(), reason: error.to_string() })?;
        Ok(Open { origin, host, sender })
    }
}

impl Open {
    fn request(&self, path: PathAndQuery, body: Body, prefer: Option<&'static str>) -> Request<Full<Bytes>> {
        let (method, content) = match body {
            Body::None => (Method::GET, None),
            Body::HeadOnly => (Method::HEAD, None),
            Body::Jws(jws) => (Method::POST, Some(jws)),
        };
        let signed = content.is_some();
        let mut request = Request::new(Full::new(content.map_or_else(Bytes::new, Bytes::from)));
        *request.method_mut() = method;
        *request.uri_mut() = Uri::from(path);
        let headers = request.headers_mut();
        headers.insert(HOST, self.host.clone());
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        if signed {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/jose+json"));
        }
        if let Some(preference) = prefer {
            headers.insert("prefer", HeaderValue::from_static(preference));
        }
        request
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authority(url: &str) -> String {
        Origin::of(url).unwrap().0.authority()
    }

    #[test]
    fn host_header_names_the_port_unless_it_is_the_default() {
        assert_eq!(authority("https://ca.test/dir"), "ca.test");
        assert_eq!(authority("https://ca.test:443/dir"), "ca.test");
        assert_eq!(authority("https://localhost:14000/dir"), "localhost:14000");
        assert_eq!(authority("https://[::1]:14000/dir"), "[::1]:14000");
    }

    #[test]
    fn only_https_urls_are_taken() {
        assert!(check_url("https://ca.test/dir").is_ok());
        for url in ["http://ca.test/dir", "ca.test", "/dir", "https://", "ftp://ca.test"] {
            assert!(matches!(check_url(url), Err(TransportError::Url { .. })), "{url}");
        }
    }

    #[test]
    fn retry_after_is_read_in_seconds_and_a_date_is_for_ever() {
        let answer = |value| Answer {
            status: StatusCode::OK,
            headers: HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(value))]),
            body: Bytes::new(),
        };
        assert_eq!(answer("3").retry_after(), Some(Duration::from_secs(3)));
        assert_eq!(answer("Sat, 21 Nov 2026 10:00:00 GMT").retry_after(), Some(Duration::MAX));
    }
}
