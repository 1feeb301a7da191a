//! `cairn serve`: doors and workers around a CA, from the first line on the screen to an orderly end.

use std::collections::HashMap;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ca::Ca;
use ca::crl::CrlScheme;
use ca::external_account::KeyTerms;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::admin_socket;
use crate::assembly::{Assembly, AssemblyError};
use crate::checkpoints;
use crate::config::{self, Config, RegimeName, TlsFiles};
use crate::dev::Faults;
use crate::hierarchy::Files;
use crate::hierarchy::root_crl::RootCrl;
use crate::http::acme::AcmeDoor;
use crate::http::errands::Errands;
use crate::http::limits::ListenerLimits;
use crate::http::listener::Listener;
use crate::http::tls::{OwnCertificate, server_config};
use crate::http::{acme, admin, status};
use crate::own::{OwnClient, OwnError};
use crate::publication::{Bucket, Folder, Publication, PublicationError};
use crate::upkeep::{self, Stop, pause, stopping};
use crate::world::raise_descriptor_limit;

/// How often the root's CRL is looked at.
const ROOT_CRL_UPKEEP: Duration = Duration::from_secs(60);
/// How often the server's own certificate is looked at.
const OWN_CERTIFICATE_UPKEEP: Duration = Duration::from_secs(3600);

/// What a CA for tests says of itself.
pub const DEVELOPMENT_MODE: &str =
    "DEVELOPMENT MODE: test ports, loopback allowed, keys given away, for tests only: trust nothing that it issues";
/// So long those who watch the end of a server may take to hear of it.
const WATCHERS_TIME: Duration = Duration::from_secs(1);
/// ACME, status and admin.
const LISTENERS: usize = 3;
/// File descriptors of the store, the logs, and of validations under way.
const DESCRIPTORS_BESIDE: usize = 1024;

