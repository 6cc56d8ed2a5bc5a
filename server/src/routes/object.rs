//! One object: as it is, as Git says, who set what, and what happened to it.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use seaway_object::identity;
use seaway_sync::ownership::{Operation, Ownership};
use seaway_sync::plan::{Action, FieldChange, ObjectRef, PlannedObject};
use seaway_sync::view::EnvironmentKey;
use seaway_sync::{Health, HealthStatus};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::{App, audit, request};
use crate::authorization::Person;
use crate::insight::pods::event_time;
use crate::permissions::Verb;
use crate::problem::Problem;
use crate::reading;

/// More events of one object are not shown; the latest are.
const MAX_EVENTS: usize = 100;

/// Which object.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ObjectQuery {
    /// Its API group; absent or empty for the core group.
    #[serde(default)]
    group: String,
    /// The version of its API.
    version: String,
    /// Its kind.
    kind: String,
    /// Its namespace, when it lies in one.
    namespace: Option<String>,
    /// Its name.
    name: String,
}

impl ObjectQuery {
    fn object(self) -> Result<ObjectRef, Problem> {
        let Self { group, version, kind, namespace, name } = self;
        let namespace = namespace.filter(|namespace| !namespace.is_empty());
        let parts = [("version", &version), ("kind", &kind), ("name", &name)];
        for (what, text) in parts.into_iter().chain(namespace.iter().map(|text| ("namespace", text))) {
            request::segment(what, text)?;
        }
        if !group.is_empty() {
            request::segment("group", &group)?;
        }
        Ok(ObjectRef { group, version, kind, namespace, name })
    }
}

/// An object in detail.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ObjectDetail {
    /// Which.
    #[schema(schema_with = crate::schemas::object_ref_schema)]
    pub(super) object: ObjectRef,
    /// Whether it is in Git, and not made by another object.
    pub(super) managed: bool,
    /// How well it does.
    #[schema(schema_with = crate::schemas::health_ref)]
    pub(super) health: HealthStatus,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) message: String,
    /// The component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) component: Option<String>,
    /// Where it is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = crate::schemas::origin_ref)]
    pub(super) origin: Option<seaway_sync::desired::Origin>,
    /// What the next sync does to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = crate::schemas::action_ref)]
    pub(super) action: Option<Action>,
    /// What differs between Git and the cluster.
    #[schema(schema_with = crate::schemas::list_of_changes)]
    pub(super) fields: Vec<FieldChange>,
    /// As it is, in YAML; secret values are hashes. Absent while it is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) live: Option<String>,
    /// As Git says, in YAML; secret values are hashes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) desired: Option<String>,
    /// Who set which fields.
    pub(super) owners: Vec<FieldOwner>,
    /// What happened to it, the latest first.
    pub(super) events: Vec<ObjectEvent>,
}

/// A field manager with its fields.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct FieldOwner {
    /// The field manager.
    pub(super) manager: String,
    /// `Apply` keeps them so, `Update` changed them once.
    #[schema(schema_with = crate::schemas::operation)]
    pub(super) operation: Operation,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) time: Option<String>,
    /// The fields, as Kubernetes prints them.
    pub(super) fields: Vec<String>,
}

/// An event about an object.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ObjectEvent {
    /// When it was seen last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub(super) time: Option<jiff::Timestamp>,
    /// `Normal` or `Warning`.
    #[serde(rename = "type")]
    pub(super) kind: String,
    /// Why, in one word.
    pub(super) reason: String,
    /// What happened.
    pub(super) message: String,
    /// How often.
    pub(super) count: i64,
    /// Who says so.
    pub(super) source: String,
}

