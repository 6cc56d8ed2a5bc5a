//! Who an object is.

use std::fmt;

/// Group, version and kind. As a selector, empty parts match anything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Gvk {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) kind: String,
}

impl Gvk {
    pub(crate) fn new(api_version: &str, kind: &str) -> Self {
        let (group, version) = split_api_version(api_version);
        Self { group: group.to_owned(), version: version.to_owned(), kind: kind.to_owned() }
    }

    pub(crate) fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    pub(crate) fn is_selected_by(&self, selector: &Gvk) -> bool {
        let matches = |mine: &str, wanted: &str| wanted.is_empty() || mine == wanted;
        matches(&self.group, &selector.group)
            && matches(&self.version, &selector.version)
            && matches(&self.kind, &selector.kind)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.group.is_empty() && self.version.is_empty() && self.kind.is_empty()
    }

    /// Known to live outside namespaces; kinds that kustomize does not know count as namespaced.
    pub(crate) fn is_cluster_scoped(&self) -> bool {
        scope(&self.group, &self.version, &self.kind) == Some(Scope::Cluster)
    }
}

impl fmt::Display for Gvk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or =
            |text: &str, none: &'static str| if text.is_empty() { none.to_owned() } else { text.to_owned() };
        let (kind, version) = (or(&self.kind, "[noKind]"), or(&self.version, "[noVer]"));
        write!(f, "{kind}.{version}.{}", or(&self.group, "[noGrp]"))
    }
}

pub(crate) fn split_api_version(api_version: &str) -> (&str, &str) {
    match api_version.split_once('/') {
        Some(parts) => parts,
        // The configuration of a built-in transformer, in the old notation.
        None if api_version == "builtin" => (api_version, ""),
        None => ("", api_version),
    }
}

/// An object's identity at some moment: names, kinds and namespaces change on the way.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct ResId {
    pub(crate) gvk: Gvk,
    pub(crate) name: String,
    pub(crate) namespace: String,
}

/// Where cluster-scoped objects count as being.
const NO_NAMESPACE: &str = "_non_namespaceable_";

impl ResId {
    pub(crate) fn effective_namespace(&self) -> &str {
        if self.gvk.is_cluster_scoped() {
            NO_NAMESPACE
        } else if self.namespace.is_empty() {
            "default"
        } else {
            &self.namespace
        }
    }

    pub(crate) fn in_same_namespace(&self, other: &ResId) -> bool {
        self.effective_namespace() == other.effective_namespace()
    }

    /// The same kind and name, wherever.
    pub(crate) fn same_kind_and_name(&self, other: &ResId) -> bool {
        self.name == other.name && self.gvk == other.gvk
    }

    pub(crate) fn same(&self, other: &ResId) -> bool {
        self.same_kind_and_name(other) && self.in_same_namespace(other)
    }

    pub(crate) fn is_selected_by(&self, selector: &ResId) -> bool {
        (selector.name.is_empty() || selector.name == self.name)
            && (selector.namespace.is_empty() || selector.namespace == self.effective_namespace())
            && self.gvk.is_selected_by(&selector.gvk)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.gvk.is_empty() && self.name.is_empty() && self.namespace.is_empty()
    }
}

impl fmt::Display for ResId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.name.is_empty() { "[noName]" } else { &self.name };
        let namespace = if self.namespace.is_empty() { "[noNs]" } else { &self.namespace };
        write!(f, "{}/{name}.{namespace}", self.gvk)
    }
}

/// Where objects of a kind live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    Cluster,
    Namespaced,
}

/// The scope of a kind, as far as kustomize knows: the kinds of Kubernetes 1.21.
pub(crate) fn scope(group: &str, version: &str, kind: &str) -> Option<Scope> {
    KINDS
        .iter()
        .filter(|(known, versions, _, _)| *known == group && versions.contains(&version))
        .find_map(|(_, _, scope, kinds)| kinds.contains(&kind).then_some(*scope))
}

