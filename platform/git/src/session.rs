//! One fetch, and what a push shares with it.

use std::fs::File;

use sha2::{Digest as _, Sha256};

use crate::history::{self, Commit};
use crate::mirrors::{Mirror, Mirrors};
use crate::program::{Call, Ended, Failure};
use crate::remote::{self, Connection};
use crate::{CommitId, Error, Revision};

/// Names of the remote side, each as one path part: no name is in the way of another.
const FOLLOWED: &str = "refs/followed/";
/// Commits that are kept whatever becomes of the names on the remote side: pinned ones, and force-pushed away ones.
const KEPT: &str = "refs/kept/";
/// All branches and tags, fetched when a server does not give a commit by its id.
const EVERYTHING: [&str; 2] = ["+refs/heads/*:refs/all/heads/*", "+refs/tags/*:refs/all/tags/*"];

/// One fetch, while nobody else writes to the mirror.
pub(crate) struct Session<'a> {
    pub(crate) mirrors: &'a Mirrors,
    pub(crate) mirror: &'a Mirror,
    lock: &'a File,
    pub(crate) connection: Connection,
    /// A `git` was ended before its end.
    pub(crate) killed: bool,
    /// There was no mirror before.
    pub(crate) created: bool,
}

impl<'a> Session<'a> {
    pub(crate) fn new(
        mirrors: &'a Mirrors,
        mirror: &'a Mirror,
        lock: &'a File,
        connection: Connection,
    ) -> Self {
        Self { mirrors, mirror, lock, connection, killed: false, created: false }
    }

    pub(crate) async fn fetch(&mut self, revision: &Revision, dirty: &mut bool) -> Result<Commit, Error> {
        if *dirty {
            self.mirror.folder.clean()?;
            *dirty = false;
        }
        if !self.mirror.folder.exists() {
            self.create().await?;
        }
        match revision {
            Revision::Commit(id) => self.fetch_commit(id).await,
            Revision::Head | Revision::Ref(_) => {
                let name = remote::candidates(revision).remove(0);
                match self.follow(&name, revision).await? {
                    Some(commit) => Ok(commit),
                    None => Err(self.not_found(revision).await),
                }
            }
            Revision::Name(name) => {
                // A branch that was there last time most likely still is: that saves a question.
                let branch = format!("refs/heads/{name}");
                let before = self.resolve(&followed(&branch)).await?;
                if before.is_some()
                    && let Some(commit) = self.follow_from(before, &branch, revision).await?
                {
                    return Ok(commit);
                }
                let url = &self.mirror.url;
                if let Some(found) = self.mirrors.look_up(url, revision, &self.connection).await?
                    && let Some(commit) = self.follow(&found.name, revision).await?
                {
                    return Ok(commit);
                }
                match revision.as_prefix() {
                    Some(prefix) => self.fetch_prefix(prefix, revision).await,
                    None => Err(self.not_found(revision).await),
                }
            }
        }
    }

    async fn create(&mut self) -> Result<(), Error> {
        let new = self.mirror.folder.unfinished();
        let path = new.display().to_string();
        // Without a template there are no hooks.
        self.git(&["init", "--quiet", "--bare", "--template=", "--", &path], Call::default())
            .await
            .map_err(|failure| self.explain(failure))?;
        let place = &self.mirror.folder.repository;
        // What was there, if anything, has no HEAD: it is no repository.
        self.mirror.folder.remove()?;
        self.created = true;
        std::fs::rename(&new, place).map_err(|error| Error::io(place, error))
    }

    /// Fetch a name of the remote side; `None` when it is not there (any more).
    pub(crate) async fn follow(&mut self, name: &str, revision: &Revision) -> Result<Option<Commit>, Error> {
        let before = self.resolve(&followed(name)).await?;
        self.follow_from(before, name, revision).await
    }

    /// The same, when it is known what the name stood for `before`.
    async fn follow_from(
        &mut self,
        before: Option<String>,
        name: &str,
        revision: &Revision,
    ) -> Result<Option<Commit>, Error> {
        let local = followed(name);
        if let Err(failure) = self.fetch_refs(&[&format!("+{name}:{local}")]).await {
            if failure.message().contains("couldn't find remote ref") {
                if let Some(gone) = before {
                    self.keep(&gone).await?;
                    self.git(&["update-ref", "-d", &local], self.here())
                        .await
                        .map_err(|failure| self.explain(failure))?;
                }
                return Ok(None);
            }
            return Err(self.explain(failure));
        }
        // Side by side: each starts a program.
        let is_forward = async {
            match &before {
                Some(before) => self.is_ancestor(before, &local).await.unwrap_or(false),
                None => true,
            }
        };
        let (commit, is_forward) = tokio::join!(self.describe(&local, revision), is_forward);
        let mut commit = commit?;
        if let Some(before) = before.filter(|_| !is_forward) {
            // Force-pushed away; somebody may have to go back to it.
            self.keep(&before).await?;
        }
        commit.refs = vec![name.to_owned()];
        Ok(Some(commit))
    }

