//! What forges tell of pushes. It needs no login: the signature says who sends it, and all that it does is to let the
//! repository be asked at once, as it would be a little later anyway.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use http::HeaderMap;
use hyper::body::Bytes;
use seaway_sync::{Webhook, WebhookError};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::App;
use crate::problem::Problem;

/// What a webhook led to.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookAnswer {
    /// How many repositories that environments follow are asked for news now.
    pub repositories: usize,
}

/// Asks a repository for news at once. The body is what GitHub, GitLab, Gitea and Forgejo send as JSON, or
/// `{"repository": "URL"}`; it is signed with the `webhook-secret` of the Secret for that URL: HMAC-SHA256 of the body in
/// `X-Hub-Signature-256` or `X-Seaway-Signature-256` (`sha256=` and hexadecimal digits) or `X-Gitea-Signature` (digits
/// alone), or the secret in `X-Gitlab-Token`. At most 1 MiB.
#[utoipa::path(
    post, path = "/api/v1/webhooks", operation_id = "webhook", tag = "webhooks", security(()),
    request_body(content = Object, content_type = "application/json"),
    responses(
        (status = 200, body = WebhookAnswer),
        (status = 403, body = Problem, description = "It is not signed with the secret of its repository",
         content_type = "application/problem+json"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn receive(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<WebhookAnswer>, Problem> {
    let body = body.map_err(|_| Problem::too_large("at most 1 MiB"))?;
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let webhook = Webhook::read(header, body.into()).map_err(|error| match error {
        WebhookError::TooLarge => Problem::too_large(error.to_string()),
        WebhookError::NotSigned => Problem::wrong_signature(error.to_string()),
        WebhookError::NotJson | WebhookError::NoRepository => Problem::bad_request(error.to_string()),
    })?;
    match app.sync.pushed(&webhook) {
        Ok(repositories) => Ok(Json(WebhookAnswer { repositories })),
        Err(error) => {
            tracing::info!(?webhook, "a webhook is not signed with the secret of its repository");
            Err(Problem::wrong_signature(error.to_string()))
        }
    }
}
