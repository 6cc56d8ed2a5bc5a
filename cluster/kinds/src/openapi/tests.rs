#![allow(clippy::unwrap_used)]

use super::*;
use crate::resources::builtin;

fn served() -> Vec<Served<'static>> {
    builtin().iter().map(|resource| Served { resource, schema: KindSchema::BuiltIn }).collect()
}

fn widget() -> Resource {
    Resource {
        group: "shop.example.com".to_owned(),
        version: "v1".to_owned(),
        kind: "Widget".to_owned(),
        list_kind: "WidgetList".to_owned(),
        plural: "widgets".to_owned(),
        singular: "widget".to_owned(),
        ..crate::resources::find("apps", "v1", "deployments").unwrap().clone()
    }
}

fn widget_schema() -> Value {
    json!({
        "type": "object",
        "required": ["spec"],
        "properties": {
            "spec": {"type": "object", "description": "What is wanted.", "properties": {
                "size": {"type": "integer", "default": 1},
                "port": {"x-kubernetes-int-or-string": true},
                "extra": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {"a": {"type": "string"}}},
                "maybe": {"type": "string", "nullable": true},
            }},
            "metadata": {"type": "object", "properties": {"name": {"type": "string", "pattern": "^w"}}},
        },
    })
}

/// All schema references of a document, as JSON pointers.
fn pointers(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(target)) = map.get("$ref") {
                found.push(target.trim_start_matches('#').to_owned());
            }
            map.values().for_each(|value| pointers(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| pointers(item, found)),
        _ => {}
    }
}

/// A schema as it is but for Kubernetes' sentences, which are its own to word.
fn without_sentences(schema: &Value) -> Value {
    let mut schema = schema.clone();
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut).map(std::mem::take);
    let kept = properties.into_iter().flatten().map(|(name, mut field)| {
        if ["apiVersion", "kind", "metadata"].contains(&name.as_str()) {
            field.as_object_mut().unwrap().remove("description");
        }
        (name, field)
    });
    let kept: Map<String, Value> = kept.collect();
    if !kept.is_empty() {
        schema["properties"] = kept.into();
    }
    schema.as_object_mut().unwrap().remove("description");
    schema
}

