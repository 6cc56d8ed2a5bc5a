//! One value, put into fields of several objects.

use serde::Deserialize;

use crate::error::Problem;
use crate::fieldspec::FieldSpec;
use crate::id::Gvk;
use crate::kustomization::Target;
use crate::node::{Kind, Node};
use crate::resmap::ResMap;
use crate::selector::Selector;

/// A field of some objects, as it is configured.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct ValueTarget {
    selector: Option<Target>,
    not_selector: Option<Target>,
    /// Parts between `/`.
    field_path: String,
    /// When it is above 0, the field holds a path, and the value becomes its part at this position, from 1.
    file_path_position: i64,
}

/// A file of targets.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ValueTargets {
    pub(crate) targets: Vec<ValueTarget>,
}

/// A field of some objects.
#[derive(Debug)]
pub(crate) struct Place {
    selector: Option<Selector>,
    not_selector: Option<Selector>,
    spec: FieldSpec,
    position: usize,
}

impl Place {
    pub(crate) fn new(target: &ValueTarget) -> Result<Self, Problem> {
        let compiled = |target: &Option<Target>| target.as_ref().map(Selector::new).transpose();
        Ok(Self {
            selector: compiled(&target.selector)?,
            not_selector: compiled(&target.not_selector)?,
            spec: FieldSpec::new(Gvk::default(), &target.field_path, true),
            position: usize::try_from(target.file_path_position).unwrap_or_default(),
        })
    }
}

pub(crate) fn add(map: &mut ResMap, value: &str, places: &[Place]) -> Result<(), Problem> {
    for place in places {
        for resource in &mut map.list {
            let is = |selector: &Option<Selector>| selector.as_ref().map(|it| it.selects(resource));
            if is(&place.selector) == Some(false) || is(&place.not_selector) == Some(true) {
                continue;
            }
            place
                .spec
                .apply(&mut resource.node, Some(Kind::Scalar), &mut |node| set(node, value, place.position))
                .map_err(|Problem(problem)| Problem(format!("{}: {problem}", resource.id())))?;
        }
    }
    Ok(())
}

fn set(node: &mut Node, value: &str, position: usize) -> Result<(), Problem> {
    if position == 0 {
        node.set_implicit(value);
        return Ok(());
    }
    let (root, path) = match node.raw_text().strip_prefix('/') {
        Some(path) => ("/", path),
        None => ("", node.raw_text()),
    };
    let mut parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    parts.insert((position - 1).min(parts.len()), value);
    let path = format!("{root}{}", parts.join("/"));
    node.set_implicit(path);
    Ok(())
}
