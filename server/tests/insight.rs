//! What lies behind an environment's line: its objects, one object, the steps of a sync, logs.

#![allow(clippy::unwrap_used)]

mod support;

use http::Method;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use support::World;

const STAGING: &str = "/api/v1/environments/seaway/staging";

/// Lets a person see what lies in the namespace `shop`, except its secrets.
async fn may_view_shop(world: &World, who: &str) {
    let mut binding = support::binding(who, "shop");
    binding["roleRef"]["name"] = "view".into();
    world.create(binding).await;
    world
        .until("rights are known", async || {
            let tree = world.get(who, &format!("{STAGING}/tree")).await.body;
            tree.get("hidden").is_none()
        })
        .await;
}

async fn deployed() -> World {
    let world = World::start().await;
    world.deployed().await;
    let synced = world.post("developer", &format!("{STAGING}/sync"), Value::Null).await;
    assert_eq!(synced.body["record"]["outcome"], "succeeded", "{synced:?}");
    world
}

fn pod(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "shop", "name": name},
        "spec": {"containers": [{"name": "web", "image": "shop:1"}]}})
}

#[tokio::test]
async fn the_tree_holds_what_git_says_and_names_what_one_may_not_see() {
    let world = deployed().await;
    let tree = world.get("viewer", &format!("{STAGING}/tree")).await.body;
    assert_eq!(tree["components"][0]["name"], "web", "{tree}");
    let settings = &tree["components"][0]["objects"][0];
    assert_eq!(settings["object"]["name"], "settings");
    assert_eq!((&settings["sync"], &settings["health"]), (&json!("Synced"), &json!("Healthy")));
    assert_eq!(settings["info"], json!(["1 key"]));
    assert!(tree["hidden"].to_string().contains("you may not list pods in namespace shop"), "{tree}");
    may_view_shop(&world, "viewer").await;
    assert_eq!(world.get("nobody", &format!("{STAGING}/tree")).await.status, 403);
    world.stop().await;
}

#[tokio::test]
async fn an_object_is_read_as_the_person_who_asks() {
    let world = deployed().await;
    let settings = format!("{STAGING}/object?version=v1&kind=ConfigMap&namespace=shop&name=settings");
    assert_eq!(world.get("viewer", &settings).await.status, 403, "not in that namespace");
    may_view_shop(&world, "viewer").await;
    let detail = world.get("viewer", &settings).await.body;
    assert_eq!((&detail["managed"], &detail["component"]), (&json!(true), &json!("web")), "{detail}");
    assert_eq!(detail["origin"], json!({"file": "settings.yaml", "line": 1}));
    for manifest in ["live", "desired"] {
        assert!(detail[manifest].as_str().unwrap().contains("key: \"1\""), "{manifest}: {detail}");
    }
    let owners = detail["owners"].as_array().unwrap();
    let ours = owners.iter().find(|owner| owner["manager"] == "seaway").unwrap();
    assert_eq!(ours["operation"], "Apply");
    assert!(ours["fields"].to_string().contains(".data.key"), "{ours}");
    world.stop().await;
}

#[tokio::test]
async fn an_object_tells_what_happened_to_it_and_to_no_other() {
    let world = deployed().await;
    may_view_shop(&world, "viewer").await;
    let maps: kube::Api<k8s_openapi::api::core::v1::ConfigMap> =
        kube::Api::namespaced(world.cluster(), "shop");
    let uid = maps.get("settings").await.unwrap().metadata.uid;
    for (name, uid, reason) in [("one", uid.as_deref(), "Reloaded"), ("two", Some("other"), "Elsewhere")] {
        world
            .create(json!({"apiVersion": "v1", "kind": "Event", "metadata": {"namespace": "shop", "name": name},
                "type": "Warning", "reason": reason, "message": "the settings were read again", "count": 3,
                "lastTimestamp": "2026-11-01T10:00:00Z", "involvedObject": {"apiVersion": "v1", "kind": "ConfigMap",
                "namespace": "shop", "name": "settings", "uid": uid}}))
            .await;
    }
    let settings = format!("{STAGING}/object?version=v1&kind=ConfigMap&namespace=shop&name=settings");
    let told = world.get("viewer", &settings).await.body["events"].clone();
    let of = |field: &str| told[0][field].clone();
    assert_eq!(told.as_array().unwrap().len(), 1, "{told}");
    assert_eq!((of("type"), of("reason"), of("count")), (json!("Warning"), json!("Reloaded"), json!(3)));
    assert_eq!(of("message"), "the settings were read again");
    world.stop().await;
}

#[tokio::test]
async fn what_differs_names_the_field_and_who_set_it() {
    let world = deployed().await;
    may_view_shop(&world, "viewer").await;
    let maps: kube::Api<k8s_openapi::api::core::v1::ConfigMap> =
        kube::Api::namespaced(world.cluster(), "shop");
    let parameters =
        kube::api::PatchParams { field_manager: Some("kubectl-edit".into()), ..Default::default() };
    let patch = kube::api::Patch::Merge(json!({"data": {"key": "changed by hand"}}));
    maps.patch("settings", &parameters, &patch).await.unwrap();
    let settings = format!("{STAGING}/object?version=v1&kind=ConfigMap&namespace=shop&name=settings");
    world
        .until("the drift is seen", async || {
            let field = world.get("viewer", &settings).await.body["fields"][0].clone();
            field["drift"] == true && field["owner"]["manager"] == "kubectl-edit" && field["to"] == "1"
        })
        .await;
    world.stop().await;
}

