//! JSON patches (RFC 6902) as kustomize applies them.
//!
//! It is laxer than the RFC: `replace` makes a field that is missing, and an index may count from the end.

use serde_json::Value;

use crate::error::Problem;

/// One operation.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    kind: OperationKind,
    path: Vec<String>,
    /// As it is written, for messages.
    pointer: String,
}

#[derive(Debug, Clone)]
enum OperationKind {
    Add(Value),
    Replace(Value),
    Remove,
    Test(Value),
    Move(Vec<String>),
    Copy(Vec<String>),
}

impl Operation {
    /// Whether it puts something else in the place of a field, or of what is around it.
    pub(crate) fn replaces(&self, field: &[&str]) -> bool {
        let is_around =
            |path: &[String]| path.len() <= field.len() && path.iter().zip(field).all(|(a, b)| a == b);
        match &self.kind {
            OperationKind::Test(_) => false,
            OperationKind::Move(from) => is_around(from) || is_around(&self.path),
            _ => is_around(&self.path),
        }
    }
}

/// Read a list of operations; `None` when the value is no such list.
pub(crate) fn parse(value: &Value) -> Option<Result<Vec<Operation>, Problem>> {
    let items = value.as_array()?;
    if !items.iter().all(Value::is_object) {
        return None;
    }
    Some(items.iter().map(operation).collect())
}

fn operation(item: &Value) -> Result<Operation, Problem> {
    let text = |field: &str| -> Result<&str, Problem> {
        item.get(field)
            .and_then(Value::as_str)
            .ok_or_else(|| Problem(format!("a JSON patch operation needs the text field {field:?}: {item}")))
    };
    let pointer = text("path")?.to_owned();
    // Without a value it is null.
    let value = || item.get("value").cloned().unwrap_or_default();
    let kind = match text("op")? {
        "add" => OperationKind::Add(value()),
        "replace" => OperationKind::Replace(value()),
        "remove" => OperationKind::Remove,
        "test" => OperationKind::Test(item.get("value").cloned().unwrap_or(Value::Null)),
        "move" => OperationKind::Move(tokens(text("from")?)),
        "copy" => OperationKind::Copy(tokens(text("from")?)),
        other => return Err(Problem(format!("unexpected kind: {other}: it is no JSON patch operation"))),
    };
    Ok(Operation { kind, path: tokens(&pointer), pointer })
}

fn tokens(pointer: &str) -> Vec<String> {
    pointer.split('/').skip(1).map(|token| token.replace("~1", "/").replace("~0", "~")).collect()
}

/// Apply the operations in order.
pub(crate) fn apply(value: &mut Value, operations: &[Operation]) -> Result<(), Problem> {
    operations.iter().try_for_each(|operation| {
        apply_one(value, operation).map_err(|Problem(problem)| {
            let name = match operation.kind {
                OperationKind::Add(_) => "add",
                OperationKind::Replace(_) => "replace",
                OperationKind::Remove => "remove",
                OperationKind::Test(_) => "test",
                OperationKind::Move(_) => "move",
                OperationKind::Copy(_) => "copy",
            };
            Problem(format!("{name} operation does not apply: {}: {problem}", operation.pointer))
        })
    })
}

fn apply_one(root: &mut Value, operation: &Operation) -> Result<(), Problem> {
    match &operation.kind {
        OperationKind::Add(value) => add(root, &operation.path, value.clone()),
        OperationKind::Replace(value) => {
            let Some((last, above)) = operation.path.split_last() else {
                *root = value.clone();
                return Ok(());
            };
            match container(root, above)? {
                Value::Object(object) => {
                    object.insert(last.clone(), value.clone());
                }
                Value::Array(items) => {
                    let at = index(last, items.len())?;
                    *items.get_mut(at).ok_or_else(|| missing(last))? = value.clone();
                }
                _ => return Err(missing(last)),
            }
            Ok(())
        }
        OperationKind::Remove => remove(root, &operation.path).map(|_| ()),
        OperationKind::Test(wanted) => {
            let found = get(root, &operation.path);
            let equal = match found {
                Some(found) => found == wanted,
                None => wanted.is_null(),
            };
            if equal { Ok(()) } else { Err(Problem("testing value failed".to_owned())) }
        }
        OperationKind::Move(from) => {
            let value = remove(root, from)?;
            add(root, &operation.path, value)
        }
        OperationKind::Copy(from) => {
            // What is missing in a map is null.
            let is_in_map =
                from.split_last().is_some_and(|(_, above)| get(root, above).is_some_and(Value::is_object));
            let value = get(root, from).cloned().or(is_in_map.then_some(Value::Null));
            let value = value.ok_or_else(|| missing(&from.join("/")))?;
            add(root, &operation.path, value)
        }
    }
}

fn missing(what: &str) -> Problem {
    Problem(format!("doc is missing {what:?}"))
}

/// An index of a list; negative ones count from the end.
fn index(token: &str, length: usize) -> Result<usize, Problem> {
    let wrong = || Problem(format!("{token:?} is no index of a list of {length}"));
    let index: i64 = token.parse().map_err(|_| wrong())?;
    match usize::try_from(index) {
        Ok(index) => Ok(index),
        Err(_) => {
            let from_end = usize::try_from(index.unsigned_abs()).map_err(|_| wrong())?;
            length.checked_sub(from_end).ok_or_else(wrong)
        }
    }
}

fn get<'a>(root: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(root, |value, token| match value {
        Value::Object(object) => object.get(token),
        Value::Array(items) => items.get(index(token, items.len()).ok()?),
        _ => None,
    })
}

fn container<'a>(root: &'a mut Value, path: &[String]) -> Result<&'a mut Value, Problem> {
    path.iter().try_fold(root, |value, token| match value {
        Value::Object(object) => object.get_mut(token).ok_or_else(|| missing(token)),
        Value::Array(items) => {
            let at = index(token, items.len())?;
            items.get_mut(at).ok_or_else(|| missing(token))
        }
        _ => Err(missing(token)),
    })
}

fn add(root: &mut Value, path: &[String], value: Value) -> Result<(), Problem> {
    let Some((last, above)) = path.split_last() else { return Err(missing("")) };
    match container(root, above)? {
        Value::Object(object) => {
            object.insert(last.clone(), value);
        }
        Value::Array(items) if last == "-" => items.push(value),
        Value::Array(items) => {
            let at = index(last, items.len() + 1)?;
            if at > items.len() {
                return Err(Problem(format!("index {last} is out of bounds of a list of {}", items.len())));
            }
            items.insert(at, value);
        }
        _ => return Err(missing(last)),
    }
    Ok(())
}

fn remove(root: &mut Value, path: &[String]) -> Result<Value, Problem> {
    let Some((last, above)) = path.split_last() else { return Ok(std::mem::take(root)) };
    match container(root, above)? {
        Value::Object(object) => {
            object.remove(last).ok_or_else(|| Problem(format!("Unable to remove nonexistent key: {last}")))
        }
        Value::Array(items) => {
            let at = index(last, items.len())?;
            if at >= items.len() {
                return Err(missing(last));
            }
            Ok(items.remove(at))
        }
        _ => Err(missing(last)),
    }
}
