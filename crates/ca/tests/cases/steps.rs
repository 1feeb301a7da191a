//! The nine steps: what each leaves behind, and in which order.

use ca::Worked;
use ca::order::Stage;
use ca::ports::{AuditEvent, LedgerEnd, SerialStatus};
use pki::{Certificate, PrecertEntry, Timestamp};

use super::on_all_back_ends;
use crate::world::{Backend, Call, Client, Side, World, log_lines, pair};

on_all_back_ends! {
    each_step_leaves_its_record_and_times_do_not_fall
    scts_of_the_certificate_verify_with_the_keys_of_two_logs
    log_lines_tell_the_nine_steps_in_order
    profile_without_ct_signs_once_and_becomes_good
    serial_that_was_taken_before_is_drawn_again
    each_step_is_on_record_before_the_next_one_begins
    audit_log_without_room_costs_no_serial
    names_of_all_kinds_come_into_the_certificate
}

async fn each_step_leaves_its_record_and_times_do_not_fall(backend: Backend) {
    let world = World::on(backend).await;
    world.clock.tick_at_each_reading();
    let client = Client::new(&world).await;
    let order = client.ready(&world, &["one.example.com", "two.example.com"]).await;
    // So old that step 2 has something to do.
    world.clock.pass_seconds(9 * 3600);
    let finalized = client.finalize(&world, &order, &pair()).await.unwrap();
    world.work(Stage::Issue).await;
    let record = client.certificate(&world, order.id).await;
    let certificate = Certificate::from_der(record.certificate.as_deref().unwrap()).unwrap();
    let signed_from = world.ledger.signing_record(record.serial).await.unwrap().unwrap();
    let mut times: Vec<(&str, Timestamp)> = Vec::new();

    assert_eq!(signed_from.authorizations.len(), 2);
    for authorization in &signed_from.authorizations {
        let validation = authorization.validation.as_ref().unwrap();
        assert!(!validation.evidence.is_empty());
        assert!(validation.began <= validation.ended && validation.ended <= authorization.ended);
        times.push(("evidence of step 1", signed_from.authorizations[0].ended.max(authorization.ended)));
    }
    times.push(("finalize", finalized.finalize_request().unwrap().received));
    assert_eq!(signed_from.rechecks.len(), 2);
    let checked = signed_from.rechecks.iter().map(|check| check.checked).max().unwrap();
    assert!(signed_from.rechecks.iter().all(|check| !check.evidence.is_empty()));
    times.push(("evidence of step 2", checked));

    let profile = world.ca.settings.profile("classic").unwrap();
    assert_eq!((record.profile.as_str(), record.profile_hash), ("classic", profile.hash()));
    assert_eq!(record.serial, certificate.serial());
    times.push(("the row of steps 3 to 5", record.begun));

    let lines = world.lines().await;
    let mut precertificate = None;
    for line in &lines {
        if let AuditEvent::Precertificate { serial, order: of, der } = &line.event {
            assert_eq!((*serial, *of), (record.serial, order.id));
            times.push(("the line of step 6", line.at));
            precertificate = Some(world.read_signed(der));
        }
    }
    let precertificate = precertificate.unwrap();
    assert!(precertificate.is_precertificate());
    assert_eq!(world.planned(&record).tbs_der(), precertificate.tbs_der(), "the very bytes that were stored before");
    times.push(("`good` of step 6", record.good.unwrap()));

    let mut stamped: Vec<Timestamp> = certificate.scts().unwrap().iter().map(|sct| sct.timestamp).collect();
    stamped.sort_unstable();
    times.extend(stamped.into_iter().map(|at| ("an SCT of step 7", at)));
    pki::corresponds(precertificate.tbs_der(), certificate.tbs_der()).unwrap();

    for line in &lines {
        if let AuditEvent::Certificate { serial, der, .. } = &line.event {
            assert_eq!((*serial, Some(der)), (record.serial, record.certificate.as_ref()));
            times.push(("the line of step 9", line.at));
        }
    }
    times.push(("the certificate of step 9", record.stored.unwrap()));
    let (end, ended) = world.known(order.id).await.unwrap().end.unwrap();
    assert_eq!(end, LedgerEnd::Valid(record.serial));
    times.push(("the end of the order", ended));
    assert_eq!(times.len(), 12, "{times:?}");
    for pair in times.windows(2) {
        assert!(pair[0].1 <= pair[1].1, "{} is later than {}: {times:?}", pair[0].0, pair[1].0);
    }
    world.check_invariants().await;
}

async fn scts_of_the_certificate_verify_with_the_keys_of_two_logs(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let record = client.issued(&world, &["one.example.com"], &pair()).await;
    let certificate = world.read_signed(&record.certificate.unwrap());
    let scts = certificate.scts().unwrap();
    assert_eq!(scts.len(), 2);
    assert_eq!(world.log_keys.len(), 2);
    let entry = PrecertEntry { issuer_key_hash: record.issuer, tbs: certificate.tbs().without_ct() };
    for key in &world.log_keys {
        assert_eq!(scts.iter().filter(|sct| sct.verify(key, &entry).is_ok()).count(), 1, "one SCT of each log");
    }
}

