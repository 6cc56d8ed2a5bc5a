//! Waiting until what was applied is healthy.

use std::time::{Duration, Instant};

use seaway_object::ObjectId;

use super::Executor;
use super::advice::{failure_advice, late_advice};
use super::wave::Wave;
use crate::error::Error;
use crate::health::{Health, HealthStatus};
use crate::order::Stage;
use crate::plan::{Action, PlannedObject};

/// How often what does not tell is looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// An object that is waited for.
pub(super) struct Open {
    pub(super) id: ObjectId,
    /// Which, and what it says.
    pub(super) why: String,
    /// Since its wave began.
    pub(super) deadline: Duration,
}

impl Executor<'_> {
    /// Waits until all are healthy; says what was waited for last.
    pub(super) async fn wait(
        &self,
        component: &str,
        stage: &Stage,
        step: &Wave,
        members: &[&PlannedObject],
    ) -> Result<Option<String>, Error> {
        let mut changes = self.cache.subscribe(self.apply_set);
        let began = Instant::now();
        let mut waited_for: Option<String> = None;
        // What pods say is asked for once a wait turns out to be one.
        let mut is_long = false;
        loop {
            changes.mark_unchanged();
            let mut open = self.unsettled(step, members)?;
            if open.is_empty() {
                return Ok(waited_for);
            }
            self.turn.lock().take();
            if is_long {
                self.ask_pods(&mut open).await;
            }
            let Some(first) = open.first() else { return Ok(waited_for) };
            if waited_for.as_ref() != Some(&first.why) {
                (self.progress)(format!(
                    "{component}: {} wave {} waits for {}",
                    stage.phase.as_str(),
                    stage.wave,
                    first.why
                ));
                waited_for = Some(first.why.clone());
            }
            let Some(next) = open.iter().min_by_key(|open| open.deadline) else { return Ok(waited_for) };
            let left = next.deadline.saturating_sub(began.elapsed());
            if left.is_zero() {
                return Err(Error::Unhealthy(format!(
                    "{component}: {} wave {} is not healthy after {} s: {}{}",
                    stage.phase.as_str(),
                    stage.wave,
                    next.deadline.as_secs(),
                    next.why,
                    late_advice(&next.id)
                )));
            }
            tokio::select! {
                // Who cancels it wants no other attempt, also where something newer has come.
                biased;
                () = self.mailbox.cancelled(self.sync) => return Err(Error::Cancelled),
                () = self.mailbox.preempts() => return Err(Error::Superseded),
                _ = changes.changed() => {}
                () = tokio::time::sleep(left.min(LOOK_AGAIN)) => is_long = true,
            }
        }
    }

    /// The objects that are not healthy yet. The steps of all of them are brought up to date.
    fn unsettled(&self, step: &Wave, members: &[&PlannedObject]) -> Result<Vec<Open>, Error> {
        let mut open = Vec::new();
        for object in members {
            let id = object.object.id();
            let live = self.cache.get(&id);
            // It was there when it was planned, and would not come back by waiting: the next look makes it again.
            if live.is_none() && object.action == Action::Unchanged {
                return Err(Error::Superseded);
            }
            let found = match live {
                Some(live) => self.rules.health(&live),
                None => Health::new(HealthStatus::Missing, "is not there"),
            };
            let object_step = step.object_id(&object.object);
            if found.status.is_settled() {
                self.steps.succeed(&object_step, &found.message);
                continue;
            }
            step.begin(self.steps);
            step.begin_object(self.steps, &object.object);
            if found.status == HealthStatus::Missing
                && matches!(object.action, Action::Create | Action::Change)
            {
                return Err(Error::Unhealthy(format!("{id} was deleted while it was waited for")));
            }
            // What ran and failed does not become better by waiting.
            let ran = object.options.is_hook() || matches!(object.object.kind.as_str(), "Job");
            if ran && found.status == HealthStatus::Degraded {
                self.steps.fail(&object_step, &found.message);
                let message = format!("{id} failed: {}{}", found.message, failure_advice(&id));
                return Err(Error::Unhealthy(message));
            }
            self.steps.note(&object_step, &found.message);
            open.push(Open {
                id: id.clone(),
                why: format!("{id}: {}", found.message),
                deadline: object.options.deadline.unwrap_or(self.deadline),
            });
        }
        Ok(open)
    }
}
