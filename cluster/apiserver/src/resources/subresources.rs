//! What lies below an object: status, binding, eviction, finalize, ephemeral containers; scale and tokens are beside.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use seaway_kinds::resources::Subresource;
use serde_json::json;

use super::commit::store_error;
use super::decode::{Decoded, decode, parse};
use super::delete::{Deletion, Outcome, delete_object};
use super::scale::{ScalePaths, scale};
use super::token::token;
use super::write::{self, Operation, Request, update_with};
use super::{answer, patch, value_of};
use crate::api::{Context, media_type};
use crate::negotiation::{self, Body};
use crate::status::{ApiError, Result};
use crate::store::Entry;

pub(super) async fn dispatch(context: Context, method: Method, body: Bytes) -> Result<Response<Body>> {
    if context.path.name.is_empty() || !context.path.rest.is_empty() {
        return Err(ApiError::no_such_resource());
    }
    let word = context.path.subresource.clone();
    let find = |wanted: fn(&Subresource) -> bool| {
        context
            .served
            .resource
            .subresources
            .iter()
            .find(|s| wanted(s))
            .cloned()
            .ok_or_else(ApiError::no_such_resource)
    };
    match word.as_str() {
        "status" => {
            find(|s| *s == Subresource::Status)?;
            through(&context, &method, &body, Operation::Status).await
        }
        "scale" => match find(|s| matches!(s, Subresource::Scale { .. }))? {
            Subresource::Scale { spec_replicas, status_replicas, selector } => {
                let paths = ScalePaths { spec_replicas, status_replicas, selector };
                scale(&context, &method, &body, &paths).await
            }
            _ => Err(ApiError::no_such_resource()),
        },
        "token" => {
            find(|s| *s == Subresource::Token)?;
            if method == Method::POST { token(&context, &body) } else { Err(ApiError::method_not_allowed()) }
        }
        "finalize" => {
            find(|s| *s == Subresource::Finalize)?;
            if method == Method::PUT {
                finalize(&context, &body).await
            } else {
                Err(ApiError::method_not_allowed())
            }
        }
        "binding" => {
            find(|s| *s == Subresource::Binding)?;
            if method == Method::POST {
                bind(&context, &body).await
            } else {
                Err(ApiError::method_not_allowed())
            }
        }
        "eviction" => {
            find(|s| *s == Subresource::Eviction)?;
            if method == Method::POST {
                evict(&context, &body).await
            } else {
                Err(ApiError::method_not_allowed())
            }
        }
        "log" => {
            find(|s| *s == Subresource::Log)?;
            if method == Method::GET {
                crate::streams::logs(&context).await
            } else {
                Err(ApiError::method_not_allowed())
            }
        }
        "resize" => {
            find(|s| *s == Subresource::Resize)?;
            through(&context, &method, &body, Operation::Resize).await
        }
        "ephemeralcontainers" => {
            find(|s| *s == Subresource::EphemeralContainers)?;
            through(&context, &method, &body, Operation::EphemeralContainers).await
        }
        "approval" => {
            find(|s| *s == Subresource::Approval)?;
            through(&context, &method, &body, Operation::Approval).await
        }
        _ => Err(ApiError::no_such_resource()),
    }
}

pub(super) fn present(context: &Context) -> Result<Arc<Entry>> {
    context.present()
}

/// get, update and patch of the whole object through an endpoint that owns a part of it.
async fn through(
    context: &Context,
    method: &Method,
    body: &Bytes,
    operation: Operation,
) -> Result<Response<Body>> {
    match *method {
        Method::GET | Method::HEAD => Ok(answer(context, StatusCode::OK, &present(context)?)),
        Method::PUT => {
            let old = present(context)?;
            let Decoded { mut value, warnings } = decode(context, body)?;
            write::place(context, &mut value)?;
            write::same_name(context, &mut value)?;
            let request = Request::of(context, operation)?;
            let entry = update_with(&request, old, |_| Ok(value.clone())).await?;
            let mut response = answer(context, StatusCode::OK, &entry);
            negotiation::warn(&mut response, &warnings);
            negotiation::warn(&mut response, &request.warnings.lock());
            Ok(response)
        }
        Method::PATCH => patch::patch_through(context, body, operation).await,
        _ => Err(ApiError::method_not_allowed()),
    }
}

