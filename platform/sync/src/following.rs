//! Follows Stacks and Environments: each environment gets its worker, and news go to all whom they concern.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::Resource;
use kube::api::{ListParams, Patch};
use kube::runtime::{WatchStreamExt as _, watcher};
use parking_lot::Mutex;
use seaway_api::environment::Environment;
use seaway_api::stack::Stack;
use serde_json::{Value, json};
use tokio_util::task::TaskTracker;

use crate::account::{delete_namespace, delete_remnants, namespaces_of_copies};
use crate::end::asks;
use crate::mailbox::Mail;
use crate::readable::Readable;
use crate::shared::{Known, Shared};
use crate::status::Summary;
use crate::view::EnvironmentKey;
use crate::worker::{Worker, is_held};

/// Follows Stacks and Environments until Seaway stops.
pub(crate) async fn follow(shared: Arc<Shared>, tasks: TaskTracker) {
    // Workers find their stacks: those are known before the first worker begins.
    let api: Api<Readable<Stack>> = Api::all(shared.client.clone());
    let mut events = watcher(api, watcher::Config::default()).default_backoff().boxed();
    let mut begun = false;
    loop {
        let event = tokio::select! {
            () = shared.stopping.cancelled() => return,
            event = events.next() => event,
        };
        let (stack, gone) = match event {
            None => return,
            Some(Err(error)) => {
                tracing::debug!(%error, "the watch of stacks is interrupted");
                continue;
            }
            Some(Ok(watcher::Event::Init)) => continue,
            Some(Ok(watcher::Event::InitDone)) => {
                if !begun {
                    begun = true;
                    tasks.spawn(follow_environments(shared.clone(), tasks.clone()));
                }
                continue;
            }
            Some(Ok(watcher::Event::Apply(stack) | watcher::Event::InitApply(stack))) => (stack, false),
            Some(Ok(watcher::Event::Delete(stack))) => (stack, true),
        };
        let namespace = stack.meta().namespace.clone().unwrap_or_default();
        let name = stack.meta().name.clone().unwrap_or_default();
        let key = (namespace.clone(), name.clone());
        let changed = match stack.into_object() {
            _ if gone => shared.stacks.lock().remove(&key).is_some(),
            Ok(stack) => {
                let spec = stack.spec.clone();
                shared.stacks.lock().insert(key, stack).is_none_or(|before| before.spec != spec)
            }
            // What was known of it stays.
            Err((metadata, why)) => {
                tasks.spawn(complain::<Stack>(shared.clone(), metadata, why, "Ready"));
                false
            }
        };
        if changed {
            shared.stacks_news.notify_one();
            let concerned: Vec<EnvironmentKey> = {
                let environments = shared.environments.lock();
                let concerned = environments.iter().filter(|(key, known)| {
                    key.namespace == namespace && known.environment.spec.stack == name
                });
                concerned.map(|(key, known)| (known.mailbox.put(Mail::Spec), key.clone()).1).collect()
            };
            concerned.iter().for_each(|key| shared.tell_copies(key, || Mail::Spec));
        }
    }
}

async fn follow_environments(shared: Arc<Shared>, tasks: TaskTracker) {
    let api: Api<Readable<Environment>> = Api::all(shared.client.clone());
    let mut events = watcher(api.clone(), watcher::Config::default()).default_backoff().boxed();
    loop {
        let event = tokio::select! {
            () = shared.stopping.cancelled() => return,
            event = events.next() => event,
        };
        match event {
            None => return,
            Some(Err(error)) => tracing::debug!(%error, "the watch of environments is interrupted"),
            Some(Ok(watcher::Event::Init)) => {}
            Some(Ok(watcher::Event::InitDone)) => {
                forget_missing(&shared, &tasks, &api).await;
                tasks.spawn(sweep(shared.clone()));
            }
            Some(Ok(watcher::Event::Apply(environment) | watcher::Event::InitApply(environment))) => {
                match environment.into_object() {
                    Ok(environment) => seen(&shared, &tasks, environment),
                    // What was known of it goes on.
                    Err((metadata, why)) => {
                        drop(tasks.spawn(complain::<Environment>(shared.clone(), metadata, why, "Rendered")));
                    }
                }
            }
            Some(Ok(watcher::Event::Delete(environment))) => {
                gone(&shared, &tasks, &EnvironmentKey::of(&environment.into_metadata()))
            }
        }
    }
}

