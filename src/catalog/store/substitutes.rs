//! Which model may stand in for which, in the books.

use uuid::Uuid;

use crate::{
    base::{Moment, OrganizationId},
    catalog::{
        file::SubstituteEntry,
        row::{Row, Sought},
    },
    store::{Conn, OwnerTx, StoreError},
};

/// A substitute, with the models it names.
#[derive(Clone, Debug)]
pub struct SubstituteRow {
    /// For which model.
    pub model_id: Uuid,
    /// Which model.
    pub substitute_id: Uuid,
    /// What it says.
    pub entry: SubstituteEntry,
}

/// Writes a substitute, new or changed.
///
/// # Errors
/// `model_substitutes_uq` when the pair is there; else when the books refuse or are away.
pub async fn put(
    tx: &mut OwnerTx,
    id: Uuid,
    model_id: Uuid,
    substitute_id: Uuid,
    substitute: &SubstituteEntry,
) -> Result<(), StoreError> {
    let owner = tx.owner().map(OrganizationId::uuid);
    sqlx::query!(
        "
        insert into platform.model_substitutes (id, organization_id, model_id, substitute_id, position, note)
        values ($1, $2, $3, $4, $5, $6)
        on conflict (id) do update set position = excluded.position, note = excluded.note
        ",
        id,
        owner,
        model_id,
        substitute_id,
        substitute.position,
        substitute.note,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Returns the substitutes that are sought; those of models that are gone are gone too.
///
/// # Errors
/// When the books are away.
pub async fn list(
    conn: &mut Conn,
    owner: Option<OrganizationId>,
    sought: &Sought,
) -> Result<Vec<Row<SubstituteRow>>, StoreError> {
    let paging = &sought.paging;
    let rows = sqlx::query!(
        "
        select x.id, x.organization_id, x.model_id, x.substitute_id, m.name as model, s.name as substitute, x.position,
            x.note, x.created_at, x.updated_at
        from platform.model_substitutes x
        join platform.models m on m.id = x.model_id and m.deleted_at is null
        join platform.models s on s.id = x.substitute_id and s.deleted_at is null
        where x.deleted_at is null
            and ($2::boolean is null or (x.organization_id is not distinct from $1) = $2)
            and ($3::uuid is null or x.id = $3)
            and ($4::uuid is null or x.model_id = $4)
            and ($5::uuid is null or (x.id < $5) = $6 and x.id <> $5)
        order by case when $6 then x.id end desc, x.id
        limit $7
        ",
        owner.map(OrganizationId::uuid),
        sought.is_own,
        sought.id,
        sought.model,
        paging.after_id(),
        paging.is_descending(),
        paging.fetched(),
    )
    .fetch_all(conn)
    .await?;
    let rows = rows.into_iter().map(|row| Row {
        id: row.id,
        owner: row.organization_id.map(OrganizationId),
        entry: SubstituteRow {
            model_id: row.model_id,
            substitute_id: row.substitute_id,
            entry: SubstituteEntry {
                model: row.model,
                substitute: row.substitute,
                position: row.position,
                note: row.note,
            },
        },
        created_at: Moment::from(row.created_at),
        updated_at: Moment::from(row.updated_at),
    });
    Ok(rows.collect())
}

/// Takes a substitute away.
///
/// # Errors
/// When the books refuse or are away.
pub async fn retire(conn: &mut Conn, id: Uuid) -> Result<(), StoreError> {
    sqlx::query!(
        "update platform.model_substitutes set deleted_at = now() where id = $1",
        id
    )
    .execute(conn)
    .await?;
    Ok(())
}
