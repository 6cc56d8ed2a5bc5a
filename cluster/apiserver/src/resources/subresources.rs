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
            through(&context, &method, &body, Operation::Update).await
        }
        "ephemeralcontainers" => {
            find(|s| *s == Subresource::EphemeralContainers)?;
            through(&context, &method, &body, Operation::EphemeralContainers).await
        }
        "approval" => {
            find(|s| *s == Subresource::Approval)?;
            through(&context, &method, &body, Operation::Update).await
        }
        _ => Err(ApiError::no_such_resource()),
    }
}

pub(super) fn present(context: &Context) -> Result<Arc<Entry>> {
    context.api.store.get(&context.served.storage, &context.key()).ok_or_else(|| context.not_found())
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
    let request = Request::of(context, Operation::Update)?;
    let entry = update_with(&request, old, |current| {
        let mut object = current.clone();
        object["spec"]["finalizers"] = value["spec"]["finalizers"].clone();
        object["metadata"]["resourceVersion"] = value["metadata"]["resourceVersion"].clone();
        Ok(object)
    })
    .await?;
    Ok(answer(context, StatusCode::OK, &entry))
}

/// pods/binding: what a scheduler decided.
async fn bind(context: &Context, body: &Bytes) -> Result<Response<Body>> {
    let old = present(context)?;
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
    let _ = old;
    let status =
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
    Ok(negotiation::json(StatusCode::CREATED, &status))
}

/// pods/eviction: a deletion that a PodDisruptionBudget may forbid.
async fn evict(context: &Context, body: &Bytes) -> Result<Response<Body>> {
    let pod = present(context)?;
    let (eviction, _) = parse(media_type(&context.headers), body)?;
    for budget in context.api.store.all("policy/poddisruptionbudgets", Some(&pod.key.namespace)) {
        let object = budget.value();
        let selects = seaway_object::selector::LabelSelector::from_value(&object["spec"]["selector"])
            .is_ok_and(|s| s.matches(|key| pod.meta.labels.get(key).map(String::as_str)));
        if selects && object["status"]["disruptionsAllowed"].as_i64().unwrap_or(0) <= 0 {
            return Err(ApiError::new(
                StatusCode::TOO_MANY_REQUESTS,
                "TooManyRequests",
                "Cannot evict pod as it would violate the pod's disruption budget.",
            ));
        }
    }
    let options = &eviction["deleteOptions"];
    let deletion = Deletion {
        grace_seconds: options["gracePeriodSeconds"].as_i64(),
        uid: options["preconditions"]["uid"].as_str().map(str::to_owned),
        dry_run: context.query.dry_run("CreateOptions")?,
        ..Deletion::default()
    };
    match delete_object(&context.api, &context.served, pod, &deletion).await? {
        Outcome::Gone(_) | Outcome::Pending(_) => {
            let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
            Ok(negotiation::json(StatusCode::CREATED, &status))
        }
    }
}
