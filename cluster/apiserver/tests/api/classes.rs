//! What admission does about classes and ports: the default ones, the ones that are not there, growth of claims.

use serde_json::{Value, json};

use crate::support::*;

const CLAIMS: &str = "/api/v1/namespaces/default/persistentvolumeclaims";
const CLASSES: &str = "/apis/storage.k8s.io/v1/storageclasses";

fn class(name: &str, default: bool, grows: bool) -> Value {
    let default = default.to_string();
    json!({"metadata": {"name": name, "annotations": {"storageclass.kubernetes.io/is-default-class": default}},
        "provisioner": "example.com/none", "allowVolumeExpansion": grows})
}

fn claim(name: &str) -> Value {
    json!({"metadata": {"name": name},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}})
}

#[tokio::test]
async fn claims_and_ingresses_that_name_no_class_get_the_default_one() {
    let server = start().await;
    let admin = server.admin();
    let made = done(&admin, "POST", CLAIMS, claim("early")).await;
    assert!(made["spec"]["storageClassName"].is_null());
    done(&admin, "POST", CLASSES, class("other", false, false)).await;
    done(&admin, "POST", CLASSES, class("usual", true, false)).await;
    assert_eq!(done(&admin, "POST", CLAIMS, claim("usual")).await["spec"]["storageClassName"], "usual");
    let mut none = claim("none");
    none["spec"]["storageClassName"] = "".into();
    assert_eq!(done(&admin, "POST", CLAIMS, none).await["spec"]["storageClassName"], "");

    let ingresses = "/apis/networking.k8s.io/v1/namespaces/default/ingresses";
    let ingress = |name: &str| {
        json!({"metadata": {"name": name},
            "spec": {"defaultBackend": {"service": {"name": "s", "port": {"number": 80}}}}})
    };
    assert!(done(&admin, "POST", ingresses, ingress("early")).await["spec"]["ingressClassName"].is_null());
    let class = json!({"metadata": {"name": "web",
        "annotations": {"ingressclass.kubernetes.io/is-default-class": "true"}}, "spec": {"controller": "example.com/x"}});
    done(&admin, "POST", "/apis/networking.k8s.io/v1/ingressclasses", class).await;
    assert_eq!(done(&admin, "POST", ingresses, ingress("usual")).await["spec"]["ingressClassName"], "web");
    let mut old = ingress("old");
    old["metadata"]["annotations"] = json!({"kubernetes.io/ingress.class": "x"});
    assert!(done(&admin, "POST", ingresses, old).await["spec"]["ingressClassName"].is_null());
}

#[tokio::test]
async fn a_claim_grows_when_it_is_bound_and_its_class_lets_it() {
    let server = start().await;
    let admin = server.admin();
    done(&admin, "POST", CLASSES, class("grows", true, true)).await;
    done(&admin, "POST", CLASSES, class("stays", false, false)).await;
    done(&admin, "POST", CLAIMS, claim("grows")).await;
    let mut stays = claim("stays");
    stays["spec"]["storageClassName"] = "stays".into();
    done(&admin, "POST", CLAIMS, stays).await;
    for name in ["grows", "stays"] {
        let status = json!({"status": {"phase": "Bound", "capacity": {"storage": "1Gi"}}});
        done(&admin, "PATCH", &format!("{CLAIMS}/{name}/status"), status).await;
    }
    let more = json!({"spec": {"resources": {"requests": {"storage": "2Gi"}}}});
    done(&admin, "PATCH", &format!("{CLAIMS}/grows"), more.clone()).await;
    let (code, _, answer) = ask(&admin, "PATCH", &format!("{CLAIMS}/stays"), more).await;
    assert_eq!((code, &answer["reason"]), (403, &json!("Forbidden")), "{answer}");
    assert!(answer["message"].as_str().unwrap().contains("must support resize"), "{answer}");
    done(&admin, "PATCH", &format!("{CLAIMS}/stays"), json!({"metadata": {"labels": {"a": "b"}}})).await;
}

