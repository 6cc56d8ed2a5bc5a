//! Rule by rule: what passes, and what fails with which field path and text.
//!
//! Every case is a valid object, changed by a JSON merge patch, and the errors that the change
//! brings. Objects pass through defaulting and preparation first, as in a request.
#![allow(clippy::unwrap_used)]

mod admission;
mod certificates;
mod cluster;
mod definitions;
mod networking;
mod objects;
mod pod_systems;
mod pods;
mod workloads;

use serde_json::{Value, json};

use super::{
    NameRule, name_rule, validate_approval_update, validate_create, validate_metadata,
    validate_metadata_update, validate_status_update, validate_update,
};
use crate::defaults::default_object;
use crate::field_error::FieldError;
use crate::strategy::{prepare_for_create, prepare_for_update};

/// A JSON merge patch (RFC 7386).
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let fields = target.as_object_mut().unwrap();
    for (name, change) in changes {
        if change.is_null() {
            fields.remove(name);
        } else {
            merge(fields.entry(name).or_insert(Value::Null), change);
        }
    }
}

fn merged(base: &Value, patch: &Value) -> Value {
    let mut object = base.clone();
    merge(&mut object, patch);
    object
}

fn texts(errors: Vec<FieldError>) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

/// The object as it is after a create request, checks not yet made.
fn created(group: &str, kind: &str, object: &Value) -> Value {
    let version = if group == "autoscaling" { "v2" } else { "v1" };
    let mut object = object.clone();
    default_object(group, version, kind, &mut object);
    prepare_for_create(group, kind, &mut object);
    object
}

/// The base is valid; each patch of it brings just these errors.
fn on_create(group: &str, kind: &str, base: &Value, cases: &[(Value, &[&str])]) {
    let base_errors = validate_create(group, kind, &created(group, kind, base));
    assert_eq!(texts(base_errors), Vec::<String>::new(), "{kind}: the base");
    for (patch, expected) in cases {
        let object = created(group, kind, &merged(base, patch));
        let found = texts(validate_create(group, kind, &object));
        assert_eq!(found, *expected, "{kind}: {patch}");
    }
}

/// An update of the base by each patch brings just these errors.
fn on_update(group: &str, kind: &str, base: &Value, cases: &[(Value, &[&str])]) {
    let version = if group == "autoscaling" { "v2" } else { "v1" };
    let old = created(group, kind, base);
    for (patch, expected) in cases {
        let mut new = merged(&old, patch);
        default_object(group, version, kind, &mut new);
        prepare_for_update(group, kind, &mut new, &old);
        let found = texts(validate_update(group, kind, &new, &old));
        assert_eq!(found, *expected, "{kind}: {patch}");
    }
}

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const LABEL_1035: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";

#[test]
fn names_follow_the_rule_of_their_kind() {
    let wrong = |group: &str, kind: &str, name: &str| {
        let object = json!({"metadata": {"name": name}});
        texts(validate_metadata(&object, false, name_rule(group, kind)))
    };
    let rbac = "rbac.authorization.k8s.io";
    for (group, kind, name) in [
        ("", "ConfigMap", "a.b"),
        ("", "Namespace", "1a"),
        ("", "Service", "a-1"),
        (rbac, "ClusterRole", "system:A b"),
        ("example.com", "Own", "a.b"),
    ] {
        assert_eq!(wrong(group, kind, name), Vec::<String>::new(), "{kind} {name}");
    }
    for (group, kind, name, text) in [
        ("", "ConfigMap", "A", SUBDOMAIN),
        ("", "Namespace", "a.b", LABEL),
        ("apps", "StatefulSet", "a.b", LABEL),
        ("", "Service", "1a", LABEL_1035),
        (rbac, "Role", "a/b", "may not contain '/'"),
        (rbac, "Role", "..", "may not be '..'"),
    ] {
        assert_eq!(wrong(group, kind, name), [format!("metadata.name: Invalid value: \"{name}\": {text}")]);
    }
    assert_eq!(
        wrong("", "Namespace", &"a".repeat(64)),
        [format!("metadata.name: Invalid value: \"{}\": must be no more than 63 bytes", "a".repeat(64))]
    );
}

