//! Pods, their containers and volumes.

use serde_json::{Value, json};

use super::{LABEL, SUBDOMAIN, merged, on_create, on_update};

pub(super) fn pod() -> Value {
    json!({"metadata": {"name": "p", "namespace": "n"},
           "spec": {"containers": [{"name": "c", "image": "i:1"}]}})
}

/// Cases that change the Pod's spec.
pub(super) fn spec_cases(cases: &[(Value, &[&str])]) {
    for (patch, expected) in cases {
        on_create("", "Pod", &pod(), &[(json!({"spec": patch}), expected)]);
    }
}

/// Cases that change the only container.
pub(super) fn container_cases(cases: &[(Value, &[&str])]) {
    for (patch, expected) in cases {
        let container = merged(&json!({"name": "c", "image": "i:1"}), patch);
        on_create("", "Pod", &pod(), &[(json!({"spec": {"containers": [container]}}), expected)]);
    }
}

#[test]
fn a_pod_has_containers_with_names_of_their_own() {
    let upper = format!("spec.containers[0].name: Invalid value: \"C\": {LABEL}");
    spec_cases(&[
        (json!({"containers": []}), &["spec.containers: Required value"]),
        (json!({"containers": null}), &["spec.containers: Required value"]),
        (json!({"containers": [{"image": "i"}]}), &["spec.containers[0].name: Required value"]),
        (json!({"containers": [{"name": "C", "image": "i"}]}), &[&upper]),
        (json!({"containers": [{"name": "c"}]}), &["spec.containers[0].image: Required value"]),
        (
            json!({"containers": [{"name": "c", "image": " i"}]}),
            &[
                "spec.containers[0].image: Invalid value: \" i\": must not have leading or trailing whitespace",
            ],
        ),
        (
            json!({"containers": [{"name": "c", "image": "i"}, {"name": "c", "image": "i"}]}),
            &["spec.containers[1].name: Duplicate value: \"c\""],
        ),
        (
            json!({"initContainers": [{"name": "c", "image": "i"}]}),
            &["spec.initContainers[0].name: Duplicate value: \"c\""],
        ),
        (
            json!({"ephemeralContainers": [{"name": "e", "image": "i"}]}),
            &["spec.ephemeralContainers: Forbidden: cannot be set on create"],
        ),
    ]);
}

#[test]
fn policies_are_among_those_known() {
    spec_cases(&[
        (json!({"restartPolicy": "Never", "dnsPolicy": "Default"}), &[]),
        (
            json!({"restartPolicy": "Sometimes"}),
            &[
                "spec.restartPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"OnFailure\", \"Never\"",
            ],
        ),
        (
            json!({"dnsPolicy": "x"}),
            &[
                "spec.dnsPolicy: Unsupported value: \"x\": supported values: \"ClusterFirstWithHostNet\", \"ClusterFirst\", \"Default\", \"None\"",
            ],
        ),
        (
            json!({"dnsPolicy": "None"}),
            &["spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"],
        ),
        (
            json!({"dnsConfig": {"nameservers": ["x"]}}),
            &[
                "spec.dnsConfig.nameservers[0]: Invalid value: \"x\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
            ],
        ),
        (
            json!({"activeDeadlineSeconds": 0}),
            &["spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive"],
        ),
        (json!({"nodeName": "N"}), &[&format!("spec.nodeName: Invalid value: \"N\": {SUBDOMAIN}")]),
        (json!({"hostname": "a.b"}), &[&format!("spec.hostname: Invalid value: \"a.b\": {LABEL}")]),
    ]);
    container_cases(&[
        (
            json!({"imagePullPolicy": "x"}),
            &[
                "spec.containers[0].imagePullPolicy: Unsupported value: \"x\": supported values: \"Always\", \"IfNotPresent\", \"Never\"",
            ],
        ),
        (
            json!({"terminationMessagePolicy": "x"}),
            &[
                "spec.containers[0].terminationMessagePolicy: Invalid value: \"x\": must be 'File' or 'FallbackToLogsOnError'",
            ],
        ),
    ]);
}

