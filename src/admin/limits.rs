//! Limits and budgets: at every level, and what is left of them.

use axum::{extract::State, response::IntoResponse};
use chrono_tz::Tz;
use garde::Validate;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    Plane,
    error::ApiError,
    etag::{IfMatch, Tagged},
    extract::{Created, Json, Member, NoContent, Path, Query},
    keys::reach,
    limit_views::{BalanceView, HoldingView, LimitSubject, LimitView},
    list::{Listed, paging},
    openapi::Problems,
};
use crate::{
    base::{ApiKeyId, GroupId, LimitId, Order, OrganizationId, UserId},
    control::{
        balance::balances,
        limits::{self, LimitChange, LimitRefused, NewLimit, Terms},
        own_keys,
        store::{self, LimitFilter},
    },
    quota::{
        BooksAway, Limit,
        limit::{Enforcement, Meter, Mode, Window},
    },
    store::OrgTx,
    tenancy::store::{groups, members},
};

/// How much of what, per which window, and how strictly.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyTerms {
    /// What is counted.
    #[garde(skip)]
    meter: Meter,
    /// Over which time; `instant` for calls in flight and nothing else.
    #[garde(skip)]
    window: Window,
    /// How much: calls, tokens or nano-dollars.
    #[garde(range(max = limits::LARGEST))]
    amount: u64,
    /// Whether the true use may pass the amount; when absent only for tokens per minute or hour.
    #[garde(skip)]
    enforcement: Option<Enforcement>,
    /// Whether it refuses, or only counts what it would have refused.
    #[garde(skip)]
    mode: Option<Mode>,
    /// Where its day begins, such as `Europe/Berlin`; UTC when absent.
    #[garde(length(max = 64))]
    zone: Option<String>,
}

impl KeyTerms {
    /// Returns the terms, the usual ones where nothing is said.
    pub(super) fn terms(self) -> Result<Terms, ApiError> {
        let usual = Terms::usual(self.meter, self.window, self.amount);
        Ok(Terms {
            enforcement: self.enforcement.unwrap_or(usual.enforcement),
            mode: self.mode.unwrap_or(usual.mode),
            zone: self.zone.as_deref().map_or(Ok(usual.zone), zone)?,
            ..usual
        })
    }
}

fn zone(text: &str) -> Result<Tz, ApiError> {
    let zone = text.parse();
    zone.map_err(|_| ApiError::invalid("zone", "write a time zone such as Europe/Berlin"))
}

/// A limit to be made.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateLimit {
    /// Whose use it counts.
    #[garde(skip)]
    subject: LimitSubject,
    /// How much of what.
    #[garde(dive)]
    terms: KeyTerms,
}

/// What shall be other; absent fields stay. Another subject, meter or window is another limit.
#[derive(Default, Deserialize, Validate, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ChangeLimit {
    /// How much.
    #[garde(range(max = limits::LARGEST))]
    amount: Option<u64>,
    /// Whether the true use may pass the amount.
    #[garde(skip)]
    enforcement: Option<Enforcement>,
    /// Whether it refuses.
    #[garde(skip)]
    mode: Option<Mode>,
    /// Where its day begins.
    #[garde(length(max = 64))]
    zone: Option<String>,
}

/// Which limits are listed.
#[derive(Default, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LimitQuery {
    /// How many at most; 50 when absent.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
    /// Which end comes first: the newest (`desc`) when absent.
    #[param(inline)]
    order: Option<Order>,
    /// Of one kind of subject: `organization`, `group`, `user`, `key`, `key_model` or `credential`.
    subject_kind: Option<String>,
    /// Of one group.
    group_id: Option<GroupId>,
    /// Of one member.
    user_id: Option<UserId>,
    /// Of one key.
    key_id: Option<ApiKeyId>,
}

/// For whom limits hold: a member, a group, or the organization alone.
#[derive(Default, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EffectiveQuery {
    /// A member; their primary group counts when no group is given.
    user_id: Option<UserId>,
    /// A group.
    group_id: Option<GroupId>,
}

