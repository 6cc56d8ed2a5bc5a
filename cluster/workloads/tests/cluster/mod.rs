//! A cluster for tests: the API, the controllers, and a node whose pods run in imagination.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt;
use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::runtime::watcher::{Config, Event, watcher};
use kube::{Client, Resource, ResourceExt};
use seaway_apiserver::{ApiServer, Identity};
use seaway_workloads::{Options, Workloads};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// How long a test waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Cluster {
    pub(crate) client: Client,
    pub(crate) node: Arc<FakeNode>,
    pub(crate) server: ApiServer,
    workloads: Option<Workloads>,
    running: tokio::task::JoinHandle<()>,
    _folder: tempfile::TempDir,
}

/// How the node treats its pods.
#[derive(Default)]
pub(crate) struct FakeNode {
    /// Pods do not become ready while this is set.
    pub(crate) holds_back: AtomicBool,
    addresses: AtomicU32,
}

fn controllers_client(server: &ApiServer) -> Client {
    server.client(Identity::user("system:kube-controller-manager", ["system:masters"]))
}

/// Holds back what watches of pods would tell, until it is opened.
#[derive(Clone)]
pub(crate) struct Gate(tokio::sync::watch::Sender<bool>);

impl Gate {
    pub(crate) fn closed() -> Self {
        Self(tokio::sync::watch::Sender::new(false))
    }

    pub(crate) fn open(&self) {
        self.0.send_replace(true);
    }

    /// A client whose watches of pods begin when the gate is open; everything else goes through.
    fn before(&self, client: Client) -> Client {
        let gate = self.0.clone();
        let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
            let (client, mut open) = (client.clone(), gate.subscribe());
            async move {
                let is_watch = request.uri().query().is_some_and(|q| q.contains("watch=true"));
                if is_watch && request.uri().path().ends_with("/pods") {
                    let _ = open.wait_for(|open| *open).await;
                }
                client.send(request).await
            }
        });
        Client::new(service, "default")
    }
}

impl Cluster {
    /// Starts everything, with the namespace `shop` and the node `here`.
    pub(crate) async fn start() -> Self {
        let open = Gate::closed();
        open.open();
        Self::start_behind(&open).await
    }

