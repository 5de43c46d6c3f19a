//! The names callers use, in the books.

use uuid::Uuid;

use crate::{
    base::{Moment, OrganizationId},
    catalog::{
        file::AliasEntry,
        row::{Row, Sought},
    },
    store::{Conn, OwnerTx, StoreError},
};

/// An alias, with the models it stands for.
#[derive(Clone, Debug)]
pub struct AliasRow {
    /// What it says.
    pub entry: AliasEntry,
    /// Its models' ids, in the order they are tried.
    pub models: Vec<Uuid>,
}

/// Writes an alias, new or changed, with its models in order.
///
/// # Errors
/// `model_aliases_name_uq` when the name is taken; else when the books refuse or are away.
pub async fn put(
    tx: &mut OwnerTx,
    id: Uuid,
    alias: &AliasEntry,
    models: &[Uuid],
) -> Result<(), StoreError> {
    let owner = tx.owner().map(OrganizationId::uuid);
    sqlx::query!(
        "
        insert into platform.model_aliases (id, organization_id, name, is_enabled)
        values ($1, $2, $3, $4)
        on conflict (id) do update set name = excluded.name, is_enabled = excluded.is_enabled
        ",
        id,
        owner,
        alias.name,
        alias.enabled,
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!("delete from platform.alias_targets where alias_id = $1", id)
        .execute(&mut **tx)
        .await?;
    sqlx::query!(
        "
        insert into platform.alias_targets (alias_id, position, organization_id, model_id)
        select $1, t.place - 1, $2, t.model_id
        from unnest($3::uuid[]) with ordinality as t (model_id, place)
        ",
        id,
        owner,
        models,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Returns the aliases that are sought.
///
/// # Errors
/// When the books are away.
pub async fn list(
    conn: &mut Conn,
    owner: Option<OrganizationId>,
    sought: &Sought,
) -> Result<Vec<Row<AliasRow>>, StoreError> {
    let paging = &sought.paging;
    let rows = sqlx::query!(
        r#"
        select a.id, a.organization_id, a.name, a.is_enabled, a.created_at, a.updated_at,
            coalesce(t.names, '{}') as "names!", coalesce(t.ids, '{}') as "ids!"
        from platform.model_aliases a
        left join lateral (
            select array_agg(m.name order by t.position) as names, array_agg(m.id order by t.position) as ids
            from platform.alias_targets t
            join platform.models m on m.id = t.model_id and m.deleted_at is null
            where t.alias_id = a.id) t on true
        where a.deleted_at is null
            and ($2::boolean is null or (a.organization_id is not distinct from $1) = $2)
            and ($3::uuid is null or a.id = $3)
            and ($4::uuid is null or (a.id < $4) = $5 and a.id <> $4)
        order by case when $5 then a.id end desc, a.id
        limit $6
        "#,
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
        entry: AliasRow {
            entry: AliasEntry {
                name: row.name,
                models: row.names,
                enabled: row.is_enabled,
            },
            models: row.ids,
        },
        created_at: Moment::from(row.created_at),
        updated_at: Moment::from(row.updated_at),
    });
    Ok(rows.collect())
}

/// Takes an alias out of the catalog.
///
/// # Errors
/// When the books refuse or are away.
pub async fn retire(conn: &mut Conn, id: Uuid) -> Result<(), StoreError> {
    sqlx::query!(
        "update platform.model_aliases set deleted_at = now() where id = $1",
        id
    )
    .execute(conn)
    .await?;
    Ok(())
}
