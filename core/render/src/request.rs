//! What is asked, and what comes back.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use seaway_source::{Directory, EntryKind, FileTree, Inputs, Recording, TreePath};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::accumulate::{self, Context};
use crate::config::Config;
use crate::error::{Error, Place, Problem, Stop};
use crate::id::{Scope, scope, split_api_version};
use crate::kustomization::{FILE_NAMES, Image};
use crate::loader::{LoadRestriction, Loader};
use crate::node::Node;
use crate::objects;
use crate::plain::{self, PlainOptions};
use crate::remote::{Remote, Remotes};
use crate::resmap::ResMap;
use crate::resource::{Origin, Resource};
use crate::trace::{self, Step, Stopwatch, Trace, Transformation};
use crate::transformers::images::ImageRule;

/// How files become objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// The objects that the files hold, as they are.
    Plain,
    /// A kustomization.
    Kustomize,
    /// A TypeScript program. Not there yet.
    Script,
    /// A Helm chart. Not there yet.
    Helm,
}

/// What to render.
#[derive(Debug, Clone)]
pub struct RenderRequest<'a> {
    /// The files.
    pub tree: &'a dyn FileTree,
    /// The directory (or, for plain YAML, the file) to render, from the tree's root.
    pub path: &'a str,
    /// How; `None`: see [`detect`].
    pub kind: Option<Kind>,
    /// For scripts and charts; an error elsewhere.
    pub parameters: BTreeMap<String, Value>,
    /// Images to replace in the result, as `images` of a kustomization.
    pub images: Vec<Image>,
    /// The namespace of objects that have none: those of built-in kinds that live in namespaces, and those of kinds
    /// whose definition is among the objects. Of other kinds it is not known here whether they live in one.
    pub namespace: Option<String>,
    /// Which files a kustomization may name.
    pub restriction: LoadRestriction,
    /// Which files count in a plain directory.
    pub plain: PlainOptions,
    /// What has been fetched already.
    pub remotes: Remotes,
    /// Note what makes each object ([`RenderedObject::history`]), with times.
    pub explain: Option<Stopwatch>,
}

impl<'a> RenderRequest<'a> {
    /// Render `path` of `tree`, kind detected, nothing replaced.
    pub fn new(tree: &'a dyn FileTree, path: &'a str) -> Self {
        Self {
            tree,
            path,
            kind: None,
            parameters: BTreeMap::new(),
            images: Vec::new(),
            namespace: None,
            restriction: LoadRestriction::default(),
            plain: PlainOptions::default(),
            remotes: Remotes::default(),
            explain: None,
        }
    }
}

/// An object and where it is from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RenderedObject {
    /// The object.
    pub value: Value,
    /// The file and line that it is from.
    pub origin: Arc<Origin>,
    /// What made it, in order; empty unless [`RenderRequest::explain`] asks for it.
    #[serde(skip)]
    pub history: Vec<Arc<Transformation>>,
}

/// What a request gives.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Rendered {
    /// How it was rendered.
    pub kind: Kind,
    /// The objects, in order.
    pub objects: Vec<RenderedObject>,
    /// Everything that was asked of the tree, also what was not there. What was asked of other repositories is not
    /// in it: their commits say what is in them.
    pub inputs: Inputs,
    /// What should be changed, though it works: deprecated fields, variables that nothing uses.
    pub warnings: Vec<String>,
    /// Files that SOPS has encrypted and a kustomization has taken as they are: into a Secret, for example.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub encrypted: Vec<String>,
}

/// What a request leads to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Outcome {
    /// Objects.
    Rendered(Rendered),
    /// These must be fetched first; then ask again with them in [`RenderRequest::remotes`]. More may turn up then.
    Needs(Vec<Remote>),
}

