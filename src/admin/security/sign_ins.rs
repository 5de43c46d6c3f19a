//! How members of an organization signed in, or did not.

use std::net::IpAddr;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    admin::{
        Plane,
        error::ApiError,
        extract::{Json, Member, Query},
        list::{Listed, paging},
        openapi::Problems,
    },
    base::{Moment, Order, OrganizationId, UserId},
    identity::store::{
        attempt::{Method, Outcome},
        member_sign_in::{self, MemberSignIn, SignInFilter},
    },
};

/// Which sign-ins.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SignInQuery {
    /// Only those of this member.
    pub user_id: Option<UserId>,
    /// Only those that ended so.
    #[param(inline)]
    pub outcome: Option<Outcome>,
    /// Only those that are not older.
    #[param(inline)]
    pub from: Option<Moment>,
    /// Only those that are older.
    #[param(inline)]
    pub until: Option<Moment>,
    /// How many at most; 50 when absent.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u32>,
    /// The `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Which end comes first: the newest (`desc`) when absent.
    #[param(inline)]
    pub order: Option<Order>,
}

/// How somebody tried to sign in to a member's account.
#[derive(Debug, Serialize, ToSchema)]
pub struct SignInView {
    /// Its id.
    id: Uuid,
    /// When.
    at: Moment,
    /// Whose account: who tried may have been somebody else.
    user_id: UserId,
    /// How they tried.
    method: Method,
    /// How it ended.
    outcome: Outcome,
    /// From which address.
    #[schema(value_type = Option<String>)]
    address: Option<IpAddr>,
    /// What their program says of itself; empty when it says nothing.
    user_agent: String,
}

impl From<MemberSignIn> for SignInView {
    fn from(tried: MemberSignIn) -> Self {
        Self {
            id: tried.id,
            at: tried.at,
            user_id: tried.user_id,
            method: tried.method,
            outcome: tried.outcome,
            address: tried.address,
            user_agent: tried.user_agent,
        }
    }
}

/// List attempts to sign in to members' accounts
///
/// Those of who was a member then, with their outcome. Addresses that nobody has are not told, nor what members do
/// through the identity provider of another organization.
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization_id}/sign-ins",
    tag = "audit",
    params(("organization_id" = OrganizationId, Path, description = "The organization."), SignInQuery),
    responses((status = 200, description = "A page of attempts.", body = Listed<SignInView>), Problems)
)]
pub async fn list_sign_ins(
    State(plane): State<Plane>,
    member: Member,
    Query(query): Query<SignInQuery>,
) -> Result<Json<Listed<SignInView>>, ApiError> {
    let paging = paging(query.limit, query.cursor.as_deref(), query.order)?;
    let filter = SignInFilter {
        user: query.user_id,
        outcome: query.outcome,
        from: query.from,
        until: query.until,
    };
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    let page = member_sign_in::page(&mut tx, &filter, &paging).await?;
    Ok(Json(Listed::of(page, SignInView::from)))
}
