//! How fast and how large the embedded server is, beside a real kube-apiserver with etcd, in one run.
//!
//! Full tier only: the numbers need a release build (`cargo build --release -p seaway`) and the real programs
//! (`tests/real-kubernetes/build.sh`). Both servers run with their defaults on the same disk, are asked by
//! the same client over TLS, and each row is the median of several rounds in turn. Nothing is asserted: a
//! shared machine is no place for limits. It prints a table with ratios.

#![allow(clippy::unwrap_used)]

#[path = "../real-kubernetes/mod.rs"]
mod real_kubernetes;

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futures::StreamExt;
use http_body_util::BodyExt;
use kube::client::Body;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use real_kubernetes::{Parts, RealKubernetes};
use serde_json::{Value, json};

/// Rounds of each measurement.
const ROUNDS: usize = 5;
/// Starts that are measured.
const STARTS: usize = 5;
/// Watchers of one resource, and objects that are made before their eyes.
const WATCHERS: usize = 100;
const WATCHED: usize = 50;

/// The release program beside the tests' own, if it was built.
fn release() -> Option<PathBuf> {
    let debug = Path::new(env!("CARGO_BIN_EXE_seaway"));
    let program = debug.parent()?.parent()?.join("release/seaway");
    if !program.is_file() {
        println!("skipped: no {} (cargo build --release -p seaway)", program.display());
        return None;
    }
    Some(program)
}

/// A running `seaway up`, killed when dropped.
struct Seaway {
    child: Child,
    folder: tempfile::TempDir,
}

impl Seaway {
    fn start(program: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new(program)
            .args(["up", "--node", "none", "--listen", "127.0.0.1:0", "--kube-listen", "127.0.0.1:0"])
            .args(["--gateway-listen", "127.0.0.1:0", "--data-dir"])
            .arg(folder.path().join("data"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("ready"), "seaway did not start: {line:?}");
        Self { child, folder }
    }

    fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("data/kubeconfig")
    }
}

impl Drop for Seaway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn client(kubeconfig: &Path) -> kube::Client {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    config.read_timeout = None;
    kube::Client::try_from(config).unwrap()
}

async fn send(client: &kube::Client, method: &str, path: &str, media_type: &str, body: &Value) -> usize {
    let bytes = if body.is_null() { vec![] } else { serde_json::to_vec(body).unwrap() };
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("Content-Type", media_type)
        .body(Body::from(bytes))
        .unwrap();
    let answer = client.send(request).await.unwrap();
    let status = answer.status();
    let text = answer.into_body().collect_bytes().await.unwrap();
    assert!(status.is_success(), "{method} {path}: {status} {}", String::from_utf8_lossy(&text));
    text.len()
}

async fn until_ready(client: &kube::Client) {
    loop {
        let request = http::Request::get("/readyz").body(Body::empty()).unwrap();
        if matches!(client.send(request).await, Ok(answer) if answer.status().is_success()) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn config_map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"app": "shop"}},
           "data": {"settings": "x".repeat(400), "colour": "blue"}})
}

const JSON: &str = "application/json";
const MAPS: &str = "/api/v1/namespaces/bench/configmaps";

/// Median of some durations.
fn median(mut durations: Vec<Duration>) -> Duration {
    durations.sort();
    durations[durations.len() / 2]
}

/// A measurement: how long one of them takes, in one round.
async fn measure(row: &str, client: &kube::Client, round: usize) -> Duration {
    let mut each = vec![];
    match row {
        "create" => {
            for i in 0..100 {
                let object = config_map(&format!("create-{round}-{i}"));
                let started = Instant::now();
                send(client, "POST", MAPS, JSON, &object).await;
                each.push(started.elapsed());
            }
        }
        "create, 16 at once" => {
            let started = Instant::now();
            futures::stream::iter(0..320)
                .map(|i| async move {
                    send(client, "POST", MAPS, JSON, &config_map(&format!("many-{round}-{i}"))).await
                })
                .buffer_unordered(16)
                .collect::<Vec<_>>()
                .await;
            return started.elapsed() / 320;
        }
        "get" => {
            for _ in 0..300 {
                let started = Instant::now();
                send(client, "GET", "/api/v1/namespaces/lists/configmaps/map-0500", JSON, &Value::Null).await;
                each.push(started.elapsed());
            }
        }
        "list 1,000" => {
            for _ in 0..10 {
                let started = Instant::now();
                send(client, "GET", "/api/v1/namespaces/lists/configmaps", JSON, &Value::Null).await;
                each.push(started.elapsed());
            }
        }
        "apply, unchanged" => {
            let path = "/apis/apps/v1/namespaces/bench/deployments/web?fieldManager=bench";
            let object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
                "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "web"}},
                         "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [
                            {"name": "web", "image": "shop/web:1", "env": [{"name": "A", "value": "b"}],
                             "ports": [{"containerPort": 8080}]}]}}}});
            for _ in 0..100 {
                let started = Instant::now();
                send(client, "PATCH", path, "application/apply-patch+yaml", &object).await;
                each.push(started.elapsed());
            }
        }
        _ => return fan_out(client, round).await,
    }
    median(each)
}

