//! Quotas, limits and Pod Security.

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::json;

use crate::support::*;

#[tokio::test]
async fn a_quota_is_never_exceeded_also_by_writers_at_the_same_time() {
    let server = start().await;
    account(&server, "default").await;
    let quotas = dynamic(server.admin(), "default", "", "v1", "ResourceQuota");
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"},
                       "spec": {"hard": {"pods": "3", "count/deployments.apps": "0"}}});
    make(&quotas, quota).await.unwrap();
    let pods = dynamic(server.admin(), "default", "", "v1", "Pod");
    let made = futures::future::join_all((0..10).map(|n| {
        let pods = pods.clone();
        async move { make(&pods, pod(&format!("p{n}"))).await }
    }))
    .await;
    assert_eq!(made.iter().filter(|m| m.is_ok()).count(), 3);
    let refused = made.into_iter().find_map(Result::err).unwrap().to_string();
    assert!(
        refused.contains("exceeded quota: q, requested: pods=1, used: pods=3, limited: pods=3"),
        "{refused}"
    );
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    while quotas.get("q").await.unwrap().data["status"]["used"]["pods"] != "3" {
        assert!(tokio::time::Instant::now() < deadline, "the status does not follow");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_limit_range_fills_in_and_bounds() {
    let server = start().await;
    account(&server, "default").await;
    let ranges = dynamic(server.admin(), "default", "", "v1", "LimitRange");
    let range = json!({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "r"}, "spec": {"limits": [
        {"type": "Container", "default": {"memory": "64Mi"}, "max": {"memory": "128Mi"}}]}});
    make(&ranges, range).await.unwrap();
    let pods = dynamic(server.admin(), "default", "", "v1", "Pod");
    let made = make(&pods, pod("a")).await.unwrap();
    let resources = &made.data["spec"]["containers"][0]["resources"];
    assert_eq!(*resources, json!({"limits": {"memory": "64Mi"}, "requests": {"memory": "64Mi"}}));
    let mut large = pod("b");
    large["spec"]["containers"][0]["resources"] = json!({"limits": {"memory": "1Gi"}});
    let refused = make(&pods, large).await.unwrap_err().to_string();
    assert!(refused.contains("maximum memory usage per Container is 128Mi, but limit is 1Gi"), "{refused}");
}

#[tokio::test]
async fn a_namespace_can_ask_for_pod_security() {
    let server = start().await;
    let namespaces: Api<Namespace> = Api::all(server.admin());
    let labels = json!({"pod-security.kubernetes.io/enforce": "restricted"});
    let shop = json!({"metadata": {"name": "shop", "labels": labels}});
    namespaces.create(&PostParams::default(), &serde_json::from_value(shop).unwrap()).await.unwrap();
    account(&server, "shop").await;
    let pods = dynamic(server.admin(), "shop", "", "v1", "Pod");
    let refused = make(&pods, pod("a")).await.unwrap_err();
    assert_eq!(code(&refused), (403, "Forbidden".into()));
    assert!(
        refused
            .to_string()
            .contains("violates PodSecurity \"restricted:latest\": allowPrivilegeEscalation != false")
    );
}

#[tokio::test]
async fn pod_security_holds_for_ephemeral_containers_too() {
    let server = start().await;
    let namespaces: Api<Namespace> = Api::all(server.admin());
    let labels = json!({"pod-security.kubernetes.io/enforce": "baseline"});
    let shop = json!({"metadata": {"name": "shop", "labels": labels}});
    namespaces.create(&PostParams::default(), &serde_json::from_value(shop).unwrap()).await.unwrap();
    account(&server, "shop").await;
    let pods = dynamic(server.admin(), "shop", "", "v1", "Pod");
    make(&pods, pod("p")).await.unwrap();
    let body = json!({"spec": {"ephemeralContainers": [
        {"name": "d", "image": "busybox", "securityContext": {"privileged": true}}]}});
    let (params, body) = (PatchParams::default(), Patch::Strategic(body));
    let refused = pods.patch_subresource("ephemeralcontainers", "p", &params, &body).await.unwrap_err();
    assert_eq!(code(&refused), (403, "Forbidden".into()));
}

#[tokio::test]
async fn a_quota_counts_the_priority_classes_that_it_selects() {
    let server = start().await;
    account(&server, "default").await;
    let admin = server.admin();
    let class = json!({"metadata": {"name": "high"}, "value": 1000});
    done(&admin, "POST", "/apis/scheduling.k8s.io/v1/priorityclasses", class).await;
    let quota = json!({"metadata": {"name": "few-high"}, "spec": {"hard": {"pods": "1"}, "scopeSelector":
        {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}]}}});
    done(&admin, "POST", "/api/v1/namespaces/default/resourcequotas", quota).await;
    let pods = "/api/v1/namespaces/default/pods";
    for name in ["a", "b"] {
        done(&admin, "POST", pods, pod(name)).await;
    }
    let high = |name: &str| {
        let mut pod = pod(name);
        pod["spec"]["priorityClassName"] = "high".into();
        pod
    };
    done(&admin, "POST", pods, high("c")).await;
    let (code, _, answer) = ask(&admin, "POST", pods, high("d")).await;
    assert_eq!(code, 403, "{answer}");
}

#[tokio::test]
async fn pod_security_looks_at_new_images_and_warns_of_all_that_makes_pods() {
    let server = start().await;
    let admin = server.admin();
    done(&admin, "POST", "/api/v1/namespaces", json!({"metadata": {"name": "shop"}})).await;
    account(&server, "shop").await;
    done(&admin, "POST", "/api/v1/namespaces/shop/pods", pod("p")).await;
    let labels = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted",
        "pod-security.kubernetes.io/warn": "restricted"}}});
    done(&admin, "PATCH", "/api/v1/namespaces/shop", labels).await;
    let path = "/api/v1/namespaces/shop/pods/p";
    done(&admin, "PATCH", path, json!({"metadata": {"labels": {"a": "b"}}})).await;
    let image = json!({"spec": {"containers": [{"name": "c", "image": "other"}]}});
    let media_type_merge = ask(&admin, "PATCH", path, image).await;
    assert_eq!(media_type_merge.0, 403, "{media_type_merge:?}");
    let template = &pod("x")["spec"];
    let cron = json!({"metadata": {"name": "c"}, "spec": {"schedule": "* * * * *", "jobTemplate":
        {"spec": {"template": {"spec": {"restartPolicy": "Never", "containers": template["containers"]}}}}}});
    let (code, warnings, _) =
        ask(&admin, "POST", "/apis/batch/v1/namespaces/shop/cronjobs", cron.clone()).await;
    assert_eq!(code, 201);
    assert!(warnings.iter().any(|w| w.contains("would violate PodSecurity")), "{warnings:?}");
    // Also where it is replaced.
    let (code, warnings, _) = ask(&admin, "PUT", "/apis/batch/v1/namespaces/shop/cronjobs/c", cron).await;
    assert_eq!(code, 200);
    assert!(warnings.iter().any(|w| w.contains("would violate PodSecurity")), "{warnings:?}");
}
