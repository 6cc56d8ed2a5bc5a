//! Rows of people: who has an account, who is invited to one.

use jiff::Timestamp;
use sqlx::{Connection as _, Row as _, SqliteConnection};

use super::{ACCOUNT, Database, account, stored, time};
use crate::accounts::error::Error;
use crate::accounts::people::{Known, State};
use crate::accounts::sessions::Digest;
use crate::accounts::{ADMINS, Account, AccountName};

/// How it went to lock an account, or to delete it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::accounts) enum Removal {
    Done,
    /// There is no such account.
    Unknown,
    /// Nobody could add people any more.
    LastAdministrator,
}

/// Whether nobody but this account (`?1`) is an administrator who can log in.
const ONLY_ADMINISTRATOR: &str = "
    SELECT EXISTS (SELECT 1 FROM membership WHERE account = ?1 AND name = ?2)
        AND NOT EXISTS (SELECT 1 FROM account JOIN membership ON membership.account = account.id
            WHERE membership.name = ?2 AND account.id <> ?1 AND account.password <> '')";

/// Whoever was made an administrator by a link of this account (`?1`) would be one in its place.
const INVITED_BY: &str =
    "DELETE FROM invitation WHERE inviter = (SELECT name FROM account WHERE account.id = ?1)";

/// What makes a [`Known`].
const KNOWN: &str = "password <> '' OR (NOT locked AND EXISTS (
        SELECT 1 FROM identity WHERE identity.account = account.id)) AS active, locked, created,
    (SELECT expires FROM invitation WHERE invitation.account = account.id) AS invited";

/// An invitation as it is kept.
pub(in crate::accounts) struct NewInvitation<'a> {
    pub(in crate::accounts) code: Digest,
    pub(in crate::accounts) expires: Timestamp,
    pub(in crate::accounts) inviter: &'a str,
    /// The session of who invites, if there is one: nobody is invited once it has ended.
    pub(in crate::accounts) session: Option<Digest>,
}

/// How it went to make an account and to invite to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::accounts) enum Creation {
    Done(Known),
    /// Somebody has the name.
    Taken,
    /// The session of who invites has ended.
    Ended,
}

impl Database {
    /// All accounts, by name.
    pub(in crate::accounts) async fn people(&self) -> Result<Vec<Known>, Error> {
        let query = format!("SELECT {ACCOUNT}, {KNOWN} FROM account ORDER BY name");
        let rows = sqlx::query(sqlx::AssertSqlSafe(query)).try_map(known).fetch_all(&self.readers).await;
        rows.map_err(|error| self.sorted(error))
    }

    /// One account.
    pub(in crate::accounts) async fn known(&self, name: &AccountName) -> Result<Option<Known>, Error> {
        let query = format!("SELECT {ACCOUNT}, {KNOWN} FROM account WHERE account.name = ?1");
        let row = sqlx::query(sqlx::AssertSqlSafe(query)).bind(name.as_str()).try_map(known);
        row.fetch_optional(&self.readers).await.map_err(|error| self.sorted(error))
    }

    /// Makes an account without a password, with an invitation to it.
    pub(in crate::accounts) async fn create_invited(
        &self,
        name: &AccountName,
        groups: &[String],
        invitation: &NewInvitation<'_>,
        now: Timestamp,
    ) -> Result<Creation, Error> {
        let mut writer = self.writer().await?;
        let create = async {
            let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
            let made: Option<i64> = sqlx::query_scalar(
                "INSERT INTO account (name, password, created) VALUES (?1, '', ?2)
                 ON CONFLICT (name) DO NOTHING RETURNING id",
            )
            .bind(name.as_str())
            .bind(stored(now))
            .fetch_optional(&mut *transaction)
            .await?;
            let Some(id) = made else { return Ok(Creation::Taken) };
            join_groups(&mut transaction, id, groups).await?;
            if !invite(&mut transaction, id, invitation).await? {
                return Ok(Creation::Ended);
            }
            transaction.commit().await?;
            let (groups, password) = (groups.to_vec(), Digest::of(""));
            let account = Account { id, name: name.to_string(), groups, password };
            let invited = Some(invitation.expires);
            Ok(Creation::Done(Known { account, state: State::Invited, invited, created: now }))
        };
        create.await.map_err(|error| self.sorted(error))
    }

