//! `create` and `update`, and who writes what by which request.

use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode};
use seaway_merge::managed::Manager;
use serde_json::Value;

use super::commit::write_object;
use super::decode::{Decoded, decode};
use super::{answer, value_of};
use crate::api::{Api, Context, now};
use crate::catalog::Served;
use crate::identity::Identity;
use crate::negotiation::{self, Body};
use crate::status::{ApiError, Cause, Result};
use crate::store::Entry;

/// Through which endpoint an object is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Create,
    Update,
    /// Through a subresource that owns only the status.
    Status,
    /// Through `pods/ephemeralcontainers`, which owns only these.
    EphemeralContainers,
    /// Through `pods/resize`, which owns only the resources of containers.
    Resize,
    /// Through `certificatesigningrequests/approval`, which owns only the conditions.
    Approval,
    /// Through `namespaces/finalize`, which owns only `spec.finalizers`.
    Finalize,
}

/// Who writes what, and how.
pub(crate) struct Request<'a> {
    pub(crate) api: &'a Arc<Api>,
    pub(crate) served: &'a Arc<Served>,
    pub(crate) identity: &'a Identity,
    pub(crate) operation: Operation,
    /// Name of the subresource, for ownership and messages.
    pub(crate) subresource: &'a str,
    pub(crate) manager: String,
    pub(crate) dry_run: bool,
    /// Ownership is settled already (server-side apply).
    pub(crate) owned: bool,
    /// The whole object comes from the client (`PUT`).
    pub(crate) replaces: bool,
    /// What the client is told beside the answer.
    pub(crate) warnings: parking_lot::Mutex<Vec<String>>,
}

impl<'a> Request<'a> {
    pub(crate) fn of(context: &'a Context, operation: Operation) -> Result<Self> {
        Ok(Self {
            api: &context.api,
            served: &context.served,
            identity: &context.identity,
            operation,
            subresource: &context.path.subresource,
            manager: manager(context, operation)?,
            dry_run: context.query.dry_run(options(context, operation))?,
            owned: false,
            replaces: context.method == http::Method::PUT && context.path.subresource != "scale",
            warnings: parking_lot::Mutex::default(),
        })
    }

    /// The manager for ownership.
    pub(crate) fn ownership(&self) -> Manager {
        let reset: &[&str] = match self.operation {
            Operation::Status | Operation::Approval => &["spec"],
            Operation::EphemeralContainers | Operation::Resize => &["status"],
            Operation::Create | Operation::Update if self.served.has_status() => &["status"],
            _ => &[],
        };
        Manager {
            name: self.manager.clone(),
            api_version: self.served.api_version(),
            subresource: self.subresource.to_owned(),
            time: now(),
            reset: reset.iter().map(|r| (*r).to_owned()).collect(),
        }
    }
}

/// The options that a request sends along.
fn options(context: &Context, operation: Operation) -> &'static str {
    match (&context.method, operation) {
        (&http::Method::PATCH, _) => "PatchOptions",
        (_, Operation::Create) => "CreateOptions",
        _ => "UpdateOptions",
    }
}

/// The field manager, which must be printable.
fn manager(context: &Context, operation: Operation) -> Result<String> {
    let name = context.manager();
    let refuse = |reason, message| {
        let cause = Cause { reason, message, field: "fieldManager".into() };
        Err(ApiError::invalid_options(options(context, operation), cause))
    };
    if name.len() > 128 {
        return refuse("FieldValueTooLong", "Too long: may not be more than 128 bytes".into());
    }
    match name.char_indices().find(|(_, c)| c.is_control()) {
        None => Ok(name),
        Some((at, c)) => refuse(
            "FieldValueInvalid",
            format!("Invalid value: {name:?}: invalid character U+{:04X} (at position {at})", u32::from(c)),
        ),
    }
}

