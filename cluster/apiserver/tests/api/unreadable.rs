//! Objects that nobody can read: what an earlier release stored, or what is left of a damaged row.

use std::path::Path;

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Api, ListParams};
use seaway_apiserver::{ApiServer, Identity, Options};
use serde_json::{Value, json};
use sqlx::{Connection, SqliteConnection};

use crate::support::*;

async fn open(folder: &Path) -> ApiServer {
    ApiServer::start(Options::new(folder)).await.unwrap()
}

async fn database(folder: &Path) -> SqliteConnection {
    SqliteConnection::connect(folder.join("apiserver.db").to_str().unwrap()).await.unwrap()
}

/// Writes a row past the server.
async fn plant(folder: &Path, resource: &str, namespace: &str, name: &str, body: &[u8]) {
    let mut database = database(folder).await;
    sqlx::query("UPDATE revision SET newest = newest + 1").execute(&mut database).await.unwrap();
    sqlx::query("INSERT INTO object SELECT ?1, ?2, ?3, newest, ?4 FROM revision")
        .bind(resource)
        .bind(namespace)
        .bind(name)
        .bind(body)
        .execute(&mut database)
        .await
        .unwrap();
    database.close().await.unwrap();
}

async fn row(folder: &Path, name: &str) -> Option<Vec<u8>> {
    let mut database = database(folder).await;
    sqlx::query_scalar("SELECT body FROM object WHERE name = ?1")
        .bind(name)
        .fetch_optional(&mut database)
        .await
        .unwrap()
}

/// Makes a row unreadable past the server.
async fn spoil(folder: &Path, resource: &str, name: &str) {
    let mut database = database(folder).await;
    let spoilt = sqlx::query("UPDATE object SET body = 'torn' WHERE resource = ?1 AND name = ?2");
    let rows = spoilt.bind(resource).bind(name).execute(&mut database).await.unwrap().rows_affected();
    assert_eq!(rows, 1);
    database.close().await.unwrap();
}

/// A Deployment whose replicas no client can decode.
fn old_deployment(finalizers: Value) -> Vec<u8> {
    let object = json!({"kind": "Deployment", "apiVersion": "apps/v1",
        "metadata": {"name": "old", "namespace": "default", "uid": "old-uid", "labels": {"app": "old"},
                     "creationTimestamp": "2025-01-01T00:00:00Z", "finalizers": finalizers},
        "spec": {"replicas": 99_999_999_999_i64, "selector": {"matchLabels": {"app": "old"}},
                 "template": {"metadata": {"labels": {"app": "old"}},
                              "spec": {"containers": [{"name": "c", "image": "x"}]}}}});
    serde_json::to_vec(&object).unwrap()
}

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";

