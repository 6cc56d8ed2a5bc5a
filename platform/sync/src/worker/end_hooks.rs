//! Hooks of an environment's end, as they are run: [`crate::end`] says what each step follows from.

use std::time::Duration;

use jiff::Timestamp;
use seaway_api::environment::Environment;
use seaway_object::{ObjectId, identity};
use serde_json::Value;

use super::Worker;
use super::apply::WAVE_DEADLINE;
use crate::account::get;
use crate::applyset::PART_OF_LABEL;
use crate::cluster::{Kind, Objects, Refusal};
use crate::desired::Desired;
use crate::end::{End, EndHook, Made, Outcome, Run, SKIP, Stage, Standing, marks, standing, waves};
use crate::error::Error;
use crate::executor::advice;
use crate::hooks::HOOK_RUN;
use crate::options::{EndPhase, HookDeletion, ObjectOptions, Propagation, Prune, deletion_approved};
use crate::subject::Subject;

/// What comes of the attempt to make a hook's object.
enum Making {
    Made(Value),
    /// What has to go first.
    Waits(String),
}

/// The namespace of an object; of one that lies in none the cluster.
enum Place {
    There,
    Ending,
    Gone,
}

/// One end and one phase of it.
struct Phase<'a> {
    environment: &'a Environment,
    subject: &'a Subject,
    end: &'a End,
    phase: EndPhase,
    /// As the environment's own account, as whom its hooks run like all that it applies.
    objects: Objects,
}

impl Worker {
    /// How far the end has come, as it is remembered; `None` where it has no hooks.
    pub(super) async fn end_reached(&self, environment: &Environment) -> Result<Option<End>, Error> {
        let memory = self.shared.records.get(&self.key)?;
        if memory.end_hooks.is_empty() {
            return Ok(None);
        }
        let said = End::new(environment);
        let known = memory.end.as_ref().filter(|end| end.environment == said.environment);
        if let Some(end) = known.filter(|end| end.retry == said.retry) {
            return Ok(Some(end.clone()));
        }
        let changed = self.change_end(environment, move |end| {
            if end.retry != said.retry {
                end.retry = said.retry;
                end.again();
            }
        });
        changed.await.map(Some)
    }

    /// Changes what is remembered of this end; it is on the disk when this returns.
    async fn change_end(
        &self,
        environment: &Environment,
        change: impl FnOnce(&mut End) + Send + 'static,
    ) -> Result<End, Error> {
        let new = End::new(environment);
        let remember = move |memory: &mut crate::records::Memory| {
            let known = memory.end.take().filter(|end| end.environment == new.environment);
            let mut end = known.unwrap_or(new);
            change(&mut end);
            memory.end.insert(end).clone()
        };
        self.shared.remember(&self.key, remember).await
    }

    /// The end has come to its next stage.
    pub(super) async fn reach(&mut self, environment: &Environment, stage: Stage) -> Result<End, Error> {
        self.ending = 0;
        self.change_end(environment, move |end| end.stage = end.stage.max(stage)).await
    }

    /// Runs the hooks of a phase, one wave after the other. `None`: all have succeeded; otherwise when to look again.
    pub(super) async fn run_end_hooks(
        &mut self,
        environment: &Environment,
        subject: &Subject,
        end: &End,
        phase: EndPhase,
    ) -> Result<Option<Duration>, Error> {
        let hooks = self.shared.records.get(&self.key)?.end_hooks.clone();
        let account = self.shared.account(subject, &[]).await?;
        let objects = Objects::of_account(self.shared.client.clone(), &account.user())?;
        let context = Phase { environment, subject, end, phase, objects };
        for wave in waves(&hooks, phase) {
            let (mut failed, mut waits, mut next) = (Vec::new(), Vec::new(), self.ending_pause());
            for (hook, options) in &wave {
                let id = hook.object.id();
                match self.end_hook(&context, hook, options).await? {
                    Standing::Succeeded => {}
                    Standing::Failed(why) => failed.push(format!("the hook {id} ({}) {why}", phase.as_str())),
                    Standing::Open(what, left) => {
                        waits.push(format!("the hook {id} ({}: {what})", phase.as_str()));
                        next = next.min(left);
                    }
                }
            }
            if !failed.is_empty() {
                let message = format!(
                    "{}: `seaway env delete {}` runs it again, the annotation {SKIP}=true on the Environment goes on without \
                     hooks",
                    failed.join("; "),
                    self.key.name
                );
                self.show_ending(environment, "HookFailed", message).await;
                return Ok(Some(next));
            }
            if !waits.is_empty() {
                self.show_ending(environment, "Waiting", format!("waits for {}", waits.join(", "))).await;
                return Ok(Some(next));
            }
        }
        // Only now: those of later waves may have needed them.
        let spent = |options: &ObjectOptions| {
            options.at_end.contains(&phase) && options.hook_deletion.contains(&HookDeletion::Succeeded)
        };
        self.delete_end_hooks(environment, subject, spent).await?;
        Ok(None)
    }

