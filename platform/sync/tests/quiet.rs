//! What is as it should be costs nothing and is no drift, however the server spells it.

#![allow(clippy::unwrap_used)]

#[allow(dead_code, unreachable_pub)]
mod support;

use seaway_sync::view::SyncStatus;
use serde_json::json;
use support::{Repository, World, config};

const APPLICATION: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, creationTimestamp: null}
spec:
  replicas: 0
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: web:1
        ports: [{containerPort: 8080}]
        env: [{name: EMPTY, value: ""}]
        resources: {requests: {cpu: 1000m, memory: 1024Mi}, limits: {cpu: 2}}
        readinessProbe: {httpGet: {path: /, port: 8080}}
status: {}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Secret
metadata: {name: web}
stringData: {password: hunter2}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web}
spec: {podSelector: {}, policyTypes: [Ingress]}
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_server_spells_otherwise_is_no_drift() {
    let repository = Repository::new();
    let first = repository.push("main", "First", &[("deploy/app.yaml", Some(APPLICATION))]);
    let world = World::new().await;
    let key = world.follow(&repository, json!({})).await;
    world
        .until("the deployment is there", async |world| {
            world.get("apps/v1", "Deployment", Some("shop"), "web").await.is_some()
        })
        .await;
    // No controller runs here.
    let deployments: kube::Api<k8s_openapi::api::apps::v1::Deployment> =
        kube::Api::namespaced(world.admin(), "shop");
    let status = kube::api::Patch::Merge(json!({"status": {"observedGeneration": 9}}));
    deployments.patch_status("web", &Default::default(), &status).await.unwrap();
    world.synced(&first).await;

    // News of the objects that change nothing, and a commit that changes nothing here.
    let before = world.get("v1", "Secret", Some("shop"), "web").await.unwrap();
    let note = json!({"metadata": {"annotations": {"note": "x"}}});
    world.patch("apps/v1", "Deployment", "shop", "web", "kubectl", note).await;
    repository.push("main", "Elsewhere", &[("README.md", Some("x"))]);
    world.sync().plan(&key, None).await.unwrap();
    let marker = repository.push("main", "Here", &[("deploy/b.yaml", Some(&config("b", "here")))]);
    world.synced(&marker).await;
    let plan = world.sync().plan(&key, None).await.unwrap();
    assert!(plan.is_in_sync(), "{plan:#?}");
    let history = world.sync().history(&key, 10).unwrap();
    assert_eq!(history.len(), 2, "{history:#?}");
    assert_eq!(history[0].objects.len(), 1, "only what is new is applied");
    let after = world.get("v1", "Secret", Some("shop"), "web").await.unwrap();
    assert_eq!(before["metadata"]["resourceVersion"], after["metadata"]["resourceVersion"]);
    assert!(!serde_json::to_string(&history).unwrap().contains("hunter2"));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspended_environment_is_left_alone_until_it_is_resumed() {
    let repository = Repository::new();
    let first = repository.push("main", "First", &[("deploy/a.yaml", Some(&config("a", "one")))]);
    let world = World::new().await;
    let key = world.follow(&repository, json!({})).await;
    world.synced(&first).await;
    world.sync().suspend(&key, "ada").await.unwrap();
    let second = repository.push("main", "Second", &[("deploy/a.yaml", Some(&config("a", "two")))]);
    world
        .until("the news are seen", async |world| {
            world.view().is_some_and(|view| view.sync == SyncStatus::OutOfSync)
        })
        .await;
    assert_eq!(world.sync().sync(&key, Default::default(), "ada").await.unwrap(), None);
    assert_eq!(world.value("a", "key").await.as_deref(), Some("one"));
    world.sync().resume(&key, "ada").await.unwrap();
    world.synced(&second).await;
    let events = world.ledger().await.events(&Default::default(), 10).await.unwrap().items;
    let actions: Vec<&str> = events.iter().map(|event| event.action.as_str()).collect();
    assert!(
        actions.contains(&"environment.suspend") && actions.contains(&"environment.resume"),
        "{actions:?}"
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_automatic_sync_a_person_decides() {
    let repository = Repository::new();
    let first = repository.push(
        "main",
        "First",
        &[("deploy/a.yaml", Some(&config("a", "one"))), ("deploy/b.yaml", Some(&config("b", "one")))],
    );
    let world = World::new().await;
    let key = world.follow(&repository, json!({"sync": {"automated": false}})).await;
    world
        .until("it is out of sync", async |world| {
            world.view().is_some_and(|view| view.sync == SyncStatus::OutOfSync)
        })
        .await;
    assert_eq!(world.value("a", "key").await, None);
    let plan = world.sync().plan(&key, None).await.unwrap();
    let b = plan.objects.iter().find(|object| object.object.name == "b").unwrap().object.clone();
    let choice = seaway_sync::SyncChoice { objects: vec![b] };
    let record = world.sync().sync(&key, choice, "ada").await.unwrap().unwrap();
    assert!(record.partial);
    assert_eq!(
        (world.value("a", "key").await, world.value("b", "key").await.as_deref()),
        (None, Some("one"))
    );
    let record = world.sync().sync(&key, Default::default(), "ada").await.unwrap().unwrap();
    assert_eq!(record.actor, "ada");
    world.synced(&first).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_directory_deletes_nothing_unless_that_is_meant() {
    let repository = Repository::new();
    let first = repository.push("main", "First", &[("deploy/a.yaml", Some(&config("a", "one")))]);
    let world = World::new().await;
    world.follow(&repository, json!({})).await;
    world.synced(&first).await;
    repository.push("main", "Empty", &[("deploy/a.yaml", Some("# nothing\n"))]);
    world
        .until("it is said", async |world| {
            world.view().is_some_and(|view| view.message.contains("allowEmpty"))
        })
        .await;
    assert_eq!(world.value("a", "key").await.as_deref(), Some("one"));
    let allow = json!({"spec": {"sync": {"allowEmpty": true}}});
    world.patch("seaway.dev/v1alpha1", "Environment", "seaway", "staging", "test", allow).await;
    world.until("it is gone", async |world| world.value("a", "key").await.is_none()).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repositories_that_never_answer_hold_up_nobody_else() {
    let repository = Repository::new();
    let first = repository.push("main", "First", &[("deploy/a.yaml", Some(&config("a", "one")))]);
    let world = World::with_turns(2).await;
    // It takes connections, and says nothing.
    let silent = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let place = silent.local_addr().unwrap();
    let held = tokio::spawn(async move {
        let mut connections = Vec::new();
        while let Ok(connection) = silent.accept().await {
            connections.push(connection);
        }
    });
    for name in ["one", "two", "three"] {
        world
            .create(json!({"apiVersion": "seaway.dev/v1alpha1", "kind": "Stack",
                "metadata": {"name": name, "namespace": "seaway"}, "spec": {"components": [{"name": "web",
                    "source": {"repo": format!("http://{place}/{name}.git"), "path": "x", "revision": "main"}}]}}))
            .await;
        world
            .create(json!({"apiVersion": "seaway.dev/v1alpha1", "kind": "Environment",
                "metadata": {"name": name, "namespace": "seaway"},
                "spec": {"stack": name, "destination": {"namespace": name}}}))
            .await;
    }
    world
        .until("all of them wait", async |world| {
            ["one", "two", "three"]
                .iter()
                .all(|name| world.sync().list().iter().any(|view| view.name == *name))
        })
        .await;
    world.follow(&repository, json!({})).await;
    world.synced(&first).await;
    held.abort();
    world.stop().await;
}
