//! Tells readers what changed in the books, in order, through lost connections and restarts of Postgres.
//!
//! Announcements only wake the reader; the truth is `platform.changes_since`, asked on every announcement and
//! at least once a second. So a lost, late or duplicate announcement costs a second, never a change.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Notify, broadcast, watch};
use uuid::Uuid;

use super::postgres::{Conn, Postgres, StoreError};
use crate::base::{Clock, Moment, tasks::Tasks};

/// What the books announce changes on.
const CHANNEL: &str = "synaxis_changes";
/// How long the books may go unasked; also the pause after a lost connection.
const BEAT: Duration = Duration::from_secs(1);
/// Changes read at once; a reader further behind reads everything again.
const BATCH: i32 = 5_000;
/// What stands where changes were forgotten.
const FORGOTTEN: &str = "gap";
/// How long one question may take before the books count as away.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// A reader so many batches behind reads everything again.
const BACKLOG: usize = 256;

/// What kind of thing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A key, or a limit of it.
    ApiKey,
    /// A tenant, its settings, or a limit of it.
    Organization,
    /// A team, or a limit of it.
    Group,
    /// A person, a membership, or a limit of theirs.
    User,
    /// Anything the snapshot is built from.
    Catalog,
    /// A switch of the platform.
    Switch,
    /// Something this reader does not know.
    Unknown,
}

impl Kind {
    fn of(text: &str) -> Self {
        match text {
            "api_key" => Self::ApiKey,
            "organization" => Self::Organization,
            "group" => Self::Group,
            "user" => Self::User,
            "catalog" => Self::Catalog,
            "switch" => Self::Switch,
            _ => Self::Unknown,
        }
    }
}

/// One committed change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its place in the order of commits.
    pub seq: i64,
    /// What kind of thing.
    pub kind: Kind,
    /// Which one; `None` when the whole kind is to be read again.
    pub id: Option<Uuid>,
}

/// What one look at the books brought.
#[derive(Clone, Debug)]
pub enum News {
    /// Everything committed up to `seq`, as of `at`: `changes`, which may be none.
    Changes {
        /// What changed since the news before.
        changes: Arc<[Change]>,
        /// The last change the books hold.
        seq: i64,
        /// When the books were asked.
        at: Moment,
    },
    /// The books did not answer: nothing is known of what changed since the news before.
    Silence,
    /// What came before is not known: anything read at an earlier `seq` may be old.
    Gap {
        /// The last change the books hold.
        seq: i64,
        /// When the books were asked.
        at: Moment,
    },
}

/// The one feed of a process; dropped with its last handle.
#[derive(Clone, Debug)]
pub struct Feed {
    state: Arc<State>,
    /// Ends the tasks when the last handle goes.
    alive: Arc<watch::Sender<()>>,
}

#[derive(Debug)]
struct State {
    clock: Clock,
    news: broadcast::Sender<News>,
    wake: Notify,
    is_listening: AtomicBool,
    is_answered: AtomicBool,
    seq: AtomicI64,
    answered_at: AtomicI64,
}

/// No change is known yet.
const UNKNOWN: i64 = -1;

impl Feed {
    /// Starts to follow the books; they may be away.
    #[must_use]
    pub fn start(postgres: &Postgres, clock: Clock, tasks: &Tasks) -> Self {
        let started_at = clock.now().millis();
        let state = Arc::new(State {
            clock,
            news: broadcast::Sender::new(BACKLOG),
            wake: Notify::new(),
            is_listening: AtomicBool::new(false),
            is_answered: AtomicBool::new(false),
            seq: AtomicI64::new(UNKNOWN),
            answered_at: AtomicI64::new(started_at),
        });
        let (alive, ended) = watch::channel(());
        let listening = listen(postgres.clone(), Arc::clone(&state));
        let asking = ask(postgres.clone(), Arc::clone(&state));
        tasks.spawn("feed listen", until_ended(ended.clone(), listening));
        tasks.spawn("feed ask", until_ended(ended, asking));
        Self {
            state,
            alive: Arc::new(alive),
        }
    }

    /// Returns a reader of all news from now on.
    #[must_use]
    pub fn subscribe(&self) -> Reader {
        Reader {
            news: self.state.news.subscribe(),
            state: Arc::clone(&self.state),
            ended: self.alive.subscribe(),
        }
    }

    /// Says whether announcements come in and the books answered last time.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.state.is_listening.load(Ordering::Acquire)
            && self.state.is_answered.load(Ordering::Acquire)
    }

    /// Returns how long ago the books last answered; since the start, when they never did.
    #[must_use]
    pub fn age(&self) -> Duration {
        let answered_at = Moment::from_millis(self.state.answered_at.load(Ordering::Acquire));
        self.state.clock.now().since(answered_at)
    }

    /// Returns the last change seen, or `None` while the books never answered.
    #[must_use]
    pub fn seq(&self) -> Option<i64> {
        let seq = self.state.seq.load(Ordering::Acquire);
        (seq != UNKNOWN).then_some(seq)
    }

    /// Asks the books now instead of at the next beat.
    pub fn nudge(&self) {
        self.state.wake.notify_one();
    }
}

/// One reader's place in the news.
#[derive(Debug)]
pub struct Reader {
    news: broadcast::Receiver<News>,
    state: Arc<State>,
    /// The sender of the news lives as long as `state`, so it cannot tell that the feed has ended.
    ended: watch::Receiver<()>,
}

