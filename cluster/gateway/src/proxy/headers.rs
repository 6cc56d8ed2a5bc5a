//! Headers on their way through: what belongs to one connection alone is
//! removed, what the backend should know is added, and Seaway's own
//! credentials never reach a backend.

use std::net::IpAddr;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::header::{
    AUTHORIZATION, CONNECTION, COOKIE, EXPECT, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, SET_COOKIE, TE,
    TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Version};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Prefix of Seaway's tokens.
const TOKEN_PREFIX: &str = "swy_";

/// Who sends requests over a connection, and how.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    /// Its address, as `X-Forwarded-For` has it.
    address: HeaderValue,
    pub(crate) secure: bool,
}

impl Client {
    pub(crate) fn new(address: IpAddr, secure: bool) -> Self {
        // An address is made of digits, letters, dots and colons.
        let text = HeaderValue::try_from(address.to_string());
        Self { address: text.unwrap_or_else(|_| HeaderValue::from_static("unknown")), secure }
    }

    pub(crate) fn scheme(&self) -> &'static str {
        if self.secure { "https" } else { "http" }
    }
}

/// The host and port that a request asks for: of an absolute or HTTP/2 target,
/// otherwise of the one `Host` header. `None` is a bad request.
pub(crate) fn authority(parts: &Parts) -> Option<HeaderValue> {
    if let Some(authority) = parts.uri.authority() {
        return HeaderValue::from_str(authority.as_str()).ok();
    }
    let mut hosts = parts.headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().is_ok().then(|| host.clone()),
        _ => None,
    }
}

/// Which headers there are that need a look. Most requests have few of them, and going through their names once costs
/// less than looking for each.
#[derive(Default)]
struct Present {
    connection: bool,
    hop_by_hop: bool,
    te: bool,
    expect: bool,
    cookie: bool,
    set_cookie: bool,
    authorization: bool,
    forwarded_for: bool,
}

impl Present {
    fn among(headers: &HeaderMap) -> Self {
        let mut present = Self::default();
        for name in headers.keys() {
            match name.as_str() {
                "connection" => present.connection = true,
                "keep-alive"
                | "proxy-connection"
                | "proxy-authenticate"
                | "proxy-authorization"
                | "transfer-encoding"
                | "upgrade" => present.hop_by_hop = true,
                "te" => present.te = true,
                "expect" => present.expect = true,
                "cookie" => present.cookie = true,
                "set-cookie" => present.set_cookie = true,
                "authorization" => present.authorization = true,
                "x-forwarded-for" => present.forwarded_for = true,
                _ => {}
            }
        }
        present
    }
}

/// The protocol that a request wants to change to, such as `websocket`.
pub(crate) fn wanted_upgrade<B>(request: &http::Request<B>) -> Option<HeaderValue> {
    if request.version() != Version::HTTP_11 {
        return None;
    }
    let tokens = request.headers().get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let asks =
        tokens.flat_map(|value| value.split(',')).any(|token| token.trim().eq_ignore_ascii_case("upgrade"));
    if asks { request.headers().get(UPGRADE).cloned() } else { None }
}

/// Makes a client's headers fit for a backend.
pub(crate) fn to_backend(
    headers: &mut HeaderMap,
    client: &Client,
    authority: &HeaderValue,
    upgrade: Option<&HeaderValue>,
) {
    let present = Present::among(headers);
    remove_hop_by_hop(headers, &present);
    if present.expect {
        // The gateway itself has answered or will answer the expectation.
        headers.remove(EXPECT);
    }
    if present.cookie {
        strip_cookies(headers);
    }
    if present.authorization && headers.get_all(AUTHORIZATION).iter().any(is_our_token) {
        headers.remove(AUTHORIZATION);
    }
    if let Some(protocol) = upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocol.clone());
    }
    if headers.get(HOST) != Some(authority) {
        headers.insert(HOST, authority.clone());
    }
    headers.insert(X_FORWARDED_HOST, authority.clone());
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(client.scheme()));
    let mut chain = client.address.clone();
    if present.forwarded_for {
        let mut hops: Vec<&[u8]> = headers
            .get_all(&X_FORWARDED_FOR)
            .iter()
            .filter(|value| value.to_str().is_ok())
            .map(HeaderValue::as_bytes)
            .collect();
        hops.push(client.address.as_bytes());
        if let Ok(all) = HeaderValue::from_bytes(&hops.join(&b", "[..])) {
            chain = all;
        }
    }
    headers.insert(X_FORWARDED_FOR, chain);
}

