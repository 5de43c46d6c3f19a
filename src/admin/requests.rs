//! Single calls: finding them, and everything that is known of one.

use std::collections::{BTreeSet, HashMap};

use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    Plane,
    error::ApiError,
    extract::{Json, Member, Path, Query},
    list::{Listed, paging},
    openapi::Problems,
    savings::ReceiptView,
    usage::NamedView,
};
use crate::{
    base::{
        ApiKeyId, GroupId, ModelId, Moment, OfferId, Order, OrganizationId, ProviderId, RequestId,
        UserId,
    },
    store::OrgTx,
    usage::{
        AttemptRecord, Entry, Finish,
        receipt::{self, check, lines_of},
        report::{self, Dimension},
        request::{Filters, store},
    },
};

/// Which calls to list.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RequestsQuery {
    /// Only calls that began then or later.
    pub from: Option<DateTime<Utc>>,
    /// Only calls that began before.
    pub to: Option<DateTime<Utc>>,
    /// Only calls of this group.
    pub group_id: Option<GroupId>,
    /// Only calls of this person.
    pub user_id: Option<UserId>,
    /// Only calls with this key.
    pub api_key_id: Option<ApiKeyId>,
    /// Only calls to this model.
    pub model_id: Option<ModelId>,
    /// Only calls to this provider.
    pub provider_id: Option<ProviderId>,
    /// Only calls to this offer.
    pub offer_id: Option<OfferId>,
    /// Only calls with this id of the caller's own.
    #[param(max_length = 200)]
    pub client_request_id: Option<String>,
    /// Only calls that asked for a model by this name.
    #[param(max_length = 200)]
    pub requested_model: Option<String>,
    /// Only calls with this status.
    #[param(maximum = 999)]
    pub status: Option<u16>,
    /// Only calls that ended like this.
    #[param(inline)]
    pub finish: Option<Finish>,
    /// Only calls answered with 400 or more, or not at all; `false`: only the others.
    pub is_failed: Option<bool>,
    /// Only calls with estimated tokens; `false`: only the others.
    pub is_estimated: Option<bool>,
    /// Only streamed calls; `false`: only the others.
    pub is_stream: Option<bool>,
    /// How many at most; 50 when absent.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u32>,
    /// The `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Which end comes first: the newest (`desc`) when absent.
    #[param(inline)]
    pub order: Option<Order>,
}

impl RequestsQuery {
    fn filters(&self) -> Result<Filters, ApiError> {
        // Postgres keeps no NUL: nothing has one.
        for (field, text) in [
            ("client_request_id", &self.client_request_id),
            ("requested_model", &self.requested_model),
        ] {
            if text.as_deref().is_some_and(|text| text.contains('\0')) {
                return Err(ApiError::invalid(field, "a NUL is in it"));
            }
        }
        if self.status.is_some_and(|status| 999 < status) {
            return Err(ApiError::invalid("status", "give 0 to 999"));
        }
        Ok(Filters {
            from: self.from.map(Moment::from),
            to: self.to.map(Moment::from),
            group: self.group_id,
            user: self.user_id,
            key: self.api_key_id,
            model: self.model_id,
            provider: self.provider_id,
            offer: self.offer_id,
            client_request_id: self.client_request_id.clone(),
            requested_model: self.requested_model.clone(),
            status: self.status,
            finish: self.finish,
            is_failed: self.is_failed,
            is_estimated: self.is_estimated,
            is_stream: self.is_stream,
        })
    }
}

/// One call.
#[derive(Debug, Serialize, ToSchema)]
pub struct RequestView {
    /// The call's id: the `x-request-id` the caller was given.
    id: RequestId,
    /// When it began.
    at: Moment,
    /// The caller's own id for it.
    client_request_id: Option<String>,
    /// The key it came with.
    api_key: NamedView,
    /// The team it counts for.
    group: Option<NamedView>,
    /// The person it counts for.
    user: Option<NamedView>,
    /// The model as the caller wrote it.
    requested_model: String,
    /// The model that answered, or was tried last.
    model: Option<NamedView>,
    /// The offer that answered, or was tried last.
    offer: Option<NamedView>,
    /// Its provider.
    provider: Option<NamedView>,
    /// The status the caller saw; 499 when it left before one, 0 when none was known.
    status: u16,
    /// How it ended.
    #[schema(inline)]
    finish: Finish,
    /// Whether the tokens are an estimate.
    is_estimated: bool,
    /// Whether the answer was streamed.
    is_stream: bool,
    /// Tokens read, those of caches included.
    input_tokens: u64,
    /// Of these, read from the provider's cache.
    cached_tokens: u64,
    /// Of these, written to the provider's cache.
    cache_write_tokens: u64,
    /// Tokens written, those of reasoning included.
    output_tokens: u64,
    /// Of these, spent on reasoning.
    reasoning_tokens: u64,
    /// What it cost, failed attempts included, in billionths of a dollar.
    cost_nano_usd: u64,
    /// What the cheapest paid alternative would have cost more.
    saved_nano_usd: u64,
    /// The price-book version that priced it; empty when no attempt answered.
    price_book: String,
    /// From its beginning to the first byte of the answer.
    first_byte_ms: Option<u32>,
    /// From its beginning to its end.
    duration_ms: u32,
}

/// One try at one offer.
#[derive(Debug, Serialize, ToSchema)]
pub struct AttemptView {
    /// The offer tried.
    offer: NamedView,
    /// Its provider's name then.
    provider: String,
    /// `ok`, or why it failed: one word.
    outcome: String,
    /// The provider's status, when it answered.
    status: Option<u16>,
    /// How long it took.
    ms: u64,
    /// What it was charged although it failed; what the answer cost is the call's own.
    cost_nano_usd: u64,
}

