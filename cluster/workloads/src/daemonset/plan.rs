//! The next step of a DaemonSet: a pure function of what is observed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{DaemonSet, DaemonSetStatus};
use k8s_openapi::api::core::v1::{
    Node, NodeAffinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Pod, Toleration,
};
use kube::ResourceExt;

use crate::amount::{Round, resolve};
use crate::owners;
use crate::pods;
use crate::revisions;
use crate::scheduler::affinity;
use crate::template;

/// What the controller sees of one DaemonSet.
pub(super) struct Observed<'a> {
    pub(super) set: &'a DaemonSet,
    pub(super) nodes: &'a [Arc<Node>],
    /// The pods that it controls.
    pub(super) pods: &'a [Arc<Pod>],
    /// The hash of the present template.
    pub(super) hash: &'a str,
    pub(super) now: Timestamp,
}

#[derive(Debug)]
pub(super) struct Plan {
    pub(super) create: Vec<Pod>,
    pub(super) delete: Vec<Arc<Pod>>,
    pub(super) status: DaemonSetStatus,
    pub(super) again: Option<Duration>,
}

/// Where the API counts the templates; deprecated, but pods still carry the number.
const TEMPLATE_NUMBER: &str = "deprecated.daemonset.template.generation";

/// What every daemon bears: troubles of the node that it may be there to mend.
const BORNE: [(&str, &str); 6] = [
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
];

/// The pod for a node, bound to it by affinity so that the scheduler still counts what it needs.
fn pod(set: &DaemonSet, hash: &str, node: Option<&str>) -> Pod {
    let namespace = set.namespace().unwrap_or_default();
    let mut pod = template::pod(&set.spec.template, &namespace, owners::controller_ref(set));
    pod.metadata.generate_name = Some(template::prefix(&set.name_any()));
    let labels = pod.metadata.labels.get_or_insert_default();
    labels.insert(revisions::HASH.into(), hash.to_owned());
    if let Some(number) = set.annotations().get(TEMPLATE_NUMBER) {
        labels.insert("pod-template-generation".into(), number.clone());
    }
    let spec = pod.spec.get_or_insert_default();
    let tolerations = spec.tolerations.get_or_insert_default();
    for (key, effect) in BORNE {
        tolerations.push(Toleration {
            key: Some(key.into()),
            operator: Some("Exists".into()),
            effect: Some(effect.into()),
            ..Toleration::default()
        });
    }
    if let Some(node) = node {
        let affinity = spec.affinity.get_or_insert_default();
        let field = NodeSelectorRequirement {
            key: "metadata.name".into(),
            operator: "In".into(),
            values: Some(vec![node.to_owned()]),
        };
        let term = NodeSelectorTerm { match_fields: Some(vec![field]), match_expressions: None };
        let preferred = affinity
            .node_affinity
            .take()
            .and_then(|a| a.preferred_during_scheduling_ignored_during_execution);
        affinity.node_affinity = Some(NodeAffinity {
            required_during_scheduling_ignored_during_execution: Some(NodeSelector {
                node_selector_terms: vec![term],
            }),
            preferred_during_scheduling_ignored_during_execution: preferred,
        });
    }
    pod
}

/// The node that a pod is on, or is meant for.
fn node_of(pod: &Pod) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    if let Some(node) = spec.node_name.as_ref().filter(|n| !n.is_empty()) {
        return Some(node.clone());
    }
    let affinity = spec.affinity.as_ref()?.node_affinity.as_ref()?;
    let required = affinity.required_during_scheduling_ignored_during_execution.as_ref()?;
    let fields = required.node_selector_terms.iter().flat_map(|t| t.match_fields.iter().flatten());
    let mut names = fields.filter(|f| f.key == "metadata.name").flat_map(|f| f.values.iter().flatten());
    names.next().cloned()
}

/// Whether a daemon belongs on the node, and whether one that is there may stay.
fn fits(sample: &Pod, node: &Node) -> (bool, bool) {
    if !affinity::node_fits(sample, node) {
        return (false, false);
    }
    let taints = || node.spec.iter().flat_map(|s| s.taints.iter().flatten());
    let starts = taints().all(|t| affinity::tolerates(sample, t));
    let stays = taints().filter(|t| t.effect == "NoExecute").all(|t| affinity::tolerates(sample, t));
    (starts, stays)
}

