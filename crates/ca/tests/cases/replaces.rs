//! `replaces` in newOrder (RFC 9773 §5): one order takes the place of a certificate, unless it comes to nothing.

use std::time::Duration;

use acme::{CertificateIdentifier, NewOrder, OrderStatus, ProblemType};
use ca::Answer;
use ca::InstanceId;
use ca::order::{Order, Stage};
use ca::ports::{LeaseTerms, SerialRecord};
use pki::Certificate;
use tokio::task::JoinHandle;

use super::on_all_back_ends;
use crate::world::{Backend, Call, Client, Side, World, kill, new_order, pair, refused};

const NAME: &str = "one.example.com";

on_all_back_ends! {
    order_that_replaces_a_certificate_says_so_and_acknowledges_it
    certificate_is_replaced_once
    replacement_that_comes_to_nothing_frees_its_place
    of_two_simultaneous_replacements_one_wins
    same_request_sent_again_gets_the_order_that_has_the_place
    of_two_simultaneous_requests_for_the_same_both_get_one_order
    same_request_waits_for_the_order_that_is_being_made
    order_that_was_finalized_in_its_last_moment_keeps_its_place
    replacement_whose_maker_died_takes_its_place_later
    order_that_comes_back_with_its_workbench_does_not_share_its_place
    order_that_comes_back_with_its_workbench_has_its_place_again_if_the_other_came_to_nothing
    certificate_of_another_account_cannot_be_replaced
    what_is_no_certificate_with_a_shared_name_cannot_be_replaced
}

/// The name of a certificate (RFC 9773 §4.1).
pub(super) fn identifier(record: &SerialRecord) -> CertificateIdentifier {
    let certificate = Certificate::from_der(record.certificate.as_deref().unwrap()).unwrap();
    CertificateIdentifier::new(certificate.authority_key_identifier().unwrap(), record.serial.as_bytes()).unwrap()
}

fn replacing(record: &SerialRecord, names: &[&str]) -> NewOrder {
    NewOrder { replaces: Some(identifier(record).to_string()), ..new_order(names, None) }
}

async fn replace(world: &World, client: &Client, record: &SerialRecord) -> Order {
    client.ask(world, &replacing(record, &[NAME])).await.unwrap()
}

async fn order_that_replaces_a_certificate_says_so_and_acknowledges_it(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let record = client.issued(&world, &[NAME], &pair()).await;
    assert_eq!(world.known(record.order).await.unwrap().acknowledged, None);
    let order = client.ask(&world, &replacing(&record, &[NAME, "two.example.com"])).await.unwrap();
    assert_eq!(order.replaces, Some(identifier(&record)));
    assert_eq!(world.ledger.replacement(record.serial).await.unwrap(), Some(order.id));
    assert!(world.known(record.order).await.unwrap().acknowledged.is_some());
    assert!(world.read(record.order).await.is_none(), "it leaves pending-done");
    // Asked for again it is the same order.
    assert_eq!(client.ask(&world, &replacing(&record, &[NAME, "two.example.com"])).await.unwrap().id, order.id);
    world.check_invariants().await;
}

async fn certificate_is_replaced_once(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let record = client.issued(&world, &[NAME], &pair()).await;
    let first = replace(&world, &client, &record).await;
    let other = replacing(&record, &[NAME, "two.example.com"]);
    let active = world.workbench.list(ca::ports::OrderFilter::default(), 10).await.unwrap().len();
    let problem = refused(client.ask(&world, &other).await);
    assert_eq!((problem.kind, problem.status), (ProblemType::AlreadyReplaced, 409));
    assert_eq!(world.workbench.list(ca::ports::OrderFilter::default(), 10).await.unwrap().len(), active);
    client.finalize(&world, &first, &pair()).await.unwrap();
    assert_eq!(refused(client.ask(&world, &other).await).kind, ProblemType::AlreadyReplaced);
    world.work(Stage::Issue).await;
    let next = client.certificate(&world, first.id).await;
    assert_eq!(refused(client.ask(&world, &other).await).kind, ProblemType::AlreadyReplaced);
    // Its successor can be replaced.
    replace(&world, &client, &next).await;
}

async fn replacement_that_comes_to_nothing_frees_its_place(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let record = client.issued(&world, &[NAME], &pair()).await;
    let first = client.ask(&world, &replacing(&record, &[NAME, "two.example.com"])).await.unwrap();
    let gone = first.authorizations.iter().find(|one| one.id.order == first.id).unwrap().id;
    world.ca.deactivate_authorization(&client.account, gone).await.unwrap();
    let second = replace(&world, &client, &record).await;
    assert_eq!(second.status(world.ca.now()), OrderStatus::Ready);
    // This one dies in `Issue`, in the ledger.
    client.finalize(&world, &second, &pair()).await.unwrap();
    client.deactivate(&world).await;
    world.work_off().await;
    let active = world.read(second.id).await.unwrap();
    assert_eq!(active.order.status(world.ca.now()), OrderStatus::Invalid);
    let third = client.ask(&world, &replacing(&record, &[NAME])).await.unwrap();
    assert_eq!(world.ledger.replacement(record.serial).await.unwrap(), Some(third.id));
}

