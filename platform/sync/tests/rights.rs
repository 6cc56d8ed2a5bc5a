//! What a stack does not allow is refused: by the plan with the object's name, and by the API as well.

#![allow(clippy::unwrap_used)]

#[allow(dead_code, unreachable_pub)]
mod support;

use seaway_sync::plan::Action;
use serde_json::json;
use support::{Repository, World, config};

const BINDING: &str = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata:\n  name: root\n\
    roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}\nsubjects: []\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_allowed_is_named_and_nothing_is_applied() {
    let elsewhere = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, namespace: kube-system}\n";
    let repository = Repository::new();
    repository.push(
        "main",
        "Greedy",
        &[
            ("deploy/a.yaml", Some(&config("a", "one"))),
            ("deploy/binding.yaml", Some(BINDING)),
            ("deploy/elsewhere.yaml", Some(elsewhere)),
        ],
    );
    let world = World::new().await;
    let key = world.follow(&repository, json!({})).await;
    world
        .until("the object is named", async |world| {
            world.view().is_some_and(|view| view.message.contains("ClusterRoleBinding"))
        })
        .await;
    let plan = world.sync().plan(&key, None).await.unwrap();
    assert_eq!(plan.count(Action::Forbidden), 2);
    assert_eq!(world.value("a", "key").await, None, "all or nothing");

    // The next good commit goes through.
    let good =
        repository.push("main", "Modest", &[("deploy/binding.yaml", None), ("deploy/elsewhere.yaml", None)]);
    world.synced(&good).await;
    assert_eq!(world.value("a", "key").await.as_deref(), Some("one"));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_api_refuses_what_the_account_may_not_do() {
    let repository = Repository::new();
    let good = repository.push("main", "First", &[("deploy/a.yaml", Some(&config("a", "one")))]);
    let world = World::new().await;
    world.follow(&repository, json!({})).await;
    world.synced(&good).await;
    let account = seaway_apiserver::Identity::service_account("seaway", "seaway-staging");
    let client = world.server.as_ref().unwrap().client(account);
    let maps = |namespace: &str| {
        kube::Api::<k8s_openapi::api::core::v1::ConfigMap>::namespaced(client.clone(), namespace)
    };
    assert!(maps("shop").list(&Default::default()).await.is_ok());
    assert!(maps("default").list(&Default::default()).await.is_err());
    let namespaces: kube::Api<k8s_openapi::api::core::v1::Namespace> = kube::Api::all(client.clone());
    assert!(namespaces.list(&Default::default()).await.is_err());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_spec_is_named_by_its_field() {
    let repository = Repository::new();
    repository.push("main", "First", &[("deploy/a.yaml", Some(&config("a", "one")))]);
    let world = World::new().await;
    world.follow(&repository, json!({"pins": [{"component": "ghost"}]})).await;
    world
        .until("the field is named", async |world| {
            world.view().is_some_and(|view| view.message.contains("spec.pins[0].component"))
        })
        .await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_environment_takes_what_it_applied_with_it() {
    let repository = Repository::new();
    let good = repository.push("main", "First", &[("deploy/a.yaml", Some(&config("a", "one")))]);
    let world = World::new().await;
    world.follow(&repository, json!({})).await;
    world.synced(&good).await;
    world.delete("seaway.dev/v1alpha1", "Environment", Some("seaway"), "staging").await;
    world.until("it is gone", async |world| world.view().is_none()).await;
    assert_eq!(world.value("a", "key").await, None);
    let account = world.get("v1", "ServiceAccount", Some("seaway"), "seaway-staging").await;
    assert_eq!(account, None);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_with_the_account_of_another_environment_is_refused() {
    let repository = Repository::new();
    let account = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: strong}\n";
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: thief}\nspec:\n  serviceAccountName: strong\n  containers: \
               [{name: c, image: x}]\n";
    let good =
        repository.push("main", "First", &[("deploy/a.yaml", Some(account)), ("weak/pod.yaml", Some(pod))]);
    let world = World::new().await;
    world.follow(&repository, json!({})).await;
    world.synced(&good).await;
    world
        .create(json!({"apiVersion": "seaway.dev/v1alpha1", "kind": "Stack",
            "metadata": {"name": "weak", "namespace": "seaway"},
            "spec": {"components": [{"name": "web", "source":
                {"repo": repository.url(), "path": "weak", "revision": "main"}}]}}))
        .await;
    world
        .create(json!({"apiVersion": "seaway.dev/v1alpha1", "kind": "Environment",
            "metadata": {"name": "weak", "namespace": "seaway"},
            "spec": {"stack": "weak", "destination": {"namespace": "shop"}}}))
        .await;
    world
        .until("the pod is named", async |world| {
            let all = world.sync().list();
            all.iter().any(|view| {
                view.name == "weak"
                    && view.message.contains("Pod shop/thief")
                    && view.message.contains("the ServiceAccount shop/strong of the environment staging")
            })
        })
        .await;
    assert_eq!(world.get("v1", "Pod", Some("shop"), "thief").await, None);
    world.stop().await;
}
