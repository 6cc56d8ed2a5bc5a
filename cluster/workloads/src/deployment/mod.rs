//! Deployment: ReplicaSets that take turns.
//!
//! [`plan`] decides one step from what is observed; each change of a ReplicaSet asks for the next one.

mod history;
mod plan;
mod rolling;
mod sets;
mod status;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use kube::ResourceExt;
use serde_json::json;

use crate::cache::Key;
use crate::cluster::Cluster;
use crate::controller::{self, Reconcile, Tasks};
use crate::dependents;
use crate::error::Error;
use crate::owners;
use crate::pods;
use crate::queue::Queue;
use crate::writer::Writer;

use plan::{Action, Observed, plan};

pub(crate) struct Deployments {
    writer: Writer,
}

pub(crate) fn start(cluster: &Arc<Cluster>, tasks: &mut Tasks) {
    let queue = Arc::new(Queue::default());
    let wake = queue.clone();
    cluster.deployments.observe(move |_, after| {
        if let Some(deployment) = after {
            wake.add(Key::of(deployment));
        }
    });
    dependents::wake_owners::<Deployment, ReplicaSet>(cluster, &queue, |d| Some(&d.spec.selector));
    // A Recreate waits for the last old pod to end.
    let (wake, weak) = (queue.clone(), Arc::downgrade(cluster));
    cluster.pods.observe(move |before, after| {
        let Some(pod) = before.filter(|_| after.is_none_or(pods::is_finished)) else { return };
        let (Some(set), Some(cluster)) = (dependents::owner_key::<ReplicaSet, _>(pod), weak.upgrade()) else {
            return;
        };
        let owner = cluster.replica_sets.get(&set).and_then(|s| dependents::owner_key::<Deployment, _>(&*s));
        if let Some(owner) = owner {
            wake.add(owner);
        }
    });
    let controller = Deployments { writer: Writer::new(cluster, Deployments::NAME) };
    controller::run(cluster, tasks, &queue, controller, 4);
}

impl Reconcile for Deployments {
    const NAME: &'static str = "deployment-controller";

    async fn reconcile(&self, key: &Key) -> Result<Option<Duration>, Error> {
        let cluster = &self.writer.cluster;
        let Some(deployment) = cluster.deployments.get(key) else { return Ok(None) };
        let selector = owners::selector(Some(&deployment.spec.selector));
        let claim = owners::claim(&*deployment, &selector, cluster.replica_sets.list(&key.namespace));
        let sets = owners::settle(&self.writer, &*deployment, claim).await?;
        let pods = cluster.pods.list(&key.namespace);
        let pods = pods.into_iter().filter(|p| sets.iter().any(|s| owners::controls(&**s, &**p))).collect();
        let now = cluster.clock.now();
        let plan = plan(&Observed { deployment: &deployment, sets, pods, now });
        for action in plan.actions {
            match action {
                Action::Create(set) => match self.create(&deployment, &set).await {
                    Err(error) if error.is_already_exists() => {
                        return self.collide(&deployment, &set, error).await;
                    }
                    other => other?,
                },
                Action::Update(update) => {
                    let patch = json!({
                        "metadata": {"annotations": update.annotations},
                        "spec": {"replicas": update.replicas, "minReadySeconds": update.min_ready_seconds},
                    });
                    self.writer.patch(&*update.set, patch).await?;
                    let before = update.set.spec.replicas.unwrap_or(1);
                    self.scaled(&deployment, &update.set.name_any(), before, update.replicas);
                }
                Action::Delete(set) => self.writer.delete(&*set).await?,
            }
        }
        if plan.annotations.is_some() || deployment.status.as_ref() != Some(&plan.status) {
            let mut next = Deployment { status: Some(plan.status), ..(*deployment).clone() };
            // Together with the status: nobody asked for anything else, so it must not count as a new generation.
            next.metadata.annotations.get_or_insert_default().extend(plan.annotations.unwrap_or_default());
            self.writer.replace_status(&next).await?;
        }
        Ok(plan.again)
    }
}

impl Deployments {
    fn scaled(&self, deployment: &Deployment, set: &str, from: i32, to: i32) {
        if from != to {
            let direction = if to > from { "up" } else { "down" };
            let message = format!("Scaled {direction} replica set {set} from {from} to {to}");
            self.writer.event(deployment, "ScalingReplicaSet", message);
        }
    }

    async fn create(&self, deployment: &Deployment, set: &ReplicaSet) -> Result<(), Error> {
        match self.writer.create(set).await {
            Ok(made) => {
                let to = made.spec.replicas.unwrap_or(1);
                self.scaled(deployment, &made.name_any(), 0, to);
                Ok(())
            }
            Err(error) => {
                if !error.is_already_exists() && !error.is_namespace_terminating() {
                    let (name, why) = (set.name_any(), error.sentence());
                    let message = format!("Failed to create new replica set \"{name}\": {why}");
                    self.writer.warning(deployment, "ReplicaSetCreateError", message);
                }
                Err(error)
            }
        }
    }

    /// The name is taken. When it is not by our own ReplicaSet of the same template, another name is
    /// chosen next time.
    async fn collide(
        &self,
        deployment: &Deployment,
        wanted: &ReplicaSet,
        error: Error,
    ) -> Result<Option<Duration>, Error> {
        let api = <ReplicaSet as crate::cluster::Kind>::api(
            &self.writer.cluster.client,
            &deployment.namespace().unwrap_or_default(),
        );
        let name = wanted.name_any();
        let found =
            api.get_opt(&name).await.map_err(|e| Error::api("read", format!("ReplicaSet {name}"), e))?;
        let ours = found.is_some_and(|set| {
            owners::controls(deployment, &set)
                && sets::same_template(sets::template(&set), Some(&deployment.spec.template))
        });
        if !ours {
            let mut next = deployment.clone();
            let status = next.status.get_or_insert_default();
            status.collision_count = Some(status.collision_count.unwrap_or(0) + 1);
            self.writer.replace_status(&next).await?;
        }
        Err(error)
    }
}
