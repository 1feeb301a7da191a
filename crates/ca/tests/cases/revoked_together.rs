//! Many serials revoked with one call: broken off anywhere, the next call does the rest.

use std::collections::BTreeSet;

use ca::RevokedTogether;
use ca::ports::{AuditEvent, SerialRecord, SerialStatus};
use pki::{Reason, Serial};

use super::on_all_back_ends;
use crate::world::{Backend, Call, Client, Side, World, kill, pair};

on_all_back_ends! {
    serials_are_revoked_together_and_counted
    revocation_together_that_is_killed_anywhere_goes_on_after_a_restart
    revocation_together_that_fails_for_one_serial_is_done_for_the_others
}

const OPERATOR: &str = "the operator";

async fn issued(world: &World, count: usize) -> (Vec<SerialRecord>, BTreeSet<Serial>) {
    let (client, key) = (Client::new(world).await, pair());
    let mut issued = Vec::new();
    for number in 0..count {
        issued.push(client.issued(world, &[&format!("n{number}.example.com")], &key).await);
    }
    let serials = issued.iter().map(|record| record.serial).collect();
    (issued, serials)
}

async fn revoke(world: &World, serials: &BTreeSet<Serial>) -> RevokedTogether {
    world.ca.revoke_all(serials, Reason::CessationOfOperation, OPERATOR).await.unwrap()
}

async fn assert_revoked(world: &World, serials: &BTreeSet<Serial>) {
    for serial in serials {
        let revocation = world.record(*serial).await.revocation.expect("it is revoked");
        assert_eq!((revocation.reason, &*revocation.by), (Reason::CessationOfOperation, OPERATOR));
    }
}

async fn serials_are_revoked_together_and_counted(backend: Backend) {
    let world = World::on(backend).await;
    let (records, mut serials) = issued(&world, 3).await;
    let kept = records[2].serial;
    serials.remove(&kept);
    world.ca.revoke(records[0].serial, Reason::CessationOfOperation, OPERATOR.to_owned()).await.unwrap();
    let unknown = Serial::from_random([0x33; 16]);
    serials.insert(unknown);
    let counts = RevokedTogether { revoked: 1, already: 1, unknown: 1 };
    assert_eq!(revoke(&world, &serials).await, counts);
    serials.remove(&unknown);
    assert_revoked(&world, &serials).await;
    assert_eq!(world.record(kept).await.status, SerialStatus::Good);
    assert_eq!(revoke(&world, &serials).await, RevokedTogether { already: 2, ..RevokedTogether::default() });
    for serial in &serials {
        let lines = world.lines().await;
        let of = |event: &AuditEvent| matches!(event, AuditEvent::Revocation { serial: one, .. } if one == serial);
        assert_eq!(lines.iter().filter(|line| of(&line.event)).count(), 1);
    }
    world.check_invariants().await;
}

/// How many calls it makes for so many serials when nothing goes wrong.
async fn calls(backend: Backend) -> u64 {
    let world = World::on(backend).await;
    let (_, serials) = issued(&world, 3).await;
    let before = world.points.calls();
    revoke(&world, &serials).await;
    world.points.calls() - before
}

async fn revocation_together_that_is_killed_anywhere_goes_on_after_a_restart(backend: Backend) {
    for number in 0..calls(backend).await {
        for side in [Side::Before, Side::After] {
            let world = World::on(backend).await;
            let (_, serials) = issued(&world, 3).await;
            let mut held = world.points.hold_after(number, side);
            let (ca, asked) = (world.ca.clone(), serials.clone());
            let work = world.start_beside(async move {
                let _killed = ca.revoke_all(&asked, Reason::CessationOfOperation, OPERATOR).await;
            });
            held.reached().await;
            kill(work).await;
            let world = world.restart();
            world.ca.recover().await.unwrap();
            let done = revoke(&world, &serials).await;
            assert_eq!(done.revoked + done.already, 3, "killed at call {number}, {side:?}");
            assert_revoked(&world, &serials).await;
            world.check_invariants().await;
        }
    }
}

async fn revocation_together_that_fails_for_one_serial_is_done_for_the_others(backend: Backend) {
    let world = World::on(backend).await;
    let (_, serials) = issued(&world, 3).await;
    world.points.fail(Side::Before, Call::Revoke);
    assert!(world.ca.revoke_all(&serials, Reason::CessationOfOperation, OPERATOR).await.is_err());
    assert_eq!(revoke(&world, &serials).await, RevokedTogether { revoked: 1, already: 2, unknown: 0 });
    assert_revoked(&world, &serials).await;
    world.check_invariants().await;
}
