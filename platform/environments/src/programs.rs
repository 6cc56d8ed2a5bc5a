//! Programs that stand in: one that fills a volume, and one that answers in place of a service.

use std::collections::BTreeMap;

use seaway_api::stack::{MockService, Program};
use seaway_object::redact::HashKey;
use seaway_object::{ObjectId, identity};
use serde_json::{Value, json};

use crate::production_only::Instead;

/// Where a program finds the volume that it is to fill.
const SEED: &str = "/seed";
/// Whoever runs it: what Pod Security asks for, and what may write into the volume.
const USER: u32 = 65532;
/// Argo CD's annotation for the order of objects.
const WAVE: &str = "argocd.argoproj.io/sync-wave";
/// On pods of a service's stand-in: the service.
const MOCK: &str = "seaway.dev/mock";

/// A container that every Pod Security Standard lets run.
fn container(name: &str, program: &Program) -> Value {
    let env: Vec<Value> =
        program.env.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    let mut container = json!({"name": name, "image": program.image,
        "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}});
    for (field, value) in
        [("command", json!(program.command)), ("args", json!(program.args)), ("env", env.into())]
    {
        if value.as_array().is_some_and(|all| !all.is_empty()) {
            container[field] = value;
        }
    }
    container
}

fn pod(container: Value) -> Value {
    json!({"containers": [container], "automountServiceAccountToken": false, "securityContext": {
        "runAsNonRoot": true, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER,
        "seccompProfile": {"type": "RuntimeDefault"}}})
}

fn metadata(name: &str, of: &Value) -> Value {
    let mut metadata = json!({"name": name});
    if let Some(namespace) = identity::namespace(of) {
        metadata["namespace"] = namespace.into();
    }
    metadata
}

/// An empty claim and the Job that fills it, before anything of the waves from the claim's on. Another program is
/// another Job, as a Job cannot be changed.
pub(crate) fn seeded(program: &Program, mut claim: Value, id: &ObjectId) -> Instead {
    let annotation =
        claim.pointer("/metadata/annotations").and_then(|all| all.get(WAVE)).and_then(Value::as_str);
    let wave: i64 = annotation.and_then(|wave| wave.parse().ok()).unwrap_or(0);
    let before = (wave - 1).to_string();
    claim["metadata"]["annotations"][WAVE] = before.clone().into();
    let mut container = container("seed", program);
    container["volumeMounts"] = json!([{"name": "seed", "mountPath": SEED}]);
    let mut spec = pod(container);
    spec["restartPolicy"] = "OnFailure".into();
    spec["volumes"] = json!([{"name": "seed", "persistentVolumeClaim": {"claimName": id.name}}]);
    // A name for what it does, and no secret.
    let digest = HashKey::new([0; 32]).digest(spec.to_string().as_bytes());
    let digest = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
    let short: String = id.name.chars().take(40).collect();
    let name = format!("seed-{}-{digest:08x}", short.trim_end_matches(['-', '.']));
    let mut metadata = metadata(&name, &claim);
    metadata["annotations"] = json!({WAVE: before});
    let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata,
        "spec": {"backoffLimit": 3, "template": {"spec": spec}}});
    Instead { object: Some(claim), more: vec![job] }
}

/// A Service with the ports of the original, and the Deployment that answers at all of them.
pub(crate) fn mocked(mock: &MockService, service: &Value, id: &ObjectId) -> Instead {
    let name = format!("mock-{}", id.name);
    let labels = BTreeMap::from([(MOCK, id.name.as_str())]);
    let port = |port: &Value| {
        let mut port = port.clone();
        port["targetPort"] = mock.port.into();
        if let Some(port) = port.as_object_mut() {
            port.remove("nodePort");
        }
        port
    };
    let ports = service.pointer("/spec/ports").and_then(Value::as_array).filter(|ports| !ports.is_empty());
    let ports: Vec<Value> = match ports {
        Some(ports) => ports.iter().map(port).collect(),
        None => vec![json!({"port": mock.port, "targetPort": mock.port})],
    };
    let mut instead = json!({"apiVersion": "v1", "kind": "Service", "metadata": service["metadata"],
        "spec": {"selector": labels, "ports": ports}});
    if service.pointer("/spec/clusterIP").and_then(Value::as_str) == Some("None") {
        instead["spec"]["clusterIP"] = "None".into();
    }
    let mut container = container("mock", &mock.program);
    container["ports"] = json!([{"containerPort": mock.port}]);
    let mut pod = pod(container);
    // It keeps nothing, and is often a program that ends at no signal.
    pod["terminationGracePeriodSeconds"] = json!(5);
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata(&name, service),
        "spec": {"replicas": 1, "selector": {"matchLabels": labels},
                 "template": {"metadata": {"labels": labels}, "spec": pod}}});
    Instead { object: Some(instead), more: vec![deployment] }
}
