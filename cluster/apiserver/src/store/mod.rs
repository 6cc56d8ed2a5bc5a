//! The store: every object of the API, durable in SQLite and readable from memory.
//!
//! One writer task owns the database. It takes all writes that wait, checks each against the newest
//! state (compare-and-swap on the revision), commits them in one transaction and only then makes them
//! visible and answers: what was acknowledged is on disk, and nobody reads what a crash could undo.
//! It also sees that a new object's namespace is there and stays: only here is that certain, and what slipped in
//! behind a namespace's end would never be cleaned up.
//! Reads never touch the database.

mod database;
mod history;
mod memory;
mod reserve;
mod watch;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use parking_lot::RwLock;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

pub use database::{DatabaseError, mark_restored};
pub(crate) use history::{Event, EventKind, frame};
pub(crate) use memory::{Entry, ObjectKey, Page, State};
pub(crate) use watch::{Watch, WatchEnd};

/// Group and plural name of a stored resource, as `apps/deployments`; the core group is `/pods`.
pub(crate) type ResourceKey = Arc<str>;

/// The namespaces' own storage key.
pub(crate) const NAMESPACES: &str = "/namespaces";

/// The storage key of a resource.
pub(crate) fn resource_key(group: &str, plural: &str) -> ResourceKey {
    format!("{group}/{plural}").into()
}

/// What a write expects to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expect {
    /// No object under the key.
    Absent,
    /// Exactly this revision.
    Revision(u64),
}

/// What a write does.
#[derive(Debug)]
pub(crate) enum Change {
    /// Stores the object; the writer sets `metadata.resourceVersion`.
    Put(Value),
    /// Removes the object; the value is its last state, as watchers will see it.
    Delete(Value),
}

/// One compare-and-swap.
#[derive(Debug)]
pub(crate) struct Write {
    pub(crate) resource: ResourceKey,
    pub(crate) key: ObjectKey,
    pub(crate) expect: Expect,
    pub(crate) change: Change,
}

impl Write {
    /// Whether this leads to the end of an object: it removes it, or changes one that is being deleted.
    fn ends(&self) -> bool {
        match &self.change {
            Change::Delete(_) => true,
            Change::Put(value) => value.pointer("/metadata/deletionTimestamp").is_some_and(Value::is_string),
        }
    }
}

/// Why a write was not done.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum WriteError {
    /// `Expect::Absent`, but it is there.
    #[error("the object exists")]
    Exists,
    /// The revision is another one, or the object is gone.
    #[error("the object has changed")]
    Conflict,
    /// A new object in a namespace that is not there.
    #[error("there is no namespace {0}")]
    NoNamespace(Arc<str>),
    /// A new object in a namespace that is being deleted.
    #[error("the namespace {0} is being deleted")]
    NamespaceEnds(Arc<str>),
    /// The object that is there cannot be read, so it cannot be changed.
    #[error("the stored object cannot be read, and can only be deleted")]
    Unreadable,
    /// The object could be written and never read again.
    #[error("the object is nested deeper than {DEEPEST} levels, its managed fields included")]
    TooDeep,
    /// The database refused; nothing of this write was kept.
    #[error("the database refused the write: {0}")]
    Unavailable(Arc<str>),
    /// The store is shutting down.
    #[error("the store is closed")]
    Closed,
}

pub(crate) struct Request {
    write: Write,
    done: oneshot::Sender<Result<Arc<Entry>, WriteError>>,
}

/// Handle to the store; cheap to clone.
#[derive(Clone)]
pub(crate) struct Store {
    state: Arc<RwLock<State>>,
    requests: mpsc::Sender<Request>,
    /// The last commit failed.
    refusing: Arc<AtomicBool>,
}

/// Looks at an object of a resource as the database holds it: brings it into the form in which it would be stored now,
/// or says why clients could not read it.
pub(crate) type Examine<'a> = dyn Fn(&str, &mut Value) -> Result<(), String> + Send + Sync + 'a;

impl Store {
    /// Opens (or makes) the database below `folder` and reads all of it into memory.
    pub(crate) async fn open(
        folder: &Path,
        events_kept: usize,
        examine: &Examine<'_>,
    ) -> Result<(Self, tokio::task::JoinHandle<()>), DatabaseError> {
        let mut database = database::Database::open(&folder.join(database::FILE)).await?;
        let mut state = State::new(events_kept);
        database.load(&mut state, examine).await?;
        let state = Arc::new(RwLock::new(state));
        let (requests, queue) = mpsc::channel(1024);
        let refusing = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn(writer::run(database, state.clone(), queue, refusing.clone()));
        Ok((Self { state, requests, refusing }, task))
    }

