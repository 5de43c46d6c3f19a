//! How routes and what became of them look to their reader.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    base::{ModelId, Moment, OfferId, RouteId},
    catalog::Tier,
    routing::{
        Cause,
        store::routes::{Change, KeptRoute},
    },
};

/// The offer an organization prefers for a model.
#[derive(Debug, Serialize, ToSchema)]
pub struct RouteView {
    /// Its id.
    id: RouteId,
    /// Of which model.
    model_id: ModelId,
    /// The model's name.
    model: String,
    /// The offer that goes first.
    offer_id: OfferId,
    /// What its provider calls the model.
    upstream_name: String,
    /// Its provider.
    provider: String,
    /// Whether it is free.
    tier: Tier,
    /// Whether somebody insists on it: agents leave it there, and it goes before free offers too.
    is_pinned: bool,
    /// When it last came to another offer.
    switched_at: Moment,
    /// When it was made.
    created_at: Moment,
    /// When it was last changed.
    updated_at: Moment,
}

impl From<KeptRoute> for RouteView {
    fn from(kept: KeptRoute) -> Self {
        Self {
            id: kept.id,
            model_id: kept.model_id,
            model: kept.model,
            offer_id: kept.offer_id,
            upstream_name: kept.upstream_name,
            provider: kept.provider,
            tier: kept.tier,
            is_pinned: kept.is_pinned,
            switched_at: kept.switched_at,
            created_at: kept.created_at,
            updated_at: kept.updated_at,
        }
    }
}

/// One change of a route.
#[derive(Debug, Serialize, ToSchema)]
pub struct RouteChangeView {
    /// Its id.
    id: Uuid,
    /// When.
    at: Moment,
    /// Of which route.
    route_id: RouteId,
    /// The offer before; null when the route was made.
    from_offer_id: Option<OfferId>,
    /// The offer since.
    to_offer_id: OfferId,
    /// Why.
    cause: Cause,
    /// Who: `user`, `operator` or `agent`.
    actor_kind: String,
    /// Which person.
    actor_id: Option<Uuid>,
    /// What a million tokens cost less, in billionths of a dollar; negative when they cost more.
    saving_per_million_nano_usd: i64,
    /// How that was computed.
    #[schema(value_type = Object)]
    arithmetic: Value,
}

impl From<Change> for RouteChangeView {
    fn from(change: Change) -> Self {
        Self {
            id: change.id,
            at: change.at,
            route_id: change.route_id,
            from_offer_id: change.from,
            to_offer_id: change.to,
            cause: change.cause,
            actor_kind: change.actor_kind,
            actor_id: change.actor_id,
            saving_per_million_nano_usd: change.saving_per_million,
            arithmetic: change.arithmetic,
        }
    }
}
