//! All parts of one machine: started in the order in which they need each other, stopped in reverse.
//!
//! The parts meet in the Kubernetes API. Each acts as an account of its own with just the rights that it
//! needs; those are written as ClusterRoles, so that `kubectl` shows who may do what.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::discovery::ApiResource;
use miette::{IntoDiagnostic, WrapErr};
use seaway_apiserver::{ApiServer, Identity};
use seaway_gateway::metrics::{SeriesKey, SeriesSnapshot};
use seaway_gateway::{Gateway, GatewayOptions};
use seaway_git::OutgoingPolicy;
use seaway_node::image::{Credentials, LayoutFolder, RegistryOptions};
use seaway_node::{Node, NodeOptions};
use seaway_server::Counted;
use seaway_workloads::Workloads;
use serde_json::{Value, json};

use crate::commands::serve;
use crate::delivery::{Delivery, Settings};
use crate::kubeconfig;
use crate::lease::{self, Kept};
use crate::node_streams::Streams;
use crate::rights;

/// Field manager of what the program itself installs.
pub(crate) const MANAGER: &str = "seaway";
/// Group of the program's own parts.
const PARTS: &str = "system:seaway:parts";

/// What to start, and where it listens.
pub(crate) struct Options {
    pub(crate) data_dir: PathBuf,
    pub(crate) kube: SocketAddr,
    pub(crate) gateway: SocketAddr,
    /// Whether pods run here.
    pub(crate) node: bool,
    /// OCI image layout folders, asked before registries.
    pub(crate) layouts: Vec<PathBuf>,
    /// Registries that need more than their name.
    pub(crate) registries: Vec<RegistryOptions>,
    /// Logins for all pulls.
    pub(crate) credentials: Credentials,
    /// Folders of the host that pods may mount.
    pub(crate) host_paths: Vec<PathBuf>,
    /// Where Seaway's own API is served.
    pub(crate) listen: SocketAddr,
    /// How often Git repositories are asked for news.
    pub(crate) poll_interval: Duration,
    /// After how many days history is forgotten, if ever.
    pub(crate) keep_history: Option<u32>,
    /// Who vouches for people, besides their passwords here.
    pub(crate) oidc: Option<seaway_server::Oidc>,
}

/// Everything that runs.
pub(crate) struct Machine {
    pub(crate) server: ApiServer,
    pub(crate) gateway: Gateway,
    workloads: Workloads,
    pub(crate) delivery: Delivery,
    lease: Kept,
    /// Why no pods run, when they should.
    pub(crate) without_node: Option<String>,
    node: Option<Arc<Node>>,
}

struct Parts {
    gateway: Gateway,
    workloads: Workloads,
    delivery: Delivery,
    lease: Kept,
    node: Option<Arc<Node>>,
    without_node: Option<String>,
}

impl Machine {
    /// Starts everything on a data folder.
    pub(crate) async fn start(options: &Options) -> miette::Result<Self> {
        let mut server_options = seaway_apiserver::Options::new(&options.data_dir);
        server_options.listen = Some(options.kube);
        let server = ApiServer::start(server_options).await.into_diagnostic()?;
        match Self::parts(&server, options).await {
            Ok(Parts { gateway, workloads, delivery, lease, node, without_node }) => {
                Ok(Self { server, gateway, workloads, delivery, lease, without_node, node })
            }
            Err(error) => {
                server.stop().await;
                Err(error)
            }
        }
    }

