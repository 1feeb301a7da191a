//! Where an http-01 redirect may lead (RFC 8555 §8.3, §10.4; BR 3.2.2.4.19). Pure.

use std::fmt;
use std::net::IpAddr;

use acme::{DnsName, Identifier};
use url::{Position, Url};

use crate::addresses::{Host, is_localhost};
use crate::evidence::excerpt;
use crate::settings::Settings;

const LOCATION_OCTETS_MAX: usize = 2_048;
const HTTP_DEFAULT_PORT: u16 = 80;
const HTTPS_DEFAULT_PORT: u16 = 443;

/// What an http-01 test fetches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) scheme: Scheme,
    pub(crate) host: Host,
    pub(crate) port: u16,
    pub(crate) path_and_query: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    Https,
}

impl Target {
    /// The value of the `Host` header: with the port only where it is not the scheme's own.
    pub(crate) fn authority(&self) -> String {
        let default = match self.scheme {
            Scheme::Http => HTTP_DEFAULT_PORT,
            Scheme::Https => HTTPS_DEFAULT_PORT,
        };
        if self.port == default { self.host.to_string() } else { format!("{}:{}", self.host, self.port) }
    }

    /// The URL that a redirect from here names, if validation may go there. The error says which rule it breaks.
    pub(crate) fn redirected(
        &self,
        location: &[u8],
        identifier: &Identifier,
        settings: &Settings,
    ) -> Result<Self, String> {
        let refusal = |rule: &str| format!("{self} redirects to {}: {rule}", excerpt(location));
        if location.len() > LOCATION_OCTETS_MAX {
            return Err(refusal("this URL is longer than 2048 octets"));
        }
        let text = std::str::from_utf8(location).map_err(|_| refusal("this is no URL"))?;
        let base = Url::parse(&self.to_string()).map_err(|_| refusal("this is no URL"))?;
        let url = base.join(text).map_err(|_| refusal("this is no URL"))?;
        let scheme = match url.scheme() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return Err(refusal("only http and https URLs are followed")),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refusal("a URL with a user name or password is not followed"));
        }
        let own_port = match scheme {
            Scheme::Http => settings.http_port,
            Scheme::Https => settings.https_port,
        };
        // `url` drops a scheme's default port: what is written out otherwise has to be one of ours.
        let port = url.port().unwrap_or(own_port);
        if port != settings.http_port && port != settings.https_port {
            let (http, https) = (settings.http_port, settings.https_port);
            return Err(refusal(&format!("only the ports {http} and {https} are allowed")));
        }
        let host = host(&url, identifier, settings.localhost_names).map_err(refusal)?;
        let path_and_query = url[Position::BeforePath..Position::AfterQuery].to_owned();
        Ok(Self { scheme, host, port, path_and_query })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        write!(f, "{scheme}://{}{}", self.authority(), self.path_and_query)
    }
}

