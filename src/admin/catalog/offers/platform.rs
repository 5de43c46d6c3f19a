//! The platform's offers: the same operations on other rows.

use axum::extract::State;

use super::{
    At, change_offer, create_offer, list_offers, remove_offer, show_offer,
    view::{ChangeOffer, CreateOffer, OfferView},
};
use crate::admin::{
    Plane,
    catalog::owner::{CatalogQuery, Owner},
    error::ApiError,
    etag::{IfMatch, Tagged},
    extract::{Created, Json, NoContent, Path, Query},
    list::Listed,
    openapi::Problems,
};

/// List the platform's offers
#[utoipa::path(
    get,
    path = "/api/v1/platform/offers",
    tag = "catalog",
    params(CatalogQuery),
    responses((status = 200, description = "A page.", body = Listed<OfferView>), Problems)
)]
pub async fn list_platform_offers(
    State(plane): State<Plane>,
    owner: Owner,
    Query(query): Query<CatalogQuery>,
) -> Result<Json<Listed<OfferView>>, ApiError> {
    list_offers(State(plane), owner, Query(query)).await
}

/// Add an offer for everybody
#[utoipa::path(
    post,
    path = "/api/v1/platform/offers",
    tag = "catalog",
    request_body = CreateOffer,
    responses((status = 201, description = "Made.", body = OfferView), Problems)
)]
pub async fn create_platform_offer(
    State(plane): State<Plane>,
    owner: Owner,
    Json(request): Json<CreateOffer>,
) -> Result<Created<Tagged<OfferView>>, ApiError> {
    create_offer(State(plane), owner, Json(request)).await
}

/// Show an offer of the platform
#[utoipa::path(
    get,
    path = "/api/v1/platform/offers/{offer_id}",
    tag = "catalog",
    params(("offer_id" = Uuid, Path)),
    responses((status = 200, description = "As it is.", body = OfferView), Problems)
)]
pub async fn show_platform_offer(
    State(plane): State<Plane>,
    owner: Owner,
    Path(path): Path<At>,
) -> Result<Tagged<OfferView>, ApiError> {
    show_offer(State(plane), owner, Path(path)).await
}

/// Change an offer of the platform
#[utoipa::path(
    patch,
    path = "/api/v1/platform/offers/{offer_id}",
    tag = "catalog",
    request_body = ChangeOffer,
    params(("offer_id" = Uuid, Path), IfMatch),
    responses((status = 200, description = "Changed.", body = OfferView), Problems)
)]
pub async fn change_platform_offer(
    State(plane): State<Plane>,
    owner: Owner,
    Path(path): Path<At>,
    IfMatch(seen): IfMatch,
    Json(request): Json<ChangeOffer>,
) -> Result<Tagged<OfferView>, ApiError> {
    change_offer(
        State(plane),
        owner,
        Path(path),
        IfMatch(seen),
        Json(request),
    )
    .await
}

/// Take an offer of the platform out of the catalog
#[utoipa::path(
    delete,
    path = "/api/v1/platform/offers/{offer_id}",
    tag = "catalog",
    params(("offer_id" = Uuid, Path), IfMatch),
    responses((status = 204, description = "Gone."), Problems)
)]
pub async fn remove_platform_offer(
    State(plane): State<Plane>,
    owner: Owner,
    Path(path): Path<At>,
    IfMatch(seen): IfMatch,
) -> Result<NoContent, ApiError> {
    remove_offer(State(plane), owner, Path(path), IfMatch(seen)).await
}
