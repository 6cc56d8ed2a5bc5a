//! The file: a row for each route and slot that had requests.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow,
    SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _};
use tokio::sync::Mutex;

use super::{BUCKETS, TrafficError};

/// The format of the file, in SQLite's `user_version`.
const FORMAT: i64 = 1;
/// How many reads go on at once.
const READERS: u32 = 2;

/// The requests of a slot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    pub(crate) buckets: [u64; BUCKETS],
}

/// The requests of several slots together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sum {
    /// When they begin, in seconds since 1970.
    pub(crate) time: i64,
    pub(crate) slot: Slot,
}

pub(crate) struct Store {
    file: PathBuf,
    /// The connection, gone once it is closed, and how many rows there are.
    writer: Mutex<(Option<SqliteConnection>, u64)>,
    readers: SqlitePool,
    /// Most rows that are kept.
    most: u64,
}

fn columns(write: impl Fn(usize) -> String) -> String {
    (0..BUCKETS).map(write).collect::<Vec<_>>().join(", ")
}

fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

impl Store {
    pub(crate) async fn open(file: &Path, most: u64) -> Result<Self, TrafficError> {
        let failed = |source| TrafficError::File { file: file.to_owned(), source };
        let options =
            SqliteConnectOptions::new().filename(file).create_if_missing(true).disable_statement_logging();
        let mut writer = options
            .clone()
            .journal_mode(SqliteJournalMode::Wal)
            // The last seconds of measurements may be lost with the machine, the file not.
            .synchronous(SqliteSynchronous::Normal)
            .connect()
            .await
            .map_err(failed)?;
        let found: i64 =
            sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut writer).await.map_err(failed)?;
        let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema")
            .fetch_one(&mut writer)
            .await
            .map_err(failed)?;
        if found != FORMAT && (found != 0 || tables != 0) {
            return Err(TrafficError::Format { file: file.to_owned(), found, known: FORMAT });
        }
        if found == 0 {
            let buckets = columns(|index| format!("bucket{index} INTEGER NOT NULL"));
            let schema = format!(
                "BEGIN IMMEDIATE;
                 CREATE TABLE slot (
                     namespace TEXT NOT NULL, route TEXT NOT NULL, time INTEGER NOT NULL,
                     requests INTEGER NOT NULL, errors INTEGER NOT NULL, {buckets},
                     PRIMARY KEY (namespace, route, time)
                 ) STRICT, WITHOUT ROWID;
                 CREATE INDEX slot_time ON slot (time);
                 PRAGMA user_version = {FORMAT};
                 COMMIT;"
            );
            sqlx::raw_sql(AssertSqlSafe(schema)).execute(&mut writer).await.map_err(failed)?;
        }
        let rows: i64 =
            sqlx::query_scalar("SELECT count(*) FROM slot").fetch_one(&mut writer).await.map_err(failed)?;
        let readers =
            SqlitePoolOptions::new().max_connections(READERS).connect_lazy_with(options.read_only(true));
        let writer = Mutex::new((Some(writer), rows.unsigned_abs()));
        Ok(Self { file: file.to_owned(), writer, readers, most })
    }

    fn failed(&self, source: sqlx::Error) -> TrafficError {
        TrafficError::File { file: self.file.clone(), source }
    }

    /// Adds requests to the slot that begins at `time`, and forgets what is older than `oldest` or too much.
    pub(crate) async fn add(
        &self,
        time: i64,
        slots: HashMap<(String, String), Slot>,
        oldest: i64,
    ) -> Result<(), TrafficError> {
        let mut guard = self.writer.lock().await;
        let (writer, rows) = &mut *guard;
        let Some(writer) = writer else { return Err(self.failed(sqlx::Error::PoolClosed)) };
        let most = self.most;
        let before = *rows;
        let write = async {
            let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
            let mut rows = before;
            let names = columns(|index| format!("bucket{index}"));
            let values = columns(|index| format!("?{}", index + 6));
            let sums = columns(|index| format!("bucket{index} = bucket{index} + excluded.bucket{index}"));
            let statement = format!(
                "INSERT INTO slot (namespace, route, time, requests, errors, {names})
                 VALUES (?1, ?2, ?3, ?4, ?5, {values})
                 ON CONFLICT DO UPDATE SET requests = requests + excluded.requests,
                     errors = errors + excluded.errors, {sums}"
            );
            for ((namespace, route), slot) in slots {
                let there: bool = sqlx::query_scalar(
                    "SELECT EXISTS (SELECT 1 FROM slot WHERE namespace = ?1 AND route = ?2 AND time = ?3)",
                )
                .bind(&namespace)
                .bind(&route)
                .bind(time)
                .fetch_one(&mut *transaction)
                .await?;
                let mut query = sqlx::query(AssertSqlSafe(statement.as_str()))
                    .bind(namespace)
                    .bind(route)
                    .bind(time)
                    .bind(number(slot.requests))
                    .bind(number(slot.errors));
                for bucket in slot.buckets {
                    query = query.bind(number(bucket));
                }
                query.execute(&mut *transaction).await?;
                rows += u64::from(!there);
            }
            let old = sqlx::query("DELETE FROM slot WHERE time < ?1")
                .bind(oldest)
                .execute(&mut *transaction)
                .await?;
            rows = rows.saturating_sub(old.rows_affected());
            if rows > most {
                let surplus = sqlx::query(
                    "DELETE FROM slot WHERE time <= (SELECT time FROM slot ORDER BY time LIMIT 1 OFFSET ?1)",
                )
                .bind(number(rows - most - 1))
                .execute(&mut *transaction)
                .await?;
                rows = rows.saturating_sub(surplus.rows_affected());
            }
            transaction.commit().await?;
            Ok(rows)
        };
        *rows = write.await.map_err(|error| self.failed(error))?;
        Ok(())
    }

    /// See [`super::Reader::read`].
    pub(crate) async fn read(
        &self,
        routes: &[(String, String)],
        since: i64,
        step: i64,
    ) -> Result<Vec<Sum>, TrafficError> {
        if routes.is_empty() {
            return Ok(Vec::new());
        }
        // As JSON, since the number of routes is not known: one parameter for all of them.
        let wanted = serde_json::to_string(routes).unwrap_or_default();
        let sums = columns(|index| format!("sum(bucket{index}) AS bucket{index}"));
        let query = format!(
            "SELECT slot.time / ?2 * ?2 AS step, sum(requests) AS requests, sum(errors) AS errors, {sums}
             FROM json_each(?1) AS wanted JOIN slot
                 ON slot.namespace = wanted.value ->> 0 AND slot.route = wanted.value ->> 1 AND slot.time >= ?3
             GROUP BY step ORDER BY step"
        );
        let rows = sqlx::query(AssertSqlSafe(query))
            .bind(wanted)
            .bind(step)
            .bind(since)
            .try_map(|row: SqliteRow| {
                let count = |name: &str| row.try_get::<i64, _>(name).map(i64::unsigned_abs);
                let mut buckets = [0; BUCKETS];
                for (index, bucket) in buckets.iter_mut().enumerate() {
                    *bucket = count(&format!("bucket{index}"))?;
                }
                let slot = Slot { requests: count("requests")?, errors: count("errors")?, buckets };
                Ok(Sum { time: row.try_get("step")?, slot })
            })
            .fetch_all(&self.readers)
            .await;
        rows.map_err(|error| self.failed(error))
    }

    pub(crate) async fn close(&self) {
        self.readers.close().await;
        if let Some(writer) = self.writer.lock().await.0.take()
            && let Err(error) = writer.close().await
        {
            tracing::warn!(%error, "the measurements did not close cleanly; the next start recovers them");
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn one(route: &str, requests: u64) -> HashMap<(String, String), Slot> {
        let slot = Slot { requests, ..Slot::default() };
        HashMap::from([(("shop".to_owned(), route.to_owned()), slot)])
    }

    fn names(routes: &[&str]) -> Vec<(String, String)> {
        routes.iter().map(|route| ("shop".to_owned(), (*route).to_owned())).collect()
    }

    async fn told(store: &Store, routes: &[&str], since: i64, step: i64) -> Vec<(i64, u64)> {
        let sums = store.read(&names(routes), since, step).await.unwrap();
        sums.into_iter().map(|sum| (sum.time, sum.slot.requests)).collect()
    }

    #[tokio::test]
    async fn routes_and_slots_are_summed_up() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("traffic.db"), 100).await.unwrap();
        for (time, route, requests) in
            [(0, "web", 1), (10, "web", 2), (10, "api", 4), (10, "web", 8), (60, "web", 16)]
        {
            store.add(time, one(route, requests), -100).await.unwrap();
        }
        assert_eq!(told(&store, &["web"], 0, 10).await, [(0, 1), (10, 10), (60, 16)]);
        assert_eq!(told(&store, &["web", "api"], 0, 60).await, [(0, 15), (60, 16)]);
        assert_eq!(told(&store, &["web"], 10, 60).await, [(0, 10), (60, 16)]);
        assert_eq!(told(&store, &["w%", "' OR 1=1 --"], 0, 10).await, []);
        assert_eq!(told(&store, &[], 0, 10).await, []);
        store.close().await;
    }

    #[tokio::test]
    async fn what_is_old_or_too_much_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("traffic.db");
        let store = Store::open(&file, 20).await.unwrap();
        for slot in 0..50 {
            store.add(slot * 10, one("web", 1), 0).await.unwrap();
            store.add(slot * 10, one("api", 1), 0).await.unwrap();
        }
        let web = told(&store, &["web"], 0, 10).await;
        assert_eq!((web.len(), web[0].0), (10, 400), "the newest 20 rows of both");
        store.close().await;
        // Also when it begins with too many.
        let store = Store::open(&file, 4).await.unwrap();
        store.add(500, one("web", 1), 490).await.unwrap();
        assert_eq!(
            told(&store, &["web", "api"], 0, 10).await,
            [(490, 2), (500, 1)],
            "what is old goes first"
        );
        store.close().await;
    }

    #[tokio::test]
    async fn another_file_is_named_and_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("traffic.db");
        std::fs::write(&file, "this is no database, and somebody may want it").unwrap();
        let error = Store::open(&file, 1).await.map(drop).unwrap_err().to_string();
        assert!(error.contains("traffic.db") && error.contains("may be removed"), "{error}");
        assert!(std::fs::read_to_string(&file).unwrap().starts_with("this is no"));
        std::fs::remove_file(&file).unwrap();
        let store = Store::open(&file, 1).await.unwrap();
        sqlx::query("PRAGMA user_version = 7")
            .execute(store.writer.lock().await.0.as_mut().unwrap())
            .await
            .unwrap();
        store.close().await;
        let error = Store::open(&file, 1).await.map(drop).unwrap_err().to_string();
        assert!(error.contains("format 7"), "{error}");
    }
}
