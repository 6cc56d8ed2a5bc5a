//! The built-in resources: what a Kubernetes 1.37 server lists in discovery, as far as Seaway serves it.
//!
//! Order, names, short names, categories and verbs are those of the published discovery documents: `kubectl`
//! resolves `events` or `hpa` by the order of groups and the preference of versions. The `proxy` subresources are left
//! out: they are not served.

use std::sync::LazyLock;

/// One resource at one version: a line of `kubectl api-resources` and its subresources.
#[derive(Clone, Debug, PartialEq)]
pub struct Resource {
    /// API group; empty for the core group.
    pub group: String,
    /// Version, for example `v1`.
    pub version: String,
    /// Kind, for example `Deployment`.
    pub kind: String,
    /// Kind of the list, for example `DeploymentList`; empty for kinds that cannot be listed.
    pub list_kind: String,
    /// Name in paths, for example `deployments`.
    pub plural: String,
    /// Singular name, for example `deployment`.
    pub singular: String,
    /// Short names, for example `deploy`.
    pub short_names: Vec<String>,
    /// Categories that the resource is part of, for example `all`.
    pub categories: Vec<String>,
    /// Whether objects live in a namespace.
    pub namespaced: bool,
    /// Paths below an object, in discovery order.
    pub subresources: Vec<Subresource>,
    /// Discovery verbs of the main resource, sorted; kinds that are not stored (reviews) have only `create`.
    pub verbs: Vec<String>,
}

/// A path below an object with its own meaning.
#[derive(Clone, Debug, PartialEq)]
pub enum Subresource {
    /// `/status`: the object, of which only the status is written.
    Status,
    /// `/scale`: an `autoscaling/v1 Scale`. Paths are dotted with a leading dot (`.spec.replicas`).
    Scale {
        /// The wanted number.
        spec_replicas: String,
        /// The observed number.
        status_replicas: String,
        /// The label selector. Built-in kinds hold it as an object (a `LabelSelector`, or a plain label map for
        /// ReplicationController), custom resources as a string.
        selector: Option<String>,
    },
    /// `/token`: takes an `authentication.k8s.io/v1 TokenRequest`.
    Token,
    /// `/eviction`: takes a `policy/v1 Eviction`.
    Eviction,
    /// `/binding`: takes a `v1 Binding`.
    Binding,
    /// `/log`
    Log,
    /// `/exec`
    Exec,
    /// `/attach`
    Attach,
    /// `/portforward`
    PortForward,
    /// `/approval`: the object, of which only the approval conditions are written.
    Approval,
    /// `/finalize`: the namespace, of which only `spec.finalizers` is written.
    Finalize,
    /// `/ephemeralcontainers`
    EphemeralContainers,
    /// `/resize`
    Resize,
}

impl Subresource {
    /// The last segment of the path.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Scale { .. } => "scale",
            Self::Token => "token",
            Self::Eviction => "eviction",
            Self::Binding => "binding",
            Self::Log => "log",
            Self::Exec => "exec",
            Self::Attach => "attach",
            Self::PortForward => "portforward",
            Self::Approval => "approval",
            Self::Finalize => "finalize",
            Self::EphemeralContainers => "ephemeralcontainers",
            Self::Resize => "resize",
        }
    }

    /// Discovery verbs, sorted.
    pub fn verbs(&self) -> &'static [&'static str] {
        match self {
            Self::Status | Self::Scale { .. } | Self::Approval | Self::EphemeralContainers | Self::Resize => {
                &["get", "patch", "update"]
            }
            Self::Token | Self::Eviction | Self::Binding => &["create"],
            Self::Log => &["get"],
            Self::Exec | Self::Attach | Self::PortForward => &["create", "get"],
            Self::Finalize => &["update"],
        }
    }

    /// Group, version and kind of what is read or written there, for a subresource of `resource`.
    pub fn kind<'a>(&self, resource: &'a Resource) -> (&'a str, &'a str, String) {
        let own = (resource.group.as_str(), resource.version.as_str());
        match self {
            Self::Scale { .. } => ("autoscaling", "v1", "Scale".to_owned()),
            Self::Token => ("authentication.k8s.io", "v1", "TokenRequest".to_owned()),
            Self::Eviction => ("policy", "v1", "Eviction".to_owned()),
            Self::Binding => (own.0, own.1, "Binding".to_owned()),
            Self::Exec => (own.0, own.1, "PodExecOptions".to_owned()),
            Self::Attach => (own.0, own.1, "PodAttachOptions".to_owned()),
            Self::PortForward => (own.0, own.1, "PodPortForwardOptions".to_owned()),
            Self::Status
            | Self::Log
            | Self::Approval
            | Self::Finalize
            | Self::EphemeralContainers
            | Self::Resize => (own.0, own.1, resource.kind.clone()),
        }
    }
}

impl Resource {
    /// `apiVersion` of the objects: `v1`, `apps/v1`.
    pub fn group_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// The path of the group version: `/api/v1`, `/apis/apps/v1`.
    pub fn base_path(&self) -> String {
        if self.group.is_empty() {
            format!("/api/{}", self.version)
        } else {
            format!("/apis/{}/{}", self.group, self.version)
        }
    }

