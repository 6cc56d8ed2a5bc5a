//! The end of an environment: what it applied goes, then its account, then its records.

use jiff::Timestamp;
use kube::api::{Api, Patch, PatchParams};
use seaway_api::environment::Environment;
use serde_json::json;

use super::Worker;
use crate::candidate::Subject;
use crate::error::Error;
use crate::live::Reader;

/// What ends an Environment waits for this finalizer.
const FINALIZER: &str = "seaway.dev/environment";

impl Worker {
    pub(super) async fn ensure_finalizer(&self, environment: &Environment) -> Result<(), Error> {
        let mut finalizers = environment.metadata.finalizers.clone().unwrap_or_default();
        if finalizers.iter().any(|finalizer| finalizer == FINALIZER) {
            return Ok(());
        }
        finalizers.push(FINALIZER.to_owned());
        self.patch_finalizers(environment, &finalizers).await
    }

    pub(super) async fn patch_finalizers(
        &self,
        environment: &Environment,
        finalizers: &[String],
    ) -> Result<(), Error> {
        let api: Api<Environment> = Api::namespaced(self.shared.client.clone(), &self.key.namespace);
        let patch = json!({"metadata": {"finalizers": finalizers,
            "resourceVersion": environment.metadata.resource_version}});
        match api.patch(&self.key.name, &PatchParams::default(), &Patch::Merge(patch)).await {
            Ok(changed) => {
                self.shared.seen(changed);
                Ok(())
            }
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(Error::cluster(format!("finalizer of {}", self.key), error)),
        }
    }

    /// The Environment is being deleted: what it applied goes, then its account, then its records.
    pub(super) async fn end(&mut self, environment: &Environment) -> Result<(), Error> {
        let finalizers = environment.metadata.finalizers.clone().unwrap_or_default();
        if !finalizers.iter().any(|finalizer| finalizer == FINALIZER) {
            return Ok(());
        }
        let subject = Subject {
            key: self.key.clone(),
            spec: environment.spec.clone(),
            stack: self.shared.stack(&self.key.namespace, &environment.spec.stack).unwrap_or_default(),
        };
        let memory = self.shared.records.get(&self.key)?;
        if !memory.inventory.is_empty() {
            let reader = Reader {
                kinds: &self.shared.kinds,
                cache: &self.shared.cache,
                objects: &self.shared.objects,
                key: &self.shared.hash_key,
                now: Timestamp::now().to_string(),
            };
            let live = reader.read(&subject, &[], &memory.inventory).await?;
            let plan = reader.plan(&subject, Vec::new(), &live, &memory.inventory);
            for object in plan.objects.iter().filter(|object| !object.held_back) {
                let (id, gvk) = (object.object.id(), object.object.gvk());
                let Some(kind) = self.shared.kinds.known(&gvk) else { continue };
                self.tell(None, format!("deletes {id}"), None);
                let deleted = self.shared.objects.delete(&kind, &id, object.live_uid.as_deref()).await;
                deleted.map_err(|error| Error::cluster(id.to_string(), error))?;
            }
        }
        self.shared.account(&subject).await?.take_back(&self.shared.client, true).await?;
        let rest: Vec<String> = finalizers.into_iter().filter(|finalizer| finalizer != FINALIZER).collect();
        self.patch_finalizers(environment, &rest).await?;
        self.shared.journal.did(&self.key, "seaway", "environment.delete").await?;
        self.shared.records.forget(&self.key);
        Ok(())
    }
}
