//! PersistentVolumeClaim → PersistentVolume.
//!
//! A claim of our StorageClass gets a volume of its own at once; where on disk it lies is the node's to
//! decide. Claims also find volumes that people made. Volumes and claims that are in use stay until nobody
//! uses them.

mod plan;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;
use serde_json::json;

use crate::cache::Key;
use crate::cluster::{Cluster, Kind};
use crate::controller::{self, Reconcile, Tasks};
use crate::error::Error;
use crate::queue::Queue;
use crate::writer::Writer;

use plan::{Binding, claim_plan, claims_of, volume_plan};

/// The StorageClass that is made when there is none.
const CLASS: &str = "local";
/// Who provides the volumes of that class.
const PROVISIONER: &str = "local.seaway.dev";
const IS_DEFAULT: &str = "storageclass.kubernetes.io/is-default-class";

pub(crate) struct Volumes {
    writer: Writer,
}

/// One queue for claims and volumes: a key without a namespace is a volume's.
pub(crate) fn start(cluster: &Arc<Cluster>, tasks: &mut Tasks) {
    let queue = Arc::new(Queue::default());
    let wake = queue.clone();
    cluster.claims.observe(move |before, after| {
        if let Some(claim) = after.or(before) {
            wake.add(Key::of(claim));
            if let Some(volume) = claim.spec.as_ref().and_then(|s| s.volume_name.as_ref()) {
                wake.add(Key::new("", volume));
            }
        }
    });
    let (wake, weak) = (queue.clone(), Arc::downgrade(cluster));
    cluster.volumes.observe(move |before, after| {
        for volume in before.into_iter().chain(after) {
            wake.add(Key::of(volume));
        }
        // A volume that appears may be what a claim waits for.
        if let Some(cluster) = weak.upgrade() {
            wake_waiting(&cluster, &wake);
        }
    });
    let (wake, weak) = (queue.clone(), Arc::downgrade(cluster));
    cluster.storage_classes.observe(move |_, _| {
        if let Some(cluster) = weak.upgrade() {
            wake_waiting(&cluster, &wake);
        }
    });
    // The end of a pod lets its claims go; a new pod may need claims of its own.
    let wake = queue.clone();
    cluster.pods.observe(move |before, after| {
        let is_used = |pod: &Pod| !crate::pods::is_finished(pod);
        if before.map(is_used) != after.map(is_used) {
            let namespace = after.or(before).and_then(ResourceExt::namespace).unwrap_or_default();
            for claim in before.into_iter().chain(after).flat_map(claims_of) {
                wake.add(Key::new(&*namespace, claim));
            }
        }
    });
    let writer = Writer::new(cluster, Volumes::NAME);
    tasks.spawn(provide_class(writer.clone()));
    controller::run(cluster, tasks, &queue, Volumes { writer }, 1);
}

fn wake_waiting(cluster: &Cluster, queue: &Queue) {
    for claim in cluster.claims.all() {
        if claim.status.as_ref().and_then(|s| s.phase.as_deref()) != Some("Bound") {
            queue.add(Key::of(&*claim));
        }
    }
}

/// Makes our StorageClass when the cluster has none at all.
async fn provide_class(writer: Writer) {
    let cluster = writer.cluster.clone();
    cluster.filled().await;
    if !cluster.storage_classes.all().is_empty() {
        return;
    }
    let class = StorageClass {
        metadata: k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
            name: Some(CLASS.into()),
            annotations: Some([(IS_DEFAULT.to_owned(), "true".to_owned())].into()),
            ..Default::default()
        },
        provisioner: PROVISIONER.into(),
        reclaim_policy: Some("Delete".into()),
        volume_binding_mode: Some("Immediate".into()),
        ..StorageClass::default()
    };
    match writer.create(&class).await {
        Err(error) if !error.is_already_exists() => {
            tracing::warn!(%error, "claims without a class will wait: there is no default StorageClass");
        }
        _ => {}
    }
}

impl Reconcile for Volumes {
    const NAME: &'static str = "persistentvolume-controller";

    async fn reconcile(&self, key: &Key) -> Result<Option<Duration>, Error> {
        if key.namespace.is_empty() {
            self.volume(key).await?;
        } else {
            self.claim(key).await?;
        }
        Ok(None)
    }
}

