//! Numbers for Prometheus. Counted where things happen; what the store and the queue know is asked when it is read.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, LabelSetEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::domain::time::Duration;
use crate::store::{BATCH_SIZE_BUCKETS, StoreStats};

/// Upper ends of the buckets for answers of this server, in seconds.
const REQUEST_SECONDS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0, 15.0];

/// Upper ends of the buckets for answers of channels, in seconds.
const CHANNEL_SECONDS: [f64; 8] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// The content type that [`Metrics::render`] writes.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What kind of caller a path serves. Few values, because each is a time series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RouteClass {
    Api,
    Cashier,
    Console,
    Notification,
    Sandbox,
    Docs,
    Static,
    /// Health and metrics.
    Signals,
    Other,
}

/// How an attempt to call a shop back ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallbackOutcome {
    Delivered,
    Failed,
}

/// How a call to a channel ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChannelOutcome {
    Answered,
    /// No answer, or none that can be read: the outcome is unknown.
    Unknown,
}

/// What is asked at each reading.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    pub store: StoreStats,
    /// Effects in the queue, whenever they are due.
    pub effects_queued: u64,
    /// How long the oldest of them has been due.
    pub effects_age: Duration,
    pub effects_under_way: u64,
    pub effects_done: u64,
}

/// Counts callbacks, calls to channels, and what channels seem to send. Cheap to clone; clones count together.
#[derive(Clone)]
pub struct Outgoing {
    callbacks: Family<CallbackOutcome, Counter>,
    channel_seconds: Family<ChannelLabels, Histogram>,
    unbelieved: Family<UnbelievedLabels, Counter>,
}

/// All counters of the process.
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Family<ClassLabel, Histogram>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct RequestLabels {
    class: RouteClass,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct ClassLabel(RouteClass);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct ChannelLabels {
    channel: &'static str,
    operation: &'static str,
    outcome: ChannelOutcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct UnbelievedLabels {
    channel: &'static str,
    reason: &'static str,
}

impl Metrics {
    /// `observe` is called at each reading and may block for a moment.
    pub fn new(outgoing: &Outgoing, observe: impl Fn() -> Observed + Send + Sync + 'static) -> Self {
        let mut registry = Registry::with_prefix("coffer");
        let requests = Family::default();
        registry.register("http_requests", "Requests answered", Family::clone(&requests));
        let request_seconds = Family::new_with_constructor((|| Histogram::new(REQUEST_SECONDS)) as fn() -> Histogram);
        registry.register_with_unit("http_request", "Time to answer", Unit::Seconds, Family::clone(&request_seconds));
        registry.register("callbacks", "Attempts to call shops back", outgoing.callbacks.clone());
        let channel_seconds = outgoing.channel_seconds.clone();
        registry.register_with_unit("channel", "Answers of channels", Unit::Seconds, channel_seconds);
        let help = "Notifications that were not believed";
        registry.register("notifications_refused", help, outgoing.unbelieved.clone());
        registry.register_collector(Box::new(Asked(Box::new(observe))));
        Self { registry, requests, request_seconds }
    }

    pub fn request(&self, class: RouteClass, status: u16, took: Duration) {
        self.requests.get_or_create(&RequestLabels { class, status }).inc();
        self.request_seconds.get_or_create(&ClassLabel(class)).observe(seconds(took));
    }

    /// Everything in the OpenMetrics text format.
    pub fn render(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing into a string does not fail");
        text
    }
}

impl Outgoing {
    pub fn callback(&self, outcome: CallbackOutcome) {
        self.callbacks.get_or_create(&outcome).inc();
    }

    /// A notification was not believed. Both are words of the program.
    pub fn unbelieved(&self, channel: &'static str, reason: &'static str) {
        self.unbelieved.get_or_create(&UnbelievedLabels { channel, reason }).inc();
    }

    /// `channel` and `operation` are words of the program, never of a stranger.
    pub fn channel(&self, channel: &'static str, operation: &'static str, outcome: ChannelOutcome, took: Duration) {
        let labels = ChannelLabels { channel, operation, outcome };
        self.channel_seconds.get_or_create(&labels).observe(seconds(took));
    }
}

impl Default for Outgoing {
    fn default() -> Self {
        let channel_seconds = Family::new_with_constructor((|| Histogram::new(CHANNEL_SECONDS)) as fn() -> Histogram);
        Self { callbacks: Family::default(), channel_seconds, unbelieved: Family::default() }
    }
}

impl RouteClass {
    /// By the first segment of the path.
    pub fn of(path: &str) -> Self {
        match path.split('/').nth(1).unwrap_or_default() {
            "v1" => RouteClass::Api,
            "c" => RouteClass::Cashier,
            "console" => RouteClass::Console,
            "notify" => RouteClass::Notification,
            "sandbox" | "shop" => RouteClass::Sandbox,
            "docs" | "errors" | "openapi.json" => RouteClass::Docs,
            "static" | "favicon.ico" => RouteClass::Static,
            "metrics" | "healthz" | "readyz" => RouteClass::Signals,
            _ => RouteClass::Other,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            RouteClass::Api => "api",
            RouteClass::Cashier => "cashier",
            RouteClass::Console => "console",
            RouteClass::Notification => "notification",
            RouteClass::Sandbox => "sandbox",
            RouteClass::Docs => "docs",
            RouteClass::Static => "static",
            RouteClass::Signals => "signals",
            RouteClass::Other => "other",
        }
    }
}

impl CallbackOutcome {
    fn as_str(self) -> &'static str {
        match self {
            CallbackOutcome::Delivered => "delivered",
            CallbackOutcome::Failed => "failed",
        }
    }
}

impl ChannelOutcome {
    fn as_str(self) -> &'static str {
        match self {
            ChannelOutcome::Answered => "answered",
            ChannelOutcome::Unknown => "unknown",
        }
    }
}

