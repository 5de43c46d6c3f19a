//! Prices in quarantine over the API: they look wrong, and wait for somebody's word.

use axum::extract::State;
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    owner::{Owner, QuarantineQuery},
    prices::PriceAmounts,
};
use crate::{
    admin::{
        Plane,
        error::ApiError,
        extract::{Json, Path, Query},
        list::Listed,
        openapi::Problems,
    },
    base::{Moment, OrganizationId, UserId},
    catalog::{
        Suspicion,
        store::{
            self,
            quarantine::{Fate, QuarantinedPrice},
        },
    },
    control::catalog::quarantine as control,
};

/// A price that waits, or waited, for somebody's word.
#[derive(Debug, Serialize, ToSchema)]
pub struct QuarantinedPriceView {
    /// Its id.
    id: Uuid,
    /// Whose price.
    offer_id: Uuid,
    /// The offer's provider, upstream name and tier.
    offer: String,
    /// Why it waits.
    reason: Suspicion,
    /// What it says.
    amounts: PriceAmounts,
    /// From when it is to hold; null is at once.
    valid_from: Option<Moment>,
    /// Where it was read.
    source: String,
    /// When it was read there.
    stated_on: Option<NaiveDate>,
    /// What became of it.
    status: Fate,
    /// When somebody decided.
    decided_at: Option<Moment>,
    /// Who decided; null although decided: a later price, or an operator.
    decided_by: Option<UserId>,
    /// Since when it waits.
    created_at: Moment,
}

impl QuarantinedPriceView {
    fn of(price: QuarantinedPrice) -> Self {
        Self {
            id: price.id,
            offer_id: price.offer_id,
            offer: price.offer,
            reason: price.reason,
            amounts: PriceAmounts::of(&price.entry.quote),
            valid_from: price.valid_from,
            source: price.entry.source,
            stated_on: price.entry.stated_on,
            status: price.fate,
            decided_at: price.decided_at,
            decided_by: price.decided_by,
            created_at: price.created_at,
        }
    }
}

/// Which price.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct At {
    quarantined_price_id: Uuid,
}

/// List the organization's prices that wait for somebody's word
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization_id}/quarantined-prices",
    tag = "catalog",
    params(("organization_id" = OrganizationId, Path), QuarantineQuery),
    responses((status = 200, description = "A page.", body = Listed<QuarantinedPriceView>), Problems)
)]
pub async fn list_quarantined_prices(
    State(plane): State<Plane>,
    owner: Owner,
    Query(query): Query<QuarantineQuery>,
) -> Result<Json<Listed<QuarantinedPriceView>>, ApiError> {
    let sought = query.sought()?;
    let mut tx = owner.begin(&plane).await?;
    let prices = store::quarantine::list(&mut tx, owner.id, &sought, query.status).await?;
    let page = sought
        .paging
        .page(prices, |price| (price.created_at, price.id));
    Ok(Json(Listed::of(page, QuarantinedPriceView::of)))
}

/// List the platform's prices that wait for somebody's word
#[utoipa::path(
    get,
    path = "/api/v1/platform/quarantined-prices",
    tag = "catalog",
    params(QuarantineQuery),
    responses((status = 200, description = "A page.", body = Listed<QuarantinedPriceView>), Problems)
)]
pub async fn list_platform_quarantined_prices(
    State(plane): State<Plane>,
    owner: Owner,
    Query(query): Query<QuarantineQuery>,
) -> Result<Json<Listed<QuarantinedPriceView>>, ApiError> {
    list_quarantined_prices(State(plane), owner, Query(query)).await
}

/// Let a price of the organization count after all
#[utoipa::path(
    post,
    path = "/api/v1/organizations/{organization_id}/quarantined-prices/{quarantined_price_id}/release",
    tag = "catalog",
    params(("organization_id" = OrganizationId, Path), ("quarantined_price_id" = Uuid, Path)),
    responses((status = 200, description = "It counts.", body = QuarantinedPriceView), Problems)
)]
pub async fn release_price(
    State(plane): State<Plane>,
    owner: Owner,
    Path(path): Path<At>,
) -> Result<Json<QuarantinedPriceView>, ApiError> {
    let mut tx = owner.begin(&plane).await?;
    let price = control::release(&mut tx, path.quarantined_price_id, owner.by).await?;
    tx.commit().await?;
    Ok(Json(QuarantinedPriceView::of(price)))
}

/// Let a price of the platform count after all
#[utoipa::path(
    post,
    path = "/api/v1/platform/quarantined-prices/{quarantined_price_id}/release",
    tag = "catalog",
    params(("quarantined_price_id" = Uuid, Path)),
    responses((status = 200, description = "It counts.", body = QuarantinedPriceView), Problems)
)]
pub async fn release_platform_price(
    State(plane): State<Plane>,
    owner: Owner,
    Path(path): Path<At>,
) -> Result<Json<QuarantinedPriceView>, ApiError> {
    release_price(State(plane), owner, Path(path)).await
}

/// Throw a price of the organization away; the one in force stays
#[utoipa::path(
    post,
    path = "/api/v1/organizations/{organization_id}/quarantined-prices/{quarantined_price_id}/reject",
    tag = "catalog",
    params(("organization_id" = OrganizationId, Path), ("quarantined_price_id" = Uuid, Path)),
    responses((status = 200, description = "The old one stays.", body = QuarantinedPriceView), Problems)
)]
pub async fn reject_price(
    State(plane): State<Plane>,
    owner: Owner,
    Path(path): Path<At>,
) -> Result<Json<QuarantinedPriceView>, ApiError> {
    let mut tx = owner.begin(&plane).await?;
    let price = control::reject(&mut tx, path.quarantined_price_id, owner.by).await?;
    tx.commit().await?;
    Ok(Json(QuarantinedPriceView::of(price)))
}

/// Throw a price of the platform away; the one in force stays
#[utoipa::path(
    post,
    path = "/api/v1/platform/quarantined-prices/{quarantined_price_id}/reject",
    tag = "catalog",
    params(("quarantined_price_id" = Uuid, Path)),
    responses((status = 200, description = "The old one stays.", body = QuarantinedPriceView), Problems)
)]
pub async fn reject_platform_price(
    State(plane): State<Plane>,
    owner: Owner,
    Path(path): Path<At>,
) -> Result<Json<QuarantinedPriceView>, ApiError> {
    reject_price(State(plane), owner, Path(path)).await
}
