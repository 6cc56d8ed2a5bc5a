//! ID tokens: who vouches for whom, to whom, and until when (OpenID Connect Core 1.0, 3.1.3.7). Pure.

use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::jwk::{AlgorithmParameters, JwkSet, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Map, Value};

/// How far two clocks may differ.
const LEEWAY: SignedDuration = SignedDuration::from_secs(60);
/// A longer ID token is none: headers with the groups of a thousand teams still are shorter.
const LONGEST: usize = 256 * 1024;

/// Signatures that only the provider can make. Those by a shared secret (HS256) and none at all are not among them.
const ALGORITHMS: [(Algorithm, KeyAlgorithm); 9] = [
    (Algorithm::RS256, KeyAlgorithm::RS256),
    (Algorithm::RS384, KeyAlgorithm::RS384),
    (Algorithm::RS512, KeyAlgorithm::RS512),
    (Algorithm::PS256, KeyAlgorithm::PS256),
    (Algorithm::PS384, KeyAlgorithm::PS384),
    (Algorithm::PS512, KeyAlgorithm::PS512),
    (Algorithm::ES256, KeyAlgorithm::ES256),
    (Algorithm::ES384, KeyAlgorithm::ES384),
    (Algorithm::EdDSA, KeyAlgorithm::EdDSA),
];

/// Why an ID token does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Lie {
    #[error("the ID token is none: {0}")]
    Form(String),
    #[error("the ID token is signed by {0}, which is not accepted")]
    Algorithm(String),
    #[error("the ID token is signed with a key that the provider does not publish")]
    UnknownKey,
    #[error("the signature of the ID token is wrong")]
    Signature,
    #[error("the ID token is of another issuer: {0:?}")]
    Issuer(String),
    #[error("the ID token is for somebody else: {0}")]
    Audience(String),
    #[error("the ID token has another nonce: it belongs to another login")]
    Nonce,
    #[error("the ID token has expired, or one of the clocks is wrong: it was good until {0}, and it is {1}")]
    Expired(Timestamp, Timestamp),
    #[error("the ID token is not good yet, or one of the clocks is wrong: it is of {0}, and it is {1}")]
    Early(Timestamp, Timestamp),
    #[error("the ID token says nothing of {0}")]
    Missing(&'static str),
}

/// What the token must be about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected<'a> {
    pub(crate) issuer: &'a str,
    pub(crate) client: &'a str,
    pub(crate) nonce: &'a str,
    pub(crate) now: Timestamp,
}

/// What a good ID token says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Claims(Map<String, Value>);

impl Claims {
    /// The person, for ever, at this issuer.
    pub(crate) fn subject(&self) -> &str {
        self.text("sub").unwrap_or_default()
    }

    /// A claim that is a text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str().filter(|text| !text.is_empty())
    }

    /// Whether something is said of it.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// A claim that is one text, or a list of texts.
    pub(crate) fn texts(&self, name: &str) -> Vec<&str> {
        match self.0.get(name) {
            Some(Value::String(text)) => vec![text],
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        }
    }
}

impl From<Map<String, Value>> for Claims {
    fn from(claims: Map<String, Value>) -> Self {
        Self(claims)
    }
}

/// Checks an ID token.
///
/// # Errors
/// What is wrong. [`Lie::UnknownKey`] may be mended by reading the keys anew.
pub(crate) fn verify(token: &str, keys: &JwkSet, expected: Expected<'_>) -> Result<Claims, Lie> {
    if token.len() > LONGEST {
        return Err(Lie::Form(format!("it has more than {LONGEST} bytes")));
    }
    let header = jsonwebtoken::decode_header(token).map_err(|error| Lie::Form(error.to_string()))?;
    let named = || Lie::Algorithm(format!("{:?}", header.alg));
    let (_, of_key) = ALGORITHMS.into_iter().find(|(one, _)| *one == header.alg).ok_or_else(named)?;
    let fits = |jwk: &&jsonwebtoken::jwk::Jwk| {
        let common = &jwk.common;
        (header.kid.is_none() || common.key_id == header.kid)
            && common.key_algorithm.is_none_or(|algorithm| algorithm == of_key)
            && matches!(common.public_key_use, None | Some(PublicKeyUse::Signature))
            && match &jwk.algorithm {
                AlgorithmParameters::RSA(_) => is_rsa(header.alg),
                AlgorithmParameters::EllipticCurve(_) => {
                    matches!(header.alg, Algorithm::ES256 | Algorithm::ES384)
                }
                AlgorithmParameters::OctetKeyPair(_) => header.alg == Algorithm::EdDSA,
                _ => false,
            }
    };
    let mut candidates = keys.keys.iter().filter(fits).peekable();
    if candidates.peek().is_none() {
        return Err(Lie::UnknownKey);
    }
    let mut validation = Validation::new(header.alg);
    // The rest is looked at below, at a time that is given.
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    let signed = candidates.find_map(|jwk| {
        let key = DecodingKey::from_jwk(jwk).ok()?;
        jsonwebtoken::decode::<Map<String, Value>>(token, &key, &validation).ok()
    });
    let claims = Claims(signed.ok_or(Lie::Signature)?.claims);
    check(&claims, expected)?;
    Ok(claims)
}

