//! Counts and latencies per rule, backend and revision, cheap enough for every
//! request: a series is a handful of atomic numbers that a table looks up once,
//! when it is installed.
//!
//! Latency is the time from the arrival of a request's head until the head of
//! its response (for a tunnel: until it opened), so that neither a slow client
//! nor an endless stream looks like a slow backend.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use http::StatusCode;
use parking_lot::{Mutex, RwLock};

/// Upper bounds of the latency buckets in seconds; one more holds the rest.
pub const BUCKETS: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Classes of status codes, as the label `code_class` names them.
pub const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// How long the numbers of a backend that left the table are still shown.
const RETENTION: Duration = Duration::from_secs(3600);

/// What a series counts. Requests that no route took have empty fields
/// throughout; those that reached no backend an empty backend.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesKey {
    /// Namespace of the HTTPRoute.
    pub route_namespace: String,
    /// Name of the HTTPRoute.
    pub route: String,
    /// Name of the rule, or its index.
    pub rule: String,
    /// Namespace of the Service.
    pub backend_namespace: String,
    /// Name of the Service.
    pub backend: String,
    /// `pod-template-hash` of the pod that answered.
    pub pod_template_hash: String,
}

/// The numbers of one [`SeriesKey`].
#[derive(Debug, Default)]
pub struct Series {
    classes: [AtomicU64; CLASSES.len()],
    buckets: [AtomicU64; BUCKETS.len() + 1],
    nanoseconds: AtomicU64,
    retired: Mutex<Option<Instant>>,
}

impl Series {
    /// Counts one request.
    pub fn record(&self, status: StatusCode, latency: Duration) {
        let class = usize::from(status.as_u16() / 100).clamp(1, CLASSES.len()) - 1;
        self.classes[class].fetch_add(1, Relaxed);
        let seconds = latency.as_secs_f64();
        let bucket = BUCKETS.iter().position(|bound| seconds <= *bound).unwrap_or(BUCKETS.len());
        self.buckets[bucket].fetch_add(1, Relaxed);
        let nanoseconds = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Relaxed);
    }

    fn snapshot(&self, key: &SeriesKey) -> SeriesSnapshot {
        SeriesSnapshot {
            key: key.clone(),
            requests: std::array::from_fn(|class| self.classes[class].load(Relaxed)),
            buckets: std::array::from_fn(|bucket| self.buckets[bucket].load(Relaxed)),
            seconds: Duration::from_nanos(self.nanoseconds.load(Relaxed)).as_secs_f64(),
        }
    }
}

/// The numbers of a series at one moment, counted since the gateway started.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesSnapshot {
    /// What was counted.
    pub key: SeriesKey,
    /// Requests by class of status, in the order of [`CLASSES`].
    pub requests: [u64; CLASSES.len()],
    /// Requests by latency, each in one bucket (not cumulative): up to the
    /// bound of the same index in [`BUCKETS`], the last above all bounds.
    pub buckets: [u64; BUCKETS.len() + 1],
    /// Sum of all latencies in seconds.
    pub seconds: f64,
}

impl SeriesSnapshot {
    /// All requests.
    pub fn total(&self) -> u64 {
        self.requests.iter().sum()
    }
}

/// All series of a gateway.
#[derive(Debug, Default)]
pub struct Metrics {
    series: RwLock<BTreeMap<SeriesKey, Arc<Series>>>,
}

impl Metrics {
    /// The series of a key, made when it is new.
    pub fn series(&self, key: &SeriesKey) -> Arc<Series> {
        if let Some(series) = self.series.read().get(key) {
            return Arc::clone(series);
        }
        Arc::clone(self.series.write().entry(key.clone()).or_default())
    }

    /// The numbers of every series that counted something, ordered by key.
    pub fn snapshot(&self) -> Vec<SeriesSnapshot> {
        let series = self.series.read();
        let all = series.iter().map(|(key, series)| series.snapshot(key));
        all.filter(|snapshot| snapshot.total() > 0).collect()
    }

    /// Forgets series that have been out of use for an hour: each rollout has a
    /// hash of its own, and they would pile up.
    pub(crate) fn retain(&self, in_use: &HashSet<SeriesKey>, now: Instant) {
        self.series.write().retain(|key, series| {
            let mut retired = series.retired.lock();
            if in_use.contains(key) {
                *retired = None;
                return true;
            }
            let since = *retired.get_or_insert(now);
            now.saturating_duration_since(since) < RETENTION
        });
    }

