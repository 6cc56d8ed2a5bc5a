//! What happened.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, QueryBuilder, Row as _, Sqlite, SqliteConnection};

use crate::database::{json, stored, time};
use crate::{Error, Ledger, Page, limits};

/// What happened, before it has an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// When.
    pub time: Timestamp,
    /// Who: a person's or a service account's name.
    pub actor: String,
    /// What was done, such as `environment.sync`.
    pub action: String,
    /// To what, such as `Environment/seaway/production`.
    pub object: String,
    /// The release that it was about.
    pub release: Option<String>,
    /// How it ended, such as `succeeded` or `denied`.
    pub outcome: String,
    /// The rest. No secret values.
    pub detail: Value,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// Grows with every event, and is never given twice.
    pub id: i64,
    /// See [`NewEvent::time`]; not always in the order of the ids.
    pub time: Timestamp,
    /// See [`NewEvent::actor`].
    pub actor: String,
    /// See [`NewEvent::action`].
    pub action: String,
    /// See [`NewEvent::object`].
    pub object: String,
    /// See [`NewEvent::release`].
    pub release: Option<String>,
    /// See [`NewEvent::outcome`].
    pub outcome: String,
    /// See [`NewEvent::detail`].
    pub detail: Value,
}

/// In which order events are read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// As people read history.
    #[default]
    NewestFirst,
    /// As a reader follows it.
    OldestFirst,
}

/// Which events are wanted: those for which everything that is set holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Exactly this object.
    pub object: Option<String>,
    /// An object that begins so.
    pub object_prefix: Option<String>,
    /// Exactly this action.
    pub action: Option<String>,
    /// An action that begins so.
    pub action_prefix: Option<String>,
    /// Exactly this actor.
    pub actor: Option<String>,
    /// Exactly this release.
    pub release: Option<String>,
    /// Exactly this outcome.
    pub outcome: Option<String>,
    /// Exactly this `address` in the detail.
    pub address: Option<String>,
    /// At this time or later.
    pub since: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
    /// With a larger id.
    pub after: Option<i64>,
    /// With a smaller id.
    pub before: Option<i64>,
    /// In which order.
    pub order: Order,
}

impl Ledger {
    /// Writes an event. When this returns its id, the event is on the disk.
    pub async fn append(&self, event: NewEvent) -> Result<i64, Error> {
        let row = EventRow::checked(event)?;
        let sorted = self.sorter();
        self.write(move |connection| Box::pin(async move { row.insert(connection).await.map_err(sorted) }))
            .await
    }

    /// Events that match, at most `limit` of them ([`crate::MAX_PAGE`] at the most).
    pub async fn events(&self, filter: &EventFilter, limit: usize) -> Result<Page<Event>, Error> {
        let mut query = QueryBuilder::<Sqlite>::new(
            "SELECT id, time, actor, action, object, release, outcome, detail FROM event WHERE TRUE",
        );
        let texts = [
            (" AND object = ", &filter.object),
            (" AND action = ", &filter.action),
            (" AND actor = ", &filter.actor),
            (" AND release = ", &filter.release),
            (" AND outcome = ", &filter.outcome),
            (" AND detail ->> 'address' = ", &filter.address),
        ];
        for (condition, value) in texts {
            if let Some(value) = value {
                query.push(condition).push_bind(value.clone());
            }
        }
        for (condition, prefix) in [("object", &filter.object_prefix), ("action", &filter.action_prefix)] {
            if let Some(prefix) = prefix {
                // Above everything that begins so; an index finds both ends.
                query.push(format!(" AND {condition} >= ")).push_bind(prefix.clone());
                query.push(format!(" AND {condition} < ")).push_bind(format!("{prefix}\u{10FFFF}"));
            }
        }
        let numbers = [
            (" AND time >= ", filter.since.map(stored)),
            (" AND time < ", filter.until.map(stored)),
            (" AND id > ", filter.after),
            (" AND id < ", filter.before),
        ];
        for (condition, value) in numbers {
            if let Some(value) = value {
                query.push(condition).push_bind(value);
            }
        }
        query.push(match filter.order {
            Order::NewestFirst => " ORDER BY id DESC LIMIT ",
            Order::OldestFirst => " ORDER BY id LIMIT ",
        });
        query.push_bind(Page::<Event>::rows(limit));
        let rows = query.build_query_as().fetch_all(&mut *self.reader().await?).await;
        Ok(Page::of(rows.map_err(|error| self.sorted(error))?, limit))
    }
}

impl<'r> FromRow<'r, SqliteRow> for Event {
    fn from_row(row: &'r SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.try_get("id")?,
            time: time(row.try_get("time")?)?,
            actor: row.try_get("actor")?,
            action: row.try_get("action")?,
            object: row.try_get("object")?,
            release: row.try_get("release")?,
            outcome: row.try_get("outcome")?,
            detail: json(row.try_get("detail")?)?,
        })
    }
}

/// An event that may be written.
pub(crate) struct EventRow {
    event: NewEvent,
    detail: String,
}

impl EventRow {
    pub(crate) fn checked(event: NewEvent) -> Result<Self, Error> {
        limits::name("actor", &event.actor)?;
        limits::name("action", &event.action)?;
        limits::name("object", &event.object)?;
        limits::optional_name("release", event.release.as_deref().unwrap_or_default())?;
        limits::name("outcome", &event.outcome)?;
        let detail = limits::json("detail", &event.detail)?;
        Ok(Self { event, detail })
    }

    /// The event's id.
    pub(crate) async fn insert(self, connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
        let Self { event, detail } = self;
        let done = sqlx::query(
            "INSERT INTO event (time, actor, action, object, release, outcome, detail)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )
        .bind(stored(event.time))
        .bind(event.actor)
        .bind(event.action)
        .bind(event.object)
        .bind(event.release)
        .bind(event.outcome)
        .bind(detail)
        .execute(connection)
        .await?;
        Ok(done.last_insert_rowid())
    }
}
