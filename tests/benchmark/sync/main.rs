//! How fast many environments follow Git, beside the same requests in a bare loop of the same run, on the embedded API
//! and on a real kube-apiserver with etcd.
//!
//! Full tier only, and with an optimized client: `cargo test --release -p seaway --test sync_benchmark -- --ignored
//! --nocapture --test-threads 1`. `SEAWAY_BENCHMARK_DEBUG=1` lets a debug build run, to find what grows with the square
//! of environments; `SEAWAY_BENCHMARK_ENVIRONMENTS` sets how many there are. Nothing is asserted but that it works: a
//! shared machine is no place for limits. It prints a table.

#![allow(clippy::unwrap_used)]

#[path = "../../support/git.rs"]
mod git;
#[path = "../../real-kubernetes/mod.rs"]
mod real_kubernetes;
#[path = "../../support/serving.rs"]
mod serving;
#[path = "../../support/mod.rs"]
mod support;

mod bare;
mod place;

use std::time::{Duration, Instant};

use git::Repository;
use place::{Place, Row, api, mib, show};
use serde_json::{Value, json};

/// Namespaces that share the environments.
pub(crate) const NAMESPACES: usize = 10;
/// A commit is told of so often to know how long that takes.
const PUSHES: usize = 100;

/// Whether numbers of this build mean anything.
fn wanted() -> bool {
    let wanted = !cfg!(debug_assertions) || std::env::var_os("SEAWAY_BENCHMARK_DEBUG").is_some();
    if !wanted {
        println!("skipped: numbers of a debug build say nothing (cargo test --release)");
    }
    wanted
}

fn environments(usual: usize) -> usize {
    std::env::var("SEAWAY_BENCHMARK_ENVIRONMENTS").ok().and_then(|n| n.parse().ok()).unwrap_or(usual)
}

/// What an environment holds: its objects by the name of their resource.
pub(crate) type Manifest = fn(&str, usize) -> Vec<(&'static str, Value)>;

/// A ConfigMap of 2 KB.
pub(crate) fn config(name: &str, value: usize) -> Vec<(&'static str, Value)> {
    let data = json!({"value": value.to_string(), "settings": "x".repeat(2000)});
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data});
    vec![("configmaps", object)]
}

/// The four objects of Flux's benchmark: an account, a configuration, a Service and a Deployment without pods.
pub(crate) fn four(name: &str, value: usize) -> Vec<(&'static str, Value)> {
    let metadata = json!({"name": name});
    let port = json!({"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"});
    let container = json!({"name": "web", "image": format!("shop/web:{value}"),
        "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}]});
    vec![
        ("serviceaccounts", json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})),
        (
            "configmaps",
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata,
                "data": {"value": value.to_string()}}),
        ),
        (
            "services",
            json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata,
                "spec": {"selector": {"app": name}, "ports": [port]}}),
        ),
        (
            "deployments",
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {
                "replicas": 0, "selector": {"matchLabels": {"app": name}}, "template": {
                    "metadata": {"labels": {"app": name}},
                    "spec": {"serviceAccountName": name, "containers": [container]}}}}),
        ),
    ]
}

/// The same as a file: JSON is YAML.
fn file(manifest: Manifest, name: &str, value: usize) -> String {
    let documents = manifest(name, value).into_iter().map(|(_, object)| format!("{object}\n"));
    documents.collect::<Vec<_>>().join("---\n")
}

fn name(index: usize) -> String {
    format!("env-{index:05}")
}

fn push(repository: &Repository, count: usize, value: usize, manifest: Manifest) {
    let files: Vec<(String, String)> = (0..count)
        .map(|i| (format!("apps/{0}/app.yaml", name(i)), file(manifest, &name(i), value)))
        .collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    repository.push("main", &format!("Value {value}"), &files);
}

