//! The kustomization file.

mod names;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::config::RawSpec;
use crate::error::Problem;
pub(crate) use names::{Type, to_text};
use names::{Unknown, spell};

/// The file names that make a directory a kustomization; exactly one may be there.
pub(crate) const FILE_NAMES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// A kustomization (`v1beta1`) or a component (`v1alpha1`), deprecated fields still apart.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Kustomization {
    pub(crate) api_version: String,
    pub(crate) kind: String,
    #[serde(rename = "metadata")]
    _metadata: Option<Metadata>,
    pub(crate) openapi: BTreeMap<String, String>,
    pub(crate) name_prefix: String,
    pub(crate) name_suffix: String,
    pub(crate) namespace: String,
    pub(crate) common_labels: BTreeMap<String, String>,
    pub(crate) labels: Vec<Labels>,
    pub(crate) common_annotations: BTreeMap<String, String>,
    pub(crate) patches_strategic_merge: Vec<String>,
    #[serde(rename = "patchesJson6902")]
    pub(crate) patches_json6902: Vec<Patch>,
    pub(crate) patches: Vec<Patch>,
    pub(crate) images: Vec<Image>,
    image_tags: Vec<Image>,
    pub(crate) replacements: Vec<ReplacementField>,
    pub(crate) replicas: Vec<Replica>,
    pub(crate) vars: Vec<Var>,
    pub(crate) sort_options: Option<SortOptions>,
    pub(crate) resources: Vec<String>,
    pub(crate) components: Vec<String>,
    pub(crate) crds: Vec<String>,
    bases: Vec<String>,
    pub(crate) config_map_generator: Vec<GeneratorArgs>,
    pub(crate) secret_generator: Vec<GeneratorArgs>,
    #[serde(rename = "helmGlobals")]
    _helm_globals: Option<HelmGlobals>,
    pub(crate) helm_charts: Vec<Value>,
    pub(crate) helm_chart_inflation_generator: Vec<Value>,
    pub(crate) generator_options: Option<GeneratorOptions>,
    pub(crate) configurations: Vec<String>,
    pub(crate) generators: Vec<String>,
    pub(crate) transformers: Vec<String>,
    pub(crate) validators: Vec<String>,
    pub(crate) build_metadata: Vec<String>,
}

/// What a kustomization says of itself. Nothing uses it, but what is no metadata is refused.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Metadata {
    #[serde(rename = "name")]
    _name: String,
    #[serde(rename = "namespace")]
    _namespace: String,
    #[serde(rename = "labels")]
    _labels: BTreeMap<String, String>,
    #[serde(rename = "annotations")]
    _annotations: BTreeMap<String, String>,
}

/// Settings for `helmCharts`, which are not inflated here.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct HelmGlobals {
    #[serde(rename = "chartHome")]
    _chart_home: String,
    #[serde(rename = "configHome")]
    _config_home: String,
}

/// An entry of `labels`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Labels {
    pub(crate) pairs: BTreeMap<String, String>,
    pub(crate) include_selectors: bool,
    pub(crate) include_templates: bool,
    pub(crate) fields: Vec<RawSpec>,
}

/// An entry of `patches` or `patchesJson6902`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Patch {
    pub(crate) path: String,
    pub(crate) patch: String,
    pub(crate) target: Option<Target>,
    pub(crate) options: BTreeMap<String, bool>,
}

/// A selector of objects: regular expressions in `patches`, exact in replacements.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Target {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) label_selector: String,
    pub(crate) annotation_selector: String,
}

/// An entry of `images`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Image {
    /// The image's name, without tag and digest; a regular expression.
    pub name: String,
    /// What the name becomes; empty: it stays.
    pub new_name: String,
    /// Text behind the tag.
    pub tag_suffix: String,
    /// What the tag becomes; empty: it stays, unless a digest is given.
    #[serde(alias = "tag")]
    pub new_tag: String,
    /// What the digest becomes (`sha256:…`).
    pub digest: String,
}

/// An entry of `replicas`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Replica {
    pub(crate) name: String,
    pub(crate) count: i64,
}

