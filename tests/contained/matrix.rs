//! The requests, and what is expected of each.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};

/// What this Kubernetes checks besides rights.
#[derive(Clone, Copy)]
pub(crate) struct Features {
    /// Pod Security Standards.
    pub(crate) pod_security: bool,
    /// Whether a pod's account is there.
    pub(crate) service_accounts: bool,
    /// How many custom resources there are, where a quota limits that.
    pub(crate) counts_custom_resources: bool,
    /// Whether Secrets with tokens that never end are refused in copies.
    pub(crate) refuses_endless_tokens: bool,
}

/// A Kubernetes API, asked as somebody.
pub(crate) struct Api {
    client: kube::Client,
    acting_as: Option<String>,
    runtime: tokio::runtime::Runtime,
}

impl Api {
    /// With a token, at the server that a kubeconfig names.
    pub(crate) fn new(kubeconfig: &Path, token: &str) -> Self {
        Self::with(kubeconfig, |config| {
            config.auth_infos[0].auth_info = serde_json::from_value(json!({"token": token})).ok();
        })
    }

    /// As the administrator of a kubeconfig, in somebody's name.
    pub(crate) fn acting_as(kubeconfig: &Path, user: &str) -> Self {
        Self { acting_as: Some(user.to_owned()), ..Self::with(kubeconfig, |_| {}) }
    }

    fn with(kubeconfig: &Path, change: impl FnOnce(&mut Kubeconfig)) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let client = runtime.block_on(async {
            let mut config = Kubeconfig::read_from(kubeconfig).unwrap();
            change(&mut config);
            let options = KubeConfigOptions::default();
            let config = kube::Config::from_custom_kubeconfig(config, &options).await.unwrap();
            kube::Client::try_from(config).unwrap()
        });
        Self { client, acting_as: None, runtime }
    }

    /// The status of an answer.
    pub(crate) fn status(&self, method: &str, path: &str, body: Option<&Value>) -> u16 {
        self.send(method, path, body, &[])
    }

    fn send(&self, method: &str, path: &str, body: Option<&Value>, headers: &[(&str, &str)]) -> u16 {
        let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        let mut request = http::Request::builder().method(method).uri(path).header("content-type", kind);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(user) = &self.acting_as {
            request = request.header("impersonate-user", user);
        }
        let bytes = body.map(Value::to_string).unwrap_or_default().into_bytes();
        let request = request.body(kube::client::Body::from(bytes)).unwrap();
        self.runtime.block_on(async { self.client.send(request).await.unwrap().status().as_u16() })
    }
}

/// Collects what is not as it should be.
struct Checked<'a> {
    api: &'a Api,
    allowed: usize,
    forbidden: usize,
    wrong: Vec<String>,
}

impl Checked<'_> {
    /// What may be done is done, or finds nothing there. Nothing is kept: writes are dry runs.
    fn allows(&mut self, method: &str, path: &str, body: Option<&Value>) {
        let status = self.api.status(method, path, body);
        self.allowed += 1;
        if !((200..300).contains(&status) || status == 404) {
            self.wrong.push(format!("{method} {path} should be allowed: {status}"));
        }
    }

    fn forbids(&mut self, method: &str, path: &str, body: Option<&Value>) {
        self.forbids_with(method, path, body, &[]);
    }

    fn forbids_with(&mut self, method: &str, path: &str, body: Option<&Value>, headers: &[(&str, &str)]) {
        let status = self.api.send(method, path, body, headers);
        self.forbidden += 1;
        if status != 403 {
            self.wrong.push(format!("{method} {path} {headers:?} should be forbidden: {status}"));
        }
    }

    #[track_caller]
    fn end(self) -> (usize, usize) {
        assert!(self.wrong.is_empty(), "{:#?}", self.wrong);
        (self.allowed, self.forbidden)
    }
}

fn pod(spec: &Value) -> Value {
    let mut all = json!({"securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{"name": "c", "image": "registry.example.com/c:1",
            "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}]});
    for (key, value) in spec.as_object().unwrap() {
        all[key] = value.clone();
    }
    all
}

fn object(api_version: &str, kind: &str, more: &Value) -> Value {
    let mut object = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "probe"}});
    for (key, value) in more.as_object().unwrap() {
        object[key] = value.clone();
    }
    object
}

