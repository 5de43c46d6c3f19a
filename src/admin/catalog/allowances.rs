//! Allowances over the API: what providers give, and where it stops.

use axum::extract::State;
use chrono::NaiveDate;
use chrono_tz::Tz;
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    owner::{CatalogQuery, Owner, OwnerWord},
    patch::{given, set},
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
        AllowanceMeter, AllowanceWindow, Row,
        file::AllowanceEntry,
        store::{self, allowances::AllowanceRow},
    },
    control::catalog::allowances as control,
};

/// What a provider gives per window.
#[derive(Debug, Serialize, ToSchema)]
pub struct AllowanceView {
    /// Its id.
    id: Uuid,
    /// Whose it is.
    owner: OwnerWord,
    /// Who gives it.
    provider_id: Uuid,
    /// For which offer; null is for each free offer of the provider.
    offer_id: Option<Uuid>,
    /// What it counts.
    meter: AllowanceMeter,
    /// Over which time.
    window: AllowanceWindow,
    /// How much.
    amount: i64,
    /// Where its day begins.
    zone: String,
    /// Whether all models of a key share one count.
    is_shared: bool,
    /// Whether a day is any 24 hours and a month any 30 days, rather than the calendar's.
    is_rolling: bool,
    /// How much the provider's answers say it is, when they do: this counts, not `amount`.
    told_amount: Option<i64>,
    /// When they said so last.
    told_at: Option<Moment>,
    /// Whether it was learned from the provider's answers rather than published.
    is_learned: bool,
    /// Where this was read.
    source: String,
    /// When it was read there.
    stated_on: Option<NaiveDate>,
    /// When it was made.
    created_at: Moment,
    /// When it was last changed.
    updated_at: Moment,
}

impl AllowanceView {
    fn of(row: Row<AllowanceRow>) -> Self {
        let AllowanceRow {
            provider_id,
            offer_id,
            entry,
            is_learned,
            told,
        } = row.entry;
        Self {
            id: row.id,
            owner: OwnerWord::of(row.owner),
            provider_id,
            offer_id,
            meter: entry.meter,
            window: entry.window,
            amount: entry.amount,
            zone: entry.zone.name().to_owned(),
            is_shared: entry.shared,
            is_rolling: entry.rolling,
            told_amount: told.map(|told| told.amount),
            told_at: told.map(|told| told.at),
            is_learned,
            source: entry.source,
            stated_on: entry.stated_on,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// An allowance to be added.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct CreateAllowance {
    /// Who gives it.
    provider_id: Uuid,
    /// For which offer; when absent, for each free offer of the provider.
    #[serde(default)]
    offer_id: Option<Uuid>,
    /// What it counts.
    meter: AllowanceMeter,
    /// Over which time.
    window: AllowanceWindow,
    /// How much; 0 is none at all.
    #[schema(minimum = 0)]
    amount: i64,
    /// Where its day begins, such as `America/Los_Angeles`; UTC when absent.
    #[serde(default)]
    zone: Option<String>,
    /// Whether all models of a key share one count.
    #[serde(default)]
    is_shared: bool,
    /// Whether a day is any 24 hours and a month any 30 days, rather than the calendar's.
    #[serde(default)]
    is_rolling: bool,
    /// Where this was read.
    #[serde(default)]
    source: String,
    /// When it was read there.
    #[serde(default)]
    stated_on: Option<NaiveDate>,
}

/// What is to change of an allowance; what is absent stays, null clears.
#[derive(Debug, Default, Deserialize, Validate, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct ChangeAllowance {
    /// How much; 0 is none at all.
    #[schema(minimum = 0)]
    amount: Option<i64>,
    /// Where its day begins.
    zone: Option<String>,
    /// Whether all models of a key share one count.
    is_shared: Option<bool>,
    /// Whether a day is any 24 hours and a month any 30 days, rather than the calendar's.
    is_rolling: Option<bool>,
    /// Where this was read.
    source: Option<String>,
    /// When it was read there.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<NaiveDate>)]
    stated_on: Option<Option<NaiveDate>>,
}

/// Which allowance.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct At {
    allowance_id: Uuid,
}

