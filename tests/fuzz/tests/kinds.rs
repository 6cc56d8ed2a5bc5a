//! Objects of built-in kinds and definitions of custom ones, on their way into the store.
#![allow(clippy::unwrap_used, missing_docs)]

use seaway_fuzz::{Json, fuzz};
use seaway_kinds::structural::{self, CompiledSchema};
use seaway_kinds::table::{self, IncludeObject};
use seaway_kinds::{defaults, resources, strategy, validation};
use seaway_merge::{check, schema};
use serde_json::{Map, Value, json};

fn pod_spec() -> Value {
    json!({"restartPolicy": "Always", "nodeName": "n", "terminationGracePeriodSeconds": 30,
        "containers": [{"name": "a", "image": "b:1", "command": ["c"], "env": [{"name": "E", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
            "ports": [{"name": "http", "containerPort": 80, "hostPort": 80, "protocol": "TCP"}],
            "resources": {"requests": {"cpu": "100m", "memory": "1Gi"}, "limits": {"cpu": "1"}},
            "readinessProbe": {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 1}, "volumeMounts": [{"name": "v", "mountPath": "/v"}],
            "securityContext": {"runAsUser": 1, "capabilities": {"add": ["X"]}}}],
        "initContainers": [{"name": "i", "image": "b", "restartPolicy": "Always"}],
        "volumes": [{"name": "v", "emptyDir": {"sizeLimit": "1Gi"}}, {"name": "p", "projected": {"sources": [{"configMap": {"name": "c"}}]}}],
        "tolerations": [{"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 3}],
        "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
            {"topologyKey": "t", "labelSelector": {"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}}]}},
        "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "t", "whenUnsatisfiable": "DoNotSchedule"}]})
}

fn objects() -> Json {
    let object = |api_version: &str, kind: &str, rest: Value| {
        let mut object = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "a", "namespace": "n", "uid": "u",
            "creationTimestamp": "2024-01-01T00:00:00Z", "labels": {"a": "b"}, "annotations": {"c": "d"}, "finalizers": ["e/f"],
            "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "o", "uid": "o"}]}});
        object.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        object
    };
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": pod_spec()});
    let mut job = template.clone();
    job["spec"]["restartPolicy"] = "Never".into();
    let selector = json!({"matchLabels": {"a": "b"}});
    let good = vec![
        object(
            "v1",
            "Pod",
            json!({"spec": pod_spec(), "status": {"phase": "Running", "podIP": "10.0.0.1",
            "conditions": [{"type": "Ready", "status": "True"}], "containerStatuses": [{"name": "a", "ready": true, "restartCount": 1,
            "state": {"terminated": {"exitCode": 1, "finishedAt": "2024-01-01T00:00:00Z"}}}]}}),
        ),
        object(
            "apps/v1",
            "Deployment",
            json!({"spec": {"replicas": 1, "selector": selector, "template": template,
            "strategy": {"rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0}}}, "status": {"replicas": 1}}),
        ),
        object(
            "apps/v1",
            "StatefulSet",
            json!({"spec": {"serviceName": "s", "selector": selector, "template": template, "volumeClaimTemplates": [
            {"metadata": {"name": "v"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}]}}),
        ),
        object("apps/v1", "DaemonSet", json!({"spec": {"selector": selector, "template": template}})),
        object(
            "batch/v1",
            "Job",
            json!({"spec": {"completions": 2, "parallelism": 1, "template": job,
            "podFailurePolicy": {"rules": [{"action": "Ignore", "onExitCodes": {"operator": "In", "values": [1]}}]}},
            "status": {"startTime": "2024-01-01T00:00:00Z", "completionTime": "2024-01-01T00:01:00Z"}}),
        ),
        object(
            "batch/v1",
            "CronJob",
            json!({"spec": {"schedule": "*/5 1-3 * * MON", "timeZone": "Europe/Berlin", "jobTemplate": {"spec": {"template": job}}}}),
        ),
        object(
            "v1",
            "Service",
            json!({"spec": {"type": "NodePort", "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "selector": {"a": "b"},
            "ports": [{"name": "p", "port": 80, "targetPort": "http", "nodePort": 30000}], "externalIPs": ["1.2.3.4"]}}),
        ),
        object(
            "v1",
            "ConfigMap",
            json!({"data": {"a": "b"}, "binaryData": {"c": "aGk="}, "immutable": false}),
        ),
        object(
            "v1",
            "Secret",
            json!({"type": "kubernetes.io/tls", "data": {"tls.crt": "aGk=", "tls.key": ""}, "stringData": {"x": "y"}}),
        ),
        object(
            "v1",
            "PersistentVolumeClaim",
            json!({"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}),
        ),
        object(
            "v1",
            "ResourceQuota",
            json!({"spec": {"hard": {"pods": "3", "requests.cpu": "1"}, "scopes": ["BestEffort"]}}),
        ),
        object(
            "v1",
            "LimitRange",
            json!({"spec": {"limits": [{"type": "Container", "default": {"memory": "1Gi"}, "max": {"memory": "2Gi"}}]}}),
        ),
        object(
            "networking.k8s.io/v1",
            "Ingress",
            json!({"spec": {"rules": [{"host": "*.a.b", "http": {"paths": [
            {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "s", "port": {"number": 80}}}}]}}]}}),
        ),
        object(
            "networking.k8s.io/v1",
            "NetworkPolicy",
            json!({"spec": {"podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}],
            "ports": [{"port": 1, "endPort": 2}]}]}}),
        ),
        object(
            "autoscaling/v2",
            "HorizontalPodAutoscaler",
            json!({"spec": {"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "a"},
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}]}}),
        ),
        object(
            "policy/v1",
            "PodDisruptionBudget",
            json!({"spec": {"minAvailable": "50%", "selector": selector}}),
        ),
        object(
            "rbac.authorization.k8s.io/v1",
            "Role",
            json!({"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["*"]}]}),
        ),
        object(
            "rbac.authorization.k8s.io/v1",
            "RoleBinding",
            json!({"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
            "subjects": [{"kind": "ServiceAccount", "name": "s", "namespace": "n"}]}),
        ),
        object(
            "discovery.k8s.io/v1",
            "EndpointSlice",
            json!({"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": [{"port": 80}]}),
        ),
        object(
            "coordination.k8s.io/v1",
            "Lease",
            json!({"spec": {"leaseDurationSeconds": 1, "renewTime": "2024-01-01T00:00:00.000000Z"}}),
        ),
        object(
            "apiextensions.k8s.io/v1",
            "CustomResourceDefinition",
            json!({"spec": {"group": "example.com", "scope": "Namespaced",
            "names": {"plural": "things", "kind": "Thing", "singular": "thing", "listKind": "ThingList"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": definition()},
                "additionalPrinterColumns": [{"name": "A", "type": "string", "jsonPath": ".spec.a"}]}]}}),
        ),
    ];
    let words = [
        "name",
        "spec",
        "status",
        "metadata",
        "2024-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
        "-1",
        "1e30",
        "1Ei",
        "1n",
        "0.5",
        "150%",
        "%",
        "60 24 * * *",
        "@every 1s",
        "0/0 * * * *",
        "::1",
        "300.1.1.1",
        "10.0.0.0/33",
        "a_b",
        "A",
        "a.b/c/d",
        "0",
        "*",
        "aGk",
    ];
    let mut words = words.map(Value::from).to_vec();
    words.extend([
        json!(65536),
        json!(-2147483649_i64),
        json!(1.0e300),
        json!([null]),
        json!({"a": null}),
        json!("x".repeat(300)),
    ]);
    Json { good, words }
}

fuzz!(built_in_object, objects(), |input: &Value| {
    let text = |field: &str| input[field].as_str().unwrap_or_default().to_owned();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
    let Some(schema) = schema::for_kind(group, version, &kind) else { return false };
    let mut object = input.clone();
    check::prune(&mut object, &schema);
    if !object["metadata"].is_object() || !check::wrong_types(&object, &schema).is_empty() {
        return false;
    }
    seaway_protobuf::canonical(&mut object);
    let default = |object: &mut Value| {
        check::default(object, &schema);
        defaults::default_object(group, version, &kind, object);
    };
    default(&mut object);
    let once = object.clone();
    default(&mut object);
    assert_eq!(object, once, "defaults of what has its defaults");
    strategy::prepare_for_create(group, &kind, &mut object);
    validation::validate_metadata(&object, true, validation::name_rule(group, &kind));
    let errors = validation::validate_create(group, &kind, &object);
    assert!(errors.iter().all(|error| error.body().len() < 4096 + 4 * input.to_string().len()));
    for good in objects().good.iter().filter(|good| good["kind"] == kind.as_str()) {
        let mut updated = object.clone();
        strategy::prepare_for_update(group, &kind, &mut updated, good);
        validation::validate_metadata_update(&updated, good);
        validation::validate_update(group, &kind, &updated, good);
        let mut status = object.clone();
        strategy::prepare_for_status_update(group, &kind, &mut status, good);
        if kind == "Pod" {
            strategy::keep_all_but_ephemeral_containers(&mut status, good);
            validation::validate_ephemeral_containers_update(&object, good);
        }
    }
    strategy::graceful_deletion_seconds(group, &kind, &object);
    if let Some(resource) = resources::builtin().iter().find(|r| r.group == group && r.kind == kind) {
        let now = "2024-06-01T00:00:00Z".parse().unwrap();
        for object in [&object, input] {
            let table = table::table(resource, None, [object], now, IncludeObject::None, Map::new());
            assert_eq!(
                table["rows"][0]["cells"].as_array().map(Vec::len),
                table["columnDefinitions"].as_array().map(Vec::len)
            );
        }
    }
    true
});

fn definition() -> Value {
    json!({"type": "object", "required": ["spec"], "properties": {"spec": {"type": "object", "properties": {
        "a": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 5, "default": "x", "format": "date-time", "enum": ["x", "y"]},
        "b": {"type": "integer", "minimum": 1, "maximum": 10, "multipleOf": 2, "exclusiveMinimum": true},
        "c": {"type": "array", "maxItems": 3, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
              "items": {"type": "object", "required": ["k"], "properties": {"k": {"type": "string"}, "v": {"type": "number"}}}},
        "d": {"type": "object", "additionalProperties": {"type": "string", "nullable": true}, "maxProperties": 2},
        "e": {"x-kubernetes-int-or-string": true},
        "f": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "x-kubernetes-embedded-resource": true},
        "g": {"anyOf": [{"minLength": 1}, {"not": {"maxLength": 3}}], "type": "string"},
        "h": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "i": {"type": "object", "x-kubernetes-validations": [{"rule": "self.size() < 2", "message": "m"}], "additionalProperties": {"type": "integer"}}}}}})
}

fn definitions() -> Json {
    let object = json!({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "a"}, "spec": {
        "a": "abc", "b": 4, "c": [{"k": "x", "v": 1.5}, {"k": "y"}], "d": {"p": "q", "r": null}, "e": "50%",
        "f": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "n"}}, "g": "text", "h": ["a", "b"], "i": {"z": 1}}});
    let words = [
        "type",
        "properties",
        "items",
        "additionalProperties",
        "default",
        "nullable",
        "x-kubernetes-list-type",
        "x-kubernetes-list-map-keys",
        "x-kubernetes-validations",
        "x-kubernetes-preserve-unknown-fields",
        "x-kubernetes-int-or-string",
        "rule",
        "self == oldSelf",
        "self.c.all(x, x.k != '')",
        "pattern",
        "(a+)+$",
        "[",
        "format",
        "object",
        "array",
        "string",
        "integer",
        "number",
        "boolean",
        "map",
        "set",
        "atomic",
        "allOf",
        "oneOf",
        "not",
        "minimum",
        "multipleOf",
        "required",
        "enum",
        "a",
        "k",
    ];
    Json { good: vec![json!([definition(), object])], words: words.map(Value::from).to_vec() }
}

fuzz!(custom_object, definitions(), |input: &Value| {
    let Some([definition, object]) = input.as_array().map(Vec::as_slice) else { return false };
    let compiled = CompiledSchema::compile(definition);
    let Ok(schema) = schema::from_structural(definition) else { return false };
    let mut object = object.clone();
    if !object.is_object() {
        return false;
    }
    check::unknown_fields(&object, &schema);
    check::wrong_types(&object, &schema);
    check::prune(&mut object, &schema);
    let pruned = object.clone();
    check::prune(&mut object, &schema);
    assert_eq!(object, pruned, "pruned twice");
    assert!(check::unknown_fields(&object, &schema).is_empty(), "unknown fields are left");
    check::default(&mut object, &schema);
    let once = object.clone();
    check::default(&mut object, &schema);
    assert_eq!(object, once, "defaults of what has its defaults");
    let errors = structural::validate(&compiled, None, &object);
    assert_eq!(structural::validate(&compiled, None, &object), errors);
    structural::validate(&compiled, Some(&object), &object);
    true
});
