//! Writes `core/merge/facts/kubernetes-1.37.json`: what Kubernetes publishes about the shapes of its kinds.
//!
//! Two sources, both read from the disk:
//! - `_definitions.json` of the PyPI package kubernetes-validate: the JSON Schemas of one Kubernetes version with
//!   their `x-kubernetes-*` markers. Sentences (descriptions) are dropped: only facts are kept. What that package
//!   adds for validating with JSON Schema (nullable type lists, enums of apiVersion and kind) is undone.
//!   A field that identifies elements of a list and may be left out gets the default that its description names
//!   (`protocol: TCP` of ports): the package has no `default`, and without it such an element has no identity.
//! - The Go types of Kubernetes' staging repositories (Debian's source package kubernetes has them), for one fact that
//!   the package leaves out: a struct held by value is always there (OpenAPI's `default: {}`). They may be of an older
//!   version; then fields that are newer lack it, but for metadata, spec and status of a kind.
//!
//! Only stable API versions are written, and the definitions that they use.

use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

const OUTPUT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../core/merge/facts/kubernetes-1.37.json");
const REF_PREFIX: &str = "#/components/schemas/";

/// Where the Go types of a group lie below `k8s.io`, and what their definitions' names begin with.
const GO_PACKAGES: &[(&str, &str)] =
    &[("api", "io.k8s.api"), ("apiextensions-apiserver/pkg/apis", "io.k8s.apiextensions-apiserver.pkg.apis")];

/// The keywords that are kept, apart from those that hold schemas.
const KEPT: &[&str] = &[
    "type",
    "format",
    "default",
    "required",
    "x-kubernetes-group-version-kind",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-list-type",
    "x-kubernetes-map-type",
    "x-kubernetes-patch-merge-key",
    "x-kubernetes-patch-strategy",
];

/// Reads the sources and writes the facts.
pub(crate) fn write(schemas: &Path, go_types: Option<&Path>) -> Result<String, String> {
    let file = schemas.join("_definitions.json");
    let text = std::fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
    let document: Value = serde_json::from_str(&text).map_err(|e| format!("{}: {e}", file.display()))?;
    let definitions = document["$defs"].as_object().ok_or_else(|| format!("{}: no $defs", file.display()))?;
    let go = match go_types {
        Some(folder) => GoTypes::read(folder)?,
        None => GoTypes::default(),
    };
    let mut kept: BTreeMap<&str, Value> = BTreeMap::new();
    // A stable kind may have a field whose type is still alpha: what is used comes along.
    let mut pending: Vec<&str> =
        definitions.keys().map(String::as_str).filter(|name| is_stable(name)).collect();
    while let Some(name) = pending.pop() {
        if kept.contains_key(name) {
            continue;
        }
        let Some((name, schema)) = definitions.get_key_value(name) else {
            return Err(format!("{}: no definition {name}", file.display()));
        };
        references(schema, &mut pending);
        let mut schema = normal(name, schema);
        go.complete(name, &mut schema);
        kept.insert(name, schema);
    }
    for (element, key) in optional_keys(&kept) {
        let described = definitions[&element]["properties"][&key]["description"].as_str().unwrap_or_default();
        if let (Some(value), Some(schema)) = (described_default(described), kept.get_mut(element.as_str())) {
            schema["properties"][&key]["default"] = value.into();
        }
    }
    let text = render(&kept);
    std::fs::create_dir_all(Path::new(OUTPUT).parent().unwrap_or(Path::new(".")))
        .and_then(|()| std::fs::write(OUTPUT, &text))
        .map_err(|e| format!("{OUTPUT}: {e}"))?;
    Ok(format!("{} definitions, {} bytes", kept.len(), text.len()))
}

/// `io.k8s.api.batch.v1beta1.CronJob` is not; what carries no version is (IntOrString).
fn is_stable(name: &str) -> bool {
    !name.split('.').any(|part| part.starts_with('v') && (part.contains("alpha") || part.contains("beta")))
}

