//! From commits to objects: the one place that knows the renderer.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use seaway_api::environment::Image;
use seaway_api::stack::RenderKind;
use seaway_git::{CommitId, Mirrors, RepositoryUrl, Revision};
use seaway_render::{Kind, Outcome, Remote, Remotes, RenderRequest};
use seaway_source::{FileTree, Inputs};
use serde_json::Value;

use crate::desired::{Origin, Source, digest};
use crate::error::Error;

/// Remote bases of remote bases of …
const MAX_ROUNDS: usize = 32;

/// A component at a commit.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ComponentAt {
    pub(crate) name: String,
    pub(crate) repository: RepositoryUrl,
    pub(crate) commit: CommitId,
    pub(crate) path: String,
    pub(crate) kind: Option<RenderKind>,
    pub(crate) parameters: BTreeMap<String, Value>,
    pub(crate) images: Vec<Image>,
    /// Commits of remote bases that are known already.
    pub(crate) remotes: BTreeMap<String, String>,
}

impl ComponentAt {
    /// Everything but the commit.
    fn question(&self) -> String {
        let images = serde_json::to_value(&self.images).unwrap_or_default();
        let parameters = serde_json::to_value(&self.parameters).unwrap_or_default();
        format!(
            "{} {} {:?} {} {} {:?}",
            self.repository,
            self.path,
            self.kind,
            digest(&parameters),
            digest(&images),
            self.remotes
        )
    }
}

/// What a component is made of.
#[derive(Debug)]
pub(crate) struct RenderedComponent {
    pub(crate) objects: Vec<Source>,
    /// Remote bases, with the commit each.
    pub(crate) remotes: BTreeMap<String, String>,
    pub(crate) warnings: Vec<String>,
    /// What was asked of the repository.
    pub(crate) inputs: Inputs,
}

struct Kept {
    question: String,
    commit: CommitId,
    result: Arc<RenderedComponent>,
}

/// What was rendered last of each component of an environment: a commit that touches none of what was read costs a
/// look at just that.
#[derive(Default)]
pub(crate) struct RenderCache {
    kept: Mutex<BTreeMap<String, Kept>>,
}

impl RenderCache {
    fn lookup(&self, component: &ComponentAt, tree: &dyn FileTree) -> Option<Arc<RenderedComponent>> {
        let mut kept = self.kept.lock();
        let found = kept.get_mut(&component.name).filter(|kept| kept.question == component.question())?;
        if found.commit != component.commit {
            // Branches of other repositories may have moved: only a person or a new commit there would tell.
            if !found.result.remotes.is_empty() || !found.result.inputs.hold_in(tree) {
                return None;
            }
            found.commit = component.commit.clone();
        }
        Some(found.result.clone())
    }
}

/// Renders a component; `allows` says which further repositories it may use.
pub(crate) async fn render(
    component: ComponentAt,
    mirrors: &Mirrors,
    cache: &Arc<RenderCache>,
    allows: &(dyn Fn(&str) -> bool + Sync),
) -> Result<Arc<RenderedComponent>, Error> {
    let git = |source| Error::Git { component: component.name.clone(), source };
    let fail = |message: String| Error::Render {
        component: component.name.clone(),
        commit: component.commit.as_str().chars().take(8).collect(),
        message,
    };
    let mut remotes = Remotes::default();
    let mut commits = BTreeMap::new();
    for _ in 0..MAX_ROUNDS {
        let round = {
            let (component, mirrors, cache, remotes) =
                (component.clone(), mirrors.clone(), cache.clone(), remotes.clone());
            // Reading and rendering take a thread, not a worker's turn.
            tokio::task::spawn_blocking(move || one_round(&component, &mirrors, &cache, remotes))
        };
        let round = round.await.map_err(|_| fail("rendering was interrupted".to_owned()))?;
        match round.map_err(|problem| match problem {
            Problem::Git(error) => git(error),
            Problem::Render(message) => fail(message),
        })? {
            Round::Cached(result) => return Ok(result),
            Round::Rendered(rendered) => {
                let result = Arc::new(RenderedComponent { remotes: commits, ..rendered });
                let kept = Kept {
                    question: component.question(),
                    commit: component.commit.clone(),
                    result: result.clone(),
                };
                cache.kept.lock().insert(component.name.clone(), kept);
                return Ok(result);
            }
            Round::Needs(needs) => {
                for need in needs {
                    let Remote::Base(base) = &need else {
                        return Err(fail(format!("{need}: files over HTTP are not fetched: commit them")));
                    };
                    if !allows(&base.repository) {
                        return Err(fail(format!(
                            "{need}: the stack does not allow this repository: add it to spec.allow.repositories"
                        )));
                    }
                    let name = need.to_string();
                    let url: RepositoryUrl = base.repository.parse().map_err(git)?;
                    let revision = component.remotes.get(&name).or(base.reference.as_ref());
                    let revision: Revision = revision.map_or("", String::as_str).parse().map_err(git)?;
                    let commit = mirrors.fetch(&url, &revision).await.map_err(git)?;
                    let tree = mirrors.tree(&url, &commit.id).map_err(git)?;
                    remotes.add_repository(base.repository.clone(), base.reference.clone(), Arc::new(tree));
                    commits.insert(name, commit.id.to_string());
                }
            }
        }
    }
    Err(fail(format!("its remote bases need others, {MAX_ROUNDS} deep")))
}

enum Round {
    Cached(Arc<RenderedComponent>),
    Rendered(RenderedComponent),
    Needs(Vec<Remote>),
}

enum Problem {
    Git(seaway_git::Error),
    Render(String),
}

fn one_round(
    component: &ComponentAt,
    mirrors: &Mirrors,
    cache: &RenderCache,
    remotes: Remotes,
) -> Result<Round, Problem> {
    let tree = mirrors.tree(&component.repository, &component.commit).map_err(Problem::Git)?;
    if let Some(kept) = cache.lookup(component, &tree) {
        return Ok(Round::Cached(kept));
    }
    let request = RenderRequest {
        kind: component.kind.map(|kind| match kind {
            RenderKind::Plain => Kind::Plain,
            RenderKind::Kustomize => Kind::Kustomize,
            RenderKind::Script => Kind::Script,
            RenderKind::Helm => Kind::Helm,
        }),
        parameters: component.parameters.clone(),
        images: component.images.iter().map(image).collect(),
        remotes,
        ..RenderRequest::new(&tree, &component.path)
    };
    match seaway_render::render(&request).map_err(|error| Problem::Render(error.to_string()))? {
        Outcome::Needs(needs) => Ok(Round::Needs(needs)),
        Outcome::Rendered(rendered) => {
            let objects = rendered.objects.into_iter().map(|object| Source {
                value: object.value,
                component: component.name.clone(),
                origin: Origin { file: object.origin.file.clone(), line: object.origin.line },
            });
            let component = RenderedComponent {
                objects: objects.collect(),
                remotes: BTreeMap::new(),
                warnings: rendered.warnings,
                inputs: rendered.inputs,
            };
            Ok(Round::Rendered(component))
        }
    }
}

fn image(image: &Image) -> seaway_render::Image {
    seaway_render::Image {
        name: image.name.clone(),
        new_name: image.new_name.clone().unwrap_or_default(),
        new_tag: image.tag.clone().unwrap_or_default(),
        digest: image.digest.clone().unwrap_or_default(),
        ..seaway_render::Image::default()
    }
}
