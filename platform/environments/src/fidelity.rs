//! How far an environment is from another one, field by field.
//!
//! [`compare`] looks at two renders and nothing else; only then does it ask the record for reasons. A difference counts
//! as declared when the changes of the record, applied to the left object one after the other, give just the value on
//! the right: a record that says something else explains nothing.

use std::collections::BTreeMap;

use seaway_merge::difference::{self, Difference, get, set};
use seaway_merge::fieldset::{Path, display};
use seaway_merge::schema::TypeRef;
use seaway_object::{GroupVersionKind, ObjectId};
use serde_json::Value;

use crate::generated;
use crate::record::{Class, Entry, entries, schema};
use crate::rewrite::identify;

/// A field in which the two sides differ.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// The object's type.
    pub kind: GroupVersionKind,
    /// The object, as it is called on the right, or on the left where the right has none.
    pub object: ObjectId,
    /// The field, as Kubernetes prints it; empty for the whole object.
    pub path: String,
    /// Why they differ.
    pub class: Class,
    /// Which rule, override or stand-in; empty where nobody has said why.
    pub rule: String,
    /// The value on the left; `None`: there is none.
    pub left: Option<Value>,
    /// The value on the right.
    pub right: Option<Value>,
}

/// How far two environments agree. Fields are counted: a list that merges as a whole is one field, and so is an object
/// that one side does not have.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fidelity {
    /// All fields of both sides.
    pub total: usize,
    /// Those that are equal.
    pub identical: usize,
    /// Those that differ for a declared reason.
    pub declared: usize,
    /// Those that differ, and nobody has said why.
    pub undeclared: usize,
    /// The fields that differ, by object.
    pub differences: Vec<Field>,
}

impl Fidelity {
    /// Which part of all fields is identical: 1 where there are none.
    pub fn score(&self) -> f64 {
        if self.total == 0 {
            return 1.0;
        }
        // Counts of fields are far below 2^52.
        #[allow(clippy::cast_precision_loss)]
        let score = self.identical as f64 / self.total as f64;
        score
    }
}

/// The entries for what an override, or another revision, makes of a component: `left` as it is where it is copied.
/// Both sides are before namespaces and hosts become the copy's.
pub fn deviations(left: &[Value], right: &[Value], rule: &str) -> Vec<Entry> {
    changes(left, right, Class::Override, rule)
}

/// The entries for what other files make of a component, that a copy reads in place of some: as [`deviations`].
pub fn inputs(left: &[Value], right: &[Value], rule: &str) -> Vec<Entry> {
    changes(left, right, Class::StandIn, rule)
}

fn changes(left: &[Value], right: &[Value], class: Class, rule: &str) -> Vec<Entry> {
    let by_id = |side: &[Value]| -> BTreeMap<ObjectId, Value> {
        side.iter().map(|object| (identify(object), object.clone())).collect()
    };
    let (left, right) = (by_id(left), by_id(right));
    // What goes comes first: one may take the place of another.
    let there = left.iter().flat_map(|(id, object)| entries(id, class, rule, Some(object), right.get(id)));
    let new = right.iter().filter(|(id, _)| !left.contains_key(id));
    let new = new.flat_map(|(id, object)| entries(id, class, rule, None, Some(object)));
    there.chain(new).collect()
}

/// The entries for the objects of components that the copy does not have.
pub fn without(left: &[Value], rule: &str) -> Vec<Entry> {
    left.iter()
        .flat_map(|object| entries(&identify(object), Class::Override, rule, Some(object), None))
        .collect()
}

/// An object on the one side and on the other, as far as it is there.
type Sides<'a> = (Option<&'a Value>, Option<&'a Value>);

