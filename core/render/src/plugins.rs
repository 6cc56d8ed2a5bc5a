//! Built-in generators and transformers that objects configure (`generators`, `transformers`, `validators`).

use std::collections::BTreeMap;
use std::sync::Arc;

use seaway_object::yaml::{self, Dialect};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::config::RawSpec;
use crate::error::{Error, Place, Problem, Stop};
use crate::fieldspec::FieldSpec;
use crate::generators::{self, Made};
use crate::kustomization::{self, GeneratorArgs, Image, Patch, ReplacementField, Replica, Target, Type};
use crate::loader::Loader;
use crate::merge2::Merging;
use crate::node::Node;
use crate::resmap::ResMap;
use crate::resource::{Origin, Resource};
use crate::transformers::images::ImageRule;
use crate::transformers::names::{self, Affix};
use crate::transformers::namespace::{Namespace, Subjects};
use crate::transformers::patches::{self, ReadPatch};
use crate::transformers::value::{self, ValueTarget, ValueTargets};
use crate::transformers::{replacements, replicas, texts};

/// A generator or a transformer with its configuration.
#[derive(Debug)]
pub(crate) enum Plugin {
    Generator(Made, Box<GeneratorArgs>),
    Texts(BTreeMap<String, String>, Vec<FieldSpec>),
    Namespace(Namespace),
    Affix(Vec<(Affix, String)>, Vec<FieldSpec>),
    Patch(Box<ReadPatch>),
    NamedPatches(Vec<ReadPatch>),
    Images(Image, Vec<FieldSpec>),
    Replicas(Replica, Vec<FieldSpec>),
    Replacements(Vec<ReplacementField>),
    Hashes,
    Values(String, Vec<value::Place>),
    /// A ServiceAccount that stands for an account of Google Cloud.
    Account(Box<Account>),
}

/// The configuration of an `IAMPolicyGenerator`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Account {
    cloud: String,
    kubernetes_service: AccountName,
    service_account: AccountName,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct AccountName {
    namespace: String,
    name: String,
    project_id: String,
}

/// The configuration of any of them; each uses a part. What none knows is ignored, as by kustomize.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Fields {
    annotations: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
    field_specs: Option<Vec<RawSpec>>,
    unset_only: bool,
    set_role_binding_subjects: String,
    prefix: String,
    suffix: String,
    path: String,
    patch: String,
    json_op: String,
    target: Option<Target>,
    options: BTreeMap<String, bool>,
    paths: Vec<String>,
    patches: String,
    image_tag: Image,
    replica: Replica,
    replacements: Vec<ReplacementField>,
    value: String,
    targets: Vec<ValueTarget>,
    target_file_path: String,
}

