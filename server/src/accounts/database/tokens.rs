//! Rows of personal access tokens.

use jiff::Timestamp;
use sqlx::sqlite::SqliteRow;
use sqlx::{Connection as _, Row as _};

use super::{ACCOUNT, Database, account, stored, time};
use crate::accounts::error::Error;
use crate::accounts::sessions::Digest;
use crate::accounts::tokens::{AccessToken, MOST, Scope};
use crate::accounts::{Account, Refusal};

/// What is kept of a new token besides what is shown of it.
pub(in crate::accounts) struct NewToken {
    pub(in crate::accounts) digest: Digest,
    /// The session of who makes it: none is made once that has ended.
    pub(in crate::accounts) session: Digest,
}

/// The columns that make an [`AccessToken`].
const TOKEN: &str = "token.id AS token, token.name AS title, token.scopes AS scopes, token.created AS made,
    token.expires AS expires, token.used AS used";

/// The same, of a row that is deleted.
const DELETED: &str =
    "id AS token, name AS title, scopes AS scopes, created AS made, expires AS expires, used AS used";

impl Database {
    pub(in crate::accounts) async fn create_token(
        &self,
        account: &Account,
        token: AccessToken,
        new: &NewToken,
    ) -> Result<Result<AccessToken, Refusal>, Error> {
        let mut writer = self.writer().await?;
        let create = async {
            let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
            sqlx::query("DELETE FROM token WHERE expires <= ?1")
                .bind(stored(token.created))
                .execute(&mut *transaction)
                .await?;
            let goes_on: bool = sqlx::query_scalar(
                "SELECT EXISTS (SELECT 1 FROM session WHERE ?1 IN (digest, previous) AND account = ?2)",
            )
            .bind(new.session.as_bytes())
            .bind(account.id)
            .fetch_one(&mut *transaction)
            .await?;
            if !goes_on {
                return Ok(Err(Refusal::Ended));
            }
            let count: i64 = sqlx::query_scalar("SELECT count(*) FROM token WHERE account = ?1")
                .bind(account.id)
                .fetch_one(&mut *transaction)
                .await?;
            if count >= MOST {
                return Ok(Err(Refusal::TooManyTokens));
            }
            let made: Option<i64> = sqlx::query_scalar(
                "INSERT INTO token (digest, account, name, scopes, created, expires)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (account, name) DO NOTHING RETURNING id",
            )
            .bind(new.digest.as_bytes())
            .bind(account.id)
            .bind(&token.name)
            .bind(words(&token.scopes))
            .bind(stored(token.created))
            .bind(stored(token.expires))
            .fetch_optional(&mut *transaction)
            .await?;
            let Some(id) = made else { return Ok(Err(Refusal::TokenTaken(token.name))) };
            transaction.commit().await?;
            Ok(Ok(AccessToken { id, ..token }))
        };
        create.await.map_err(|error| self.sorted(error))
    }

    pub(in crate::accounts) async fn tokens(
        &self,
        account: &Account,
        now: Timestamp,
    ) -> Result<Vec<AccessToken>, Error> {
        let query = format!("SELECT {TOKEN} FROM token WHERE account = ?1 AND expires > ?2 ORDER BY name");
        let rows = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(account.id)
            .bind(stored(now))
            .try_map(|row| token(&row))
            .fetch_all(&self.readers)
            .await;
        rows.map_err(|error| self.sorted(error))
    }

    /// The token of this digest with its account, while it is good.
    pub(in crate::accounts) async fn token(
        &self,
        digest: Digest,
        now: Timestamp,
    ) -> Result<Option<(Account, AccessToken)>, Error> {
        let query = format!(
            "SELECT {ACCOUNT}, {TOKEN} FROM token JOIN account ON account.id = token.account
             WHERE digest = ?1 AND expires > ?2"
        );
        let row = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(digest.as_bytes())
            .bind(stored(now))
            .try_map(|row| Ok((account(&row)?, token(&row)?)))
            .fetch_optional(&self.readers)
            .await;
        row.map_err(|error| self.sorted(error))
    }

    pub(in crate::accounts) async fn touch_token(&self, id: i64, now: Timestamp) -> Result<(), Error> {
        self.change(
            sqlx::query("UPDATE token SET used = max(coalesce(used, 0), ?2) WHERE id = ?1")
                .bind(id)
                .bind(stored(now)),
        )
        .await
    }

    pub(in crate::accounts) async fn revoke_token(
        &self,
        account: &Account,
        id: i64,
    ) -> Result<Option<AccessToken>, Error> {
        let mut writer = self.writer().await?;
        let query = format!("DELETE FROM token WHERE account = ?1 AND id = ?2 RETURNING {DELETED}");
        let row = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(account.id)
            .bind(id)
            .try_map(|row| token(&row))
            .fetch_optional(&mut *writer)
            .await;
        row.map_err(|error| self.sorted(error))
    }
}

fn words(scopes: &[Scope]) -> String {
    scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(" ")
}

fn token(row: &SqliteRow) -> Result<AccessToken, sqlx::Error> {
    let scopes: &str = row.try_get("scopes")?;
    let scopes = scopes.split(' ').map(str::parse::<Scope>).collect::<Result<Vec<Scope>, _>>();
    let used: Option<i64> = row.try_get("used")?;
    Ok(AccessToken {
        id: row.try_get("token")?,
        name: row.try_get("title")?,
        scopes: scopes.map_err(|error| sqlx::Error::Decode(error.into()))?,
        created: time(row.try_get("made")?)?,
        expires: time(row.try_get("expires")?)?,
        used: used.map(time).transpose()?,
    })
}
