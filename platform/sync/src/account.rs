//! As whom an environment is applied: its own ServiceAccount, bound in its namespaces and to what its stack allows.

use std::collections::{BTreeMap, BTreeSet};

use kube::Client;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::core::Request;
use seaway_api::stack::PodSecurity;
use seaway_object::identity;
use serde_json::{Value, json};

use crate::bindings::{Bindings, Bound};
use crate::error::Error;
use crate::view::EnvironmentKey;

/// On every binding of an account: which environment's it is.
pub(crate) const ACCOUNT_LABEL: &str = "seaway.dev/account-of";
/// How the names of environments' ServiceAccounts begin.
pub(crate) const ACCOUNT_PREFIX: &str = "seaway-";
/// The ResourceQuota of a copy.
const QUOTA: &str = "seaway";
pub(crate) const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

/// The account of an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) key: EnvironmentKey,
    /// The id of the environment's ApplySet, unique in the cluster.
    pub(crate) apply_set: String,
    pub(crate) namespaces: BTreeSet<String>,
    /// Group and plural of the cluster-scoped kinds that the stack allows.
    pub(crate) cluster_resources: BTreeSet<(String, String)>,
    /// Of a copy: what its namespaces are.
    pub(crate) copy: Option<Enclosure>,
}

/// What the namespaces of a copy are: its own, and bounded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Enclosure {
    /// Who may work in them.
    pub(crate) owner: Option<String>,
    /// Its routes answer below it, and nowhere else.
    pub(crate) domain: String,
    pub(crate) pod_security: PodSecurity,
    pub(crate) quota: BTreeMap<String, String>,
}

/// On the namespaces of a copy: namespace and name of its Environment.
const COPY_NAMESPACE_LABEL: &str = "seaway.dev/copy-namespace";
const COPY_NAME_LABEL: &str = "seaway.dev/copy-name";

/// The gateway of one machine serves no other host for routes of a namespace with this label.
const DOMAIN_LABEL: &str = "seaway.dev/domain";

/// A namespace of a copy that is not gone yet.
pub(crate) struct Leftover {
    pub(crate) name: String,
    uid: String,
    /// The Environment that it was made for.
    pub(crate) key: EnvironmentKey,
    /// Whether its deletion has begun.
    pub(crate) ending: bool,
    /// What keeps it.
    pub(crate) why: String,
}

/// The namespaces of a copy that are there.
pub(crate) async fn namespaces_of(client: &Client, key: &EnvironmentKey) -> Result<Vec<Leftover>, Error> {
    let selector = format!("{COPY_NAMESPACE_LABEL}%3D{},{COPY_NAME_LABEL}%3D{}", key.namespace, key.name);
    selected(client, &selector).await
}

/// The namespaces of all copies.
pub(crate) async fn namespaces_of_copies(client: &Client) -> Result<Vec<Leftover>, Error> {
    selected(client, COPY_NAMESPACE_LABEL).await
}

async fn selected(client: &Client, selector: &str) -> Result<Vec<Leftover>, Error> {
    let path = format!("/api/v1/namespaces?labelSelector={selector}");
    let list: Value = client.request(get(&path)?).await.map_err(|e| Error::cluster("namespaces", e))?;
    let leftover = |namespace: &Value| {
        let conditions = namespace.pointer("/status/conditions").and_then(Value::as_array);
        let keeping = conditions.into_iter().flatten().filter(|condition| {
            let kept = [
                "NamespaceFinalizersRemaining",
                "NamespaceContentRemaining",
                "NamespaceDeletionContentFailure",
            ];
            condition["status"] == "True" && kept.iter().any(|kept| condition["type"] == **kept)
        });
        let why: Vec<&str> = keeping.filter_map(|condition| condition["message"].as_str()).collect();
        Leftover {
            name: identity::name(namespace).to_owned(),
            uid: identity::uid(namespace).unwrap_or_default().to_owned(),
            key: EnvironmentKey::new(
                identity::label(namespace, COPY_NAMESPACE_LABEL).unwrap_or_default(),
                identity::label(namespace, COPY_NAME_LABEL).unwrap_or_default(),
            ),
            ending: namespace.pointer("/metadata/deletionTimestamp").is_some(),
            why: why.join("; "),
        }
    };
    Ok(list["items"].as_array().into_iter().flatten().map(leftover).collect())
}

/// Begins the end of a namespace: of that very one, and not of another that has its name by now.
pub(crate) async fn delete_namespace(client: &Client, namespace: &Leftover) -> Result<(), Error> {
    let this = Preconditions { uid: Some(namespace.uid.clone()), ..Preconditions::default() };
    let parameters = DeleteParams { preconditions: Some(this), ..DeleteParams::default() };
    delete_with(client, "/api/v1/namespaces", &namespace.name, &parameters).await
}

impl Account {
    fn service_account(&self) -> String {
        format!("{ACCOUNT_PREFIX}{}", self.key.name)
    }

