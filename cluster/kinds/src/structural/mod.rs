//! Custom objects against the schema of their definition.
//!
//! [`CompiledSchema`] is a version's `openAPIV3Schema`, read once with its patterns and rules compiled;
//! [`validate`] says what an object does wrong, in the words and at the paths of the real server. `metadata` of the
//! object is not the schema's, except for rules about `name` and `generateName`; it is checked like that of any
//! object, by [`crate::validation::validate_metadata`].
//!
//! The keywords are in `values`, uniqueness in lists in `lists`, embedded objects in `metadata`, rules in `rules`;
//! the schema as data and the language that rules are written in are in [`seaway_schema`]. What a schema itself may contain is checked when a definition
//! is created: its shape in [`crate::validation`], its rules and defaults in `definition`.
//!
//! What rules cost at most is estimated when the definition is created, in `costs`.
//!
//! Where this differs from the real server: a list where the schema wants a text with a format is of a wrong type (it
//! passes there); rules may be 64 levels deep, not 250; the libraries for images and authorization are not there, and rules that call them are
//! refused with the definition.

pub(crate) mod costs;
pub(crate) mod definition;
mod lists;
mod metadata;
mod rules;
#[cfg(test)]
mod tests;
mod values;

use seaway_schema::cel;
use seaway_schema::schema::Schema;
use serde_json::Value;

use self::rules::Rules;
use crate::field_error::{ErrorKind, FieldError, Path};

/// What keeps a CEL expression from being read at all, with the place; whether its types fit is not asked.
pub(crate) fn syntax_problem(expression: &str) -> Option<String> {
    cel::syntax_problem(expression)
}

/// Whether a CEL variable can have the name.
pub(crate) fn is_cel_identifier(name: &str) -> bool {
    cel::is_identifier(name)
}

/// The schema of one version of a custom resource, ready to validate objects.
#[derive(Debug)]
pub struct CompiledSchema {
    root: Schema,
    rules: Option<Rules>,
}

impl CompiledSchema {
    /// Compiles an `openAPIV3Schema` (apiextensions/v1). It never fails: `null` and parts that make no sense allow
    /// everything, and a rule that does not compile refuses every object, telling why.
    pub fn compile(open_api_v3_schema: &Value) -> CompiledSchema {
        let root = Schema::read(open_api_v3_schema);
        let rules = Rules::compile(&root);
        CompiledSchema { root, rules }
    }
}

/// What a custom object does wrong. `before` is its former state when it is an update: what was wrong and did not
/// change is tolerated (KEP-4008).
///
/// Expects the object after pruning and defaulting. Errors about several fields at once have the field `<nil>`.
pub fn validate(schema: &CompiledSchema, before: Option<&Value>, object: &Value) -> Vec<FieldError> {
    let root = Path::root();
    let mut errors = values::validate(&schema.root, "", before, object);
    errors.extend(metadata::validate(&schema.root, &root, object));
    let had_duplicates = |before: &Value| !lists::validate(&schema.root, &root, before).is_empty();
    if !before.is_some_and(had_duplicates) {
        errors.extend(lists::validate(&schema.root, &root, object));
    }
    if let Some(rules) = &schema.rules {
        if errors.iter().any(keeps_rules_from_running) {
            errors.push(FieldError::invalid(
                &root,
                Value::Null,
                "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation",
            ));
        } else {
            errors.extend(rules.validate(&schema.root, &root, before, object));
        }
    }
    errors
}

/// Rules rely on types and limits.
fn keeps_rules_from_running(error: &FieldError) -> bool {
    matches!(
        error.kind,
        ErrorKind::NotSupported
            | ErrorKind::Required
            | ErrorKind::TooLong
            | ErrorKind::TooMany
            | ErrorKind::TypeInvalid
    )
}
