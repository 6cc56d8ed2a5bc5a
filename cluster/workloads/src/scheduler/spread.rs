//! `topologySpreadConstraints` that a pod insists on (KEP-895, KEP-3022).

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Node, Pod, TopologySpreadConstraint};
use kube::ResourceExt;

use super::affinity;
use crate::owners;
use crate::pods;

/// Why a node does not do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Uneven {
    /// It belongs to no domain.
    MissingLabel,
    /// Its domain would have too many.
    TooMany,
}

/// Whether a pod on this node would be spread worse than it allows. `placed` are all pods with their nodes.
pub(super) fn objection(pod: &Pod, node: &Node, nodes: &[&Node], placed: &[(&Pod, &Node)]) -> Option<Uneven> {
    let constraints = pod.spec.iter().flat_map(|s| s.topology_spread_constraints.iter().flatten());
    let hard = constraints.filter(|c| c.when_unsatisfiable == "DoNotSchedule");
    let mut missing = false;
    for constraint in hard {
        match one(pod, constraint, node, nodes, placed) {
            Some(Uneven::TooMany) => return Some(Uneven::TooMany),
            Some(Uneven::MissingLabel) => missing = true,
            None => {}
        }
    }
    missing.then_some(Uneven::MissingLabel)
}

fn one(
    pod: &Pod,
    constraint: &TopologySpreadConstraint,
    node: &Node,
    nodes: &[&Node],
    placed: &[(&Pod, &Node)],
) -> Option<Uneven> {
    let domain = |node: &Node| node.labels().get(&constraint.topology_key).cloned();
    let Some(here) = domain(node) else { return Some(Uneven::MissingLabel) };
    let selector = owners::selector(constraint.label_selector.as_ref());
    let keys = constraint.match_label_keys.iter().flatten();
    let keys: Vec<&String> = keys.filter(|key| pod.labels().contains_key(*key)).collect();
    let matches = |other: &Pod| {
        owners::selects(&selector, other)
            && keys.iter().all(|key| other.labels().get(*key) == pod.labels().get(*key))
    };
    // Nodes that the pod could not go to anyway count only when it is asked so.
    let honours = |policy: &Option<String>, default: &str| policy.as_deref().unwrap_or(default) == "Honor";
    let counts = |node: &&&Node| {
        let fits = !honours(&constraint.node_affinity_policy, "Honor") || affinity::node_fits(pod, node);
        let taints = node.spec.iter().flat_map(|s| s.taints.iter().flatten());
        let bears = !honours(&constraint.node_taints_policy, "Ignore") || { taints }
            .all(|taint| affinity::tolerates(pod, taint));
        fits && bears
    };
    let mut domains: BTreeMap<String, i32> =
        nodes.iter().filter(counts).filter_map(|n| Some((domain(n)?, 0))).collect();
    for (other, on) in placed {
        let same = other.namespace() == pod.namespace() && !pods::is_terminating(other);
        if same
            && matches(other)
            && let Some(count) = domain(on).and_then(|domain| domains.get_mut(&domain))
        {
            *count += 1;
        }
    }
    let wanted = usize::try_from(constraint.min_domains.unwrap_or(1)).unwrap_or(1);
    let least = if domains.len() < wanted { 0 } else { domains.values().copied().min().unwrap_or(0) };
    let own = i32::from(matches(pod));
    let skew = domains.get(&here).copied().unwrap_or(0) + own - least;
    (skew > constraint.max_skew).then_some(Uneven::TooMany)
}
