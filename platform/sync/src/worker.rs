//! One worker per environment: looks when there is news, and brings the cluster to what Git says.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::api::{Api, Patch, PatchParams};
use parking_lot::Mutex;
use seaway_api::environment::Environment;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::account::Account;
use crate::applyset;
use crate::candidate::{Candidate, Choice, Finder, Subject};
use crate::cluster::{Objects, impersonating};
use crate::error::Error;
use crate::executor::{Done, Executor};
use crate::live::{Confirmed, Reader};
use crate::mailbox::{Letters, Mailbox, SyncRequest};
use crate::plan::{Action, Plan};
use crate::queue::{Turn, Urgency};
use crate::records::Memory;
use crate::rendering::RenderCache;
use crate::shared::Shared;
use crate::status::{self, Summary, problem};
use crate::view::{EnvironmentKey, Outcome, Progress, SyncRecord, SyncStatus, Trigger};

/// Until this deadline a wave may become healthy, if the environment says nothing else.
const WAVE_DEADLINE: Duration = Duration::from_secs(300);
/// Pauses after failures double from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LAST_PAUSE: Duration = Duration::from_secs(180);
/// Several changes of live objects within this time are one.
const SETTLE: Duration = Duration::from_millis(30);
/// A sync that takes longer is shown in the status while it goes on.
const SHOWN_AFTER: Duration = Duration::from_secs(1);
/// What ends an Environment waits for this finalizer.
pub(crate) const FINALIZER: &str = "seaway.dev/environment";

/// What failed, how often, and when it is tried again.
struct Failure {
    content: String,
    attempts: u32,
    retry_at: Instant,
    reason: String,
    message: String,
}

/// How drift was reverted lately: who fights for a field is not fought at full speed.
struct Healing {
    times: u32,
    last: Instant,
}

/// The worker of one environment.
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) key: EnvironmentKey,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) summary: Arc<Mutex<Summary>>,
    pub(crate) cancel: CancellationToken,
    followed: Arc<RenderCache>,
    fallback: Arc<RenderCache>,
    account: Option<(Account, Objects)>,
    confirmed: Confirmed,
    failure: Option<Failure>,
    healing: Option<Healing>,
    parent: String,
}

impl Worker {
    pub(crate) fn new(
        shared: Arc<Shared>,
        key: EnvironmentKey,
        mailbox: Arc<Mailbox>,
        summary: Arc<Mutex<Summary>>,
        cancel: CancellationToken,
    ) -> Self {
        Self {
            shared,
            key,
            mailbox,
            summary,
            cancel,
            followed: Arc::default(),
            fallback: Arc::default(),
            account: None,
            confirmed: Confirmed::default(),
            failure: None,
            healing: None,
            parent: String::new(),
        }
    }

    /// Works until the environment is gone.
    pub(crate) async fn run(mut self) {
        let cancel = self.cancel.clone();
        cancel.run_until_cancelled(self.work()).await;
    }