async fn of_two_simultaneous_replacements_one_wins(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let record = client.issued(&world, &[NAME], &pair()).await;
    let mut held = world.points.hold(Side::Before, Call::Replace);
    let (ca, account) = (world.ca.clone(), client.account.clone());
    let asked = replacing(&record, &[NAME, "two.example.com"]);
    let first = world.start_beside(async move { ca.new_order(&account, &asked).await });
    held.reached().await;
    let second = replace(&world, &client, &record).await;
    held.release();
    let problem = refused(first.await.unwrap());
    assert_eq!((problem.kind, problem.status), (ProblemType::AlreadyReplaced, 409));
    assert_eq!(world.ledger.replacement(record.serial).await.unwrap(), Some(second.id));
    assert_eq!(client.status(&world, second.id).await, OrderStatus::Ready);
    let open = world.workbench.list(ca::ports::OrderFilter::default(), 10).await.unwrap();
    let open = open.iter().filter(|one| one.order.stage() != Stage::Done).count();
    assert_eq!(open, 1, "the other has ended");
}

async fn same_request_sent_again_gets_the_order_that_has_the_place(backend: Backend) {
    let world = World::with(backend, |settings| settings.reuse.orders = false).await;
    let (client, other) = (Client::new(&world).await, Client::new(&world).await);
    let record = client.issued(&world, &[NAME], &pair()).await;
    let first = replace(&world, &client, &record).await;
    assert_eq!(replace(&world, &client, &record).await, first, "whether open orders are reused or not");
    let left = first.expires.since(world.ca.now());
    world.clock.pass(left - Duration::from_secs(60));
    assert_eq!(replace(&world, &client, &record).await.id, first.id, "whatever is left of it");
    assert_eq!(refused(other.ask(&world, &replacing(&record, &[NAME])).await).kind, ProblemType::Unauthorized);
    client.finalize(&world, &first, &pair()).await.unwrap();
    let problem = refused(client.ask(&world, &replacing(&record, &[NAME])).await);
    assert_eq!(problem.kind, ProblemType::AlreadyReplaced, "it has gone on");
}

async fn of_two_simultaneous_requests_for_the_same_both_get_one_order(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let record = client.issued(&world, &[NAME], &pair()).await;
    let mut held = world.points.hold(Side::Before, Call::Replace);
    let first = start_replacing(&world, &client, &record);
    held.reached().await;
    let second = replace(&world, &client, &record).await;
    held.release();
    assert_eq!(first.await.unwrap().unwrap().id, second.id);
    assert_eq!(world.ledger.replacement(record.serial).await.unwrap(), Some(second.id));
}

fn start_replacing(world: &World, client: &Client, record: &SerialRecord) -> JoinHandle<Answer<Order>> {
    let (ca, account, asked) = (world.ca.clone(), client.account.clone(), replacing(record, &[NAME]));
    world.start_beside(async move { ca.new_order(&account, &asked).await })
}

async fn same_request_waits_for_the_order_that_is_being_made(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let record = client.issued(&world, &[NAME], &pair()).await;
    let mut making = world.points.hold(Side::Before, Call::Advance);
    let first = start_replacing(&world, &client, &record);
    making.reached().await;
    let second = start_replacing(&world, &client, &record);
    world.clock.pass_when_slept(Duration::from_secs(5)).await;
    assert!(matches!(second.await.unwrap(), Err(ca::Error::Failed(_))), "not for ever");
    let mut looked = world.points.hold(Side::After, Call::Read);
    let third = start_replacing(&world, &client, &record);
    looked.reached().await;
    let mut looked_again = world.points.hold(Side::After, Call::Read);
    looked.release();
    looked_again.reached().await;
    making.release();
    let first = first.await.unwrap().unwrap();
    looked_again.release();
    assert_eq!(third.await.unwrap().unwrap(), first);
}

async fn order_that_was_finalized_in_its_last_moment_keeps_its_place(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let record = client.issued(&world, &[NAME], &pair()).await;
    let first = replace(&world, &client, &record).await;
    world.clock.pass(first.expires.since(world.ca.now()));
    let mut looked = world.points.hold(Side::After, Call::Read);
    let (ca, account, asked) =
        (world.ca.clone(), client.account.clone(), replacing(&record, &[NAME, "two.example.com"]));
    let other = world.start_beside(async move { ca.new_order(&account, &asked).await });
    looked.reached().await;
    client.finalize(&world, &first, &pair()).await.unwrap();
    world.clock.pass_seconds(1);
    looked.release();
    assert_eq!(refused(other.await.unwrap()).kind, ProblemType::AlreadyReplaced);
    assert_eq!(world.ledger.replacement(record.serial).await.unwrap(), Some(first.id));
}

