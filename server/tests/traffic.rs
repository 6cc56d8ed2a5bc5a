//! Requests of an environment: measured by our gateway, summed up over its routes, with what was deployed; links of its
//! stack; who brought what runs.

#![allow(clippy::unwrap_used)]

mod support;

use seaway_server::Counted;
use serde_json::{Value, json};
use support::{Counters, World};

const STAGING: &str = "/api/v1/environments/seaway/staging";

fn counted(route: &str, requests: u64, errors: u64) -> Counted {
    let mut buckets = [0; 14];
    buckets[4] = requests; // 10 to 25 ms
    Counted {
        series: route.to_owned(),
        namespace: "shop".to_owned(),
        route: route.to_owned(),
        requests,
        errors,
        buckets,
    }
}

/// A route's kind, as the Gateway API's definition has it as far as it matters here.
fn routes() -> Value {
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "httproutes.gateway.networking.k8s.io",
            "annotations": {"api-approved.kubernetes.io": "https://github.com/kubernetes-sigs/gateway-api/pull/1"}},
        "spec": {"group": "gateway.networking.k8s.io", "scope": "Namespaced",
            "names": {"kind": "HTTPRoute", "listKind": "HTTPRouteList", "plural": "httproutes", "singular": "httproute"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema":
                {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]}})
}

/// Says of the route what a gateway says that takes it; without that it is not healthy.
async fn accept(world: &World) {
    let gvk = kube::core::GroupVersionKind::gvk("gateway.networking.k8s.io", "v1", "HTTPRoute");
    let resource = kube::discovery::ApiResource::from_gvk(&gvk);
    let api: kube::Api<kube::api::DynamicObject> =
        kube::Api::namespaced_with(world.cluster(), "shop", &resource);
    let conditions = ["Accepted", "ResolvedRefs"].map(|name| {
        json!({"type": name, "status": "True", "reason": name, "message": "", "lastTransitionTime": "2024-01-01T00:00:00Z"})
    });
    let status = json!({"status": {"parents": [{"parentRef": {"name": "gateway"}, "controllerName": "test/gateway",
        "conditions": conditions}]}});
    let patch = kube::api::Patch::Merge(status);
    world
        .until("the route is there", async || api.patch("web", &Default::default(), &patch).await.is_ok())
        .await;
}

fn sum(view: &Value, field: &str) -> u64 {
    view["points"].as_array().unwrap().iter().map(|point| point[field].as_u64().unwrap()).sum()
}

#[tokio::test]
async fn requests_of_an_environments_routes_are_told_with_what_was_deployed() {
    let counters = Counters::default();
    let world = World::start_measured(counters.clone()).await;
    world.create(routes()).await;
    let repository = world.deployed().await;
    repository.add(
        "route.yaml",
        &json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "web"}, "spec": {}}),
    );
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": "routes", "labels": {"rbac.authorization.k8s.io/aggregate-to-admin": "true"}},
        "rules": [{"apiGroups": ["gateway.networking.k8s.io"], "resources": ["*"], "verbs": ["*"]}]});
    world.create(binding).await;
    let path = format!("{STAGING}/sync");
    let (synced, ()) = tokio::join!(world.post("admin", &path, Value::Null), accept(&world));
    assert_eq!(synced.body["record"]["outcome"], "succeeded", "{synced:?}");

    *counters.lock() = vec![counted("web", 30, 3), counted("other", 1000, 1000)];
    let traffic = async || world.get("viewer", &format!("{STAGING}/traffic?minutes=15")).await;
    world.until("the requests are told", async || sum(&traffic().await.body, "requests") == 30).await;
    let view = traffic().await.body;
    assert_eq!(view["measured"], true);
    assert_eq!(view["routes"], json!([{"namespace": "shop", "name": "web"}]), "and no other one");
    assert_eq!(sum(&view, "errors"), 3);
    let points = view["points"].as_array().unwrap();
    assert!(points.len() >= 90, "a point for each step of ten seconds: {}", points.len());
    let point = points.iter().find(|point| point["requests"].as_u64() > Some(0)).unwrap();
    assert!((10.0..=25.0).contains(&point["p50"].as_f64().unwrap()), "{point}");
    assert!(points[0].get("p50").is_none(), "of no requests nothing is said: {}", points[0]);
    let deploys = view["deploys"].as_array().unwrap();
    assert!(
        deploys.iter().any(|one| one["outcome"] == "succeeded" && one["actor"] == "admin"),
        "{deploys:?}"
    );

    for (query, status) in
        [("minutes=0", 400), ("minutes=721", 400), ("minutes=x", 400), ("hours=1", 400), ("minutes=720", 200)]
    {
        assert_eq!(
            world.get("viewer", &format!("{STAGING}/traffic?{query}")).await.status,
            status,
            "{query}"
        );
    }
    assert_eq!(world.get("nobody", &format!("{STAGING}/traffic")).await.status, 403);
    world.stop().await;
}

