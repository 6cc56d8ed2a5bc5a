//! Copies of environments: made, deviated from, compared, handed back, kept for longer.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use hyper::body::Bytes;
use jiff::Timestamp;
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};
use seaway_api::environment::{Class, Environment, EnvironmentSpec, Follow, Image, Override, Pin, Proposal};
use seaway_api::personal_namespace;
use seaway_sync::proposal::{Effect, Proposed, Proposer};
use seaway_sync::view::{CopyView, EnvironmentKey, FidelityView, OverrideView};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use super::{App, audit, request};
use crate::authorization::Person;
use crate::permissions::Verb;
use crate::personal;
use crate::problem::Problem;

/// A request's body, or why there is none.
type Body = Result<Bytes, BytesRejection>;

/// How often a change is tried that others get in the way of.
const ATTEMPTS: usize = 5;
/// Field manager of what a person asks for here.
const MANAGER: &str = "seaway-server";

/// A copy that is to be made.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct CopyRequest {
    /// Its name: that of its namespace as well, or the beginning of those.
    #[schema(pattern = "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]
    pub name: String,
    /// The environment that it is to be a copy of: `NAMESPACE/NAME`, or a name in the namespace `seaway`.
    pub copy_of: String,
    /// Where its Environment is to lie; absent: the namespace of the person who asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its components; empty: all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub components: Vec<String>,
    /// What it follows: `environment` (the default) or `revision`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub follow: Option<Follow>,
    /// The release that it is to stay at, one that what it copies has had; absent: it follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// From when on it is deleted (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires: Option<Timestamp>,
    /// Only says what it would be called, and what it would have.
    pub dry_run: bool,
}

/// A copy that was made, or would be.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CopyAnswer {
    /// Where its Environment lies.
    #[schema(schema_with = crate::schemas::environment_key_ref)]
    pub environment: EnvironmentKey,
    /// What it is called, and what it has of what it copies.
    #[schema(schema_with = crate::schemas::copy_ref)]
    pub copy: CopyView,
    /// Whether it was made.
    pub created: bool,
}

/// A deviation of one component.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct OverrideRequest {
    /// The component.
    pub component: String,
    /// Another repository, which the stack must allow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repo: Option<String>,
    /// A branch, which is followed, or a tag or commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Parameters that replace the stack's, key by key.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = Object)]
    pub parameters: BTreeMap<String, Value>,
    /// Other images, as `images` of a kustomization.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Object>)]
    pub images: Vec<Image>,
    /// From when on it does not count (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires: Option<Timestamp>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Ends the override of this component.
    pub remove: bool,
}

/// The overrides that are there now.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Overrides {
    /// In the order in which they were made.
    #[schema(schema_with = crate::schemas::list_of_overrides)]
    pub overrides: Vec<OverrideView>,
}

/// What is handed back.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ProposeRequest {
    /// The component; absent: that of the only override.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub component: Option<String>,
    /// What the commit says: its subject, and after an empty line the rest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The mail address in the commit; absent: the user's name at this server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
}

/// What was handed back, and what it would change where.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProposeAnswer {
    /// What was pushed.
    #[schema(schema_with = crate::schemas::proposed_ref)]
    pub proposed: Proposed,
    /// What it would change in each environment that the person may see.
    #[schema(schema_with = crate::schemas::list_of_effects)]
    pub effects: Vec<Effect>,
    /// The page of the merge request, where a forge is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merge_request: Option<String>,
    /// Why there is no merge request, though a forge is known: it can be asked for again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// How long an environment is kept.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ExtendRequest {
    /// From when on it is deleted (RFC 3339); absent: never.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires: Option<Timestamp>,
}

/// How long an environment is kept.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Lifetime {
    /// From when on it is deleted (RFC 3339); absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
}

/// With what an environment is compared.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct FidelityQuery {
    /// `NAMESPACE/NAME`, or a name in the namespace `seaway`; absent: what it is a copy of.
    against: Option<String>,
}

