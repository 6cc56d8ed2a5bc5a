//! The way of every write: defaults, ownership, strategy, admission, validation, store.

use std::sync::Arc;

use seaway_kinds::field_error::{FieldError, Path as FieldPath};
use seaway_kinds::{defaults, strategy, structural, validation, warnings};
use seaway_merge::{check, managed};
use serde_json::{Map, Value};

use super::delete::finish_if_done;
use super::metadata::{kept_metadata, new_metadata};
use super::write::{Operation, Request};
use crate::admission;
use crate::catalog::Served;
use crate::status::{ApiError, Cause, Result};
use crate::store::{Change, Entry, Expect, ObjectKey, Write, WriteError, readable};

/// The way of every write. `old` is the state that `value` was computed from, as it is stored and as it was read.
pub(crate) async fn write_object(
    request: &Request<'_>,
    old: Option<(&Arc<Entry>, Value)>,
    mut value: Value,
) -> Result<Arc<Entry>> {
    let served = request.served;
    let (group, kind) = (served.group(), served.kind());
    let (old, before) = old.unzip();

    seaway_protobuf::canonical(&mut value);
    apply_defaults(served, &mut value);
    match &before {
        None => new_metadata(&mut value),
        Some(before) => kept_metadata(&mut value, before),
    }
    if let Some(before) = &before {
        match request.operation {
            Operation::EphemeralContainers => {
                strategy::keep_all_but_ephemeral_containers(&mut value, before);
            }
            Operation::Resize => strategy::keep_all_but_container_resources(&mut value, before),
            Operation::Approval => strategy::keep_all_but_conditions(&mut value, before),
            Operation::Create | Operation::Update | Operation::Status | Operation::Finalize => {}
        }
    }
    let finalizers = (request.operation == Operation::Finalize).then(|| value["spec"]["finalizers"].clone());
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
        // Nothing but the conditions is new, and these are no business of an ordinary update.
        (Some(_), Operation::Approval, false) => {}
        (Some(before), _, false) => strategy::prepare_for_update(group, kind, &mut value, before),
    }
    if let Some(finalizers) = finalizers {
        value["spec"]["finalizers"] = finalizers;
    }
    // Addresses and ports are chosen among those that are free: one Service after the other, until it is stored.
    let _turn = match (group, kind, request.operation) {
        ("", "Service", Operation::Create | Operation::Update) => Some(request.api.service_turn.lock().await),
        _ => None,
    };
    admission::admit(request, before.as_ref(), &mut value)?;
    validate(request, before.as_ref(), &value)?;
    admission::check(request, before.as_ref(), &value)?;
    warn(request, before.as_ref(), &value);
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
    if size(&value) > OBJECT_LIMIT {
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
    if request.api.store.get(&served.storage, key).is_some_and(|e| !e.is_readable()) {
        error.message = format!("{}, and cannot be read: delete it first", error.message);
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
        WriteError::Unreadable => {
            ApiError::unreadable(served.group(), served.plural(), name, "it has to be deleted first")
        }
        WriteError::Unavailable(_) | WriteError::Closed => ApiError::not_kept(error),
    }
}

fn apply_defaults(served: &Served, value: &mut Value) {
    check::default(value, &served.schema);
    if served.custom.is_none() {
        defaults::default_object(served.group(), &served.resource.version, served.kind(), value);
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
        (None, Some(before)) if request.operation == Operation::Resize => {
            validation::validate_pod_resize(value, before)
        }
        (None, Some(before)) if request.operation == Operation::Approval => {
            validation::validate_approval_update(value, before)
        }
        (None, Some(before)) if request.operation == Operation::Status => {
            validation::validate_status_update(group, kind, value, before)
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

/// Tells the client what is accepted and still not right.
fn warn(request: &Request<'_>, before: Option<&Value>, value: &Value) {
    let served = request.served;
    let found = match (&served.custom, request.operation) {
        (Some(_), _) => warnings::for_custom_object(value, before),
        (None, Operation::Create | Operation::Update) => {
            warnings::for_object(served.group(), served.kind(), value, before)
        }
        (None, _) => vec![],
    };
    let kind = warnings::for_api(served.group(), &served.resource.version, served.kind());
    let found = kind.map(str::to_owned).into_iter().chain(found);
    let mut told = request.warnings.lock();
    // A write that is tried again says the same again.
    for warning in found {
        if !told.contains(&warning) {
            told.push(warning);
        }
    }
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

/// Whether an update changes nothing, so that it needs no write and no new revision: when somebody took part in owning
/// what he already owns is no change.
fn unchanged(before: &Value, value: &Value) -> bool {
    let same_owner = |before: &Value, value: &Value| {
        same(before, value, &mut |field, before, value| field == "time" || before == value)
    };
    let same_owners = |before: &Value, value: &Value| match (before.as_array(), value.as_array()) {
        (Some(before), Some(value)) => {
            before.len() == value.len() && before.iter().zip(value).all(|(b, v)| same_owner(b, v))
        }
        _ => before == value,
    };
    same(before, value, &mut |field, before, value| match field {
        "metadata" => same(before, value, &mut |field, before, value| match field {
            "managedFields" => same_owners(before, value),
            _ => before == value,
        }),
        _ => before == value,
    })
}

/// Whether two objects have the same fields, each of them the same by `field`.
fn same(one: &Value, other: &Value, field: &mut dyn FnMut(&str, &Value, &Value) -> bool) -> bool {
    let (Some(fields), Some(others)) = (one.as_object(), other.as_object()) else { return one == other };
    let is_same =
        |(name, value): (&String, &Value)| others.get(name).is_some_and(|other| field(name, value, other));
    fields.len() == others.len() && fields.iter().all(is_same)
}

/// How many bytes a value takes as JSON.
fn size(value: &Value) -> usize {
    struct Length(usize);
    impl std::io::Write for Length {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut length = Length(0);
    match serde_json::to_writer(&mut length, value) {
        Ok(()) => length.0,
        Err(_) => 0,
    }
}
