//! What an environment should run: revisions resolved, components rendered, objects made its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::StreamExt as _;
use jiff::Timestamp;
use seaway_api::environment::Follow;
use seaway_environments::{Rewritten, Source as Original};
use seaway_git::{Commit, CommitId, Mirrors, RepositoryUrl, Revision};
use seaway_object::GroupVersionKind;
use seaway_render::Found;
use serde_json::Value;

use crate::cluster::Kinds;
use crate::copies::Naming;
use crate::desired::{Desired, Scope, Source, digest_all, own, scopes};
use crate::error::Error;
use crate::mailbox::Mailbox;
use crate::options;
use crate::queue::{Seat, Urgency};
use crate::release::{Release, ReleaseComponent};
use crate::rendering::{ComponentAt, RenderCache, RenderedComponent, render};
use crate::sources::{Followed, Sources};
use crate::steps::{StepKind, Steps};
use crate::subject::Subject;
use crate::upstream::{Merged, Upstream};
use crate::view::CommitView;

/// How many components of one environment are rendered at once.
const AT_ONCE: usize = 4;

/// What was made of what is followed.
type Made = BTreeMap<Followed, Vec<Arc<RenderedComponent>>>;

/// Which commits are meant.
pub(crate) enum Choice<'a> {
    /// What the spec says.
    Spec {
        /// Ask the repositories, even if they were asked a while ago.
        fresh: bool,
    },
    /// Another revision, where a component's repository has it.
    Revision(&'a str),
    /// What was released once.
    Release(&'a Release),
}

/// What an environment should run.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) release: Release,
    /// Digest of the objects.
    pub(crate) content: String,
    pub(crate) desired: Vec<Desired>,
    pub(crate) commits: Vec<CommitView>,
    pub(crate) warnings: Vec<String>,
    /// Overrides whose branch does not merge with what is upstream, by component.
    pub(crate) conflicts: BTreeMap<String, String>,
    /// Why a repository does not answer now: there may be something newer than what is known.
    pub(crate) unreachable: Option<String>,
    /// What became of the objects of what this is a copy of.
    pub(crate) naming: Option<Arc<Naming>>,
}

/// What was rendered, before it becomes the environment's own.
pub(crate) struct Rendered {
    pub(crate) release: Release,
    /// As the repositories have it, with whether each lives in namespaces.
    pub(crate) sources: Vec<(Source, Option<Scope>)>,
    pub(crate) rewritten: Option<Rewritten>,
    pub(crate) commits: Vec<CommitView>,
    pub(crate) warnings: Vec<String>,
    /// Overrides whose branch does not merge with what is upstream, by component.
    pub(crate) conflicts: BTreeMap<String, String>,
    pub(crate) unreachable: Option<String>,
}

/// What comes to light while revisions are looked up.
#[derive(Default)]
struct Sought {
    /// What each component follows, where its commit alone decides what is made of it.
    of_each: Vec<Option<Followed>>,
    conflicts: BTreeMap<String, String>,
    /// The branches of overrides that are merged with what is upstream, as they are without that, and that upstream.
    alone: BTreeMap<String, (ComponentAt, String)>,
    /// Why what is known may be of long ago.
    unreachable: Option<String>,
}

/// What is needed to find out.
pub(crate) struct Finder<'a> {
    pub(crate) subject: &'a Subject,
    pub(crate) sources: &'a Arc<Sources>,
    pub(crate) kinds: &'a Kinds,
    /// Who is told of news from the repositories; `None` while something is only looked at.
    pub(crate) mailbox: Option<&'a Arc<Mailbox>>,
    pub(crate) cache: &'a RenderCache,
    pub(crate) now: Timestamp,
    /// Where is noted what is done.
    pub(crate) steps: &'a Steps,
    /// Whose turn it is: not while a repository is asked.
    pub(crate) seat: Option<&'a Seat<'a>>,
}