    /// Makes a hook, unless it was made for this very end, phase and attempt, and says how it does.
    async fn end_hook(
        &mut self,
        context: &Phase<'_>,
        hook: &EndHook,
        options: &ObjectOptions,
    ) -> Result<Standing, Error> {
        let mut run = context.end.run(context.phase, &hook.object);
        if run.outcome == Outcome::Succeeded {
            return Ok(Standing::Succeeded);
        }
        self.bind_for_the_end(context.subject).await?;
        let (id, gvk) = (hook.object.id(), hook.object.gvk());
        let kind = self.shared.kinds.get(&gvk).await;
        let kind = kind.map_err(|error| Error::cluster(format!("kind {gvk}"), error))?;
        if let Some(kind) = &kind {
            // Who waits for it hears of it.
            self.shared.cache.watch(kind).await;
        }
        let now = Timestamp::now();
        let (made, live) = match (run.made.clone(), &kind) {
            (Some(made), None) => (made, None),
            (Some(made), Some(kind)) => {
                let found = match context.objects.get(kind, &id).await {
                    Ok(found) => found,
                    // With its namespace the rights there are gone as well.
                    Err(error) => match self.place(&id).await? {
                        Place::Gone => None,
                        _ => return Err(self.refused(&run, error).await),
                    },
                };
                let this = found.filter(|found| identity::uid(found) == Some(made.uid.as_str()));
                (made, this)
            }
            (None, None) => {
                return Err(cannot(&run, format!("the cluster does not know the kind {gvk}")));
            }
            (None, Some(kind)) => match self.make_end_hook(context, hook, options, &run, kind).await? {
                Making::Waits(what) => return Ok(Standing::Open(what, Duration::MAX)),
                Making::Made(live) => {
                    let made = Made { uid: identity::uid(&live).unwrap_or_default().to_owned(), time: now };
                    run.made = Some(made.clone());
                    self.note(context.environment, run.clone()).await?;
                    (made, Some(live))
                }
            },
        };
        let wave = context.subject.spec.sync.wave_timeout_seconds;
        let wave = wave.map_or(WAVE_DEADLINE, |seconds| Duration::from_secs(seconds.into()));
        // Those of today, where the stack is still there.
        let rules = match context.subject.stack.health_check_exprs.as_slice() {
            [] => &hook.health,
            rules => rules,
        };
        let rules = self.shared.rules.get(rules);
        let found = match &live {
            Some(live) => standing(&rules, live, &made, now, options.deadline.unwrap_or(wave)),
            // Whether it ended well nobody knows, so that it does not run twice by itself.
            None => Standing::Failed("was deleted before it was seen to end".to_owned()),
        };
        let found = match (&run.outcome, found) {
            // One that ends well after its time has ended well.
            (_, Standing::Succeeded) => Standing::Succeeded,
            (Outcome::Failed(why), _) => Standing::Failed(why.clone()),
            (_, found) => found,
        };
        let outcome = match &found {
            Standing::Succeeded => Outcome::Succeeded,
            Standing::Failed(why) => Outcome::Failed(why.clone()),
            Standing::Open(..) => Outcome::Open,
        };
        if run.outcome != outcome {
            self.tell(None, format!("the hook {id} ({}) {}", run.phase.as_str(), word(&outcome)), None);
            run.outcome = outcome;
            self.note(context.environment, run).await?;
        }
        if let (Standing::Failed(_), Some(kind), Some(_)) = (&found, &kind, &live)
            && options.hook_deletion.contains(&HookDeletion::Failed)
            && let Err(error) =
                context.objects.delete(kind, &id, Some(&made.uid), Propagation::default()).await
        {
            tracing::debug!(object = %id, %error, "a hook could not be deleted");
        }
        Ok(found)
    }

