//! The beat: looks several times a second which memory Redis has, whether it may be relied on, and what its clock does.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use rand::RngExt as _;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::{
    Ledger, Unavailable,
    clock::{ClockWatch, Told},
    hold::Counters,
    ledger::Epoch,
    script::{self, Reply},
};
use crate::{
    base::{Clock, Moment},
    store::redis::{Call, Link, RedisError, Unready},
};

/// How long a beat may take before its connection is given up. Longer than a caller's deadline: the beat that waits
/// is the first to hear that Redis is back.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often is looked whether Redis would evict counters.
const LOOK_AT_POLICY: Duration = Duration::from_secs(1);

/// What a beat says of the clock when the script is in doubt: what it said at the last beat, what it says now, and how
/// many milliseconds truly passed between the two.
#[derive(Clone, Copy, Debug, Default)]
struct Vouch {
    seen: Moment,
    at: Moment,
    passed_ms: i64,
}

/// What the beats know of each other.
#[derive(Default)]
struct Watch {
    clock: ClockWatch,
    /// Which server's policy was looked at, and when.
    policy: Option<(String, Instant)>,
}

/// What a beat heard.
struct Heard {
    told: Told,
    /// The clock at the last beat, when nobody knows yet whether it jumped since.
    doubt: Option<Moment>,
}

