//! Fences: a worker that comes too late changes nothing but a stored and revoked certificate.

use acme::OrderStatus;
use ca::Worked;
use ca::order::{Order, Stage};
use ca::ports::{LedgerOrder, SerialStatus, Standing};
use pki::Reason;

use super::on_all_back_ends;
use crate::world::{Backend, Call, Client, INSTANCE, Side, World};

on_all_back_ends! {
    worker_held_after_step_7_signs_nothing_once_another_has_finished
    worker_held_after_step_7_is_refused_by_the_signer_though_its_lease_seems_to_run
    certificate_signed_too_late_is_stored_and_revoked
    certificate_logged_too_late_is_stored_and_revoked
    worker_held_before_step_6_signs_nothing
    worker_held_before_step_6_is_refused_by_the_signer_though_its_lease_seems_to_run
    precertificate_signed_too_late_leads_to_no_certificate
    late_worker_is_as_good_as_any_until_another_has_begun
    late_tests_change_nothing_once_another_worker_has_ended_the_order
    token_of_a_lost_lease_advances_nothing
}

/// What the first worker must not change.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    known: Option<LedgerOrder>,
    seen: Order,
    standing: Standing,
}

impl Outcome {
    async fn of(world: &World, client: &Client, order: &Order) -> Self {
        Self {
            known: world.known(order.id).await,
            seen: client.poll(world, order.id).await,
            standing: world.standing(order.id).await,
        }
    }
}

/// How the first worker loses its lease.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Loss {
    /// It ran out, and a sweep saw it.
    RanOut,
    /// Another process took the instance's lock, and time has not moved.
    Freed,
}

struct Late {
    world: World,
    client: Client,
    order: Order,
    before: Outcome,
}

/// Holds a first worker at a point until a second one has finished the order, then lets it go.
async fn finish_behind_the_back(backend: Backend, side: Side, call: Call, loss: Loss) -> Late {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.processing(&world, &["one.example.com"]).await;
    let mut held = world.points.hold(side, call);
    let first = world.start_work(Stage::Issue);
    held.reached().await;
    match loss {
        Loss::RanOut => {
            world.clock.pass_seconds(91);
            assert_eq!(world.sweep().await.requeued, 1);
        }
        Loss::Freed => assert_eq!(world.workbench.free_leases(INSTANCE).await.unwrap(), 1),
    }
    assert_eq!(world.work(Stage::Issue).await, Worked::Advanced);
    assert_eq!(client.status(&world, order.id).await, OrderStatus::Valid);
    assert_eq!(world.serials(order.id).await.len(), 2);
    let before = Outcome::of(&world, &client, &order).await;
    held.release();
    assert_eq!(first.await.unwrap(), Some(Worked::Fenced));
    Late { world, client, order, before }
}

impl Late {
    /// The order is as the second worker left it, and its certificate is good.
    async fn assert_order_is_untouched(&self) {
        let Self { world, client, order, before } = self;
        assert_eq!(Outcome::of(world, client, order).await, *before);
        let record = client.certificate(world, order.id).await;
        assert_eq!((record.status, record.number.0), (SerialStatus::Good, 2));
        world.assert_idle(Stage::Issue).await;
        world.check_invariants().await;
    }

    /// The first worker's certificate is stored, attached to no order, and revoked.
    async fn assert_first_is_stored_and_revoked(&self) {
        let Self { world, order, .. } = self;
        let [first, second] = &*world.serials(order.id).await else { panic!("two serials") };
        assert!(first.certificate.is_some() && !first.attached && second.attached);
        assert_eq!(first.status, SerialStatus::Revoked);
        assert_eq!(first.revocation.as_ref().unwrap().reason, Reason::Superseded);
        assert_eq!(world.certificate_lines(order.id).await.len(), 2);
    }

    /// The first worker signed no certificate.
    async fn assert_first_signed_no_certificate(&self) {
        let Self { world, order, .. } = self;
        let [first, second] = &*world.serials(order.id).await else { panic!("two serials") };
        assert_eq!(first.certificate, None);
        let [(serial, _)] = &*world.certificate_lines(order.id).await else { panic!("one certificate") };
        assert_eq!(*serial, second.serial);
    }
}

async fn worker_held_after_step_7_signs_nothing_once_another_has_finished(backend: Backend) {
    let late = finish_behind_the_back(backend, Side::After, Call::Submit, Loss::RanOut).await;
    late.assert_first_signed_no_certificate().await;
    late.assert_order_is_untouched().await;
    assert!(late.world.serials(late.order.id).await[0].is_abandoned());
}

async fn worker_held_after_step_7_is_refused_by_the_signer_though_its_lease_seems_to_run(backend: Backend) {
    let late = finish_behind_the_back(backend, Side::After, Call::Submit, Loss::Freed).await;
    late.assert_first_signed_no_certificate().await;
    late.assert_order_is_untouched().await;
}

async fn certificate_signed_too_late_is_stored_and_revoked(backend: Backend) {
    let late = finish_behind_the_back(backend, Side::Before, Call::AppendCertificate, Loss::RanOut).await;
    late.assert_first_is_stored_and_revoked().await;
    late.assert_order_is_untouched().await;
}

