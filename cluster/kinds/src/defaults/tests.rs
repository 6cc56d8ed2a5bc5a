//! What defaulting promises, kind by kind.
#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::default_object;

fn defaulted(group: &str, kind: &str, mut object: Value) -> Value {
    let version = if group == "autoscaling" { "v2" } else { "v1" };
    default_object(group, version, kind, &mut object);
    let mut again = object.clone();
    default_object(group, version, kind, &mut again);
    assert_eq!(again, object, "defaulting twice differs from once");
    object
}

fn pod(spec: Value) -> Value {
    defaulted("", "Pod", json!({"metadata": {"name": "p"}, "spec": spec}))["spec"].clone()
}

#[test]
fn a_minimal_pod_gets_all_its_defaults() {
    let spec = pod(json!({"containers": [{"name": "c", "image": "nginx"}]}));
    assert_eq!(
        spec,
        json!({
            "containers": [{
                "name": "c",
                "image": "nginx",
                "imagePullPolicy": "Always",
                "resources": {},
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
            }],
            "dnsPolicy": "ClusterFirst",
            "enableServiceLinks": true,
            "restartPolicy": "Always",
            "schedulerName": "default-scheduler",
            "securityContext": {},
            "terminationGracePeriodSeconds": 30,
        })
    );
}

#[test]
fn the_pull_policy_follows_the_tag() {
    for (image, policy) in [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("nginx:1.27", "IfNotPresent"),
        ("localhost:5000/nginx", "Always"),
        ("localhost:5000/nginx:1", "IfNotPresent"),
        ("nginx@sha256:abc", "IfNotPresent"),
        ("nginx:latest@sha256:abc", "Always"),
        ("", "IfNotPresent"),
    ] {
        let spec = pod(json!({"containers": [{"image": image}]}));
        assert_eq!(spec["containers"][0]["imagePullPolicy"], policy, "{image}");
    }
}

#[test]
fn what_a_pod_says_is_kept() {
    let spec = pod(json!({
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 0,
        "enableServiceLinks": false,
        "containers": [{"image": "a:1", "imagePullPolicy": "Never"}],
    }));
    assert_eq!(spec["restartPolicy"], "Never");
    assert_eq!(spec["terminationGracePeriodSeconds"], 0);
    assert_eq!(spec["enableServiceLinks"], false);
    assert_eq!(spec["containers"][0]["imagePullPolicy"], "Never");
}

#[test]
fn only_pods_take_requests_from_limits_and_amounts_become_canonical() {
    let resources = json!({"limits": {"cpu": "1000m", "memory": "1024Mi"}, "requests": {"cpu": 0.5}});
    let container = json!({"image": "a:1", "resources": resources});
    let spec = pod(json!({"containers": [container]}));
    assert_eq!(
        spec["containers"][0]["resources"],
        json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m", "memory": "1Gi"}})
    );
    let deployment =
        defaulted("apps", "Deployment", json!({"spec": {"template": {"spec": {"containers": [container]}}}}));
    assert_eq!(
        deployment["spec"]["template"]["spec"]["containers"][0]["resources"],
        json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}})
    );
    assert!(deployment["spec"]["template"]["spec"].get("enableServiceLinks").is_none());
}

