//! Stopped issuance: who is refused, what waits, what ends, and that nothing of it is lost.

use acme::{DnsName, Problem, ProblemType};
use ca::order::{Order, Stage};
use ca::ports::{AuditEvent, SerialStatus, StopRecord, StopScope};
use ca::{Resumed, Worked};

use super::on_all_back_ends;
use crate::world::{Backend, Call, Client, Side, World, kill, new_order, pair, refused};

on_all_back_ends! {
    stop_of_all_or_of_a_profile_refuses_orders_for_now
    stopped_name_is_rejected_with_all_that_a_certificate_for_it_could_have
    stopped_account_is_put_off_and_others_are_not
    stopped_address_is_rejected_and_ends_its_orders
    order_in_issue_waits_for_the_end_of_a_stop_and_nothing_is_used_up
    stop_that_comes_before_begin_lets_the_order_wait
    stop_that_comes_after_begin_leaves_it_unsigned
    stop_that_comes_after_the_precertificate_gets_no_certificate
    name_that_is_stopped_ends_its_orders_in_issue
    account_that_is_stopped_ends_its_orders_in_issue
    order_that_dies_for_a_stop_says_so
    stop_that_was_only_logged_is_applied
    two_who_stop_at_the_same_time_log_two_numbers
    number_that_was_logged_is_used_up_even_if_the_ledger_did_not_take_it
    logged_stop_whose_number_is_anothers_is_brought_in_and_ended
    end_of_a_stop_that_was_only_logged_is_applied
    stop_outlasts_an_end_that_was_only_logged_before_it
    stop_that_was_repeated_and_ended_does_not_come_back
    stop_outlives_a_restart
    stop_that_makes_no_sense_is_refused
}

fn name(name: &str) -> StopScope {
    StopScope::Name(DnsName::parse(name).unwrap())
}

async fn stop(world: &World, scope: StopScope) -> StopRecord {
    world.ca.stop_issuance(scope, "a private reason", "the operator").await.unwrap()
}

async fn resume(world: &World, stop: &StopRecord) {
    let ended = world.ca.resume_issuance(&Resumed::Number(stop.number), "the operator").await.unwrap();
    assert_eq!(ended.iter().map(|one| one.number).collect::<Vec<_>>(), [stop.number]);
}

async fn problem(world: &World, client: &Client, names: &[&str]) -> Problem {
    let problem = refused(client.try_order(world, names).await);
    assert!(!problem.detail.contains("private"), "{}", problem.detail);
    problem
}

fn rejected(problem: &Problem) -> Vec<String> {
    assert_eq!(problem.kind, ProblemType::RejectedIdentifier);
    problem.subproblems.iter().map(|one| one.identifier.as_ref().unwrap().value.clone()).collect()
}

async fn stop_of_all_or_of_a_profile_refuses_orders_for_now(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let ready = client.ready(&world, &["one.example.com"]).await;
    for scope in [StopScope::All, StopScope::Profile("classic".to_owned())] {
        let stop = stop(&world, scope.clone()).await;
        let problem = problem(&world, &client, &["two.example.com"]).await;
        assert_eq!((problem.kind, problem.status), (ProblemType::ServerInternal, 503));
        let problem = refused(client.finalize(&world, &ready, &pair()).await);
        assert_eq!((problem.kind, problem.status), (ProblemType::ServerInternal, 503));
        let other = client.ask(&world, &new_order(&["three.example.com"], Some("internal"))).await;
        assert_eq!(other.is_ok(), scope != StopScope::All);
        resume(&world, &stop).await;
    }
    client.order(&world, &["two.example.com"]).await;
    client.finalize(&world, &ready, &pair()).await.unwrap();
    world.work(Stage::Issue).await;
    client.certificate(&world, ready.id).await;
    world.check_invariants().await;
}

