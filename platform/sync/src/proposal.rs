//! A component's override handed back: its branch merged onto the upstream branch, and pushed for others to merge.

use jiff::Timestamp;
use seaway_api::environment::{Environment, Override, Proposal};
use seaway_git::{
    Authorship, Branch, CommitId, Merge, Message, Person, Push, RepositoryUrl, Revision, Trailer,
};
use serde::{Deserialize, Serialize};

use crate::controller::Sync;
use crate::error::Error;
use crate::plan::{Action, PlannedObject};
use crate::shared::Shared;
use crate::subject::Subject;
use crate::view::EnvironmentKey;

/// On the commit of a proposal: which environment's it is. A branch whose last commit carries it may be replaced.
const TRAILER: &str = "Seaway-Proposal";

/// What was pushed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Proposed {
    /// The component.
    pub component: String,
    /// Where it was pushed.
    pub repo: String,
    /// The branch that waits to be merged.
    pub branch: String,
    /// The branch that it is meant for.
    pub base: String,
    /// Its commit: the merge of both.
    pub commit: String,
    /// Whether the branch had this content already.
    pub unchanged: bool,
}

/// What a proposal would change in an environment, once that runs it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Effect {
    /// Which environment.
    pub environment: EnvironmentKey,
    /// The objects that would change; secret values are hashes.
    pub objects: Vec<PlannedObject>,
    /// Why that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Who proposes, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposer {
    /// The name in the commit.
    pub name: String,
    /// The mail address in the commit.
    pub email: String,
    /// What the commit says; empty: that the branch is proposed.
    pub message: String,
}

impl Sync {
    /// Whether an override is possible: the component is there, its repository allowed, and its revision exists. Its
    /// commit, where it has a revision.
    ///
    /// # Errors
    /// When it is not.
    pub async fn check_override(
        &self,
        key: &EnvironmentKey,
        deviation: &Override,
    ) -> Result<Option<String>, Error> {
        let mut environment =
            self.shared.environment(key).ok_or_else(|| Error::NoEnvironment(key.clone()))?;
        environment.spec.overrides.retain(|one| one.component != deviation.component);
        environment.spec.overrides.push(deviation.clone());
        let subject = self.shared.subject(&environment)?;
        let Some(component) = subject.stack.component(&deviation.component) else {
            return Err(Error::Plan(format!("{key} has no component {:?}", deviation.component)));
        };
        let Some(revision) = &deviation.revision else { return Ok(None) };
        let git = |source| Error::Git { component: component.name.clone(), source };
        let repo = deviation.repo.as_ref().unwrap_or(&component.source.repo);
        let url: RepositoryUrl = repo.parse().map_err(git)?;
        let revision: Revision = revision.parse().map_err(git)?;
        let commit = self.shared.sources.mirrors.fetch(&url, &revision).await.map_err(git)?;
        Ok(Some(commit.id.to_string()))
    }

    /// Merges the branch of an override onto the branch that its component follows in the stack, and pushes that as a
    /// branch of its own: `seaway/NAMESPACE/NAME/COMPONENT`. Nothing that anybody follows is changed.
    ///
    /// # Errors
    /// When there is no such override, it is no branch, both no longer merge cleanly, or the push is refused.
    pub async fn propose(
        &self,
        key: &EnvironmentKey,
        component: &str,
        proposer: Proposer,
    ) -> Result<Proposed, Error> {
        let environment = self.shared.environment(key).ok_or_else(|| Error::NoEnvironment(key.clone()))?;
        let subject = self.shared.subject(&environment)?;
        let now = Timestamp::now();
        let wanted = |one: &&Override| one.component == component && one.is_active(now);
        let Some(deviation) = subject.spec.overrides.iter().find(wanted) else {
            return Err(Error::Plan(format!(
                "{key} has no override of {component:?}: there is nothing to propose"
            )));
        };
        let Some(revision) = &deviation.revision else {
            return Err(Error::Plan(format!(
                "the override of {component:?} is no branch: commit its parameters and images to one, and override \
                 with that"
            )));
        };
        let Some(source) = subject.stack.component(component).map(|one| &one.source) else {
            return Err(Error::Plan(format!("{key} has no component {component:?}")));
        };
        let git = |source| Error::Git { component: component.to_owned(), source };
        let url: RepositoryUrl = source.repo.parse().map_err(git)?;
        let from: RepositoryUrl = deviation.repo.as_ref().unwrap_or(&source.repo).parse().map_err(git)?;
        let base = upstream(&subject, component)?;
        let mirrors = &self.shared.sources.mirrors;
        let tip = self.tip(&from, revision, component).await?;
        let branch: Branch = format!("seaway/{key}/{component}").parse().map_err(git)?;
        let trailer = |key: &str, value: String| Trailer { key: key.to_owned(), value };
        let own = trailer(TRAILER, format!("{key}/{component}"));
        let trailers = vec![own.clone(), trailer("Seaway-Branch", revision.clone())];
        let (subject_line, body) = words(&proposer.message, component, revision, &base);
        let push = Push {
            base: base.parse().map_err(git)?,
            branch,
            merge: Some(Merge { url: from, commit: tip }),
            files: Default::default(),
            files_seen_at: None,
            replaces: Some(own),
            authorship: Authorship {
                author: Person { name: proposer.name, email: proposer.email },
                committer: Person {
                    name: "Seaway".to_owned(),
                    email: format!("seaway@{}", self.shared.domain),
                },
                time: now,
            },
            message: Message { subject: subject_line, body, trailers },
        };
        let pushed = mirrors.push(&url, push).await.map_err(git)?;
        if pushed.unchanged && pushed.commit == pushed.base {
            return Err(Error::Plan(format!(
                "{base} has everything of {revision} already: there is nothing to propose"
            )));
        }
        self.shared.sources.kick(|repository| *repository == url);
        Ok(Proposed {
            component: component.to_owned(),
            repo: url.to_string(),
            branch: pushed.branch.as_str().to_owned(),
            base,
            commit: pushed.commit.to_string(),
            unchanged: pushed.unchanged,
        })
    }

