//! What a person asks of an environment. Each is a verb of Kubernetes RBAC of its own.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use hyper::body::Bytes;
use kube::api::{Api, DeleteParams};
use seaway_api::Environment;
use seaway_sync::SyncChoice;
use seaway_sync::plan::ObjectRef;
use seaway_sync::view::{EnvironmentKey, Hold, SyncRecord};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::{App, audit, request};
use crate::authorization::Person;
use crate::permissions::Verb;
use crate::problem::Problem;

/// A request's body, or why there is none.
type Body = Result<Bytes, BytesRejection>;

/// How long an answer waits for the end of a sync.
const WAIT: Duration = Duration::from_secs(90);

/// What is to be synced.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct SyncRequest {
    /// Only these objects; empty: all. No hooks run then.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(schema_with = crate::schemas::list_of_objects)]
    pub objects: Vec<ObjectRef>,
}

/// How a sync that was asked for went.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SyncAnswer {
    /// Whether it still goes on: its events, and the history, say how it ends.
    pub running: bool,
    /// What was done; absent while it goes on, and when there was nothing to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = crate::schemas::sync)]
    pub record: Option<SyncRecord>,
}

/// Where to go back to.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RollbackRequest {
    /// The release; absent: the last good one before the present.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Why; it is kept with the hold on the present release.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Which release is kept out, or let in again.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct HoldRequest {
    /// The release; absent: the present one, or with `lift` every one that is held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// Lets it in again.
    pub lift: bool,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The holds that follow from what was asked.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Holds {
    /// Those that were placed, or lifted.
    #[schema(schema_with = crate::schemas::list_of_holds)]
    pub holds: Vec<Hold>,
}

/// Nothing more is to be said: it is done.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Done {}

/// The environment that is meant, if the person may do this with it. What was asked is kept in the ledger, with what was
/// before; the engine keeps there what is then done.
async fn allowed(
    app: &App,
    person: &Person,
    (verb, action): (Verb, &str),
    place: (String, String),
    asked: Value,
) -> Result<EnvironmentKey, Problem> {
    let key = request::key(place.0, place.1)?;
    audit::must(app, person, verb, &key).await?;
    let detail = app.sync.show(&key)?;
    let held: Vec<&str> = detail.holds.iter().map(|hold| hold.release.as_str()).collect();
    let before = json!({"release": detail.summary.release, "suspended": detail.suspended, "holds": held});
    let change = json!({"before": before, "after": asked});
    audit::write_detail(app, person, action, &key, "requested", change).await?;
    Ok(key)
}