/// From the first creation until each of the watchers has seen all of them.
async fn fan_out(client: &kube::Client, round: usize) -> Duration {
    let path = "/api/v1/namespaces/watched/secrets";
    let wanted = format!("seen-{round}-");
    let mut watchers = vec![];
    for _ in 0..WATCHERS {
        let list: Value = {
            let request = http::Request::get(format!("{path}?limit=1")).body(Body::empty()).unwrap();
            let bytes = client.send(request).await.unwrap().into_body().collect_bytes().await.unwrap();
            serde_json::from_slice(&bytes).unwrap()
        };
        let revision = list["metadata"]["resourceVersion"].as_str().unwrap();
        let request = http::Request::get(format!("{path}?watch=1&resourceVersion={revision}"))
            .body(Body::empty())
            .unwrap();
        let mut body = client.send(request).await.unwrap().into_body();
        let wanted = wanted.clone();
        watchers.push(tokio::spawn(async move {
            let (mut pending, mut seen) = (vec![], 0);
            while seen < WATCHED {
                let frame = body.frame().await.unwrap().unwrap();
                pending.extend_from_slice(frame.data_ref().unwrap());
                while let Some(end) = pending.iter().position(|b| *b == b'\n') {
                    let line: Vec<u8> = pending.drain(..=end).collect();
                    seen += usize::from(String::from_utf8_lossy(&line).contains(&wanted));
                }
            }
        }));
    }
    let started = Instant::now();
    for i in 0..WATCHED {
        let object =
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": format!("{wanted}{i}")}});
        send(client, "POST", path, JSON, &object).await;
    }
    for watcher in watchers {
        watcher.await.unwrap();
    }
    started.elapsed()
}

async fn prepare(client: &kube::Client) {
    for name in ["bench", "lists", "watched"] {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        send(client, "POST", "/api/v1/namespaces", JSON, &namespace).await;
    }
    futures::stream::iter(0..1000)
        .map(|i| async move {
            let object = config_map(&format!("map-{i:04}"));
            send(client, "POST", "/api/v1/namespaces/lists/configmaps", JSON, &object).await
        })
        .buffer_unordered(16)
        .collect::<Vec<_>>()
        .await;
}

/// Resident memory of a process, in KiB.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse().unwrap()
}

/// What the disk needs for one durable write: a lower bound of every acknowledged one.
fn sync_time(folder: &Path) -> Duration {
    let mut file = std::fs::File::create(folder.join("sync")).unwrap();
    let mut one = || {
        let started = Instant::now();
        file.write_all(&[1; 4096]).unwrap();
        file.sync_data().unwrap();
        started.elapsed()
    };
    median((0..100).map(|_| one()).collect())
}

fn show(d: Duration) -> String {
    match d.as_secs_f64() {
        s if s >= 1.0 => format!("{s:.2} s"),
        s if s >= 0.01 => format!("{:.1} ms", s * 1e3),
        s => format!("{:.2} ms", s * 1e3),
    }
}

fn print(row: &str, ours: &str, real: &str, ratio: f64) {
    println!("{row:<34} {ours:>12} {real:>14} {ratio:>9.1} x");
}

fn start_real(
    programs: &Path,
    runtime: &tokio::runtime::Runtime,
) -> (RealKubernetes, kube::Client, Duration) {
    let started = Instant::now();
    let real = RealKubernetes::start(programs, Parts { sync_writes: true });
    let client = runtime.block_on(client(&real.kubeconfig()));
    runtime.block_on(until_ready(&client));
    (real, client, started.elapsed())
}

fn start_ours(program: &Path, runtime: &tokio::runtime::Runtime) -> (Seaway, kube::Client, Duration) {
    let started = Instant::now();
    let ours = Seaway::start(program);
    let client = runtime.block_on(client(&ours.kubeconfig()));
    runtime.block_on(until_ready(&client));
    (ours, client, started.elapsed())
}

#[test]
#[ignore = "measures: full tier, with a release build"]
fn beside_a_real_kube_apiserver() {
    let (Some(program), Some(programs)) = (release(), real_kubernetes::programs()) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let ours_start = median((0..STARTS).map(|_| start_ours(&program, &runtime).2).collect());
    let real_start = median((0..3).map(|_| start_real(&programs, &runtime).2).collect());

    let (ours, our_client, _) = start_ours(&program, &runtime);
    let (real, real_client, _) = start_real(&programs, &runtime);
    std::thread::sleep(Duration::from_secs(10));
    let our_memory = resident(ours.child.id());
    let real_memory: u64 = real.pids().iter().map(|(_, pid)| resident(*pid)).sum();

    println!("\n{:<34} {:>12} {:>14} {:>11}", "", "seaway", "apiserver+etcd", "ratio");
    let ratio = |ours: Duration, real: Duration| real.as_secs_f64() / ours.as_secs_f64();
    print("start to ready", &show(ours_start), &show(real_start), ratio(ours_start, real_start));
    let mib = |kib: u64| format!("{:.0} MiB", kib as f64 / 1024.0);
    print(
        "idle memory (resident)",
        &mib(our_memory),
        &mib(real_memory),
        real_memory as f64 / our_memory as f64,
    );
    runtime.block_on(async {
        prepare(&our_client).await;
        prepare(&real_client).await;
        let watch = format!("{WATCHED} events to {WATCHERS} watchers");
        for row in ["create", "create, 16 at once", "get", "list 1,000", "apply, unchanged", &watch] {
            let (mut mine, mut theirs) = (vec![], vec![]);
            for round in 0..ROUNDS {
                mine.push(measure(row, &our_client, round).await);
                theirs.push(measure(row, &real_client, round).await);
            }
            let (mine, theirs) = (median(mine), median(theirs));
            print(row, &show(mine), &show(theirs), ratio(mine, theirs));
        }
    });
    println!(
        "\nOne durable write of this disk takes {}. Durability is the same: etcd syncs its log before it answers, \
         seaway commits to SQLite in WAL mode with synchronous=FULL before it does; writes that come together \
         share a sync in both. seaway's side holds its workload controllers and gateway as well (no node), the \
         other is Kubernetes {} without controllers.",
        show(sync_time(ours.folder.path())),
        real_kubernetes::VERSION
    );
}