async fn stopped_name_is_rejected_with_all_that_a_certificate_for_it_could_have(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    stop(&world, name("shop.example.com")).await;
    let asked = [
        "shop.example.com",
        "a.b.shop.example.com",
        "*.shop.example.com",
        "*.example.com",
        "bookshop.example.com",
        "example.com",
        "192.0.2.1",
    ];
    let mut names = rejected(&problem(&world, &client, &asked).await);
    names.sort_unstable();
    assert_eq!(names, ["*.example.com", "*.shop.example.com", "a.b.shop.example.com", "shop.example.com"]);
    client.order(&world, &["example.com", "bookshop.example.com"]).await;
}

async fn stopped_account_is_put_off_and_others_are_not(backend: Backend) {
    let world = World::on(backend).await;
    let (client, other) = (Client::new(&world).await, Client::new(&world).await);
    stop(&world, StopScope::Account(client.account.id)).await;
    // What lasts is said first.
    stop(&world, name("one.example.com")).await;
    assert_of_account(&problem(&world, &client, &["one.example.com"]).await);
    other.order(&world, &["two.example.com"]).await;
    stop(&world, StopScope::All).await;
    assert_of_account(&problem(&world, &client, &["two.example.com"]).await);
    assert_eq!(rejected(&problem(&world, &other, &["one.example.com"]).await), ["one.example.com"]);
    assert_eq!(problem(&world, &other, &["two.example.com"]).await.kind, ProblemType::ServerInternal);
}

async fn stopped_address_is_rejected_and_ends_its_orders(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.processing(&world, &["192.0.2.1", "one.example.com"]).await;
    let stop = stop(&world, StopScope::Address("192.0.2.1".parse().unwrap())).await;
    assert!(stop.to_string().contains("192.0.2.1"), "{stop}");
    assert_eq!(world.work(Stage::Issue).await, Worked::Advanced);
    let (stage, problem_of_order) = client.death(&world, order.id).await;
    assert_eq!((stage, rejected(&problem_of_order)), (Stage::Issue, vec!["192.0.2.1".to_owned()]));
    assert_eq!(rejected(&problem(&world, &client, &["two.example.com", "192.0.2.1"]).await), ["192.0.2.1"]);
    client.order(&world, &["192.0.2.2", "one.example.com"]).await;
    resume(&world, &stop).await;
    client.order(&world, &["192.0.2.1"]).await;
    world.check_invariants().await;
}

fn assert_of_account(problem: &Problem) {
    assert_eq!((&problem.kind, problem.status), (&ProblemType::ServerInternal, 503));
    assert!(problem.detail.contains("for this account"), "{}", problem.detail);
}

async fn order_in_issue_waits_for_the_end_of_a_stop_and_nothing_is_used_up(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.processing(&world, &["one.example.com"]).await;
    let stop = stop(&world, StopScope::Profile("classic".to_owned())).await;
    for _ in 0..20 {
        assert_eq!(world.work(Stage::Issue).await, Worked::Parked);
        world.clock.pass_seconds(10);
        world.sweep().await;
    }
    assert_eq!(world.serials(order.id).await, []);
    resume(&world, &stop).await;
    world.until_done(order.id).await;
    assert_eq!(client.certificate(&world, order.id).await.number.0, 1);
    world.check_invariants().await;
}

/// Stops issuance while a worker is held at a point, then lets it go.
async fn stopped_at(backend: Backend, scope: StopScope, side: Side, call: Call) -> (World, Client, Order, StopRecord) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.processing(&world, &["one.example.com"]).await;
    let mut held = world.points.hold(side, call);
    let worker = world.start_work(Stage::Issue);
    held.reached().await;
    let lasts = matches!(scope, StopScope::Account(_) | StopScope::Name(_));
    let stop = stop(&world, scope).await;
    held.release();
    let worked = worker.await.unwrap();
    assert_eq!(worked, Some(if lasts { Worked::Advanced } else { Worked::Parked }));
    (world, client, order, stop)
}

/// The order gets its certificate by an issuance with this number, and none that came before counts as failed.
async fn goes_on(world: &World, client: &Client, order: &Order, stop: &StopRecord, number: u32) {
    world.clock.pass_seconds(60);
    world.sweep().await;
    assert_eq!(world.work(Stage::Issue).await, Worked::Parked);
    resume(world, stop).await;
    world.until_done(order.id).await;
    assert_eq!(client.certificate(world, order.id).await.number.0, number);
    assert!(world.serials(order.id).await.iter().all(|record| record.failure.is_none()));
    world.check_invariants().await;
}

