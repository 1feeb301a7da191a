//! HTTP servers on loopback, written by hand so that they can misbehave.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Does what it wants with a connection whose request was read.
pub(crate) type Misbehave = Box<dyn Fn(TcpStream) -> BoxFuture<'static, ()> + Send + Sync>;

/// What a request is answered with.
pub(crate) enum Behaviour {
    /// A whole answer; then the connection is closed.
    Answer(Vec<u8>),
    Misbehave(Misbehave),
}

/// The server; ends with the runtime of its test.
pub(crate) struct HttpServer {
    pub(crate) address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

impl HttpServer {
    /// Answers by the path and query asked for.
    pub(crate) async fn start(behave: impl Fn(&str) -> Behaviour + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (behave, seen) = (Arc::new(behave), Arc::clone(&requests));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (behave, seen) = (Arc::clone(&behave), Arc::clone(&seen));
                tokio::spawn(async move { serve(stream, &*behave, &seen).await });
            }
        });
        Self { address, requests }
    }

    /// Answers every request alike.
    pub(crate) async fn always(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::start(move |_| Behaviour::Answer(answer.clone())).await
    }

    /// Does this with every connection.
    pub(crate) async fn misbehaving(misbehave: fn(TcpStream) -> BoxFuture<'static, ()>) -> Self {
        Self::start(move |_| Behaviour::Misbehave(Box::new(misbehave))).await
    }

    /// The heads of the requests, in order.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

async fn serve(mut stream: TcpStream, behave: &(dyn Fn(&str) -> Behaviour + Send + Sync), seen: &Mutex<Vec<String>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(octet) => head.push(octet),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let path = head.split(' ').nth(1).unwrap().to_owned();
    seen.lock().unwrap().push(head);
    match behave(&path) {
        Behaviour::Answer(answer) => {
            // The client may have seen enough.
            let _ = stream.write_all(&answer).await;
            let _ = stream.shutdown().await;
        }
        Behaviour::Misbehave(misbehave) => misbehave(stream).await,
    }
}

/// Status 200 with this body.
pub(crate) fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// A redirect with this status line.
pub(crate) fn redirect(status: &str, location: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n").into_bytes()
}
