//! The keys in the books.

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use uuid::Uuid;

use super::grant::Grant;
use crate::{
    base::{ApiKeyId, GroupId, Moment, UserId},
    store::{Conn, OrgTx, StoreError},
};

/// Returns what the key with this public id grants, whoever's it is.
///
/// Goes through the definer's function: whose key it is, is the answer and not the question.
///
/// # Errors
/// When Postgres does not answer.
pub async fn find_grant(conn: &mut Conn, public_id: &str) -> Result<Option<Grant>, StoreError> {
    let grant = sqlx::query_scalar!(
        r#"select operations.grant_by_public_id($1) as "grant: Json<Grant>""#,
        public_id
    )
    .fetch_one(conn)
    .await?;
    Ok(grant.map(|Json(grant)| grant))
}
