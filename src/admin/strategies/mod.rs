//! Strategies over the API: an organization's, for its groups, keys and aliases, and the platform's one for the rest.

mod view;

pub use view::{CreateStrategy, StrategySubject, StrategyTerms, StrategyView};

use axum::{extract::State, response::IntoResponse};
use utoipa_axum::routes;

use super::{
    Plane,
    access::Access,
    catalog::Owner,
    doors::Doors,
    error::ApiError,
    etag::{IfMatch, Tagged},
    extract::{Created, Json, NoContent, Path, Query},
    list::{ListQuery, Listed},
    openapi::Problems,
};
use crate::{
    base::{OrganizationId, StrategyId},
    control::strategies::{self, StrategyRefused},
    routing::store::strategies::{self as store, Attachment},
    tenancy::Permission,
};

/// Adds the operations on an organization's strategies.
pub(super) fn of_organizations(doors: Doors) -> Doors {
    let read = Access::Member(Permission::RoutingRead);
    let write = Access::Member(Permission::RoutingWrite);
    doors
        .at(read, routes!(list_strategies))
        .at(write, routes!(create_strategy))
        .at(read, routes!(show_strategy))
        .at(write, routes!(set_strategy))
        .at(write, routes!(remove_strategy))
}

/// Adds the operations on the platform's strategy.
pub(super) fn of_platform(doors: Doors) -> Doors {
    doors
        .at(Access::Platform, routes!(show_platform_strategy))
        .at(Access::Platform, routes!(set_platform_strategy))
        .at(Access::Platform, routes!(remove_platform_strategy))
}

impl From<StrategyRefused> for ApiError {
    fn from(refused: StrategyRefused) -> Self {
        let message = refused.to_string();
        match refused {
            StrategyRefused::NoStrategy => Self::NotFound,
            StrategyRefused::NoSubject => Self::invalid("subject", message),
            StrategyRefused::Exists => Self::conflict("strategy_exists", message),
            StrategyRefused::Faulty(field, _) => Self::invalid(field, message),
            StrategyRefused::NotExpected => Self::PreconditionFailed,
            StrategyRefused::Store(error) => error.into(),
        }
    }
}

/// List strategies
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization_id}/strategies",
    tag = "routing",
    params(("organization_id" = OrganizationId, Path, description = "The organization."), ListQuery),
    responses((status = 200, description = "A page of strategies.", body = Listed<StrategyView>), Problems)
)]
pub async fn list_strategies(
    State(plane): State<Plane>,
    owner: Owner,
    Query(query): Query<ListQuery>,
) -> Result<Json<Listed<StrategyView>>, ApiError> {
    let paging = query.paging()?;
    let mut tx = owner.begin(&plane).await?;
    let page = store::list(&mut tx, owner.id, None, &paging).await?;
    Ok(Json(Listed::of(page, StrategyView::from)))
}

/// Attach a strategy
///
/// To the organization, a group, a key or an alias; each has one at most. Proxies go by it within a second.
#[utoipa::path(
    post,
    path = "/api/v1/organizations/{organization_id}/strategies",
    tag = "routing",
    params(("organization_id" = OrganizationId, Path, description = "The organization.")),
    request_body = CreateStrategy,
    responses((status = 201, description = "The strategy.", body = StrategyView), Problems)
)]
pub async fn create_strategy(
    State(plane): State<Plane>,
    owner: Owner,
    Json(body): Json<CreateStrategy>,
) -> Result<Created<Tagged<StrategyView>>, ApiError> {
    let attached = body.subject.attachment();
    let mut tx = owner.begin(&plane).await?;
    let kept = strategies::create(&mut tx, attached, body.terms.into(), owner.by).await?;
    tx.commit().await?;
    let location = owner.location("strategies", kept.id.uuid());
    Ok(Created(
        location,
        Tagged(kept.updated_at, StrategyView::from(kept)),
    ))
}

/// Tell about a strategy
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization_id}/strategies/{strategy_id}",
    tag = "routing",
    params(
        ("organization_id" = OrganizationId, Path, description = "The organization."),
        ("strategy_id" = StrategyId, Path, description = "The strategy.")),
    responses((status = 200, description = "The strategy.", body = StrategyView), Problems)
)]
pub async fn show_strategy(
    State(plane): State<Plane>,
    owner: Owner,
    Path((_organization, id)): Path<(OrganizationId, StrategyId)>,
) -> Result<impl IntoResponse, ApiError> {
    let mut tx = owner.begin(&plane).await?;
    let kept = strategies::one(&mut tx, owner.id, id).await?;
    Ok(Tagged(kept.updated_at, StrategyView::from(kept)))
}

