//! HTTP/2: streams that stand still, and floods of frames that cost their sender nothing.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};

use super::wire::{LOOPBACK, Wire, frame};
use crate::support::server::Server;
use crate::support::world::{PATIENCE, within};

const HEADERS: u8 = 0x1;
const RST_STREAM: u8 = 0x3;
const PING: u8 = 0x6;
const GOAWAY: u8 = 0x7;
const CONTINUATION: u8 = 0x9;
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const SETTINGS_MAX_CONCURRENT_STREAMS: u16 = 0x3;
const SETTINGS_INITIAL_WINDOW_SIZE: u16 = 0x4;
/// GET https://localhost/dir: `:method`, `:scheme` and then `:path` and `:authority` as they are (RFC 7541).
const GET: &[u8] = b"\x82\x87\x04\x04/dir\x01\x09localhost";

/// The type of each frame that came, with its payload.
fn frames(mut octets: &[u8]) -> Vec<(u8, &[u8])> {
    let mut found = Vec::new();
    while let Some((head, rest)) = octets.split_first_chunk::<9>() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let Some((payload, rest)) = rest.split_at_checked(length) else { break };
        found.push((head[3], payload));
        octets = rest;
    }
    found
}

fn said_goodbye(octets: &[u8]) -> bool {
    frames(octets).iter().any(|(kind, _)| *kind == GOAWAY)
}

#[tokio::test]
async fn a_slow_body_is_refused_and_the_other_requests_of_its_connection_are_answered() {
    let server = Server::start("[http]\nbody-time = 1\n").await;
    let stream = server.door().open(LOOPBACK, true).await.expect("the listener takes connections");
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("it speaks HTTP/2");
    tokio::spawn(connection);
    let first = Frame::data(Bytes::from_static(b"{"));
    let start = futures_util::stream::iter([Ok::<_, Infallible>(first)]);
    let endless = futures_util::StreamExt::chain(start, futures_util::stream::pending());
    let url = |path: &str| format!("{}{path}", server.door().base());
    let slow = Request::post(url("/new-order")).header("content-type", "application/jose+json");
    let slow = slow.body(StreamBody::new(endless).boxed()).expect("a request that can be sent");
    let slow = sender.send_request(slow);
    let empty = || StreamBody::new(futures_util::stream::empty::<Result<Frame<Bytes>, Infallible>>()).boxed();
    let quick = sender.send_request(Request::get(url("/dir")).body(empty()).expect("a request that can be sent"));
    let (slow, quick) = within(PATIENCE, "both are answered", async { tokio::join!(slow, quick) }).await;
    assert_eq!(quick.expect("it is answered").status(), 200);
    let slow = slow.expect("it is answered");
    assert_eq!(slow.status(), 408);
    assert!(slow.headers().contains_key("replay-nonce"), "{slow:?}");
    let again = sender.send_request(Request::get(url("/dir")).body(empty()).expect("a request that can be sent")).await;
    assert_eq!(again.expect("the connection is still good").status(), 200);
}

#[tokio::test]
async fn an_idle_connection_is_closed_though_it_pings() {
    let server = Server::start("[http]\nbody-time = 1\nidle-time = 2\n").await;
    let stream = server.door().open(LOOPBACK, true).await.expect("the listener takes connections");
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.timer(TokioTimer::new()).keep_alive_interval(Duration::from_millis(100)).keep_alive_while_idle(true);
    let (sender, connection) =
        builder.handshake::<_, http_body_util::Empty<Bytes>>(TokioIo::new(stream)).await.expect("it speaks HTTP/2");
    within(PATIENCE, "the server closes it", connection).await.expect("it says goodbye in order");
    drop(sender);
}

#[tokio::test]
async fn a_head_without_end_is_cut_off() {
    let server = Server::start("[http]\nbody-time = 1\nidle-time = 2\nstop-time = 1\n").await;
    let mut wire = Wire::http2(&server.door(), &[]).await;
    wire.send(&frame(HEADERS, END_STREAM, 1, GET)).await;
    wire.closed().await;
}

#[tokio::test]
async fn answers_that_are_not_taken_are_given_up() {
    let server = Server::start("[http]\nbody-time = 1\nidle-time = 2\nstop-time = 1\n").await;
    let mut wire = Wire::http2(&server.door(), &[(SETTINGS_INITIAL_WINDOW_SIZE, 0)]).await;
    wire.send(&frame(HEADERS, END_STREAM | END_HEADERS, 1, GET)).await;
    for _ in 0..10 {
        wire.send(&frame(PING, 0, 0, &[0; 8])).await;
    }
    let octets = wire.closed().await;
    assert!(frames(&octets).iter().any(|(kind, _)| *kind == HEADERS), "the answer began: {octets:?}");
}

#[tokio::test]
async fn a_head_of_endless_continuations_ends_its_connection() {
    let server = Server::start("").await;
    let mut wire = Wire::http2(&server.door(), &[]).await;
    wire.send(&frame(HEADERS, END_STREAM, 1, GET)).await;
    // A header that is not in the table: `x: yyy…` (RFC 7541 §6.2.2).
    let more = frame(CONTINUATION, 0, 1, &[b"\x00\x01x\x7f\xe9\x06".as_slice(), &[b'y'; 1000]].concat());
    within(PATIENCE, "the server has had enough", async { while wire.try_send(&more).await.is_ok() {} }).await;
    assert_eq!(server.client().read("/dir").await.status, 200, "others are served");
}

#[tokio::test]
async fn requests_that_are_reset_at_once_end_their_connection() {
    let server = Server::start("[http]\nstream-resets = 10\n").await;
    let mut wire = Wire::http2(&server.door(), &[]).await;
    let flood: Vec<u8> = (0..2000)
        .flat_map(|number| {
            let stream = 2 * number + 1;
            let reset = frame(RST_STREAM, 0, stream, &8u32.to_be_bytes());
            [frame(HEADERS, END_STREAM | END_HEADERS, stream, GET), reset].concat()
        })
        .collect();
    // It may be closed before all is sent.
    let _cut_off = wire.try_send(&flood).await;
    let octets = wire.closed().await;
    assert!(octets.is_empty() || said_goodbye(&octets), "{:?}", frames(&octets));
    assert_eq!(server.client().read("/dir").await.status, 200, "others are served");
}

#[tokio::test]
async fn a_peer_is_told_how_many_requests_it_may_have_open() {
    let server = Server::start("[http]\nstreams = 7\nbody-time = 1\nidle-time = 2\n").await;
    let octets = Wire::http2(&server.door(), &[]).await.closed().await;
    let wanted = [&SETTINGS_MAX_CONCURRENT_STREAMS.to_be_bytes()[..], &7u32.to_be_bytes()].concat();
    let (_, settings) = frames(&octets)[0];
    assert!(settings.chunks(6).any(|setting| setting == wanted), "{settings:?}");
}
