//! Webhooks: signed, and good for nothing but a look at Git.

#![allow(clippy::unwrap_used)]

mod support;

use aws_lc_rs::hmac;
use http::Method;
use http_body_util::Full;
use serde_json::{Value, json};
use support::{Answer, World};

const SECRET: &str = "the-webhooks-own-secret";
const WEBHOOKS: &str = "/api/v1/webhooks";
const STAGING: &str = "/api/v1/environments/seaway/staging";

async fn send(world: &World, body: &str, header: &str, proof: &str) -> Answer {
    let request = world.request(Method::POST, WEBHOOKS).header("content-type", "application/json");
    world.send(request.header(header, proof).body(Full::from(body.to_owned())).unwrap()).await
}

fn signature(secret: &str, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let digits: String =
        hmac::sign(&key, body.as_bytes()).as_ref().iter().map(|b| format!("{b:02x}")).collect();
    format!("sha256={digits}")
}

#[tokio::test]
async fn a_push_is_seen_at_once_when_its_webhook_is_signed() {
    let world = World::start().await;
    let repository = world.deployed().await;
    let url = repository.url();
    let synced = world.post("admin", &format!("{STAGING}/sync"), Value::Null).await;
    assert_eq!(synced.status, 200, "{synced:?}");
    assert_eq!(world.value().await.as_deref(), Some("1"));
    world
        .create(json!({"apiVersion": "v1", "kind": "Secret", "stringData": {"url": url, "webhook-secret": SECRET},
            "metadata": {"name": "hook", "namespace": "seaway", "labels": {"seaway.dev/credentials": "git"}}}))
        .await;

    // Polls are an hour apart here.
    repository.commit("main", "2");
    let body = json!({"repository": {"clone_url": url}, "ref": "refs/heads/main"}).to_string();
    let wrong = json!("urn:seaway:problem:wrong-signature");
    for (header, proof) in [
        ("x-hub-signature-256", signature("another secret entirely", &body)),
        ("x-hub-signature-256", signature(SECRET, &format!("{body} "))),
        ("x-gitlab-token", "guessed".to_owned()),
        ("x-github-event", "push".to_owned()),
        ("authorization", "Bearer token-of-admin".to_owned()),
    ] {
        let answer = send(&world, &body, header, &proof).await;
        assert_eq!((answer.status, &answer.body["type"]), (403, &wrong), "{header}");
        assert!(!answer.body.to_string().contains(SECRET));
    }
    // Whether there is a Secret for a repository is not told.
    let elsewhere = json!({"repository": "https://git.example.com/unknown"}).to_string();
    let unknown = send(&world, &elsewhere, "x-seaway-signature-256", &signature(SECRET, &elsewhere)).await;
    assert_eq!((unknown.status, &unknown.body["type"]), (403, &wrong));
    assert_eq!(world.get("admin", STAGING).await.body["sync"], "Synced", "nobody has looked");

    world
        .until("the Secret is known", async || {
            send(&world, &body, "x-hub-signature-256", &signature(SECRET, &body)).await.status == 200
        })
        .await;
    let answer = send(&world, &body, "x-gitlab-token", SECRET).await;
    assert_eq!((answer.status, answer.body), (200, json!({"repositories": 1})));
    world
        .until("the push is seen", async || world.get("admin", STAGING).await.body["sync"] == "OutOfSync")
        .await;
    assert_eq!(world.value().await.as_deref(), Some("1"), "automatic sync is off, and stays so");
    world.stop().await;
}

#[tokio::test]
async fn a_webhook_has_at_most_a_mebibyte() {
    let world = World::start().await;
    for (size, status) in [(100_000, 403), ((1 << 20) - 100, 403), ((1 << 20) + 1, 413)] {
        let body = json!({"repository": "https://git.example.com/a", "more": "x".repeat(size)}).to_string();
        let answer = send(&world, &body, "x-hub-signature-256", &signature(SECRET, &body)).await;
        assert_eq!(answer.status, status, "{size}");
    }
    let broken = send(&world, "payload=%7B%7D", "x-gitlab-token", SECRET).await;
    assert_eq!(broken.status, 400);
    world.stop().await;
}
