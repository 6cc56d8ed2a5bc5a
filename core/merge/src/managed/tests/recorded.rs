//! What structured-merge-diff itself made of random sequences of applies and writes.
//!
//! `testdata/structured-merge-diff-4.1.2.jsonl` was recorded from that library (Debian's
//! golang-k8s-sigs-structured-merge-diff-dev): a sequence a line; each step with its input and the object, the
//! managers' sets and the conflicts that came out.

use super::*;
use crate::managed::{apply, update};
use std::collections::BTreeMap;

const RECORDED: &str = include_str!("../../../testdata/structured-merge-diff-4.1.2.jsonl");

/// The schema that the recording was made with.
fn schema() -> TypeRef {
    let string = json!({"type": "string"});
    let structure = json!({"type": "object", "properties": {"a": string, "inner":
        {"type": "object", "properties": {"a": string, "inner":
            {"type": "object", "properties": {"a": string, "inner": {"type": "object", "properties": {}}}}}}}});
    from_structural(&json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
        "atomic": {"type": "array", "items": string},
        "set": {"type": "array", "x-kubernetes-list-type": "set", "items": string},
        "map": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name", "port"],
            "items": {"type": "object", "properties": {
                "name": string, "port": {"type": "integer", "default": 80}, "value": string,
                "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": string}}}},
        "whole": {"type": "object", "x-kubernetes-map-type": "atomic", "additionalProperties": string},
        "labels": {"type": "object", "additionalProperties": string},
        "struct": structure,
        "free": {"x-kubernetes-preserve-unknown-fields": true},
        "number": {"type": "integer"},
    }}}}))
    .unwrap()
}

fn whole(object: &Value) -> Value {
    let mut object = object.clone();
    object["apiVersion"] = "v1".into();
    object["kind"] = "Thing".into();
    object["metadata"] = json!({"name": "t"});
    object
}

/// Only what the recording has.
fn part(object: &Value) -> Value {
    let mut out = json!({});
    if let Some(spec) = object.get("spec") {
        out["spec"] = spec.clone();
    }
    out
}

/// Sets and keyed lists in one order: 4.1.2 keeps the live object's, later versions and this one follow what is
/// applied.
fn unordered(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.iter()
                .map(|(name, value)| {
                    let mut value = unordered(value);
                    if ["set", "map", "tags"].contains(&name.as_str())
                        && let Value::Array(list) = &mut value
                    {
                        list.sort_by_key(Value::to_string);
                    }
                    (name.clone(), value)
                })
                .collect(),
        ),
        Value::Array(list) => Value::Array(list.iter().map(unordered).collect()),
        other => other.clone(),
    }
}

fn sets(object: &Value) -> BTreeMap<String, Value> {
    object["metadata"]["managedFields"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|entry| {
            let id =
                format!("{}/{}", entry["manager"].as_str().unwrap(), entry["operation"].as_str().unwrap());
            (id, entry["fieldsV1"].clone())
        })
        .collect()
}

/// The library leaves `null` where a container lost its content, even if it is applied as an empty one. Here an
/// applied empty container stays one, and others go.
fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.values().any(has_null),
        Value::Array(list) => list.iter().any(has_null),
        _ => false,
    }
}

fn replay(line: &str) -> Result<usize, String> {
    let ty = schema();
    let steps: Vec<Value> = serde_json::from_str(line).unwrap();
    let mut live: Option<Value> = None;
    for (index, step) in steps.iter().enumerate() {
        let who = manager(step["manager"].as_str().unwrap(), "v1");
        let untracked = live.as_ref().is_some_and(|live| sets(live).is_empty());
        if untracked {
            if part(live.as_ref().unwrap()) != json!({}) {
                // An API server would now begin with `before-first-apply`; the library knows no such thing.
                return Ok(index);
            }
            live = None;
        }
        let out = match step.get("apply") {
            Some(applied) => match apply(live.as_ref(), &whole(applied), &ty, &who, step["force"] == true) {
                Ok(out) => out,
                Err(ApplyError::Conflict(conflicts)) => {
                    let mut got: Vec<String> = conflicts
                        .iter()
                        .map(|c| format!("{}/{} {}", c.manager, c.operation, c.field))
                        .collect();
                    got.sort();
                    if step["conflicts"] != json!(got) {
                        return Err(format!(
                            "step {index}: conflicts {got:?}\nrecorded {step}\nlive {live:?}"
                        ));
                    }
                    continue;
                }
                Err(error) => return Err(format!("step {index}: {error}\n{step}")),
            },
            None => {
                let mut new = whole(&step["update"]);
                if let Some(live) = &live {
                    new["metadata"] = live["metadata"].clone();
                }
                update(live.as_ref(), &new, &ty, &who).unwrap()
            }
        };
        if step.get("conflicts").is_some() {
            return Err(format!("step {index}: conflicts were recorded: {step}\nlive {live:?}"));
        }
        if has_null(&step["object"]) {
            return Ok(index);
        }
        let expected = step["object"].clone();
        let expected_sets: BTreeMap<String, Value> =
            serde_json::from_value(step["managers"].clone()).unwrap();
        if unordered(&part(&out)) != unordered(&expected) || sets(&out) != expected_sets {
            return Err(format!(
                "step {index}: {step}\nlive     {}\nobject   {}\nrecorded {expected}\nsets     {:?}\nrecorded {:?}",
                live.unwrap_or_default(),
                part(&out),
                sets(&out),
                expected_sets
            ));
        }
        live = Some(out);
    }
    Ok(steps.len())
}

#[test]
fn every_recorded_sequence_comes_out_alike() {
    let failures: Vec<String> = RECORDED
        .lines()
        .enumerate()
        .filter_map(|(number, line)| {
            replay(line).err().map(|problem| format!("line {}: {problem}", number + 1))
        })
        .collect();
    assert!(failures.is_empty(), "{} differ, the first:\n{}", failures.len(), failures.join("\n\n"));
}
