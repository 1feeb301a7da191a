//! Sites on the web, as http-01 finds them: most show what their owners want, directly or behind a redirect; some are
//! away, and some answer what nobody can use, or lead where no CA must go.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use validation::{Connection, Network};

use super::{Internet, Names};
use crate::executor::Executor;
use crate::tally::Tally;

/// Whose owner shows what those of other sites want, by their names.
pub(super) const HOSTING: &str = "hosting.example.com";
/// A name that leads to the machine of whoever looks it up.
pub(super) const INSIDE: &str = "inside.example.com";

const WELL_KNOWN: &str = "/.well-known/acme-challenge/";
/// Where a site has it that redirects to itself.
const SHOWN: &str = "/shown/";
const HEAD_OCTETS_MAX: usize = 8 * 1024;
const IN_FLIGHT: usize = 16 * 1024;
/// Longer than any test takes.
const SILENCE: Duration = Duration::from_secs(120);

/// The addresses of a site.
pub(super) const fn v4(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(Ipv4Addr::new(10, 0, 0, 0).to_bits() + number)
}

pub(super) const fn v6(number: u32) -> Ipv6Addr {
    Ipv6Addr::from_bits(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0).to_bits() + number as u128)
}

/// How a visit goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Visit {
    Shows,
    /// To another place on the same site.
    Redirects,
    /// To the site of another.
    Leaves,
    Refuses,
    /// Takes the request, and says nothing.
    Silent,
    /// Takes the request, and hangs up.
    HangsUp,
    /// Says less than was announced.
    Short,
    Wrong(Wrong),
}

/// What another try would meet as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    Content,
    Circle,
    Endless,
    OtherProtocol,
    /// Leads to an address that only the CA reaches.
    Inside,
}

const FINE: [Visit; 6] = [Visit::Shows, Visit::Shows, Visit::Shows, Visit::Shows, Visit::Redirects, Visit::Leaves];
const TROUBLED: [Visit; 13] = [
    Visit::Refuses,
    Visit::Refuses,
    Visit::Silent,
    Visit::Silent,
    Visit::HangsUp,
    Visit::HangsUp,
    Visit::Short,
    Visit::Short,
    Visit::Wrong(Wrong::Content),
    Visit::Wrong(Wrong::Circle),
    Visit::Wrong(Wrong::Endless),
    Visit::Wrong(Wrong::OtherProtocol),
    Visit::Wrong(Wrong::Inside),
];

impl Visit {
    const fn name(self) -> &'static str {
        match self {
            Self::Shows | Self::Redirects | Self::Leaves => "site as it should be",
            Self::Refuses => "site away",
            Self::Silent => "site silent",
            Self::HangsUp => "site hangs up",
            Self::Short => "site cut short",
            Self::Wrong(_) => "site wrong",
        }
    }
}

impl Internet {
    /// The site at this address.
    fn host(&self, address: SocketAddr) -> Option<String> {
        let number = match address.ip() {
            IpAddr::V4(ip) => ip.to_bits().checked_sub(v4(0).to_bits())?,
            IpAddr::V6(ip) => u32::try_from(ip.to_bits().checked_sub(v6(0).to_bits())?).ok()?,
        };
        self.names().hosts.get(usize::try_from(number).ok()?.checked_sub(1)?).cloned()
    }

    fn visit(&self, host: &str) -> Visit {
        let failing = self.names().failing_permille;
        if !self.chance.happens(failing) {
            return self.chance.one_of(&FINE);
        }
        let visit = self.chance.one_of(&TROUBLED);
        // What is wrong there is wrong for somebody else.
        let visit = if host == HOSTING && matches!(visit, Visit::Wrong(_)) { Visit::Refuses } else { visit };
        // No issuance needs a site: it explains no death there.
        self.tally.nuisance(visit.name());
        self.failed_now(host);
        visit
    }
}