    async fn fetch_commit(&mut self, id: &CommitId) -> Result<Commit, Error> {
        let revision = Revision::Commit(id.clone());
        let kept = format!("{KEPT}{id}");
        if self.resolve(&kept).await?.is_some() {
            return self.describe(&kept, &revision).await;
        }
        if !self.contains(id).await {
            match self.fetch_refs(&[&format!("+{id}:{kept}")]).await {
                Ok(()) => return self.describe(&kept, &revision).await,
                Err(
                    failure
                    @ (Failure::TimedOut(_) | Failure::TooLarge | Failure::Start(_) | Failure::Silent),
                ) => {
                    return Err(self.explain(failure));
                }
                // Old servers give only what a name points to.
                Err(failure) => {
                    if is_refused_id(failure.message()) {
                        self.fetch_everything().await?;
                    } else {
                        return Err(self.explain(failure));
                    }
                }
            }
            if !self.contains(id).await {
                return Err(self.not_found(&revision).await);
            }
        }
        let commit = self.describe(id.as_str(), &revision).await?;
        self.keep(id.as_str()).await?;
        Ok(commit)
    }

    async fn fetch_prefix(&mut self, prefix: &str, revision: &Revision) -> Result<Commit, Error> {
        self.fetch_everything().await?;
        let commit = format!("{prefix}^{{commit}}");
        match self.git(&["rev-parse", "--verify", "--end-of-options", &commit], self.here()).await {
            Ok(output) => {
                let id = String::from_utf8_lossy(&output).trim().to_owned();
                self.describe(&id, revision).await
            }
            Err(failure)
                if failure.message().contains("ambiguous") && failure.message().contains("short") =>
            {
                Err(Error::Ambiguous { url: self.mirror.url.clone(), revision: revision.clone() })
            }
            Err(Failure::Exit(_)) => Err(self.not_found(revision).await),
            Err(failure) => Err(self.explain(failure)),
        }
    }

    async fn fetch_everything(&mut self) -> Result<(), Error> {
        // Names of before could be in the way of new ones, as `a` is in the way of `a/b`.
        let mut arguments = vec!["--prune"];
        arguments.extend(EVERYTHING);
        self.fetch_with(&arguments[..1], &arguments[1..]).await.map_err(|failure| self.explain(failure))
    }

    async fn fetch_refs(&mut self, refspecs: &[&str]) -> Result<(), Failure> {
        self.fetch_with(&[], refspecs).await
    }

    async fn fetch_with(&mut self, options: &[&str], refspecs: &[&str]) -> Result<(), Failure> {
        // Commits that are in the mirror were found without the server.
        self.mirrors.knock(self.mirror, &self.connection).await?;
        let url = self.mirror.url.to_string();
        let result = self.fetch_from(&url, &self.connection, options, refspecs).await;
        self.killed |= matches!(result, Err(Failure::TimedOut(_) | Failure::TooLarge));
        result
    }

    /// Bring a commit in from another mirror of ours, and keep it.
    pub(crate) async fn bring_in(&mut self, other: &Mirror, id: &CommitId) -> Result<(), Error> {
        if self.contains(id).await {
            return self.keep(id.as_str()).await;
        }
        let (from, refspec) = (other.folder.repository.display().to_string(), format!("+{id}:{KEPT}{id}"));
        let result = self.fetch_from(&from, &Connection::to_mirror(), &[], &[&refspec]).await;
        self.killed |= matches!(result, Err(Failure::TimedOut(_) | Failure::TooLarge));
        result.map_err(|failure| self.explain(failure))
    }

    async fn fetch_from(
        &self,
        url: &str,
        connection: &Connection,
        options: &[&str],
        refspecs: &[&str],
    ) -> Result<(), Failure> {
        let mut arguments = vec![
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-auto-maintenance",
            "--no-recurse-submodules",
            "--no-show-forced-updates",
        ];
        arguments.extend(options);
        arguments.extend(["--", url]);
        arguments.extend(refspecs);
        let call = Call {
            repository: Some(&self.mirror.folder.repository),
            connection: Some(connection),
            lock: Some(self.lock),
            max_size: Some(self.mirrors.0.options.max_size),
            people: Some(&self.mirror.people),
            ..Call::default()
        };
        self.git(&arguments, call).await.map(drop)
    }

