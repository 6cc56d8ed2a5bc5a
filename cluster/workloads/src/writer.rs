//! The controllers' writes: each answer goes into the cache before anything else is decided.

use std::sync::Arc;

use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy};
use serde_json::{Value, json};

use crate::cache::Key;
use crate::cluster::{Cluster, Kind};
use crate::error::Error;

/// Writes in the name of one controller.
#[derive(Clone)]
pub(crate) struct Writer {
    pub(crate) cluster: Arc<Cluster>,
    name: &'static str,
}

fn title<K: Kind>(object: &K) -> String {
    format!("{} {}", K::kind(&()), Key::of(object))
}

impl Writer {
    pub(crate) fn new(cluster: &Arc<Cluster>, name: &'static str) -> Self {
        Self { cluster: cluster.clone(), name }
    }

    fn post(&self) -> PostParams {
        PostParams { dry_run: false, field_manager: Some(self.name.to_owned()) }
    }

    fn endpoint<K: Kind>(&self, object: &K) -> kube::Api<K> {
        K::api(&self.cluster.client, &object.namespace().unwrap_or_default())
    }

    pub(crate) async fn create<K: Kind>(&self, object: &K) -> Result<Arc<K>, Error> {
        match self.endpoint(object).create(&self.post(), object).await {
            Ok(made) => Ok(K::store(&self.cluster).wrote(made)),
            Err(error) => Err(Error::api("create", title(object), error)),
        }
    }

    /// Replaces an object as it was read; a conflict when somebody else wrote since.
    pub(crate) async fn replace<K: Kind>(&self, object: &K) -> Result<Arc<K>, Error> {
        match self.endpoint(object).replace(&object.name_any(), &self.post(), object).await {
            Ok(written) => Ok(K::store(&self.cluster).wrote(written)),
            Err(error) => Err(self.gone_or(object, Error::api("update", title(object), error))),
        }
    }

    /// Replaces the status of an object as it was read.
    pub(crate) async fn replace_status<K: Kind>(&self, object: &K) -> Result<Arc<K>, Error> {
        match self.endpoint(object).replace_status(&object.name_any(), &self.post(), object).await {
            Ok(written) => Ok(K::store(&self.cluster).wrote(written)),
            Err(error) => Err(self.gone_or(object, Error::api("update the status of", title(object), error))),
        }
    }

    /// Merges a patch into an object as it was read; a conflict when somebody else wrote since.
    pub(crate) async fn patch<K: Kind>(&self, object: &K, mut patch: Value) -> Result<Arc<K>, Error> {
        patch["metadata"]["uid"] = json!(object.uid());
        patch["metadata"]["resourceVersion"] = json!(object.resource_version());
        let params = PatchParams { field_manager: Some(self.name.to_owned()), ..PatchParams::default() };
        match self.endpoint(object).patch(&object.name_any(), &params, &Patch::Merge(&patch)).await {
            Ok(written) => Ok(K::store(&self.cluster).wrote(written)),
            Err(error) => Err(self.gone_or(object, Error::api("patch", title(object), error))),
        }
    }

    /// Deletes this very object; it is no error when it is gone already.
    pub(crate) async fn delete<K: Kind>(&self, object: &K) -> Result<(), Error> {
        let params = DeleteParams {
            propagation_policy: Some(PropagationPolicy::Background),
            preconditions: Some(Preconditions { uid: object.uid(), resource_version: None }),
            ..DeleteParams::default()
        };
        let store = K::store(&self.cluster);
        match self.endpoint(object).delete(&object.name_any(), &params).await {
            Ok(answer) => {
                match answer.left() {
                    Some(pending) => drop(store.wrote(pending)),
                    None => store.removed(object),
                }
                Ok(())
            }
            Err(error) => {
                let error = Error::api("delete", title(object), error);
                // A conflict means that another object has the name by now.
                if error.is_not_found() || error.is_conflict() {
                    store.removed(object);
                    Ok(())
                } else {
                    Err(error)
                }
            }
        }
    }

    /// The API says that the object is not there: the cache need not wait for the watch to say it.
    fn gone_or<K: Kind>(&self, object: &K, error: Error) -> Error {
        if error.is_not_found() {
            K::store(&self.cluster).removed(object);
        }
        error
    }

    /// Whether the API, not only the cache, has this very object and it is not being deleted.
    pub(crate) async fn is_alive<K: Kind>(&self, object: &K) -> Result<bool, Error> {
        match self.endpoint(object).get_opt(&object.name_any()).await {
            Ok(found) => {
                Ok(found.is_some_and(|f| f.uid() == object.uid() && f.meta().deletion_timestamp.is_none()))
            }
            Err(error) => Err(Error::api("read", title(object), error)),
        }
    }

    /// Records that something normal happened to an object.
    pub(crate) fn event<K: Kind>(&self, object: &K, reason: &'static str, message: impl Into<String>) {
        self.cluster.events.record(self.name, object, "Normal", reason, message.into());
    }

    /// Records that something went wrong with an object.
    pub(crate) fn warning<K: Kind>(&self, object: &K, reason: &'static str, message: impl Into<String>) {
        self.cluster.events.record(self.name, object, "Warning", reason, message.into());
    }
}
