//! Deliveries in the books: queued with the alert, taken by one sidecar at a time, and what came of them.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::postgres::types::PgInterval;

use crate::{
    alerts::{
        channel::ChannelKind,
        webhook::{About, Notice, NoticedAlert, Tried},
    },
    base::{AlertChannelId, AlertDeliveryId, AlertId, Moment, OrganizationId, Page, Paging},
    store::{Conn, StoreError, seal::Sealed},
};

/// A delivery that somebody took.
#[derive(Clone, Debug)]
pub struct Taken {
    /// Which one, and what is to be told.
    pub notice: Notice,
    /// When it was queued: half of its key.
    pub at: DateTime<Utc>,
    /// The how manieth try this is; also says whose it is.
    pub attempts: i16,
    /// Where it goes.
    pub channel: AlertChannelId,
    /// How.
    pub kind: ChannelKind,
    /// To which URL or address.
    pub target: String,
    /// What a webhook's secret is sealed as.
    pub sealed: Option<Sealed>,
    /// Whether the channel and the alert are still there.
    pub is_wanted: bool,
}

/// Queues an alert for every channel of its owner that carries such.
///
/// # Errors
/// When Postgres refuses or does not answer.
pub async fn queue_raised(conn: &mut Conn, alert: AlertId) -> Result<(), StoreError> {
    sqlx::query!(
        "
        insert into operations.alert_deliveries (id, organization_id, alert_id, channel_id, about, next_attempt_at)
        select platform.fresh_id(), a.organization_id, a.id, c.id, 'raised', clock_timestamp()
        from operations.alerts a
        join operations.alert_channels c on c.organization_id is not distinct from a.organization_id
        where a.id = $1 and c.is_enabled and c.deleted_at is null and (c.kinds is null or a.kind = any (c.kinds))
            and array_position(array['info', 'warning', 'critical'], c.min_severity)
                <= array_position(array['info', 'warning', 'critical'], a.severity)
        ",
        alert.uuid(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Queues the end of an alert for every channel that was to tell of it.
///
/// # Errors
/// When Postgres refuses or does not answer.
pub async fn queue_resolved(conn: &mut Conn, alert: AlertId) -> Result<(), StoreError> {
    sqlx::query!(
        "
        insert into operations.alert_deliveries (id, organization_id, alert_id, channel_id, about, next_attempt_at)
        select platform.fresh_id(), a.organization_id, a.id, c.id, 'resolved', clock_timestamp()
        from operations.alerts a
        join operations.alert_channels c on c.organization_id is not distinct from a.organization_id
        where a.id = $1 and c.is_enabled and c.deleted_at is null
            and exists (select from operations.alert_deliveries d
                where d.alert_id = a.id and d.channel_id = c.id and d.about = 'raised' and d.state <> 'given_up')
        ",
        alert.uuid(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Takes deliveries that are due; nobody else gets them for the time of the lease.
///
/// # Errors
/// When Postgres does not answer.
pub async fn take(conn: &mut Conn, batch: i32, lease: Duration) -> Result<Vec<Taken>, StoreError> {
    let rows = sqlx::query!(
        r#"
        select id as "id!", at as "at!", attempts as "attempts!", about as "about!", organization_id,
            alert_id as "alert_id!", alert_kind as "alert_kind!", severity as "severity!", message as "message!",
            details as "details!: Value", occurrences as "occurrences!", raised_at as "raised_at!", resolved_at,
            channel_id as "channel_id!", channel_kind as "channel_kind!", target as "target!", sealing_key_id,
            sealed_key, sealed_secret, is_wanted as "is_wanted!"
        from operations.take_deliveries($1, $2)
        "#,
        batch,
        interval(lease),
    )
    .fetch_all(conn)
    .await?;
    let taken = rows.into_iter().map(|row| Taken {
        notice: Notice {
            id: row.id,
            about: About::of(&row.about),
            organization_id: row.organization_id.map(OrganizationId),
            alert: Some(NoticedAlert {
                id: AlertId(row.alert_id),
                kind: row.alert_kind,
                severity: row.severity,
                message: row.message,
                details: row.details,
                occurrences: row.occurrences,
                raised_at: Moment::from(row.raised_at),
                resolved_at: row.resolved_at.map(Moment::from),
            }),
        },
        at: row.at,
        attempts: row.attempts,
        channel: AlertChannelId(row.channel_id),
        kind: ChannelKind::of(&row.channel_kind),
        target: row.target,
        sealed: sealed(row.sealing_key_id, row.sealed_key, row.sealed_secret),
        is_wanted: row.is_wanted,
    });
    Ok(taken.collect())
}

fn sealed(id: Option<String>, key: Option<Vec<u8>>, secret: Option<Vec<u8>>) -> Option<Sealed> {
    Some(Sealed {
        sealing_key_id: id?,
        sealed_key: key?,
        sealed_secret: secret?,
    })
}

/// Notes what came of a try; with a pause it waits for the next. False when somebody else has the delivery by now.
///
/// # Errors
/// When Postgres does not answer.
pub async fn note(
    conn: &mut Conn,
    taken: &Taken,
    tried: &Tried,
    pause: Option<Duration>,
) -> Result<bool, StoreError> {
    let is_ours = sqlx::query_scalar!(
        "select operations.note_delivery($1, $2, $3, $4, $5, $6)",
        taken.notice.id,
        taken.at,
        taken.attempts,
        pause.map(interval),
        tried.status.and_then(|status| i16::try_from(status).ok()),
        tried.fault,
    )
    .fetch_one(conn)
    .await?;
    Ok(is_ours.unwrap_or_default())
}

/// A delivery, as people look at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Which one.
    pub id: AlertDeliveryId,
    /// When it was queued.
    pub at: Moment,
    /// Of which alert.
    pub alert: AlertId,
    /// Over which channel.
    pub channel: AlertChannelId,
    /// `raised` or `resolved`.
    pub about: String,
    /// `pending`, `delivered` or `given_up`.
    pub state: String,
    /// How often it was tried.
    pub attempts: u16,
    /// When it is tried next.
    pub next_attempt_at: Option<Moment>,
    /// When it was told.
    pub delivered_at: Option<Moment>,
    /// The status of the last answer.
    pub last_status: Option<u16>,
    /// Why the last try failed.
    pub last_fault: Option<String>,
}

/// Which deliveries are sought; `None` is all.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Of one alert.
    pub alert: Option<AlertId>,
    /// Over one channel.
    pub channel: Option<AlertChannelId>,
    /// In one state.
    pub state: Option<String>,
}

/// Returns a page of the deliveries of one owner, by when they were queued.
///
/// # Errors
/// When Postgres does not answer.
pub async fn list(
    conn: &mut Conn,
    organization: Option<OrganizationId>,
    filter: &Filter,
    paging: &Paging,
) -> Result<Page<Delivery>, StoreError> {
    let rows = sqlx::query!(
        r#"
        select id, at, alert_id, channel_id, about, state, attempts, next_attempt_at, delivered_at, last_status, last_fault
        from operations.alert_deliveries
        where organization_id is not distinct from $1
            and ($2::uuid is null or alert_id = $2)
            and ($3::uuid is null or channel_id = $3)
            and ($4::text is null or state = $4)
            and ($5::timestamptz is null or case when $7 then (at, id) < ($5, $6) else (at, id) > ($5, $6) end)
        order by case when $7 then at end desc, case when $7 then id end desc, at, id
        limit $8
        "#,
        organization.map(OrganizationId::uuid),
        filter.alert.map(AlertId::uuid),
        filter.channel.map(AlertChannelId::uuid),
        filter.state,
        paging.after_at(),
        paging.after_id(),
        paging.is_descending(),
        paging.fetched(),
    )
    .fetch_all(conn)
    .await?;
    let rows = rows.into_iter().map(|row| Delivery {
        id: AlertDeliveryId(row.id),
        at: Moment::from(row.at),
        alert: AlertId(row.alert_id),
        channel: AlertChannelId(row.channel_id),
        about: row.about,
        state: row.state,
        attempts: u16::try_from(row.attempts).unwrap_or_default(),
        next_attempt_at: row.next_attempt_at.map(Moment::from),
        delivered_at: row.delivered_at.map(Moment::from),
        last_status: row
            .last_status
            .and_then(|status| u16::try_from(status).ok()),
        last_fault: row.last_fault,
    });
    let rows = rows.collect();
    Ok(paging.page(rows, |delivery: &Delivery| {
        (delivery.at, delivery.id.uuid())
    }))
}

fn interval(time: Duration) -> PgInterval {
    PgInterval {
        months: 0,
        days: 0,
        microseconds: i64::try_from(time.as_micros()).unwrap_or(i64::MAX),
    }
}
