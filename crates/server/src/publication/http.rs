//! HTTP for requests to S3: over our TLS, trusted by the roots that are configured, with times of the `Clock` port.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use ca::ports::Clock;
use ct::TlsTrust;
use futures_util::future::{BoxFuture, FutureExt};
use http::{HeaderValue, Uri, header};
use http_body_util::BodyExt;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse, HttpResponseBody,
    HttpService,
};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tower::Service;

/// For one connection to be made, TLS included.
const CONNECT: Duration = Duration::from_secs(5);
/// From a request to the head of its answer: also a large part of a CRL is sent in it.
const ANSWER: Duration = Duration::from_secs(60);
/// A connection that was idle for longer isn't used again.
const IDLE: Duration = Duration::from_secs(20);
/// Connections that are kept: one request follows the other.
const IDLE_MAX: usize = 2;

/// Makes the clients that requests to S3, and for the keys to sign them with, go through.
#[derive(Debug)]
pub(super) struct Connector {
    dialler: Dialler,
}

impl Connector {
    /// `trust` is needed for `https://` alone.
    pub(super) fn new(trust: Option<&TlsTrust>, clock: Arc<dyn Clock>) -> Self {
        let tls = trust.map(|trust| TlsConnector::from(trust.client_config()));
        Self { dialler: Dialler { tls, clock } }
    }
}

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_MAX)
            .build(self.dialler.clone());
        Ok(HttpClient::new(Requests { client, clock: Arc::clone(&self.dialler.clock) }))
    }
}

#[derive(Debug)]
struct Requests {
    client: Client<Dialler, HttpRequestBody>,
    clock: Arc<dyn Clock>,
}

#[async_trait]
impl HttpService for Requests {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let agent = HeaderValue::from_static(concat!("cairn/", env!("CARGO_PKG_VERSION")));
        request.headers_mut().insert(header::USER_AGENT, agent);
        let answer = tokio::select! {
            answer = self.client.request(request) => answer.map_err(|error| {
                let kind = if error.is_connect() { HttpErrorKind::Connect } else { HttpErrorKind::Interrupted };
                HttpError::new(kind, Broken::by(&error))
            })?,
            () = self.clock.sleep(ANSWER) => {
                let text = format!("no answer within {} s", ANSWER.as_secs());
                return Err(HttpError::new(HttpErrorKind::Timeout, Broken(text)));
            }
        };
        let broken = |error: hyper::Error| HttpError::new(HttpErrorKind::Interrupted, Broken::by(&error));
        Ok(answer.map(|body| HttpResponseBody::new(body.map_err(broken))))
    }
}

/// What happened to a connection, in one line: the causes that others' errors have beneath them among it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Broken(String);

impl Broken {
    fn by(error: &dyn Error) -> Self {
        let mut deepest = error;
        while let Some(cause) = deepest.source() {
            deepest = cause;
        }
        Self(deepest.to_string())
    }
}

/// Connects, over TLS where the URL says so.
#[derive(Clone)]
struct Dialler {
    tls: Option<TlsConnector>,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for Dialler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.tls.is_some() { "Dialler(http, https)" } else { "Dialler(http)" })
    }
}

impl Dialler {
    async fn dial(&self, uri: &Uri) -> Result<Stream, Broken> {
        let shown = uri.host().ok_or_else(|| Broken("a URL without a host".to_owned()))?;
        let host = shown.trim_start_matches('[').trim_end_matches(']').to_owned();
        let secure = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let at = |error: io::Error| Broken(format!("{shown}:{port}: {error}"));
        // Names may have several addresses, which are tried in turn.
        let stream = TcpStream::connect((host.as_str(), port)).await.map_err(at)?;
        stream.set_nodelay(true).map_err(at)?;
        if !secure {
            return Ok(Box::new(stream));
        }
        let tls = self.tls.as_ref().ok_or_else(|| Broken(format!("{shown}: https without root certificates")))?;
        let name = ServerName::try_from(host).map_err(|error| Broken(format!("{shown}: {error}")))?;
        Ok(Box::new(tls.connect(name, stream).await.map_err(at)?))
    }
}

impl Service<Uri> for Dialler {
    type Response = TokioIo<Stream>;
    type Error = Broken;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let dialler = self.clone();
        let dialled = async move {
            let late = dialler.clock.sleep(CONNECT);
            tokio::select! {
                stream = dialler.dial(&uri) => Ok(TokioIo::new(stream?)),
                () = late => {
                    let host = uri.authority().map_or("", |authority| authority.as_str());
                    Err(Broken(format!("{host}: no connection within {} s", CONNECT.as_secs())))
                }
            }
        };
        dialled.boxed()
    }
}

/// A connection of either kind.
type Stream = Box<dyn Io>;

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}
