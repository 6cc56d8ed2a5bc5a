#![allow(clippy::unwrap_used)]
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{CompiledSchema, validate};

/// A schema whose `spec` has one field `f` of the given schema.
fn with(field: &Value) -> CompiledSchema {
    CompiledSchema::compile(&json!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": {"f": field}},
    }}))
}

fn texts(schema: &CompiledSchema, before: Option<&Value>, object: &Value) -> Vec<String> {
    validate(schema, before, object).iter().map(ToString::to_string).collect()
}

/// Checks values of a field: each with the errors that it has.
fn field(schema: Value, cases: &[(Value, &[&str])]) {
    let compiled = with(&schema);
    for (value, expected) in cases {
        assert_eq!(texts(&compiled, None, &json!({"spec": {"f": value}})), *expected, "{schema} {value}");
    }
}

#[test]
fn types_are_checked() {
    let wrong = |expected: &str, got: &str| {
        format!("spec.f: Invalid value: \"{got}\": spec.f in body must be of type {expected}: \"{got}\"")
    };
    let values = [
        ("null", json!(null)),
        ("boolean", json!(true)),
        ("integer", json!(1)),
        ("number", json!(1.5)),
        ("string", json!("a")),
        ("array", json!([])),
        ("object", json!({})),
    ];
    for expected in ["boolean", "integer", "number", "string", "array", "object"] {
        let compiled = with(&json!({"type": expected}));
        for (got, value) in &values {
            let found = texts(&compiled, None, &json!({"spec": {"f": value}}));
            if *got == expected || (*got == "integer" && expected == "number") {
                assert_eq!(found, Vec::<String>::new());
            } else {
                assert_eq!(found, [wrong(expected, got)]);
            }
        }
    }
    field(json!({"type": "integer"}), &[(json!(1.0), &[]), (json!(1.5), &[&wrong("integer", "number")])]);
    field(json!({"type": "string", "nullable": true}), &[(json!(null), &[]), (json!("a"), &[])]);
    field(
        json!({"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]}),
        &[(json!(1), &[]), (json!("1"), &[])],
    );
    field(
        json!({"x-kubernetes-int-or-string": true}),
        &[
            (json!(true), &[&wrong("integer,string", "boolean")]),
            (json!(1.5), &[&wrong("integer,string", "number")]),
        ],
    );
    field(
        json!({"x-kubernetes-preserve-unknown-fields": true}),
        &[(json!([{"a": 1}]), &[]), (json!(null), &[])],
    );
    let reason = validate(&with(&json!({"type": "string"})), None, &json!({"spec": {"f": 1}}))[0].reason();
    assert_eq!(reason, "FieldValueTypeInvalid");
}

#[test]
fn keywords_are_checked() {
    field(
        json!({"type": "string", "enum": ["a", "b"]}),
        &[
            (json!("a"), &[]),
            (json!("c"), &["spec.f: Unsupported value: \"c\": supported values: \"a\", \"b\""]),
        ],
    );
    field(
        json!({"type": "integer", "enum": [1, 2]}),
        &[(json!(2.0), &[]), (json!(3), &["spec.f: Unsupported value: 3: supported values: \"1\", \"2\""])],
    );
    field(
        json!({"type": "string", "nullable": true, "enum": ["a"]}),
        &[(json!(null), &["spec.f: Unsupported value: \"null\": supported values: \"a\""])],
    );
    field(
        json!({"type": "string", "minLength": 2, "maxLength": 3, "pattern": "^[ab]*$"}),
        &[
            (json!("ab"), &[]),
            (json!("a"), &["spec.f: Invalid value: \"a\": spec.f in body should be at least 2 chars long"]),
            (json!("abab"), &["spec.f: Too long: may not be more than 3 bytes"]),
            (json!("ac"), &["spec.f: Invalid value: \"ac\": spec.f in body should match '^[ab]*$'"]),
        ],
    );
    // Lengths count characters.
    field(json!({"type": "string", "maxLength": 2}), &[(json!("ää"), &[])]);
    field(
        json!({"type": "integer", "minimum": 1, "maximum": 5, "multipleOf": 2}),
        &[
            (json!(2), &[]),
            (json!(3), &["spec.f: Invalid value: 3: spec.f in body should be a multiple of 2"]),
            (json!(0), &["spec.f: Invalid value: 0: spec.f in body should be greater than or equal to 1"]),
            (json!(6), &["spec.f: Invalid value: 6: spec.f in body should be less than or equal to 5"]),
        ],
    );
    field(
        json!({"type": "number", "minimum": 0, "exclusiveMinimum": true, "maximum": 1.5, "exclusiveMaximum": true}),
        &[
            (json!(0.5), &[]),
            (json!(0.0), &["spec.f: Invalid value: 0: spec.f in body should be greater than 0"]),
            (json!(1.5), &["spec.f: Invalid value: 1.5: spec.f in body should be less than 1.5"]),
        ],
    );
    field(
        json!({"type": "number", "multipleOf": 0.1}),
        &[
            (json!(0.3), &[]),
            (json!(2), &[]),
            (json!(0.25), &["spec.f: Invalid value: 0.25: spec.f in body should be a multiple of 0.1"]),
        ],
    );
    field(
        json!({"type": "array", "minItems": 1, "maxItems": 2, "items": {"type": "integer", "minimum": 0}}),
        &[
            (json!([1]), &[]),
            (json!([]), &["spec.f: Invalid value: 0: spec.f in body should have at least 1 items"]),
            (
                json!([1, -1, 1]),
                &[
                    "spec.f[1]: Invalid value: -1: spec.f[1] in body should be greater than or equal to 0",
                    "spec.f: Too many: 3: must have at most 2 items",
                ],
            ),
        ],
    );
    field(
        json!({"type": "object", "minProperties": 1, "maxProperties": 2, "additionalProperties": {"type": "string"}}),
        &[
            (json!({"a": "b"}), &[]),
            (json!({}), &["spec.f: Invalid value: 0: spec.f in body should have at least 1 properties"]),
            (json!({"a": "", "b": "", "c": ""}), &["spec.f: Too many: 3: must have at most 2 items"]),
            (
                json!({"k": 1}),
                &[
                    "spec.f.k: Invalid value: \"integer\": spec.f.k in body must be of type string: \"integer\"",
                ],
            ),
        ],
    );
    field(
        json!({"type": "object", "properties": {"a": {"type": "object", "required": ["b"], "properties": {"b": {"type": "string"}}}}, "required": ["a"]}),
        &[
            (json!({"a": {"b": "x"}}), &[]),
            (json!({}), &["spec.f.a: Required value"]),
            (json!({"a": {}}), &["spec.f.a.b: Required value"]),
        ],
    );
    field(
        json!({"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": false}),
        &[(json!({"b": 1}), &["spec.f: Invalid value: \"b\": spec.f.b in body is a forbidden property"])],
    );
}

#[test]
fn formats_are_checked_as_types() {
    field(
        json!({"type": "string", "format": "date-time"}),
        &[
            (json!("2024-01-01T00:00:00Z"), &[]),
            (json!("x"), &["spec.f: Invalid value: \"x\": spec.f in body must be of type date-time: \"x\""]),
            (
                json!(["x"]),
                &["spec.f: Invalid value: \"array\": spec.f in body must be of type string: \"array\""],
            ),
        ],
    );
    // Numbers have formats that say nothing of their range, and unknown formats say nothing at all.
    field(
        json!({"type": "integer", "format": "int32"}),
        &[
            (json!(4_000_000_000_u32), &[]),
            (
                json!("1"),
                &["spec.f: Invalid value: \"string\": spec.f in body must be of type integer: \"string\""],
            ),
            (
                json!(1.5),
                &["spec.f: Invalid value: \"float64\": spec.f in body must be of type int32: \"float64\""],
            ),
        ],
    );
    field(json!({"type": "string", "format": "fancy"}), &[(json!("anything"), &[])]);
}

#[test]
fn alternatives_tell_the_one_that_came_closest() {
    field(
        json!({"type": "integer", "anyOf": [{"minimum": 10}, {"maximum": 0}]}),
        &[
            (json!(10), &[]),
            (json!(0), &[]),
            (
                json!(5),
                &[
                    "<nil>: Invalid value: \"\": \"spec.f\" must validate at least one schema (anyOf)",
                    "spec.f: Invalid value: 5: spec.f in body should be greater than or equal to 10",
                ],
            ),
        ],
    );
    field(
        json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}, "oneOf": [{"required": ["a"]}, {"required": ["b"]}]}),
        &[
            (json!({"a": ""}), &[]),
            (
                json!({}),
                &[
                    "<nil>: Invalid value: \"\": \"spec.f\" must validate one and only one schema (oneOf). Found none valid",
                    "spec.f.a: Required value",
                ],
            ),
            (
                json!({"a": "", "b": ""}),
                &[
                    "<nil>: Invalid value: \"\": \"spec.f\" must validate one and only one schema (oneOf). Found 2 valid alternatives",
                ],
            ),
        ],
    );
    field(
        json!({"type": "integer", "allOf": [{"minimum": 2}, {"maximum": 5}]}),
        &[
            (json!(3), &[]),
            (
                json!(6),
                &[
                    "<nil>: Invalid value: \"\": \"spec.f\" must validate all the schemas (allOf)",
                    "spec.f: Invalid value: 6: spec.f in body should be less than or equal to 5",
                ],
            ),
        ],
    );
    field(
        json!({"type": "string", "not": {"enum": ["bad"]}}),
        &[
            (json!("good"), &[]),
            (json!("bad"), &["<nil>: Invalid value: \"\": \"spec.f\" must not validate the schema (not)"]),
        ],
    );
}