/// namespaces/finalize: replaces `spec.finalizers`.
async fn finalize(context: &Context, body: &Bytes) -> Result<Response<Body>> {
    let old = present(context)?;
    let Decoded { mut value, .. } = decode(context, body)?;
    write::same_name(context, &mut value)?;
    let request = Request::of(context, Operation::Finalize)?;
    let entry = update_with(&request, old, |current| {
        let mut object = current.clone();
        object["spec"]["finalizers"] = value["spec"]["finalizers"].clone();
        object["metadata"]["resourceVersion"] = value["metadata"]["resourceVersion"].clone();
        Ok(object)
    })
    .await?;
    Ok(answer(context, StatusCode::OK, &entry))
}

/// `bindings`: the old way to `pods/binding`, with the pod's name in the body.
pub(super) async fn binding(mut context: Context, body: &Bytes) -> Result<Response<Body>> {
    let (binding, _) = parse(media_type(&context.headers), body)?;
    let Some(name) = binding["metadata"]["name"].as_str().filter(|name| !name.is_empty()) else {
        return Err(ApiError::bad_request("metadata.name: Required value: the pod that is bound"));
    };
    context.path.name = name.to_owned();
    context.served =
        context.api.catalog.now().find("", "v1", "pods").cloned().ok_or_else(ApiError::no_such_resource)?;
    bind(&context, body).await
}

/// pods/binding: what a scheduler decided.
async fn bind(context: &Context, body: &Bytes) -> Result<Response<Body>> {
    present(context)?;
    let (binding, _) = parse(media_type(&context.headers), body)?;
    let node = binding["target"]["name"].as_str().unwrap_or_default().to_owned();
    let kind = binding["target"]["kind"].as_str().unwrap_or("Node");
    if node.is_empty() || kind != "Node" {
        return Err(ApiError::plain("target.name: Required value"));
    }
    let request = Request { operation: Operation::Status, ..Request::of(context, Operation::Status)? };
    let served = &context.served;
    for _ in 0..16 {
        let entry = present(context)?;
        let mut pod = value_of(served, &entry);
        let taken = pod["spec"]["nodeName"].as_str().unwrap_or_default().to_owned();
        if !taken.is_empty() || entry.meta.deleting {
            let why = if taken.is_empty() {
                format!("pod {} is being deleted, cannot be assigned to a host", entry.key.name)
            } else {
                format!("pod {} is already assigned to node \"{taken}\"", entry.key.name)
            };
            return Err(ApiError::conflict("", "pods/binding", &entry.key.name, why));
        }
        pod["spec"]["nodeName"] = node.clone().into();
        let condition = json!({"type": "PodScheduled", "status": "True", "lastProbeTime": null,
                               "lastTransitionTime": crate::api::now()});
        match pod["status"]["conditions"].as_array_mut() {
            Some(conditions) => {
                conditions.retain(|c| c["type"] != "PodScheduled");
                conditions.push(condition);
            }
            None => pod["status"]["conditions"] = json!([condition]),
        }
        if request.dry_run {
            break;
        }
        let write = crate::store::Write {
            resource: served.storage.clone(),
            key: entry.key.clone(),
            expect: crate::store::Expect::Revision(entry.revision),
            change: crate::store::Change::Put(pod),
        };
        match context.api.store.write(write).await {
            Ok(_) => break,
            Err(crate::store::WriteError::Conflict) => {}
            Err(e) => return Err(store_error(served, &entry.key.name, &e)),
        }
    }
    let status =
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
    Ok(negotiation::json(StatusCode::CREATED, &status))
}