/// Kinds that live in namespaces and that developers work with: where the API has them, and one of each.
fn workloads() -> Vec<(&'static str, &'static str, Value)> {
    let selector = json!({"matchLabels": {"a": "b"}});
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": pod(&json!({}))});
    let of = json!({"selector": selector, "template": template});
    let mut stateful = of.clone();
    stateful["serviceName"] = "probe".into();
    let mut once = template.clone();
    once["spec"]["restartPolicy"] = "Never".into();
    let claim = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}});
    let ingress = json!({"rules": [{"host": "a.example.test", "http": {"paths": [{"path": "/", "pathType": "Prefix",
        "backend": {"service": {"name": "probe", "port": {"number": 80}}}}]}}]});
    vec![
        ("/api/v1", "configmaps", object("v1", "ConfigMap", &json!({"data": {"a": "b"}}))),
        ("/api/v1", "secrets", object("v1", "Secret", &json!({"stringData": {"a": "b"}}))),
        ("/api/v1", "services", object("v1", "Service", &json!({"spec": {"ports": [{"port": 80}]}}))),
        ("/api/v1", "pods", object("v1", "Pod", &json!({"spec": pod(&json!({}))}))),
        ("/api/v1", "persistentvolumeclaims", object("v1", "PersistentVolumeClaim", &json!({"spec": claim}))),
        ("/api/v1", "serviceaccounts", object("v1", "ServiceAccount", &json!({}))),
        ("/apis/apps/v1", "deployments", object("apps/v1", "Deployment", &json!({"spec": of}))),
        ("/apis/apps/v1", "daemonsets", object("apps/v1", "DaemonSet", &json!({"spec": of}))),
        ("/apis/apps/v1", "replicasets", object("apps/v1", "ReplicaSet", &json!({"spec": of}))),
        ("/apis/apps/v1", "statefulsets", object("apps/v1", "StatefulSet", &json!({"spec": stateful}))),
        ("/apis/batch/v1", "jobs", object("batch/v1", "Job", &json!({"spec": {"template": once}}))),
        (
            "/apis/networking.k8s.io/v1",
            "ingresses",
            object("networking.k8s.io/v1", "Ingress", &json!({"spec": ingress})),
        ),
        (
            "/apis/coordination.k8s.io/v1",
            "leases",
            object("coordination.k8s.io/v1", "Lease", &json!({"spec": {}})),
        ),
        (
            "/apis/gateway.networking.k8s.io/v1",
            "httproutes",
            object(
                "gateway.networking.k8s.io/v1",
                "HTTPRoute",
                &json!({"spec": {"hostnames": ["a.mine.localhost"]}}),
            ),
        ),
    ]
}

