//! Promises of adding people: what an invitation is good for, and what each role may do.

#![allow(clippy::unwrap_used)]

mod support;

use http::Method;
use http::header::SET_COOKIE;
use http_body_util::Full;
use kube::api::{Api, DeleteParams, DynamicObject, PostParams};
use kube::core::GroupVersionKind;
use kube::discovery::ApiResource;
use seaway_ledger::EventFilter;
use serde_json::{Value, json};
use support::{Answer, World};

const ACCOUNTS: &str = "/api/v1/accounts";
const JOIN: &str = "/api/v1/join";
const LOGIN: &str = "/api/v1/login";
const SESSION: &str = "/api/v1/session";
const TOKENS: &str = "/api/v1/tokens";
const ENVIRONMENTS: &str = "/api/v1/environments";
const PASSWORD: &str = "correct horse battery";
const OTHER: &str = "another horse battery";
const HOUR: i64 = 60 * 60;

async fn send(world: &World, method: Method, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
    let mut request = world.request(method, path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = if body.is_null() { String::new() } else { body.to_string() };
    world.send(request.body(Full::from(body)).unwrap()).await
}

/// The secret of the session that an answer begins.
fn cookie(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{answer:?}");
    let set = answer.headers[SET_COOKIE].to_str().unwrap();
    set.split(';').next().unwrap().to_owned()
}

async fn bearing(world: &World, token: &str, method: Method, path: &str, body: &Value) -> Answer {
    send(world, method, path, &[("authorization", &format!("Bearer {token}"))], body).await
}

/// The status of asking who is asking.
async fn asked(world: &World, headers: &[(&str, &str)]) -> u16 {
    send(world, Method::GET, SESSION, headers, &Value::Null).await.status
}

async fn login(world: &World, path: &str, name: &str, password: &str) -> Answer {
    send(world, Method::POST, path, &[], &json!({"name": name, "password": password})).await
}

/// The token of a command line.
async fn token(world: &World, name: &str) -> String {
    let answer = login(world, TOKENS, name, PASSWORD).await;
    assert_eq!((answer.status, &answer.body["user"]), (200, &json!(name)), "{answer:?}");
    answer.body["token"].as_str().unwrap().to_owned()
}

fn code(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body["link"].as_str().unwrap().strip_prefix("/join#").unwrap().to_owned()
}

async fn create(world: &World, name: &str, role: &str) -> Answer {
    world.post("admin", ACCOUNTS, json!({"name": name, "role": role})).await
}

async fn invite(world: &World, name: &str) -> Answer {
    world.post("admin", &format!("{ACCOUNTS}/{name}/invitation"), Value::Null).await
}

async fn join(world: &World, code: &str, password: &str) -> Answer {
    send(world, Method::POST, JOIN, &[], &json!({"code": code, "password": password})).await
}

/// A server whose groups are bound, with somebody who has joined in this role.
async fn with(name: &str, role: &str) -> (World, String) {
    let world = World::start().await;
    for binding in seaway_server::group_bindings() {
        world.create(binding).await;
    }
    let invited = create(&world, name, role).await;
    let joined = join(&world, &code(&invited), PASSWORD).await;
    let cookie = cookie(&joined);
    (world, cookie)
}

fn kind(client: kube::Client, namespace: &str, group: &str, version: &str, kind: &str) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    Api::namespaced_with(client, namespace, &resource)
}

fn environments(client: kube::Client, namespace: &str) -> Api<DynamicObject> {
    kind(client, namespace, "seaway.dev", "v1alpha1", "Environment")
}

fn environment(name: &str) -> DynamicObject {
    serde_json::from_value(json!({"apiVersion": "seaway.dev/v1alpha1", "kind": "Environment",
        "metadata": {"name": name}, "spec": {"stack": "shop", "destination": {"namespace": name}}}))
    .unwrap()
}

fn refusal<T: std::fmt::Debug>(result: kube::Result<T>) -> u16 {
    match result.unwrap_err() {
        kube::Error::Api(status) => status.code,
        error => panic!("{error}"),
    }
}

