//! How the model admits: every line first, then the first bid that fits all of them.

use std::collections::BTreeMap;

use super::{
    Charge, Held, IN_FLIGHT, Model, Record,
    counter::Counter,
    metered,
    rebuild::{LONG, NEVER},
};
use crate::quota::proof::op::{Admit, Bid, Line, Used};

/// Why nothing can be said yet.
enum Unsaid {
    Unseeded,
    Skewed,
}

/// One line as it stands now.
struct Open {
    counter: Counter,
    /// When the window in which it stands is over.
    stop: i64,
    /// What is used; nothing where an old window is none of this call's business.
    used: Option<i64>,
    /// What the hold has on it already, and where.
    base: Option<(i64, i64)>,
    is_touched: bool,
}

/// One admission being decided.
struct Deciding<'a> {
    ask: &'a Admit,
    now: i64,
    /// The same, as rings and leases see it.
    tick: i64,
    open: BTreeMap<usize, Open>,
    /// What the failed candidate gives back.
    returned: Vec<(Charge, i64)>,
}

impl Model {
    pub(super) fn admit(&mut self, ask: &Admit) -> Vec<i64> {
        let Some(epoch) = self.epoch_of(&ask.token) else {
            return vec![5];
        };
        if self.tick() < epoch.opens {
            return vec![6, epoch.opens - self.tick()];
        }
        let epoch = epoch.id;
        let record = self
            .records
            .get(&ask.record)
            .filter(|_| !ask.bids.is_empty());
        let before = match record.cloned() {
            Some(Record::Held(held)) => Some(held),
            Some(Record::Settled(_) | Record::Cancelled) => return vec![9],
            None if ask.is_adjust => return vec![10],
            None => None,
        };
        let mut deciding = Deciding {
            ask,
            now: self.now,
            tick: self.tick(),
            open: BTreeMap::new(),
            returned: Vec::new(),
        };
        if let Err(unsaid) = self.look_at_tenants(&mut deciding, epoch) {
            return self.unsaid(&unsaid, ask, epoch);
        }
        if let Some(before) = before.as_ref().filter(|_| ask.is_adjust) {
            deciding.take_back(before);
        }
        let reply = match before {
            Some(before) if !ask.is_adjust => vec![1, before.bid, 0],
            _ => match self.choose(&mut deciding, epoch) {
                Ok(reply) => reply,
                Err(unsaid) => return self.unsaid(&unsaid, ask, epoch),
            },
        };
        deciding.standings(reply)
    }

    /// Looks at all the tenant's lines; a wrong clock is told before anything unknown.
    fn look_at_tenants(&mut self, deciding: &mut Deciding<'_>, epoch: i64) -> Result<(), Unsaid> {
        let mut result = Ok(());
        for line in 0..deciding.ask.tenants {
            match (self.look(deciding, line, epoch), &result) {
                (Err(Unsaid::Unseeded), Ok(())) => result = Err(Unsaid::Unseeded),
                (Err(Unsaid::Skewed), _) => result = Err(Unsaid::Skewed),
                _ => {}
            }
        }
        result
    }

    /// Takes the first bid that fits, or tells what stands in the way of the one that would fit first.
    fn choose(&mut self, deciding: &mut Deciding<'_>, epoch: i64) -> Result<Vec<i64>, Unsaid> {
        let mut best: Option<(i64, i64)> = None;
        let mut fits_tenant = false;
        for (at, bid) in deciding.ask.bids.iter().enumerate() {
            for (line, _) in &bid.own {
                self.look(deciding, *line - 1, epoch)?;
            }
            let (wait, limit) = deciding.wait(bid);
            if wait == 0 {
                let shadowed = self.charge(deciding, at, epoch);
                return Ok(vec![1, number(at + 1), shadowed]);
            }
            fits_tenant |= limit == 0;
            if best.is_none_or(|(known, _)| wait < known) {
                best = Some((wait, limit));
            }
        }
        Ok(match best {
            None => vec![2, 0, 0],
            Some((wait, limit)) if wait < NEVER => {
                vec![if limit == 0 { 3 } else { 2 }, limit, wait]
            }
            Some(_) if fits_tenant => vec![3, 0, LONG],
            Some((_, limit)) => vec![4, limit, 0],
        })
    }

