//! From what was rendered to what is sent: the object as the environment wants it.

use std::collections::BTreeMap;

use seaway_api::ENVIRONMENT_LABEL;
pub use seaway_object::Scope;
use seaway_object::{GroupVersionKind, ObjectId, identity};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::applyset::PART_OF_LABEL;
use crate::options::ObjectOptions;

/// Where an object was written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Origin {
    /// The file, from the repository's root.
    pub file: String,
    /// The line, from 1; 0 when it is not known.
    pub line: usize,
}

/// An object that an environment wants.
#[derive(Debug, Clone)]
pub struct Desired {
    /// Identity, with namespace.
    pub id: ObjectId,
    /// Type as written.
    pub kind: GroupVersionKind,
    /// What is sent.
    pub value: Value,
    /// The component that it belongs to.
    pub component: String,
    /// Where it was written.
    pub origin: Origin,
    /// What its annotations ask for.
    pub options: ObjectOptions,
    /// Whether its kind lives in namespaces; `None` while nobody knows the kind.
    pub scope: Option<Scope>,
}

/// Whose objects they become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Belonging {
    /// The environment's name.
    pub environment: String,
    /// The id of its ApplySet, which is unique in the cluster.
    pub apply_set: String,
    /// The namespace of objects without one.
    pub namespace: String,
}

/// An object as rendered, with its component.
#[derive(Debug, Clone)]
pub struct Source {
    /// The object.
    pub value: Value,
    /// The component.
    pub component: String,
    /// Where it was written.
    pub origin: Origin,
}

/// Whether each object's kind lives in namespaces; `None` where nobody knows the kind. `known` knows the cluster's kinds;
/// those that CustomResourceDefinitions among the objects define are known as well.
pub fn scopes(objects: &[Source], known: &dyn Fn(&GroupVersionKind) -> Option<Scope>) -> Vec<Option<Scope>> {
    let defined = defined_kinds(objects);
    let scope = |object: &Source| {
        let kind = GroupVersionKind::of(&object.value).ok()?;
        known(&kind).or_else(|| defined.get(&(kind.group, kind.kind)).copied())
    };
    objects.iter().map(scope).collect()
}

/// Makes rendered objects the environment's own: namespace, labels, and without what an apply must not hold.
///
/// `scope` knows the cluster's kinds; those that CustomResourceDefinitions among the objects define are known as well.
///
/// # Errors
/// An object without type or name, as a text with its place.
pub fn own(
    objects: Vec<Source>,
    belonging: &Belonging,
    scope: &dyn Fn(&GroupVersionKind) -> Option<Scope>,
) -> Result<Vec<Desired>, String> {
    let scopes = scopes(&objects, scope);
    let mut own = Vec::with_capacity(objects.len());
    for (Source { mut value, component, origin }, scope) in objects.into_iter().zip(scopes) {
        let fail = |error: seaway_object::Error| format!("{}:{}: {error}", origin.file, origin.line);
        if identity::name(&value).is_empty()
            && let Some(prefix) = value.pointer("/metadata/generateName").and_then(Value::as_str)
        {
            // A name that stays the same as long as the object does, so that nothing runs twice.
            let name = format!("{prefix}{}", &digest(&value)[..8]);
            if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
                metadata.remove("generateName");
                metadata.insert("name".to_owned(), name.into());
            }
        }
        let kind = GroupVersionKind::of(&value).map_err(fail)?;
        clean(&mut value);
        identity::place(&mut value, scope.unwrap_or(Scope::Namespaced), &belonging.namespace);
        if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
            let labels = metadata.entry("labels").or_insert_with(|| Value::Object(Map::new()));
            if labels.is_null() {
                *labels = Value::Object(Map::new());
            }
            if let Some(labels) = labels.as_object_mut() {
                labels.insert(ENVIRONMENT_LABEL.to_owned(), belonging.environment.clone().into());
                labels.insert(PART_OF_LABEL.to_owned(), belonging.apply_set.clone().into());
            }
        }
        let id = ObjectId::of(&value).map_err(fail)?;
        let options = ObjectOptions::of(&value);
        own.push(Desired { id, kind, value, component, origin, options, scope });
    }
    Ok(own)
}

/// Without what only the system writes; `stringData` of a Secret as the `data` that the API makes of it.
fn clean(value: &mut Value) {
    let is_secret = identity::api_version(value) == "v1" && identity::kind(value) == "Secret";
    let Some(map) = value.as_object_mut() else { return };
    map.remove("status");
    if let Some(metadata) = map.get_mut("metadata").and_then(Value::as_object_mut) {
        for field in
            ["managedFields", "resourceVersion", "uid", "generation", "selfLink", "creationTimestamp"]
        {
            metadata.remove(field);
        }
    }
    if is_secret && let Some(Value::Object(texts)) = map.remove("stringData") {
        let data = map.entry("data").or_insert_with(|| Value::Object(Map::new()));
        if data.is_null() {
            *data = Value::Object(Map::new());
        }
        if let Some(data) = data.as_object_mut() {
            for (key, text) in texts {
                // What is no text is left for the API to refuse.
                let encoded = text.as_str().map(|text| encode_base64(text.as_bytes()).into());
                data.insert(key, encoded.unwrap_or(text));
            }
        }
    }
}

