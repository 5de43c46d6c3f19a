//! How the plan of a call looks to who asks for it.

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    base::{Moment, OfferId, OrganizationId, StrategyId},
    catalog::{Offer, Resolved, Tier},
    routing::{Candidate, Kind, Plan, Strategy, Why},
    snapshot::Size,
};

/// Whose key an offer would be asked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyOwner {
    /// The organization's own.
    Organization,
    /// The platform's.
    Platform,
}

/// An offer.
#[derive(Debug, Serialize, ToSchema)]
pub struct OfferedView {
    /// Its id.
    offer_id: OfferId,
    /// Its model.
    model: String,
    /// Its provider.
    provider: String,
    /// What the provider calls the model.
    upstream_name: String,
    /// Whether it is free.
    tier: Tier,
}

/// An offer that would be tried, unless one before it answers.
#[derive(Debug, Serialize, ToSchema)]
pub struct CandidateView {
    #[serde(flatten)]
    offer: OfferedView,
    /// Its place, from 1.
    rank: usize,
    /// Whether one call comes this far at all.
    is_tried: bool,
    /// Why it stands there, in one word: what `x-synaxis-route` would say.
    why: &'static str,
    /// Whose key it would be asked with; null where none is needed.
    key: Option<KeyOwner>,
    /// What the call would probably cost.
    expected_cost_nano_usd: u64,
    /// The most it could cost.
    bound_cost_nano_usd: u64,
}

/// An offer that is out.
#[derive(Debug, Serialize, ToSchema)]
pub struct RuledOutView {
    #[serde(flatten)]
    offer: OfferedView,
    /// Why, in one word.
    reason: &'static str,
    /// Until when, where that passes by itself.
    until: Option<Moment>,
}

/// How much the call would read and write, in tokens.
#[derive(Debug, Serialize, ToSchema)]
pub struct SizeView {
    /// What would probably be read.
    input_expected: u64,
    /// The most that could be read.
    input_bound: u64,
    /// What would probably be written.
    output_expected: u64,
    /// The most that could be written.
    output_bound: u64,
}

/// The strategy that puts the offers in order.
#[derive(Debug, Serialize, ToSchema)]
pub struct StrategyHoldingView {
    /// Its id; null when nobody set one.
    id: Option<StrategyId>,
    /// What goes first.
    kind: Kind,
}

/// What would become of a call.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExplanationView {
    /// The model as the call names it.
    requested_model: String,
    /// The models that name stands for, in order.
    models: Vec<String>,
    /// What puts the offers in order.
    strategy: StrategyHoldingView,
    /// How large the call is.
    size: SizeView,
    /// How many offers one call tries.
    max_attempts: usize,
    /// Every offer that could serve it, the first to be tried first.
    candidates: Vec<CandidateView>,
    /// Every other offer of these models, with why it is out.
    out: Vec<RuledOutView>,
    /// Why nothing would be tried at all; null when something would.
    refusal: Option<String>,
}

impl ExplanationView {
    pub(super) fn of(
        requested: &str,
        resolved: &Resolved,
        (plan, refusal): (&Plan, Option<String>),
        strategy: &Strategy,
        size: &Size,
        organization: OrganizationId,
    ) -> Self {
        let links = &resolved.chain.links;
        let offers = || links.iter().flat_map(|link| &link.offers);
        let ruled_out = plan.out.iter().filter_map(|(id, why)| {
            let offer = offers().find(|offer| offer.id == *id)?;
            Some(RuledOutView::of(offer, *why))
        });
        let ranked = plan.candidates.iter().enumerate();
        Self {
            requested_model: requested.to_owned(),
            models: links.iter().map(|link| link.model.name.clone()).collect(),
            strategy: StrategyHoldingView {
                id: strategy.id,
                kind: strategy.kind,
            },
            size: SizeView {
                input_expected: size.input_expected.0,
                input_bound: size.input_bound.0,
                output_expected: size.output_expected.0,
                output_bound: size.output_bound.0,
            },
            max_attempts: plan.max_attempts,
            candidates: ranked
                .map(|(place, one)| CandidateView::of(one, place, plan, organization))
                .collect(),
            out: ruled_out.collect(),
            refusal,
        }
    }
}

impl CandidateView {
    fn of(one: &Candidate, place: usize, plan: &Plan, organization: OrganizationId) -> Self {
        let key = one.credential.as_ref().map(|key| {
            if key.organization_id == Some(organization) {
                KeyOwner::Organization
            } else {
                KeyOwner::Platform
            }
        });
        Self {
            offer: OfferedView::of(&one.offer),
            rank: place + 1,
            is_tried: place < plan.max_attempts,
            why: one.why,
            key,
            expected_cost_nano_usd: one.expected_cost.0,
            bound_cost_nano_usd: one.bound_cost.0,
        }
    }
}

impl RuledOutView {
    fn of(offer: &Offer, why: Why) -> Self {
        Self {
            offer: OfferedView::of(offer),
            reason: why.word(),
            until: match why {
                Why::Limited(until) | Why::Cooling(until) | Why::Failing(until) => Some(until),
                _ => None,
            },
        }
    }
}

impl OfferedView {
    fn of(offer: &Offer) -> Self {
        Self {
            offer_id: offer.id,
            model: offer.model.name.clone(),
            provider: offer.provider.name.clone(),
            upstream_name: offer.upstream_name.clone(),
            tier: offer.tier,
        }
    }
}
