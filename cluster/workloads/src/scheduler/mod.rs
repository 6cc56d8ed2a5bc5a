//! Gives pods their node.
//!
//! The whole cluster is looked at in one cycle: what is free is computed from the pods that have a node,
//! then the waiting pods are placed in order of priority and age. What does not fit says why.

pub(crate) mod affinity;
mod plan;
mod preemption;
mod resources;
mod spread;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod, PodCondition};
use kube::ResourceExt;
use kube::api::PostParams;
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::cache::Key;
use crate::clock;
use crate::cluster::{Cluster, Kind};
use crate::controller::{self, Reconcile, Tasks};
use crate::error::Error;
use crate::pods;
use crate::queue::Queue;
use crate::writer::Writer;

use plan::{Observed, Outcome, plan};

/// The name under which pods ask for this scheduler.
const SCHEDULER: &str = "default-scheduler";

pub(crate) struct Scheduler {
    writer: Writer,
    /// Pods that were bound and that the watch has not shown with their node: id and node.
    assumed: Mutex<HashMap<String, String>>,
}

fn waits(pod: &Pod) -> bool {
    let Some(spec) = &pod.spec else { return false };
    spec.node_name.as_deref().unwrap_or_default().is_empty()
        && spec.scheduler_name.as_deref().is_none_or(|name| name == SCHEDULER)
        && spec.scheduling_gates.as_ref().is_none_or(Vec::is_empty)
        && pods::is_active(pod)
}

fn node_of(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref().filter(|n| !n.is_empty())
}

/// What of a node decides where pods go; its heartbeat does not.
fn placement(node: &Node) -> Value {
    let status = node.status.as_ref();
    json!([
        node.metadata.labels,
        node.spec,
        status.and_then(|s| s.allocatable.as_ref()),
        plan::is_ready(node),
        plan::shortages(node)
    ])
}

pub(crate) fn start(cluster: &Arc<Cluster>, tasks: &mut Tasks) {
    let queue = Arc::new(Queue::default());
    let cycle = || Key::new("", "cycle");
    let wake = queue.clone();
    cluster.pods.observe(move |before, after| {
        let frees = before.is_some_and(|p| node_of(p).is_some()) && after.is_none_or(pods::is_finished);
        // A pod that was just placed changes nothing for others: it was counted when it was bound.
        if frees || after.is_some_and(waits) {
            wake.add(cycle());
        }
    });
    let wake = queue.clone();
    cluster.nodes.observe(move |before, after| {
        if before.map(placement) != after.map(placement) {
            wake.add(cycle());
        }
    });
    let wake = queue.clone();
    cluster.claims.observe(move |_, _| wake.add(cycle()));
    let scheduler =
        Scheduler { writer: Writer::new(cluster, Scheduler::NAME), assumed: Mutex::new(HashMap::new()) };
    controller::run(cluster, tasks, &queue, scheduler, 1);
}

impl Reconcile for Scheduler {
    const NAME: &'static str = SCHEDULER;

    async fn reconcile(&self, _: &Key) -> Result<Option<Duration>, Error> {
        let cluster = &self.writer.cluster;
        let all = cluster.pods.all();
        let mut observed = Observed {
            nodes: cluster.nodes.all(),
            placed: Vec::new(),
            waiting: Vec::new(),
            claims: cluster.claims.all(),
            budgets: cluster.budgets.all(),
        };
        {
            let mut assumed = self.assumed.lock();
            let mut still = HashMap::new();
            for pod in all {
                let uid = pod.uid().unwrap_or_default();
                if let Some(node) = node_of(&pod) {
                    let node = node.to_owned();
                    observed.placed.push((pod, node));
                } else if let Some(node) = assumed.remove(&uid) {
                    still.insert(uid, node.clone());
                    observed.placed.push((pod, node));
                } else if waits(&pod) {
                    observed.waiting.push(pod);
                }
            }
            *assumed = still;
        }
        let mut failure = None;
        for decision in plan(&observed) {
            let result = match decision.outcome {
                Outcome::Bind(node) => self.bind(&decision.pod, node).await,
                Outcome::Unschedulable(message) => self.refuse(&decision.pod, message, None).await,
                Outcome::Preempt { node, victims, message } => {
                    let victims = observed
                        .placed
                        .iter()
                        .map(|(pod, _)| pod)
                        .filter(|pod| pod.uid().is_some_and(|uid| victims.contains(&uid)));
                    let victims: Vec<Arc<Pod>> = victims.cloned().collect();
                    self.preempt(&decision.pod, &node, &victims, message).await
                }
            };
            match result {
                Ok(()) => {}
                // It was deleted, or somebody else placed it: the watch will say so.
                Err(error) if error.is_not_found() || error.is_conflict() => {
                    tracing::debug!(%error, "a pod was not placed");
                }
                Err(error) => failure = Some(error),
            }
        }
        failure.map_or(Ok(None), Err)
    }
}