#[tokio::test]
async fn an_invitation_lets_its_person_in_once() {
    let world = World::start().await;
    let invited = create(&world, "ada", "developer").await;
    let account = &invited.body["account"];
    assert_eq!(account["name"], "ada");
    assert_eq!((&account["role"], &account["state"]), (&json!("developer"), &json!("invited")));
    assert_eq!(account["groups"], json!(["seaway:developers"]));
    let code = code(&invited);
    for path in [LOGIN, TOKENS] {
        for password in ["", PASSWORD] {
            assert_eq!(login(&world, path, "ada", password).await.status, 401, "there is no password yet");
        }
    }
    assert_eq!(join(&world, &code, "short").await.status, 422, "a refused password does not use it up");

    let joined = join(&world, &code, PASSWORD).await;
    assert_eq!((joined.status, &joined.body["user"]), (200, &json!("ada")), "{joined:?}");
    assert_eq!(joined.body["groups"], json!(["seaway:developers", "system:authenticated"]));
    let cookie = cookie(&joined);
    assert_eq!(asked(&world, &[("cookie", &cookie)]).await, 200);
    let again = join(&world, &code, OTHER).await;
    assert_eq!((again.status, &again.body["type"]), (403, &json!("urn:seaway:problem:wrong-code")));
    assert_eq!(login(&world, LOGIN, "ada", PASSWORD).await.status, 200);
    assert_eq!(login(&world, LOGIN, "ada", OTHER).await.status, 401);
    let list = world.get("admin", ACCOUNTS).await;
    assert_eq!(list.body["items"][0]["state"], "active", "{list:?}");
    world.stop().await;
}

#[tokio::test]
async fn of_several_who_use_an_invitation_at_once_exactly_one_gets_in() {
    let world = World::start().await;
    let code = code(&create(&world, "ada", "viewer").await);
    let passwords: Vec<String> = (0..6).map(|n| format!("{PASSWORD} {n}")).collect();
    let answers = futures::future::join_all(passwords.iter().map(|one| join(&world, &code, one))).await;
    let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 403, 403, 403, 403, 403], "{answers:?}");
    for (password, answer) in passwords.iter().zip(&answers) {
        assert_eq!(login(&world, LOGIN, "ada", password).await.status == 200, answer.status == 200);
    }
    world.stop().await;
}

#[tokio::test]
async fn an_invitation_is_good_for_three_days_and_until_the_next_one() {
    let world = World::start().await;
    let first = code(&create(&world, "ada", "developer").await);
    let second = code(&invite(&world, "ada").await);
    assert_eq!(join(&world, &first, PASSWORD).await.status, 403, "it was replaced");
    world.later(72 * HOUR);
    assert_eq!(join(&world, &second, PASSWORD).await.status, 403, "it is too old");
    let third = code(&invite(&world, "ada").await);
    world.later(71 * HOUR);
    let world = world.restart(false).await;
    assert_eq!(join(&world, &third, PASSWORD).await.status, 200, "a restart does not end it");
    assert_eq!(invite(&world, "nobody-here").await.status, 404);
    world.stop().await;
}

#[tokio::test]
async fn a_forgotten_password_is_valid_until_the_new_link_is_used_and_then_all_sessions_end() {
    let (world, cookie) = with("ada", "developer").await;
    let bearer = format!("Bearer {}", token(&world, "ada").await);
    let code = code(&invite(&world, "ada").await);
    assert_eq!(login(&world, LOGIN, "ada", PASSWORD).await.status, 200, "it still is");
    let list = world.get("admin", ACCOUNTS).await;
    assert_eq!(list.body["items"][0]["state"], "active", "who can log in is not shown as invited");
    assert_eq!(asked(&world, &[("cookie", &cookie)]).await, 200);

    assert_eq!(join(&world, &code, OTHER).await.status, 200);
    assert_eq!(asked(&world, &[("cookie", &cookie)]).await, 401);
    assert_eq!(asked(&world, &[("authorization", &bearer)]).await, 401);
    assert_eq!(login(&world, LOGIN, "ada", PASSWORD).await.status, 401);
    assert_eq!(login(&world, LOGIN, "ada", OTHER).await.status, 200);
    world.stop().await;
}