#[test]
fn metadata_is_checked() {
    let base = json!({"metadata": {"name": "a", "namespace": "n"}});
    let check = |patch: Value, expected: &[&str]| {
        let object = merged(&base, &json!({"metadata": patch}));
        let found = texts(validate_metadata(&object, true, NameRule::Subdomain));
        assert_eq!(found, expected, "{patch}");
    };
    check(json!({}), &[]);
    check(json!({"name": null}), &["metadata.name: Required value: name or generateName is required"]);
    check(json!({"generateName": "a-"}), &[]);
    check(
        json!({"generateName": "A_b-"}),
        &[&format!("metadata.generateName: Invalid value: \"A_b-\": {SUBDOMAIN}")],
    );
    check(json!({"namespace": null}), &["metadata.namespace: Required value"]);
    check(json!({"namespace": "a.b"}), &[&format!("metadata.namespace: Invalid value: \"a.b\": {LABEL}")]);
    check(json!({"labels": {"a/b": "c", "x": ""}, "annotations": {"A.b/C": "anything at all\n"}}), &[]);
    check(
        json!({"labels": {"a": "b c"}}),
        &[
            "metadata.labels[a]: Invalid value: \"b c\": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
        ],
    );
    check(
        json!({"labels": {"/a": ""}}),
        &["metadata.labels: Invalid value: \"/a\": prefix part must be non-empty"],
    );
    check(
        json!({"annotations": {"a b": ""}}),
        &[
            "metadata.annotations: Invalid value: \"a b\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
        ],
    );
    check(
        json!({"annotations": {"a": "x".repeat(256 * 1024)}}),
        &["metadata.annotations: Too long: may not be more than 262144 bytes"],
    );
    check(
        json!({"generation": -1}),
        &["metadata.generation: Invalid value: -1: must be greater than or equal to 0"],
    );
    let owner = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "d", "uid": "u"});
    check(json!({"ownerReferences": [owner]}), &[]);
    check(
        json!({"ownerReferences": [{"apiVersion": "apps/", "kind": "", "name": "", "uid": ""}]}),
        &[
            "metadata.ownerReferences.apiVersion: Invalid value: \"apps/\": version must not be empty",
            "metadata.ownerReferences.kind: Invalid value: \"\": kind must not be empty",
            "metadata.ownerReferences.name: Invalid value: \"\": name must not be empty",
            "metadata.ownerReferences.uid: Invalid value: \"\": uid must not be empty",
        ],
    );
    let controller = merged(&owner, &json!({"controller": true}));
    let object = merged(&base, &json!({"metadata": {"ownerReferences": [controller, controller]}}));
    let found = texts(validate_metadata(&object, true, NameRule::Subdomain));
    assert!(
        found[0].ends_with(
            "Only one reference can have Controller set to true. Found \"true\" in references for d and d"
        ),
        "{found:?}"
    );
    check(json!({"finalizers": ["example.com/f", "kubernetes"]}), &[]);
    check(
        json!({"finalizers": ["orphan", "foregroundDeletion"]}),
        &[
            "metadata.finalizers: Invalid value: [\"orphan\",\"foregroundDeletion\"]: finalizer orphan and foregroundDeletion cannot be both set",
        ],
    );
    let cluster = json!({"metadata": {"name": "a", "namespace": "n"}});
    assert_eq!(
        texts(validate_metadata(&cluster, false, NameRule::Subdomain)),
        ["metadata.namespace: Forbidden: not allowed on this type"]
    );
    assert!(!validate_metadata(&json!({}), true, NameRule::Label).is_empty());
}

