//! What may be a name in a certificate: syntax of host names, and which names and addresses are public.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// RFC 1035 §2.3.4, counted in text without the trailing dot.
const NAME_OCTETS_MAX: usize = 253;
const LABEL_OCTETS_MAX: usize = 63;

/// The name without a wildcard label.
pub(super) fn without_wildcard(name: &str) -> &str {
    name.strip_prefix("*.").unwrap_or(name)
}

/// The preferred name syntax of RFC 1034 §3.5 as RFC 1123 §2.1 changed it, after a wildcard label.
pub(super) fn is_host_name(name: &str) -> bool {
    let name = without_wildcard(name);
    name.len() <= NAME_OCTETS_MAX && name.split('.').all(is_label)
}

fn is_label(label: &str) -> bool {
    let octets = label.as_bytes();
    let edges = [octets.first(), octets.last()];
    octets.len() <= LABEL_OCTETS_MAX
        && edges.iter().all(|edge| edge.is_some_and(u8::is_ascii_alphanumeric))
        && octets.iter().all(|octet| octet.is_ascii_alphanumeric() || *octet == b'-')
}

/// A label with hyphens in its third and fourth place that is no A-label (RFC 5890 §2.3.1).
pub(super) fn has_reserved_label(name: &str) -> bool {
    name.split('.').any(|label| label.as_bytes().get(2..4) == Some(b"--") && !starts_with_ignoring_case(label, "xn--"))
}

