//! What a new cluster begins with: namespaces, the API's own Service, and the roles of Kubernetes.

use serde_json::{Value, json};

use crate::api::now;
use crate::store::{Change, Expect, ObjectKey, Store, Write, WriteError, resource_key};

/// A write that makes a new object as the server itself would.
pub(crate) fn creation(group: &str, plural: &str, mut object: Value) -> Write {
    object["metadata"]["uid"] = uuid::Uuid::new_v4().to_string().into();
    object["metadata"]["creationTimestamp"] = now().into();
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    let key = ObjectKey::new(text("namespace"), text("name"));
    Write { resource: resource_key(group, plural), key, expect: Expect::Absent, change: Change::Put(object) }
}

/// Makes what is missing; what is there is left as people made it, but for rules that the roles of Kubernetes lack and
/// the port of the API's own Service.
pub(crate) async fn run(store: &Store, port: u16) -> Result<(), WriteError> {
    let mut writes = Vec::new();
    for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
        writes.push(creation(
            "",
            "namespaces",
            json!({"apiVersion": "v1", "kind": "Namespace",
                   "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}},
                   "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}),
        ));
    }
    writes.push(creation(
        "",
        "services",
        json!({"apiVersion": "v1", "kind": "Service",
               "metadata": {"name": "kubernetes", "namespace": "default",
                            "labels": {"component": "apiserver", "provider": "kubernetes"}},
               "spec": {"type": "ClusterIP", "clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"],
                        "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack", "sessionAffinity": "None",
                        "internalTrafficPolicy": "Cluster",
                        "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": port}]},
               "status": {"loadBalancer": {}}}),
    ));
    for (name, value) in [("system-node-critical", 2_000_001_000), ("system-cluster-critical", 2_000_000_000)]
    {
        writes.push(creation(
            "scheduling.k8s.io",
            "priorityclasses",
            json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name},
                   "value": value, "preemptionPolicy": "PreemptLowerPriority"}),
        ));
    }
    writes.extend(roles());
    complete_roles(store, &writes).await?;
    let service = ObjectKey::new("default", "kubernetes");
    store
        .modify(&resource_key("", "services"), &service, |entry| {
            let mut object = entry.value();
            let target = object.pointer_mut("/spec/ports/0/targetPort")?;
            (*target != port).then(|| *target = port.into())?;
            Some(Change::Put(object))
        })
        .await?;
    // All at once: they share one commit.
    let missing = writes.into_iter().filter(|w| store.get(&w.resource, &w.key).is_none());
    for result in futures::future::join_all(missing.map(|w| store.write(w))).await {
        match result {
            Ok(_) | Err(WriteError::Exists) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Annotation of roles that people keep as they are.
const AUTOUPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";

/// Gives default roles the rules that they lack, after a newer release or a slip of somebody's; what they have
/// besides stays, as kube-apiserver does it.
async fn complete_roles(store: &Store, defaults: &[Write]) -> Result<(), WriteError> {
    for write in defaults.iter().filter(|write| &*write.resource == "rbac.authorization.k8s.io/clusterroles")
    {
        let Change::Put(default) = &write.change else { continue };
        if default["aggregationRule"].is_object() {
            continue;
        }
        store
            .modify(&write.resource, &write.key, |entry| {
                let mut role = entry.value();
                if entry.meta.deleting || role["metadata"]["annotations"][AUTOUPDATE] == "false" {
                    return None;
                }
                let held = crate::rbac::rules(&role);
                let wanted = default["rules"].as_array()?;
                let lacks = |rule: &&Value| {
                    let rules = crate::rbac::rules(&json!({"rules": [rule]}));
                    !rules.iter().all(|rule| held.iter().any(|mine| mine.covers(rule)))
                };
                let missing: Vec<Value> = wanted.iter().filter(lacks).cloned().collect();
                if missing.is_empty() {
                    return None;
                }
                if !role["rules"].is_array() {
                    role["rules"] = json!([]);
                }
                role["rules"].as_array_mut()?.extend(missing);
                Some(Change::Put(role))
            })
            .await?;
    }
    Ok(())
}

const RBAC: &str = crate::rbac::GROUP;
const READ: [&str; 3] = ["get", "list", "watch"];
const WRITE: [&str; 5] = ["create", "delete", "deletecollection", "patch", "update"];

fn rule(groups: &[&str], resources: &[&str], verbs: &[&str]) -> Value {
    json!({"apiGroups": groups, "resources": resources, "verbs": verbs})
}

fn role(name: &str, labels: &[(&str, &str)], rules: &[Value]) -> Write {
    let mut all = json!({"kubernetes.io/bootstrapping": "rbac-defaults"});
    for (key, value) in labels {
        all[*key] = (*value).into();
    }
    creation(
        RBAC,
        "clusterroles",
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
               "metadata": {"name": name, "labels": all}, "rules": rules}),
    )
}

fn aggregated(name: &str, labels: &[(&str, &str)], collects: &str) -> Write {
    let mut write = role(name, labels, &[]);
    if let Change::Put(object) = &mut write.change {
        let label = format!("rbac.authorization.k8s.io/aggregate-to-{collects}");
        object["aggregationRule"] = json!({"clusterRoleSelectors": [{"matchLabels": {label: "true"}}]});
    }
    write
}

fn binding(role: &str, group: &str) -> Write {
    creation(
        RBAC,
        "clusterrolebindings",
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
               "metadata": {"name": role, "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}},
               "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role},
               "subjects": [{"apiGroup": RBAC, "kind": "Group", "name": group}]}),
    )
}

