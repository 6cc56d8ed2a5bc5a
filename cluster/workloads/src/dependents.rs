//! Which owners are to look when one of their dependents changes.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{Resource, ResourceExt};

use crate::cache::Key;
use crate::cluster::{Cluster, Kind};
use crate::owners;
use crate::queue::Queue;

/// The key of the controller of an object, when it is of kind `O`.
pub(crate) fn owner_key<O: Kind, K: Resource>(object: &K) -> Option<Key> {
    let reference = owners::controller_of(object)?;
    let ours = reference.kind == O::kind(&()) && reference.api_version == O::api_version(&());
    ours.then(|| Key::new(object.namespace().unwrap_or_default(), &*reference.name))
}

/// Queues the owners of kind `O` of each dependent that changes: the controller before and after, and for
/// an orphan those that would adopt it.
pub(crate) fn wake_owners<O: Kind, K: Kind>(
    cluster: &Arc<Cluster>,
    queue: &Arc<Queue>,
    selector: fn(&O) -> Option<&LabelSelector>,
) {
    let (queue, weak) = (queue.clone(), Arc::downgrade(cluster));
    K::store(cluster).observe(move |before, after| {
        let (old, new) = (before.and_then(owner_key::<O, K>), after.and_then(owner_key::<O, K>));
        if let Some(old) = old.clone()
            && Some(&old) != new.as_ref()
        {
            queue.add(old);
        }
        if let Some(new) = new {
            queue.add(new);
        }
        let Some(orphan) = after.filter(|o| owners::controller_of(*o).is_none()) else { return };
        let Some(cluster) = weak.upgrade() else { return };
        for owner in O::store(&cluster).list(&orphan.namespace().unwrap_or_default()) {
            if owners::selects(&owners::selector(selector(&owner)), orphan) {
                queue.add(Key::of(&*owner));
            }
        }
    });
}