/// How a directory would be rendered: as a kustomization if it has a kustomization file, as plain YAML otherwise.
pub fn detect(tree: &dyn FileTree, path: &TreePath) -> Result<Kind, Error> {
    let fail = |source| Error::Source { named_by: Place::file(path.to_string()), cause: source };
    let is_directory = tree.find(path).map_err(fail)?.is_some_and(|entry| entry.kind == EntryKind::Directory);
    if is_directory {
        for name in FILE_NAMES {
            let file = path.join(name).map_err(fail)?;
            if tree.find(&file).map_err(fail)?.is_some_and(|entry| entry.kind == EntryKind::File) {
                return Ok(Kind::Kustomize);
            }
        }
    }
    Ok(Kind::Plain)
}

/// Render. Equal requests over trees that answer alike give equal results.
pub fn render(request: &RenderRequest<'_>) -> Result<Outcome, Error> {
    Ok(render_recorded(request)?.0)
}

/// As [`render`], with what was asked of the tree beside it when the outcome does not hold that.
pub(crate) fn render_recorded(request: &RenderRequest<'_>) -> Result<(Outcome, Inputs), Error> {
    let recording = Recording::new(request.tree);
    let path = TreePath::new(request.path)
        .map_err(|source| Error::Source { named_by: Place::file("the requested path"), cause: source })?;
    let kind = match request.kind {
        Some(kind) => kind,
        None => detect(&recording, &path)?,
    };
    if !request.parameters.is_empty() && !matches!(kind, Kind::Script | Kind::Helm) {
        return Err(Error::Request(format!(
            "{path}: parameters are for scripts and charts; this is rendered as {kind:?}"
        )));
    }
    let (mut warnings, mut encrypted) = (Vec::new(), Vec::new());
    let mut objects = match kind {
        Kind::Plain => plain::render(&recording, &path, &request.plain, request.explain.as_ref())?,
        Kind::Kustomize => match kustomize(&recording, &path, request, (&mut warnings, &mut encrypted))? {
            Ok(objects) => objects,
            Err(needs) => return Ok((Outcome::Needs(needs), recording.into_inputs())),
        },
        Kind::Script | Kind::Helm => {
            return Err(Error::Unsupported {
                place: Place::file(path.to_string()),
                what: format!("rendering as {kind:?}"),
                instead: "use plain YAML or a kustomization".to_owned(),
            });
        }
    };
    if !request.images.is_empty() {
        noted(&mut objects, request, "images", |objects| replace_images(objects, &request.images))?;
    }
    if let Some(namespace) = &request.namespace {
        noted(&mut objects, request, "namespace", |objects| {
            set_namespace(objects, namespace);
            Ok(())
        })?;
    }
    let rendered = Rendered { kind, objects, inputs: recording.into_inputs(), warnings, encrypted };
    Ok((Outcome::Rendered(rendered), Inputs::default()))
}

/// Change the objects as the request itself asks, and note that with those that are changed if it is to be explained.
fn noted(
    objects: &mut [RenderedObject],
    request: &RenderRequest<'_>,
    what: &str,
    change: impl FnOnce(&mut [RenderedObject]) -> Result<(), Error>,
) -> Result<(), Error> {
    let Some(stopwatch) = &request.explain else { return change(objects) };
    let before: Vec<Node> = objects.iter().map(|object| Node::from_value(&object.value)).collect();
    let began = stopwatch.read();
    change(objects)?;
    let took = stopwatch.read().saturating_sub(began);
    let step = Step { what: what.to_owned(), ..Step::at(Place::file("the request")) };
    for (object, before) in objects.iter_mut().zip(&before) {
        let fields = trace::changed_fields(before, &Node::from_value(&object.value));
        if !fields.is_empty() {
            object.history.push(step.done(took, fields));
        }
    }
    Ok(())
}

