//! All parts of one machine: started in the order in which they need each other, stopped in reverse.
//!
//! The parts meet in the Kubernetes API. Each acts as an account of its own with just the rights that it
//! needs; those are written as ClusterRoles, so that `kubectl` shows who may do what.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::discovery::ApiResource;
use miette::{IntoDiagnostic, WrapErr};
use seaway_apiserver::{ApiServer, Identity};
use seaway_gateway::{Gateway, GatewayOptions};
use serde_json::{Value, json};

/// Field manager of what the program itself installs.
const MANAGER: &str = "seaway";
/// Group of the program's own parts.
const PARTS: &str = "system:seaway:parts";

/// Where the parts listen.
pub(crate) struct Addresses {
    pub(crate) kube: SocketAddr,
    pub(crate) gateway: SocketAddr,
}

/// Everything that runs.
pub(crate) struct Machine {
    pub(crate) server: ApiServer,
    pub(crate) gateway: Gateway,
}

impl Machine {
    /// Starts everything on a data folder.
    pub(crate) async fn start(data_dir: &Path, listen: &Addresses) -> miette::Result<Self> {
        let mut options = seaway_apiserver::Options::new(data_dir);
        options.listen = Some(listen.kube);
        let server = ApiServer::start(options).await.into_diagnostic()?;
        match Self::parts(&server, listen).await {
            Ok(gateway) => Ok(Self { server, gateway }),
            Err(error) => {
                server.stop().await;
                Err(error)
            }
        }
    }

    async fn parts(server: &ApiServer, listen: &Addresses) -> miette::Result<Gateway> {
        install(&server.client(Identity::admin()))
            .await
            .into_diagnostic()
            .wrap_err("Seaway's own kinds and roles could not be installed")?;
        let account = |name: &str| server.client(Identity::user(format!("system:seaway:{name}"), [PARTS]));
        let dial: seaway_gateway::proxy::Dial =
            Arc::new(|address| Box::pin(tokio::net::TcpStream::connect(address)));
        Gateway::start(GatewayOptions::new(account("gateway"), listen.gateway, dial))
            .await
            .into_diagnostic()
            .wrap_err("the gateway did not start; choose another address with --gateway-listen")
    }

    /// Stops everything; returns when all is on disk.
    pub(crate) async fn stop(self) {
        self.gateway.shutdown().await;
        self.server.stop().await;
    }
}

/// Installs the kinds and the rights of the parts. Applied at each start: unchanged objects are not written.
async fn install(client: &kube::Client) -> kube::Result<()> {
    let mut objects = seaway_gateway::crds();
    objects.extend(rights("gateway", &seaway_gateway::cluster_role_rules()));
    for object in objects {
        let gvk =
            GroupVersionKind::try_from(&types(&object)).map_err(|e| kube::Error::Service(Box::new(e)))?;
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &ApiResource::from_gvk(&gvk));
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        api.patch(&name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(&object)).await?;
    }
    Ok(())
}

fn types(object: &Value) -> kube::core::TypeMeta {
    let text = |field: &str| object[field].as_str().unwrap_or_default().to_owned();
    kube::core::TypeMeta { api_version: text("apiVersion"), kind: text("kind") }
}

/// A part's ClusterRole, bound to its account.
fn rights(part: &str, rules: &[Value]) -> [Value; 2] {
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
