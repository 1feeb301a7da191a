//! A DNS server for tests: every name is at 127.0.0.1, and TXT records are what the files of a folder say.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

const TYPE_A: u16 = 1;
const TYPE_TXT: u16 = 16;
const CLASS_IN: u16 = 1;
const HEADER_OCTETS: usize = 12;
/// A pointer to the name of the question (RFC 1035 §4.1.4).
const NAME_OF_QUESTION: [u8; 2] = [0xc0, HEADER_OCTETS as u8];

/// It ends with this value.
pub(crate) struct DnsServer {
    address: SocketAddr,
    thread: Option<JoinHandle<()>>,
}

impl DnsServer {
    /// Serves the TXT records of a folder: a file for each name, in lower case and without the last dot, and in it a
    /// line for each record.
    pub(crate) fn start(records: PathBuf) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port of loopback is free");
        let address = socket.local_addr().expect("a bound socket has an address");
        let thread = std::thread::spawn(move || serve(&socket, &records));
        Self { address, thread: Some(thread) }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for DnsServer {
    fn drop(&mut self) {
        // An empty datagram is no question: it ends the server.
        let woken = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| socket.send_to(&[], self.address));
        if let (Ok(_), Some(thread)) = (woken, self.thread.take()) {
            let _panicked = thread.join();
        }
    }
}

fn serve(socket: &UdpSocket, records: &Path) {
    let mut octets = [0; 4096];
    while let Ok((length, client)) = socket.recv_from(&mut octets) {
        if length == 0 {
            return;
        }
        if let Some(answer) = answer(&octets[..length], records) {
            // Who doesn't wait for the answer any more asks again.
            let _gone = socket.send_to(&answer, client);
        }
    }
}

struct Question<'a> {
    /// In lower case, without the last dot.
    name: String,
    record_type: u16,
    /// As it stands in the query.
    octets: &'a [u8],
}

fn question(query: &[u8]) -> Option<Question<'_>> {
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
    let record_type = u16::from_be_bytes([fixed[0], fixed[1]]);
    Some(Question { name: labels.join("."), record_type, octets: &query[HEADER_OCTETS..at + 4] })
}

/// The answer to a query (RFC 1035 §4); a name without records of the wanted type has an empty one.
fn answer(query: &[u8], records: &Path) -> Option<Vec<u8>> {
    let question = question(query)?;
    let found: Vec<Vec<u8>> = match question.record_type {
        TYPE_A => vec![Ipv4Addr::LOCALHOST.octets().to_vec()],
        TYPE_TXT => texts(records, &question.name),
        _ => Vec::new(),
    };
    let mut answer = query[..2].to_vec();
    // A response, authoritative; the client's wish for recursion is repeated, and granted.
    answer.extend([0x84 | (query[2] & 1), 0x80]);
    for count in [1, u16::try_from(found.len()).ok()?, 0, 0] {
        answer.extend(count.to_be_bytes());
    }
    answer.extend(question.octets);
    for data in found {
        answer.extend(NAME_OF_QUESTION);
        answer.extend(question.record_type.to_be_bytes());
        answer.extend(CLASS_IN.to_be_bytes());
        answer.extend(0_u32.to_be_bytes());
        answer.extend(u16::try_from(data.len()).ok()?.to_be_bytes());
        answer.extend(data);
    }
    Some(answer)
}

fn texts(records: &Path, name: &str) -> Vec<Vec<u8>> {
    if name.contains('/') {
        return Vec::new();
    }
    let text = fs::read_to_string(records.join(name)).unwrap_or_default();
    text.lines().map(|line| [&[u8::try_from(line.len()).unwrap_or(0)], line.as_bytes()].concat()).collect()
}
