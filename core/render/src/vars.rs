//! Variables: `$(NAME)` in some fields becomes the value of a field of an object.

use std::collections::{BTreeMap, BTreeSet};

use seaway_object::yaml::Limits;

use crate::error::Problem;
use crate::field_path::look_up;
use crate::fieldspec::FieldSpec;
use crate::id::{Gvk, ResId};
use crate::kustomization::Var;
use crate::node::{Node, Scalar, Style, Tag};
use crate::resmap::ResMap;

/// Note which objects the values of variables come from, while they still have the names that the variables use.
pub(crate) fn bind(map: &mut ResMap, known: &mut Vec<Var>, incoming: &[Var]) -> Result<(), Problem> {
    for var in incoming {
        let object = &var.objref;
        let gvk = if object.api_version.is_empty() {
            Gvk { group: object.group.clone(), version: object.version.clone(), kind: object.kind.clone() }
        } else {
            Gvk::new(&object.api_version, &object.kind)
        };
        let wanted = ResId { gvk, name: object.name.clone(), namespace: object.namespace.clone() };
        // Without a namespace, any will do.
        let anywhere = wanted.namespace.is_empty() && !wanted.gvk.is_cluster_scoped();
        let matches = |id: &ResId| if anywhere { wanted.same_kind_and_name(id) } else { wanted.same(id) };
        let mut found: Vec<_> = map.list.iter_mut().filter(|resource| resource.any_id(matches)).collect();
        match found.as_mut_slice() {
            [] => {}
            [one] => one.variables.push(var.name.clone()),
            several => {
                return Err(Problem(format!(
                    "found {} resId matches for var {} (unable to disambiguate)",
                    several.len(),
                    var.name
                )));
            }
        }
        add(known, var)?;
    }
    Ok(())
}

/// Add a variable; a name may be used once.
pub(crate) fn add(known: &mut Vec<Var>, var: &Var) -> Result<(), Problem> {
    if known.iter().any(|other| other.name == var.name) {
        return Err(Problem(format!("var '{}' already encountered", var.name)));
    }
    known.push(var.clone());
    Ok(())
}

/// Put the values in place. Returns the names of variables that nothing uses.
pub(crate) fn resolve(map: &mut ResMap, vars: &[Var], specs: &[FieldSpec]) -> Result<Vec<String>, Problem> {
    if vars.is_empty() {
        return Ok(Vec::new());
    }
    let mut values = BTreeMap::new();
    for var in vars {
        values.insert(var.name.as_str(), value(map, var)?);
    }
    let mut used = BTreeSet::new();
    for resource in &mut map.list {
        let id = resource.id();
        // What is one with other fields of the object: see `Scalar::link`.
        let mut linked: Vec<Scalar> = Vec::new();
        let mut expand = |scalar: &mut Scalar| -> Result<(), Problem> {
            if expand(scalar, &values, &mut used)? && scalar.link != 0 {
                linked.push(scalar.clone());
            }
            Ok(())
        };
        for spec in specs {
            spec.apply(&mut resource.node, None, &mut |node| match node {
                null if null.is_null() => Ok(()),
                Node::Scalar(scalar) => expand(scalar),
                Node::Map(map) => {
                    for (_, value) in map.values_mut() {
                        if let Node::Scalar(scalar) = value {
                            expand(scalar)?;
                        }
                    }
                    Ok(())
                }
                Node::Seq(items) => items.iter_mut().try_for_each(|item| match item {
                    Node::Scalar(scalar) if scalar.tag == Tag::Text => expand(scalar),
                    _ => Err(Problem("invalid value type expect a string".to_owned())),
                }),
            })
            .map_err(|Problem(problem)| Problem(format!("{id}: {problem}")))?;
        }
        resource.node.write_linked(&linked);
    }
    Ok(vars.iter().filter(|var| !used.contains(var.name.as_str())).map(|var| var.name.clone()).collect())
}

fn value(map: &ResMap, var: &Var) -> Result<Option<Scalar>, Problem> {
    let Some(resource) = map.list.iter().find(|resource| resource.variables.contains(&var.name)) else {
        return Err(Problem(format!(
            "var '{}' cannot be mapped to a field in the set of known resources: no object is {}/{}",
            var.name, var.objref.kind, var.objref.name
        )));
    };
    let path = if var.fieldref.fieldpath.is_empty() { "metadata.name" } else { &var.fieldref.fieldpath };
    let parts: Vec<String> = path
        .split('.')
        .flat_map(|part| match part.split_once('[') {
            // An index behind a name: containers[0].
            Some((name, index)) if index.trim_end_matches(']').parse::<usize>().is_ok() => {
                vec![name.to_owned(), index.trim_end_matches(']').to_owned()]
            }
            _ => vec![part.to_owned()],
        })
        .collect();
    match look_up(&resource.node, &parts)? {
        Some(Node::Scalar(scalar)) => Ok(Some(scalar.clone())),
        Some(_) => Ok(None),
        None => Err(Problem(format!(
            "field specified in var '{}' not found in corresponding resource: {path} of {}",
            var.name,
            resource.id()
        ))),
    }
}

type Values<'a> = BTreeMap<&'a str, Option<Scalar>>;

/// Replace the variables in a text, and say whether there were any. A text that is nothing but a variable takes the type
/// of its value.
fn expand<'a>(
    scalar: &mut Scalar,
    values: &Values<'a>,
    used: &mut BTreeSet<&'a str>,
) -> Result<bool, Problem> {
    if !matches!(scalar.tag, Tag::Text | Tag::Implicit) || !scalar.text.contains('$') {
        return Ok(false);
    }
    let mut expanded = String::with_capacity(scalar.text.len());
    let mut rest = scalar.text.as_str();
    let most = Limits::default().bytes;
    while let Some(at) = rest.find('$') {
        expanded.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            expanded.push('$');
            rest = after;
            continue;
        }
        let name = rest.strip_prefix('(').and_then(|rest| rest.split_once(')'));
        let Some((name, after)) = name else {
            expanded.push('$');
            continue;
        };
        match values.get_key_value(name) {
            Some((name, value)) => {
                used.insert(name);
                match value {
                    Some(value) if scalar.text.len() == name.len() + "$()".len() => {
                        *scalar = Scalar { style: Style::Plain, link: scalar.link, ..value.clone() };
                        return Ok(true);
                    }
                    Some(value) if expanded.len() + value.text.len() > most => {
                        return Err(Problem(format!(
                            "the text with var '{name}' would be larger than {most} bytes"
                        )));
                    }
                    Some(value) => expanded.push_str(&value.text),
                    None => expanded.push_str(&format!("$({name})")),
                }
            }
            None => expanded.push_str(&format!("$({name})")),
        }
        rest = after;
    }
    expanded.push_str(rest);
    scalar.text = expanded;
    Ok(true)
}
