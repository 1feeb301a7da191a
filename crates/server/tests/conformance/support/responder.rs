//! A web server for http-01 (RFC 8555 §8.3): one for all cases, since they share no token.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const WELL_KNOWN: &str = "/.well-known/acme-challenge/";
/// A request that is held back longer is answered with 404.
const HELD_TIME_MAX: Duration = Duration::from_secs(30);
const READ_TIME_MAX: Duration = Duration::from_secs(10);

/// What is shown, by token. `None` holds the answer back until it is known.
type Shown = HashMap<String, Option<String>>;

/// The web server, until the process ends.
#[derive(Clone, Debug)]
pub(crate) struct Responder {
    port: u16,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    shown: Mutex<Shown>,
    changed: Condvar,
    /// The Host headers of requests, by token.
    hosts: Mutex<HashMap<String, String>>,
}

impl Responder {
    /// Listens on this port of loopback, or with 0 on a free one.
    pub(crate) fn on(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .unwrap_or_else(|error| panic!("the port {port}, for http-01, can't be listened on: {error}"));
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let state = Arc::new(State::default());
        let serving = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&serving);
                // A requester that is gone or stopped keeps only its own thread busy.
                std::thread::spawn(move || drop(state.answer(stream)));
            }
        });
        Self { port, state }
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// Shows a body, also to those who wait for it.
    pub(crate) fn show(&self, token: &str, body: &str) {
        self.state.lock().insert(token.to_owned(), Some(body.to_owned()));
        self.state.changed.notify_all();
    }

    /// Lets who asks for this token wait until it is shown.
    pub(crate) fn hold(&self, token: &str) {
        self.state.lock().insert(token.to_owned(), None);
    }

    /// The Host header of the last request for this token.
    pub(crate) fn host_of(&self, token: &str) -> Option<String> {
        self.state.hosts.lock().unwrap_or_else(PoisonError::into_inner).get(token).cloned()
    }
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, mut stream: TcpStream) -> std::io::Result<()> {
        stream.set_read_timeout(Some(READ_TIME_MAX))?;
        let mut request = Vec::new();
        let mut octets = [0; 2048];
        while !request.windows(4).any(|window| window == b"\r\n\r\n") {
            match stream.read(&mut octets)? {
                0 => return Ok(()),
                length => request.extend_from_slice(&octets[..length]),
            }
        }
        let request = String::from_utf8_lossy(&request);
        let path = request.split(' ').nth(1).unwrap_or_default();
        let shown = path.strip_prefix(WELL_KNOWN).and_then(|token| {
            let host = request.lines().find_map(|line| line.to_lowercase().strip_prefix("host:").map(str::to_owned));
            let host = host.unwrap_or_default().trim().to_owned();
            self.hosts.lock().unwrap_or_else(PoisonError::into_inner).insert(token.to_owned(), host);
            self.wait_for(token)
        });
        let (status, body) = shown.map_or(("404 Not Found", String::new()), |shown| ("200 OK", shown));
        let length = body.len();
        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
    }

    fn wait_for(&self, token: &str) -> Option<String> {
        let held = |shown: &mut Shown| matches!(shown.get(token), Some(None));
        let waited = self.changed.wait_timeout_while(self.lock(), HELD_TIME_MAX, held);
        waited.unwrap_or_else(PoisonError::into_inner).0.get(token).cloned().flatten()
    }
}
