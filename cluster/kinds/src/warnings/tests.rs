#![allow(clippy::unwrap_used)]
use serde_json::{Value, json};

use super::*;
use crate::defaults::default_object;
use crate::strategy::prepare_for_create;

/// What is told about a new object.
fn told(group: &str, kind: &str, mut object: Value) -> Vec<String> {
    default_object(group, "v1", kind, &mut object);
    prepare_for_create(group, kind, &mut object);
    for_object(group, kind, &object, None)
}

fn pod(spec: Value) -> Vec<String> {
    told("", "Pod", json!({"metadata": {"name": "p"}, "spec": spec}))
}

fn container(container: Value) -> Vec<String> {
    pod(json!({"containers": [container]}))
}

const NOTHING: [String; 0] = [];

#[test]
fn a_plain_object_is_worth_no_word() {
    assert_eq!(container(json!({"name": "c", "image": "i", "env": [{"name": "A", "value": "1"}]})), NOTHING);
    assert_eq!(
        told("", "Service", json!({"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}})),
        NOTHING
    );
    assert_eq!(told("", "ConfigMap", json!({"metadata": {"name": "c"}})), NOTHING);
}

#[test]
fn pods_hear_of_what_hides_or_does_nothing() {
    assert_eq!(
        container(json!({"name": "c", "image": "i",
            "env": [{"name": "A", "value": "1"}, {"name": "A", "value": "$(A)2"}, {"name": "A", "value": "3"}],
            "ports": [{"containerPort": 80}, {"containerPort": 80, "hostPort": 81}, {"containerPort": 80}],
            "resources": {"requests": {"memory": "100m"}}})),
        [
            "spec.containers[0].resources.requests[memory]: fractional byte value \"100m\" is invalid, must be an integer",
            "spec.containers[0].env[2]: hides previous definition of \"A\", which may be dropped when using apply",
            "spec.containers[0].ports[1]: overlapping port definition with spec.containers[0].ports[0]",
            "spec.containers[0].ports[2]: duplicate port definition with spec.containers[0].ports[0]",
            "spec.containers[0].ports[2]: overlapping port definition with spec.containers[0].ports[1]",
        ]
    );
    assert_eq!(
        pod(json!({"terminationGracePeriodSeconds": -1, "nodeSelector": {"beta.kubernetes.io/os": "linux"},
            "imagePullSecrets": [{"name": "a"}, {"name": "a"}, {}],
            "topologySpreadConstraints": [{"topologyKey": "failure-domain.beta.kubernetes.io/zone", "labelSelector": {}}],
            "volumes": [{"name": "g", "gitRepo": {"repository": "r"}}],
            "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "a"}]}}})),
        [
            "spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use \"kubernetes.io/os\" instead",
            "spec.topologySpreadConstraints[0].topologyKey: failure-domain.beta.kubernetes.io/zone is deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead",
            "spec.volumes[0].gitRepo: deprecated in v1.11",
            "spec.imagePullSecrets[1].name: duplicate name \"a\"",
            "spec.imagePullSecrets[2].name: invalid empty name \"\"",
            "spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1",
            "spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].labelSelector: a null labelSelector results in matching no pod",
        ]
    );
}

#[test]
fn templates_hear_the_same_at_their_place_and_only_when_they_change() {
    let template = json!({"spec": {"terminationGracePeriodSeconds": -1, "containers": []}});
    const GRACE: &str =
        "terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1";
    for (group, kind, path, object) in [
        ("apps", "Deployment", "spec.template", json!({"spec": {"template": template}})),
        ("apps", "DaemonSet", "spec.template", json!({"spec": {"template": template}})),
        ("batch", "Job", "spec.template", json!({"spec": {"template": template}})),
        (
            "batch",
            "CronJob",
            "spec.jobTemplate.spec.template",
            json!({"spec": {"jobTemplate": {"spec": {"template": template}}}}),
        ),
        ("", "PodTemplate", "template", json!({"template": template})),
    ] {
        let mut object = object;
        object["metadata"] = json!({"name": "a"});
        assert_eq!(told(group, kind, object), [format!("{path}.spec.{GRACE}")], "{kind}");
    }
    let old = json!({"metadata": {"name": "d", "generation": 1}, "spec": {"template": template}});
    assert_eq!(for_object("apps", "Deployment", &old, Some(&old)), NOTHING);
    let mut new = old.clone();
    new["metadata"]["generation"] = json!(2);
    assert_eq!(for_object("apps", "Deployment", &new, Some(&old)).len(), 1);
}

#[test]
fn names_that_make_no_host_are_told() {
    let deployment = json!({"metadata": {"name": "a.b"}, "spec": {"template": {"spec": {"containers": []}}}});
    let warnings = told("apps", "Deployment", deployment);
    assert!(
        warnings[0].starts_with(
            "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended: [a lowercase RFC 1123 label must"
        ),
        "{warnings:?}"
    );
}

#[test]
fn services_hear_of_fields_that_do_nothing() {
    let service = |spec: Value| told("", "Service", json!({"metadata": {"name": "s"}, "spec": spec}));
    assert_eq!(
        service(json!({"clusterIP": "None", "externalIPs": ["1.2.3.4"], "sessionAffinity": "ClientIP"})),
        [
            "spec.externalIPs is ignored for headless services",
            "spec.SessionAffinity is ignored for headless services",
        ]
    );
    assert_eq!(
        service(json!({"externalName": "a.b", "externalIPs": ["::ffff:1.2.3.4", "FD00::1"],
                       "loadBalancerSourceRanges": ["10.1.2.3/8"], "trafficDistribution": "PreferClose"})),
        [
            "spec.externalIPs[0]: non-standard IP address \"::ffff:1.2.3.4\" will be considered invalid in a future Kubernetes release: use \"1.2.3.4\"",
            "spec.externalIPs[1]: IPv6 address \"FD00::1\" should be in RFC 5952 canonical format (\"fd00::1\")",
            "spec.externalIPs is deprecated and may no longer be implemented in some clusters",
            "spec.loadBalancerSourceRanges[0]: CIDR value \"10.1.2.3/8\" is ambiguous in this context (should be \"10.0.0.0/8\" or \"10.1.2.3/32\"?)",
            "spec.externalName is ignored when spec.type is not \"ExternalName\"",
            "spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\"",
        ]
    );
}

#[test]
fn storage_hears_of_fractions_and_of_what_ended() {
    let claim = json!({"metadata": {"name": "c"}, "spec": {"resources": {"requests": {"storage": "500m"}}}});
    assert_eq!(
        told("", "PersistentVolumeClaim", claim),
        ["spec.resources.requests[storage]: fractional byte value \"500m\" is invalid, must be an integer"]
    );
    let volume = json!({"metadata": {"name": "v"}, "spec": {"cephfs": {}, "persistentVolumeReclaimPolicy": "Recycle"}});
    assert_eq!(
        told("", "PersistentVolume", volume),
        [
            "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning.",
            "spec.cephfs: deprecated in v1.28, non-functional in v1.31+",
        ]
    );
}

#[test]
fn older_ways_are_told() {
    let ingress = json!({"metadata": {"name": "i", "annotations": {"kubernetes.io/ingress.class": "x"}}});
    assert_eq!(
        told("networking.k8s.io", "Ingress", ingress),
        [
            "annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName' instead"
        ]
    );
    let secret = json!({"metadata": {"name": "s"}, "type": "kubernetes.io/tls", "stringData": {"tls.crt": "x", "tls.key": "y"}});
    assert_eq!(told("", "Secret", secret), ["tls: failed to find any PEM data in certificate input"]);
    assert_eq!(
        for_api("", "v1", "Endpoints"),
        Some("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice")
    );
    assert_eq!(for_api("apps", "v1", "Deployment"), None);
    let hooks = told("admissionregistration.k8s.io", "MutatingWebhookConfiguration", json!({}));
    assert_eq!(hooks, ["this server keeps MutatingWebhookConfiguration objects and does not act on them"]);
}

#[test]
fn finalizers_of_custom_objects_belong_to_somebody() {
    let object = |finalizers: Value| json!({"metadata": {"finalizers": finalizers}});
    assert_eq!(for_custom_object(&object(json!(["example.com/a", "orphan"])), None), NOTHING);
    let old = object(json!(["mine"]));
    assert_eq!(
        for_custom_object(&old, None),
        [
            "metadata.finalizers: \"mine\": prefer a domain-qualified finalizer name including a path (/) to avoid accidental conflicts with other finalizer writers"
        ]
    );
    assert_eq!(for_custom_object(&old, Some(&old)), NOTHING);
}
