//! Which addresses validation may connect to (RFC 8555 §10.4): a client chooses the names, so it must not choose them
//! to make the CA talk to what only the CA can reach.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

/// No validation target ever lives there: the special-purpose registries of RFC 6890 without loopback and private use.
const NEVER: &[&str] = &[
    "0.0.0.0/8",
    "169.254.0.0/16",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::/96",
    "100::/64",
    "2001::/23",
    "2001:db8::/32",
    "2002::/16",
    "3fff::/20",
    "5f00::/16",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
    // Where clouds keep the secrets of their machines, as far as it is not link-local.
    "100.100.100.200/32",
    "168.63.129.16/32",
    "fd00:ec2::254/128",
    "fd20:ce::254/128",
];

const LOOPBACK: &[&str] = &["127.0.0.0/8", "::1/128"];

/// Private use, shared and benchmarking space, and the prefix for local translation to IPv4.
const PRIVATE: &[&str] =
    &["10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "198.18.0.0/15", "64:ff9b:1::/48", "fc00::/7"];

/// The networks that validation may connect to, and those that it may not.
///
/// The longest network that holds an address decides; of two equal ones the later. What no network holds is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetPolicy {
    rules: Vec<(IpNet, Verdict)>,
    barred: Vec<IpNet>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Allow,
    Deny,
}

/// An address that validation does not connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{address} lies in {network}, to which this CA does not connect")]
pub struct Forbidden {
    /// The address asked for.
    pub address: IpAddr,
    /// The network whose rule it is.
    pub network: IpNet,
}

impl TargetPolicy {
    /// Global addresses only: what a CA for the web validates.
    pub fn public() -> Self {
        Self::private().with_denied(&networks(PRIVATE))
    }

    /// Global and private addresses, but not loopback, link-local, multicast, unspecified, documentation and the like.
    pub fn private() -> Self {
        Self { rules: Vec::new(), barred: Vec::new() }.with_denied(&networks(NEVER)).with_denied(&networks(LOOPBACK))
    }

    /// As [`TargetPolicy::private`], and loopback too: for tests on one machine.
    pub fn dev() -> Self {
        Self::private().with_allowed(&networks(LOOPBACK))
    }

    /// The same policy with these networks allowed.
    #[must_use]
    pub fn with_allowed(self, networks: &[IpNet]) -> Self {
        self.with(networks, Verdict::Allow)
    }

    /// The same policy with these networks denied, such as the CA's own.
    #[must_use]
    pub fn with_denied(self, networks: &[IpNet]) -> Self {
        self.with(networks, Verdict::Deny)
    }

    /// The same policy, but for these networks, to which nothing connects whatever else is said.
    #[must_use]
    pub fn with_barred(mut self, networks: &[IpNet]) -> Self {
        self.barred.extend_from_slice(networks);
        self
    }

    fn with(mut self, networks: &[IpNet], verdict: Verdict) -> Self {
        self.rules.extend(networks.iter().map(|network| (*network, verdict)));
        self
    }

    /// Whether validation may connect to the address. An address that carries an IPv4 address to be translated to
    /// (IPv4-mapped, RFC 4291 §2.5.5.2; NAT64, RFC 6052 §2.1) counts as that one.
    ///
    /// # Errors
    /// [`Forbidden`] names the network that holds it.
    pub fn check(&self, address: IpAddr) -> Result<(), Forbidden> {
        let effective = translated(address);
        let bars = |network: &&IpNet| network.contains(&effective) || network.contains(&address);
        if let Some(network) = self.barred.iter().find(bars) {
            return Err(Forbidden { address, network: *network });
        }
        let longest = self
            .rules
            .iter()
            .filter(|(network, _)| network.contains(&effective))
            // The last of equal ones is the maximum.
            .max_by_key(|(network, _)| network.prefix_len());
        match longest {
            Some((network, Verdict::Deny)) => Err(Forbidden { address, network: *network }),
            Some((_, Verdict::Allow)) | None => Ok(()),
        }
    }
}

fn networks(texts: &[&str]) -> Vec<IpNet> {
    texts.iter().map(|text| text.parse().expect("the constants above are networks")).collect()
}

