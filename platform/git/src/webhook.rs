//! What forges tell of pushes.
//!
//! GitHub, Gitea, Forgejo and the generic form sign the body with HMAC-SHA256 (RFC 2104); GitLab sends the secret itself
//! in `X-Gitlab-Token`. Which repository it is about stands in the body, which nobody has vouched for before the
//! secret of that repository has been compared: so a secret speaks for its own repositories alone.

use std::borrow::Cow;
use std::fmt;

use aws_lc_rs::{constant_time, digest, hmac};
use serde_json::Value;

use crate::prefix::{Prefixes, UrlPrefix, place};
use crate::{Error, RepositoryUrl, Secret};

/// The largest body that is read, in bytes.
pub const MAX_WEBHOOK: usize = 1 << 20;
/// A shorter secret could be guessed, in bytes.
const SHORTEST_SECRET: usize = 16;
/// More URLs of one body are not looked at.
const MAX_URLS: usize = 16;

/// Where forges write the URLs of the repository.
const URLS: [&str; 9] = [
    // GitHub, Gitea, Forgejo
    "/repository/clone_url",
    "/repository/ssh_url",
    "/repository/html_url",
    // GitLab
    "/project/git_http_url",
    "/project/git_ssh_url",
    "/repository/git_http_url",
    "/repository/git_ssh_url",
    // Generic
    "/repository",
    "/url",
];

/// The headers that prove who sends it; of several the first counts.
const PROOFS: [(&str, Form); 6] = [
    ("x-hub-signature-256", Form::Prefixed),
    ("x-seaway-signature-256", Form::Prefixed),
    ("x-forgejo-signature", Form::Hex),
    ("x-gitea-signature", Form::Hex),
    ("x-gogs-signature", Form::Hex),
    ("x-gitlab-token", Form::Token),
];

#[derive(Clone, Copy)]
enum Form {
    /// `sha256=` and an HMAC in hexadecimal digits.
    Prefixed,
    /// An HMAC in hexadecimal digits.
    Hex,
    /// The secret.
    Token,
}

/// Why a webhook is not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    /// See [`MAX_WEBHOOK`].
    #[error("the body has more than 1 MiB")]
    TooLarge,
    /// No header that proves anything.
    #[error(
        "it is not signed: give the webhook a secret (X-Hub-Signature-256, X-Gitea-Signature, X-Gitlab-Token or \
         X-Seaway-Signature-256)"
    )]
    NotSigned,
    /// The body is something else.
    #[error(
        "the body is no JSON object, and no form whose payload is one: choose application/json as the webhook's \
         content type"
    )]
    NotJson,
    /// The body names no repository.
    #[error(
        "the body names no repository: it needs what GitHub, GitLab, Gitea or Forgejo send, or {{\"repository\": \"URL\"}}"
    )]
    NoRepository,
}

enum Proof {
    Hmac(Vec<u8>),
    /// Its digest: comparing that takes as long for every text.
    Token(digest::Digest),
}

/// A webhook as it came: nothing of it is believed yet.
pub struct Webhook {
    urls: Vec<RepositoryUrl>,
    proof: Proof,
    body: Vec<u8>,
}

/// No secret that is known signs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the webhook's secret is not that of the Secret for its repository")]
pub struct UnsignedWebhook;

impl Webhook {
    /// Reads headers (names in lower case) and body.
    ///
    /// # Errors
    /// When it is too large, not signed, or says nothing of a repository.
    pub fn read<'a>(header: impl Fn(&str) -> Option<&'a str>, body: Vec<u8>) -> Result<Self, WebhookError> {
        if body.len() > MAX_WEBHOOK {
            return Err(WebhookError::TooLarge);
        }
        let proof = PROOFS.iter().find_map(|(name, form)| {
            let text = header(name)?.trim();
            match form {
                Form::Token => Some(Proof::Token(digest::digest(&digest::SHA256, text.as_bytes()))),
                Form::Hex => hex::decode(text).ok().map(Proof::Hmac),
                Form::Prefixed => hex::decode(text.strip_prefix("sha256=")?).ok().map(Proof::Hmac),
            }
        });
        let proof = proof.ok_or(WebhookError::NotSigned)?;
        let is_form = header("content-type").is_some_and(|kind| {
            let kind = kind.split(';').next().unwrap_or_default().trim();
            kind.eq_ignore_ascii_case("application/x-www-form-urlencoded")
        });
        // `curl --data` calls JSON a form too. No form begins so: its encoding has no braces.
        let is_form = is_form && !body.trim_ascii_start().starts_with(b"{");
        // What is signed is the form as it was sent.
        let payload = if is_form { payload(&body) } else { Some(Cow::Borrowed(body.as_slice())) };
        let payload = payload.ok_or(WebhookError::NotJson)?;
        let value: Value = serde_json::from_slice(&payload).map_err(|_| WebhookError::NotJson)?;
        if !value.is_object() {
            return Err(WebhookError::NotJson);
        }
        let named = URLS.iter().filter_map(|pointer| value.pointer(pointer));
        let listed = value.get("repositories").and_then(Value::as_array).into_iter().flatten();
        let texts = named.chain(listed).filter_map(Value::as_str).take(MAX_URLS);
        let mut urls: Vec<RepositoryUrl> = texts.filter_map(|text| text.parse().ok()).collect();
        urls.sort_unstable();
        urls.dedup();
        if urls.is_empty() { Err(WebhookError::NoRepository) } else { Ok(Self { urls, proof, body }) }
    }

    fn is_signed_with(&self, secret: &Secret) -> bool {
        let secret = secret.expose().as_bytes();
        match &self.proof {
            Proof::Hmac(tag) => {
                hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, secret), &self.body, tag).is_ok()
            }
            Proof::Token(sent) => {
                let own = digest::digest(&digest::SHA256, secret);
                constant_time::verify_slices_are_equal(own.as_ref(), sent.as_ref()).is_ok()
            }
        }
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook").field("urls", &self.urls).finish_non_exhaustive()
    }
}

