//! Deployments on a running API with a node.
#![allow(clippy::unwrap_used)]

#[path = "cluster/mod.rs"]
#[allow(dead_code)]
mod cluster;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cluster::{Cluster, Gate};
use futures::StreamExt;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, PostParams};
use serde_json::{Value, json};

fn web(replicas: i32) -> Value {
    json!({"metadata": {"name": "web"}, "spec": {
        "replicas": replicas, "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}},
                     "spec": {"containers": [{"name": "web", "image": "web:1"}]}}}})
}

fn image(image: &str) -> Value {
    json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "image": image}]}}}})
}

/// What `kubectl rollout status` waits for.
fn is_rolled_out(deployment: &Deployment) -> bool {
    let (wanted, status) = (deployment.spec.replicas, deployment.status.clone().unwrap_or_default());
    let counted = |n: Option<i32>| Some(n.unwrap_or(0)) == wanted;
    status.observed_generation == deployment.metadata.generation
        && counted(status.updated_replicas)
        && counted(status.replicas)
        && counted(status.available_replicas)
}

async fn rolled_out(cluster: &Cluster) -> Deployment {
    cluster.until_object("web", "the rollout", is_rolled_out).await
}

async fn images(cluster: &Cluster) -> BTreeSet<String> {
    let pods = cluster.list::<Pod>().await;
    pods.into_iter().filter_map(|p| p.spec?.containers[0].image.clone()).collect()
}