#[test]
fn ports_are_in_range_and_there_once() {
    container_cases(&[
        (
            json!({"ports": [{"containerPort": 80, "name": "http"}, {"containerPort": 80, "protocol": "UDP"}]}),
            &[],
        ),
        (json!({"ports": [{"name": "a"}]}), &["spec.containers[0].ports[0].containerPort: Required value"]),
        (
            json!({"ports": [{"containerPort": 65536}]}),
            &[
                "spec.containers[0].ports[0].containerPort: Invalid value: 65536: must be between 1 and 65535, inclusive",
            ],
        ),
        (
            json!({"ports": [{"containerPort": 1, "name": "-"}]}),
            &[
                "spec.containers[0].ports[0].name: Invalid value: \"-\": must contain at least one letter (a-z)",
                "spec.containers[0].ports[0].name: Invalid value: \"-\": must not begin or end with a hyphen",
            ],
        ),
        (
            json!({"ports": [{"containerPort": 1, "name": "a"}, {"containerPort": 2, "name": "a"}]}),
            &["spec.containers[0].ports[1].name: Duplicate value: \"a\""],
        ),
        (
            json!({"ports": [{"containerPort": 1, "protocol": "X"}]}),
            &[
                "spec.containers[0].ports[0].protocol: Unsupported value: \"X\": supported values: \"SCTP\", \"TCP\", \"UDP\"",
            ],
        ),
        (
            json!({"ports": [{"containerPort": 1, "hostPort": 9}, {"containerPort": 2, "hostPort": 9}]}),
            &["spec.containers[0].ports[1].hostPort: Duplicate value: \"TCP//9\""],
        ),
    ]);
    spec_cases(&[(
        json!({"hostNetwork": true, "containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 1, "hostPort": 2}]}]}),
        &[
            "spec.containers[0].ports[0].hostPort: Invalid value: 2: must match `containerPort` when `hostNetwork` is true",
        ],
    )]);
}

#[test]
fn environment_names_and_sources_are_checked() {
    let env = |variable: Value| json!({"env": [variable]});
    container_cases(&[
        (env(json!({"name": "A_1", "value": "x"})), &[]),
        (env(json!({"value": "x"})), &["spec.containers[0].env[0].name: Required value"]),
        (
            env(json!({"name": "a=b"})),
            &[
                "spec.containers[0].env[0].name: Invalid value: \"a=b\": a valid environment variable name must consist only of printable ASCII characters other than '='",
            ],
        ),
        (
            env(json!({"name": "A", "valueFrom": {}})),
            &[
                "spec.containers[0].env[0].valueFrom: Invalid value: \"\": must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`",
            ],
        ),
        (
            env(json!({"name": "A", "value": "x", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}})),
            &[
                "spec.containers[0].env[0].valueFrom: Invalid value: \"\": may not be specified when `value` is not empty",
            ],
        ),
        (
            env(json!({"name": "A", "valueFrom": {"configMapKeyRef": {"name": "s"}}})),
            &["spec.containers[0].env[0].valueFrom.configMapKeyRef.key: Required value"],
        ),
        (env(json!({"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['a']"}}})), &[]),
        (env(json!({"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIPs"}}})), &[]),
        (
            env(json!({"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.x"}}})),
            &[
                "spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Invalid value: \"spec.x\": error converting fieldPath: field label not supported: spec.x",
            ],
        ),
        (
            env(
                json!({"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "3"}}}),
            ),
            &[
                "spec.containers[0].env[0].valueFrom.resourceFieldRef.divisor: Invalid value: \"limits.cpu\": only divisor's values 1m and 1 are supported with the cpu resource",
            ],
        ),
        (
            env(json!({"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels"}}})),
            &[
                "spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Unsupported value: \"metadata.labels\": supported values: \"metadata.name\", \"metadata.namespace\", \"metadata.uid\", \"spec.nodeName\", \"spec.serviceAccountName\", \"status.hostIP\", \"status.hostIPs\", \"status.podIP\", \"status.podIPs\"",
            ],
        ),
        (
            json!({"envFrom": [{}]}),
            &[
                "spec.containers[0].envFrom: Invalid value: \"\": must specify one of: `configMapRef` or `secretRef`",
            ],
        ),
        (
            json!({"envFrom": [{"configMapRef": {}}]}),
            &["spec.containers[0].envFrom[0].configMapRef.name: Required value"],
        ),
    ]);
}

