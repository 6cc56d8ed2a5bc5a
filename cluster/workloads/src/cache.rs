//! What is known of one kind: fed by one watch, and at once by our own writes.
//!
//! A controller that decides from a stale view makes pods twice. Here it cannot: the answer to each write
//! is stored before the next decision, and older news from the watch does not undo it. Revisions of one
//! kind are ordered numbers, so "older" is exact.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use kube::{Resource, ResourceExt};
use parking_lot::RwLock;
use tokio::sync::watch;
use tokio::time::Instant;

/// Namespace and name of an object; the namespace is empty for cluster-scoped kinds.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Key {
    pub(crate) fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    pub(crate) fn of<K: Resource>(object: &K) -> Self {
        Self::new(object.namespace().unwrap_or_default(), object.name_any())
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.namespace.is_empty() {
            write!(f, "{}", self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}

/// Told about each change: what was there before, and what is there now.
type Observer<K> = Box<dyn Fn(Option<&K>, Option<&K>) + Send + Sync>;

/// The objects of one kind.
pub(crate) struct Store<K> {
    state: RwLock<State<K>>,
    observers: RwLock<Vec<Observer<K>>>,
    filled: watch::Sender<bool>,
}

struct State<K> {
    objects: BTreeMap<Key, Cached<K>>,
    /// Ids of objects that ended by our own deletion and whose last event is still to come.
    ended: HashSet<String>,
    /// The newest revision that the watch has delivered.
    progress: u64,
    /// The list that is being read.
    listing: HashMap<Key, Arc<K>>,
}

struct Cached<K> {
    object: Arc<K>,
    revision: u64,
    /// When it was written by us, as long as the watch has not shown it.
    unconfirmed: Option<Instant>,
}

fn revision<K: Resource>(object: &K) -> u64 {
    object.meta().resource_version.as_deref().and_then(|r| r.parse().ok()).unwrap_or(0)
}

fn uid<K: Resource>(object: &K) -> &str {
    object.meta().uid.as_deref().unwrap_or_default()
}

impl<K: Resource + Clone> Store<K> {
    pub(crate) fn new() -> Self {
        let state =
            State { objects: BTreeMap::new(), ended: HashSet::new(), progress: 0, listing: HashMap::new() };
        Self {
            state: RwLock::new(state),
            observers: RwLock::new(Vec::new()),
            filled: watch::Sender::new(false),
        }
    }

    /// Calls `observer` after each change from now on.
    pub(crate) fn observe(&self, observer: impl Fn(Option<&K>, Option<&K>) + Send + Sync + 'static) {
        self.observers.write().push(Box::new(observer));
    }

    /// Waits until the first list is complete.
    pub(crate) async fn filled(&self) {
        // The sender lives as long as the store, so waiting cannot fail.
        let _ = self.filled.subscribe().wait_for(|filled| *filled).await;
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Arc<K>> {
        self.state.read().objects.get(key).map(|c| c.object.clone())
    }

    /// The objects of a namespace, by name.
    pub(crate) fn list(&self, namespace: &str) -> Vec<Arc<K>> {
        let from = Key::new(namespace, "");
        let state = self.state.read();
        let range = state.objects.range(from..).take_while(|(key, _)| key.namespace == namespace);
        range.map(|(_, c)| c.object.clone()).collect()
    }

    /// All objects, by namespace and name.
    pub(crate) fn all(&self) -> Vec<Arc<K>> {
        self.state.read().objects.values().map(|c| c.object.clone()).collect()
    }

    fn tell(&self, before: Option<&Arc<K>>, after: Option<&Arc<K>>) {
        for observer in self.observers.read().iter() {
            observer(before.map(|k| &**k), after.map(|k| &**k));
        }
    }

    /// The watch shows an object.
    pub(crate) fn seen(&self, object: K) {
        let (key, at) = (Key::of(&object), revision(&object));
        let object = Arc::new(object);
        let before = {
            let mut state = self.state.write();
            state.progress = state.progress.max(at);
            if state.ended.contains(uid(&*object)) {
                return;
            }
            if let Some(cached) = state.objects.get_mut(&key)
                && cached.revision >= at
            {
                if cached.revision == at {
                    cached.unconfirmed = None;
                }
                return;
            }
            let cached = Cached { object: object.clone(), revision: at, unconfirmed: None };
            state.objects.insert(key, cached).map(|c| c.object)
        };
        self.tell(before.as_ref(), Some(&object));
    }

    /// The watch shows the end of an object.
    pub(crate) fn seen_gone(&self, object: &K) {
        let key = Key::of(object);
        let before = {
            let mut state = self.state.write();
            state.progress = state.progress.max(revision(object));
            state.ended.remove(uid(object));
            match state.objects.get(&key) {
                Some(cached) if uid(&*cached.object) == uid(object) => state.objects.remove(&key),
                // Another object has the name by now.
                _ => None,
            }
        };
        if let Some(before) = before {
            self.tell(Some(&before.object), None);
        }
    }

    /// The API answered to our own write with this object.
    pub(crate) fn wrote(&self, object: K) -> Arc<K> {
        let (key, at) = (Key::of(&object), revision(&object));
        let object = Arc::new(object);
        let before = {
            let mut state = self.state.write();
            // The watch was quicker: what it says is at least as new, even when it says "gone".
            if at <= state.progress || state.objects.get(&key).is_some_and(|c| c.revision >= at) {
                return object;
            }
            let cached = Cached { object: object.clone(), revision: at, unconfirmed: Some(Instant::now()) };
            state.objects.insert(key, cached).map(|c| c.object)
        };
        self.tell(before.as_ref(), Some(&object));
        object
    }

    /// The API answered to our own request that this object is gone.
    pub(crate) fn removed(&self, object: &K) {
        let key = Key::of(object);
        let before = {
            let mut state = self.state.write();
            match state.objects.get(&key) {
                Some(cached) if uid(&*cached.object) == uid(object) => {}
                _ => return,
            }
            state.ended.insert(uid(object).to_owned());
            state.objects.remove(&key)
        };
        if let Some(before) = before {
            self.tell(Some(&before.object), None);
        }
    }

    /// A new list begins.
    pub(crate) fn list_begins(&self) {
        self.state.write().listing.clear();
    }

    /// The list has this object.
    pub(crate) fn listed(&self, object: K) {
        let mut state = self.state.write();
        state.listing.insert(Key::of(&object), Arc::new(object));
    }

    /// The list is complete: what it does not have is gone, except what we wrote meanwhile.
    pub(crate) fn list_ends(&self) {
        let mut changes = Vec::new();
        {
            let mut guard = self.state.write();
            let state = &mut *guard;
            let listing = std::mem::take(&mut state.listing);
            let uids: HashSet<&str> = listing.values().map(|o| uid(&**o)).collect();
            state.ended.retain(|ended| uids.contains(ended.as_str()));
            let missing =
                |key: &Key, cached: &Cached<K>| !listing.contains_key(key) && cached.unconfirmed.is_none();
            let gone: Vec<Key> =
                state.objects.iter().filter(|(k, c)| missing(k, c)).map(|(k, _)| k.clone()).collect();
            for key in gone {
                changes.push((state.objects.remove(&key).map(|c| c.object), None));
            }
            for (key, object) in listing {
                let at = revision(&*object);
                state.progress = state.progress.max(at);
                let newer = state.objects.get(&key).is_none_or(|c| c.revision < at);
                if newer && !state.ended.contains(uid(&*object)) {
                    let cached = Cached { object: object.clone(), revision: at, unconfirmed: None };
                    let before = state.objects.insert(key, cached).map(|c| c.object);
                    changes.push((before, Some(object)));
                }
            }
        }
        for (before, after) in changes {
            self.tell(before.as_ref(), after.as_ref());
        }
        self.filled.send_replace(true);
    }

    /// Objects that we wrote at least `patience` ago and that the watch has not shown: after a new list
    /// began in between, only the API knows whether they are still there.
    pub(crate) fn doubtful(&self, patience: Duration) -> Vec<Arc<K>> {
        let state = self.state.read();
        let old = |c: &&Cached<K>| c.unconfirmed.is_some_and(|at| at.elapsed() >= patience);
        state.objects.values().filter(old).map(|c| c.object.clone()).collect()
    }

    /// The API was asked about a doubtful object.
    pub(crate) fn verified(&self, asked: &K, found: Option<K>) {
        match found {
            Some(found) if uid(&found) == uid(asked) => {
                let key = Key::of(&found);
                if let Some(cached) = self.state.write().objects.get_mut(&key) {
                    cached.unconfirmed = None;
                }
                self.wrote(found);
            }
            _ => {
                self.removed(asked);
                self.state.write().ended.remove(uid(asked));
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;
    use serde_json::json;

    use super::*;

    fn pod(name: &str, uid: &str, revision: u64) -> Pod {
        serde_json::from_value(json!({"metadata": {
            "namespace": "shop", "name": name, "uid": uid, "resourceVersion": revision.to_string()}}))
        .unwrap()
    }

    fn revisions(store: &Store<Pod>) -> Vec<(String, String)> {
        let facts = |p: Arc<Pod>| (p.name_any(), p.resource_version().unwrap_or_default());
        store.list("shop").into_iter().map(facts).collect()
    }

    fn names(store: &Store<Pod>) -> Vec<String> {
        revisions(store).into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn what_we_wrote_is_there_before_the_watch_shows_it() {
        let store = Store::new();
        store.list_begins();
        store.list_ends();
        store.wrote(pod("a", "1", 7));
        assert_eq!(names(&store), ["a"]);
        // Older news of another object do not hide it, older news of itself do not undo it.
        store.seen(pod("b", "2", 5));
        store.wrote(pod("a", "1", 9));
        store.seen(pod("a", "1", 7));
        assert_eq!(revisions(&store)[0].1, "9");
    }

    #[test]
    fn a_late_answer_does_not_bring_back_what_the_watch_saw_go() {
        let store = Store::new();
        store.seen(pod("a", "1", 7));
        store.seen_gone(&pod("a", "1", 8));
        store.wrote(pod("a", "1", 7));
        assert!(names(&store).is_empty());
    }

    #[test]
    fn what_we_deleted_does_not_come_back_by_older_news() {
        let store = Store::new();
        store.wrote(pod("a", "1", 7));
        store.removed(&pod("a", "1", 7));
        store.seen(pod("a", "1", 7));
        assert!(names(&store).is_empty());
        // A new object of the same name is another one, also when the end of the old one comes late.
        store.wrote(pod("a", "2", 9));
        store.seen_gone(&pod("a", "1", 8));
        assert_eq!(names(&store), ["a"]);
    }

    #[test]
    fn a_new_list_forgets_what_is_gone_but_not_what_was_just_written() {
        let store = Store::new();
        store.seen(pod("old", "1", 3));
        store.wrote(pod("new", "2", 8));
        store.list_begins();
        store.listed(pod("kept", "3", 4));
        store.list_ends();
        assert_eq!(names(&store), ["kept", "new"]);
        assert_eq!(store.doubtful(Duration::ZERO).len(), 1);
        store.verified(&pod("new", "2", 8), None);
        assert_eq!(names(&store), ["kept"]);
    }

    #[test]
    fn observers_hear_of_each_change_once() {
        let store = Store::new();
        let heard = Arc::new(parking_lot::Mutex::new(Vec::new()));
        let log = heard.clone();
        store.observe(move |before: Option<&Pod>, after: Option<&Pod>| {
            log.lock().push((before.is_some(), after.is_some()));
        });
        store.wrote(pod("a", "1", 7));
        store.seen(pod("a", "1", 7));
        store.seen(pod("a", "1", 8));
        store.seen_gone(&pod("a", "1", 9));
        assert_eq!(*heard.lock(), [(false, true), (true, true), (true, false)]);
    }
}
