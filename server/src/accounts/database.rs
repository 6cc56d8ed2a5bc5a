//! The file: accounts, their groups, their sessions. What was answered is on the disk.

mod external;
mod people;
mod tokens;

use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqlitePool, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{ConnectOptions as _, Connection as _, Row as _};
use tokio::sync::{MappedMutexGuard, Mutex, MutexGuard};

use super::error::Error;
use super::sessions::{Carrier, Digest, IDLE, LONGEST, MOST, SecretAge, Session};
use super::{Account, AccountName, schema};

pub(super) use external::Entry;
pub(super) use people::{Creation, NewInvitation, Removal};
pub(super) use tokens::NewToken;

/// How many reads go on at once.
const READERS: u32 = 4;

/// The columns that make an [`Account`].
const ACCOUNT: &str = "account.id AS id, account.name AS name, account.password AS password,
    (SELECT json_group_array(membership.name) FROM membership WHERE membership.account = account.id) AS groups";

pub(super) struct Database {
    file: PathBuf,
    /// Gone once it is closed.
    writer: Mutex<Option<SqliteConnection>>,
    readers: SqlitePool,
}

impl Database {
    pub(super) async fn open(file: &Path) -> Result<Self, Error> {
        private(file).map_err(|source| Error::Io { file: file.to_owned(), source })?;
        let failed = |error| sorted(file, error);
        let options =
            SqliteConnectOptions::new().filename(file).foreign_keys(true).disable_statement_logging();
        // An acknowledged write survives power loss as well.
        let writing = options.clone().synchronous(SqliteSynchronous::Full);
        let mut writer = writing.connect().await.map_err(failed)?;
        schema::migrate(&mut writer, file).await?;
        // Only now is it known to be ours: the mode is stored in the file.
        sqlx::query("PRAGMA journal_mode = WAL").execute(&mut writer).await.map_err(failed)?;
        let readers =
            SqlitePoolOptions::new().max_connections(READERS).connect_lazy_with(options.read_only(true));
        Ok(Self { file: file.to_owned(), writer: Mutex::new(Some(writer)), readers })
    }

    pub(super) async fn close(&self) {
        self.readers.close().await;
        if let Some(writer) = self.writer.lock().await.take()
            && let Err(error) = writer.close().await
        {
            tracing::warn!(%error, "the accounts did not close cleanly; the next start recovers them");
        }
    }

