//! What goes into the ledger: each sync with its commits, changes and timings, and what people did.

use jiff::Timestamp;
use seaway_ledger::{Ledger, NewEvent, NewHold, NewSync, SyncCommit, SyncEnd, SyncOutcome};
use serde_json::{Value, json};

use crate::error::Error;
use crate::plan::InventoryEntry;
use crate::view::{EnvironmentKey, Hold, Outcome, SyncRecord, Trigger};

/// Longer revisions are cut, in bytes.
const MAX_REVISION: usize = 1000;

/// The ledger, as syncs write it.
#[derive(Clone)]
pub(crate) struct Journal(pub(crate) Ledger);

impl Journal {
    /// A sync begins; its id.
    pub(crate) async fn begin(&self, key: &EnvironmentKey, record: &SyncRecord) -> Result<u64, Error> {
        let commits = record.commits.iter().map(|commit| SyncCommit {
            id: commit.commit.clone(),
            author: commit.author.clone(),
            email: commit.email.clone(),
            time: commit.time,
            subject: commit.subject.clone(),
        });
        let sync = NewSync {
            environment: key.to_string(),
            // Many components have many commits.
            revision: record.revision[..record.revision.floor_char_boundary(MAX_REVISION)].to_owned(),
            release: record.release.clone(),
            trigger: match record.trigger {
                Trigger::Release => seaway_ledger::Trigger::Poll,
                Trigger::Drift => seaway_ledger::Trigger::SelfHeal,
                Trigger::Person => seaway_ledger::Trigger::Manual,
                Trigger::Rollback => seaway_ledger::Trigger::Rollback,
                Trigger::Retry => seaway_ledger::Trigger::Retry,
            },
            actor: record.actor.clone(),
            commits: commits.collect(),
            started: record.started,
        };
        let id = self.0.begin_sync(sync, None).await.map_err(fail)?;
        u64::try_from(id).map_err(|_| Error::Records(format!("{id} is not the id of a sync")))
    }

    /// A sync has ended.
    pub(crate) async fn finish(
        &self,
        key: &EnvironmentKey,
        record: &SyncRecord,
        inventory: Option<&[InventoryEntry]>,
    ) -> Result<(), Error> {
        let finished = record.finished.unwrap_or(record.started);
        let outcome = match record.outcome {
            Outcome::Succeeded => SyncOutcome::Succeeded,
            Outcome::Failed => SyncOutcome::Failed,
            Outcome::Superseded => SyncOutcome::Superseded,
            Outcome::Cancelled => SyncOutcome::Cancelled,
            Outcome::Running => SyncOutcome::Interrupted,
        };
        let inventory = inventory.map(|entries| {
            let entries = entries.iter().map(|entry| seaway_ledger::InventoryEntry {
                group: entry.object.group.clone(),
                kind: entry.object.kind.clone(),
                namespace: entry.object.namespace.clone().unwrap_or_default(),
                name: entry.object.name.clone(),
                uid: entry.uid.clone(),
            });
            entries.collect()
        });
        let event = NewEvent {
            release: Some(record.release.clone()),
            ..event(
                key,
                finished,
                &record.actor,
                "environment.sync",
                word(record.outcome),
                json!({
                    "sync": record.id, "revision": record.revision, "trigger": record.trigger,
                    "objects": record.objects.len(), "message": record.message,
                }),
            )
        };
        let end = SyncEnd {
            finished,
            outcome,
            message: record.message.clone(),
            changes: serde_json::to_value(&record.objects).unwrap_or_default(),
            timings: serde_json::to_value(&record.waves).unwrap_or_default(),
            inventory,
        };
        let id =
            i64::try_from(record.id).map_err(|_| Error::Records("the id of a sync is too large".into()))?;
        match self.0.finish_sync(id, end, vec![event]).await {
            // It ended in the ledger just before the process did.
            Ok(()) | Err(seaway_ledger::Error::NoOpenSync { .. }) => Ok(()),
            Err(error) => Err(fail(error)),
        }
    }

