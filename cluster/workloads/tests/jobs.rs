//! Jobs on a running API with a node.
#![allow(clippy::unwrap_used)]

#[path = "cluster/mod.rs"]
#[allow(dead_code)]
mod cluster;

use cluster::Cluster;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::{Value, json};

fn task(image: &str, change: Value) -> Value {
    let mut job = json!({"metadata": {"name": "task"}, "spec": {"template": {"spec": {
        "restartPolicy": "Never", "containers": [{"name": "c", "image": image}]}}}});
    for (field, value) in change.as_object().unwrap() {
        job["spec"][field] = value.clone();
    }
    job
}

fn has(job: &Job, kind: &str, reason: &str) -> bool {
    let conditions = job.status.iter().flat_map(|s| s.conditions.iter().flatten());
    conditions
        .into_iter()
        .any(|c| c.type_ == kind && c.status == "True" && c.reason.as_deref() == Some(reason))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_completes_and_its_pods_stay_until_it_is_deleted() {
    let cluster = Cluster::start().await;
    cluster.create::<Job>(task("task:works", json!({"parallelism": 2, "completions": 5}))).await;
    let done =
        cluster.until_object::<Job>("task", "completion", |j| has(j, "Complete", "CompletionsReached")).await;
    let status = done.status.unwrap();
    assert_eq!((status.succeeded, status.failed, status.active), (Some(5), None, None));
    let pods = cluster.list::<Pod>().await;
    assert_eq!(pods.len(), 5);
    assert!(pods.iter().all(|p| p.labels()["batch.kubernetes.io/job-name"] == "task"));
    cluster.delete::<Job>("task").await;
    cluster.until("the pods' end", || async { cluster.list::<Pod>().await.is_empty().then_some(()) }).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_fails_says_why_and_goes_after_its_time() {
    let cluster = Cluster::start().await;
    let spec = json!({"backoffLimit": 0, "ttlSecondsAfterFinished": 1});
    cluster.create::<Job>(task("task:fails", spec)).await;
    cluster.until_object::<Job>("task", "failure", |j| has(j, "Failed", "BackoffLimitExceeded")).await;
    cluster
        .until("the end of all", || async {
            (cluster.list::<Job>().await.is_empty() && cluster.list::<Pod>().await.is_empty()).then_some(())
        })
        .await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_job_ends_at_its_deadline() {
    let cluster = Cluster::start().await;
    cluster.create::<Job>(task("forever:1", json!({"activeDeadlineSeconds": 1, "parallelism": 2}))).await;
    cluster.until_object::<Job>("task", "the deadline", |j| has(j, "Failed", "DeadlineExceeded")).await;
    cluster.until("the pods' end", || async { cluster.list::<Pod>().await.is_empty().then_some(()) }).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_job_that_is_deleted_takes_its_pods_with_it() {
    let cluster = Cluster::start().await;
    cluster.create::<Job>(task("forever:1", json!({"parallelism": 2}))).await;
    cluster
        .until_object::<Job>("task", "two pods", |j| j.status.as_ref().is_some_and(|s| s.ready == Some(2)))
        .await;
    cluster.delete::<Job>("task").await;
    cluster.until("the pods' end", || async { cluster.list::<Pod>().await.is_empty().then_some(()) }).await;
    cluster.stop().await;
}
