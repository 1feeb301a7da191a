//! Accounts: changes of their keys, and what a chain of such changes proves to the signer.

use std::time::Duration;

use acme::{KeyAuthorization, OrderStatus, ProblemType};
use ca::KeyChanged;
use ca::authorization::Method;
use ca::order::Stage;
use ca::ports::{KeyChangeRecord, StoreErrorKind};

use super::on_all_back_ends;
use crate::world::{Backend, Call, Client, Side, World, pair, refused};

on_all_back_ends! {
    certificates_are_issued_after_each_of_several_key_changes
    order_finalized_before_a_key_change_is_issued_after_it
    request_that_was_being_taken_during_a_key_change_is_issued
    replaced_key_does_not_sign_for_what_came_later
    replaced_key_does_not_count_longer_than_an_order_may_wait
    key_that_was_written_without_its_request_is_refused_by_the_signer
    key_change_of_another_account_proves_nothing
    pending_challenges_are_tested_with_the_new_key
    key_of_another_account_is_refused_and_its_account_named
    blocked_key_does_not_become_an_accounts_key
    key_can_be_changed_so_many_times
    certificate_for_the_new_key_of_the_account_is_refused
    key_change_whose_write_fails_on_either_side_is_whole_or_not_at_all
    deactivated_account_keeps_its_key
    orders_that_wait_for_their_client_end_with_its_account
    more_contacts_than_are_kept_are_refused
}

async fn certificates_are_issued_after_each_of_several_key_changes(backend: Backend) {
    let mut world = World::on(backend).await;
    let mut client = Client::new(&world).await;
    for _ in 0..3 {
        let to = pair();
        let changed = client.change_key(&world, &to).await.unwrap();
        assert!(matches!(changed, KeyChanged::Done(_)));
        client.issued(&world, &["one.example.com"], &pair()).await;
        world = world.restart();
        world.ca.recover().await.unwrap();
        client.issued(&world, &["two.example.com"], &pair()).await;
    }
    assert_eq!(client.account.proofs.len(), 4);
    world.check_invariants().await;
}

async fn order_finalized_before_a_key_change_is_issued_after_it(backend: Backend) {
    let world = World::on(backend).await;
    let mut client = Client::new(&world).await;
    let order = client.processing(&world, &["one.example.com"]).await;
    world.clock.pass_seconds(30);
    client.change_key(&world, &pair()).await.unwrap();
    client.change_key(&world, &pair()).await.unwrap();
    world.until_done(order.id).await;
    client.certificate(&world, order.id).await;
    world.check_invariants().await;
}

async fn request_that_was_being_taken_during_a_key_change_is_issued(backend: Backend) {
    let world = World::on(backend).await;
    let mut client = Client::new(&world).await;
    let order = client.ready(&world, &["one.example.com"]).await;
    let request = client.finalize_request(&order, &pair());
    let checked = client.account.clone();
    client.change_key(&world, &pair()).await.unwrap();
    world.clock.pass_seconds(1);
    world.ca.finalize(&checked, order.id, request).await.unwrap();
    world.until_done(order.id).await;
    client.certificate(&world, order.id).await;
}

async fn replaced_key_does_not_sign_for_what_came_later(backend: Backend) {
    let world = World::on(backend).await;
    let mut client = Client::new(&world).await;
    let order = client.ready(&world, &["one.example.com"]).await;
    // A worker that lies has the old key, and says that the door has checked the request.
    let request = client.finalize_request(&order, &pair());
    let stolen = client.account.clone();
    client.change_key(&world, &pair()).await.unwrap();
    world.clock.pass_seconds(60);
    world.ca.finalize(&stolen, order.id, request).await.unwrap();
    is_refused_by_the_signer(&world, &client, order.id).await;
}

async fn replaced_key_does_not_count_longer_than_an_order_may_wait(backend: Backend) {
    let world = World::with(backend, |settings| settings.times.issue_deadline = Duration::from_secs(120)).await;
    let mut client = Client::new(&world).await;
    let order = client.ready(&world, &["one.example.com"]).await;
    let request = client.finalize_request(&order, &pair());
    let now = world.ca.now();
    client.change_key(&world, &pair()).await.unwrap();
    world.clock.pass_seconds(600);
    // A worker that lies about the time at which the request was received, too.
    let received = ca::order::Finalize { csr: csr_of(&request), jws: request.evidence(), received: now };
    let deadline = world.ca.now().plus(Duration::from_secs(120));
    world.workbench.finalize(order.id, received, deadline, &[]).await.unwrap().unwrap().unwrap();
    is_refused_by_the_signer(&world, &client, order.id).await;
}

