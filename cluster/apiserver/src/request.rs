//! What a request asks for: the path and query taken apart once, for authorization and handling alike.

use std::collections::BTreeMap;

use http::Method;

use crate::status::{ApiError, Cause, Result};

/// A request on a path of the resource API, or on another path.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Target {
    /// `/api/v1/...` or `/apis/G/V/...` below a group version.
    Resource(ResourcePath),
    /// Everything else: discovery, OpenAPI, health, metrics.
    Other,
}

/// A path below a group version.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ResourcePath {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) namespace: String,
    pub(crate) plural: String,
    pub(crate) name: String,
    pub(crate) subresource: String,
    /// What follows the subresource (`proxy` paths).
    pub(crate) rest: String,
    /// Whether the path itself asks for a watch, as `/api/v1/watch/pods` does.
    pub(crate) watch: bool,
}

/// Takes a path apart as Kubernetes does.
pub(crate) fn target(path: &str) -> Target {
    let mut parts = path.split('/').skip(1).map(decode).collect::<Vec<_>>();
    if parts.last().is_some_and(String::is_empty) {
        parts.pop();
    }
    let mut out = ResourcePath::default();
    let rest: &[String] = match parts.as_slice() {
        [api, version, rest @ ..] if api == "api" && !rest.is_empty() => {
            out.version = version.clone();
            rest
        }
        [apis, group, version, rest @ ..] if apis == "apis" && !rest.is_empty() => {
            out.group = group.clone();
            out.version = version.clone();
            rest
        }
        _ => return Target::Other,
    };
    // The old form of a watch: `watch` before the rest of the path.
    let rest = match rest {
        [word, more @ ..] if word == "watch" && !more.is_empty() => {
            out.watch = true;
            more
        }
        rest => rest,
    };
    // `namespaces/N/pods` is inside a namespace; `namespaces/N`, `namespaces/N/status` and
    // `namespaces/N/finalize` are about the namespace itself.
    let rest = match rest {
        [word, namespace, plural, more @ ..]
            if word == "namespaces"
                && !(out.group.is_empty()
                    && more.is_empty()
                    && matches!(plural.as_str(), "status" | "finalize")) =>
        {
            out.namespace = namespace.clone();
            out.plural = plural.clone();
            more
        }
        [plural, more @ ..] => {
            out.plural = plural.clone();
            if plural == "namespaces" && out.group.is_empty() {
                out.namespace = more.first().cloned().unwrap_or_default();
            }
            more
        }
        [] => return Target::Other,
    };
    let mut rest = rest.iter();
    out.name = rest.next().cloned().unwrap_or_default();
    out.subresource = rest.next().cloned().unwrap_or_default();
    out.rest = rest.cloned().collect::<Vec<_>>().join("/");
    Target::Resource(out)
}

fn decode(part: &str) -> String {
    percent_encoding::percent_decode_str(part).decode_utf8_lossy().into_owned()
}

/// Query parameters; the first of a repeated one counts, as in Go's `Get`, but all are kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Query(BTreeMap<String, Vec<String>>);

impl Query {
    pub(crate) fn parse(query: Option<&str>) -> Self {
        let mut map: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for pair in query.unwrap_or_default().split('&').filter(|p| !p.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            map.entry(decode(&key.replace('+', " "))).or_default().push(decode(&value.replace('+', " ")));
        }
        Self(map)
    }

    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.first().map(String::as_str).filter(|v| !v.is_empty())
    }

    pub(crate) fn all(&self, key: &str) -> &[String] {
        self.0.get(key).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn flag(&self, key: &str) -> bool {
        self.0.get(key).and_then(|v| v.first()).is_some_and(|v| !matches!(v.as_str(), "false" | "0"))
    }

    pub(crate) fn number<T: std::str::FromStr>(&self, key: &str) -> Result<Option<T>> {
        self.get(key)
            .map(|v| {
                v.parse().map_err(|_| ApiError::bad_request(format!("{key}: {v:?} is not a valid number")))
            })
            .transpose()
    }

    /// `dryRun=All`; anything else is an error of these options (`CreateOptions`, …).
    pub(crate) fn dry_run(&self, options: &str) -> Result<bool> {
        check_dry_run(self.all("dryRun"), options)
    }
}

/// Whether a list of dry run stages asks for one.
pub(crate) fn check_dry_run(stages: &[String], options: &str) -> Result<bool> {
    let asked: Vec<&String> = stages.iter().filter(|s| !s.is_empty()).collect();
    if asked.iter().any(|s| *s != "All") {
        let cause = Cause {
            reason: "FieldValueNotSupported",
            message: format!("Unsupported value: {asked:?}: supported values: \"All\""),
            field: "dryRun".into(),
        };
        return Err(ApiError::invalid_options(options, cause));
    }
    Ok(!asked.is_empty())
}

/// The verb as authorization names it.
pub(crate) fn verb(method: &Method, path: &ResourcePath, query: &Query) -> &'static str {
    match *method {
        Method::GET | Method::HEAD if path.watch => "watch",
        Method::GET | Method::HEAD if path.name.is_empty() && query.flag("watch") => "watch",
        Method::GET | Method::HEAD if path.name.is_empty() => "list",
        Method::GET | Method::HEAD => "get",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE if path.name.is_empty() => "deletecollection",
        Method::DELETE => "delete",
        _ => "",
    }
}

/// The verb on a path that is no resource.
pub(crate) fn path_verb(method: &Method) -> String {
    method.as_str().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(path: &str) -> ResourcePath {
        match target(path) {
            Target::Resource(path) => path,
            Target::Other => panic!("{path} is no resource path"),
        }
    }

    #[test]
    fn paths_are_taken_apart_as_kubernetes_does() {
        let path = resource("/api/v1/namespaces/shop/pods/web-1/log");
        assert_eq!((path.namespace.as_str(), path.plural.as_str()), ("shop", "pods"));
        assert_eq!((path.name.as_str(), path.subresource.as_str()), ("web-1", "log"));
        let path = resource("/apis/apps/v1/deployments");
        assert_eq!(
            (path.group.as_str(), path.plural.as_str(), path.name.as_str()),
            ("apps", "deployments", "")
        );
        let path = resource("/api/v1/namespaces/shop");
        assert_eq!((path.plural.as_str(), path.name.as_str()), ("namespaces", "shop"));
        let path = resource("/api/v1/namespaces/shop/finalize");
        assert_eq!((path.plural.as_str(), path.subresource.as_str()), ("namespaces", "finalize"));
        assert_eq!(target("/apis/apps/v1"), Target::Other);
        assert_eq!(target("/healthz"), Target::Other);
        assert_eq!(target("/"), Target::Other);
    }

    #[test]
    fn queries_are_decoded() {
        let query =
            Query::parse(Some("labelSelector=app%3Dweb%2Ctier+in+%28a%29&watch=1&limit=x&dryRun=All"));
        assert_eq!(query.get("labelSelector"), Some("app=web,tier in (a)"));
        assert!(query.flag("watch"));
        assert!(query.number::<usize>("limit").is_err());
        assert_eq!(query.dry_run("CreateOptions"), Ok(true));
        assert!(Query::parse(Some("dryRun=Some")).dry_run("CreateOptions").is_err());
    }
}
