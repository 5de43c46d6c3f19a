//! All the sidecar's metrics, on one page.

use prometheus::{IntGauge, Opts, Registry, TextEncoder};

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
    /// When a name is registered twice.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let build = Opts::new("synaxis_build_info", "Always 1; the version is the label.")
            .const_label("version", env!("CARGO_PKG_VERSION"))
            .const_label("plane", "admin");
        let build = IntGauge::with_opts(build)?;
        build.set(1);
        registry.register(Box::new(build))?;
        Ok(Self { registry })
    }

    /// Renders every metric for Prometheus.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let rendered = TextEncoder::new().encode_utf8(&self.registry.gather(), &mut text);
        rendered.map_or_else(|_| String::new(), |()| text)
    }
}