#[test]
fn metadata_keeps_what_identifies_an_object() {
    let old = json!({"metadata": {"name": "a", "namespace": "n", "uid": "u", "generation": 2,
                                  "creationTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["x/a"]}});
    let check = |patch: Value, expected: &[&str]| {
        let new = merged(&old, &json!({"metadata": patch}));
        assert_eq!(texts(validate_metadata_update(&new, &old)), expected, "{patch}");
    };
    check(json!({"labels": {"a": "b"}, "generation": 3}), &[]);
    check(json!({"name": "b"}), &["metadata.name: Invalid value: \"b\": field is immutable"]);
    check(json!({"uid": null}), &["metadata.uid: Invalid value: \"\": field is immutable"]);
    check(
        json!({"creationTimestamp": "2026-01-01T00:00:01Z"}),
        &["metadata.creationTimestamp: Invalid value: \"2026-01-01T00:00:01Z\": field is immutable"],
    );
    check(json!({"generation": 1}), &["metadata.generation: Invalid value: 1: must not be decremented"]);
    let deleted = merged(&old, &json!({"metadata": {"deletionTimestamp": "2026-01-02T00:00:00Z"}}));
    let new = merged(&deleted, &json!({"metadata": {"finalizers": ["x/a", "x/b"]}}));
    assert_eq!(
        texts(validate_metadata_update(&new, &deleted)),
        [
            "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{\"x/b\"}"
        ]
    );
    let fewer = merged(&deleted, &json!({"metadata": {"finalizers": null}}));
    assert_eq!(texts(validate_metadata_update(&fewer, &deleted)), Vec::<String>::new());
}

#[test]
fn kinds_without_rules_and_custom_resources_have_no_errors() {
    let odd = json!({"spec": {"replicas": -1}});
    for (group, kind) in [("example.com", "Deployment"), ("", "ServiceAccount")] {
        assert!(validate_create(group, kind, &odd).is_empty(), "{kind}");
        assert!(validate_update(group, kind, &odd, &json!({})).is_empty(), "{kind}");
    }
}

/// What the decoder lets through by mistake must not end the server.
#[test]
fn values_of_wrong_types_never_panic() {
    let kinds = [
        ("", "Pod"),
        ("", "Service"),
        ("", "Namespace"),
        ("", "ConfigMap"),
        ("", "Secret"),
        ("", "Endpoints"),
        ("", "PersistentVolumeClaim"),
        ("", "PersistentVolume"),
        ("", "ResourceQuota"),
        ("", "LimitRange"),
        ("", "ReplicationController"),
        ("apps", "Deployment"),
        ("apps", "ReplicaSet"),
        ("apps", "StatefulSet"),
        ("apps", "DaemonSet"),
        ("batch", "Job"),
        ("batch", "CronJob"),
        ("autoscaling", "HorizontalPodAutoscaler"),
        ("networking.k8s.io", "Ingress"),
        ("networking.k8s.io", "IngressClass"),
        ("networking.k8s.io", "NetworkPolicy"),
        ("discovery.k8s.io", "EndpointSlice"),
        ("coordination.k8s.io", "Lease"),
        ("policy", "PodDisruptionBudget"),
        ("scheduling.k8s.io", "PriorityClass"),
        ("storage.k8s.io", "StorageClass"),
        ("rbac.authorization.k8s.io", "Role"),
        ("rbac.authorization.k8s.io", "ClusterRoleBinding"),
        ("apiextensions.k8s.io", "CustomResourceDefinition"),
        ("", "Node"),
        ("", "Event"),
        ("events.k8s.io", "Event"),
        ("certificates.k8s.io", "CertificateSigningRequest"),
        ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
        ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"),
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"),
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"),
        ("node.k8s.io", "RuntimeClass"),
        ("storage.k8s.io", "CSIDriver"),
        ("storage.k8s.io", "CSINode"),
        ("storage.k8s.io", "VolumeAttachment"),
    ];
    let bodies = [
        json!(null),
        json!("x"),
        json!([1]),
        json!({}),
        json!({"spec": 1}),
        json!({"spec": [[]]}),
        json!({"spec": {"template": "x", "containers": {"a": 1}, "ports": 3, "selector": [],
               "versions": {"a": 1}, "names": 7, "metrics": "x", "limits": {}, "rules": [4],
               "volumes": [1, null], "schedule": 5, "request": 1, "usages": {}, "drivers": [2], "taints": "x",
               "source": [], "matchConstraints": 7, "validations": [[]]}, "metadata": "x", "data": [1],
               "roleRef": 3, "webhooks": [1, {"rules": 2}], "status": {"conditions": [5], "addresses": "x"}}),
    ];
    for (group, kind) in kinds {
        for body in &bodies {
            let new = created(group, kind, body);
            let _ = validate_create(group, kind, &new);
            let _ = crate::warnings::for_object(group, kind, &new, None);
            let _ = crate::warnings::for_custom_object(&new, Some(body));
            for old in &bodies {
                let mut changed = new.clone();
                prepare_for_update(group, kind, &mut changed, old);
                let _ = validate_update(group, kind, &changed, old);
                let _ = validate_status_update(group, kind, &changed, old);
                let _ = validate_approval_update(&changed, old);
                let _ = crate::warnings::for_object(group, kind, &changed, Some(old));
            }
            let _ = validate_metadata(body, true, NameRule::Label1035);
            let _ = validate_metadata_update(body, &bodies[6]);
        }
    }
}