/// Milliseconds are exact in a float far beyond any duration that is measured here.
fn seconds(duration: Duration) -> f64 {
    duration.to_std().as_secs_f64()
}

impl EncodeLabelSet for RequestLabels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        [("class", self.class.as_str())].encode(encoder)?;
        [("status", self.status)].encode(encoder)
    }
}

impl EncodeLabelSet for ClassLabel {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        [("class", self.0.as_str())].encode(encoder)
    }
}

impl EncodeLabelSet for UnbelievedLabels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        [("channel", self.channel), ("reason", self.reason)].encode(encoder)
    }
}

impl EncodeLabelSet for CallbackOutcome {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        [("outcome", self.as_str())].encode(encoder)
    }
}

impl EncodeLabelSet for ChannelLabels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        [("channel", self.channel), ("operation", self.operation), ("outcome", self.outcome.as_str())].encode(encoder)
    }
}

/// Numbers that others keep.
struct Asked(Box<dyn Fn() -> Observed + Send + Sync>);

impl Collector for Asked {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Observed { store, effects_queued, effects_age, effects_under_way, effects_done } = (self.0)();
        let mut counter = |name: &str, help: &str, value: u64| {
            let metric = ConstCounter::new(value);
            metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
        };
        counter("store_commits", "Durable commits", store.commits)?;
        counter("store_writes", "Writes run", store.writes)?;
        counter("store_busy", "Writes turned away because too many were waiting", store.busy)?;
        counter("store_panics", "Writes that panicked: bugs", store.panics)?;
        counter("effects_done", "Effects finished", effects_done)?;
        let mut gauge = |name: &str, help: &str, unit: Option<&Unit>, value: f64| {
            let metric = ConstGauge::new(value);
            metric.encode(encoder.encode_descriptor(name, help, unit, metric.metric_type())?)
        };
        gauge("store_queue_depth", "Writes that wait", None, store.queue_depth as f64)?;
        gauge("store_file", "Size of the data file", Some(&Unit::Bytes), store.file_bytes as f64)?;
        gauge("store_failed", "1 when the store has stopped", None, f64::from(u8::from(store.failed)))?;
        let oldest_read = seconds(Duration::from_millis(store.oldest_read_ms));
        gauge("store_oldest_read", "Age of the oldest snapshot", Some(&Unit::Seconds), oldest_read)?;
        gauge("effects_queued", "Effects in the queue, due or not", None, effects_queued as f64)?;
        gauge("effects_under_way", "Effects begun and not finished", None, effects_under_way as f64)?;
        gauge("effects_age", "How long the oldest effect has been due", Some(&Unit::Seconds), seconds(effects_age))?;
        if let Some(bytes) = resident_bytes() {
            gauge("process_resident_memory", "Memory of the process", Some(&Unit::Bytes), bytes as f64)?;
        }
        let mut histogram =
            encoder.encode_descriptor("store_batch_size", "Writes in one commit", None, MetricType::Histogram)?;
        let ends = BATCH_SIZE_BUCKETS.iter().map(|end| *end as f64).chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = ends.zip(store.batch_sizes).collect();
        histogram.encode_histogram::<NoLabelSet>(store.writes as f64, store.batch_sizes.iter().sum(), &buckets, None)
    }
}

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Asked")
    }
}

