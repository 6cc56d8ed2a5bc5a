//! With which passwords repositories are fetched: those of the environment, and those of git's own credential helpers.
//!
//! A password is in no argument and no message. It goes only to the URLs that it is meant for: the environment names a
//! prefix for each, a helper is asked for one URL.

use std::process::Stdio;
use std::time::Duration;

use miette::{IntoDiagnostic, WrapErr, miette};
use percent_encoding::percent_decode_str;
use seaway_git::{Authentication, CredentialSet, Credentials, Mirrors, RepositoryUrl, Secret, Transport};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::Mutex;

/// The variable: URLs with a user name and a password or token, as in git-credential-store(1), separated by white space.
pub(super) const VARIABLE: &str = "SEAWAY_GIT_CREDENTIALS";
/// How long a helper may take.
const HELPER_LIMIT: Duration = Duration::from_secs(20);

/// The passwords that are known so far.
pub(super) struct Passwords(Mutex<CredentialSet>);

impl Passwords {
    /// Those of the environment.
    pub(super) fn of_environment() -> miette::Result<Self> {
        let set = match std::env::var(VARIABLE) {
            Ok(text) => parse(&text)?,
            Err(std::env::VarError::NotPresent) => CredentialSet::new(),
            Err(std::env::VarError::NotUnicode(_)) => return Err(miette!("{VARIABLE} is not UTF-8")),
        };
        Ok(Self(Mutex::new(set)))
    }

    /// Use what is known. Whether that is something for this repository.
    pub(super) async fn give(&self, url: &RepositoryUrl, mirrors: &Mirrors) -> bool {
        let set = self.0.lock().await;
        mirrors.set_credentials(set.clone());
        set.find(url).is_some()
    }

    /// After a repository has refused access: ask git's helpers, as git does. Whether there is something to try; `tried`
    /// says whether something was.
    pub(super) async fn ask_helpers(
        &self,
        url: &RepositoryUrl,
        tried: bool,
        mirrors: &Mirrors,
    ) -> miette::Result<bool> {
        let mut set = self.0.lock().await;
        if !matches!(url.transport(), Transport::Https | Transport::Http) {
            return Ok(false);
        }
        if set.find(url).is_some() {
            // Another fetch of the same repository may have asked meanwhile.
            return Ok(!tried);
        }
        let Some(authentication) = fill(url).await else { return Ok(false) };
        let credentials = Credentials { authentication: Some(authentication), ca: None };
        set.insert(&url.to_string(), credentials).into_diagnostic()?;
        mirrors.set_credentials(set.clone());
        Ok(true)
    }
}

/// The entries of the variable. A message names an entry by its number, since it holds a password.
fn parse(text: &str) -> miette::Result<CredentialSet> {
    let mut set = CredentialSet::new();
    for (index, entry) in text.split_whitespace().enumerate() {
        let number = index + 1;
        let wrong = || {
            miette!(
                help = "write it as https://USER:TOKEN@git.example.com/team, special characters as %XX",
                "{VARIABLE}: entry {number} is no URL with a user name and a password"
            )
        };
        let (scheme, rest) = entry.split_once("://").ok_or_else(wrong)?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        // A slash in a password that is not written as %2F would make a host of a part of it.
        if path.contains('@') {
            return Err(wrong());
        }
        let (who, host) = authority.rsplit_once('@').ok_or_else(wrong)?;
        let (user, password) = who.split_once(':').ok_or_else(wrong)?;
        let decoded =
            |text: &str| percent_decode_str(text).decode_utf8().map(String::from).map_err(|_| wrong());
        let authentication =
            Authentication::Password { user: decoded(user)?, password: Secret::from(decoded(password)?) };
        let credentials = Credentials { authentication: Some(authentication), ca: None };
        set.insert(&format!("{scheme}://{host}{path}"), credentials)
            .into_diagnostic()
            .wrap_err_with(|| format!("{VARIABLE}: entry {number}"))?;
    }
    Ok(set)
}

/// What `git credential fill` says, with the user's configuration and without asking anybody.
async fn fill(url: &RepositoryUrl) -> Option<Authentication> {
    let mut child = tokio::process::Command::new("git")
        .args(["credential", "fill"])
        .env("GIT_TERMINAL_PROMPT", "0")
        // An empty value is none, whatever is configured.
        .env("GIT_ASKPASS", "")
        .env("SSH_ASKPASS", "")
        .env("GCM_INTERACTIVE", "never")
        // The user's configuration counts, that of a repository around this folder does not.
        .env_remove("GIT_DIR")
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .ok()?;
    let mut stdin = child.stdin.take()?;
    // A URL holds no line break: it could not be parsed.
    stdin.write_all(format!("url={url}\n\n").as_bytes()).await.ok()?;
    drop(stdin);
    let output = tokio::time::timeout(HELPER_LIMIT, child.wait_with_output()).await.ok()?.ok()?;
    let text = String::from_utf8(output.stdout).ok().filter(|_| output.status.success())?;
    let value = |key: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
            .filter(|text| !text.is_empty())
    };
    Some(Authentication::Password {
        user: value("username")?.to_owned(),
        password: Secret::from(value("password")?),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn found(set: &CredentialSet, url: &str) -> Option<(String, String)> {
        match set.find(&url.parse().unwrap())?.authentication.clone()? {
            Authentication::Password { user, password } => Some((user, password.expose().to_owned())),
            Authentication::SshKey { .. } => None,
        }
    }

    #[test]
    fn a_password_of_the_environment_goes_to_its_prefix_alone() {
        let set =
            parse("https://ci:t%40k%2Fn@git.example.com/team\nhttps://a:b:c@other.example.com").unwrap();
        let pair = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
        assert_eq!(found(&set, "https://git.example.com/team/shop.git"), pair("ci", "t@k/n"));
        assert_eq!(found(&set, "https://git.example.com/other"), None);
        assert_eq!(found(&set, "https://git.example.com.evil.org/team/shop"), None);
        assert_eq!(found(&set, "https://other.example.com/x"), pair("a", "b:c"));
        assert_eq!(found(&set, "http://other.example.com/x"), None);
    }

    #[test]
    fn what_cannot_be_used_is_named_without_its_password() {
        for text in [
            "https://s3cret@host",
            "s3cret",
            "https://u:s3cret",
            "https://u:s3cret%FF@host",
            "ssh://u:s3cret@host",
            "https://u:s3cret@",
            "https://:s3cret@host",
        ] {
            let error =
                format!("{:?}", parse(&format!("https://a:b@good.example.com {text}")).err().unwrap());
            assert!(error.contains("entry 2"), "{error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
    }
}