    pub(super) async fn is_empty(&self) -> Result<bool, Error> {
        let any = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM account)").fetch_one(&self.readers).await;
        any.map(|any: bool| !any).map_err(|error| self.sorted(error))
    }

    /// Makes an account if there is none at all.
    pub(super) async fn create_first(
        &self,
        name: &AccountName,
        password: &str,
        groups: &[&str],
        now: Timestamp,
    ) -> Result<Option<Account>, Error> {
        let mut writer = self.writer().await?;
        let create = async {
            let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
            let made: Option<i64> = sqlx::query_scalar(
                "INSERT INTO account (name, password, created)
                 SELECT ?1, ?2, ?3 WHERE NOT EXISTS (SELECT 1 FROM account) RETURNING id",
            )
            .bind(name.as_str())
            .bind(password)
            .bind(stored(now))
            .fetch_optional(&mut *transaction)
            .await?;
            let Some(id) = made else { return Ok(None) };
            for group in groups {
                sqlx::query("INSERT INTO membership (account, name) VALUES (?1, ?2)")
                    .bind(id)
                    .bind(*group)
                    .execute(&mut *transaction)
                    .await?;
            }
            transaction.commit().await?;
            let groups = groups.iter().map(|group| (*group).to_owned()).collect();
            Ok(Some(Account { id, name: name.to_string(), groups, password: Digest::of(password) }))
        };
        create.await.map_err(|error| self.sorted(error))
    }

    /// An account with the hash of its password, if it has one.
    pub(super) async fn account(
        &self,
        name: &AccountName,
    ) -> Result<Option<(Account, Option<String>)>, Error> {
        let query =
            format!("SELECT {ACCOUNT}, nullif(password, '') AS hash FROM account WHERE account.name = ?1");
        let row = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(name.as_str())
            .try_map(|row| Ok((account(&row)?, row.try_get("hash")?)))
            .fetch_optional(&self.readers)
            .await;
        row.map_err(|error| self.sorted(error))
    }

    /// Begins a session in place of another one, and removes those that are over or too many. It does not when the
    /// account has another password by now, or is gone.
    pub(super) async fn begin_session(
        &self,
        account: &Account,
        digest: Digest,
        carrier: Carrier,
        before: Option<Digest>,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let mut writer = self.writer().await?;
        let begin = async {
            let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
            let password: Option<String> = sqlx::query_scalar("SELECT password FROM account WHERE id = ?1")
                .bind(account.id)
                .fetch_optional(&mut *transaction)
                .await?;
            if password.is_none_or(|password| Digest::of(&password) != account.password) {
                return Ok(false);
            }
            sqlx::query("DELETE FROM session WHERE seen <= ?1 OR started <= ?2 OR ?3 IN (digest, previous)")
                .bind(stored(before_now(now, IDLE)))
                .bind(stored(before_now(now, LONGEST)))
                .bind(before.as_ref().map(Digest::as_bytes))
                .execute(&mut *transaction)
                .await?;
            sqlx::query(
                "DELETE FROM session WHERE digest IN (
                     SELECT digest FROM session WHERE account = ?1 AND bearer = ?3
                     ORDER BY seen DESC, started DESC LIMIT -1 OFFSET ?2)",
            )
            .bind(account.id)
            .bind(MOST - 1)
            .bind(carrier == Carrier::Bearer)
            .execute(&mut *transaction)
            .await?;
            sqlx::query(
                "INSERT INTO session (digest, account, started, seen, made, bearer) VALUES (?1, ?2, ?3, ?3, ?3, ?4)",
            )
            .bind(digest.as_bytes())
            .bind(account.id)
            .bind(stored(now))
            .bind(carrier == Carrier::Bearer)
            .execute(&mut *transaction)
            .await?;
            transaction.commit().await?;
            Ok(true)
        };
        begin.await.map_err(|error| self.sorted(error))
    }

    /// A session, also when it is over. One that is carried otherwise is another one.
    pub(super) async fn session(
        &self,
        digest: Digest,
        carrier: Carrier,
        now: Timestamp,
    ) -> Result<Option<Session>, Error> {
        let query = format!(
            "SELECT {ACCOUNT}, started, seen, made, digest = ?1 AS newest,
                 previous IS NOT NULL AND previous_until IS NULL AS unseen
             FROM session JOIN account ON account.id = session.account
             WHERE (digest = ?1 OR previous = ?1 AND (previous_until IS NULL OR previous_until > ?3)) AND bearer = ?2"
        );
        let row = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(digest.as_bytes())
            .bind(carrier == Carrier::Bearer)
            .bind(stored(now))
            .try_map(|row| {
                let (started, seen) = (time(row.try_get("started")?)?, time(row.try_get("seen")?)?);
                let made = time(row.try_get("made")?)?;
                let secret = match (row.try_get("newest")?, row.try_get("unseen")?) {
                    (false, _) => SecretAge::Previous,
                    (true, unseen) => SecretAge::Newest { made, unseen },
                };
                Ok(Session::new(account(&row)?, started, seen).with_secret(secret))
            })
            .fetch_optional(&self.readers)
            .await;
        row.map_err(|error| self.sorted(error))
    }

    pub(super) async fn touch_session(&self, digest: Digest, now: Timestamp) -> Result<(), Error> {
        self.change(
            sqlx::query("UPDATE session SET seen = max(seen, ?2) WHERE ?1 IN (digest, previous)")
                .bind(digest.as_bytes())
                .bind(stored(now)),
        )
        .await
    }

    pub(super) async fn end_session(&self, digest: Digest) -> Result<(), Error> {
        let query = sqlx::query("DELETE FROM session WHERE ?1 IN (digest, previous)");
        self.change(query.bind(digest.as_bytes())).await
    }

    /// Gives a browser's session another secret; not when it has had another one meanwhile.
    pub(super) async fn rotate_session(
        &self,
        from: Digest,
        to: Digest,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let mut writer = self.writer().await?;
        let done = sqlx::query(
            "UPDATE session SET digest = ?2, made = ?3, previous = ?1, previous_until = NULL
             WHERE digest = ?1 AND NOT bearer",
        )
        .bind(from.as_bytes())
        .bind(to.as_bytes())
        .bind(stored(now))
        .execute(&mut *writer)
        .await;
        Ok(done.map_err(|error| self.sorted(error))?.rows_affected() > 0)
    }

    /// The new secret of a session was seen: the one before it counts for a little longer.
    pub(super) async fn saw_secret(&self, digest: Digest, until: Timestamp) -> Result<(), Error> {
        self.change(
            sqlx::query(
                "UPDATE session SET previous_until = ?2 WHERE digest = ?1 AND previous_until IS NULL",
            )
            .bind(digest.as_bytes())
            .bind(stored(until)),
        )
        .await
    }

    async fn change(
        &self,
        query: sqlx::query::Query<'_, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>,
    ) -> Result<(), Error> {
        let mut writer = self.writer().await?;
        query.execute(&mut *writer).await.map(drop).map_err(|error| self.sorted(error))
    }

    async fn writer(&self) -> Result<MappedMutexGuard<'_, SqliteConnection>, Error> {
        MutexGuard::try_map(self.writer.lock().await, Option::as_mut).map_err(|_| Error::Closed)
    }

    fn sorted(&self, error: sqlx::Error) -> Error {
        match error {
            sqlx::Error::PoolClosed => Error::Closed,
            error => sorted(&self.file, error),
        }
    }
}

/// Makes the file if it is not there; it is for its owner alone in any case.
fn private(file: &Path) -> std::io::Result<()> {
    let opened = std::fs::File::options().create(true).append(true).mode(0o600).open(file)?;
    opened.set_permissions(std::fs::Permissions::from_mode(0o600))
}

fn account(row: &SqliteRow) -> Result<Account, sqlx::Error> {
    let groups = serde_json::from_str(row.try_get("groups")?);
    Ok(Account {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        groups: groups.map_err(|error| sqlx::Error::Decode(error.into()))?,
        password: Digest::of(row.try_get("password")?),
    })
}

/// SQLite's "malformed" (11) and "not a database" (26) are about the file, not about us.
pub(super) fn sorted(file: &Path, source: sqlx::Error) -> Error {
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
        Error::Sqlite { file: file.to_owned(), source }
    }
}

/// As stored: microseconds since 1970.
fn stored(time: Timestamp) -> i64 {
    time.as_microsecond()
}

fn time(stored: i64) -> Result<Timestamp, sqlx::Error> {
    Timestamp::from_microsecond(stored).map_err(|error| sqlx::Error::Decode(error.into()))
}

fn before_now(now: Timestamp, duration: SignedDuration) -> Timestamp {
    now.checked_sub(duration).unwrap_or(Timestamp::MIN)
}
