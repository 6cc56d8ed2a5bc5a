//! What the revisions are that environments follow: one poll per repository and revision for all of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rand::Rng as _;
use seaway_git::{Commit, Mirrors, RepositoryUrl, Revision};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::mailbox::{Mail, Mailbox};
use crate::places::Ids;
use crate::polling::{SilentServers, pause, return_pause};
use crate::queue::Urgency;
use crate::rendering::RenderedComponent;
use crate::upstream::Merges;
use crate::view::EnvironmentKey;

/// More commits of one component are not named in a sync.
pub(crate) const MAX_COMMITS: usize = 50;

/// A repository and what is followed in it.
pub(crate) type Followed = (RepositoryUrl, Revision);

struct Entry {
    /// What it was when it last answered; why it did not while it never has.
    latest: Result<Commit, seaway_git::Error>,
    /// Why it does not answer now.
    trouble: Option<seaway_git::Error>,
    followers: HashMap<EnvironmentKey, Follower>,
}

/// An environment that follows a revision.
#[derive(Clone)]
struct Follower {
    mailbox: Arc<Mailbox>,
    /// What was made of the revision: a commit that answers all that was asked for it as before is no news. `None`:
    /// every commit is.
    made: Option<Vec<Arc<RenderedComponent>>>,
}

impl Entry {
    /// What was known stays good while the repository does not answer. Whether that is a new commit, and whether it is
    /// news that it answers or does not.
    fn take(&mut self, latest: Result<Commit, seaway_git::Error>) -> (bool, bool) {
        let before = self.trouble.as_ref().map(ToString::to_string);
        match latest {
            Ok(commit) => {
                let is_new = !self.latest.as_ref().is_ok_and(|known| known.id == commit.id);
                self.trouble = None;
                self.latest = Ok(commit);
                (is_new, before.is_some())
            }
            Err(error) => {
                let is_news = before.is_none_or(|before| before != error.to_string());
                if self.latest.is_err() {
                    self.latest = Err(error.clone());
                }
                self.trouble = Some(error);
                (false, is_news)
            }
        }
    }
}

/// The poll of a repository.
#[derive(Default)]
struct Poll {
    /// Wakes it at once.
    wake: Notify,
    /// It was woken since there is something new, for sure.
    pushed: AtomicBool,
}

/// Why a repository is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reason {
    /// It is time.
    Time,
    /// It may be open by now.
    Kicked,
    /// Somebody has pushed.
    Pushed,
}

/// All revisions that are followed.
pub(crate) struct Sources {
    /// For what nobody waits for.
    pub(crate) mirrors: Mirrors,
    /// The same for people who wait.
    pub(crate) people: Mirrors,
    /// Branches of overrides with what is upstream.
    pub(crate) merges: Merges,
    interval: Duration,
    stopping: CancellationToken,
    entries: Mutex<HashMap<Followed, Entry>>,
    /// What each environment follows.
    follows: Mutex<HashMap<EnvironmentKey, BTreeSet<Followed>>>,
    /// One for each repository that is polled.
    polls: Mutex<HashMap<RepositoryUrl, Arc<Poll>>>,
    silent: Mutex<SilentServers>,
    /// Told when anything that is followed has changed.
    pub(crate) news: Notify,
}