    /// Whether objects are missing or cannot be read.
    pub(crate) async fn is_damaged(&mut self) -> bool {
        if !self.mirror.folder.exists() {
            return false;
        }
        let arguments = ["rev-list", "--objects", "--all", "--quiet"];
        matches!(self.git(&arguments, self.here()).await, Err(Failure::Exit(_)))
    }

    /// The object that a name in the mirror stands for.
    pub(crate) async fn resolve(&self, name: &str) -> Result<Option<String>, Error> {
        // A name that was written lately is a file, and stands before those that were packed (gitrepository-layout(5)).
        let loose = std::fs::read_to_string(self.mirror.folder.repository.join(name));
        if let Some(id) = loose.ok().and_then(|text| text.trim_end().parse::<CommitId>().ok()) {
            return Ok(Some(id.to_string()));
        }
        match self.git(&["rev-parse", "--verify", "--quiet", "--end-of-options", name], self.here()).await {
            Ok(output) => Ok(Some(String::from_utf8_lossy(&output).trim().to_owned())),
            Err(Failure::Exit(_)) => Ok(None),
            Err(failure) => Err(self.explain(failure)),
        }
    }

    /// Whether a commit and all that it needs is in the mirror. An object alone does not prove that.
    pub(crate) async fn contains(&mut self, id: &CommitId) -> bool {
        let containing = format!("--contains={id}");
        let arguments = ["for-each-ref", "--count=1", &containing];
        self.git(&arguments, self.here()).await.is_ok_and(|names| !names.is_empty())
    }

    pub(crate) async fn is_ancestor(&self, old: &str, new: &str) -> Result<bool, Error> {
        let arguments = ["merge-base", "--is-ancestor", old, new];
        let ended = self.finish(&arguments, self.here()).await.map_err(|failure| self.explain(failure))?;
        match ended.status.code() {
            Some(0) => Ok(true),
            Some(1) => Ok(false),
            _ => Err(self.explain(ended.into_failure())),
        }
    }

    pub(crate) async fn keep(&self, id: &str) -> Result<(), Error> {
        let name = format!("{KEPT}{id}");
        self.git(&["update-ref", &name, id], self.here()).await.map_err(|failure| self.explain(failure))?;
        Ok(())
    }

    async fn describe(&self, name: &str, revision: &Revision) -> Result<Commit, Error> {
        let not_a_commit = || Error::NotACommit { url: self.mirror.url.clone(), revision: revision.clone() };
        let mut arguments = history::log(1);
        arguments.extend([format!("{name}^{{commit}}"), "--".to_owned()]);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        match self.git(&arguments, self.here()).await {
            Ok(output) => history::parse(&output)?.pop().ok_or_else(not_a_commit),
            Err(Failure::Exit(_)) => Err(not_a_commit()),
            Err(failure) => Err(self.explain(failure)),
        }
    }

    async fn not_found(&self, revision: &Revision) -> Error {
        self.mirrors.not_found(&self.mirror.url, revision, &self.connection).await
    }

    pub(crate) async fn git(&self, arguments: &[&str], call: Call<'_>) -> Result<Vec<u8>, Failure> {
        self.mirrors.0.program.run(call, arguments, self.mirrors.0.options.time_limit).await
    }

    pub(crate) async fn finish(&self, arguments: &[&str], call: Call<'_>) -> Result<Ended, Failure> {
        self.mirrors.0.program.finish(call, arguments, self.mirrors.0.options.time_limit).await
    }

    pub(crate) fn here(&self) -> Call<'_> {
        Call { lock: Some(self.lock), ..self.mirror.call() }
    }

    pub(crate) fn explain(&self, failure: Failure) -> Error {
        self.mirrors.explain(&self.mirror.url, failure, Some(&self.connection))
    }
}

/// The name in the mirror of a name on the remote side.
pub(crate) fn followed(name: &str) -> String {
    let mut part = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_' {
            part.push(char::from(byte));
        } else {
            part.push_str(&format!("%{byte:02X}"));
        }
    }
    // The name becomes a file name.
    if part.len() > 200 {
        part = format!("sha256%3A{}", hex::encode(Sha256::digest(name)));
    }
    format!("{FOLLOWED}{part}")
}

/// The messages of git-fetch(1) and git-upload-pack(1) when a commit is not given by its id, or is not there.
fn is_refused_id(message: &str) -> bool {
    ["not our ref", "unadvertised object", "no such remote ref", "couldn't find remote ref", "remote error"]
        .iter()
        .any(|m| message.contains(m))
}