type Kinds = (&'static str, &'static [&'static str], Scope, &'static [&'static str]);

const KINDS: &[Kinds] = &[
    (
        "",
        &["v1"],
        Scope::Namespaced,
        &[
            "ConfigMap",
            "Endpoints",
            "Event",
            "LimitRange",
            "PersistentVolumeClaim",
            "Pod",
            "PodAttachOptions",
            "PodExecOptions",
            "PodPortForwardOptions",
            "PodProxyOptions",
            "PodTemplate",
            "ReplicationController",
            "ResourceQuota",
            "Secret",
            "Service",
            "ServiceAccount",
            "ServiceProxyOptions",
        ],
    ),
    (
        "",
        &["v1"],
        Scope::Cluster,
        &["ComponentStatus", "Namespace", "Node", "NodeProxyOptions", "PersistentVolume"],
    ),
    (
        "admissionregistration.k8s.io",
        &["v1", "v1beta1"],
        Scope::Cluster,
        &["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"],
    ),
    ("apiextensions.k8s.io", &["v1", "v1beta1"], Scope::Cluster, &["CustomResourceDefinition"]),
    ("apiregistration.k8s.io", &["v1", "v1beta1"], Scope::Cluster, &["APIService"]),
    (
        "apps",
        &["v1"],
        Scope::Namespaced,
        &["ControllerRevision", "DaemonSet", "Deployment", "ReplicaSet", "StatefulSet"],
    ),
    ("autoscaling", &["v1"], Scope::Namespaced, &["Scale"]),
    ("autoscaling", &["v1", "v2beta1", "v2beta2"], Scope::Namespaced, &["HorizontalPodAutoscaler"]),
    ("batch", &["v1"], Scope::Namespaced, &["Job"]),
    ("batch", &["v1", "v1beta1"], Scope::Namespaced, &["CronJob"]),
    ("certificates.k8s.io", &["v1", "v1beta1"], Scope::Cluster, &["CertificateSigningRequest"]),
    ("coordination.k8s.io", &["v1", "v1beta1"], Scope::Namespaced, &["Lease"]),
    ("discovery.k8s.io", &["v1", "v1beta1"], Scope::Namespaced, &["EndpointSlice"]),
    ("events.k8s.io", &["v1", "v1beta1"], Scope::Namespaced, &["Event"]),
    ("extensions", &["v1beta1"], Scope::Namespaced, &["Ingress"]),
    (
        "flowcontrol.apiserver.k8s.io",
        &["v1beta1"],
        Scope::Cluster,
        &["FlowSchema", "PriorityLevelConfiguration"],
    ),
    ("networking.k8s.io", &["v1", "v1beta1"], Scope::Namespaced, &["Ingress"]),
    ("networking.k8s.io", &["v1"], Scope::Namespaced, &["NetworkPolicy"]),
    ("networking.k8s.io", &["v1", "v1beta1"], Scope::Cluster, &["IngressClass"]),
    ("node.k8s.io", &["v1", "v1beta1"], Scope::Cluster, &["RuntimeClass"]),
    ("policy", &["v1", "v1beta1"], Scope::Namespaced, &["PodDisruptionBudget"]),
    ("policy", &["v1beta1"], Scope::Cluster, &["PodSecurityPolicy"]),
    ("rbac.authorization.k8s.io", &["v1", "v1beta1"], Scope::Cluster, &["ClusterRole", "ClusterRoleBinding"]),
    ("rbac.authorization.k8s.io", &["v1", "v1beta1"], Scope::Namespaced, &["Role", "RoleBinding"]),
    ("scheduling.k8s.io", &["v1", "v1beta1"], Scope::Cluster, &["PriorityClass"]),
    (
        "storage.k8s.io",
        &["v1", "v1beta1"],
        Scope::Cluster,
        &["CSIDriver", "CSINode", "StorageClass", "VolumeAttachment"],
    ),
    ("storage.k8s.io", &["v1beta1"], Scope::Namespaced, &["CSIStorageCapacity"]),
];
