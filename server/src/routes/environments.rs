//! What environments there are, how they do, what would change, and what has happened.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use seaway_sync::view::{EnvironmentDetail, EnvironmentView, SyncRecord};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{App, audit, request};
use crate::authorization::Person;
use crate::permissions::Verb;
use crate::problem::Problem;
use crate::schemas::{CLASSES, HEALTH_STATUSES, SYNC_STATUSES};

/// Elements of a page when nothing is asked for.
const PAGE: usize = 100;
/// Most elements of a page.
const LARGEST_PAGE: usize = 500;
/// Characters of a wrong value that are said again.
const LONGEST_SHOWN: usize = 100;

/// Which environments, and how many at once.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Those of this namespace.
    namespace: Option<String>,
    /// Those of this name.
    name: Option<String>,
    /// Those of this class, in any case.
    #[param(schema_with = crate::schemas::class_schema)]
    class: Option<String>,
    /// Those of this stack.
    stack: Option<String>,
    /// Those in this state, in any case.
    #[param(schema_with = crate::schemas::sync_status_schema)]
    sync: Option<String>,
    /// Those in this health, in any case.
    #[param(schema_with = crate::schemas::health_schema)]
    health: Option<String>,
    /// Those whose namespace, name, stack, release, revision, message or who deployed them holds this text, in any case.
    search: Option<String>,
    /// Elements of a page, at most 500.
    #[param(minimum = 1, maximum = 500, default = 100)]
    limit: Option<usize>,
    /// `continue` of the page before.
    #[serde(rename = "continue")]
    after: Option<String>,
    /// In place of `continue`: so many are left out before the page, as for a window of a long list.
    offset: Option<usize>,
}

impl ListQuery {
    /// Values that no environment can have are told: an empty list would say that there is none.
    fn check(&mut self) -> Result<(), Problem> {
        for (field, value, known) in [
            ("class", &mut self.class, &CLASSES[..]),
            ("sync", &mut self.sync, &SYNC_STATUSES[..]),
            ("health", &mut self.health, &HEALTH_STATUSES[..]),
        ] {
            let Some(text) = value.as_deref() else { continue };
            let Some(meant) = known.iter().find(|known| known.eq_ignore_ascii_case(text)) else {
                let shown: String = text.chars().take(LONGEST_SHOWN).collect();
                let detail = format!("{field}: {shown:?} is none of {}", known.join(", "));
                return Err(Problem::bad_request(detail));
            };
            *value = Some((*meant).to_owned());
        }
        Ok(())
    }

    fn matches(&self, environment: &EnvironmentView) -> bool {
        let is =
            |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
        is(&self.namespace, &environment.namespace)
            && is(&self.name, &environment.name)
            && is(&self.class, &environment.class)
            && is(&self.stack, &environment.stack)
            && is(&self.sync, environment.sync.as_str())
            && is(&self.health, environment.health.as_str())
            && self.search.as_deref().is_none_or(|text| holds(environment, text))
    }
}

/// `text` is in small letters.
fn holds(environment: &EnvironmentView, text: &str) -> bool {
    let EnvironmentView { namespace, name, stack, release, revision, message, deployed, .. } = environment;
    let deployed = deployed.as_ref();
    [namespace, name, stack, message]
        .into_iter()
        .chain(release)
        .chain(revision)
        .chain(deployed.map(|deployed| &deployed.actor))
        .chain(deployed.and_then(|deployed| deployed.author.as_ref()))
        .any(|field| contains(field, text))
}

/// Whether a text holds another one, which is in small letters, in any case. Of ten thousand lines most are ASCII: those
/// need no copy.
fn contains(field: &str, text: &str) -> bool {
    if !field.is_ascii() {
        return field.to_lowercase().contains(text);
    }
    let (field, text) = (field.as_bytes(), text.as_bytes());
    text.is_empty() || field.windows(text.len()).any(|part| part.eq_ignore_ascii_case(text))
}

