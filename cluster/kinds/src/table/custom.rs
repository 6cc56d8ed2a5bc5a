//! The columns of custom resources: `additionalPrinterColumns` and their JSONPath subset.

use jiff::Timestamp;
use serde_json::Value;

use super::Column;

/// A column of a custom resource, ready to be evaluated.
#[derive(Clone, Debug)]
pub struct CustomColumn {
    /// Its heading, type and priority.
    pub column: Column,
}

/// Name, then the `additionalPrinterColumns` of a CRD's version; without any, NAME and AGE.
pub fn custom_columns(_additional_printer_columns: &[Value]) -> Vec<CustomColumn> {
    Vec::new()
}

/// The cells of an object, one for each column. `now` is what ages are counted to.
pub fn cells(_columns: &[CustomColumn], _object: &Value, _now: Timestamp) -> Vec<Value> {
    Vec::new()
}
