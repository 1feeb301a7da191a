//! What the tests share: servers, a client that can also be wrong, a web server for challenges, certificate requests.

pub(crate) mod account;
pub(crate) mod client;
pub(crate) mod connection;
pub(crate) mod csr;
pub(crate) mod der;
pub(crate) mod pebble;
pub(crate) mod ports;
pub(crate) mod problem;
pub(crate) mod records;
pub(crate) mod responder;
pub(crate) mod server;
pub(crate) mod world;
