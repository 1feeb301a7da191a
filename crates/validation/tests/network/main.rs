//! The validator against real name servers, HTTP servers and TLS servers on loopback, honest and hostile ones.

#![allow(clippy::unwrap_used, reason = "all of this is test code, also what stands outside of test functions")]

mod caa;
mod certificate;
mod clock;
mod dns01;
mod dns_server;
mod http01;
mod http_hostile;
mod http_server;
mod resolver;
mod scene;
mod tls_alpn01;
mod tls_server;
