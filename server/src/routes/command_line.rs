//! Logging in a command line through a browser: whoever is logged in there lets it in.
//!
//! As native applications do it (RFC 8252) with proof of possession (RFC 7636): the command line keeps a secret and
//! shows its digest; the person's page gets a code for that digest; who has both code and secret gets a session. The
//! code goes from the page to the command line over the machine's own loopback, or by hand.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, State};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::HeaderMap;
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

use super::request::Caller;
use super::session::{Body, exposed, form};
use super::tokens::TokenView;
use super::{App, audit, tokens};
use crate::accounts::{Account, Secret, SessionKey};
use crate::cookie;
use crate::listener::Peer;
use crate::problem::Problem;

/// How long a code is good.
const LIFETIME: SignedDuration = SignedDuration::from_mins(5);
/// More codes are not kept; the oldest goes.
const MOST: usize = 256;
const MOST_OF_ONE: usize = 8;
/// Length of a digest (SHA-256) in base64.
const CHALLENGE: usize = 43;
/// Longest secret of a command line (RFC 7636, section 4.1).
const LONGEST_VERIFIER: usize = 128;

/// Command lines that were let in and have not come yet.
#[derive(Default)]
pub(crate) struct Admissions(Mutex<Vec<Admission>>);

struct Admission {
    /// All that is kept of the code.
    code: [u8; 32],
    challenge: String,
    account: Account,
    /// Whoever let it in must still be logged in.
    by: SessionKey,
    made: Timestamp,
}

impl Admissions {
    fn keep(&self, admission: Admission) {
        let mut kept = self.0.lock();
        // One person cannot drive out the others' codes.
        let is_own = |one: &Admission| one.account.name == admission.account.name;
        if kept.iter().filter(|one| is_own(one)).count() >= MOST_OF_ONE
            && let Some(oldest) = kept.iter().position(is_own)
        {
            kept.remove(oldest);
        }
        if kept.len() >= MOST {
            kept.remove(0);
        }
        kept.push(admission);
    }

    /// The one of this code; it is good once.
    fn take(&self, code: &str, now: Timestamp) -> Option<Admission> {
        let mut kept = self.0.lock();
        kept.retain(|one| now.duration_since(one.made) < LIFETIME);
        let code = digest(code);
        let position = kept.iter().position(|one| one.code == code)?;
        Some(kept.remove(position))
    }
}

/// A command line that wants to be let in.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AdmitRequest {
    /// The SHA-256 of its secret, in base64 for URLs without padding.
    #[schema(pattern = "^[A-Za-z0-9_-]{43}$")]
    pub challenge: String,
}

/// What the command line needs besides its secret. It cannot be printed, and is shown once.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Admission)]
pub struct AdmissionView {
    /// Good once, for five minutes.
    #[serde(serialize_with = "exposed")]
    #[schema(value_type = String, format = Password)]
    pub code: SecretString,
}

/// A command line that was let in.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RedeemRequest {
    /// What the page was given.
    #[serde(serialize_with = "exposed")]
    #[schema(value_type = String, format = Password)]
    pub code: SecretString,
    /// Its secret: 43 to 128 characters.
    #[serde(serialize_with = "exposed")]
    #[schema(value_type = String, format = Password)]
    pub verifier: SecretString,
}

/// Lets in a command line that shows this digest, as the person who is logged in in a browser. A token lets nobody in.
#[utoipa::path(
    post, path = "/api/v1/command-lines", operation_id = "admit_command_line", tag = "session",
    request_body = AdmitRequest,
    responses(
        (status = 200, body = AdmissionView),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn admit(
    State(app): State<Arc<App>>,
    Extension(Peer(from)): Extension<Peer>,
    caller: Caller,
    body: Body,
) -> Result<Json<AdmissionView>, Problem> {
    let Caller { person, session } = caller;
    let by = person.session.filter(|key| key.is_of_browser());
    let (Some(session), Some(by)) = (session, by) else {
        return Err(Problem::forbidden("only who is logged in in a browser lets in a command line"));
    };
    let AdmitRequest { challenge } = form(body, "challenge")?;
    let good = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'_';
    if challenge.len() != CHALLENGE || !challenge.bytes().all(good) {
        return Err(Problem::bad_request("challenge is no SHA-256 in base64 for URLs"));
    }
    let account = session.account;
    audit::write_account(&app, "admit", Some(&account.name), "succeeded", from).await?;
    let secret = Secret::random();
    let code = digest(secret.expose());
    app.admissions.keep(Admission { code, challenge, account, by, made: app.accounts.now() });
    Ok(Json(AdmissionView { code: secret.into_text() }))
}

/// Logs in a command line that was let in: a session as that of `POST /api/v1/tokens`.
#[utoipa::path(
    post, path = "/api/v1/command-lines/token", operation_id = "redeem_command_line", tag = "session", security(()),
    request_body = RedeemRequest,
    responses(
        (status = 200, body = TokenView),
        (status = 403, body = Problem, content_type = "application/problem+json",
         description = "There is no such code, or it is somebody else's"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn redeem(
    State(app): State<Arc<App>>,
    Extension(Peer(from)): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<TokenView>, Problem> {
    cookie::same_site(&headers)?;
    let RedeemRequest { code, verifier } = form(body, "code and verifier")?;
    let refused = || {
        Problem::wrong_code("the code is of another login, has been used, or is older than five minutes")
            .help("begin again with `seaway login`")
    };
    let taken = app.admissions.take(code.expose_secret(), app.accounts.now());
    let admission = taken.filter(|admission| proves(&verifier, &admission.challenge)).ok_or_else(refused)?;
    if !app.accounts.goes_on(admission.by).await {
        return Err(refused());
    }
    tokens::begin(&app, admission.account, from).await
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

/// Digests are compared: how far they agree tells nothing of the secret.
fn proves(verifier: &SecretString, challenge: &str) -> bool {
    let verifier = verifier.expose_secret();
    (CHALLENGE..=LONGEST_VERIFIER).contains(&verifier.len())
        && URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes())) == challenge
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_proved_as_the_rfc_has_it() {
        // RFC 7636, appendix B.
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        assert!(proves(&verifier.into(), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"));
        assert!(!proves(&"short".into(), &URL_SAFE_NO_PAD.encode(Sha256::digest(b"short"))));
        assert!(!proves(&verifier.into(), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cN"));
    }
}
