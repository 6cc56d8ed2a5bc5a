//! Errors as `application/problem+json` (RFC 9457).

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::telemetry;

/// Why a request failed, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// Which problem: `urn:seaway:problem:forbidden`. Programs compare this.
    #[serde(rename = "type")]
    pub kind: String,
    /// The same in words, the same for each problem of its type.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened this time.
    pub detail: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// Which request it was: lines of the server's log have this id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// When to ask again, in seconds: sent as `Retry-After`.
    #[serde(skip)]
    pub retry_after: Option<u64>,
}

/// Media type of a problem.
pub const MEDIA_TYPE: &str = "application/problem+json";

impl Problem {
    fn new(status: StatusCode, slug: &str, title: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:seaway:problem:{slug}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            help: None,
            request_id: None,
            retry_after: None,
        }
    }

    /// Says what to do next.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-request", "The request is not understood", detail)
    }

    pub(crate) fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "Nobody known is asking", detail)
            .help("send the token of a Kubernetes user as `Authorization: Bearer …`")
    }

    pub(crate) fn wrong_login(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "wrong-login", "The login failed", detail)
    }

    pub(crate) fn too_many_requests(wait: Duration) -> Self {
        // Whole seconds, and not before it is time.
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        let detail = format!("this was tried too often: try again in {seconds} s");
        let problem =
            Self::new(StatusCode::TOO_MANY_REQUESTS, "too-many-requests", "Too many attempts", detail);
        Self { retry_after: Some(seconds), ..problem }
    }

    pub(crate) fn too_many_streams(most: usize) -> Self {
        let detail = format!("{most} streams are open already");
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too-many-streams", "Too many streams", detail)
            .help("close one of them")
    }

    pub(crate) fn csrf() -> Self {
        let detail =
            "a request that changes something and is known by its cookie needs the header X-Seaway-CSRF: 1";
        Self::new(StatusCode::FORBIDDEN, "csrf", "Another web site may be asking", detail)
    }

    pub(crate) fn wrong_code(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "wrong-code", "This link is not valid", detail)
            .help("open the link that the last start of the server has printed")
    }

    pub(crate) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "This is not allowed", detail)
            .help("rights come from Kubernetes: see the ClusterRoles whose names begin with seaway-")
    }

    pub(crate) fn wrong_origin(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "wrong-origin", "Another web site is asking", detail)
    }

    pub(crate) fn wrong_host(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::MISDIRECTED_REQUEST, "wrong-host", "This is not that server", detail)
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "There is no such thing", detail)
    }

    pub(crate) fn method_not_allowed() -> Self {
        let detail = "the path is known, but not with this method; /api/openapi.json lists both";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "The method is not known", detail)
    }

    pub(crate) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", "The state does not allow it", detail)
    }

    pub(crate) fn unprocessable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "unprocessable", "It cannot be done as asked", detail)
    }

    pub(crate) fn too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The request is too large", detail)
    }

    pub(crate) fn wrong_signature(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "wrong-signature", "Nobody vouches for this webhook", detail)
            .help("give the webhook the webhook-secret of the Secret for its repository")
    }

    pub(crate) fn timeout() -> Self {
        let detail = "the answer took too long; what was started goes on";
        Self::new(StatusCode::GATEWAY_TIMEOUT, "timeout", "It took too long", detail)
    }

    pub(crate) fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Something that is needed is away", detail)
            .help("try again in a moment")
    }

    pub(crate) fn internal(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Seaway failed", detail)
    }
}

impl Problem {
    /// What the Kubernetes API said to the person who asked.
    pub(crate) fn from_kubernetes(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => match status.code {
                403 => Self::forbidden(status.message.clone()),
                404 => Self::not_found(status.message.clone()),
                409 => Self::conflict(status.message.clone()),
                400..500 => Self::unprocessable(status.message.clone()),
                _ => Self::unavailable(status.message.clone()),
            },
            error => {
                tracing::warn!(%error, "the Kubernetes API does not answer");
                Self::unavailable("the Kubernetes API does not answer")
            }
        }
    }
}

impl From<seaway_sync::Error> for Problem {
    fn from(error: seaway_sync::Error) -> Self {
        use seaway_sync::Error;
        let detail = error.to_string();
        match error {
            Error::NoEnvironment(key) => {
                let detail = format!("there is no environment {key}");
                Self::not_found(detail).help("`seaway env list` shows those that you may see")
            }
            Error::NoRelease(_) | Error::Superseded => Self::conflict(detail),
            Error::Records(_) => Self::internal(detail),
            Error::Stopping | Error::Cluster { code: 0, .. } => Self::unavailable(detail),
            // What is in Git or in the cluster does not allow it; the text says where.
            _ => Self::unprocessable(detail),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(mut self) -> Response {
        self.request_id = telemetry::request_id();
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, axum::Json(&self)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"seaway\""));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