/// One object of an environment: as it is now, as Git says, who set what, and its events. It is read as the person who
/// asks.
#[utoipa::path(
    get, path = "/api/v1/environments/{namespace}/{name}/object", tag = "environments",
    params(("namespace" = String, Path, description = "Namespace of the environment"),
           ("name" = String, Path, description = "Name of the environment"), ObjectQuery),
    responses((status = 200, body = ObjectDetail), (status = "4XX", body = Problem, content_type = "application/problem+json")),
)]
pub(super) async fn object(
    State(app): State<Arc<App>>,
    person: Person,
    Path((namespace, name)): Path<(String, String)>,
    query: Result<Query<ObjectQuery>, QueryRejection>,
) -> Result<Json<ObjectDetail>, Problem> {
    let key = request::key(namespace, name)?;
    let object = request::query(query)?.object()?;
    audit::must(&app, &person, Verb::Get, &key).await?;
    let planned = app.sync.desired(&key, &object.id())?;
    belongs(&app, &key, &object, planned.as_ref())?;
    let live = reading::get(&person.client, &object).await?;
    let Some(shown) = live.as_ref().or(planned.as_ref().and_then(|planned| planned.value.as_ref())) else {
        return Err(Problem::not_found(format!("{} is not there", object.id())));
    };
    let found = match &live {
        Some(live) => app.sync.health_rules(&key)?.health(live),
        None => Health { status: HealthStatus::Missing, message: "is not there".into() },
    };
    let events = match (&object.namespace, identity::uid(shown)) {
        (Some(namespace), Some(uid)) => {
            let fields = format!("involvedObject.uid={uid}");
            reading::events(&person.client, namespace, &fields).await?.iter().map(event).collect()
        }
        _ => Vec::new(),
    };
    let owners = live.as_ref().map(Ownership::of).unwrap_or_default();
    let mut detail = ObjectDetail {
        object,
        managed: planned.is_some(),
        health: found.status,
        message: found.message,
        component: None,
        origin: None,
        action: None,
        fields: Vec::new(),
        live: live.map(|live| manifest(&app, live)),
        desired: None,
        owners: owners
            .fields_by_owner()
            .map(|(owner, fields)| FieldOwner {
                manager: owner.manager.clone(),
                operation: owner.operation,
                time: owner.time.clone(),
                fields,
            })
            .collect(),
        events,
    };
    detail.events.sort_by_key(|event| std::cmp::Reverse(event.time));
    detail.events.truncate(MAX_EVENTS);
    if let Some(planned) = planned {
        detail.component = Some(planned.component).filter(|component| !component.is_empty());
        detail.origin = planned.origin;
        detail.action = Some(planned.action);
        detail.fields = planned.fields;
        detail.desired = planned.value.map(|value| manifest(&app, value));
        if !planned.message.is_empty() {
            detail.message = planned.message;
        }
    }
    Ok(Json(detail))
}

/// The page of an environment shows what belongs to it; for anything else there is kubectl.
fn belongs(
    app: &App,
    key: &EnvironmentKey,
    object: &ObjectRef,
    planned: Option<&PlannedObject>,
) -> Result<(), Problem> {
    let namespaces = app.sync.namespaces(key)?;
    match &object.namespace {
        Some(namespace) if namespaces.contains(namespace) => Ok(()),
        _ if planned.is_some() => Ok(()),
        _ => Err(Problem::not_found(format!("{} is no object of environment {key}", object.id()))),
    }
}

fn manifest(app: &App, mut object: Value) -> String {
    app.sync.redact(&mut object);
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        // They are shown as owners, where people can read them.
        metadata.remove("managedFields");
    }
    seaway_object::yaml::to_string(&object)
}

fn event(event: &Value) -> ObjectEvent {
    let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty());
    let count = |pointer: &str| event.pointer(pointer).and_then(Value::as_i64);
    ObjectEvent {
        time: event_time(event),
        kind: text("/type").unwrap_or("Normal").to_owned(),
        reason: text("/reason").unwrap_or_default().to_owned(),
        message: text("/message").unwrap_or_default().to_owned(),
        count: count("/series/count").or(count("/count")).unwrap_or(1),
        source: text("/reportingComponent").or(text("/source/component")).unwrap_or_default().to_owned(),
    }
}
