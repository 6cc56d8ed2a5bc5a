//! `delete` and `deletecollection`: preconditions, grace, finalizers and the three propagations.

use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer;
use super::commit::store_error;
use super::selection::Selection;
use crate::admission::PERMANENT;
use crate::api::{Api, Context};
use crate::catalog::Served;
use crate::negotiation::{self, Body};
use crate::rbac::Attributes;
use crate::status::{self, ApiError, Cause, Result};
use crate::store::{Change, Entry, Expect, NAMESPACES, ObjectKey, Write};

/// Finalizer under which dependents are deleted first.
pub(crate) const FOREGROUND: &str = "foregroundDeletion";
/// Finalizer under which dependents are set free first.
pub(crate) const ORPHAN: &str = "orphan";

/// The option of a deletion that takes no account of what cannot be read (KEP-3926).
const IGNORE_READ_ERRORS: &str = "ignoreStoreReadErrorWithClusterBreakingPotential";
/// The verb of those who may use it, besides `delete` (KEP-3926).
const IGNORE_READ_ERRORS_VERB: &str = "unsafe-delete-ignore-read-errors";

/// What becomes of the objects that name this one as their owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) enum Propagation {
    Background,
    Foreground,
    Orphan,
}

/// How an object is to be deleted (`DeleteOptions`).
#[derive(Clone, Debug, Default)]
pub(crate) struct Deletion {
    pub(crate) propagation: Option<Propagation>,
    pub(crate) grace_seconds: Option<i64>,
    pub(crate) uid: Option<String>,
    pub(crate) resource_version: Option<String>,
    pub(crate) dry_run: bool,
    /// Of an object that cannot be read, no finalizer counts.
    pub(crate) ignores_read_errors: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Options {
    ignore_store_read_error_with_cluster_breaking_potential: Option<bool>,
    grace_period_seconds: Option<i64>,
    propagation_policy: Option<String>,
    orphan_dependents: Option<bool>,
    preconditions: Option<Preconditions>,
    dry_run: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Preconditions {
    uid: Option<String>,
    resource_version: Option<String>,
}

impl Deletion {
    fn of(context: &Context, body: &[u8]) -> Result<Self> {
        let options: Options = if body.is_empty() {
            Options::default()
        } else {
            let unreadable =
                |e: String| ApiError::plain(format!("couldn't get version/kind; json parse error: {e}"));
            let (value, _) = super::decode::parse(crate::api::media_type(&context.headers), body)
                .map_err(|e| if e.code == StatusCode::BAD_REQUEST { unreadable(e.message) } else { e })?;
            if let Some(kind) = value["kind"].as_str().filter(|kind| *kind != "DeleteOptions") {
                return Err(ApiError::plain(format!("{kind:?} is no DeleteOptions")));
            }
            if !value.is_object() {
                return Err(unreadable("DeleteOptions are an object".into()));
            }
            serde_json::from_value(value)
                .map_err(|e| ApiError::bad_request(format!("the DeleteOptions are not valid: {e}")))?
        };
        let policy = options.propagation_policy.as_deref().or(context.query.get("propagationPolicy"));
        if policy.is_some() && options.orphan_dependents.is_some() {
            return Err(refused(
                "FieldValueInvalid",
                "propagationPolicy",
                format!(
                    "Invalid value: {:?}: orphanDependents and deletionPropagation cannot be both set",
                    policy.unwrap_or_default()
                ),
            ));
        }
        let policy = match policy {
            None => None,
            Some("Background") => Some(Propagation::Background),
            Some("Foreground") => Some(Propagation::Foreground),
            Some("Orphan") => Some(Propagation::Orphan),
            Some(other) => {
                return Err(refused(
                    "FieldValueNotSupported",
                    "propagationPolicy",
                    format!(
                        "Unsupported value: {other:?}: supported values: \"Foreground\", \"Background\", \
                         \"Orphan\", \"nil\""
                    ),
                ));
            }
        };
        let orphan = options
            .orphan_dependents
            .map(|orphan| if orphan { Propagation::Orphan } else { Propagation::Background });
        let preconditions = options.preconditions.unwrap_or_default();
        Ok(Self {
            propagation: policy.or(orphan),
            grace_seconds: match options.grace_period_seconds {
                Some(seconds) => Some(seconds),
                None => context.query.number("gracePeriodSeconds")?,
            },
            uid: preconditions.uid,
            resource_version: preconditions.resource_version,
            ignores_read_errors: options.ignore_store_read_error_with_cluster_breaking_potential
                == Some(true)
                || context.query.flag(IGNORE_READ_ERRORS),
            dry_run: context.query.dry_run("DeleteOptions")?
                | crate::request::check_dry_run(&options.dry_run, "DeleteOptions")?,
        })
    }
}

fn refused(reason: &'static str, field: &str, message: String) -> ApiError {
    ApiError::invalid_options("DeleteOptions", Cause { reason, message, field: field.into() })
}

/// What a deletion came to.
pub(crate) enum Outcome {
    /// It is gone; this was its last state.
    Gone(Value),
    /// It waits for finalizers or its grace period.
    Pending(Arc<Entry>),
}

pub(super) async fn delete(context: &Context, body: &Bytes) -> Result<Response<Body>> {
    let deletion = Deletion::of(context, body)?;
    let entry =
        context.api.store.get(&context.served.storage, &context.key()).ok_or_else(|| context.not_found())?;
    let readable = entry.is_readable();
    if deletion.ignores_read_errors && !readable {
        may_ignore_read_errors(context)?;
    }
    match delete_object(&context.api, &context.served, entry, &deletion).await? {
        Outcome::Pending(entry) => Ok(answer(context, StatusCode::OK, &entry)),
        Outcome::Gone(mut value) if readable && returns_deleted(&context.served) => {
            if context.served.kind() == "Pod" && value["metadata"]["deletionTimestamp"].is_null() {
                value["metadata"]["deletionTimestamp"] = crate::api::now().into();
                value["metadata"]["deletionGracePeriodSeconds"] = 0.into();
            }
            Ok(super::answer_value(context, StatusCode::OK, value))
        }
        Outcome::Gone(value) => {
            let uid = value["metadata"]["uid"].as_str().unwrap_or_default();
            let status =
                status::deleted(context.served.group(), context.served.plural(), &context.path.name, uid);
            Ok(negotiation::json(StatusCode::OK, &status))
        }
    }
}

fn may_ignore_read_errors(context: &Context) -> Result<()> {
    let (group, plural, name) = (context.served.group(), context.served.plural(), &context.path.name);
    let attributes = Attributes {
        verb: IGNORE_READ_ERRORS_VERB.into(),
        group: group.into(),
        resource: plural.into(),
        namespace: context.path.namespace.clone(),
        name: name.clone(),
        path: None,
    };
    if context.api.authorizer.allowed(&context.identity, &attributes) {
        return Ok(());
    }
    Err(ApiError::forbidden(group, plural, name, attributes.refusal(&context.identity.name)))
}

/// Kinds whose deletion answers the object and not a Status.
fn returns_deleted(served: &Served) -> bool {
    matches!(
        (served.group(), served.kind()),
        (
            "",
            "ResourceQuota"
                | "PersistentVolume"
                | "ServiceAccount"
                | "PersistentVolumeClaim"
                | "Namespace"
                | "Pod"
                | "Service"
                | "PodTemplate"
        ) | ("storage.k8s.io", "CSIDriver" | "StorageClass" | "VolumeAttachment" | "CSINode")
    )
}

pub(super) async fn delete_collection(context: &Context, body: &Bytes) -> Result<Response<Body>> {
    let deletion = Deletion::of(context, body)?;
    if deletion.ignores_read_errors {
        let why =
            "Invalid value: true: it is for one object: delete those that cannot be read by their names";
        return Err(refused("FieldValueInvalid", IGNORE_READ_ERRORS, why.into()));
    }
    let selection = Selection::of(context)?;
    let namespace = (!context.namespace().is_empty()).then(|| context.namespace());
    let entries: Vec<Arc<Entry>> = context
        .api
        .store
        .all(&context.served.storage, namespace)
        .into_iter()
        .filter(|e| selection.matches(e))
        .collect();
    // As in a list: what cannot be read is not shown.
    let readable = entries.iter().filter(|entry| entry.is_readable());
    let items: Vec<Value> = readable.map(|entry| super::read::item_of(&context.served, entry)).collect();
    // One that stays, as one that cannot be read and has finalizers does, keeps no other from its end.
    let mut failed = None;
    for entry in entries {
        match delete_object(&context.api, &context.served, entry, &deletion).await {
            Err(e) if e.code != StatusCode::NOT_FOUND => drop(failed.get_or_insert(e)),
            _ => {}
        }
    }
    if let Some(error) = failed {
        return Err(error);
    }
    let mut metadata = json!({"resourceVersion": context.api.store.revision().to_string()});
    if context.served.custom.is_some() {
        metadata["continue"] = "".into();
    }
    Ok(negotiation::json(
        StatusCode::OK,
        &json!({"kind": context.served.resource.list_kind, "apiVersion": context.served.api_version(),
                "metadata": metadata, "items": items}),
    ))
}

/// Deletes an object, or begins to.
pub(crate) async fn delete_object(
    api: &Arc<Api>,
    served: &Arc<Served>,
    mut entry: Arc<Entry>,
    deletion: &Deletion,
) -> Result<Outcome> {
    let name = entry.key.name.clone();
    if &*served.storage == NAMESPACES && PERMANENT.contains(&name.as_str()) {
        return Err(ApiError::forbidden("", "namespaces", &name, "this namespace may not be deleted"));
    }
    if !entry.is_readable() {
        return remove_unreadable(api, served, &entry, deletion).await;
    }
    let not_found = || ApiError::not_found(served.group(), served.plural(), &name);
    for _ in 0..64 {
        check_preconditions(served, &entry, deletion)?;
        let before = entry.value();
        let next = begin(served, &before, deletion, jiff::Timestamp::now());
        let write = match next {
            Step::Remove(value) if deletion.dry_run => return Ok(Outcome::Gone(value)),
            Step::Mark(value) if deletion.dry_run => {
                let marked = Entry::new(entry.key.clone(), entry.revision, value);
                return Ok(Outcome::Pending(Arc::new(marked)));
            }
            Step::Nothing => return Ok(Outcome::Pending(entry)),
            Step::Remove(value) => (true, value),
            Step::Mark(value) => (false, value),
        };
        let (removes, value) = write;
        let change = if removes { Change::Delete(value) } else { Change::Put(value) };
        let write = Write {
            resource: served.storage.clone(),
            key: entry.key.clone(),
            expect: Expect::Revision(entry.revision),
            change,
        };
        match api.store.write(write).await {
            Ok(written) if removes => return Ok(Outcome::Gone(written.value())),
            Ok(written) => return Ok(Outcome::Pending(written)),
            Err(crate::store::WriteError::Conflict) => {
                entry = api.store.get(&served.storage, &entry.key).ok_or_else(not_found)?;
            }
            Err(e) => return Err(store_error(served, &entry.key.name, &e)),
        }
    }
    Err(ApiError::modified(served.group(), served.plural(), &entry.key.name))
}

/// Removes an object that cannot be read: at once, since nobody can do what would have to be done before. One that says
/// that somebody wants to do something before (a finalizer) goes only when that is not to count. A namespace is emptied
/// before: nobody would do that afterwards.
async fn remove_unreadable(
    api: &Arc<Api>,
    served: &Arc<Served>,
    entry: &Arc<Entry>,
    deletion: &Deletion,
) -> Result<Outcome> {
    check_preconditions(served, entry, deletion)?;
    let value = entry.value();
    if has_finalizers(&value) && !deletion.ignores_read_errors {
        let why = format!(
            "{}. It has finalizers, which nobody can handle now: only a deletion with the option \
             {IGNORE_READ_ERRORS} (also as a query parameter) takes no account of them",
            entry.unreadable.as_deref().unwrap_or_default()
        );
        return Err(ApiError::unreadable(served.group(), served.plural(), &entry.key.name, why));
    }
    if deletion.dry_run {
        return Ok(Outcome::Gone(value));
    }
    if &*served.storage == NAMESPACES && !crate::controllers::empty_namespace(api, &entry.key.name).await {
        let why = "it cannot be read, and goes when nothing is left in it. The objects in it are being deleted, and \
                   some wait for their end or for finalizers: delete it again when they are gone";
        return Err(ApiError::conflict(served.group(), served.plural(), &entry.key.name, why));
    }
    let write = Write {
        resource: served.storage.clone(),
        key: entry.key.clone(),
        expect: Expect::Revision(entry.revision),
        change: Change::Delete(value),
    };
    let gone = api.store.write(write).await.map_err(|e| store_error(served, &entry.key.name, &e))?;
    let ObjectKey { namespace, name } = &entry.key;
    tracing::warn!(
        resource = &*served.storage,
        namespace,
        name,
        "an object that could not be read was deleted"
    );
    Ok(Outcome::Gone(gone.value()))
}

fn check_preconditions(served: &Served, entry: &Entry, deletion: &Deletion) -> Result<()> {
    let refuse = |what: &str, wanted: &str, found: &str| {
        let might = if what == "UID" { "deleted and then recreated" } else { "modified" };
        ApiError::conflict(
            served.group(),
            served.kind(),
            &entry.key.name,
            format!(
                "the {what} in the precondition ({wanted}) does not match the {what} in record ({found}). \
                 The object might have been {might}"
            ),
        )
    };
    if let Some(uid) = &deletion.uid
        && *uid != entry.meta.uid
    {
        return Err(refuse("UID", uid, &entry.meta.uid));
    }
    let revision = entry.revision.to_string();
    match &deletion.resource_version {
        Some(wanted) if *wanted != revision => Err(refuse("ResourceVersion", wanted, &revision)),
        _ => Ok(()),
    }
}

enum Step {
    Remove(Value),
    Mark(Value),
    Nothing,
}

/// The next state of an object that is to be deleted.
fn begin(served: &Served, before: &Value, deletion: &Deletion, now: jiff::Timestamp) -> Step {
    let mut value = before.clone();
    set_propagation(&mut value, deletion.propagation);
    let default_grace =
        seaway_kinds::strategy::graceful_deletion_seconds(served.group(), served.kind(), before).unwrap_or(0);
    let grace = match default_grace {
        0 => 0,
        default => deletion.grace_seconds.unwrap_or(default).max(0),
    };
    let metadata = &before["metadata"];
    if metadata["deletionTimestamp"].is_string() {
        let remaining = metadata["deletionGracePeriodSeconds"].as_i64().unwrap_or(0);
        let asked_shorter = deletion.grace_seconds.is_some_and(|g| g < remaining);
        if asked_shorter && grace < remaining {
            value["metadata"]["deletionGracePeriodSeconds"] = grace.into();
            value["metadata"]["deletionTimestamp"] = deletion_time(now, grace).into();
        }
        if finish_if_done(&value) {
            return Step::Remove(value);
        }
        return if value == *before { Step::Nothing } else { Step::Mark(value) };
    }
    if &*served.storage == crate::catalog::CRDS {
        crate::definitions::terminate(&mut value);
    }
    // A namespace is always marked first: until it is empty, it stays.
    let namespace = &*served.storage == NAMESPACES;
    if grace == 0 && !has_finalizers(&value) && !namespace {
        return Step::Remove(value);
    }
    value["metadata"]["deletionTimestamp"] = deletion_time(now, grace).into();
    // A namespace begins its end by a way of its own, without a grace period.
    if !namespace {
        value["metadata"]["deletionGracePeriodSeconds"] = grace.into();
    }
    if let Some(generation) = metadata["generation"].as_i64().filter(|g| *g > 0) {
        value["metadata"]["generation"] = (generation + 1).into();
    }
    if namespace {
        value["status"]["phase"] = "Terminating".into();
    }
    Step::Mark(value)
}

fn deletion_time(now: jiff::Timestamp, grace: i64) -> String {
    let at = now.checked_add(jiff::SignedDuration::from_secs(grace)).unwrap_or(now);
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A policy replaces the finalizer of another one; without a policy they stay as they are.
fn set_propagation(value: &mut Value, propagation: Option<Propagation>) {
    let Some(propagation) = propagation else { return };
    let mut finalizers: Vec<Value> = value["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
    let wanted = match propagation {
        Propagation::Background => None,
        Propagation::Foreground => Some(FOREGROUND),
        Propagation::Orphan => Some(ORPHAN),
    };
    finalizers.retain(|f| {
        let f = f.as_str();
        (f != Some(FOREGROUND) && f != Some(ORPHAN)) || f == wanted
    });
    if let Some(wanted) = wanted
        && !finalizers.iter().any(|f| f == wanted)
    {
        finalizers.push(wanted.into());
    }
    if let Some(metadata) = value["metadata"].as_object_mut() {
        if finalizers.is_empty() {
            metadata.remove("finalizers");
        } else {
            metadata.insert("finalizers".into(), finalizers.into());
        }
    }
}

fn has_finalizers(value: &Value) -> bool {
    let some = |list: &Value| list.as_array().is_some_and(|f| !f.is_empty());
    some(&value["metadata"]["finalizers"])
        || (value["kind"] == "Namespace" && some(&value["spec"]["finalizers"]))
}

/// Whether an object that is being deleted waits for nothing any more.
pub(crate) fn finish_if_done(value: &Value) -> bool {
    let metadata = &value["metadata"];
    metadata["deletionTimestamp"].is_string()
        && metadata["deletionGracePeriodSeconds"].as_i64().unwrap_or(0) == 0
        && !has_finalizers(value)
}