pub(super) async fn create(context: &Context, body: &Bytes) -> Result<Response<Body>> {
    let Decoded { mut value, warnings } = decode(context, body)?;
    place(context, &mut value)?;
    if revision_asked(&value["metadata"]).is_some() {
        return Err(ApiError::plain("resourceVersion should not be set on objects to be created"));
    }
    let request = Request::of(context, Operation::Create)?;
    let generated = value["metadata"]["name"].as_str().is_none_or(str::is_empty);
    let mut entry = write_object(&request, None, value.clone()).await;
    // A generated name can be taken; another one is made, a few times.
    for _ in 0..7 {
        match &entry {
            Err(e) if generated && e.reason == "AlreadyExists" => {
                entry = write_object(&request, None, value.clone()).await;
            }
            _ => break,
        }
    }
    let entry = entry?;
    let mut response = answer(context, StatusCode::CREATED, &entry);
    negotiation::warn(&mut response, &warnings);
    negotiation::warn(&mut response, &request.warnings.lock());
    Ok(response)
}

/// Puts the namespace of the path into the object, or refuses another one.
pub(super) fn place(context: &Context, value: &mut Value) -> Result<()> {
    let namespace = context.namespace();
    match value["metadata"]["namespace"].as_str().unwrap_or_default() {
        found if found == namespace => {}
        "" => value["metadata"]["namespace"] = namespace.into(),
        _ if !context.served.resource.namespaced => {
            if let Some(metadata) = value["metadata"].as_object_mut() {
                metadata.remove("namespace");
            }
        }
        found => {
            tracing::debug!(found, namespace, "an object of another namespace");
            return Err(ApiError::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
    }
    if context.served.resource.namespaced && namespace.is_empty() {
        return Err(ApiError::bad_request("an empty namespace may not be set during creation"));
    }
    Ok(())
}

pub(super) async fn replace(context: &Context, body: &Bytes) -> Result<Response<Body>> {
    let Decoded { mut value, warnings } = decode(context, body)?;
    place(context, &mut value)?;
    same_name(context, &mut value)?;
    let (request, code, entry) = match context.stored()? {
        Some(old) => {
            let request = Request::of(context, Operation::Update)?;
            let entry = update_with(&request, old, |_| Ok(value.clone())).await?;
            (request, StatusCode::OK, entry)
        }
        None if creates_on_update(&context.served) && value["metadata"]["resourceVersion"].is_null() => {
            may_create(context)?;
            let request = Request::of(context, Operation::Create)?;
            let entry = write_object(&request, None, value).await?;
            (request, StatusCode::CREATED, entry)
        }
        None => return Err(context.not_found()),
    };
    let mut response = answer(context, code, &entry);
    negotiation::warn(&mut response, &warnings);
    negotiation::warn(&mut response, &request.warnings.lock());
    Ok(response)
}

pub(super) fn same_name(context: &Context, value: &mut Value) -> Result<()> {
    match value["metadata"]["name"].as_str().unwrap_or_default() {
        "" if context.method == http::Method::PUT => {
            return Err(ApiError::bad_request(format!(
                "the name of the object ({} based on URL) was undeterminable: name must be provided",
                context.path.name
            )));
        }
        "" => value["metadata"]["name"] = context.path.name.clone().into(),
        name if name == context.path.name => {}
        name => {
            return Err(ApiError::bad_request(format!(
                "the name of the object ({name}) does not match the name on the URL ({})",
                context.path.name
            )));
        }
    }
    Ok(())
}

/// A PUT or an apply that makes an object needs the right to create it, besides its own.
pub(super) fn may_create(context: &Context) -> Result<()> {
    let attributes = crate::rbac::Attributes {
        verb: "create".into(),
        group: context.served.group().into(),
        resource: context.served.plural().into(),
        namespace: context.path.namespace.clone(),
        name: context.path.name.clone(),
        path: None,
    };
    if context.api.authorizer.allowed(&context.identity, &attributes) {
        return Ok(());
    }
    let why = attributes.refusal(&context.identity.name);
    Err(ApiError::forbidden(context.served.group(), context.served.plural(), &context.path.name, why))
}

fn creates_on_update(served: &Served) -> bool {
    matches!(served.kind(), "Lease" | "Endpoints" | "Event" | "LimitRange" | "PodTemplate")
        || served.group() == crate::rbac::GROUP
}

/// Updates an object by a function of its present state, again when somebody else was faster and the
/// new state does not insist on a revision.
pub(crate) async fn update_with(
    request: &Request<'_>,
    mut old: Arc<Entry>,
    mut change: impl FnMut(&Value) -> Result<Value>,
) -> Result<Arc<Entry>> {
    let mut turn = None;
    for _ in 0..RETRIES {
        let current = value_of(request.served, &old);
        let new = change(&current)?;
        let another = |uid: &&str| request.replaces && !uid.is_empty() && **uid != *old.meta.uid;
        if let Some(uid) = new["metadata"]["uid"].as_str().filter(another) {
            let why = format!(
                "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
                old.meta.uid
            );
            let served = request.served;
            return Err(ApiError::conflict(served.group(), served.plural(), &old.key.name, why));
        }
        // A change computed from the present state carries its revision along; only one that
        // differs from it was asked for by the client.
        if insists_always(request)
            && new["metadata"]["resourceVersion"].as_str().is_none_or(|rv| rv.is_empty() || rv == "0")
        {
            let cause = Cause {
                reason: "FieldValueInvalid",
                message: "Invalid value: 0x0: must be specified for an update".into(),
                field: "metadata.resourceVersion".into(),
            };
            let served = request.served;
            return Err(ApiError::invalid(served.group(), served.plural(), &old.key.name, vec![cause]));
        }
        if let Some(asked) = revision_asked(&new["metadata"]) {
            let asked = super::read::parse_revision(asked).map_err(ApiError::plain)?;
            if asked != old.revision {
                return Err(modified(request.served, &old));
            }
        }
        match write_object(request, Some((&old, current)), new).await {
            Err(e) if e.reason == "Conflict" && e == modified(request.served, &old) => {
                let newer = request.api.store.get(&request.served.storage, &old.key);
                old = newer.ok_or_else(|| {
                    ApiError::not_found(request.served.group(), request.served.plural(), &old.key.name)
                })?;
                // Those who lost once take turns: however many write one object, each gets to it.
                if turn.is_none() {
                    let name = format!("{}/{}/{}", request.served.storage, old.key.namespace, old.key.name);
                    turn = Some(request.api.object_turn(&name).lock().await);
                    if let Some(newest) = request.api.store.get(&request.served.storage, &old.key) {
                        old = newest;
                    }
                }
            }
            other => return other,
        }
    }
    Err(modified(request.served, &old))
}

/// Whether a full update must name the revision that it replaces.
fn insists_always(request: &Request<'_>) -> bool {
    let served = request.served;
    request.replaces
        && (served.custom.is_some()
            || matches!(
                (served.group(), served.kind()),
                ("node.k8s.io", "RuntimeClass")
                    | ("policy", "PodDisruptionBudget")
                    | ("storage.k8s.io", "CSIDriver" | "CSIStorageCapacity" | "VolumeAttachment" | "CSINode")
                    | ("coordination.k8s.io", "Lease")
                    | ("apiextensions.k8s.io", "CustomResourceDefinition")
                    | (
                        "admissionregistration.k8s.io",
                        "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration"
                    )
            ))
}

/// The revision that a client insists on; "0" is any.
pub(super) fn revision_asked(metadata: &Value) -> Option<&str> {
    metadata["resourceVersion"].as_str().filter(|rv| !rv.is_empty() && *rv != "0")
}

/// Attempts at a write that others disturb; they get rarer quickly since each waits for a commit.
const RETRIES: usize = 64;

pub(crate) fn modified(served: &Served, old: &Entry) -> ApiError {
    ApiError::modified(served.group(), served.plural(), &old.key.name)
}
