//! Logging in by OpenID Connect: the authorization code flow with PKCE (OpenID Connect Core 1.0; RFC 6749, 7636, 9207).
//!
//! What it does: sends a browser to the provider, exchanges the code that it comes back with, checks the ID token, and
//! says who that is and in which groups. What it never does: keep a token of the provider, follow a redirect of it, or
//! decide what somebody may do.
//!
//! Start reading in [`Provider`]; `token.rs` is what makes an ID token count, `http.rs` how the provider is asked.

mod flow;
mod http;
mod names;
mod settings;
mod token;

use std::sync::Arc;

use ::http::header::HeaderValue;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::jwk::JwkSet;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use seaway_git::{Dialer, OutgoingPolicy};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::sync::Mutex;

use crate::accounts::AccountName;

pub(crate) use flow::{Begun, COOKIE_SECONDS, Callback};
pub use settings::{Oidc, OidcRole, OidcRoleError};

use self::http::{Form, Http, HttpError};
use token::{Claims, Expected, Lie};

/// What the provider says of itself is asked again after this time.
const FRESH: SignedDuration = SignedDuration::from_hours(1);
/// A key that is not known lets the keys be read anew, and not more often than this.
const KEYS_AGAIN: SignedDuration = SignedDuration::from_secs(10);

/// Why nobody gets in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The browser shows nothing of a login that was begun here, or not of this one.
    #[error("the login was not begun here, or too long ago")]
    NotBegun,
    /// The person said no, or the provider did.
    #[error("the provider refuses: {0}")]
    Denied(String),
    #[error("the provider cannot be asked: {0}")]
    Unavailable(#[from] HttpError),
    /// What it says of itself cannot be used.
    #[error("the provider's description of itself cannot be used: {0}")]
    Metadata(String),
    /// What it says of the person does not hold.
    #[error(transparent)]
    Lie(#[from] Lie),
    #[error("the answer comes from another issuer: {0:?}")]
    OtherIssuer(String),
    #[error("the user information is about somebody else than the ID token")]
    OtherSubject,
    /// The claim that names people is missing, or is no name of an account.
    #[error("{0}")]
    Name(String),
    /// No group of the person has a role here.
    #[error("none of the groups of {name} has a role here: {}", .groups.join(", "))]
    NoRole { name: AccountName, groups: Vec<String> },
}

/// Whom the provider vouches for.
#[derive(Debug)]
pub(crate) struct External {
    pub(crate) issuer: String,
    /// The person, for ever, at this issuer.
    pub(crate) subject: String,
    pub(crate) name: AccountName,
    pub(crate) assigned: settings::Assigned,
}

/// What the provider says of itself (OpenID Connect Discovery 1.0, 3).
#[derive(Clone, Debug, Deserialize)]
struct Metadata {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    #[serde(default)]
    userinfo_endpoint: Option<String>,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

#[derive(Clone)]
struct Known {
    metadata: Arc<Metadata>,
    keys: Arc<JwkSet>,
    asked: Timestamp,
    keys_asked: Timestamp,
}

/// The answer of the token endpoint (OpenID Connect Core 1.0, 3.1.3.3). It is not kept.
#[derive(Deserialize)]
struct Tokens {
    id_token: SecretString,
    #[serde(default)]
    access_token: Option<SecretString>,
}

/// The provider that people log in with.
pub(crate) struct Provider {
    settings: Oidc,
    http: Http,
    /// Where the browser comes back to.
    redirect: String,
    known: Mutex<Option<Known>>,
}

impl Provider {
    /// A provider, asked under this policy; people reach this server at `url`.
    ///
    /// # Errors
    /// When the certificates of the authority cannot be read.
    pub(crate) fn new(settings: Oidc, policy: OutgoingPolicy, url: &str) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        match &settings.authority {
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
            Some(pem) => {
                for certificate in CertificateDer::pem_slice_iter(pem) {
                    let added = certificate
                        .map_err(|error| error.to_string())
                        .and_then(|certificate| roots.add(certificate).map_err(|error| error.to_string()));
                    added.map_err(|error| format!("the provider's certificate authority: {error}"))?;
                }
            }
        }
        let http = Http::new(Dialer::new(policy), roots);
        let redirect = format!("{}{}", url.trim_end_matches('/'), crate::routes::OIDC_CALLBACK);
        Ok(Self { settings, http, redirect, known: Mutex::new(None) })
    }

    /// What people see of it.
    pub(crate) fn display_name(&self) -> &str {
        &self.settings.display_name
    }

    async fn known(&self, now: Timestamp) -> Result<Known, Failure> {
        let mut known = self.known.lock().await;
        let fresh = |known: &&Known| now.duration_since(known.asked).abs() < FRESH;
        if let Some(known) = known.as_ref().filter(fresh) {
            return Ok(known.clone());
        }
        let issuer = &self.settings.issuer;
        let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let metadata: Metadata = self.http.get(&url).await?;
        if metadata.issuer != *issuer {
            return Err(Failure::Metadata(format!(
                "{url} is that of {:?}, and {issuer:?} was asked for",
                metadata.issuer
            )));
        }
        let keys = self.http.get(&metadata.jwks_uri).await?;
        let found = Known { metadata: Arc::new(metadata), keys: Arc::new(keys), asked: now, keys_asked: now };
        *known = Some(found.clone());
        Ok(found)
    }

    /// The keys as they are now, when they have not just been read.
    async fn keys_again(&self, now: Timestamp) -> Result<Option<Arc<JwkSet>>, Failure> {
        let mut known = self.known.lock().await;
        let Some(known) = known.as_mut() else { return Ok(None) };
        if now.duration_since(known.keys_asked).abs() < KEYS_AGAIN {
            return Ok(None);
        }
        known.keys_asked = now;
        known.keys = Arc::new(self.http.get(&known.metadata.jwks_uri).await?);
        Ok(Some(known.keys.clone()))
    }

    /// Exchanges a code for who it stands for.
    async fn exchange(
        &self,
        code: &str,
        verifier: &str,
        nonce: &str,
        now: Timestamp,
    ) -> Result<External, Failure> {
        let Known { metadata, keys, .. } = self.known(now).await?;
        let tokens = self.tokens(&metadata, code, verifier).await?;
        let expected =
            Expected { issuer: &self.settings.issuer, client: &self.settings.client_id, nonce, now };
        let token = tokens.id_token.expose_secret();
        let claims = match token::verify(token, &keys, expected) {
            Err(Lie::UnknownKey) => match self.keys_again(now).await? {
                Some(keys) => token::verify(token, &keys, expected)?,
                None => return Err(Lie::UnknownKey.into()),
            },
            other => other?,
        };
        let more = self.user_information(&metadata, &claims, tokens.access_token.as_ref()).await?;
        self.external(&claims, more.as_ref())
    }

    async fn tokens(&self, metadata: &Metadata, code: &str, verifier: &str) -> Result<Tokens, Failure> {
        let (body, authorization) = self.token_request(metadata, code, verifier)?;
        let form = Form { body, authorization: authorization.as_ref() };
        match self.http.post(&metadata.token_endpoint, form).await {
            Ok(tokens) => Ok(tokens),
            // The code was used, or is none.
            Err(HttpError::Status { status: 400, error: Some(error), .. }) if error == "invalid_grant" => {
                Err(Failure::Denied(error))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The form that asks for tokens, and the header that says who asks.
    fn token_request(
        &self,
        metadata: &Metadata,
        code: &str,
        verifier: &str,
    ) -> Result<(String, Option<HeaderValue>), Failure> {
        let Oidc { client_id, client_secret, .. } = &self.settings;
        let mut body = form_urlencoded::Serializer::new(String::new());
        body.append_pair("grant_type", "authorization_code")
            .append_pair("code", code)
            .append_pair("redirect_uri", &self.redirect)
            .append_pair("code_verifier", verifier);
        let methods = metadata.token_endpoint_auth_methods_supported.as_deref();
        // What is not said is `client_secret_basic` (Discovery 1.0, 3).
        let basic = methods.is_none_or(|methods| methods.iter().any(|one| one == "client_secret_basic"));
        let authorization = match client_secret {
            Some(secret) if basic => Some(basic_authorization(client_id, secret)?),
            Some(secret) => {
                body.append_pair("client_id", client_id).append_pair("client_secret", secret.expose_secret());
                None
            }
            None => {
                body.append_pair("client_id", client_id);
                None
            }
        };
        Ok((body.finish(), authorization))
    }

    /// What the ID token leaves out, where the provider says it elsewhere (OpenID Connect Core 1.0, 5.3).
    async fn user_information(
        &self,
        metadata: &Metadata,
        claims: &Claims,
        access: Option<&SecretString>,
    ) -> Result<Option<Claims>, Failure> {
        let Oidc { username_claim, groups_claim, .. } = &self.settings;
        let complete = claims.text(username_claim).is_some() && claims.has(groups_claim);
        let (Some(url), Some(access), false) = (&metadata.userinfo_endpoint, access, complete) else {
            return Ok(None);
        };
        let bearer = HeaderValue::from_str(&format!("Bearer {}", access.expose_secret()));
        let mut bearer = bearer.map_err(|_| Failure::Metadata("its access token is none".to_owned()))?;
        bearer.set_sensitive(true);
        let found: Map<String, Value> = self.http.get_as(url, &bearer).await?;
        let found = Claims::from(found);
        match found.subject() == claims.subject() {
            true => Ok(Some(found)),
            false => Err(Failure::OtherSubject),
        }
    }

    fn external(&self, claims: &Claims, more: Option<&Claims>) -> Result<External, Failure> {
        let Oidc { username_claim, groups_claim, issuer, .. } = &self.settings;
        let both = || std::iter::once(claims).chain(more);
        let username = both().find_map(|claims| claims.text(username_claim)).ok_or_else(|| {
            Failure::Name(format!(
                "the provider says nothing of {username_claim}: ask for another scope or claim"
            ))
        })?;
        let name = names::account(username).map_err(|error| {
            Failure::Name(format!(
                "the provider calls the person {username:?}, which cannot be a name here: {error}"
            ))
        })?;
        let groups: Vec<String> = both()
            .find(|claims| claims.has(groups_claim))
            .map(|claims| claims.texts(groups_claim).into_iter().map(str::to_owned).collect())
            .unwrap_or_default();
        let assigned = self.settings.assigned(&groups);
        if assigned.is_empty() {
            return Err(Failure::NoRole { name, groups });
        }
        Ok(External { issuer: issuer.clone(), subject: claims.subject().to_owned(), name, assigned })
    }
}

/// RFC 6749, 2.3.1: both are form-encoded first.
fn basic_authorization(client: &str, secret: &SecretString) -> Result<HeaderValue, Failure> {
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = format!("{}:{}", encoded(client), encoded(secret.expose_secret()));
    let value = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(pair)));
    let mut value = value.map_err(|_| Failure::Metadata("the client has no usable secret".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}
