//! finalize: what is refused changes nothing, and of two simultaneous requests one counts.

use acme::{OrderStatus, ProblemType};
use ca::order::Stage;
use pki::Reason;

use super::on_all_back_ends;
use crate::world::{Backend, Call, Client, Side, World, pair, refused};

on_all_back_ends! {
    two_simultaneous_requests_give_one_certificate
    request_overtaken_by_a_whole_issuance_gives_no_second_certificate
    order_that_is_not_ready_is_refused
    key_of_the_account_is_refused
    blocked_key_is_refused
    names_that_differ_from_the_order_are_refused
    order_of_another_account_is_refused
    request_that_the_account_did_not_sign_is_refused_by_the_signer
}

async fn two_simultaneous_requests_give_one_certificate(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.ready(&world, &["one.example.com"]).await;
    let mut held = world.points.hold(Side::Before, Call::Finalize);
    let (ca, account, request) = (world.ca.clone(), client.account.clone(), client.finalize_request(&order, &pair()));
    let id = order.id;
    let first = world.start_beside(async move { ca.finalize(&account, id, request).await });
    held.reached().await;
    // Both have seen it `ready`.
    let second_key = pair();
    client.finalize(&world, &order, &second_key).await.unwrap();
    held.release();
    let problem = refused(first.await.unwrap());
    assert_eq!(problem.kind, ProblemType::OrderNotReady);
    world.work_off().await;
    let record = client.certificate(&world, order.id).await;
    assert_eq!(record.spki_hash, second_key.public_key().spki_hash());
    assert_eq!(world.serials(order.id).await.len(), 1);
    world.check_invariants().await;
}

async fn request_overtaken_by_a_whole_issuance_gives_no_second_certificate(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.ready(&world, &["one.example.com"]).await;
    let mut held = world.points.hold(Side::Before, Call::Finalize);
    let (ca, account, request) = (world.ca.clone(), client.account.clone(), client.finalize_request(&order, &pair()));
    let id = order.id;
    let first = world.start_beside(async move { ca.finalize(&account, id, request).await });
    held.reached().await;
    client.finalize(&world, &order, &pair()).await.unwrap();
    world.work(Stage::Issue).await;
    let certificate = client.certificate(&world, order.id).await;
    held.release();
    assert_eq!(refused(first.await.unwrap()).kind, ProblemType::OrderNotReady);
    world.assert_idle(Stage::Issue).await;
    assert_eq!(client.certificate(&world, order.id).await, certificate);
    assert_eq!(world.serials(order.id).await.len(), 1);
}

async fn order_that_is_not_ready_is_refused(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.order(&world, &["one.example.com", "two.example.com"]).await;
    assert_eq!(refused(client.finalize(&world, &order, &pair()).await).kind, ProblemType::OrderNotReady);
    client.answer(&world, &order, 0).await;
    world.work(Stage::TestChallenge).await;
    assert_eq!(refused(client.finalize(&world, &order, &pair()).await).kind, ProblemType::OrderNotReady);
    assert_eq!(client.status(&world, order.id).await, OrderStatus::Pending);
    assert_eq!(world.serials(order.id).await, []);
}

async fn key_of_the_account_is_refused(backend: Backend) {
    let world = World::on(backend).await;
    let key = pair();
    let client = Client::with_key(&world, &key).await;
    let order = client.ready(&world, &["one.example.com"]).await;
    assert_eq!(refused(client.finalize(&world, &order, &key).await).kind, ProblemType::BadCsr);
    assert_eq!(client.status(&world, order.id).await, OrderStatus::Ready);
}

async fn blocked_key_is_refused(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.ready(&world, &["one.example.com"]).await;
    let key = pair();
    world.ca.block_key(key.public_key().spki_hash(), "operator").await.unwrap();
    assert_eq!(refused(client.finalize(&world, &order, &key).await).kind, ProblemType::BadPublicKey);
    assert_eq!(client.status(&world, order.id).await, OrderStatus::Ready);
    // Another key will do.
    client.finalize(&world, &order, &pair()).await.unwrap();
}

async fn names_that_differ_from_the_order_are_refused(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.ready(&world, &["one.example.com"]).await;
    for names in [&["two.example.com"][..], &["one.example.com", "two.example.com"]] {
        let request = client.finalize_request_for(&order, names, &pair());
        let problem = refused(world.ca.finalize(&client.account, order.id, request).await);
        assert_eq!(problem.kind, ProblemType::BadCsr);
        assert!(problem.detail.contains("two.example.com"), "{}", problem.detail);
    }
    assert_eq!(client.status(&world, order.id).await, OrderStatus::Ready);
}

async fn order_of_another_account_is_refused(backend: Backend) {
    let world = World::on(backend).await;
    let (client, other) = (Client::new(&world).await, Client::new(&world).await);
    let order = client.ready(&world, &["one.example.com"]).await;
    assert_eq!(refused(other.finalize(&world, &order, &pair()).await).kind, ProblemType::Unauthorized);
    assert_eq!(client.status(&world, order.id).await, OrderStatus::Ready);
}

async fn request_that_the_account_did_not_sign_is_refused_by_the_signer(backend: Backend) {
    let world = World::on(backend).await;
    let (client, other) = (Client::new(&world).await, Client::new(&world).await);
    let order = client.ready(&world, &["one.example.com"]).await;
    // A worker that lies: the request is another account's.
    let request = other.finalize_request(&order, &pair());
    world.ca.finalize(&client.account, order.id, request).await.unwrap();
    world.until_done(order.id).await;
    assert_eq!(client.status(&world, order.id).await, OrderStatus::Invalid);
    assert_eq!(world.serials(order.id).await.len(), 3, "each issuance ends at its first signature");
    assert_eq!(world.precertificate_lines(order.id).await, []);
    for record in world.serials(order.id).await {
        assert_eq!(record.status, ca::ports::SerialStatus::Wait);
        world.ca.revoke(record.serial, Reason::Unspecified, "operator".to_owned()).await.unwrap();
    }
    world.check_invariants().await;
}
