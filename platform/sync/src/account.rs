//! As whom an environment is applied: its own ServiceAccount, bound in its namespaces and to what its stack allows.

use std::collections::BTreeSet;

use kube::Client;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::core::Request;
use seaway_object::identity;
use serde_json::{Value, json};

use crate::bindings::{Bindings, Bound};
use crate::enclosure::{COPY_NAME_LABEL, COPY_NAMESPACE_LABEL, Enclosure};
use crate::error::Error;
use crate::roles::{COPY, COPY_OWNER};
use crate::view::EnvironmentKey;

/// On every binding of an account: which environment's it is.
pub(crate) const ACCOUNT_LABEL: &str = "seaway.dev/account-of";
/// On what lets the owner of a copy ask for tokens: the copy's name.
const ACCESS_LABEL: &str = "seaway.dev/access-to";
/// How the names of environments' ServiceAccounts begin.
pub(crate) const ACCOUNT_PREFIX: &str = "seaway-";
pub(crate) const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

/// The account of an environment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Account {
    pub(crate) key: EnvironmentKey,
    /// The id of the environment's ApplySet, unique in the cluster.
    pub(crate) apply_set: String,
    pub(crate) namespaces: BTreeSet<String>,
    /// Other namespaces, in which a sync that begins now deletes what was applied there.
    pub(crate) left: BTreeSet<String>,
    /// Group and plural of the cluster-scoped kinds that the stack allows, or of which something is still to be deleted.
    pub(crate) cluster_resources: BTreeSet<(String, String)>,
    /// Of a copy: what its namespaces are.
    pub(crate) copy: Option<Enclosure>,
}

/// The account with which the owner of a copy uses kubectl, in the namespace of its Environment.
pub(crate) fn access(copy: &str) -> String {
    format!("access-{copy}")
}

