//! Holds the counters of days and months against the books and the living holds, every minute, one proxy at a time.
//!
//! Nothing else lowers what nobody gives back: what died with its proxy, what was counted twice after a loss of Redis,
//! what was refunded. A counter is lowered only by what nothing can account for. The order of the looks makes that
//! safe while calls go on: counters first, then every proxy's holds with all that fell since before the first look,
//! then the books. Whatever moves from one to the next meanwhile is counted twice, never not at all.

mod answer;
mod board;
mod round;
#[cfg(test)]
mod tests;

use std::{
    future::Future,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use rand::RngExt as _;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use self::{board::Board, round::Tally};
use super::{Ledger, hold::Counters};
use crate::store::proxies::{Proxies, Standing};

/// How often a proxy says that it lives.
const BEAT_EVERY: Duration = Duration::from_secs(1);

/// How often counters are compared after Redis lost its memory, at most: what was booked while it was told again may be
/// counted twice.
const HURRIED: Duration = Duration::from_secs(8);

/// For how long.
const HURRY: Duration = Duration::from_secs(50);

/// How often it tries to before the others know of it at all.
const FIRST_BEATS: Duration = Duration::from_millis(100);

impl Ledger {
    /// Says that this proxy lives, answers the rounds of others and opens its own, until `stop` comes true.
    ///
    /// From this call on nothing is held before the others know of this proxy.
    pub fn reconcile(
        self: Arc<Self>,
        process: Uuid,
        proxies: Arc<Proxies>,
        stop: impl Future<Output = ()> + Send,
    ) -> impl Future<Output = ()> + Send {
        self.is_known.store(false, Ordering::Release);
        async move {
            let board = Board::new(self.redis.clone(), process);
            let work = async {
                tokio::join!(
                    self.beat_for(process, &proxies),
                    self.stand_by(&board),
                    self.open_rounds(&board),
                )
            };
            tokio::select! {
                () = stop => {}
                _ = work => {}
            }
        }
    }

    /// Leaves the registry of proxies, once Redis was told how every hold ended.
    pub async fn leave(&self, process: Uuid, proxies: &Proxies) {
        if !self.desk.is_told() {
            tracing::warn!(
                "holds stay behind: the others end them when this proxy was silent for long"
            );
            return;
        }
        if let Err(error) = proxies.forget(process, Duration::ZERO).await {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "the registry was not left"
            );
        }
    }

    /// Returns by how much counters of money were off when they were last compared, in nano-dollars.
    #[must_use]
    pub fn drift_nano_usd(&self) -> u64 {
        self.drift.load(Ordering::Relaxed)
    }

    async fn beat_for(&self, process: Uuid, proxies: &Proxies) {
        loop {
            match proxies.beat(process).await {
                Ok(standing) => {
                    if standing == Standing::GivenUp {
                        self.begin_anew();
                    }
                    self.is_known.store(true, Ordering::Release);
                }
                Err(error) => {
                    tracing::debug!(error = &error as &dyn std::error::Error, "nobody heard us");
                }
            }
            let is_known = self.is_known.load(Ordering::Acquire);
            sleep(if is_known { BEAT_EVERY } else { FIRST_BEATS }).await;
        }
    }

    /// Forgets every hold: the others have ended them, and have held the counters against the books since.
    fn begin_anew(&self) {
        tracing::warn!("the others had given this proxy up: its holds are not its own any more");
        self.desk.give_up();
        self.give_up_slices();
    }

    async fn open_rounds(&self, board: &Board) {
        let usual = Duration::from_millis(self.settings.reconcile_ms);
        let mut epoch = self.epoch.load().id;
        let mut hurried_until = None;
        loop {
            let is_hurried = hurried_until.is_some_and(|until| Instant::now() < until);
            let every = if is_hurried {
                usual.min(HURRIED)
            } else {
                usual
            };
            // Whoever looks first after the time is over opens the round.
            let pause = every.mul_f64(rand::rng().random_range(0.2..0.6));
            tokio::select! {
                () = sleep(pause) => {}
                () = self.epoch_changed.notified() => {
                    let before = std::mem::replace(&mut epoch, self.epoch.load().id);
                    if before != 0 && before != epoch {
                        hurried_until = Some(Instant::now() + HURRY);
                    }
                    continue;
                }
            }
            match self.round(board, every).await {
                Ok(Some(tally)) => self.note_round(&tally),
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(
                        error = &error as &dyn std::error::Error,
                        "no round of reconciling"
                    );
                }
            }
        }
    }

    fn note_round(&self, tally: &Tally) {
        let counters = &self.desk.counters;
        Counters::add(&counters.reconciled, 1);
        Counters::add(&counters.corrected, tally.corrected);
        self.drift.store(tally.drift_nano_usd, Ordering::Relaxed);
    }
}
