//! Environments that follow Git, as they are asked about and acted on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use seaway_api::environment::Environment;
use seaway_git::{UnsignedWebhook, Webhook};
use seaway_object::redact::HashKey;
use std::path::PathBuf;
use tokio::sync::{Notify, broadcast, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::bindings::Bindings;
use crate::candidate::{Choice, Finder};
use crate::cluster::cache::Cache;
use crate::cluster::pace::paced;
use crate::cluster::{Kinds, Objects};
use crate::copies;
use crate::credentials;
use crate::end;
use crate::error::Error;
use crate::following::follow;
use crate::health::CompiledRules;
use crate::journal::Journal;
use crate::live::Confirmed;
use crate::mailbox::{Mail, Mailbox, SyncRequest};
use crate::plan::{ObjectRef, Plan};
use crate::queue::Turns;
use crate::records::{Cancellation, Memory, Records};
use crate::rendering::RenderCache;
use crate::shared::{Known, Shared};
use crate::sources::Sources;
use crate::stacks;
use crate::status::Summary;
use crate::steps::Steps;
use crate::subject::Subject;
use crate::view::{
    EnvironmentDetail, EnvironmentKey, EnvironmentView, Hold, LinkView, Outcome, Progress, SyncRecord,
};

/// How syncs are run.
pub struct SyncOptions {
    /// Where what is rendered is kept, so that after a restart nothing is rendered again; may be lost. Made when it is
    /// absent.
    pub rendered_dir: PathBuf,
    /// The cluster, as Seaway's own account: it may impersonate the environments' accounts and bind `admin`.
    pub client: kube::Client,
    /// The cluster, as the account that prepares copies ([`crate::copier_rules`]): it sees no Secret.
    pub copier: kube::Client,
    /// Where records are kept; made when it is absent.
    pub data_dir: PathBuf,
    /// Where history goes.
    pub ledger: seaway_ledger::Ledger,
    /// Git repositories, with their outgoing policy and credentials.
    pub mirrors: seaway_git::Mirrors,
    /// How often repositories are asked for news.
    pub poll_interval: Duration,
    /// How many environments are looked at at once.
    pub concurrency: usize,
    /// With which values of secrets are hashed where they would be shown: random, one per installation.
    pub hash_key: HashKey,
    /// Copies answer at `*.NAME.DOMAIN`, unless their stack says otherwise.
    pub domain: String,
}

/// What a person asks of a sync.
#[derive(Debug, Clone, Default)]
pub struct SyncChoice {
    /// Only these objects; empty: all.
    pub objects: Vec<ObjectRef>,
}

/// Environments that follow Git.
pub struct Sync {
    pub(crate) shared: Arc<Shared>,
    tasks: TaskTracker,
}

impl Sync {
    /// Begins to follow Stacks and Environments. Their definitions ([`seaway_api::crds`]) must be installed.
    ///
    /// # Errors
    /// When the records cannot be opened.
    pub fn start(options: SyncOptions) -> Result<Self, Error> {
        let stopping = CancellationToken::new();
        let client = paced(&options.client);
        let shared = Arc::new(Shared {
            kinds: Kinds::new(client.clone()),
            cache: Cache::new(client.clone(), stopping.clone()),
            objects: Objects::new(client.clone()),
            sources: Sources::new(options.mirrors, options.poll_interval, stopping.clone()),
            bindings: Bindings::default(),
            records: Records::open(options.data_dir)?,
            rendered: RenderCache::open(&options.rendered_dir),
            journal: Journal(options.ledger),
            turns: Turns::new(options.concurrency.max(1)),
            progress: broadcast::channel(1024).0,
            hash_key: options.hash_key,
            domain: options.domain,
            stopping,
            environments: Mutex::default(),
            copies: Mutex::default(),
            stacks: Mutex::default(),
            forges: Mutex::default(),
            stacks_news: Notify::new(),
            rules: CompiledRules::default(),
            webhooks: Mutex::default(),
            copier: options.copier,
            client,
        });
        let tasks = TaskTracker::new();
        let (known, credentials) = oneshot::channel();
        tasks.spawn(credentials::follow(shared.clone(), known));
        tasks.spawn(stacks::watch(shared.clone()));
        let (following, workers) = (shared.clone(), tasks.clone());
        tasks.spawn(async move {
            // A private repository that is asked without them looks as if it were not there.
            let _ = credentials.await;
            let runs = |key: &EnvironmentKey, id: u64| {
                let found = |memory: &Memory| {
                    memory.syncs.iter().any(|sync| sync.id == id && sync.outcome == Outcome::Running)
                };
                // Of one that cannot be read nobody knows.
                following.records.get(key).map_or(true, |memory| found(&memory))
            };
            if let Err(error) = following.journal.close_forgotten(runs).await {
                tracing::warn!(%error, "the ledger's interrupted syncs could not be closed");
            }
            follow(following, workers).await;
        });
        Ok(Self { shared, tasks })
    }

    /// Ends all work; what was begun is gone on with after the next start.
    pub async fn stop(self) {
        self.shared.stopping.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// All environments, by namespace and name.
    pub fn list(&self) -> Vec<EnvironmentView> {
        let environments = self.shared.environments.lock();
        environments.values().map(|known| view(&environments, known)).collect()
    }

    /// The line of one environment, if there is one of this name.
    pub fn line(&self, key: &EnvironmentKey) -> Option<EnvironmentView> {
        let environments = self.shared.environments.lock();
        environments.get(key).map(|known| view(&environments, known))
    }

    /// The environment of this name; `namespace` may be left out while the name is in one namespace only.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub fn find(&self, namespace: Option<&str>, name: &str) -> Result<EnvironmentKey, Error> {
        let environments = self.shared.environments.lock();
        let matches = |key: &&EnvironmentKey| {
            key.name == name && namespace.is_none_or(|namespace| namespace == key.namespace)
        };
        let found: Vec<&EnvironmentKey> = environments.keys().filter(matches).collect();
        match found.as_slice() {
            [one] => Ok((*one).clone()),
            [] => Err(Error::NoEnvironment(EnvironmentKey::new(namespace.unwrap_or("*"), name))),
            several => {
                let names: Vec<String> = several.iter().map(ToString::to_string).collect();
                Err(Error::Plan(format!("{name:?} could be {}: name the namespace", names.join(" or "))))
            }
        }
    }

    /// Everything about one environment.
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn show(&self, key: &EnvironmentKey) -> Result<EnvironmentDetail, Error> {
        let (summary, line, environment) = {
            let environments = self.shared.environments.lock();
            let known = environments.get(key).ok_or_else(|| Error::NoEnvironment(key.clone()))?;
            let summary = known.summary.lock().clone();
            (summary, view(&environments, known), known.environment.clone())
        };
        // A copy that cannot be is shown with the reason, and without what it would be called.
        let subject = self.shared.subject(&environment).ok();
        let links = subject.as_ref().map(links).unwrap_or_default();
        let copy = subject
            .and_then(|subject| copies::view(&subject, summary.naming.as_deref(), summary.open.clone()));
        let overrides = copies::overrides(
            &environment.spec.overrides,
            summary.release.as_ref(),
            &summary.conflicts,
            jiff::Timestamp::now(),
        );
        let memory = self.shared.records.get(key)?;
        Ok(EnvironmentDetail {
            summary: line,
            current: summary.release,
            suspended: summary.suspended || memory.suspended,
            holds: memory.holds.clone(),
            plan: summary.plan,
            objects: summary.objects,
            last_sync: memory.last().cloned().map(SyncRecord::without_steps),
            copy,
            overrides,
            links,
        })
    }

    /// What a sync would do now; with a revision, what it would do if the components' repositories were at that
    /// branch, tag or commit. Nothing is applied.
    ///
    /// # Errors
    /// When the environment or the revision does not exist, cannot be rendered, or the cluster does not answer.
    pub async fn plan(&self, key: &EnvironmentKey, revision: Option<&str>) -> Result<Plan, Error> {
        let (environment, _) = self.known(key)?;
        let shared = &self.shared;
        let subject = shared.subject(&environment)?;
        let memory = shared.records.get(key)?;
        let cache = shared.rendered.of_environment();
        let now = jiff::Timestamp::now();
        let finder = Finder {
            subject: &subject,
            sources: &shared.sources,
            kinds: &shared.kinds,
            // The news are the worker's.
            mailbox: None,
            cache: &cache,
            now,
            steps: &Steps::default(),
            seat: None,
        };
        let choice = revision.map_or(Choice::Spec { fresh: true }, Choice::Revision);
        let candidate = finder.find(choice).await?;
        let reader = shared.reader(now);
        let live = reader.read(&subject, &candidate.desired, &memory.inventory).await?;
        let mut plan = reader.plan(&subject, candidate.desired, &live, &memory.inventory);
        // Before the first sync there is no account that the server could be asked as.
        if !memory.syncs.is_empty() {
            let account = shared.account(&subject, &[]).await?;
            let account = Objects::of_account(shared.client.clone(), &account.user())?;
            let mut confirmed = Confirmed::default();
            reader.dry_run(&account, &mut plan, &live, &memory.inventory, &mut confirmed, true).await?;
        } else {
            plan.unasked = true;
        }
        Ok(plan)
    }

    /// Syncs now, also when automatic sync is off, and waits for the end. `None`: there was nothing to do, or the
    /// environment is suspended.
    ///
    /// # Errors
    /// When there is no such environment, or Git or the cluster cannot be read.
    pub async fn sync(
        &self,
        key: &EnvironmentKey,
        choice: SyncChoice,
        actor: &str,
    ) -> Result<Option<SyncRecord>, Error> {
        let (_, mailbox) = self.known(key)?;
        let (answer, waiting) = oneshot::channel();
        let request = SyncRequest { actor: actor.to_owned(), objects: choice.objects, answer };
        mailbox.put(Mail::Sync(request));
        waiting.await.unwrap_or(Err(Error::Stopping))
    }

    /// The syncs of an environment, newest first.
    ///
    /// # Errors
    /// When the records cannot be read.
    pub fn history(&self, key: &EnvironmentKey, limit: usize) -> Result<Vec<SyncRecord>, Error> {
        self.known(key)?;
        let memory = self.shared.records.get(key)?;
        let newest = memory.syncs.iter().rev().take(limit);
        Ok(newest.map(|sync| SyncRecord::clone(sync).without_steps()).collect())
    }

    /// Goes back: the present release is held, and `to`, or the last good one before it, takes its place. Automatic
    /// sync stays on: a newer release is deployed, the held one is not.
    ///
    /// # Errors
    /// When there is nothing to go back to.
    pub async fn rollback(
        &self,
        key: &EnvironmentKey,
        to: Option<&str>,
        actor: &str,
        reason: &str,
    ) -> Result<Hold, Error> {
        let (_, mailbox) = self.known(key)?;
        let time = jiff::Timestamp::now();
        let hold = self.shared.records.change(key, |memory| {
            let whole = || memory.syncs.iter().rev().filter(|sync| !sync.partial);
            // What was tried last is what somebody wants to leave.
            let Some(present) = whole().next() else {
                return Err(Error::NoRelease(format!("{key} has never been synced")));
            };
            let (release, content) = (present.release.clone(), present.content.clone());
            let is_older = |sync: &&SyncRecord| match to {
                Some(to) => sync.release == to,
                None => sync.content != content && memory.hold_of(&sync.release, &sync.content).is_none(),
            };
            let Some(instead) = memory.good().find(is_older).map(|sync| sync.release.clone()) else {
                return Err(Error::NoRelease(match to {
                    Some(to) => format!(
                        "{key} has no good sync of release {to}: `seaway env history` shows those it has"
                    ),
                    None => format!("{key} has no good release before {release}"),
                }));
            };
            if instead == release {
                return Err(Error::NoRelease(format!("{key} runs {release} already")));
            }
            let hold = Hold {
                release,
                content,
                instead: Some(instead.clone()),
                actor: actor.to_owned(),
                time,
                reason: reason.to_owned(),
            };
            // Who goes back to a release does not hold it any more.
            memory.holds.retain(|held| held.release != instead && held.content != hold.content);
            memory.holds.push(hold.clone());
            Ok(hold)
        })??;
        self.shared.journal.held(key, &hold, "environment.rollback").await?;
        mailbox.put(Mail::Records);
        Ok(hold)
    }

    /// Holds a release that has been synced: it is not deployed again until the hold is lifted.
    ///
    /// # Errors
    /// When the environment never had this release.
    pub async fn hold(
        &self,
        key: &EnvironmentKey,
        release: &str,
        actor: &str,
        reason: &str,
    ) -> Result<Hold, Error> {
        let (_, mailbox) = self.known(key)?;
        let time = jiff::Timestamp::now();
        let hold = self.shared.records.change(key, |memory| {
            let found = memory.syncs.iter().rev().find(|sync| sync.release == release && !sync.partial);
            let Some(found) = found else {
                return Err(Error::NoRelease(format!("{key} never had release {release}")));
            };
            let hold = Hold {
                release: found.release.clone(),
                content: found.content.clone(),
                instead: None,
                actor: actor.to_owned(),
                time,
                reason: reason.to_owned(),
            };
            memory.holds.retain(|held| held.content != hold.content);
            memory.holds.push(hold.clone());
            Ok(hold)
        })??;
        self.shared.journal.held(key, &hold, "environment.hold").await?;
        mailbox.put(Mail::Records);
        Ok(hold)
    }

    /// Lifts a hold, or all of them; returns those that were lifted.
    ///
    /// # Errors
    /// When there is no such environment.
    pub async fn lift(
        &self,
        key: &EnvironmentKey,
        release: Option<&str>,
        actor: &str,
    ) -> Result<Vec<Hold>, Error> {
        let (_, mailbox) = self.known(key)?;
        let lifted: Vec<Hold> = self.shared.records.change(key, |memory| {
            let (lifted, kept) = std::mem::take(&mut memory.holds)
                .into_iter()
                .partition(|hold| release.is_none_or(|release| hold.release == release));
            memory.holds = kept;
            lifted
        })?;
        for hold in &lifted {
            self.shared.journal.lifted(key, hold, actor).await?;
        }
        mailbox.put(Mail::Records);
        Ok(lifted)
    }

    /// Nothing is applied any more until [`Sync::resume`].
    ///
    /// # Errors
    /// When there is no such environment.
    pub async fn suspend(&self, key: &EnvironmentKey, actor: &str) -> Result<(), Error> {
        self.set_suspended(key, true, actor).await
    }

    /// Goes on after [`Sync::suspend`].
    ///
    /// # Errors
    /// When there is no such environment.
    pub async fn resume(&self, key: &EnvironmentKey, actor: &str) -> Result<(), Error> {
        self.set_suspended(key, false, actor).await
    }

    async fn set_suspended(&self, key: &EnvironmentKey, suspended: bool, actor: &str) -> Result<(), Error> {
        let (_, mailbox) = self.known(key)?;
        self.shared.records.change(key, |memory| {
            memory.suspended = suspended;
            // Who lets it go on asks for what was cancelled as well.
            if !suspended {
                memory.cancelled = None;
            }
        })?;
        let action = if suspended { "environment.suspend" } else { "environment.resume" };
        self.shared.journal.did(key, actor, action).await?;
        mailbox.put(Mail::Records);
        Ok(())
    }

    /// Somebody deletes an environment once more whose end is kept by hooks that failed: they run again. Whether there
    /// were any; it is on the disk when this returns.
    ///
    /// # Errors
    /// When the records cannot be written.
    pub fn end_again(&self, key: &EnvironmentKey) -> Result<bool, Error> {
        let Ok((environment, mailbox)) = self.known(key) else { return Ok(false) };
        let again = self.shared.records.change(key, |memory| {
            let end = memory.end.as_mut().filter(|end| end.environment == end::uid(&environment));
            end.is_some_and(end::End::again)
        })?;
        if again {
            mailbox.put(Mail::Records);
        }
        Ok(again)
    }

    /// Cancels the sync that goes on, or with `sync` that one alone: it stops before its next wave, wait or deletion.
    /// What is applied stays. The same content is not begun again by itself, also not as drift, until a person asks, the
    /// environment is resumed, or what is to run is something else. Answers once that is on disk, with the sync's id; an
    /// instant later it may end well nevertheless, when it was done already.
    ///
    /// # Errors
    /// When no sync goes on.
    pub async fn cancel(&self, key: &EnvironmentKey, sync: Option<u64>, actor: &str) -> Result<u64, Error> {
        let (_, mailbox) = self.known(key)?;
        let time = jiff::Timestamp::now();
        let id = self.shared.records.change(key, |memory| {
            let running = memory.syncs.last().filter(|last| last.outcome == Outcome::Running);
            let Some(running) = running.filter(|running| sync.is_none_or(|sync| sync == running.id)) else {
                return Err(Error::NoRelease(match sync {
                    Some(sync) => format!("sync {sync} of {key} does not go on"),
                    None => format!("no sync of {key} goes on"),
                }));
            };
            let id = running.id;
            memory.cancelled = Some(Cancellation {
                sync: id,
                release: running.release.clone(),
                content: running.content.clone(),
                actor: actor.to_owned(),
                time,
            });
            Ok(id)
        })??;
        // It is cancelled from here on, whether that can be told or not.
        mailbox.cancel(id);
        self.shared.journal.did(key, actor, "environment.cancel").await?;
        Ok(id)
    }

    /// A forge tells of a push: the repository is asked at once, and nothing else of it is believed. How many
    /// repositories are followed that are meant.
    ///
    /// # Errors
    /// When no Secret of its repository vouches for it.
    pub fn pushed(&self, webhook: &Webhook) -> Result<usize, UnsignedWebhook> {
        let urls = self.shared.webhooks.lock().verify(webhook)?;
        Ok(self.shared.sources.pushed(|repository| urls.contains(repository)))
    }

    /// Everything that goes on, as it happens. Who is too slow misses some.
    pub fn subscribe(&self) -> broadcast::Receiver<Progress> {
        self.shared.progress.subscribe()
    }

    pub(crate) fn summary(&self, key: &EnvironmentKey) -> Result<Summary, Error> {
        let environments = self.shared.environments.lock();
        let known = environments.get(key).ok_or_else(|| Error::NoEnvironment(key.clone()))?;
        Ok(known.summary.lock().clone())
    }

    pub(crate) fn mailbox(&self, key: &EnvironmentKey) -> Result<Arc<Mailbox>, Error> {
        self.known(key).map(|(_, mailbox)| mailbox)
    }

    fn known(&self, key: &EnvironmentKey) -> Result<(Environment, Arc<Mailbox>), Error> {
        let environments = self.shared.environments.lock();
        let known = environments.get(key).ok_or_else(|| Error::NoEnvironment(key.clone()))?;
        Ok((known.environment.clone(), known.mailbox.clone()))
    }
}

/// The stack's links, for this environment.
fn links(subject: &Subject) -> Vec<LinkView> {
    let values = seaway_api::LinkValues {
        environment: &subject.key.name,
        namespace: &subject.spec.destination.namespace,
        stack: &subject.spec.stack,
        class: subject.spec.class.as_str(),
    };
    let components = || subject.stack.components.iter().map(|component| component.name.as_str());
    let mut links = Vec::new();
    for link in &subject.stack.links {
        if link.is_of_components() {
            links.extend(components().map(|component| LinkView {
                name: link.name.clone(),
                component: Some(component.to_owned()),
                url: link.url_for(&values, component),
            }));
        } else {
            links.push(LinkView { name: link.name.clone(), component: None, url: link.url_for(&values, "") });
        }
    }
    links
}

fn view(environments: &BTreeMap<EnvironmentKey, Known>, known: &Known) -> EnvironmentView {
    let summary = known.summary.lock();
    let environment = &known.environment;
    let original = EnvironmentKey::of_original(&environment.spec);
    // A copy has the stack of what it copies.
    let stack = original.as_ref().and_then(|key| environments.get(key)).unwrap_or(known);
    EnvironmentView {
        name: environment.metadata.name.clone().unwrap_or_default(),
        namespace: environment.metadata.namespace.clone().unwrap_or_default(),
        class: environment.spec.class.as_str().to_owned(),
        stack: stack.environment.spec.stack.clone(),
        release: summary.release.as_ref().map(crate::release::Release::name),
        revision: summary.release.as_ref().map(crate::release::Release::revision),
        sync: summary.sync,
        health: summary.health.status,
        message: summary.message(),
        copy_of: original.map(|key| key.to_string()),
        owner: environment.metadata.namespace.as_deref().and_then(seaway_api::owner).map(str::to_owned),
        expires: environment.spec.expires.clone(),
        deployed: summary.deployed.clone(),
    }
}