/// The names of the definitions that a schema refers to.
fn references<'a>(schema: &'a Value, found: &mut Vec<&'a str>) {
    match schema {
        Value::Object(map) => {
            if let Some(Value::String(target)) = map.get("$ref") {
                found.extend(target.rsplit('/').next());
            }
            map.values().for_each(|value| references(value, found));
        }
        Value::Array(list) => list.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

fn short(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

/// A schema without sentences and without what JSON Schema validation needed.
fn normal(name: &str, schema: &Value) -> Value {
    match short(name) {
        // A number or a string: the package says so in its own way.
        "Quantity" => json!({"oneOf": [{"type": "string"}, {"type": "number"}]}),
        "IntOrString" => {
            json!({"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]})
        }
        // Free-form JSON.
        "JSON" | "JSONSchemaPropsOrArray" | "JSONSchemaPropsOrBool" | "JSONSchemaPropsOrStringArray" => {
            json!({})
        }
        _ => normal_schema(schema),
    }
}

fn normal_schema(schema: &Value) -> Value {
    let mut out = Map::new();
    for (key, value) in schema.as_object().into_iter().flatten() {
        match key.as_str() {
            "$ref" => {
                let target = value.as_str().unwrap_or_default();
                let target = target.rsplit('/').next().unwrap_or(target);
                out.insert("$ref".into(), format!("{REF_PREFIX}{target}").into());
            }
            "type" => {
                let single = match value {
                    Value::Array(types) => types.iter().find(|t| *t != "null").cloned(),
                    other => Some(other.clone()),
                };
                out.insert("type".into(), single.unwrap_or(Value::Null));
            }
            "properties" => {
                let properties: Map<String, Value> = value
                    .as_object()
                    .into_iter()
                    .flatten()
                    .map(|(name, property)| (name.clone(), normal_schema(property)))
                    .collect();
                out.insert("properties".into(), properties.into());
            }
            "items" | "additionalProperties" if value.is_object() => {
                out.insert(key.clone(), normal_schema(value));
            }
            key if KEPT.contains(&key) => {
                out.insert(key.into(), value.clone());
            }
            _ => {}
        }
    }
    Value::Object(out)
}

/// The fields that identify elements of a list, but may be left out: definition and field.
fn optional_keys(definitions: &BTreeMap<&str, Value>) -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    let lists =
        definitions.values().filter_map(|schema| schema["properties"].as_object()).flat_map(Map::values);
    for list in lists {
        let element = list["items"]["$ref"].as_str().unwrap_or_default().trim_start_matches(REF_PREFIX);
        let Some(schema) = definitions.get(element) else { continue };
        let required = schema["required"].as_array().map(Vec::as_slice).unwrap_or_default();
        for key in list["x-kubernetes-list-map-keys"].as_array().into_iter().flatten() {
            if !required.contains(key) {
                found.insert((element.to_owned(), key.as_str().unwrap_or_default().to_owned()));
            }
        }
    }
    found
}

/// The word that a sentence gives as default: `Defaults to "TCP".`, `Default is TCP.`
fn described_default(description: &str) -> Option<&str> {
    let rest = ["Defaults to ", "Default is "].iter().find_map(|start| description.split_once(start))?.1;
    let word = rest.trim_start_matches('"').split(|c: char| !c.is_ascii_alphanumeric()).next()?;
    (!word.is_empty()).then_some(word)
}

/// One definition a line, and after them one kind a line: `"apps/v1/Deployment":"NAME"`.
fn render(definitions: &BTreeMap<&str, Value>) -> String {
    let mut kinds: BTreeMap<String, &str> = BTreeMap::new();
    for (name, schema) in definitions {
        let all = schema["x-kubernetes-group-version-kind"].as_array().map(Vec::as_slice).unwrap_or_default();
        // DeleteOptions and WatchEvent claim every group: they are no kinds of their own.
        if let ([one], true) = (all, is_stable(name)) {
            let part = |key: &str| one[key].as_str().unwrap_or_default();
            kinds.insert(format!("{}/{}/{}", part("group"), part("version"), part("kind")), name);
        }
    }
    let mut text = String::from("{\"definitions\":{\n");
    let lines: Vec<String> =
        definitions.iter().map(|(name, schema)| format!("\"{name}\":{schema}")).collect();
    text.push_str(&lines.join(",\n"));
    text.push_str("\n},\n\"kinds\":{\n");
    let lines: Vec<String> = kinds.iter().map(|(kind, name)| format!("\"{kind}\":\"{name}\"")).collect();
    let _ = writeln!(text, "{}\n}}}}", lines.join(",\n"));
    text
}

/// What the Go types say beyond the schemas.
#[derive(Default)]
struct GoTypes {
    /// The Go type as written (`ResourceRequirements`, `*int32`, `metav1.ObjectMeta`) of each field, by definition
    /// (`io.k8s.api.core.v1.Container`) and JSON name.
    fields: BTreeMap<(String, String), String>,
    /// The definitions that are structs.
    structs: BTreeSet<String>,
}

impl GoTypes {
    /// Reads every `GROUP/VERSION/types.go` of the staging repositories below the folder.
    fn read(folder: &Path) -> Result<GoTypes, String> {
        let mut types = GoTypes::default();
        for (below, package) in GO_PACKAGES {
            let root = folder.join(below);
            for group in std::fs::read_dir(&root).map_err(|e| format!("{}: {e}", root.display()))?.flatten() {
                let Ok(versions) = std::fs::read_dir(group.path()) else { continue };
                for version in versions.flatten() {
                    let file = version.path().join("types.go");
                    if !file.is_file() {
                        continue;
                    }
                    let text =
                        std::fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
                    let (group, version) = (group.file_name(), version.file_name());
                    let package =
                        format!("{package}.{}.{}", group.to_string_lossy(), version.to_string_lossy());
                    types.read_file(&package, &text);
                }
            }
        }
        types.promote();
        Ok(types)
    }

    /// What was beta in the Go types' version and is stable since kept its structs.
    fn promote(&mut self) {
        for (beta, stable) in [(".v1beta1.", ".v1."), (".v2beta2.", ".v2.")] {
            let structs: Vec<String> = self
                .structs
                .iter()
                .filter(|name| name.contains(beta))
                .map(|name| name.replace(beta, stable))
                .filter(|name| !self.structs.contains(name))
                .collect();
            for name in structs {
                let old = name.replace(stable, beta);
                let fields: Vec<_> = self
                    .fields
                    .iter()
                    .filter(|((owner, _), _)| *owner == old)
                    .map(|((_, field), go)| ((name.clone(), field.clone()), go.clone()))
                    .collect();
                self.fields.extend(fields);
                self.structs.insert(name);
            }
        }
    }

    /// The declarations are gofmt's, so a line at a time tells enough.
    fn read_file(&mut self, package: &str, text: &str) {
        let mut current: Option<String> = None;
        for line in text.lines() {
            let line = line.trim();
            if let Some(name) = line.strip_prefix("type ").and_then(|l| l.strip_suffix(" struct {")) {
                let name = format!("{package}.{name}");
                self.structs.insert(name.clone());
                current = Some(name);
            } else if line == "}" {
                current = None;
            } else if let (Some(owner), Some(name)) = (&current, json_name(line)) {
                let mut words = line.split_whitespace();
                let first = words.next().unwrap_or_default();
                // An embedded struct has no name of its own: `metav1.ObjectMeta` and its tag.
                let ty = words.next().filter(|word| !word.starts_with('`')).unwrap_or(first).to_owned();
                self.fields.insert((owner.clone(), name), ty);
            }
        }
    }

    /// Adds `default` to the properties of one definition.
    fn complete(&self, name: &str, schema: &mut Value) {
        let package = name.rsplit_once('.').map(|(package, _)| package).unwrap_or_default();
        // What is newer than the Go types: every kind holds these by value.
        let is_kind = schema.get("x-kubernetes-group-version-kind").is_some();
        let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else { return };
        for (property, schema) in properties {
            let Some(schema) = schema.as_object_mut() else { continue };
            let Some(target) = schema.get("$ref").and_then(Value::as_str) else { continue };
            let target = target.strip_prefix(REF_PREFIX).unwrap_or_default();
            let by_value = match self.field(name, property) {
                Some(ty) if ty.starts_with('*') => false,
                Some(ty) => match ty.rsplit_once('.') {
                    // Another package's: its time is a struct, but prints as a string.
                    Some(_) => !matches!(short(target), "Time" | "MicroTime" | "IntOrString" | "Quantity"),
                    None => self.structs.contains(&format!("{package}.{ty}")),
                },
                None => is_kind && matches!(property.as_str(), "metadata" | "spec" | "status"),
            };
            if by_value {
                schema.insert("default".into(), json!({}));
            }
        }
    }

    fn field(&self, definition: &str, property: &str) -> Option<&str> {
        self.fields.get(&(definition.to_owned(), property.to_owned())).map(String::as_str)
    }
}

/// The JSON name in a field's tag; embedded and inlined fields have none.
fn json_name(line: &str) -> Option<String> {
    let tag = line.split_once("json:\"")?.1;
    let name = tag.split(['"', ',']).next()?;
    (!name.is_empty() && name != "-").then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_hold_no_sentence_and_no_nullable_type() {
        let schema = json!({
            "description": "A sentence.",
            "type": ["object", "null"],
            "enum": ["v1"],
            "properties": {
                "description": {"description": "Another.", "type": ["string", "null"]},
                "list": {"items": {"$ref": "#/$defs/io.k8s.api.core.v1.X", "description": "Third."}, "type": "array"},
            },
        });
        assert_eq!(
            normal("io.k8s.api.core.v1.Y", &schema),
            json!({
                "type": "object",
                "properties": {
                    "description": {"type": "string"},
                    "list": {"items": {"$ref": "#/components/schemas/io.k8s.api.core.v1.X"}, "type": "array"},
                },
            })
        );
    }

    #[test]
    fn only_stable_versions_are_kept() {
        assert!(is_stable("io.k8s.api.apps.v1.Deployment"));
        assert!(is_stable("io.k8s.apimachinery.pkg.util.intstr.IntOrString"));
        assert!(!is_stable("io.k8s.api.resource.v1beta2.ResourceClaim"));
        assert!(!is_stable("io.k8s.api.coordination.v1alpha2.LeaseCandidate"));
    }

    #[test]
    fn a_key_that_may_be_left_out_has_the_default_that_its_description_names() {
        assert_eq!(described_default("Protocol for port. Defaults to \"TCP\"."), Some("TCP"));
        assert_eq!(described_default("Supports \"TCP\" and \"UDP\". Default is TCP."), Some("TCP"));
        assert_eq!(described_default("Name of the referent."), None);
    }

    #[test]
    fn structs_held_by_value_come_from_the_go_types() {
        let mut types = GoTypes::default();
        types.read_file(
            "io.k8s.api.core.v1",
            "type Inner struct {\n\tA string `json:\"a\"`\n}\ntype Outer struct {\n\tmetav1.TypeMeta `json:\",inline\"`\n\
             \tValue Inner `json:\"value,omitempty\"`\n\tPointer *Inner `json:\"pointer,omitempty\"`\n\
             \tProtocol Protocol `json:\"protocol,omitempty\"`\n}\n",
        );
        let inner = format!("{REF_PREFIX}io.k8s.api.core.v1.Inner");
        let mut schema = json!({"properties": {
            "value": {"$ref": inner}, "pointer": {"$ref": inner}, "protocol": {"type": "string"}}});
        types.complete("io.k8s.api.core.v1.Outer", &mut schema);
        assert_eq!(
            schema["properties"],
            json!({
                "value": {"$ref": inner, "default": {}},
                "pointer": {"$ref": inner},
                "protocol": {"type": "string"},
            })
        );
    }
}
