//! Names of fields, as Go matches them: exactly, or else without regard to case.

use serde_json::{Map, Value};

use crate::error::Problem;

/// A type of the kustomization file, or of a file or an object that configures a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    Kustomization,
    Metadata,
    Labels,
    FieldSpec,
    Patch,
    Target,
    Image,
    Replica,
    Replacement,
    Source,
    ReplacementTarget,
    FieldOptions,
    Var,
    VarObject,
    VarField,
    SortOptions,
    LegacySortOptions,
    Generator,
    GeneratorOptions,
    HelmGlobals,
    Plugin,
    ValueTargets,
    ValueTarget,
    Account,
    AccountName,
}

/// What becomes of a field that a type does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// It is an error, also when it holds nothing.
    Refused,
    /// It is as if it were not there.
    Ignored,
}

/// The fields of a type, and the types of those that are structures or lists of them.
fn fields(of: Type) -> &'static [(&'static str, Option<Type>)] {
    match of {
        Type::Kustomization => &[
            ("apiVersion", None),
            ("kind", None),
            ("metadata", Some(Type::Metadata)),
            ("openapi", None),
            ("namePrefix", None),
            ("nameSuffix", None),
            ("namespace", None),
            ("commonLabels", None),
            ("labels", Some(Type::Labels)),
            ("commonAnnotations", None),
            ("patchesStrategicMerge", None),
            ("patchesJson6902", Some(Type::Patch)),
            ("patches", Some(Type::Patch)),
            ("images", Some(Type::Image)),
            ("imageTags", Some(Type::Image)),
            ("replacements", Some(Type::Replacement)),
            ("replicas", Some(Type::Replica)),
            ("vars", Some(Type::Var)),
            ("sortOptions", Some(Type::SortOptions)),
            ("resources", None),
            ("components", None),
            ("crds", None),
            ("bases", None),
            ("configMapGenerator", Some(Type::Generator)),
            ("secretGenerator", Some(Type::Generator)),
            ("helmGlobals", Some(Type::HelmGlobals)),
            ("helmCharts", None),
            ("helmChartInflationGenerator", None),
            ("generatorOptions", Some(Type::GeneratorOptions)),
            ("configurations", None),
            ("generators", None),
            ("transformers", None),
            ("validators", None),
            ("buildMetadata", None),
        ],
        Type::Metadata => &[("name", None), ("namespace", None), ("labels", None), ("annotations", None)],
        Type::Labels => &[
            ("pairs", None),
            ("includeSelectors", None),
            ("includeTemplates", None),
            ("fields", Some(Type::FieldSpec)),
        ],
        Type::FieldSpec => {
            &[("group", None), ("version", None), ("kind", None), ("path", None), ("create", None)]
        }
        Type::Patch => &[("path", None), ("patch", None), ("target", Some(Type::Target)), ("options", None)],
        Type::Target => &[
            ("group", None),
            ("version", None),
            ("kind", None),
            ("name", None),
            ("namespace", None),
            ("labelSelector", None),
            ("annotationSelector", None),
        ],
        Type::Image => &[
            ("name", None),
            ("newName", None),
            ("tagSuffix", None),
            ("newTag", None),
            ("tag", None),
            ("digest", None),
        ],
        Type::Replica => &[("name", None), ("count", None)],
        Type::Replacement => {
            &[("path", None), ("source", Some(Type::Source)), ("targets", Some(Type::ReplacementTarget))]
        }
        Type::Source => &[
            ("group", None),
            ("version", None),
            ("kind", None),
            ("name", None),
            ("namespace", None),
            ("fieldPath", None),
            ("options", Some(Type::FieldOptions)),
        ],
        Type::ReplacementTarget => &[
            ("select", Some(Type::Target)),
            ("reject", Some(Type::Target)),
            ("fieldPaths", None),
            ("options", Some(Type::FieldOptions)),
        ],
        Type::FieldOptions => &[("delimiter", None), ("index", None), ("encoding", None), ("create", None)],
        Type::Var => &[("name", None), ("objref", Some(Type::VarObject)), ("fieldref", Some(Type::VarField))],
        Type::VarObject => &[
            ("apiVersion", None),
            ("group", None),
            ("version", None),
            ("kind", None),
            ("name", None),
            ("namespace", None),
        ],
        Type::VarField => &[("fieldpath", None)],
        Type::SortOptions => &[("order", None), ("legacySortOptions", Some(Type::LegacySortOptions))],
        Type::LegacySortOptions => &[("orderFirst", None), ("orderLast", None)],
        Type::Generator => &[
            ("name", None),
            ("namespace", None),
            ("behavior", None),
            ("type", None),
            ("literals", None),
            ("files", None),
            ("envs", None),
            ("env", None),
            ("options", Some(Type::GeneratorOptions)),
        ],
        Type::GeneratorOptions => {
            &[("labels", None), ("annotations", None), ("disableNameSuffixHash", None), ("immutable", None)]
        }
        Type::HelmGlobals => &[("chartHome", None), ("configHome", None)],
        Type::Plugin => &[
            ("annotations", None),
            ("labels", None),
            ("fieldSpecs", Some(Type::FieldSpec)),
            ("unsetOnly", None),
            ("setRoleBindingSubjects", None),
            ("prefix", None),
            ("suffix", None),
            ("path", None),
            ("patch", None),
            ("jsonOp", None),
            ("target", Some(Type::Target)),
            ("options", None),
            ("paths", None),
            ("patches", None),
            ("imageTag", Some(Type::Image)),
            ("replica", Some(Type::Replica)),
            ("replacements", Some(Type::Replacement)),
            ("value", None),
            ("targets", Some(Type::ValueTarget)),
            ("targetFilePath", None),
        ],
        Type::ValueTargets => &[("targets", Some(Type::ValueTarget))],
        Type::ValueTarget => &[
            ("selector", Some(Type::Target)),
            ("notSelector", Some(Type::Target)),
            ("fieldPath", None),
            ("filePathPosition", None),
        ],
        Type::Account => &[
            ("cloud", None),
            ("kubernetesService", Some(Type::AccountName)),
            ("serviceAccount", Some(Type::AccountName)),
        ],
        Type::AccountName => &[("namespace", None), ("name", None), ("projectId", None)],
    }
}