    /// Objects of this kind are answered, never stored (reviews, bindings).
    pub fn is_virtual(&self) -> bool {
        self.verbs == ["create"]
    }

    /// Whether the main resource has a discovery verb.
    pub fn has_verb(&self, verb: &str) -> bool {
        self.verbs.iter().any(|v| v == verb)
    }

    /// The subresource of that name.
    pub fn subresource(&self, name: &str) -> Option<&Subresource> {
        self.subresources.iter().find(|s| s.name() == name)
    }
}

/// All built-in resources, in the order of discovery: groups by the real server's priority, in a group the
/// preferred version first, in a version by name.
pub fn builtin() -> &'static [Resource] {
    static ALL: LazyLock<Vec<Resource>> = LazyLock::new(all);
    &ALL
}

/// The built-in resource of a path.
pub fn find(group: &str, version: &str, plural: &str) -> Option<&'static Resource> {
    builtin().iter().find(|r| r.group == group && r.version == version && r.plural == plural)
}

/// The verbs of every stored resource.
pub const STORED_VERBS: [&str; 8] =
    ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// One line of the table: everything that is not a name or kind starts at its usual value.
struct Row(Resource);

impl Row {
    fn short(mut self, names: &[&str]) -> Self {
        self.0.short_names = names.iter().map(|&n| n.to_owned()).collect();
        self
    }
    fn category(mut self, name: &str) -> Self {
        self.0.categories.push(name.to_owned());
        self
    }
    fn all(self) -> Self {
        self.category("all")
    }
    fn sub(mut self, subresources: &[Subresource]) -> Self {
        self.0.subresources = subresources.to_vec();
        self
    }
    fn status(self) -> Self {
        self.sub(&[Subresource::Status])
    }
    fn without(mut self, verb: &str) -> Self {
        self.0.verbs.retain(|v| v != verb);
        self
    }
    fn create_only(mut self) -> Self {
        self.0.verbs = vec!["create".to_owned()];
        self.0.list_kind.clear();
        self
    }
}

fn row(group: &str, version: &str, kind: &str, plural: &str, namespaced: bool) -> Row {
    Row(Resource {
        group: group.to_owned(),
        version: version.to_owned(),
        kind: kind.to_owned(),
        list_kind: format!("{kind}List"),
        plural: plural.to_owned(),
        singular: kind.to_ascii_lowercase(),
        short_names: Vec::new(),
        categories: Vec::new(),
        namespaced,
        subresources: Vec::new(),
        verbs: STORED_VERBS.iter().map(|&v| v.to_owned()).collect(),
    })
}

fn all() -> Vec<Resource> {
    [core(), workloads(), policies(), infrastructure()].into_iter().flatten().map(|row| row.0).collect()
}

fn scale() -> Subresource {
    Subresource::Scale {
        spec_replicas: ".spec.replicas".to_owned(),
        status_replicas: ".status.replicas".to_owned(),
        selector: Some(".spec.selector".to_owned()),
    }
}

fn core() -> Vec<Row> {
    use Subresource::{
        Attach, Binding, EphemeralContainers, Eviction, Exec, Finalize, Log, PortForward, Resize, Status,
        Token,
    };
    let in_namespace = |kind: &str, plural: &str| row("", "v1", kind, plural, true);
    let in_cluster = |kind: &str, plural: &str| row("", "v1", kind, plural, false);
    vec![
        in_namespace("Binding", "bindings").create_only(),
        in_namespace("ConfigMap", "configmaps").short(&["cm"]),
        in_namespace("Endpoints", "endpoints").short(&["ep"]),
        in_namespace("Event", "events").short(&["ev"]),
        in_namespace("LimitRange", "limitranges").short(&["limits"]),
        in_cluster("Namespace", "namespaces")
            .short(&["ns"])
            .sub(&[Finalize, Status])
            .without("deletecollection"),
        in_cluster("Node", "nodes").short(&["no"]).sub(&[Status]),
        in_namespace("PersistentVolumeClaim", "persistentvolumeclaims").short(&["pvc"]).status(),
        in_cluster("PersistentVolume", "persistentvolumes").short(&["pv"]).status(),
        in_namespace("Pod", "pods").short(&["po"]).all().sub(&[
            Attach,
            Binding,
            EphemeralContainers,
            Eviction,
            Exec,
            Log,
            PortForward,
            Resize,
            Status,
        ]),
        in_namespace("PodTemplate", "podtemplates"),
        in_namespace("ReplicationController", "replicationcontrollers")
            .short(&["rc"])
            .all()
            .sub(&[scale(), Status]),
        in_namespace("ResourceQuota", "resourcequotas").short(&["quota"]).status(),
        in_namespace("Secret", "secrets"),
        in_namespace("ServiceAccount", "serviceaccounts").short(&["sa"]).sub(&[Token]),
        in_namespace("Service", "services").short(&["svc"]).all().sub(&[Status]),
    ]
}

