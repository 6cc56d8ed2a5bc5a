//! The SQLite file: one table of objects and the newest revision.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Row};

use super::Examine;
use super::history::EventKind;
use super::memory::{Entry, ObjectKey, State};
use super::reserve::{self, Reserve};

/// Name of the file in the data folder.
pub(super) const FILE: &str = "apiserver.db";
/// Version of the tables below, in SQLite's `user_version`.
const FORMAT: i64 = 1;
/// Marks the file as ours ("SWAY"), in SQLite's `application_id`.
const APPLICATION: i64 = 0x5357_4159;

/// Why the database cannot be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// SQLite's own error.
    #[error("{path}: {source}")]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        #[source]
        source: sqlx::Error,
    },
    /// The file was written by a newer release.
    #[error(
        "{path} has format {found}, this release knows up to {FORMAT}: start the newer release again, \
         or choose another folder with --data-dir"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
    },
    /// The file is an SQLite database of another program.
    #[error("{path} is a database of another program: choose another folder with --data-dir")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The disk is full but for the room that is kept for deletions.
    #[error("{path}: the disk is full: make room on it, or delete objects")]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// The file is damaged. It is left as it is.
    #[error(
        "{path} is damaged ({reason}); nothing was changed in it: restore a backup, \
         or move the file away to begin with an empty cluster"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// By how much a database that was brought back is ahead of what it was when it was copied: more writes than can have
/// been made since.
const AHEAD: i64 = 1_000_000_000;

/// Makes known in the database of a data folder that it was brought back from a copy. What was written after the copy is
/// gone, and its revisions must not be given again to other writes: clients that still know them are told to list anew,
/// instead of waiting for revisions that they have seen. Nobody may use the folder meanwhile.
///
/// # Errors
/// When there is no database that this release can use.
pub async fn mark_restored(data_dir: &Path) -> Result<(), DatabaseError> {
    let path = data_dir.join(FILE);
    if !path.exists() {
        let source = sqlx::Error::Io(std::io::ErrorKind::NotFound.into());
        return Err(DatabaseError::Sqlite { path, source });
    }
    let mut database = Database::open(&path).await?;
    let raised = sqlx::query("UPDATE revision SET newest = newest + ?1").bind(AHEAD);
    raised.execute(&mut database.connection).await.map_err(|e| sort_error(&path, e))?;
    database.connection.close().await.map_err(|e| sort_error(&path, e))
}

pub(super) struct Database {
    path: PathBuf,
    /// Room for deletions.
    pub(super) reserve: Arc<Reserve>,
    connection: SqliteConnection,
    /// A commit failed: the connection may be in any state and is made anew before the next one.
    suspect: bool,
}

impl Database {
    pub(super) async fn open(path: &Path) -> Result<Self, DatabaseError> {
        let fresh = !path.exists();
        keep_private(path)?;
        let connection = connect(path).await?;
        let reserve = Arc::new(Reserve::beside(path));
        let mut database = Self { path: path.into(), reserve, connection, suspect: false };
        if fresh {
            database.create().await?;
        } else {
            database.check().await?;
        }
        Ok(database)
    }

    async fn create(&mut self) -> Result<(), DatabaseError> {
        let tables = format!(
            "BEGIN IMMEDIATE;
             CREATE TABLE object (
                 resource TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
                 revision INTEGER NOT NULL, body BLOB NOT NULL,
                 UNIQUE (resource, namespace, name));
             CREATE TABLE revision (newest INTEGER NOT NULL);
             INSERT INTO revision VALUES (0);
             PRAGMA application_id = {APPLICATION};
             PRAGMA user_version = {FORMAT};
             COMMIT;"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(tables))
            .execute(&mut self.connection)
            .await
            .map_err(|e| sort_error(&self.path, e))?;
        Ok(())
    }

    async fn check(&mut self) -> Result<(), DatabaseError> {
        let application = self.number("PRAGMA application_id").await?;
        let found = self.number("PRAGMA user_version").await?;
        if application == 0 && found == 0 && self.number("SELECT count(*) FROM sqlite_schema").await? == 0 {
            // A crash between creating the file and its tables.
            return self.create().await;
        }
        if application != APPLICATION {
            return Err(DatabaseError::Foreign { path: self.path.clone() });
        }
        if found > FORMAT {
            return Err(DatabaseError::Newer { path: self.path.clone(), found });
        }
        Ok(())
    }

    async fn number(&mut self, query: &'static str) -> Result<i64, DatabaseError> {
        sqlx::query_scalar(query).fetch_one(&mut self.connection).await.map_err(|e| sort_error(&self.path, e))
    }

    /// Reads every object. What cannot be read stays as it is and does not keep anything else from being used.
    pub(super) async fn load(
        &mut self,
        state: &mut State,
        examine: &Examine<'_>,
    ) -> Result<(), DatabaseError> {
        use futures::TryStreamExt;
        {
            let mut rows = sqlx::query("SELECT resource, namespace, name, revision, body FROM object")
                .fetch(&mut self.connection);
            while let Some(row) = rows.try_next().await.map_err(|e| sort_error(&self.path, e))? {
                let column = |e: sqlx::Error| DatabaseError::Damaged {
                    path: self.path.clone(),
                    reason: format!("a row of the objects: {e}"),
                };
                let resource: String = row.try_get(0).map_err(column)?;
                let namespace: String = row.try_get(1).map_err(column)?;
                let key = ObjectKey::new(namespace, row.try_get::<String, _>(2).map_err(column)?);
                let revision: i64 = row.try_get(3).map_err(column)?;
                let body: Vec<u8> = row.try_get(4).map_err(column)?;
                let entry =
                    Entry::stored(key, revision.unsigned_abs(), &body, |value| examine(&resource, value));
                if let Some(reason) = &entry.unreadable {
                    let ObjectKey { namespace, name } = &entry.key;
                    tracing::error!(
                        resource,
                        namespace,
                        name,
                        %reason,
                        "an object cannot be read and is left as it is, everything else is served; \
                         it can be deleted and made again"
                    );
                }
                state.load(&resource, entry);
            }
        }
        let revision = self.number("SELECT newest FROM revision").await?;
        state.loaded(revision.unsigned_abs());
        Ok(())
    }

    /// Whether something new may be written though the disk was full a moment ago: the room for deletions is there (again),
    /// or the file has enough room that deletions have left in it.
    ///
    /// # Errors
    /// [`DatabaseError::Full`] when it may not.
    pub(super) async fn room_for(&mut self, bytes: usize) -> Result<(), DatabaseError> {
        let reserve = self.reserve.clone();
        if tokio::task::spawn_blocking(move || reserve.keep()).await.unwrap_or(false) {
            return Ok(());
        }
        let free = self.number("PRAGMA freelist_count").await?.unsigned_abs();
        let page = self.number("PRAGMA page_size").await?.unsigned_abs();
        if free.saturating_mul(page) >= reserve::SIZE.saturating_add(bytes as u64) {
            return Ok(());
        }
        Err(DatabaseError::Full { path: self.path.clone() })
    }

    /// Writes one batch, all or nothing; `before` is the newest revision that was written so far.
    ///
    /// After an error (a full disk, most likely) the file decides what holds: a commit that reached it in
    /// spite of the error counts.
    pub(super) async fn commit<'a>(
        &mut self,
        before: u64,
        rows: impl Iterator<Item = (&'a str, EventKind, &'a Entry)> + Clone,
    ) -> Result<(), DatabaseError> {
        let newest = rows.clone().map(|(_, _, entry)| entry.revision).last().unwrap_or(before);
        if self.suspect {
            self.connection = connect(&self.path).await?;
            self.suspect = false;
        }
        let Err(error) = self.write(newest, rows).await else { return Ok(()) };
        self.suspect = true;
        self.connection = connect(&self.path).await?;
        self.suspect = false;
        match self.number("SELECT newest FROM revision").await?.unsigned_abs() {
            found if found == newest => Ok(()),
            _ => Err(sort_error(&self.path, error)),
        }
    }

