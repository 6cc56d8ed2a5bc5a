//! One bare mirror per repository.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use seaway_source::{CommitTree, ObjectDatabase};
use tokio::sync::watch;

use crate::files;
use crate::folder::Folder;
use crate::history::{self, Commit, CommitRange};
use crate::inflight::InFlight;
use crate::program::{Call, Failure, Program};
use crate::remote::{self, Connection, RemoteRef};
use crate::session::Session;
use crate::slots::{People, Person};
use crate::{CommitId, CredentialSet, Error, OutgoingPolicy, RepositoryUrl, Revision};

/// A question without transfer of objects gets no more time than this.
const MAX_QUESTION_TIME: Duration = Duration::from_secs(30);
/// More packs than this are joined into one.
const MAX_PACKS: usize = 30;
/// Commits that were asked for by id are remembered up to this many per mirror.
const MAX_KNOWN: usize = 10_000;
/// As many questions for the commits between two are remembered per mirror.
const MAX_RANGES: usize = 64;
/// So many commits' files are looked at without looking the commit up again, per mirror.
const MAX_TREES: usize = 16;
/// More commits are not returned at once.
const MAX_COMMITS: usize = 1000;
/// How many branches an error names.
const MAX_NAMED: usize = 5;

/// How repositories are fetched.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where connections may go.
    pub policy: OutgoingPolicy,
    /// How long one run of `git` may take.
    pub time_limit: Duration,
    /// The most bytes a mirror may have on disk.
    pub max_size: u64,
    /// How many runs of `git` work at once. Those that wait for servers which do not answer are not among them: of them
    /// there are four times as many at most.
    pub concurrency: usize,
    /// The `git` program: a path, or a name looked up in `PATH`.
    pub git: PathBuf,
    /// The `ssh` program, likewise.
    pub ssh: PathBuf,
    /// Where no credentials are set for an ssh URL, use the configuration, keys and agent of the user who runs
    /// this. Only for a command line.
    pub own_ssh: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            policy: OutgoingPolicy::default(),
            time_limit: Duration::from_secs(300),
            max_size: 4 << 30,
            concurrency: 8,
            git: PathBuf::from("git"),
            ssh: PathBuf::from("ssh"),
            own_ssh: false,
        }
    }
}

/// The mirrors below one folder. Cheap to clone. Several processes may share the folder.
#[derive(Clone)]
pub struct Mirrors(pub(crate) Arc<Shared>, Urgency);

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Urgency {
    /// Nobody who waits.
    Poll,
    Person,
}

pub(crate) struct Shared {
    root: PathBuf,
    pub(crate) options: Options,
    pub(crate) program: Program,
    credentials: RwLock<Arc<CredentialSet>>,
    mirrors: Mutex<HashMap<RepositoryUrl, Arc<Mirror>>>,
}

/// From (not included) where to where, and at most how many.
type Range = (CommitId, CommitId, usize);

/// Absent until the fetch has ended.
type Answer = Option<Result<Commit, Error>>;

pub(crate) struct Mirror {
    pub(crate) url: RepositoryUrl,
    pub(crate) folder: Folder,
    /// Held while `git` writes; true when a killed `git` may have left something.
    pub(crate) exclusive: tokio::sync::Mutex<bool>,
    /// Who waits for anything of it: then all of it is urgent, as one thing waits for another.
    pub(crate) people: People,
    /// Fetches that have not begun yet. Who asks for the same meanwhile waits for them, but people not for polls, which
    /// may have asked a server in vain by then.
    queued: Mutex<HashMap<(Revision, Urgency), watch::Receiver<Answer>>>,
    pub(crate) pushes: InFlight,
    /// Commits by id: they never change.
    known: Mutex<HashMap<CommitId, Commit>>,
    /// What lies between two commits: neither does that.
    ranges: Mutex<HashMap<Range, CommitRange>>,
    objects: Mutex<Option<ObjectDatabase>>,
    /// Files of commits that were asked for lately, latest last.
    trees: Mutex<VecDeque<(CommitId, CommitTree)>>,
}

