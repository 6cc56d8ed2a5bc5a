//! Image references as people write them.

use crate::error::{Error, Result};
use std::fmt;

/// The registry that a reference without one means.
const DEFAULT_REGISTRY: &str = "docker.io";
/// Longer references are refused.
const MAX_LENGTH: usize = 512;

/// An image reference, split and completed: `nginx` means `docker.io/library/nginx:latest`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reference {
    /// Host and optional port.
    pub registry: String,
    /// Path of the repository in the registry.
    pub repository: String,
    /// The tag; `latest` when neither tag nor digest is given.
    pub tag: Option<String>,
    /// The digest, which wins over a tag.
    pub digest: Option<String>,
}

impl Reference {
    /// Reads a reference by the rules of the distribution specification and Docker's short names.
    pub fn parse(text: &str) -> Result<Self> {
        let fail = |problem: &str| Error::Reference { reference: shorten(text), problem: problem.to_owned() };
        if text.is_empty() {
            return Err(fail("it is empty"));
        }
        if text.len() > MAX_LENGTH {
            return Err(fail("it is longer than 512 characters"));
        }
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => {
                check_digest(digest).map_err(|problem| fail(&problem))?;
                (name, Some(digest.to_owned()))
            }
            None => (text, None),
        };
        let (path, tag) = match name.rsplit_once(':') {
            Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
            _ => (name, None),
        };
        if let Some(tag) = tag {
            let good = !tag.is_empty()
                && tag.len() <= 128
                && !tag.starts_with(['.', '-'])
                && tag.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
            if !good {
                return Err(fail("the tag is not valid"));
            }
        }
        let (registry, repository) = match path.split_once('/') {
            Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => {
                (first, rest.to_owned())
            }
            Some(_) => (DEFAULT_REGISTRY, path.to_owned()),
            None => (DEFAULT_REGISTRY, format!("library/{path}")),
        };
        let registry = if registry == "index.docker.io" { DEFAULT_REGISTRY } else { registry };
        if !registry.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[')
            || !registry.chars().all(|c| c.is_ascii_alphanumeric() || ".:-[]_".contains(c))
        {
            return Err(fail("the registry is not valid"));
        }
        let good_part = |part: &str| {
            !part.is_empty()
                && part.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
                && part.ends_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
                && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c))
        };
        if !repository.split('/').all(good_part) {
            return Err(fail("the name must be lower-case letters, digits and . _ - between slashes"));
        }
        let tag = match (tag, &digest) {
            (Some(tag), _) => Some(tag.to_owned()),
            (None, Some(_)) => None,
            (None, None) => Some("latest".to_owned()),
        };
        Ok(Self { registry: registry.to_owned(), repository, tag, digest })
    }

    /// What a registry is asked for: the digest, else the tag.
    pub fn version(&self) -> &str {
        self.digest.as_deref().or(self.tag.as_deref()).unwrap_or("latest")
    }

    /// Registry and repository.
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

/// Accepts `sha256:` and 64 lower-case hexadecimal digits; returns the digits.
pub(crate) fn check_digest(digest: &str) -> std::result::Result<&str, String> {
    match digest.strip_prefix("sha256:") {
        Some(hex)
            if hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) =>
        {
            Ok(hex)
        }
        _ => Err("the digest must be sha256: and 64 lower-case hexadecimal digits".to_owned()),
    }
}

fn shorten(text: &str) -> String {
    text.chars().take(120).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn short_names_mean_docker_hub() {
        assert_eq!(Reference::parse("nginx").unwrap().to_string(), "docker.io/library/nginx:latest");
        assert_eq!(Reference::parse("a/b:1").unwrap().to_string(), "docker.io/a/b:1");
        assert_eq!(Reference::parse("localhost/b").unwrap().to_string(), "localhost/b:latest");
        assert_eq!(Reference::parse("127.0.0.1:5000/a/b:1.2").unwrap().to_string(), "127.0.0.1:5000/a/b:1.2");
    }

    #[test]
    fn a_digest_is_the_version_and_needs_no_tag() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let reference = Reference::parse(&format!("r.io/x@{digest}")).unwrap();
        assert_eq!(reference.tag, None);
        assert_eq!(reference.version(), digest);
        assert_eq!(Reference::parse(&format!("r.io/x:1@{digest}")).unwrap().version(), digest);
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in ["", "UPPER", "a//b", "x:", "x:-a", "x@sha256:12", "../etc", "a/../b", "r.io/", "x y"] {
            assert!(Reference::parse(bad).is_err(), "{bad:?} was accepted");
        }
        assert!(Reference::parse(&"a".repeat(600)).is_err());
    }
}
