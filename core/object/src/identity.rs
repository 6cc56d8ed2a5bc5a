//! What an object is called: group, version, kind, namespace, name, labels, annotations.

use std::fmt;

use serde_json::Value;

use crate::Error;

/// The type of an object. The core group is the empty text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupVersionKind {
    /// For instance `apps`.
    pub group: String,
    /// For instance `v1`.
    pub version: String,
    /// For instance `Deployment`.
    pub kind: String,
}

impl GroupVersionKind {
    /// From what stands in an object: `apps/v1`, `Deployment`.
    pub fn new(api_version: &str, kind: &str) -> Result<Self, Error> {
        let (group, version) = parse_api_version(api_version)?;
        if kind.is_empty() {
            return Err(Error::Identity { message: "the object has no kind".to_owned() });
        }
        Ok(Self { group: group.to_owned(), version: version.to_owned(), kind: kind.to_owned() })
    }

    /// The type of an object.
    pub fn of(object: &Value) -> Result<Self, Error> {
        Self::new(api_version(object), kind(object))
    }

    /// As it stands in an object: `apps/v1`, or `v1` in the core group.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }
}

impl fmt::Display for GroupVersionKind {
    /// `apps/v1 Deployment`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.group.is_empty() {
            write!(f, "{}/", self.group)?;
        }
        write!(f, "{} {}", self.version, self.kind)
    }
}

/// Group and version of an `apiVersion`; the core group is the empty text.
pub fn parse_api_version(text: &str) -> Result<(&str, &str), Error> {
    let (group, version) = text.split_once('/').unwrap_or(("", text));
    let well_formed = !version.is_empty() && !version.contains('/') && text.contains('/') != group.is_empty();
    if !well_formed {
        return Err(Error::Identity { message: format!("unexpected GroupVersion string: {text:?}") });
    }
    Ok((group, version))
}

/// Whether a kind lives in namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// In namespaces.
    Namespaced,
    /// In the cluster.
    Cluster,
}

/// Writes an object's namespace out: the default one where it names none, none where its kind lives in the cluster.
pub fn place(object: &mut Value, scope: Scope, default_namespace: &str) {
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    let named = metadata.get("namespace").and_then(Value::as_str).is_some_and(|name| !name.is_empty());
    match scope {
        Scope::Cluster => {
            metadata.remove("namespace");
        }
        Scope::Namespaced if !named => {
            metadata.insert("namespace".to_owned(), default_namespace.into());
        }
        Scope::Namespaced => {}
    }
}

/// The identity of an object in a cluster. The version is not part of it: the same object can be read in several.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectId {
    /// API group, empty for the core group.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Namespace; `None` for cluster-scoped objects and for those that do not say.
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
}

impl ObjectId {
    /// The identity of an object, as written: no namespace is added. An object that only has a `generateName` has
    /// none yet.
    pub fn of(object: &Value) -> Result<Self, Error> {
        let GroupVersionKind { group, kind, .. } = GroupVersionKind::of(object)?;
        let name = name(object);
        if name.is_empty() {
            return Err(Error::Identity { message: format!("a {kind} has no metadata.name: give it one") });
        }
        Ok(Self { group, kind, namespace: namespace(object).map(str::to_owned), name: name.to_owned() })
    }
}

impl fmt::Display for ObjectId {
    /// `Deployment.apps shop/web`, `ConfigMap shop/settings`, `Namespace shop`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        f.write_str(" ")?;
        if let Some(namespace) = &self.namespace {
            write!(f, "{namespace}/")?;
        }
        f.write_str(&self.name)
    }
}

/// `apiVersion`, or the empty text.
pub fn api_version(object: &Value) -> &str {
    object.get("apiVersion").and_then(Value::as_str).unwrap_or_default()
}

/// `kind`, or the empty text.
pub fn kind(object: &Value) -> &str {
    object.get("kind").and_then(Value::as_str).unwrap_or_default()
}

/// `metadata.name`, or the empty text.
pub fn name(object: &Value) -> &str {
    metadata_text(object, "name").unwrap_or_default()
}

/// `metadata.namespace`, unless absent or empty.
pub fn namespace(object: &Value) -> Option<&str> {
    metadata_text(object, "namespace").filter(|namespace| !namespace.is_empty())
}

/// `metadata.uid`, once the object is stored.
pub fn uid(object: &Value) -> Option<&str> {
    metadata_text(object, "uid")
}

/// `metadata.labels`; values that are not text are left out.
pub fn labels(object: &Value) -> impl Iterator<Item = (&str, &str)> {
    metadata_map(object, "labels")
}

/// `metadata.annotations`; values that are not text are left out.
pub fn annotations(object: &Value) -> impl Iterator<Item = (&str, &str)> {
    metadata_map(object, "annotations")
}

/// One label.
pub fn label<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object.get("metadata")?.get("labels")?.get(key)?.as_str()
}

/// One annotation.
pub fn annotation<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object.get("metadata")?.get("annotations")?.get(key)?.as_str()
}

fn metadata_text<'a>(object: &'a Value, field: &str) -> Option<&'a str> {
    object.get("metadata")?.get(field)?.as_str()
}

fn metadata_map<'a>(object: &'a Value, field: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
    object
        .get("metadata")
        .and_then(|metadata| metadata.get(field))
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_core_group_is_empty() {
        assert_eq!(parse_api_version("v1").unwrap(), ("", "v1"));
        assert_eq!(parse_api_version("apps/v1").unwrap(), ("apps", "v1"));
    }

    #[test]
    fn malformed_api_versions_are_refused() {
        for text in ["", "/", "apps/", "/v1", "a/b/c"] {
            assert!(parse_api_version(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_same_object_in_two_versions_has_one_identity() {
        let object = |version: &str| {
            json!({"apiVersion": format!("autoscaling/{version}"), "kind": "HorizontalPodAutoscaler",
                   "metadata": {"name": "web", "namespace": "shop"}})
        };
        assert_eq!(ObjectId::of(&object("v1")).unwrap(), ObjectId::of(&object("v2")).unwrap());
        assert_eq!(
            ObjectId::of(&object("v2")).unwrap().to_string(),
            "HorizontalPodAutoscaler.autoscaling shop/web"
        );
    }

    #[test]
    fn accessors_survive_objects_of_the_wrong_shape() {
        for object in [json!(null), json!([]), json!({"metadata": 3}), json!({"metadata": {"labels": "x"}})] {
            assert_eq!((kind(&object), name(&object), namespace(&object)), ("", "", None));
            assert_eq!(labels(&object).count(), 0);
            assert!(ObjectId::of(&object).is_err());
        }
    }
}
