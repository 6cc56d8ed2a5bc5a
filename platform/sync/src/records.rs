//! What is remembered of each environment: inventory, syncs with their definitions, holds, suspension.
//!
//! This is the present state, which the next look starts from; the history that people read for years is the ledger's.
//!
//! One file per environment below the data folder, replaced as a whole and flushed before anything that follows from
//! it is done: what was acknowledged survives the end of the process.

use std::collections::{HashMap, VecDeque};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::plan::InventoryEntry;
use crate::release::Release;
use crate::view::{Deployed, EnvironmentKey, Hold, Outcome, SyncRecord};

/// The format of the files.
const FORMAT: u32 = 1;
/// Syncs that are kept of each environment.
const KEPT_SYNCS: usize = 200;
/// Syncs whose steps are kept: the file is written as a whole.
const KEPT_STEPS: usize = 10;

/// Of so many environments it is in memory what is remembered; the others' files are read when they are looked at.
const IN_MEMORY: usize = 256;

/// What is remembered of one environment.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Memory {
    format: u32,
    environment: EnvironmentKey,
    /// What was applied.
    pub(crate) inventory: Vec<InventoryEntry>,
    /// Oldest first.
    pub(crate) syncs: Vec<SyncRecord>,
    pub(crate) holds: Vec<Hold>,
    pub(crate) suspended: bool,
    /// The last sync that a person cancelled, until another one begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cancelled: Option<Cancellation>,
}

/// A sync that a person cancelled: the same content is not begun again by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Cancellation {
    pub(crate) sync: u64,
    pub(crate) release: String,
    pub(crate) content: String,
    pub(crate) actor: String,
    pub(crate) time: Timestamp,
}

impl Memory {
    fn new(environment: EnvironmentKey) -> Self {
        Self {
            format: FORMAT,
            environment,
            inventory: Vec::new(),
            syncs: Vec::new(),
            holds: Vec::new(),
            suspended: false,
            cancelled: None,
        }
    }

    /// The last sync that brought a release as a whole.
    pub(crate) fn last_good(&self) -> Option<&SyncRecord> {
        self.good().next()
    }

    /// Syncs that brought a release as a whole, the latest first.
    pub(crate) fn good(&self) -> impl Iterator<Item = &SyncRecord> {
        self.syncs.iter().rev().filter(|sync| sync.outcome == Outcome::Succeeded && !sync.partial)
    }

    /// Who brought what runs: what came after it with the same content only kept it so.
    pub(crate) fn deployed(&self) -> Option<Deployed> {
        let newest = self.last_good()?;
        let first = self.good().take_while(|sync| sync.content == newest.content).last()?;
        let commit = first.commits.first();
        Some(Deployed {
            time: first.finished.unwrap_or(first.started),
            actor: first.actor.clone(),
            author: commit.map(|commit| commit.author.clone()),
            subject: commit.map(|commit| commit.subject.clone()),
        })
    }

    /// The cancellation of a sync.
    pub(crate) fn cancellation_of(&self, sync: u64) -> Option<&Cancellation> {
        self.cancelled.as_ref().filter(|cancelled| cancelled.sync == sync)
    }

    /// Why this content is not begun again by itself, for people.
    pub(crate) fn cancelled_content(&self, content: &str) -> Option<String> {
        let cancelled = self.cancelled.as_ref().filter(|cancelled| cancelled.content == content)?;
        Some(format!(
            "sync {} of release {} was cancelled by {}: it begins again when somebody asks for it, or with the next change",
            cancelled.sync, cancelled.release, cancelled.actor
        ))
    }

    /// The last good one that is not held.
    pub(crate) fn last_unheld(&self) -> Option<&SyncRecord> {
        self.good().find(|sync| self.hold_of(&sync.release, &sync.content).is_none())
    }

    /// Forgets the oldest syncs; those that nobody can go back to before those that somebody can.
    fn shorten(&mut self) {
        let with_steps = self.syncs.len().saturating_sub(KEPT_STEPS);
        for sync in &mut self.syncs[..with_steps] {
            sync.steps.clear();
        }
        while self.syncs.len() > KEPT_SYNCS {
            let last = self.syncs.len() - 1;
            let useless =
                self.syncs[..last].iter().position(|sync| sync.outcome != Outcome::Succeeded || sync.partial);
            self.syncs.remove(useless.unwrap_or_default());
        }
    }

    /// What runs while a release is held: what the hold says, until something newer has been deployed.
    pub(crate) fn instead_of(&self, hold: &Hold) -> Option<&SyncRecord> {
        let newer = self.last_unheld().filter(|sync| sync.finished.is_some_and(|time| time > hold.time));
        let named = || self.good().find(|sync| Some(&sync.release) == hold.instead.as_ref());
        newer.or_else(named).or_else(|| self.last_unheld())
    }

