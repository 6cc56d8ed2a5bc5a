//! From the login page to the provider and back: what the browser carries, and what it must come back with.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{External, Failure, Known, Provider};
use crate::accounts::Secret;

/// How long a login at the provider may take.
pub(crate) const COOKIE_SECONDS: i64 = 15 * 60;
/// Longest path to go on with.
const LONGEST_NEXT: usize = 1024;
/// Longest value of the cookie.
const LONGEST_COOKIE: usize = 3 * 1024;
/// Longest code or state of an answer.
const LONGEST_PARAMETER: usize = 8 * 1024;

/// What the browser keeps of a login that was begun: nobody else has it, and the answer must fit it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Carried {
    state: String,
    nonce: String,
    verifier: String,
    next: String,
    begun: i64,
}

/// A login that begins: where the browser goes, and what it carries. Neither can be printed.
pub(crate) struct Begun {
    pub(crate) location: String,
    pub(crate) cookie: String,
}

/// What the browser comes back with.
#[derive(Default)]
pub(crate) struct Callback<'a> {
    pub(crate) code: Option<&'a str>,
    pub(crate) state: Option<&'a str>,
    pub(crate) issuer: Option<&'a str>,
    pub(crate) error: Option<&'a str>,
    pub(crate) cookie: Option<&'a str>,
}

impl Provider {
    /// Begins a login, after which the browser goes on with `next`.
    ///
    /// # Errors
    /// When the provider does not answer, or is not the one that it is asked to be.
    pub(crate) async fn begin(&self, next: &str, now: Timestamp) -> Result<Begun, Failure> {
        let Known { metadata, .. } = self.known(now).await?;
        let random = || Secret::random().expose().to_owned();
        let carried = Carried {
            state: random(),
            nonce: random(),
            verifier: random(),
            next: local(next).to_owned(),
            begun: now.as_second(),
        };
        let scopes: Vec<&str> =
            std::iter::once("openid").chain(self.settings.scopes.iter().map(String::as_str)).collect();
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.settings.client_id)
            .append_pair("redirect_uri", &self.redirect)
            .append_pair("scope", &scopes.join(" "))
            .append_pair("state", &carried.state)
            .append_pair("nonce", &carried.nonce)
            .append_pair("code_challenge", &challenge(&carried.verifier))
            .append_pair("code_challenge_method", "S256")
            .finish();
        let endpoint = &metadata.authorization_endpoint;
        // A browser would follow anything.
        if !(endpoint.starts_with("https://") || endpoint.starts_with("http://")) || endpoint.contains('#') {
            return Err(Failure::Metadata(format!("{endpoint:?} is no address to log in at")));
        }
        let separator = if endpoint.contains('?') { '&' } else { '?' };
        let cookie = serde_json::to_vec(&carried).map_err(|error| Failure::Metadata(error.to_string()))?;
        Ok(Begun {
            location: format!("{endpoint}{separator}{query}"),
            cookie: URL_SAFE_NO_PAD.encode(cookie),
        })
    }

    /// Ends a login: who it is, and the path to go on with.
    ///
    /// # Errors
    /// Whatever keeps the answer from being believed.
    pub(crate) async fn complete(
        &self,
        callback: Callback<'_>,
        now: Timestamp,
    ) -> Result<(External, String), Failure> {
        let carried = callback.cookie.and_then(carried).ok_or(Failure::NotBegun)?;
        let begun = Timestamp::from_second(carried.begun).map_err(|_| Failure::NotBegun)?;
        let took = now.duration_since(begun);
        let in_time =
            took < SignedDuration::from_secs(COOKIE_SECONDS) && took > -SignedDuration::from_mins(1);
        // Digests are compared: how far they agree tells nothing.
        let same = |one: &str, other: &str| Sha256::digest(one) == Sha256::digest(other);
        if !in_time || !callback.state.is_some_and(|state| same(state, &carried.state)) {
            return Err(Failure::NotBegun);
        }
        // Somebody else's answer is not sent to this provider (RFC 9207: mix-up).
        let required = self.known(now).await?.metadata.authorization_response_iss_parameter_supported;
        match callback.issuer {
            Some(issuer) if issuer != self.settings.issuer => {
                return Err(Failure::OtherIssuer(issuer.chars().take(200).collect()));
            }
            None if required => return Err(Failure::OtherIssuer(String::new())),
            _ => {}
        }
        if let Some(error) = callback.error {
            let word = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
            return Err(Failure::Denied(error.chars().filter(word).take(64).collect()));
        }
        let code = callback.code.filter(|code| !code.is_empty() && code.len() <= LONGEST_PARAMETER);
        let code = code.ok_or_else(|| Failure::Denied("there is no code".to_owned()))?;
        let external = self.exchange(code, &carried.verifier, &carried.nonce, now).await?;
        Ok((external, local(&carried.next).to_owned()))
    }
}

fn carried(cookie: &str) -> Option<Carried> {
    if cookie.len() > LONGEST_COOKIE {
        return None;
    }
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(cookie).ok()?).ok()
}

/// RFC 7636, 4.2.
fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier))
}

/// A path of this page, and no other site or endpoint; the start page in place of what is none.
fn local(next: &str) -> &str {
    let path = next.strip_prefix('/').filter(|rest| !rest.starts_with(['/', '\\']));
    let plain = next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    let elsewhere = ["/api/", "/login", "/setup", "/join"].iter().any(|start| next.starts_with(start));
    if path.is_some() && plain && !elsewhere && next.len() <= LONGEST_NEXT { next } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_challenge_is_that_of_the_specification() {
        // RFC 7636, appendix B.
        assert_eq!(
            challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        );
    }

    #[test]
    fn one_goes_on_with_a_path_of_the_page_alone() {
        for good in ["/", "/environments/seaway/staging/logs?follow=1"] {
            assert_eq!(local(good), good);
        }
        let long = format!("/{}", "a".repeat(LONGEST_NEXT));
        for bad in [
            "",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "/a\r\nb",
            "/api/v1/session",
            "/login",
            "/ä",
            &long,
        ] {
            assert_eq!(local(bad), "/", "{bad:?}");
        }
    }
}
