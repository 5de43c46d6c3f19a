//! What the scripts promise, written plainly: every charge under its slot in a map, every hold as what it charged.

mod admit;
mod counter;
mod rebuild;

use std::collections::BTreeMap;

use counter::Counter;

use super::op::{Ending, Op, Used, Vouch};

pub const DAY: i64 = 86_400_000;

/// One charge of a hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Charge {
    pub key: String,
    /// `IN_FLIGHT` for what is counted only while it is held.
    pub meter: i64,
    pub is_own: bool,
    pub width: i64,
    pub slot: i64,
    pub amount: i64,
}

pub const IN_FLIGHT: i64 = 5;

#[derive(Clone, Debug, PartialEq)]
enum Record {
    Held(Held),
    /// In which epoch.
    Settled(i64),
    Cancelled,
}

#[derive(Clone, Debug, PartialEq)]
struct Held {
    epoch: i64,
    bid: i64,
    charges: Vec<Charge>,
}

#[derive(Clone, Debug, PartialEq)]
struct Epoch {
    id: i64,
    server: String,
    /// By how much rings and leases lag behind the clock.
    shift: i64,
    opens: i64,
    /// What the clock said at the last beat.
    seen: i64,
}

/// By how much the clock may move between two beats before somebody must say how much time passed.
const UNHEARD: i64 = 2_000;

/// By how much the clock may be put ahead before what it holds may have expired.
const EXPIRED: i64 = 7_200_000;

/// All that Redis remembers.
#[derive(Clone, Debug, Default)]
pub struct Model {
    now: i64,
    number: i64,
    epoch: Option<Epoch>,
    records: BTreeMap<String, Record>,
    counters: BTreeMap<String, Counter>,
}

impl Model {
    /// Does what the script does at `now`, and answers what it answers.
    pub fn run(&mut self, now: i64, op: &Op) -> Vec<i64> {
        self.now = now;
        let mut reply = match op {
            Op::Admit(admit) => self.admit(admit),
            Op::Settle(endings) => endings.iter().map(|ending| self.settle(ending)).collect(),
            Op::Renew(token, records, lease) => self.renew_all(token, records, *lease),
            Op::Seed(token, counters) => self.seed(token, counters),
            Op::Reassert(token, holds) => self.reassert(token, holds),
            Op::Epoch(id, server, grace, vouch) => self.begin(*id, server, *grace, *vouch),
            Op::Forget(_) => {
                *self = Self::default();
                return Vec::new();
            }
            Op::Save(_) | Op::Restore(..) => return Vec::new(),
        };
        self.number += 1;
        reply.extend([now, self.number]);
        reply
    }

    /// Returns the names of all it remembers, but for the epoch's and the number's.
    pub fn keys(&self) -> Vec<String> {
        let keys = self.records.keys().chain(self.counters.keys());
        keys.cloned().collect()
    }

    /// Returns the epoch when `token` names it.
    fn epoch_of(&self, token: &str) -> Option<&Epoch> {
        let epoch = self.epoch.as_ref()?;
        let is_named = token == format!("{}:{}:{}:", epoch.id, epoch.server, epoch.shift);
        (is_named && !self.is_unheard()).then_some(epoch)
    }

    /// Says whether nobody knows if the clock jumped.
    fn is_unheard(&self) -> bool {
        let seen = self.epoch.as_ref().map_or(self.now, |epoch| epoch.seen);
        UNHEARD < (self.now - seen).abs()
    }

    /// Returns the time by which rings and leases go; nothing while nobody knows it.
    pub fn tick_at(&mut self, now: i64) -> Option<i64> {
        self.now = now;
        (self.epoch.is_some() && !self.is_unheard()).then(|| self.tick())
    }

    fn tick(&self) -> i64 {
        self.now - self.epoch.as_ref().map_or(0, |epoch| epoch.shift)
    }

