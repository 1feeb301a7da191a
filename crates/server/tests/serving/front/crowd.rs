//! When all places are taken, who only waits has to leave, and the network with the most connections first.

use std::net::Ipv4Addr;

use acme::Algorithm;

use super::wire::Wire;
use crate::support::server::Server;

const OTHER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const REQUEST: &[u8] = b"GET /new-nonce HTTP/1.1\r\nHost: localhost\r\n\r\n";

async fn from(server: &Server, address: Ipv4Addr) -> Wire {
    Wire::over(server.door().open(address, false).await.expect("the listener takes connections"))
}

/// The connection is open: a request is answered.
async fn assert_served(wire: &mut Wire) {
    wire.send(REQUEST).await;
    wire.read_until("replay-nonce").await;
}

#[tokio::test]
async fn certificates_are_issued_while_slow_connections_fill_the_house() {
    let server = Server::start("[limits]\nconnections = 20\n[http]\nheader-time = 3600\nidle-time = 3600\n").await;
    let mut slow = Vec::new();
    for _ in 0..60 {
        let mut wire = from(&server, OTHER).await;
        // Those who came earlier had to leave for this one, or it for those who come later.
        let _cut_off = wire.try_send(b"GET /dir HTTP/1.1\r\nHost: loc").await;
        slow.push(wire);
    }
    let mut client = server.client();
    let account = client.account(Algorithm::Es256).await;
    client.issued(&account, &["crowd.localhost"]).await;
    for wire in &mut slow[..40] {
        wire.closed().await;
    }
}

#[tokio::test]
async fn the_one_who_has_waited_longest_of_the_largest_network_leaves() {
    let server = Server::start("[limits]\nconnections = 4\n").await;
    let mut here = from(&server, Ipv4Addr::LOCALHOST).await;
    assert_served(&mut here).await;
    let mut there = Vec::new();
    for _ in 0..3 {
        let mut wire = from(&server, OTHER).await;
        assert_served(&mut wire).await;
        there.push(wire);
    }
    assert_served(&mut there[0]).await;
    let mut new = from(&server, Ipv4Addr::LOCALHOST).await;
    assert_served(&mut new).await;
    there[1].closed().await;
    for wire in [&mut here, &mut there[0]] {
        assert_served(wire).await;
    }
    assert_served(&mut there[2]).await;
}

#[tokio::test]
async fn a_network_has_its_share_and_no_more() {
    let server = Server::start("[limits]\nconnections-per-address = 2\n").await;
    let mut other = from(&server, OTHER).await;
    assert_served(&mut other).await;
    let mut wires = Vec::new();
    for _ in 0..3 {
        let mut wire = from(&server, Ipv4Addr::LOCALHOST).await;
        assert_served(&mut wire).await;
        wires.push(wire);
    }
    wires[0].closed().await;
    for wire in [&mut other, &mut wires[1]] {
        assert_served(wire).await;
    }
    assert_served(&mut wires[2]).await;
}