async fn replacement_whose_maker_died_takes_its_place_later(backend: Backend) {
    for side in [Side::Before, Side::After] {
        let world = World::on(backend).await;
        let client = Client::new(&world).await;
        let record = client.issued(&world, &[NAME], &pair()).await;
        let mut held = world.points.hold(side, Call::Replace);
        let (ca, account) = (world.ca.clone(), client.account.clone());
        let asked = replacing(&record, &[NAME]);
        let making = world.start_beside(async move { ca.new_order(&account, &asked).await });
        held.reached().await;
        kill(making).await;
        let world = world.restart();
        world.ca.recover().await.unwrap();
        world.work(Stage::MakeChallenge).await;
        let order = world.ledger.replacement(record.serial).await.unwrap().unwrap();
        assert_eq!(client.status(&world, order).await, OrderStatus::Ready);
        assert_eq!(client.ask(&world, &replacing(&record, &[NAME])).await.unwrap().id, order);
        world.check_invariants().await;
    }
}

/// An order to replace a certificate that was finalized, was lost with the workbench, and came back with it after
/// another one had taken its place: its certificate's record, and the two.
async fn came_back(backend: Backend) -> (World, Client, SerialRecord, [Order; 2]) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let record = client.issued(&world, &[NAME], &pair()).await;
    let first = replace(&world, &client, &record).await;
    let first = client.finalize(&world, &first, &pair()).await.unwrap();
    let world = world.restart_without_workbench();
    world.ca.recover().await.unwrap();
    let second = client.ask(&world, &replacing(&record, &[NAME, "two.example.com"])).await.unwrap();
    assert_eq!(world.ledger.replacement(record.serial).await.unwrap(), Some(second.id));
    let terms = LeaseTerms { holder: InstanceId::from_bytes([9; 16]), length: Duration::ZERO };
    world.workbench.create(first.clone(), terms).await.unwrap();
    (world, client, record, [first, second])
}

async fn order_that_comes_back_with_its_workbench_does_not_share_its_place(backend: Backend) {
    let (world, client, record, [first, second]) = came_back(backend).await;
    world.sweep().await;
    world.work(Stage::Issue).await;
    let (stage, problem) = client.death(&world, first.id).await;
    assert_eq!((stage, problem.kind), (Stage::Issue, ProblemType::AlreadyReplaced));
    assert_eq!(world.ledger.replacement(record.serial).await.unwrap(), Some(second.id));
    world.check_invariants().await;
}

async fn order_that_comes_back_with_its_workbench_has_its_place_again_if_the_other_came_to_nothing(backend: Backend) {
    let (world, client, record, [first, second]) = came_back(backend).await;
    let gone = second.authorizations.iter().find(|one| one.id.order == second.id).unwrap().id;
    world.ca.deactivate_authorization(&client.account, gone).await.unwrap();
    world.sweep().await;
    world.until_done(first.id).await;
    assert_eq!(client.status(&world, first.id).await, OrderStatus::Valid);
    assert_eq!(world.ledger.replacement(record.serial).await.unwrap(), Some(first.id));
    world.check_invariants().await;
}

async fn certificate_of_another_account_cannot_be_replaced(backend: Backend) {
    let world = World::on(backend).await;
    let (client, other) = (Client::new(&world).await, Client::new(&world).await);
    let record = client.issued(&world, &[NAME], &pair()).await;
    let problem = refused(other.ask(&world, &replacing(&record, &[NAME])).await);
    assert_eq!((problem.kind, problem.status), (ProblemType::Unauthorized, 403));
    assert_eq!(world.known(record.order).await.unwrap().acknowledged, None);
}

async fn what_is_no_certificate_with_a_shared_name_cannot_be_replaced(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let record = client.issued(&world, &[NAME], &pair()).await;
    let (key, serial) = (identifier(&record).authority_key_identifier().to_vec(), record.serial.as_bytes().to_vec());
    let foreign = CertificateIdentifier::new([1; 20], serial).unwrap();
    let unknown = CertificateIdentifier::new(key.clone(), [0x11; 16]).unwrap();
    let negative = CertificateIdentifier::new(key, [0xff; 16]).unwrap();
    for replaces in [foreign.to_string(), unknown.to_string(), negative.to_string(), "rubbish".to_owned()] {
        let asked = NewOrder { replaces: Some(replaces.clone()), ..new_order(&[NAME], None) };
        assert_eq!(refused(client.ask(&world, &asked).await).kind, ProblemType::Malformed, "{replaces}");
    }
    let problem = refused(client.ask(&world, &replacing(&record, &["other.example.com"])).await);
    assert_eq!(problem.kind, ProblemType::Malformed);
    assert!(problem.detail.contains("none of the names"), "{}", problem.detail);
    assert_eq!(world.ledger.replacement(record.serial).await.unwrap(), None);
}
