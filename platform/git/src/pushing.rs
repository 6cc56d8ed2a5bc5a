//! Pushes one commit, and again when others were first.

use std::time::Duration;

use crate::inflight::Turn;
use crate::mirrors::{Mirror, Mirrors, is_missing};
use crate::program::{Call, Failure};
use crate::push::{Push, Pushed};
use crate::session::{Session, followed};
use crate::{CommitId, Error, RepositoryUrl, Revision};

/// How often a push is tried when others are first.
const MAX_ATTEMPTS: u32 = 5;
/// The longest first pause before trying again; later ones are multiples.
const PAUSE: Duration = Duration::from_millis(200);
/// Longer explanations of a server are cut, in characters.
const MAX_REASON: usize = 500;

/// How one attempt ended.
enum Attempt {
    Done(Pushed),
    /// The branch is not any more what it was when we looked.
    Lost(String),
}

/// What the server did with a push.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Accepted,
    Lost(String),
    Rejected(String),
}

impl Mirrors {
    /// Make one commit on top of a branch as it is now, and push it.
    ///
    /// When others push at the same time, the commit is made anew on top of theirs, a few times. When this is called
    /// again after its answer was lost, it finds what it pushed. Nothing is forced: a branch that somebody else made
    /// is never replaced. The push goes on when the caller does not wait for it.
    ///
    /// One push to a branch goes on at a time. Who asks for the same meanwhile gets its answer; who asks for another one
    /// is told to come back ([`Error::Busy`]).
    pub async fn push(&self, url: &RepositoryUrl, push: Push) -> Result<Pushed, Error> {
        push.check()?;
        let branch = push.branch.clone();
        let mirror = self.mirror(url);
        let _waits = self.join(&mirror);
        let mut answer = match mirror.pushes.begin(push) {
            Turn::Busy => return Err(Error::Busy { url: url.clone(), branch }),
            Turn::Share(answer) => answer,
            Turn::Begin(push, lead, answer) => {
                let (mirrors, to) = (self.clone(), url.clone());
                tokio::spawn(async move { lead.end(mirrors.push_until_settled(&to, &push).await) });
                answer
            }
        };
        let answer = answer.wait_for(Option::is_some).await.ok().and_then(|answer| answer.clone());
        answer.unwrap_or_else(|| {
            Err(Error::Failed { url: url.clone(), reason: "the push was interrupted".to_owned() })
        })
    }

    /// Whether `descendant` contains `ancestor`, or is it. Both have to be in the mirror.
    pub async fn is_ancestor(
        &self,
        url: &RepositoryUrl,
        ancestor: &CommitId,
        descendant: &CommitId,
    ) -> Result<bool, Error> {
        let mirror = self.mirror(url);
        let not_fetched = |id: &CommitId| Error::CommitNotFetched { url: url.clone(), id: id.to_string() };
        if !mirror.folder.exists() {
            return Err(not_fetched(descendant));
        }
        let _waits = self.join(&mirror);
        let call = mirror.call();
        let arguments = ["merge-base", "--is-ancestor", ancestor.as_str(), descendant.as_str()];
        let ended = self.0.program.finish(call, &arguments, self.question_time()).await;
        let ended = ended.map_err(|failure| self.explain(url, failure, None))?;
        match ended.status.code() {
            Some(0) => Ok(true),
            Some(1) => Ok(false),
            _ if is_missing(&ended.errors().to_lowercase()) => {
                let missing = if ended.errors().contains(ancestor.as_str()) { ancestor } else { descendant };
                Err(not_fetched(missing))
            }
            _ => Err(self.explain(url, ended.into_failure(), None)),
        }
    }

    async fn push_until_settled(&self, url: &RepositoryUrl, push: &Push) -> Result<Pushed, Error> {
        let mut source = None;
        if let Some(merge) = &push.merge
            && merge.url != *url
        {
            self.fetch(&merge.url, &Revision::Commit(merge.commit.clone())).await?;
            source = Some(self.mirror(&merge.url));
        }
        let mirror = self.mirror(url);
        let mut attempts = 1;
        loop {
            let reason = match self.push_in_turn(&mirror, source.as_deref(), push, attempts).await {
                Ok(Attempt::Done(pushed)) => return Ok(pushed),
                Ok(Attempt::Lost(reason)) => reason,
                Err(error) => {
                    tracing::debug!(%url, branch = %push.branch, %error, "push failed");
                    return Err(error);
                }
            };
            if attempts == MAX_ATTEMPTS {
                let (url, branch) = (url.clone(), push.branch.clone());
                return Err(Error::Contended { url, branch, attempts, reason });
            }
            tokio::time::sleep(PAUSE.mul_f64(rand::random::<f64>() * f64::from(attempts))).await;
            attempts += 1;
        }
    }

