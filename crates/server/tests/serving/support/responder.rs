//! A web server for http-01 (RFC 8555 §8.3): one for all tests of this process, since they share no token.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use super::ports::free_port;

const WELL_KNOWN: &str = "/.well-known/acme-challenge/";
/// A request that is held back longer is answered with 404.
const HELD_TIME_MAX: Duration = Duration::from_secs(50);
const READ_TIME_MAX: Duration = Duration::from_secs(10);

/// What is shown, by token.
#[derive(Debug)]
pub(crate) struct Responder {
    port: u16,
    shown: Mutex<HashMap<String, Shown>>,
    changed: Condvar,
}

#[derive(Clone, Debug)]
enum Shown {
    /// This key authorization.
    KeyAuthorization(String),
    /// Nothing yet: who asks has to wait. Whether somebody has asked.
    Held { asked: bool },
}

/// The one of this process.
pub(crate) fn responder() -> &'static Arc<Responder> {
    static RESPONDER: OnceLock<Arc<Responder>> = OnceLock::new();
    RESPONDER.get_or_init(|| {
        let port = free_port();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("the port was free a moment ago");
        let responder = Arc::new(Responder { port, shown: Mutex::default(), changed: Condvar::new() });
        let serving = Arc::clone(&responder);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let responder = Arc::clone(&serving);
                // A requester that is gone or stopped keeps only its own thread busy.
                std::thread::spawn(move || drop(responder.answer(stream)));
            }
        });
        responder
    })
}

impl Responder {
    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// Shows a key authorization, also to those who wait for it.
    pub(crate) fn show(&self, token: &str, key_authorization: String) {
        self.lock().insert(token.to_owned(), Shown::KeyAuthorization(key_authorization));
        self.changed.notify_all();
    }

    /// Lets who asks for this token wait until it is shown.
    pub(crate) fn hold(&self, token: &str) {
        self.lock().insert(token.to_owned(), Shown::Held { asked: false });
    }

    /// Waits until somebody waits for this token.
    pub(crate) fn wait_until_asked(&self, token: &str) {
        let asked = |shown: &mut HashMap<String, Shown>| matches!(shown.get(token), Some(Shown::Held { asked: true }));
        let waited = self.changed.wait_timeout_while(self.lock(), HELD_TIME_MAX, |shown| !asked(shown));
        let (_shown, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        assert!(!waited.timed_out(), "nobody asked for the token {token}");
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Shown>> {
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
        let shown = path.strip_prefix(WELL_KNOWN).and_then(|token| self.wait_for(token));
        let (status, body) = shown.map_or(("404 Not Found", String::new()), |shown| ("200 OK", shown));
        let length = body.len();
        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
    }

    fn wait_for(&self, token: &str) -> Option<String> {
        let mut shown = self.lock();
        if let Some(Shown::Held { asked }) = shown.get_mut(token) {
            *asked = true;
            self.changed.notify_all();
        }
        let held = |shown: &mut HashMap<String, Shown>| matches!(shown.get(token), Some(Shown::Held { .. }));
        let waited = self.changed.wait_timeout_while(shown, HELD_TIME_MAX, held);
        match waited.unwrap_or_else(PoisonError::into_inner).0.get(token) {
            Some(Shown::KeyAuthorization(key_authorization)) => Some(key_authorization.clone()),
            Some(Shown::Held { .. }) | None => None,
        }
    }
}
