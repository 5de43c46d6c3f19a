//! What would become of a call: the very plan the data path makes, with nothing sent upstream.

mod view;

pub use view::{
    CandidateView, ExplanationView, KeyOwner, OfferedView, RuledOutView, SizeView,
    StrategyHoldingView,
};

use axum::extract::State;
use garde::Validate;
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    Plane,
    error::ApiError,
    extract::{Json, Member, Person},
    gate::member_in,
    keys::reach,
    openapi::Problems,
};
use crate::{
    base::{ApiKeyId, GroupId, OrganizationId, RequestId},
    control::{own_keys, store::limits_holding},
    dialect::{self, Endpoint},
    keys::{self, Grant, Standing},
    routing::{self, Cool, Health, Need, store::health},
    snapshot::{self, BadSnapshot, Demand, Size, Snapshot, keep_own},
    store::OrgTx,
    tenancy::{
        Permission,
        settings::DegradedMode,
        store::{groups, settings},
    },
};

/// A call that is not made.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct ExplainCall {
    /// Whose call it would be.
    organization_id: OrganizationId,
    /// With which key; without one, nobody's in particular.
    key_id: Option<ApiKeyId>,
    /// For which group, when there is no key.
    group_id: Option<GroupId>,
    /// Where it would go: what follows `/v1/`.
    #[serde(default = "chat")]
    endpoint: String,
    /// The body as a caller would send it.
    #[schema(value_type = Object)]
    request: Map<String, Value>,
}

fn chat() -> String {
    "chat/completions".to_owned()
}

/// Tell what would become of a call
///
/// Needs `routing:read` in the organization. The same function as for a call puts every offer in order or says why it is
/// out; nothing is sent upstream. What single proxies have measured lately (latency, failures of the last seconds) is
/// known here only as far as the books tell it.
#[utoipa::path(
    post,
    path = "/api/v1/explain",
    tag = "routing",
    request_body = ExplainCall,
    responses((status = 200, description = "Every offer, with its rank or why it is out.", body = ExplanationView), Problems)
)]
pub async fn explain_call(
    State(plane): State<Plane>,
    person: Person,
    Json(call): Json<ExplainCall>,
) -> Result<Json<ExplanationView>, ApiError> {
    let permission = Permission::RoutingRead;
    let member = member_in(&plane, person, call.organization_id, permission).await?;
    let (snapshot, _) = snapshot::build(&plane.postgres, &plane.vault, &plane.clock)
        .await
        .map_err(unreadable)?;
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    let grant = grant(&mut tx, &member, &call).await?;
    let health = Health::default();
    for known in health::known(&mut tx, person.now).await? {
        let what = Cool::OfferCredential(known.offer, known.credential);
        let whole = known
            .credential
            .is_none()
            .then_some(Cool::Offer(known.offer));
        health.cool(whole.unwrap_or(what), known.out_until);
    }
    drop(tx);
    explained(&snapshot, &grant, &health, &call, &person).map(Json)
}

fn explained(
    view: &Snapshot,
    grant: &Grant,
    health: &Health,
    call: &ExplainCall,
    person: &Person,
) -> Result<ExplanationView, ApiError> {
    let endpoint = Endpoint::of(&call.endpoint);
    let body = serde_json::to_vec(&call.request).unwrap_or_default();
    let ask = dialect::read(endpoint, &body).map_err(|fault| {
        let field = fault
            .param
            .map_or("request".to_owned(), |param| format!("request.{param}"));
        ApiError::invalid(&field, fault.message)
    })?;
    let size = Size::of(&ask, endpoint, grant, None);
    let demand = Demand::of(&ask, endpoint);
    let resolved = view.catalog.resolve(grant.organization_id, demand.model);
    let resolved = resolved.map_err(|unknown| {
        let closest = unknown.closest.join(", ");
        ApiError::invalid(
            "request.model",
            format!("no model has this name; the closest: {closest}"),
        )
    })?;
    let need = Need {
        is_rehearsal: true,
        ..view.need(grant, &resolved, &demand, &size, RequestId::new(person.now))
    };
    let mut plan = routing::survey(&resolved, &need, health, person.now);
    if demand.needs_own_credential {
        keep_own(&mut plan, grant.organization_id);
    }
    let refusal = routing::plan(&resolved, &need, health, person.now);
    let refusal = refusal.err().map(|refusal| refusal.to_string());
    let requested = demand.model;
    let organization = grant.organization_id;
    Ok(ExplanationView::of(
        requested,
        &resolved,
        (&plan, refusal),
        need.strategy,
        &size,
        organization,
    ))
}

/// What the call would come with: what a key grants, or what its organization lets everybody do.
async fn grant(tx: &mut OrgTx, member: &Member, call: &ExplainCall) -> Result<Grant, ApiError> {
    if let Some(key) = call.key_id {
        let key = own_keys::find(tx, &key.to_string(), reach(member)).await?;
        let grant = keys::store::find_grant_of(tx, key.id).await?;
        return grant.ok_or(ApiError::NotFound);
    }
    if let Some(group) = call.group_id {
        let found = groups::find_group(tx, group).await?;
        found.ok_or(ApiError::NotFound)?;
    }
    let limits = limits_holding(tx, None, None, call.group_id).await?;
    let settings = settings::find_settings(tx)
        .await?
        .ok_or(ApiError::NotFound)?;
    Ok(Grant {
        api_key_id: ApiKeyId(Uuid::nil()),
        public_id: String::new(),
        secret_hash: [0; 32],
        organization_id: call.organization_id,
        user_id: None,
        group_id: call.group_id,
        standing: Standing::Live,
        expires_at_ms: None,
        scopes: Vec::new(),
        allowed_models: None,
        allowed_cidrs: None,
        limits,
        limits_enforced: settings.limits_enforced,
        shares_when_away: settings.degraded_mode == DegradedMode::LocalShare,
        default_max_output_tokens: settings.default_max_output_tokens,
        body_limit_bytes: settings.body_limit_bytes,
        allows_training: settings.allows_training,
        seq: 0,
    })
}

fn unreadable(error: BadSnapshot) -> ApiError {
    match error {
        BadSnapshot::Store(error) => error.into(),
        error => {
            tracing::error!(error = %error, "the catalog cannot be read");
            ApiError::Unavailable
        }
    }
}