#[tokio::test]
async fn codes_of_invitations_cannot_be_guessed_without_end_and_who_has_one_does_not_wait() {
    let world = World::start().await;
    let code = code(&create(&world, "ada", "viewer").await);
    for _ in 0..20 {
        assert_eq!(join(&world, &code, "short").await.status, 422, "a good code is no guess");
    }
    let guess = async || join(&world, &"A".repeat(43), PASSWORD).await;
    for _ in 0..10 {
        assert_eq!(guess().await.status, 403);
    }
    let slow = guess().await;
    assert_eq!((slow.status, slow.headers["retry-after"].to_str().unwrap()), (429, "1"));
    assert_eq!(join(&world, &code, PASSWORD).await.status, 200, "others at her address have guessed");
    assert_eq!(guess().await.status, 429);
    world.later(1);
    assert_eq!(guess().await.status, 403);
    world.stop().await;
}

#[tokio::test]
async fn a_command_line_logs_in_as_its_person_until_it_logs_out() {
    let (world, _) = with("ada", "developer").await;
    assert_eq!(login(&world, TOKENS, "ada", OTHER).await.status, 401);
    let token = token(&world, "ada").await;
    assert!(token.starts_with("swy_s_"));
    let session = bearing(&world, &token, Method::GET, SESSION, &Value::Null).await;
    assert_eq!((session.status, &session.body["user"]), (200, &json!("ada")), "{session:?}");
    assert_eq!(session.body["may"]["accounts"], false);
    assert_eq!(bearing(&world, &token, Method::GET, ENVIRONMENTS, &Value::Null).await.status, 200);

    let ended = bearing(&world, &token, Method::DELETE, SESSION, &Value::Null).await;
    assert_eq!(ended.status, 200, "a header is not sent by itself: {ended:?}");
    let after = bearing(&world, &token, Method::GET, SESSION, &Value::Null).await;
    assert_eq!(after.status, 401, "{after:?}");
    for wrong in ["swy_s_", "swy_s_token-of-admin", &format!("swy_s_{}", "a".repeat(43))] {
        let answer = bearing(&world, wrong, Method::GET, SESSION, &Value::Null).await;
        assert_eq!(answer.status, 401, "{wrong}");
    }
    world.stop().await;
}

#[tokio::test]
async fn a_command_lines_login_ends_when_it_is_not_used_and_after_a_week() {
    let (world, _) = with("ada", "developer").await;
    let (idle, used) = (token(&world, "ada").await, token(&world, "ada").await);
    let status = async |token: &str| asked(&world, &[("authorization", &format!("Bearer {token}"))]).await;
    world.later(11 * HOUR);
    assert_eq!(status(&used).await, 200);
    world.later(2 * HOUR);
    assert_eq!(status(&idle).await, 401);
    for _ in 0..15 {
        assert_eq!(status(&used).await, 200);
        world.later(10 * HOUR);
    }
    world.later(5 * HOUR);
    assert_eq!(status(&used).await, 401);
    world.stop().await;
}

#[tokio::test]
async fn the_secret_of_a_cookie_is_no_bearer_token_and_the_other_way_round() {
    let (world, cookie) = with("ada", "developer").await;
    let secret = cookie.split_once('=').unwrap().1;
    for bearer in [secret.to_owned(), format!("swy_{secret}"), format!("swy_s_{secret}")] {
        assert_eq!(asked(&world, &[("authorization", &format!("Bearer {bearer}"))]).await, 401, "{bearer}");
    }
    let token = token(&world, "ada").await;
    for secret in [&*token, token.strip_prefix("swy_s_").unwrap()] {
        assert_eq!(asked(&world, &[("cookie", &format!("seaway_session={secret}"))]).await, 401, "{secret}");
    }
    assert_eq!(asked(&world, &[("cookie", &cookie)]).await, 200);
    // Many logins of a command line do not log out the browser.
    for _ in 0..17 {
        world.later(1);
        self::token(&world, "ada").await;
    }
    assert_eq!(asked(&world, &[("cookie", &cookie)]).await, 200);
    assert_eq!(
        asked(&world, &[("authorization", &format!("Bearer {token}"))]).await,
        401,
        "the oldest of 18"
    );
    world.stop().await;
}

