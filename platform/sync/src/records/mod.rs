//! What is remembered of each environment: inventory, syncs with their definitions, holds, suspension.
//!
//! This is the present state, which the next look starts from; the history that people read for years is the ledger's.
//!
//! One file per environment below the data folder, to which each change is appended, and a [`log`] of the latest changes
//! of all of them, which is flushed before anything that follows from a change is done: what was acknowledged survives
//! the end of the process, and that of the machine.

mod log;

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;
use serde::{Deserialize, Deserializer, Serialize};

use self::log::Log;
use crate::end::{End, EndHook};
use crate::error::Error;
use crate::plan::InventoryEntry;
use crate::release::Release;
use crate::view::{Deployed, EnvironmentKey, Hold, Outcome, SyncRecord};

/// The format of the files: of one line in the first one, of a line for each change since the second one.
const FORMAT: u32 = 2;
/// How each line of the second format begins. Those of the first one were never written in part.
const BEGINNING: &[u8] = br#"{"format":2"#;
/// Syncs that are kept of each environment.
const KEPT_SYNCS: usize = 200;
/// Syncs whose steps are kept.
const KEPT_STEPS: usize = 10;
/// A file with so many more lines than a new one would have is written anew.
const MAX_LINES: usize = 50;

/// Of so many environments it is in memory what is remembered; the others' files are read when they are looked at.
const IN_MEMORY: usize = 256;

/// What is remembered of one environment. A clone costs little.
#[derive(Debug, Clone)]
pub(crate) struct Memory {
    environment: EnvironmentKey,
    /// Of the last change; each has the next one.
    number: u64,
    /// What was applied.
    pub(crate) inventory: Arc<Vec<InventoryEntry>>,
    /// Oldest first.
    pub(crate) syncs: Vec<Arc<SyncRecord>>,
    pub(crate) holds: Vec<Hold>,
    pub(crate) suspended: bool,
    /// The last sync that a person cancelled, until another one begins.
    pub(crate) cancelled: Option<Cancellation>,
    /// Hooks of the end of what was brought last as a whole.
    pub(crate) end_hooks: Arc<Vec<EndHook>>,
    /// How far its end has come, or that of another Environment of its name, which came to none.
    pub(crate) end: Option<End>,
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

/// A change of what is remembered, as it is written: what is absent stays as it was. A file of the first format is a
/// single one, which says everything.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Change {
    format: u32,
    environment: EnvironmentKey,
    #[serde(default)]
    number: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    inventory: Option<Arc<Vec<InventoryEntry>>>,
    /// New ones, and those that are otherwise by now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    syncs: Vec<Arc<SyncRecord>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    holds: Option<Vec<Hold>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    suspended: Option<bool>,
    /// `null`: there is none any more.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    cancelled: Option<Option<Cancellation>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    end_hooks: Option<Arc<Vec<EndHook>>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    end: Option<End>,
    /// The environment is forgotten.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    gone: bool,
}

/// A field that is there, whatever it says.
fn given<'de, D: Deserializer<'de>>(field: D) -> Result<Option<Option<Cancellation>>, D::Error> {
    Option::deserialize(field).map(Some)
}

impl Change {
    fn is_empty(&self) -> bool {
        self.inventory.is_none()
            && self.syncs.is_empty()
            && self.holds.is_none()
            && self.suspended.is_none()
            && self.cancelled.is_none()
            && self.end_hooks.is_none()
            && self.end.is_none()
    }

    fn line(&self) -> io::Result<Vec<u8>> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        Ok(line)
    }
}

impl Memory {
    fn new(environment: EnvironmentKey) -> Self {
        Self {
            environment,
            number: 0,
            inventory: Arc::default(),
            syncs: Vec::new(),
            holds: Vec::new(),
            suspended: false,
            cancelled: None,
            end_hooks: Arc::default(),
            end: None,
        }
    }

    /// Everything, as one change.
    fn whole(&self) -> Change {
        Change {
            format: FORMAT,
            environment: self.environment.clone(),
            number: self.number,
            inventory: Some(self.inventory.clone()),
            syncs: self.syncs.clone(),
            holds: Some(self.holds.clone()),
            suspended: Some(self.suspended),
            cancelled: Some(self.cancelled.clone()),
            end_hooks: (!self.end_hooks.is_empty()).then(|| self.end_hooks.clone()),
            end: self.end.clone(),
            gone: false,
        }
    }

