//! Which objects a list or watch is about, and the forms in which they are answered.

use seaway_object::selector::{FieldSelector, LabelSelector};
use serde_json::{Value, json};

use crate::api::Context;
use crate::status::{ApiError, Result};
use crate::store::Entry;

/// Label and field selectors of a request.
pub(crate) struct Selection {
    labels: Option<LabelSelector>,
    fields: Option<FieldSelector>,
    /// Field paths that need the whole object.
    parses: bool,
    name: Option<String>,
}

impl Selection {
    pub(crate) fn of(context: &Context) -> Result<Self> {
        let labels = context
            .query
            .get("labelSelector")
            .map(str::parse::<LabelSelector>)
            .transpose()
            .map_err(|e| ApiError::bad_request(e.to_string()))?;
        let fields = context
            .query
            .get("fieldSelector")
            .map(str::parse::<FieldSelector>)
            .transpose()
            .map_err(|e| ApiError::bad_request(e.to_string()))?;
        let mut parses = false;
        if let Some(fields) = &fields {
            for path in fields.requirements.iter().map(|r| r.field.as_str()) {
                if !selectable(context, path) {
                    return Err(ApiError::bad_request(unselectable(context, path)));
                }
                parses |= !matches!(path, "metadata.name" | "metadata.namespace");
            }
        }
        // The path may name one object of a watch (`watch` of a single name).
        let name = (!context.path.name.is_empty()).then(|| context.path.name.clone());
        Ok(Self { labels, fields, parses, name })
    }

    /// Whether everything is selected.
    pub(crate) fn is_everything(&self) -> bool {
        self.labels.is_none() && self.fields.is_none() && self.name.is_none()
    }

    /// Whether only the objects themselves tell if they are selected: [`Self::may_match`] leaves it open.
    pub(crate) fn parses(&self) -> bool {
        self.parses
    }

    /// Whether an object is selected. Reads the object when fields of it are asked for, which takes its time: not for
    /// a closure that keeps writers waiting.
    pub(crate) fn matches(&self, entry: &Entry) -> bool {
        self.may_match(entry) && (!self.parses || self.fields_match(entry, &entry.value()))
    }

    /// As much of [`Self::matches`] as can be told without reading the object.
    pub(crate) fn may_match(&self, entry: &Entry) -> bool {
        if self.name.as_ref().is_some_and(|n| *n != entry.key.name) {
            return false;
        }
        if let Some(labels) = &self.labels
            && !labels.matches(|key| entry.meta.labels.get(key).map(String::as_str))
        {
            return false;
        }
        self.parses || self.fields_match(entry, &Value::Null)
    }

    fn fields_match(&self, entry: &Entry, value: &Value) -> bool {
        self.fields.as_ref().is_none_or(|fields| {
            fields.matches(|path| match path {
                "metadata.name" => entry.key.name.clone(),
                "metadata.namespace" => entry.key.namespace.clone(),
                path => field(value, path),
            })
        })
    }
}

/// The text of a field as field selectors compare it.
fn field(value: &Value, path: &str) -> String {
    let found = path.split('.').try_fold(value, |v, part| v.get(part));
    match found {
        Some(Value::String(s)) => s.clone(),
        Some(Value::Bool(b)) => b.to_string(),
        Some(Value::Number(n)) => n.to_string(),
        None if path == "spec.unschedulable" || path == "immutable" => "false".into(),
        _ => String::new(),
    }
}

fn selectable(context: &Context, path: &str) -> bool {
    path == "metadata.name"
        || (path == "metadata.namespace" && context.served.resource.namespaced)
        || own_fields(context).contains(&path)
        || context.served.custom.as_ref().is_some_and(|custom| custom.selectable.iter().any(|f| f == path))
}

/// Kinds without field paths of their own say what there is.
fn unselectable(context: &Context, path: &str) -> String {
    if own_fields(context).is_empty() && context.served.custom.is_none() {
        format!("{path:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"")
    } else {
        format!("field label not supported: {path}")
    }
}

/// The field paths that each kind can be selected by, besides name and namespace.
fn own_fields(context: &Context) -> &'static [&'static str] {
    match (context.served.group(), context.served.kind()) {
        ("", "Pod") => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ],
        ("", "Event") => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        ("", "Secret") => &["type"],
        ("", "Namespace") => &["status.phase"],
        ("", "Node") => &["spec.unschedulable"],
        ("", "Service") => &["spec.clusterIP", "spec.type"],
        ("", "ReplicationController") | ("apps", "ReplicaSet") => &["status.replicas"],
        ("batch", "Job") => &["status.successful"],
        ("certificates.k8s.io", _) => &["spec.signerName"],
        _ => &[],
    }
}

/// A `Table` of objects.
pub(crate) fn table(context: &Context, objects: &[Value], list: Option<&Value>) -> Value {
    use seaway_kinds::table::IncludeObject;
    let include = match context.query.get("includeObject") {
        Some("None") => IncludeObject::None,
        Some("Object") => IncludeObject::Object,
        _ => IncludeObject::Metadata,
    };
    let metadata = match (list, objects) {
        (Some(metadata), _) => metadata.as_object().cloned().unwrap_or_default(),
        (None, [one]) => {
            let revision = one["metadata"]["resourceVersion"].clone();
            [("resourceVersion".to_owned(), revision)].into_iter().collect()
        }
        _ => serde_json::Map::new(),
    };
    let custom = context
        .served
        .custom
        .as_ref()
        .map(|custom| seaway_kinds::table::custom_columns(&custom.printer_columns));
    let resource = &context.served.resource;
    seaway_kinds::table::table(
        resource,
        custom.as_deref(),
        objects,
        jiff::Timestamp::now(),
        include,
        metadata,
    )
}

/// `PartialObjectMetadata` of an object.
pub(crate) fn metadata_only(value: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": value["metadata"]})
}