impl Mirror {
    /// A run in the mirror.
    pub(crate) fn call(&self) -> Call<'_> {
        Call { repository: Some(&self.folder.repository), people: Some(&self.people), ..Call::default() }
    }

    /// A run that asks the other side something.
    fn question<'a>(&'a self, connection: &'a Connection) -> Call<'a> {
        Call { connection: Some(connection), asks: true, people: Some(&self.people), ..Call::default() }
    }
}

impl Mirrors {
    /// The mirrors below `folder`, which is made when it is absent.
    pub fn open(folder: &Path, options: Options) -> Result<Self, Error> {
        let io = |error| Error::io(folder, error);
        std::fs::create_dir_all(folder).map_err(io)?;
        let root = folder.canonicalize().map_err(io)?;
        files::remove_forgotten_files(&root);
        let program = Program::new(options.git.clone(), root.clone(), options.concurrency);
        let shared =
            Shared { root, options, program, credentials: RwLock::default(), mirrors: Mutex::default() };
        Ok(Self(Arc::new(shared), Urgency::Poll))
    }

    /// The same mirrors for somebody who waits: what is asked for by this goes before what others ask for, and there is
    /// always room for some of it.
    pub fn for_people(&self) -> Self {
        Self(Arc::clone(&self.0), Urgency::Person)
    }

    /// Whether the server of a repository answered when it was asked last. One that nobody has asked yet does not.
    pub fn answers(&self, url: &RepositoryUrl) -> bool {
        remote::host(url).is_none_or(|host| self.0.program.slots.answers(&host))
    }

    /// Whether the server of a repository has not answered several times, one after the other.
    pub fn is_silent(&self, url: &RepositoryUrl) -> bool {
        remote::host(url).is_some_and(|host| self.0.program.slots.is_silent(&host))
    }

    /// Waits until [`Self::is_silent`] does not hold: somebody else has got an answer.
    pub async fn until_not_silent(&self, url: &RepositoryUrl) {
        if let Some(host) = remote::host(url) {
            self.0.program.slots.until_not_silent(&host).await;
        }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.0.root
    }

    /// The one way out, for others who ask the same hosts.
    pub fn dialer(&self) -> crate::Dialer {
        crate::Dialer::new(self.0.options.policy)
    }

    /// Use these credentials from now on. They belong to URLs, not to who asks: whoever may name a URL gets what
    /// they open.
    pub fn set_credentials(&self, credentials: CredentialSet) {
        *self.0.credentials.write() = Arc::new(credentials);
    }

    /// Bring a revision into the mirror and say which commit it is now.
    ///
    /// A commit that is named by its full id and was fetched before costs nothing. Otherwise the remote repository is
    /// asked. Who asks for the same while a fetch waits for its turn gets that fetch's answer. The fetch goes on when
    /// the caller does not wait for it.
    pub async fn fetch(&self, url: &RepositoryUrl, revision: &Revision) -> Result<Commit, Error> {
        let mirror = self.mirror(url);
        if let Revision::Commit(id) = revision
            && let Some(commit) = mirror.known.lock().get(id)
        {
            return Ok(commit.clone());
        }
        let _waits = self.join(&mirror);
        let mut answer = {
            let mut queued = mirror.queued.lock();
            let question = (revision.clone(), self.1);
            match queued.get(&question) {
                Some(answer) => answer.clone(),
                None => {
                    let (sender, answer) = watch::channel(None);
                    queued.insert(question.clone(), answer.clone());
                    let (mirrors, mirror) = (self.clone(), Arc::clone(&mirror));
                    tokio::spawn(async move { mirrors.fetch_in_turn(&mirror, question, sender).await });
                    answer
                }
            }
        };
        let answer = answer.wait_for(Option::is_some).await.ok().and_then(|answer| answer.clone());
        answer.unwrap_or_else(|| {
            Err(Error::Failed { url: url.clone(), reason: "the fetch was interrupted".to_owned() })
        })
    }

    /// What a revision is on the remote side now, without fetching it. A commit's full id is taken as it is.
    pub async fn ls_remote(&self, url: &RepositoryUrl, revision: &Revision) -> Result<RemoteRef, Error> {
        if let Revision::Commit(id) = revision {
            return Ok(RemoteRef { id: id.clone(), name: id.to_string() });
        }
        let mirror = self.mirror(url);
        let _waits = self.join(&mirror);
        let connection = self.connection(url).await?;
        match self.look_up(url, revision, &connection).await? {
            Some(found) => Ok(found),
            None => Err(self.not_found(url, revision, &connection).await),
        }
    }

