//! The log in the books, as people ask for it.

use sqlx::{Postgres, QueryBuilder};

use super::Filter;
use crate::{
    audit::{chain::Row, store::Columns},
    base::{Moment, Page, Paging},
    store::{Conn, StoreError, Whose},
};

/// Reads one page of the rows that this transaction sees and `filter` lets through.
///
/// # Errors
/// When Postgres does not answer.
pub async fn page(
    conn: &mut Conn,
    whose: Whose,
    filter: &Filter,
    paging: &Paging,
) -> Result<Page<Row>, StoreError> {
    let mut query = QueryBuilder::new(
        "select id, at, organization_id, seq, actor_kind, actor_id, action, target_kind, target_id,
            details::text as details, abbrev(address) as address, request_id, user_agent, key_id, hash
        from audit.audit_logs
        where ",
    );
    match whose.organization() {
        Some(organization) => query.push("organization_id = ").push_bind(organization),
        None => query.push("organization_id is null"),
    };
    narrow(&mut query, filter);
    order(&mut query, paging);
    let rows: Vec<Columns> = query.build_query_as().fetch_all(conn).await?;
    let rows = rows.into_iter().map(Row::from).collect();
    Ok(paging.page(rows, |row: &Row| (Moment::from(row.at), row.id)))
}

fn narrow(query: &mut QueryBuilder<Postgres>, filter: &Filter) {
    if let Some(kind) = &filter.actor_kind {
        query.push(" and actor_kind = ").push_bind(kind.clone());
    }
    if let Some(actor) = filter.actor_id {
        query.push(" and actor_id = ").push_bind(actor);
    }
    if let Some(action) = &filter.action {
        query.push(" and action = ").push_bind(action.clone());
    }
    if let Some(kind) = &filter.target_kind {
        query.push(" and target_kind = ").push_bind(kind.clone());
    }
    if let Some(target) = filter.target_id {
        query.push(" and target_id = ").push_bind(target);
    }
    if let Some(from) = filter.from {
        query.push(" and at >= ").push_bind(from.utc());
    }
    if let Some(until) = filter.until {
        query.push(" and at < ").push_bind(until.utc());
    }
}

fn order(query: &mut QueryBuilder<Postgres>, paging: &Paging) {
    let (compared, direction) = if paging.is_descending() {
        (" < (", "desc")
    } else {
        (" > (", "asc")
    };
    if let Some(after) = paging.after {
        query.push(" and (at, id)").push(compared);
        query.push_bind(after.at.utc()).push(", ");
        query.push_bind(after.id).push(")");
    }
    query.push(" order by at ").push(direction);
    query.push(", id ").push(direction);
    query.push(" limit ").push_bind(paging.fetched());
}
