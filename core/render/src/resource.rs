//! An object on its way through a kustomization, and what has to be remembered of its past.

use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::Problem;
use crate::field_path::look_up_mut;
use crate::id::{Gvk, ResId};
use crate::node::{Kind, Map, Node};
use crate::trace::Transformation;

/// Where an object comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The file that holds the object, or that configures its generator, as a path from the tree's root. A file of a
    /// remote base is prefixed with its repository.
    pub file: String,
    /// The line where the object or its generator starts, from 1; 0 when it is not known.
    pub line: usize,
}

/// What happens when a generated object meets one that is there already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Behavior {
    #[default]
    Unspecified,
    Create,
    Replace,
    Merge,
}

impl Behavior {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::Create => "create",
            Self::Replace => "replace",
            Self::Merge => "merge",
        }
    }
}

/// An earlier identity: namespace (effective), name, kind.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Previous {
    namespace: String,
    name: String,
    kind: String,
}

/// An object and its past.
#[derive(Debug, Clone)]
pub(crate) struct Resource {
    /// The object. Null once a patch has deleted it.
    pub(crate) node: Node,
    pub(crate) origin: Arc<Origin>,
    previous: Vec<Previous>,
    pub(crate) prefixes: Vec<String>,
    pub(crate) suffixes: Vec<String>,
    pub(crate) behavior: Behavior,
    /// The name gets a hash of the content in the end.
    pub(crate) hash: bool,
    /// As a patch: it may change the name of its target.
    pub(crate) may_rename: bool,
    /// As a patch: it may change the kind of its target.
    pub(crate) may_change_kind: bool,
    /// The variables whose value is a field of this object.
    pub(crate) variables: Vec<String>,
    /// What `buildMetadata: [originAnnotations]` prints.
    pub(crate) origin_annotation: Option<Arc<BuildOrigin>>,
    /// What `buildMetadata: [transformerAnnotations]` prints.
    pub(crate) transformations: Vec<Arc<BuildOrigin>>,
    /// What made it so far, when somebody asks.
    pub(crate) history: Vec<Arc<Transformation>>,
    /// Tells it apart while its history is written; 0 until then.
    pub(crate) serial: u32,
    /// How many links its scalars have had: see [`Scalar::link`](crate::node::Scalar).
    links: u32,
}

/// Annotations in which kustomize and the functions around it keep notes. What a file says in them counts, and none of
/// them is printed.
const NOTES: [&str; 17] = [
    "internal.config.kubernetes.io/previousKinds",
    "internal.config.kubernetes.io/previousNames",
    "internal.config.kubernetes.io/previousNamespaces",
    "internal.config.kubernetes.io/prefixes",
    "internal.config.kubernetes.io/suffixes",
    "internal.config.kubernetes.io/needsHashSuffix",
    "internal.config.kubernetes.io/generatorBehavior",
    "internal.config.kubernetes.io/allowNameChange",
    "internal.config.kubernetes.io/allowKindChange",
    "internal.config.kubernetes.io/refBy",
    "internal.config.kubernetes.io/index",
    "internal.config.kubernetes.io/path",
    "internal.config.kubernetes.io/id",
    "internal.config.kubernetes.io/seqindent",
    "config.kubernetes.io/index",
    "config.kubernetes.io/path",
    "config.k8s.io/id",
];

/// An entry of the annotations that `buildMetadata` asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct BuildOrigin {
    pub(crate) path: String,
    pub(crate) repo: String,
    pub(crate) reference: String,
    pub(crate) configured_in: String,
    /// apiVersion, kind, name, namespace of the configuration; empty parts are not printed.
    pub(crate) configured_by: Option<[String; 4]>,
}

impl Resource {
    pub(crate) fn new(node: Node, origin: Arc<Origin>) -> Self {
        Self {
            node,
            origin,
            previous: Vec::new(),
            prefixes: Vec::new(),
            suffixes: Vec::new(),
            behavior: Behavior::default(),
            hash: false,
            may_rename: false,
            may_change_kind: false,
            variables: Vec::new(),
            origin_annotation: None,
            transformations: Vec::new(),
            history: Vec::new(),
            serial: 0,
            links: 0,
        }
    }

    pub(crate) fn kind(&self) -> &str {
        self.node.get("kind").map_or("", Node::raw_text)
    }

    pub(crate) fn api_version(&self) -> &str {
        self.node.get("apiVersion").map_or("", Node::raw_text)
    }

    pub(crate) fn gvk(&self) -> Gvk {
        Gvk::new(self.api_version(), self.kind())
    }

    fn metadata_text(&self, field: &str) -> &str {
        match self.node.at(&["metadata", field]) {
            Some(node) if !node.is_null() => node.raw_text(),
            _ => "",
        }
    }

    pub(crate) fn name(&self) -> &str {
        self.metadata_text("name")
    }

    pub(crate) fn namespace(&self) -> &str {
        self.metadata_text("namespace")
    }