#[tokio::test]
async fn only_who_may_adds_and_removes_people() {
    let (world, cookie) = with("ada", "developer").await;
    let ada = token(&world, "ada").await;
    for (method, path, body) in [
        (Method::GET, ACCOUNTS.to_owned(), Value::Null),
        (Method::POST, ACCOUNTS.to_owned(), json!({"name": "eve", "role": "admin"})),
        (Method::POST, format!("{ACCOUNTS}/ada/invitation"), Value::Null),
        (Method::DELETE, format!("{ACCOUNTS}/ada"), Value::Null),
    ] {
        let refused = bearing(&world, &ada, method.clone(), &path, &body).await;
        assert_eq!(refused.status, 403, "{method} {path}: {refused:?}");
        let headers = [("cookie", &*cookie), ("x-seaway-csrf", "1")];
        assert_eq!(send(&world, method, &path, &headers, &body).await.status, 403);
    }
    let eve = kind(world.cluster(), "", "", "v1", "Namespace").get_opt("seaway-eve").await;
    assert!(eve.is_err() || eve.unwrap().is_none(), "nothing was made for her");
    for (name, role, status) in
        [("eve", "owner", 400), ("Eve", "viewer", 422), ("system:x", "viewer", 422), ("ada", "admin", 409)]
    {
        let refused = create(&world, name, role).await;
        assert_eq!(refused.status, status, "{name} {role}: {refused:?}");
    }
    world.stop().await;
}

/// The role `seaway-admin` suffices; it need not be `cluster-admin`.
#[tokio::test]
async fn who_has_the_role_for_it_adds_and_removes_people() {
    let world = World::start().await;
    const GROUP: &str = "rbac.authorization.k8s.io";
    world
        .create(json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": {"name": "people"},
            "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": "seaway-admin"},
            "subjects": [{"apiGroup": GROUP, "kind": "User", "name": "nobody"}]}))
        .await;
    let made = world.post("nobody", ACCOUNTS, json!({"name": "ada", "role": "developer"})).await;
    assert_eq!(made.status, 200, "{made:?}");
    assert_eq!(world.get("nobody", SESSION).await.body["may"]["accounts"], true);
    let gone = world.act("nobody", Method::DELETE, &format!("{ACCOUNTS}/ada"), &Value::Null).await;
    assert_eq!(gone.status, 200, "{gone:?}");
    world.stop().await;
}

#[tokio::test]
async fn a_developer_sees_shared_environments_and_changes_those_in_her_own_namespace_alone() {
    let (world, _) = with("ada", "developer").await;
    let ada = token(&world, "ada").await;
    world.environment("seaway", "production").await;
    let seen = bearing(&world, &ada, Method::GET, ENVIRONMENTS, &Value::Null).await;
    assert_eq!(seen.body["items"][0]["name"], "production", "{seen:?}");
    let production = "/api/v1/environments/seaway/production";
    assert_eq!(bearing(&world, &ada, Method::GET, production, &Value::Null).await.status, 200);
    for verb in ["sync", "rollback", "hold", "suspend"] {
        let path = format!("{production}/{verb}");
        let refused = bearing(&world, &ada, Method::POST, &path, &json!({})).await;
        assert_eq!(refused.status, 403, "{verb}: {refused:?}");
    }
    assert_eq!(bearing(&world, &ada, Method::DELETE, production, &Value::Null).await.status, 403);

    let client = world.as_person("ada", &["seaway:developers"]);
    assert_eq!(create(&world, "ben", "developer").await.status, 200);
    for elsewhere in ["seaway", "seaway-ben", "default"] {
        let elsewhere = environments(client.clone(), elsewhere);
        let made = elsewhere.create(&PostParams::default(), &environment("x")).await;
        assert_eq!(refusal(made), 403, "{elsewhere:?}");
    }
    let own = environments(client.clone(), "seaway-ada");
    own.create(&PostParams::default(), &environment("mine")).await.unwrap();
    let mine = "/api/v1/environments/seaway-ada/mine";
    world
        .until("it is known", async || {
            bearing(&world, &ada, Method::GET, mine, &Value::Null).await.status == 200
        })
        .await;
    let suspended = bearing(&world, &ada, Method::POST, &format!("{mine}/suspend"), &Value::Null).await;
    assert_eq!(suspended.status, 200, "{suspended:?}");
    let deleted = bearing(&world, &ada, Method::DELETE, mine, &Value::Null).await;
    assert_eq!(deleted.status, 200, "{deleted:?}");

    let stacks = kind(client.clone(), "seaway-ada", "seaway.dev", "v1alpha1", "Stack");
    let stack = serde_json::from_value(json!({"apiVersion": "seaway.dev/v1alpha1", "kind": "Stack",
        "metadata": {"name": "own"}, "spec": {"components": []}}));
    assert_eq!(refusal(stacks.create(&PostParams::default(), &stack.unwrap()).await), 403);
    let secrets = kind(client, "seaway-ada", "", "v1", "Secret");
    assert_eq!(refusal(secrets.list(&Default::default()).await), 403, "`view` shows no secrets");
    world.stop().await;
}

