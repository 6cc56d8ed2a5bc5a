//! Statuses on their way to the API.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use serde_json::json;
use tokio::sync::watch;

use super::kinds::Kind;
use super::store::Store;
use crate::table::DesiredStatus;

const FIELD_MANAGER: &str = "seaway-gateway";

/// After a failed write the statuses are worked out anew after this time.
const PAUSE: Duration = Duration::from_secs(1);

/// Writes the statuses of each table until the sender is gone.
pub(crate) async fn publish(
    client: Client,
    mut statuses: watch::Receiver<Vec<DesiredStatus>>,
    store: Arc<Store>,
) {
    let mut told = String::new();
    while statuses.changed().await.is_ok() {
        let wanted = statuses.borrow_and_update().clone();
        let mut failed = false;
        for status in &wanted {
            match write(&client, status).await {
                Ok(()) => {}
                // The object has changed or gone meanwhile: its watch brings the next table.
                Err(kube::Error::Api(answer)) if answer.is_conflict() || answer.code == 404 => {}
                Err(error) => {
                    failed = true;
                    let message = error.to_string();
                    if told != message {
                        tracing::warn!(
                            kind = ?status.kind, namespace = %status.namespace, name = %status.name,
                            error = %message, "cannot write a status; trying again"
                        );
                        told = message;
                    }
                }
            }
        }
        if failed {
            tokio::time::sleep(PAUSE).await;
            store.touch();
        } else {
            told.clear();
        }
    }
}

async fn write(client: &Client, status: &DesiredStatus) -> Result<(), kube::Error> {
    let resource = Kind::from(status.kind).resource();
    let api: Api<DynamicObject> = if status.namespace.is_empty() {
        Api::all_with(client.clone(), &resource)
    } else {
        Api::namespaced_with(client.clone(), &status.namespace, &resource)
    };
    // With the version that was judged, so that nobody's newer conditions are lost.
    let mut patch = json!({"status": status.status});
    if let Some(version) = &status.resource_version {
        patch["metadata"] = json!({"resourceVersion": version});
    }
    let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    api.patch_status(&status.name, &parameters, &Patch::Merge(patch)).await.map(drop)
}
