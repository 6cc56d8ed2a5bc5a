//! The columns of custom resources: `additionalPrinterColumns`.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Column;
use super::format::human_duration;
use super::jsonpath::Path;
use crate::fields::{integer, text};

/// A column of a custom resource, ready to be evaluated.
#[derive(Clone, Debug)]
pub struct CustomColumn {
    /// Its heading, type and priority.
    pub column: Column,
    /// Where its value is; a path that cannot be read shows nothing.
    path: Option<Path>,
}

/// The name, then the `additionalPrinterColumns` of a CRD's version; without any, NAME and AGE.
pub fn custom_columns(additional_printer_columns: &[Value]) -> Vec<CustomColumn> {
    let name = json!({
        "name": "Name", "type": "string", "format": "name",
        "description": super::NAME.description, "jsonPath": ".metadata.name",
    });
    let age = json!({
        "name": "Age", "type": "date",
        "description": super::AGE.description, "jsonPath": ".metadata.creationTimestamp",
    });
    let additional = if additional_printer_columns.is_empty() {
        std::slice::from_ref(&age)
    } else {
        additional_printer_columns
    };
    std::iter::once(&name).chain(additional).map(custom_column).collect()
}

fn custom_column(definition: &Value) -> CustomColumn {
    let path = text(definition, "jsonPath");
    let description = match text(definition, "description") {
        "" => format!("Custom resource definition column (in JSONPath format): {path}"),
        description => description.to_owned(),
    };
    let priority = integer(definition, "priority").and_then(|p| i32::try_from(p).ok()).unwrap_or(0);
    CustomColumn {
        column: Column {
            name: text(definition, "name").to_owned(),
            kind: text(definition, "type").to_owned(),
            format: text(definition, "format").to_owned(),
            description,
            priority,
        },
        path: Path::parse(path),
    }
}

/// The cells of an object, one for each column. `now` is what ages are counted to.
pub fn cells(columns: &[CustomColumn], object: &Value, now: Timestamp) -> Vec<Value> {
    columns
        .iter()
        .map(|column| {
            // Where a path has several results the first is shown.
            let value = column.path.as_ref().and_then(|path| path.find(object).into_iter().next());
            value.map_or(Value::Null, |value| cell(&column.column.kind, value, now))
        })
        .collect()
}

/// A value as its column's type shows it; `null` where it has another type.
fn cell(kind: &str, value: &Value, now: Timestamp) -> Value {
    match (kind, value) {
        (_, Value::Null) => Value::Null,
        ("string", Value::String(text)) => text.as_str().into(),
        ("string", other) => other.to_string().into(),
        ("integer", Value::Number(number)) => {
            // A fraction is cut off.
            number.as_i64().or_else(|| number.as_f64().map(|n| n as i64)).map_or(Value::Null, Value::from)
        }
        ("number", Value::Number(_)) | ("boolean", Value::Bool(_)) => value.clone(),
        ("date", Value::String(text)) => match text.parse::<Timestamp>() {
            Ok(moment) => human_duration(super::format::seconds_between(moment, now)).into(),
            Err(_) => "<invalid>".into(),
        },
        _ => Value::Null,
    }
}