#[tokio::test]
async fn an_unreadable_object_is_told_and_kept_and_disturbs_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let server = open(folder).await;
    let admin = server.client(Identity::admin());
    let good = json!({"metadata": {"name": "good"}, "spec": {"selector": {"matchLabels": {"app": "good"}},
        "template": {"metadata": {"labels": {"app": "good"}}, "spec": {"containers": [{"name": "c", "image": "x"}]}}}});
    done(&admin, "POST", DEPLOYMENTS, good.clone()).await;
    drop(admin);
    server.stop().await;
    plant(folder, "apps/deployments", "default", "old", &old_deployment(json!([]))).await;
    plant(folder, "/configmaps", "default", "torn", b"{\"kind\": \"Config").await;
    // Something that the unreadable one owns.
    let owned = json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "owned", "namespace": "default",
        "uid": "owned-uid", "creationTimestamp": "2025-01-01T00:00:00Z", "ownerReferences": [
            {"apiVersion": "apps/v1", "kind": "Deployment", "name": "old", "uid": "old-uid"},
            {"apiVersion": "v1", "kind": "ConfigMap", "name": "torn", "uid": "torn-uid"}]}});
    plant(folder, "/configmaps", "default", "owned", &serde_json::to_vec(&owned).unwrap()).await;

    let server = open(folder).await;
    let admin = server.client(Identity::admin());
    // Typed clients see the rest, and people are told that it is not all.
    let typed: Api<Deployment> = Api::namespaced(admin.clone(), "default");
    let names = |list: kube::core::ObjectList<Deployment>| {
        list.items.into_iter().filter_map(|d| d.metadata.name).collect::<Vec<_>>()
    };
    assert_eq!(names(typed.list(&ListParams::default()).await.unwrap()), ["good"]);
    let (_, warnings, _) = ask(&admin, "GET", DEPLOYMENTS, json!(null)).await;
    assert!(warnings.iter().any(|w| w.contains("old") && w.contains("left out")), "{warnings:?}");
    let (_, warnings, _) = ask(&admin, "GET", "/api/v1/namespaces/kube-system/configmaps", json!(null)).await;
    assert!(warnings.is_empty(), "{warnings:?}");

    // Whoever asks for it learns what is wrong with it.
    let (code, _, answer) = ask(&admin, "GET", &format!("{DEPLOYMENTS}/old"), json!(null)).await;
    assert_eq!((code, &answer["reason"]), (500, &json!("StorageReadError")), "{answer}");
    assert!(answer["message"].as_str().unwrap().contains("spec.replicas"), "{answer}");
    let (code, _, answer) = ask(&admin, "GET", &format!("{MAPS}/torn"), json!(null)).await;
    assert_eq!((code, &answer["reason"]), (500, &json!("StorageReadError")), "{answer}");
    for (method, body) in [("PATCH", json!({"spec": {"replicas": 1}})), ("PUT", good.clone())] {
        let mut body = body;
        body["metadata"]["name"] = "old".into();
        let (code, _, answer) = ask(&admin, method, &format!("{DEPLOYMENTS}/old"), body).await;
        assert_eq!((code, &answer["reason"]), (500, &json!("StorageReadError")), "{method} {answer}");
    }
    let mut again = good.clone();
    again["metadata"]["name"] = "old".into();
    let (code, _, answer) = ask(&admin, "POST", DEPLOYMENTS, again.clone()).await;
    assert_eq!((code, &answer["reason"]), (409, &json!("AlreadyExists")), "{answer}");

    // Nothing has happened to it, nor to what it owns; everything else works.
    assert_eq!(row(folder, "old").await.unwrap(), old_deployment(json!([])));
    assert_eq!(row(folder, "torn").await.unwrap(), b"{\"kind\": \"Config");
    done(&admin, "POST", MAPS, json!({"metadata": {"name": "new"}})).await;
    done(&admin, "PATCH", &format!("{DEPLOYMENTS}/good"), json!({"spec": {"replicas": 2}})).await;
    // Garbage is looked at in order: once this one is gone, the owned one was looked at too.
    let mut orphan = owned.clone();
    orphan["metadata"] = json!({"name": "z", "ownerReferences": [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": "nobody", "uid": "nobody"}]});
    done(&admin, "POST", MAPS, orphan).await;
    eventually(&admin, &format!("{MAPS}/z"), |code, _| code == 404).await;
    done(&admin, "GET", &format!("{MAPS}/owned"), json!(null)).await;

    // It can be deleted, and made again.
    for path in [format!("{DEPLOYMENTS}/old"), format!("{MAPS}/torn")] {
        done(&admin, "DELETE", &path, json!(null)).await;
        assert_eq!(ask(&admin, "GET", &path, json!(null)).await.0, 404);
    }
    assert_eq!(row(folder, "old").await, None);
    done(&admin, "POST", DEPLOYMENTS, again).await;
    assert_eq!(names(typed.list(&ListParams::default()).await.unwrap()), ["good", "old"]);
    let (_, warnings, _) = ask(&admin, "GET", DEPLOYMENTS, json!(null)).await;
    assert!(warnings.is_empty(), "{warnings:?}");
}

#[tokio::test]
async fn watchers_never_see_an_unreadable_object_nor_its_end() {
    use futures::{StreamExt, TryStreamExt};
    use kube::api::{WatchEvent, WatchParams};
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    open(folder).await.stop().await;
    plant(folder, "apps/deployments", "default", "old", &old_deployment(json!([]))).await;
    let server = open(folder).await;
    let admin = server.client(Identity::admin());
    let typed: Api<Deployment> = Api::namespaced(admin.clone(), "default");
    let mut events = typed.watch(&WatchParams::default(), "0").await.unwrap().boxed();
    done(&admin, "DELETE", &format!("{DEPLOYMENTS}/old"), json!(null)).await;
    let mut object: Value = serde_json::from_slice(&old_deployment(json!([]))).unwrap();
    object["metadata"] = json!({"name": "old"});
    object["spec"]["replicas"] = 1.into();
    done(&admin, "POST", DEPLOYMENTS, object).await;
    let Some(WatchEvent::Added(first)) = events.try_next().await.unwrap() else { panic!("no event") };
    assert_eq!(first.spec.replicas, Some(1));
}

#[tokio::test]
async fn finalizers_of_an_unreadable_object_count_unless_told_otherwise_or_its_namespace_ends() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let server = open(folder).await;
    let admin = server.client(Identity::admin());
    done(&admin, "POST", "/api/v1/namespaces", json!({"metadata": {"name": "ends"}})).await;
    drop(admin);
    server.stop().await;
    plant(folder, "apps/deployments", "default", "old", &old_deployment(json!(["example.com/a"]))).await;
    let elsewhere = String::from_utf8(old_deployment(json!(["example.com/a"]))).unwrap();
    let elsewhere = elsewhere.replace("\"default\"", "\"ends\"");
    plant(folder, "apps/deployments", "ends", "old", elsewhere.as_bytes()).await;
    let server = open(folder).await;
    let admin = server.client(Identity::admin());
    let path = format!("{DEPLOYMENTS}/old");
    let (code, _, answer) = ask(&admin, "DELETE", &path, json!(null)).await;
    assert_eq!(code, 500, "{answer}");
    assert!(answer["message"].as_str().unwrap().contains("finalizers"), "{answer}");
    let option = "ignoreStoreReadErrorWithClusterBreakingPotential";
    done(&admin, "DELETE", &format!("{path}?{option}=true"), json!(null)).await;
    assert_eq!(ask(&admin, "GET", &path, json!(null)).await.0, 404);

    done(&admin, "DELETE", "/api/v1/namespaces/ends", json!(null)).await;
    eventually(&admin, "/api/v1/namespaces/ends", |code, _| code == 404).await;
    assert_eq!(row(folder, "old").await, None);
}

fn deployment(name: &str) -> Value {
    let mut object: Value = serde_json::from_slice(&old_deployment(json!([]))).unwrap();
    object["metadata"] = json!({"name": name});
    object["spec"]["replicas"] = 1.into();
    object
}

#[tokio::test]
async fn an_unreadable_object_keeps_no_other_of_its_collection_from_being_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let server = open(folder).await;
    let admin = server.client(Identity::admin());
    for name in ["a", "z"] {
        done(&admin, "POST", DEPLOYMENTS, deployment(name)).await;
    }
    done(&admin, "POST", MAPS, json!({"metadata": {"name": "good"}})).await;
    drop(admin);
    server.stop().await;
    plant(folder, "apps/deployments", "default", "old", &old_deployment(json!(["example.com/a"]))).await;
    plant(folder, "/configmaps", "default", "torn", b"{").await;
    let server = open(folder).await;
    let admin = server.client(Identity::admin());
    let option = "ignoreStoreReadErrorWithClusterBreakingPotential=true";
    let (code, _, answer) = ask(&admin, "DELETE", &format!("{DEPLOYMENTS}?{option}"), json!(null)).await;
    assert_eq!(code, 422, "{answer}");
    let (code, _, answer) = ask(&admin, "DELETE", DEPLOYMENTS, json!(null)).await;
    assert_eq!((code, &answer["reason"]), (500, &json!("StorageReadError")), "{answer}");
    assert_eq!(done(&admin, "GET", DEPLOYMENTS, json!(null)).await["items"], json!([]));
    assert!(row(folder, "old").await.is_some());

    let gone = done(&admin, "DELETE", MAPS, json!(null)).await;
    let names: Vec<_> = gone["items"].as_array().unwrap().iter().map(|i| &i["metadata"]["name"]).collect();
    assert!(names.contains(&&json!("good")) && !names.contains(&&json!("torn")), "{names:?}");
}

