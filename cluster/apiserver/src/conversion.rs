//! Objects that are stored in another form than they are answered in: core/v1 and events.k8s.io/v1 Event, which share
//! storage, and custom resources of several versions or of a definition that has changed.

use serde_json::{Map, Value};

use crate::catalog::Served;

/// Fields of events.k8s.io/v1 and what core/v1 calls them.
const RENAMED: [(&str, &str); 6] = [
    ("note", "message"),
    ("regarding", "involvedObject"),
    ("reportingController", "reportingComponent"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
];
const COUNT: (&str, &str) = ("deprecatedCount", "count");

/// Whether objects of this resource are stored under another version's names.
pub(crate) fn needed(served: &Served) -> bool {
    served.group() == "events.k8s.io"
}

fn rename(object: &mut Map<String, Value>, from: &str, to: &str) {
    if let Some(value) = object.remove(from) {
        object.insert(to.into(), value);
    }
}

/// To the stored form.
pub(crate) fn to_storage(served: &Served, value: &mut Value) {
    if needed(served)
        && let Some(object) = value.as_object_mut()
    {
        for (new, core) in RENAMED.into_iter().chain([COUNT]) {
            rename(object, new, core);
        }
        object.insert("apiVersion".into(), "v1".into());
    }
    if let Some(custom) = &served.custom {
        value["apiVersion"] = custom.storage_api_version.clone().into();
        if let Some(schema) = &custom.stored_schema {
            seaway_merge::check::prune(value, schema);
        }
    }
}

/// From the stored form.
pub(crate) fn from_storage(served: &Served, value: &mut Value) {
    if needed(served)
        && let Some(object) = value.as_object_mut()
    {
        for (new, core) in RENAMED.into_iter().chain([COUNT]) {
            rename(object, core, new);
        }
        object.insert("apiVersion".into(), "events.k8s.io/v1".into());
    }
    if let Some(custom) = &served.custom {
        value["apiVersion"] = served.api_version().into();
        if !custom.keeps_unknown {
            seaway_merge::check::prune(value, &served.schema);
        }
        seaway_merge::check::default(value, &served.schema);
    }
}
