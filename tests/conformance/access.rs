//! RBAC: one set of roles and bindings, asked by SubjectAccessReviews over a matrix of users and actions.

use serde_json::{Value, json};

use crate::scenario::{Scenario, Step, Until};

/// A role by name and rules.
fn role(name: &str, rules: Value) -> Value {
    json!({"metadata": {"name": name}, "rules": rules})
}

fn rule(groups: &[&str], resources: &[&str], verbs: &[&str]) -> Value {
    json!({"apiGroups": groups, "resources": resources, "verbs": verbs})
}

fn named(mut rule: Value, names: &[&str]) -> Value {
    rule["resourceNames"] = json!(names);
    rule
}

fn binding(name: &str, kind: &str, role: &str, subjects: Value) -> Value {
    json!({"metadata": {"name": name},
           "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role}, "subjects": subjects})
}

fn user(name: &str) -> Value {
    json!([{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": name}])
}

fn group(name: &str) -> Value {
    json!([{"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": name}])
}

fn review(user: &str, groups: &[&str], attributes: &Value) -> Step {
    let mut spec = json!({"user": user, "groups": groups});
    let part = if attributes["path"].is_string() { "nonResourceAttributes" } else { "resourceAttributes" };
    spec[part] = attributes.clone();
    let mut step = Step::new("POST subjectaccessreviews").body(json!({"spec": spec}));
    step.title = format!("{user} {groups:?} {attributes}");
    step.repeat = 1;
    step
}

fn write(line: &str, body: Value) -> Step {
    let mut step = Step::new(line).body(body);
    step.repeat = 1;
    step
}

/// Asks until the answer is yes: a real server learns of roles a moment later.
fn until_allowed(mut step: Step) -> Step {
    step.until = Some(Until::Value("status.allowed".into(), true.into()));
    step
}

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![matrix()]
}

fn matrix() -> Scenario {
    let core = [""];
    let mut steps = vec![
        write(
            "POST roles",
            role("reader", json!([rule(&core, &["configmaps", "pods/log"], &["get", "list"])])),
        ),
        write(
            "POST roles",
            role("one", json!([named(rule(&core, &["secrets"], &["get", "update"]), &["mine"])])),
        ),
        write("POST roles", role("empty", json!([rule(&core, &["nothing"], &["get"])]))),
        write("POST roles", role("wide", json!([rule(&["*"], &["*"], &["*"])]))),
        write(
            "POST roles",
            role(
                "scaler",
                json!([rule(&["apps"], &["*/scale"], &["*"]), rule(&["apps"], &["deployments"], &["get"])]),
            ),
        ),
        write(
            "POST clusterroles",
            json!({"metadata": {"name": "$ns-paths"}, "rules": [
                {"nonResourceURLs": ["/healthz", "/logs/*"], "verbs": ["get"]},
                {"apiGroups": [""], "resources": ["nodes"], "verbs": ["list"]}]}),
        ),
        write("POST clusterroles", role("$ns-pods", json!([rule(&core, &["pods"], &["get", "delete"])]))),
        write("POST rolebindings", binding("reader", "Role", "reader", user("ann"))),
        write("POST rolebindings", binding("readers", "Role", "reader", group("devs"))),
        write("POST rolebindings", binding("one", "Role", "one", user("bob"))),
        write("POST rolebindings", binding("empty", "Role", "empty", user("eve"))),
        write("POST rolebindings", binding("gone", "Role", "not-there", user("eve"))),
        write(
            "POST rolebindings",
            binding(
                "wide",
                "Role",
                "wide",
                json!([{"kind": "ServiceAccount", "name": "robot", "namespace": "$ns"}]),
            ),
        ),
        write("POST rolebindings", binding("scaler", "Role", "scaler", user("sam"))),
        write("POST rolebindings", binding("pods", "ClusterRole", "$ns-pods", user("cat"))),
        write("POST clusterrolebindings", binding("$ns-paths", "ClusterRole", "$ns-paths", user("pat"))),
        write(
            "POST clusterrolebindings",
            binding("$ns-pods", "ClusterRole", "$ns-pods", group("$ns-operators")),
        ),
        until_allowed(review(
            "ann",
            &[],
            &json!({"namespace": "$ns", "verb": "get", "resource": "configmaps"}),
        )),
        until_allowed(review("cat", &[], &json!({"namespace": "$ns", "verb": "get", "resource": "pods"}))),
        until_allowed(review("pat", &[], &json!({"verb": "list", "resource": "nodes"}))),
        until_allowed(review("zoe", &["$ns-operators"], &json!({"verb": "get", "resource": "pods"}))),
    ];
    let actions = [
        json!({"namespace": "$ns", "verb": "get", "resource": "configmaps"}),
        json!({"namespace": "$ns", "verb": "get", "resource": "configmaps", "name": "x"}),
        json!({"namespace": "$ns", "verb": "watch", "resource": "configmaps"}),
        json!({"namespace": "default", "verb": "get", "resource": "configmaps"}),
        json!({"verb": "list", "resource": "configmaps"}),
        json!({"namespace": "$ns", "verb": "get", "resource": "pods"}),
        json!({"namespace": "$ns", "verb": "get", "resource": "pods", "subresource": "log"}),
        json!({"namespace": "$ns", "verb": "delete", "resource": "pods", "name": "x"}),
        json!({"verb": "delete", "resource": "pods", "namespace": "default"}),
        json!({"namespace": "$ns", "verb": "get", "resource": "secrets", "name": "mine"}),
        json!({"namespace": "$ns", "verb": "get", "resource": "secrets", "name": "other"}),
        json!({"namespace": "$ns", "verb": "get", "resource": "secrets"}),
        json!({"namespace": "$ns", "verb": "update", "resource": "secrets", "name": "mine"}),
        json!({"namespace": "$ns", "verb": "*", "resource": "*", "group": "*"}),
        json!({"namespace": "$ns", "verb": "patch", "resource": "deployments", "group": "apps"}),
        json!({"namespace": "$ns", "verb": "update", "resource": "deployments", "group": "apps", "subresource": "scale"}),
        json!({"namespace": "$ns", "verb": "update", "resource": "replicasets", "group": "apps", "subresource": "scale"}),
        json!({"namespace": "$ns", "verb": "update", "resource": "deployments", "group": "extensions", "subresource": "scale"}),
        json!({"verb": "list", "resource": "nodes"}),
        json!({"verb": "list", "resource": "nodes", "namespace": "$ns"}),
        json!({"path": "/healthz", "verb": "get"}),
        json!({"path": "/healthz/etcd", "verb": "get"}),
        json!({"path": "/logs/a/b", "verb": "get"}),
        json!({"path": "/logs", "verb": "get"}),
        json!({"path": "/healthz", "verb": "post"}),
    ];
    let people: [(&str, &[&str]); 10] = [
        ("ann", &[]),
        ("zoe", &["devs"]),
        ("zoe", &["$ns-operators"]),
        ("bob", &["others"]),
        ("cat", &[]),
        ("eve", &[]),
        ("pat", &[]),
        ("sam", &[]),
        ("system:serviceaccount:$ns:robot", &["system:serviceaccounts"]),
        ("root", &["system:masters"]),
    ];
    for (name, groups) in people {
        for action in &actions {
            steps.push(review(name, groups, action));
        }
    }
    Scenario { name: "access-matrix".into(), namespace: true, controllers: false, unordered: false, steps }
}
