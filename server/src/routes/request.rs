//! The parts of a request: who sent it, its query, its body. What is wrong with one is said as a problem.

use std::sync::Arc;

use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{FromRequestParts, Query};
use http::StatusCode;
use http::request::Parts;
use hyper::body::Bytes;
use seaway_sync::view::EnvironmentKey;
use serde::de::DeserializeOwned;

use super::App;
use crate::authentication;
use crate::authorization::Person;
use crate::problem::Problem;

impl FromRequestParts<Arc<App>> for Person {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let identity = authentication::identify(&app.authenticate, &parts.headers).await?;
        Self::new(identity, &app.client_for)
    }
}

pub(super) fn query<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, Problem> {
    query.map(|Query(query)| query).map_err(|rejection| Problem::bad_request(rejection.body_text()))
}

/// A JSON object; no body at all asks for nothing in particular.
pub(super) fn body<T: DeserializeOwned + Default>(body: Result<Bytes, BytesRejection>) -> Result<T, Problem> {
    let bytes = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::too_large(),
        _ => Problem::bad_request(rejection.body_text()),
    })?;
    if bytes.is_empty() {
        return Ok(T::default());
    }
    serde_json::from_slice(&bytes).map_err(|error| Problem::bad_request(format!("the body: {error}")))
}

/// Names of Kubernetes (RFC 1123): anything else is no environment, and goes no further.
pub(super) fn key(namespace: String, name: String) -> Result<EnvironmentKey, Problem> {
    for (what, text) in [("namespace", &namespace), ("environment", &name)] {
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if text.is_empty() || text.len() > 63 || !text.chars().all(good) {
            return Err(Problem::bad_request(format!("{text:?} is not the name of a {what}")));
        }
    }
    Ok(EnvironmentKey { namespace, name })
}

/// A part of a Kubernetes path, which must not be more than one.
pub(super) fn segment(what: &str, text: &str) -> Result<(), Problem> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':');
    if text.is_empty() || text.len() > 253 || !text.chars().all(good) || text.chars().all(|c| c == '.') {
        return Err(Problem::bad_request(format!("{text:?} is no {what}")));
    }
    Ok(())
}
