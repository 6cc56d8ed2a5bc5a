//! Configuration, storage, roles, quotas, policies.

use serde_json::{Value, json};

use super::{merged, on_create, on_update};

#[test]
fn config_maps() {
    let base = json!({"metadata": {"name": "c"}, "data": {"a.txt": "x"}, "binaryData": {"b": "eA=="}});
    on_create(
        "",
        "ConfigMap",
        &base,
        &[
            (
                json!({"data": {"a/b": ""}}),
                &[
                    "data[a/b]: Invalid value: \"a/b\": a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
                ],
            ),
            (
                json!({"data": {"b": ""}}),
                &["data[b]: Invalid value: \"b\": duplicate of key present in binaryData"],
            ),
            (
                json!({"data": {"a": "x".repeat(1024 * 1024)}}),
                &["[]: Too long: may not be more than 1048576 bytes"],
            ),
        ],
    );
    on_update("", "ConfigMap", &base, &[(json!({"data": {"a.txt": "y"}, "immutable": true}), &[])]);
    let frozen = merged(&base, &json!({"immutable": true}));
    on_update(
        "",
        "ConfigMap",
        &frozen,
        &[
            (json!({"metadata": {"labels": {"a": "b"}}}), &[]),
            (
                json!({"data": {"a.txt": "y"}}),
                &["data: Forbidden: field is immutable when `immutable` is set"],
            ),
            (
                json!({"immutable": null}),
                &["immutable: Forbidden: field is immutable when `immutable` is set"],
            ),
            (
                json!({"binaryData": null}),
                &["binaryData: Forbidden: field is immutable when `immutable` is set"],
            ),
        ],
    );
}

#[test]
fn secrets_have_what_their_type_requires() {
    let base = json!({"metadata": {"name": "s"}, "stringData": {"a": "x"}});
    let typed = |kind: &str| json!({"type": format!("kubernetes.io/{kind}")});
    on_create(
        "",
        "Secret",
        &base,
        &[
            (json!({"type": "example.com/own"}), &[]),
            (typed("tls"), &["data[tls.crt]: Required value", "data[tls.key]: Required value"]),
            (typed("ssh-auth"), &["data[ssh-privatekey]: Required value"]),
            (typed("basic-auth"), &["data[username]: Required value", "data[password]: Required value"]),
            (json!({"type": "kubernetes.io/basic-auth", "stringData": {"password": "p"}}), &[]),
            (typed("dockerconfigjson"), &["data[.dockerconfigjson]: Required value"]),
            (
                json!({"type": "kubernetes.io/dockerconfigjson", "stringData": {".dockerconfigjson": "hunter2"}}),
                &[
                    "data[.dockerconfigjson]: Invalid value: \"<secret contents redacted>\": must be a JSON object",
                ],
            ),
            (
                json!({"type": "kubernetes.io/dockerconfigjson", "stringData": {".dockerconfigjson": "{}"}}),
                &[],
            ),
            (
                typed("service-account-token"),
                &["metadata.annotations[kubernetes.io/service-account.name]: Required value"],
            ),
            (json!({"stringData": {"..": "x"}}), &["data[..]: Invalid value: \"..\": must not be '..'"]),
            (
                json!({"stringData": {"a": "x".repeat(1024 * 1024 + 1)}}),
                &["data: Too long: may not be more than 1048576 bytes"],
            ),
        ],
    );
    on_update(
        "",
        "Secret",
        &base,
        &[
            (json!({"stringData": {"a": "y"}}), &[]),
            (
                json!({"type": "example.com/own"}),
                &["type: Invalid value: \"example.com/own\": field is immutable"],
            ),
        ],
    );
    let frozen = merged(&base, &json!({"immutable": true}));
    on_update(
        "",
        "Secret",
        &frozen,
        &[(
            json!({"stringData": {"a": "y"}}),
            &["data: Forbidden: field is immutable when `immutable` is set"],
        )],
    );
}

#[test]
fn namespaces() {
    on_create(
        "",
        "Namespace",
        &json!({"metadata": {"name": "n"}}),
        &[
            (json!({"spec": {"finalizers": ["example.com/f"]}}), &[]),
            (
                json!({"spec": {"finalizers": ["odd"]}}),
                &[
                    "spec.finalizers: Invalid value: \"odd\": name is neither a standard finalizer name nor is it fully qualified",
                ],
            ),
        ],
    );
}

