//! The kinds that make pods.

use serde_json::{Value, json};

use super::{merged, on_create, on_update};

fn template() -> Value {
    json!({"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
}

fn workload(extra: &Value) -> Value {
    let base = json!({"metadata": {"name": "w", "namespace": "n", "uid": "u"},
        "spec": {"selector": {"matchLabels": {"app": "a"}}, "template": template()}});
    merged(&base, &json!({"spec": extra}))
}

const TEMPLATE_MISMATCH: &str = "spec.template.metadata.labels: Invalid value: {\"app\":\"b\"}: `selector` does not match template `labels`";
const NOT_SELECTED: &str = "spec.template.metadata.labels: Invalid value: {\"app\":\"a\"}: `selector` does not match template `labels`";
const ONLY_ALWAYS: &str =
    "spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\"";
const IMMUTABLE_SELECTOR: &str =
    "spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"b\"}}: field is immutable";

#[test]
fn deployments() {
    let base = workload(&json!({}));
    on_create(
        "apps",
        "Deployment",
        &base,
        &[
            (
                json!({"spec": {"replicas": -1}}),
                &["spec.replicas: Invalid value: -1: must be greater than or equal to 0"],
            ),
            (json!({"spec": {"selector": null}}), &["spec.selector: Required value", NOT_SELECTED]),
            (
                json!({"spec": {"selector": {"matchLabels": null}}}),
                &["spec.selector: Invalid value: {}: empty selector is invalid for deployment"],
            ),
            (
                json!({"spec": {"selector": {"matchExpressions": [{"key": "app", "operator": "In"}]}}}),
                &[
                    "spec.selector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
                    "spec.selector: Invalid value: {\"matchExpressions\":[{\"key\":\"app\",\"operator\":\"In\"}],\"matchLabels\":{\"app\":\"a\"}}: invalid label selector",
                ],
            ),
            (
                json!({"spec": {"selector": {"matchExpressions": [{"key": "app", "operator": "=", "values": ["a"]}]}}}),
                &[
                    "spec.selector.matchExpressions[0].operator: Invalid value: \"=\": not a valid selector operator",
                    "spec.selector: Invalid value: {\"matchExpressions\":[{\"key\":\"app\",\"operator\":\"=\",\"values\":[\"a\"]}],\"matchLabels\":{\"app\":\"a\"}}: invalid label selector",
                ],
            ),
            (json!({"spec": {"template": {"metadata": {"labels": {"app": "b"}}}}}), &[TEMPLATE_MISMATCH]),
            (
                json!({"spec": {"template": {"spec": {"containers": []}}}}),
                &["spec.template.spec.containers: Required value"],
            ),
            (json!({"spec": {"template": {"spec": {"restartPolicy": "Never"}}}}), &[ONLY_ALWAYS]),
            (
                json!({"spec": {"strategy": {"type": "Recreate", "rollingUpdate": {"maxSurge": 1}}}}),
                &[
                    "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'",
                ],
            ),
            (
                json!({"spec": {"strategy": {"type": "X"}}}),
                &[
                    "spec.strategy: Unsupported value: {\"type\":\"X\"}: supported values: \"Recreate\", \"RollingUpdate\"",
                ],
            ),
            (
                json!({"spec": {"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "0%"}}}}),
                &[
                    "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: \"0%\": may not be 0 when `maxSurge` is 0",
                ],
            ),
            (
                json!({"spec": {"strategy": {"rollingUpdate": {"maxUnavailable": "101%"}}}}),
                &[
                    "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: \"101%\": must not be greater than 100%",
                ],
            ),
            (
                json!({"spec": {"strategy": {"rollingUpdate": {"maxSurge": "x"}}}}),
                &[
                    "spec.strategy.rollingUpdate.maxSurge: Invalid value: \"x\": a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')",
                ],
            ),
            (
                json!({"spec": {"minReadySeconds": 10, "progressDeadlineSeconds": 10}}),
                &["spec.progressDeadlineSeconds: Invalid value: 10: must be greater than minReadySeconds"],
            ),
        ],
    );
    on_update(
        "apps",
        "Deployment",
        &base,
        &[
            (json!({"spec": {"replicas": 5}}), &[]),
            (
                json!({"spec": {"selector": {"matchLabels": {"app": "b"}}, "template": {"metadata": {"labels": {"app": "b"}}}}}),
                &[IMMUTABLE_SELECTOR],
            ),
            (
                json!({"spec": {"selector": {"matchLabels": {"app": "b"}}}}),
                &[
                    "spec.template.metadata.labels: Invalid value: {\"app\":\"a\"}: `selector` does not match template `labels`",
                    IMMUTABLE_SELECTOR,
                ],
            ),
        ],
    );
}

#[test]
fn replica_sets_and_controllers() {
    let base = workload(&json!({}));
    on_create(
        "apps",
        "ReplicaSet",
        &base,
        &[(json!({"spec": {"template": {"metadata": {"labels": {"app": "b"}}}}}), &[TEMPLATE_MISMATCH])],
    );
    let controller = workload(&json!({"selector": null}));
    on_create(
        "",
        "ReplicationController",
        &controller,
        &[
            (json!({"spec": {"template": null, "selector": {"a": "b"}}}), &["spec.template: Required value"]),
            (
                json!({"spec": {"selector": {"app": "x"}}}),
                &[
                    "spec.template.metadata.labels: Invalid value: {\"app\":\"a\"}: `selector` does not match template `labels`",
                ],
            ),
        ],
    );
}

#[test]
fn stateful_sets() {
    let base = workload(&json!({"serviceName": "s"}));
    on_create(
        "apps",
        "StatefulSet",
        &base,
        &[
            (
                json!({"spec": {"podManagementPolicy": "x"}}),
                &["spec.podManagementPolicy: Invalid value: \"x\": must be 'OrderedReady' or 'Parallel'"],
            ),
            (
                json!({"spec": {"updateStrategy": {"type": "OnDelete", "rollingUpdate": {"partition": 1}}}}),
                &[
                    "spec.updateStrategy.rollingUpdate: Invalid value: {\"partition\":1}: only allowed for updateStrategy 'RollingUpdate'",
                ],
            ),
            (
                json!({"spec": {"updateStrategy": {"rollingUpdate": {"partition": -1}}}}),
                &[
                    "spec.updateStrategy.rollingUpdate.partition: Invalid value: -1: must be greater than or equal to 0",
                ],
            ),
            (
                json!({"spec": {"selector": {"matchLabels": null}}}),
                &["spec.selector: Invalid value: {}: empty selector is invalid for statefulset"],
            ),
        ],
    );
    const FIXED: &str = "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
    let claim = json!([{"metadata": {"name": "d"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}]);
    let base = workload(&json!({"serviceName": "s", "volumeClaimTemplates": claim}));
    on_update(
        "apps",
        "StatefulSet",
        &base,
        &[
            (
                json!({"spec": {"replicas": 3, "minReadySeconds": 1, "template": {"metadata": {"annotations": {"a": "b"}}}}}),
                &[],
            ),
            (json!({"spec": {"volumeClaimTemplates": claim}}), &[]),
            (json!({"spec": {"serviceName": "other"}}), &[FIXED]),
            (json!({"spec": {"podManagementPolicy": "Parallel"}}), &[FIXED]),
            (json!({"spec": {"volumeClaimTemplates": null}}), &[FIXED]),
        ],
    );
}

#[test]
fn daemon_sets() {
    let base = workload(&json!({}));
    on_create(
        "apps",
        "DaemonSet",
        &base,
        &[
            (json!({"spec": {"updateStrategy": {"type": "OnDelete"}}}), &[]),
            (
                json!({"spec": {"updateStrategy": {"rollingUpdate": {"maxUnavailable": 0}}}}),
                &[
                    "spec.updateStrategy.rollingUpdate.maxUnavailable: Required value: cannot be 0 when maxSurge is 0",
                ],
            ),
            (
                json!({"spec": {"updateStrategy": {"rollingUpdate": {"maxSurge": 1}}}}),
                &[
                    "spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: 1: may not be set when maxUnavailable is non-zero",
                ],
            ),
            (json!({"spec": {"template": {"spec": {"restartPolicy": "Never"}}}}), &[ONLY_ALWAYS]),
        ],
    );
    on_update(
        "apps",
        "DaemonSet",
        &base,
        &[(
            json!({"spec": {"selector": {"matchLabels": {"app": "b"}}, "template": {"metadata": {"labels": {"app": "b"}}}}}),
            &[IMMUTABLE_SELECTOR],
        )],
    );
}

#[test]
fn jobs() {
    let base = workload(&json!({"selector": null, "template": {"spec": {"restartPolicy": "Never"}}}));
    on_create(
        "batch",
        "Job",
        &base,
        &[
            (
                json!({"spec": {"template": {"spec": {"restartPolicy": "Always"}}}}),
                &["spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\""],
            ),
            (
                json!({"spec": {"parallelism": -1, "backoffLimit": -2}}),
                &[
                    "spec.parallelism: Invalid value: -1: must be greater than or equal to 0",
                    "spec.backoffLimit: Invalid value: -2: must be greater than or equal to 0",
                ],
            ),
            (
                json!({"spec": {"completionMode": "Indexed", "parallelism": 2}}),
                &["spec.completions: Required value: when completion mode is Indexed"],
            ),
            (json!({"spec": {"manualSelector": true}}), &["spec.selector: Required value", NOT_SELECTED]),
            (json!({"spec": {"manualSelector": true, "selector": {"matchLabels": {"app": "a"}}}}), &[]),
            (
                json!({"spec": {"template": {"metadata": {"labels": {"job-name": "x"}}}}}),
                &[
                    "spec.template.metadata.labels[job-name]: Invalid value: {\"app\":\"a\",\"batch.kubernetes.io/controller-uid\":\"u\",\"batch.kubernetes.io/job-name\":\"w\",\"controller-uid\":\"u\",\"job-name\":\"x\"}: must be 'w'",
                ],
            ),
        ],
    );
    on_update(
        "batch",
        "Job",
        &base,
        &[
            (json!({"spec": {"parallelism": 4, "suspend": true, "ttlSecondsAfterFinished": 1}}), &[]),
            (
                json!({"spec": {"completions": 4}}),
                &["spec.completions: Invalid value: 4: field is immutable"],
            ),
            (
                json!({"spec": {"completionMode": "Indexed"}}),
                &["spec.completionMode: Invalid value: \"Indexed\": field is immutable"],
            ),
        ],
    );
    let suspended = merged(&base, &json!({"spec": {"suspend": true}}));
    let node = json!({"spec": {"template": {"spec": {"nodeSelector": {"a": "b"}}}}});
    on_update("batch", "Job", &suspended, &[(node, &[])]);
}

#[test]
fn a_job_keeps_its_template() {
    let base = workload(&json!({"selector": null, "template": {"spec": {"restartPolicy": "Never"}}}));
    let old = super::created("batch", "Job", &base);
    let new = merged(&old, &json!({"spec": {"template": {"spec": {"nodeSelector": {"a": "b"}}}}}));
    let errors = super::validate_update("batch", "Job", &new, &old);
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].field, "spec.template");
    assert_eq!(errors[0].detail, "field is immutable");
}

#[test]
fn cron_jobs() {
    let base = json!({"metadata": {"name": "c"}, "spec": {"schedule": "*/5 * * * *",
        "jobTemplate": {"spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}}}});
    on_create(
        "batch",
        "CronJob",
        &base,
        &[
            (json!({"spec": {"schedule": null}}), &["spec.schedule: Required value"]),
            (
                json!({"spec": {"schedule": "* * *"}}),
                &["spec.schedule: Invalid value: \"* * *\": expected exactly 5 fields, found 3: [* * *]"],
            ),
            (
                json!({"spec": {"schedule": "TZ=UTC * * * * *"}}),
                &[
                    "spec.schedule: Invalid value: \"TZ=UTC * * * * *\": cannot use TZ or CRON_TZ in schedule, use timeZone field instead",
                ],
            ),
            (json!({"spec": {"timeZone": "Europe/Berlin"}}), &[]),
            (
                json!({"spec": {"timeZone": "Foo/Bar"}}),
                &["spec.timeZone: Invalid value: \"Foo/Bar\": unknown time zone Foo/Bar"],
            ),
            (
                json!({"spec": {"timeZone": "europe/berlin"}}),
                &["spec.timeZone: Invalid value: \"europe/berlin\": unknown time zone europe/berlin"],
            ),
            (
                json!({"spec": {"timeZone": "a b"}}),
                &["spec.timeZone: Invalid value: \"a b\": unknown time zone a b"],
            ),
            (
                json!({"spec": {"concurrencyPolicy": "x"}}),
                &[
                    "spec.concurrencyPolicy: Unsupported value: \"x\": supported values: \"Allow\", \"Forbid\", \"Replace\"",
                ],
            ),
            (
                json!({"spec": {"jobTemplate": {"spec": {"template": {"spec": {"restartPolicy": null}}}}}}),
                &[
                    "spec.jobTemplate.spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\"",
                ],
            ),
            (
                json!({"spec": {"jobTemplate": {"spec": {"manualSelector": true, "selector": {"matchLabels": {"a": "b"}}}}}}),
                &[
                    "spec.jobTemplate.spec.selector: Invalid value: {\"matchLabels\":{\"a\":\"b\"}}: `selector` will be auto-generated",
                    "spec.jobTemplate.spec.manualSelector: Unsupported value: true: supported values: \"nil\", \"false\"",
                ],
            ),
            (
                json!({"metadata": {"name": "x".repeat(53)}}),
                &[&format!(
                    "metadata.name: Invalid value: \"{}\": must be no more than 52 characters",
                    "x".repeat(53)
                )],
            ),
        ],
    );
}

#[test]
fn a_stateful_set_mounts_what_its_claim_templates_name() {
    let set = |volume: &str| {
        let mut set = workload(&json!({"serviceName": "s",
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Gi"}}}}]}));
        set["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] =
            json!([{"name": volume, "mountPath": "/data"}]);
        crate::defaults::default_object("apps", "v1", "StatefulSet", &mut set);
        crate::validation::validate_create("apps", "StatefulSet", &set)
    };
    assert_eq!(set("data"), []);
    assert_eq!(
        set("other")[0].to_string(),
        "spec.template.spec.containers[0].volumeMounts[0].name: Not found: \"other\""
    );
}

#[test]
fn a_time_zone_that_is_there_stays() {
    let old = json!({"metadata": {"name": "c"}, "spec": {"schedule": "* * * * *", "timeZone": "Gone/Zone",
        "jobTemplate": {"spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}}}});
    on_update("batch", "CronJob", &old, &[(json!({"spec": {"suspend": true}}), &[])]);
}

#[test]
fn jobs_say_what_failures_and_successes_mean() {
    let base = workload(&json!({"selector": null, "template": {"spec": {"restartPolicy": "Never"}}}));
    let rule = |rule: Value| json!({"spec": {"podFailurePolicy": {"rules": [rule]}}});
    let codes = |codes: Value| rule(json!({"action": "FailJob", "onExitCodes": codes}));
    let indexed = |policy: Value| json!({"spec": {"completionMode": "Indexed", "completions": 5, "successPolicy": policy}});
    on_create(
        "batch",
        "Job",
        &base,
        &[
            (codes(json!({"operator": "In", "values": [1, 42]})), &[]),
            (
                rule(
                    json!({"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}),
                ),
                &[],
            ),
            (
                rule(json!({"action": "Count"})),
                &[
                    "spec.podFailurePolicy.rules[0]: Invalid value: specifying one of OnExitCodes and OnPodConditions is required",
                ],
            ),
            (
                rule(json!({"action": "FailIndex", "onExitCodes": {"operator": "NotIn", "values": [0]}})),
                &[
                    "spec.podFailurePolicy.rules[0].action: Invalid value: \"FailIndex\": requires the backoffLimitPerIndex to be set",
                ],
            ),
            (
                rule(json!({"onExitCodes": {"operator": "In", "values": [1]}})),
                &[
                    "spec.podFailurePolicy.rules[0].action: Required value: valid values: [\"Count\" \"FailIndex\" \"FailJob\" \"Ignore\"]",
                ],
            ),
            (
                codes(json!({"containerName": "x", "operator": "In", "values": [3, 0, 3]})),
                &[
                    "spec.podFailurePolicy.rules[0].onExitCodes.containerName: Invalid value: \"x\": must be one of the container or initContainer names in the pod template",
                    "spec.podFailurePolicy.rules[0].onExitCodes.values[1]: Invalid value: 0: must not be 0 for the In operator",
                    "spec.podFailurePolicy.rules[0].onExitCodes.values[2]: Duplicate value: 3",
                    "spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: [3,0,3]: must be ordered",
                ],
            ),
            (
                json!({"spec": {"successPolicy": {"rules": [{"succeededCount": 1}]}}}),
                &[
                    "spec.successPolicy: Invalid value: {\"rules\":[{\"succeededCount\":1}]}: requires indexed completion mode",
                ],
            ),
            (indexed(json!({"rules": [{"succeededIndexes": "0,2-4", "succeededCount": 4}]})), &[]),
            (
                indexed(json!({"rules": [{"succeededIndexes": "0,2-9"}]})),
                &[
                    "spec.successPolicy.rules[0].succeededIndexes: Invalid value: \"0,2-9\": error parsing succeededIndexes: too large index: \"9\"",
                ],
            ),
            (
                indexed(json!({"rules": [{"succeededIndexes": "2-4", "succeededCount": 4}]})),
                &[
                    "spec.successPolicy.rules[0].succeededCount: Invalid value: 4: must be less than or equal to 3 (the number of indexes in the specified succeededIndexes field)",
                ],
            ),
            (
                indexed(json!({"rules": [{}]})),
                &[
                    "spec.successPolicy.rules[0]: Required value: at least one of succeededCount or succeededIndexes must be specified",
                ],
            ),
            (json!({"spec": {"managedBy": "example.com/own"}}), &[]),
            (
                json!({"spec": {"managedBy": "x"}}),
                &[
                    "spec.managedBy: Invalid value: \"x\": must be a domain-prefixed path (such as \"acme.io/foo\")",
                ],
            ),
            (
                json!({"spec": {"maxFailedIndexes": 1, "completionMode": "Indexed", "completions": 2}}),
                &["spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified"],
            ),
            (
                json!({"metadata": {"name": "a".repeat(62)}, "spec": {"completionMode": "Indexed", "completions": 2}}),
                &[&format!(
                    "metadata.name: Invalid value: \"{0}\": will not able to create pod with invalid DNS label: {0}-1",
                    "a".repeat(62)
                )],
            ),
        ],
    );
    let indexed =
        merged(&base, &json!({"spec": {"completionMode": "Indexed", "completions": 2, "parallelism": 2}}));
    on_update(
        "batch",
        "Job",
        &indexed,
        &[
            (json!({"spec": {"completions": 3, "parallelism": 3}}), &[]),
            (
                json!({"spec": {"completions": 3}}),
                &["spec.completions: Invalid value: 3: can only be modified in tandem with spec.parallelism"],
            ),
        ],
    );
}