    /// All series in Prometheus' text format.
    pub fn text(&self) -> String {
        let snapshots = self.snapshot();
        let mut text = String::new();
        text.push_str("# HELP seaway_gateway_requests_total Requests by route, backend, revision and class of status.\n");
        text.push_str("# TYPE seaway_gateway_requests_total counter\n");
        for snapshot in &snapshots {
            let labels = labels(&snapshot.key);
            for (class, count) in CLASSES.iter().zip(snapshot.requests) {
                if count > 0 {
                    let name = "seaway_gateway_requests_total";
                    let _ = writeln!(text, "{name}{{{labels},code_class=\"{class}\"}} {count}");
                }
            }
        }
        let name = "seaway_gateway_request_duration_seconds";
        let _ = writeln!(text, "# HELP {name} Time until the head of the response.");
        let _ = writeln!(text, "# TYPE {name} histogram");
        for snapshot in &snapshots {
            let labels = labels(&snapshot.key);
            let mut cumulative = 0;
            for (index, count) in snapshot.buckets.iter().enumerate() {
                cumulative += count;
                let bound = BUCKETS.get(index).map_or("+Inf".to_owned(), f64::to_string);
                let _ = writeln!(text, "{name}_bucket{{{labels},le=\"{bound}\"}} {cumulative}");
            }
            let _ = writeln!(text, "{name}_sum{{{labels}}} {}", snapshot.seconds);
            let _ = writeln!(text, "{name}_count{{{labels}}} {cumulative}");
        }
        text
    }
}

fn labels(key: &SeriesKey) -> String {
    let pairs = [
        ("route_namespace", &key.route_namespace),
        ("route", &key.route),
        ("rule", &key.rule),
        ("backend_namespace", &key.backend_namespace),
        ("backend", &key.backend),
        ("pod_template_hash", &key.pod_template_hash),
    ];
    let escape = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let pairs: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{name}=\"{}\"", escape(value))).collect();
    pairs.join(",")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn key(hash: &str) -> SeriesKey {
        SeriesKey { route: "shop".to_owned(), pod_template_hash: hash.to_owned(), ..SeriesKey::default() }
    }

    #[test]
    fn requests_are_counted_by_class_and_latency() {
        let metrics = Metrics::default();
        let series = metrics.series(&key("abc"));
        series.record(StatusCode::OK, Duration::from_millis(3));
        series.record(StatusCode::NOT_FOUND, Duration::from_millis(5));
        series.record(StatusCode::BAD_GATEWAY, Duration::from_secs(60));
        metrics.series(&key("idle"));

        let [snapshot] = metrics.snapshot().try_into().unwrap();
        assert_eq!(snapshot.key, key("abc"));
        assert_eq!(snapshot.requests, [0, 1, 0, 1, 1]);
        assert_eq!((snapshot.buckets[2], snapshot.buckets[13]), (2, 1));

        let text = metrics.text();
        let labels = r#"route_namespace="",route="shop",rule="",backend_namespace="",backend="",pod_template_hash="abc""#;
        for line in [
            format!("seaway_gateway_requests_total{{{labels},code_class=\"4xx\"}} 1"),
            format!("seaway_gateway_request_duration_seconds_bucket{{{labels},le=\"0.0025\"}} 0"),
            format!("seaway_gateway_request_duration_seconds_bucket{{{labels},le=\"0.005\"}} 2"),
            format!("seaway_gateway_request_duration_seconds_bucket{{{labels},le=\"10\"}} 2"),
            format!("seaway_gateway_request_duration_seconds_bucket{{{labels},le=\"+Inf\"}} 3"),
            format!("seaway_gateway_request_duration_seconds_sum{{{labels}}} 60.008"),
            format!("seaway_gateway_request_duration_seconds_count{{{labels}}} 3"),
        ] {
            assert!(text.lines().any(|each| each == line), "{line} is missing in\n{text}");
        }
    }

    #[test]
    fn label_values_are_escaped() {
        assert!(labels(&key("a\"b\\c\nd")).ends_with(r#"pod_template_hash="a\"b\\c\nd""#));
    }

    #[test]
    fn series_of_former_revisions_are_forgotten_after_an_hour() {
        let metrics = Metrics::default();
        metrics.series(&key("old")).record(StatusCode::OK, Duration::ZERO);
        let start = Instant::now();
        metrics.retain(&HashSet::new(), start);
        metrics.retain(&HashSet::new(), start + RETENTION / 2);
        assert_eq!(metrics.snapshot().len(), 1);
        metrics.retain(&HashSet::from([key("old")]), start + RETENTION / 2);
        metrics.retain(&HashSet::new(), start + RETENTION);
        assert_eq!(metrics.snapshot().len(), 1, "it was in use in between");
        metrics.retain(&HashSet::new(), start + RETENTION * 2);
        assert_eq!(metrics.snapshot().len(), 0);
    }
}
