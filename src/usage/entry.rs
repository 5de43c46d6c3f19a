//! One booked call, and the intent written down before its first byte goes upstream.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::base::{
    ApiKeyId, GroupId, ModelId, NanoUsd, OfferId, OrganizationId, ProviderId, RequestId,
    StrategyId, Tokens, Usage, UserId,
};

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// The answer was delivered whole.
    Complete,
    /// The caller left before the end.
    ClientGone,
    /// The upstream broke off after the first byte went to the caller.
    UpstreamCut,
    /// No attempt gave an answer.
    Failed,
    /// The upstream refused the call as the caller's own fault, and was believed.
    RefusedUpstream,
    /// The proxy died with the call in flight; written by whoever found its intent.
    Abandoned,
}

impl Finish {
    /// Returns the word the books use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::ClientGone => "client_gone",
            Self::UpstreamCut => "upstream_cut",
            Self::Failed => "failed",
            Self::RefusedUpstream => "refused_upstream",
            Self::Abandoned => "abandoned",
        }
    }
}

/// One try at one offer, as it stands in the entry's `attempts`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptRecord {
    /// The offer tried.
    pub offer_id: OfferId,
    /// The provider's name.
    pub provider: String,
    /// `ok`, or why it failed: one word.
    pub outcome: String,
    /// The upstream's status, when it answered.
    pub status: Option<u16>,
    /// How long it took.
    pub ms: u64,
    /// What it may have cost although it failed; zero for the attempt that answered.
    pub cost_nano_usd: NanoUsd,
    /// What it was charged for reading, when it was charged at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charged: Option<Charged>,
}

/// What a failed attempt was charged for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charged {
    /// The tokens it may have read.
    pub input_tokens: Tokens,
    /// The price-book version that priced them.
    pub price_book: String,
    /// They are among the entry's own, which has no answer's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_entry: bool,
}

/// The paid offer a call is measured against: what it would have taken without a free one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alternative {
    /// The offer.
    pub offer_id: OfferId,
    /// The price-book version of its price.
    pub price_book: String,
}

/// Why a call went where it went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// Why the last offer was tried, in one word; empty where nobody wrote it down.
    pub why: Cow<'static, str>,
    /// The strategy that put the offers in order; `None` for the usual one.
    pub strategy: Option<StrategyId>,
    /// The first offers in that order, where it is not the usual one.
    pub ranked: Vec<OfferId>,
}

/// One booked call: a row of `operations.usage_entries`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The call; its time part is the row's `at`.
    pub request_id: RequestId,
    /// Whose call.
    pub organization_id: OrganizationId,
    /// The team it counts for.
    pub group_id: Option<GroupId>,
    /// The person it counts for.
    pub user_id: Option<UserId>,
    /// The key it came with.
    pub api_key_id: ApiKeyId,
    /// The caller's own id for it.
    pub client_request_id: Option<String>,
    /// What the caller attached: `user`, `metadata`, `x-synaxis-tags`.
    pub tags: serde_json::Value,
    /// The model as the caller wrote it.
    pub requested_model: String,
    /// The model that answered, or was tried last.
    pub model_id: Option<ModelId>,
    /// The offer that answered, or was tried last.
    pub offer_id: Option<OfferId>,
    /// Its provider.
    pub provider_id: Option<ProviderId>,
    /// The status the caller saw; 499 when it left before one.
    pub status: u16,
    /// How it ended.
    pub finish: Finish,
    /// Whether the tokens are our estimate.
    pub is_estimated: bool,
    /// Whether the answer was streamed.
    pub is_stream: bool,
    /// What was read and written.
    pub usage: Usage,
    /// What was held for it: the most that any of its limits of money held, or what it was expected to cost.
    pub held_nano_usd: NanoUsd,
    /// What it cost, failed attempts included.
    pub cost_nano_usd: NanoUsd,
    /// What the cheapest paid alternative would have cost more.
    pub saved_nano_usd: NanoUsd,
    /// The price-book version that priced its tokens; empty when no attempt answered: then the attempts were charged.
    pub price_book: String,
    /// What `saved_nano_usd` was measured against, when there was anything.
    pub alternative: Option<Alternative>,
    /// Why it went where it went.
    pub decision: Decision,
    /// From the call's beginning to the first byte of the answer.
    pub first_byte_ms: Option<u32>,
    /// From the call's beginning to its end.
    pub duration_ms: u32,
    /// Every try, in order.
    pub attempts: Vec<AttemptRecord>,
}

/// A call that is about to reach an upstream.
///
/// It is the entry as it would stand if the proxy died now: `finish` abandoned, tokens and cost as held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent(pub Entry);
