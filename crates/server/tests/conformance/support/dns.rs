//! The DNS that the server under test asks: every name is at 127.0.0.1, and TXT records are what cases show.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::case::NotApplicable;

const TYPE_A: u16 = 1;
const TYPE_TXT: u16 = 16;
const CLASS_IN: u16 = 1;
const HEADER_OCTETS: usize = 12;
/// A pointer to the name of the question (RFC 1035 §4.1.4).
const NAME_OF_QUESTION: [u8; 2] = [0xc0, HEADER_OCTETS as u8];

/// TXT records, by name in lower case and without the last dot.
type Records = Arc<Mutex<HashMap<String, Vec<String>>>>;

/// Who answers for the names of the cases.
pub(crate) enum Dns {
    /// A server of this process.
    Ours(SocketAddr, Records),
    /// A `pebble-challtestsrv` with its management interface at this URL.
    Challtestsrv(String),
    /// Nobody that we know.
    Nobodys,
}

impl Dns {
    /// Starts a server, which ends with the process.
    pub(crate) fn start() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port of loopback is free");
        let address = socket.local_addr().expect("a bound socket has an address");
        let records = Records::default();
        let shown = Arc::clone(&records);
        std::thread::spawn(move || {
            let mut octets = [0; 4096];
            while let Ok((length, client)) = socket.recv_from(&mut octets) {
                if let Some(answer) = answer(&octets[..length], &shown) {
                    // Who doesn't wait for the answer any more asks again.
                    let _gone = socket.send_to(&answer, client);
                }
            }
        });
        Self::Ours(address, records)
    }

    /// Where our own server listens.
    pub(crate) fn address(&self) -> SocketAddr {
        match self {
            Self::Ours(address, _) => *address,
            Self::Challtestsrv(_) | Self::Nobodys => panic!("this DNS server is not ours"),
        }
    }

    /// Adds a TXT record.
    pub(crate) async fn show(&self, name: &str, text: &str) -> Result<(), NotApplicable> {
        match self {
            Self::Ours(_, records) => {
                let mut records = records.lock().unwrap_or_else(PoisonError::into_inner);
                records.entry(name.to_owned()).or_default().push(text.to_owned());
                Ok(())
            }
            Self::Challtestsrv(url) => {
                let body = json!({ "host": format!("{name}."), "value": text }).to_string();
                let said = post(url, "/set-txt", &body).await.unwrap_or_else(|error| panic!("{url}: {error}"));
                assert!(said.starts_with("HTTP/1.1 200") || said.starts_with("HTTP/1.0 200"), "{url}: {said}");
                Ok(())
            }
            Self::Nobodys => Err(NotApplicable("a DNS server that we can change")),
        }
    }
}

async fn post(url: &str, path: &str, body: &str) -> std::io::Result<String> {
    let authority = url.trim_start_matches("http://").trim_end_matches('/');
    let mut stream = TcpStream::connect(authority).await?;
    let length = body.len();
    let request =
        format!("POST {path} HTTP/1.0\r\nHost: {authority}\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes();
    stream.write_all(&request).await?;
    let mut said = String::new();
    stream.read_to_string(&mut said).await?;
    Ok(said)
}

/// The name of the question, in lower case and without the last dot, its type, and where it ends.
fn question(query: &[u8]) -> Option<(String, u16, usize)> {
    let mut at = HEADER_OCTETS;
    let mut labels = Vec::new();
    loop {
        let length = usize::from(*query.get(at)?);
        let label = query.get(at + 1..at + 1 + length)?;
        at += 1 + length;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(label).to_lowercase());
    }
    let fixed = query.get(at..at + 4)?;
    Some((labels.join("."), u16::from_be_bytes([fixed[0], fixed[1]]), at + 4))
}

/// The answer to a query (RFC 1035 §4); a name without records of the wanted type has an empty one.
fn answer(query: &[u8], records: &Records) -> Option<Vec<u8>> {
    let (name, record_type, end) = question(query)?;
    let found: Vec<Vec<u8>> = match record_type {
        TYPE_A => vec![Ipv4Addr::LOCALHOST.octets().to_vec()],
        TYPE_TXT => {
            let records = records.lock().unwrap_or_else(PoisonError::into_inner);
            let texts = records.get(&name).map(Vec::as_slice).unwrap_or_default();
            texts.iter().map(|text| [&[u8::try_from(text.len()).unwrap_or(0)], text.as_bytes()].concat()).collect()
        }
        _ => Vec::new(),
    };
    let mut answer = query[..2].to_vec();
    // A response, authoritative; the client's wish for recursion is repeated, and granted.
    answer.extend([0x84 | (query[2] & 1), 0x80]);
    for count in [1, u16::try_from(found.len()).ok()?, 0, 0] {
        answer.extend(count.to_be_bytes());
    }
    answer.extend(&query[HEADER_OCTETS..end]);
    for data in found {
        answer.extend(NAME_OF_QUESTION);
        answer.extend(record_type.to_be_bytes());
        answer.extend(CLASS_IN.to_be_bytes());
        answer.extend(0_u32.to_be_bytes());
        answer.extend(u16::try_from(data.len()).ok()?.to_be_bytes());
        answer.extend(data);
    }
    Some(answer)
}
