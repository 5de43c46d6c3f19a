//! What the ledger does by itself: tells Redis how holds ended, renews leases, and tells it again what is not in the
//! books when it lost its memory.

use std::{
    future::Future,
    sync::{Arc, PoisonError},
    time::Duration,
};

use tokio::{
    sync::mpsc::UnboundedReceiver,
    time::{Instant, sleep, timeout},
};

use super::{
    Actual, Ledger, Unavailable,
    desk::Account,
    hold::{Counters, End, Ending},
    ledger::Epoch,
    script::{self, Numbers, OTHER_EPOCH},
};
use crate::{
    base::{OrganizationId, RequestId},
    store::redis::{Call, RedisError},
};

/// How many holds one call ends, renews or asserts: long enough to pay, short enough not to block Redis.
const BATCH: usize = 64;

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

    /// Tells Redis everything that is not in the books.
    pub(super) async fn assert_everything(&self) -> Result<(), Unavailable> {
        self.assert_unbooked(&self.desk.unbooked()).await?;
        for batch in self.desk.sums().chunks(BATCH) {
            self.assert_accounts(batch).await?;
        }
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
            .push(account.age_ms())
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
        let lease = Duration::from_millis(self.settings.lease_ms).max(Duration::from_millis(3));
        loop {
            let held = self.desk.in_flight();
            let began = Instant::now();
            let mut pause = lease / 3;
            for batch in held.chunks(BATCH) {
                if let Err(error) = self.renew_batch(batch).await {
                    pause = lease / 12;
                    tracing::debug!(
                        error = &error as &dyn std::error::Error,
                        "leases were not renewed"
                    );
                }
            }
            tracing::trace!(holds = held.len(), took = ?began.elapsed(), "leases renewed");
            sleep(pause).await;
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
        let reply = self.run_script(&link, &call).await?;
        if reply.kind() == Some(OTHER_EPOCH) {
            self.beat_wanted.notify_one();
            return Err(Unavailable::Rebuilding);
        }
        let lost: Vec<RequestId> = batch
            .iter()
            .zip(reply.numbers)
            .filter_map(|((_, id), answer)| (answer == LOST).then_some(*id))
            .collect();
        self.assert_unbooked(&lost).await
    }

    fn write_renewal(&self, batch: &[(OrganizationId, RequestId)]) -> Call<'_> {
        script::with_scratch(|scratch| {
            let keys = 2 + batch.len();
            let mut call = Call::new(&self.scripts.renew, keys, keys * 96);
            script::push_epoch(&mut call, &self.redis, &mut scratch.name);
            for (organization, id) in batch {
                self.redis
                    .names()
                    .hold(&mut scratch.name, *organization, *id);
                call.push(&scratch.name);
            }
            call.push(&self.epoch.load().token());
            call.push(itoa::Buffer::new().format(self.settings.lease_ms));
            call
        })
    }
}