/// The parameters of the PATCH operation of a kind, as kubectl looks them up.
fn patch_parameters(document: &Value, gvk: Value) -> Vec<String> {
    let paths = document["paths"].as_object().unwrap().values();
    let patch = paths.map(|path| &path["patch"]).find(|patch| {
        patch["x-kubernetes-group-version-kind"] == gvk && patch["x-kubernetes-action"] == "patch"
    });
    let parameters = patch.unwrap()["parameters"].as_array().unwrap().iter();
    parameters.map(|p| p["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_reference_of_every_document_resolves_and_operations_are_unique() {
    let mut versions: Vec<_> = builtin().iter().map(|r| (r.group.as_str(), r.version.as_str())).collect();
    versions.dedup();
    for (group, version) in versions {
        let document = v3(served(), group, version);
        let mut references = Vec::new();
        pointers(&document["paths"], &mut references);
        pointers(&document["components"], &mut references);
        assert!(!references.is_empty(), "{group}/{version}");
        for reference in references {
            assert!(document.pointer(&reference).is_some(), "{group}/{version}: {reference}");
        }
        let mut ids = std::collections::BTreeSet::new();
        for path in document["paths"].as_object().unwrap().values() {
            for operation in path.as_object().unwrap().values().filter(|o| o.is_object()) {
                let id = operation["operationId"].as_str().unwrap();
                assert!(ids.insert(id.to_owned()), "{id} twice");
                assert!(operation["responses"].is_object(), "{id} answers nothing");
            }
        }
    }
}

#[test]
fn a_patch_can_be_validated_dry_run_and_forced() {
    let document = v3(served(), "apps", "v1");
    let gvk = json!({"group": "apps", "version": "v1", "kind": "Deployment"});
    assert_eq!(patch_parameters(&document, gvk), ["dryRun", "fieldManager", "fieldValidation", "force"]);
}

#[test]
fn explain_finds_a_kind_by_its_path_and_its_schema_by_the_kind() {
    let document = v3(served(), "apps", "v1");
    for path in ["/apis/apps/v1/deployments", "/apis/apps/v1/namespaces/{namespace}/deployments"] {
        let gvk = &document["paths"][path]["get"]["x-kubernetes-group-version-kind"];
        assert_eq!(gvk["kind"], "Deployment", "{path}");
    }
    let schema = &document["components"]["schemas"]["io.k8s.api.apps.v1.Deployment"];
    assert_eq!(
        schema["x-kubernetes-group-version-kind"],
        json!([{"group": "apps", "version": "v1", "kind": "Deployment"}])
    );
    assert_eq!(
        without_sentences(&schema["properties"]["spec"]),
        json!({"allOf": [{"$ref": "#/components/schemas/io.k8s.api.apps.v1.DeploymentSpec"}], "default": {}})
    );
}

#[test]
fn schemas_keep_what_a_strategic_merge_needs() {
    let document = v3(served(), "", "v1");
    let containers =
        &document["components"]["schemas"]["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"];
    assert_eq!(containers["x-kubernetes-patch-merge-key"], "name");
    assert_eq!(containers["x-kubernetes-list-type"], "map");
    let patch = &document["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"]["patch"];
    assert!(patch["requestBody"]["content"].get("application/strategic-merge-patch+json").is_some());
}

#[test]
fn resources_without_objects_have_no_path_below_a_name() {
    let document = v3(served(), "authorization.k8s.io", "v1");
    let paths: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
    insta::assert_json_snapshot!(paths);
}

#[test]
fn a_custom_resource_is_described_by_its_own_schema() {
    let (resource, schema) = (widget(), widget_schema());
    let document = v3(
        [Served { resource: &resource, schema: KindSchema::Custom(Some(&schema)) }],
        &resource.group,
        "v1",
    );
    let widget = &document["components"]["schemas"]["com.example.shop.v1.Widget"];
    insta::assert_json_snapshot!("custom_v3_schema", without_sentences(widget));
    let item = &document["paths"]["/apis/shop.example.com/v1/namespaces/{namespace}/widgets/{name}"];
    let content: Vec<&String> = item["patch"]["requestBody"]["content"].as_object().unwrap().keys().collect();
    assert_eq!(
        content,
        ["application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json"]
    );
    let open = v3([Served { resource: &resource, schema: KindSchema::Custom(None) }], &resource.group, "v1");
    assert_eq!(
        open["components"]["schemas"]["com.example.shop.v1.Widget"]["x-kubernetes-preserve-unknown-fields"],
        true
    );
}

#[test]
fn swagger_says_the_same_with_its_own_means() {
    let (resource, schema) = (widget(), widget_schema());
    let mut all = served();
    all.push(Served { resource: &resource, schema: KindSchema::Custom(Some(&schema)) });
    let document = v2(all);
    let mut references = Vec::new();
    pointers(&document["paths"], &mut references);
    pointers(&document["definitions"], &mut references);
    for reference in references {
        assert!(document.pointer(&reference).is_some(), "{reference}");
    }
    let definitions = &document["definitions"];
    assert_eq!(
        without_sentences(&definitions["io.k8s.apimachinery.pkg.util.intstr.IntOrString"]),
        json!({"type": "string", "format": "int-or-string"})
    );
    assert_eq!(
        without_sentences(&definitions["io.k8s.api.apps.v1.Deployment"]["properties"]["spec"]),
        json!({"$ref": "#/definitions/io.k8s.api.apps.v1.DeploymentSpec", "default": {}})
    );
    insta::assert_json_snapshot!(
        "custom_v2_definition",
        without_sentences(&definitions["com.example.shop.v1.Widget"])
    );
    let gvk = json!({"group": "apps", "version": "v1", "kind": "Deployment"});
    assert!(patch_parameters(&document, gvk).contains(&"fieldValidation".to_owned()));
    insta::assert_json_snapshot!(
        "v2_operation",
        document["paths"]["/api/v1/namespaces/{namespace}/configmaps/{name}"]["put"]
    );
}

#[test]
fn the_index_leads_to_each_document_by_its_content() {
    let [first, second] = [hash(b"a"), hash(b"b")];
    assert_ne!(first, second);
    let index = index([("", "v1", "A"), ("apps", "v1", "B")]);
    assert_eq!(
        index,
        json!({"paths": {
            "api/v1": {"serverRelativeURL": "/openapi/v3/api/v1?hash=A"},
            "apis/apps/v1": {"serverRelativeURL": "/openapi/v3/apis/apps/v1?hash=B"},
        }})
    );
}

#[test]
fn each_built_in_kind_and_each_of_its_fields_says_what_it_means() {
    let versions: std::collections::BTreeSet<_> =
        builtin().iter().map(|resource| (&resource.group, &resource.version)).collect();
    let mut silent = std::collections::BTreeSet::new();
    for (group, version) in versions {
        let document = v3(served(), group, version);
        let schemas = document["components"]["schemas"].as_object().unwrap();
        for (name, schema) in schemas.iter().filter(|(name, _)| !name.ends_with("List")) {
            let fields = schema["properties"].as_object().into_iter().flatten().map(|(_, field)| field);
            if fields.chain([schema]).any(|s| s["description"].as_str().is_none_or(str::is_empty)) {
                silent.insert(name.rsplit('.').next().unwrap().to_owned());
            }
        }
    }
    // Kubernetes itself says nothing of these; lists say it of their items.
    insta::assert_debug_snapshot!(silent);
}
