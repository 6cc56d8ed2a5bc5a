//! The life of a namespace.

use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::json;

use crate::support::*;

#[tokio::test]
async fn a_namespace_takes_nothing_new_while_it_ends() {
    let server = start().await;
    let namespaces: Api<Namespace> = Api::all(server.admin());
    let shop: Namespace = serde_json::from_value(json!({"metadata": {"name": "shop"}})).unwrap();
    namespaces.create(&PostParams::default(), &shop).await.unwrap();
    let api: Api<ConfigMap> = Api::namespaced(server.admin(), "shop");
    let mut held = config_map("held", "1");
    held.metadata.finalizers = Some(vec!["example.com/hold".into()]);
    api.create(&PostParams::default(), &held).await.unwrap();
    namespaces.delete("shop", &DeleteParams::default()).await.unwrap();
    let error = api.create(&PostParams::default(), &config_map("late", "1")).await.unwrap_err();
    assert_eq!(code(&error), (403, "Forbidden".into()));
    assert!(error.to_string().contains("because it is being terminated"), "{error}");
    let release = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    // The namespace's own deletion of it may come before or after this.
    loop {
        match api.patch("held", &PatchParams::default(), &release).await {
            Ok(_) => {}
            Err(e) => break assert_eq!(code(&e).0, 404),
        }
    }
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    while namespaces.get_opt("shop").await.unwrap().is_some() {
        assert!(tokio::time::Instant::now() < deadline, "the namespace does not end");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn nothing_stays_behind_a_namespace_however_much_is_made_while_it_ends() {
    let server = start().await;
    let namespaces: Api<Namespace> = Api::all(server.admin());
    let shop: Namespace = serde_json::from_value(json!({"metadata": {"name": "shop"}})).unwrap();
    let api: Api<ConfigMap> = Api::namespaced(server.admin(), "shop");
    for finalized in [false, true] {
        namespaces.create(&PostParams::default(), &shop).await.unwrap();
        // Also one whose own finalizer was taken off before: until it is empty, it stays.
        if finalized {
            let path = "/api/v1/namespaces/shop/finalize";
            let body = json!({"metadata": {"name": "shop"}, "spec": {"finalizers": []}}).to_string();
            let request =
                http::Request::put(path).header("content-type", "application/json").body(body.into());
            server.admin().request::<serde_json::Value>(request.unwrap()).await.unwrap();
        }
        let writers = (0..20).map(|writer| {
            let api = api.clone();
            async move {
                let mut made = 0;
                loop {
                    let object = config_map(&format!("c{writer}-{made}"), "1");
                    match api.create(&PostParams::default(), &object).await {
                        Ok(_) => made += 1,
                        Err(error) => break (made, code(&error)),
                    }
                }
            }
        });
        let ending = async {
            while api.list(&ListParams::default()).await.unwrap().items.len() < 40 {
                tokio::task::yield_now().await;
            }
            namespaces.delete("shop", &DeleteParams::default()).await.unwrap();
        };
        let (made, ()) = futures::join!(futures::future::join_all(writers), ending);
        for (_, refused) in &made {
            assert!(matches!(refused.0, 403 | 404), "{refused:?}");
        }
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
        while namespaces.get_opt("shop").await.unwrap().is_some() {
            assert!(tokio::time::Instant::now() < deadline, "the namespace does not end");
            tokio::task::yield_now().await;
        }
        assert_eq!(api.list(&ListParams::default()).await.unwrap().items, [], "something stayed behind");
    }
}

#[tokio::test]
async fn a_namespace_can_be_selected_by_its_name() {
    let server = start().await;
    let client = server.admin();
    for metadata in [json!({"name": "shop"}), json!({"generateName": "shop-"})] {
        let made = done(&client, "POST", "/api/v1/namespaces", json!({"metadata": metadata})).await;
        assert_eq!(made["metadata"]["labels"]["kubernetes.io/metadata.name"], made["metadata"]["name"]);
    }
    let selected = "/api/v1/namespaces?labelSelector=kubernetes.io%2Fmetadata.name%3Dshop";
    let found = done(&client, "GET", selected, json!(null)).await;
    assert_eq!(found["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn who_may_finalize_a_stuck_namespace_frees_it() {
    let server = start().await;
    let client = server.admin();
    done(&client, "POST", "/api/v1/namespaces", json!({"metadata": {"name": "stuck"}})).await;
    let held = json!({"metadata": {"name": "held", "finalizers": ["example.com/never"]}});
    done(&client, "POST", "/api/v1/namespaces/stuck/configmaps", held).await;
    done(&client, "DELETE", "/api/v1/namespaces/stuck", json!(null)).await;
    let mut namespace = done(&client, "GET", "/api/v1/namespaces/stuck", json!(null)).await;
    namespace["spec"]["finalizers"] = json!([]);
    namespace["metadata"]["resourceVersion"] = json!(null);
    done(&client, "PUT", "/api/v1/namespaces/stuck/finalize", namespace).await;
    assert_eq!(ask(&client, "GET", "/api/v1/namespaces/stuck", json!(null)).await.0, 404);
}
