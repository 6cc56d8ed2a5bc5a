//! The end of an environment: what it applied goes, then its account, then its records.

use std::cmp::Reverse;
use std::time::Duration;

use jiff::Timestamp;
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use seaway_api::environment::{Environment, Override};
use seaway_object::order::install_rank;
use seaway_object::{GroupVersionKind, ObjectId};
use serde_json::json;

use super::{SETTLE, Worker, leaving};
use crate::account::{Account, delete_namespace, namespaces_of};
use crate::applyset;
use crate::cluster::Objects;
use crate::deletion::{subject_at_end, watch_left_by_hooks};
use crate::end::{Stage, skips};
use crate::error::Error;
use crate::mailbox::Mail;
use crate::options::{EndPhase, Propagation};
use crate::plan::PlannedObject;
use crate::proposal::came_home;
use crate::subject::Subject;

/// Until an expired environment is looked at again.
const EXPIRE_PAUSE: Duration = Duration::from_secs(5);
/// What ends an Environment waits for this finalizer.
const FINALIZER: &str = "seaway.dev/environment";

/// Whether an Environment waits for its end here.
pub(crate) fn is_held(environment: &Environment) -> bool {
    let finalizers = environment.metadata.finalizers.as_ref();
    finalizers.is_some_and(|finalizers| finalizers.iter().any(|finalizer| finalizer == FINALIZER))
}

