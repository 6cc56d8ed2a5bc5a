//! What all workers of a node share.

use super::NodeOptions;
use super::events::Events;
use super::pressure::Pressure;
use super::run::beside;
use super::volumes::VolumeSources;
use super::worker::Input;
use crate::cgroup::{Cgroups, Group};
use crate::error::{Error, Result};
use crate::image::ImageStore;
use crate::network::ServiceTable;
use crate::sandbox::{NodeNamespace, Process, ProcessSpec, Sandbox};
use k8s_openapi::api::core::v1::Pod;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// The helper is started again so quickly that waiting is better than failing.
const NAMESPACE_PATIENCE: Duration = Duration::from_secs(15);

/// Which pod: the same name may be used again, the UID never.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PodKey {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: String,
}

impl fmt::Display for PodKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A container that runs now.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) process: Process,
    pub(crate) sandbox: Sandbox,
    pub(crate) spec: ProcessSpec,
    pub(crate) group: Option<Arc<Group>>,
    pub(crate) run: i32,
    /// To its standard input or terminal, when it has one.
    pub(crate) stdin: Option<OwnedFd>,
    /// `stdinOnce`: its standard input is for the first who attaches, and ends with that session.
    pub(crate) stdin_once: bool,
    /// Its streams are a terminal.
    pub(crate) terminal: bool,
    /// Counts writes to its log.
    pub(crate) written: watch::Receiver<u64>,
}

/// What all workers of a node share.
pub(crate) struct Shared {
    pub(crate) client: kube::Client,
    pub(crate) options: NodeOptions,
    pub(crate) images: ImageStore,
    pub(crate) events: Events,
    pub(crate) volumes: VolumeSources,
    pub(crate) cgroups: Cgroups,
    /// Absent for the moment in which a lost one is replaced.
    pub(crate) namespace: watch::Receiver<Option<Arc<NodeNamespace>>>,
    pub(crate) services: watch::Receiver<Arc<ServiceTable>>,
    /// The node's address, which is the bridge's.
    pub(crate) address: Ipv4Addr,
    /// What the machine is short of now.
    pub(crate) pressure: watch::Sender<Pressure>,
    pub(crate) tasks: Arc<Mutex<JoinSet<()>>>,
    /// Pods by namespace and name, and their running containers.
    pods: Mutex<HashMap<(String, String), PodEntry>>,
}

/// A pod with its worker.
pub(crate) type Employed = (PodKey, Arc<Pod>, mpsc::UnboundedSender<Input>);

#[derive(Debug)]
struct PodEntry {
    key: PodKey,
    /// Who looks after it, unless it was over when the node first saw it.
    worker: Option<(Arc<Pod>, mpsc::UnboundedSender<Input>)>,
    /// Its namespaces, while it has any.
    sandbox: Option<Sandbox>,
    live: HashMap<String, Live>,
}

impl Shared {
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn new(
        client: kube::Client,
        options: NodeOptions,
        images: ImageStore,
        events: Events,
        volumes: VolumeSources,
        cgroups: Cgroups,
        namespace: watch::Receiver<Option<Arc<NodeNamespace>>>,
        services: watch::Receiver<Arc<ServiceTable>>,
        address: Ipv4Addr,
    ) -> Self {
        let (tasks, pods, pressure) = (Arc::default(), Mutex::default(), watch::Sender::default());
        Self {
            client,
            options,
            images,
            events,
            volumes,
            cgroups,
            namespace,
            services,
            address,
            pressure,
            tasks,
            pods,
        }
    }

    pub(crate) fn pods_folder(&self) -> PathBuf {
        self.options.data_dir.join("pods")
    }

    pub(crate) fn log_folder(&self, key: &PodKey) -> PathBuf {
        self.options.data_dir.join("logs").join(format!("{}_{}_{}", key.namespace, key.name, key.uid))
    }

    /// The node's namespace, also when it is just being replaced.
    pub(crate) async fn namespace(&self) -> Result<Arc<NodeNamespace>> {
        let mut namespace = self.namespace.clone();
        let found = tokio::time::timeout(NAMESPACE_PATIENCE, namespace.wait_for(Option::is_some)).await;
        match found {
            Ok(Ok(namespace)) => namespace.clone().ok_or_else(unavailable),
            _ => Err(unavailable()),
        }
    }

    pub(crate) fn adopt(&self, key: &PodKey) {
        let entry = PodEntry { key: key.clone(), worker: None, sandbox: None, live: HashMap::new() };
        self.pods.lock().insert((key.namespace.clone(), key.name.clone()), entry);
    }

