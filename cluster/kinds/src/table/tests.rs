#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::*;
use crate::resources::{builtin, find};

fn now() -> Timestamp {
    "2026-05-10T12:00:00Z".parse().unwrap()
}

/// The rows as `kubectl get -o wide` shows them, one cell beside the other.
fn printed(group: &str, version: &str, plural: &str, objects: &[Value]) -> String {
    let resource = find(group, version, plural).unwrap();
    let table = table(resource, None, objects, now(), IncludeObject::None, Map::new());
    show(&table)
}

fn show(table: &Value) -> String {
    let line = |cells: Vec<String>| cells.join(" | ");
    let head = table["columnDefinitions"].as_array().unwrap().iter();
    let mut lines = vec![line(head.map(|c| c["name"].as_str().unwrap().to_uppercase()).collect())];
    for row in table["rows"].as_array().unwrap() {
        let cells = row["cells"].as_array().unwrap().iter();
        lines.push(line(cells.map(|c| c.as_str().map_or_else(|| c.to_string(), str::to_owned)).collect()));
    }
    lines.join("\n")
}

/// An object that is 5 minutes and 30 seconds old.
fn object(name: &str, rest: Value) -> Value {
    let mut object = json!({"metadata": {"name": name, "creationTimestamp": "2026-05-10T11:54:30Z"}});
    for (key, value) in rest.as_object().unwrap() {
        match (key.as_str(), value) {
            ("metadata", Value::Object(fields)) => {
                for (key, value) in fields {
                    object["metadata"][key] = value.clone();
                }
            }
            _ => object[key] = value.clone(),
        }
    }
    object
}

#[test]
fn every_kind_has_a_cell_for_each_column_whatever_the_object() {
    for resource in builtin() {
        let columns = columns(resource);
        assert!(columns.iter().any(|c| c.format == "name"), "{} shows its name", resource.kind);
        for object in [json!({}), json!({"metadata": {"name": "x"}, "spec": null, "status": 1})] {
            assert_eq!(cells(resource, &object, now()).len(), columns.len(), "{}", resource.kind);
        }
    }
}

