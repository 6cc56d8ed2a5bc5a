//! The objects of a kustomization, in order, no two with the same identity.

use crate::error::Problem;
use crate::id::ResId;
use crate::merge2::{self, Merging};
use crate::resource::{Behavior, Resource};
use crate::selector::Selector;

/// Objects in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct ResMap {
    pub(crate) list: Vec<Resource>,
}

impl ResMap {
    pub(crate) fn append(&mut self, resource: Resource) -> Result<(), Problem> {
        let id = resource.id();
        if self.list.iter().any(|other| is(other, &id)) {
            return Err(Problem(format!(
                "may not add resource with an already registered id: {id} (from {}): two files define it",
                resource.origin.file
            )));
        }
        self.list.push(resource);
        Ok(())
    }

    pub(crate) fn append_all(&mut self, resources: Vec<Resource>) -> Result<(), Problem> {
        self.list.reserve(resources.len());
        resources.into_iter().try_for_each(|resource| self.append(resource))
    }

    /// Add generated objects: they may replace or change those that are there.
    pub(crate) fn absorb(&mut self, mut new: Resource) -> Result<(), Problem> {
        let id = new.id();
        let matches: Vec<usize> = self.indices(|resource| resource.any_id(|other| other.same(&id))).collect();
        match (matches.as_slice(), new.behavior) {
            ([], Behavior::Merge | Behavior::Replace) => {
                Err(Problem(format!("id {id} does not exist; cannot merge or replace")))
            }
            ([], _) => self.append(new),
            (&[at], Behavior::Replace | Behavior::Merge) => {
                let old = &self.list[at];
                let behavior = new.behavior;
                new.add_missing_texts("labels", &old.labels());
                new.add_missing_texts("annotations", &old.annotations());
                new.set_name(old.name());
                new.set_namespace(old.namespace());
                new.inherit(old);
                new.transformations.clone_from(&old.transformations);
                if behavior == Behavior::Merge {
                    for field in ["data", "binaryData"] {
                        merge_texts(&mut new, field, old);
                    }
                    new.origin_annotation.clone_from(&old.origin_annotation);
                }
                self.list[at] = new;
                Ok(())
            }
            ([_], behavior) => Err(Problem(format!(
                "id {id} exists; behavior must be merge or replace, not {}",
                behavior.name()
            ))),
            (_, _) => Err(Problem(format!("found multiple objects that could accept merge of {id}"))),
        }
    }

    fn indices(&self, matches: impl Fn(&Resource) -> bool) -> impl Iterator<Item = usize> {
        self.list.iter().enumerate().filter(move |(_, resource)| matches(resource)).map(|(index, _)| index)
    }

    /// The one object that is or was `id`.
    pub(crate) fn by_any_id(&self, id: &ResId) -> Result<usize, Problem> {
        let found: Vec<usize> = self
            .indices(|resource| !resource.is_deleted() && resource.any_id(|other| other.same(id)))
            .collect();
        match found.as_slice() {
            [one] => Ok(*one),
            [] => {
                Err(Problem(format!("no matches for Id {id}; failed to find unique target for patch {id}")))
            }
            _ => Err(Problem(format!(
                "multiple matches for Id {id}; failed to find unique target for patch {id}"
            ))),
        }
    }

    pub(crate) fn select(&self, selector: &Selector) -> Vec<usize> {
        self.indices(|resource| selector.selects(resource)).collect()
    }

    pub(crate) fn drop_deleted(&mut self) {
        self.list.retain(|resource| !resource.is_deleted());
    }

    /// Merge a patch into some objects, as it stands: it has to name what it patches.
    pub(crate) fn patch_selected(
        &mut self,
        selected: &[usize],
        patch: &Resource,
        merging: &Merging,
    ) -> Result<(), Problem> {
        let mut patch = patch.clone();
        patch.settle_texts("labels");
        patch.settle_texts("annotations");
        let (name, namespace, kind) =
            (patch.name().to_owned(), patch.namespace().to_owned(), patch.kind().to_owned());
        patch.set_name(&name);
        patch.set_namespace(&namespace);
        for &index in selected {
            let target = &mut self.list[index];
            patch.set_api_version(&target.gvk().api_version());
            patch.set_kind(&kind);
            patch_resource(target, &patch, merging)?;
        }
        self.drop_deleted();
        if !selected.is_empty() {
            self.check_unique()?;
        }
        Ok(())
    }

    /// No two objects may be the same.
    pub(crate) fn check_unique(&self) -> Result<(), Problem> {
        let mut seen = std::collections::HashSet::with_capacity(self.list.len());
        for resource in &self.list {
            let id = resource.id();
            let key = ResId { namespace: id.effective_namespace().to_owned(), ..id.clone() };
            if !seen.insert(key) {
                return Err(Problem(format!("may not add resource with an already registered id: {id}")));
            }
        }
        Ok(())
    }
}

/// Whether `resource` is `id` now. Cheaper than making its identity first.
fn is(resource: &Resource, id: &ResId) -> bool {
    resource.name() == id.name && resource.kind() == id.gvk.kind && resource.id().same(id)
}

/// Merge a patch into an object. Name, namespace and kind stay unless the patch may change them.
pub(crate) fn patch_resource(
    target: &mut Resource,
    patch: &Resource,
    merging: &Merging,
) -> Result<(), Problem> {
    let (name, namespace, kind) =
        (target.name().to_owned(), target.namespace().to_owned(), target.kind().to_owned());
    if patch.may_rename || patch.may_change_kind {
        target.remember_id();
    }
    let directive = |path: &[&str]| patch.node.at(path).map_or("", crate::node::Node::raw_text);
    // kustomize does not look at what replaces the whole object.
    if directive(&["$patch"]) == "replace" {
        return Ok(());
    }
    let replaces = |path: &[&str], of: &[&str]| {
        matches!(directive(path), "replace" | "delete")
            || patch.node.at(of).is_some_and(crate::node::Node::is_null)
    };
    if replaces(&["metadata", "$patch"], &["metadata"])
        || replaces(&["metadata", "annotations", "$patch"], &["metadata", "annotations"])
    {
        target.forget_notes(true);
    }
    let node = std::mem::replace(&mut target.node, crate::node::Kind::Map.empty());
    match merge2::merge(node, patch.node.clone(), merging)? {
        Some(merged) if !merged.is_null_or_empty() => target.node = merged,
        _ => return Ok(()),
    }
    if !patch.may_change_kind {
        target.set_kind(&kind);
    }
    if !patch.may_rename {
        target.set_name(&name);
    }
    target.set_namespace(&namespace);
    Ok(())
}

/// `field` of both, the new one's entries winning.
fn merge_texts(new: &mut Resource, field: &str, old: &Resource) {
    let mut texts: std::collections::BTreeMap<String, String> =
        old.texts(&[field]).into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    texts.extend(new.texts(&[field]).into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())));
    let Some(map) = new.node.as_map_mut() else { return };
    map.remove(field);
    if !texts.is_empty() {
        let texts = texts.into_iter().map(|(key, value)| (key, crate::node::Node::text(value)));
        map.insert(field, crate::node::Node::Map(texts.collect()));
    }
}