/// Makes a copy of an environment. Everything that could be wrong with it is found out before it is made.
#[utoipa::path(
    post, path = "/api/v1/environments", tag = "copies", operation_id = "copy", request_body = CopyRequest,
    responses(
        (status = 200, body = CopyAnswer),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    person: Person,
    body: Body,
) -> Result<Json<CopyAnswer>, Problem> {
    let asked: CopyRequest = request::body(body)?;
    if asked.copy_of.is_empty() {
        return Err(Problem::bad_request("copyOf names the environment that it is to be a copy of"));
    }
    let original = place(&asked.copy_of)?;
    let own = personal_namespace(&person.identity.name);
    let key = request::key(asked.namespace.unwrap_or(own), asked.name)?;
    // What is not to be seen is not to be copied.
    audit::must(&app, &person, Verb::Get, &original).await?;
    audit::must(&app, &person, Verb::Create, &key).await?;
    let pins = match &asked.release {
        Some(release) => pins(&app, &original, release)?,
        None => Vec::new(),
    };
    app.sync.show(&original)?;
    let personal = seaway_api::owner(&key.namespace).is_some();
    // The stack follows from what it copies, also when that gets another one.
    let spec = EnvironmentSpec {
        class: if personal { Class::Personal } else { Class::Preview },
        copy_of: Some(original.to_string()),
        components: asked.components,
        follow: asked.follow,
        pins,
        expires: asked.expires.map(|expires| expires.to_string()),
        ..EnvironmentSpec::default()
    };
    let copy = app.sync.preview(&key, spec.clone()).await?;
    let metadata = ObjectMeta {
        name: Some(key.name.clone()),
        namespace: Some(key.namespace.clone()),
        ..ObjectMeta::default()
    };
    let environment = Environment { metadata, spec, status: None };
    let manager = Some(MANAGER.to_owned());
    let parameters = PostParams { field_manager: manager, dry_run: asked.dry_run };
    if !asked.dry_run {
        personal::ensure_own(&person, &key.namespace).await?;
        audit::write(&app, &person, Verb::Create, &key, "requested").await?;
    }
    match environments(&person, &key).create(&parameters, &environment).await {
        Ok(_) => {}
        // The namespace is made with the first one.
        Err(kube::Error::Api(status)) if asked.dry_run && status.code == 404 => {}
        Err(error) => return Err(personal::too_many(&person, &key, error)),
    }
    Ok(Json(CopyAnswer { environment: key, copy, created: !asked.dry_run }))
}

/// What each component had in a release of an environment.
fn pins(app: &App, original: &EnvironmentKey, release: &str) -> Result<Vec<Pin>, Problem> {
    let history = app.sync.history(original, usize::MAX)?;
    let Some(found) = history.iter().find(|sync| sync.release == release) else {
        return Err(Problem::unprocessable(format!("{original} never had release {release:?}"))
            .help("`seaway env history` lists those it had"));
    };
    let pin = |part: &seaway_sync::release::ReleaseComponent| Pin {
        component: part.name.clone(),
        commit: Some(part.commit.clone()),
        images: part.images.clone(),
    };
    Ok(found.definition.components.iter().map(pin).collect())
}

