//! Does what a plan says: in order, as the environment's account, waiting for health.

mod advice;
mod pods;
mod waiting;
mod wave;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use parking_lot::Mutex;
use seaway_object::order::install_rank;
use seaway_object::{ObjectId, identity};
use serde_json::Value;

pub(crate) use self::advice::{MISTYPED, advice, is_refused};
use self::wave::{Wave, wave_id, wave_title};
use crate::cluster::cache::Cache;
use crate::cluster::{Kind, Kinds, Objects, Refusal};
use crate::error::Error;
use crate::health::HealthRules;
use crate::mailbox::Mailbox;
use crate::options::{HookDeletion, Phase, Propagation};
use crate::order::{Stage, dependencies, stages};
use crate::plan::{Action, InventoryEntry, ObjectRef, PlannedObject};
use crate::queue::Turn;
use crate::steps::{StepKind, Steps};
use crate::view::{ObjectOutcome, WaveTiming};

/// How many requests of one environment are under way at once.
pub(crate) const AT_ONCE: usize = 16;
/// The step that deletes.
const PRUNE: &str = "prune";

/// What an execution works with.
pub(crate) struct Executor<'a> {
    pub(crate) kinds: &'a Kinds,
    pub(crate) cache: &'a Arc<Cache>,
    pub(crate) objects: &'a Objects,
    pub(crate) mailbox: &'a Mailbox,
    /// What a wave waits for.
    pub(crate) rules: &'a HealthRules,
    /// Its id: a person may cancel it.
    pub(crate) sync: u64,
    pub(crate) apply_set: &'a str,
    /// The sync and its attempt: a hook that ran for it does not run again.
    pub(crate) run: String,
    pub(crate) hooks: bool,
    pub(crate) force_conflicts: bool,
    pub(crate) deadline: Duration,
    pub(crate) progress: &'a (dyn Fn(String) + Sync),
    /// Where is noted what is done.
    pub(crate) steps: &'a Steps,
    /// Given back when the first wait begins.
    pub(crate) turn: Mutex<Option<Turn>>,
}

/// What was done.
#[derive(Debug, Default)]
pub(crate) struct Done {
    pub(crate) inventory: BTreeMap<ObjectId, InventoryEntry>,
    pub(crate) objects: Vec<ObjectOutcome>,
    pub(crate) waves: Vec<WaveTiming>,
    /// Hooks that have run, with when they ask to be deleted.
    pub(crate) hooks: Vec<(ObjectRef, Vec<HookDeletion>)>,
}

struct Part<'a> {
    name: &'a str,
    members: Vec<usize>,
}

