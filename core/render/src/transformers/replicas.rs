//! How many replicas workloads have.

use crate::error::Problem;
use crate::fieldspec::FieldSpec;
use crate::kustomization::Replica;
use crate::node::{Kind, Node, Scalar, Style, Tag};
use crate::resmap::ResMap;

pub(crate) fn set(map: &mut ResMap, replica: &Replica, specs: &[FieldSpec]) -> Result<(), Problem> {
    let mut found = false;
    for spec in specs {
        for resource in &mut map.list {
            if !resource.any_id(|id| id.name == replica.name && id.gvk.is_selected_by(&spec.gvk)) {
                continue;
            }
            found = true;
            spec.apply(&mut resource.node, Some(Kind::Scalar), &mut |node| {
                node.expect_scalar()?;
                let text = replica.count.to_string();
                // What stands in quotes, or in a block, is a text after it as well.
                let is_text = matches!(node, Node::Scalar(Scalar { tag, style, .. })
                    if *tag != Tag::Null && *style != Style::Plain);
                let tag = if is_text { Tag::Text } else { Tag::Int };
                *node = Node::Scalar(Scalar { text, tag, style: Style::Plain, link: 0 });
                Ok(())
            })
            .map_err(|Problem(problem)| Problem(format!("{}: {problem}", resource.id())))?;
        }
    }
    if found {
        return Ok(());
    }
    let kinds: Vec<String> = specs.iter().map(|spec| spec.gvk.to_string()).collect();
    Err(Problem(format!(
        "resource with name {} does not match a config with the following GVK [{}]",
        replica.name,
        kinds.join(" ")
    )))
}
