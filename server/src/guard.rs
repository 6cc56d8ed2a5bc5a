//! What every request passes before it is looked at: its host, its origin, its time.
//!
//! A page of another web site can make a browser send requests here, also under a name of its own that it points at
//! this machine (DNS rebinding). So a request must name this server by an address, by `localhost`, or by a name that it
//! was given; and what a browser marks as coming from elsewhere is refused.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, HeaderName, HeaderValue, ORIGIN, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::uri::Authority;
use http::{HeaderMap, Uri};

use crate::problem::Problem;

/// Longest time for an answer. A plan may have to fetch from Git first.
const ANSWER: Duration = Duration::from_secs(120);

/// The names of this server besides addresses and `localhost`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names(Arc<Vec<String>>);

impl Names {
    pub(crate) fn new(names: impl IntoIterator<Item = String>) -> Self {
        Self(Arc::new(names.into_iter().map(|name| name.to_ascii_lowercase()).collect()))
    }

    fn contains(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        let address = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(&host);
        host == "localhost" || address.parse::<IpAddr>().is_ok() || self.0.contains(&host)
    }
}

/// Refuses requests that are meant for another server or come from another site.
pub(crate) async fn check(State(names): State<Names>, request: Request, next: Next) -> Response {
    let mut response = match admitted(&names, request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    set(X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(REFERRER_POLICY, "no-referrer");
    set(CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'");
    set(CACHE_CONTROL, "no-store");
    response
}

fn admitted(names: &Names, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    let mut hosts = headers.get_all(HOST).iter();
    let host = match (uri.authority(), hosts.next()) {
        (Some(authority), _) => Some(authority.clone()),
        (None, Some(value)) => value.to_str().ok().and_then(|host| host.parse::<Authority>().ok()),
        (None, None) => None,
    };
    let host = host
        .filter(|_| hosts.next().is_none())
        .ok_or_else(|| Problem::bad_request("the request has no Host, or one that is none"))?;
    if !names.contains(host.host()) {
        let detail = format!("{:?} is not a name of this server", host.host());
        return Err(Problem::wrong_host(detail).help("ask for localhost or for the server's address"));
    }
    for origin in headers.get_all(ORIGIN) {
        let same = origin.to_str().ok().and_then(|origin| origin.parse::<Uri>().ok()).is_some_and(|origin| {
            matches!(origin.scheme_str(), Some("http" | "https"))
                && origin.authority().is_some_and(|a| a.as_str().eq_ignore_ascii_case(host.as_str()))
        });
        if !same {
            let detail = format!("the request comes from {origin:?}, the server is {:?}", host.as_str());
            return Err(Problem::wrong_origin(detail));
        }
    }
    Ok(())
}

/// Ends what takes too long. Event streams answer at once and go on.
pub(crate) async fn limit_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(ANSWER, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::timeout().into_response(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn status(host: &[&str], origin: Option<&str>) -> u16 {
        let mut headers = HeaderMap::new();
        for host in host {
            headers.append(HOST, host.parse().unwrap());
        }
        if let Some(origin) = origin {
            headers.insert(ORIGIN, origin.parse().unwrap());
        }
        let names = Names::new(["Seaway.Example.com".to_owned()]);
        match admitted(&names, &Uri::from_static("/api/v1/environments"), &headers) {
            Ok(()) => 200,
            Err(problem) => problem.status,
        }
    }

    #[test]
    fn the_host_is_an_address_localhost_or_a_given_name() {
        for good in
            ["localhost", "localhost:7420", "127.0.0.1:7420", "[::1]:7420", "10.0.0.3", "SEAWAY.example.com"]
        {
            assert_eq!(status(&[good], None), 200, "{good}");
        }
        for bad in ["evil.example", "localhost.evil.example", "evil.example:7420", "127.0.0.1.evil.example"] {
            assert_eq!(status(&[bad], None), 421, "{bad}");
        }
        for none in [&[][..], &["a b"], &["localhost", "localhost"]] {
            assert_eq!(status(none, None), 400, "{none:?}");
        }
    }

    #[test]
    fn the_origin_is_the_server_itself() {
        let host = &["localhost:7420"];
        assert_eq!(status(host, Some("http://localhost:7420")), 200);
        for bad in [
            "null",
            "http://evil.example",
            "http://localhost:7480",
            "http://localhost",
            "file://localhost:7420",
        ] {
            assert_eq!(status(host, Some(bad)), 403, "{bad}");
        }
    }
}
