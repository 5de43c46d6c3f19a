//! Prices over the API: what offers cost now, cost before, and will cost.

use axum::extract::State;
use chrono::NaiveDate;
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::owner::Owner;
use crate::{
    admin::{
        Plane,
        error::ApiError,
        extract::{Created, Json, NoContent, Path, Query},
        list::{ListQuery, Listed},
        openapi::Problems,
    },
    base::{Moment, OrganizationId},
    catalog::{PriceEntry, Quote, Sought, Suspicion, store::prices::HeldPrice},
    control::catalog::prices::{self as control, Verdict},
};

/// What calls cost, in nano-dollars per million tokens unless said otherwise.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PriceAmounts {
    /// Tokens read.
    input_nano_usd: i64,
    /// Tokens read from the provider's cache; as those read when absent.
    #[serde(default)]
    cached_input_nano_usd: Option<i64>,
    /// Tokens written to the provider's cache; as those read when absent.
    #[serde(default)]
    cache_write_nano_usd: Option<i64>,
    /// Tokens written.
    output_nano_usd: i64,
    /// Reasoning tokens; as those written when absent.
    #[serde(default)]
    reasoning_nano_usd: Option<i64>,
    /// One call, whatever it reads and writes.
    #[serde(default)]
    per_request_nano_usd: i64,
}

impl PriceAmounts {
    /// Returns the amounts of a price.
    #[must_use]
    pub const fn of(quote: &Quote) -> Self {
        Self {
            input_nano_usd: quote.input,
            cached_input_nano_usd: quote.cached_input,
            cache_write_nano_usd: quote.cache_write,
            output_nano_usd: quote.output,
            reasoning_nano_usd: quote.reasoning,
            per_request_nano_usd: quote.per_request,
        }
    }

    /// Returns the price as it was stated.
    #[must_use]
    pub const fn quote(&self) -> Quote {
        Quote {
            input: self.input_nano_usd,
            cached_input: self.cached_input_nano_usd,
            cache_write: self.cache_write_nano_usd,
            output: self.output_nano_usd,
            reasoning: self.reasoning_nano_usd,
            per_request: self.per_request_nano_usd,
        }
    }
}

/// A price of an offer, with the time it holds.
#[derive(Debug, Serialize, ToSchema)]
pub struct PriceView {
    /// Its id.
    id: Uuid,
    /// Whose price.
    offer_id: Uuid,
    /// What calls cost.
    amounts: PriceAmounts,
    /// The version of the price book it stands in; entries name the one that priced them.
    price_book: String,
    /// From when it holds.
    valid_from: Moment,
    /// Until when; null is until another follows.
    valid_to: Option<Moment>,
    /// Where it was read.
    source: String,
    /// When it was read there.
    stated_on: Option<NaiveDate>,
    /// When it was written down.
    created_at: Moment,
}

impl PriceView {
    fn of(price: HeldPrice) -> Self {
        Self {
            id: price.id,
            offer_id: price.offer,
            amounts: PriceAmounts::of(&price.entry.quote),
            price_book: price.book,
            valid_from: price.valid_from,
            valid_to: price.valid_to,
            source: price.entry.source,
            stated_on: price.entry.stated_on,
            created_at: price.created_at,
        }
    }
}

/// A price to be set.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct SetPrice {
    /// What calls cost.
    amounts: PriceAmounts,
    /// From when; from now on when absent. What was booked is never priced again.
    #[serde(default)]
    valid_from: Option<Moment>,
    /// Where it was read.
    #[serde(default)]
    source: String,
    /// When it was read there.
    #[serde(default)]
    stated_on: Option<NaiveDate>,
}

/// What became of a price that was set.
#[derive(Debug, Serialize, ToSchema)]
pub struct PriceSet {
    /// In one word.
    status: PriceStatus,
    /// The price, when it counts or will.
    price_id: Option<Uuid>,
    /// The price in quarantine, when it waits there.
    quarantined_price_id: Option<Uuid>,
    /// Why it waits.
    reason: Option<Suspicion>,
}

/// What became of a price that was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PriceStatus {
    /// It counts, from its moment on.
    Taken,
    /// It was the price in force already.
    Unchanged,
    /// It looks wrong, and waits for somebody's word; the old one stays.
    Quarantined,
}

impl PriceSet {
    const fn of(verdict: Verdict) -> Self {
        let (status, price_id, quarantined_price_id, reason) = match verdict {
            Verdict::Taken(id) => (PriceStatus::Taken, Some(id), None, None),
            Verdict::Sourced => (PriceStatus::Unchanged, None, None, None),
            Verdict::Held(id, why) => (PriceStatus::Quarantined, None, Some(id), Some(why)),
            Verdict::Known => (PriceStatus::Quarantined, None, None, None),
        };
        Self {
            status,
            price_id,
            quarantined_price_id,
            reason,
        }
    }
}