    /// Whether a release is held, by its name or its content.
    pub(crate) fn hold_of(&self, release: &str, content: &str) -> Option<&Hold> {
        self.holds.iter().find(|hold| hold.release == release || hold.content == content)
    }
}

/// The memories of all environments. Those that were used lately are in memory.
pub(crate) struct Records {
    folder: PathBuf,
    lately: Mutex<Lately>,
}

/// What is known of one environment; nothing before it is read.
type Slot = Arc<Mutex<Option<Memory>>>;

#[derive(Default)]
struct Lately {
    slots: HashMap<EnvironmentKey, Slot>,
    /// The one that was used first goes first.
    order: VecDeque<EnvironmentKey>,
}

impl Records {
    pub(crate) fn open(folder: PathBuf) -> Result<Self, Error> {
        std::fs::create_dir_all(&folder)
            .map_err(|error| Error::Records(format!("{}: {error}", folder.display())))?;
        Ok(Self { folder, lately: Mutex::default() })
    }

    /// What is remembered now.
    pub(crate) fn get(&self, key: &EnvironmentKey) -> Result<Memory, Error> {
        self.read(key, Memory::clone)
    }

    /// What an environment was last brought to as a whole.
    pub(crate) fn last_release(&self, key: &EnvironmentKey) -> Result<Option<Release>, Error> {
        self.read(key, |memory| memory.last_good().map(|good| good.definition.clone()))
    }

    /// Something of what is remembered now, without a copy of the rest.
    pub(crate) fn read<T>(&self, key: &EnvironmentKey, read: impl FnOnce(&Memory) -> T) -> Result<T, Error> {
        let slot = self.slot(key);
        let mut slot = slot.lock();
        Ok(read(self.load(&mut slot, key)?))
    }

    /// Changes what is remembered. It is on disk when this returns; if it cannot be, nothing has changed.
    pub(crate) fn change<T>(
        &self,
        key: &EnvironmentKey,
        change: impl FnOnce(&mut Memory) -> T,
    ) -> Result<T, Error> {
        let slot = self.slot(key);
        let mut slot = slot.lock();
        let mut memory = self.load(&mut slot, key)?.clone();
        let result = change(&mut memory);
        memory.shorten();
        self.write(key, &memory)?;
        *slot = Some(memory);
        Ok(result)
    }

    /// Forgets an environment that is gone.
    pub(crate) fn forget(&self, key: &EnvironmentKey) {
        let slot = self.slot(key);
        let mut slot = slot.lock();
        *slot = None;
        if let Err(error) = std::fs::remove_file(self.path(key))
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(environment = %key, %error, "the records of a deleted environment stay");
        }
    }

    fn slot(&self, key: &EnvironmentKey) -> Slot {
        let mut guard = self.lately.lock();
        let lately = &mut *guard;
        if let Some(slot) = lately.slots.get(key) {
            return slot.clone();
        }
        while lately.order.len() >= IN_MEMORY {
            let Some(oldest) = lately.order.pop_front() else { break };
            // One that is in use now stays, so that there are never two of an environment.
            if lately.slots.get(&oldest).is_some_and(|slot| Arc::strong_count(slot) > 1) {
                lately.order.push_back(oldest);
                break;
            }
            lately.slots.remove(&oldest);
        }
        lately.order.push_back(key.clone());
        lately.slots.entry(key.clone()).or_default().clone()
    }

    fn path(&self, key: &EnvironmentKey) -> PathBuf {
        self.folder.join(format!("{}.{}.json", key.namespace, key.name))
    }

    fn load<'a>(&self, slot: &'a mut Option<Memory>, key: &EnvironmentKey) -> Result<&'a Memory, Error> {
        let memory = match slot.take() {
            Some(memory) => memory,
            None => self.read_file(key)?,
        };
        Ok(slot.insert(memory))
    }

    fn read_file(&self, key: &EnvironmentKey) -> Result<Memory, Error> {
        let path = self.path(key);
        let fail = |what: String| Error::Records(format!("{}: {what}", path.display()));
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Memory::new(key.clone()));
            }
            Err(error) => return Err(fail(error.to_string())),
        };
        let memory: Memory = serde_json::from_slice(&text).map_err(|error| fail(error.to_string()))?;
        if memory.format > FORMAT {
            return Err(fail("a newer release has written it".to_owned()));
        }
        Ok(memory)
    }

    fn write(&self, key: &EnvironmentKey, memory: &Memory) -> Result<(), Error> {
        let path = self.path(key);
        let new = path.with_extension("new");
        let text = serde_json::to_vec(memory).map_err(|error| Error::Records(error.to_string()))?;
        let write = || {
            let mut file = std::fs::File::create(&new)?;
            file.write_all(&text)?;
            file.sync_data()?;
            std::fs::rename(&new, &path)
        };
        write().map_err(|error| Error::Records(format!("{}: {error}", path.display())))
    }
}
