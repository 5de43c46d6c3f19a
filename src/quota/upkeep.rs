//! What the ledger does by itself: tells Redis how holds ended, renews leases, notices that Redis lost its memory
//! and tells it again what is not in the books.

use std::{
    future::Future,
    sync::{Arc, PoisonError},
    time::Duration,
};

use rand::RngExt as _;
use tokio::{
    sync::mpsc::UnboundedReceiver,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};

use super::{
    Actual, Ledger, Unavailable,
    clock::ClockWatch,
    desk::Account,
    hold::{Counters, End, Ending},
    ledger::Epoch,
    script::{self, Numbers, OTHER_EPOCH, Reply},
};
use crate::{
    base::{OrganizationId, RequestId},
    store::redis::{Call, RedisError},
};

/// How many holds one call ends, renews or asserts: long enough to pay, short enough not to block Redis.
const BATCH: usize = 64;

/// How long a beat may take before its connection is given up. Longer than a caller's deadline: the beat that waits
/// is the first to hear that Redis is back.
const BEAT_PATIENCE: Duration = Duration::from_secs(2);

/// The pauses between attempts to reach a Redis that is away.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(25),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
];

/// How long `run` goes on telling Redis how holds ended after it was asked to stop.
const LAST_WORDS: Duration = Duration::from_secs(5);

impl Ledger {
    /// Keeps the ledger until `stop` comes true, then tells Redis what is still queued. Once per ledger.
    pub async fn run(self: Arc<Self>, stop: impl Future<Output = ()> + Send) {
        let inbox = self
            .inbox
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(mut inbox) = inbox else {
            return;
        };
        // What was taken from the queue outlives the loop that took it.
        let mut taken = Vec::with_capacity(BATCH);
        {
            let upkeep = async {
                tokio::join!(
                    self.beat(),
                    self.end_holds(&mut inbox.endings, &mut taken),
                    self.renew_leases(),
                    self.serve_seeds(inbox.wanted),
                    self.serve_slices(inbox.orders),
                    self.return_slices(inbox.spent),
                    self.serve_refunds(inbox.refunds),
                )
            };
            tokio::select! {
                () = stop => {}
                _ = upkeep => {}
            }
        }
        self.give_up_slices();
        inbox.endings.close();
        if timeout(LAST_WORDS, self.end_holds(&mut inbox.endings, &mut taken))
            .await
            .is_err()
        {
            tracing::warn!("redis was not told how the last holds ended");
        } else if self.desk.open_holds() == 0 {
            self.desk.note_told();
        }
    }

