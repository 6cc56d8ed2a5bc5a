use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use serde_json::{Value, json};

use crate::support::{Backend, Client, World, full, get, request, serve};

fn limited(timeouts: Value) -> World {
    World::new(json!([{"timeouts": timeouts, "backendRefs": [{"name": "web", "port": 80}]}]))
}

async fn silent() -> Backend {
    Backend::start(|_| std::future::pending()).await
}

#[tokio::test]
async fn a_backend_that_takes_longer_than_the_route_allows_is_a_504() {
    for timeouts in [json!({"request": "100ms"}), json!({"backendRequest": "100ms"})] {
        let backend = silent().await;
        let proxy = serve(&limited(timeouts.clone()).with("web", &[backend.address])).await;
        assert_eq!(get(&proxy, "/").await.status, 504, "{timeouts}");
        // On a busy machine the time may be over before the backend has seen it.
        assert!(backend.count() <= 1, "a timeout is not tried again");
    }
}

#[tokio::test]
async fn zero_is_no_limit_and_a_quick_backend_is_not_disturbed() {
    let backend = Backend::start(|_| async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        Response::new(full("slow"))
    })
    .await;
    for timeouts in [json!({"request": "0s", "backendRequest": "0s"}), json!({"request": "30s"})] {
        let proxy = serve(&limited(timeouts).with("web", &[backend.address])).await;
        assert_eq!(get(&proxy, "/").await.body, "slow");
    }
}

#[tokio::test]
async fn a_response_that_does_not_end_in_time_breaks_off() {
    let backend = Backend::start(|_| async {
        let first = futures::stream::iter([Ok(Frame::data(Bytes::from_static(b"begin")))]);
        let frames = futures::StreamExt::chain(first, futures::stream::pending());
        Response::new(BodyExt::boxed(StreamBody::new(frames)))
    })
    .await;
    let proxy = serve(&limited(json!({"request": "3s"})).with("web", &[backend.address])).await;
    let mut client = Client::connect(&proxy).await;
    let mut body = client.send(request(Method::GET, "/")).await.into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "begin");
    let next = tokio::time::timeout(Duration::from_secs(60), body.frame()).await.unwrap();
    assert!(
        next.is_some_and(|frame| frame.is_err()),
        "the client must see that the response is not complete"
    );
}