/// pods/eviction: a deletion that a PodDisruptionBudget may forbid.
async fn evict(context: &Context, body: &Bytes) -> Result<Response<Body>> {
    let pod = present(context)?;
    let (eviction, _) = parse(media_type(&context.headers), body)?;
    let dry_run = context.query.dry_run("CreateOptions")?;
    // Who is not running (any more) disturbs nobody by going.
    let object = pod.value();
    let idle = matches!(object["status"]["phase"].as_str(), Some("Pending" | "Succeeded" | "Failed"));
    if !idle && !pod.meta.deleting {
        take_from_budget(context, &pod, dry_run).await?;
    }
    let options = &eviction["deleteOptions"];
    let deletion = Deletion {
        grace_seconds: options["gracePeriodSeconds"].as_i64(),
        uid: options["preconditions"]["uid"].as_str().map(str::to_owned),
        resource_version: options["preconditions"]["resourceVersion"].as_str().map(str::to_owned),
        dry_run,
        ..Deletion::default()
    };
    match delete_object(&context.api, &context.served, pod, &deletion).await? {
        Outcome::Gone(_) | Outcome::Pending(_) => {
            let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
            Ok(negotiation::json(StatusCode::CREATED, &status))
        }
    }
}

const BUDGETS: &str = "policy/poddisruptionbudgets";

/// Counts one disruption in the budget that covers the pod, so that evictions at the same time cannot share one, or
/// refuses. The budget's controller counts anew when the pod is gone.
async fn take_from_budget(context: &Context, pod: &Entry, dry_run: bool) -> Result<()> {
    let store = &context.api.store;
    let covering: Vec<_> = store
        .all(BUDGETS, Some(&pod.key.namespace))
        .into_iter()
        .filter(|budget| {
            seaway_object::selector::LabelSelector::from_value(&budget.value()["spec"]["selector"])
                .is_ok_and(|s| s.matches(|key| pod.meta.labels.get(key).map(String::as_str)))
        })
        .collect();
    let budget = match covering.as_slice() {
        [] => return Ok(()),
        [one] => one,
        _ => {
            return Err(ApiError::internal(
                "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
            ));
        }
    };
    let mut refused = None;
    let pod_object = pod.value();
    let conditions = pod_object["status"]["conditions"].as_array().into_iter().flatten();
    let ready = conditions.filter(|c| c["type"] == "Ready").any(|c| c["status"] == "True");
    store
        .modify(&BUDGETS.into(), &budget.key, |entry| {
            let mut object = entry.value();
            let number = |path: &str| object.pointer(path).and_then(serde_json::Value::as_i64).unwrap_or(0);
            let (allowed, healthy) = (number("/status/disruptionsAllowed"), number("/status/currentHealthy"));
            if number("/status/observedGeneration") < number("/metadata/generation") {
                refused = Some(format!(
                    "The disruption budget {} is still being processed by the server.",
                    entry.key.name
                ));
                return None;
            }
            // Who is not ready serves nobody (KEP-3017): as far as the budget is met, or always where it says so.
            let met = number("/status/desiredHealthy") > 0 && healthy >= number("/status/desiredHealthy");
            let always = object["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow";
            if !ready && (met || always) {
                refused = None;
                return None;
            }
            if allowed <= 0 {
                refused = Some(format!(
                    "The disruption budget {} needs {} healthy pods and has {healthy} currently",
                    entry.key.name,
                    number("/status/desiredHealthy"),
                ));
                return None;
            }
            refused = None;
            if dry_run {
                return None;
            }
            object["status"]["disruptionsAllowed"] = (allowed - 1).into();
            object["status"]["disruptedPods"][&pod.key.name] = crate::api::now().into();
            Some(crate::store::Change::Put(object))
        })
        .await
        .map_err(|e| store_error(&context.served, &pod.key.name, &e))?;
    match refused {
        None => Ok(()),
        Some(message) => Err(ApiError::new(
            StatusCode::TOO_MANY_REQUESTS,
            "TooManyRequests",
            "Cannot evict pod as it would violate the pod's disruption budget.",
        )
        .because(vec![crate::status::Cause {
            reason: "DisruptionBudget",
            message,
            field: String::new(),
        }])),
    }
}
