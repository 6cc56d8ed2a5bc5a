//! What a rule or backend does to a request beside forwarding it: headers,
//! rewriting, redirecting.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};

use super::hostname::HostPattern;
use super::spec::{FilterSpec, HeaderModifierSpec, MirrorSpec, PathModifierSpec, RedirectSpec};

/// A value that this gateway cannot serve; the rule that holds it is dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unsupported {
    /// `UnsupportedValue` or `IncompatibleFilters`.
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

impl Unsupported {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { reason: "UnsupportedValue", message: message.into() }
    }

    pub(crate) fn value(what: &str, value: &str) -> Self {
        Self::new(format!("{what} {value:?} is not supported"))
    }
}

/// The filters of a rule or of one backend reference.
#[derive(Debug, Default)]
pub struct Filters {
    /// Changes to the request's headers.
    pub request_headers: HeaderEdits,
    /// Changes to the response's headers.
    pub response_headers: HeaderEdits,
    /// Another host name or path for the backend.
    pub rewrite: Option<Rewrite>,
    /// Answer with a redirection; nothing is forwarded.
    pub redirect: Option<Redirect>,
    /// A filter of another vendor: every request has to fail, since it must not be skipped.
    pub unresolved_extension: bool,
}

impl Filters {
    /// Reads the filters of one list; mirrors are handed back, as they need backends.
    /// `prefix_only`: whether every match of the rule is a path prefix.
    pub(crate) fn parse(
        specs: &[FilterSpec],
        prefix_only: bool,
    ) -> Result<(Self, Vec<&MirrorSpec>), Unsupported> {
        let mut filters = Self::default();
        let mut mirrors = Vec::new();
        for spec in specs {
            let missing = || Unsupported::new(format!("filter {} has no settings", spec.kind));
            match spec.kind.as_str() {
                "RequestHeaderModifier" => {
                    let edits = spec.request_header_modifier.as_ref().ok_or_else(missing)?;
                    filters.request_headers.extend(edits)?;
                }
                "ResponseHeaderModifier" => {
                    let edits = spec.response_header_modifier.as_ref().ok_or_else(missing)?;
                    filters.response_headers.extend(edits)?;
                }
                "RequestMirror" => mirrors.push(spec.request_mirror.as_ref().ok_or_else(missing)?),
                "RequestRedirect" => {
                    let redirect = spec.request_redirect.as_ref().ok_or_else(missing)?;
                    filters.redirect = Some(Redirect::parse(redirect, prefix_only)?);
                }
                "URLRewrite" => {
                    let rewrite = spec.url_rewrite.as_ref().ok_or_else(missing)?;
                    filters.rewrite = Some(Rewrite {
                        hostname: rewrite.hostname.as_deref().map(precise_host).transpose()?,
                        path: path_change(rewrite.path.as_ref(), prefix_only)?,
                    });
                }
                "ExtensionRef" => filters.unresolved_extension = true,
                other => return Err(Unsupported::value("filter type", other)),
            }
        }
        if filters.redirect.is_some() && filters.rewrite.is_some() {
            return Err(Unsupported {
                reason: "IncompatibleFilters",
                message: "RequestRedirect and URLRewrite cannot be used in the same rule".to_owned(),
            });
        }
        Ok((filters, mirrors))
    }
}

/// Header changes in the order remove, set, add.
#[derive(Debug, Default)]
pub struct HeaderEdits {
    remove: Vec<HeaderName>,
    set: Vec<(HeaderName, HeaderValue)>,
    add: Vec<(HeaderName, HeaderValue)>,
}

impl HeaderEdits {
    fn extend(&mut self, spec: &HeaderModifierSpec) -> Result<(), Unsupported> {
        let name =
            |text: &str| HeaderName::try_from(text).map_err(|_| Unsupported::value("header name", text));
        for header in &spec.remove {
            self.remove.push(name(header)?);
        }
        for (list, target) in [(&spec.set, &mut self.set), (&spec.add, &mut self.add)] {
            for header in list {
                let value = HeaderValue::try_from(header.value.as_str())
                    .map_err(|_| Unsupported::value("header value", &header.value))?;
                target.push((name(&header.name)?, value));
            }
        }
        Ok(())
    }

    /// Applies the changes.
    pub fn apply(&self, headers: &mut HeaderMap) {
        for name in &self.remove {
            headers.remove(name);
        }
        for (name, value) in &self.set {
            headers.insert(name.clone(), value.clone());
        }
        for (name, value) in &self.add {
            headers.append(name.clone(), value.clone());
        }
    }
}

