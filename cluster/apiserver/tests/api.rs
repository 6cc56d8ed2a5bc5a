//! Promises of the API to clients in this process.

#![allow(clippy::unwrap_used)]

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::api::{
    Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams,
};
use kube::{Client, Error};
use seaway_apiserver::{ApiServer, Identity, Options};
use serde_json::json;

struct Server {
    server: ApiServer,
    _folder: tempfile::TempDir,
}

async fn start() -> Server {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { events_kept: 64, ..Options::new(folder.path()) };
    let server = ApiServer::start(options).await.unwrap();
    Server { server, _folder: folder }
}

impl Server {
    fn admin(&self) -> Client {
        self.server.client(Identity::admin())
    }
}

fn config_map(name: &str, value: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name}, "data": {"key": value}})).unwrap()
}

fn code(error: &Error) -> (u16, String) {
    match error {
        Error::Api(status) => (status.code, status.reason.clone()),
        other => panic!("no answer of the API: {other}"),
    }
}

#[tokio::test]
async fn a_named_account_goes_through_rbac_like_everybody() {
    let server = start().await;
    let stranger: Api<ConfigMap> =
        Api::default_namespaced(server.server.client(Identity::user("jane", ["dev"])));
    let error = stranger.list(&ListParams::default()).await.unwrap_err();
    assert_eq!(code(&error), (403, "Forbidden".into()));
    let admin: Api<ConfigMap> = Api::default_namespaced(server.admin());
    admin.list(&ListParams::default()).await.unwrap();
}

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
async fn a_selected_watch_tells_when_objects_enter_and_leave() {
    let server = start().await;
    let api: Api<ConfigMap> = Api::default_namespaced(server.admin());
    let start = api.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    let mut events = api.watch(&WatchParams::default().labels("show=yes"), &start).await.unwrap().boxed();
    api.create(&PostParams::default(), &config_map("c", "1")).await.unwrap();
    let label = |v: &str| Patch::Merge(json!({"metadata": {"labels": {"show": v}}}));
    api.patch("c", &PatchParams::default(), &label("yes")).await.unwrap();
    api.patch("c", &PatchParams::default(), &Patch::Merge(json!({"data": {"key": "2"}}))).await.unwrap();
    api.patch("c", &PatchParams::default(), &label("no")).await.unwrap();
    let mut seen = vec![];
    while seen.len() < 3 {
        match events.try_next().await.unwrap().unwrap() {
            WatchEvent::Added(_) => seen.push("added"),
            WatchEvent::Modified(_) => seen.push("modified"),
            WatchEvent::Deleted(_) => seen.push("deleted"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seen, ["added", "modified", "deleted"]);
}

#[tokio::test]
async fn a_watch_resumes_where_it_was_told_to() {
    let server = start().await;
    let api: Api<ConfigMap> = Api::default_namespaced(server.admin());
    let first = api.create(&PostParams::default(), &config_map("a", "1")).await.unwrap();
    api.create(&PostParams::default(), &config_map("b", "1")).await.unwrap();
    let since = first.metadata.resource_version.unwrap();
    let mut events = api.watch(&WatchParams::default(), &since).await.unwrap().boxed();
    match events.try_next().await.unwrap().unwrap() {
        WatchEvent::Added(c) => assert_eq!(c.metadata.name.as_deref(), Some("b")),
        other => panic!("{other:?}"),
    }
    // Sixty-four events are kept; a watch from before them is told to list again.
    for n in 0..70 {
        let patch = Patch::Merge(json!({"data": {"key": n.to_string()}}));
        api.patch("a", &PatchParams::default(), &patch).await.unwrap();
    }
    let mut events = api.watch(&WatchParams::default(), &since).await.unwrap().boxed();
    match events.try_next().await.unwrap().unwrap() {
        WatchEvent::Error(e) => assert_eq!(e.code, 410),
        other => panic!("{other:?}"),
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

fn dynamic(client: Client, namespace: &str, group: &str, version: &str, kind: &str) -> Api<DynamicObject> {
    let gvk = kube::core::GroupVersionKind::gvk(group, version, kind);
    Api::namespaced_with(client, namespace, &kube::discovery::ApiResource::from_gvk(&gvk))
}

async fn make(api: &Api<DynamicObject>, object: serde_json::Value) -> Result<DynamicObject, Error> {
    api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await
}

fn pod(name: &str) -> serde_json::Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
           "spec": {"containers": [{"name": "c", "image": "x"}]}})
}

/// The `default` ServiceAccount is made soon after its namespace.
async fn account(server: &Server, namespace: &str) {
    let accounts = dynamic(server.admin(), namespace, "", "v1", "ServiceAccount");
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    while accounts.get_opt("default").await.unwrap().is_none() {
        assert!(tokio::time::Instant::now() < deadline, "no ServiceAccount");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_quota_is_never_exceeded_also_by_writers_at_the_same_time() {
    let server = start().await;
    account(&server, "default").await;
    let quotas = dynamic(server.admin(), "default", "", "v1", "ResourceQuota");
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"},
                       "spec": {"hard": {"pods": "3", "count/deployments.apps": "0"}}});
    make(&quotas, quota).await.unwrap();
    let pods = dynamic(server.admin(), "default", "", "v1", "Pod");
    let made = futures::future::join_all((0..10).map(|n| {
        let pods = pods.clone();
        async move { make(&pods, pod(&format!("p{n}"))).await }
    }))
    .await;
    assert_eq!(made.iter().filter(|m| m.is_ok()).count(), 3);
    let refused = made.into_iter().find_map(Result::err).unwrap().to_string();
    assert!(
        refused.contains("exceeded quota: q, requested: pods=1, used: pods=3, limited: pods=3"),
        "{refused}"
    );
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    while quotas.get("q").await.unwrap().data["status"]["used"]["pods"] != "3" {
        assert!(tokio::time::Instant::now() < deadline, "the status does not follow");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_limit_range_fills_in_and_bounds() {
    let server = start().await;
    account(&server, "default").await;
    let ranges = dynamic(server.admin(), "default", "", "v1", "LimitRange");
    let range = json!({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "r"}, "spec": {"limits": [
        {"type": "Container", "default": {"memory": "64Mi"}, "max": {"memory": "128Mi"}}]}});
    make(&ranges, range).await.unwrap();
    let pods = dynamic(server.admin(), "default", "", "v1", "Pod");
    let made = make(&pods, pod("a")).await.unwrap();
    let resources = &made.data["spec"]["containers"][0]["resources"];
    assert_eq!(*resources, json!({"limits": {"memory": "64Mi"}, "requests": {"memory": "64Mi"}}));
    let mut large = pod("b");
    large["spec"]["containers"][0]["resources"] = json!({"limits": {"memory": "1Gi"}});
    let refused = make(&pods, large).await.unwrap_err().to_string();
    assert!(refused.contains("maximum memory usage per Container is 128Mi, but limit is 1Gi"), "{refused}");
}

#[tokio::test]
async fn a_namespace_can_ask_for_pod_security() {
    let server = start().await;
    let namespaces: Api<Namespace> = Api::all(server.admin());
    let labels = json!({"pod-security.kubernetes.io/enforce": "restricted"});
    let shop = json!({"metadata": {"name": "shop", "labels": labels}});
    namespaces.create(&PostParams::default(), &serde_json::from_value(shop).unwrap()).await.unwrap();
    account(&server, "shop").await;
    let pods = dynamic(server.admin(), "shop", "", "v1", "Pod");
    let refused = make(&pods, pod("a")).await.unwrap_err();
    assert_eq!(code(&refused), (403, "Forbidden".into()));
    assert!(
        refused
            .to_string()
            .contains("violates PodSecurity \"restricted:latest\": allowPrivilegeEscalation != false")
    );
}

#[tokio::test]
async fn a_token_is_bound_to_a_pod_of_its_own_account_alone() {
    let server = start().await;
    account(&server, "default").await;
    let pods = dynamic(server.admin(), "default", "", "v1", "Pod");
    let made = make(&pods, pod("p")).await.unwrap();
    let accounts = dynamic(server.admin(), "default", "", "v1", "ServiceAccount");
    let robot = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}});
    make(&accounts, robot).await.unwrap();
    let client = server.admin();
    let ask = |account: &str, uid: &str| {
        let body =
            json!({"spec": {"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": uid}}});
        let path = format!("/api/v1/namespaces/default/serviceaccounts/{account}/token");
        let request = http::Request::post(path).header("content-type", "application/json");
        let request = request.body(body.to_string().into()).unwrap();
        let client = client.clone();
        async move { client.request::<serde_json::Value>(request).await }
    };
    let uid = made.metadata.uid.unwrap();
    let refused = ask("robot", &uid).await.unwrap_err();
    assert_eq!(code(&refused), (400, "BadRequest".into()));
    assert!(refused.to_string().contains("different serviceaccount name"), "{refused}");
    assert_eq!(code(&ask("default", "other").await.unwrap_err()), (409, "Conflict".into()));
    let token = ask("default", &uid).await.unwrap()["status"]["token"].clone();
    let review = || {
        let body = json!({"spec": {"token": token}}).to_string();
        let request = http::Request::post("/apis/authentication.k8s.io/v1/tokenreviews")
            .header("content-type", "application/json")
            .body(body.into())
            .unwrap();
        let client = client.clone();
        async move { client.request::<serde_json::Value>(request).await.unwrap()["status"].clone() }
    };
    assert_eq!(review().await["authenticated"], true);
    pods.delete("p", &DeleteParams::default().grace_period(0)).await.unwrap();
    assert_eq!(review().await["authenticated"], false);
}

