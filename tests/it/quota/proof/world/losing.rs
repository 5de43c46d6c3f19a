//! How a history's Redis loses its memory, and is told again.

use super::{Call, GRACE, World};
use crate::quota::proof::{
    menu::{LEASE, Rule},
    model::metered,
    op::{Asserted, Op, Seeded},
    truth,
};

impl World {
    /// Begins a new epoch: it stays closed so long, and meanwhile every proxy tells what the books do not know.
    pub(super) fn begin_epoch(&mut self, grace: i64) {
        self.epoch += 1;
        self.run(Op::Epoch(self.epoch, self.server.clone(), grace));
    }

    pub(super) fn beat(&mut self) {
        let id = self.epoch + 1_000;
        self.run(Op::Epoch(id, self.server.clone(), GRACE));
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
            // Renewed leases may be among what was lost; they are promised again when they are renewed again.
            for call in &mut self.calls {
                call.leased = self.real;
            }
        }
        self.rebuild(false);
    }

    pub(super) fn rebuild(&mut self, twice: bool) {
        self.doubts.is_rebuilt = true;
        self.begin_epoch(GRACE);
        let unbooked = self
            .calls
            .iter()
            .filter(|call| !call.is_booked && !call.is_cancelled);
        let holds: Vec<Asserted> = unbooked.map(asserted).collect();
        for _ in 0..1 + usize::from(twice) {
            for batch in holds.chunks(4) {
                self.run(Op::Reassert(self.token(), batch.to_vec()));
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
        let counters = counters.collect();
        self.run(Op::Seed(self.token(), counters));
    }
}

fn asserted(call: &Call) -> Asserted {
    let mut charges = call.charges.clone();
    if let Some(used) = call.used {
        for charge in &mut charges {
            charge.amount = metered(&used, charge.meter);
        }
    }
    Asserted {
        record: call.admit.record.clone(),
        is_settled: call.used.is_some(),
        at: call.at,
        charges,
    }
}
