//! What a call turns out not to need goes back before it ends: a stream that says at its start what it read.

use futures::future::join_all;
use tokio::sync::mpsc::UnboundedReceiver;

use super::{Actual, Bid, Hold, Ledger, Limit, answer::Answer, form::Form};
use crate::base::RequestId;

/// How many holds are made smaller side by side.
const SIDE_BY_SIDE: usize = 16;

/// A hold that may be smaller.
#[derive(Debug)]
pub(super) struct Refund {
    id: RequestId,
    limits: Vec<Limit>,
    bid: Bid,
}

impl Ledger {
    /// Makes a hold as small as `bid`, which its candidate takes at most from now on. `limits` are those of the
    /// admission.
    ///
    /// Never waits. A call held out of a slice is left alone: slices are held only where there is plenty.
    pub fn refund(&self, hold: &Hold, limits: &[Limit], bid: Bid) {
        if !hold.is_on_desk() {
            return;
        }
        let reach = hold.reach();
        let limits = reach.limits(limits).into_owned();
        let bid = reach.bids(std::slice::from_ref(&bid)).first().cloned();
        let Some(bid) = bid else {
            return;
        };
        // The inbox ends after the last call.
        let _ = self.refunds.send(Refund {
            id: hold.id(),
            limits,
            bid,
        });
    }

    /// Gives back what is handed over, forever.
    pub(super) async fn serve_refunds(&self, mut refunds: UnboundedReceiver<Refund>) {
        let mut taken = Vec::with_capacity(SIDE_BY_SIDE);
        while refunds.recv_many(&mut taken, SIDE_BY_SIDE).await != 0 {
            join_all(taken.iter().map(|refund| self.give_back(refund))).await;
            taken.clear();
        }
    }

    /// Should Redis not hear it, the call's end says the same later.
    async fn give_back(&self, refund: &Refund) {
        let _passing = self.desk.watch.pass();
        let account = self.desk.account(refund.id);
        let Some(account) = account.filter(|account| account.end.is_none()) else {
            return;
        };
        let bids = std::slice::from_ref(&refund.bid);
        let mut form = Form::new(refund.id, account.organization, &refund.limits, bids);
        form.move_from(Actual::default(), account.failed);
        if let Ok(Ok(Answer::Held { bid, .. })) = self.ask_once(&form, account.at).await {
            let charges = form.charges(bid);
            self.desk
                .moved(refund.id, charges, account.failed, &self.calendar);
        }
    }
}
