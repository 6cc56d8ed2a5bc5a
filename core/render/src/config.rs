//! Which fields transformers change: what kustomize knows by itself, and what `configurations` and `crds` add.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, OnceLock};

use serde::Deserialize;
use serde_json::Value;

use crate::error::Problem;
use crate::fieldspec::{FieldSpec, merge_spec, merge_specs};
use crate::id::Gvk;
use crate::kustomization::to_text;
use crate::transformers::sort::kind_order;

mod defaults;
mod openapi;

/// The fields that hold the name of another object.
#[derive(Debug, Clone)]
pub(crate) struct NameReference {
    /// What is referred to.
    pub(crate) target: Gvk,
    /// Where.
    pub(crate) fields: Vec<FieldSpec>,
}

/// Which fields transformers change.
#[derive(Debug, Clone, Default)]
pub(crate) struct Config {
    pub(crate) name_prefix: Vec<FieldSpec>,
    pub(crate) name_suffix: Vec<FieldSpec>,
    pub(crate) namespace: Vec<FieldSpec>,
    pub(crate) common_labels: Vec<FieldSpec>,
    pub(crate) labels: Vec<FieldSpec>,
    pub(crate) template_labels: Vec<FieldSpec>,
    pub(crate) common_annotations: Vec<FieldSpec>,
    pub(crate) images: Vec<FieldSpec>,
    pub(crate) replicas: Vec<FieldSpec>,
    pub(crate) name_references: NameReferences,
    pub(crate) var_references: Vec<FieldSpec>,
}

/// All fields that hold names, found by the kind of the object that has them: there are hundreds.
#[derive(Debug, Clone, Default)]
pub(crate) struct NameReferences {
    list: Vec<NameReference>,
    /// By kind: which reference, and which of its fields, in their order; under no kind those that any kind has.
    by_kind: OnceLock<HashMap<String, Vec<(usize, usize)>>>,
}

impl NameReferences {
    pub(crate) fn new(list: Vec<NameReference>) -> Self {
        Self { list, by_kind: OnceLock::new() }
    }

    /// What a kind of objects may refer to, and the field that does.
    pub(crate) fn of(&self, gvk: &Gvk) -> impl Iterator<Item = (&Gvk, &FieldSpec)> {
        let by_kind = self.by_kind.get_or_init(|| self.index());
        let places = by_kind.get(&gvk.kind).or_else(|| by_kind.get(""));
        let fields = places.into_iter().flatten().filter_map(|(reference, field)| {
            let reference = self.list.get(*reference)?;
            Some((&reference.target, reference.fields.get(*field)?))
        });
        fields.filter(|(_, field)| gvk.is_selected_by(&field.gvk))
    }

    fn index(&self) -> HashMap<String, Vec<(usize, usize)>> {
        let fields = || {
            self.list.iter().enumerate().flat_map(|(reference, it)| {
                it.fields.iter().enumerate().map(move |(field, spec)| ((reference, field), &spec.gvk.kind))
            })
        };
        let mut kinds: HashMap<String, Vec<(usize, usize)>> =
            fields().map(|(_, kind)| (kind.clone(), Vec::new())).collect();
        kinds.entry(String::new()).or_default();
        for (place, kind) in fields() {
            if kind.is_empty() {
                kinds.values_mut().for_each(|places| places.push(place));
            } else if let Some(places) = kinds.get_mut(kind) {
                places.push(place);
            }
        }
        kinds
    }

    fn add(&mut self, reference: &NameReference) -> Result<(), Problem> {
        self.by_kind = OnceLock::new();
        match self.list.iter_mut().find(|known| known.target == reference.target) {
            Some(known) => merge_specs(&mut known.fields, &reference.fields),
            None => {
                self.list.push(reference.clone());
                Ok(())
            }
        }
    }
}

impl Config {
    /// What kustomize knows by itself.
    pub(crate) fn standard() -> Arc<Self> {
        static STANDARD: LazyLock<Arc<Config>> = LazyLock::new(|| Arc::new(defaults::config()));
        Arc::clone(&STANDARD)
    }

    /// Add what `other` has and this one lacks.
    ///
    /// A field that is named for some kind hides the same field named for any kind when it is there first, and the
    /// lists are sorted so that it mostly is: a `namePrefix` configuration for one kind stops prefixes for all
    /// others. kustomize has it so, and configurations rely on it.
    pub(crate) fn merge(&mut self, other: &Config) -> Result<(), Problem> {
        for (own, theirs) in [
            (&mut self.name_prefix, &other.name_prefix),
            (&mut self.name_suffix, &other.name_suffix),
            (&mut self.namespace, &other.namespace),
            (&mut self.common_labels, &other.common_labels),
            (&mut self.labels, &other.labels),
            (&mut self.template_labels, &other.template_labels),
            (&mut self.common_annotations, &other.common_annotations),
            (&mut self.images, &other.images),
            (&mut self.replicas, &other.replicas),
            (&mut self.var_references, &other.var_references),
        ] {
            merge_specs(own, theirs)?;
            own.sort_by_cached_key(|spec| kind_order(&spec.gvk));
        }
        other.name_references.list.iter().try_for_each(|reference| self.name_references.add(reference))
    }