#[tokio::test]
async fn values_of_secrets_are_never_shown() {
    let world = deployed().await;
    world.create(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": "shop", "name": "password"},
        "stringData": {"password": "correct horse"}}))
    .await;
    let secret = format!("{STAGING}/object?version=v1&kind=Secret&namespace=shop&name=password");
    let shown = world.get("admin", &secret).await;
    assert_eq!(shown.status, 200, "{shown:?}");
    let text = shown.body.to_string();
    assert!(text.contains("password") && !text.contains("correct horse"), "{text}");
    assert!(!text.contains("Y29ycmVjdCBob3JzZQ"), "nor in base64: {text}");
    may_view_shop(&world, "viewer").await;
    assert_eq!(world.get("viewer", &secret).await.status, 403);
    world.stop().await;
}

#[tokio::test]
async fn an_object_elsewhere_and_a_path_in_a_name_are_refused() {
    let world = deployed().await;
    for (query, status) in [
        ("version=v1&kind=ConfigMap&namespace=kube-system&name=settings", 404),
        ("version=v1&kind=ConfigMap&namespace=shop&name=absent", 404),
        ("version=v1&kind=Nothing&namespace=shop&name=settings", 404),
        ("version=v1&kind=ConfigMap&namespace=shop&name=..%2Fsecrets%2Fpassword", 400),
        ("version=v1&kind=ConfigMap&namespace=shop&name=..", 400),
        ("version=v1&kind=ConfigMap&namespace=..&name=settings", 400),
        ("version=v1%3Fwatch%3D1&kind=ConfigMap&namespace=shop&name=settings", 400),
        ("group=..%2F..&version=v1&kind=ConfigMap&namespace=shop&name=settings", 400),
        ("version=v1&kind=ConfigMap&namespace=shop", 400),
    ] {
        let answer = world.get("admin", &format!("{STAGING}/object?{query}")).await;
        assert_eq!(answer.status, status, "{query}: {answer:?}");
    }
    world.stop().await;
}

#[tokio::test]
async fn a_sync_is_told_step_by_step_and_the_next_one_knows_how_long_it_takes() {
    let world = World::start().await;
    let repository = world.deployed().await;
    let timeline = format!("{STAGING}/timeline");
    assert_eq!(world.get("viewer", &timeline).await.status, 404, "nothing was synced yet");
    let first = world.post("developer", &format!("{STAGING}/sync"), Value::Null).await.body;
    let shown = world.get("viewer", &timeline).await.body;
    let steps: Vec<String> = shown["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| format!("{} {} {}", step["kind"], step["title"], step["state"]).replace('"', ""))
        .collect();
    assert_eq!(
        steps,
        [
            "fetch Fetch web succeeded",
            "render Render web succeeded",
            "plan Compare with the cluster succeeded",
            "wave Apply web succeeded",
            "object ConfigMap settings succeeded",
        ],
        "{shown}"
    );
    assert_eq!((&shown["outcome"], &shown["actor"]), (&json!("succeeded"), &json!("developer")));
    assert!(shown["steps"][0]["message"].as_str().unwrap().contains("Set 1"), "{shown}");

    repository.commit("main", "2");
    world.post("developer", &format!("{STAGING}/sync"), Value::Null).await;
    let second = world.get("viewer", &timeline).await.body;
    assert_ne!(second["sync"], shown["sync"]);
    assert!(second["expectedMilliseconds"].is_i64(), "{second}");
    assert!(second["steps"][4]["expectedMilliseconds"].is_i64(), "{second}");
    let earlier = world.get("viewer", &format!("{timeline}?sync={}", first["record"]["id"])).await.body;
    assert_eq!(earlier["sync"], first["record"]["id"]);
    assert_eq!(world.get("viewer", &format!("{timeline}?sync=999")).await.status, 404);
    assert_eq!(world.get("nobody", &timeline).await.status, 403);
    world.stop().await;
}

#[tokio::test]
async fn a_log_that_cannot_be_read_is_named_and_the_stream_ends() {
    let world = deployed().await;
    world.create(pod("web-1")).await;
    let read = async |who: &str, query: &str| {
        let request = world
            .request(Method::GET, &format!("{STAGING}/logs?{query}"))
            .header("authorization", format!("Bearer token-of-{who}"));
        let body = world.stream(request.body(Default::default()).unwrap()).await;
        String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap()
    };
    let text = read("admin", "namespace=shop&pods=web-1,absent").await;
    let events: Vec<&str> = text.lines().filter(|line| line.starts_with("event:")).collect();
    assert_eq!(events, ["event: problem", "event: problem", "event: end"], "{text}");
    let text = read("viewer", "namespace=shop&pods=web-1").await;
    assert!(text.contains("forbidden"), "rights on pods count, not those on the environment: {text}");
    for (query, status) in [
        ("namespace=kube-system&pods=web-1", 404),
        ("namespace=shop&pods=", 400),
        ("namespace=shop&pods=..", 400),
        ("namespace=shop&pods=a%2Fb", 400),
    ] {
        let answer = world.get("admin", &format!("{STAGING}/logs?{query}")).await;
        assert_eq!(answer.status, status, "{query}: {answer:?}");
    }
    world.stop().await;
}
