//! Counts and latencies in Prometheus' text format (version 0.0.4).
//!
//! Paths are not a label: anybody could make as many series as they like. Handlers name themselves instead.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use axum::http::StatusCode;

/// Upper bounds of the latency buckets in seconds.
const BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Classes of status codes, by their first digit.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The numbers of this process.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    classes: [AtomicU64; CLASSES.len()],
    /// Each request in one bucket; the last holds the rest.
    buckets: [AtomicU64; BUCKETS.len() + 1],
    microseconds: AtomicU64,
    /// Failures on purpose.
    injected: AtomicU64,
}

impl Metrics {
    /// Counts one request.
    pub(crate) fn record(&self, status: StatusCode, latency: Duration) {
        let class = usize::from(status.as_u16() / 100).clamp(1, CLASSES.len()) - 1;
        self.classes[class].fetch_add(1, Relaxed);
        let seconds = latency.as_secs_f64();
        let bucket = BUCKETS.iter().position(|bound| seconds <= *bound).unwrap_or(BUCKETS.len());
        self.buckets[bucket].fetch_add(1, Relaxed);
        self.microseconds.fetch_add(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }

    /// Counts a failure on purpose.
    pub(crate) fn injected(&self) {
        self.injected.fetch_add(1, Relaxed);
    }

    /// All of it as text.
    pub(crate) fn text(&self, component: &str, version: &str) -> String {
        let mut text = String::new();
        self.write(&mut text, component, &label(version)).unwrap_or_default();
        text
    }

    fn write(&self, text: &mut String, component: &str, version: &str) -> std::fmt::Result {
        writeln!(text, "# HELP shop_build_info What runs here.\n# TYPE shop_build_info gauge")?;
        writeln!(text, "shop_build_info{{component=\"{component}\",version=\"{version}\"}} 1")?;
        writeln!(text, "# HELP shop_requests_total Requests by class of status.")?;
        writeln!(text, "# TYPE shop_requests_total counter")?;
        for (class, count) in CLASSES.iter().zip(&self.classes) {
            let count = count.load(Relaxed);
            writeln!(text, "shop_requests_total{{component=\"{component}\",code=\"{class}\"}} {count}")?;
        }
        writeln!(text, "# HELP shop_errors_total Requests that were answered with 5xx.")?;
        writeln!(text, "# TYPE shop_errors_total counter")?;
        let errors = self.classes[4].load(Relaxed);
        writeln!(text, "shop_errors_total{{component=\"{component}\"}} {errors}")?;
        writeln!(text, "# HELP shop_injected_errors_total Requests that failed on purpose.")?;
        writeln!(text, "# TYPE shop_injected_errors_total counter")?;
        let injected = self.injected.load(Relaxed);
        writeln!(text, "shop_injected_errors_total{{component=\"{component}\"}} {injected}")?;
        const NAME: &str = "shop_request_duration_seconds";
        writeln!(text, "# HELP {NAME} Time until an answer was ready.\n# TYPE {NAME} histogram")?;
        let mut total = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            total += count.load(Relaxed);
            let bound = BUCKETS.get(index).map_or_else(|| "+Inf".to_owned(), f64::to_string);
            writeln!(text, "{NAME}_bucket{{component=\"{component}\",le=\"{bound}\"}} {total}")?;
        }
        let seconds = Duration::from_micros(self.microseconds.load(Relaxed)).as_secs_f64();
        writeln!(text, "{NAME}_sum{{component=\"{component}\"}} {seconds}")?;
        writeln!(text, "{NAME}_count{{component=\"{component}\"}} {total}")
    }
}

/// A label's value, escaped.
fn label(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_cumulative_and_labels_escaped() {
        let metrics = Metrics::default();
        metrics.record(StatusCode::OK, Duration::from_millis(7));
        metrics.record(StatusCode::BAD_GATEWAY, Duration::from_secs(60));
        let text = metrics.text("web", "1\"2");
        for line in [
            "shop_build_info{component=\"web\",version=\"1\\\"2\"} 1",
            "shop_requests_total{component=\"web\",code=\"2xx\"} 1",
            "shop_errors_total{component=\"web\"} 1",
            "shop_request_duration_seconds_bucket{component=\"web\",le=\"0.005\"} 0",
            "shop_request_duration_seconds_bucket{component=\"web\",le=\"0.01\"} 1",
            "shop_request_duration_seconds_bucket{component=\"web\",le=\"10\"} 1",
            "shop_request_duration_seconds_bucket{component=\"web\",le=\"+Inf\"} 2",
            "shop_request_duration_seconds_count{component=\"web\"} 2",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
    }
}
