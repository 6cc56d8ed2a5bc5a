//! The `scale` subresource: an object's replicas as an autoscaling/v1 Scale.
//!
//! Who writes it comes to own the replicas of the object itself, as a manager of the subresource `scale`.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use seaway_merge::managed::{self, ApplyError, Conflict};
use seaway_merge::schema;
use serde_json::{Value, json};

use super::commit::write_object;
use super::decode::parse;
use super::patch::{ACCEPTED, APPLY, apply_error, fits, insists, is_ownership, with_manager, without_force};
use super::write::{self, Operation, Request, update_with};
use super::{answer_value, value_of};
use crate::api::{Context, media_type};
use crate::negotiation::Body;
use crate::status::{ApiError, Cause, Result};
use crate::store::Entry;

const SCALE: (&str, &str) = ("autoscaling/v1", "Scale");

/// Where the numbers of a Scale are in the object.
pub(super) struct ScalePaths {
    pub(super) spec_replicas: String,
    pub(super) status_replicas: String,
    pub(super) selector: Option<String>,
}

fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    path.split('.').filter(|p| !p.is_empty()).fold(value, |v, part| &v[part])
}

fn set_at(value: &mut Value, path: &str, to: Value) {
    let mut slot = value;
    for part in path.split('.').filter(|p| !p.is_empty()) {
        if !slot.is_object() {
            *slot = json!({});
        }
        slot = &mut slot[part];
    }
    *slot = to;
}

/// The autoscaling/v1 Scale of an object.
fn scale_of(object: &Value, paths: &ScalePaths) -> Value {
    let metadata = &object["metadata"];
    let mut scale = json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {"name": metadata["name"], "uid": metadata["uid"],
                     "resourceVersion": metadata["resourceVersion"],
                     "creationTimestamp": metadata["creationTimestamp"]},
        "spec": match at(object, &paths.spec_replicas).as_i64().unwrap_or(0) {
            0 => json!({}),
            replicas => json!({"replicas": replicas}),
        },
        "status": {"replicas": at(object, &paths.status_replicas).as_i64().unwrap_or(0)},
    });
    if metadata["namespace"].is_string() {
        scale["metadata"]["namespace"] = metadata["namespace"].clone();
    }
    let selector = match &paths.selector {
        Some(path) if at(object, path).is_string() => at(object, path).as_str().map(str::to_owned),
        _ => seaway_object::selector::LabelSelector::from_value(&object["spec"]["selector"])
            .ok()
            .map(|s| s.to_string()),
    };
    if let Some(selector) = selector.filter(|s| !s.is_empty()) {
        scale["status"]["selector"] = selector.into();
    }
    scale
}

/// get, update and patch of the Scale.
pub(super) async fn scale(
    context: &Context,
    method: &Method,
    body: &Bytes,
    paths: &ScalePaths,
) -> Result<Response<Body>> {
    let old = scaled(context)?;
    let current = || scale_of(&value_of(&context.served, &old), paths);
    if context.served.custom.is_some()
        && matches!(*method, Method::GET | Method::HEAD)
        && at(&value_of(&context.served, &old), &paths.spec_replicas).is_null()
    {
        return Err(ApiError::internal(format!(
            "the spec replicas field {:?} does not exist",
            paths.spec_replicas
        )));
    }
    let wanted = match *method {
        Method::GET | Method::HEAD => return Ok(answer_value(context, StatusCode::OK, current())),
        Method::PUT => parse(media_type(&context.headers), body)?.0,
        Method::PATCH if media_type(&context.headers) == APPLY => {
            let entry = apply(context, body, paths).await?;
            let scale = scale_of(&value_of(&context.served, &entry), paths);
            return Ok(answer_value(context, StatusCode::OK, scale));
        }
        Method::PATCH if !ACCEPTED.contains(&media_type(&context.headers)) => {
            return Err(ApiError::unsupported_media_type(&ACCEPTED));
        }
        Method::PATCH => {
            without_force(context)?;
            let patch: Value = serde_json::from_slice(body)
                .map_err(|e| ApiError::bad_request(format!("error decoding patch: {e}")))?;
            let patched = match media_type(&context.headers) {
                "application/json-patch+json" => seaway_merge::patch::json_patch(&current(), &patch),
                _ => seaway_merge::patch::merge_patch(&current(), &patch),
            };
            patched.map_err(|e| ApiError::bad_request(e.to_string()))?
        }
        _ => return Err(ApiError::method_not_allowed()),
    };
    check_scale(context, method, &wanted)?;
    let replicas = replicas(context, &wanted)?;
    let insists = *method == Method::PUT;
    let request = Request::of(context, Operation::Update)?;
    let entry = update_with(&request, old.clone(), |object| {
        let mut object = object.clone();
        set_at(&mut object, &paths.spec_replicas, replicas.into());
        let revision = &wanted["metadata"]["resourceVersion"];
        if let Some(metadata) = object["metadata"].as_object_mut() {
            if insists && revision.as_str().is_some_and(|r| !r.is_empty()) {
                metadata.insert("resourceVersion".into(), revision.clone());
            } else {
                metadata.remove("resourceVersion");
            }
        }
        Ok(object)
    })
    .await?;
    Ok(answer_value(context, StatusCode::OK, scale_of(&value_of(&context.served, &entry), paths)))
}

/// What is scaled.
fn scaled(context: &Context) -> Result<Arc<Entry>> {
    context.stored()?.ok_or_else(|| match context.served.custom {
        Some(_) => context.not_found(),
        None => {
            let plural = format!("{}/scale", context.served.plural());
            ApiError::not_found(context.served.group(), &plural, &context.path.name)
        }
    })
}

