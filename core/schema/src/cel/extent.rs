//! How large the values of a schema can be: what its limits say, and otherwise what fits into a request.
//!
//! The numbers are Kubernetes' (k8s.io/apiserver/pkg/cel: limits, and the sizes of its declared types), so that the same
//! rules are accepted and refused.

use std::collections::BTreeMap;

use super::super::formats::TextFormat;
use super::super::schema::{JsonType, Schema};
use super::types::{escape, resource_field};

/// Bytes of the largest request.
const REQUEST: u64 = 3 * 1024 * 1024;
/// Characters of the longest written duration, and of the longest moment, with their quotes.
const LONGEST_DURATION: u64 = 32;
const LONGEST_MOMENT: u64 = 32;
/// Characters of a date and of the shortest values in JSON.
const DATE: u64 = 12;
const SHORTEST_DURATION: u64 = 3;
const SHORTEST_MOMENT: u64 = 21;
const SHORTEST_TEXT: u64 = 2;
const SHORTEST_BOOL: u64 = 4;
const SHORTEST_NUMBER: u64 = 1;

/// The sizes of the values of one schema.
#[derive(Debug, Default)]
pub struct Extent {
    /// Most characters, bytes, items or entries; 0 for what has no size.
    pub(super) most: u64,
    /// Fewest bytes of one value in JSON.
    shortest: u64,
    /// Of structures, by their names in rules.
    pub(super) fields: BTreeMap<String, Extent>,
    /// Of the keys of maps, whose sizes nothing is known of.
    pub(super) key: Option<Box<Extent>>,
    /// Of the items of lists and the values of maps.
    pub(super) element: Option<Box<Extent>>,
}

impl Extent {
    /// Of values that rules can see.
    pub fn of_schema(schema: &Schema, is_resource: bool) -> Option<Extent> {
        let plain = |shortest: u64, most: u64| Extent { most, shortest, ..Extent::default() };
        if schema.int_or_string {
            return Some(plain(SHORTEST_NUMBER, schema.max_length.map_or(REQUEST - 2, in_bytes)));
        }
        Some(match schema.json_type? {
            JsonType::Array => {
                let items = schema.items.as_ref()?;
                let element = Extent::of_schema(items, items.embedded)?;
                let most = schema.max_items.unwrap_or((REQUEST - 2) / (element.shortest + 1));
                Extent { element: Some(Box::new(element)), ..plain(2, most) }
            }
            JsonType::Object => {
                let is_resource = is_resource || schema.embedded;
                if let Some(each) = schema.each()
                    && !is_resource
                {
                    let element = Extent::of_schema(each, each.embedded)?;
                    // A key has two quotes, a colon, a comma and at least two characters.
                    let most = schema.max_properties.unwrap_or((REQUEST - 2) / (element.shortest + 6));
                    let key = Some(Box::new(plain(SHORTEST_TEXT, 0)));
                    return Some(Extent { key, element: Some(Box::new(element)), ..plain(2, most) });
                }
                structure(schema, is_resource)
            }
            JsonType::String => text(schema),
            JsonType::Boolean => plain(SHORTEST_BOOL, 0),
            JsonType::Number | JsonType::Integer => plain(SHORTEST_NUMBER, 0),
        })
    }

    /// How many such values fit into one request.
    pub fn in_request(&self) -> u64 {
        REQUEST / (self.shortest + 1)
    }
}

fn structure(schema: &Schema, is_resource: bool) -> Extent {
    let mut all = Extent { shortest: 2, ..Extent::default() };
    for (name, property) in &schema.properties {
        let Some(field) = Extent::of_schema(property, property.embedded) else { continue };
        // What has a default need not be sent.
        if schema.required.contains(name) && !property.has_default {
            all.shortest += name.len() as u64 + field.shortest + 4;
        }
        if let Some(name) = escape(name) {
            all.fields.insert(name, field);
        }
    }
    if is_resource {
        for name in ["apiVersion", "kind", "metadata"] {
            if let Some(field) = resource_field(name).and_then(|schema| Extent::of_schema(schema, false)) {
                all.fields.insert(name.to_owned(), field);
            }
        }
    }
    all
}

fn text(schema: &Schema) -> Extent {
    let of = |shortest: u64, most: u64| Extent { most, shortest, ..Extent::default() };
    match schema.format.as_ref().and_then(|format| format.text) {
        Some(TextFormat::Byte) => of(SHORTEST_TEXT, schema.max_length.unwrap_or(REQUEST - 2)),
        Some(TextFormat::Duration) => of(SHORTEST_DURATION, LONGEST_DURATION),
        Some(TextFormat::Date) => of(DATE, DATE),
        Some(TextFormat::DateTime) => of(SHORTEST_MOMENT, LONGEST_MOMENT),
        _ => {
            let longest =
                schema.options.iter().filter_map(|one| one.as_str()).map(|text| text.len() as u64).max();
            let most = match (schema.max_length, longest) {
                (Some(characters), _) => in_bytes(characters),
                (None, Some(longest)) => longest,
                (None, None) if !schema.options.is_empty() => 0,
                (None, None) => REQUEST - 2,
            };
            of(SHORTEST_TEXT, most)
        }
    }
}

/// A limit of characters as one of bytes.
fn in_bytes(characters: u64) -> u64 {
    characters.saturating_mul(4)
}
