//! Repositories whose servers do not answer hold up no other environment.

#![allow(clippy::unwrap_used)]

#[allow(dead_code, unreachable_pub)]
mod support;

use std::time::Duration;

use seaway_sync::SyncChoice;
use seaway_sync::view::SyncStatus;
use serde_json::json;
use support::silent_server::Gate;
use support::{Repository, World, config};

/// An environment of a stack of its own.
async fn environment(world: &World, name: &str, repo: &str) {
    world
        .create(json!({"apiVersion": "seaway.dev/v1alpha1", "kind": "Stack", "metadata": {"name": name, "namespace": "seaway"},
            "spec": {"components": [{"name": "web", "source": {"repo": repo, "path": "deploy", "revision": "main"}}]}}))
        .await;
    world
        .create(json!({"apiVersion": "seaway.dev/v1alpha1", "kind": "Environment",
            "metadata": {"name": name, "namespace": "seaway"},
            "spec": {"stack": name, "destination": {"namespace": name}}}))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_is_followed_and_a_person_served_while_forty_environments_hang() {
    let repository = Repository::over_http().await;
    let first = repository.push("main", "First", &[("deploy/a.yaml", Some(&config("a", "one")))]);
    let world = World::new().await;
    let key = world.follow(&repository, json!({})).await;
    world.synced(&first).await;
    let mut gates = Vec::new();
    for n in 0..20 {
        // Two environments a server.
        let gate = Gate::closed().await;
        for of in ["a", "b"] {
            environment(&world, &format!("hangs-{n}-{of}"), &gate.url(&format!("{of}.git"))).await;
        }
        gates.push(gate);
    }
    for gate in &gates[..8] {
        gate.holds(1).await;
    }
    let second = repository.push("main", "Second", &[("deploy/a.yaml", Some(&config("a", "two")))]);
    world.synced(&second).await;
    let planned = world.sync().plan(&key, None).await.unwrap();
    assert!(planned.is_in_sync());
    world
        .patch(
            "seaway.dev/v1alpha1",
            "Environment",
            "seaway",
            "staging",
            "test",
            json!({"spec": {"sync": {"automated": false}}}),
        )
        .await;
    let third = repository.push("main", "Third", &[("deploy/a.yaml", Some(&config("a", "three")))]);
    world.sync().sync(&key, SyncChoice::default(), "ada").await.unwrap();
    world.synced(&third).await;
    world
        .create(json!({"apiVersion": "seaway.dev/v1alpha1", "kind": "Stack", "metadata": {"name": "unused", "namespace": "seaway"},
            "spec": {"components": [{"name": "web",
                "source": {"repo": repository.url(), "path": "deploy", "revision": "main-other"}}]}}))
        .await;
    world
        .until("a Stack says that its repository has no such branch", async |world| {
            let stack = world.get("seaway.dev/v1alpha1", "Stack", Some("seaway"), "unused").await.unwrap();
            stack["status"]["conditions"].to_string().contains("has no branch, tag or commit main-other")
        })
        .await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_answers_again_is_followed_for_all_its_environments() {
    let repository = Repository::over_http().await;
    let first = repository.push("main", "First", &[("deploy/a.yaml", Some(&config("a", "one")))]);
    let world = World::with_git_time(Duration::from_secs(5)).await;
    let gate = Gate::closed().await;
    let names: Vec<String> = (0..6).map(|n| format!("env-{n}")).collect();
    for name in &names {
        // The user makes it a repository of its own.
        let url = gate.url("bare.git").replace("127.0.0.1", &format!("{name}@127.0.0.1"));
        environment(&world, name, &url).await;
    }
    let view = |world: &World, name: &str| world.sync().list().into_iter().find(|view| view.name == name);
    for name in &names {
        world
            .until("each says that its repository does not answer", async |world| {
                view(world, name).is_some_and(|view| {
                    ["no end after", "did not answer"].iter().any(|text| view.message.contains(text))
                })
            })
            .await;
    }
    gate.open(repository.port());
    for name in &names {
        world
            .until("each is synced", async |world| {
                view(world, name).is_some_and(|view| {
                    view.sync == SyncStatus::Synced && view.revision.as_deref() == Some(&first[..8])
                })
            })
            .await;
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_hears_that_a_repository_answers_again_when_one_person_asks() {
    let repository = Repository::new();
    let first = repository.push("main", "First", &[("deploy/a.yaml", Some(&config("a", "one")))]);
    let world = World::new().await;
    let key = world.follow(&repository, json!({})).await;
    world.synced(&first).await;
    environment(&world, "other", &repository.url()).await;
    let trouble = async |world: &World, name: &str| {
        let found = world.get("seaway.dev/v1alpha1", "Environment", Some("seaway"), name).await.unwrap();
        let conditions = found["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.iter().any(|condition| condition["type"] == "Following")
    };
    world
        .until("the other one runs", async |world| {
            world.get("v1", "ConfigMap", Some("other"), "a").await.is_some()
        })
        .await;
    repository.hide(true);
    for name in ["staging", "other"] {
        world.until("it says that it cannot be read", async |world| trouble(world, name).await).await;
    }
    repository.hide(false);
    world.sync().sync(&key, SyncChoice::default(), "ada").await.unwrap();
    for name in ["staging", "other"] {
        world.until("it says so no more", async |world| !trouble(world, name).await).await;
    }
    world.stop().await;
}
