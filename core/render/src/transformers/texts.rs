//! Labels and annotations.

use std::collections::BTreeMap;

use crate::error::Problem;
use crate::fieldspec::FieldSpec;
use crate::node::{Kind, Node};
use crate::resmap::ResMap;

/// Put every pair into every field that the specifications name.
pub(crate) fn add(
    map: &mut ResMap,
    pairs: &BTreeMap<String, String>,
    specs: &[FieldSpec],
) -> Result<(), Problem> {
    if pairs.is_empty() {
        return Ok(());
    }
    for resource in &mut map.list {
        for spec in specs {
            spec.apply(&mut resource.node, Some(Kind::Map), &mut |node| match node {
                Node::Map(map) => {
                    for (key, value) in pairs {
                        map.insert(key, Node::text(value.as_str()));
                    }
                    Ok(())
                }
                null if null.is_null() => Ok(()),
                other => Err(Problem(format!("expected a map, found {}", other.kind().name()))),
            })
            .map_err(|Problem(problem)| Problem(format!("{}: {problem}", resource.id())))?;
        }
    }
    Ok(())
}