#[test]
fn ports_probes_and_environment_are_filled() {
    let spec = pod(json!({"hostNetwork": true, "containers": [{
        "image": "a:1",
        "ports": [{"containerPort": 80}],
        "livenessProbe": {"httpGet": {"port": 80}},
        "readinessProbe": {"grpc": {"port": 1}, "periodSeconds": 3, "initialDelaySeconds": 0},
        "lifecycle": {"preStop": {"httpGet": {"port": "x", "path": "/bye"}}},
        "env": [
            {"name": "A", "value": ""},
            {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "C", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
        ],
    }]}));
    let container = &spec["containers"][0];
    assert_eq!(container["ports"][0], json!({"containerPort": 80, "hostPort": 80, "protocol": "TCP"}));
    assert_eq!(
        container["livenessProbe"],
        json!({"httpGet": {"path": "/", "port": 80, "scheme": "HTTP"}, "timeoutSeconds": 1,
               "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3})
    );
    assert_eq!(
        container["readinessProbe"],
        json!({"grpc": {"port": 1, "service": ""}, "timeoutSeconds": 1,
               "periodSeconds": 3, "successThreshold": 1, "failureThreshold": 3})
    );
    assert_eq!(container["lifecycle"]["preStop"]["httpGet"]["scheme"], "HTTP");
    assert_eq!(container["env"][0], json!({"name": "A"}));
    assert_eq!(container["env"][1]["valueFrom"]["fieldRef"]["apiVersion"], "v1");
    assert_eq!(container["env"][2]["valueFrom"]["resourceFieldRef"]["divisor"], "0");
}

#[test]
fn volumes_are_filled() {
    let spec = pod(json!({"containers": [], "serviceAccountName": "sa", "volumes": [
        {"name": "none"},
        {"name": "s", "secret": {"secretName": "x"}},
        {"name": "c", "configMap": {"name": "x", "defaultMode": 256}},
        {"name": "d", "downwardAPI": {"items": [{"path": "p", "fieldRef": {"fieldPath": "metadata.name"}}]}},
        {"name": "p", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}},
        {"name": "h", "hostPath": {"path": "/x"}},
        {"name": "e", "emptyDir": {"sizeLimit": "1024Mi"}},
        {"name": "g", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}},
    ]}));
    let volumes = &spec["volumes"];
    assert_eq!(volumes[0], json!({"name": "none", "emptyDir": {}}));
    assert_eq!(volumes[1]["secret"]["defaultMode"], 420);
    assert_eq!(volumes[2]["configMap"]["defaultMode"], 256);
    assert_eq!(volumes[3]["downwardAPI"]["items"][0]["fieldRef"]["apiVersion"], "v1");
    assert_eq!(volumes[4]["projected"]["sources"][0]["serviceAccountToken"]["expirationSeconds"], 3600);
    assert_eq!(volumes[5]["hostPath"], json!({"path": "/x", "type": ""}));
    assert_eq!(volumes[6]["emptyDir"]["sizeLimit"], "1Gi");
    assert_eq!(volumes[7]["ephemeral"]["volumeClaimTemplate"]["spec"]["volumeMode"], "Filesystem");
    assert_eq!(spec["serviceAccount"], "sa");
}

#[test]
fn workloads_are_filled() {
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": []}});
    let spec = |group: &str, kind: &str, spec: Value| defaulted(group, kind, json!({"spec": spec}));
    let deployment = spec("apps", "Deployment", json!({"template": template, "minReadySeconds": 0}));
    assert_eq!(deployment["spec"]["replicas"], 1);
    assert_eq!(deployment["spec"]["revisionHistoryLimit"], 10);
    assert_eq!(deployment["spec"]["progressDeadlineSeconds"], 600);
    assert!(deployment["spec"].get("minReadySeconds").is_none());
    assert_eq!(
        deployment["spec"]["strategy"],
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}})
    );
    assert_eq!(deployment["spec"]["template"]["spec"]["restartPolicy"], "Always");
    let recreate = spec("apps", "Deployment", json!({"strategy": {"type": "Recreate"}, "replicas": 0}));
    assert_eq!(recreate["spec"]["strategy"], json!({"type": "Recreate"}));
    assert_eq!(recreate["spec"]["replicas"], 0);

    assert_eq!(spec("apps", "ReplicaSet", json!({}))["spec"]["replicas"], 1);

    let stateful =
        spec("apps", "StatefulSet", json!({"volumeClaimTemplates": [{"metadata": {"name": "d"}}]}));
    let stateful = &stateful["spec"];
    assert_eq!(stateful["podManagementPolicy"], "OrderedReady");
    assert_eq!(
        stateful["updateStrategy"],
        json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 0}})
    );
    assert_eq!(
        stateful["persistentVolumeClaimRetentionPolicy"],
        json!({"whenDeleted": "Retain", "whenScaled": "Retain"})
    );
    assert_eq!(stateful["volumeClaimTemplates"][0]["kind"], "PersistentVolumeClaim");
    assert_eq!(stateful["volumeClaimTemplates"][0]["status"]["phase"], "Pending");

    let daemon = spec("apps", "DaemonSet", json!({}));
    assert_eq!(
        daemon["spec"]["updateStrategy"],
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}})
    );

    let job = spec("batch", "Job", json!({"template": template}));
    assert_eq!(job["metadata"]["labels"], json!({"a": "b"}));
    for (field, value) in [
        ("completions", json!(1)),
        ("parallelism", json!(1)),
        ("backoffLimit", json!(6)),
        ("completionMode", json!("NonIndexed")),
        ("suspend", json!(false)),
        ("podReplacementPolicy", json!("TerminatingOrFailed")),
    ] {
        assert_eq!(job["spec"][field], value, "{field}");
    }
    let parallel = spec("batch", "Job", json!({"parallelism": 3}));
    assert!(parallel["spec"].get("completions").is_none());

    let cron = spec(
        "batch",
        "CronJob",
        json!({"schedule": "* * * * *", "jobTemplate": {"spec": {"template": template}}}),
    );
    assert_eq!(cron["spec"]["concurrencyPolicy"], "Allow");
    assert_eq!(cron["spec"]["suspend"], false);
    assert_eq!(cron["spec"]["successfulJobsHistoryLimit"], 3);
    assert_eq!(cron["spec"]["failedJobsHistoryLimit"], 1);
    assert_eq!(cron["spec"]["jobTemplate"]["spec"]["template"]["spec"]["dnsPolicy"], "ClusterFirst");
    assert!(cron["spec"]["jobTemplate"]["spec"].get("backoffLimit").is_none());
}

