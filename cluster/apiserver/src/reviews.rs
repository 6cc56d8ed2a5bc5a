//! Reviews: questions about users and rights that are answered and not stored.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Value, json};

use crate::api::{Context, media_type};
use crate::identity::Identity;
use crate::negotiation::{self, Body};
use crate::rbac::{Attributes, Rule};
use crate::resources::parse_body;
use crate::status::{ApiError, Cause, Result};
use crate::tokens::ISSUER;

/// Answers a review.
pub(crate) fn create(context: &Context, body: &Bytes) -> Result<Response<Body>> {
    let mut review = parse_body(media_type(&context.headers), body)?;
    review["kind"] = context.served.kind().into();
    review["apiVersion"] = context.served.api_version().into();
    let status = match context.served.kind() {
        "SelfSubjectAccessReview" => access(context, &context.identity, &review["spec"])?,
        "SubjectAccessReview" => access(context, &subject(&review["spec"])?, &review["spec"])?,
        "LocalSubjectAccessReview" => {
            let namespace = review["spec"]["resourceAttributes"]["namespace"].as_str().unwrap_or_default();
            if namespace != context.path.namespace {
                let cause = Cause {
                    reason: "FieldValueInvalid",
                    message: format!("Invalid value: {namespace:?}: must match metadata.namespace"),
                    field: "spec.resourceAttributes.namespace".into(),
                };
                return Err(ApiError::invalid("authorization.k8s.io", "", "", vec![cause]));
            }
            access(context, &subject(&review["spec"])?, &review["spec"])?
        }
        "SelfSubjectRulesReview" => rules(context, &review["spec"]),
        "TokenReview" => token(context, &review["spec"])?,
        "SelfSubjectReview" => json!({"userInfo": user_info(&context.identity)}),
        _ => return Err(ApiError::no_such_resource()),
    };
    if !review["metadata"].is_object() {
        review["metadata"] = json!({});
    }
    seaway_protobuf::canonical(&mut review);
    let manager = seaway_merge::managed::Manager {
        name: context.manager(),
        api_version: context.served.api_version(),
        subresource: String::new(),
        time: crate::api::now(),
        reset: vec!["status".into()],
    };
    let mut review = seaway_merge::managed::update(None, &review, &context.served.schema, &manager)
        .map_err(|e| ApiError::bad_request(e.to_string()))?;
    review["status"] = status;
    Ok(negotiation::json(StatusCode::CREATED, &review))
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
}

fn subject(spec: &Value) -> Result<Identity> {
    let name = spec["user"].as_str().unwrap_or_default().to_owned();
    let groups = texts(&spec["groups"]);
    if name.is_empty() && groups.is_empty() {
        let cause = Cause {
            reason: "FieldValueInvalid",
            message: "Invalid value: \"\": at least one of user or group must be specified".into(),
            field: "spec.user".into(),
        };
        return Err(ApiError::invalid("authorization.k8s.io", "", "", vec![cause]));
    }
    Ok(Identity { name, groups, ..Identity::default() })
}

fn access(context: &Context, user: &Identity, spec: &Value) -> Result<Value> {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let (resource, path) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    if resource.is_object() && path.is_object() {
        let cause = Cause {
            reason: "FieldValueInvalid",
            message: format!(
                "Invalid value: {path}: cannot be specified in combination with resourceAttributes"
            ),
            field: "spec.nonResourceAttributes".into(),
        };
        return Err(ApiError::invalid("authorization.k8s.io", "", "", vec![cause]));
    }
    let attributes = if resource.is_object() {
        let subresource = text(&resource["subresource"]);
        let plural = text(&resource["resource"]);
        Attributes {
            verb: text(&resource["verb"]),
            group: text(&resource["group"]),
            resource: if subresource.is_empty() { plural } else { format!("{plural}/{subresource}") },
            namespace: text(&resource["namespace"]),
            name: text(&resource["name"]),
            path: None,
        }
    } else if path.is_object() {
        Attributes { verb: text(&path["verb"]), path: Some(text(&path["path"])), ..Attributes::default() }
    } else {
        let cause = Cause {
            reason: "FieldValueInvalid",
            message: "Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified"
                .into(),
            field: "spec.resourceAttributes".into(),
        };
        return Err(ApiError::invalid("authorization.k8s.io", "", "", vec![cause]));
    };
    let (allowed, reason) = context.api.authorizer.explained(user, &attributes);
    Ok(if reason.is_empty() {
        json!({"allowed": allowed})
    } else {
        json!({"allowed": allowed, "reason": reason})
    })
}

fn rules(context: &Context, spec: &Value) -> Value {
    let namespace = spec["namespace"].as_str().unwrap_or_default();
    let rules = context.api.authorizer.rules_of(&context.identity, namespace);
    let part = |wanted: fn(&Rule) -> bool, fields: &[&str]| -> Vec<Value> {
        rules
            .iter()
            .filter(|r| wanted(r))
            .map(|r| {
                let mut value = serde_json::to_value(r).unwrap_or_default();
                if let Some(object) = value.as_object_mut() {
                    object.retain(|key, _| fields.contains(&key.as_str()));
                }
                value
            })
            .collect()
    };
    json!({
        "resourceRules": part(|r| !r.resources.is_empty(), &["verbs", "apiGroups", "resources", "resourceNames"]),
        "nonResourceRules": part(|r| !r.non_resource_urls.is_empty(), &["verbs", "nonResourceURLs"]),
        "incomplete": false,
    })
}

fn token(context: &Context, spec: &Value) -> Result<Value> {
    let audiences = texts(&spec["audiences"]);
    let audiences = if audiences.is_empty() { vec![ISSUER.to_owned()] } else { audiences };
    let token = spec["token"].as_str().unwrap_or_default();
    if token.is_empty() {
        return Err(ApiError::bad_request("token is required for TokenReview in authentication"));
    }
    if context.api.authenticator.is_admin(token) && audiences.iter().any(|a| a == ISSUER) {
        let user = user_info(&Identity::admin());
        return Ok(json!({"authenticated": true, "user": user, "audiences": [ISSUER]}));
    }
    Ok(match context.api.authenticator.review(token, &audiences) {
        Some(claims) => {
            let common: Vec<&String> = audiences.iter().filter(|a| claims.aud.contains(a)).collect();
            json!({"authenticated": true, "user": user_info(&claims.identity()), "audiences": common})
        }
        None => json!({"authenticated": false, "user": {}, "error": "invalid bearer token"}),
    })
}

fn user_info(user: &Identity) -> Value {
    let mut info = json!({"username": user.name, "groups": user.groups});
    if !user.uid.is_empty() {
        info["uid"] = user.uid.clone().into();
    }
    if !user.extra.is_empty() {
        info["extra"] = json!(user.extra);
    }
    info
}