    fn begin(&mut self, id: i64, server: &str, grace: i64, vouch: Vouch) -> Vec<i64> {
        let now = self.now;
        let mut epoch = match self.epoch.take() {
            Some(known) if known.server == server => known,
            known => {
                let shift = known.map_or(0, |known| known.shift);
                Epoch {
                    id,
                    server: server.to_owned(),
                    shift,
                    opens: now - shift + grace,
                    seen: now,
                }
            }
        };
        let is_told = vouch.seen == epoch.seen && (now - vouch.at).abs() <= UNHEARD;
        if UNHEARD < (now - epoch.seen).abs() && is_told {
            let jump = vouch.at - epoch.seen - vouch.passed;
            epoch.shift += jump;
            epoch.seen = now;
            if EXPIRED < jump {
                epoch.id = id;
                epoch.opens = now - epoch.shift + grace;
            }
        }
        let is_doubtful = UNHEARD < (now - epoch.seen).abs();
        let doubt = if is_doubtful { epoch.seen } else { 0 };
        if !is_doubtful {
            epoch.seen = now;
        }
        let tick = now - epoch.shift;
        if epoch.opens <= tick {
            epoch.opens = 0;
        }
        let reply = vec![epoch.id, (epoch.opens - tick).max(0), epoch.shift, doubt];
        self.epoch = Some(epoch);
        reply
    }

    fn settle(&mut self, ending: &Ending) -> i64 {
        let held = match self.records.get(&ending.record) {
            None => {
                if ending.how == 1 {
                    self.records
                        .insert(ending.record.clone(), Record::Cancelled);
                }
                return -1;
            }
            Some(Record::Settled(_) | Record::Cancelled) => return -2,
            Some(Record::Held(held)) => held.clone(),
        };
        let mut overruns = 0;
        for charge in &held.charges {
            let used = if charge.is_own {
                ending.last
            } else {
                ending.all
            };
            let truth = match ending.how {
                1 => 0,
                2 if charge.meter != IN_FLIGHT => charge.amount,
                _ => metered(&used, charge.meter),
            };
            let by = truth - charge.amount;
            overruns += i64::from(0 < by);
            if let Some(counter) = self.counters.get_mut(&charge.key) {
                let seeded_in = counter.asserted.map(|(epoch, _)| epoch);
                let has_it = counter.epoch == held.epoch
                    || seeded_in == Some(held.epoch)
                    || charge.meter == IN_FLIGHT;
                if has_it || 0 < by {
                    counter.amend(charge.width, charge.slot, by);
                }
                let is_awaited =
                    charge.slot != 0 && (0 < charge.width || charge.slot == counter.newest);
                if is_awaited {
                    counter.amend_asserted(held.epoch, by);
                }
            }
        }
        let settled = Record::Settled(held.epoch);
        self.records.insert(ending.record.clone(), settled);
        overruns
    }

    fn renew_all(&mut self, token: &str, records: &[String], lease: i64) -> Vec<i64> {
        if self.epoch_of(token).is_none() {
            return vec![5];
        }
        let renewed = records.iter().map(|record| self.renew(record, lease));
        renewed.collect()
    }

    fn renew(&mut self, name: &str, lease: i64) -> i64 {
        let now = self.tick();
        match self.records.get_mut(name) {
            None => 0,
            Some(Record::Settled(_) | Record::Cancelled) => 2,
            Some(Record::Held(held)) => {
                for charge in &mut held.charges {
                    if charge.meter != IN_FLIGHT {
                        continue;
                    }
                    let ends = (now + lease).div_euclid(charge.width);
                    let counter = self
                        .counters
                        .entry(charge.key.clone())
                        .or_insert_with(|| Counter::fresh(ends));
                    counter.roll(charge.width, now + lease);
                    counter.amend(charge.width, charge.slot, -charge.amount);
                    charge.slot = counter.newest;
                    counter.amend(charge.width, charge.slot, charge.amount);
                }
                1
            }
        }
    }
}

/// Returns how much of it a meter counts.
pub fn metered(used: &Used, meter: i64) -> i64 {
    let [requests, input, output, cost] = *used;
    match meter {
        0 => requests,
        1 => input,
        2 => output,
        3 => input + output,
        4 => cost,
        _ => 0,
    }
}