    /// Starts everything; the controllers see changes of pods when the gate is open.
    pub(crate) async fn start_behind(gate: &Gate) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut options = seaway_apiserver::Options::new(folder.path());
        options.listen = Some(([127, 0, 0, 1], 0).into());
        let server = ApiServer::start(options).await.unwrap();
        let client = server.client(Identity::admin());
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let shop = serde_json::from_value(json!({"metadata": {"name": "shop"}})).unwrap();
        namespaces.create(&PostParams::default(), &shop).await.unwrap();
        let node = Arc::new(FakeNode::default());
        node.register(&client).await;
        let controllers = gate.before(controllers_client(&server));
        let workloads = Some(Workloads::start(controllers, Options::default()).await);
        let running = tokio::spawn(node.clone().run(client.clone()));
        let cluster = Self { client, node, server, workloads, running, _folder: folder };
        // Pods need their account, which the API server makes by itself.
        let accounts: Api<k8s_openapi::api::core::v1::ServiceAccount> = cluster.api();
        cluster
            .until("the default account", || async { accounts.get_opt("default").await.unwrap().map(drop) })
            .await;
        cluster
    }

    /// Stops the controllers, does something, and starts them again.
    pub(crate) async fn without_controllers<T>(&mut self, work: impl AsyncFnOnce(&Self) -> T) -> T {
        if let Some(workloads) = self.workloads.take() {
            workloads.shutdown().await;
        }
        let result = work(self).await;
        self.workloads = Some(Workloads::start(controllers_client(&self.server), Options::default()).await);
        result
    }

    /// The newest revision of the whole cluster.
    pub(crate) async fn revision(&self) -> String {
        let pods: Api<Pod> = self.api();
        pods.list(&Default::default()).await.unwrap().metadata.resource_version.unwrap()
    }

    pub(crate) async fn stop(mut self) {
        if let Some(workloads) = self.workloads.take() {
            workloads.shutdown().await;
        }
        self.running.abort();
        let _ = self.running.await;
        drop(self.client);
        self.server.stop().await;
    }

    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi_scope::Namespaced>,
    {
        Api::namespaced(self.client.clone(), "shop")
    }

    pub(crate) async fn create<K>(&self, object: Value) -> K
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi_scope::Namespaced>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned
            + serde::Serialize,
    {
        let object: K = serde_json::from_value(object).unwrap();
        self.api::<K>().create(&PostParams::default(), &object).await.unwrap()
    }

    pub(crate) async fn patch<K>(&self, name: &str, patch: Value) -> K
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi_scope::Namespaced>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned,
    {
        let params = PatchParams::default();
        self.api::<K>().patch(name, &params, &Patch::Merge(&patch)).await.unwrap()
    }

    pub(crate) async fn delete<K>(&self, name: &str)
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi_scope::Namespaced>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned,
    {
        self.api::<K>().delete(name, &DeleteParams::background()).await.unwrap();
    }

    pub(crate) async fn list<K>(&self) -> Vec<K>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi_scope::Namespaced>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned,
    {
        self.api::<K>().list(&Default::default()).await.unwrap().items
    }

    /// Waits until `look` finds something.
    pub(crate) async fn until<T, F: Future<Output = Option<T>>>(
        &self,
        what: &str,
        look: impl Fn() -> F,
    ) -> T {
        let begin = Instant::now();
        loop {
            if let Some(found) = look().await {
                return found;
            }
            if begin.elapsed() > PATIENCE {
                for pod in self.list::<Pod>().await {
                    eprintln!("{}: {:?}", pod.name_any(), pod.status.map(|s| (s.phase, s.conditions)));
                }
                panic!("waited in vain for {what}");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until an object looks as asked.
    pub(crate) async fn until_object<K>(&self, name: &str, what: &str, looks: impl Fn(&K) -> bool) -> K
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi_scope::Namespaced>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned,
    {
        let api = self.api::<K>();
        self.until(what, || async { api.get_opt(name).await.unwrap().filter(|k| looks(k)) }).await
    }
}

/// The scope that namespaced kinds have.
pub(crate) mod k8s_openapi_scope {
    pub(crate) use k8s_openapi::NamespaceResourceScope as Namespaced;
}

impl FakeNode {
    async fn register(&self, client: &Client) {
        let nodes: Api<Node> = Api::all(client.clone());
        let node = json!({"metadata": {"name": "here", "labels": {"kubernetes.io/hostname": "here"}}});
        nodes.create(&PostParams::default(), &serde_json::from_value(node).unwrap()).await.unwrap();
        let status = json!({"status": {
            "capacity": {"cpu": "4", "memory": "8Gi", "pods": "110"},
            "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"},
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}]}});
        nodes.patch_status("here", &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
    }

    async fn run(self: Arc<Self>, client: Client) {
        let all: Api<Pod> = Api::all(client.clone());
        let mut events = std::pin::pin!(watcher(all, Config::default()));
        while let Some(event) = events.next().await {
            if let Ok(Event::Apply(pod) | Event::InitApply(pod)) = event {
                tokio::spawn(self.clone().treat(client.clone(), pod));
            }
        }
    }

    async fn treat(self: Arc<Self>, client: Client, pod: Pod) {
        let api: Api<Pod> = Api::namespaced(client, &pod.namespace().unwrap());
        let name = pod.name_any();
        let spec = pod.spec.clone().unwrap();
        if spec.node_name.is_none() {
            return;
        }
        if pod.metadata.deletion_timestamp.is_some() {
            let _ = api.delete(&name, &DeleteParams::default().grace_period(0)).await;
            return;
        }
        let phase = pod.status.as_ref().and_then(|s| s.phase.clone()).unwrap_or_default();
        let ready = pod.status.iter().flat_map(|s| s.conditions.iter().flatten());
        let ready = ready.into_iter().any(|c| c.type_ == "Ready" && c.status == "True");
        let now = k8s_openapi::jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        // The image says what becomes of the pod.
        let image = spec.containers[0].image.clone().unwrap_or_default();
        let ends = image.starts_with("task:");
        let (next, becomes_ready) = match (phase.as_str(), ends) {
            ("Pending", _) => ("Running", false),
            ("Running", true) if image == "task:fails" => ("Failed", false),
            ("Running", true) => ("Succeeded", false),
            ("Running", false) if !ready && !image.ends_with(":broken") => ("Running", true),
            _ => return,
        };
        while becomes_ready && self.holds_back.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let address = match pod.status.as_ref().and_then(|s| s.pod_ip.clone()) {
            Some(address) => address,
            None => {
                let number = self.addresses.fetch_add(1, Ordering::Relaxed) + 2;
                format!("10.244.{}.{}", number / 250, number % 250)
            }
        };
        let mut conditions = serde_json::to_value(pod.status.unwrap().conditions).unwrap();
        let conditions = conditions.as_array_mut().unwrap();
        conditions.retain(|c| c["type"] != "Ready");
        conditions.push(json!({"type": "Ready", "status": if becomes_ready { "True" } else { "False" },
                               "lastTransitionTime": now}));
        let status = json!({"metadata": {"uid": pod.metadata.uid}, "status": {
            "phase": next, "podIP": address, "podIPs": [{"ip": address}], "startTime": now,
            "conditions": conditions}});
        // It may have been deleted meanwhile; then nothing is to be said about it.
        let _ = api.patch_status(&name, &PatchParams::default(), &Patch::Merge(&status)).await;
    }
}
