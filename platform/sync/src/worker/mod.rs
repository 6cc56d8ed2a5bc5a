//! One worker per environment: looks when there is news, and brings the cluster to what Git says.

mod apply;
mod deciding;
mod end_hooks;
mod ending;
mod recording;
mod warning;

pub(crate) use ending::is_held;

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use parking_lot::Mutex;
use seaway_api::environment::Environment;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::deciding::{Chosen, Decision};
use self::warning::{ends_soon, next_warning};
use crate::account::Account;
use crate::cluster::Objects;
use crate::cluster::cache::Changes;
use crate::enclosure::open_network;
use crate::error::Error;
use crate::health::{Health, HealthStatus};
use crate::live::Confirmed;
use crate::mailbox::{Letters, Mailbox, SyncRequest};
use crate::plan::{Action, ObjectRef, Plan};
use crate::queue::{Seat, Turn, Urgency};
use crate::rendering::RenderCache;
use crate::shared::Shared;
use crate::status::{self, Summary};
use crate::steps::{StepKind, Steps};
use crate::subject::Subject;
use crate::view::{EnvironmentKey, Outcome, SyncRecord, SyncStatus};

/// Pauses after failures double from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LAST_PAUSE: Duration = Duration::from_secs(180);
/// Several changes of live objects within this time are one.
const SETTLE: Duration = Duration::from_millis(30);

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

/// Which changes are listened to: of the objects of this ApplySet, and how many there were when it was last looked.
type Heard = Option<(String, watch::Receiver<Changes>, u64)>;

/// The worker of one environment.
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) key: EnvironmentKey,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) summary: Arc<Mutex<Summary>>,
    pub(crate) cancel: CancellationToken,
    followed: RenderCache,
    fallback: RenderCache,
    account: Option<(Account, Objects)>,
    confirmed: Confirmed,
    failure: Option<Failure>,
    healing: Option<Healing>,
    /// How often its end was looked at since it came a stage further, and how often in a row something hindered it.
    ending: u32,
    hindered: u32,
    /// Whether its account may do at its end what hooks need.
    bound_for_the_end: bool,
    parent: String,
    /// The state that listeners know.
    told: String,
}

impl Worker {
    pub(crate) fn new(
        shared: Arc<Shared>,
        key: EnvironmentKey,
        mailbox: Arc<Mailbox>,
        summary: Arc<Mutex<Summary>>,
        cancel: CancellationToken,
    ) -> Self {
        let (followed, fallback) = (shared.rendered.of_environment(), shared.rendered.of_environment());
        Self {
            shared,
            key,
            mailbox,
            summary,
            cancel,
            followed,
            fallback,
            account: None,
            confirmed: Confirmed::default(),
            failure: None,
            healing: None,
            ending: 0,
            hindered: 0,
            bound_for_the_end: false,
            parent: String::new(),
            told: String::new(),
        }
    }

    /// Works until the environment is gone.
    pub(crate) async fn run(mut self) {
        let cancel = self.cancel.clone();
        cancel.run_until_cancelled(self.work()).await;
    }

