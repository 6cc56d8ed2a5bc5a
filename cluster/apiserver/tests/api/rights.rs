//! Who may do what, and as whom.

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Client;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use seaway_apiserver::{ApiServer, Identity, Options};
use serde_json::json;

use crate::support::*;

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
        // There is no such pod: the runner gets that far.
        assert_eq!(status, if name == "reader" { 403 } else { 404 }, "{name}");
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

#[tokio::test]
async fn a_role_of_too_many_permissions_to_compare_is_refused_at_once() {
    let server = start().await;
    let rules = json!([{"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles"], "verbs": ["create"]},
        {"apiGroups": ["apps"], "resources": ["deployments", "statefulsets"], "verbs": ["get", "list"]}]);
    grant(&server, "jane", rules).await;
    let jane = server.server.client(Identity::user("jane", Vec::<String>::new()));
    let roles = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles";
    let many = |what: &str| (0..600).map(|n| format!("{what}{n}")).collect::<Vec<_>>();
    let huge = json!({"metadata": {"name": "huge"}, "rules": [{"verbs": many("v"),
        "apiGroups": many("g"), "resources": many("r")}]});
    let (code, _, answer) = ask(&jane, "POST", roles, huge).await;
    assert_eq!(code, 403);
    assert!(answer["message"].as_str().unwrap().contains("216000000 single permissions"), "{answer}");
    // What is held can be given on, as a whole and in parts; what is not held is named.
    let held = json!({"metadata": {"name": "held"}, "rules": [{"verbs": ["get", "list"], "apiGroups": ["apps"],
        "resources": ["deployments", "statefulsets"]}]});
    done(&jane, "POST", roles, held).await;
    let more = json!({"metadata": {"name": "more"}, "rules": [{"verbs": ["get"], "apiGroups": ["apps"],
        "resources": ["deployments", "daemonsets"]}]});
    let (code, _, answer) = ask(&jane, "POST", roles, more).await;
    assert_eq!(code, 403);
    let message = answer["message"].as_str().unwrap();
    assert!(message.contains("daemonsets") && !message.contains("deployments"), "{message}");
}

#[tokio::test]
async fn the_anonymous_user_is_not_among_the_authenticated() {
    let server = start().await;
    let client = server.admin();
    let request = http::Request::post("/apis/authentication.k8s.io/v1/selfsubjectreviews")
        .header("content-type", "application/json")
        .header("impersonate-user", "system:anonymous")
        .body(kube::client::Body::from(b"{}".to_vec()))
        .unwrap();
    let answer = client.send(request).await.unwrap();
    assert_eq!(answer.status(), 403, "who is only anonymous may not even ask who he is");
    let rules = json!([{"apiGroups": ["authentication.k8s.io"], "resources": ["selfsubjectreviews"],
        "verbs": ["create"]}]);
    grant(&server, "system:anonymous", rules).await;
    let request = http::Request::post("/apis/authentication.k8s.io/v1/selfsubjectreviews")
        .header("content-type", "application/json")
        .header("impersonate-user", "system:anonymous")
        .body(b"{}".to_vec())
        .unwrap();
    let answer: serde_json::Value = client.request(request).await.unwrap();
    assert_eq!(answer["status"]["userInfo"]["groups"], json!(["system:unauthenticated"]));
}

#[tokio::test]
async fn default_roles_get_back_what_they_lack_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
    let own = json!({"apiGroups": ["x.example.com"], "resources": ["things"], "verbs": ["get"]});
    let server = ApiServer::start(Options::new(folder.path())).await.unwrap();
    let client = server.client(Identity::admin());
    done(&client, "PATCH", &format!("{path}/system:basic-user"), json!({"rules": [own]})).await;
    let kept = json!({"metadata": {"annotations": {"rbac.authorization.kubernetes.io/autoupdate": "false"}},
        "rules": []});
    done(&client, "PATCH", &format!("{path}/system:discovery"), kept).await;
    drop(client);
    server.stop().await;
    let server = ApiServer::start(Options::new(folder.path())).await.unwrap();
    let client = server.client(Identity::admin());
    let role = done(&client, "GET", &format!("{path}/system:basic-user"), json!(null)).await;
    assert_eq!(role["rules"][0], own);
    assert!(role.to_string().contains("selfsubjectreviews"), "{role}");
    let role = done(&client, "GET", &format!("{path}/system:discovery"), json!(null)).await;
    assert!(role["rules"].as_array().is_none_or(Vec::is_empty), "{role}");
}

#[tokio::test]
async fn a_list_of_one_name_needs_the_right_on_that_name() {
    let server = start().await;
    let admin = server.admin();
    let maps = "/api/v1/namespaces/default/configmaps";
    done(&admin, "POST", maps, json!({"metadata": {"name": "mine", "labels": {"a": "b"}}})).await;
    let rules = json!([{"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["mine"],
        "verbs": ["list", "watch"]}]);
    grant(&server, "jane", rules).await;
    let jane = server.server.client(Identity::user("jane", Vec::<String>::new()));
    for (selector, code) in [
        ("metadata.name%3Dmine", 200),
        ("metadata.name%3D%3Dmine", 200),
        ("metadata.namespace%3Ddefault,metadata.name%3Dmine", 200),
        ("metadata.name!%3Dmine", 403),
        ("metadata.name%3Dother", 403),
    ] {
        let answer = ask(&jane, "GET", &format!("{maps}?fieldSelector={selector}"), json!(null)).await;
        assert_eq!(answer.0, code, "{selector}: {answer:?}");
    }
}
