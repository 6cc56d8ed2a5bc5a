//! The file.

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::future::BoxFuture;
use jiff::Timestamp;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions as _, Sqlite, pool::PoolConnection};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::writer::{Writer, newest_event};
use crate::{Error, schema};

/// How many reads go on at once.
const READERS: u32 = 4;

/// The history in one file. Cheap to clone.
#[derive(Clone)]
pub struct Ledger(Arc<Shared>);

struct Shared {
    file: PathBuf,
    writer: Writer,
    readers: SqlitePool,
    newest: watch::Receiver<i64>,
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Ledger").field(&self.0.file).finish()
    }
}

impl Ledger {
    /// Opens or makes the ledger. An older file is brought to this release's format; a newer, foreign or damaged one
    /// is refused and left as it is. The handle ends when the last clone was dropped and the last write is on the disk.
    pub async fn open(file: &Path) -> Result<(Self, JoinHandle<()>), Error> {
        // For its owner alone; an existing file keeps its mode.
        let made = std::fs::File::options().create(true).append(true).mode(0o600).open(file);
        made.map_err(|error| Error::Io { file: file.to_owned(), source: Arc::new(error) })?;
        let failed = |error| sorted(file, error);
        let options =
            SqliteConnectOptions::new().filename(file).foreign_keys(true).disable_statement_logging();
        // An acknowledged write survives power loss as well.
        let writing = options.clone().synchronous(SqliteSynchronous::Full);
        let mut connection = writing.connect().await.map_err(failed)?;
        schema::migrate(&mut connection, file).await?;
        // Only now is it known to be ours: the mode is stored in the file.
        sqlx::query("PRAGMA journal_mode = WAL").execute(&mut connection).await.map_err(failed)?;
        let (sender, newest) = watch::channel(newest_event(&mut connection).await.map_err(failed)?);
        let readers =
            SqlitePoolOptions::new().max_connections(READERS).connect_lazy_with(options.read_only(true));
        let (writer, task) = Writer::start(connection, file, sender);
        Ok((Self(Arc::new(Shared { file: file.to_owned(), writer, readers, newest })), task))
    }

    /// The id of the newest event, 0 before the first: tells a reader that resumes after an id when to read on.
    pub fn newest_event(&self) -> watch::Receiver<i64> {
        self.0.newest.clone()
    }

    /// Runs `work` in a transaction; when this returns a value, it is on the disk.
    pub(crate) async fn write<T, W>(&self, work: W) -> Result<T, Error>
    where
        T: Send + 'static,
        W: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, Error>> + Send + 'static,
    {
        self.0.writer.write(&self.0.file, work).await
    }

    pub(crate) async fn reader(&self) -> Result<PoolConnection<Sqlite>, Error> {
        self.0.readers.acquire().await.map_err(|error| self.sorted(error))
    }

    pub(crate) fn sorted(&self, error: sqlx::Error) -> Error {
        sorted(&self.0.file, error)
    }

    /// For use after `self` is gone, within a write.
    pub(crate) fn sorter(&self) -> impl Fn(sqlx::Error) -> Error + Send + Sync + use<> {
        let file = self.0.file.clone();
        move |error| sorted(&file, error)
    }
}

/// SQLite's "malformed" (11) and "not a database" (26) are about the file, not about us.
pub(crate) fn sorted(file: &Path, source: sqlx::Error) -> Error {
    let about_the_file = match &source {
        sqlx::Error::Database(error) => error
            .code()
            .and_then(|code| code.parse::<i64>().ok())
            .is_some_and(|code| matches!(code & 0xff, 11 | 26)),
        // A value of another type or shape than this release writes.
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => true,
        _ => false,
    };
    if about_the_file {
        Error::Damaged { file: file.to_owned(), reason: source.to_string() }
    } else {
        Error::Sqlite { file: file.to_owned(), source: Arc::new(source) }
    }
}

/// As stored: microseconds since 1970.
pub(crate) fn stored(time: Timestamp) -> i64 {
    time.as_microsecond()
}

pub(crate) fn time(stored: i64) -> Result<Timestamp, sqlx::Error> {
    Timestamp::from_microsecond(stored).map_err(|error| sqlx::Error::Decode(error.into()))
}

pub(crate) fn json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, sqlx::Error> {
    serde_json::from_str(text).map_err(|error| sqlx::Error::Decode(error.into()))
}
