//! A few words to write structural OpenAPI schemas with.

use serde_json::{Map, Value, json};

const DNS_NAME: &str = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";

/// A schema under construction.
#[derive(Clone)]
pub(crate) struct Schema(Map<String, Value>);

impl Schema {
    fn of(kind: &str) -> Self {
        Self(Map::from_iter([("type".to_owned(), json!(kind))]))
    }

    fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.0.insert(key.to_owned(), value.into());
        self
    }

    pub(crate) fn about(self, description: &str) -> Self {
        self.with("description", description)
    }

    pub(crate) fn default(self, value: Value) -> Self {
        self.with("default", value)
    }

    pub(crate) fn one_of(self, values: &[&str]) -> Self {
        self.with("enum", json!(values))
    }

    pub(crate) fn length(self, min: u32, max: u32) -> Self {
        let bounded = self.with("maxLength", max);
        if min == 0 { bounded } else { bounded.with("minLength", min) }
    }

    pub(crate) fn pattern(self, pattern: &str) -> Self {
        self.with("pattern", pattern)
    }

    pub(crate) fn format(self, format: &str) -> Self {
        self.with("format", format)
    }

    pub(crate) fn at_least(self, items: u32) -> Self {
        self.with("minItems", items)
    }

    pub(crate) fn into_value(self) -> Value {
        Value::Object(self.0)
    }
}

pub(crate) fn string() -> Schema {
    Schema::of("string")
}

pub(crate) fn choice(values: &[&str]) -> Schema {
    string().one_of(values)
}

pub(crate) fn integer(min: i64, max: i64) -> Schema {
    Schema::of("integer").format("int32").with("minimum", min).with("maximum", max)
}

pub(crate) fn integer_in(values: &[i64]) -> Schema {
    Schema::of("integer").with("enum", json!(values))
}

pub(crate) fn port() -> Schema {
    integer(1, 65_535)
}

/// An object with `fields`, of which `required` must be there.
pub(crate) fn object<'a>(required: &[&str], fields: impl IntoIterator<Item = (&'a str, Schema)>) -> Schema {
    let properties: Map<String, Value> =
        fields.into_iter().map(|(name, schema)| (name.to_owned(), schema.into_value())).collect();
    let schema = Schema::of("object").with("properties", properties);
    if required.is_empty() { schema } else { schema.with("required", json!(required)) }
}

/// A map with values of one schema.
pub(crate) fn map(values: Schema, max: u32) -> Schema {
    Schema::of("object").with("additionalProperties", values.into_value()).with("maxProperties", max)
}

/// A list that is replaced as a whole.
pub(crate) fn atomic_list(items: Schema, max: u32) -> Schema {
    Schema::of("array")
        .with("items", items.into_value())
        .with("maxItems", max)
        .with("x-kubernetes-list-type", "atomic")
}

/// A list of objects that `key` tells apart.
pub(crate) fn keyed_list(items: Schema, key: &str, max: u32) -> Schema {
    Schema::of("array")
        .with("items", items.into_value())
        .with("maxItems", max)
        .with("x-kubernetes-list-type", "map")
        .with("x-kubernetes-list-map-keys", json!([key]))
}

/// A list of distinct values.
pub(crate) fn set(items: Schema, max: u32) -> Schema {
    Schema::of("array")
        .with("items", items.into_value())
        .with("maxItems", max)
        .with("x-kubernetes-list-type", "set")
}

pub(crate) fn group() -> Schema {
    string().length(0, 253).pattern(&format!("^$|^{DNS_NAME}$"))
}

pub(crate) fn kind() -> Schema {
    string().length(1, 63).pattern("^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$")
}

pub(crate) fn name() -> Schema {
    string().length(1, 253)
}

pub(crate) fn section_name() -> Schema {
    string().length(1, 253).pattern(&format!("^{DNS_NAME}$"))
}

pub(crate) fn namespace() -> Schema {
    string().length(1, 63).pattern("^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
}

/// A host name, possibly with a wildcard as its first label.
pub(crate) fn hostname() -> Schema {
    string().length(1, 253).pattern(&format!(r"^(\*\.)?{DNS_NAME}$"))
}

pub(crate) fn precise_hostname() -> Schema {
    string().length(1, 253).pattern(&format!("^{DNS_NAME}$"))
}

/// GEP-2257.
pub(crate) fn duration() -> Schema {
    string().pattern("^([0-9]{1,5}(h|m|s|ms)){1,4}$")
}

/// `metav1.LabelSelector`.
pub(crate) fn label_selector() -> Schema {
    let requirement = object(
        &["key", "operator"],
        [
            ("key", string()),
            ("operator", string().about("In, NotIn, Exists or DoesNotExist.")),
            (
                "values",
                Schema::of("array")
                    .with("items", string().into_value())
                    .with("x-kubernetes-list-type", "atomic"),
            ),
        ],
    );
    let requirements =
        Schema::of("array").with("items", requirement.into_value()).with("x-kubernetes-list-type", "atomic");
    let labels = Schema::of("object").with("additionalProperties", string().into_value());
    object(&[], [("matchExpressions", requirements), ("matchLabels", labels)])
        .with("x-kubernetes-map-type", "atomic")
}

/// A list of `metav1.Condition`.
pub(crate) fn conditions() -> Schema {
    let condition = object(
        &["lastTransitionTime", "message", "reason", "status", "type"],
        [
            ("type", string().length(1, 316)),
            ("status", choice(&["True", "False", "Unknown"])),
            ("reason", string().length(1, 1024).pattern("^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")),
            ("message", string().length(0, 32_768)),
            ("lastTransitionTime", string().format("date-time")),
            ("observedGeneration", Schema::of("integer").format("int64").with("minimum", 0)),
        ],
    );
    keyed_list(condition, "type", 8)
}

/// What a controller has not looked at yet says so.
pub(crate) fn pending_conditions(kinds: &[&str]) -> Value {
    let pending = |kind: &&str| {
        json!({
            "type": kind, "status": "Unknown", "reason": "Pending",
            "message": "Waiting for controller", "lastTransitionTime": "1970-01-01T00:00:00Z",
        })
    };
    Value::Array(kinds.iter().map(pending).collect())
}
