//! What is remembered of a sync while it goes on and when it has ended.

use std::sync::Arc;

use jiff::Timestamp;
use seaway_git::{CommitId, RepositoryUrl};

use super::Worker;
use crate::candidate::{Candidate, view};
use crate::end::{EndHook, hooks_of};
use crate::error::Error;
use crate::executor::Done;
use crate::mailbox::Mail;
use crate::plan::{Action, InventoryEntry, Plan};
use crate::records::{Cancellation, Memory};
use crate::sources::MAX_COMMITS;
use crate::steps::{StepState, Steps};
use crate::subject::Subject;
use crate::view::{CommitView, ObjectOutcome, Outcome, SyncRecord, Trigger};

/// More objects, and more fields of one, are counted and not named.
const MAX_TOLD: usize = 3;

impl Worker {
    /// Records that a sync begins, or goes on after an interruption.
    pub(super) async fn begin(
        &self,
        candidate: &Candidate,
        trigger: Trigger,
        partial: bool,
        actor: &str,
    ) -> Result<SyncRecord, Error> {
        let memory = self.shared.records.get(&self.key)?;
        let same = |sync: &SyncRecord| sync.content == candidate.content && sync.partial == partial;
        let last = memory.last();
        // A person who asks for what goes on already waits for it: its hooks do not run once more. One that puts drift back
        // has none, and chosen objects may be others.
        let is_other =
            |last: &SyncRecord| trigger == Trigger::Person && (partial || last.trigger == Trigger::Drift);
        if let Some(last) = last
            && last.outcome == Outcome::Running
            && !is_other(last)
            && same(last)
        {
            return Ok(last.clone());
        }
        self.close_open(&memory).await?;
        // Who keeps out what runs now has asked for what comes in its place.
        let actor = match trigger {
            Trigger::Rollback => {
                let held = memory.last_good().and_then(|runs| memory.hold_of(&runs.release, &runs.content));
                held.map_or(actor, |hold| &hold.actor)
            }
            _ => actor,
        };
        let before = last.filter(|last| trigger == Trigger::Retry && same(last));
        let mut record = SyncRecord {
            id: 0,
            release: candidate.release.name(),
            revision: candidate.release.revision(),
            content: candidate.content.clone(),
            definition: candidate.release.clone(),
            actor: actor.to_owned(),
            trigger,
            partial,
            attempts: before.map_or(1, |before| before.attempts + 1),
            started: Timestamp::now(),
            finished: None,
            outcome: Outcome::Running,
            message: String::new(),
            commits: self.commits(candidate, &memory).await,
            objects: Vec::new(),
            waves: Vec::new(),
            steps: Vec::new(),
        };
        record.id = self.shared.journal.begin(&self.key, &record).await?;
        let remembered = Arc::new(record.clone());
        let remember = move |memory: &mut Memory| {
            memory.put(remembered);
            memory.cancelled = None;
        };
        self.shared.remember(&self.key, remember).await?;
        Ok(record)
    }

    /// What lies between the last good release and this one; the newest commits alone when that is not known.
    async fn commits(&self, candidate: &Candidate, memory: &Memory) -> Vec<CommitView> {
        let mut commits = Vec::new();
        for newest in &candidate.commits {
            let of = |release: &crate::release::Release| {
                let found = release.component(&newest.component)?;
                let commit: CommitId = found.commit.parse().ok()?;
                let url: RepositoryUrl = found.repo.parse().ok()?;
                Some((url, commit))
            };
            let new = of(&candidate.release);
            let old = memory.last_good().and_then(|good| of(&good.definition));
            let range = match (&new, &old) {
                (Some((url, new)), Some((old_url, old))) if url == old_url && new != old => {
                    let mirrors = &self.shared.sources.mirrors;
                    mirrors.commits_between(url, Some(old), new, MAX_COMMITS).await.ok()
                }
                _ => None,
            };
            match range.filter(|range| !range.commits.is_empty()) {
                Some(range) => commits.extend(range.commits.iter().map(|c| view(&newest.component, c))),
                None => commits.push(newest.clone()),
            }
        }
        commits
    }

