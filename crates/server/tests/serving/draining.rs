//! A server that is told to end, as those see it who watch it and send it requests.

use std::net::Ipv4Addr;

use acme::Algorithm;
use serde_json::json;
use tokio::net::TcpStream;

use crate::support::client::Client;
use crate::support::responder::responder;
use crate::support::server::Server;
use crate::support::world::{PATIENCE, within};

async fn told(watcher: &mut Client, path: &str) -> (u16, String) {
    let answer = watcher.read(path).await;
    (answer.status.as_u16(), answer.text().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_drains_says_so_finishes_what_it_holds_and_takes_nothing_new() {
    let mut server = Server::start("").await;
    let mut client = server.client();
    let account = client.account(Algorithm::Es256).await;
    let (url, order) = client.order(&account, &["held.localhost"]).await;
    let (challenge, token) = client.http_01(&account, &order["authorizations"][0]).await;
    responder().hold(&token);
    client.post(&account, &challenge, &json!({})).await.object(200);
    let asked = token.clone();
    tokio::task::spawn_blocking(move || responder().wait_until_asked(&asked)).await.expect("it was asked");
    let mut watcher = Client::new(server.admin_door());
    assert_eq!(told(&mut watcher, "/readyz").await, (200, "ready\n".to_owned()));
    assert_eq!(told(&mut watcher, "/healthz").await, (200, "ok\n".to_owned()));

    server.signal("TERM").await;
    let draining = async { while told(&mut watcher, "/readyz").await.0 == 200 {} };
    within(PATIENCE, "the signal arrives", draining).await;
    assert_eq!(told(&mut watcher, "/readyz").await, (503, "draining\n".to_owned()));
    assert_eq!(told(&mut watcher, "/healthz").await, (200, "draining\n".to_owned()), "nobody has to end it");
    let closed = async { while TcpStream::connect((Ipv4Addr::LOCALHOST, server.door().port())).await.is_ok() {} };
    within(PATIENCE, "the door of clients closes", closed).await;
    assert_eq!(told(&mut watcher, "/readyz").await, (503, "draining\n".to_owned()));

    responder().show(&token, account.key_authorization(&token));
    assert!(server.terminated().await.success());
    server.assert_sound().await;
    server.start_again();
    server.wait_until_it_serves().await;
    let ready = server.client().post_as_get(&account, &url).await.object(200);
    assert_eq!(ready["status"], "ready", "the test that was under way was finished before the end");
}
