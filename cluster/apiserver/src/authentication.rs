//! From a request's credentials to an [`Identity`]: bearer tokens, client certificates, impersonation.

use std::sync::Arc;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use rustls_pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::identity::Identity;
use crate::pki::Secret;
use crate::status::{ApiError, Result};
use crate::store::{Entry, ObjectKey, Store};
use crate::tokens::{Claims, ISSUER, Tokens};

/// How a connection came in.
#[derive(Clone, Debug)]
pub(crate) enum Peer {
    /// Over TLS, with the client's certificate when it sent one that the authority vouched for when the connection began.
    Remote(Option<Arc<CertificateDer<'static>>>),
    /// From inside this process, as a named account.
    Local(Arc<Identity>),
}

pub(crate) struct Authenticator {
    /// Hash of the administrator's token: comparing hashes takes the same time for every guess.
    admin: [u8; 32],
    pub(crate) tokens: Tokens,
    store: Store,
}

/// Keys of ServiceAccounts, pods and secrets in the store.
const ACCOUNTS: &str = "/serviceaccounts";

impl Authenticator {
    pub(crate) fn new(admin_token: &Secret, tokens: Tokens, store: Store) -> Self {
        Self { admin: Sha256::digest(admin_token.expose()).into(), tokens, store }
    }

    /// Who sent this; 401 when nobody that we know.
    pub(crate) fn authenticate(&self, peer: &Peer, headers: &HeaderMap) -> Result<Identity> {
        if let Peer::Local(identity) = peer {
            return Ok((**identity).clone());
        }
        // As in kube-apiserver: a certificate that holds decides, and otherwise the token does.
        if let Peer::Remote(Some(certificate)) = peer
            && let Some(identity) = subject(certificate)
        {
            return Ok(identity);
        }
        let token = headers.get(AUTHORIZATION).and_then(|value| {
            let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
        });
        token.and_then(|token| self.bearer(token)).ok_or_else(ApiError::unauthorized)
    }

    fn bearer(&self, token: &str) -> Option<Identity> {
        if self.is_admin(token) {
            return Some(Identity::admin());
        }
        Some(self.review(token, &[ISSUER.to_owned()])?.identity())
    }

    /// Whether this is the administrator's token.
    pub(crate) fn is_admin(&self, token: &str) -> bool {
        let hash: [u8; 32] = Sha256::digest(token).into();
        aws_lc_rs::constant_time::verify_slices_are_equal(&hash, &self.admin).is_ok()
    }

    /// A ServiceAccount token whose account (and pod or secret, when bound) still exists: the same one, and not long
    /// overdue to go.
    pub(crate) fn review(&self, token: &str, audiences: &[String]) -> Option<Claims> {
        let claims = self.tokens.verify(token, audiences).ok()?;
        let private = &claims.kubernetes;
        let alive_in = |namespace: &str, resource: &str, name: &str, uid: &str| {
            let key = ObjectKey::new(namespace, name);
            self.store.get(resource, &key).is_some_and(|e| e.meta.uid == uid && !is_overdue(&e))
        };
        let alive = |resource, name: &str, uid: &str| alive_in(&private.namespace, resource, name, uid);
        // A pod's node is said for information.
        let node = private.node.as_ref().filter(|_| private.pod.is_none());
        let account = &private.serviceaccount;
        let bound = alive(ACCOUNTS, &account.name, &account.uid)
            && private.pod.as_ref().is_none_or(|b| alive("/pods", &b.name, &b.uid))
            && private.secret.as_ref().is_none_or(|b| alive("/secrets", &b.name, &b.uid))
            && node.is_none_or(|b| alive_in("", "/nodes", &b.name, &b.uid));
        bound.then_some(claims)
    }
}

/// How long tokens hold after the end of what they are bound to, for clocks that differ; as in kube-apiserver.
const LEEWAY: jiff::SignedDuration = jiff::SignedDuration::from_secs(60);

/// Whether an object should have gone by now: what keeps it (a finalizer, a node that is down) keeps no rights alive.
fn is_overdue(entry: &Entry) -> bool {
    let ends = || entry.value()["metadata"]["deletionTimestamp"].as_str()?.parse::<jiff::Timestamp>().ok();
    entry.meta.deleting && ends().is_some_and(|ends| ends + LEEWAY < jiff::Timestamp::now())
}

/// User from the common name, groups from the organizations, as long as the certificate holds: connections live long.
fn subject(certificate: &CertificateDer<'_>) -> Option<Identity> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    if !certificate.validity().is_valid() {
        return None;
    }
    let subject = certificate.subject();
    let name = subject.iter_common_name().next()?.as_str().ok()?;
    let groups: Vec<String> =
        subject.iter_organization().filter_map(|o| o.as_str().ok()).map(str::to_owned).collect();
    Some(Identity::user(name, groups))
}