fn zone_of(text: &str) -> Result<Tz, ApiError> {
    text.parse()
        .map_err(|_| ApiError::invalid("zone", "is no time zone: write UTC or Europe/Berlin"))
}

/// List the allowances an organization may use: its own and the platform's
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization_id}/allowances",
    tag = "catalog",
    params(("organization_id" = OrganizationId, Path), CatalogQuery),
    responses((status = 200, description = "A page.", body = Listed<AllowanceView>), Problems)
)]
pub async fn list_allowances(
    State(plane): State<Plane>,
    owner: Owner,
    Query(query): Query<CatalogQuery>,
) -> Result<Json<Listed<AllowanceView>>, ApiError> {
    let sought = query.sought(&owner)?;
    let mut tx = owner.begin(&plane).await?;
    let rows = store::allowances::list(&mut tx, owner.id, &sought).await?;
    let page = sought.paging.page(rows, |row| (row.created_at, row.id));
    Ok(Json(Listed::of(page, AllowanceView::of)))
}

/// List the platform's allowances
#[utoipa::path(
    get,
    path = "/api/v1/platform/allowances",
    tag = "catalog",
    params(CatalogQuery),
    responses((status = 200, description = "A page.", body = Listed<AllowanceView>), Problems)
)]
pub async fn list_platform_allowances(
    State(plane): State<Plane>,
    owner: Owner,
    Query(query): Query<CatalogQuery>,
) -> Result<Json<Listed<AllowanceView>>, ApiError> {
    list_allowances(State(plane), owner, Query(query)).await
}

/// Add an allowance of the organization's own
#[utoipa::path(
    post,
    path = "/api/v1/organizations/{organization_id}/allowances",
    tag = "catalog",
    request_body = CreateAllowance,
    params(("organization_id" = OrganizationId, Path)),
    responses((status = 201, description = "Made.", body = AllowanceView), Problems)
)]
pub async fn create_allowance(
    State(plane): State<Plane>,
    owner: Owner,
    Json(request): Json<CreateAllowance>,
) -> Result<Created<Tagged<AllowanceView>>, ApiError> {
    let entry = AllowanceEntry {
        meter: request.meter,
        amount: request.amount,
        window: request.window,
        zone: zone_of(request.zone.as_deref().unwrap_or("UTC"))?,
        shared: request.is_shared,
        rolling: request.is_rolling,
        source: request.source,
        stated_on: request.stated_on,
    };
    let (provider, offer) = (request.provider_id, request.offer_id);
    let mut tx = owner.begin(&plane).await?;
    let row = control::create(&mut tx, provider, offer, entry, owner.by).await?;
    tx.commit().await?;
    let location = owner.location("allowances", row.id);
    Ok(Created(
        location,
        Tagged(row.updated_at, AllowanceView::of(row)),
    ))
}

/// Add an allowance for everybody
#[utoipa::path(
    post,
    path = "/api/v1/platform/allowances",
    tag = "catalog",
    request_body = CreateAllowance,
    responses((status = 201, description = "Made.", body = AllowanceView), Problems)
)]
pub async fn create_platform_allowance(
    State(plane): State<Plane>,
    owner: Owner,
    Json(request): Json<CreateAllowance>,
) -> Result<Created<Tagged<AllowanceView>>, ApiError> {
    create_allowance(State(plane), owner, Json(request)).await
}

/// Show an allowance
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization_id}/allowances/{allowance_id}",
    tag = "catalog",
    params(("organization_id" = OrganizationId, Path), ("allowance_id" = Uuid, Path)),
    responses((status = 200, description = "As it is.", body = AllowanceView), Problems)
)]
pub async fn show_allowance(
    State(plane): State<Plane>,
    owner: Owner,
    Path(path): Path<At>,
) -> Result<Tagged<AllowanceView>, ApiError> {
    let mut tx = owner.begin(&plane).await?;
    let row = control::one(&mut tx, path.allowance_id).await?;
    Ok(Tagged(row.updated_at, AllowanceView::of(row)))
}

