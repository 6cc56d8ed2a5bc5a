//! Custom resource definitions.

use serde_json::{Value, json};

use super::{LABEL_1035, merged, on_create, on_update};

fn definition(schema: &Value) -> Value {
    json!({"metadata": {"name": "widgets.example.com"}, "spec": {
        "group": "example.com", "scope": "Namespaced",
        "names": {"plural": "widgets", "kind": "Widget"},
        "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}],
    }})
}

const CRD: (&str, &str) = ("apiextensions.k8s.io", "CustomResourceDefinition");

#[test]
fn definitions_name_one_resource_and_store_one_version() {
    let base = definition(&json!({"type": "object"}));
    let versions = |names: &[(&str, bool)]| {
        let versions: Vec<Value> = names
            .iter()
            .map(|(name, storage)| json!({"name": name, "served": true, "storage": storage, "schema": {"openAPIV3Schema": {"type": "object"}}}))
            .collect();
        json!({"spec": {"versions": versions}})
    };
    on_create(
        CRD.0,
        CRD.1,
        &base,
        &[
            (versions(&[("v1", true), ("v2", false)]), &[]),
            (
                json!({"metadata": {"name": "x"}}),
                &["metadata.name: Invalid value: \"x\": must be spec.names.plural+\".\"+spec.group"],
            ),
            (
                json!({"metadata": {"name": "widgets.example"}, "spec": {"group": "example"}}),
                &["spec.group: Invalid value: \"example\": should be a domain with at least one dot"],
            ),
            (json!({"spec": {"scope": null}}), &["spec.scope: Required value"]),
            (
                json!({"spec": {"scope": "x"}}),
                &["spec.scope: Unsupported value: \"x\": supported values: \"Cluster\", \"Namespaced\""],
            ),
            (
                json!({"spec": {"names": {"kind": null}}}),
                &[
                    "spec.names.singular: Required value",
                    "spec.names.kind: Required value",
                    "spec.names.listKind: Required value",
                ],
            ),
            (
                json!({"spec": {"names": {"listKind": "Widget"}}}),
                &["spec.names.listKind: Invalid value: \"Widget\": kind and listKind may not be the same"],
            ),
            (
                json!({"spec": {"names": {"shortNames": ["W"]}}}),
                &[&format!("spec.names.shortNames[0]: Invalid value: \"W\": {LABEL_1035}")],
            ),
            (
                json!({"spec": {"preserveUnknownFields": true}}),
                &[
                    "spec.preserveUnknownFields: Invalid value: true: cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead",
                ],
            ),
            (
                json!({"spec": {"versions": [{"name": "v1", "served": true, "storage": true}]}}),
                &["spec.versions[0].schema.openAPIV3Schema: Required value: schemas are required"],
            ),
            (
                json!({"metadata": {"name": "widgets.x.k8s.io"}, "spec": {"group": "x.k8s.io"}}),
                &[
                    "metadata.annotations[api-approved.kubernetes.io]: Required value: protected groups must have approval annotation \"api-approved.kubernetes.io\", see https://github.com/kubernetes/enhancements/pull/1111",
                ],
            ),
            (
                json!({"metadata": {"name": "widgets.x.k8s.io", "annotations": {"api-approved.kubernetes.io": "https://example.com/1"}}, "spec": {"group": "x.k8s.io"}}),
                &[],
            ),
            (
                json!({"spec": {"conversion": {"strategy": "Webhook"}}}),
                &[
                    "spec.conversion.webhookClientConfig: Required value: required when strategy is set to Webhook",
                    "spec.conversion.conversionReviewVersions: Required value",
                ],
            ),
        ],
    );
    let two = super::created(CRD.0, CRD.1, &merged(&base, &versions(&[("v1", true), ("v2", true)])));
    let found = super::texts(super::validate_create(CRD.0, CRD.1, &two));
    assert!(found[0].ends_with(": must have exactly one version marked as storage version"), "{found:?}");
    on_update(
        CRD.0,
        CRD.1,
        &base,
        &[
            (json!({"spec": {"names": {"shortNames": ["w"]}}}), &[]),
            (
                json!({"metadata": {"name": "widgets.example.org"}, "spec": {"group": "example.org"}}),
                &["spec.group: Invalid value: \"example.org\": field is immutable"],
            ),
            (
                versions(&[("v2", true)]),
                &["status.storedVersions[0]: Invalid value: \"v1\": must appear in spec.versions"],
            ),
        ],
    );
    let used = super::created(CRD.0, CRD.1, &base);
    let used = merged(&used, &json!({"status": {"conditions": [{"type": "Established", "status": "True"}]}}));
    let moved = merged(&used, &json!({"spec": {"scope": "Cluster"}}));
    assert_eq!(
        super::texts(super::validate_update(CRD.0, CRD.1, &moved, &used)),
        ["spec.scope: Invalid value: \"Cluster\": field is immutable"]
    );
}

