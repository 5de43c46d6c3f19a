//! Offers over the API: models as one provider sells them.

pub mod platform;
pub mod view;

use axum::extract::State;
use serde::Deserialize;
use uuid::Uuid;

use self::view::{ChangeOffer, CreateOffer, OfferView};
use super::{
    owner::{CatalogQuery, Owner},
    patch::set,
};
use crate::{
    admin::{
        Plane,
        error::ApiError,
        etag::{IfMatch, Tagged},
        extract::{Created, Json, NoContent, Path, Query},
        list::Listed,
        openapi::Problems,
    },
    base::OrganizationId,
    catalog::{
        PriceEntry,
        file::OfferEntry,
        store::{self},
    },
    control::catalog::offers as control,
};

/// Which offer.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct At {
    offer_id: Uuid,
}

/// List the offers an organization may use: its own and the platform's
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization_id}/offers",
    tag = "catalog",
    params(("organization_id" = OrganizationId, Path), CatalogQuery),
    responses((status = 200, description = "A page.", body = Listed<OfferView>), Problems)
)]
pub async fn list_offers(
    State(plane): State<Plane>,
    owner: Owner,
    Query(query): Query<CatalogQuery>,
) -> Result<Json<Listed<OfferView>>, ApiError> {
    let sought = query.sought(&owner)?;
    let mut tx = owner.begin(&plane).await?;
    let rows = store::offers::list(&mut tx, owner.id, &sought).await?;
    let page = sought.paging.page(rows, |row| (row.created_at, row.id));
    Ok(Json(Listed::of(page, OfferView::of)))
}

/// Add an offer of the organization's own
#[utoipa::path(
    post,
    path = "/api/v1/organizations/{organization_id}/offers",
    tag = "catalog",
    request_body = CreateOffer,
    params(("organization_id" = OrganizationId, Path)),
    responses((status = 201, description = "Made.", body = OfferView), Problems)
)]
pub async fn create_offer(
    State(plane): State<Plane>,
    owner: Owner,
    Json(request): Json<CreateOffer>,
) -> Result<Created<Tagged<OfferView>>, ApiError> {
    let entry = OfferEntry {
        provider: String::new(),
        model: String::new(),
        upstream_name: request.upstream_name,
        tier: request.tier,
        price: request.price.map(|price| PriceEntry {
            quote: price.quote(),
            source: request.source.clone(),
            stated_on: request.stated_on,
        }),
        abilities: request.abilities,
        context_window: request.context_window,
        max_output: request.max_output,
        preference: request.preference,
        enabled: request.is_enabled.unwrap_or(true),
        source: request.source,
        stated_on: request.stated_on,
        allowances: Vec::new(),
    };
    let (provider, model) = (request.provider_id, request.model_id);
    let mut tx = owner.begin(&plane).await?;
    let row = control::create(&mut tx, provider, model, entry, owner.by).await?;
    tx.commit().await?;
    let location = owner.location("offers", row.id);
    Ok(Created(
        location,
        Tagged(row.updated_at, OfferView::of(row)),
    ))
}

/// Show an offer
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization_id}/offers/{offer_id}",
    tag = "catalog",
    params(("organization_id" = OrganizationId, Path), ("offer_id" = Uuid, Path)),
    responses((status = 200, description = "As it is.", body = OfferView), Problems)
)]
pub async fn show_offer(
    State(plane): State<Plane>,
    owner: Owner,
    Path(path): Path<At>,
) -> Result<Tagged<OfferView>, ApiError> {
    let mut tx = owner.begin(&plane).await?;
    let row = control::one(&mut tx, path.offer_id).await?;
    Ok(Tagged(row.updated_at, OfferView::of(row)))
}

/// Change an offer of the organization's own
#[utoipa::path(
    patch,
    path = "/api/v1/organizations/{organization_id}/offers/{offer_id}",
    tag = "catalog",
    request_body = ChangeOffer,
    params(("organization_id" = OrganizationId, Path), ("offer_id" = Uuid, Path), IfMatch),
    responses((status = 200, description = "Changed.", body = OfferView), Problems)
)]
pub async fn change_offer(
    State(plane): State<Plane>,
    owner: Owner,
    Path(path): Path<At>,
    IfMatch(seen): IfMatch,
    Json(request): Json<ChangeOffer>,
) -> Result<Tagged<OfferView>, ApiError> {
    let mut tx = owner.begin(&plane).await?;
    let patch = |entry: &mut OfferEntry| {
        set(&mut entry.upstream_name, request.upstream_name);
        set(&mut entry.abilities, request.abilities);
        set(&mut entry.context_window, request.context_window);
        set(&mut entry.max_output, request.max_output);
        set(&mut entry.preference, request.preference);
        set(&mut entry.enabled, request.is_enabled);
        set(&mut entry.source, request.source);
        set(&mut entry.stated_on, request.stated_on);
    };
    let (id, model) = (path.offer_id, request.model_id);
    let row = control::change(&mut tx, id, seen, model, patch, owner.by).await?;
    tx.commit().await?;
    Ok(Tagged(row.updated_at, OfferView::of(row)))
}

/// Take an offer of the organization's own out of the catalog
#[utoipa::path(
    delete,
    path = "/api/v1/organizations/{organization_id}/offers/{offer_id}",
    tag = "catalog",
    params(("organization_id" = OrganizationId, Path), ("offer_id" = Uuid, Path), IfMatch),
    responses((status = 204, description = "Gone."), Problems)
)]
pub async fn remove_offer(
    State(plane): State<Plane>,
    owner: Owner,
    Path(path): Path<At>,
    IfMatch(seen): IfMatch,
) -> Result<NoContent, ApiError> {
    let mut tx = owner.begin(&plane).await?;
    control::remove(&mut tx, path.offer_id, seen, owner.by).await?;
    tx.commit().await?;
    Ok(NoContent)
}
