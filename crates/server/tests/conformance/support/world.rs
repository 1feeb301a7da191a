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
use super::server::{Server, Surroundings};
use super::tls::TlsResponder;

/// What is waited for has happened long before.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// The configuration of the server that most cases share: lists have several pages, and chains alternates.
const PLAIN: &str = "[limits]\norders-per-page = 2\n[issuer]\nalternate-roots = 1";

/// The configuration of a server whose terms have to be agreed to.
const WITH_TERMS: &str = "terms-of-service = \"https://ca.example/terms/1\"";

/// The configuration of a server that makes accounts for accounts elsewhere only.
const WITH_EXTERNAL_ACCOUNTS: &str = "external-account-binding = \"required\"";

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
    /// A server that knows external accounts, if it is another.
    pub(crate) with_external_accounts: Option<Target>,
    /// The servers that were started by this process, that of `target` first: what they lack is a fault.
    pub(crate) own: Vec<Server>,
    pub(crate) dns: Dns,
    pub(crate) responder: Responder,
    pub(crate) tls: TlsResponder,
    /// The key identifier and MAC key of an external account, base64url.
    pub(crate) external_account: Option<(String, String)>,
    /// Where servers of our own are started.
    surroundings: Option<Surroundings>,
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
        let surroundings = Surroundings { http: responder.port(), tls: tls.port(), dns: dns.address() };
        let start = |configuration| Server::start(surroundings, configuration);
        let (plain, strict, closed) =
            futures_util::join!(start(PLAIN), start(WITH_TERMS), start(WITH_EXTERNAL_ACCOUNTS));
        let key = closed.json(&["eab", "create", "--unlimited"]).await;
        let key = ["kid", "hmac_key"].map(|member| key[member].as_str().expect("it makes a key").to_owned());
        let target = Target::at(&plain.url(), &plain.root()).await;
        Self {
            with_terms: Some(Target::at(&strict.url(), &strict.root()).await),
            with_external_accounts: Some(Target::at(&closed.url(), &closed.root()).await),
            external_account: Some(key.into()),
            surroundings: Some(surroundings),
            ..Self::with(target, vec![plain, strict, closed], dns, responder, tls)
        }
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
            with_external_accounts: None,
            own,
            dns,
            responder,
            tls,
            external_account: None,
            surroundings: None,
            suffix,
            names: AtomicU32::new(0),
        }
    }

    /// A name that no other case has, and that leads to our responder.
    pub(crate) fn name(&self) -> String {
        format!("n{}.{}", self.names.fetch_add(1, Ordering::Relaxed), self.suffix)
    }

    /// A further server of our own, if the one under test is ours.
    pub(crate) async fn further(&self, configuration: &str) -> Result<Server, NotApplicable> {
        let surroundings = self.surroundings.ok_or(NotApplicable("configuration that we could change"))?;
        Ok(Server::start(surroundings, configuration).await)
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