    async fn parts(server: &ApiServer, options: &Options) -> miette::Result<Parts> {
        install(&server.client(Identity::admin()))
            .await
            .into_diagnostic()
            .wrap_err("Seaway's own kinds and roles could not be installed")?;
        let account = |name: &str| server.client(Identity::user(format!("system:seaway:{name}"), [PARTS]));
        let (node, without_node) = match options.node {
            false => (None, None),
            true => match start_node(account("node"), server.address(), options).await {
                Ok(node) => (Some(Arc::new(node)), None),
                // The API is of use without pods; the reason is printed.
                Err(error) => (None, Some(error.to_string())),
            },
        };
        if let Some(node) = &node {
            server.serve_node(Arc::new(Streams(Arc::downgrade(node))));
        }
        let workloads = Workloads::start(account("workloads"), seaway_workloads::Options::default()).await;
        let gateway = GatewayOptions::new(account("gateway"), options.gateway, dial(node.as_deref()));
        let gateway = Gateway::start(gateway).await.into_diagnostic()?;
        let metrics = gateway.metrics();
        let text = metrics.clone();
        server.serve_metrics(move || text.text());
        let clients = server.clients();
        let people: seaway_server::ClientFor =
            Arc::new(move |person| Ok(clients(Identity::user(person.name.clone(), person.groups.clone()))));
        let settings = Settings {
            ledger: options.data_dir.join("ledger.db"),
            data_dir: options.data_dir.clone(),
            listen: options.listen,
            external: None,
            tls: None,
            poll_interval: options.poll_interval,
            keep_history: options.keep_history,
            // One machine, whose owner says what it fetches: its own network and disk are his.
            policy: OutgoingPolicy { private: true, loopback: true, plain_http: true, files: true },
            // Every name below it leads to this machine (RFC 6761).
            domain: "localhost".to_owned(),
            gateway_port: Some(gateway.local_addr().port()),
            oidc: options.oidc.clone(),
            counted: Some(Box::new(move || metrics.snapshot().iter().map(counted).collect())),
            kubernetes: server.address().map(|address| seaway_server::Kubernetes {
                url: format!("https://{}", kubeconfig::reachable(address)),
                authority: Some(server.ca_pem().to_owned()),
            }),
        };
        // A `seaway serve` beside it stands by.
        let lease = Kept::take(account("lease"), serve::NAMESPACE, &lease::place(&options.data_dir)).await;
        let delivery =
            Delivery::start(settings, account("sync"), account("copier"), account("server"), people).await?;
        Ok(Parts { gateway, workloads, delivery, lease, node, without_node })
    }

    /// Whether pods run here.
    pub(crate) fn has_node(&self) -> bool {
        self.node.is_some()
    }

    /// Stops everything; returns when all is on disk.
    pub(crate) async fn stop(self) {
        self.delivery.stop().await;
        self.lease.give_back().await;
        self.gateway.shutdown().await;
        self.workloads.shutdown().await;
        if let Some(node) = self.node.and_then(Arc::into_inner) {
            node.shutdown().await;
        }
        self.server.stop().await;
    }
}

/// A counter of the gateway, as the server keeps it.
fn counted(series: &SeriesSnapshot) -> Counted {
    let SeriesKey { route_namespace, route, rule, backend_namespace, backend, pod_template_hash } =
        &series.key;
    Counted {
        series: [route_namespace, route, rule, backend_namespace, backend, pod_template_hash]
            .map(String::as_str)
            .join("/"),
        namespace: route_namespace.clone(),
        route: route.clone(),
        requests: series.total(),
        // 5xx is the last of its classes.
        errors: series.requests.last().copied().unwrap_or_default(),
        buckets: series.buckets,
    }
}

async fn start_node(
    client: kube::Client,
    api_server: Option<SocketAddr>,
    options: &Options,
) -> seaway_node::Result<Node> {
    let name = nix::unistd::gethostname().ok().and_then(|n| n.into_string().ok()).map(|n| n.to_lowercase());
    let mut node =
        NodeOptions::new(client, options.data_dir.join("node"), name.unwrap_or_else(|| "node".into()));
    node.layouts = options.layouts.iter().map(LayoutFolder::new).collect();
    node.registries.clone_from(&options.registries);
    node.credentials = options.credentials.clone();
    node.host_paths.clone_from(&options.host_paths);
    node.api_server = api_server;
    Node::start(node).await
}

/// Pods live in a network of their own: sockets to them are opened there.
fn dial(node: Option<&Node>) -> seaway_gateway::proxy::Dial {
    let dialer = node.map(Node::dialer);
    Arc::new(move |address| {
        let dialer = dialer.clone();
        Box::pin(async move {
            match (dialer, address) {
                (Some(dialer), SocketAddr::V4(v4)) => {
                    dialer.dial(*v4.ip(), v4.port()).await.map_err(std::io::Error::other)
                }
                _ => Err(std::io::Error::other("no node runs here")),
            }
        })
    })
}

