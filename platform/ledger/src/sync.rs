//! Syncs of environments.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, Row as _, Sqlite, query::QueryAs, sqlite::SqliteArguments};

use crate::database::{json, stored, time};
use crate::event::EventRow;
use crate::inventory::{self, InventoryEntry};
use crate::{Error, Ledger, NewEvent, Page, limits};

/// More commits are not recorded with a sync.
const MAX_COMMITS: usize = 1000;

/// Why a sync began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Trigger {
    /// A person asked.
    Manual,
    /// A webhook told of a new revision.
    Webhook,
    /// Polling found a new revision.
    Poll,
    /// The environment or its stack was changed.
    Spec,
    /// Something in the cluster is not as it should be.
    SelfHeal,
    /// A person went back to an older release.
    Rollback,
    /// The sync before did not succeed.
    Retry,
}

/// How a sync ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum SyncOutcome {
    /// Everything is applied and healthy.
    Succeeded,
    /// Something could not be rendered, applied or did not become healthy.
    Failed,
    /// A newer revision came before the end.
    Superseded,
    /// The process ended.
    Interrupted,
    /// A person cancelled it.
    Cancelled,
}

/// A commit that a sync brought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SyncCommit {
    /// Its id.
    pub id: String,
    /// The author's name, as the commit says.
    pub author: String,
    /// The author's mail address, as the commit says.
    pub email: String,
    /// When it was written.
    pub time: Timestamp,
    /// The message's first line.
    pub subject: String,
}

/// A sync that begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSync {
    /// Namespace and name.
    pub environment: String,
    /// What is rendered, as people name it.
    pub revision: String,
    /// The hash of what will run.
    pub release: String,
    /// Why.
    pub trigger: Trigger,
    /// Who asked, or whose name Seaway acts in.
    pub actor: String,
    /// What it brings, newest first; cut after 1000.
    pub commits: Vec<SyncCommit>,
    /// When.
    pub started: Timestamp,
}

/// The end of a sync.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncEnd {
    /// When.
    pub finished: Timestamp,
    /// How.
    pub outcome: SyncOutcome,
    /// For people: what went wrong and what to do.
    pub message: String,
    /// What was created, changed and removed.
    pub changes: Value,
    /// How long each wave and object took, and what it waited for.
    pub timings: Value,
    /// What is in the cluster now; `None` leaves the inventory as it is.
    pub inventory: Option<Vec<InventoryEntry>>,
}

/// A sync as recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SyncRecord {
    /// Grows with every sync, and is never given twice.
    pub id: i64,
    /// See [`NewSync::environment`].
    pub environment: String,
    /// See [`NewSync::revision`].
    pub revision: String,
    /// See [`NewSync::release`].
    pub release: String,
    /// See [`NewSync::trigger`].
    pub trigger: Trigger,
    /// See [`NewSync::actor`].
    pub actor: String,
    /// See [`NewSync::commits`].
    pub commits: Vec<SyncCommit>,
    /// See [`NewSync::started`].
    pub started: Timestamp,
    /// See [`SyncEnd::finished`]; absent while it goes on, or when the process died before its end.
    pub finished: Option<Timestamp>,
    /// See [`SyncEnd::outcome`].
    pub outcome: Option<SyncOutcome>,
    /// See [`SyncEnd::message`].
    pub message: String,
    /// See [`SyncEnd::changes`].
    pub changes: Value,
    /// See [`SyncEnd::timings`].
    pub timings: Value,
}

const COLUMNS: &str = "SELECT id, environment, revision, release, trigger, actor, commits, started, finished,
    outcome, message, changes, timings FROM sync";