/// Deletes what a copy that went without its end has left beside its Environment.
pub(crate) async fn delete_remnants(client: &Client, key: &EnvironmentKey) -> Result<(), Error> {
    let remnants = Account {
        key: key.clone(),
        apply_set: String::new(),
        namespaces: BTreeSet::new(),
        left: BTreeSet::new(),
        cluster_resources: BTreeSet::new(),
        copy: None,
    };
    remnants.take_back(client, &Bindings::default()).await
}

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

    /// The binding of the account in each namespace. That of a copy has a name of its own, as what a binding refers to
    /// cannot be changed.
    fn binding(&self) -> (String, &'static str) {
        match self.copy {
            Some(_) => (format!("{}:copy", self.role()), COPY),
            None => (self.role(), "admin"),
        }
    }

    fn access(&self) -> String {
        access(&self.key.name)
    }

    /// The bindings that it is to have.
    fn bound(&self) -> Bound {
        let mut names = vec![self.binding().0];
        let mut namespaces = BTreeSet::new();
        if self.copy.as_ref().is_some_and(|copy| copy.owner.is_some()) {
            names.push(self.owners_binding());
            namespaces.insert((self.key.namespace.clone(), self.access()));
        }
        for namespace in self.namespaces.iter().chain(&self.left) {
            namespaces.extend(names.iter().map(|name| (namespace.clone(), name.clone())));
        }
        Bound { namespaces, cluster: !self.cluster_resources.is_empty() }
    }

    fn labels(&self) -> Value {
        json!({ACCOUNT_LABEL: self.apply_set, "app.kubernetes.io/managed-by": "seaway"})
    }

    fn subject(&self) -> Value {
        json!([{"kind": "ServiceAccount", "name": self.service_account(), "namespace": self.key.namespace}])
    }

    /// Makes the namespaces, the account and its bindings, and takes back bindings that are not wanted any more.
    /// What a copy is made of is made by `copier`, who sees no secrets. Returns the namespaces that were made.
    pub(crate) async fn ensure(
        &self,
        client: &Client,
        copier: &Client,
        bindings: &Bindings,
    ) -> Result<Vec<String>, Error> {
        let mut made = Vec::new();
        let maker = if self.copy.is_some() { copier } else { client };
        self.check_place(maker).await?;
        for namespace in &self.namespaces {
            let mut object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace,
                "annotations": {"seaway.dev/created-for": self.key.to_string()}}});
            if let Some(enclosure) = &self.copy {
                object["metadata"]["labels"] = enclosure.marks((&self.key.namespace, &self.key.name));
            }
            if create(maker, "/api/v1/namespaces", &object, &format!("namespace {namespace}")).await? {
                made.push(namespace.clone());
            }
        }
        if let Some(enclosure) = &self.copy {
            // Somebody may have made one of them, or a route, meanwhile.
            self.check_place(copier).await?;
            self.enclose(copier, enclosure).await?;
            if let Some(owner) = &enclosure.owner {
                self.let_in(client, owner).await?;
            }
        }
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {
            "name": self.service_account(), "namespace": self.key.namespace, "labels": self.labels()}});
        let path = format!("/api/v1/namespaces/{}/serviceaccounts", self.key.namespace);
        apply(client, &path, &account).await?;
        for namespace in &self.namespaces {
            self.bind(client, namespace).await?;
        }
        self.bind_where_it_left(client).await?;
        let bound = self.bound();
        let before = bindings.replace(client, &self.apply_set, bound.clone()).await?;
        if let Err(error) = self.take_back_others(client, &before, &bound).await {
            bindings.forget().await;
            return Err(error);
        }
        self.bind_in_cluster(client).await?;
        Ok(made)
    }

    /// At its end: it has the rights to delete what it has applied.
    pub(crate) async fn bind_for_the_end(&self, client: &Client) -> Result<(), Error> {
        for namespace in &self.namespaces {
            self.bind_if_there(client, namespace).await?;
        }
        self.bind_where_it_left(client).await?;
        self.bind_in_cluster(client).await
    }

    async fn bind_where_it_left(&self, client: &Client) -> Result<(), Error> {
        for namespace in &self.left {
            self.bind_if_there(client, namespace).await?;
        }
        Ok(())
    }

    /// A namespace that is gone, or going, is not made anew, and one of a copy is somebody else's by now.
    async fn bind_if_there(&self, client: &Client, namespace: &str) -> Result<(), Error> {
        match client.request::<Value>(get(&format!("/api/v1/namespaces/{namespace}"))?).await {
            Ok(found) if found.pointer("/metadata/deletionTimestamp").is_some() => Ok(()),
            Ok(found) if identity::label(&found, COPY_NAMESPACE_LABEL).is_some() => Ok(()),
            Ok(_) => match self.bind(client, namespace).await {
                // It has begun to end just now.
                Err(Error::Cluster { code: 404, .. }) => Ok(()),
                other => other,
            },
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(Error::cluster(format!("namespace {namespace}"), error)),
        }
    }

    async fn bind(&self, client: &Client, namespace: &str) -> Result<(), Error> {
        let (name, role) = self.binding();
        let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": {"name": name, "namespace": namespace, "labels": self.labels()},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": self.subject()});
        apply(client, &format!("{RBAC}/namespaces/{namespace}/rolebindings"), &binding).await
    }

    async fn bind_in_cluster(&self, client: &Client) -> Result<(), Error> {
        if self.cluster_resources.is_empty() {
            return Ok(());
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
        apply(client, &format!("{RBAC}/clusterrolebindings"), &binding).await
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

    /// What bounds a copy.
    async fn enclose(&self, client: &Client, enclosure: &Enclosure) -> Result<(), Error> {
        let of = (self.key.namespace.as_str(), self.key.name.as_str());
        for namespace in &self.namespaces {
            // Applied each time: the stack may say otherwise by now.
            let marked = json!({"apiVersion": "v1", "kind": "Namespace",
                "metadata": {"name": namespace, "labels": enclosure.marks(of)}});
            apply(client, "/api/v1/namespaces", &marked).await?;
            for bound in enclosure.bounds(namespace, of, &self.labels()) {
                apply(client, &bound.path, &bound.object).await?;
            }
        }
        match enclosure.policy.gateway {
            Some(_) => Ok(()),
            None => self.take_back_gateway(client, &enclosure.first).await,
        }
    }

    /// The listener of a copy whose stack wants none any more.
    async fn take_back_gateway(&self, client: &Client, namespace: &str) -> Result<(), Error> {
        let path = format!("/apis/gateway.networking.k8s.io/v1/namespaces/{namespace}/gateways");
        let name = seaway_environments::GATEWAY;
        match client.request::<Value>(get(&format!("{path}/{name}"))?).await {
            Ok(found) if identity::label(&found, ACCOUNT_LABEL) == Some(self.apply_set.as_str()) => {
                delete(client, &path, name).await
            }
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(Error::cluster(format!("Gateway {namespace}/{name}"), error)),
        }
    }

    /// Lets the owner of a copy work in it: under his own name, and with tokens of an account of the copy, which only he
    /// may ask for.
    async fn let_in(&self, client: &Client, owner: &str) -> Result<(), Error> {
        const GROUP: &str = "rbac.authorization.k8s.io";
        let (own, access) = (&self.key.namespace, self.access());
        let user = json!({"apiGroup": GROUP, "kind": "User", "name": owner});
        let account = json!({"kind": "ServiceAccount", "name": access, "namespace": own});
        let mut labels = self.labels();
        labels[ACCESS_LABEL] = self.key.name.clone().into();
        let metadata = json!({"name": access, "namespace": own, "labels": labels});
        // Pods of others that come to run there must not get the token by themselves.
        let object = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata,
            "automountServiceAccountToken": false});
        apply(client, &format!("/api/v1/namespaces/{own}/serviceaccounts"), &object).await?;
        let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": metadata,
            "rules": [{"apiGroups": [""], "resources": ["serviceaccounts/token"], "resourceNames": [access],
                       "verbs": ["create"]}]});
        apply(client, &format!("{RBAC}/namespaces/{own}/roles"), &role).await?;
        let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": metadata, "roleRef": {"apiGroup": GROUP, "kind": "Role", "name": access},
            "subjects": [user]});
        apply(client, &format!("{RBAC}/namespaces/{own}/rolebindings"), &binding).await?;
        for namespace in &self.namespaces {
            let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
                "metadata": {"name": self.owners_binding(), "namespace": namespace, "labels": self.labels()},
                "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": COPY_OWNER},
                "subjects": [user, account]});
            apply(client, &format!("{RBAC}/namespaces/{namespace}/rolebindings"), &binding).await?;
        }
        Ok(())
    }

    /// Deletes what [`Account::let_in`] has made beside the Environment, and nothing else of that name.
    async fn delete_access(&self, client: &Client, path: &str) -> Result<(), Error> {
        let name = self.access();
        match client.request::<Value>(get(&format!("{path}/{name}"))?).await {
            Ok(found) if identity::label(&found, ACCESS_LABEL) == Some(self.key.name.as_str()) => {
                delete(client, path, &name).await
            }
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(Error::cluster(name, error)),
        }
    }

    fn owners_binding(&self) -> String {
        format!("{}:copy-owner", self.role())
    }

    /// Ends all tokens of the owner's account of a copy: they are those of one that is not there any more.
    pub(crate) async fn revoke_access(&self, client: &Client) -> Result<(), Error> {
        let Some(owner) = self.copy.as_ref().and_then(|enclosure| enclosure.owner.as_deref()) else {
            return Err(Error::Plan(format!("{} is nobody's own copy: nobody has tokens for it", self.key)));
        };
        let path = format!("/api/v1/namespaces/{}/serviceaccounts", self.key.namespace);
        self.delete_access(client, &path).await?;
        self.let_in(client, owner).await
    }

    /// Deletes bindings that it had and is to have no more.
    async fn take_back_others(&self, client: &Client, before: &Bound, wanted: &Bound) -> Result<(), Error> {
        for (namespace, name) in before.namespaces.difference(&wanted.namespaces) {
            delete(client, &format!("{RBAC}/namespaces/{namespace}/rolebindings"), name).await?;
        }
        if before.cluster && !wanted.cluster {
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
        let rbac = format!("{RBAC}/namespaces/{}", self.key.namespace);
        for path in [path, format!("{rbac}/rolebindings"), format!("{rbac}/roles")] {
            self.delete_access(client, &path).await?;
        }
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
