//! What an operator can set, with the limits of everything.

use std::net::SocketAddr;
use std::time::Duration;

use crate::targets::TargetPolicy;

/// How validation looks at the world.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where http-01 begins, and where redirects to `http` URLs go: 80 (RFC 8555 §8.3), another one for tests only.
    pub http_port: u16,
    /// Where redirects to `https` URLs go: 443 (BR 3.2.2.4.19), another one for tests only.
    pub https_port: u16,
    /// Where tls-alpn-01 connects: 443 (RFC 8737 §3), another one for tests only.
    pub tls_alpn_port: u16,
    /// The recursive resolvers to ask, in this order; if empty, those of `/etc/resolv.conf` at the start.
    pub resolvers: Vec<SocketAddr>,
    /// The addresses that may be connected to.
    pub targets: TargetPolicy,
    /// `localhost` and names below it are this machine, without DNS (RFC 6761 §6.3). For tests only.
    pub localhost_names: bool,
    /// The domain names that stand for this CA in `issue` and `issuewild` records (RFC 8659 §4.2).
    pub caa_identities: Vec<String>,
    /// The `User-Agent` of http-01 requests: names the CA, so that a site's owner knows who asked.
    pub user_agent: String,
    /// Redirects that one http-01 test follows (BR 3.2.2.4.19 wants a limit).
    pub redirects_max: usize,
    /// Octets of body that an http-01 answer may have: a key authorization and white space after it need few.
    pub body_octets_max: usize,
    /// Octets of status line and headers that an http-01 answer may have.
    pub header_octets_max: usize,
    /// Time for one address to accept a connection.
    pub dial_time_limit: Duration,
    /// Time for one try of a DNS query with one resolver.
    pub dns_try_time_limit: Duration,
    /// Tries of a DNS query, over all resolvers, until it counts as failed. At least 2 are made (BR 3.2.2.8).
    pub dns_tries_max: usize,
    /// DNS queries under way at the same time; others wait.
    pub dns_queries_max: usize,
    /// Whether the letters of DNS queries are in a random case.
    pub dns_mixed_case: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            http_port: 80,
            https_port: 443,
            tls_alpn_port: 443,
            resolvers: Vec::new(),
            targets: TargetPolicy::private(),
            localhost_names: false,
            caa_identities: Vec::new(),
            user_agent: concat!("Cairn/", env!("CARGO_PKG_VERSION"), " (certificate authority; ACME http-01)")
                .to_owned(),
            redirects_max: 10,
            body_octets_max: 4 * 1024,
            header_octets_max: 16 * 1024,
            dial_time_limit: Duration::from_secs(4),
            dns_try_time_limit: Duration::from_secs(3),
            dns_tries_max: 3,
            dns_queries_max: 256,
            dns_mixed_case: true,
        }
    }
}