    /// Records how a sync ended, and with a release that was brought as a whole the hooks of its end. One that something
    /// newer interrupts stays open: the next look decides whether it goes on or is superseded.
    pub(super) async fn finish(
        &self,
        mut record: SyncRecord,
        done: Done,
        result: &Result<(), Error>,
        steps: &Steps,
        end_hooks: Vec<EndHook>,
    ) -> Result<SyncRecord, Error> {
        let touched = !done.inventory.is_empty() || !done.objects.is_empty();
        let inventory: Vec<_> = done.inventory.into_values().collect();
        record.objects.extend(done.objects);
        record.waves.extend(done.waves);
        let cancelled = self.shared.records.get(&self.key)?.cancellation_of(record.id).cloned();
        match (result, cancelled) {
            (Ok(()), _) => {
                steps.close(StepState::Succeeded);
                record.outcome = Outcome::Succeeded;
                if record.trigger == Trigger::Drift {
                    record.message = reverted(&record.objects);
                }
                record.finished = Some(Timestamp::now());
            }
            (Err(Error::Superseded), _) => {}
            // Also one that fails just then: nobody wants it to be tried again.
            (Err(_), Some(cancelled)) => {
                steps.close(StepState::Cancelled);
                record.outcome = Outcome::Cancelled;
                record.message = cancelled_by(&cancelled);
                record.finished = Some(Timestamp::now());
            }
            (Err(error), None) => {
                steps.close(StepState::Failed);
                record.outcome = Outcome::Failed;
                record.message = error.to_string();
                record.finished = Some(Timestamp::now());
            }
        }
        record.steps = steps.all();
        if record.finished.is_some() {
            // Most syncs change objects, and leave the same ones.
            let known = self.shared.records.get(&self.key)?.inventory.clone();
            let is_same = |(known, now): (&InventoryEntry, &InventoryEntry)| {
                (&known.object, &known.uid) == (&now.object, &now.uid)
            };
            let others = known.len() != inventory.len() || !known.iter().zip(&inventory).all(is_same);
            let inventory = (touched && others).then_some(inventory.as_slice());
            self.shared.journal.finish(&self.key, &record, inventory).await?;
        }
        let remembered = Arc::new(record.clone());
        let remember = move |memory: &mut Memory| {
            if touched {
                memory.inventory = Arc::new(inventory);
            }
            // It had ended before it could be stopped.
            if remembered.outcome == Outcome::Succeeded && memory.cancellation_of(remembered.id).is_some() {
                memory.cancelled = None;
            }
            if remembered.outcome == Outcome::Succeeded
                && !remembered.partial
                && *memory.end_hooks != end_hooks
            {
                memory.end_hooks = Arc::new(end_hooks);
            }
            memory.put(remembered);
        };
        self.shared.remember(&self.key, remember).await?;
        if record.outcome == Outcome::Succeeded && !record.partial {
            self.shared.tell_copies(&self.key, || Mail::Source);
        }
        Ok(record)
    }

    /// The last release that knew nothing of hooks of the end kept none: those of what runs are kept from now on.
    pub(super) async fn keep_end_hooks(
        &self,
        subject: &Subject,
        memory: &Memory,
        content: &str,
        plan: &Plan,
    ) -> Result<(), Error> {
        let runs = memory.last_good().is_some_and(|good| good.content == content);
        let refused = plan
            .objects
            .iter()
            .any(|planned| !planned.options.at_end.is_empty() && planned.action.is_blocking());
        if !runs || refused || subject.copied.is_some() {
            return Ok(());
        }
        let hooks = hooks_of(plan, &subject.stack.health_check_exprs);
        if *memory.end_hooks == hooks {
            return Ok(());
        }
        self.shared.remember(&self.key, move |memory| memory.end_hooks = Arc::new(hooks)).await
    }

    /// A sync that was interrupted and is not gone on with has been superseded, or cancelled.
    pub(super) async fn close_open(&self, memory: &Memory) -> Result<(), Error> {
        let Some(last) = memory.last().filter(|last| last.outcome == Outcome::Running) else {
            return Ok(());
        };
        let mut closed = last.clone();
        match memory.cancellation_of(closed.id) {
            Some(cancelled) => {
                closed.outcome = Outcome::Cancelled;
                closed.message = cancelled_by(cancelled);
            }
            None => closed.outcome = Outcome::Superseded,
        }
        closed.finished = Some(Timestamp::now());
        self.shared.journal.finish(&self.key, &closed, None).await?;
        self.shared.remember(&self.key, move |memory| memory.put(Arc::new(closed))).await
    }
}

/// What was put back, and who had changed it.
fn reverted(objects: &[ObjectOutcome]) -> String {
    let done = |outcome: &&ObjectOutcome| matches!(outcome.action, Action::Create | Action::Change);
    let mut words: Vec<String> = Vec::new();
    for outcome in objects.iter().filter(done) {
        let object = format!("{} {}", outcome.object.kind, outcome.object.name);
        if outcome.action == Action::Create {
            words.push(format!("made {object} again, which was deleted"));
            continue;
        }
        let fields = match outcome.fields.as_slice() {
            [] => "fields".to_owned(),
            few if few.len() <= MAX_TOLD => few.join(", "),
            [first, rest @ ..] => format!("{first} and {} more fields", rest.len()),
        };
        let by = match outcome.reverted_from.as_slice() {
            [] => String::new(),
            managers => format!(", changed by {}", managers.join(", ")),
        };
        words.push(format!("put back {fields} of {object}{by}"));
    }
    let more = words.len().saturating_sub(MAX_TOLD);
    words.truncate(MAX_TOLD);
    if more > 0 {
        words.push(format!("and {more} more objects"));
    }
    words.join("; ")
}

fn cancelled_by(cancelled: &Cancellation) -> String {
    format!("cancelled by {}", cancelled.actor)
}
