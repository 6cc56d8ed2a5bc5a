//! Fields by dotted paths: `spec.containers.[name=a].image`, as replacements and variables write them.

use crate::error::Problem;
use crate::fieldspec::split_escaped;
use crate::node::{Kind, Node};
use crate::selector::regex;

/// A field path: dots separate, `\.` is a dot in a name, `[a.b]` is one name, `[name=x]` selects list elements.
pub(crate) fn split(path: &str) -> Vec<String> {
    let mut parts = Vec::new();
    let mut pieces = split_escaped(path, '.').into_iter();
    while let Some(piece) = pieces.next() {
        if !piece.starts_with('[') || piece.ends_with(']') {
            parts.push(piece);
            continue;
        }
        let mut bracketed = piece;
        for next in pieces.by_ref() {
            bracketed.push('.');
            bracketed.push_str(&next);
            if next.ends_with(']') {
                break;
            }
        }
        if bracketed.contains('=') {
            parts.push(bracketed);
        } else {
            parts.push(bracketed.trim_matches(['[', ']']).to_owned());
        }
    }
    parts
}

/// `[field=value]` or `[=value]`.
fn element(part: &str) -> Result<Option<(&str, &str)>, Problem> {
    match part.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        None => Ok(None),
        Some(inner) => inner.split_once('=').map(Some).ok_or_else(|| {
            Problem(format!(
                "{part}: list path element must contain fieldName=fieldValue for element to match"
            ))
        }),
    }
}

fn wrong(part: &str, node: &Node, wanted: &str) -> Problem {
    Problem(format!("{part}: expected {wanted}, found {}", node.kind().name()))
}

/// Where a part of a path leads.
enum Next<'a> {
    Item(usize),
    Field(&'a str),
}

/// One part of the way of [`look_up`]; `None` when nothing is there.
fn next<'a>(node: &Node, part: &'a str) -> Result<Option<Next<'a>>, Problem> {
    if node.is_null() {
        return Ok(None);
    }
    let list = || node.as_seq().ok_or_else(|| wrong(part, node, "a list"));
    let index = if let Ok(index) = part.parse::<i64>() {
        let index =
            usize::try_from(index).map_err(|_| Problem(format!("array index {index} cannot be negative")))?;
        let count = list()?.len();
        Some(index).filter(|index| *index < count)
    } else if part == "-" {
        list()?.len().checked_sub(1)
    } else if let Some((field, value)) = element(part)? {
        list()?.iter().position(|item| match field {
            "" => item.raw_text() == value,
            field => item.get(field).is_some_and(|it| it.raw_text() == value),
        })
    } else {
        let map = node.as_map().ok_or_else(|| wrong(part, node, "a map"))?;
        return Ok(map.get(part).map(|_| Next::Field(part)));
    };
    Ok(index.map(Next::Item))
}

/// The parts that say something.
fn said(path: &[String]) -> impl Iterator<Item = &str> {
    path.iter().map(|part| part.trim()).filter(|part| !part.is_empty())
}

/// The one node that a path leads to. Elements are found by exact values here.
pub(crate) fn look_up<'a>(node: &'a Node, path: &[String]) -> Result<Option<&'a Node>, Problem> {
    let mut node = node;
    for part in said(path) {
        let found = match next(node, part)? {
            None => None,
            Some(Next::Item(index)) => node.as_seq().and_then(|items| items.get(index)),
            Some(Next::Field(name)) => node.get(name),
        };
        match found {
            Some(found) => node = found,
            None => return Ok(None),
        }
    }
    Ok(Some(node))
}

/// As [`look_up`], to change it.
pub(crate) fn look_up_mut<'a>(node: &'a mut Node, path: &[String]) -> Result<Option<&'a mut Node>, Problem> {
    let mut node = node;
    for part in said(path) {
        let found = match (next(node, part)?, node) {
            (Some(Next::Item(index)), Node::Seq(items)) => items.get_mut(index),
            (Some(Next::Field(name)), Node::Map(map)) => map.get_mut(name),
            _ => None,
        };
        match found {
            Some(found) => node = found,
            None => return Ok(None),
        }
    }
    Ok(Some(node))
}

/// What a part of a path needs its field to be, when it has to be made.
fn kind_for(next: Option<&String>, last: Kind) -> Kind {
    match next.map(String::as_str) {
        None => last,
        Some(part) if part.starts_with('[') || part == "*" || part.parse::<usize>().is_ok() => Kind::Seq,
        Some(_) => Kind::Map,
    }
}

/// Every node that a path leads to. Elements are found by regular expressions; `*` is every element.
pub(crate) fn visit(
    node: &mut Node,
    path: &[String],
    create: Option<Kind>,
    set: &mut dyn FnMut(&mut Node) -> Result<(), Problem>,
) -> Result<(), Problem> {
    let Some((part, rest)) = path.split_first() else { return set(node) };
    if node.is_null() {
        let Some(kind) = create else { return Ok(()) };
        // kustomize makes the field in a copy of nothing, which is lost.
        let mut lost = kind_for(Some(part), kind).empty();
        return visit(&mut lost, path, create, set);
    }
    if let Ok(index) = part.parse::<usize>() {
        let Node::Seq(items) = node else { return Err(wrong(part, node, "a list")) };
        if let Some(kind) = create
            && items.len() == index
        {
            items.push(kind_for(rest.first(), kind).empty());
        }
        let count = items.len();
        let item = items
            .get_mut(index)
            .ok_or_else(|| Problem(format!("index {index} specified but only {count} elements found")))?;
        return visit(item, rest, create, set);
    }
    if part == "*" {
        let Node::Seq(items) = node else { return Err(wrong(part, node, "a list")) };
        return items.iter_mut().try_for_each(|item| visit(item, rest, create, set));
    }
    if let Some((field, pattern)) = element(part)? {
        let Node::Seq(items) = node else { return Err(wrong(part, node, "a list")) };
        let regex = regex(pattern)?;
        let matches = |item: &Node| match field {
            "" => regex.is_match(item.raw_text()),
            field => item.get(field).is_some_and(|it| regex.is_match(it.raw_text())),
        };
        let mut found = false;
        for item in items.iter_mut().filter(|item| matches(item)) {
            found = true;
            visit(item, if field.is_empty() { &[] } else { rest }, create, set)?;
        }
        if !found && create.is_some() {
            let mut item = match field {
                "" => Node::implicit(pattern),
                field => {
                    let mut item = Kind::Map.empty();
                    if let Some(map) = item.as_map_mut() {
                        map.insert(field, Node::implicit(pattern));
                    }
                    item
                }
            };
            visit(&mut item, if field.is_empty() { &[] } else { rest }, create, set)?;
            items.push(item);
        }
        return Ok(());
    }
    let found = node.kind();
    let Node::Map(map) = node else {
        return Err(Problem(format!("{part}: expected a map, found {}", found.name())));
    };
    match create {
        Some(kind) => visit(map.entry(part, kind_for(rest.first(), kind)), rest, create, set),
        None => match map.get_mut(part) {
            Some(field) => visit(field, rest, create, set),
            None => Ok(()),
        },
    }
}