/// Compares two renders; objects whose names end with a digest of their content are paired without it. `name` gives the
/// right's identity of an object of the left; `record` explains, in the order in which the changes were made, and names
/// objects as the left does.
pub fn compare(
    left: &[Value],
    right: &[Value],
    name: &dyn Fn(&ObjectId) -> ObjectId,
    record: &[Entry],
) -> Fidelity {
    let mut pairs: BTreeMap<ObjectId, Sides<'_>> = BTreeMap::new();
    for object in left {
        pairs.entry(name(&identify(object))).or_default().0 = Some(object);
    }
    for object in right {
        pairs.entry(identify(object)).or_default().1 = Some(object);
    }
    let alone = |is_alone: fn(&Sides<'_>) -> bool| -> Vec<ObjectId> {
        pairs.iter().filter(|(_, pair)| is_alone(pair)).map(|(id, _)| id.clone()).collect()
    };
    let renamed = generated::pairs(&alone(|pair| pair.1.is_none()), &alone(|pair| pair.0.is_none()));
    for (from, to) in &renamed {
        let left = pairs.remove(from).and_then(|pair| pair.0);
        pairs.entry(to.clone()).or_default().0 = left;
    }
    let mut reasons: BTreeMap<ObjectId, Vec<&Entry>> = BTreeMap::new();
    for entry in record {
        let id = name(&entry.object);
        reasons.entry(renamed.get(&id).cloned().unwrap_or(id)).or_default().push(entry);
    }
    let mut fidelity = Fidelity::default();
    for (id, (left, right)) in pairs {
        let Some(some) = right.or(left) else { continue };
        let ty = schema(some);
        let found = difference::compare(&ty, left, right);
        fidelity.identical += found.equal;
        let reasons = reasons.get(&id).map(Vec::as_slice).unwrap_or_default();
        let explained = Explained::new(left, reasons, &ty);
        let kind = GroupVersionKind::of(some).unwrap_or_else(|_| GroupVersionKind {
            group: id.group.clone(),
            version: String::new(),
            kind: id.kind.clone(),
        });
        for difference in found.differences {
            let (class, rule) = explained.reason(&difference, &ty);
            match class {
                Class::Undeclared => fidelity.undeclared += 1,
                _ => fidelity.declared += 1,
            }
            fidelity.differences.push(Field {
                kind: kind.clone(),
                object: id.clone(),
                path: display(&difference.path),
                class,
                rule,
                left: difference.from,
                right: difference.to,
            });
        }
    }
    fidelity.total = fidelity.identical + fidelity.declared + fidelity.undeclared;
    fidelity
}

/// What the record makes of the left side.
struct Explained<'a> {
    /// The object as the record says that it is on the right; `None`: it is not there.
    result: Option<Value>,
    /// The changes that fit, in their order.
    applied: Vec<Applied<'a>>,
}

/// A change that fits.
struct Applied<'a> {
    entry: &'a Entry,
    /// The object in whose place it puts another one.
    replaced: Option<&'a Value>,
}

impl Applied<'_> {
    fn touches(&self, path: &Path, ty: &TypeRef) -> bool {
        match (self.replaced, &self.entry.to) {
            (Some(from), Some(to)) => !same(get(ty, from, path), get(ty, to, path)),
            _ => is_prefix(&self.entry.path, path) || is_prefix(path, &self.entry.path),
        }
    }
}

impl<'a> Explained<'a> {
    fn new(left: Option<&Value>, reasons: &[&'a Entry], ty: &TypeRef) -> Self {
        let mut result = left.cloned();
        let mut applied: Vec<Applied<'a>> = Vec::new();
        for entry in reasons {
            if entry.path.is_empty() {
                if result == entry.from {
                    result.clone_from(&entry.to);
                    let same_reason = |one: &mut Applied<'a>| {
                        let one = one.entry;
                        one.path.is_empty()
                            && (one.class, &one.rule) == (entry.class, &entry.rule)
                            && one.to.is_none()
                    };
                    let gone = applied.pop_if(same_reason);
                    applied.push(Applied { entry, replaced: gone.and_then(|gone| gone.entry.from.as_ref()) });
                }
                continue;
            }
            let Some(object) = &mut result else { continue };
            // A change from something else than what is there is not what happened.
            if same(get(ty, object, &entry.path), entry.from.as_ref())
                && set(ty, object, &entry.path, entry.to.clone())
            {
                applied.push(Applied { entry, replaced: None });
            }
        }
        Self { result, applied }
    }

    fn reason(&self, difference: &Difference, ty: &TypeRef) -> (Class, String) {
        let undeclared = (Class::Undeclared, String::new());
        let expected = match &self.result {
            Some(object) => get(ty, object, &difference.path),
            None => None,
        };
        if !same(expected, difference.to.as_ref()) {
            return undeclared;
        }
        let touching = self.applied.iter().filter(|one| one.touches(&difference.path, ty));
        // What decides is the widest of them: an override that brings an object also brings its namespace.
        let decisive = touching
            .map(|one| one.entry)
            .max_by_key(|entry| (weight(entry.class), usize::MAX - entry.path.len()));
        decisive.map_or(undeclared, |entry| (entry.class, entry.rule.clone()))
    }
}

/// Where several changes touch one field, a person wants to know of that which says most.
fn weight(class: Class) -> u8 {
    match class {
        Class::Undeclared => 0,
        Class::Identity => 1,
        Class::Rule => 2,
        Class::StandIn => 3,
        Class::Override => 4,
    }
}

fn is_prefix(short: &Path, long: &Path) -> bool {
    short.len() <= long.len() && short.iter().zip(long).all(|(a, b)| a == b)
}

/// `null` says the same as nothing.
fn same(a: Option<&Value>, b: Option<&Value>) -> bool {
    a.filter(|value| !value.is_null()) == b.filter(|value| !value.is_null())
}
