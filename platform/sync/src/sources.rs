//! What the revisions are that environments follow: one poll per repository and revision for all of them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand::Rng as _;
use seaway_git::{Commit, Mirrors, RepositoryUrl, Revision};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::mailbox::{Mail, Mailbox};
use crate::upstream::Merges;
use crate::view::EnvironmentKey;

/// A repository and what is followed in it.
pub(crate) type Followed = (RepositoryUrl, Revision);

struct Entry {
    /// What it was when it was last asked.
    latest: Result<Commit, seaway_git::Error>,
    followers: HashMap<EnvironmentKey, Arc<Mailbox>>,
}

/// All revisions that are followed.
pub(crate) struct Sources {
    pub(crate) mirrors: Mirrors,
    /// Branches of overrides with what is upstream.
    pub(crate) merges: Merges,
    interval: Duration,
    stopping: CancellationToken,
    entries: Mutex<HashMap<Followed, Entry>>,
    /// One for each repository that is polled: wakes its poll at once.
    polls: Mutex<HashMap<RepositoryUrl, Arc<Notify>>>,
}

impl Sources {
    pub(crate) fn new(mirrors: Mirrors, interval: Duration, stopping: CancellationToken) -> Arc<Self> {
        let merges = Merges::default();
        Arc::new(Self {
            mirrors,
            merges,
            interval,
            stopping,
            entries: Mutex::default(),
            polls: Mutex::default(),
        })
    }

    /// What a followed revision is, as far as that is known; it is fetched when nobody has asked for it before, or
    /// when `fresh` news are wanted. Its environment hears of changes from now on.
    pub(crate) async fn follow(
        self: &Arc<Self>,
        followed: &Followed,
        key: &EnvironmentKey,
        mailbox: &Arc<Mailbox>,
        fresh: bool,
    ) -> Result<Commit, seaway_git::Error> {
        if !fresh {
            let mut entries = self.entries.lock();
            if let Some(entry) = entries.get_mut(followed) {
                entry.followers.insert(key.clone(), mailbox.clone());
                return entry.latest.clone();
            }
        }
        let latest = self.mirrors.fetch(&followed.0, &followed.1).await;
        {
            let mut entries = self.entries.lock();
            let entry = entries
                .entry(followed.clone())
                .or_insert_with(|| Entry { latest: latest.clone(), followers: HashMap::new() });
            entry.latest = latest.clone();
            entry.followers.insert(key.clone(), mailbox.clone());
        }
        // A commit stays what it is.
        if !matches!(followed.1, Revision::Commit(_)) || latest.is_err() {
            self.poll(&followed.0);
        }
        latest
    }

    /// What a followed revision is, as far as that is known.
    pub(crate) fn known(&self, followed: &Followed) -> Option<Commit> {
        self.entries.lock().get(followed).and_then(|entry| entry.latest.clone().ok())
    }

    /// An environment follows these, and nothing else any more.
    pub(crate) fn keep_only(&self, key: &EnvironmentKey, kept: &BTreeSet<Followed>) {
        self.entries.lock().retain(|followed, entry| {
            if !kept.contains(followed) {
                entry.followers.remove(key);
            }
            !entry.followers.is_empty()
        });
    }

    /// Asks these repositories at once: somebody has pushed, or they may be open by now. How many are followed.
    pub(crate) fn kick(&self, which: impl Fn(&RepositoryUrl) -> bool) -> usize {
        let polls = self.polls.lock();
        polls.iter().filter(|(repository, _)| which(repository)).map(|(_, wake)| wake.notify_one()).count()
    }

    fn poll(self: &Arc<Self>, repository: &RepositoryUrl) {
        let mut polls = self.polls.lock();
        if polls.contains_key(repository) {
            return;
        }
        let wake = Arc::new(Notify::new());
        polls.insert(repository.clone(), wake.clone());
        tokio::spawn(self.clone().poll_for_ever(repository.clone(), wake));
    }

    async fn poll_for_ever(self: Arc<Self>, repository: RepositoryUrl, wake: Arc<Notify>) {
        let mut failures: u32 = 0;
        loop {
            // Many repositories on one server are not asked all at once; one that fails is asked less often.
            let jitter = rand::rng().random_range(0.8..1.2);
            let pause = self.interval.mul_f64(jitter).saturating_mul(1 << failures.min(4));
            tokio::select! {
                () = self.stopping.cancelled() => return,
                () = wake.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
            let revisions: Vec<Revision> = {
                let entries = self.entries.lock();
                entries.keys().filter(|(url, _)| *url == repository).map(|(_, r)| r.clone()).collect()
            };
            if revisions.is_empty() {
                self.polls.lock().remove(&repository);
                // Somebody may have begun to follow in between.
                if !self.entries.lock().keys().any(|(url, _)| *url == repository) {
                    return;
                }
                self.polls.lock().insert(repository.clone(), wake.clone());
                continue;
            }
            let mut failed = false;
            for revision in revisions {
                failed |= !self.look(&(repository.clone(), revision)).await;
            }
            failures = if failed { failures.saturating_add(1) } else { 0 };
        }
    }

    /// Whether the repository answered.
    async fn look(&self, followed: &Followed) -> bool {
        let now = self.mirrors.ls_remote(&followed.0, &followed.1).await;
        let known = self.entries.lock().get(followed).map(|entry| entry.latest.clone());
        let latest = match (now, known) {
            (_, None) => return true,
            (Ok(now), Some(Ok(known))) if now.id == known.id => return true,
            (Ok(_), _) => self.mirrors.fetch(&followed.0, &followed.1).await,
            (Err(error), _) => Err(error),
        };
        let (answered, followers) = {
            let mut entries = self.entries.lock();
            let Some(entry) = entries.get_mut(followed) else { return true };
            let changed = match (&entry.latest, &latest) {
                (Ok(a), Ok(b)) => a.id != b.id,
                (Err(a), Err(b)) => a.to_string() != b.to_string(),
                _ => true,
            };
            let answered = latest.is_ok();
            // What was known stays good while the repository does not answer.
            if answered || entry.latest.is_err() {
                entry.latest = latest;
            } else if let Err(error) = latest {
                tracing::debug!(repository = %followed.0, %error, "a repository does not answer");
            }
            let followers: Vec<Arc<Mailbox>> = entry.followers.values().cloned().collect();
            (answered, if changed { followers } else { Vec::new() })
        };
        for mailbox in followers {
            mailbox.put(if answered { Mail::Source } else { Mail::Trouble });
        }
        answered
    }
}
