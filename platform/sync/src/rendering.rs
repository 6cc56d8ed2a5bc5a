//! From commits to objects: the one place that knows the renderer.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use seaway_api::environment::Image;
use seaway_api::stack::RenderKind;
use seaway_git::{CommitId, Mirrors, RepositoryUrl, Revision};
use seaway_render::{Cache, Found, Kind, Outcome, Remote, Remotes, RenderRequest, Rendered, Shareable};
use seaway_source::{CommitTree, FileTree, TreePath};
use serde_json::Value;

use crate::desired::{Origin, Source, digest};
use crate::error::Error;
use crate::places::{Ids, Places};
use crate::queue::Seat;
use crate::replaced::Replaced;

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
    /// Files that hold something else: pattern of the path, and content.
    pub(crate) files: Vec<(String, String)>,
}

impl ComponentAt {
    /// Everything but the commit.
    fn question(&self) -> String {
        let images = serde_json::to_value(&self.images).unwrap_or_default();
        let parameters = serde_json::to_value(&self.parameters).unwrap_or_default();
        format!(
            "{} {} {:?} {} {} {:?} {}",
            self.repository,
            self.path,
            self.kind,
            digest(&parameters),
            digest(&images),
            self.remotes,
            digest(&serde_json::to_value(&self.files).unwrap_or_default()),
        )
    }
}

/// What a component is made of.
pub(crate) struct RenderedComponent {
    component: String,
    result: Shareable,
    /// Where its files are.
    places: Option<Places>,
    /// Where the result was.
    pub(crate) found: Found,
    /// Remote bases, with the commit each.
    pub(crate) remotes: BTreeMap<String, String>,
}

impl RenderedComponent {
    fn rendered(&self) -> Option<&Rendered> {
        match &*self.result {
            Outcome::Rendered(rendered) => Some(rendered),
            Outcome::Needs(_) => None,
        }
    }

    /// Its objects, each with its place.
    pub(crate) fn objects(&self) -> impl ExactSizeIterator<Item = Source> {
        let objects = self.rendered().map_or(&[][..], |rendered| rendered.objects.as_slice());
        objects.iter().map(|object| Source {
            value: object.value.clone(),
            component: self.component.clone(),
            origin: Origin { file: object.origin.file.clone(), line: object.origin.line },
        })
    }

    /// Whether it would be the same in another tree.
    pub(crate) fn holds_in(&self, tree: &CommitTree, ids: &mut Ids) -> bool {
        if self.places.as_ref().is_some_and(|places| places.are_in(tree, ids)) {
            return true;
        }
        self.rendered().is_some_and(|rendered| rendered.inputs.hold_in(tree))
    }

    /// What should be changed in it, though it works.
    pub(crate) fn warnings(&self) -> impl Iterator<Item = &String> {
        self.rendered().into_iter().flat_map(|rendered| &rendered.warnings)
    }
}

/// What a component's remote bases are, as long as nothing else is asked.
struct Bases {
    question: String,
    commit: CommitId,
    commits: BTreeMap<String, String>,
}

/// What is kept of renderings: the results by all environments together, in memory and in a folder behind it; the
/// commits of remote bases by each.
#[derive(Clone)]
pub(crate) struct RenderCache {
    results: Cache,
    /// By component.
    bases: Arc<Mutex<BTreeMap<String, Bases>>>,
}

impl RenderCache {
    /// What the folder may take, in bytes.
    const MAX_BYTES: u64 = 512 << 20;

    /// Keeps results in a folder, which is made when it is absent. They may be lost: where there can be no folder, as
    /// on a full disk, they are kept in memory.
    pub(crate) fn open(folder: &Path) -> Self {
        let results = Cache::with_folder(folder, Self::MAX_BYTES).unwrap_or_else(|error| {
            tracing::warn!(folder = %folder.display(), %error, "what is rendered is kept in memory alone");
            Cache::in_memory()
        });
        Self { results, bases: Arc::default() }
    }

    /// The same results, with remote bases of its own.
    pub(crate) fn of_environment(&self) -> Self {
        Self { results: self.results.clone(), bases: Arc::default() }
    }

