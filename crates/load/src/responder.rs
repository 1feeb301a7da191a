//! The http-01 responder (RFC 8555 §8.3): one listener for all tokens of a run.
//!
//! It reads one request and answers it, with no HTTP library between: a validation is one connection with one GET, and
//! a client that measures others must not spend its time here.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use acme::{KeyAuthorization, Token};
use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

const WELL_KNOWN: &str = "/.well-known/acme-challenge/";
const REQUEST_OCTETS_MAX: usize = 4096;
const CONNECTIONS_MAX: usize = 1024;
const CONNECTION_TIME: Duration = Duration::from_secs(10);

/// The key authorizations that are shown now, by token.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    by_token: Mutex<HashMap<String, String>>,
    served: AtomicU64,
}

impl Shown {
    /// Shows a key authorization until it is hidden.
    pub(crate) fn show(&self, token: &Token, key_authorization: &KeyAuthorization) {
        self.lock().insert(token.to_string(), key_authorization.as_str().to_owned());
    }

    /// Shows it no more.
    pub(crate) fn hide(&self, token: &Token) {
        self.lock().remove(token.as_str());
    }

    /// How many times a key authorization was fetched.
    pub(crate) fn served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, String>> {
        // Each holder makes one call of the map, so what a panic leaves is whole.
        self.by_token.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The response to a request; `None` as long as its head is not complete.
    fn response(&self, request: &[u8]) -> Option<String> {
        if !request.windows(4).any(|window| window == b"\r\n\r\n") {
            return (request.len() >= REQUEST_OCTETS_MAX).then(|| response("431 Request Header Fields Too Large", ""));
        }
        let line = request.split(|octet| *octet == b'\r').next().unwrap_or_default();
        let mut words = line.split(|octet| *octet == b' ').map(std::str::from_utf8);
        let (Some(Ok(method)), Some(Ok(path))) = (words.next(), words.next()) else {
            return Some(response("400 Bad Request", ""));
        };
        if method != "GET" {
            return Some(response("405 Method Not Allowed", ""));
        }
        let shown = path.strip_prefix(WELL_KNOWN).and_then(|token| self.lock().get(token).cloned());
        Some(match shown {
            Some(key_authorization) => {
                self.served.fetch_add(1, Ordering::Relaxed);
                response("200 OK", &key_authorization)
            }
            None => response("404 Not Found", ""),
        })
    }
}

fn response(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/octet-stream\r\nContent-Length: {}\r\nConnection: close\r\n\r\n\
         {body}",
        body.len()
    )
}

/// Binds the address; requests wait in the kernel until [`serve`] runs.
pub(crate) async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address} for http-01; choose with --http01-address and --http01-port")
    })
}

/// Answers requests for as long as the runtime lives.
pub(crate) async fn serve(listener: TcpListener, shown: Arc<Shown>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        // What fails here is that one connection, or the number of files; either passes.
        let Ok((stream, _)) = listener.accept().await else {
            crate::world::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let shown = Arc::clone(&shown);
        tokio::spawn(async move {
            // A requester that is slow or gone is its own matter: the order tells.
            drop(tokio::time::timeout(CONNECTION_TIME, answer(stream, &shown)).await);
            drop(place);
        });
    }
}

async fn answer(mut stream: TcpStream, shown: &Shown) -> std::io::Result<()> {
    let mut request = [0; REQUEST_OCTETS_MAX];
    let mut length = 0;
    loop {
        match stream.read(&mut request[length..]).await? {
            0 => return Ok(()),
            octets => length += octets,
        }
        if let Some(response) = shown.response(&request[..length]) {
            stream.write_all(response.as_bytes()).await?;
            return stream.shutdown().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown() -> (Shown, Token, KeyAuthorization) {
        let shown = Shown::default();
        let token = Token::from_random([7; 16]);
        let key = aws_lc_rs::signature::EcdsaKeyPair::generate_pkcs8(
            &aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED_SIGNING,
            &aws_lc_rs::rand::SystemRandom::new(),
        )
        .unwrap();
        let key = acme::SigningKey::from_pkcs8(acme::Algorithm::Es256, key.as_ref()).unwrap();
        let key_authorization = KeyAuthorization::new(&token, &key.jwk().thumbprint());
        shown.show(&token, &key_authorization);
        (shown, token, key_authorization)
    }

    #[test]
    fn shown_key_authorization_is_served_until_hidden() {
        let (shown, token, key_authorization) = shown();
        let request = format!("GET {WELL_KNOWN}{token} HTTP/1.1\r\nHost: a.test\r\n\r\n");
        let response = shown.response(request.as_bytes()).unwrap();
        assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
        assert!(response.ends_with(&format!("\r\n\r\n{}", key_authorization.as_str())), "{response}");
        shown.hide(&token);
        assert!(shown.response(request.as_bytes()).unwrap().starts_with("HTTP/1.1 404 "));
        assert_eq!(shown.served(), 1);
    }

    #[test]
    fn request_is_answered_only_when_its_head_is_complete() {
        let (shown, token, _) = shown();
        let request = format!("GET {WELL_KNOWN}{token} HTTP/1.1\r\nHost: a.test\r\n");
        assert_eq!(shown.response(request.as_bytes()), None);
        assert!(shown.response(&[b'x'; REQUEST_OCTETS_MAX]).unwrap().contains(" 431 "));
    }

    #[test]
    fn other_methods_and_paths_are_refused() {
        let (shown, token, _) = shown();
        let post = format!("POST {WELL_KNOWN}{token} HTTP/1.1\r\n\r\n");
        assert!(shown.response(post.as_bytes()).unwrap().contains(" 405 "));
        assert!(shown.response(format!("GET /{token} HTTP/1.1\r\n\r\n").as_bytes()).unwrap().contains(" 404 "));
        assert!(shown.response(b"\xff\xfe\r\n\r\n").unwrap().contains(" 400 "));
    }
}
