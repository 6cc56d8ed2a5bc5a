//! Who set which field of a live object, and since when: `metadata.managedFields` as facts.

use std::cmp::Reverse;

use seaway_merge::fieldset::{FieldSet, PathElement};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// By which operation somebody came to own a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Operation {
    /// Server-side apply: somebody keeps it so.
    Apply,
    /// Any other write: somebody changed it once.
    Update,
}

/// Who owns a field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Owner {
    /// The field manager: `kubectl-edit`, `kube-controller-manager`.
    pub manager: String,
    /// How.
    pub operation: Operation,
    /// Since when (RFC 3339), if the API says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
}

/// All that is owned of one object.
#[derive(Debug, Clone, Default)]
pub struct Ownership {
    entries: Vec<(Owner, FieldSet)>,
}

impl Ownership {
    /// Of a live object. Entries that cannot be read are passed over: the API has checked them.
    pub fn of(object: &Value) -> Self {
        let list = object.pointer("/metadata/managedFields").and_then(Value::as_array);
        let entries = list.into_iter().flatten().filter_map(|entry| {
            let operation = match entry["operation"].as_str()? {
                "Apply" => Operation::Apply,
                _ => Operation::Update,
            };
            let owner = Owner {
                manager: entry["manager"].as_str().unwrap_or_default().to_owned(),
                operation,
                time: entry["time"].as_str().map(str::to_owned),
            };
            Some((owner, FieldSet::from_fields_v1(&entry["fieldsV1"]).ok()?))
        });
        Self { entries: entries.collect() }
    }

    /// Every owner with its fields, as Kubernetes prints them.
    pub fn fields_by_owner(&self) -> impl Iterator<Item = (&Owner, Vec<String>)> {
        self.entries.iter().map(|(owner, set)| {
            let paths = set.leaves().paths();
            (owner, paths.iter().map(|path| seaway_merge::fieldset::display(path)).collect())
        })
    }

    /// What this manager applied; `None` if it never did.
    pub fn applied_by(&self, manager: &str) -> Option<&FieldSet> {
        self.entries
            .iter()
            .find(|(owner, _)| owner.operation == Operation::Apply && owner.manager == manager)
            .map(|(_, fields)| fields)
    }

    /// Everything that a manager owns, however it came to.
    pub fn owned_by(&self, manager: &str) -> FieldSet {
        let sets = self.entries.iter().filter(|(owner, _)| owner.manager == manager);
        sets.fold(FieldSet::new(), |all, (_, fields)| all.union(fields))
    }

    /// Who owns a field, or something inside it, or all around it; appliers before others, the latest first.
    pub fn owners(&self, path: &[PathElement]) -> Vec<&Owner> {
        let mut owners: Vec<&Owner> =
            self.entries.iter().filter(|(_, fields)| touches(fields, path)).map(|(owner, _)| owner).collect();
        owners.sort_by_key(|owner| (owner.operation == Operation::Update, Reverse(owner.time.clone())));
        owners
    }

    /// The last one who wrote without applying: who must have removed what nobody owns any more.
    pub fn last_update(&self, besides: &str) -> Option<&Owner> {
        let updates = self.entries.iter().map(|(owner, _)| owner);
        updates
            .filter(|owner| owner.operation == Operation::Update && owner.manager != besides)
            .max_by_key(|owner| owner.time.clone())
    }
}

/// Whether the path, something below it, or a whole that contains it is in the set. A container that is in the set
/// beside its content is owned as such only, not as a whole.
fn touches(fields: &FieldSet, path: &[PathElement]) -> bool {
    match path {
        [] => !fields.is_empty(),
        [first, rest @ ..] => match fields.child(first) {
            Some(child) => touches(child, rest) || (rest.is_empty() && fields.has_member(first)),
            None => fields.has_member(first),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn field(names: &[&str]) -> Vec<PathElement> {
        names.iter().map(|name| PathElement::Field((*name).to_owned())).collect()
    }

    fn names(owners: &[&Owner]) -> Vec<String> {
        owners.iter().map(|owner| owner.manager.clone()).collect()
    }

    #[test]
    fn owners_are_found_for_a_field_what_is_below_and_the_whole_around_it() {
        let object = json!({"metadata": {"managedFields": [
            {"manager": "seaway", "operation": "Apply", "time": "2024-01-01T00:00:00Z",
             "fieldsV1": {"f:spec": {"f:template": {"f:image": {}}}}},
            {"manager": "kubectl-scale", "operation": "Update", "time": "2024-01-02T00:00:00Z",
             "fieldsV1": {"f:spec": {"f:replicas": {}}}},
            {"manager": "whole", "operation": "Update", "time": "2024-01-03T00:00:00Z",
             "fieldsV1": {"f:data": {"f:list": {}}}},
        ]}});
        let ownership = Ownership::of(&object);
        assert_eq!(names(&ownership.owners(&field(&["spec", "replicas"]))), ["kubectl-scale"]);
        assert_eq!(names(&ownership.owners(&field(&["spec"]))), ["seaway", "kubectl-scale"]);
        assert_eq!(names(&ownership.owners(&field(&["data", "list", "x"]))), ["whole"]);
        assert!(ownership.owners(&field(&["spec", "other"])).is_empty());
        assert_eq!(ownership.last_update("seaway").map(|owner| owner.manager.as_str()), Some("whole"));
        assert!(ownership.applied_by("seaway").is_some() && ownership.applied_by("whole").is_none());
    }

    #[test]
    fn objects_without_managed_fields_have_no_owners() {
        for object in [json!({}), json!({"metadata": {"managedFields": "x"}}), json!(null)] {
            assert!(Ownership::of(&object).owners(&[]).is_empty());
        }
    }
}
