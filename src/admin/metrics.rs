//! All the sidecar's metrics, on one page.

use prometheus::{Error, IntGauge};

use crate::{telemetry::Registry, usage::rollup::Comparison};

/// The sidecar's metrics.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    roll_up_faults: IntGauge,
}

impl Metrics {
    /// Registers every metric.
    ///
    /// # Errors
    ///
    /// When a name is malformed or taken: a fault of this page.
    pub fn new() -> Result<Self, Error> {
        let registry = Registry::new();
        let labels = ["version"];
        let build = registry.gauges(
            "synaxis_build_info",
            "Which build this is; always 1",
            &labels,
        )?;
        build
            .with_label_values(&[env!("CARGO_PKG_VERSION")])
            .set(1.0);
        let roll_up_faults = registry.int_gauge(
            "synaxis_roll_up_faults",
            "Rows of the roll-ups that said something else than their entries, when last compared; each is a bug",
        )?;
        Ok(Self {
            registry,
            roll_up_faults,
        })
    }

    /// Notes what a comparison of the roll-ups with their entries found.
    pub fn compared(&self, comparison: Comparison) {
        let faults = i64::try_from(comparison.faults).unwrap_or(i64::MAX);
        self.roll_up_faults.set(faults);
    }

    /// Returns every metric in Prometheus' text format.
    #[must_use]
    pub fn render(&self) -> String {
        self.registry.render()
    }
}
