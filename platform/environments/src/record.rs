//! What was changed on the way from what is copied to the copy, and why.

use seaway_merge::difference::{Difference, compare};
use seaway_merge::fieldset::Path;
use seaway_merge::schema::{TypeRef, for_kind, untyped};
use seaway_object::{GroupVersionKind, ObjectId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Why two environments differ in a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Class {
    /// The copy is another place: its namespaces, names and hosts.
    Identity,
    /// A rule of the Stack.
    Rule,
    /// An override, or that the copy follows something else.
    Override,
    /// It stays in production, and this stands in.
    StandIn,
    /// Nobody has said why.
    Undeclared,
}

impl Class {
    /// As it is printed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Rule => "rule",
            Self::Override => "override",
            Self::StandIn => "standIn",
            Self::Undeclared => "undeclared",
        }
    }
}

/// One field that was changed on purpose.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The object, as it is called in what is copied.
    pub object: ObjectId,
    /// Why.
    pub class: Class,
    /// Which rule, override or stand-in.
    pub rule: String,
    /// The field; empty for the whole object.
    pub path: Path,
    /// Before; `None`: it was not there.
    pub from: Option<Value>,
    /// After; `None`: it is not there then.
    pub to: Option<Value>,
}

/// The entries for what became of one object: `None` is an object that is not there.
pub(crate) fn entries(
    object: &ObjectId,
    class: Class,
    rule: &str,
    from: Option<&Value>,
    to: Option<&Value>,
) -> Vec<Entry> {
    let differences = match from.or(to) {
        Some(value) => compare(&schema(value), from, to).differences,
        None => Vec::new(),
    };
    let entry = |Difference { path, from, to }| Entry {
        object: object.clone(),
        class,
        rule: rule.to_owned(),
        path,
        from,
        to,
    };
    differences.into_iter().map(entry).collect()
}

/// How an object's fields merge, as far as it is known.
pub(crate) fn schema(object: &Value) -> TypeRef {
    let known =
        GroupVersionKind::of(object).ok().and_then(|kind| for_kind(&kind.group, &kind.version, &kind.kind));
    known.unwrap_or_else(untyped)
}