#[test]
fn services_are_filled_by_type() {
    let service = |spec: Value| defaulted("", "Service", json!({"spec": spec}))["spec"].clone();
    assert_eq!(
        service(json!({"ports": [{"port": 80}, {"port": 81, "targetPort": "web"}]})),
        json!({
            "type": "ClusterIP",
            "sessionAffinity": "None",
            "internalTrafficPolicy": "Cluster",
            "ports": [
                {"port": 80, "targetPort": 80, "protocol": "TCP"},
                {"port": 81, "targetPort": "web", "protocol": "TCP"},
            ],
        })
    );
    let balanced = service(json!({"type": "LoadBalancer", "sessionAffinity": "ClientIP"}));
    assert_eq!(balanced["externalTrafficPolicy"], "Cluster");
    assert_eq!(balanced["allocateLoadBalancerNodePorts"], true);
    assert_eq!(balanced["sessionAffinityConfig"]["clientIP"]["timeoutSeconds"], 10_800);
    let name = service(json!({"type": "ExternalName", "externalName": "x.y"}));
    assert!(name.get("internalTrafficPolicy").is_none());
    let dual = service(json!({"ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv6"]}));
    assert_eq!(dual["ipFamilies"], json!(["IPv6", "IPv4"]));
}

#[test]
fn secrets_fold_string_data_into_data() {
    let secret = defaulted(
        "",
        "Secret",
        json!({"data": {"a": "b2xk", "b": "Yg=="}, "stringData": {"a": "new", "c": ""}}),
    );
    assert_eq!(secret, json!({"type": "Opaque", "data": {"a": "bmV3", "b": "Yg==", "c": ""}}));
}

#[test]
fn policies_storage_and_scaling_are_filled() {
    let policy = |spec: Value| defaulted("networking.k8s.io", "NetworkPolicy", json!({"spec": spec}));
    assert_eq!(policy(json!({}))["spec"]["policyTypes"], json!(["Ingress"]));
    let both = policy(json!({"podSelector": {}, "egress": [{"ports": [{"port": 1}]}]}));
    assert_eq!(both["spec"]["policyTypes"], json!(["Ingress", "Egress"]));
    assert_eq!(both["spec"]["egress"][0]["ports"][0]["protocol"], "TCP");

    let claim = defaulted(
        "",
        "PersistentVolumeClaim",
        json!({"spec": {"resources": {"requests": {"storage": "1024Mi"}}}}),
    );
    assert_eq!(claim["spec"]["volumeMode"], "Filesystem");
    assert_eq!(claim["spec"]["resources"]["requests"]["storage"], "1Gi");
    let volume = defaulted("", "PersistentVolume", json!({"spec": {}}));
    assert_eq!(volume["spec"]["persistentVolumeReclaimPolicy"], "Retain");
    let class = defaulted("storage.k8s.io", "StorageClass", json!({}));
    assert_eq!(class, json!({"reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"}));

    let scaler = defaulted(
        "autoscaling",
        "HorizontalPodAutoscaler",
        json!({"spec": {"behavior": {"scaleDown": {"selectPolicy": "Min"}}}}),
    );
    assert_eq!(scaler["spec"]["minReplicas"], 1);
    assert_eq!(scaler["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"], 80);
    assert_eq!(scaler["spec"]["behavior"]["scaleDown"]["selectPolicy"], "Min");
    assert_eq!(scaler["spec"]["behavior"]["scaleUp"]["stabilizationWindowSeconds"], 0);

    let binding = defaulted(
        "rbac.authorization.k8s.io",
        "RoleBinding",
        json!({"roleRef": {"kind": "Role", "name": "r"}, "subjects": [{"kind": "User", "name": "u"}, {"kind": "ServiceAccount", "name": "s"}]}),
    );
    assert_eq!(binding["roleRef"]["apiGroup"], "rbac.authorization.k8s.io");
    assert_eq!(binding["subjects"][0]["apiGroup"], "rbac.authorization.k8s.io");
    assert!(binding["subjects"][1].get("apiGroup").is_none());

    let range = defaulted(
        "",
        "LimitRange",
        json!({"spec": {"limits": [{"type": "Container", "max": {"cpu": "2000m"}, "min": {"memory": "1Mi"}}]}}),
    );
    assert_eq!(range["spec"]["limits"][0]["default"], json!({"cpu": "2"}));
    assert_eq!(range["spec"]["limits"][0]["defaultRequest"], json!({"cpu": "2", "memory": "1Mi"}));

    let class = defaulted("scheduling.k8s.io", "PriorityClass", json!({"value": 1}));
    assert_eq!(class["preemptionPolicy"], "PreemptLowerPriority");
    let slice = defaulted("discovery.k8s.io", "EndpointSlice", json!({"ports": [{"port": 1}]}));
    assert_eq!(slice["ports"][0], json!({"name": "", "port": 1, "protocol": "TCP"}));
}

