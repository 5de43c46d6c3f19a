//! How a history's calls go on elsewhere, and end.

use proptest::sample::Index;

use super::{Call, World};
use crate::quota::proof::{
    menu::LEASE,
    op::{Ending, Op, Used},
    step::End,
};

impl World {
    /// Goes on at the other candidate after an attempt failed.
    pub(super) fn go_on(&mut self, which: Index, failed: i64, size: i64) {
        let Some(at) = self.open(which) else {
            return;
        };
        let call = self.calls[at].clone();
        let spent = share_of(&call.sizes[call.candidate], failed);
        let [_, input, output, cost] = call.failed;
        let failed = [0, spent[1] + input, spent[2] + output, spent[3] + cost];
        let other = 1 - call.candidate;
        let mut sizes = call.sizes;
        sizes[other] = [1, size, size / 2, 2 * size];
        let record = call.admit.record.clone();
        let mut admit = self.form(&call.rules, &sizes, &[(other, failed)], record, self.now);
        admit.is_adjust = true;
        admit.spent = spent;
        let reply = self.decide(&mut admit, &call.rules);
        if reply[0] != 1 {
            return;
        }
        let mut moved = Call {
            candidate: other,
            sizes,
            failed,
            ..call
        };
        moved.charges = self.charges(&moved, &admit.bids[0]);
        self.calls[at] = moved;
    }

    pub(super) fn open(&self, which: Index) -> Option<usize> {
        let open = self
            .calls
            .iter()
            .enumerate()
            .filter(|(_, call)| call.used.is_none());
        let open: Vec<usize> = open.map(|(at, _)| at).collect();
        (!open.is_empty()).then(|| *which.get(&open))
    }

    pub(super) fn end(&mut self, which: Index, end: &End) {
        let Some(at) = self.open(which) else {
            return;
        };
        let call = self.calls[at].clone();
        let (ending, used) = end_of(&call, end);
        self.run(Op::Settle(vec![ending]));
        self.calls[at].used = Some(used);
        self.calls[at].is_cancelled = matches!(end, End::Cancelled);
    }

    pub(super) fn end_again(&mut self, which: Index, end: &End) {
        let ended: Vec<Call> = self
            .calls
            .iter()
            .filter(|call| call.used.is_some())
            .cloned()
            .collect();
        if ended.is_empty() {
            return;
        }
        let (first, _) = end_of(which.get(&ended), end);
        let (second, _) = end_of(&ended[0], end);
        self.run(Op::Settle(vec![first, second]));
    }

    pub(super) fn renew(&mut self) {
        let open = self.calls.iter_mut().filter(|call| call.used.is_none());
        let mut records = Vec::new();
        for call in open {
            call.leased = self.real + LEASE;
            records.push(call.admit.record.clone());
        }
        self.tell(|token| Op::Renew(token, records.clone(), LEASE));
    }

    pub(super) fn book(&mut self) {
        for call in &mut self.calls {
            call.is_booked |= call.used.is_some() && !call.is_cancelled;
        }
        self.run(Op::Save(self.model.keys()));
        self.saved = Some(self.model.clone());
    }
}

pub(super) fn ending(record: &str, how: i64, all: Used, last: Used) -> Ending {
    Ending {
        record: record.to_owned(),
        how,
        all,
        last,
    }
}

/// Returns how a call's end is told, and what it used altogether.
fn end_of(call: &Call, end: &End) -> (Ending, Used) {
    let record = &call.admit.record;
    let size = call.sizes[call.candidate];
    let [_, input, output, cost] = call.failed;
    let with_failed = |last: Used| [1, last[1] + input, last[2] + output, last[3] + cost];
    match end {
        End::Share(share) => {
            let last = share_of(&size, *share);
            let all = with_failed(last);
            (ending(record, 0, all, last), all)
        }
        End::AsHeld => (ending(record, 2, [0; 4], [0; 4]), with_failed(size)),
        End::Cancelled => (ending(record, 1, [0; 4], [0; 4]), [0; 4]),
    }
}

fn share_of(size: &Used, share: i64) -> Used {
    let [_, input, output, cost] = size.map(|amount| amount * share / 100);
    [1, input, output, cost]
}
