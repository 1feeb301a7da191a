//! The accept loop: limits on connections, handshakes, headers, streams and idleness; an orderly end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use ca::ports::Clock;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::exchange::answer;
use super::guests::{Guest, Guests, NoRoom, Pass};
use super::limits::ListenerLimits;
use super::paced::Paced;

/// After a connection could not be accepted: long enough for others to end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// HTTP/2: what a peer may send before it is read, of one request and of all of a connection.
const STREAM_WINDOW_OCTETS: u32 = 64 * 1024;
const CONNECTION_WINDOW_OCTETS: u32 = 256 * 1024;
const BACKLOG: i32 = 1024;

/// A listener that is bound, and how it serves.
#[derive(Debug)]
pub struct Listener {
    name: &'static str,
    socket: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    limits: ListenerLimits,
}

/// What all connections of a listener have in common.
struct Front {
    router: Router,
    tls: Option<TlsAcceptor>,
    limits: ListenerLimits,
    clock: Arc<dyn Clock>,
    stop: watch::Receiver<bool>,
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
        limits: ListenerLimits,
    ) -> std::io::Result<Self> {
        use socket2::{Domain, Protocol, Socket, Type};
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        // Connections inherit it. The system then drops what it holds for a peer who is closed and takes nothing.
        #[cfg(target_os = "linux")]
        socket.set_tcp_user_timeout(Some(limits.write_time))?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(Self { name, socket: TcpListener::from_std(socket.into())?, tls, limits })
    }

    /// The address that was bound: the port is the real one where 0 was asked for.
    ///
    /// # Errors
    /// The system doesn't say.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves until `stop` says so; then requests in progress are finished, for a while.
    pub async fn serve(self, router: Router, clock: Arc<dyn Clock>, mut stop: watch::Receiver<bool>) {
        let limits = self.limits;
        let guests = Arc::new(Guests::new(Arc::clone(&clock), limits.connections, limits.connections_per_address));
        let tls = self.tls.map(TlsAcceptor::from);
        let front = Arc::new(Front { router, tls, limits, clock, stop: stop.clone() });
        let accept = async {
            loop {
                match self.socket.accept().await {
                    Ok((stream, peer)) => {
                        if let Some(pass) = admit(&guests, peer).await {
                            tokio::spawn(Arc::clone(&front).attend(stream, pass));
                        } else {
                            tracing::debug!(listener = self.name, %peer, "turned away: too many connections");
                        }
                    }
                    Err(error) => {
                        // Out of file descriptors, or a peer that has gone already: the next may be better off.
                        tracing::warn!(listener = self.name, %error, "a connection could not be accepted");
                        guests.ask_one_to_leave();
                        let _elapsed = tokio::time::timeout(ACCEPT_PAUSE, std::future::pending::<()>()).await;
                    }
                }
            }
        };
        tokio::select! {
            biased;
            _ = stop.wait_for(|stopped| *stopped) => {}
            () = accept => {}
        }
        drop(self.socket);
        if tokio::time::timeout(limits.stop_time, guests.all_gone()).await.is_err() {
            tracing::warn!(listener = self.name, "connections were still open when the time to finish them ended");
        }
    }
}

/// `None`: the newcomer is turned away. As long as there is work on every connection, newcomers wait.
async fn admit(guests: &Arc<Guests>, peer: SocketAddr) -> Option<Pass> {
    loop {
        let changed = guests.changed();
        match guests.admit(peer.ip()) {
            Ok(pass) => return Some(pass),
            Err(NoRoom::Network) => return None,
            Err(NoRoom::Anywhere) => changed.await,
        }
    }
}

impl Front {
    async fn attend(self: Arc<Self>, stream: TcpStream, pass: Pass) {
        let guest = pass.guest();
        tokio::select! {
            biased;
            () = guest.asked_to_leave() => tracing::debug!("a connection had to make room for another"),
            () = self.connection(stream, guest) => {}
        }
    }

    async fn connection(&self, stream: TcpStream, guest: &Arc<Guest>) {
        // An answer is small: waiting for more to send with it would only delay it.
        let _unsupported = stream.set_nodelay(true);
        let stream = Paced::new(stream, Arc::clone(guest), Arc::clone(&self.clock), self.limits.write_time);
        let Some(tls) = &self.tls else { return self.exchanges(stream, false, guest).await };
        match tokio::time::timeout(self.limits.handshake_time, tls.accept(stream)).await {
            Ok(Ok(stream)) => {
                let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                self.exchanges(stream, http2, guest).await;
            }
            Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
            Err(_) => tracing::debug!("TLS handshake took too long"),
        }
    }

    async fn exchanges(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        http2: bool,
        guest: &Arc<Guest>,
    ) {
        let builder = self.builder(http2);
        let service = service_fn(|request| answer(self.router.clone(), Arc::clone(guest), request));
        let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
        let mut stop = self.stop.clone();
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection ended with an error");
                }
                return;
            }
            () = guest.idle(self.limits.idle_time) => tracing::debug!("a connection was idle for too long"),
            _ = stop.wait_for(|stopped| *stopped) => {}
        }
        connection.as_mut().graceful_shutdown();
        if !matches!(tokio::time::timeout(self.limits.stop_time, connection).await, Ok(Ok(()))) {
            tracing::debug!("a connection did not end in order");
        }
    }

    fn builder(&self, http2: bool) -> Builder<TokioExecutor> {
        let limits = &self.limits;
        let builder = Builder::new(TokioExecutor::new());
        // Which version it is, TLS has said: waiting for the first octets to tell would have no time limit.
        let mut builder = if http2 { builder.http2_only() } else { builder.http1_only() };
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_time)
            .max_headers(limits.headers_hard())
            .max_buf_size(limits.header_octets_hard() as usize);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.streams)
            .max_pending_accept_reset_streams(limits.stream_resets)
            .max_local_error_reset_streams(limits.stream_resets)
            .max_header_list_size(limits.header_octets_hard())
            .initial_stream_window_size(STREAM_WINDOW_OCTETS)
            .initial_connection_window_size(CONNECTION_WINDOW_OCTETS);
        builder
    }
}
