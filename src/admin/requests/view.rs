//! How a call looks to its reader.

use std::collections::{BTreeSet, HashMap};

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    admin::{error::ApiError, savings::ReceiptView, usage::NamedView},
    base::{GroupId, ModelId, Moment, OfferId, ProviderId, RequestId, StrategyId, UserId},
    store::OrgTx,
    usage::{
        AttemptRecord, Decision, Entry, Finish,
        report::{Dimension, store},
    },
};

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

/// Why a call went where it went.
#[derive(Debug, Serialize, ToSchema)]
pub struct DecisionView {
    /// Why the last offer was tried, in one word: what `x-synaxis-route` said; null where nobody wrote it down.
    why: Option<String>,
    /// The strategy that put the offers in order; null for the usual one.
    strategy_id: Option<StrategyId>,
    /// The first offers in that order, where it is not the usual one.
    ranked: Vec<NamedView>,
}

/// Everything that is known of one call.
#[derive(Debug, Serialize, ToSchema)]
pub struct RequestDetailView {
    #[serde(flatten)]
    pub(super) request: RequestView,
    /// What the caller attached.
    #[schema(value_type = Object)]
    pub(super) tags: serde_json::Value,
    /// Why it went where it went.
    pub(super) decision: DecisionView,
    /// Every try, in order.
    pub(super) attempts: Vec<AttemptView>,
    /// What it cost and saved, computed again from the price books.
    pub(super) receipt: ReceiptView,
}

/// What the things that some calls name are called.
pub(super) struct Names(HashMap<Uuid, String>);

impl Names {
    pub(super) async fn of(tx: &mut OrgTx, entries: &[Entry]) -> Result<Self, ApiError> {
        let wanted: BTreeSet<_> = entries.iter().flat_map(named_by).collect();
        Ok(Self(store::all_names(tx, &wanted).await?))
    }

    fn get(&self, id: Uuid) -> NamedView {
        NamedView {
            id: Some(id),
            name: self.0.get(&id).cloned(),
        }
    }

    pub(super) fn attempt(&self, attempt: &AttemptRecord) -> AttemptView {
        AttemptView {
            offer: self.get(attempt.offer_id.uuid()),
            provider: attempt.provider.clone(),
            outcome: attempt.outcome.clone(),
            status: attempt.status,
            ms: attempt.ms,
            cost_nano_usd: attempt.cost_nano_usd.0,
        }
    }

    pub(super) fn decision(&self, decision: &Decision) -> DecisionView {
        let ranked = decision.ranked.iter();
        DecisionView {
            why: Some(decision.why.to_string()).filter(|why| !why.is_empty()),
            strategy_id: decision.strategy,
            ranked: ranked.map(|offer| self.get(offer.uuid())).collect(),
        }
    }

    pub(super) fn request(&self, entry: &Entry) -> RequestView {
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
    let ranked = entry.decision.ranked.iter();
    let ranked = ranked.map(|offer| (Dimension::Offer, offer.uuid()));
    own.into_iter()
        .flatten()
        .chain(tried)
        .chain(ranked)
        .collect()
}