/// Which offer's prices.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct At {
    offer_id: Uuid,
}

/// Which price.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct AtPrice {
    offer_id: Uuid,
    price_id: Uuid,
}

/// List what an offer cost, costs and will cost, the latest to begin first
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization_id}/offers/{offer_id}/prices",
    tag = "catalog",
    params(("organization_id" = OrganizationId, Path), ("offer_id" = Uuid, Path), ListQuery),
    responses((status = 200, description = "A page.", body = Listed<PriceView>), Problems)
)]
pub async fn list_prices(
    State(plane): State<Plane>,
    owner: Owner,
    Path(path): Path<At>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Listed<PriceView>>, ApiError> {
    let sought = Sought::page(query.paging()?);
    let mut tx = owner.begin(&plane).await?;
    let prices = control::history(&mut tx, path.offer_id, &sought).await?;
    let page = sought
        .paging
        .page(prices, |price| (price.valid_from, price.id));
    Ok(Json(Listed::of(page, PriceView::of)))
}

/// List what an offer of the platform cost, costs and will cost, the latest to begin first
#[utoipa::path(
    get,
    path = "/api/v1/platform/offers/{offer_id}/prices",
    tag = "catalog",
    params(("offer_id" = Uuid, Path), ListQuery),
    responses((status = 200, description = "A page.", body = Listed<PriceView>), Problems)
)]
pub async fn list_platform_prices(
    State(plane): State<Plane>,
    owner: Owner,
    Path(path): Path<At>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Listed<PriceView>>, ApiError> {
    list_prices(State(plane), owner, Path(path), Query(query)).await
}

/// Set what an offer costs, from now or from a later moment on
#[utoipa::path(
    post,
    path = "/api/v1/organizations/{organization_id}/offers/{offer_id}/prices",
    tag = "catalog",
    request_body = SetPrice,
    params(("organization_id" = OrganizationId, Path), ("offer_id" = Uuid, Path)),
    responses((status = 201, description = "What became of it.", body = PriceSet), Problems)
)]
pub async fn set_price(
    State(plane): State<Plane>,
    owner: Owner,
    Path(path): Path<At>,
    Json(request): Json<SetPrice>,
) -> Result<Created<Json<PriceSet>>, ApiError> {
    let entry = PriceEntry {
        quote: request.amounts.quote(),
        source: request.source,
        stated_on: request.stated_on,
    };
    let (offer, from) = (path.offer_id, request.valid_from);
    let mut tx = owner.begin(&plane).await?;
    let verdict = control::set(&mut tx, offer, &entry, from, owner.by).await?;
    tx.commit().await?;
    let location = format!("{}/prices", owner.location("offers", offer));
    Ok(Created(location, Json(PriceSet::of(verdict))))
}

/// Set what an offer of the platform costs, from now or from a later moment on
#[utoipa::path(
    post,
    path = "/api/v1/platform/offers/{offer_id}/prices",
    tag = "catalog",
    request_body = SetPrice,
    params(("offer_id" = Uuid, Path)),
    responses((status = 201, description = "What became of it.", body = PriceSet), Problems)
)]
pub async fn set_platform_price(
    State(plane): State<Plane>,
    owner: Owner,
    Path(path): Path<At>,
    Json(request): Json<SetPrice>,
) -> Result<Created<Json<PriceSet>>, ApiError> {
    set_price(State(plane), owner, Path(path), Json(request)).await
}

/// Take back a price that has not begun
#[utoipa::path(
    delete,
    path = "/api/v1/organizations/{organization_id}/offers/{offer_id}/prices/{price_id}",
    tag = "catalog",
    params(("organization_id" = OrganizationId, Path), ("offer_id" = Uuid, Path), ("price_id" = Uuid, Path)),
    responses((status = 204, description = "Gone."), Problems)
)]
pub async fn withdraw_price(
    State(plane): State<Plane>,
    owner: Owner,
    Path(path): Path<AtPrice>,
) -> Result<NoContent, ApiError> {
    let mut tx = owner.begin(&plane).await?;
    control::withdraw(&mut tx, path.offer_id, path.price_id, owner.by).await?;
    tx.commit().await?;
    Ok(NoContent)
}

/// Take back a price of the platform that has not begun
#[utoipa::path(
    delete,
    path = "/api/v1/platform/offers/{offer_id}/prices/{price_id}",
    tag = "catalog",
    params(("offer_id" = Uuid, Path), ("price_id" = Uuid, Path)),
    responses((status = 204, description = "Gone."), Problems)
)]
pub async fn withdraw_platform_price(
    State(plane): State<Plane>,
    owner: Owner,
    Path(path): Path<AtPrice>,
) -> Result<NoContent, ApiError> {
    withdraw_price(State(plane), owner, Path(path)).await
}
