//! CEL rules of definitions, and the JSONPaths of printer columns.
#![allow(clippy::unwrap_used, missing_docs)]

use seaway_fuzz::{Bytes, fuzz};
use seaway_kinds::{structural, table};
use serde_json::{Map, Value, json};

const CEL: &[&str] = &[
    "self",
    "oldSelf",
    ".all(x, ",
    ".exists(x, ",
    ".map(x, ",
    ".filter(x, ",
    ".size()",
    "size(",
    "has(",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    ".",
    " ? ",
    " : ",
    " && ",
    " || ",
    "!",
    "-",
    "+",
    "*",
    "/",
    "%",
    " == ",
    " in ",
    " < ",
    "1",
    "1u",
    "0x",
    "1.5e3",
    "9223372036854775807",
    "'a'",
    "b'a'",
    "r'\\'",
    "'''",
    "\"",
    "\\u00e9",
    "null",
    "true",
    "optional.of(1)",
    "?.",
    "[?0]",
    "matches('",
    "(a+)+$",
    "duration('1h')",
    "timestamp('2024-01-01T00:00:00Z')",
    "quantity('1Gi')",
    "url('http://a')",
    "ip('::1')",
    "cidr('10.0.0.0/8')",
    "semver('1.2.3')",
    "string(",
    "int(",
    "cel.bind(x, ",
    "'%s'.format([",
    "__x__",
    "//",
];

fn rules() -> Bytes {
    Bytes::texts(
        &[
            "self.replicas <= self.max && self.name.matches('^[a-z]+$')",
            "self.items.all(x, x.size() > 0) ? size(self.items) < 3 : self.name == 'a'",
            "!has(oldSelf.name) || self.name == oldSelf.name",
            "self.items.map(x, x + 'a').exists(y, y in ['aa', \"ba\"]) || self.replicas * 2 - 1 % 3 >= 0",
            "quantity('1Gi').isGreaterThan(quantity('1Mi')) && duration('1h') < duration('2h')",
        ],
        CEL,
    )
}

fuzz!(cel_rule, rules(), |rule: &Vec<u8>| {
    let Ok(rule) = std::str::from_utf8(rule) else { return false };
    let schema = json!({"type": "object", "properties": {"spec": {
        "type": "object", "x-kubernetes-validations": [{"rule": rule}],
        "properties": {"replicas": {"type": "integer"}, "max": {"type": "integer"}, "name": {"type": "string"},
                       "items": {"type": "array", "maxItems": 10, "items": {"type": "string", "maxLength": 10}}}}}});
    let schema = structural::CompiledSchema::compile(&schema);
    let object =
        |name: &str| json!({"spec": {"replicas": 1, "max": 2, "name": name, "items": ["a", "", "é"]}});
    let first = structural::validate(&schema, None, &object("a"));
    // A rule says the same of the same object.
    assert_eq!(structural::validate(&schema, None, &object("a")), first);
    structural::validate(&schema, Some(&object("a")), &object("b"));
    structural::validate(&schema, None, &json!({"spec": {}}));
    // A rule that does not compile refuses everything, and says so.
    !first.iter().any(|error| error.body().contains("compil"))
});

const PATHS: &[&str] = &[
    ".",
    "..",
    "[",
    "]",
    "*",
    "[*]",
    "[0]",
    "[-1]",
    "[7]",
    "[-7]",
    "[0:2]",
    "[::2]",
    "[?(@.a==1)]",
    "[?(@.type==\"Ready\")]",
    "'a'",
    "['a.b']",
    "\\.",
    "{",
    "}",
    "@",
    "$",
    "==",
    "!=",
    "<",
    "&&",
    "(",
    ")",
    "99999999999999999999",
    "é",
];

fn paths() -> Bytes {
    Bytes::texts(
        &[
            ".spec.replicas",
            ".status.conditions[?(@.type==\"Ready\")].status",
            ".metadata.labels['a\\.b']",
            ".spec.list[0].x",
            "$.spec.list[-3]['x']",
            ".spec[*]",
        ],
        PATHS,
    )
}

fuzz!(printer_column, paths(), |path: &Vec<u8>| {
    let Ok(path) = std::str::from_utf8(path) else { return false };
    let object = json!({"metadata": {"labels": {"a.b": "c"}, "creationTimestamp": "2024-01-01T00:00:00Z"},
        "spec": {"replicas": 2, "list": [{"x": 1}, {"x": null}, "y"], "é": {"x": [1.5]}},
        "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": 1}]}});
    let kinds = ["string", "integer", "number", "boolean", "date"];
    let columns: Vec<Value> = kinds.iter().map(|t| json!({"name": t, "type": t, "jsonPath": path})).collect();
    let columns = table::custom_columns(&columns);
    let now = jiff::Timestamp::UNIX_EPOCH;
    let include = table::IncludeObject::None;
    let resources = seaway_kinds::resources::builtin();
    let table = table::table(
        resources.first().unwrap(),
        Some(&columns),
        std::slice::from_ref(&object),
        now,
        include,
        Map::new(),
    );
    let cells = table["rows"][0]["cells"].as_array().unwrap();
    assert_eq!(cells.len(), table["columnDefinitions"].as_array().unwrap().len());
    // A path visits no value twice.
    assert!(table["rows"].to_string().len() <= 64 + 5 * 2 * object.to_string().len());
    cells.iter().any(|cell| !cell.is_null())
});
