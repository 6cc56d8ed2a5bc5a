//! Promises of what the server says of itself: request ids and numbers.

#![allow(clippy::unwrap_used)]

mod support;

use http::Method;
use http_body_util::Full;
use serde_json::{Value, json};
use support::World;

#[tokio::test]
async fn each_request_has_an_id_of_its_own_that_its_problem_carries() {
    let world = World::start().await;
    let first = world.get("nobody", "/api/v1/environments/seaway/none").await;
    assert_eq!(first.status, 403);
    let id = first.headers["x-request-id"].to_str().unwrap().to_owned();
    assert_eq!(first.body["requestId"], json!(id));
    let second = world.get("admin", "/api/v1/environments").await;
    assert_ne!(second.headers["x-request-id"], id.as_str());
    // What is refused before anything else has one, too, and none is taken from outside.
    let forged = world
        .request(Method::GET, "/api/v1/environments")
        .header("host", "evil.example")
        .header("x-request-id", "mine");
    let refused = world.send(forged.body(Full::default()).unwrap()).await;
    assert_eq!(refused.status, 421);
    assert_eq!(refused.body["requestId"], json!(refused.headers["x-request-id"].to_str().unwrap()));
    assert_ne!(refused.headers["x-request-id"], "mine");
    world.stop().await;
}

#[tokio::test]
async fn whoever_may_read_the_numbers_of_kubernetes_may_read_these() {
    let world = World::start().await;
    world.environment("seaway", "staging").await;
    assert_eq!(
        world.post("viewer", "/api/v1/environments/seaway/staging/suspend", Value::Null).await.status,
        403
    );
    let anybody = world.request(Method::GET, "/metrics").body(Full::default()).unwrap();
    assert_eq!(world.send(anybody).await.status, 401);
    let refused = world.get("operator", "/metrics").await;
    assert_eq!(refused.status, 403, "{refused:?}");
    let answer = world.get("admin", "/metrics").await;
    assert_eq!(answer.status, 200);
    let text = answer.body.as_str().unwrap();
    for line in [
        "seaway_http_requests_total{method=\"POST\",route=\"/api/v1/environments/{namespace}/{name}/suspend\",status=\"403\"} 1",
        "seaway_events_total{action=\"environment.update\",outcome=\"denied\"} 1",
        "seaway_environments{class=\"staging\",",
        "seaway_http_request_duration_seconds_bucket{",
        "seaway_resident_memory_bytes ",
        "# EOF",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    world.stop().await;
}
