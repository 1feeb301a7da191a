//! http-01 with servers that mean harm. Each of these tests ends without time having passed, or by the one time limit.

use std::io;

use acme::ProblemType;
use ca::authorization::Method;
use ca::ports::{Validated, Validator};
use futures_util::FutureExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::http_server::{HttpServer, ok};
use crate::scene::{Scene, TIME_LIMIT, challenge, key_authorization};

/// Writes the same again and again, until the other side has had enough.
async fn forever(mut stream: TcpStream, first: &[u8], again: &[u8]) -> io::Result<()> {
    stream.write_all(first).await?;
    loop {
        stream.write_all(again).await?;
    }
}

async fn expect_connection(server: HttpServer, detail: &str) {
    let scene = Scene::with_port(server.address.port()).await;
    scene.expect_failed("a.example", Method::Http01, ProblemType::Connection, detail).await;
}

#[tokio::test]
async fn endless_headers_end() {
    let server = HttpServer::misbehaving(|stream| {
        async move {
            let _ = forever(stream, b"HTTP/1.1 200 OK\r\n", b"X-Filler: nothing to see here\r\n").await;
        }
        .boxed()
    })
    .await;
    expect_connection(server, "sent headers of more than").await;
}

#[tokio::test]
async fn endless_header_line_ends() {
    let server = HttpServer::misbehaving(|stream| {
        async move {
            let _ = forever(stream, b"HTTP/1.1 200 OK\r\nX-Long: ", b"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx").await;
        }
        .boxed()
    })
    .await;
    expect_connection(server, "sent headers of more than").await;
}

#[tokio::test]
async fn endless_interim_answers_end() {
    let server = HttpServer::misbehaving(|stream| {
        async move {
            let _ = forever(stream, b"", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n").await;
        }
        .boxed()
    })
    .await;
    expect_connection(server, "parts without end").await;
}

#[tokio::test]
async fn endless_body_ends() {
    let server = HttpServer::misbehaving(|stream| {
        async move {
            let _ = forever(stream, b"HTTP/1.1 200 OK\r\n\r\n", b"<p>all work and no play</p>").await;
        }
        .boxed()
    })
    .await;
    expect_connection(server, "more than 4096 octets, beginning with \"<p>all work").await;
}

#[tokio::test]
async fn endless_chunks_end() {
    let server = HttpServer::misbehaving(|stream| {
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        async move {
            let _ = forever(stream, head, b"1;extension=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n \r\n").await;
        }
        .boxed()
    })
    .await;
    expect_connection(server, "did not answer in HTTP/1.1").await;
}

#[tokio::test]
async fn key_authorization_followed_by_megabytes_of_white_space_is_too_long() {
    let body = format!("{}{}", key_authorization().as_str(), " ".repeat(1 << 20));
    expect_connection(HttpServer::always(ok(&body)).await, "more than 4096 octets").await;
}

#[tokio::test]
async fn gzip_is_not_unpacked() {
    let bomb = [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3][..], &[0; 40]].concat();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", bomb.len());
    let server = HttpServer::always([head.as_bytes(), &bomb].concat()).await;
    let scene = Scene::with_port(server.address.port()).await;
    scene.expect_failed("a.example", Method::Http01, ProblemType::Unauthorized, r#""\x1f\x8b\x08"#).await;
}

#[tokio::test]
async fn other_protocols_are_a_connection_problem() {
    let frames: &[u8] = b"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64";
    for answer in [frames, b"HTTP/2.0 200 OK\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n", b"<html>no head</html>\r\n\r\n"] {
        expect_connection(HttpServer::always(answer).await, "did not answer in HTTP/1.1").await;
    }
}

#[tokio::test]
async fn contradicting_lengths_are_no_answer() {
    let key = key_authorization().as_str().to_owned();
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nContent-Length: 3\r\n\r\n{key}", key.len());
    expect_connection(HttpServer::always(answer).await, "did not answer in HTTP/1.1").await;
}

#[tokio::test]
async fn answer_that_is_cut_off_may_pass() {
    for answer in ["", "HTTP/1.1 200", "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nshort"] {
        let server = HttpServer::always(answer).await;
        let scene = Scene::with_port(server.address.port()).await;
        let detail = "ended the connection before its answer was complete";
        scene.expect_may_pass("a.example", Method::Http01, ProblemType::Connection, detail).await;
    }
}

#[tokio::test]
async fn slow_drip_ends_with_the_time_limit() {
    let server = HttpServer::misbehaving(|mut stream| {
        async move {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nslowly").await;
            std::future::pending::<()>().await;
        }
        .boxed()
    })
    .await;
    let port = server.address.port();
    let scene = Scene::with_port(port).await;
    let advance = async {
        while server.requests().is_empty() {
            tokio::task::yield_now().await;
        }
        scene.clock.advance(TIME_LIMIT);
    };
    let ((validated, record), ()) =
        tokio::join!(scene.validator.validate(challenge("a.example", Method::Http01)), advance);
    let Validated::MayPass(problem) = validated else { panic!("{validated:?}") };
    assert_eq!(problem.kind, ProblemType::Connection);
    let start =
        format!("the time limit of 10 s ran out while waiting for the answer of 127.0.0.1:{port} to GET http://a.");
    assert!(problem.detail.starts_with(&start), "{problem}");
    // What was seen until then is not lost.
    assert!(record.evidence.contains(&format!("connected to 127.0.0.1:{port}")), "{record:?}");
}
