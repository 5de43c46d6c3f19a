//! What the values of a report are called.

use std::collections::{BTreeSet, HashMap};

use uuid::Uuid;

use super::word;
use crate::{
    store::{Conn, OrgTx, StoreError},
    usage::report::Dimension,
};

/// Returns what values of a dimension are called, as far as this transaction's organization may know.
///
/// # Errors
/// When Postgres does not answer.
pub async fn names(
    conn: &mut Conn,
    dimension: Dimension,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, String>, StoreError> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = sqlx::query!(
        r#"select id as "id!", name as "name!" from operations.usage_names($1, $2)"#,
        word(dimension),
        ids,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.name)).collect())
}

/// The same for whoever runs the platform.
pub(super) async fn platform_names(
    conn: &mut Conn,
    dimension: Dimension,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, String>, StoreError> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = sqlx::query!(
        r#"select id as "id!", name as "name!" from operations.platform_usage_names($1, $2)"#,
        word(dimension),
        ids,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.name)).collect())
}

/// Returns what all sorts of things are called, as far as this transaction's organization may know.
///
/// # Errors
/// When Postgres does not answer.
pub async fn all_names(
    tx: &mut OrgTx,
    wanted: &BTreeSet<(Dimension, Uuid)>,
) -> Result<HashMap<Uuid, String>, StoreError> {
    let dimensions: Vec<_> = wanted.iter().map(|(by, _)| word(*by).to_owned()).collect();
    let ids: Vec<_> = wanted.iter().map(|(_, id)| *id).collect();
    let rows = sqlx::query!(
        r#"select n.id as "id!", n.name as "name!"
        from (
            select w.dimension, array_agg(w.id) as ids from unnest($1::text[], $2::uuid[]) w (dimension, id) group by 1
        ) w
        cross join lateral operations.usage_names(w.dimension, w.ids) n"#,
        &dimensions,
        &ids,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.name)).collect())
}
