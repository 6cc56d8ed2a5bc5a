//! Rows of people whom a provider of OpenID Connect vouches for.

use jiff::Timestamp;
use sqlx::{Connection as _, Row as _};

use super::people::join_groups;
use super::{ACCOUNT, Database, account, stored};
use crate::accounts::Account;
use crate::accounts::error::Error;
use crate::oidc::External;

/// How it went to let somebody in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::accounts) enum Entry {
    Done(Account),
    /// Somebody else has the name.
    Taken,
    /// The account is being deleted.
    Locked,
}

impl Database {
    /// The account of a person at an issuer, in these groups from now on; made if there is none.
    pub(in crate::accounts) async fn enter(
        &self,
        external: &External,
        groups: &[String],
        now: Timestamp,
    ) -> Result<Entry, Error> {
        let mut writer = self.writer().await?;
        let enter = async {
            let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
            let known = sqlx::query(
                "SELECT account.id AS id, account.locked AS locked FROM identity
                 JOIN account ON account.id = identity.account WHERE issuer = ?1 AND subject = ?2",
            )
            .bind(&external.issuer)
            .bind(&external.subject)
            .try_map(|row: sqlx::sqlite::SqliteRow| Ok((row.try_get("id")?, row.try_get("locked")?)))
            .fetch_optional(&mut *transaction)
            .await?;
            let id: i64 = match known {
                Some((_, true)) => return Ok(Entry::Locked),
                Some((id, false)) => id,
                None => {
                    let made: Option<i64> = sqlx::query_scalar(
                        "INSERT INTO account (name, password, created) VALUES (?1, '', ?2)
                         ON CONFLICT (name) DO NOTHING RETURNING id",
                    )
                    .bind(external.name.as_str())
                    .bind(stored(now))
                    .fetch_optional(&mut *transaction)
                    .await?;
                    let Some(id) = made else { return Ok(Entry::Taken) };
                    sqlx::query("INSERT INTO identity (account, issuer, subject) VALUES (?1, ?2, ?3)")
                        .bind(id)
                        .bind(&external.issuer)
                        .bind(&external.subject)
                        .execute(&mut *transaction)
                        .await?;
                    id
                }
            };
            sqlx::query("DELETE FROM membership WHERE account = ?1")
                .bind(id)
                .execute(&mut *transaction)
                .await?;
            join_groups(&mut transaction, id, groups).await?;
            let query = format!("SELECT {ACCOUNT} FROM account WHERE account.id = ?1");
            let found = sqlx::query(sqlx::AssertSqlSafe(query))
                .bind(id)
                .try_map(|row| account(&row))
                .fetch_one(&mut *transaction)
                .await?;
            transaction.commit().await?;
            Ok(Entry::Done(found))
        };
        enter.await.map_err(|error| self.sorted(error))
    }
}
