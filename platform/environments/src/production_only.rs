//! What must not leave production: what is marked gets its stand-in, and what looks like it stops the copy.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use seaway_api::stack::{ProductionOnly, SecretStandIn, StackSpec};
use seaway_object::{ObjectId, identity};
use serde_json::{Map, Value, json};

use crate::error::Error;
use crate::programs;
use crate::references::TEMPLATES;
use crate::rewrite::Passwords;

/// The mark of an object, if the stack has one.
pub(crate) fn mark<'a>(stack: &'a StackSpec, component: &str, id: &ObjectId) -> Option<&'a ProductionOnly> {
    let matches = |kept: &&ProductionOnly| {
        kept.host.is_none()
            && kept.file.is_none()
            && kept.target.matches(component, &id.group, &id.kind, id.namespace.as_deref(), &id.name)
    };
    stack.production_only.iter().find(matches)
}

/// Why an object looks as if it must not leave production.
pub(crate) fn suspicion(object: &Value, id: &ObjectId) -> Option<String> {
    of_kind(object, id).or_else(|| {
        let volumes = foreign_volumes(object);
        (!volumes.is_empty())
            .then(|| format!("its pods mount what is not the copy's own: {}", volumes.join(", ")))
    })
}

/// What its kind has to do with what stays in production.
fn of_kind(object: &Value, id: &ObjectId) -> Option<String> {
    let holds = |field: &str| object.get(field).and_then(Value::as_object).is_some_and(|map| !map.is_empty());
    let lists = |field: &str| object.get(field).and_then(Value::as_array).is_some_and(|all| !all.is_empty());
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
        ("", "Endpoints") if lists("subsets") => Some("it leads to addresses that somebody wrote".to_owned()),
        ("discovery.k8s.io", "EndpointSlice") if lists("endpoints") => {
            Some("it leads to addresses that somebody wrote".to_owned())
        }
        ("", "ServiceAccount") => {
            let annotations = object.pointer("/metadata/annotations").and_then(Value::as_object);
            let is_identity =
                annotations.is_some_and(|all| IDENTITIES.iter().any(|one| all.contains_key(*one)));
            is_identity.then(|| "it is an identity outside the cluster".to_owned())
        }
        _ => None,
    }
}

/// Volumes of pods that hold what lies in the copy's own namespaces, an image, or nothing. All others are somewhere else:
/// on a server, on the node, or with a driver.
const OWN_VOLUMES: [&str; 7] =
    ["configMap", "downwardAPI", "emptyDir", "image", "persistentVolumeClaim", "projected", "secret"];

/// What fills a claim.
const SOURCES: [&str; 4] = ["dataSource", "dataSourceRef", "volumeName", "selector"];

/// What a volume is when it is not the copy's own.
fn foreign(volume: &Value) -> Option<String> {
    let kind = volume.as_object()?.keys().find(|key| *key != "name")?;
    let claim = volume.pointer("/ephemeral/volumeClaimTemplate/spec");
    match kind.as_str() {
        kind if OWN_VOLUMES.contains(&kind) => None,
        "ephemeral" => {
            let source =
                SOURCES.iter().find(|source| claim.is_some_and(|claim| claim.get(**source).is_some()));
            source.map(|source| format!("ephemeral with {source}"))
        }
        "csi" => {
            let driver = volume.pointer("/csi/driver").and_then(Value::as_str);
            Some(driver.map_or_else(|| "csi".to_owned(), |driver| format!("csi {driver}")))
        }
        kind => Some(kind.to_owned()),
    }
}

/// The volumes of a template's pods that are not the copy's own: each one's name and what it is.
fn foreign_volumes(object: &Value) -> Vec<String> {
    let volumes =
        TEMPLATES.iter().filter_map(|at| object.pointer(&format!("{at}/volumes")).and_then(Value::as_array));
    let name = |volume: &Value| volume.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let found = volumes.flatten().filter_map(|one| Some(format!("{} ({})", name(one), foreign(one)?)));
    found.collect()
}

