//! What an override runs: its branch, with everything that came to what the environment would run without it.

use std::collections::HashMap;

use jiff::Timestamp;
use parking_lot::Mutex;
use seaway_git::{
    Authorship, Branch, Commit, CommitId, Error, Merge, Message, Mirrors, Person, Push, RepositoryUrl,
    Revision,
};

/// More results are not kept: every one can be found out again.
const KEPT: usize = 512;

/// What an environment would run of a component without an override.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Upstream {
    pub(crate) repository: RepositoryUrl,
    pub(crate) commit: CommitId,
    /// The branch that it comes from, as people know it.
    pub(crate) branch: String,
}

/// A branch with upstream in it, or why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Merged {
    /// The commit, and the repository in whose mirror it is.
    Commit(RepositoryUrl, CommitId),
    /// Both changed the same: what, and what to do.
    Conflict(String),
}

type Question = (Upstream, RepositoryUrl, CommitId);

/// What was merged.
#[derive(Default)]
pub(crate) struct Merges {
    kept: Mutex<HashMap<Question, Merged>>,
}

impl Merges {
    /// The tip of an override's branch in `from`, merged with what is upstream. The same two give the same commit: it is
    /// no news to look again.
    pub(crate) async fn merge(
        &self,
        mirrors: &Mirrors,
        upstream: &Upstream,
        from: &RepositoryUrl,
        tip: &Commit,
    ) -> Result<Merged, Error> {
        let question = (upstream.clone(), from.clone(), tip.id.clone());
        if let Some(merged) = self.kept.lock().get(&question) {
            return Ok(merged.clone());
        }
        let base = mirrors.fetch(&upstream.repository, &Revision::Commit(upstream.commit.clone())).await?;
        let branch: Branch = upstream.branch.parse()?;
        let own = Person { name: "Seaway".to_owned(), email: "seaway@localhost".to_owned() };
        let push = Push {
            base: branch.clone(),
            branch,
            merge: Some(Merge { url: from.clone(), commit: tip.id.clone() }),
            files: Default::default(),
            files_seen_at: None,
            replaces: None,
            authorship: Authorship {
                author: own.clone(),
                committer: own,
                time: base.committed.max(tip.committed).max(Timestamp::UNIX_EPOCH),
            },
            message: Message {
                subject: format!("Merge with {}", upstream.branch),
                body: String::new(),
                trailers: Vec::new(),
            },
        };
        let merged = match mirrors.compose(&upstream.repository, &push, &upstream.commit).await {
            // As it is, it is where its branch is.
            Ok(commit) if commit == tip.id => Merged::Commit(from.clone(), commit),
            Ok(commit) => Merged::Commit(upstream.repository.clone(), commit),
            Err(error @ Error::Conflict { .. }) => Merged::Conflict(error.to_string()),
            Err(error) => return Err(error),
        };
        let mut kept = self.kept.lock();
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(question, merged.clone());
        Ok(merged)
    }
}
