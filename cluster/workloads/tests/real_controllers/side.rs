//! One of the two: an API, its controllers, and a node whose pods run in imagination.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject};
use kube::core::GroupVersionKind;
use kube::runtime::watcher::{Config, Event, watcher};
use parking_lot::Mutex;
use seaway_apiserver::{ApiServer, Identity};
use seaway_workloads::{Options, Workloads};
use serde_json::{Value, json};

use crate::real_kubernetes::RealKubernetes;
use crate::stories::Step;
use crate::view::{self, View};

/// A node says that it is alive so often; the real controller manager gives it 40 s.
const HEARTBEAT: Duration = Duration::from_secs(5);

pub(crate) struct Side {
    client: Client,
    is_real: bool,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    /// Of each namespace, names that were made up on the way.
    names: Mutex<BTreeMap<String, BTreeMap<String, String>>>,
    embedded: Option<(ApiServer, Workloads, tempfile::TempDir)>,
}

impl Side {
    pub(crate) async fn real(real: &RealKubernetes) -> Self {
        let file = kube::config::Kubeconfig::read_from(real.kubeconfig()).unwrap();
        let config = kube::Config::from_custom_kubeconfig(file, &Default::default()).await.unwrap();
        let client = Client::try_from(config).unwrap();
        let begin = Instant::now();
        while request(&client, "GET", "/readyz", None).await.is_err_and(|e| !e.contains("expected value")) {
            assert!(begin.elapsed() < Duration::from_secs(60), "the real server is not ready");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let mut side = Self { client, is_real: true, tasks: vec![], names: Mutex::default(), embedded: None };
        side.start_node().await;
        // It says that it is healthy before it works.
        side.wait_for_account("default").await;
        side
    }

    pub(crate) async fn embedded() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = ApiServer::start(seaway_apiserver::Options::new(folder.path())).await.unwrap();
        let client = server.client(Identity::admin());
        let account = Identity::user("system:kube-controller-manager", ["system:masters"]);
        let workloads = Workloads::start(server.client(account), Options::default()).await;
        let embedded = Some((server, workloads, folder));
        let mut side = Self { client, is_real: false, tasks: vec![], names: Mutex::default(), embedded };
        side.start_node().await;
        side
    }

    async fn start_node(&mut self) {
        let node = json!({"apiVersion": "v1", "kind": "Node",
            "metadata": {"name": "here", "labels": {"kubernetes.io/hostname": "here"}}});
        request(&self.client, "POST", "/api/v1/nodes", Some(node)).await.unwrap();
        beat(&self.client).await.unwrap();
        let client = self.client.clone();
        self.tasks.push(tokio::spawn(async move {
            loop {
                tokio::time::sleep(HEARTBEAT).await;
                let _ = beat(&client).await;
            }
        }));
        self.tasks.push(tokio::spawn(run_pods(self.client.clone(), self.is_real)));
    }

    pub(crate) async fn stop(self) {
        for task in self.tasks {
            task.abort();
            let _ = task.await;
        }
        drop(self.client);
        if let Some((server, workloads, _folder)) = self.embedded {
            workloads.shutdown().await;
            server.stop().await;
        }
    }

    pub(crate) async fn namespace(&self, name: &str) {
        let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        request(&self.client, "POST", "/api/v1/namespaces", Some(body)).await.unwrap();
        self.wait_for_account(name).await;
    }