async fn stop_that_comes_before_begin_lets_the_order_wait(backend: Backend) {
    let (world, client, order, stop) = stopped_at(backend, StopScope::All, Side::Before, Call::Begin).await;
    assert_eq!(world.serials(order.id).await, []);
    goes_on(&world, &client, &order, &stop, 1).await;
}

async fn stop_that_comes_after_begin_leaves_it_unsigned(backend: Backend) {
    let (world, client, order, stop) = stopped_at(backend, StopScope::All, Side::After, Call::Begin).await;
    let [record] = &*world.serials(order.id).await else { panic!("one serial") };
    assert_eq!(record.status, SerialStatus::Wait);
    assert_eq!(world.precertificate_lines(order.id).await, []);
    goes_on(&world, &client, &order, &stop, 2).await;
}

async fn stop_that_comes_after_the_precertificate_gets_no_certificate(backend: Backend) {
    let (world, client, order, stop) = stopped_at(backend, StopScope::All, Side::After, Call::Submit).await;
    assert_eq!(world.precertificate_lines(order.id).await.len(), 1);
    assert_eq!(world.certificate_lines(order.id).await, []);
    goes_on(&world, &client, &order, &stop, 2).await;
}

async fn name_that_is_stopped_ends_its_orders_in_issue(backend: Backend) {
    for (side, call, serials) in [(Side::Before, Call::Begin, 0), (Side::After, Call::Begin, 1)] {
        let (world, client, order, _) = stopped_at(backend, name("example.com"), side, call).await;
        let (stage, problem) = client.death(&world, order.id).await;
        assert_eq!((stage, rejected(&problem)), (Stage::Issue, vec!["one.example.com".to_owned()]));
        assert_eq!(world.serials(order.id).await.len(), serials);
        assert_eq!(world.precertificate_lines(order.id).await, []);
        world.check_invariants().await;
    }
}

async fn account_that_is_stopped_ends_its_orders_in_issue(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.processing(&world, &["one.example.com"]).await;
    stop(&world, StopScope::Account(client.account.id)).await;
    assert_eq!(world.work(Stage::Issue).await, Worked::Advanced);
    let (stage, problem) = client.death(&world, order.id).await;
    assert_eq!((stage, &problem.kind), (Stage::Issue, &ProblemType::Unauthorized));
    assert!(problem.detail.contains("for this account"), "{}", problem.detail);
    assert_eq!(world.ledger.counts().await.unwrap().our_fault, 0, "the operator wanted it so");
    assert_eq!(world.serials(order.id).await, []);
    world.check_invariants().await;
}

async fn order_that_dies_for_a_stop_says_so(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let first = client.processing(&world, &["one.example.com"]).await;
    let standing = stop(&world, StopScope::All).await;
    let deadline = world.ca.settings.times.issue_deadline.as_secs();
    world.clock.pass_seconds(deadline + 1);
    world.sweep().await;
    let (stage, problem) = client.death(&world, first.id).await;
    assert_eq!((stage, problem.kind), (Stage::Issue, ProblemType::ServerInternal));
    assert!(problem.detail.contains("had stopped issuance"), "{}", problem.detail);
    resume(&world, &standing).await;
    // What came after its end has nothing to do with it.
    world.clock.pass_seconds(1);
    let second = client.processing(&world, &["two.example.com"]).await;
    world.clock.pass_seconds(deadline + 1);
    world.sweep().await;
    let (_, problem) = client.death(&world, second.id).await;
    assert!(!problem.detail.contains("stopped"), "{}", problem.detail);
}