async fn certificate_logged_too_late_is_stored_and_revoked(backend: Backend) {
    let late = finish_behind_the_back(backend, Side::Before, Call::StoreFinal, Loss::Freed).await;
    late.assert_first_is_stored_and_revoked().await;
    late.assert_order_is_untouched().await;
}

async fn worker_held_before_step_6_signs_nothing(backend: Backend) {
    let late = finish_behind_the_back(backend, Side::After, Call::Begin, Loss::RanOut).await;
    assert_only_the_second_has_a_precertificate(&late).await;
    late.assert_first_signed_no_certificate().await;
    late.assert_order_is_untouched().await;
}

async fn worker_held_before_step_6_is_refused_by_the_signer_though_its_lease_seems_to_run(backend: Backend) {
    let late = finish_behind_the_back(backend, Side::Before, Call::SignPrecertificate, Loss::Freed).await;
    assert_only_the_second_has_a_precertificate(&late).await;
    late.assert_order_is_untouched().await;
}

async fn assert_only_the_second_has_a_precertificate(late: &Late) {
    let [first, second] = &*late.world.serials(late.order.id).await else { panic!("two serials") };
    let [(serial, _)] = &*late.world.precertificate_lines(late.order.id).await else { panic!("one precertificate") };
    assert_eq!(*serial, second.serial);
    assert_eq!((first.status, first.good), (SerialStatus::Wait, None));
    assert!(first.is_abandoned());
}

async fn precertificate_signed_too_late_leads_to_no_certificate(backend: Backend) {
    let late = finish_behind_the_back(backend, Side::Before, Call::AppendPrecertificate, Loss::RanOut).await;
    late.assert_first_signed_no_certificate().await;
    late.assert_order_is_untouched().await;
    // The signature exists, so it is known, and its serial is `good`.
    assert_eq!(late.world.precertificate_lines(late.order.id).await.len(), 2);
    let first = &late.world.serials(late.order.id).await[0];
    assert_eq!(first.status, SerialStatus::Good);
    assert!(first.is_abandoned());
}

async fn late_worker_is_as_good_as_any_until_another_has_begun(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.processing(&world, &["one.example.com"]).await;
    let mut held = world.points.hold(Side::Before, Call::StoreFinal);
    let first = world.start_work(Stage::Issue);
    held.reached().await;
    assert_eq!(world.workbench.free_leases(INSTANCE).await.unwrap(), 1);
    held.release();
    assert_eq!(first.await.unwrap(), Some(Worked::Fenced), "the order stands in the queue, without a lease");
    // The next one finds it done in the ledger, and only advances.
    assert_eq!(world.work(Stage::Issue).await, Worked::Advanced);
    let [record] = &*world.serials(order.id).await else { panic!("one serial") };
    assert!(record.attached);
    assert_eq!(client.certificate(&world, order.id).await.serial, record.serial);
    assert_eq!(world.standing(order.id).await, Standing::PendingDone);
    world.check_invariants().await;
}

async fn late_tests_change_nothing_once_another_worker_has_ended_the_order(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.order(&world, &["one.example.com"]).await;
    client.answer(&world, &order, 0).await;
    // The first worker sees a failure, the second one control; the second one is done first.
    let mut held = world.network.hold_test("one.example.com");
    let first = world.start_work(Stage::TestChallenge);
    held.reached().await;
    world.clock.pass_seconds(61);
    world.sweep().await;
    assert_eq!(world.work(Stage::TestChallenge).await, Worked::Advanced);
    assert_eq!(client.status(&world, order.id).await, OrderStatus::Ready);
    let before = world.ledger.authorizations(&order.authorization_ids()).await.unwrap();
    world.network.answers("one.example.com", [crate::world::network::wrong()]);
    held.release();
    assert_eq!(first.await.unwrap(), Some(Worked::Fenced));
    assert_eq!(client.status(&world, order.id).await, OrderStatus::Ready);
    assert_eq!(world.ledger.authorizations(&order.authorization_ids()).await.unwrap(), before);
}

async fn token_of_a_lost_lease_advances_nothing(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.processing(&world, &["one.example.com"]).await;
    let mut held = world.points.hold(Side::Before, Call::Park);
    world.points.fail(Side::Before, Call::SignPrecertificate);
    let first = world.start_work(Stage::Issue);
    held.reached().await;
    world.clock.pass_seconds(91);
    world.sweep().await;
    let mut second_held = world.points.hold(Side::After, Call::Begin);
    let second = world.start_work(Stage::Issue);
    second_held.reached().await;
    let leased = world.standing(order.id).await;
    held.release();
    assert_eq!(first.await.unwrap(), Some(Worked::Fenced));
    assert_eq!(world.standing(order.id).await, leased, "the second worker's lease stands");
    second_held.release();
    assert_eq!(second.await.unwrap(), Some(Worked::Advanced));
    assert_eq!(client.status(&world, order.id).await, OrderStatus::Valid);
    world.check_invariants().await;
}