impl Executor<'_> {
    /// Applies and prunes. What was done is in `done`, also when something fails.
    pub(crate) async fn run(
        &self,
        planned: &[PlannedObject],
        components: &[(String, Vec<String>)],
        done: &Mutex<Done>,
    ) -> Result<(), Error> {
        let result = self.apply_components(planned, components, done).await;
        match result {
            Ok(()) => self.prune(planned, done).await,
            Err(stopped @ (Error::Superseded | Error::Cancelled)) => Err(stopped),
            Err(error) => {
                if self.hooks {
                    self.failure_hooks(planned, components, done).await;
                }
                Err(error)
            }
        }
    }

    async fn apply_components(
        &self,
        planned: &[PlannedObject],
        components: &[(String, Vec<String>)],
        done: &Mutex<Done>,
    ) -> Result<(), Error> {
        let mut waits =
            dependencies(components.iter().map(|(name, needs)| (name.as_str(), needs.as_slice())));
        let mut parts: BTreeMap<&str, Part<'_>> =
            components.iter().map(|(name, _)| (name.as_str(), Part { name, members: Vec::new() })).collect();
        for (index, object) in planned.iter().enumerate() {
            if object.value.is_some()
                && let Some(part) = parts.get_mut(object.component.as_str())
            {
                part.members.push(index);
            }
        }
        let mut running = FuturesUnordered::new();
        let mut failed = None;
        loop {
            if failed.is_none() {
                let ready: Vec<String> = waits
                    .iter()
                    .filter(|(_, needs)| needs.is_empty())
                    .map(|(name, _)| name.clone())
                    .collect();
                for name in ready {
                    waits.remove(&name);
                    if let Some(part) = parts.remove(name.as_str()) {
                        running.push(async move { (part.name, self.component(planned, part, done).await) });
                    }
                }
            }
            match running.next().await {
                None => break,
                Some((name, Ok(()))) => {
                    for needs in waits.values_mut() {
                        needs.remove(name);
                    }
                }
                Some((_, Err(error))) => drop(failed.get_or_insert(error)),
            }
        }
        failed.map_or(Ok(()), Err)
    }

    async fn component(
        &self,
        planned: &[PlannedObject],
        part: Part<'_>,
        done: &Mutex<Done>,
    ) -> Result<(), Error> {
        for stage in self.stages(planned, &part.members) {
            if stage.phase != Phase::Failure {
                self.stage(planned, part.name, &stage, done).await?;
            }
        }
        Ok(())
    }

    fn stages(&self, planned: &[PlannedObject], members: &[usize]) -> Vec<Stage> {
        let ids: Vec<(usize, ObjectId)> =
            members.iter().map(|index| (*index, planned[*index].object.id())).collect();
        stages(ids.iter().map(|(index, id)| (*index, id, &planned[*index].options)))
    }

    async fn failure_hooks(
        &self,
        planned: &[PlannedObject],
        components: &[(String, Vec<String>)],
        done: &Mutex<Done>,
    ) {
        for (name, _) in components {
            let of = |index: &usize| planned[*index].component == *name && planned[*index].value.is_some();
            let members: Vec<usize> = (0..planned.len()).filter(of).collect();
            for stage in self.stages(planned, &members) {
                if stage.phase == Phase::Failure
                    && let Err(error) = self.stage(planned, name, &stage, done).await
                {
                    (self.progress)(format!("{name}: a hook for failed syncs failed itself: {error}"));
                }
            }
        }
    }

    async fn stage(
        &self,
        planned: &[PlannedObject],
        component: &str,
        stage: &Stage,
        done: &Mutex<Done>,
    ) -> Result<(), Error> {
        self.goes_on()?;
        let began = Instant::now();
        let step = Wave { id: wave_id(component, stage), title: wave_title(component, stage) };
        if stage.groups.iter().flatten().any(|index| self.writes(&planned[*index])) {
            step.begin(self.steps);
        }
        let result = self.apply_and_wait(planned, component, stage, &step, done).await;
        let waited_for = match &result {
            Ok(waited_for) => {
                self.steps.succeed(&step.id, "");
                waited_for.clone()
            }
            // The next look goes on with it, or a person has stopped it: nothing went wrong.
            Err(Error::Superseded | Error::Cancelled) => None,
            Err(error) => {
                self.steps.fail(&step.id, &error.to_string());
                Some(error.to_string())
            }
        };
        let milliseconds = milliseconds(began);
        if milliseconds > 0 || waited_for.is_some() {
            done.lock().waves.push(WaveTiming {
                component: component.to_owned(),
                phase: stage.phase,
                wave: stage.wave,
                milliseconds,
                waited_for,
            });
        }
        result.map(drop)
    }

    /// What was waited for last.
    async fn apply_and_wait(
        &self,
        planned: &[PlannedObject],
        component: &str,
        stage: &Stage,
        step: &Wave,
        done: &Mutex<Done>,
    ) -> Result<Option<String>, Error> {
        for group in &stage.groups {
            self.goes_on()?;
            let requests: Vec<_> =
                group.iter().map(|index| self.one(&planned[*index], stage.phase, step, done)).collect();
            let results: Vec<Result<(), Error>> =
                futures::stream::iter(requests).buffer_unordered(AT_ONCE).collect().await;
            results.into_iter().collect::<Result<(), Error>>()?;
        }
        let members: Vec<&PlannedObject> =
            stage.groups.iter().flatten().map(|index| &planned[*index]).filter(|o| self.counts(o)).collect();
        self.wait(component, stage, step, &members).await
    }

    /// Between requests: whether nobody has cancelled it.
    fn goes_on(&self) -> Result<(), Error> {
        if self.mailbox.is_cancelled(self.sync) { Err(Error::Cancelled) } else { Ok(()) }
    }

    /// Whether an object costs a request.
    fn writes(&self, object: &PlannedObject) -> bool {
        match object.action {
            Action::Create | Action::Change => true,
            Action::Hook => self.hooks,
            _ => false,
        }
    }

    /// Whether an object is waited for.
    fn counts(&self, object: &PlannedObject) -> bool {
        // Environments of a deployment repository: one that does badly holds up nothing.
        if object.object.group == seaway_api::GROUP {
            return false;
        }
        match object.action {
            Action::Create | Action::Change | Action::Unchanged => true,
            Action::Hook => self.hooks,
            _ => false,
        }
    }

    async fn one(
        &self,
        object: &PlannedObject,
        phase: Phase,
        step: &Wave,
        done: &Mutex<Done>,
    ) -> Result<(), Error> {
        let began = Instant::now();
        if self.writes(object) {
            step.begin_object(self.steps, &object.object);
        }
        let result = match object.action {
            Action::Create | Action::Change => self.apply(object).await.map(Some),
            Action::Hook if self.hooks => self.hook(object, phase, done).await,
            Action::Unchanged => {
                if let Some(uid) = &object.live_uid {
                    remember(done, object, uid, false);
                }
                return Ok(());
            }
            _ => return Ok(()),
        };
        let (applied, error) = match result {
            Ok(applied) => (applied, None),
            Err(error) => {
                self.steps.fail(&step.object_id(&object.object), &error.to_string());
                (None, Some(error))
            }
        };
        if let Some(value) = applied {
            if object.action != Action::Hook
                && let Some(uid) = identity::uid(&value)
            {
                remember(done, object, uid, object.action == Action::Create);
            }
            if object.object.kind == "CustomResourceDefinition" {
                self.kinds.forget_custom();
            }
            self.cache.put_answer(object.object.id(), value);
        }
        let drifted = object.fields.iter().filter(|field| field.drift);
        let mut reverted_from: Vec<String> =
            drifted.filter_map(|field| Some(field.owner.as_ref()?.manager.clone())).collect();
        reverted_from.sort_unstable();
        reverted_from.dedup();
        done.lock().objects.push(ObjectOutcome {
            object: object.object.clone(),
            action: object.action,
            fields: object.fields.iter().map(|field| field.path.clone()).collect(),
            reverted_from,
            milliseconds: milliseconds(began),
            error: error.as_ref().map(ToString::to_string),
        });
        error.map_or(Ok(()), Err)
    }

    pub(crate) async fn kind(&self, object: &ObjectRef) -> Result<Arc<Kind>, Error> {
        let gvk = object.gvk();
        let deadline = Instant::now() + self.deadline.min(Duration::from_secs(30));
        loop {
            match self.kinds.get(&gvk).await {
                Ok(Some(kind)) => {
                    self.cache.watch(&kind).await;
                    return Ok(kind);
                }
                // A definition that was applied just now takes a moment to be served.
                Ok(None) if Instant::now() < deadline => tokio::time::sleep(Duration::from_millis(50)).await,
                Ok(None) => {
                    return Err(Error::Plan(format!(
                        "{}: the cluster does not know the kind {gvk}: install its CustomResourceDefinition, or add it \
                         to the stack",
                        object.id()
                    )));
                }
                Err(error) => return Err(Error::cluster(object.id().to_string(), error)),
            }
        }
    }

    async fn apply(&self, planned: &PlannedObject) -> Result<Value, Error> {
        let (id, kind) = (planned.object.id(), self.kind(&planned.object).await?);
        let Some(value) = &planned.value else {
            return Err(Error::Plan(format!("{id}: nothing to apply")));
        };
        (self.progress)(format!("{}: applies {id}", planned.component));
        if planned.late_kind {
            // Now that it is known, the next look says where the object lies and who may apply it.
            return Err(Error::Superseded);
        }
        if planned.options.replace && planned.action == Action::Change {
            return match self.objects.replace(&kind, &id, value).await {
                Ok(value) => Ok(value),
                Err(kube::Error::Api(status)) if status.code == 422 && planned.options.force => {
                    self.make_anew(planned, &kind, &id, value).await
                }
                Err(error) => Err(Error::cluster(id.to_string(), error)),
            };
        }
        // Somebody changed a field once: taking it back needs force, and the plan has seen that nobody keeps it.
        let force = self.force_conflicts || planned.fields.iter().any(|field| field.drift);
        let mut result = self.objects.apply(&kind, &id, value, false, force).await;
        if matches!(result, Err(Refusal::Conflict { by_updates_only: true, .. })) {
            result = self.objects.apply(&kind, &id, value, false, true).await;
        }
        match result {
            Ok(value) => Ok(value),
            Err(Refusal::Conflict { message, .. }) => Err(Error::Cluster {
                what: id.to_string(),
                message: format!("{message}: remove the field from one of the two, or list it under ignore"),
                code: 409,
            }),
            Err(Refusal::Other(kube::Error::Api(status))) if status.code == 422 && planned.options.force => {
                self.make_anew(planned, &kind, &id, value).await
            }
            Err(Refusal::Other(kube::Error::Api(status))) if status.code == 422 => Err(Error::Cluster {
                what: id.to_string(),
                message: format!("{}{}", status.message, advice(422, &status.message)),
                code: 422,
            }),
            Err(Refusal::Other(kube::Error::Api(status))) => Err(Error::Cluster {
                what: id.to_string(),
                message: format!("{}{}", status.message, advice(status.code, &status.message)),
                code: status.code,
            }),
            Err(Refusal::Other(error)) => Err(Error::cluster(id.to_string(), error)),
        }
    }

    /// Deletes what cannot be changed, and makes it as it should be.
    async fn make_anew(
        &self,
        planned: &PlannedObject,
        kind: &Kind,
        id: &ObjectId,
        value: &Value,
    ) -> Result<Value, Error> {
        (self.progress)(format!("{}: {id} cannot be changed and is made anew", planned.component));
        self.delete_and_wait(kind, id, planned.live_uid.as_deref()).await?;
        self.objects.apply(kind, id, value, false, true).await.map_err(|refusal| match refusal {
            Refusal::Conflict { message, .. } => Error::Cluster { what: id.to_string(), message, code: 409 },
            Refusal::Other(error) => Error::cluster(id.to_string(), error),
        })
    }

    pub(crate) async fn delete_and_wait(
        &self,
        kind: &Kind,
        id: &ObjectId,
        uid: Option<&str>,
    ) -> Result<(), Error> {
        let refused = |error| Error::cluster(id.to_string(), error);
        self.objects.delete(kind, id, uid, Propagation::default()).await.map_err(refused)?;
        let deadline = Instant::now() + self.deadline;
        while let Some(live) = self.objects.get(kind, id).await.map_err(refused)? {
            if uid.is_some() && identity::uid(&live) != uid {
                break;
            }
            if Instant::now() >= deadline {
                let finalizers = live.pointer("/metadata/finalizers").cloned().unwrap_or_default();
                return Err(Error::Unhealthy(format!(
                    "{id} is not gone in time; its finalizers: {finalizers}"
                )));
            }
            tokio::select! {
                // Who cancels it wants no other attempt, also where something newer has come.
                biased;
                () = self.mailbox.cancelled(self.sync) => return Err(Error::Cancelled),
                () = self.mailbox.preempts() => return Err(Error::Superseded),
                () = tokio::time::sleep(Duration::from_millis(100)) => {}
            }
        }
        self.cache.remove(id);
        Ok(())
    }

    /// Later waves go first, and within a wave what others need goes last.
    async fn prune(&self, planned: &[PlannedObject], done: &Mutex<Done>) -> Result<(), Error> {
        let mut gone: Vec<&PlannedObject> =
            planned.iter().filter(|object| object.action == Action::Prune && !object.held_back).collect();
        gone.sort_by_key(|object| {
            let rank = install_rank(&object.object.kind);
            (object.options.prune_last, std::cmp::Reverse((object.wave, rank)))
        });
        for object in gone {
            self.goes_on()?;
            let began = Instant::now();
            self.steps.begin(PRUNE, None, StepKind::Prune, "Delete what left Git", None);
            let step = format!("{PRUNE}/{}", object.object.id());
            let title = format!("{} {}", object.object.kind, object.object.name);
            self.steps.begin(step.as_str(), Some(PRUNE), StepKind::Object, title, Some(&object.object));
            let (id, kind) = (object.object.id(), self.kind(&object.object).await?);
            (self.progress)(format!("deletes {id}"));
            let (uid, propagation) = (object.live_uid.as_deref(), object.options.propagation);
            let result = self.objects.delete(&kind, &id, uid, propagation).await;
            let error = result.err().map(|error| Error::cluster(id.to_string(), error));
            if error.is_none() {
                done.lock().inventory.remove(&id);
            }
            done.lock().objects.push(ObjectOutcome {
                object: object.object.clone(),
                action: Action::Prune,
                fields: Vec::new(),
                reverted_from: Vec::new(),
                milliseconds: milliseconds(began),
                error: error.as_ref().map(ToString::to_string),
            });
            if let Some(error) = error {
                self.steps.fail(&step, &error.to_string());
                self.steps.fail(PRUNE, "");
                return Err(error);
            }
            self.steps.succeed(&step, "");
        }
        self.steps.succeed(PRUNE, "");
        Ok(())
    }
}

fn remember(done: &Mutex<Done>, object: &PlannedObject, uid: &str, created: bool) {
    let mut done = done.lock();
    let before = done.inventory.get(&object.object.id());
    let created = created || before.is_some_and(|before| before.created && before.uid == uid);
    done.inventory.insert(
        object.object.id(),
        InventoryEntry {
            object: object.object.clone(),
            uid: uid.to_owned(),
            digest: object.digest.clone(),
            created,
        },
    );
}

fn milliseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
