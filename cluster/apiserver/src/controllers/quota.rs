//! Keeps the status of ResourceQuotas up to date.

use std::sync::Arc;

use super::garbage::report;
use crate::admission::quota;
use crate::api::Api;
use crate::store::{Change, Entry, ResourceKey};

/// Counts again what a namespace uses, when it has quotas.
pub(super) async fn namespace(api: &Arc<Api>, namespace: &str) {
    let resource: ResourceKey = "/resourcequotas".into();
    for entry in api.store.all(&resource, Some(namespace)) {
        let counted = |entry: &Entry| {
            let mut value = entry.value();
            let status = quota::status(&api.store, namespace, &value);
            if value["status"] == status {
                return None;
            }
            value["status"] = status;
            Some(Change::Put(value))
        };
        report(api.store.modify(&resource, &entry.key, counted).await.map(drop));
    }
}
