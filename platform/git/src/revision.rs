//! Names of commits.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Error;

/// Longer names are refused, in bytes.
const MAX_LENGTH: usize = 250;
/// Shorter beginnings of a commit id are taken for names only.
const MIN_PREFIX: usize = 7;
/// Hexadecimal digits in a commit id.
const ID_LENGTH: usize = 40;

/// The full id of a commit: 40 hexadecimal digits in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CommitId(String);

impl CommitId {
    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for CommitId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if text.len() == ID_LENGTH && text.bytes().all(|b| b.is_ascii_hexdigit()) {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(bad(text, "is not a commit id of 40 hexadecimal digits"))
        }
    }
}

impl TryFrom<String> for CommitId {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<CommitId> for String {
    fn from(id: CommitId) -> Self {
        id.0
    }
}

/// Which commit of a repository is meant.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Revision {
    /// What the repository shows when nothing is named.
    Head,
    /// One commit for ever.
    Commit(CommitId),
    /// A full name, such as `refs/heads/main` or `refs/pull/7/head`.
    Ref(String),
    /// A branch, else a tag, else (7 hexadecimal digits or more) the beginning of a commit id.
    Name(String),
}

impl Revision {
    /// Whether this could be the beginning of a commit id.
    pub(crate) fn as_prefix(&self) -> Option<&str> {
        match self {
            Self::Name(name)
                if (MIN_PREFIX..ID_LENGTH).contains(&name.len())
                    && name.bytes().all(|b| b.is_ascii_hexdigit()) =>
            {
                Some(name)
            }
            _ => None,
        }
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head => f.write_str("HEAD"),
            Self::Commit(id) => fmt::Display::fmt(id, f),
            Self::Ref(name) | Self::Name(name) => f.write_str(name),
        }
    }
}

impl FromStr for Revision {
    type Err = Error;

    /// Names as git-check-ref-format(1) allows them; expressions such as `main~2` are not revisions here.
    fn from_str(text: &str) -> Result<Self, Error> {
        if text.is_empty() || text == "HEAD" {
            return Ok(Self::Head);
        }
        if let Ok(id) = text.parse() {
            return Ok(Self::Commit(id));
        }
        let reason = if text.len() > MAX_LENGTH {
            "is too long"
        } else if text.starts_with('-') {
            "begins with a hyphen"
        } else if text.chars().any(|c| c.is_control() || " ~^:?*[\\".contains(c)) {
            "contains a character that no name has (white space ~ ^ : ? * [ \\)"
        } else if text.contains("..") || text.contains("@{") || text == "@" {
            "is an expression"
        } else if text.ends_with('.')
            || text.split('/').any(|part| part.is_empty() || part.starts_with('.') || part.ends_with(".lock"))
        {
            "has an empty part, or one that begins with a dot or ends with .lock"
        } else if text.starts_with("refs/") {
            return Ok(Self::Ref(text.to_owned()));
        } else {
            return Ok(Self::Name(text.to_owned()));
        };
        Err(bad(text, reason))
    }
}

fn bad(text: &str, reason: &'static str) -> Error {
    Error::BadRevision { revision: text.chars().take(100).collect(), reason }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_is_a_name_or_an_id_and_never_an_option_or_expression() {
        let id = "0123456789ABCDEF0123456789abcdef01234567";
        assert_eq!(id.parse::<Revision>().unwrap().to_string(), id.to_lowercase());
        assert_eq!("".parse::<Revision>().unwrap(), Revision::Head);
        assert_eq!("feature/a".parse::<Revision>().unwrap(), Revision::Name("feature/a".into()));
        assert_eq!("refs/pull/1/head".parse::<Revision>().unwrap(), Revision::Ref("refs/pull/1/head".into()));
        assert_eq!("abcdef1".parse::<Revision>().unwrap().as_prefix(), Some("abcdef1"));
        assert_eq!("abcdef".parse::<Revision>().unwrap().as_prefix(), None);
        let long = "x".repeat(300);
        for text in [
            "-x", "a b", "a~1", "a^", "a:b", "a..b", "a@{1}", "@", "a//b", "/a", "a/", ".a", "a/.b",
            "a.lock", "x.lock/y", "a.", "a*", "a\n", "a\\b", &long,
        ] {
            assert!(text.parse::<Revision>().is_err(), "{text}");
        }
    }
}