fn starts_with_ignoring_case(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// Whether the top-level domain is delegated: it stands in the ICANN section of the public suffix list. `.onion`
/// stands there too, but nothing here can validate it (BR appendix B).
pub(super) fn is_under_public_tld(name: &str) -> bool {
    let name = without_wildcard(name);
    let tld = name.rsplit('.').next().unwrap_or_default();
    // The whole name is asked as well: of some TLDs the list knows only what is below them (`*.ck`).
    let known = |name: &str| psl::suffix(name.as_bytes()).is_some_and(|suffix| suffix.is_known());
    tld != "onion" && name.contains('.') && (known(tld) || known(name))
}

/// A wildcard over everything that is registered under an ICANN suffix, like `*.co.uk`.
pub(super) fn is_wildcard_over_public_suffix(name: &str) -> bool {
    let Some(parent) = name.strip_prefix("*.") else {
        return false;
    };
    psl::suffix(parent.as_bytes())
        .is_some_and(|suffix| suffix.as_bytes() == parent.as_bytes() && suffix.typ() != Some(psl::Type::Private))
}

/// The zones in which addresses are looked up (RFC 1035 §3.5, RFC 3596 §2.5).
pub(super) fn is_in_reverse_zone(name: &str) -> bool {
    ["in-addr.arpa", "ip6.arpa"]
        .iter()
        .any(|zone| name.strip_suffix(zone).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')))
}

/// An address from its octets, if they are as many as an address has.
pub(super) fn ip_address(octets: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(octets) {
        return Some(Ipv4Addr::from(octets).into());
    }
    <[u8; 16]>::try_from(octets).ok().map(|octets| Ipv6Addr::from(octets).into())
}

/// Whether IANA's special-purpose registries (RFC 6890) say that the address is not globally reachable.
pub(super) fn is_reserved(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_reserved_v4(v4),
        IpAddr::V6(v6) => is_reserved_v6(v6),
    }
}

fn is_reserved_v4(address: Ipv4Addr) -> bool {
    const BLOCKS: [([u8; 4], u32); 14] = [
        ([0, 0, 0, 0], 8),
        ([10, 0, 0, 0], 8),
        ([100, 64, 0, 0], 10),
        ([127, 0, 0, 0], 8),
        ([169, 254, 0, 0], 16),
        ([172, 16, 0, 0], 12),
        ([192, 0, 0, 0], 24),
        ([192, 0, 2, 0], 24),
        ([192, 88, 99, 0], 24),
        ([192, 168, 0, 0], 16),
        ([198, 18, 0, 0], 15),
        ([198, 51, 100, 0], 24),
        ([203, 0, 113, 0], 24),
        // Multicast and the former class E together.
        ([224, 0, 0, 0], 3),
    ];
    let address = u32::from(address);
    BLOCKS.iter().any(|(block, length)| (address ^ u32::from_be_bytes(*block)) >> (32 - length) == 0)
}

fn is_reserved_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    // Nothing but 2000::/3 is global unicast; inside it: protocol assignments 2001::/23, documentation
    // 2001:db8::/32 and 3fff::/20, 6to4 2002::/16.
    first & 0xe000 != 0x2000
        || (first == 0x2001 && (second < 0x0200 || second == 0x0db8))
        || first == 0x2002
        || (first == 0x3fff && second < 0x1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_have_the_preferred_syntax() {
        let long_label = "a".repeat(64);
        let long_name = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(62)].join(".");
        for good in
            ["a", "example.com", "*.example.com", "xn--nxasmq6b.example", "1.2.3.example", "a-b.c", &long_name[1..]]
        {
            assert!(is_host_name(good), "{good}");
        }
        for bad in [
            "",
            "a.",
            ".a",
            "a..b",
            "-a.b",
            "a-.b",
            "a_b.c",
            "a b",
            "*",
            "*.*.a",
            "a.*.b",
            "*a.b",
            &long_label,
            &long_name,
        ] {
            assert!(!is_host_name(bad), "{bad}");
        }
    }

    #[test]
    fn public_names_are_under_delegated_tlds() {
        for good in ["example.com", "*.example.co.uk", "me.github.io", "a.b.ck", "a.xn--p1ai"] {
            assert!(is_under_public_tld(good), "{good}");
        }
        for bad in ["db.internal", "a.localhost", "com", "printer", "x.onion", "host.local", "10.0.0.1"] {
            assert!(!is_under_public_tld(bad), "{bad}");
        }
    }

    #[test]
    fn wildcards_stand_below_a_registrable_domain() {
        for bad in ["*.com", "*.co.uk", "*.internal"] {
            assert!(is_wildcard_over_public_suffix(bad), "{bad}");
        }
        for good in ["*.example.com", "com", "*.github.io", "*.a.internal"] {
            assert!(!is_wildcard_over_public_suffix(good), "{good}");
        }
    }

    #[test]
    fn reserved_labels_are_those_that_look_like_a_labels_but_are_not() {
        assert!(has_reserved_label("ab--c.example"));
        assert!(!has_reserved_label("xn--c.example"));
        assert!(!has_reserved_label("a--b.example"));
    }

    #[test]
    fn reverse_zones_end_at_a_label() {
        assert!(is_in_reverse_zone("1.2.0.192.in-addr.arpa"));
        assert!(is_in_reverse_zone("8.b.d.0.1.0.0.2.ip6.arpa"));
        assert!(!is_in_reverse_zone("xin-addr.arpa"));
        assert!(!is_in_reverse_zone("in-addr.arpa.example"));
    }

    #[test]
    fn special_purpose_addresses_are_reserved() {
        for reserved in [
            "0.0.0.1",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.1.1",
            "172.31.0.1",
            "192.0.2.1",
            "192.168.1.1",
            "198.19.0.1",
            "198.51.100.9",
            "203.0.113.7",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "fe80::1",
            "fd00::1",
            "2001:db8::1",
            "2001::1",
            "2002::1",
            "64:ff9b::1",
            "3fff::1",
        ] {
            assert!(is_reserved(reserved.parse().unwrap()), "{reserved}");
        }
        for public in ["8.8.8.8", "100.128.0.1", "172.32.0.1", "198.20.0.1", "2606:4700::1", "2001:4860::8888"] {
            assert!(!is_reserved(public.parse().unwrap()), "{public}");
        }
    }

    #[test]
    fn addresses_have_four_or_sixteen_octets() {
        assert_eq!(ip_address(&[192, 0, 2, 1]), Some("192.0.2.1".parse().unwrap()));
        assert_eq!(ip_address(&[0; 16]), Some("::".parse().unwrap()));
        assert_eq!(ip_address(&[0; 5]), None);
    }
}
