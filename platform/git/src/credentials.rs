//! Credentials by URL prefix.

use std::fmt;
use std::sync::Arc;

use crate::prefix::{Prefixes, UrlPrefix};
use crate::{Error, RepositoryUrl, Transport};

/// A value that is not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// The value, for where it is used.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(value: String) -> Self {
        Self(value.into())
    }
}

impl From<&str> for Secret {
    fn from(value: &str) -> Self {
        Self(value.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// How Seaway says who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authentication {
    /// For http and https. Every forge takes an access token as the password; which user name goes with it is the
    /// forge's choice (GitHub, GitLab and Gitea take any).
    Password {
        /// The user name.
        user: String,
        /// The password or token.
        password: Secret,
    },
    /// For ssh.
    SshKey {
        /// The private key, in the format of OpenSSH or PEM, without passphrase.
        private_key: Secret,
        /// The server's keys, as in sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT".
        known_hosts: String,
    },
}

/// What is used for the repositories below one URL prefix.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// How Seaway says who it is; absent for public repositories.
    pub authentication: Option<Authentication>,
    /// Certificates (PEM) that alone are trusted, in place of the system's.
    pub ca: Option<String>,
}

/// Credentials for many repositories, found by the longest URL prefix.
#[derive(Debug, Clone, Default)]
pub struct CredentialSet(Prefixes<Credentials>);

impl CredentialSet {
    /// No credentials.
    pub fn new() -> Self {
        Self::default()
    }

    /// Use `credentials` for the repository `prefix` and everything below it: `https://git.example.com`,
    /// `https://git.example.com/team`, `ssh://git.example.com`, `git@git.example.com:team`. A user name in it is not
    /// looked at. Replaces what was there for the same prefix.
    pub fn insert(&mut self, prefix: &str, credentials: Credentials) -> Result<(), Error> {
        let prefix: UrlPrefix = prefix.parse()?;
        if let Some(reason) = unusable(prefix.transport(), &credentials) {
            return Err(Error::BadCredentials { prefix: prefix.to_string(), reason });
        }
        self.0.insert(prefix, credentials);
        Ok(())
    }

    /// The credentials for a repository.
    pub fn find(&self, url: &RepositoryUrl) -> Option<&Credentials> {
        self.0.find(url)
    }
}

fn unusable(transport: Transport, credentials: &Credentials) -> Option<&'static str> {
    match (&credentials.authentication, transport) {
        (Some(Authentication::Password { user, password }), Transport::Http | Transport::Https) => {
            // Git's credential protocol is lines of text.
            let broken = |text: &str| text.contains(['\n', '\r', '\0']);
            if user.is_empty() || password.expose().is_empty() {
                Some("the user name or the password is empty")
            } else if broken(user) || broken(password.expose()) {
                Some("the user name or the password contains a line break")
            } else {
                None
            }
        }
        (Some(Authentication::SshKey { private_key, known_hosts }), Transport::Ssh) => {
            if !private_key.expose().contains("PRIVATE KEY-----") {
                Some("the private key is not in the format of OpenSSH or PEM")
            } else if known_hosts.trim().is_empty() {
                Some("known_hosts is empty: put the server's host key there")
            } else {
                None
            }
        }
        (Some(Authentication::Password { .. }), _) => Some("a password is for http and https URLs"),
        (Some(Authentication::SshKey { .. }), _) => Some("an ssh key is for ssh URLs"),
        (None, _) => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn password(user: &str) -> Credentials {
        let authentication = Authentication::Password { user: user.into(), password: "s3cret".into() };
        Credentials { authentication: Some(authentication), ca: None }
    }

    #[test]
    fn the_longest_prefix_wins_at_whole_path_parts() {
        let mut set = CredentialSet::new();
        set.insert("https://git.example.com", password("all")).unwrap();
        set.insert("https://git.example.com/team/", password("team")).unwrap();
        set.insert("https://git.example.com/team/shop.git", password("shop")).unwrap();
        for (url, user) in [
            ("https://git.example.com/other", Some("all")),
            ("https://git.example.com/team", Some("team")),
            ("https://git.example.com/team/a.git", Some("team")),
            ("https://git.example.com/teams/a.git", Some("all")),
            ("https://git.example.com/team/shop", Some("shop")),
            ("https://me@git.example.com/team/shop.git", Some("shop")),
            ("https://git.example.com.evil.org/team/a", None),
            ("https://git.example.com:8443/team/a", None),
            ("http://git.example.com/team/a", None),
            ("git@git.example.com:team/a", None),
        ] {
            let found = set.find(&url.parse().unwrap()).cloned();
            assert_eq!(found, user.map(password), "{url}");
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        let mut set = CredentialSet::new();
        set.insert("https://git.example.com", password("all")).unwrap();
        assert!(!format!("{set:?}").contains("s3cret"));
    }

    #[test]
    fn credentials_that_cannot_work_are_refused_at_once() {
        let mut set = CredentialSet::new();
        assert!(set.insert("git@h:a", password("u")).is_err());
        assert!(set.insert("https://h", password("u\nhost=other")).is_err());
        let key = |key: &str, hosts: &str| Credentials {
            authentication: Some(Authentication::SshKey {
                private_key: key.into(),
                known_hosts: hosts.into(),
            }),
            ca: None,
        };
        let good = "-----BEGIN OPENSSH PRIVATE KEY-----";
        assert!(set.insert("ssh://h", key(good, "h ssh-ed25519 AAAA")).is_ok());
        assert!(set.insert("ssh://h", key(good, "")).is_err());
        assert!(set.insert("ssh://h", key("ssh-ed25519 AAAA", "h ssh-ed25519 AAAA")).is_err());
        assert!(set.insert("https://h", key(good, "h ssh-ed25519 AAAA")).is_err());
    }
}