#[tokio::test]
async fn a_person_has_so_many_environments_at_once() {
    let (world, _) = with("ada", "developer").await;
    let own = environments(world.as_person("ada", &["seaway:developers"]), "seaway-ada");
    for n in 0..5 {
        own.create(&PostParams::default(), &environment(&format!("copy-{n}"))).await.unwrap();
    }
    let sixth = own.create(&PostParams::default(), &environment("copy-5")).await.unwrap_err().to_string();
    assert!(sixth.contains("exceeded quota: seaway-environments"), "{sixth}");
    world.stop().await;
}

#[tokio::test]
async fn an_account_comes_with_a_namespace_of_its_own_unless_it_only_looks() {
    let world = World::start().await;
    let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(world.cluster());
    for (name, role) in [("vera", "viewer"), ("dora", "developer"), ("olga", "operator"), ("anna", "admin")] {
        assert_eq!(create(&world, name, role).await.status, 200, "{name}");
        let found = namespaces.get_opt(&format!("seaway-{name}")).await.unwrap();
        assert_eq!(found.is_some(), role != "viewer", "{name}");
        if let Some(found) = found {
            let labels = found.metadata.labels.unwrap();
            assert_eq!(
                (&*labels["seaway.dev/owner"], &*labels["app.kubernetes.io/part-of"]),
                (name, "seaway")
            );
        }
    }
    // One that is somebody else's is not taken.
    world
        .create(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "seaway-tools"}}))
        .await;
    let taken = create(&world, "tools", "developer").await;
    assert_eq!(taken.status, 409, "{taken:?}");
    // What broke off in the middle is completed.
    world
        .create(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "seaway-half",
            "labels": {"seaway.dev/owner": "half"}}}))
        .await;
    assert_eq!(create(&world, "half", "developer").await.status, 200);
    let bindings = kind(world.cluster(), "seaway-half", "rbac.authorization.k8s.io", "v1", "RoleBinding");
    assert_eq!(bindings.get("seaway-owner").await.unwrap().data["subjects"][0]["name"], "half");
    world.stop().await;
}

#[tokio::test]
async fn a_viewer_gets_nothing_by_the_name_of_somebody_before() {
    let world = World::start().await;
    let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(world.cluster());
    let namespace = |name: &str| {
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": format!("seaway-{name}"),
            "labels": {"seaway.dev/owner": name}}})
    };
    world.create(namespace("vera")).await;
    assert_eq!(create(&world, "vera", "viewer").await.status, 200);
    assert!(namespaces.get_opt("seaway-vera").await.unwrap().is_none(), "what was left is gone");

    world.create(namespace("walt")).await;
    environments(world.cluster(), "seaway-walt")
        .create(&PostParams::default(), &environment("old"))
        .await
        .unwrap();
    let left = create(&world, "walt", "viewer").await;
    assert_eq!(left.status, 409, "{left:?}");
    assert!(left.body["detail"].as_str().unwrap().contains("old"), "{left:?}");

    world
        .create(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "seaway-tools"}}))
        .await;
    let foreign = create(&world, "tools", "viewer").await;
    assert_eq!(foreign.status, 409, "{foreign:?}");
    assert!(namespaces.get_opt("seaway-tools").await.unwrap().is_some());
    world.stop().await;
}

