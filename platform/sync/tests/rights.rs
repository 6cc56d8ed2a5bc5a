//! What a stack does not allow is refused: by the plan with the object's name, and by the API as well.

#![allow(clippy::unwrap_used)]

#[allow(dead_code, unreachable_pub)]
mod support;

use kube::api::{Patch, PatchParams, PostParams};
use seaway_sync::plan::Action;
use serde_json::{Value, json};
use support::{Repository, World, api_of, config};

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
    // What the plan refuses, sent without a plan; and ways to more rights than the account has.
    let rbac = |kind: &str, name: &str, namespace: Option<&str>| {
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind,
               "metadata": {"name": name, "namespace": namespace},
               "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
               "subjects": [{"kind": "ServiceAccount", "name": "seaway-staging", "namespace": "seaway"}]})
    };
    let stack = json!({"apiVersion": "seaway.dev/v1alpha1", "kind": "Stack",
        "metadata": {"name": "own", "namespace": "seaway"},
        "spec": {"components": [{"name": "x", "source": {"repo": "https://git.example.com/x.git"}}],
                 "allow": {"clusterKinds": ["ClusterRoleBinding.rbac.authorization.k8s.io"]}}});
    for object in [
        rbac("ClusterRoleBinding", "root", None),
        rbac("RoleBinding", "root", Some("shop")),
        rbac("RoleBinding", "root", Some("kube-system")),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": "kube-system"}}),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": "seaway"}}),
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "namespace": "seaway"},
               "spec": {"serviceAccountName": "seaway-staging", "containers": [{"name": "c", "image": "c"}]}}),
        stack,
    ] {
        let sent = support::api_of(&client, &object);
        let typed: kube::api::DynamicObject = serde_json::from_value(object.clone()).unwrap();
        let refused = sent.create(&Default::default(), &typed).await;
        assert!(
            matches!(&refused, Err(kube::Error::Api(status)) if status.code == 403),
            "{object}: {refused:?}"
        );
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_environment_stays_in_its_namespace() {
    let repository = Repository::new();
    let first = repository.push("main", "First", &[("deploy/a.yaml", Some(&config("a", "one")))]);
    let world = World::new().await;
    world.follow(&repository, json!({})).await;
    world.synced(&first).await;
    let elsewhere = json!({"spec": {"destination": {"namespace": "elsewhere"}}});
    let refused = world.try_patch("seaway.dev/v1alpha1", "Environment", "seaway", "staging", elsewhere).await;
    assert!(refused.unwrap_err().contains("destination.namespace stays what it is"));
    let further = json!({"spec": {"destination": {"namespaces": ["elsewhere"]}}});
    world.try_patch("seaway.dev/v1alpha1", "Environment", "seaway", "staging", further).await.unwrap();
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rights_are_taken_back_once_what_they_were_for_is_deleted() {
    const STACK: (&str, &str) = ("seaway.dev/v1alpha1", "Stack");
    let elsewhere = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b, namespace: elsewhere}\n";
    let class = "apiVersion: scheduling.k8s.io/v1\nkind: PriorityClass\nmetadata: {name: low}\nvalue: 1\n";
    let repository = Repository::new();
    let first = repository.push(
        "main",
        "First",
        &[
            ("deploy/a.yaml", Some(&config("a", "one"))),
            ("deploy/b.yaml", Some(elsewhere)),
            ("deploy/class.yaml", Some(class)),
        ],
    );
    let world = World::new().await;
    world
        .follow(&repository, json!({"destination": {"namespace": "shop", "namespaces": ["elsewhere"]}}))
        .await;
    let allow = json!({"spec": {"allow": {"clusterKinds": ["PriorityClass.scheduling.k8s.io"]}}});
    world.patch(STACK.0, STACK.1, "seaway", "shop", "test", allow).await;
    world.synced(&first).await;
    let binding = async |namespace: Option<&str>| {
        let kind = if namespace.is_some() { "RoleBinding" } else { "ClusterRoleBinding" };
        world.get("rbac.authorization.k8s.io/v1", kind, namespace, "seaway:seaway:staging").await.is_some()
    };
    assert!(binding(Some("elsewhere")).await && binding(None).await);
    // The stack and the environment say so at once, and Git only then: until the objects are gone, the rights stay.
    world
        .patch(STACK.0, STACK.1, "seaway", "shop", "test", json!({"spec": {"allow": {"clusterKinds": []}}}))
        .await;
    let spec = json!({"spec": {"destination": {"namespaces": []}}});
    world.patch("seaway.dev/v1alpha1", "Environment", "seaway", "staging", "test", spec).await;
    repository.push("main", "Second", &[("deploy/b.yaml", None), ("deploy/class.yaml", None)]);
    world
        .until("the objects are gone, and then the rights", async |world| {
            world.get("v1", "ConfigMap", Some("elsewhere"), "b").await.is_none()
                && world.get("scheduling.k8s.io/v1", "PriorityClass", None, "low").await.is_none()
                && !binding(Some("elsewhere")).await
                && !binding(None).await
        })
        .await;
    assert_eq!(world.value("a", "key").await.as_deref(), Some("one"));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_spec_is_refused_at_apply_with_its_field() {
    let world = World::new().await;
    let stack = |source: Value, more: Value| {
        let mut component = json!({"name": "web", "source": source});
        component.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"apiVersion": "seaway.dev/v1alpha1", "kind": "Stack", "metadata": {"name": "wrong", "namespace": "seaway"},
               "spec": {"components": [component]}})
    };
    let environment = |spec: Value| {
        json!({"apiVersion": "seaway.dev/v1alpha1", "kind": "Environment",
               "metadata": {"name": "wrong", "namespace": "seaway"}, "spec": spec})
    };
    let url = "https://git.example.com/x.git";
    let allowing = |kinds: &[&str]| {
        let mut stack = stack(json!({"repo": url}), json!({}));
        stack["spec"]["allow"] = json!({"clusterKinds": kinds});
        stack
    };
    for (object, field) in [
        (stack(json!({"repo": url, "path": "../../etc"}), json!({})), "spec.components[0].source.path"),
        (stack(json!({"repo": url, "path": "/etc"}), json!({})), "spec.components[0].source.path"),
        (stack(json!({"repo": url, "path": "a/.."}), json!({})), "it leaves the repository"),
        (stack(json!({"repo": "-u evil"}), json!({})), "spec.components[0].source.repo"),
        (stack(json!({"path": "x"}), json!({})), "spec.components[0].source.repo"),
        (stack(json!({"repo": url}), json!({"dependsOn": ["web"]})), "spec.components[0].dependsOn"),
        (stack(json!({"repo": url}), json!({"render": {"kind": "magic"}})), "spec.components[0].render.kind"),
        (stack(json!({"repo": url}), json!({"name": "Web!"})), "spec.components[0].name"),
        (stack(json!({"repo": url}), json!({"dependsOn": ["ghost"]})), "dependsOn names components"),
        (stack(json!({"repo": "ext::sh -c id"}), json!({})), "spec.components[0].source.repo"),
        (stack(json!({"repo": "ftp://h/a"}), json!({})), "spec.components[0].source.repo"),
        (stack(json!({"repo": "a/b"}), json!({})), "spec.components[0].source.repo"),
        (stack(json!({"repo": "https://ada:hunter2@h/a"}), json!({})), "it contains a password"),
        (stack(json!({"repo": url, "revision": "-main"}), json!({})), "spec.components[0].source.revision"),
        (stack(json!({"repo": url, "revision": "main~2"}), json!({})), "spec.components[0].source.revision"),
        (stack(json!({"repo": url, "revision": "a b"}), json!({})), "spec.components[0].source.revision"),
        (stack(json!({"repo": url, "revision": ""}), json!({})), "spec.components[0].source.revision"),
        (stack(json!({"repo": url}), json!({"render": {"kind": "helm"}})), "spec.components[0].render.kind"),
        (
            stack(json!({"repo": url}), json!({"render": {"parameters": {"a": 1}}})),
            "spec.components[0].render.parameters",
        ),
        (allowing(&["x y z"]), "spec.allow.clusterKinds[0]"),
        (allowing(&["Namespace", "rbac.authorization.k8s.io/ClusterRole"]), "spec.allow.clusterKinds[1]"),
        (
            environment(json!({"stack": "shop", "destination": {"namespace": "x"},
                               "overrides": [{"component": "web", "repo": "https://ada:hunter2@h/a"}]})),
            "spec.overrides[0].repo",
        ),
        (
            environment(json!({"stack": "shop", "destination": {"namespace": "x"},
                               "overrides": [{"component": "web", "revision": "-u"}]})),
            "spec.overrides[0].revision",
        ),
        (environment(json!({"destination": {"namespace": "shop"}})), "spec"),
        (environment(json!({"stack": "shop", "destination": {}})), "spec.destination.namespace"),
        (
            environment(json!({"stack": "shop", "class": "gold", "destination": {"namespace": "x"}})),
            "spec.class",
        ),
        (
            environment(json!({"stack": "shop", "destination": {"namespace": "x"},
                               "pins": [{"component": "web", "commit": "abc"}]})),
            "spec.pins[0].commit",
        ),
        (
            environment(json!({"stack": "shop", "destination": {"namespace": "x"},
                               "sync": {"waveTimeoutSeconds": 0}})),
            "spec.sync.waveTimeoutSeconds",
        ),
    ] {
        let refusal = world.refusal(object.clone()).await;
        assert!(refusal.contains(field), "{field}: {refusal}");
        assert!(!refusal.contains("hunter2"), "{refusal}");
    }
    // What is unusual and right.
    for (number, path) in ["", ".", "./deploy", "a/..b/.c", "overlays/${overlay}/", "a//b"].iter().enumerate()
    {
        let mut good = stack(json!({"repo": url, "path": path}), json!({}));
        good["metadata"]["name"] = format!("right-{number}").into();
        world.create(good).await;
    }
    let urls = [
        "https://Git.Example.com:8443/a/b.git",
        "HTTPS://h/a",
        "http://u@h:8080/a@b:c",
        "ssh://git@h:2222/a",
        "git+ssh://git@h/a",
        "git@h:a/b.git",
        "git@[2001:db8::1]:a/b",
        "https://u@[2001:db8::1]:8443/a",
        "file:///srv/a.git",
        "/srv/a.git",
    ];
    let revisions = ["main", "feature/a-b.c", "refs/pull/7/head", "v1.4.2", "HEAD", "0123456", "ü"];
    for (number, url) in urls.into_iter().enumerate() {
        let mut good = stack(
            json!({"repo": url, "revision": revisions[number % revisions.len()]}),
            json!({"render": {"kind": "kustomize", "parameters": {}}}),
        );
        good["metadata"]["name"] = format!("repository-{number}").into();
        world.create(good).await;
    }
    let mut good =
        allowing(&["Namespace", "ClusterRole.rbac.authorization.k8s.io", "widget-kind.example.com"]);
    good["metadata"]["name"] = "kinds".into();
    let components =
        [("web", json!(["catalog", "database"])), ("catalog", json!(["database"])), ("database", json!([]))];
    good["spec"]["components"] = components
        .map(|(name, depends_on)| json!({"name": name, "source": {"repo": url}, "dependsOn": depends_on}))
        .to_vec()
        .into();
    world.create(good).await;
    world.stop().await;
}

