//! What differs between two states of one object, field by field.
//!
//! Lists are compared the way they merge: by their keys, as sets, or as a whole.

use std::collections::BTreeMap;

use seaway_merge::fieldset::{Path, PathElement};
use seaway_merge::schema::{ListKind, ListType, Shape, TypeRef, untyped};
use serde_json::{Map, Value};

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
    let mut walk = Walk { path: Vec::new(), found: Vec::new() };
    walk.visit(schema, Some(&relevant(from)), Some(&relevant(to)));
    walk.found
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
    found: Vec<Difference>,
}

impl Walk {
    fn visit(&mut self, ty: &TypeRef, from: Option<&Value>, to: Option<&Value>) {
        if from == to || (is_absent(from) && is_absent(to)) {
            return;
        }
        match (&ty.shape, from, to) {
            (Shape::Object(object), Some(Value::Object(a)), Some(Value::Object(b))) if !object.atomic => {
                self.map(ty, a, b);
            }
            (Shape::Deduced, Some(Value::Object(a)), Some(Value::Object(b))) => self.map(ty, a, b),
            (Shape::List(list), Some(Value::Array(a)), Some(Value::Array(b)))
                if list.kind != ListKind::Atomic =>
            {
                self.list(list, a, b);
            }
            _ => {
                self.found.push(Difference { path: self.path.clone(), from: from.cloned(), to: to.cloned() })
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
    use seaway_merge::{fieldset::display, schema::for_kind};
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
