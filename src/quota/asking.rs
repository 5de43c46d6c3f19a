//! How the ledger asks Redis: past everything that can be mended meanwhile, within a deadline.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time::{Instant, sleep, timeout_at};

use super::{
    Hold, Ledger, Unavailable,
    answer::{Answer, Obstacle, read_answer},
    desk::Account,
    form::Form,
    hold::Counters,
    ledger::Epoch,
    script::{self, Reply},
};
use crate::{
    base::{Moment, RequestId},
    store::redis::{Call, Link, RedisError},
};

impl Ledger {
    /// Opens the account of a call Redis has just admitted.
    pub(super) async fn open(
        &self,
        form: &Form<'_>,
        bid: usize,
        at: Moment,
        epoch: u64,
    ) -> Result<Hold, Unavailable> {
        let account = Account::new(form.organization, at, form.charges(bid));
        self.desk.open(form.id, account);
        let hold = Hold::of(form.id, form.organization, Arc::clone(&self.desk));
        match self.assert_if_other_than(epoch, form.id).await {
            Ok(()) => Ok(hold),
            Err(unavailable) => {
                self.cancel(hold);
                Err(unavailable)
            }
        }
    }

    /// Asserts a hold when an epoch began while it was being admitted: the others may have been asserted before it
    /// had its account.
    pub(super) async fn assert_if_other_than(
        &self,
        epoch: u64,
        id: RequestId,
    ) -> Result<(), Unavailable> {
        if self.epoch.load().id == epoch {
            return Ok(());
        }
        self.assert_unbooked(&[id]).await
    }

    /// Asks until there is an answer, past everything that can be mended meanwhile.
    pub(super) async fn ask(&self, form: &Form<'_>, now: Moment) -> Result<Answer, Unavailable> {
        let until = Instant::now() + Duration::from_millis(self.settings.rebuild_patience_ms);
        let mut now = now;
        while Instant::now() < until {
            match self.ask_once(form, now).await? {
                Ok(answer) => return Ok(answer),
                Err(Obstacle::Clock(theirs)) => now = theirs,
                Err(Obstacle::Epoch) => self.wait_for_epoch(until).await,
                Err(Obstacle::Closed(wait)) => {
                    if until < Instant::now() + wait {
                        break;
                    }
                    sleep(wait).await;
                }
                Err(Obstacle::Unseeded(at, lines)) => {
                    let limits = form.limits(&lines);
                    timeout_at(until, self.seed(form.organization, limits, at))
                        .await
                        .map_err(|_| Unavailable::Rebuilding)??;
                }
            }
        }
        Err(Unavailable::Rebuilding)
    }

    pub(super) async fn ask_once(
        &self,
        form: &Form<'_>,
        now: Moment,
    ) -> Result<Result<Answer, Obstacle>, Unavailable> {
        if self.is_evicting.load(Ordering::Relaxed) {
            return Err(Unavailable::Evicts);
        }
        let link = self.link().await?;
        let epoch = self.epoch.load_full();
        let is_known = self.is_known.load(Ordering::Acquire);
        if !is_known || !epoch.is_ready || epoch.server != link.server {
            return Ok(Err(Obstacle::Epoch));
        }
        let call = self.write_admission(form, &epoch, now);
        let reply = match self.run_script(&link, &call).await {
            Ok(reply) => reply,
            Err(error) => {
                if !matches!(
                    error,
                    Unavailable::Redis(RedisError::Refused(_)) | Unavailable::Shut
                ) {
                    self.regret(form);
                }
                return Err(error);
            }
        };
        tracing::trace!(exchange.id = %form.id, number = reply.number, kind = reply.kind(), "decided");
        read_answer(&reply, epoch.id, form).ok_or_else(|| RedisError::Garbled.into())
    }

    /// Undoes an admission that may have happened. An adjustment is not undone: its hold is settled anyway.
    fn regret(&self, form: &Form<'_>) {
        if form.is_move() {
            self.desk.watch.doubt(form.id);
        } else if !form.bids.is_empty() {
            self.desk.void(form.organization, form.id);
        }
    }

    fn write_admission(&self, form: &Form<'_>, epoch: &Epoch, now: Moment) -> Call<'_> {
        script::with_scratch(|scratch| {
            let names = self.redis.names();
            let keys = form.lines.len() + 3;
            let mut call = Call::new(&self.scripts.admit, keys, keys * 96 + 256);
            script::push_epoch(&mut call, &self.redis, &mut scratch.name);
            names.hold(&mut scratch.name, form.organization, form.id);
            call.push(&scratch.name);
            for line in &form.lines {
                line.counter
                    .name(names, self.settings.lease_ms, &mut scratch.name);
                call.push(&scratch.name);
            }
            form.write(
                self.settings.lease_ms,
                &self.calendar,
                now,
                &mut scratch.numbers,
            );
            call.push(&epoch.token());
            call.push(scratch.numbers.finish());
            call
        })
    }

    async fn link(&self) -> Result<Arc<Link>, Unavailable> {
        if !self.breaker.permits() {
            return Err(Unavailable::Shut);
        }
        let link = self.redis.link(self.redis.deadline()).await;
        link.map_err(|error| self.failed(error))
    }

    /// Runs a script within the deadline and tells the breaker how it went.
    pub(super) async fn run_script(
        &self,
        link: &Link,
        call: &Call<'_>,
    ) -> Result<Reply, Unavailable> {
        match self.redis.run(link, call, self.redis.deadline()).await {
            Ok(reply) => {
                self.heard();
                Ok(Reply::of(reply)?)
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    pub(super) fn heard(&self) {
        self.breaker.heard();
        if self.is_complaining.swap(false, Ordering::Relaxed) {
            tracing::info!("redis answers again");
        }
    }

    /// Counts a failure; says so once, not once per call.
    pub(super) fn failed(&self, error: RedisError) -> Unavailable {
        Counters::add(&self.desk.counters.redis_errors, 1);
        match error {
            RedisError::Late => self.breaker.silent(),
            RedisError::Unreachable(_) => self.breaker.failed(),
            RedisError::Address(_) | RedisError::Refused(_) | RedisError::Garbled => {}
        }
        if !self.is_complaining.swap(true, Ordering::Relaxed) {
            tracing::warn!(error = &error as &dyn std::error::Error, "redis fails");
        }
        Unavailable::Redis(error)
    }
}