    /// Whether there is a place for an object.
    async fn place(&self, id: &ObjectId) -> Result<Place, Error> {
        let Some(namespace) = &id.namespace else { return Ok(Place::There) };
        match self.shared.client.request::<Value>(get(&format!("/api/v1/namespaces/{namespace}"))?).await {
            Ok(found) if found.pointer("/metadata/deletionTimestamp").is_some() => Ok(Place::Ending),
            Ok(_) => Ok(Place::There),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(Place::Gone),
            Err(error) => Err(Error::cluster(format!("namespace {namespace}"), error)),
        }
    }

    /// Why a hook cannot be made or looked at, by what the cluster answered. One that does not answer is asked again.
    async fn refused(&self, run: &Run, error: kube::Error) -> Error {
        let id = run.object.id();
        let kube::Error::Api(status) = error else {
            return Error::cluster(format!("the hook {id}"), error);
        };
        let namespace = id.namespace.as_deref().unwrap_or_default();
        let why = match self.place(&id).await {
            Ok(Place::Ending) => format!("its namespace {namespace} is being deleted"),
            Ok(Place::Gone) => format!("its namespace {namespace} is gone"),
            Ok(Place::There) => format!("{}{}", status.message, advice(status.code, &status.message)),
            Err(error) => return error,
        };
        cannot(run, why)
    }

    /// Writes down what has become of a hook.
    async fn note(&self, environment: &Environment, run: Run) -> Result<(), Error> {
        self.change_end(environment, move |end| end.note(run)).await.map(drop)
    }

    async fn make_end_hook(
        &self,
        context: &Phase<'_>,
        hook: &EndHook,
        options: &ObjectOptions,
        run: &Run,
        kind: &Kind,
    ) -> Result<Making, Error> {
        let (id, mark) = (hook.object.id(), run.mark(context.environment));
        let objects = &context.objects;
        self.check_end_hook(context, hook, options, run, kind).await?;
        let found = match objects.get(kind, &id).await {
            Ok(found) => found,
            Err(error) => return Err(self.refused(run, error).await),
        };
        if let Some(live) = found {
            if identity::annotation(&live, HOOK_RUN) == Some(mark.as_str()) {
                return Ok(Making::Made(live));
            }
            let apply_set = context.subject.belonging().apply_set;
            if identity::label(&live, PART_OF_LABEL) != Some(apply_set.as_str()) {
                let whose = identity::label(&live, seaway_api::ENVIRONMENT_LABEL);
                let whose = whose.map_or(String::new(), |other| format!(" ({other}'s)"));
                let what = format!("there is an object of this name that is not this environment's{whose}");
                return Err(cannot(run, what));
            }
            if !options.hook_deletion.contains(&HookDeletion::Never)
                && let Some(waits) = self.delete_earlier(objects, kind, &id, &live, run).await?
            {
                return Ok(Making::Waits(waits));
            }
        }
        let mut value = hook.value.clone();
        value["metadata"]["annotations"][HOOK_RUN] = mark.into();
        self.tell(None, format!("runs the hook {id} ({})", run.phase.as_str()), None);
        match objects.apply(kind, &id, &value, false, true).await {
            Ok(live) => {
                self.shared.cache.put_answer(id, live.clone());
                Ok(Making::Made(live))
            }
            Err(Refusal::Conflict { message, .. }) => Err(cannot(run, message)),
            Err(Refusal::Other(error)) => {
                if matches!(&error, kube::Error::Api(status) if status.code == 404) {
                    // Its definition may be gone, which is asked for next time.
                    self.shared.kinds.forget_custom();
                }
                Err(self.refused(run, error).await)
            }
        }
    }

    /// Deletes what an earlier run of a hook has left; what is waited for where that is not gone yet.
    async fn delete_earlier(
        &self,
        objects: &Objects,
        kind: &Kind,
        id: &ObjectId,
        live: &Value,
        run: &Run,
    ) -> Result<Option<String>, Error> {
        let deleted = objects.delete(kind, id, identity::uid(live), Propagation::default()).await;
        let left = match deleted {
            Ok(_) => objects.get(kind, id).await,
            Err(error) => Err(error),
        };
        let left = match left {
            Ok(Some(left)) => left,
            Ok(None) => {
                self.shared.cache.remove(id);
                return Ok(None);
            }
            Err(error) => return Err(self.refused(run, error).await),
        };
        let finalizers = left.pointer("/metadata/finalizers").and_then(Value::as_array);
        let names: Vec<&str> = finalizers.into_iter().flatten().filter_map(Value::as_str).collect();
        Ok(Some(match names.as_slice() {
            [] => "its earlier run is being deleted".to_owned(),
            names => {
                format!("its earlier run waits until its finalizers are taken away: {}", names.join(", "))
            }
        }))
    }

