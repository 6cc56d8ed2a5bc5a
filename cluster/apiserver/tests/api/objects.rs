//! Objects are written, read, listed and deleted.

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{
    Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams,
};
use serde_json::json;

use crate::support::*;

#[tokio::test]
async fn an_update_with_an_old_revision_is_a_conflict() {
    let server = start().await;
    let api: Api<ConfigMap> = Api::default_namespaced(server.admin());
    let first = api.create(&PostParams::default(), &config_map("c", "1")).await.unwrap();
    let mut second = first.clone();
    second.data.as_mut().unwrap().insert("key".into(), "2".into());
    let second = api.replace("c", &PostParams::default(), &second).await.unwrap();
    assert_ne!(first.metadata.resource_version, second.metadata.resource_version);
    let error = api.replace("c", &PostParams::default(), &first).await.unwrap_err();
    assert_eq!(code(&error), (409, "Conflict".into()));
    // What changes nothing gets no new revision.
    let same = api.replace("c", &PostParams::default(), &second).await.unwrap();
    assert_eq!(same.metadata.resource_version, second.metadata.resource_version);
}

#[tokio::test]
async fn concurrent_patches_of_one_object_are_all_kept() {
    let server = start().await;
    let api: Api<ConfigMap> = Api::default_namespaced(server.admin());
    api.create(&PostParams::default(), &config_map("c", "0")).await.unwrap();
    let patches = (0..40).map(|n| {
        let api = api.clone();
        async move {
            let patch = json!({"data": {format!("k{n}"): "x"}});
            api.patch("c", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
        }
    });
    futures::future::join_all(patches).await;
    assert_eq!(api.get("c").await.unwrap().data.unwrap().len(), 41);
}

#[tokio::test]
async fn lists_come_in_pages_of_one_revision() {
    let server = start().await;
    let api: Api<ConfigMap> = Api::namespaced(server.admin(), "kube-public");
    for n in 0..5 {
        api.create(&PostParams::default(), &config_map(&format!("c{n}"), "1")).await.unwrap();
    }
    let first = api.list(&ListParams::default().limit(2)).await.unwrap();
    let token = first.metadata.continue_.clone().unwrap();
    api.delete("c3", &DeleteParams::default()).await.unwrap();
    let rest = api.list(&ListParams::default().limit(10).continue_token(&token)).await.unwrap();
    let names: Vec<_> = rest.items.iter().map(|c| c.metadata.name.clone().unwrap()).collect();
    assert!(names.contains(&"c3".to_owned()), "the second page is of the first one's revision: {names:?}");
    assert_eq!(first.metadata.resource_version, rest.metadata.resource_version);
    let error = api.list(&ListParams::default().continue_token("nonsense")).await.unwrap_err();
    assert_eq!(code(&error).0, 400);
}

#[tokio::test]
async fn what_fields_select_comes_in_pages_too() {
    let server = start().await;
    let api: Api<Secret> = Api::namespaced(server.admin(), "kube-public");
    for n in 0..6 {
        let kind = if n % 2 == 0 { "even" } else { "odd" };
        let secret = json!({"metadata": {"name": format!("s{n}")}, "type": kind});
        api.create(&PostParams::default(), &serde_json::from_value(secret).unwrap()).await.unwrap();
    }
    let names = |list: &kube::core::ObjectList<Secret>| -> Vec<String> {
        list.items.iter().map(|s| s.metadata.name.clone().unwrap()).collect()
    };
    let odd = ListParams::default().fields("type=odd").limit(2);
    let first = api.list(&odd).await.unwrap();
    assert_eq!(names(&first), ["s1", "s3"]);
    let second = api.list(&odd.continue_token(&first.metadata.continue_.clone().unwrap())).await.unwrap();
    assert_eq!(names(&second), ["s5"]);
    assert_eq!(second.metadata.continue_.unwrap_or_default(), "");
    let mut events = api.watch(&WatchParams::default().fields("type=odd"), "0").await.unwrap().boxed();
    for expected in ["s1", "s3", "s5"] {
        match events.try_next().await.unwrap().unwrap() {
            WatchEvent::Added(secret) => assert_eq!(secret.metadata.name.as_deref(), Some(expected)),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_dry_run_answers_as_if_and_keeps_nothing() {
    let server = start().await;
    let api: Api<ConfigMap> = Api::default_namespaced(server.admin());
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let made = api.create(&dry, &config_map("c", "1")).await.unwrap();
    assert!(made.metadata.uid.is_some());
    assert_eq!(code(&api.get("c").await.unwrap_err()).0, 404);
    api.create(&PostParams::default(), &config_map("c", "1")).await.unwrap();
    assert_eq!(code(&api.create(&dry, &config_map("c", "1")).await.unwrap_err()).1, "AlreadyExists");
}

#[tokio::test]
async fn secrets_written_as_text_are_read_as_data() {
    let server = start().await;
    let api: Api<Secret> = Api::default_namespaced(server.admin());
    let secret =
        serde_json::from_value(json!({"metadata": {"name": "s"}, "stringData": {"a": "b"}})).unwrap();
    let made = api.create(&PostParams::default(), &secret).await.unwrap();
    assert_eq!(made.data.unwrap()["a"].0, b"b");
    assert!(made.string_data.is_none());
}

#[tokio::test]
async fn events_are_one_resource_in_two_groups() {
    let server = start().await;
    let event = json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e"},
        "eventTime": "2024-01-01T00:00:00.000000Z", "reportingController": "test", "reportingInstance": "i",
        "action": "Binding", "reason": "Scheduled", "type": "Normal", "note": "hello",
        "regarding": {"kind": "Pod", "name": "p", "namespace": "default"}});
    let new = kube::discovery::ApiResource::from_gvk(&kube::core::GroupVersionKind::gvk(
        "events.k8s.io",
        "v1",
        "Event",
    ));
    let old = kube::discovery::ApiResource::from_gvk(&kube::core::GroupVersionKind::gvk("", "v1", "Event"));
    let event: DynamicObject = serde_json::from_value(event).unwrap();
    let api: Api<DynamicObject> = Api::default_namespaced_with(server.admin(), &new);
    api.create(&PostParams::default(), &event).await.unwrap();
    let core: Api<DynamicObject> = Api::default_namespaced_with(server.admin(), &old);
    let read = core.get("e").await.unwrap();
    assert_eq!((&read.data["message"], &read.data["involvedObject"]["name"]), (&json!("hello"), &json!("p")));
    assert_eq!(api.get("e").await.unwrap().data["note"], "hello");
}

#[tokio::test]
async fn an_owner_in_the_foreground_does_not_wait_for_what_another_owner_keeps() {
    let server = start().await;
    let api = dynamic(server.admin(), "default", "", "v1", "ConfigMap");
    let object = |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
    let going = make(&api, object("going")).await.unwrap();
    let staying = make(&api, object("staying")).await.unwrap();
    let reference = |owner: &DynamicObject| {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "name": owner.metadata.name,
               "uid": owner.metadata.uid, "blockOwnerDeletion": true})
    };
    let mut kept = object("kept");
    kept["metadata"]["ownerReferences"] = json!([reference(&going), reference(&staying)]);
    make(&api, kept).await.unwrap();
    api.delete("going", &DeleteParams::foreground()).await.unwrap();
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    while api.get_opt("going").await.unwrap().is_some() {
        assert!(tokio::time::Instant::now() < deadline, "the owner waits for ever");
        tokio::task::yield_now().await;
    }
    let owners = api.get("kept").await.unwrap().metadata.owner_references.unwrap();
    assert_eq!(owners.iter().map(|o| o.name.as_str()).collect::<Vec<_>>(), ["staying"]);
}