/// A definition as it was before it knew such rules.
fn without_rules(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            fields.retain(|name, _| {
                !["x-kubernetes-validations", "maxProperties", "enum"].contains(&name.as_str())
            });
            fields.values_mut().for_each(without_rules);
        }
        Value::Array(items) => items.iter_mut().for_each(without_rules),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_older_definition_took_can_still_be_changed_elsewhere_and_is_told() {
    let world = World::new().await;
    let definition = seaway_api::crds().remove(0);
    let mut older = definition["spec"]["versions"].clone();
    without_rules(&mut older);
    let definitions = api_of(&world.admin(), &definition);
    let define = async |versions: &Value| {
        let patch = Patch::Merge(json!({"spec": {"versions": versions}}));
        definitions.patch("stacks.seaway.dev", &PatchParams::default(), &patch).await.unwrap();
    };
    define(&older).await;
    let stack = |name: &str| {
        json!({"apiVersion": "seaway.dev/v1alpha1", "kind": "Stack", "metadata": {"name": name, "namespace": "seaway"},
            "spec": {"components": [{"name": "web", "source": {"repo": "https://ada:x@h/a", "revision": "-main"},
                                     "dependsOn": ["ghost"], "render": {"kind": "helm", "parameters": {"a": 1}}}],
                     "allow": {"repositories": ["*"], "clusterKinds": ["x y z"]}}})
    };
    let takes = async |name: &str, dry_run: bool| {
        let object = stack(name);
        let typed = serde_json::from_value(object.clone()).unwrap();
        let params = PostParams { dry_run, ..PostParams::default() };
        api_of(&world.admin(), &object).create(&params, &typed).await.is_ok()
    };
    world.until("the older definition counts", async |_| takes("old", false).await).await;
    define(&definition["spec"]["versions"]).await;
    world.until("that of today counts", async |_| !takes("other", true).await).await;

    let change = async |patch: Value| {
        world.try_patch("seaway.dev/v1alpha1", "Stack", "seaway", "old", json!({"spec": patch})).await
    };
    change(json!({"copies": {"domain": "example.com"}})).await.unwrap();
    let told = async |world: &World, field: &str| {
        let found = world.get("seaway.dev/v1alpha1", "Stack", Some("seaway"), "old").await.unwrap();
        let observed = found["status"]["observedGeneration"] == found["metadata"]["generation"];
        observed
            && found["status"]["conditions"][0]["message"].as_str().is_some_and(|said| said.contains(field))
    };
    for field in ["source.revision", "dependsOn[0]", "spec.allow.clusterKinds[0]"] {
        world.until(&format!("{field} is told"), async |world| told(world, field).await).await;
    }
    let refused = change(json!({"allow": {"clusterKinds": ["a b"]}})).await.unwrap_err();
    assert!(refused.contains("spec.allow.clusterKinds[0]"), "{refused}");
    change(json!({"allow": {"clusterKinds": ["Namespace"]}})).await.unwrap();
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
