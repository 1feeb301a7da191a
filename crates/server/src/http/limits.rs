//! The limits of a listener, so that no peer can hold what others need.

use std::time::Duration;

use http::HeaderMap;

/// What a listener grants its peers. Each has its key in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerLimits {
    /// Connections at the same time.
    pub connections: usize,
    /// Of these, connections of one network: an IPv4 address, or the 64 bits of an IPv6 address that a site is given.
    pub connections_per_address: usize,
    /// A TLS handshake that takes longer ends its connection.
    pub handshake_time: Duration,
    /// HTTP/1.1: a connection on which the head of a request, the first or the next, takes longer is closed.
    pub header_time: Duration,
    /// The body of a request has to be there within this time.
    pub body_time: Duration,
    /// A peer that takes less than 16 KiB of what waits for it in this time is cut off.
    pub write_time: Duration,
    /// A connection on which nothing happens for so long is closed; answers to pings are nothing.
    pub idle_time: Duration,
    /// Requests in progress get this long when their connection, or the server, is to end.
    pub stop_time: Duration,
    /// Headers of a request. Half as many more end its connection before anybody could say why.
    pub headers: usize,
    /// Octets of the headers of a request. Twice as many end its connection before anybody could say why.
    pub header_octets: u32,
    /// HTTP/2: requests of one connection at the same time.
    pub streams: u32,
    /// HTTP/2: requests that a peer has reset and that were not looked at yet; more end its connection
    /// (CVE-2023-44487).
    pub stream_resets: usize,
}

impl ListenerLimits {
    /// What the protocol's reader stops at.
    pub(super) const fn headers_hard(&self) -> usize {
        self.headers.saturating_add(self.headers / 2)
    }

    /// What the protocol's reader stops at: of HTTP/1.1 the whole head, which has the URL too.
    pub(super) const fn header_octets_hard(&self) -> u32 {
        self.header_octets.saturating_mul(2)
    }

    /// Whether these headers are more than a request may have.
    pub fn exceeded_by(&self, headers: &HeaderMap) -> bool {
        let octets = || headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>();
        headers.len() > self.headers || octets() > self.header_octets as usize
    }
}