#[tokio::test]
async fn a_name_is_free_once_the_namespace_of_the_one_before_is_gone() {
    let (world, _) = with("ada", "developer").await;
    let maps = kind(world.cluster(), "seaway-ada", "", "v1", "ConfigMap");
    let keep = serde_json::from_value(json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "keep", "finalizers": ["example.com/keep"]}}));
    maps.create(&PostParams::default(), &keep.unwrap()).await.unwrap();
    let deleted = world.act("admin", Method::DELETE, &format!("{ACCOUNTS}/ada"), &Value::Null).await;
    assert_eq!(deleted.status, 200, "{deleted:?}");
    for role in ["developer", "viewer"] {
        let early = create(&world, "ada", role).await;
        assert_eq!(early.status, 409, "{early:?}");
        assert!(early.body["detail"].as_str().unwrap().contains("still being deleted"), "{early:?}");
    }
    let free = kube::api::Patch::Merge(json!({"metadata": {"finalizers": null}}));
    maps.patch("keep", &Default::default(), &free).await.unwrap();
    world.until("the name is free", async || create(&world, "ada", "developer").await.status == 200).await;
    world.stop().await;
}

#[tokio::test]
async fn of_several_who_make_one_account_at_once_exactly_one_does_and_what_it_has_is_its_own() {
    let world = World::start().await;
    let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(world.cluster());
    for n in 0..5 {
        let name = format!("ada{n}");
        let roles = ["viewer", "developer", "viewer", "operator"];
        let answers = futures::future::join_all(roles.map(|role| create(&world, &name, role))).await;
        let made: Vec<&Answer> = answers.iter().filter(|answer| answer.status == 200).collect();
        assert_eq!(made.len(), 1, "{answers:?}");
        let found = namespaces.get_opt(&format!("seaway-{name}")).await.unwrap();
        assert_eq!(found.is_some(), made[0].body["account"]["role"] != "viewer", "{answers:?}");
    }
    world.stop().await;
}

#[tokio::test]
async fn an_account_is_deleted_with_its_namespace_and_sessions_once_no_environment_is_left() {
    let (world, cookie) = with("ada", "developer").await;
    let bearer = format!("Bearer {}", token(&world, "ada").await);
    let own = environments(world.as_person("ada", &["seaway:developers"]), "seaway-ada");
    own.create(&PostParams::default(), &environment("mine")).await.unwrap();
    let ada = format!("{ACCOUNTS}/ada");
    let link = code(&invite(&world, "ada").await);
    for _ in 0..2 {
        let refused = world.act("admin", Method::DELETE, &ada, &Value::Null).await;
        assert_eq!(refused.status, 409, "{refused:?}");
        let detail = refused.body["detail"].as_str().unwrap();
        assert!(detail.contains("locked") && detail.contains("mine"), "{refused:?}");
        let list = world.get("admin", ACCOUNTS).await;
        assert_eq!(list.body["items"][0]["state"], "locked", "{list:?}");
    }
    // Whatever there is left to delete, she is out.
    assert_eq!(asked(&world, &[("cookie", &cookie)]).await, 401);
    assert_eq!(asked(&world, &[("authorization", &bearer)]).await, 401);
    assert_eq!(login(&world, LOGIN, "ada", PASSWORD).await.status, 401);
    assert_eq!(join(&world, &link, OTHER).await.status, 403);
    assert_eq!(create(&world, "ada", "developer").await.status, 409, "the name is not free yet");

    own.delete("mine", &DeleteParams::default()).await.unwrap();
    world.until("it is gone", async || own.get_opt("mine").await.unwrap().is_none()).await;
    let deleted = world.act("admin", Method::DELETE, &ada, &Value::Null).await;
    assert_eq!(deleted.status, 200, "{deleted:?}");
    let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(world.cluster());
    world
        .until("the namespace goes", async || namespaces.get_opt("seaway-ada").await.unwrap().is_none())
        .await;
    assert_eq!(world.act("admin", Method::DELETE, &ada, &Value::Null).await.status, 404);
    // The name is free for somebody else, who gets nothing of hers.
    let code = code(&create(&world, "ada", "viewer").await);
    assert_eq!(asked(&world, &[("cookie", &cookie)]).await, 401);
    assert_eq!(join(&world, &code, OTHER).await.status, 200);
    world.stop().await;
}

