//! The end of an environment: what it applied goes in order, what stays and what is waited for is said.

#![allow(clippy::unwrap_used)]

#[allow(dead_code, unreachable_pub)]
mod support;

use seaway_sync::plan::Action;
use serde_json::json;
use support::{Repository, World, config};

const ENVIRONMENT: (&str, &str) = ("seaway.dev/v1alpha1", "Environment");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_environment_takes_what_it_applied_with_it() {
    let repository = Repository::new();
    let good = repository.push("main", "First", &[("deploy/a.yaml", Some(&config("a", "one")))]);
    let world = World::new().await;
    world.follow(&repository, json!({})).await;
    world.synced(&good).await;
    let parent = async |world: &World| world.get("v1", "Secret", Some("shop"), "seaway.seaway.staging").await;
    assert!(parent(&world).await.is_some());
    world.delete("seaway.dev/v1alpha1", "Environment", Some("seaway"), "staging").await;
    world.until("it is gone", async |world| world.view().is_none()).await;
    assert_eq!(world.value("a", "key").await, None);
    assert_eq!(parent(&world).await, None);
    let account = world.get("v1", "ServiceAccount", Some("seaway"), "seaway-staging").await;
    assert_eq!(account, None);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_ends_backwards_waits_for_what_is_not_gone_and_says_so() {
    let of_wave = |name: &str, wave: i32, more: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n  annotations: {{seaway.dev/sync-wave: \"{wave}\"}}\n{more}"
        )
    };
    let repository = Repository::new();
    let first = repository.push(
        "main",
        "First",
        &[
            ("deploy/first.yaml", Some(&of_wave("first", 1, ""))),
            ("deploy/last.yaml", Some(&of_wave("last", 2, "  finalizers: [example.com/slow]\n"))),
        ],
    );
    let world = World::new().await;
    let key = world.follow(&repository, json!({})).await;
    world.synced(&first).await;
    world.delete(ENVIRONMENT.0, ENVIRONMENT.1, Some("seaway"), "staging").await;
    world
        .until("it says what it waits for", async |world| {
            let message = world.sync().show(&key).map(|detail| detail.summary.message).unwrap_or_default();
            message.contains("ConfigMap") && message.contains("last") && message.contains("example.com/slow")
        })
        .await;
    assert!(world.get("v1", "ConfigMap", Some("shop"), "first").await.is_some(), "an earlier wave is next");
    world.patch("v1", "ConfigMap", "shop", "last", "test", json!({"metadata": {"finalizers": null}})).await;
    world.until("it is gone", async |world| world.view().is_none()).await;
    for name in ["first", "last"] {
        assert_eq!(world.get("v1", "ConfigMap", Some("shop"), name).await, None, "{name}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_ends_also_when_its_rights_were_taken_away_before() {
    let class = "apiVersion: scheduling.k8s.io/v1\nkind: PriorityClass\nmetadata: {name: low}\nvalue: 1\n";
    let repository = Repository::new();
    let first = repository.push(
        "main",
        "First",
        &[("deploy/a.yaml", Some(&config("a", "one"))), ("deploy/class.yaml", Some(class))],
    );
    let world = World::new().await;
    world.follow(&repository, json!({})).await;
    let allow = json!({"spec": {"allow": {"clusterKinds": ["PriorityClass.scheduling.k8s.io"]}}});
    world.patch("seaway.dev/v1alpha1", "Stack", "seaway", "shop", "test", allow).await;
    world.synced(&first).await;
    // It is still in Git, so that it may not be touched any more.
    world
        .patch(
            "seaway.dev/v1alpha1",
            "Stack",
            "seaway",
            "shop",
            "test",
            json!({"spec": {"allow": {"clusterKinds": []}}}),
        )
        .await;
    world
        .until("the rights are gone", async |world| {
            let rbac = "rbac.authorization.k8s.io/v1";
            world.get(rbac, "ClusterRoleBinding", None, "seaway:seaway:staging").await.is_none()
        })
        .await;
    world.delete(ENVIRONMENT.0, ENVIRONMENT.1, Some("seaway"), "staging").await;
    world.until("it is gone", async |world| world.view().is_none()).await;
    assert_eq!(world.get("scheduling.k8s.io/v1", "PriorityClass", None, "low").await, None);
    assert_eq!(world.value("a", "key").await, None);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_its_end_deletes_and_what_it_leaves_is_known_before() {
    let with = |name: &str, annotation: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n  annotations: {{{annotation}}}\n"
        )
    };
    let namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n";
    let repository = Repository::new();
    let first = repository.push(
        "main",
        "First",
        &[
            ("deploy/a.yaml", Some(&config("a", "one"))),
            ("deploy/kept.yaml", Some(&with("kept", "argocd.argoproj.io/sync-options: Delete=false"))),
            ("deploy/protected.yaml", Some(&with("protected", "seaway.dev/options: protect"))),
            ("deploy/unpruned.yaml", Some(&with("unpruned", "argocd.argoproj.io/sync-options: Prune=false"))),
            ("deploy/drain.yaml", Some(&with("drain", "argocd.argoproj.io/hook: PreDelete"))),
            ("deploy/namespace.yaml", Some(namespace)),
        ],
    );
    let world = World::new().await;
    let key = world.follow(&repository, json!({})).await;
    let allow = json!({"spec": {"allow": {"clusterKinds": ["Namespace"]}}});
    world.patch("seaway.dev/v1alpha1", "Stack", "seaway", "shop", "test", allow).await;
    world.synced(&first).await;
    // Another environment's, which this one wants as well.
    world
        .create(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "theirs", "namespace": "shop",
            "labels": {"seaway.dev/environment": "other", "applyset.kubernetes.io/part-of": "applyset-x-v1"}}}))
        .await;
    repository.push("main", "Second", &[("deploy/theirs.yaml", Some(&config("theirs", "x")))]);
    world
        .until("the conflict is seen", async |world| {
            world.view().is_some_and(|view| view.message.contains("it belongs to other"))
        })
        .await;
    let plan = world.sync().deletion(&key).await.unwrap();
    let of = |held_back: bool, action: Action| {
        let found = plan.objects.iter().filter(|one| one.held_back == held_back && one.action == action);
        let mut names: Vec<&str> = found.map(|one| one.object.name.as_str()).collect();
        names.sort_unstable();
        names
    };
    assert_eq!(of(false, Action::Prune), ["a", "unpruned"]);
    assert_eq!(of(true, Action::Prune), ["kept", "protected", "shop", "theirs"]);
    assert_eq!(of(false, Action::Hook), ["drain"]);
    assert_eq!(plan.blocked, None);
    let why = |name: &str| plan.objects.iter().find(|one| one.object.name == name).unwrap().message.clone();
    assert!(why("shop").contains("Seaway did not make this namespace"), "{}", why("shop"));
    assert!(why("theirs").contains("it belongs to other"), "{}", why("theirs"));

    world.delete(ENVIRONMENT.0, ENVIRONMENT.1, Some("seaway"), "staging").await;
    world.until("it is gone", async |world| world.view().is_none()).await;
    for name in ["kept", "protected", "theirs"] {
        assert!(world.get("v1", "ConfigMap", Some("shop"), name).await.is_some(), "{name}");
    }
    for name in ["a", "unpruned", "drain"] {
        assert_eq!(world.get("v1", "ConfigMap", Some("shop"), name).await, None, "{name}");
    }
    assert!(world.get("v1", "Namespace", None, "shop").await.is_some());
    world.stop().await;
}
