//! One query and its answer with one resolver: UDP from a fresh port, TCP where UDP can't do.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use super::DnsFailure;
use super::message::{Query, Reply, Unusable};

/// Room for an answer from a server that thinks we have more room than we said.
const DATAGRAM_OCTETS_MAX: usize = 4 * 1024;
/// Datagrams that are not our answer until we give up: somebody is guessing.
const FOREIGN_MAX: usize = 32;

/// Why one exchange brought no answer.
#[derive(Debug)]
pub(super) enum Fault {
    /// The answer repeats the question in another case.
    CaseLost,
    /// Sockets and networks.
    Io(io::Error),
    /// Nothing that can be read.
    Malformed(&'static str),
    /// Too many datagrams that answer something else.
    Flooded,
}

impl Fault {
    pub(super) fn failure(&self) -> DnsFailure {
        match self {
            Self::Io(_) => DnsFailure::Unreachable,
            Self::CaseLost => DnsFailure::Malformed("it repeats another question"),
            Self::Malformed(what) => DnsFailure::Malformed(what),
            Self::Flooded => DnsFailure::Malformed("many answers came to questions that were not asked"),
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Over UDP. The socket is new and its port drawn by the kernel for each query, and it hears this server alone: what a
/// forger has to guess (RFC 5452).
pub(super) async fn udp(server: SocketAddr, query: &Query) -> Result<Reply, Fault> {
    let any = match server {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    socket.send(&query.encode()).await?;
    let mut buffer = [0; DATAGRAM_OCTETS_MAX];
    for _ in 0..FOREIGN_MAX {
        let length = socket.recv(&mut buffer).await?;
        match Reply::decode(&buffer[..length], query) {
            Ok(reply) => return Ok(reply),
            Err(Unusable::Foreign) => {}
            Err(Unusable::CaseLost) => return Err(Fault::CaseLost),
            Err(Unusable::Malformed(what)) => return Err(Fault::Malformed(what)),
        }
    }
    Err(Fault::Flooded)
}

/// Over TCP (RFC 7766): a message is at most 64 KiB by its length field.
pub(super) async fn tcp(server: SocketAddr, query: &Query) -> Result<Reply, Fault> {
    let mut stream = TcpStream::connect(server).await?;
    let message = query.encode();
    let length = u16::try_from(message.len()).expect("a query is a name and some 30 octets");
    let framed = [length.to_be_bytes().as_slice(), &message].concat();
    stream.write_all(&framed).await?;
    let length = stream.read_u16().await?;
    let mut answer = vec![0; usize::from(length)];
    stream.read_exact(&mut answer).await?;
    match Reply::decode(&answer, query) {
        Ok(reply) if reply.truncated => Err(Fault::Malformed("it is truncated even over TCP")),
        Ok(reply) => Ok(reply),
        Err(Unusable::Foreign) => Err(Fault::Malformed("it answers another question")),
        Err(Unusable::CaseLost) => Err(Fault::CaseLost),
        Err(Unusable::Malformed(what)) => Err(Fault::Malformed(what)),
    }
}
