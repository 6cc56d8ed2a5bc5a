//! Where a pod may be: node selectors, taints, and the neighbours it needs or cannot bear.

use k8s_openapi::api::core::v1::{Node, NodeSelectorTerm, Pod, PodAffinityTerm, Taint, Toleration};
use kube::ResourceExt;

use crate::owners;

/// Whether the node has what `nodeSelector` and the required node affinity ask for.
pub(crate) fn node_fits(pod: &Pod, node: &Node) -> bool {
    let Some(spec) = &pod.spec else { return true };
    let labels = node.labels();
    if !spec.node_selector.iter().flatten().all(|(key, value)| labels.get(key) == Some(value)) {
        return false;
    }
    let affinity = spec.affinity.as_ref().and_then(|a| a.node_affinity.as_ref());
    let Some(required) =
        affinity.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref())
    else {
        return true;
    };
    required.node_selector_terms.iter().any(|term| term_fits(term, node))
}

fn term_fits(term: &NodeSelectorTerm, node: &Node) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    // A term without conditions selects no node.
    if expressions.is_empty() && fields.is_empty() {
        return false;
    }
    let name = node.name_any();
    expressions.iter().all(|r| {
        let value = node.labels().get(&r.key).map(String::as_str);
        requirement(value, &r.operator, r.values.as_deref().unwrap_or_default())
    }) && fields.iter().all(|r| {
        r.key == "metadata.name"
            && requirement(Some(&name), &r.operator, r.values.as_deref().unwrap_or_default())
    })
}

fn requirement(value: Option<&str>, operator: &str, values: &[String]) -> bool {
    let listed = || value.is_some_and(|v| values.iter().any(|w| w == v));
    let numbers = || Some((value?.parse::<i64>().ok()?, values.first()?.parse::<i64>().ok()?));
    match operator {
        "In" => listed(),
        "NotIn" => !listed(),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => numbers().is_some_and(|(has, than)| has > than),
        "Lt" => numbers().is_some_and(|(has, than)| has < than),
        _ => false,
    }
}

/// Whether the pod bears a taint that keeps others away.
pub(crate) fn tolerates(pod: &Pod, taint: &Taint) -> bool {
    if !matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute") {
        return true;
    }
    let tolerations = pod.spec.iter().flat_map(|s| s.tolerations.iter().flatten());
    tolerations.into_iter().any(|t| covers(t, taint))
}

fn covers(toleration: &Toleration, taint: &Taint) -> bool {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let (effect, key) = (text(&toleration.effect), text(&toleration.key));
    if (!effect.is_empty() && effect != taint.effect) || (!key.is_empty() && key != taint.key) {
        return false;
    }
    match toleration.operator.as_deref().unwrap_or_default() {
        "Exists" => true,
        "" | "Equal" => !key.is_empty() && text(&toleration.value) == text(&taint.value),
        _ => false,
    }
}

/// A pod and the node it is on.
pub(super) type Placed<'a> = (&'a Pod, &'a Node);

/// What the neighbours of a pod would forbid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Objection {
    /// The pod needs a neighbour that is not there.
    Affinity,
    /// The pod does not bear a neighbour.
    AntiAffinity,
    /// A neighbour does not bear the pod.
    ExistingAntiAffinity,
}

/// What forbids the pod on this node, by the required terms of inter-pod affinity.
pub(super) fn objection(pod: &Pod, node: &Node, placed: &[Placed<'_>]) -> Option<Objection> {
    let same_place = |term: &PodAffinityTerm, other: &Node| {
        let here = node.labels().get(&term.topology_key);
        here.is_some() && here == other.labels().get(&term.topology_key)
    };
    let bothers = |(other, place): &Placed<'_>| {
        anti_terms(other).any(|term| same_place(term, place) && matches(term, other, pod))
    };
    if placed.iter().any(bothers) {
        return Some(Objection::ExistingAntiAffinity);
    }
    for term in anti_terms(pod) {
        if placed.iter().any(|(other, place)| same_place(term, place) && matches(term, pod, other)) {
            return Some(Objection::AntiAffinity);
        }
    }
    for term in terms(pod) {
        let near = placed.iter().any(|(other, place)| same_place(term, place) && matches(term, pod, other));
        // The first of a group that wants to be together has nobody to join.
        let first = || {
            matches(term, pod, pod)
                && !placed.iter().any(|(other, _)| matches(term, pod, other))
                && node.labels().contains_key(&term.topology_key)
        };
        if !near && !first() {
            return Some(Objection::Affinity);
        }
    }
    None
}

fn terms(pod: &Pod) -> impl Iterator<Item = &PodAffinityTerm> {
    let affinity = pod.spec.as_ref().and_then(|s| s.affinity.as_ref()?.pod_affinity.as_ref());
    affinity
        .and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref())
        .into_iter()
        .flatten()
}

fn anti_terms(pod: &Pod) -> impl Iterator<Item = &PodAffinityTerm> {
    let affinity = pod.spec.as_ref().and_then(|s| s.affinity.as_ref()?.pod_anti_affinity.as_ref());
    affinity
        .and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref())
        .into_iter()
        .flatten()
}

/// Whether a term of `owner` means `other`. Namespaces that are selected by labels are taken as all.
fn matches(term: &PodAffinityTerm, owner: &Pod, other: &Pod) -> bool {
    let named = term.namespaces.as_deref().unwrap_or_default();
    let namespace = other.namespace();
    let in_namespace = match (&term.namespace_selector, named) {
        (Some(_), _) => true,
        (None, []) => namespace == owner.namespace(),
        (None, named) => named.iter().any(|n| Some(n) == namespace.as_ref()),
    };
    in_namespace && owners::selects(&owners::selector(term.label_selector.as_ref()), other)
}
