use http::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Backend, Client, World, fetch, full, get, request, serve};

async fn echo_with(filters: Value, backend_filters: Value) -> (Backend, seaway_gateway::proxy::Proxy) {
    let backend = Backend::echo("web").await;
    let world = World::new(json!([{
        "matches": [{"path": {"value": "/old"}}],
        "filters": filters,
        "backendRefs": [{"name": "web", "port": 80, "filters": backend_filters}],
    }]));
    let proxy = serve(&world.with("web", &[backend.address])).await;
    (backend, proxy)
}

#[tokio::test]
async fn the_backend_sees_the_request_as_it_was_sent_and_who_sent_it() {
    let backend = Backend::echo("web").await;
    let proxy = serve(&World::of("web", &[backend.address])).await;
    let mut sent = request(Method::GET, "/a%20b/../c?q=1&q=2");
    for (name, value) in [
        ("cookie", "a=1; __Host-seaway=secret"),
        ("authorization", "Bearer swy_secret"),
        ("connection", "x-private"),
        ("x-private", "1"),
        ("x-custom", "kept"),
    ] {
        sent.headers_mut().append(name, value.parse().unwrap());
    }
    let seen = fetch(&proxy, sent).await.json();
    assert_eq!(seen["target"], "/a%20b/../c?q=1&q=2");
    let headers = &seen["headers"];
    assert_eq!(headers["host"], "shop.localhost:7480");
    assert_eq!(headers["x-forwarded-for"], "127.0.0.1");
    assert_eq!(headers["x-forwarded-proto"], "http");
    assert_eq!(headers["x-forwarded-host"], "shop.localhost:7480");
    assert_eq!(headers["cookie"], "a=1");
    assert_eq!(headers["x-custom"], "kept");
    for gone in ["authorization", "x-private", "connection"] {
        assert_eq!(headers[gone], Value::Null, "{gone}");
    }
}

#[tokio::test]
async fn header_filters_of_rule_and_backend_change_requests_and_responses() {
    let (_backend, proxy) = echo_with(
        json!([
            {"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "x-rule", "value": "1"}]}},
            {"type": "ResponseHeaderModifier", "responseHeaderModifier": {
                "set": [{"name": "x-answer", "value": "rule"}], "remove": ["date"],
            }},
        ]),
        json!([{"type": "RequestHeaderModifier", "requestHeaderModifier": {
            "add": [{"name": "x-rule", "value": "2"}], "remove": ["user-agent"],
        }}]),
    )
    .await;
    let mut sent = request(Method::GET, "/old");
    sent.headers_mut().insert("user-agent", "test".parse().unwrap());
    let answer = fetch(&proxy, sent).await;
    assert_eq!(answer.headers["x-answer"], "rule");
    let seen = answer.json();
    assert_eq!(seen["headers"]["x-rule"], "1|2");
    assert_eq!(seen["headers"]["user-agent"], Value::Null);
}

#[tokio::test]
async fn host_and_path_are_rewritten_for_the_backend() {
    let rewrite = json!([{"type": "URLRewrite", "urlRewrite": {
        "hostname": "internal.example.com",
        "path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/new"},
    }}]);
    let (_backend, proxy) = echo_with(rewrite, json!([])).await;
    let seen = get(&proxy, "/old/x?q=1").await.json();
    assert_eq!(seen["target"], "/new/x?q=1");
    assert_eq!(seen["headers"]["host"], "internal.example.com");
    assert_eq!(seen["headers"]["x-forwarded-host"], "shop.localhost:7480");
}

#[tokio::test]
async fn redirects_are_answered_without_a_backend() {
    let world = World::new(json!([{"filters": [{"type": "RequestRedirect", "requestRedirect": {
        "scheme": "https", "statusCode": 301,
    }}]}]));
    let proxy = serve(&world).await;
    let answer = get(&proxy, "/a?b=c").await;
    assert_eq!(answer.status, 301);
    assert_eq!(answer.headers["location"], "https://shop.localhost/a?b=c");
}

#[tokio::test]
async fn an_absolute_target_decides_the_host() {
    let backend = Backend::echo("web").await;
    let proxy = serve(&World::of("web", &[backend.address])).await;
    let mut client = Client::connect(&proxy).await;
    let mut sent = request(Method::GET, "http://shop.localhost/x");
    sent.headers_mut().insert("host", "elsewhere.localhost".parse().unwrap());
    let seen = Answer::of(client.send(sent).await).await.json();
    assert_eq!((&seen["target"], &seen["headers"]["host"]), (&json!("/x"), &json!("shop.localhost")));
}

#[tokio::test]
async fn what_a_backend_says_about_its_connection_or_seaways_session_stops_here() {
    let backend = Backend::start(|_| async {
        let response = http::Response::builder()
            .header("keep-alive", "timeout=5")
            .header("connection", "x-internal")
            .header("x-internal", "1")
            .header("set-cookie", "seaway_session=stolen; Domain=localhost")
            .header("set-cookie", "theirs=1");
        response.body(full("")).unwrap()
    })
    .await;
    let proxy = serve(&World::of("web", &[backend.address])).await;
    let answer = get(&proxy, "/").await;
    for gone in ["keep-alive", "x-internal"] {
        assert!(!answer.headers.contains_key(gone), "{gone}");
    }
    assert_eq!(answer.headers.get_all("set-cookie").iter().collect::<Vec<_>>(), ["theirs=1"]);
}