    /// What is otherwise than before. Syncs that are not kept any more follow from those that are there.
    fn since(&self, before: &Self) -> Change {
        let is_known = |sync: &Arc<SyncRecord>| {
            let known = before.syncs.iter().rev().find(|known| known.id == sync.id);
            known.is_some_and(|known| Arc::ptr_eq(known, sync))
        };
        Change {
            format: FORMAT,
            environment: self.environment.clone(),
            number: before.number + 1,
            inventory: (self.inventory != before.inventory).then(|| self.inventory.clone()),
            syncs: self.syncs.iter().filter(|sync| !is_known(sync)).cloned().collect(),
            holds: (self.holds != before.holds).then(|| self.holds.clone()),
            suspended: (self.suspended != before.suspended).then_some(self.suspended),
            cancelled: (self.cancelled != before.cancelled).then(|| self.cancelled.clone()),
            end_hooks: (self.end_hooks != before.end_hooks).then(|| self.end_hooks.clone()),
            end: self.end.clone().filter(|_| self.end != before.end),
            gone: false,
        }
    }

    /// Takes a change, unless it has been taken.
    fn take(&mut self, change: Change) {
        if change.number <= self.number && self.number > 0 {
            return;
        }
        self.number = change.number;
        if let Some(inventory) = change.inventory {
            self.inventory = inventory;
        }
        change.syncs.into_iter().for_each(|sync| self.put(sync));
        if let Some(holds) = change.holds {
            self.holds = holds;
        }
        if let Some(suspended) = change.suspended {
            self.suspended = suspended;
        }
        if let Some(cancelled) = change.cancelled {
            self.cancelled = cancelled;
        }
        if let Some(hooks) = change.end_hooks {
            self.end_hooks = hooks;
        }
        if let Some(end) = change.end {
            self.end = Some(end);
        }
        self.shorten();
    }

    /// A sync that begins, or is otherwise by now.
    pub(crate) fn put(&mut self, sync: Arc<SyncRecord>) {
        match self.syncs.iter_mut().rev().find(|known| known.id == sync.id) {
            Some(known) => *known = sync,
            None => self.syncs.push(sync),
        }
    }

    /// The newest sync, however it went.
    pub(crate) fn last(&self) -> Option<&SyncRecord> {
        self.syncs.last().map(|sync| &**sync)
    }

    /// The last sync that brought a release as a whole.
    pub(crate) fn last_good(&self) -> Option<&SyncRecord> {
        self.good().next()
    }

    /// Syncs that brought a release as a whole, the latest first.
    pub(crate) fn good(&self) -> impl Iterator<Item = &SyncRecord> {
        let syncs = self.syncs.iter().rev().map(|sync| &**sync);
        syncs.filter(|sync| sync.outcome == Outcome::Succeeded && !sync.partial)
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

    /// Forgets the oldest syncs; those that nobody can go back to before those that somebody can. The same whether it is
    /// done after each change or once after all.
    fn shorten(&mut self) {
        let with_steps = self.syncs.len().saturating_sub(KEPT_STEPS);
        for sync in self.syncs[..with_steps].iter_mut().filter(|sync| !sync.steps.is_empty()) {
            *sync = Arc::new(SyncRecord::clone(sync).without_steps());
        }
        while self.syncs.len() > KEPT_SYNCS {
            let last = self.syncs.len() - 1;
            let useless =
                self.syncs[..last].iter().position(|sync| sync.outcome != Outcome::Succeeded || sync.partial);
            self.syncs.remove(useless.unwrap_or_default());
        }
    }

    /// What runs while a release is held: what the hold says, until something newer has been deployed. Where that is held
    /// as well, since somebody went back once more, what that hold says.
    pub(crate) fn instead_of(&self, hold: &Hold) -> Option<&SyncRecord> {
        let mut hold = hold;
        // Holds may name each other: each counts once.
        for _ in 0..=self.holds.len() {
            let newer = self.last_unheld().filter(|sync| sync.finished.is_some_and(|time| time > hold.time));
            let named = || self.good().find(|sync| Some(&sync.release) == hold.instead.as_ref());
            let Some(instead) = newer.or_else(named) else { break };
            match self.hold_of(&instead.release, &instead.content) {
                Some(next) => hold = next,
                None => return Some(instead),
            }
        }
        self.last_unheld()
    }

    /// Whether a person has gone back to this release, and that has not been tried yet: it is done also where nothing is
    /// done by itself.
    pub(crate) fn is_gone_back_to(&self, release: &str) -> bool {
        let asked = self.holds.iter().filter(|hold| hold.instead.as_deref() == Some(release));
        let Some(time) = asked.map(|hold| hold.time).max() else { return false };
        !self
            .syncs
            .iter()
            .any(|sync| sync.release == release && sync.started >= time && sync.outcome != Outcome::Running)
    }

    /// Whether a release is held, by its name or its content.
    pub(crate) fn hold_of(&self, release: &str, content: &str) -> Option<&Hold> {
        self.holds.iter().find(|hold| hold.release == release || hold.content == content)
    }
}

/// The memories of all environments. Those that were used lately are in memory.
pub(crate) struct Records {
    folder: PathBuf,
    log: Log,
    lately: Mutex<Lately>,
}

/// What is known of one environment.
struct Known {
    memory: Arc<Memory>,
    /// How much of its file counts, in bytes and lines; no bytes where there is no file.
    length: u64,
    lines: usize,
}

/// Nothing before it is read.
type Slot = Arc<Mutex<Option<Known>>>;

#[derive(Default)]
struct Lately {
    slots: HashMap<EnvironmentKey, Slot>,
    /// The one that was used first goes first.
    order: VecDeque<EnvironmentKey>,
}

impl Records {
    /// Opens the records of a folder, and completes those whose latest changes are in the log alone.
    pub(crate) fn open(folder: PathBuf) -> Result<Self, Error> {
        let fail = |error: io::Error| Error::Records(format!("{}: {error}", folder.display()));
        std::fs::create_dir_all(&folder).map_err(fail)?;
        let (log, lines) = Log::open(&folder).map_err(fail)?;
        let mut changes: HashMap<EnvironmentKey, Vec<Change>> = HashMap::new();
        for line in lines {
            let change: Change =
                serde_json::from_str(&line).map_err(|error| fail(io::Error::other(error)))?;
            if change.format > FORMAT {
                return Err(fail(io::Error::other("a newer release has written its log")));
            }
            let of_one = changes.entry(change.environment.clone()).or_default();
            // Numbers rise; where they do not, the environment began anew.
            if change.gone || of_one.last().is_some_and(|last| change.number <= last.number) {
                of_one.clear();
            }
            of_one.push(change);
        }
        let records = Self { folder: folder.clone(), log, lately: Mutex::default() };
        let mut all = true;
        for (key, changes) in changes {
            if let Err(error) = records.complete(&key, changes) {
                // The environment says so when it is looked at, and holds up no other.
                tracing::warn!(environment = %key, %error, "the records of an environment cannot be completed");
                all = false;
            }
        }
        // What could complete them stays.
        if all {
            records.log.tidy().map_err(fail)?;
        }
        Ok(records)
    }

