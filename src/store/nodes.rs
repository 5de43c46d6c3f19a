//! Tells the books that this process is alive, and lists those that are.

use std::{future::Future, pin::pin, time::Duration};

use chrono::{DateTime, Utc};

use super::postgres::{Conn, Postgres, StoreError};
use crate::base::{Clock, Moment, NodeId, Page, Paging};

/// How often a process tells that it is alive.
const EVERY: Duration = Duration::from_secs(10);

/// Which plane a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The data plane.
    Proxy,
    /// The sidecar.
    Admin,
}

impl Kind {
    /// Returns the word the books use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Proxy => "proxy",
            Self::Admin => "admin",
        }
    }
}

/// The snapshot a process works with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The last change it contains.
    pub seq: i64,
    /// When it was read.
    pub taken_at: Moment,
}

/// Beats until `shutdown` ends, then takes the row away. Nothing ever waits for it.
pub async fn beat(
    postgres: Postgres,
    clock: Clock,
    kind: Kind,
    seen: impl Fn() -> Option<Seen> + Send,
    shutdown: impl Future<Output = ()> + Send,
) {
    let mut shutdown = pin!(shutdown);
    let started_at = clock.now();
    let id = NodeId::new(started_at);
    let host = host();
    loop {
        let row = Row {
            id,
            kind,
            host: &host,
            started_at,
            seen: seen(),
        };
        if let Err(error) = tell(&postgres, &row).await {
            tracing::debug!(%error, "the books were not told that this process is alive");
        }
        tokio::select! {
            () = &mut shutdown => break,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
    // Whoever cannot say good-bye goes silent, and after a day the row goes.
    let _left = leave(&postgres, id).await;
}

/// What this machine is called.
#[must_use]
pub fn host() -> String {
    let name = rustix::system::uname();
    name.nodename().to_string_lossy().into_owned()
}

struct Row<'a> {
    id: NodeId,
    kind: Kind,
    host: &'a str,
    started_at: Moment,
    seen: Option<Seen>,
}

async fn tell(postgres: &Postgres, row: &Row<'_>) -> Result<(), StoreError> {
    let mut conn = postgres.acquire().await?;
    sqlx::query!(
        "select platform.beat($1, $2, $3, $4, $5, $6, $7)",
        row.id.uuid(),
        row.kind.as_str(),
        row.host,
        env!("CARGO_PKG_VERSION"),
        row.seen.map(|seen| seen.seq),
        row.seen.map(|seen| seen.taken_at.utc()),
        row.started_at.utc(),
    )
    .execute(&mut *conn)
    .await?;
    Ok(())
}

async fn leave(postgres: &Postgres, id: NodeId) -> Result<(), StoreError> {
    let mut conn = postgres.acquire().await?;
    sqlx::query!("select platform.leave($1)", id.uuid())
        .execute(&mut *conn)
        .await?;
    Ok(())
}

/// A process, as the books last heard of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its id; another after each start.
    pub id: NodeId,
    /// Which plane: `proxy` or `admin`.
    pub kind: String,
    /// The machine it runs on.
    pub host: String,
    /// Its version.
    pub version: String,
    /// The last change its snapshot contains.
    pub snapshot_seq: Option<i64>,
    /// When its snapshot was read.
    pub snapshot_taken_at: Option<Moment>,
    /// Whether the catalog has changed since.
    pub is_behind: bool,
    /// When it began.
    pub started_at: Moment,
    /// When it was heard of last.
    pub seen_at: Moment,
    /// How long ago that was, by the books' clock.
    pub silent: Duration,
}

impl Node {
    /// Says whether it has missed more than two beats.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        EVERY * 3 < self.silent
    }
}

/// Returns a page of all processes.
///
/// # Errors
/// When Postgres does not answer.
pub async fn list(conn: &mut Conn, paging: &Paging) -> Result<Page<Node>, StoreError> {
    let rows = sqlx::query!(
        r#"select id as "id!", kind as "kind!", host as "host!", version as "version!", snapshot_seq as "snapshot_seq?",
            snapshot_taken_at as "snapshot_taken_at?", started_at as "started_at!", seen_at as "seen_at!",
            silent_ms as "silent_ms!", is_behind as "is_behind!"
        from platform.all_nodes()
        where $3::uuid is null
            or case when $1 then (started_at, id) < ($2, $3) else (started_at, id) > ($2, $3) end
        order by case when $1 then started_at end desc, case when $1 then id end desc, started_at, id
        limit $4"#,
        paging.is_descending(),
        paging.after_at(),
        paging.after_id(),
        paging.fetched(),
    )
    .fetch_all(conn)
    .await?;
    let nodes = rows.into_iter().map(|row| Node {
        id: row.id.into(),
        kind: row.kind,
        host: row.host,
        version: row.version,
        snapshot_seq: row.snapshot_seq,
        snapshot_taken_at: row.snapshot_taken_at.map(moment),
        is_behind: row.is_behind,
        started_at: moment(row.started_at),
        seen_at: moment(row.seen_at),
        silent: Duration::from_millis(u64::try_from(row.silent_ms).unwrap_or_default()),
    });
    Ok(paging.page(nodes.collect(), |node| (node.started_at, node.id.uuid())))
}

fn moment(at: DateTime<Utc>) -> Moment {
    Moment::from(at)
}

/// How the processes are, all together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fleet {
    /// How many the books know.
    pub nodes: u64,
    /// Of these, those that were not heard of lately.
    pub silent: u64,
    /// Of these, those whose snapshot is behind.
    pub behind: u64,
    /// How many different versions they run.
    pub versions: u64,
}

/// Returns how the processes are.
///
/// # Errors
/// When Postgres does not answer.
pub async fn fleet(conn: &mut Conn) -> Result<Fleet, StoreError> {
    let longest = i64::try_from((EVERY * 3).as_millis()).unwrap_or(i64::MAX);
    let row = sqlx::query!(
        r#"select count(*) as "nodes!", count(*) filter (where silent_ms > $1) as "silent!",
            count(*) filter (where is_behind) as "behind!", count(distinct version) as "versions!"
        from platform.all_nodes()"#,
        longest,
    )
    .fetch_one(conn)
    .await?;
    let count = |column: i64| u64::try_from(column).unwrap_or_default();
    Ok(Fleet {
        nodes: count(row.nodes),
        silent: count(row.silent),
        behind: count(row.behind),
        versions: count(row.versions),
    })
}
