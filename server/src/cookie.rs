//! The cookie that holds a session, and what a request with one has to show.
//!
//! A browser sends cookies by itself, also when another site makes it ask. `SameSite` keeps it from doing so; these
//! checks do not rely on that alone.

use http::header::{COOKIE, HeaderMap, HeaderValue};
use http::request::Parts;
use http::{HeaderName, Method};

use crate::accounts::{LONGEST_SESSION, Secret};
use crate::problem::Problem;

/// A page of another site cannot set it without asking first, and is refused then.
const CSRF: HeaderName = HeaderName::from_static("x-seaway-csrf");
/// Where a browser says that a request comes from.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Name of the cookie. The gateway lets neither through to a backend.
///
/// Browsers take a `__Host-` cookie only over https, and only from this very host.
pub(crate) fn name(https: bool) -> &'static str {
    if https { "__Host-seaway" } else { "seaway_session" }
}

/// `Set-Cookie` that begins a session.
pub(crate) fn begin(secret: &Secret, https: bool) -> Option<HeaderValue> {
    let mut value = header(secret.expose(), LONGEST_SESSION.as_secs(), https)?;
    value.set_sensitive(true);
    Some(value)
}

/// `Set-Cookie` that makes the browser forget it.
pub(crate) fn end(https: bool) -> Option<HeaderValue> {
    header("", 0, https)
}

fn header(value: &str, seconds: i64, https: bool) -> Option<HeaderValue> {
    let (name, secure) = (name(https), if https { "; Secure" } else { "" });
    let text = format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
    HeaderValue::from_str(&text).ok()
}

/// The secret that a browser holds. Of two, one was put there by somebody else: nobody can say which, and neither counts.
pub(crate) fn read(headers: &HeaderMap, https: bool) -> Option<Secret> {
    only(headers, name(https)).and_then(Secret::parse)
}

/// Name of the cookie of a login at a provider of OpenID Connect.
fn oidc_name(https: bool) -> &'static str {
    if https { "__Host-seaway-oidc" } else { "seaway_oidc" }
}

/// `Set-Cookie` of a login at a provider; with no seconds, the browser forgets it. The browser comes back from another
/// site, by a link: `Lax` lets it show the cookie then.
pub(crate) fn oidc(value: &str, seconds: i64, https: bool) -> Option<HeaderValue> {
    let (name, secure) = (oidc_name(https), if https { "; Secure" } else { "" });
    let text = format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// What a browser carries of a login at a provider. Of two, neither counts.
pub(crate) fn read_oidc(headers: &HeaderMap, https: bool) -> Option<String> {
    only(headers, oidc_name(https)).map(str::to_owned)
}

/// The value of the cookie of this name, if there is exactly one.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut values = pairs.filter(|(found, _)| *found == name).map(|(_, value)| value);
    let value = values.next()?;
    values.next().is_none().then_some(value)
}

/// Refuses a request that another site may have made a browser send with its cookie.
///
/// # Errors
/// 403 with what is missing.
pub(crate) fn check(parts: &Parts) -> Result<(), Problem> {
    same_site(&parts.headers)?;
    let reads = matches!(parts.method, Method::GET | Method::HEAD);
    if reads || parts.headers.get(CSRF).is_some_and(|value| value == "1") {
        return Ok(());
    }
    Err(Problem::csrf())
}

/// Refuses what a browser marks as coming from another site, or from another server of this host.
///
/// # Errors
/// 403.
pub(crate) fn same_site(headers: &HeaderMap) -> Result<(), Problem> {
    let own = |value: &HeaderValue| matches!(value.as_bytes(), b"same-origin" | b"none");
    match headers.get_all(FETCH_SITE).iter().find(|value| !own(value)) {
        None => Ok(()),
        Some(site) => Err(Problem::wrong_origin(format!("the browser says that the request is {site:?}"))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn found(lines: &[&str], https: bool) -> Option<String> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(COOKIE, line.parse().unwrap());
        }
        read(&headers, https).map(|secret| secret.expose().to_owned())
    }

    #[test]
    fn the_cookie_is_found_among_others_and_only_under_its_own_name() {
        let own = "a".repeat(43);
        let line = format!("theme=dark; seaway_session={own}; x=\"y;z");
        assert_eq!(found(&[&line], false).as_ref(), Some(&own));
        assert_eq!(found(&["x=y", &format!("seaway_session={own}")], false).as_ref(), Some(&own));
        assert_eq!(found(&[&line], true), None);
        assert_eq!(found(&[&format!("__Host-seaway={own}")], true).as_ref(), Some(&own));
        for bad in
            ["", ";;=", "seaway_session", "seaway_session=", "seaway_session=short", "Seaway_session=a"]
        {
            assert_eq!(found(&[bad], false), None, "{bad}");
        }
    }

    #[test]
    fn two_cookies_of_one_name_count_for_nothing() {
        let (one, two) = ("a".repeat(43), "b".repeat(43));
        assert_eq!(found(&[&format!("seaway_session={one}; seaway_session={two}")], false), None);
        assert_eq!(found(&[&format!("seaway_session={one}"), &format!("seaway_session={two}")], false), None);
    }

    #[test]
    fn the_cookie_is_kept_from_scripts_and_other_sites() {
        let secret = Secret::random();
        let plain = begin(&secret, false).unwrap();
        assert!(!format!("{plain:?}").contains(secret.expose()));
        let expected =
            format!("seaway_session={}; Path=/; Max-Age=604800; HttpOnly; SameSite=Strict", secret.expose());
        assert_eq!(plain.to_str().unwrap(), expected);
        let secure = end(true).unwrap();
        assert_eq!(secure, "__Host-seaway=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict; Secure");
    }
}
