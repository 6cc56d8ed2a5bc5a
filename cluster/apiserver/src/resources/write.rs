//! `create` and `update`, and the way that every write takes: defaults, ownership, strategy,
//! admission, validation, store.

use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode};
use seaway_kinds::field_error::{FieldError, Path as FieldPath};
use seaway_kinds::{defaults, strategy, structural, validation};
use seaway_merge::check;
use seaway_merge::managed::{self, Manager};
use serde_json::{Map, Value};

use super::delete::finish_if_done;
use super::{answer, answer_value, value_of};
use crate::admission;
use crate::api::{Api, Context, media_type, now};
use crate::catalog::Served;
use crate::identity::Identity;
use crate::negotiation::{self, Body};
use crate::status::{ApiError, Cause, Result};
use crate::store::{Change, Entry, Expect, ObjectKey, Write, WriteError, readable};

/// Through which endpoint an object is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Create,
    Update,
    /// Through a subresource that owns only the status.
    Status,
    /// Through `pods/ephemeralcontainers`, which owns only these.
    EphemeralContainers,
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
            Operation::Status => &["spec"],
            Operation::EphemeralContainers => &["status"],
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

/// What to do with fields that the schema does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FieldValidation {
    Ignore,
    Warn,
    Strict,
}

impl FieldValidation {
    fn of(context: &Context) -> Result<Self> {
        match context.query.get("fieldValidation") {
            None | Some("Warn") => Ok(Self::Warn),
            Some("Ignore") => Ok(Self::Ignore),
            Some("Strict") => Ok(Self::Strict),
            Some(other) => Err(ApiError::bad_request(format!(
                "fieldValidation: Unsupported value: \"{other}\": supported values: \"Ignore\", \"Strict\", \"Warn\""
            ))),
        }
    }
}

/// An object as the client sent it, its unknown fields reported and dropped.
pub(crate) struct Decoded {
    pub(crate) value: Value,
    pub(crate) warnings: Vec<String>,
}

/// Reads a request body as the object of this resource.
pub(crate) fn decode(context: &Context, body: &[u8]) -> Result<Decoded> {
    let (value, duplicates) = parse(media_type(&context.headers), body)?;
    check_object(context, value, duplicates)
}

/// The binary form in which Go's typed clients send built-in kinds.
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// Parses JSON, YAML or protobuf; also tells which keys occurred twice.
pub(crate) fn parse(media_type: &str, body: &[u8]) -> Result<(Value, Vec<String>)> {
    match media_type {
        ""
        | "application/json"
        | "application/merge-patch+json"
        | "application/strategic-merge-patch+json" => {
            let value = serde_json::from_slice(body)
                .map_err(|e| ApiError::bad_request(format!("the object provided is not valid JSON: {e}")))?;
            Ok((value, crate::duplicates::in_json(body)))
        }
        "application/yaml" | "application/apply-patch+yaml" => {
            let text = std::str::from_utf8(body)
                .map_err(|e| ApiError::bad_request(format!("the object provided is not UTF-8: {e}")))?;
            crate::duplicates::in_yaml(text)
        }
        PROTOBUF => {
            let value = seaway_protobuf::decode(body).map_err(|e| {
                ApiError::bad_request(format!("the object provided is not valid protobuf: {e}"))
            })?;
            Ok((value, vec![]))
        }
        _ => Err(ApiError::unsupported_media_type(&["application/json", "application/yaml", PROTOBUF])),
    }
}

