//! Numbers for Prometheus.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, HeaderValue};

use super::App;
use crate::authorization::Person;
use crate::problem::Problem;
use crate::telemetry;

/// Numbers of the server for Prometheus (OpenMetrics). As with the parts of Kubernetes, whoever may `get` the path
/// `/metrics` there may read them: a ServiceAccount's token will do, and so will an access token.
#[utoipa::path(
    get, path = "/metrics", operation_id = "metrics", tag = "metrics",
    responses(
        (status = 200, body = String, content_type = "application/openmetrics-text"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn metrics(State(app): State<Arc<App>>, person: Person) -> Result<Response, Problem> {
    person.must_get_metrics().await?;
    let text = app.metrics.text(&app.sync.list());
    let text = text.map_err(|error| Problem::internal(format!("the numbers cannot be written: {error}")))?;
    Ok(([(CONTENT_TYPE, HeaderValue::from_static(telemetry::MEDIA_TYPE))], text).into_response())
}