    /// The user name that is impersonated.
    pub(crate) fn user(&self) -> String {
        format!("system:serviceaccount:{}:{}", self.key.namespace, self.service_account())
    }

    fn role(&self) -> String {
        format!("seaway:{}:{}", self.key.namespace, self.key.name)
    }

    /// Of the binding of a copy's owner.
    fn owner_role(&self) -> String {
        format!("{}:owner", self.role())
    }

    fn labels(&self) -> Value {
        json!({ACCOUNT_LABEL: self.apply_set, "app.kubernetes.io/managed-by": "seaway"})
    }

    fn subject(&self) -> Value {
        json!([{"kind": "ServiceAccount", "name": self.service_account(), "namespace": self.key.namespace}])
    }

    /// Makes the namespaces, the account and its bindings, and takes back bindings that are not wanted any more.
    /// Returns the namespaces that were made.
    pub(crate) async fn ensure(&self, client: &Client, bindings: &Bindings) -> Result<Vec<String>, Error> {
        let mut made = Vec::new();
        self.check_place(client).await?;
        for namespace in &self.namespaces {
            let mut object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace,
                "annotations": {"seaway.dev/created-for": self.key.to_string()}}});
            if let Some(enclosure) = &self.copy {
                object["metadata"]["labels"] = self.marks(enclosure);
            }
            if create(client, "/api/v1/namespaces", &object, &format!("namespace {namespace}")).await? {
                made.push(namespace.clone());
            }
        }
        if let Some(enclosure) = &self.copy {
            // Somebody may have made one of them, or a route, meanwhile.
            self.check_place(client).await?;
            self.enclose(client, enclosure).await?;
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
        let names = [
            Some(self.role()),
            self.copy.as_ref().and_then(|copy| copy.owner.as_ref()).map(|_| self.owner_role()),
        ];
        let in_each = |namespace: &String| {
            let namespace = namespace.clone();
            names.iter().flatten().map(move |name| (namespace.clone(), name.clone()))
        };
        let bound = Bound {
            namespaces: self.namespaces.iter().flat_map(in_each).collect(),
            cluster: !self.cluster_resources.is_empty(),
        };
        let before = bindings.replace(client, &self.apply_set, bound).await?;
        if let Err(error) = self.take_back_others(client, &before).await {
            bindings.forget().await;
            return Err(error);
        }
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

    /// On each namespace of a copy: whose it is, and what bounds it.
    fn marks(&self, enclosure: &Enclosure) -> Value {
        json!({
            COPY_NAMESPACE_LABEL: self.key.namespace, COPY_NAME_LABEL: self.key.name,
            DOMAIN_LABEL: enclosure.domain,
            "pod-security.kubernetes.io/enforce": enclosure.pod_security.as_str(),
        })
    }

    /// Whether its namespaces, and the hosts of a copy, are free for it.
    ///
    /// # Errors
    /// When one of them is somebody else's, or is still being deleted.
    pub(crate) async fn check_place(&self, client: &Client) -> Result<(), Error> {
        self.check_namespaces(client).await?;
        match &self.copy {
            Some(enclosure) => self.check_hosts(client, &enclosure.domain).await,
            None => Ok(()),
        }
    }

    /// The namespaces of a copy are its own: one that is there already must have been made for it. Nobody else's
    /// environment goes into one of a copy: its owner may do what he likes there, and it ends with the copy.
    async fn check_namespaces(&self, client: &Client) -> Result<(), Error> {
        for namespace in &self.namespaces {
            let found = match client.request::<Value>(get(&format!("/api/v1/namespaces/{namespace}"))?).await
            {
                Ok(found) => found,
                Err(kube::Error::Api(status)) if status.code == 404 => continue,
                Err(error) => return Err(Error::cluster(format!("namespace {namespace}"), error)),
            };
            let label = |key| identity::label(&found, key).unwrap_or_default();
            let of = (label(COPY_NAMESPACE_LABEL), label(COPY_NAME_LABEL));
            if self.copy.is_none() {
                if !of.0.is_empty() {
                    return Err(Error::Plan(format!(
                        "the namespace {namespace} is one of the copy {}/{}: choose another destination, or delete the copy",
                        of.0, of.1
                    )));
                }
                continue;
            }
            if of != (self.key.namespace.as_str(), self.key.name.as_str()) {
                let whose = match of {
                    ("", _) => "it is not a copy's".to_owned(),
                    (namespace, name) => format!("it is one of the copy {namespace}/{name}"),
                };
                return Err(Error::Plan(format!(
                    "the namespace {namespace} is there already, and {whose}: choose another name for the copy"
                )));
            }
            if found.pointer("/metadata/deletionTimestamp").is_some() {
                return Err(Error::Plan(format!("the namespace {namespace} is still being deleted")));
            }
        }
        Ok(())
    }

    /// Hosts below the domain of a copy are its own: routes of others that are there already keep theirs.
    async fn check_hosts(&self, client: &Client, domain: &str) -> Result<(), Error> {
        let path = "/apis/gateway.networking.k8s.io/v1/httproutes";
        let routes = match client.request::<Value>(get(path)?).await {
            Ok(routes) => routes,
            // The cluster has no such kind.
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
            Err(error) => return Err(Error::cluster("HTTPRoutes", error)),
        };
        let below = format!(".{domain}");
        let taken = |route: &&Value| {
            let hosts = route.pointer("/spec/hostnames").and_then(Value::as_array).into_iter().flatten();
            let mut hosts = hosts.filter_map(Value::as_str);
            !identity::namespace(route).is_some_and(|namespace| self.namespaces.contains(namespace))
                && hosts.any(|host| host == domain || host.ends_with(&below))
        };
        match routes["items"].as_array().into_iter().flatten().find(taken) {
            None => Ok(()),
            Some(route) => Err(Error::Plan(format!(
                "the HTTPRoute {}/{} answers at a host below {domain}, which would be the copy's: choose another name",
                identity::namespace(route).unwrap_or_default(),
                identity::name(route)
            ))),
        }
    }

    /// What bounds a copy, and who may work in it.
    async fn enclose(&self, client: &Client, enclosure: &Enclosure) -> Result<(), Error> {
        for namespace in &self.namespaces {
            // Applied each time: the stack may say otherwise by now.
            let marked = json!({"apiVersion": "v1", "kind": "Namespace",
                "metadata": {"name": namespace, "labels": self.marks(enclosure)}});
            apply(client, "/api/v1/namespaces", &marked).await?;
            let quotas = format!("/api/v1/namespaces/{namespace}/resourcequotas");
            if enclosure.quota.is_empty() {
                delete(client, &quotas, QUOTA).await?;
            } else {
                let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota",
                    "metadata": {"name": QUOTA, "namespace": namespace, "labels": self.labels()},
                    "spec": {"hard": enclosure.quota}});
                apply(client, &quotas, &quota).await?;
            }
            if let Some(owner) = &enclosure.owner {
                let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
                    "metadata": {"name": self.owner_role(), "namespace": namespace,
                                 "labels": self.labels()},
                    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
                    "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": owner}]});
                apply(client, &format!("{RBAC}/namespaces/{namespace}/rolebindings"), &binding).await?;
            }
        }
        Ok(())
    }

    /// Deletes bindings that it had outside of the environment's namespaces, and to kinds that the stack allows no more.
    async fn take_back_others(&self, client: &Client, before: &Bound) -> Result<(), Error> {
        for (namespace, name) in &before.namespaces {
            if !self.namespaces.contains(namespace) {
                delete(client, &format!("{RBAC}/namespaces/{namespace}/rolebindings"), name).await?;
            }
        }
        if before.cluster && self.cluster_resources.is_empty() {
            self.take_back_cluster(client).await?;
        }
        Ok(())
    }

    async fn take_back_cluster(&self, client: &Client) -> Result<(), Error> {
        delete(client, &format!("{RBAC}/clusterrolebindings"), &self.role()).await?;
        delete(client, &format!("{RBAC}/clusterroles"), &self.role()).await
    }

    /// Deletes the account and all its bindings.
    pub(crate) async fn take_back(&self, client: &Client, bindings: &Bindings) -> Result<(), Error> {
        let selector = format!("labelSelector={ACCOUNT_LABEL}%3D{}", self.apply_set);
        let path = format!("{RBAC}/rolebindings?{selector}");
        let list: Value =
            client.request(get(&path)?).await.map_err(|e| Error::cluster("role bindings", e))?;
        for binding in list["items"].as_array().into_iter().flatten() {
            let namespace = identity::namespace(binding).unwrap_or_default();
            let path = format!("{RBAC}/namespaces/{namespace}/rolebindings");
            delete(client, &path, identity::name(binding)).await?;
        }
        self.take_back_cluster(client).await?;
        let path = format!("/api/v1/namespaces/{}/serviceaccounts", self.key.namespace);
        delete(client, &path, &self.service_account()).await?;
        bindings.remove(&self.apply_set).await;
        Ok(())
    }
}

pub(crate) fn get(path: &str) -> Result<http::Request<Vec<u8>>, Error> {
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
    delete_with(client, path, name, &DeleteParams::default()).await
}

async fn delete_with(
    client: &Client,
    path: &str,
    name: &str,
    parameters: &DeleteParams,
) -> Result<(), Error> {
    let request = Request::new(path).delete(name, parameters);
    let request = request.map_err(|error| Error::cluster(name, kube::Error::BuildRequest(error)))?;
    match client.request::<Value>(request).await {
        Ok(_) => Ok(()),
        // 409: it is another one by now.
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        Err(error) => Err(Error::cluster(name, error)),
    }
}