/// The replicas of a Scale that was checked.
fn replicas(context: &Context, scale: &Value) -> Result<i64> {
    let replicas = scale["spec"]["replicas"].as_i64().unwrap_or(0);
    if replicas >= 0 {
        return Ok(replicas);
    }
    let cause = Cause {
        reason: "FieldValueInvalid",
        message: format!("Invalid value: {replicas}: must be greater than or equal to 0"),
        field: "spec.replicas".into(),
    };
    Err(ApiError::invalid("autoscaling", "Scale", &context.path.name, vec![cause]))
}

/// Server-side apply of a Scale: an apply of the object's replicas by a manager of the subresource.
async fn apply(context: &Context, body: &Bytes, paths: &ScalePaths) -> Result<Arc<Entry>> {
    with_manager(context)?;
    let (scale, _) = parse(APPLY, body)?;
    if scale["apiVersion"].as_str().unwrap_or_default() != SCALE.0 {
        return Err(ApiError::bad_request(format!(
            "Incorrect version specified in apply patch. Specified patch version: {}, expected: {}",
            scale["apiVersion"].as_str().unwrap_or_default(),
            SCALE.0
        )));
    }
    let kind = scale["kind"].as_str().unwrap_or_default();
    if kind != SCALE.1 {
        return Err(ApiError::plain(format!(
            "failed to merge config: expected objects of the same type, but got {kind} and {}",
            SCALE.1
        )));
    }
    if let Some(schema) = schema::for_kind("autoscaling", "v1", SCALE.1) {
        fits(context, &scale, &schema, SCALE)?;
    }
    check_scale(context, &Method::PATCH, &scale)?;
    let wanted = replicas(context, &scale)?;
    let owns = !scale["spec"]["replicas"].is_null();
    let force = context.query.flag("force");
    for _ in 0..16 {
        let old = scaled(context)?;
        if insists(&scale) && scale["metadata"]["resourceVersion"] != old.revision.to_string().as_str() {
            return Err(write::modified(&context.served, &old));
        }
        match apply_once(context, &old, &scale, owns.then_some(wanted), paths, force).await {
            // Somebody else was faster: merge again with what is there now.
            Err(e) if e.reason == "Conflict" && !is_ownership(&e) && !insists(&scale) => {}
            other => return other,
        }
    }
    Err(ApiError::modified(context.served.group(), context.served.plural(), &context.path.name))
}

async fn apply_once(
    context: &Context,
    old: &Arc<Entry>,
    scale: &Value,
    replicas: Option<i64>,
    paths: &ScalePaths,
    force: bool,
) -> Result<Arc<Entry>> {
    let served = &context.served;
    let live = value_of(served, old);
    let mut applied = json!({"apiVersion": served.api_version(), "kind": served.kind(),
        "metadata": {"name": live["metadata"]["name"], "managedFields": scale["metadata"]["managedFields"]}});
    if served.resource.namespaced {
        applied["metadata"]["namespace"] = live["metadata"]["namespace"].clone();
    }
    if let Some(replicas) = replicas {
        set_at(&mut applied, &paths.spec_replicas, replicas.into());
    }
    let mut request = Request::of(context, Operation::Update)?;
    let mut merged = managed::apply(Some(&live), &applied, &served.schema, &request.ownership(), force)
        .map_err(|e| apply_error(&of_scale(e)))?;
    // Who no longer applies replicas leaves a Scale without any: that is none, and not the object's default.
    if at(&merged, &paths.spec_replicas).is_null() && !at(&live, &paths.spec_replicas).is_null() {
        set_at(&mut merged, &paths.spec_replicas, 0.into());
    }
    request.owned = true;
    write_object(&request, Some((old, live)), merged).await
}

/// Conflicts about the object's replicas, as those of the Scale that was sent.
fn of_scale(error: ApplyError) -> ApplyError {
    let seen = |conflict: Conflict| Conflict {
        api_version: SCALE.0.to_owned(),
        field: ".spec.replicas".to_owned(),
        ..conflict
    };
    match error {
        ApplyError::Conflict(conflicts) => ApplyError::Conflict(conflicts.into_iter().map(seen).collect()),
        other => other,
    }
}

/// Whether this is a Scale of the object in the path.
fn check_scale(context: &Context, method: &Method, wanted: &Value) -> Result<()> {
    let unreadable = |message: String| {
        if *method == Method::PATCH {
            let cause = Cause {
                reason: "FieldValueInvalid",
                message: format!("Invalid value: {:?}: {message}", wanted.to_string()),
                field: "patch".into(),
            };
            ApiError::invalid("", "", "", vec![cause])
        } else {
            ApiError::bad_request(message)
        }
    };
    let (version, kind) = (&wanted["apiVersion"], &wanted["kind"]);
    if (!kind.is_null() && kind != "Scale") || (!version.is_null() && version != "autoscaling/v1") {
        return Err(unreadable(format!("{kind} in version {version} cannot be handled as a Scale")));
    }
    let replicas = &wanted["spec"]["replicas"];
    if !replicas.is_null() && replicas.as_i64().is_none_or(|n| i32::try_from(n).is_err()) {
        return Err(unreadable(format!("spec.replicas: {replicas} is no whole number of 32 bits")));
    }
    match wanted["metadata"]["name"].as_str().unwrap_or_default() {
        name if name.is_empty() || name == context.path.name => Ok(()),
        name => Err(ApiError::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            context.path.name
        ))),
    }
}
