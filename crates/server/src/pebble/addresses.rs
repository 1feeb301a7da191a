//! Addresses as programs in Go write them: HOST:PORT, or :PORT for every address of this machine.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};

/// Where to listen. Every address of this machine means those of IPv6 too, as in Go.
///
/// # Errors
/// It is no address of this machine; the text says what would be right.
pub(super) fn to_listen_on(text: &str) -> Result<SocketAddr, String> {
    let address = if text.starts_with(':') { first(&format!("0.0.0.0{text}"))? } else { first(text)? };
    if address.ip().is_unspecified() && both_families() {
        return Ok(SocketAddr::from((Ipv6Addr::UNSPECIFIED, address.port())));
    }
    Ok(address)
}

/// Whom to ask.
///
/// # Errors
/// The host has no address, or the text no port.
pub(super) fn to_ask(text: &str) -> Result<SocketAddr, String> {
    let address = if text.starts_with(':') { first(&format!("127.0.0.1{text}"))? } else { first(text)? };
    match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, address.port()))),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ok(SocketAddr::from((Ipv6Addr::LOCALHOST, address.port()))),
        IpAddr::V4(_) | IpAddr::V6(_) => Ok(address),
    }
}

fn first(text: &str) -> Result<SocketAddr, String> {
    let expected = "expected HOST:PORT, such as 127.0.0.1:8053";
    let mut found = text.to_socket_addrs().map_err(|error| format!("{text:?} can't be used ({error}); {expected}"))?;
    found.next().ok_or_else(|| format!("{text:?} has no address; {expected}"))
}

fn both_families() -> bool {
    TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_go_reads_them() {
        assert_eq!(to_ask(":8053"), Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, 8053))));
        assert_eq!(to_ask("0.0.0.0:53"), Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, 53))));
        assert_eq!(to_ask("192.0.2.1:53"), Ok(SocketAddr::from(([192, 0, 2, 1], 53))));
        assert_eq!(to_listen_on("127.0.0.1:1").map(|address| address.port()), Ok(1));
        for all in [":14000", "0.0.0.0:14000", "[::]:14000"] {
            let address = to_listen_on(all).expect("an address");
            assert!(address.ip().is_unspecified() && address.port() == 14000, "{all}: {address}");
        }
        for wrong in ["8053", "127.0.0.1", "127.0.0.1:port", ""] {
            let error = to_ask(wrong).expect_err(wrong);
            assert!(error.contains("HOST:PORT"), "{error}");
        }
    }
}
