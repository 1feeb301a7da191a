//! Leaves and tree heads of the built-in logs.

use std::collections::BTreeSet;
use std::sync::Arc;

use ca::ports::{NewLeaf, StoreErrorKind, TreeHead};
use pki::{LogId, Sha256};

use super::Stores;

macro_rules! suite {
    ($open:path) => {
        crate::contract::cases!($open, log_store:
            leaf_gets_the_next_index_and_the_time
            resubmitted_leaf_is_answered_as_it_stands
            logs_have_nothing_in_common
            simultaneous_leaves_get_indices_without_gaps
            simultaneous_submissions_of_a_leaf_are_one
            leaves_are_paged_as_they_were_logged
            tree_head_does_not_shrink
            tree_head_comes_with_its_nodes
            leaf_is_found_by_its_hash_once_a_head_covers_it
        );
    };
}
pub(crate) use suite;

const LOG: LogId = LogId([1; 32]);
const OTHER: LogId = LogId([2; 32]);

fn leaf(number: u64) -> NewLeaf {
    let octets = number.to_be_bytes();
    NewLeaf {
        identity: Sha256::of(&octets),
        issuer_key_hash: Sha256::of(b"issuer"),
        tbs: octets.to_vec(),
        precertificate: [b"precertificate".as_slice(), &octets].concat(),
        chain: vec![b"intermediate".to_vec(), b"root".to_vec()],
    }
}

async fn head(stores: &Stores, size: u64, seconds: u64, nodes: &[(u8, u64, Sha256)]) -> bool {
    let (timestamp, root) = (stores.in_seconds(seconds), Sha256::of(&size.to_be_bytes()));
    let head = TreeHead { size, timestamp, root, signature: b"signature".to_vec() };
    stores.logs.store_tree_head(LOG, head, nodes.to_vec()).await.unwrap()
}

pub(crate) async fn leaf_gets_the_next_index_and_the_time(stores: &Stores) {
    assert_eq!(stores.logs.size(LOG).await.unwrap(), 0);
    for index in 0..3 {
        assert_eq!(stores.logs.add_leaf(LOG, leaf(index)).await.unwrap(), (index, stores.now()));
        stores.clock.pass_seconds(1);
    }
    assert_eq!(stores.logs.size(LOG).await.unwrap(), 3);
}

pub(crate) async fn resubmitted_leaf_is_answered_as_it_stands(stores: &Stores) {
    stores.logs.add_leaf(LOG, leaf(0)).await.unwrap();
    let first = stores.logs.add_leaf(LOG, leaf(1)).await.unwrap();
    stores.clock.pass_seconds(5);
    // The same entry under another chain: the identity says what is the same.
    let again = NewLeaf { chain: Vec::new(), precertificate: b"signed anew".to_vec(), ..leaf(1) };
    assert_eq!(stores.logs.add_leaf(LOG, again).await.unwrap(), first);
    assert_eq!(stores.logs.size(LOG).await.unwrap(), 2);
    assert_eq!(stores.logs.leaves(LOG, 1, 1).await.unwrap()[0].entry, leaf(1));
}

pub(crate) async fn logs_have_nothing_in_common(stores: &Stores) {
    stores.logs.add_leaf(LOG, leaf(0)).await.unwrap();
    stores.logs.add_leaf(LOG, leaf(1)).await.unwrap();
    assert_eq!(stores.logs.add_leaf(OTHER, leaf(1)).await.unwrap().0, 0);
    assert_eq!((stores.logs.size(LOG).await.unwrap(), stores.logs.size(OTHER).await.unwrap()), (2, 1));
    assert!(head(stores, 1, 0, &[]).await);
    assert_eq!(stores.logs.tree_head(OTHER).await.unwrap(), None);
}

pub(crate) async fn simultaneous_leaves_get_indices_without_gaps(stores: &Stores) {
    let calls: Vec<_> = (0..50)
        .map(|number| {
            let logs = Arc::clone(&stores.logs);
            tokio::spawn(async move { (number, logs.add_leaf(LOG, leaf(number)).await.unwrap().0) })
        })
        .collect();
    let mut indices = BTreeSet::new();
    for call in calls {
        let (number, index) = call.await.unwrap();
        assert!(indices.insert(index));
        assert_eq!(stores.logs.leaves(LOG, index, 1).await.unwrap()[0].entry, leaf(number));
    }
    assert_eq!(indices, (0..50).collect());
}

