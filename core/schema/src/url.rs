//! URLs as Go's `net/url` reads a request URI: an absolute URL, or a path that begins with `/`.

/// The parts of a URL, percent-encoded as they were given, except the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    scheme: String,
    /// With the port, without user and password.
    host: String,
    path: String,
    query: String,
}

impl Url {
    /// Reads a URL; `None` when it is not one.
    pub(crate) fn parse(text: &str) -> Option<Url> {
        if text.is_empty() || text.bytes().any(|b| b < 0x20 || b == 0x7f) {
            return None;
        }
        let (scheme, rest) = split_scheme(text)?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        // A request has no fragment, but those who read a URL for its parts see one.
        let query = query.split('#').next().unwrap_or_default();
        let mut url = Url {
            scheme: scheme.to_ascii_lowercase(),
            host: String::new(),
            path: String::new(),
            query: query.to_owned(),
        };
        if !rest.starts_with('/') {
            // `mailto:a@b` has an opaque part instead of host and path.
            return (!scheme.is_empty()).then_some(url);
        }
        let rest = rest.split('#').next().unwrap_or_default();
        let path = match rest.strip_prefix("//") {
            Some(after) if !scheme.is_empty() || !rest.starts_with("///") => {
                let end = after.find('/').unwrap_or(after.len());
                url.host = host(&after[..end])?;
                &after[end..]
            }
            _ => rest,
        };
        if !well_encoded(path) {
            return None;
        }
        url.path = path.to_owned();
        Some(url)
    }

    pub(crate) fn scheme(&self) -> &str {
        &self.scheme
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// The host without port and brackets.
    pub(crate) fn hostname(&self) -> &str {
        match self.host.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None => self.host.rsplit_once(':').map_or(self.host.as_str(), |(host, _)| host),
        }
    }

    /// The port, empty when there is none.
    pub(crate) fn port(&self) -> &str {
        let after = match self.host.find(']') {
            Some(end) => &self.host[end + 1..],
            None => &self.host,
        };
        after.rsplit_once(':').map_or("", |(_, port)| port)
    }

    /// The path as it is written in a URL.
    pub(crate) fn escaped_path(&self) -> String {
        use std::fmt::Write as _;
        let mut escaped = String::with_capacity(self.path.len());
        for byte in self.path.bytes() {
            if byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@%!'()*[]".contains(&byte) {
                escaped.push(char::from(byte));
            } else {
                let _ = write!(escaped, "%{byte:02X}");
            }
        }
        escaped
    }

    /// Names of the query with all their values, in order of first appearance.
    pub(crate) fn query(&self) -> Vec<(String, Vec<String>)> {
        let mut all: Vec<(String, Vec<String>)> = Vec::new();
        for part in self.query.split('&').filter(|part| !part.is_empty() && !part.contains(';')) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let (Some(name), Some(value)) = (decode(name, true), decode(value, true)) else {
                continue;
            };
            match all.iter_mut().find(|(known, _)| *known == name) {
                Some((_, values)) => values.push(value),
                None => all.push((name, vec![value])),
            }
        }
        all
    }
}

/// The scheme, empty for a text that has none, and what follows its colon.
fn split_scheme(text: &str) -> Option<(&str, &str)> {
    for (index, c) in text.char_indices() {
        match c {
            'a'..='z' | 'A'..='Z' => {}
            '0'..='9' | '+' | '-' | '.' if index > 0 => {}
            ':' if index > 0 => return Some((&text[..index], &text[index + 1..])),
            ':' => return None,
            _ => break,
        }
    }
    Some(("", text))
}

/// The host of `user:password@host:port`.
fn host(authority: &str) -> Option<String> {
    let host = match authority.rsplit_once('@') {
        Some((user, host)) => {
            let allowed = |c: char| c.is_ascii_alphanumeric() || "-._:~!$&'()*+,;=%@".contains(c);
            if !user.chars().all(allowed) || !well_encoded(user) {
                return None;
            }
            host
        }
        None => authority,
    };
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let (address, after) = rest.split_once(']')?;
            (address, after)
        }
        None => host.find(':').map_or((host, ""), |colon| host.split_at(colon)),
    };
    let right_port =
        port.is_empty() || port.strip_prefix(':').is_some_and(|p| p.bytes().all(|b| b.is_ascii_digit()));
    let right_name =
        |c: char| !c.is_ascii() || c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:[]<>\"%".contains(c);
    if !right_port || !name.chars().all(right_name) {
        return None;
    }
    decode(host, false)
}

/// Whether every `%` is followed by two hexadecimal digits.
fn well_encoded(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.iter().enumerate().filter(|(_, b)| **b == b'%').all(|(index, _)| {
        bytes.get(index + 1..index + 3).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit))
    })
}

fn decode(text: &str, plus_is_space: bool) -> Option<String> {
    if !well_encoded(text) {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let mut digit = || rest.next().and_then(|b| char::from(b).to_digit(16));
                let (high, low) = (digit()?, digit()?);
                bytes.push(u8::try_from(high * 16 + low).ok()?);
            }
            b'+' if plus_is_space => bytes.push(b' '),
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn urls_have_their_parts() {
        let url = Url::parse("https://user:pw@example.com:80/a%20b/ c?k=v1&k=v2&x=%41+b#frag").unwrap();
        assert_eq!(
            (url.scheme(), url.host(), url.hostname(), url.port()),
            ("https", "example.com:80", "example.com", "80")
        );
        assert_eq!(url.escaped_path(), "/a%20b/%20c");
        let text = |s: &str| s.to_owned();
        assert_eq!(url.query(), [(text("k"), vec![text("v1"), text("v2")]), (text("x"), vec![text("A b")])]);
        let url = Url::parse("https://[::1]:80/").unwrap();
        assert_eq!((url.host(), url.hostname(), url.port()), ("[::1]:80", "::1", "80"));
        let url = Url::parse("/path").unwrap();
        assert_eq!((url.scheme(), url.host(), url.escaped_path().as_str()), ("", "", "/path"));
    }

    #[test]
    fn what_is_no_request_uri_is_refused() {
        for text in [
            "",
            "path",
            "a b",
            "https://a b/",
            "https://a:b/",
            "http://%zz/",
            "/%z",
            "../x",
            ":x",
            "http://a\n",
        ] {
            assert_eq!(Url::parse(text), None, "{text:?}");
        }
        for text in ["mailto:a@b", "http://ä.example", "http://a:/", "http:///x"] {
            assert!(Url::parse(text).is_some(), "{text:?}");
        }
    }
}