#[test]
fn a_pods_status_is_the_reason_that_matters() {
    let containers = json!([{"name": "a"}, {"name": "b"}]);
    let spec = || json!({"containers": containers, "nodeName": "n1"});
    let running = |ready: bool| json!({"ready": ready, "restartCount": 0, "state": {"running": {}}});
    let pods = [
        object("pending", json!({"spec": spec(), "status": {"phase": "Pending"}})),
        object(
            "running",
            json!({"spec": spec(), "status": {
                "phase": "Running", "podIPs": [{"ip": "10.0.0.7"}], "containerStatuses": [running(true), running(true)],
            }}),
        ),
        object(
            "unready",
            json!({"spec": spec(), "status": {"phase": "Running", "containerStatuses": [running(true), running(false)]}}),
        ),
        object(
            "crashing",
            json!({"spec": spec(), "status": {"phase": "Running", "containerStatuses": [
                {"ready": false, "restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                 "lastState": {"terminated": {"finishedAt": "2026-05-10T11:55:00Z"}}},
                running(true),
            ]}}),
        ),
        object(
            "signalled",
            json!({"spec": spec(), "status": {"phase": "Running", "containerStatuses": [
                {"restartCount": 1, "state": {"terminated": {"exitCode": 137, "signal": 9}}},
            ]}}),
        ),
        object(
            "exited",
            json!({"spec": spec(), "status": {"phase": "Failed", "containerStatuses": [
                {"restartCount": 0, "state": {"terminated": {"exitCode": 2}}},
            ]}}),
        ),
        object(
            "completed",
            json!({"spec": spec(), "status": {"phase": "Succeeded", "containerStatuses": [
                {"restartCount": 0, "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}},
            ]}}),
        ),
        object(
            "half-done",
            json!({"spec": spec(), "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}],
            "containerStatuses": [
                {"restartCount": 0, "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}},
                running(true),
            ]}}),
        ),
        object("evicted", json!({"spec": spec(), "status": {"phase": "Failed", "reason": "Evicted"}})),
        object(
            "gated",
            json!({"spec": {"containers": containers, "readinessGates": [{"conditionType": "x"}]}, "status": {
                "phase": "Pending",
                "conditions": [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}],
            }}),
        ),
        object(
            "leaving",
            json!({"metadata": {"deletionTimestamp": "2026-05-10T12:00:00Z"}, "spec": spec(), "status": {
                "phase": "Running", "containerStatuses": [running(true), running(true)],
            }}),
        ),
        object(
            "left",
            json!({"metadata": {"deletionTimestamp": "2026-05-10T12:00:00Z"}, "spec": spec(), "status": {
                "phase": "Succeeded", "containerStatuses": [
                    {"restartCount": 0, "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}},
                ],
            }}),
        ),
        object(
            "lost",
            json!({"metadata": {"deletionTimestamp": "2026-05-10T12:00:00Z"}, "spec": spec(),
                "status": {"phase": "Running", "reason": "NodeLost"}}),
        ),
    ];
    insta::assert_snapshot!(printed("", "v1", "pods", &pods));
}

#[test]
fn a_pods_init_containers_are_counted_until_they_are_done() {
    let spec = || {
        json!({
            "containers": [{"name": "main"}],
            "initContainers": [{"name": "one"}, {"name": "two"}, {"name": "side", "restartPolicy": "Always"}],
        })
    };
    let done =
        |name: &str| json!({"name": name, "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}});
    let pod = |name: &str, init: Value, rest: Value| {
        let mut status = json!({"phase": "Pending", "initContainerStatuses": init});
        for (key, value) in rest.as_object().unwrap() {
            status[key] = value.clone();
        }
        object(name, json!({"spec": spec(), "status": status}))
    };
    let waiting =
        |reason: &str| json!({"name": "two", "restartCount": 2, "state": {"waiting": {"reason": reason}}});
    let pods = [
        pod("second", json!([done("one"), {"name": "two", "state": {"running": {}}}]), json!({})),
        pod("waiting", json!([done("one"), waiting("PodInitializing")]), json!({})),
        pod("pulling", json!([done("one"), waiting("ImagePullBackOff")]), json!({})),
        pod(
            "failed",
            json!([{"name": "one", "state": {"terminated": {"exitCode": 1, "reason": "Error"}}}]),
            json!({}),
        ),
        pod("code", json!([{"name": "one", "state": {"terminated": {"exitCode": 3}}}]), json!({})),
        pod(
            "sidecar",
            json!([done("one"), done("two"),
                {"name": "side", "started": true, "ready": true, "restartCount": 1, "state": {"running": {}},
                 "lastState": {"terminated": {"finishedAt": "2026-05-10T11:59:00Z"}}}]),
            json!({"phase": "Running", "containerStatuses": [{"name": "main", "ready": true, "state": {"running": {}}}]}),
        ),
    ];
    insta::assert_snapshot!(printed("", "v1", "pods", &pods));
}

#[test]
fn rows_of_finished_pods_carry_a_condition_and_metadata_of_the_object() {
    let pod = object("p", json!({"kind": "Pod", "apiVersion": "v1", "status": {"phase": "Succeeded"}}));
    let pods = find("", "v1", "pods").unwrap();
    let metadata = json!({"resourceVersion": "7"}).as_object().unwrap().clone();
    let printed = table(pods, None, [&pod], now(), IncludeObject::Metadata, metadata);
    assert_eq!(printed["metadata"], json!({"resourceVersion": "7"}));
    assert_eq!(printed["rows"][0]["conditions"][0]["type"], "Completed");
    assert_eq!(
        printed["rows"][0]["object"],
        json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": pod["metadata"]})
    );
    let whole = table(pods, None, [&pod], now(), IncludeObject::Object, Map::new());
    assert_eq!(whole["rows"][0]["object"], pod);
}

#[test]
fn workloads_show_how_far_they_are() {
    let template =
        json!({"spec": {"containers": [{"name": "a", "image": "x:1"}, {"name": "b", "image": "y:2"}]}});
    let selector = json!({"matchLabels": {"app": "x"}});
    let workload = json!({
        "spec": {"replicas": 3, "selector": selector, "template": template},
        "status": {"replicas": 3, "readyReplicas": 2, "updatedReplicas": 1, "availableReplicas": 2},
    });
    let mut shown = Vec::new();
    for plural in ["deployments", "replicasets", "statefulsets"] {
        shown.push(printed("apps", "v1", plural, &[object("x", workload.clone())]));
    }
    let daemon_set = json!({
        "spec": {"selector": {}, "template": {"spec": {"nodeSelector": {"disk": "ssd"}}}},
        "status": {"desiredNumberScheduled": 3, "currentNumberScheduled": 3, "numberReady": 2,
                   "updatedNumberScheduled": 3, "numberAvailable": 1},
    });
    shown.push(printed("apps", "v1", "daemonsets", &[object("x", daemon_set)]));
    let job = |spec: Value, status: Value| {
        let mut spec = spec;
        spec["template"] = template.clone();
        object("x", json!({"spec": spec, "status": status}))
    };
    let jobs = [
        job(json!({"completions": 3}), json!({"succeeded": 1, "startTime": "2026-05-10T11:50:00Z"})),
        job(
            json!({"completions": 1, "selector": selector}),
            json!({"succeeded": 1, "startTime": "2026-05-10T11:50:00Z", "completionTime": "2026-05-10T11:53:20Z",
                   "conditions": [{"type": "Complete", "status": "True"}]}),
        ),
        job(json!({"parallelism": 4}), json!({"conditions": [{"type": "Failed", "status": "True"}]})),
        job(json!({}), json!({"conditions": [{"type": "Suspended", "status": "True"}]})),
    ];
    shown.push(printed("batch", "v1", "jobs", &jobs));
    let cron_jobs = [
        object(
            "x",
            json!({"spec": {"schedule": "*/5 * * * *", "suspend": false, "jobTemplate": {"spec": {"template": template}}},
                   "status": {"active": [{}], "lastScheduleTime": "2026-05-10T11:55:00Z"}}),
        ),
        object("y", json!({"spec": {"schedule": "@daily", "timeZone": "Etc/UTC", "suspend": true}})),
    ];
    shown.push(printed("batch", "v1", "cronjobs", &cron_jobs));
    let budgets = [
        object("x", json!({"spec": {"minAvailable": 2}, "status": {"disruptionsAllowed": 1}})),
        object("y", json!({"spec": {"maxUnavailable": "25%"}})),
    ];
    shown.push(printed("policy", "v1", "poddisruptionbudgets", &budgets));
    let revision = object(
        "x-1",
        json!({"revision": 4, "metadata": {"ownerReferences": [
            {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "x", "controller": true},
        ]}}),
    );
    shown.push(printed("apps", "v1", "controllerrevisions", &[revision]));
    insta::assert_snapshot!(shown.join("\n\n"));
}

#[test]
fn autoscalers_show_current_values_and_targets() {
    let target = json!({"kind": "Deployment", "name": "x"});
    let v2 = [
        object(
            "x",
            json!({
                "spec": {"scaleTargetRef": target, "maxReplicas": 9, "metrics": [
                    {"type": "Resource", "resource": {"name": "cpu", "target": {"averageUtilization": 80}}},
                    {"type": "Pods", "pods": {"target": {"averageValue": "10"}}},
                    {"type": "External", "external": {"target": {"averageValue": "1"}}},
                ]},
                "status": {"currentReplicas": 2, "currentMetrics": [
                    {"type": "Resource", "resource": {"current": {"averageUtilization": 12}}},
                ]},
            }),
        ),
        object("y", json!({"spec": {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 2}})),
    ];
    let v1 = [object(
        "z",
        json!({"spec": {"scaleTargetRef": target, "maxReplicas": 2, "targetCPUUtilizationPercentage": 50}}),
    )];
    insta::assert_snapshot!(format!(
        "{}\n\n{}",
        printed("autoscaling", "v2", "horizontalpodautoscalers", &v2),
        printed("autoscaling", "v1", "horizontalpodautoscalers", &v1),
    ));
}

#[test]
fn network_kinds_show_addresses_and_ports() {
    let service = |name: &str, spec: Value, ingress: Value| {
        object(name, json!({"spec": spec, "status": {"loadBalancer": {"ingress": ingress}}}))
    };
    let services = [
        service(
            "plain",
            json!({"type": "ClusterIP", "clusterIP": "10.96.0.1", "selector": {"b": "2", "a": "1"},
                   "ports": [{"port": 443, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]}),
            json!([]),
        ),
        service("headless", json!({"type": "ClusterIP", "clusterIP": "None"}), json!([])),
        service(
            "node",
            json!({"type": "NodePort", "clusterIP": "10.96.0.2", "externalIPs": ["1.2.3.4"],
                   "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}]}),
            json!([]),
        ),
        service("pending", json!({"type": "LoadBalancer", "clusterIP": "10.96.0.3"}), json!([])),
        service(
            "balanced",
            json!({"type": "LoadBalancer", "clusterIP": "10.96.0.4"}),
            json!([{"hostname": "b.example"}, {"ip": "9.9.9.9"}]),
        ),
        service("outside", json!({"type": "ExternalName", "externalName": "example.com"}), json!([])),
    ];
    let rules = |hosts: &[&str]| hosts.iter().map(|h| json!({"host": h})).collect::<Vec<_>>();
    let ingresses = [
        object(
            "many",
            json!({"spec": {"ingressClassName": "web", "tls": [{}], "rules": rules(&["a", "b", "c", "d", "e"])},
                   "status": {"loadBalancer": {"ingress": [{"ip": "9.9.9.9"}]}}}),
        ),
        object("any", json!({"spec": {"rules": [{}]}})),
    ];
    let endpoints = [
        object(
            "some",
            json!({"subsets": [{"addresses": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}], "ports": [{"port": 80}, {"port": 443}]}]}),
        ),
        object("six", json!({"subsets": [{"addresses": [{"ip": "fd00::1"}], "ports": [{"port": 80}]}]})),
        object("none", json!({})),
    ];
    let slices = [
        object(
            "some",
            json!({"addressType": "IPv4", "ports": [{"port": 80}, {"name": "web"}, {}],
                   "endpoints": [{"addresses": ["10.0.0.1"]}, {"addresses": ["10.0.0.2"]}, {"addresses": ["10.0.0.3"]},
                                 {"addresses": ["10.0.0.4"]}]}),
        ),
        object("none", json!({"addressType": "IPv6"})),
    ];
    let policies = [object("x", json!({"spec": {"podSelector": {}}}))];
    let classes = [object(
        "x",
        json!({"spec": {"controller": "e.com/c", "parameters": {"kind": "P", "apiGroup": "e.com", "name": "n"}}}),
    )];
    let shown = [
        printed("", "v1", "services", &services),
        printed("networking.k8s.io", "v1", "ingresses", &ingresses),
        printed("", "v1", "endpoints", &endpoints),
        printed("discovery.k8s.io", "v1", "endpointslices", &slices),
        printed("networking.k8s.io", "v1", "networkpolicies", &policies),
        printed("networking.k8s.io", "v1", "ingressclasses", &classes),
    ];
    insta::assert_snapshot!(shown.join("\n\n"));
}

#[test]
fn cluster_kinds_show_state_and_configuration() {
    let node = object(
        "n1",
        json!({
            "metadata": {"labels": {"node-role.kubernetes.io/worker": "", "node-role.kubernetes.io/control-plane": ""}},
            "spec": {"unschedulable": true},
            "status": {
                "conditions": [{"type": "Ready", "status": "True"}],
                "addresses": [{"type": "InternalIP", "address": "10.1.1.1"}],
                "nodeInfo": {"kubeletVersion": "v1.37.1", "osImage": "Debian"},
            },
        }),
    );
    let events = [
        object(
            "x.1",
            json!({"type": "Warning", "reason": "BackOff", "message": " again\n", "count": 4,
                   "firstTimestamp": "2026-05-10T11:00:00Z", "lastTimestamp": "2026-05-10T11:58:00Z",
                   "involvedObject": {"kind": "Pod", "name": "x", "fieldPath": "spec.containers{a}"},
                   "source": {"component": "node", "host": "n1"}}),
        ),
        object(
            "x.2",
            json!({"type": "Normal", "reason": "New", "eventTime": "2026-05-10T11:59:00.5Z",
                   "reportingComponent": "c", "involvedObject": {"kind": "Pod", "name": "x"}}),
        ),
    ];
    let new_events = [object(
        "x.3",
        json!({"type": "Normal", "reason": "New", "note": "hello", "eventTime": "2026-05-10T11:50:00.5Z",
               "reportingController": "c", "reportingInstance": "c-1", "regarding": {"kind": "Job", "name": "j"},
               "series": {"count": 5, "lastObservedTime": "2026-05-10T11:59:30.5Z"}}),
    )];
    let quota = object(
        "q",
        json!({"status": {
            "hard": {"requests.cpu": "4", "limits.cpu": "8", "pods": "10"},
            "used": {"requests.cpu": "500m", "limits.cpu": "1", "pods": "2"},
        }}),
    );
    let configuration = object("c", json!({"data": {"a": "1", "b": "2"}, "binaryData": {"c": "AA=="}}));
    let secret = object("s", json!({"type": "Opaque", "data": {"a": "eA=="}}));
    let priority = object("p", json!({"value": 1000, "preemptionPolicy": "Never"}));
    let shown = [
        printed("", "v1", "nodes", &[node, object("n2", json!({}))]),
        printed("", "v1", "namespaces", &[object("ns", json!({"status": {"phase": "Active"}}))]),
        printed("", "v1", "events", &events),
        printed("events.k8s.io", "v1", "events", &new_events),
        printed("", "v1", "resourcequotas", &[quota]),
        printed("", "v1", "configmaps", &[configuration]),
        printed("", "v1", "secrets", &[secret]),
        printed("", "v1", "serviceaccounts", &[object("sa", json!({}))]),
        printed("", "v1", "limitranges", &[object("l", json!({}))]),
        printed("scheduling.k8s.io", "v1", "priorityclasses", &[priority]),
        printed(
            "coordination.k8s.io",
            "v1",
            "leases",
            &[object("l", json!({"spec": {"holderIdentity": "me"}}))],
        ),
        printed("apiextensions.k8s.io", "v1", "customresourcedefinitions", &[object("w.e.com", json!({}))]),
    ];
    insta::assert_snapshot!(shown.join("\n\n"));
}

#[test]
fn storage_and_access_kinds_show_what_is_bound_to_what() {
    let volume = object(
        "pv",
        json!({
            "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteMany", "ReadWriteOnce"],
                     "persistentVolumeReclaimPolicy": "Retain", "claimRef": {"namespace": "a", "name": "c"},
                     "storageClassName": "fast", "volumeMode": "Filesystem"},
            "status": {"phase": "Bound"},
        }),
    );
    let claims = [
        object(
            "c",
            json!({"spec": {"volumeName": "pv", "storageClassName": "fast"},
                   "status": {"phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}}}),
        ),
        object("waiting", json!({"status": {"phase": "Pending"}})),
    ];
    let class = object(
        "fast",
        json!({"metadata": {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
               "provisioner": "e.com/p"}),
    );
    let binding = object(
        "b",
        json!({"roleRef": {"kind": "ClusterRole", "name": "view"}, "subjects": [
            {"kind": "User", "name": "u"}, {"kind": "Group", "name": "g"}, {"kind": "Group", "name": "h"},
            {"kind": "ServiceAccount", "namespace": "n", "name": "s"},
        ]}),
    );
    let request = object(
        "r",
        json!({"spec": {"signerName": "kubernetes.io/kube-apiserver-client", "username": "u", "expirationSeconds": 86400},
               "status": {"certificate": "QQ==", "conditions": [{"type": "Approved", "status": "True"}]}}),
    );
    let driver = object("d", json!({"spec": {"volumeLifecycleModes": ["Ephemeral"]}}));
    let policy = object(
        "p",
        json!({"spec": {"validations": [{}], "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}}}),
    );
    let policy_binding = object("p", json!({"spec": {"policyName": "p", "paramRef": {"name": "n"}}}));
    let shown = [
        printed("", "v1", "persistentvolumes", &[volume]),
        printed("", "v1", "persistentvolumeclaims", &claims),
        printed("storage.k8s.io", "v1", "storageclasses", &[class]),
        printed("storage.k8s.io", "v1", "csidrivers", &[driver]),
        printed("rbac.authorization.k8s.io", "v1", "rolebindings", &[binding]),
        printed("rbac.authorization.k8s.io", "v1", "roles", &[object("r", json!({}))]),
        printed("certificates.k8s.io", "v1", "certificatesigningrequests", &[request]),
        printed("admissionregistration.k8s.io", "v1", "validatingadmissionpolicies", &[policy]),
        printed("admissionregistration.k8s.io", "v1", "validatingadmissionpolicybindings", &[policy_binding]),
    ];
    insta::assert_snapshot!(shown.join("\n\n"));
}

#[test]
fn custom_resources_show_their_printer_columns() {
    let columns = json!([
        {"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status"},
        {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas", "description": "How many"},
        {"name": "Ratio", "type": "number", "jsonPath": ".spec.ratio", "priority": 1},
        {"name": "On", "type": "boolean", "jsonPath": ".spec.on"},
        {"name": "Since", "type": "date", "jsonPath": ".status.since"},
        {"name": "Hosts", "type": "string", "jsonPath": ".spec.hosts"},
        {"name": "Broken", "type": "string", "jsonPath": ".spec["},
    ]);
    let objects = [
        object(
            "x",
            json!({"spec": {"replicas": 2, "ratio": 0.5, "on": true, "hosts": ["a", "b"]},
                   "status": {"since": "2026-05-10T09:00:00Z", "conditions": [{"type": "Ready", "status": "True"}]}}),
        ),
        object("y", json!({"spec": {"replicas": "two"}, "status": {"since": "yesterday"}})),
    ];
    let resource = Resource { group: "e.com".to_owned(), kind: "Widget".to_owned(), ..builtin()[1].clone() };
    let print = |columns: &[Value]| {
        let columns = custom_columns(columns);
        show(&table(&resource, Some(&columns), &objects, now(), IncludeObject::None, Map::new()))
    };
    insta::assert_snapshot!(format!("{}\n\n{}", print(columns.as_array().unwrap()), print(&[])));
}