async fn stop_that_was_only_logged_is_applied(backend: Backend) {
    let world = World::on(backend).await;
    world.points.fail(Side::Before, Call::Stop);
    world.ca.stop_issuance(StopScope::All, "a reason", "the operator").await.unwrap_err();
    assert_eq!(world.ledger.stops(true, 9).await.unwrap(), []);
    let world = world.restart();
    world.ca.recover().await.unwrap();
    let [stop] = &*world.ledger.stops(true, 9).await.unwrap() else { panic!("one stop") };
    assert_eq!((&stop.scope, stop.number, &*stop.reason, &*stop.by), (&StopScope::All, 1, "a reason", "the operator"));
    world.ca.recover().await.unwrap();
    resume(&world, stop).await;
    world.ca.recover().await.unwrap();
    assert_eq!(world.ledger.stops(true, 9).await.unwrap(), []);
}

async fn end_of_a_stop_that_was_only_logged_is_applied(backend: Backend) {
    let world = World::on(backend).await;
    let stop = stop(&world, StopScope::All).await;
    let mut held = world.points.hold(Side::Before, Call::Resume);
    let (ca, number) = (world.ca.clone(), stop.number);
    let resuming =
        world.start_beside(async move { ca.resume_issuance(&Resumed::Number(number), "the operator").await.is_ok() });
    held.reached().await;
    kill(resuming).await;
    drop(held);
    let world = world.restart();
    assert_eq!(world.ledger.stops(true, 9).await.unwrap(), [stop]);
    world.ca.recover().await.unwrap();
    assert_eq!(world.ledger.stops(true, 9).await.unwrap(), []);
    Client::new(&world).await.order(&world, &["one.example.com"]).await;
}

async fn stop_outlasts_an_end_that_was_only_logged_before_it(backend: Backend) {
    let world = World::on(backend).await;
    let first = stop(&world, StopScope::All).await;
    world.points.fail(Side::Before, Call::Resume);
    world.ca.resume_issuance(&Resumed::Number(first.number), "the operator").await.unwrap_err();
    let second = stop(&world, StopScope::All).await;
    assert_ne!(second.number, first.number, "the first is at its end");
    world.clock.pass_seconds(world.ca.settings.times.issue_lease.as_secs() * 2);
    world.sweep().await;
    let standing = world.ca.ledger.stops(true, 10).await.unwrap();
    assert_eq!(standing.iter().map(|one| one.number).collect::<Vec<_>>(), [second.number]);
}

async fn stop_that_was_repeated_and_ended_does_not_come_back(backend: Backend) {
    let world = World::on(backend).await;
    world.points.fail(Side::Before, Call::Stop);
    let failed = world.ca.stop_issuance(StopScope::All, "a private reason", "the operator").await;
    failed.unwrap_err();
    // It was logged, so that it is the one that stands: a second one would be left when the first has ended.
    let again = refused(world.ca.stop_issuance(StopScope::All, "a private reason", "the operator").await);
    assert!(again.detail.contains("is stopped"), "{}", again.detail);
    assert_eq!(world.ca.resume_issuance(&Resumed::Scope(StopScope::All), "the operator").await.unwrap().len(), 1);
    world.clock.pass_seconds(world.ca.settings.times.issue_lease.as_secs() * 2);
    world.sweep().await;
    assert_eq!(world.ca.ledger.stops(true, 10).await.unwrap(), []);
}

async fn stop_outlives_a_restart(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.processing(&world, &["one.example.com"]).await;
    let stop = stop(&world, StopScope::All).await;
    let world = world.restart();
    world.ca.recover().await.unwrap();
    assert_eq!(problem(&world, &client, &["two.example.com"]).await.status, 503);
    assert_eq!(world.work(Stage::Issue).await, Worked::Parked);
    resume(&world, &stop).await;
    world.until_done(order.id).await;
    client.certificate(&world, order.id).await;
}

