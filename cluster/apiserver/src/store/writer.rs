//! The one task that writes: group commit.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::RwLock;
use tokio::sync::mpsc;

use super::database::{Database, DatabaseError};
use super::history::EventKind;
use super::memory::{Entry, ObjectKey, State};
use super::{Change, Expect, NAMESPACES, Request, ResourceKey, WriteError};

/// Writes that share one transaction at most.
const BATCH: usize = 256;

type Reply = tokio::sync::oneshot::Sender<Result<Arc<Entry>, WriteError>>;

struct Done {
    resource: ResourceKey,
    kind: EventKind,
    entry: Arc<Entry>,
    reply: Reply,
}

pub(super) async fn run(
    database: Database,
    state: Arc<RwLock<State>>,
    mut queue: mpsc::Receiver<Request>,
    refusing: Arc<AtomicBool>,
) {
    let (reserve, short) = (database.reserve.clone(), refusing.clone());
    // Not at once: a start has more urgent things to write.
    let keeping = tokio::spawn(async move {
        tokio::time::sleep(RESERVE_AFTER).await;
        let kept = tokio::task::spawn_blocking(move || reserve.keep()).await;
        if !kept.unwrap_or(false) && !short.swap(true, Ordering::Relaxed) {
            tracing::error!("there is no room to keep for deletions: only they are written until there is");
        }
    });
    let mut writer = Writer { database, state, refusing };
    let mut batch = Vec::with_capacity(BATCH);
    while queue.recv_many(&mut batch, BATCH).await > 0 {
        if !writer.refusing.load(Ordering::Relaxed) {
            writer.write(std::mem::take(&mut batch)).await;
            continue;
        }
        // What ends objects makes room for the rest.
        let (ends, others) = batch.drain(..).partition(|request| request.write.ends());
        writer.write(ends).await;
        writer.write(others).await;
    }
    keeping.abort();
    writer.database.close().await;
}

/// How long after its start the store takes the room that is kept for deletions.
const RESERVE_AFTER: Duration = Duration::from_secs(1);

struct Writer {
    database: Database,
    state: Arc<RwLock<State>>,
    refusing: Arc<AtomicBool>,
}

impl Writer {
    async fn write(&mut self, requests: Vec<Request>) {
        let only_ends = requests.iter().all(|request| request.write.ends());
        let (done, refused) = prepare(&self.state, requests.into_iter());
        let committed = if done.is_empty() { Ok(()) } else { self.commit(&done, only_ends).await };
        match committed {
            Ok(()) => {
                // Deletions say nothing of whether there is room for anything else.
                if !done.is_empty() && !only_ends && self.refusing.swap(false, Ordering::Relaxed) {
                    tracing::warn!("the database takes writes again");
                    let reserve = self.database.reserve.clone();
                    tokio::task::spawn_blocking(move || reserve.keep());
                }
                publish(&self.state, done);
            }
            Err(error) => {
                // Said once: a full disk is asked again by everything that tries again.
                if !self.refusing.swap(true, Ordering::Relaxed) {
                    tracing::error!(%error, "the database refuses writes; reads go on");
                }
                let error = WriteError::Unavailable(error.to_string().into());
                for d in done {
                    let _ = d.reply.send(Err(error.clone()));
                }
            }
        }
        // Only now: who lost to a write of this batch must see that write when it looks again.
        for (reply, error) in refused {
            let _ = reply.send(Err(error));
        }
    }

    async fn commit(&mut self, done: &[Done], only_ends: bool) -> Result<(), DatabaseError> {
        let rows = done.iter().map(|d| (&*d.resource, d.kind, &*d.entry));
        let before = self.state.read().revision();
        if !only_ends && self.refusing.load(Ordering::Relaxed) {
            let bytes = done.iter().map(|d| d.entry.body.len()).sum();
            self.database.room_for(bytes).await?;
        }
        match self.database.commit(before, rows.clone()).await {
            Err(error) if only_ends && self.database.reserve.release() => {
                tracing::warn!(%error, "the room that is kept for deletions is used, and nothing else written");
                // Otherwise it would be the next write of any other kind that takes it.
                self.refusing.store(true, Ordering::Relaxed);
                self.database.commit(before, rows).await
            }
            committed => committed,
        }
    }
}

