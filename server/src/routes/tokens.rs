//! Logging in from a command line: a session whose secret is sent as a bearer token.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, State};
use http::header::HeaderMap;
use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::session::{Body, LoginRequest, exposed, form};
use super::{App, audit};
use crate::accounts::{Account, Carrier, Refusal};
use crate::cookie;
use crate::listener::Peer;
use crate::problem::Problem;

/// The session of a command line. The token cannot be printed, and is shown once.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Token)]
pub struct TokenView {
    /// What is sent as `Authorization: Bearer …`.
    #[serde(serialize_with = "exposed")]
    #[schema(value_type = String, format = Password)]
    pub token: SecretString,
    /// Whose it is: the user name in Kubernetes.
    pub user: String,
    /// When it ends unless it is used again.
    #[schema(value_type = String, format = DateTime)]
    pub expires: Timestamp,
}

/// Logs in a command line with a name and a password. It is a session as that of a browser, and ends in the same ways;
/// its secret is sent as a bearer token, and is none as a cookie.
#[utoipa::path(
    post, path = "/api/v1/tokens", operation_id = "create_token", tag = "session", security(()),
    request_body = LoginRequest,
    responses(
        (status = 200, body = TokenView),
        (status = 401, body = Problem, content_type = "application/problem+json",
         description = "The name or the password is wrong"),
        (status = 429, body = Problem, content_type = "application/problem+json",
         headers(("Retry-After" = u64, description = "Seconds until the next attempt"))),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    Extension(Peer(from)): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<TokenView>, Problem> {
    cookie::same_site(&headers)?;
    let LoginRequest { name, password } = form(body, "name and password")?;
    match app.accounts.verify(&name, password, from).await {
        Ok(account) => begin(&app, account, from).await,
        Err(refusal) => {
            if let Refusal::Wrong { account } = &refusal {
                audit::write_account(&app, "token", account.as_deref(), "failed", from).await?;
            }
            Err(refusal.into())
        }
    }
}

/// Begins the session of a command line, and has it in the audit log before.
pub(super) async fn begin(app: &App, account: Account, from: IpAddr) -> Result<Json<TokenView>, Problem> {
    audit::write_account(app, "token", Some(&account.name), "succeeded", from).await?;
    let (secret, session) = app.accounts.begin_session(&account, Carrier::Bearer, None).await?;
    Ok(Json(TokenView { token: secret.into_token(), user: account.name, expires: session.expires() }))
}
