//! Seaway is killed at random points: afterwards the environment converges, history has no hole, and no hook has run twice
//! for one sync.

#![allow(clippy::unwrap_used)]

#[path = "support/git.rs"]
mod git;
#[path = "support/serving.rs"]
mod serving;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt as _;
use git::Repository;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::watcher;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serving::{Cluster, Serve, install};
use support::{Kubectl, eventually};

/// On a hook: the sync and phase that it runs for.
const HOOK_RUN: &str = "seaway.dev/hook-run";
/// A sync takes about this long, with the start before it.
const LONGEST: u64 = 900;

/// For each hook and sync the objects that were made.
type Hooks = Arc<Mutex<BTreeMap<(String, String), BTreeSet<String>>>>;

fn hook(name: &str, phase: &str, deletion: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n  annotations:\n    argocd.argoproj.io/hook: {phase}\n    \
         argocd.argoproj.io/hook-delete-policy: {deletion}\n"
    )
}

fn config(name: &str, value: u64, wave: i32) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n  annotations: {{argocd.argoproj.io/sync-wave: \"{wave}\"}}\n\
         data: {{value: \"{value}\"}}\n"
    )
}

/// Notes every hook that is made, whoever is alive meanwhile.
async fn watch(kubeconfig: &Path, hooks: Hooks) {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
    let config =
        kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    let api: Api<ConfigMap> = Api::namespaced(kube::Client::try_from(config).unwrap(), "shop");
    let mut events = watcher(api, watcher::Config::default()).boxed();
    while let Some(event) = events.next().await {
        let (watcher::Event::Apply(found) | watcher::Event::InitApply(found)) = event.unwrap() else {
            continue;
        };
        let Some(run) = found.metadata.annotations.and_then(|mut all| all.remove(HOOK_RUN)) else { continue };
        // `SYNC.ATTEMPT/PHASE`: whatever follows the sync's id, it is one sync.
        let sync = run.split('.').next().unwrap().to_owned();
        let of = (found.metadata.name.unwrap(), sync);
        hooks.lock().unwrap().entry(of).or_default().insert(found.metadata.uid.unwrap());
    }
}

fn kills(seeds: std::ops::Range<u64>) {
    let temporary = tempfile::tempdir().unwrap();
    let cluster = Cluster::start();
    let admin = cluster.kubeconfig();
    let own = install(&admin, temporary.path());
    let (k, data) = (Kubectl::new(&admin), temporary.path().join("data"));
    let repository = Repository::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let hooks = Hooks::default();
    k.ok("create namespace shop");
    let (noted, of) = (hooks.clone(), admin.clone());
    runtime.spawn(async move { watch(&of, noted).await });
    repository.push(
        "main",
        "Hooks",
        &[
            ("app/before.yaml", &hook("before", "PreSync", "BeforeHookCreation")),
            ("app/after.yaml", &hook("after", "PostSync", "HookSucceeded")),
            ("app/first.yaml", &config("first", 0, -1)),
        ],
    );
    k.apply(&format!(
        "apiVersion: seaway.dev/v1alpha1\nkind: Stack\nmetadata: {{name: shop, namespace: seaway}}\nspec:\n  components:\n  \
         - name: web\n    source: {{repo: \"{}\", path: app, revision: main}}\n---\n\
         apiVersion: seaway.dev/v1alpha1\nkind: Environment\nmetadata: {{name: staging, namespace: seaway}}\nspec:\n  \
         stack: shop\n  destination: {{namespace: shop}}\n",
        repository.url()
    ));
    let mut before: Option<u64> = None;
    for seed in seeds {
        let mut random = StdRng::seed_from_u64(seed);
        let (new, old) = (format!("app/extra-{seed}.yaml"), before.map(|n| format!("app/extra-{n}.yaml")));
        let (extra, value) = (config(&format!("extra-{seed}"), seed, 1), config("value", seed, 0));
        let mut files = vec![("app/value.yaml", value.as_str()), (new.as_str(), extra.as_str())];
        files.extend(old.iter().map(|old| (old.as_str(), "")));
        repository.push("main", &format!("Seed {seed}"), &files);
        // Up to three times, each somewhere between its start and the end of the sync.
        for _ in 0..random.random_range(1..=3) {
            let mut child = Serve::spawn(&own, &data, &[]);
            std::thread::sleep(Duration::from_millis(random.random_range(0..LONGEST)));
            child.kill().unwrap();
            child.wait().unwrap();
        }
        let serve = Serve::start(&own, &data, &[]);
        let read = |line: &str| k.run(line).stdout;
        eventually(&format!("seed {seed} converges"), || {
            read("get configmap value -n shop -o jsonpath={.data.value}") == seed.to_string()
                && k.run(&format!("get configmap extra-{seed} -n shop")).success
                && before.is_none_or(|n| !k.run(&format!("get configmap extra-{n} -n shop")).success)
                && read(
                    "get environment staging -n seaway -o jsonpath={.status.sync}/{.status.health}/{.status.message}",
                ) == "Synced/Healthy/"
        });
        serve.kill();
        before = Some(seed);
        let hooks = hooks.lock().unwrap();
        for ((name, sync), made) in hooks.iter() {
            assert_eq!(
                made.len(),
                1,
                "seed {seed}: the hook {name} was made {} times for sync {sync}",
                made.len()
            );
        }
    }
    // One more start, after which nothing is under way.
    let serve = Serve::start(&own, &data, &[]);
    eventually("it is looked at once more", || runtime.block_on(open_syncs(&data)).is_empty());
    serve.kill();
    let ids = runtime.block_on(async {
        let (ledger, _) = seaway_ledger::Ledger::open(&data.join("ledger.db")).await.unwrap();
        let mut ids = Vec::new();
        let mut next = None;
        loop {
            let page = ledger.syncs("seaway/staging", next, 1000).await.unwrap();
            for sync in &page.items {
                assert!(sync.finished.is_some(), "sync {} has no end", sync.id);
                ids.push(sync.id);
            }
            if !page.more {
                break;
            }
            next = ids.last().copied();
        }
        ids.reverse();
        ids
    });
    let expected: Vec<i64> = (1..=ids.len() as i64).collect();
    assert_eq!(ids, expected, "a sync is missing");
    assert!(!hooks.lock().unwrap().is_empty(), "hooks were seen");
}

async fn open_syncs(data: &Path) -> Vec<i64> {
    let (ledger, _) = seaway_ledger::Ledger::open(&data.join("ledger.db")).await.unwrap();
    ledger.open_syncs().await.unwrap().iter().map(|sync| sync.id).collect()
}

#[test]
fn ten_seeds() {
    kills(0..10);
}

/// In the full tier.
#[test]
#[ignore = "takes minutes"]
fn two_hundred_seeds() {
    kills(1000..1200);
}
