//! The `token` subresource of ServiceAccounts.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::subresources::present;
use super::{answer_value, parse_body};
use crate::api::{Context, media_type};
use crate::negotiation::Body;
use crate::status::{ApiError, Cause, Result};
use crate::store::ObjectKey;
use crate::tokens::{Bound, BoundTo, Claims, ISSUER};

/// serviceaccounts/token (TokenRequest).
pub(super) fn token(context: &Context, body: &Bytes) -> Result<Response<Body>> {
    let entry = present(context)?;
    let mut request = parse_body(media_type(&context.headers), body)?;
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
    let mut bound_to = BoundTo::Nothing;
    let reference = &spec["boundObjectRef"];
    if reference.is_object() {
        let kind = reference["kind"].as_str().unwrap_or_default();
        let name = reference["name"].as_str().unwrap_or_default();
        let api_version = reference["apiVersion"].as_str().unwrap_or_default();
        let (plural, namespace) = match (api_version, kind) {
            ("v1" | "", "Pod") => ("pods", entry.key.namespace.as_str()),
            ("v1" | "", "Secret") => ("secrets", entry.key.namespace.as_str()),
            ("v1" | "", "Node") => ("nodes", ""),
            _ => {
                let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
                return Err(ApiError::bad_request(format!(
                    "cannot bind token to object of type {group}/{version}, Kind={kind}"
                )));
            }
        };
        let key = ObjectKey::new(namespace, name);
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
            return Err(ApiError::conflict("", kind, name, why));
        }
        // Otherwise the token would name a pod that never had it.
        let object = bound.value();
        if kind == "Pod" && object["spec"]["serviceAccountName"] != entry.key.name.as_str() {
            return Err(ApiError::bad_request(format!(
                "cannot bind token for serviceaccount {:?} to pod running with different serviceaccount name.",
                entry.key.name
            )));
        }
        let reference = Bound { name: name.to_owned(), uid: bound.meta.uid.clone() };
        bound_to = match kind {
            "Pod" => BoundTo::Pod(reference, node_of(context, &object)),
            "Node" => BoundTo::Node(reference),
            _ => BoundTo::Secret(reference),
        };
    }
    let now = jiff::Timestamp::now();
    let life = jiff::SignedDuration::from_secs(seconds);
    let claims = Claims::new(&entry, audiences.clone(), now, life, bound_to);
    let token = context.api.authenticator.tokens.sign(&claims).map_err(ApiError::internal)?;
    let expires = now.checked_add(life).unwrap_or(now);
    request["kind"] = "TokenRequest".into();
    request["apiVersion"] = "authentication.k8s.io/v1".into();
    request["spec"]["audiences"] = audiences.into();
    request["spec"]["expirationSeconds"] = seconds.into();
    request["status"] = json!({"token": token,
        "expirationTimestamp": expires.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()});
    Ok(answer_value(context, StatusCode::CREATED, request))
}

/// The node that a pod is on. One that is gone is said by its name alone.
fn node_of(context: &Context, pod: &Value) -> Option<Bound> {
    let name = pod["spec"]["nodeName"].as_str().filter(|name| !name.is_empty())?;
    let node = context.api.store.get("/nodes", &ObjectKey::new("", name));
    Some(Bound { name: name.to_owned(), uid: node.map(|node| node.meta.uid.clone()).unwrap_or_default() })
}
