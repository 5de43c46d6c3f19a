//! What an organization uses of what the platform shares, in the books.

use uuid::Uuid;

use crate::{
    base::{Moment, OrganizationId, page::Paging},
    store::{Conn, StoreError},
};

/// Whether an organization's members may use a model or provider.
#[derive(Clone, Debug)]
pub struct Access {
    /// Its id.
    pub id: Uuid,
    /// Which model or provider; `None` is every model that is not named.
    pub subject: Option<Uuid>,
    /// Its name; empty for every model that is not named.
    pub name: String,
    /// Whether it may be used.
    pub is_allowed: bool,
    /// When it was said.
    pub created_at: Moment,
    /// When it was last changed.
    pub updated_at: Moment,
}

/// Says whether a model may be used; without one, whether those that are not named may.
///
/// # Errors
/// When the books refuse or are away.
pub async fn put_model(
    conn: &mut Conn,
    organization: OrganizationId,
    id: Uuid,
    model: Option<Uuid>,
    is_allowed: bool,
) -> Result<(), StoreError> {
    sqlx::query!(
        "
        insert into operations.organization_models (id, organization_id, model_id, is_allowed)
        values ($1, $2, $3, $4)
        on conflict (organization_id, model_id) where deleted_at is null
        do update set is_allowed = excluded.is_allowed
        ",
        id,
        organization.uuid(),
        model,
        is_allowed,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Forgets what was said of a model; says whether anything was.
///
/// # Errors
/// When the books refuse or are away.
pub async fn forget_model(
    conn: &mut Conn,
    organization: OrganizationId,
    model: Option<Uuid>,
) -> Result<bool, StoreError> {
    let forgotten = sqlx::query!(
        "
        update operations.organization_models set deleted_at = now()
        where organization_id = $1 and model_id is not distinct from $2 and deleted_at is null
        ",
        organization.uuid(),
        model,
    )
    .execute(conn)
    .await?;
    Ok(forgotten.rows_affected() == 1)
}

/// Returns a page of what was said of models.
///
/// # Errors
/// When the books are away.
pub async fn models(
    conn: &mut Conn,
    organization: OrganizationId,
    paging: &Paging,
) -> Result<Vec<Access>, StoreError> {
    let rows = sqlx::query!(
        r#"
        select v.id, v.model_id, coalesce(m.name, '') as "name!", v.is_allowed, v.created_at, v.updated_at
        from operations.organization_models v
        left join platform.models m on m.id = v.model_id
        where v.organization_id = $1 and v.deleted_at is null and (v.model_id is null or m.deleted_at is null)
            and ($2::uuid is null or (v.id < $2) = $3 and v.id <> $2)
        order by case when $3 then v.id end desc, v.id
        limit $4
        "#,
        organization.uuid(),
        paging.after_id(),
        paging.is_descending(),
        paging.fetched(),
    )
    .fetch_all(conn)
    .await?;
    let all = rows.into_iter().map(|row| Access {
        id: row.id,
        subject: row.model_id,
        name: row.name,
        is_allowed: row.is_allowed,
        created_at: Moment::from(row.created_at),
        updated_at: Moment::from(row.updated_at),
    });
    Ok(all.collect())
}

/// Says whether a provider the platform shares may be used.
///
/// # Errors
/// When the books refuse or are away.
pub async fn put_provider(
    conn: &mut Conn,
    organization: OrganizationId,
    id: Uuid,
    provider: Uuid,
    is_allowed: bool,
) -> Result<(), StoreError> {
    sqlx::query!(
        "
        insert into operations.organization_providers (id, organization_id, provider_id, is_enabled)
        values ($1, $2, $3, $4)
        on conflict (organization_id, provider_id) where deleted_at is null
        do update set is_enabled = excluded.is_enabled
        ",
        id,
        organization.uuid(),
        provider,
        is_allowed,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Forgets what was said of a provider; says whether anything was.
///
/// # Errors
/// When the books refuse or are away.
pub async fn forget_provider(
    conn: &mut Conn,
    organization: OrganizationId,
    provider: Uuid,
) -> Result<bool, StoreError> {
    let forgotten = sqlx::query!(
        "
        update operations.organization_providers set deleted_at = now()
        where organization_id = $1 and provider_id = $2 and deleted_at is null
        ",
        organization.uuid(),
        provider,
    )
    .execute(conn)
    .await?;
    Ok(forgotten.rows_affected() == 1)
}

/// Returns a page of what was said of providers.
///
/// # Errors
/// When the books are away.
pub async fn providers(
    conn: &mut Conn,
    organization: OrganizationId,
    paging: &Paging,
) -> Result<Vec<Access>, StoreError> {
    let rows = sqlx::query!(
        "
        select w.id, w.provider_id, p.name, w.is_enabled, w.created_at, w.updated_at
        from operations.organization_providers w
        join platform.providers p on p.id = w.provider_id and p.deleted_at is null
        where w.organization_id = $1 and w.deleted_at is null
            and ($2::uuid is null or (w.id < $2) = $3 and w.id <> $2)
        order by case when $3 then w.id end desc, w.id
        limit $4
        ",
        organization.uuid(),
        paging.after_id(),
        paging.is_descending(),
        paging.fetched(),
    )
    .fetch_all(conn)
    .await?;
    let all = rows.into_iter().map(|row| Access {
        id: row.id,
        subject: Some(row.provider_id),
        name: row.name,
        is_allowed: row.is_enabled,
        created_at: Moment::from(row.created_at),
        updated_at: Moment::from(row.updated_at),
    });
    Ok(all.collect())
}