#[test]
fn sets_and_map_lists_have_no_duplicates() {
    field(
        json!({"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"}),
        &[(json!(["a", "b"]), &[]), (json!(["a", "b", "a", "a"]), &["spec.f[2]: Duplicate value: \"a\""])],
    );
    let item =
        json!({"type": "object", "properties": {"name": {"type": "string"}, "port": {"type": "integer"}}});
    field(
        json!({"type": "array", "items": item, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}),
        &[
            (json!([{"name": "a"}, {"name": "b"}]), &[]),
            (json!([{"name": "a"}, {"name": "a"}]), &["spec.f[1]: Duplicate value: {\"name\":\"a\"}"]),
            (json!([{}, {}]), &["spec.f[1]: Duplicate value: {}"]),
        ],
    );
    field(
        json!({"type": "array", "items": item, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name", "port"]}),
        &[
            (json!([{"name": "a", "port": 1}, {"name": "a", "port": 2}]), &[]),
            (
                json!([{"name": "a", "port": 1}, {"port": 1, "name": "a"}]),
                &["spec.f[1]: Duplicate value: {\"name\":\"a\",\"port\":1}"],
            ),
        ],
    );
    // Below maps, the key stands in brackets.
    field(
        json!({"type": "object", "additionalProperties": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"}}),
        &[(json!({"k": ["a", "a"]}), &["spec.f[k][1]: Duplicate value: \"a\""])],
    );
}

#[test]
fn embedded_objects_have_a_kind_and_metadata() {
    field(
        json!({"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true}),
        &[
            (json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"labels": {"a": "b"}}}), &[]),
            (json!({}), &["spec.f.apiVersion: Required value", "spec.f.kind: Required value"]),
            (
                json!({"apiVersion": "a/b/c", "kind": "1"}),
                &[
                    "spec.f.apiVersion: Invalid value: \"a/b/c\": unexpected GroupVersion string: a/b/c",
                    "spec.f.kind: Invalid value: \"1\": may have mixed case, but should otherwise match: a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')",
                ],
            ),
            (
                json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"labels": {"a": 1}}}),
                &[
                    "spec.f.metadata: Invalid value: {\"labels\":{\"a\":1}}: json: cannot unmarshal number into Go struct field ObjectMeta.labels of type string",
                ],
            ),
            (
                json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a/b"}}),
                &["spec.f.metadata.name: Invalid value: \"a/b\": may not contain '/'"],
            ),
        ],
    );
}

