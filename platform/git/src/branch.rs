//! Names of branches.

use std::fmt;
use std::str::FromStr;

use crate::{Error, Revision};

/// The name of a branch, without `refs/heads/`. Follows git-check-ref-format(1), and is never an option, an
/// expression or a commit id.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Branch(String);

impl Branch {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The full name, such as `refs/heads/main`.
    pub fn full_name(&self) -> String {
        format!("refs/heads/{}", self.0)
    }
}

impl fmt::Display for Branch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Branch {
    type Err = Error;

    /// With or without `refs/heads/`.
    fn from_str(text: &str) -> Result<Self, Error> {
        let name = text.strip_prefix("refs/heads/").unwrap_or(text);
        let reason = match name.parse() {
            Ok(Revision::Name(name)) => return Ok(Self(name)),
            Ok(Revision::Head) => "is empty, or HEAD",
            Ok(Revision::Commit(_)) => "is a commit id",
            Ok(Revision::Ref(_)) => "begins with refs/",
            Err(Error::BadRevision { reason, .. }) => reason,
            Err(error) => return Err(error),
        };
        Err(Error::bad_push(format!("branch {:?}", text.chars().take(100).collect::<String>()), reason))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_is_a_name_that_git_takes_for_a_branch() {
        for (text, name) in [("main", "main"), ("refs/heads/a/b", "a/b"), ("abcdef1", "abcdef1"), ("ä", "ä")]
        {
            let branch: Branch = text.parse().unwrap();
            assert_eq!((branch.as_str(), branch.full_name()), (name, format!("refs/heads/{name}")));
        }
        let id = "0123456789abcdef0123456789abcdef01234567";
        for text in [
            "",
            "HEAD",
            "@",
            id,
            "refs/tags/v1",
            "refs/heads/",
            "refs/heads/-x",
            "refs/heads/refs/x",
            "-x",
            "a b",
            "a..b",
            "a:b",
            "a\n",
            "a\u{7f}",
        ] {
            let error = text.parse::<Branch>().unwrap_err();
            assert!(matches!(error, Error::BadPush { .. }), "{text}: {error}");
        }
    }
}
