//! The lower bound: the requests that the same work needs, as the same accounts and to a kind of the same schema, in a
//! loop that does nothing else.

use std::time::{Duration, Instant};

use futures::StreamExt as _;
use seaway_api::VERSION;
use serde_json::{Value, json};

use crate::place::{Place, api, send, send_as};
use crate::{Manifest, NAMESPACES};

/// Requests at once that are tried; the fastest counts.
const AT_ONCE: [usize; 3] = [8, 16, 32];

/// Does something for each index, some of them at a time.
pub(crate) async fn at_once(count: usize, at_once: usize, each: impl AsyncFn(usize)) {
    futures::stream::iter(0..count).map(|i| each(i)).buffer_unordered(at_once).collect::<Vec<()>>().await;
}

/// As long as it takes at the least: for each environment an apply of each object, with a dry run before it where there
/// are several, and one write of a status of the usual size.
pub(crate) async fn best(place: &Place, count: usize, manifest: Manifest) -> Duration {
    prepare(place, count).await;
    // What is applied the first time is made.
    once(place, count, manifest, 16, 0).await;
    let mut best = Duration::MAX;
    for (round, at_once) in AT_ONCE.into_iter().enumerate() {
        best = best.min(once(place, count, manifest, at_once, round + 1).await);
    }
    best
}

async fn prepare(place: &Place, count: usize) {
    let group = "bench.example.com";
    // A status costs what its kind's schema and rules cost: it is the very one of an Environment.
    let mut definition = seaway_api::crds()
        .into_iter()
        .find(|definition| definition["spec"]["names"]["kind"] == "Environment")
        .unwrap();
    definition["metadata"] = json!({"name": format!("bares.{group}")});
    definition["spec"]["group"] = group.into();
    definition["spec"]["names"] = json!({"kind": "Bare", "plural": "bares"});
    let client = &place.client;
    api(client, "POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &definition).await;
    for i in 0..NAMESPACES {
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": format!("bare-{i}")}});
        api(client, "POST", "/api/v1/namespaces", &namespace).await;
        let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": {"name": "bare"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin"},
            "subjects": [{"kind": "ServiceAccount", "namespace": format!("bare-{i}"), "name": "bare"}]});
        let path = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/bare-{i}/rolebindings");
        api(client, "POST", &path, &binding).await;
    }
    while send(client, "GET", &bares(0), "application/json", &Value::Null).await.0 != 200 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    at_once(count, 16, async |i| {
        let object = json!({"apiVersion": format!("{group}/{VERSION}"), "kind": "Bare",
            "metadata": {"name": format!("bare-{i}")},
            "spec": {"stack": "apps", "destination": {"namespace": format!("bare-{}", i % NAMESPACES)}}});
        api(client, "POST", &bares(i), &object).await;
    })
    .await;
}

fn bares(i: usize) -> String {
    format!("/apis/bench.example.com/{}/namespaces/bare-{}/bares", VERSION, i % NAMESPACES)
}

/// A request: path, media type and body.
type Sent = (String, &'static str, Value);

/// What one environment needs.
fn requests(manifest: Manifest, i: usize, round: usize) -> Vec<Sent> {
    let name = format!("bare-{i}");
    let objects = manifest(&name, round);
    let queries = if objects.len() > 1 { ["dryRun=All&", ""].as_slice() } else { [""].as_slice() };
    let mut requests: Vec<Sent> = Vec::new();
    for query in queries {
        for (plural, object) in &objects {
            let group = if *plural == "deployments" { "apis/apps/v1" } else { "api/v1" };
            let path = format!(
                "/{group}/namespaces/bare-{}/{plural}/{name}?{query}fieldManager=bare&force=true",
                i % NAMESPACES
            );
            requests.push((path, "application/apply-patch+yaml", object.clone()));
        }
    }
    let condition = |kind: &str| {
        json!({"type": kind, "status": "True", "reason": kind, "observedGeneration": 1,
               "message": "what is in Git could be rendered", "lastTransitionTime": "2026-01-01T00:00:00Z"})
    };
    let component =
        json!({"name": "app", "repo": "http://127.0.0.1:40000/shop.git", "commit": format!("{round:040}")});
    let status = json!({"status": {"observedGeneration": 1, "release": format!("apps-{round:012}"),
        "revision": format!("{round:08}"), "sync": "Synced", "health": "Healthy", "components": [component],
        "conditions": [condition("Rendered"), condition("Synced"), condition("Healthy")]}});
    requests.push((format!("{}/{name}/status", bares(i)), "application/merge-patch+json", status));
    requests
}

/// One round over all.
async fn once(place: &Place, count: usize, manifest: Manifest, many: usize, round: usize) -> Duration {
    let all: Vec<Vec<Sent>> = (0..count).map(|i| requests(manifest, i, round)).collect();
    let began = Instant::now();
    at_once(count, many, async |i| {
        let account = format!("system:serviceaccount:bare-{0}:bare", i % NAMESPACES);
        for (path, media_type, body) in &all[i] {
            // Objects are applied as the account of their environment, statuses are written as Seaway.
            let account = (!path.ends_with("/status")).then_some(account.as_str());
            let (code, answer) = send_as(account, &place.client, "PATCH", path, media_type, body).await;
            assert!(code < 300, "{path}: {answer}");
        }
    })
    .await;
    began.elapsed()
}