    async fn push_in_turn(
        &self,
        mirror: &Mirror,
        source: Option<&Mirror>,
        push: &Push,
        attempts: u32,
    ) -> Result<Attempt, Error> {
        let mut dirty = mirror.exclusive.lock().await;
        let lock = mirror.folder.lock(&mirror.url, self.0.options.time_limit).await?;
        let connection = self.connection(&mirror.url).await?;
        let mut session = Session::new(self, mirror, &lock, connection);
        let result = self.push_exclusively(&mut session, source, push, attempts, &mut dirty).await;
        *dirty |= session.killed;
        self.tidy(mirror, &lock, &mut dirty).await;
        result
    }

    async fn push_exclusively(
        &self,
        session: &mut Session<'_>,
        source: Option<&Mirror>,
        push: &Push,
        attempts: u32,
        dirty: &mut bool,
    ) -> Result<Attempt, Error> {
        let name = push.branch.full_name();
        let base = self.fetch_in(session, &Revision::Ref(push.base.full_name()), dirty).await?.id;
        if let Some(merge) = &push.merge {
            match source {
                Some(source) => session.bring_in(source, &merge.commit).await?,
                None => {
                    self.fetch_in(session, &Revision::Commit(merge.commit.clone()), dirty).await?;
                }
            }
        }
        let present = if push.branch == push.base {
            Some(base.clone())
        } else {
            session.follow(&name, &Revision::Ref(name.clone())).await?.map(|commit| commit.id)
        };
        let pushed = |commit: &CommitId, unchanged: bool| Pushed {
            commit: commit.clone(),
            branch: push.branch.clone(),
            base: base.clone(),
            attempts,
            created: present.is_none() && !unchanged,
            unchanged,
        };
        let Some(commit) = session.compose(push, &base).await? else {
            return Ok(Attempt::Done(pushed(&base, true)));
        };
        if let Some(present) = &present
            && push.branch != push.base
        {
            if session.is_same(present, &commit).await? {
                return Ok(Attempt::Done(pushed(present, true)));
            }
            let ours = match &push.replaces {
                Some(trailer) => {
                    session.carries(present, trailer).await?
                        && session.is_committed_by(present, &push.authorship.committer).await?
                }
                None => false,
            };
            if !ours {
                let (url, branch) = (session.mirror.url.clone(), push.branch.clone());
                return Err(Error::ForeignBranch { url, branch });
            }
        }
        match session.send(&commit, &name, present.as_ref()).await? {
            Verdict::Accepted => {
                session.note(&commit, &name, present.as_ref()).await;
                Ok(Attempt::Done(pushed(&commit, false)))
            }
            Verdict::Lost(reason) => Ok(Attempt::Lost(reason)),
            Verdict::Rejected(reason) => {
                let (url, branch) = (session.mirror.url.clone(), push.branch.clone());
                Err(Error::Rejected { url, branch, reason })
            }
        }
    }
}

impl Session<'_> {
    /// Let a name of the remote side, which stands for `expected` now, stand for a commit.
    async fn send(
        &mut self,
        commit: &CommitId,
        name: &str,
        expected: Option<&CommitId>,
    ) -> Result<Verdict, Error> {
        let url = self.mirror.url.to_string();
        let lease = format!("--force-with-lease={name}:{}", expected.map_or("", CommitId::as_str));
        let refspec = format!("{commit}:{name}");
        let arguments =
            ["push", "--porcelain", "--no-verify", "--no-follow-tags", &lease, "--", &url, &refspec];
        let call = Call { connection: Some(&self.connection), ..self.here() };
        let ended = match self.finish(&arguments, call).await {
            Ok(ended) => ended,
            Err(failure) => {
                self.killed |= matches!(failure, Failure::TimedOut(_));
                return Err(self.explain(failure));
            }
        };
        if ended.status.success() {
            return Ok(Verdict::Accepted);
        }
        let errors = self.connection.redact(ended.errors());
        match verdict(&self.connection.redact(&String::from_utf8_lossy(&ended.output)), &errors) {
            Some(verdict) => Ok(verdict),
            None => Err(self.explain(ended.into_failure())),
        }
    }

    /// Note in the mirror what was pushed, as if it had been fetched. A later fetch does it otherwise.
    async fn note(&mut self, commit: &CommitId, name: &str, before: Option<&CommitId>) {
        if let Some(before) = before
            && !self.is_ancestor(before.as_str(), commit.as_str()).await.unwrap_or(false)
            && let Err(error) = self.keep(before.as_str()).await
        {
            tracing::warn!(url = %self.mirror.url, %error, "what a push replaced could not be kept");
        }
        if let Err(failure) = self.git(&["update-ref", &followed(name), commit.as_str()], self.here()).await {
            tracing::warn!(url = %self.mirror.url, ?failure, "a push could not be noted in the mirror");
        }
    }
}

