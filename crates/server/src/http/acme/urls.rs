//! URLs of resources: under the configured base URL, or under the Host that the request names.

use acme::Problem;
use axum::http::{HeaderMap, Uri, header};

use super::AcmeDoor;

/// The longest Host that is taken, in octets: a name of 253 and a port.
const HOST_OCTETS_MAX: usize = 260;

/// The start of the URLs of one answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Base(String);

impl Base {
    /// The base for this request.
    ///
    /// # Errors
    /// `malformed` for a request without a usable Host.
    pub(crate) fn of(door: &AcmeDoor, uri: &Uri, headers: &HeaderMap) -> Result<Self, Problem> {
        if let Some(base) = &door.base_url {
            return Ok(Self(base.clone()));
        }
        if headers.get_all(header::HOST).iter().count() > 1 {
            return Err(Problem::malformed("the request has more than one Host header (RFC 9112 §3.2)"));
        }
        let host = uri
            .authority()
            .map(axum::http::uri::Authority::as_str)
            .or_else(|| headers.get(header::HOST).and_then(|host| host.to_str().ok()))
            .ok_or_else(|| Problem::malformed("the request has no Host header; it names the server in its URLs"))?;
        let plain = |octet: u8| octet.is_ascii_alphanumeric() || b".-:[]_".contains(&octet);
        if host.is_empty() || host.len() > HOST_OCTETS_MAX || !host.bytes().all(plain) {
            return Err(Problem::malformed("the Host header is no host name with an optional port"));
        }
        Ok(Self(format!("https://{host}")))
    }

    /// The URL of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }

    /// The path of a URL under this base.
    pub(crate) fn path<'a>(&self, url: &'a str) -> Option<&'a str> {
        url.strip_prefix(&self.0)
    }
}
