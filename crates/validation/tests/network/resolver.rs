//! The DNS client itself.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RecordType;
use tokio::net::UdpSocket;
use validation::dns::{Answer, Dns, DnsFailure, Outcome, Record, RecordKind, Resolver, ResolverLimits};

use crate::clock::{TestClock, TestRandom};
use crate::dns_server::{
    Asked, DnsServer, Reaction, address, alias, name, record, reply, reply_code, reply_records, text,
};

const TRY_TIME_LIMIT: Duration = Duration::from_secs(3);

struct Client {
    clock: Arc<TestClock>,
    resolver: Resolver,
}

fn client(servers: &[SocketAddr]) -> Client {
    let limits = ResolverLimits { try_time_limit: TRY_TIME_LIMIT, tries_max: 3, queries_max: 8, mixed_case: true };
    let clock = Arc::new(TestClock::default());
    let random = Arc::new(TestRandom::new(7));
    Client { resolver: Resolver::new(servers, limits, Arc::clone(&clock) as _, random), clock }
}

async fn lookup(server: &DnsServer, kind: RecordKind) -> Answer {
    client(&[server.address]).resolver.lookup("host.a.example", kind).await
}

fn one_address() -> Outcome {
    Outcome::Records(vec![Record::Address("192.0.2.1".parse().unwrap())])
}

fn good(asked: &Asked) -> Message {
    reply(asked, vec![address("192.0.2.1")])
}

/// The message with the question's letters in lower case.
fn lower_case(asked: &Asked, mut message: Message) -> Message {
    message.queries[0].set_name(name(&asked.name));
    message
}

#[tokio::test]
async fn queries_carry_edns_and_a_mixed_case() {
    let server = DnsServer::start(|asked| good(asked).into()).await;
    let client = client(&[server.address]);
    for _ in 0..4 {
        let answer = client.resolver.lookup("host.a.example", RecordKind::A).await;
        assert_eq!((answer.outcome, answer.ttl_seconds), (one_address(), 300));
    }
    let asked = server.asked();
    let query = &asked[0].query;
    assert_eq!(query.edns.as_ref().unwrap().max_payload(), 1232);
    assert!(query.metadata.recursion_desired);
    assert!(asked.iter().all(|asked| !asked.tcp && asked.edns && asked.name == "host.a.example"));
    assert!(asked.iter().any(|asked| asked.raw_name != asked.name), "no case was mixed");
    assert!(asked.windows(2).any(|pair| pair[0].raw_name != pair[1].raw_name), "the mix does not change");
    assert!(asked.windows(2).any(|pair| pair[0].query.metadata.id != pair[1].query.metadata.id), "ids do not change");
}

#[tokio::test]
async fn truncated_answer_is_asked_for_over_tcp() {
    let server = DnsServer::start(|asked| {
        let mut message = reply(asked, (0..200).map(|n| text(&[&format!("record {n}")])).collect());
        if !asked.tcp {
            message = message.truncate();
            message.metadata.truncation = true;
        }
        message.into()
    })
    .await;
    let Outcome::Records(records) = lookup(&server, RecordKind::Txt).await.outcome else { panic!() };
    assert_eq!(records.len(), 200);
    assert!(server.asked()[1].tcp);
}

#[tokio::test]
async fn server_that_loses_the_case_is_asked_over_tcp() {
    let server = DnsServer::start(|asked| lower_case(asked, good(asked)).into()).await;
    assert_eq!(lookup(&server, RecordKind::A).await.outcome, one_address());
    assert!(server.asked().last().unwrap().tcp);
}