    async fn work(&mut self) {
        let mut next = Some(Duration::ZERO);
        let mut changes: Heard = None;
        loop {
            if self.listen(&mut changes) {
                // What somebody has changed there before is not heard of.
                next = Some(Duration::ZERO);
            }
            let changed = async {
                match &mut changes {
                    Some((_, changes, known)) => {
                        let by_others = |known: u64| move |now: &Changes| now.by_others() != known;
                        if changes.wait_for(by_others(*known)).await.is_err() {
                            std::future::pending::<()>().await;
                        }
                        tokio::time::sleep(SETTLE).await;
                        *known = changes.borrow_and_update().by_others();
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
            let turn = self.shared.turns.take(urgency(&letters.requests)).await;
            self.listen(&mut changes);
            // What a look needs is large, and most workers wait.
            next = Box::pin(self.look(letters, turn)).await;
        }
    }

    /// Listens to changes of what the environment applies now; whether that is something new.
    fn listen(&self, changes: &mut Heard) -> bool {
        let Some(set) = self.shared.apply_set(&self.key) else { return false };
        if changes.as_ref().is_some_and(|(known, ..)| *known == set) {
            return false;
        }
        let receiver = self.shared.cache.subscribe(&set);
        let known = receiver.borrow().by_others();
        *changes = Some((set, receiver, known));
        true
    }

    /// Looks once; says when to look again at the latest.
    async fn look(&mut self, letters: Letters, turn: Turn) -> Option<Duration> {
        let environment = self.shared.environment(&self.key)?;
        let mut letters = letters;
        let mut requests = std::mem::take(&mut letters.requests);
        let ends = environment.metadata.deletion_timestamp.is_some();
        if ends || lifetime(&environment).is_some_and(|expires| expires <= Timestamp::now()) {
            for request in std::mem::take(&mut requests) {
                let why = format!("{} is being deleted: nothing is applied any more", self.key);
                let _ = request.answer.send(Err(Error::Plan(why)));
            }
        }
        if ends {
            self.ending += 1;
            return match self.end(&environment).await {
                Ok(next) => {
                    self.hindered = 0;
                    next
                }
                Err(error) => {
                    tracing::warn!(environment = %self.key, %error, "the environment cannot be ended yet");
                    self.show_ending(&environment, error.reason(), format!("cannot go on: {error}")).await;
                    self.bound_for_the_end = false;
                    self.hindered += 1;
                    Some(backoff(self.hindered - 1))
                }
            };
        }
        if let Some(expires) = lifetime(&environment)
            && expires <= Timestamp::now()
        {
            return Some(self.expire(&environment, expires).await);
        }
        if letters.spec {
            self.failure = None;
        }
        // The first look has no letters, but may come after a start.
        let news = letters.spec || letters.source || self.told.is_empty();
        let result = self.reconcile(&environment, &requests, news, turn).await;
        let next;
        let answer = match result {
            Ok(looked) => {
                next = looked.next;
                match looked.broken {
                    // Who asks for what Git says is not told that all is well when that could not be had.
                    Some(why) => Err(why),
                    None => Ok(looked.record),
                }
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
                self.forget_account();
                {
                    let mut summary = self.summary.lock();
                    summary.sync = SyncStatus::Unknown;
                    if summary.objects.is_empty() {
                        // Nobody has seen any of it.
                        summary.health = Health::new(HealthStatus::Unknown, "");
                    }
                    summary.running = None;
                    summary.broken = Some((error.reason().to_owned(), error.to_string()));
                }
                self.show(&environment).await;
                self.tell_state();
                for request in requests {
                    let _ = request.answer.send(Err(Error::Plan(error.to_string())));
                }
                return Some(pause);
            }
        };
        for request in requests {
            let _ = request.answer.send(answer.clone().map_err(Error::Plan));
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
        self.shared.tell(&self.key, sync, message, outcome);
    }

    /// Tells listeners of a state that they do not know yet: also of one that no sync has brought.
    fn tell_state(&mut self) {
        let state = {
            let summary = self.summary.lock();
            let health = &summary.health;
            let why = if health.message.is_empty() { String::new() } else { format!(": {}", health.message) };
            let suspended = if summary.suspended { ", suspended" } else { "" };
            format!("is {} and {}{suspended}{why}", summary.sync.as_str(), health.status.as_str())
        };
        if self.told != state {
            self.tell(None, state.clone(), None);
            self.told = state;
        }
    }

    async fn reconcile(
        &mut self,
        environment: &Environment,
        requests: &[SyncRequest],
        news: bool,
        turn: Turn,
    ) -> Result<Looked, Error> {
        let now = Timestamp::now();
        let subject = self.shared.subject(environment)?;
        self.ensure_finalizer(environment).await?;
        if news && self.end_overrides(environment, &subject).await? {
            return Err(Error::Superseded);
        }
        let memory = self.shared.records.get(&self.key)?;
        let steps = Steps::default();
        let shared = self.shared.clone();
        let seat = Seat::new(&shared.turns, urgency(requests), turn);
        let chosen = self.choose(&subject, &memory, !requests.is_empty(), now, &steps, &seat).await?;
        // What nobody has begun yet makes nothing: no account, and none of its namespaces.
        let begins = subject.spec.sync.automated || !requests.is_empty() || !memory.syncs.is_empty();
        let objects = if begins { Some(self.ensure_account(&subject, &[]).await?) } else { None };
        let reader = shared.reader(now);
        let Chosen { candidate, broken, held } = chosen;
        steps.begin("plan", None, StepKind::Plan, "Compare with the cluster", None);
        let live = reader.read(&subject, &candidate.desired, &memory.inventory).await?;
        let mut plan = reader.plan(&subject, candidate.desired.clone(), &live, &memory.inventory);
        let last_good = memory.last_good();
        let fresh = last_good.is_none_or(|good| good.content != candidate.content);
        let writes = plan.count(Action::Create) + plan.count(Action::Change);
        match &objects {
            Some(objects) if writes > 1 || !fresh => {
                let creations = writes > 1 && fresh;
                reader
                    .dry_run(objects, &mut plan, &live, &memory.inventory, &mut self.confirmed, creations)
                    .await?;
            }
            Some(_) => {}
            None => plan.unasked = true,
        }
        steps.succeed("plan", &counts(&plan));
        let suspended = memory.suspended || subject.spec.suspend;
        let expiring = ends_soon(environment, &subject, now);
        self.tell_owner(
            environment,
            &candidate.conflicts,
            expiring.as_ref().map(|(words, _)| words.as_str()),
        )
        .await?;
        // Another commit with the same content is no other release.
        let release = last_good.map(|good| good.definition.clone());
        {
            let mut summary = self.summary.lock();
            summary.release = release;
            summary.deployed = memory.deployed();
            summary.cancelled = memory.cancelled_content(&candidate.content);
            summary.broken = broken.as_ref().map(|error| (error.reason().to_owned(), error.to_string()));
            summary.held = held;
            summary.warnings = candidate.warnings.clone();
            summary.conflicts = candidate.conflicts.clone();
            summary.expiring = expiring.clone().map(|(words, _)| words);
            summary.unreachable = candidate.unreachable.clone();
            summary.suspended = suspended;
            summary.running = None;
            summary.naming = candidate.naming.clone();
            summary.rules = shared.rules.get(&subject.stack.health_check_exprs);
            summary.observe(plan.clone(), &shared.cache);
            if summary.broken.is_some() {
                summary.sync = SyncStatus::Unknown;
            }
        }
        let decision = self.decide(&subject, &memory, &candidate, &plan, requests, suspended);
        let mut record = None;
        let times =
            [subject.next_expiry(now), lifetime(environment), next_warning(environment, &subject, now)];
        let mut next = times.into_iter().flatten().min().map(|time| seconds_until(now, time));
        match decision {
            Decision::Nothing => {
                self.close_open(&memory).await?;
                self.keep_end_hooks(&subject, &memory, &candidate.content, &plan).await?;
                let in_sync = plan.is_in_sync();
                if in_sync {
                    self.failure = None;
                }
                // Why the last attempt failed is told for as long as there is no other one.
                let still = memory.last().is_some_and(|last| {
                    last.outcome == Outcome::Failed && last.content == candidate.content && !in_sync
                });
                let failed = self.failure.as_ref().filter(|failure| still && !failure.reason.is_empty());
                self.summary.lock().failed =
                    failed.map(|failure| (failure.reason.clone(), failure.message.clone()));
            }
            Decision::Wait(pause) => {
                next = Some(next.map_or(pause, |next: Duration| next.min(pause)));
                let failed =
                    self.failure.as_ref().map(|failure| (failure.reason.clone(), failure.message.clone()));
                self.summary.lock().failed = failed.filter(|(reason, _)| !reason.is_empty());
            }
            Decision::Apply(trigger) => {
                // For as long as it goes on: the next look takes back what nothing says any more.
                let leaving = leaving(&plan);
                let objects = match objects {
                    Some(objects) if leaving.is_empty() => objects,
                    _ => self.ensure_account(&subject, &leaving).await?,
                };
                let sync = self.apply(
                    environment,
                    &subject,
                    &candidate,
                    plan,
                    trigger,
                    requests,
                    &objects,
                    seat.into_turn(),
                    steps,
                );
                let (finished, pause) = sync.await?;
                record = Some(finished);
                next = pause.or(next);
            }
        }
        self.show(environment).await;
        self.tell_state();
        let broken = broken.map(|error| match &record {
            Some(record) => format!("{error}; release {} was applied instead", record.release),
            None => error.to_string(),
        });
        Ok(Looked { record, next, broken })
    }

    /// What it stands on may be gone: its namespaces, its bindings, what lies there.
    pub(crate) fn forget_account(&mut self) {
        self.account = None;
        self.parent.clear();
    }

    async fn ensure_account(&mut self, subject: &Subject, leaving: &[ObjectRef]) -> Result<Objects, Error> {
        let account = self.shared.account(subject, leaving).await?;
        if let Some((known, objects)) = &self.account
            && *known == account
        {
            return Ok(objects.clone());
        }
        account.ensure(&self.shared.client, &self.shared.copier, &self.shared.bindings).await?;
        if account.copy.is_some() {
            let open = open_network(&self.shared.copier).await?;
            let mut summary = self.summary.lock();
            (summary.enclosed, summary.open) = (true, open);
        }
        let objects = Objects::of_account(self.shared.client.clone(), &account.user())?;
        self.account = Some((account, objects.clone()));
        Ok(objects)
    }
}

/// What a sync by this plan deletes.
fn leaving(plan: &Plan) -> Vec<ObjectRef> {
    let gone = plan.objects.iter().filter(|object| object.action == Action::Prune && !object.held_back);
    gone.map(|object| object.object.clone()).collect()
}

struct Looked {
    record: Option<SyncRecord>,
    next: Option<Duration>,
    /// Why what Git says could not be had, and what was done instead.
    broken: Option<String>,
}

fn urgency(requests: &[SyncRequest]) -> Urgency {
    if requests.is_empty() { Urgency::Background } else { Urgency::Person }
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

/// The end of an environment's lifetime.
fn lifetime(environment: &Environment) -> Option<Timestamp> {
    environment.spec.expires.as_deref()?.parse().ok()
}

/// What a plan does, in a few words.
fn counts(plan: &Plan) -> String {
    let parts = [
        (Action::Create, "to create"),
        (Action::Change, "to change"),
        (Action::Prune, "to delete"),
        (Action::Conflict, "in conflict"),
        (Action::Forbidden, "forbidden"),
        (Action::Invalid, "invalid"),
        (Action::Unchanged, "unchanged"),
    ];
    let present = parts.into_iter().map(|(action, words)| (plan.count(action), words));
    let words: Vec<String> =
        present.filter(|(count, _)| *count > 0).map(|(count, words)| format!("{count} {words}")).collect();
    words.join(", ")
}
