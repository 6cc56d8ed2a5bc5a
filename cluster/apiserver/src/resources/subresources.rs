//! What lies below an object: status, scale, tokens, binding, eviction, finalize, ephemeral containers.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use seaway_kinds::resources::Subresource;
use serde_json::{Value, json};

use super::delete::{Deletion, Outcome, delete_object};
use super::write::{self, Decoded, Operation, Request, decode, respond, update_with};
use super::{answer, patch, value_of};
use crate::api::{Context, media_type};
use crate::negotiation::{self, Body};
use crate::status::{ApiError, Cause, Result};
use crate::store::Entry;
use crate::tokens::{Bound, Claims, ISSUER, Private};

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

fn present(context: &Context) -> Result<Arc<Entry>> {
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

struct ScalePaths {
    spec_replicas: String,
    status_replicas: String,
    selector: Option<String>,
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

async fn scale(
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
        Method::GET | Method::HEAD => return Ok(respond(context, StatusCode::OK, current())),
        Method::PUT => write::parse(media_type(&context.headers), body)?.0,
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
    Ok(respond(context, StatusCode::OK, scale_of(&value_of(&context.served, &entry), paths)))
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
    if !replicas.is_null() && !replicas.is_i64() {
        return Err(unreadable(format!("spec.replicas: {replicas} is no whole number")));
    }
    match wanted["metadata"]["name"].as_str().unwrap_or_default() {
        name if name.is_empty() || name == context.path.name => Ok(()),
        name => Err(ApiError::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            context.path.name
        ))),
    }
}

/// serviceaccounts/token (TokenRequest).
fn token(context: &Context, body: &Bytes) -> Result<Response<Body>> {
    let entry = present(context)?;
    let mut request = super::parse_body(media_type(&context.headers), body)?;
    let spec = &request["spec"];
    let audiences: Vec<String> = spec["audiences"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|a| a.as_str().map(str::to_owned))
        .collect();
    let audiences = if audiences.is_empty() { vec![ISSUER.to_owned()] } else { audiences };
    let seconds = spec["expirationSeconds"].as_i64().unwrap_or(3600);
    if !(600..=1 << 32).contains(&seconds) {
        let cause = Cause {
            reason: "FieldValueInvalid",
            message: format!("Invalid value: {seconds}: may not specify a duration less than 10 minutes"),
            field: "spec.expirationSeconds".into(),
        };
        return Err(ApiError::invalid("authentication.k8s.io", "TokenRequest", "", vec![cause]));
    }
    let (mut pod, mut secret) = (None, None);
    let reference = &spec["boundObjectRef"];
    if reference.is_object() {
        let kind = reference["kind"].as_str().unwrap_or_default();
        let name = reference["name"].as_str().unwrap_or_default();
        let plural = match kind {
            "Pod" => "pods",
            "Secret" => "secrets",
            _ => {
                return Err(ApiError::bad_request(format!("cannot bind a token to object of kind {kind:?}")));
            }
        };
        let key = crate::store::ObjectKey::new(entry.key.namespace.as_str(), name);
        let bound = context
            .api
            .store
            .get(&format!("/{plural}"), &key)
            .ok_or_else(|| ApiError::not_found("", plural, name))?;
        if let Some(uid) = reference["uid"].as_str().filter(|uid| !uid.is_empty() && *uid != bound.meta.uid) {
            let why = format!(
                "the UID in the bound object reference ({uid}) does not match the UID in record. \
                 The object might have been deleted and then recreated"
            );
            return Err(ApiError::conflict("", plural, name, why));
        }
        // Otherwise the token would name a pod that never had it.
        if kind == "Pod" && bound.value()["spec"]["serviceAccountName"] != entry.key.name.as_str() {
            return Err(ApiError::bad_request(format!(
                "cannot bind token for serviceaccount {:?} to pod running with different serviceaccount name.",
                entry.key.name
            )));
        }
        let reference = Bound { name: name.to_owned(), uid: bound.meta.uid.clone() };
        if kind == "Pod" { pod = Some(reference) } else { secret = Some(reference) }
    }
    let now = jiff::Timestamp::now();
    let claims = Claims {
        iss: ISSUER.into(),
        sub: format!("system:serviceaccount:{}:{}", entry.key.namespace, entry.key.name),
        aud: audiences.clone(),
        exp: now.as_second() + seconds,
        iat: now.as_second(),
        nbf: now.as_second(),
        jti: uuid::Uuid::new_v4().to_string(),
        kubernetes: Private {
            namespace: entry.key.namespace.clone(),
            serviceaccount: Bound { name: entry.key.name.clone(), uid: entry.meta.uid.clone() },
            pod,
            secret,
        },
    };
    let token = context.api.authenticator.tokens.sign(&claims).map_err(ApiError::internal)?;
    let expires = now.checked_add(jiff::SignedDuration::from_secs(seconds)).unwrap_or(now);
    request["kind"] = "TokenRequest".into();
    request["apiVersion"] = "authentication.k8s.io/v1".into();
    request["spec"]["audiences"] = audiences.into();
    request["spec"]["expirationSeconds"] = seconds.into();
    request["status"] = json!({"token": token,
        "expirationTimestamp": expires.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()});
    Ok(respond(context, StatusCode::CREATED, request))
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
    let (binding, _) = write::parse(media_type(&context.headers), body)?;
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
            Err(e) => return Err(write::store_error(served, &entry.key.name, &e)),
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
    let (eviction, _) = write::parse(media_type(&context.headers), body)?;
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
