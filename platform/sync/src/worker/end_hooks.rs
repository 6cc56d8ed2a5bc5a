//! Hooks of an environment's end: before anything is deleted, and after all of it is (Argo CD's PreDelete and PostDelete).

use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt as _;
use seaway_api::environment::Environment;
use seaway_object::identity;
use serde_json::Value;

use super::Worker;
use super::apply::WAVE_DEADLINE;
use crate::account::Account;
use crate::candidate::{Choice, Finder};
use crate::cluster::{Objects, Refusal};
use crate::desired::Desired;
use crate::error::Error;
use crate::health::{HealthStatus, health};
use crate::hooks::{END_RUN, HOOK_RUN};
use crate::options::{EndPhase, HookDeletion, Propagation};
use crate::steps::Steps;
use crate::subject::Subject;

/// On an Environment: it ends without its hooks.
const SKIP: &str = "seaway.dev/skip-end-hooks";
/// So often the hooks are asked of a repository that does not answer: its environments must come to an end as well.
const ATTEMPTS: u32 = 5;

impl Worker {
    /// The hooks of the end of what was deployed last, the first wave first.
    ///
    /// # Errors
    /// When they cannot be rendered; after some attempts there are none.
    pub(super) async fn hooks_of_the_end(
        &self,
        environment: &Environment,
        subject: &Subject,
    ) -> Result<Vec<Desired>, Error> {
        let memory = self.shared.records.get(&self.key)?;
        let Some(last) = memory.last_good() else { return Ok(Vec::new()) };
        let finder = Finder {
            subject,
            sources: &self.shared.sources,
            kinds: &self.shared.kinds,
            mailbox: None,
            cache: &self.fallback,
            now: Timestamp::now(),
            steps: &Steps::default(),
            seat: None,
        };
        match finder.find(Choice::Release(&last.definition)).await {
            Ok(found) => {
                let mut hooks = found.desired;
                hooks.retain(|object| !object.options.at_end.is_empty());
                hooks.sort_by(|a, b| (a.options.wave, &a.id).cmp(&(b.options.wave, &b.id)));
                Ok(hooks)
            }
            Err(error) if self.ending > ATTEMPTS || skips(environment) => {
                let message = format!("ends without hooks of its end, if it has any: {error}");
                tracing::warn!(environment = %self.key, "{message}");
                self.tell(None, message, None);
                Ok(Vec::new())
            }
            Err(error) => {
                self.show_ending(environment, format!("cannot see whether hooks are to run: {error}")).await;
                Err(error)
            }
        }
    }