/// Checks each write against the state as the earlier ones of the batch leave it.
fn prepare(
    state: &RwLock<State>,
    batch: impl Iterator<Item = Request>,
) -> (Vec<Done>, Vec<(Reply, WriteError)>) {
    let state = state.read();
    let mut revision = state.revision();
    let mut pending: HashMap<(ResourceKey, ObjectKey), Option<u64>> = HashMap::new();
    let mut namespaces = Namespaces { state: &state, pending: HashMap::new() };
    let (mut done, mut losers) = (Vec::new(), Vec::new());
    for Request { write, done: reply } in batch {
        let slot = (write.resource.clone(), write.key.clone());
        let (current, unreadable) = match pending.get(&slot) {
            Some(current) => (*current, None),
            None => state
                .get(&write.resource, &write.key)
                .map_or((None, None), |entry| (Some(entry.revision), entry.unreadable.clone())),
        };
        let refused = match (write.expect, current) {
            // Nobody knows what would be lost.
            (Expect::Revision(_), Some(_))
                if unreadable.is_some() && matches!(write.change, Change::Put(_)) =>
            {
                Some(WriteError::Unreadable)
            }
            (Expect::Absent, Some(_)) => Some(WriteError::Exists),
            (Expect::Revision(expected), current) if current != Some(expected) => Some(WriteError::Conflict),
            (Expect::Absent, None) => namespaces.refuses(&write.key.namespace),
            // Nothing marks one that cannot be read as going away: it goes once it is seen to be empty.
            (Expect::Revision(_), Some(_))
                if unreadable.is_some()
                    && &*write.resource == NAMESPACES
                    && holds_anything(&state, &pending, &write.key.name) =>
            {
                Some(WriteError::Conflict)
            }
            _ => None,
        };
        if let Some(error) = refused {
            losers.push((reply, error));
            continue;
        }
        revision += 1;
        let (kind, value) = match write.change {
            Change::Put(value) if current.is_none() => (EventKind::Added, value),
            Change::Put(value) => (EventKind::Modified, value),
            Change::Delete(value) => (EventKind::Deleted, value),
        };
        let entry = Arc::new(Entry::new(write.key, revision, value).ended(unreadable));
        if &*write.resource == NAMESPACES {
            let life = (kind != EventKind::Deleted).then_some(entry.meta.deleting);
            namespaces.pending.insert(entry.key.name.clone(), life);
        }
        pending.insert(slot, (kind != EventKind::Deleted).then_some(revision));
        done.push(Done { resource: write.resource, kind, entry, reply });
    }
    (done, losers)
}

/// Whether there is any object in a namespace, as the writes of the batch so far leave it.
fn holds_anything(
    state: &State,
    pending: &HashMap<(ResourceKey, ObjectKey), Option<u64>>,
    namespace: &str,
) -> bool {
    let added = pending.iter().any(|((_, key), left)| left.is_some() && key.namespace == namespace);
    added
        || state.counts().any(|(resource, _)| {
            let mut objects = state.range(resource, Some(namespace));
            objects.any(|(key, _)| !pending.contains_key(&(resource.clone(), key.clone())))
        })
}

/// The namespaces as the writes before this one leave them.
struct Namespaces<'a> {
    state: &'a State,
    /// Of those that this batch changes: whether they are being deleted, unless they are gone.
    pending: HashMap<String, Option<bool>>,
}

impl Namespaces<'_> {
    /// Why nothing new can be made in this namespace; objects of no namespace (`""`) always can.
    fn refuses(&self, namespace: &str) -> Option<WriteError> {
        if namespace.is_empty() {
            return None;
        }
        let deleting = match self.pending.get(namespace) {
            Some(life) => *life,
            None => self.state.get(NAMESPACES, &ObjectKey::new("", namespace)).map(|e| e.meta.deleting),
        };
        match deleting {
            None => Some(WriteError::NoNamespace(namespace.into())),
            Some(true) => Some(WriteError::NamespaceEnds(namespace.into())),
            Some(false) => None,
        }
    }
}

fn publish(state: &RwLock<State>, done: Vec<Done>) {
    let mut replies = Vec::with_capacity(done.len());
    {
        let mut state = state.write();
        let mut touched = HashSet::new();
        for Done { resource, kind, entry, reply } in done {
            state.publish(&resource, kind, entry.clone());
            touched.insert(resource);
            replies.push((reply, entry));
        }
        for resource in touched {
            state.notify(&resource);
        }
        state.tell();
    }
    for (reply, entry) in replies {
        let _ = reply.send(Ok(entry));
    }
}
