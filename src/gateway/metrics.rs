//! All the data path's metrics, on one page.
//!
//! No label grows with tenants, keys or what callers send: labels are words of our own or names of the platform's
//! catalog. What an organization brought itself is `own` and `other`.

use std::{sync::Arc, time::Duration};

use prometheus::{Counter, Error, GaugeVec, Histogram, IntCounter, IntCounterVec, IntGauge};

use super::{
    offer_metrics::{OfferFamilies, OfferMetrics, Offers, label_of_offer},
    readings::{Followed, Gauges, Readings},
};
use crate::{
    base::{NanoUsd, Usage},
    catalog::{Offer, Tier},
    dialect::Endpoint,
    telemetry::Registry,
};

/// Upper bounds of what we add to a call, in seconds.
const OVERHEAD_BOUNDS: [f64; 10] = [
    0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05,
];

/// Upper bounds of first bytes, in seconds, as OpenTelemetry asks for.
pub(super) const FIRST_BYTE_BOUNDS: [f64; 16] = [
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];

/// Upper bounds of whole calls, in seconds, as OpenTelemetry asks for.
pub(super) const DURATION_BOUNDS: [f64; 14] = [
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
];

/// One call that has ended, as far as the metrics care.
#[derive(Clone, Copy, Debug)]
pub struct EndedCall<'a> {
    /// What it asked for.
    pub endpoint: Endpoint,
    /// The offer that answered or was tried last; `None` when it was refused before any was tried.
    pub offer: Option<&'a Offer>,
    /// Whether it asked for a stream.
    pub is_stream: bool,
    /// The status the caller saw; 499 when it left before one.
    pub status: u16,
    /// From its beginning to its end.
    pub duration: Duration,
    /// From its beginning to the first byte of the answer.
    pub first_byte: Option<Duration>,
    /// What of it was spent in here rather than upstream.
    pub overhead: Duration,
    /// What was read and written.
    pub usage: Usage,
    /// What it cost.
    pub cost: NanoUsd,
    /// What it did not cost.
    pub saved: NanoUsd,
}

/// The data path's metrics.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    offers: Offers,
    duration: Histogram,
    first_byte: Histogram,
    overhead: Histogram,
    attempts: Attempts,
    fallbacks: IntCounterVec,
    refusals: IntCounterVec,
    tokens: TokenCounters,
    cost: CostCounters,
    inflight: IntGauge,
    free_allowance: GaugeVec,
    breakers: GaugeVec,
    gauges: Gauges,
    followed: Followed,
    /// Calls that could not be priced because no offer's price was known.
    pub price_unknown: IntCounter,
    /// How far ledger and books were apart when last compared, in nano-dollars.
    pub quota_drift_nano_usd: IntGauge,
}

impl Metrics {
    /// Makes every metric under its name.
    ///
    /// # Errors
    /// When a name is malformed or taken: a fault of this page.
    pub fn new(registry: &Registry) -> Result<Arc<Self>, Error> {
        let r = registry;
        build_info(r)?;
        Ok(Arc::new(Self {
            registry: registry.clone(),
            offers: Offers::new(OfferFamilies::new(r)?),
            duration: r.histogram(
                "synaxis_request_duration_seconds",
                "Calls from their beginning to their end",
                &DURATION_BOUNDS,
            )?,
            first_byte: r.histogram(
                "synaxis_time_to_first_token_seconds",
                "From a call's beginning to the first byte of its answer",
                &FIRST_BYTE_BOUNDS,
            )?,
            overhead: r.histogram(
                "synaxis_gateway_overhead_seconds",
                "What the gateway added to a call",
                &OVERHEAD_BOUNDS,
            )?,
            attempts: Attempts::new(r)?,
            fallbacks: r.int_counters(
                "synaxis_fallbacks_total",
                "Times a call went on to its next offer, by why",
                &["reason"],
            )?,
            refusals: r.int_counters(
                "synaxis_refusals_total",
                "Calls refused, by the code of the answer",
                &["reason"],
            )?,
            tokens: TokenCounters::new(r)?,
            cost: CostCounters::new(r)?,
            inflight: r.int_gauge("synaxis_inflight_requests", "Calls in flight")?,
            free_allowance: r.gauges(
                "synaxis_free_allowance_remaining",
                "What is left of what the platform's providers give",
                &["provider", "unit"],
            )?,
            breakers: r.gauges(
                "synaxis_breaker_state",
                "Whether an offer is out: 0 no, 1 on probation, 2 yes",
                &["offer"],
            )?,
            gauges: Gauges::new(r)?,
            followed: Followed::new(r)?,
            price_unknown: r.int_counter(
                "synaxis_price_unknown_total",
                "Calls that found no offer with a known price",
            )?,
            quota_drift_nano_usd: r.int_gauge(
                "synaxis_quota_drift_nano_usd",
                "How far ledger and books were apart when last compared",
            )?,
        }))
    }