#[async_trait]
impl Network for Internet {
    async fn connect(&self, address: SocketAddr) -> io::Result<Box<dyn Connection>> {
        let Some(host) = self.host(address) else {
            self.names().strays.insert(address);
            return Err(io::ErrorKind::ConnectionRefused.into());
        };
        self.executor.sleep(self.chance.time(Duration::ZERO, Duration::from_millis(20))).await;
        // Whoever has both kinds of addresses is often reached by one of them only.
        if address.is_ipv6() && self.chance.happens(300) {
            return Err(io::ErrorKind::HostUnreachable.into());
        }
        let visit = self.visit(&host);
        if visit == Visit::Refuses {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let (near, far) = tokio::io::duplex(IN_FLIGHT);
        let thinks = self.chance.time(Duration::ZERO, Duration::from_millis(300));
        let (names, tally) = (Arc::clone(&self.names), Arc::clone(&self.tally));
        let site = Site { names, tally, executor: self.executor.clone(), host, visit };
        let _task = self.executor.spawn(self.node, async move {
            // Whoever asked may have gone.
            let _gone = site.answer(far, thinks).await;
        });
        Ok(Box::new(near))
    }
}

/// A site that was connected to.
struct Site {
    names: Arc<Mutex<Names>>,
    tally: Arc<Tally>,
    executor: Executor,
    host: String,
    visit: Visit,
}

impl Site {
    fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(&self, mut stream: DuplexStream, thinks: Duration) -> io::Result<()> {
        let Some(path) = self.asked(&mut stream).await? else {
            return stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
        };
        self.executor.sleep(thinks).await;
        let token = path.strip_prefix(WELL_KNOWN);
        match (self.visit, token) {
            (Visit::HangsUp, _) => Ok(()),
            (Visit::Silent, _) => {
                self.executor.sleep(SILENCE).await;
                Ok(())
            }
            (Visit::Short, _) => stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort").await,
            (Visit::Wrong(wrong), _) => self.answer_wrong(&mut stream, wrong, &path).await,
            (Visit::Redirects, Some(token)) => redirect(&mut stream, &format!("{SHOWN}{token}")).await,
            (Visit::Leaves, Some(token)) if self.host != HOSTING => {
                redirect(&mut stream, &format!("http://{HOSTING}/{}/{token}", self.host)).await
            }
            (Visit::Shows | Visit::Redirects | Visit::Leaves | Visit::Refuses, _) => {
                self.show(&mut stream, &path).await
            }
        }
    }

    /// The path that was asked for, if it was asked of this site.
    async fn asked(&self, stream: &mut DuplexStream) -> io::Result<Option<String>> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let octet = stream.read_u8().await?;
            head.push(octet);
            if head.len() > HEAD_OCTETS_MAX {
                return Ok(None);
            }
        }
        let head = String::from_utf8_lossy(&head);
        let mut lines = head.lines();
        let path =
            lines.next().and_then(|line| line.strip_prefix("GET ")?.strip_suffix(" HTTP/1.1")).map(str::to_owned);
        let of_host = |line: &str| {
            line.split_once(": ").is_some_and(|(name, value)| name.eq_ignore_ascii_case("host") && value == self.host)
        };
        Ok(path.filter(|_| lines.any(of_host)))
    }

    async fn show(&self, stream: &mut DuplexStream, path: &str) -> io::Result<()> {
        let asked = match path.strip_prefix(WELL_KNOWN).or_else(|| path.strip_prefix(SHOWN)) {
            Some(token) => Some((self.host.as_str(), token)),
            None if self.host == HOSTING => path.trim_start_matches('/').split_once('/'),
            None => None,
        };
        let found = {
            let mut names = self.names();
            let found = asked.and_then(|(name, token)| Some((name, names.sites.get(name)?.get(token)?.clone())));
            names.served.extend(found.iter().map(|(name, shown)| ((*name).to_owned(), shown.clone())));
            found
        };
        let Some((_, shown)) = found else {
            return stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").await;
        };
        let behind_redirect = !path.starts_with(WELL_KNOWN);
        self.tally.nuisance(if behind_redirect { "(shown behind a redirect)" } else { "(shown by http-01)" });
        let length = shown.len();
        stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{shown}").as_bytes()).await
    }

    async fn answer_wrong(&self, stream: &mut DuplexStream, wrong: Wrong, path: &str) -> io::Result<()> {
        let now = self.executor.now();
        self.names().wrong.entry(self.host.clone()).or_default().push(now);
        match wrong {
            Wrong::Content => stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").await,
            Wrong::Circle => redirect(stream, path).await,
            Wrong::Endless => {
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
                loop {
                    stream.write_all(&[b'a'; 1024]).await?;
                }
            }
            Wrong::OtherProtocol => stream.write_all(b"220 mail.example.com ESMTP\r\n").await,
            Wrong::Inside => redirect(stream, &format!("http://{INSIDE}/latest/meta-data/")).await,
        }
    }
}

async fn redirect(stream: &mut DuplexStream, to: &str) -> io::Result<()> {
    let answer = format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
    stream.write_all(answer.as_bytes()).await
}
