//! IP identifiers (RFC 8738).

use acme::ProblemType;
use ca::authorization::Method;
use ca::order::Stage;
use pki::{Certificate, GeneralName};

use super::on_all_back_ends;
use crate::world::{Backend, Client, World, new_order, pair, refused};

on_all_back_ends! {
    address_is_shown_by_http_or_tls_and_gets_a_certificate
    address_has_no_caa
    profile_without_addresses_refuses_them_and_names_each
    address_that_nothing_connects_to_is_refused
}

const ADDRESSES: [&str; 2] = ["192.0.2.7", "2001:db8::7"];

async fn address_is_shown_by_http_or_tls_and_gets_a_certificate(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.order(&world, &ADDRESSES).await;
    for authorization in &order.authorizations {
        let methods: Vec<Method> = authorization.challenges.iter().map(|one| one.method).collect();
        assert_eq!(methods, [Method::Http01, Method::TlsAlpn01], "{}", authorization.identifier);
    }
    let record = client.issued(&world, &ADDRESSES, &pair()).await;
    let certificate = Certificate::from_der(record.certificate.as_deref().unwrap()).unwrap();
    let names = ADDRESSES.map(|address| GeneralName::Ip(address.parse().unwrap()));
    assert_eq!(*certificate.names(), names.into());
    world.check_invariants().await;
}

async fn address_has_no_caa(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.ready(&world, &[ADDRESSES[0], "one.example.com"]).await;
    world.clock.pass_seconds(9 * 3600);
    let looked_up = world.network.checks(ADDRESSES[0]).len();
    client.finalize(&world, &order, &pair()).await.unwrap();
    world.work(Stage::Issue).await;
    client.certificate(&world, order.id).await;
    assert_eq!(world.network.checks(ADDRESSES[0]).len(), looked_up, "only names are checked again");
    assert_eq!(world.network.checks("one.example.com").len(), 2);
}

async fn profile_without_addresses_refuses_them_and_names_each(backend: Backend) {
    let world = World::with(backend, |settings| settings.profiles[0].ip_addresses = false).await;
    let client = Client::new(&world).await;
    let problem = refused(client.try_order(&world, &[ADDRESSES[0], "one.example.com", ADDRESSES[1]]).await);
    assert_eq!(problem.kind, ProblemType::RejectedIdentifier);
    let named: Vec<String> =
        problem.subproblems.iter().filter_map(|one| Some(one.identifier.as_ref()?.value.clone())).collect();
    assert_eq!(named, ADDRESSES);
    assert!(problem.subproblems[0].detail.contains("classic"), "{:?}", problem.subproblems);
    client.ask(&world, &new_order(&ADDRESSES, Some("internal"))).await.unwrap();
}

async fn address_that_nothing_connects_to_is_refused(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let problem = refused(client.try_order(&world, &["127.0.0.1"]).await);
    assert_eq!(problem.kind, ProblemType::RejectedIdentifier);
    assert!(problem.detail.contains("127.0.0.1"), "{}", problem.detail);
}