    async fn wait_for_account(&self, namespace: &str) {
        let begin = Instant::now();
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/default");
        while request(&self.client, "GET", &path, None).await.is_err() {
            assert!(begin.elapsed() < Duration::from_secs(60), "no account in {namespace}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Sends the requests of a step.
    pub(crate) async fn send(&self, namespace: &str, step: &Step) {
        for (method, place, body) in &step.requests {
            let path = self.path(namespace, place);
            let answer = request(&self.client, method, &path, body.clone()).await;
            answer.unwrap_or_else(|e| panic!("{namespace}: {}: {method} {path}: {e}", step.title));
        }
    }

    /// `plural` or `plural/name`, with the version that this side serves.
    fn path(&self, namespace: &str, place: &str) -> String {
        let plural = place.split('/').next().unwrap();
        let group = match (plural, self.is_real) {
            ("deployments" | "replicasets" | "statefulsets" | "daemonsets" | "controllerrevisions", _) => {
                "apis/apps/v1"
            }
            ("jobs", _) => "apis/batch/v1",
            ("endpointslices", true) => "apis/discovery.k8s.io/v1beta1",
            ("endpointslices", false) => "apis/discovery.k8s.io/v1",
            ("poddisruptionbudgets", true) => "apis/policy/v1beta1",
            ("poddisruptionbudgets", false) => "apis/policy/v1",
            _ => "api/v1",
        };
        format!("/{group}/namespaces/{namespace}/{place}")
    }

    /// What there is now, when what the step waits for holds.
    pub(crate) async fn view(&self, namespace: &str, step: &Step) -> Option<View> {
        if let Some((place, holds)) = &step.until {
            let object = request(&self.client, "GET", &self.path(namespace, place), None).await.ok()?;
            if !holds(&object) {
                return None;
            }
        }
        let mut lists = vec![];
        for plural in view::PLURALS {
            let list = request(&self.client, "GET", &self.path(namespace, plural), None).await.ok()?;
            lists.push((*plural, list["items"].as_array().cloned().unwrap_or_default()));
        }
        Some(view::of(lists, self.names.lock().entry(namespace.to_owned()).or_default()))
    }
}

async fn beat(client: &Client) -> Result<Value, String> {
    let now = k8s_openapi::jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let amount = json!({"cpu": "64", "memory": "64Gi", "pods": "500"});
    let status = json!({"status": {"capacity": amount, "allocatable": amount, "conditions": [
        {"type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": now}]}});
    request(client, "PATCH", "/api/v1/nodes/here/status", Some(status)).await
}

async fn request(client: &Client, method: &str, path: &str, body: Option<Value>) -> Result<Value, String> {
    let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    let body = body.map_or_else(Vec::new, |body| serde_json::to_vec(&body).unwrap());
    let request = http::Request::builder().method(method).uri(path).header("Content-Type", kind).body(body);
    client.request::<Value>(request.unwrap()).await.map_err(|e| e.to_string())
}

/// Runs pods: their image says what becomes of them.
async fn run_pods(client: Client, binds: bool) {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Pod"));
    let all: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    let addresses = Arc::new(AtomicU32::new(2));
    let mut events = std::pin::pin!(watcher(all, Config::default()));
    while let Some(event) = events.next().await {
        if let Ok(Event::Apply(pod) | Event::InitApply(pod)) = event {
            let pod = serde_json::to_value(pod).unwrap();
            tokio::spawn(treat(client.clone(), pod, binds, addresses.clone()));
        }
    }
}

async fn treat(client: Client, pod: Value, binds: bool, addresses: Arc<AtomicU32>) {
    let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let path = format!("/api/v1/namespaces/{}/pods/{}", text("/metadata/namespace"), text("/metadata/name"));
    if !pod["metadata"]["deletionTimestamp"].is_null() {
        let now = json!({"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0});
        let _ = request(&client, "DELETE", &path, Some(now)).await;
        return;
    }
    if text("/spec/nodeName").is_empty() {
        if binds {
            let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": text("/metadata/name")},
                                 "target": {"apiVersion": "v1", "kind": "Node", "name": "here"}});
            let _ = request(&client, "POST", &format!("{path}/binding"), Some(binding)).await;
        }
        return;
    }
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array).cloned().unwrap_or_default();
    let is_ready = conditions.iter().any(|c| c["type"] == "Ready" && c["status"] == "True");
    let image = text("/spec/containers/0/image");
    let (next, ready) = match (text("/status/phase"), image) {
        ("Pending", _) => ("Running", false),
        ("Running", "task:fails") => ("Failed", false),
        ("Running", "task:good") => ("Succeeded", false),
        ("Running", image) if !is_ready && !image.ends_with(":broken") && !image.starts_with("task:") => {
            ("Running", true)
        }
        _ => return,
    };
    let now = k8s_openapi::jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let address = match text("/status/podIP") {
        "" => {
            let number = addresses.fetch_add(1, Ordering::Relaxed);
            format!("10.244.{}.{}", number / 250, number % 250)
        }
        known => known.to_owned(),
    };
    let mut conditions = conditions;
    conditions.retain(|c| c["type"] != "Ready");
    conditions.push(
        json!({"type": "Ready", "status": if ready { "True" } else { "False" }, "lastTransitionTime": now}),
    );
    let mut status = json!({"phase": next, "podIP": address, "podIPs": [{"ip": address}], "startTime": now,
                            "conditions": conditions});
    if matches!(next, "Failed" | "Succeeded") {
        let code = i32::from(next == "Failed");
        status["containerStatuses"] = json!([{"name": "main", "image": image, "imageID": "", "ready": false,
            "restartCount": 0, "state": {"terminated": {"exitCode": code, "startedAt": now, "finishedAt": now}}}]);
    }
    let body = json!({"metadata": {"uid": text("/metadata/uid")}, "status": status});
    // It may have been deleted meanwhile; then nothing is to be said about it.
    let _ = request(&client, "PATCH", &format!("{path}/status"), Some(body)).await;
}