    /// Counts a call as in flight until the guard is dropped.
    #[must_use]
    pub fn enter(self: &Arc<Self>) -> InFlight {
        self.inflight.inc();
        InFlight(Arc::clone(self))
    }

    /// Returns the cached handles of an offer.
    pub fn of(&self, offer: &Offer) -> Arc<OfferMetrics> {
        self.offers.of(offer)
    }

    /// Counts a call that has ended, answered or refused.
    pub fn ended(&self, call: &EndedCall<'_>) {
        self.duration.observe(call.duration.as_secs_f64());
        self.overhead.observe(call.overhead.as_secs_f64());
        if let Some(first_byte) = call.first_byte {
            self.first_byte.observe(first_byte.as_secs_f64());
        }
        let Some(offer) = call.offer else {
            self.offers.nowhere().ended(call);
            return;
        };
        self.of(offer).ended(call);
        self.tokens.add(&call.usage);
        self.cost.add(offer.tier, call.cost, call.saved);
    }

    /// Counts one try at one offer; `outcome` as in the entry's attempts, one word.
    pub fn attempted(&self, outcome: &'static str) {
        self.attempts.count(outcome);
    }

    /// Counts a step to the next offer.
    pub fn fell_back(&self, reason: &'static str) {
        self.fallbacks.with_label_values(&[reason]).inc();
    }

    /// Counts a refusal under the code the caller read.
    pub fn refused(&self, code: &'static str) {
        self.refusals.with_label_values(&[code]).inc();
    }

    /// Shows which of the platform's offers are out; those not named are forgotten.
    pub fn show_breakers<'a>(&self, states: impl Iterator<Item = (&'a Offer, Breaker)>) {
        self.breakers.reset();
        for (offer, state) in states {
            if let Some(label) = label_of_offer(offer) {
                self.breakers
                    .with_label_values(&[label.as_str()])
                    .set(f64::from(state as u8));
            }
        }
    }

    /// Shows what is left of the platform's allowances; `unit` is `requests`, `tokens` or `nano_usd`.
    pub fn show_allowances<'a>(&self, left: impl Iterator<Item = (&'a str, &'static str, u64)>) {
        self.free_allowance.reset();
        for (provider, unit, remaining) in left {
            self.free_allowance
                .with_label_values(&[provider, unit])
                .set(approximate(remaining));
        }
    }

    /// Returns the page as Prometheus reads it.
    #[must_use]
    pub fn render(&self, readings: &Readings<'_>) -> String {
        self.gauges.show(readings);
        self.followed.catch_up(readings);
        self.registry.render()
    }
}

/// How an offer's breaker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Breaker {
    /// Calls go through.
    Closed = 0,
    /// One call at a time tries whether it is well again.
    Probing = 1,
    /// No call goes there.
    Open = 2,
}

/// One call in flight.
#[derive(Debug)]
pub struct InFlight(Arc<Metrics>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.inflight.dec();
    }
}

#[derive(Debug)]
struct Attempts {
    all: IntCounterVec,
    ok: IntCounter,
}

impl Attempts {
    fn new(r: &Registry) -> Result<Self, Error> {
        let help = "Tries at one offer, by how they ended";
        let all = r.int_counters("synaxis_upstream_attempts_total", help, &["outcome"])?;
        Ok(Self {
            ok: all.with_label_values(&["ok"]),
            all,
        })
    }

    fn count(&self, outcome: &'static str) {
        if outcome == "ok" {
            self.ok.inc();
        } else {
            self.all.with_label_values(&[outcome]).inc();
        }
    }
}

#[derive(Debug)]
struct TokenCounters {
    input: IntCounter,
    cached: IntCounter,
    cache_write: IntCounter,
    output: IntCounter,
    reasoning: IntCounter,
}

impl TokenCounters {
    fn new(r: &Registry) -> Result<Self, Error> {
        let help = "Tokens read and written; cached and cache_write are part of input, reasoning of output";
        let tokens = r.int_counters("synaxis_tokens_total", help, &["direction"])?;
        Ok(Self {
            input: tokens.with_label_values(&["input"]),
            cached: tokens.with_label_values(&["cached"]),
            cache_write: tokens.with_label_values(&["cache_write"]),
            output: tokens.with_label_values(&["output"]),
            reasoning: tokens.with_label_values(&["reasoning"]),
        })
    }

    fn add(&self, usage: &Usage) {
        self.input.inc_by(usage.input.0);
        self.cached.inc_by(usage.cached.0);
        self.cache_write.inc_by(usage.cache_write.0);
        self.output.inc_by(usage.output.0);
        self.reasoning.inc_by(usage.reasoning.0);
    }
}

