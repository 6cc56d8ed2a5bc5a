//! Seaway is killed at random points, and the API and the database are taken away under it: afterwards the environment
//! converges, history has no hole, and no hook has run twice for one sync.

#![allow(clippy::unwrap_used)]

#[path = "support/cluster.rs"]
mod cluster;
#[path = "support/git.rs"]
mod git;
#[path = "support/serving.rs"]
mod serving;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cluster::Cluster;
use futures::StreamExt as _;
use git::Repository;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::{WatchStreamExt as _, watcher};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serving::{Serve, install};
use sqlx::{ConnectOptions as _, Connection as _};
use support::{Kubectl, eventually, program};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

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
    let mut events = watcher(api, watcher::Config::default()).default_backoff().boxed();
    while let Some(event) = events.next().await {
        // The API goes away at times; the watch is made again then.
        let Ok(watcher::Event::Apply(found) | watcher::Event::InitApply(found)) = event else {
            continue;
        };
        let Some(run) = found.metadata.annotations.and_then(|mut all| all.remove(HOOK_RUN)) else { continue };
        // `SYNC.ATTEMPT/PHASE`: whatever follows the sync's id, it is one sync.
        let sync = run.split('.').next().unwrap().to_owned();
        let of = (found.metadata.name.unwrap(), sync);
        hooks.lock().unwrap().entry(of).or_default().insert(found.metadata.uid.unwrap());
    }
}

/// Seaway beside an API, and what is followed.
struct World {
    cluster: Cluster,
    way: Way,
    k: Kubectl,
    /// Leads to the API through [`Way`].
    own: PathBuf,
    data: PathBuf,
    repository: Repository,
    hooks: Hooks,
    runtime: tokio::runtime::Runtime,
    /// The seed before.
    before: Option<u64>,
    _temporary: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let cluster = Cluster::start();
        let admin = cluster.kubeconfig();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let own = install(&admin, temporary.path());
        let way = Way::open(&runtime, &own);
        let (k, data) = (Kubectl::new(&admin), temporary.path().join("data"));
        let repository = Repository::new();
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
        Self { cluster, way, k, own, data, repository, hooks, runtime, before: None, _temporary: temporary }
    }

    fn push(&self, seed: u64) {
        let (new, old) =
            (format!("app/extra-{seed}.yaml"), self.before.map(|n| format!("app/extra-{n}.yaml")));
        let (extra, value) = (config(&format!("extra-{seed}"), seed, 1), config("value", seed, 0));
        let mut files = vec![("app/value.yaml", value.as_str()), (new.as_str(), extra.as_str())];
        files.extend(old.iter().map(|old| (old.as_str(), "")));
        self.repository.push("main", &format!("Seed {seed}"), &files);
    }

    /// What is in Git runs, and no hook was made twice for one sync. Seaway ends when it has lost its Lease, which it can
    /// find out a while after the fault: whoever runs it starts it again.
    fn converges(&mut self, seed: u64, serve: &mut Serve) {
        let (k, before) = (&self.k, self.before);
        let read = |line: &str| k.run(line).stdout;
        eventually(&format!("seed {seed} converges"), || {
            if serve.child.try_wait().unwrap().is_some() {
                *serve = Serve::start(&self.own, &self.data, &[]);
            }
            read("get configmap value -n shop -o jsonpath={.data.value}") == seed.to_string()
                && k.run(&format!("get configmap extra-{seed} -n shop")).success
                && before.is_none_or(|n| !k.run(&format!("get configmap extra-{n} -n shop")).success)
                && read(
                    "get environment staging -n seaway -o jsonpath={.status.sync}/{.status.health}/{.status.message}",
                ) == "Synced/Healthy/"
        });
        self.before = Some(seed);
        let hooks = self.hooks.lock().unwrap();
        for ((name, sync), made) in hooks.iter() {
            assert_eq!(
                made.len(),
                1,
                "seed {seed}: the hook {name} was made {} times for sync {sync}",
                made.len()
            );
        }
    }

    /// History has no hole, and every sync an end.
    fn history(&self) {
        // One more start, after which nothing is under way.
        let serve = Serve::start(&self.own, &self.data, &[]);
        eventually("it is looked at once more", || self.runtime.block_on(open_syncs(&self.data)).is_empty());
        serve.kill();
        let ids = self.runtime.block_on(async {
            let (ledger, _) = seaway_ledger::Ledger::open(&self.data.join("ledger.db")).await.unwrap();
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
        assert!(!self.hooks.lock().unwrap().is_empty(), "hooks were seen");
    }
}

/// Seaway is killed.
fn kills(seeds: std::ops::Range<u64>) {
    let mut world = World::new();
    for seed in seeds {
        let mut random = StdRng::seed_from_u64(seed);
        world.push(seed);
        // Up to three times, each somewhere between its start and the end of the sync.
        for _ in 0..random.random_range(1..=3) {
            let mut child = Serve::spawn(&world.own, &world.data, &[]);
            std::thread::sleep(Duration::from_millis(random.random_range(0..LONGEST)));
            child.kill().unwrap();
            child.wait().unwrap();
        }
        let mut serve = Serve::start(&world.own, &world.data, &[]);
        world.converges(seed, &mut serve);
        serve.kill();
    }
    world.history();
}

/// What Seaway stands on goes away under it.
fn faults(seeds: std::ops::Range<u64>) {
    let mut world = World::new();
    for seed in seeds {
        let mut random = StdRng::seed_from_u64(seed);
        let mut serve = Serve::start(&world.own, &world.data, &[]);
        world.push(seed);
        for _ in 0..random.random_range(1..=3) {
            std::thread::sleep(Duration::from_millis(random.random_range(0..LONGEST)));
            let pause = Duration::from_millis(random.random_range(0..LONGEST));
            match random.random_range(0..4) {
                0 => world.way.with(Traffic::Refused, pause),
                1 => world.way.with(Traffic::Stalled, pause),
                2 => world.cluster.restart(),
                _ => world.runtime.block_on(locked(&world.data.join("ledger.db"), pause * 8)),
            }
            if serve.child.try_wait().unwrap().is_some() {
                serve = Serve::start(&world.own, &world.data, &[]);
            }
        }
        world.converges(seed, &mut serve);
        serve.kill();
    }
    world.history();
}

/// Nobody else can write to a database for a while.
async fn locked(file: &Path, pause: Duration) {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file);
    let mut connection = options.connect().await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut connection).await.unwrap();
    tokio::time::sleep(pause).await;
    sqlx::query("ROLLBACK").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// What becomes of connections to the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Traffic {
    Carried,
    /// Those there are end, new ones are closed.
    Refused,
    /// They stay, and nothing comes through.
    Stalled,
}

