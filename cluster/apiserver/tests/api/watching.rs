//! Watches.

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use serde_json::json;

use crate::support::*;

#[tokio::test]
async fn a_selected_watch_tells_when_objects_enter_and_leave() {
    let server = start().await;
    let api: Api<ConfigMap> = Api::default_namespaced(server.admin());
    let start = api.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    let mut events = api.watch(&WatchParams::default().labels("show=yes"), &start).await.unwrap().boxed();
    api.create(&PostParams::default(), &config_map("c", "1")).await.unwrap();
    let label = |v: &str| Patch::Merge(json!({"metadata": {"labels": {"show": v}}}));
    api.patch("c", &PatchParams::default(), &label("yes")).await.unwrap();
    api.patch("c", &PatchParams::default(), &Patch::Merge(json!({"data": {"key": "2"}}))).await.unwrap();
    api.patch("c", &PatchParams::default(), &label("no")).await.unwrap();
    let mut seen = vec![];
    while seen.len() < 3 {
        match events.try_next().await.unwrap().unwrap() {
            WatchEvent::Added(_) => seen.push("added"),
            WatchEvent::Modified(_) => seen.push("modified"),
            WatchEvent::Deleted(_) => seen.push("deleted"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seen, ["added", "modified", "deleted"]);
}

#[tokio::test]
async fn a_watch_resumes_where_it_was_told_to() {
    let server = start().await;
    let api: Api<ConfigMap> = Api::default_namespaced(server.admin());
    let first = api.create(&PostParams::default(), &config_map("a", "1")).await.unwrap();
    api.create(&PostParams::default(), &config_map("b", "1")).await.unwrap();
    let since = first.metadata.resource_version.unwrap();
    let mut events = api.watch(&WatchParams::default(), &since).await.unwrap().boxed();
    match events.try_next().await.unwrap().unwrap() {
        WatchEvent::Added(c) => assert_eq!(c.metadata.name.as_deref(), Some("b")),
        other => panic!("{other:?}"),
    }
    // Sixty-four events are kept; a watch from before them is told to list again.
    for n in 0..70 {
        let patch = Patch::Merge(json!({"data": {"key": n.to_string()}}));
        api.patch("a", &PatchParams::default(), &patch).await.unwrap();
    }
    let mut events = api.watch(&WatchParams::default(), &since).await.unwrap().boxed();
    match events.try_next().await.unwrap().unwrap() {
        WatchEvent::Error(e) => assert_eq!(e.code, 410),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn initial_events_are_for_watches_that_say_how_new() {
    let server = start().await;
    let client = server.admin();
    let path = "/api/v1/namespaces/default/configmaps";
    for query in [
        "sendInitialEvents=true&resourceVersionMatch=NotOlderThan",
        "watch=1&sendInitialEvents=true",
        "watch=1&sendInitialEvents=true&resourceVersionMatch=Exact",
        "watch=1&resourceVersion=1&resourceVersionMatch=NotOlderThan",
    ] {
        let (code, _, answer) = ask(&client, "GET", &format!("{path}?{query}"), json!(null)).await;
        assert_eq!(code, 422, "{query}: {answer}");
    }
    let whole = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&timeoutSeconds=1";
    assert_eq!(ask(&client, "GET", &format!("{path}?{whole}"), json!(null)).await.0, 200);
}

#[tokio::test]
async fn a_watch_of_a_revision_to_come_shows_what_comes_after_it() {
    let server = start().await;
    let admin = server.admin();
    let maps = "/api/v1/namespaces/default/configmaps";
    let write = async |name: String| {
        done(&admin, "POST", maps, serde_json::to_value(config_map(&name, "1")).unwrap()).await
    };
    let made = write("a".into()).await;
    let now: u64 = made["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
    let api: Api<ConfigMap> = Api::default_namespaced(server.admin());
    let mut events = api.watch(&WatchParams::default(), &(now + 20).to_string()).await.unwrap().boxed();
    for n in 0..40 {
        write(format!("b{n}")).await;
    }
    let Some(WatchEvent::Added(first)) = events.try_next().await.unwrap() else { panic!("no event") };
    let revision: u64 = first.metadata.resource_version.unwrap().parse().unwrap();
    assert!(revision > now + 20, "{revision}");
    // What there is then cannot be told before it is there.
    let far = now + 1_000_000;
    let initial = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
    let path = format!("{maps}?watch=1&resourceVersion={far}&{initial}");
    let (code, _, answer) = ask(&admin, "GET", &path, serde_json::Value::Null).await;
    assert_eq!((code, answer["reason"].as_str()), (504, Some("Timeout")), "{answer}");
    assert!(answer["message"].as_str().unwrap().contains("Too large resource version"), "{answer}");
}