#[test]
fn of_its_metadata_a_schema_restricts_the_name_alone() {
    let schema = CompiledSchema::compile(&json!({"type": "object", "properties": {
        "metadata": {"type": "object", "properties": {"name": {"type": "string", "maxLength": 3}}},
    }}));
    let long = json!({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "long", "labels": {"a": "b"}}});
    assert_eq!(texts(&schema, None, &long), ["metadata.name: Too long: may not be more than 3 bytes"]);
}

#[test]
fn without_a_schema_everything_is_right() {
    let schema = CompiledSchema::compile(&Value::Null);
    assert_eq!(texts(&schema, None, &json!({"spec": [1, null]})), Vec::<String>::new());
}

#[test]
fn what_was_wrong_and_did_not_change_is_tolerated() {
    let schema = CompiledSchema::compile(&json!({"type": "object", "required": ["needed"], "properties": {
        "needed": {"type": "string"},
        "a": {"type": "string", "maxLength": 1},
        "b": {"type": "string"},
        "typed": {"type": "integer"},
        "inner": {"type": "object", "properties": {"x": {"type": "string", "maxLength": 1}, "y": {"type": "string"}}, "required": ["z"]},
        "atomic": {"type": "array", "items": {"type": "string", "maxLength": 1}},
        "keyed": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
            "items": {"type": "object", "properties": {"k": {"type": "string"}, "v": {"type": "string", "maxLength": 1}}}},
        "set": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
        "either": {"type": "object", "properties": {"x": {"type": "string"}, "y": {"type": "string"}}, "anyOf": [{"properties": {"x": {"maxLength": 1}}}]},
    }}));
    let before = json!({
        "needed": "", "a": "long", "typed": "text", "inner": {"x": "long"}, "atomic": ["long"],
        "keyed": [{"k": "1", "v": "long"}, {"k": "2", "v": "long"}], "set": ["a", "a"], "either": {"x": "long"},
    });
    let change = |patch: Value| {
        let mut after = before.clone();
        for (name, value) in patch.as_object().unwrap() {
            after[name] = value.clone();
        }
        texts(&schema, Some(&before), &after)
    };
    let nothing = Vec::<String>::new();
    assert_eq!(change(json!({"b": "x"})), nothing);
    assert_eq!(change(json!({"a": "longer"})), ["a: Too long: may not be more than 1 bytes"]);
    assert_eq!(
        change(json!({"typed": "other"})),
        ["typed: Invalid value: \"string\": typed in body must be of type integer: \"string\""]
    );
    assert_eq!(
        change(json!({"inner": {"x": "long", "y": "new"}})),
        ["inner.z: Required value"],
        "the structure changed, its field did not"
    );
    assert_eq!(
        change(json!({"atomic": ["long", "b"]})),
        ["atomic[0]: Too long: may not be more than 1 bytes"],
        "items of an atomic list have no former state"
    );
    assert_eq!(
        change(json!({"keyed": [{"k": "2", "v": "long"}, {"k": "1", "v": "more"}]})),
        ["keyed[1].v: Too long: may not be more than 1 bytes"],
        "items of a map list correspond by key"
    );
    assert_eq!(
        change(json!({"set": ["a", "a", "b", "b"]})),
        nothing,
        "a list that had duplicates may have more"
    );
    assert_eq!(
        change(json!({"either": {"x": "long", "y": "new"}})).len(),
        2,
        "inside of anyOf nothing is tolerated"
    );
}

