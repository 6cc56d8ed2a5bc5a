//! Promises of logs that go on: they end with the rights of whoever follows them, and are not too many.

#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use http::Method;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use kube::api::{Api, DeleteParams};
use serde_json::{Value, json};
use support::World;

const ACCOUNTS: &str = "/api/v1/accounts";
const LOGS: &str = "/api/v1/environments/seaway/staging/logs?namespace=shop&pods=web-1&follow=true";
const PASSWORD: &str = "correct horse battery";
/// Nothing here takes that long; what does is broken.
const PATIENCE: Duration = Duration::from_secs(30);

/// An environment with a pod that goes on printing, and the viewer `ada`.
async fn with_ada() -> World {
    let world = World::start().await;
    world.serve_logs();
    world.deployed().await;
    let synced = world.post("admin", "/api/v1/environments/seaway/staging/sync", Value::Null).await;
    assert_eq!(synced.status, 200, "{synced:?}");
    for object in seaway_server::group_bindings() {
        world.create(object).await;
    }
    world
        .create(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "shop", "name": "web-1"},
            "spec": {"nodeName": "here", "containers": [{"name": "web", "image": "shop:1"}]}}))
        .await;
    let invited = world.post("admin", ACCOUNTS, json!({"name": "ada", "role": "viewer"})).await;
    join(&world, &invited.body).await;
    world
}

async fn send(world: &World, path: &str, body: Value) -> Value {
    let request = world.request(Method::POST, path).body(Full::from(body.to_string())).unwrap();
    let answer = world.send(request).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

async fn join(world: &World, invitation: &Value) {
    let code = invitation["link"].as_str().unwrap().strip_prefix("/join#").unwrap();
    send(world, "/api/v1/join", json!({"code": code, "password": PASSWORD})).await;
}

async fn bearer(world: &World) -> String {
    let token = send(world, "/api/v1/tokens", json!({"name": "ada", "password": PASSWORD})).await;
    format!("Bearer {}", token["token"].as_str().unwrap())
}

/// A stream that has begun.
async fn follow(world: &World, bearer: &str) -> Incoming {
    let request = world.request(Method::GET, LOGS).header("authorization", bearer);
    let mut stream = world.stream(request.body(Full::default()).unwrap()).await;
    let first = tokio::time::timeout(PATIENCE, stream.frame()).await.expect("it begins").unwrap().unwrap();
    let text = String::from_utf8_lossy(first.data_ref().unwrap()).into_owned();
    assert!(text.contains("hello from web-1"), "{text}");
    stream
}

/// Whether no more comes, and soon.
async fn ends(stream: Incoming) -> bool {
    tokio::time::timeout(PATIENCE, stream.collect()).await.is_ok()
}

#[tokio::test]
async fn a_followed_log_ends_with_the_session_of_whoever_follows_it() {
    let world = with_ada().await;
    let (one, other) = (bearer(&world).await, bearer(&world).await);
    let (ends_at_logout, goes_on) = (follow(&world, &one).await, follow(&world, &other).await);
    let logout = world.request(Method::DELETE, "/api/v1/session").header("authorization", one);
    assert_eq!(world.send(logout.body(Full::default()).unwrap()).await.status, 200);
    assert!(ends(ends_at_logout).await, "a logout");

    let invited = world.post("admin", &format!("{ACCOUNTS}/ada/invitation"), Value::Null).await;
    join(&world, &invited.body).await;
    assert!(ends(goes_on).await, "another password");

    let last = follow(&world, &bearer(&world).await).await;
    let deleted = world.act("admin", Method::DELETE, &format!("{ACCOUNTS}/ada"), &Value::Null).await;
    assert_eq!(deleted.status, 200, "{deleted:?}");
    assert!(ends(last).await, "the end of the account");
    world.stop().await;
}

#[tokio::test]
async fn the_log_of_the_container_before_is_another_one_and_has_an_end() {
    let world = with_ada().await;
    let bearer = bearer(&world).await;
    let path = LOGS.replace("follow=true", "previous=true");
    let request = world.request(Method::GET, &path).header("authorization", bearer);
    let stream = world.stream(request.body(Full::default()).unwrap()).await;
    let all = tokio::time::timeout(PATIENCE, stream.collect()).await.expect("it ends").unwrap().to_bytes();
    let text = String::from_utf8_lossy(&all);
    assert!(text.contains("web-1 ended here") && !text.contains("hello"), "{text}");
    world.stop().await;
}

#[tokio::test]
async fn a_followed_log_ends_with_the_right_to_see_the_environment() {
    let world = with_ada().await;
    let stream = follow(&world, &bearer(&world).await).await;
    let bindings: Api<k8s_openapi::api::rbac::v1::ClusterRoleBinding> = Api::all(world.cluster());
    for role in ["seaway-viewer", "view"] {
        bindings.delete(&format!("seaway:viewers:{role}"), &DeleteParams::default()).await.unwrap();
    }
    assert!(ends(stream).await);
    world.stop().await;
}

#[tokio::test]
async fn a_person_follows_so_many_logs_at_once() {
    let world = with_ada().await;
    let ada = bearer(&world).await;
    let mut streams = Vec::new();
    for _ in 0..20 {
        streams.push(follow(&world, &ada).await);
    }
    let asked =
        || world.request(Method::GET, LOGS).header("authorization", &ada).body(Full::default()).unwrap();
    let refused = world.send(asked()).await;
    assert_eq!((refused.status, &refused.body["type"]), (429, &json!("urn:seaway:problem:too-many-streams")));
    drop(follow(&world, "Bearer token-of-admin").await);
    streams.pop();
    world
        .until("one that ends makes room", async || {
            let mut answer = world.stream(asked()).await;
            let first = answer.frame().await.unwrap().unwrap().into_data().unwrap();
            String::from_utf8_lossy(&first).contains("hello")
        })
        .await;
    drop(streams);
    world.stop().await;
}