/// Lets one component of a copy run something else, or ends that. The others stay as they are.
#[utoipa::path(
    post, path = "/api/v1/environments/{namespace}/{name}/override", tag = "copies", operation_id = "override",
    request_body = OverrideRequest, params(("namespace" = String, Path), ("name" = String, Path)),
    responses(
        (status = 200, body = Overrides),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn deviate(
    State(app): State<Arc<App>>,
    person: Person,
    Path(at): Path<(String, String)>,
    body: Body,
) -> Result<Json<Overrides>, Problem> {
    let asked: OverrideRequest = request::body(body)?;
    let key = request::key(at.0, at.1)?;
    audit::must(&app, &person, Verb::Update, &key).await?;
    let component = asked.component.clone();
    let deviation = Override {
        component: asked.component,
        repo: asked.repo,
        revision: asked.revision,
        parameters: asked.parameters,
        images: asked.images,
        expires: asked.expires.map(|expires| expires.to_string()),
        reason: asked.reason,
        proposal: None,
    };
    let mut commit = None;
    if !asked.remove {
        let nothing = deviation.repo.is_none()
            && deviation.revision.is_none()
            && deviation.parameters.is_empty()
            && deviation.images.is_empty();
        if nothing {
            return Err(Problem::bad_request(
                "say what the component is to run: a revision, parameters or images",
            ));
        }
        commit = app.sync.check_override(&key, &deviation).await?;
    }
    let changed = change(&person, &key, |spec| {
        let at = spec.overrides.iter().position(|one| one.component == component);
        match (at, asked.remove) {
            (Some(at), true) => {
                spec.overrides.remove(at);
            }
            (None, true) => {
                return Err(Problem::conflict(format!("{key} has no override of {component:?}")));
            }
            (Some(at), false) => spec.overrides[at] = deviation.clone(),
            (None, false) => spec.overrides.push(deviation.clone()),
        }
        Ok(json!({"overrides": spec.overrides}))
    });
    let spec = changed.await?;
    let action = if asked.remove { "override.end" } else { "override" };
    let detail = json!({"component": component, "revision": deviation.revision, "repo": deviation.repo,
                        "reason": deviation.reason, "commit": commit});
    audit::write_detail(&app, &person, action, &key, "succeeded", detail).await?;
    let now = Timestamp::now();
    let view = |one: &Override| OverrideView {
        active: one.is_active(now),
        commit: commit.clone().filter(|_| one.component == component),
        conflict: None,
        spec: one.clone(),
    };
    Ok(Json(Overrides { overrides: spec.overrides.iter().map(view).collect() }))
}

/// How far an environment is from another one, or a copy from what it copies, field by field.
#[utoipa::path(
    get, path = "/api/v1/environments/{namespace}/{name}/fidelity", tag = "copies", operation_id = "fidelity",
    params(("namespace" = String, Path), ("name" = String, Path), FidelityQuery),
    responses(
        (status = 200, body = ref("#/components/schemas/FidelityView")),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn fidelity(
    State(app): State<Arc<App>>,
    person: Person,
    Path(at): Path<(String, String)>,
    query: Result<Query<FidelityQuery>, QueryRejection>,
) -> Result<Json<FidelityView>, Problem> {
    let query = request::query(query)?;
    let key = request::key(at.0, at.1)?;
    audit::must(&app, &person, Verb::Get, &key).await?;
    let against = match &query.against {
        Some(against) => Some(place(against)?),
        None => app.sync.show(&key)?.summary.copy_of.as_deref().map(place).transpose()?,
    };
    // Both sides' values are shown.
    if let Some(against) = &against {
        audit::must(&app, &person, Verb::Get, against).await?;
    }
    Ok(Json(app.sync.fidelity(&key, against.as_ref()).await?))
}

/// Pushes what an override runs, merged onto the branch that its component follows, as a branch for others to merge.
#[utoipa::path(
    post, path = "/api/v1/environments/{namespace}/{name}/propose", tag = "copies", operation_id = "propose",
    request_body = ProposeRequest, params(("namespace" = String, Path), ("name" = String, Path)),
    responses(
        (status = 200, body = ProposeAnswer),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn propose(
    State(app): State<Arc<App>>,
    person: Person,
    Path(at): Path<(String, String)>,
    body: Body,
) -> Result<Json<ProposeAnswer>, Problem> {
    let asked: ProposeRequest = request::body(body)?;
    let key = request::key(at.0, at.1)?;
    audit::must(&app, &person, Verb::Update, &key).await?;
    let component = match asked.component.clone() {
        Some(component) => component,
        None => only_override(&app, &key)?,
    };
    let name = person.identity.name.clone();
    let proposer = Proposer {
        email: asked
            .email
            .clone()
            .unwrap_or_else(|| format!("{}@localhost", name.replace(|c: char| !c.is_alphanumeric(), "-"))),
        message: asked.message.clone().unwrap_or_default(),
        name: name.clone(),
    };
    let proposed = app.sync.propose(&key, &component, proposer).await?;
    let detail = json!({"component": component, "branch": proposed.branch, "commit": proposed.commit,
                        "base": proposed.base, "repo": proposed.repo});
    audit::write_detail(&app, &person, "propose", &key, "succeeded", detail).await?;
    let mut proposal =
        Proposal { branch: proposed.branch.clone(), commit: proposed.commit.clone(), url: None };
    note(&person, &key, &component, &proposal).await?;
    let mut effects = Vec::new();
    for environment in app.sync.concerned(&key)? {
        if person.may(Verb::Get, &environment.namespace, &environment.name).await? {
            effects.push(app.sync.effect(&environment, &proposed).await);
        }
    }
    let title = title(&asked.message, &component, &key);
    // What was pushed is there, whatever the forge does.
    let (merge_request, problem) =
        match app.sync.request_merge(&key, &name, &title, &proposed, &effects).await {
            Ok(url) => (url, None),
            Err(error) => (None, Some(error.to_string())),
        };
    if merge_request.is_some() {
        proposal.url.clone_from(&merge_request);
        note(&person, &key, &component, &proposal).await?;
    }
    Ok(Json(ProposeAnswer { proposed, effects, merge_request, problem }))
}

/// Keeps with an override where it was handed back.
async fn note(
    person: &Person,
    key: &EnvironmentKey,
    component: &str,
    proposal: &Proposal,
) -> Result<(), Problem> {
    let noted = change(person, key, |spec| {
        if let Some(one) = spec.overrides.iter_mut().find(|one| one.component == component) {
            one.proposal = Some(proposal.clone());
        }
        Ok(json!({"overrides": spec.overrides}))
    });
    noted.await.map(drop)
}

/// The first line of what the person says, or what is proposed.
fn title(message: &Option<String>, component: &str, key: &EnvironmentKey) -> String {
    let first = message.as_deref().and_then(|message| message.trim().lines().next());
    let first = first.filter(|line| !line.is_empty());
    first.map_or_else(|| format!("Propose {component} of {key}"), str::to_owned)
}

fn only_override(app: &App, key: &EnvironmentKey) -> Result<String, Problem> {
    let overrides = app.sync.show(key)?.overrides;
    let mut active = overrides.iter().filter(|one| one.active).map(|one| one.spec.component.clone());
    match (active.next(), active.next()) {
        (Some(only), None) => Ok(only),
        (None, _) => Err(Problem::conflict(format!("{key} has no override: there is nothing to propose"))),
        (Some(_), Some(_)) => {
            Err(Problem::bad_request(format!("{key} has several overrides: name the component")))
        }
    }
}

/// Keeps an environment until another time, or for ever.
#[utoipa::path(
    post, path = "/api/v1/environments/{namespace}/{name}/extend", tag = "copies", operation_id = "extend",
    request_body = ExtendRequest, params(("namespace" = String, Path), ("name" = String, Path)),
    responses(
        (status = 200, body = Lifetime),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn extend(
    State(app): State<Arc<App>>,
    person: Person,
    Path(at): Path<(String, String)>,
    body: Body,
) -> Result<Json<Lifetime>, Problem> {
    let asked: ExtendRequest = request::body(body)?;
    let key = request::key(at.0, at.1)?;
    audit::must(&app, &person, Verb::Update, &key).await?;
    if asked.expires.is_some_and(|expires| expires <= Timestamp::now()) {
        return Err(Problem::unprocessable("that time is over").help("`seaway env delete` deletes it now"));
    }
    let expires = asked.expires.map(|expires| expires.to_string());
    change(&person, &key, |_| Ok(json!({"expires": expires}))).await?;
    audit::write_detail(&app, &person, "extend", &key, "succeeded", json!({"expires": expires})).await?;
    Ok(Json(Lifetime { expires }))
}

/// `NAMESPACE/NAME`, or a name among the shared environments.
fn place(text: &str) -> Result<EnvironmentKey, Problem> {
    let (namespace, name) = text.split_once('/').unwrap_or((seaway_api::SHARED_NAMESPACE, text));
    request::key(namespace.to_owned(), name.to_owned())
}

fn environments(person: &Person, key: &EnvironmentKey) -> Api<Environment> {
    Api::namespaced(person.client.clone(), &key.namespace)
}

/// Changes an Environment as the person who asks: `change` gives the fields of the spec, from what stands there now.
async fn change(
    person: &Person,
    key: &EnvironmentKey,
    change: impl Fn(&mut EnvironmentSpec) -> Result<Value, Problem>,
) -> Result<EnvironmentSpec, Problem> {
    let api = environments(person, key);
    let parameters = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    for _ in 0..ATTEMPTS {
        let present = api.get(&key.name).await.map_err(Problem::from_kubernetes)?;
        let mut spec = present.spec;
        let fields = change(&mut spec)?;
        let patch =
            json!({"metadata": {"resourceVersion": present.metadata.resource_version}, "spec": fields});
        match api.patch(&key.name, &parameters, &Patch::Merge(patch)).await {
            Ok(changed) => return Ok(changed.spec),
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => return Err(Problem::from_kubernetes(error)),
        }
    }
    Err(Problem::conflict(format!("{key} is being changed by others: try again")))
}
