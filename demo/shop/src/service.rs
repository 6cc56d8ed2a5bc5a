//! What every role does: health, metrics, faults, a log line and an id for each request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Instant, SystemTime};

use axum::Json;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;

use crate::faults::{Change, Shown, Switch};
use crate::metrics::Metrics;
use crate::settings::{Role, Settings};

/// Follows a request from one part to the next.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Bytes of a request's body.
const MAX_BODY: usize = 16 * 1024;
/// Characters of a request id that is taken over from the caller.
const MAX_ID: usize = 64;

/// The id of the request that is being answered.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(pub(crate) HeaderValue);

/// What the handlers of a process share.
pub(crate) struct Service {
    pub(crate) role: Role,
    pub(crate) settings: Settings,
    faults: Switch,
    metrics: Metrics,
    draining: AtomicBool,
}

impl Service {
    pub(crate) fn new(role: Role, settings: Settings) -> Arc<Self> {
        let faults = Switch::new(settings.faults);
        Arc::new(Self {
            role,
            settings,
            faults,
            metrics: Metrics::default(),
            draining: AtomicBool::new(false),
        })
    }

    /// From now on it is not ready, and asks each caller for a new connection: that one goes elsewhere.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Relaxed);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Relaxed)
    }

    /// Adds to a role's routes what all have. Faults hit the role's own routes alone: a pod that fails its users
    /// can be well in the eyes of Kubernetes, which is what the demo shows.
    pub(crate) fn complete<S: Clone + Send + Sync + 'static>(
        self: Arc<Self>,
        routes: Router<S>,
        state: S,
    ) -> Router {
        routes
            .layer(from_fn_with_state(self.clone(), fail))
            .with_state(state)
            .route("/healthz", get(|| async { "ok\n" }))
            .merge(
                Router::new()
                    .route("/metrics", get(metrics))
                    .route("/faults", get(faults).post(change_faults))
                    .with_state(self.clone()),
            )
            .layer(DefaultBodyLimit::max(MAX_BODY))
            .layer(from_fn_with_state(self, observe))
    }
}

async fn metrics(State(service): State<Arc<Service>>) -> impl IntoResponse {
    let text = service.metrics.text(service.role.name(), &service.settings.version);
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}

async fn faults(State(service): State<Arc<Service>>) -> impl IntoResponse {
    shown(&service)
}

/// Only JSON is taken: a page of another site cannot send that without being asked.
async fn change_faults(State(service): State<Arc<Service>>, Json(change): Json<Change>) -> Response {
    match service.faults.change(change) {
        Ok(_) => shown(&service).into_response(),
        Err(reason) => (StatusCode::BAD_REQUEST, Json(json!({"error": reason}))).into_response(),
    }
}

/// Faults belong to one pod; which one is told.
fn shown(service: &Service) -> Json<serde_json::Value> {
    Json(json!({"pod": service.settings.pod, "faults": Shown::from(service.faults.now())}))
}

async fn fail(State(service): State<Arc<Service>>, request: Request, next: Next) -> Response {
    // A role's readiness is one of its own routes, and no user's request.
    if request.uri().path() == "/readyz" {
        return next.run(request).await;
    }
    let faults = service.faults.now();
    if !faults.latency.is_zero() {
        tokio::time::sleep(faults.latency).await;
    }
    if faults.error_rate > 0.0 && rand::random::<f64>() < faults.error_rate {
        service.metrics.injected();
        let text = format!("{} {} failed on purpose\n", service.role.name(), service.settings.version);
        return (StatusCode::INTERNAL_SERVER_ERROR, text).into_response();
    }
    next.run(request).await
}

async fn observe(State(service): State<Arc<Service>>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = id_of(request.headers());
    request.extensions_mut().insert(RequestId(id.clone()));
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut response = next.run(request).await;
    let took = started.elapsed();
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, id.clone());
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if service.is_draining() {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    // What looks after the shop asks every second: it would drown what its users do.
    if !matches!(path.as_str(), "/healthz" | "/readyz" | "/metrics") {
        service.metrics.record(response.status(), took);
        let line = json!({
            "time": seconds_since_1970(),
            "component": service.role.name(),
            "version": service.settings.version,
            "requestId": id.to_str().unwrap_or_default(),
            "method": method.as_str(),
            "path": path.chars().take(200).collect::<String>(),
            "status": response.status().as_u16(),
            "milliseconds": (took.as_secs_f64() * 1e6).round() / 1e3,
        });
        log(&line);
    }
    response
}

/// A line of the log. Nobody who reads it is no reason to fail.
fn log(line: &serde_json::Value) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

fn seconds_since_1970() -> f64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    (now.as_secs_f64() * 1e3).round() / 1e3
}

/// The caller's id when it is a plain one, or a new one.
fn id_of(headers: &HeaderMap) -> HeaderValue {
    let given = headers.get(REQUEST_ID).filter(|value| {
        let bytes = value.as_bytes();
        (8..=MAX_ID).contains(&bytes.len()) && bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-')
    });
    given.cloned().unwrap_or_else(|| {
        let text = format!("{:032x}", rand::random::<u128>());
        HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("00000000"))
    })
}