impl Scheduler {
    async fn bind(&self, pod: &Pod, node: String) -> Result<(), Error> {
        let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
        let binding = json!({
            "apiVersion": "v1", "kind": "Binding",
            "metadata": {"namespace": namespace, "name": name, "uid": pod.uid()},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        });
        let api = <Pod as Kind>::api(&self.writer.cluster.client, &namespace);
        let params = PostParams::default();
        let _: Value = api
            .create_subresource("binding", &name, &params, &binding)
            .await
            .map_err(|e| Error::api("bind", format!("Pod {namespace}/{name}"), e))?;
        self.assumed.lock().insert(pod.uid().unwrap_or_default(), node.clone());
        self.writer.event(pod, "Scheduled", format!("Successfully assigned {namespace}/{name} to {node}"));
        Ok(())
    }

    /// Asks pods of lower priority to go; the pod is placed when they have.
    async fn preempt(
        &self,
        pod: &Pod,
        node: &str,
        victims: &[Arc<Pod>],
        message: String,
    ) -> Result<(), Error> {
        self.refuse(pod, message, Some(node)).await?;
        for victim in victims {
            let mut told = (**victim).clone();
            let conditions = told.status.get_or_insert_default().conditions.get_or_insert_default();
            conditions.retain(|c| c.type_ != "DisruptionTarget");
            conditions.push(PodCondition {
                type_: "DisruptionTarget".into(),
                status: "True".into(),
                reason: Some("PreemptionByScheduler".into()),
                message: Some(format!("{SCHEDULER}: preempting to accommodate a higher priority pod")),
                last_transition_time: Some(clock::time(self.writer.cluster.clock.now())),
                ..PodCondition::default()
            });
            let told = self.writer.replace_status(&told).await?;
            self.writer.delete(&*told).await?;
            let by = pod.uid().unwrap_or_default();
            self.writer.event(&**victim, "Preempted", format!("Preempted by pod {by} on node {node}"));
        }
        Ok(())
    }

    async fn refuse(&self, pod: &Pod, message: String, nominated: Option<&str>) -> Result<(), Error> {
        let old = pods::condition(pod, "PodScheduled");
        let known = pod.status.as_ref().and_then(|s| s.nominated_node_name.as_deref());
        if (nominated.is_none() || nominated == known)
            && old.is_some_and(|c| {
                c.status == "False"
                    && c.reason.as_deref() == Some("Unschedulable")
                    && c.message.as_deref() == Some(&message)
            })
        {
            return Ok(());
        }
        let changed = match old {
            Some(old) if old.status == "False" => old.last_transition_time.clone(),
            _ => Some(clock::time(self.writer.cluster.clock.now())),
        };
        let condition = PodCondition {
            type_: "PodScheduled".into(),
            status: "False".into(),
            reason: Some("Unschedulable".into()),
            message: Some(message.clone()),
            last_transition_time: changed,
            ..PodCondition::default()
        };
        let mut next = pod.clone();
        if let Some(node) = nominated {
            next.status.get_or_insert_default().nominated_node_name = Some(node.to_owned());
        }
        let conditions = next.status.get_or_insert_default().conditions.get_or_insert_default();
        conditions.retain(|c| c.type_ != "PodScheduled");
        conditions.push(condition);
        self.writer.replace_status(&next).await?;
        self.writer.warning(pod, "FailedScheduling", message);
        Ok(())
    }
}