/// Makes a backend's headers fit for a client. A backend cannot set Seaway's cookies.
pub(crate) fn to_client(headers: &mut HeaderMap) {
    let present = Present::among(headers);
    remove_hop_by_hop(headers, &present);
    if !present.set_cookie {
        return;
    }
    let is_ours = |value: &HeaderValue| {
        let bytes = value.as_bytes();
        let end = bytes.iter().position(|byte| *byte == b'=').unwrap_or(bytes.len());
        std::str::from_utf8(&bytes[..end]).is_ok_and(|name| is_our_cookie(name.trim()))
    };
    if headers.get_all(SET_COOKIE).iter().any(is_ours) {
        let kept: Vec<_> =
            headers.get_all(SET_COOKIE).iter().filter(|value| !is_ours(value)).cloned().collect();
        headers.remove(SET_COOKIE);
        for value in kept {
            headers.append(SET_COOKIE, value);
        }
    }
}

/// RFC 9110, section 7.6.1: what `Connection` names and what is known to mean one connection.
fn remove_hop_by_hop(headers: &mut HeaderMap, present: &Present) {
    if present.connection {
        // What most of them say names no header.
        let may_name =
            |token: &&str| ["keep-alive", "close"].iter().all(|each| !token.eq_ignore_ascii_case(each));
        let named: Vec<HeaderName> = headers
            .get_all(CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .filter(may_name)
            .filter_map(|token| HeaderName::try_from(token).ok())
            .filter(|name| *name != HOST && *name != TE)
            .collect();
        for name in named {
            headers.remove(name);
        }
        headers.remove(CONNECTION);
    }
    if present.hop_by_hop {
        for name in [
            KEEP_ALIVE,
            PROXY_CONNECTION,
            PROXY_AUTHENTICATE,
            PROXY_AUTHORIZATION,
            TRANSFER_ENCODING,
            UPGRADE,
        ] {
            headers.remove(name);
        }
    }
    // Trailers pass through; other transfer codings do not.
    if present.te
        && let Some(codings) = headers.remove(TE)
        && codings.to_str().is_ok_and(|codings| {
            codings.split(',').any(|coding| coding.trim().eq_ignore_ascii_case("trailers"))
        })
    {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
}

fn is_our_cookie(name: &str) -> bool {
    name.starts_with("__Host-seaway") || matches!(name, "seaway_session" | "seaway_oidc")
}

/// Takes out Seaway's session cookie. Several `Cookie` lines, as HTTP/2 sends
/// them, become one.
fn strip_cookies(headers: &mut HeaderMap) {
    let mut cookies = headers.get_all(COOKIE).iter();
    let first = cookies.next();
    let several = cookies.next().is_some();
    if first.is_some_and(|value| several || contains(value.as_bytes(), b"seaway")) {
        let lines: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
        let kept: Vec<&[u8]> = lines
            .iter()
            .flat_map(|line| line.split(|byte| *byte == b';'))
            .map(<[u8]>::trim_ascii)
            .filter(|pair| {
                let end = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
                !pair.is_empty()
                    && !std::str::from_utf8(&pair[..end]).is_ok_and(|name| is_our_cookie(name.trim()))
            })
            .collect();
        let joined = kept.join(&b"; "[..]);
        headers.remove(COOKIE);
        if !joined.is_empty()
            && let Ok(value) = HeaderValue::from_bytes(&joined)
        {
            headers.insert(COOKIE, value);
        }
    }
}

/// Whether an `Authorization` carries one of Seaway's tokens, be it as a bearer
/// token or as the name or password of basic authentication.
fn is_our_token(value: &HeaderValue) -> bool {
    let Ok(value) = std::str::from_utf8(value.as_bytes()) else { return false };
    let value = value.trim();
    let (scheme, credentials) = value.split_once(' ').unwrap_or(("", value));
    let credentials = credentials.trim();
    if scheme.eq_ignore_ascii_case("basic") {
        let Ok(decoded) = BASE64_STANDARD.decode(credentials) else { return false };
        return decoded.starts_with(TOKEN_PREFIX.as_bytes())
            || contains(&decoded, format!(":{TOKEN_PREFIX}").as_bytes());
    }
    credentials.starts_with(TOKEN_PREFIX)
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        map
    }

    fn sent(lines: &[(&str, &str)]) -> Vec<String> {
        let client = Client::new("192.0.2.7".parse().unwrap(), false);
        let mut map = headers(lines);
        to_backend(&mut map, &client, &HeaderValue::from_static("a.localhost:80"), None);
        let mut lines: Vec<String> = map
            .iter()
            .filter(|(name, _)| **name != HOST && !name.as_str().starts_with("x-forwarded-"))
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        lines.sort();
        lines
    }

    #[test]
    fn what_belongs_to_one_connection_stays_there() {
        let left = sent(&[
            ("connection", "keep-alive, x-private, host"),
            ("keep-alive", "timeout=5"),
            ("x-private", "1"),
            ("te", "gzip, trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("proxy-authorization", "Basic x"),
            ("expect", "100-continue"),
            ("accept", "text/html"),
        ]);
        assert_eq!(left, ["accept: text/html", "te: trailers"]);
    }

    #[test]
    fn seaways_cookie_and_token_are_taken_out_and_others_pass() {
        assert_eq!(
            sent(&[("cookie", "a=1; __Host-seaway_session=x; b=2; seaway_session=y; seaway_theme=dark")]),
            ["cookie: a=1; b=2; seaway_theme=dark"]
        );
        assert_eq!(sent(&[("cookie", "__Host-seaway=x")]), [""; 0]);
        assert_eq!(sent(&[("cookie", "a=1"), ("cookie", "b=2")]), ["cookie: a=1; b=2"]);
        assert_eq!(sent(&[("authorization", "Bearer swy_abc")]), [""; 0]);
        assert_eq!(sent(&[("authorization", "bearer  swy_abc")]), [""; 0]);
        let basic = |text: &str| format!("Basic {}", BASE64_STANDARD.encode(text));
        assert_eq!(sent(&[("authorization", &basic("user:swy_abc"))]), [""; 0]);
        let other = basic("user:secret");
        assert_eq!(sent(&[("authorization", &other)]), [format!("authorization: {other}")]);
        assert_eq!(sent(&[("authorization", "Bearer eyJ")]), ["authorization: Bearer eyJ"]);
    }

    #[test]
    fn the_backend_learns_who_asked_for_what() {
        let client = Client::new("192.0.2.7".parse().unwrap(), true);
        let mut map = headers(&[("x-forwarded-for", "10.1.1.1"), ("x-forwarded-proto", "gopher")]);
        to_backend(&mut map, &client, &HeaderValue::from_static("a.localhost:7480"), None);
        assert_eq!(map["x-forwarded-for"], "10.1.1.1, 192.0.2.7");
        assert_eq!(map["x-forwarded-proto"], "https");
        assert_eq!(map["x-forwarded-host"], "a.localhost:7480");
        assert_eq!(map["host"], "a.localhost:7480");
    }

    #[test]
    fn a_backend_cannot_set_seaways_cookie() {
        let mut map = headers(&[
            ("set-cookie", "seaway_session=evil; Domain=localhost"),
            ("set-cookie", "a=1; Path=/"),
            ("connection", "close"),
        ]);
        to_client(&mut map);
        assert_eq!(map.get_all(SET_COOKIE).iter().collect::<Vec<_>>(), ["a=1; Path=/"]);
        assert!(!map.contains_key(CONNECTION));
    }

    #[test]
    fn a_request_needs_exactly_one_host() {
        let of = |lines: &[(&str, &str)], uri: &str| {
            let mut request = http::Request::builder().uri(uri).body(()).unwrap();
            *request.headers_mut() = headers(lines);
            authority(&request.into_parts().0)
        };
        assert_eq!(of(&[("host", "a")], "/"), Some(HeaderValue::from_static("a")));
        assert_eq!(of(&[("host", "a")], "http://b/"), Some(HeaderValue::from_static("b")));
        assert_eq!(of(&[], "/"), None);
        assert_eq!(of(&[("host", "a"), ("host", "b")], "/"), None);
    }
}
