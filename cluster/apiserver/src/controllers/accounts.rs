//! What every namespace has: its `default` ServiceAccount and the authority's certificate; and Secrets that hold an
//! account's token.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::api::Api;
use crate::store::{Change, NAMESPACES, ObjectKey, Write, WriteError};
use crate::tokens::Bound;

/// By this label namespaces can be selected by name (KEP-2161).
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// Makes what is missing in a namespace that is not going away. Of one that cannot be read nobody knows that, and what is
/// made anew in it would keep it from being deleted.
pub(super) async fn namespace(api: &Arc<Api>, name: &str) {
    match api.store.get(NAMESPACES, &ObjectKey::new("", name)) {
        Some(entry) if entry.is_readable() && !entry.meta.deleting => {}
        _ => return,
    }
    // Those of an older release do not have it.
    let (namespaces, key) = (NAMESPACES.into(), ObjectKey::new("", name));
    let label = api.store.modify(&namespaces, &key, |entry| {
        if entry.meta.labels.contains_key(NAME_LABEL) {
            return None;
        }
        let mut namespace = entry.value();
        namespace["metadata"]["labels"][NAME_LABEL] = name.into();
        Some(Change::Put(namespace))
    });
    if let Err(error) = label.await {
        tracing::warn!(%error, namespace = name, "the namespace was not labelled with its name");
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

/// Type of Secrets that hold an account's token, and the annotations that name the account.
pub(crate) const TOKEN_SECRET: &str = "kubernetes.io/service-account-token";
const ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";
const ACCOUNT_UID: &str = "kubernetes.io/service-account.uid";
/// Such tokens end with their Secret or account; this is far enough away.
const LONG: jiff::SignedDuration = jiff::SignedDuration::from_hours(24 * 365 * 100);

/// Fills a Secret of that type that somebody made; one whose account is gone goes too.
pub(super) async fn token_secret(api: &Arc<Api>, key: &ObjectKey) {
    let Some(entry) = api.store.get("/secrets", key).filter(|e| !e.meta.deleting) else { return };
    let secret = entry.value();
    if secret["type"] != TOKEN_SECRET {
        return;
    }
    let annotations = &secret["metadata"]["annotations"];
    let Some(name) = annotations[ACCOUNT_NAME].as_str() else { return };
    let account = api.store.get("/serviceaccounts", &ObjectKey::new(key.namespace.as_str(), name));
    let account = account.filter(|account| {
        annotations[ACCOUNT_UID].as_str().is_none_or(|uid| uid.is_empty() || uid == account.meta.uid)
    });
    let Some(account) = account else {
        let deletion = crate::resources::Deletion { uid: Some(entry.meta.uid.clone()), ..Default::default() };
        if let Some(served) = api.catalog.now().by_storage("/secrets") {
            let gone = crate::resources::delete_object(api, served, entry, &deletion).await;
            drop(gone.inspect_err(|error| tracing::warn!(?error, "a token of no account was not deleted")));
        }
        return;
    };
    let secrets = "/secrets".into();
    let filled = api.store.modify(&secrets, key, |entry| {
        let mut secret = entry.value();
        let has = |field: &str| secret["data"][field].as_str().is_some_and(|v| !v.is_empty());
        let same = secret["metadata"]["annotations"][ACCOUNT_UID] == account.meta.uid.as_str();
        if same && ["token", "ca.crt", "namespace"].into_iter().all(has) {
            return None;
        }
        let claims = crate::tokens::Claims::new(
            &account,
            vec![crate::tokens::ISSUER.to_owned()],
            jiff::Timestamp::now(),
            LONG,
            crate::tokens::BoundTo::Secret(Bound { name: key.name.clone(), uid: entry.meta.uid.clone() }),
        );
        let token = api.authenticator.tokens.sign(&claims).ok()?;
        secret["metadata"]["annotations"][ACCOUNT_UID] = account.meta.uid.as_str().into();
        if !secret["data"].is_object() {
            secret["data"] = json!({});
        }
        for (field, text) in
            [("token", token.as_str()), ("ca.crt", &*api.ca_pem), ("namespace", &*key.namespace)]
        {
            secret["data"][field] = STANDARD.encode(text).into();
        }
        Some(Change::Put(secret))
    });
    if let Err(error) = filled.await {
        tracing::warn!(%error, namespace = key.namespace, secret = key.name, "a token Secret was not filled");
    }
}

/// All token Secrets of a namespace, after one of its accounts has gone.
pub(super) async fn token_secrets(api: &Arc<Api>, namespace: &str) {
    for entry in api.store.all("/secrets", Some(namespace)) {
        token_secret(api, &entry.key).await;
    }
}