    /// Runs the hooks of a phase, one wave after the other; whether something is still waited for.
    pub(super) async fn run_end_hooks(
        &self,
        environment: &Environment,
        account: &Account,
        hooks: &[Desired],
        phase: EndPhase,
    ) -> Result<bool, Error> {
        if skips(environment) {
            return Ok(false);
        }
        let mut waves: Vec<i32> = Vec::new();
        for hook in hooks.iter().filter(|hook| hook.options.at_end.contains(&phase)) {
            if waves.last() != Some(&hook.options.wave) {
                waves.push(hook.options.wave);
            }
        }
        let objects = Objects::of_account(self.shared.client.clone(), &account.user())?;
        let mut bound = false;
        for wave in waves {
            let mut waits = Vec::new();
            let of_wave = |hook: &&Desired| hook.options.wave == wave && hook.options.at_end.contains(&phase);
            for hook in hooks.iter().filter(of_wave) {
                let live = match self.end_hook_that_runs(environment, hook, phase, &objects).await? {
                    Some(live) => live,
                    None => {
                        if !bound {
                            account.bind_for_the_end(&self.shared.client).await?;
                            bound = true;
                        }
                        self.begin_end_hook(environment, hook, phase, &objects).await?
                    }
                };
                let found = health(&live);
                let deadline = hook.options.deadline.unwrap_or(WAVE_DEADLINE);
                let why = match found.status {
                    status if status.is_settled() => continue,
                    HealthStatus::Degraded => format!("failed: {}", found.message),
                    _ if age(&live) > deadline => format!("is not done in time: {}", found.message),
                    _ => {
                        waits.push(format!("{} ({})", hook.id, found.message));
                        continue;
                    }
                };
                let message = format!(
                    "the hook {} {why}: delete it to run it again, or annotate the Environment with {SKIP}=true",
                    hook.id
                );
                self.show_ending(environment, message.clone()).await;
                return Err(Error::Unhealthy(message));
            }
            if !waits.is_empty() {
                self.show_ending(environment, format!("waits for the hooks {}", waits.join(", "))).await;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The hook as it runs for this very end; one of an earlier Environment of the name is taken away.
    async fn end_hook_that_runs(
        &self,
        environment: &Environment,
        hook: &Desired,
        phase: EndPhase,
        objects: &Objects,
    ) -> Result<Option<Value>, Error> {
        let kind = self.kind_of(hook).await?;
        let refused = |error| Error::cluster(hook.id.to_string(), error);
        let Some(live) = self.shared.objects.get(&kind, &hook.id).await.map_err(refused)? else {
            return Ok(None);
        };
        if identity::annotation(&live, HOOK_RUN) == Some(run(environment, phase).as_str()) {
            return Ok(Some(live));
        }
        if !hook.options.hook_deletion.contains(&HookDeletion::Never) {
            let uid = identity::uid(&live).map(str::to_owned);
            objects
                .delete(&kind, &hook.id, uid.as_deref(), Propagation::Background)
                .await
                .map_err(refused)?;
        }
        Ok(None)
    }

    async fn begin_end_hook(
        &self,
        environment: &Environment,
        hook: &Desired,
        phase: EndPhase,
        objects: &Objects,
    ) -> Result<Value, Error> {
        let kind = self.kind_of(hook).await?;
        let mut value = hook.value.clone();
        value["metadata"]["annotations"][HOOK_RUN] = run(environment, phase).into();
        self.tell(None, format!("runs {} ({})", hook.id, phase.as_str()), None);
        objects.apply(&kind, &hook.id, &value, false, true).await.map_err(|refusal| match refusal {
            Refusal::Conflict { message, .. } => {
                Error::Cluster { what: hook.id.to_string(), message, code: 409 }
            }
            Refusal::Other(error) => Error::cluster(hook.id.to_string(), error),
        })
    }

    /// Deletes what the hooks have left, but for what asks to stay.
    pub(super) async fn delete_end_hooks(&self, account: &Account, hooks: &[Desired]) -> Result<(), Error> {
        let objects = Objects::of_account(self.shared.client.clone(), &account.user())?;
        for hook in hooks.iter().filter(|hook| !hook.options.hook_deletion.contains(&HookDeletion::Never)) {
            let kind = self.kind_of(hook).await?;
            let deleted = objects.delete(&kind, &hook.id, None, Propagation::Background).await;
            deleted.map_err(|error| Error::cluster(hook.id.to_string(), error))?;
        }
        Ok(())
    }

    async fn kind_of(&self, hook: &Desired) -> Result<std::sync::Arc<crate::cluster::Kind>, Error> {
        let found = self.shared.kinds.get(&hook.kind).await;
        found.map_err(|error| Error::cluster(format!("kind {}", hook.kind), error))?.ok_or_else(|| {
            Error::Plan(format!("{}: the cluster does not know the kind {}", hook.id, hook.kind))
        })
    }
}

fn skips(environment: &Environment) -> bool {
    environment.annotations().get(SKIP).is_some_and(|word| word == "true")
}

/// What is noted on a hook: for which end it runs.
fn run(environment: &Environment, phase: EndPhase) -> String {
    format!("{END_RUN}{}/{}", environment.metadata.uid.as_deref().unwrap_or_default(), phase.as_str())
}

fn age(live: &Value) -> Duration {
    let made = live.pointer("/metadata/creationTimestamp").and_then(Value::as_str);
    let made: Option<Timestamp> = made.and_then(|text| text.parse().ok());
    made.and_then(|made| Duration::try_from(Timestamp::now().duration_since(made)).ok()).unwrap_or_default()
}
