//! A log over HTTP, with a key and without a tree, that can be told to misbehave. It reads what it is sent by itself.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use pki::sct::tree;
use pki::{Certificate, DigitallySigned, LogId, PrecertEntry, Sha256};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;

use super::{NOW, SoftKey};
use crate::wire::{AddPreChain, AddedChain, Base64, Hash, Millis, SignedTreeHead};

/// What the log does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    Status(u16),
    Redirect,
    Garbage,
    Hangs,
    BreaksOff,
    BreaksOffOnce,
    TooLong,
    WrongSignature,
    WrongId,
    WrongVersion,
    WrongAlgorithm,
    LongExtensions,
    InTheFuture,
}

pub(crate) struct LogServer {
    pub(crate) key: SoftKey,
    pub(crate) address: SocketAddr,
    state: Arc<State>,
}

struct State {
    fault: Mutex<Fault>,
    connections: AtomicUsize,
    requests: AtomicUsize,
    requested: Notify,
}

impl LogServer {
    pub(crate) async fn start() -> Arc<Self> {
        Self::start_with(None).await
    }

    async fn start_with(tls: Option<TlsAcceptor>) -> Arc<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let state = Arc::new(State {
            fault: Mutex::new(Fault::None),
            connections: AtomicUsize::new(0),
            requests: AtomicUsize::new(0),
            requested: Notify::new(),
        });
        let address = listener.local_addr().unwrap();
        let server = Arc::new(Self { key: SoftKey::generate(), address, state });
        tokio::spawn(Arc::clone(&server).accept(listener, tls));
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/2026h2", self.address)
    }

    pub(crate) fn misbehave(&self, fault: Fault) {
        *self.state.fault.lock().unwrap() = fault;
    }

    pub(crate) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::Relaxed)
    }

    pub(crate) fn requests(&self) -> usize {
        self.state.requests.load(Ordering::Relaxed)
    }

    /// Ends when a request has come, or had come before.
    pub(crate) async fn requested(&self) {
        self.state.requested.notified().await;
    }

    async fn accept(self: Arc<Self>, listener: TcpListener, tls: Option<TlsAcceptor>) {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            self.state.connections.fetch_add(1, Ordering::Relaxed);
            let server = Arc::clone(&self);
            let tls = tls.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request| Arc::clone(&server).answer(request));
                let http = hyper::server::conn::http1::Builder::new();
                // A client that breaks off, or that doesn't trust the certificate, is what some tests are about.
                match tls {
                    None => drop(http.serve_connection(TokioIo::new(stream), service).await),
                    Some(tls) => {
                        if let Ok(stream) = tls.accept(stream).await {
                            drop(http.serve_connection(TokioIo::new(stream), service).await);
                        }
                    }
                }
            });
        }
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Broken> {
        let path = request.uri().path().to_owned();
        let body = request.into_body().collect().await.unwrap().to_bytes();
        self.state.requests.fetch_add(1, Ordering::Relaxed);
        self.state.requested.notify_one();
        let fault = *self.state.fault.lock().unwrap();
        let (status, text) = match fault {
            Fault::Status(status) => (StatusCode::from_u16(status).unwrap(), b"out of\norder\n".to_vec()),
            Fault::Redirect => (StatusCode::FOUND, Vec::new()),
            Fault::Hangs => std::future::pending().await,
            Fault::BreaksOff => return Err(Broken),
            Fault::BreaksOffOnce => {
                self.misbehave(Fault::None);
                return Err(Broken);
            }
            Fault::Garbage => (StatusCode::OK, b"<html>welcome</html>".to_vec()),
            Fault::TooLong => (StatusCode::OK, vec![b' '; 100_000]),
            Fault::None
            | Fault::WrongSignature
            | Fault::WrongId
            | Fault::WrongVersion
            | Fault::WrongAlgorithm
            | Fault::LongExtensions
            | Fault::InTheFuture => (StatusCode::OK, self.tell(&path, &body, fault)),
        };
        let mut response = Response::new(Full::from(text));
        *response.status_mut() = status;
        if status == StatusCode::FOUND {
            response.headers_mut().insert("location", "https://ct.example.org/".parse().unwrap());
        }
        Ok(response)
    }

    fn tell(&self, path: &str, body: &[u8], fault: Fault) -> Vec<u8> {
        match path {
            "/2026h2/ct/v1/add-pre-chain" => self.add_pre_chain(body, fault),
            "/2026h2/ct/v1/get-sth" => self.tree_head(fault),
            "/2026h2/checkpoint" => checkpoint(),
            other => panic!("{other} is none of this log's paths"),
        }
    }

    fn add_pre_chain(&self, body: &[u8], fault: Fault) -> Vec<u8> {
        let request: AddPreChain = serde_json::from_slice(body).unwrap();
        let precertificate = Certificate::from_der(&request.chain[0].0).unwrap();
        let issuer = Certificate::from_der(&request.chain[1].0).unwrap();
        assert!(precertificate.is_precertificate());
        precertificate.verify_signed_by(issuer.public_key()).unwrap();
        let entry =
            PrecertEntry { issuer_key_hash: issuer.public_key().spki_hash(), tbs: precertificate.tbs().without_ct() };
        let timestamp = if fault == Fault::InTheFuture { NOW.plus(Duration::from_secs(120)) } else { NOW };
        let extensions = if fault == Fault::LongExtensions { vec![0; 2_000] } else { vec![0; 8] };
        let mut signed = entry.signed_data(timestamp, &extensions);
        if fault == Fault::WrongSignature {
            signed.push(0);
        }
        let mut signature = DigitallySigned::sha256(self.key.public_key(), self.key.signature(&signed)).unwrap();
        if fault == Fault::WrongAlgorithm {
            signature.hash = 2;
        }
        let id = if fault == Fault::WrongId { LogId([7; 32]) } else { LogId::of(self.key.public_key()) };
        serde_json::to_vec(&AddedChain {
            sct_version: u8::from(fault == Fault::WrongVersion),
            id,
            timestamp: Millis(timestamp),
            extensions: Base64(extensions),
            signature: Base64(signature.to_tls()),
        })
        .unwrap()
    }

    fn tree_head(&self, fault: Fault) -> Vec<u8> {
        let root = Sha256::of(b"");
        let mut signed = tree::tree_head_signed_data(NOW, 0, &root);
        if fault == Fault::WrongSignature {
            signed.push(0);
        }
        let signature = DigitallySigned::sha256(self.key.public_key(), self.key.signature(&signed)).unwrap();
        serde_json::to_vec(&SignedTreeHead {
            tree_size: 0,
            timestamp: Millis(NOW),
            sha256_root_hash: Hash(root),
            tree_head_signature: Base64(signature.to_tls()),
        })
        .unwrap()
    }
}

fn checkpoint() -> Vec<u8> {
    let root = data_encoding::BASE64.encode(Sha256::of(b"").as_bytes());
    format!("example.org/2026h2\n0\n{root}\n\n\u{2014} example.org/2026h2 AAAA\n").into_bytes()
}

/// The connection is closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("broken")]
struct Broken;

impl From<Infallible> for Broken {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// The same log over TLS, with this certificate.
pub(crate) async fn serve_tls(certificate: Vec<u8>, key: &SoftKey) -> Arc<LogServer> {
    let key = PrivateKeyDer::try_from(key.pkcs8()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(certificate)], key)
        .unwrap();
    LogServer::start_with(Some(TlsAcceptor::from(Arc::new(config)))).await
}
