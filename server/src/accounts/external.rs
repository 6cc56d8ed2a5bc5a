//! People whom a provider of OpenID Connect vouches for: their accounts have no password, and are for what the provider's
//! groups say, anew at each login.

use std::net::IpAddr;

use super::attempts::Key;
use super::database::Entry;
use super::{Account, Accounts, Refusal};
use crate::oidc::External;

impl Accounts {
    /// Counts a login at a provider, which asks it for something.
    pub(crate) fn attempt_external(&self, from: IpAddr) -> Result<(), Refusal> {
        self.attempts.begin(&[Key::External(from)], self.now()).map_err(Refusal::Wait)
    }

    /// It went well.
    pub(crate) fn refund_external(&self, from: IpAddr) {
        self.attempts.refund(&[Key::External(from)]);
    }

    /// The account of a person whom a provider vouches for, made at the first login. It belongs to that very person at
    /// that very issuer: another one of the same name is refused, whether the account is the provider's or not.
    pub(crate) async fn enter(&self, external: &External) -> Result<Account, Refusal> {
        match self.database.enter(external, &external.assigned.groups(), self.now()).await? {
            Entry::Done(account) => Ok(account),
            Entry::Taken => Err(Refusal::Taken(external.name.to_string())),
            Entry::Locked => Err(Refusal::Locked),
        }
    }
}