fn is_rsa(algorithm: Algorithm) -> bool {
    use Algorithm::{PS256, PS384, PS512, RS256, RS384, RS512};
    matches!(algorithm, RS256 | RS384 | RS512 | PS256 | PS384 | PS512)
}

fn check(claims: &Claims, expected: Expected<'_>) -> Result<(), Lie> {
    let issuer = claims.text("iss").ok_or(Lie::Missing("its issuer"))?;
    if issuer != expected.issuer {
        return Err(Lie::Issuer(issuer.to_owned()));
    }
    let audience = claims.texts("aud");
    let for_client = audience.contains(&expected.client);
    // Of several audiences the one that it was issued to is named; one that names another is not ours.
    let authorized = claims.text("azp");
    let own = authorized.map_or(audience.len() == 1, |azp| azp == expected.client);
    if !for_client || !own {
        return Err(Lie::Audience(audience.join(", ")));
    }
    if claims.text("nonce") != Some(expected.nonce) {
        return Err(Lie::Nonce);
    }
    claims.text("sub").ok_or(Lie::Missing("the person (sub)"))?;
    let expires = time(claims, "exp")?.ok_or(Lie::Missing("its end (exp)"))?;
    if expected.now.duration_since(expires) >= LEEWAY {
        return Err(Lie::Expired(expires, expected.now));
    }
    time(claims, "iat")?.ok_or(Lie::Missing("its time (iat)"))?;
    for name in ["iat", "nbf"] {
        if let Some(from) = time(claims, name)?
            && from.duration_since(expected.now) > LEEWAY
        {
            return Err(Lie::Early(from, expected.now));
        }
    }
    Ok(())
}

/// NumericDate (RFC 7519, 2): seconds since 1970, which may have a fraction.
fn time(claims: &Claims, name: &str) -> Result<Option<Timestamp>, Lie> {
    let Some(value) = claims.0.get(name) else { return Ok(None) };
    let seconds = value.as_i64().or_else(|| {
        let seconds = value.as_f64().filter(|seconds| seconds.abs() < 1e11)?;
        #[allow(clippy::cast_possible_truncation)] // Seconds of a few thousand years.
        Some(seconds as i64)
    });
    let time = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok());
    time.map(Some).ok_or_else(|| Lie::Form(format!("{name} is no time")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_000_000;

    fn checked(change: impl Fn(&mut Map<String, Value>)) -> Result<(), Lie> {
        let claims = json!({"iss": "https://id.example.com", "aud": "seaway", "sub": "1", "exp": NOW + 300, "iat": NOW,
            "nonce": "n"});
        let Value::Object(mut claims) = claims else { unreachable!() };
        change(&mut claims);
        let now = Timestamp::from_second(NOW).unwrap();
        check(
            &Claims(claims),
            Expected { issuer: "https://id.example.com", client: "seaway", nonce: "n", now },
        )
    }

    fn with(name: &str, value: Value) -> Result<(), Lie> {
        checked(|claims| {
            claims.insert(name.to_owned(), value.clone());
        })
    }

    fn without(name: &str) -> Result<(), Lie> {
        checked(|claims| {
            claims.remove(name);
        })
    }

    /// The specification's list (OpenID Connect Core 1.0, 3.1.3.7), one by one.
    #[test]
    fn each_claim_is_looked_at() {
        assert_eq!(checked(|_| {}), Ok(()));
        assert!(matches!(with("iss", json!("https://id.example.com/")), Err(Lie::Issuer(_))));
        assert_eq!(without("iss"), Err(Lie::Missing("its issuer")));
        assert!(matches!(with("aud", json!("another")), Err(Lie::Audience(_))));
        assert!(matches!(with("aud", json!(["seaway", "another"])), Err(Lie::Audience(_))));
        assert!(matches!(with("azp", json!("another")), Err(Lie::Audience(_))));
        assert!(matches!(without("aud"), Err(Lie::Audience(_))));
        assert_eq!(with("aud", json!(["seaway"])), Ok(()));
        assert_eq!(with("nonce", json!("m")), Err(Lie::Nonce));
        assert_eq!(without("nonce"), Err(Lie::Nonce));
        assert_eq!(without("sub"), Err(Lie::Missing("the person (sub)")));
        assert_eq!(without("exp"), Err(Lie::Missing("its end (exp)")));
        assert_eq!(without("iat"), Err(Lie::Missing("its time (iat)")));
        assert!(matches!(with("exp", json!("tomorrow")), Err(Lie::Form(_))));
        assert!(matches!(with("exp", json!(1e300)), Err(Lie::Form(_))));
    }

    #[test]
    fn clocks_may_differ_by_a_minute() {
        assert_eq!(with("exp", json!(NOW - 59)), Ok(()));
        assert!(matches!(with("exp", json!(NOW - 60)), Err(Lie::Expired(..))));
        assert_eq!(with("exp", json!(NOW as f64 + 0.5)), Ok(()));
        for name in ["iat", "nbf"] {
            assert_eq!(with(name, json!(NOW + 60)), Ok(()));
            assert!(matches!(with(name, json!(NOW + 61)), Err(Lie::Early(..))), "{name}");
        }
    }
}