    /// Brings a file up to what the log says of it. What was not flushed can be anything: what can be read of it before
    /// that counts, and the log has the rest.
    fn complete(&self, key: &EnvironmentKey, mut changes: Vec<Change>) -> Result<(), Error> {
        let forgotten = changes.first().is_some_and(|first| first.gone);
        changes.retain(|change| !change.gone);
        if forgotten && changes.is_empty() {
            return self.remove_file(key).map_err(|error| self.fail(key, &error.to_string()));
        }
        let (known, damage) = self.read_file(key)?;
        let (Some(first), Some(last)) = (changes.first(), changes.last()) else { return Ok(()) };
        // Somebody has removed it: files whose first change is not in the log are on the disk.
        let removed = known.length == 0 && damage.is_none() && first.number > 1;
        if removed || (last.number <= known.memory.number && damage.is_none()) {
            return Ok(());
        }
        let mut memory = Memory::clone(&known.memory);
        for change in changes {
            if change.number > memory.number + 1 {
                let gap =
                    format!("the changes from {} to {} are missing", memory.number + 1, change.number - 1);
                return Err(self.fail(key, &damage.map_or(gap.clone(), |damage| format!("{damage}; {gap}"))));
            }
            memory.take(change);
        }
        let written = memory.whole().line().and_then(|line| log::replace(&self.path(key), &line));
        written.map_err(|error| self.fail(key, &error.to_string()))
    }

    /// What is remembered now.
    pub(crate) fn get(&self, key: &EnvironmentKey) -> Result<Arc<Memory>, Error> {
        let slot = self.slot(key);
        let mut slot = slot.lock();
        Ok(self.load(&mut slot, key)?.memory.clone())
    }

    /// What an environment was last brought to as a whole; where that has never been, as with images that nobody can
    /// pull, what it is to be brought to.
    pub(crate) fn last_release(&self, key: &EnvironmentKey) -> Result<Option<Release>, Error> {
        let memory = self.get(key)?;
        let begun = || memory.syncs.iter().rev().find(|sync| !sync.partial).map(|sync| &**sync);
        Ok(memory.last_good().or_else(begun).map(|sync| sync.definition.clone()))
    }

