//! What is forgotten.

use jiff::Timestamp;
use sqlx::{QueryBuilder, Sqlite};

use crate::database::stored;
use crate::{Error, Ledger};

/// Rows that are removed in one transaction: others write in between.
const ROWS: i64 = 500;
/// So many of the newest syncs of an environment, and of those that succeeded, stay whatever is asked for: what runs
/// and where a rollback can go is never forgotten.
const KEPT_SYNCS: i64 = 10;

/// What may be forgotten. Holds and inventories are not history and always stay, and so do syncs without an end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retention {
    /// Events and syncs from before this time.
    pub before: Option<Timestamp>,
    /// The oldest events, when there are more than this.
    pub max_events: Option<u32>,
    /// The oldest syncs of each environment, when it has more than this. At least ten stay.
    pub max_syncs: Option<u32>,
}

/// How much was forgotten.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removed {
    /// Events.
    pub events: u64,
    /// Syncs.
    pub syncs: u64,
}

impl Ledger {
    /// Forgets what `retention` allows to. Ids are not given again.
    pub async fn forget(&self, retention: Retention) -> Result<Removed, Error> {
        let mut removed = Removed::default();
        let surplus: Option<i64> = match retention.max_events {
            None => None,
            // The newest of those that are too many.
            Some(kept) => sqlx::query_scalar("SELECT id FROM event ORDER BY id DESC LIMIT 1 OFFSET ?1")
                .bind(i64::from(kept))
                .fetch_optional(&mut *self.reader().await?)
                .await
                .map_err(|error| self.sorted(error))?,
        };
        if let Some(surplus) = surplus {
            removed.events += self.remove_events("id <= ?1", surplus).await?;
        }
        if let Some(before) = retention.before {
            removed.events += self.remove_events("time < ?1", stored(before)).await?;
        }
        removed.syncs = self.remove_syncs(retention).await?;
        Ok(removed)
    }

    async fn remove_events(&self, condition: &'static str, value: i64) -> Result<u64, Error> {
        let mut removed = 0;
        loop {
            let statement = format!(
                "DELETE FROM event WHERE id IN (SELECT id FROM event WHERE {condition} LIMIT {ROWS})"
            );
            let sorted = self.sorter();
            let rows = self
                .write(move |connection| {
                    Box::pin(async move {
                        // The condition is one of the two above.
                        let query = sqlx::query(sqlx::AssertSqlSafe(statement)).bind(value);
                        query.execute(connection).await.map(|done| done.rows_affected()).map_err(sorted)
                    })
                })
                .await?;
            if rows == 0 {
                return Ok(removed);
            }
            removed += rows;
        }
    }

    async fn remove_syncs(&self, retention: Retention) -> Result<u64, Error> {
        if retention.before.is_none() && retention.max_syncs.is_none() {
            return Ok(0);
        }
        // Reading is the long part; it keeps nobody from writing.
        let ids: Vec<i64> = sqlx::query_scalar(
            "SELECT id FROM (
                 SELECT id, started, finished, outcome,
                     row_number() OVER (PARTITION BY environment ORDER BY id DESC) AS place,
                     row_number() OVER (PARTITION BY environment, outcome ORDER BY id DESC) AS place_of_outcome
                 FROM sync)
             WHERE finished IS NOT NULL AND (started < ?1 OR place > ?2) AND place > ?3
                 AND NOT (outcome = 'succeeded' AND place_of_outcome <= ?3)",
        )
        .bind(retention.before.map_or(i64::MIN, stored))
        .bind(retention.max_syncs.map_or(i64::MAX, i64::from))
        .bind(KEPT_SYNCS)
        .fetch_all(&mut *self.reader().await?)
        .await
        .map_err(|error| self.sorted(error))?;
        let mut removed = 0;
        for ids in ids.chunks(usize::try_from(ROWS).unwrap_or(1)) {
            let (ids, sorted) = (ids.to_vec(), self.sorter());
            removed += self
                .write(move |connection| {
                    Box::pin(async move {
                        let mut delete = QueryBuilder::<Sqlite>::new("DELETE FROM sync WHERE id IN (");
                        let mut list = delete.separated(", ");
                        for id in ids {
                            list.push_bind(id);
                        }
                        delete.push(")");
                        let done = delete.build().execute(connection).await;
                        done.map(|done| done.rows_affected()).map_err(sorted)
                    })
                })
                .await?;
        }
        Ok(removed)
    }
}