#[tokio::test]
async fn ephemeral_containers_are_added_through_their_own_subresource_alone() {
    let server = start().await;
    account(&server, "default").await;
    let pods = dynamic(server.admin(), "default", "", "v1", "Pod");
    make(&pods, pod("p")).await.unwrap();
    let client = server.admin();
    let path = "/api/v1/namespaces/default/pods/p/ephemeralcontainers";
    let send = |client: &Client, method: &str, media: &str, body: serde_json::Value| {
        let request = http::Request::builder().method(method).uri(path).header("content-type", media);
        let request = request.body(if method == "GET" { vec![] } else { body.to_string().into() }).unwrap();
        let client = client.clone();
        async move { client.request::<serde_json::Value>(request).await }
    };
    let strategic = "application/strategic-merge-patch+json";
    let debug = |name: &str, image: &str| {
        json!({"metadata": {"labels": {"not": "this"}},
               "spec": {"activeDeadlineSeconds": 5, "ephemeralContainers": [{"name": name, "image": image}]}})
    };
    let patched = send(&client, "PATCH", strategic, debug("one", "busybox")).await.unwrap();
    let added = &patched["spec"]["ephemeralContainers"];
    assert_eq!(
        (&added[0]["name"], &added[0]["terminationMessagePath"]),
        (&json!("one"), &json!("/dev/termination-log"))
    );
    assert!(patched["metadata"]["labels"].is_null() && patched["spec"]["activeDeadlineSeconds"].is_null());
    let owner = patched["metadata"]["managedFields"].as_array().unwrap();
    let owner = owner.iter().find(|m| m["subresource"] == "ephemeralcontainers").unwrap();
    let owned = &owner["fieldsV1"];
    assert!(owned["f:spec"]["f:ephemeralContainers"].is_object());
    assert!(owned["f:metadata"].is_null() && owned["f:spec"]["f:activeDeadlineSeconds"].is_null(), "{owned}");
    send(&client, "PATCH", strategic, debug("two", "busybox")).await.unwrap();
    let read = send(&client, "GET", "", json!(null)).await.unwrap();
    assert_eq!(
        (&read["kind"], read["spec"]["ephemeralContainers"].as_array().unwrap().len()),
        (&json!("Pod"), 2)
    );

    // They stay as they are, and no name is there twice.
    for (what, body, why) in [
        ("changed", debug("one", "other"), "\"one\" may not be changed"),
        ("of a container", debug("c", "busybox"), "Duplicate value: \"c\""),
        (
            "removed",
            json!({"spec": {"ephemeralContainers": [{"name": "one", "$patch": "delete"}]}}),
            "\"one\" may not be removed",
        ),
    ] {
        let refused = send(&client, "PATCH", strategic, body).await.unwrap_err();
        assert_eq!(code(&refused), (422, "Invalid".into()), "{what}: {refused}");
        assert!(refused.to_string().contains(why), "{what}: {refused}");
    }
    let mut emptied = read.clone();
    emptied["spec"]["ephemeralContainers"] = json!([]);
    let refused = send(&client, "PUT", "application/json", emptied).await.unwrap_err();
    assert_eq!(code(&refused).0, 422, "{refused}");
    let mut more = read.clone();
    let three = json!({"name": "three", "image": "busybox", "targetContainerName": "c"});
    more["spec"]["ephemeralContainers"].as_array_mut().unwrap().push(three);
    send(&client, "PUT", "application/json", more).await.unwrap();
    let refused = pods.patch("p", &PatchParams::default(), &Patch::Strategic(debug("four", "busybox"))).await;
    assert_eq!(code(&refused.unwrap_err()).0, 422, "not through the pod itself");
    let applied = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
                         "spec": {"ephemeralContainers": [{"name": "five", "image": "busybox"}]}});
    let params = PatchParams::apply("m");
    let applied = pods.patch_subresource("ephemeralcontainers", "p", &params, &Patch::Apply(applied)).await;
    assert_eq!(applied.unwrap().data["spec"]["ephemeralContainers"].as_array().unwrap().len(), 4);

    // Who may change pods may not therefore look into them.
    let group = "rbac.authorization.k8s.io";
    let roles = dynamic(server.admin(), "default", group, "v1", "Role");
    let bindings = dynamic(server.admin(), "default", group, "v1", "RoleBinding");
    for (name, resource) in [("editor", "pods"), ("debugger", "pods/ephemeralcontainers")] {
        let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
            "metadata": {"name": name},
            "rules": [{"apiGroups": [""], "resources": [resource], "verbs": ["get", "patch", "update"]}]});
        make(&roles, role).await.unwrap();
        let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": {"name": name}, "roleRef": {"apiGroup": group, "kind": "Role", "name": name},
            "subjects": [{"apiGroup": group, "kind": "User", "name": name}]});
        make(&bindings, binding).await.unwrap();
        let client = server.server.client(Identity::user(name, ["dev"]));
        let answer = send(&client, "PATCH", strategic, debug(name, "busybox")).await;
        match name {
            "editor" => assert_eq!(code(&answer.unwrap_err()).0, 403),
            _ => drop(answer.unwrap()),
        }
    }
}

