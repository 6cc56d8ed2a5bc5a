//! StatefulSet: pods with names and volumes of their own, one after the other.

mod identity;
mod plan;
mod retention;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
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

use plan::{Observed, Version, plan};

/// A claim that is being deleted is looked at again so often.
const CLAIM_END: Duration = Duration::from_secs(1);

pub(crate) struct StatefulSets {
    writer: Writer,
}

pub(crate) fn start(cluster: &Arc<Cluster>, tasks: &mut Tasks) {
    let queue = Arc::new(Queue::default());
    let wake = queue.clone();
    cluster.stateful_sets.observe(move |_, after| {
        if let Some(set) = after {
            wake.add(Key::of(set));
        }
    });
    dependents::wake_owners::<StatefulSet, Pod>(cluster, &queue, |set| Some(&set.spec.selector));
    let controller = StatefulSets { writer: Writer::new(cluster, StatefulSets::NAME) };
    controller::run(cluster, tasks, &queue, controller, 2);
}

impl Reconcile for StatefulSets {
    const NAME: &'static str = "statefulset-controller";

    async fn reconcile(&self, key: &Key) -> Result<Option<Duration>, Error> {
        let cluster = &self.writer.cluster;
        let Some(set) = cluster.stateful_sets.get(key) else { return Ok(None) };
        let spec = &set.spec;
        let selector = owners::selector(Some(&spec.selector));
        let mut claim = owners::claim(&*set, &selector, cluster.pods.list(&key.namespace));
        // Only pods that are named like ours can be ours.
        claim.adopted.retain(|pod| identity::ordinal(&set, &pod.name_any()).is_some());
        let pods = owners::settle(&self.writer, &*set, claim).await?;
        if set.metadata.deletion_timestamp.is_some() {
            return Ok(None);
        }
        let before = set.status.clone().unwrap_or_default();
        let collisions = before.collision_count.unwrap_or(0);
        let history =
            revisions::sync(&self.writer, &*set, &spec.selector, &spec.template, collisions).await?;
        let update = Version { name: history.update.name_any(), template: spec.template.clone() };
        let current = before.current_revision.as_ref().and_then(|name| {
            let revision = history.all.iter().find(|r| r.name_any() == *name)?;
            Some(Version { name: name.clone(), template: revisions::template(revision)? })
        });
        let current = current.unwrap_or_else(|| update.clone());
        let now = cluster.clock.now();
        let observed = Observed { set: &set, pods: &pods, current: &current, update: &update, now };
        let plan = plan(&observed);
        retention::sync(&self.writer, &set, &plan.known).await?;
        let (mut failure, mut again) = (None, plan.again);
        for pod in &plan.create {
            if pod.claims.iter().any(|claim| self.is_ending(claim)) {
                // The pod would hold a claim that is about to go, and get no other.
                again = Some(again.map_or(CLAIM_END, |again| again.min(CLAIM_END)));
                continue;
            }
            if let Err(error) = self.create(&set, pod).await {
                failure = Some(error);
                break;
            }
        }
        for pod in &plan.delete {
            self.writer.delete(&**pod).await?;
            let name = pod.name_any();
            let message = format!("delete Pod {name} in StatefulSet {} successful", set.name_any());
            self.writer.event(&*set, "SuccessfulDelete", message);
        }
        let mut status = plan.status;
        status.collision_count = Some(history.collisions);
        if set.status.as_ref() != Some(&status) {
            let next = StatefulSet { status: Some(status.clone()), ..(*set).clone() };
            self.writer.replace_status(&next).await?;
        }
        if let Some(error) = failure {
            return Err(error);
        }
        revisions::forget(&self.writer, &history, spec.revision_history_limit, |revision| {
            let name = revision.name_any();
            status.current_revision.as_ref() == Some(&name)
                || pods.iter().any(|p| p.labels().get(revisions::HASH) == Some(&name))
        })
        .await?;
        Ok(again)
    }
}

impl StatefulSets {
    fn is_ending(&self, claim: &PersistentVolumeClaim) -> bool {
        let claim = self.writer.cluster.claims.get(&Key::of(claim));
        claim.is_some_and(|claim| claim.metadata.deletion_timestamp.is_some())
    }

    /// Makes the claims of a pod that are missing, then the pod.
    async fn create(&self, set: &StatefulSet, pod: &plan::New) -> Result<(), Error> {
        let cluster = &self.writer.cluster;
        let (name, set_name) = (pod.pod.name_any(), set.name_any());
        let failed = |what: String, error: Error| {
            if !error.is_namespace_terminating() {
                let message =
                    format!("create {what} in StatefulSet {set_name} failed error: {}", error.sentence());
                self.writer.warning(set, "FailedCreate", message);
            }
            error
        };
        for claim in &pod.claims {
            if cluster.claims.get(&Key::of(claim)).is_some() {
                continue;
            }
            let what = format!("Claim {} Pod {name}", claim.name_any());
            match self.writer.create(claim).await {
                Ok(_) => {
                    let message = format!("create {what} in StatefulSet {set_name} success");
                    self.writer.event(set, "SuccessfulCreate", message);
                }
                Err(error) if error.is_already_exists() => {}
                Err(error) => return Err(failed(what, error)),
            }
        }
        match self.writer.create(&pod.pod).await {
            Ok(_) => {
                let message = format!("create Pod {name} in StatefulSet {set_name} successful");
                self.writer.event(set, "SuccessfulCreate", message);
                Ok(())
            }
            Err(error) => Err(failed(format!("Pod {name}"), error)),
        }
    }
}
