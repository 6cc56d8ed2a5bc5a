//! ReplicaSet: as many pods as asked for.

mod plan;

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetCondition, ReplicaSetStatus};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use crate::cache::Key;
use crate::clock;
use crate::cluster::Cluster;
use crate::controller::{self, Reconcile, Tasks};
use crate::error::Error;
use crate::owners;
use crate::queue::Queue;
use crate::template;
use crate::writer::Writer;

pub(crate) use plan::plan;

/// Pods that are made or deleted in one look.
const BURST: usize = 500;

pub(crate) struct ReplicaSets {
    writer: Writer,
}

pub(crate) fn start(cluster: &Arc<Cluster>, tasks: &mut Tasks) {
    let queue = Arc::new(Queue::default());
    let wake = queue.clone();
    cluster.replica_sets.observe(move |_, after| {
        if let Some(set) = after {
            wake.add(Key::of(set));
        }
    });
    crate::dependents::wake_owners::<ReplicaSet, Pod>(cluster, &queue, |set| Some(&set.spec.selector));
    let controller = ReplicaSets { writer: Writer::new(cluster, ReplicaSets::NAME) };
    controller::run(cluster, tasks, &queue, controller, 4);
}

impl Reconcile for ReplicaSets {
    const NAME: &'static str = "replicaset-controller";

    async fn reconcile(&self, key: &Key) -> Result<Option<Duration>, Error> {
        let cluster = &self.writer.cluster;
        let Some(set) = cluster.replica_sets.get(key) else { return Ok(None) };
        let selector = owners::selector(Some(&set.spec.selector));
        let claim = owners::claim(&*set, &selector, cluster.pods.list(&key.namespace));
        let pods = owners::settle(&self.writer, &*set, claim).await?;
        let plan = plan(&set, &pods, cluster.clock.now());
        let mut failure = None;
        if plan.create > 0 {
            failure = self.create(&set, plan.create).await.err().map(|e| ("FailedCreate", e));
        }
        let doomed: Vec<_> = plan.delete.iter().take(BURST).collect();
        let results = join_all(doomed.iter().map(|pod| self.delete(&set, pod))).await;
        if let Some(error) = results.into_iter().find_map(Result::err) {
            failure = Some(("FailedDelete", error));
        }
        let status = self.with_failure(&set, plan.status, failure.as_ref());
        if set.status.as_ref() != Some(&status) {
            let next = ReplicaSet { status: Some(status), ..(*set).clone() };
            match self.writer.replace_status(&next).await {
                Err(error) if failure.is_none() => return Err(error),
                _ => {}
            }
        }
        match failure {
            Some((_, error)) => Err(error),
            None => Ok(plan.again),
        }
    }
}

impl ReplicaSets {
    /// Makes pods in growing batches: when the API refuses them, it refuses one and not five hundred.
    async fn create(&self, set: &Arc<ReplicaSet>, count: usize) -> Result<(), Error> {
        let Some(template) = &set.spec.template else { return Ok(()) };
        let mut pod =
            template::pod(template, &set.namespace().unwrap_or_default(), owners::controller_ref(&**set));
        pod.metadata.generate_name = Some(template::prefix(&set.name_any()));
        let (mut left, mut batch) = (count.min(BURST), 1);
        while left > 0 {
            let size = batch.min(left);
            let made = join_all((0..size).map(|_| self.writer.create(&pod))).await;
            let mut failure = None;
            for result in made {
                match result {
                    Ok(pod) => self.writer.event(
                        &**set,
                        "SuccessfulCreate",
                        format!("Created pod: {}", pod.name_any()),
                    ),
                    Err(error) => failure = Some(error),
                }
            }
            if let Some(error) = failure {
                if !error.is_namespace_terminating() {
                    let message = format!("Error creating: {}", error.sentence());
                    self.writer.warning(&**set, "FailedCreate", message);
                }
                return Err(error);
            }
            left -= size;
            batch *= 2;
        }
        Ok(())
    }

    async fn delete(&self, set: &ReplicaSet, pod: &Arc<Pod>) -> Result<(), Error> {
        let result = self.writer.delete(&**pod).await;
        match &result {
            Ok(()) => {
                self.writer.event(set, "SuccessfulDelete", format!("Deleted pod: {}", pod.name_any()));
            }
            Err(error) => {
                self.writer.warning(set, "FailedDelete", format!("Error deleting: {}", error.sentence()));
            }
        }
        result
    }

    fn with_failure(
        &self,
        set: &ReplicaSet,
        mut status: ReplicaSetStatus,
        failure: Option<&(&'static str, Error)>,
    ) -> ReplicaSetStatus {
        const KIND: &str = "ReplicaFailure";
        let mut conditions = status.conditions.take().unwrap_or_default();
        let old = conditions.iter().find(|c| c.type_.as_deref() == Some(KIND));
        match failure {
            None => conditions.retain(|c| c.type_.as_deref() != Some(KIND)),
            Some((reason, _)) if old.is_some_and(|c| c.reason.as_deref() == Some(*reason)) => {}
            Some((reason, error)) => {
                conditions.retain(|c| c.type_.as_deref() != Some(KIND));
                conditions.push(ReplicaSetCondition {
                    type_: Some(KIND.into()),
                    status: Some("True".into()),
                    reason: Some((*reason).into()),
                    message: Some(error.sentence()),
                    last_transition_time: Some(clock::time(self.writer.cluster.clock.now())),
                });
            }
        }
        status.conditions = (!conditions.is_empty()).then_some(conditions);
        status.observed_generation = set.metadata.generation;
        status
    }
}
