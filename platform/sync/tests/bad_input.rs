//! What is wrong is said with its reason, and holds up nobody else.

#![allow(clippy::unwrap_used)]

#[allow(dead_code, unreachable_pub)]
mod support;

use serde_json::json;
use support::{Repository, World, config};

const BROKEN: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: [\n";
const KINDLESS: &str = "metadata: {name: x}\n";
const WIDGET: &str = "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w}\n";
const ENCRYPTED: &str = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {a: ENC[x]}\nsops: {version: 3.9.0, mac: x}\n";

const ENCRYPTED_ENV: &str = "PASSWORD=ENC[AES256_GCM,data:eA==,iv:eA==,tag:eA==,type:str]\nsops_version=3.9.0\n\
    sops_mac=ENC[AES256_GCM,data:eA==,iv:eA==,tag:eA==,type:str]\n";
const ENCRYPTED_JSON: &str =
    r#"{"data": "ENC[AES256_GCM,data:eA==,iv:eA==,tag:eA==,type:str]", "sops": {"version": "3.9.0"}}"#;
const ENCRYPTED_PATCH: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: sops-patch}\n\
    data: {key: \"ENC[AES256_GCM,data:eA==,iv:eA==,tag:eA==,type:str]\"}\nsops:\n  version: 3.9.0\n";

/// The URL of a repository that is said to be elsewhere.
async fn redirects_to(target: &'static str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/x.git", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let answer = format!(
                "HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    url
}

/// An environment of a stack of its own.
async fn environment(world: &World, name: &str, repo: &str, path: &str, revision: &str) {
    world
        .create(json!({"apiVersion": "seaway.dev/v1alpha1", "kind": "Stack", "metadata": {"name": name, "namespace": "seaway"},
            "spec": {"components": [{"name": "web", "source": {"repo": repo, "path": path, "revision": revision}}]}}))
        .await;
    world
        .create(json!({"apiVersion": "seaway.dev/v1alpha1", "kind": "Environment",
            "metadata": {"name": name, "namespace": "seaway"},
            "spec": {"stack": name, "destination": {"namespace": if name == "twin" { "shop" } else { name }}}}))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_has_a_condition_with_a_reason_and_everything_else_goes_on() {
    let (repository, empty) = (Repository::new(), Repository::new());
    let huge = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: huge}}\ndata: {{key: {}}}\n",
        "x".repeat(5 << 20)
    );
    let first = repository.push(
        "main",
        "First",
        &[
            ("deploy/a.yaml", Some(&config("a", "one"))),
            ("broken/bad.yaml", Some(BROKEN)),
            ("kindless/bad.yaml", Some(KINDLESS)),
            ("widget/w.yaml", Some(WIDGET)),
            ("sops/secret.yaml", Some(ENCRYPTED)),
            ("sops-env/kustomization.yaml", Some("secretGenerator: [{name: s, envs: [.env]}]\n")),
            ("sops-env/.env", Some(ENCRYPTED_ENV)),
            ("sops-file/kustomization.yaml", Some("secretGenerator: [{name: s, files: [config.json]}]\n")),
            ("sops-file/config.json", Some(ENCRYPTED_JSON)),
            ("sops-patch/kustomization.yaml", Some("resources: [a.yaml]\npatches: [{path: patch.yaml}]\n")),
            ("sops-patch/a.yaml", Some(&config("sops-patch", "one"))),
            ("sops-patch/patch.yaml", Some(ENCRYPTED_PATCH)),
            ("huge/huge.yaml", Some(&huge)),
            ("twin/a.yaml", Some(&config("a", "two"))),
        ],
    );
    let world = World::new().await;
    world.follow(&repository, json!({})).await;
    world.synced(&first).await;
    let (url, elsewhere) = (repository.url(), redirects_to("http://169.254.169.254/latest").await);
    let cases = [
        ("unreachable", "http://127.0.0.1:1/x.git", "deploy", "main", "cannot be reached"),
        ("forbidden-url", "http://169.254.169.254/x.git", "deploy", "main", "link-local"),
        ("redirected", &elsewhere, "deploy", "main", "link-local"),
        ("empty", &empty.url(), "deploy", "main", "is empty: push a commit"),
        ("no-path", &url, "absent", "main", "absent"),
        ("no-revision", &url, "deploy", "absent", "has no branch, tag or commit absent; branches are main"),
        ("broken", &url, "broken", "main", "broken/bad.yaml"),
        ("kindless", &url, "kindless", "main", "kindless/bad.yaml"),
        ("widget", &url, "widget", "main", "Widget"),
        ("sops", &url, "sops", "main", "sops/secret.yaml"),
        ("sops-env", &url, "sops-env", "main", "sops-env/.env is encrypted with SOPS"),
        ("sops-file", &url, "sops-file", "main", "sops-file/config.json is encrypted with SOPS"),
        ("sops-patch", &url, "sops-patch", "main", "sops-patch/patch.yaml is encrypted with SOPS"),
        ("huge", &url, "huge", "main", "ConfigMap huge/huge"),
        ("twin", &url, "twin", "main", "ConfigMap shop/a"),
    ];
    for (name, repo, path, revision, _) in cases {
        environment(&world, name, repo, path, revision).await;
    }
    for (name, _, _, _, text) in cases {
        world
            .until(&format!("{name} says {text:?}"), async |world| {
                let all = world.sync().list();
                all.iter().any(|view| view.name == name && view.message.contains(text))
            })
            .await;
        world
            .until(&format!("{name} has a condition"), async |world| {
                let found =
                    world.get("seaway.dev/v1alpha1", "Environment", Some("seaway"), name).await.unwrap();
                let conditions = found["status"]["conditions"].as_array().cloned().unwrap_or_default();
                conditions.iter().any(|condition| {
                    condition["status"] != "True"
                        && condition["reason"].as_str().is_some_and(|reason| !reason.is_empty())
                        && condition["message"].as_str().is_some_and(|message| message.contains(text))
                })
            })
            .await;
    }
    assert_eq!(world.value("a", "key").await.as_deref(), Some("one"), "the twin does not take it");
    let second = repository.push("main", "Second", &[("deploy/a.yaml", Some(&config("a", "three")))]);
    world.synced(&second).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_end_is_named_and_the_next_revision_goes_through() {
    let repository = Repository::new();
    let held = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: held\n  finalizers: [example.com/never]\n  annotations: \
                {seaway.dev/options: force}\nimmutable: true\ndata: {key: one}\n";
    let first = repository.push(
        "main",
        "First",
        &[("deploy/held.yaml", Some(held)), ("deploy/a.yaml", Some(&config("a", "one")))],
    );
    let world = World::new().await;
    world.follow(&repository, json!({"sync": {"waveTimeoutSeconds": 1}})).await;
    world.synced(&first).await;
    // It has to be made anew, and cannot go.
    repository.push("main", "Second", &[("deploy/held.yaml", Some(&held.replace("one", "two")))]);
    world
        .until("its finalizers are named", async |world| {
            world.view().is_some_and(|view| {
                view.message.contains("ConfigMap shop/held") && view.message.contains("example.com/never")
            })
        })
        .await;
    let third = repository.push(
        "main",
        "Third",
        &[("deploy/held.yaml", None), ("deploy/a.yaml", Some(&config("a", "two")))],
    );
    world
        .until("the rest goes on", async |world| world.value("a", "key").await.as_deref() == Some("two"))
        .await;
    world.patch("v1", "ConfigMap", "shop", "held", "test", json!({"metadata": {"finalizers": null}})).await;
    world.synced(&third).await;
    world.stop().await;
}