/// Show an allowance of the platform
#[utoipa::path(
    get,
    path = "/api/v1/platform/allowances/{allowance_id}",
    tag = "catalog",
    params(("allowance_id" = Uuid, Path)),
    responses((status = 200, description = "As it is.", body = AllowanceView), Problems)
)]
pub async fn show_platform_allowance(
    State(plane): State<Plane>,
    owner: Owner,
    Path(path): Path<At>,
) -> Result<Tagged<AllowanceView>, ApiError> {
    show_allowance(State(plane), owner, Path(path)).await
}

/// Change an allowance of the organization's own
#[utoipa::path(
    patch,
    path = "/api/v1/organizations/{organization_id}/allowances/{allowance_id}",
    tag = "catalog",
    request_body = ChangeAllowance,
    params(("organization_id" = OrganizationId, Path), ("allowance_id" = Uuid, Path), IfMatch),
    responses((status = 200, description = "Changed.", body = AllowanceView), Problems)
)]
pub async fn change_allowance(
    State(plane): State<Plane>,
    owner: Owner,
    Path(path): Path<At>,
    IfMatch(seen): IfMatch,
    Json(request): Json<ChangeAllowance>,
) -> Result<Tagged<AllowanceView>, ApiError> {
    let zone = request.zone.as_deref().map(zone_of).transpose()?;
    let mut tx = owner.begin(&plane).await?;
    let patch = |entry: &mut AllowanceEntry| {
        set(&mut entry.amount, request.amount);
        set(&mut entry.zone, zone);
        set(&mut entry.shared, request.is_shared);
        set(&mut entry.rolling, request.is_rolling);
        set(&mut entry.source, request.source);
        set(&mut entry.stated_on, request.stated_on);
    };
    let row = control::change(&mut tx, path.allowance_id, seen, patch, owner.by).await?;
    tx.commit().await?;
    Ok(Tagged(row.updated_at, AllowanceView::of(row)))
}

/// Change an allowance of the platform
#[utoipa::path(
    patch,
    path = "/api/v1/platform/allowances/{allowance_id}",
    tag = "catalog",
    request_body = ChangeAllowance,
    params(("allowance_id" = Uuid, Path), IfMatch),
    responses((status = 200, description = "Changed.", body = AllowanceView), Problems)
)]
pub async fn change_platform_allowance(
    State(plane): State<Plane>,
    owner: Owner,
    Path(path): Path<At>,
    IfMatch(seen): IfMatch,
    Json(request): Json<ChangeAllowance>,
) -> Result<Tagged<AllowanceView>, ApiError> {
    change_allowance(
        State(plane),
        owner,
        Path(path),
        IfMatch(seen),
        Json(request),
    )
    .await
}

/// Take an allowance of the organization's own out of the catalog
#[utoipa::path(
    delete,
    path = "/api/v1/organizations/{organization_id}/allowances/{allowance_id}",
    tag = "catalog",
    params(("organization_id" = OrganizationId, Path), ("allowance_id" = Uuid, Path), IfMatch),
    responses((status = 204, description = "Gone."), Problems)
)]
pub async fn remove_allowance(
    State(plane): State<Plane>,
    owner: Owner,
    Path(path): Path<At>,
    IfMatch(seen): IfMatch,
) -> Result<NoContent, ApiError> {
    let mut tx = owner.begin(&plane).await?;
    control::remove(&mut tx, path.allowance_id, seen, owner.by).await?;
    tx.commit().await?;
    Ok(NoContent)
}

/// Take an allowance of the platform out of the catalog
#[utoipa::path(
    delete,
    path = "/api/v1/platform/allowances/{allowance_id}",
    tag = "catalog",
    params(("allowance_id" = Uuid, Path), IfMatch),
    responses((status = 204, description = "Gone."), Problems)
)]
pub async fn remove_platform_allowance(
    State(plane): State<Plane>,
    owner: Owner,
    Path(path): Path<At>,
    IfMatch(seen): IfMatch,
) -> Result<NoContent, ApiError> {
    remove_allowance(State(plane), owner, Path(path), IfMatch(seen)).await
}
