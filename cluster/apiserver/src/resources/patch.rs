//! `patch`: JSON patch, JSON merge patch, strategic merge patch and server-side apply.

use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode};
use seaway_merge::managed::{self, ApplyError};
use seaway_merge::schema::TypeRef;
use seaway_merge::{check, patch as patches, strategic};
use serde_json::{Value, json};

use super::commit::write_object;
use super::decode::{Decoded, check_object, parse};
use super::write::{self, Operation, Request, update_with};
use super::{answer, value_of};
use crate::api::{Context, media_type};
use crate::negotiation::{self, Body};
use crate::status::{ApiError, Cause, Result};
use crate::store::Entry;

pub(super) const APPLY: &str = "application/apply-patch+yaml";
pub(super) const ACCEPTED: [&str; 4] = [
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    APPLY,
];

pub(super) async fn patch(context: &Context, body: &Bytes) -> Result<Response<Body>> {
    patch_through(context, body, Operation::Update).await
}

/// A patch through the object itself or its status.
pub(super) async fn patch_through(
    context: &Context,
    body: &Bytes,
    operation: Operation,
) -> Result<Response<Body>> {
    if media_type(&context.headers) == APPLY {
        return apply(context, body, operation).await;
    }
    Patch::accepted(context)?;
    without_force(context)?;
    let old = context.present()?;
    let patch = Patch::read(context, body)?;
    let request = Request::of(context, operation)?;
    let mut warnings = vec![];
    let entry = update_with(&request, old, |current| {
        let patched = patch.apply(context, current)?;
        let Decoded { value, warnings: found } =
            check_object(context, patched, vec![]).map_err(not_an_object)?;
        warnings = found;
        if value["metadata"]["namespace"] != current["metadata"]["namespace"] {
            return Err(ApiError::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
        if value["metadata"]["name"] != current["metadata"]["name"] {
            return Err(ApiError::bad_request("the name of the object cannot be changed by a patch"));
        }
        Ok(patch.without_own_revision(value, current))
    })
    .await?;
    let mut response = answer(context, StatusCode::OK, &entry);
    negotiation::warn(&mut response, &warnings);
    negotiation::warn(&mut response, &request.warnings.lock());
    Ok(response)
}

/// Only an apply can be forced.
pub(super) fn without_force(context: &Context) -> Result<()> {
    if context.query.get("force").is_none() {
        return Ok(());
    }
    let cause = Cause {
        reason: "FieldValueForbidden",
        message: "Forbidden: may not be specified for non-apply patch".into(),
        field: "force".into(),
    };
    Err(ApiError::invalid_options("PatchOptions", cause))
}

/// An apply says who applies.
pub(super) fn with_manager(context: &Context) -> Result<()> {
    if context.query.get("fieldManager").is_some() {
        return Ok(());
    }
    let cause = Cause {
        reason: "FieldValueRequired",
        message: "Required value: is required for apply patch".into(),
        field: "fieldManager".into(),
    };
    Err(ApiError::invalid("meta.k8s.io", "PatchOptions", "", vec![cause]))
}

/// A patch whose result cannot be read back is itself invalid. The result is not repeated: it may hold a Secret's data.
fn not_an_object(error: ApiError) -> ApiError {
    if error.code != StatusCode::BAD_REQUEST {
        return error;
    }
    let cause = Cause {
        reason: "FieldValueInvalid",
        message: format!("Invalid value: {}", error.message),
        field: "patch".into(),
    };
    ApiError::invalid("", "", "", vec![cause])
}

enum Patch {
    Json(Value),
    Merge(Value),
    Strategic(Value),
}

impl Patch {
    /// Whether patches of this media type exist, before anything else is looked at.
    fn accepted(context: &Context) -> Result<()> {
        match media_type(&context.headers) {
            "application/json-patch+json" | "application/merge-patch+json" => Ok(()),
            "application/strategic-merge-patch+json" if context.served.custom.is_none() => Ok(()),
            _ if context.served.custom.is_some() => {
                Err(ApiError::unsupported_media_type(&[ACCEPTED[0], ACCEPTED[1], ACCEPTED[3]]))
            }
            _ => Err(ApiError::unsupported_media_type(&ACCEPTED)),
        }
    }

    fn read(context: &Context, body: &[u8]) -> Result<Self> {
        let read = || {
            serde_json::from_slice::<Value>(body)
                .map_err(|e| ApiError::bad_request(format!("error decoding patch: {e}")))
        };
        match media_type(&context.headers) {
            "application/json-patch+json" => read().map(Self::Json),
            "application/merge-patch+json" => read().map(Self::Merge),
            _ => read().map(Self::Strategic),
        }
    }

    fn apply(&self, context: &Context, current: &Value) -> Result<Value> {
        let patched = match self {
            Self::Json(patch) => patches::json_patch(current, patch),
            Self::Merge(patch) => patches::merge_patch(current, patch),
            Self::Strategic(patch) => strategic::patch(current, patch, &context.served.schema),
        };
        patched.map_err(|e| {
            use seaway_merge::patch::PatchError;
            match e {
                // Kubernetes has no reason for most of what a strategic patch can get wrong.
                PatchError::Unprocessable(message) if matches!(self, Self::Strategic(_)) => {
                    ApiError::plain(message)
                }
                PatchError::Malformed(message) if message.starts_with("unknown patch type") => {
                    ApiError::plain(message)
                }
                PatchError::Unprocessable(message) => ApiError::new(
                    StatusCode::UNPROCESSABLE_ENTITY,
                    "Invalid",
                    format!("the server rejected our request due to an error in our request: {message}"),
                ),
                other => ApiError::bad_request(other.to_string()),
            }
        })
    }

    /// The revision in the result is the present one unless the patch itself set it; only then does
    /// the client insist.
    fn without_own_revision(&self, mut value: Value, current: &Value) -> Value {
        let set = match self {
            Self::Json(patch) => patch.as_array().into_iter().flatten().any(|op| {
                op["path"] == "/metadata/resourceVersion"
                    && matches!(op["op"].as_str(), Some("add" | "replace"))
            }),
            Self::Merge(patch) | Self::Strategic(patch) => patch["metadata"]["resourceVersion"].is_string(),
        };
        if !set
            && value["metadata"]["resourceVersion"] == current["metadata"]["resourceVersion"]
            && let Some(metadata) = value["metadata"].as_object_mut()
        {
            metadata.remove("resourceVersion");
        }
        value
    }
}

/// Server-side apply (KEP-555).
async fn apply(context: &Context, body: &Bytes, operation: Operation) -> Result<Response<Body>> {
    let force = context.query.flag("force");
    with_manager(context)?;
    let (value, duplicates) = parse(APPLY, body)?;
    let kind = value["kind"].as_str().unwrap_or_default();
    if !kind.is_empty() && kind != context.served.kind() {
        return Err(ApiError::plain(format!(
            "failed to merge config: expected objects of the same type, but got {kind} and {}",
            context.served.kind()
        )));
    }
    fits(context, &value, &context.served.schema, (&context.served.api_version(), context.served.kind()))?;
    let Decoded { value: mut applied, warnings } = check_object(context, value, duplicates)?;
    write::place(context, &mut applied)?;
    write::same_name(context, &mut applied)?;
    if operation == Operation::EphemeralContainers {
        // Nothing else is applied here, and nothing else comes to belong to who applies.
        applied = json!({"apiVersion": applied["apiVersion"], "kind": applied["kind"],
            "metadata": {"name": applied["metadata"]["name"], "namespace": applied["metadata"]["namespace"],
                         "resourceVersion": applied["metadata"]["resourceVersion"]},
            "spec": {"ephemeralContainers": applied["spec"]["ephemeralContainers"]}});
    }
    for _ in 0..16 {
        let old = context.stored()?;
        let created = old.is_none();
        let mut told = vec![];
        match apply_once(context, operation, old.as_ref(), &applied, force, &mut told).await {
            // Somebody else was faster: merge again with what is there now.
            Err(e)
                if matches!(e.reason, "AlreadyExists" | "Conflict")
                    && !is_ownership(&e)
                    && !insists(&applied) => {}
            other => {
                let entry = other?;
                let code = if created { StatusCode::CREATED } else { StatusCode::OK };
                let mut response = answer(context, code, &entry);
                negotiation::warn(&mut response, &warnings);
                negotiation::warn(&mut response, &told);
                return Ok(response);
            }
        }
    }
    Err(ApiError::modified(context.served.group(), context.served.plural(), &context.path.name))
}

/// Whether an applied object has the fields and types of its kind, in the words of server-side apply.
pub(super) fn fits(
    context: &Context,
    value: &Value,
    schema: &TypeRef,
    (api_version, kind): (&str, &str),
) -> Result<()> {
    let unknown: Vec<String> = check::unknown_fields(value, schema)
        .iter()
        .filter_map(|problem| problem.split('"').nth(1))
        .map(|path| format!(".{path}: field not declared in schema"))
        .collect();
    let mistyped = || {
        let objects = value.is_object().then(|| check::wrong_types(value, schema));
        let told = objects.iter().flatten();
        told.map(|p| format!(".{}: expected {}, got {}", p.path, p.expected, p.got)).collect()
    };
    let problems: Vec<String> = if unknown.is_empty() { mistyped() } else { unknown };
    let problems = match problems.as_slice() {
        [] => return Ok(()),
        [one] => one.clone(),
        many => format!("errors:\n  {}", many.join("\n  ")),
    };
    Err(ApiError::plain(format!(
        "failed to create typed patch object ({}/{}; {api_version}, Kind={kind}): {problems}",
        context.namespace(),
        context.path.name,
    )))
}

pub(super) fn insists(applied: &Value) -> bool {
    write::revision_asked(&applied["metadata"]).is_some()
}

pub(super) fn is_ownership(error: &ApiError) -> bool {
    error.message.starts_with("Apply failed with")
}

async fn apply_once(
    context: &Context,
    operation: Operation,
    old: Option<&Arc<Entry>>,
    applied: &Value,
    force: bool,
    warnings: &mut Vec<String>,
) -> Result<Arc<Entry>> {
    let served = &context.served;
    if old.is_none() {
        if operation == Operation::Status || !context.path.subresource.is_empty() {
            return Err(context.not_found());
        }
        write::may_create(context)?;
    }
    if let (true, Some(old)) = (insists(applied), old) {
        let revision = old.revision.to_string();
        if applied["metadata"]["resourceVersion"] != revision.as_str() {
            return Err(write::modified(served, old));
        }
    }
    let live = old.map(|e| value_of(served, e));
    let mut request = Request::of(context, if old.is_none() { Operation::Create } else { operation })?;
    let merged = managed::apply(live.as_ref(), applied, &served.schema, &request.ownership(), force)
        .map_err(|e| apply_error(&e))?;
    request.owned = true;
    let written = write_object(&request, old.zip(live), merged).await;
    *warnings = request.warnings.into_inner();
    written
}

pub(super) fn apply_error(error: &ApplyError) -> ApiError {
    match error {
        ApplyError::BadRequest(_) => ApiError::bad_request(error.to_string()),
        ApplyError::Invalid(_) => ApiError::plain(format!("failed to create typed patch object: {error}")),
        ApplyError::Conflict(conflicts) => {
            let causes = conflicts
                .iter()
                .map(|c| Cause {
                    reason: "FieldManagerConflict",
                    message: format!("conflict with {}", c.owner()),
                    field: c.field.clone(),
                })
                .collect();
            ApiError::apply_conflict(error.to_string(), causes)
        }
    }
}