#[test]
fn probes_have_one_handler() {
    let probe = |probe: Value| json!({"livenessProbe": probe});
    container_cases(&[
        (probe(json!({"httpGet": {"port": 80}})), &[]),
        (probe(json!({"tcpSocket": {"port": "http"}})), &[]),
        (probe(json!({"grpc": {"port": 1}})), &[]),
        (
            probe(json!({})),
            &["spec.containers[0].livenessProbe: Required value: must specify a handler type"],
        ),
        (
            probe(json!({"exec": {"command": ["x"]}, "tcpSocket": {"port": 1}})),
            &[
                "spec.containers[0].livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type",
            ],
        ),
        (probe(json!({"exec": {}})), &["spec.containers[0].livenessProbe.exec.command: Required value"]),
        (
            probe(json!({"httpGet": {"port": 0}})),
            &[
                "spec.containers[0].livenessProbe.httpGet.port: Invalid value: 0: must be between 1 and 65535, inclusive",
            ],
        ),
        (
            probe(json!({"httpGet": {"port": 1, "scheme": "ftp"}})),
            &[
                "spec.containers[0].livenessProbe.httpGet.scheme: Unsupported value: \"ftp\": supported values: \"HTTP\", \"HTTPS\"",
            ],
        ),
        (
            probe(json!({"exec": {"command": ["x"]}, "periodSeconds": -1})),
            &[
                "spec.containers[0].livenessProbe.periodSeconds: Invalid value: -1: must be greater than or equal to 0",
            ],
        ),
        (
            probe(json!({"exec": {"command": ["x"]}, "successThreshold": 2})),
            &["spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1"],
        ),
        (json!({"readinessProbe": {"exec": {"command": ["x"]}, "successThreshold": 2}}), &[]),
        (
            json!({"lifecycle": {"preStop": {}}}),
            &["spec.containers[0].lifecycle.preStop: Required value: must specify a handler type"],
        ),
    ]);
    let init = |container: Value| json!({"initContainers": [merged(&json!({"name": "i", "image": "i"}), &container)]});
    let exec = json!({"exec": {"command": ["x"]}});
    spec_cases(&[
        (init(json!({"restartPolicy": "Always", "livenessProbe": exec})), &[]),
        (
            init(json!({"livenessProbe": exec})),
            &[
                "spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers without restartPolicy=Always",
            ],
        ),
    ]);
}