#[tokio::test]
async fn pod_security_holds_for_ephemeral_containers_too() {
    let server = start().await;
    let namespaces: Api<Namespace> = Api::all(server.admin());
    let labels = json!({"pod-security.kubernetes.io/enforce": "baseline"});
    let shop = json!({"metadata": {"name": "shop", "labels": labels}});
    namespaces.create(&PostParams::default(), &serde_json::from_value(shop).unwrap()).await.unwrap();
    account(&server, "shop").await;
    let pods = dynamic(server.admin(), "shop", "", "v1", "Pod");
    make(&pods, pod("p")).await.unwrap();
    let body = json!({"spec": {"ephemeralContainers": [
        {"name": "d", "image": "busybox", "securityContext": {"privileged": true}}]}});
    let (params, body) = (PatchParams::default(), Patch::Strategic(body));
    let refused = pods.patch_subresource("ephemeralcontainers", "p", &params, &body).await.unwrap_err();
    assert_eq!(code(&refused), (403, "Forbidden".into()));
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

#[tokio::test]
async fn who_may_only_read_runs_no_commands() {
    let server = start().await;
    let group = "rbac.authorization.k8s.io";
    let roles = dynamic(server.admin(), "default", group, "v1", "Role");
    let bindings = dynamic(server.admin(), "default", group, "v1", "RoleBinding");
    for (name, verbs) in [("reader", json!(["get"])), ("runner", json!(["get", "create"]))] {
        let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
            "metadata": {"name": name},
            "rules": [{"apiGroups": [""], "resources": ["pods/exec"], "verbs": verbs}]});
        make(&roles, role).await.unwrap();
        let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": {"name": name},
            "roleRef": {"apiGroup": group, "kind": "Role", "name": name},
            "subjects": [{"apiGroup": group, "kind": "User", "name": name}]});
        make(&bindings, binding).await.unwrap();
        let request = http::Request::get("/api/v1/namespaces/default/pods/p/exec?command=id")
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
            .header("sec-websocket-protocol", "v5.channel.k8s.io")
            .body(kube::client::Body::empty());
        let client = server.server.client(Identity::user(name, ["dev"]));
        let status = client.send(request.unwrap()).await.unwrap().status().as_u16();
        // No node runs here: the runner gets that far.
        assert_eq!(status, if name == "reader" { 403 } else { 503 }, "{name}");
    }
}