#[test]
fn namespaces_admit_pods_by_a_level_that_exists() {
    let labels = |labels: Value| json!({"metadata": {"labels": labels}});
    let base = json!({"metadata": {"name": "n"}});
    let wrong = labels(json!({"pod-security.kubernetes.io/enforce": "bogus"}));
    const LEVEL: &str = "metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"bogus\": must be one of privileged, baseline, restricted";
    on_create(
        "",
        "Namespace",
        &base,
        &[
            (
                labels(json!({"pod-security.kubernetes.io/warn": "baseline",
                              "pod-security.kubernetes.io/warn-version": "v1.37",
                              "pod-security.kubernetes.io/audit-version": "latest"})),
                &[],
            ),
            (wrong.clone(), &[LEVEL]),
            (
                labels(json!({"pod-security.kubernetes.io/audit-version": "v1.07"})),
                &[
                    "metadata.labels[pod-security.kubernetes.io/audit-version]: Invalid value: \"v1.07\": must be \"latest\" or \"v1.x\"",
                ],
            ),
        ],
    );
    on_update("", "Namespace", &base, &[(wrong.clone(), &[LEVEL])]);
    // One that is wrong already can still be changed otherwise.
    on_update("", "Namespace", &merged(&base, &wrong), &[(labels(json!({"a": "b"})), &[])]);
}

