//! All the sidecar's metrics, on one page.

use std::time::Duration;

use axum::http::StatusCode;
use prometheus::{Error, HistogramVec, IntCounterVec, IntGauge};

use crate::{agents::driver, identity::mail, telemetry::Registry, usage::rollup::Comparison};

/// The sidecar's metrics.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    durations: HistogramVec,
    throttled: IntCounterVec,
    roll_up_faults: IntGauge,
    ledger_faults: IntGauge,
    letters_tried: IntCounterVec,
    letters_waiting: IntGauge,
    letters_oldest: IntGauge,
    letters_given_up: IntGauge,
    agents: AgentMetrics,
}

/// The metrics of agents.
#[derive(Clone, Debug)]
struct AgentMetrics {
    led: IntGauge,
    runs: IntCounterVec,
    durations: HistogramVec,
}

/// The upper bounds of agents' wakings, in seconds: from nothing to do to a whole night's work.
const AGENT_SECONDS: [f64; 8] = [0.01, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0];

/// The upper bounds of durations, in seconds: from a look-up to a password's hash behind others.
const SECONDS: [f64; 10] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 10.0,
];

impl Metrics {
    /// Registers every metric.
    ///
    /// # Errors
    ///
    /// When a name is malformed or taken: a fault of this page.
    pub fn new() -> Result<Self, Error> {
        let registry = Registry::new();
        let build = registry.gauges(
            "synaxis_build_info",
            "Which build this is; always 1",
            &["version"],
        )?;
        build
            .with_label_values(&[env!("CARGO_PKG_VERSION")])
            .set(1.0);
        Ok(Self {
            requests: registry.int_counters(
                "synaxis_admin_requests_total",
                "Requests to the admin API, by operation and class of status",
                &["operation", "status_class"],
            )?,
            durations: registry.histograms(
                "synaxis_admin_request_duration_seconds",
                "How long requests to the admin API took, by operation",
                &SECONDS,
                &["operation"],
            )?,
            throttled: registry.int_counters(
                "synaxis_admin_throttled_total",
                "Tries refused for being one too many, by what was tried and what was counted",
                &["action", "subject"],
            )?,
            roll_up_faults: registry.int_gauge(
                "synaxis_roll_up_faults",
                "Rows of the roll-ups that said something else than their entries, when last compared; each is a bug",
            )?,
            ledger_faults: registry.int_gauge(
                "synaxis_ledger_faults",
                "Calls and accounts whose money did not add up, when last looked at; each is a bug",
            )?,
            letters_tried: registry.int_counters(
                "synaxis_letters_tried_total",
                "Tries to send a letter, by what became of it: sent, put_back, given_up",
                &["outcome"],
            )?,
            letters_waiting: registry.int_gauge(
                "synaxis_letters_waiting",
                "Letters in the books that wait to be sent, all sidecars together",
            )?,
            letters_oldest: registry.int_gauge(
                "synaxis_letters_oldest_seconds",
                "How long the oldest letter has waited; 0 when none does",
            )?,
            letters_given_up: registry.int_gauge(
                "synaxis_letters_given_up",
                "Letters that were lost in the last seven days: nobody took them while they counted",
            )?,
            agents: AgentMetrics::new(&registry)?,
            registry,
        })
    }

    /// Counts an answer. `operation` is one of the page, or `none`.
    pub fn answered(&self, operation: &str, status: StatusCode, took: Duration) {
        let class = match status.as_u16() {
            ..200 => "1xx",
            200..300 => "2xx",
            300..400 => "3xx",
            400..500 => "4xx",
            500.. => "5xx",
        };
        self.requests.with_label_values(&[operation, class]).inc();
        let durations = self.durations.with_label_values(&[operation]);
        durations.observe(took.as_secs_f64());
    }

    /// Counts a try that was one too many.
    pub fn throttled(&self, action: &str, subject: &str) {
        self.throttled.with_label_values(&[action, subject]).inc();
    }

    /// Notes what a comparison of the roll-ups with their entries found.
    pub fn compared(&self, comparison: Comparison) {
        let faults = i64::try_from(comparison.faults).unwrap_or(i64::MAX);
        self.roll_up_faults.set(faults);
    }

    /// Notes how many faults a check of the ledger found.
    pub fn checked(&self, faults: u64) {
        self.ledger_faults
            .set(i64::try_from(faults).unwrap_or(i64::MAX));
    }

    /// Notes what there is to tell of letters.
    pub fn mailed(&self, news: mail::News) {
        match news {
            mail::News::Tried(outcome) => {
                let tried = self.letters_tried.with_label_values(&[outcome.word()]);
                tried.inc();
            }
            mail::News::Standing(standing) => {
                let oldest = i64::try_from(standing.oldest.as_secs()).unwrap_or(i64::MAX);
                self.letters_waiting.set(standing.waiting);
                self.letters_oldest.set(oldest);
                self.letters_given_up.set(standing.given_up);
            }
        }
    }

    /// Notes what there is to tell of agents.
    pub fn woken(&self, news: driver::News) {
        match news {
            driver::News::Leads(leads) => self.agents.led.set(i64::from(leads)),
            driver::News::Ended {
                agent,
                outcome,
                took,
            } => {
                let runs = &self.agents.runs;
                runs.with_label_values(&[agent, outcome.word()]).inc();
                let durations = self.agents.durations.with_label_values(&[agent]);
                durations.observe(took.as_secs_f64());
            }
        }
    }

    /// Returns every metric in Prometheus' text format.
    #[must_use]
    pub fn render(&self) -> String {
        self.registry.render()
    }
}

impl AgentMetrics {
    fn new(registry: &Registry) -> Result<Self, Error> {
        Ok(Self {
            led: registry.int_gauge(
                "synaxis_agents_led",
                "Whether this sidecar wakes the agents: 1, or 0",
            )?,
            runs: registry.int_counters(
                "synaxis_agent_runs_total",
                "Wakings of agents, by agent and outcome",
                &["agent", "outcome"],
            )?,
            durations: registry.histograms(
                "synaxis_agent_run_duration_seconds",
                "How long wakings of agents took, by agent",
                &AGENT_SECONDS,
                &["agent"],
            )?,
        })
    }
}