impl From<LimitRefused> for ApiError {
    fn from(refused: LimitRefused) -> Self {
        let message = refused.to_string();
        match refused {
            LimitRefused::NoSubject | LimitRefused::NoLimit => Self::NotFound,
            LimitRefused::WrongWindow => Self::invalid("window", message),
            LimitRefused::TooLarge => Self::invalid("amount", message),
            LimitRefused::Exists => Self::conflict("limit_exists", message),
            LimitRefused::NotExpected => Self::PreconditionFailed,
            LimitRefused::Store(error) => error.into(),
        }
    }
}

impl From<BooksAway> for ApiError {
    fn from(away: BooksAway) -> Self {
        tracing::warn!(error = %away.0, "what was spent cannot be read");
        Self::Unavailable
    }
}

/// List limits
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization_id}/limits",
    tag = "limits",
    params(("organization_id" = OrganizationId, Path, description = "The organization."), LimitQuery),
    responses((status = 200, description = "A page of limits.", body = Listed<LimitView>), Problems)
)]
pub async fn list_limits(
    State(plane): State<Plane>,
    member: Member,
    Query(query): Query<LimitQuery>,
) -> Result<Json<Listed<LimitView>>, ApiError> {
    let paging = paging(query.limit, query.cursor.as_deref(), query.order)?;
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    let api_key = match query.key_id {
        Some(key) => Some(limits::lineage(&mut tx, key).await?),
        None => None,
    };
    let filter = LimitFilter {
        id: None,
        kind: query.subject_kind.as_deref(),
        group: query.group_id,
        user: query.user_id,
        api_key,
    };
    let page = store::find_limits(&mut tx, filter, paging).await?;
    Ok(Json(Listed::of(page, LimitView::from)))
}

/// Make a limit
///
/// Of a rotated key it holds for the whole chain of keys. Proxies know within a second.
#[utoipa::path(
    post,
    path = "/api/v1/organizations/{organization_id}/limits",
    tag = "limits",
    params(("organization_id" = OrganizationId, Path, description = "The organization.")),
    request_body = CreateLimit,
    responses((status = 201, description = "The limit.", body = LimitView), Problems)
)]
pub async fn create_limit(
    State(plane): State<Plane>,
    member: Member,
    Json(body): Json<CreateLimit>,
) -> Result<impl IntoResponse, ApiError> {
    let new = NewLimit {
        subject: body.subject.subject(member.scope),
        terms: body.terms.terms()?,
    };
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    let kept = limits::create(&mut tx, new, member.by()).await?;
    tx.commit().await?;
    let organization = member.scope.organization();
    let location = format!(
        "/api/v1/organizations/{organization}/limits/{}",
        kept.limit.id
    );
    Ok(Created(
        location,
        Tagged(kept.updated_at, LimitView::from(kept)),
    ))
}

/// Tell about a limit
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization_id}/limits/{limit_id}",
    tag = "limits",
    params(
        ("organization_id" = OrganizationId, Path, description = "The organization."),
        ("limit_id" = LimitId, Path, description = "The limit.")),
    responses((status = 200, description = "The limit.", body = LimitView), Problems)
)]
pub async fn show_limit(
    State(plane): State<Plane>,
    member: Member,
    Path((_organization, limit)): Path<(OrganizationId, LimitId)>,
) -> Result<impl IntoResponse, ApiError> {
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    let kept = limits::find(&mut tx, limit).await?;
    Ok(Tagged(kept.updated_at, LimitView::from(kept)))
}

/// Change a limit
///
/// What was used of it stays used. Proxies know within a second.
#[utoipa::path(
    patch,
    path = "/api/v1/organizations/{organization_id}/limits/{limit_id}",
    tag = "limits",
    params(
        ("organization_id" = OrganizationId, Path, description = "The organization."),
        ("limit_id" = LimitId, Path, description = "The limit."),
        IfMatch),
    request_body = ChangeLimit,
    responses((status = 200, description = "The limit as it is now.", body = LimitView), Problems)
)]
pub async fn change_limit(
    State(plane): State<Plane>,
    member: Member,
    Path((_organization, limit)): Path<(OrganizationId, LimitId)>,
    IfMatch(expected): IfMatch,
    Json(body): Json<ChangeLimit>,
) -> Result<impl IntoResponse, ApiError> {
    let change = LimitChange {
        amount: body.amount,
        enforcement: body.enforcement,
        mode: body.mode,
        zone: body.zone.as_deref().map(zone).transpose()?,
    };
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    let kept = limits::change(&mut tx, limit, change, expected, member.by()).await?;
    tx.commit().await?;
    Ok(Tagged(kept.updated_at, LimitView::from(kept)))
}