/// Brings the environment to what Git says, now, also when automatic sync is off. Answers at its end, or after 90
/// seconds while it goes on.
#[utoipa::path(
    post, path = "/api/v1/environments/{namespace}/{name}/sync", tag = "actions", request_body = SyncRequest,
    params(("namespace" = String, Path), ("name" = String, Path)),
    responses(
        (status = 200, body = SyncAnswer),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn sync(
    State(app): State<Arc<App>>,
    person: Person,
    Path(place): Path<(String, String)>,
    body: Body,
) -> Result<Json<SyncAnswer>, Problem> {
    let asked: SyncRequest = request::body(body)?;
    let key = allowed(&app, &person, (Verb::Sync, "sync"), place, json!({"objects": asked.objects})).await?;
    let choice = SyncChoice { objects: asked.objects };
    match tokio::time::timeout(WAIT, app.sync.sync(&key, choice, &person.identity.name)).await {
        Ok(record) => Ok(Json(SyncAnswer { running: false, record: record? })),
        Err(_) => Ok(Json(SyncAnswer { running: true, record: None })),
    }
}

/// Goes back to an earlier release, and keeps the present one out. Automatic sync stays on: a newer release is deployed.
#[utoipa::path(
    post, path = "/api/v1/environments/{namespace}/{name}/rollback", tag = "actions",
    request_body = RollbackRequest, params(("namespace" = String, Path), ("name" = String, Path)),
    responses(
        (status = 200, body = Holds, description = "The hold on the release that was left"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn rollback(
    State(app): State<Arc<App>>,
    person: Person,
    Path(place): Path<(String, String)>,
    body: Body,
) -> Result<Json<Holds>, Problem> {
    let asked: RollbackRequest = request::body(body)?;
    let change = json!({"release": asked.to, "reason": asked.reason});
    let reason = asked.reason.unwrap_or_default();
    let key = allowed(&app, &person, (Verb::Rollback, "rollback"), place, change).await?;
    let hold = app.sync.rollback(&key, asked.to.as_deref(), &person.identity.name, &reason).await?;
    Ok(Json(Holds { holds: vec![hold] }))
}

/// Keeps a release out of the environment until that is lifted, or lifts it.
#[utoipa::path(
    post, path = "/api/v1/environments/{namespace}/{name}/hold", tag = "actions", request_body = HoldRequest,
    params(("namespace" = String, Path), ("name" = String, Path)),
    responses(
        (status = 200, body = Holds, description = "What was placed, or lifted"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn hold(
    State(app): State<Arc<App>>,
    person: Person,
    Path(place): Path<(String, String)>,
    body: Body,
) -> Result<Json<Holds>, Problem> {
    let asked: HoldRequest = request::body(body)?;
    let change = json!({"hold": asked.release, "lift": asked.lift, "reason": asked.reason});
    let reason = asked.reason.unwrap_or_default();
    let key = allowed(&app, &person, (Verb::Hold, "hold"), place, change).await?;
    if asked.lift {
        let holds = app.sync.lift(&key, asked.release.as_deref(), &person.identity.name).await?;
        return match (holds.is_empty(), asked.release) {
            (true, Some(release)) => Err(Problem::conflict(format!("{key} does not hold {release:?}"))
                .help("`seaway env show` lists what is held")),
            _ => Ok(Json(Holds { holds })),
        };
    }
    let present = || app.sync.show(&key).map(|detail| detail.summary.release);
    let release = match asked.release {
        Some(release) => release,
        None => present()?.ok_or_else(|| {
            Problem::conflict(format!("{key} runs no release yet"))
                .help("name the release that is to be held")
        })?,
    };
    let hold = app.sync.hold(&key, &release, &person.identity.name, &reason).await?;
    Ok(Json(Holds { holds: vec![hold] }))
}

/// Which sync is to stop.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct CancelRequest {
    /// Its id; absent: whichever goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sync: Option<u64>,
}

/// The sync that stops.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cancelled {
    /// Its id.
    pub sync: u64,
}

/// Cancels the sync that goes on: it stops before its next wave, wait or deletion, and what is applied stays. The same
/// content is not begun again by itself until somebody syncs or resumes the environment, or something else is to run.
#[utoipa::path(
    post, path = "/api/v1/environments/{namespace}/{name}/cancel", tag = "actions", request_body = CancelRequest,
    params(("namespace" = String, Path), ("name" = String, Path)),
    responses(
        (status = 200, body = Cancelled),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn cancel(
    State(app): State<Arc<App>>,
    person: Person,
    Path(place): Path<(String, String)>,
    body: Body,
) -> Result<Json<Cancelled>, Problem> {
    let asked: CancelRequest = request::body(body)?;
    let key = allowed(&app, &person, (Verb::Sync, "cancel"), place, json!({"sync": asked.sync})).await?;
    let sync = app.sync.cancel(&key, asked.sync, &person.identity.name).await?;
    Ok(Json(Cancelled { sync }))
}

/// Applies nothing until the environment is resumed.
#[utoipa::path(
    post, path = "/api/v1/environments/{namespace}/{name}/suspend", tag = "actions",
    params(("namespace" = String, Path), ("name" = String, Path)),
    responses((status = 200, body = Done), (status = "4XX", body = Problem, content_type = "application/problem+json")),
)]
pub(super) async fn suspend(
    State(app): State<Arc<App>>,
    person: Person,
    Path(place): Path<(String, String)>,
) -> Result<Json<Done>, Problem> {
    let key = allowed(&app, &person, (Verb::Update, "suspend"), place, json!({"suspended": true})).await?;
    app.sync.suspend(&key, &person.identity.name).await?;
    Ok(Json(Done {}))
}

/// Goes on after a suspension.
#[utoipa::path(
    post, path = "/api/v1/environments/{namespace}/{name}/resume", tag = "actions",
    params(("namespace" = String, Path), ("name" = String, Path)),
    responses((status = 200, body = Done), (status = "4XX", body = Problem, content_type = "application/problem+json")),
)]
pub(super) async fn resume(
    State(app): State<Arc<App>>,
    person: Person,
    Path(place): Path<(String, String)>,
) -> Result<Json<Done>, Problem> {
    let key = allowed(&app, &person, (Verb::Update, "resume"), place, json!({"suspended": false})).await?;
    app.sync.resume(&key, &person.identity.name).await?;
    Ok(Json(Done {}))
}

/// Deletes the environment, as the person who asks. What it deployed goes with it.
#[utoipa::path(
    delete, path = "/api/v1/environments/{namespace}/{name}", tag = "actions",
    params(("namespace" = String, Path), ("name" = String, Path)),
    responses((status = 200, body = Done), (status = "4XX", body = Problem, content_type = "application/problem+json")),
)]
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    person: Person,
    Path(place): Path<(String, String)>,
) -> Result<Json<Done>, Problem> {
    let key = allowed(&app, &person, (Verb::Delete, "delete"), place, Value::Null).await?;
    let environments: Api<Environment> = Api::namespaced(person.client.clone(), &key.namespace);
    environments.delete(&key.name, &DeleteParams::default()).await.map_err(Problem::from_kubernetes)?;
    // A hook of its end that has failed keeps it: who deletes it once more lets that run again.
    app.sync.end_again(&key)?;
    Ok(Json(Done {}))
}
