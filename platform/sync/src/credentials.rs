//! Credentials of repositories and secrets of their webhooks, from Secrets.
//!
//! A Secret counts in the namespace of shared environments, where operators alone write, with the label
//! `seaway.dev/credentials: git`. Its keys are those that Kubernetes, Flux and Argo CD use:
//!
//! | key | what |
//! |---|---|
//! | `url` | which repositories: the beginning of their URLs |
//! | `username`, `password` | for https; an access token is a password, and the name may be left out then |
//! | `ssh-privatekey` or `identity` | a private key without passphrase, for ssh |
//! | `known_hosts` | the ssh server's keys |
//! | `ca.crt` | certificates that alone are trusted, for https |
//! | `webhook-secret` | what the webhooks of these repositories are signed with |
//! | `forge` | `github`: proposals to these repositories become merge requests |
//! | `forge-token` | the token for that; absent: the password |
//! | `forge-api` | the URL of its API, where that is not the usual one |
//!
//! One that cannot be used is told by an Event on it, and the others count all the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Api;
use kube::api::PostParams;
use kube::runtime::{WatchStreamExt as _, watcher};
use seaway_api::SHARED_NAMESPACE;
use seaway_forge::GitHub;
use seaway_git::{Authentication, CredentialSet, Credentials, RepositoryUrl, WebhookSecrets};
use tokio::sync::oneshot;

use crate::shared::Shared;

/// Of a Secret that counts: the label and its value.
const LABEL: (&str, &str) = ("seaway.dev/credentials", "git");
/// The user name that goes with an access token when none is given: forges that look at it take this one.
const TOKEN_USER: &str = "oauth2";

/// Follows the Secrets until Seaway stops. `known` is told once they have been read, or cannot be.
pub(crate) async fn follow(shared: Arc<Shared>, known: oneshot::Sender<()>) {
    let api: Api<Secret> = Api::namespaced(shared.client.clone(), SHARED_NAMESPACE);
    let selected = watcher::Config::default().labels(&format!("{}={}", LABEL.0, LABEL.1));
    let mut events = watcher(api, selected).default_backoff().boxed();
    let mut known = Some(known);
    let mut secrets: BTreeMap<String, Secret> = BTreeMap::new();
    let mut listed = false;
    let mut complained = BTreeSet::new();
    loop {
        let event = tokio::select! {
            () = shared.stopping.cancelled() => return,
            event = events.next() => event,
        };
        let name = |secret: &Secret| secret.metadata.name.clone().unwrap_or_default();
        match event {
            None => return,
            Some(Err(error)) => {
                tracing::warn!(%error, "the Secrets with credentials of repositories cannot be read");
                known.take().map(|known| known.send(()));
                continue;
            }
            Some(Ok(watcher::Event::Init)) => {
                listed = false;
                secrets.clear();
            }
            Some(Ok(watcher::Event::InitApply(secret) | watcher::Event::Apply(secret))) => {
                secrets.insert(name(&secret), secret);
            }
            Some(Ok(watcher::Event::Delete(secret))) => drop(secrets.remove(&name(&secret))),
            Some(Ok(watcher::Event::InitDone)) => listed = true,
        }
        if listed {
            let problems = install(&shared, &secrets);
            known.take().map(|known| known.send(()));
            for (name, problem) in problems {
                let Some(secret) = secrets.get(&name) else { continue };
                if complained.insert((secret.metadata.uid.clone(), problem.clone())) {
                    tell(&shared, secret, problem).await;
                }
            }
        }
    }
}

/// Uses what the Secrets say; what is wrong with which.
fn install(shared: &Shared, secrets: &BTreeMap<String, Secret>) -> Vec<(String, String)> {
    let (mut credentials, mut webhooks) = (CredentialSet::new(), WebhookSecrets::default());
    let mut forges = Vec::new();
    let mut problems = Vec::new();
    // Which Secret has a URL: of two the first one by name.
    let mut taken: BTreeMap<(String, bool), &String> = BTreeMap::new();
    for (name, secret) in secrets {
        let read = match read(secret) {
            Ok(read) => read,
            Err(problem) => {
                problems.push((name.clone(), problem));
                continue;
            }
        };
        if let Some(settings) = read.forge {
            match settings.open(&read.url, shared.sources.mirrors.dialer()) {
                Ok(forge) => forges.push((read.url.clone(), forge)),
                Err(problem) => problems.push((name.clone(), problem)),
            }
        }
        for is_webhook in [false, true] {
            let there = if is_webhook { read.webhook.is_some() } else { read.credentials.is_some() };
            if !there {
                continue;
            }
            if let Some(other) = taken.insert((read.url.clone(), is_webhook), name) {
                taken.insert((read.url.clone(), is_webhook), other);
                problems.push((name.clone(), format!("the Secret {other} is for {} already", read.url)));
                continue;
            }
            let result = match (&read.webhook, &read.credentials) {
                (Some(secret), _) if is_webhook => webhooks.insert(&read.url, secret.clone()),
                (_, Some(found)) => credentials.insert(&read.url, found.clone()),
                _ => Ok(()),
            };
            if let Err(error) = result {
                problems.push((name.clone(), error.to_string()));
            }
        }
    }
    shared.sources.mirrors.set_credentials(credentials);
    *shared.webhooks.lock() = webhooks;
    *shared.forges.lock() = forges;
    // What was refused may be open by now.
    shared.sources.kick(|_| true);
    problems
}

