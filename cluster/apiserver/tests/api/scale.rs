//! The `scale` subresource under server-side apply.

use kube::Client;
use serde_json::{Value, json};

use crate::support::*;

const APPLY: &str = "application/apply-patch+yaml";
const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/default/deployments/web";

async fn apply(client: &Client, path: &str, manager: &str, body: &str) -> (u16, Value) {
    let path = format!("{path}/scale?fieldManager={manager}");
    let (code, _, answer) = send(client, "PATCH", &path, APPLY, body.as_bytes().to_vec()).await;
    (code, answer)
}

fn entry<'a>(object: &'a Value, manager: &str, operation: &str) -> &'a Value {
    let entries = object["metadata"]["managedFields"].as_array().unwrap();
    entries
        .iter()
        .find(|e| e["manager"] == manager && e["operation"] == operation)
        .unwrap_or_else(|| panic!("{manager} owns nothing: {entries:?}"))
}

async fn deployment(client: &Client) {
    let object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "a"}},
                 "template": {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "x"}]}}}});
    let path = format!("{DEPLOYMENT}?fieldManager=owner");
    let (code, _, answer) = send(client, "PATCH", &path, APPLY, object.to_string().into_bytes()).await;
    assert_eq!(code, 201, "{answer}");
}

#[tokio::test]
async fn an_applied_scale_is_owned_by_who_applies_it_and_conflicts_with_who_owned_it() {
    let server = start().await;
    let admin = server.admin();
    deployment(&admin).await;
    let yaml = "apiVersion: autoscaling/v1\nkind: Scale\nmetadata:\n  name: web\n  namespace: default\nspec:\n  replicas: 5\n";
    let (code, answer) = apply(&admin, DEPLOYMENT, "scaler", yaml).await;
    assert_eq!((code, &answer["reason"]), (409, &json!("Conflict")), "{answer}");
    assert_eq!(answer["message"], "Apply failed with 1 conflict: conflict with \"owner\": .spec.replicas");
    let cause = &answer["details"]["causes"][0];
    assert_eq!(
        (&cause["reason"], &cause["field"]),
        (&json!("FieldManagerConflict"), &json!(".spec.replicas"))
    );

    let (code, scale) = apply(&admin, DEPLOYMENT, "scaler&force=true", yaml).await;
    assert_eq!(
        (code, &scale["kind"], &scale["spec"]["replicas"]),
        (200, &json!("Scale"), &json!(5)),
        "{scale}"
    );
    let object = done(&admin, "GET", DEPLOYMENT, json!(null)).await;
    assert_eq!(object["spec"]["replicas"], 5);
    let mine = entry(&object, "scaler", "Apply");
    assert_eq!(mine["subresource"], "scale");
    assert_eq!(mine["apiVersion"], "apps/v1");
    assert_eq!(mine["fieldsV1"], json!({"f:spec": {"f:replicas": {}}}));
    assert!(entry(&object, "owner", "Apply")["fieldsV1"]["f:spec"]["f:replicas"].is_null());

    // JSON does as well as YAML; the same again changes nothing.
    let revision = object["metadata"]["resourceVersion"].clone();
    let json = json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "spec": {"replicas": 5}}).to_string();
    assert_eq!(apply(&admin, DEPLOYMENT, "scaler", &json).await.0, 200);
    let object = done(&admin, "GET", DEPLOYMENT, json!(null)).await;
    assert_eq!(object["metadata"]["resourceVersion"], revision);

    // `kubectl scale` takes it over as an update, which an apply then conflicts with in the Scale's own words.
    let patch = json!({"spec": {"replicas": 7}});
    done(&admin, "PATCH", &format!("{DEPLOYMENT}/scale?fieldManager=kubectl"), patch).await;
    let (code, answer) = apply(&admin, DEPLOYMENT, "scaler", yaml).await;
    assert_eq!(code, 409, "{answer}");
    assert_eq!(
        answer["message"],
        "Apply failed with 1 conflict: conflict with \"kubectl\" with subresource \"scale\" using autoscaling/v1: \
         .spec.replicas"
    );
    // Who owns no replicas and applies none changes none.
    let none = json!({"apiVersion": "autoscaling/v1", "kind": "Scale"}).to_string();
    let (code, scale) = apply(&admin, DEPLOYMENT, "scaler", &none).await;
    assert_eq!((code, &scale["spec"]["replicas"]), (200, &json!(7)), "{scale}");
    // Who owned them, and applies none any more, leaves none.
    assert_eq!(apply(&admin, DEPLOYMENT, "scaler&force=true", yaml).await.0, 200);
    let (code, scale) = apply(&admin, DEPLOYMENT, "scaler", &none).await;
    assert_eq!((code, &scale["spec"]), (200, &json!({})), "{scale}");
    assert_eq!(done(&admin, "GET", DEPLOYMENT, json!(null)).await["spec"]["replicas"], 0);
}