    /// The files of a commit that was fetched. Reads from disk.
    pub fn tree(&self, url: &RepositoryUrl, id: &CommitId) -> Result<CommitTree, Error> {
        let mirror = self.mirror(url);
        if !mirror.folder.exists() {
            return Err(Error::CommitNotFetched { url: url.clone(), id: id.to_string() });
        }
        if let Some((_, tree)) = mirror.trees.lock().iter().find(|(known, _)| known == id) {
            return Ok(tree.clone());
        }
        let tree = |source| Error::Tree { url: url.clone(), source };
        let mut slot = mirror.objects.lock();
        let objects = match &*slot {
            Some(objects) => objects.clone(),
            None => slot.insert(ObjectDatabase::open(&mirror.folder.repository).map_err(tree)?).clone(),
        };
        drop(slot);
        let found = objects.commit(id.as_str()).map_err(tree)?;
        let mut trees = mirror.trees.lock();
        if trees.len() >= MAX_TREES {
            trees.pop_front();
        }
        trees.push_back((id.clone(), found.clone()));
        Ok(found)
    }

    /// The commits that `new` has and `old` has not, newest first, at most `limit` (1000 at the most). Without `old`,
    /// or when it is not in the mirror any more, the newest ones.
    pub async fn commits_between(
        &self,
        url: &RepositoryUrl,
        old: Option<&CommitId>,
        new: &CommitId,
        limit: usize,
    ) -> Result<CommitRange, Error> {
        let mirror = self.mirror(url);
        let limit = limit.clamp(1, MAX_COMMITS);
        let not_fetched = || Error::CommitNotFetched { url: url.clone(), id: new.to_string() };
        if !mirror.folder.exists() {
            return Err(not_fetched());
        }
        let _waits = self.join(&mirror);
        // Many environments ask for the same.
        let range = old.map(|old| (old.clone(), new.clone(), limit));
        if let Some(known) = range.as_ref().and_then(|range| mirror.ranges.lock().get(range).cloned()) {
            return Ok(known);
        }
        let mut old = old;
        loop {
            let mut arguments = history::log(limit + 1);
            arguments.push(new.to_string());
            arguments.extend(old.map(|old| format!("^{old}")));
            arguments.push("--".to_owned());
            let call = mirror.call();
            match self.0.program.run(call, &arguments, self.question_time()).await {
                Ok(output) => {
                    let mut commits = history::parse(&output)?;
                    let complete = commits.len() <= limit && old.is_some();
                    commits.truncate(limit);
                    let found = CommitRange { commits, complete };
                    if let (Some(range), Some(_)) = (range, old) {
                        let mut ranges = mirror.ranges.lock();
                        if ranges.len() >= MAX_RANGES {
                            ranges.clear();
                        }
                        ranges.insert(range, found.clone());
                    }
                    return Ok(found);
                }
                Err(Failure::Exit(message)) if is_missing(&message) => {
                    if message.contains(new.as_str()) {
                        return Err(not_fetched());
                    }
                    // Not the new one, so the old one: forgotten, or of another repository.
                    if old.take().is_none() {
                        return Err(not_fetched());
                    }
                }
                Err(failure) => return Err(self.explain(url, failure, None)),
            }
        }
    }

    pub(crate) fn mirror(&self, url: &RepositoryUrl) -> Arc<Mirror> {
        let mut mirrors = self.0.mirrors.lock();
        let mirror = mirrors.entry(url.clone()).or_insert_with(|| {
            Arc::new(Mirror {
                url: url.clone(),
                folder: Folder::of(url, &self.0.root),
                exclusive: tokio::sync::Mutex::new(true),
                people: People::default(),
                queued: Mutex::default(),
                pushes: InFlight::default(),
                known: Mutex::default(),
                ranges: Mutex::default(),
                objects: Mutex::default(),
                trees: Mutex::default(),
            })
        });
        Arc::clone(mirror)
    }

