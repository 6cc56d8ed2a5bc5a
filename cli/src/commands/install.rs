//! `seaway install`: what Seaway needs in a cluster, as plain YAML.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::env::output::print;
use super::serve::{COPIER, NAMESPACE};
use crate::arguments;
use crate::delivery::External;
use crate::machine::bound;
use crate::rights;

/// The port in the pod.
const PORT: u16 = 7420;
/// Whose rights and pods they are.
const NAME: &str = "seaway";

/// Options of `seaway install`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  seaway install --external-url https://seaway.example.com | kubectl apply -f -
  seaway install --without-workload | kubectl apply -f -     # for a `seaway serve` elsewhere
  kubectl logs --namespace seaway-system deployment/seaway   # the link that makes the first account

It prints and changes nothing. Seaway itself lives in its own namespace; Stacks and shared Environments in
the namespace seaway. Its account may read everything, impersonate, and bind rights in the namespaces of
environments: whoever may start pods in its namespace, or write Stacks, is as mighty as that.")]
pub(crate) struct Options {
    /// Namespace of Seaway itself
    #[arg(long, default_value = NAMESPACE, value_name = "NAMESPACE", value_parser = own_namespace)]
    namespace: String,
    /// Image with this program, git and ssh
    #[arg(long, default_value = concat!("seaway:", env!("CARGO_PKG_VERSION")), value_name = "IMAGE",
        value_parser = arguments::image)]
    image: String,
    /// How people reach it, through an Ingress or a Gateway of yours
    #[arg(long, value_name = "URL")]
    external_url: Option<External>,
    /// Size of the volume with mirrors, history and accounts
    #[arg(long, default_value = "10Gi", value_name = "QUANTITY", value_parser = arguments::size)]
    storage: String,
    /// Kinds, namespaces and rights alone, without Deployment, volume and Service
    #[arg(long)]
    without_workload: bool,
    /// Without the ValidatingAdmissionPolicy for copies, which Kubernetes before 1.30 does not know
    #[arg(long)]
    without_admission_policy: bool,
    /// Further arguments of `seaway serve`, after --
    #[arg(last = true, value_name = "ARGUMENT")]
    arguments: Vec<String>,
}

/// Not the one in which operators write: whoever may start pods beside Seaway is as mighty as it.
fn own_namespace(text: &str) -> Result<String, String> {
    match arguments::namespace(text)? {
        name if name == seaway_api::SHARED_NAMESPACE => {
            Err(format!("{name} holds Stacks and shared Environments: Seaway itself needs another one"))
        }
        name => Ok(name),
    }
}

pub(crate) fn run(options: &Options) -> miette::Result<ExitCode> {
    let texts: Vec<String> = objects(options).iter().map(seaway_object::yaml::to_string).collect();
    print(&texts.join("---\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// In the order in which they need each other.
fn objects(options: &Options) -> Vec<Value> {
    let namespace = &options.namespace;
    let labels = json!({"app.kubernetes.io/name": NAME, "app.kubernetes.io/part-of": NAME});
    let named = |name: &str| json!({"name": name, "labels": labels});
    let placed = |name: &str| json!({"name": name, "namespace": namespace, "labels": labels});
    let mut own = named(namespace);
    own["labels"]["pod-security.kubernetes.io/enforce"] = "restricted".into();
    let mut objects = vec![
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": own}),
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": named(seaway_api::SHARED_NAMESPACE)}),
    ];
    objects.extend(seaway_api::crds());
    objects.extend(seaway_sync::copy_roles());
    objects.extend(seaway_server::cluster_roles());
    objects.extend(seaway_server::group_bindings());
    objects.push(administrators());
    if !options.without_admission_policy {
        objects.extend(admission_policy(&labels));
    }
    objects.push(json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": placed(NAME)}));
    // What the parts of one machine are as accounts of their own, is one account here.
    let subject = json!({"kind": "ServiceAccount", "name": NAME, "namespace": namespace});
    for (part, rules) in [("sync", rights::sync()), ("server", seaway_server::account_rules())] {
        let [role, mut binding] = bound(part, &rules);
        binding["subjects"] = json!([subject]);
        objects.extend([role, binding]);
    }
    objects.push(json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": placed(COPIER),
        "automountServiceAccountToken": false}));
    let [role, mut binding] = bound("copier", &seaway_sync::copier_rules());
    binding["subjects"] = json!([{"kind": "ServiceAccount", "name": COPIER, "namespace": namespace}]);
    objects.extend([role, binding]);
    const RBAC: &str = "rbac.authorization.k8s.io";
    objects
        .push(json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": placed(NAME),
        "rules": rights::lease()}));
    objects.push(
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": placed(NAME),
        "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": NAME}, "subjects": [subject]}),
    );
    if options.without_workload {
        return objects;
    }
    objects.push(json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": placed(NAME),
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": options.storage}}}}));
    objects.push(json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": placed(NAME), "spec": {
        "replicas": 1,
        // The volume is one pod's alone.
        "strategy": {"type": "Recreate"},
        "selector": {"matchLabels": {"app.kubernetes.io/name": NAME}},
        "template": {"metadata": {"labels": labels}, "spec": pod(options)}}}));
    objects.push(json!({"apiVersion": "v1", "kind": "Service", "metadata": placed(NAME), "spec": {
        "selector": {"app.kubernetes.io/name": NAME},
        "ports": [{"name": "http", "port": 80, "targetPort": "http"}]}}));
    objects
}

