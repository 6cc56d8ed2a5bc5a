//! Copies of an environment, as tests make and watch them.

use seaway_sync::view::{EnvironmentKey, EnvironmentView, FidelityView, SyncStatus};
use serde_json::{Value, json};

use super::{Repository, World};

pub const COPY: &str = "seaway.dev/v1alpha1";

pub fn key(name: &str) -> EnvironmentKey {
    EnvironmentKey::new("seaway-jane", name)
}

/// An environment `staging` in namespace `shop` that runs, and the namespace of a person.
pub async fn world(files: &[(&str, Option<&str>)], stack: Value) -> (World, Repository) {
    let (world, repository) = (World::new().await, Repository::new());
    let commit = repository.push("main", "first", files);
    world.follow(&repository, json!({})).await;
    if !stack.is_null() {
        world.patch(COPY, "Stack", "seaway", "shop", "test", json!({"spec": stack})).await;
    }
    world.synced(&commit).await;
    world.create(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "seaway-jane"}})).await;
    (world, repository)
}

pub async fn copy(world: &World, name: &str, spec: Value) {
    let mut all = json!({"copyOf": "staging", "class": "personal"});
    all.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    world
        .create(json!({"apiVersion": COPY, "kind": "Environment",
            "metadata": {"name": name, "namespace": "seaway-jane"}, "spec": all}))
        .await;
}

pub fn view(world: &World, name: &str) -> Option<EnvironmentView> {
    world.sync().list().into_iter().find(|view| view.name == name)
}

pub async fn synced(world: &World, name: &str) {
    world
        .until(&format!("{name} is synced"), async |world| {
            view(world, name).is_some_and(|view| view.sync == SyncStatus::Synced && view.release.is_some())
        })
        .await;
}

pub async fn says(world: &World, name: &str, text: &str) {
    world
        .until(&format!("{name} says {text:?}, and not {:?}", view(world, name)), async |world| {
            view(world, name).is_some_and(|view| view.message.contains(text))
        })
        .await;
}

pub async fn value(world: &World, namespace: &str, name: &str) -> Option<String> {
    let found = world.get("v1", "ConfigMap", Some(namespace), name).await?;
    found["data"]["key"].as_str().map(str::to_owned)
}

pub async fn has(world: &World, namespace: &str, name: &str, wanted: &str) {
    world
        .until(&format!("{namespace}/{name} is {wanted}"), async |world| {
            value(world, namespace, name).await.as_deref() == Some(wanted)
        })
        .await;
}

pub fn why(fidelity: &FidelityView) -> Vec<String> {
    let line = |d: &seaway_sync::view::FidelityDifference| {
        format!("{}{} {} {}", d.object.id(), d.path, d.class.as_str(), d.rule)
    };
    fidelity.differences.iter().map(line).collect()
}
