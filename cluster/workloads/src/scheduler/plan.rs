//! Which waiting pod goes where, or why it goes nowhere: a pure function of what is observed.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, PersistentVolumeClaim, Pod, Taint};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::ResourceExt;
use seaway_kinds::quantity::Quantity;

use super::affinity::{self, Objection};
use super::preemption::{self, priority};
use super::resources::{self, Resources};
use super::spread::{self, Uneven};
use crate::pods;

/// What the scheduler sees.
#[derive(Default)]
pub(super) struct Observed {
    pub(super) nodes: Vec<Arc<Node>>,
    /// Pods that have a node, with its name.
    pub(super) placed: Vec<(Arc<Pod>, String)>,
    /// Pods that wait for one.
    pub(super) waiting: Vec<Arc<Pod>>,
    pub(super) claims: Vec<Arc<PersistentVolumeClaim>>,
    /// How many pods may be asked to go at a time.
    pub(super) budgets: Vec<Arc<PodDisruptionBudget>>,
}

/// What is decided about one pod.
#[derive(Debug, PartialEq)]
pub(super) struct Decision {
    pub(super) pod: Arc<Pod>,
    pub(super) outcome: Outcome,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It goes to this node.
    Bind(String),
    /// It waits; this is the sentence that says why.
    Unschedulable(String),
    /// It waits until these, by their ids, have gone from the node for it; the sentence says why it does not fit now.
    Preempt { node: String, victims: Vec<String>, message: String },
}

pub(super) fn is_ready(node: &Node) -> bool {
    let conditions = node.status.iter().flat_map(|s| s.conditions.iter().flatten());
    conditions.into_iter().any(|c| c.type_ == "Ready" && c.status == "True")
}

/// What a node is short of, as the taints that Kubernetes' node controller makes of it: no other pods go there.
pub(super) fn shortages(node: &Node) -> Vec<&'static str> {
    const TAINTS: [(&str, &str); 3] = [
        ("MemoryPressure", "node.kubernetes.io/memory-pressure"),
        ("DiskPressure", "node.kubernetes.io/disk-pressure"),
        ("PIDPressure", "node.kubernetes.io/pid-pressure"),
    ];
    let conditions = || node.status.iter().flat_map(|s| s.conditions.iter().flatten());
    let holds = |kind: &str| conditions().any(|c| c.type_ == kind && c.status == "True");
    TAINTS.into_iter().filter(|(kind, _)| holds(kind)).map(|(_, taint)| taint).collect()
}

/// A node and what is taken of it.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) node: Arc<Node>,
    allocatable: Resources,
    used: Resources,
    pods: i64,
    ports: HashSet<(String, i32)>,
    pub(super) placed: Vec<Arc<Pod>>,
}

impl Place {
    fn new(node: &Arc<Node>) -> Self {
        let status = node.status.as_ref();
        let field = status.and_then(|s| s.allocatable.as_ref().or(s.capacity.as_ref()));
        Self {
            node: node.clone(),
            allocatable: Resources::of(field),
            used: Resources::default(),
            pods: 0,
            ports: HashSet::new(),
            placed: Vec::new(),
        }
    }

    /// The node, if just these were on it.
    pub(super) fn with(node: &Arc<Node>, pods: &[Arc<Pod>]) -> Self {
        let mut place = Self::new(node);
        for pod in pods {
            place.take(pod);
        }
        place
    }

    fn take(&mut self, pod: &Arc<Pod>) {
        self.used.add(&resources::of_pod(pod));
        self.pods += 1;
        self.ports.extend(host_ports(pod));
        self.placed.push(pod.clone());
    }
}

/// Ports of the machine itself that a pod asks for: protocol and number.
fn host_ports(pod: &Pod) -> impl Iterator<Item = (String, i32)> {
    let containers = pod.spec.iter().flat_map(|s| &s.containers);
    containers.flat_map(|c| c.ports.iter().flatten()).filter_map(|p| {
        let number = p.host_port.filter(|n| *n > 0)?;
        Some((p.protocol.clone().unwrap_or_else(|| "TCP".into()), number))
    })
}

/// Why a node does not do.
pub(super) struct Misfit {
    reasons: Vec<String>,
    /// Whether the departure of other pods could help.
    resolvable: bool,
}