#[tokio::test]
async fn the_links_that_an_administrator_has_made_end_with_his_account() {
    let (world, _) = with("ada", "admin").await;
    bind_admins(&world).await;
    let ben = code(&create(&world, "ben", "admin").await);
    assert_eq!(join(&world, &ben, PASSWORD).await.status, 200);
    let ben = token(&world, "ben").await;
    let made = |name: &str, role: &str| {
        let body = json!({"name": name, "role": role});
        let (world, ben) = (&world, &ben);
        async move { code(&bearing(world, ben, Method::POST, ACCOUNTS, &body).await) }
    };
    let (back_door, replaced) = (made("eve", "admin").await, made("vera", "viewer").await);
    let others = code(&invite(&world, "vera").await);
    let list = async || world.get("admin", ACCOUNTS).await.body["items"].as_array().unwrap().clone();
    let until = |list: &[Value], name: &str| {
        list.iter().find(|one| one["name"] == name).unwrap().get("invitedUntil").cloned()
    };
    let before = list().await;
    assert!(until(&before, "eve").is_some() && until(&before, "vera").is_some(), "{before:?}");
    assert!(until(&before, "ada").is_none(), "who has joined waits for nothing: {before:?}");

    let gone = world.act("admin", Method::DELETE, &format!("{ACCOUNTS}/ben"), &Value::Null).await;
    assert_eq!(gone.status, 200, "{gone:?}");
    let after = list().await;
    assert!(until(&after, "eve").is_none() && until(&after, "vera").is_some(), "{after:?}");
    for useless in [&back_door, &replaced] {
        assert_eq!(join(&world, useless, OTHER).await.status, 403);
    }
    assert_eq!(join(&world, &others, OTHER).await.status, 200, "somebody else has invited her since");
    // A link that is too old is none.
    assert_eq!(invite(&world, "eve").await.status, 200);
    world.later(72 * HOUR);
    assert!(until(&list().await, "eve").is_none());
    world.stop().await;
}

