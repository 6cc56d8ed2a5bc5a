//! Nodes, events, drivers, and what a status may say.

use serde_json::{Value, json};

use super::{SUBDOMAIN, created, merged, on_create, on_update, texts, validate_status_update};

#[test]
fn nodes_have_taints_that_mean_something_and_one_network_of_each_family() {
    let base = json!({"metadata": {"name": "n"}, "spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}});
    let taint = |taint: Value| json!({"spec": {"taints": [taint]}});
    let networks = |networks: Value| json!({"spec": {"podCIDRs": networks}});
    on_create(
        "",
        "Node",
        &base,
        &[
            (
                taint(json!({"key": "a", "effect": "Foo"})),
                &[
                    "metadata.taints[0].effect: Unsupported value: \"Foo\": supported values: \"NoSchedule\", \"PreferNoSchedule\", \"NoExecute\"",
                ],
            ),
            (taint(json!({"key": "a"})), &["metadata.taints[0].effect: Required value"]),
            (
                json!({"spec": {"taints": [{"key": "a", "effect": "NoExecute"}, {"key": "a", "effect": "NoExecute", "value": "b"}]}}),
                &[
                    "metadata.taints[1]: Duplicate value: {\"effect\":\"NoExecute\",\"key\":\"a\",\"value\":\"b\"}: taints must be unique by key and effect pair",
                ],
            ),
            (networks(json!(["10.1.0.0/24", "fd00::/64"])), &[]),
            (networks(json!(["x"])), &["spec.podCIDRs[0]: Invalid value: [\"x\"]: must be valid CIDR"]),
            (
                networks(json!(["10.1.0.0/24", "10.2.0.0/24"])),
                &[
                    "spec.podCIDRs: Invalid value: [\"10.1.0.0/24\",\"10.2.0.0/24\"]: may specify no more than one CIDR for each IP family",
                ],
            ),
            (
                json!({"status": {"capacity": {"pods": "1500m"}}}),
                &[
                    "status.capacity.pods: Invalid value: \"1500m\": must be an integer",
                    "status.allocatable.pods: Invalid value: \"1500m\": must be an integer",
                ],
            ),
        ],
    );
    let known = merged(&base, &json!({"spec": {"podCIDR": "10.1.0.0/24", "providerID": "p"}}));
    on_update(
        "",
        "Node",
        &known,
        &[
            (json!({"spec": {"unschedulable": true, "taints": []}}), &[]),
            (
                json!({"spec": {"podCIDR": "10.2.0.0/24", "podCIDRs": ["10.2.0.0/24"], "providerID": "q"}}),
                &[
                    "spec.podCIDRs: Forbidden: node updates may not change podCIDR except from \"\" to valid",
                    "spec.providerID: Forbidden: node updates may not change providerID except from \"\" to valid",
                ],
            ),
        ],
    );
}

#[test]
fn runtime_classes_name_a_handler_for_good() {
    let base = json!({"metadata": {"name": "r"}, "handler": "runc"});
    on_create(
        "node.k8s.io",
        "RuntimeClass",
        &base,
        &[
            (
                json!({"scheduling": {"tolerations": [{"key": "a", "effect": "Foo", "operator": "Exists"}]}}),
                &[
                    "scheduling.tolerations[0].effect: Unsupported value: \"Foo\": supported values: \"NoSchedule\", \"PreferNoSchedule\", \"NoExecute\"",
                ],
            ),
            (json!({"handler": "A"}), &[&format!("handler: Invalid value: \"A\": {}", super::LABEL)]),
        ],
    );
    on_update(
        "node.k8s.io",
        "RuntimeClass",
        &base,
        &[(json!({"handler": "kata"}), &["handler: Invalid value: \"kata\": field is immutable"])],
    );
}

#[test]
fn events_lie_with_what_they_are_about() {
    let base = json!({"metadata": {"name": "e", "namespace": "n"}, "involvedObject": {"namespace": "n", "kind": "Pod"}});
    const ELSEWHERE: &str = "does not match event.namespace";
    on_create(
        "",
        "Event",
        &base,
        &[
            (
                json!({"involvedObject": {"namespace": "m"}}),
                &[&format!("involvedObject.namespace: Invalid value: \"m\": {ELSEWHERE}")],
            ),
            (
                json!({"involvedObject": {"namespace": ""}}),
                &[&format!("involvedObject.namespace: Invalid value: \"\": {ELSEWHERE}")],
            ),
            (json!({"metadata": {"namespace": "default"}, "involvedObject": {"namespace": ""}}), &[]),
            (
                json!({"eventTime": "2026-01-01T00:00:00.000000Z", "reportingComponent": "c", "action": "a"}),
                &["reportingInstance: Required value", "reason: Required value"],
            ),
        ],
    );
    let strict = json!({"metadata": {"name": "e", "namespace": "n"}, "regarding": {"namespace": "n"}, "type": "Normal",
        "eventTime": "2026-01-01T00:00:00.000000Z", "reportingController": "c", "reportingInstance": "i", "action": "a",
        "reason": "r", "note": "text"});
    on_create(
        "events.k8s.io",
        "Event",
        &strict,
        &[
            (
                json!({"type": "Odd", "deprecatedCount": 2, "series": {"count": 1, "lastObservedTime": "x"}}),
                &[
                    "series.count: Invalid value: \"\": should be at least 2",
                    "type: Invalid value: \"\": has invalid value: Odd",
                    "count: Invalid value: \"\": needs to be unset",
                ],
            ),
            (
                json!({"note": "x".repeat(1025)}),
                &["message: Invalid value: \"\": can have at most 1024 characters"],
            ),
        ],
    );
    on_update(
        "events.k8s.io",
        "Event",
        &strict,
        &[
            (json!({"series": {"count": 2, "lastObservedTime": "x"}}), &[]),
            (json!({"note": "other"}), &["message: Invalid value: \"other\": field is immutable"]),
        ],
    );
}

#[test]
fn drivers_and_attachments_keep_what_volumes_were_attached_by() {
    let storage = "storage.k8s.io";
    let driver = json!({"metadata": {"name": "d.example.com"}, "spec": {}});
    on_create(
        storage,
        "CSIDriver",
        &driver,
        &[
            (
                json!({"spec": {"fsGroupPolicy": "x", "volumeLifecycleModes": ["Y"]}}),
                &[
                    "spec.fsGroupPolicy: Unsupported value: \"x\": supported values: \"File\", \"None\", \"ReadWriteOnceWithFSType\"",
                    "spec.volumeLifecycleModes: Unsupported value: \"Y\": supported values: \"Persistent\", \"Ephemeral\"",
                ],
            ),
            (
                json!({"spec": {"tokenRequests": [{"audience": "a", "expirationSeconds": 1}, {"audience": "a"}]}}),
                &[
                    "spec.tokenRequests[0].expirationSeconds: Invalid value: 1: may not specify a duration less than 10 minutes",
                    "spec.tokenRequests[1].audience: Duplicate value: \"a\"",
                ],
            ),
        ],
    );
    on_update(
        storage,
        "CSIDriver",
        &driver,
        &[
            (json!({"spec": {"podInfoOnMount": true}}), &[]),
            (
                json!({"spec": {"attachRequired": false}}),
                &["spec.attachedRequired: Invalid value: false: field is immutable"],
            ),
        ],
    );
    let attachment = json!({"metadata": {"name": "a"}, "spec": {"attacher": "d.example.com", "nodeName": "n",
        "source": {"persistentVolumeName": "v"}}});
    on_create(
        storage,
        "VolumeAttachment",
        &attachment,
        &[
            (
                json!({"spec": {"source": {"persistentVolumeName": null}, "nodeName": ""}}),
                &[
                    "spec.source: Required value: must specify exactly one of inlineVolumeSpec and persistentVolumeName",
                    &format!("spec.nodeName: Invalid value: \"\": {SUBDOMAIN}"),
                ],
            ),
            (
                json!({"spec": {"source": {"persistentVolumeName": null, "inlineVolumeSpec": {
                    "accessModes": ["ReadWriteOnce"], "csi": {"driver": "d.example.com", "volumeHandle": "h"}}}}}),
                &[],
            ),
        ],
    );
    let errors = |patch: Value| {
        let old = created(storage, "VolumeAttachment", &attachment);
        super::validate_update(storage, "VolumeAttachment", &merged(&old, &patch), &old)
    };
    let changed = errors(json!({"spec": {"nodeName": "m"}}));
    assert_eq!((changed[0].field.as_str(), changed[0].detail.as_str()), ("spec", "field is immutable"));
    let node = json!({"metadata": {"name": "n"}, "spec": {"drivers": [{"name": "d", "nodeID": "i", "topologyKeys": ["k"]}]}});
    on_create(
        storage,
        "CSINode",
        &node,
        &[(
            json!({"spec": {"drivers": [{"name": "d", "nodeID": ""}, {"name": "d", "nodeID": "i"}]}}),
            &["spec.drivers[0].nodeID: Required value", "spec.drivers[1].name: Duplicate value: \"d\""],
        )],
    );
    let class = json!({"metadata": {"name": "c"}, "provisioner": "example.com/p"});
    on_create(
        storage,
        "StorageClass",
        &class,
        &[(
            json!({"allowedTopologies": [{"matchLabelExpressions": [{"key": "zone", "values": []}]}]}),
            &["allowedTopologies[0].matchLabelExpressions[0].values: Required value"],
        )],
    );
}

#[test]
fn old_volumes_say_where_they_are() {
    let volume = json!({"metadata": {"name": "v"}, "spec": {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}}});
    let source = |source: Value| json!({"spec": source});
    let base = merged(&volume, &source(json!({"hostPath": {"path": "/v"}})));
    let instead = |given: Value| merged(&source(json!({"hostPath": null})), &source(given));
    on_create(
        "",
        "PersistentVolume",
        &base,
        &[
            (instead(json!({"rbd": {"monitors": ["m"]}})), &["spec.rbd.image: Required value"]),
            (
                instead(
                    json!({"iscsi": {"targetPortal": "p", "iqn": "iqn.2024-01.com.example:a", "lun": 256}}),
                ),
                &["spec.iscsi.lun: Invalid value: 256: must be between 0 and 255, inclusive"],
            ),
            (
                instead(json!({"iscsi": {"targetPortal": "p", "iqn": "iqn.nonsense"}})),
                &["spec.iscsi.iqn: Invalid value: \"iqn.nonsense\": must be valid format"],
            ),
            (
                instead(
                    json!({"csi": {"driver": "d", "volumeHandle": "h", "nodePublishSecretRef": {"name": "s"}}}),
                ),
                &["spec.csi.nodePublishSecretRef.namespace: Required value"],
            ),
        ],
    );
}

#[test]
fn a_status_is_checked_alone() {
    let status = |group: &str, kind: &str, new: Value| {
        texts(validate_status_update(group, kind, &new, &json!({"spec": {"replicas": -1}})))
    };
    assert_eq!(
        status(
            "apps",
            "Deployment",
            json!({"spec": {"replicas": -1}, "status": {"replicas": 2, "readyReplicas": 3, "availableReplicas": -1}})
        ),
        [
            "status.availableReplicas: Invalid value: -1: must be greater than or equal to 0",
            "status.readyReplicas: Invalid value: 3: cannot be greater than status.replicas",
        ]
    );
    assert_eq!(
        status(
            "",
            "Service",
            json!({"status": {"loadBalancer": {"ingress": [{"ip": "x"}, {"hostname": "1.2.3.4"}]}}})
        ),
        [
            "status.loadBalancer.ingress[0].ip: Invalid value: \"x\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
            "status.loadBalancer.ingress[1].hostname: Invalid value: \"1.2.3.4\": must be a DNS name, not an IP address",
        ]
    );
    assert_eq!(
        status("", "Namespace", json!({"status": {"phase": "Terminating"}})),
        [
            "status.Phase: Invalid value: \"Terminating\": may only be 'Active' if `deletionTimestamp` is empty"
        ]
    );
}
