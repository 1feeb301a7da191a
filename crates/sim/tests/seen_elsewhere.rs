//! Two faults that other CAs have shown: an order that stays `processing` once its server was killed, and several
//! certificates for one order whose client was in a hurry.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ca::ports::{Ledger, SerialFilter};
use futures_util::FutureExt;
use sim::client::Session;
use sim::enumeration::{Case, Life, run};
use sim::executor::Node;
use sim::keys::of_account;
use sim::ports::{Call, Fate};
use sim::scenario::Scenario;
use sim::world::{Options, World};

#[test]
fn order_of_a_server_killed_between_finalize_and_issue_does_not_stay_processing() {
    let calm = Case::calm(Life::Order, 0);
    let calls: Vec<Call> = run(&calm, None, false).calls.iter().map(|made| made.call).collect();
    let place = |call| calls.iter().position(|one| *one == call).expect("the life of an order has this call");
    let (finalized, issued) = (place(Call::Finalize), place(Call::StoreFinal));
    assert!(finalized < issued);
    for (number, call) in (0..).zip(&calls).take(issued + 1).skip(finalized) {
        for fate in [Fate::DiesBefore, Fate::DiesAfter] {
            let ended = run(&calm.with(number, fate), None, false);
            let what = format!("{call:?}, {fate:?}");
            assert_eq!(ended.met, 1, "{what}: the server was not killed");
            assert_eq!(ended.violations, [], "{what}");
        }
    }
}

/// Sends sixteen finalize requests at once, and waits until everything has ended.
fn sixteen_finalizes(seed: u64, servers: usize) {
    let mut scenario = Scenario::calm();
    scenario.machines = servers;
    scenario.clients.clear();
    let world = World::new(seed, scenario, Options::default());
    world.begin();
    let taken = Arc::new(AtomicUsize::new(0));
    let (of_client, answer) = (Arc::clone(&world), Arc::clone(&taken));
    world.executor.spawn(Node::WORLD, async move {
        let mut session = Session::new(&of_client, 0, of_account(0));
        session.register().await.expect("an account");
        let names = ["sixteen.example.com".to_owned()];
        let (_, order) = session.ready(&names, None).await.expect("an order");
        answer.store(session.finalize_at_once(&order.finalize, &names, 0).await, Ordering::Relaxed);
    });
    while world.step(Duration::from_secs(120)) {}
    assert_eq!(world.auditor.violations(), [], "seed {seed}, {servers} servers");
    assert_eq!(taken.load(Ordering::Relaxed), 1, "seed {seed}, {servers} servers: requests that were taken");
    let serials = world.stores.ledger.serials(SerialFilter::default(), 100);
    let serials = serials.now_or_never().and_then(Result::ok).expect("a ledger in memory answers");
    let certificates = serials.iter().filter(|one| one.certificate.is_some()).count();
    assert_eq!((serials.len(), certificates), (1, 1), "seed {seed}, {servers} servers: {serials:?}");
    assert!(serials[0].attached);
}

#[test]
fn sixteen_finalizes_with_different_keys_bring_one_certificate() {
    for seed in 0..12 {
        sixteen_finalizes(seed, 1);
        sixteen_finalizes(seed, 2);
    }
}
