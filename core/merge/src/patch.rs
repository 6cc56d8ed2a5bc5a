//! JSON patch (RFC 6902) and JSON merge patch (RFC 7386), with the limits of a Kubernetes API server.

use serde_json::Value;

/// A JSON patch may have this many operations.
pub const MAX_OPERATIONS: usize = 10_000;
/// What all `copy` operations of one patch together may add, in bytes of JSON.
const MAX_COPIED: usize = 3 * 1024 * 1024;
/// How deep an object may be nested after a patch; what is read from JSON is limited likewise.
const MAX_DEPTH: usize = 128;

/// Why a patch could not be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatchError {
    /// The patch is not a patch: HTTP 400, reason `BadRequest`.
    #[error("{0}")]
    Malformed(String),
    /// The patch is larger than allowed: HTTP 413, reason `RequestEntityTooLarge`.
    #[error("{0}")]
    TooLarge(String),
    /// The patch is well-formed but does not fit the object: HTTP 422, reason `Invalid`.
    #[error("{0}")]
    Unprocessable(String),
}

/// Applies a JSON patch (RFC 6902): a list of operations, all or none. Paths are JSON pointers; `test` with `null`
/// also holds where nothing is.
///
/// # Errors
/// [`PatchError`]; the text names the operation that failed and its path.
pub fn json_patch(original: &Value, patch: &Value) -> Result<Value, PatchError> {
    let Value::Array(operations) = patch else {
        return Err(PatchError::Malformed("a JSON patch must be a list of operations".to_owned()));
    };
    if operations.len() > MAX_OPERATIONS {
        return Err(PatchError::TooLarge(format!(
            "The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {}",
            operations.len()
        )));
    }
    let mut document = original.clone();
    let mut copied = 0;
    for (index, operation) in operations.iter().enumerate() {
        let text = |name: &str| operation.get(name).and_then(Value::as_str).unwrap_or_default();
        let (op, path) = (text("op"), text("path"));
        if op == "test" && operation.get("value") == Some(&Value::Null) && document.pointer(path).is_none() {
            continue;
        }
        let parsed: json_patch::PatchOperation =
            serde_json::from_value(operation.clone()).map_err(|error| {
                let problem = format!("operation {index} of the JSON patch: {error}");
                // A list of objects is a patch, even if one of them is no operation.
                if operation.is_object() {
                    PatchError::Unprocessable(problem)
                } else {
                    PatchError::Malformed(problem)
                }
            })?;
        if let Some(added) = added(&document, operation, op) {
            if path.matches('/').count() + depth(added) > MAX_DEPTH {
                return Err(PatchError::Unprocessable(format!(
                    "{op} operation does not apply: {path:?} would be nested deeper than {MAX_DEPTH} levels"
                )));
            }
            if op == "copy" {
                copied += added.to_string().len();
                if copied > MAX_COPIED {
                    return Err(PatchError::TooLarge(format!(
                        "the copy operations of a JSON patch may add {MAX_COPIED} bytes"
                    )));
                }
            }
        }
        json_patch::patch_unsafe(&mut document, std::slice::from_ref(&parsed))
            .map_err(|error| PatchError::Unprocessable(explain(op, path, text("from"), &error.kind)))?;
    }
    Ok(document)
}

/// What an operation puts into the document.
fn added<'a>(document: &'a Value, operation: &'a Value, op: &str) -> Option<&'a Value> {
    match op {
        "add" | "replace" => operation.get("value"),
        "copy" | "move" => document.pointer(operation.get("from")?.as_str()?),
        _ => None,
    }
}

fn depth(value: &Value) -> usize {
    let mut deepest = 0;
    let mut pending = vec![(value, 1)];
    while let Some((value, level)) = pending.pop() {
        deepest = deepest.max(level);
        match value {
            Value::Object(map) => pending.extend(map.values().map(|value| (value, level + 1))),
            Value::Array(list) => pending.extend(list.iter().map(|value| (value, level + 1))),
            _ => {}
        }
    }
    deepest
}

fn explain(op: &str, path: &str, from: &str, kind: &json_patch::PatchErrorKind) -> String {
    match kind {
        json_patch::PatchErrorKind::TestFailed => format!("testing value {path} failed: test failed"),
        json_patch::PatchErrorKind::InvalidFromPointer => {
            format!("{op} operation does not apply: doc is missing from path: {from}: missing value")
        }
        json_patch::PatchErrorKind::InvalidPointer => {
            format!("{op} operation does not apply: doc is missing path: {path}: missing value")
        }
        other => format!("{op} operation does not apply: {path}: {other}"),
    }
}

