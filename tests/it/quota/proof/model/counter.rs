//! One counter of the model: what was charged, slot by slot.

use std::collections::BTreeMap;

/// How many slots count besides the newest.
const OLDER: i64 = 24;

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Counter {
    /// In which epoch it was made known; 0: it was not.
    pub(super) epoch: i64,
    /// What was asserted before that, and in which epoch.
    pub(super) asserted: Option<(i64, i64)>,
    /// The newest slot, or the beginning of the calendar window.
    pub(super) newest: i64,
    /// By how many slots it runs ahead of the clock.
    pub(super) ahead: i64,
    used: BTreeMap<i64, i64>,
}

impl Counter {
    pub(super) fn fresh(newest: i64) -> Self {
        Self {
            newest,
            ..Self::default()
        }
    }

    pub(super) fn sum(&self) -> i64 {
        self.used.values().sum()
    }

    /// Returns what was charged, the oldest first.
    pub(super) fn slots(&self) -> impl DoubleEndedIterator<Item = (i64, i64)> {
        let charged = self.used.iter().filter(|(_, used)| 0 < **used);
        charged.map(|(slot, used)| (*slot, *used))
    }

    /// Moves on to the moment `at`; says whether the clock was put back, and then goes on from where it stands.
    pub(super) fn roll(&mut self, width: i64, at: i64) -> bool {
        let slot = at.div_euclid(width) + self.ahead;
        let is_put_back = slot + 1 < self.newest;
        if is_put_back {
            self.ahead += self.newest - 1 - slot;
        }
        if self.newest < slot {
            self.newest = slot;
            self.used.retain(|old, _| slot - OLDER <= *old);
        }
        is_put_back
    }

    /// Counts so much, all of it from now on.
    pub(super) fn begin_with(&mut self, used: i64) {
        self.used = BTreeMap::from([(self.newest, used)]);
    }

    /// Returns how long after `now` a slot is no longer counted.
    pub(super) fn left(&self, width: i64, slot: i64, now: i64) -> i64 {
        (slot + OLDER + 1 - self.ahead) * width - now
    }

    /// Moves on to the calendar window `[start, stop)`; says whether the clock was put back by more than a window.
    pub(super) fn turn(&mut self, start: i64, stop: i64) -> bool {
        let is_put_back = stop < self.newest;
        if is_put_back {
            self.used = BTreeMap::from([(start, self.sum())]);
            self.newest = start;
        }
        if self.newest < start {
            self.newest = start;
            self.used.clear();
            self.asserted = self.asserted.map(|(epoch, _)| (epoch, 0));
        }
        is_put_back
    }

    /// Says whether what was charged in `slot` still counts.
    pub(super) fn counts(&self, width: i64, slot: i64) -> bool {
        if width == 0 {
            slot == self.newest
        } else {
            self.newest - OLDER <= slot
        }
    }

    pub(super) fn amend(&mut self, width: i64, slot: i64, by: i64) {
        if self.counts(width, slot) {
            let used = self.used.entry(slot.min(self.newest)).or_default();
            *used = (*used + by).max(0);
        }
    }

    /// Keeps what is asserted until the books are asked.
    pub(super) fn keep_asserted(&mut self, in_epoch: i64, amount: i64) {
        let before = self.asserted.filter(|(known, _)| *known == in_epoch);
        let before = before.map_or(0, |(_, amount)| amount);
        self.asserted = Some((in_epoch, before + amount));
    }

    pub(super) fn amend_asserted(&mut self, in_epoch: i64, by: i64) {
        if let Some((epoch, asserted)) = &mut self.asserted
            && *epoch == in_epoch
        {
            *asserted = (*asserted + by).max(0);
        }
    }
}
