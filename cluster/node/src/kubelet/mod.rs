//! The node's life in the Kubernetes API.
//!
//! [`Node`] registers itself, watches the pods bound to it, and gives each a worker ([`worker`]). What a pod needs next
//! is decided by a state machine without effects ([`state`]), what the API shows of it is made in [`status`].

mod collect;
mod container;
mod disk;
mod environment;
mod events;
mod exec;
mod grpc;
mod host_path;
mod host_ports;
mod ownership;
mod prepare;
mod pressure;
mod probe;
mod pull;
mod register;
mod report;
mod resources;
mod run;
mod shared;
pub(crate) mod state;
#[cfg(test)]
mod state_tests;
pub(crate) mod status;
mod volumes;
mod worker;

use crate::cgroup::Cgroups;
use crate::error::{Error, Result};
use crate::image::{Credentials, ImageStore, LayoutFolder, Limits, RegistryOptions, StoreOptions};
use crate::logs::{self, LogOptions, Rotation};
use crate::network::{ServiceTable, datagrams, dns, proxy};
use crate::sandbox::{NamespaceOptions, NodeNamespace, Process, Sandbox};
use bytes::Bytes;
use collect::{collect, sweep};
use events::Events;
pub use exec::{Exec, ExecOptions, Resizer};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Api;
use kube::runtime::{WatchStreamExt, watcher};
use pressure::Pressure;
use shared::{PodKey, Shared};
use std::collections::{HashMap, HashSet};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use volumes::VolumeSources;
use worker::{Input, Worker};

/// Programs are given so long to end when the node does.
const FAREWELL: Duration = Duration::from_secs(3);
/// A lost namespace is replaced after so long.
const REPLACE: Duration = Duration::from_millis(200);

/// How a node is set up.
#[derive(Clone)]
pub struct NodeOptions {
    /// Client of the Kubernetes API; the node acts as its account.
    pub client: kube::Client,
    /// The node's own folder: images, pods' volumes, logs, claims. On a local file system.
    pub data_dir: PathBuf,
    /// Name of the Node object.
    pub name: String,
    /// Image layout folders, asked before any registry.
    pub layouts: Vec<LayoutFolder>,
    /// Registries that need more than their name.
    pub registries: Vec<RegistryOptions>,
    /// Logins besides those of pull secrets.
    pub credentials: Credentials,
    /// What images may hold.
    pub image_limits: Limits,
    /// Addresses, and the program that is started as helper.
    pub namespace: NamespaceOptions,
    /// Where the service `default/kubernetes` leads: the API as it listens on this host.
    pub api_server: Option<SocketAddr>,
    /// Folders of the host that pods may mount.
    pub host_paths: Vec<PathBuf>,
    /// Wait before the second start of a container that keeps ending; doubles.
    pub first_backoff: Duration,
    /// At most.
    pub longest_backoff: Duration,
    /// How much of a container's log is kept.
    pub log_rotation: Rotation,
    /// Processes and threads that one container may have.
    pub max_processes: u64,
    /// So many bytes of the data folder's disk stay free: below that, the pod that uses most of it is ended.
    pub disk_reserve: u64,
    /// How often it is measured what pods use and what the machine has left.
    pub disk_interval: Duration,
    /// How often it is looked for images and claims' folders that nothing needs any more; they go at the second look.
    pub collect_interval: Duration,
    /// So many bytes of the machine's memory stay available: below that, the pod that uses most beyond its request is
    /// ended.
    pub memory_reserve: u64,
}

impl NodeOptions {
    /// A node with the defaults of Kubernetes.
    pub fn new(client: kube::Client, data_dir: impl Into<PathBuf>, name: impl Into<String>) -> Self {
        let backoff = state::BackOff::default();
        Self {
            client,
            data_dir: data_dir.into(),
            name: name.into(),
            layouts: Vec::new(),
            registries: Vec::new(),
            credentials: Credentials::default(),
            image_limits: Limits::default(),
            namespace: NamespaceOptions::default(),
            api_server: None,
            host_paths: Vec::new(),
            first_backoff: backoff.first,
            longest_backoff: backoff.longest,
            log_rotation: Rotation::default(),
            max_processes: 4096,
            disk_reserve: 512 << 20,
            disk_interval: Duration::from_secs(10),
            collect_interval: Duration::from_secs(3600),
            memory_reserve: 100 << 20,
        }
    }

    pub(crate) fn backoff(&self) -> state::BackOff {
        state::BackOff { first: self.first_backoff, longest: self.longest_backoff }
    }
}

