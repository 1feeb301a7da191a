use std::convert::Infallible;

use super::*;

/// All complete subtrees, by level.
#[derive(Default)]
struct Rows(Vec<Vec<Sha256>>);

impl Nodes for Rows {
    type Error = Infallible;

    fn hash(&self, level: u8, index: u64) -> Result<Sha256, Infallible> {
        Ok(self.0[usize::from(level)][usize::try_from(index).unwrap()])
    }
}

impl Rows {
    fn of(leaves: &[Vec<u8>]) -> Self {
        let mut rows = Self::default();
        for (index, leaf) in leaves.iter().enumerate() {
            let Ok(completed) = completed_nodes(&rows, index as u64, leaf_hash(leaf));
            for (level, at, hash) in completed {
                let level = usize::from(level);
                if rows.0.len() == level {
                    rows.0.push(Vec::new());
                }
                assert_eq!(rows.0[level].len() as u64, at);
                rows.0[level].push(hash);
            }
        }
        rows
    }
}

/// MTH, word for word as RFC 6962 §2.1 defines it.
fn defined_root(leaves: &[Vec<u8>]) -> Sha256 {
    match leaves {
        [] => Sha256::of(&[]),
        [leaf] => leaf_hash(leaf),
        [..] => {
            let k = leaves.len().next_power_of_two() / 2;
            node_hash(&defined_root(&leaves[..k]), &defined_root(&leaves[k..]))
        }
    }
}

fn leaves(count: u8) -> Vec<Vec<u8>> {
    (0..count).map(|number| vec![number; usize::from(number)]).collect()
}

const SIZE_MAX: u8 = 64;

#[test]
fn roots_are_those_of_the_definition() {
    let leaves = leaves(SIZE_MAX);
    let rows = Rows::of(&leaves);
    for size in 0..=leaves.len() {
        assert_eq!(root(&rows, size as u64), Ok(defined_root(&leaves[..size])), "{size}");
    }
}

#[test]
fn known_leaves_have_their_known_root() {
    // The tree of eight leaves that implementations of RFC 6962 test each other with.
    let leaves: Vec<Vec<u8>> =
        ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
            .iter()
            .map(|text| data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap())
            .collect();
    let rows = Rows::of(&leaves);
    for (size, expected) in [
        (0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        (1, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
        (2, "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"),
        (8, "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"),
    ] {
        assert_eq!(root(&rows, size).unwrap().to_string(), expected, "{size}");
    }
}

#[test]
fn every_leaf_is_proved_in_every_tree_and_nowhere_else() {
    let leaves = leaves(SIZE_MAX);
    let rows = Rows::of(&leaves);
    for size in 1..=u64::from(SIZE_MAX) {
        let Ok(tree_root) = root(&rows, size);
        for index in 0..size {
            let leaf = rows.0[0][usize::try_from(index).unwrap()];
            let path = inclusion_proof(&rows, index, size).unwrap();
            assert!(verify_inclusion(&leaf, index, size, &path, &tree_root), "{index} of {size}");
            assert!(!verify_inclusion(&leaf, index + 1, size, &path, &tree_root), "{index} of {size}");
            assert!(!verify_inclusion(&tree_root, index, size, &path, &tree_root) || size == 1);
            for spoilt in spoilt(&path) {
                assert!(!verify_inclusion(&leaf, index, size, &spoilt, &tree_root), "{index} of {size}");
            }
        }
        assert!(inclusion_proof(&rows, size, size).is_err());
    }
}

#[test]
fn every_tree_is_proved_to_grow_into_every_larger_one() {
    let leaves = leaves(SIZE_MAX);
    let rows = Rows::of(&leaves);
    for second in 1..=u64::from(SIZE_MAX) {
        let Ok(second_root) = root(&rows, second);
        for first in 1..=second {
            let Ok(first_root) = root(&rows, first);
            let path = consistency_proof(&rows, first, second).unwrap();
            assert!(verify_consistency(first, second, &path, &first_root, &second_root), "{first} to {second}");
            for spoilt in spoilt(&path) {
                let verified = verify_consistency(first, second, &spoilt, &first_root, &second_root);
                assert!(!verified, "{first} to {second}");
            }
            let other = Sha256::of(b"another tree");
            assert!(!verify_consistency(first, second, &path, &other, &second_root), "{first} to {second}");
            assert!(!verify_consistency(first, second, &path, &first_root, &other), "{first} to {second}");
        }
        assert!(consistency_proof(&rows, 0, second).is_err());
        assert!(consistency_proof(&rows, second + 1, second).is_err());
    }
}

/// The path with one node changed, with one too many, and with one too few.
fn spoilt(path: &[Sha256]) -> Vec<Vec<Sha256>> {
    let wrong = Sha256::of(b"wrong");
    let mut all: Vec<Vec<Sha256>> = (0..path.len())
        .map(|at| {
            let mut changed = path.to_vec();
            changed[at] = wrong;
            changed
        })
        .collect();
    all.push([path, &[wrong]].concat());
    if let Some((_, shorter)) = path.split_last() {
        all.push(shorter.to_vec());
    }
    all
}
