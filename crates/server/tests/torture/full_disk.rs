//! A full disk: requests are answered that it can't be done now, nothing is half-written, the process lives, and work
//! goes on by itself when there is room again.

use std::time::Duration;

use acme::{Algorithm, base64url_encode};
use serde_json::json;

use crate::book::now;
use crate::load::{Load, assert_at_rest, assert_come_again};
use crate::parameters::parameter;
use crate::small_disk::{Filler, SmallDisks};
use crate::support::account::signing_key;
use crate::support::client::{identifiers, list, text};
use crate::support::csr::{SubjectKey, csr};
use crate::support::responder::responder;
use crate::support::server::{Server, temporary_folder};
use crate::support::world::{Chance, PATIENCE, pause, within};

const CLIENTS: usize = 10;
/// How often the disk becomes full under load.
const TIMES_FULL: usize = 2;
const SEED: u64 = 0x0c41_7202;
/// The audit log leaves 32 MiB of the disk to others.
const DISK_KIB: u64 = 64 << 10;
/// What the server's log says of orders that wait because the audit log has no room for what would be signed.
const NO_ROOM: &str = "has no room: the disk is full";
/// The order of a newOrder that was refused in its midst has to wait for the end of its lease.
const TIMES: &str = "[times]\ncaa = 1\nvalidation = 2\ntest-lease = 5\nsweep = 1\nback-off = 1\n";
/// Before the disk is filled up clients are told so often at most that an order has gone on.
const STEPS_MAX: u64 = 80;
const END_TIME_MAX: Duration = Duration::from_secs(120);

/// A server whose data folder is a small disk of its own.
async fn start() -> Option<(Server, SmallDisks)> {
    let folder = temporary_folder();
    let disks = SmallDisks::mount(folder.path(), "data", DISK_KIB).await?;
    let launch = disks.launch();
    Some((Server::start_in(TIMES, folder, launch).await, disks))
}

/// A server whose audit log is on a disk of its own as well.
async fn start_with_audit_log_apart() -> Option<(Server, SmallDisks)> {
    let (mut server, disks) = start().await?;
    assert!(server.terminate().await.success(), "SIGTERM ends it in order");
    disks.move_onto_its_own("data/audit", DISK_KIB).await;
    server.start_again();
    server.wait_until_it_serves().await;
    Some((server, disks))
}

/// Clients at work while the disk under the store is full again and again.
async fn survive(server: Server, disks: SmallDisks, what: &'static str) {
    let mut chance = Chance::of(parameter("SEED", SEED));
    let load = Load::start(&server, parameter("CLIENTS", CLIENTS), what);
    for _ in 0..parameter("TIMES_FULL", TIMES_FULL) {
        load.book.wait_for_steps(1 + chance.next() % STEPS_MAX).await;
        let fell = now();
        let filler = Filler::fill(&disks.path("data"));
        load.book.wait_for_refusals(20).await;
        drop(filler);
        load.book.blow(fell);
    }
    rest(server, load).await;
}

async fn rest(mut server: Server, load: Load) {
    load.book.wait_for_steps(STEPS_MAX).await;
    let report = load.finish(END_TIME_MAX, "times full").await;
    assert!(report.our_fault.is_empty(), "{:#?}", report.our_fault);
    assert_at_rest(&mut server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_disk_stops_nobody_for_longer_than_it_is_full() {
    let Some((server, disks)) = start().await else { return };
    survive(server, disks, "full").await;
}

/// What was signed and logged comes into the ledger when that has room again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_disk_under_the_store_alone_loses_no_signature() {
    let Some((server, disks)) = start_with_audit_log_apart().await else { return };
    survive(server, disks, "store").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_disk_under_the_audit_log_alone_makes_orders_wait_and_takes_no_serial() {
    let Some((mut server, disks)) = start_with_audit_log_apart().await else { return };
    let load = Load::start(&server, parameter("CLIENTS", CLIENTS), "log");
    load.book.wait_for_steps(STEPS_MAX).await;
    let fell = now();
    let filler = Filler::fill(&disks.path("data/audit"));
    // A new process has no room that was kept before.
    server.kill().await;
    server.start_again();
    server.wait_until_it_serves().await;
    let waiting = async {
        while server.logged(NO_ROOM) < CLIENTS {
            pause(Duration::from_millis(50)).await;
        }
    };
    within(PATIENCE, "orders wait for room", waiting).await;
    drop(filler);
    load.book.blow(fell);
    rest(server, load).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disk_that_is_full_at_the_start_is_named_and_the_next_start_goes_on() {
    let Some((mut server, disks)) = start().await else { return };
    let account = server.client().account(Algorithm::Es256).await;
    assert!(server.terminate().await.success(), "SIGTERM ends it in order");
    let filler = Filler::fill(&disks.path("data"));
    server.start_again();
    let status = server.terminated().await;
    assert_eq!(status.code(), Some(1), "{status}");
    assert_eq!(server.logged("the disk is full"), 1);
    drop(filler);
    server.start_again();
    server.wait_until_it_serves().await;
    server.client().issued(&account, &["a.start.localhost"]).await;
    assert_at_rest(&mut server).await;
}

/// Each request is answered that it can't be done now, and can be done when there is room; what only reads is answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_door_says_of_a_full_disk_when_to_come_again() {
    let Some((mut server, disks)) = start().await else { return };
    let mut client = server.client();
    let account = client.account(Algorithm::Es256).await;
    let issued = client.issued(&account, &["a.door.localhost"]).await;
    let ready = client.ready(&account, &["b.door.localhost"]).await;
    let (pending_url, pending) = client.order(&account, &["c.door.localhost"]).await;
    let authorization = text(&list(&pending["authorizations"])[0]).to_owned();
    let (challenge, token) = client.http_01(&account, &pending["authorizations"][0]).await;
    responder().show(&token, account.key_authorization(&token));
    let csr = json!({ "csr": base64url_encode(&csr(&SubjectKey::new(), &["b.door.localhost"])) });
    let key = signing_key(Algorithm::Es256);
    let order = json!({ "identifiers": identifiers(&["d.door.localhost"]) });

    let mut filler = Filler::fill(&disks.path("data"));
    // What a checkpoint or a cut gives back is taken as well, until nothing can be written.
    while client.post(&account, "/new-order", &order).await.status == 201 {
        filler = filler.again();
    }
    assert_come_again(&client.post(&account, "/new-order", &order).await);
    assert_come_again(&client.post_by_key(&key, "/new-account", &json!({})).await);
    assert_come_again(&client.post(&account, text(&ready.1["finalize"]), &csr).await);
    assert_come_again(&client.post(&account, &challenge, &json!({})).await);
    assert_eq!(client.read("/new-nonce").await.status, 204);
    for url in [&issued.order, &ready.0, &pending_url, &authorization] {
        client.post_as_get(&account, url).await.object(200);
    }
    assert_eq!(client.chain(&account, &issued.object).await.len(), 2);
    drop(filler);

    let made = client.post_by_key(&key, "/new-account", &json!({})).await;
    assert_eq!(made.status, 201, "nothing of it was there: {}", made.text());
    client.post(&account, "/new-order", &order).await.object(201);
    client.post(&account, &challenge, &json!({})).await.object(200);
    client.wait_until(&account, &pending_url, "ready").await;
    client.post(&account, text(&ready.1["finalize"]), &csr).await.object(200);
    client.wait_until(&account, &ready.0, "valid").await;
    assert_at_rest(&mut server).await;
}
