//! People who log in here with a name and a password, and their sessions.
//!
//! An account says who somebody is and in which groups; what that allows, Kubernetes RBAC decides alone. While there is
//! no account, a code that is shown once where the program was started makes the first one, in the group [`ADMINS`]. Its
//! person invites the others.
//!
//! Start reading in [`Accounts`], then `people.rs` (invitations); `database.rs` is the file, `attempts.rs` what slows
//! down guessing.

mod attempts;
mod database;
mod error;
mod external;
mod grants;
mod names;
mod passwords;
mod people;
mod roles;
mod schema;
mod sessions;
mod tokens;
mod turns;

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use secrecy::{ExposeSecret, SecretString};

pub use error::Error as AccountsError;
pub use grants::{Grant, GrantError};
pub use names::{AccountName, NameError};
pub(crate) use people::{Invitation, Inviter, Known, State};
pub use roles::{ADMINS, Role, RoleError};
pub(crate) use sessions::{Carrier, LONGEST as LONGEST_SESSION, Secret, Session, SessionKey};
pub(crate) use tokens::{AccessToken, Wanted};
pub use tokens::{Scope, ScopeError};

use attempts::{Attempts, Key};
use database::Database;
use error::Error;
use passwords::Passwords;
use sessions::{Digest, GRACE, SecretAge};
use turns::Turns;

/// Says what time it is.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The accounts in one file, and who is logged in.
pub struct Accounts {
    database: Database,
    passwords: Passwords,
    attempts: Attempts,
    turns: Turns,
    /// What the code of the first account hashes to. It is there as long as there is no account.
    setup: Mutex<Option<Digest>>,
    clock: Clock,
}

/// Who has an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) groups: Vec<String>,
    /// Which password it had when this was read: another one has another digest.
    password: Digest,
}

impl Account {
    /// Whether its person can log in with a password; else a provider says who it is.
    pub(crate) fn has_password(&self) -> bool {
        self.password != Digest::of("")
    }
}