/// What the node's account must be allowed to do: the rules of a ClusterRole.
pub fn cluster_role_rules() -> Vec<serde_json::Value> {
    let rule = |group: &str, resources: &[&str], verbs: &[&str]| serde_json::json!({"apiGroups": [group], "resources": resources, "verbs": verbs});
    vec![
        rule("", &["nodes"], &["create", "get", "patch"]),
        rule("", &["nodes/status", "pods/status", "persistentvolumeclaims/status"], &["patch"]),
        rule("", &["pods"], &["get", "list", "watch", "delete"]),
        rule("", &["services"], &["list", "watch"]),
        rule("", &["configmaps", "secrets", "serviceaccounts", "persistentvolumes"], &["get"]),
        rule("", &["persistentvolumeclaims"], &["get", "list"]),
        rule("", &["serviceaccounts/token"], &["create"]),
        rule("", &["events"], &["create", "patch"]),
        rule("discovery.k8s.io", &["endpointslices"], &["list", "watch"]),
        rule("coordination.k8s.io", &["leases"], &["create", "get", "patch"]),
    ]
}

/// A running node. Dropping it ends all pods at once; [`Node::shutdown`] asks them first.
pub struct Node {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
    namespace: watch::Sender<Option<Arc<NodeNamespace>>>,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("name", &self.shared.options.name).finish_non_exhaustive()
    }
}

impl Node {
    /// Starts the node: its namespace, its Node object, and all pods that are bound to it.
    ///
    /// Fails when the host forbids namespaces ([`Error::Forbidden`] says what to change) or the API refuses the Node.
    pub async fn start(options: NodeOptions) -> Result<Self> {
        for name in ["pods", "logs", "claims"] {
            let folder = options.data_dir.join(name);
            std::fs::create_dir_all(&folder).map_err(Error::io("make", &folder))?;
        }
        let images = ImageStore::open(StoreOptions {
            layouts: options.layouts.clone(),
            registries: options.registries.clone(),
            limits: options.image_limits,
            ..StoreOptions::new(options.data_dir.join("images"))
        })?;
        let first = Arc::new(NodeNamespace::start(options.namespace.clone()).await?);
        let address = first.gateway();
        let client = options.client.clone();
        register::register(&client, &options.name, address, &options.data_dir, Pressure::default()).await?;
        let events = Events::start(client.clone(), options.name.clone());
        events.node(&options.name, false, "Starting", "Starting kubelet.".to_owned());
        let cgroups = Cgroups::detect(&options.name, options.max_processes);
        cgroups.clear();
        if let Some(problem) = cgroups.problem() {
            let message = format!("memory, CPU and process limits are not enforced: {problem}");
            tracing::warn!("{message}");
            events.node(&options.name, true, "LimitsNotEnforced", message);
        }
        let volumes = VolumeSources {
            client: client.clone(),
            claims: options.data_dir.join("claims"),
            host_paths: options.host_paths.clone(),
            tokens: Default::default(),
        };
        let (namespace, namespace_receiver) = watch::channel(Some(first));
        let (table, services) = watch::channel(Arc::new(ServiceTable::default()));
        let shared = Arc::new(Shared::new(
            client.clone(),
            options,
            images,
            events,
            volumes,
            cgroups,
            namespace_receiver,
            services,
            address,
        ));
        let mut tasks = JoinSet::new();
        tasks.spawn(register::heartbeat(shared.clone()));
        tasks.spawn(watch_services(client, table));
        tasks.spawn(keep_namespace(shared.clone(), namespace.clone()));
        tasks.spawn(watch_pods(shared.clone()));
        tasks.spawn(collect(shared.clone()));
        tasks.spawn(pressure::watch(shared.clone()));
        Ok(Self { shared, tasks, namespace })
    }

    /// Connects to a port of a pod.
    pub async fn dial(&self, pod: Ipv4Addr, port: u16) -> Result<TcpStream> {
        self.shared.namespace().await?.dial(SocketAddrV4::new(pod, port)).await
    }

    /// The namespaces of a running pod: its ports are reached by [`Sandbox::dial`]. Keeping the handle keeps the pod's
    /// address, so let it go when it has ended.
    ///
    /// Fails with [`Error::NotFound`] for a pod that does not run here.
    pub fn sandbox(&self, namespace: &str, pod: &str) -> Result<Sandbox> {
        self.shared.sandbox(namespace, pod)
    }

