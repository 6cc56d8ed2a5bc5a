//! What the end of an environment deletes, and what it leaves.

use std::collections::BTreeSet;

use jiff::Timestamp;
use seaway_api::environment::Environment;
use seaway_object::ObjectId;

use crate::account::namespaces_of;
use crate::controller::Sync;
use crate::end::skips;
use crate::error::Error;
use crate::plan::{Action, ObjectRef, Plan, PlannedObject, when};
use crate::records::Memory;
use crate::shared::Shared;
use crate::subject::Subject;
use crate::view::EnvironmentKey;

/// An environment as it ends, also where its stack is gone.
pub(crate) fn subject_at_end(shared: &Shared, environment: &Environment) -> Subject {
    let key = EnvironmentKey::of(&environment.metadata);
    Subject {
        spec: environment.spec.clone(),
        stack: shared.stack(&key.namespace, &environment.spec.stack).unwrap_or_default(),
        copied: None,
        ending: true,
        key,
    }
}

/// What hooks of syncs left behind is in no inventory: the records of syncs say of which kinds it is.
pub(crate) async fn watch_left_by_hooks(shared: &Shared, memory: &Memory) -> Result<(), Error> {
    let ran = memory.syncs.iter().flat_map(|sync| &sync.objects);
    let kinds: BTreeSet<_> =
        ran.filter(|object| object.action == Action::Hook).map(|object| object.object.gvk()).collect();
    for gvk in kinds {
        let kind = shared.kinds.get(&gvk).await;
        if let Some(kind) = kind.map_err(|error| Error::cluster(format!("kind {gvk}"), error))? {
            shared.cache.watch(&kind).await;
        }
    }
    Ok(())
}

impl Sync {
    /// What the end of an environment would delete ([`Action::Prune`]), what it would leave and why (held back), and the
    /// hooks that would run. Nothing is changed.
    ///
    /// # Errors
    /// When the environment does not exist, or the cluster does not answer.
    pub async fn deletion(&self, key: &EnvironmentKey) -> Result<Plan, Error> {
        let shared = &self.shared;
        let environment = shared.environment(key).ok_or_else(|| Error::NoEnvironment(key.clone()))?;
        if environment.spec.copy_of.is_some() {
            let namespaces = namespaces_of(&shared.client, key).await?;
            let objects = namespaces.into_iter().map(|namespace| {
                let message = "with everything that is in it".to_owned();
                PlannedObject::told(self::namespace(&namespace.name), Action::Prune, message)
            });
            return Ok(Plan { objects: objects.collect(), ..Plan::default() });
        }
        let subject = subject_at_end(shared, &environment);
        let memory = shared.records.get(key)?;
        if memory.inventory.is_empty() && memory.syncs.is_empty() {
            return Ok(Plan::default());
        }
        watch_left_by_hooks(shared, &memory).await?;
        let reader = shared.reader(Timestamp::now());
        let live = reader.read(&subject, &[], &memory.inventory).await?;
        let mut objects = reader.plan(&subject, Vec::new(), &live, &memory.inventory).objects;
        let mut named: BTreeSet<ObjectId> = objects.iter().map(|planned| planned.object.id()).collect();
        // What is in Git and somebody else's.
        let theirs = self.summary(key)?.plan.objects.into_iter();
        let theirs = theirs.filter(|planned| planned.action == Action::Conflict);
        let theirs = theirs.map(|planned| (planned.object, planned.message));
        let namespaces = subject.spec.destination.all_namespaces().map(|name| {
            let message = "the namespaces of an environment stay, with what else is in them".to_owned();
            (namespace(name), message)
        });
        for (object, message) in theirs.chain(namespaces) {
            if named.insert(object.id()) {
                let mut left = PlannedObject::told(object, Action::Prune, message);
                left.held_back = true;
                objects.push(left);
            }
        }
        if !skips(&environment) {
            let hook = |hook: &crate::end::EndHook| {
                PlannedObject::told(hook.object.clone(), Action::Hook, when(&hook.options()))
            };
            objects.extend(memory.end_hooks.iter().map(hook));
        }
        Ok(Plan { objects, ..Plan::default() })
    }
}

fn namespace(name: &str) -> ObjectRef {
    ObjectRef {
        group: String::new(),
        version: "v1".to_owned(),
        kind: "Namespace".to_owned(),
        namespace: None,
        name: name.to_owned(),
    }
}