/// Replace what a strategy says
///
/// Proxies go by it within a second.
#[utoipa::path(
    put,
    path = "/api/v1/organizations/{organization_id}/strategies/{strategy_id}",
    tag = "routing",
    params(
        ("organization_id" = OrganizationId, Path, description = "The organization."),
        ("strategy_id" = StrategyId, Path, description = "The strategy."),
        IfMatch),
    request_body = StrategyTerms,
    responses((status = 200, description = "The strategy as it is now.", body = StrategyView), Problems)
)]
pub async fn set_strategy(
    State(plane): State<Plane>,
    owner: Owner,
    Path((_organization, id)): Path<(OrganizationId, StrategyId)>,
    IfMatch(expected): IfMatch,
    Json(body): Json<StrategyTerms>,
) -> Result<impl IntoResponse, ApiError> {
    let mut tx = owner.begin(&plane).await?;
    let kept = strategies::set(&mut tx, id, body.into(), expected, owner.by).await?;
    tx.commit().await?;
    Ok(Tagged(kept.updated_at, StrategyView::from(kept)))
}

/// Take a strategy away
///
/// The next less specific one holds.
#[utoipa::path(
    delete,
    path = "/api/v1/organizations/{organization_id}/strategies/{strategy_id}",
    tag = "routing",
    params(
        ("organization_id" = OrganizationId, Path, description = "The organization."),
        ("strategy_id" = StrategyId, Path, description = "The strategy."),
        IfMatch),
    responses((status = 204, description = "It no longer holds."), Problems)
)]
pub async fn remove_strategy(
    State(plane): State<Plane>,
    owner: Owner,
    Path((_organization, id)): Path<(OrganizationId, StrategyId)>,
    IfMatch(expected): IfMatch,
) -> Result<NoContent, ApiError> {
    let mut tx = owner.begin(&plane).await?;
    strategies::remove(&mut tx, id, expected, owner.by).await?;
    tx.commit().await?;
    Ok(NoContent)
}

/// Tell about the platform's strategy
///
/// It holds for everybody who has none; when nothing is set, that is `miser` without bounds.
#[utoipa::path(
    get,
    path = "/api/v1/platform/strategy",
    tag = "routing",
    responses((status = 200, description = "The strategy.", body = StrategyView), Problems)
)]
pub async fn show_platform_strategy(
    State(plane): State<Plane>,
    owner: Owner,
) -> Result<impl IntoResponse, ApiError> {
    let mut tx = owner.begin(&plane).await?;
    let kept = strategies::of_platform(&mut tx).await?;
    Ok(Tagged(kept.updated_at, StrategyView::from(kept)))
}

/// Set the platform's strategy
///
/// Proxies go by it within a second.
#[utoipa::path(
    put,
    path = "/api/v1/platform/strategy",
    tag = "routing",
    params(IfMatch),
    request_body = StrategyTerms,
    responses((status = 200, description = "The strategy as it is now.", body = StrategyView), Problems)
)]
pub async fn set_platform_strategy(
    State(plane): State<Plane>,
    owner: Owner,
    IfMatch(expected): IfMatch,
    Json(body): Json<StrategyTerms>,
) -> Result<impl IntoResponse, ApiError> {
    let terms = body.into();
    let mut tx = owner.begin(&plane).await?;
    let kept = match strategies::of_platform(&mut tx).await {
        Ok(old) => strategies::set(&mut tx, old.id, terms, expected, owner.by).await?,
        Err(StrategyRefused::NoStrategy) if expected.is_none() => {
            strategies::create(&mut tx, Attachment::Platform, terms, owner.by).await?
        }
        Err(StrategyRefused::NoStrategy) => return Err(ApiError::PreconditionFailed),
        Err(refused) => return Err(refused.into()),
    };
    tx.commit().await?;
    Ok(Tagged(kept.updated_at, StrategyView::from(kept)))
}

/// Take the platform's strategy away
///
/// Who has none of their own goes by `miser` without bounds then.
#[utoipa::path(
    delete,
    path = "/api/v1/platform/strategy",
    tag = "routing",
    params(IfMatch),
    responses((status = 204, description = "It no longer holds."), Problems)
)]
pub async fn remove_platform_strategy(
    State(plane): State<Plane>,
    owner: Owner,
    IfMatch(expected): IfMatch,
) -> Result<NoContent, ApiError> {
    let mut tx = owner.begin(&plane).await?;
    let old = strategies::of_platform(&mut tx).await?;
    strategies::remove(&mut tx, old.id, expected, owner.by).await?;
    tx.commit().await?;
    Ok(NoContent)
}