fn host(url: &Url, identifier: &Identifier, localhost_names: bool) -> Result<Host, &'static str> {
    let address: IpAddr = match url.host() {
        Some(url::Host::Domain(name)) => {
            let name = DnsName::parse_host(name).map_err(|_| "its host is no valid name")?;
            let local = localhost_names && is_localhost(name.as_str());
            if !local && name.parent().is_none() {
                return Err("its host is a single label, which is no name of the DNS as a whole");
            }
            return Ok(Host::Name(name.as_str().to_owned()));
        }
        Some(url::Host::Ipv4(address)) => address.into(),
        Some(url::Host::Ipv6(address)) => address.into(),
        None => return Err("it has no host"),
    };
    match identifier {
        Identifier::Ip(_) => Ok(Host::Address(address)),
        Identifier::Dns(_) | Identifier::Wildcard(_) => {
            Err("its host is an IP address, which is followed for IP identifiers only")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Target {
        Target {
            scheme: Scheme::Http,
            host: Host::Name("a.example".to_owned()),
            port: 80,
            path_and_query: "/.well-known/acme-challenge/token".to_owned(),
        }
    }

    fn follow_for(identifier: &str, location: &str) -> Result<String, String> {
        let identifier: Identifier = identifier.parse().unwrap();
        start().redirected(location.as_bytes(), &identifier, &Settings::default()).map(|target| target.to_string())
    }

    fn follow(location: &str) -> Result<String, String> {
        follow_for("a.example", location)
    }

    #[test]
    fn good_redirects_are_resolved_against_where_they_come_from() {
        for (location, expected) in [
            ("https://B.example:443/x?y=1&z#fragment", "https://b.example/x?y=1&z"),
            ("http://b.example", "http://b.example/"),
            ("//b.example/x", "http://b.example/x"),
            ("/x?q", "http://a.example/x?q"),
            ("?q", "http://a.example/.well-known/acme-challenge/token?q"),
            ("other", "http://a.example/.well-known/acme-challenge/other"),
            ("http://b.example:443/", "http://b.example:443/"),
            ("http://b\u{fc}cher.example/", "http://xn--bcher-kva.example/"),
        ] {
            assert_eq!(follow(location).as_deref(), Ok(expected), "{location}");
        }
    }

    #[test]
    fn forbidden_redirects_name_the_rule_they_break() {
        for (location, rule) in [
            ("ftp://b.example/", "only http and https"),
            ("gopher://b.example:70/", "only http and https"),
            ("file:///etc/passwd", "only http and https"),
            ("http://b.example:8080/", "only the ports 80 and 443"),
            ("https://b.example:22/", "only the ports 80 and 443"),
            ("http://user@b.example/", "user name or password"),
            ("http://:secret@b.example/", "user name or password"),
            ("http://192.0.2.1/", "IP address"),
            ("http://[::1]/", "IP address"),
            ("http://2130706433/", "IP address"),
            ("http://0x7f.1/", "IP address"),
            ("http://intranet/", "single label"),
            ("http://localhost/", "single label"),
            ("http://b.example./", "no valid name"),
            ("http://", "no URL"),
            ("http://[::1", "no URL"),
        ] {
            let refusal = follow(location).unwrap_err();
            assert!(refusal.contains(rule), "{location}: {refusal}");
            assert!(
                refusal.starts_with("http://a.example/.well-known/acme-challenge/token redirects to \""),
                "{refusal}"
            );
        }
        let long = format!("/{}", "x".repeat(LOCATION_OCTETS_MAX));
        assert!(follow(&long).unwrap_err().contains("longer than 2048"));
        let refusal = start().redirected(b"http://\xff/", &"a.example".parse().unwrap(), &Settings::default());
        assert!(refusal.unwrap_err().contains("no URL"));
    }

    #[test]
    fn ip_identifier_may_be_redirected_to_an_address() {
        assert_eq!(follow_for("192.0.2.1", "https://192.0.2.9/x").unwrap(), "https://192.0.2.9/x");
        assert_eq!(follow_for("2001:db8::1", "http://[2001:db8::9]/").unwrap(), "http://[2001:db8::9]/");
    }

    #[test]
    fn host_header_has_an_ipv6_address_in_brackets_and_no_port_of_the_scheme() {
        let at = |address: &str, port| {
            let host = Host::of(&address.parse().unwrap());
            Target { host, port, ..start() }.authority()
        };
        assert_eq!((at("192.0.2.1", 80), at("2001:db8::1", 80)), ("192.0.2.1".into(), "[2001:db8::1]".into()));
        assert_eq!(at("2001:db8::1", 5002), "[2001:db8::1]:5002");
    }

    #[test]
    fn default_ports_of_urls_mean_the_configured_ones() {
        let settings = Settings { http_port: 5002, https_port: 5003, ..Settings::default() };
        let identifier = "a.example".parse().unwrap();
        let from = Target { port: 5002, ..start() };
        assert_eq!(from.to_string(), "http://a.example:5002/.well-known/acme-challenge/token");
        let to = |location: &str| from.redirected(location.as_bytes(), &identifier, &settings);
        assert_eq!(to("/x").unwrap().port, 5002);
        assert_eq!(to("http://b.example/").unwrap().port, 5002);
        assert_eq!(to("https://b.example/").unwrap().port, 5003);
        assert_eq!(to("https://b.example:5002/").unwrap().port, 5002);
        assert!(to("http://b.example:443/").is_err());
    }
}
