//! What differs between two states of one object, field by field.
//!
//! Lists are compared the way they merge: by their keys, as sets, or as a whole.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::fieldset::{Path, PathElement};
use crate::schema::{ListKind, ListType, Shape, TypeRef, untyped};

/// One field that differs.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// The field.
    pub path: Path,
    /// Before; `None` if it was absent.
    pub from: Option<Value>,
    /// After; `None` if it is absent then.
    pub to: Option<Value>,
}

/// What the system writes into every object.
const SYSTEM_METADATA: &[&str] =
    &["managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink"];

/// What differs, without status and what the system alone writes.
pub fn differences(schema: &TypeRef, from: &Value, to: &Value) -> Vec<Difference> {
    compare(schema, Some(&relevant(from)), Some(&relevant(to))).differences
}

/// How far two states agree.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Comparison {
    /// How many fields are equal: a list that merges as a whole is one field, and so is an empty map.
    pub equal: usize,
    /// The others. What is absent on one side is one difference, however much the other side has there.
    pub differences: Vec<Difference>,
}

/// Compares two states as they are; `None` is an object that is not there.
pub fn compare(schema: &TypeRef, from: Option<&Value>, to: Option<&Value>) -> Comparison {
    let mut walk = Walk { path: Vec::new(), found: Comparison::default() };
    walk.visit(schema, from, to);
    walk.found
}

/// The value at a path, as it is named in a [`Difference`].
pub fn get<'a>(schema: &TypeRef, value: &'a Value, path: &[PathElement]) -> Option<&'a Value> {
    let Some((element, rest)) = path.split_first() else { return Some(value) };
    let (child, ty) = match (element, value) {
        (PathElement::Field(name), Value::Object(map)) => {
            (map.get(name)?, schema.field(name).unwrap_or_else(untyped))
        }
        (element, Value::Array(items)) => {
            let Shape::List(list) = &schema.shape else { return None };
            (items.iter().find(|item| identity(list, item) == *element)?, list.element.clone())
        }
        _ => return None,
    };
    get(&ty, child, rest)
}

/// Puts a value to a path, or removes what is there; whether there is such a place.
pub fn set(schema: &TypeRef, value: &mut Value, path: &[PathElement], to: Option<Value>) -> bool {
    let Some((element, rest)) = path.split_first() else {
        *value = to.unwrap_or(Value::Null);
        return true;
    };
    match (element, value) {
        (PathElement::Field(name), Value::Object(map)) => match (rest.is_empty(), to) {
            (true, Some(to)) => {
                map.insert(name.clone(), to);
                true
            }
            (true, None) => {
                map.remove(name);
                true
            }
            (false, to) => {
                let ty = schema.field(name).unwrap_or_else(untyped);
                map.get_mut(name).is_some_and(|child| set(&ty, child, rest, to))
            }
        },
        (element, Value::Array(items)) => {
            let Shape::List(list) = &schema.shape else { return false };
            let at = items.iter().position(|item| identity(list, item) == *element);
            match (at, rest.is_empty(), to) {
                (Some(at), true, Some(to)) => items[at] = to,
                (Some(at), true, None) => {
                    items.remove(at);
                }
                (None, true, Some(to)) => items.push(to),
                (None, true, None) => {}
                (Some(at), false, to) => return set(&list.element, &mut items[at], rest, to),
                (None, false, _) => return false,
            }
            true
        }
        _ => false,
    }
}

/// The object without status and what the system alone writes.
pub fn relevant(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(map) = object.as_object_mut() {
        map.remove("status");
        if let Some(metadata) = map.get_mut("metadata").and_then(Value::as_object_mut) {
            for field in SYSTEM_METADATA {
                metadata.remove(*field);
            }
        }
    }
    object
}

struct Walk {
    path: Path,
    found: Comparison,
}

impl Walk {
    fn visit(&mut self, ty: &TypeRef, from: Option<&Value>, to: Option<&Value>) {
        if is_absent(from) && is_absent(to) {
            return;
        }
        match (&ty.shape, from, to) {
            (_, Some(Value::Object(a)), Some(Value::Object(b))) if a.is_empty() && b.is_empty() => {
                self.found.equal += 1;
            }
            (Shape::Object(object), Some(Value::Object(a)), Some(Value::Object(b))) if !object.atomic => {
                self.map(ty, a, b);
            }
            (Shape::Deduced, Some(Value::Object(a)), Some(Value::Object(b))) => self.map(ty, a, b),
            (Shape::List(list), Some(Value::Array(a)), Some(Value::Array(b)))
                if list.kind != ListKind::Atomic =>
            {
                self.list(list, a, b);
            }
            _ if from == to => self.found.equal += 1,
            _ => {
                let (from, to) = (from.cloned(), to.cloned());
                self.found.differences.push(Difference { path: self.path.clone(), from, to });
            }
        }
    }

