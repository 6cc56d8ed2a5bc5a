//! Server-side apply.

use super::entries::{Entries, Entry, Id};
use super::update::{lose, reconciled, record};
use super::{ApplyError, Conflict, LAST_APPLIED, Manager, owned, without_managed_fields};
use crate::check;
use crate::fieldset::{FieldSet, Path, display};
use crate::schema::TypeRef;
use crate::typed::{compare, field_set, merge, remove, validate, with_named_fields, without_empty_lists};
use crate::value::same;
use serde_json::{Map, Value};

/// The manager that owns what was there before the first apply to an object without managedFields.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";
/// The manager of `kubectl apply --server-side`: it takes over from client-side apply.
const KUBECTL: &str = "kubectl";
/// All annotations together hold at most this many bytes.
const MAX_ANNOTATIONS: usize = 256 * 1024;

/// Server-side apply: merges `applied` into `live` (`None`: the object is created). Returns the merged object with its
/// `metadata.managedFields`, equal to `live` when nothing changed. It still needs what an API server does to every
/// write: restore system fields, default, validate.
///
/// # Errors
/// [`ApplyError::Conflict`] unless `force`; [`ApplyError::BadRequest`] and [`ApplyError::Invalid`] for objects that
/// cannot be applied.
pub fn apply(
    live: Option<&Value>,
    applied: &Value,
    schema: &TypeRef,
    manager: &Manager,
    force: bool,
) -> Result<Value, ApplyError> {
    let applied = acceptable(applied, manager)?;
    validate(schema, &applied)?;
    let old = live.map_or_else(|| schema.zero(), without_managed_fields);
    let mut entries = match live {
        Some(live) => Entries::read(live)?,
        None => Entries::default(),
    };
    let before = entries.clone();
    if entries.0.is_empty() && live.is_some() {
        entries = record(&entries, &schema.zero(), &old, schema, manager, BEFORE_FIRST_APPLY);
    }
    let request = Request { live: live.map(|_| &old), old: &old, applied: &applied, schema, manager };
    let outcome = match request.run(&entries, force) {
        Err(conflicts) => request.run_as_successor(&entries, conflicts)?,
        Ok(outcome) => outcome,
    };
    let (mut object, mut entries) = outcome;
    if manager.name == KUBECTL {
        update_last_applied(&mut object, &applied);
    }
    let unchanged = live.is_some() && same(&object, &old);
    if let Some(live) = live
        && unchanged
        && entries.same_fields(&before)
    {
        return Ok(live.clone());
    }
    entries.drop_empty();
    entries.write(&mut object);
    Ok(object)
}

/// The applied object, if it may be applied at all.
fn acceptable(applied: &Value, manager: &Manager) -> Result<Value, ApplyError> {
    let Some(map) = applied.as_object() else {
        return Err(ApplyError::BadRequest("the applied object must be an object".to_owned()));
    };
    let version = map.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
    if version != manager.api_version {
        return Err(ApplyError::BadRequest(format!(
            "Incorrect version specified in apply patch. Specified patch version: {version}, expected: {}",
            manager.api_version
        )));
    }
    if applied.pointer("/metadata/managedFields").is_some_and(|fields| !fields.is_null()) {
        return Err(ApplyError::BadRequest("metadata.managedFields must be nil".to_owned()));
    }
    let mut applied = without_managed_fields(applied);
    // `kubectl create --dry-run -o yaml` writes it; it says nothing.
    if let Some(metadata) = applied.get_mut("metadata").and_then(Value::as_object_mut)
        && metadata.get("creationTimestamp").is_some_and(Value::is_null)
    {
        metadata.remove("creationTimestamp");
    }
    Ok(applied)
}

struct Request<'a> {
    live: Option<&'a Value>,
    /// The live object, or the zero object for a create.
    old: &'a Value,
    applied: &'a Value,
    schema: &'a TypeRef,
    manager: &'a Manager,
}

/// Fields in conflict with their owners.
type Found = Vec<(Id, String, Path)>;

