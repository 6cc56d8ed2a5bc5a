use std::collections::BTreeSet;

use super::*;

fn definition_of(kind: &str) -> Value {
    crds().into_iter().find(|crd| crd["spec"]["names"]["kind"] == kind).unwrap()
}

fn schema_of(kind: &str) -> Value {
    definition_of(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

/// The schema of a field; `[]` steps into the items of a list.
fn field<'a>(schema: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(schema, |schema, step| match step {
        "[]" => &schema["items"],
        name => &schema["properties"][name],
    })
}

#[test]
fn definitions_have_the_names_and_versions_of_the_gateway_api() {
    let names: Vec<_> = crds()
        .iter()
        .map(|crd| {
            let versions = crd["spec"]["versions"].as_array().unwrap();
            let versions: Vec<_> = versions.iter().map(|each| each["name"].as_str().unwrap()).collect();
            format!("{} {}", crd["metadata"]["name"].as_str().unwrap(), versions.join(","))
        })
        .collect();
    assert_eq!(
        names,
        [
            "gatewayclasses.gateway.networking.k8s.io v1,v1beta1",
            "gateways.gateway.networking.k8s.io v1,v1beta1",
            "httproutes.gateway.networking.k8s.io v1,v1beta1",
            "grpcroutes.gateway.networking.k8s.io v1",
            "referencegrants.gateway.networking.k8s.io v1beta1",
        ]
    );
}

#[test]
fn absent_fields_get_the_defaults_of_the_specification() {
    let route = schema_of("HTTPRoute");
    let everything = json!({"type": "PathPrefix", "value": "/"});
    for (path, default) in [
        ("spec.parentRefs.[].group", json!(crate::GROUP)),
        ("spec.parentRefs.[].kind", json!("Gateway")),
        ("spec.rules", json!([{"matches": [{"path": everything}]}])),
        ("spec.rules.[].matches", json!([{"path": everything}])),
        ("spec.rules.[].matches.[].path", everything.clone()),
        ("spec.rules.[].matches.[].path.type", json!("PathPrefix")),
        ("spec.rules.[].matches.[].headers.[].type", json!("Exact")),
        ("spec.rules.[].backendRefs.[].weight", json!(1)),
        ("spec.rules.[].backendRefs.[].kind", json!("Service")),
        ("spec.rules.[].backendRefs.[].group", json!("")),
        ("spec.rules.[].filters.[].requestRedirect.statusCode", json!(302)),
    ] {
        assert_eq!(field(&route, path)["default"], default, "{path}");
    }
    let gateway = schema_of("Gateway");
    assert_eq!(
        field(&gateway, "spec.listeners.[].allowedRoutes")["default"],
        json!({"namespaces": {"from": "Same"}})
    );
    assert_eq!(field(&gateway, "spec.listeners.[].tls.mode")["default"], "Terminate");
}

#[test]
fn lists_merge_by_the_keys_of_the_specification() {
    let gateway = schema_of("Gateway");
    assert_eq!(field(&gateway, "spec.listeners")["x-kubernetes-list-map-keys"], json!(["name"]));
    assert_eq!(field(&gateway, "status.conditions")["x-kubernetes-list-map-keys"], json!(["type"]));
    let route = schema_of("HTTPRoute");
    assert_eq!(field(&route, "spec.rules")["x-kubernetes-list-type"], "atomic");
    assert_eq!(
        field(&route, "spec.rules.[].filters.[].requestHeaderModifier.remove")["x-kubernetes-list-type"],
        "set"
    );
}

/// The rules for structural schemas that an API server enforces: every part has
/// a type, keys of keyed lists are required or defaulted, patterns compile.
#[test]
fn schemas_are_structural() {
    fn check(schema: &Value, at: &str) {
        let kind = schema["type"].as_str().unwrap_or_else(|| panic!("{at} has no type"));
        if let Some(pattern) = schema["pattern"].as_str() {
            regex::Regex::new(pattern).unwrap_or_else(|error| panic!("{at}: {error}"));
        }
        match kind {
            "array" => {
                assert!(schema["x-kubernetes-list-type"].is_string(), "{at} has no list type");
                let items = &schema["items"];
                for key in schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten() {
                    let required = items["required"].as_array().unwrap();
                    assert!(required.contains(key), "{at}: key {key} is not required");
                }
                check(items, &format!("{at}[]"));
            }
            "object" => {
                let fields: BTreeSet<&str> = schema["properties"]
                    .as_object()
                    .into_iter()
                    .flatten()
                    .map(|(name, _)| name.as_str())
                    .collect();
                for name in schema["required"].as_array().into_iter().flatten() {
                    assert!(fields.contains(name.as_str().unwrap()), "{at} requires {name}, which it lacks");
                }
                for name in fields {
                    check(&schema["properties"][name], &format!("{at}.{name}"));
                }
                if schema["additionalProperties"].is_object() {
                    check(&schema["additionalProperties"], &format!("{at}.*"));
                }
            }
            "string" | "integer" => {}
            other => panic!("{at} has type {other}"),
        }
    }
    for crd in crds() {
        check(
            &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"],
            crd["metadata"]["name"].as_str().unwrap(),
        );
    }
}