/// A page of environments.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnvironmentList {
    /// The environments, by namespace and name.
    #[schema(schema_with = crate::schemas::list_of_environments)]
    pub items: Vec<EnvironmentView>,
    /// Asks for the next page; absent on the last one.
    #[serde(rename = "continue", default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// How many there are on all pages.
    #[serde(default)]
    pub total: usize,
}

/// The environments that the person may see.
#[utoipa::path(
    get, path = "/api/v1/environments", tag = "environments", params(ListQuery),
    responses((status = 200, body = EnvironmentList), (status = "4XX", body = Problem, content_type = "application/problem+json")),
)]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    person: Person,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<EnvironmentList>, Problem> {
    let mut query = request::query(query)?;
    query.check()?;
    query.search = query.search.map(|text| text.to_lowercase());
    let limit = page(query.limit)?;
    let after = query.after.as_deref().map(position).transpose()?;
    let mut reach = person.reach(Verb::List).await?;
    let mut all: Vec<EnvironmentView> =
        app.sync.list().into_iter().filter(|environment| query.matches(environment)).collect();
    all.sort_by(|a, b| place(a).cmp(&place(b)));
    let offset = query.offset.unwrap_or_default();
    let (mut items, mut next, mut total) = (Vec::new(), None, 0);
    for environment in all {
        if !reach.contains(&environment).await? {
            continue;
        }
        total += 1;
        let place = place(&environment);
        let before =
            total <= offset || after.as_ref().is_some_and(|(namespace, name)| place <= (namespace, name));
        match (before, items.len() == limit) {
            (true, _) => {}
            (false, false) => items.push(environment),
            (false, true) => next = items.last().map(mark),
        }
    }
    Ok(Json(EnvironmentList { items, next, total }))
}

fn page(limit: Option<usize>) -> Result<usize, Problem> {
    match limit.unwrap_or(PAGE) {
        0 => Err(Problem::bad_request("limit is at least 1")),
        limit => Ok(limit.min(LARGEST_PAGE)),
    }
}

fn place(environment: &EnvironmentView) -> (&str, &str) {
    (&environment.namespace, &environment.name)
}

/// The mark of a page's end: the place of its last element. Names hold no `/`.
fn mark(last: &EnvironmentView) -> String {
    URL_SAFE_NO_PAD.encode(format!("{}/{}", last.namespace, last.name))
}

fn position(mark: &str) -> Result<(String, String), Problem> {
    let bytes = URL_SAFE_NO_PAD.decode(mark).ok();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    let place = text.as_deref().and_then(|text| text.split_once('/'));
    let (namespace, name) = place.ok_or_else(|| {
        Problem::bad_request("continue is not that of a page before").help("begin again without it")
    })?;
    Ok((namespace.to_owned(), name.to_owned()))
}

/// Everything about one environment.
#[utoipa::path(
    get, path = "/api/v1/environments/{namespace}/{name}", tag = "environments",
    params(("namespace" = String, Path), ("name" = String, Path)),
    responses(
        (status = 200, body = ref("#/components/schemas/EnvironmentDetail")),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn show(
    State(app): State<Arc<App>>,
    person: Person,
    Path((namespace, name)): Path<(String, String)>,
) -> Result<Json<EnvironmentDetail>, Problem> {
    let key = request::key(namespace, name)?;
    audit::must(&app, &person, Verb::Get, &key).await?;
    Ok(Json(app.sync.show(&key)?))
}

/// What the person who asks may do with one environment, by whatever gives the right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Rights {
    /// Bring it to what Git says.
    pub sync: bool,
    /// Bring it to an earlier release.
    pub rollback: bool,
    /// Keep a release out of it.
    pub hold: bool,
    /// Suspend and resume it.
    pub update: bool,
    /// Delete it.
    pub delete: bool,
}