/// Take a limit away
#[utoipa::path(
    delete,
    path = "/api/v1/organizations/{organization_id}/limits/{limit_id}",
    tag = "limits",
    params(
        ("organization_id" = OrganizationId, Path, description = "The organization."),
        ("limit_id" = LimitId, Path, description = "The limit.")),
    responses((status = 204, description = "It no longer holds."), Problems)
)]
pub async fn delete_limit(
    State(plane): State<Plane>,
    member: Member,
    Path((_organization, limit)): Path<(OrganizationId, LimitId)>,
) -> Result<NoContent, ApiError> {
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    if !limits::remove(&mut tx, limit, member.by()).await? {
        return Err(ApiError::NotFound);
    }
    tx.commit().await?;
    Ok(NoContent)
}

/// Tell which limits hold, and what is left of them
///
/// For a member, a group, or the organization alone. As booked: what is in flight is not counted yet.
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization_id}/limits/effective",
    tag = "limits",
    params(("organization_id" = OrganizationId, Path, description = "The organization."), EffectiveQuery),
    responses((status = 200, description = "What holds: the nearest first.", body = HoldingView), Problems)
)]
pub async fn list_effective_limits(
    State(plane): State<Plane>,
    member: Member,
    Query(query): Query<EffectiveQuery>,
) -> Result<Json<HoldingView>, ApiError> {
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    let mut group = query.group_id;
    if let Some(user) = query.user_id {
        let found = members::find_member(&mut tx, user).await?;
        group = group.or(found.ok_or(ApiError::NotFound)?.primary_group_id);
    }
    if let Some(group) = group {
        let found = groups::find_group(&mut tx, group).await?;
        found.ok_or(ApiError::NotFound)?;
    }
    let holding = store::limits_holding(&mut tx, None, query.user_id, group).await?;
    left(&plane, tx, member, holding).await
}

/// Tell which limits hold for a key, and what is left of them
///
/// Its own, then its member's, its group's, the organization's. As booked: what is in flight is not counted yet.
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization_id}/keys/{key_id}/limits",
    tag = "keys",
    params(
        ("organization_id" = OrganizationId, Path, description = "The organization."),
        ("key_id" = ApiKeyId, Path, description = "The key.")),
    responses((status = 200, description = "What holds: the nearest first.", body = HoldingView), Problems)
)]
pub async fn list_key_limits(
    State(plane): State<Plane>,
    member: Member,
    Path((_organization, key)): Path<(OrganizationId, ApiKeyId)>,
) -> Result<Json<HoldingView>, ApiError> {
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    let key = own_keys::find(&mut tx, &key.to_string(), reach(&member)).await?;
    let mut group = key.group_id;
    if let (None, Some(user)) = (group, key.user_id) {
        let found = members::find_member(&mut tx, user).await?;
        group = found.and_then(|member| member.primary_group_id);
    }
    let lineage = Some(key.lineage());
    let holding = store::limits_holding(&mut tx, lineage, key.user_id, group).await?;
    left(&plane, tx, member, holding).await
}

/// Ends the transaction and tells what is left of limits.
async fn left(
    plane: &Plane,
    tx: OrgTx,
    member: Member,
    holding: Vec<Limit>,
) -> Result<Json<HoldingView>, ApiError> {
    tx.commit().await?;
    let organization = member.scope.organization();
    let now = member.person.now;
    let balances = balances(&plane.postgres, organization, holding, now).await?;
    let data = balances.into_iter().map(BalanceView::from).collect();
    Ok(Json(HoldingView { data }))
}