/// Lets `count` environments follow a directory each, and waits until all are synced.
async fn deploy(place: &Place, repository: &Repository, count: usize) -> Duration {
    let revision = head(repository);
    let synced = place.synced(count, &revision).await;
    let began = Instant::now();
    let stack = json!({"apiVersion": "seaway.dev/v1alpha1", "kind": "Stack",
        "metadata": {"name": "apps", "namespace": "seaway"},
        "spec": {"components": [{"name": "app", "source":
            {"repo": repository.url(), "path": "apps/${overlay}", "revision": "main"}}]}});
    place.expect_webhooks(repository).await;
    let seaway = "/apis/seaway.dev/v1alpha1/namespaces/seaway";
    api(&place.client, "POST", &format!("{seaway}/stacks"), &stack).await;
    bare::at_once(count, 16, async |i| {
        let environment = json!({"apiVersion": "seaway.dev/v1alpha1", "kind": "Environment",
            "metadata": {"name": name(i), "namespace": "seaway"},
            "spec": {"stack": "apps", "destination": {"namespace": format!("apps-{}", i % NAMESPACES)}}});
        api(&place.client, "POST", &format!("{seaway}/environments"), &environment).await;
    })
    .await;
    synced.await.unwrap();
    began.elapsed()
}

fn head(repository: &Repository) -> String {
    let output = std::process::Command::new("git")
        .args(["rev-parse", "HEAD"])
        .current_dir(repository.work())
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()[..8].to_owned()
}

/// (a) and (b): from the moment that the server has a commit until every environment says that it runs it.
async fn commit_to_all(place: &Place, repository: &Repository, count: usize, manifest: Manifest) {
    let objects = manifest("one", 0).len();
    let (row, aim) = match objects {
        1 => ("(a)", "1.3 x, 300 MiB at 10,000"),
        _ => ("(b)", "60 s, 150 MiB"),
    };
    push(repository, count, 0, manifest);
    let idle = place.memory();
    let first = deploy(place, repository, count).await;
    Row::new(&format!("{row} {count} x {objects}: first deploy"), &show(first)).print();
    let bare = bare::best(place, count, manifest).await;
    let mut all = Vec::new();
    for value in 1..=3 {
        push(repository, count, value, manifest);
        let synced = place.synced(count, &head(repository)).await;
        let began = Instant::now();
        place.tell(repository).await;
        synced.await.unwrap();
        all.push(began.elapsed());
    }
    all.sort();
    let ratio = all[1].as_secs_f64() / bare.as_secs_f64();
    Row::new(&format!("{row} {count} x {objects}: commit to all synced"), &show(all[1]))
        .beside(&show(bare), ratio)
        .aim(aim)
        .print();
    let (now, most) = (place.memory(), place.most_memory());
    Row::new(
        &format!("{row} memory: idle, now, most"),
        &format!("{}, {}, {}", mib(idle), mib(now), mib(most)),
    )
    .print();
    no_change(place, repository, count).await;
}

/// (d): a commit that changes nothing that is deployed.
async fn no_change(place: &Place, repository: &Repository, count: usize) {
    let before = place.revisions().await;
    repository.push("main", "Nothing", &[("README.md", &format!("{:?}", Instant::now()))]);
    let decided = place.decisions();
    place.tell(repository).await;
    let decision = place.next_decision(decided).await;
    // What would be written is written after it.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let after = place.revisions().await;
    let written = before.iter().zip(&after).filter(|(before, after)| before != after).count();
    Row::new(
        &format!("(d) {count}: a commit that changes nothing"),
        &format!("{written} written, decided in {decision} ms"),
    )
    .aim("nothing written")
    .print();
}

/// (c): a commit that touches one of many directories.
async fn one_of_many(place: &Place, repository: &Repository, count: usize) {
    push(repository, count, 0, config);
    let first = deploy(place, repository, count).await;
    Row::new(&format!("(c) {count} directories: first deploy"), &show(first)).print();
    for round in 1..=5 {
        let touched = name(count * round / 6);
        let text = file(config, &touched, round);
        repository.push("main", "One", &[(&format!("apps/{touched}/app.yaml"), &text)]);
        let before = place.revisions().await;
        let synced = place.synced(1, &head(repository)).await;
        let decided = place.decisions();
        let began = Instant::now();
        place.tell(repository).await;
        let decision = place.next_decision(decided).await;
        synced.await.unwrap();
        let took = began.elapsed();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let after = place.revisions().await;
        let written = before.iter().zip(&after).filter(|(before, after)| before != after).count();
        Row::new(
            &format!("(c) one of {count} directories"),
            &format!(
                "decided in {decision} ms, synced {} after the webhook, {written} objects written",
                show(took)
            ),
        )
        .aim("50 ms, 1 environment")
        .print();
    }
    Row::new("(c) memory: now, most", &format!("{}, {}", mib(place.memory()), mib(place.most_memory())))
        .print();
}

