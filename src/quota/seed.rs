//! Unknown counters begin from the books: one question per organization at a time, for all who wait.

use std::{
    collections::{HashMap, HashSet},
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::{
    sync::{mpsc::UnboundedReceiver, oneshot},
    time::{sleep, timeout},
};

use super::{
    Ledger, Limit, Unavailable,
    counter::{Counter, Shape},
    hold::Counters,
    script,
    store::{BooksAway, Span},
    turn::Turn,
};
use crate::{
    base::{Clock, Moment, OrganizationId},
    store::redis::Call,
};

/// How long the books may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long an answer of Redis may have been under way when the counters it missed were seeded.
const RECENT: Duration = Duration::from_millis(100);

/// How long is waited before it is looked again what another proxy has made known.
const OTHERS_TURN: Duration = Duration::from_millis(20);

/// Past every clock's error: what is booked a little ahead of Redis's clock was spent, too.
const AHEAD_MS: i64 = 86_400_000;

/// Somebody who waits until some counters are known.
pub(super) struct Wanted {
    organization: OrganizationId,
    limits: Vec<Limit>,
    at: Moment,
    done: oneshot::Sender<Result<(), Unavailable>>,
}

/// Counters that were made known a moment ago: whoever was told otherwise just before need not ask the books.
struct Seeded {
    epoch: u64,
    at: Instant,
    counters: HashSet<Counter>,
}

impl Seeded {
    fn covers(&self, wanted: &Wanted, epoch: u64) -> bool {
        let organization = wanted.organization;
        self.epoch == epoch
            && self.at.elapsed() < RECENT
            && wanted
                .limits
                .iter()
                .all(|limit| self.counters.contains(&Counter::of(limit, organization)))
    }
}

/// For whom the books were asked, and what is known since.
type Served = (OrganizationId, Option<Seeded>);

/// Why counters stay unknown.
#[derive(Debug, thiserror::Error)]
enum Unseeded {
    #[error(transparent)]
    Books(#[from] BooksAway),
    #[error(transparent)]
    Redis(#[from] Unavailable),
}

/// All who wait for one organization, since the last question for it was asked.
#[derive(Default)]
struct Batch {
    at: Moment,
    limits: HashMap<Counter, Limit>,
    waiting: Vec<oneshot::Sender<Result<(), Unavailable>>>,
}

impl Batch {
    fn add(&mut self, wanted: Wanted) {
        self.at = self.at.max(wanted.at);
        let counters = wanted.limits.into_iter();
        let organization = wanted.organization;
        self.limits
            .extend(counters.map(|limit| (Counter::of(&limit, organization), limit)));
        self.waiting.push(wanted.done);
    }
}

impl Ledger {
    /// Makes counters known, together with everybody else who needs it for this organization.
    pub(super) async fn seed(
        &self,
        organization: OrganizationId,
        limits: Vec<Limit>,
        at: Moment,
    ) -> Result<(), Unavailable> {
        let (done, answer) = oneshot::channel();
        let _ = self.wanted.send(Wanted {
            organization,
            limits,
            at,
            done,
        });
        answer.await.unwrap_or(Err(Unavailable::Rebuilding))
    }

    /// Serves all who wait, forever.
    pub(super) async fn serve_seeds(&self, mut inbox: UnboundedReceiver<Wanted>) {
        let mut waiting: HashMap<OrganizationId, Batch> = HashMap::new();
        let mut busy: HashSet<OrganizationId> = HashSet::new();
        let mut recent: HashMap<OrganizationId, Seeded> = HashMap::new();
        let mut questions = FuturesUnordered::<BoxFuture<'_, Served>>::new();
        loop {
            tokio::select! {
                Some(wanted) = inbox.recv() => {
                    let seeded = recent.get(&wanted.organization);
                    if seeded.is_some_and(|seeded| seeded.covers(&wanted, self.epoch.load().id)) {
                        let _ = wanted.done.send(Ok(()));
                        continue;
                    }
                    waiting.entry(wanted.organization).or_default().add(wanted);
                }
                Some((organization, seeded)) = questions.next(), if !questions.is_empty() => {
                    busy.remove(&organization);
                    recent.retain(|_, seeded: &mut Seeded| seeded.at.elapsed() < RECENT);
                    if let Some(seeded) = seeded {
                        recent.insert(organization, seeded);
                    }
                }
                else => return,
            }
            let ready: Vec<OrganizationId> = waiting
                .keys()
                .filter(|organization| !busy.contains(*organization))
                .copied()
                .collect();
            for organization in ready {
                let batch = waiting.remove(&organization).unwrap_or_default();
                busy.insert(organization);
                questions.push(Box::pin(self.serve(organization, batch)));
            }
        }
    }

    async fn serve(&self, organization: OrganizationId, batch: Batch) -> Served {
        let epoch = self.epoch.load().id;
        let limits: Vec<(Counter, Limit)> = batch.limits.into_iter().collect();
        let counters = limits.iter().map(|(counter, _)| counter);
        let result = match self.take_turn(organization, counters).await {
            Turn::Ours(own) => {
                let result = self.seed_from_books(organization, &limits, batch.at).await;
                self.give_turn(organization, &own).await;
                result
            }
            Turn::Over => Ok(()),
            Turn::Others => {
                // Whoever waits looks again whether the other proxy has made them known.
                sleep(OTHERS_TURN).await;
                batch.waiting.into_iter().for_each(|waiting| {
                    let _ = waiting.send(Ok(()));
                });
                return (organization, None);
            }
        };
        self.complain(&result);
        for waiting in batch.waiting {
            let answer = match &result {
                Ok(()) => Ok(()),
                Err(Unseeded::Books(_)) => Err(Unavailable::Books),
                Err(Unseeded::Redis(_)) => Err(Unavailable::Rebuilding),
            };
            // Whoever went away meanwhile needs no answer.
            let _ = waiting.send(answer);
        }
        let seeded = result.is_ok().then(|| Seeded {
            epoch,
            at: Instant::now(),
            counters: limits.into_iter().map(|(counter, _)| counter).collect(),
        });
        (organization, seeded)
    }

    /// Says once that the books are away, not once per call.
    fn complain(&self, result: &Result<(), Unseeded>) {
        let is_away = matches!(result, Err(Unseeded::Books(_)));
        let was_away = self.misses_books.swap(is_away, Ordering::Relaxed);
        match result {
            Err(error) if !was_away => {
                tracing::warn!(
                    error = error as &dyn std::error::Error,
                    "counters could not be seeded"
                );
            }
            Ok(()) if was_away => tracing::info!("counters can be seeded again"),
            Ok(()) | Err(_) => {}
        }
    }

    async fn seed_from_books(
        &self,
        organization: OrganizationId,
        limits: &[(Counter, Limit)],
        at: Moment,
    ) -> Result<(), Unseeded> {
        let spans: Vec<Span> = limits
            .iter()
            .map(|(counter, limit)| self.span(counter, limit, at))
            .collect();
        let spent = timeout(PATIENCE, self.books.spent(organization, &spans))
            .await
            .map_err(|late| BooksAway(Box::new(late)))??;
        let link = self
            .redis
            .link(self.redis.deadline())
            .await
            .map_err(|error| self.failed(error))?;
        let call = self.write_seed(limits, &spent, at);
        self.run_script(&link, &call).await?;
        Counters::add(&self.desk.counters.seeds, limits.len() as u64);
        Ok(())
    }

    /// What to ask the books: the calendar window, or as much as the ring covers.
    fn span(&self, counter: &Counter, limit: &Limit, at: Moment) -> Span {
        let (from, to) = match counter.shape() {
            Shape::Calendar => {
                let spans = counter.spans(&self.calendar, at);
                (spans.start, spans.end)
            }
            Shape::Ring(length) => {
                let length = i64::try_from(length).unwrap_or(i64::MAX);
                // Calls are booked by the proxies' clocks; Redis's may be ahead of them.
                let now = at.min(Clock::System.now());
                (
                    now.millis().saturating_sub(length),
                    at.millis().saturating_add(AHEAD_MS),
                )
            }
            Shape::InFlight => (at.millis(), at.millis()),
        };
        Span {
            id: limit.id,
            subject: limit.subject,
            meter: limit.meter,
            from,
            to,
        }
    }

    fn write_seed(&self, limits: &[(Counter, Limit)], spent: &[u64], at: Moment) -> Call<'_> {
        script::with_scratch(|scratch| {
            let names = self.redis.names();
            let keys = limits.len() + 2;
            let mut call = Call::new(&self.scripts.seed, keys, keys * 96 + 128);
            script::push_epoch(&mut call, &self.redis, &mut scratch.name);
            for ((counter, _), spent) in limits.iter().zip(spent) {
                counter.name(names, self.settings.lease_ms, &mut scratch.name);
                call.push(&scratch.name);
                let spans = counter.spans(&self.calendar, at);
                let width = match counter.shape() {
                    Shape::Ring(length) => length / 24,
                    Shape::InFlight | Shape::Calendar => 0,
                };
                scratch
                    .numbers
                    .push(width)
                    .push(*spent)
                    .push_millis(spans.start)
                    .push_millis(spans.end);
            }
            call.push(&self.epoch.load().token());
            call.push(scratch.numbers.finish());
            call
        })
    }
}