#[tokio::test]
async fn server_that_loses_the_case_and_has_no_tcp_is_asked_in_lower_case() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let server = socket.local_addr().unwrap();
    let serve = async {
        let mut buffer = [0; 512];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
            let mut message = Message::from_vec(&buffer[..length]).unwrap().into_response();
            let asked = message.queries[0].name().to_lowercase();
            message.queries[0].set_name(asked);
            message.add_answer(record("host.a.example", address("192.0.2.1")));
            socket.send_to(&message.to_vec().unwrap(), from).await.unwrap();
        }
    };
    let client = client(&[server]);
    let answer = tokio::select! {
        answer = client.resolver.lookup("host.a.example", RecordKind::A) => answer,
        () = serve => unreachable!(),
    };
    assert_eq!(answer.outcome, one_address());
}

#[tokio::test]
async fn server_that_does_not_know_edns_is_asked_without() {
    for code in [ResponseCode::FormErr, ResponseCode::NotImp] {
        let server =
            DnsServer::start(move |asked| if asked.edns { reply_code(asked, code).into() } else { good(asked).into() })
                .await;
        assert_eq!(lookup(&server, RecordKind::A).await.outcome, one_address());
    }
}

#[tokio::test]
async fn forged_datagrams_are_passed_over() {
    let server = DnsServer::start(|asked| {
        let mut other_id = good(asked);
        other_id.metadata.id = other_id.metadata.id.wrapping_add(1);
        let mut other_name = good(asked);
        other_name.queries[0].set_name(name("other.example"));
        let mut other_kind = good(asked);
        other_kind.queries[0].set_query_type(RecordType::TXT);
        let mut datagrams = vec![b"short".to_vec(), asked.query.to_vec().unwrap()];
        let forged = reply(asked, vec![address("192.0.2.66")]);
        let mut not_asked = forged.clone();
        not_asked.queries.clear();
        for message in [other_id, other_name, other_kind, not_asked, good(asked)] {
            datagrams.push(message.to_vec().unwrap());
        }
        Reaction::Raw(datagrams)
    })
    .await;
    assert_eq!(lookup(&server, RecordKind::A).await.outcome, one_address());
}

#[tokio::test]
async fn flood_of_forged_datagrams_ends_the_look_up() {
    let server = DnsServer::start(|_| Reaction::Raw(vec![b"not it".to_vec(); 40])).await;
    let Outcome::Failed(DnsFailure::Malformed(_)) = lookup(&server, RecordKind::A).await.outcome else { panic!() };
}

#[tokio::test]
async fn answers_that_break_the_protocol_are_malformed() {
    let broken: [fn(&Asked) -> Vec<u8>; 3] = [
        |asked| {
            let mut wire = good(asked).to_vec().unwrap();
            wire.truncate(wire.len() - 2);
            wire
        },
        // More records than we read, without one of them.
        |asked| {
            let mut wire = reply_code(asked, ResponseCode::NoError).to_vec().unwrap();
            wire[6..8].copy_from_slice(&u16::MAX.to_be_bytes());
            wire
        },
        // The address has five octets.
        |asked| {
            let mut wire = good(asked).to_vec().unwrap();
            let length = wire.len();
            wire[length - 6..length - 4].copy_from_slice(&5_u16.to_be_bytes());
            wire.push(0);
            wire
        },
    ];
    for make in broken {
        let server = DnsServer::start(move |asked| Reaction::Raw(vec![make(asked)])).await;
        let outcome = lookup(&server, RecordKind::A).await.outcome;
        assert!(matches!(outcome, Outcome::Failed(DnsFailure::Malformed(_))), "{outcome:?}");
    }
}

#[tokio::test]
async fn next_server_is_asked_after_a_failure_and_both_are_written_down() {
    for code in [ResponseCode::ServFail, ResponseCode::Refused] {
        let bad = DnsServer::start(move |asked| reply_code(asked, code).into()).await;
        let good = DnsServer::start(|asked| good(asked).into()).await;
        let answer = client(&[bad.address, good.address]).resolver.lookup("host.a.example", RecordKind::A).await;
        assert_eq!(answer.outcome, one_address());
        assert!(answer.evidence[0].starts_with(&format!("DNS {}: A host.a.example: ", bad.address)), "{answer:?}");
        assert_eq!(answer.evidence[1], format!("DNS {}: A host.a.example: NOERROR", good.address));
        assert_eq!(answer.evidence[2], "DNS: A for 300 s: 192.0.2.1");
    }
}

