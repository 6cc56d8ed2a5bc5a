//! What environments have applied, as it is now: one watch per kind for all environments, and an index from each
//! environment to its objects.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;
use kube::api::Api;
use kube::core::{ApiResource, DynamicResourceScope};
use kube::runtime::{WatchStreamExt as _, watcher};
use parking_lot::Mutex;
use seaway_api::ENVIRONMENT_LABEL;
use seaway_object::{ObjectId, identity};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Kind;
use crate::applyset::PART_OF_LABEL;

/// How long a plan waits for the first list of a kind.
const FIRST_LIST: Duration = Duration::from_secs(10);

type GroupKind = (String, String);

/// An object as it lies here: as text, which is a fifth of the size of its value, most of it being who owns which field.
struct Kept {
    text: Box<[u8]>,
    uid: Option<Box<str>>,
    /// Revisions of one kind are ordered numbers (KEP-5504).
    revision: Option<u64>,
    /// The ApplySet that it is a part of.
    set: Option<Box<str>>,
    /// Whether a watch has told of it as it is now, and whether an answer has shown it so.
    told: bool,
    answered: bool,
}

impl Kept {
    fn of(object: &Value, told: bool) -> Option<Self> {
        Some(Self {
            text: serde_json::to_vec(object).ok()?.into(),
            uid: identity::uid(object).map(Into::into),
            revision: revision(object),
            set: identity::label(object, PART_OF_LABEL).map(Into::into),
            told,
            answered: !told,
        })
    }

    fn value(&self) -> Option<Value> {
        serde_json::from_slice(&self.text).ok()
    }
}

/// How often objects of a set have changed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Changes {
    /// As the watches have shown it.
    told: u64,
    /// Those among them that turned out to be what was written from here: a watch can be faster than the answer.
    own: u64,
}

impl Changes {
    /// How often somebody else has changed one.
    pub(crate) fn by_others(self) -> u64 {
        // An answer can count where nobody listened when the watch told of it.
        self.told.wrapping_sub(self.own)
    }
}

#[derive(Default)]
struct State {
    objects: HashMap<ObjectId, Kept>,
    members: HashMap<String, BTreeSet<ObjectId>>,
    watched: HashMap<GroupKind, watch::Receiver<bool>>,
    /// Rises whenever an object of the set changes.
    changes: HashMap<String, watch::Sender<Changes>>,
}

/// Live objects of all environments.
pub(crate) struct Cache {
    client: Client,
    stopping: CancellationToken,
    state: Mutex<State>,
}

impl Cache {
    pub(crate) fn new(client: Client, stopping: CancellationToken) -> Arc<Self> {
        Arc::new(Self { client, stopping, state: Mutex::default() })
    }

    /// Hears of every change of an environment's objects.
    pub(crate) fn subscribe(&self, apply_set: &str) -> watch::Receiver<Changes> {
        let mut state = self.state.lock();
        state.changes.entry(apply_set.to_owned()).or_default().subscribe()
    }

    /// Makes sure that a kind is watched, and waits until it has been listed once.
    pub(crate) async fn watch(self: &Arc<Self>, kind: &Kind) {
        let key = (kind.resource.group.clone(), kind.resource.kind.clone());
        let mut listed = {
            let mut state = self.state.lock();
            match state.watched.get(&key) {
                Some(listed) => listed.clone(),
                None => {
                    let (sender, listed) = watch::channel(false);
                    state.watched.insert(key.clone(), listed.clone());
                    tokio::spawn(self.clone().follow(kind.clone(), key, sender));
                    listed
                }
            }
        };
        let _ = tokio::time::timeout(FIRST_LIST, listed.wait_for(|listed| *listed)).await;
    }

    async fn follow(self: Arc<Self>, kind: Kind, key: GroupKind, listed: watch::Sender<bool>) {
        let api: Api<Live> = Api::all_with(self.client.clone(), &kind.resource);
        let config = watcher::Config::default().labels(ENVIRONMENT_LABEL);
        let mut events = watcher(api, config).default_backoff().boxed();
        let mut listing: BTreeSet<ObjectId> = BTreeSet::new();
        loop {
            let event = tokio::select! {
                () = self.stopping.cancelled() => return,
                event = events.next() => event,
            };
            match event {
                None => return,
                Some(Err(error)) => {
                    tracing::debug!(kind = %kind.resource.kind, %error, "a watch is interrupted");
                }
                Some(Ok(watcher::Event::Init)) => listing.clear(),
                Some(Ok(watcher::Event::InitApply(object))) => {
                    if let Some((id, value)) = read(&kind, object) {
                        listing.insert(id.clone());
                        self.put(id, value);
                    }
                }
                Some(Ok(watcher::Event::InitDone)) => {
                    let gone: Vec<ObjectId> = {
                        let state = self.state.lock();
                        let of_kind = |id: &&ObjectId| (&id.group, &id.kind) == (&key.0, &key.1);
                        let missing =
                            state.objects.keys().filter(of_kind).filter(|id| !listing.contains(*id));
                        missing.cloned().collect()
                    };
                    gone.iter().for_each(|id| self.remove(id));
                    listed.send_replace(true);
                }
                Some(Ok(watcher::Event::Apply(object))) => {
                    if let Some((id, value)) = read(&kind, object) {
                        self.put(id, value);
                    }
                }
                Some(Ok(watcher::Event::Delete(object))) => {
                    if let Some((id, value)) = read(&kind, object) {
                        self.removed(&id, identity::uid(&value));
                    }
                }
            }
        }
    }