impl Worker {
    pub(super) async fn ensure_finalizer(&self, environment: &Environment) -> Result<(), Error> {
        if is_held(environment) {
            return Ok(());
        }
        let mut finalizers = environment.metadata.finalizers.clone().unwrap_or_default();
        finalizers.push(FINALIZER.to_owned());
        match self.patch_finalizers(environment, &finalizers).await {
            // Somebody was faster, and it is looked at again as soon as that is known here.
            Err(Error::Cluster { code: 409, .. }) => {
                tokio::time::sleep(SETTLE).await;
                Err(Error::Superseded)
            }
            other => other,
        }
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

    /// Ends overrides whose proposal has come home; whether there were any. The spec is another one then.
    pub(super) async fn end_overrides(
        &self,
        environment: &Environment,
        subject: &Subject,
    ) -> Result<bool, Error> {
        let home = came_home(&self.shared, environment, subject).await;
        if home.is_empty() {
            return Ok(false);
        }
        let rest: Vec<&Override> =
            environment.spec.overrides.iter().filter(|one| !home.contains(&one.component)).collect();
        let api: Api<Environment> = Api::namespaced(self.shared.client.clone(), &self.key.namespace);
        let patch = json!({"metadata": {"resourceVersion": environment.metadata.resource_version},
            "spec": {"overrides": rest}});
        match api.patch(&self.key.name, &PatchParams::default(), &Patch::Merge(patch)).await {
            Ok(changed) => {
                self.shared.seen(changed);
                for component in &home {
                    self.tell(None, format!("the override of {component} has come home and ends"), None);
                    self.shared.journal.ended_override(&self.key, component).await?;
                }
                Ok(true)
            }
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
            // Changed just now, often by the status of the look before, which is no news by itself: looked at again as soon
            // as that is known here.
            Err(kube::Error::Api(status)) if status.code == 409 => {
                tokio::time::sleep(SETTLE).await;
                self.mailbox.put(Mail::Source);
                Ok(true)
            }
            Err(error) => Err(Error::cluster(format!("the overrides of {}", self.key), error)),
        }
    }

    /// The environment's time is over: it is deleted, as if a person had done it. Says when to look again.
    pub(super) async fn expire(&self, environment: &Environment, expires: Timestamp) -> Duration {
        tracing::info!(environment = %self.key, %expires, "the environment has expired");
        let api: Api<Environment> = Api::namespaced(self.shared.client.clone(), &self.key.namespace);
        let this = Preconditions {
            uid: environment.metadata.uid.clone(),
            resource_version: environment.metadata.resource_version.clone(),
        };
        let parameters = DeleteParams { preconditions: Some(this), ..DeleteParams::default() };
        let deleted = async {
            self.shared.journal.did(&self.key, "seaway", "environment.expire").await?;
            match api.delete(&self.key.name, &parameters).await {
                // Gone, or extended just now.
                Ok(_) => Ok(()),
                Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
                Err(error) => Err(Error::cluster(self.key.to_string(), error)),
            }
        };
        if let Err(error) = deleted.await {
            tracing::warn!(environment = %self.key, %error, "an environment has expired and cannot be deleted yet");
        }
        EXPIRE_PAUSE
    }

    /// The Environment is being deleted: what it applied goes, then its account, then its records. `None` when that is
    /// done, and otherwise when it is to be looked at again.
    pub(super) async fn end(&mut self, environment: &Environment) -> Result<Option<Duration>, Error> {
        if !is_held(environment) {
            return Ok(None);
        }
        // Those of a copy hold all of it, also what its owner has put there, and protected volumes.
        if self.end_namespaces(environment).await? {
            return Ok(Some(self.ending_pause()));
        }
        let subject = subject_at_end(&self.shared, environment);
        // What was in the namespaces of a copy is gone with them, and it has no hooks of its end.
        if environment.spec.copy_of.is_none()
            && let Some(pause) = self.end_applied(environment, &subject).await?
        {
            return Ok(Some(pause));
        }
        self.end_account(environment, &subject).await.map(|()| None)
    }

    /// Between two looks at what goes: most goes at once, and some never.
    pub(super) fn ending_pause(&self) -> Duration {
        Duration::from_millis(200)
            .saturating_mul(1 << self.ending.saturating_sub(10).min(7))
            .min(Duration::from_secs(20))
    }

    /// What was applied goes, between the hooks that run before and after that. `None` when all of it is done, and
    /// otherwise when to look again.
    async fn end_applied(
        &mut self,
        environment: &Environment,
        subject: &Subject,
    ) -> Result<Option<Duration>, Error> {
        let Some(mut end) = self.end_reached(environment).await? else {
            return Ok(self.end_objects(environment, subject).await?.then(|| self.ending_pause()));
        };
        let skips = skips(environment);
        if end.stage == Stage::Before {
            if skips {
                self.tell(None, "ends without the hooks of its end".to_owned(), None);
                self.delete_end_hooks(environment, subject, |_| true).await?;
            } else if let Some(pause) =
                self.run_end_hooks(environment, subject, &end, EndPhase::BeforeDelete).await?
            {
                return Ok(Some(pause));
            }
            end = self.reach(environment, Stage::Deletion).await?;
        }
        if end.stage == Stage::Deletion {
            if self.end_objects(environment, subject).await? {
                return Ok(Some(self.ending_pause()));
            }
            end = self.reach(environment, Stage::After).await?;
        }
        if !skips
            && let Some(pause) = self.run_end_hooks(environment, subject, &end, EndPhase::AfterDelete).await?
        {
            return Ok(Some(pause));
        }
        self.delete_end_hooks(environment, subject, |_| true).await?;
        Ok(None)
    }

    /// Deletes what was applied, the last wave first, as pruning does; whether something is still there. What keeps it is
    /// told, and what stays.
    async fn end_objects(&self, environment: &Environment, subject: &Subject) -> Result<bool, Error> {
        let memory = self.shared.records.get(&self.key)?;
        if memory.inventory.is_empty() && memory.syncs.is_empty() {
            return Ok(false);
        }
        watch_left_by_hooks(&self.shared, &memory).await?;
        let account = self.shared.account(subject, &[]).await?;
        let reader = self.shared.reader(Timestamp::now());
        // As it was applied: by its own account, which may do nothing else.
        let objects = Objects::of_account(self.shared.client.clone(), &account.user())?;
        let mut bound = false;
        loop {
            let live = reader.read(subject, &[], &memory.inventory).await?;
            let plan = reader.plan(subject, Vec::new(), &live, &memory.inventory);
            let is_ending = |object: &&PlannedObject| {
                let found = live.get(&object.object.id());
                found.is_some_and(|found| found.pointer("/metadata/deletionTimestamp").is_some())
            };
            let leaves = |object: &PlannedObject| !object.held_back || is_ending(&object);
            let stage = |object: &PlannedObject| (object.options.prune_last, Reverse(object.wave));
            let Some(first) = plan.objects.iter().filter(|object| leaves(object)).map(stage).min() else {
                for object in &plan.objects {
                    self.tell(None, format!("keeps {}: {}", object.object.id(), object.message), None);
                }
                return Ok(false);
            };
            let (ending, mut gone): (Vec<_>, Vec<_>) = plan
                .objects
                .iter()
                .filter(|object| leaves(object) && stage(object) == first)
                .partition(is_ending);
            if gone.is_empty() {
                let waits: Vec<String> = ending
                    .iter()
                    .map(|object| format!("{} ({})", object.object.id(), object.message))
                    .collect();
                self.show_ending(environment, "Waiting", format!("waits for {}", waits.join(", "))).await;
                return Ok(true);
            }
            if !bound {
                // What the stack and the environment say may be less by now than what was applied.
                let account = self.shared.account(subject, &leaving(&plan)).await?;
                account.bind_for_the_end(&self.shared.client).await?;
                bound = true;
            }
            gone.sort_by_key(|object| Reverse(install_rank(&object.object.kind)));
            let mut all_gone = ending.is_empty();
            for object in gone {
                let (id, gvk) = (object.object.id(), object.object.gvk());
                let Some(kind) = self.shared.kinds.known(&gvk) else {
                    // Gone with its kind.
                    self.shared.cache.remove(&id);
                    continue;
                };
                self.tell(None, format!("deletes {id}"), None);
                let (uid, propagation) = (object.live_uid.as_deref(), object.options.propagation);
                match objects.delete(&kind, &id, uid, propagation).await {
                    // What the watch tells comes a little later.
                    Ok(true) => self.shared.cache.remove(&id),
                    Ok(false) => all_gone = false,
                    Err(error) => return Err(Error::cluster(id.to_string(), error)),
                }
            }
            if !all_gone {
                return Ok(true);
            }
        }
    }

    /// Shows what the end of the environment waits for, with a word for its condition.
    pub(super) async fn show_ending(&self, environment: &Environment, reason: &str, what: String) {
        let ending = Some((reason.to_owned(), format!("is being deleted: {what}")));
        {
            let mut summary = self.summary.lock();
            if summary.ending == ending {
                return;
            }
            summary.broken = None;
            summary.failed = None;
            summary.running = None;
            summary.ending = ending;
        }
        self.show(environment).await;
    }

    /// Deletes the namespaces of a copy; whether some are still there. What keeps them is told.
    async fn end_namespaces(&self, environment: &Environment) -> Result<bool, Error> {
        let left = namespaces_of(&self.shared.client, &self.key).await?;
        for namespace in left.iter().filter(|namespace| !namespace.ending) {
            self.tell(None, format!("deletes the namespace {}", namespace.name), None);
            delete_namespace(&self.shared.client, namespace).await?;
        }
        let waits = left.iter().map(|namespace| match namespace.why.as_str() {
            "" => format!("the namespace {}", namespace.name),
            why => format!("the namespace {} ({why})", namespace.name),
        });
        let waits: Vec<String> = waits.collect();
        if waits.is_empty() {
            return Ok(false);
        }
        self.show_ending(environment, "Waiting", format!("waits for the end of {}", waits.join(", "))).await;
        Ok(true)
    }

    /// Ends namespaces of a copy that it does not have any more, once what was in them runs elsewhere.
    pub(super) async fn end_old_namespaces(&self, subject: &Subject) -> Result<(), Error> {
        if subject.copied.is_none() {
            return Ok(());
        }
        for old in namespaces_of(&self.shared.client, &self.key).await? {
            if !old.ending && !subject.spec.destination.contains(&old.name) {
                delete_namespace(&self.shared.client, &old).await?;
            }
        }
        Ok(())
    }

    /// Deletes what says which objects belong together: none do any more. Where it may not be deleted, it keeps nothing.
    async fn delete_parent(&self, subject: &Subject, account: &Account) -> Result<(), Error> {
        let parent = applyset::parent(&subject.spec.destination.namespace, &subject.parent(), []);
        let plan = |error: seaway_object::Error| Error::Plan(error.to_string());
        let id = ObjectId::of(&parent).map_err(plan)?;
        let gvk = GroupVersionKind::of(&parent).map_err(plan)?;
        let kind = self.shared.kinds.get(&gvk).await.map_err(|error| Error::cluster("kind Secret", error))?;
        let Some(kind) = kind else { return Ok(()) };
        let objects = Objects::of_account(self.shared.client.clone(), &account.user())?;
        match objects.delete(&kind, &id, None, Propagation::default()).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if (400..500).contains(&status.code) => {
                tracing::debug!(object = %id, message = status.message, "an ApplySet's parent is left");
                Ok(())
            }
            Err(error) => Err(Error::cluster(id.to_string(), error)),
        }
    }

    async fn end_account(&self, environment: &Environment, subject: &Subject) -> Result<(), Error> {
        let account = self.shared.account(subject, &[]).await?;
        self.delete_parent(subject, &account).await?;
        account.take_back(&self.shared.client, &self.shared.bindings).await?;
        let mut rest = environment.metadata.finalizers.clone().unwrap_or_default();
        rest.retain(|finalizer| finalizer != FINALIZER);
        // The end of the Environment ends this worker: what is to be done is done before. Done again after an
        // interruption, it is told twice rather than not at all.
        self.shared.journal.did(&self.key, "seaway", "environment.delete").await?;
        self.shared.records.forget(&self.key)?;
        self.patch_finalizers(environment, &rest).await
    }
}