    /// Does one write and waits until it is durable.
    pub(crate) async fn write(&self, write: Write) -> Result<Arc<Entry>, WriteError> {
        if let Change::Put(value) = &write.change {
            readable(value)?;
        }
        let (done, answer) = oneshot::channel();
        self.requests.send(Request { write, done }).await.map_err(|_| WriteError::Closed)?;
        answer.await.map_err(|_| WriteError::Closed)?
    }

    /// The newest visible state of one object.
    pub(crate) fn get(&self, resource: &str, key: &ObjectKey) -> Option<Arc<Entry>> {
        self.state.read().get(resource, key)
    }

    /// Whether the database took the last write; it does not when the disk is full.
    pub(crate) fn refuses_writes(&self) -> bool {
        self.refusing.load(Ordering::Relaxed)
    }

    /// Revision of the newest visible write.
    pub(crate) fn revision(&self) -> u64 {
        self.state.read().revision()
    }

    /// Revision of the newest write to one resource; 0 when there never was one since start.
    pub(crate) fn resource_revision(&self, resource: &str) -> u64 {
        self.state.read().resource_revision(resource)
    }

    /// Runs `read` on one consistent state. Keep it short, since writers wait: no object is parsed in it.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        let state = self.state.read();
        #[cfg(debug_assertions)]
        let _reading = memory::Reading::begin();
        read(&state)
    }

    /// The objects of a resource that nobody can read.
    pub(crate) fn unreadable(&self, resource: &str, namespace: Option<&str>) -> Vec<ObjectKey> {
        self.state.read().unreadable(resource, namespace).cloned().collect()
    }

    /// All objects of a resource, in order of namespace and name, also those that clients cannot read.
    pub(crate) fn all(&self, resource: &str, namespace: Option<&str>) -> Vec<Arc<Entry>> {
        self.state.read().range(resource, namespace).map(|(_, entry)| entry.clone()).collect()
    }

    /// Every change of every resource from now on.
    pub(crate) fn observe(&self) -> mpsc::UnboundedReceiver<memory::Change> {
        self.state.write().observe()
    }

    /// Waits a while until a revision is there; whether it is.
    pub(crate) async fn reached(&self, revision: u64, patience: std::time::Duration) -> bool {
        if self.revision() >= revision {
            return true;
        }
        let mut newest = self.state.read().follow();
        let _ = tokio::time::timeout(patience, newest.wait_for(|newest| *newest >= revision)).await;
        self.revision() >= revision
    }

    /// Changes an object by a function of its present state until that holds; `None` leaves it alone. One that cannot
    /// be read is left alone as well.
    pub(crate) async fn modify(
        &self,
        resource: &ResourceKey,
        key: &ObjectKey,
        mut change: impl FnMut(&Entry) -> Option<Change>,
    ) -> Result<Option<Arc<Entry>>, WriteError> {
        loop {
            let Some(entry) = self.get(resource, key).filter(|e| e.is_readable()) else { return Ok(None) };
            let Some(change) = change(&entry) else { return Ok(Some(entry)) };
            let write = Write {
                resource: resource.clone(),
                key: key.clone(),
                expect: Expect::Revision(entry.revision),
                change,
            };
            match self.write(write).await {
                Err(WriteError::Conflict) => {}
                other => return other.map(Some),
            }
        }
    }

    /// Events of one resource after `since`.
    pub(crate) fn watch(&self, resource: &ResourceKey, since: u64) -> Result<Watch, WatchEnd> {
        Watch::start(self.state.clone(), resource.clone(), since)
    }
}

/// Levels of nesting of a stored object, its managed fields among them. JSON readers stop at 128, ours and those of
/// clients, who read it inside a list or a watch event: what is deeper could be written and never read again.
const DEEPEST: usize = 120;

/// Whether an object, once stored, could be read again.
pub(crate) fn readable(value: &Value) -> Result<(), WriteError> {
    if deeper_than(value, DEEPEST) { Err(WriteError::TooDeep) } else { Ok(()) }
}

fn deeper_than(value: &Value, levels: usize) -> bool {
    let Some(levels) = levels.checked_sub(1) else { return value.is_object() || value.is_array() };
    match value {
        Value::Object(members) => members.values().any(|v| deeper_than(v, levels)),
        Value::Array(items) => items.iter().any(|v| deeper_than(v, levels)),
        _ => false,
    }
}

/// Serializes an object; a `Value` always can be.
pub(crate) fn to_bytes(value: &Value) -> Bytes {
    serde_json::to_vec(value).expect("a JSON value has only string keys").into()
}

#[cfg(test)]
mod tests;