/// What bounds the copy, and what would give rights: to be seen, and not to be changed.
fn bounds() -> Vec<(&'static str, &'static str, &'static str, Value)> {
    let rbac = "rbac.authorization.k8s.io";
    let role = json!({"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]});
    let binding = json!({"roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": "view"},
        "subjects": [{"apiGroup": rbac, "kind": "User", "name": "bob"}]});
    let open = json!({"spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{}]}});
    let gateway = json!({"spec": {"gatewayClassName": "a", "listeners": [{"name": "a", "port": 80, "protocol": "HTTP"}]}});
    let grant = json!({"spec": {"from": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": "shop"}],
        "to": [{"group": "", "kind": "Service"}]}});
    vec![
        (
            "/apis/networking.k8s.io/v1",
            "networkpolicies",
            "seaway",
            object("networking.k8s.io/v1", "NetworkPolicy", &open),
        ),
        (
            "/api/v1",
            "resourcequotas",
            "seaway",
            object("v1", "ResourceQuota", &json!({"spec": {"hard": {"pods": "900"}}})),
        ),
        ("/api/v1", "limitranges", "seaway", object("v1", "LimitRange", &json!({"spec": {"limits": []}}))),
        (
            "/apis/rbac.authorization.k8s.io/v1",
            "roles",
            "probe",
            object("rbac.authorization.k8s.io/v1", "Role", &role),
        ),
        (
            "/apis/rbac.authorization.k8s.io/v1",
            "rolebindings",
            "seaway:seaway-jane:mine:copy-owner",
            object("rbac.authorization.k8s.io/v1", "RoleBinding", &binding),
        ),
        (
            "/apis/gateway.networking.k8s.io/v1",
            "gateways",
            "seaway",
            object("gateway.networking.k8s.io/v1", "Gateway", &gateway),
        ),
        (
            "/apis/gateway.networking.k8s.io/v1beta1",
            "referencegrants",
            "probe",
            object("gateway.networking.k8s.io/v1beta1", "ReferenceGrant", &grant),
        ),
    ]
}

const INSIDE: &str = "mine-shop";

/// A Secret that gets a token of an account of its namespace, which holds until the Secret is gone.
fn endless_token(account: &str) -> Value {
    let mut secret = object("v1", "Secret", &json!({"type": "kubernetes.io/service-account-token"}));
    secret["metadata"]["annotations"] = json!({"kubernetes.io/service-account.name": account});
    secret
}

/// The owner of `mine`, a copy of what runs in `shop`: how many requests are allowed and forbidden.
pub(crate) fn check(api: &Api, features: Features) -> (usize, usize) {
    let mut checked = Checked { api, allowed: 0, forbidden: 0, wrong: Vec::new() };
    let dry = "?dryRun=All";
    let label = json!({"metadata": {"labels": {"a": "b"}}});
    for (root, plural, object) in workloads() {
        let at = |namespace: &str| format!("{root}/namespaces/{namespace}/{plural}");
        checked.allows("GET", &at(INSIDE), None);
        checked.allows("POST", &format!("{}{dry}", at(INSIDE)), Some(&object));
        checked.allows("PATCH", &format!("{}/absent{dry}", at(INSIDE)), Some(&label));
        checked.allows("DELETE", &format!("{}/absent", at(INSIDE)), None);
        checked.forbids("GET", &at("shop"), None);
        checked.forbids("POST", &format!("{}{dry}", at("shop")), Some(&object));
        checked.forbids("DELETE", &format!("{}/absent", at("shop")), None);
        checked.forbids("GET", &format!("{root}/{plural}"), None);
    }
    for namespace in ["seaway", "seaway-jane", "seaway-system", "kube-system", "default"] {
        for plural in ["secrets", "configmaps", "pods", "serviceaccounts"] {
            checked.forbids("GET", &format!("/api/v1/namespaces/{namespace}/{plural}"), None);
        }
        let pod = object("v1", "Pod", &json!({"spec": pod(&json!({}))}));
        checked.forbids("POST", &format!("/api/v1/namespaces/{namespace}/pods{dry}"), Some(&pod));
    }
    for (root, plural, name, object) in bounds() {
        let at = format!("{root}/namespaces/{INSIDE}/{plural}");
        checked.allows("GET", &at, None);
        checked.allows("GET", &format!("{at}/{name}"), None);
        checked.forbids("POST", &format!("{at}{dry}"), Some(&object));
        checked.forbids("PATCH", &format!("{at}/{name}{dry}"), Some(&label));
        checked.forbids("PUT", &format!("{at}/{name}{dry}"), Some(&object));
        checked.forbids("DELETE", &format!("{at}/{name}{dry}"), None);
    }
    for path in ["pods/absent/log", "pods/absent/status", "events", "endpoints"] {
        checked.allows("GET", &format!("/api/v1/namespaces/{INSIDE}/{path}"), None);
    }
    checked.allows("GET", &format!("/api/v1/namespaces/{INSIDE}"), None);
    for (root, plural) in [
        ("/api/v1", "namespaces"),
        ("/api/v1", "nodes"),
        ("/api/v1", "persistentvolumes"),
        ("/apis/rbac.authorization.k8s.io/v1", "clusterroles"),
        ("/apis/rbac.authorization.k8s.io/v1", "clusterrolebindings"),
        ("/apis/apiextensions.k8s.io/v1", "customresourcedefinitions"),
        ("/apis/storage.k8s.io/v1", "storageclasses"),
        ("/apis/scheduling.k8s.io/v1", "priorityclasses"),
        ("/apis/admissionregistration.k8s.io/v1", "validatingwebhookconfigurations"),
        ("/apis/certificates.k8s.io/v1", "certificatesigningrequests"),
    ] {
        checked.forbids("GET", &format!("{root}/{plural}"), None);
        checked.forbids("DELETE", &format!("{root}/{plural}/absent"), None);
    }
    // The mark of its namespace says what bounds it.
    for (method, path) in [
        ("PATCH", format!("/api/v1/namespaces/{INSIDE}{dry}")),
        ("DELETE", format!("/api/v1/namespaces/{INSIDE}{dry}")),
    ] {
        checked.forbids(method, &path, Some(&label).filter(|_| method == "PATCH"));
    }
    let cluster = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": "probe"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": "access-mine", "namespace": "seaway-jane"}]});
    checked.forbids(
        "POST",
        &format!("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings{dry}"),
        Some(&cluster),
    );
    // Environments are changed through Seaway, as oneself.
    let environments = "/apis/seaway.dev/v1alpha1/namespaces";
    for path in ["seaway-jane/environments", "seaway/environments", "seaway/stacks", "mine-shop/environments"]
    {
        let body = json!({"apiVersion": "seaway.dev/v1alpha1", "kind": "Environment", "metadata": {"name": "probe"},
            "spec": {"copyOf": "production", "class": "personal"}});
        checked.forbids("POST", &format!("{environments}/{path}{dry}"), Some(&body));
        checked.forbids("DELETE", &format!("{environments}/{path}/mine{dry}"), None);
    }
    // Nobody else's name, and nobody else's token.
    let token = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
    for account in [
        "seaway-jane/serviceaccounts/seaway-mine",
        "mine-shop/serviceaccounts/web",
        "seaway-jane/serviceaccounts/access-mine",
    ] {
        checked.forbids("POST", &format!("/api/v1/namespaces/{account}/token"), Some(&token));
    }
    let configmaps = format!("/api/v1/namespaces/{INSIDE}/configmaps");
    for user in [
        "admin",
        "jane",
        "system:serviceaccount:seaway-jane:seaway-mine",
        "system:serviceaccount:mine-shop:web",
    ] {
        checked.forbids_with("GET", &configmaps, None, &[("impersonate-user", user)]);
    }
    // More than the quota of the copy.
    let pods = format!("/api/v1/namespaces/{INSIDE}/pods{dry}");
    let mut greedy = object("v1", "Pod", &json!({"spec": pod(&json!({}))}));
    greedy["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "17"}});
    checked.forbids("POST", &pods, Some(&greedy));
    if features.service_accounts {
        let other = object("v1", "Pod", &json!({"spec": pod(&json!({"serviceAccountName": "access-mine"}))}));
        checked.forbids("POST", &pods, Some(&other));
    }
    if features.refuses_endless_tokens {
        let secrets = format!("/api/v1/namespaces/{INSIDE}/secrets{dry}");
        checked.forbids("POST", &secrets, Some(&endless_token("default")));
        checked.forbids("POST", &secrets, Some(&endless_token("web")));
    }
    if features.pod_security {
        for spec in [
            json!({"hostNetwork": true}),
            json!({"hostPID": true}),
            json!({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}),
            json!({"securityContext": {}}),
            json!({"containers": [{"name": "c", "image": "i", "securityContext": {"privileged": true}}]}),
        ] {
            checked.forbids("POST", &pods, Some(&object("v1", "Pod", &json!({"spec": pod(&spec)}))));
        }
    }
    checked.end()
}

