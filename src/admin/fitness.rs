//! How offers do, and how the platform itself does.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Plane,
    error::ApiError,
    extract::{Json, Member, PlatformAdmin, Query},
    list::{ListQuery, Listed},
    openapi::Problems,
};
use crate::{
    base::{ModelId, Moment, OfferId, OrganizationId, ProviderId},
    store::nodes,
    usage::{
        health::{OfferHealth, store},
        report::Whose,
        rollup,
    },
};

/// How one offer did lately.
#[derive(Debug, Serialize, ToSchema)]
pub struct OfferHealthView {
    /// The offer.
    offer_id: OfferId,
    /// Its provider and the provider's name for the model.
    name: String,
    /// Its provider.
    provider_id: ProviderId,
    /// Its model.
    model_id: ModelId,
    /// Whether the catalog offers it at all.
    is_enabled: bool,
    /// `healthy`, `degraded` or `out`; null when nobody has looked.
    state: Option<String>,
    /// Why.
    reason: String,
    /// Until when it is out.
    out_until: Option<Moment>,
    /// How long its last look took.
    latency_ms: Option<u32>,
    /// When it last succeeded.
    succeeded_at: Option<Moment>,
    /// When it last failed.
    failed_at: Option<Moment>,
    /// Calls that ended with it in the last whole hour and since.
    recent_requests: u64,
    /// Of these, answered with 400 or more, or not at all.
    recent_failed_requests: u64,
}

impl From<OfferHealth> for OfferHealthView {
    fn from(health: OfferHealth) -> Self {
        Self {
            offer_id: health.offer_id,
            name: health.name,
            provider_id: health.provider_id,
            model_id: health.model_id,
            is_enabled: health.is_enabled,
            state: health.state,
            reason: health.reason,
            out_until: health.out_until,
            latency_ms: health.latency_ms,
            succeeded_at: health.succeeded_at,
            failed_at: health.failed_at,
            recent_requests: health.requests,
            recent_failed_requests: health.failed_requests,
        }
    }
}

/// How the processes are.
#[derive(Debug, Serialize, ToSchema)]
pub struct FleetView {
    /// How many the books know.
    nodes: u64,
    /// Of these, those that were not heard of for half a minute.
    silent: u64,
    /// Of these, those whose catalog is older than the books'.
    behind: u64,
    /// How many different versions they run.
    versions: u64,
}

/// How the books are.
#[derive(Debug, Serialize, ToSchema)]
pub struct BooksView {
    /// Movements that the coarse roll-ups do not contain yet; reports add them. Counting ends at 100 000.
    waiting_moves: u64,
    /// When the roll-ups were last compared with the entries; null when this sidecar has not yet.
    compared_at: Option<Moment>,
    /// How many rows said something else then. Each is a bug.
    faults: Option<u64>,
}

/// How the platform is.
#[derive(Debug, Serialize, ToSchema)]
pub struct PlatformHealthView {
    /// Whether nothing below asks for attention.
    is_healthy: bool,
    fleet: FleetView,
    books: BooksView,
}

/// List how offers did lately
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization_id}/health/offers",
    tag = "health",
    params(("organization_id" = OrganizationId, Path, description = "The organization."), ListQuery),
    responses((status = 200, description = "A page of offers.", body = Listed<OfferHealthView>), Problems)
)]
pub async fn list_offer_health(
    State(plane): State<Plane>,
    member: Member,
    Query(query): Query<ListQuery>,
) -> Result<Json<Listed<OfferHealthView>>, ApiError> {
    let paging = query.paging()?;
    let whose = Whose::Organization(member.scope.organization());
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    let page = store::offers(&mut tx, whose, plane.clock.now(), &paging).await?;
    Ok(Json(Listed::of(page, OfferHealthView::from)))
}

/// List how the platform's offers did lately
#[utoipa::path(
    get,
    path = "/api/v1/platform/health/offers",
    tag = "platform",
    params(ListQuery),
    responses((status = 200, description = "A page of offers.", body = Listed<OfferHealthView>), Problems)
)]
pub async fn list_platform_offer_health(
    State(plane): State<Plane>,
    _: PlatformAdmin,
    Query(query): Query<ListQuery>,
) -> Result<Json<Listed<OfferHealthView>>, ApiError> {
    let paging = query.paging()?;
    let mut conn = plane.postgres.acquire().await?;
    let page = store::offers(&mut conn, Whose::Everybody, plane.clock.now(), &paging).await?;
    Ok(Json(Listed::of(page, OfferHealthView::from)))
}

/// Tell how the platform is
#[utoipa::path(
    get,
    path = "/api/v1/platform/health",
    tag = "platform",
    responses((status = 200, description = "How it is.", body = PlatformHealthView), Problems)
)]
pub async fn show_platform_health(
    State(plane): State<Plane>,
    _: PlatformAdmin,
) -> Result<Json<PlatformHealthView>, ApiError> {
    let mut conn = plane.postgres.acquire().await?;
    let fleet = nodes::fleet(&mut conn).await?;
    let waiting_moves = rollup::store::waiting(&mut conn).await?;
    let compared = *plane.compared.borrow();
    let faults = compared.map(|comparison| comparison.faults);
    Ok(Json(PlatformHealthView {
        is_healthy: fleet.silent == 0 && fleet.behind == 0 && faults.unwrap_or_default() == 0,
        fleet: FleetView {
            nodes: fleet.nodes,
            silent: fleet.silent,
            behind: fleet.behind,
            versions: fleet.versions,
        },
        books: BooksView {
            waiting_moves,
            compared_at: compared.map(|comparison| comparison.at),
            faults,
        },
    }))
}
