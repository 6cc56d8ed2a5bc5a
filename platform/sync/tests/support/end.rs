//! The end of the environment `staging`, as tests begin and watch it.

use seaway_sync::view::EnvironmentKey;
use serde_json::{Value, json};

use super::World;

pub const ENVIRONMENT: (&str, &str) = ("seaway.dev/v1alpha1", "Environment");

/// A Job with annotations.
pub fn job(name: &str, annotations: &str) -> String {
    format!(
        "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: {name}\n  annotations: {{{annotations}}}\nspec:\n  \
         template:\n    spec:\n      restartPolicy: Never\n      containers: [{{name: c, image: x}}]\n"
    )
}

pub fn before(name: &str) -> String {
    job(name, "argocd.argoproj.io/hook: PreDelete")
}

pub async fn find_job(world: &World, name: &str) -> Option<Value> {
    world.get("batch/v1", "Job", Some("shop"), name).await
}

/// The uid of a Job, once it is there.
pub async fn runs(world: &World, name: &str) -> Value {
    world.until(&format!("{name} is there"), async |world| find_job(world, name).await.is_some()).await;
    find_job(world, name).await.unwrap()["metadata"]["uid"].clone()
}

/// The uid of a Job, once it is another one.
pub async fn runs_again(world: &World, name: &str, before: &Value) -> Value {
    let is_another = async |world: &World| {
        find_job(world, name).await.is_some_and(|job| job["metadata"]["uid"] != *before)
    };
    world.until(&format!("{name} is another one"), is_another).await;
    find_job(world, name).await.unwrap()["metadata"]["uid"].clone()
}

/// No controller runs here: the test says how a Job ends.
pub async fn end_job_in(world: &World, namespace: &str, name: &str, condition: &str) {
    world
        .until(&format!("{name} is there"), async |world| {
            world.get("batch/v1", "Job", Some(namespace), name).await.is_some()
        })
        .await;
    let status = json!({"status": {"startTime": "2024-01-01T00:00:00Z", "conditions": [
        {"type": condition, "status": "True", "lastTransitionTime": "2024-01-01T00:00:00Z"}]}});
    let jobs: kube::Api<k8s_openapi::api::batch::v1::Job> = kube::Api::namespaced(world.admin(), namespace);
    jobs.patch_status(name, &Default::default(), &kube::api::Patch::Merge(status)).await.unwrap();
}

pub async fn end_job(world: &World, name: &str, condition: &str) {
    end_job_in(world, "shop", name, condition).await;
}

pub async fn delete(world: &World) {
    world.delete(ENVIRONMENT.0, ENVIRONMENT.1, Some("seaway"), "staging").await;
}

pub async fn annotate(world: &World, key: &str, value: &str) {
    let patch = json!({"metadata": {"annotations": {key: value}}});
    world.patch(ENVIRONMENT.0, ENVIRONMENT.1, "seaway", "staging", "test", patch).await;
}

pub async fn skip(world: &World) {
    annotate(world, "seaway.dev/skip-end-hooks", "true").await;
}

pub async fn gone(world: &World) {
    world.until("it is gone", async |world| world.view().is_none()).await;
}

/// Waits until the environment says all of this.
pub async fn says(world: &World, words: &[&str]) {
    let key = EnvironmentKey::new("seaway", "staging");
    world
        .until(&format!("it says {words:?}"), async |world| {
            let message = world.sync().show(&key).map(|detail| detail.summary.message).unwrap_or_default();
            words.iter().all(|word| message.contains(word))
        })
        .await;
}

/// Waits until its condition says that it is being deleted, with this reason.
pub async fn ends_with(world: &World, reason: &str) {
    world
        .until(&format!("its condition says {reason}"), async |world| {
            let found = world.get(ENVIRONMENT.0, ENVIRONMENT.1, Some("seaway"), "staging").await;
            let conditions =
                found.and_then(|found| found["status"]["conditions"].as_array().cloned()).unwrap_or_default();
            conditions.iter().any(|one| one["type"] == "Ending" && one["reason"] == reason)
        })
        .await;
}
