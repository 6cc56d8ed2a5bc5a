//! A copy of an environment: the same, in a place of its own, and gone without a trace.

#![allow(clippy::unwrap_used)]

#[allow(dead_code, unreachable_pub)]
mod support;

use seaway_environments::Class;
use seaway_sync::proposal::Proposer;
use seaway_sync::view::{EnvironmentKey, EnvironmentView, FidelityView, SyncStatus};
use serde_json::{Value, json};
use support::{Repository, World, config};

const COPY: &str = "seaway.dev/v1alpha1";

fn key(name: &str) -> EnvironmentKey {
    EnvironmentKey::new("seaway-jane", name)
}

/// An environment `staging` in namespace `shop` that runs, and the namespace of a person.
async fn world(files: &[(&str, Option<&str>)], stack: Value) -> (World, Repository) {
    let (world, repository) = (World::new().await, Repository::new());
    let commit = repository.push("main", "first", files);
    world.follow(&repository, json!({})).await;
    if !stack.is_null() {
        world.patch(COPY, "Stack", "seaway", "shop", "test", json!({"spec": stack})).await;
    }
    world.synced(&commit).await;
    world.create(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "seaway-jane"}})).await;
    (world, repository)
}

async fn copy(world: &World, name: &str, spec: Value) {
    let mut all = json!({"copyOf": "staging", "class": "personal"});
    all.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    world
        .create(json!({"apiVersion": COPY, "kind": "Environment",
            "metadata": {"name": name, "namespace": "seaway-jane"}, "spec": all}))
        .await;
}

fn view(world: &World, name: &str) -> Option<EnvironmentView> {
    world.sync().list().into_iter().find(|view| view.name == name)
}

async fn synced(world: &World, name: &str) {
    world
        .until(&format!("{name} is synced"), async |world| {
            view(world, name).is_some_and(|view| view.sync == SyncStatus::Synced && view.release.is_some())
        })
        .await;
}

async fn says(world: &World, name: &str, text: &str) {
    world
        .until(&format!("{name} says {text:?}, and not {:?}", view(world, name)), async |world| {
            view(world, name).is_some_and(|view| view.message.contains(text))
        })
        .await;
}

async fn value(world: &World, namespace: &str, name: &str) -> Option<String> {
    let found = world.get("v1", "ConfigMap", Some(namespace), name).await?;
    found["data"]["key"].as_str().map(str::to_owned)
}

async fn has(world: &World, namespace: &str, name: &str, wanted: &str) {
    world
        .until(&format!("{namespace}/{name} is {wanted}"), async |world| {
            value(world, namespace, name).await.as_deref() == Some(wanted)
        })
        .await;
}