/// What the person may do with an environment. The rest of the API decides by the same rules.
#[utoipa::path(
    get, path = "/api/v1/environments/{namespace}/{name}/rights", tag = "environments",
    params(("namespace" = String, Path), ("name" = String, Path)),
    responses((status = 200, body = Rights), (status = "4XX", body = Problem, content_type = "application/problem+json")),
)]
pub(super) async fn rights(
    State(app): State<Arc<App>>,
    person: Person,
    Path((namespace, name)): Path<(String, String)>,
) -> Result<Json<Rights>, Problem> {
    let key = request::key(namespace, name)?;
    audit::must(&app, &person, Verb::Get, &key).await?;
    let known = app.sync.line(&key);
    let may = |verb| person.may_with(verb, &key, known.as_ref());
    let (sync, rollback, hold, update, delete) = futures::try_join!(
        may(Verb::Sync),
        may(Verb::Rollback),
        may(Verb::Hold),
        may(Verb::Update),
        may(Verb::Delete),
    )?;
    Ok(Json(Rights { sync, rollback, hold, update, delete }))
}

/// Which revision.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PlanQuery {
    /// Branch, tag or commit that takes the place of the one that is followed; absent: what the next sync would do.
    #[param(min_length = 1)]
    revision: Option<String>,
    /// What the end of the environment would delete, what it would leave, and the hooks that would run.
    deletion: bool,
}

/// What a sync would do, of what is followed or of another revision. Nothing is changed.
#[utoipa::path(
    get, path = "/api/v1/environments/{namespace}/{name}/plan", tag = "environments",
    params(("namespace" = String, Path), ("name" = String, Path), PlanQuery),
    responses(
        (status = 200, body = ref("#/components/schemas/Plan")),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn plan(
    State(app): State<Arc<App>>,
    person: Person,
    Path((namespace, name)): Path<(String, String)>,
    query: Result<Query<PlanQuery>, QueryRejection>,
) -> Result<Json<seaway_sync::plan::Plan>, Problem> {
    let key = request::key(namespace, name)?;
    let query = request::query(query)?;
    if query.revision.as_deref() == Some("") {
        let problem = Problem::bad_request("revision: it is empty");
        return Err(problem.help("name a branch, a tag or a commit, or leave it out"));
    }
    audit::must(&app, &person, Verb::Get, &key).await?;
    if query.deletion {
        return Ok(Json(app.sync.deletion(&key).await?));
    }
    Ok(Json(app.sync.plan(&key, query.revision.as_deref()).await?))
}

/// How much of the history.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct HistoryQuery {
    /// Elements of a page, at most 500.
    #[param(minimum = 1, maximum = 500, default = 100)]
    limit: Option<usize>,
    /// Those before this id: `continue` of the page before.
    #[serde(rename = "continue")]
    before: Option<u64>,
}

/// A page of the history.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct History {
    /// The syncs, the latest first.
    #[schema(schema_with = crate::schemas::list_of_syncs)]
    pub items: Vec<SyncRecord>,
    /// Asks for the next page; absent on the last one.
    #[serde(rename = "continue", default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// The syncs of an environment, the latest first.
#[utoipa::path(
    get, path = "/api/v1/environments/{namespace}/{name}/history", tag = "environments",
    params(("namespace" = String, Path), ("name" = String, Path), HistoryQuery),
    responses((status = 200, body = History), (status = "4XX", body = Problem, content_type = "application/problem+json")),
)]
pub(super) async fn history(
    State(app): State<Arc<App>>,
    person: Person,
    Path((namespace, name)): Path<(String, String)>,
    query: Result<Query<HistoryQuery>, QueryRejection>,
) -> Result<Json<History>, Problem> {
    let key = request::key(namespace, name)?;
    let query = request::query(query)?;
    let limit = page(query.limit)?;
    audit::must(&app, &person, Verb::Get, &key).await?;
    let mut items = app.sync.history(&key, usize::MAX)?;
    items.retain(|record| query.before.is_none_or(|before| record.id < before));
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(|record| record.id);
    Ok(Json(History { items, next }))
}
