//! All the sidecar's metrics, on one page.

use prometheus::Error;

use crate::telemetry::Registry;

/// The sidecar's metrics.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
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
        Ok(Self { registry })
    }

    /// Returns every metric in Prometheus' text format.
    #[must_use]
    pub fn render(&self) -> String {
        self.registry.render()
    }
}