fn workloads() -> Vec<Row> {
    let apps = |kind: &str, plural: &str| row("apps", "v1", kind, plural, true);
    let scaled = [scale(), Subresource::Status];
    vec![
        apps("ControllerRevision", "controllerrevisions"),
        apps("DaemonSet", "daemonsets").short(&["ds"]).all().status(),
        apps("Deployment", "deployments").short(&["deploy"]).all().sub(&scaled),
        apps("ReplicaSet", "replicasets").short(&["rs"]).all().sub(&scaled),
        apps("StatefulSet", "statefulsets").short(&["sts"]).all().sub(&scaled),
        row("events.k8s.io", "v1", "Event", "events", true).short(&["ev"]),
        row("authentication.k8s.io", "v1", "SelfSubjectReview", "selfsubjectreviews", false).create_only(),
        row("authentication.k8s.io", "v1", "TokenReview", "tokenreviews", false).create_only(),
        row("authorization.k8s.io", "v1", "LocalSubjectAccessReview", "localsubjectaccessreviews", true)
            .create_only(),
        row("authorization.k8s.io", "v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews", false)
            .create_only(),
        row("authorization.k8s.io", "v1", "SelfSubjectRulesReview", "selfsubjectrulesreviews", false)
            .create_only(),
        row("authorization.k8s.io", "v1", "SubjectAccessReview", "subjectaccessreviews", false).create_only(),
        row("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", true)
            .short(&["hpa"])
            .all()
            .status(),
        row("autoscaling", "v1", "HorizontalPodAutoscaler", "horizontalpodautoscalers", true)
            .short(&["hpa"])
            .all()
            .status(),
        row("batch", "v1", "CronJob", "cronjobs", true).short(&["cj"]).all().status(),
        row("batch", "v1", "Job", "jobs", true).all().status(),
    ]
}

fn policies() -> Vec<Row> {
    const RBAC: &str = "rbac.authorization.k8s.io";
    vec![
        row("certificates.k8s.io", "v1", "CertificateSigningRequest", "certificatesigningrequests", false)
            .short(&["csr"])
            .sub(&[Subresource::Approval, Subresource::Status]),
        row("networking.k8s.io", "v1", "IngressClass", "ingressclasses", false),
        row("networking.k8s.io", "v1", "Ingress", "ingresses", true).short(&["ing"]).status(),
        row("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies", true).short(&["netpol"]),
        row("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", true).short(&["pdb"]).status(),
        row(RBAC, "v1", "ClusterRoleBinding", "clusterrolebindings", false),
        row(RBAC, "v1", "ClusterRole", "clusterroles", false),
        row(RBAC, "v1", "RoleBinding", "rolebindings", true),
        row(RBAC, "v1", "Role", "roles", true),
    ]
}

fn infrastructure() -> Vec<Row> {
    let storage = |kind: &str, plural: &str| row("storage.k8s.io", "v1", kind, plural, false);
    let admission = |kind: &str, plural: &str| {
        row("admissionregistration.k8s.io", "v1", kind, plural, false).category("api-extensions")
    };
    vec![
        storage("CSIDriver", "csidrivers"),
        storage("CSINode", "csinodes"),
        storage("StorageClass", "storageclasses").short(&["sc"]),
        storage("VolumeAttachment", "volumeattachments").status(),
        admission("MutatingWebhookConfiguration", "mutatingwebhookconfigurations"),
        admission("ValidatingAdmissionPolicy", "validatingadmissionpolicies").status(),
        admission("ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings"),
        admission("ValidatingWebhookConfiguration", "validatingwebhookconfigurations"),
        row("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", false)
            .short(&["crd", "crds"])
            .category("api-extensions")
            .status(),
        row("scheduling.k8s.io", "v1", "PriorityClass", "priorityclasses", false).short(&["pc"]),
        row("coordination.k8s.io", "v1", "Lease", "leases", true),
        row("node.k8s.io", "v1", "RuntimeClass", "runtimeclasses", false),
        row("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", true),
    ]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn paths_and_kinds_are_unique_in_a_group_version() {
        let mut seen = std::collections::BTreeSet::new();
        for r in builtin() {
            assert!(seen.insert((r.group_version(), r.plural.clone())), "{} twice", r.plural);
            assert!(seen.insert((r.group_version(), r.kind.clone())), "{} twice", r.kind);
        }
    }

    #[test]
    fn reviews_are_not_stored_and_have_no_list() {
        let review = find("authorization.k8s.io", "v1", "subjectaccessreviews").unwrap();
        assert!(review.is_virtual());
        assert_eq!(review.list_kind, "");
        assert!(!find("", "v1", "pods").unwrap().is_virtual());
    }

    #[test]
    fn namespaces_cannot_be_deleted_as_a_collection() {
        assert!(!find("", "v1", "namespaces").unwrap().has_verb("deletecollection"));
    }

    #[test]
    fn a_scale_subresource_answers_with_the_scale_kind() {
        let deployments = find("apps", "v1", "deployments").unwrap();
        let scale = deployments.subresource("scale").unwrap();
        assert_eq!(scale.kind(deployments), ("autoscaling", "v1", "Scale".to_owned()));
    }
}