#[tokio::test]
async fn a_scale_that_is_none_is_not_applied() {
    let server = start().await;
    let admin = server.admin();
    deployment(&admin).await;
    let scale = |change: Value| {
        let mut scale = json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "spec": {"replicas": 3}});
        scale.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        scale.to_string()
    };
    let path = format!("{DEPLOYMENT}/scale");
    let (code, _, answer) = send(&admin, "PATCH", &path, APPLY, scale(json!({})).into_bytes()).await;
    assert_eq!(code, 422, "{answer}");
    assert!(answer["message"].as_str().unwrap().contains("fieldManager: Required value"), "{answer}");
    for (change, code, says) in [
        (json!({"apiVersion": "apps/v1"}), 400, "Incorrect version"),
        (json!({"kind": "Deployment"}), 500, "expected objects of the same type"),
        (json!({"spec": {"replica": 1}}), 500, ".spec.replica: field not declared in schema"),
        (json!({"spec": {"replicas": -1}}), 422, "spec.replicas: Invalid value: -1"),
        (json!({"spec": {"replicas": "1"}}), 500, ".spec.replicas"),
        (json!({"metadata": {"name": "other"}}), 400, "does not match the name on the URL"),
        (json!({"metadata": {"managedFields": []}}), 400, "metadata.managedFields must be nil"),
        (json!({"metadata": {"resourceVersion": "1"}}), 409, "has been modified"),
    ] {
        let (found, answer) = apply(&admin, DEPLOYMENT, "a&force=true", &scale(change.clone())).await;
        assert_eq!(found, code, "{change}: {answer}");
        assert!(answer["message"].as_str().unwrap().contains(says), "{change}: {answer}");
    }
    let nobody = DEPLOYMENT.replace("web", "nobody");
    assert_eq!(apply(&admin, &nobody, "a", &scale(json!({}))).await.0, 404);
    let (code, ..) = send(&admin, "PATCH", &path, "text/plain", b"{}".to_vec()).await;
    assert_eq!(code, 415);
    assert_eq!(done(&admin, "GET", DEPLOYMENT, json!(null)).await["spec"]["replicas"], 2);
}

#[tokio::test]
async fn custom_resources_are_scaled_by_apply_where_their_definition_says_the_replicas_are() {
    let server = start().await;
    let admin = server.admin();
    let definition = json!({"metadata": {"name": "widgets.example.com"}, "spec": {"group": "example.com",
        "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"}, "versions": [{"name": "v1",
        "served": true, "storage": true,
        "subresources": {"scale": {"specReplicasPath": ".spec.size.wanted", "statusReplicasPath": ".status.size"}},
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {
            "spec": {"type": "object", "properties": {"size": {"type": "object", "properties": {
                "wanted": {"type": "integer"}}}, "color": {"type": "string"}}},
            "status": {"type": "object", "properties": {"size": {"type": "integer"}}}}}}}]}});
    done(&admin, "POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition).await;
    let widgets = "/apis/example.com/v1/namespaces/default/widgets";
    let widget = json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"},
        "spec": {"color": "red", "size": {"wanted": 1}}});
    done(&admin, "POST", &format!("{widgets}?fieldManager=maker"), widget).await;
    let path = format!("{widgets}/w");
    let scale = "apiVersion: autoscaling/v1\nkind: Scale\nspec: {replicas: 4}\n";
    let (code, answer) = apply(&admin, &path, "scaler", scale).await;
    assert_eq!(code, 409, "{answer}");
    assert_eq!(
        answer["message"],
        "Apply failed with 1 conflict: conflict with \"maker\" using autoscaling/v1: .spec.replicas"
    );
    let (code, answer) = apply(&admin, &path, "scaler&force=true", scale).await;
    assert_eq!((code, &answer["spec"]["replicas"]), (200, &json!(4)), "{answer}");
    let object = done(&admin, "GET", &path, json!(null)).await;
    assert_eq!(object["spec"], json!({"color": "red", "size": {"wanted": 4}}));
    let mine = entry(&object, "scaler", "Apply");
    assert_eq!(mine["subresource"], "scale");
    assert_eq!(mine["fieldsV1"], json!({"f:spec": {"f:size": {"f:wanted": {}}}}));
}
