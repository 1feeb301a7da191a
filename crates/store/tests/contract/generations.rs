//! Generations of CRL shards.

use std::collections::BTreeSet;

use ca::ports::{CrlGeneration, CrlGenerationId, CrlGenerationRecord, CrlShard};
use pki::{Reason, Serial};

use super::Stores;
use super::fixtures::{Wanted, issuer};
use super::revocation::revocation;

macro_rules! suite {
    ($open:path) => {
        crate::contract::cases!($open, generations:
            generation_that_was_kept_first_stands
            generation_lasts_until_the_last_of_its_certificates_ends
            generation_ends_once_and_a_later_certificate_takes_that_back
            generation_knows_the_certificates_that_were_there_before_it
            serials_of_two_generations_are_in_different_shards
        );
    };
}
pub(crate) use suite;

fn generation(first: u16, shards: u16) -> CrlGeneration {
    let status_url = format!("http://from-{first}.example");
    CrlGeneration { id: CrlGenerationId(first), shards, status_url, since: None }
}

async fn begun_in(stores: &Stores, first: u16, days: u64) -> Wanted {
    let not_after = stores.in_seconds(days * 86_400);
    let wanted = Wanted { crl_generation: CrlGenerationId(first), not_after, ..stores.wanted().await };
    stores.begin(&wanted).await.unwrap();
    wanted
}

async fn known(stores: &Stores, first: u16) -> CrlGenerationRecord {
    let known = stores.ledger.crl_generations().await.unwrap();
    known.into_iter().find(|known| known.generation.id.0 == first).unwrap()
}

pub(crate) async fn generation_that_was_kept_first_stands(stores: &Stores) {
    assert_eq!(stores.ledger.crl_generations().await.unwrap(), []);
    for (first, shards) in [(2, 5), (0, 2)] {
        let one = generation(first, shards);
        assert_eq!(stores.ledger.add_crl_generation(one.clone()).await.unwrap(), one);
    }
    let other = CrlGeneration { shards: 9, since: Some(stores.now()), ..generation(2, 5) };
    assert_eq!(stores.ledger.add_crl_generation(other).await.unwrap(), generation(2, 5));
    let known = stores.ledger.crl_generations().await.unwrap();
    let known: Vec<CrlGeneration> = known.into_iter().map(|known| known.generation).collect();
    assert_eq!(known, [generation(0, 2), generation(2, 5)], "in the order of their numbers");
}

pub(crate) async fn generation_lasts_until_the_last_of_its_certificates_ends(stores: &Stores) {
    stores.ledger.add_crl_generation(generation(0, 2)).await.unwrap();
    stores.ledger.add_crl_generation(generation(2, 2)).await.unwrap();
    assert_eq!(known(stores, 0).await.last_not_after, None);
    for (days, last) in [(10, 10), (5, 10), (30, 30)] {
        let wanted = begun_in(stores, 0, days).await;
        assert_eq!(stores.record(wanted.serial).await.crl_generation, CrlGenerationId(0));
        assert_eq!(known(stores, 0).await.last_not_after, Some(stores.in_seconds(last * 86_400)));
    }
    assert_eq!(known(stores, 2).await.last_not_after, None);
}

pub(crate) async fn generation_ends_once_and_a_later_certificate_takes_that_back(stores: &Stores) {
    stores.ledger.add_crl_generation(generation(0, 2)).await.unwrap();
    let end = async |last| stores.ledger.end_crl_generation(CrlGenerationId(0), last, stores.now()).await.unwrap();
    begun_in(stores, 0, 1).await;
    let last = known(stores, 0).await.last_not_after;
    assert!(!end(None).await, "it has certificates");
    assert!(end(last).await);
    assert!(!end(last).await, "once");
    assert_eq!(known(stores, 0).await.ended, Some(stores.now()));
    begun_in(stores, 0, 2).await;
    assert_eq!(known(stores, 0).await.ended, None);
    assert!(!end(last).await, "that is no more the last one");
    assert!(!stores.ledger.end_crl_generation(CrlGenerationId(7), None, stores.now()).await.unwrap());
}

pub(crate) async fn generation_knows_the_certificates_that_were_there_before_it(stores: &Stores) {
    begun_in(stores, 0, 3).await;
    begun_in(stores, 2, 7).await;
    stores.ledger.add_crl_generation(generation(0, 2)).await.unwrap();
    assert_eq!(known(stores, 0).await.last_not_after, Some(stores.in_seconds(3 * 86_400)));
}

pub(crate) async fn serials_of_two_generations_are_in_different_shards(stores: &Stores) {
    let generations = [generation(0, 2), generation(2, 3)];
    for one in &generations {
        stores.ledger.add_crl_generation(one.clone()).await.unwrap();
    }
    let mut expected: BTreeSet<(u16, Serial)> = BTreeSet::new();
    for one in [0, 1, 0, 1, 1, 0, 1] {
        let one = &generations[one];
        let serial = begun_in(stores, one.id.0, 90).await.serial;
        stores.clock.pass_seconds(1);
        stores.ledger.revoke(revocation(stores, serial, Reason::Superseded)).await.unwrap();
        let shard = one.shard_of(serial);
        let written = stores.ledger.crl_state(issuer(), shard).await.unwrap().last_revocation;
        assert_eq!(written, Some(stores.now()));
        expected.insert((shard.number, serial));
    }
    let mut found = BTreeSet::new();
    for shard in generations.iter().flat_map(CrlGeneration::all) {
        let page = stores.ledger.revoked(issuer(), shard, stores.now(), None, 100).await.unwrap();
        found.extend(page.into_iter().map(|entry| (shard.number, entry.serial)));
    }
    assert_eq!(found, expected);
    let other = CrlShard { number: 9, generation: CrlGenerationId(9), shards: 1 };
    assert_eq!(stores.ledger.revoked(issuer(), other, stores.now(), None, 100).await.unwrap(), []);
    assert_eq!(stores.ledger.crl_state(issuer(), other).await.unwrap().last_revocation, None);
}
