//! What in a copy would call what it copies: texts that still name its hosts or services when all rules are applied.
//!
//! Every text of an object counts, wherever it stands: a program that reads one calls production in silence, and a
//! controller that reads one (external-dns, say) takes its names. Images are pulled from where they are.

use seaway_api::stack::StackSpec;
use serde_json::Value;

use crate::hosts::Texts;

/// Calls that one object makes are told up to this number.
const TOLD: usize = 8;

/// The names of what is copied that an object of the copy holds, with the JSON pointer of each. A name that the stack
/// keeps, written out in full, is meant.
pub(crate) fn of(names: &Texts<'_>, stack: &StackSpec, object: &Value) -> Vec<(String, String)> {
    let mut found = Vec::new();
    look(object, &mut String::new(), &mut |at, text| {
        found.extend(names.left(text).into_iter().map(|name| (name, at.to_owned())));
    });
    let is_kept = |name: &str| {
        let mut kept = stack.production_only.iter().filter(|kept| kept.stand_in.keep);
        kept.any(|kept| kept.host.as_deref().is_some_and(|host| host.eq_ignore_ascii_case(name)))
    };
    found.retain(|(name, _)| !is_kept(name));
    found
}

/// Why that is not right; `original` is what is copied.
pub(crate) fn reason(calls: &[(String, String)], original: &str) -> String {
    let told: Vec<String> = calls.iter().take(TOLD).map(|(name, at)| format!("{name} at {at}")).collect();
    let more = calls.len().saturating_sub(TOLD);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("it names {}{more}, of {original}", told.join(", "))
}

fn look(value: &Value, at: &mut String, found: &mut dyn FnMut(&str, &str)) {
    let length = at.len();
    match value {
        Value::Object(map) => {
            for (key, child) in map.iter().filter(|(key, _)| *key != "image") {
                at.push('/');
                at.push_str(&key.replace('~', "~0").replace('/', "~1"));
                look(child, at, found);
                at.truncate(length);
            }
        }
        Value::Array(items) => {
            for (index, child) in items.iter().enumerate() {
                at.push_str(&format!("/{index}"));
                look(child, at, found);
                at.truncate(length);
            }
        }
        Value::String(text) => found(at, text),
        _ => {}
    }
}
