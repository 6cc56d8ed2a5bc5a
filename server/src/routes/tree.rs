//! What an environment consists of, down to its pods.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};

use super::{App, audit, request};
use crate::authorization::Person;
use crate::insight::tree::{Tree, build};
use crate::permissions::Verb;
use crate::problem::Problem;
use crate::reading::{self, ENDPOINT_SLICES, JOBS, PODS, REPLICA_SETS};

/// The objects of an environment with what they own, and where it can be opened.
#[utoipa::path(
    get, path = "/api/v1/environments/{namespace}/{name}/tree", tag = "environments",
    params(("namespace" = String, Path), ("name" = String, Path)),
    responses((status = 200, body = Tree), (status = "4XX", body = Problem, content_type = "application/problem+json")),
)]
pub(super) async fn tree(
    State(app): State<Arc<App>>,
    person: Person,
    Path((namespace, name)): Path<(String, String)>,
) -> Result<Json<Tree>, Problem> {
    let key = request::key(namespace, name)?;
    audit::must(&app, &person, Verb::Get, &key).await?;
    let detail = app.sync.show(&key)?;
    let (mut listed, mut hidden) = (Vec::new(), Vec::new());
    for namespace in app.sync.namespaces(&key)? {
        for what in [REPLICA_SETS, JOBS, PODS, ENDPOINT_SLICES] {
            match reading::list(&person.client, what, &namespace, None).await? {
                Some(found) => listed.extend(found),
                None => hidden.push(format!("you may not list {} in namespace {namespace}", what.plural)),
            }
        }
    }
    let rules = app.sync.health_rules(&key)?;
    let mut tree = build(&detail, |id| app.sync.observed(id), &rules, &listed, app.gateway_port);
    tree.hidden = hidden;
    Ok(Json(tree))
}
