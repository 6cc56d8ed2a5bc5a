//! Private repositories are opened by Secrets.

#![allow(clippy::unwrap_used)]

#[allow(dead_code, unreachable_pub)]
mod support;

use k8s_openapi::api::core::v1::Event;
use kube::Api;
use serde_json::{Value, json};
use support::http::{PASSWORD, USER};
use support::{Repository, World, config};

async fn secret(world: &World, namespace: &str, name: &str, values: Value) {
    world
        .create(json!({"apiVersion": "v1", "kind": "Secret", "stringData": values,
            "metadata": {"name": name, "namespace": namespace, "labels": {"seaway.dev/credentials": "git"}}}))
        .await;
}

async fn refused(world: &World) {
    world
        .until("access is refused, and it is said where the credentials belong", async |world| {
            world.view().is_some_and(|view| {
                view.message.contains("refuses access") && view.message.contains("Secret")
            })
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_opens_the_repositories_below_its_url() {
    let repository = Repository::over_http().await;
    let first = repository.push("main", "First", &[("deploy/a.yaml", Some(&config("a", "one")))]);
    let mut world = World::new().await;
    let url = repository.private_url();
    world.follow_url(&url, json!({})).await;
    refused(&world).await;

    // One in another namespace is of no effect: it is not for operators alone to write there.
    let below = url.trim_end_matches("/bare.git");
    let right = json!({"url": below, "username": USER, "password": PASSWORD});
    world
        .create(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "seaway-mallory"}}))
        .await;
    secret(&world, "seaway-mallory", "git", right.clone()).await;
    secret(&world, "seaway", "git", json!({"url": below, "username": USER, "password": "wrong"})).await;
    refused(&world).await;
    world.patch("v1", "Secret", "seaway", "git", "test", json!({"stringData": {"password": PASSWORD}})).await;
    world.synced(&first).await;
    assert_eq!(world.value("a", "key").await.as_deref(), Some("one"));

    // They are there before anything is asked after a start.
    world.sync.take().unwrap().stop().await;
    let second = repository.push("main", "Second", &[("deploy/a.yaml", Some(&config("a", "two")))]);
    world.start().await;
    world.synced(&second).await;

    // What a person reads holds no password.
    let view = format!(
        "{:?} {:?}",
        world.view(),
        world.sync().history(&world.sync().find(None, "staging").unwrap(), 10)
    );
    assert!(!view.contains(PASSWORD));
    world.delete("v1", "Secret", Some("seaway"), "git").await;
    world
        .until("without it the repository is closed again", async |world| {
            let key = world.sync().find(None, "staging").unwrap();
            world
                .sync()
                .plan(&key, Some("main"))
                .await
                .is_err_and(|e| e.to_string().contains("refuses access"))
        })
        .await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_cannot_be_used_says_so_and_the_others_count() {
    let repository = Repository::over_http().await;
    let first = repository.push("main", "First", &[("deploy/a.yaml", Some(&config("a", "one")))]);
    let world = World::new().await;
    let url = repository.private_url();
    for (name, values) in [
        ("a-no-url", json!({"password": PASSWORD})),
        (
            "b-no-hosts",
            json!({"url": "ssh://git.example.com", "identity": "-----BEGIN OPENSSH PRIVATE KEY-----"}),
        ),
        ("c-wrong-kind", json!({"url": "ssh://git.example.com", "password": PASSWORD})),
        ("d-nothing", json!({"url": "https://git.example.com"})),
        ("e-short", json!({"url": "https://git.example.com", "webhook-secret": "short"})),
        ("f-good", json!({"url": url, "username": USER, "password": PASSWORD})),
        ("g-second", json!({"url": url, "password": PASSWORD})),
    ] {
        secret(&world, "seaway", name, values).await;
    }
    world.follow_url(&url, json!({})).await;
    world.synced(&first).await;
    let events: Api<Event> = Api::namespaced(world.admin(), "seaway");
    let told = async || {
        let all = events.list(&Default::default()).await.unwrap().items;
        let all = all.into_iter().filter(|event| event.reason.as_deref() == Some("UnusableCredentials"));
        let mut all: Vec<(String, String)> =
            all.map(|e| (e.involved_object.name.unwrap(), e.message.unwrap())).collect();
        all.sort_unstable();
        all
    };
    world.until("all are told", async |_| told().await.len() >= 6).await;
    let told = told().await;
    let expected = [
        ("a-no-url", "url is missing"),
        ("b-no-hosts", "known_hosts is missing"),
        ("c-wrong-kind", "a password is for http and https"),
        ("d-nothing", "neither password nor"),
        ("e-short", "less than 16 bytes"),
        ("g-second", "the Secret f-good is for"),
    ];
    for ((name, message), (secret, part)) in told.iter().zip(expected) {
        assert!(name == secret && message.contains(part), "{name}: {message}");
    }
    assert!(!format!("{told:?}").contains(PASSWORD));
    world.stop().await;
}