fn translated(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address.to_canonical() else {
        return address.to_canonical();
    };
    match v6.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            IpAddr::V4(Ipv4Addr::from_bits((u32::from(high) << 16) | u32::from(low)))
        }
        _ => IpAddr::V6(v6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_barred_network_stays_barred_whatever_else_is_allowed() {
        let policy = TargetPolicy::dev().with_allowed(&networks(&["10.5.0.0/16"])).with_barred(&networks(&[
            "10.0.0.0/8",
            "64:ff9b::/96",
            "127.0.0.0/8",
        ]));
        for address in ["10.5.0.1", "64:ff9b::8.8.8.8", "127.0.0.1"] {
            assert!(!allows(&policy, address), "{address}");
        }
        assert!(allows(&policy, "::1"));
    }

    #[test]
    fn metadata_services_of_clouds_are_no_targets() {
        for address in ["100.100.100.200", "168.63.129.16", "fd00:ec2::254", "169.254.169.254"] {
            assert!(!allows(&TargetPolicy::private(), address), "{address}");
        }
    }

    fn allows(policy: &TargetPolicy, address: &str) -> bool {
        policy.check(address.parse().unwrap()).is_ok()
    }

    const GLOBAL: [&str; 4] = ["8.8.8.8", "193.0.6.139", "2606:4700::1111", "2a00:1450:4001::5"];
    const LOCAL: [&str; 6] = ["10.1.2.3", "172.31.0.1", "192.168.0.1", "100.100.0.1", "fd00::1", "198.19.0.1"];
    const LOOPS: [&str; 3] = ["127.0.0.1", "127.9.9.9", "::1"];
    const NOWHERE: [&str; 15] = [
        "0.0.0.0",
        "0.1.2.3",
        "169.254.169.254",
        "192.0.2.7",
        "203.0.113.9",
        "224.0.0.251",
        "255.255.255.255",
        "::",
        "::7f00:1",
        "2001:db8::1",
        "2002:7f00:1::1",
        "2001::1",
        "fe80::1",
        "ff02::1",
        "100::1",
    ];

    #[test]
    fn public_policy_allows_global_addresses_only() {
        let policy = TargetPolicy::public();
        assert!(GLOBAL.iter().all(|address| allows(&policy, address)));
        for address in LOCAL.iter().chain(&LOOPS).chain(&NOWHERE) {
            assert!(!allows(&policy, address), "{address}");
        }
    }

    #[test]
    fn private_policy_allows_private_networks_but_not_loopback() {
        let policy = TargetPolicy::private();
        assert!(GLOBAL.iter().chain(&LOCAL).all(|address| allows(&policy, address)));
        for address in LOOPS.iter().chain(&NOWHERE) {
            assert!(!allows(&policy, address), "{address}");
        }
    }

    #[test]
    fn dev_policy_allows_loopback_but_nothing_without_a_host() {
        let policy = TargetPolicy::dev();
        assert!(GLOBAL.iter().chain(&LOCAL).chain(&LOOPS).all(|address| allows(&policy, address)));
        for address in NOWHERE {
            assert!(!allows(&policy, address), "{address}");
        }
    }

    #[test]
    fn ipv4_address_within_ipv6_is_judged_as_ipv4() {
        for address in ["::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe"] {
            assert!(!allows(&TargetPolicy::private(), address), "{address}");
        }
        assert!(allows(&TargetPolicy::public(), "64:ff9b::8.8.8.8"));
        assert!(!allows(&TargetPolicy::public(), "64:ff9b::10.0.0.1"));
    }

    #[test]
    fn longest_network_decides_and_of_equals_the_later() {
        let nets = |texts: &[&str]| networks(texts);
        let policy = TargetPolicy::private()
            .with_denied(&nets(&["10.0.0.0/8"]))
            .with_allowed(&nets(&["10.5.0.0/16", "127.0.0.0/8"]))
            .with_denied(&nets(&["10.5.5.0/24"]));
        assert!(!allows(&policy, "10.4.0.1"));
        assert!(allows(&policy, "10.5.4.1"));
        assert!(!allows(&policy, "10.5.5.1"));
        assert!(allows(&policy, "127.0.0.1"));
    }

    #[test]
    fn refusal_names_address_and_network() {
        let refusal = TargetPolicy::public().check("10.0.0.1".parse().unwrap()).unwrap_err();
        assert_eq!(refusal.to_string(), "10.0.0.1 lies in 10.0.0.0/8, to which this CA does not connect");
    }
}
