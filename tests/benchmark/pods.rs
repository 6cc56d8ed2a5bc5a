//! Pods and gateway beside what they stand in for: a kubelet with containerd, nginx and haproxy.
//!
//! Full tier only. Each test prints a table and what it ran; nothing is asserted about speed. Release builds are used
//! where they are (`cargo build --release -p seaway`, `cargo build --release -p seaway-gateway --example serve`), others
//! otherwise, and the table says which. `SEAWAY_BENCHMARK_NODE` names the kubeconfig of a real cluster of one node on this
//! machine that holds the image `docker.io/library/busybox:lab`; without it that column is left out.

#![allow(clippy::unwrap_used)]

#[path = "../support/images.rs"]
mod images;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};

/// Starts that are measured, after one that is not.
const ROUNDS: usize = 7;
/// Pods that do nothing, and for how long they are watched doing so.
const IDLE_PODS: usize = 200;
const IDLE: Duration = Duration::from_secs(30);
/// Load on each proxy, in turn, and how often.
const LOAD: &str = "8s";
const LOAD_ROUNDS: usize = 3;
const CONNECTIONS: &str = "64";

/// A program of ours, the release build if there is one, and what it is.
fn program(release: &str, debug: &Path) -> Option<(PathBuf, &'static str)> {
    let target = Path::new(env!("CARGO_BIN_EXE_seaway")).parent()?.parent()?;
    let fast = target.join("release").join(release);
    if fast.is_file() {
        return Some((fast, "release build"));
    }
    debug.is_file().then(|| (debug.to_owned(), "DEBUG build: these figures say little"))
}

fn seaway() -> (PathBuf, &'static str) {
    program("seaway", Path::new(env!("CARGO_BIN_EXE_seaway"))).unwrap()
}

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    fn start(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::null()).spawn().unwrap())
    }

    /// Itself and everything below it.
    fn pids(&self) -> Vec<u32> {
        let mut found = vec![self.0.id()];
        let mut at = 0;
        while let Some(pid) = found.get(at).copied() {
            let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
            found.extend(
                children.unwrap_or_default().split_whitespace().filter_map(|p| p.parse::<u32>().ok()),
            );
            at += 1;
        }
        found
    }
}

/// Time on processors, of all threads.
fn cpu(pid: u32) -> Duration {
    let (program, kernel) = cpu_parts(pid);
    program + kernel
}

/// The same in the program itself and in the kernel on its behalf.
fn cpu_parts(pid: u32) -> (Duration, Duration) {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = text.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |at: usize| fields.get(at).and_then(|f| f.parse::<u64>().ok()).unwrap_or(0);
    // In hundredths of a second, as sysconf(_SC_CLK_TCK) says on Linux.
    (Duration::from_millis(ticks(11) * 10), Duration::from_millis(ticks(12) * 10))
}

/// Resident memory, in MiB.
fn resident(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").trim().parse::<f64>().unwrap_or(0.0) / 1024.0
}

fn median<T: PartialOrd + Copy>(mut values: Vec<T>) -> T {
    values.sort_by(|a, b| a.partial_cmp(b).unwrap());
    values[values.len() / 2]
}

/// `seaway up` with a node and a layout of images; `None` where no pods run.
fn up(program: &Path, folder: &Path) -> Option<Running> {
    let layout = folder.join("images");
    images::web(&layout, "www")?;
    let mut child = Command::new(program)
        .args([
            "up",
            "--listen",
            "127.0.0.1:0",
            "--kube-listen",
            "127.0.0.1:0",
            "--gateway-listen",
            "127.0.0.1:0",
        ])
        .arg("--image-layout")
        .arg(layout)
        .arg("--data-dir")
        .arg(folder.join("data"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("ready"), "seaway did not start: {line:?}");
    Some(Running(child))
}

async fn client(kubeconfig: &Path) -> kube::Client {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    kube::Client::try_from(config).unwrap()
}

async fn send(client: &kube::Client, method: &str, path: &str, body: Value) -> Result<Value, kube::Error> {
    let body = if body.is_null() { vec![] } else { serde_json::to_vec(&body).unwrap() };
    let request =
        http::Request::builder().method(method).uri(path).header("Content-Type", "application/json");
    client.request::<Value>(request.body(body).unwrap()).await
}

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const PODS: &str = "/api/v1/namespaces/default/pods";

fn deployment(image: &str, replicas: usize) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "bench"}, "spec": {
        "replicas": replicas, "selector": {"matchLabels": {"app": "bench"}},
        "template": {"metadata": {"labels": {"app": "bench"}}, "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "c", "image": image, "imagePullPolicy": "IfNotPresent",
                            "command": ["sleep", "100000"]}]}}}})
}

