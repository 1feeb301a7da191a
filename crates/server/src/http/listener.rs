//! The accept loop: limits on connections, handshakes, headers and streams; an orderly end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;

/// A TLS handshake that takes longer ends.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// The head of a request that takes longer ends its connection.
const HEADER_TIME: Duration = Duration::from_secs(15);
/// Requests in progress get this long when the server stops.
const DRAIN_TIME: Duration = Duration::from_secs(10);
/// How often a silent HTTP/2 peer is asked whether it is still there, and how long it has to answer.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_TIME: Duration = Duration::from_secs(10);
/// After a connection could not be accepted: long enough for others to end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const STREAMS_MAX: u32 = 64;
const HEADERS_MAX: usize = 64;
const HEADER_OCTETS_MAX: u32 = 16 * 1024;
const BACKLOG: i32 = 1024;

/// A listener that is bound, and what it serves.
#[derive(Debug)]
pub struct Listener {
    name: &'static str,
    socket: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    connections_max: usize,
}

impl Listener {
    /// Binds an address.
    ///
    /// # Errors
    /// It is in use, or not ours to use.
    pub fn bind(
        name: &'static str,
        address: SocketAddr,
        tls: Option<Arc<ServerConfig>>,
        connections_max: usize,
    ) -> std::io::Result<Self> {
        use socket2::{Domain, Protocol, Socket, Type};
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(Self { name, socket: TcpListener::from_std(socket.into())?, tls, connections_max })
    }

    /// The address that was bound: the port is the real one where 0 was asked for.
    ///
    /// # Errors
    /// The system doesn't say.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves until `stop` says so; then requests in progress are finished, for a while.
    pub async fn serve(self, router: Router, mut stop: watch::Receiver<bool>) {
        let permits = Arc::new(Semaphore::new(self.connections_max));
        let graceful = GracefulShutdown::new();
        let acceptor = self.tls.map(TlsAcceptor::from);
        loop {
            let permit = tokio::select! {
                biased;
                _ = stop.wait_for(|stopped| *stopped) => break,
                permit = Arc::clone(&permits).acquire_owned() => permit,
            };
            let accepted = tokio::select! {
                biased;
                _ = stop.wait_for(|stopped| *stopped) => break,
                accepted = self.socket.accept() => accepted,
            };
            let Ok(permit) = permit else { break };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of file descriptors, or a peer that has gone already: the next may be better off.
                    tracing::warn!(listener = self.name, %error, "a connection could not be accepted");
                    let _elapsed = tokio::time::timeout(ACCEPT_PAUSE, std::future::pending::<()>()).await;
                    continue;
                }
            };
            let watcher = graceful.watcher();
            let (router, acceptor) = (router.clone(), acceptor.clone());
            tokio::spawn(async move {
                connection(stream, acceptor, router, watcher).await;
                drop(permit);
            });
        }
        drop(self.socket);
        if tokio::time::timeout(DRAIN_TIME, graceful.shutdown()).await.is_err() {
            tracing::warn!(listener = self.name, "connections were still open when the time to finish them ended");
        }
    }
}

async fn connection(
    stream: TcpStream,
    acceptor: Option<TlsAcceptor>,
    router: Router,
    watcher: hyper_util::server::graceful::Watcher,
) {
    // An answer is small: waiting for more to send with it would only delay it.
    let _unsupported = stream.set_nodelay(true);
    match acceptor {
        None => exchange(stream, false, router, watcher).await,
        Some(acceptor) => match tokio::time::timeout(HANDSHAKE_TIME, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => {
                let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                exchange(stream, http2, router, watcher).await;
            }
            Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
            Err(_) => tracing::debug!("TLS handshake took too long"),
        },
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    http2: bool,
    router: Router,
    watcher: hyper_util::server::graceful::Watcher,
) {
    let builder = Builder::new(TokioExecutor::new());
    // Which version it is, TLS has said: waiting for the first octets to tell would have no time limit.
    let mut builder = if http2 { builder.http2_only() } else { builder.http1_only() };
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEADER_OCTETS_MAX as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADER_OCTETS_MAX)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIME);
    let service = TowerToHyperService::new(router);
    let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "a connection ended with an error");
    }
}
