//! A Swagger document in the protobuf form in which Go clients ask for it: gnostic's `openapi.v2.Document`
//! (<https://github.com/google/gnostic/blob/main/openapiv2/OpenAPIv2.proto>).
//!
//! `kubectl explain --output=plaintext-openapiv2` and validation on the client's side read the definitions, so these
//! are complete; paths are left out, which tell old clients what version 3 tells all others.

use serde_json::{Map, Value};

/// The message of a Swagger document as [`super::v2`] makes it.
pub(super) fn document(swagger: &Value) -> Vec<u8> {
    let mut out = Message::default();
    out.text(1, swagger["swagger"].as_str());
    let mut info = Message::default();
    info.text(1, swagger["info"]["title"].as_str());
    info.text(2, swagger["info"]["version"].as_str());
    out.message(2, info);
    out.message(8, Message::default());
    if let Some(definitions) = swagger["definitions"].as_object() {
        out.message(9, named(definitions));
    }
    out.0
}

/// A message's fields, one after the other
/// (<https://protobuf.dev/programming-guides/encoding/>).
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number.to_le_bytes()[0] | 0x80);
            number >>= 7;
        }
        self.0.push(number.to_le_bytes()[0]);
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn text(&mut self, field: u64, text: Option<&str>) {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            self.bytes(field, text.as_bytes());
        }
    }

    fn message(&mut self, field: u64, message: Message) {
        self.bytes(field, &message.0);
    }
}

/// `Properties` and `Definitions`: schemas by name.
fn named(schemas: &Map<String, Value>) -> Message {
    let mut out = Message::default();
    for (name, value) in schemas {
        let mut pair = Message::default();
        pair.text(1, Some(name));
        pair.message(2, schema(value));
        out.message(1, pair);
    }
    out
}

/// `Any`: a value as YAML, of which JSON is a part.
fn any(value: &Value) -> Message {
    let mut out = Message::default();
    out.text(2, Some(&value.to_string()));
    out
}

fn schema(value: &Value) -> Message {
    let mut out = Message::default();
    out.text(1, value["$ref"].as_str());
    out.text(2, value["format"].as_str());
    out.text(4, value["description"].as_str());
    if let Some(default) = value.get("default") {
        out.message(5, any(default));
    }
    for required in value["required"].as_array().into_iter().flatten() {
        out.text(19, required.as_str());
    }
    for one in value["enum"].as_array().into_iter().flatten() {
        out.message(20, any(one));
    }
    let additional = &value["additionalProperties"];
    if additional.is_object() {
        let mut item = Message::default();
        item.message(1, schema(additional));
        out.message(21, item);
    }
    if let Some(kind) = value["type"].as_str() {
        let mut item = Message::default();
        item.text(1, Some(kind));
        out.message(22, item);
    }
    if value["items"].is_object() {
        let mut item = Message::default();
        item.message(1, schema(&value["items"]));
        out.message(23, item);
    }
    for one in value["allOf"].as_array().into_iter().flatten() {
        out.message(24, schema(one));
    }
    if let Some(properties) = value["properties"].as_object() {
        out.message(25, named(properties));
    }
    for (name, extension) in
        value.as_object().into_iter().flatten().filter(|(name, _)| name.starts_with("x-"))
    {
        let mut pair = Message::default();
        pair.text(1, Some(name));
        pair.message(2, any(extension));
        out.message(31, pair);
    }
    out
}
