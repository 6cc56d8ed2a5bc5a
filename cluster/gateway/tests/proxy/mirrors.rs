use http::Method;
use serde_json::{Value, json};

use crate::support::{Backend, World, eventually, fetch, full, refusing, request, serve};

fn mirrored(share: Value) -> World {
    let mut mirror = json!({"backendRef": {"name": "copy", "port": 80}});
    mirror.as_object_mut().unwrap().extend(share.as_object().unwrap().clone());
    World::new(json!([{
        "filters": [{"type": "RequestMirror", "requestMirror": mirror}],
        "backendRefs": [{"name": "web", "port": 80}],
    }]))
}

#[tokio::test]
async fn a_mirror_gets_a_copy_and_only_the_backend_answers() {
    let (backend, copy) = (Backend::echo("web").await, Backend::echo("copy").await);
    let proxy =
        serve(&mirrored(json!({})).with("web", &[backend.address]).with("copy", &[copy.address])).await;
    for _ in 0..10 {
        let post = request(Method::POST, "/").map(|_| full("order"));
        let answer = fetch(&proxy, post).await;
        assert_eq!((answer.backend(), &answer.json()["body"]), ("web".to_owned(), &json!("order")));
    }
    eventually("the copies have arrived", || copy.count() == 10).await;
}

#[tokio::test]
async fn the_copy_has_the_whole_body() {
    let (seen, mut bodies) = tokio::sync::mpsc::unbounded_channel();
    let copy = Backend::start(move |request| {
        let seen = seen.clone();
        async move {
            let body = http_body_util::BodyExt::collect(request.into_body()).await.unwrap().to_bytes();
            seen.send(body).unwrap();
            http::Response::new(full(""))
        }
    })
    .await;
    let backend = Backend::echo("web").await;
    let proxy =
        serve(&mirrored(json!({})).with("web", &[backend.address]).with("copy", &[copy.address])).await;
    let post = request(Method::POST, "/").map(|_| full("all of it"));
    assert_eq!(fetch(&proxy, post).await.status, 200);
    let body = tokio::time::timeout(std::time::Duration::from_secs(60), bodies.recv()).await.unwrap();
    assert_eq!(body.unwrap(), "all of it");
}

#[tokio::test]
async fn a_mirror_that_is_down_or_hangs_does_not_disturb() {
    let backend = Backend::echo("web").await;
    let hanging = Backend::start(|_| std::future::pending()).await;
    for copy in [refusing().await, hanging.address] {
        let proxy = serve(&mirrored(json!({})).with("web", &[backend.address]).with("copy", &[copy])).await;
        let post = request(Method::POST, "/").map(|_| full("x".repeat(1_000_000)));
        assert_eq!(fetch(&proxy, post).await.json()["body"].as_str().unwrap().len(), 1_000_000);
    }
}

#[tokio::test]
async fn a_share_of_the_requests_is_mirrored() {
    let (backend, copy) = (Backend::echo("web").await, Backend::echo("copy").await);
    let world = mirrored(json!({"percent": 25}));
    let proxy = serve(&world.with("web", &[backend.address]).with("copy", &[copy.address])).await;
    let mut client = crate::support::Client::connect(&proxy).await;
    for _ in 0..400 {
        client.try_get("/").await.unwrap();
    }
    eventually("a quarter was copied", || (60..=140).contains(&copy.count())).await;
}