impl Reader {
    /// Waits for the next look at the books; they are at most three seconds apart.
    ///
    /// A reader that fell behind gets a [`News::Gap`]. `None` when the feed has ended.
    pub async fn next(&mut self) -> Option<News> {
        let news = tokio::select! {
            news = self.news.recv() => news,
            _ = self.ended.changed() => return None,
        };
        match news {
            Ok(news) => Some(news),
            Err(broadcast::error::RecvError::Closed) => None,
            Err(broadcast::error::RecvError::Lagged(_)) => Some(self.gap()),
        }
    }

    /// What was missed lies before the oldest news kept, so nothing read before now is trusted.
    fn gap(&self) -> News {
        News::Gap {
            seq: self.state.seq.load(Ordering::Acquire),
            at: Moment::from_millis(self.state.answered_at.load(Ordering::Acquire)),
        }
    }
}

async fn until_ended(mut ended: watch::Receiver<()>, work: impl Future<Output = ()>) {
    tokio::select! {
        _ = ended.changed() => {}
        () = work => {}
    }
}

/// Hears announcements; each wakes the asking side. A lost connection is made again after a beat.
async fn listen(postgres: Postgres, state: Arc<State>) {
    loop {
        if let Err(error) = listen_once(&postgres, &state).await {
            if state.is_listening.swap(false, Ordering::AcqRel) {
                tracing::warn!(error = %error, "lost the change feed, asking every second until it is back");
            }
            state.wake.notify_one();
        }
        tokio::time::sleep(BEAT).await;
    }
}

async fn listen_once(postgres: &Postgres, state: &State) -> Result<(), StoreError> {
    let mut listener = postgres.listen(CHANNEL).await?;
    state.is_listening.store(true, Ordering::Release);
    loop {
        // Also before the first announcement: what was committed while nobody listened.
        state.wake.notify_one();
        listener.heard().await?;
    }
}

/// Asks the books for news on every wake and every beat.
async fn ask(postgres: Postgres, state: Arc<State>) {
    loop {
        let asked_at = state.clock.now();
        let answer = tokio::time::timeout(PATIENCE, ask_once(&postgres, &state)).await;
        let is_answered = matches!(answer, Ok(Ok(())));
        // A question that ran out while this process was stopped says nothing about the books.
        if !is_answered && state.clock.now().since(asked_at) > PATIENCE * 2 {
            continue;
        }
        if !is_answered {
            let _ = state.news.send(News::Silence);
        }
        let was_answered = state.is_answered.swap(is_answered, Ordering::AcqRel);
        if was_answered && !is_answered {
            tracing::warn!("the books do not answer, the view ages");
        }
        let _ = tokio::time::timeout(BEAT, state.wake.notified()).await;
    }
}

async fn ask_once(postgres: &Postgres, state: &State) -> Result<(), StoreError> {
    let mut conn = postgres.acquire().await?;
    // Taken before the question: what is committed while it travels is not in the answer.
    let at = state.clock.now();
    let last = state.seq.load(Ordering::Acquire);
    if last != UNKNOWN
        && let Some(changes) = changes_since(&mut conn, last).await?
    {
        let seq = changes.last().map_or(last, |change| change.seq);
        state.tell(seq, at, News::Changes { changes, seq, at });
        return Ok(());
    }
    let seq = sqlx::query_scalar!(r#"select platform.last_change() as "seq!""#)
        .fetch_one(&mut *conn)
        .await?;
    state.tell(seq, at, News::Gap { seq, at });
    Ok(())
}

/// Reads what changed after `last`, or `None` when some of it was forgotten, or it is so much that reading everything
/// again is cheaper.
async fn changes_since(conn: &mut Conn, last: i64) -> Result<Option<Arc<[Change]>>, StoreError> {
    let rows = sqlx::query!(
        r#"select seq as "seq!", kind as "kind!", id from platform.changes_since($1, $2)"#,
        last,
        BATCH
    )
    .fetch_all(conn)
    .await?;
    let has_forgotten = rows.iter().any(|row| row.kind == FORGOTTEN);
    if has_forgotten || rows.len() >= usize::try_from(BATCH).unwrap_or_default() {
        return Ok(None);
    }
    let changes = rows.into_iter().map(|row| Change {
        seq: row.seq,
        kind: Kind::of(&row.kind),
        id: row.id,
    });
    Ok(Some(changes.collect()))
}

impl State {
    fn tell(&self, seq: i64, at: Moment, news: News) {
        self.seq.store(seq, Ordering::Release);
        self.answered_at.store(at.millis(), Ordering::Release);
        // Nobody may be reading; the next reader starts from what it reads itself.
        let _ = self.news.send(news);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::Secret,
        store::postgres::{Role, Settings},
    };

    #[tokio::test]
    async fn readers_end_with_their_feed_also_while_the_books_are_away() {
        let settings = Settings {
            url: Secret::new("postgres://nobody@127.0.0.1:1/none".to_owned()),
            acquire_timeout_ms: 50,
            ..Settings::default()
        };
        let postgres = Postgres::connect(&settings, Role::Proxy).expect("lazy");
        let tasks = Tasks::default();
        let feed = Feed::start(&postgres, Clock::default(), &tasks);
        let mut reader = feed.subscribe();

        drop(feed);

        let to_the_end = async { while reader.next().await.is_some() {} };
        let ended = tokio::time::timeout(Duration::from_secs(5), to_the_end).await;
        assert!(ended.is_ok());
        assert!(tasks.wait(Duration::from_secs(5)).await);
    }
}
