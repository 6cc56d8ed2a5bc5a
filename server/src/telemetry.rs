//! What the server says of itself: an id for each request, which its log lines and problems carry, and numbers for
//! Prometheus.

use std::sync::atomic::AtomicU64;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::{HeaderName, HeaderValue};
use http::{Method, StatusCode};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use seaway_sync::view::EnvironmentView;
use tracing::Instrument;

/// The header with the id of a request.
const HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// Media type of what Prometheus reads (OpenMetrics 1.0).
pub(crate) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Upper bounds of latencies, in seconds.
const BUCKETS: [f64; 10] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0];

tokio::task_local! {
    static REQUEST: String;
}

/// The id of the request that is being answered.
pub(crate) fn request_id() -> Option<String> {
    REQUEST.try_with(Clone::clone).ok()
}

/// Gives each request an id of its own. One that a client sends counts for nothing: it could be that of another request,
/// or a line of the log.
pub(crate) async fn identify(request: Request, next: Next) -> Response {
    let id = format!("{:016x}", rand::random::<u64>());
    // Without the query: it may hold what is secret for a while.
    let span = tracing::info_span!("request", id, method = %request.method(), path = request.uri().path());
    let begun = Instant::now();
    let answer = async {
        let response = next.run(request).await;
        let milliseconds = begun.elapsed().as_millis();
        tracing::info!(status = response.status().as_u16(), milliseconds, "answered");
        response
    };
    let mut response = REQUEST.scope(id.clone(), answer.instrument(span)).await;
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(HEADER, value);
    }
    response
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: String,
    route: String,
    status: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EventLabels {
    action: String,
    outcome: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EnvironmentLabels {
    class: String,
    health: String,
    sync: String,
}

/// The numbers of a server, since it started.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    latencies: Family<RouteLabels, Histogram, fn() -> Histogram>,
    events: Family<EventLabels, Counter>,
    environments: Family<EnvironmentLabels, Gauge>,
    memory: Gauge<u64, AtomicU64>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("seaway");
        let requests = Family::default();
        let buckets: fn() -> Histogram = || Histogram::new(BUCKETS);
        let latencies = Family::new_with_constructor(buckets);
        let (events, environments, memory) = (Family::default(), Family::default(), Gauge::default());
        registry.register("http_requests", "Requests by method, route and status", requests.clone());
        registry.register_with_unit(
            "http_request_duration",
            "Time until the head of an answer, by route",
            Unit::Seconds,
            latencies.clone(),
        );
        registry.register("events", "What was written into the ledger for people", events.clone());
        registry.register("environments", "Environments by class, health and sync", environments.clone());
        registry.register_with_unit("resident_memory", "Memory in use", Unit::Bytes, memory.clone());
        Self { registry, requests, latencies, events, environments, memory }
    }
}

impl Metrics {
    /// Counts what was written into the ledger.
    pub(crate) fn event(&self, action: &str, outcome: &str) {
        let labels = EventLabels { action: action.to_owned(), outcome: outcome.to_owned() };
        self.events.get_or_create(&labels).inc();
    }

    fn request(&self, method: &Method, route: String, status: StatusCode, seconds: f64) {
        // Of methods there can be as many as somebody likes to make up.
        let method = match method.as_str() {
            known @ ("GET" | "HEAD" | "POST" | "PUT" | "DELETE") => known,
            _ => "other",
        };
        self.latencies.get_or_create(&RouteLabels { route: route.clone() }).observe(seconds);
        let labels = RequestLabels { method: method.to_owned(), route, status: status.as_str().to_owned() };
        self.requests.get_or_create(&labels).inc();
    }

    /// All of them as text, with how the environments do now.
    pub(crate) fn text(&self, environments: &[EnvironmentView]) -> Result<String, std::fmt::Error> {
        self.environments.clear();
        for environment in environments {
            let labels = EnvironmentLabels {
                class: environment.class.clone(),
                health: environment.health.as_str().to_owned(),
                sync: environment.sync.as_str().to_owned(),
            };
            self.environments.get_or_create(&labels).inc();
        }
        self.memory.set(resident().unwrap_or_default());
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// proc(5): `VmRSS:     1234 kB`.
fn resident() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes * 1024)
}

/// Counts requests by the route that they took; what took none is the page.
pub(crate) async fn measure(
    State(metrics): State<std::sync::Arc<Metrics>>,
    request: Request,
    next: Next,
) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("page", MatchedPath::as_str).to_owned();
    let (method, begun) = (request.method().clone(), Instant::now());
    let response = next.run(request).await;
    metrics.request(&method, route, response.status(), begun.elapsed().as_secs_f64());
    response
}
