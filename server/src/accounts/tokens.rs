//! Personal access tokens: for programs that act for a person, with less than what that person may do, and for a while.
//!
//! Only a digest of each is kept. They end with the account, when it is locked, by their own time, or when they are
//! revoked.

use std::fmt;
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::database::NewToken;
use super::sessions::{Carrier, Secret};
use super::{Account, Accounts, AccountsError, Refusal, SessionKey};

/// Tokens of an account at once.
pub(super) const MOST: i64 = 32;
/// The longest time that one is good.
const LONGEST: SignedDuration = SignedDuration::from_hours(366 * 24);
/// Longest name of one, in characters.
const LONGEST_NAME: usize = 64;
/// How late its last use may be known: not every request writes to the disk.
const STALE: SignedDuration = SignedDuration::from_mins(5);

/// What a token may be used for, as far as its person may do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Scope {
    /// See environments; every token may.
    Read,
    /// Sync, roll back, hold and approve.
    Deploy,
    /// Make, change and delete environments.
    Write,
    /// See, add, change and remove people.
    Accounts,
    /// Read and export who did what.
    Audit,
}

/// The text is no scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no scope: choose read, deploy, write, accounts or audit")]
pub struct ScopeError(String);

impl Scope {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Read, Self::Deploy, Self::Write, Self::Accounts, Self::Audit];

    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Deploy => "deploy",
            Self::Write => "write",
            Self::Accounts => "accounts",
            Self::Audit => "audit",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text).ok_or_else(|| ScopeError(text.to_owned()))
    }
}

/// A token, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AccessToken {
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) scopes: Vec<Scope>,
    pub(crate) created: Timestamp,
    pub(crate) expires: Timestamp,
    /// When it was last used, a few minutes ago or earlier.
    pub(crate) used: Option<Timestamp>,
}

/// What a token is asked to be.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) name: String,
    pub(crate) scopes: Vec<Scope>,
    pub(crate) expires: Timestamp,
}

impl Accounts {
    /// Makes a token for the person of a session, which must go on.
    pub(crate) async fn create_token(
        &self,
        account: &Account,
        session: SessionKey,
        wanted: Wanted,
    ) -> Result<(AccessToken, SecretString), Refusal> {
        let Wanted { name, mut scopes, expires } = wanted;
        let now = self.now();
        let length = name.chars().count();
        if length == 0 || length > LONGEST_NAME || name.chars().any(char::is_control) || name.trim() != name {
            return Err(Refusal::TokenName);
        }
        if expires <= now || expires.duration_since(now) > LONGEST {
            return Err(Refusal::TokenLifetime);
        }
        scopes.push(Scope::Read);
        scopes.sort_unstable();
        scopes.dedup();
        let secret = Secret::random();
        let token = AccessToken { id: 0, name, scopes, created: now, expires, used: None };
        let new = NewToken { digest: secret.digest(), session: session.digest };
        let made = self.database.create_token(account, token, &new).await?;
        Ok((made?, secret.into_access_token()))
    }

    /// The tokens of an account that are still good, by name.
    pub(crate) async fn tokens(&self, account: &Account) -> Result<Vec<AccessToken>, Refusal> {
        Ok(self.database.tokens(account, self.now()).await?)
    }

    /// Ends a token of an account: `None` when it has none of this number.
    pub(crate) async fn revoke_token(
        &self,
        account: &Account,
        id: i64,
    ) -> Result<Option<AccessToken>, Refusal> {
        Ok(self.database.revoke_token(account, id).await?)
    }

    /// Whose token this is, and what it may be used for, while it is good.
    pub(crate) async fn token(
        &self,
        key: SessionKey,
    ) -> Result<Option<(Account, AccessToken)>, AccountsError> {
        let now = self.now();
        let found = self.database.token(key.digest, now).await?;
        if let Some((_, token)) = &found
            && token.used.is_none_or(|used| now.duration_since(used) >= STALE)
            && let Err(error) = self.database.touch_token(token.id, now).await
        {
            tracing::warn!(%error, "a token's last use could not be kept");
        }
        Ok(found)
    }

    /// Whether a token is still good. Asking does not use it.
    pub(super) async fn token_goes_on(&self, key: SessionKey) -> bool {
        debug_assert_eq!(key.carrier, Carrier::AccessToken);
        matches!(self.database.token(key.digest, self.now()).await, Ok(Some(_)))
    }
}