fn pod(options: &Options) -> Value {
    let mut arguments = vec![
        "serve".to_owned(),
        "--in-cluster".to_owned(),
        "--data-dir=/data".to_owned(),
        format!("--listen=0.0.0.0:{PORT}"),
        // The Ingress or Gateway in front of it ends TLS.
        "--insecure".to_owned(),
        format!("--lease-namespace={}", options.namespace),
    ];
    arguments.extend(options.external_url.iter().map(|external| format!("--external-url={}", external.url)));
    arguments.extend(options.arguments.iter().cloned());
    json!({
        "serviceAccountName": NAME,
        "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{
            "name": NAME,
            "image": options.image,
            "args": arguments,
            "ports": [{"name": "http", "containerPort": PORT}],
            "readinessProbe": {"httpGet": {"path": "/healthz", "port": "http"}, "periodSeconds": 5},
            "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}},
            "securityContext": {"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
                "capabilities": {"drop": ["ALL"]}},
            "volumeMounts": [{"name": "data", "mountPath": "/data"}, {"name": "tmp", "mountPath": "/tmp"}],
        }],
        "volumes": [
            {"name": "data", "persistentVolumeClaim": {"claimName": NAME}},
            {"name": "tmp", "emptyDir": {}},
        ],
    })
}

/// No Secret with a token that never ends in a namespace of a copy (KEP-3488), which the API of `seaway up` refuses itself.
fn admission_policy(labels: &Value) -> [Value; 2] {
    const GROUP: &str = "admissionregistration.k8s.io/v1";
    let metadata = json!({"name": "seaway-copies", "labels": labels});
    // The scope is the default, written out: a list that is not as the API keeps it would be changed by every apply.
    let rule = json!({"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["secrets"],
        "scope": "*"});
    let copies = json!({"matchExpressions": [{"key": "seaway.dev/copy-name", "operator": "Exists"}]});
    let validation = json!({
        "expression": "!has(object.type) || object.type != 'kubernetes.io/service-account-token'",
        "message": "a copy has no tokens that never end: ask for one by `kubectl create token`",
        "reason": "Forbidden"});
    [
        json!({"apiVersion": GROUP, "kind": "ValidatingAdmissionPolicy", "metadata": metadata, "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"namespaceSelector": copies, "resourceRules": [rule]},
            "validations": [validation]}}),
        json!({"apiVersion": GROUP, "kind": "ValidatingAdmissionPolicyBinding", "metadata": metadata, "spec": {
            "policyName": "seaway-copies", "validationActions": ["Deny"]}}),
    ]
}

/// Whoever made the first account administers Seaway, and not the cluster.
fn administrators() -> Value {
    const RBAC: &str = "rbac.authorization.k8s.io";
    json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": seaway_server::ADMINS},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": "seaway-admin"},
        "subjects": [{"apiGroup": RBAC, "kind": "Group", "name": seaway_server::ADMINS}]})
}