/// Spell the names of fields as the types here have them. A list is a list of what is asked for.
pub(crate) fn spell(value: &mut Value, of: Type, unknown: Unknown) -> Result<(), Problem> {
    match value {
        Value::Array(items) => items.iter_mut().try_for_each(|item| spell(item, of, unknown)),
        Value::Object(object) => {
            let known = fields(of);
            if !object.keys().all(|key| known.iter().any(|(name, _)| name == key)) {
                rename(object, known, unknown)?;
            }
            for (key, value) in object {
                if let Some((_, Some(below))) = known.iter().find(|(name, _)| name == key) {
                    spell(value, *below, unknown)?;
                }
                if unknown == Unknown::Ignored && texts(of).contains(&key.as_str()) {
                    match value {
                        Value::Object(texts) => texts.values_mut().for_each(to_text),
                        value => to_text(value),
                    }
                }
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Fields in which numbers and switches are texts, where a file is not read strictly: those that the type has itself.
/// What it has from another, kinds and names mostly, is read strictly all the same.
fn texts(of: Type) -> &'static [&'static str] {
    match of {
        Type::Plugin => &["annotations", "labels", "prefix", "suffix", "value", "path", "patch"],
        Type::Image => &["name", "newName", "tagSuffix", "newTag", "digest"],
        Type::Replica => &["name"],
        Type::FieldSpec => &["path"],
        Type::ValueTarget => &["fieldPath"],
        _ => &[],
    }
}

/// Make a text of a number or a switch, as Go writes it.
pub(crate) fn to_text(value: &mut Value) {
    let text = match value {
        Value::Bool(switch) => switch.to_string(),
        Value::Number(number) if number.is_f64() => go_float(number.as_f64().unwrap_or_default()),
        Value::Number(number) => number.to_string(),
        _ => return,
    };
    *value = Value::String(text);
}

/// The shortest form, with an exponent where it is below -4 or above 20: sigs.k8s.io/yaml has integers below as integers.
fn go_float(number: f64) -> String {
    let text = format!("{number:e}");
    let Some((digits, exponent)) = text.split_once('e') else { return text };
    match exponent.parse::<i32>() {
        Ok(exponent) if !(-4..21).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.abs())
        }
        _ => number.to_string(),
    }
}

fn rename(
    object: &mut Map<String, Value>,
    known: &[(&'static str, Option<Type>)],
    unknown: Unknown,
) -> Result<(), Problem> {
    for (key, value) in std::mem::take(object) {
        match known.iter().find(|(name, _)| name.eq_ignore_ascii_case(&key)) {
            // One that is spelled right wins.
            Some((name, _)) if *name == key => drop(object.insert(key, value)),
            Some((name, _)) => drop(object.entry(*name).or_insert(value)),
            None if unknown == Unknown::Refused => {
                let names: Vec<String> = known.iter().map(|(name, _)| format!("`{name}`")).collect();
                return Err(Problem(format!("unknown field `{key}`, expected one of {}", names.join(", "))));
            }
            None => {}
        }
    }
    Ok(())
}