/// `URLRewrite`.
#[derive(Debug)]
pub struct Rewrite {
    /// The `Host` that the backend sees.
    pub hostname: Option<String>,
    /// The path that the backend sees.
    pub path: Option<PathChange>,
}

/// A new path.
#[derive(Debug)]
pub enum PathChange {
    /// The whole path.
    Full(String),
    /// What stands in for the matched prefix, without a trailing slash.
    Prefix(String),
}

impl PathChange {
    /// The changed path; `matched_prefix` is the prefix without its trailing slash.
    pub fn apply(&self, path: &str, matched_prefix: &str) -> String {
        match self {
            Self::Full(full) => full.clone(),
            Self::Prefix(replacement) => {
                let rest = path.strip_prefix(matched_prefix).unwrap_or(path);
                let changed = format!("{replacement}{rest}");
                if changed.starts_with('/') { changed } else { format!("/{changed}") }
            }
        }
    }
}

/// `RequestRedirect`.
#[derive(Debug)]
pub struct Redirect {
    scheme: Option<String>,
    hostname: Option<String>,
    path: Option<PathChange>,
    port: Option<u16>,
    /// 301, 302, 303, 307 or 308.
    pub status: StatusCode,
}

impl Redirect {
    fn parse(spec: &RedirectSpec, prefix_only: bool) -> Result<Self, Unsupported> {
        let status = spec.status_code.unwrap_or(302);
        if !matches!(status, 301 | 302 | 303 | 307 | 308) {
            return Err(Unsupported::new(format!("redirect status {status} is not supported")));
        }
        if let Some(scheme) = spec.scheme.as_deref().filter(|scheme| !matches!(*scheme, "http" | "https")) {
            return Err(Unsupported::value("redirect scheme", scheme));
        }
        Ok(Self {
            scheme: spec.scheme.clone(),
            hostname: spec.hostname.as_deref().map(precise_host).transpose()?,
            path: path_change(spec.path.as_ref(), prefix_only)?,
            port: spec.port,
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::FOUND),
        })
    }

    /// The `Location` for a request. Without a scheme or port of its own the
    /// redirect keeps the port that the client used: behind one socket that is
    /// the only port the client can reach.
    pub fn location(&self, scheme: &str, authority: &str, uri: &Uri, matched_prefix: &str) -> String {
        let (host, client_port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse::<u16>().ok()),
            _ => (authority, None),
        };
        let target_scheme = self.scheme.as_deref().unwrap_or(scheme);
        let port = match (self.port, &self.scheme) {
            (Some(port), _) => Some(port),
            (None, Some(_)) => None,
            (None, None) => client_port,
        };
        let port = port.filter(|port| !matches!((target_scheme, port), ("http", 80) | ("https", 443)));
        let path = match &self.path {
            Some(change) => change.apply(uri.path(), matched_prefix),
            None => uri.path().to_owned(),
        };
        let mut location = format!("{target_scheme}://{}", self.hostname.as_deref().unwrap_or(host));
        if let Some(port) = port {
            location.push_str(&format!(":{port}"));
        }
        location.push_str(&path);
        if let Some(query) = uri.query() {
            location.push('?');
            location.push_str(query);
        }
        location
    }
}

fn precise_host(name: &str) -> Result<String, Unsupported> {
    match HostPattern::parse(name) {
        Some(HostPattern::Exact(host)) => Ok(host),
        _ => Err(Unsupported::value("hostname", name)),
    }
}

fn path_change(
    spec: Option<&PathModifierSpec>,
    prefix_only: bool,
) -> Result<Option<PathChange>, Unsupported> {
    let Some(spec) = spec else { return Ok(None) };
    let legal = |path: &str| {
        if path.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'?' | b'#')) {
            Ok(path.to_owned())
        } else {
            Err(Unsupported::value("path", path))
        }
    };
    match (spec.kind.as_str(), &spec.replace_full_path, &spec.replace_prefix_match) {
        ("ReplaceFullPath", Some(path), _) => {
            let path = legal(path)?;
            Ok(Some(PathChange::Full(if path.starts_with('/') { path } else { format!("/{path}") })))
        }
        ("ReplacePrefixMatch", _, Some(path)) if prefix_only => {
            Ok(Some(PathChange::Prefix(legal(path)?.trim_end_matches('/').to_owned())))
        }
        ("ReplacePrefixMatch", _, Some(_)) => {
            Err(Unsupported::new("ReplacePrefixMatch needs PathPrefix matches in its rule"))
        }
        (other, _, _) => Err(Unsupported::value("path modifier", other)),
    }
}
