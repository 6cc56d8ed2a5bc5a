//! The objects as the watches last saw them.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::api::DynamicObject;
use kube::runtime::watcher::Event;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::Notify;

use super::kinds::Kind;
use crate::table::Objects;

/// Namespace and name.
type Name = (String, String);

/// Filled by one watch for each kind, read as a whole.
#[derive(Debug, Default)]
pub(crate) struct Store {
    kinds: Mutex<[Collection; Kind::ALL.len()]>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Collection {
    objects: BTreeMap<Name, Arc<Value>>,
    /// A list under way; it replaces `objects` when it is complete.
    arriving: BTreeMap<Name, Arc<Value>>,
    /// Whether `objects` is what the API has, or the API has no such kind.
    known: bool,
}

impl Store {
    /// Takes note of what a watch reports.
    pub(crate) fn apply(&self, kind: Kind, event: Event<DynamicObject>) {
        let mut kinds = self.kinds.lock();
        let collection = &mut kinds[kind as usize];
        let changed = match event {
            Event::Init => {
                collection.arriving.clear();
                false
            }
            Event::InitApply(object) => {
                let name = name_of(&object);
                collection.arriving.insert(name, Arc::new(kind.keep(object)));
                false
            }
            Event::InitDone => {
                let arrived = std::mem::take(&mut collection.arriving);
                let changed = !collection.known || collection.objects != arrived;
                collection.objects = arrived;
                collection.known = true;
                changed
            }
            Event::Apply(object) => {
                let name = name_of(&object);
                let kept = kind.keep(object);
                let changed = collection.objects.get(&name).is_none_or(|known| **known != kept);
                collection.objects.insert(name, Arc::new(kept));
                changed
            }
            Event::Delete(object) => collection.objects.remove(&name_of(&object)).is_some(),
        };
        drop(kinds);
        if changed {
            self.changed.notify_one();
        }
    }

    /// The API does not serve the kind.
    pub(crate) fn absent(&self, kind: Kind) {
        let mut kinds = self.kinds.lock();
        let collection = &mut kinds[kind as usize];
        let changed = !collection.known || !collection.objects.is_empty();
        *collection = Collection { known: true, ..Collection::default() };
        drop(kinds);
        if changed {
            self.changed.notify_one();
        }
    }

    /// Asks for a new look at the objects.
    pub(crate) fn touch(&self) {
        self.changed.notify_one();
    }

    /// Waits until something has changed since the last wait.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// All objects; `None` until every kind is known. A table of half the
    /// objects would answer with errors that nobody caused.
    pub(crate) fn objects(&self) -> Option<Objects> {
        let kinds = self.kinds.lock();
        if !kinds.iter().all(|collection| collection.known) {
            return None;
        }
        let all = |kind: Kind| kinds[kind as usize].objects.values().map(Arc::clone).collect();
        Some(Objects {
            gateway_classes: all(Kind::GatewayClass),
            gateways: all(Kind::Gateway),
            http_routes: all(Kind::HttpRoute),
            reference_grants: all(Kind::ReferenceGrant),
            namespaces: all(Kind::Namespace),
            services: all(Kind::Service),
            endpoint_slices: all(Kind::EndpointSlice),
            pods: all(Kind::Pod),
        })
    }
}

fn name_of(object: &DynamicObject) -> Name {
    let meta = &object.metadata;
    (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use serde_json::json;

    fn pod(name: &str, hash: &str, phase: &str) -> DynamicObject {
        serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": "shop", "labels": {"pod-template-hash": hash}},
            "status": {"phase": phase},
        }))
        .unwrap()
    }

    fn known_store() -> Store {
        let store = Store::default();
        for kind in Kind::ALL {
            store.absent(kind);
        }
        assert!(store.changed().now_or_never().is_some());
        store
    }

    #[test]
    fn nothing_is_shown_until_every_kind_is_known() {
        let store = Store::default();
        for kind in Kind::ALL {
            assert!(store.objects().is_none(), "before {kind:?}");
            store.apply(kind, Event::Init);
            store.apply(kind, Event::InitDone);
        }
        assert!(store.objects().is_some());
    }

    #[test]
    fn a_relist_replaces_what_was_there_and_forgets_what_is_gone() {
        let store = known_store();
        store.apply(Kind::Pod, Event::Apply(pod("old", "a", "Running")));
        store.apply(Kind::Pod, Event::Init);
        store.apply(Kind::Pod, Event::InitApply(pod("new", "a", "Running")));
        assert_eq!(store.objects().unwrap().pods[0]["metadata"]["name"], "old");
        store.apply(Kind::Pod, Event::InitDone);
        let pods = store.objects().unwrap().pods;
        assert_eq!((pods.len(), &pods[0]["metadata"]["name"]), (1, &json!("new")));
    }

    #[test]
    fn a_pod_whose_labels_stay_the_same_changes_nothing() {
        let store = known_store();
        store.apply(Kind::Pod, Event::Apply(pod("p", "a", "Pending")));
        assert!(store.changed().now_or_never().is_some());
        store.apply(Kind::Pod, Event::Apply(pod("p", "a", "Running")));
        assert!(store.changed().now_or_never().is_none());
        store.apply(Kind::Pod, Event::Delete(pod("p", "a", "Running")));
        assert!(store.changed().now_or_never().is_some());
    }
}
