//! Hooks: each runs once for a sync and phase, and is deleted when it asks for that.

use parking_lot::Mutex;
use seaway_object::identity;
use serde_json::Value;

use crate::cluster::cache::Cache;
use crate::cluster::{Kinds, Objects, Refusal};
use crate::error::Error;
use crate::executor::{Done, Executor};
use crate::health::HealthRules;
use crate::options::{HookDeletion, Phase, Propagation};
use crate::plan::{ObjectRef, PlannedObject};

/// On a hook: the sync and phase that it ran for.
pub(crate) const HOOK_RUN: &str = "seaway.dev/hook-run";
/// How that begins where it ran for the end of its environment.
pub(crate) const END_RUN: &str = "end-";

impl Executor<'_> {
    /// Runs a hook, unless it ran for this very sync. `None`: it had run.
    pub(crate) async fn hook(
        &self,
        planned: &PlannedObject,
        phase: Phase,
        done: &Mutex<Done>,
    ) -> Result<Option<Value>, Error> {
        let (id, kind) = (planned.object.id(), self.kind(&planned.object).await?);
        let refused = |error| Error::cluster(id.to_string(), error);
        let run = format!("{}/{}", self.run, phase.as_str());
        let live = self.objects.get(&kind, &id).await.map_err(refused)?;
        done.lock().hooks.push((planned.object.clone(), planned.options.hook_deletion.clone()));
        if let Some(live) = live {
            if identity::annotation(&live, HOOK_RUN) == Some(run.as_str()) {
                self.cache.put(id, live);
                return Ok(None);
            }
            if !planned.options.hook_deletion.contains(&HookDeletion::Never) {
                self.delete_and_wait(&kind, &id, identity::uid(&live)).await?;
            }
        }
        let mut value = planned.value.clone().unwrap_or_default();
        value["metadata"]["annotations"][HOOK_RUN] = run.into();
        (self.progress)(format!("{}: runs {id} ({})", planned.component, phase.as_str()));
        match self.objects.apply(&kind, &id, &value, false, true).await {
            Ok(value) => Ok(Some(value)),
            Err(Refusal::Conflict { message, .. }) => {
                Err(Error::Cluster { what: id.to_string(), message, code: 409 })
            }
            Err(Refusal::Other(error)) => Err(refused(error)),
        }
    }
}

/// Deletes the hooks that ask for it: those that have succeeded, and those that have not. Only once the sync is recorded:
/// before, one that is gone would run again after a crash.
pub(crate) async fn delete_spent(
    kinds: &Kinds,
    cache: &Cache,
    objects: &Objects,
    rules: &HealthRules,
    hooks: &[(ObjectRef, Vec<HookDeletion>)],
) {
    for (object, deletion) in hooks {
        let id = object.id();
        let Some(live) = cache.get(&id) else { continue };
        // One that was still running when its deadline passed has not succeeded either.
        let succeeded = rules.health(&live).status.is_settled();
        let wanted = if succeeded { HookDeletion::Succeeded } else { HookDeletion::Failed };
        if !deletion.contains(&wanted) {
            continue;
        }
        let Ok(Some(kind)) = kinds.get(&object.gvk()).await else { continue };
        if let Err(error) = objects.delete(&kind, &id, identity::uid(&live), Propagation::default()).await {
            tracing::debug!(object = %id, %error, "a hook could not be deleted");
        }
    }
}