#[test]
fn schemas_are_structural() {
    let base = definition(&json!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": {
            "port": {"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]},
            "names": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        }, "anyOf": [{"required": ["port"]}, {"properties": {"port": {"minimum": 1}}}]},
        "metadata": {"type": "object", "properties": {"name": {"type": "string", "maxLength": 5}}},
    }}));
    // What all versions share has its errors at spec.validation.
    const ROOT: &str = "spec.validation.openAPIV3Schema";
    let with = |schema: Value| definition(&schema)["spec"]["versions"].clone();
    let cases: Vec<(Value, Vec<String>)> = [
        (json!({}), vec![".type: Required value: must not be empty at the root"]),
        (json!({"type": "array", "items": {"type": "string"}}), vec![".type: Invalid value: \"array\": must be object at the root"]),
        (
            json!({"type": "object", "properties": {"spec": {}}}),
            vec![".properties[spec].type: Required value: must not be empty for specified object fields"],
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "array"}}}),
            vec![".properties[a].items: Required value: must be specified"],
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "array", "items": {}}}}),
            vec![".properties[a].items.type: Required value: must not be empty for specified array items"],
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "text"}}}),
            vec![".properties[a].type: Unsupported value: \"text\": supported values: \"array\", \"boolean\", \"integer\", \"number\", \"object\", \"string\""],
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "object", "additionalProperties": "x"}}}),
            vec![".properties[a].additionalProperties: Forbidden: boolean or JSON schema expected"],
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "string", "$ref": "#/x"}}}),
            vec![".properties[a].$ref: Forbidden: $ref is not supported"],
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "array", "uniqueItems": true, "items": {"type": "string"}}}}),
            vec![".properties[a].uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic"],
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "object", "properties": {"b": {"type": "string"}}, "additionalProperties": {"type": "string"}}}}),
            vec![".properties[a].additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive"],
        ),
        (
            json!({"type": "object", "anyOf": [{"properties": {"a": {"type": "string"}}}]}),
            vec![
                ".anyOf[0].properties[a].type: Forbidden: must be empty to be structural",
                ".properties[a]: Required value: because it is defined in spec.validation.openAPIV3Schema.anyOf[0].properties[a]",
            ],
        ),
        (
            json!({"type": "object", "properties": {"metadata": {"type": "object", "properties": {"labels": {"type": "object"}}}}}),
            vec![".properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified"],
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "string", "pattern": "("}}}),
            vec![".properties[a].pattern: Invalid value: \"(\": must be a valid regular expression, but isn't: error parsing regexp: missing closing ): `(`"],
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "array", "items": {"type": "object", "properties": {"k": {"type": "string"}}}, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]}}}),
            vec![".properties[a].items.properties[k].default: Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property"],
        ),
        (
            json!({"type": "object", "nullable": true}),
            vec![".nullable: Forbidden: nullable cannot be true at the root"],
        ),
    ]
    .into_iter()
    .map(|(schema, errors)| {
        (with(schema), errors.iter().map(|error| format!("{ROOT}{error}")).collect())
    })
    .collect();
    for (versions, expected) in &cases {
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        on_create(CRD.0, CRD.1, &base, &[(json!({"spec": {"versions": versions}}), &expected)]);
    }
}

#[test]
fn what_objects_are_selected_by_is_a_field_with_a_plain_value() {
    let base =
        definition(&json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
        "color": {"type": "string"}, "sizes": {"type": "array", "items": {"type": "string"}}}}}}));
    let paths = |paths: &[&str]| {
        let fields: Vec<Value> = paths.iter().map(|path| json!({"jsonPath": path})).collect();
        let patch = json!({"selectableFields": fields});
        json!({"spec": {"versions": [merged(&base["spec"]["versions"][0], &patch)]}})
    };
    on_create(
        CRD.0,
        CRD.1,
        &base,
        &[
            (paths(&[".spec.color"]), &[]),
            (
                paths(&[
                    ".spec.color",
                    ".spec.color",
                    ".spec.nope",
                    ".spec.sizes",
                    "spec.color",
                    ".metadata.name",
                ]),
                &[
                    "spec.selectableFields[1].jsonPath: Duplicate value: \".spec.color\"",
                    "spec.selectableFields[2].jsonPath: Invalid value: \".spec.nope\": is an invalid path: does not refer to a valid field",
                    "spec.selectableFields[3].jsonPath: Invalid value: \".spec.sizes\": must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.",
                    "spec.selectableFields[4].jsonPath: Invalid value: \"spec.color\": is an invalid path: does not refer to a valid field",
                    "spec.selectableFields[5].jsonPath: Invalid value: \".metadata.name\": must not point to fields in metadata",
                ],
            ),
        ],
    );
}

#[test]
fn scale_paths_and_columns_are_json_paths() {
    let base = definition(&json!({"type": "object"}));
    let version =
        |patch: Value| json!({"spec": {"versions": [merged(&base["spec"]["versions"][0], &patch)]}});
    let scale = |scale: Value| version(json!({"subresources": {"scale": scale}}));
    on_create(
        CRD.0,
        CRD.1,
        &base,
        &[
            (
                scale(
                    json!({"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas", "labelSelectorPath": ".status.selector"}),
                ),
                &[],
            ),
            (
                scale(
                    json!({"specReplicasPath": "spec.replicas", "statusReplicasPath": ".spec.replicas", "labelSelectorPath": ".x"}),
                ),
                &[
                    "spec.subresources.scale.specReplicasPath: Invalid value: \"spec.replicas\": must be a simple json path starting with .",
                    "spec.subresources.scale.statusReplicasPath: Invalid value: \".spec.replicas\": should be a json path under .status",
                    "spec.subresources.scale.labelSelectorPath: Invalid value: \".x\": should be a json path under either .spec or .status",
                ],
            ),
            (
                version(json!({"additionalPrinterColumns": [{"name": "A", "type": "x", "jsonPath": "a"}]})),
                &[
                    "spec.additionalPrinterColumns[0].type: Invalid value: \"x\": must be one of boolean,date,integer,number,string",
                    "spec.additionalPrinterColumns[0].JSONPath: Invalid value: \"a\": must be a simple json path starting with .",
                ],
            ),
        ],
    );
}
