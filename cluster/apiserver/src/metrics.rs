//! Counters of the server in Prometheus' text format.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{Method, StatusCode};
use parking_lot::Mutex;

use crate::store::Store;

/// Upper bounds of the latency histogram, in seconds.
const BUCKETS: [f64; 8] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0];

#[derive(Default)]
struct Series {
    count: u64,
    seconds: f64,
    buckets: [u64; BUCKETS.len()],
}

/// The method, when it is one that the API has: clients may send any word, and each would be kept for ever.
fn verb(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

/// Requests by verb and status code.
#[derive(Default)]
pub(crate) struct Metrics {
    requests: Mutex<BTreeMap<(&'static str, u16), Series>>,
    /// Open connections.
    pub(crate) connections: AtomicU64,
}

impl Metrics {
    pub(crate) fn observe(&self, method: &Method, code: StatusCode, took: Duration) {
        let mut requests = self.requests.lock();
        let series = requests.entry((verb(method), code.as_u16())).or_default();
        let seconds = took.as_secs_f64();
        series.count += 1;
        series.seconds += seconds;
        for (bucket, bound) in series.buckets.iter_mut().zip(BUCKETS) {
            if seconds <= bound {
                *bucket += 1;
            }
        }
    }

    pub(crate) fn text(&self, store: &Store) -> String {
        let mut out = String::new();
        out.push_str("# HELP apiserver_request_total Requests by verb and code.\n# TYPE apiserver_request_total counter\n");
        let requests = self.requests.lock();
        for ((verb, code), series) in requests.iter() {
            let _ =
                writeln!(out, "apiserver_request_total{{verb=\"{verb}\",code=\"{code}\"}} {}", series.count);
        }
        out.push_str("# HELP apiserver_request_duration_seconds Time to the first byte of the answer.\n# TYPE apiserver_request_duration_seconds histogram\n");
        for ((verb, code), series) in requests.iter() {
            let labels = format!("verb=\"{verb}\",code=\"{code}\"");
            for (bucket, bound) in series.buckets.iter().zip(BUCKETS) {
                let _ = writeln!(
                    out,
                    "apiserver_request_duration_seconds_bucket{{{labels},le=\"{bound}\"}} {bucket}"
                );
            }
            let _ = writeln!(
                out,
                "apiserver_request_duration_seconds_bucket{{{labels},le=\"+Inf\"}} {}",
                series.count
            );
            let _ = writeln!(out, "apiserver_request_duration_seconds_sum{{{labels}}} {}", series.seconds);
            let _ = writeln!(out, "apiserver_request_duration_seconds_count{{{labels}}} {}", series.count);
        }
        out.push_str("# HELP apiserver_storage_objects Stored objects by resource.\n# TYPE apiserver_storage_objects gauge\n");
        let mut counts: Vec<(String, usize)> =
            store.read(|s| s.counts().map(|(k, n)| (k.trim_start_matches('/').to_owned(), n)).collect());
        counts.sort();
        for (resource, count) in counts {
            let _ = writeln!(out, "apiserver_storage_objects{{resource=\"{resource}\"}} {count}");
        }
        out.push_str("# TYPE apiserver_storage_revision counter\n");
        let _ = writeln!(out, "apiserver_storage_revision {}", store.revision());
        out.push_str("# TYPE apiserver_connections gauge\n");
        let _ = writeln!(out, "apiserver_connections {}", self.connections.load(Ordering::Relaxed));
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_methods_share_one_series() {
        let metrics = Metrics::default();
        for word in ["A", "B", "C"] {
            let method = Method::from_bytes(word.as_bytes()).expect("a method");
            metrics.observe(&method, StatusCode::UNAUTHORIZED, Duration::ZERO);
        }
        metrics.observe(&Method::GET, StatusCode::OK, Duration::ZERO);
        let series = metrics.requests.lock();
        assert_eq!(series.keys().copied().collect::<Vec<_>>(), [("GET", 200), ("other", 401)]);
    }
}
