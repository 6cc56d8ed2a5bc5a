//! The tables, and how an older file becomes one of this release.

use std::path::Path;

use sqlx::{Connection as _, SqliteConnection};

use super::database::sorted;
use super::error::Error;

/// Marks the file as ours ("SWAC"), in SQLite's `application_id`.
const APPLICATION: i64 = 0x5357_4143;

/// Each brings the file from the format of its index to the next one. Times are microseconds since 1970 in UTC.
/// Never change one that was released: add another.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE account (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL UNIQUE, password TEXT NOT NULL, created INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE membership (
        account INTEGER NOT NULL REFERENCES account ON DELETE CASCADE, name TEXT NOT NULL,
        PRIMARY KEY (account, name)
    ) STRICT, WITHOUT ROWID;
    -- The secret itself is not kept: whoever reads this file cannot go on with somebody's session.
    CREATE TABLE session (
        digest BLOB PRIMARY KEY, account INTEGER NOT NULL REFERENCES account ON DELETE CASCADE,
        started INTEGER NOT NULL, seen INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX session_account ON session (account, seen);
",
    "
    -- An account whose password is the empty text has none yet: nothing hashes to that.
    CREATE TABLE invitation (
        account INTEGER PRIMARY KEY REFERENCES account ON DELETE CASCADE,
        digest BLOB NOT NULL UNIQUE, expires INTEGER NOT NULL
    ) STRICT;
    -- Whether its secret is sent as a bearer token, by a command line; else as a browser's cookie.
    ALTER TABLE session ADD COLUMN bearer INTEGER NOT NULL DEFAULT 0;
",
    "
    -- Its password was taken away: the account is being deleted, and nobody has been invited to it again.
    ALTER TABLE account ADD COLUMN locked INTEGER NOT NULL DEFAULT 0;
    -- The name of who invited: an account's, or another user's of Kubernetes. Of earlier invitations it is not known.
    ALTER TABLE invitation ADD COLUMN inviter TEXT NOT NULL DEFAULT '';
",
    "
    -- Whose account it is at a provider of OpenID Connect.
    CREATE TABLE identity (
        account INTEGER PRIMARY KEY REFERENCES account ON DELETE CASCADE,
        issuer TEXT NOT NULL, subject TEXT NOT NULL, UNIQUE (issuer, subject)
    ) STRICT;
",
    "
    -- Personal access tokens. The secret itself is not kept. Scopes are words with spaces between them.
    CREATE TABLE token (
        id INTEGER PRIMARY KEY AUTOINCREMENT, digest BLOB NOT NULL UNIQUE,
        account INTEGER NOT NULL REFERENCES account ON DELETE CASCADE,
        name TEXT NOT NULL, scopes TEXT NOT NULL,
        created INTEGER NOT NULL, expires INTEGER NOT NULL, used INTEGER,
        UNIQUE (account, name)
    ) STRICT;
",
    "
    -- When its secret was made, and the one before it, which counts until a minute after the new one was seen.
    ALTER TABLE session ADD COLUMN made INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE session ADD COLUMN previous BLOB;
    ALTER TABLE session ADD COLUMN previous_until INTEGER;
    CREATE INDEX session_previous ON session (previous) WHERE previous IS NOT NULL;
",
];

/// Brings the file to the format of this release, or refuses it unchanged.
pub(super) async fn migrate(connection: &mut SqliteConnection, file: &Path) -> Result<(), Error> {
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
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
    for (version, migration) in (1..).zip(MIGRATIONS).skip(usize::try_from(found).unwrap_or_default()) {
        let step =
            format!("{migration}; PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {version};");
        // All of it or nothing: the version is part of the transaction.
        let failed = |error| sorted(file, error);
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
        sqlx::raw_sql(sqlx::AssertSqlSafe(step)).execute(&mut *transaction).await.map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
    }
    whole(connection, file).await
}

/// The file is small: damage is found at the start, and not when somebody cannot log in.
async fn whole(connection: &mut SqliteConnection, file: &Path) -> Result<(), Error> {
    let found: String = sqlx::query_scalar("PRAGMA quick_check(1)")
        .fetch_one(connection)
        .await
        .map_err(|error| sorted(file, error))?;
    match found.as_str() {
        "ok" => Ok(()),
        _ => Err(Error::Damaged { file: file.to_owned(), reason: found }),
    }
}

async fn number(connection: &mut SqliteConnection, file: &Path, query: &'static str) -> Result<i64, Error> {
    sqlx::query_scalar(query).fetch_one(connection).await.map_err(|error| sorted(file, error))
}