/// Says in the status of an object that it cannot be read, unless it stands there.
async fn complain<K>(shared: Arc<Shared>, metadata: ObjectMeta, why: String, condition: &'static str)
where
    K: Resource<DynamicType = ()>,
{
    let (namespace, name) =
        (metadata.namespace.as_deref().unwrap_or_default(), metadata.name.as_deref().unwrap_or_default());
    let kind = K::kind(&());
    tracing::warn!(%kind, namespace, name, why, "an object cannot be read, and what was known of it stays");
    let message = format!("it cannot be read: {why}: apply it again as its definition says");
    let said = json!([{"type": condition, "status": "False", "reason": "InvalidSpec", "message": message,
        "observedGeneration": metadata.generation, "lastTransitionTime": jiff::Timestamp::now()}]);
    let path = K::url_path(&(), Some(namespace));
    let said_already = async {
        let request = kube::core::Request::new(&path).get(name, &Default::default()).ok()?;
        let found: Value = shared.client.request(request).await.ok()?;
        let conditions = found.pointer("/status/conditions")?.as_array()?;
        Some(conditions.iter().any(|one| one["message"] == message.as_str()))
    };
    if said_already.await == Some(true) {
        return;
    }
    let patch = Patch::Merge(json!({"status": {"conditions": said}}));
    let request =
        kube::core::Request::new(&path).patch_subresource("status", name, &Default::default(), &patch);
    let Ok(request) = request else { return };
    if let Err(error) = shared.client.request::<Value>(request).await {
        tracing::warn!(%kind, namespace, name, %error, "its status could not be written");
    }
}

fn seen(shared: &Arc<Shared>, tasks: &TaskTracker, environment: Environment) {
    let key = EnvironmentKey::of(&environment.metadata);
    shared.note_copy(&key, &environment);
    let mut environments = shared.environments.lock();
    if let Some(known) = environments.get_mut(&key)
        && known.environment.metadata.uid == environment.metadata.uid
    {
        let told = |e: &Environment| (e.metadata.generation, e.metadata.deletion_timestamp.is_some());
        let changed = told(&known.environment) != told(&environment)
            || known.environment.spec != environment.spec
            // What somebody wants of hooks that keep it.
            || (environment.metadata.deletion_timestamp.is_some()
                && asks(&known.environment) != asks(&environment))
            // Somebody has taken the finalizer away: it comes back.
            || (is_held(&known.environment) && !is_held(&environment));
        known.environment = environment;
        if changed {
            shared.stacks_news.notify_one();
            known.mailbox.put(Mail::Spec);
            drop(environments);
            shared.tell_copies(&key, || Mail::Spec);
        }
        return;
    }
    if let Some(before) = environments.remove(&key) {
        before.cancel.cancel();
    }
    let known = Known {
        environment,
        mailbox: Arc::default(),
        summary: Arc::new(Mutex::new(Summary::default())),
        cancel: shared.stopping.child_token(),
        admitted: false,
    };
    let worker = Worker::new(
        shared.clone(),
        key.clone(),
        known.mailbox.clone(),
        known.summary.clone(),
        known.cancel.clone(),
    );
    environments.insert(key.clone(), known);
    drop(environments);
    shared.stacks_news.notify_one();
    tasks.spawn(worker.run());
    // Those that were seen before what they are copies of.
    shared.tell_copies(&key, || Mail::Spec);
}

fn gone(shared: &Arc<Shared>, tasks: &TaskTracker, key: &EnvironmentKey) {
    let known = shared.environments.lock().remove(key);
    if let Some(known) = &known {
        known.cancel.cancel();
        shared.stacks_news.notify_one();
        shared.forget_copy(key, &known.environment);
        // The ledger has told of the end while the Environment was still listed: whoever shows it asks again now.
        shared.tell(key, None, "is deleted".to_owned(), None);
    }
    shared.sources.keep_only(key, &BTreeSet::new());
    shared.tell_copies(key, || Mail::Spec);
    if known.is_some_and(|known| known.environment.spec.copy_of.is_some()) {
        // Whoever makes one of that name makes another one.
        forget(shared, key);
        tasks.spawn(sweep(shared.clone()));
    }
}

/// Forgets a copy that went without its end.
fn forget(shared: &Shared, key: &EnvironmentKey) {
    if let Err(error) = shared.records.forget(key) {
        tracing::warn!(environment = %key, %error, "the records of a copy that is gone stay");
    }
}

/// Ends what is left of copies whose Environment went without an end: somebody took its finalizer away. They are their
/// owner's alone, so that nobody misses anything.
async fn sweep(shared: Arc<Shared>) {
    let left = match namespaces_of_copies(&shared.client).await {
        Ok(left) => left,
        Err(error) => return tracing::warn!(%error, "what is left of copies could not be looked for"),
    };
    for namespace in left {
        if namespace.ending || shared.environment(&namespace.key).is_some() {
            continue;
        }
        // The watch may be behind.
        let api: Api<Environment> = Api::namespaced(shared.client.clone(), &namespace.key.namespace);
        match api.get_opt(&namespace.key.name).await {
            Ok(None) => {}
            Ok(Some(_)) => continue,
            Err(error) => return tracing::warn!(%error, "what is left of copies could not be looked for"),
        }
        tracing::info!(namespace = namespace.name, "a copy went without its end: its namespace is deleted");
        forget(&shared, &namespace.key);
        let deleted = async {
            delete_remnants(&shared.client, &namespace.key).await?;
            delete_namespace(&shared.client, &namespace).await
        };
        if let Err(error) = deleted.await {
            tracing::warn!(%error, "what is left of a copy could not be deleted");
        }
    }
}

/// After the watch was interrupted, what was deleted meanwhile is only seen by its absence.
async fn forget_missing(shared: &Arc<Shared>, tasks: &TaskTracker, api: &Api<Readable<Environment>>) {
    let Ok(list) = api.list_metadata(&ListParams::default()).await else { return };
    let there: BTreeSet<EnvironmentKey> =
        list.items.iter().map(|item| EnvironmentKey::of(&item.metadata)).collect();
    let missing: Vec<EnvironmentKey> =
        shared.environments.lock().keys().filter(|key| !there.contains(*key)).cloned().collect();
    missing.iter().for_each(|key| gone(shared, tasks, key));
}