    /// Invites to an account that is there, in place of an earlier invitation. One that is locked is so no more.
    /// Nothing is done when the session of who invites has ended.
    pub(in crate::accounts) async fn invite(
        &self,
        account: &Account,
        invitation: &NewInvitation<'_>,
    ) -> Result<bool, Error> {
        let mut writer = self.writer().await?;
        let invite = async {
            let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
            if !invite(&mut transaction, account.id, invitation).await? {
                return Ok(false);
            }
            let unlocked = sqlx::query("UPDATE account SET locked = 0 WHERE id = ?1").bind(account.id);
            unlocked.execute(&mut *transaction).await?;
            transaction.commit().await?;
            Ok(true)
        };
        invite.await.map_err(|error| self.sorted(error))
    }

    /// Whose invitation has this code.
    pub(in crate::accounts) async fn invited(
        &self,
        code: Digest,
        now: Timestamp,
    ) -> Result<Option<Account>, Error> {
        let query = format!(
            "SELECT {ACCOUNT} FROM invitation JOIN account ON account.id = invitation.account
             WHERE digest = ?1 AND expires > ?2"
        );
        let row = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(code.as_bytes())
            .bind(stored(now))
            .try_map(|row| account(&row))
            .fetch_optional(&self.readers)
            .await;
        row.map_err(|error| self.sorted(error))
    }

    /// Uses an invitation up: the password becomes this one, and whoever was logged in with the one before is so no
    /// more. Of several at once exactly one does; `None` for the others.
    pub(in crate::accounts) async fn join(
        &self,
        code: Digest,
        password: &str,
        now: Timestamp,
    ) -> Result<Option<()>, Error> {
        let mut writer = self.writer().await?;
        let join = async {
            let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
            let used: Option<i64> = sqlx::query_scalar(
                "DELETE FROM invitation WHERE digest = ?1 AND expires > ?2 RETURNING account",
            )
            .bind(code.as_bytes())
            .bind(stored(now))
            .fetch_optional(&mut *transaction)
            .await?;
            let Some(id) = used else { return Ok(None) };
            sqlx::query("UPDATE account SET password = ?2 WHERE id = ?1")
                .bind(id)
                .bind(password)
                .execute(&mut *transaction)
                .await?;
            sqlx::query("DELETE FROM session WHERE account = ?1").bind(id).execute(&mut *transaction).await?;
            sqlx::query("DELETE FROM token WHERE account = ?1").bind(id).execute(&mut *transaction).await?;
            transaction.commit().await?;
            Ok(Some(()))
        };
        join.await.map_err(|error| self.sorted(error))
    }

    /// Whether nobody else could add people.
    pub(in crate::accounts) async fn is_only_administrator(&self, account: &Account) -> Result<bool, Error> {
        let only = sqlx::query_scalar(ONLY_ADMINISTRATOR).bind(account.id).bind(ADMINS);
        only.fetch_one(&self.readers).await.map_err(|error| self.sorted(error))
    }

    /// Puts an account into these groups and out of all others, unless nobody could add people afterwards.
    pub(in crate::accounts) async fn assign(
        &self,
        name: &AccountName,
        groups: &[String],
    ) -> Result<Removal, Error> {
        let mut writer = self.writer().await?;
        let assign = async {
            let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
            let Some((id, only)) = id_and_whether_last(&mut transaction, name).await? else {
                return Ok(Removal::Unknown);
            };
            if only && !groups.iter().any(|group| group == ADMINS) {
                return Ok(Removal::LastAdministrator);
            }
            let left = sqlx::query("DELETE FROM membership WHERE account = ?1").bind(id);
            left.execute(&mut *transaction).await?;
            join_groups(&mut transaction, id, groups).await?;
            if !groups.iter().any(|group| group == ADMINS) {
                sqlx::query(INVITED_BY).bind(id).execute(&mut *transaction).await?;
            }
            transaction.commit().await?;
            Ok(Removal::Done)
        };
        assign.await.map_err(|error| self.sorted(error))
    }

