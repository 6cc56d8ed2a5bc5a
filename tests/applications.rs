//! An application as people bring it from Argo CD (hooks, waves, two components, objects that stay), followed with real
//! controllers: the embedded API with its own, and a real Kubernetes with its.
//!
//! No pods run: a thread says of each what a kubelet would.

#![allow(clippy::unwrap_used)]

#[path = "support/git.rs"]
mod git;
#[path = "real-kubernetes/mod.rs"]
mod real_kubernetes;
#[path = "support/serving.rs"]
mod serving;
mod support;

use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use git::Repository;
use real_kubernetes::{Parts, RealKubernetes};
use serde_json::{Value, json};
use serving::{Serve, install};
use support::person::{PASSWORD, Person};
use support::{Kubectl, Seaway, eventually};

/// Says of each pod that it runs and is ready, of each of a Job that it has ended: well, or not where the Job says so.
struct Kubelet {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Kubelet {
    fn start(k: Kubectl) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = stop.clone();
        let thread = std::thread::spawn(move || {
            while !stopping.load(Ordering::Relaxed) {
                let pods = k.run("get pods -n shop -o json");
                let pods: Value = serde_json::from_str(&pods.stdout).unwrap_or_default();
                for pod in pods["items"].as_array().into_iter().flatten() {
                    say(&k, pod);
                }
                std::thread::sleep(Duration::from_millis(200));
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().unwrap().join();
    }
}

fn say(k: &Kubectl, pod: &Value) {
    let name = pod["metadata"]["name"].as_str().unwrap();
    if !pod["metadata"]["deletionTimestamp"].is_null() {
        // Its last word: it has ended.
        k.run(&format!("delete pod {name} -n shop --force --grace-period=0"));
        return;
    }
    if pod["status"]["phase"] != "Pending" {
        return;
    }
    let of_job = pod["metadata"]["ownerReferences"][0]["kind"] == "Job";
    let fails = pod["metadata"]["labels"]["outcome"] == "fails";
    let phase = match (of_job, fails) {
        (true, false) => "Succeeded",
        (true, true) => "Failed",
        (false, _) => "Running",
    };
    let ready = if of_job { "False" } else { "True" };
    let now = "2026-01-01T00:00:00Z";
    let conditions: Vec<Value> = ["Ready", "ContainersReady"]
        .iter()
        .map(|kind| json!({"type": kind, "status": ready, "lastTransitionTime": now}))
        .collect();
    let status = json!({"status": {"phase": phase, "conditions": conditions, "startTime": now}}).to_string();
    k.args(&["patch", "pod", name, "-n", "shop", "--subresource=status", "--type=merge", "-p", &status], "");
}

fn config(name: &str, color: &str, annotations: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, annotations: {{{annotations}}}}}\ndata: {{color: {color}}}\n"
    )
}

