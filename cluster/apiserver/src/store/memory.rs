//! The readable state: objects by resource, namespace and name, and who depends on whom.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::{mpsc, watch};

use super::history::{Event, EventKind, History};
use super::{ResourceKey, to_bytes};

/// Namespace (empty for cluster-scoped objects) and name, in list order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ObjectKey {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl ObjectKey {
    pub(crate) fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

/// What selectors, garbage collection and watches need of an object without parsing it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Meta {
    pub(crate) uid: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) owners: Vec<String>,
    pub(crate) deleting: bool,
}

impl Meta {
    fn of(value: &Value) -> Self {
        let metadata = &value["metadata"];
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        Self {
            uid: text(&metadata["uid"]),
            labels: metadata["labels"]
                .as_object()
                .map(|labels| labels.iter().map(|(k, v)| (k.clone(), text(v))).collect())
                .unwrap_or_default(),
            owners: metadata["ownerReferences"]
                .as_array()
                .map(|owners| owners.iter().map(|o| text(&o["uid"])).collect())
                .unwrap_or_default(),
            deleting: metadata.get("deletionTimestamp").is_some_and(|v| !v.is_null()),
        }
    }
}

/// One stored object.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) revision: u64,
    pub(crate) key: ObjectKey,
    pub(crate) meta: Meta,
    /// Why nobody can read what the database holds here (another release wrote it, or it is damaged). `body` is as much
    /// of it as there is; it is for the server's own look at it alone, and is never written back.
    pub(crate) unreadable: Option<Arc<str>>,
    /// The object as JSON, with its resourceVersion; kind and apiVersion come first.
    pub(crate) body: Bytes,
    /// Where in `body` the members after kind and apiVersion begin.
    members_at: usize,
}

impl Entry {
    /// Sets the revision into the object and serializes it.
    pub(crate) fn new(key: ObjectKey, revision: u64, mut value: Value) -> Self {
        if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.insert("resourceVersion".into(), revision.to_string().into());
        }
        Self::of(key, revision, &value)
    }

    /// An object that is answered and not stored: it has no revision.
    pub(crate) fn unstored(key: ObjectKey, mut value: Value) -> Self {
        if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("resourceVersion");
        }
        Self::of(key, 0, &value)
    }

    fn of(key: ObjectKey, revision: u64, value: &Value) -> Self {
        let (body, members_at) = serialize(value);
        Self { revision, key, meta: Meta::of(value), unreadable: None, body: body.into(), members_at }
    }

    /// The members of the object but kind and apiVersion, up to the closing brace.
    pub(crate) fn members(&self) -> &[u8] {
        &self.body[self.members_at..]
    }

    /// Whether the stored form is that of this `apiVersion`.
    pub(crate) fn is_of(&self, api_version: &str) -> bool {
        let head = &self.body[..self.members_at];
        head.windows(api_version.len() + 2).any(|part| {
            part.first() == Some(&b'"')
                && part.last() == Some(&b'"')
                && part.get(1..=api_version.len()) == Some(api_version.as_bytes())
        })
    }

    /// An entry as the database holds it, once `examine` has looked at the object.
    pub(super) fn stored(
        key: ObjectKey,
        revision: u64,
        body: &[u8],
        examine: impl FnOnce(&mut Value) -> Result<(), String>,
    ) -> Self {
        let named =
            |value: &Value, field: &str| value["metadata"][field].as_str().unwrap_or_default().to_owned();
        let parsed = serde_json::from_slice::<Value>(body).map_err(|e| format!("it is no JSON: {e}"));
        let object = parsed.and_then(|value| {
            match ObjectKey::new(named(&value, "namespace"), named(&value, "name")) {
                found if found == key => Ok(value),
                _ => Err("it does not have the name under which it is stored".to_owned()),
            }
        });
        let (value, unreadable) = match object {
            Ok(mut value) => {
                let why = examine(&mut value).err();
                (value, why)
            }
            Err(why) => {
                let mut nothing = serde_json::json!({"metadata": {"name": key.name}});
                if !key.namespace.is_empty() {
                    nothing["metadata"]["namespace"] = key.namespace.clone().into();
                }
                (nothing, Some(why))
            }
        };
        Self { unreadable: unreadable.map(Into::into), ..Self::of(key, revision, &value) }
    }

    /// The same object at its end.
    pub(super) fn ended(self, unreadable: Option<Arc<str>>) -> Self {
        Self { unreadable, ..self }
    }

    /// Whether clients can read it.
    pub(crate) fn is_readable(&self) -> bool {
        self.unreadable.is_none()
    }

    /// The object; it was serialized here or checked when it was loaded.
    pub(crate) fn value(&self) -> Value {
        #[cfg(debug_assertions)]
        debug_assert!(!Reading::now(), "an object is parsed while writers wait");
        serde_json::from_slice(&self.body).expect("stored objects are valid JSON")
    }
}