    /// Takes away the password of an account, its sessions, the invitation to it and those that it has made: all of it,
    /// or nothing.
    pub(in crate::accounts) async fn lock(&self, name: &AccountName) -> Result<Removal, Error> {
        self.remove(
            name,
            &[
                "UPDATE account SET password = '', locked = 1 WHERE id = ?1",
                "DELETE FROM session WHERE account = ?1",
                "DELETE FROM token WHERE account = ?1",
                "DELETE FROM invitation WHERE account = ?1",
                INVITED_BY,
            ],
        )
        .await
    }

    /// Deletes an account; its sessions, the invitation to it and those that it has made go with it.
    pub(in crate::accounts) async fn delete(&self, name: &AccountName) -> Result<Removal, Error> {
        self.remove(name, &[INVITED_BY, "DELETE FROM account WHERE id = ?1"]).await
    }

    /// Does this with an account (`?1`), unless nobody could add people afterwards.
    async fn remove(&self, name: &AccountName, statements: &[&'static str]) -> Result<Removal, Error> {
        let mut writer = self.writer().await?;
        let remove = async {
            let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
            let Some((id, only)) = id_and_whether_last(&mut transaction, name).await? else {
                return Ok(Removal::Unknown);
            };
            if only {
                return Ok(Removal::LastAdministrator);
            }
            for statement in statements {
                sqlx::query(*statement).bind(id).execute(&mut *transaction).await?;
            }
            transaction.commit().await?;
            Ok(Removal::Done)
        };
        remove.await.map_err(|error| self.sorted(error))
    }
}

/// Puts an account into groups.
pub(super) async fn join_groups(
    connection: &mut SqliteConnection,
    account: i64,
    groups: &[String],
) -> Result<(), sqlx::Error> {
    for group in groups {
        sqlx::query("INSERT INTO membership (account, name) VALUES (?1, ?2)")
            .bind(account)
            .bind(group)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Whether it was done: not when the session of who invites has ended.
async fn invite(
    connection: &mut SqliteConnection,
    account: i64,
    invitation: &NewInvitation<'_>,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        "INSERT INTO invitation (account, digest, expires, inviter) SELECT ?1, ?2, ?3, ?4
         WHERE ?5 IS NULL OR EXISTS (SELECT 1 FROM session WHERE ?5 IN (session.digest, session.previous))
            OR EXISTS (SELECT 1 FROM token WHERE token.digest = ?5)
         ON CONFLICT (account) DO UPDATE
         SET digest = excluded.digest, expires = excluded.expires, inviter = excluded.inviter",
    )
    .bind(account)
    .bind(invitation.code.as_bytes())
    .bind(stored(invitation.expires))
    .bind(invitation.inviter)
    .bind(invitation.session.as_ref().map(Digest::as_bytes))
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}

fn known(row: sqlx::sqlite::SqliteRow) -> Result<Known, sqlx::Error> {
    let created = time(row.try_get("created")?)?;
    let state = match (row.try_get("active")?, row.try_get("locked")?) {
        (true, _) => State::Active,
        (false, true) => State::Locked,
        (false, false) => State::Invited,
    };
    let invited: Option<i64> = row.try_get("invited")?;
    let invited = invited.map(time).transpose()?;
    Ok(Known { account: account(&row)?, state, invited, created })
}

/// The id of an account, and whether it is the only administrator.
async fn id_and_whether_last(
    connection: &mut sqlx::SqliteConnection,
    name: &AccountName,
) -> Result<Option<(i64, bool)>, sqlx::Error> {
    let id: Option<i64> = sqlx::query_scalar("SELECT id FROM account WHERE name = ?1")
        .bind(name.as_str())
        .fetch_optional(&mut *connection)
        .await?;
    let Some(id) = id else { return Ok(None) };
    let only =
        sqlx::query_scalar(ONLY_ADMINISTRATOR).bind(id).bind(ADMINS).fetch_one(&mut *connection).await?;
    Ok(Some((id, only)))
}