/// Why a server could not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// An address can't be listened on.
    #[error(
        "{what} listener: {address} can't be used ({error}); stop what listens there, or choose another with {option}"
    )]
    Bind {
        /// Which listener.
        what: &'static str,
        /// Which address.
        address: SocketAddr,
        /// What the system said.
        error: std::io::Error,
        /// How to choose another.
        option: &'static str,
    },
    /// The CA.
    #[error(transparent)]
    Assembly(#[from] AssemblyError),
    /// A key for external account binding could not be kept.
    #[error("external account binding: {0}")]
    ExternalAccountKey(#[from] ca::Error),
    /// Its own certificate.
    #[error(transparent)]
    Own(#[from] crate::own::OwnError),
    /// CRLs can't be published as the configuration says.
    #[error(transparent)]
    Publication(#[from] PublicationError),
    /// TLS.
    #[error(transparent)]
    Tls(#[from] crate::http::tls::TlsError),
    /// The socket of commands.
    #[error("{0}")]
    AdminSocket(std::io::Error),
    /// Signals.
    #[error("signals can't be received: {0}")]
    Signals(std::io::Error),
}

/// Serves until SIGINT, SIGTERM or SIGHUP.
///
/// # Errors
/// See [`ServeError`].
pub async fn serve(config: Config) -> Result<(), ServeError> {
    let stop = stopped_by_signal()?;
    let certificate = Arc::new(OwnCertificate::default());
    let tls = server_config(Arc::clone(&certificate))?;
    look_after_descriptors(config.http.connections);
    let mut config = config;
    if let Some(TlsFiles { certificate: chain, key }) = &config.tls {
        certificate.read(chain, key)?;
    }
    // Before anything is made or locked: an occupied port is the commonest fault, and leaves nothing behind.
    let doors = open_doors(&mut config, &tls)?;
    let assembly = Assembly::open(&config).await?;
    tell_what_was_found(&assembly).await;
    for (kid, key) in &config.external_account_keys {
        let terms = KeyTerms { label: "from the configuration".to_owned(), ..KeyTerms::default() };
        assembly.ca.add_external_account_key(kid.clone(), key.clone(), terms).await?;
    }
    let mut tasks = JoinSet::new();
    for (_, task) in upkeep::tasks(&assembly.ca, &assembly.logs, upkeep::UPKEEP, &stop) {
        tasks.spawn(task);
    }
    if let Some(checkpointer) = &assembly.checkpointer {
        tasks.spawn(checkpoints::keep(Arc::clone(checkpointer), Arc::clone(&assembly.ca.clock), stop.clone()));
    }
    tasks.spawn(keep_root_crl(Arc::clone(&assembly.ca), Arc::clone(&assembly.root_crl), stop.clone()));
    let publications = publications(&config, &assembly)?;
    for publication in &publications {
        tasks.spawn(Arc::clone(publication).run(stop.clone()));
    }
    if config.tls.is_none() {
        let own = OwnClient::new(Arc::clone(&assembly.ca), &config, certificate)?;
        tokio::select! {
            biased;
            // Workers take nothing new then: its order would be waited for in vain.
            () = stopping(stop.clone()) => {
                wind_down(&assembly, tasks).await;
                tracing::info!("stopped");
                return Ok(());
            }
            begun = own.begin() => require_unless_stopped(&assembly, begun).await?,
        }
        tasks.spawn(keep_own_certificate(own, stop.clone()));
    }
    assembly.started.store(true, Ordering::Relaxed);
    let socket = admin_socket::Socket::bind(&config.data).map_err(ServeError::AdminSocket)?;
    tasks.spawn(socket.serve(Arc::clone(&assembly.ca), stop.clone()));
    greet(&config, &assembly, &doors);
    let [acme_door, status_door, admin_door] = doors;
    let clock = || Arc::clone(&assembly.ca.clock);
    let acme_state = acme_state(&config, &assembly.ca);
    let (finished, all_finished) = watch::channel(false);
    let admin_state = admin_state(&config, &assembly, publications, &stop);
    // Who takes Pebble's place gives its ports away at once, for the next to take.
    let all_finished = if config.pebble { stop.clone() } else { all_finished };
    let admin_door = tokio::spawn(admin_door.serve(admin::router(admin_state), clock(), all_finished));
    let doors = [
        tokio::spawn(acme_door.serve(acme::router(Arc::clone(&acme_state)), clock(), stop.clone())),
        tokio::spawn(status_door.serve(status_router(&config, &assembly), clock(), stop.clone())),
    ];
    // The doors close first: what workers hold is finished, and nothing new comes in.
    for door in doors {
        let _panicked = door.await;
    }
    acme_state.errands.all_done().await;
    wind_down(&assembly, tasks).await;
    // Whoever watches sees the end of it, too, and keeps nothing waiting.
    let _panicked_before = finished.send(true);
    let _slow = tokio::time::timeout(WATCHERS_TIME, admin_door).await;
    tracing::info!("stopped");
    Ok(())
}

/// After an end that was not in order the first sweep is part of the recovery, and so of what is said of it.
async fn tell_what_was_found(assembly: &Assembly) {
    tell_stops(assembly).await;
    if assembly.first_start {
        return;
    }
    let swept = if assembly.found.is_unclean() { assembly.ca.sweep().await } else { Ok(ca::Swept::default()) };
    let swept = swept.unwrap_or_else(|error| {
        tracing::error!(%error, "the first sweep failed; the next one goes on");
        ca::Swept::default()
    });
    assembly.found.tell(swept);
}

/// Who starts a server in which issuance is stopped should know.
async fn tell_stops(assembly: &Assembly) {
    match assembly.ca.ledger.stops(true, ca::STOPS_MAX).await {
        Ok(stops) => stops.iter().for_each(|stop| tracing::warn!(reason = %stop.reason, "{stop}")),
        Err(error) => tracing::error!(%error, "it is not known whether issuance is stopped"),
    }
}

/// Without a certificate of its own a server of which issuance is stopped still serves what relying parties need.
async fn require_unless_stopped(assembly: &Assembly, begun: Result<(), OwnError>) -> Result<(), ServeError> {
    let Err(error) = begun else { return Ok(()) };
    let stopped = assembly.ca.ledger.stops(true, 1).await.is_ok_and(|stops| !stops.is_empty());
    if !stopped {
        return Err(error.into());
    }
    tracing::error!(%error, "the server has no certificate of its own, since issuance is stopped; status is served");
    Ok(())
}

/// What workers hold is finished first.
async fn wind_down(assembly: &Assembly, mut tasks: JoinSet<()>) {
    while tasks.join_next().await.is_some() {}
    if let Some(checkpointer) = &assembly.checkpointer {
        checkpoints::seal(checkpointer).await;
    }
    if let Err(error) = assembly.ca.keep_audit_mark().await {
        tracing::warn!(%error, "the audit log's mark was not kept; the next start reads a little more");
    }
}

/// Each connection is a file descriptor, each validation a few for a while.
fn look_after_descriptors(connections: usize) {
    let wanted = (connections * LISTENERS + DESCRIPTORS_BESIDE) as u64;
    match raise_descriptor_limit() {
        Ok(limit) if limit.is_some_and(|limit| limit < wanted) => {
            tracing::warn!(limit, wanted, "few file descriptors are permitted (ulimit -Hn) for so many connections");
        }
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "the limit of file descriptors could not be raised"),
    }
}

/// ACME, status and admin.
fn open_doors(config: &mut Config, tls: &Arc<rustls::ServerConfig>) -> Result<[Listener; 3], ServeError> {
    let named = |ours, pebbles| if config.pebble { pebbles } else { ours };
    let options = [named("--acme", "pebble.listenAddress"), named("--admin", "pebble.managementListenAddress")];
    let limits = config.http;
    Ok([
        bind("ACME", config.acme, Some(Arc::clone(tls)), limits, options[0])?,
        bind_status(config)?,
        bind("admin", config.admin, Some(Arc::clone(tls)), limits, options[1])?,
    ])
}

fn bind(
    what: &'static str,
    address: SocketAddr,
    tls: Option<Arc<rustls::ServerConfig>>,
    limits: ListenerLimits,
    option: &'static str,
) -> Result<Listener, ServeError> {
    Listener::bind(what, address, tls, limits).map_err(|error| ServeError::Bind { what, address, error, option })
}

/// Certificates name the port of the status listener, so it is chosen before the first is made.
fn bind_status(config: &mut Config) -> Result<Listener, ServeError> {
    let bound = bind("status", config.status, None, config.http, "--status");
    if bound.is_ok() || !config.status_anywhere {
        return bound;
    }
    let anywhere = SocketAddr::new(config.status.ip(), 0);
    let bound = bind("status", anywhere, None, config.http, "--status")?;
    let port = bound.address().map_err(|error| ServeError::Bind {
        what: "status",
        address: anywhere,
        error,
        option: "--status",
    })?;
    let status_url = format!("http://{}:{}", config::host_name(), port.port());
    config.settings.crls = CrlScheme::new(config.settings.crls.current().shards, status_url.clone());
    config.settings.status_url = status_url;
    Ok(bound)
}

fn stopped_by_signal() -> Result<watch::Receiver<bool>, ServeError> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ServeError::Signals)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(ServeError::Signals)?;
    // The terminal it was started from has gone.
    let mut hang_up = signal(SignalKind::hangup()).map_err(ServeError::Signals)?;
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        let name = tokio::select! {
            _ = interrupt.recv() => "SIGINT",
            _ = terminate.recv() => "SIGTERM",
            _ = hang_up.recv() => "SIGHUP",
        };
        tracing::info!(signal = name, "stopping: finishing what is held, taking nothing new");
        // Nobody listens any more if everything has ended already.
        let _ended = stop.send(true);
        stop.closed().await;
    });
    Ok(stopped)
}