/// A workload whose pods have nothing in volumes that are not the copy's own, and in claims that it makes.
fn with_empty_volumes(object: &Value) -> Value {
    let mut object = object.clone();
    let templates = object.pointer_mut("/spec/volumeClaimTemplates").and_then(Value::as_array_mut);
    for template in templates.into_iter().flatten() {
        *template = empty(template, "/spec");
    }
    for at in TEMPLATES {
        let volumes = object.pointer_mut(&format!("{at}/volumes")).and_then(Value::as_array_mut);
        for volume in volumes.into_iter().flatten().filter(|volume| foreign(volume).is_some()) {
            *volume = match volume.get("ephemeral") {
                Some(_) => empty(volume, "/ephemeral/volumeClaimTemplate/spec"),
                None => json!({"name": volume["name"], "emptyDir": {}}),
            };
        }
    }
    object
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

/// Annotations by which an account is somebody at a cloud provider.
const IDENTITIES: [&str; 3] =
    ["azure.workload.identity/client-id", "eks.amazonaws.com/role-arn", "iam.gke.io/gcp-service-account"];

/// What a copy has in place of a marked object.
#[derive(Debug, Default)]
pub(crate) struct Instead {
    /// The object; `None`: none at all.
    pub(crate) object: Option<Value>,
    /// What it needs besides.
    pub(crate) more: Vec<Value>,
}

/// What a copy has in place of a marked object; `replaced`: its component is rendered from other files than in production.
pub(crate) fn stand_in(
    kept: &ProductionOnly,
    object: &Value,
    id: &ObjectId,
    passwords: Passwords<'_>,
    replaced: bool,
) -> Result<Instead, Error> {
    let wrong = |problem: String| Error::Rule { name: kept.name.clone(), object: id.clone(), problem };
    let only = |object: Value| Instead { object: Some(object), more: Vec::new() };
    let kind = id.kind.as_str();
    let stand_in = &kept.stand_in;
    if stand_in.omit {
        // Pods run as it all the same.
        return Ok(if kind == "ServiceAccount" { only(nobody(object)) } else { Instead::default() });
    }
    if stand_in.keep {
        return match kind {
            "Secret" if !replaced => {
                Err(wrong("a Secret does not leave production: give values that stand in".to_owned()))
            }
            _ => Ok(only(object.clone())),
        };
    }
    if let Some(values) = &stand_in.secret {
        return match kind {
            "Secret" | "ExternalSecret" | "SealedSecret" => {
                secret(values, object, id, passwords).map(only).map_err(wrong)
            }
            kind => Err(wrong(format!("a Secret cannot stand in for a {kind}"))),
        };
    }
    if let Some(program) = &stand_in.seed {
        return match kind {
            "PersistentVolumeClaim" => Ok(programs::seeded(program, empty(object, "/spec"), id)),
            kind => Err(wrong(format!(
                "a {kind} cannot be filled by a program: only a PersistentVolumeClaim can"
            ))),
        };
    }
    if let Some(mock) = &stand_in.service {
        return match kind {
            "Service" => Ok(programs::mocked(mock, object, id)),
            kind => Err(wrong(format!("a program cannot answer in place of a {kind}: only of a Service"))),
        };
    }
    match kind {
        "PersistentVolumeClaim" => Ok(only(empty(object, "/spec"))),
        "StatefulSet" => Ok(only(with_empty_volumes(object))),
        _ if !foreign_volumes(object).is_empty() => Ok(only(with_empty_volumes(object))),
        kind => Err(wrong(format!("a {kind} has no volume that could be empty"))),
    }
}

/// An account that is nobody outside the cluster.
fn nobody(account: &Value) -> Value {
    let mut account = account.clone();
    if let Some(annotations) = account.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        IDENTITIES.iter().for_each(|one| drop(annotations.remove(*one)));
    }
    account
}

/// A claim without anything that fills it.
fn empty(claim: &Value, spec: &str) -> Value {
    let mut claim = claim.clone();
    if let Some(spec) = claim.pointer_mut(spec).and_then(Value::as_object_mut) {
        for source in SOURCES {
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
