//! Adding people, and letting them in: an account is made without a password, and a link that is good once lets its
//! person choose one. Who forgot a password is invited again.

use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};

use super::attempts::Key;
use super::database::{Creation, NewInvitation, Removal};
use super::sessions::{Digest, Secret, after};
use super::{Account, AccountName, Accounts, Refusal, SessionKey, passwords};

/// How long an invitation can be used.
const INVITED: SignedDuration = SignedDuration::from_hours(72);

/// An account, as those see it who may list them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) account: Account,
    pub(crate) state: State,
    /// Until when a link to it can be used, if there is one.
    pub(crate) invited: Option<Timestamp>,
    pub(crate) created: Timestamp,
}

/// Who invites somebody.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Inviter<'a> {
    /// The user name in Kubernetes: that of an account here, or not.
    pub(crate) name: &'a str,
    /// The session that says so, if one does.
    pub(crate) session: Option<SessionKey>,
}

/// Whether one can log in with an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// There is no password yet.
    Invited,
    /// There is one.
    Active,
    /// It was taken away: the account is being deleted.
    Locked,
}

/// What lets a person choose the password of an account. It is shown once; only a digest of the code is kept.
#[derive(Debug)]
pub(crate) struct Invitation {
    pub(crate) code: SecretString,
    pub(crate) expires: Timestamp,
}

/// Who has a good code.
#[derive(Debug)]
pub(crate) struct Invited {
    account: Account,
    code: Digest,
}

impl Invited {
    /// The name of the account.
    pub(crate) fn name(&self) -> &str {
        &self.account.name
    }

    /// Refuses what cannot be the password of the account. The invitation stays good.
    pub(crate) fn accepts(&self, password: &SecretString) -> Result<(), Refusal> {
        let name: AccountName = self.account.name.parse()?;
        Ok(passwords::check(&name, password)?)
    }
}

impl Accounts {
    /// All accounts, by name.
    pub(crate) async fn people(&self) -> Result<Vec<Known>, Refusal> {
        let now = self.now();
        let people = self.database.people().await?;
        Ok(people.into_iter().map(|known| known.at(now)).collect())
    }

    /// The account of this name.
    pub(crate) async fn known(&self, name: &AccountName) -> Result<Known, Refusal> {
        let known = self.database.known(name).await?;
        known.map(|known| known.at(self.now())).ok_or_else(|| Refusal::Unknown(name.to_string()))
    }

    /// Refuses a name that somebody has.
    pub(crate) async fn must_be_free(&self, name: &AccountName) -> Result<(), Refusal> {
        match self.database.known(name).await? {
            Some(_) => Err(Refusal::Taken(name.to_string())),
            None => Ok(()),
        }
    }

    /// Makes an account without a password, and invites to it.
    pub(crate) async fn create(
        &self,
        name: &AccountName,
        groups: &[String],
        inviter: Inviter<'_>,
    ) -> Result<(Known, Invitation), Refusal> {
        let (new, invitation) = self.invitation(inviter);
        match self.database.create_invited(name, groups, &new, self.now()).await? {
            Creation::Done(known) => Ok((known, invitation)),
            Creation::Taken => Err(Refusal::Taken(name.to_string())),
            Creation::Ended => Err(Refusal::Ended),
        }
    }

    /// Puts an account into these groups, and into no others.
    pub(crate) async fn assign(&self, name: &AccountName, groups: &[String]) -> Result<Known, Refusal> {
        removed(name, self.database.assign(name, groups).await?)?;
        self.known(name).await
    }

    /// Invites again; the invitation before is of no use any more. A password stays valid until this one is used.
    pub(crate) async fn invite(
        &self,
        name: &AccountName,
        inviter: Inviter<'_>,
    ) -> Result<(Known, Invitation), Refusal> {
        let known = self.known(name).await?;
        let (new, invitation) = self.invitation(inviter);
        if !self.database.invite(&known.account, &new).await? {
            return Err(Refusal::Ended);
        }
        Ok((self.known(name).await?, invitation))
    }

