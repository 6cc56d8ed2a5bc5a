//! Removes what nothing needs any more: folders of old pods, images, folders of deleted claims.

use super::shared::{PodKey, Shared};
use crate::error::Result;
use crate::image::remove_tree;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::Api;
use std::collections::HashSet;
use std::sync::Arc;

/// Removes what pods left that went while the node was away.
pub(super) fn sweep(shared: &Shared, listed: &HashSet<PodKey>) {
    let uids: HashSet<&str> = listed.iter().map(|k| k.uid.as_str()).collect();
    let known = |name: &str| uids.contains(name.rsplit('_').next().unwrap_or(name));
    for folder in [shared.pods_folder(), shared.options.data_dir.join("logs")] {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            if entry.file_name().to_str().is_none_or(|name| !known(name))
                && let Err(e) = remove_tree(&entry.path())
            {
                tracing::warn!(error = %e, "an old pod's folder could not be removed");
            }
        }
    }
}

/// Removes images that no pod of this node has used for a while, and folders of claims that are gone.
pub(super) async fn collect(shared: Arc<Shared>) {
    let mut used_before: Option<HashSet<String>> = None;
    let mut orphans_before = HashSet::new();
    loop {
        tokio::time::sleep(shared.options.collect_interval).await;
        orphans_before = remove_claims(&shared, &orphans_before).await;
        let api: Api<Pod> = Api::all(shared.client.clone());
        let mine = kube::api::ListParams::default().fields(&format!("spec.nodeName={}", shared.options.name));
        let Ok(pods) = api.list(&mine).await else { continue };
        let Ok(used) = used_images(&shared, &pods.items) else { continue };
        // An image stays for one round after its last use: the next rollout may want it back.
        let keep: HashSet<String> = used.iter().chain(used_before.iter().flatten()).cloned().collect();
        let all = || used_now(&shared).map(|now| now.into_iter().chain(keep).collect());
        if used_before.replace(used).is_some()
            && let Err(e) = shared.images.collect(all).await
        {
            tracing::warn!(error = %e, "unused images could not be removed");
        }
    }
}

/// The digests of the images that pods run. An error when one cannot be told: then none is to be removed.
fn used_images<'a>(shared: &Shared, pods: impl IntoIterator<Item = &'a Pod>) -> Result<HashSet<String>> {
    let mut used = HashSet::new();
    for spec in pods.into_iter().filter_map(|pod| pod.spec.as_ref()) {
        let own = spec.containers.iter().chain(spec.init_containers.iter().flatten());
        let images = own.map(|container| container.image.as_ref());
        let later = spec.ephemeral_containers.iter().flatten().map(|container| container.image.as_ref());
        let volumes = spec.volumes.iter().flatten().map(|volume| volume.image.as_ref()?.reference.as_ref());
        for image in images.chain(later).chain(volumes).flatten() {
            used.extend(shared.images.present(image)?.map(|image| image.digest));
        }
    }
    Ok(used)
}

/// The same of the pods that this node looks after as of now.
pub(super) fn used_now(shared: &Shared) -> Result<HashSet<String>> {
    let workers = shared.workers();
    used_images(shared, workers.iter().map(|(_, pod, _)| &**pod))
}

/// Removes the folders of claims that the API has not known twice in a row; returns what it does not know now. Data is
/// not removed on the word of one answer.
async fn remove_claims(shared: &Shared, before: &HashSet<String>) -> HashSet<String> {
    let claims = Api::<PersistentVolumeClaim>::all(shared.client.clone()).list(&Default::default()).await;
    let Ok(claims) = claims else { return HashSet::new() };
    let known: HashSet<String> = claims.items.into_iter().filter_map(|c| c.metadata.uid).collect();
    let mut orphans = HashSet::new();
    for entry in std::fs::read_dir(&shared.volumes.claims).into_iter().flatten().flatten() {
        let Some(uid) = entry.file_name().to_str().map(str::to_owned).filter(|uid| !known.contains(uid))
        else {
            continue;
        };
        if before.contains(&uid) {
            if let Err(e) = remove_tree(&entry.path()) {
                tracing::warn!(error = %e, "the folder of a deleted claim could not be removed");
            }
        } else {
            orphans.insert(uid);
        }
    }
    orphans
}