impl Ledger {
    /// Looks every now and then which epoch this is, and at once when somebody wants to know.
    pub(super) async fn beat(&self) {
        let mut ticks = interval(Duration::from_millis(self.settings.beat_ms()));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut watch = Watch::default();
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.beat_wanted.notified() => {}
            }
            if let Err(error) = self.beat_once(&mut watch).await {
                tracing::debug!(error = &error as &dyn std::error::Error, "a beat failed");
                sleep(Duration::from_millis(10)).await;
            }
        }
    }

    async fn beat_once(&self, watch: &mut Watch) -> Result<(), Unavailable> {
        let link = match self.redis.link(PATIENCE).await {
            Ok(link) => link,
            Err(error) => return Err(self.failed(error)),
        };
        self.look_at_policy(&link, &mut watch.policy).await;
        let clock = &mut watch.clock;
        let mut heard = self.look(&link, Vouch::default()).await?;
        if let Some(seen) = heard.doubt {
            let vouch = self.vouch(clock, &heard.told, seen);
            heard = self.look(&link, vouch).await?;
            self.epoch_changed.notify_waiters();
        }
        if heard.doubt.is_some() {
            return Err(Unavailable::Rebuilding);
        }
        let told = heard.told;
        if let Some(jump_ms) = clock.note(told, std::time::Instant::now()) {
            Counters::add(&self.desk.counters.clock_jumps, 1);
            tracing::warn!(jump_ms, "redis's clock jumped");
        }
        self.adopt(&told, &link.server).await?;
        self.desk
            .prune(&self.calendar, told.at, std::time::Instant::now());
        Ok(())
    }

    /// Looks every now and then, and first of all at a server that is new, whether Redis would evict counters: then
    /// nothing is held until that is mended.
    async fn look_at_policy(&self, link: &Link, looked: &mut Option<(String, Instant)>) {
        let is_due = |(server, at): &(String, Instant)| {
            *server != link.server || LOOK_AT_POLICY <= at.elapsed()
        };
        if !looked.as_ref().is_none_or(is_due) {
            return;
        }
        let is_evicting = match self.redis.ready().await {
            Ok(()) => false,
            Err(Unready::Evicts(_)) => true,
            // Whoever is away holds nothing anyway; it is looked at again once it is back.
            Err(Unready::Away(_)) => return,
        };
        *looked = Some((link.server.clone(), Instant::now()));
        if self.is_evicting.swap(is_evicting, Ordering::Relaxed) != is_evicting {
            if is_evicting {
                tracing::error!(
                    "redis would evict counters: no limited call is admitted until its maxmemory-policy is noeviction"
                );
            } else {
                tracing::info!("redis evicts nothing any more");
            }
        }
    }

    /// Says how much time passed since the clock was heard last.
    fn vouch(&self, clock: &ClockWatch, told: &Told, seen: Moment) -> Vouch {
        let passed_ms = if self.scripts.is_wound {
            told.at.millis() - seen.millis()
        } else {
            clock.passed(told, seen, Clock::System.now())
        };
        Vouch {
            seen,
            at: told.at,
            passed_ms,
        }
    }

    async fn look(&self, link: &Link, vouch: Vouch) -> Result<Heard, Unavailable> {
        let call = self.write_beat(&link.server, vouch);
        let asked = std::time::Instant::now();
        let reply = match self.redis.run(link, &call, PATIENCE).await {
            Ok(reply) => reply,
            Err(error) => {
                if matches!(error, RedisError::Late) {
                    self.redis.hang_up(link);
                }
                return Err(self.failed(error));
            }
        };
        // A Redis that answers later than anybody waits is as good as silent to callers.
        if asked.elapsed() <= self.redis.deadline() {
            self.heard();
        }
        let reply = Reply::of(reply)?;
        let [id, _, shift_ms, doubt] = *reply.numbers.as_slice() else {
            return Err(RedisError::Garbled.into());
        };
        Ok(Heard {
            told: Told {
                asked,
                epoch: u64::try_from(id).unwrap_or_default(),
                at: reply.at,
                shift_ms,
            },
            doubt: (doubt != 0).then_some(Moment::from_millis(doubt)),
        })
    }

    fn write_beat(&self, server: &str, vouch: Vouch) -> Call<'_> {
        script::with_scratch(|scratch| {
            let mut call = Call::new(&self.scripts.epoch, 2, 256);
            script::push_epoch(&mut call, &self.redis, &mut scratch.name);
            let candidate: u64 = rand::rng().random_range(1..1 << 48);
            let mut digits = itoa::Buffer::new();
            call.push(digits.format(candidate));
            call.push(server);
            call.push(digits.format(self.settings.rebuild_grace_ms));
            call.push(digits.format(vouch.seen.millis()));
            call.push(digits.format(vouch.at.millis()));
            call.push(digits.format(vouch.passed_ms));
            call
        })
    }

    /// Goes by an epoch; a new one is first told everything that is not in the books.
    async fn adopt(&self, told: &Told, server: &str) -> Result<(), Unavailable> {
        let known = self.epoch.load_full();
        let is_same = known.id == told.epoch && known.server == server;
        if is_same && known.shift_ms == told.shift_ms && known.is_ready {
            return Ok(());
        }
        let coming = Epoch {
            id: told.epoch,
            server: server.to_owned(),
            shift_ms: told.shift_ms,
            is_ready: is_same && known.is_ready,
        };
        // Published before the accounts are read: whoever opens one from here on sees the change and asserts it.
        self.epoch.store(Arc::new(coming.clone()));
        if !coming.is_ready {
            if known.id != told.epoch && known.id != 0 {
                Counters::add(&self.desk.counters.rebuilds, 1);
                tracing::warn!("redis lost its memory, telling it again");
            }
            self.assert_everything().await?;
            let ready = Epoch {
                is_ready: true,
                ..coming
            };
            self.epoch.store(Arc::new(ready));
        }
        self.epoch_changed.notify_waiters();
        Ok(())
    }

    /// Wakes the beat and waits until it has found which epoch this is.
    pub(super) async fn wait_for_epoch(&self, until: Instant) {
        let changed = self.epoch_changed.notified();
        self.beat_wanted.notify_one();
        // A change between the answer and this wait is found by asking again soon.
        let soon = until.min(Instant::now() + Duration::from_millis(self.settings.beat_ms()));
        let _ = tokio::time::timeout_at(soon, changed).await;
    }
}