async fn keep_root_crl(ca: Arc<Ca>, root_crl: Arc<RootCrl>, stop: watch::Receiver<bool>) {
    loop {
        if let Some(Err(error)) = ca::guarded("the root's CRL", root_crl.look_after(&ca)).await {
            tracing::error!(%error, "the root's CRL was not made anew; trying again");
        }
        if pause(&ca, ROOT_CRL_UPKEEP, &stop).await {
            return;
        }
    }
}

async fn keep_own_certificate(own: OwnClient, stop: watch::Receiver<bool>) {
    loop {
        let kept = tokio::select! {
            biased;
            () = stopping(stop.clone()) => return,
            kept = ca::guarded("the server's own certificate", own.keep()) => kept,
        };
        if let Some(Err(error)) = kept {
            tracing::error!(%error, "the server's own certificate was not renewed; trying again");
        }
        if pause(own.ca(), OWN_CERTIFICATE_UPKEEP, &stop).await {
            return;
        }
    }
}

fn acme_state(config: &Config, ca: &Arc<Ca>) -> Arc<AcmeDoor> {
    Arc::new(AcmeDoor {
        ca: Arc::clone(ca),
        base_url: config.settings.base_url.clone(),
        website: config.website.clone(),
        caa_identities: config.caa_identities.clone(),
        poll_wait: config.poll_wait,
        polls_per_account: config.polls_per_account,
        body_octets_max: config.body_octets,
        limits: config.http,
        waiting: Mutex::new(HashMap::new()),
        faults: Faults::new(&config.dev),
        retry_after: config.retry_after,
        errands: Errands::of_runtime(),
    })
}

fn status_router(config: &Config, assembly: &Assembly) -> axum::Router {
    let router = status::router(Arc::clone(&assembly.ca), &assembly.root, Arc::clone(&assembly.root_crl));
    if config.ct_public { router.merge(admin::log_router(assembly.logs.clone())) } else { router }
}

/// Nothing is asked of the places yet: one that is away must not keep a server from starting.
fn publications(config: &Config, assembly: &Assembly) -> Result<Vec<Arc<Publication>>, PublicationError> {
    let (ca, root, root_crl) = (&assembly.ca, &assembly.root, &assembly.root_crl);
    let mut publications = Vec::new();
    if let Some(folder) = &config.publish.folder {
        let folder = Folder::new(folder.clone());
        publications.push(Publication::new(Arc::clone(ca), root.clone(), Arc::clone(root_crl), folder));
    }
    if let Some(s3) = &config.publish.s3 {
        let bucket = Bucket::open(s3, Arc::clone(&ca.clock))?;
        publications.push(Publication::new(Arc::clone(ca), root.clone(), Arc::clone(root_crl), bucket));
    }
    Ok(publications.into_iter().map(Arc::new).collect())
}

