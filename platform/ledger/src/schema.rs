//! The tables, and how an older file becomes one of this release.

use std::path::Path;

use sqlx::{Connection as _, SqliteConnection};

use crate::Error;
use crate::database::sorted;

/// Marks the file as ours ("SWLG"), in SQLite's `application_id`.
const APPLICATION: i64 = 0x5357_4c47;

/// Each brings the file from the format of its index to the next one. Times are microseconds since 1970 in UTC.
/// Never change one that was released: add another.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE event (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        time INTEGER NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL, object TEXT NOT NULL,
        release TEXT, outcome TEXT NOT NULL, detail TEXT NOT NULL
    ) STRICT;
    CREATE INDEX event_object ON event (object, id);
    CREATE INDEX event_action ON event (action, id);
    CREATE INDEX event_actor ON event (actor, id);
    CREATE INDEX event_time ON event (time);
    CREATE TRIGGER event_is_final BEFORE UPDATE ON event
        BEGIN SELECT RAISE(ABORT, 'events are never changed'); END;

    CREATE TABLE sync (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        environment TEXT NOT NULL, revision TEXT NOT NULL, release TEXT NOT NULL, trigger TEXT NOT NULL,
        actor TEXT NOT NULL, commits TEXT NOT NULL, started INTEGER NOT NULL,
        finished INTEGER, outcome TEXT, message TEXT, changes TEXT, timings TEXT
    ) STRICT;
    CREATE INDEX sync_environment ON sync (environment, id);
    CREATE INDEX sync_open ON sync (id) WHERE finished IS NULL;
    CREATE TRIGGER sync_is_final BEFORE UPDATE ON sync WHEN OLD.finished IS NOT NULL
        BEGIN SELECT RAISE(ABORT, 'a sync that has ended is never changed'); END;

    CREATE TABLE hold (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        environment TEXT NOT NULL, release TEXT NOT NULL, actor TEXT NOT NULL, reason TEXT NOT NULL,
        placed INTEGER NOT NULL, lifted INTEGER, lifted_by TEXT
    ) STRICT;
    CREATE UNIQUE INDEX hold_active ON hold (environment, release) WHERE lifted IS NULL;
    CREATE TRIGGER hold_stays BEFORE DELETE ON hold
        BEGIN SELECT RAISE(ABORT, 'holds are never removed'); END;

    CREATE TABLE inventory (environment TEXT PRIMARY KEY, sync INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE inventory_entry (
        environment TEXT NOT NULL REFERENCES inventory ON DELETE CASCADE,
        api_group TEXT NOT NULL, kind TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, uid TEXT NOT NULL,
        PRIMARY KEY (environment, api_group, kind, namespace, name)
    ) STRICT, WITHOUT ROWID;
"];

/// Bring the file to the format of this release, or refuse it unchanged.
pub(crate) async fn migrate(connection: &mut SqliteConnection, file: &Path) -> Result<(), Error> {
    run(connection, file, MIGRATIONS).await
}

async fn run(
    connection: &mut SqliteConnection,
    file: &Path,
    migrations: &[&'static str],
) -> Result<(), Error> {
    let known = i64::try_from(migrations.len()).unwrap_or(i64::MAX);
    let application = number(connection, file, "PRAGMA application_id").await?;
    let found = number(connection, file, "PRAGMA user_version").await?;
    let tables = number(connection, file, "SELECT count(*) FROM sqlite_schema").await?;
    let new = application == 0 && found == 0 && tables == 0;
    if !new && application != APPLICATION {
        return Err(Error::Foreign { file: file.to_owned() });
    }
    if found > known {
        return Err(Error::Newer { file: file.to_owned(), found, known });
    }
    for (version, migration) in (1..).zip(migrations).skip(usize::try_from(found).unwrap_or_default()) {
        let step =
            format!("{migration}; PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {version};");
        // All of it or nothing: the version is part of the transaction.
        let failed = |error| sorted(file, error);
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
        sqlx::raw_sql(sqlx::AssertSqlSafe(step)).execute(&mut *transaction).await.map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
    }
    Ok(())
}

async fn number(connection: &mut SqliteConnection, file: &Path, query: &'static str) -> Result<i64, Error> {
    sqlx::query_scalar(query).fetch_one(connection).await.map_err(|error| sorted(file, error))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use sqlx::ConnectOptions as _;
    use sqlx::sqlite::SqliteConnectOptions;

    use super::*;

    async fn open(file: &Path) -> SqliteConnection {
        SqliteConnectOptions::new().filename(file).create_if_missing(true).connect().await.unwrap()
    }

    #[tokio::test]
    async fn each_migration_runs_once_and_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ledger.db");
        let steps = ["CREATE TABLE a (x)", "INSERT INTO a VALUES (1)", "INSERT INTO a SELECT x + 1 FROM a"];
        for until in [1, 1, 2, 3, 3] {
            let mut connection = open(&file).await;
            run(&mut connection, &file, &steps[..until]).await.unwrap();
            let version = number(&mut connection, &file, "PRAGMA user_version").await.unwrap();
            assert_eq!(version, i64::try_from(until).unwrap());
        }
        let mut connection = open(&file).await;
        assert_eq!(
            number(&mut connection, &file, "SELECT group_concat(x, '') + 0 FROM a").await.unwrap(),
            12
        );
        let refused = run(&mut connection, &file, &steps[..2]).await;
        assert!(matches!(refused, Err(Error::Newer { found: 3, known: 2, .. })), "{refused:?}");
    }

    #[tokio::test]
    async fn a_migration_that_fails_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ledger.db");
        let mut connection = open(&file).await;
        let steps = ["CREATE TABLE a (x)", "CREATE TABLE b (x); INSERT INTO none VALUES (1)"];
        assert!(run(&mut connection, &file, &steps).await.is_err());
        drop(connection);
        let mut connection = open(&file).await;
        assert_eq!(number(&mut connection, &file, "PRAGMA user_version").await.unwrap(), 1);
        assert_eq!(number(&mut connection, &file, "SELECT count(*) FROM sqlite_schema").await.unwrap(), 1);
    }
}