    async fn write<'a>(
        &mut self,
        newest: u64,
        rows: impl Iterator<Item = (&'a str, EventKind, &'a Entry)>,
    ) -> Result<(), sqlx::Error> {
        // Plain statements: SQLite may end a transaction by itself when it fails, which a guard would not know.
        let connection = &mut self.connection;
        sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await?;
        for (resource, kind, entry) in rows {
            let query = match kind {
                EventKind::Deleted => {
                    sqlx::query("DELETE FROM object WHERE resource = ?1 AND namespace = ?2 AND name = ?3")
                        .bind(resource)
                        .bind(&entry.key.namespace)
                        .bind(&entry.key.name)
                }
                EventKind::Added | EventKind::Modified => sqlx::query(
                    "INSERT INTO object (resource, namespace, name, revision, body) VALUES (?1, ?2, ?3, ?4, ?5)
                     ON CONFLICT (resource, namespace, name) DO UPDATE SET revision = ?4, body = ?5",
                )
                .bind(resource)
                .bind(&entry.key.namespace)
                .bind(&entry.key.name)
                .bind(signed(entry.revision))
                .bind(&*entry.body),
            };
            query.execute(&mut *connection).await?;
        }
        sqlx::query("UPDATE revision SET newest = ?1").bind(signed(newest)).execute(&mut *connection).await?;
        sqlx::query("COMMIT").execute(&mut *connection).await?;
        Ok(())
    }

    pub(super) async fn close(self) {
        if let Err(error) = self.connection.close().await {
            tracing::warn!(%error, "the database did not close cleanly; the next start recovers it");
        }
    }
}

/// Makes the file, which holds Secrets, its owner's alone; SQLite gives its side files the same rights.
fn keep_private(path: &Path) -> Result<(), DatabaseError> {
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
    std::fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)
        .and_then(|file| file.set_permissions(std::fs::Permissions::from_mode(0o600)))
        .map_err(|e| DatabaseError::Sqlite { path: path.into(), source: sqlx::Error::Io(e) })
}

/// SQLite has signed integers; revisions do not get near the end of either.
fn signed(revision: u64) -> i64 {
    i64::try_from(revision).unwrap_or(i64::MAX)
}

async fn connect(path: &Path) -> Result<SqliteConnection, DatabaseError> {
    let options = SqliteConnectOptions::from_str("sqlite://")
        .map_err(|source| DatabaseError::Sqlite { path: path.into(), source })?
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // An acknowledged write survives power loss as well, as it does in etcd.
        .synchronous(SqliteSynchronous::Full)
        .disable_statement_logging();
    options.connect().await.map_err(|e| sort_error(path, e))
}

/// SQLite's "not a database" and "malformed" are about the file, not about us.
fn sort_error(path: &Path, source: sqlx::Error) -> DatabaseError {
    let damaged = source
        .as_database_error()
        .and_then(|e| e.code())
        .and_then(|code| code.parse::<i64>().ok())
        .is_some_and(|code| matches!(code & 0xff, 11 | 26));
    if damaged {
        DatabaseError::Damaged { path: path.into(), reason: source.to_string() }
    } else {
        DatabaseError::Sqlite { path: path.into(), source }
    }
}
