//! What was made lately, kept so that it needn't be made again.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// A map of bounded size that forgets what came first.
pub(super) struct Recent<K, V> {
    values: HashMap<K, V>,
    order: VecDeque<K>,
    max: usize,
}

impl<K: Copy + Eq + Hash, V: Clone> Recent<K, V> {
    /// An empty one for at most so many values.
    pub(super) fn new(max: usize) -> Self {
        Self { values: HashMap::new(), order: VecDeque::new(), max }
    }

    /// The value of this key.
    pub(super) fn find(&self, key: &K) -> Option<V> {
        self.values.get(key).cloned()
    }

    /// The value that stands under this key; `make` makes it if there is none.
    pub(super) fn find_or_make(&mut self, key: K, make: impl FnOnce() -> V) -> V {
        if let Some(value) = self.values.get(&key) {
            return value.clone();
        }
        if self.order.len() >= self.max
            && let Some(oldest) = self.order.pop_front()
        {
            self.values.remove(&oldest);
        }
        let value = make();
        self.order.push_back(key);
        self.values.insert(key, value.clone());
        value
    }

    /// Forgets it.
    pub(super) fn remove(&mut self, key: &K) {
        if self.values.remove(key).is_some() {
            self.order.retain(|one| one != key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_first_is_forgotten_first_and_what_stands_is_kept() {
        let mut recent = Recent::new(2);
        assert_eq!(recent.find_or_make(1, || "one"), "one");
        assert_eq!(recent.find_or_make(1, || "another"), "one");
        recent.find_or_make(2, || "two");
        recent.find_or_make(3, || "three");
        assert_eq!((recent.find(&1), recent.find(&2), recent.find(&3)), (None, Some("two"), Some("three")));
        recent.remove(&2);
        recent.find_or_make(4, || "four");
        assert_eq!((recent.find(&3), recent.find(&4)), (Some("three"), Some("four")));
    }
}
