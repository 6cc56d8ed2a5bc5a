//! What belongs to all repositories below a URL.

use std::fmt;
use std::str::FromStr;

use crate::{Error, RepositoryUrl, Transport};

/// The beginning of repositories' URLs: a host, a part of the path, or one repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UrlPrefix {
    transport: Transport,
    /// With scheme and host, without user, trailing slash and `.git`.
    text: String,
}

impl UrlPrefix {
    pub(crate) fn transport(&self) -> Transport {
        self.transport
    }

    fn contains(&self, url: &RepositoryUrl) -> bool {
        let url = place(url);
        url.strip_prefix(&self.text).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// The URL without what two notations of one repository differ in: user name and `.git`.
pub(crate) fn place(url: &RepositoryUrl) -> String {
    let text = url.without_user();
    text.strip_suffix(".git").map(str::to_owned).unwrap_or(text)
}

impl FromStr for UrlPrefix {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        // A host alone is no repository's URL.
        const BELOW: &str = "/x";
        let trimmed = text.trim_end_matches('/');
        let url: RepositoryUrl =
            format!("{}{BELOW}", trimmed.strip_suffix(".git").unwrap_or(trimmed)).parse()?;
        let below = url.without_user();
        let text = below.strip_suffix(BELOW).unwrap_or(&below).to_owned();
        Ok(Self { transport: url.transport(), text })
    }
}

impl fmt::Display for UrlPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// One value for each of some prefixes.
#[derive(Debug, Clone)]
pub(crate) struct Prefixes<T>(Vec<(UrlPrefix, T)>);

impl<T> Default for Prefixes<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Prefixes<T> {
    /// Replaces what was there for the same prefix.
    pub(crate) fn insert(&mut self, prefix: UrlPrefix, value: T) {
        self.0.retain(|(known, _)| *known != prefix);
        self.0.push((prefix, value));
    }

    /// That of the longest prefix.
    pub(crate) fn find(&self, url: &RepositoryUrl) -> Option<&T> {
        let found = self.0.iter().filter(|(prefix, _)| prefix.contains(url));
        found.max_by_key(|(prefix, _)| prefix.text.len()).map(|(_, value)| value)
    }
}
