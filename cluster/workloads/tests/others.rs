//! DaemonSets, CronJobs, disruption budgets and preemption on a running API with a node.
#![allow(clippy::unwrap_used)]

#[path = "cluster/mod.rs"]
#[allow(dead_code)]
mod cluster;

use cluster::Cluster;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{Event, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::scheduling::v1::PriorityClass;
use kube::ResourceExt;
use kube::api::{Api, EvictParams, PostParams};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_set_runs_on_the_node_and_is_updated() {
    let cluster = Cluster::start().await;
    cluster
        .create::<DaemonSet>(json!({"metadata": {"name": "agent"}, "spec": {
            "selector": {"matchLabels": {"app": "agent"}},
            "template": {"metadata": {"labels": {"app": "agent"}},
                         "spec": {"containers": [{"name": "c", "image": "agent:1"}]}}}}))
        .await;
    // What `kubectl rollout status` waits for.
    let rolled_out = |set: &DaemonSet| {
        let status = set.status.clone().unwrap_or_default();
        status.observed_generation == set.metadata.generation
            && status.desired_number_scheduled == 1
            && status.updated_number_scheduled == Some(1)
            && status.number_available == Some(1)
    };
    cluster.until_object("agent", "the rollout", rolled_out).await;
    let change = json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "agent:2"}]}}}});
    cluster.patch::<DaemonSet>("agent", change).await;
    cluster.until_object("agent", "the update", rolled_out).await;
    let pods = cluster.list::<Pod>().await;
    assert_eq!(pods.len(), 1);
    assert_eq!(pods[0].spec.as_ref().unwrap().containers[0].image.as_deref(), Some("agent:2"));
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cron_job_makes_jobs_and_keeps_the_last_ones() {
    let cluster = Cluster::start().await;
    cluster
        .create::<CronJob>(json!({"metadata": {"name": "report"}, "spec": {
            "schedule": "@every 1s", "successfulJobsHistoryLimit": 1,
            "jobTemplate": {"spec": {"template": {"spec": {
                "restartPolicy": "Never", "containers": [{"name": "c", "image": "task:works"}]}}}}}}))
        .await;
    cluster
        .until_object::<CronJob>("report", "a success", |c| {
            c.status.as_ref().is_some_and(|s| s.last_successful_time.is_some())
        })
        .await;
    let job = cluster.list::<Job>().await.remove(0);
    assert_eq!(job.owner_references()[0].name, "report");
    cluster.delete::<CronJob>("report").await;
    cluster
        .until("the end of the jobs", || async {
            (cluster.list::<Job>().await.is_empty() && cluster.list::<Pod>().await.is_empty()).then_some(())
        })
        .await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_allows_one_eviction_at_a_time() {
    let cluster = Cluster::start().await;
    cluster
        .create::<PodDisruptionBudget>(json!({"metadata": {"name": "web"}, "spec": {
            "maxUnavailable": 1, "selector": {"matchLabels": {"app": "web"}}}}))
        .await;
    cluster
        .create::<Deployment>(json!({"metadata": {"name": "web"}, "spec": {
            "replicas": 2, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}},
                         "spec": {"containers": [{"name": "c", "image": "web:1"}]}}}}))
        .await;
    let allows = |count: i32| {
        move |budget: &PodDisruptionBudget| {
            budget.status.as_ref().is_some_and(|s| {
                s.disruptions_allowed == Some(count) && s.observed_generation == budget.metadata.generation
            })
        }
    };
    cluster.until_object("web", "one allowed", allows(1)).await;
    cluster.node.holds_back.store(true, std::sync::atomic::Ordering::Relaxed);
    let pods = cluster.list::<Pod>().await;
    let api = cluster.api::<Pod>();
    api.evict(&pods[0].name_any(), &EvictParams::default()).await.unwrap();
    cluster.until_object("web", "none allowed", allows(0)).await;
    let refused = api.evict(&pods[1].name_any(), &EvictParams::default()).await.unwrap_err();
    assert!(matches!(refused, kube::Error::Api(status) if status.code == 429));
    cluster.node.holds_back.store(false, std::sync::atomic::Ordering::Relaxed);
    cluster.until_object("web", "one allowed again", allows(1)).await;
    drop(api);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_of_higher_priority_takes_the_place_of_a_lesser_one() {
    let cluster = Cluster::start().await;
    let classes: Api<PriorityClass> = Api::all(cluster.client.clone());
    for (name, value) in [("low", 1), ("high", 1000)] {
        let class = json!({"metadata": {"name": name}, "value": value});
        classes.create(&PostParams::default(), &serde_json::from_value(class).unwrap()).await.unwrap();
    }
    let pod = |name: &str, class: &str| {
        json!({"metadata": {"name": name}, "spec": {"priorityClassName": class, "containers": [
            {"name": "c", "image": "web:1", "resources": {"requests": {"cpu": "3"}}}]}})
    };
    let runs = |p: &Pod| p.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Running");
    cluster.create::<Pod>(pod("lesser", "low")).await;
    cluster.until_object::<Pod>("lesser", "its start", runs).await;
    cluster.create::<Pod>(pod("greater", "high")).await;
    cluster.until_object::<Pod>("greater", "its start", runs).await;
    let names: Vec<_> = cluster.list::<Pod>().await.iter().map(ResourceExt::name_any).collect();
    assert_eq!(names, ["greater"]);
    let reason = |e: &Event| {
        (e.reason.clone().unwrap_or_default(), e.involved_object.name.clone().unwrap_or_default())
    };
    let preempted = ("Preempted".to_owned(), "lesser".to_owned());
    cluster
        .until("the event", || async {
            cluster.list::<Event>().await.iter().any(|e| reason(e) == preempted).then_some(())
        })
        .await;
    cluster.stop().await;
}
