//! What holds for any sequence of applies and writes.

use super::*;
use crate::fieldset::FieldSet;
use crate::typed::{compare, merge, remove};
use proptest::prelude::*;

fn spec() -> impl Strategy<Value = Value> {
    let names = || prop::collection::btree_set("[abc]", 0..3);
    let map =
        prop::collection::btree_map("[abc]", (prop::option::of("[12]"), prop::option::of("[12]")), 0..3);
    let entries = || prop::collection::btree_map("[abc]", "[12]", 0..3);
    (
        prop::option::of(names()),
        prop::option::of(names()),
        prop::option::of(map),
        prop::option::of(entries()),
        prop::option::of(entries()),
        prop::option::of(0..3_i64),
    )
        .prop_map(|(atomic, set, map, whole, free, number)| {
            let mut spec = serde_json::Map::new();
            let mut put = |name: &str, value: Option<Value>| {
                spec.extend(value.map(|value| (name.to_owned(), value)));
            };
            put("atomic", atomic.map(|v| json!(v)));
            put("set", set.map(|v| json!(v)));
            put("whole", whole.map(|v| json!(v)));
            put("free", free.map(|v| json!(v)));
            put("number", number.map(|v| json!(v)));
            put(
                "map",
                map.map(|map| {
                    let items = map.into_iter().map(|(name, (value, extra))| {
                        let mut item = json!({"name": name});
                        if let Some(value) = value {
                            item["value"] = value.into();
                        }
                        if let Some(extra) = extra {
                            item["extra"] = extra.into();
                        }
                        item
                    });
                    items.collect()
                }),
            );
            Value::Object(spec)
        })
}

/// The object without order in sets and keyed lists, and without empty containers: apply gives no place to a
/// removed element.
fn plain(object: &Value) -> Value {
    let mut object = bare(object);
    if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) {
        for name in ["set", "map"] {
            if let Some(Value::Array(list)) = spec.get_mut(name) {
                list.sort_by_key(Value::to_string);
            }
        }
        spec.retain(|_, value| !(value == &json!([]) || value == &json!({})));
    }
    if object["spec"] == json!({}) {
        object.as_object_mut().unwrap().remove("spec");
    }
    object
}

/// Every path that somebody owns is in the object.
fn owned_is_there(object: &Value) -> Result<(), TestCaseError> {
    let there = compare(&custom(), &json!({}), &bare(object)).added;
    for entry in object["metadata"]["managedFields"].as_array().into_iter().flatten() {
        let set = FieldSet::from_fields_v1(&entry["fieldsV1"]).unwrap();
        prop_assert_eq!(set.difference(&there), FieldSet::new(), "{}", object);
    }
    Ok(())
}

proptest! {
    #[test]
    fn apply_is_idempotent(a in spec(), b in spec()) {
        let ty = custom();
        let live = stored(update_as("u", None, &thing(a), &ty));
        let once = force_as("b", Some(&live), &thing(b.clone()), &ty);
        prop_assert_eq!(force_as("b", Some(&once), &thing(b.clone()), &ty), once.clone());
        // Nobody is in the way of what one owns already.
        prop_assert_eq!(apply_as("b", Some(&once), &thing(b), &ty).unwrap(), once);
    }

    #[test]
    fn what_is_applied_is_there(a in spec(), b in spec()) {
        let ty = custom();
        let live = stored(apply_as("a", None, &thing(a), &ty).unwrap());
        let out = force_as("b", Some(&live), &thing(b.clone()), &ty);
        // Laying the applied object over the result changes nothing.
        prop_assert_eq!(plain(&merge(&ty, &bare(&out), &thing(b))), plain(&out));
        owned_is_there(&out)?;
    }

    #[test]
    fn a_sole_owner_that_applies_less_restores_what_was_before(a in spec(), b in spec()) {
        let ty = custom();
        let live = stored(update_as("u", None, &thing(a), &ty));
        // Only where it met no conflict: force takes fields over for good.
        if let Ok(out) = apply_as("b", Some(&live), &thing(b), &ty) {
            let nothing = json!({"apiVersion": "e.com/v1", "kind": "Thing", "metadata": {"name": "t"}});
            let back = apply_as("b", Some(&out), &nothing, &ty).unwrap();
            prop_assert_eq!(plain(&back), plain(&live));
            prop_assert_eq!(fields_of(&back, "b", "Apply"), Value::Null);
        }
    }

    #[test]
    fn applying_twice_differently_is_applying_the_second(a in spec(), b in spec()) {
        let ty = custom();
        let first = stored(apply_as("a", None, &thing(a), &ty).unwrap());
        let both = apply_as("a", Some(&first), &thing(b.clone()), &ty).unwrap();
        let only = stored(apply_as("a", None, &thing(b), &ty).unwrap());
        prop_assert_eq!(plain(&both), plain(&only));
        prop_assert_eq!(fields_of(&both, "a", "Apply"), fields_of(&only, "a", "Apply"));
    }

    #[test]
    fn nobody_owns_what_is_not_there(steps in prop::collection::vec((0..3_usize, any::<bool>(), spec()), 1..6)) {
        let ty = custom();
        let mut live: Option<Value> = None;
        for (who, by_apply, spec) in steps {
            let who = ["a", "b", "c"][who];
            let next = if by_apply {
                force_as(who, live.as_ref(), &thing(spec), &ty)
            } else {
                let mut new = live.clone().unwrap_or_else(|| thing(json!({})));
                new["spec"] = spec;
                update_as(who, live.as_ref(), &new, &ty)
            };
            let next = stored(next);
            owned_is_there(&next)?;
            live = Some(next);
        }
    }

    #[test]
    fn compare_finds_nothing_between_equals_and_mirrors_when_turned(a in spec(), b in spec()) {
        let ty = custom();
        let (a, b) = (thing(a), thing(b));
        let same = compare(&ty, &a, &a);
        prop_assert!(same.added.is_empty() && same.modified.is_empty() && same.removed.is_empty());
        let (there, back) = (compare(&ty, &a, &b), compare(&ty, &b, &a));
        prop_assert_eq!(there.added, back.removed);
        prop_assert_eq!(there.modified, back.modified);
        prop_assert_eq!(there.removed, back.added);
    }

    #[test]
    fn merging_over_itself_or_nothing_changes_nothing(a in spec()) {
        let ty = custom();
        let a = thing(a);
        prop_assert_eq!(merge(&ty, &a, &a), a.clone());
        prop_assert_eq!(merge(&ty, &json!({}), &a), a.clone());
        prop_assert_eq!(merge(&ty, &a, &json!({})), a.clone());
        prop_assert_eq!(remove(&ty, &a, &FieldSet::new()), Some(a));
    }
}