    pub(crate) fn employ(&self, key: &PodKey, pod: Arc<Pod>, worker: mpsc::UnboundedSender<Input>) {
        if let Some(entry) = self.pods.lock().get_mut(&(key.namespace.clone(), key.name.clone())) {
            entry.worker = Some((pod, worker));
        }
    }

    /// All pods that have a worker.
    pub(crate) fn workers(&self) -> Vec<Employed> {
        let pods = self.pods.lock();
        let employed = pods.values().filter_map(|pod| {
            let (object, worker) = pod.worker.clone()?;
            Some((pod.key.clone(), object, worker))
        });
        employed.filter(|(.., worker)| !worker.is_closed()).collect()
    }

    pub(crate) fn forget(&self, key: &PodKey) {
        let mut pods = self.pods.lock();
        let place = (key.namespace.clone(), key.name.clone());
        if pods.get(&place).is_some_and(|p| p.key.uid == key.uid) {
            pods.remove(&place);
        }
    }

    /// The pod's namespaces as of now.
    pub(crate) fn settle(&self, key: &PodKey, sandbox: Option<Sandbox>) {
        let mut pods = self.pods.lock();
        let pod = pods.get_mut(&(key.namespace.clone(), key.name.clone()));
        if let Some(pod) = pod.filter(|pod| pod.key.uid == key.uid) {
            pod.sandbox = sandbox;
        }
    }

    /// The namespaces of a pod that runs.
    pub(crate) fn sandbox(&self, namespace: &str, name: &str) -> Result<Sandbox> {
        let pods = self.pods.lock();
        let sandbox = pods.get(&(namespace.to_owned(), name.to_owned())).and_then(|pod| pod.sandbox.clone());
        sandbox.ok_or_else(|| Error::NotFound { what: format!("running pod \"{namespace}/{name}\"") })
    }

    pub(crate) fn began(&self, key: &PodKey, container: &str, live: Live) {
        if let Some(pod) = self.pods.lock().get_mut(&(key.namespace.clone(), key.name.clone())) {
            pod.live.insert(container.to_owned(), live);
        }
    }

    pub(crate) fn ended(&self, key: &PodKey, container: &str) {
        if let Some(pod) = self.pods.lock().get_mut(&(key.namespace.clone(), key.name.clone())) {
            pod.live.remove(container);
        }
    }

    /// The pod of a name.
    pub(crate) fn key(&self, namespace: &str, name: &str) -> Result<PodKey> {
        let pods = self.pods.lock();
        pods.get(&(namespace.to_owned(), name.to_owned()))
            .map(|p| p.key.clone())
            .ok_or_else(|| Error::NotFound { what: format!("pod \"{namespace}/{name}\"") })
    }

    /// Looks at a running container.
    pub(crate) fn with_live<T>(
        &self,
        key: &PodKey,
        container: &str,
        look: impl FnOnce(&mut Live) -> T,
    ) -> Option<T> {
        let mut pods = self.pods.lock();
        pods.get_mut(&(key.namespace.clone(), key.name.clone()))?.live.get_mut(container).map(look)
    }

    /// Bytes of memory that a pod's containers use. `None` where the host does not count them.
    pub(crate) fn memory_of(&self, key: &PodKey) -> Option<u64> {
        let pods = self.pods.lock();
        let pod = pods.get(&(key.namespace.clone(), key.name.clone()))?;
        let used = pod.live.values().filter_map(|live| live.group.as_ref()?.memory());
        used.reduce(u64::saturating_add)
    }

    /// What a command beside a container's program is run with: specification and groups to join.
    pub(crate) fn exec_spec(
        &self,
        key: &PodKey,
        container: &str,
        command: Vec<String>,
        terminal: bool,
    ) -> Result<(ProcessSpec, Vec<OwnedFd>)> {
        let found = self.with_live(key, container, |live| {
            let joins = live.group.as_ref().and_then(|g| g.join_files().ok()).unwrap_or_default();
            (beside(&live.spec, command, terminal), joins)
        });
        found.ok_or_else(|| Error::NotFound {
            what: format!("running container \"{container}\" of pod \"{key}\""),
        })
    }

    /// All running containers' processes.
    pub(crate) fn processes(&self) -> Vec<Process> {
        self.pods.lock().values().flat_map(|p| p.live.values().map(|l| l.process.clone())).collect()
    }
}

fn unavailable() -> Error {
    Error::NamespaceLost { problem: "it is being started again".to_owned() }
}
