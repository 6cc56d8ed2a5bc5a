//! What every namespace has: its `default` ServiceAccount and the authority's certificate.

use std::sync::Arc;

use serde_json::json;

use crate::api::Api;
use crate::store::{NAMESPACES, ObjectKey, Write, WriteError};

/// Makes what is missing in a namespace that is not going away.
pub(super) async fn namespace(api: &Arc<Api>, name: &str) {
    match api.store.get(NAMESPACES, &ObjectKey::new("", name)) {
        Some(entry) if !entry.meta.deleting => {}
        _ => return,
    }
    let ca = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "kube-root-ca.crt", "namespace": name}, "data": {"ca.crt": api.ca_pem}});
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": "default", "namespace": name}});
    for (plural, object) in [("serviceaccounts", account), ("configmaps", ca)] {
        let write: Write = super::bootstrap::creation("", plural, object);
        if api.store.get(&write.resource, &write.key).is_some() {
            continue;
        }
        match api.store.write(write).await {
            Ok(_) | Err(WriteError::Exists | WriteError::NoNamespace(_) | WriteError::NamespaceEnds(_)) => {}
            Err(error) => tracing::warn!(%error, namespace = name, "the namespace's defaults were not made"),
        }
    }
}