fn ruled(properties: Value, rules: Value) -> CompiledSchema {
    CompiledSchema::compile(&json!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": properties, "x-kubernetes-validations": rules},
    }}))
}

#[test]
fn rules_refuse_with_their_message_reason_and_path() {
    let properties = json!({"min": {"type": "integer"}, "max": {"type": "integer"}, "labels": {"type": "object", "additionalProperties": {"type": "string"}}});
    let object = json!({"spec": {"min": 5, "max": 3}});
    for (rule, expected) in [
        (
            json!({"rule": "self.min <= self.max"}),
            "spec: Invalid value: \"object\": failed rule: self.min <= self.max",
        ),
        (
            json!({"rule": "self.min <= self.max", "message": "min exceeds max"}),
            "spec: Invalid value: \"object\": min exceeds max",
        ),
        (
            json!({"rule": "self.min <= self.max", "message": "m", "messageExpression": "'%d exceeds %d'.format([self.min, self.max])"}),
            "spec: Invalid value: \"object\": 5 exceeds 3",
        ),
        (
            json!({"rule": "self.min <= self.max", "message": "m", "messageExpression": "string(self.min / (self.max - 3))"}),
            "spec: Invalid value: \"object\": m",
        ),
        (
            json!({"rule": "self.min <= self.max", "message": "m", "messageExpression": "'two\\nlines'"}),
            "spec: Invalid value: \"object\": m",
        ),
        (
            json!({"rule": "self.min <= self.max", "message": "m", "reason": "FieldValueForbidden", "fieldPath": ".min"}),
            "spec.min: Forbidden: m",
        ),
        (
            json!({"rule": "self.min <= self.max", "message": "m", "reason": "FieldValueRequired", "fieldPath": ".labels['a.b']"}),
            "spec.labels[a.b]: Required value: m",
        ),
        (
            json!({"rule": "self.min <= self.max", "reason": "FieldValueDuplicate"}),
            "spec: Duplicate value: \"object\"",
        ),
        (
            json!({"rule": "self.labels['x'] == 'y'"}),
            "spec: Invalid value: \"object\": no such key: labels evaluating rule: self.labels['x'] == 'y'",
        ),
        (
            json!({"rule": "self.nope == 1", "message": "m"}),
            "spec: Invalid value: \"object\": rule compile error: compilation failed: ERROR: <input>:1:5: undefined field 'nope'\n | self.nope == 1\n | ....^",
        ),
    ] {
        assert_eq!(texts(&ruled(properties.clone(), json!([rule])), None, &object), [expected]);
    }
    let fine = ruled(properties, json!([{"rule": "self.min > self.max"}]));
    assert_eq!(texts(&fine, None, &object), Vec::<String>::new());
}