    /// Who the object is now.
    pub(crate) fn id(&self) -> ResId {
        ResId { gvk: self.gvk(), name: self.name().to_owned(), namespace: self.namespace().to_owned() }
    }

    /// Who the object was, oldest first. Group and version are today's.
    pub(crate) fn previous_ids(&self) -> impl Iterator<Item = ResId> + '_ {
        let gvk = self.gvk();
        self.previous.iter().map(move |previous| ResId {
            gvk: Gvk { kind: previous.kind.clone(), ..gvk.clone() },
            name: previous.name.clone(),
            namespace: previous.namespace.clone(),
        })
    }

    /// Who the object was in its file.
    pub(crate) fn original_id(&self) -> ResId {
        self.previous_ids().next().unwrap_or_else(|| self.id())
    }

    pub(crate) fn any_id(&self, matches: impl Fn(&ResId) -> bool) -> bool {
        self.previous_ids().any(|id| matches(&id)) || matches(&self.id())
    }

    /// Remember who the object is before it changes.
    pub(crate) fn remember_id(&mut self) {
        let id = self.id();
        self.previous.push(Previous {
            namespace: id.effective_namespace().to_owned(),
            name: id.name,
            kind: id.gvk.kind,
        });
    }

    /// New links for scalars of this object.
    pub(crate) fn take_links(&mut self, count: usize) -> Range<u32> {
        let first = self.links.saturating_add(1);
        let end = first.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
        self.links = end - 1;
        first..end
    }

    /// Annotations of an object of a file that are nothing are an empty map to kustomize; an empty map is not printed.
    pub(crate) fn open_annotations(&mut self) {
        if self.node.at(&["metadata", "annotations"]).is_some_and(Node::is_null) {
            self.ensure_annotations();
        }
    }

    /// Make the annotations a map, when they are absent or nothing.
    pub(crate) fn ensure_annotations(&mut self) {
        let Some(metadata) = self.metadata_mut() else { return };
        let annotations = metadata.entry("annotations", Kind::Map);
        if annotations.is_null() {
            *annotations = Kind::Map.empty();
        }
    }

    /// The link of a scalar, which it gets if it has none. The path is one of `look_up`.
    pub(crate) fn link(&mut self, path: &[String]) -> Option<u32> {
        let new = self.take_links(1).start;
        let Some(Node::Scalar(scalar)) = look_up_mut(&mut self.node, path).ok()? else { return None };
        if scalar.link == 0 {
            scalar.link = new;
        }
        Some(scalar.link)
    }

    /// kustomize keeps notes of where an object comes from in its annotations, and writes all of them anew when it takes
    /// one: then they are no longer one with annotations elsewhere in the object.
    pub(crate) fn unlink_annotations(&mut self) {
        if self.links > 0
            && let Some(metadata) = self.node.as_map_mut().and_then(|map| map.get_mut("metadata"))
            && let Some(annotations) = metadata.as_map_mut().and_then(|map| map.get_mut("annotations"))
        {
            annotations.unlink();
        }
    }

    /// Take the notes out of the annotations of an object of a file: see [`NOTES`].
    pub(crate) fn take_notes(&mut self) -> Result<(), Problem> {
        let is_note = |key: &str| key.contains("config.k") && NOTES.contains(&key);
        let annotations = self.node.at(&["metadata", "annotations"]).and_then(Node::as_map);
        if !annotations.is_some_and(|annotations| annotations.keys().any(is_note)) {
            return Ok(());
        }
        let [kinds, names, namespaces, prefixes, suffixes] = [0, 1, 2, 3, 4].map(|index| {
            let texts = self.annotation(NOTES[index]).unwrap_or_default();
            texts.split(',').filter(|_| !texts.is_empty()).map(str::to_owned).collect::<Vec<_>>()
        });
        if names.len() != kinds.len() || names.len() != namespaces.len() {
            return Err(Problem(format!(
                "number of previous names, number of previous namespaces, number of previous kinds not equal in the \
                 annotations of {}",
                self.id()
            )));
        }
        for ((kind, name), namespace) in kinds.into_iter().zip(names).zip(namespaces) {
            self.previous.push(Previous { namespace, name, kind });
        }
        self.prefixes = prefixes;
        self.suffixes = suffixes;
        self.hash = self.annotation(NOTES[5]) == Some("enabled");
        let Some(metadata) = self.metadata_mut() else { return Ok(()) };
        let Some(annotations) = metadata.get_mut("annotations").and_then(Node::as_map_mut) else {
            return Ok(());
        };
        NOTES.iter().for_each(|note| drop(annotations.remove(note)));
        if annotations.is_empty() {
            metadata.remove("annotations");
        }
        Ok(())
    }

    /// kustomize keeps its notes in annotations: who replaces all of them loses the notes, too. A JSON patch loses only
    /// those of where the object comes from.
    pub(crate) fn forget_notes(&mut self, all: bool) {
        self.origin_annotation = None;
        self.transformations.clear();
        if all {
            self.previous.clear();
            self.prefixes.clear();
            self.suffixes.clear();
            self.behavior = Behavior::Unspecified;
            self.hash = false;
        }
    }

    /// Take over the past of the object that this one replaces.
    pub(crate) fn inherit(&mut self, old: &Resource) {
        self.history.splice(0..0, old.history.iter().cloned());
        self.previous.clone_from(&old.previous);
        self.prefixes.clone_from(&old.prefixes);
        self.suffixes.clone_from(&old.suffixes);
        self.behavior = old.behavior;
        self.hash = self.hash && old.hash;
        self.variables.clone_from(&old.variables);
    }

    /// Whether kustomize would have notes about the object in its annotations by now.
    pub(crate) fn is_noted(&self) -> bool {
        !self.previous.is_empty()
            || self.hash
            || self.behavior != Behavior::Unspecified
            || self.origin_annotation.is_some()
    }

    pub(crate) fn is_deleted(&self) -> bool {
        self.node.is_null_or_empty()
    }

    fn metadata_mut(&mut self) -> Option<&mut Map> {
        self.node.as_map_mut()?.entry("metadata", Kind::Map).as_map_mut()
    }

    pub(crate) fn set_kind(&mut self, kind: &str) {
        if let Some(map) = self.node.as_map_mut() {
            map.entry("kind", Kind::Scalar).set_implicit(kind);
        }
    }

    pub(crate) fn set_api_version(&mut self, api_version: &str) {
        if let Some(map) = self.node.as_map_mut() {
            map.entry("apiVersion", Kind::Scalar).set_implicit(api_version);
        }
    }

    pub(crate) fn set_name(&mut self, name: &str) {
        if let Some(metadata) = self.metadata_mut() {
            metadata.entry("name", Kind::Scalar).set_implicit(name);
        }
    }

    /// An empty namespace removes the field.
    pub(crate) fn set_namespace(&mut self, namespace: &str) {
        if let Some(metadata) = self.metadata_mut() {
            if namespace.is_empty() {
                metadata.remove("namespace");
            } else {
                metadata.entry("namespace", Kind::Scalar).set_implicit(namespace);
            }
        }
    }

    /// The texts of a map, whatever they mean.
    pub(crate) fn texts(&self, path: &[&str]) -> Vec<(&str, &str)> {
        match self.node.at(path).and_then(Node::as_map) {
            Some(map) => map.iter().map(|(key, value)| (key, value.raw_text())).collect(),
            None => Vec::new(),
        }
    }

    pub(crate) fn labels(&self) -> Vec<(&str, &str)> {
        self.texts(&["metadata", "labels"])
    }

    pub(crate) fn annotations(&self) -> Vec<(&str, &str)> {
        self.texts(&["metadata", "annotations"])
    }

    pub(crate) fn annotation(&self, name: &str) -> Option<&str> {
        self.node.at(&["metadata", "annotations", name]).map(Node::raw_text)
    }

    /// Make every value of `labels` or `annotations` a text; drop the field when it holds nothing.
    pub(crate) fn settle_texts(&mut self, field: &str) {
        let Some(metadata) = self.metadata_mut() else { return };
        let Some(old) = metadata.remove(field) else { return };
        let texts: Map = match old.as_map() {
            Some(map) => {
                map.iter().map(|(key, value)| (key.to_owned(), Node::text(value.raw_text()))).collect()
            }
            None => return,
        };
        if !texts.is_empty() {
            metadata.insert(field, Node::Map(texts));
        }
    }

    /// Put texts under what is there already in `labels` or `annotations`.
    pub(crate) fn add_missing_texts(&mut self, field: &str, texts: &[(&str, &str)]) {
        if texts.is_empty() {
            return;
        }
        let Some(metadata) = self.metadata_mut() else { return };
        if let Some(map) = metadata.entry(field, Kind::Map).as_map_mut() {
            for (key, value) in texts {
                if map.get(key).is_none() {
                    map.insert(key, Node::text(*value));
                }
            }
        }
    }

    pub(crate) fn set_annotation(&mut self, name: &str, value: &str) {
        let Some(metadata) = self.metadata_mut() else { return };
        let annotations = metadata.entry("annotations", Kind::Map);
        if !matches!(annotations, Node::Map(_)) {
            *annotations = Kind::Map.empty();
        }
        if let Some(map) = annotations.as_map_mut() {
            map.insert(name, Node::text(value));
        }
    }

    pub(crate) fn remove_annotation(&mut self, name: &str) {
        if let Some(map) = self
            .node
            .as_map_mut()
            .and_then(|map| map.get_mut("metadata")?.as_map_mut()?.get_mut("annotations")?.as_map_mut())
        {
            map.remove(name);
        }
    }

    /// The object as it is printed.
    pub(crate) fn to_value(&self) -> Result<Value, Problem> {
        self.node.to_value().map_err(|(field, problem)| Problem(format!("{}: {field}: {problem}", self.id())))
    }
}