/// Configure what an object describes.
pub(crate) fn configure(config: &Resource, loader: &Loader<'_>, place: &Place) -> Result<Plugin, Stop> {
    if config.api_version() != "builtin" {
        return Err(Error::Unsupported {
            place: place.clone(),
            what: format!("the external plugin {} {}", config.api_version(), config.kind()),
            instead: "use the built-in generators and transformers (apiVersion: builtin)".to_owned(),
        }
        .into());
    }
    let fail = |problem: Problem| Stop::from(problem.at(place.clone()));
    let value = config.to_value().map_err(fail)?;
    let kind = config.kind();
    if let Some(made) = match kind {
        "ConfigMapGenerator" => Some(Made::ConfigMap),
        "SecretGenerator" => Some(Made::Secret),
        _ => None,
    } {
        return generator(made, config, &value).map_err(fail);
    }
    if kind == "IAMPolicyGenerator" {
        let account: Account = kustomization::read(&value, Type::Account).map_err(fail)?;
        if account.cloud != "gke" {
            let problem = format!("cloud provider {} not supported: only gke is", account.cloud);
            return Err(fail(Problem(problem)));
        }
        return Ok(Plugin::Account(Box::new(account)));
    }
    let Fields {
        annotations,
        labels,
        field_specs,
        unset_only,
        set_role_binding_subjects,
        prefix,
        suffix,
        path,
        patch,
        json_op,
        target,
        options,
        paths,
        patches,
        image_tag,
        replica,
        replacements,
        value: added,
        targets,
        target_file_path,
    } = read_some(kind, &value).map_err(fail)?;
    let are_absent = field_specs.is_none();
    let specs: Vec<FieldSpec> = field_specs.into_iter().flatten().map(RawSpec::into_spec).collect();
    let needs_specs = || {
        if are_absent {
            Err(fail(Problem("fieldSpecs is not expected to be nil".to_owned())))
        } else {
            Ok(())
        }
    };
    Ok(match kind {
        "AnnotationsTransformer" => Plugin::Texts(annotations, specs),
        "LabelTransformer" => Plugin::Texts(labels, specs),
        "NamespaceTransformer" => Plugin::Namespace(Namespace {
            namespace: config.namespace().to_owned(),
            specs,
            unset_only,
            subjects: match set_role_binding_subjects.as_str() {
                "" | "defaultOnly" => Subjects::DefaultOnly,
                "allServiceAccounts" => Subjects::AllServiceAccounts,
                "none" => Subjects::None,
                other => {
                    return Err(fail(Problem(format!(
                        "invalid value {other:?} for setRoleBindingSubjects: must be one of \"defaultOnly\", \"none\" \
                         or \"allServiceAccounts\""
                    ))));
                }
            },
        }),
        "PrefixTransformer" | "SuffixTransformer" | "PrefixSuffixTransformer" => {
            needs_specs()?;
            let affixes = [(Affix::Prefix, prefix), (Affix::Suffix, suffix)];
            let wanted = |affix: Affix| match kind {
                "PrefixTransformer" => affix == Affix::Prefix,
                "SuffixTransformer" => affix == Affix::Suffix,
                _ => true,
            };
            Plugin::Affix(affixes.into_iter().filter(|(affix, _)| wanted(*affix)).collect(), specs)
        }
        "PatchTransformer" => {
            let patch = Patch { path, patch, target, options };
            Plugin::Patch(Box::new(ReadPatch::new(&patch, loader, place)?))
        }
        "PatchJson6902Transformer" => {
            let patch = Patch { path, patch: json_op, target, options };
            Plugin::Patch(Box::new(ReadPatch::json(&patch, loader, place)?))
        }
        "PatchStrategicMergeTransformer" => {
            let mut entries = paths;
            if !patches.is_empty() {
                entries.push(patches);
            }
            Plugin::NamedPatches(patches::strategic_merge(&entries, loader, |_| place.clone())?)
        }
        "ImageTagTransformer" => Plugin::Images(image_tag, specs),
        "ReplicaCountTransformer" => Plugin::Replicas(replica, specs),
        "ReplacementTransformer" => Plugin::Replacements(replacements),
        "HashTransformer" => Plugin::Hashes,
        "ValueAddTransformer" => {
            let mut targets = targets;
            if !target_file_path.is_empty() {
                targets.extend(value_targets(&target_file_path, loader, place)?);
            }
            let root = || loader.root.file_name().unwrap_or_default().to_owned();
            let added = if added.is_empty() { root() } else { added };
            let places: Result<_, Problem> = targets.iter().map(value::Place::new).collect();
            Plugin::Values(added, places.map_err(fail)?)
        }
        "HelmChartInflationGenerator" => {
            return Err(Error::Unsupported {
                place: place.clone(),
                what: format!("the built-in {kind}"),
                instead: "write the objects out, or use patches and replacements".to_owned(),
            }
            .into());
        }
        other => {
            return Err(fail(Problem(format!("unable to load builtin {other}: there is no such plugin"))));
        }
    })
}

/// The fields that a kind uses: others may hold anything.
fn read_some<T: DeserializeOwned>(kind: &str, value: &Value) -> Result<T, Problem> {
    let used: &[&str] = match kind {
        "AnnotationsTransformer" => &["annotations", "fieldSpecs"],
        "LabelTransformer" => &["labels", "fieldSpecs"],
        "NamespaceTransformer" => &["fieldSpecs", "unsetOnly", "setRoleBindingSubjects"],
        "PrefixTransformer" | "SuffixTransformer" | "PrefixSuffixTransformer" => {
            &["prefix", "suffix", "fieldSpecs"]
        }
        "PatchTransformer" => &["path", "patch", "target", "options"],
        "PatchJson6902Transformer" => &["path", "jsonOp", "target"],
        "PatchStrategicMergeTransformer" => &["paths", "patches"],
        "ImageTagTransformer" => &["imageTag", "fieldSpecs"],
        "ReplicaCountTransformer" => &["replica", "fieldSpecs"],
        "ReplacementTransformer" => &["replacements"],
        "ValueAddTransformer" => &["value", "targets", "targetFilePath"],
        _ => &[],
    };
    let object = value.as_object().into_iter().flatten();
    let some: serde_json::Map<String, Value> = object
        .filter(|(key, _)| used.iter().any(|name| name.eq_ignore_ascii_case(key)))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    kustomization::read(&Value::Object(some), Type::Plugin)
}

