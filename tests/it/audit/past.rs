//! Rows that were written long ago.

use chrono::{DateTime, Utc};
use synaxis::{
    audit::{
        chain::{Keyed, Previous, Row},
        store::rows_in_order,
    },
    base::OrganizationId,
    store::Whose,
};

use super::Log;
use crate::stack::database::audit_keys;

/// Writes an organization's chain again, as if its rows had been written at `times`, one each, rightly linked.
pub async fn backdate(log: &Log, organization: OrganizationId, times: &[DateTime<Utc>]) {
    let whose = Whose::Organization(organization);
    let mut tx = log.postgres.begin_as(whose).await.expect("a transaction");
    let rows = rows_in_order(&mut tx, whose, None, 1_000)
        .await
        .expect("rows");
    drop(tx);
    assert_eq!(rows.len(), times.len(), "a time for each row");
    let mut previous = Previous::Beginning { unchained: 0 };
    for (row, at) in rows.into_iter().zip(times) {
        let row = Row { at: *at, ..row };
        let Keyed { key_id, hash } = audit_keys().link(&previous, &row);
        rewrite(log, &row, &key_id, &hash).await;
        previous = Previous::Hash(hash);
    }
}

async fn rewrite(log: &Log, row: &Row, key_id: &str, hash: &[u8]) {
    let mut superuser = log.database.connect().await;
    sqlx::query("select platform.make_month('audit.audit_logs', $1)")
        .bind(row.at)
        .execute(&mut superuser)
        .await
        .expect("a month");
    sqlx::query("update audit.audit_logs set at = $2, key_id = $3, hash = $4 where id = $1")
        .bind(row.id)
        .bind(row.at)
        .bind(key_id)
        .bind(hash)
        .execute(&mut superuser)
        .await
        .expect("a row");
    sqlx::query("update audit.chain_heads set hash = $3, updated_at = $4 where organization_id = $1 and seq = $2")
        .bind(row.organization_id)
        .bind(row.seq)
        .bind(hash)
        .bind(row.at)
        .execute(&mut superuser)
        .await
        .expect("an end");
}
