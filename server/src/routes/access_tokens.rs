//! Personal access tokens: made, listed and revoked by the person whose they are, who has logged in.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::request::Caller;
use super::session::{Body, exposed, form};
use super::{App, Done, audit};
use crate::accounts::{AccessToken, Account, Scope, SessionKey, Wanted};
use crate::problem::Problem;

/// A token, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AccessToken)]
pub struct AccessTokenView {
    /// Its number.
    pub id: i64,
    /// What it is for, in its owner's words.
    pub name: String,
    /// What it may be used for.
    pub scopes: Vec<Scope>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created: Timestamp,
    /// From when on it is of no use.
    #[schema(value_type = String, format = DateTime)]
    pub expires: Timestamp,
    /// When it was last used, to a few minutes; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub used: Option<Timestamp>,
}

/// The tokens of whoever asks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccessTokenList {
    /// Those that are still good, by name.
    pub items: Vec<AccessTokenView>,
}

/// What a token is to be.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AccessTokenRequest {
    /// What it is for: 1 to 64 characters, another one for each.
    #[schema(min_length = 1, max_length = 64)]
    pub name: String,
    /// What it may be used for, as far as its person may do that; every token may read.
    #[serde(default)]
    #[schema(max_items = 5)]
    pub scopes: Vec<Scope>,
    /// From when on it is of no use: within a year.
    #[schema(value_type = String, format = DateTime)]
    pub expires: Timestamp,
}

/// A new token. Its secret cannot be printed, and is shown once.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewAccessToken {
    /// What is known of it.
    #[serde(flatten)]
    pub about: AccessTokenView,
    /// What is sent as `Authorization: Bearer …`.
    #[serde(serialize_with = "exposed")]
    #[schema(value_type = String, format = Password)]
    pub token: SecretString,
}

impl From<AccessToken> for AccessTokenView {
    fn from(token: AccessToken) -> Self {
        let AccessToken { id, name, scopes, created, expires, used } = token;
        Self { id, name, scopes, created, expires, used }
    }
}

/// Who has logged in, with a password or at a provider: a token neither makes nor ends another one.
async fn logged_in<'a>(
    app: &App,
    caller: &'a Caller,
    action: &str,
) -> Result<(&'a Account, SessionKey), Problem> {
    match (&caller.session, caller.person.session) {
        (Some(session), Some(key)) => Ok((&session.account, key)),
        _ => {
            let (person, name) = (&caller.person, caller.person.identity.name.as_str());
            audit::write_people(app, person, action, name, "denied", json!({})).await?;
            let detail = "tokens are seen, made and revoked by who has logged in, and not by a token";
            Err(Problem::forbidden(detail).help("log in on the page, or with `seaway login`"))
        }
    }
}

/// The tokens of whoever asks, without their secrets.
#[utoipa::path(
    get, path = "/api/v1/access-tokens", operation_id = "list_access_tokens", tag = "session",
    responses(
        (status = 200, body = AccessTokenList),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
) -> Result<Json<AccessTokenList>, Problem> {
    let (account, _) = logged_in(&app, &caller, "token.list").await?;
    let items = app.accounts.tokens(account).await?.into_iter().map(AccessTokenView::from).collect();
    Ok(Json(AccessTokenList { items }))
}

/// Makes a token for a program that acts for whoever asks. It may do what its person may, within its scopes, until it
/// ends, is revoked, or the account is locked.
#[utoipa::path(
    post, path = "/api/v1/access-tokens", operation_id = "create_access_token", tag = "session",
    request_body = AccessTokenRequest,
    responses(
        (status = 200, body = NewAccessToken),
        (status = 409, body = Problem, content_type = "application/problem+json",
         description = "There is one of this name, or there are too many"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    body: Body,
) -> Result<Json<NewAccessToken>, Problem> {
    let (account, session) = logged_in(&app, &caller, "token.create").await?;
    let asked: AccessTokenRequest = form(
        body,
        "name and expires (a time, RFC 3339), and the list scopes (read, deploy, write, accounts, audit)",
    )?;
    let AccessTokenRequest { name, scopes, expires } = asked;
    let detail = json!({"name": name, "scopes": scopes, "expires": expires});
    let made = app.accounts.create_token(account, session, Wanted { name, scopes, expires }).await;
    let outcome = if made.is_ok() { "succeeded" } else { "failed" };
    audit::write_people(&app, &caller.person, "token.create", &account.name, outcome, detail).await?;
    let (about, token) = made?;
    Ok(Json(NewAccessToken { about: about.into(), token }))
}

/// Ends a token of whoever asks, at once.
#[utoipa::path(
    delete, path = "/api/v1/access-tokens/{id}", operation_id = "revoke_access_token", tag = "session",
    params(("id" = i64, Path)),
    responses((status = 200, body = Done), (status = "4XX", body = Problem, content_type = "application/problem+json")),
)]
pub(super) async fn revoke(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Done>, Problem> {
    let (account, _) = logged_in(&app, &caller, "token.revoke").await?;
    let id = id
        .parse::<i64>()
        .map_err(|_| Problem::bad_request(format!("{id:?} is not the number of a token")))?;
    let ended = app.accounts.revoke_token(account, id).await?;
    let ended = ended.ok_or_else(|| Problem::not_found(format!("you have no token {id}")))?;
    let detail = json!({"name": ended.name});
    audit::write_people(&app, &caller.person, "token.revoke", &account.name, "succeeded", detail).await?;
    Ok(Json(Done {}))
}
