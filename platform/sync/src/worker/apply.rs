//! One sync: begun, carried out, recorded.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use parking_lot::Mutex;
use seaway_api::environment::Environment;

use super::{Failure, Healing, LAST_PAUSE, Worker, backoff};
use crate::applyset;
use crate::candidate::Candidate;
use crate::cluster::{Objects, Refusal};
use crate::end::hooks_of;
use crate::error::Error;
use crate::executor::{Done, Executor};
use crate::hooks::delete_spent;
use crate::mailbox::SyncRequest;
use crate::plan::{Action, Plan};
use crate::queue::Turn;
use crate::status::problem;
use crate::steps::Steps;
use crate::subject::Subject;
use crate::view::{Outcome, SyncRecord, SyncStatus, Trigger};

/// Until this deadline a wave may become healthy, if the environment says nothing else.
pub(super) const WAVE_DEADLINE: Duration = Duration::from_secs(300);
/// A sync that takes longer is shown in the status while it goes on.
const SHOWN_AFTER: Duration = Duration::from_secs(1);

impl Worker {
    #[allow(clippy::too_many_arguments)]
    pub(super) async fn apply(
        &mut self,
        environment: &Environment,
        subject: &Subject,
        candidate: &Candidate,
        mut plan: Plan,
        trigger: Trigger,
        requests: &[SyncRequest],
        objects: &Objects,
        turn: Option<Turn>,
        steps: Steps,
    ) -> Result<(SyncRecord, Option<Duration>), Error> {
        let chosen: Vec<_> = requests.iter().flat_map(|request| request.objects.iter()).collect();
        let partial = !chosen.is_empty();
        if partial {
            plan.objects.retain(|object| {
                chosen.iter().any(|c| c.id() == object.object.id()) && object.action != Action::Hook
            });
        }
        let actor = requests.first().map_or("seaway", |request| request.actor.as_str());
        let record = self.begin(candidate, trigger, partial, actor).await?;
        self.summary.lock().steps = steps.clone();
        // Whoever looks while it goes on sees another state: that at the end is told even if it is the one before.
        self.told.clear();
        self.tell(Some(record.id), format!("begins {} ({})", record.release, record.revision), None);
        let result = self.execute(environment, subject, &plan, &record, trigger, objects, turn, &steps).await;
        let (done, result) = match result {
            Ok(executed) => executed,
            Err(error) => (Done::default(), Err(error)),
        };
        let superseded = matches!(result, Err(Error::Superseded));
        let mut done = done;
        let hooks = std::mem::take(&mut done.hooks);
        // Those of a copy are not run.
        let end_hooks = if subject.copied.is_some() {
            Vec::new()
        } else {
            hooks_of(&plan, &subject.stack.health_check_exprs)
        };
        let record = self.finish(record, done, &result, &steps, end_hooks).await?;
        if superseded {
            // The next look goes on with the same hooks, or makes them anew.
            return Err(Error::Superseded);
        }
        let rules = self.shared.rules.get(&subject.stack.health_check_exprs);
        delete_spent(&self.shared.kinds, &self.shared.cache, objects, &rules, &hooks).await;
        self.tell(Some(record.id), record.message.clone(), Some(record.outcome));
        self.after(subject, candidate, &plan, &record, result, trigger).await
    }

    /// What follows from how a sync ended.
    pub(super) async fn after(
        &mut self,
        subject: &Subject,
        candidate: &Candidate,
        plan: &Plan,
        record: &SyncRecord,
        result: Result<(), Error>,
        trigger: Trigger,
    ) -> Result<(SyncRecord, Option<Duration>), Error> {
        let mut pause = None;
        let memory = self.shared.records.get(&self.key)?;
        let reader = self.shared.reader(Timestamp::now());
        let deletes = plan.objects.iter().any(|object| object.action == Action::Prune && !object.held_back);
        let mut after = if result.is_ok() && !record.partial && !deletes {
            // Everything is as it was sent. What somebody has changed since, the next look finds.
            plan.clone()
        } else {
            // What stands in the cache is what the API answered: no request.
            let live = reader.read(subject, &candidate.desired, &memory.inventory).await?;
            reader.plan(subject, candidate.desired.clone(), &live, &memory.inventory)
        };
        // What was sent just now was taken in the server's own spelling.
        for object in &mut after.objects {
            let sent = plan.objects.iter().any(|planned| planned.object == object.object);
            if result.is_ok() && sent && matches!(object.action, Action::Create | Action::Change) {
                object.action = Action::Unchanged;
                object.fields.clear();
                object.message.clear();
            }
        }
        match result {
            Ok(()) => {
                self.failure = None;
                self.summary.lock().failed = None;
                self.end_old_namespaces(subject).await?;
                if trigger == Trigger::Drift {
                    let now = Instant::now();
                    let lately = self.healing.as_ref().filter(|h| h.last.elapsed() < 2 * LAST_PAUSE);
                    let times = lately.map_or(0, |healing| healing.times + 1);
                    self.healing = Some(Healing { times, last: now });
                }
            }
            // Who cancelled it wants no other attempt.
            Err(_) if record.outcome == Outcome::Cancelled => {
                self.failure = None;
                self.summary.lock().failed = None;
            }
            Err(error) => {
                self.forget_account();
                let before = self.failure.as_ref().filter(|failure| failure.content == candidate.content);
                let attempts = before.map_or(0, |failure| failure.attempts);
                let wait = backoff(attempts);
                pause = Some(wait);
                let failure = Failure {
                    content: candidate.content.clone(),
                    attempts: attempts + 1,
                    retry_at: Instant::now() + wait,
                    reason: error.reason().to_owned(),
                    message: error.to_string(),
                };
                self.summary.lock().failed = Some((failure.reason.clone(), failure.message.clone()));
                self.failure = Some(failure);
            }
        }
        let mut summary = self.summary.lock();
        summary.running = None;
        // The records have them.
        summary.steps = Steps::default();
        summary.cancelled = memory.cancelled_content(&candidate.content);
        summary.deployed = memory.deployed();
        if let Some(good) = memory.last_good() {
            summary.release = Some(good.definition.clone());
        }
        summary.observe(after, &self.shared.cache);
        if summary.broken.is_some() {
            summary.sync = SyncStatus::Unknown;
        }
        Ok((record.clone(), pause))
    }