/// What the API does not let change: a Job's template, a Service's address, a Deployment's selector.
fn fixed(value: &str, options: &str) -> [String; 3] {
    let head = |api: &str, kind: &str| {
        format!(
            "apiVersion: {api}\nkind: {kind}\nmetadata:\n  name: {}\n  annotations: {{{options}}}\n",
            kind.to_lowercase()
        )
    };
    let octet = if value == "one" { 11 } else { 12 };
    let pod = |labels: &str| {
        format!(
            "  template:\n    metadata: {{labels: {{{labels}}}}}\n    spec:\n      restartPolicy: REST\n      containers: [{{name: c, image: \"x:{value}\"}}]\n"
        )
    };
    [
        head("batch/v1", "Job") + "spec:\n" + &pod("a: b").replace("REST", "Never"),
        head("v1", "Service") + &format!("spec:\n  clusterIP: 10.96.77.{octet}\n  ports: [{{port: 80}}]\n"),
        head("apps/v1", "Deployment")
            + &format!("spec:\n  replicas: 0\n  selector: {{matchLabels: {{app: {value}}}}}\n")
            + &pod(&format!("app: {value}")).replace("REST", "Always"),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_field_that_cannot_be_changed_is_named_with_what_to_do_and_force_does_it() {
    let repository = Repository::new();
    let push = |value: &str, options: &str| {
        let objects = fixed(value, options);
        let files = ["deploy/job.yaml", "deploy/service.yaml", "deploy/deployment.yaml"];
        let files: Vec<_> =
            files.into_iter().zip(&objects).map(|(f, text)| (f, Some(text.as_str()))).collect();
        repository.push("main", &format!("{value} {options}"), &files)
    };
    // No controller runs here, and no Job ends.
    let quick = json!({"sync": {"waveTimeoutSeconds": 2}});
    push("one", "");
    let world = World::new().await;
    let key = world.follow(&repository, quick).await;
    let ids =
        [("batch/v1", "Job", "job"), ("v1", "Service", "service"), ("apps/v1", "Deployment", "deployment")];
    let uids = async |world: &World| {
        let mut uids = Vec::new();
        for (api, kind, name) in ids {
            let found = world.get(api, kind, Some("shop"), name).await.unwrap_or_default();
            uids.push(found["metadata"]["uid"].as_str().unwrap_or_default().to_owned());
        }
        uids
    };
    world.until("all are made", async |world| uids(world).await.iter().all(|uid| !uid.is_empty())).await;
    let before = uids(&world).await;
    push("two", "");
    world
        .until("each is named with what to do", async |world| {
            let plan = world.sync().plan(&key, None).await.unwrap();
            plan.objects.len() == 3
                && plan.objects.iter().all(|object| {
                    object.action == seaway_sync::plan::Action::Invalid
                        && object.message.contains("Force=true")
                })
        })
        .await;
    assert_eq!(uids(&world).await, before, "nothing is deleted that nobody asked to be made anew");
    push("two", "argocd.argoproj.io/sync-options: \"Force=true\"");
    world
        .until("all are made anew", async |world| {
            uids(world).await.iter().zip(&before).all(|(now, before)| !now.is_empty() && now != before)
        })
        .await;
    let second = uids(&world).await;
    push("one", "argocd.argoproj.io/sync-options: \"Force=true,Replace=true\"");
    world
        .until("and again when they are replaced", async |world| {
            uids(world).await.iter().zip(&second).all(|(now, before)| !now.is_empty() && now != before)
        })
        .await;
    let service = world.get("v1", "Service", Some("shop"), "service").await.unwrap();
    assert_eq!(service["spec"]["clusterIP"], "10.96.77.11");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kind_that_comes_later_is_waited_for_where_the_object_says_so() {
    let repository = Repository::new();
    let late = "apiVersion: example.com/v1\nkind: Widget\nmetadata:\n  name: w\n  annotations: \
                {argocd.argoproj.io/sync-options: SkipDryRunOnMissingResource=true}\n";
    let first = repository.push(
        "main",
        "First",
        &[("deploy/a.yaml", Some(&config("a", "one"))), ("deploy/late.yaml", Some(late))],
    );
    let world = World::new().await;
    world.follow(&repository, json!({})).await;
    world
        .until("the rest is applied", async |world| world.value("a", "key").await.as_deref() == Some("one"))
        .await;
    world
        .create(json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": "widgets.example.com"}, "spec": {"group": "example.com", "scope": "Namespaced",
                "names": {"kind": "Widget", "plural": "widgets"}, "versions": [{"name": "v1", "served": true,
                "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}}]}}))
        .await;
    // Its rights follow from `admin`, to which whoever brings a kind adds it.
    world
        .create(json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {
            "name": "widgets", "labels": {"rbac.authorization.k8s.io/aggregate-to-admin": "true"}},
            "rules": [{"apiGroups": ["example.com"], "resources": ["widgets"], "verbs": ["*"]}]}))
        .await;
    world.synced(&first).await;
    assert!(world.get("example.com/v1", "Widget", Some("shop"), "w").await.is_some());
    world.stop().await;
}
