//! What made each object, step by step, with times.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::Place;
use crate::node::Node;
use crate::resmap::ResMap;

/// More changed fields of one step are not told apart.
const MAX_FIELDS: usize = 1000;

/// Says how much time has passed since any fixed moment: the renderer has no clock of its own.
#[derive(Clone)]
pub struct Stopwatch(Arc<dyn Fn() -> Duration + Send + Sync>);

impl Stopwatch {
    /// A stopwatch that reads `elapsed`, which must not run backwards.
    pub fn new(elapsed: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self(Arc::new(elapsed))
    }

    pub(crate) fn read(&self) -> Duration {
        (self.0)()
    }
}

impl fmt::Debug for Stopwatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stopwatch")
    }
}

/// A step that made an object or changed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transformation {
    /// What was done: a field of the kustomization (`namePrefix`, `patches[0]`), or a step that every kustomization
    /// ends with (`name hash`, `references`).
    pub what: String,
    /// Where that is asked for.
    pub place: Place,
    /// The files that it used besides: a patch, the files of a generator.
    pub files: Vec<String>,
    /// How long it took, for all objects together.
    pub took: Duration,
    /// The fields of this object that it changed (`spec.replicas`); empty when it made the object.
    pub fields: Vec<String>,
}

/// What is asked for, without the result.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) what: String,
    pub(crate) place: Place,
    pub(crate) files: Vec<String>,
}

impl Step {
    /// A step that a field of a file asks for.
    pub(crate) fn at(place: Place) -> Self {
        Self { what: place.field.clone(), place, files: Vec::new() }
    }

    pub(crate) fn using(mut self, files: Vec<String>) -> Self {
        self.files = files;
        self
    }

    pub(crate) fn done(&self, took: Duration, fields: Vec<String>) -> Arc<Transformation> {
        let Self { what, place, files } = self.clone();
        Arc::new(Transformation { what, place, files, took, fields })
    }
}

/// Watches objects change.
#[derive(Debug)]
pub(crate) struct Trace {
    stopwatch: Stopwatch,
    since: Duration,
    before: HashMap<u32, Node>,
    last: u32,
}

impl Trace {
    pub(crate) fn new(stopwatch: Stopwatch) -> Self {
        let since = stopwatch.read();
        Self { stopwatch, since, before: HashMap::new(), last: 0 }
    }

    /// What is done from now on belongs to the next step.
    pub(crate) fn start(&mut self) {
        self.since = self.stopwatch.read();
    }

    /// Since [`Self::start`], `step` made an object: its history begins, or goes on with the making.
    pub(crate) fn made(&mut self, step: &Step) -> Arc<Transformation> {
        let made = step.done(self.stopwatch.read().saturating_sub(self.since), Vec::new());
        self.start();
        made
    }

    /// How the objects are before the steps that follow.
    pub(crate) fn look(&mut self, map: &mut ResMap) {
        self.before.clear();
        for resource in &mut map.list {
            if resource.serial == 0 {
                self.last += 1;
                resource.serial = self.last;
            }
            self.before.insert(resource.serial, resource.node.clone());
        }
        self.start();
    }

    /// Since the last look, `step` was done: note it with every object that it changed.
    pub(crate) fn changed(&mut self, map: &mut ResMap, step: &Step) {
        let took = self.stopwatch.read().saturating_sub(self.since);
        for resource in &mut map.list {
            let before = self.before.get(&resource.serial);
            if before == Some(&resource.node) {
                continue;
            }
            let fields = before.map(|before| changed_fields(before, &resource.node));
            // Only how something is written is another.
            if fields.as_ref().is_some_and(Vec::is_empty) {
                continue;
            }
            let fields = fields.unwrap_or_default();
            resource.history.push(step.done(took, fields));
            if resource.serial == 0 {
                self.last += 1;
                resource.serial = self.last;
            }
            self.before.insert(resource.serial, resource.node.clone());
        }
        self.start();
    }
}

/// The fields of an object that differ: the deepest ones that tell, a list of another length as a whole.
pub(crate) fn changed_fields(before: &Node, after: &Node) -> Vec<String> {
    let mut fields = Vec::new();
    compare(&mut String::new(), before, after, &mut fields);
    fields
}

fn compare(path: &mut String, before: &Node, after: &Node, found: &mut Vec<String>) {
    if before == after || found.len() >= MAX_FIELDS {
        return;
    }
    match (before, after) {
        (Node::Map(old), Node::Map(new)) => {
            let added = new.keys().filter(|key| old.get(key).is_none());
            for key in old.keys().chain(added) {
                let length = path.len();
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(key);
                match (old.get(key), new.get(key)) {
                    (Some(old), Some(new)) => compare(path, old, new, found),
                    _ => found.push(path.clone()),
                }
                path.truncate(length);
            }
        }
        (Node::Seq(old), Node::Seq(new)) if old.len() == new.len() => {
            for (index, (old, new)) in old.iter().zip(new).enumerate() {
                let length = path.len();
                path.push_str(&format!("[{index}]"));
                compare(path, old, new, found);
                path.truncate(length);
            }
        }
        (Node::Scalar(_), Node::Scalar(_)) if before.to_value().ok() == after.to_value().ok() => {}
        _ => found.push(path.clone()),
    }
}
