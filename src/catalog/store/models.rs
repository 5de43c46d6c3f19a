//! Models in the books.

use uuid::Uuid;

use crate::{
    base::{Moment, OrganizationId},
    catalog::{
        file::ModelEntry,
        row::{Row, Sought},
    },
    store::{Conn, OwnerTx, StoreError},
};

/// Writes a model, new or changed.
///
/// # Errors
/// `models_name_uq` when the name is taken; else when the books refuse or are away.
pub async fn put(tx: &mut OwnerTx, id: Uuid, model: &ModelEntry) -> Result<(), StoreError> {
    let owner = tx.owner().map(OrganizationId::uuid);
    sqlx::query!(
        "
        insert into platform.models
            (id, organization_id, name, owned_by, context_window, max_output, source, stated_on)
        values ($1, $2, $3, $4, $5, $6, $7, $8)
        on conflict (id) do update
        set name = excluded.name, owned_by = excluded.owned_by, context_window = excluded.context_window,
            max_output = excluded.max_output, source = excluded.source, stated_on = excluded.stated_on
        ",
        id,
        owner,
        model.name,
        model.owned_by,
        model.context_window,
        model.max_output,
        model.source,
        model.stated_on,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Returns the models that are sought.
///
/// # Errors
/// When the books are away.
pub async fn list(
    conn: &mut Conn,
    owner: Option<OrganizationId>,
    sought: &Sought,
) -> Result<Vec<Row<ModelEntry>>, StoreError> {
    let paging = &sought.paging;
    let rows = sqlx::query!(
        "
        select id, organization_id, name, owned_by, context_window, max_output, source, stated_on, created_at, updated_at
        from platform.models
        where deleted_at is null
            and ($2::boolean is null or (organization_id is not distinct from $1) = $2)
            and ($3::uuid is null or id = $3)
            and ($4::uuid is null or (id < $4) = $5 and id <> $4)
        order by case when $5 then id end desc, id
        limit $6
        ",
        owner.map(OrganizationId::uuid),
        sought.is_own,
        sought.id,
        paging.after_id(),
        paging.is_descending(),
        paging.fetched(),
    )
    .fetch_all(conn)
    .await?;
    let rows = rows.into_iter().map(|row| Row {
        id: row.id,
        owner: row.organization_id.map(OrganizationId),
        entry: ModelEntry {
            name: row.name,
            owned_by: row.owned_by,
            context_window: row.context_window,
            max_output: row.max_output,
            source: row.source,
            stated_on: row.stated_on,
        },
        created_at: Moment::from(row.created_at),
        updated_at: Moment::from(row.updated_at),
    });
    Ok(rows.collect())
}

/// Takes a model out of the catalog; what was booked with it can still be read.
///
/// # Errors
/// When the books refuse or are away.
pub async fn retire(conn: &mut Conn, id: Uuid) -> Result<(), StoreError> {
    sqlx::query!(
        "update platform.models set deleted_at = now() where id = $1",
        id
    )
    .execute(conn)
    .await?;
    Ok(())
}
