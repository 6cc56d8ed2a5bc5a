//! DaemonSet: a pod on every node that fits.

mod plan;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use crate::cache::Key;
use crate::cluster::Cluster;
use crate::controller::{self, Reconcile, Tasks};
use crate::dependents;
use crate::error::Error;
use crate::owners;
use crate::queue::Queue;
use crate::revisions;
use crate::writer::Writer;

use plan::{Observed, plan};

pub(crate) struct DaemonSets {
    writer: Writer,
}

pub(crate) fn start(cluster: &Arc<Cluster>, tasks: &mut Tasks) {
    let queue = Arc::new(Queue::default());
    let wake = queue.clone();
    cluster.daemon_sets.observe(move |_, after| {
        if let Some(set) = after {
            wake.add(Key::of(set));
        }
    });
    dependents::wake_owners::<DaemonSet, Pod>(cluster, &queue, |set| Some(&set.spec.selector));
    let (wake, weak) = (queue.clone(), Arc::downgrade(cluster));
    cluster.nodes.observe(move |before, after| {
        let facts = |n: &k8s_openapi::api::core::v1::Node| (n.metadata.labels.clone(), n.spec.clone());
        if let Some(cluster) = weak.upgrade()
            && before.map(facts) != after.map(facts)
        {
            for set in cluster.daemon_sets.all() {
                wake.add(Key::of(&*set));
            }
        }
    });
    let controller = DaemonSets { writer: Writer::new(cluster, DaemonSets::NAME) };
    controller::run(cluster, tasks, &queue, controller, 2);
}

impl Reconcile for DaemonSets {
    const NAME: &'static str = "daemonset-controller";

    async fn reconcile(&self, key: &Key) -> Result<Option<Duration>, Error> {
        let cluster = &self.writer.cluster;
        let Some(set) = cluster.daemon_sets.get(key) else { return Ok(None) };
        let spec = &set.spec;
        let selector = owners::selector(Some(&spec.selector));
        let claim = owners::claim(&*set, &selector, cluster.pods.list(&key.namespace));
        let pods = owners::settle(&self.writer, &*set, claim).await?;
        if set.metadata.deletion_timestamp.is_some() {
            return Ok(None);
        }
        let collisions = set.status.as_ref().and_then(|s| s.collision_count).unwrap_or(0);
        let history =
            revisions::sync(&self.writer, &*set, &spec.selector, &spec.template, collisions).await?;
        let hash = revisions::hash(&history.update);
        let nodes = cluster.nodes.all();
        let now = cluster.clock.now();
        let plan = plan(&Observed { set: &set, nodes: &nodes, pods: &pods, hash: &hash, now });
        let mut failure = None;
        for pod in &plan.create {
            match self.writer.create(pod).await {
                Ok(made) => {
                    self.writer.event(&*set, "SuccessfulCreate", format!("Created pod: {}", made.name_any()));
                }
                Err(error) => {
                    if !error.is_namespace_terminating() {
                        let message = format!("Error creating: {}", error.sentence());
                        self.writer.warning(&*set, "FailedCreate", message);
                    }
                    failure = Some(error);
                    break;
                }
            }
        }
        for pod in &plan.delete {
            self.writer.delete(&**pod).await?;
            self.writer.event(&*set, "SuccessfulDelete", format!("Deleted pod: {}", pod.name_any()));
        }
        let mut status = plan.status;
        status.collision_count = (history.collisions > 0).then_some(history.collisions);
        if set.status.as_ref() != Some(&status) {
            let next = DaemonSet { status: Some(status), ..(*set).clone() };
            self.writer.replace_status(&next).await?;
        }
        if let Some(error) = failure {
            return Err(error);
        }
        revisions::forget(&self.writer, &history, spec.revision_history_limit, |revision| {
            let hash = revisions::hash(revision);
            pods.iter().any(|p| p.labels().get(revisions::HASH) == Some(&hash))
        })
        .await?;
        Ok(plan.again)
    }
}
