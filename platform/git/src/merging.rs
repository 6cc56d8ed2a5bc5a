//! Merges that stay in the mirror: what a branch would be with everything of another one.

use crate::mirrors::Mirrors;
use crate::push::Push;
use crate::session::Session;
use crate::{CommitId, Error, RepositoryUrl};

impl Mirrors {
    /// Makes the commit that a push asks for on top of `base`, and pushes nothing. A merge of what has all of `base` is
    /// that itself, and one of what `base` has is `base`. The same question has the same answer when author, message and
    /// time are the same. `base` has to be in the mirror of `url`, and what is merged in that of its repository.
    ///
    /// # Errors
    /// [`Error::Conflict`] when both changed the same.
    pub async fn compose(
        &self,
        url: &RepositoryUrl,
        push: &Push,
        base: &CommitId,
    ) -> Result<CommitId, Error> {
        push.check()?;
        let mirror = self.mirror(url);
        let source =
            push.merge.as_ref().filter(|merge| merge.url != *url).map(|merge| self.mirror(&merge.url));
        let _waits = self.join(&mirror);
        let mut dirty = mirror.exclusive.lock().await;
        let lock = mirror.folder.lock(&mirror.url, self.question_time()).await?;
        let connection = self.connection(&mirror.url).await?;
        let mut session = Session::new(self, &mirror, &lock, connection);
        let result = async {
            if let Some((source, merge)) = source.as_ref().zip(push.merge.as_ref()) {
                session.bring_in(source, &merge.commit).await?;
            }
            if let Some(merge) = push.merge.as_ref().filter(|_| push.files.is_empty())
                && session.is_ancestor(base.as_str(), merge.commit.as_str()).await?
            {
                return Ok(merge.commit.clone());
            }
            let Some(commit) = session.compose(push, base).await? else { return Ok(base.clone()) };
            // Nothing else names it.
            session.keep(commit.as_str()).await?;
            Ok(commit)
        };
        let result = result.await;
        *dirty |= session.killed;
        self.tidy(&mirror, &lock, &mut dirty).await;
        result
    }

    /// Whether `base` has every change of a commit, by whatever way they came there: as it is, squashed or picked. Both
    /// have to be in the mirror.
    pub async fn has_changes(
        &self,
        url: &RepositoryUrl,
        commit: &CommitId,
        base: &CommitId,
    ) -> Result<bool, Error> {
        if self.is_ancestor(url, commit, base).await? {
            return Ok(true);
        }
        // Merged into the base, they would change nothing.
        let mirror = self.mirror(url);
        let _waits = self.join(&mirror);
        let call = mirror.call();
        let attributes = format!("--attr-source={base}");
        let (base, commit) = (base.as_str(), commit.as_str());
        let merge = [attributes.as_str(), "merge-tree", "--write-tree", "-z", "--no-messages", base, commit];
        let merged = self.0.program.finish(call, &merge, self.question_time()).await;
        let merged = merged.map_err(|failure| self.explain(url, failure, None))?;
        match merged.status.code() {
            Some(0) => {}
            Some(1) => return Ok(false),
            _ => return Err(self.explain(url, merged.into_failure(), None)),
        }
        let name = format!("{base}^{{tree}}");
        let tree = ["rev-parse", "--verify", "--end-of-options", &name];
        let tree = self.0.program.run(call, &tree, self.question_time()).await;
        let tree = tree.map_err(|failure| self.explain(url, failure, None))?;
        let text = |output: &[u8]| String::from_utf8_lossy(output).trim_matches(['\0', '\n']).to_owned();
        Ok(text(&merged.output) == text(&tree))
    }
}