#[tokio::test]
async fn nothing_is_deleted_across_namespaces() {
    let server = start().await;
    let client = server.admin();
    let (code, _, _) = ask(&client, "DELETE", "/api/v1/configmaps", json!(null)).await;
    assert_eq!(code, 405);
    let left = done(&client, "GET", "/api/v1/namespaces/default/configmaps", json!(null)).await;
    assert!(left.to_string().contains("kube-root-ca.crt") || left["items"] == json!([]));
    done(&client, "POST", "/api/v1/namespaces/default/configmaps", json!({"metadata": {"name": "c"}})).await;
    assert_eq!(ask(&client, "DELETE", "/api/v1/configmaps", json!(null)).await.0, 405);
    done(&client, "GET", "/api/v1/namespaces/default/configmaps/c", json!(null)).await;
}

#[tokio::test]
async fn services_made_at_the_same_time_share_no_port_and_no_address() {
    let server = start().await;
    let client = server.admin();
    let services = (0..40).map(|n| {
        let service = json!({"metadata": {"name": format!("s{n}")},
            "spec": {"type": "NodePort", "ports": [{"port": 80}, {"name": "b", "port": 81}]}});
        let client = client.clone();
        async move {
            let mut service = service;
            service["spec"]["ports"][0]["name"] = "a".into();
            done(&client, "POST", "/api/v1/namespaces/default/services", service).await
        }
    });
    let made = futures::future::join_all(services).await;
    let ports = made.iter().flat_map(|s| s["spec"]["ports"].as_array().unwrap());
    let ports: std::collections::BTreeSet<i64> = ports.map(|p| p["nodePort"].as_i64().unwrap()).collect();
    let addresses = made.iter().map(|s| s["spec"]["clusterIP"].as_str().unwrap());
    assert_eq!(ports.len(), 80);
    assert_eq!(addresses.collect::<std::collections::BTreeSet<_>>().len(), 40);
}

