//! The name servers of `/etc/resolv.conf`, and nothing else of it (resolv.conf(5)).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

/// As many as the C library uses.
const SERVERS_MAX: usize = 3;
const DNS_PORT: u16 = 53;

/// The resolvers of this machine. As in the C library, that is the one on this host if the file names none, or can't be
/// read.
pub(super) fn system_resolvers(path: &Path) -> Vec<SocketAddr> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let servers = name_servers(&text);
    if servers.is_empty() { vec![SocketAddr::from((Ipv4Addr::LOCALHOST, DNS_PORT))] } else { servers }
}

/// The `nameserver` lines. Addresses with a zone are left out: they mean something on one interface only.
fn name_servers(text: &str) -> Vec<SocketAddr> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            let address = (words.next()? == "nameserver").then(|| words.next())??;
            Some(SocketAddr::new(address.parse::<IpAddr>().ok()?, DNS_PORT))
        })
        .take(SERVERS_MAX)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_server_lines_are_read_and_the_rest_is_not() {
        let text = "# nameserver 9.9.9.9\ndomain a.example\nsearch b.example c.example\n nameserver\t192.0.2.1 # 1\n\
                    nameserver fe80::1%eth0\nnameserver 2001:db8::53\noptions ndots:5\nnameserver\n\
                    nameservers 8.8.8.8\nnameserver 192.0.2.3\nnameserver 192.0.2.4\n";
        let expected: Vec<SocketAddr> = ["192.0.2.1:53", "[2001:db8::53]:53", "192.0.2.3:53"]
            .iter()
            .map(|server| server.parse().unwrap())
            .collect();
        assert_eq!(name_servers(text), expected);
    }

    #[test]
    fn without_a_name_server_the_one_on_this_host_is_asked() {
        let nowhere = Path::new("/nonexistent/resolv.conf");
        assert_eq!(system_resolvers(nowhere), ["127.0.0.1:53".parse().unwrap()]);
    }
}
