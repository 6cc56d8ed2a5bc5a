//! How the owner of a copy uses kubectl in it: where the API is, and tokens of at most an hour.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Api, PostParams};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::session::exposed;
use super::{App, Done, audit, request};
use crate::authorization::Person;
use crate::permissions::Verb;
use crate::problem::Problem;

/// Seconds for which a token holds. A stolen one is of no use for longer, and kubectl asks for the next one by itself.
const LIFE: i64 = 3600;

/// How the Kubernetes API is reached from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kubernetes {
    /// Its URL.
    pub url: String,
    /// The certificate of its authority (PEM); absent: a public one.
    pub authority: Option<String>,
}

/// What a kubeconfig for a copy says.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Access)]
pub struct AccessView {
    /// The URL of the Kubernetes API.
    pub url: String,
    /// The certificate of its authority (PEM); absent: a public one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<String>,
    /// The namespaces in which one may work; the first one is for objects without one.
    pub namespaces: Vec<String>,
    /// As whom: the user name in Kubernetes.
    pub user: String,
}

/// A token for kubectl. It cannot be printed, and is shown once.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccessToken {
    /// What is sent as `Authorization: Bearer …` to the Kubernetes API.
    #[serde(serialize_with = "exposed")]
    #[schema(value_type = String, format = Password)]
    pub token: SecretString,
    /// When it ends.
    #[schema(value_type = String, format = DateTime)]
    pub expires: Timestamp,
}

/// Says how the owner of a copy reaches it with kubectl.
#[utoipa::path(
    get, path = "/api/v1/environments/{namespace}/{name}/access", tag = "copies", operation_id = "access",
    params(("namespace" = String, Path), ("name" = String, Path)),
    responses(
        (status = 200, body = AccessView),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn show(
    State(app): State<Arc<App>>,
    person: Person,
    Path(at): Path<(String, String)>,
) -> Result<Json<AccessView>, Problem> {
    let key = request::key(at.0, at.1)?;
    audit::must(&app, &person, Verb::Update, &key).await?;
    let access = app.sync.access(&key)?;
    let Some(kubernetes) = &app.kubernetes else {
        return Err(Problem::conflict("it is not known here how the Kubernetes API is reached from outside")
            .help("operations say so with `seaway serve --kubernetes-url`"));
    };
    Ok(Json(AccessView {
        url: kubernetes.url.clone(),
        authority: kubernetes.authority.clone(),
        namespaces: access.namespaces,
        user: format!("system:serviceaccount:{}:{}", key.namespace, access.account),
    }))
}

/// Gives a token of an hour for the namespaces of a copy. It is asked for as the person: nobody but the owner of the copy
/// gets one.
#[utoipa::path(
    post, path = "/api/v1/environments/{namespace}/{name}/access", tag = "copies", operation_id = "access_token",
    params(("namespace" = String, Path), ("name" = String, Path)),
    responses(
        (status = 200, body = AccessToken),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn token(
    State(app): State<Arc<App>>,
    person: Person,
    Path(at): Path<(String, String)>,
) -> Result<Json<AccessToken>, Problem> {
    let key = request::key(at.0, at.1)?;
    audit::must(&app, &person, Verb::Update, &key).await?;
    let access = app.sync.access(&key)?;
    let accounts: Api<ServiceAccount> = Api::namespaced(person.client.clone(), &key.namespace);
    let asked = TokenRequest {
        spec: Some(TokenRequestSpec { expiration_seconds: Some(LIFE), ..TokenRequestSpec::default() }),
        ..TokenRequest::default()
    };
    let given = match accounts.create_token_request(&access.account, &PostParams::default(), &asked).await {
        Ok(given) => given,
        Err(kube::Error::Api(status)) if status.code == 404 => {
            return Err(Problem::conflict(format!(
                "{key} is still being made: its account is not there yet"
            ))
            .help("try again in a moment"));
        }
        Err(error) => return Err(Problem::from_kubernetes(error)),
    };
    let given = given.status.and_then(|status| status.token.zip(status.expiration_timestamp));
    let Some((token, Time(expires))) = given else {
        return Err(Problem::unavailable("the Kubernetes API gave no token"));
    };
    audit::write_detail(&app, &person, "access.token", &key, "succeeded", json!({"expires": expires}))
        .await?;
    Ok(Json(AccessToken { token: token.into(), expires }))
}

/// Ends every token that was given for a copy. New ones can be asked for.
#[utoipa::path(
    delete, path = "/api/v1/environments/{namespace}/{name}/access", tag = "copies", operation_id = "revoke_access",
    params(("namespace" = String, Path), ("name" = String, Path)),
    responses(
        (status = 200, body = Done),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn revoke(
    State(app): State<Arc<App>>,
    person: Person,
    Path(at): Path<(String, String)>,
) -> Result<Json<Done>, Problem> {
    let key = request::key(at.0, at.1)?;
    audit::must(&app, &person, Verb::Update, &key).await?;
    app.sync.revoke_access(&key, &person.identity.name).await?;
    Ok(Json(Done {}))
}