impl Ledger {
    /// Records that a sync begins, and `event` with it; the sync's id.
    pub async fn begin_sync(&self, sync: NewSync, event: Option<NewEvent>) -> Result<i64, Error> {
        limits::name("environment", &sync.environment)?;
        limits::optional_name("revision", &sync.revision)?;
        limits::name("release", &sync.release)?;
        limits::name("actor", &sync.actor)?;
        let recorded = &sync.commits[..sync.commits.len().min(MAX_COMMITS)];
        let commits = limits::json("commits", &encoded(&recorded))?;
        let trigger = word(&sync.trigger);
        let event = event.map(EventRow::checked).transpose()?;
        let sorted = self.sorter();
        self.write(move |connection| {
            Box::pin(async move {
                let done = sqlx::query(
                    "INSERT INTO sync (environment, revision, release, trigger, actor, commits, started)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                )
                .bind(sync.environment)
                .bind(sync.revision)
                .bind(sync.release)
                .bind(trigger)
                .bind(sync.actor)
                .bind(commits)
                .bind(stored(sync.started))
                .execute(&mut *connection)
                .await
                .map_err(&sorted)?;
                if let Some(event) = event {
                    event.insert(connection).await.map_err(&sorted)?;
                }
                Ok(done.last_insert_rowid())
            })
        })
        .await
    }

    /// Records how a sync ended, what it left in the cluster, and `events`: all of it or nothing.
    pub async fn finish_sync(&self, id: i64, end: SyncEnd, events: Vec<NewEvent>) -> Result<(), Error> {
        limits::text("message", &end.message)?;
        let changes = limits::json("changes", &end.changes)?;
        let timings = limits::json("timings", &end.timings)?;
        let outcome = word(&end.outcome);
        if let Some(entries) = &end.inventory {
            inventory::check(entries)?;
        }
        let events = events.into_iter().map(EventRow::checked).collect::<Result<Vec<_>, _>>()?;
        let sorted = self.sorter();
        self.write(move |connection| {
            Box::pin(async move {
                let environment: Option<String> = sqlx::query_scalar(
                    "UPDATE sync SET finished = ?2, outcome = ?3, message = ?4, changes = ?5, timings = ?6
                     WHERE id = ?1 AND finished IS NULL RETURNING environment",
                )
                .bind(id)
                .bind(stored(end.finished))
                .bind(outcome)
                .bind(end.message)
                .bind(changes)
                .bind(timings)
                .fetch_optional(&mut *connection)
                .await
                .map_err(&sorted)?;
                let environment = environment.ok_or(Error::NoOpenSync { id })?;
                if let Some(entries) = end.inventory {
                    inventory::replace(connection, &environment, id, &entries).await.map_err(&sorted)?;
                }
                for event in events {
                    event.insert(connection).await.map_err(&sorted)?;
                }
                Ok(())
            })
        })
        .await
    }

    /// One sync.
    pub async fn sync(&self, id: i64) -> Result<Option<SyncRecord>, Error> {
        let found = query("WHERE id = ?1").bind(id).fetch_optional(&mut *self.reader().await?).await;
        found.map_err(|error| self.sorted(error))
    }

    /// The syncs of an environment, newest first, with ids below `before`; at most `limit` of them
    /// ([`crate::MAX_PAGE`] at the most).
    pub async fn syncs(
        &self,
        environment: &str,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Page<SyncRecord>, Error> {
        let rows = query("WHERE environment = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3")
            .bind(environment.to_owned())
            .bind(before.unwrap_or(i64::MAX))
            .bind(Page::<SyncRecord>::rows(limit))
            .fetch_all(&mut *self.reader().await?)
            .await;
        Ok(Page::of(rows.map_err(|error| self.sorted(error))?, limit))
    }

    /// The newest sync of an environment that succeeded and, when given, was not of the release `other_than`: where a
    /// rollback goes.
    pub async fn last_succeeded_sync(
        &self,
        environment: &str,
        other_than: Option<&str>,
    ) -> Result<Option<SyncRecord>, Error> {
        let found = query(
            "WHERE environment = ?1 AND outcome = 'succeeded' AND (?2 IS NULL OR release <> ?2)
             ORDER BY id DESC LIMIT 1",
        )
        .bind(environment.to_owned())
        .bind(other_than.map(str::to_owned))
        .fetch_optional(&mut *self.reader().await?)
        .await;
        found.map_err(|error| self.sorted(error))
    }

    /// The syncs without an end, oldest first: after a start, those that the process before left behind. At most
    /// [`crate::MAX_PAGE`] of them; finish them and ask again.
    pub async fn open_syncs(&self) -> Result<Vec<SyncRecord>, Error> {
        let rows = query("WHERE finished IS NULL ORDER BY id LIMIT ?1")
            .bind(i64::try_from(crate::MAX_PAGE).unwrap_or(i64::MAX))
            .fetch_all(&mut *self.reader().await?)
            .await;
        rows.map_err(|error| self.sorted(error))
    }
}

fn query(condition: &str) -> QueryAs<'static, Sqlite, SyncRecord, SqliteArguments> {
    // Both parts are texts of this file.
    sqlx::query_as(sqlx::AssertSqlSafe(format!("{COLUMNS} {condition}")))
}

impl<'r> FromRow<'r, SqliteRow> for SyncRecord {
    fn from_row(row: &'r SqliteRow) -> Result<Self, sqlx::Error> {
        let value = |column: &str| -> Result<Value, sqlx::Error> {
            row.try_get::<Option<&str>, _>(column)?.map_or(Ok(Value::Null), json)
        };
        Ok(Self {
            id: row.try_get("id")?,
            environment: row.try_get("environment")?,
            revision: row.try_get("revision")?,
            release: row.try_get("release")?,
            trigger: from_word(row.try_get("trigger")?)?,
            actor: row.try_get("actor")?,
            commits: json(row.try_get("commits")?)?,
            started: time(row.try_get("started")?)?,
            finished: row.try_get::<Option<i64>, _>("finished")?.map(time).transpose()?,
            outcome: row.try_get::<Option<String>, _>("outcome")?.map(from_word).transpose()?,
            message: row.try_get::<Option<String>, _>("message")?.unwrap_or_default(),
            changes: value("changes")?,
            timings: value("timings")?,
        })
    }
}

fn encoded(value: &impl Serialize) -> Value {
    serde_json::to_value(value).expect("these types hold texts, times and lists, which JSON has")
}

/// An enumeration as stored: the same word as in JSON.
fn word(value: &impl Serialize) -> String {
    encoded(value).as_str().unwrap_or_default().to_owned()
}

fn from_word<T: serde::de::DeserializeOwned>(word: String) -> Result<T, sqlx::Error> {
    serde_json::from_value(Value::String(word)).map_err(|error| sqlx::Error::Decode(error.into()))
}