impl Sources {
    pub(crate) fn new(mirrors: Mirrors, interval: Duration, stopping: CancellationToken) -> Arc<Self> {
        Arc::new(Self {
            people: mirrors.for_people(),
            mirrors,
            merges: Merges::default(),
            interval,
            stopping,
            entries: Mutex::default(),
            follows: Mutex::default(),
            polls: Mutex::default(),
            silent: Mutex::default(),
            news: Notify::new(),
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
        urgency: Urgency,
    ) -> Result<Commit, seaway_git::Error> {
        self.follows.lock().entry(key.clone()).or_default().insert(followed.clone());
        let follower = Follower { mailbox: mailbox.clone(), made: None };
        if !fresh {
            let mut entries = self.entries.lock();
            if let Some(entry) = entries.get_mut(followed) {
                entry.followers.insert(key.clone(), follower);
                return entry.latest.clone();
            }
        }
        let latest = self.mirrors(urgency).fetch(&followed.0, &followed.1).await;
        let (is_new, is_news, others) = {
            let mut entries = self.entries.lock();
            let entry = entries.entry(followed.clone()).or_insert_with(|| Entry {
                latest: latest.clone(),
                trouble: None,
                followers: HashMap::new(),
            });
            let (is_new, is_news) = entry.take(latest.clone());
            let others = entry.followers.iter().filter(|(other, _)| *other != key);
            let others: Vec<Follower> = others.map(|(_, follower)| follower.clone()).collect();
            entry.followers.insert(key.clone(), follower);
            (is_new, is_news, others)
        };
        if is_news {
            self.news.notify_one();
            others.iter().for_each(|other| other.mailbox.put(Mail::Trouble));
        }
        // The poll will find nothing new any more.
        if let (Ok(commit), true) = (&latest, is_new && !others.is_empty()) {
            for other in self.concerned(&followed.0, commit.clone(), others).await {
                other.mailbox.put(Mail::Source);
            }
        }
        // A commit stays what it is.
        if !matches!(followed.1, Revision::Commit(_)) || latest.is_err() {
            self.poll(&followed.0);
        }
        latest
    }

    /// The mirrors, for who asks.
    pub(crate) fn mirrors(&self, urgency: Urgency) -> &Mirrors {
        match urgency {
            Urgency::Person => &self.people,
            Urgency::Background => &self.mirrors,
        }
    }

    /// What a followed revision is, as far as that is known.
    pub(crate) fn known(&self, followed: &Followed) -> Option<Commit> {
        self.entries.lock().get(followed).and_then(|entry| entry.latest.clone().ok())
    }

    /// Why a followed revision cannot be read now.
    pub(crate) fn trouble(&self, followed: &Followed) -> Option<seaway_git::Error> {
        self.entries.lock().get(followed)?.trouble.clone()
    }

    /// Whether a revision is followed by anybody; if it is, whether it can be read now.
    pub(crate) fn readable(&self, followed: &Followed) -> Option<Result<(), seaway_git::Error>> {
        self.entries.lock().get(followed).map(|entry| entry.trouble.clone().map_or(Ok(()), Err))
    }

    /// An environment has made this of what it follows: from now on it hears of commits that answer otherwise alone. What
    /// is not among it is told of every commit.
    pub(crate) fn made(&self, key: &EnvironmentKey, made: BTreeMap<Followed, Vec<Arc<RenderedComponent>>>) {
        let mut entries = self.entries.lock();
        for (followed, made) in made {
            let follower = entries.get_mut(&followed).and_then(|entry| entry.followers.get_mut(key));
            if let Some(follower) = follower {
                follower.made = Some(made);
            }
        }
    }

    /// An environment follows these, and nothing else any more.
    pub(crate) fn keep_only(&self, key: &EnvironmentKey, kept: &BTreeSet<Followed>) {
        let left: Vec<Followed> = {
            let mut follows = self.follows.lock();
            let Some(known) = follows.get_mut(key) else { return };
            let left = known.iter().filter(|followed| !kept.contains(followed)).cloned().collect();
            known.retain(|followed| kept.contains(followed));
            if known.is_empty() {
                follows.remove(key);
            }
            left
        };
        let mut entries = self.entries.lock();
        for followed in left {
            if let Some(entry) = entries.get_mut(&followed) {
                entry.followers.remove(key);
                if entry.followers.is_empty() {
                    entries.remove(&followed);
                }
            }
        }
    }

    /// Asks these repositories at once: they may be open by now.
    pub(crate) fn kick(&self, which: impl Fn(&RepositoryUrl) -> bool) {
        let polls = self.polls.lock();
        let meant = polls.iter().filter(|(repository, _)| which(repository));
        meant.for_each(|(_, poll)| poll.wake.notify_one());
    }

    /// Somebody has pushed to these repositories: they are asked at once, also where their server did not answer before.
    /// How many are followed.
    pub(crate) fn pushed(&self, which: impl Fn(&RepositoryUrl) -> bool) -> usize {
        let polls = self.polls.lock();
        let meant = polls.iter().filter(|(repository, _)| which(repository)).map(|(_, poll)| {
            poll.pushed.store(true, Ordering::SeqCst);
            poll.wake.notify_one();
        });
        meant.count()
    }

    fn poll(self: &Arc<Self>, repository: &RepositoryUrl) {
        let mut polls = self.polls.lock();
        if polls.contains_key(repository) {
            return;
        }
        let poll = Arc::<Poll>::default();
        polls.insert(repository.clone(), poll.clone());
        tokio::spawn(self.clone().poll_for_ever(repository.clone(), poll));
    }

    async fn poll_for_ever(self: Arc<Self>, repository: RepositoryUrl, poll: Arc<Poll>) {
        let mut failures: u32 = 0;
        // Its server did not answer when it was asked last; or it does again.
        let (mut waits, mut returned) = (false, false);
        loop {
            let jitter = rand::rng().random_range(0.0..1.0);
            let pause = match returned {
                true => return_pause(self.interval, jitter),
                false => pause(self.interval, failures, jitter),
            };
            let reason = tokio::select! {
                () = self.stopping.cancelled() => return,
                () = poll.wake.notified() => match poll.pushed.swap(false, Ordering::SeqCst) {
                    true => Reason::Pushed,
                    false => Reason::Kicked,
                },
                () = tokio::time::sleep(pause) => Reason::Time,
                () = self.mirrors.until_not_silent(&repository), if waits => {
                    (waits, returned) = (false, true);
                    continue;
                }
            };
            returned = false;
            let silent = self.mirrors.is_silent(&repository);
            if reason == Reason::Time
                && silent
                && !self.silent.lock().may_ask(&repository, Instant::now(), self.interval)
            {
                self.not_asked(&repository);
                waits = true;
                continue;
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
                self.polls.lock().insert(repository.clone(), poll.clone());
                continue;
            }
            let mut failed = false;
            for revision in revisions {
                failed |= !self.look(&(repository.clone(), revision), reason).await;
            }
            failures = if failed { failures.saturating_add(1) } else { 0 };
            waits = failed && (silent || self.mirrors.is_silent(&repository));
        }
    }

    /// The server of a repository does not answer others: that is shown of what is followed in it as well.
    fn not_asked(&self, repository: &RepositoryUrl) {
        let error = seaway_git::Error::silent(repository);
        let mut followers = Vec::new();
        {
            let mut entries = self.entries.lock();
            let untold =
                entries.iter_mut().filter(|((url, _), entry)| url == repository && entry.trouble.is_none());
            for (_, entry) in untold {
                entry.take(Err(error.clone()));
                followers.extend(entry.followers.values().cloned());
            }
        }
        if !followers.is_empty() {
            self.news.notify_one();
            followers.iter().for_each(|follower| follower.mailbox.put(Mail::Trouble));
        }
    }

    /// Whether the repository answered. Where news are expected, they are fetched without asking first.
    async fn look(&self, followed: &Followed, reason: Reason) -> bool {
        let mirrors = match reason {
            // Polls may be in line there.
            Reason::Pushed if !self.mirrors.answers(&followed.0) => &self.people,
            _ => &self.mirrors,
        };
        let now = match reason {
            Reason::Kicked | Reason::Pushed => None,
            Reason::Time => Some(mirrors.ls_remote(&followed.0, &followed.1).await),
        };
        let Some(known) = self.entries.lock().get(followed).map(|entry| entry.latest.clone()) else {
            return true;
        };
        let before = known.as_ref().ok().map(|commit| commit.id.clone());
        let latest = match (now, known) {
            (Some(Ok(now)), Ok(known)) if now.id == known.id => Ok(known),
            (None | Some(Ok(_)), _) => mirrors.fetch(&followed.0, &followed.1).await,
            (Some(Err(error)), _) => Err(error),
        };
        let answer = latest.clone();
        let (is_new, is_news, followers) = {
            let mut entries = self.entries.lock();
            let Some(entry) = entries.get_mut(followed) else { return true };
            let (is_new, is_news) = entry.take(latest);
            let concerned = is_new || is_news;
            let followers: Vec<Follower> =
                if concerned { entry.followers.values().cloned().collect() } else { Vec::new() };
            (is_new, is_news, followers)
        };
        if is_new || is_news {
            self.news.notify_one();
        }
        let tell = |followers: Vec<Follower>, mail: fn() -> Mail| {
            followers.iter().for_each(|follower| follower.mailbox.put(mail()));
        };
        match answer {
            Ok(commit) if is_new => {
                // Whoever has shown that it did not answer shows that it does.
                let everybody = if is_news { followers.clone() } else { Vec::new() };
                let new = commit.id.clone();
                let history = async {
                    if let Some(before) = &before {
                        // Everybody who is concerned asks for it: the answer is kept.
                        let _ =
                            self.mirrors.commits_between(&followed.0, Some(before), &new, MAX_COMMITS).await;
                    }
                };
                let (concerned, ()) = tokio::join!(self.concerned(&followed.0, commit, followers), history);
                tell(concerned, || Mail::Source);
                tell(everybody, || Mail::Trouble);
                true
            }
            Ok(_) => {
                tell(followers, || Mail::Trouble);
                true
            }
            Err(error) => {
                tracing::debug!(repository = %followed.0, %error, "a repository does not answer");
                tell(followers, || Mail::Trouble);
                false
            }
        }
    }

    /// Those for whom a commit changes anything. Environments with a directory each in a large repository are not all
    /// looked at for each commit.
    async fn concerned(
        &self,
        url: &RepositoryUrl,
        commit: Commit,
        followers: Vec<Follower>,
    ) -> Vec<Follower> {
        let (mirrors, repository, everybody) = (self.mirrors.clone(), url.clone(), followers.clone());
        let began = Instant::now();
        // Reads from disk.
        let decided = tokio::task::spawn_blocking(move || {
            let Ok(tree) = mirrors.tree(&repository, &commit.id) else { return followers };
            let mut ids = Ids::new();
            let mut holds = |follower: &Follower| {
                let made = follower.made.as_ref();
                made.is_some_and(|made| made.iter().all(|component| component.holds_in(&tree, &mut ids)))
            };
            followers.into_iter().filter(|follower| !holds(follower)).collect()
        });
        let all = everybody.len();
        let concerned = decided.await.unwrap_or(everybody);
        let milliseconds = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::debug!(repository = %url, all, concerned = concerned.len(), milliseconds, "a commit has come");
        concerned
    }
}
