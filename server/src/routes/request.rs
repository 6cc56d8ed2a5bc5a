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
use crate::accounts::{AccountsError, Carrier, Secret, Session, SessionKey};
use crate::authentication::{self, BearerToken};
use crate::authorization::Person;
use crate::cookie;
use crate::listener::Peer;
use crate::problem::Problem;

/// Longest text about a body that is no good, in bytes.
const LONGEST_QUOTE: usize = 300;

impl FromRequestParts<Arc<App>> for Person {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        Caller::from_request_parts(parts, app).await.map(|caller| caller.person)
    }
}

/// A person, and how it is known who that is.
pub(super) struct Caller {
    pub(super) person: Person,
    /// The session of whoever has logged in here; absent for a bearer token of Kubernetes.
    pub(super) session: Option<Session>,
}

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Problem;

    /// A bearer token counts before a cookie: who sends one means it.
    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let mut caller = Self::known(parts, app).await?;
        caller.person.address = parts.extensions.get::<Peer>().map(|Peer(address)| *address);
        Ok(caller)
    }
}

impl Caller {
    async fn known(parts: &Parts, app: &App) -> Result<Self, Problem> {
        if parts.headers.contains_key(AUTHORIZATION) {
            let token = BearerToken::of(&parts.headers)
                .ok_or_else(|| Problem::unauthorized("this is no bearer token"))?;
            // The token of a session here is nobody else's concern: Kubernetes is not asked about it.
            if let Some(secret) = Secret::of_token(token.expose()) {
                return Self::of_session(app, secret.key(Carrier::Bearer)).await;
            }
            if let Some(secret) = Secret::of_access_token(token.expose()) {
                return Self::of_access_token(app, secret.key(Carrier::AccessToken)).await;
            }
            let identity = authentication::identify(&app.authenticate, token).await?;
            return Ok(Self { person: Person::new(identity, &app.client_for)?, session: None });
        }
        let secret = cookie::read(&parts.headers, app.https)
            .ok_or_else(|| Problem::unauthorized("a bearer token is missing"))?;
        cookie::check(parts)?;
        Self::of_session(app, secret.key(Carrier::Cookie)).await
    }

    async fn of_access_token(app: &App, key: SessionKey) -> Result<Self, Problem> {
        let found = app.accounts.token(key).await.map_err(accounts_failed)?;
        let (account, token) = found.ok_or_else(|| {
            Problem::unauthorized("the token has ended, was revoked, or is one of another server")
                .help("make another one, on the page or with `seaway token create`")
        })?;
        let person = Person::new(account.identity(), &app.client_for)?;
        Ok(Self {
            person: Person { session: Some(key), scopes: Some(token.scopes), ..person },
            session: None,
        })
    }

    async fn of_session(app: &App, key: SessionKey) -> Result<Self, Problem> {
        let session = app.accounts.session(key).await.map_err(accounts_failed)?.ok_or_else(ended)?;
        let person = Person::new(session.account.identity(), &app.client_for)?;
        Ok(Self { person: Person { session: Some(key), ..person }, session: Some(session) })
    }
}

fn ended() -> Problem {
    Problem::unauthorized("the session has ended, or is one of another server")
        .help("log in again; on the command line with `seaway login`")
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
        StatusCode::PAYLOAD_TOO_LARGE => Problem::too_large("at most 64 KiB"),
        _ => Problem::bad_request(rejection.body_text()),
    })?;
    if bytes.is_empty() {
        return Ok(T::default());
    }
    // A list would be read as the fields in their order.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(Problem::bad_request("the body: a JSON object was expected"));
    }
    serde_json::from_slice(&bytes).map_err(|error| {
        // It quotes what was sent, however long.
        let said = error.to_string();
        Problem::bad_request(format!("the body: {}", &said[..said.floor_char_boundary(LONGEST_QUOTE)]))
    })
}

/// Names of Kubernetes (RFC 1123): anything else is no environment, and goes no further.
pub(super) fn key(namespace: String, name: String) -> Result<EnvironmentKey, Problem> {
    for (what, text) in [("a namespace", &namespace), ("an environment", &name)] {
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if text.is_empty() || text.len() > 63 || !text.chars().all(good) {
            return Err(Problem::bad_request(format!("{text:?} is not the name of {what}")));
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