fn admin_state(
    config: &Config,
    assembly: &Assembly,
    publications: Vec<Arc<Publication>>,
    stop: &Stop,
) -> Arc<admin::AdminDoor> {
    Arc::new(admin::AdminDoor {
        publications,
        ca: Arc::clone(&assembly.ca),
        database: assembly.database.clone(),
        logs: assembly.logs.clone(),
        retired: assembly.retired.clone(),
        dev: (config.regime == RegimeName::Dev).then(|| Files::of(&config.hierarchy)),
        draining: stop.clone(),
    })
}

/// What certificates say is for all who check them, wherever they are.
fn warn_of_status_url(config: &Config, status_url: &str) {
    if config.regime != RegimeName::Dev && has_one_label(status_url) {
        tracing::warn!(
            "certificates point to {status_url}, whose host has one label: others may not be able to look it up, and \
             linters complain of it; before the first certificate, give status-url a full name, http://ca.example.com"
        );
    }
}

/// Whether others may know the host of this URL as another one, or as none.
fn has_one_label(url: &str) -> bool {
    url::Url::parse(url).is_ok_and(
        |url| matches!(url.host(), Some(url::Host::Domain(host)) if !host.trim_end_matches('.').contains('.')),
    )
}

/// What a person who has just started it wants to know.
fn greet(config: &Config, assembly: &Assembly, doors: &[Listener; 3]) {
    warn_of_status_url(config, &assembly.ca.settings.status_url);
    let port = |door: &Listener, wanted: SocketAddr| door.address().map_or(wanted.port(), |address| address.port());
    let acme_port = port(&doors[0], config.acme);
    let base = config.settings.base_url.clone().unwrap_or_else(|| format!("https://localhost:{acme_port}"));
    let directory = format!("{base}{}", ca::urls::DIRECTORY);
    let root = absolute(&Files::of(&config.hierarchy).root);
    let mut lines = vec![match (assembly.first_start, config.regime) {
        (true, _) => format!("Cairn has made a new CA in {}", absolute(&config.data)),
        (false, _) => format!("Cairn carries on in {}", absolute(&config.data)),
    }];
    if config.regime == RegimeName::Dev {
        lines.push(format!("  {DEVELOPMENT_MODE}"));
        eprintln!("*** {DEVELOPMENT_MODE} ***");
    }
    if config.pebble {
        lines.push("  standing in for Pebble; the store is removed at the end".into());
    }
    lines.push(format!("  directory    {directory}"));
    lines.push(format!("  root         {root}"));
    lines.push(format!("  status       http://localhost:{}", port(&doors[1], config.status)));
    lines.push(format!("  admin        https://localhost:{}", port(&doors[2], config.admin)));
    lines.push("A first certificate:".into());
    let (name, extra) = match config.regime {
        RegimeName::Dev if config.localhost_names => ("first.localhost", format!(" --http-01-port {}", config.ports.0)),
        RegimeName::Dev | RegimeName::Private | RegimeName::Public if config.ports.0 != 80 => {
            ("NAME", format!(" --http-01-port {}", config.ports.0))
        }
        RegimeName::Dev | RegimeName::Private | RegimeName::Public => ("NAME", String::new()),
    };
    lines.push(format!(
        "  REQUESTS_CA_BUNDLE={root} certbot certonly --standalone{extra} --server {directory} \\\n    \
         --agree-tos --register-unsafely-without-email -d {name}"
    ));
    if name == "NAME" {
        lines.push(format!(
            "  NAME must be known to the DNS that this CA asks, lead to the machine that runs certbot{},\n  \
             and be reachable from here on port {}.",
            if config.regime == RegimeName::Dev { "" } else { " at an address that is not loopback" },
            config.ports.0
        ));
    }
    let mut out = std::io::stdout().lock();
    // Whoever closed standard output doesn't want to read it.
    let _closed = writeln!(out, "{}", lines.join("\n")).and_then(|()| out.flush());
}

fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_others_may_not_know_are_told_from_those_they_do() {
        for (url, expected) in [
            ("http://ca:14080", true),
            ("http://ca.:14080", true),
            ("http://ca.example.com", false),
            ("http://192.0.2.1:14080", false),
            ("http://[2001:db8::1]", false),
        ] {
            assert_eq!(has_one_label(url), expected, "{url}");
        }
    }
}
