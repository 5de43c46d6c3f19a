//! What an organization sees of its members' sign-ins, in the books.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use sqlx::QueryBuilder;
use uuid::Uuid;

use super::attempt::{Method, Outcome};
use crate::{
    base::{Moment, Page, Paging, UserId},
    store::{OrgTx, StoreError},
};

/// How somebody who was a member then tried to sign in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberSignIn {
    /// Which attempt.
    pub id: Uuid,
    /// When.
    pub at: Moment,
    /// Who, or whoever gave their address.
    pub user_id: UserId,
    /// How they tried.
    pub method: Method,
    /// How it ended.
    pub outcome: Outcome,
    /// From where.
    pub address: Option<IpAddr>,
    /// What their program says of itself.
    pub user_agent: String,
}

/// Which sign-ins.
#[derive(Clone, Debug, Default)]
pub struct SignInFilter {
    /// Of one member.
    pub user: Option<UserId>,
    /// That ended so.
    pub outcome: Option<Outcome>,
    /// From then on.
    pub from: Option<Moment>,
    /// Before then.
    pub until: Option<Moment>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    at: DateTime<Utc>,
    user_id: Uuid,
    method: String,
    outcome: String,
    address: String,
    user_agent: String,
}

impl From<Row> for MemberSignIn {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            at: row.at.into(),
            user_id: row.user_id.into(),
            method: Method::of(&row.method),
            outcome: Outcome::of(&row.outcome),
            address: row.address.parse().ok(),
            user_agent: row.user_agent,
        }
    }
}

/// Returns a page of the sign-ins of this transaction's organization.
///
/// # Errors
/// When Postgres does not answer.
pub async fn page(
    tx: &mut OrgTx,
    filter: &SignInFilter,
    paging: &Paging,
) -> Result<Page<MemberSignIn>, StoreError> {
    let mut query = QueryBuilder::new(
        "select id, at, user_id, method, outcome, address, user_agent
         from audit.member_sign_ins
         where organization_id = ",
    );
    query.push_bind(tx.scope().organization().uuid());
    if let Some(user) = filter.user {
        query.push(" and user_id = ").push_bind(user.uuid());
    }
    if let Some(outcome) = filter.outcome {
        query.push(" and outcome = ").push_bind(outcome.word());
    }
    if let Some(from) = filter.from {
        query.push(" and at >= ").push_bind(from.utc());
    }
    if let Some(until) = filter.until {
        query.push(" and at < ").push_bind(until.utc());
    }
    let (beyond, direction) = if paging.is_descending() {
        ("<", "desc")
    } else {
        (">", "asc")
    };
    if let Some(after) = paging.after {
        query.push(" and (at, id) ").push(beyond).push(" (");
        query.push_bind(after.at.utc()).push(", ");
        query.push_bind(after.id).push(")");
    }
    query.push(" order by at ").push(direction);
    query.push(", id ").push(direction);
    query.push(" limit ").push_bind(paging.fetched());
    let rows: Vec<Row> = query.build_query_as().fetch_all(&mut **tx).await?;
    let rows = rows.into_iter().map(MemberSignIn::from).collect();
    Ok(paging.page(rows, |row: &MemberSignIn| (row.at, row.id)))
}