    /// A dialer to hand to others, such as the gateway. It keeps working when the namespace is replaced.
    pub fn dialer(&self) -> Dialer {
        Dialer(self.shared.clone())
    }

    /// A container's log, as stored: whole lines, or parts of very long ones.
    ///
    /// Fails with [`Error::NotFound`] for a pod that is not here, or a run that has not been.
    pub fn logs(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        options: LogOptions,
    ) -> Result<BoxStream<'static, std::io::Result<Bytes>>> {
        let key = self.shared.key(namespace, pod)?;
        let folder = self.shared.log_folder(&key).join(container);
        let live = self.shared.with_live(&key, container, |live| (live.run, live.written.clone()));
        let newest = runs(&folder).into_iter().max();
        let missing = |what: &str| Error::NotFound {
            what: format!("{what} of container \"{container}\" in pod \"{pod}\""),
        };
        let run = match (options.previous, newest) {
            (false, Some(run)) => run,
            (true, Some(run)) if runs(&folder).contains(&(run - 1)) => run - 1,
            (true, _) => return Err(missing("previous terminated run")),
            (false, None) => return Err(missing("log (it is waiting to start)")),
        };
        let written = live.filter(|(live, _)| *live == run).map(|(_, written)| written);
        Ok(logs::read(&folder, run, options, written))
    }

    /// Ends all pods, politely for a short time. They stay in the API and are started again with the next node.
    pub async fn shutdown(mut self) {
        self.tasks.shutdown().await;
        let processes = self.shared.processes();
        let mut workers = std::mem::take(&mut *self.shared.tasks.lock());
        // The workers first: they would start again what ends now.
        workers.shutdown().await;
        for process in &processes {
            process.signal(libc::SIGTERM);
        }
        let all = futures::future::join_all(processes.iter().map(Process::wait));
        let _ = tokio::time::timeout(FAREWELL, all).await;
        let options = &self.shared.options;
        register::sign_off(&self.shared.client, &options.name, self.shared.address, &options.data_dir).await;
        if let Some(namespace) = self.namespace.send_replace(None) {
            namespace.close().await;
        }
        for _ in 0..50 {
            if self.shared.cgroups.remove() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Workers share what keeps them running; only ending them lets it go.
        drop(std::mem::take(&mut *self.shared.tasks.lock()));
        if let Some(namespace) = self.namespace.send_replace(None) {
            namespace.start_closing();
        }
    }
}

/// Connects to pods. See [`Node::dialer`].
#[derive(Clone)]
pub struct Dialer(Arc<Shared>);

impl Dialer {
    /// Connects to a port of a pod.
    pub async fn dial(&self, pod: Ipv4Addr, port: u16) -> Result<TcpStream> {
        self.0.namespace().await?.dial(SocketAddrV4::new(pod, port)).await
    }
}

impl std::fmt::Debug for Dialer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Dialer")
    }
}

/// The runs of which a folder holds logs.
fn runs(folder: &std::path::Path) -> HashSet<i32> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|e| e.file_name().to_str()?.split('.').next()?.parse().ok()).collect()
}

/// Names and service addresses, as long as there is a namespace; a new one when it is lost.
async fn keep_namespace(shared: Arc<Shared>, current: watch::Sender<Option<Arc<NodeNamespace>>>) {
    loop {
        let now = current.borrow().clone();
        if let Some(namespace) = now {
            let gateway = SocketAddrV4::new(namespace.gateway(), 53);
            let names = async {
                let bound = tokio::try_join!(namespace.datagrams(gateway), namespace.listen(gateway));
                match bound {
                    Ok((datagrams, listener)) => {
                        dns::serve(datagrams, listener, shared.services.clone()).await
                    }
                    Err(e) => {
                        tracing::error!(error = %e, "pods have no name server");
                        std::future::pending().await
                    }
                }
            };
            let addresses =
                proxy::serve(namespace.clone(), shared.services.clone(), shared.options.api_server);
            let packets = datagrams::serve(namespace.clone(), shared.services.clone());
            tokio::select! {
                () = packets => {}
                () = namespace.lost() => {}
                () = names => {}
                () = addresses => {}
            }
            tracing::error!("the node's helper has ended; all pods are started again");
            let options = &shared.options;
            let message = "The node's helper process has ended; all pods are started again".to_owned();
            shared.events.node(&options.name, true, "NamespaceLost", message);
            current.send_replace(None);
        }
        tokio::time::sleep(REPLACE).await;
        match NodeNamespace::start(shared.options.namespace.clone()).await {
            Ok(namespace) => {
                current.send_replace(Some(Arc::new(namespace)));
            }
            Err(e) => {
                tracing::error!(error = %e, "the node's namespace cannot be made");
                tokio::time::sleep(Duration::from_secs(5)).await;
            }
        }
    }
}

