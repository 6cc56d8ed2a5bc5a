//! Notes about where objects come from, as annotations: what `buildMetadata` asks for.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::node::{Kind, Node, Scalar};
use crate::remote::RemoteBase;
use crate::resmap::ResMap;
use crate::resource::{BuildOrigin, Resource};

const ORIGIN: &str = "config.kubernetes.io/origin";
const TRANSFORMATIONS: &str = "alpha.config.kubernetes.io/transformations";
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// What is asked for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct BuildMetadata {
    origin: bool,
    transformations: bool,
    managed_by: bool,
}

impl BuildMetadata {
    /// What a kustomization asks for; what nobody knows is ignored, as by kustomize.
    pub(crate) fn new(options: &[String]) -> Self {
        let has = |option: &str| options.iter().any(|other| other == option);
        Self {
            origin: has("originAnnotations"),
            transformations: has("transformerAnnotations"),
            managed_by: has("managedByLabel"),
        }
    }

    /// Whether origins have to be followed.
    pub(crate) fn tracks(self) -> bool {
        self.origin || self.transformations
    }

    /// Write the notes into the finished objects.
    pub(crate) fn write(self, map: &mut ResMap) {
        for resource in &mut map.list {
            resource.settle_texts("annotations");
            for annotation in [ORIGIN, TRANSFORMATIONS] {
                resource.remove_annotation(annotation);
            }
            if self.origin
                && let Some(origin) = resource.origin_annotation.clone()
            {
                resource.set_annotation(ORIGIN, &yaml(&origin));
            }
            if self.transformations && !resource.transformations.is_empty() {
                let mut text = String::new();
                for transformation in &resource.transformations {
                    for (index, line) in yaml(transformation).lines().enumerate() {
                        let _ = writeln!(text, "{} {line}", if index == 0 { "-" } else { " " });
                    }
                }
                resource.set_annotation(TRANSFORMATIONS, &text);
            }
            resource.settle_texts("annotations");
            if self.managed_by {
                set_managed_by(resource);
            }
        }
    }
}

fn set_managed_by(resource: &mut Resource) {
    let Some(metadata) = resource.node.as_map_mut().and_then(|map| map.get_mut("metadata")?.as_map_mut())
    else {
        return;
    };
    let labels = metadata.entry("labels", Kind::Map);
    if labels.is_null() {
        *labels = Kind::Map.empty();
    }
    let Some(labels) = labels.as_map_mut() else { return };
    let link = labels.get(MANAGED_BY).and_then(Node::as_scalar).map_or(0, |label| label.link);
    let label = Scalar { link, ..Scalar::text("kustomize-v5.6.0") };
    labels.insert(MANAGED_BY, Node::Scalar(label.clone()));
    if link != 0 {
        resource.node.write_linked(&[label]);
    }
}

/// A text as YAML, in quotes where it would mean something else without.
fn scalar(text: &str) -> String {
    seaway_object::yaml::to_string(&serde_json::Value::from(text)).trim_end().to_owned()
}

fn yaml(origin: &BuildOrigin) -> String {
    let mut text = String::new();
    let fields = [
        ("path", &origin.path),
        ("repo", &origin.repo),
        ("ref", &origin.reference),
        ("configuredIn", &origin.configured_in),
    ];
    for (key, value) in fields {
        if !value.is_empty() {
            let _ = writeln!(text, "{key}: {}", scalar(value));
        }
    }
    if let Some(by) = &origin.configured_by {
        text.push_str("configuredBy:\n");
        for (key, value) in ["apiVersion", "kind", "name", "namespace"].iter().zip(by) {
            if !value.is_empty() {
                let _ = writeln!(text, "  {key}: {}", scalar(value));
            }
        }
    }
    text
}

/// The way to the kustomization at work, for the notes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trail {
    origin: BuildOrigin,
}

impl Trail {
    pub(crate) fn enter(&self, path: &str, remote: Option<&RemoteBase>) -> Self {
        let mut origin = self.origin.clone();
        match remote {
            Some(base) => {
                origin.repo.clone_from(&base.repository);
                origin.reference = base.reference.clone().unwrap_or_default();
                origin.path.clone_from(&base.path);
            }
            None => origin.path = join(&origin.path, path),
        }
        Self { origin }
    }

    /// What is noted of an object of a file.
    pub(crate) fn file(&self, path: &str) -> Arc<BuildOrigin> {
        Arc::new(BuildOrigin { path: join(&self.origin.path, path), ..self.origin.clone() })
    }

    /// What is noted of something that the kustomization file itself configures.
    pub(crate) fn configured(&self, file: &str, kind: &str) -> Arc<BuildOrigin> {
        let by = ["builtin", kind, "", ""].map(str::to_owned);
        self.configured_by(&join(&self.origin.path, file), by)
    }

    /// What is noted of something that an object configures.
    pub(crate) fn configured_by_object(&self, config: &Resource) -> Arc<BuildOrigin> {
        let file = config.origin_annotation.as_ref().map(|origin| origin.path.clone()).unwrap_or_default();
        let by = [config.api_version(), config.kind(), config.name(), config.namespace()].map(str::to_owned);
        self.configured_by(&file, by)
    }

    fn configured_by(&self, file: &str, by: [String; 4]) -> Arc<BuildOrigin> {
        Arc::new(BuildOrigin {
            path: String::new(),
            configured_in: file.to_owned(),
            configured_by: Some(by),
            ..self.origin.clone()
        })
    }
}

fn join(directory: &str, path: &str) -> String {
    let mut parts: Vec<&str> = directory.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}
