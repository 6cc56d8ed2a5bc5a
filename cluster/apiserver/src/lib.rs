//! The Kubernetes API in one process, over SQLite.
//!
//! Real `kubectl`, programs built on client libraries and manifests work with it unchanged. It stores and
//! serves objects: discovery, OpenAPI, the verbs with their four patches, watch, server-side apply, custom
//! resources, authentication, RBAC, garbage collection and the life of namespaces. Every acknowledged write
//! is on disk; reads come from memory.
//!
//! What it never does: run pods or reconcile workloads (`cluster/workloads`, `cluster/node`), know about
//! Seaway's own kinds, or talk to another machine. It is one replica; past one machine there is real Kubernetes.
//!
//! Start reading in [`ApiServer`], then `api.rs` (the way of a request), `resources/` (the verbs) and
//! `store/` (durability and watches).

mod admission;
mod api;
mod authentication;
mod catalog;
mod controllers;
mod conversion;
mod data_dir;
mod definitions;
mod duplicates;
mod identity;
mod metrics;
mod negotiation;
mod node_streams;
mod pages;
mod pki;
mod port_forward;
mod rbac;
mod request;
mod resources;
mod reviews;
mod server;
mod signer;
mod spdy;
mod status;
mod store;
mod stored_form;
mod streams;
mod tokens;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

pub use data_dir::lock_data_dir;
pub use identity::Identity;
pub use node_streams::{
    ContainerRef, ExecOptions, ExecSession, LogOptions, LogStream, NodeError, NodeStreams, PodPorts,
};
pub use pki::{PkiError, Secret};
pub use store::{DatabaseError, mark_restored};

/// How to start a server.
#[derive(Clone, Debug)]
pub struct Options {
    /// Folder of the database and the keys; made when it is missing, readable by its owner alone.
    pub data_dir: PathBuf,
    /// Address of the TLS socket; `None` serves clients of this process alone. Port 0 takes a free one.
    pub listen: Option<SocketAddr>,
    /// Events that are kept in memory for each resource, for watches that resume.
    pub events_kept: usize,
}

impl Options {
    /// Options with a data folder and nothing else.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self { data_dir: data_dir.into(), listen: None, events_kept: 4096 }
    }
}

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder cannot be used.
    #[error("the data folder {path} cannot be used: {source}")]
    DataDir {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// Another server has the folder.
    #[error(
        "the data folder {path} is used by another seaway: stop that one, or choose another folder with --data-dir"
    )]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}; choose another with --kube-listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The database cannot be used.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The keys cannot be used.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// The first objects could not be written.
    #[error("the cluster's first objects could not be written: {0}")]
    Bootstrap(String),
}

/// A running API.
pub struct ApiServer {
    api: Arc<api::Api>,
    address: Option<SocketAddr>,
    admin_token: Secret,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    writer: tokio::task::JoinHandle<()>,
    /// Held while the server lives: one server for a folder.
    _lock: std::fs::File,
}