#[test]
fn custom_resource_definitions_are_filled() {
    let definition = defaulted(
        "apiextensions.k8s.io",
        "CustomResourceDefinition",
        json!({"spec": {"names": {"plural": "widgets", "kind": "Widget"},
                        "versions": [{"name": "v1", "storage": true, "schema": {"openAPIV3Schema": {"default": null}}}]}}),
    );
    assert_eq!(definition["spec"]["names"]["singular"], "widget");
    assert_eq!(definition["spec"]["names"]["listKind"], "WidgetList");
    assert_eq!(definition["spec"]["conversion"], json!({"strategy": "None"}));
    assert_eq!(definition["status"]["storedVersions"], json!(["v1"]));
    assert!(definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["default"].is_null());
}

#[test]
fn nulls_go_and_custom_resources_are_left_alone() {
    let map = defaulted(
        "",
        "ConfigMap",
        json!({"metadata": {"creationTimestamp": null, "labels": {"a": null}}, "data": {"k": null}}),
    );
    assert_eq!(map, json!({"metadata": {"labels": {"a": ""}}, "data": {"k": ""}}));
    let own = json!({"spec": {"a": null}});
    assert_eq!(defaulted("example.com", "Deployment", own.clone()), own);
}

#[test]
fn wrong_types_are_left_for_the_decoder_to_refuse() {
    for spec in [json!("x"), json!([1]), json!({"containers": {"a": 1}, "template": 3, "ports": "x"})] {
        for (group, kind) in [("", "Pod"), ("apps", "Deployment"), ("", "Service"), ("batch", "Job")] {
            let _ = defaulted(group, kind, json!({"spec": spec}));
        }
    }
}

#[test]
fn webhooks_and_policies_are_filled() {
    let group = "admissionregistration.k8s.io";
    let hooks = json!({"webhooks": [{"rules": [{}], "clientConfig": {"service": {}}}]});
    let hook = defaulted(group, "MutatingWebhookConfiguration", hooks)["webhooks"][0].clone();
    assert_eq!(
        hook,
        json!({"failurePolicy": "Fail", "matchPolicy": "Equivalent", "namespaceSelector": {}, "objectSelector": {},
               "timeoutSeconds": 10, "reinvocationPolicy": "Never", "rules": [{"scope": "*"}],
               "clientConfig": {"service": {"port": 443}}})
    );
    let policy = json!({"spec": {"matchConstraints": {"resourceRules": [{}]}}});
    let spec = defaulted(group, "ValidatingAdmissionPolicy", policy)["spec"].clone();
    assert_eq!(spec["failurePolicy"], "Fail");
    assert_eq!(
        spec["matchConstraints"],
        json!({"matchPolicy": "Equivalent", "namespaceSelector": {}, "objectSelector": {},
               "resourceRules": [{"scope": "*"}]})
    );
}

#[test]
fn a_node_says_its_network_in_both_fields() {
    let one = defaulted("", "Node", json!({"spec": {"podCIDR": "10.1.0.0/24"}}));
    assert_eq!(one["spec"]["podCIDRs"], json!(["10.1.0.0/24"]));
    let more = defaulted("", "Node", json!({"spec": {"podCIDRs": ["10.1.0.0/24", "fd00::/64"]}}));
    assert_eq!(more["spec"]["podCIDR"], "10.1.0.0/24");
}

#[test]
fn a_pod_with_limits_as_a_whole_asks_for_what_its_containers_ask_for() {
    let spec = pod(json!({
        "resources": {"limits": {"cpu": "2", "memory": "1Gi"}},
        "containers": [{"resources": {"requests": {"cpu": "300m"}}}, {"resources": {"requests": {"cpu": "200m"}}}],
    }));
    assert_eq!(spec["resources"]["requests"], json!({"cpu": "500m", "memory": "1Gi"}));
    let pages = pod(json!({
        "resources": {"requests": {"cpu": "1"}},
        "containers": [{"resources": {"limits": {"hugepages-2Mi": "4Mi", "cpu": "1"}}}],
    }));
    assert_eq!(
        pages["resources"],
        json!({"limits": {"hugepages-2Mi": "4Mi"}, "requests": {"cpu": "1", "hugepages-2Mi": "4Mi"}})
    );
    let without = pod(
        json!({"resources": {"requests": {"cpu": "1"}}, "containers": [{"resources": {"requests": {"memory": "1Gi"}}}]}),
    );
    assert_eq!(without["resources"], json!({"requests": {"cpu": "1"}}));
}