    fn invitation<'a>(&self, inviter: Inviter<'a>) -> (NewInvitation<'a>, Invitation) {
        let secret = Secret::random();
        let (code, expires) = (secret.digest(), after(self.now(), INVITED));
        let session = inviter.session.map(|session| session.digest);
        let new = NewInvitation { code, expires, inviter: inviter.name, session };
        (new, Invitation { code: secret.into_text(), expires })
    }

    /// Whose invitation has this code. Only codes that are nobody's count as attempts: whoever has a good one does not
    /// wait for others at the same address.
    pub(crate) async fn invited(&self, code: &SecretString, from: IpAddr) -> Result<Invited, Refusal> {
        let code = Digest::of(code.expose_secret());
        match self.database.invited(code, self.now()).await? {
            Some(account) => Ok(Invited { account, code }),
            None => {
                self.attempts.begin(&[Key::Setup(from)], self.now()).map_err(Refusal::Wait)?;
                Err(Refusal::NotInvited)
            }
        }
    }

    /// Uses an invitation: the account has this password from now on, and all its sessions end.
    pub(crate) async fn join(&self, invited: Invited, password: SecretString) -> Result<Account, Refusal> {
        invited.accepts(&password)?;
        let Invited { account, code } = invited;
        let hash = self.passwords.hash(password).await?;
        self.database.join(code, &hash, self.now()).await?.ok_or(Refusal::NotInvited)?;
        // Whoever guessed at the password before does not keep its owner waiting.
        self.attempts.forget(&Key::Account(account.name.clone()));
        Ok(Account { password: Digest::of(&hash), ..account })
    }

    /// Refuses to delete the account without which nobody could add people.
    pub(crate) async fn must_not_be_last(&self, account: &Account) -> Result<(), Refusal> {
        match self.database.is_only_administrator(account).await? {
            true => Err(Refusal::LastAdministrator),
            false => Ok(()),
        }
    }

    /// Takes away the password of an account, ends its sessions and the invitation to it. The account stays.
    pub(crate) async fn lock(&self, name: &AccountName) -> Result<(), Refusal> {
        removed(name, self.database.lock(name).await?)
    }

    /// Deletes an account and ends its sessions.
    pub(crate) async fn delete(&self, name: &AccountName) -> Result<(), Refusal> {
        removed(name, self.database.delete(name).await?)
    }
}

impl Known {
    /// A link that is too old is none.
    fn at(self, now: Timestamp) -> Self {
        Self { invited: self.invited.filter(|until| *until > now), ..self }
    }
}

fn removed(name: &AccountName, removal: Removal) -> Result<(), Refusal> {
    match removal {
        Removal::Done => Ok(()),
        Removal::Unknown => Err(Refusal::Unknown(name.to_string())),
        Removal::LastAdministrator => Err(Refusal::LastAdministrator),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::accounts::{Carrier, Role};

    fn of(role: Role) -> [String; 1] {
        [role.group().to_owned()]
    }

    async fn join(accounts: &Accounts, invitation: &Invitation, password: &str) -> Account {
        let invited = accounts.invited(&invitation.code, Ipv4Addr::LOCALHOST.into()).await.unwrap();
        accounts.join(invited, SecretString::from(password.to_owned())).await.unwrap()
    }

    /// A login takes a while: the password is hashed, the ledger written.
    #[tokio::test]
    async fn a_login_with_the_old_password_does_not_outlive_the_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let (accounts, _) = Accounts::open(&folder.path().join("accounts.db")).await.unwrap();
        let (name, from) = ("ada".parse().unwrap(), Ipv4Addr::LOCALHOST.into());
        let password = |text: &str| SecretString::from(text.to_owned());
        let root = Inviter { name: "root", session: None };
        let (_, invitation) = accounts.create(&name, &of(Role::Developer), root).await.unwrap();
        join(&accounts, &invitation, "an old password").await;
        let begun = accounts.verify("ada", password("an old password"), from).await.unwrap();
        let (_, invitation) = accounts.invite(&name, root).await.unwrap();
        let joined = join(&accounts, &invitation, "a new password").await;
        let late = accounts.begin_session(&begun, Carrier::Bearer, None).await;
        assert!(matches!(late, Err(Refusal::Wrong { .. })), "{late:?}");
        accounts.begin_session(&joined, Carrier::Cookie, None).await.unwrap();
        accounts.delete(&name).await.unwrap();
        let late = accounts.begin_session(&joined, Carrier::Cookie, None).await;
        assert!(matches!(late, Err(Refusal::Wrong { .. })), "{late:?}");
        accounts.close().await;
    }

    /// An administrator is deleted while he invites.
    #[tokio::test]
    async fn an_invitation_does_not_come_after_the_end_of_who_invites() {
        let folder = tempfile::tempdir().unwrap();
        let (accounts, _) = Accounts::open(&folder.path().join("accounts.db")).await.unwrap();
        let [ben, ada, eve] = ["ben", "ada", "eve"].map(|name| name.parse().unwrap());
        let root = Inviter { name: "root", session: None };
        let (_, invitation) = accounts.create(&ben, &of(Role::Operator), root).await.unwrap();
        let joined = join(&accounts, &invitation, "a good password").await;
        let (secret, _) = accounts.begin_session(&joined, Carrier::Bearer, None).await.unwrap();
        let inviter = Inviter { name: "ben", session: Some(secret.key(Carrier::Bearer)) };
        accounts.create(&ada, &of(Role::Viewer), inviter).await.unwrap();
        accounts.invite(&ada, inviter).await.unwrap();
        accounts.lock(&ben).await.unwrap();
        assert_eq!(accounts.known(&ada).await.unwrap().invited, None);
        assert!(matches!(accounts.invite(&ada, inviter).await, Err(Refusal::Ended)));
        assert!(matches!(accounts.create(&eve, &of(Role::Viewer), inviter).await, Err(Refusal::Ended)));
        accounts.must_be_free(&eve).await.unwrap();
        accounts.close().await;
    }
}
