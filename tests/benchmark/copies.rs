//! How fast copies of the demo's shop are, how many fit side by side, and how long fidelity takes.
//!
//! Full tier only: the numbers need a release build (`cargo build --release -p seaway`). Nothing is asserted but that it
//! works: a shared machine is no place for limits. It prints a table; times of one run on one machine, with what they
//! are compared with beside them.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Copies that are made one after the other, and those that then run side by side.
const ROUNDS: usize = 5;
const SIDE_BY_SIDE: usize = 50;
/// Objects of the stack whose fidelity is measured.
const OBJECTS: usize = 1000;

struct Demo {
    child: Child,
    program: PathBuf,
    folder: tempfile::TempDir,
}

impl Demo {
    fn start(program: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new(program)
            .args(["up", "--demo", "--listen", "127.0.0.1:0", "--kube-listen", "127.0.0.1:0"])
            .args(["--gateway-listen", "127.0.0.1:0", "--data-dir"])
            .arg(folder.path().join("data"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while !line.contains("Ctrl-C ends everything") {
            line.clear();
            assert!(output.read_line(&mut line).unwrap() > 0, "seaway ended");
        }
        // Whoever prints later finds a reader.
        std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
        Self { child, program: program.to_owned(), folder }
    }

    fn command(&self, program: &Path, arguments: &[&str]) -> String {
        let output = Command::new(program)
            .args(arguments)
            .env("KUBECONFIG", self.folder.path().join("data/kubeconfig"))
            .env("XDG_CONFIG_HOME", "/nonexistent")
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn seaway(&self, line: &str) -> String {
        self.command(&self.program, &line.split(' ').collect::<Vec<_>>())
    }

    fn apply(&self, object: &Value) {
        let file = self.folder.path().join("object.json");
        std::fs::write(&file, object.to_string()).unwrap();
        let kubectl = std::env::var_os("SEAWAY_TEST_KUBECTL").map_or_else(|| "kubectl".into(), PathBuf::from);
        self.command(&kubectl, &["apply", "--server-side", "-f", file.to_str().unwrap()]);
    }

    /// Copies run one pod of each workload from now on.
    fn one_replica(&self) {
        let kubectl = std::env::var_os("SEAWAY_TEST_KUBECTL").map_or_else(|| "kubectl".into(), PathBuf::from);
        let rules = json!({"spec": {"copies": {"rules": [
            {"name": "one-pod", "target": {"kind": "Deployment"}, "replicas": 1}]}}});
        let patch = ["patch", "stack", "shop", "--namespace", "seaway", "--type", "merge", "--patch"];
        self.command(&kubectl, &[&patch[..], &[&rules.to_string()]].concat());
    }

    /// Resident memory, in MiB, without that of the pods.
    fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn timed(work: impl FnOnce()) -> Duration {
    let started = Instant::now();
    work();
    started.elapsed()
}

fn median(mut durations: Vec<Duration>) -> Duration {
    durations.sort();
    durations[durations.len() / 2]
}

fn row(name: &str, value: &str, beside: &str) {
    println!("{name:<58} {value:>12}   {beside}");
}

fn seconds(duration: Duration) -> String {
    format!("{:.2} s", duration.as_secs_f64())
}

/// A stack of many objects in a repository of its own, and an environment that runs it.
fn many_objects(demo: &Demo) {
    let work = demo.folder.path().join("many");
    std::fs::create_dir(&work).unwrap();
    let objects: Vec<String> = (0..OBJECTS)
        .map(|index| {
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("settings-{index}"),
                   "labels": {"app": "many"}}, "data": {"a": index.to_string(), "b": "x".repeat(200)}})
            .to_string()
        })
        .collect();
    std::fs::write(work.join("all.yaml"), objects.join("\n---\n")).unwrap();
    let git = |line: &str| {
        let identity =
            ["-c", "user.name=Ada", "-c", "user.email=ada@example.com", "-c", "commit.gpgsign=false"];
        let status =
            Command::new("git").args(identity).args(line.split(' ')).current_dir(&work).status().unwrap();
        assert!(status.success(), "git {line}");
    };
    git("init --quiet -b main .");
    git("add --all");
    git("commit --quiet -m Many");
    let url = format!("file://{}", work.display());
    demo.apply(&json!({"apiVersion": "seaway.dev/v1alpha1", "kind": "Stack",
        "metadata": {"name": "many", "namespace": "seaway"},
        "spec": {"components": [{"name": "all", "source": {"repo": url, "path": "", "revision": "main"}}]}}));
    demo.apply(&json!({"apiVersion": "seaway.dev/v1alpha1", "kind": "Environment",
        "metadata": {"name": "many", "namespace": "seaway"},
        "spec": {"stack": "many", "destination": {"namespace": "many"}}}));
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let list: Value = serde_json::from_str(&demo.seaway("env list -o json")).unwrap();
        let found = list.as_array().unwrap().iter().find(|one| one["name"] == "many");
        if found.is_some_and(|one| one["sync"] == "Synced" && one["release"].is_string()) {
            return;
        }
        assert!(Instant::now() < deadline, "{list}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
#[ignore = "measures: full tier, with a release build"]
fn copies_of_the_shop() {
    let debug = Path::new(env!("CARGO_BIN_EXE_seaway"));
    let program = debug.parent().unwrap().parent().unwrap().join("release/seaway");
    if !program.is_file() {
        println!("skipped: no {} (cargo build --release -p seaway)", program.display());
        return;
    }
    let demo = Demo::start(&program);
    println!();
    let create = |name: &str| timed(|| drop(demo.seaway(&format!("env create {name} --copy-of production"))));
    let (mut made, mut own, mut ended) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let name = format!("round{round}");
        made.push(create(&name));
        // What is not spent on waiting for pods.
        let history: Value =
            serde_json::from_str(&demo.seaway(&format!("env history {name} -o json"))).unwrap();
        let first = &history.as_array().unwrap().last().unwrap();
        let time = |field: &str| first[field].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
        let whole = time("finished").duration_since(time("started")).unsigned_abs();
        let waves: u64 = first["waves"]
            .as_array()
            .unwrap()
            .iter()
            .map(|wave| wave["milliseconds"].as_u64().unwrap())
            .sum();
        let writes: u64 = first["objects"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["milliseconds"].as_u64().unwrap())
            .sum();
        own.push(whole.saturating_sub(Duration::from_millis(waves)) + Duration::from_millis(writes));
        ended.push(timed(|| drop(demo.seaway(&format!("env delete {name} --yes")))));
    }
    row("copy of the shop, from request to all healthy", &seconds(median(made)), "aim: under 10 s");
    row("  of that not spent on waiting for pods", &seconds(median(own)), "aim: under 1 s");
    row("its deletion, until nothing is left", &seconds(median(ended)), "");

    // What they ask for must fit on two cores.
    demo.one_replica();
    let before = demo.memory();
    let times: Vec<Duration> = (0..SIDE_BY_SIDE).map(|index| create(&format!("copy{index}"))).collect();
    let after = demo.memory();
    let (first, last) = (median(times[..10].to_vec()), median(times[SIDE_BY_SIDE - 10..].to_vec()));
    row(&format!("{SIDE_BY_SIDE} copies side by side: the first ten, each"), &seconds(first), "");
    row(
        "  the last ten, each",
        &seconds(last),
        &format!("{:.2} times the first", last.as_secs_f64() / first.as_secs_f64()),
    );
    #[allow(clippy::cast_precision_loss)]
    let each = (after.saturating_sub(before)) as f64 / SIDE_BY_SIDE as f64;
    row(
        "  resident memory of seaway for each",
        &format!("{each:.1} MiB"),
        &format!("{before} MiB before, {after} MiB after"),
    );

    many_objects(&demo);
    demo.seaway("env create thousand --copy-of many");
    let fidelity = || timed(|| drop(demo.seaway("env fidelity thousand -o json")));
    let _ = fidelity();
    let empty = median((0..ROUNDS).map(|_| timed(|| drop(demo.seaway("env list -o json")))).collect());
    let asked = median((0..ROUNDS).map(|_| fidelity()).collect());
    row(
        &format!("fidelity of {OBJECTS} objects, with the command line"),
        &seconds(asked),
        "aim: under 0.30 s",
    );
    row("  beside a list of environments, likewise", &seconds(empty), "");
}