/// Checks kind, types and fields of a parsed object.
pub(crate) fn check_object(context: &Context, mut value: Value, duplicates: Vec<String>) -> Result<Decoded> {
    let served = &context.served;
    let expected = (served.api_version(), served.kind());
    if value.is_null() {
        value = Value::Object(Map::new());
    }
    if !value.is_object() {
        return Err(ApiError::bad_request(format!(
            "the object provided is not an object: expected {}, Kind={}",
            expected.0, expected.1
        )));
    }
    for (field, wanted) in [("apiVersion", expected.0.as_str()), ("kind", expected.1)] {
        match &value[field] {
            // Custom objects have no type of their own that would say it.
            Value::Null if served.custom.is_some() => {
                return Err(ApiError::bad_request(format!("Object '{field}' is missing in the data")));
            }
            Value::String(found) if found != wanted && field == "kind" && served.custom.is_some() => {
                let cause = Cause {
                    reason: "FieldValueInvalid",
                    message: format!("Invalid value: {found:?}: must be {wanted}"),
                    field: "kind".into(),
                };
                let name = value["metadata"]["name"].as_str().unwrap_or_default();
                return Err(ApiError::invalid(served.group(), found, name, vec![cause]));
            }
            Value::Null => value[field] = wanted.into(),
            Value::String(found) if found == wanted => {}
            found => {
                return Err(ApiError::bad_request(format!(
                    "the {field} in the data ({}) does not match the expected {field} ({wanted})",
                    found.as_str().map_or_else(|| found.to_string(), str::to_owned)
                )));
            }
        }
    }
    if !value["metadata"].is_object() {
        if !value["metadata"].is_null() {
            return Err(ApiError::bad_request("metadata: expected an object"));
        }
        value["metadata"] = Value::Object(Map::new());
    }
    let mode = FieldValidation::of(context)?;
    let mut problems = duplicates;
    if mode != FieldValidation::Ignore {
        problems.extend(check::unknown_fields(&value, &served.schema));
    } else {
        problems.clear();
    }
    if mode == FieldValidation::Strict && !problems.is_empty() {
        return Err(ApiError::bad_request(format!(
            "{} in version \"{}\" cannot be handled as a {}: strict decoding error: {}",
            served.kind(),
            served.resource.version,
            served.kind(),
            problems.join(", ")
        )));
    }
    check::prune(&mut value, &served.schema);
    wrong_types(served, &value)?;
    undecodable_bytes(served, &value)?;
    Ok(Decoded { value, warnings: problems })
}

/// Bytes are base64 in JSON.
fn undecodable_bytes(served: &Served, value: &Value) -> Result<()> {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    let field = match (served.group(), served.kind()) {
        ("", "Secret") => "data",
        ("", "ConfigMap") => "binaryData",
        _ => return Ok(()),
    };
    let entries = value[field].as_object().into_iter().flatten();
    for (key, text) in entries.filter_map(|(key, text)| Some((key, text.as_str()?))) {
        // Go's decoder passes over line breaks.
        if STANDARD.decode(text.replace(['\r', '\n'], "")).is_err() {
            return Err(ApiError::bad_request(format!(
                "{} in version \"{}\" cannot be handled as a {}: {field}[{key}]: illegal base64 data",
                served.kind(),
                served.resource.version,
                served.kind()
            )));
        }
    }
    Ok(())
}

/// A wrong type is refused while decoding, as Go's decoder does. Of custom objects only `metadata` has types then;
/// the rest is validated against their schema.
fn wrong_types(served: &Served, value: &Value) -> Result<()> {
    let problems = check::wrong_types(value, &served.schema);
    let typed = |path: &str| served.custom.is_none() || path.starts_with("metadata");
    let Some(first) = problems.iter().find(|problem| typed(&problem.path)) else { return Ok(()) };
    Err(ApiError::bad_request(format!(
        "{} in version \"{}\" cannot be handled as a {}: json: cannot unmarshal {} into Go struct field {}.{} of type {}",
        served.kind(),
        served.resource.version,
        served.kind(),
        go_type(first.got),
        served.kind(),
        first.path,
        first.expected
    )))
}

