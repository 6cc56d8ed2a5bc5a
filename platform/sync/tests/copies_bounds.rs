//! What a copy must not hold, reach or take: it is bounded, and says what does not hold.

#![allow(clippy::unwrap_used)]

#[allow(dead_code, unreachable_pub)]
mod support;

use seaway_environments::Class;
use seaway_sync::view::{EnvironmentKey, EnvironmentView, SyncStatus};
use serde_json::{Value, json};
use support::copy::{COPY, copy, key, says, synced, value, view, why, world};
use support::{World, config};

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
    // What reads it no more has none of it.
    let without = kustomization.replace("  envs: [prod.env]\n", "  literals: [A=b]\n");
    let commit = repository.push("main", "next", &[("deploy/kustomization.yaml", Some(&without))]);
    world.synced(&commit).await;
    world
        .until("the copy goes without, too", async |_| {
            secrets("mine-shop").await.is_empty() && secrets("shop").await.is_empty()
        })
        .await;
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
    let policy = json!({"copies": {"quota": {"pods": "4"}, "podSecurity": "baseline"}});
    world.patch(COPY, "Stack", "seaway", "shop", "operator", json!({"spec": policy})).await;
    world
        .until("it is bounded", async |world| {
            contained(world).await.is_some_and(|one| one["status"] == "True")
        })
        .await;
    assert_eq!(get("v1", "ResourceQuota").await["spec"]["hard"], json!({"pods": "4"}));
    let namespace = world.get("v1", "Namespace", None, "mine-shop").await.unwrap();
    assert_eq!(namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "baseline");
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