/// The field `payload` of a form (WHATWG URL, application/x-www-form-urlencoded), as GitHub's webhooks have it unless
/// JSON is chosen.
fn payload(form: &[u8]) -> Option<Cow<'_, [u8]>> {
    let text = std::str::from_utf8(form).ok()?;
    let field = text.split('&').find_map(|field| field.strip_prefix("payload="))?;
    let spaced = field.replace('+', " ");
    Some(Cow::Owned(percent_encoding::percent_decode_str(&spaced).collect()))
}

/// The secrets of webhooks, by the URL prefix of repositories.
#[derive(Debug, Clone, Default)]
pub struct WebhookSecrets(Prefixes<Secret>);

impl WebhookSecrets {
    /// Takes `secret` for webhooks of the repository `prefix` and everything below it, as [`CredentialSet::insert`] does.
    ///
    /// [`CredentialSet::insert`]: crate::CredentialSet::insert
    ///
    /// # Errors
    /// When the prefix is no URL, or the secret could be guessed.
    pub fn insert(&mut self, prefix: &str, secret: Secret) -> Result<(), Error> {
        let prefix: UrlPrefix = prefix.parse()?;
        if secret.expose().len() < SHORTEST_SECRET {
            let reason = "the webhook's secret has less than 16 bytes";
            return Err(Error::BadCredentials { prefix: prefix.to_string(), reason });
        }
        self.0.insert(prefix, secret);
        Ok(())
    }

    /// The URLs of the webhook's repository that its secret vouches for.
    ///
    /// # Errors
    /// When it vouches for none; whether there is a secret for them is not told.
    pub fn verify(&self, webhook: &Webhook) -> Result<VerifiedUrls, UnsignedWebhook> {
        let signed =
            |url: &&RepositoryUrl| self.0.find(url).is_some_and(|secret| webhook.is_signed_with(secret));
        let places: Vec<String> = webhook.urls.iter().filter(signed).map(place).collect();
        if places.is_empty() { Err(UnsignedWebhook) } else { Ok(VerifiedUrls(places)) }
    }
}

/// The repository of a webhook that is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedUrls(Vec<String>);

