//! Prefixes and suffixes of names, and the hash at their end.

use crate::error::Problem;
use crate::fieldspec::FieldSpec;
use crate::hash;
use crate::id::ResId;
use crate::node::Kind;
use crate::resmap::ResMap;

/// Which end of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Affix {
    Prefix,
    Suffix,
}

/// Names that mean something outside of the object, so that they are never changed.
fn is_fixed(id: &ResId) -> bool {
    matches!(id.gvk.kind.as_str(), "CustomResourceDefinition" | "Namespace")
        || (id.gvk.kind == "APIService" && id.gvk.group == "apiregistration.k8s.io")
}

/// Add a prefix or a suffix.
pub(crate) fn affix(map: &mut ResMap, affix: Affix, text: &str, specs: &[FieldSpec]) -> Result<(), Problem> {
    for resource in &mut map.list {
        let original = resource.original_id();
        if is_fixed(&original) {
            continue;
        }
        for spec in specs.iter().filter(|spec| original.gvk.is_selected_by(&spec.gvk)) {
            if spec.path == "metadata/name" && !text.is_empty() {
                match affix {
                    Affix::Prefix => resource.prefixes.push(text.to_owned()),
                    Affix::Suffix => resource.suffixes.push(text.to_owned()),
                }
                resource.remember_id();
            }
            spec.apply(&mut resource.node, Some(Kind::Scalar), &mut |node| {
                node.expect_scalar()?;
                let name = match affix {
                    Affix::Prefix => format!("{text}{}", node.raw_text()),
                    Affix::Suffix => format!("{}{text}", node.raw_text()),
                };
                node.set_implicit(name);
                Ok(())
            })
            .map_err(|Problem(problem)| Problem(format!("{original}: {problem}")))?;
        }
    }
    Ok(())
}

/// Add the hash of their content to the names of generated objects.
pub(crate) fn add_hashes(map: &mut ResMap) -> Result<(), Problem> {
    for resource in map.list.iter_mut().filter(|resource| resource.hash) {
        let name = format!("{}-{}", resource.name(), hash::of(resource)?);
        resource.remember_id();
        resource.set_name(&name);
    }
    Ok(())
}
