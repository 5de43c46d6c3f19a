//! Offers over the API: models as one provider sells them.

use axum::extract::State;
use chrono::NaiveDate;
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    owner::{CatalogQuery, Owner, OwnerWord},
    patch::{given, set},
    prices::PriceAmounts,
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
    base::{Moment, OrganizationId},
    catalog::{
        Ability, PriceEntry, Row, Tier,
        file::OfferEntry,
        store::{self, offers::OfferRow},
    },
    control::catalog::offers as control,
};

/// A model as one provider sells it.
#[derive(Debug, Serialize, ToSchema)]
pub struct OfferView {
    /// Its id.
    id: Uuid,
    /// Whose it is.
    owner: OwnerWord,
    /// Who sells it.
    provider_id: Uuid,
    /// The provider's name.
    provider: String,
    /// What is sold.
    model_id: Uuid,
    /// The model's name.
    model: String,
    /// What the provider calls the model.
    upstream_name: String,
    /// Whether calls cost money.
    tier: Tier,
    /// What it can do; null is not known, so it is tried for everything.
    abilities: Option<Vec<Ability>>,
    /// How many tokens it reads and writes together, where this differs from the model.
    context_window: Option<i64>,
    /// How many tokens it writes at most, where this differs from the model.
    max_output: Option<i64>,
    /// Between equals, lower goes first.
    preference: i32,
    /// Whether it is used.
    is_enabled: bool,
    /// What calls cost now; null is not known, and then it is not used.
    price: Option<PriceAmounts>,
    /// The version of the price book the price stands in.
    price_book: Option<String>,
    /// Where its figures were read.
    source: String,
    /// When they were read there.
    stated_on: Option<NaiveDate>,
    /// When it was made.
    created_at: Moment,
    /// When it was last changed.
    updated_at: Moment,
}

impl OfferView {
    fn of(row: Row<OfferRow>) -> Self {
        let OfferRow {
            provider_id,
            model_id,
            entry,
            price_book,
        } = row.entry;
        Self {
            id: row.id,
            owner: OwnerWord::of(row.owner),
            provider_id,
            provider: entry.provider,
            model_id,
            model: entry.model,
            upstream_name: entry.upstream_name,
            tier: entry.tier,
            abilities: entry.abilities,
            context_window: entry.context_window,
            max_output: entry.max_output,
            preference: entry.preference,
            is_enabled: entry.enabled,
            price: entry.price.map(|price| PriceAmounts::of(&price.quote)),
            price_book,
            source: entry.source,
            stated_on: entry.stated_on,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// An offer to be added.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct CreateOffer {
    /// Who sells it: the organization's provider, or one of the platform.
    provider_id: Uuid,
    /// What is sold: the organization's model, or one of the platform.
    model_id: Uuid,
    /// What the provider calls the model; as the model when absent.
    #[serde(default)]
    upstream_name: String,
    /// Whether calls cost money.
    tier: Tier,
    /// What calls cost; a paid offer is not used before it has a price. One that looks wrong waits in quarantine.
    #[serde(default)]
    price: Option<PriceAmounts>,
    /// What it can do; when absent it is tried for everything.
    #[serde(default)]
    abilities: Option<Vec<Ability>>,
    /// How many tokens it reads and writes together, where this differs from the model.
    #[serde(default)]
    #[schema(minimum = 1)]
    context_window: Option<i64>,
    /// How many tokens it writes at most, where this differs from the model.
    #[serde(default)]
    #[schema(minimum = 1)]
    max_output: Option<i64>,
    /// Between equals, lower goes first.
    #[serde(default)]
    preference: i32,
    /// Whether it is used; true when absent.
    #[serde(default)]
    is_enabled: Option<bool>,
    /// Where its figures were read.
    #[serde(default)]
    source: String,
    /// When they were read there.
    #[serde(default)]
    stated_on: Option<NaiveDate>,
}

/// What is to change of an offer; what is absent stays, null clears.
#[derive(Debug, Default, Deserialize, Validate, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct ChangeOffer {
    /// What is sold.
    model_id: Option<Uuid>,
    /// What the provider calls the model.
    upstream_name: Option<String>,
    /// What it can do.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<Vec<Ability>>)]
    abilities: Option<Option<Vec<Ability>>>,
    /// How many tokens it reads and writes together.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<i64>, minimum = 1)]
    context_window: Option<Option<i64>>,
    /// How many tokens it writes at most.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<i64>, minimum = 1)]
    max_output: Option<Option<i64>>,
    /// Between equals, lower goes first.
    preference: Option<i32>,
    /// Whether it is used.
    is_enabled: Option<bool>,
    /// Where its figures were read.
    source: Option<String>,
    /// When they were read there.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<NaiveDate>)]
    stated_on: Option<Option<NaiveDate>>,
}

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