struct Read {
    url: String,
    credentials: Option<Credentials>,
    webhook: Option<seaway_git::Secret>,
    forge: Option<ForgeSettings>,
}

/// How merge requests are opened.
struct ForgeSettings {
    token: seaway_git::Secret,
    api: Option<String>,
    ca: Option<String>,
}

impl ForgeSettings {
    /// The forge of the repositories whose URLs begin so.
    fn open(self, url: &str, dialer: seaway_git::Dialer) -> Result<GitHub, String> {
        // A prefix may be a host alone.
        let repository: RepositoryUrl =
            format!("{url}/x").parse().map_err(|e: seaway_git::Error| e.to_string())?;
        GitHub::new(repository.host(), self.api.as_deref(), self.token, self.ca, dialer)
            .map_err(|e| e.to_string())
    }
}

fn read(secret: &Secret) -> Result<Read, String> {
    let text = |key: &str| -> Result<Option<String>, String> {
        let Some(bytes) = secret.data.as_ref().and_then(|data| data.get(key)) else { return Ok(None) };
        let text = String::from_utf8(bytes.0.clone()).map_err(|_| format!("the key {key} is no text"))?;
        // Most editors end a file with a line break.
        let text = text.trim_end_matches(['\n', '\r']).to_owned();
        Ok((!text.is_empty()).then_some(text))
    };
    let url = text("url")?.ok_or("the key url is missing: the beginning of the repositories' URLs")?;
    let url = url.trim_end_matches('/').to_owned();
    let private_key = text("ssh-privatekey")?.or(text("identity")?);
    let authentication = match (private_key, text("password")?) {
        (Some(_), Some(_)) => {
            return Err("it has a private key and a password: use one Secret for each".into());
        }
        (Some(key), None) => {
            let known_hosts =
                text("known_hosts")?.ok_or("the key known_hosts is missing: the lines of `ssh-keyscan`, compared with what the server's operator publishes")?;
            Some(Authentication::SshKey { private_key: key.into(), known_hosts: format!("{known_hosts}\n") })
        }
        (None, Some(password)) => {
            let user = text("username")?.unwrap_or_else(|| TOKEN_USER.to_owned());
            Some(Authentication::Password { user, password: password.into() })
        }
        (None, None) => None,
    };
    let ca = text("ca.crt")?;
    let forge = match text("forge")?.as_deref() {
        None => None,
        Some("github") => {
            let token = text("forge-token")?.or(text("password")?);
            let token = token.ok_or("the key forge-token is missing: a token that may open pull requests")?;
            Some(ForgeSettings { token: token.into(), api: text("forge-api")?, ca: ca.clone() })
        }
        Some(other) => return Err(format!("the forge {other:?} is not known: github is")),
    };
    let credentials =
        (authentication.is_some() || ca.is_some()).then_some(Credentials { authentication, ca });
    let webhook = text("webhook-secret")?.map(seaway_git::Secret::from);
    if credentials.is_none() && webhook.is_none() && forge.is_none() {
        return Err("it has neither password nor ssh-privatekey, ca.crt, webhook-secret or forge".into());
    }
    Ok(Read { url, credentials, webhook, forge })
}

/// An Event on the Secret. No value of it is in there.
async fn tell(shared: &Shared, secret: &Secret, problem: String) {
    let now = jiff::Timestamp::now();
    let name = secret.metadata.name.clone().unwrap_or_default();
    tracing::warn!(secret = name, problem, "a Secret with credentials cannot be used");
    let event = Event {
        metadata: ObjectMeta {
            name: Some(format!("{name}.{:x}", now.as_nanosecond())),
            namespace: secret.metadata.namespace.clone(),
            ..ObjectMeta::default()
        },
        involved_object: ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Secret".to_owned()),
            name: secret.metadata.name.clone(),
            namespace: secret.metadata.namespace.clone(),
            uid: secret.metadata.uid.clone(),
            resource_version: secret.metadata.resource_version.clone(),
            ..ObjectReference::default()
        },
        type_: Some("Warning".to_owned()),
        reason: Some("UnusableCredentials".to_owned()),
        message: Some(problem),
        count: Some(1),
        first_timestamp: Some(Time(now)),
        last_timestamp: Some(Time(now)),
        source: Some(EventSource { component: Some("seaway".to_owned()), host: None }),
        reporting_component: Some("seaway".to_owned()),
        ..Event::default()
    };
    let api: Api<Event> = Api::namespaced(shared.client.clone(), SHARED_NAMESPACE);
    if let Err(error) = api.create(&PostParams::default(), &event).await {
        tracing::debug!(%error, "an event could not be written");
    }
}