/// That this thread holds the state, for the check that it does nothing long meanwhile.
#[cfg(debug_assertions)]
pub(super) struct Reading;

#[cfg(debug_assertions)]
thread_local! {
    static READING: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

#[cfg(debug_assertions)]
impl Reading {
    pub(super) fn begin() -> Self {
        READING.set(true);
        Self
    }

    fn now() -> bool {
        READING.get()
    }
}

#[cfg(debug_assertions)]
impl Drop for Reading {
    fn drop(&mut self) {
        READING.set(false);
    }
}

/// An object as JSON with kind and apiVersion first, and where the other members begin.
fn serialize(value: &Value) -> (Vec<u8>, usize) {
    let Value::Object(map) = value else { return (to_bytes(value).to_vec(), 0) };
    let mut out = vec![b'{'];
    let member = |out: &mut Vec<u8>, key: &str, value: &Value| {
        if out.last() != Some(&b'{') {
            out.push(b',');
        }
        out.extend_from_slice(Value::from(key).to_string().as_bytes());
        out.push(b':');
        out.extend_from_slice(&to_bytes(value));
    };
    for key in ["kind", "apiVersion"] {
        if let Some(value) = map.get(key) {
            member(&mut out, key, value);
        }
    }
    let head = out.len();
    for (key, value) in map.iter().filter(|(k, _)| *k != "kind" && *k != "apiVersion") {
        member(&mut out, key, value);
    }
    // The comma before the next member does not belong to it.
    let members_at = if out.get(head) == Some(&b',') { head + 1 } else { head };
    out.push(b'}');
    (out, members_at)
}

/// A page of a list.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) entries: Vec<Arc<Entry>>,
    /// Revision of the whole list.
    pub(crate) revision: u64,
    /// Key after which the next page begins, when there is more.
    pub(crate) next: Option<ObjectKey>,
    /// How many matching objects come after this page.
    pub(crate) remaining: usize,
}

impl Page {
    /// Of a page without a limit, what matches, up to a limit: for what takes too long to ask while writers wait.
    pub(crate) fn narrow(mut self, limit: Option<usize>, matches: impl FnMut(&Arc<Entry>) -> bool) -> Self {
        let mut matches = matches;
        self.entries.retain(|entry| matches(entry));
        if let Some(limit) = limit.filter(|limit| *limit < self.entries.len()) {
            self.remaining = self.entries.len() - limit;
            self.entries.truncate(limit);
            self.next = self.entries.last().map(|entry| entry.key.clone());
        }
        self
    }
}

#[derive(Default)]
struct Resource {
    objects: BTreeMap<ObjectKey, Arc<Entry>>,
    /// Those of `objects` that nobody can read.
    unreadable: BTreeSet<ObjectKey>,
    history: History,
}

/// Everything that is visible at one revision.
pub(crate) struct State {
    revision: u64,
    /// The revision, for those who wait for one.
    newest: watch::Sender<u64>,
    /// Watches older than this cannot be served: the events are not in memory.
    oldest: u64,
    resources: HashMap<ResourceKey, Resource>,
    dependents: HashMap<String, HashSet<(ResourceKey, ObjectKey)>>,
    events_kept: usize,
    observers: Vec<mpsc::UnboundedSender<Change>>,
}