impl Finder<'_> {
    /// Without a seat it is a person who looks at something.
    fn urgency(&self) -> Urgency {
        self.seat.map_or(Urgency::Person, Seat::urgency)
    }

    /// Waits for a repository: one that does not answer holds up nobody else.
    async fn ask<T>(&self, wait: impl Future<Output = T>) -> T {
        match self.seat {
            Some(seat) => seat.leave_for(wait).await,
            None => wait.await,
        }
    }

    /// The mirrors, for whoever wants to know.
    fn mirrors(&self) -> &Mirrors {
        self.sources.mirrors(self.urgency())
    }

    /// What the environment should run by this choice.
    pub(crate) async fn find(&self, choice: Choice<'_>) -> Result<Candidate, Error> {
        let Rendered { release, sources, rewritten, commits, mut warnings, conflicts, unreachable } =
            self.render(choice).await?;
        let (objects, naming) = match rewritten {
            None => (sources.into_iter().map(|(source, _)| source).collect(), None),
            Some(Rewritten { objects, hosts, left_out, shared, record: _ }) => {
                let kept = objects.into_iter().map(|kept| {
                    let (source, _) = &sources[kept.source];
                    let (component, origin) = (source.component.clone(), source.origin.clone());
                    Source { value: kept.value, component, origin }
                });
                (kept.collect(), Some(Arc::new(Naming { hosts, left_out, shared })))
            }
        };
        let known = |kind: &GroupVersionKind| self.kinds.known(kind).map(|kind| kind.scope);
        let desired = own(objects, &self.subject.belonging(), &known).map_err(Error::Plan)?;
        for object in &desired {
            let at = format!("{}:{}", object.origin.file, object.origin.line);
            let ignored = options::warnings(&object.value);
            warnings.extend(ignored.into_iter().map(|warning| format!("{at}: {}: {warning}", object.id)));
        }
        let content = digest_all(desired.iter().map(|object| &object.value));
        Ok(Candidate { release, content, desired, commits, warnings, conflicts, unreachable, naming })
    }

    /// Renders what the environment should run; for a copy, makes that its own.
    pub(crate) async fn render(&self, choice: Choice<'_>) -> Result<Rendered, Error> {
        let mut sought = Sought::default();
        // What takes the place of what was rendered before is a step of its own.
        let again = matches!(choice, Choice::Release(_));
        let (mut components, commits) = match choice {
            Choice::Release(release) => (self.of_release(release)?, Vec::new()),
            Choice::Spec { fresh } => self.of_spec(fresh, &mut sought).await?,
            Choice::Revision(revision) => self.of_revision(revision).await?,
        };
        let alone = sought.alone.values_mut().map(|(component, _)| component);
        for component in components.iter_mut().chain(alone) {
            component.files = self.subject.replaced_files(&component.name);
        }
        let allows = |repository: &str| {
            self.subject.stack.allow.is_some() && self.subject.stack.allows_repository(repository)
        };
        let requests: Vec<_> = components
            .into_iter()
            .enumerate()
            .map(|(index, component)| {
                let alone = sought.alone.get(&component.name);
                let render = |component: ComponentAt| self.component(component, again, &allows);
                async move {
                    let result = render(component.clone()).await;
                    if let (Err(error), Some((alone, upstream))) = (&result, alone)
                        && let Ok(rendered) = render(alone.clone()).await
                    {
                        let why = format!(
                            "merged with {upstream} it does not render ({error}), so the branch runs alone: merge {upstream} \
                             into the branch, and correct it there"
                        );
                        return (index, alone.clone(), Ok(rendered), Some(why));
                    }
                    (index, component, result, None)
                }
            })
            .collect();
        let mut rendered: Vec<_> = futures::stream::iter(requests).buffer_unordered(AT_ONCE).collect().await;
        rendered.sort_by_key(|(index, ..)| *index);
        let (mut objects, mut parts, mut warnings) = (Vec::<Source>::new(), Vec::new(), Vec::new());
        let mut made = Made::default();
        for (index, component, result, conflict) in rendered {
            let result = result?;
            sought.conflicts.extend(conflict.map(|why| (component.name.clone(), why)));
            if let Some(Some(followed)) = sought.of_each.get(index) {
                made.entry(followed.clone()).or_default().push(result.clone());
            }
            objects.extend(result.objects());
            warnings.extend(result.warnings().map(|warning| format!("{}: {warning}", component.name)));
            parts.push(ReleaseComponent {
                name: component.name,
                repo: component.repository.to_string(),
                commit: component.commit.to_string(),
                path: component.path,
                render: component.kind,
                parameters: component.parameters,
                images: component.images,
                remotes: result.remotes.clone(),
            });
        }
        let release = Release::new(
            &self.subject.spec.stack,
            &self.subject.stack,
            parts,
            objects.iter().map(|object| &object.value),
        );
        self.tell_made(made)?;
        let scopes = self.scopes(&objects).await?;
        let sources: Vec<_> = objects.into_iter().zip(scopes).collect();
        let rewritten = self.rewrite(&sources)?;
        let Sought { conflicts, unreachable, .. } = sought;
        Ok(Rendered { release, sources, rewritten, commits, warnings, conflicts, unreachable })
    }

    /// Renders a component, as a step.
    async fn component(
        &self,
        component: ComponentAt,
        again: bool,
        allows: &(dyn Fn(&str) -> bool + Sync),
    ) -> Result<Arc<RenderedComponent>, Error> {
        let (mut step, mut title) =
            (format!("render/{}", component.name), format!("Render {}", component.name));
        if again {
            step = format!("instead/{}", component.name);
            let short: String = component.commit.as_str().chars().take(8).collect();
            title.push_str(&format!(" at {short}"));
        }
        self.steps.begin(step.as_str(), None, StepKind::Render, title, None);
        let path = component.path.clone();
        let result = render(component, self.mirrors(), self.cache, allows, self.seat).await;
        match &result {
            Ok(rendered) => {
                let count = rendered.objects().len();
                let objects = if count == 1 { "object" } else { "objects" };
                let kept = match rendered.found {
                    Found::Rendered => "",
                    Found::Memory | Found::Folder => ", as rendered before",
                };
                self.steps.succeed(&step, &format!("{count} {objects} from {path}{kept}"));
            }
            Err(error) => self.steps.fail(&step, &error.to_string()),
        }
        result
    }

    /// Commits that change none of it are no news from now on.
    fn tell_made(&self, mut made: Made) -> Result<(), Error> {
        if self.mailbox.is_none() {
            return Ok(());
        }
        // Remote bases may be other commits by now, and every commit may bring a proposal home.
        let homes = self.homes()?;
        made.retain(|followed, made| {
            !homes.contains(followed) && made.iter().all(|component| component.remotes.is_empty())
        });
        self.sources.made(&self.subject.key, made);
        Ok(())
    }

    async fn scopes(&self, objects: &[Source]) -> Result<Vec<Option<Scope>>, Error> {
        let kinds: BTreeSet<GroupVersionKind> =
            objects.iter().filter_map(|object| GroupVersionKind::of(&object.value).ok()).collect();
        for kind in &kinds {
            self.kinds.get(kind).await.map_err(|error| Error::cluster(format!("kind {kind}"), error))?;
        }
        let known = |kind: &GroupVersionKind| self.kinds.known(kind).map(|kind| kind.scope);
        Ok(scopes(objects, &known))
    }

    /// The objects of a copy.
    fn rewrite(&self, sources: &[(Source, Option<Scope>)]) -> Result<Option<Rewritten>, Error> {
        let Some(copied) = &self.subject.copied else { return Ok(None) };
        let originals: Vec<Original<'_>> = sources
            .iter()
            .map(|(source, scope)| Original {
                component: &source.component,
                value: &source.value,
                scope: scope.unwrap_or(Scope::Namespaced),
            })
            .collect();
        let password = |secret: &str, key: &str| copied.password(secret, key);
        copied.copy.rewrite(&originals, &self.subject.stack, &password).map(Some).map_err(Error::Copy)
    }

    fn of_release(&self, release: &Release) -> Result<Vec<ComponentAt>, Error> {
        let components = release.components.iter().map(|part| {
            let git = |source| Error::Git { component: part.name.clone(), source };
            Ok(ComponentAt {
                name: part.name.clone(),
                repository: part.repo.parse().map_err(git)?,
                commit: part.commit.parse().map_err(git)?,
                path: part.path.clone(),
                kind: part.render,
                parameters: part.parameters.clone(),
                images: part.images.clone(),
                remotes: part.remotes.clone(),
                files: Vec::new(),
            })
        });
        components.collect()
    }

    async fn of_spec(
        &self,
        fresh: bool,
        sought: &mut Sought,
    ) -> Result<(Vec<ComponentAt>, Vec<CommitView>), Error> {
        let (mut components, mut commits, mut followed) = (Vec::new(), Vec::new(), BTreeSet::new());
        let mut trouble = None;
        for wanted in self.wanted()? {
            let source: Followed = (wanted.repository.clone(), wanted.revision.clone());
            followed.insert(source.clone());
            let step = format!("fetch/{}", wanted.component);
            let title = format!("Fetch {}", wanted.component);
            self.steps.begin(step.as_str(), None, StepKind::Fetch, title, None);
            let latest = async {
                match self.mailbox {
                    Some(mailbox) => {
                        let key = &self.subject.key;
                        self.sources.follow(&source, key, mailbox, fresh, self.urgency()).await
                    }
                    None => self.mirrors().fetch(&source.0, &source.1).await,
                }
            };
            match self.ask(latest).await {
                Ok(commit) => {
                    let short: String = commit.id.as_str().chars().take(8).collect();
                    self.steps
                        .succeed(&step, &format!("{} is {short}: {}", wanted.revision, commit.subject()));
                    commits.push(view(&wanted.component, &commit));
                    if let Some(error) = self.mailbox.and_then(|_| self.sources.trouble(&source)) {
                        sought.unreachable.get_or_insert(format!("component {}: {error}", wanted.component));
                    }
                    let upstream = self.with_upstream(&wanted, &commit, &mut followed).await;
                    // What is merged depends on more than this branch.
                    sought.of_each.push(matches!(upstream, Ok(None)).then(|| source.clone()));
                    match upstream {
                        Ok(Some(Merged::Commit(repository, id))) => {
                            if id != commit.id {
                                let alone = (wanted.clone().at(commit.id), self.branch_of(&wanted.component));
                                sought.alone.insert(wanted.component.clone(), alone);
                            }
                            components.push(Wanted { repository, ..wanted }.at(id));
                        }
                        Ok(Some(Merged::Conflict(why))) => {
                            sought.conflicts.insert(wanted.component.clone(), why);
                            components.push(wanted.at(commit.id));
                        }
                        Ok(None) => components.push(wanted.at(commit.id)),
                        // As it is, it can run: what could not be found out is told.
                        Err(error) => {
                            sought.conflicts.insert(wanted.component.clone(), error.to_string());
                            components.push(wanted.at(commit.id));
                        }
                    }
                }
                Err(error) => {
                    self.steps.fail(&step, &error.to_string());
                    trouble.get_or_insert(Error::Git { component: wanted.component, source: error });
                }
            }
        }
        if let Some(mailbox) = self.mailbox {
            // An override that was proposed ends once its component's own revision has it.
            for home in self.homes()? {
                // Whether it can be read is of no concern to what runs.
                let key = &self.subject.key;
                let _ = self.ask(self.sources.follow(&home, key, mailbox, false, self.urgency())).await;
                followed.insert(home);
            }
            self.sources.keep_only(&self.subject.key, &followed);
        }
        trouble.map_or(Ok((components, commits)), Err)
    }

    /// The tip of an override's branch in a copy, with everything of what the copy would run without it. `None`: there is
    /// no such override, or it is at a tag or a commit, which stay what they are.
    async fn with_upstream(
        &self,
        wanted: &Wanted,
        tip: &Commit,
        followed: &mut BTreeSet<Followed>,
    ) -> Result<Option<Merged>, seaway_git::Error> {
        let Subject { key, spec, stack, .. } = self.subject;
        let is_override = |one: &seaway_api::environment::Override| {
            one.component == wanted.component && one.revision.is_some() && one.is_active(self.now)
        };
        let is_branch = tip.refs.iter().any(|name| name.starts_with("refs/heads/"));
        let source = stack.component(&wanted.component).map(|one| &one.source);
        let branch = source.and_then(|source| source.revision.as_deref());
        let (Some(base), Some(source), Some(branch)) = (self.subject.base(&wanted.component), source, branch)
        else {
            return Ok(None);
        };
        if !is_branch
            || !spec.overrides.iter().any(is_override)
            || branch.parse::<seaway_git::Branch>().is_err()
        {
            return Ok(None);
        }
        let upstream = match spec.follow.unwrap_or_default() {
            Follow::Environment => Upstream {
                repository: base.repo.parse()?,
                commit: base.commit.parse()?,
                branch: branch.to_owned(),
            },
            Follow::Revision => {
                let home: Followed = (source.repo.parse()?, branch.parse()?);
                let latest = match self.mailbox {
                    Some(mailbox) => {
                        self.ask(self.sources.follow(&home, key, mailbox, false, self.urgency())).await?
                    }
                    None => self.mirrors().fetch(&home.0, &home.1).await?,
                };
                let repository = home.0.clone();
                followed.insert(home);
                Upstream { repository, commit: latest.id, branch: branch.to_owned() }
            }
        };
        let merge = self.sources.merges.merge(self.mirrors(), &upstream, &wanted.repository, tip);
        let merged = self.ask(merge).await?;
        Ok(Some(merged))
    }

    /// The branch that a component follows in the stack.
    fn branch_of(&self, component: &str) -> String {
        let component = self.subject.stack.component(component);
        component.and_then(|one| one.source.revision.clone()).unwrap_or_default()
    }

    /// The upstream revisions of proposed overrides, where the environment follows revisions.
    fn homes(&self) -> Result<Vec<Followed>, Error> {
        let Subject { spec, stack, copied, .. } = self.subject;
        if copied.is_some() && spec.follow != Some(Follow::Revision) {
            return Ok(Vec::new());
        }
        let proposed = |component: &&seaway_api::stack::Component| {
            let mut overrides = spec.overrides.iter();
            overrides.any(|one| one.component == component.name && one.proposal.is_some())
        };
        let homes = stack.components.iter().filter(proposed).map(|component| {
            let git = |source| Error::Git { component: component.name.clone(), source };
            let revision = component.source.revision.as_deref().unwrap_or_default();
            Ok((component.source.repo.parse().map_err(git)?, revision.parse().map_err(git)?))
        });
        homes.collect()
    }

    async fn of_revision(&self, revision: &str) -> Result<(Vec<ComponentAt>, Vec<CommitView>), Error> {
        let (mut components, mut commits, mut found) = (Vec::new(), Vec::new(), false);
        let mut trouble = None;
        for mut wanted in self.wanted()? {
            let component = wanted.component.clone();
            let git = |source| Error::Git { component: component.clone(), source };
            let asked: Revision = revision.parse().map_err(git)?;
            let mirrors = self.mirrors();
            let commit = match mirrors.fetch(&wanted.repository, &asked).await {
                Ok(commit) => {
                    found = true;
                    // Those belong to the commit that runs.
                    wanted.remotes.clear();
                    commit
                }
                Err(error) => {
                    trouble.get_or_insert(git(error));
                    mirrors.fetch(&wanted.repository, &wanted.revision).await.map_err(git)?
                }
            };
            commits.push(view(&wanted.component, &commit));
            components.push(wanted.at(commit.id));
        }
        match trouble {
            Some(error) if !found => Err(error),
            _ => Ok((components, commits)),
        }
    }

    /// Components with what the spec says of each: pins before overrides before the stack.
    fn wanted(&self) -> Result<Vec<Wanted>, Error> {
        let Subject { key, spec, stack, .. } = self.subject;
        let overlay = spec.overlay.as_deref().unwrap_or(&key.name);
        let components = stack.components.iter().map(|component| {
            let git = |source| Error::Git { component: component.name.clone(), source };
            let pin = spec.pins.iter().find(|pin| pin.component == component.name);
            let deviation = spec
                .overrides
                .iter()
                .find(|deviation| deviation.component == component.name && deviation.is_active(self.now));
            let own_revision =
                deviation.and_then(|d| d.revision.as_deref()).or(pin.and_then(|pin| pin.commit.as_deref()));
            let own_repository = deviation.and_then(|d| d.repo.as_ref());
            // A component runs just what it runs where it is copied from, down to remote bases and images, unless it is
            // another commit.
            let base = self.subject.base(&component.name).filter(|base| {
                spec.follow != Some(Follow::Revision)
                    && own_repository.is_none_or(|repository| *repository == base.repo)
                    && own_revision.is_none_or(|revision| revision == base.commit)
            });
            let repository = own_repository.or(base.map(|base| &base.repo)).unwrap_or(&component.source.repo);
            let revision = own_revision
                .or(base.map(|base| base.commit.as_str()))
                .or(component.source.revision.as_deref());
            let mut parameters: BTreeMap<String, Value> = match base {
                Some(base) => base.parameters.clone(),
                None => component.render.as_ref().map(|render| render.parameters.clone()).unwrap_or_default(),
            };
            parameters.extend(deviation.map(|d| d.parameters.clone()).unwrap_or_default());
            let mut images = base.map(|base| base.images.clone()).unwrap_or_default();
            for image in pin.map(|pin| pin.images.as_slice()).unwrap_or_default() {
                images.retain(|other| other.name != image.name);
                images.push(image.clone());
            }
            for image in deviation.map(|d| d.images.as_slice()).unwrap_or_default() {
                images.retain(|pinned| pinned.name != image.name);
                images.push(image.clone());
            }
            Ok(Wanted {
                component: component.name.clone(),
                repository: repository.parse().map_err(git)?,
                revision: revision.unwrap_or_default().parse().map_err(git)?,
                path: match base {
                    Some(base) => base.path.clone(),
                    None => component.source.path.replace("${overlay}", overlay),
                },
                kind: match base {
                    Some(base) => base.render,
                    None => component.render.as_ref().and_then(|render| render.kind),
                },
                parameters,
                images,
                remotes: base.map(|base| base.remotes.clone()).unwrap_or_default(),
            })
        });
        components.collect()
    }
}

#[derive(Clone)]
struct Wanted {
    component: String,
    repository: RepositoryUrl,
    revision: Revision,
    path: String,
    kind: Option<seaway_api::stack::RenderKind>,
    parameters: BTreeMap<String, Value>,
    images: Vec<seaway_api::environment::Image>,
    remotes: BTreeMap<String, String>,
}

impl Wanted {
    fn at(self, commit: CommitId) -> ComponentAt {
        ComponentAt {
            name: self.component,
            repository: self.repository,
            commit,
            path: self.path,
            kind: self.kind,
            parameters: self.parameters,
            images: self.images,
            remotes: self.remotes,
            files: Vec::new(),
        }
    }
}

pub(crate) fn view(component: &str, commit: &Commit) -> CommitView {
    CommitView {
        component: component.to_owned(),
        commit: commit.id.to_string(),
        author: commit.author.name.clone(),
        email: commit.author.email.clone(),
        time: commit.authored,
        subject: commit.subject().to_owned(),
    }
}
