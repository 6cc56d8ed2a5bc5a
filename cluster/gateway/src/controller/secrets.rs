//! The Secrets that listeners name, and no others.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject};
use kube::core::GroupVersionKind;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{Config, Event, watcher};
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::store::Store;
use crate::proxy::{Certificate, certificate};
use crate::table::SecretKey;

/// What is known of a Secret.
#[derive(Clone, Default)]
enum State {
    /// It was not looked at yet.
    #[default]
    Unknown,
    Absent,
    Broken(String),
    Usable(Certificate),
}

struct Followed {
    state: watch::Receiver<State>,
    task: JoinHandle<()>,
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One watch for each Secret.
pub(crate) struct Secrets {
    client: Client,
    store: Arc<Store>,
    followed: BTreeMap<SecretKey, Followed>,
}

impl Secrets {
    pub(crate) fn new(client: Client, store: Arc<Store>) -> Self {
        Self { client, store, followed: BTreeMap::new() }
    }

    /// Watches just these. Changes make a new table.
    pub(crate) fn follow(&mut self, wanted: &BTreeSet<SecretKey>) {
        self.followed.retain(|key, _| wanted.contains(key));
        for key in wanted {
            if !self.followed.contains_key(key) {
                let (sender, state) = watch::channel(State::Unknown);
                let task =
                    tokio::spawn(keep(self.client.clone(), key.clone(), sender, Arc::clone(&self.store)));
                self.followed.insert(key.clone(), Followed { state, task });
            }
        }
    }

    /// Whether all have been looked at.
    pub(crate) fn are_known(&self) -> bool {
        self.followed.values().all(|each| !matches!(*each.state.borrow(), State::Unknown))
    }

    /// Those that are there: usable, or why not.
    pub(crate) fn states(&self) -> BTreeMap<SecretKey, Result<(), String>> {
        let state = |each: &Followed| match &*each.state.borrow() {
            State::Unknown | State::Absent => None,
            State::Broken(why) => Some(Err(why.clone())),
            State::Usable(_) => Some(Ok(())),
        };
        self.followed.iter().filter_map(|(key, each)| Some((key.clone(), state(each)?))).collect()
    }

    pub(crate) fn certificate(&self, key: &SecretKey) -> Option<Certificate> {
        match &*self.followed.get(key)?.state.borrow() {
            State::Usable(certificate) => Some(Arc::clone(certificate)),
            _ => None,
        }
    }
}

async fn keep(client: Client, (namespace, name): SecretKey, state: watch::Sender<State>, store: Arc<Store>) {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Secret"));
    let api: Api<DynamicObject> = Api::namespaced_with(client, &namespace, &resource);
    let only = Config::default().fields(&format!("metadata.name={name}"));
    let mut events = pin!(watcher(api, only).default_backoff());
    let mut listed = State::Absent;
    while let Some(event) = events.next().await {
        let next = match event {
            Ok(Event::Init) => {
                listed = State::Absent;
                continue;
            }
            Ok(Event::InitApply(secret)) => {
                listed = read(&secret.data);
                continue;
            }
            Ok(Event::InitDone) => std::mem::take(&mut listed),
            Ok(Event::Apply(secret)) => read(&secret.data),
            Ok(Event::Delete(_)) => State::Absent,
            Err(error) => {
                // What was read before stays; the watch goes on by itself.
                if !matches!(*state.borrow(), State::Unknown) {
                    continue;
                }
                State::Broken(format!("it cannot be read: {error}"))
            }
        };
        state.send_replace(next);
        store.touch();
    }
}

fn read(secret: &Value) -> State {
    let part = |name: &str| {
        let text = secret["data"][name].as_str().ok_or_else(|| format!("it has no {name}"))?;
        STANDARD.decode(text).map_err(|_| format!("{name} is not base64"))
    };
    let read = part("tls.crt").and_then(|chain| certificate(&chain, &part("tls.key")?));
    read.map_or_else(State::Broken, State::Usable)
}