/// (e): from a webhook until its commit is applied.
async fn webhooks(place: &Place, repository: &Repository) {
    push(repository, 1, 0, config);
    deploy(place, repository, 1).await;
    let mut took = Vec::new();
    for round in 1..=PUSHES {
        push(repository, 1, round, config);
        let applied = place.applied("apps-0", &format!("\"value\":\"{round}\"")).await;
        let began = Instant::now();
        place.tell(repository).await;
        applied.await.unwrap();
        took.push(began.elapsed());
    }
    took.sort();
    let at = |share: f64| show(took[((took.len() - 1) as f64 * share).round() as usize]);
    Row::new(
        "(e) webhook to first apply",
        &format!("p50 {}, p90 {}, p99 {}, most {}", at(0.5), at(0.9), at(0.99), at(1.0)),
    )
    .aim("p99 300 ms")
    .print();
}

fn run(place: impl Future<Output = Option<Place>>, measure: impl AsyncFn(&Place, &Repository)) {
    if !wanted() {
        return;
    }
    // It has a runtime of its own.
    let repository = Repository::new();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let Some(place) = place.await else { return };
        println!("\n{}", place.title());
        measure(&place, &repository).await;
    });
}

#[test]
#[ignore = "measures: full tier, with a release build"]
fn a_commit_to_a_thousand_environments() {
    run(Place::embedded(), async |place, repository| {
        commit_to_all(place, repository, environments(1000), config).await
    });
}

#[test]
#[ignore = "measures: full tier, with a release build"]
fn a_commit_to_ten_thousand_environments() {
    run(Place::embedded(), async |place, repository| {
        commit_to_all(place, repository, environments(10_000), config).await
    });
}

#[test]
#[ignore = "measures: full tier, with a release build"]
fn four_objects_in_each_of_a_thousand_environments() {
    run(Place::embedded(), async |place, repository| {
        commit_to_all(place, repository, environments(1000), four).await
    });
}

#[test]
#[ignore = "measures: full tier, with a release build"]
fn one_of_five_thousand_directories() {
    run(Place::embedded(), async |place, repository| {
        one_of_many(place, repository, environments(5000)).await
    });
}

#[test]
#[ignore = "measures: full tier, with a release build"]
fn from_a_webhook_to_the_first_apply() {
    run(Place::embedded(), async |place, repository| webhooks(place, repository).await);
}

#[test]
#[ignore = "measures: full tier, with a release build"]
fn a_commit_to_a_thousand_environments_of_a_real_kubernetes() {
    run(Place::real(), async |place, repository| {
        commit_to_all(place, repository, environments(1000), config).await
    });
}

#[test]
#[ignore = "measures: full tier, with a release build"]
fn four_objects_in_each_of_a_thousand_environments_of_a_real_kubernetes() {
    run(Place::real(), async |place, repository| {
        commit_to_all(place, repository, environments(1000), four).await
    });
}

#[test]
#[ignore = "measures: full tier, with a release build"]
fn from_a_webhook_to_the_first_apply_on_a_real_kubernetes() {
    run(Place::real(), async |place, repository| webhooks(place, repository).await);
}

/// The resource versions of a list, by name.
pub(crate) fn versions(list: &Value) -> Vec<(String, String)> {
    let text = |item: &Value, pointer: &str| {
        item.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let items = list["items"].as_array().unwrap().iter();
    items.map(|item| (text(item, "/metadata/name"), text(item, "/metadata/resourceVersion"))).collect()
}