    fn map(&mut self, ty: &TypeRef, from: &Map<String, Value>, to: &Map<String, Value>) {
        let mut names: Vec<&String> = from.keys().chain(to.keys()).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let child = ty.field(name).unwrap_or_else(untyped);
            self.path.push(PathElement::Field(name.clone()));
            self.visit(&child, from.get(name), to.get(name));
            self.path.pop();
        }
    }

    fn list(&mut self, list: &ListType, from: &[Value], to: &[Value]) {
        let mut items: BTreeMap<PathElement, (Option<&Value>, Option<&Value>)> = BTreeMap::new();
        for item in from {
            items.entry(identity(list, item)).or_default().0 = Some(item);
        }
        for item in to {
            items.entry(identity(list, item)).or_default().1 = Some(item);
        }
        for (element, (from, to)) in items {
            self.path.push(element);
            self.visit(&list.element, from, to);
            self.path.pop();
        }
    }
}

/// `null` says the same as nothing.
fn is_absent(value: Option<&Value>) -> bool {
    value.is_none_or(Value::is_null)
}

fn identity(list: &ListType, item: &Value) -> PathElement {
    let ListKind::Map(keys) = &list.kind else { return PathElement::Value(item.clone()) };
    let default = |key: &str| match &list.element.shape {
        Shape::Object(object) => object.fields.get(key).and_then(|field| field.default.clone()),
        _ => None,
    };
    let fields = keys.iter().filter_map(|key| {
        let value = item.get(key).cloned().or_else(|| default(key))?;
        Some((key.clone(), value))
    });
    PathElement::key(fields.collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{fieldset::display, schema::for_kind};
    use serde_json::json;

    fn lines(schema: &TypeRef, from: Value, to: Value) -> Vec<String> {
        let show = |value: Option<Value>| value.map_or("-".to_owned(), |value| value.to_string());
        let line = |d: Difference| format!("{} {} → {}", display(&d.path), show(d.from), show(d.to));
        differences(schema, &from, &to).into_iter().map(line).collect()
    }

    #[test]
    fn containers_are_compared_by_name_and_ports_by_port_and_protocol() {
        let schema = for_kind("apps", "v1", "Deployment").unwrap();
        let pods = |containers: Value| json!({"spec": {"template": {"spec": {"containers": containers}}}});
        let from = pods(json!([
            {"name": "a", "image": "x:1", "ports": [{"containerPort": 80, "protocol": "TCP"}]},
            {"name": "b", "image": "y:1"},
        ]));
        let to = pods(json!([
            {"name": "b", "image": "y:1"},
            {"name": "a", "image": "x:2", "ports": [{"containerPort": 80, "protocol": "TCP", "name": "http"}]},
        ]));
        let at = ".spec.template.spec.containers[name=\"a\"]";
        assert_eq!(
            lines(&schema, from, to),
            [
                format!("{at}.image \"x:1\" → \"x:2\""),
                format!("{at}.ports[containerPort=80,protocol=\"TCP\"].name - → \"http\""),
            ]
        );
    }

    #[test]
    fn equal_fields_are_counted_and_every_difference_has_a_place() {
        let schema = for_kind("apps", "v1", "Deployment").unwrap();
        let deployment = |image: &str, replicas: u32, extra: Value| {
            json!({"spec": {"replicas": replicas, "template": {"spec": {"containers": [
                {"name": "a", "image": image, "args": ["x", "y"], "ports": [{"containerPort": 80}]}, extra]}}}})
        };
        let (a, b) = (deployment("x:1", 1, json!({"name": "b"})), deployment("x:2", 1, json!({"name": "c"})));
        let found = compare(&schema, Some(&a), Some(&b));
        // replicas, the name, the arguments and the port of `a`.
        assert_eq!((found.equal, found.differences.len()), (4, 3));
        let mut changed = a.clone();
        for difference in &found.differences {
            assert_eq!(get(&schema, &a, &difference.path), difference.from.as_ref());
            assert_eq!(get(&schema, &b, &difference.path), difference.to.as_ref());
            assert!(set(&schema, &mut changed, &difference.path, difference.to.clone()));
        }
        assert_eq!(changed, b);
        let all = compare(&schema, None, Some(&b)).differences;
        assert_eq!(all, [Difference { path: vec![], from: None, to: Some(b) }]);
    }

    #[test]
    fn status_and_what_the_system_writes_do_not_count() {
        let from = json!({"metadata": {"uid": "1", "labels": {"a": "1"}}, "status": {"x": 1}});
        let to = json!({"metadata": {"resourceVersion": "2", "labels": {}}});
        assert_eq!(lines(&untyped(), from, to), [".metadata.labels.a \"1\" → -"]);
    }

    #[test]
    fn lists_without_keys_are_compared_as_a_whole() {
        assert_eq!(lines(&untyped(), json!({"a": [1, 2]}), json!({"a": [2, 1]})), [".a [1,2] → [2,1]"]);
        assert_eq!(lines(&untyped(), json!({"a": null}), json!({})), Vec::<String>::new());
    }
}