/// Everything that is known of one call.
#[derive(Debug, Serialize, ToSchema)]
pub struct RequestDetailView {
    #[serde(flatten)]
    request: RequestView,
    /// What the caller attached.
    #[schema(value_type = Object)]
    tags: serde_json::Value,
    /// Every try, in order.
    attempts: Vec<AttemptView>,
    /// What it cost and saved, computed again from the price books.
    receipt: ReceiptView,
}

/// List calls
///
/// A page looks through a few thousand calls at most: with filters that few calls fit it may be short, or empty, and
/// still have a `next_cursor`.
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization_id}/requests",
    tag = "usage",
    params(("organization_id" = OrganizationId, Path)),
    responses((status = 200, description = "A page of calls.", body = Listed<RequestView>), Problems)
)]
pub async fn list_requests(
    State(plane): State<Plane>,
    member: Member,
    Query(query): Query<RequestsQuery>,
) -> Result<Json<Listed<RequestView>>, ApiError> {
    let paging = paging(query.limit, query.cursor.as_deref(), query.order)?;
    let filters = query.filters()?;
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    let page = store::list(&mut tx, &filters, &paging).await?;
    let names = Names::of(&mut tx, &page.rows).await?;
    Ok(Json(Listed::of(page, |entry| names.request(&entry))))
}

/// Show one call
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization_id}/requests/{request_id}",
    tag = "usage",
    params(("organization_id" = OrganizationId, Path), ("request_id" = RequestId, Path)),
    responses((status = 200, description = "The call.", body = RequestDetailView), Problems)
)]
pub async fn show_request(
    State(plane): State<Plane>,
    member: Member,
    Path((_organization, id)): Path<(OrganizationId, RequestId)>,
) -> Result<Json<RequestDetailView>, ApiError> {
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    let entry = store::find(&mut tx, id).await?.ok_or(ApiError::NotFound)?;
    let names = Names::of(&mut tx, std::slice::from_ref(&entry)).await?;
    let lines = receipt::store::lines(&mut tx, &lines_of(&entry)).await?;
    let finding = check(&entry, &lines);
    Ok(Json(RequestDetailView {
        request: names.request(&entry),
        tags: match &entry.tags {
            serde_json::Value::Null => serde_json::json!({}),
            tags => tags.clone(),
        },
        attempts: entry
            .attempts
            .iter()
            .map(|attempt| names.attempt(attempt))
            .collect(),
        receipt: ReceiptView::of(&entry, &finding, &lines),
    }))
}

/// What the things that some calls name are called.
struct Names(HashMap<Uuid, String>);

impl Names {
    async fn of(tx: &mut OrgTx, entries: &[Entry]) -> Result<Self, ApiError> {
        let wanted: BTreeSet<_> = entries.iter().flat_map(named_by).collect();
        Ok(Self(report::store::all_names(tx, &wanted).await?))
    }

    fn get(&self, id: Uuid) -> NamedView {
        NamedView {
            id: Some(id),
            name: self.0.get(&id).cloned(),
        }
    }

    fn attempt(&self, attempt: &AttemptRecord) -> AttemptView {
        AttemptView {
            offer: self.get(attempt.offer_id.uuid()),
            provider: attempt.provider.clone(),
            outcome: attempt.outcome.clone(),
            status: attempt.status,
            ms: attempt.ms,
            cost_nano_usd: attempt.cost_nano_usd.0,
        }
    }

    fn request(&self, entry: &Entry) -> RequestView {
        let named = |id: Option<Uuid>| id.map(|id| self.get(id));
        RequestView {
            id: entry.request_id,
            at: entry.request_id.at(),
            client_request_id: entry.client_request_id.clone(),
            api_key: self.get(entry.api_key_id.uuid()),
            group: named(entry.group_id.map(GroupId::uuid)),
            user: named(entry.user_id.map(UserId::uuid)),
            requested_model: entry.requested_model.clone(),
            model: named(entry.model_id.map(ModelId::uuid)),
            offer: named(entry.offer_id.map(OfferId::uuid)),
            provider: named(entry.provider_id.map(ProviderId::uuid)),
            status: entry.status,
            finish: entry.finish,
            is_estimated: entry.is_estimated,
            is_stream: entry.is_stream,
            input_tokens: entry.usage.input.0,
            cached_tokens: entry.usage.cached.0,
            cache_write_tokens: entry.usage.cache_write.0,
            output_tokens: entry.usage.output.0,
            reasoning_tokens: entry.usage.reasoning.0,
            cost_nano_usd: entry.cost_nano_usd.0,
            saved_nano_usd: entry.saved_nano_usd.0,
            price_book: entry.price_book.clone(),
            first_byte_ms: entry.first_byte_ms,
            duration_ms: entry.duration_ms,
        }
    }
}

fn named_by(entry: &Entry) -> Vec<(Dimension, Uuid)> {
    let own = [
        Some((Dimension::Key, entry.api_key_id.uuid())),
        entry.group_id.map(|id| (Dimension::Group, id.uuid())),
        entry.user_id.map(|id| (Dimension::User, id.uuid())),
        entry.model_id.map(|id| (Dimension::Model, id.uuid())),
        entry.offer_id.map(|id| (Dimension::Offer, id.uuid())),
        entry.provider_id.map(|id| (Dimension::Provider, id.uuid())),
    ];
    let tried = entry
        .attempts
        .iter()
        .map(|attempt| (Dimension::Offer, attempt.offer_id.uuid()));
    own.into_iter().flatten().chain(tried).collect()
}
