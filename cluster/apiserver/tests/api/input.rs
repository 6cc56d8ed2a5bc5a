//! Bodies that are no objects.

use kube::Error;
use kube::api::{Api, DynamicObject};
use serde_json::json;

use crate::support::*;

#[tokio::test]
async fn a_body_of_a_wrong_shape_is_answered() {
    let server = start().await;
    let client = server.admin();
    for (path, body) in [
        ("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", "[1]"),
        ("/api/v1/namespaces/default/pods", "[1]"),
        ("/api/v1/namespaces/default/configmaps", "\"x\""),
    ] {
        let request = http::Request::post(path).header("content-type", "application/json");
        let answer = client.request::<serde_json::Value>(request.body(body.into()).unwrap()).await;
        assert!(matches!(answer, Err(Error::Api(_))), "{path}: {answer:?}");
    }
}

/// A value that is nested so deep.
fn nested(levels: usize) -> serde_json::Value {
    (0..levels).fold(json!("x"), |inner, _| json!({"a": inner}))
}

#[tokio::test]
async fn what_is_nested_too_deep_is_a_bad_request_however_it_comes() {
    let server = start().await;
    let gvk = kube::core::GroupVersionKind::gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
    let crds: Api<DynamicObject> =
        Api::all_with(server.admin(), &kube::discovery::ApiResource::from_gvk(&gvk));
    let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced",
                 "names": {"plural": "things", "kind": "Thing", "singular": "thing", "listKind": "ThingList"},
                 "versions": [{"name": "v1", "served": true, "storage": true,
                     "schema": {"openAPIV3Schema": {"type": "object",
                                                    "x-kubernetes-preserve-unknown-fields": true}}}]}});
    make(&crds, definition).await.unwrap();
    let client = server.admin();
    let path = "/apis/example.com/v1/namespaces/default/things";
    let thing = |name: &str, levels| {
        json!({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": name},
               "spec": nested(levels)})
    };
    let send = |method: &str, path: String, media: &str, body: serde_json::Value| {
        let request =
            http::Request::builder().method(method).uri(path).header("content-type", media.to_owned());
        let request = request.body(body.to_string().into()).unwrap();
        let client = client.clone();
        async move { client.request::<serde_json::Value>(request).await }
    };
    // The kind is served soon after its definition.
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    while let Err(error) = send("POST", path.into(), "application/json", thing("flat", 1)).await {
        assert!(tokio::time::Instant::now() < deadline, "{error}");
        tokio::task::yield_now().await;
    }
    let apply = "application/apply-patch+yaml";
    let json_patch = json!([{"op": "add", "path": "/spec", "value": nested(122)}]);
    for (what, answer) in [
        ("create", send("POST", path.into(), "application/json", thing("deep", 122)).await),
        ("dry run", send("POST", format!("{path}?dryRun=All"), "application/json", thing("deep", 122)).await),
        // Its managed fields are deeper than itself.
        ("managed", send("POST", path.into(), "application/json", thing("deep", 117)).await),
        (
            "merge patch",
            send(
                "PATCH",
                format!("{path}/flat"),
                "application/merge-patch+json",
                json!({"spec": nested(122)}),
            )
            .await,
        ),
        (
            "JSON patch",
            send("PATCH", format!("{path}/flat"), "application/json-patch+json", json_patch).await,
        ),
        ("apply", send("PATCH", format!("{path}/deep?fieldManager=m"), apply, thing("deep", 122)).await),
    ] {
        let Err(Error::Api(status)) = answer else { panic!("{what}: {answer:?}") };
        assert_eq!((status.code, status.reason.as_str()), (400, "BadRequest"), "{what}: {}", status.message);
        assert!(status.message.contains("deep"), "{what}: {}", status.message);
    }
    let list: serde_json::Value =
        client.request(http::Request::get(path).body(vec![]).unwrap()).await.unwrap();
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    assert_eq!(list["items"][0]["spec"], nested(1));
}
