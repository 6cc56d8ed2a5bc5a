//! The definitions of one Kubernetes version, as embedded.

use super::{Type, TypeRef, parse};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{LazyLock, OnceLock};

/// Written by `cargo xtask facts`. `{"definitions":{` and `"kinds":{` each stand alone on a line; between them is one
/// `"NAME":VALUE,` a line.
static FACTS: &str = include_str!("../../facts/kubernetes-1.37.json");

/// All definitions of one Kubernetes version: the stable API versions of its built-in kinds and what they use.
#[derive(Debug)]
pub struct Schemas {
    definitions: Vec<Definition>,
    by_name: HashMap<&'static str, usize>,
    kinds: Vec<Kind>,
    by_kind: HashMap<(&'static str, &'static str, &'static str), usize>,
}

#[derive(Debug)]
struct Definition {
    name: &'static str,
    text: &'static str,
    value: OnceLock<Value>,
    ty: OnceLock<Type>,
}

#[derive(Debug, Clone, Copy)]
struct Kind {
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    definition: usize,
}

impl Schemas {
    /// Kubernetes 1.37.
    pub fn kubernetes() -> &'static Schemas {
        static SCHEMAS: LazyLock<Schemas> = LazyLock::new(|| Schemas::read(FACTS));
        &SCHEMAS
    }

    fn read(text: &'static str) -> Schemas {
        let mut schemas = Schemas {
            definitions: Vec::new(),
            by_name: HashMap::new(),
            kinds: Vec::new(),
            by_kind: HashMap::new(),
        };
        let mut in_kinds = false;
        for line in text.lines() {
            let line = line.trim_end_matches(',');
            if line == "\"kinds\":{" {
                in_kinds = true;
            }
            let Some((name, value)) = line.strip_prefix('"').and_then(|l| l.split_once("\":")) else {
                continue;
            };
            if value == "{" {
                continue;
            }
            if in_kinds {
                // "apps/v1/Deployment":"io.k8s.api.apps.v1.Deployment"; the core group is empty.
                let mut parts = name.splitn(3, '/');
                let (Some(group), Some(version), Some(kind)) = (parts.next(), parts.next(), parts.next())
                else {
                    continue;
                };
                let Some(&definition) = schemas.by_name.get(value.trim_matches('"')) else { continue };
                schemas.by_kind.insert((group, version, kind), definition);
                schemas.kinds.push(Kind { group, version, kind, definition });
            } else {
                schemas.by_name.insert(name, schemas.definitions.len());
                schemas.definitions.push(Definition {
                    name,
                    text: value,
                    value: OnceLock::new(),
                    ty: OnceLock::new(),
                });
            }
        }
        schemas
    }

    /// The type of a built-in kind; the core group is `""`.
    pub fn for_kind(&self, group: &str, version: &str, kind: &str) -> Option<TypeRef> {
        self.number(group, version, kind).map(TypeRef::named)
    }

    /// The type of a definition by its name (`io.k8s.api.core.v1.PodSpec`).
    pub fn for_definition(&self, name: &str) -> Option<TypeRef> {
        self.by_name.get(name).map(|&number| TypeRef::named(number))
    }

    /// The name of a built-in kind's definition (`io.k8s.api.apps.v1.Deployment`).
    pub fn definition_name(&self, group: &str, version: &str, kind: &str) -> Option<&'static str> {
        self.number(group, version, kind).map(|number| self.definitions[number].name)
    }

    /// Every definition, by name, as an OpenAPI v3 schema. A `$ref` is `#/components/schemas/NAME`.
    pub fn definitions(&'static self) -> impl Iterator<Item = (&'static str, &'static Value)> {
        self.definitions.iter().map(|definition| (definition.name, definition.value()))
    }

    /// One definition by its name, as an OpenAPI v3 schema.
    pub fn definition(&'static self, name: &str) -> Option<&'static Value> {
        self.by_name.get(name).map(|&number| self.definitions[number].value())
    }

    /// Every built-in kind: group, version, kind, the definition's name. Lists are kinds too.
    pub fn kinds(
        &'static self,
    ) -> impl Iterator<Item = (&'static str, &'static str, &'static str, &'static str)> {
        self.kinds.iter().map(|k| (k.group, k.version, k.kind, self.definitions[k.definition].name))
    }

    pub(super) fn by_number(&self, number: usize) -> &Type {
        let definition = &self.definitions[number];
        definition.ty.get_or_init(|| parse::definition(self, definition.name, definition.value()))
    }

    pub(super) fn value_of(&self, name: &str) -> Option<&Value> {
        self.by_name.get(name).map(|&number| self.definitions[number].value())
    }

    fn number(&self, group: &str, version: &str, kind: &str) -> Option<usize> {
        self.by_kind.get(&(group, version, kind)).copied()
    }
}

