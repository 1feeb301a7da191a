//! A name server on loopback that answers as a test wants it to, over UDP and TCP.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use hickory_proto::op::{Message, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, NULL, SOA, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::mpsc;

/// A query as the server saw it.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// In lower case, without the dot at its end.
    pub(crate) name: String,
    /// In the case in which it came.
    pub(crate) raw_name: String,
    pub(crate) kind: RecordType,
    pub(crate) tcp: bool,
    pub(crate) edns: bool,
    pub(crate) query: Message,
}

/// What the server does.
pub(crate) enum Reaction {
    /// Sends this message, made from [`reply`].
    Send(Message),
    /// Sends these datagrams.
    Raw(Vec<Vec<u8>>),
    Silence,
}

impl From<Message> for Reaction {
    fn from(message: Message) -> Self {
        Self::Send(message)
    }
}

/// The server; ends with the runtime of its test.
pub(crate) struct DnsServer {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    arrivals: tokio::sync::Mutex<mpsc::UnboundedReceiver<()>>,
}

struct Handler {
    react: Box<dyn Fn(&Asked) -> Reaction + Send + Sync>,
    asked: Arc<Mutex<Vec<Asked>>>,
    arrivals: mpsc::UnboundedSender<()>,
}

impl DnsServer {
    pub(crate) async fn start(react: impl Fn(&Asked) -> Reaction + Send + Sync + 'static) -> Self {
        let (udp, tcp) = sockets().await;
        let address = udp.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (sender, arrivals) = mpsc::unbounded_channel();
        let handler = Arc::new(Handler { react: Box::new(react), asked: Arc::clone(&asked), arrivals: sender });
        tokio::spawn(serve_udp(udp, Arc::clone(&handler)));
        tokio::spawn(serve_tcp(tcp, handler));
        Self { address, asked, arrivals: tokio::sync::Mutex::new(arrivals) }
    }

    /// What was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// Ends when one more query has come.
    pub(crate) async fn arrival(&self) {
        self.arrivals.lock().await.recv().await.unwrap();
    }
}

/// One port for both.
async fn sockets() -> (UdpSocket, TcpListener) {
    loop {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()).await {
            return (udp, tcp);
        }
    }
}

impl Handler {
    fn handle(&self, wire: &[u8], tcp: bool) -> Vec<Vec<u8>> {
        let query = Message::from_vec(wire).expect("our queries are well-formed");
        let question = query.queries[0].clone();
        let raw_name = question.name().to_ascii().trim_end_matches('.').to_owned();
        let asked = Asked {
            name: raw_name.to_ascii_lowercase(),
            raw_name,
            kind: question.query_type(),
            tcp,
            edns: query.edns.is_some(),
            query,
        };
        let reaction = (self.react)(&asked);
        self.asked.lock().unwrap().push(asked);
        let _ = self.arrivals.send(());
        match reaction {
            Reaction::Send(message) => vec![message.to_vec().unwrap()],
            Reaction::Raw(datagrams) => datagrams,
            Reaction::Silence => Vec::new(),
        }
    }
}

async fn serve_udp(socket: UdpSocket, handler: Arc<Handler>) {
    let mut buffer = [0; 2048];
    while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
        for datagram in handler.handle(&buffer[..length], false) {
            socket.send_to(&datagram, from).await.unwrap();
        }
    }
}

async fn serve_tcp(listener: TcpListener, handler: Arc<Handler>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(serve_stream(stream, Arc::clone(&handler)));
    }
}

async fn serve_stream(mut stream: TcpStream, handler: Arc<Handler>) {
    let Ok(length) = stream.read_u16().await else { return };
    let mut query = vec![0; usize::from(length)];
    stream.read_exact(&mut query).await.unwrap();
    for message in handler.handle(&query, true) {
        stream.write_u16(u16::try_from(message.len()).unwrap()).await.unwrap();
        stream.write_all(&message).await.unwrap();
    }
}

/// A name, fully qualified.
pub(crate) fn name(text: &str) -> Name {
    Name::from_ascii(format!("{text}.")).unwrap()
}

/// NOERROR with these records of the name asked for; without any, NODATA.
pub(crate) fn reply(asked: &Asked, data: Vec<RData>) -> Message {
    let records = data.into_iter().map(|data| record(&asked.name, data)).collect();
    reply_records(asked, records)
}

/// NOERROR with these records.
pub(crate) fn reply_records(asked: &Asked, records: Vec<Record>) -> Message {
    let mut message = Message::response(asked.query.metadata.id, OpCode::Query);
    message.metadata.recursion_available = true;
    message.add_queries(asked.query.queries.clone());
    if records.is_empty() {
        message.add_authority(soa());
    }
    message.add_answers(records);
    message
}

/// Nothing but a code.
pub(crate) fn reply_code(asked: &Asked, code: ResponseCode) -> Message {
    let mut message = reply_records(asked, Vec::new());
    message.metadata.response_code = code;
    message
}

fn soa() -> Record {
    record("example", RData::SOA(SOA::new(name("ns.example"), name("hostmaster.example"), 1, 60, 60, 60, 60)))
}

/// With a TTL of 300 s.
pub(crate) fn record(owner: &str, data: RData) -> Record {
    Record::from_rdata(name(owner), 300, data)
}

pub(crate) fn address(text: &str) -> RData {
    match text.parse::<IpAddr>().unwrap() {
        IpAddr::V4(v4) => RData::A(A(v4)),
        IpAddr::V6(v6) => RData::AAAA(AAAA(v6)),
    }
}

pub(crate) fn text(strings: &[&str]) -> RData {
    RData::TXT(TXT::new(strings.iter().map(|&string| string.to_owned()).collect()))
}

pub(crate) fn alias(target: &str) -> RData {
    RData::CNAME(CNAME(name(target)))
}

/// CAA data octet by octet, so that it can be wrong.
pub(crate) fn caa(flags: u8, tag: &str, value: &str) -> RData {
    let mut octets = vec![flags, u8::try_from(tag.len()).unwrap()];
    octets.extend_from_slice(tag.as_bytes());
    octets.extend_from_slice(value.as_bytes());
    RData::Unknown { code: RecordType::CAA, rdata: NULL::with(octets) }
}