/// The account as which the copy is applied: what an override renders cannot do more.
pub(crate) fn check_account(api: &Api, features: Features) {
    let mut checked = Checked { api, allowed: 0, forbidden: 0, wrong: Vec::new() };
    let dry = "?dryRun=All";
    for (root, plural, object) in workloads() {
        checked.allows("POST", &format!("{root}/namespaces/{INSIDE}/{plural}{dry}"), Some(&object));
        checked.forbids("POST", &format!("{root}/namespaces/shop/{plural}{dry}"), Some(&object));
    }
    let (rbac, api_version) = ("/apis/rbac.authorization.k8s.io/v1", "rbac.authorization.k8s.io/v1");
    let bind = |role: &str| {
        object(
            api_version,
            "RoleBinding",
            &json!({"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
                "subjects": [{"kind": "ServiceAccount", "name": "web", "namespace": INSIDE}]}),
        )
    };
    let bindings = format!("{rbac}/namespaces/{INSIDE}/rolebindings{dry}");
    checked.allows("POST", &bindings, Some(&bind("seaway-copy-owner")));
    // These would let a pod open the network, or act as others.
    for role in ["admin", "edit", "cluster-admin"] {
        checked.forbids("POST", &bindings, Some(&bind(role)));
        let mut cluster = bind(role);
        cluster["kind"] = "ClusterRoleBinding".into();
        checked.forbids("POST", &format!("{rbac}/clusterrolebindings{dry}"), Some(&cluster));
    }
    let roles = format!("{rbac}/namespaces/{INSIDE}/roles{dry}");
    let role = |group: &str, resource: &str| {
        let rules = json!({"rules": [{"apiGroups": [group], "resources": [resource], "verbs": ["create"]}]});
        object(api_version, "Role", &rules)
    };
    checked.allows("POST", &roles, Some(&role("", "pods")));
    for (group, resource) in [("networking.k8s.io", "networkpolicies"), ("", "resourcequotas"), ("*", "*")] {
        checked.forbids("POST", &roles, Some(&role(group, resource)));
    }
    for (root, plural, _, object) in bounds().into_iter().take(3) {
        checked.forbids("POST", &format!("{root}/namespaces/{INSIDE}/{plural}{dry}"), Some(&object));
    }
    if features.service_accounts {
        let other = object("v1", "Pod", &json!({"spec": pod(&json!({"serviceAccountName": "builder"}))}));
        checked.forbids("POST", &format!("/api/v1/namespaces/{INSIDE}/pods{dry}"), Some(&other));
    }
    if features.refuses_endless_tokens {
        let secrets = format!("/api/v1/namespaces/{INSIDE}/secrets{dry}");
        checked.forbids("POST", &secrets, Some(&endless_token("web")));
    }
    checked.end();
}