impl Volumes {
    async fn claim(&self, key: &Key) -> Result<(), Error> {
        let cluster = &self.writer.cluster;
        let pods = cluster.pods.list(&key.namespace);
        let Some(claim) = cluster.claims.get(key) else { return self.ephemeral(key, &pods).await };
        let classes = cluster.storage_classes.all();
        let plan = claim_plan(&claim, &cluster.volumes.all(), &classes, &pods);
        let mut claim = claim;
        if let Some(finalizers) = plan.finalizers {
            claim = self.writer.patch(&*claim, json!({"metadata": {"finalizers": finalizers}})).await?;
        }
        if let Some(class) = plan.class {
            claim = self.writer.patch(&*claim, json!({"spec": {"storageClassName": class}})).await?;
        }
        match plan.binding {
            Binding::Nothing => {}
            Binding::Wait(reason, message) => self.writer.event(&*claim, reason, message),
            Binding::Refuse(reason, message) => self.writer.warning(&*claim, reason, message),
            Binding::Make(volume) => {
                match self.writer.create(&*volume).await {
                    Ok(made) => self.bind(&claim, made).await?,
                    Err(error) if error.is_already_exists() => {
                        // Made before a restart; the watch will show it.
                        tracing::debug!(%error, "the volume is there already");
                    }
                    Err(error) => return Err(error),
                }
                let message = format!("Successfully provisioned volume {}", volume.name_any());
                self.writer.event(&*claim, "ProvisioningSucceeded", message);
            }
            Binding::Take(volume) => self.bind(&claim, volume).await?,
        }
        if let Some(phase) = plan.phase {
            self.set_phase(&claim, phase).await?;
        }
        Ok(())
    }

    /// Ties a claim and a volume together: first the volume's side, so that no other claim takes it.
    async fn bind(
        &self,
        claim: &Arc<PersistentVolumeClaim>,
        volume: Arc<PersistentVolume>,
    ) -> Result<(), Error> {
        let reference = volume.spec.as_ref().and_then(|s| s.claim_ref.as_ref());
        let volume = if reference.and_then(|r| r.uid.as_ref()) == claim.metadata.uid.as_ref() {
            volume
        } else {
            self.writer.patch(&*volume, json!({"spec": {"claimRef": plan::reference(claim)}})).await?
        };
        let named = claim.spec.as_ref().and_then(|s| s.volume_name.clone()).unwrap_or_default();
        let claim = if named == volume.name_any() {
            claim.clone()
        } else {
            let patch = json!({
                "metadata": {"annotations": {"pv.kubernetes.io/bind-completed": "yes",
                                             "pv.kubernetes.io/bound-by-controller": "yes"}},
                "spec": {"volumeName": volume.name_any()}});
            self.writer.patch(&**claim, patch).await?
        };
        let spec = volume.spec.clone().unwrap_or_default();
        let mut next = (*claim).clone();
        let status = next.status.get_or_insert_default();
        status.phase = Some("Bound".into());
        status.access_modes = spec.access_modes;
        status.capacity = spec.capacity;
        if next.status != claim.status {
            self.writer.replace_status(&next).await?;
        }
        Ok(())
    }

    async fn set_phase(&self, claim: &PersistentVolumeClaim, phase: &str) -> Result<(), Error> {
        let mut next = claim.clone();
        next.status.get_or_insert_default().phase = Some(phase.to_owned());
        self.writer.replace_status(&next).await.map(drop)
    }

    /// The claim that a pod wants for itself alone.
    async fn ephemeral(&self, key: &Key, pods: &[Arc<Pod>]) -> Result<(), Error> {
        for pod in pods {
            if let Some(claim) = plan::ephemeral_claim(pod, &key.name) {
                return match self.writer.create(&claim).await {
                    Err(error) if !error.is_already_exists() => Err(error),
                    _ => Ok(()),
                };
            }
        }
        Ok(())
    }

    async fn volume(&self, key: &Key) -> Result<(), Error> {
        let cluster = &self.writer.cluster;
        let Some(volume) = cluster.volumes.get(key) else { return Ok(()) };
        let reference = volume.spec.as_ref().and_then(|s| s.claim_ref.clone());
        let claim = match &reference {
            None => None,
            Some(reference) => {
                let key = Key::new(
                    reference.namespace.clone().unwrap_or_default(),
                    reference.name.clone().unwrap_or_default(),
                );
                let mut found = cluster.claims.get(&key);
                if found.is_none() && reference.uid.is_some() {
                    // A volume with data is given up only when the API itself says that the claim is gone.
                    let api = PersistentVolumeClaim::api(&cluster.client, &key.namespace);
                    let asked = api.get_opt(&key.name).await;
                    found = asked
                        .map_err(|e| Error::api("read", format!("PersistentVolumeClaim {key}"), e))?
                        .map(Arc::new);
                }
                found
            }
        };
        let plan = volume_plan(&volume, claim.as_deref());
        if plan.delete {
            return self.writer.delete(&*volume).await;
        }
        if let Some(phase) = plan.phase {
            let mut next = (*volume).clone();
            let status = next.status.get_or_insert_default();
            status.phase = Some(phase.to_owned());
            status.last_phase_transition_time = Some(crate::clock::time(cluster.clock.now()));
            self.writer.replace_status(&next).await?;
        }
        Ok(())
    }
}