impl Definition {
    fn value(&self) -> &Value {
        // A test parses every line of the embedded file.
        self.value.get_or_init(|| serde_json::from_str(self.text).unwrap_or(Value::Null))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::schema::{ListKind, Shape};

    #[test]
    fn every_embedded_definition_is_valid_and_its_references_resolve() {
        let schemas = Schemas::kubernetes();
        assert!(schemas.definitions.len() > 400, "{}", schemas.definitions.len());
        for definition in &schemas.definitions {
            let value: Value = serde_json::from_str(definition.text).unwrap();
            let mut pending = vec![&value];
            while let Some(value) = pending.pop() {
                match value {
                    Value::Object(map) => {
                        if let Some(Value::String(target)) = map.get("$ref") {
                            let name = target.strip_prefix("#/components/schemas/").unwrap();
                            assert!(schemas.by_name.contains_key(name), "{} -> {name}", definition.name);
                        }
                        pending.extend(map.values());
                    }
                    Value::Array(list) => pending.extend(list),
                    _ => {}
                }
            }
        }
        for number in 0..schemas.definitions.len() {
            schemas.by_number(number);
        }
    }

    #[test]
    fn the_facts_hold_stable_versions_only_and_no_sentences() {
        for (_, version, kind, _) in Schemas::kubernetes().kinds() {
            assert!(!version.contains("alpha") && !version.contains("beta"), "{kind} {version}");
        }
        assert!(!FACTS.contains("\"description\":\""));
    }

    #[test]
    fn the_everyday_kinds_are_there() {
        for (group, version, kind) in [
            ("", "v1", "Pod"),
            ("", "v1", "ConfigMap"),
            ("", "v1", "SecretList"),
            ("apps", "v1", "Deployment"),
            ("batch", "v1", "CronJob"),
            ("networking.k8s.io", "v1", "Ingress"),
            ("rbac.authorization.k8s.io", "v1", "Role"),
            ("apiextensions.k8s.io", "v1", "CustomResourceDefinition"),
            ("autoscaling", "v1", "Scale"),
            ("policy", "v1", "Eviction"),
        ] {
            assert!(
                Schemas::kubernetes().for_kind(group, version, kind).is_some(),
                "{group}/{version} {kind}"
            );
        }
        assert_eq!(
            Schemas::kubernetes().definition_name("apps", "v1", "Deployment"),
            Some("io.k8s.api.apps.v1.Deployment")
        );
    }

    /// Without these defaults a manifest that omits `protocol` could not be applied: it is a key of the list.
    #[test]
    fn ports_have_a_default_protocol() {
        for element in ["io.k8s.api.core.v1.ContainerPort", "io.k8s.api.core.v1.ServicePort"] {
            let ty = Schemas::kubernetes().for_definition(element).unwrap();
            let Shape::Object(object) = &ty.shape else { panic!("{element} is an object") };
            assert_eq!(object.fields["protocol"].default, Some("TCP".into()), "{element}");
        }
    }

    #[test]
    fn lists_and_maps_merge_as_their_markers_say() {
        let field = |definition: &str, name: &str| {
            let ty = Schemas::kubernetes().for_definition(definition).unwrap();
            let Shape::Object(object) = &ty.shape else { panic!("{definition} is an object") };
            object.fields[name].clone()
        };
        let Shape::List(list) = field("io.k8s.api.core.v1.Container", "ports").ty.shape.clone() else {
            panic!()
        };
        assert_eq!(list.kind, ListKind::Map(vec!["containerPort".into(), "protocol".into()]));
        let Shape::Object(selector) = field("io.k8s.api.core.v1.ServiceSpec", "selector").ty.shape.clone()
        else {
            panic!()
        };
        assert!(selector.atomic);
        // The field overrides its type here: an ObjectReference is atomic elsewhere.
        let Shape::Object(claim) =
            field("io.k8s.api.core.v1.PersistentVolumeSpec", "claimRef").ty.shape.clone()
        else {
            panic!()
        };
        assert!(!claim.atomic);
        let volumes = field("io.k8s.api.core.v1.PodSpec", "volumes").patch;
        assert!(volumes.merge && volumes.retain_keys);
        assert_eq!(volumes.merge_key.as_deref(), Some("name"));
        assert!(field("io.k8s.api.apps.v1.DeploymentSpec", "strategy").patch.retain_keys);
        assert!(field("io.k8s.api.policy.v1.PodDisruptionBudgetSpec", "selector").patch.replace);
    }
}
