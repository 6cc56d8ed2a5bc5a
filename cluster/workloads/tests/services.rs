//! Services on a running API with a node.
#![allow(clippy::unwrap_used)]

#[path = "cluster/mod.rs"]
#[allow(dead_code)]
mod cluster;

use cluster::Cluster;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Endpoints, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::ResourceExt;
use serde_json::json;

/// Addresses that are ready, in all slices of the Service `web`.
async fn ready(cluster: &Cluster) -> Option<usize> {
    let slices = cluster.list::<EndpointSlice>().await;
    let mine: Vec<_> = slices.iter().filter(|s| s.labels()["kubernetes.io/service-name"] == "web").collect();
    let is_ready = |e: &&k8s_openapi::api::discovery::v1::Endpoint| {
        e.conditions.as_ref().and_then(|c| c.ready) == Some(true)
    };
    (mine.len() == 1).then(|| mine[0].endpoints.iter().flatten().filter(is_ready).count())
}

async fn until_ready(cluster: &Cluster, count: usize) {
    cluster.until("ready addresses", || async { ready(cluster).await.filter(|n| *n == count) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_has_the_addresses_of_its_ready_pods() {
    let cluster = Cluster::start().await;
    cluster
        .create::<Service>(json!({"metadata": {"name": "web"}, "spec": {
            "selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http"}]}}))
        .await;
    until_ready(&cluster, 0).await;
    cluster
        .create::<Deployment>(json!({"metadata": {"name": "web"}, "spec": {
            "replicas": 3, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [
                {"name": "web", "image": "web:1", "ports": [{"name": "http", "containerPort": 8080}]}]}}}}))
        .await;
    until_ready(&cluster, 3).await;
    let slice = cluster.list::<EndpointSlice>().await.remove(0);
    assert_eq!(slice.ports.as_ref().unwrap()[0].port, Some(8080));
    cluster
        .until("the same as Endpoints", || async {
            let all = cluster.list::<Endpoints>().await;
            let subset = all.iter().find(|e| e.name_any() == "web")?.subsets.as_ref()?.first()?.clone();
            let ports = subset.ports.unwrap_or_default();
            (subset.addresses.unwrap_or_default().len() == 3 && ports[0].port == 8080).then_some(())
        })
        .await;

    // A pod that no longer has the label is out; its replacement is in.
    let pod = cluster.list::<Pod>().await.remove(0);
    cluster.patch::<Pod>(&pod.name_any(), json!({"metadata": {"labels": {"app": "debug"}}})).await;
    cluster
        .until("the replacement", || async {
            let slice = cluster.list::<EndpointSlice>().await.remove(0);
            let names: Vec<_> =
                slice.endpoints.iter().flatten().filter_map(|e| e.target_ref.clone()?.name).collect();
            (names.len() == 3 && !names.contains(&pod.name_any())).then_some(())
        })
        .await;

    // A slice that somebody deletes comes back.
    cluster.delete::<EndpointSlice>(&slice.name_any()).await;
    until_ready(&cluster, 3).await;
    cluster.patch::<Deployment>("web", json!({"spec": {"replicas": 0}})).await;
    until_ready(&cluster, 0).await;
    cluster.delete::<Service>("web").await;
    cluster
        .until("the end of the slice", || async {
            let endpoints = cluster.list::<Endpoints>().await.iter().any(|e| e.name_any() == "web");
            (cluster.list::<EndpointSlice>().await.is_empty() && !endpoints).then_some(())
        })
        .await;
    cluster.stop().await;
}