    /// A file of `configurations`.
    pub(crate) fn parse(value: &Value) -> Result<Self, Problem> {
        let mut value = value.clone();
        spell(&mut value);
        let file: ConfigFile = crate::kustomization::read_exactly(value)?;
        let specs = |specs: Vec<RawSpec>| specs.into_iter().map(RawSpec::into_spec).collect::<Vec<_>>();
        Ok(Self {
            name_prefix: specs(file.name_prefix),
            name_suffix: specs(file.name_suffix),
            namespace: specs(file.namespace),
            common_labels: specs(file.common_labels),
            labels: specs(file.labels),
            template_labels: specs(file.template_labels),
            common_annotations: specs(file.common_annotations),
            images: specs(file.images),
            replicas: specs(file.replicas),
            name_references: NameReferences::new(
                file.name_reference
                    .into_iter()
                    .map(|reference| NameReference {
                        target: Gvk {
                            group: reference.group,
                            version: reference.version,
                            kind: reference.kind,
                        },
                        fields: specs(reference.field_specs),
                    })
                    .collect(),
            ),
            var_references: specs(file.var_reference),
        })
    }

    /// A file of `crds`: OpenAPI definitions by name, whose properties say which of them hold names, labels and
    /// annotations.
    pub(crate) fn from_definitions(definitions: &Value) -> Result<Self, Problem> {
        let mut config = Self::default();
        let Some(definitions) = definitions.as_object() else {
            return Err(Problem(
                "is not a map of OpenAPI definitions: see the kustomize field `crds`".to_owned(),
            ));
        };
        for (name, definition) in definitions {
            openapi::check(name, definition)?;
            let properties = properties(definitions, name);
            let is_object =
                |names: &[&str]| properties.is_some_and(|it| names.iter().all(|name| it.contains_key(*name)));
            if !is_object(&["kind", "apiVersion", "metadata"]) {
                continue;
            }
            let kind = name.rsplit('.').next().unwrap_or_default();
            let gvk = Gvk { kind: kind.to_owned(), ..Gvk::default() };
            config.add_definition(definitions, name, &gvk, &mut Vec::new())?;
        }
        Ok(config)
    }

    fn add_definition(
        &mut self,
        definitions: &serde_json::Map<String, Value>,
        name: &str,
        gvk: &Gvk,
        path: &mut Vec<String>,
    ) -> Result<(), Problem> {
        // Definitions may contain themselves.
        if path.len() > 32 {
            return Ok(());
        }
        let Some(properties) = properties(definitions, name) else { return Ok(()) };
        for (property, schema) in properties {
            path.push(property.clone());
            let spec = |path: &[String]| FieldSpec::new(gvk.clone(), &path.join("/"), false);
            let text = |key: &str| schema.get(key).and_then(Value::as_str);
            if text("x-kubernetes-annotation").is_some() {
                merge_spec(&mut self.common_annotations, &spec(path))?;
            }
            if text("x-kubernetes-label-selector").is_some() {
                merge_spec(&mut self.common_labels, &spec(path))?;
            }
            if text("x-kubernetes-identity").is_some() {
                merge_spec(&mut self.name_prefix, &spec(path))?;
            }
            if let (Some(version), Some(kind)) =
                (text("x-kubernetes-object-ref-api-version"), text("x-kubernetes-object-ref-kind"))
            {
                let key = text("x-kubernetes-object-ref-name-key").unwrap_or("name");
                path.push(key.to_owned());
                let target = Gvk { version: version.to_owned(), kind: kind.to_owned(), group: String::new() };
                self.name_references.add(&NameReference { target, fields: vec![spec(path)] })?;
                path.pop();
            }
            if let Some(reference) = text("$ref") {
                self.add_definition(definitions, reference, gvk, path)?;
            }
            path.pop();
        }
        Ok(())
    }
}

fn properties<'a>(
    definitions: &'a serde_json::Map<String, Value>,
    name: &str,
) -> Option<&'a serde_json::Map<String, Value>> {
    openapi::field(definitions.get(name)?, "Schema")?.get("properties")?.as_object()
}

/// A field in a configuration file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawSpec {
    group: String,
    version: String,
    kind: String,
    path: String,
    create: bool,
}

impl RawSpec {
    pub(crate) fn into_spec(self) -> FieldSpec {
        let gvk = Gvk { group: self.group, version: self.version, kind: self.kind };
        FieldSpec::new(gvk, &self.path, self.create)
    }
}

/// Spell the keys of a configuration as they are spelled here: Go matches them without regard to case.
fn spell(value: &mut Value) {
    const KEYS: [&str; 16] = [
        "namePrefix",
        "nameSuffix",
        "namespace",
        "commonLabels",
        "labels",
        "templateLabels",
        "commonAnnotations",
        "nameReference",
        "varReference",
        "images",
        "replicas",
        "fieldSpecs",
        "group",
        "version",
        "kind",
        "path",
    ];
    match value {
        Value::Object(object) => {
            *object = std::mem::take(object)
                .into_iter()
                .map(|(key, mut value)| {
                    spell(&mut value);
                    if key.eq_ignore_ascii_case("path") {
                        to_text(&mut value);
                    }
                    let known = KEYS.iter().chain(&["create"]).find(|known| known.eq_ignore_ascii_case(&key));
                    (known.map_or(key, |known| (*known).to_owned()), value)
                })
                .collect();
        }
        Value::Array(items) => items.iter_mut().for_each(spell),
        _ => {}
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct ConfigFile {
    name_prefix: Vec<RawSpec>,
    name_suffix: Vec<RawSpec>,
    namespace: Vec<RawSpec>,
    common_labels: Vec<RawSpec>,
    labels: Vec<RawSpec>,
    template_labels: Vec<RawSpec>,
    common_annotations: Vec<RawSpec>,
    images: Vec<RawSpec>,
    replicas: Vec<RawSpec>,
    name_reference: Vec<RawReference>,
    var_reference: Vec<RawSpec>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct RawReference {
    group: String,
    version: String,
    kind: String,
    field_specs: Vec<RawSpec>,
}
