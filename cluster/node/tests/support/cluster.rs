//! An API and a node, as tests use them.

use super::busybox_layout;
use futures::StreamExt;
use k8s_openapi::api::core::v1::{Event, Pod, ServiceAccount};
use kube::api::{Api, PostParams};
use seaway_apiserver::{ApiServer, Identity, Options};
use seaway_node::image::LayoutFolder;
use seaway_node::sandbox::NamespaceOptions;
use seaway_node::{ExecOptions, LogOptions, Node, NodeOptions};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::AsyncReadExt;

/// An API server and a node in a folder of their own.
pub struct Cluster {
    pub folder: TempDir,
    pub server: ApiServer,
    pub node: Option<Node>,
    pub name: String,
}

impl Cluster {
    /// An API and a node; `None` (and why) where this machine has no busybox or forbids namespaces.
    pub async fn start() -> Option<Self> {
        Self::start_with(|_| {}).await
    }

    /// The same, with other options of the node.
    pub async fn start_with(change: impl FnOnce(&mut NodeOptions)) -> Option<Self> {
        let folder = TempDir::new().unwrap();
        busybox_layout(&folder.path().join("layout"))?;
        let mut options = Options::new(folder.path().join("api"));
        options.listen = Some("127.0.0.1:0".parse().unwrap());
        let server = ApiServer::start(options).await.unwrap();
        // Tests may share a process; control groups are called by this name.
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let name = format!("test-{}-{}", std::process::id(), STARTED.fetch_add(1, Ordering::Relaxed));
        let mut cluster = Self { folder, server, node: None, name };
        cluster.allow_node().await;
        let accounts: Api<ServiceAccount> = Api::namespaced(cluster.admin(), "default");
        while accounts.get_opt("default").await.unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        cluster.start_node_with(change).await.then_some(cluster)
    }