impl ApiServer {
    /// Opens the data folder and serves.
    ///
    /// # Errors
    /// When the folder is used by another server, written by a newer release or damaged as a whole, or when the
    /// address is taken. Nothing is changed in the folder then. Single objects that cannot be read are logged and kept;
    /// they are in no list or watch, and can be deleted.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let lock = lock_data_dir(&options.data_dir).await?;
        let listener = match options.listen {
            Some(address) => {
                Some(server::bind(address).await.map_err(|source| Error::Listen { address, source })?)
            }
            None => None,
        };
        let address = listener.as_ref().and_then(|l| l.local_addr().ok());
        let own_address: Vec<_> =
            options.listen.iter().map(SocketAddr::ip).filter(|ip| !ip.is_unspecified()).collect();
        let pki = pki::Pki::open(&options.data_dir.join("pki"), &own_address)?;
        let builtin = catalog::builtin_resources();
        let (store, writer) = {
            let forms = stored_form::StoredForms::new(&builtin);
            let examine = |resource: &str, value: &mut serde_json::Value| forms.examine(resource, value);
            store::Store::open(&options.data_dir, options.events_kept, &examine).await?
        };
        let tokens = tokens::Tokens::new(&pki.token_key_pem).map_err(|reason| PkiError::Content {
            path: options.data_dir.join("pki/service-account.key"),
            reason,
        })?;
        let api = Arc::new(api::Api {
            catalog: catalog::Catalog::new(store.clone(), builtin),
            authenticator: authentication::Authenticator::new(&pki.admin_token, tokens, store.clone()),
            authorizer: rbac::Authorizer::new(store.clone()),
            ca_pem: pki.ca_pem.clone(),
            signer: pki.signer,
            node: std::sync::OnceLock::new(),
            stopping: CancellationToken::new(),
            metrics: metrics::Metrics::default(),
            more_metrics: std::sync::OnceLock::new(),
            object_turns: std::array::from_fn(|_| tokio::sync::Mutex::default()),
            service_turn: tokio::sync::Mutex::default(),
            quota_turns: [const { tokio::sync::Mutex::const_new(()) }; 64],
            store,
        });
        let changes = api.store.observe();
        let port = address.map_or(443, |a| a.port());
        controllers::bootstrap::run(&api.store, port).await.map_err(|e| Error::Bootstrap(e.to_string()))?;
        let mut tasks = vec![tokio::spawn(controllers::run(api.clone(), changes))];
        if let Some(listener) = listener {
            tasks.push(tokio::spawn(server::listen(
                api.clone(),
                listener,
                pki.tls.clone(),
                pki.clients.clone(),
            )));
        }
        Ok(Self { api, address, admin_token: pki.admin_token, tasks, writer, _lock: lock })
    }

    /// Where the TLS socket listens.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// The authority that signed the server's certificate, as PEM.
    pub fn ca_pem(&self) -> &str {
        &self.api.ca_pem
    }

    /// The bearer token of the data folder's administrator.
    pub fn admin_token(&self) -> &Secret {
        &self.admin_token
    }

    /// A client in this process that acts as an account: it goes through authentication, RBAC and
    /// everything else as on a socket.
    pub fn client(&self, identity: Identity) -> kube::Client {
        client(&self.api, identity)
    }

    /// Makes clients as [`ApiServer::client`] does, for a part of this process that acts for people. Drop it before
    /// [`ApiServer::stop`]: it keeps the store open.
    pub fn clients(&self) -> impl Fn(Identity) -> kube::Client + Clone + Send + Sync + 'static {
        let api = self.api.clone();
        move |identity| client(&api, identity)
    }

    /// Answers logs and commands in containers from now on by this node; the first one stays.
    pub fn serve_node(&self, node: Arc<dyn NodeStreams>) {
        let _ = self.api.node.set(node);
    }

    /// Tells at `/metrics` from now on what another part of this process counts, in Prometheus' text format; the first one
    /// stays.
    pub fn serve_metrics(&self, text: impl Fn() -> String + Send + Sync + 'static) {
        let _ = self.api.more_metrics.set(Box::new(text));
    }

    /// Ends open requests and watches, and returns when everything is on disk.
    pub async fn stop(self) {
        self.api.stopping.cancel();
        for task in self.tasks {
            let _ = task.await;
        }
        // The writer ends when the last handle to the store does.
        drop(self.api);
        let _ = tokio::time::timeout(std::time::Duration::from_secs(5), self.writer).await;
    }
}

fn client(api: &Arc<api::Api>, identity: Identity) -> kube::Client {
    let connector = server::LocalConnector { api: api.clone(), identity: Arc::new(identity) };
    let http = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new())
        .build::<_, kube::client::Body>(connector);
    let base = http::Uri::from_static("http://kubernetes.default.svc");
    let service =
        tower::ServiceBuilder::new().layer(kube::client::middleware::BaseUriLayer::new(base)).service(http);
    kube::Client::new(service, "default")
}