    /// The commits of remote bases that were taken last. Whether a branch there has moved since, only a person or a new
    /// commit of the component tells.
    fn bases(&self, component: &ComponentAt) -> BTreeMap<String, String> {
        let bases = self.bases.lock();
        let same = bases
            .get(&component.name)
            .filter(|bases| bases.commit == component.commit && bases.question == component.question());
        same.map(|bases| bases.commits.clone()).unwrap_or_default()
    }

    fn remember(&self, component: &ComponentAt, commits: &BTreeMap<String, String>) {
        let mut bases = self.bases.lock();
        if commits.is_empty() {
            bases.remove(&component.name);
            return;
        }
        let (question, commit) = (component.question(), component.commit.clone());
        bases.insert(component.name.clone(), Bases { question, commit, commits: commits.clone() });
    }
}

/// Renders a component; `allows` says which further repositories it may use. The `seat` is left while those are asked.
pub(crate) async fn render(
    component: ComponentAt,
    mirrors: &Mirrors,
    cache: &RenderCache,
    allows: &(dyn Fn(&str) -> bool + Sync),
    seat: Option<&Seat<'_>>,
) -> Result<Arc<RenderedComponent>, Error> {
    let git = |source| Error::Git { component: component.name.clone(), source };
    let fail = |message: String| Error::Render {
        component: component.name.clone(),
        commit: component.commit.as_str().chars().take(8).collect(),
        message,
    };
    let known = cache.bases(&component);
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
        let (result, found, places) = round.map_err(|problem| match problem {
            Problem::Git(error) => git(error),
            Problem::Render(message) => fail(message),
        })?;
        if let Outcome::Rendered(Rendered { encrypted, .. }) = &*result
            && !encrypted.is_empty()
        {
            return Err(fail(format!(
                "{} is encrypted with SOPS, which is not decrypted here: use an ExternalSecret or a SealedSecret",
                encrypted.join(", ")
            )));
        }
        let Outcome::Needs(needs) = &*result else {
            cache.remember(&component, &commits);
            let component = component.name.clone();
            return Ok(Arc::new(RenderedComponent { component, result, places, found, remotes: commits }));
        };
        for need in needs {
            let Remote::Base(base) = need else {
                return Err(fail(format!("{need}: files over HTTP are not fetched: commit them")));
            };
            if !allows(&base.repository) {
                return Err(fail(format!(
                    "{need}: the stack does not allow this repository: add it to spec.allow.repositories"
                )));
            }
            let name = need.to_string();
            let url: RepositoryUrl = base.repository.parse().map_err(git)?;
            let revision = component.remotes.get(&name).or(known.get(&name)).or(base.reference.as_ref());
            let revision: Revision = revision.map_or("", String::as_str).parse().map_err(git)?;
            let fetch = mirrors.fetch(&url, &revision);
            let commit = match seat {
                Some(seat) => seat.leave_for(fetch).await,
                None => fetch.await,
            };
            let commit = commit.map_err(git)?;
            let tree = mirrors.tree(&url, &commit.id).map_err(git)?;
            remotes.add_repository(base.repository.clone(), base.reference.clone(), Arc::new(tree));
            commits.insert(name, commit.id.to_string());
        }
    }
    Err(fail(format!("its remote bases need others, {MAX_ROUNDS} deep")))
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
) -> Result<(Shareable, Found, Option<Places>), Problem> {
    let commit = mirrors.tree(&component.repository, &component.commit).map_err(Problem::Git)?;
    let replaced = Replaced { tree: &commit, files: &component.files };
    let tree: &dyn FileTree = if component.files.is_empty() { &commit } else { &replaced };
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
        ..RenderRequest::new(tree, &component.path)
    };
    // Many repositories have the same paths.
    let results = cache.results.of_source(&component.repository.to_string());
    let (result, found) = results.render(&request).map_err(|error| {
        let is_there = TreePath::new(&component.path).map_or(true, |path| tree.find(&path).is_ok_and(|found| found.is_some()));
        Problem::Render(match is_there {
            true => error.to_string(),
            false => format!(
                "there is no directory {:?} in the repository: correct source.path of the component, or push it",
                component.path
            ),
        })
    })?;
    let places = match &*result {
        Outcome::Rendered(rendered) if component.files.is_empty() => Places::of(&rendered.inputs, &commit),
        _ => None,
    };
    Ok((result, found, places))
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

#[cfg(test)]
mod tests;
