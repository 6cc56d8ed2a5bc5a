//! From a bearer token to the person who holds it.

use std::fmt;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use kube::api::{Api, PostParams};

use crate::accounts::Account;
use crate::problem::Problem;

/// A person or a program, by the name that Kubernetes knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// User name, such as `jane` or `system:serviceaccount:shop:ci`.
    pub name: String,
    /// Groups, `system:authenticated` among them.
    pub groups: Vec<String>,
}

impl Account {
    /// As whom it acts in Kubernetes.
    pub(crate) fn identity(&self) -> Identity {
        let groups = self.groups.iter().cloned().chain(["system:authenticated".to_owned()]).collect();
        Identity { name: self.name.clone(), groups }
    }
}

/// A bearer token. It cannot be printed.
#[derive(Clone)]
pub struct BearerToken(String);

/// A longer one is nobody's: tokens of Kubernetes have about a thousand bytes.
const LONGEST_TOKEN: usize = 16 * 1024;

impl BearerToken {
    /// From its text.
    pub fn new(token: impl Into<String>) -> Self {
        Self(token.into())
    }

    /// The token itself, to be compared or sent to whom it belongs.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// From the `Authorization` header (RFC 6750).
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
        let token = token.trim();
        let good = scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && token.len() <= LONGEST_TOKEN;
        good.then(|| Self(token.to_owned()))
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken(…)")
    }
}

/// Says who holds a token: nobody, or the one whom it names. An error means that this cannot be found out now.
pub type Authenticate =
    Arc<dyn Fn(BearerToken) -> BoxFuture<'static, kube::Result<Option<Identity>>> + Send + Sync>;

/// Asks the Kubernetes API (TokenReview) as the account of this client, which needs `system:auth-delegator`.
pub fn token_review(client: kube::Client) -> Authenticate {
    Arc::new(move |token| {
        let reviews: Api<TokenReview> = Api::all(client.clone());
        async move {
            let spec = TokenReviewSpec { token: token.0, ..TokenReviewSpec::default() };
            let review = TokenReview { spec, ..TokenReview::default() };
            let status = reviews.create(&PostParams::default(), &review).await?.status.unwrap_or_default();
            let user = status.user.filter(|_| status.authenticated == Some(true));
            Ok(user.and_then(|user| {
                let name = user.username.filter(|name| !name.is_empty())?;
                Some(Identity { name, groups: user.groups.unwrap_or_default() })
            }))
        }
        .boxed()
    })
}

/// Who holds a token.
///
/// # Errors
/// 401 when nobody that is known; 503 when it cannot be found out.
pub(crate) async fn identify(authenticate: &Authenticate, token: BearerToken) -> Result<Identity, Problem> {
    match authenticate(token).await {
        Ok(Some(identity)) => Ok(identity),
        Ok(None) => Err(Problem::unauthorized("the bearer token is not valid, or no longer")),
        Err(error) => {
            tracing::warn!(%error, "a token could not be checked");
            Err(Problem::unavailable("the Kubernetes API that checks tokens does not answer"))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn token(value: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, value.parse().unwrap());
        BearerToken::of(&headers).map(|token| token.expose().to_owned())
    }

    #[test]
    fn only_a_bearer_token_is_one() {
        assert_eq!(token("Bearer abc").as_deref(), Some("abc"));
        assert_eq!(token("bearer  abc ").as_deref(), Some("abc"));
        for bad in ["", "Bearer", "Bearer ", "Basic abc", "abc"] {
            assert_eq!(token(bad), None, "{bad:?}");
        }
        assert_eq!(token(&format!("Bearer {}", "a".repeat(LONGEST_TOKEN + 1))), None);
    }

    #[test]
    fn a_token_is_not_printed() {
        assert!(!format!("{:?}", BearerToken("secret".into())).contains("secret"));
    }
}