fn generator(made: Made, config: &Resource, value: &Value) -> Result<Plugin, Problem> {
    let mut args: GeneratorArgs = kustomization::read(value, Type::Generator)?;
    if args.name.is_empty() {
        config.name().clone_into(&mut args.name);
    }
    if args.namespace.is_empty() {
        config.namespace().clone_into(&mut args.namespace);
    }
    Ok(Plugin::Generator(made, Box::new(args)))
}

/// Further targets of a `ValueAddTransformer`.
fn value_targets(path: &str, loader: &Loader<'_>, place: &Place) -> Result<Vec<ValueTarget>, Stop> {
    let (text, name) = loader.text(path, place)?;
    let documents = loader.documents(&text, &name)?;
    let Some(document) = documents.first() else { return Ok(Vec::new()) };
    let value = yaml::resolve(document, Dialect::Kubernetes)
        .map_err(|source| Error::Syntax { file: name.clone(), cause: source })?;
    let read: ValueTargets =
        kustomization::read(&value, Type::ValueTargets).map_err(|problem| problem.at(Place::file(name)))?;
    Ok(read.targets)
}

impl Account {
    fn generate(&self, place: &Place) -> Resource {
        let (own, cloud) = (&self.kubernetes_service, &self.service_account);
        let address = format!("{}@{}.iam.gserviceaccount.com", cloud.name, cloud.project_id);
        let mut metadata = serde_json::json!({
            "annotations": {"iam.gke.io/gcp-service-account": address},
            "name": own.name,
        });
        if !own.namespace.is_empty() {
            metadata["namespace"] = Value::from(own.namespace.as_str());
        }
        let object = serde_json::json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata});
        let origin = Origin { file: place.file.clone(), line: place.line.unwrap_or_default() };
        Resource::new(Node::from_value(&object), Arc::new(origin))
    }
}

impl Plugin {
    /// The objects that a generator makes.
    pub(crate) fn generate(&self, loader: &Loader<'_>, place: &Place) -> Result<Vec<Resource>, Stop> {
        match self {
            Self::Generator(made, args) => {
                let options = args.options.clone().unwrap_or_default();
                Ok(vec![generators::generate(*made, args, &options, loader, place)?])
            }
            Self::Account(account) => Ok(vec![account.generate(place)]),
            _ => Err(Problem("is not a generator".to_owned()).at(place.clone()).into()),
        }
    }

    /// Change the objects.
    pub(crate) fn transform(
        &self,
        map: &mut ResMap,
        loader: &Loader<'_>,
        place: &Place,
        merging: &Merging,
    ) -> Result<(), Stop> {
        let result = match self {
            Self::Generator(..) | Self::Account(_) => Err(Problem("is not a transformer".to_owned())),
            Self::Texts(pairs, specs) => texts::add(map, pairs, specs),
            Self::Namespace(namespace) => namespace.apply(map),
            Self::Affix(affixes, specs) => {
                affixes.iter().try_for_each(|(affix, text)| names::affix(map, *affix, text, specs))
            }
            Self::Patch(patch) => patch.apply(map, merging),
            Self::NamedPatches(list) => {
                list.iter().try_for_each(|patch| patches::apply_named(patch, map, merging))
            }
            Self::Images(image, specs) => ImageRule::new(image).and_then(|rule| rule.apply(map, specs)),
            Self::Replicas(replica, specs) => replicas::set(map, replica, specs),
            Self::Replacements(entries) => {
                let loaded = replacements::load(entries, loader, |_| place.clone())?;
                loaded.iter().try_for_each(|(replacement, _)| replacements::apply(map, replacement))
            }
            Self::Hashes => names::add_hashes(map),
            Self::Values(value, places) => value::add(map, value, places),
        };
        result.map_err(|problem| problem.at(place.clone()).into())
    }
}
