//! URLs of repositories.

use std::fmt;
use std::str::FromStr;

use crate::Error;

/// Longer URLs are refused, in bytes.
const MAX_LENGTH: usize = 2048;

/// How a repository is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// `https://`
    Https,
    /// `http://`
    Http,
    /// `ssh://` or `user@host:path`
    Ssh,
    /// `file://` or an absolute path
    File,
}

impl Transport {
    /// The URL's scheme, which is also what Git calls the protocol.
    pub fn scheme(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
            Self::Ssh => "ssh",
            Self::File => "file",
        }
    }

    fn default_port(self) -> u16 {
        match self {
            Self::Https => 443,
            Self::Http => 80,
            Self::Ssh => 22,
            Self::File => 0,
        }
    }
}

/// The URL of a Git repository: `https://`, `http://`, `ssh://`, `file://`, `user@host:path` or an absolute path.
/// Holds no password. Two notations of one host and port are equal; paths are compared as they are.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RepositoryUrl {
    transport: Transport,
    user: Option<String>,
    /// Lower case; empty for files.
    host: String,
    /// Absent when it is the scheme's own.
    port: Option<u16>,
    /// With the leading slash, except in `host:path`.
    path: String,
    /// Written as `host:path`: the path begins in the user's home folder.
    scp: bool,
}

impl RepositoryUrl {
    /// How it is reached.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// The user name in the URL.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The host's name or address, in lower case and without brackets; empty for files.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, also when it is the scheme's own; 0 for files.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or_else(|| self.transport.default_port())
    }

    /// The path, with its leading slash unless it is relative to a home folder (`host:path`).
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Scheme, host and port: `https://git.example.com:8443`.
    pub fn origin(&self) -> String {
        let mut origin = format!("{}://{}", self.transport.scheme(), self.bracketed_host());
        if let Some(port) = self.port {
            origin.push_str(&format!(":{port}"));
        }
        origin
    }

    /// The URL without its user name, as prefixes are compared with: always with a scheme.
    pub(crate) fn without_user(&self) -> String {
        format!("{}/{}", self.origin(), self.path.trim_start_matches('/'))
    }

    fn bracketed_host(&self) -> String {
        if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() }
    }
}

impl fmt::Display for RepositoryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
        if self.scp {
            return write!(f, "{user}{}:{}", self.bracketed_host(), self.path);
        }
        write!(f, "{}://{user}{}", self.transport.scheme(), self.bracketed_host())?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        f.write_str(&self.path)
    }
}

impl FromStr for RepositoryUrl {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let bad = |reason| Error::BadUrl { url: shown(text), reason };
        if text.is_empty() {
            return Err(bad("is empty"));
        }
        if text.len() > MAX_LENGTH {
            return Err(bad("is too long"));
        }
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(bad("contains white space or a control character"));
        }
        if text.starts_with('-') {
            return Err(bad("begins with a hyphen"));
        }
        let (transport, rest) = match text.split_once("://") {
            Some((scheme, rest)) => match scheme.to_ascii_lowercase().as_str() {
                "https" => (Transport::Https, rest),
                "http" => (Transport::Http, rest),
                "ssh" | "git+ssh" | "ssh+git" => (Transport::Ssh, rest),
                "file" => (Transport::File, rest),
                "git" => return Err(bad("uses the git:// protocol, which checks nobody: use https or ssh")),
                _ => return Err(bad("has a scheme other than https, ssh, http and file")),
            },
            None if text.contains("::") && !text.contains('[') => {
                return Err(bad("names a remote helper (such as ext::), which could run any program"));
            }
            None if text.starts_with('/') => (Transport::File, text),
            None => return scp(text, &bad),
        };
        if rest.contains(['?', '#']) && transport != Transport::File {
            return Err(bad("has a query or a fragment"));
        }
        if transport == Transport::File {
            let path = rest.strip_prefix("localhost").unwrap_or(rest);
            if !path.starts_with('/') || path.trim_matches('/').is_empty() {
                return Err(bad("has no absolute path"));
            }
            return Ok(Self {
                transport,
                user: None,
                host: String::new(),
                port: None,
                path: path.trim_end_matches('/').to_owned(),
                scp: false,
            });
        }
        let (authority, path) = rest.split_once('/').ok_or_else(|| bad("has no path"))?;
        let path = path.trim_matches('/');
        if path.is_empty() {
            return Err(bad("has no path"));
        }
        if climbs(path) {
            return Err(bad("has a path with . or .. in it"));
        }
        let (user, host) = user_and_host(authority, &bad)?;
        let (host, port) = host_and_port(host, &bad)?;
        Ok(Self {
            transport,
            user,
            host,
            port: port.filter(|port| *port != transport.default_port()),
            path: format!("/{path}"),
            scp: false,
        })
    }
}