#[test]
fn resources_are_known_quantities_in_order() {
    let resources = |resources: Value| json!({"resources": resources});
    container_cases(&[
        (resources(json!({"limits": {"cpu": "1", "example.com/gpu": 2}, "requests": {"cpu": "500m"}})), &[]),
        (
            resources(json!({"limits": {"cpu": "1"}, "requests": {"cpu": "2"}})),
            &[
                "spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1",
            ],
        ),
        (
            resources(json!({"limits": {"cpu": "-1"}})),
            &[
                "spec.containers[0].resources.limits[cpu]: Invalid value: \"-1\": must be greater than or equal to 0",
                "spec.containers[0].resources.requests[cpu]: Invalid value: \"-1\": must be greater than or equal to 0",
            ],
        ),
        (
            resources(json!({"requests": {"cpus": "1"}})),
            &[
                "spec.containers[0].resources.requests[cpus]: Invalid value: \"cpus\": must be a standard resource type or fully qualified",
                "spec.containers[0].resources.requests[cpus]: Invalid value: \"cpus\": must be a standard resource for containers",
            ],
        ),
        (
            resources(json!({"requests": {"example.com/gpu": "1"}})),
            &[
                "spec.containers[0].resources.limits: Required value: Limit must be set for non overcommitable resources",
            ],
        ),
        (
            resources(
                json!({"limits": {"example.com/gpu": "500m"}, "requests": {"example.com/gpu": "500m"}}),
            ),
            &[
                "spec.containers[0].resources.limits[example.com/gpu]: Invalid value: \"500m\": must be an integer",
                "spec.containers[0].resources.requests[example.com/gpu]: Invalid value: \"500m\": must be an integer",
            ],
        ),
        (
            resources(json!({"limits": {"cpu": "abc"}, "requests": {"cpu": "1"}})),
            &[
                "spec.containers[0].resources.limits[cpu]: Invalid value: \"abc\": quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
            ],
        ),
    ]);
}

#[test]
fn volumes_have_one_source_and_mounts_name_a_volume() {
    let with = |volumes: Value, mounts: Value| json!({"volumes": volumes, "containers": [{"name": "c", "image": "i", "volumeMounts": mounts}]});
    let upper = format!("spec.volumes[0].name: Invalid value: \"V\": {LABEL}");
    spec_cases(&[
        (with(json!([{"name": "v"}]), json!([{"name": "v", "mountPath": "/v", "subPath": "a/b"}])), &[]),
        (
            with(json!([]), json!([{"name": "v", "mountPath": "/v"}])),
            &["spec.containers[0].volumeMounts[0].name: Not found: \"v\""],
        ),
        (
            with(json!([{"name": "v"}]), json!([{"name": "v"}])),
            &["spec.containers[0].volumeMounts[0].mountPath: Required value"],
        ),
        (
            with(
                json!([{"name": "v"}]),
                json!([{"name": "v", "mountPath": "/v"}, {"name": "v", "mountPath": "/v"}]),
            ),
            &["spec.containers[0].volumeMounts[1].mountPath: Invalid value: \"/v\": must be unique"],
        ),
        (
            with(json!([{"name": "v"}]), json!([{"name": "v", "mountPath": "/v", "subPath": "../x"}])),
            &["spec.containers[0].volumeMounts.subPath: Invalid value: \"../x\": must not contain '..'"],
        ),
        (with(json!([{"name": "V"}]), json!([])), &[&upper]),
        (
            with(json!([{"name": "v"}, {"name": "v"}]), json!([])),
            &["spec.volumes[1].name: Duplicate value: \"v\""],
        ),
        (
            with(json!([{"name": "v", "emptyDir": {}, "hostPath": {"path": "/"}}]), json!([])),
            &["spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type"],
        ),
        (
            with(json!([{"name": "v", "secret": {}}]), json!([])),
            &["spec.volumes[0].secret.secretName: Required value"],
        ),
        (
            with(
                json!([{"name": "v", "configMap": {"name": "c", "defaultMode": 512, "items": [{"key": "k", "path": "/a"}]}}]),
                json!([]),
            ),
            &[
                "spec.volumes[0].configMap.defaultMode: Invalid value: 512: must be a number between 0 and 0777 (octal), both inclusive",
                "spec.volumes[0].configMap.items[0].path: Invalid value: \"/a\": must be a relative path",
            ],
        ),
        (
            with(json!([{"name": "v", "hostPath": {"path": "/a/../b"}}]), json!([])),
            &["spec.volumes[0].hostPath.path: Invalid value: \"/a/../b\": must not contain '..'"],
        ),
        (
            with(json!([{"name": "v", "persistentVolumeClaim": {}}]), json!([])),
            &["spec.volumes[0].persistentVolumeClaim.claimName: Required value"],
        ),
        (
            with(
                json!([{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 60}}]}}]),
                json!([]),
            ),
            &[
                "spec.volumes[0].projected.sources[0].serviceAccountToken.expirationSeconds: Invalid value: 60: may not specify a duration less than 10 minutes",
                "spec.volumes[0].projected.sources[0].serviceAccountToken: Forbidden: must not be specified when serviceAccountName is not set",
            ],
        ),
    ]);
}

