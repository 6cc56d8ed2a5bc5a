//! Where it is measured: Seaway with the embedded API in one process, or beside a real kube-apiserver.

use std::collections::HashSet;
use std::io::BufRead as _;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::BodyExt as _;
use kube::client::Body;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::git::Repository;
use crate::real_kubernetes::{self, Parts, RealKubernetes};
use crate::support::program;
use crate::{serving, versions};

/// What webhooks are signed with.
const SECRET: &str = "a-secret-for-webhooks-of-the-benchmark";
/// What is logged of the decisions that a commit leads to.
const LOG: &str = "warn,seaway_sync::sources=debug,kube_client::client=off";

pub(crate) struct Place {
    pub(crate) client: kube::Client,
    child: Child,
    /// Where Seaway's own API is.
    address: String,
    /// How long it took to decide whom a commit concerns, in milliseconds.
    decisions: Arc<Mutex<Vec<u64>>>,
    title: String,
    _folder: tempfile::TempDir,
    _real: Option<RealKubernetes>,
}

impl Place {
    pub(crate) async fn embedded() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let mut command = program();
        command.args(["up", "--node", "none", "--kube-listen", "127.0.0.1:0", "--gateway-listen"]);
        command.args(["127.0.0.1:0", "--listen", "127.0.0.1:0", "--poll-interval", "600", "--data-dir"]);
        command.arg(&data);
        let title = "seaway up: the embedded API and Seaway in one process".to_owned();
        Some(Self::start(command, data.join("kubeconfig"), folder, None, title).await)
    }

    pub(crate) async fn real() -> Option<Self> {
        let programs = real_kubernetes::programs()?;
        let mut real = RealKubernetes::start(&programs, Parts { sync_writes: true });
        // The rules of `admin` are gathered by one of them.
        real.start_controllers();
        let folder = tempfile::tempdir().unwrap();
        let client = client(&real.kubeconfig()).await;
        while send(&client, "GET", "/readyz", "application/json", &Value::Null).await.0 != 200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let own = serving::install(&real.kubeconfig(), folder.path());
        let mut command = program();
        command.args(["serve", "--listen", "127.0.0.1:0", "--poll-interval", "600", "--allow-outgoing"]);
        command.args(["loopback,http", "--kubeconfig"]).arg(own).arg("--data-dir");
        command.arg(folder.path().join("data"));
        let title = format!("seaway serve beside kube-apiserver {} and etcd", real_kubernetes::VERSION);
        let kubeconfig = real.kubeconfig();
        Some(Self::start(command, kubeconfig, folder, Some(real), title).await)
    }

    async fn start(
        mut command: std::process::Command,
        kubeconfig: PathBuf,
        folder: tempfile::TempDir,
        real: Option<RealKubernetes>,
        title: String,
    ) -> Self {
        let mut child = command
            .env("SEAWAY_LOG", LOG)
            .env("NO_COLOR", "1")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let decisions = Arc::new(Mutex::new(Vec::new()));
        let (stderr, noted) = (BufReader::new(child.stderr.take().unwrap()), decisions.clone());
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                match line.split("milliseconds=").nth(1) {
                    Some(text) if line.contains("a commit has come") => {
                        let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
                        noted.lock().unwrap().push(digits.parse().unwrap());
                    }
                    _ if line.contains("does not answer") => {}
                    _ => eprintln!("seaway: {line}"),
                }
            }
        });
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("ready"), "it did not start: {line:?}");
        let after = if real.is_some() { "listening on " } else { "Seaway at http://" };
        let address = line.split(after).nth(1).unwrap().split(',').next().unwrap().trim().to_owned();
        let client = client(&kubeconfig).await;
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "seaway"}});
        send(&client, "POST", "/api/v1/namespaces", "application/json", &namespace).await;
        Self { client, child, address, decisions, title, _folder: folder, _real: real }
    }

    pub(crate) fn title(&self) -> &str {
        &self.title
    }

    /// Resident memory of Seaway now, in KiB.
    pub(crate) fn memory(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// The most that it was.
    pub(crate) fn most_memory(&self) -> u64 {
        self.status("VmHWM:")
    }

    fn status(&self, key: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        line.trim().trim_end_matches(" kB").trim().parse().unwrap()
    }

    /// Lets webhooks of a repository be believed.
    pub(crate) async fn expect_webhooks(&self, repository: &Repository) {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "webhooks",
            "labels": {"seaway.dev/credentials": "git"}}, "stringData": {"url": repository.url(),
            "webhook-secret": SECRET}});
        api(&self.client, "POST", "/api/v1/namespaces/seaway/secrets", &secret).await;
    }

    /// Tells of a push, as a forge does.
    pub(crate) async fn tell(&self, repository: &Repository) {
        let body = json!({"project": {"git_http_url": repository.url()}}).to_string();
        loop {
            let answer = post(&self.address, "/api/v1/webhooks", &body).await;
            // The Secret may not have been seen yet.
            if answer.contains("\"repositories\":1") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Ends once `count` environments say that they are synced at this revision.
    pub(crate) async fn synced(&self, count: usize, revision: &str) -> JoinHandle<()> {
        let wanted = [format!("\"revision\":\"{revision}\""), "\"sync\":\"Synced\"".to_owned()];
        let path = "/apis/seaway.dev/v1alpha1/namespaces/seaway/environments";
        self.seen(path, wanted.to_vec(), count).await
    }

    /// Ends once a ConfigMap of this namespace has this in it.
    pub(crate) async fn applied(&self, namespace: &str, text: &str) -> JoinHandle<()> {
        self.seen(&format!("/api/v1/namespaces/{namespace}/configmaps"), vec![text.to_owned()], 1).await
    }

    /// Watches a resource until so many objects have all of these texts.
    async fn seen(&self, path: &str, wanted: Vec<String>, count: usize) -> JoinHandle<()> {
        let (_, list) =
            send(&self.client, "GET", &format!("{path}?limit=1"), "application/json", &Value::Null).await;
        let list: Value = serde_json::from_str(&list).unwrap();
        let from = list["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
        let watch = format!("{path}?watch=1&resourceVersion={from}&timeoutSeconds=3600");
        let request = http::Request::get(watch).body(Body::empty()).unwrap();
        let mut body = self.client.send(request).await.unwrap().into_body();
        tokio::spawn(async move {
            let (mut pending, mut seen) = (Vec::new(), HashSet::new());
            while seen.len() < count {
                let frame = body.frame().await.expect("the watch goes on").unwrap();
                pending.extend_from_slice(frame.data_ref().unwrap());
                let Some(end) = pending.iter().rposition(|byte| *byte == b'\n') else { continue };
                let rest = pending.split_off(end + 1);
                for line in String::from_utf8_lossy(&pending).lines() {
                    if wanted.iter().all(|text| line.contains(text)) {
                        let name = line.split("\"name\":\"env-").nth(1).unwrap_or_default();
                        seen.insert(name.get(..5).unwrap_or_default().to_owned());
                    }
                }
                pending = rest;
            }
        })
    }

    /// The versions of all environments and of what they have applied.
    pub(crate) async fn revisions(&self) -> Vec<(String, String)> {
        let mut all = Vec::new();
        for path in
            ["/apis/seaway.dev/v1alpha1/environments", "/api/v1/configmaps", "/apis/apps/v1/deployments"]
        {
            let label = "labelSelector=seaway.dev/environment";
            let query = if path.contains("seaway") { "" } else { label };
            let path = format!("{path}?{query}");
            let (_, list) = send(&self.client, "GET", &path, "application/json", &Value::Null).await;
            all.extend(versions(&serde_json::from_str(&list).unwrap()));
        }
        all
    }

    /// How many decisions there were.
    pub(crate) fn decisions(&self) -> usize {
        self.decisions.lock().unwrap().len()
    }

    /// How long the next one took, in milliseconds.
    pub(crate) async fn next_decision(&self, before: usize) -> u64 {
        loop {
            if let Some(decision) = self.decisions.lock().unwrap().get(before) {
                return *decision;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Place {
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

/// A request; its status and body.
pub(crate) async fn send(
    client: &kube::Client,
    method: &str,
    path: &str,
    media_type: &str,
    body: &Value,
) -> (u16, String) {
    send_as(None, client, method, path, media_type, body).await
}

/// A request in somebody's name; its status and body.
pub(crate) async fn send_as(
    account: Option<&str>,
    client: &kube::Client,
    method: &str,
    path: &str,
    media_type: &str,
    body: &Value,
) -> (u16, String) {
    let bytes = match body {
        Value::Null => Vec::new(),
        Value::String(text) => text.clone().into_bytes(),
        body => serde_json::to_vec(body).unwrap(),
    };
    let mut request = http::Request::builder().method(method).uri(path).header("Content-Type", media_type);
    if let Some(account) = account {
        request = request.header("Impersonate-User", account);
    }
    let request = request.body(Body::from(bytes)).unwrap();
    let answer = client.send(request).await.unwrap();
    let status = answer.status().as_u16();
    let bytes = answer.into_body().collect_bytes().await.unwrap();
    (status, String::from_utf8_lossy(&bytes).into_owned())
}

/// A request that must succeed.
pub(crate) async fn api(client: &kube::Client, method: &str, path: &str, body: &Value) {
    let (status, answer) = send(client, method, path, "application/json", body).await;
    assert!(status < 300, "{method} {path}: {status} {answer}");
}

async fn post(address: &str, path: &str, body: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         X-Gitlab-Token: {SECRET}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// A line of the table.
pub(crate) struct Row {
    what: String,
    ours: String,
    bare: String,
    aim: String,
}

impl Row {
    pub(crate) fn new(what: &str, ours: &str) -> Self {
        Self { what: what.to_owned(), ours: ours.to_owned(), bare: String::new(), aim: String::new() }
    }

    /// With the lower bound, and how many times that it is.
    pub(crate) fn beside(mut self, bare: &str, ratio: f64) -> Self {
        self.bare = format!("bare loop {bare}, {ratio:.2} x");
        self
    }

    /// What is aimed at.
    pub(crate) fn aim(mut self, aim: &str) -> Self {
        self.aim = format!("aim {aim}");
        self
    }

    pub(crate) fn print(&self) {
        println!("{:<44} {:<30} {:<28} {}", self.what, self.ours, self.bare, self.aim);
    }
}

pub(crate) fn mib(kib: u64) -> String {
    format!("{:.0} MiB", kib as f64 / 1024.0)
}

pub(crate) fn show(d: Duration) -> String {
    match d.as_secs_f64() {
        s if s >= 1.0 => format!("{s:.2} s"),
        s => format!("{:.1} ms", s * 1e3),
    }
}
