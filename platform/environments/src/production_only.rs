//! What must not leave production: what is marked gets its stand-in, and what looks like it stops the copy.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use seaway_api::stack::{ProductionOnly, SecretStandIn, StackSpec};
use seaway_object::{ObjectId, identity};
use serde_json::{Map, Value, json};

use crate::error::Error;
use crate::references::TEMPLATES;
use crate::rewrite::Passwords;

/// The mark of an object, if the stack has one.
pub(crate) fn mark<'a>(stack: &'a StackSpec, component: &str, id: &ObjectId) -> Option<&'a ProductionOnly> {
    let matches = |kept: &&ProductionOnly| {
        kept.target.matches(component, &id.group, &id.kind, id.namespace.as_deref(), &id.name)
    };
    stack.production_only.iter().find(matches)
}

/// Why an object looks as if it must not leave production.
pub(crate) fn suspicion(object: &Value, id: &ObjectId) -> Option<String> {
    let holds = |field: &str| object.get(field).and_then(Value::as_object).is_some_and(|map| !map.is_empty());
    match (id.group.as_str(), id.kind.as_str()) {
        ("", "Secret") if holds("data") || holds("stringData") => Some("it holds secret values".to_owned()),
        (group, _) if OPERATORS.contains(&group) => {
            Some("an operator makes secrets of it, or keeps them elsewhere".to_owned())
        }
        ("", "PersistentVolumeClaim") => Some("it is a volume".to_owned()),
        ("apps", "StatefulSet") => {
            let templates = object.pointer("/spec/volumeClaimTemplates").and_then(Value::as_array);
            templates.filter(|templates| !templates.is_empty()).map(|_| "it has volumes".to_owned())
        }
        ("", "Service") => {
            let host = object.pointer("/spec/externalName").and_then(Value::as_str)?;
            let inside = host.trim_end_matches('.').split('.').any(|label| label == "svc");
            (!inside).then(|| format!("it leads to {host}, outside the cluster"))
        }
        _ if mounts_secrets(object) => Some("its pods mount secrets from outside the cluster".to_owned()),
        _ => None,
    }
}

/// Groups of operators whose objects stand for secret values.
const OPERATORS: [&str; 9] = [
    "bitnami.com",
    "external-secrets.io",
    "generators.external-secrets.io",
    "isindir.github.com",
    "kubernetes-client.io",
    "onepassword.com",
    "secrets-store.csi.x-k8s.io",
    "secrets.hashicorp.com",
    "secrets.infisical.com",
];

/// Whether pods of a template have volumes of a driver that brings secrets.
fn mounts_secrets(object: &Value) -> bool {
    let volumes =
        TEMPLATES.iter().filter_map(|at| object.pointer(&format!("{at}/volumes")).and_then(Value::as_array));
    volumes.flatten().any(|volume| {
        let driver = volume.pointer("/csi/driver").and_then(Value::as_str);
        driver.is_some_and(|driver| driver.contains("secret"))
    })
}

/// The object that a copy has in place of a marked one; `None`: none at all.
pub(crate) fn stand_in(
    kept: &ProductionOnly,
    object: &Value,
    id: &ObjectId,
    passwords: Passwords<'_>,
) -> Result<Option<Value>, Error> {
    let wrong = |problem: String| Error::Rule { name: kept.name.clone(), object: id.clone(), problem };
    if kept.stand_in.omit {
        return Ok(None);
    }
    match (&kept.stand_in.secret, id.kind.as_str()) {
        (Some(stand_in), "Secret" | "ExternalSecret" | "SealedSecret") => {
            secret(stand_in, object, id, passwords).map(Some).map_err(wrong)
        }
        (Some(_), kind) => Err(wrong(format!("a Secret cannot stand in for a {kind}"))),
        (None, "PersistentVolumeClaim") => Ok(Some(empty(object, "/spec"))),
        (None, "StatefulSet") => {
            let mut object = object.clone();
            let templates = object.pointer_mut("/spec/volumeClaimTemplates").and_then(Value::as_array_mut);
            for template in templates.into_iter().flatten() {
                *template = empty(template, "/spec");
            }
            Ok(Some(object))
        }
        (None, kind) => Err(wrong(format!("a {kind} has no volume that could be empty"))),
    }
}

/// A claim without anything that fills it.
fn empty(claim: &Value, spec: &str) -> Value {
    let mut claim = claim.clone();
    if let Some(spec) = claim.pointer_mut(spec).and_then(Value::as_object_mut) {
        for source in ["dataSource", "dataSourceRef", "volumeName", "selector"] {
            spec.remove(source);
        }
    }
    claim
}

/// A Secret with the values that stand in. Each key of the original must have one.
fn secret(
    stand_in: &SecretStandIn,
    object: &Value,
    id: &ObjectId,
    passwords: Passwords<'_>,
) -> Result<Value, String> {
    let mut keys: Vec<&str> = Vec::new();
    for field in ["/data", "/stringData", "/spec/encryptedData"] {
        let map = object.pointer(field).and_then(Value::as_object);
        keys.extend(map.into_iter().flat_map(|map| map.keys()).map(String::as_str));
    }
    let entries = object.pointer("/spec/data").and_then(Value::as_array).into_iter().flatten();
    keys.extend(entries.filter_map(|entry| entry.get("secretKey").and_then(Value::as_str)));
    let given =
        |key: &&str| stand_in.values.contains_key(*key) || stand_in.generate.iter().any(|one| one == key);
    let missing: Vec<&str> = keys.into_iter().filter(|key| !given(key)).collect();
    if !missing.is_empty() {
        return Err(format!("it gives no value for {}", missing.join(", ")));
    }
    let name = object.pointer("/spec/target/name").and_then(Value::as_str).unwrap_or(&id.name);
    let mut data = Map::new();
    for (key, value) in &stand_in.values {
        data.insert(key.clone(), STANDARD.encode(value).into());
    }
    for key in &stand_in.generate {
        data.insert(key.clone(), STANDARD.encode(passwords(name, key)).into());
    }
    let mut metadata = match (id.kind.as_str(), object.get("metadata")) {
        ("Secret", Some(Value::Object(metadata))) => metadata.clone(),
        _ => Map::new(),
    };
    metadata.insert("name".to_owned(), name.into());
    if let Some(namespace) = identity::namespace(object) {
        metadata.insert("namespace".to_owned(), namespace.into());
    }
    let of_type = object.get("type").or_else(|| object.pointer("/spec/template/type")).cloned();
    let of_type = of_type.unwrap_or_else(|| "Opaque".into());
    Ok(json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": of_type, "data": data}))
}