#[derive(Debug)]
struct CostCounters {
    free: Counter,
    paid: Counter,
    saved: Counter,
}

impl CostCounters {
    fn new(r: &Registry) -> Result<Self, Error> {
        let cost = r.counters(
            "synaxis_cost_usd_total",
            "What calls cost, in dollars, by the tier of the offer",
            &["tier"],
        )?;
        Ok(Self {
            free: cost.with_label_values(&["free"]),
            paid: cost.with_label_values(&["paid"]),
            saved: r.counter(
                "synaxis_saved_usd_total",
                "What the cheapest paid alternatives would have cost more, in dollars",
            )?,
        })
    }

    fn add(&self, tier: Tier, cost: NanoUsd, saved: NanoUsd) {
        let counter = match tier {
            Tier::Free => &self.free,
            Tier::Paid => &self.paid,
        };
        counter.inc_by(dollars(cost));
        self.saved.inc_by(dollars(saved));
    }
}

/// A billionth is to a dollar what a nanosecond is to a second.
fn dollars(amount: NanoUsd) -> f64 {
    Duration::from_nanos(amount.0).as_secs_f64()
}

fn build_info(r: &Registry) -> Result<(), Error> {
    let info = r.gauges(
        "synaxis_build_info",
        "Which build this is; always 1",
        &["version"],
    )?;
    info.with_label_values(&[env!("CARGO_PKG_VERSION")])
        .set(1.0);
    Ok(())
}

/// A count as a gauge shows it: exact to some thousands of billions.
#[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
fn approximate(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::{base::Tokens, quota, usage::Counters};

    fn readings<'a>(usage: &'a Counters, quota: &'a quota::Counters) -> Readings<'a> {
        Readings {
            holds_open: 3,
            spool_bytes: 4_096,
            snapshot_age: Duration::from_millis(1_500),
            key_view_age: Duration::ZERO,
            limits_enforced: true,
            quota,
            usage,
        }
    }

    fn call() -> EndedCall<'static> {
        EndedCall {
            endpoint: Endpoint::ChatCompletions,
            offer: None,
            is_stream: true,
            status: 429,
            duration: Duration::from_millis(3),
            first_byte: None,
            overhead: Duration::from_micros(60),
            usage: Usage {
                input: Tokens(7),
                ..Usage::default()
            },
            cost: NanoUsd::ZERO,
            saved: NanoUsd::ZERO,
        }
    }

    #[test]
    fn a_refused_call_is_counted_without_a_provider() {
        let metrics = Metrics::new(&Registry::new()).unwrap();

        metrics.ended(&call());
        metrics.refused("budget_exceeded");

        let page = metrics.render(&readings(&Counters::default(), &quota::Counters::default()));
        assert!(page.contains(
            r#"synaxis_requests_total{model="other",provider="none",route="chat_completions",status_class="4xx",stream="true"} 1"#
        ));
        assert!(page.contains(r#"synaxis_refusals_total{reason="budget_exceeded"} 1"#));
        assert!(page.contains(r#"synaxis_gateway_overhead_seconds_bucket{le="0.0001"} 1"#));
        assert!(page.contains(r#"synaxis_gateway_overhead_seconds_bucket{le="0.00005"} 0"#));
    }

    #[test]
    fn counters_kept_elsewhere_are_followed_and_never_counted_twice() {
        let metrics = Metrics::new(&Registry::new()).unwrap();
        let counters = Counters::default();
        counters.dead_letters.store(5, Ordering::Relaxed);
        let quota = quota::Counters::default();
        quota.redis_errors.store(2, Ordering::Relaxed);
        quota.shadowed.store(7, Ordering::Relaxed);

        let _ = metrics.render(&readings(&counters, &quota));
        let page = metrics.render(&readings(&counters, &quota));

        assert!(page.contains("\nsynaxis_redis_errors_total 2\n"));
        assert!(page.contains("\nsynaxis_quota_shadowed_total 7\n"));
        assert!(page.contains("\nsynaxis_usage_dead_letters_total 5\n"));
        assert!(page.contains("\nsynaxis_snapshot_age_seconds 1.5\n"));
        assert!(page.contains("\nsynaxis_holds_open 3\n"));
    }

    #[test]
    fn a_call_is_in_flight_until_its_guard_is_dropped() {
        let metrics = Metrics::new(&Registry::new()).unwrap();

        let first = metrics.enter();
        let second = metrics.enter();
        drop(first);

        assert_eq!(metrics.inflight.get(), 1);
        drop(second);
        assert_eq!(metrics.inflight.get(), 0);
    }

    #[test]
    fn dollars_are_billionths_counted_exactly() {
        assert!((dollars(NanoUsd(1_250_000_000)) - 1.25).abs() < f64::EPSILON);
    }
}
