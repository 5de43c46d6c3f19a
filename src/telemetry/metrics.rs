//! The metrics of one process: made once under their full names, read as Prometheus text.

use prometheus::{
    Counter, CounterVec, Error, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec,
    IntCounter, IntCounterVec, IntGauge, Opts, TextEncoder, core::Collector,
};

/// The content type of what `render` returns.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All metrics of one process.
#[derive(Clone, Debug, Default)]
pub struct Registry(prometheus::Registry);

impl Registry {
    /// Makes an empty registry.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns every metric in Prometheus' text format.
    #[must_use]
    pub fn render(&self) -> String {
        TextEncoder::new()
            .encode_to_string(&self.0.gather())
            .unwrap_or_default()
    }

    /// Makes a counter of whole things.
    ///
    /// # Errors
    /// When the name is malformed or taken; so do all the others.
    pub fn int_counter(&self, name: &str, help: &str) -> Result<IntCounter, Error> {
        self.keep(IntCounter::new(name, help)?)
    }

    /// Makes a counter of fractions, such as dollars.
    ///
    /// # Errors
    /// When the name is malformed or taken.
    pub fn counter(&self, name: &str, help: &str) -> Result<Counter, Error> {
        self.keep(Counter::new(name, help)?)
    }

    /// Makes a family of counters of whole things.
    ///
    /// # Errors
    /// When a name is malformed or taken.
    pub fn int_counters(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntCounterVec, Error> {
        self.keep(IntCounterVec::new(Opts::new(name, help), labels)?)
    }

    /// Makes a family of counters of fractions.
    ///
    /// # Errors
    /// When a name is malformed or taken.
    pub fn counters(&self, name: &str, help: &str, labels: &[&str]) -> Result<CounterVec, Error> {
        self.keep(CounterVec::new(Opts::new(name, help), labels)?)
    }

    /// Makes a gauge of whole things.
    ///
    /// # Errors
    /// When the name is malformed or taken.
    pub fn int_gauge(&self, name: &str, help: &str) -> Result<IntGauge, Error> {
        self.keep(IntGauge::new(name, help)?)
    }

    /// Makes a gauge of fractions, such as seconds.
    ///
    /// # Errors
    /// When the name is malformed or taken.
    pub fn gauge(&self, name: &str, help: &str) -> Result<Gauge, Error> {
        self.keep(Gauge::new(name, help)?)
    }

    /// Makes a family of gauges.
    ///
    /// # Errors
    /// When a name is malformed or taken.
    pub fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> Result<GaugeVec, Error> {
        self.keep(GaugeVec::new(Opts::new(name, help), labels)?)
    }

    /// Makes a histogram with the given upper bounds.
    ///
    /// # Errors
    /// When the name is malformed or taken.
    pub fn histogram(&self, name: &str, help: &str, bounds: &[f64]) -> Result<Histogram, Error> {
        self.keep(Histogram::with_opts(
            HistogramOpts::new(name, help).buckets(bounds.to_vec()),
        )?)
    }

    /// Makes a family of histograms with the given upper bounds.
    ///
    /// # Errors
    /// When a name is malformed or taken.
    pub fn histograms(
        &self,
        name: &str,
        help: &str,
        bounds: &[f64],
        labels: &[&str],
    ) -> Result<HistogramVec, Error> {
        let options = HistogramOpts::new(name, help).buckets(bounds.to_vec());
        self.keep(HistogramVec::new(options, labels)?)
    }

    fn keep<C: Collector + Clone + 'static>(&self, metric: C) -> Result<C, Error> {
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }
}
