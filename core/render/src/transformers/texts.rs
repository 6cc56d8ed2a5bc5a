//! Labels and annotations.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::error::Problem;
use crate::fieldspec::FieldSpec;
use crate::node::{Kind, Node, Scalar};
use crate::resmap::ResMap;

/// Put every pair into every field that the specifications name.
///
/// To kustomize, what one pair adds to several fields of an object is one value: see [`Scalar::link`].
pub(crate) fn add(
    map: &mut ResMap,
    pairs: &BTreeMap<String, String>,
    specs: &[FieldSpec],
) -> Result<(), Problem> {
    if pairs.is_empty() {
        return Ok(());
    }
    for resource in &mut map.list {
        let links = resource.take_links(pairs.len());
        let text = |value: &str, link| Scalar { link, ..Scalar::text(value) };
        let mut linked: Vec<Scalar> = Vec::new();
        for spec in specs {
            // kustomize has notes of its own in the annotations: where there are some, there are annotations.
            let spec = match spec.path.as_str() {
                "metadata/annotations" if !spec.create && resource.is_noted() => Cow::Owned(spec.creating()),
                _ => Cow::Borrowed(spec),
            };
            spec.apply(&mut resource.node, Some(Kind::Map), &mut |node| match node {
                Node::Map(map) => {
                    for ((key, value), link) in pairs.iter().zip(links.clone()) {
                        let Some(old) = map.get_mut(key) else {
                            map.insert(key, Node::Scalar(text(value, link)));
                            continue;
                        };
                        let new = text(value, old.as_scalar().map_or(0, |old| old.link));
                        if new.link != 0 && new.link != link {
                            linked.push(new.clone());
                        }
                        *old = Node::Scalar(new);
                    }
                    Ok(())
                }
                null if null.is_null() => Ok(()),
                other => Err(Problem(format!("expected a map, found {}", other.kind().name()))),
            })
            .map_err(|Problem(problem)| Problem(format!("{}: {problem}", resource.id())))?;
        }
        resource.node.write_linked(&linked);
    }
    Ok(())
}
