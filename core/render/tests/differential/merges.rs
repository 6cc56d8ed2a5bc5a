//! Objects and patches that meet everywhere: parts of one large pod template, values changed, nulls and directives put in.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::grammar::{Random, TOP};

fn pod(random: &mut Random) -> Value {
    let image = |random: &mut Random| Value::from(random.of(&["a:1", "b:2", "c"]));
    let mut containers = Vec::new();
    for name in ["one", "two", "three"] {
        let ports: Vec<Value> = (0..random.below(4))
            .map(|_| {
                let mut port = json!({"containerPort": 80 + random.below(3)});
                if random.percent(50) {
                    port["protocol"] = Value::from(random.of(&["TCP", "UDP"]));
                }
                if random.percent(40) {
                    port["name"] = Value::from(random.of(&["p", "q"]));
                }
                port
            })
            .collect();
        let env: Vec<Value> = (0..random.below(4))
            .map(|_| {
                let name = random.of(&["A", "B", "C"]);
                match random.below(3) {
                    0 => json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": "x"}}}),
                    1 => json!({"name": name}),
                    _ => json!({"name": name, "value": random.of(&["1", "yes", ""])}),
                }
            })
            .collect();
        let mounts: Vec<Value> = (0..random.below(3))
            .map(|_| json!({"name": random.of(&["v", "w"]), "mountPath": random.of(&["/v", "/w"])}))
            .collect();
        containers.push(json!({
            "name": name, "image": image(random), "ports": ports, "env": env, "volumeMounts": mounts,
            "args": [random.of(&["x", "y1"]), "z"], "command": ["sh"],
            "resources": {"limits": {"cpu": random.below(3), "memory": "1Gi"}, "requests": {}},
            "livenessProbe": {"httpGet": {"path": "/", "port": 80}, "periodSeconds": random.below(9)},
            "envFrom": [{"configMapRef": {"name": random.of(&["c", "d"])}}],
            "securityContext": {"capabilities": {"add": [random.of(&["A", "B"])], "drop": ["ALL"]}},
        }));
    }
    json!({
        "replicas": random.below(4),
        "selector": {"matchLabels": {"app": "x"}, "matchExpressions": [{"key": "a", "operator": "Exists"}]},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": random.below(3)}},
        "template": {
            "metadata": {"labels": {"app": "x", "v": random.of(&["1", "2"])}, "annotations": {"a": "b"}},
            "spec": {
                "containers": containers,
                "initContainers": [{"name": "i", "image": image(random)}],
                "volumes": [
                    {"name": "v", "emptyDir": {}},
                    {"name": "w", "configMap": {"name": "c", "items": [{"key": "k", "path": random.of(&["p", "q"])}]}},
                    {"name": random.of(&["x", "v"]), "secret": {"secretName": "s"}},
                ],
                "tolerations": [{"key": random.of(&["a", "b"]), "effect": "NoSchedule"}],
                "imagePullSecrets": [{"name": random.of(&["a", "b"])}],
                "hostAliases": [{"ip": random.of(&["1.1.1.1", "2.2.2.2"]), "hostnames": ["h"]}],
                "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1}]}},
                "nodeSelector": {"a": random.of(&["b", "c"])},
                "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": random.of(&["z", "h"]), "whenUnsatisfiable": random.of(&["DoNotSchedule", "ScheduleAnyway"])}],
                "dnsConfig": {"options": [{"name": random.of(&["n", "m"])}]},
                "serviceAccountName": "sa",
            },
        },
    })
}

/// Fields that tell elements of lists apart: they stay.
const KEYS: &[&str] = &["name", "containerPort", "mountPath", "ip", "topologyKey", "key"];

/// Leaves out parts, by chance.
fn part(value: Value, random: &mut Random, keep: u64) -> Value {
    match value {
        Value::Object(object) => Value::Object(
            object
                .into_iter()
                .filter_map(|(key, value)| {
                    // Without its key nothing tells an element apart: nobody writes that.
                    let chance = if KEYS.contains(&key.as_str()) { 100 } else { keep };
                    random.percent(chance).then(|| (key, part(value, random, keep)))
                })
                .collect(),
        ),
        Value::Array(items) => {
            let mut items: Vec<Value> = items
                .into_iter()
                .filter_map(|item| random.percent(keep).then(|| part(item, random, keep)))
                .collect();
            if random.percent(20) {
                items.reverse();
            }
            Value::Array(items)
        }
        other => other,
    }
}

/// Puts nulls and directives in, by chance.
fn spoil(value: &mut Value, random: &mut Random) {
    match value {
        Value::Object(object) => {
            let keys: Vec<String> = object.keys().cloned().collect();
            for key in keys {
                if random.percent(4) && !KEYS.contains(&key.as_str()) {
                    object.insert(key, Value::Null);
                } else if let Some(value) = object.get_mut(&key) {
                    spoil(value, random);
                }
            }
            if random.percent(3) {
                object.insert("$patch".to_owned(), Value::from(random.of(&["delete", "replace", "merge"])));
            }
        }
        Value::Array(items) => {
            items.iter_mut().for_each(|item| spoil(item, random));
            if random.percent(4) && items.iter().all(Value::is_object) {
                items.insert(0, json!({"$patch": random.of(&["replace", "delete"])}));
            }
        }
        _ => {}
    }
}

/// One object and one or two patches of a seed.
pub(crate) fn files(seed: u64) -> Vec<(String, String)> {
    let mut random = Random::new(seed);
    const KINDS: [(&str, &str); 5] = [
        ("apps/v1", "Deployment"),
        ("apps/v1", "Deployment"),
        ("apps/v1", "StatefulSet"),
        ("batch/v1", "Job"),
        ("example.com/v1", "Custom"),
    ];
    let (version, kind) = KINDS[random.below(KINDS.len())];
    let object = |spec: Value| {
        let mut object = Map::new();
        object.insert("apiVersion".to_owned(), Value::from(version));
        object.insert("kind".to_owned(), Value::from(kind));
        object.insert("metadata".to_owned(), json!({"name": "x"}));
        object.insert("spec".to_owned(), spec);
        Value::Object(object)
    };
    let whole = pod(&mut random);
    let base = object(part(whole, &mut random, 75));
    let mut text = "resources: [r.yaml]\npatches:\n".to_owned();
    for index in 0..=random.below(2) {
        let whole = pod(&mut random);
        let mut patch = part(whole, &mut random, 45);
        spoil(&mut patch, &mut random);
        let patch = object(patch);
        if random.percent(20) {
            let _ = writeln!(
                text,
                "- target: {{kind: {kind}}}\n  patch: '{}'",
                patch.to_string().replace('\'', "''")
            );
        } else {
            let _ = writeln!(text, "- patch: '{}' # {index}", patch.to_string().replace('\'', "''"));
        }
    }
    vec![(format!("{TOP}/kustomization.yaml"), text), (format!("{TOP}/r.yaml"), format!("{base:#}\n"))]
}
