//! How the model is told again what it forgot: by proxies, then from the books.

use super::{Charge, DAY, Held, IN_FLIGHT, Model, Record, counter::Counter};
use crate::quota::proof::op::{Asserted, Seeded, Told};

impl Model {
    pub(super) fn seed(&mut self, token: &str, counters: &[Seeded]) -> Vec<i64> {
        let Some(epoch) = self.epoch_of(token) else {
            return vec![5];
        };
        if self.tick() < epoch.opens {
            return vec![6, epoch.opens - self.tick()];
        }
        let epoch = epoch.id;
        let (now, tick) = (self.now, self.tick());
        let mut seeded = 0;
        for one in counters {
            let slot = if one.width == 0 {
                one.start
            } else {
                tick.div_euclid(one.width)
            };
            let is_over = one.width == 0 && !(one.start..one.stop).contains(&now);
            let is_known = self
                .counters
                .get(&one.key)
                .is_some_and(|known| known.epoch == epoch);
            if is_known || is_over {
                continue;
            }
            let counter = self
                .counters
                .entry(one.key.clone())
                .or_insert_with(|| Counter::fresh(slot));
            if one.width == 0 {
                counter.turn(one.start, one.stop);
            } else {
                counter.roll(one.width, tick);
            }
            let asserted = counter.asserted.take().filter(|(known, _)| *known == epoch);
            let truth = one.books + asserted.map_or(0, |(_, amount)| amount);
            counter.begin_with(truth.max(counter.sum()));
            counter.epoch = epoch;
            seeded += 1;
        }
        vec![1, seeded]
    }

    pub(super) fn reassert(&mut self, token: &str, holds: &[Asserted]) -> Vec<i64> {
        let Some(epoch) = self.epoch_of(token) else {
            return vec![5];
        };
        let epoch = epoch.id;
        let unknown = holds.iter().map(|hold| self.assert_hold(hold, epoch)).sum();
        vec![1, unknown]
    }

    /// Returns 1 for a hold nothing was known of.
    fn assert_hold(&mut self, hold: &Asserted, epoch: i64) -> i64 {
        let record = self.records.get(&hold.record).cloned();
        let (bid, known) = match &record {
            Some(Record::Cancelled) => return 0,
            Some(Record::Settled(known)) if *known == epoch => return 0,
            Some(Record::Held(known)) if known.epoch == epoch => return 0,
            Some(Record::Held(known)) => (known.bid, known.charges.clone()),
            Some(Record::Settled(_)) | None => (1, Vec::new()),
        };
        let is_counted = matches!(record, Some(Record::Settled(_)));
        let charges = hold.charges.iter().map(|told| {
            let stands = known.iter().find(|stands| stands.key == told.key);
            let slot = self.assert_charge(told, hold, is_counted, stands, epoch);
            Charge {
                key: told.key.clone(),
                meter: if 0 < told.lead { IN_FLIGHT } else { told.meter },
                is_own: told.is_own,
                width: told.width,
                slot,
                amount: told.amount,
            }
        });
        let held = Held {
            epoch,
            bid,
            charges: charges.collect(),
        };
        let next = if is_counted || hold.is_settled {
            Record::Settled(epoch)
        } else {
            Record::Held(held)
        };
        self.records.insert(hold.record.clone(), next);
        i64::from(record.is_none())
    }

    /// Counts a charge where it belongs, or keeps it until the books are asked; returns its slot, 0 when it is over.
    /// `stands` is what survived of it.
    fn assert_charge(
        &mut self,
        told: &Told,
        hold: &Asserted,
        is_counted: bool,
        stands: Option<&Charge>,
        epoch: i64,
    ) -> i64 {
        if 0 < told.lead {
            return self.assert_lease(told, is_counted || hold.is_settled, stands);
        }
        let amount = told.amount;
        let counter = self.counters.get_mut(&told.key);
        if let (Some(stands), Some(counter)) = (stands, counter) {
            let by = amount - stands.amount;
            if 0 < by || counter.epoch != epoch {
                counter.amend(stands.width, stands.slot, by);
            }
        }
        let (now, tick) = (self.now, self.tick());
        let known = self.counters.get(&told.key).cloned();
        let begin = if told.width == 0 {
            told.start
        } else {
            tick.div_euclid(told.width)
        };
        let mut counter = known.unwrap_or_else(|| Counter::fresh(begin));
        let (slot, is_over) = if told.width == 0 {
            (
                stands.map_or(told.start, |stands| stands.slot),
                told.stop <= now,
            )
        } else {
            counter.roll(told.width, tick);
            let slot = (tick - hold.age).div_euclid(told.width) + counter.ahead;
            let slot = stands
                .map_or(slot, |stands| stands.slot)
                .min(counter.newest);
            (slot, !counter.counts(told.width, slot))
        };
        if is_over {
            return 0;
        }
        if amount == 0 {
            return slot;
        }
        if counter.epoch != epoch {
            if told.width == 0 {
                counter.turn(slot, told.stop);
            }
            if told.width == 0 && counter.newest != slot {
                return 0;
            }
            counter.keep_asserted(epoch, amount);
        } else if stands.is_none() && !is_counted {
            if told.width == 0 {
                counter.turn(told.start, told.stop);
            }
            counter.amend(told.width, slot, amount);
        }
        self.counters.insert(told.key.clone(), counter);
        slot
    }

    /// Lets a lease begin anew, wherever it stood; one that is known to be over ends.
    fn assert_lease(&mut self, told: &Told, is_over: bool, stands: Option<&Charge>) -> i64 {
        let ends = self.tick() + told.lead;
        if is_over && stands.is_none() {
            return ends.div_euclid(told.width);
        }
        let counter = self
            .counters
            .entry(told.key.clone())
            .or_insert_with(|| Counter::fresh(ends.div_euclid(told.width)));
        counter.roll(told.width, ends);
        if let Some(stands) = stands {
            counter.amend(stands.width, stands.slot, -stands.amount);
        }
        let newest = counter.newest;
        if !is_over {
            counter.amend(told.width, newest, told.amount);
        }
        newest
    }
}

/// No wait is as long: it never fits.
pub(super) const NEVER: i64 = 9_000_000_000_000_000;

/// How long until somebody else's day may be over, when nobody can tell.
pub(super) const LONG: i64 = DAY;