fn encode_base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn defined_kinds(objects: &[Source]) -> BTreeMap<(String, String), Scope> {
    let text = |value: &Value, pointer: &str| {
        value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let definitions =
        objects.iter().filter(|object| identity::kind(&object.value) == "CustomResourceDefinition");
    definitions
        .map(|object| {
            let key = (text(&object.value, "/spec/group"), text(&object.value, "/spec/names/kind"));
            let namespaced = text(&object.value, "/spec/scope") == "Namespaced";
            (key, if namespaced { Scope::Namespaced } else { Scope::Cluster })
        })
        .collect()
}

/// SHA-256 of a value whose keys are in order, in hexadecimal.
pub fn digest(value: &Value) -> String {
    let mut hash = Sha256::new();
    feed(&mut hash, value);
    hex::encode(hash.finalize())
}

/// The digest of an array of these values.
pub(crate) fn digest_all<'a>(values: impl Iterator<Item = &'a Value>) -> String {
    let mut hash = Sha256::new();
    hash.update(b"[");
    for value in values {
        feed(&mut hash, value);
        hash.update(b",");
    }
    hash.update(b"]");
    hex::encode(hash.finalize())
}

fn feed(hash: &mut Sha256, value: &Value) {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort_unstable();
            hash.update(b"{");
            for key in keys {
                hash.update(Value::from(key.as_str()).to_string());
                hash.update(b":");
                if let Some(value) = map.get(key) {
                    feed(hash, value);
                }
                hash.update(b",");
            }
            hash.update(b"}");
        }
        Value::Array(items) => {
            hash.update(b"[");
            for item in items {
                feed(hash, item);
                hash.update(b",");
            }
            hash.update(b"]");
        }
        scalar => hash.update(scalar.to_string()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    fn belonging() -> Belonging {
        Belonging {
            environment: "staging".into(),
            apply_set: "applyset-x-v1".into(),
            namespace: "shop".into(),
        }
    }

    fn own_all(objects: Vec<Value>) -> Result<Vec<Desired>, String> {
        let source = |value| Source {
            value,
            component: "web".into(),
            origin: Origin { file: "web/a.yaml".into(), line: 3 },
        };
        let scope = |kind: &GroupVersionKind| match kind.kind.as_str() {
            "ConfigMap" | "Secret" | "Job" => Some(Scope::Namespaced),
            "Namespace" | "CustomResourceDefinition" => Some(Scope::Cluster),
            _ => None,
        };
        own(objects.into_iter().map(source).collect(), &belonging(), &scope)
    }

    #[test]
    fn objects_get_their_namespace_and_the_environments_labels() {
        let own = own_all(vec![
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}),
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "other"}}),
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n", "namespace": "x"}}),
        ])
        .unwrap();
        let names: Vec<String> = own.iter().map(|object| object.id.to_string()).collect();
        assert_eq!(names, ["ConfigMap shop/a", "ConfigMap other/a", "Namespace n"]);
        for object in &own {
            assert_eq!(identity::label(&object.value, "seaway.dev/environment"), Some("staging"));
            assert_eq!(identity::label(&object.value, PART_OF_LABEL), Some("applyset-x-v1"));
        }
    }

    #[test]
    fn a_kind_that_the_same_objects_define_is_known() {
        let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": "widgets.example.com"},
            "spec": {"group": "example.com", "scope": "Cluster", "names": {"kind": "Widget"}}});
        let widget = json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}});
        let own = own_all(vec![widget, definition]).unwrap();
        assert_eq!(own[0].scope, Some(Scope::Cluster));
        assert_eq!(own[0].id.namespace, None);
    }

    #[test]
    fn texts_of_a_secret_become_what_the_api_stores() {
        let own = own_all(vec![json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s",
            "creationTimestamp": null}, "stringData": {"p": "hunter2"}, "data": {"q": "eA=="}, "status": {}})])
        .unwrap();
        assert_eq!(own[0].value["data"], json!({"p": "aHVudGVyMg==", "q": "eA=="}));
        assert!(own[0].value.get("stringData").is_none() && own[0].value.get("status").is_none());
        assert!(own[0].value["metadata"].get("creationTimestamp").is_none());
    }

    #[test]
    fn a_generated_name_follows_from_the_content() {
        let job = |image: &str| json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"generateName": "m-"}, "spec": image});
        let own = own_all(vec![job("a"), job("b"), job("a")]).unwrap();
        assert!(own[0].id.name.starts_with("m-"));
        assert_ne!(own[0].id, own[1].id);
        assert_eq!(own[0].id, own[2].id);
    }

    #[test]
    fn an_object_without_a_name_is_named_by_its_place() {
        let error =
            own_all(vec![json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}})]).unwrap_err();
        assert!(error.starts_with("web/a.yaml:3: "), "{error}");
    }

    #[test]
    fn the_digest_does_not_depend_on_the_order_of_keys() {
        let a: Value = serde_json::from_str(r#"{"a": 1, "b": {"c": [1, 2], "d": null}}"#).unwrap();
        let b: Value = serde_json::from_str(r#"{"b": {"d": null, "c": [1, 2]}, "a": 1}"#).unwrap();
        assert_eq!(digest(&a), digest(&b));
        assert_eq!(digest_all([&a, &b].into_iter()), digest(&json!([a, b])));
        assert_ne!(digest(&a), digest(&json!({"a": 1, "b": {"c": [2, 1], "d": null}})));
    }
}