fn csr_of(request: &acme::Verified) -> Vec<u8> {
    request.json::<acme::Finalize>().unwrap().csr_der().unwrap()
}

async fn is_refused_by_the_signer(world: &World, client: &Client, order: ca::OrderId) {
    world.until_done(order).await;
    assert_eq!(client.status(world, order).await, OrderStatus::Invalid);
    assert_eq!(world.precertificate_lines(order).await, []);
    world.check_invariants().await;
}

async fn key_that_was_written_without_its_request_is_refused_by_the_signer(backend: Backend) {
    let world = World::on(backend).await;
    let mut client = Client::new(&world).await;
    let order = client.ready(&world, &["one.example.com"]).await;
    let to = pair();
    // A worker that lies changes the key by itself: with the request of another path, which proves nothing.
    let request = client.key_change_at("/new-order", &to);
    write_key(&world, &client, &to, request.evidence()).await;
    client.take_up(&world, &to).await;
    client.finalize(&world, &order, &pair()).await.unwrap();
    is_refused_by_the_signer(&world, &client, order.id).await;
}

async fn key_change_of_another_account_proves_nothing(backend: Backend) {
    let world = World::on(backend).await;
    let (mut client, other) = (Client::new(&world).await, Client::new(&world).await);
    let order = client.ready(&world, &["one.example.com"]).await;
    let to = pair();
    write_key(&world, &client, &to, other.key_change_request(&to).evidence()).await;
    client.take_up(&world, &to).await;
    client.finalize(&world, &order, &pair()).await.unwrap();
    is_refused_by_the_signer(&world, &client, order.id).await;
}

async fn write_key(world: &World, client: &Client, to: &keys::KeyPair, jws: Vec<u8>) {
    let account = &client.account;
    let to = crate::world::signing_key(to).jwk().clone();
    let change = KeyChangeRecord { account: account.id, from: account.thumbprint(), to, jws };
    world.ledger.change_key(change).await.unwrap().unwrap();
}

async fn pending_challenges_are_tested_with_the_new_key(backend: Backend) {
    let world = World::on(backend).await;
    let mut client = Client::new(&world).await;
    let order = client.order(&world, &["one.example.com"]).await;
    client.change_key(&world, &pair()).await.unwrap();
    client.answer_all(&world, &order).await;
    world.work(Stage::TestChallenge).await;
    let challenge = order.authorizations[0].challenge(Method::Dns01).unwrap();
    let due = KeyAuthorization::new(&challenge.token, &client.account.thumbprint());
    assert_eq!(world.network.expected(), [due.as_str()]);
    assert_eq!(client.status(&world, order.id).await, OrderStatus::Ready);
}

async fn key_of_another_account_is_refused_and_its_account_named(backend: Backend) {
    let world = World::on(backend).await;
    let (mut client, key) = (Client::new(&world).await, pair());
    let other = Client::with_key(&world, &key).await;
    let answer = client.change_key(&world, &key).await.unwrap();
    assert_eq!(answer, KeyChanged::Taken(other.account.id));
    let kept = world.ledger.account(client.account.id).await.unwrap();
    assert_eq!(kept.as_ref(), Some(&client.account));
}

async fn blocked_key_does_not_become_an_accounts_key(backend: Backend) {
    let world = World::on(backend).await;
    let (mut client, key) = (Client::new(&world).await, pair());
    world.ca.block_key(key.public_key().spki_hash(), "operator").await.unwrap();
    assert_eq!(refused(client.change_key(&world, &key).await).kind, ProblemType::BadPublicKey);
    let kept = world.ledger.account(client.account.id).await.unwrap();
    assert_eq!(kept.as_ref(), Some(&client.account));
}

