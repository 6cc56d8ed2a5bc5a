//! Ownership of plain writes: create, update, patch.

use super::entries::{Entries, Entry, Id};
use super::{Manager, owned, without_managed_fields};
use crate::Error;
use crate::fieldset::FieldSet;
use crate::schema::TypeRef;
use crate::typed::{Comparison, compare, reconcile};
use serde_json::Value;

/// A plain write (create, update, patch): returns `new` with its `metadata.managedFields` brought up to date. `live`
/// is the stored object, `None` for a create; `new` is the object as it will be stored (defaulted).
///
/// The manager owns what changed; everybody else loses what changed or went away. `managedFields` in `new` are taken
/// as sent (not through a subresource), `[]` and `[{}]` reset them, and unreadable or absent ones are those of `live`.
/// An object that has none stays without: ownership is counted from its creation or its first apply.
///
/// # Errors
/// [`Error::Object`] when `new` is not an object.
pub fn update(
    live: Option<&Value>,
    new: &Value,
    schema: &TypeRef,
    manager: &Manager,
) -> Result<Value, Error> {
    if !new.is_object() {
        return Err(Error::Object { path: String::new(), problem: "must be an object".to_owned() });
    }
    let entries = live_or_new(live, new, manager);
    let mut out = without_managed_fields(new);
    let is_stored = live.and_then(|live| live.pointer("/metadata/uid")).is_some_and(|uid| uid != "");
    if entries.0.is_empty() && is_stored {
        return Ok(out);
    }
    let old = live.map_or_else(|| schema.zero(), without_managed_fields);
    let mut entries = record(&entries, &old, &out, schema, manager, &manager.name);
    entries.cap_updaters();
    entries.write(&mut out);
    Ok(out)
}

/// The entries to start from.
fn live_or_new(live: Option<&Value>, new: &Value, manager: &Manager) -> Entries {
    let of_live = || live.and_then(|live| Entries::read(live).ok()).unwrap_or_default();
    if !manager.subresource.is_empty() {
        return of_live();
    }
    if Entries::asks_for_reset(new) {
        return Entries::default();
    }
    match Entries::read(new) {
        Ok(entries) if !entries.0.is_empty() => entries,
        // Clients that do not know managedFields must not lose them by accident.
        _ => of_live(),
    }
}

/// The entries after a write that made `new` of `old`, both without managedFields.
pub(super) fn record(
    entries: &Entries,
    old: &Value,
    new: &Value,
    schema: &TypeRef,
    manager: &Manager,
    name: &str,
) -> Entries {
    let ignored = manager.ignored();
    let changes = compare(schema, old, new);
    let mut out = reconciled(entries, schema);
    lose(&mut out, &changes.excluding(&ignored), None);
    out.drop_empty();
    let changed = changes.added.union(&changes.modified).difference(&changes.removed);
    let gained = owned(&changed.recursive_difference(&ignored));
    if !gained.is_empty() {
        let id = Id::update(name, &manager.api_version, &manager.subresource);
        let previous = out.take(&id).map(|entry| entry.fields).unwrap_or_default();
        out.put(Entry {
            id,
            api_version: manager.api_version.clone(),
            time: Some(manager.time.clone()),
            fields: previous.union(&gained),
        });
    }
    out
}

/// Everybody but `keeper` loses what changed and what is gone.
pub(super) fn lose(entries: &mut Entries, changes: &Comparison, keeper: Option<&Id>) {
    let lost: FieldSet = changes.added.union(&changes.modified).union(&changes.removed);
    for entry in &mut entries.0 {
        if Some(&entry.id) != keeper {
            entry.fields = entry.fields.difference(&lost);
        }
    }
}

/// The entries in line with a schema that changed since they were written.
pub(super) fn reconciled(entries: &Entries, schema: &TypeRef) -> Entries {
    let mut out = entries.clone();
    for entry in &mut out.0 {
        if let Some(fields) = reconcile(schema, &entry.fields) {
            entry.fields = fields;
        }
    }
    out
}