fn kustomize(
    tree: &dyn FileTree,
    path: &TreePath,
    request: &RenderRequest<'_>,
    (warnings, encrypted): (&mut Vec<String>, &mut Vec<String>),
) -> Result<Result<Vec<RenderedObject>, Vec<Remote>>, Error> {
    let fail = |source| Error::Source { named_by: Place::file(path.to_string()), cause: source };
    let root = match tree.find(path).map_err(fail)? {
        Some(entry) if entry.kind == EntryKind::Directory => entry.path,
        Some(_) => return Err(fail(seaway_source::Error::NotADirectory { path: path.clone() })),
        None => return Err(fail(seaway_source::Error::NotFound { path: path.clone() })),
    };
    let loader = Loader::new(tree, root, request.restriction, &request.remotes);
    let mut context = Context::default();
    context.trace = request.explain.clone().map(Trace::new);
    let result = accumulate::render(&mut context, &loader);
    // While something is missing, whatever else is wrong may follow from that.
    if !context.needs.is_empty() {
        return Ok(Err(context.needs));
    }
    let map = match result {
        Ok(map) => map,
        Err(Stop::Needs(remote)) => return Ok(Err(vec![remote])),
        Err(Stop::Error(error)) => return Err(*error),
    };
    warnings.append(&mut context.warnings);
    *encrypted = loader.encrypted();
    let mut objects = Vec::with_capacity(map.list.len());
    for resource in map.list {
        let Resource { node, origin, history, .. } = resource;
        // A patch or a replacement may have taken its name.
        objects::check(&node).map_err(|problem| {
            Problem(problem).at(Place {
                file: origin.file.clone(),
                line: Some(origin.line),
                field: String::new(),
            })
        })?;
        // The texts go into the value: what the object is called, its place has to say.
        let value = node.into_value().map_err(|(field, problem)| {
            let place = Place { file: origin.file.clone(), line: Some(origin.line), field };
            Problem(problem).at(place)
        })?;
        objects.push(RenderedObject { value, origin, history });
    }
    Ok(Ok(objects))
}

fn replace_images(objects: &mut [RenderedObject], images: &[Image]) -> Result<(), Error> {
    let config = Config::standard();
    let mut map = ResMap::default();
    map.list.extend(
        objects
            .iter()
            .map(|object| Resource::new(Node::from_value(&object.value), Arc::clone(&object.origin))),
    );
    let fail = |Problem(problem): Problem| Error::Request(format!("images: {problem}"));
    for image in images {
        ImageRule::new(image).and_then(|rule| rule.apply(&mut map, &config.images)).map_err(fail)?;
    }
    for (object, resource) in objects.iter_mut().zip(&map.list) {
        object.value = resource.to_value().map_err(fail)?;
    }
    Ok(())
}

fn set_namespace(objects: &mut [RenderedObject], namespace: &str) {
    let text = |value: &Value, pointer: &str| {
        value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let defined: BTreeMap<(String, String), bool> = objects
        .iter()
        .filter(|object| text(&object.value, "/kind") == "CustomResourceDefinition")
        .map(|object| {
            let key = (text(&object.value, "/spec/group"), text(&object.value, "/spec/names/kind"));
            (key, text(&object.value, "/spec/scope") == "Namespaced")
        })
        .collect();
    for object in objects {
        let (api_version, kind) = (text(&object.value, "/apiVersion"), text(&object.value, "/kind"));
        let (group, version) = split_api_version(&api_version);
        let namespaced = match scope(group, version, &kind) {
            Some(scope) => scope == Scope::Namespaced,
            None => defined.get(&(group.to_owned(), kind)).copied().unwrap_or_default(),
        };
        if namespaced
            && let Some(metadata) = object.value.get_mut("metadata").and_then(Value::as_object_mut)
            && metadata.get("namespace").and_then(Value::as_str).is_none_or(str::is_empty)
        {
            metadata.insert("namespace".to_owned(), Value::from(namespace));
        }
    }
}

/// Render a directory on disk. `root` is what may be read; `directory`, which lies in it, is rendered.
///
/// The load restriction is kustomize's: a kustomization reads files in or below its own directory.
pub fn render_directory(root: &Path, directory: &Path, kind: Option<Kind>) -> Result<Outcome, Error> {
    let place = || Place::file(directory.display().to_string());
    let fail = |source| Error::Source { named_by: place(), cause: source };
    let tree = Directory::open(root).map_err(fail)?;
    let path = tree.path_of(directory).map_err(fail)?;
    render(&RenderRequest { kind, ..RenderRequest::new(&tree, path.as_str()) })
}
