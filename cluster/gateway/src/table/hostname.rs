//! Host names: what a listener or route asks for, and what a request carries.

use std::borrow::Cow;

/// A host pattern of a listener or route: `""`, `*.example.com` or `shop.example.com`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostPattern {
    /// Every host.
    Any,
    /// A suffix with its leading dot: `.example.com` for `*.example.com`.
    /// It matches any number of labels to the left, but at least one.
    Wildcard(String),
    /// One host.
    Exact(String),
}

impl HostPattern {
    /// Reads a pattern; `None` if it is no host name (an address, an inner `*`, an empty label).
    pub fn parse(pattern: &str) -> Option<Self> {
        if pattern.is_empty() {
            return Some(Self::Any);
        }
        let (wildcard, name) = match pattern.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, pattern),
        };
        let label = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if name.len() > 253 || !name.split('.').all(label) || name.parse::<std::net::IpAddr>().is_ok() {
            return None;
        }
        let name = name.to_ascii_lowercase();
        Some(if wildcard { Self::Wildcard(format!(".{name}")) } else { Self::Exact(name) })
    }

    /// Whether a request for `host` (lower case, without a port) is meant.
    pub fn matches(&self, host: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Wildcard(suffix) => host.len() > suffix.len() && host.ends_with(suffix.as_str()),
            Self::Exact(name) => name == host,
        }
    }

    /// The hosts that both patterns mean, if any. It is always the narrower of the two.
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        match (self, other) {
            (Self::Any, any) | (any, Self::Any) => Some(any.clone()),
            (Self::Exact(name), pattern) | (pattern, Self::Exact(name)) => {
                pattern.matches(name).then(|| Self::Exact(name.clone()))
            }
            (Self::Wildcard(a), Self::Wildcard(b)) => {
                let (long, short) = if a.len() >= b.len() { (a, b) } else { (b, a) };
                long.ends_with(short.as_str()).then(|| Self::Wildcard(long.clone()))
            }
        }
    }

    /// Whether every host of `other` is one of this pattern's, and this one has more.
    pub(crate) fn contains(&self, other: &Self) -> bool {
        self != other && self.intersection(other).as_ref() == Some(other)
    }
}

/// The host of a `Host` header or authority: lower case, without port, user or
/// trailing dot. `None` when there is no host in it.
pub fn host_of(authority: &str) -> Option<Cow<'_, str>> {
    let authority = authority.trim();
    let host = if authority.starts_with('[') {
        &authority[..=authority.find(']')?]
    } else {
        match authority.split_once(':') {
            Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
            Some(_) => return None,
            None => authority,
        }
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'[' | b']' | b':');
    if host.is_empty() || host.len() > 253 || !host.bytes().all(legal) {
        return None;
    }
    Some(if host.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(host.to_ascii_lowercase())
    } else {
        Cow::Borrowed(host)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> HostPattern {
        HostPattern::parse(text).unwrap()
    }

    #[test]
    fn a_wildcard_means_one_or_more_labels_to_the_left() {
        let wildcard = pattern("*.example.com");
        assert!(wildcard.matches("a.example.com"));
        assert!(wildcard.matches("a.b.example.com"));
        assert!(!wildcard.matches("example.com"));
        assert!(!wildcard.matches("badexample.com"));
    }

    #[test]
    fn intersections_are_the_narrower_pattern() {
        for (a, b, both) in [
            ("", "shop.localhost", Some("shop.localhost")),
            ("*.example.com", "a.example.com", Some("a.example.com")),
            ("*.example.com", "*.a.example.com", Some("*.a.example.com")),
            ("*.example.com", "example.com", None),
            ("*.example.com", "*.example.net", None),
            ("a.example.com", "b.example.com", None),
        ] {
            assert_eq!(pattern(a).intersection(&pattern(b)), both.map(pattern), "{a} and {b}");
            assert_eq!(pattern(b).intersection(&pattern(a)), both.map(pattern), "{b} and {a}");
        }
    }

    #[test]
    fn what_is_no_host_name_is_refused() {
        for bad in ["*", "a.*.com", "*.", "10.0.0.1", "a..b", "-a.com", "a b"] {
            assert_eq!(HostPattern::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_port_case_and_trailing_dot_of_a_request_do_not_matter() {
        assert_eq!(host_of("Shop.MyCopy.localhost:7480").unwrap(), "shop.mycopy.localhost");
        assert_eq!(host_of("shop.localhost.").unwrap(), "shop.localhost");
        assert_eq!(host_of("[::1]:80").unwrap(), "[::1]");
        for bad in ["", ":80", "user@host", "a/b", "a:b:c", "[::1"] {
            assert_eq!(host_of(bad), None, "{bad}");
        }
    }
}
