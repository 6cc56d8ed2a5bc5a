//! A Stack says whether it can be used, whether its repositories can be read, and by which environments it is used.

#![allow(clippy::unwrap_used)]

#[allow(dead_code, unreachable_pub)]
mod support;

use serde_json::{Value, json};
use support::{Repository, World, config};

const API: &str = "seaway.dev/v1alpha1";

async fn status(world: &World, name: &str) -> Value {
    world.get(API, "Stack", Some("seaway"), name).await.unwrap()["status"].clone()
}

/// `STATUS REASON` of a condition, and what it says.
fn condition(status: &Value, kind: &str) -> (String, String) {
    let all = status["conditions"].as_array().cloned().unwrap_or_default();
    let found = all.into_iter().find(|condition| condition["type"] == kind).unwrap_or_default();
    let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
    (format!("{} {}", text("status"), text("reason")), text("message"))
}

async fn says(world: &World, name: &str, kind: &str, expected: &str) {
    world
        .until(&format!("{name}: {kind} is {expected}"), async |world| {
            condition(&status(world, name).await, kind).0 == expected
        })
        .await;
}

async fn stack(world: &World, name: &str, spec: Value) {
    let metadata = json!({"name": name, "namespace": "seaway"});
    world.create(json!({"apiVersion": API, "kind": "Stack", "metadata": metadata, "spec": spec})).await;
}

fn component(name: &str, repo: &str, revision: &str) -> Value {
    json!({"name": name, "source": {"repo": repo, "path": "deploy", "revision": revision}})
}

/// A stack with an environment that follows its repository.
async fn followed() -> (Repository, World) {
    let repository = Repository::new();
    let first = repository.push("main", "First", &[("deploy/a.yaml", Some(&config("a", "one")))]);
    let world = World::new().await;
    world.follow(&repository, json!({})).await;
    world.synced(&first).await;
    says(&world, "shop", "Ready", "True Ready").await;
    (repository, world)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_says_whether_its_repositories_can_be_read_and_who_uses_it() {
    let (repository, world) = followed().await;
    world
        .until("the environment is named", async |world| {
            let status = status(world, "shop").await;
            status["environments"] == json!(["staging"]) && status["environmentCount"] == 1
        })
        .await;
    let before = status(&world, "shop").await;
    assert_eq!(condition(&before, "Accepted").0, "True Accepted");
    assert_eq!(condition(&before, "RepositoriesReadable").0, "True Readable");
    assert_eq!(before["observedGeneration"], 1);

    // One that nobody uses is asked for all the same.
    let url = repository.url();
    stack(
        &world,
        "unused",
        json!({"components": [component("web", &url, "main"), component("api", &url, "absent")]}),
    )
    .await;
    says(&world, "unused", "Ready", "False SourceUnavailable").await;
    let unused = status(&world, "unused").await;
    assert!(condition(&unused, "Ready").1.contains("component api: ") && unused["environmentCount"] == 0);
    assert!(condition(&unused, "Ready").1.contains("branches are main"), "{unused}");

    // What the schema cannot know.
    let foreign = json!({"components": [component("web", &url, "main")],
        "allow": {"repositories": ["https://git.example.com/*"]}});
    stack(&world, "foreign", foreign).await;
    says(&world, "foreign", "Ready", "False InvalidSpec").await;
    let foreign = status(&world, "foreign").await;
    assert!(condition(&foreign, "Accepted").1.contains("spec.components[0].source.repo"), "{foreign}");
    assert_eq!(condition(&foreign, "RepositoriesReadable").0, "Unknown InvalidSpec");

    world.delete(API, "Environment", Some("seaway"), "staging").await;
    world
        .until("nobody uses it any more", async |world| {
            let status = status(world, "shop").await;
            status["environments"] == json!([]) && status["environmentCount"] == 0
        })
        .await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repository_that_goes_away_is_told_while_what_is_known_runs() {
    let (repository, world) = followed().await;
    repository.hide(true);
    let following = async |world: &World| {
        let found = world.get(API, "Environment", Some("seaway"), "staging").await.unwrap();
        condition(&found["status"], "Following")
    };
    world
        .until("the environment says so", async |world| {
            let (state, message) = following(world).await;
            state == "False SourceUnavailable" && message.contains("component web: ")
        })
        .await;
    says(&world, "shop", "Ready", "False SourceUnavailable").await;
    // It is looked after all the same.
    world.patch("v1", "ConfigMap", "shop", "a", "kubectl-edit", json!({"data": {"key": "mine"}})).await;
    world
        .until("drift is reverted", async |world| world.value("a", "key").await.as_deref() == Some("one"))
        .await;
    repository.hide(false);
    world.until("it is well again", async |world| following(world).await.0 == " ").await;
    says(&world, "shop", "Ready", "True Ready").await;
    let second = repository.push("main", "Second", &[("deploy/a.yaml", Some(&config("a", "two")))]);
    world.synced(&second).await;
    world.stop().await;
}
