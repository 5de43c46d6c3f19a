//! How a history's Redis loses its memory, and is told again.

use super::{Call, GRACE, World};
use crate::quota::proof::{
    menu::{LEASE, Rule},
    model::metered,
    op::{Asserted, Op, Seeded, Vouch},
    truth,
};

impl World {
    /// Begins a new epoch: it stays closed so long, and meanwhile every proxy tells what the books do not know.
    pub(super) fn begin_epoch(&mut self, grace: i64) {
        self.epoch += 1;
        let begin = Op::Epoch(self.epoch, self.server.clone(), grace, Vouch::default());
        let reply = self.run(begin);
        self.shift = reply[2];
        self.heard = self.real;
        self.ahead = self.now - self.shift - self.real;
    }

    /// Lets a proxy beat that knows how much time truly passed.
    pub(super) fn beat(&mut self) {
        let id = self.epoch + 1_000;
        let beat =
            |world: &mut Self, vouch| world.run(Op::Epoch(id, world.server.clone(), GRACE, vouch));
        let mut reply = beat(self, Vouch::default());
        if reply[3] != 0 {
            let (moved, passed) = (self.now - reply[3], self.real - self.heard);
            let is_jump = 2_000 < (moved - passed).abs();
            let vouch = Vouch {
                seen: reply[3],
                at: self.now,
                passed: if is_jump { passed } else { moved },
            };
            reply = beat(self, vouch);
        }
        self.shift = reply[2];
        self.heard = self.real;
        if reply[0] != self.epoch {
            self.epoch = reply[0];
            self.assert_unbooked(false);
        }
    }

    /// Says something that must be said by an epoch; beats first when it is not known any more.
    pub(super) fn tell(&mut self, op: impl Fn(String) -> Op) -> Vec<i64> {
        let reply = self.run(op(self.token()));
        if reply[0] != 5 || reply.len() != 3 {
            return reply;
        }
        self.beat();
        self.run(op(self.token()))
    }

    pub(super) fn lose(&mut self, twice: bool) {
        let keys = self.model.keys();
        self.run(Op::Forget(keys));
        self.saved = None;
        self.rebuild(twice);
    }

    /// Redis comes back as another process; when it had written something down, with no more than that.
    pub(super) fn restart(&mut self) {
        self.server.push('b');
        if let Some(saved) = self.saved.take() {
            self.run(Op::Restore(self.model.keys(), saved.keys()));
            self.model = saved;
        }
        self.rebuild(false);
    }

    pub(super) fn rebuild(&mut self, twice: bool) {
        self.begin_epoch(GRACE);
        self.assert_unbooked(twice);
    }

    fn assert_unbooked(&mut self, twice: bool) {
        self.doubts.is_rebuilt = true;
        let unbooked = self
            .calls
            .iter()
            .filter(|call| !call.is_booked && !call.is_cancelled);
        let holds: Vec<Asserted> = unbooked.map(|call| asserted(call, self.real)).collect();
        for _ in 0..1 + usize::from(twice) {
            for batch in holds.chunks(4) {
                self.tell(|token| Op::Reassert(token, batch.to_vec()));
            }
        }
        for call in self.calls.iter_mut().filter(|call| call.used.is_none()) {
            call.leased = call.leased.min(self.real + LEASE);
        }
    }

    /// Makes lines known from the books; `less` says they know nothing.
    pub(super) fn seed(&mut self, rules: &[Rule], lines: &[usize], less: bool) {
        let counters = lines.iter().filter_map(|line| {
            let rule = &rules[*line];
            if 0 < rule.lead() {
                return None;
            }
            let [start, stop, _] = rule.spans(self.now);
            Some(Seeded {
                key: rule.key.clone(),
                width: rule.width(),
                books: if less { 0 } else { truth::booked(self, rule) },
                start,
                stop,
            })
        });
        let counters: Vec<Seeded> = counters.collect();
        self.tell(|token| Op::Seed(token, counters.clone()));
    }
}

fn asserted(call: &Call, real: i64) -> Asserted {
    let mut charges = call.charges.clone();
    if let Some(used) = call.used {
        for charge in &mut charges {
            charge.amount = metered(&used, charge.meter);
        }
    }
    Asserted {
        record: call.admit.record.clone(),
        is_settled: call.used.is_some(),
        age: real - call.real,
        charges,
    }
}