fn why(fidelity: &FidelityView) -> Vec<String> {
    let line = |d: &seaway_sync::view::FidelityDifference| {
        format!("{}{} {} {}", d.object.id(), d.path, d.class.as_str(), d.rule)
    };
    fidelity.differences.iter().map(line).collect()
}

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
async fn a_namespace_that_is_there_is_not_taken() {
    let (world, _repository) = world(&[("deploy/a.yaml", Some(&config("a", "one")))], Value::Null).await;
    world
        .create(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "billing-shop"}}))
        .await;
    for name in ["billing", "seaway-bob", "kube-system"] {
        copy(&world, name, json!({})).await;
        let text = if name.contains('-') { "cannot be the name of a copy" } else { "is there already" };
        says(&world, name, text).await;
        let (namespace, binding) = (format!("{name}-shop"), format!("seaway:seaway-jane:{name}:copy"));
        let rbac = "rbac.authorization.k8s.io/v1";
        assert!(world.get(rbac, "RoleBinding", Some(&namespace), &binding).await.is_none(), "{name}");
    }
    // Two of one name: who comes second is told.
    world.create(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "seaway-bob"}})).await;
    copy(&world, "twice", json!({})).await;
    synced(&world, "twice").await;
    world
        .create(json!({"apiVersion": COPY, "kind": "Environment", "metadata": {"name": "twice", "namespace": "seaway-bob"},
            "spec": {"copyOf": "staging", "class": "personal"}}))
        .await;
    world
        .until("the second one is refused", async |world| {
            let all = world.sync().list();
            let bobs =
                all.iter().find(|view| view.namespace == "seaway-bob").map(|view| view.message.clone());
            bobs.is_some_and(|message| message.contains("is that of the copy seaway-jane/twice"))
        })
        .await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_other_environment_goes_into_the_namespace_of_a_copy() {
    let (world, _repository) = world(&[("deploy/a.yaml", Some(&config("a", "one")))], Value::Null).await;
    copy(&world, "mine", json!({})).await;
    synced(&world, "mine").await;
    world
        .create(json!({"apiVersion": COPY, "kind": "Environment", "metadata": {"name": "late", "namespace": "seaway"},
            "spec": {"stack": "shop", "destination": {"namespace": "mine-shop"}}}))
        .await;
    says(&world, "late", "is one of the copy seaway-jane/mine").await;
    let rbac = "rbac.authorization.k8s.io/v1";
    assert!(world.get(rbac, "RoleBinding", Some("mine-shop"), "seaway:seaway:late").await.is_none());
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
async fn a_person_has_copies_and_nothing_else() {
    let (world, _repository) = world(&[("deploy/a.yaml", Some(&config("a", "one")))], Value::Null).await;
    world
        .create(json!({"apiVersion": COPY, "kind": "Environment", "metadata": {"name": "own", "namespace": "seaway-jane"},
            "spec": {"stack": "shop", "destination": {"namespace": "kube-public"}}}))
        .await;
    says(&world, "own", "environments in seaway-jane are copies").await;
    let bindings = world.get(
        "rbac.authorization.k8s.io/v1",
        "RoleBinding",
        Some("kube-public"),
        "seaway:seaway-jane:own",
    );
    assert!(bindings.await.is_none());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_must_not_leave_production_stops_the_copy_before_anything_is_made() {
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: key}\nstringData: {password: hunter2}\n";
    let a = config("a", "one");
    let files = [("deploy/a.yaml", Some(a.as_str())), ("deploy/s.yaml", Some(secret))];
    let (world, _repository) = world(&files, Value::Null).await;
    let spec = || serde_json::from_value(json!({"copyOf": "staging", "class": "personal"})).unwrap();
    let refused = world.sync().preview(&key("mine"), spec()).await.unwrap_err().to_string();
    assert!(refused.contains("Secret shop/key (it holds secret values)"), "{refused}");
    copy(&world, "mine", json!({})).await;
    says(&world, "mine", "spec.productionOnly").await;
    assert!(world.get("v1", "Namespace", None, "mine-shop").await.is_none());
    let only = json!({"productionOnly": [{"name": "key", "target": {"kind": "Secret"},
                                          "standIn": {"secret": {"generate": ["password"]}}}]});
    world.patch(COPY, "Stack", "seaway", "shop", "operator", json!({"spec": only})).await;
    synced(&world, "mine").await;
    let made = world.get("v1", "Secret", Some("mine-shop"), "key").await.unwrap();
    let password = made["data"]["password"].as_str().unwrap().to_owned();
    assert!(password.len() > 30 && password != "aHVudGVyMg==");
    let fidelity = world.sync().fidelity(&key("mine"), None).await.unwrap();
    assert_eq!(fidelity.undeclared, 0, "{:?}", why(&fidelity));
    assert!(fidelity.differences.iter().any(|d| d.class == Class::StandIn && d.rule == "key"));
    let text = serde_json::to_string(&fidelity).unwrap();
    assert!(
        !text.contains("hunter2") && !text.contains("aHVudGVyMg==") && !text.contains(&password),
        "{text}"
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn inputs_that_stay_in_production_are_replaced_before_they_are_read() {
    let kustomization = "secretGenerator:\n- name: key\n  envs: [prod.env]\nresources: [pod.yaml]\n";
    let pod = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {key: one}\n";
    let files = [
        ("deploy/kustomization.yaml", Some(kustomization)),
        ("deploy/pod.yaml", Some(pod)),
        ("deploy/prod.env", Some("PASSWORD=hunter2\n")),
    ];
    let (world, repository) = world(&files, Value::Null).await;
    let only = json!({"productionOnly": [
        {"name": "inputs", "file": "deploy/prod.env", "standIn": {"content": "PASSWORD=mock\n"}},
        {"name": "made-of-them", "target": {"kind": "Secret"}, "standIn": {"keep": true}}]});
    world.patch(COPY, "Stack", "seaway", "shop", "operator", json!({"spec": only})).await;
    copy(&world, "mine", json!({})).await;
    synced(&world, "mine").await;
    let secrets = async |namespace: &str| -> Vec<(String, String)> {
        let api: kube::Api<k8s_openapi::api::core::v1::Secret> =
            kube::Api::namespaced(world.admin(), namespace);
        let all = api.list(&Default::default()).await.unwrap().items;
        let of = |secret: k8s_openapi::api::core::v1::Secret| {
            let password = secret.data?.remove("PASSWORD")?;
            Some((secret.metadata.name?, String::from_utf8(password.0).unwrap()))
        };
        all.into_iter().filter_map(of).collect()
    };
    let (theirs, mine) = (secrets("shop").await, secrets("mine-shop").await);
    assert_eq!((theirs.len(), mine.len()), (1, 1));
    assert_eq!((theirs[0].1.as_str(), mine[0].1.as_str()), ("hunter2", "mock"));
    assert_ne!(theirs[0].0, mine[0].0, "the hash in the name is that of the other content");
    let fidelity = world.sync().fidelity(&key("mine"), None).await.unwrap();
    assert_eq!(fidelity.undeclared, 0, "{:?}", why(&fidelity));
    assert!(fidelity.differences.iter().any(|d| d.class == Class::StandIn && d.rule == "inputs"));
    // Where it is gone from the repository, the copy has it all the same.
    let without = kustomization.replace("  envs: [prod.env]\n", "  literals: [A=b]\n");
    let commit = repository.push("main", "next", &[("deploy/kustomization.yaml", Some(&without))]);
    world.synced(&commit).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_prepares_copies_sees_no_secret_and_needs_none() {
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: key}\nstringData: {password: hunter2}\n";
    let (world, _repository) = world(&[("deploy/s.yaml", Some(secret))], Value::Null).await;
    let only = json!({"productionOnly": [{"name": "key", "target": {"kind": "Secret"},
                                          "standIn": {"secret": {"generate": ["password"]}}}]});
    world.patch(COPY, "Stack", "seaway", "shop", "operator", json!({"spec": only})).await;
    copy(&world, "mine", json!({})).await;
    synced(&world, "mine").await;
    for path in [
        "/api/v1/secrets",
        "/api/v1/namespaces/shop/secrets",
        "/api/v1/namespaces/shop/secrets/key",
        "/api/v1/namespaces/mine-shop/secrets",
        "/api/v1/namespaces/shop/configmaps",
        "/api/v1/namespaces/shop/pods",
    ] {
        let request = http::Request::get(path).body(Vec::new()).unwrap();
        let answer = world.copier().request::<Value>(request).await;
        assert!(matches!(&answer, Err(kube::Error::Api(status)) if status.code == 403), "{path}: {answer:?}");
    }
    for path in
        ["/api/v1/namespaces/seaway-jane/serviceaccounts/seaway-mine/token", "/api/v1/namespaces/shop/pods"]
    {
        let request = http::Request::post(path).header("content-type", "application/json");
        let request = request.body(json!({}).to_string().into_bytes()).unwrap();
        let answer = world.copier().request::<Value>(request).await;
        assert!(matches!(&answer, Err(kube::Error::Api(status)) if status.code == 403), "{path}: {answer:?}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_has_as_many_copies_as_the_stack_lets_be_counted_right_for_two_at_once() {
    let (world, _repository) = world(&[("deploy/a.yaml", Some(&config("a", "one")))], Value::Null).await;
    world.create(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "seaway-bob"}})).await;
    let policy = json!({"copies": {"most": {"personal": 2}}});
    world.patch(COPY, "Stack", "seaway", "shop", "operator", json!({"spec": policy})).await;
    copy(&world, "first", json!({})).await;
    synced(&world, "first").await;
    tokio::join!(copy(&world, "second", json!({})), copy(&world, "third", json!({})));
    let refused = async |world: &World| {
        let all = ["second", "third"].map(|name| view(world, name));
        let refused = |one: &Option<EnvironmentView>| {
            one.as_ref().is_some_and(|view| view.message.contains("jane may have 2 personal copies"))
        };
        let runs = |one: &Option<EnvironmentView>| {
            one.as_ref().is_some_and(|view| view.sync == SyncStatus::Synced && view.release.is_some())
        };
        all.iter().filter(|one| refused(one)).count() == 1 && all.iter().filter(|one| runs(one)).count() == 1
    };
    world.until("one of both runs, and the other one is refused", refused).await;
    let usage = world.sync().usage(jiff::Timestamp::now()).await.unwrap();
    assert_eq!(usage.len(), 3);
    assert!(
        usage.iter().all(|one| one.owner.as_deref() == Some("jane") && one.of == "seaway/staging"),
        "{usage:?}"
    );
    // Others have their own.
    world
        .create(json!({"apiVersion": COPY, "kind": "Environment", "metadata": {"name": "bobs", "namespace": "seaway-bob"},
            "spec": {"copyOf": "staging", "class": "personal"}}))
        .await;
    synced(&world, "bobs").await;
    // Whoever makes room has room.
    world.delete(COPY, "Environment", Some("seaway-jane"), "first").await;
    world
        .until("both run", async |world| {
            ["second", "third"]
                .iter()
                .all(|name| view(world, name).is_some_and(|view| view.release.is_some()))
        })
        .await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_asks_for_more_than_its_quota_says_so_and_has_nothing_half_made() {
    let a = config("a", "one");
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: db}\nspec:\n  ports: [{port: 5432}]\n";
    let files = [("deploy/a.yaml", Some(a.as_str())), ("deploy/s.yaml", Some(service))];
    let (world, _repository) = world(&files, Value::Null).await;
    let quota = |services: &str| json!({"spec": {"copies": {"quota": {"services": services}}}});
    world.patch(COPY, "Stack", "seaway", "shop", "operator", quota("0")).await;
    copy(&world, "mine", json!({})).await;
    says(&world, "mine", "exceeded quota").await;
    assert_eq!(value(&world, "mine-shop", "a").await, None);
    world.patch(COPY, "Stack", "seaway", "shop", "operator", quota("3")).await;
    synced(&world, "mine").await;
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
async fn an_override_cannot_reach_out_of_the_copy() {
    let (world, repository) = world(&[("deploy/a.yaml", Some(&config("a", "one")))], Value::Null).await;
    copy(&world, "mine", json!({})).await;
    synced(&world, "mine").await;
    let binding = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: mine}\n\
                   roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}\n\
                   subjects: [{kind: User, name: jane, apiGroup: rbac.authorization.k8s.io}]\n";
    let elsewhere = config("b", "x").replace("name: b", "name: b\n  namespace: default");
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  serviceAccountName: builder\n  containers: \
               [{name: c, image: i}]\n";
    let files = [
        ("deploy/b.yaml", Some(binding)),
        ("deploy/c.yaml", Some(elsewhere.as_str())),
        ("deploy/p.yaml", Some(pod)),
    ];
    repository.push("feature", "escape", &files);
    let overrides = json!([{"component": "web", "revision": "feature"}]);
    world
        .patch(COPY, "Environment", "seaway-jane", "mine", "jane", json!({"spec": {"overrides": overrides}}))
        .await;
    world
        .until("all are refused by name", async |world| {
            let plan = world.sync().show(&key("mine")).unwrap().plan;
            let mut refused: Vec<String> = plan
                .objects
                .iter()
                .filter(|object| object.action.is_blocking())
                .map(|object| object.object.id().to_string())
                .collect();
            refused.sort();
            refused
                == [
                    "ClusterRoleBinding.rbac.authorization.k8s.io mine",
                    "ConfigMap default/b",
                    "Pod mine-shop/p",
                ]
        })
        .await;
    assert!(world.get("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", None, "mine").await.is_none());
    assert!(world.get("v1", "ConfigMap", Some("default"), "b").await.is_none());
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
async fn a_copy_is_bounded_as_the_stack_says_and_says_what_does_not_hold() {
    let (world, _repository) = world(&[("deploy/a.yaml", Some(&config("a", "one")))], Value::Null).await;
    let policy =
        json!({"copies": {"quota": {"pods": "3"}, "egress": [{"name": "mail", "cidr": "192.0.2.0/24"}]}});
    world.patch(COPY, "Stack", "seaway", "shop", "operator", json!({"spec": policy})).await;
    let spec = || serde_json::from_value(json!({"copyOf": "staging", "class": "personal"})).unwrap();
    let before = world.sync().preview(&key("mine"), spec()).await.unwrap();
    assert!(before.warnings[0].contains("nothing that enforces NetworkPolicies"), "{before:?}");
    copy(&world, "mine", json!({})).await;
    synced(&world, "mine").await;
    let get = async |api: &str, kind: &str| world.get(api, kind, Some("mine-shop"), "seaway").await.unwrap();
    assert_eq!(get("v1", "ResourceQuota").await["spec"]["hard"], json!({"pods": "3"}));
    assert_eq!(get("v1", "LimitRange").await["spec"]["limits"][0]["type"], "Container");
    let admin = world.admin();
    let policies = admin.request::<Value>(
        http::Request::get("/apis/networking.k8s.io/v1/namespaces/mine-shop/networkpolicies")
            .body(vec![])
            .unwrap(),
    );
    let policies = policies.await.unwrap();
    assert_eq!(policies["items"].as_array().unwrap().len(), 1);
    assert_eq!(policies["items"][0]["spec"]["egress"][2]["to"][0]["ipBlock"]["cidr"], "192.0.2.0/24");
    let contained = async |world: &World| {
        let found = world.get(COPY, "Environment", Some("seaway-jane"), "mine").await.unwrap();
        let conditions = found["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.into_iter().find(|condition| condition["type"] == "Contained")
    };
    world
        .until("it says so", async |world| contained(world).await.is_some_and(|one| one["status"] == "False"))
        .await;
    assert_eq!(world.sync().show(&key("mine")).unwrap().copy.unwrap().warnings, before.warnings);
    // Somebody installs what enforces them, and a change of the stack is followed.
    world
        .create(json!({"apiVersion": "apps/v1", "kind": "DaemonSet",
            "metadata": {"name": "cilium", "namespace": "kube-system"},
            "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}},
                "spec": {"containers": [{"name": "c", "image": "i"}]}}}}))
        .await;
    let policy = json!({"copies": {"quota": {"pods": "4"}}});
    world.patch(COPY, "Stack", "seaway", "shop", "operator", json!({"spec": policy})).await;
    world
        .until("it is bounded", async |world| {
            contained(world).await.is_some_and(|one| one["status"] == "True")
        })
        .await;
    assert_eq!(get("v1", "ResourceQuota").await["spec"]["hard"], json!({"pods": "4"}));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_a_copy_end_when_they_are_revoked() {
    let (world, _repository) = world(&[("deploy/a.yaml", Some(&config("a", "one")))], Value::Null).await;
    copy(&world, "mine", json!({})).await;
    synced(&world, "mine").await;
    let access = world.sync().access(&key("mine")).unwrap();
    assert_eq!(
        (access.account.as_str(), access.namespaces.as_slice()),
        ("access-mine", &["mine-shop".to_owned()][..])
    );
    let uid = async || {
        let account = world.get("v1", "ServiceAccount", Some("seaway-jane"), "access-mine").await.unwrap();
        account["metadata"]["uid"].as_str().unwrap().to_owned()
    };
    let before = uid().await;
    world.sync().revoke_access(&key("mine"), "jane").await.unwrap();
    assert_ne!(uid().await, before, "tokens are those of an account that is not there any more");
    let shared = world.sync().access(&EnvironmentKey::new("seaway", "staging")).unwrap_err().to_string();
    assert!(shared.contains("nobody's own copy"), "{shared}");
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
        ["ConfigMap other/a.data.key undeclared ", "ConfigMap other/a.metadata.namespace undeclared "]
    );
    world.stop().await;
}

fn proposer() -> Proposer {
    Proposer { name: "Jane".into(), email: "jane@example.com".into(), message: String::new() }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_override_is_proposed_and_ends_once_what_is_copied_has_it() {
    let (world, repository) = world(&[("deploy/a.yaml", Some(&config("a", "one")))], Value::Null).await;
    copy(&world, "mine", json!({})).await;
    synced(&world, "mine").await;
    let tip = repository.push("feature", "try", &[("deploy/a.yaml", Some(&config("a", "mine")))]);
    let overrides = json!([{"component": "web", "revision": "feature"}]);
    world
        .patch(COPY, "Environment", "seaway-jane", "mine", "jane", json!({"spec": {"overrides": overrides}}))
        .await;
    has(&world, "mine-shop", "a", "mine").await;

    let proposed = world.sync().propose(&key("mine"), "web", proposer()).await.unwrap();
    assert_eq!((proposed.branch.as_str(), proposed.base.as_str()), ("seaway/seaway-jane/mine/web", "main"));
    repository.git(&["fetch", "--quiet", "origin"]);
    let shown = repository.git(&[
        "log",
        "-1",
        "--format=%an %ae|%cn|%s|%(trailers:key=Seaway-Proposal,valueonly)",
        "origin/seaway/seaway-jane/mine/web",
    ]);
    assert_eq!(shown, "Jane jane@example.com|Seaway|Propose feature for web|seaway-jane/mine/web");
    assert_eq!(repository.git(&["rev-parse", "origin/seaway/seaway-jane/mine/web^2"]), tip);
    let again = world.sync().propose(&key("mine"), "web", proposer()).await.unwrap();
    assert!(again.unchanged && again.commit == proposed.commit);

    // What it would change, where.
    let concerned = world.sync().concerned(&key("mine")).unwrap();
    assert_eq!(concerned, [EnvironmentKey::new("seaway", "staging")]);
    let effect = world.sync().effect(&concerned[0], &proposed).await;
    assert_eq!(effect.error, None);
    let changes: Vec<String> = effect
        .objects
        .iter()
        .flat_map(|object| {
            object.fields.iter().map(move |field| format!("{}{}", object.object.id(), field.path))
        })
        .collect();
    assert_eq!(changes, ["ConfigMap shop/a.data.key"]);
    assert_eq!(value(&world, "shop", "a").await.as_deref(), Some("one"));

    // Somebody merges it.
    let proposal = json!({"branch": proposed.branch, "commit": proposed.commit});
    let overrides = json!([{"component": "web", "revision": "feature", "proposal": proposal}]);
    world
        .patch(COPY, "Environment", "seaway-jane", "mine", "jane", json!({"spec": {"overrides": overrides}}))
        .await;
    repository.git(&[
        "push",
        "--quiet",
        "--force",
        "origin",
        &format!("{}:refs/heads/main", proposed.commit),
    ]);
    world.synced(&proposed.commit).await;
    world
        .until("the override has ended", async |world| {
            world.sync().show(&key("mine")).unwrap().overrides.is_empty()
        })
        .await;
    synced(&world, "mine").await;
    let fidelity = world.sync().fidelity(&key("mine"), None).await.unwrap();
    assert_eq!(why(&fidelity), ["ConfigMap mine-shop/a.metadata.namespace identity names"]);
    world.stop().await;
}

async fn overrides(world: &World, all: Value) {
    let patch = json!({"spec": {"overrides": all}});
    world.patch(COPY, "Environment", "seaway-jane", "mine", "jane", patch).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_upstream_comes_to_an_override_and_a_conflict_is_told_to_its_owner() {
    let (a, b) = (config("a", "one"), config("b", "one"));
    let files = [("deploy/a.yaml", Some(a.as_str())), ("deploy/b.yaml", Some(b.as_str()))];
    let (world, repository) = world(&files, Value::Null).await;
    copy(&world, "mine", json!({})).await;
    synced(&world, "mine").await;
    repository.push("feature", "mine", &[("deploy/a.yaml", Some(&config("a", "mine")))]);
    overrides(&world, json!([{"component": "web", "revision": "feature"}])).await;
    has(&world, "mine-shop", "a", "mine").await;
    // What others change elsewhere comes by itself.
    repository.git(&["reset", "--quiet", "--hard", "HEAD~1"]);
    let main = repository.push("main", "theirs", &[("deploy/b.yaml", Some(&config("b", "two")))]);
    world.synced(&main).await;
    has(&world, "mine-shop", "b", "two").await;
    has(&world, "mine-shop", "a", "mine").await;
    let fidelity = world.sync().fidelity(&key("mine"), None).await.unwrap();
    let told = why(&fidelity);
    assert!(told.contains(&"ConfigMap mine-shop/a.data.key override web at feature".to_owned()), "{told:?}");
    assert!(!told.iter().any(|line| line.starts_with("ConfigMap mine-shop/b.data")), "{told:?}");
    assert_eq!(fidelity.undeclared, 0, "{told:?}");
    // What both change does not: the branch runs alone, and its owner is told why.
    let main = repository.push("main", "clash", &[("deploy/a.yaml", Some(&config("a", "theirs")))]);
    world.synced(&main).await;
    says(&world, "mine", "both changed deploy/a.yaml").await;
    has(&world, "mine-shop", "a", "mine").await;
    let shown = world.sync().show(&key("mine")).unwrap().overrides.remove(0);
    assert!(
        shown.conflict.as_deref().is_some_and(|why| why.contains("merge main into the branch")),
        "{shown:?}"
    );
    let condition = async |world: &World| {
        let found = world.get(COPY, "Environment", Some("seaway-jane"), "mine").await.unwrap();
        let conditions = found["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.into_iter().any(|one| one["type"] == "OverridesMerge" && one["status"] == "False")
    };
    world.until("a condition says so", async |world| condition(world).await).await;
    let events: kube::Api<k8s_openapi::api::core::v1::Event> =
        kube::Api::namespaced(world.admin(), "seaway-jane");
    world
        .until("and an event", async |_| {
            let all = events.list(&Default::default()).await.unwrap().items;
            all.iter().any(|event| event.reason.as_deref() == Some("OverrideConflict"))
        })
        .await;
    let ledger = world.ledger().await;
    let page = ledger.events(&seaway_ledger::EventFilter::default(), 100).await.unwrap();
    let conflicts = page.items.iter().filter(|event| event.action == "environment.override.conflict");
    assert_eq!(conflicts.count(), 1, "it is told once");
    // The owner solves it.
    repository.push("feature", "solved", &[("deploy/a.yaml", Some(&config("a", "both")))]);
    has(&world, "mine-shop", "a", "both").await;
    world.until("it is over", async |world| !condition(world).await).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_override_ends_also_when_its_proposal_is_squashed() {
    let (a, b) = (config("a", "one"), config("b", "one"));
    let files = [("deploy/a.yaml", Some(a.as_str())), ("deploy/b.yaml", Some(b.as_str()))];
    let (world, repository) = world(&files, Value::Null).await;
    copy(&world, "mine", json!({})).await;
    synced(&world, "mine").await;
    repository.push("feature", "mine", &[("deploy/a.yaml", Some(&config("a", "mine")))]);
    overrides(&world, json!([{"component": "web", "revision": "feature"}])).await;
    has(&world, "mine-shop", "a", "mine").await;
    let proposed = world.sync().propose(&key("mine"), "web", proposer()).await.unwrap();
    let proposal = json!({"branch": proposed.branch, "commit": proposed.commit});
    overrides(&world, json!([{"component": "web", "revision": "feature", "proposal": proposal}])).await;
    // Somebody else's change, and then the squashed one: the proposed commit is nowhere in the history.
    repository.git(&["reset", "--quiet", "--hard", "HEAD~1"]);
    repository.push("main", "theirs", &[("deploy/b.yaml", Some(&config("b", "two")))]);
    let squashed = repository.push("main", "Squashed", &[("deploy/a.yaml", Some(&config("a", "mine")))]);
    world.synced(&squashed).await;
    world
        .until("the override has ended", async |world| {
            world.sync().show(&key("mine")).unwrap().overrides.is_empty()
        })
        .await;
    has(&world, "mine-shop", "b", "two").await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_images_are_proposed_as_a_change_of_the_kustomization() {
    let kustomization =
        "resources: [pod.yaml]\nimages:\n# what runs\n- name: registry.example.com/web\n  newTag: \"1\"\n";
    let pod = "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: web}\nspec:\n  schedule: \"0 0 1 1 *\"\n  suspend: \
               true\n  jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: \
               registry.example.com/web}]}}}}\n";
    let files = [("deploy/kustomization.yaml", Some(kustomization)), ("deploy/pod.yaml", Some(pod))];
    let (world, repository) = world(&files, Value::Null).await;
    copy(&world, "mine", json!({})).await;
    synced(&world, "mine").await;
    let image = async |namespace: &str| {
        let found = world.get("batch/v1", "CronJob", Some(namespace), "web").await.unwrap();
        let pod = &found["spec"]["jobTemplate"]["spec"]["template"]["spec"];
        pod["containers"][0]["image"].as_str().unwrap().to_owned()
    };
    let images = json!([{"name": "registry.example.com/web", "tag": "2"}]);
    overrides(&world, json!([{"component": "web", "images": images}])).await;
    world.until("the copy has it", async |_| image("mine-shop").await.ends_with(":2")).await;
    let proposed = world.sync().propose(&key("mine"), "web", proposer()).await.unwrap();
    repository.git(&["fetch", "--quiet", "origin"]);
    let shown = repository.git(&["show", &format!("{}:deploy/kustomization.yaml", proposed.commit)]);
    assert_eq!(shown, kustomization.replace("\"1\"", "\"2\"").trim_end());
    // Merged, it ends.
    let proposal = json!({"branch": proposed.branch, "commit": proposed.commit});
    overrides(&world, json!([{"component": "web", "images": images, "proposal": proposal}])).await;
    repository.git(&["push", "--quiet", "origin", &format!("{}:refs/heads/main", proposed.commit)]);
    world.synced(&proposed.commit).await;
    world
        .until("the override has ended", async |world| {
            world.sync().show(&key("mine")).unwrap().overrides.is_empty()
        })
        .await;
    assert!(image("shop").await.ends_with(":2"));
    // With a branch, both are proposed.
    repository.git(&["fetch", "--quiet", "origin"]);
    repository.git(&["reset", "--quiet", "--hard", "origin/main"]);
    repository.push("feature", "more", &[("deploy/more.yaml", Some(&config("more", "one")))]);
    let both = json!([{"component": "web", "revision": "feature", "images": [{"name": "registry.example.com/web", "tag": "3"}]}]);
    overrides(&world, both).await;
    world.until("the copy has it", async |_| image("mine-shop").await.ends_with(":3")).await;
    let proposed = world.sync().propose(&key("mine"), "web", proposer()).await.unwrap();
    repository.git(&["fetch", "--quiet", "origin"]);
    let shown = repository.git(&["show", &format!("{}:deploy/kustomization.yaml", proposed.commit)]);
    assert!(shown.contains("\"3\""), "{shown}");
    repository.git(&["cat-file", "-e", &format!("{}:deploy/more.yaml", proposed.commit)]);
    // Parameters lie elsewhere.
    overrides(&world, json!([{"component": "web", "parameters": {"a": 1}}])).await;
    world
        .until("it is seen", async |world| {
            let all = world.sync().show(&key("mine")).unwrap().overrides;
            all.first().is_some_and(|one| !one.spec.parameters.is_empty())
        })
        .await;
    let refused = world.sync().propose(&key("mine"), "web", proposer()).await.unwrap_err().to_string();
    assert!(refused.contains("lie in the Stack"), "{refused}");
    world.stop().await;
}

/// A forge that answers every question with this.
async fn forge(status: u16, answers: &'static [(&'static str, &'static str)]) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            let mut chunk = [0; 4096];
            // Heads and bodies of requests are small; the length says where they end.
            loop {
                let count = stream.read(&mut chunk).await.unwrap_or(0);
                request.extend_from_slice(&chunk[..count]);
                let text = String::from_utf8_lossy(&request).to_lowercase();
                let length =
                    text.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok());
                let whole =
                    text.split_once("\r\n\r\n").is_some_and(|(_, body)| body.len() >= length.unwrap_or(0));
                if whole || count == 0 {
                    break;
                }
            }
            let text = String::from_utf8_lossy(&request).into_owned();
            let method = text.split(' ').next().unwrap_or_default();
            let body = answers.iter().find(|(wanted, _)| *wanted == method).map_or("{}", |(_, body)| *body);
            let status = if method == "POST" && status == 200 { 201 } else { status };
            let answer = format!(
                "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proposal_becomes_a_merge_request_and_a_forge_that_is_down_takes_nothing_back() {
    let (world, repository) = world(&[("deploy/a.yaml", Some(&config("a", "one")))], Value::Null).await;
    copy(&world, "mine", json!({})).await;
    synced(&world, "mine").await;
    repository.push("feature", "try", &[("deploy/a.yaml", Some(&config("a", "mine")))]);
    overrides(&world, json!([{"component": "web", "revision": "feature"}])).await;
    has(&world, "mine-shop", "a", "mine").await;
    let proposed = world.sync().propose(&key("mine"), "web", proposer()).await.unwrap();
    let mut effects = Vec::new();
    for environment in world.sync().concerned(&key("mine")).unwrap() {
        effects.push(world.sync().effect(&environment, &proposed).await);
    }
    let ask = async || world.sync().request_merge(&key("mine"), "jane", "Title", &proposed, &effects).await;
    assert_eq!(ask().await.unwrap(), None, "no forge is known");
    let secret = |api: &str| {
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "forge", "namespace": "seaway",
            "labels": {"seaway.dev/credentials": "git"}},
            "stringData": {"url": repository.url(), "forge": "github", "forge-token": "ghp_secret", "forge-api": api}})
    };
    let down = forge(502, &[]).await;
    world.create(secret(&down)).await;
    world.until("the forge is down", async |_| ask().await.is_err()).await;
    let error = ask().await.unwrap_err().to_string();
    assert!(
        error.contains("the branch is pushed") && error.contains("502") && !error.contains("ghp_secret"),
        "{error}"
    );
    assert!(repository.git(&["ls-remote", "origin"]).contains(&proposed.branch));
    let pull = r#"{"number": 7, "html_url": "https://github.com/acme/shop/pull/7"}"#;
    let up = forge(200, Box::leak(Box::new([("GET", "[]"), ("POST", pull)]))).await;
    world
        .patch("v1", "Secret", "seaway", "forge", "operator", json!({"stringData": {"forge-api": up}}))
        .await;
    world
        .until("it is up", async |_| {
            ask().await.is_ok_and(|url| url.as_deref() == Some("https://github.com/acme/shop/pull/7"))
        })
        .await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_overridden_or_proposed_is_said() {
    let (world, repository) = world(&[("deploy/a.yaml", Some(&config("a", "one")))], Value::Null).await;
    copy(&world, "mine", json!({})).await;
    synced(&world, "mine").await;
    let check = async |deviation: Value| {
        let deviation = serde_json::from_value(deviation).unwrap();
        world.sync().check_override(&key("mine"), &deviation).await.map_err(|error| error.to_string())
    };
    for (deviation, text) in [
        (json!({"component": "nothing", "revision": "main"}), "\"nothing\" is not a component"),
        (json!({"component": "web", "revision": "missing"}), "missing"),
        (
            json!({"component": "web", "repo": "https://other.example.com/x.git"}),
            "does not allow the repository",
        ),
    ] {
        let error = check(deviation).await.unwrap_err();
        assert!(error.contains(text), "{error}");
    }
    let nothing = world.sync().propose(&key("mine"), "web", proposer()).await.unwrap_err().to_string();
    assert!(nothing.contains("has no override of \"web\""), "{nothing}");

    // Nobody pushed these to a branch: Seaway must not do so in its own name.
    let foreign = repository.push("theirs", "foreign", &[("deploy/b.yaml", Some(&config("b", "foreign")))]);
    repository.git(&["push", "--quiet", "origin", "HEAD:refs/pull/7/head", "HEAD:refs/tags/v7"]);
    repository.git(&["push", "--quiet", "origin", "--delete", "theirs"]);
    repository.git(&["reset", "--quiet", "--hard", "HEAD~1"]);
    for revision in ["refs/pull/7/head", "v7", "refs/tags/v7", &foreign, &foreign[..12]] {
        let overrides = json!([{"component": "web", "revision": revision}]);
        let patch = json!({"spec": {"overrides": overrides}});
        world.patch(COPY, "Environment", "seaway-jane", "mine", "jane", patch).await;
        let is_seen = async |world: &World| {
            let overrides = world.sync().show(&key("mine")).unwrap().overrides;
            overrides.first().and_then(|one| one.spec.revision.as_deref()) == Some(revision)
        };
        world.until("the override is seen", is_seen).await;
        let error = world.sync().propose(&key("mine"), "web", proposer()).await.unwrap_err().to_string();
        assert!(error.contains("no branch") && error.contains(revision), "{error}");
    }
    assert!(!repository.git(&["ls-remote", "origin"]).contains("seaway/"));

    // Both sides change one line.
    repository.push("feature", "mine", &[("deploy/a.yaml", Some(&config("a", "mine")))]);
    repository.git(&["reset", "--quiet", "--hard", "HEAD~1"]);
    repository.push("main", "theirs", &[("deploy/a.yaml", Some(&config("a", "theirs")))]);
    let overrides = json!([{"component": "web", "revision": "feature"}]);
    world
        .patch(COPY, "Environment", "seaway-jane", "mine", "jane", json!({"spec": {"overrides": overrides}}))
        .await;
    has(&world, "mine-shop", "a", "mine").await;
    let conflict = world.sync().propose(&key("mine"), "web", proposer()).await.unwrap_err().to_string();
    assert!(conflict.contains("deploy/a.yaml"), "{conflict}");
    assert!(!repository.git(&["ls-remote", "origin"]).contains("seaway/"));
    world.stop().await;
}