/// The way to the API, which can be cut off.
struct Way(tokio::sync::watch::Sender<Traffic>);

impl Way {
    /// Puts itself between the kubeconfig's user and its server.
    fn open(runtime: &tokio::runtime::Runtime, kubeconfig: &Path) -> Self {
        let mut config: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(kubeconfig).unwrap()).unwrap();
        let server = config["clusters"][0]["cluster"]["server"].as_str().unwrap().to_owned();
        let to: std::net::SocketAddr = server.strip_prefix("https://").unwrap().parse().unwrap();
        let (sender, traffic) = tokio::sync::watch::channel(Traffic::Carried);
        let listener = runtime.block_on(tokio::net::TcpListener::bind(("127.0.0.1", 0))).unwrap();
        config["clusters"][0]["cluster"]["server"] =
            format!("https://{}", listener.local_addr().unwrap()).into();
        std::fs::write(kubeconfig, config.to_string()).unwrap();
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if *traffic.borrow() != Traffic::Refused {
                    tokio::spawn(carry(stream, to, traffic.clone()));
                }
            }
        });
        Self(sender)
    }

    fn with(&self, traffic: Traffic, pause: Duration) {
        self.0.send_replace(traffic);
        std::thread::sleep(pause);
        self.0.send_replace(Traffic::Carried);
    }
}

async fn carry(
    mut here: tokio::net::TcpStream,
    to: std::net::SocketAddr,
    mut traffic: tokio::sync::watch::Receiver<Traffic>,
) {
    let Ok(mut there) = tokio::net::TcpStream::connect(to).await else { return };
    let (mut from_here, mut from_there) = (vec![0; 16 << 10], vec![0; 16 << 10]);
    loop {
        let is_over = traffic.wait_for(|traffic| *traffic != Traffic::Stalled).await.is_err();
        if is_over || *traffic.borrow() == Traffic::Refused {
            return;
        }
        let carried = tokio::select! {
            _ = traffic.changed() => continue,
            read = here.read(&mut from_here) => match read {
                Ok(count) if count > 0 => there.write_all(&from_here[..count]).await,
                _ => return,
            },
            read = there.read(&mut from_there) => match read {
                Ok(count) if count > 0 => here.write_all(&from_there[..count]).await,
                _ => return,
            },
        };
        if carried.is_err() {
            return;
        }
    }
}

