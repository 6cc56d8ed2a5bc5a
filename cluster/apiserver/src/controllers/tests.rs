#![allow(clippy::unwrap_used)]

use parking_lot::Mutex;
use serde_json::{Value, json};

use super::*;
use crate::store::{Change, Expect, Write, resource_key};
use crate::{ApiServer, Options};

/// Where a test wants a panic: controller and object, and how often.
static BREAKS: Mutex<Vec<(&str, &str, usize)>> = Mutex::new(vec![]);

/// Panics when a test wants it here.
pub(super) fn break_down(controller: &str, key: &ObjectKey) {
    let mut breaks = BREAKS.lock();
    let wanted = breaks.iter_mut().find(|(c, name, left)| *c == controller && *name == key.name && *left > 0);
    if let Some((_, _, left)) = wanted {
        *left -= 1;
        drop(breaks);
        panic!("a test wants it");
    }
}

async fn start() -> (ApiServer, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (ApiServer::start(Options::new(folder.path())).await.unwrap(), folder)
}

async fn make(api: &Api, name: &str, owner: Option<&str>) {
    let owners: Vec<Value> =
        owner.iter().map(|o| json!({"apiVersion": "v1", "kind": "ConfigMap", "name": o, "uid": o})).collect();
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "default", "uid": name, "ownerReferences": owners}});
    let key = ObjectKey::new("default", name);
    let resource = resource_key("", "configmaps");
    api.store
        .write(Write { resource, key, expect: Expect::Absent, change: Change::Put(object) })
        .await
        .unwrap();
}

async fn remove(api: &Api, name: &str) {
    let resource = resource_key("", "configmaps");
    let gone = |e: &crate::store::Entry| Some(Change::Delete(e.value()));
    api.store.modify(&resource, &ObjectKey::new("default", name), gone).await.unwrap();
}

async fn goes(api: &Api, name: &str) {
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    while api.store.get("/configmaps", &ObjectKey::new("default", name)).is_some() {
        assert!(tokio::time::Instant::now() < deadline, "{name} stays");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn after_a_controller_broke_down_everything_is_looked_at_once_more() {
    let (server, _folder) = start().await;
    BREAKS.lock().push(("dependents", "breaks-once", 1));
    make(&server.api, "breaks-once", None).await;
    make(&server.api, "dependent-of-once", Some("breaks-once")).await;
    remove(&server.api, "breaks-once").await;
    goes(&server.api, "dependent-of-once").await;
    assert!(BREAKS.lock().iter().all(|(_, name, left)| *name != "breaks-once" || *left == 0));
}

#[tokio::test]
async fn an_object_over_which_a_controller_always_breaks_down_keeps_no_other_from_its_end() {
    let (server, _folder) = start().await;
    BREAKS.lock().push(("garbage", "breaks-always", usize::MAX));
    make(&server.api, "owner", None).await;
    make(&server.api, "breaks-always", Some("owner")).await;
    for n in 0..3 {
        make(&server.api, &format!("owner-{n}"), None).await;
        make(&server.api, &format!("dependent-{n}"), Some(&format!("owner-{n}"))).await;
        remove(&server.api, &format!("owner-{n}")).await;
        goes(&server.api, &format!("dependent-{n}")).await;
    }
    server.stop().await;
}