#[tokio::test]
async fn rights_are_not_widened_by_odd_requests() {
    let server = start().await;
    let group = "rbac.authorization.k8s.io";
    let roles = dynamic(server.admin(), "default", group, "v1", "Role");
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "r"},
        "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["*"], "resourceNames": ["mine"]},
                  {"apiGroups": [""], "resources": ["secrets"], "verbs": ["patch", "get"]}]});
    make(&roles, role).await.unwrap();
    let bindings = dynamic(server.admin(), "default", group, "v1", "RoleBinding");
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": {"name": "r"}, "roleRef": {"apiGroup": group, "kind": "Role", "name": "r"},
        "subjects": [{"apiGroup": group, "kind": "User", "name": "jane"}]});
    make(&bindings, binding).await.unwrap();
    let jane = server.server.client(Identity::user("jane", ["dev"]));
    // A field selector narrows lists, and says nothing of what is created.
    let path = "/api/v1/namespaces/default/configmaps?fieldSelector=metadata.name%3Dmine";
    let body = json!({"metadata": {"name": "other"}}).to_string();
    let request = http::Request::post(path).header("content-type", "application/json").body(body.into());
    let error = jane.request::<serde_json::Value>(request.unwrap()).await.unwrap_err();
    assert_eq!(code(&error).0, 403);
    // Who may patch does not thereby create.
    let secrets: Api<Secret> = Api::default_namespaced(jane);
    let applied = Patch::Apply(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}));
    let error = secrets.patch("s", &PatchParams::apply("m"), &applied).await.unwrap_err();
    assert_eq!(code(&error).0, 403);
}

#[tokio::test]
async fn an_aggregated_role_is_made_by_who_holds_everything() {
    let server = start().await;
    let group = "rbac.authorization.k8s.io";
    let all = |kind: &str, client: Client| -> Api<DynamicObject> {
        let gvk = kube::core::GroupVersionKind::gvk(group, "v1", kind);
        Api::all_with(client, &kube::discovery::ApiResource::from_gvk(&gvk))
    };
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": "mine"},
        "rules": [{"apiGroups": [group], "resources": ["clusterroles"], "verbs": ["get", "patch"]}]});
    make(&all("ClusterRole", server.admin()), role).await.unwrap();
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": "mine"}, "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "mine"},
        "subjects": [{"apiGroup": group, "kind": "User", "name": "jane"}]});
    make(&all("ClusterRoleBinding", server.admin()), binding).await.unwrap();
    let jane = all("ClusterRole", server.server.client(Identity::user("jane", ["dev"])));
    let labels = json!({"kubernetes.io/bootstrapping": "rbac-defaults"});
    let patch = json!({"aggregationRule": {"clusterRoleSelectors": [{"matchLabels": labels}]}});
    let error = jane.patch("mine", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap_err();
    assert_eq!(code(&error).0, 403);
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
