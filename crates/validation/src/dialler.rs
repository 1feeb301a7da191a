//! Connections to targets: each address is checked right before it is dialled, so that nothing can change in between.

use std::io;
use std::net::{IpAddr, SocketAddr};

use acme::ProblemType;

use crate::addresses::{Host, resolve};
use crate::evidence::Evidence;
use crate::metered::Metered;
use crate::network::Connection;
use crate::shortfall::Shortfall;
use crate::targets::Forbidden;
use crate::time_limit::{seconds, within};
use crate::validator::NetworkValidator;

/// Addresses of one host that are dialled: one, and one more if that fails.
const DIALS_MAX: usize = 2;

/// A connection, and to whom.
#[derive(Debug)]
pub(crate) struct Dialled {
    pub(crate) stream: Metered<Box<dyn Connection>>,
    pub(crate) address: SocketAddr,
}

/// Connects to the host: to an IPv6 address first, then, if that fails, to one IPv4 address.
///
/// # Errors
/// Of type `dns` if there are no addresses, `connection` if none of those dialled took the connection.
pub(crate) async fn dial(
    validator: &NetworkValidator,
    host: &Host,
    port: u16,
    octets_max: usize,
    evidence: &Evidence,
) -> Result<Dialled, Shortfall> {
    let settings = validator.settings();
    let addresses = resolve(validator.dns(), settings.localhost_names, host, evidence).await?;
    let candidates = candidates(validator, host, &addresses, evidence)?;
    let mut faults = Vec::new();
    for candidate in candidates {
        let address = SocketAddr::new(candidate, port);
        evidence.step(ProblemType::Connection, format!("connecting to {address}"));
        let limit = settings.dial_time_limit;
        let fault = match within(validator.clock(), limit, validator.network().connect(address)).await {
            Some(Ok(stream)) => {
                evidence.note(format!("connected to {address}"));
                return Ok(Dialled { stream: Metered::new(stream, octets_max), address });
            }
            Some(Err(error)) => {
                evidence.note(format!("{address}: {error}"));
                format!("{address} {}", reason(&error))
            }
            None => {
                evidence.note(format!("{address}: no connection within {}", seconds(limit)));
                format!("{address} did not answer within {}", seconds(limit))
            }
        };
        faults.push(fault);
    }
    Err(Shortfall::passing(ProblemType::Connection, format!("could not connect to {host}: {}", faults.join("; "))))
}

/// The addresses to dial. If there are both kinds it is one of each, else the first two.
fn candidates(
    validator: &NetworkValidator,
    host: &Host,
    addresses: &[IpAddr],
    evidence: &Evidence,
) -> Result<Vec<IpAddr>, Shortfall> {
    let mut allowed = Vec::new();
    let mut forbidden: Option<Forbidden> = None;
    for address in addresses {
        match validator.settings().targets.check(*address) {
            Ok(()) => allowed.push(*address),
            Err(refusal) => {
                evidence.note(refusal.to_string());
                forbidden.get_or_insert(refusal);
            }
        }
    }
    if let (true, Some(refusal)) = (allowed.is_empty(), forbidden) {
        let of_host = if matches!(host, Host::Name(_)) { format!("{host} has the address ") } else { String::new() };
        let detail = format!("{of_host}{}: this CA does not connect to it", refusal.address);
        return Err(Shortfall::lasting(ProblemType::Connection, detail));
    }
    let first = allowed.first().copied();
    let other = allowed.iter().copied().find(|address| Some(address.is_ipv6()) != first.map(|first| first.is_ipv6()));
    let second = other.or_else(|| allowed.get(1).copied());
    Ok([first, second].into_iter().flatten().take(DIALS_MAX).collect())
}

/// What a failed connection means, for people; the rest of the kinds say nothing to a client.
const REASONS: [(io::ErrorKind, &str); 5] = [
    (io::ErrorKind::ConnectionRefused, "refused the connection: nothing listens there, or a firewall forbids it"),
    (io::ErrorKind::HostUnreachable, "can't be reached from here"),
    (io::ErrorKind::NetworkUnreachable, "can't be reached from here"),
    (io::ErrorKind::TimedOut, "did not answer"),
    (io::ErrorKind::ConnectionReset, "reset the connection"),
];

fn reason(error: &io::Error) -> &'static str {
    REASONS.iter().find(|(kind, _)| *kind == error.kind()).map_or("could not be connected to", |(_, text)| text)
}