#[tokio::test]
async fn to_pass_over_finalizers_of_an_unreadable_object_needs_a_right_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).await.stop().await;
    plant(folder.path(), "apps/deployments", "default", "old", &old_deployment(json!(["a.b/c"]))).await;
    let server = open(folder.path()).await;
    let admin = server.client(Identity::admin());
    let path = format!("{DEPLOYMENTS}/old?ignoreStoreReadErrorWithClusterBreakingPotential=true");
    for (user, verbs, code) in [
        ("deleter", json!(["get", "list", "delete"]), 403),
        ("breaker", json!(["delete", "unsafe-delete-ignore-read-errors"]), 200),
    ] {
        let rules = json!([{"apiGroups": ["apps"], "resources": ["deployments"], "verbs": verbs}]);
        grant_by(&admin, user, rules).await;
        let client = server.client(Identity::user(user, Vec::<String>::new()));
        let (found, _, answer) = ask(&client, "DELETE", &path, json!(null)).await;
        assert_eq!(found, code, "{user}: {answer}");
        if code == 403 {
            assert!(answer["message"].to_string().contains("unsafe-delete-ignore-read-errors"), "{answer}");
        }
    }
    assert_eq!(row(folder.path(), "old").await, None);
}

#[tokio::test]
async fn an_unreadable_namespace_goes_only_when_it_is_empty() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let server = open(folder).await;
    let admin = server.client(Identity::admin());
    let (namespaces, maps) = ("/api/v1/namespaces", "/api/v1/namespaces/torn/configmaps");
    done(&admin, "POST", namespaces, json!({"metadata": {"name": "torn"}})).await;
    done(&admin, "POST", maps, json!({"metadata": {"name": "plain"}})).await;
    let held = json!({"metadata": {"name": "held", "finalizers": ["example.com/a"]}});
    done(&admin, "POST", maps, held).await;
    eventually(&admin, &format!("{maps}/kube-root-ca.crt"), |code, _| code == 200).await;
    drop(admin);
    server.stop().await;
    spoil(folder, "/namespaces", "torn").await;
    spoil(folder, "/namespaces", "default").await;
    let server = open(folder).await;
    let admin = server.client(Identity::admin());
    let (code, _, answer) = ask(&admin, "DELETE", &format!("{namespaces}/default"), json!(null)).await;
    assert_eq!(code, 403, "{answer}");

    let torn = format!("{namespaces}/torn");
    done(&admin, "DELETE", &format!("{torn}?dryRun=All"), json!(null)).await;
    done(&admin, "GET", &format!("{maps}/plain"), json!(null)).await;
    let (code, _, answer) = ask(&admin, "DELETE", &torn, json!(null)).await;
    assert_eq!(code, 409, "{answer}");
    assert!(answer["message"].to_string().contains("delete it again when they are gone"), "{answer}");
    assert!(row(folder, "torn").await.is_some());
    let left = done(&admin, "GET", maps, json!(null)).await;
    let names: Vec<_> = left["items"].as_array().unwrap().iter().map(|i| &i["metadata"]["name"]).collect();
    assert_eq!(names, ["held"]);

    done(&admin, "PATCH", &format!("{maps}/held"), json!({"metadata": {"finalizers": null}})).await;
    done(&admin, "DELETE", &torn, json!(null)).await;
    assert_eq!(row(folder, "torn").await, None);
    let mut database = database(folder).await;
    let count = sqlx::query_scalar("SELECT count(*) FROM object WHERE namespace = 'torn'");
    let count: i64 = count.fetch_one(&mut database).await.unwrap();
    assert_eq!(count, 0);
    done(&admin, "POST", namespaces, json!({"metadata": {"name": "torn"}})).await;
}

#[tokio::test]
async fn a_definition_or_role_that_cannot_be_read_is_left_out_alone() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    open(folder).await.stop().await;
    plant(folder, "apiextensions.k8s.io/customresourcedefinitions", "", "widgets.example.com", b"torn").await;
    plant(folder, "rbac.authorization.k8s.io/clusterroles", "", "torn", b"[1]").await;
    plant(folder, "/namespaces", "", "torn", b"null").await;
    let server = open(folder).await;
    let admin = server.client(Identity::admin());
    for path in [
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
        "/apis/rbac.authorization.k8s.io/v1/clusterroles",
        "/api/v1/namespaces",
    ] {
        let list = done(&admin, "GET", path, json!(null)).await;
        assert!(!list["items"].to_string().contains("torn"), "{path}");
    }
    done(&admin, "GET", "/apis", json!(null)).await;
    done(&admin, "DELETE", "/api/v1/namespaces/torn", json!(null)).await;
    done(&admin, "POST", "/api/v1/namespaces", json!({"metadata": {"name": "torn"}})).await;
}