/// Where the system tells it: the second number of `/proc/self/statm`, in pages.
/// Source: proc(5). Pages are 4 kB on the machines this is built for.
fn resident_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    text.split_ascii_whitespace().nth(1)?.parse::<u64>().ok()?.checked_mul(4096)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_can_be_read() {
        let mut batch_sizes = [0; BATCH_SIZE_BUCKETS.len() + 1];
        batch_sizes[0] = 2;
        batch_sizes[8] = 1;
        let store = StoreStats { commits: 3, writes: 202, batch_sizes, oldest_read_ms: 1500, ..StoreStats::default() };
        let age = Duration::from_seconds(4);
        let observed = Observed { store, effects_queued: 7, effects_age: age, effects_under_way: 2, effects_done: 9 };
        let outgoing = Outgoing::default();
        let metrics = Metrics::new(&outgoing, move || observed.clone());
        metrics.request(RouteClass::of("/v1/payments/pay_1"), 201, Duration::from_millis(3));
        metrics.request(RouteClass::of("/console"), 200, Duration::from_millis(3));
        outgoing.callback(CallbackOutcome::Delivered);
        outgoing.channel("wallet", "query", ChannelOutcome::Unknown, Duration::from_seconds(1));
        let text = metrics.render();
        for line in [
            "coffer_http_requests_total{class=\"api\",status=\"201\"} 1",
            "coffer_http_request_seconds_bucket{le=\"0.005\",class=\"api\"} 1",
            "coffer_http_requests_total{class=\"console\",status=\"200\"} 1",
            "coffer_callbacks_total{outcome=\"delivered\"} 1",
            "coffer_channel_seconds_count{channel=\"wallet\",operation=\"query\",outcome=\"unknown\"} 1",
            "coffer_store_commits_total 3",
            "coffer_store_oldest_read_seconds 1.5",
            "coffer_store_batch_size_count 3",
            "coffer_store_batch_size_sum 202.0",
            "coffer_store_batch_size_bucket{le=\"1.0\"} 2",
            "coffer_store_batch_size_bucket{le=\"+Inf\"} 3",
            "coffer_effects_queued 7.0",
            "coffer_effects_done_total 9",
            "coffer_effects_under_way 2.0",
            "coffer_effects_age_seconds 4.0",
            "# EOF",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is missing in\n{text}");
        }
    }

    #[test]
    fn a_path_that_a_stranger_invents_makes_no_new_series() {
        assert_eq!(RouteClass::of("/wp-admin/x.php"), RouteClass::Other);
        assert_eq!(RouteClass::of(""), RouteClass::Other);
        assert_eq!(RouteClass::of("/v1"), RouteClass::Api);
    }
}