/// The kinds, and the rights of the parts and of the first account.
fn installed() -> Vec<Value> {
    let mut objects = seaway_gateway::crds();
    objects.extend(bound("gateway", &seaway_gateway::cluster_role_rules()));
    objects.extend(bound("node", &seaway_node::cluster_role_rules()));
    objects.extend(bound("workloads", &rights::workloads()));
    objects.extend(seaway_api::crds());
    objects.extend(bound("sync", &rights::sync()));
    objects.extend(bound("copier", &seaway_sync::copier_rules()));
    objects.extend(bound("server", &rights::server()));
    objects.extend(bound("lease", &rights::own_lease()));
    objects.extend(seaway_sync::copy_roles());
    objects.extend(seaway_server::cluster_roles());
    objects.extend(seaway_server::group_bindings());
    objects.push(administrators());
    // Where Stacks and shared Environments live.
    let labels = json!({"app.kubernetes.io/part-of": "seaway"});
    objects.push(
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "seaway", "labels": labels}}),
    );
    objects.push(
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": serve::NAMESPACE, "labels": labels}}),
    );
    objects
}

/// Installs all of that. Applied at each start: unchanged objects are not written.
async fn install(client: &kube::Client) -> kube::Result<()> {
    for object in installed() {
        let gvk =
            GroupVersionKind::try_from(&types(&object)).map_err(|e| kube::Error::Service(Box::new(e)))?;
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &ApiResource::from_gvk(&gvk));
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let apply = || async {
            api.patch(&name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(&object)).await.map(drop)
        };
        match apply().await {
            // What the store holds of it cannot be read (the API's log says why). It is ours, and made anew.
            Err(kube::Error::Api(status)) if status.reason == UNREADABLE => {
                api.delete(&name, &DeleteParams::default()).await?;
                apply().await?;
            }
            applied => applied?,
        }
    }
    Ok(())
}

/// Reason of an error about a stored object that cannot be read (KEP-3926).
const UNREADABLE: &str = "StorageReadError";

fn types(object: &Value) -> kube::core::TypeMeta {
    let text = |field: &str| object[field].as_str().unwrap_or_default().to_owned();
    kube::core::TypeMeta { api_version: text("apiVersion"), kind: text("kind") }
}

/// Whoever made the first account, with the link that this program printed, owns the machine's cluster: it is bound to
/// what the kubeconfig in the data folder may do.
fn administrators() -> Value {
    const GROUP: &str = "rbac.authorization.k8s.io";
    json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
           "metadata": {"name": seaway_server::ADMINS},
           "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": "cluster-admin"},
           "subjects": [{"apiGroup": GROUP, "kind": "Group", "name": seaway_server::ADMINS}]})
}

/// A part's ClusterRole, bound to its account.
pub(crate) fn bound(part: &str, rules: &[Value]) -> [Value; 2] {
    const GROUP: &str = "rbac.authorization.k8s.io";
    let name = format!("system:seaway:{part}");
    [
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
               "metadata": {"name": name}, "rules": rules}),
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
               "metadata": {"name": name},
               "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": name},
               "subjects": [{"apiGroup": GROUP, "kind": "User", "name": name}]}),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_keeps_latencies_as_the_gateway_counts_them() {
        assert_eq!(seaway_server::LATENCY_BOUNDS, seaway_gateway::metrics::BUCKETS);
        assert_eq!(seaway_gateway::metrics::CLASSES.last(), Some(&"5xx"));
    }

    /// An account's name is a user's in Kubernetes: one that has rights there must not be free to be taken.
    #[test]
    fn nobody_can_take_a_name_that_has_rights() {
        let installed = installed();
        let bindings = installed.iter().filter(|object| object["subjects"].is_array());
        let subjects =
            bindings.flat_map(|binding| binding["subjects"].as_array().cloned().unwrap_or_default());
        let named: Vec<Value> = subjects.collect();
        for role in seaway_server::Role::ALL {
            assert!(named.iter().any(|subject| subject["name"] == role.group()), "{role}");
        }
        let own = Identity::admin();
        let users = named.iter().filter(|subject| subject["kind"] == "User").map(|user| &user["name"]);
        for user in users.filter_map(Value::as_str).chain([own.name.as_str(), MANAGER]) {
            assert!(user.parse::<seaway_server::AccountName>().is_err(), "{user}");
        }
    }
}