/// Lets administrators do everything, as `seaway up` does.
async fn bind_admins(world: &World) {
    const GROUP: &str = "rbac.authorization.k8s.io";
    world
        .create(json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": {"name": "administrators"},
            "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"apiGroup": GROUP, "kind": "Group", "name": seaway_server::ADMINS}]}))
        .await;
}

#[tokio::test]
async fn whoever_was_locked_out_comes_back_by_invitation_alone() {
    let (world, _) = with("ada", "developer").await;
    let own = environments(world.as_person("ada", &["seaway:developers"]), "seaway-ada");
    own.create(&PostParams::default(), &environment("mine")).await.unwrap();
    let refused = world.act("admin", Method::DELETE, &format!("{ACCOUNTS}/ada"), &Value::Null).await;
    assert_eq!(refused.status, 409, "{refused:?}");
    let state = async || world.get("admin", ACCOUNTS).await.body["items"][0]["state"].clone();
    let code = code(&invite(&world, "ada").await);
    assert_eq!(state().await, "invited");
    assert_eq!(join(&world, &code, OTHER).await.status, 200);
    assert_eq!(state().await, "active");
    world.stop().await;
}

#[tokio::test]
async fn somebody_can_always_add_people() {
    let (world, _) = with("ada", "admin").await;
    let delete = async |name: &str| {
        world.act("admin", Method::DELETE, &format!("{ACCOUNTS}/{name}"), &Value::Null).await.status
    };
    assert_eq!(delete("ada").await, 409, "the last one");
    let code = code(&create(&world, "ben", "admin").await);
    assert_eq!(delete("ada").await, 409, "who was only invited cannot log in yet");
    assert_eq!(join(&world, &code, PASSWORD).await.status, 200);
    assert_eq!(delete("ada").await, 200);
    assert_eq!(delete("ben").await, 409);
    world.stop().await;
}

#[tokio::test]
async fn who_logs_in_is_told_to_those_alone_who_may_list_accounts() {
    let (world, _) = with("ada", "developer").await;
    world.environment("seaway", "staging").await;
    let ada = format!("Bearer {}", token(&world, "ada").await);
    let open = async |bearer: &str| {
        let request = world.request(Method::GET, "/api/v1/events").header("authorization", bearer);
        world.stream(request.body(Full::default()).unwrap()).await
    };
    let (mut ada_hears, mut admin_hears) = (open(&ada).await, open("Bearer token-of-admin").await);
    assert_eq!(create(&world, "ben", "viewer").await.status, 200);
    let suspend = "/api/v1/environments/seaway/staging/suspend";
    assert_eq!(world.post("admin", suspend, Value::Null).await.status, 200);
    let told = read_until(&mut ada_hears, "environment.suspend").await;
    assert!(!told.contains("account.create"), "{told}");
    let told = read_until(&mut admin_hears, "environment.suspend").await;
    assert!(told.contains("account.create"), "{told}");
    drop((ada_hears, admin_hears));
    world.stop().await;
}

/// What a stream says, up to a text.
async fn read_until(stream: &mut hyper::body::Incoming, text: &str) -> String {
    use http_body_util::BodyExt;
    let mut all = String::new();
    let read = async {
        while !all.contains(text) {
            let frame = stream.frame().await.expect("it goes on").unwrap();
            all.push_str(&String::from_utf8_lossy(frame.data_ref().unwrap()));
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), read).await.expect("it is told");
    all
}

#[tokio::test]
async fn the_first_account_has_a_namespace_of_its_own_too() {
    let world = World::start().await;
    bind_admins(&world).await;
    let body = json!({"code": world.setup, "name": "jane", "password": PASSWORD});
    let made = send(&world, Method::POST, "/api/v1/setup", &[], &body).await;
    assert_eq!((made.status, &made.body["may"]["accounts"]), (200, &json!(true)), "{made:?}");
    let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(world.cluster());
    assert!(namespaces.get_opt("seaway-jane").await.unwrap().is_some());
    world.stop().await;
}

#[tokio::test]
async fn the_ledger_tells_who_added_whom_and_holds_no_code() {
    let (world, _) = with("ada", "developer").await;
    let ada = token(&world, "ada").await;
    let code = code(&invite(&world, "ada").await);
    join(&world, &"A".repeat(43), PASSWORD).await;
    bearing(&world, &ada, Method::POST, ACCOUNTS, &json!({"name": "eve", "role": "admin"})).await;
    bearing(&world, &ada, Method::DELETE, SESSION, &Value::Null).await;
    world.act("admin", Method::DELETE, &format!("{ACCOUNTS}/ada"), &Value::Null).await;
    let events = world.ledger.events(&EventFilter::default(), 100).await.unwrap().items;
    let about = events.iter().rev().filter(|event| event.object.starts_with("Account"));
    let told: Vec<_> = about.map(|e| (&*e.actor, &*e.action, &*e.object, &*e.outcome)).collect();
    assert_eq!(
        told,
        [
            ("admin", "account.create", "Account/ada", "requested"),
            ("admin", "account.create", "Account/ada", "succeeded"),
            ("ada", "session.join", "Account/ada", "requested"),
            ("ada", "session.join", "Account/ada", "succeeded"),
            ("ada", "session.login", "Account/ada", "succeeded"),
            ("ada", "session.token", "Account/ada", "succeeded"),
            ("admin", "account.invite", "Account/ada", "requested"),
            ("admin", "account.invite", "Account/ada", "succeeded"),
            ("system:anonymous", "session.join", "Account", "failed"),
            ("ada", "account.create", "Account/eve", "denied"),
            ("ada", "session.logout", "Account/ada", "succeeded"),
            ("admin", "account.delete", "Account/ada", "requested"),
            ("admin", "account.delete", "Account/ada", "succeeded"),
        ]
    );
    let all = serde_json::to_string(&events).unwrap();
    for secret in [&*code, PASSWORD, ada.strip_prefix("swy_s_").unwrap()] {
        assert!(!all.contains(secret), "{secret}");
    }
    let file = std::fs::read(world.accounts()).unwrap();
    assert!(!String::from_utf8_lossy(&file).contains(&code), "only its digest is stored");
    world.stop().await;
}
