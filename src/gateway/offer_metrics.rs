//! The handles of the metrics that carry an offer's names, looked up once per offer instead of once per call.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use arc_swap::ArcSwap;
use prometheus::{Error, Histogram, HistogramVec, IntCounter, IntCounterVec};

use super::metrics::{DURATION_BOUNDS, EndedCall, FIRST_BYTE_BOUNDS};
use crate::{base::OfferId, catalog::Offer, dialect::Endpoint, telemetry::Registry};

/// Upper bounds of token counts, as OpenTelemetry asks for.
const TOKEN_BOUNDS: [f64; 14] = [
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1_024.0,
    4_096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];

/// The labels of every metric OpenTelemetry names.
const GEN_AI_LABELS: [&str; 3] = [
    "gen_ai_operation_name",
    "gen_ai_provider_name",
    "gen_ai_request_model",
];

/// The families that carry an offer's names.
#[derive(Clone, Debug)]
pub(super) struct OfferFamilies {
    requests: IntCounterVec,
    token_usage: HistogramVec,
    duration: HistogramVec,
    first_byte: HistogramVec,
}

impl OfferFamilies {
    pub(super) fn new(r: &Registry) -> Result<Self, Error> {
        let [operation, provider, model] = GEN_AI_LABELS;
        Ok(Self {
            requests: r.int_counters(
                "synaxis_requests_total",
                "Calls that ended, answered or refused",
                &["route", "provider", "model", "status_class", "stream"],
            )?,
            token_usage: r.histograms(
                "gen_ai_client_token_usage",
                "Tokens per call",
                &TOKEN_BOUNDS,
                &[operation, provider, model, "gen_ai_token_type"],
            )?,
            duration: r.histograms(
                "gen_ai_client_operation_duration",
                "Calls from their beginning to their end, in seconds",
                &DURATION_BOUNDS,
                &GEN_AI_LABELS,
            )?,
            first_byte: r.histograms(
                "gen_ai_server_time_to_first_token",
                "From a call's beginning to the first byte of its answer, in seconds",
                &FIRST_BYTE_BOUNDS,
                &GEN_AI_LABELS,
            )?,
        })
    }
}

/// The handles of every offer that was called so far.
#[derive(Debug)]
pub(super) struct Offers {
    families: OfferFamilies,
    known: ArcSwap<HashMap<OfferId, Arc<OfferMetrics>>>,
    nowhere: OfferMetrics,
}

impl Offers {
    pub(super) fn new(families: OfferFamilies) -> Self {
        Self {
            nowhere: OfferMetrics::new(families.clone(), "none", "other"),
            families,
            known: ArcSwap::default(),
        }
    }

    /// Returns what counts calls that reached no offer.
    pub(super) fn nowhere(&self) -> &OfferMetrics {
        &self.nowhere
    }

    pub(super) fn of(&self, offer: &Offer) -> Arc<OfferMetrics> {
        let (provider, model) = labels(offer);
        if let Some(known) = self.known.load().get(&offer.id)
            && known.provider == provider
            && known.model == model
        {
            return Arc::clone(known);
        }
        let fresh = Arc::new(OfferMetrics::new(self.families.clone(), provider, model));
        self.known.rcu(|known| {
            let mut known = HashMap::clone(known);
            known.insert(offer.id, Arc::clone(&fresh));
            known
        });
        fresh
    }
}

/// What an organization brought itself must not make labels.
fn labels(offer: &Offer) -> (&str, &str) {
    match offer.provider.organization_id {
        None => (&offer.provider.name, &offer.model.name),
        Some(_) => ("own", "other"),
    }
}

/// Returns `provider/model`; nothing for what an organization brought itself.
pub(super) fn label_of_offer(offer: &Offer) -> Option<String> {
    let is_platforms = offer.provider.organization_id.is_none();
    is_platforms.then(|| format!("{}/{}", offer.provider.name, offer.model.name))
}