fn deployment(name: &str, image: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}}}\nspec:\n  replicas: 2\n  \
         selector: {{matchLabels: {{app: {name}}}}}\n  template:\n    metadata: {{labels: {{app: {name}}}}}\n    spec:\n      \
         containers: [{{name: {name}, image: \"{image}\"}}]\n"
    )
}

fn hook(name: &str, phase: &str, outcome: &str) -> String {
    format!(
        "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: {name}\n  annotations: {{argocd.argoproj.io/hook: {phase}}}\n\
         spec:\n  backoffLimit: 0\n  template:\n    metadata: {{labels: {{outcome: {outcome}}}}}\n    spec:\n      \
         restartPolicy: Never\n      containers: [{{name: it, image: \"{name}:1\"}}]\n"
    )
}

fn definitions(url: &str) -> String {
    format!(
        "apiVersion: seaway.dev/v1alpha1\nkind: Stack\nmetadata: {{name: shop, namespace: seaway}}\nspec:\n  components:\n  \
         - name: web\n    dependsOn: [db]\n    source: {{repo: \"{url}\", path: web, revision: main}}\n  \
         - name: db\n    source: {{repo: \"{url}\", path: db, revision: main}}\n---\n\
         apiVersion: seaway.dev/v1alpha1\nkind: Environment\nmetadata: {{name: staging, namespace: seaway}}\nspec:\n  \
         stack: shop\n  destination: {{namespace: shop}}\n"
    )
}

/// What holds on any Kubernetes.
fn an_application_lives(k: &Kubectl, ada: &Person) {
    let repository = Repository::new();
    let first_wave = "argocd.argoproj.io/sync-wave: \"-1\"";
    let stays = "argocd.argoproj.io/sync-options: \"Prune=false\"";
    repository.push(
        "main",
        "First",
        &[
            ("db/settings.yaml", &config("db-settings", "red", first_wave)),
            ("db/db.yaml", &deployment("db", "db:1")),
            ("db/migrate.yaml", &hook("migrate", "PreSync", "works")),
            ("web/web.yaml", &deployment("web", "web:1")),
            ("web/kept.yaml", &config("kept", "red", stays)),
            ("web/gone.yaml", &config("gone", "red", "")),
            ("web/smoke.yaml", &hook("smoke", "PostSync", "works")),
        ],
    );
    let _kubelet = Kubelet::start(k.clone());
    k.apply(&definitions(&repository.url()));
    let status = || {
        k.run("get environment staging -n seaway -o jsonpath={.status.sync}/{.status.health}/{.status.revision}")
            .stdout
    };
    let head = || {
        let output = std::process::Command::new("git")
            .args(["rev-parse", "--short=8", "main"])
            .current_dir(repository.bare())
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let healthy_at = |commit: &str| status() == format!("Synced/Healthy/{commit}");
    let first = head();
    eventually("the application is deployed, and healthy", || healthy_at(&first));
    let sync = |index: usize| ada.json("env history staging -o json")[index].clone();
    let place = |sync: &Value, name: &str| {
        let objects = sync["objects"].as_array().unwrap();
        objects
            .iter()
            .position(|object| object["object"]["name"] == name)
            .unwrap_or_else(|| panic!("{name}: {sync}"))
    };
    let done = sync(0);
    for (before, after) in
        [("migrate", "db-settings"), ("db-settings", "db"), ("db", "web"), ("web", "smoke")]
    {
        assert!(place(&done, before) < place(&done, after), "{before} before {after}: {done}");
    }

    // A hook that fails keeps the new version out, and says so; the fix goes through.
    repository.push(
        "main",
        "A bad migration",
        &[
            ("db/migrate.yaml", &hook("migrate", "PreSync", "fails")),
            ("db/db.yaml", &deployment("db", "db:2")),
        ],
    );
    eventually("the failure is told", || {
        let message = k.run("get environment staging -n seaway -o jsonpath={.status.message}").stdout;
        message.contains("migrate")
    });
    k.prints("get deployment db -n shop -o jsonpath={.spec.template.spec.containers[0].image}", "db:1");
    repository.push("main", "A good one", &[("db/migrate.yaml", &hook("migrate", "PreSync", "works"))]);
    let good = head();
    eventually("the fix goes through", || healthy_at(&good));
    k.prints("get deployment db -n shop -o jsonpath={.spec.template.spec.containers[0].image}", "db:2");

    // What leaves Git goes, unless it asks to stay. Somebody watches.
    ada.ok("env suspend staging");
    repository.push("main", "Less", &[("web/gone.yaml", ""), ("web/kept.yaml", "")]);
    ada.ok("env resume staging");
    let watched = ada.ok("env sync staging --watch");
    let less = head();
    eventually("it is synced", || status().ends_with(&less));
    eventually("what left Git is gone", || !k.run("get configmap gone -n shop").success);
    k.ok("get configmap kept -n shop");
    let said = format!("{}{}", watched.stdout, watched.stderr);
    assert!(said.contains("staging"), "{said}");

    // Back to what ran before: also what was deleted comes again.
    ada.ok("env rollback staging");
    eventually("what was deleted is back", || k.run("get configmap gone -n shop").success);
    eventually("it runs the release before", || status().ends_with(&good));
    ada.ok("env hold staging --lift");
    eventually("it follows Git again", || !k.run("get configmap gone -n shop").success);

    // The end leaves nothing, but for what asks to stay.
    let gone = ada.ok("env delete staging --yes");
    assert!(gone.stderr.contains("With seaway/staging goes:\n  "), "{gone:?}");
    assert!(gone.stdout.contains("It leaves ") && gone.stdout.contains("Namespace shop"), "{gone:?}");
    for kind in ["deployments", "jobs", "pods"] {
        eventually(&format!("no {kind} are left"), || {
            k.run(&format!("get {kind} -n shop -o name")).stdout.is_empty()
        });
    }
    assert!(!k.run("get environment staging -n seaway").success);
}

#[test]
fn it_lives_on_the_embedded_api() {
    let folder = tempfile::tempdir().unwrap();
    let seaway =
        Seaway::start_with(&folder.path().join("data"), &["--node", "none", "--poll-interval", "0.2"]);
    let ada = Person::new(&folder.path().join("data/kubeconfig"));
    an_application_lives(&seaway.kubectl(), &ada);
}

#[test]
fn it_lives_on_a_real_kubernetes() {
    let Some(programs) = real_kubernetes::programs() else { return };
    let mut real = RealKubernetes::start(&programs, Parts { sync_writes: false });
    real.start_controllers();
    let k = Kubectl::new(&real.kubeconfig());
    eventually("the default account is there", || k.run("get serviceaccount default -n default").success);
    let folder = tempfile::tempdir().unwrap();
    let own = install(&real.kubeconfig(), folder.path());
    let mut serve = Serve::start(&own, &folder.path().join("data"), &[]);
    let ada = Person::new(Path::new("/nonexistent"));
    first_account(&mut serve, &ada);
    an_application_lives(&k, &ada);
    assert!(serve.terminate().success());
}

/// Makes the account `ada`, who administers Seaway, and logs it in.
fn first_account(serve: &mut Serve, ada: &Person) {
    let body = json!({"code": serve.setup_code(), "name": "ada", "password": PASSWORD}).to_string();
    let mut stream = std::net::TcpStream::connect(&serve.address).unwrap();
    std::io::Write::write_all(
        &mut stream,
        format!(
            "POST /api/v1/setup HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            serve.address,
            body.len()
        )
        .as_bytes(),
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let server = format!("http://{}", serve.address);
    let login = ["login", "--server", &server, "--user", "ada", "--password-stdin"];
    let printed = ada.run_with(&login, &format!("{PASSWORD}\n"));
    assert!(printed.success, "{printed:?}");
}
