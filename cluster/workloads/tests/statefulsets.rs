//! StatefulSets and their volumes on a running API with a node.
#![allow(clippy::unwrap_used)]

#[path = "cluster/mod.rs"]
#[allow(dead_code)]
mod cluster;

use cluster::Cluster;
use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use kube::ResourceExt;
use kube::api::Api;
use serde_json::{Value, json};

fn db(replicas: i32) -> Value {
    json!({"metadata": {"name": "db"}, "spec": {
        "replicas": replicas, "serviceName": "db", "selector": {"matchLabels": {"app": "db"}},
        "template": {"metadata": {"labels": {"app": "db"}},
                     "spec": {"containers": [{"name": "db", "image": "db:1"}]}},
        "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}]}})
}

/// What `kubectl rollout status` waits for.
fn is_rolled_out(set: &StatefulSet) -> bool {
    let status = set.status.clone().unwrap_or_default();
    let wanted = set.spec.replicas.unwrap_or(1);
    status.observed_generation == set.metadata.generation
        && status.ready_replicas.unwrap_or(0) == wanted
        && status.replicas == wanted
        && status.updated_replicas.unwrap_or(0) == wanted
        && status.current_revision == status.update_revision
}

async fn rolled_out(cluster: &Cluster) -> StatefulSet {
    cluster.until_object("db", "the rollout", is_rolled_out).await
}

async fn pods(cluster: &Cluster) -> Vec<(String, String)> {
    let facts = |p: Pod| (p.name_any(), p.spec.unwrap().containers[0].image.clone().unwrap());
    cluster.list::<Pod>().await.into_iter().map(facts).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stateful_set_keeps_names_and_volumes_over_updates_and_scaling() {
    let cluster = Cluster::start().await;
    cluster.create::<StatefulSet>(db(3)).await;
    let first = rolled_out(&cluster).await;
    let expected = |image: &str| -> Vec<(String, String)> {
        (0..3).map(|n| (format!("db-{n}"), image.to_owned())).collect()
    };
    assert_eq!(pods(&cluster).await, expected("db:1"));
    let claims = cluster.list::<PersistentVolumeClaim>().await;
    let bound = |c: &PersistentVolumeClaim| {
        let (spec, status) = (c.spec.clone().unwrap(), c.status.clone().unwrap());
        (c.name_any(), status.phase.unwrap(), spec.storage_class_name.unwrap(), spec.volume_name.unwrap())
    };
    let facts: Vec<_> = claims.iter().map(bound).collect();
    assert_eq!(facts.len(), 3);
    for (n, (name, phase, class, volume)) in facts.iter().enumerate() {
        assert_eq!(
            (name.as_str(), phase.as_str(), class.as_str()),
            (&*format!("data-db-{n}"), "Bound", "local")
        );
        assert!(volume.starts_with("pvc-"));
    }

    let change = json!({"spec": {"template": {"spec": {"containers": [{"name": "db", "image": "db:2"}]}}}});
    cluster.patch::<StatefulSet>("db", change).await;
    let second = rolled_out(&cluster).await;
    assert_eq!(pods(&cluster).await, expected("db:2"));
    assert_ne!(first.status.unwrap().update_revision, second.status.unwrap().update_revision);

    // Back again: the first revision becomes the newest.
    let template = serde_json::to_value(&first.spec.template).unwrap();
    cluster.patch::<StatefulSet>("db", json!({"spec": {"template": template}})).await;
    rolled_out(&cluster).await;
    let mut numbers: Vec<_> =
        cluster.list::<ControllerRevision>().await.into_iter().map(|r| r.revision.unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [2, 3]);

    cluster.patch::<StatefulSet>("db", json!({"spec": {"replicas": 1}})).await;
    rolled_out(&cluster).await;
    cluster.patch::<StatefulSet>("db", json!({"spec": {"replicas": 3}})).await;
    rolled_out(&cluster).await;
    let after: Vec<_> = cluster.list::<PersistentVolumeClaim>().await.iter().map(bound).collect();
    assert_eq!(after, facts, "the claims are the same ones");

    // The data outlives the set, and goes with the claim.
    cluster.delete::<StatefulSet>("db").await;
    cluster.until("the pods' end", || async { cluster.list::<Pod>().await.is_empty().then_some(()) }).await;
    assert_eq!(cluster.list::<PersistentVolumeClaim>().await.len(), 3);
    let volumes: Api<PersistentVolume> = Api::all(cluster.client.clone());
    assert_eq!(volumes.list(&Default::default()).await.unwrap().items.len(), 3);
    for n in 0..3 {
        cluster.delete::<PersistentVolumeClaim>(&format!("data-db-{n}")).await;
    }
    cluster
        .until("the volumes' end", || async {
            volumes.list(&Default::default()).await.unwrap().items.is_empty().then_some(())
        })
        .await;
    drop(volumes);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_are_deleted_when_the_set_is_smaller_or_gone_if_asked_so() {
    let cluster = Cluster::start().await;
    let mut set = db(3);
    set["spec"]["persistentVolumeClaimRetentionPolicy"] =
        json!({"whenDeleted": "Retain", "whenScaled": "Delete"});
    cluster.create::<StatefulSet>(set).await;
    rolled_out(&cluster).await;
    let claims = || async {
        let all = cluster.list::<PersistentVolumeClaim>().await;
        all.iter().map(ResourceExt::name_any).collect::<Vec<_>>()
    };
    let until = |expected: &'static [&'static str]| {
        cluster.until("the claims", move || async move { (claims().await == expected).then_some(()) })
    };
    cluster.patch::<StatefulSet>("db", json!({"spec": {"replicas": 1}})).await;
    until(&["data-db-0"]).await;
    cluster.patch::<StatefulSet>("db", json!({"spec": {"replicas": 2}})).await;
    rolled_out(&cluster).await;
    until(&["data-db-0", "data-db-1"]).await;

    // Changed for a set that has claims already.
    let policy = json!({"whenDeleted": "Delete", "whenScaled": "Retain"});
    let change = json!({"spec": {"replicas": 1, "persistentVolumeClaimRetentionPolicy": policy}});
    cluster.patch::<StatefulSet>("db", change).await;
    rolled_out(&cluster).await;
    until(&["data-db-0", "data-db-1"]).await;
    cluster.delete::<StatefulSet>("db").await;
    until(&[]).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_a_pod_uses_stays_until_the_pod_is_gone() {
    let cluster = Cluster::start().await;
    cluster
        .create::<PersistentVolumeClaim>(json!({"metadata": {"name": "data"}, "spec": {
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}))
        .await;
    cluster
        .create::<Pod>(json!({"metadata": {"name": "user"}, "spec": {
            "containers": [{"name": "c", "image": "web:1"}],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}},
                        {"name": "own", "ephemeral": {"volumeClaimTemplate": {"spec": {
                            "accessModes": ["ReadWriteOnce"],
                            "resources": {"requests": {"storage": "1Gi"}}}}}}]}}))
        .await;
    cluster
        .until_object::<Pod>("user", "its start", |p| {
            p.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Running")
        })
        .await;
    let names = |claims: Vec<PersistentVolumeClaim>| -> Vec<String> {
        claims.iter().map(ResourceExt::name_any).collect()
    };
    assert_eq!(names(cluster.list().await), ["data", "user-own"]);
    cluster.delete::<PersistentVolumeClaim>("data").await;
    cluster
        .until_object::<PersistentVolumeClaim>("data", "its last hour", |c| {
            c.metadata.deletion_timestamp.is_some()
        })
        .await;
    cluster.delete::<Pod>("user").await;
    cluster
        .until("the end of the claims", || async {
            cluster.list::<PersistentVolumeClaim>().await.is_empty().then_some(())
        })
        .await;
    cluster.stop().await;
}