/// The handles of one offer, each looked up when it is first needed.
#[derive(Debug)]
pub struct OfferMetrics {
    provider: String,
    model: String,
    families: OfferFamilies,
    requests: [OnceLock<IntCounter>; ENDPOINTS * STATUS_CLASSES.len() * 2],
    operations: [OnceLock<Operation>; ENDPOINTS],
}

/// How many endpoints there are.
const ENDPOINTS: usize = 6;

/// The first digits of a status.
const STATUS_CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

#[derive(Debug)]
struct Operation {
    input_tokens: Histogram,
    output_tokens: Histogram,
    duration: Histogram,
    first_byte: Histogram,
}

impl OfferMetrics {
    fn new(families: OfferFamilies, provider: &str, model: &str) -> Self {
        Self {
            provider: provider.to_owned(),
            model: model.to_owned(),
            families,
            requests: [const { OnceLock::new() }; ENDPOINTS * STATUS_CLASSES.len() * 2],
            operations: [const { OnceLock::new() }; ENDPOINTS],
        }
    }

    /// Counts a call that has ended.
    pub(super) fn ended(&self, call: &EndedCall<'_>) {
        self.count(call);
        if call.offer.is_some() {
            self.measure(call);
        }
    }

    fn count(&self, call: &EndedCall<'_>) {
        let class = usize::from(call.status / 100).clamp(1, STATUS_CLASSES.len()) - 1;
        let at = (number_of(call.endpoint) * STATUS_CLASSES.len() + class) * 2
            + usize::from(call.is_stream);
        let Some(handle) = self.requests.get(at) else {
            return;
        };
        let look_up = || {
            let stream = if call.is_stream { "true" } else { "false" };
            let class = STATUS_CLASSES.get(class).copied().unwrap_or("5xx");
            let labels = [
                call.endpoint.name(),
                self.provider.as_str(),
                self.model.as_str(),
                class,
                stream,
            ];
            self.families.requests.with_label_values(&labels)
        };
        handle.get_or_init(look_up).inc();
    }

    fn measure(&self, call: &EndedCall<'_>) {
        let Some(handle) = self.operations.get(number_of(call.endpoint)) else {
            return;
        };
        let operation = handle.get_or_init(|| self.look_up(call.endpoint));
        operation.input_tokens.observe(tokens(call.usage.input.0));
        operation.output_tokens.observe(tokens(call.usage.output.0));
        operation.duration.observe(call.duration.as_secs_f64());
        if let Some(first_byte) = call.first_byte {
            operation.first_byte.observe(first_byte.as_secs_f64());
        }
    }

    fn look_up(&self, endpoint: Endpoint) -> Operation {
        let labels = [
            operation_of(endpoint),
            self.provider.as_str(),
            self.model.as_str(),
        ];
        let [operation, provider, model] = labels;
        let tokens = |kind| {
            self.families
                .token_usage
                .with_label_values(&[operation, provider, model, kind])
        };
        Operation {
            input_tokens: tokens("input"),
            output_tokens: tokens("output"),
            duration: self.families.duration.with_label_values(&labels),
            first_byte: self.families.first_byte.with_label_values(&labels),
        }
    }
}

const fn number_of(endpoint: Endpoint) -> usize {
    match endpoint {
        Endpoint::ChatCompletions => 0,
        Endpoint::Completions => 1,
        Endpoint::Embeddings => 2,
        Endpoint::Responses => 3,
        Endpoint::Messages => 4,
        Endpoint::Other => 5,
    }
}

/// Returns OpenTelemetry's word for what an endpoint does.
const fn operation_of(endpoint: Endpoint) -> &'static str {
    match endpoint {
        Endpoint::ChatCompletions | Endpoint::Responses | Endpoint::Messages => "chat",
        Endpoint::Completions => "text_completion",
        Endpoint::Embeddings => "embeddings",
        Endpoint::Other => "other",
    }
}

/// More tokens than four billion are all one to a histogram.
fn tokens(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