impl VerifiedUrls {
    /// Whether it is this repository, however its URL is written.
    pub fn contains(&self, url: &RepositoryUrl) -> bool {
        self.0.contains(&place(url))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const SECRET: &str = "a-secret-of-this-repository";

    fn secrets() -> WebhookSecrets {
        let mut secrets = WebhookSecrets::default();
        secrets.insert("https://git.example.com/team/shop.git", SECRET.into()).unwrap();
        secrets.insert("https://git.example.com/other", "the-secret-of-others".into()).unwrap();
        secrets
    }

    fn sign(secret: &str, body: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        hex::encode(hmac::sign(&key, body.as_bytes()))
    }

    fn read(name: &str, value: &str, body: &str) -> Result<Webhook, WebhookError> {
        Webhook::read(|asked| (asked == name).then_some(value), body.as_bytes().to_vec())
    }

    const GITHUB: &str = r#"{"ref": "refs/heads/main", "repository": {"clone_url": "https://git.example.com/team/shop.git",
        "ssh_url": "git@git.example.com:team/shop.git", "html_url": "https://git.example.com/team/shop"}}"#;
    const GITLAB: &str = r#"{"object_kind": "push", "project": {"git_http_url": "https://git.example.com/team/shop.git",
        "git_ssh_url": "git@git.example.com:team/shop.git"}}"#;
    const GENERIC: &str = r#"{"repository": "https://git.example.com/team/shop"}"#;

    #[test]
    fn what_each_forge_sends_is_believed_with_the_secret_and_with_no_other() {
        let shop: RepositoryUrl = "https://me@git.example.com/team/shop.git".parse().unwrap();
        for (name, prefix, body) in [
            ("x-hub-signature-256", "sha256=", GITHUB),
            ("x-gitea-signature", "", GITHUB),
            ("x-forgejo-signature", "", GITHUB),
            ("x-seaway-signature-256", "sha256=", GENERIC),
        ] {
            let webhook = read(name, &format!("{prefix}{}", sign(SECRET, body)), body).unwrap();
            let urls = secrets().verify(&webhook).unwrap();
            assert!(urls.contains(&shop), "{name}");
            assert!(!urls.contains(&"https://git.example.com/team/shop2".parse().unwrap()));
            for wrong in
                [sign("another secret entirely", body), sign(SECRET, &body[..body.len() - 1]), "00".into()]
            {
                let webhook = read(name, &format!("{prefix}{wrong}"), body).unwrap();
                assert_eq!(secrets().verify(&webhook), Err(UnsignedWebhook), "{name}");
            }
        }
        let token = |token: &str| secrets().verify(&read("x-gitlab-token", token, GITLAB).unwrap());
        assert!(token(SECRET).unwrap().contains(&shop));
        for wrong in ["", "a-secret", "the-secret-of-others", &sign(SECRET, GITLAB)] {
            assert_eq!(token(wrong), Err(UnsignedWebhook), "{wrong}");
        }
    }

    #[test]
    fn a_secret_speaks_for_its_own_repositories_alone() {
        let body =
            r#"{"repositories": ["https://git.example.com/other/a", "https://git.example.com/team/shop"]}"#;
        let signature = format!("sha256={}", sign("the-secret-of-others", body));
        let urls = secrets().verify(&read("x-seaway-signature-256", &signature, body).unwrap()).unwrap();
        assert!(urls.contains(&"https://git.example.com/other/a.git".parse().unwrap()));
        assert!(!urls.contains(&"https://git.example.com/team/shop".parse().unwrap()));
    }

    #[test]
    fn a_form_is_read_as_github_sends_it_and_is_signed_as_it_was_sent() {
        use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
        let form = |body: &str| {
            let text = utf8_percent_encode(body, NON_ALPHANUMERIC).to_string().replace("%20", "+");
            format!("payload={text}&other=1")
        };
        let read = |body: &str, signature: String| {
            let header = |name: &str| match name {
                "content-type" => Some("application/x-www-form-urlencoded; charset=utf-8"),
                "x-hub-signature-256" => Some(signature.as_str()),
                _ => None,
            };
            Webhook::read(header, body.as_bytes().to_vec())
        };
        let sent = form(GITHUB);
        let webhook = read(&sent, format!("sha256={}", sign(SECRET, &sent))).unwrap();
        let shop: RepositoryUrl = "https://git.example.com/team/shop.git".parse().unwrap();
        assert!(secrets().verify(&webhook).unwrap().contains(&shop));
        // The signature of the JSON in it is none of the form.
        let webhook = read(&sent, format!("sha256={}", sign(SECRET, GITHUB))).unwrap();
        assert_eq!(secrets().verify(&webhook), Err(UnsignedWebhook));
        // JSON that is called a form, as `curl --data` does.
        let webhook = read(GITHUB, format!("sha256={}", sign(SECRET, GITHUB))).unwrap();
        assert!(secrets().verify(&webhook).unwrap().contains(&shop));
        let webhook = read(GITHUB, format!("sha256={}", sign(SECRET, "{}"))).unwrap();
        assert_eq!(secrets().verify(&webhook), Err(UnsignedWebhook));
        for wrong in ["", "payload", "other=1", "payload=%FF%FE", "{&payload=%7B%7D"] {
            let result = read(wrong, format!("sha256={}", sign(SECRET, wrong))).map(drop);
            assert_eq!(result, Err(WebhookError::NotJson), "{wrong}");
        }
    }

    #[test]
    fn what_is_not_signed_or_not_understood_says_what_to_do() {
        let signed = |body: &str| read("x-gitlab-token", SECRET, body).map(drop).unwrap_err();
        assert_eq!(read("x-github-event", "push", GITHUB).map(drop), Err(WebhookError::NotSigned));
        // The older signature is made with SHA-1.
        assert_eq!(read("x-hub-signature", "sha1=00", GITHUB).map(drop), Err(WebhookError::NotSigned));
        assert_eq!(read("x-hub-signature-256", "sha256=zz", GITHUB).map(drop), Err(WebhookError::NotSigned));
        assert_eq!(signed("payload=%7B%7D"), WebhookError::NotJson);
        assert_eq!(signed("[]"), WebhookError::NotJson);
        assert_eq!(signed(r#"{"repository": {"clone_url": "ext::sh"}}"#), WebhookError::NoRepository);
        assert_eq!(signed(&" ".repeat(MAX_WEBHOOK + 1)), WebhookError::TooLarge);
        assert!(WebhookSecrets::default().insert("https://git.example.com", "short".into()).is_err());
    }

    #[test]
    fn a_webhook_is_printed_without_its_proof() {
        let shown = format!("{:?} {:?}", read("x-gitlab-token", SECRET, GITLAB).unwrap(), secrets());
        assert!(!shown.contains(SECRET), "{shown}");
    }
}
