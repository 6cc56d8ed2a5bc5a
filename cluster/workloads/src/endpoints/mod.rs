//! Service → EndpointSlice: which addresses answer for a Service, and in which state they are.

mod plan;
mod v1;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::ResourceExt;

use crate::cache::Key;
use crate::cluster::Cluster;
use crate::controller::{self, Reconcile, Tasks};
use crate::error::Error;
use crate::pods;
use crate::queue::Queue;
use crate::writer::Writer;

use plan::{MANAGED_BY, MANAGER, SERVICE_NAME, plan};

pub(crate) struct Endpoints {
    writer: Writer,
}

fn service_of(slice: &EndpointSlice) -> Option<Key> {
    let ours = slice.labels().get(MANAGED_BY).map(String::as_str) == Some(MANAGER);
    let service = slice.labels().get(SERVICE_NAME).filter(|_| ours)?;
    Some(Key::new(slice.namespace().unwrap_or_default(), service))
}

/// Whether a change of a pod can matter to a Service.
fn matters(before: Option<&Pod>, after: Option<&Pod>) -> bool {
    let facts = |pod: &Pod| {
        let addresses = pod.status.as_ref().and_then(|s| s.pod_ips.clone());
        let place = pod.spec.as_ref().and_then(|s| s.node_name.clone());
        (
            pod.metadata.labels.clone(),
            (addresses, pod.status.as_ref().and_then(|s| s.pod_ip.clone())),
            place,
            (pods::is_ready(pod), pods::is_terminating(pod), pods::is_finished(pod)),
            pod.uid(),
        )
    };
    before.map(facts) != after.map(facts)
}

pub(crate) fn start(cluster: &Arc<Cluster>, tasks: &mut Tasks) {
    let queue = Arc::new(Queue::default());
    let wake = queue.clone();
    cluster.services.observe(move |_, after| {
        if let Some(service) = after {
            wake.add(Key::of(service));
        }
    });
    let wake = queue.clone();
    cluster.endpoint_slices.observe(move |before, after| {
        for service in before.and_then(service_of).into_iter().chain(after.and_then(service_of)) {
            wake.add(service);
        }
    });
    let (wake, weak) = (queue.clone(), Arc::downgrade(cluster));
    cluster.pods.observe(move |before, after| {
        let (Some(cluster), true) = (weak.upgrade(), matters(before, after)) else { return };
        let namespace = after.or(before).and_then(ResourceExt::namespace).unwrap_or_default();
        for service in cluster.services.list(&namespace) {
            if before.into_iter().chain(after).any(|pod| plan::selects(&service, pod)) {
                wake.add(Key::of::<Service>(&service));
            }
        }
    });
    let controller = Endpoints { writer: Writer::new(cluster, Endpoints::NAME) };
    controller::run(cluster, tasks, &queue, controller, 2);
    v1::start(cluster, tasks);
}

impl Reconcile for Endpoints {
    const NAME: &'static str = "endpointslice-controller";

    async fn reconcile(&self, key: &Key) -> Result<Option<Duration>, Error> {
        let cluster = &self.writer.cluster;
        // The slices of a Service that is gone go by their owner reference.
        let Some(service) = cluster.services.get(key) else { return Ok(None) };
        if service.metadata.deletion_timestamp.is_some() {
            return Ok(None);
        }
        let slices = cluster.endpoint_slices.list(&key.namespace);
        let slices: Vec<_> = slices.into_iter().filter(|s| service_of(s).as_ref() == Some(key)).collect();
        let Some(plan) = plan(&service, &cluster.pods.list(&key.namespace), &slices) else {
            return Ok(None);
        };
        // What appears comes before what goes, so that a ready address is never missing.
        for slice in &plan.create {
            self.writer.create(slice).await?;
        }
        for slice in &plan.update {
            self.writer.replace(slice).await?;
        }
        for slice in &plan.delete {
            self.writer.delete(&**slice).await?;
        }
        Ok(None)
    }
}
