//! A table of shared cells that is read without a lock and grows by being copied: it grows once per offer.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hash, Hasher},
    sync::Arc,
};

use arc_swap::{ArcSwap, Guard};

/// One cell per key, made at the first write.
pub(super) struct Table<K, V> {
    cells: ArcSwap<Map<K, V>>,
}

pub(super) type Map<K, V> = HashMap<K, Arc<V>, BuildHasherDefault<IdHasher>>;

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self {
            cells: ArcSwap::from_pointee(Map::default()),
        }
    }
}

impl<K: Copy + Eq + Hash, V: Default> Table<K, V> {
    /// Takes one look, good for many keys.
    pub(super) fn look(&self) -> Guard<Arc<Map<K, V>>> {
        self.cells.load()
    }

    /// Returns the cell of `key`, made now if it is new.
    pub(super) fn cell(&self, key: K) -> Arc<V> {
        if let Some(cell) = self.look().get(&key) {
            return Arc::clone(cell);
        }
        let fresh = Arc::new(V::default());
        self.cells.rcu(|cells| {
            let mut cells = Map::clone(cells);
            cells.entry(key).or_insert_with(|| Arc::clone(&fresh));
            cells
        });
        // Somebody else may have made it in between.
        self.look().get(&key).cloned().unwrap_or(fresh)
    }

    /// Drops every cell whose key does not hold.
    pub(super) fn retain(&self, holds: impl Fn(&K) -> bool) {
        self.cells.rcu(|cells| {
            let mut cells = Map::clone(cells);
            cells.retain(|key, _| holds(key));
            cells
        });
    }
}

/// Hashes our own ids: they are random in their lower half, so a multiplication is enough.
#[derive(Default)]
pub(super) struct IdHasher(u64);

/// An odd number without a pattern, as in Fx hashing.
const SPREAD: u64 = 0x517c_c1b7_2722_0a95;

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word.iter_mut()
                .zip(chunk)
                .for_each(|(to, from)| *to = *from);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(SPREAD);
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn no_write_is_lost_when_many_meet_at_a_new_key() {
        let table: Table<u64, AtomicU64> = Table::default();

        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for key in 0..200 {
                        table.cell(key).fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });

        let look = table.look();
        assert!((0..200).all(|key| look[&key].load(Ordering::Relaxed) == 4));
    }
}
