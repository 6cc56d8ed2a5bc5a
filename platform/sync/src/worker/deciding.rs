//! What an environment should run, and whether a look applies it.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::{FIRST_PAUSE, Worker, backoff};
use crate::candidate::{Candidate, Choice, Finder};
use crate::error::Error;
use crate::mailbox::SyncRequest;
use crate::plan::Plan;
use crate::queue::Seat;
use crate::records::Memory;
use crate::steps::{StepKind, Steps};
use crate::subject::Subject;
use crate::view::{Outcome, Trigger};

/// What an environment should run.
pub(super) struct Chosen {
    pub(super) candidate: Candidate,
    /// Why that is not what Git says.
    pub(super) broken: Option<Error>,
    pub(super) held: Option<String>,
}

/// Whether a look applies it.
pub(super) enum Decision {
    Nothing,
    Wait(Duration),
    Apply(Trigger),
}

impl Worker {
    /// What the environment should run: what Git says, unless that is held or cannot be rendered.
    pub(super) async fn choose(
        &self,
        subject: &Subject,
        memory: &Memory,
        asked: bool,
        now: Timestamp,
        steps: &Steps,
        seat: &Seat<'_>,
    ) -> Result<Chosen, Error> {
        let shared = &self.shared;
        let finder = |cache| Finder {
            subject,
            sources: &shared.sources,
            kinds: &shared.kinds,
            mailbox: Some(&self.mailbox),
            cache,
            now,
            steps,
            seat: Some(seat),
        };
        let found = finder(&self.followed).find(Choice::Spec { fresh: asked }).await;
        let (broken, held, instead, why) = match found {
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
                let why = format!("{} is held by {}{reason}", candidate.release.revision(), hold.actor);
                (None, Some(held), instead, why)
            }
            // What runs is looked after while Git is broken.
            Err(error) => match memory.last_unheld() {
                Some(last) => {
                    let why = format!("what Git says cannot be had: {error}");
                    (Some(error), None, last, why)
                }
                None => return Err(error),
            },
        };
        // Whoever reads the timeline sees what was found, and that it is not what is applied.
        let definition = &instead.definition;
        let title = format!("Take {} ({}) instead", instead.release, definition.revision());
        steps.begin("instead", None, StepKind::Instead, title, None);
        steps.succeed("instead", &why);
        match finder(&self.fallback).find(Choice::Release(definition)).await {
            Ok(candidate) => Ok(Chosen { candidate, broken, held }),
            Err(error) => Err(broken.unwrap_or(error)),
        }
    }

    /// Whether it is applied now, and why.
    pub(super) fn decide(
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
        if memory.cancelled_content(&candidate.content).is_some() {
            return Decision::Nothing;
        }
        let policy = &subject.spec.sync;
        let last = memory.last();
        let current = memory.last_good().is_some_and(|good| good.content == candidate.content);
        let unfinished = last.is_some_and(|last| {
            last.content == candidate.content && last.outcome == Outcome::Running && !last.partial
        });
        let due = if unfinished || !current {
            policy.automated || memory.is_gone_back_to(candidate.release.name().as_str())
        } else if plan.is_in_sync() || plan.waits_for_people() {
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
}