    /// Ends the syncs that the last process began and remembered nothing of: it died right after. `remembered` says which
    /// are gone on with.
    pub(crate) async fn close_forgotten(
        &self,
        remembered: impl Fn(&EnvironmentKey, u64) -> bool,
    ) -> Result<(), Error> {
        loop {
            let open = self.0.open_syncs().await.map_err(fail)?;
            let forgotten = open.iter().filter(|sync| {
                let key = sync
                    .environment
                    .split_once('/')
                    .map(|(namespace, name)| EnvironmentKey::new(namespace, name));
                !key.zip(u64::try_from(sync.id).ok()).is_some_and(|(key, id)| remembered(&key, id))
            });
            let mut closed = 0;
            for sync in forgotten {
                let end = SyncEnd {
                    finished: Timestamp::now(),
                    outcome: SyncOutcome::Interrupted,
                    message: "Seaway ended before it began to apply".to_owned(),
                    changes: Value::Array(Vec::new()),
                    timings: Value::Array(Vec::new()),
                    inventory: None,
                };
                self.0.finish_sync(sync.id, end, Vec::new()).await.map_err(fail)?;
                closed += 1;
            }
            // There may be more than one page of them.
            if closed == 0 {
                return Ok(());
            }
        }
    }

    /// A person held a release.
    pub(crate) async fn held(&self, key: &EnvironmentKey, hold: &Hold, action: &str) -> Result<(), Error> {
        let detail = json!({"reason": hold.reason, "instead": hold.instead});
        let event = NewEvent {
            release: Some(hold.release.clone()),
            ..event(key, hold.time, &hold.actor, action, "succeeded", detail)
        };
        let new = NewHold {
            environment: key.to_string(),
            release: hold.release.clone(),
            actor: hold.actor.clone(),
            reason: hold.reason.clone(),
            placed: hold.time,
        };
        self.0.place_hold(new, Some(event)).await.map(drop).map_err(fail)
    }

    /// A person lifted a hold.
    pub(crate) async fn lifted(&self, key: &EnvironmentKey, hold: &Hold, actor: &str) -> Result<(), Error> {
        let now = Timestamp::now();
        let event = NewEvent {
            release: Some(hold.release.clone()),
            ..event(key, now, actor, "environment.lift", "succeeded", json!({}))
        };
        let lifted = self.0.lift_hold(&key.to_string(), &hold.release, actor, now, Some(event)).await;
        lifted.map(drop).map_err(fail)
    }

    /// An override has ended, as what it proposed has come home.
    pub(crate) async fn ended_override(&self, key: &EnvironmentKey, component: &str) -> Result<(), Error> {
        let detail = json!({"component": component, "reason": "its proposal was merged"});
        let event = event(key, Timestamp::now(), "seaway", "environment.override.end", "succeeded", detail);
        self.0.append(event).await.map(drop).map_err(fail)
    }

    /// The branch of an override does not merge with what is upstream.
    pub(crate) async fn override_conflict(
        &self,
        key: &EnvironmentKey,
        component: &str,
        why: &str,
    ) -> Result<(), Error> {
        let detail = json!({"component": component, "reason": why});
        let event = event(key, Timestamp::now(), "seaway", "environment.override.conflict", "failed", detail);
        self.0.append(event).await.map(drop).map_err(fail)
    }

    /// Something of an environment ends soon.
    pub(crate) async fn expiring(&self, key: &EnvironmentKey, words: &str) -> Result<(), Error> {
        let detail = json!({"message": words});
        let event = event(key, Timestamp::now(), "seaway", "environment.expiring", "requested", detail);
        self.0.append(event).await.map(drop).map_err(fail)
    }

    /// A person did something else.
    pub(crate) async fn did(&self, key: &EnvironmentKey, actor: &str, action: &str) -> Result<(), Error> {
        let event = event(key, Timestamp::now(), actor, action, "succeeded", json!({}));
        self.0.append(event).await.map(drop).map_err(fail)
    }
}

fn event(
    key: &EnvironmentKey,
    time: Timestamp,
    actor: &str,
    action: &str,
    outcome: &str,
    detail: Value,
) -> NewEvent {
    NewEvent {
        time,
        actor: actor.to_owned(),
        action: action.to_owned(),
        object: format!("Environment/{key}"),
        release: None,
        outcome: outcome.to_owned(),
        detail,
    }
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Running => "interrupted",
        Outcome::Succeeded => "succeeded",
        Outcome::Failed => "failed",
        Outcome::Superseded => "superseded",
        Outcome::Cancelled => "cancelled",
    }
}

fn fail(error: seaway_ledger::Error) -> Error {
    Error::Records(error.to_string())
}