#[test]
fn security_and_scheduling_are_checked() {
    spec_cases(&[
        (json!({"tolerations": [{"operator": "Exists"}], "nodeSelector": {"a": "b"}}), &[]),
        (
            json!({"tolerations": [{"key": "a", "operator": "x"}]}),
            &[
                "spec.tolerations[0].operator: Unsupported value: \"x\": supported values: \"Equal\", \"Exists\"",
            ],
        ),
        (
            json!({"tolerations": [{"key": "a", "tolerationSeconds": 3}]}),
            &[
                "spec.tolerations[0].effect: Invalid value: \"\": effect must be 'NoExecute' when `tolerationSeconds` is set",
            ],
        ),
        (
            json!({"topologySpreadConstraints": [{"maxSkew": 0, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule"}]}),
            &["spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero"],
        ),
        (
            json!({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"labelSelector": {}}]}}}),
            &[
                "spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey: Required value: can not be empty",
                "spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey: Invalid value: \"\": name part must be non-empty",
                "spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey: Invalid value: \"\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
            ],
        ),
        (
            json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {}}}}),
            &[
                "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: Required value: must have at least one node selector term",
            ],
        ),
        (
            json!({"securityContext": {"runAsUser": -1}}),
            &[
                "spec.securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive",
            ],
        ),
    ]);
    container_cases(&[
        (
            json!({"securityContext": {"allowPrivilegeEscalation": false, "privileged": true}}),
            &[
                "spec.containers[0].securityContext: Invalid value: {\"allowPrivilegeEscalation\":false,\"privileged\":true}: cannot set `allowPrivilegeEscalation` to false and `privileged` to true",
            ],
        ),
        (
            json!({"securityContext": {"seccompProfile": {"type": "Localhost"}}}),
            &[
                "spec.containers[0].securityContext.seccompProfile.localhostProfile: Required value: must be set when seccomp type is Localhost",
            ],
        ),
    ]);
}

#[test]
fn little_of_a_pod_changes() {
    const FORBIDDEN: &str = "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";
    let base = merged(&pod(), &json!({"spec": {"tolerations": [{"key": "a", "operator": "Exists"}]}}));
    let container = |patch: Value| json!({"spec": {"containers": [merged(&json!({"name": "c", "image": "i:1"}), &patch)]}});
    on_update(
        "",
        "Pod",
        &base,
        &[
            (json!({"metadata": {"labels": {"a": "b"}}}), &[]),
            (container(json!({"image": "i:2"})), &[]),
            (json!({"spec": {"activeDeadlineSeconds": 5}}), &[]),
            (
                json!({"spec": {"tolerations": [{"key": "a", "operator": "Exists"}, {"key": "b", "operator": "Exists"}]}}),
                &[],
            ),
            (
                json!({"spec": {"tolerations": []}}),
                &[
                    "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds",
                ],
            ),
            (container(json!({"command": ["x"]})), &[FORBIDDEN]),
            (json!({"spec": {"serviceAccountName": "other"}}), &[FORBIDDEN]),
            (json!({"spec": {"restartPolicy": "Never"}}), &[FORBIDDEN]),
            (
                json!({"spec": {"containers": [{"name": "c", "image": "i:1"}, {"name": "d", "image": "i:1"}]}}),
                &["spec.containers: Forbidden: pod updates may not add or remove containers"],
            ),
        ],
    );
}