/// An entry of `replacements`: a replacement, or the path of a file with some.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ReplacementField {
    pub(crate) path: String,
    pub(crate) source: Option<ReplacementSource>,
    pub(crate) targets: Option<Vec<ReplacementTarget>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct ReplacementSource {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) field_path: String,
    pub(crate) options: Option<FieldOptions>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct ReplacementTarget {
    pub(crate) select: Option<Target>,
    pub(crate) reject: Vec<Target>,
    pub(crate) field_paths: Vec<String>,
    pub(crate) options: Option<FieldOptions>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct FieldOptions {
    pub(crate) delimiter: String,
    pub(crate) index: i64,
    /// Read and ignored, as by kustomize.
    #[serde(rename = "encoding")]
    _encoding: String,
    pub(crate) create: bool,
}

/// An entry of `vars`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Var {
    pub(crate) name: String,
    pub(crate) objref: VarObject,
    pub(crate) fieldref: VarField,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct VarObject {
    pub(crate) api_version: String,
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) namespace: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct VarField {
    pub(crate) fieldpath: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct SortOptions {
    pub(crate) order: String,
    pub(crate) legacy_sort_options: Option<LegacySortOptions>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct LegacySortOptions {
    pub(crate) order_first: Vec<String>,
    pub(crate) order_last: Vec<String>,
}

/// An entry of `configMapGenerator` or `secretGenerator`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct GeneratorArgs {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) behavior: String,
    /// Secrets only.
    #[serde(rename = "type")]
    pub(crate) secret_type: String,
    pub(crate) literals: Vec<String>,
    pub(crate) files: Vec<String>,
    pub(crate) envs: Vec<String>,
    /// Deprecated.
    env: String,
    pub(crate) options: Option<GeneratorOptions>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct GeneratorOptions {
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) disable_name_suffix_hash: bool,
    pub(crate) immutable: bool,
}

impl GeneratorOptions {
    /// The options of one generator under those of the whole kustomization: a switch that is on stays on.
    pub(crate) fn under(mut self, global: Option<&GeneratorOptions>) -> Self {
        if let Some(global) = global {
            for (own, common) in
                [(&mut self.labels, &global.labels), (&mut self.annotations, &global.annotations)]
            {
                for (key, value) in common {
                    own.entry(key.clone()).or_insert_with(|| value.clone());
                }
            }
            self.disable_name_suffix_hash |= global.disable_name_suffix_hash;
            self.immutable |= global.immutable;
        }
        self
    }
}

/// Read a value as Go does: null means nothing, and names of fields are matched without regard to case. Fields that the
/// type does not have are ignored: only the kustomization file itself is read more strictly.
pub(crate) fn read<T: DeserializeOwned>(value: &Value, of: Type) -> Result<T, Problem> {
    let mut value = value.clone();
    spell(&mut value, of, Unknown::Ignored)?;
    read_exactly(value)
}

/// The same for names that are spelled right; an unknown field is an error that names it.
pub(crate) fn read_exactly<T: DeserializeOwned>(mut value: Value) -> Result<T, Problem> {
    drop_nulls(&mut value);
    serde_json::from_value(value).map_err(|error| Problem(error.to_string()))
}

/// Fields that are maps of texts, in which null is an empty text.
const TEXTS: [&str; 5] = ["commonLabels", "commonAnnotations", "pairs", "labels", "annotations"];

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(object) => {
            object.retain(|_, value| !value.is_null());
            for (key, value) in object {
                if let Value::Object(texts) = &mut *value
                    && TEXTS.contains(&key.as_str())
                {
                    texts.values_mut().filter(|text| text.is_null()).for_each(|text| *text = Value::from(""));
                }
                drop_nulls(value);
            }
        }
        Value::Array(items) => {
            for item in items {
                if item.is_null() {
                    *item = Value::from("");
                }
                drop_nulls(item);
            }
        }
        _ => {}
    }
}

/// Fields that are maps: they would be read from a list as well, their values in order.
const MAPS: [&str; 12] = [
    "metadata",
    "generatorOptions",
    "sortOptions",
    "legacySortOptions",
    "openapi",
    "target",
    "select",
    "source",
    "options",
    "objref",
    "fieldref",
    "helmGlobals",
];
/// Fields that are lists of maps.
const LISTS_OF_MAPS: [&str; 12] = [
    "labels",
    "fields",
    "patches",
    "patchesJson6902",
    "images",
    "imageTags",
    "replacements",
    "targets",
    "reject",
    "replicas",
    "vars",
    "configMapGenerator",
];