    /// The node acts as an account of its own, with the rights that it asks for and no more.
    pub async fn allow_node(&self) {
        const GROUP: &str = "rbac.authorization.k8s.io";
        let role: k8s_openapi::api::rbac::v1::ClusterRole = serde_json::from_value(
            json!({"metadata": {"name": "test-node"}, "rules": seaway_node::cluster_role_rules()}),
        )
        .unwrap();
        let binding: k8s_openapi::api::rbac::v1::ClusterRoleBinding = serde_json::from_value(json!({
            "metadata": {"name": "test-node"},
            "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": "test-node"},
            "subjects": [{"apiGroup": GROUP, "kind": "User", "name": "test-node"}]}))
        .unwrap();
        let client = self.admin();
        Api::all(client.clone()).create(&PostParams::default(), &role).await.unwrap();
        Api::all(client).create(&PostParams::default(), &binding).await.unwrap();
    }

    pub async fn start_node(&mut self) -> bool {
        self.start_node_with(|_| {}).await
    }

    pub async fn start_node_with(&mut self, change: impl FnOnce(&mut NodeOptions)) -> bool {
        let client = self.server.client(Identity::user("test-node", Vec::<String>::new()));
        let mut options = NodeOptions::new(client, self.folder.path().join("node"), &self.name);
        options.layouts = vec![LayoutFolder::new(self.folder.path().join("layout"))];
        options.api_server = self.server.address();
        options.first_backoff = Duration::from_millis(300);
        options.longest_backoff = Duration::from_secs(1);
        options.namespace = NamespaceOptions { helper: Some(super::helper()), ..NamespaceOptions::default() };
        change(&mut options);
        match Node::start(options).await {
            Ok(node) => {
                self.node = Some(node);
                true
            }
            Err(e @ seaway_node::Error::Forbidden { .. }) => {
                println!("skipped: {e}");
                false
            }
            Err(e) => panic!("{e}"),
        }
    }

    pub fn node(&self) -> &Node {
        self.node.as_ref().unwrap()
    }

    pub fn admin(&self) -> kube::Client {
        self.server.client(Identity::admin())
    }

    pub fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.admin(), "default")
    }

    /// A pod that is bound to the node.
    pub async fn run(&self, name: &str, mut spec: Value) {
        spec["nodeName"] = json!(self.name);
        if spec.get("terminationGracePeriodSeconds").is_none() {
            spec["terminationGracePeriodSeconds"] = json!(1);
        }
        let pod = json!({"metadata": {"name": name, "labels": {"app": name}}, "spec": spec});
        let pod: Pod = serde_json::from_value(pod).unwrap();
        self.pods().create(&PostParams::default(), &pod).await.unwrap();
    }

    /// Waits until a pod (as JSON) is as wanted.
    pub async fn until(&self, name: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        for _ in 0..1200 {
            if let Some(pod) = self.pods().get_opt(name).await.unwrap() {
                last = serde_json::to_value(pod).unwrap();
                if wanted(&last) {
                    return last;
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{name} is not {what}: {:#}\n{:#?}", last["status"], self.events(name).await);
    }

    pub async fn until_ready(&self, name: &str) -> Value {
        self.until(name, "ready", |pod| {
            let conditions = pod["status"]["conditions"].as_array();
            conditions.is_some_and(|c| c.iter().any(|c| c["type"] == "Ready" && c["status"] == "True"))
        })
        .await
    }

    pub async fn until_phase(&self, name: &str, phase: &str) -> Value {
        self.until(name, phase, |pod| pod["status"]["phase"] == phase).await
    }

    pub async fn until_gone(&self, name: &str) {
        for _ in 0..1200 {
            if self.pods().get_opt(name).await.unwrap().is_none() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{name} is still there");
    }

    /// Waits until a condition of the node has this status.
    pub async fn until_condition(&self, kind: &str, status: &str) -> Value {
        let nodes: Api<k8s_openapi::api::core::v1::Node> = Api::all(self.admin());
        let mut last = Value::Null;
        for _ in 0..1200 {
            last = serde_json::to_value(nodes.get(&self.name).await.unwrap()).unwrap();
            let conditions = last["status"]["conditions"].as_array().cloned().unwrap_or_default();
            if let Some(found) = conditions.into_iter().find(|c| c["type"] == kind && c["status"] == status) {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{kind} is not {status}: {:#}", last["status"]["conditions"]);
    }

    pub async fn events(&self, name: &str) -> Vec<(String, String)> {
        let api: Api<Event> = Api::namespaced(self.admin(), "default");
        let all = api.list(&Default::default()).await.unwrap();
        all.items
            .into_iter()
            .filter(|e| e.involved_object.name.as_deref() == Some(name))
            .map(|e| (e.reason.unwrap_or_default(), e.message.unwrap_or_default()))
            .collect()
    }

    pub async fn until_event(&self, name: &str, reason: &str) -> String {
        self.until_event_with(name, reason, "").await
    }

    pub async fn until_event_with(&self, name: &str, reason: &str, part: &str) -> String {
        for _ in 0..1200 {
            if let Some((_, message)) =
                self.events(name).await.into_iter().find(|(r, m)| r == reason && m.contains(part))
            {
                return message;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("no event {reason}: {:#?}", self.events(name).await);
    }

    pub async fn logs(&self, pod: &str, options: LogOptions) -> String {
        let mut stream = self.node().logs("default", pod, "c", options).unwrap();
        let mut text = Vec::new();
        while let Some(chunk) = stream.next().await {
            text.extend_from_slice(&chunk.unwrap());
        }
        String::from_utf8(text).unwrap()
    }

    pub async fn until_log(&self, pod: &str, part: &str) {
        let mut log = String::new();
        for _ in 0..1200 {
            log = self.logs(pod, LogOptions::default()).await;
            if log.contains(part) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the log of {pod} lacks {part:?}: {log}");
    }

    pub async fn exec(&self, pod: &str, script: &str) -> (i32, String) {
        let command = ["sh", "-c", script].map(str::to_owned).to_vec();
        let options = ExecOptions { command, ..ExecOptions::default() };
        let mut exec = self.node().exec("default", pod, "c", options).await.unwrap();
        let mut text = String::new();
        exec.stdout.read_to_string(&mut text).await.unwrap();
        exec.stderr.as_mut().unwrap().read_to_string(&mut text).await.unwrap();
        (exec.wait().await.code, text)
    }

    pub async fn end(mut self) {
        if let Some(node) = self.node.take() {
            node.shutdown().await;
        }
        self.server.stop().await;
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(self.folder.path().to_str().unwrap()), "a mount was left behind");
        for tree in ["", "memory", "pids", "cpu"] {
            let groups = PathBuf::from("/sys/fs/cgroup").join(tree).join("seaway").join(&self.name);
            assert!(!groups.exists(), "{} was left behind", groups.display());
        }
    }
}

pub fn container(script: &str) -> Value {
    json!({"name": "c", "image": "registry.test/busybox:1", "command": ["sh", "-c", script]})
}

pub fn pod(script: &str) -> Value {
    json!({"containers": [container(script)]})
}
