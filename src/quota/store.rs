//! What the books say was spent: where counters begin when Redis does not know.

use async_trait::async_trait;
use chrono_tz::Tz;
use serde::{Deserialize, Serialize, Serializer};
use uuid::Uuid;

use super::{Limit, Meter, Subject, Window, calendar};
use crate::{
    base::{Moment, OrganizationId},
    store::{Postgres, StoreError},
};

/// One question to the books: how much of a meter a subject used in a stretch of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Span {
    /// The limit it is asked for.
    pub id: Uuid,
    /// Whose use.
    pub subject: Subject,
    /// Of what.
    #[serde(serialize_with = "meter_word")]
    pub meter: Meter,
    /// From when on, in milliseconds since 1970.
    pub from: i64,
    /// Until when, exclusive.
    pub to: i64,
}

/// Writes what no tenant's limit counts, too.
fn meter_word<S: Serializer>(meter: &Meter, to: S) -> Result<S::Ok, S::Error> {
    match meter {
        Meter::Credits => to.serialize_str("credits"),
        meter => meter.serialize(to),
    }
}

/// Returns the question that tells how much of a limit is used now, and when its window ends when all of it ends at
/// once; `None` for calls in flight, which the books do not know.
#[must_use]
pub fn now_of(limit: &Limit, now: Moment) -> Option<(Span, Option<Moment>)> {
    let back = |length_ms: i64| (now.millis().saturating_sub(length_ms), None);
    let (from, end) = match limit.window {
        Window::Instant => return None,
        Window::Minute => back(60_000),
        Window::Hour => back(3_600_000),
        Window::RollingDay => back(86_400_000),
        Window::RollingMonth => back(30 * 86_400_000),
        Window::Day | Window::Month => {
            let spans = calendar::spans(limit.window, limit.zone, now);
            (spans.start, Some(Moment::from_millis(spans.end)))
        }
    };
    let span = Span {
        id: limit.id,
        subject: limit.subject,
        meter: limit.meter,
        from,
        to: end.unwrap_or(now).millis(),
    };
    Some((span, end))
}

/// Returns when a day or a month is over in a zone; for other windows, when the day is.
#[must_use]
pub fn window_end(window: Window, zone: Tz, now: Moment) -> Moment {
    Moment::from_millis(calendar::spans(window, zone, now).end)
}

/// The books cannot be read, so what was spent is unknown.
#[derive(Debug, thiserror::Error)]
#[error("the books cannot be read")]
pub struct BooksAway(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Whoever knows what was spent.
#[async_trait]
pub trait Books: Send + Sync {
    /// Returns what was booked for each span, in order. Sees everything committed before the call.
    async fn spent(
        &self,
        organization: OrganizationId,
        spans: &[Span],
    ) -> Result<Vec<u64>, BooksAway>;

    /// Returns the next limits whose windows are days and months, at most `most`, in the order of
    /// their ids. Books that know of no limits have none.
    async fn calendar_limits(
        &self,
        _after: Uuid,
        _most: usize,
    ) -> Result<Vec<(OrganizationId, Limit)>, BooksAway> {
        Ok(Vec::new())
    }
}

/// The books in Postgres.
#[derive(Clone, Debug)]
pub struct PostgresBooks(Postgres);

/// One limit, as the books tell it.
#[derive(Deserialize)]
struct Held {
    organization_id: OrganizationId,
    limit: Limit,
}

/// What the books answer for one span.
#[derive(Deserialize)]
struct Spent {
    spent: u64,
}

impl PostgresBooks {
    /// Reads through `postgres`, which may be away.
    #[must_use]
    pub fn new(postgres: Postgres) -> Self {
        Self(postgres)
    }
}

/// Returns whether limits are enforced.
pub(super) async fn is_enforced(postgres: &Postgres) -> Result<bool, StoreError> {
    let mut conn = postgres.acquire().await?;
    let is_on = sqlx::query_scalar!(r#"select platform.limits_enforced() as "is_on!""#)
        .fetch_one(&mut *conn)
        .await?;
    Ok(is_on)
}

#[async_trait]
impl Books for PostgresBooks {
    async fn spent(
        &self,
        organization: OrganizationId,
        spans: &[Span],
    ) -> Result<Vec<u64>, BooksAway> {
        let away = |error: StoreError| BooksAway(error.into());
        let asked = serde_json::to_value(spans).map_err(|error| BooksAway(error.into()))?;
        let mut conn = self.0.acquire().await.map_err(away)?;
        let answer = sqlx::query_scalar!(
            r#"select operations.spent($1, $2) as "spent!""#,
            organization.uuid(),
            asked,
        )
        .fetch_one(&mut *conn)
        .await
        .map_err(|error| away(error.into()))?;
        let spent: Vec<Spent> =
            serde_json::from_value(answer).map_err(|error| BooksAway(error.into()))?;
        Ok(spent.into_iter().map(|one| one.spent).collect())
    }

    async fn calendar_limits(
        &self,
        after: Uuid,
        most: usize,
    ) -> Result<Vec<(OrganizationId, Limit)>, BooksAway> {
        let away = |error: StoreError| BooksAway(error.into());
        let mut conn = self.0.acquire().await.map_err(away)?;
        let answer = sqlx::query_scalar!(
            r#"select operations.calendar_limits($1, $2) as "limits!""#,
            after,
            i32::try_from(most).unwrap_or(i32::MAX),
        )
        .fetch_one(&mut *conn)
        .await
        .map_err(|error| away(error.into()))?;
        let held: Vec<Held> =
            serde_json::from_value(answer).map_err(|error| BooksAway(error.into()))?;
        let held = held.into_iter();
        Ok(held
            .map(|held| (held.organization_id, held.limit))
            .collect())
    }
}