/// Decides about all waiting pods: higher priority first, then the older.
pub(super) fn plan(observed: &Observed) -> Vec<Decision> {
    let mut places: Vec<Place> = observed.nodes.iter().map(Place::new).collect();
    let index: HashMap<String, usize> =
        places.iter().enumerate().map(|(i, p)| (p.node.name_any(), i)).collect();
    for (pod, node) in &observed.placed {
        if let Some(i) = index.get(node)
            && !pods::is_finished(pod)
        {
            places[*i].take(pod);
        }
    }
    let claims: HashMap<(String, String), &PersistentVolumeClaim> =
        observed.claims.iter().map(|c| ((c.namespace().unwrap_or_default(), c.name_any()), &**c)).collect();
    let mut waiting = observed.waiting.clone();
    waiting.sort_by_cached_key(|p| {
        (std::cmp::Reverse(priority(p)), pods::created(p), p.namespace(), p.name_any())
    });
    let mut decisions = Vec::with_capacity(waiting.len());
    for pod in waiting {
        let outcome = place(&pod, &mut places, &claims, &observed.budgets);
        decisions.push(Decision { pod, outcome });
    }
    decisions
}

fn place(
    pod: &Arc<Pod>,
    places: &mut [Place],
    claims: &HashMap<(String, String), &PersistentVolumeClaim>,
    budgets: &[Arc<PodDisruptionBudget>],
) -> Outcome {
    if places.is_empty() {
        return Outcome::Unschedulable("no nodes available to schedule pods".into());
    }
    let total = places.len();
    let helpless = |why: &str| {
        Outcome::Unschedulable(format!(
            "0/{total} nodes are available: {why}. no new claims to deallocate, preemption: 0/{total} nodes are \
             available: {total} Preemption is not helpful for scheduling."
        ))
    };
    if let Some(why) = unready_volumes(pod, claims) {
        return helpless(&why);
    }
    let mut misfits = Vec::new();
    let mut best: Option<(i64, usize)> = None;
    for (i, candidate) in places.iter().enumerate() {
        match misfit(pod, candidate, places) {
            Some(misfit) => misfits.push(misfit),
            None => {
                // The emptiest by pods: enough where there is one node, fair where there are more.
                if best.is_none_or(|(fewest, _)| candidate.pods < fewest) {
                    best = Some((candidate.pods, i));
                }
            }
        }
    }
    if let Some((_, i)) = best {
        places[i].take(pod);
        return Outcome::Bind(places[i].node.name_any());
    }
    // Only where somebody's departure can help.
    let helps = misfits.iter().any(|m| m.resolvable);
    let room = if helps { preemption::room(pod, places, budgets) } else { None };
    let Some(room) = room else { return Outcome::Unschedulable(sentence(total, &misfits)) };
    let victims = room.victims.iter().filter_map(|victim| victim.uid()).collect();
    // Nobody who matters less takes the room meanwhile; it is still taken by those who go.
    places[room.place].take(pod);
    let node = places[room.place].node.name_any();
    Outcome::Preempt {
        node,
        victims,
        message: format!("0/{total} nodes are available: {}.", faults(&misfits)),
    }
}

/// How many nodes have which fault.
fn faults(misfits: &[Misfit]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for reason in misfits.iter().flat_map(|m| &m.reasons) {
        *counts.entry(reason).or_default() += 1;
    }
    let mut parts: Vec<String> = counts.iter().map(|(reason, n)| format!("{n} {reason}")).collect();
    parts.sort();
    parts.join(", ")
}

/// Kubernetes' sentence: how many nodes have which fault, and whether preemption would help.
fn sentence(total: usize, misfits: &[Misfit]) -> String {
    let resolvable = misfits.iter().filter(|m| m.resolvable).count();
    let mut preemption = Vec::new();
    if resolvable > 0 {
        preemption.push(format!("{resolvable} No preemption victims found for incoming pod"));
    }
    if resolvable < misfits.len() {
        let rest = misfits.len() - resolvable;
        preemption.push(format!("{rest} Preemption is not helpful for scheduling"));
    }
    format!(
        "0/{total} nodes are available: {}. no new claims to deallocate, preemption: 0/{total} nodes are \
         available: {}.",
        faults(misfits),
        preemption.join(", ")
    )
}