    /// Brings a line up to now. A clock that was put back is remembered at once, whatever becomes of the call.
    fn look(&mut self, deciding: &mut Deciding<'_>, at: usize, epoch: i64) -> Result<(), Unsaid> {
        if deciding.open.contains_key(&at) {
            return Ok(());
        }
        let line = &deciding.ask.lines[at];
        let now = self.now;
        let known = self.counters.get(&line.key).cloned();
        let is_seeded = known.as_ref().is_some_and(|known| known.epoch == epoch);
        if line.lead == 0 && !is_seeded {
            return Err(Unsaid::Unseeded);
        }
        let mut stop = 0;
        let (counter, is_put_back) = if line.lead == 0 && line.width == 0 {
            let [start, end, after] = line.spans;
            if !(start..after).contains(&now) {
                return Err(Unsaid::Skewed);
            }
            let (start, end) = if now < end {
                (start, end)
            } else {
                (end, after)
            };
            let mut counter = known.expect("seeded");
            let is_put_back = counter.turn(start, end);
            if after <= counter.newest {
                return Err(Unsaid::Skewed);
            }
            stop = if counter.newest == start { end } else { after };
            (counter, is_put_back)
        } else {
            let slot = (deciding.tick + line.lead).div_euclid(line.width);
            let mut counter = known.unwrap_or_else(|| Counter::fresh(slot));
            let is_put_back = counter.roll(line.width, deciding.tick + line.lead);
            (counter, is_put_back)
        };
        if is_put_back {
            self.counters.insert(line.key.clone(), counter.clone());
        }
        let used = Some(counter.sum());
        let open = Open {
            counter,
            stop,
            used,
            base: None,
            is_touched: false,
        };
        deciding.open.insert(at, open);
        Ok(())
    }

    fn unsaid(&self, unsaid: &Unsaid, ask: &Admit, epoch: i64) -> Vec<i64> {
        if let Unsaid::Skewed = unsaid {
            return vec![8];
        }
        let is_unseeded = |line: &Line| {
            let known = self.counters.get(&line.key);
            line.lead == 0 && known.is_none_or(|known| known.epoch != epoch)
        };
        let lines = ask.lines.iter().enumerate();
        let missing = lines
            .filter(|(_, line)| is_unseeded(line))
            .map(|(at, _)| number(at + 1));
        std::iter::once(7).chain(missing).collect()
    }

    /// Charges the bid to all its lines; returns how many limits in shadow mode would have refused it.
    fn charge(&mut self, deciding: &mut Deciding<'_>, at: usize, epoch: i64) -> i64 {
        let bid = &deciding.ask.bids[at];
        let tenants = bid
            .tenant
            .iter()
            .enumerate()
            .map(|(line, amount)| (line, *amount, false));
        let own = bid
            .own
            .iter()
            .map(|(line, amount)| (*line - 1, *amount, true));
        let mut held = Held {
            epoch,
            bid: number(at + 1),
            charges: Vec::new(),
        };
        let mut shadowed = 0;
        for (at, amount, is_own) in tenants.chain(own) {
            let line = &deciding.ask.lines[at];
            let open = deciding.open.get_mut(&at).expect("looked at");
            let (slot, before) = open.base.unwrap_or((open.counter.newest, 0));
            let by = amount - before;
            if let Some(used) = &mut open.used {
                shadowed += i64::from(line.is_shadow && line.amount < *used + by);
                *used += by;
            }
            open.counter.amend(line.width, slot, by);
            open.is_touched |= by != 0;
            held.charges.push(Charge {
                key: line.key.clone(),
                meter: if 0 < line.lead { IN_FLIGHT } else { line.meter },
                is_own,
                width: line.width,
                slot,
                amount,
            });
        }
        self.give_back(deciding);
        for (at, open) in &deciding.open {
            if open.is_touched {
                let key = deciding.ask.lines[*at].key.clone();
                self.counters.insert(key, open.counter.clone());
            }
        }
        let record = deciding.ask.record.clone();
        self.records.insert(record, Record::Held(held));
        shadowed
    }

