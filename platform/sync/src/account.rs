//! As whom an environment is applied: its own ServiceAccount, bound in its namespaces and to what its stack allows.

use std::collections::BTreeSet;

use kube::Client;
use kube::api::{Patch, PatchParams};
use kube::core::Request;
use serde_json::{Value, json};

use crate::error::Error;
use crate::view::EnvironmentKey;

/// On every binding of an account: which environment's it is.
const ACCOUNT_LABEL: &str = "seaway.dev/account-of";
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

/// The account of an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) key: EnvironmentKey,
    /// The id of the environment's ApplySet, unique in the cluster.
    pub(crate) apply_set: String,
    pub(crate) namespaces: BTreeSet<String>,
    /// Group and plural of the cluster-scoped kinds that the stack allows.
    pub(crate) cluster_resources: BTreeSet<(String, String)>,
}

impl Account {
    fn service_account(&self) -> String {
        format!("seaway-{}", self.key.name)
    }

    /// The user name that is impersonated.
    pub(crate) fn user(&self) -> String {
        format!("system:serviceaccount:{}:{}", self.key.namespace, self.service_account())
    }

    fn role(&self) -> String {
        format!("seaway:{}:{}", self.key.namespace, self.key.name)
    }

    fn labels(&self) -> Value {
        json!({ACCOUNT_LABEL: self.apply_set, "app.kubernetes.io/managed-by": "seaway"})
    }

    fn subject(&self) -> Value {
        json!([{"kind": "ServiceAccount", "name": self.service_account(), "namespace": self.key.namespace}])
    }

    /// Makes the namespaces, the account and its bindings, and takes back bindings that are not wanted any more.
    /// Returns the namespaces that were made.
    pub(crate) async fn ensure(&self, client: &Client) -> Result<Vec<String>, Error> {
        let mut made = Vec::new();
        for namespace in &self.namespaces {
            let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace,
                "annotations": {"seaway.dev/created-for": self.key.to_string()}}});
            if create(client, "/api/v1/namespaces", &object, &format!("namespace {namespace}")).await? {
                made.push(namespace.clone());
            }
        }
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {
            "name": self.service_account(), "namespace": self.key.namespace, "labels": self.labels()}});
        let path = format!("/api/v1/namespaces/{}/serviceaccounts", self.key.namespace);
        apply(client, &path, &account).await?;
        for namespace in &self.namespaces {
            let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
                "metadata": {"name": self.role(), "namespace": namespace, "labels": self.labels()},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin"},
                "subjects": self.subject()});
            apply(client, &format!("{RBAC}/namespaces/{namespace}/rolebindings"), &binding).await?;
        }
        self.take_back(client, false).await?;
        if self.cluster_resources.is_empty() {
            return Ok(made);
        }
        let rules: Vec<Value> = self
            .cluster_resources
            .iter()
            .map(|(group, plural)| {
                json!({"apiGroups": [group], "resources": [plural],
                       "verbs": ["get", "list", "watch", "create", "update", "patch", "delete"]})
            })
            .collect();
        let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {"name": self.role(), "labels": self.labels()}, "rules": rules});
        apply(client, &format!("{RBAC}/clusterroles"), &role).await?;
        let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": {"name": self.role(), "labels": self.labels()},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": self.role()},
            "subjects": self.subject()});
        apply(client, &format!("{RBAC}/clusterrolebindings"), &binding).await?;
        Ok(made)
    }

    /// Deletes bindings outside of the environment's namespaces, or all of them with what they bind.
    pub(crate) async fn take_back(&self, client: &Client, all: bool) -> Result<(), Error> {
        let selector = format!("labelSelector={ACCOUNT_LABEL}%3D{}", self.apply_set);
        let path = format!("{RBAC}/rolebindings?{selector}");
        let list: Value =
            client.request(get(&path)?).await.map_err(|e| Error::cluster("role bindings", e))?;
        for binding in list["items"].as_array().into_iter().flatten() {
            let text = |pointer: &str| binding.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
            let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
            if all || !self.namespaces.contains(namespace) {
                delete(client, &format!("{RBAC}/namespaces/{namespace}/rolebindings"), name).await?;
            }
        }
        if all || self.cluster_resources.is_empty() {
            delete(client, &format!("{RBAC}/clusterrolebindings"), &self.role()).await?;
            delete(client, &format!("{RBAC}/clusterroles"), &self.role()).await?;
        }
        if all {
            let path = format!("/api/v1/namespaces/{}/serviceaccounts", self.key.namespace);
            delete(client, &path, &self.service_account()).await?;
        }
        Ok(())
    }
}

fn get(path: &str) -> Result<http::Request<Vec<u8>>, Error> {
    http::Request::get(path).body(Vec::new()).map_err(|error| Error::Cluster {
        what: path.to_owned(),
        message: error.to_string(),
        code: 0,
    })
}

/// Whether it was made; one that is there is left as it is.
async fn create(client: &Client, path: &str, object: &Value, what: &str) -> Result<bool, Error> {
    let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    match client.request::<Value>(get(&format!("{path}/{name}"))?).await {
        Ok(_) => return Ok(false),
        Err(kube::Error::Api(status)) if status.code == 404 => {}
        Err(error) => return Err(Error::cluster(what, error)),
    }
    let request = Request::new(path).create(&Default::default(), object.to_string().into_bytes());
    let request = request.map_err(|error| Error::cluster(what, kube::Error::BuildRequest(error)))?;
    match client.request::<Value>(request).await {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(Error::cluster(what, error)),
    }
}

async fn apply(client: &Client, path: &str, object: &Value) -> Result<(), Error> {
    let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    let what = format!("{} {name}", object["kind"].as_str().unwrap_or_default());
    let params = PatchParams::apply("seaway-controller").force();
    let request = Request::new(path).patch(name, &params, &Patch::Apply(object));
    let request = request.map_err(|error| Error::cluster(&what, kube::Error::BuildRequest(error)))?;
    client.request::<Value>(request).await.map_err(|error| Error::cluster(&what, error))?;
    Ok(())
}

async fn delete(client: &Client, path: &str, name: &str) -> Result<(), Error> {
    let request = Request::new(path).delete(name, &Default::default());
    let request = request.map_err(|error| Error::cluster(name, kube::Error::BuildRequest(error)))?;
    match client.request::<Value>(request).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(Error::cluster(name, error)),
    }
}
