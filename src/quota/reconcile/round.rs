//! One round: counters, holds and books, looked at in this order, and what nothing accounts for is corrected.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use rand::RngExt as _;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use super::board::{Answer, Board, Phase, Stage};
use crate::{
    base::{Moment, OrganizationId},
    quota::{Ledger, Limit, Meter, Span, counter::Counter, store::BooksAway},
    store::redis::{Call, RedisError},
};

/// How many limits one round looks at.
const PAGE: usize = 1_000;

/// How many counters one call to Redis reads or corrects.
const BATCH: usize = 64;

/// How long proxies may take to answer.
const PATIENCE: Duration = Duration::from_secs(8);

/// How long the books may take.
const BOOKS_PATIENCE: Duration = Duration::from_secs(5);

/// How often is looked whether all have answered.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// By how much a call's own time may lie before its window, whose clock is Redis's.
const EDGE_MS: i64 = 60_000;

/// What a round came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// How many counters were corrected.
    pub(super) corrected: u64,
    /// By how much counters of money were off altogether.
    pub(super) drift_nano_usd: u64,
}

/// Why a round came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoRound {
    #[error(transparent)]
    Redis(#[from] RedisError),
    #[error(transparent)]
    Books(#[from] BooksAway),
    #[error("a proxy did not answer, or was unsure")]
    Silence,
    #[error("the round was given up, or Redis lost its memory meanwhile")]
    Void,
}

/// One counter that is compared.
struct Line {
    organization: OrganizationId,
    limit: Limit,
    counter: Counter,
    name: String,
    start: i64,
    end: i64,
    /// What Redis has; `None` when that is not known.
    used: Option<u64>,
}

/// What is to be changed.
struct Correction<'a> {
    line: &'a Line,
    by: i64,
}

impl Ledger {
    /// Opens a round when it is time for one and brings it to its end; `None` while another proxy is at it.
    pub(super) async fn round(
        &self,
        board: &Board,
        every: Duration,
    ) -> Result<Option<Tally>, NoRound> {
        let round = rand::rng().random_range(1..1 << 48);
        let Some(now) = board.open(round, every).await? else {
            return Ok(None);
        };
        let compared = self.compare(board, round, now).await;
        board.close().await?;
        compared.map(Some)
    }

    async fn compare(&self, board: &Board, round: u64, now: Moment) -> Result<Tally, NoRound> {
        let epoch = self.epoch.load_full();
        let mut lines = self.lines(now).await?;
        let ready = Stage {
            round,
            phase: Phase::Ready,
        };
        self.hear(board, ready).await?;
        let before = self.spent_on(&lines, 0).await?;
        for batch in by_home(&mut lines) {
            self.read_used(epoch.id, batch).await?;
        }
        if !board.ask(round).await? {
            return Err(NoRound::Void);
        }
        let answer = Stage {
            round,
            phase: Phase::Answer,
        };
        let standing = self.hear(board, answer).await?;
        let after = self.spent_on(&lines, EDGE_MS).await?;
        if !epoch.is_ready || self.epoch.load().id != epoch.id {
            return Err(NoRound::Void);
        }
        let books = before.into_iter().zip(after);
        let corrections = lines
            .iter()
            .zip(books)
            .filter_map(|(line, (before, after))| {
                let held = standing.get(&(line.name.clone(), line.start));
                let by = line.correction(held.copied().unwrap_or_default(), before, after)?;
                Some(Correction { line, by })
            });
        self.correct(epoch.id, now, corrections.collect()).await
    }

    /// Returns the next page of limits, as counters of the windows that are current at `now`.
    async fn lines(&self, now: Moment) -> Result<Vec<Line>, NoRound> {
        let after = *lock(&self.reconciled_to);
        let limits = timeout(BOOKS_PATIENCE, self.books.calendar_limits(after, PAGE));
        let limits = limits.await.map_err(|late| BooksAway(Box::new(late)))??;
        let last = limits.last().filter(|_| limits.len() == PAGE);
        *lock(&self.reconciled_to) = last.map_or(Uuid::nil(), |(_, limit)| limit.id);
        let lines = limits.into_iter().map(|(organization, limit)| {
            let counter = Counter::of(&limit, organization);
            let spans = counter.spans(&self.calendar, now);
            let mut name = String::new();
            counter.name(self.redis.names(), self.settings.lease_ms, &mut name);
            Line {
                organization,
                limit,
                counter,
                name,
                start: spans.start,
                end: spans.end,
                used: None,
            }
        });
        let mut lines: Vec<Line> = lines.collect();
        lines.sort_by_key(Line::home);
        Ok(lines)
    }