impl Request<'_> {
    /// The merged object and the entries, or the conflicts.
    fn run(&self, entries: &Entries, force: bool) -> Result<(Value, Entries), Found> {
        let mut entries = reconciled(entries, self.schema);
        let ignored = self.manager.ignored();
        let base = self.live.cloned().unwrap_or_else(|| Value::Object(Map::new()));
        let mut merged = merge(self.schema, &base, self.applied);

        let id = Id::apply(&self.manager.name, &self.manager.subresource);
        let last = entries.take(&id);
        let fields = field_set(self.schema, self.applied).recursive_difference(&ignored);
        entries.put(Entry {
            id: id.clone(),
            api_version: self.manager.api_version.clone(),
            time: last.as_ref().and_then(|last| last.time.clone()),
            fields,
        });
        if let Some(last) = last.filter(|last| !last.fields.is_empty()) {
            let pruned = self.prune(&merged, &last.fields, &entries);
            // An empty map that is applied is owned, but went with the last of its content: it comes back.
            merged = merge(self.schema, &pruned, &without_empty_lists(self.schema, self.applied));
        }
        check::drop_nulls(&mut merged, self.schema);

        let changes = compare(self.schema, self.old, &merged).excluding(&ignored);
        if !force {
            let changed = changes.added.union(&changes.modified);
            let mut conflicts: Found = Vec::new();
            for entry in entries.0.iter().filter(|entry| entry.id != id) {
                for path in entry.fields.intersection(&changed).paths() {
                    conflicts.push((entry.id.clone(), entry.api_version.clone(), path));
                }
            }
            if !conflicts.is_empty() {
                conflicts.sort_by(|a, b| a.0.cmp(&b.0));
                return Err(conflicts);
            }
        }
        lose(&mut entries, &changes, Some(&id));
        let changed = self.live.is_none_or(|live| !same(live, &merged));
        if let Some(entry) = entries.0.iter_mut().find(|entry| entry.id == id) {
            entry.fields = owned(&entry.fields);
            if changed {
                entry.time = Some(self.manager.time.clone());
            }
        }
        entries.drop_empty();
        Ok((merged, entries))
    }

    /// `kubectl apply --server-side` after client-side applies: what the last of those set and nobody changed since
    /// may be taken over without force.
    fn run_as_successor(&self, entries: &Entries, conflicts: Found) -> Result<(Value, Entries), ApplyError> {
        if self.manager.name != KUBECTL {
            return Err(refused(conflicts));
        }
        let Some(allowed) = self.last_applied_and_unchanged() else { return Err(refused(conflicts)) };
        let remaining: Found = conflicts.iter().filter(|(_, _, path)| !allowed.has(path)).cloned().collect();
        if !remaining.is_empty() {
            return Err(refused(remaining));
        }
        self.run(entries, true).map_err(refused)
    }

    fn last_applied_and_unchanged(&self) -> Option<FieldSet> {
        let live = self.live?;
        let text = live.get("metadata")?.get("annotations")?.get(LAST_APPLIED)?.as_str()?;
        let last: Value = serde_json::from_str(text).ok()?;
        if last.get("apiVersion")?.as_str()? != self.manager.api_version {
            return None;
        }
        let changes = compare(self.schema, &last, live);
        let fields = field_set(self.schema, &last);
        Some(fields.difference(&changes.modified).difference(&changes.added).difference(&changes.removed))
    }

    /// Takes away what the manager applied last time, not now, and nobody else owns. Containers that somebody's
    /// field lies in stay.
    fn prune(&self, merged: &Value, last: &FieldSet, entries: &Entries) -> Value {
        let named = |set: &FieldSet| with_named_fields(self.schema, set);
        let without =
            |set: &FieldSet| remove(self.schema, merged, set).unwrap_or_else(|| Value::Object(Map::new()));
        let last = named(last);
        let all = named(&field_set(self.schema, merged));

        let mut pruned = without(&last);
        let mut managed = FieldSet::new();
        for entry in &entries.0 {
            managed.extend(&entry.fields);
        }
        let kept = named(&field_set(self.schema, &pruned)).union(&named(&managed));
        pruned = without(&all.difference(&kept));
        let gone = all.difference(&named(&field_set(self.schema, &pruned)));
        without(&gone.intersection(&last))
    }
}

fn refused(conflicts: Found) -> ApplyError {
    ApplyError::Conflict(
        conflicts
            .into_iter()
            .map(|(id, api_version, path)| Conflict {
                operation: id.operation().to_owned(),
                manager: id.manager,
                api_version,
                subresource: id.subresource,
                field: display(&path),
            })
            .collect(),
    )
}

/// Keeps the annotation of client-side apply in step, where there is one.
fn update_last_applied(object: &mut Value, applied: &Value) {
    let Some(annotations) =
        object.get_mut("metadata").and_then(|m| m.get_mut("annotations")).and_then(Value::as_object_mut)
    else {
        return;
    };
    if annotations.get(LAST_APPLIED).and_then(Value::as_str).is_none_or(str::is_empty) {
        return;
    }
    let mut applied = applied.clone();
    if let Some(own) =
        applied.get_mut("metadata").and_then(|m| m.get_mut("annotations")).and_then(Value::as_object_mut)
    {
        own.remove(LAST_APPLIED);
    }
    annotations.insert(LAST_APPLIED.to_owned(), encoded(&applied).into());
    let size: usize =
        annotations.iter().map(|(name, value)| name.len() + value.as_str().map_or(0, str::len)).sum();
    if size > MAX_ANNOTATIONS {
        annotations.remove(LAST_APPLIED);
    }
}

/// JSON as Go's encoder writes it: sorted keys, `<`, `>` and `&` escaped, a newline at the end.
fn encoded(value: &Value) -> String {
    fn sorted(value: &Value) -> Value {
        match value {
            Value::Object(map) => {
                let mut entries: Vec<_> = map.iter().collect();
                entries.sort_by_key(|(name, _)| *name);
                Value::Object(
                    entries.into_iter().map(|(name, value)| (name.clone(), sorted(value))).collect(),
                )
            }
            Value::Array(list) => Value::Array(list.iter().map(sorted).collect()),
            other => other.clone(),
        }
    }
    let text = sorted(value).to_string();
    text.replace('&', "\\u0026").replace('<', "\\u003c").replace('>', "\\u003e") + "\n"
}