/// Applies a JSON merge patch (RFC 7386): objects merge, `null` removes, everything else replaces.
///
/// # Errors
/// [`PatchError::Malformed`] when the patch of an object is not an object.
pub fn merge_patch(original: &Value, patch: &Value) -> Result<Value, PatchError> {
    if original.is_object() && !patch.is_object() {
        return Err(PatchError::Malformed("a JSON merge patch of an object must be an object".to_owned()));
    }
    let mut document = original.clone();
    json_patch::merge(&mut document, patch);
    Ok(document)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn operations_apply_in_order_and_all_or_none() {
        let original = json!({"a": [1, 2], "b": {"c": "d"}});
        let patch = json!([
            {"op": "add", "path": "/a/-", "value": 3},
            {"op": "replace", "path": "/b/c", "value": "e"},
            {"op": "move", "from": "/b/c", "path": "/f"},
            {"op": "copy", "from": "/a/0", "path": "/g~1h"},
            {"op": "remove", "path": "/a/1"},
            {"op": "test", "path": "/f", "value": "e"},
            {"op": "test", "path": "/nowhere", "value": null},
        ]);
        assert_eq!(json_patch(&original, &patch).unwrap(), json!({"a": [1, 3], "b": {}, "f": "e", "g/h": 1}));
    }

    #[test]
    fn a_failing_operation_is_named_with_its_path() {
        let original = json!({"spec": {"replicas": 1}});
        for (operation, expected) in [
            (
                json!({"op": "test", "path": "/spec/replicas", "value": 2}),
                "testing value /spec/replicas failed: test failed",
            ),
            (
                json!({"op": "remove", "path": "/spec/x"}),
                "remove operation does not apply: doc is missing path: /spec/x: missing value",
            ),
            (
                json!({"op": "copy", "from": "/y", "path": "/x"}),
                "copy operation does not apply: doc is missing from path: /y: missing value",
            ),
        ] {
            let error = json_patch(&original, &json!([operation])).unwrap_err();
            assert_eq!(error, PatchError::Unprocessable(expected.to_owned()));
        }
        let error = json_patch(&original, &json!([{"op": "jump", "path": "/x"}])).unwrap_err();
        assert!(matches!(error, PatchError::Unprocessable(text) if text.contains("operation 0")));
        assert!(matches!(json_patch(&original, &json!(["x"])), Err(PatchError::Malformed(_))));
        assert!(matches!(json_patch(&original, &json!({})), Err(PatchError::Malformed(_))));
    }

    #[test]
    fn a_patch_cannot_grow_without_bound() {
        let operation = json!({"op": "test", "path": "/a", "value": 1});
        let many = Value::Array(vec![operation; MAX_OPERATIONS + 1]);
        let error = json_patch(&json!({"a": 1}), &many).unwrap_err();
        assert_eq!(
            error,
            PatchError::TooLarge("The allowed maximum operations in a JSON patch is 10000, got 10001".into())
        );

        // Each copy doubles the depth.
        let deeper = Value::Array(vec![json!({"op": "copy", "from": "/a", "path": "/a/b"}); 200]);
        assert!(matches!(json_patch(&json!({"a": {}}), &deeper), Err(PatchError::Unprocessable(_))));

        let text = "x".repeat(1024 * 1024);
        let wider = Value::Array(vec![json!({"op": "copy", "from": "/a", "path": "/b"}); 4]);
        assert!(matches!(json_patch(&json!({"a": text}), &wider), Err(PatchError::TooLarge(_))));
    }

    #[test]
    fn merge_patches_merge_objects_and_replace_the_rest() {
        let original = json!({"a": {"b": 1, "c": [1, 2]}, "d": 1});
        let patch = json!({"a": {"b": null, "c": [3]}, "e": {"f": null}});
        assert_eq!(merge_patch(&original, &patch).unwrap(), json!({"a": {"c": [3]}, "d": 1, "e": {}}));
        assert!(matches!(merge_patch(&original, &json!([])), Err(PatchError::Malformed(_))));
    }

    fn document() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![any::<bool>().prop_map(Value::from), (0..3_i64).prop_map(Value::from)];
        let value = leaf.prop_recursive(3, 16, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[abc]", inner, 0..3)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        });
        prop::collection::btree_map("[abc]", value, 0..3)
            .prop_map(|map| Value::Object(map.into_iter().collect()))
    }

    proptest! {
        #[test]
        fn what_json_diff_finds_json_patch_applies(a in document(), b in document()) {
            let patch = serde_json::to_value(json_patch::diff(&a, &b)).unwrap();
            prop_assert_eq!(super::json_patch(&a, &patch).unwrap(), b);
        }

        #[test]
        fn a_merge_patch_applies_once_or_twice_alike(a in document(), b in document()) {
            let once = merge_patch(&a, &b).unwrap();
            prop_assert_eq!(merge_patch(&once, &b).unwrap(), once);
        }
    }
}