    /// Changes what is remembered. It is on disk when this returns; if it cannot be, nothing has changed.
    pub(crate) fn change<T>(
        &self,
        key: &EnvironmentKey,
        change: impl FnOnce(&mut Memory) -> T,
    ) -> Result<T, Error> {
        let slot = self.slot(key);
        let mut slot = slot.lock();
        let known = self.load(&mut slot, key)?;
        let mut memory = Memory::clone(&known.memory);
        let result = change(&mut memory);
        let change = memory.since(&known.memory);
        if change.is_empty() {
            return Ok(result);
        }
        memory.shorten();
        memory.number = change.number;
        self.write(key, known, memory, &change).map_err(|error| self.fail(key, &error.to_string()))?;
        Ok(result)
    }

    /// Forgets an environment that is gone. Otherwise one that is made again under its name would be taken for it.
    pub(crate) fn forget(&self, key: &EnvironmentKey) -> Result<(), Error> {
        let slot = self.slot(key);
        let mut slot = slot.lock();
        *slot = None;
        if !self.path(key).exists() {
            return Ok(());
        }
        let gone = Change { gone: true, ..Memory::new(key.clone()).since(&Memory::new(key.clone())) };
        let forgotten =
            gone.line().and_then(|line| self.log.write(&line)).and_then(|()| self.remove_file(key));
        forgotten.map_err(|error| self.fail(key, &error.to_string()))
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

    fn fail(&self, key: &EnvironmentKey, what: &str) -> Error {
        Error::Records(format!("{}: {what}", self.path(key).display()))
    }

    fn load<'a>(&self, slot: &'a mut Option<Known>, key: &EnvironmentKey) -> Result<&'a mut Known, Error> {
        let known = match slot.take() {
            Some(known) => known,
            None => match self.read_file(key)? {
                (known, None) => known,
                (_, Some(damage)) => return Err(self.fail(key, &damage)),
            },
        };
        Ok(slot.insert(known))
    }

    /// What a file says, as far as it can be read, and what is wrong from there on.
    fn read_file(&self, key: &EnvironmentKey) -> Result<(Known, Option<String>), Error> {
        let fail = |what: String| self.fail(key, &what);
        let mut memory = Memory::new(key.clone());
        let text = match std::fs::read(self.path(key)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(fail(error.to_string())),
        };
        let (mut length, mut lines, mut damage) = (0, 0, None);
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            let change: Change = match serde_json::from_slice(line) {
                Ok(change) => change,
                // One that the process did not come to the end of: nobody was told of it.
                Err(_) if !line.ends_with(b"\n") && (lines > 0 || line.starts_with(BEGINNING)) => break,
                Err(error) => {
                    damage = Some(error.to_string());
                    break;
                }
            };
            if change.format > FORMAT {
                return Err(fail("a newer release has written it".to_owned()));
            }
            memory.take(change);
            length += line.len() as u64;
            lines += 1;
        }
        // The first format has no line break at its end.
        if length > 0 && !text[..usize::try_from(length).unwrap_or(text.len())].ends_with(b"\n") {
            lines = usize::MAX;
        }
        Ok((Known { memory: Arc::new(memory), length, lines }, damage))
    }

    /// Appends a change, or writes all anew where many were appended. A new file is not flushed either: the log has its
    /// first change.
    fn write(
        &self,
        key: &EnvironmentKey,
        known: &mut Known,
        memory: Memory,
        change: &Change,
    ) -> io::Result<()> {
        let path = self.path(key);
        if known.lines >= MAX_LINES + memory.syncs.len() / 4 {
            let line = memory.whole().line()?;
            log::replace(&path, &line)?;
            *known = Known { memory: Arc::new(memory), length: line.len() as u64, lines: 1 };
            // The log has every change, so that a gap in it tells of one that is lost. This one is on the disk already.
            if let Err(error) = change.line().and_then(|line| self.log.write(&line)) {
                tracing::warn!(environment = %key, %error, "the log of records lacks a change");
            }
            return Ok(());
        }
        let line = change.line()?;
        let file = File::options().create(true).write(true).truncate(false).open(&path)?;
        if file.metadata()?.len() > known.length {
            // Of a change that came to no end.
            file.set_len(known.length)?;
        }
        let written = file.write_all_at(&line, known.length).and_then(|()| self.log.write(&line));
        if let Err(error) = written {
            let _ = file.set_len(known.length);
            return Err(error);
        }
        known.memory = Arc::new(memory);
        known.length += line.len() as u64;
        known.lines += 1;
        Ok(())
    }

    /// It is gone for good when this returns.
    fn remove_file(&self, key: &EnvironmentKey) -> io::Result<()> {
        match std::fs::remove_file(self.path(key)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => File::open(&self.folder)?.sync_all(),
        }
    }
}

#[cfg(test)]
mod tests;
