//! A copy of an environment: the same, in a place of its own, and gone without a trace.

#![allow(clippy::unwrap_used)]

#[allow(dead_code, unreachable_pub)]
mod support;

use seaway_sync::view::EnvironmentKey;
use serde_json::{Value, json};
use support::config;
use support::copy::{COPY, copy, has, key, says, synced, value, view, why, world};

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_the_same_in_a_namespace_of_its_own() {
    let (world, _repository) = world(&[("deploy/a.yaml", Some(&config("a", "one")))], Value::Null).await;
    copy(&world, "mine", json!({})).await;
    synced(&world, "mine").await;
    assert_eq!(value(&world, "mine-shop", "a").await.as_deref(), Some("one"));
    let detail = world.sync().show(&key("mine")).unwrap();
    assert_eq!(detail.summary.release, world.view().unwrap().release, "it is the same release");
    assert_eq!(detail.summary.owner.as_deref(), Some("jane"));
    let copy = detail.copy.unwrap();
    assert_eq!((copy.of.as_str(), copy.namespaces["shop"].as_str()), ("seaway/staging", "mine-shop"));
    let fidelity = world.sync().fidelity(&key("mine"), None).await.unwrap();
    assert_eq!(why(&fidelity), ["ConfigMap mine-shop/a.metadata.namespace identity names"]);
    assert_eq!((fidelity.undeclared, fidelity.total), (0, 5));
    let namespace = world.get("v1", "Namespace", None, "mine-shop").await.unwrap();
    assert_eq!(namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_override_is_followed_in_the_copy_alone_and_outlives_other_changes() {
    let a = config("a", "one");
    let (world, repository) = world(&[("deploy/a.yaml", Some(&a))], Value::Null).await;
    copy(&world, "mine", json!({})).await;
    synced(&world, "mine").await;
    repository.push("feature", "try", &[("deploy/a.yaml", Some(&config("a", "mine")))]);
    let overrides = json!([{"component": "web", "revision": "feature", "reason": "try"}]);
    world
        .patch(COPY, "Environment", "seaway-jane", "mine", "jane", json!({"spec": {"overrides": overrides}}))
        .await;
    has(&world, "mine-shop", "a", "mine").await;
    assert_eq!(value(&world, "shop", "a").await.as_deref(), Some("one"));
    let fidelity = world.sync().fidelity(&key("mine"), None).await.unwrap();
    assert_eq!(
        why(&fidelity),
        [
            "ConfigMap mine-shop/a.data.key override web at feature",
            "ConfigMap mine-shop/a.metadata.namespace identity names"
        ]
    );
    // A push to the branch.
    let pushed = repository.push("feature", "again", &[("deploy/a.yaml", Some(&config("a", "again")))]);
    has(&world, "mine-shop", "a", "again").await;
    assert_eq!(value(&world, "shop", "a").await.as_deref(), Some("one"));
    world
        .until("the override's commit is shown", async |world| {
            world.sync().show(&key("mine")).unwrap().overrides[0].commit.as_deref() == Some(&pushed)
        })
        .await;
    // What it copies goes on.
    let main = repository.push("main", "elsewhere", &[("deploy/a.yaml", Some(&config("a", "two")))]);
    world.synced(&main).await;
    assert_eq!(value(&world, "mine-shop", "a").await.as_deref(), Some("again"));
    // And the override ends.
    world
        .patch(COPY, "Environment", "seaway-jane", "mine", "jane", json!({"spec": {"overrides": null}}))
        .await;
    has(&world, "mine-shop", "a", "two").await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_follows_what_it_copies_or_its_revisions() {
    let (world, repository) = world(&[("deploy/a.yaml", Some(&config("a", "one")))], Value::Null).await;
    copy(&world, "mine", json!({})).await;
    copy(&world, "ahead", json!({"follow": "revision"})).await;
    synced(&world, "mine").await;
    synced(&world, "ahead").await;
    world.sync().suspend(&EnvironmentKey::new("seaway", "staging"), "test").await.unwrap();
    repository.push("main", "next", &[("deploy/a.yaml", Some(&config("a", "two")))]);
    has(&world, "ahead-shop", "a", "two").await;
    assert_eq!(value(&world, "mine-shop", "a").await.as_deref(), Some("one"));
    let fidelity = world.sync().fidelity(&key("ahead"), None).await.unwrap();
    assert_eq!(why(&fidelity)[0], "ConfigMap ahead-shop/a.data.key override web follows its revision");
    assert_eq!(fidelity.undeclared, 0);
    world.sync().resume(&EnvironmentKey::new("seaway", "staging"), "test").await.unwrap();
    has(&world, "mine-shop", "a", "two").await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_gone_without_a_trace() {
    let protected = config("a", "one")
        .replace("\ndata:", "\n  annotations: {argocd.argoproj.io/sync-options: Prune=false}\ndata:");
    let (world, _repository) = world(&[("deploy/a.yaml", Some(&protected))], Value::Null).await;
    copy(&world, "mine", json!({})).await;
    synced(&world, "mine").await;
    // What its owner has put there, and something that does not want to go.
    world
        .create(
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "own", "namespace": "mine-shop",
            "finalizers": ["example.com/keep"]}}),
        )
        .await;
    world.delete(COPY, "Environment", Some("seaway-jane"), "mine").await;
    says(&world, "mine", "waits for the end of the namespace mine-shop").await;
    says(&world, "mine", "example.com/keep").await;
    world
        .patch("v1", "ConfigMap", "mine-shop", "own", "jane", json!({"metadata": {"finalizers": null}}))
        .await;
    world.until("the copy is gone", async |world| view(world, "mine").is_none()).await;
    assert!(world.get("v1", "Namespace", None, "mine-shop").await.is_none());
    for account in ["seaway-mine", "access-mine"] {
        assert!(world.get("v1", "ServiceAccount", Some("seaway-jane"), account).await.is_none(), "{account}");
    }
    for kind in ["Role", "RoleBinding"] {
        let rbac = "rbac.authorization.k8s.io/v1";
        assert!(world.get(rbac, kind, Some("seaway-jane"), "access-mine").await.is_none(), "{kind}");
    }
    assert!(world.get(COPY, "Environment", Some("seaway-jane"), "mine").await.is_none());
    assert!(!world.folder.path().join("sync/seaway-jane.mine.json").exists());
    assert_eq!(value(&world, "shop", "a").await.as_deref(), Some("one"));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_carries_an_environments_label_elsewhere_is_none_of_its_business() {
    let (world, repository) = world(&[("deploy/a.yaml", Some(&config("a", "one")))], Value::Null).await;
    copy(&world, "mine", json!({})).await;
    synced(&world, "mine").await;
    let own = world.get("v1", "ConfigMap", Some("shop"), "a").await.unwrap();
    let label = own["metadata"]["labels"]["applyset.kubernetes.io/part-of"].clone();
    let planted = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "planted", "namespace": "mine-shop",
        "labels": {"applyset.kubernetes.io/part-of": label, "seaway.dev/environment": "staging"},
        "annotations": {"seaway.dev/deletion-approved": "true"}}, "data": {"a": "b"}});
    let api: kube::Api<k8s_openapi::api::core::v1::ConfigMap> =
        kube::Api::namespaced(world.admin(), "mine-shop");
    api.patch("planted", &kube::api::PatchParams::apply("seaway"), &kube::api::Patch::Apply(&planted))
        .await
        .unwrap();
    let commit = repository.push("main", "next", &[("deploy/a.yaml", Some(&config("a", "two")))]);
    world.synced(&commit).await;
    let last = world.sync().history(&EnvironmentKey::new("seaway", "staging"), 1).unwrap().remove(0);
    assert_eq!(last.outcome, seaway_sync::view::Outcome::Succeeded);
    assert!(world.get("v1", "ConfigMap", Some("mine-shop"), "planted").await.is_some());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_cannot_slip_out_of_its_end() {
    let (world, _repository) = world(&[("deploy/a.yaml", Some(&config("a", "one")))], Value::Null).await;
    copy(&world, "mine", json!({})).await;
    synced(&world, "mine").await;
    // It stays a copy.
    let api: kube::Api<seaway_api::Environment> = kube::Api::namespaced(world.admin(), "seaway-jane");
    let other = json!({"spec": {"copyOf": null, "stack": "shop", "destination": {"namespace": "x"}}});
    let refused = api.patch("mine", &Default::default(), &kube::api::Patch::Merge(other)).await.unwrap_err();
    assert!(refused.to_string().contains("stays what it is"), "{refused}");
    // Its finalizer comes back, and where the Environment goes before that, the rest goes as well.
    let without = json!({"metadata": {"finalizers": null}});
    api.patch("mine", &Default::default(), &kube::api::Patch::Merge(&without)).await.unwrap();
    world
        .until("the finalizer is back", async |_| {
            !api.get("mine").await.unwrap().metadata.finalizers.unwrap_or_default().is_empty()
        })
        .await;
    api.delete("mine", &Default::default()).await.unwrap();
    while api.get_opt("mine").await.unwrap().is_some() {
        // Whoever is quick gets it through.
        let _ = api.patch("mine", &Default::default(), &kube::api::Patch::Merge(&without)).await;
    }
    world
        .until("nothing is left", async |world| {
            world.get("v1", "Namespace", None, "mine-shop").await.is_none()
        })
        .await;
    world
        .until("nor remembered", async |world| {
            !world.folder.path().join("sync/seaway-jane.mine.json").exists()
        })
        .await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_uses_what_its_stack_shares() {
    let a = config("a", "one");
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: db}\nspec:\n  ports: [{port: 5432}]\n";
    let files = [("deploy/a.yaml", Some(a.as_str())), ("data/s.yaml", Some(service))];
    let (world, repository) = world(&files, Value::Null).await;
    let component = |name: &str, path: &str, more: Value| {
        let mut component =
            json!({"name": name, "source": {"repo": repository.url(), "path": path, "revision": "main"}});
        component.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        component
    };
    let components = json!([
        component("web", "deploy", json!({"dependsOn": ["data"]})),
        component("data", "data", json!({"copy": "shared"}))
    ]);
    world
        .patch(COPY, "Stack", "seaway", "shop", "operator", json!({"spec": {"components": components}}))
        .await;
    world
        .until("both run", async |world| world.get("v1", "Service", Some("shop"), "db").await.is_some())
        .await;
    let commit = repository.push("main", "next", &[("deploy/a.yaml", Some(&config("a", "two")))]);
    world.synced(&commit).await;
    // What the copy does not run it need not name.
    copy(&world, "mine", json!({"components": ["web"]})).await;
    synced(&world, "mine").await;
    let alias = world.get("v1", "Service", Some("mine-shop"), "db").await.unwrap();
    assert_eq!(alias["spec"]["externalName"], "db.shop.svc.cluster.local");
    let shown = world.sync().show(&key("mine")).unwrap().copy.unwrap();
    assert_eq!(shown.shared["mine-shop/db"], "db.shop.svc.cluster.local");
    let policy =
        world.get("networking.k8s.io/v1", "NetworkPolicy", Some("mine-shop"), "seaway").await.unwrap();
    assert!(
        policy["spec"]["egress"].to_string().contains(r#""kubernetes.io/metadata.name":"shop""#),
        "{policy}"
    );
    let fidelity = world.sync().fidelity(&key("mine"), None).await.unwrap();
    assert_eq!(fidelity.undeclared, 0, "{:?}", why(&fidelity));
    let deviation = serde_json::from_value(json!({"component": "data", "revision": "main"})).unwrap();
    let refused = world.sync().check_override(&key("mine"), &deviation).await.unwrap_err().to_string();
    assert!(refused.contains("\"data\" is shared"), "{refused}");
    world
        .patch(
            COPY,
            "Stack",
            "seaway",
            "shop",
            "operator",
            json!({"spec": {"copies": {"sharedFrom": "nowhere"}}}),
        )
        .await;
    says(&world, "mine", "there is no environment seaway/nowhere").await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_follows_the_namespaces_of_what_it_copies_and_comes_back_when_they_are_gone() {
    let (world, repository) = world(&[("deploy/a.yaml", Some(&config("a", "one")))], Value::Null).await;
    copy(&world, "mine", json!({})).await;
    synced(&world, "mine").await;
    // Somebody deletes what it stands on.
    world.delete("v1", "Namespace", None, "mine-shop").await;
    world.until("it is gone", async |world| value(world, "mine-shop", "a").await.is_none()).await;
    has(&world, "mine-shop", "a", "one").await;
    // What it copies gets another namespace, and loses it again.
    let namespaces = async |all: Value| {
        let spec = json!({"spec": {"destination": {"namespaces": all}}});
        world.patch(COPY, "Environment", "seaway", "staging", "test", spec).await;
    };
    namespaces(json!(["more"])).await;
    let more = config("b", "two").replace("name: b", "name: b\n  namespace: more");
    repository.push("main", "more", &[("deploy/b.yaml", Some(&more))]);
    has(&world, "mine-more", "b", "two").await;
    has(&world, "mine-shop", "a", "one").await;
    repository.push("main", "less", &[("deploy/b.yaml", None)]);
    world.until("it has left", async |world| value(world, "mine-more", "b").await.is_none()).await;
    namespaces(json!([])).await;
    repository.push("main", "next", &[("deploy/a.yaml", Some(&config("a", "three")))]);
    has(&world, "mine-shop", "a", "three").await;
    world
        .until("it is gone", async |world| world.get("v1", "Namespace", None, "mine-more").await.is_none())
        .await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_ends_with_its_lifetime() {
    let (world, _repository) = world(&[("deploy/a.yaml", Some(&config("a", "one")))], Value::Null).await;
    copy(&world, "brief", json!({})).await;
    synced(&world, "brief").await;
    let expires = (jiff::Timestamp::now() + jiff::SignedDuration::from_secs(1)).to_string();
    let patch = json!({"spec": {"expires": expires}});
    world.patch(COPY, "Environment", "seaway-jane", "brief", "jane", patch).await;
    world.until("it has expired", async |world| view(world, "brief").is_none()).await;
    assert!(world.get("v1", "Namespace", None, "brief-shop").await.is_none());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_two_environments_can_be_compared() {
    let (world, repository) = world(&[("deploy/a.yaml", Some(&config("a", "one")))], Value::Null).await;
    repository.push("next", "next", &[("deploy/a.yaml", Some(&config("a", "two")))]);
    world
        .create(json!({"apiVersion": COPY, "kind": "Environment", "metadata": {"name": "other", "namespace": "seaway"},
            "spec": {"stack": "shop", "destination": {"namespace": "other"},
                     "overrides": [{"component": "web", "revision": "next"}]}}))
        .await;
    synced(&world, "other").await;
    let (left, right) = (EnvironmentKey::new("seaway", "staging"), EnvironmentKey::new("seaway", "other"));
    let fidelity = world.sync().fidelity(&right, Some(&left)).await.unwrap();
    assert_eq!(
        why(&fidelity),
        ["ConfigMap other/a.data.key undeclared ", "ConfigMap other/a.metadata.namespace identity place"]
    );
    assert_eq!((fidelity.declared, fidelity.undeclared), (1, 1));
    world.stop().await;
}