/// What the impersonation headers ask for.
#[derive(Debug, PartialEq)]
pub(crate) struct Impersonation {
    pub(crate) identity: Identity,
    /// (group, resource, name) of each thing that the caller must be allowed to impersonate.
    pub(crate) needs: Vec<(&'static str, String, String, String)>,
}

/// Reads `Impersonate-User`, `-Group`, `-Uid` and `-Extra-*`.
pub(crate) fn impersonation(headers: &HeaderMap) -> Result<Option<Impersonation>> {
    // A value that was left out would give the request its sender's own rights, or other groups than were meant.
    let unreadable = |(name, value): &(&http::HeaderName, &http::HeaderValue)| {
        name.as_str().starts_with("impersonate-") && value.to_str().is_err()
    };
    if let Some((name, _)) = headers.iter().find(unreadable) {
        return Err(ApiError::bad_request(format!("the header {name} may hold ASCII only")));
    }
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).filter(|v| !v.is_empty());
    let groups: Vec<String> = headers
        .get_all("impersonate-group")
        .iter()
        .filter_map(|v| v.to_str().ok())
        .map(str::to_owned)
        .collect();
    let uid = text("impersonate-uid");
    let extra: Vec<(String, String)> = headers
        .iter()
        .filter_map(|(name, value)| {
            let key = name.as_str().strip_prefix("impersonate-extra-")?;
            let key = percent_encoding::percent_decode_str(key).decode_utf8_lossy().into_owned();
            Some((key, value.to_str().ok()?.to_owned()))
        })
        .collect();
    let Some(name) = text("impersonate-user") else {
        if !groups.is_empty() || uid.is_some() || !extra.is_empty() {
            return Err(ApiError::bad_request(
                "requested impersonation of groups, uid or extra without impersonating a user",
            ));
        }
        return Ok(None);
    };
    let mut needs = Vec::new();
    let mut identity = match name.strip_prefix("system:serviceaccount:").and_then(|n| n.split_once(':')) {
        Some((namespace, account)) => {
            needs.push(("", "serviceaccounts".to_owned(), namespace.to_owned(), account.to_owned()));
            Identity::service_account(namespace, account)
        }
        None => {
            needs.push(("", "users".to_owned(), String::new(), name.to_owned()));
            let mut identity = Identity::user(name, Vec::<String>::new());
            if name == "system:anonymous" {
                identity.groups = vec!["system:unauthenticated".to_owned()];
            }
            identity
        }
    };
    for group in groups {
        needs.push(("", "groups".to_owned(), String::new(), group.clone()));
        if !identity.groups.contains(&group) {
            identity.groups.insert(0, group);
        }
    }
    if let Some(uid) = uid {
        needs.push(("authentication.k8s.io", "uids".to_owned(), String::new(), uid.to_owned()));
        identity.uid = uid.to_owned();
    }
    for (key, value) in extra {
        needs.push(("authentication.k8s.io", format!("userextras/{key}"), String::new(), value.clone()));
        identity.extra.entry(key).or_default().push(value);
    }
    Ok(Some(Impersonation { identity, needs }))
}

#[cfg(test)]
mod tests;
