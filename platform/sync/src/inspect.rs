//! What a person looks at in one environment: the timeline of a sync, and what Git says of one object.

use std::sync::Arc;

use seaway_object::ObjectId;
use serde_json::Value;

use crate::controller::Sync;
use crate::error::Error;
use crate::health::HealthRules;
use crate::plan::PlannedObject;
use crate::steps::expect;
use crate::view::{EnvironmentKey, Outcome, SyncRecord, Timeline};

impl Sync {
    /// The steps of a sync, or of the newest one; live while it goes on.
    ///
    /// # Errors
    /// When there is no such environment or no such sync.
    pub fn timeline(&self, key: &EnvironmentKey, sync: Option<u64>) -> Result<Timeline, Error> {
        let summary = self.summary(key)?;
        let memory = self.shared.records.get(key)?;
        let position = match sync {
            Some(id) => memory.syncs.iter().position(|record| record.id == id),
            None => memory.syncs.len().checked_sub(1),
        };
        let Some(position) = position else {
            return Err(Error::NoRelease(match sync {
                Some(id) => format!("{key} has no sync {id}, or no longer"),
                None => format!("{key} has never been synced"),
            }));
        };
        let record = &memory.syncs[position];
        let live = record.outcome == Outcome::Running && position + 1 == memory.syncs.len();
        let mut steps = if live { summary.steps.all() } else { record.steps.clone() };
        let went_well = |earlier: &&Arc<SyncRecord>| {
            earlier.outcome == Outcome::Succeeded
                && earlier.partial == record.partial
                && !earlier.steps.is_empty()
        };
        let earlier = memory.syncs[..position].iter().rev().find(went_well);
        if let Some(earlier) = earlier {
            expect(&mut steps, &earlier.steps);
        }
        Ok(Timeline {
            sync: record.id,
            release: record.release.clone(),
            revision: record.revision.clone(),
            actor: record.actor.clone(),
            trigger: record.trigger,
            outcome: record.outcome,
            started: record.started,
            finished: record.finished,
            message: record.message.clone(),
            expected_milliseconds: earlier.and_then(|earlier| {
                Some(earlier.finished?.as_millisecond() - earlier.started.as_millisecond())
            }),
            commits: record.commits.clone(),
            steps,
        })
    }

    /// What Git says of one object, and what the next sync does to it; `None` when it is not in Git. Secret values are
    /// hashes.
    ///
    /// # Errors
    /// When there is no such environment.
    pub fn desired(&self, key: &EnvironmentKey, id: &ObjectId) -> Result<Option<PlannedObject>, Error> {
        let summary = self.summary(key)?;
        let found = summary.plan.objects.into_iter().find(|planned| planned.object.id() == *id);
        Ok(found.map(|mut planned| {
            planned.value = summary.wanted.get(id).and_then(|text| serde_json::from_str(text).ok());
            if let Some(value) = &mut planned.value {
                self.redact(value);
            }
            planned
        }))
    }

    /// An object of an environment as the engine last saw it, secret values and all: for its state, not to be shown.
    pub fn observed(&self, id: &ObjectId) -> Option<Arc<Value>> {
        self.shared.cache.get(id).map(Arc::new)
    }

    /// By which rules the objects of an environment are judged: those of its stack, as of the last look.
    ///
    /// # Errors
    /// When there is no such environment.
    pub fn health_rules(&self, key: &EnvironmentKey) -> Result<Arc<HealthRules>, Error> {
        let environments = self.shared.environments.lock();
        let known = environments.get(key).ok_or_else(|| Error::NoEnvironment(key.clone()))?;
        Ok(known.summary.lock().rules.clone())
    }

    /// Puts hashes in the place of an object's secret values.
    pub fn redact(&self, object: &mut Value) {
        seaway_object::redact::redact(object, &self.shared.hash_key);
    }

    /// The namespaces of an environment's objects, its own first.
    ///
    /// # Errors
    /// When there is no such environment.
    pub fn namespaces(&self, key: &EnvironmentKey) -> Result<Vec<String>, Error> {
        let environment = self.shared.environment(key).ok_or_else(|| Error::NoEnvironment(key.clone()))?;
        // Those of a copy follow from its name. One that cannot be has none.
        let spec = match environment.spec.copy_of {
            Some(_) => self.shared.subject(&environment)?.spec,
            None => environment.spec,
        };
        Ok(spec.destination.all_namespaces().map(str::to_owned).collect())
    }
}