#[tokio::test]
async fn where_the_gateway_is_somebody_elses_it_says_so() {
    let world = World::start().await;
    world.environment("seaway", "staging").await;
    let view = world.get("viewer", &format!("{STAGING}/traffic")).await.body;
    assert_eq!((&view["measured"], &view["points"]), (&json!(false), &json!([])));
    world.stop().await;
}

#[tokio::test]
async fn links_of_a_stack_are_filled_in_for_each_environment() {
    let world = World::start().await;
    world.deployed().await;
    let link = async |links: Value| {
        let api: kube::Api<seaway_api::Stack> = kube::Api::namespaced(world.cluster(), "seaway");
        let patch = kube::api::Patch::Merge(json!({"spec": {"links": links}}));
        api.patch("shop", &Default::default(), &patch).await.map(drop)
    };
    link(json!([
        {"name": "Grafana", "url": "https://grafana.example.com/d/shop?var-env={environment}&var-namespace={namespace}"},
        {"name": "Logs", "url": "https://logs.example.com/{stack}/{component}/{class}"},
    ]))
    .await
    .unwrap();
    let links = async || world.get("viewer", STAGING).await.body["links"].clone();
    world.until("the links are there", async || !links().await.is_null()).await;
    assert_eq!(
        links().await,
        json!([
            {"name": "Grafana", "url": "https://grafana.example.com/d/shop?var-env=staging&var-namespace=shop"},
            {"name": "Logs", "component": "web", "url": "https://logs.example.com/shop/web/staging"},
        ])
    );
    let refused =
        link(json!([{"name": "Bad", "url": "javascript:alert(document.cookie)"}])).await.unwrap_err();
    assert!(refused.to_string().contains("links"), "{refused}");
    world.stop().await;
}

#[tokio::test]
async fn the_list_says_who_deployed_what_when() {
    let world = World::start().await;
    world.deployed().await;
    let line =
        async || world.get("viewer", "/api/v1/environments?search=developer").await.body["items"][0].clone();
    assert!(line().await.is_null(), "nobody has deployed it yet");
    let synced = world.post("developer", &format!("{STAGING}/sync"), Value::Null).await;
    assert_eq!(synced.body["record"]["outcome"], "succeeded", "{synced:?}");
    let deployed = line().await["deployed"].clone();
    assert_eq!(
        (&deployed["actor"], &deployed["subject"], &deployed["author"]),
        (&json!("developer"), &json!("Set 1"), &json!("Ada"))
    );
    assert!(deployed["time"].is_string());
    world.stop().await;
}

#[tokio::test]
async fn only_a_sync_that_goes_on_is_cancelled_and_by_whoever_may_sync() {
    let world = World::start().await;
    world.environment("seaway", "staging").await;
    let cancel = async |who: &str, body: Value| world.post(who, &format!("{STAGING}/cancel"), body).await;
    assert_eq!(cancel("viewer", Value::Null).await.status, 403);
    let refused = cancel("developer", Value::Null).await;
    assert_eq!(refused.status, 409, "{refused:?}");
    assert!(
        refused.body["detail"].as_str().unwrap().contains("no sync of seaway/staging goes on"),
        "{refused:?}"
    );
    assert_eq!(cancel("developer", json!({"sync": 7})).await.status, 409);
    assert_eq!(cancel("developer", json!({"sink": 7})).await.status, 400);
    world.stop().await;
}