#[tokio::test]
async fn a_pod_needs_the_runtime_class_that_it_names_and_gets_what_it_adds() {
    let server = start().await;
    let admin = server.admin();
    account(&server, "default").await;
    let pods = "/api/v1/namespaces/default/pods?dryRun=All";
    let with = |class: &str| {
        let mut pod = pod("p");
        pod["spec"]["runtimeClassName"] = class.into();
        pod
    };
    let (code, _, answer) = ask(&admin, "POST", pods, with("none")).await;
    assert_eq!(code, 403, "{answer}");
    assert_eq!(answer["message"], "pods \"p\" is forbidden: pod rejected: RuntimeClass \"none\" not found");
    let class = json!({"metadata": {"name": "small"}, "handler": "h", "overhead": {"podFixed": {"cpu": "100m"}},
        "scheduling": {"nodeSelector": {"disk": "fast"}, "tolerations": [{"key": "k", "operator": "Exists"}]}});
    done(&admin, "POST", "/apis/node.k8s.io/v1/runtimeclasses", class).await;
    let made = done(&admin, "POST", pods, with("small")).await;
    assert_eq!(made["spec"]["overhead"], json!({"cpu": "100m"}));
    assert_eq!(made["spec"]["nodeSelector"], json!({"disk": "fast"}));
    let tolerations = made["spec"]["tolerations"].as_array().unwrap();
    assert!(tolerations.contains(&json!({"key": "k", "operator": "Exists"})), "{tolerations:?}");
    for (field, value, why) in [
        ("overhead", json!({"cpu": "1"}), "Pod's Overhead doesn't match RuntimeClass's defined Overhead"),
        (
            "nodeSelector",
            json!({"disk": "slow"}),
            "conflict: runtimeClass.scheduling.nodeSelector[disk] = fast",
        ),
    ] {
        let mut pod = with("small");
        pod["spec"][field] = value;
        let (code, _, answer) = ask(&admin, "POST", pods, pod).await;
        assert_eq!(code, 403, "{answer}");
        assert!(answer["message"].as_str().unwrap().contains(why), "{answer}");
    }
    let mut alone = pod("p");
    alone["spec"]["overhead"] = json!({"cpu": "1"});
    assert_eq!(ask(&admin, "POST", pods, alone).await.0, 403);
}

#[tokio::test]
async fn a_load_balancer_of_local_traffic_has_a_port_for_its_health() {
    let server = start().await;
    let admin = server.admin();
    let services = "/api/v1/namespaces/default/services";
    let service = |name: &str, health: Value| {
        json!({"metadata": {"name": name}, "spec": {"type": "LoadBalancer", "externalTrafficPolicy": "Local",
            "healthCheckNodePort": health, "ports": [{"port": 80}]}})
    };
    let port = |service: &Value| service["spec"]["healthCheckNodePort"].as_i64();
    let one = done(&admin, "POST", services, service("one", json!(null))).await;
    let first = port(&one).unwrap();
    assert!((30_000..=32_767).contains(&first) && one["spec"]["ports"][0]["nodePort"] != first);
    let two = done(&admin, "POST", services, service("two", json!(null))).await;
    assert_ne!(port(&two), Some(first));
    assert_ne!(two["spec"]["ports"][0]["nodePort"], first);
    let (code, _, answer) = ask(&admin, "POST", services, service("three", first.into())).await;
    assert_eq!(code, 500, "{answer}");
    assert!(answer["message"].as_str().unwrap().contains("provided port is already allocated"), "{answer}");
    let (code, _, answer) = ask(&admin, "POST", services, service("three", 8080.into())).await;
    assert_eq!(code, 500, "{answer}");
    assert!(answer["message"].as_str().unwrap().contains("30000-32767"), "{answer}");
    // An update that does not say it keeps it; without its reason it goes.
    let path = format!("{services}/one");
    let kept = done(&admin, "PATCH", &path, json!({"spec": {"healthCheckNodePort": null}})).await;
    assert_eq!(port(&kept), Some(first));
    let gone = done(&admin, "PATCH", &path, json!({"spec": {"externalTrafficPolicy": "Cluster"}})).await;
    assert_eq!(port(&gone), None);
}
