//! What lies below a pod.

use kube::Client;
use kube::api::{Patch, PatchParams};
use seaway_apiserver::Identity;
use serde_json::json;

use crate::support::*;

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
async fn a_resize_changes_resources_and_nothing_else() {
    let server = start().await;
    account(&server, "default").await;
    let admin = server.admin();
    let mut small = pod("p");
    small["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "100m", "memory": "64Mi"}});
    done(&admin, "POST", "/api/v1/namespaces/default/pods", small).await;
    let rules =
        json!([{"apiGroups": [""], "resources": ["pods/resize"], "verbs": ["get", "patch", "update"]}]);
    grant(&server, "resizer", rules).await;
    let resizer = server.server.client(Identity::user("resizer", Vec::<String>::new()));
    let path = "/api/v1/namespaces/default/pods/p/resize";
    let mut changed = done(&resizer, "GET", path, json!(null)).await;
    changed["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "200m".into();
    changed["spec"]["containers"][0]["image"] = "evil".into();
    changed["metadata"]["labels"] = json!({"app": "evil"});
    changed["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "1"}]);
    let resized = done(&resizer, "PUT", path, changed).await;
    assert_eq!(resized["spec"]["containers"][0]["resources"]["requests"]["cpu"], "200m");
    assert_eq!(resized["spec"]["containers"][0]["image"], "x");
    assert!(resized["metadata"]["labels"].is_null() && resized["metadata"]["ownerReferences"].is_null());
    assert_eq!(resized["metadata"]["generation"], 2);
    // The class of service stays.
    let guaranteed = json!({"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": null, "memory": null}}}]}});
    let (code, _, answer) = ask(&resizer, "PATCH", path, guaranteed).await;
    assert_eq!(code, 422, "{answer}");
}

#[tokio::test]
async fn evictions_at_the_same_time_share_no_disruption() {
    let server = start().await;
    account(&server, "default").await;
    let admin = server.admin();
    let budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
    let budget = json!({"metadata": {"name": "web"},
        "spec": {"minAvailable": 3, "selector": {"matchLabels": {"app": "web"}}}});
    done(&admin, "POST", budgets, budget).await;
    let status = json!({"status": {"disruptionsAllowed": 1, "currentHealthy": 4, "desiredHealthy": 3,
        "expectedPods": 4, "observedGeneration": 1}});
    done(&admin, "PATCH", &format!("{budgets}/web/status"), status).await;
    for n in 0..4 {
        let mut web = pod(&format!("web-{n}"));
        web["metadata"]["labels"] = json!({"app": "web"});
        done(&admin, "POST", "/api/v1/namespaces/default/pods", web).await;
        let running = json!({"status": {"phase": if n < 3 { "Running" } else { "Pending" },
            "conditions": [{"type": "Ready", "status": "True"}]}});
        done(&admin, "PATCH", &format!("/api/v1/namespaces/default/pods/web-{n}/status"), running).await;
    }
    let evict = |n: usize| {
        let admin = admin.clone();
        async move {
            let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": format!("web-{n}")}});
            ask(&admin, "POST", &format!("/api/v1/namespaces/default/pods/web-{n}/eviction"), eviction).await
        }
    };
    let answers = futures::future::join_all((0..3).map(evict)).await;
    let mut codes: Vec<u16> = answers.iter().map(|(code, ..)| *code).collect();
    codes.sort_unstable();
    assert_eq!(codes, [201, 429, 429], "{answers:?}");
    let (_, _, refused) = answers.iter().find(|(code, ..)| *code == 429).unwrap();
    assert_eq!(refused["details"]["causes"][0]["reason"], "DisruptionBudget");
    // Who does not run yet disturbs nobody.
    assert_eq!(evict(3).await.0, 201);
}