#[tokio::test]
async fn denials_are_final_and_not_repeated() {
    for (code, outcome) in [(ResponseCode::NoError, Outcome::NoData), (ResponseCode::NXDomain, Outcome::NoName)] {
        let server = DnsServer::start(move |asked| reply_code(asked, code).into()).await;
        let answer = lookup(&server, RecordKind::Aaaa).await;
        assert_eq!((answer.outcome, answer.ttl_seconds), (outcome, 0));
        assert_eq!(server.asked().len(), 1);
    }
}

#[tokio::test]
async fn server_that_fails_once_is_asked_again() {
    let count = AtomicUsize::new(0);
    let server = DnsServer::start(move |asked| match count.fetch_add(1, Ordering::Relaxed) {
        0 => reply_code(asked, ResponseCode::ServFail).into(),
        _ => good(asked).into(),
    })
    .await;
    assert_eq!(lookup(&server, RecordKind::A).await.outcome, one_address());
}

#[tokio::test]
async fn silence_ends_with_the_time_limit_of_each_try() {
    let server = DnsServer::start(|_| Reaction::Silence).await;
    let client = client(&[server.address]);
    let patience = async {
        for _ in 0..3 {
            server.arrival().await;
            client.clock.advance(TRY_TIME_LIMIT);
        }
    };
    let (answer, ()) = tokio::join!(client.resolver.lookup("host.a.example", RecordKind::A), patience);
    assert_eq!(answer.outcome, Outcome::Failed(DnsFailure::Timeout(TRY_TIME_LIMIT)));
    assert_eq!(answer.evidence.len(), 3);
    assert!(answer.evidence[0].ends_with("no answer within 3 s"), "{answer:?}");
}

#[tokio::test]
async fn resolver_that_is_not_there_is_a_failure() {
    let gone = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let answer = client(&[gone]).resolver.lookup("a.example", RecordKind::A).await;
    assert_eq!(answer.outcome, Outcome::Failed(DnsFailure::Unreachable));
}

#[tokio::test]
async fn text_that_is_no_name_is_not_asked_for() {
    let server = DnsServer::start(|asked| good(asked).into()).await;
    let long_label = "x".repeat(64);
    let long_name = ["x"; 128].join(".");
    for text in ["", "a..b", "a.", &long_label, &long_name, "\u{fc}.example"] {
        let answer = client(&[server.address]).resolver.lookup(text, RecordKind::A).await;
        assert_eq!(answer.outcome, Outcome::Failed(DnsFailure::Name), "{text}");
    }
    assert!(server.asked().is_empty());
}

#[tokio::test]
async fn ttl_is_the_least_on_the_way() {
    let server = DnsServer::start(|asked| {
        let mut records = vec![
            record(&asked.name, alias("b.example")),
            record("b.example", address("192.0.2.1")),
            record("b.example", address("192.0.2.2")),
        ];
        for (record, ttl) in records.iter_mut().zip([20, 30, 40]) {
            record.ttl = ttl;
        }
        reply_records(asked, records).into()
    })
    .await;
    assert_eq!(lookup(&server, RecordKind::A).await.ttl_seconds, 20);
}

#[tokio::test]
async fn alias_to_a_name_without_records_is_no_data() {
    let server = DnsServer::start(|asked| {
        let mut message = reply_code(asked, ResponseCode::NoError);
        message.add_answer(record(&asked.name, alias("b.example")));
        message.into()
    })
    .await;
    assert_eq!(lookup(&server, RecordKind::A).await.outcome, Outcome::NoData);
    assert_eq!(server.asked().len(), 1);
}
