//! What the API is told about a pod: its status, and at last that it may go.

use super::status::pod_status;
use super::worker::Worker;
use crate::image::remove_tree;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use std::time::Duration;
use tokio::time::timeout;

/// The API is given so long to take a status.
const API_PATIENCE: Duration = Duration::from_secs(10);
/// A write that failed is tried again after so long.
pub(super) const API_RETRY: Duration = Duration::from_secs(2);

impl Worker {
    /// Removes the pod's folders, then the pod from the API.
    pub(super) async fn remove(&mut self) {
        self.running.clear();
        for folder in [self.folders.root.clone(), self.shared.log_folder(&self.key)] {
            let removed = tokio::task::spawn_blocking(move || remove_tree(&folder)).await;
            if let Ok(Err(e)) = removed {
                tracing::warn!(error = %e, "a pod's folder could not be removed");
            }
        }
        if !self.gone {
            // Its last words first: a Job wants to know how its pod ended.
            self.write_status(Timestamp::now()).await;
            let api: Api<Pod> = Api::namespaced(self.shared.client.clone(), &self.key.namespace);
            let preconditions = Preconditions { uid: Some(self.key.uid.clone()), resource_version: None };
            let parameters = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() }
                .grace_period(0);
            for _ in 0..5 {
                match timeout(API_PATIENCE, api.delete(&self.key.name, &parameters)).await {
                    Ok(Ok(_)) => break,
                    Ok(Err(kube::Error::Api(answer))) if answer.code == 404 || answer.code == 409 => break,
                    _ => tokio::time::sleep(API_RETRY).await,
                }
            }
        }
        self.removed = true;
    }

    /// Writes the status if it has changed; `false` when it must be tried again.
    pub(super) async fn write_status(&mut self, now: Timestamp) -> bool {
        if self.gone || self.was_over {
            return true;
        }
        let status = pod_status(&self.pod, &self.state, self.shared.address, now);
        if self.written.as_ref() == Some(&status) {
            return true;
        }
        let api: Api<Pod> = Api::namespaced(self.shared.client.clone(), &self.key.namespace);
        // The UID makes a patch of another pod of the same name fail.
        let patch = serde_json::json!({"metadata": {"uid": self.key.uid}, "status": with_nulls(&status)});
        let (parameters, patch) = (PatchParams::default(), Patch::Merge(patch));
        let patched = api.patch_status(&self.key.name, &parameters, &patch);
        match timeout(API_PATIENCE, patched).await {
            Ok(Ok(_)) => {
                self.written = Some(status);
                true
            }
            Ok(Err(kube::Error::Api(answer))) if answer.code == 404 || answer.code == 409 => {
                // Gone or replaced; the watch will say so.
                self.written = Some(status);
                true
            }
            Ok(Err(e)) => {
                tracing::warn!(pod = %self.key.name, error = %e, "a pod's status could not be written");
                false
            }
            Err(_) => false,
        }
    }
}

/// A merge patch removes what it names as null: a pod that lost its sandbox has no address any more.
fn with_nulls(status: &PodStatus) -> serde_json::Value {
    let mut json = serde_json::to_value(status).unwrap_or_default();
    if let Some(fields) = json.as_object_mut() {
        for name in ["message", "reason", "podIP", "podIPs"] {
            fields.entry(name).or_insert(serde_json::Value::Null);
        }
        if fields.get("qosClass").is_some_and(serde_json::Value::is_null) {
            fields.remove("qosClass");
        }
    }
    json
}
