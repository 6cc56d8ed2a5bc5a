//! Two environments of one stack that are no copies of each other: what differs since they are in different places.

use std::collections::{BTreeMap, BTreeSet};

use seaway_object::{ObjectId, identity};
use serde_json::Value;

use crate::copy::Copy;
use crate::generated;
use crate::hosts::Texts;
use crate::record::{Class, Entry, entries};
use crate::references::{self, Names};
use crate::rewrite::identify;

/// Rules of the entries.
const PLACE: &str = "place";
const GENERATED: &str = "generated";

/// The entries for what an environment is called in another place: its namespaces and the references to them, the hosts
/// of its routes, and names that follow from the content of what is generated. `places` gives for each namespace of the
/// left that of the right. As any record it explains, and excuses nothing: what else differs in a field is undeclared.
pub fn moved(left: &[Value], right: &[Value], places: &BTreeMap<String, String>) -> Vec<Entry> {
    let copy = Copy {
        name: String::new(),
        original: String::new(),
        namespaces: places.clone(),
        default_namespace: String::new(),
        domain: String::new(),
        gateway: false,
        shared: None,
    };
    let there: BTreeMap<ObjectId, &Value> = right.iter().map(|object| (identify(object), object)).collect();
    let here: Vec<(ObjectId, &Value)> = left.iter().map(|object| (identify(object), object)).collect();
    let services: BTreeSet<(String, String)> = here
        .iter()
        .filter(|(id, _)| id.group.is_empty() && id.kind == "Service")
        .map(|(id, _)| (id.name.clone(), id.namespace.clone().unwrap_or_default()))
        .collect();
    let hosts = hosts(&copy, &here, &there);
    let names = Texts { copy: &copy, hosts: &hosts, services: &services };
    let moved: BTreeSet<ObjectId> = here.iter().map(|(id, _)| copy.identity(id)).collect();
    let only_left: Vec<ObjectId> = moved.iter().filter(|id| !there.contains_key(id)).cloned().collect();
    let only_right: Vec<ObjectId> = there.keys().filter(|id| !moved.contains(id)).cloned().collect();
    let renamed: BTreeMap<(Option<String>, String), String> = generated::pairs(&only_left, &only_right)
        .into_iter()
        .map(|(from, to)| ((from.namespace, from.name), to.name))
        .collect();
    let mut record = Vec::new();
    for (id, object) in here {
        let mut changed = object.clone();
        copy.refer(&mut changed, &id, &names);
        record.extend(entries(&id, Class::Identity, PLACE, Some(object), Some(&changed)));
        let mut named = changed.clone();
        let namespace = identity::namespace(&changed).map(str::to_owned);
        let mut rename = |text: &mut String| {
            if let Some(name) = renamed.get(&(namespace.clone(), text.clone())) {
                text.clone_from(name);
            }
        };
        if !renamed.is_empty() {
            all_texts(&mut named, &mut rename);
        }
        record.extend(entries(&id, Class::Identity, GENERATED, Some(&changed), Some(&named)));
    }
    record
}

/// The hosts that take each other's place: at the same place of the same object, each answered on its own side alone.
fn hosts(
    copy: &Copy,
    left: &[(ObjectId, &Value)],
    right: &BTreeMap<ObjectId, &Value>,
) -> BTreeMap<String, String> {
    let answered = |id: &ObjectId, object: &Value| -> Vec<(&'static str, Vec<String>)> {
        let mut object = object.clone();
        let hosts = references::of(&id.group, &id.kind).filter(|(_, what)| *what == Names::Host);
        let each = hosts.map(|(pointer, _)| {
            let mut found = Vec::new();
            references::texts(&mut object, pointer, &mut |text| found.push(text.to_ascii_lowercase()));
            (pointer, found)
        });
        each.collect()
    };
    let mut pairs: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let (mut of_left, mut of_right) = (BTreeSet::new(), BTreeSet::new());
    for (id, object) in right {
        of_right.extend(answered(id, object).into_iter().flat_map(|(_, hosts)| hosts));
    }
    for (id, object) in left {
        let mine = answered(id, object);
        of_left.extend(mine.iter().flat_map(|(_, hosts)| hosts.clone()));
        let Some(other) = right.get(&copy.identity(id)) else { continue };
        for ((_, mine), (_, theirs)) in mine.into_iter().zip(answered(id, other)) {
            if mine.len() == theirs.len() {
                for (a, b) in mine.into_iter().zip(theirs) {
                    pairs.entry(a).or_default().insert(b);
                }
            }
        }
    }
    let one = |(from, to): (String, BTreeSet<String>)| {
        let to = to.into_iter().next().filter(|to| !of_left.contains(to))?;
        (!of_right.contains(&from)).then_some((from, to))
    };
    pairs.into_iter().filter(|(_, to)| to.len() == 1).filter_map(one).collect()
}

fn all_texts(value: &mut Value, change: &mut dyn FnMut(&mut String)) {
    match value {
        Value::Object(map) => map.values_mut().for_each(|child| all_texts(child, change)),
        Value::Array(items) => items.iter_mut().for_each(|child| all_texts(child, change)),
        Value::String(text) => change(text),
        _ => {}
    }
}
