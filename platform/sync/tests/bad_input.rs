//! What is wrong is said with its reason, and holds up nobody else.

#![allow(clippy::unwrap_used)]

#[allow(dead_code, unreachable_pub)]
mod support;

use serde_json::json;
use support::{Repository, World, config};

const BROKEN: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: [\n";
const KINDLESS: &str = "metadata: {name: x}\n";
const WIDGET: &str = "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w}\n";
const ENCRYPTED: &str = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {a: ENC[x]}\nsops: {version: 3.9.0, mac: x}\n";

/// An environment of a stack of its own.
async fn environment(world: &World, name: &str, repo: &str, path: &str, revision: &str) {
    world
        .create(json!({"apiVersion": "seaway.dev/v1alpha1", "kind": "Stack", "metadata": {"name": name, "namespace": "seaway"},
            "spec": {"components": [{"name": "web", "source": {"repo": repo, "path": path, "revision": revision}}]}}))
        .await;
    world
        .create(json!({"apiVersion": "seaway.dev/v1alpha1", "kind": "Environment",
            "metadata": {"name": name, "namespace": "seaway"},
            "spec": {"stack": name, "destination": {"namespace": if name == "twin" { "shop" } else { name }}}}))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_has_a_condition_with_a_reason_and_everything_else_goes_on() {
    let (repository, empty) = (Repository::new(), Repository::new());
    let huge = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: huge}}\ndata: {{key: {}}}\n",
        "x".repeat(5 << 20)
    );
    let first = repository.push(
        "main",
        "First",
        &[
            ("deploy/a.yaml", Some(&config("a", "one"))),
            ("broken/bad.yaml", Some(BROKEN)),
            ("kindless/bad.yaml", Some(KINDLESS)),
            ("widget/w.yaml", Some(WIDGET)),
            ("sops/secret.yaml", Some(ENCRYPTED)),
            ("huge/huge.yaml", Some(&huge)),
            ("twin/a.yaml", Some(&config("a", "two"))),
        ],
    );
    let world = World::new().await;
    world.follow(&repository, json!({})).await;
    world.synced(&first).await;
    let url = repository.url();
    let cases = [
        ("unreachable", "http://127.0.0.1:1/x.git", "deploy", "main", "cannot be reached"),
        ("forbidden-url", "http://169.254.169.254/x.git", "deploy", "main", "link-local"),
        ("empty", &empty.url(), "deploy", "main", "is empty: push a commit"),
        ("no-path", &url, "absent", "main", "absent"),
        ("no-revision", &url, "deploy", "absent", "has no branch, tag or commit absent; branches are main"),
        ("broken", &url, "broken", "main", "broken/bad.yaml"),
        ("kindless", &url, "kindless", "main", "kindless/bad.yaml"),
        ("widget", &url, "widget", "main", "Widget"),
        ("sops", &url, "sops", "main", "sops/secret.yaml"),
        ("huge", &url, "huge", "main", "ConfigMap huge/huge"),
        ("twin", &url, "twin", "main", "ConfigMap shop/a"),
    ];
    for (name, repo, path, revision, _) in cases {
        environment(&world, name, repo, path, revision).await;
    }
    for (name, _, _, _, text) in cases {
        world
            .until(&format!("{name} says {text:?}"), async |world| {
                let all = world.sync().list();
                all.iter().any(|view| view.name == name && view.message.contains(text))
            })
            .await;
        world
            .until(&format!("{name} has a condition"), async |world| {
                let found =
                    world.get("seaway.dev/v1alpha1", "Environment", Some("seaway"), name).await.unwrap();
                let conditions = found["status"]["conditions"].as_array().cloned().unwrap_or_default();
                conditions.iter().any(|condition| {
                    condition["status"] != "True"
                        && condition["reason"].as_str().is_some_and(|reason| !reason.is_empty())
                        && condition["message"].as_str().is_some_and(|message| message.contains(text))
                })
            })
            .await;
    }
    assert_eq!(world.value("a", "key").await.as_deref(), Some("one"), "the twin does not take it");
    let second = repository.push("main", "Second", &[("deploy/a.yaml", Some(&config("a", "three")))]);
    world.synced(&second).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_end_is_named_and_the_next_revision_goes_through() {
    let repository = Repository::new();
    let held = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: held\n  finalizers: [example.com/never]\n  annotations: \
                {seaway.dev/options: force}\nimmutable: true\ndata: {key: one}\n";
    let first = repository.push(
        "main",
        "First",
        &[("deploy/held.yaml", Some(held)), ("deploy/a.yaml", Some(&config("a", "one")))],
    );
    let world = World::new().await;
    world.follow(&repository, json!({"sync": {"waveTimeoutSeconds": 1}})).await;
    world.synced(&first).await;
    // It has to be made anew, and cannot go.
    repository.push("main", "Second", &[("deploy/held.yaml", Some(&held.replace("one", "two")))]);
    world
        .until("its finalizers are named", async |world| {
            world.view().is_some_and(|view| {
                view.message.contains("ConfigMap shop/held") && view.message.contains("example.com/never")
            })
        })
        .await;
    let third = repository.push(
        "main",
        "Third",
        &[("deploy/held.yaml", None), ("deploy/a.yaml", Some(&config("a", "two")))],
    );
    world
        .until("the rest goes on", async |world| world.value("a", "key").await.as_deref() == Some("two"))
        .await;
    world.patch("v1", "ConfigMap", "shop", "held", "test", json!({"metadata": {"finalizers": null}})).await;
    world.synced(&third).await;
    world.stop().await;
}
