//! One GET over one connection of its own, with limits on everything that comes back.

use std::error::Error;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;

use acme::ProblemType;
use bytes::Bytes;
use futures_util::future::{Either, select};
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::addresses::Host;
use crate::dialler::{Dialled, dial};
use crate::evidence::Evidence;
use crate::redirect::{Scheme, Target};
use crate::settings::Settings;
use crate::shortfall::Shortfall;
use crate::tls;
use crate::validator::NetworkValidator;

const HEADERS_MAX: usize = 100;
/// The least that hyper takes.
const HEADER_OCTETS_MIN: usize = 8 * 1024;
/// Octets beside header and body: interim answers, chunk sizes, what a read takes too much.
const SLACK_OCTETS: usize = 16 * 1024;
/// Octets that a TLS handshake and records may add.
const TLS_OCTETS: usize = 96 * 1024;

/// What came back.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) address: SocketAddr,
    pub(crate) status: StatusCode,
    /// The `Location` header.
    pub(crate) location: Option<Vec<u8>>,
    /// Read for status 200 only.
    pub(crate) body: Body,
}

#[derive(Debug)]
pub(crate) enum Body {
    /// All of it.
    Whole(Vec<u8>),
    /// The beginning of one that is longer than the limit.
    TooLong(Vec<u8>),
}

/// Fetches the target.
pub(crate) async fn fetch(
    validator: &NetworkValidator,
    target: &Target,
    evidence: &Evidence,
) -> Result<Fetched, Shortfall> {
    let settings = validator.settings();
    let octets_max = settings.header_octets_max + settings.body_octets_max + SLACK_OCTETS;
    match target.scheme {
        Scheme::Http => {
            let Dialled { stream, address } = dial(validator, &target.host, target.port, octets_max, evidence).await?;
            exchange(settings, target, stream, address, evidence).await
        }
        Scheme::Https => {
            let octets_max = octets_max + TLS_OCTETS;
            let Dialled { stream, address } = dial(validator, &target.host, target.port, octets_max, evidence).await?;
            evidence.step(ProblemType::Tls, format!("making a TLS handshake with {address}"));
            let name = match &target.host {
                Host::Name(name) => tls::server_name(name)?,
                Host::Address(address) => (*address).into(),
            };
            let handshake = validator.redirect_tls().connect(name, stream).await;
            let stream = handshake.map_err(|error| tls::handshake_fault(&error, &target.host, address, evidence))?;
            exchange(settings, target, stream, address, evidence).await
        }
    }
}

async fn exchange<S>(
    settings: &Settings,
    target: &Target,
    stream: S,
    address: SocketAddr,
    evidence: &Evidence,
) -> Result<Fetched, Shortfall>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    evidence.step(ProblemType::Connection, format!("waiting for the answer of {address} to GET {target}"));
    let fault = |error: &hyper::Error| connection_fault(error, target, address, settings, evidence);
    let request = request(target, settings)?;
    let mut builder = http1::Builder::new();
    builder
        .max_headers(HEADERS_MAX)
        .max_header_size(settings.header_octets_max)
        .max_buf_size(settings.header_octets_max.max(HEADER_OCTETS_MIN));
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(|error| fault(&error))?;
    let receive = async {
        let response = sender.send_request(request).await.map_err(|error| fault(&error))?;
        let (status, location) = head(&response);
        evidence.note(format!("GET {target}: {address} answered {status}"));
        let body = match status {
            StatusCode::OK => body(response, settings.body_octets_max).await.map_err(|error| fault(&error))?,
            _ => Body::Whole(Vec::new()),
        };
        Ok(Fetched { address, status, location, body })
    };
    drive(connection, receive).await
}

/// Polls the connection as long as it lives; what it received before it ended can still be read.
async fn drive<T>(connection: impl Future<Output = hyper::Result<()>>, receive: impl Future<Output = T>) -> T {
    match select(pin!(receive), pin!(connection)).await {
        Either::Left((received, _)) => received,
        Either::Right((_, receive)) => receive.await,
    }
}

fn request(target: &Target, settings: &Settings) -> Result<Request<Empty<Bytes>>, Shortfall> {
    Request::get(&target.path_and_query)
        .header(header::HOST, target.authority())
        .header(header::USER_AGENT, &settings.user_agent)
        .header(header::ACCEPT, "*/*")
        .header(header::ACCEPT_ENCODING, "identity")
        .header(header::CONNECTION, "close")
        .body(Empty::new())
        .map_err(|_| Shortfall::lasting(ProblemType::Connection, format!("{target} can't be asked for over HTTP")))
}

fn head(response: &Response<Incoming>) -> (StatusCode, Option<Vec<u8>>) {
    let location = response.headers().get(header::LOCATION).map(|location| location.as_bytes().to_vec());
    (response.status(), location)
}

async fn body(response: Response<Incoming>, octets_max: usize) -> hyper::Result<Body> {
    let mut incoming = response.into_body();
    let mut octets = Vec::new();
    while let Some(frame) = incoming.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        let room = octets_max - octets.len();
        octets.extend_from_slice(&data[..data.len().min(room)]);
        if data.len() > room {
            return Ok(Body::TooLong(octets));
        }
    }
    Ok(Body::Whole(octets))
}

fn connection_fault(
    error: &hyper::Error,
    target: &Target,
    address: SocketAddr,
    settings: &Settings,
    evidence: &Evidence,
) -> Shortfall {
    evidence.note(format!("GET {target}: {address}: {error}"));
    let io_kind = error.source().and_then(|source| source.downcast_ref::<io::Error>()).map(io::Error::kind);
    let (what, lasts) = if io_kind == Some(io::ErrorKind::QuotaExceeded) || error.is_parse_too_large() {
        let octets = settings.header_octets_max;
        (format!("sent headers of more than {octets} octets or {HEADERS_MAX} lines, or other parts without end"), true)
    } else if error.is_parse() || matches!(io_kind, Some(io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput)) {
        ("did not answer in HTTP/1.1".to_owned(), true)
    } else {
        ("ended the connection before its answer was complete".to_owned(), false)
    };
    let detail = format!("GET {target}: {address} {what}");
    if lasts {
        Shortfall::lasting(ProblemType::Connection, detail)
    } else {
        Shortfall::passing(ProblemType::Connection, detail)
    }
}