    /// Looks every now and then which epoch this is, and at once when somebody wants to know.
    async fn beat(&self) {
        let mut ticks = interval(Duration::from_millis(self.settings.beat_ms()));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut clock = ClockWatch::default();
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.beat_wanted.notified() => {}
            }
            if let Err(error) = self.beat_once(&mut clock).await {
                tracing::debug!(error = &error as &dyn std::error::Error, "a beat failed");
                sleep(Duration::from_millis(10)).await;
            }
        }
    }

    async fn beat_once(&self, clock: &mut ClockWatch) -> Result<(), Unavailable> {
        let link = match self.redis.link(BEAT_PATIENCE).await {
            Ok(link) => link,
            Err(error) => return Err(self.failed(error)),
        };
        let call = self.write_beat(&link.server);
        let asked = std::time::Instant::now();
        let reply = match self.redis.run(&link, &call, BEAT_PATIENCE).await {
            Ok(reply) => reply,
            Err(error) => {
                if matches!(error, RedisError::Late) {
                    self.redis.hang_up(&link);
                }
                return Err(self.failed(error));
            }
        };
        self.heard();
        let reply = Reply::of(reply)?;
        if let Some(jump_ms) = clock.note(asked, std::time::Instant::now(), reply.at) {
            Counters::add(&self.desk.counters.clock_jumps, 1);
            tracing::warn!(jump_ms, "redis's clock jumped");
        }
        let id = u64::try_from(reply.kind().unwrap_or_default()).unwrap_or_default();
        self.adopt(id, &link.server).await?;
        self.desk.prune(&self.calendar, reply.at);
        Ok(())
    }

    fn write_beat(&self, server: &str) -> Call<'_> {
        script::with_scratch(|scratch| {
            let mut call = Call::new(&self.scripts.epoch, 2, 256);
            script::push_epoch(&mut call, &self.redis, &mut scratch.name);
            let candidate: u64 = rand::rng().random_range(1..1 << 48);
            call.push(itoa::Buffer::new().format(candidate));
            call.push(server);
            call.push(itoa::Buffer::new().format(self.settings.rebuild_grace_ms));
            call
        })
    }

    /// Goes by an epoch; a new one is first told everything that is not in the books.
    async fn adopt(&self, id: u64, server: &str) -> Result<(), Unavailable> {
        let known = self.epoch.load_full();
        if known.id == id && known.server == server && known.is_ready {
            return Ok(());
        }
        if known.id != id {
            // Published before the accounts are read: whoever opens one from here on sees the change and asserts it.
            let coming = Epoch {
                id,
                server: server.to_owned(),
                is_ready: false,
            };
            self.epoch.store(Arc::new(coming));
            if known.id != 0 {
                Counters::add(&self.desk.counters.rebuilds, 1);
                tracing::warn!("redis lost its memory, telling it again");
            }
        }
        self.assert_unbooked(&self.desk.unbooked()).await?;
        for batch in self.desk.sums().chunks(BATCH) {
            self.assert_accounts(batch).await?;
        }
        let ready = Epoch {
            id,
            server: server.to_owned(),
            is_ready: true,
        };
        self.epoch.store(Arc::new(ready));
        self.epoch_changed.notify_waiters();
        Ok(())
    }

    /// Tells Redis of holds that are not in the books.
    pub(super) async fn assert_unbooked(&self, ids: &[RequestId]) -> Result<(), Unavailable> {
        for batch in ids.chunks(BATCH) {
            let accounts: Vec<(RequestId, Account)> = batch
                .iter()
                .filter_map(|id| Some((*id, self.desk.find_unbooked(*id)?)))
                .collect();
            if !accounts.is_empty() {
                self.assert_accounts(&accounts).await?;
            }
        }
        Ok(())
    }

    async fn assert_accounts(&self, accounts: &[(RequestId, Account)]) -> Result<(), Unavailable> {
        let link = self.redis.link(self.redis.deadline()).await;
        let link = link.map_err(|error| self.failed(error))?;
        let call = self.write_assertion(accounts, &self.epoch.load());
        if self.run_script(&link, &call).await?.kind() == Some(OTHER_EPOCH) {
            self.beat_wanted.notify_one();
            return Err(Unavailable::Rebuilding);
        }
        Ok(())
    }

    fn write_assertion(&self, accounts: &[(RequestId, Account)], epoch: &Epoch) -> Call<'_> {
        script::with_scratch(|scratch| {
            let names = self.redis.names();
            let keys = 2 + accounts
                .iter()
                .map(|(_, account)| 1 + account.charges.len())
                .sum::<usize>();
            let mut call = Call::new(&self.scripts.reassert, keys, keys * 96 + 256);
            script::push_epoch(&mut call, &self.redis, &mut scratch.name);
            for (id, account) in accounts {
                names.hold(&mut scratch.name, account.organization, *id);
                call.push(&scratch.name);
                for charge in &account.charges {
                    charge
                        .counter
                        .name(names, self.settings.lease_ms, &mut scratch.name);
                    call.push(&scratch.name);
                }
                self.write_account(account, &mut scratch.numbers);
            }
            call.push(&epoch.token());
            call.push(scratch.numbers.finish());
            call
        })
    }

    fn write_account(&self, account: &Account, numbers: &mut Numbers) {
        numbers
            .push(u64::from(account.end.is_some()))
            .push_millis(account.at.millis())
            .push(account.charges.len() as u64);
        for charge in &account.charges {
            let spans = charge.counter.spans(&self.calendar, account.at);
            numbers
                .push(charge.counter.meter_number())
                .push(u64::from(charge.is_own));
            charge.counter.write_shape(self.settings.lease_ms, numbers);
            numbers
                .push(account.amount(charge))
                .push_millis(spans.start)
                .push_millis(spans.end);
        }
    }

    /// Tells Redis how holds ended, in batches, until nobody can end one any more.
    async fn end_holds(&self, endings: &mut UnboundedReceiver<Ending>, taken: &mut Vec<Ending>) {
        let mut pauses = PAUSES.into_iter();
        loop {
            if taken.is_empty() {
                pauses = PAUSES.into_iter();
                if endings.recv_many(taken, BATCH).await == 0 {
                    return;
                }
            }
            if self.end_batch(taken).await.is_err() || !taken.is_empty() {
                let [.., longest] = PAUSES;
                sleep(pauses.next().unwrap_or(longest)).await;
            }
        }
    }

    /// Tells Redis once; what it has heard leaves the batch.
    async fn end_batch(&self, batch: &mut Vec<Ending>) -> Result<(), Unavailable> {
        let link = self
            .redis
            .link(self.redis.deadline())
            .await
            .map_err(|error| self.failed(error))?;
        let call = self.write_endings(batch);
        let reply = self.run_script(&link, &call).await?.numbers;
        if reply.len() != batch.len() {
            return Err(RedisError::Garbled.into());
        }
        // Nothing leaves the batch before its end is known: this may be dropped at any wait.
        let mut heard = Vec::with_capacity(batch.len());
        for (ending, overruns) in batch.iter().zip(reply) {
            heard.push(self.is_heard(ending, overruns).await);
        }
        let mut heard = heard.into_iter();
        batch.retain(|_| !heard.next().unwrap_or_default());
        Ok(())
    }

    /// Makes sense of the answer for one hold; says whether Redis knows the end of it now.
    async fn is_heard(&self, ending: &Ending, overruns: i64) -> bool {
        const UNKNOWN: i64 = -1;
        Counters::add(
            &self.desk.counters.overruns,
            u64::try_from(overruns).unwrap_or_default(),
        );
        let is_lost = overruns == UNKNOWN && ending.end != End::Cancelled;
        // Redis lost the hold: what is not in the books yet is added as it truly was.
        let is_heard = !is_lost || self.assert_unbooked(&[ending.id]).await.is_ok();
        if is_heard {
            self.desk.settled(ending.id, &self.calendar);
        }
        is_heard
    }

    pub(super) fn write_endings(&self, batch: &[Ending]) -> Call<'_> {
        script::with_scratch(|scratch| {
            let keys = 1 + batch.len();
            let mut call = Call::new(&self.scripts.settle, keys, keys * 160);
            script::push_number(&mut call, &self.redis, &mut scratch.name);
            for ending in batch {
                self.redis
                    .names()
                    .hold(&mut scratch.name, ending.organization, ending.id);
                call.push(&scratch.name);
                let (how, last) = match ending.end {
                    End::Used(last) => (0, last),
                    End::Cancelled => (1, Actual::default()),
                    End::AsHeld => (2, Actual::default()),
                };
                scratch
                    .numbers
                    .push(how)
                    .push_actual(&last.after(ending.failed))
                    .push_actual(&last)
                    .push_credits(&last.after(ending.failed))
                    .push_credits(&last);
            }
            call.push(scratch.numbers.finish());
            call
        })
    }

    /// Renews the leases of what is in flight, three times as often as they end.
    async fn renew_leases(&self) {
        let mut ticks = interval(
            Duration::from_millis(self.settings.lease_ms / 3).max(Duration::from_millis(1)),
        );
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let held = self.desk.in_flight();
            let began = Instant::now();
            for batch in held.chunks(BATCH) {
                if let Err(error) = self.renew_batch(batch).await {
                    tracing::debug!(
                        error = &error as &dyn std::error::Error,
                        "leases were not renewed"
                    );
                }
            }
            tracing::trace!(holds = held.len(), took = ?began.elapsed(), "leases renewed");
        }
    }

    async fn renew_batch(&self, batch: &[(OrganizationId, RequestId)]) -> Result<(), Unavailable> {
        const LOST: i64 = 0;
        let link = self
            .redis
            .link(self.redis.deadline())
            .await
            .map_err(|error| self.failed(error))?;
        let call = self.write_renewal(batch);
        let reply = self.run_script(&link, &call).await?.numbers;
        let lost: Vec<RequestId> = batch
            .iter()
            .zip(reply)
            .filter_map(|((_, id), answer)| (answer == LOST).then_some(*id))
            .collect();
        self.assert_unbooked(&lost).await
    }

    fn write_renewal(&self, batch: &[(OrganizationId, RequestId)]) -> Call<'_> {
        script::with_scratch(|scratch| {
            let keys = 1 + batch.len();
            let mut call = Call::new(&self.scripts.renew, keys, keys * 96);
            script::push_number(&mut call, &self.redis, &mut scratch.name);
            for (organization, id) in batch {
                self.redis
                    .names()
                    .hold(&mut scratch.name, *organization, *id);
                call.push(&scratch.name);
            }
            call.push(itoa::Buffer::new().format(self.settings.lease_ms));
            call
        })
    }
}