/// Keeps the table of services up to date.
async fn watch_services(client: kube::Client, table: watch::Sender<Arc<ServiceTable>>) {
    let (services, service_writer) = kube::runtime::reflector::store::<Service>();
    let (slices, slice_writer) = kube::runtime::reflector::store::<EndpointSlice>();
    let changes = {
        let services = watcher(Api::<Service>::all(client.clone()), watcher::Config::default());
        let slices = watcher(Api::<EndpointSlice>::all(client), watcher::Config::default());
        let services =
            kube::runtime::reflector(service_writer, services.default_backoff()).map(|e| e.map(drop).is_ok());
        let slices =
            kube::runtime::reflector(slice_writer, slices.default_backoff()).map(|e| e.map(drop).is_ok());
        futures::stream::select(services, slices)
    };
    let mut changes = Box::pin(changes.ready_chunks(256));
    while changes.next().await.is_some() {
        let (services, slices) = (services.state(), slices.state());
        let fresh = ServiceTable::new(services.iter().map(AsRef::as_ref), slices.iter().map(AsRef::as_ref));
        table.send_if_modified(|old| {
            let changed = **old != fresh;
            if changed {
                *old = Arc::new(fresh);
            }
            changed
        });
    }
}

/// Gives each pod of this node a worker.
async fn watch_pods(shared: Arc<Shared>) {
    let mine = watcher::Config::default().fields(&format!("spec.nodeName={}", shared.options.name));
    let mut changes = Box::pin(watcher(Api::<Pod>::all(shared.client.clone()), mine).default_backoff());
    let mut workers: HashMap<PodKey, mpsc::UnboundedSender<Input>> = HashMap::new();
    let mut listed: HashSet<PodKey> = HashSet::new();
    let mut swept = false;
    loop {
        let event = match changes.try_next().await {
            Ok(Some(event)) => event,
            Ok(None) => return,
            Err(e) => {
                tracing::warn!(error = %e, "watching pods failed; trying again");
                continue;
            }
        };
        workers.retain(|_, worker| !worker.is_closed());
        match event {
            watcher::Event::Init => listed.clear(),
            watcher::Event::InitApply(pod) => {
                listed.extend(key_of(&pod));
                apply(&shared, &mut workers, pod);
            }
            watcher::Event::InitDone => {
                for (_, worker) in workers.iter().filter(|(key, _)| !listed.contains(key)) {
                    let _ = worker.send(Input::Gone);
                }
                if !std::mem::replace(&mut swept, true) {
                    sweep(&shared, &listed);
                }
            }
            watcher::Event::Apply(pod) => apply(&shared, &mut workers, pod),
            watcher::Event::Delete(pod) => {
                if let Some(worker) = key_of(&pod).and_then(|key| workers.get(&key)) {
                    let _ = worker.send(Input::Gone);
                }
            }
        }
    }
}

fn key_of(pod: &Pod) -> Option<PodKey> {
    let metadata = &pod.metadata;
    let uid = metadata.uid.clone().filter(|uid| !uid.is_empty() && !uid.contains(['/', '.']))?;
    Some(PodKey { namespace: metadata.namespace.clone()?, name: metadata.name.clone()?, uid })
}

fn apply(shared: &Arc<Shared>, workers: &mut HashMap<PodKey, mpsc::UnboundedSender<Input>>, pod: Pod) {
    let Some(key) = key_of(&pod) else { return };
    let pod = Arc::new(pod);
    if let Some(worker) = workers.get(&key) {
        shared.employ(&key, pod.clone(), worker.clone());
        let _ = worker.send(Input::Pod(pod));
        return;
    }
    let phase = pod.status.as_ref().and_then(|s| s.phase.as_deref());
    if matches!(phase, Some("Succeeded" | "Failed")) && pod.metadata.deletion_timestamp.is_none() {
        shared.adopt(&key); // Its logs can still be read.
        return;
    }
    shared.adopt(&key);
    let (sender, queue) = mpsc::unbounded_channel();
    // Known before it begins: what it uses is not removed.
    shared.employ(&key, pod.clone(), sender.clone());
    Worker::spawn(shared.clone(), pod, key.clone(), (sender.clone(), queue));
    workers.insert(key, sender);
}
