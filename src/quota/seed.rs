//! Unknown counters begin from the books: one question per organization at a time, for all who wait.

use std::collections::{HashMap, HashSet};

use futures::{StreamExt, stream::FuturesUnordered};
use tokio::{
    sync::{mpsc::UnboundedReceiver, oneshot},
    time::timeout,
};

use super::{
    Ledger, Limit, Unavailable,
    counter::{Counter, Shape},
    hold::Counters,
    script,
    store::{BooksAway, Span},
};
use crate::{
    base::{Moment, OrganizationId},
    store::redis::Call,
};

/// How long the books may take to answer.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(2);

/// Past every clock's error: what is booked a little ahead of Redis's clock was spent, too.
const AHEAD_MS: i64 = 86_400_000;

/// Somebody who waits until some counters are known.
pub(super) struct Wanted {
    organization: OrganizationId,
    limits: Vec<Limit>,
    at: Moment,
    done: oneshot::Sender<Result<(), Unavailable>>,
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
        let mut questions = FuturesUnordered::new();
        loop {
            tokio::select! {
                Some(wanted) = inbox.recv() => {
                    waiting.entry(wanted.organization).or_default().add(wanted);
                }
                Some(organization) = questions.next(), if !questions.is_empty() => {
                    busy.remove(&organization);
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
                questions.push(self.serve(organization, batch));
            }
        }
    }

    async fn serve(&self, organization: OrganizationId, batch: Batch) -> OrganizationId {
        let limits: Vec<(Counter, Limit)> = batch.limits.into_iter().collect();
        let result = self.seed_from_books(organization, &limits, batch.at).await;
        if let Err(error) = &result {
            tracing::warn!(
                error = error as &dyn std::error::Error,
                "counters could not be seeded"
            );
        }
        for waiting in batch.waiting {
            let answer = if result.is_ok() {
                Ok(())
            } else {
                Err(Unavailable::Rebuilding)
            };
            // Whoever went away meanwhile needs no answer.
            let _ = waiting.send(answer);
        }
        organization
    }

    async fn seed_from_books(
        &self,
        organization: OrganizationId,
        limits: &[(Counter, Limit)],
        at: Moment,
    ) -> Result<(), Unavailable> {
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
                (
                    at.millis().saturating_sub(length),
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
            let keys = limits.len() + 1;
            let mut call = Call::new(&self.scripts.seed, keys, keys * 96 + 128);
            names.epoch(&mut scratch.name);
            call.push(&scratch.name);
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