    pub(crate) async fn connection(&self, url: &RepositoryUrl) -> Result<Connection, Error> {
        let credentials = Arc::clone(&self.0.credentials.read());
        Connection::prepare(url, &self.0.options, credentials.find(url), &self.0.root).await
    }

    /// While this lives, a person waits for a mirror, if it is a person who asks.
    pub(crate) fn join(&self, mirror: &Mirror) -> Option<Person> {
        (self.1 == Urgency::Person).then(|| {
            let person = mirror.people.join();
            self.0.program.slots.reconsider();
            person
        })
    }

    /// Asks a server that is not known to answer something short, before it gets the time that a transfer may take.
    pub(crate) async fn knock(&self, mirror: &Mirror, connection: &Connection) -> Result<(), Failure> {
        let (Some(host), slots) = (connection.host(), &self.0.program.slots) else { return Ok(()) };
        if slots.answers(host) {
            return Ok(());
        }
        let call = mirror.question(connection);
        let url = mirror.url.to_string();
        let arguments = ["ls-remote", "--quiet", "--", &url, "HEAD"];
        tokio::select! {
            result = self.0.program.run(call, &arguments, self.question_time()) => result.map(drop),
            // To somebody else.
            () = slots.until_answers(host) => Ok(()),
        }
    }

    async fn fetch_in_turn(
        self,
        mirror: &Mirror,
        question: (Revision, Urgency),
        answer: watch::Sender<Answer>,
    ) {
        let revision = &question.0;
        // Nobody else waits meanwhile. A commit may be in the mirror already.
        if !matches!(revision, Revision::Commit(_))
            && !self.answers(&mirror.url)
            && let Err(error) = self.knock_first(mirror).await
        {
            mirror.queued.lock().remove(&question);
            tracing::debug!(url = %mirror.url, %revision, %error, "the server does not answer");
            answer.send_replace(Some(Err(error)));
            return;
        }
        let mut dirty = mirror.exclusive.lock().await;
        // From here on a push may come too late for this fetch: who asks now gets the next one.
        mirror.queued.lock().remove(&question);
        let lock = match mirror.folder.lock(&mirror.url, self.0.options.time_limit).await {
            Ok(lock) => lock,
            Err(error) => {
                answer.send_replace(Some(Err(error)));
                return;
            }
        };
        let result = self.fetch_exclusively(mirror, revision, &lock, &mut dirty).await;
        if let Err(error) = &result {
            tracing::debug!(url = %mirror.url, %revision, %error, "fetch failed");
        }
        answer.send_replace(Some(result));
        self.tidy(mirror, &lock, &mut dirty).await;
    }

    /// Join the packs when there are many.
    pub(crate) async fn tidy(&self, mirror: &Mirror, lock: &File, dirty: &mut bool) {
        if mirror.folder.packs() > MAX_PACKS {
            // Objects that nothing names any more stay for two weeks (git-gc(1)).
            let call = Call { lock: Some(lock), ..mirror.call() };
            if let Err(failure) =
                self.0.program.run(call, &["gc", "--quiet"], self.0.options.time_limit).await
            {
                *dirty = true;
                tracing::warn!(url = %mirror.url, ?failure, "the mirror could not be packed");
            }
        }
    }

    async fn knock_first(&self, mirror: &Mirror) -> Result<(), Error> {
        let connection = self.connection(&mirror.url).await?;
        let answer = self.knock(mirror, &connection).await;
        answer.map_err(|failure| self.explain(&mirror.url, failure, Some(&connection)))
    }

    async fn fetch_exclusively(
        &self,
        mirror: &Mirror,
        revision: &Revision,
        lock: &File,
        dirty: &mut bool,
    ) -> Result<Commit, Error> {
        let connection = self.connection(&mirror.url).await?;
        self.fetch_in(&mut Session::new(self, mirror, lock, connection), revision, dirty).await
    }