#[test]
fn rules_stand_at_every_node() {
    let rule = |rule: &str| json!([{"rule": rule}]);
    let schema = CompiledSchema::compile(&json!({
        "type": "object",
        "x-kubernetes-validations": rule("self.metadata.name == self.spec.name && self.kind == 'Thing'"),
        "properties": {"spec": {"type": "object", "properties": {
            "name": {"type": "string", "x-kubernetes-validations": rule("self != 'bad'")},
            "list": {"type": "array", "items": {"type": "integer", "x-kubernetes-validations": rule("self > 0")}},
            "map": {"type": "object", "additionalProperties": {"type": "integer", "x-kubernetes-validations": rule("self > 0")}},
            "port": {"x-kubernetes-int-or-string": true, "x-kubernetes-validations": rule("self != 0")},
            "all": {"type": "integer", "allOf": [{"x-kubernetes-validations": rule("self > 1")}]},
            "template": {"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true,
                "x-kubernetes-validations": rule("self.kind == 'Pod' && self.metadata.name == 'x'")},
            "none": {"type": "string", "nullable": true, "x-kubernetes-validations": rule("false")},
        }}},
    }));
    let object = json!({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "a"}, "spec": {
        "name": "bad", "list": [1, 0], "map": {"k": -1}, "port": 0, "all": 1, "none": null,
        "template": {"apiVersion": "v1", "kind": "Job", "metadata": {"name": "x"}},
    }});
    let mut found = texts(&schema, None, &object);
    found.sort();
    assert_eq!(
        found,
        [
            "<nil>: Invalid value: \"object\": failed rule: self.metadata.name == self.spec.name && self.kind == 'Thing'",
            "spec.all: Invalid value: \"integer\": failed rule: self > 1",
            "spec.list[1]: Invalid value: \"integer\": failed rule: self > 0",
            "spec.map[k]: Invalid value: \"integer\": failed rule: self > 0",
            "spec.name: Invalid value: \"string\": failed rule: self != 'bad'",
            "spec.port: Invalid value: \"\": failed rule: self != 0",
            "spec.template: Invalid value: \"object\": failed rule: self.kind == 'Pod' && self.metadata.name == 'x'",
        ]
    );
}

#[test]
fn rules_compare_with_the_former_state() {
    let schema = CompiledSchema::compile(
        &json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
            "fixed": {"type": "string", "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "is immutable"}]},
            "once": {"type": "integer", "x-kubernetes-validations": [{"rule": "!oldSelf.hasValue() || self >= oldSelf.value()", "message": "cannot shrink", "optionalOldSelf": true}]},
            "items": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "items": {
                "type": "object", "properties": {"k": {"type": "string"}, "v": {"type": "integer"}},
                "x-kubernetes-validations": [{"rule": "self.v >= oldSelf.v", "message": "v cannot shrink"}],
            }},
            "map": {"type": "object", "additionalProperties": {"type": "integer", "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "is immutable"}]}},
        }}}}),
    );
    let before = json!({"spec": {"fixed": "a", "once": 2, "items": [{"k": "x", "v": 1}, {"k": "y", "v": 2}], "map": {"a": 1}}});
    assert_eq!(texts(&schema, None, &before), Vec::<String>::new());
    let after = json!({"spec": {"fixed": "b", "once": 1, "items": [{"k": "y", "v": 1}, {"k": "x", "v": 1}, {"k": "new", "v": 0}], "map": {"a": 2, "b": 3}}});
    let mut found = texts(&schema, Some(&before), &after);
    found.sort();
    assert_eq!(
        found,
        [
            "spec.fixed: Invalid value: \"string\": is immutable",
            "spec.items[0]: Invalid value: \"object\": v cannot shrink",
            "spec.map[a]: Invalid value: \"integer\": is immutable",
            "spec.once: Invalid value: \"integer\": cannot shrink",
        ]
    );
}

#[test]
fn rules_tolerate_what_did_not_change() {
    let schema = ruled(
        json!({"a": {"type": "string", "x-kubernetes-validations": [{"rule": "self != 'bad'"}]}, "b": {"type": "string"}}),
        json!([{"rule": "self.a != 'bad'"}]),
    );
    let before = json!({"spec": {"a": "bad", "b": "1"}, "other": 1});
    assert_eq!(
        texts(&schema, Some(&before), &json!({"spec": {"a": "bad", "b": "1"}, "other": 2})),
        Vec::<String>::new()
    );
    assert_eq!(
        texts(&schema, Some(&before), &json!({"spec": {"a": "bad", "b": "2"}})),
        ["spec: Invalid value: \"object\": failed rule: self.a != 'bad'"]
    );
}