async fn stop_that_makes_no_sense_is_refused(backend: Backend) {
    let world = World::on(backend).await;
    let profile = StopScope::Profile("clasic".to_owned());
    let account = StopScope::Account(ca::AccountId::UNKNOWN);
    let long = "x".repeat(1001);
    for (scope, reason, why) in [
        (profile, "a reason", "classic"),
        (account, "a reason", "no account"),
        (StopScope::All, " ", "one line"),
        (StopScope::All, "two\nlines", "one line"),
        (StopScope::All, &long, "one line"),
    ] {
        let problem = refused(world.ca.stop_issuance(scope, reason, "the operator").await);
        assert!(problem.detail.contains(why), "{}", problem.detail);
    }
    for which in [Resumed::Number(1), Resumed::Scope(StopScope::All)] {
        let problem = refused(world.ca.resume_issuance(&which, "the operator").await);
        assert!(problem.detail.contains("--list"), "{}", problem.detail);
    }
    stop(&world, StopScope::All).await;
    let again = refused(world.ca.stop_issuance(StopScope::All, "again", "the operator").await);
    assert!(again.detail.contains("stop 1"), "{}", again.detail);
    world.ca.resume_issuance(&Resumed::Scope(StopScope::All), "the operator").await.unwrap();
    assert_eq!(stop(&world, StopScope::All).await.number, 2);
}

async fn logged_stops(world: &World) -> Vec<(u64, StopScope)> {
    let lines = world.lines().await.into_iter();
    let stops = lines.filter_map(|line| {
        let AuditEvent::IssuanceStopped { stop } = line.event else { return None };
        Some((stop.number, stop.scope))
    });
    stops.collect()
}

async fn two_who_stop_at_the_same_time_log_two_numbers(backend: Backend) {
    let world = World::on(backend).await;
    let mut held = world.points.hold(Side::Before, Call::Stop);
    let start = |scope: StopScope| {
        let ca = world.ca.clone();
        world.start_beside(async move { ca.stop_issuance(scope, "a reason", "the operator").await.unwrap() })
    };
    let first = start(StopScope::All);
    held.reached().await;
    let second = start(name("example.com"));
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    held.release();
    let stops = [first.await.unwrap(), second.await.unwrap()];
    let due = stops.clone().map(|stop| (stop.number, stop.scope));
    assert_eq!(logged_stops(&world).await, due);
    assert_eq!(due.map(|(number, _)| number), [1, 2]);
}

async fn number_that_was_logged_is_used_up_even_if_the_ledger_did_not_take_it(backend: Backend) {
    let world = World::on(backend).await;
    world.points.fail(Side::Before, Call::Stop);
    let error = world.ca.stop_issuance(name("example.com"), "a reason", "the operator").await.unwrap_err();
    assert!(error.to_string().contains("stands in the audit log"), "{error}");
    let all = stop(&world, StopScope::All).await;
    assert_eq!(all.number, 2);
    assert_eq!(logged_stops(&world).await, [(1, name("example.com")), (2, StopScope::All)]);
    let world = world.restart();
    world.ca.recover().await.unwrap();
    let standing: Vec<_> = world.ledger.stops(true, 9).await.unwrap().into_iter().map(|stop| stop.scope).collect();
    assert_eq!(standing, [StopScope::All, name("example.com")]);
    // So is one that only the log has, as after a write that failed and a restart.
    resume(&world, &all).await;
    assert_eq!(stop(&world, StopScope::All).await.number, 3);
}

async fn logged_stop_whose_number_is_anothers_is_brought_in_and_ended(backend: Backend) {
    let world = World::on(backend).await;
    let ours = stop(&world, StopScope::All).await;
    world.clock.pass_seconds(1);
    let (reason, by, since) = ("of another process".to_owned(), "the operator".to_owned(), world.ca.now());
    let theirs = StopRecord { number: 1, scope: name("example.com"), reason, by, since, ended: None };
    world.audit.append(AuditEvent::IssuanceStopped { stop: theirs.clone() }).await.unwrap();
    let world = world.restart();
    for _ in 0..2 {
        world.ca.recover().await.unwrap();
        let standing = world.ledger.stops(true, 9).await.unwrap();
        assert_eq!(standing, [StopRecord { number: 2, ..theirs.clone() }, ours.clone()]);
    }
    let by = "the operator".to_owned();
    let (since, ended) = (Some(theirs.since), world.ca.now());
    world.audit.append(AuditEvent::IssuanceResumed { number: 1, since, ended, by }).await.unwrap();
    let world = world.restart();
    world.ca.recover().await.unwrap();
    assert_eq!(world.ledger.stops(true, 9).await.unwrap(), [ours]);
}