async fn key_can_be_changed_so_many_times(backend: Backend) {
    let world = World::with(backend, |settings| settings.limits.key_changes = 2).await;
    let mut client = Client::new(&world).await;
    for _ in 0..2 {
        client.change_key(&world, &pair()).await.unwrap();
    }
    let problem = refused(client.change_key(&world, &pair()).await);
    assert_eq!(problem.kind, ProblemType::Malformed);
    assert!(problem.detail.contains("2 times"), "{}", problem.detail);
}

async fn certificate_for_the_new_key_of_the_account_is_refused(backend: Backend) {
    let world = World::on(backend).await;
    let (first, second) = (pair(), pair());
    let mut client = Client::with_key(&world, &first).await;
    client.change_key(&world, &second).await.unwrap();
    let order = client.ready(&world, &["one.example.com"]).await;
    assert_eq!(refused(client.finalize(&world, &order, &second).await).kind, ProblemType::BadCsr);
    client.finalize(&world, &order, &first).await.unwrap();
}

async fn key_change_whose_write_fails_on_either_side_is_whole_or_not_at_all(backend: Backend) {
    let mut world = World::on(backend).await;
    let mut client = Client::new(&world).await;
    for (side, kind) in [(Side::Before, StoreErrorKind::Unavailable), (Side::After, StoreErrorKind::Unknown)] {
        let to = pair();
        let before = client.account.clone();
        world.points.fail(side, Call::ChangeKey);
        assert!(matches!(client.change_key(&world, &to).await, Err(ca::Error::Failed(_))), "{kind:?}");
        world = world.restart();
        world.ca.recover().await.unwrap();
        match side {
            Side::Before => assert_eq!(world.ledger.account(before.id).await.unwrap(), Some(before)),
            Side::After => client.take_up(&world, &to).await,
        }
        client.issued(&world, &["one.example.com"], &pair()).await;
    }
    world.check_invariants().await;
}

async fn deactivated_account_keeps_its_key(backend: Backend) {
    let world = World::on(backend).await;
    let mut client = Client::new(&world).await;
    client.deactivate(&world).await;
    let problem = refused(client.change_key(&world, &pair()).await);
    assert_eq!((problem.kind, problem.status), (ProblemType::Unauthorized, 401));
}

async fn orders_that_wait_for_their_client_end_with_its_account(backend: Backend) {
    let world = World::with(backend, |settings| settings.limits.sweep_page = 2).await;
    let (client, other) = (Client::new(&world).await, Client::new(&world).await);
    let certificate = client.issued(&world, &["kept.example.com"], &pair()).await;
    let processing = client.processing(&world, &["processing.example.com"]).await;
    let mut waiting = vec![client.ready(&world, &["ready.example.com"]).await];
    for name in ["one.example.com", "two.example.com", "three.example.com"] {
        world.clock.pass_seconds(1);
        waiting.push(client.order(&world, &[name]).await);
    }
    let foreign = other.order(&world, &["one.example.com"]).await;
    client.deactivate(&world).await;
    for order in waiting {
        let ended = world.read(order.id).await.unwrap().order;
        let Some(ca::order::Outcome::Invalid(failure)) = ended.outcome() else { panic!("it goes on: {ended:?}") };
        assert!(failure.problem.detail.contains("deactivated"), "{failure:?}");
    }
    assert_eq!(other.status(&world, foreign.id).await, OrderStatus::Pending);
    world.until_done(processing.id).await;
    assert_eq!(world.serials(processing.id).await, [], "no issuance begins for an account that has ended");
    assert_eq!(world.record(certificate.serial).await, certificate, "certificates stay");
    world.check_invariants().await;
}

async fn more_contacts_than_are_kept_are_refused(backend: Backend) {
    let world = World::with(backend, |settings| settings.limits.contacts = 1).await;
    let client = Client::new(&world).await;
    let contact = Some(["a", "b"].map(|name| format!("mailto:{name}@example.com")).to_vec());
    let update = acme::AccountUpdate { contact, ..acme::AccountUpdate::default() };
    let problem = refused(world.ca.update_account(&client.account, &update).await);
    assert_eq!(problem.kind, ProblemType::InvalidContact);
    assert_eq!(world.ledger.account(client.account.id).await.unwrap(), Some(client.account));
}