#[test]
fn rules_wait_until_types_are_right() {
    let schema = ruled(json!({"a": {"type": "integer"}}), json!([{"rule": "self.a > 0"}]));
    assert_eq!(
        texts(&schema, None, &json!({"spec": {"a": "x"}})),
        [
            "spec.a: Invalid value: \"string\": spec.a in body must be of type integer: \"string\"",
            "<nil>: Invalid value: \"null\": some validation rules were not checked because the object was invalid; correct the existing errors to complete validation",
        ]
    );
}

#[test]
fn rules_together_have_a_limit() {
    let schema = ruled(
        json!({"list": {"type": "array", "items": {"type": "integer"}}}),
        json!([{"rule": "self.list.all(a, self.list.all(b, a + b >= 0))", "message": "slow"}]),
    );
    let list: Vec<u32> = (0..3000).collect();
    let found = texts(&schema, None, &json!({"spec": {"list": list}}));
    assert_eq!(
        found,
        [
            "spec: Invalid value: \"object\": 'operation cancelled: actual cost limit exceeded': no further validation rules will be run due to call cost exceeds limit for rule: slow"
        ]
    );
    let item = json!({"type": "array", "items": {"type": "array", "items": {"type": "integer"},
        "x-kubernetes-validations": [{"rule": "self.all(a, self.all(b, a + b >= 0))"}]}});
    let many = vec![(0..300).collect::<Vec<u32>>(); 100];
    let found = texts(&ruled(json!({"many": item}), json!([])), None, &json!({"spec": {"many": many}}));
    assert_eq!(found.len(), 1);
    assert!(found[0].ends_with(
        "validation failed due to running out of cost budget, no further validation rules will be run"
    ));
}

