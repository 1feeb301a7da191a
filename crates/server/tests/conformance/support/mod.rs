//! What all cases share: a world with a server in it, a client that can also be wrong, and what refusals look like.

pub(crate) mod account;
pub(crate) mod answer;
pub(crate) mod case;
pub(crate) mod certificate;
pub(crate) mod client;
pub(crate) mod connection;
pub(crate) mod dns;
pub(crate) mod draft;
pub(crate) mod openssl;
pub(crate) mod order;
pub(crate) mod responder;
pub(crate) mod server;
pub(crate) mod spoiler;
pub(crate) mod tls;
pub(crate) mod watch;
pub(crate) mod world;
