//! Promises of the accounts' file: what is wrong with it is said, and it is left as it is.

#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use seaway_server::{Accounts, AccountsError};
use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnectOptions;

async fn run(file: &Path, statement: &'static str) {
    let mut connection =
        SqliteConnectOptions::new().filename(file).create_if_missing(true).connect().await.unwrap();
    sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
    sqlx::Connection::close(connection).await.unwrap();
}

async fn refused(file: &Path) -> AccountsError {
    let before = std::fs::read(file).unwrap();
    let error = Accounts::open(file).await.map(|_| ()).unwrap_err();
    assert_eq!(std::fs::read(file).unwrap(), before, "it is left as it is");
    assert!(error.to_string().contains(file.to_str().unwrap()), "{error}");
    error
}

#[tokio::test]
async fn a_file_of_a_newer_release_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("accounts.db");
    let (accounts, code) = Accounts::open(&file).await.unwrap();
    assert!(code.is_some());
    accounts.close().await;
    run(&file, "PRAGMA user_version = 99").await;
    let error = refused(&file).await;
    assert!(matches!(error, AccountsError::Newer { found: 99, known: 6, .. }), "{error:?}");
}

/// As the first release wrote it.
const FIRST_FORMAT: &str = "
    CREATE TABLE account (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL UNIQUE, password TEXT NOT NULL, created INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE membership (
        account INTEGER NOT NULL REFERENCES account ON DELETE CASCADE, name TEXT NOT NULL,
        PRIMARY KEY (account, name)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE session (
        digest BLOB PRIMARY KEY, account INTEGER NOT NULL REFERENCES account ON DELETE CASCADE,
        started INTEGER NOT NULL, seen INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX session_account ON session (account, seen);
    INSERT INTO account (name, password, created) VALUES ('jane', '$argon2id$', 1);
    INSERT INTO membership (account, name) VALUES (1, 'seaway:admins');
    INSERT INTO session (digest, account, started, seen) VALUES (x'00', 1, 1, 1);
    PRAGMA application_id = 0x53574143;
    PRAGMA user_version = 1;
";

#[tokio::test]
async fn a_file_of_the_first_release_keeps_its_account_and_who_is_logged_in() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("accounts.db");
    run(&file, FIRST_FORMAT).await;
    let (accounts, code) = Accounts::open(&file).await.unwrap();
    assert!(code.is_none(), "there is an account");
    accounts.close().await;
    let mut connection = SqliteConnectOptions::new().filename(&file).connect().await.unwrap();
    let kept: (String, String, i64) = sqlx::query_as(
        "SELECT account.name, membership.name, bearer FROM account
         JOIN membership ON membership.account = account.id JOIN session ON session.account = account.id",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap();
    assert_eq!(kept, ("jane".into(), "seaway:admins".into(), 0), "a session of a browser stays one");
    sqlx::Connection::close(connection).await.unwrap();
}

#[tokio::test]
async fn a_damaged_file_and_one_of_another_program_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("accounts.db");
    std::fs::write(&file, "no database ".repeat(1000)).unwrap();
    assert!(matches!(refused(&file).await, AccountsError::Damaged { .. }));

    let file = folder.path().join("other.db");
    run(&file, "CREATE TABLE other (x)").await;
    assert!(matches!(refused(&file).await, AccountsError::Foreign { .. }));

    let file = folder.path().join("torn.db");
    let (accounts, _) = Accounts::open(&file).await.unwrap();
    accounts.close().await;
    let whole = std::fs::read(&file).unwrap();
    let mut torn = whole.clone();
    // The second page and all after it; the first one, which says what the file is, is good.
    torn[4096..].fill(0x5a);
    std::fs::write(&file, &torn).unwrap();
    let error = refused(&file).await;
    assert!(matches!(error, AccountsError::Damaged { .. }), "{error:?}");
}

#[tokio::test]
async fn the_files_are_for_their_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("accounts.db");
    std::fs::write(&file, "").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let (accounts, code) = Accounts::open(&file).await.unwrap();
    assert!(!format!("{code:?}").contains(secrecy::ExposeSecret::expose_secret(code.as_ref().unwrap())));
    let mut seen = 0;
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.path());
        seen += 1;
    }
    assert!(seen > 1, "the log beside it as well");
    accounts.close().await;
}
