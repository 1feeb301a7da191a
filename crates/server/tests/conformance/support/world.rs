//! The world of a run: the server under test, and what it needs of us to validate challenges.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::Value;
use tokio_rustls::TlsConnector;

use super::case::NotApplicable;
use super::connection::{Connection, trust};
use super::dns::Dns;
use super::responder::Responder;
use super::server::Server;
use super::tls::TlsResponder;

/// What is waited for has happened long before.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// The configuration of the server that most cases share: lists have several pages, and chains alternates.
const PLAIN: &str = "[limits]\norders-per-page = 2\n[issuer]\nalternate-roots = 1";

/// The configuration of a server whose terms have to be agreed to.
const WITH_TERMS: &str = "terms-of-service = \"https://ca.example/terms/1\"";

/// A server: its directory, and how it is reached.
#[derive(Clone)]
pub(crate) struct Target {
    /// The URL of its directory.
    pub(crate) url: String,
    /// Its directory object.
    pub(crate) directory: Value,
    pub(crate) tls: TlsConnector,
}

impl Target {
    /// Reads the directory at this URL.
    pub(crate) async fn at(url: &str, ca: &Path) -> Self {
        let tls = trust(ca);
        let request = Request::get(url).body(Full::new(Bytes::new())).expect("the directory's URL is a URL");
        let answer = Connection::new(tls.clone()).send(request).await;
        let answer = answer.unwrap_or_else(|error| panic!("{url} does not answer: {error}"));
        Self { url: url.to_owned(), directory: answer.json(), tls }
    }
}

/// What a run has.
pub(crate) struct World {
    pub(crate) target: Target,
    /// A server with terms of service, if it is another.
    pub(crate) with_terms: Option<Target>,
    /// The servers that were started by this process, that of `target` first: what they lack is a fault.
    pub(crate) own: Vec<Server>,
    pub(crate) dns: Dns,
    pub(crate) responder: Responder,
    pub(crate) tls: TlsResponder,
    /// The key identifier and MAC key of an external account, base64url.
    pub(crate) external_account: Option<(String, String)>,
    suffix: String,
    names: AtomicU32,
}

/// A variable of the environment.
#[allow(clippy::disallowed_methods, reason = "the environment says which server is tested, as CONTRIBUTING.md shows")]
fn variable(name: &str) -> Option<String> {
    std::env::var(format!("CAIRN_CONFORMANCE_{name}")).ok().filter(|value| !value.is_empty())
}

impl World {
    /// The server that `CAIRN_CONFORMANCE_URL` names, or a Cairn of our own.
    pub(crate) async fn new() -> Self {
        match variable("URL") {
            Some(url) => Self::foreign(&url).await,
            None => Self::of_our_own().await,
        }
    }

    async fn of_our_own() -> Self {
        let dns = Dns::start();
        let (responder, tls) = (Responder::on(0), TlsResponder::on(0).await);
        let start = |configuration| Server::start([responder.port(), tls.port()], dns.address(), configuration);
        let (plain, strict) = futures_util::join!(start(PLAIN), start(WITH_TERMS));
        let target = Target::at(&plain.url(), &plain.root()).await;
        let with_terms = Target::at(&strict.url(), &strict.root()).await;
        Self { with_terms: Some(with_terms), ..Self::with(target, vec![plain, strict], dns, responder, tls) }
    }

    async fn foreign(url: &str) -> Self {
        let ca =
            variable("CA").expect("CAIRN_CONFORMANCE_CA names a file in PEM with what the server's TLS is trusted by");
        let port = |name, default| variable(name).map_or(default, |port| port.parse().expect("a port is a number"));
        let (responder, tls) = (Responder::on(port("HTTP_PORT", 5002)), TlsResponder::on(port("TLS_PORT", 5001)).await);
        let dns = variable("CHALLTESTSRV").map_or(Dns::Nobodys, Dns::Challtestsrv);
        let target = Target::at(url, &PathBuf::from(ca)).await;
        let mut world = Self::with(target, Vec::new(), dns, responder, tls);
        world.external_account = variable("EAB_KID").zip(variable("EAB_KEY"));
        world
    }

    fn with(target: Target, own: Vec<Server>, dns: Dns, responder: Responder, tls: TlsResponder) -> Self {
        let suffix = variable("SUFFIX").unwrap_or_else(|| "localhost".to_owned());
        // Two runs against one server must not meet in a name.
        let suffix = format!("run{}.{suffix}", std::process::id());
        Self {
            target,
            with_terms: None,

            own,
            dns,
            responder,
            tls,
            external_account: None,
            suffix,
            names: AtomicU32::new(0),
        }
    }

    /// A name that no other case has, and that leads to our responder.
    pub(crate) fn name(&self) -> String {
        format!("n{}.{}", self.names.fetch_add(1, Ordering::Relaxed), self.suffix)
    }

    /// Shows a TXT record, if we have a say in the DNS that the server asks.
    pub(crate) async fn show_txt(&self, name: &str, text: &str) -> Result<(), NotApplicable> {
        self.dns.show(name, text).await
    }
}

/// The time between two looks at what nothing announces.
#[allow(clippy::disallowed_methods, reason = "other servers have no way to wait for a change")]
pub(crate) async fn pause() {
    tokio::time::sleep(Duration::from_millis(30)).await;
}

/// Waits for what has to happen, but not for ever.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(done) => done,
        Err(_) => panic!("not within {} s: {what}", PATIENCE.as_secs()),
    }
}