    /// Waits until every living proxy has come so far, and adds up what they answer.
    async fn hear(
        &self,
        board: &Board,
        stage: Stage,
    ) -> Result<HashMap<(String, i64), u64>, NoRound> {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(answers) = board.answers(stage).await? {
                return sum(stage, answers);
            }
            if until < Instant::now() {
                return Err(NoRound::Silence);
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Returns what the books say of each line, from `edge_ms` before its window on.
    async fn spent_on(&self, lines: &[Line], edge_ms: i64) -> Result<Vec<u64>, NoRound> {
        let mut asked: BTreeMap<OrganizationId, Vec<(usize, Span)>> = BTreeMap::new();
        for (place, line) in lines.iter().enumerate() {
            let span = Span {
                id: line.limit.id,
                subject: line.limit.subject,
                meter: line.limit.meter,
                from: line.start - edge_ms,
                to: line.end,
            };
            asked
                .entry(line.organization)
                .or_default()
                .push((place, span));
        }
        let mut spent = vec![0; lines.len()];
        for (organization, asked) in asked {
            let (places, spans): (Vec<usize>, Vec<Span>) = asked.into_iter().unzip();
            let answer = timeout(BOOKS_PATIENCE, self.books.spent(organization, &spans));
            let answer = answer.await.map_err(|late| BooksAway(Box::new(late)))??;
            for (place, amount) in places.into_iter().zip(answer) {
                if let Some(known) = spent.get_mut(place) {
                    *known = amount;
                }
            }
        }
        Ok(spent)
    }

    /// Reads what Redis has for some lines of one home.
    async fn read_used(&self, epoch: u64, lines: &mut [Line]) -> Result<(), NoRound> {
        let mut call = Call::new(&self.scripts.standing, lines.len(), lines.len() * 128);
        for line in &*lines {
            call.push(&line.name);
        }
        call.push(&epoch.to_string());
        let link = self.redis.link(self.redis.deadline()).await?;
        let reply = self.redis.run(&link, &call, self.redis.deadline()).await?;
        let (pairs, _) = reply.as_chunks::<2>();
        for (line, [start, used]) in lines.iter_mut().zip(pairs) {
            if *start == line.start {
                line.used = u64::try_from(*used).ok();
            }
        }
        Ok(())
    }

    async fn correct(
        &self,
        epoch: u64,
        opened: Moment,
        corrections: Vec<Correction<'_>>,
    ) -> Result<Tally, NoRound> {
        let mut tally = Tally::default();
        for some in corrections.chunk_by(|a, b| a.line.home() == b.line.home()) {
            for batch in some.chunks(BATCH) {
                let mut call = Call::new(&self.scripts.correct, batch.len(), batch.len() * 160);
                for one in batch {
                    call.push(&one.line.name);
                }
                call.push(&epoch.to_string())
                    .push(&opened.millis().to_string());
                for one in batch {
                    call.push(&one.line.start.to_string())
                        .push(&one.by.to_string());
                }
                let link = self.redis.link(self.redis.deadline()).await?;
                let reply = self.redis.run(&link, &call, self.redis.deadline()).await?;
                let done = batch.iter().zip(reply).filter(|(_, done)| *done == 1);
                done.for_each(|(one, _)| tally.note(one));
            }
        }
        Ok(tally)
    }
}

/// Returns what a counter has that neither the holds, looked at after it, nor the books, looked at after these, account
/// for.
pub(super) fn surplus(used: u64, held: u64, booked: u64) -> u64 {
    used.saturating_sub(held.saturating_add(booked))
}

impl Tally {
    fn note(&mut self, correction: &Correction<'_>) {
        let Limit { id, meter, .. } = correction.line.limit;
        tracing::warn!(limit.id = %id, ?meter, by = correction.by, "a counter was off and is corrected");
        self.corrected += 1;
        if meter == Meter::NanoUsd {
            let by = correction.by.unsigned_abs();
            self.drift_nano_usd = self.drift_nano_usd.saturating_add(by);
        }
    }
}

impl Line {
    /// Returns by how much the counter must change: down by what neither the holds, at most `held`, nor the books,
    /// afterwards, account for; or up to what was in the books before it was read.
    fn correction(&self, held: u64, before: u64, after: u64) -> Option<i64> {
        let used = self.used?;
        let by = match surplus(used, held, after) {
            0 => i64::try_from(before.saturating_sub(used)).ok()?,
            surplus => -i64::try_from(surplus).ok()?,
        };
        (by != 0).then_some(by)
    }

    /// Returns whose slot of a cluster the counter lies in.
    fn home(&self) -> Uuid {
        self.counter.home()
    }
}

/// Returns lines in the order of their homes in batches that one script may read.
fn by_home(lines: &mut [Line]) -> impl Iterator<Item = &mut [Line]> {
    lines
        .chunk_by_mut(|a, b| a.home() == b.home())
        .flat_map(|home| home.chunks_mut(BATCH))
}

fn sum(
    stage: Stage,
    answers: HashMap<String, Answer>,
) -> Result<HashMap<(String, i64), u64>, NoRound> {
    let mut sums = HashMap::new();
    for answer in answers.into_values() {
        if stage.phase == Phase::Answer && !answer.is_clear {
            return Err(NoRound::Silence);
        }
        for (name, start, amount) in answer.standing {
            let sum: &mut u64 = sums.entry((name, start)).or_default();
            *sum = sum.saturating_add(amount);
        }
    }
    Ok(sums)
}

fn lock(place: &std::sync::Mutex<Uuid>) -> std::sync::MutexGuard<'_, Uuid> {
    place
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
