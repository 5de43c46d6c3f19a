//! Channels in the books.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    alerts::{
        Severity,
        channel::{Channel, ChannelKind, Terms},
    },
    base::{AlertChannelId, Moment, OrganizationId, Page, Paging},
    store::{Conn, StoreError, seal::Sealed},
};

/// A secret that is to be sealed anew.
#[derive(Clone, Debug)]
pub struct Unwrapped {
    /// Which channel's.
    pub id: AlertChannelId,
    /// Whose.
    pub organization: Option<OrganizationId>,
    /// Where the channel leads.
    pub target: String,
    /// As it is sealed now.
    pub sealed: Sealed,
}

struct Columns {
    id: Uuid,
    organization_id: Option<Uuid>,
    name: String,
    kind: String,
    target: String,
    kinds: Option<Vec<String>>,
    min_severity: String,
    is_enabled: bool,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<Columns> for Channel {
    fn from(row: Columns) -> Self {
        Self {
            id: AlertChannelId(row.id),
            organization: row.organization_id.map(OrganizationId),
            terms: Terms {
                name: row.name,
                kind: ChannelKind::of(&row.kind),
                target: row.target,
                kinds: row.kinds,
                min_severity: Severity::of(&row.min_severity),
                is_enabled: row.is_enabled,
            },
            created_at: Moment::from(row.created_at),
            updated_at: Moment::from(row.updated_at),
        }
    }
}

/// Writes a new channel.
///
/// # Errors
/// `alert_channels_name_uq` when the name is taken; else when Postgres refuses or does not answer.
pub async fn insert(
    conn: &mut Conn,
    id: AlertChannelId,
    organization: Option<OrganizationId>,
    terms: &Terms,
    sealed: Option<&Sealed>,
) -> Result<(), StoreError> {
    sqlx::query!(
        "
        insert into operations.alert_channels (id, organization_id, name, kind, target, kinds, min_severity, is_enabled,
            sealing_key_id, sealed_key, sealed_secret)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
        ",
        id.uuid(),
        organization.map(OrganizationId::uuid),
        terms.name,
        terms.kind.word(),
        terms.target,
        terms.kinds.as_deref(),
        terms.min_severity.word(),
        terms.is_enabled,
        sealed.map(|sealed| sealed.sealing_key_id.as_str()),
        sealed.map(|sealed| sealed.sealed_key.as_slice()),
        sealed.map(|sealed| sealed.sealed_secret.as_slice()),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Writes what was decided about a channel, and its secret when there is a new one; what it is stays. False when it
/// is gone, or was changed since `expected`.
///
/// # Errors
/// `alert_channels_name_uq` when the name is taken; else when Postgres refuses or does not answer.
pub async fn update(
    conn: &mut Conn,
    channel: &Channel,
    sealed: Option<&Sealed>,
    expected: Option<Moment>,
) -> Result<bool, StoreError> {
    let terms = &channel.terms;
    let done = sqlx::query!(
        "
        update operations.alert_channels
        set name = $3, target = $4, kinds = $5, min_severity = $6, is_enabled = $7,
            sealing_key_id = case when $8::text is null then sealing_key_id else $8 end,
            sealed_key = case when $8::text is null then sealed_key else $9::bytea end,
            sealed_secret = case when $8::text is null then sealed_secret else $10::bytea end
        where organization_id is not distinct from $1 and id = $2 and deleted_at is null
            and ($11::timestamptz is null or updated_at = $11)
        ",
        channel.organization.map(OrganizationId::uuid),
        channel.id.uuid(),
        terms.name,
        terms.target,
        terms.kinds.as_deref(),
        terms.min_severity.word(),
        terms.is_enabled,
        sealed.map(|sealed| sealed.sealing_key_id.as_str()),
        sealed.map(|sealed| sealed.sealed_key.as_slice()),
        sealed.map(|sealed| sealed.sealed_secret.as_slice()),
        expected.map(Moment::utc),
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Takes a channel away; false when there is none.
///
/// # Errors
/// When Postgres refuses or does not answer.
pub async fn delete(
    conn: &mut Conn,
    organization: Option<OrganizationId>,
    id: AlertChannelId,
) -> Result<bool, StoreError> {
    let done = sqlx::query!(
        "
        update operations.alert_channels set deleted_at = clock_timestamp()
        where organization_id is not distinct from $1 and id = $2 and deleted_at is null
        ",
        organization.map(OrganizationId::uuid),
        id.uuid(),
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Returns a page of the channels of one owner, by when they were made; `id` seeks one alone.
///
/// # Errors
/// When Postgres does not answer.
pub async fn list(
    conn: &mut Conn,
    organization: Option<OrganizationId>,
    id: Option<AlertChannelId>,
    paging: &Paging,
) -> Result<Page<Channel>, StoreError> {
    let rows = sqlx::query_as!(
        Columns,
        r#"
        select id, organization_id, name, kind, target, kinds, min_severity, is_enabled, created_at, updated_at
        from operations.alert_channels
        where organization_id is not distinct from $1 and deleted_at is null
            and ($2::uuid is null or id = $2)
            and ($3::timestamptz is null or case when $5 then (created_at, id) < ($3, $4) else (created_at, id) > ($3, $4) end)
        order by case when $5 then created_at end desc, case when $5 then id end desc, created_at, id
        limit $6
        "#,
        organization.map(OrganizationId::uuid),
        id.map(AlertChannelId::uuid),
        paging.after_at(),
        paging.after_id(),
        paging.is_descending(),
        paging.fetched(),
    )
    .fetch_all(conn)
    .await?;
    let rows = rows.into_iter().map(Channel::from).collect();
    Ok(paging.page(rows, |channel: &Channel| {
        (channel.created_at, channel.id.uuid())
    }))
}

/// Returns one channel of an owner.
///
/// # Errors
/// When Postgres does not answer.
pub async fn find(
    conn: &mut Conn,
    organization: Option<OrganizationId>,
    id: AlertChannelId,
) -> Result<Option<Channel>, StoreError> {
    let paging = Paging {
        limit: 1,
        after: None,
        order: crate::base::Order::Desc,
    };
    let page = list(conn, organization, Some(id), &paging).await?;
    Ok(page.rows.into_iter().next())
}

/// Returns a webhook's secret as it is sealed, of a channel this transaction may see.
///
/// # Errors
/// When Postgres does not answer.
pub async fn sealed(conn: &mut Conn, id: AlertChannelId) -> Result<Option<Sealed>, StoreError> {
    let row = sqlx::query!(
        r#"select sealing_key_id as "sealing_key_id!", sealed_key as "sealed_key!", sealed_secret as "sealed_secret!"
           from operations.sealed_channel($1)"#,
        id.uuid(),
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| Sealed {
        sealing_key_id: row.sealing_key_id,
        sealed_key: row.sealed_key,
        sealed_secret: row.sealed_secret,
    }))
}

/// Takes a batch of secrets that `current` does not seal, whoever they belong to, until the transaction ends.
///
/// # Errors
/// When Postgres does not answer.
pub async fn to_rewrap(
    conn: &mut Conn,
    current: &str,
    batch: i32,
    after: Uuid,
) -> Result<Vec<Unwrapped>, StoreError> {
    let rows = sqlx::query!(
        r#"select id as "id!", organization_id, target as "target!", sealing_key_id as "sealing_key_id!",
               sealed_key as "sealed_key!", sealed_secret as "sealed_secret!"
           from operations.channels_to_rewrap($1, $2, $3)"#,
        current,
        batch,
        after,
    )
    .fetch_all(conn)
    .await?;
    let found = rows.into_iter().map(|row| Unwrapped {
        id: AlertChannelId(row.id),
        organization: row.organization_id.map(OrganizationId),
        target: row.target,
        sealed: Sealed {
            sealing_key_id: row.sealing_key_id,
            sealed_key: row.sealed_key,
            sealed_secret: row.sealed_secret,
        },
    });
    Ok(found.collect())
}

/// Puts a secret back as it was sealed anew.
///
/// # Errors
/// When Postgres refuses or does not answer.
pub async fn put_rewrapped(
    conn: &mut Conn,
    id: AlertChannelId,
    sealed: &Sealed,
) -> Result<(), StoreError> {
    sqlx::query_scalar!(
        "select operations.rewrap_channel($1, $2, $3, $4)::text",
        id.uuid(),
        sealed.sealing_key_id,
        sealed.sealed_key,
        sealed.sealed_secret,
    )
    .fetch_one(conn)
    .await?;
    Ok(())
}
