//! The `scale` subresource: an object's replicas as an autoscaling/v1 Scale.

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use serde_json::{Value, json};

use super::decode::parse;
use super::subresources::present;
use super::write::{Operation, Request, update_with};
use super::{answer_value, value_of};
use crate::api::{Context, media_type};
use crate::negotiation::Body;
use crate::status::{ApiError, Cause, Result};

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
    let old = present(context).map_err(|e| match context.served.custom {
        Some(_) => e,
        None => {
            let plural = format!("{}/scale", context.served.plural());
            ApiError::not_found(context.served.group(), &plural, &context.path.name)
        }
    })?;
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
        Method::PATCH => {
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
    let replicas = wanted["spec"]["replicas"].as_i64().unwrap_or(0);
    if replicas < 0 {
        let cause = Cause {
            reason: "FieldValueInvalid",
            message: format!("Invalid value: {replicas}: must be greater than or equal to 0"),
            field: "spec.replicas".into(),
        };
        return Err(ApiError::invalid("autoscaling", "Scale", &context.path.name, vec![cause]));
    }
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