/// What a schema is refused for, with paths below it.
fn refused(spec: Value) -> Vec<String> {
    let schema = json!({"type": "object", "properties": {"spec": spec}});
    let definition = json!({"metadata": {"name": "things.example.com"}, "spec": {
        "group": "example.com", "scope": "Namespaced",
        "names": {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"},
        "versions": [
            {"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}},
            {"name": "v2", "served": true, "storage": false, "schema": {"openAPIV3Schema": {"type": "object"}}},
        ],
        "conversion": {"strategy": "None"},
    }, "status": {"storedVersions": ["v1"]}});
    let errors =
        crate::validation::validate_create("apiextensions.k8s.io", "CustomResourceDefinition", &definition);
    let begin = "spec.versions[0].schema.openAPIV3Schema.properties[spec]";
    errors.iter().map(|error| error.to_string().replace(begin, "~")).collect()
}

#[test]
fn definitions_with_wrong_rules_are_refused() {
    let rule = |rule: Value| {
        refused(json!({"type": "object", "properties": {
        "a": {"type": "integer"},
        "list": {"type": "array", "items": {"type": "string"}},
    }, "x-kubernetes-validations": [rule]}))
    };
    let shown = |rule: &str, expression: &str| json!({"Rule": rule, "Message": "", "MessageExpression": expression, "Reason": null, "FieldPath": "", "OptionalOldSelf": null});
    assert_eq!(rule(json!({"rule": "self.a > 0"})), Vec::<String>::new());
    assert_eq!(
        rule(json!({"rule": "self.b > 0"})),
        [format!(
            "~.x-kubernetes-validations[0].rule: Invalid value: {}: compilation failed: ERROR: <input>:1:5: undefined field 'b'\n | self.b > 0\n | ....^",
            shown("self.b > 0", "")
        )]
    );
    assert_eq!(
        rule(json!({"rule": "self.a"})),
        [format!(
            "~.x-kubernetes-validations[0].rule: Invalid value: {}: cel expression must evaluate to a bool",
            shown("self.a", "")
        )]
    );
    assert_eq!(
        rule(json!({"rule": "true", "messageExpression": "self.a"})),
        [format!(
            "~.x-kubernetes-validations[0].messageExpression: Invalid value: {}: messageExpression must evaluate to a string",
            shown("true", "self.a")
        )]
    );
    let unsupported = rule(json!({"rule": "isImage(self.list[0])"}));
    assert!(
        unsupported[0].contains("isImage")
            && unsupported[0].contains("the image library is not supported by this server")
    );
    for (given, expected) in [
        (json!({"rule": " "}), "~.x-kubernetes-validations[0].rule: Required value: rule is not specified"),
        (
            json!({"rule": "true", "message": " "}),
            "~.x-kubernetes-validations[0].message: Invalid value: \" \": message must be non-empty if specified",
        ),
        (
            json!({"rule": "true", "message": "a\nb"}),
            "~.x-kubernetes-validations[0].message: Invalid value: \"a\\nb\": message must not contain line breaks",
        ),
        (
            json!({"rule": "true\n&& true"}),
            "~.x-kubernetes-validations[0].message: Required value: message must be specified if rule contains line breaks",
        ),
        (
            json!({"rule": "true", "messageExpression": " "}),
            "~.x-kubernetes-validations[0].messageExpression: Required value: messageExpression must be non-empty if specified",
        ),
        (
            json!({"rule": "true", "reason": "Bad"}),
            "~.x-kubernetes-validations[0].reason: Unsupported value: \"Bad\": supported values: \"FieldValueDuplicate\", \"FieldValueForbidden\", \"FieldValueInvalid\", \"FieldValueRequired\"",
        ),
        (
            json!({"rule": "true", "fieldPath": ".nope"}),
            "~.x-kubernetes-validations[0].fieldPath: Invalid value: \".nope\": fieldPath must be a valid path",
        ),
        (
            json!({"rule": "true", "fieldPath": "a"}),
            "~.x-kubernetes-validations[0].fieldPath: Invalid value: \"a\": fieldPath must be a valid path",
        ),
        (
            json!({"rule": "true", "optionalOldSelf": true}),
            "~.x-kubernetes-validations[0].optionalOldSelf: Invalid value: true: may not be set if oldSelf is not used in rule",
        ),
    ] {
        assert_eq!(rule(given), [expected]);
    }
    let items = json!({"type": "object", "properties": {"list": {"type": "array", "items": {"type": "string", "x-kubernetes-validations": [{"rule": "self == oldSelf"}]}}}});
    assert_eq!(
        refused(items),
        [
            "~.properties[list].items.x-kubernetes-validations[0].rule: Invalid value: \"self == oldSelf\": oldSelf cannot be used on the uncorrelatable portion of the schema within ~.properties[list]"
        ]
    );
    assert_eq!(
        refused(json!({"type": "integer", "anyOf": [{"x-kubernetes-validations": [{"rule": "self > 1"}]}]})),
        ["~.anyOf[0].x-kubernetes-validations: Forbidden: must be empty to be structural"]
    );
}

#[test]
fn definitions_with_wrong_defaults_are_refused() {
    for (spec, expected) in [
        (
            json!({"type": "object", "properties": {"a": {"type": "integer", "default": 1}}, "default": {"a": 2}}),
            &[][..],
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "integer", "default": "x"}}}),
            &[
                "~.properties[a].default: Invalid value: \"string\":  in body must be of type integer: \"string\"",
            ],
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "object", "properties": {"b": {"type": "integer", "minimum": 1}}, "default": {"b": 0}}}}),
            &["~.properties[a].default.b: Invalid value: 0: b in body should be greater than or equal to 1"],
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "object", "properties": {"b": {"type": "integer"}}, "default": {"c": 0}}}}),
            &["~.properties[a].default: Invalid value: {\"c\":0}: must not have unknown fields"],
        ),
        (
            json!({"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set", "default": ["a", "a"]}),
            &["~.default[1]: Duplicate value: \"a\""],
        ),
        (
            json!({"type": "integer", "default": 0, "x-kubernetes-validations": [{"rule": "self > 0", "message": "must be positive"}]}),
            &["~.default: Invalid value: \"integer\": must be positive"],
        ),
        (
            json!({"type": "array", "items": {"type": "object"}, "x-kubernetes-list-type": "set"}),
            &[
                "~.items.x-kubernetes-map-type: Invalid value: \"null\": must be atomic as item of a list with x-kubernetes-list-type=set",
            ],
        ),
        (json!({"type": "string", "pattern": "a{2"}), &[]),
        (
            json!({"type": "string", "pattern": "(?!a)"}),
            &[
                "~.pattern: Invalid value: \"(?!a)\": must be a valid regular expression, but isn't: error parsing regexp: invalid or unsupported Perl syntax: `(?!`",
            ],
        ),
    ] {
        assert_eq!(refused(spec), expected);
    }
}

/// A parser of JSON reads 128 levels; so many the stack of a thread must hold, with a deep rule at the end.
#[test]
fn the_deepest_schema_and_object_fit_the_stack() {
    let deep = (0..60).fold("1".to_owned(), |body, _| format!("[{body}]"));
    let rule = json!([{"rule": format!("{deep} == {deep}")}]);
    for keyword in ["items", "additionalProperties", "not", "allOf"] {
        let mut schema = json!({"type": "integer", "x-kubernetes-validations": rule});
        let mut object = json!(1);
        for level in 0..110 {
            schema = match keyword {
                "items" => json!({"type": "array", "items": schema}),
                "additionalProperties" => json!({"type": "object", "additionalProperties": schema}),
                "not" => json!({"not": schema}),
                _ if level < 50 => json!({"allOf": [schema]}),
                _ => schema,
            };
            object = match keyword {
                "items" => json!([object]),
                "additionalProperties" => json!({"k": object}),
                _ => object,
            };
        }
        let compiled = CompiledSchema::compile(&json!({"type": "object", "properties": {"spec": schema}}));
        let _ = texts(&compiled, None, &json!({"spec": object}));
        let _ = refused(schema);
    }
}