/// The user-facing roles of Kubernetes (cluster-admin, admin, edit, view) and those that every user has.
fn roles() -> Vec<Write> {
    let to = |role: &'static str| match role {
        "admin" => ("rbac.authorization.k8s.io/aggregate-to-admin", "true"),
        "edit" => ("rbac.authorization.k8s.io/aggregate-to-edit", "true"),
        _ => ("rbac.authorization.k8s.io/aggregate-to-view", "true"),
    };
    let core_view = [
        "configmaps",
        "endpoints",
        "persistentvolumeclaims",
        "persistentvolumeclaims/status",
        "pods",
        "replicationcontrollers",
        "replicationcontrollers/scale",
        "serviceaccounts",
        "services",
        "services/status",
        "bindings",
        "events",
        "limitranges",
        "namespaces/status",
        "pods/log",
        "pods/status",
        "replicationcontrollers/status",
        "resourcequotas",
        "resourcequotas/status",
        "namespaces",
    ];
    // Not endpoints: who writes them sends others' requests where he likes (CVE-2021-25740).
    let core_edit = [
        "configmaps",
        "persistentvolumeclaims",
        "pods",
        "pods/attach",
        "pods/exec",
        "pods/portforward",
        "pods/proxy",
        "replicationcontrollers",
        "replicationcontrollers/scale",
        "secrets",
        "serviceaccounts",
        "services",
        "services/proxy",
        "events",
    ];
    let apps = [
        "controllerrevisions",
        "daemonsets",
        "deployments",
        "deployments/scale",
        "replicasets",
        "replicasets/scale",
        "statefulsets",
        "statefulsets/scale",
    ];
    let apps_status =
        ["daemonsets/status", "deployments/status", "replicasets/status", "statefulsets/status"];
    let networking = ["ingresses", "networkpolicies"];
    let gateway = ["gateways", "httproutes", "grpcroutes", "referencegrants"];
    vec![
        role(
            "cluster-admin",
            &[],
            &[rule(&["*"], &["*"], &["*"]), json!({"nonResourceURLs": ["*"], "verbs": ["*"]})],
        ),
        role(
            "system:discovery",
            &[],
            &[
                json!({"nonResourceURLs": ["/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi",
                     "/openapi/*", "/readyz", "/version", "/version/", "/"], "verbs": ["get"]}),
            ],
        ),
        role(
            "system:service-account-issuer-discovery",
            &[],
            &[json!({"nonResourceURLs": ["/.well-known/openid-configuration", "/openid/v1/jwks",
                 "/.well-known/openid-configuration/"], "verbs": ["get"]})],
        ),
        role(
            "system:basic-user",
            &[],
            &[
                rule(
                    &["authorization.k8s.io"],
                    &["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
                    &["create"],
                ),
                rule(&["authentication.k8s.io"], &["selfsubjectreviews"], &["create"]),
            ],
        ),
        role(
            "system:aggregate-to-view",
            &[to("view")],
            &[
                rule(&[""], &core_view, &READ),
                rule(&["apps"], &apps, &READ),
                rule(&["apps"], &apps_status, &READ),
                rule(&["autoscaling"], &["horizontalpodautoscalers"], &READ),
                rule(&["batch"], &["cronjobs", "jobs", "cronjobs/status", "jobs/status"], &READ),
                rule(&["policy"], &["poddisruptionbudgets", "poddisruptionbudgets/status"], &READ),
                rule(&["networking.k8s.io"], &networking, &READ),
                rule(&["discovery.k8s.io"], &["endpointslices"], &READ),
                rule(&["gateway.networking.k8s.io"], &gateway, &READ),
            ],
        ),
        role(
            "system:aggregate-to-edit",
            &[to("edit")],
            &[
                rule(
                    &[""],
                    &[
                        "pods/attach",
                        "pods/exec",
                        "pods/portforward",
                        "pods/proxy",
                        "secrets",
                        "services/proxy",
                    ],
                    &READ,
                ),
                rule(&[""], &["serviceaccounts"], &["impersonate"]),
                rule(&[""], &core_edit, &WRITE),
                rule(&[""], &["pods/eviction", "serviceaccounts/token"], &["create"]),
                rule(&["apps"], &apps, &WRITE),
                rule(&["autoscaling"], &["horizontalpodautoscalers"], &WRITE),
                rule(&["batch"], &["cronjobs", "jobs"], &WRITE),
                rule(&["policy"], &["poddisruptionbudgets"], &WRITE),
                rule(&["networking.k8s.io"], &networking, &WRITE),
                rule(&["gateway.networking.k8s.io"], &gateway, &WRITE),
                rule(&["coordination.k8s.io"], &["leases"], &[&READ[..], &WRITE[..]].concat()),
            ],
        ),
        role(
            "system:aggregate-to-admin",
            &[to("admin")],
            &[
                rule(&["authorization.k8s.io"], &["localsubjectaccessreviews"], &["create"]),
                rule(&[RBAC], &["roles", "rolebindings"], &[&READ[..], &WRITE[..]].concat()),
            ],
        ),
        aggregated("view", &[to("edit")], "view"),
        aggregated("edit", &[to("admin")], "edit"),
        aggregated("admin", &[], "admin"),
        binding("cluster-admin", "system:masters"),
        binding("system:discovery", crate::identity::AUTHENTICATED),
        binding("system:service-account-issuer-discovery", "system:serviceaccounts"),
        binding("system:basic-user", crate::identity::AUTHENTICATED),
    ]
}