#[test]
fn claims_and_volumes() {
    let base = json!({"metadata": {"name": "c"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    on_create(
        "",
        "PersistentVolumeClaim",
        &base,
        &[
            (
                json!({"spec": {"accessModes": null}}),
                &["spec.accessModes: Required value: at least 1 access mode is required"],
            ),
            (
                json!({"spec": {"accessModes": ["x"]}}),
                &[
                    "spec.accessModes: Unsupported value: \"x\": supported values: \"ReadOnlyMany\", \"ReadWriteMany\", \"ReadWriteOnce\", \"ReadWriteOncePod\"",
                ],
            ),
            (json!({"spec": {"resources": null}}), &["spec.resources[storage]: Required value"]),
            (
                json!({"spec": {"resources": {"requests": {"storage": "0"}}}}),
                &["spec.resources[storage]: Invalid value: \"0\": must be greater than zero"],
            ),
            (
                json!({"spec": {"volumeMode": "x"}}),
                &["spec.volumeMode: Unsupported value: \"x\": supported values: \"Block\", \"Filesystem\""],
            ),
        ],
    );
    const FIXED: &str = "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
    on_update(
        "",
        "PersistentVolumeClaim",
        &base,
        &[
            (json!({"metadata": {"labels": {"a": "b"}}}), &[]),
            (json!({"spec": {"volumeName": "v"}}), &[]),
            (json!({"spec": {"resources": {"requests": {"storage": "1024Mi"}}}}), &[]),
            (json!({"spec": {"resources": {"requests": {"storage": "2Gi"}}}}), &[FIXED]),
            (json!({"spec": {"accessModes": ["ReadWriteMany"]}}), &[FIXED]),
            (
                json!({"spec": {"volumeMode": "Block"}}),
                &[FIXED, "volumeMode: Invalid value: \"Block\": field is immutable"],
            ),
        ],
    );
    let volume = json!({"metadata": {"name": "v"}, "spec": {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/v"}}});
    on_create(
        "",
        "PersistentVolume",
        &volume,
        &[
            (json!({"spec": {"hostPath": null}}), &["spec: Required value: must specify a volume type"]),
            (
                json!({"spec": {"nfs": {"server": "s", "path": "/p"}}}),
                &["spec.nfs: Forbidden: may not specify more than 1 volume type"],
            ),
            (
                json!({"spec": {"capacity": null}}),
                &[
                    "spec.capacity: Required value",
                    "spec.capacity: Unsupported value: \"null\": supported values: \"storage\"",
                ],
            ),
            (
                json!({"spec": {"persistentVolumeReclaimPolicy": "x"}}),
                &[
                    "spec.persistentVolumeReclaimPolicy: Unsupported value: \"x\": supported values: \"Delete\", \"Recycle\", \"Retain\"",
                ],
            ),
            (
                json!({"spec": {"hostPath": null, "local": {"path": "/l"}}}),
                &["spec.nodeAffinity: Required value: Local volume requires node affinity"],
            ),
        ],
    );
    on_update(
        "",
        "PersistentVolume",
        &volume,
        &[
            (json!({"spec": {"persistentVolumeReclaimPolicy": "Delete"}}), &[]),
            (
                json!({"spec": {"hostPath": {"path": "/w"}}}),
                &[
                    "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation",
                ],
            ),
        ],
    );
    let class = json!({"metadata": {"name": "c"}, "provisioner": "example.com/p", "parameters": {"a": "b"}});
    on_create(
        "storage.k8s.io",
        "StorageClass",
        &class,
        &[
            (json!({"provisioner": ""}), &["provisioner: Required value"]),
            (
                json!({"volumeBindingMode": "x"}),
                &[
                    "volumeBindingMode: Unsupported value: \"x\": supported values: \"Immediate\", \"WaitForFirstConsumer\"",
                ],
            ),
        ],
    );
    on_update(
        "storage.k8s.io",
        "StorageClass",
        &class,
        &[
            (
                json!({"parameters": {"a": "c"}}),
                &["parameters: Forbidden: updates to parameters are forbidden."],
            ),
            (
                json!({"reclaimPolicy": "Retain"}),
                &["reclaimPolicy: Forbidden: updates to reclaimPolicy are forbidden."],
            ),
            (
                json!({"volumeBindingMode": "WaitForFirstConsumer"}),
                &["volumeBindingMode: Invalid value: \"WaitForFirstConsumer\": field is immutable"],
            ),
        ],
    );
}

#[test]
fn a_bound_claim_grows_but_does_not_shrink() {
    let old = json!({"spec": {"resources": {"requests": {"storage": "2Gi"}}, "accessModes": ["ReadWriteOnce"]},
                     "status": {"phase": "Bound", "capacity": {"storage": "2Gi"}}});
    let sized = |size: &str| {
        let new = merged(&old, &json!({"spec": {"resources": {"requests": {"storage": size}}}}));
        super::texts(super::validate_update("", "PersistentVolumeClaim", &new, &old))
    };
    assert_eq!(sized("3Gi"), Vec::<String>::new());
    assert_eq!(
        sized("1Gi"),
        ["spec.resources.requests.storage: Forbidden: field can not be less than status.capacity"]
    );
}

#[test]
fn roles_and_bindings() {
    let group = "rbac.authorization.k8s.io";
    let role = json!({"metadata": {"name": "r"}, "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]});
    let rule = |rule: Value| json!({"rules": [rule]});
    on_create(
        group,
        "Role",
        &role,
        &[
            (
                rule(json!({"apiGroups": [""], "resources": ["pods"]})),
                &["rules[0].verbs: Required value: verbs must contain at least one value"],
            ),
            (
                rule(json!({"verbs": ["get"]})),
                &[
                    "rules[0].apiGroups: Required value: resource rules must supply at least one api group",
                    "rules[0].resources: Required value: resource rules must supply at least one resource",
                ],
            ),
            (
                rule(json!({"verbs": ["get"], "nonResourceURLs": ["/x"]})),
                &[
                    "rules[0].nonResourceURLs: Invalid value: [\"/x\"]: namespaced rules cannot apply to non-resource URLs",
                ],
            ),
        ],
    );
    on_create(
        group,
        "ClusterRole",
        &role,
        &[
            (rule(json!({"verbs": ["get"], "nonResourceURLs": ["/x"]})), &[]),
            (
                json!({"aggregationRule": {}}),
                &[
                    "aggregationRule.clusterRoleSelectors: Required value: at least one clusterRoleSelector required if aggregationRule is non-nil",
                ],
            ),
        ],
    );
    let binding = json!({"metadata": {"name": "b"}, "roleRef": {"kind": "ClusterRole", "name": "r"},
        "subjects": [{"kind": "User", "name": "u"}, {"kind": "ServiceAccount", "name": "s", "namespace": "n"}]});
    on_create(
        group,
        "ClusterRoleBinding",
        &binding,
        &[
            (
                json!({"roleRef": {"kind": "Role"}}),
                &["roleRef.kind: Unsupported value: \"Role\": supported values: \"ClusterRole\""],
            ),
            (json!({"roleRef": {"name": null}}), &["roleRef.name: Required value"]),
            (
                json!({"subjects": [{"kind": "ServiceAccount", "name": "s"}]}),
                &["subjects[0].namespace: Required value"],
            ),
            (
                json!({"subjects": [{"kind": "X", "name": "s"}]}),
                &[
                    "subjects[0].kind: Unsupported value: \"X\": supported values: \"ServiceAccount\", \"User\", \"Group\"",
                ],
            ),
        ],
    );
    on_create(group, "RoleBinding", &binding, &[(json!({"roleRef": {"kind": "Role"}}), &[])]);
    on_update(
        group,
        "RoleBinding",
        &binding,
        &[
            (json!({"subjects": []}), &[]),
            (
                json!({"roleRef": {"name": "other"}}),
                &[
                    "roleRef: Invalid value: {\"apiGroup\":\"rbac.authorization.k8s.io\",\"kind\":\"ClusterRole\",\"name\":\"other\"}: cannot change roleRef",
                ],
            ),
        ],
    );
}

#[test]
fn quotas_and_limits() {
    let quota = json!({"metadata": {"name": "q"}, "spec": {"hard": {"pods": "3", "requests.cpu": "2", "count/deployments.apps": 4}}});
    on_create(
        "",
        "ResourceQuota",
        &quota,
        &[
            (
                json!({"spec": {"hard": {"pods": "1500m"}}}),
                &["spec.hard[pods]: Invalid value: \"1500m\": must be an integer"],
            ),
            (
                json!({"spec": {"hard": {"pods": "-1"}}}),
                &["spec.hard[pods]: Invalid value: \"-1\": must be greater than or equal to 0"],
            ),
            (
                json!({"spec": {"hard": {"things": "1"}}}),
                &[
                    "spec.hard[things]: Invalid value: \"things\": must be a standard resource type or fully qualified",
                    "spec.hard[things]: Invalid value: \"things\": must be a standard resource for quota",
                ],
            ),
            (
                json!({"spec": {"hard": {"count/deployments.apps": null}, "scopes": ["Terminating", "NotTerminating"]}}),
                &["spec.scopes: Invalid value: [\"Terminating\",\"NotTerminating\"]: conflicting scopes"],
            ),
            (
                json!({"spec": {"hard": {"pods": "1", "requests.cpu": null, "count/deployments.apps": null},
                "scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In"}]}}}),
                &[
                    "spec.scopeSelector.matchExpressions.values: Required value: must be at least one value when `operator` is 'In' or 'NotIn' for scope selector",
                ],
            ),
        ],
    );
    let scoped =
        json!({"metadata": {"name": "q"}, "spec": {"hard": {"pods": "3"}, "scopes": ["BestEffort"]}});
    on_update(
        "",
        "ResourceQuota",
        &scoped,
        &[
            (json!({"spec": {"hard": {"pods": "4"}}}), &[]),
            (
                json!({"spec": {"scopes": ["Terminating"]}}),
                &["spec.scopes: Invalid value: [\"Terminating\"]: field is immutable"],
            ),
        ],
    );
    let range = json!({"metadata": {"name": "l"}, "spec": {"limits": [{"type": "Container", "max": {"cpu": "2"}, "min": {"cpu": "1"}}]}});
    let limit = |limit: Value| json!({"spec": {"limits": [limit]}});
    on_create(
        "",
        "LimitRange",
        &range,
        &[
            (
                limit(json!({"type": "Pod", "max": {"cpu": "1"}, "min": {"cpu": "2"}})),
                &["spec.limits[0].min[cpu]: Invalid value: \"2\": min value 2 is greater than max value 1"],
            ),
            (
                limit(json!({"type": "Pod", "default": {"cpu": "1"}})),
                &["spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod'"],
            ),
            (
                limit(
                    json!({"type": "Container", "default": {"cpu": "3"}, "defaultRequest": {"cpu": "1"}, "max": {"cpu": "2"}}),
                ),
                &[
                    "spec.limits[0].default[cpu]: Invalid value: \"2\": default value 3 is greater than max value 2",
                ],
            ),
            (
                limit(json!({"type": "x"})),
                &[
                    "spec.limits[0].type: Invalid value: \"x\": must be a standard limit type or fully qualified",
                ],
            ),
            (
                json!({"spec": {"limits": [{"type": "Pod"}, {"type": "Pod"}]}}),
                &["spec.limits[1].type: Duplicate value: \"Pod\""],
            ),
            (
                limit(json!({"type": "Pod", "maxLimitRequestRatio": {"cpu": "500m"}})),
                &[
                    "spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: \"500m\": ratio 500m is less than 1",
                ],
            ),
            (
                limit(json!({"type": "PersistentVolumeClaim"})),
                &[
                    "spec.limits[0].limits: Required value: either minimum or maximum storage value is required, but neither was provided",
                ],
            ),
        ],
    );
}

#[test]
fn budgets_priorities_and_leases() {
    let budget = json!({"metadata": {"name": "b"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"a": "b"}}}});
    on_create(
        "policy",
        "PodDisruptionBudget",
        &budget,
        &[
            (
                json!({"spec": {"minAvailable": "101%"}}),
                &["spec.minAvailable: Invalid value: \"101%\": must not be greater than 100%"],
            ),
            (
                json!({"spec": {"minAvailable": -1}}),
                &["spec.minAvailable: Invalid value: -1: must be greater than or equal to 0"],
            ),
            (
                json!({"spec": {"maxUnavailable": 1, "selector": null}}),
                &[
                    "spec: Invalid value: {\"maxUnavailable\":1,\"minAvailable\":1}: minAvailable and maxUnavailable cannot be both set",
                ],
            ),
        ],
    );
    let class = json!({"metadata": {"name": "p"}, "value": 10});
    on_create(
        "scheduling.k8s.io",
        "PriorityClass",
        &class,
        &[
            (
                json!({"value": 1_000_000_001}),
                &["value: Forbidden: maximum allowed value of a user defined priority is 1000000000"],
            ),
            (json!({"metadata": {"name": "system-node-critical"}, "value": 2_000_001_000_i64}), &[]),
            (
                json!({"metadata": {"name": "system-x"}}),
                &[
                    "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. error: system-x is not a known system priority class",
                ],
            ),
        ],
    );
    on_update(
        "scheduling.k8s.io",
        "PriorityClass",
        &class,
        &[
            (json!({"description": "x"}), &[]),
            (json!({"value": 11}), &["value: Invalid value: 11: field is immutable"]),
        ],
    );
    on_create(
        "coordination.k8s.io",
        "Lease",
        &json!({"metadata": {"name": "l"}, "spec": {}}),
        &[(
            json!({"spec": {"leaseDurationSeconds": 0}}),
            &["spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"],
        )],
    );
}

#[test]
fn autoscalers() {
    let base = json!({"metadata": {"name": "h"}, "spec": {"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "d"}}});
    let metric = |metric: Value| json!({"spec": {"metrics": [metric]}});
    on_create(
        "autoscaling",
        "HorizontalPodAutoscaler",
        &base,
        &[
            (
                json!({"spec": {"minReplicas": 0}}),
                &["spec.minReplicas: Invalid value: 0: must be greater than or equal to 1"],
            ),
            (
                json!({"spec": {"minReplicas": 4}}),
                &["spec.maxReplicas: Invalid value: 3: must be greater than or equal to `minReplicas`"],
            ),
            (
                json!({"spec": {"scaleTargetRef": {"name": null}}}),
                &["spec.scaleTargetRef.name: Required value"],
            ),
            (
                metric(json!({"type": "Resource"})),
                &[
                    "spec.metrics[0].resource: Required value: must populate information for the given metric source",
                ],
            ),
            (
                metric(
                    json!({"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization"}}}),
                ),
                &[
                    "spec.metrics[0].resource.target.averageUtilization: Required value: must set either a target raw value or a target utilization",
                ],
            ),
            (
                metric(
                    json!({"type": "Pods", "pods": {"metric": {"name": "m"}, "target": {"type": "AverageValue", "averageValue": "0"}}}),
                ),
                &["spec.metrics[0].pods.target.averageValue: Invalid value: \"0\": must be positive"],
            ),
            (
                json!({"spec": {"behavior": {"scaleUp": {"policies": [{"type": "Pods", "value": 0, "periodSeconds": 1}]}}}}),
                &["spec.behavior.scaleUp.policies[0].value: Invalid value: 0: must be greater than zero"],
            ),
            (
                json!({"spec": {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 3601}}}}),
                &[
                    "spec.behavior.scaleDown.stabilizationWindowSeconds: Invalid value: 3601: must be less than or equal to 3600",
                ],
            ),
        ],
    );
}