/// Whether maps stand where maps are expected.
fn check_shapes(value: &Value) -> Result<(), Problem> {
    let wrong = |key: &str| Err(Problem(format!("{key} is a map of fields, no list and no text")));
    match value {
        Value::Object(object) => object.iter().try_for_each(|(key, value)| {
            // Names of labels are anybody's choice.
            if TEXTS.contains(&key.as_str()) && value.is_object() {
                return Ok(());
            }
            if MAPS.contains(&key.as_str()) && !matches!(value, Value::Object(_)) {
                return wrong(key);
            }
            if let Value::Array(items) = value
                && (LISTS_OF_MAPS.contains(&key.as_str()) || key == "secretGenerator")
                && items.iter().any(Value::is_array)
            {
                return wrong(&format!("an entry of {key}"));
            }
            check_shapes(value)
        }),
        Value::Array(items) => items.iter().try_for_each(check_shapes),
        _ => Ok(()),
    }
}

impl Kustomization {
    pub(crate) const COMPONENT: &'static str = "Component";

    /// Read the file. Deprecated fields move to where they belong now; `warnings` says so.
    pub(crate) fn read(mut value: Value, warnings: &mut Vec<String>) -> Result<Self, Problem> {
        if !matches!(value, Value::Object(_) | Value::Null) {
            return Err(Problem("is not a map of fields".to_owned()));
        }
        spell(&mut value, Type::Kustomization, Unknown::Refused)?;
        drop_nulls(&mut value);
        if let Value::Object(object) = &value {
            for (field, instead) in [
                ("bases", "resources"),
                ("imageTags", "images"),
                ("patchesJson6902", "patches"),
                ("patchesStrategicMerge", "patches"),
                ("commonLabels", "labels"),
                ("vars", "replacements"),
            ] {
                if object.contains_key(field) {
                    warnings.push(format!("'{field}' is deprecated: use '{instead}'"));
                }
            }
        }
        check_shapes(&value)?;
        let mut made = value.get("configMapGenerator").and_then(Value::as_array).into_iter().flatten();
        if made.any(|args| args.get("type").is_some()) {
            return Err(Problem(
                "unknown field `type` of a configMapGenerator: only Secrets have one".to_owned(),
            ));
        }
        if is_empty(&value) {
            return Err(Problem("is empty: it names nothing to render".to_owned()));
        }
        let mut it: Self = serde_json::from_value(value).map_err(|error| Problem(error.to_string()))?;
        if it.kind.is_empty() {
            "Kustomization".clone_into(&mut it.kind);
        }
        let version = match it.kind.as_str() {
            "Kustomization" => "kustomize.config.k8s.io/v1beta1",
            Self::COMPONENT => "kustomize.config.k8s.io/v1alpha1",
            _ => return Err(Problem("kind should be Kustomization or Component".to_owned())),
        };
        if !it.api_version.is_empty() && it.api_version != version {
            return Err(Problem(format!("apiVersion for {} should be {version}", it.kind)));
        }
        it.resources.append(&mut it.bases);
        it.images.append(&mut it.image_tags);
        for args in it.config_map_generator.iter_mut().chain(&mut it.secret_generator) {
            if !args.env.is_empty() {
                args.envs.push(std::mem::take(&mut args.env));
            }
        }
        Ok(it)
    }
}

/// Whether a file names nothing at all: only its kind, or texts without characters. An empty list is something.
fn is_empty(value: &Value) -> bool {
    value.as_object().is_none_or(|object| {
        object.iter().all(|(key, value)| {
            matches!(key.as_str(), "apiVersion" | "kind") || value.as_str().is_some_and(str::is_empty)
        })
    })
}

/// Which field a problem is about, as a JSON pointer: the one without which the file could be read.
pub(crate) fn blame(value: &Value, problem: Problem) -> (String, Problem) {
    let reads = |value: Value| Kustomization::read(value, &mut Vec::new()).err();
    let Value::Object(object) = value else { return (String::new(), problem) };
    for (field, content) in object {
        let only = |content: &Value| {
            let mut alone = serde_json::Map::new();
            // Something to render, so that the file is not refused for being empty.
            alone.insert("namePrefix".to_owned(), Value::from("x"));
            alone.insert(field.clone(), content.clone());
            reads(Value::Object(alone))
        };
        if matches!(field.as_str(), "kind" | "apiVersion") {
            continue;
        }
        let Some(found) = only(content) else { continue };
        if let Value::Array(items) = content {
            for (index, item) in items.iter().enumerate() {
                if let Some(found) = only(&Value::Array(vec![item.clone()])) {
                    return (format!("/{field}/{index}"), found);
                }
            }
        }
        return (format!("/{field}"), found);
    }
    (String::new(), problem)
}
