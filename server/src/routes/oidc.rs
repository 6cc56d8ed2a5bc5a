//! Logging in by OpenID Connect: to the provider and back.
//!
//! Both are followed by a browser as links are: an answer is a redirect, also when it failed. What exactly failed is for
//! the log and the ledger; the page says what the person can do.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Query, State};
use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
use http::header::{HeaderMap, SET_COOKIE};
use serde::Deserialize;
use serde_json::json;
use utoipa::IntoParams;

use super::{App, audit, request, session};
use crate::accounts::{Account, AccountName, Refusal, Role};
use crate::authentication::Identity;
use crate::authorization::Person;
use crate::listener::Peer;
use crate::oidc::{Begun, COOKIE_SECONDS, Callback, External, Failure, Provider};
use crate::problem::Problem;
use crate::{ADMINS, cookie, personal};

/// Where the login begins.
pub(crate) const LOGIN: &str = "/api/v1/oidc/login";
/// Where the provider sends the browser back to.
pub(crate) const CALLBACK: &str = "/api/v1/oidc/callback";

/// Where to go on.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct LoginQuery {
    /// A path of the page.
    next: Option<String>,
}

/// What the provider lets the browser bring (RFC 6749, 4.1.2; RFC 9207). Whatever else is there counts for nothing.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct CallbackQuery {
    /// Stands for the login, once.
    code: Option<String>,
    /// What was sent with the browser.
    state: Option<String>,
    /// The provider.
    iss: Option<String>,
    /// Why there is no code.
    error: Option<String>,
}

fn provider(app: &App) -> Result<&Provider, Problem> {
    app.oidc.as_ref().ok_or_else(|| Problem::not_found("nobody logs in here by OpenID Connect"))
}

/// Sends the browser to the provider of OpenID Connect.
#[utoipa::path(
    get, path = "/api/v1/oidc/login", operation_id = "oidc_login", tag = "session", security(()), params(LoginQuery),
    responses(
        (status = 303, description = "To the provider, or back to the login page with `failed`"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn login(
    State(app): State<Arc<App>>,
    Extension(Peer(from)): Extension<Peer>,
    query: Result<Query<LoginQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let provider = provider(&app)?;
    let next = request::query(query)?.next.unwrap_or_default();
    app.accounts.attempt_external(from)?;
    match provider.begin(&next, app.accounts.now()).await {
        Ok(Begun { location, cookie }) => {
            app.accounts.refund_external(from);
            let cookie = cookie::oidc(&cookie, COOKIE_SECONDS, app.https);
            let set = AppendHeaders(cookie.map(|cookie| (SET_COOKIE, cookie)));
            Ok((set, Redirect::to(&location)).into_response())
        }
        Err(failure) => Ok(back(&app, &failure)),
    }
}

/// Ends a login at the provider, and begins a session. An account is made for whoever has none; what it is for follows
/// the provider's groups at each login.
#[utoipa::path(
    get, path = "/api/v1/oidc/callback", operation_id = "oidc_callback", tag = "session", security(()), params(CallbackQuery),
    responses(
        (status = 303, description = "To the page, or back to the login page with `failed`",
         headers(("Set-Cookie" = String, description = "The session"))),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn callback(
    State(app): State<Arc<App>>,
    Extension(Peer(from)): Extension<Peer>,
    headers: HeaderMap,
    query: Result<Query<CallbackQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let provider = provider(&app)?;
    let query = request::query(query)?;
    app.accounts.attempt_external(from)?;
    let cookie = cookie::read_oidc(&headers, app.https);
    let callback = Callback {
        code: query.code.as_deref(),
        state: query.state.as_deref(),
        issuer: query.iss.as_deref(),
        error: query.error.as_deref(),
        cookie: cookie.as_deref(),
    };
    let (external, next) = match provider.complete(callback, app.accounts.now()).await {
        Ok(done) => done,
        Err(failure) => {
            let detail = json!({"address": from, "reason": reason(&failure)});
            audit::write_login(&app, "oidc", None, "failed", detail).await?;
            return Ok(back(&app, &failure));
        }
    };
    app.accounts.refund_external(from);
    enter(&app, &headers, from, external, &next).await
}

/// Lets somebody in whom the provider vouches for.
async fn enter(
    app: &App,
    headers: &HeaderMap,
    from: IpAddr,
    external: External,
    next: &str,
) -> Result<Response, Problem> {
    let (name, assigned) = (external.name.clone(), external.assigned.clone());
    let _turn = app.accounts.turn(&name).await;
    let account = match app.accounts.enter(&external).await {
        Ok(account) => account,
        Err(refusal @ (Refusal::Taken(_) | Refusal::Locked)) => {
            let reason = if matches!(refusal, Refusal::Locked) { "locked" } else { "taken" };
            let detail = json!({"address": from, "reason": reason});
            audit::write_login(app, "oidc", Some(name.as_str()), "failed", detail).await?;
            return Ok(failed(app, reason));
        }
        Err(refusal) => return Err(refusal.into()),
    };
    prepare(app, &account, assigned.role(), &assigned.grants).await;
    let (cookie, _) = session::begin(app, headers, &account, from).await?;
    let over = AppendHeaders(cookie::oidc("", 0, app.https).map(|cookie| (SET_COOKIE, cookie)));
    Ok((cookie, over, Redirect::to(next)).into_response())
}

/// What an administrator's invitation makes for other accounts is made here as the administrators' group, who have said
/// by the settings whom the provider's groups are. Without it one can still log in.
async fn prepare(app: &App, account: &Account, role: Option<Role>, grants: &[crate::accounts::Grant]) {
    let make = async {
        let groups = vec![ADMINS.to_owned(), "system:authenticated".to_owned()];
        let seaway = Person::new(Identity { name: "seaway".to_owned(), groups }, &app.client_for)?;
        personal::grant(&seaway, grants).await?;
        match role.filter(|role| role.owns_environments()) {
            Some(role) => {
                let name: AccountName = account.name.parse().map_err(Refusal::Name)?;
                personal::prepare(&seaway, &name, role).await
            }
            None => Ok(()),
        }
    };
    if let Err(problem) = make.await {
        let (name, reason) = (&account.name, problem.detail);
        tracing::warn!(name, reason, "what belongs to an account could not be made");
    }
}

/// A word for the ledger and the page.
fn reason(failure: &Failure) -> &'static str {
    match failure {
        Failure::NotBegun => "expired",
        Failure::Denied(_) => "denied",
        Failure::Unavailable(_) => "unavailable",
        Failure::Metadata(_) | Failure::Lie(_) | Failure::OtherIssuer(_) | Failure::OtherSubject => "invalid",
        Failure::Name(_) => "name",
        Failure::NoRole { .. } => "role",
    }
}

fn back(app: &App, failure: &Failure) -> Response {
    tracing::warn!(reason = %failure, "a login by OpenID Connect failed");
    failed(app, reason(failure))
}

fn failed(app: &App, reason: &str) -> Response {
    let over = AppendHeaders(cookie::oidc("", 0, app.https).map(|cookie| (SET_COOKIE, cookie)));
    (over, Redirect::to(&format!("/login?failed={reason}"))).into_response()
}
