//! Sessions: what the browser holds, what is kept of it, and how long one goes on.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest as _, Sha256};

use super::Account;

/// A session ends when it was not used for this long,
pub(super) const IDLE: SignedDuration = SignedDuration::from_hours(12);
/// and this long after the login in any case.
pub(crate) const LONGEST: SignedDuration = SignedDuration::from_hours(7 * 24);
/// How late its last use may be known: not every request writes to the disk.
const STALE: SignedDuration = SignedDuration::from_mins(5);
/// How old the secret of a browser's session becomes: one that was stolen is of use for so long.
const LONGEST_SECRET: SignedDuration = SignedDuration::from_hours(1);
/// For so long after the new secret was seen the one before it counts: requests were under way with it.
pub(super) const GRACE: SignedDuration = SignedDuration::from_mins(1);
/// Sessions of an account; with one more, the one that was not used for the longest time ends.
pub(super) const MOST: i64 = 16;

/// Length of a secret's text: 32 bytes in base64.
const SECRET_TEXT: usize = 43;

/// What a bearer token of a session begins with. All of Seaway's begin with `swy_`, and the gateway lets none of them
/// through; this one is longer than that of the embedded Kubernetes API, so that neither is taken for the other.
const PREFIX: &str = "swy_s_";

/// What a personal access token begins with.
const ACCESS_PREFIX: &str = "swy_p_";

/// How the secret of a session is sent. One that was made for the one is of no use as the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// A browser's cookie.
    Cookie,
    /// The `Authorization` header of a command line.
    Bearer,
    /// The `Authorization` header of a program: a personal access token, which is no session.
    AccessToken,
}

/// A session that is asked for: the digest of its secret, and how that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SessionKey {
    pub(super) digest: Digest,
    pub(super) carrier: Carrier,
}

impl SessionKey {
    /// Whether it is that of a browser, where its person sees what is asked.
    pub(crate) fn is_of_browser(self) -> bool {
        self.carrier == Carrier::Cookie
    }
}

/// 32 random bytes, as a text. It cannot be printed.
#[derive(Debug)]
pub(crate) struct Secret(SecretString);

impl Secret {
    pub(crate) fn random() -> Self {
        let bytes: [u8; 32] = rand::random();
        Self(URL_SAFE_NO_PAD.encode(bytes).into())
    }

    /// From what a browser sends; `None` when it is none by its form.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let good = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'_';
        (text.len() == SECRET_TEXT && text.bytes().all(good)).then(|| Self(text.into()))
    }

    pub(crate) fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    pub(crate) fn into_text(self) -> SecretString {
        self.0
    }

    /// From a bearer token; `None` when it is none of a session by its form.
    pub(crate) fn of_token(text: &str) -> Option<Self> {
        text.strip_prefix(PREFIX).and_then(Self::parse)
    }

    /// As a bearer token.
    pub(crate) fn into_token(self) -> SecretString {
        format!("{PREFIX}{}", self.expose()).into()
    }

    /// From a bearer token; `None` when it is no personal access token by its form.
    pub(crate) fn of_access_token(text: &str) -> Option<Self> {
        text.strip_prefix(ACCESS_PREFIX).and_then(Self::parse)
    }

    /// As a personal access token.
    pub(crate) fn into_access_token(self) -> SecretString {
        format!("{ACCESS_PREFIX}{}", self.expose()).into()
    }

    /// The session whose secret it is, when it was sent this way.
    pub(crate) fn key(&self, carrier: Carrier) -> SessionKey {
        SessionKey { digest: self.digest(), carrier }
    }

    pub(super) fn digest(&self) -> Digest {
        Digest::of(self.expose())
    }
}

/// All that is kept of a secret: who reads it cannot log in with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Digest([u8; 32]);

impl Digest {
    pub(crate) fn of(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Somebody who is logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) account: Account,
    pub(crate) started: Timestamp,
    seen: Timestamp,
    pub(super) secret: SecretAge,
}

/// With which of its secrets a session was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SecretAge {
    /// The one before the last.
    Previous,
    /// The last one, and whether nobody has shown it yet.
    Newest { made: Timestamp, unseen: bool },
}

impl Session {
    pub(super) fn new(account: Account, started: Timestamp, seen: Timestamp) -> Self {
        Self { account, started, seen, secret: SecretAge::Newest { made: started, unseen: false } }
    }

    pub(super) fn with_secret(self, secret: SecretAge) -> Self {
        Self { secret, ..self }
    }

    /// When it ends, if it is not used until then.
    pub(crate) fn expires(&self) -> Timestamp {
        after(self.seen, IDLE).min(after(self.started, LONGEST))
    }

    pub(super) fn goes_on(&self, now: Timestamp) -> bool {
        now < self.expires()
    }

    /// Whether it is time for another secret.
    pub(super) fn has_old_secret(&self, now: Timestamp) -> bool {
        matches!(self.secret, SecretAge::Newest { made, .. } if now.duration_since(made) >= LONGEST_SECRET)
    }

    /// Whether it is time to keep that it is used.
    pub(super) fn is_stale(&self, now: Timestamp) -> bool {
        now.duration_since(self.seen) >= STALE
    }
}

/// A time of which one cannot speak is never.
pub(super) fn after(time: Timestamp, duration: SignedDuration) -> Timestamp {
    time.checked_add(duration).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_long_random_and_not_printed() {
        let secret = Secret::random();
        assert_eq!(secret.expose().len(), SECRET_TEXT);
        assert_ne!(secret.expose(), Secret::random().expose());
        assert!(!format!("{secret:?}").contains(secret.expose()));
        assert_eq!(Secret::parse(secret.expose()).unwrap().digest(), secret.digest());
        let token = Secret::parse(secret.expose()).unwrap().into_token();
        assert_eq!(Secret::of_token(token.expose_secret()).unwrap().digest(), secret.digest());
        assert!(Secret::parse(token.expose_secret()).is_none(), "a token is no cookie");
        assert!(Secret::of_token(secret.expose()).is_none(), "a cookie is no token");
        let access = Secret::random().into_access_token();
        assert!(Secret::of_token(access.expose_secret()).is_none(), "an access token is no session");
        assert!(Secret::of_access_token(token.expose_secret()).is_none(), "and the other way round");
        let of_kubernetes = format!("swy_s_{}", "a".repeat(41));
        assert!(Secret::of_token(&of_kubernetes).is_none(), "32 bytes after `swy_` can begin with `s_`");
        for bad in ["", "short", &"a".repeat(44), &"=".repeat(43), &"ä".repeat(43)] {
            assert!(Secret::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_session_ends_when_it_is_idle_and_in_any_case_after_a_week() {
        let account = Account { id: 1, name: "jane".into(), groups: Vec::new(), password: Digest::of("") };
        let hour = |hours| after(Timestamp::UNIX_EPOCH, SignedDuration::from_hours(hours));
        let idle = Session::new(account.clone(), hour(0), hour(1));
        assert!(idle.goes_on(hour(12)));
        assert!(!idle.goes_on(hour(13)));
        let used = Session::new(account, hour(0), hour(167));
        assert!(!used.goes_on(hour(168)));
        assert_eq!(used.expires(), hour(168));
    }
}
