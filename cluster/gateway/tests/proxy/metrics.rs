use http::Response;
use serde_json::json;

use crate::support::{Backend, World, full, get, serve};

#[tokio::test]
async fn requests_are_counted_by_route_rule_backend_and_revision() {
    let backend = Backend::start(|request| async move {
        let status = if request.uri().path() == "/bad" { 500 } else { 200 };
        Response::builder().status(status).body(full("")).unwrap()
    })
    .await;
    let world = World::new(json!([{"name": "all", "backendRefs": [{"name": "web", "port": 80}]}]));
    let proxy = serve(&world.with("web", &[backend.address])).await;
    for path in ["/", "/", "/bad"] {
        get(&proxy, path).await;
    }
    let text = proxy.metrics().text();
    let labels = r#"route_namespace="shop",route="web",rule="all",backend_namespace="shop",backend="web",pod_template_hash="web-hash""#;
    for line in [
        format!("seaway_gateway_requests_total{{{labels},code_class=\"2xx\"}} 2"),
        format!("seaway_gateway_requests_total{{{labels},code_class=\"5xx\"}} 1"),
        format!("seaway_gateway_request_duration_seconds_count{{{labels}}} 3"),
    ] {
        assert!(text.lines().any(|each| each == line), "{line} is missing in\n{text}");
    }
    let snapshot = proxy.metrics().snapshot();
    assert_eq!(snapshot.len(), 1);
    assert_eq!((snapshot[0].key.backend.as_str(), snapshot[0].total()), ("web", 3));
}
