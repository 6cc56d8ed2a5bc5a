//! Who deletes an environment sees before what goes with it, and deletes it once more where a hook of its end has failed.

#![allow(clippy::unwrap_used)]

mod support;

use http::Method;
use k8s_openapi::api::batch::v1::Job;
use kube::api::{Api, Patch};
use serde_json::{Value, json};
use support::World;

const STAGING: &str = "/api/v1/environments/seaway/staging";

#[tokio::test]
async fn who_deletes_sees_what_goes_and_deletes_once_more_what_a_hook_keeps() {
    let world = World::start().await;
    let repository = world.deployed().await;
    repository.add(
        "drain.yaml",
        &json!({"apiVersion": "batch/v1", "kind": "Job",
            "metadata": {"name": "drain", "annotations": {"argocd.argoproj.io/hook": "PreDelete"}},
            "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "x"}]}}}}),
    );
    assert_eq!(world.post("developer", &format!("{STAGING}/sync"), Value::Null).await.status, 200);
    let plan = world.get("viewer", &format!("{STAGING}/plan?deletion=true")).await;
    let of = |name: &str| {
        let objects = plan.body["objects"].as_array().unwrap();
        let found = objects.iter().find(|one| one["object"]["name"] == name).unwrap();
        (found["action"].clone(), found["heldBack"].as_bool().unwrap_or_default())
    };
    assert_eq!(of("settings"), (json!("prune"), false), "{plan:?}");
    assert_eq!(of("shop"), (json!("prune"), true), "{plan:?}");
    assert_eq!(of("drain"), (json!("hook"), false), "{plan:?}");
    assert_eq!(world.value().await.as_deref(), Some("1"));

    let jobs: Api<Job> = Api::namespaced(world.cluster(), "shop");
    let uid = async || jobs.get_opt("drain").await.unwrap().and_then(|job| job.metadata.uid);
    let ends = async |condition: &str| {
        let status = json!({"status": {"startTime": "2024-01-01T00:00:00Z", "conditions": [
            {"type": condition, "status": "True", "lastTransitionTime": "2024-01-01T00:00:00Z"}]}});
        jobs.patch_status("drain", &Default::default(), &Patch::Merge(status)).await.unwrap();
    };
    assert_eq!(world.act("operator", Method::DELETE, STAGING, &Value::Null).await.status, 200);
    world.until("the hook runs", async || uid().await.is_some()).await;
    let first = uid().await;
    ends("Failed").await;
    let says = async |words: &str| {
        let message = world.get("viewer", STAGING).await.body["message"].clone();
        message.as_str().is_some_and(|message| message.contains(words))
    };
    world.until("it says so", async || says("Job.batch shop/drain (before-delete) failed").await).await;
    assert_eq!(world.act("viewer", Method::DELETE, STAGING, &Value::Null).await.status, 403);
    assert!(says("failed").await, "nobody else lets it run again");
    assert_eq!(world.act("operator", Method::DELETE, STAGING, &Value::Null).await.status, 200);
    world.until("it runs again", async || uid().await.is_some_and(|now| Some(&now) != first.as_ref())).await;
    ends("Complete").await;
    world.until("it is gone", async || world.get("viewer", STAGING).await.status == 404).await;
    assert_eq!(world.value().await, None);
    world.stop().await;
}