    #[allow(clippy::too_many_arguments)]
    pub(super) async fn execute(
        &mut self,
        environment: &Environment,
        subject: &Subject,
        plan: &Plan,
        record: &SyncRecord,
        trigger: Trigger,
        objects: &Objects,
        turn: Option<Turn>,
        steps: &Steps,
    ) -> Result<(Done, Result<(), Error>), Error> {
        let memory = self.shared.records.get(&self.key)?;
        let known = memory.inventory.iter().map(|entry| (entry.object.id(), entry.clone())).collect();
        let done = Mutex::new(Done { inventory: known, ..Done::default() });
        if let Some(blocked) = &plan.blocked {
            return Ok((done.into_inner(), Err(Error::Plan(blocked.clone()))));
        }
        if plan.objects.iter().any(|object| object.action.is_blocking()) {
            return Ok((done.into_inner(), Err(Error::Plan(problem(plan).unwrap_or_default()))));
        }
        self.write_parent(subject, plan, objects).await?;
        let running: Mutex<String> = Mutex::new(String::new());
        let shared = self.shared.clone();
        let progress = |message: String| {
            *running.lock() = message.clone();
            self.tell(Some(record.id), message, None);
        };
        let apply_set = subject.belonging().apply_set;
        let rules = shared.rules.get(&subject.stack.health_check_exprs);
        let seconds = subject.spec.sync.wave_timeout_seconds;
        let executor = Executor {
            kinds: &shared.kinds,
            cache: &shared.cache,
            objects,
            mailbox: &self.mailbox,
            rules: &rules,
            sync: record.id,
            apply_set: &apply_set,
            run: format!("{}.{}", record.id, record.attempts),
            hooks: trigger != Trigger::Drift && !record.partial,
            force_conflicts: subject.spec.sync.force_conflicts,
            deadline: seconds.map_or(WAVE_DEADLINE, |seconds| Duration::from_secs(seconds.into())),
            progress: &progress,
            steps,
            turn: Mutex::new(turn),
        };
        let components: Vec<(String, Vec<String>)> = subject
            .stack
            .components
            .iter()
            .map(|component| (component.name.clone(), component.depends_on.clone()))
            .collect();
        let result = {
            let run = executor.run(&plan.objects, &components, &done);
            let mut run = std::pin::pin!(run);
            loop {
                tokio::select! {
                    result = &mut run => break result,
                    () = tokio::time::sleep(SHOWN_AFTER) => {
                        {
                            let mut summary = self.summary.lock();
                            summary.running = Some(format!("{}: {}", record.release, running.lock()));
                            let plan = summary.plan.clone();
                            summary.observe(plan, &shared.cache);
                            if !matches!(trigger, Trigger::Drift) {
                                summary.sync = SyncStatus::OutOfSync;
                            }
                        }
                        self.show(environment).await;
                    }
                }
            }
        };
        let conflict = plan.objects.iter().any(|object| object.action == Action::Conflict);
        let result = match result {
            Ok(()) if conflict => Err(Error::Plan(problem(plan).unwrap_or_default())),
            other => other,
        };
        drop(executor);
        Ok((done.into_inner(), result))
    }

    pub(super) async fn write_parent(
        &mut self,
        subject: &Subject,
        plan: &Plan,
        objects: &Objects,
    ) -> Result<(), Error> {
        let members: Vec<_> = plan
            .objects
            .iter()
            .filter(|object| !matches!(object.action, Action::Hook | Action::Forbidden | Action::Invalid))
            .map(|object| object.object.id())
            .collect();
        let parent = applyset::parent(&subject.spec.destination.namespace, &subject.parent(), &members);
        let text = parent.to_string();
        if self.parent == text {
            return Ok(());
        }
        let id = seaway_object::ObjectId::of(&parent).map_err(|error| Error::Plan(error.to_string()))?;
        let gvk =
            seaway_object::GroupVersionKind::of(&parent).map_err(|error| Error::Plan(error.to_string()))?;
        let kind = self.shared.kinds.get(&gvk).await.map_err(|error| Error::cluster("kind Secret", error))?;
        let Some(kind) = kind else { return Ok(()) };
        match objects.apply(&kind, &id, &parent, false, true).await {
            Ok(_) => {
                self.parent = text;
                Ok(())
            }
            Err(Refusal::Conflict { message, .. }) => {
                Err(Error::Cluster { what: id.to_string(), message, code: 409 })
            }
            Err(Refusal::Other(error)) => {
                // Bindings may have been removed by hand.
                self.account = None;
                Err(Error::cluster(id.to_string(), error))
            }
        }
    }
}