/// `user@host:path`
fn scp(text: &str, bad: &dyn Fn(&'static str) -> Error) -> Result<RepositoryUrl, Error> {
    let neither = || bad("is neither a URL nor user@host:path nor an absolute path");
    let colon = match text.find(']') {
        Some(end) => end + text[end..].find(':').ok_or_else(neither)?,
        None => text.find(':').ok_or_else(neither)?,
    };
    let (authority, path) = (&text[..colon], text[colon + 1..].trim_end_matches('/'));
    if authority.contains('/') {
        return Err(neither());
    }
    if path.is_empty() {
        return Err(bad("has no path"));
    }
    if path.starts_with('-') {
        return Err(bad("has a path that begins with a hyphen"));
    }
    if climbs(path) {
        return Err(bad("has a path with . or .. in it"));
    }
    let (user, host) = user_and_host(authority, bad)?;
    let (host, port) = host_and_port(host, bad)?;
    if port.is_some() {
        return Err(neither());
    }
    Ok(RepositoryUrl { transport: Transport::Ssh, user, host, port: None, path: path.to_owned(), scp: true })
}

/// Such a path would name another repository than the one whose credentials and permission were looked up.
fn climbs(path: &str) -> bool {
    path.to_ascii_lowercase().replace("%2e", ".").split('/').any(|part| matches!(part, "." | ".."))
}

fn user_and_host<'a>(
    authority: &'a str,
    bad: &dyn Fn(&'static str) -> Error,
) -> Result<(Option<String>, &'a str), Error> {
    let Some((user, host)) = authority.rsplit_once('@') else { return Ok((None, authority)) };
    if user.contains(':') {
        return Err(bad("contains a password: put it into the Secret for this URL"));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._~%+@\\".contains(c);
    if user.is_empty() || user.starts_with('-') || !user.chars().all(allowed) {
        return Err(bad("has a user name that cannot be used"));
    }
    Ok((Some(user.to_owned()), host))
}

fn host_and_port(text: &str, bad: &dyn Fn(&'static str) -> Error) -> Result<(String, Option<u16>), Error> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or_else(|| bad("has a bracket without end"))?;
            if host.parse::<std::net::Ipv6Addr>().is_err() {
                return Err(bad("has brackets around what is not an IPv6 address"));
            }
            (host, if rest.is_empty() { None } else { Some(rest.strip_prefix(':').unwrap_or("")) })
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
    if host.is_empty() || host.starts_with('-') || host.len() > 253 || !host.chars().all(allowed) {
        return Err(bad("has a host name that cannot be used"));
    }
    let port = match port {
        None => None,
        Some(port) => match port.parse() {
            Ok(0) | Err(_) => return Err(bad("has a port that is not between 1 and 65535")),
            Ok(port) => Some(port),
        },
    };
    Ok((host.to_ascii_lowercase(), port))
}

/// For messages: without what may be a password, and not endless.
fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(200).collect();
    let start = shown.find("://").map_or(0, |at| at + 3);
    if let Some(at) = shown[start..].rfind('@')
        && let Some(colon) = shown[start..start + at].find(':')
    {
        shown.replace_range(start + colon + 1..start + at, "…");
    }
    shown
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_notation_is_understood_and_printed_as_git_needs_it() {
        for (text, printed, origin, path) in [
            (
                "https://Git.Example.com/a/b.git",
                "https://git.example.com/a/b.git",
                "https://git.example.com",
                "/a/b.git",
            ),
            ("https://git.example.com:443/a/", "https://git.example.com/a", "https://git.example.com", "/a"),
            ("http://u@h:8080/a", "http://u@h:8080/a", "http://h:8080", "/a"),
            ("ssh://git@h:2222/a", "ssh://git@h:2222/a", "ssh://h:2222", "/a"),
            ("git@h:a/b.git", "git@h:a/b.git", "ssh://h", "a/b.git"),
            (
                "https://[2001:db8::1]:8443/a",
                "https://[2001:db8::1]:8443/a",
                "https://[2001:db8::1]:8443",
                "/a",
            ),
            ("file:///srv/a.git", "file:///srv/a.git", "file://", "/srv/a.git"),
            ("/srv/a.git/", "file:///srv/a.git", "file://", "/srv/a.git"),
        ] {
            let url: RepositoryUrl = text.parse().unwrap();
            assert_eq!(
                (url.to_string(), url.origin(), url.path()),
                (printed.into(), origin.into(), path),
                "{text}"
            );
            assert_eq!(printed.parse::<RepositoryUrl>().unwrap(), url, "{text}");
        }
    }

    #[test]
    fn what_could_start_a_program_or_hide_something_is_refused() {
        for text in [
            "",
            "-uother",
            "--upload-pack=x",
            "ext::sh -c x",
            "ext::sh",
            "fd::17",
            "git://h/a",
            "ftp://h/a",
            "transport::https://h/a",
            "https://h",
            "https://h/",
            "https:///a",
            "ssh://-oProxyCommand=x/a",
            "ssh://-u@h/a",
            "-u@h:a",
            "h:-a",
            "https://h/a?x",
            "https://h/a#x",
            "https://h:0/a",
            "https://h:99999/a",
            "https://h/a\nb",
            "https://h /a",
            "https://[h]/a",
            "file://host/a",
            "a/b",
            "relative",
            "file:///",
            "https://h$(x)/a",
            "https://u:p@h/a",
            "https://h/a/../b",
            "https://h/a/%2E%2e/b",
            "git@h:../b",
        ] {
            assert!(text.parse::<RepositoryUrl>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_password_in_a_url_is_not_repeated() {
        let error = "https://ada:hunter2@h/a".parse::<RepositoryUrl>().unwrap_err();
        assert!(
            !error.to_string().contains("hunter2") && !format!("{error:?}").contains("hunter2"),
            "{error}"
        );
        assert!(error.to_string().contains("Secret"), "{error}");
    }
}