    /// The last commit of the branch that an override follows. Nothing else can be proposed: a commit id, a tag or the
    /// head of somebody's pull request would be pushed in Seaway's name, to a repository whose owners never let its
    /// author push there.
    async fn tip(&self, from: &RepositoryUrl, revision: &str, component: &str) -> Result<CommitId, Error> {
        let no_branch = || {
            Error::Plan(format!(
                "the override of {component:?} is at {revision:?}, which is no branch of {from}: push it there as a \
                 branch, and override with that"
            ))
        };
        let branch: Branch = revision.parse().map_err(|_| no_branch())?;
        let fetched = self.shared.sources.mirrors.fetch(from, &Revision::Ref(branch.full_name())).await;
        match fetched {
            Ok(commit) => Ok(commit.id),
            Err(seaway_git::Error::RevisionNotFound { .. }) => Err(no_branch()),
            Err(source) => Err(Error::Git { component: component.to_owned(), source }),
        }
    }

    /// The environments that follow the same branch of a component as the one that proposes, copies aside.
    ///
    /// # Errors
    /// When there is no such environment.
    pub fn concerned(&self, key: &EnvironmentKey) -> Result<Vec<EnvironmentKey>, Error> {
        let environment = self.shared.environment(key).ok_or_else(|| Error::NoEnvironment(key.clone()))?;
        let subject = self.shared.subject(&environment)?;
        let home = subject.copied.as_ref().map_or(&key.namespace, |copied| &copied.original.namespace);
        let environments = self.shared.environments.lock();
        let of_stack = environments.iter().filter(|(other, known)| {
            let spec = &known.environment.spec;
            other.namespace == *home && spec.copy_of.is_none() && spec.stack == subject.spec.stack
        });
        Ok(of_stack.map(|(other, _)| other.clone()).collect())
    }

    /// What a proposal would change in an environment, once that runs it.
    pub async fn effect(&self, environment: &EnvironmentKey, proposed: &Proposed) -> Effect {
        let planned = self.plan(environment, Some(&proposed.branch)).await;
        let (objects, error) = match planned {
            Ok(plan) => {
                let changes =
                    |object: &PlannedObject| !matches!(object.action, Action::Unchanged | Action::Hook);
                (plan.objects.into_iter().filter(changes).collect(), None)
            }
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        Effect { environment: environment.clone(), objects, error }
    }
}

/// The branch that a component follows in the stack.
fn upstream(subject: &Subject, component: &str) -> Result<String, Error> {
    let source = subject.stack.component(component).map(|one| &one.source);
    let revision = source.and_then(|source| source.revision.clone());
    revision.ok_or_else(|| {
        Error::Plan(format!(
            "the Stack names no revision for {component:?}: set spec.components[].source.revision to the branch that \
             proposals are for"
        ))
    })
}

/// Subject and body of the commit.
fn words(message: &str, component: &str, revision: &str, base: &str) -> (String, String) {
    let message = message.trim();
    if message.is_empty() {
        return (format!("Propose {revision} for {component}"), format!("Merges {revision} onto {base}."));
    }
    let (subject, body) = message.split_once('\n').unwrap_or((message, ""));
    (subject.trim().to_owned(), body.trim().to_owned())
}

/// The overrides that have come home: what the environment runs without them has what they proposed.
pub(crate) async fn came_home(shared: &Shared, environment: &Environment, subject: &Subject) -> Vec<String> {
    let mut home = Vec::new();
    for deviation in &environment.spec.overrides {
        if let Some(proposal) = &deviation.proposal {
            match is_home(shared, subject, &deviation.component, proposal).await {
                Ok(true) => home.push(deviation.component.clone()),
                Ok(false) => {}
                Err(error) => {
                    tracing::debug!(environment = %subject.key, %error, "a proposal could not be looked for");
                }
            }
        }
    }
    home
}

async fn is_home(
    shared: &Shared,
    subject: &Subject,
    component: &str,
    proposal: &Proposal,
) -> Result<bool, Error> {
    let git = |source| Error::Git { component: component.to_owned(), source };
    let Some(source) = subject.stack.component(component).map(|one| &one.source) else {
        return Ok(false);
    };
    let url: RepositoryUrl = source.repo.parse().map_err(git)?;
    let follows_revision = subject.spec.follow == Some(seaway_api::environment::Follow::Revision);
    let revision: Revision = match subject.base(component).filter(|_| !follows_revision) {
        Some(base) if base.repo == source.repo => base.commit.parse().map_err(git)?,
        Some(_) => return Ok(false),
        None => source.revision.as_deref().unwrap_or_default().parse().map_err(git)?,
    };
    let mirrors = &shared.sources.mirrors;
    let base = match shared.sources.known(&(url.clone(), revision.clone())) {
        Some(commit) => commit,
        None => mirrors.fetch(&url, &revision).await.map_err(git)?,
    };
    let proposed = proposal.commit.parse().map_err(git)?;
    mirrors.is_ancestor(&url, &proposed, &base.id).await.map_err(git)
}
