//! Where a server is: the base of its addresses.

use std::fmt;
use std::net::IpAddr;

use http::Uri;
use http::uri::Scheme;
use miette::miette;

/// The base URL of a server: scheme, host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url {
    pub(crate) tls: bool,
    /// Without the brackets of an IPv6 address.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority())
    }
}

impl Url {
    pub(crate) fn parse(text: &str) -> miette::Result<Self> {
        let wrong = |why: &str| {
            miette!(
                help = "such as http://127.0.0.1:7420 or https://seaway.example.com",
                "{text:?} is not the URL of a server: {why}"
            )
        };
        let uri: Uri = text.parse().map_err(|_| wrong("it cannot be read"))?;
        let tls = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return Err(wrong("it does not begin with http:// or https://")),
        };
        let authority = uri.authority().ok_or_else(|| wrong("it has no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("it holds a user name; tokens are read from SEAWAY_TOKEN"));
        }
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(wrong("it has a path"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        Ok(Self { tls, host, port })
    }

    pub(crate) fn authority(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }

    /// Whether it names this machine itself.
    pub(crate) fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn urls_that_are_no_base_are_refused() {
        for bad in ["127.0.0.1:7420", "ftp://x", "http://a@b", "http://a/b", "http://a/?q=1", ""] {
            assert!(Url::parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(Url::parse("http://[::1]:7420").unwrap().authority(), "[::1]:7420");
        assert!(Url::parse("http://[::1]:7420").unwrap().is_loopback());
        assert!(!Url::parse("http://127.0.0.1.example.com").unwrap().is_loopback());
    }
}