fn is_ready(pod: &Pod) -> bool {
    pod.status
        .iter()
        .flat_map(|s| s.conditions.iter().flatten())
        .any(|c| c.type_ == "Ready" && c.status == "True")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_becomes_available_scales_and_goes_with_all_it_made() {
    let cluster = Cluster::start().await;
    cluster.create::<Deployment>(web(3)).await;
    let deployment = rolled_out(&cluster).await;
    assert_eq!(deployment.annotations()["deployment.kubernetes.io/revision"], "1");
    let pods = cluster.list::<Pod>().await;
    assert_eq!(pods.len(), 3);
    for pod in &pods {
        assert!(pod.labels().contains_key("pod-template-hash"));
        assert_eq!(pod.spec.as_ref().unwrap().node_name.as_deref(), Some("here"));
    }

    for size in [5, 1] {
        cluster.patch::<Deployment>("web", json!({"spec": {"replicas": size}})).await;
        rolled_out(&cluster).await;
    }
    cluster.until("one pod", || async { (cluster.list::<Pod>().await.len() == 1).then_some(()) }).await;

    // A pod that somebody deletes is replaced.
    let victim = cluster.list::<Pod>().await.remove(0);
    cluster.delete::<Pod>(&victim.name_any()).await;
    cluster
        .until("another pod", || async {
            let pods = cluster.list::<Pod>().await;
            (pods.len() == 1 && pods[0].uid() != victim.uid() && is_ready(&pods[0])).then_some(())
        })
        .await;

    let messages = cluster
        .until("the events", || async {
            let events = cluster.list::<Event>().await;
            let found: Vec<_> = events.into_iter().map(|e| (e.reason.unwrap(), e.message.unwrap())).collect();
            found.iter().any(|(_, m)| m.ends_with(" from 5 to 1")).then_some(found)
        })
        .await;
    let said = |reason: &str, part: &str| messages.iter().any(|(r, m)| r == reason && m.contains(part));
    assert!(said("Scheduled", "Successfully assigned shop/web-"), "{messages:#?}");
    assert!(said("SuccessfulCreate", "Created pod: web-"), "{messages:#?}");
    assert!(said("ScalingReplicaSet", "from 0 to 3"), "{messages:#?}");

    cluster.delete::<Deployment>("web").await;
    cluster
        .until("the end of everything", || async {
            let left = cluster.list::<Pod>().await.len() + cluster.list::<ReplicaSet>().await.len();
            (left == 0).then_some(())
        })
        .await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_update_is_never_below_availability_nor_above_surge() {
    let cluster = Cluster::start().await;
    let mut wanted = web(4);
    wanted["spec"]["strategy"] = json!({"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}});
    cluster.create::<Deployment>(wanted).await;
    rolled_out(&cluster).await;

    // Every change of a pod is looked at, in order.
    let over = Arc::new(AtomicBool::new(false));
    let watching = {
        let (api, over) = (cluster.api::<Pod>(), over.clone());
        let list = api.list(&Default::default()).await.unwrap();
        let mut events = api
            .watch(&Default::default(), list.metadata.resource_version.as_deref().unwrap())
            .await
            .unwrap()
            .boxed();
        let mut pods: std::collections::HashMap<String, Pod> =
            list.items.into_iter().map(|p| (p.name_any(), p)).collect();
        tokio::spawn(async move {
            let mut extremes = (usize::MAX, 0);
            while !over.load(Ordering::Relaxed) {
                let next = tokio::time::timeout(std::time::Duration::from_millis(100), events.next()).await;
                match next {
                    Ok(Some(Ok(
                        kube::core::WatchEvent::Added(pod) | kube::core::WatchEvent::Modified(pod),
                    ))) => {
                        pods.insert(pod.name_any(), pod);
                    }
                    Ok(Some(Ok(kube::core::WatchEvent::Deleted(pod)))) => {
                        pods.remove(&pod.name_any());
                    }
                    _ => {}
                }
                let stays = |p: &&Pod| p.metadata.deletion_timestamp.is_none();
                let ready = pods.values().filter(stays).filter(|p| is_ready(p)).count();
                let all = pods.values().filter(stays).count();
                extremes = (extremes.0.min(ready), extremes.1.max(all));
            }
            extremes
        })
    };
    for version in 2..5 {
        cluster.patch::<Deployment>("web", image(&format!("web:{version}"))).await;
        rolled_out(&cluster).await;
    }
    over.store(true, Ordering::Relaxed);
    assert_eq!(watching.await.unwrap(), (4, 5));
    cluster
        .until("the last image alone", || async {
            (images(&cluster).await == BTreeSet::from(["web:4".to_owned()])).then_some(())
        })
        .await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_image_leaves_the_old_pods_and_going_back_heals() {
    let cluster = Cluster::start().await;
    cluster.create::<Deployment>(web(4)).await;
    let first = rolled_out(&cluster).await;
    cluster.patch::<Deployment>("web", image("web:broken")).await;
    cluster
        .until_object::<Deployment>("web", "the new pods", |d| {
            d.status
                .as_ref()
                .is_some_and(|s| s.updated_replicas == Some(2) && s.available_replicas == Some(3))
        })
        .await;
    // What `kubectl rollout undo` does: the template of the old set, without its hash.
    let sets = cluster.list::<ReplicaSet>().await;
    let old = sets.iter().find(|s| s.annotations()["deployment.kubernetes.io/revision"] == "1").unwrap();
    let mut template = serde_json::to_value(&old.spec.template).unwrap();
    template["metadata"]["labels"].as_object_mut().unwrap().remove("pod-template-hash");
    cluster.patch::<Deployment>("web", json!({"spec": {"template": template}})).await;
    let healed = rolled_out(&cluster).await;
    assert_eq!(healed.spec.template, first.spec.template);
    assert_eq!(healed.annotations()["deployment.kubernetes.io/revision"], "3");
    let sets = cluster.list::<ReplicaSet>().await;
    assert_eq!(sets.len(), 2, "the old set is used again");
    let again = sets.iter().find(|s| s.uid() == old.uid()).unwrap();
    assert_eq!(again.annotations()["deployment.kubernetes.io/revision"], "3");
    assert_eq!(again.annotations()["deployment.kubernetes.io/revision-history"], "1");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_deployment_waits_until_it_is_resumed() {
    let cluster = Cluster::start().await;
    cluster.create::<Deployment>(web(2)).await;
    rolled_out(&cluster).await;
    let mut change = image("web:2");
    change["spec"]["paused"] = json!(true);
    change["spec"]["replicas"] = json!(3);
    cluster.patch::<Deployment>("web", change).await;
    cluster
        .until_object::<Deployment>("web", "the pause", |d| {
            let conditions = d.status.iter().flat_map(|s| s.conditions.iter().flatten());
            let paused = conditions.into_iter().any(|c| c.reason.as_deref() == Some("DeploymentPaused"));
            paused && d.status.as_ref().unwrap().available_replicas == Some(3)
        })
        .await;
    assert_eq!(images(&cluster).await, BTreeSet::from(["web:1".to_owned()]));
    cluster.patch::<Deployment>("web", json!({"spec": {"paused": false}})).await;
    rolled_out(&cluster).await;
    cluster
        .until("the new image alone", || async {
            (images(&cluster).await == BTreeSet::from(["web:2".to_owned()])).then_some(())
        })
        .await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orphans_are_adopted_and_what_no_longer_fits_is_released() {
    let cluster = Cluster::start().await;
    let set = json!({"metadata": {"name": "web"}, "spec": {
        "replicas": 2, "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}},
                     "spec": {"containers": [{"name": "web", "image": "web:1"}]}}}});
    cluster
        .create::<Pod>(json!({"metadata": {"name": "orphan", "labels": {"app": "web"}},
        "spec": {"containers": [{"name": "web", "image": "web:0"}]}}))
        .await;
    cluster.create::<ReplicaSet>(set.clone()).await;
    let owned = |pod: &Pod| !pod.owner_references().is_empty();
    cluster.until_object::<Pod>("orphan", "adoption", owned).await;
    cluster
        .until_object::<ReplicaSet>("web", "two pods", |s| {
            s.status.as_ref().is_some_and(|s| s.available_replicas == Some(2))
        })
        .await;
    assert_eq!(cluster.list::<Pod>().await.len(), 2);

    cluster.patch::<Pod>("orphan", json!({"metadata": {"labels": {"app": "debug"}}})).await;
    cluster.until_object::<Pod>("orphan", "release", |p| !owned(p)).await;
    cluster
        .until("its replacement", || async { (cluster.list::<Pod>().await.len() == 3).then_some(()) })
        .await;

    // Deleted without its pods, and made again: it takes them back.
    let orphaning = DeleteParams {
        propagation_policy: Some(kube::api::PropagationPolicy::Orphan),
        ..DeleteParams::default()
    };
    let before: BTreeSet<_> = cluster.list::<Pod>().await.iter().map(ResourceExt::uid).collect();
    let sets: Api<ReplicaSet> = cluster.api();
    sets.delete("web", &orphaning).await.unwrap();
    cluster.until("its end", || async { sets.get_opt("web").await.unwrap().is_none().then_some(()) }).await;
    cluster.create::<ReplicaSet>(set).await;
    cluster
        .until_object::<ReplicaSet>("web", "two pods again", |s| {
            s.status.as_ref().is_some_and(|s| s.available_replicas == Some(2))
        })
        .await;
    let after: BTreeSet<_> = cluster.list::<Pod>().await.iter().map(ResourceExt::uid).collect();
    assert_eq!(before, after);
    drop(sets);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_does_not_fit_waits_with_the_reason_until_there_is_room() {
    let cluster = Cluster::start().await;
    let pod = |name: &str| {
        json!({"metadata": {"name": name}, "spec": {"containers": [
            {"name": "c", "image": "web:1", "resources": {"requests": {"cpu": "3"}}}]}})
    };
    cluster.create::<Pod>(pod("first")).await;
    cluster.until_object::<Pod>("first", "its start", is_ready).await;
    cluster.create::<Pod>(pod("second")).await;
    let message = "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: 0/1 \
                   nodes are available: 1 No preemption victims found for incoming pod.";
    cluster
        .until_object::<Pod>("second", "the reason", |p| {
            p.status.iter().flat_map(|s| s.conditions.iter().flatten()).any(|c| {
                c.type_ == "PodScheduled"
                    && c.status == "False"
                    && c.reason.as_deref() == Some("Unschedulable")
                    && c.message.as_deref() == Some(message)
            })
        })
        .await;
    cluster
        .until("the event", || async {
            let events = cluster.list::<Event>().await;
            events
                .iter()
                .any(|e| {
                    e.reason.as_deref() == Some("FailedScheduling") && e.message.as_deref() == Some(message)
                })
                .then_some(())
        })
        .await;
    cluster.delete::<Pod>("first").await;
    cluster.until_object::<Pod>("second", "its start", is_ready).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_pods_are_made_exactly_once() {
    let cluster = Cluster::start().await;
    let pods: Api<Pod> = cluster.api();
    let list = pods.list(&Default::default()).await.unwrap();
    let mut events = pods
        .watch(&Default::default(), list.metadata.resource_version.as_deref().unwrap())
        .await
        .unwrap()
        .boxed();
    cluster.create::<Deployment>(web(60)).await;
    rolled_out(&cluster).await;
    cluster
        .create::<Deployment>({
            let mut other = web(0);
            other["metadata"]["name"] = json!("marker");
            other["spec"]["selector"]["matchLabels"]["app"] = json!("marker");
            other["spec"]["template"]["metadata"]["labels"]["app"] = json!("marker");
            other["spec"]["replicas"] = json!(1);
            other
        })
        .await;
    let mut made = 0;
    while let Some(Ok(event)) = events.next().await {
        match event {
            kube::core::WatchEvent::Added(pod) if pod.labels()["app"] == "marker" => break,
            kube::core::WatchEvent::Added(_) => made += 1,
            _ => {}
        }
    }
    assert_eq!(made, 60);
    drop((events, pods));
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn controllers_that_come_back_find_everything_as_it_was_and_do_what_was_asked_meanwhile() {
    let mut cluster = Cluster::start().await;
    cluster.create::<Deployment>(web(3)).await;
    rolled_out(&cluster).await;
    let uids = async |cluster: &Cluster| -> BTreeSet<_> {
        cluster.list::<Pod>().await.iter().map(ResourceExt::uid).collect()
    };
    let before = uids(&cluster).await;
    cluster.without_controllers(async |_| ()).await;
    cluster.patch::<Deployment>("web", json!({"spec": {"replicas": 4}})).await;
    rolled_out(&cluster).await;
    let after = uids(&cluster).await;
    assert!(after.is_superset(&before) && after.len() == 4);
    cluster
        .without_controllers(async |cluster| {
            cluster.patch::<Deployment>("web", image("web:2")).await;
            let pod = cluster.list::<Pod>().await.remove(0);
            cluster.delete::<Pod>(&pod.name_any()).await;
        })
        .await;
    rolled_out(&cluster).await;
    cluster
        .until("the new image alone", || async {
            (images(&cluster).await == BTreeSet::from(["web:2".to_owned()])).then_some(())
        })
        .await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_all_is_done_nothing_is_written_any_more() {
    let cluster = Cluster::start().await;
    cluster.create::<Deployment>(web(3)).await;
    rolled_out(&cluster).await;
    cluster.patch::<Deployment>("web", image("web:2")).await;
    rolled_out(&cluster).await;
    cluster
        .until("rest", || async {
            let before = cluster.revision().await;
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
            (cluster.revision().await == before).then_some(())
        })
        .await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_taken_by_somebody_else_is_avoided() {
    let cluster = Cluster::start().await;
    cluster.create::<Deployment>(web(1)).await;
    rolled_out(&cluster).await;
    let name = cluster.list::<ReplicaSet>().await.remove(0).name_any();
    cluster.delete::<Deployment>("web").await;
    let stranger: ReplicaSet = serde_json::from_value(json!({"metadata": {"name": name}, "spec": {
        "replicas": 0, "selector": {"matchLabels": {"app": "stranger"}},
        "template": {"metadata": {"labels": {"app": "stranger"}},
                     "spec": {"containers": [{"name": "c", "image": "web:1"}]}}}}))
    .unwrap();
    // The old one may come back once more: a controller that has not seen the end yet misses it.
    cluster
        .until("the name is free", || async {
            cluster.api::<ReplicaSet>().create(&PostParams::default(), &stranger).await.ok()
        })
        .await;
    cluster.create::<Deployment>(web(1)).await;
    let deployment = rolled_out(&cluster).await;
    assert_eq!(deployment.status.unwrap().collision_count, Some(1));
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn controllers_that_see_late_neither_make_nor_delete_twice() {
    let gate = Gate::closed();
    let cluster = Cluster::start_behind(&gate).await;
    cluster
        .create::<ReplicaSet>(json!({"metadata": {"name": "web"}, "spec": {
            "replicas": 5, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}},
                         "spec": {"containers": [{"name": "web", "image": "web:1"}]}}}}))
        .await;
    // Makes the controller look again, which it does with what it knows.
    let look = async |change: Value| {
        let set = cluster.patch::<ReplicaSet>("web", change).await;
        cluster
            .until_object::<ReplicaSet>("web", "a look", |s| {
                s.status.as_ref().is_some_and(|s| s.observed_generation >= set.metadata.generation)
            })
            .await;
    };
    let staying = async || {
        let pods = cluster.list::<Pod>().await;
        pods.iter().filter(|p| p.metadata.deletion_timestamp.is_none()).count()
    };
    for seconds in 1..6 {
        look(json!({"spec": {"minReadySeconds": seconds}})).await;
    }
    assert_eq!(staying().await, 5);
    look(json!({"spec": {"replicas": 2}})).await;
    for seconds in 1..6 {
        look(json!({"spec": {"minReadySeconds": seconds}})).await;
    }
    assert_eq!(staying().await, 2);
    gate.open();
    look(json!({"spec": {"minReadySeconds": 0}})).await;
    cluster
        .until_object::<ReplicaSet>("web", "two that are available", |s| {
            s.status.as_ref().is_some_and(|s| s.replicas == 2 && s.available_replicas == Some(2))
        })
        .await;
    assert_eq!(staying().await, 2);
    cluster.stop().await;
}