async fn log_lines_tell_the_nine_steps_in_order(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let record = client.issued(&world, &["one.example.com"], &pair()).await;
    let lines = log_lines::steps();
    assert_eq!(lines.iter().map(|line| line.step).collect::<Vec<_>>(), (1..=9).collect::<Vec<_>>());
    for line in lines {
        assert_eq!(line.order, record.order.to_string());
        assert_eq!(line.serial, (line.step >= 3).then(|| record.serial.to_string()), "step {}", line.step);
        assert!(line.took_us.is_some(), "step {}", line.step);
    }
}

async fn profile_without_ct_signs_once_and_becomes_good(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.ready_with(&world, &["one.example.com"], Some("internal")).await;
    client.finalize(&world, &order, &pair()).await.unwrap();
    let mut held = world.points.hold(Side::Before, Call::StoreFinal);
    let worker = world.start_work(Stage::Issue);
    held.reached().await;
    let [record] = &*world.serials(order.id).await else { panic!("one serial") };
    assert_eq!((record.status, record.good, record.ct), (SerialStatus::Wait, None, false));
    assert_eq!(world.certificate_lines(order.id).await.len(), 1, "signed and logged while the status is `wait`");
    held.release();
    worker.await.unwrap();
    let record = client.certificate(&world, order.id).await;
    assert_eq!(record.status, SerialStatus::Good);
    assert!(record.good.is_some());
    let certificate = world.read_signed(&record.certificate.unwrap());
    assert_eq!(certificate.scts().unwrap(), []);
    assert_eq!(world.precertificate_lines(order.id).await, []);
    assert_eq!(log_lines::steps().iter().map(|line| line.step).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 9]);
    world.check_invariants().await;
}

async fn serial_that_was_taken_before_is_drawn_again(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let first = client.issued(&world, &["one.example.com"], &pair()).await;
    let order = client.processing(&world, &["two.example.com"]).await;
    let mut held = world.points.hold(Side::After, Call::Reserve);
    let worker = world.start_work(Stage::Issue);
    held.reached().await;
    world.random.give(&first.serial.as_bytes()[1..]);
    held.release();
    worker.await.unwrap();
    let second = client.certificate(&world, order.id).await;
    assert_ne!(second.serial, first.serial);
    assert_eq!(second.number.0, 1, "a draw is no issuance");
    let steps: Vec<u64> = log_lines::steps().iter().map(|line| line.step).skip(9).collect();
    assert_eq!(steps, [1, 2, 3, 4, 3, 4, 5, 6, 7, 8, 9]);
    world.check_invariants().await;
}

async fn each_step_is_on_record_before_the_next_one_begins(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.processing(&world, &["one.example.com"]).await;
    let mut points = [
        Call::Begin,
        Call::SignPrecertificate,
        Call::MarkGood,
        Call::Submit,
        Call::SignCertificate,
        Call::StoreFinal,
        Call::Advance,
    ]
    .map(|call| world.points.hold(Side::Before, call))
    .into_iter();
    let worker = world.start_work(Stage::Issue);
    // At each point: serials allocated, whether `good`, lines of precertificate and certificate, whether the order
    // ended.
    for expected in [
        (0, false, 0, 0, false),
        (1, false, 0, 0, false),
        (1, false, 1, 0, false),
        (1, true, 1, 0, false),
        (1, true, 1, 0, false),
        (1, true, 1, 1, false),
        (1, true, 1, 1, true),
    ] {
        let mut held = points.next().unwrap();
        held.reached().await;
        let serials = world.serials(order.id).await;
        let good = serials.iter().any(|record| record.status == SerialStatus::Good);
        let precertificates = world.precertificate_lines(order.id).await.len();
        let certificates = world.certificate_lines(order.id).await.len();
        let ended = world.known(order.id).await.is_some_and(|known| known.end.is_some());
        assert_eq!((serials.len(), good, precertificates, certificates, ended), expected);
        held.release();
    }
    worker.await.unwrap();
    client.certificate(&world, order.id).await;
}

async fn audit_log_without_room_costs_no_serial(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.processing(&world, &["one.example.com"]).await;
    world.points.fail(Side::Before, Call::Reserve);
    assert_eq!(world.work(Stage::Issue).await, Worked::Parked);
    assert_eq!(world.serials(order.id).await, []);
    world.until_done(order.id).await;
    assert_eq!(client.certificate(&world, order.id).await.number.0, 1);
}

async fn names_of_all_kinds_come_into_the_certificate(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let names = ["example.com", "*.example.com", "xn--bcher-kva.example.com"];
    let key = pair();
    let record = client.issued(&world, &names, &key).await;
    let certificate = world.read_signed(&record.certificate.unwrap());
    let found: Vec<String> = certificate.names().iter().map(ToString::to_string).collect();
    assert_eq!(found, names);
    assert_eq!(certificate.public_key(), key.public_key());
}
