//! Releases that must not be deployed.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, Row as _, SqliteConnection};

use crate::database::{stored, time};
use crate::event::EventRow;
use crate::{Error, Ledger, NewEvent, limits};

/// A hold that is placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewHold {
    /// Namespace and name.
    pub environment: String,
    /// The release that must not be deployed there.
    pub release: String,
    /// Who places it.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// When.
    pub placed: Timestamp,
}

/// A release that must not be deployed in an environment until a person lifts the hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hold {
    /// Grows with every hold, and is never given twice.
    pub id: i64,
    /// See [`NewHold::environment`].
    pub environment: String,
    /// See [`NewHold::release`].
    pub release: String,
    /// See [`NewHold::actor`].
    pub actor: String,
    /// See [`NewHold::reason`].
    pub reason: String,
    /// See [`NewHold::placed`].
    pub placed: Timestamp,
    /// When it was lifted; absent while it holds.
    pub lifted: Option<Timestamp>,
    /// Who lifted it.
    pub lifted_by: Option<String>,
}

impl Ledger {
    /// Places a hold, and records `event` with it. When the release is held there already, that hold is returned and
    /// nothing is written.
    pub async fn place_hold(&self, hold: NewHold, event: Option<NewEvent>) -> Result<Hold, Error> {
        limits::name("environment", &hold.environment)?;
        limits::name("release", &hold.release)?;
        limits::name("actor", &hold.actor)?;
        limits::text("reason", &hold.reason)?;
        let event = event.map(EventRow::checked).transpose()?;
        let sorted = self.sorter();
        self.write(move |connection| {
            Box::pin(async move {
                let known = sqlx::query_as(
                    "SELECT * FROM hold WHERE environment = ?1 AND release = ?2 AND lifted IS NULL",
                )
                .bind(hold.environment.clone())
                .bind(hold.release.clone())
                .fetch_optional(&mut *connection)
                .await
                .map_err(&sorted)?;
                if let Some(known) = known {
                    return Ok(known);
                }
                let placed = sqlx::query_as(
                    "INSERT INTO hold (environment, release, actor, reason, placed)
                     VALUES (?1, ?2, ?3, ?4, ?5) RETURNING *",
                )
                .bind(hold.environment)
                .bind(hold.release)
                .bind(hold.actor)
                .bind(hold.reason)
                .bind(stored(hold.placed))
                .fetch_one(&mut *connection)
                .await
                .map_err(&sorted)?;
                with_event(connection, event).await.map_err(&sorted)?;
                Ok(placed)
            })
        })
        .await
    }

    /// Lifts the hold on a release, and records `event` with it. `None`, and nothing is written, when the release is
    /// not held.
    pub async fn lift_hold(
        &self,
        environment: &str,
        release: &str,
        actor: &str,
        lifted: Timestamp,
        event: Option<NewEvent>,
    ) -> Result<Option<Hold>, Error> {
        limits::name("actor", actor)?;
        let event = event.map(EventRow::checked).transpose()?;
        let [environment, release, actor] = [environment, release, actor].map(str::to_owned);
        let sorted = self.sorter();
        self.write(move |connection| {
            Box::pin(async move {
                let hold: Option<Hold> = sqlx::query_as(
                    "UPDATE hold SET lifted = ?3, lifted_by = ?4
                     WHERE environment = ?1 AND release = ?2 AND lifted IS NULL RETURNING *",
                )
                .bind(environment)
                .bind(release)
                .bind(stored(lifted))
                .bind(actor)
                .fetch_optional(&mut *connection)
                .await
                .map_err(&sorted)?;
                if hold.is_some() {
                    with_event(connection, event).await.map_err(&sorted)?;
                }
                Ok(hold)
            })
        })
        .await
    }

    /// What is held in an environment now, oldest first.
    pub async fn holds(&self, environment: &str) -> Result<Vec<Hold>, Error> {
        let rows = sqlx::query_as("SELECT * FROM hold WHERE environment = ?1 AND lifted IS NULL ORDER BY id")
            .bind(environment.to_owned())
            .fetch_all(&mut *self.reader().await?)
            .await;
        rows.map_err(|error| self.sorted(error))
    }

    /// Every hold that an environment ever had, newest first, at most [`crate::MAX_PAGE`].
    pub async fn hold_history(&self, environment: &str) -> Result<Vec<Hold>, Error> {
        let rows = sqlx::query_as("SELECT * FROM hold WHERE environment = ?1 ORDER BY id DESC LIMIT ?2")
            .bind(environment.to_owned())
            .bind(i64::try_from(crate::MAX_PAGE).unwrap_or(i64::MAX))
            .fetch_all(&mut *self.reader().await?)
            .await;
        rows.map_err(|error| self.sorted(error))
    }
}

async fn with_event(connection: &mut SqliteConnection, event: Option<EventRow>) -> Result<(), sqlx::Error> {
    match event {
        Some(event) => event.insert(connection).await.map(drop),
        None => Ok(()),
    }
}

impl<'r> FromRow<'r, SqliteRow> for Hold {
    fn from_row(row: &'r SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.try_get("id")?,
            environment: row.try_get("environment")?,
            release: row.try_get("release")?,
            actor: row.try_get("actor")?,
            reason: row.try_get("reason")?,
            placed: time(row.try_get("placed")?)?,
            lifted: row.try_get::<Option<i64>, _>("lifted")?.map(time).transpose()?,
            lifted_by: row.try_get("lifted_by")?,
        })
    }
}