/// JSON's types as Go's decoder calls them.
fn go_type(got: &str) -> &str {
    match got {
        "boolean" => "bool",
        "integer" => "number",
        other => other,
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
    let entry = match context.api.store.get(&context.served.storage, &context.key()) {
        Some(old) => {
            let request = Request::of(context, Operation::Update)?;
            update_with(&request, old, |_| Ok(value.clone())).await?
        }
        None if creates_on_update(&context.served) && value["metadata"]["resourceVersion"].is_null() => {
            may_create(context)?;
            let request = Request::of(context, Operation::Create)?;
            let entry = write_object(&request, None, value).await?;
            return Ok(answer(context, StatusCode::CREATED, &entry));
        }
        None => return Err(context.not_found()),
    };
    let mut response = answer(context, StatusCode::OK, &entry);
    negotiation::warn(&mut response, &warnings);
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
        match write_object(request, Some(&old), new).await {
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

/// The way of every write. `old` is the state that `value` was computed from.
pub(crate) async fn write_object(
    request: &Request<'_>,
    old: Option<&Arc<Entry>>,
    mut value: Value,
) -> Result<Arc<Entry>> {
    let served = request.served;
    let (group, kind) = (served.group(), served.kind());
    let before = old.map(|e| value_of(served, e));

    seaway_protobuf::canonical(&mut value);
    apply_defaults(served, &mut value);
    match &before {
        None => new_metadata(&mut value),
        Some(before) => kept_metadata(&mut value, before),
    }
    if let (Operation::EphemeralContainers, Some(before)) = (request.operation, &before) {
        strategy::keep_all_but_ephemeral_containers(&mut value, before);
    }
    if !request.owned {
        // A custom object begins as nothing; a built-in one as its Go type does.
        let nothing = Value::Object(Map::new());
        let from = before.as_ref().or(served.custom.is_some().then_some(&nothing));
        value = managed::update(from, &value, &served.schema, &request.ownership())
            .map_err(|e| ApiError::bad_request(e.to_string()))?;
    }
    let has_status = served.has_status();
    match (&before, request.operation, served.custom.is_some()) {
        (None, _, true) => strategy::prepare_custom_for_create(&mut value, has_status),
        (None, _, false) => strategy::prepare_for_create(group, kind, &mut value),
        (Some(before), Operation::Status, true) => {
            strategy::prepare_custom_for_status_update(&mut value, before)
        }
        (Some(before), Operation::Status, false) => {
            strategy::prepare_for_status_update(group, kind, &mut value, before);
        }
        (Some(before), _, true) => strategy::prepare_custom_for_update(&mut value, before, has_status),
        (Some(before), _, false) => strategy::prepare_for_update(group, kind, &mut value, before),
    }
    admission::admit(request, before.as_ref(), &mut value)?;
    validate(request, before.as_ref(), &value)?;
    seaway_protobuf::canonical(&mut value);
    if let Some(before) = &before
        && unchanged(before, &value)
    {
        return Ok(old.expect("there is a state before").clone());
    }
    let namespace = value["metadata"]["namespace"].as_str().unwrap_or_default();
    let quotas = match request.operation {
        Operation::Status => vec![],
        _ if namespace.is_empty() => vec![],
        _ => admission::quota::quotas(&request.api.store, namespace),
    };
    if quotas.is_empty() {
        return store(request, old, value).await;
    }
    // Two writes that each fit alone may not fit together: one after the other here.
    let _turn = request.api.quota_turn(namespace).lock().await;
    admission::within_quota(request, &quotas, before.as_ref(), &value)?;
    store(request, old, value).await
}

async fn store(request: &Request<'_>, old: Option<&Arc<Entry>>, mut value: Value) -> Result<Arc<Entry>> {
    let served = request.served;
    let key = ObjectKey::new(
        value["metadata"]["namespace"].as_str().unwrap_or_default(),
        value["metadata"]["name"].as_str().unwrap_or_default(),
    );
    let size = serde_json::to_vec(&value).map_or(0, |v| v.len());
    if size > OBJECT_LIMIT {
        return Err(ApiError::too_large(OBJECT_LIMIT));
    }
    crate::conversion::to_storage(served, &mut value);
    readable(&value).map_err(|e| store_error(served, &key.name, &e))?;
    let finished = old.is_some() && finish_if_done(&value);
    if request.dry_run {
        if old.is_none() && request.api.store.get(&served.storage, &key).is_some() {
            return Err(exists(request, &key));
        }
        let entry = match old {
            Some(old) => Entry::new(key, old.revision, value),
            None => Entry::unstored(key, value),
        };
        return Ok(Arc::new(entry));
    }
    let write = |change| Write {
        resource: served.storage.clone(),
        key: key.clone(),
        expect: old.map_or(Expect::Absent, |e| Expect::Revision(e.revision)),
        change,
    };
    if let (true, Some(old)) = (finished, old) {
        // Watchers see the last stored state, the client what it wrote.
        let gone = request.api.store.write(write(Change::Delete(old.value()))).await;
        let gone = gone.map_err(|e| store_error(served, &key.name, &e))?;
        return Ok(Arc::new(Entry::new(key, gone.revision, value)));
    }
    match request.api.store.write(write(Change::Put(value))).await {
        Err(WriteError::Exists) => Err(exists(request, &key)),
        other => other.map_err(|e| store_error(served, &key.name, &e)),
    }
}

/// The name is taken, perhaps by an object that is on its way out.
fn exists(request: &Request<'_>, key: &ObjectKey) -> ApiError {
    let served = request.served;
    let mut error = ApiError::already_exists(served.group(), served.plural(), &key.name);
    if request.api.store.get(&served.storage, key).is_some_and(|e| e.meta.deleting) {
        error.message = format!("object is being deleted: {}", error.message);
    }
    error
}

/// Largest stored object; etcd's default request limit.
const OBJECT_LIMIT: usize = 1536 * 1024;

pub(crate) fn store_error(served: &Served, name: &str, error: &WriteError) -> ApiError {
    match error {
        WriteError::Exists => ApiError::already_exists(served.group(), served.plural(), name),
        WriteError::Conflict => ApiError::modified(served.group(), served.plural(), name),
        WriteError::NoNamespace(namespace) => ApiError::not_found("", "namespaces", namespace),
        WriteError::NamespaceEnds(namespace) => {
            ApiError::terminating(served.group(), served.plural(), name, namespace)
        }
        // As what cannot be decoded.
        WriteError::TooDeep => ApiError::bad_request(format!(
            "{} in version \"{}\" cannot be handled as a {}: {error}",
            served.kind(),
            served.resource.version,
            served.kind()
        )),
        WriteError::Unavailable(_) | WriteError::Closed => ApiError::not_kept(error),
    }
}

fn apply_defaults(served: &Served, value: &mut Value) {
    check::default(value, &served.schema);
    if served.custom.is_none() {
        defaults::default_object(served.group(), &served.resource.version, served.kind(), value);
    }
}

fn metadata_mut(value: &mut Value) -> &mut Map<String, Value> {
    if !value["metadata"].is_object() {
        value["metadata"] = Value::Object(Map::new());
    }
    value["metadata"].as_object_mut().expect("it was made an object")
}

/// What the server decides in a new object.
fn new_metadata(value: &mut Value) {
    let metadata = metadata_mut(value);
    for field in ["resourceVersion", "selfLink", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        metadata.remove(field);
    }
    metadata.insert("uid".into(), uuid::Uuid::new_v4().to_string().into());
    metadata.insert("creationTimestamp".into(), now().into());
    let empty = metadata.get("name").and_then(Value::as_str).is_none_or(str::is_empty);
    if empty
        && let Some(base) = metadata.get("generateName").and_then(Value::as_str).filter(|b| !b.is_empty())
    {
        let name = generate_name(base);
        metadata.insert("name".into(), name.into());
    }
}

/// A name as Kubernetes makes them: the base, shortened to 58, and five characters without vowels.
fn generate_name(base: &str) -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut name: String = base.chars().take(58).collect();
    for _ in 0..5 {
        name.push(char::from(ALPHABET[rand::random_range(0..ALPHABET.len())]));
    }
    name
}

/// What an update cannot change; a client that leaves it out gets it back.
fn kept_metadata(value: &mut Value, before: &Value) {
    let old = &before["metadata"];
    let metadata = metadata_mut(value);
    metadata.remove("selfLink");
    for field in ["uid", "creationTimestamp", "generation"] {
        let empty = metadata.get(field).is_none_or(|v| v.is_null() || v == "");
        if empty || field != "uid" {
            keep(metadata, old, field);
        }
    }
    for field in ["deletionTimestamp", "deletionGracePeriodSeconds", "resourceVersion"] {
        keep(metadata, old, field);
    }
}

fn keep(metadata: &mut Map<String, Value>, old: &Value, field: &str) {
    match old.get(field) {
        Some(kept) => drop(metadata.insert(field.into(), kept.clone())),
        None => drop(metadata.remove(field)),
    }
}

fn validate(request: &Request<'_>, before: Option<&Value>, value: &Value) -> Result<()> {
    let served = request.served;
    let (group, kind) = (served.group(), served.kind());
    let rule = if served.custom.is_some() {
        validation::NameRule::Subdomain
    } else {
        validation::name_rule(group, kind)
    };
    let mut errors = validation::validate_metadata(value, served.resource.namespaced, rule);
    if let Some(before) = before {
        errors.extend(validation::validate_metadata_update(value, before));
    }
    // Definitions are checked by the generic rules alone; their own finalizer has no path.
    if served.custom.is_none() && group != "apiextensions.k8s.io" {
        errors.extend(standard_finalizers(value));
    }
    errors.extend(match (&served.custom, before) {
        (None, None) => validation::validate_create(group, kind, value),
        (None, Some(before)) if request.operation == Operation::EphemeralContainers => {
            validation::validate_ephemeral_containers_update(value, before)
        }
        (None, Some(before)) => validation::validate_update(group, kind, value, before),
        (Some(custom), before) => structural::validate(&custom.validator, before, value),
    });
    if errors.is_empty() {
        return Ok(());
    }
    let causes: Vec<Cause> = errors.iter().map(cause).collect();
    let name = value["metadata"]["name"].as_str().unwrap_or_default();
    Err(ApiError::invalid(group, kind, name, causes))
}

/// Finalizers of Kubernetes' own kinds without a domain must be Kubernetes' own.
fn standard_finalizers(value: &Value) -> Vec<FieldError> {
    let known =
        |name: &str| name.contains('/') || matches!(name, "kubernetes" | "orphan" | "foregroundDeletion");
    let finalizers = value["metadata"]["finalizers"].as_array().into_iter().flatten().enumerate();
    finalizers
        .filter_map(|(index, name)| Some((index, name.as_str().filter(|name| !known(name))?)))
        .map(|(index, name)| {
            let path = FieldPath::new("metadata").child("finalizers").index(index);
            let why = "name is neither a standard finalizer name nor is it fully qualified";
            FieldError::invalid(&path, name, why)
        })
        .collect()
}

fn cause(error: &FieldError) -> Cause {
    Cause { reason: error.kind.reason(), message: error.body(), field: error.field.clone() }
}

/// Whether an update changes nothing, so that it needs no write and no new revision.
fn unchanged(before: &Value, value: &Value) -> bool {
    if before == value {
        return true;
    }
    let timeless = |v: &Value| {
        let mut v = v.clone();
        for entry in v["metadata"]["managedFields"].as_array_mut().into_iter().flatten() {
            if let Some(entry) = entry.as_object_mut() {
                entry.remove("time");
            }
        }
        v
    };
    timeless(before) == timeless(value)
}

/// An answer for an object that was not stored as such.
pub(super) fn respond(context: &Context, code: StatusCode, value: Value) -> Response<Body> {
    answer_value(context, code, value)
}
