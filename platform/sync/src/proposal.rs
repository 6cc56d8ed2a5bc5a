//! A component's override handed back: its branch merged onto the upstream branch, and pushed for others to merge.

use jiff::Timestamp;
use seaway_api::environment::{Environment, Image, Override, Proposal};
use seaway_git::{
    Authorship, Branch, CommitId, Merge, Message, Person, Push, RepositoryUrl, Revision, Trailer,
};
use seaway_source::{FileTree as _, TreePath};
use serde::{Deserialize, Serialize};

use crate::controller::Sync;
use crate::error::Error;
use crate::kustomization;
use crate::plan::{Action, PlannedObject};
use crate::shared::Shared;
use crate::subject::Subject;
use crate::view::EnvironmentKey;

/// On the commit of a proposal: which environment's it is. A branch whose last commit carries it may be replaced.
const TRAILER: &str = "Seaway-Proposal";

/// How often a file is read again that others push at the same time.
const MAX_ATTEMPTS: u32 = 5;

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
        let component_at = |problem: &str| Error::Plan(format!("the override of {component:?} {problem}"));
        if !deviation.parameters.is_empty() {
            return Err(component_at(
                "has parameters, which lie in the Stack: change them there, in the repository that holds it",
            ));
        }
        if deviation.revision.is_none() && deviation.images.is_empty() {
            return Err(component_at(
                "is no branch and has no images: push what is to be proposed to a branch",
            ));
        }
        let Some(source) = subject.stack.component(component).map(|one| &one.source) else {
            return Err(Error::Plan(format!("{key} has no component {component:?}")));
        };
        let git = |source| Error::Git { component: component.to_owned(), source };
        let url: RepositoryUrl = source.repo.parse().map_err(git)?;
        let from: RepositoryUrl = deviation.repo.as_ref().unwrap_or(&source.repo).parse().map_err(git)?;
        let base = upstream(&subject, component)?;
        let mirrors = &self.shared.sources.people;
        let merge = match &deviation.revision {
            Some(revision) => Some(Merge { commit: self.tip(&from, revision, component).await?, url: from }),
            None => None,
        };
        let branch: Branch = format!("seaway/{key}/{component}").parse().map_err(git)?;
        let trailer = |key: &str, value: String| Trailer { key: key.to_owned(), value };
        let own = trailer(TRAILER, format!("{key}/{component}"));
        let mut trailers = vec![own.clone()];
        trailers.extend(deviation.revision.iter().map(|revision| trailer("Seaway-Branch", revision.clone())));
        let (subject_line, body) = words(&proposer.message, component, deviation, &base);
        let mut push = Push {
            base: base.parse().map_err(git)?,
            branch,
            merge,
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
        let mut attempts = 0;
        let pushed = loop {
            let seen = match deviation.images.as_slice() {
                [] => None,
                images => Some(self.with_images(&subject, component, &url, &mut push, images).await?),
            };
            if push.merge.is_none() && push.files.is_empty() {
                return Err(Error::Plan(format!(
                    "{base} has the images of the override of {component:?} already: there is nothing to propose"
                )));
            }
            let pushed = mirrors.push(&url, push.clone()).await.map_err(git)?;
            // What was read may not be what the push stands on: then it is read again, and the branch replaced.
            attempts += 1;
            if attempts == MAX_ATTEMPTS || seen.is_none_or(|seen| seen == pushed.base) {
                break pushed;
            }
        };
        if pushed.unchanged && pushed.commit == pushed.base {
            return Err(Error::Plan(format!(
                "{base} has everything of the override already: there is nothing to propose"
            )));
        }
        self.shared.sources.pushed(|repository| *repository == url);
        Ok(Proposed {
            component: component.to_owned(),
            repo: url.to_string(),
            branch: pushed.branch.as_str().to_owned(),
            base,
            commit: pushed.commit.to_string(),
            unchanged: pushed.unchanged,
        })
    }

    /// Fills in the file of the component's kustomization with other images; the commit of the base that it was read from.
    async fn with_images(
        &self,
        subject: &Subject,
        component: &str,
        url: &RepositoryUrl,
        push: &mut Push,
        images: &[Image],
    ) -> Result<CommitId, Error> {
        let git = |source| Error::Git { component: component.to_owned(), source };
        let mirrors = &self.shared.sources.people;
        push.files.clear();
        let base = mirrors.fetch(url, &Revision::Ref(push.base.full_name())).await.map_err(git)?.id;
        let on = match &push.merge {
            Some(_) => mirrors.compose(url, push, &base).await.map_err(git)?,
            None => base.clone(),
        };
        let overlay = subject.spec.overlay.as_deref().unwrap_or(&subject.key.name);
        let path = match (subject.base(component), subject.stack.component(component)) {
            (Some(base), _) => base.path.clone(),
            (None, Some(component)) => component.source.path.replace("${overlay}", overlay),
            (None, None) => String::new(),
        };
        let tree = mirrors.tree(url, &on).map_err(git)?;
        let refused = |problem: String| {
            Error::Plan(format!("the images of {component:?} cannot be proposed: {problem}"))
        };
        for name in kustomization::NAMES {
            let file = TreePath::new(&path)
                .and_then(|path| path.join(name))
                .map_err(|error| refused(error.to_string()))?;
            if tree.find(&file).map_err(|error| refused(error.to_string()))?.is_none() {
                continue;
            }
            let content = tree.read(&file).map_err(|error| refused(error.to_string()))?;
            let before = String::from_utf8_lossy(&content).into_owned();
            let after = kustomization::set_images(&before, images)
                .map_err(|problem| refused(format!("{file}: {problem}")))?;
            if after != before {
                push.files.insert(file.as_str().to_owned(), Some(after.into_bytes()));
            }
            return Ok(base);
        }
        Err(refused(format!("{path:?} is no kustomization: change them on a branch, and override with that")))
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
        let fetched = self.shared.sources.people.fetch(from, &Revision::Ref(branch.full_name())).await;
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
fn words(message: &str, component: &str, deviation: &Override, base: &str) -> (String, String) {
    let message = message.trim();
    if !message.is_empty() {
        let (subject, body) = message.split_once('\n').unwrap_or((message, ""));
        return (subject.trim().to_owned(), body.trim().to_owned());
    }
    let image = |image: &Image| {
        let version = image.digest.as_ref().or(image.tag.as_ref()).or(image.new_name.as_ref());
        format!("{} {}", image.name, version.map_or("", String::as_str))
    };
    let images: Vec<String> = deviation.images.iter().map(image).collect();
    match &deviation.revision {
        Some(revision) => {
            let mut body = format!("Merges {revision} onto {base}.");
            if !images.is_empty() {
                body.push_str(&format!("\n\nWith {}.", images.join(", ")));
            }
            (format!("Propose {revision} for {component}"), body)
        }
        None => (format!("Propose other images for {component}"), format!("{}.", images.join(", "))),
    }
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
    mirrors.has_changes(&url, &proposed, &base.id).await.map_err(git)
}
