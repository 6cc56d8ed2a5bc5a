//! PodDisruptionBudget: how many pods may be evicted now.

mod plan;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::ResourceExt;

use crate::cache::Key;
use crate::cluster::{Cluster, Kind};
use crate::controller::{self, Reconcile, Tasks};
use crate::dependents::owner_key;
use crate::error::Error;
use crate::owners;
use crate::queue::Queue;
use crate::writer::Writer;

use plan::plan;

pub(crate) struct Disruptions {
    writer: Writer,
}

/// Queues all budgets of the namespace of an object whose size may count for them.
fn wake_namespace<K: Kind>(cluster: &Arc<Cluster>, queue: &Arc<Queue>, size: fn(&K) -> Option<i32>) {
    let (queue, weak) = (queue.clone(), Arc::downgrade(cluster));
    K::store(cluster).observe(move |before, after| {
        let (Some(cluster), Some(object)) = (weak.upgrade(), after.or(before)) else { return };
        if before.map(size) != after.map(size) {
            for budget in cluster.budgets.list(&object.namespace().unwrap_or_default()) {
                queue.add(Key::of(&*budget));
            }
        }
    });
}

pub(crate) fn start(cluster: &Arc<Cluster>, tasks: &mut Tasks) {
    let queue = Arc::new(Queue::default());
    let wake = queue.clone();
    cluster.budgets.observe(move |_, after| {
        if let Some(budget) = after {
            wake.add(Key::of(budget));
        }
    });
    let (wake, weak) = (queue.clone(), Arc::downgrade(cluster));
    cluster.pods.observe(move |before, after| {
        let (Some(cluster), Some(pod)) = (weak.upgrade(), after.or(before)) else { return };
        for budget in cluster.budgets.list(&pod.namespace().unwrap_or_default()) {
            let selector = owners::selector(budget.spec.as_ref().and_then(|s| s.selector.as_ref()));
            if before.into_iter().chain(after).any(|pod| owners::selects(&selector, pod)) {
                wake.add(Key::of(&*budget));
            }
        }
    });
    wake_namespace::<Deployment>(cluster, &queue, |d| d.spec.replicas);
    wake_namespace::<ReplicaSet>(cluster, &queue, |s| s.spec.replicas);
    wake_namespace::<StatefulSet>(cluster, &queue, |s| s.spec.replicas);
    let controller = Disruptions { writer: Writer::new(cluster, Disruptions::NAME) };
    controller::run(cluster, tasks, &queue, controller, 1);
}

/// The controller whose size counts for a pod, and that size. The size of a Deployment counts, not that
/// of the ReplicaSets that share it during an update.
fn scale(cluster: &Cluster, pod: &Pod) -> Option<(String, i32)> {
    if let Some(key) = owner_key::<StatefulSet, _>(pod) {
        let set = cluster.stateful_sets.get(&key).filter(|s| owners::controls(&**s, pod))?;
        return Some((set.uid()?, set.spec.replicas.unwrap_or(1)));
    }
    let set = cluster.replica_sets.get(&owner_key::<ReplicaSet, _>(pod)?)?;
    if !owners::controls(&*set, pod) {
        return None;
    }
    if let Some(key) = owner_key::<Deployment, _>(&*set) {
        let deployment = cluster.deployments.get(&key).filter(|d| owners::controls(&**d, &*set))?;
        return Some((deployment.uid()?, deployment.spec.replicas.unwrap_or(1)));
    }
    Some((set.uid()?, set.spec.replicas.unwrap_or(1)))
}

impl Reconcile for Disruptions {
    const NAME: &'static str = "disruption-controller";

    async fn reconcile(&self, key: &Key) -> Result<Option<Duration>, Error> {
        let cluster = &self.writer.cluster;
        let Some(budget) = cluster.budgets.get(key) else { return Ok(None) };
        if budget.metadata.deletion_timestamp.is_some() {
            return Ok(None);
        }
        let selector = owners::selector(budget.spec.as_ref().and_then(|s| s.selector.as_ref()));
        let pods: Vec<_> = cluster
            .pods
            .list(&key.namespace)
            .into_iter()
            .filter(|p| owners::selects(&selector, &**p))
            .collect();
        let scaled: Vec<_> = pods.into_iter().map(|pod| (scale(cluster, &pod), pod)).collect();
        let status = plan(&budget, &scaled, cluster.clock.now());
        if budget.status.as_ref() != Some(&status) {
            let next = PodDisruptionBudget { status: Some(status), ..(*budget).clone() };
            self.writer.replace_status(&next).await?;
        }
        Ok(None)
    }
}