    /// What a plan says of a hook today: what is allowed may be less than when it was kept.
    async fn check_end_hook(
        &self,
        context: &Phase<'_>,
        hook: &EndHook,
        options: &ObjectOptions,
        run: &Run,
        kind: &Kind,
    ) -> Result<(), Error> {
        let desired = vec![Desired {
            id: hook.object.id(),
            kind: hook.object.gvk(),
            value: hook.value.clone(),
            component: hook.component.clone(),
            origin: hook.origin.clone(),
            options: options.clone(),
            scope: Some(kind.scope),
        }];
        let reader = self.shared.reader(Timestamp::now());
        let live = reader.read(context.subject, &desired, &[]).await?;
        let plan = reader.plan(context.subject, desired, &live, &[]);
        match plan.objects.into_iter().find(|planned| planned.action.is_blocking()) {
            Some(planned) => Err(cannot(run, planned.message)),
            None => Ok(()),
        }
    }

    /// The rights to run hooks and to delete what they leave, once for as long as nothing goes wrong.
    async fn bind_for_the_end(&mut self, subject: &Subject) -> Result<(), Error> {
        if !self.bound_for_the_end {
            let account = self.shared.account(subject, &[]).await?;
            account.bind_for_the_end(&self.shared.client).await?;
            self.bound_for_the_end = true;
        }
        Ok(())
    }

    /// Deletes what the hooks of this very end have made and left, of those with such options, but for what asks to stay.
    /// What may not be deleted is left, and told: it keeps no environment.
    pub(super) async fn delete_end_hooks(
        &mut self,
        environment: &Environment,
        subject: &Subject,
        which: impl Fn(&ObjectOptions) -> bool,
    ) -> Result<(), Error> {
        let hooks = self.shared.records.get(&self.key)?.end_hooks.clone();
        let account = self.shared.account(subject, &[]).await?;
        let objects = Objects::of_account(self.shared.client.clone(), &account.user())?;
        for hook in hooks.iter() {
            let options = hook.options();
            if !which(&options) || options.hook_deletion.contains(&HookDeletion::Never) {
                continue;
            }
            let deleted = async {
                self.bind_for_the_end(subject).await?;
                self.delete_end_hook(environment, hook, &options, &objects).await
            };
            match deleted.await {
                Ok(()) => {}
                Err(Error::Cluster { what, message, code: 400..500 }) => {
                    let message = format!("leaves {what}: {message}");
                    tracing::warn!(environment = %self.key, "{message}");
                    self.tell(None, message, None);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn delete_end_hook(
        &self,
        environment: &Environment,
        hook: &EndHook,
        options: &ObjectOptions,
        objects: &Objects,
    ) -> Result<(), Error> {
        let (id, gvk) = (hook.object.id(), hook.object.gvk());
        let kind = self.shared.kinds.get(&gvk).await;
        let Some(kind) = kind.map_err(|error| Error::cluster(format!("kind {gvk}"), error))? else {
            return Ok(());
        };
        let fail = |error| Error::cluster(id.to_string(), error);
        let Some(live) = objects.get(&kind, &id).await.map_err(fail)? else { return Ok(()) };
        let is_of_this_end =
            identity::annotation(&live, HOOK_RUN).is_some_and(|run| run.starts_with(&marks(environment)));
        let stays = match options.delete {
            Prune::Allowed => false,
            Prune::Never => true,
            Prune::Confirm => !deletion_approved(&live),
        };
        if is_of_this_end && !stays {
            objects.delete(&kind, &id, identity::uid(&live), options.propagation).await.map_err(fail)?;
        }
        Ok(())
    }
}

fn word(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Open => "goes on".to_owned(),
        Outcome::Succeeded => "has succeeded".to_owned(),
        Outcome::Failed(why) => why.clone(),
    }
}

/// A hook cannot be made, or not be looked at.
fn cannot(run: &Run, why: String) -> Error {
    Error::Plan(format!(
        "the hook {} ({}) cannot run: {why}: it is tried again until it can, and the annotation {SKIP}=true on the \
         Environment goes on without hooks",
        run.object.id(),
        run.phase.as_str()
    ))
}