/// Any JSON, with the names that the schemas below use.
fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(vec!["", "a", "1", "1h", "2024-01-01", "10.0.0.0/8", "é", "v1"])
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec(
                (
                    prop::sample::select(vec!["a", "b", "metadata", "name", "kind", "apiVersion", "labels"]),
                    inner
                ),
                0..4
            )
            .prop_map(|all| Value::Object(
                all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
            )),
        ]
    })
}

/// Schemas of every keyword, right and wrong.
fn schema_value() -> impl Strategy<Value = Value> {
    let keyword = || {
        prop_oneof![
            prop::sample::select(vec!["object", "array", "string", "integer", "number", "boolean", "null", "x"])
                .prop_map(|t| ("type", Value::from(t))),
            prop::sample::select(vec!["date", "date-time", "duration", "byte", "ipv4", "cidr", "uri", "email", "hostname", "uuid", "int32", "mac"])
                .prop_map(|f| ("format", Value::from(f))),
            prop::sample::select(vec!["^a$", "(", "[a-z]+", "\\d{2}"]).prop_map(|p| ("pattern", Value::from(p))),
            (prop::sample::select(vec!["minimum", "maximum", "multipleOf", "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"]), prop_oneof![
                any::<i64>().prop_map(Value::from), any::<f64>().prop_map(Value::from), Just(json!(0)), Just(json!(1)),
            ]),
            (prop::sample::select(vec!["nullable", "exclusiveMinimum", "exclusiveMaximum", "x-kubernetes-int-or-string", "x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"]), any::<bool>().prop_map(Value::from)),
            prop::sample::select(vec!["set", "map", "atomic", "x"]).prop_map(|t| ("x-kubernetes-list-type", Value::from(t))),
            Just(("x-kubernetes-list-map-keys", json!(["a", "name"]))),
            Just(("required", json!(["a", 1]))),
            json_value().prop_map(|v| ("enum", json!([v]))),
            json_value().prop_map(|v| ("default", v)),
            prop::sample::select(vec![
                "self.a == self.b", "self == oldSelf", "self.size() > 0", "self.all(x, x == self[0])", "has(self.a) && self.a > 1",
                "string(self) == 'a'", "self.metadata.name == 'a'", "self.exists(k, v, k == v)", "self + self == self", "oldSelf.hasValue()", "self > ",
            ]).prop_map(|r| ("x-kubernetes-validations", json!([{"rule": r, "messageExpression": "string(self)", "fieldPath": ".a"}, {"rule": r, "optionalOldSelf": true}]))),
        ]
    };
    let node = move |extra: Vec<(&'static str, Value)>| {
        prop::collection::vec(keyword(), 0..4).prop_map(move |mut all| {
            all.extend(extra.iter().cloned());
            Value::Object(all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
        })
    };
    let leaf = node(vec![]);
    leaf.prop_recursive(4, 24, 3, move |inner| {
        (
            prop::collection::vec(
                (prop::sample::select(vec!["a", "b", "metadata", "name"]), inner.clone()),
                0..3,
            ),
            prop::collection::vec(inner, 1..3),
            prop::sample::select(vec!["items", "additionalProperties", "not", "allOf", "anyOf", "oneOf"]),
        )
            .prop_flat_map(move |(properties, below, keyword)| {
                let properties: serde_json::Map<String, Value> =
                    properties.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
                let below = if keyword.ends_with("Of") { Value::from(below) } else { below[0].clone() };
                node(vec![("properties", Value::Object(properties)), (keyword, below)])
            })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn no_schema_and_no_object_make_the_server_panic(schema in schema_value(), before in json_value(), object in json_value()) {
        let compiled = CompiledSchema::compile(&schema);
        let _ = validate(&compiled, None, &object);
        let _ = validate(&compiled, Some(&before), &object);
        prop_assert_eq!(
            validate(&compiled, Some(&object), &object).iter().filter(|error| error.detail.contains("in body")).count(),
            0,
            "an object that does not change is never refused for its values"
        );
        let _ = refused(schema);
    }
}
