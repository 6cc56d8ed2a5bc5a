//! The differences that every copy has on purpose, as the Stack says.

use seaway_api::stack::CopyRule;
use seaway_merge::patch::json_patch;
use seaway_merge::strategic;
use seaway_object::yaml::Dialect;
use seaway_object::{ObjectId, ReadOptions, identity, read_documents};
use serde_json::Value;

use crate::error::Error;
use crate::hosts::Texts;
use crate::record::schema;
use crate::references::{TEMPLATES, texts};

/// The object as a rule wants it.
pub(crate) fn apply(
    rule: &CopyRule,
    object: &Value,
    id: &ObjectId,
    names: &Texts<'_>,
) -> Result<Value, Error> {
    let wrong = |problem: String| Error::Rule { name: rule.name.clone(), object: id.clone(), problem };
    let mut changed = object.clone();
    if let Some(patch) = &rule.patch {
        changed = patched(object, patch).map_err(wrong)?;
        let same = identity::api_version(&changed) == identity::api_version(object)
            && identity::kind(&changed) == identity::kind(object)
            && identity::name(&changed) == identity::name(object)
            && identity::namespace(&changed) == identity::namespace(object);
        if !same {
            return Err(wrong("a rule changes neither the type nor the name of an object".to_owned()));
        }
    }
    if let Some(replicas) = rule.replicas {
        match changed.get_mut("spec").and_then(Value::as_object_mut) {
            Some(spec) => spec.insert("replicas".to_owned(), replicas.into()),
            None => return Err(wrong("it has no replicas".to_owned())),
        };
    }
    if let Some(resources) = &rule.resources {
        let mut found = false;
        for template in TEMPLATES {
            for list in ["containers", "initContainers"] {
                let containers =
                    changed.pointer_mut(&format!("{template}/{list}")).and_then(Value::as_array_mut);
                for container in containers.into_iter().flatten().filter_map(Value::as_object_mut) {
                    container.insert("resources".to_owned(), resources.clone());
                    found = true;
                }
            }
        }
        if !found {
            return Err(wrong("it has no containers".to_owned()));
        }
    }
    for pointer in &rule.hosts {
        texts(&mut changed, pointer, &mut |text| *text = names.rewrite(text));
    }
    Ok(changed)
}

fn patched(object: &Value, patch: &str) -> Result<Value, String> {
    let documents = read_documents(patch, &ReadOptions::new(Dialect::Kubernetes))
        .map_err(|e| format!("the patch: {e}"))?;
    let [document] = documents.as_slice() else {
        return Err("the patch must be one YAML document".to_owned());
    };
    let result = match &document.value {
        operations @ Value::Array(_) => json_patch(object, operations),
        fields => strategic::patch(object, fields, &schema(object)),
    };
    result.map_err(|error| format!("the patch: {error}"))
}