    fn give_back(&mut self, deciding: &mut Deciding<'_>) {
        let tenants = deciding.ask.tenants;
        for (charge, by) in &deciding.returned {
            let lines = &deciding.ask.lines;
            let mut open = deciding.open.iter_mut().filter(|(at, _)| tenants <= **at);
            let same = open.rfind(|(at, _)| lines[**at].key == charge.key);
            if let Some((_, open)) = same {
                open.counter.amend(charge.width, charge.slot, *by);
                open.is_touched |= *by != 0;
            } else if let Some(counter) = self.counters.get_mut(&charge.key) {
                counter.amend(charge.width, charge.slot, *by);
            }
        }
    }
}

impl Deciding<'_> {
    /// Finds what the hold has on the tenant's lines, and what its failed candidate gives back.
    fn take_back(&mut self, before: &Held) {
        for (at, charge) in before.charges.iter().enumerate().take(self.ask.tenants) {
            let open = self.open.get_mut(&at).expect("looked at");
            open.base = Some((charge.slot, charge.amount));
            if !open.counter.counts(charge.width, charge.slot) {
                open.used = None;
            }
        }
        let own = before.charges.iter().filter(|charge| charge.is_own);
        let spent: Used = self.ask.spent;
        self.returned = own
            .map(|charge| {
                (
                    charge.clone(),
                    metered(&spent, charge.meter) - charge.amount,
                )
            })
            .collect();
    }

    /// Returns how long until the bid fits, and which of the tenant's limits keeps it waiting longest.
    fn wait(&self, bid: &Bid) -> (i64, i64) {
        let (mut tenant, mut limit, mut own) = (0, 0, 0);
        for (at, need) in bid.tenant.iter().enumerate() {
            let wait = self.wait_for(at, *need);
            if tenant < wait {
                (tenant, limit) = (wait, number(at + 1));
            }
        }
        for (line, need) in &bid.own {
            let back = self.given_back(*line - 1);
            own = own.max(self.wait_for(*line - 1, *need + back));
        }
        (tenant.max(own), limit)
    }

    fn given_back(&self, at: usize) -> i64 {
        let counter = &self.open[&at].counter;
        let key = &self.ask.lines[at].key;
        let back = self
            .returned
            .iter()
            .filter(|(charge, _)| charge.key == *key && counter.counts(charge.width, charge.slot));
        back.map(|(_, by)| by).sum()
    }

    fn wait_for(&self, at: usize, need: i64) -> i64 {
        let (line, open) = (&self.ask.lines[at], &self.open[&at]);
        let Some(used) = open.used.filter(|_| !line.is_shadow) else {
            return 0;
        };
        let base = open.base.map(|(_, amount)| amount);
        let over = used - base.unwrap_or(0) + need - line.amount;
        if over <= 0 || base.is_some_and(|base| need <= base) {
            return 0;
        }
        if 0 < line.amount && line.amount < need {
            return NEVER;
        }
        if 0 < line.lead {
            return 250;
        }
        if line.width == 0 {
            return open.stop - self.now;
        }
        let mut over = over;
        for (slot, used) in open.counter.slots() {
            over -= used;
            if over <= 0 {
                return open.counter.left(line.width, slot, self.tick);
            }
        }
        25 * line.width
    }

    fn standings(&self, mut reply: Vec<i64>) -> Vec<i64> {
        for at in 0..self.ask.tenants {
            let (line, open) = (&self.ask.lines[at], &self.open[&at]);
            let newest = open.counter.slots().next_back();
            let reset = match newest {
                _ if 0 < line.lead => 0,
                _ if line.width == 0 => open.stop - self.now,
                Some((slot, _)) => open.counter.left(line.width, slot, self.tick),
                None => 0,
            };
            reply.extend([(line.amount - open.used.unwrap_or(0)).max(0), reset]);
        }
        reply
    }
}

fn number(count: usize) -> i64 {
    i64::try_from(count).expect("few")
}
