//! The parts of a request: who sent it, its query, its body. What is wrong with one is said as a problem.

use std::sync::Arc;

use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{FromRequestParts, Query};
use http::StatusCode;
use http::header::AUTHORIZATION;
use http::request::Parts;
use hyper::body::Bytes;
use seaway_sync::view::EnvironmentKey;
use serde::de::DeserializeOwned;

use super::App;
use crate::accounts::{AccountsError, Session};
use crate::authorization::Person;
use crate::problem::Problem;
use crate::{authentication, cookie};

impl FromRequestParts<Arc<App>> for Person {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        Caller::from_request_parts(parts, app).await.map(|caller| caller.person)
    }
}

/// A person, and how it is known who that is.
pub(super) struct Caller {
    pub(super) person: Person,
    /// The session of whoever has logged in here; absent for a bearer token.
    pub(super) session: Option<Session>,
}

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Problem;

    /// A bearer token counts before a cookie: who sends one means it.
    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let secret = match parts.headers.contains_key(AUTHORIZATION) {
            true => None,
            false => cookie::read(&parts.headers, app.https),
        };
        let Some(secret) = secret else {
            let identity = authentication::identify(&app.authenticate, &parts.headers).await?;
            return Ok(Self { person: Person::new(identity, &app.client_for)?, session: None });
        };
        cookie::check(parts)?;
        let digest = secret.digest();
        let session = app.accounts.session(digest).await.map_err(accounts_failed)?;
        let session = session.ok_or_else(|| {
            Problem::unauthorized("the session has ended, or is one of another server").help("log in again")
        })?;
        let person = Person::new(session.account.identity(), &app.client_for)?;
        Ok(Self { person: Person { session: Some(digest), ..person }, session: Some(session) })
    }
}

/// What is wrong with the file is for whoever runs the server.
pub(super) fn accounts_failed(error: AccountsError) -> Problem {
    tracing::warn!(%error, "the accounts cannot be used");
    Problem::unavailable("the accounts cannot be read or written")
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