/// Claims that the pod mounts and that have no volume yet.
fn unready_volumes(pod: &Pod, claims: &HashMap<(String, String), &PersistentVolumeClaim>) -> Option<String> {
    let namespace = pod.namespace().unwrap_or_default();
    for volume in pod.spec.iter().flat_map(|s| s.volumes.iter().flatten()) {
        let name = match (&volume.persistent_volume_claim, &volume.ephemeral) {
            (Some(source), _) => source.claim_name.clone(),
            (None, Some(_)) => format!("{}-{}", pod.name_any(), volume.name),
            (None, None) => continue,
        };
        let Some(claim) = claims.get(&(namespace.clone(), name.clone())) else {
            return Some(format!("persistentvolumeclaim \"{name}\" not found"));
        };
        if claim.metadata.deletion_timestamp.is_some() {
            return Some(format!("persistentvolumeclaim \"{name}\" is being deleted"));
        }
        let phase = claim.status.as_ref().and_then(|s| s.phase.as_deref());
        if phase == Some("Lost") {
            return Some(format!("persistentvolumeclaim \"{name}\" bound to non-existent persistentvolume"));
        }
        if phase != Some("Bound") {
            return Some("pod has unbound immediate PersistentVolumeClaims".into());
        }
    }
    None
}

pub(super) fn misfit(pod: &Pod, place: &Place, places: &[Place]) -> Option<Misfit> {
    let never = |reason: &str| Some(Misfit { reasons: vec![reason.to_owned()], resolvable: false });
    let perhaps = |reason: &str| Some(Misfit { reasons: vec![reason.to_owned()], resolvable: true });
    let node = &*place.node;
    let taint = |key: &str| Taint { key: key.into(), effect: "NoSchedule".into(), ..Taint::default() };
    let cordoned = node.spec.as_ref().is_some_and(|s| s.unschedulable == Some(true));
    if cordoned && !affinity::tolerates(pod, &taint("node.kubernetes.io/unschedulable")) {
        return never("node(s) were unschedulable");
    }
    let taints = node.spec.iter().flat_map(|s| s.taints.iter().flatten());
    let mut taints = taints.filter(|t| t.key != "node.kubernetes.io/unschedulable");
    let not_ready = !is_ready(node) && !affinity::tolerates(pod, &taint("node.kubernetes.io/not-ready"));
    let short = shortages(node).into_iter().any(|key| !affinity::tolerates(pod, &taint(key)));
    if not_ready || short || taints.any(|t| !affinity::tolerates(pod, t)) {
        return never("node(s) had untolerated taint(s)");
    }
    if !affinity::node_fits(pod, node) {
        return never("node(s) didn't match Pod's node affinity/selector");
    }
    if host_ports(pod).any(|port| place.ports.contains(&port)) {
        return perhaps("node(s) didn't have free ports for the requested pod ports");
    }
    if let Some(misfit) = shortage(pod, place) {
        return Some(misfit);
    }
    let nodes: Vec<&Node> = places.iter().map(|p| &*p.node).collect();
    let placed: Vec<_> = places.iter().flat_map(|p| p.placed.iter().map(|pod| (&**pod, &*p.node))).collect();
    match spread::objection(pod, node, &nodes, &placed) {
        Some(Uneven::MissingLabel) => {
            return never("node(s) didn't match pod topology spread constraints (missing required label)");
        }
        Some(Uneven::TooMany) => return perhaps("node(s) didn't match pod topology spread constraints"),
        None => {}
    }
    match affinity::objection(pod, node, &placed) {
        None => None,
        Some(Objection::Affinity) => never("node(s) didn't match pod affinity rules"),
        Some(Objection::AntiAffinity) => perhaps("node(s) didn't match pod anti-affinity rules"),
        Some(Objection::ExistingAntiAffinity) => {
            perhaps("node(s) didn't satisfy existing pods anti-affinity rules")
        }
    }
}

fn shortage(pod: &Pod, place: &Place) -> Option<Misfit> {
    let mut misfit = Misfit { reasons: Vec::new(), resolvable: true };
    let room = place.allocatable.get("pods");
    if Quantity::from_integer(place.pods + 1) > room {
        misfit.reasons.push("Too many pods".into());
    }
    for (name, asked) in resources::of_pod(pod).iter() {
        if asked.is_zero() {
            continue;
        }
        let has = place.allocatable.get(name);
        if place.used.get(name).plus(&asked) > has {
            misfit.reasons.push(format!("Insufficient {name}"));
            // More than the whole node has: nobody's departure helps.
            misfit.resolvable &= asked <= has;
        }
    }
    (!misfit.reasons.is_empty()).then_some(misfit)
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
