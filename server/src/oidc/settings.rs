//! How a provider is used: set by operations.

use std::fmt;
use std::str::FromStr;

use secrecy::SecretString;

use crate::accounts::{Grant, Role};

/// A provider of OpenID Connect, and what its groups are here.
#[derive(Clone, Debug)]
pub struct Oidc {
    /// Its issuer, as it calls itself: `https://id.example.com/realms/shop`.
    pub issuer: String,
    /// What the login page calls it.
    pub display_name: String,
    /// This server's name there.
    pub client_id: String,
    /// Its secret there; absent: a public client, which PKCE alone protects.
    pub client_secret: Option<SecretString>,
    /// What is asked for besides `openid`.
    pub scopes: Vec<String>,
    /// The claim that names people.
    pub username_claim: String,
    /// The claim with their groups.
    pub groups_claim: String,
    /// What the provider's groups are here.
    pub roles: Vec<OidcRole>,
    /// The role of whoever has no other; absent: nobody gets in without one.
    pub default_role: Option<Role>,
    /// Certificates (PEM) of who vouches for the provider; absent: those that the machine trusts.
    pub authority: Option<Vec<u8>>,
}

/// What one of the provider's groups is here: `platform=operator`, `shop-developers=developer:shop/staging`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OidcRole {
    group: String,
    is: Is,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Is {
    Role(Role),
    Grant(Grant),
}

/// The text says of no group what it is here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not understood: write GROUP=ROLE, with viewer, developer, approver, operator or admin, or GROUP=ROLE:STACK, \
     GROUP=ROLE:STACK/CLASS or GROUP=ROLE:*/CLASS"
)]
pub struct OidcRoleError(String);

impl FromStr for OidcRole {
    type Err = OidcRoleError;

    fn from_str(text: &str) -> Result<Self, OidcRoleError> {
        // A group may hold whatever it likes, a role no `=`.
        let parsed = text.rsplit_once('=').filter(|(group, _)| !group.is_empty()).and_then(|(group, is)| {
            let is = match is.parse() {
                Ok(role) => Is::Role(role),
                Err(_) => Is::Grant(is.parse().ok()?),
            };
            Some(Self { group: group.to_owned(), is })
        });
        parsed.ok_or_else(|| OidcRoleError(text.to_owned()))
    }
}

impl fmt::Display for OidcRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.is {
            Is::Role(role) => write!(f, "{}={role}", self.group),
            Is::Grant(grant) => write!(f, "{}={grant}", self.group),
        }
    }
}

/// What somebody is here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Assigned {
    pub(crate) roles: Vec<Role>,
    pub(crate) grants: Vec<Grant>,
}

impl Assigned {
    pub(super) fn is_empty(&self) -> bool {
        self.roles.is_empty() && self.grants.is_empty()
    }

    /// The mightiest of the roles.
    pub(crate) fn role(&self) -> Option<Role> {
        self.roles.iter().copied().max()
    }

    /// The groups in Kubernetes.
    pub(crate) fn groups(&self) -> Vec<String> {
        let mut groups: Vec<String> = self.roles.iter().map(|role| role.group().to_owned()).collect();
        groups.extend(self.grants.iter().map(Grant::group));
        groups.sort();
        groups.dedup();
        groups
    }
}

impl Oidc {
    pub(super) fn assigned(&self, groups: &[String]) -> Assigned {
        let mut assigned = Assigned::default();
        for one in self.roles.iter().filter(|one| groups.contains(&one.group)) {
            match &one.is {
                Is::Role(role) => assigned.roles.push(*role),
                Is::Grant(grant) => assigned.grants.push(grant.clone()),
            }
        }
        if assigned.roles.is_empty() {
            assigned.roles.extend(self.default_role);
        }
        assigned
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_a_role_or_a_grant() {
        for text in [
            "platform=operator",
            "a=b=viewer",
            "shop=developer:shop/staging",
            "cn=x,dc=y=approver:*/production",
        ] {
            assert_eq!(text.parse::<OidcRole>().unwrap().to_string(), text);
        }
        for bad in ["", "platform", "=viewer", "platform=", "platform=boss", "platform=admin:shop"] {
            assert!(bad.parse::<OidcRole>().is_err(), "{bad}");
        }
    }
}