    /// An object as the watch shows it, or the answer to a question: it can be another environment's, which is told.
    /// Older news do not undo newer.
    pub(crate) fn put(&self, id: ObjectId, value: Value) {
        self.take(id, value, true);
    }

    /// An object as the answer to a write of ours shows it: who wrote it knows it, and nobody is told.
    pub(crate) fn put_answer(&self, id: ObjectId, value: Value) {
        self.take(id, value, false);
    }

    fn take(&self, id: ObjectId, value: Value, tell: bool) {
        // Each object that is written from here comes twice, and as text once.
        if !self.state.lock().is_news(&id, &value, tell) {
            return;
        }
        let Some(kept) = Kept::of(&value, tell) else { return };
        let mut guard = self.state.lock();
        let state = &mut *guard;
        if !state.is_news(&id, &value, tell) {
            return;
        }
        if let Some(before) = state.objects.get(&id)
            && before.set != kept.set
        {
            let old = before.set.clone();
            state.leave(old.as_deref(), &id);
        }
        let set = kept.set.clone();
        state.objects.insert(id.clone(), kept);
        if let Some(set) = set {
            state.members.entry(set.to_string()).or_default().insert(id);
            if tell {
                state.tell(&set);
            }
        }
    }

    /// An object is gone.
    pub(crate) fn remove(&self, id: &ObjectId) {
        self.removed(id, None);
    }

    fn removed(&self, id: &ObjectId, uid: Option<&str>) {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let Some(object) = state.objects.get(id) else { return };
        if uid.is_some() && object.uid.as_deref() != uid {
            return;
        }
        let set = object.set.clone();
        state.objects.remove(id);
        state.leave(set.as_deref(), id);
    }

    /// One object.
    pub(crate) fn get(&self, id: &ObjectId) -> Option<Value> {
        self.state.lock().objects.get(id)?.value()
    }

    /// All objects of an environment.
    pub(crate) fn members(&self, apply_set: &str) -> Vec<(ObjectId, Value)> {
        let state = self.state.lock();
        let ids = state.members.get(apply_set).into_iter().flatten();
        ids.filter_map(|id| Some((id.clone(), state.objects.get(id)?.value()?))).collect()
    }
}

impl State {
    /// Whether an object is newer than what is known. Older news do not undo newer ones.
    fn is_news(&mut self, id: &ObjectId, object: &Value, tell: bool) -> bool {
        let Some(known) = self.objects.get_mut(id) else { return true };
        let revision = revision(object);
        if known.uid.as_deref() != identity::uid(object) || known.revision < revision {
            return true;
        }
        if !tell && known.revision == revision && !std::mem::replace(&mut known.answered, true) && known.told
        {
            // The watch was faster than the answer.
            let changes = known.set.as_deref().and_then(|set| self.changes.get(set));
            if let Some(changes) = changes {
                changes.send_if_modified(|changes| {
                    changes.own += 1;
                    false
                });
            }
        }
        false
    }

    fn leave(&mut self, set: Option<&str>, id: &ObjectId) {
        let Some(set) = set else { return };
        if let Some(members) = self.members.get_mut(set) {
            members.remove(id);
            if members.is_empty() {
                self.members.remove(set);
            }
        }
        self.tell(set);
    }

    fn tell(&self, set: &str) {
        if let Some(changes) = self.changes.get(set) {
            changes.send_modify(|changes| changes.told += 1);
        }
    }
}

fn revision(object: &Value) -> Option<u64> {
    object.pointer("/metadata/resourceVersion").and_then(Value::as_str)?.parse().ok()
}

/// Lists leave the type out of their items.
fn read(kind: &Kind, object: Live) -> Option<(ObjectId, Value)> {
    let mut value = object.value;
    let map = value.as_object_mut()?;
    map.insert("apiVersion".to_owned(), kind.resource.api_version.clone().into());
    map.insert("kind".to_owned(), kind.resource.kind.clone().into());
    Some((ObjectId::of(&value).ok()?, value))
}

/// An object of any kind, as a watch shows it.
#[derive(Debug, Clone)]
struct Live {
    /// Of which the watch needs the revision alone.
    metadata: ObjectMeta,
    value: Value,
}

impl<'de> Deserialize<'de> for Live {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let revision = value.pointer("/metadata/resourceVersion").and_then(Value::as_str);
        let metadata = ObjectMeta { resource_version: revision.map(str::to_owned), ..ObjectMeta::default() };
        Ok(Self { metadata, value })
    }
}

impl kube::Resource for Live {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn kind(of: &ApiResource) -> Cow<'_, str> {
        of.kind.as_str().into()
    }

    fn group(of: &ApiResource) -> Cow<'_, str> {
        of.group.as_str().into()
    }

    fn version(of: &ApiResource) -> Cow<'_, str> {
        of.version.as_str().into()
    }

    fn plural(of: &ApiResource) -> Cow<'_, str> {
        of.plural.as_str().into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}
