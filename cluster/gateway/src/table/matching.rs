//! One entry of a rule's `matches`: whether a request satisfies it, and how
//! specific it is beside others.

use std::borrow::Cow;
use std::cmp::Reverse;

use http::{HeaderMap, HeaderName, Method, Uri};
use percent_encoding::percent_decode_str;
use regex::Regex;

use super::filters::Unsupported;
use super::spec::{MatchSpec, ValueMatchSpec};

/// Compiled programs of expressions from routes may take this much memory each.
const REGEX_SIZE_LIMIT: usize = 1 << 20;

/// All conditions of one match; a request must satisfy each of them.
#[derive(Debug)]
pub struct RequestMatch {
    path: PathMatch,
    method: Option<Method>,
    headers: Vec<(HeaderName, ValueMatch)>,
    query: Vec<(String, ValueMatch)>,
}

#[derive(Debug)]
enum PathMatch {
    Exact(String),
    /// Without its trailing slash, so that `/` is the empty text.
    Prefix(String),
    Regex(Regex),
}

#[derive(Debug)]
enum ValueMatch {
    Exact(String),
    Regex(Regex),
}

impl ValueMatch {
    fn matches(&self, value: &str) -> bool {
        match self {
            Self::Exact(wanted) => wanted == value,
            Self::Regex(pattern) => pattern.is_match(value),
        }
    }
}

/// The order of matches by precedence: the smallest comes first.
pub(crate) type Rank = (u8, Reverse<usize>, Reverse<bool>, Reverse<usize>, Reverse<usize>);

impl RequestMatch {
    /// Reads a match. Regular expressions (RE2 syntax of the `regex` crate) must
    /// fit the whole path or value, as in Envoy; a trailing slash of a prefix is ignored.
    pub(crate) fn parse(spec: &MatchSpec) -> Result<Self, Unsupported> {
        let mut headers: Vec<(HeaderName, ValueMatch)> = Vec::new();
        for header in &spec.headers {
            let name = HeaderName::try_from(header.name.as_str())
                .map_err(|_| Unsupported::value("header name", &header.name))?;
            // Of entries with an equivalent name only the first counts.
            if headers.iter().all(|(seen, _)| *seen != name) {
                headers.push((name, value_match(header)?));
            }
        }
        let mut query: Vec<(String, ValueMatch)> = Vec::new();
        for parameter in &spec.query_params {
            if query.iter().all(|(seen, _)| *seen != parameter.name) {
                query.push((parameter.name.clone(), value_match(parameter)?));
            }
        }
        let method = match &spec.method {
            Some(text) => {
                Some(Method::from_bytes(text.as_bytes()).map_err(|_| Unsupported::value("method", text))?)
            }
            None => None,
        };
        Ok(Self { path: path_match(spec.path.as_ref())?, method, headers, query })
    }

    /// Whether the request satisfies every condition. The path is compared as it was sent.
    pub fn matches(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> bool {
        self.method.as_ref().is_none_or(|wanted| wanted == method)
            && self.path_matches(uri.path())
            && self
                .headers
                .iter()
                .all(|(name, wanted)| header_value(headers, name).is_some_and(|value| wanted.matches(&value)))
            && self.query.iter().all(|(name, wanted)| {
                query_value(uri.query().unwrap_or(""), name).is_some_and(|value| wanted.matches(&value))
            })
    }

    fn path_matches(&self, path: &str) -> bool {
        match &self.path {
            PathMatch::Exact(wanted) => wanted == path,
            PathMatch::Prefix(prefix) => path
                .strip_prefix(prefix.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || prefix.is_empty()),
            PathMatch::Regex(pattern) => pattern.is_match(path),
        }
    }

    /// The prefix of a prefix match, for `ReplacePrefixMatch`.
    pub(crate) fn prefix(&self) -> Option<&str> {
        match &self.path {
            PathMatch::Prefix(prefix) => Some(prefix),
            _ => None,
        }
    }

    /// Exact path, regular expression (the specification leaves its place open),
    /// longest prefix, method, most headers, most query parameters.
    pub(crate) fn rank(&self) -> Rank {
        let (kind, length) = match &self.path {
            PathMatch::Exact(_) => (0, 0),
            PathMatch::Regex(pattern) => (1, pattern.as_str().len()),
            PathMatch::Prefix(prefix) => (2, prefix.len()),
        };
        (
            kind,
            Reverse(length),
            Reverse(self.method.is_some()),
            Reverse(self.headers.len()),
            Reverse(self.query.len()),
        )
    }
}

fn path_match(spec: Option<&ValueMatchSpec>) -> Result<PathMatch, Unsupported> {
    let Some(spec) = spec else { return Ok(PathMatch::Prefix(String::new())) };
    let value = spec.value.as_deref().unwrap_or("/");
    let kind = spec.kind.as_deref().unwrap_or("PathPrefix");
    if kind != "RegularExpression" && !value.starts_with('/') {
        return Err(Unsupported::value("path (it must begin with /)", value));
    }
    match kind {
        "Exact" => Ok(PathMatch::Exact(value.to_owned())),
        "PathPrefix" => Ok(PathMatch::Prefix(value.trim_end_matches('/').to_owned())),
        "RegularExpression" => Ok(PathMatch::Regex(expression(value)?)),
        other => Err(Unsupported::value("path match type", other)),
    }
}

fn value_match(spec: &ValueMatchSpec) -> Result<ValueMatch, Unsupported> {
    let value = spec.value.as_deref().unwrap_or("");
    match spec.kind.as_deref().unwrap_or("Exact") {
        "Exact" => Ok(ValueMatch::Exact(value.to_owned())),
        "RegularExpression" => Ok(ValueMatch::Regex(expression(value)?)),
        other => Err(Unsupported::value("match type", other)),
    }
}

fn expression(pattern: &str) -> Result<Regex, Unsupported> {
    regex::RegexBuilder::new(&format!("^(?:{pattern})$"))
        .size_limit(REGEX_SIZE_LIMIT)
        .build()
        .map_err(|error| Unsupported::new(format!("regular expression {pattern:?}: {error}")))
}

/// The value of a header; repeated ones joined by a comma (RFC 9110, section 5.3).
fn header_value<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<Cow<'a, str>> {
    let mut values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    let first = values.next()?;
    let mut joined = Cow::Borrowed(first);
    for value in values {
        let text = joined.to_mut();
        text.push(',');
        text.push_str(value);
    }
    Some(joined)
}

/// The first value of a query parameter, decoded as a form does.
fn query_value<'a>(query: &'a str, name: &str) -> Option<Cow<'a, str>> {
    fn decode(text: &str) -> Cow<'_, str> {
        if text.contains('+') {
            Cow::Owned(percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned())
        } else {
            percent_decode_str(text).decode_utf8_lossy()
        }
    }
    query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .find(|(key, _)| decode(key) == name)
        .map(|(_, value)| decode(value))
}