/// A change of any resource, as observers see it.
pub(crate) type Change = (ResourceKey, Arc<Event>);

impl State {
    pub(crate) fn new(events_kept: usize) -> Self {
        Self {
            revision: 0,
            newest: watch::Sender::new(0),
            oldest: 0,
            resources: HashMap::new(),
            dependents: HashMap::new(),
            events_kept,
            observers: Vec::new(),
        }
    }

    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    /// Called once after loading.
    pub(super) fn loaded(&mut self, revision: u64) {
        self.revision = revision;
        self.newest.send_replace(revision);
        self.oldest = revision;
    }

    pub(super) fn load(&mut self, resource: &str, entry: Entry) {
        let key: ResourceKey = match self.resources.get_key_value(resource) {
            Some((key, _)) => key.clone(),
            None => resource.into(),
        };
        self.link(&key, &entry);
        let slot = self.resources.entry(key).or_default();
        if !entry.is_readable() {
            slot.unreadable.insert(entry.key.clone());
        }
        slot.objects.insert(entry.key.clone(), Arc::new(entry));
    }

    /// The objects of one namespace, or of all, that nobody can read.
    pub(crate) fn unreadable<'a>(
        &'a self,
        resource: &str,
        namespace: Option<&'a str>,
    ) -> impl Iterator<Item = &'a ObjectKey> {
        let keys = self.resources.get(resource).into_iter().flat_map(|r| &r.unreadable);
        keys.filter(move |key| namespace.is_none_or(|n| key.namespace == n))
    }

    pub(crate) fn get(&self, resource: &str, key: &ObjectKey) -> Option<Arc<Entry>> {
        self.resources.get(resource)?.objects.get(key).cloned()
    }

    pub(crate) fn resource_revision(&self, resource: &str) -> u64 {
        self.resources.get(resource).map_or(0, |r| r.history.newest())
    }

    /// How many objects each resource holds.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (&ResourceKey, usize)> {
        self.resources.iter().map(|(key, resource)| (key, resource.objects.len()))
    }

    /// Objects of one namespace, or of all.
    pub(crate) fn range<'a>(
        &'a self,
        resource: &str,
        namespace: Option<&'a str>,
    ) -> impl Iterator<Item = (&'a ObjectKey, &'a Arc<Entry>)> {
        let start = ObjectKey::new(namespace.unwrap_or_default(), "");
        self.resources
            .get(resource)
            .into_iter()
            .flat_map(move |r| r.objects.range((Bound::Included(start.clone()), Bound::Unbounded)))
            .take_while(move |(key, _)| namespace.is_none_or(|n| key.namespace == n))
    }

    /// Keys of the objects that name this owner.
    pub(crate) fn dependents(&self, uid: &str) -> Vec<(ResourceKey, ObjectKey)> {
        let mut found: Vec<_> = self.dependents.get(uid).into_iter().flatten().cloned().collect();
        found.sort();
        found
    }

    /// One page of a list, as it was at `at` (now when absent).
    /// `None` when the state of that revision is no longer known.
    pub(crate) fn page(
        &self,
        resource: &str,
        namespace: Option<&str>,
        at: Option<u64>,
        after: Option<&ObjectKey>,
        limit: Option<usize>,
        mut matches: impl FnMut(&Entry) -> bool,
    ) -> Option<Page> {
        let at = at.unwrap_or(self.revision);
        let mut past = HashMap::new();
        if at < self.revision {
            let history = self.resources.get(resource).map(|r| &r.history);
            for event in history.map(|h| h.after(at, self.oldest)).unwrap_or(Some(vec![]))?.into_iter().rev()
            {
                past.insert(event.entry.key.clone(), event.previous.clone());
            }
            if at < self.oldest {
                return None;
            }
        }
        let inside = |key: &ObjectKey| {
            namespace.is_none_or(|n| key.namespace == n) && after.is_none_or(|after| key > after)
        };
        let mut merged: Vec<Arc<Entry>>;
        let mut page = Page { entries: vec![], revision: at, next: None, remaining: 0 };
        let mut take = |entry: &Arc<Entry>| {
            if !entry.is_readable() || !matches(entry) {
                return;
            }
            if limit.is_some_and(|limit| page.entries.len() >= limit) {
                page.next.get_or_insert_with(|| page.entries[page.entries.len() - 1].key.clone());
                page.remaining += 1;
            } else {
                page.entries.push(entry.clone());
            }
        };
        if past.is_empty() {
            for (_, entry) in self.range(resource, namespace).filter(|(key, _)| inside(key)) {
                take(entry);
            }
        } else {
            merged = self
                .range(resource, namespace)
                .filter(|(key, _)| inside(key) && !past.contains_key(*key))
                .map(|(_, entry)| entry.clone())
                .collect();
            merged.extend(past.into_iter().filter(|(key, _)| inside(key)).filter_map(|(_, entry)| entry));
            merged.sort_by(|a, b| a.key.cmp(&b.key));
            merged.iter().for_each(take);
        }
        Some(page)
    }

    /// Events of a resource after a revision; `None` when some of them are no longer known.
    pub(crate) fn events_after(&self, resource: &str, since: u64) -> Option<Vec<Arc<Event>>> {
        if since < self.oldest {
            return None;
        }
        match self.resources.get(resource) {
            Some(resource) => resource.history.after(since, self.oldest),
            None => Some(vec![]),
        }
    }

    /// A signal that changes with every write to the resource.
    pub(crate) fn subscribe(&mut self, resource: &ResourceKey) -> watch::Receiver<u64> {
        self.resources.entry(resource.clone()).or_default().history.subscribe()
    }

    /// The newest revision as it changes, once per batch.
    pub(crate) fn follow(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    /// Wakes those who wait for a revision, once per batch.
    pub(super) fn tell(&self) {
        self.newest.send_replace(self.revision);
    }

    /// Every change of every resource from now on, for the server's own controllers.
    pub(crate) fn observe(&mut self) -> mpsc::UnboundedReceiver<Change> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.observers.push(sender);
        receiver
    }

    #[cfg(test)]
    pub(super) fn observers(&self) -> usize {
        self.observers.len()
    }

    /// Makes one committed write visible.
    pub(super) fn publish(&mut self, resource: &ResourceKey, kind: EventKind, entry: Arc<Entry>) {
        self.revision = entry.revision;
        let events_kept = self.events_kept;
        let slot = self.resources.entry(resource.clone()).or_default();
        if !slot.unreadable.is_empty() {
            slot.unreadable.remove(&entry.key);
        }
        let previous = match kind {
            EventKind::Deleted => slot.objects.remove(&entry.key),
            EventKind::Added | EventKind::Modified => slot.objects.insert(entry.key.clone(), entry.clone()),
        };
        let event = Arc::new(Event::new(kind, entry.clone(), previous.clone()));
        slot.history.push(event.clone(), events_kept);
        self.observers.retain(|o| o.send((resource.clone(), event.clone())).is_ok());
        if let Some(previous) = previous {
            self.unlink(resource, &previous);
        }
        if kind != EventKind::Deleted {
            self.link(resource, &entry);
        }
    }

    /// Wakes the watchers of a resource, once per batch.
    pub(super) fn notify(&self, resource: &str) {
        if let Some(resource) = self.resources.get(resource) {
            resource.history.notify();
        }
    }

    fn link(&mut self, resource: &ResourceKey, entry: &Entry) {
        for owner in &entry.meta.owners {
            self.dependents.entry(owner.clone()).or_default().insert((resource.clone(), entry.key.clone()));
        }
    }

    fn unlink(&mut self, resource: &ResourceKey, entry: &Entry) {
        for owner in &entry.meta.owners {
            if let Some(set) = self.dependents.get_mut(owner) {
                set.remove(&(resource.clone(), entry.key.clone()));
                if set.is_empty() {
                    self.dependents.remove(owner);
                }
            }
        }
    }
}
