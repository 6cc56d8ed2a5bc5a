//! Custom resource definitions.

use kube::Client;
use kube::api::{Api, DeleteParams, DynamicObject};
use serde_json::json;

use crate::support::*;

#[tokio::test]
async fn a_definition_of_what_is_built_in_changes_nothing_and_takes_nothing_along() {
    let server = start().await;
    let gvk = kube::core::GroupVersionKind::gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
    let definitions: Api<DynamicObject> =
        Api::all_with(server.admin(), &kube::discovery::ApiResource::from_gvk(&gvk));
    let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "roles.rbac.authorization.k8s.io",
                     "annotations": {"api-approved.kubernetes.io": "https://example.com"}},
        "spec": {"group": "rbac.authorization.k8s.io", "scope": "Namespaced",
                 "names": {"plural": "roles", "kind": "Other", "singular": "other", "listKind": "OtherList"},
                 "versions": [{"name": "v1", "served": true, "storage": true,
                     "schema": {"openAPIV3Schema": {"type": "object"}}}]}});
    make(&definitions, definition).await.unwrap();
    let roles = dynamic(server.admin(), "default", "rbac.authorization.k8s.io", "v1", "Role");
    let role =
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "r"}});
    make(&roles, role).await.unwrap();
    definitions.delete("roles.rbac.authorization.k8s.io", &DeleteParams::default()).await.unwrap();
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    while definitions.get_opt("roles.rbac.authorization.k8s.io").await.unwrap().is_some() {
        assert!(tokio::time::Instant::now() < deadline, "the definition does not end");
        tokio::task::yield_now().await;
    }
    roles.get("r").await.unwrap();
}

fn definition(versions: serde_json::Value) -> serde_json::Value {
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"}, "spec": {"group": "example.com", "scope": "Namespaced",
        "names": {"plural": "widgets", "singular": "widget", "kind": "Widget"}, "versions": versions}})
}

fn version(name: &str, storage: bool, fields: serde_json::Value) -> serde_json::Value {
    json!({"name": name, "served": true, "storage": storage, "schema": {"openAPIV3Schema": {"type": "object",
        "properties": {"spec": {"type": "object", "properties": fields}}}}})
}

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

async fn define(client: &Client, versions: serde_json::Value) {
    done(client, "POST", DEFINITIONS, definition(versions)).await;
    let path = format!("{DEFINITIONS}/widgets.example.com");
    eventually(client, &path, |_, crd| crd["status"].to_string().contains("\"Established\"")).await;
}

#[tokio::test]
async fn what_was_stored_before_a_definition_changed_is_answered_as_it_says_now() {
    let server = start().await;
    let client = server.admin();
    let text = json!({"type": "string"});
    define(&client, json!([version("v1", true, json!({"a": text, "b": text}))])).await;
    let v1 = "/apis/example.com/v1/namespaces/default/widgets";
    let widget = json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "one"},
        "spec": {"a": "1", "b": "2"}});
    done(&client, "POST", v1, widget).await;
    // Another version is stored from now on; the old one forgets a field and fills in another.
    let path = format!("{DEFINITIONS}/widgets.example.com");
    let changed = json!({"spec": {"versions": [
        version("v1", false, json!({"a": text, "c": {"type": "string", "default": "new"}})),
        version("v2", true, json!({"a": text, "b": text}))]}});
    done(&client, "PATCH", &path, changed).await;
    let v2 = "/apis/example.com/v2/namespaces/default/widgets";
    let found = eventually(&client, &format!("{v2}/one"), |code, _| code == 200).await;
    assert_eq!(
        (&found["apiVersion"], &found["spec"]),
        (&json!("example.com/v2"), &json!({"a": "1", "b": "2"}))
    );
    let listed = done(&client, "GET", v2, json!(null)).await;
    assert_eq!(listed["items"][0]["apiVersion"], "example.com/v2");
    let found = done(&client, "GET", &format!("{v1}/one"), json!(null)).await;
    assert_eq!(
        (&found["apiVersion"], &found["spec"]),
        (&json!("example.com/v1"), &json!({"a": "1", "c": "new"}))
    );
    done(&client, "PATCH", &format!("{v2}/one"), json!({"spec": {"a": "3"}})).await;
    let found = done(&client, "GET", &format!("{v2}/one"), json!(null)).await;
    assert_eq!((&found["apiVersion"], &found["spec"]["a"]), (&json!("example.com/v2"), &json!("3")));
    // What the stored version does not know is not stored.
    let two = json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "two"},
        "spec": {"a": "1", "c": "lost"}});
    done(&client, "POST", v1, two).await;
    let found = done(&client, "GET", &format!("{v2}/two"), json!(null)).await;
    assert_eq!(found["spec"], json!({"a": "1"}));
}

#[tokio::test]
async fn a_deprecated_version_says_so_and_fields_can_be_selected_by() {
    let server = start().await;
    let client = server.admin();
    let mut old = version("v1", true, json!({"color": {"type": "string"}}));
    old["deprecated"] = true.into();
    old["selectableFields"] = json!([{"jsonPath": ".spec.color"}]);
    define(&client, json!([old])).await;
    let path = "/apis/example.com/v1/namespaces/default/widgets";
    for color in ["red", "green"] {
        let widget = json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": color},
            "spec": {"color": color}});
        let (code, warnings, _) = ask(&client, "POST", path, widget).await;
        assert_eq!(code, 201);
        assert_eq!(warnings, ["299 - \"example.com/v1 Widget is deprecated\""]);
    }
    let red = done(&client, "GET", &format!("{path}?fieldSelector=spec.color%3Dred"), json!(null)).await;
    assert_eq!(red["items"].as_array().unwrap().len(), 1);
    assert_eq!(ask(&client, "GET", &format!("{path}?fieldSelector=spec.size%3D1"), json!(null)).await.0, 400);
}