async fn open_syncs(data: &Path) -> Vec<i64> {
    let (ledger, _) = seaway_ledger::Ledger::open(&data.join("ledger.db")).await.unwrap();
    ledger.open_syncs().await.unwrap().iter().map(|sync| sync.id).collect()
}

/// `seaway serve` with its data on a file system of its own that holds little. `None`: nobody may mount here.
fn on_a_small_disk(world: &World) -> Option<Serve> {
    let namespaces = ["--user", "--map-root-user", "--mount"];
    let mounts = std::process::Command::new("unshare")
        .args(namespaces)
        .args(["mount", "-t", "tmpfs", "tmpfs", "/mnt"])
        .stderr(std::process::Stdio::null())
        .status();
    if !mounts.is_ok_and(|status| status.success()) {
        println!("skipped: nobody may mount here (util-linux' unshare, user namespaces)");
        return None;
    }
    std::fs::create_dir_all(&world.data).unwrap();
    let script = "mount -t tmpfs -o size=16m tmpfs \"$0\" && exec \"$@\"";
    let child = std::process::Command::new("unshare")
        .args(namespaces)
        .args(["sh", "-c", script])
        .arg(&world.data)
        .arg(program().get_program())
        .args(["serve", "--listen", "127.0.0.1:0", "--poll-interval", "0.2"])
        .args(["--allow-outgoing", "loopback,http", "--kubeconfig"])
        .arg(&world.own)
        .arg("--data-dir")
        .arg(&world.data)
        .env("XDG_CONFIG_HOME", "/nonexistent")
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    Some(Serve::ready(child))
}

#[test]
fn a_full_disk_holds_up_what_it_must_and_loses_nothing() {
    let mut world = World::new();
    let Some(mut serve) = on_a_small_disk(&world) else { return };
    world.push(0);
    world.converges(0, &mut serve);
    // As it sees it.
    let data = PathBuf::from(format!("/proc/{}/root{}", serve.child.id(), world.data.display()));
    let filler = data.join("filler");
    for seed in 1..4 {
        let full = std::fs::write(&filler, vec![1; 16 << 20]).unwrap_err();
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
        world.push(seed);
        eventually("it is said what is wrong", || {
            let said = world.k.run("get environment staging -n seaway -o jsonpath={.status}").stdout;
            said.contains("No space left on device") || said.contains("disk is full")
        });
        std::fs::remove_file(&filler).unwrap();
        world.converges(seed, &mut serve);
    }
    let (copy, from) = (world.data.with_extension("copy"), data.join("ledger.db"));
    let ids = world.runtime.block_on(async {
        // Together with what SQLite has not written back yet.
        for end in ["", "-wal"] {
            let name = |path: &Path| PathBuf::from(format!("{}{end}", path.display()));
            std::fs::copy(name(&from), name(&copy)).unwrap();
        }
        let (ledger, _) = seaway_ledger::Ledger::open(&copy).await.unwrap();
        let mut ids: Vec<i64> = ledger
            .syncs("seaway/staging", None, 1000)
            .await
            .unwrap()
            .items
            .iter()
            .map(|sync| sync.id)
            .collect();
        ids.reverse();
        ids
    });
    assert_eq!(ids, (1..=ids.len() as i64).collect::<Vec<_>>(), "a sync is missing");
}

#[test]
fn ten_seeds() {
    kills(0..10);
}

#[test]
fn ten_seeds_of_an_api_and_a_database_that_go_away() {
    faults(0..10);
}

/// In the full tier.
#[test]
#[ignore = "takes minutes"]
fn a_hundred_seeds_of_an_api_and_a_database_that_go_away() {
    faults(1000..1100);
}

/// In the full tier.
#[test]
#[ignore = "takes minutes"]
fn two_hundred_seeds() {
    kills(1000..1200);
}