pub(crate) async fn simultaneous_submissions_of_a_leaf_are_one(stores: &Stores) {
    let calls: Vec<_> = (0..16)
        .map(|_| {
            let logs = Arc::clone(&stores.logs);
            tokio::spawn(async move { logs.add_leaf(LOG, leaf(7)).await.unwrap() })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap(), (0, stores.now()));
    }
    assert_eq!(stores.logs.size(LOG).await.unwrap(), 1);
}

pub(crate) async fn leaves_are_paged_as_they_were_logged(stores: &Stores) {
    for number in 0..7 {
        stores.logs.add_leaf(LOG, leaf(number)).await.unwrap();
    }
    let page = stores.logs.leaves(LOG, 2, 3).await.unwrap();
    assert_eq!(page.iter().map(|leaf| leaf.index).collect::<Vec<_>>(), [2, 3, 4]);
    assert!(page.iter().all(|found| found.entry == leaf(found.index) && found.timestamp == stores.now()));
    assert_eq!(stores.logs.leaves(LOG, 6, 10).await.unwrap().len(), 1);
    assert_eq!(stores.logs.leaves(LOG, 7, 10).await.unwrap(), []);
    assert_eq!(stores.logs.leaves(OTHER, 0, 10).await.unwrap(), []);
}

pub(crate) async fn tree_head_does_not_shrink(stores: &Stores) {
    for number in 0..5 {
        stores.logs.add_leaf(LOG, leaf(number)).await.unwrap();
    }
    assert_eq!(stores.logs.tree_head(LOG).await.unwrap(), None);
    assert!(head(stores, 3, 10, &[]).await);
    assert!(!head(stores, 2, 20, &[]).await, "smaller");
    assert!(!head(stores, 4, 9, &[]).await, "older");
    let stands = stores.logs.tree_head(LOG).await.unwrap().unwrap();
    assert_eq!((stands.size, stands.timestamp), (3, stores.in_seconds(10)));
    assert!(head(stores, 3, 11, &[]).await, "a later head of the same tree");
    assert!(head(stores, 5, 12, &[]).await);
    let stands = stores.logs.tree_head(LOG).await.unwrap().unwrap();
    assert_eq!((stands.size, stands.signature.as_slice()), (5, &b"signature"[..]));
}

pub(crate) async fn tree_head_comes_with_its_nodes(stores: &Stores) {
    for number in 0..4 {
        stores.logs.add_leaf(LOG, leaf(number)).await.unwrap();
    }
    let hash = |text: &str| Sha256::of(text.as_bytes());
    assert!(head(stores, 2, 1, &[(0, 0, hash("0.0")), (0, 1, hash("0.1")), (1, 0, hash("1.0"))]).await);
    assert!(!head(stores, 1, 2, &[(0, 2, hash("0.2"))]).await, "a refused head brings no nodes");
    let nodes = |nodes: Vec<(u8, u64)>| async move { stores.logs.nodes(LOG, &nodes).await };
    assert_eq!(nodes(vec![(1, 0), (0, 1)]).await.unwrap(), [hash("1.0"), hash("0.1")]);
    assert_eq!(nodes(vec![(0, 0), (0, 2)]).await.unwrap_err().kind, StoreErrorKind::Corrupt);
}

pub(crate) async fn leaf_is_found_by_its_hash_once_a_head_covers_it(stores: &Stores) {
    for number in 0..2 {
        stores.logs.add_leaf(LOG, leaf(number)).await.unwrap();
    }
    let hash = Sha256::of(b"leaf hash of 1");
    assert_eq!(stores.logs.index_of(LOG, hash).await.unwrap(), None);
    let nodes = [(0, 0, Sha256::of(b"leaf hash of 0")), (0, 1, hash), (1, 0, Sha256::of(b"a node"))];
    assert!(head(stores, 2, 1, &nodes).await);
    assert_eq!(stores.logs.index_of(LOG, hash).await.unwrap(), Some(1));
    assert_eq!(stores.logs.index_of(LOG, Sha256::of(b"a node")).await.unwrap(), None, "it is no leaf's");
    assert_eq!(stores.logs.index_of(OTHER, hash).await.unwrap(), None);
}