    async fn work(&mut self) {
        let mut next = Some(Duration::ZERO);
        let mut changes = None;
        loop {
            let set = self.shared.apply_set(&self.key);
            if set.is_some() && changes.as_ref().map(|(known, _)| known) != set.as_ref() {
                changes = set.map(|set| {
                    let receiver = self.shared.cache.subscribe(&set);
                    (set, receiver)
                });
            }
            let changed = async {
                match &mut changes {
                    Some((_, changes)) => {
                        if changes.changed().await.is_err() {
                            std::future::pending::<()>().await;
                        }
                        tokio::time::sleep(SETTLE).await;
                        changes.mark_unchanged();
                    }
                    None => std::future::pending().await,
                }
            };
            let timer = async {
                match next {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.mailbox.has_mail() => {}
                () = changed => {}
                () = timer => {}
            }
            let letters = self.mailbox.take();
            let urgency = if letters.requests.is_empty() { Urgency::Background } else { Urgency::Person };
            let turn = self.shared.turns.take(urgency).await;
            next = self.look(letters, turn).await;
        }
    }

    /// Looks once; says when to look again at the latest.
    async fn look(&mut self, letters: Letters, turn: Turn) -> Option<Duration> {
        let environment = self.shared.environment(&self.key)?;
        let mut letters = letters;
        let requests = std::mem::take(&mut letters.requests);
        if environment.metadata.deletion_timestamp.is_some() {
            return match self.end(&environment).await {
                Ok(()) => None,
                Err(error) => {
                    tracing::warn!(environment = %self.key, %error, "the environment cannot be ended yet");
                    Some(FIRST_PAUSE)
                }
            };
        }
        if letters.spec {
            self.failure = None;
        }
        let result = self.reconcile(&environment, &requests, turn).await;
        let next;
        let answer = match result {
            Ok(looked) => {
                next = looked.next;
                looked.record
            }
            Err(Error::Superseded) => {
                for request in requests {
                    // The newer look answers.
                    self.mailbox.put(crate::mailbox::Mail::Sync(request));
                }
                return Some(Duration::ZERO);
            }
            Err(error) => {
                tracing::debug!(environment = %self.key, %error, "a look failed");
                let pause = self.pause();
                {
                    let mut summary = self.summary.lock();
                    summary.sync = SyncStatus::Unknown;
                    summary.running = None;
                    summary.broken = Some((error.reason().to_owned(), error.to_string()));
                }
                self.show(&environment).await;
                for request in requests {
                    let _ = request.answer.send(Err(Error::Plan(error.to_string())));
                }
                return Some(pause);
            }
        };
        for request in requests {
            let _ = request.answer.send(Ok(answer.clone()));
        }
        next
    }

    /// The pause after a look that failed.
    fn pause(&mut self) -> Duration {
        let attempts = self.failure.as_ref().map_or(0, |failure| failure.attempts);
        let pause = backoff(attempts);
        self.failure = Some(Failure {
            content: String::new(),
            attempts: attempts + 1,
            retry_at: Instant::now() + pause,
            reason: String::new(),
            message: String::new(),
        });
        pause
    }

    /// Writes the summary into the Environment.
    async fn show(&self, environment: &Environment) {
        // The newest one: conditions keep the times that stand there.
        let environment = self.shared.environment(&self.key).unwrap_or_else(|| environment.clone());
        let status = self.summary.lock().status(&environment, Timestamp::now());
        if let Err(error) = status::write(&self.shared.client, &environment, status).await {
            tracing::warn!(environment = %self.key, %error, "the status could not be written");
        }
    }

    fn tell(&self, sync: Option<u64>, message: String, outcome: Option<Outcome>) {
        let progress =
            Progress { environment: self.key.clone(), time: Timestamp::now(), sync, message, outcome };
        // Nobody may be listening.
        let _ = self.shared.progress.send(progress);
    }

    async fn reconcile(
        &mut self,
        environment: &Environment,
        requests: &[SyncRequest],
        turn: Turn,
    ) -> Result<Looked, Error> {
        let now = Timestamp::now();
        let subject = self.shared.subject(environment)?;
        self.ensure_finalizer(environment).await?;
        let memory = self.shared.records.get(&self.key)?;
        let chosen = self.choose(&subject, &memory, !requests.is_empty(), now).await?;
        let objects = self.ensure_account(&subject).await?;
        let shared = self.shared.clone();
        let reader = Reader {
            kinds: &shared.kinds,
            cache: &shared.cache,
            objects: &shared.objects,
            key: &shared.hash_key,
            now: now.to_string(),
        };
        let Chosen { candidate, broken, held } = chosen;
        let live = reader.read(&subject, &candidate.desired, &memory.inventory).await?;
        let mut plan = reader.plan(&subject, candidate.desired.clone(), &live, &memory.inventory);
        let last_good = memory.last_good();
        let fresh = last_good.is_none_or(|good| good.content != candidate.content);
        let writes = plan.count(Action::Create) + plan.count(Action::Change);
        if writes > 1 || !fresh {
            let creations = writes > 1 && fresh;
            reader
                .dry_run(&objects, &mut plan, &live, &memory.inventory, &mut self.confirmed, creations)
                .await?;
        }
        let suspended = memory.suspended || subject.spec.suspend;
        let release = match last_good {
            // Another commit with the same content is no other release.
            Some(good) => Some(good.definition.clone()),
            None => None,
        };
        {
            let mut summary = self.summary.lock();
            summary.release = release;
            summary.broken = broken.map(|error| (error.reason().to_owned(), error.to_string()));
            summary.held = held;
            summary.warnings = candidate.warnings.clone();
            summary.suspended = suspended;
            summary.running = None;
            summary.observe(plan.clone(), &shared.cache);
            if summary.broken.is_some() {
                summary.sync = SyncStatus::Unknown;
            }
        }
        let decision = self.decide(&subject, &memory, &candidate, &plan, requests, suspended);
        let mut record = None;
        let mut next = subject.next_expiry(now).map(|time| seconds_until(now, time));
        match decision {
            Decision::Nothing => {
                self.close_open(&memory)?;
                if plan.is_in_sync() {
                    self.failure = None;
                }
                self.summary.lock().failed = None;
            }
            Decision::Wait(pause) => {
                next = Some(next.map_or(pause, |next: Duration| next.min(pause)));
                let failed =
                    self.failure.as_ref().map(|failure| (failure.reason.clone(), failure.message.clone()));
                self.summary.lock().failed = failed.filter(|(reason, _)| !reason.is_empty());
            }
            Decision::Apply(trigger) => {
                let sync =
                    self.apply(environment, &subject, &candidate, plan, trigger, requests, &objects, turn);
                let (finished, pause) = sync.await?;
                record = Some(finished);
                next = pause.or(next);
            }
        }
        self.show(environment).await;
        Ok(Looked { record, next })
    }

    /// What the environment should run: what Git says, unless that is held or cannot be rendered.
    async fn choose(
        &self,
        subject: &Subject,
        memory: &Memory,
        asked: bool,
        now: Timestamp,
    ) -> Result<Chosen, Error> {
        let shared = &self.shared;
        let finder = |cache| Finder {
            subject,
            sources: &shared.sources,
            kinds: &shared.kinds,
            mailbox: &self.mailbox,
            cache,
            now,
        };
        let found = finder(&self.followed).find(Choice::Spec { fresh: asked }).await;
        let (broken, held, instead) = match found {
            Ok(candidate) => {
                let Some(hold) = memory.hold_of(&candidate.release.name(), &candidate.content) else {
                    return Ok(Chosen { candidate, broken: None, held: None });
                };
                let Some(instead) = memory.instead_of(hold) else {
                    return Err(Error::NoRelease(format!(
                        "release {} is held, and no other was ever deployed: push a fix, or lift the hold",
                        hold.release
                    )));
                };
                let reason =
                    if hold.reason.is_empty() { String::new() } else { format!(": {}", hold.reason) };
                let held = format!(
                    "release {} ({}) is held by {}{reason}; {} runs until a newer one comes or the hold is lifted",
                    hold.release,
                    candidate.release.revision(),
                    hold.actor,
                    instead.release
                );
                (None, Some(held), instead)
            }
            // What runs is looked after while Git is broken.
            Err(error) => match memory.last_unheld() {
                Some(last) => (Some(error), None, last),
                None => return Err(error),
            },
        };
        match finder(&self.fallback).find(Choice::Release(&instead.definition)).await {
            Ok(candidate) => Ok(Chosen { candidate, broken, held }),
            Err(error) => Err(broken.unwrap_or(error)),
        }
    }

    fn decide(
        &self,
        subject: &Subject,
        memory: &Memory,
        candidate: &Candidate,
        plan: &Plan,
        requests: &[SyncRequest],
        suspended: bool,
    ) -> Decision {
        if suspended {
            return Decision::Nothing;
        }
        if !requests.is_empty() {
            return Decision::Apply(Trigger::Person);
        }
        let policy = &subject.spec.sync;
        let last = memory.syncs.last();
        let current = memory.last_good().is_some_and(|good| good.content == candidate.content);
        let unfinished = last.is_some_and(|last| {
            last.content == candidate.content && last.outcome == Outcome::Running && !last.partial
        });
        let due = if unfinished || !current {
            policy.automated
        } else if plan.is_in_sync() {
            false
        } else if plan.is_drift_only(&memory.inventory) {
            policy.automated && policy.self_heal
        } else {
            policy.automated
        };
        if !due {
            return Decision::Nothing;
        }
        if let Some(failure) = &self.failure
            && failure.content == candidate.content
        {
            let left = failure.retry_at.saturating_duration_since(Instant::now());
            return if left.is_zero() { Decision::Apply(Trigger::Retry) } else { Decision::Wait(left) };
        }
        if current && !unfinished {
            if plan.is_drift_only(&memory.inventory)
                && let Some(healing) = &self.healing
            {
                let pause = backoff(healing.times).saturating_sub(FIRST_PAUSE);
                let left = (healing.last + pause).saturating_duration_since(Instant::now());
                if !left.is_zero() {
                    return Decision::Wait(left);
                }
            }
            let drift = plan.is_drift_only(&memory.inventory);
            return Decision::Apply(if drift { Trigger::Drift } else { Trigger::Release });
        }
        let older = memory.good().any(|good| good.content == candidate.content);
        Decision::Apply(if older { Trigger::Rollback } else { Trigger::Release })
    }

    #[allow(clippy::too_many_arguments)]
    async fn apply(
        &mut self,
        environment: &Environment,
        subject: &Subject,
        candidate: &Candidate,
        mut plan: Plan,
        trigger: Trigger,
        requests: &[SyncRequest],
        objects: &Objects,
        turn: Turn,
    ) -> Result<(SyncRecord, Option<Duration>), Error> {
        let chosen: Vec<_> = requests.iter().flat_map(|request| request.objects.iter()).collect();
        let partial = !chosen.is_empty();
        if partial {
            plan.objects.retain(|object| {
                chosen.iter().any(|c| c.id() == object.object.id()) && object.action != Action::Hook
            });
        }
        let actor = requests.first().map_or("seaway", |request| request.actor.as_str());
        let record = self.begin(candidate, trigger, partial, actor)?;
        self.tell(Some(record.id), format!("begins {} ({})", record.release, record.revision), None);
        let result = self.execute(environment, subject, &plan, &record, trigger, objects, turn).await;
        let (done, result) = match result {
            Ok(executed) => executed,
            Err(error) => (Done::default(), Err(error)),
        };
        let superseded = matches!(result, Err(Error::Superseded));
        let inventory = done.inventory.into_values().collect::<Vec<_>>();
        let applied_any = !inventory.is_empty() || !done.objects.is_empty();
        let finished = Timestamp::now();
        let record = self.shared.records.change(&self.key, |memory| {
            if applied_any {
                memory.inventory = inventory;
            }
            let Some(open) = memory.syncs.iter_mut().find(|sync| sync.id == record.id) else {
                return record.clone();
            };
            open.objects.extend(done.objects);
            open.waves.extend(done.waves);
            match &result {
                Ok(()) => {
                    open.outcome = Outcome::Succeeded;
                    open.message.clear();
                    open.finished = Some(finished);
                }
                // The next look decides whether it goes on or something newer has taken its place.
                Err(Error::Superseded) => {}
                Err(error) => {
                    open.outcome = Outcome::Failed;
                    open.message = error.to_string();
                    open.finished = Some(finished);
                }
            }
            open.clone()
        })?;
        if superseded {
            return Err(Error::Superseded);
        }
        self.tell(Some(record.id), record.message.clone(), Some(record.outcome));
        self.after(subject, candidate, &plan, &record, result, trigger).await
    }

    /// What follows from how a sync ended.
    async fn after(
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
        let reader = Reader {
            kinds: &self.shared.kinds,
            cache: &self.shared.cache,
            objects: &self.shared.objects,
            key: &self.shared.hash_key,
            now: Timestamp::now().to_string(),
        };
        // What stands in the cache is what the API answered: no request.
        let live = reader.read(subject, &candidate.desired, &memory.inventory).await?;
        let mut after = reader.plan(subject, candidate.desired.clone(), &live, &memory.inventory);
        // What was sent just now was taken in the server's own spelling.
        for object in &mut after.objects {
            let sent = plan.objects.iter().any(|planned| planned.object == object.object);
            if result.is_ok() && sent && object.action == Action::Change {
                object.action = Action::Unchanged;
                object.fields.clear();
                object.message.clear();
            }
        }
        match result {
            Ok(()) => {
                self.failure = None;
                self.summary.lock().failed = None;
                if trigger == Trigger::Drift {
                    let now = Instant::now();
                    let lately = self.healing.as_ref().filter(|h| h.last.elapsed() < 2 * LAST_PAUSE);
                    let times = lately.map_or(0, |healing| healing.times + 1);
                    self.healing = Some(Healing { times, last: now });
                }
            }
            Err(error) => {
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
    async fn execute(
        &mut self,
        environment: &Environment,
        subject: &Subject,
        plan: &Plan,
        record: &SyncRecord,
        trigger: Trigger,
        objects: &Objects,
        turn: Turn,
    ) -> Result<(Done, Result<(), Error>), Error> {
        let memory = self.shared.records.get(&self.key)?;
        let known = memory.inventory.into_iter().map(|entry| (entry.object.id(), entry)).collect();
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
        let seconds = subject.spec.sync.wave_timeout_seconds;
        let executor = Executor {
            kinds: &shared.kinds,
            cache: &shared.cache,
            objects,
            mailbox: &self.mailbox,
            apply_set: &apply_set,
            run: format!("{}.{}", record.id, record.attempts),
            hooks: trigger != Trigger::Drift && !record.partial,
            force_conflicts: subject.spec.sync.force_conflicts,
            deadline: seconds.map_or(WAVE_DEADLINE, |seconds| Duration::from_secs(seconds.into())),
            progress: &progress,
            turn: Mutex::new(Some(turn)),
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
        let spent = std::mem::take(&mut done.lock().spent);
        if result.is_ok() {
            executor.delete_spent(&spent).await;
        }
        drop(executor);
        Ok((done.into_inner(), result))
    }

    /// Records that a sync begins, or goes on after an interruption.
    fn begin(
        &self,
        candidate: &Candidate,
        trigger: Trigger,
        partial: bool,
        actor: &str,
    ) -> Result<SyncRecord, Error> {
        let now = Timestamp::now();
        self.shared.records.change(&self.key, |memory| {
            let id = memory.syncs.last().map_or(1, |last| last.id + 1);
            if let Some(last) = memory.syncs.last_mut() {
                let same = last.content == candidate.content && last.partial == partial;
                let again = trigger != Trigger::Person && same;
                if last.outcome == Outcome::Running && again {
                    return last.clone();
                }
                if last.outcome == Outcome::Failed && again && trigger == Trigger::Retry {
                    last.outcome = Outcome::Running;
                    last.finished = None;
                    last.attempts += 1;
                    last.objects.clear();
                    last.waves.clear();
                    return last.clone();
                }
                supersede(last, now);
            }
            let record = SyncRecord {
                id,
                release: candidate.release.name(),
                revision: candidate.release.revision(),
                content: candidate.content.clone(),
                definition: candidate.release.clone(),
                actor: actor.to_owned(),
                trigger,
                partial,
                attempts: 1,
                started: now,
                finished: None,
                outcome: Outcome::Running,
                message: String::new(),
                commits: candidate.commits.clone(),
                objects: Vec::new(),
                waves: Vec::new(),
            };
            memory.syncs.push(record.clone());
            record
        })
    }

    /// A sync that was interrupted and is not gone on with has been superseded.
    fn close_open(&self, memory: &Memory) -> Result<(), Error> {
        if memory.syncs.last().is_some_and(|last| last.outcome == Outcome::Running) {
            let now = Timestamp::now();
            self.shared.records.change(&self.key, |memory| {
                if let Some(last) = memory.syncs.last_mut() {
                    supersede(last, now);
                }
            })?;
        }
        Ok(())
    }

    async fn write_parent(&mut self, subject: &Subject, plan: &Plan, objects: &Objects) -> Result<(), Error> {
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
            Err(crate::cluster::Refusal::Conflict { message, .. }) => {
                Err(Error::Cluster { what: id.to_string(), message, code: 409 })
            }
            Err(crate::cluster::Refusal::Other(error)) => {
                // Bindings may have been removed by hand.
                self.account = None;
                Err(Error::cluster(id.to_string(), error))
            }
        }
    }

    async fn ensure_account(&mut self, subject: &Subject) -> Result<Objects, Error> {
        let account = self.shared.account(subject).await?;
        if let Some((known, objects)) = &self.account
            && *known == account
        {
            return Ok(objects.clone());
        }
        account.ensure(&self.shared.client).await?;
        let client = impersonating(&self.shared.client, &account.user())
            .map_err(|error| Error::Plan(format!("the account of {}: {error}", self.key)))?;
        let objects = Objects::new(client);
        self.account = Some((account, objects.clone()));
        Ok(objects)
    }

    async fn ensure_finalizer(&self, environment: &Environment) -> Result<(), Error> {
        let mut finalizers = environment.metadata.finalizers.clone().unwrap_or_default();
        if finalizers.iter().any(|finalizer| finalizer == FINALIZER) {
            return Ok(());
        }
        finalizers.push(FINALIZER.to_owned());
        self.patch_finalizers(environment, &finalizers).await
    }

    async fn patch_finalizers(&self, environment: &Environment, finalizers: &[String]) -> Result<(), Error> {
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
    async fn end(&mut self, environment: &Environment) -> Result<(), Error> {
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
        self.shared.records.forget(&self.key);
        Ok(())
    }
}

struct Looked {
    record: Option<SyncRecord>,
    next: Option<Duration>,
}

struct Chosen {
    candidate: Candidate,
    broken: Option<Error>,
    held: Option<String>,
}

enum Decision {
    Nothing,
    Wait(Duration),
    Apply(Trigger),
}

fn supersede(record: &mut SyncRecord, now: Timestamp) {
    if record.outcome == Outcome::Running {
        record.outcome = Outcome::Superseded;
        record.finished = Some(now);
    }
}

fn backoff(attempts: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << attempts.min(10)).min(LAST_PAUSE)
}

fn seconds_until(now: Timestamp, time: Timestamp) -> Duration {
    Duration::try_from(now.until(time).map_or(jiff::SignedDuration::ZERO, |span| {
        jiff::SignedDuration::try_from(span).unwrap_or(jiff::SignedDuration::ZERO)
    }))
    .unwrap_or_default()
        + Duration::from_secs(1)
}