pub(super) fn plan(observed: &Observed<'_>) -> Plan {
    let set = observed.set;
    let min_ready = set.spec.min_ready_seconds.unwrap_or(0);
    let is_available =
        |p: &Arc<Pod>| pods::is_available(p, min_ready, observed.now) && !pods::is_terminating(p);
    let is_new = |p: &Arc<Pod>| p.labels().get(revisions::HASH).map(String::as_str) == Some(observed.hash);
    let mut by_node: BTreeMap<String, Vec<Arc<Pod>>> = BTreeMap::new();
    for pod in observed.pods {
        if let Some(node) = node_of(pod) {
            by_node.entry(node).or_default().push(pod.clone());
        }
    }
    let sample = pod(set, observed.hash, None);
    let mut plan = Plan {
        create: Vec::new(),
        delete: Vec::new(),
        status: DaemonSetStatus {
            observed_generation: set.metadata.generation,
            conditions: set.status.as_ref().and_then(|s| s.conditions.clone()),
            ..DaemonSetStatus::default()
        },
        again: pods::next_available(observed.pods.iter().map(|p| &**p), min_ready, observed.now),
    };
    let (mut available, mut updated, mut unavailable) = (0, 0, 0);
    // Old pods that may be replaced: those that serve nobody at once, the others a few at a time.
    let (mut useless, mut replaceable) = (Vec::new(), Vec::new());
    for node in observed.nodes {
        let name = node.name_any();
        let mut there = by_node.remove(&name).unwrap_or_default();
        there.sort_by_cached_key(|p| (pods::created(p), p.name_any()));
        let (starts, stays) = fits(&sample, node);
        let status = &mut plan.status;
        if starts {
            status.desired_number_scheduled += 1;
        } else if !there.is_empty() {
            status.number_misscheduled += 1;
        }
        if !starts && !stays {
            plan.delete.extend(there.into_iter().filter(|p| !pods::is_terminating(p)));
            continue;
        }
        if starts && let Some(oldest) = there.first() {
            status.current_number_scheduled += 1;
            status.number_ready += i32::from(pods::is_ready(oldest));
            available += i32::from(is_available(oldest));
            updated += i32::from(is_new(oldest));
        }
        // Finished ones make room for others; of several the oldest stays.
        let (over, mut running): (Vec<_>, Vec<_>) = there.into_iter().partition(|p| pods::is_finished(p));
        plan.delete.extend(over.iter().filter(|p| !pods::is_terminating(p)).cloned());
        let active = running.iter().position(|p| !pods::is_terminating(p));
        if let Some(first) = active {
            let kept = running.remove(first);
            plan.delete.extend(running.into_iter().filter(|p| !pods::is_terminating(p)));
            match (is_new(&kept), is_available(&kept)) {
                (true, true) => {}
                (true, false) => unavailable += 1,
                (false, true) => replaceable.push(kept),
                (false, false) => {
                    unavailable += 1;
                    useless.push(kept);
                }
            }
        } else {
            unavailable += 1;
            if starts && running.is_empty() && over.is_empty() {
                plan.create.push(pod(set, observed.hash, Some(&name)));
            }
        }
    }
    // Nodes that are gone take their pods with them.
    plan.delete.extend(by_node.into_values().flatten().filter(|p| !pods::is_terminating(p)));
    let desired = plan.status.desired_number_scheduled;
    plan.status.number_available = pods::count(available);
    plan.status.updated_number_scheduled = pods::count(updated);
    plan.status.number_unavailable = pods::count((desired - available).max(0));
    let strategy = set.spec.update_strategy.as_ref();
    if strategy.and_then(|s| s.type_.as_deref()) != Some("OnDelete") {
        let rolling = strategy.and_then(|s| s.rolling_update.as_ref());
        let most = match rolling.and_then(|r| r.max_unavailable.as_ref()) {
            None => 1,
            amount => resolve(amount, desired, Round::Up).max(1),
        };
        plan.delete.extend(useless);
        let room = usize::try_from(most - unavailable).unwrap_or(0);
        plan.delete.extend(replaceable.into_iter().take(room));
    }
    plan
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
