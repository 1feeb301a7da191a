//! Who sends or takes nothing, or next to nothing, is cut off.

use std::net::Ipv4Addr;

use tokio::net::TcpStream;

use super::wire::Wire;
use crate::support::server::Server;
use crate::support::world::{PATIENCE, within};

const POST: &str = "POST /new-order HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/jose+json\r\n";

#[tokio::test]
async fn a_handshake_that_does_not_go_on_is_cut_off() {
    let server = Server::start("[http]\nhandshake-time = 1\n").await;
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, server.door().port())).await.expect("it listens");
    Wire::over(stream).closed().await;
}

#[tokio::test]
async fn a_head_that_does_not_go_on_is_cut_off() {
    let server = Server::start("[http]\nheader-time = 1\n").await;
    let mut wire = Wire::http1(&server.door()).await;
    wire.send(b"GET /dir HTTP/1.1\r\nHost: loc").await;
    wire.closed().await;
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, server.status_port())).await.expect("it listens");
    let mut plain = Wire::over(stream);
    plain.send(b"GET / HT").await;
    plain.closed().await;
}

#[tokio::test]
async fn a_connection_that_was_used_once_is_not_kept_for_ever() {
    for limits in ["header-time = 1\n", "header-time = 600\nbody-time = 1\nidle-time = 2\n"] {
        let server = Server::start(&format!("[http]\n{limits}")).await;
        let mut wire = Wire::http1(&server.door()).await;
        wire.send(b"GET /dir HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        wire.read_until("revokeCert").await;
        wire.closed().await;
    }
}

#[tokio::test]
async fn a_body_that_does_not_go_on_is_refused_with_a_nonce() {
    let server = Server::start("[http]\nbody-time = 1\n").await;
    for body in ["Content-Length: 1000\r\n\r\n{\"payload\":", "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"] {
        let mut wire = Wire::http1(&server.door()).await;
        wire.send(format!("{POST}{body}").as_bytes()).await;
        let answer = String::from_utf8(wire.closed().await).expect("HTTP/1.1 is text");
        assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
        assert!(answer.contains("replay-nonce: ") && answer.contains("the body was not there within 1 s"), "{answer}");
    }
}

#[tokio::test]
async fn a_body_that_is_announced_to_be_too_large_is_not_waited_for() {
    let server = Server::start("[http]\nbody-time = 3600\nidle-time = 7200\n").await;
    let mut wire = Wire::http1(&server.door()).await;
    wire.send(format!("{POST}Content-Length: 65537\r\n\r\n").as_bytes()).await;
    let answer = String::from_utf8(wire.closed().await).expect("HTTP/1.1 is text");
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("replay-nonce: "), "{answer}");
    assert!(answer.contains("more than 65536 octets"), "{answer}");
}

#[tokio::test]
async fn who_does_not_take_the_answers_is_cut_off() {
    let server = Server::start("[http]\nheader-time = 3600\nwrite-time = 1\nidle-time = 3600\n").await;
    let mut wire = Wire::http1(&server.door()).await;
    let requests = "GET /dir HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(1000);
    // As long as answers are taken, by the system's buffers, requests are. Then nothing goes either way.
    let cut_off = within(PATIENCE, "the server cuts it off", async {
        loop {
            if let Err(error) = wire.try_send(requests.as_bytes()).await {
                return error;
            }
        }
    })
    .await;
    println!("{cut_off}");
    assert_eq!(server.client().read("/dir").await.status, 200, "others are served");
}
