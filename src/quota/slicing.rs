//! How slices come and go: taken ahead of hot callers, given back when nobody spends them.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use futures::future::join_all;
use tokio::{
    sync::mpsc::UnboundedReceiver,
    time::{MissedTickBehavior, interval},
};

use super::{
    Actual, Adjusted, Ask, Bid, Decision, Hold, Ledger, Limit, Policy, Standing, Unavailable,
    answer::Answer,
    counter::Shape,
    form::Form,
    hold::End,
    slices::{self, Order, Slice},
};
use crate::base::{Moment, RequestId};

/// How often slices are looked at that may have been left.
const SWEEP: Duration = Duration::from_millis(100);
/// How often members are looked at that the books never heard of.
const PRUNE: Duration = Duration::from_mins(10);
/// How many slices are taken side by side.
const ORDERS: usize = 16;
/// Into how many slots a sliding window is cut, as the scripts do.
const SLOTS: u64 = 24;

impl Ledger {
    /// Holds the call out of a slice when there is one, without a word with Redis.
    pub(super) fn find_slice(&self, ask: &Ask<'_>) -> Option<Decision> {
        let is_evicting = self.is_evicting.load(Ordering::Relaxed);
        if is_evicting
            || !self.slices.serve(ask)
            || self.settings.most_unbooked < self.desk.members()
        {
            return None;
        }
        let turn = self.slices.turn(ask, Instant::now());
        // Both inboxes end after the last call.
        if let Some(spent) = turn.spent {
            let _ = self.spent.send(spent);
        }
        if let Some(order) = turn.order {
            let _ = self.orders.send(order);
        }
        let (hold, standings) = turn.held?;
        Some(Decision::Held {
            hold,
            bid: 0,
            standings,
            remark: None,
        })
    }

    /// Remembers what was left of a call's limits when one of its candidates was held.
    pub(super) fn learn(&self, ask: &Ask<'_>, bid: usize, standings: &[Standing]) {
        if bid == 0 && self.slices.serve(ask) {
            self.slices.learn(ask, standings);
        }
        let bid = ask.bids.get(bid);
        let order = bid.and_then(|bid| self.reserves.note(ask, bid, standings, Instant::now()));
        if let Some(order) = order {
            let _ = self.orders.send(order);
        }
    }

    /// Moves a call out of its slice to the first other candidate that fits: what the failed attempt used stays with
    /// the slice, the rest is held anew.
    pub(super) async fn leave_slice(
        &self,
        hold: &mut Hold,
        limits: &[Limit],
        spent: &Actual,
        bids: &[Bid],
        now: Moment,
    ) -> Result<Adjusted, Unavailable> {
        let ask = Ask {
            id: hold.id(),
            organization: hold.organization(),
            limits,
            bids,
            now,
            policy: Policy::default(),
        };
        Ok(match self.admit_exactly(ask).await? {
            Decision::Held { hold: new, bid, .. } => {
                // However many attempts: one call, and that is counted by the new hold.
                let used = Actual {
                    requests: 0,
                    ..*spent
                };
                std::mem::replace(hold, new).end(End::Used(used));
                Adjusted::Held { bid }
            }
            Decision::Denied { limit, wait, .. } => Adjusted::Denied { limit, wait },
            Decision::Full { wait } => Adjusted::Full { wait },
            Decision::TooLarge { limit } => Adjusted::Denied {
                limit,
                wait: Duration::from_hours(24),
            },
        })
    }

    /// Takes the slices that are asked for.
    pub(super) async fn serve_slices(&self, mut orders: UnboundedReceiver<Order>) {
        let mut taken = Vec::with_capacity(ORDERS);
        while orders.recv_many(&mut taken, ORDERS).await != 0 {
            join_all(taken.iter().map(|order| self.take_slice(order))).await;
            taken.clear();
        }
    }

    /// Takes one slice; whatever stands in the way, calls ask Redis for themselves.
    async fn take_slice(&self, order: &Order) {
        let _passing = self.desk.watch.pass();
        let asked = Instant::now();
        let id = RequestId::new(order.at);
        let bids = std::slice::from_ref(&order.bid);
        let form = Form::new(id, order.organization, &order.limits, bids);
        let Ok(Ok(answer)) = self.ask_once(&form, order.at).await else {
            return;
        };
        let Answer::Held {
            at,
            epoch,
            standings,
            ..
        } = answer
        else {
            return;
        };
        let Ok(hold) = self.open(&form, 0, at, epoch).await else {
            return;
        };
        let mut lifetime = self.lifetime(&form, at);
        if !order.is_reserve {
            lifetime = lifetime.min(slices::LONGEST);
        }
        let slice = Slice::new(hold, order, asked + lifetime, Arc::clone(&self.desk));
        let unwanted = if order.is_reserve {
            self.reserves.put(order.key, slice, Instant::now())
        } else {
            self.slices.put(order, slice, standings, Instant::now())
        };
        if let Some(slice) = unwanted {
            self.return_slice(&slice).await;
        }
    }

    /// Returns how long after `at` the newest slot and window of every counter stays the newest.
    fn lifetime(&self, form: &Form<'_>, at: Moment) -> Duration {
        let left = form.lines.iter().map(|line| match line.counter.shape() {
            Shape::InFlight => 0,
            Shape::Ring(length) => {
                let width = length / SLOTS;
                let tick = at.millis() - self.epoch.load().shift_ms;
                width - u64::try_from(tick).unwrap_or_default() % width
            }
            Shape::Calendar => {
                let end = line.counter.spans(&self.calendar, at).end;
                u64::try_from(end - at.millis()).unwrap_or_default()
            }
        });
        left.min().map_or(slices::LONGEST, Duration::from_millis)
    }

    /// Gives back the slices that are handed over, and those that were left.
    pub(super) async fn return_slices(&self, mut spent: UnboundedReceiver<Arc<Slice>>) {
        let mut ticks = interval(SWEEP);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut pruned = Instant::now();
        loop {
            let now = Instant::now();
            if PRUNE < now.saturating_duration_since(pruned) {
                pruned = now;
                self.desk.prune_members(now);
            }
            let left = tokio::select! {
                _ = ticks.tick() => self.left(Instant::now()),
                Some(slice) = spent.recv() => vec![slice],
            };
            join_all(left.iter().map(|slice| self.return_slice(slice))).await;
        }
    }

    /// Returns the slices and reserves that were left.
    fn left(&self, now: Instant) -> Vec<Arc<Slice>> {
        let mut left = self.slices.sweep(now);
        self.reserves.sweep(now, &mut left);
        left
    }

    /// Gives back what of a slice is not spent. Should Redis not hear it, the end of the last call mends it.
    async fn return_slice(&self, slice: &Slice) {
        let Some(shrunk) = slice.close() else {
            return;
        };
        let _passing = self.desk.watch.pass();
        let Some(account) = self.desk.account(slice.id()) else {
            return;
        };
        let bids = std::slice::from_ref(&shrunk);
        let mut form = Form::new(slice.id(), account.organization, slice.limits(), bids);
        form.move_from(Actual::default(), Actual::default());
        if let Ok(Ok(Answer::Held { bid, .. })) = self.ask_once(&form, account.at).await {
            let charges = form.charges(bid);
            self.desk
                .moved(slice.id(), charges, Actual::default(), &self.calendar);
        }
    }

    /// Spends no slice any more.
    pub(super) fn give_up_slices(&self) {
        for slice in self.slices.drain().into_iter().chain(self.reserves.drain()) {
            let _ = slice.close();
        }
    }
}
