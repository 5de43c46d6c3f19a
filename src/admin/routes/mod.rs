//! Routes over the API: which offer goes first for a model, what became of it, and insisting on one.

mod view;

pub use view::{RouteChangeView, RouteView};

use axum::{extract::State, response::IntoResponse};
use garde::Validate;
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::{
    Plane,
    access::Access,
    doors::Doors,
    error::ApiError,
    etag::{IfMatch, Tagged},
    extract::{Created, Json, Member, Path, Query},
    list::{ListQuery, Listed},
    openapi::Problems,
};
use crate::{
    base::{ModelId, OfferId, OrganizationId, RouteId},
    control::routes::{self, RouteRefused},
    routing::store::routes as store,
    tenancy::Permission,
};

/// Adds the operations on an organization's routes.
pub(super) fn of_organizations(doors: Doors) -> Doors {
    let read = Access::Member(Permission::RoutingRead);
    let write = Access::Member(Permission::RoutingWrite);
    doors
        .at(read, routes!(list_routes))
        .at(write, routes!(pin_route))
        .at(read, routes!(show_route))
        .at(read, routes!(list_route_changes))
        .at(write, routes!(unpin_route))
        .at(write, routes!(put_back_route))
}

/// An offer somebody insists on.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct PinRoute {
    /// For which model.
    model_id: ModelId,
    /// Which offer: of that model, or of one that was accepted in its place.
    offer_id: OfferId,
}

impl From<RouteRefused> for ApiError {
    fn from(refused: RouteRefused) -> Self {
        let message = refused.to_string();
        match refused {
            RouteRefused::NoRoute => Self::NotFound,
            RouteRefused::NoOffer => Self::invalid("offer_id", message),
            RouteRefused::NotExpected => Self::PreconditionFailed,
            RouteRefused::Pinned => Self::conflict("route_pinned", message),
            RouteRefused::NotPinned => Self::conflict("route_not_pinned", message),
            RouteRefused::Same => Self::conflict("route_unchanged", message),
            RouteRefused::FreeToPaid => Self::conflict("free_to_paid", message),
            RouteRefused::Restless => Self::conflict("route_moved_lately", message),
            RouteRefused::NothingBefore => Self::conflict("nothing_to_put_back", message),
            RouteRefused::Store(error) => error.into(),
        }
    }
}

/// List routes
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization_id}/routes",
    tag = "routing",
    params(("organization_id" = OrganizationId, Path, description = "The organization."), ListQuery),
    responses((status = 200, description = "A page of routes.", body = Listed<RouteView>), Problems)
)]
pub async fn list_routes(
    State(plane): State<Plane>,
    member: Member,
    Query(query): Query<ListQuery>,
) -> Result<Json<Listed<RouteView>>, ApiError> {
    let paging = query.paging()?;
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    let page = store::list(&mut tx, None, None, &paging).await?;
    Ok(Json(Listed::of(page, RouteView::from)))
}

/// Insist on an offer for a model
///
/// It goes before every other offer of the model, free ones too, and agents leave it there. Proxies know within a
/// second.
#[utoipa::path(
    post,
    path = "/api/v1/organizations/{organization_id}/routes",
    tag = "routing",
    params(("organization_id" = OrganizationId, Path, description = "The organization."), IfMatch),
    request_body = PinRoute,
    responses((status = 201, description = "The route as it is now.", body = RouteView), Problems)
)]
pub async fn pin_route(
    State(plane): State<Plane>,
    member: Member,
    IfMatch(expected): IfMatch,
    Json(body): Json<PinRoute>,
) -> Result<impl IntoResponse, ApiError> {
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    let by = member.by();
    let kept = routes::pin(&mut tx, body.model_id, body.offer_id, expected, by).await?;
    tx.commit().await?;
    let organization = member.scope.organization();
    let location = format!("/api/v1/organizations/{organization}/routes/{}", kept.id);
    Ok(Created(
        location,
        Tagged(kept.updated_at, RouteView::from(kept)),
    ))
}

/// Tell about a route
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization_id}/routes/{route_id}",
    tag = "routing",
    params(
        ("organization_id" = OrganizationId, Path, description = "The organization."),
        ("route_id" = RouteId, Path, description = "The route.")),
    responses((status = 200, description = "The route.", body = RouteView), Problems)
)]
pub async fn show_route(
    State(plane): State<Plane>,
    member: Member,
    Path((_organization, route)): Path<(OrganizationId, RouteId)>,
) -> Result<impl IntoResponse, ApiError> {
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    let kept = routes::one(&mut tx, route).await?;
    Ok(Tagged(kept.updated_at, RouteView::from(kept)))
}

/// Tell what became of a route
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization_id}/routes/{route_id}/changes",
    tag = "routing",
    params(
        ("organization_id" = OrganizationId, Path, description = "The organization."),
        ("route_id" = RouteId, Path, description = "The route."),
        ListQuery),
    responses((status = 200, description = "A page of changes.", body = Listed<RouteChangeView>), Problems)
)]
pub async fn list_route_changes(
    State(plane): State<Plane>,
    member: Member,
    Path((_organization, route)): Path<(OrganizationId, RouteId)>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Listed<RouteChangeView>>, ApiError> {
    let paging = query.paging()?;
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    routes::one(&mut tx, route).await?;
    let page = store::changes(&mut tx, Some(route), &paging).await?;
    Ok(Json(Listed::of(page, RouteChangeView::from)))
}

/// Insist on a route's offer no more
///
/// The route stays where it is until agents find a better one.
#[utoipa::path(
    post,
    path = "/api/v1/organizations/{organization_id}/routes/{route_id}/unpin",
    tag = "routing",
    params(
        ("organization_id" = OrganizationId, Path, description = "The organization."),
        ("route_id" = RouteId, Path, description = "The route."),
        IfMatch),
    responses((status = 200, description = "The route as it is now.", body = RouteView), Problems)
)]
pub async fn unpin_route(
    State(plane): State<Plane>,
    member: Member,
    Path((_organization, route)): Path<(OrganizationId, RouteId)>,
    IfMatch(expected): IfMatch,
) -> Result<impl IntoResponse, ApiError> {
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    let kept = routes::unpin(&mut tx, route, expected, member.by()).await?;
    tx.commit().await?;
    Ok(Tagged(kept.updated_at, RouteView::from(kept)))
}

/// Undo the last move of a route
#[utoipa::path(
    post,
    path = "/api/v1/organizations/{organization_id}/routes/{route_id}/put-back",
    tag = "routing",
    params(
        ("organization_id" = OrganizationId, Path, description = "The organization."),
        ("route_id" = RouteId, Path, description = "The route."),
        IfMatch),
    responses((status = 200, description = "The route as it is now.", body = RouteView), Problems)
)]
pub async fn put_back_route(
    State(plane): State<Plane>,
    member: Member,
    Path((_organization, route)): Path<(OrganizationId, RouteId)>,
    IfMatch(expected): IfMatch,
) -> Result<impl IntoResponse, ApiError> {
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    let kept = routes::put_back(&mut tx, route, expected, json!({}), member.by()).await?;
    tx.commit().await?;
    Ok(Tagged(kept.updated_at, RouteView::from(kept)))
}