async fn pods(client: &kube::Client, phase: &str) -> usize {
    let list = send(client, "GET", PODS, Value::Null).await.unwrap();
    let all = list["items"].as_array().unwrap();
    all.iter().filter(|p| phase.is_empty() || p["status"]["phase"] == phase).count()
}

/// From the request until so many pods are Running.
async fn until_running(client: &kube::Client, image: &str, replicas: usize) -> Duration {
    let started = Instant::now();
    send(client, "POST", DEPLOYMENTS, deployment(image, replicas)).await.unwrap();
    while pods(client, "Running").await < replicas {
        assert!(started.elapsed() < Duration::from_secs(300), "the pods do not run");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    started.elapsed()
}

async fn until_gone(client: &kube::Client) {
    let options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"});
    send(client, "DELETE", &format!("{DEPLOYMENTS}/bench"), options).await.unwrap();
    while pods(client, "").await > 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

#[test]
#[ignore = "measures: full tier"]
fn two_pods_from_apply_to_running() {
    let (program, what) = seaway();
    let folder = tempfile::tempdir().unwrap();
    let Some(_seaway) = up(&program, folder.path()) else { return };
    let real = std::env::var_os("SEAWAY_BENCHMARK_NODE").map(PathBuf::from);
    if real.is_none() {
        println!("no real node beside it: SEAWAY_BENCHMARK_NODE names none");
    }
    let measured = runtime().block_on(async {
        let ours = client(&folder.path().join("data/kubeconfig")).await;
        let real = match &real {
            Some(kubeconfig) => Some(client(kubeconfig).await),
            None => None,
        };
        let (mut mine, mut theirs) = (vec![], vec![]);
        for round in 0..=ROUNDS {
            let time = until_running(&ours, "registry.test/web:1", 2).await;
            until_gone(&ours).await;
            mine.extend((round > 0).then_some(time));
            if let Some(real) = &real {
                let time = until_running(real, "docker.io/library/busybox:lab", 2).await;
                until_gone(real).await;
                theirs.extend((round > 0).then_some(time));
            }
        }
        (mine, theirs)
    });
    let show = |times: Vec<Duration>| {
        (median(times.clone()), times.iter().min().copied().unwrap(), times.iter().max().copied().unwrap())
    };
    println!(
        "\nTwo pods, image present, from apply to Running; median of {ROUNDS} (least, most). seaway: {what}"
    );
    let (ours, least, most) = show(measured.0);
    println!("{:<28} {ours:>10.2?} ({least:.2?}, {most:.2?})", "seaway");
    if !measured.1.is_empty() {
        let (real, least, most) = show(measured.1);
        println!("{:<28} {real:>10.2?} ({least:.2?}, {most:.2?})", "kubelet with containerd");
        println!("{:<28} {:>9.1} x", "ratio", real.as_secs_f64() / ours.as_secs_f64());
    }
}

#[test]
#[ignore = "measures: full tier"]
fn many_idle_pods() {
    let (program, what) = seaway();
    let folder = tempfile::tempdir().unwrap();
    let Some(seaway) = up(&program, folder.path()) else { return };
    let pid = seaway.0.id();
    let empty = resident(pid);
    let runtime = runtime();
    let ours = runtime.block_on(client(&folder.path().join("data/kubeconfig")));
    let started = runtime.block_on(until_running(&ours, "registry.test/web:1", IDLE_PODS));
    std::thread::sleep(Duration::from_secs(10));
    let before = cpu(pid);
    std::thread::sleep(IDLE);
    let used = cpu(pid).saturating_sub(before);
    let children: Vec<u32> = seaway.pids().into_iter().filter(|p| *p != pid).collect();
    let text = |pid: &u32| std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let helpers: Vec<u32> = children.iter().copied().filter(|p| text(p).contains("__node-helper")).collect();
    let shared: f64 = helpers.iter().map(|p| resident(*p)).sum();
    println!("\n{IDLE_PODS} idle pods ({what}); the pods' own programs are not counted");
    println!("{:<44} {started:>10.1?}", "from apply until all are Running");
    println!("{:<44} {empty:>6.0} MiB", "memory without pods (resident)");
    println!("{:<44} {:>6.0} MiB", "memory with them", resident(pid));
    println!("{:<44} {:>6.2} % of one core", "CPU", 100.0 * used.as_secs_f64() / IDLE.as_secs_f64());
    println!(
        "{:<44} {:>6} of {:.1} MiB each, nearly all of it shared pages",
        "helper processes",
        helpers.len(),
        shared / helpers.len().max(1) as f64
    );
}

fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn until_answers(address: SocketAddr) {
    let started = Instant::now();
    loop {
        if let Ok(mut stream) = TcpStream::connect(address) {
            let _ = write!(stream, "GET / HTTP/1.1\r\nHost: bench.localhost\r\nConnection: close\r\n\r\n");
            let mut text = String::new();
            if stream.read_to_string(&mut text).is_ok() && text.starts_with("HTTP/1.1 200") {
                return;
            }
        }
        assert!(started.elapsed() < Duration::from_secs(20), "nothing answers on {address}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn installed(name: &str, package: &str) -> Option<PathBuf> {
    let found = ["/usr/sbin", "/usr/bin"].map(|f| Path::new(f).join(name)).into_iter().find(|p| p.is_file());
    if found.is_none() {
        println!("skipped: {name} is not installed (apt-get install {package})");
    }
    found
}

/// What wrk says of a proxy, and what the proxy used for it.
struct Load {
    /// Requests each second.
    rate: f64,
    /// 99th percentile, in milliseconds.
    slowest: f64,
    /// Requests for each second on a processor.
    on_one_core: f64,
    /// Microseconds for each request in the program itself, and in the kernel on its behalf.
    program: f64,
    kernel: f64,
}

fn load(wrk: &Path, proxy: &Running, address: SocketAddr) -> Load {
    let used = || {
        let parts = proxy.pids().into_iter().map(cpu_parts);
        parts.fold((Duration::ZERO, Duration::ZERO), |sum, part| (sum.0 + part.0, sum.1 + part.1))
    };
    let before = used();
    let output = Command::new(wrk)
        .args(["-t1", "-c", CONNECTIONS, "-d", LOAD, "--latency", "-H", "Host: bench.localhost"])
        .arg(format!("http://{address}/"))
        .output()
        .unwrap();
    let after = used();
    let (program, kernel) = (after.0.saturating_sub(before.0), after.1.saturating_sub(before.1));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let field =
        |name: &str| text.lines().find_map(|l| l.trim().strip_prefix(name)).unwrap_or("0").trim().to_owned();
    let total = text
        .lines()
        .find_map(|l| l.trim().split_once(" requests in"))
        .and_then(|(n, _)| n.parse::<f64>().ok());
    let total = total.unwrap_or_else(|| panic!("wrk said: {text}"));
    assert!(!text.contains("Non-2xx"), "{text}");
    let slowest = field("99%");
    let number = slowest.trim_end_matches(|c: char| c.is_alphabetic()).parse::<f64>().unwrap_or(0.0);
    let milliseconds = if slowest.ends_with("us") {
        number / 1e3
    } else if slowest.ends_with("ms") {
        number
    } else {
        number * 1e3
    };
    Load {
        rate: field("Requests/sec:").parse().unwrap_or(0.0),
        slowest: milliseconds,
        on_one_core: total / (program + kernel).as_secs_f64(),
        program: program.as_secs_f64() * 1e6 / total,
        kernel: kernel.as_secs_f64() * 1e6 / total,
    }
}

#[test]
#[ignore = "measures: full tier"]
fn the_gateway_beside_other_proxies() {
    let (Some(nginx), Some(haproxy), Some(wrk)) =
        (installed("nginx", "nginx-light"), installed("haproxy", "haproxy"), installed("wrk", "wrk"))
    else {
        return;
    };
    let debug = Path::new(env!("CARGO_BIN_EXE_seaway")).with_file_name("examples").join("serve");
    let Some((serve, what)) = program("examples/serve", &debug) else {
        println!("skipped: no gateway to load (cargo build --release -p seaway-gateway --example serve)");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (backend, first, second, third) = (free_port(), free_port(), free_port(), free_port());
    let common = |name: &str| {
        let own = at(name).display().to_string();
        std::fs::create_dir_all(&own).unwrap();
        format!(
            "worker_processes 1; daemon off; pid {own}/pid; error_log {own}/error crit; events {{ worker_connections 1024; }}\n\
             http {{ access_log off; keepalive_requests 1000000; client_body_temp_path {own}/a; proxy_temp_path {own}/b; \
             fastcgi_temp_path {own}/c; uwsgi_temp_path {own}/d; scgi_temp_path {own}/e;\n"
        )
    };
    let body = "x".repeat(1024);
    let origin = format!(
        "{} server {{ listen {backend}; location / {{ return 200 \"{body}\"; }} }} }}",
        common("origin")
    );
    let forward = format!(
        "{} upstream web {{ server {backend}; keepalive 64; keepalive_requests 1000000; }} server {{ listen {first}; \
         location / {{ proxy_pass http://web; proxy_http_version 1.1; proxy_set_header Connection \"\"; }} }} }}",
        common("forward")
    );
    let other = format!(
        "global\n maxconn 1000\n nbthread 1\ndefaults\n mode http\n timeout connect 5s\n timeout client 30s\n timeout server 30s\n \
         http-reuse always\nfrontend f\n bind {second}\n default_backend b\nbackend b\n server s {backend}\n"
    );
    for (name, text) in [("origin.conf", origin), ("forward.conf", forward), ("haproxy.cfg", other)] {
        std::fs::write(at(name), text).unwrap();
    }
    let quiet = |command: &mut Command| Running::start(command.stdout(Stdio::null()).stderr(Stdio::null()));
    let _origin = quiet(Command::new(&nginx).arg("-c").arg(at("origin.conf")));
    until_answers(backend);
    let proxies = [
        (
            "seaway's gateway",
            quiet(Command::new(serve).arg(third.to_string()).arg(backend.to_string())),
            third,
        ),
        ("nginx", quiet(Command::new(&nginx).arg("-c").arg(at("forward.conf"))), first),
        ("haproxy", quiet(Command::new(&haproxy).arg("-f").arg(at("haproxy.cfg"))), second),
    ];
    let mut rows: Vec<Vec<Load>> = proxies.iter().map(|_| vec![]).collect();
    for (_, _, address) in &proxies {
        until_answers(*address);
    }
    for _ in 0..LOAD_ROUNDS {
        for (row, (_, proxy, address)) in rows.iter_mut().zip(&proxies) {
            row.push(load(&wrk, proxy, *address));
        }
    }
    println!(
        "\nReverse proxies on loopback, {CONNECTIONS} connections kept alive, answers of 1 KiB, median of {LOAD_ROUNDS} times {LOAD}; \
         wrk and the origin run on the same cores. gateway: {what}, all its threads; the others one thread"
    );
    println!(
        "{:<20} {:>12} {:>24} {:>8} {:>12} {:>14} {:>14}",
        "", "requests/s", "requests/s on one core", "ratio", "p99", "in the program", "in the kernel"
    );
    let of = |row: &[Load], field: fn(&Load) -> f64| median(row.iter().map(field).collect());
    let ours = of(&rows[0], |load| load.on_one_core);
    for (row, (name, ..)) in rows.iter().zip(&proxies) {
        println!(
            "{name:<20} {:>12.0} {:>24.0} {:>8.2} {:>9.2} ms {:>11.1} us {:>11.1} us",
            of(row, |load| load.rate),
            of(row, |load| load.on_one_core),
            of(row, |load| load.on_one_core) / ours,
            of(row, |load| load.slowest),
            of(row, |load| load.program),
            of(row, |load| load.kernel)
        );
    }
    println!(
        "What separates them is the time in the program: heads are parsed into maps of names and values, which allocates, \
         and written from them again, where the others copy bytes of a buffer; each request is counted and goes through \
         filters that keep Seaway's credentials away from backends. System calls are the same: two reads, two writes."
    );
}