#[tokio::test]
async fn an_address_or_port_that_was_asked_for_is_given_once_and_in_range() {
    let server = start().await;
    let client = server.admin();
    let service = |name: &str, port: i64, address: &str| {
        json!({"metadata": {"name": name}, "spec": {"type": "NodePort", "clusterIP": address,
            "ports": [{"port": 80, "nodePort": port}]}})
    };
    let path = "/api/v1/namespaces/default/services";
    done(&client, "POST", path, service("a", 31111, "10.96.9.9")).await;
    for (port, address, field) in [
        (31111, "", "spec.ports[0].nodePort"),
        (8080, "", "spec.ports[0].nodePort"),
        (0, "10.96.9.9", "spec.clusterIPs"),
        (0, "10.1.2.3", "spec.clusterIPs"),
    ] {
        let (code, _, answer) = ask(&client, "POST", path, service("b", port, address)).await;
        assert_eq!((code, &answer["details"]["causes"][0]["field"]), (422, &json!(field)), "{answer}");
    }
    // It keeps its own.
    done(&client, "PATCH", &format!("{path}/a"), json!({"metadata": {"labels": {"x": "y"}}})).await;
}

#[tokio::test]
async fn nothing_is_kept_that_a_typed_client_could_not_read() {
    let server = start().await;
    account(&server, "default").await;
    let client = server.admin();
    let mut bad = pod("p");
    bad["spec"]["terminationGracePeriodSeconds"] = json!(1e22);
    assert_eq!(ask(&client, "POST", "/api/v1/namespaces/default/pods", bad).await.0, 400);
    let lease = json!({"metadata": {"name": "l"}, "spec": {"renewTime": "yesterday"}});
    let leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
    assert_eq!(ask(&client, "POST", leases, lease).await.0, 400);
    let class = json!({"metadata": {"name": "r"}, "handler": "x", "overhead": {"podFixed": {"cpu": "-3%"}}});
    assert_eq!(ask(&client, "POST", "/apis/node.k8s.io/v1/runtimeclasses", class).await.0, 400);
    let budget = json!({"metadata": {"name": "b"}, "spec": {"maxUnavailable": 2_147_483_648_i64}});
    let budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
    assert_eq!(ask(&client, "POST", budgets, budget).await.0, 400);
    let deployments = "/apis/apps/v1/namespaces/default/deployments";
    let deployment = json!({"metadata": {"name": "d"}, "spec": {"replicas": 1.0,
        "selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}},
        "spec": {"containers": [{"name": "c", "image": "x", "args": ["a", null]}]}}}});
    done(&client, "POST", deployments, deployment).await;
    let scale = json!({"spec": {"replicas": 99_999_999_999_i64}});
    let (code, _, answer) = ask(&client, "PATCH", &format!("{deployments}/d/scale"), scale).await;
    assert_eq!(code, 422, "{answer}");
    let typed: Api<k8s_openapi::api::apps::v1::Deployment> = Api::default_namespaced(client);
    let read = typed.get("d").await.unwrap().spec;
    assert_eq!(read.replicas, Some(1));
    assert_eq!(
        read.template.spec.unwrap().containers[0].args.as_deref(),
        Some(&["a".into(), String::new()][..])
    );
}

/// Memory of this process that is in use, in bytes.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[tokio::test]
async fn lists_that_nobody_reads_hold_no_copies_and_those_that_are_read_are_whole() {
    let server = start().await;
    let admin = server.admin();
    let maps = "/api/v1/namespaces/default/configmaps";
    for n in 0..10 {
        let map = json!({"metadata": {"name": format!("large-{n}")}, "data": {"x": "y".repeat(1_000_000)}});
        done(&admin, "POST", maps, map).await;
    }
    let before = resident();
    let mut unread = vec![];
    for accept in ["application/json", "application/json;as=Table;v=v1;g=meta.k8s.io"] {
        for _ in 0..10 {
            let request =
                http::Request::builder().uri(format!("{maps}?includeObject=Object")).header("accept", accept);
            let answer = admin.send(request.body(kube::client::Body::empty()).unwrap()).await.unwrap();
            assert_eq!(answer.status(), 200);
            unread.push(answer);
        }
    }
    // Ten times two lists of 10 MB.
    let grown = resident().saturating_sub(before) >> 20;
    assert!(grown < 100, "{grown} MiB");
    drop(unread);
    let (_, _, list) = ask(&admin, "GET", maps, json!(null)).await;
    let items = list["items"].as_array().unwrap();
    let large: Vec<_> = items.iter().filter(|i| i["data"]["x"].is_string()).collect();
    assert!(large.len() == 10 && large.iter().all(|i| i["data"]["x"].as_str().unwrap().len() == 1_000_000));
    assert!(list["metadata"]["resourceVersion"].is_string() && items[0]["kind"].is_null());
    for (accept, field, kind) in [
        ("application/json;as=Table;v=v1;g=meta.k8s.io", "rows", "Table"),
        (
            "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
            "items",
            "PartialObjectMetadataList",
        ),
    ] {
        use http_body_util::BodyExt;
        let request = http::Request::builder().uri(maps).header("accept", accept);
        let answer = admin.send(request.body(kube::client::Body::empty()).unwrap()).await.unwrap();
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        let list: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(list["kind"], kind);
        assert_eq!(list[field].as_array().unwrap().len(), items.len(), "{kind}");
    }
}