/// Why somebody does not get in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// No account has this name and password. The answer does not tell which of them is wrong; the ledger may.
    #[error("the name or the password is wrong")]
    Wrong {
        /// The account, if there is one of this name.
        account: Option<String>,
    },
    #[error("too many attempts: try again in {} s", .0.as_secs())]
    Wait(Duration),
    #[error("the code is not the one that the last start of the server has printed")]
    WrongCode,
    #[error("there is an account already")]
    Exists,
    #[error("the link has been used already, is older than three days, or a newer one was made")]
    NotInvited,
    #[error("there is an account {0:?} already")]
    Taken(String),
    #[error("the account was locked: nobody can log in with it")]
    Locked,
    #[error("there is no account {0:?}")]
    Unknown(String),
    #[error("the session has ended meanwhile: nothing was done")]
    Ended,
    #[error("this is the last account that may add people: it can neither be deleted nor lose that")]
    LastAdministrator,
    #[error("a token has a name of 1 to 64 characters")]
    TokenName,
    #[error("a token ends within a year: give a time between now and then")]
    TokenLifetime,
    #[error("there is a token {0:?} already")]
    TokenTaken(String),
    #[error("there are as many tokens as an account may have")]
    TooManyTokens,
    #[error(transparent)]
    Name(#[from] NameError),
    #[error(transparent)]
    Password(#[from] passwords::PasswordError),
    #[error(transparent)]
    Failed(#[from] Error),
}

/// When a request should be sent again that came while too many passwords were being checked.
const BUSY: Duration = Duration::from_secs(1);

impl From<passwords::Busy> for Refusal {
    fn from(_: passwords::Busy) -> Self {
        Self::Wait(BUSY)
    }
}

impl Accounts {
    /// Opens or makes the file. While there is no account, this returns the code that makes the first one; the code of
    /// an earlier start is of no use any more.
    ///
    /// # Errors
    /// When the file is damaged, another program's or a newer release's: it is left as it is.
    pub async fn open(file: &Path) -> Result<(Self, Option<SecretString>), Error> {
        Self::open_with_clock(file, Arc::new(Timestamp::now)).await
    }

    /// As [`Accounts::open`], at a time that the caller tells.
    ///
    /// # Errors
    /// As [`Accounts::open`].
    pub async fn open_with_clock(file: &Path, clock: Clock) -> Result<(Self, Option<SecretString>), Error> {
        let database = Database::open(file).await?;
        let secret = match database.is_empty().await? {
            true => Some(Secret::random()),
            false => None,
        };
        let accounts = Self {
            database,
            passwords: Passwords::new(),
            attempts: Attempts::default(),
            turns: Turns::default(),
            setup: Mutex::new(secret.as_ref().map(Secret::digest)),
            clock,
        };
        Ok((accounts, secret.map(Secret::into_text)))
    }

    /// Writes what is left to write. Nobody can log in afterwards.
    pub async fn close(&self) {
        self.database.close().await;
    }

    /// Whether there is no account yet.
    pub(crate) fn wants_setup(&self) -> bool {
        self.setup.lock().is_some()
    }

    /// Makes the first account. Of several at once exactly one does.
    pub(crate) async fn set_up(
        &self,
        code: &SecretString,
        name: &str,
        password: SecretString,
        from: IpAddr,
    ) -> Result<Account, Refusal> {
        let expected = self.setup.lock().ok_or(Refusal::Exists)?;
        let keys = [Key::Setup(from)];
        self.attempts.begin(&keys, self.now()).map_err(Refusal::Wait)?;
        // Digests are compared: how far they agree tells nothing of the code.
        if Digest::of(code.expose_secret()) != expected {
            return Err(Refusal::WrongCode);
        }
        self.attempts.refund(&keys);
        let name: AccountName = name.parse()?;
        passwords::check(&name, &password)?;
        let hash = self.passwords.hash(password).await?;
        let made = self.database.create_first(&name, &hash, &[ADMINS], self.now()).await?;
        *self.setup.lock() = None;
        made.ok_or(Refusal::Exists)
    }

    /// The account that has this name and password.
    pub(crate) async fn verify(
        &self,
        name: &str,
        password: SecretString,
        from: IpAddr,
    ) -> Result<Account, Refusal> {
        // What cannot be a name is nobody's, and takes as long as a wrong password.
        let name = name.parse::<AccountName>().ok();
        let address = Key::Address(from);
        let of_account = name.as_ref().map(|name| Key::Account(name.as_str().to_owned()));
        let keys: Vec<Key> = of_account.iter().cloned().chain([address.clone()]).collect();
        self.attempts.begin(&keys, self.now()).map_err(Refusal::Wait)?;
        let found = match &name {
            Some(name) => self.database.account(name).await?,
            None => None,
        };
        let (account, hash) = found.unzip();
        let right = match self.passwords.verify(password, hash.flatten()).await {
            Ok(right) => right,
            Err(busy) => {
                self.attempts.refund(&keys);
                return Err(busy.into());
            }
        };
        match account {
            Some(account) if right => {
                // Whoever guesses from this address does not begin anew by logging in with an account of his own.
                self.attempts.refund(&[address]);
                if let Some(key) = of_account {
                    self.attempts.forget(&key);
                }
                Ok(account)
            }
            account => Err(Refusal::Wrong { account: account.map(|account| account.name) }),
        }
    }

    /// Begins a session whose secret is sent this way, and ends the one that this browser had before. It is refused when
    /// the password was changed, or the account deleted, since it was verified.
    pub(crate) async fn begin_session(
        &self,
        account: &Account,
        carrier: Carrier,
        before: Option<&Secret>,
    ) -> Result<(Secret, Session), Refusal> {
        let secret = Secret::random();
        let now = self.now();
        let before = before.map(Secret::digest);
        if !self.database.begin_session(account, secret.digest(), carrier, before, now).await? {
            return Err(Refusal::Wrong { account: Some(account.name.clone()) });
        }
        Ok((secret, Session::new(account.clone(), now, now)))
    }

    /// The session whose secret this is, as long as it goes on. Using it keeps it from ending for want of use.
    pub(crate) async fn session(&self, key: SessionKey) -> Result<Option<Session>, Error> {
        let now = self.now();
        let found = self.database.session(key.digest, key.carrier, now).await?;
        let Some(session) = found.filter(|session| session.goes_on(now)) else {
            return Ok(None);
        };
        if session.is_stale(now)
            && let Err(error) = self.database.touch_session(key.digest, now).await
        {
            tracing::warn!(%error, "a session's last use could not be kept");
        }
        if let SecretAge::Newest { unseen: true, .. } = session.secret {
            self.database.saw_secret(key.digest, sessions::after(now, GRACE)).await?;
        }
        Ok(Some(session))
    }

    /// Another secret for a browser's session whose secret is old. Until that one is seen, the old one counts as well: the
    /// answer with it may be lost.
    pub(crate) async fn rotate(&self, key: SessionKey, session: &Session) -> Result<Option<Secret>, Error> {
        let now = self.now();
        if key.carrier != Carrier::Cookie || !session.has_old_secret(now) {
            return Ok(None);
        }
        let secret = Secret::random();
        let done = self.database.rotate_session(key.digest, secret.digest(), now).await?;
        Ok(done.then_some(secret))
    }

    /// Whether a session still goes on. Asking does not use it.
    pub(crate) async fn goes_on(&self, key: SessionKey) -> bool {
        if key.carrier == Carrier::AccessToken {
            return self.token_goes_on(key).await;
        }
        let now = self.now();
        matches!(self.database.session(key.digest, key.carrier, now).await, Ok(Some(session)) if session.goes_on(now))
    }

    /// Ends a session.
    pub(crate) async fn end_session(&self, key: SessionKey) -> Result<(), Error> {
        self.database.end_session(key.digest).await
    }

    /// Waits until nobody else makes or deletes the account of this name; for as long as the answer is held, nobody does.
    pub(crate) async fn turn(&self, name: &AccountName) -> tokio::sync::OwnedMutexGuard<()> {
        self.turns.take(name).await
    }

    /// What time it is here.
    pub(crate) fn now(&self) -> Timestamp {
        (self.clock)()
    }
}
