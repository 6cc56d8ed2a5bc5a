//! What the server decides itself before an object is stored: the REST strategies.

use serde_json::Value;

/// Prepares a new object, after defaulting and before validation.
pub fn prepare_for_create(group: &str, kind: &str, object: &mut Value) {
    let _ = (group, kind, object);
}

/// Prepares an update through the main resource.
pub fn prepare_for_update(group: &str, kind: &str, new: &mut Value, old: &Value) {
    let _ = (group, kind, new, old);
}

/// Prepares an update through the `status` subresource.
pub fn prepare_for_status_update(group: &str, kind: &str, new: &mut Value, old: &Value) {
    let _ = (group, kind, new, old);
}

/// How long a deletion waits, in seconds, for kinds that are deleted gracefully.
pub fn graceful_deletion_seconds(group: &str, kind: &str, object: &Value) -> Option<i64> {
    let _ = (group, kind, object);
    None
}