/// What `git push --porcelain` of one name says when it failed; `None` when it did not come to that name.
fn verdict(output: &str, errors: &str) -> Option<Verdict> {
    let line = output.lines().find(|line| line.starts_with("!\t"))?;
    let answer = line.rsplit('\t').next().unwrap_or_default();
    let reason = explanation(answer, errors);
    if answer.starts_with("[rejected]") {
        return Some(Verdict::Lost(reason));
    }
    if !answer.starts_with("[remote rejected]") {
        return None;
    }
    let says = |any: &[&str]| any.iter().any(|text| reason.to_lowercase().contains(text));
    let race = [
        "failed to update ref",
        "failed to lock",
        "cannot lock ref",
        "unable to lock",
        "incorrect old value",
        "reference already exists",
        "stale info",
        "fetch first",
        "non-fast-forward",
    ];
    // `a` is in the way of `a/b` for as long as it exists; a hook's words may be any.
    let lasting = ["cannot create", "hook declined", "permission denied", "no space left"];
    Some(if says(&race) && !says(&lasting) { Verdict::Lost(reason) } else { Verdict::Rejected(reason) })
}

/// The reason in parentheses, and what the server wrote for people.
fn explanation(answer: &str, errors: &str) -> String {
    let reason = answer.split_once('(').map_or(answer, |(_, rest)| rest.trim_end().trim_end_matches(')'));
    let words = errors.lines().filter_map(|line| line.strip_prefix("remote:")).map(str::trim);
    let all: Vec<&str> = std::iter::once(reason).chain(words).filter(|text| !text.is_empty()).collect();
    all.join("; ").chars().filter(|c| !c.is_control()).take(MAX_REASON).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_race_is_told_from_a_refusal() {
        let line = |answer: &str| format!("To x\n!\tabc:refs/heads/x\t{answer}\nDone\n");
        for answer in [
            "[rejected] (stale info)",
            "[rejected] (fetch first)",
            "[rejected] (non-fast-forward)",
            "[remote rejected] (failed to update ref)",
            "[remote rejected] (cannot lock ref 'refs/heads/x': is at a but expected b)",
            "[remote rejected] (incorrect old value provided)",
        ] {
            assert!(matches!(verdict(&line(answer), ""), Some(Verdict::Lost(_))), "{answer}");
        }
        for (answer, errors) in [
            ("[remote rejected] (pre-receive hook declined)", "remote: cannot lock ref"),
            ("[remote rejected] (protected branch hook declined)", ""),
            ("[remote rejected] (deny updating a hidden ref)", ""),
            ("[remote rejected] (failed to update ref)", "remote: error: 'n' exists; cannot create 'n/x'"),
        ] {
            assert!(matches!(verdict(&line(answer), errors), Some(Verdict::Rejected(_))), "{answer}");
        }
        assert_eq!(verdict("", "fatal: unable to access"), None);
        assert_eq!(verdict(&line("[remote failure] (remote failed to report status)"), ""), None);
    }

    #[test]
    fn a_servers_words_are_short_and_plain() {
        let errors = format!("remote: \x1b[2JNo.   \nerror: x\nremote: {}\n", "y".repeat(9000));
        let text = explanation("[remote rejected] (pre-receive hook declined)", &errors);
        assert!(text.starts_with("pre-receive hook declined; [2JNo.; yyy"), "{text}");
        assert_eq!(text.len(), MAX_REASON);
    }
}