    /// Fetch, and begin anew when the mirror turns out to be damaged.
    pub(crate) async fn fetch_in(
        &self,
        session: &mut Session<'_>,
        revision: &Revision,
        dirty: &mut bool,
    ) -> Result<Commit, Error> {
        let mirror = session.mirror;
        let mut result = session.fetch(revision, dirty).await;
        // Looking through the whole mirror takes a while: only when nothing else explains it.
        if matches!(result, Err(Error::Failed { .. } | Error::NotACommit { .. }))
            && session.is_damaged().await
        {
            tracing::warn!(url = %mirror.url, "the mirror is damaged and is fetched anew");
            *mirror.objects.lock() = None;
            mirror.trees.lock().clear();
            mirror.known.lock().clear();
            mirror.folder.remove()?;
            result = session.fetch(revision, dirty).await;
        }
        *dirty |= session.killed;
        if session.created && matches!(result, Err(Error::TooLarge { .. })) {
            mirror.folder.remove()?;
        }
        let commit = result?;
        if let Revision::Commit(id) = revision {
            let mut known = mirror.known.lock();
            if known.len() >= MAX_KNOWN {
                known.clear();
            }
            known.insert(id.clone(), commit.clone());
        }
        Ok(commit)
    }

    /// Asks the remote side for a branch, tag or other name.
    pub(crate) async fn look_up(
        &self,
        url: &RepositoryUrl,
        revision: &Revision,
        connection: &Connection,
    ) -> Result<Option<RemoteRef>, Error> {
        let candidates = remote::candidates(revision);
        let mut arguments = vec!["ls-remote".to_owned(), "--quiet".to_owned()];
        if matches!(revision, Revision::Name(_)) {
            // Lets the server leave out the rest, such as thousands of merge requests.
            arguments.extend(["--heads".to_owned(), "--tags".to_owned()]);
        }
        arguments.extend(["--".to_owned(), url.to_string()]);
        for candidate in &candidates {
            arguments.extend([candidate.clone(), format!("{candidate}^{{}}")]);
        }
        let mirror = self.mirror(url);
        let call = mirror.question(connection);
        let output = self.0.program.run(call, &arguments, self.question_time()).await;
        let refs =
            remote::parse_refs(&output.map_err(|failure| self.explain(url, failure, Some(connection)))?);
        // A pattern of ls-remote also matches the end of longer names.
        let found = candidates.iter().find_map(|candidate| refs.iter().find(|(name, _)| name == candidate));
        match found {
            None => Ok(None),
            Some((name, id)) => match id.parse() {
                Ok(id) => Ok(Some(RemoteRef { id, name: name.clone() })),
                Err(_) => Err(Error::ObjectFormat { url: url.clone() }),
            },
        }
    }

    /// The error for a revision that is not there.
    pub(crate) async fn not_found(
        &self,
        url: &RepositoryUrl,
        revision: &Revision,
        connection: &Connection,
    ) -> Error {
        let url_text = url.to_string();
        let mirror = self.mirror(url);
        let call = mirror.question(connection);
        let everything = ["ls-remote", "--quiet", "--", &url_text];
        let known = match self.0.program.run(call, &everything, self.question_time()).await {
            Ok(output) if output.is_empty() => return Error::Empty { url: url.clone() },
            Ok(output) => remote::parse_refs(&output)
                .into_iter()
                .filter_map(|(name, _)| name.strip_prefix("refs/heads/").map(str::to_owned))
                .take(MAX_NAMED)
                .collect(),
            Err(Failure::TooMuchOutput) => Vec::new(),
            Err(failure) => return self.explain(url, failure, Some(connection)),
        };
        Error::RevisionNotFound { url: url.clone(), revision: revision.clone(), known }
    }

    pub(crate) fn explain(
        &self,
        url: &RepositoryUrl,
        failure: Failure,
        connection: Option<&Connection>,
    ) -> Error {
        remote::explain(url, failure, connection, self.0.program.path(), self.0.options.max_size)
    }

    pub(crate) fn question_time(&self) -> Duration {
        self.0.options.time_limit.min(MAX_QUESTION_TIME)
    }
}

/// The messages of git-log(1) for an object that is not there.
pub(crate) fn is_missing(message: &str) -> bool {
    ["bad object", "bad revision", "unknown revision", "not a valid object", "not a valid commit name"]
        .iter()
        .any(|m| message.contains(m))
}
