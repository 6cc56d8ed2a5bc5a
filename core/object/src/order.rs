//! In which order a set of objects is installed.
//!
//! Two orders: [`install`] is Seaway's own, and [`kustomize_legacy`] is how `kubectl kustomize` prints.

use std::cmp::Ordering;

use serde_json::Value;

use crate::identity::{GroupVersionKind, ObjectId, kind};

/// What others need comes first. The order of the kinds is that in which Helm installs a chart.
const INSTALL_FIRST: &[&str] = &[
    "PriorityClass",
    "Namespace",
    "NetworkPolicy",
    "ResourceQuota",
    "LimitRange",
    "PodSecurityPolicy",
    "PodDisruptionBudget",
    "ServiceAccount",
    "Secret",
    "SecretList",
    "ConfigMap",
    "StorageClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "CustomResourceDefinition",
    "ClusterRole",
    "ClusterRoleList",
    "ClusterRoleBinding",
    "ClusterRoleBindingList",
    "Role",
    "RoleList",
    "RoleBinding",
    "RoleBindingList",
    "Service",
    "DaemonSet",
    "Pod",
    "ReplicationController",
    "ReplicaSet",
    "Deployment",
    "HorizontalPodAutoscaler",
    "StatefulSet",
    "Job",
    "CronJob",
    "IngressClass",
    "Ingress",
    "APIService",
];

/// Webhooks and policies can refuse everything that comes after them.
const INSTALL_LAST: &[&str] = &[
    "MutatingAdmissionPolicy",
    "MutatingAdmissionPolicyBinding",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "MutatingWebhookConfiguration",
    "ValidatingWebhookConfiguration",
];

const LEGACY_FIRST: &[&str] = &[
    "Namespace",
    "ResourceQuota",
    "StorageClass",
    "CustomResourceDefinition",
    "ServiceAccount",
    "PodSecurityPolicy",
    "Role",
    "ClusterRole",
    "RoleBinding",
    "ClusterRoleBinding",
    "ConfigMap",
    "Secret",
    "Endpoints",
    "Service",
    "LimitRange",
    "PriorityClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "Deployment",
    "StatefulSet",
    "CronJob",
    "PodDisruptionBudget",
];

const LEGACY_LAST: &[&str] = &["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"];

/// The place of a kind: kinds nobody lists (custom resources above all) come after the built-in ones and before the
/// webhooks. Objects of one rank have no order among each other.
pub fn install_rank(kind: &str) -> usize {
    rank(kind, INSTALL_FIRST, INSTALL_LAST)
}

/// Sort for installing; objects of one kind keep their order, and so do kinds that are not listed.
pub fn install(objects: &mut [Value]) {
    objects.sort_by_key(|object| install_rank(kind(object)));
}

/// kustomize's `sortOptions: {order: legacy}`, which is also what `kubectl kustomize` does without any: by kind as
/// listed, then group, version, kind, then namespace and name.
pub fn kustomize_legacy(a: (&GroupVersionKind, &ObjectId), b: (&GroupVersionKind, &ObjectId)) -> Ordering {
    let rank = |gvk: &GroupVersionKind| rank(&gvk.kind, LEGACY_FIRST, LEGACY_LAST);
    rank(a.0)
        .cmp(&rank(b.0))
        .then_with(|| {
            let by_type = legacy_type(a.0).cmp(&legacy_type(b.0));
            // A core Namespace comes before one of a group of somebody else's.
            let core = a.0.group.is_empty() || b.0.group.is_empty();
            if a.0.kind == "Namespace" && b.0.kind == "Namespace" && core {
                by_type.reverse()
            } else {
                by_type
            }
        })
        .then_with(|| legacy_name(a.1).cmp(&legacy_name(b.1)))
}

/// Absent parts sort behind present ones.
fn legacy_type(gvk: &GroupVersionKind) -> String {
    let part = |text: &str, absent: &str| if text.is_empty() { absent.to_owned() } else { text.to_owned() };
    format!("{}_{}_{}", part(&gvk.group, "~G"), part(&gvk.version, "~V"), part(&gvk.kind, "~K"))
}

fn legacy_name(id: &ObjectId) -> String {
    format!("{}|~P|{}|~S", id.namespace.as_deref().unwrap_or("~X"), id.name)
}

fn rank(kind: &str, first: &[&str], last: &[&str]) -> usize {
    let at = |list: &[&str]| list.iter().position(|listed| *listed == kind);
    match (at(first), at(last)) {
        (Some(index), _) => index,
        (None, None) => first.len(),
        (None, Some(index)) => first.len() + 1 + index,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn namespaces_first_custom_resources_late_webhooks_last_and_stable() {
        let object = |kind: &str, name: &str| json!({"kind": kind, "metadata": {"name": name}});
        let mut objects = vec![
            object("ValidatingWebhookConfiguration", "w"),
            object("Widget", "b"),
            object("Deployment", "d"),
            object("Gadget", "a"),
            object("CustomResourceDefinition", "c"),
            object("Widget", "a"),
            object("Namespace", "n"),
        ];
        install(&mut objects);
        let order: Vec<_> = objects.iter().map(|o| (kind(o), crate::identity::name(o))).collect();
        assert_eq!(
            order,
            [
                ("Namespace", "n"),
                ("CustomResourceDefinition", "c"),
                ("Deployment", "d"),
                ("Widget", "b"),
                ("Gadget", "a"),
                ("Widget", "a"),
                ("ValidatingWebhookConfiguration", "w")
            ]
        );
    }

    /// Checked against `kubectl kustomize` 1.37 (kustomize 5.8).
    #[test]
    fn the_legacy_order_is_that_of_kustomize() {
        let mut objects: Vec<_> = [
            ("v1", "Zzz"),
            ("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration"),
            ("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration"),
            ("v1", "Aaa"),
            ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy"),
            ("v1", "Pod"),
            ("v1", "Service"),
            ("v1", "Deployment"),
            ("v1", "Namespace"),
        ]
        .into_iter()
        .map(|(version, kind)| {
            let object = json!({"apiVersion": version, "kind": kind, "metadata": {"name": "n"}});
            (GroupVersionKind::of(&object).unwrap(), ObjectId::of(&object).unwrap())
        })
        .collect();
        objects.sort_by(|a, b| kustomize_legacy((&a.0, &a.1), (&b.0, &b.1)));
        let order: Vec<_> = objects.iter().map(|(gvk, _)| gvk.kind.as_str()).collect();
        assert_eq!(
            order,
            [
                "Namespace",
                "Service",
                "Deployment",
                "ValidatingAdmissionPolicy",
                "Aaa",
                "Pod",
                "Zzz",
                "MutatingWebhookConfiguration",
                "ValidatingWebhookConfiguration"
            ]
        );
    }
}
