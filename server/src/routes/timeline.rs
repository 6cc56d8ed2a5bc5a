//! A sync, step by step.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use seaway_object::identity;
use seaway_sync::HealthRules;
use seaway_sync::steps::{Step, StepKind};
use seaway_sync::view::Timeline;
use serde::Deserialize;
use serde_json::Value;
use utoipa::IntoParams;

use super::{App, audit, request};
use crate::authorization::Person;
use crate::insight::pods;
use crate::permissions::Verb;
use crate::problem::Problem;
use crate::reading::{self, JOBS, PODS, REPLICA_SETS};

/// Kinds that make pods.
const WORKLOADS: [&str; 5] = ["Deployment", "StatefulSet", "DaemonSet", "Job", "ReplicaSet"];

/// Which sync.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct TimelineQuery {
    /// Its id; absent: the newest.
    sync: Option<u64>,
}

/// The steps of a sync, live while it goes on: fetched, rendered, compared, each wave with its objects, and the start of
/// their pods as long as those are there.
#[utoipa::path(
    get, path = "/api/v1/environments/{namespace}/{name}/timeline", tag = "environments",
    params(("namespace" = String, Path), ("name" = String, Path), TimelineQuery),
    responses(
        (status = 200, body = ref("#/components/schemas/Timeline")),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn timeline(
    State(app): State<Arc<App>>,
    person: Person,
    Path((namespace, name)): Path<(String, String)>,
    query: Result<Query<TimelineQuery>, QueryRejection>,
) -> Result<Json<Timeline>, Problem> {
    let key = request::key(namespace, name)?;
    let query = request::query(query)?;
    audit::must(&app, &person, Verb::Get, &key).await?;
    let mut timeline = app.sync.timeline(&key, query.sync).map_err(|error| match error {
        seaway_sync::Error::NoRelease(detail) => Problem::not_found(detail),
        other => other.into(),
    })?;
    let workload = |step: &Step| {
        let kind = step.object.as_ref().map(|object| object.kind.as_str());
        step.kind == StepKind::Object && kind.is_some_and(|kind| WORKLOADS.contains(&kind))
    };
    if timeline.steps.iter().any(workload) {
        let (mut listed, mut events) = (Vec::new(), Vec::new());
        for namespace in app.sync.namespaces(&key)? {
            for what in [REPLICA_SETS, JOBS, PODS] {
                listed
                    .extend(reading::list(&person.client, what, &namespace, None).await?.unwrap_or_default());
            }
            events.extend(reading::events(&person.client, &namespace, "involvedObject.kind=Pod").await?);
        }
        events.sort_by_key(pods::event_time);
        let rules = app.sync.health_rules(&key)?;
        let mut steps = Vec::with_capacity(timeline.steps.len());
        for step in std::mem::take(&mut timeline.steps) {
            let starts = match &step.object {
                Some(object) if workload(&step) => {
                    let live = app.sync.observed(&object.id());
                    let uid = live.as_deref().and_then(identity::uid).map(str::to_owned);
                    uid.map(|uid| starts(&step, &uid, &rules, &listed, &events, &timeline))
                        .unwrap_or_default()
                }
                _ => Vec::new(),
            };
            steps.push(step);
            steps.extend(starts);
        }
        timeline.steps = steps;
    }
    Ok(Json(timeline))
}

/// The start of the pods that came into being during a step.
fn starts(
    step: &Step,
    uid: &str,
    rules: &HealthRules,
    listed: &[Value],
    events: &[Value],
    timeline: &Timeline,
) -> Vec<Step> {
    let Some(since) = step.started else { return Vec::new() };
    let until = step.finished.or(timeline.finished);
    pods::of(uid, listed, since)
        .into_iter()
        .filter(|pod| {
            let made = pod.pointer("/metadata/creationTimestamp").and_then(Value::as_str);
            let made = made.and_then(|made| made.parse::<jiff::Timestamp>().ok());
            until.zip(made).is_none_or(|(until, made)| made <= until)
        })
        .flat_map(|pod| pods::steps(&step.id, pod, rules, events))
        .map(|mut part| {
            // Kubernetes' times have no fractions: what happened after the step began can seem to have been before.
            part.started = part.started.map(|time| time.max(since));
            part.finished = part.finished.map(|time| time.max(since));
            part
        })
        .collect()
}
