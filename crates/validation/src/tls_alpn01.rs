//! tls-alpn-01 (RFC 8737; for IP addresses RFC 8738 §6).

use std::fmt::Write;
use std::net::IpAddr;

use acme::{Identifier, ProblemType};
use ca::ports::ChallengeTest;

use crate::addresses::Host;
use crate::challenge_certificate::Leaf;
use crate::dialler::{Dialled, dial};
use crate::evidence::Evidence;
use crate::shortfall::Shortfall;
use crate::tls::{self, ACME_TLS_1};
use crate::validator::NetworkValidator;

/// Octets of a handshake.
const HANDSHAKE_OCTETS_MAX: usize = 96 * 1024;

/// Makes a handshake and looks at the certificate; no data is sent, and the connection is closed at once.
pub(crate) async fn test(
    validator: &NetworkValidator,
    test: &ChallengeTest,
    evidence: &Evidence,
) -> Result<(), Shortfall> {
    let host = Host::of(&test.identifier);
    let port = validator.settings().tls_alpn_port;
    let server_name = match &test.identifier {
        Identifier::Dns(name) | Identifier::Wildcard(name) => tls::server_name(name.as_str())?,
        Identifier::Ip(address) => tls::server_name(&reverse_name(*address))?,
    };
    let Dialled { stream, address } = dial(validator, &host, port, HANDSHAKE_OCTETS_MAX, evidence).await?;
    evidence.step(ProblemType::Connection, format!("making a TLS handshake with {address}"));
    let sent = server_name.to_str().into_owned();
    let connected = validator.challenge_tls().connect(server_name, stream).await;
    let stream = connected.map_err(|error| tls::handshake_fault(&error, &host, address, evidence))?;
    let (_, session) = stream.get_ref();
    evidence.note(format!("TLS handshake with {address} for {sent}"));
    if session.alpn_protocol() != Some(ACME_TLS_1) {
        let detail = format!(
            "{host} at {address} did not choose the application protocol (ALPN) acme-tls/1: it is not set up to answer \
             tls-alpn-01"
        );
        return Err(Shortfall::unauthorized(detail));
    }
    let shown = session.peer_certificates().and_then(<[_]>::first);
    let Some(certificate) = shown else {
        return Err(Shortfall::unauthorized(format!("{host} at {address} showed no certificate")));
    };
    let algorithms = tls::signature_algorithms();
    Leaf::parse(certificate)
        .and_then(|leaf| leaf.check(&test.identifier, &test.key_authorization.sha256(), algorithms))
        .map_err(|fault| Shortfall::unauthorized(format!("the certificate of {host} at {address} {fault}")))?;
    evidence.note(format!("the certificate of {address} is for {} alone, with the digest expected", test.identifier));
    Ok(())
}

/// The name of an address in the reverse tree, without a dot at its end (RFC 8738 §6; RFC 1034 §5.2.1, RFC 3596 §2.5).
fn reverse_name(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(v6) => {
            let mut name = String::with_capacity(72);
            for octet in v6.octets().iter().rev() {
                // Writing to a `String` never fails.
                let _ = write!(name, "{:x}.{:x}.", octet & 0x0f, octet >> 4);
            }
            name + "ip6.arpa"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reverse_names_are_those_of_the_documents() {
        assert_eq!(reverse_name("192.0.2.1".parse().unwrap()), "1.2.0.192.in-addr.arpa");
        let expected = "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.0.0.0.0.1.2.3.4.ip6.arpa";
        assert_eq!(reverse_name("4321:0:1:2:3:4:567:89ab".parse().unwrap()), expected);
    }
}
