//! Peers who are slow, many, or mean no good: they are cut off, and others are served.

mod crowd;
mod guard;
mod http2;
mod nonces;
mod slow;
mod tls;
mod wire;
