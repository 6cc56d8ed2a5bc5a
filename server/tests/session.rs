//! Promises of logging in: through the real server, with a clock that the test moves.

#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeSet;

use http::Method;
use http::header::{COOKIE, SET_COOKIE};
use http_body_util::Full;
use kube::api::{Api, DynamicObject, PostParams};
use kube::core::GroupVersionKind;
use kube::discovery::ApiResource;
use seaway_ledger::EventFilter;
use serde_json::{Value, json};
use support::{Answer, World};

const LOGIN: &str = "/api/v1/login";
const SETUP: &str = "/api/v1/setup";
const SESSION: &str = "/api/v1/session";
const ENVIRONMENTS: &str = "/api/v1/environments";
const PASSWORD: &str = "correct horse battery";
const HOUR: i64 = 60 * 60;

/// Sends with these headers.
async fn send(world: &World, method: Method, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
    let mut request = world.request(method, path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = if body.is_null() { String::new() } else { body.to_string() };
    world.send(request.body(Full::from(body)).unwrap()).await
}

/// Name and value of the cookie that an answer sets.
fn cookie(answer: &Answer) -> String {
    let set = answer.headers[SET_COOKIE].to_str().unwrap();
    set.split(';').next().unwrap().to_owned()
}

async fn with(world: &World, cookie: &str, method: Method, path: &str) -> Answer {
    send(world, method, path, &[("cookie", cookie), ("x-seaway-csrf", "1")], &Value::Null).await
}

/// The status of asking who is asking.
async fn asked(world: &World, cookie: &str) -> u16 {
    with(world, cookie, Method::GET, SESSION).await.status
}

async fn login(world: &World, name: &str, password: &str) -> Answer {
    send(world, Method::POST, LOGIN, &[], &json!({"name": name, "password": password})).await
}

fn first(world: &World, name: &str) -> Value {
    json!({"code": world.setup.as_deref().unwrap(), "name": name, "password": PASSWORD})
}

/// A server with the account `jane`, who may do what the group of the first account is bound to.
async fn with_jane() -> (World, String) {
    let world = World::start().await;
    const GROUP: &str = "rbac.authorization.k8s.io";
    world
        .create(json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": "administrators"},
        "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"apiGroup": GROUP, "kind": "Group", "name": seaway_server::ADMINS}]}))
        .await;
    let made = send(&world, Method::POST, SETUP, &[], &first(&world, "jane")).await;
    assert_eq!(made.status, 200, "{made:?}");
    let cookie = cookie(&made);
    (world, cookie)
}

#[tokio::test]
async fn the_link_makes_the_first_account_once_and_kubernetes_says_what_it_may_do() {
    let world = World::start().await;
    let page = send(&world, Method::GET, LOGIN, &[], &Value::Null).await;
    assert_eq!(
        page.body,
        json!({"setup": true, "methods": ["password"], "version": env!("CARGO_PKG_VERSION")})
    );
    assert_eq!(login(&world, "jane", PASSWORD).await.status, 401, "there is nobody yet");

    let code = "A".repeat(43);
    let wrong = json!({"code": code, "name": "jane", "password": PASSWORD});
    let refused = send(&world, Method::POST, SETUP, &[], &wrong).await;
    assert_eq!((refused.status, &refused.body["type"]), (403, &json!("urn:seaway:problem:wrong-code")));
    for (name, password) in
        [("Jane", PASSWORD), ("system:admin", PASSWORD), ("kubernetes-admin", PASSWORD), ("jane", "short")]
    {
        let body = json!({"code": world.setup, "name": name, "password": password});
        let refused = send(&world, Method::POST, SETUP, &[], &body).await;
        assert_eq!(refused.status, 422, "{name}: {refused:?}");
    }

    let made = send(&world, Method::POST, SETUP, &[], &first(&world, "jane")).await;
    assert_eq!(made.status, 200, "{made:?}");
    assert_eq!((&made.body["user"], &made.body["method"]), (&json!("jane"), &json!("password")));
    assert_eq!(made.body["groups"], json!([seaway_server::ADMINS, "system:authenticated"]));
    assert_eq!(made.body["may"]["get"], false, "a group that is bound to nothing gives no rights");
    let cookie = cookie(&made);
    let again = send(&world, Method::POST, SETUP, &[], &first(&world, "john")).await;
    assert_eq!(again.status, 409, "{again:?}");
    let page = send(&world, Method::GET, LOGIN, &[], &Value::Null).await;
    assert_eq!(page.body["setup"], false);

    world.environment("seaway", "staging").await;
    let seen = with(&world, &cookie, Method::GET, ENVIRONMENTS).await;
    assert_eq!((seen.status, seen.body["items"].as_array().unwrap().len()), (200, 0));
    const GROUP: &str = "rbac.authorization.k8s.io";
    world
        .create(json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": "administrators"},
        "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"apiGroup": GROUP, "kind": "Group", "name": seaway_server::ADMINS}]}))
        .await;
    let bound = async || with(&world, &cookie, Method::GET, SESSION).await.body["may"]["delete"] == true;
    world.until("the binding counts", bound).await;
    let seen = with(&world, &cookie, Method::GET, ENVIRONMENTS).await;
    assert_eq!(seen.body["items"].as_array().unwrap().len(), 1);
    world.stop().await;
}

#[tokio::test]
async fn of_several_setups_at_once_exactly_one_wins() {
    let world = World::start().await;
    let names = ["ada", "ben", "cleo", "dan", "eve", "finn"];
    let attempts = names.map(|name| {
        let (world, body) = (&world, first(&world, name));
        async move { send(world, Method::POST, SETUP, &[], &body).await }
    });
    let answers = futures::future::join_all(attempts).await;
    let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409, 409, 409, 409, 409], "{answers:?}");
    let winner = answers.iter().find(|answer| answer.status == 200).unwrap();
    for name in names {
        let answer = login(&world, name, PASSWORD).await;
        assert_eq!(answer.status == 200, winner.body["user"] == name, "{name}: {answer:?}");
    }
    world.stop().await;
}

#[tokio::test]
async fn the_code_is_another_one_after_each_start() {
    let world = World::start().await;
    let old = first(&world, "jane");
    let world = world.restart(false).await;
    assert_eq!(send(&world, Method::POST, SETUP, &[], &old).await.status, 403);
    assert_eq!(send(&world, Method::POST, SETUP, &[], &first(&world, "jane")).await.status, 200);
    let world = world.restart(false).await;
    assert_eq!(world.setup, None, "there is an account");
    world.stop().await;
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_name_get_the_same_answer() {
    let (world, _) = with_jane().await;
    let right = login(&world, "jane", PASSWORD).await;
    assert_eq!((right.status, &right.body["user"]), (200, &json!("jane")));
    let wrong = login(&world, "jane", "correct horse batterz").await;
    assert_eq!((wrong.status, &wrong.body["type"]), (401, &json!("urn:seaway:problem:wrong-login")));
    assert!(wrong.headers.get(SET_COOKIE).is_none());
    // But for the id of the request.
    let same = |mut body: Value| {
        body["requestId"] = Value::Null;
        body
    };
    let long = "x".repeat(3000);
    for (name, password) in
        [("john", PASSWORD), ("", ""), ("Jane", PASSWORD), ("system:x", PASSWORD), ("jane", &long)]
    {
        let answer = login(&world, name, password).await;
        assert_eq!((answer.status, same(answer.body)), (401, same(wrong.body.clone())), "{name}");
    }
    world.stop().await;
}

#[tokio::test]
async fn the_cookie_is_kept_from_scripts_other_sites_and_plain_connections() {
    let (world, old) = with_jane().await;
    let plain = login(&world, "jane", PASSWORD).await;
    let set = plain.headers[SET_COOKIE].to_str().unwrap();
    assert!(set.starts_with("seaway_session="), "{set}");
    assert!(set.ends_with("; Path=/; Max-Age=604800; HttpOnly; SameSite=Strict"), "{set}");
    let world = world.restart(true).await;
    let secure = login(&world, "jane", PASSWORD).await;
    let set = secure.headers[SET_COOKIE].to_str().unwrap();
    assert!(set.starts_with("__Host-seaway="), "{set}");
    assert!(set.ends_with("; Path=/; Max-Age=604800; HttpOnly; SameSite=Strict; Secure"), "{set}");
    assert_eq!(asked(&world, &cookie(&secure)).await, 200);
    assert_eq!(asked(&world, &old).await, 401, "over https only the cookie counts that is bound to it");
    world.stop().await;
}

#[tokio::test]
async fn a_change_by_cookie_needs_a_header_that_other_sites_cannot_send() {
    let (world, cookie) = with_jane().await;
    world.environment("seaway", "staging").await;
    let suspend = "/api/v1/environments/seaway/staging/suspend";
    for headers in [&[("cookie", &*cookie)][..], &[("cookie", &cookie), ("x-seaway-csrf", "0")]] {
        for (method, path) in [(Method::POST, suspend), (Method::DELETE, SESSION)] {
            let refused = send(&world, method, path, headers, &Value::Null).await;
            assert_eq!(
                (refused.status, &refused.body["type"]),
                (403, &json!("urn:seaway:problem:csrf")),
                "{path}"
            );
        }
        assert_eq!(send(&world, Method::GET, SESSION, headers, &Value::Null).await.status, 200);
    }
    let done = with(&world, &cookie, Method::POST, suspend).await;
    assert_eq!(done.status, 200, "{done:?}");
    assert_eq!(world.post("admin", suspend, Value::Null).await.status, 200, "a token is not sent by itself");
    world.stop().await;
}

#[tokio::test]
async fn what_a_browser_marks_as_from_elsewhere_is_refused() {
    let (world, cookie) = with_jane().await;
    let from = async |method: Method, path: &str, header: (&str, &str)| {
        let body = json!({"name": "jane", "password": PASSWORD});
        let headers = [("cookie", &*cookie), ("x-seaway-csrf", "1"), header];
        send(&world, method, path, &headers, &body).await.status
    };
    let reads = ("sec-fetch-site", "same-origin");
    assert_eq!(from(Method::GET, ENVIRONMENTS, reads).await, 200);
    assert_eq!(from(Method::GET, ENVIRONMENTS, ("sec-fetch-site", "none")).await, 200);
    for site in ["cross-site", "same-site", ""] {
        for (method, path) in [
            (Method::GET, ENVIRONMENTS),
            (Method::DELETE, SESSION),
            (Method::POST, LOGIN),
            (Method::POST, SETUP),
        ] {
            assert_eq!(from(method, path, ("sec-fetch-site", site)).await, 403, "{site} {path}");
        }
    }
    let evil = ("origin", "http://evil.example");
    assert_eq!(from(Method::GET, ENVIRONMENTS, evil).await, 403);
    assert_eq!(from(Method::POST, LOGIN, evil).await, 403);
    let token = [("authorization", "Bearer token-of-admin"), ("sec-fetch-site", "cross-site")];
    let answer = send(&world, Method::GET, ENVIRONMENTS, &token, &Value::Null).await;
    assert_eq!(answer.status, 200, "who holds a token sends it on purpose");
    world.stop().await;
}

#[tokio::test]
async fn a_session_ends_at_logout() {
    let (world, cookie) = with_jane().await;
    let other = support_cookie(&login(&world, "jane", PASSWORD).await);
    let ended = with(&world, &cookie, Method::DELETE, SESSION).await;
    assert_eq!((ended.status, &ended.body), (200, &json!({})));
    assert_eq!(ended.headers[SET_COOKIE], "seaway_session=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict");
    assert_eq!(asked(&world, &cookie).await, 401);
    assert_eq!(with(&world, &cookie, Method::DELETE, SESSION).await.status, 401);
    assert_eq!(asked(&world, &other).await, 200, "another browser stays logged in");
    let token = world.act("admin", Method::DELETE, SESSION, &Value::Null).await;
    assert_eq!(token.status, 409, "{token:?}");
    world.stop().await;
}

fn support_cookie(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{answer:?}");
    cookie(answer)
}

#[tokio::test]
async fn a_session_ends_when_it_is_not_used_and_after_a_week() {
    let (world, cookie) = with_jane().await;
    let used = support_cookie(&login(&world, "jane", PASSWORD).await);
    world.later(11 * HOUR);
    assert_eq!(asked(&world, &used).await, 200);
    world.later(2 * HOUR);
    assert_eq!(asked(&world, &cookie).await, 401, "not used for 13 hours");
    for _ in 0..15 {
        assert_eq!(asked(&world, &used).await, 200);
        world.later(10 * HOUR);
    }
    world.later(5 * HOUR);
    assert_eq!(asked(&world, &used).await, 401, "a week after the login");
    world.stop().await;
}

#[tokio::test]
async fn the_secret_of_a_browsers_session_changes_each_hour_and_the_old_one_ends_soon() {
    let (world, old) = with_jane().await;
    world.later(HOUR - 60);
    let answer = with(&world, &old, Method::GET, SESSION).await;
    assert!(!answer.headers.contains_key(SET_COOKIE), "{answer:?}");
    world.later(60);
    let new = support_cookie(&with(&world, &old, Method::GET, SESSION).await);
    assert_ne!(old, new);
    // The answer may have been lost: until the new one is shown, the old one counts, and is not changed again.
    world.later(HOUR);
    let answer = with(&world, &old, Method::GET, SESSION).await;
    assert!(answer.status == 200 && !answer.headers.contains_key(SET_COOKIE), "{answer:?}");
    assert_eq!(with(&world, &new, Method::GET, "/api/v1/environments").await.status, 200);
    assert_eq!(asked(&world, &old).await, 200, "requests are under way with it");
    world.later(61);
    assert_eq!(asked(&world, &old).await, 401);
    // It goes on through a chain of them, and ends as a whole.
    let third = support_cookie(&with(&world, &new, Method::GET, SESSION).await);
    assert_eq!(with(&world, &new, Method::DELETE, SESSION).await.status, 200);
    assert_eq!((asked(&world, &new).await, asked(&world, &third).await), (401, 401));
    world.stop().await;
}

#[tokio::test]
async fn a_login_ends_the_session_that_the_browser_had() {
    let (world, old) = with_jane().await;
    let body = json!({"name": "jane", "password": PASSWORD});
    let new = support_cookie(&send(&world, Method::POST, LOGIN, &[("cookie", &old)], &body).await);
    assert_ne!(old, new);
    assert_eq!((asked(&world, &old).await, asked(&world, &new).await), (401, 200));
    // A value that somebody else chose does not become a session.
    let chosen = format!("seaway_session={}", "a".repeat(43));
    let new = support_cookie(&send(&world, Method::POST, LOGIN, &[("cookie", &chosen)], &body).await);
    assert_ne!(chosen, new);
    assert_eq!(asked(&world, &chosen).await, 401);
    world.stop().await;
}

#[tokio::test]
async fn an_account_has_so_many_sessions_and_the_one_longest_not_used_ends() {
    let (world, oldest) = with_jane().await;
    let mut cookies = Vec::new();
    for _ in 0..16 {
        world.later(1);
        cookies.push(support_cookie(&login(&world, "jane", PASSWORD).await));
    }
    assert_eq!(asked(&world, &oldest).await, 401);
    for cookie in &cookies {
        assert_eq!(asked(&world, cookie).await, 200);
    }
    world.stop().await;
}

#[tokio::test]
async fn a_session_survives_a_restart_and_counts_at_its_own_server_alone() {
    let (world, cookie) = with_jane().await;
    let world = world.restart(false).await;
    let answer = with(&world, &cookie, Method::GET, SESSION).await;
    assert_eq!((answer.status, &answer.body["user"]), (200, &json!("jane")), "{answer:?}");
    let (other, of_other) = with_jane().await;
    let refused = with(&world, &of_other, Method::GET, SESSION).await;
    assert_eq!((refused.status, &refused.body["type"]), (401, &json!("urn:seaway:problem:unauthorized")));
    let both = format!("{cookie}; {of_other}");
    assert_eq!(asked(&world, &both).await, 401, "of two cookies nobody knows which one is meant");
    other.stop().await;
    world.stop().await;
}

#[tokio::test]
async fn a_token_counts_before_a_cookie() {
    let (world, cookie) = with_jane().await;
    let both = |token: &'static str| [("cookie", cookie.clone()), ("authorization", token.to_owned())];
    for (token, status, user) in
        [("Bearer token-of-viewer", 200, json!("viewer")), ("Bearer x", 401, Value::Null)]
    {
        let headers = both(token);
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = send(&world, Method::GET, SESSION, &headers, &Value::Null).await;
        assert_eq!((answer.status, &answer.body["user"]), (status, &user));
    }
    let answer = world.get("viewer", SESSION).await;
    assert_eq!((&answer.body["method"], answer.body.get("expires")), (&json!("token"), None));
    world.stop().await;
}

#[tokio::test]
async fn guessing_becomes_slow_for_one_account_and_for_one_address() {
    let (world, _) = with_jane().await;
    let mut answers = Vec::new();
    for _ in 0..5 {
        answers.push(login(&world, "jane", "wrong").await.status);
    }
    assert_eq!(answers, [401; 5]);
    let slow = login(&world, "jane", PASSWORD).await;
    assert_eq!((slow.status, &slow.body["type"]), (429, &json!("urn:seaway:problem:too-many-requests")));
    assert_eq!(slow.headers["retry-after"], "1");
    world.later(1);
    assert_eq!(login(&world, "jane", "wrong").await.status, 401);
    assert_eq!(login(&world, "jane", PASSWORD).await.headers["retry-after"], "2");
    assert_eq!(login(&world, "john", "wrong").await.status, 401, "somebody else does not wait");
    world.later(2);
    assert_eq!(login(&world, "jane", PASSWORD).await.status, 200);
    assert_eq!(login(&world, "jane", "wrong").await.status, 401, "it begins anew");
    // Name after name from one address.
    let mut last = 401;
    for n in 0..20 {
        last = login(&world, &format!("guess-{n}"), "wrong").await.status;
    }
    assert_eq!(last, 429);
    world.stop().await;
}

#[tokio::test]
async fn many_guesses_at_once_are_no_more_than_one_after_the_other() {
    let (world, _) = with_jane().await;
    let guesses = (0..30).map(|_| login(&world, "jane", "wrong"));
    let answers = futures::future::join_all(guesses).await;
    let checked = answers.iter().filter(|answer| answer.status == 401).count();
    assert_eq!(checked, 5, "{answers:?}");
    world.stop().await;
}

#[tokio::test]
async fn codes_cannot_be_guessed_without_end() {
    let world = World::start().await;
    let guess = json!({"code": "A".repeat(43), "name": "jane", "password": PASSWORD});
    for _ in 0..10 {
        assert_eq!(send(&world, Method::POST, SETUP, &[], &guess).await.status, 403);
    }
    let slow = send(&world, Method::POST, SETUP, &[], &guess).await;
    assert_eq!((slow.status, slow.headers["retry-after"].to_str().unwrap()), (429, "1"));
    world.later(1);
    assert_eq!(send(&world, Method::POST, SETUP, &[], &first(&world, "jane")).await.status, 200);
    world.stop().await;
}

#[tokio::test]
async fn what_is_sent_is_limited_and_a_password_is_not_quoted() {
    let world = World::start().await;
    for (size, status) in [(5_000, 413), (100_000, 413), (3_000, 401)] {
        let answer = login(&world, "jane", &"x".repeat(size)).await;
        assert_eq!(answer.status, status, "{size}");
    }
    for path in [LOGIN, SETUP] {
        for bad in [
            json!("hunter2 hunter2"),
            json!({"name": "jane", "password": 4711}),
            json!({"hunter2": 1}),
            Value::Null,
        ] {
            let answer = send(&world, Method::POST, path, &[], &bad).await;
            assert_eq!(answer.status, 400, "{bad}");
            let text = answer.body.to_string();
            assert!(!text.contains("hunter2") && !text.contains("4711"), "{text}");
        }
    }
    let deep = "[".repeat(4_000);
    let request = world.request(Method::POST, LOGIN).body(Full::from(deep)).unwrap();
    assert_eq!(world.send(request).await.status, 400);
    let long = format!("seaway_session={}", "a".repeat(50_000));
    let request = world.request(Method::GET, SESSION).header(COOKIE, long).body(Full::default()).unwrap();
    assert_eq!(world.send(request).await.status, 401);
    world.stop().await;
}

#[tokio::test]
async fn the_ledger_tells_of_logins_and_holds_no_password() {
    let (world, cookie) = with_jane().await;
    login(&world, "jane", "wrong password").await;
    login(&world, "hunter2-hunter2", "wrong password").await;
    with(&world, &cookie, Method::DELETE, SESSION).await;
    let events = world.ledger.events(&EventFilter::default(), 100).await.unwrap().items;
    let own = events.iter().rev().filter(|event| event.action.starts_with("session."));
    let told: Vec<_> = own.map(|e| (&*e.actor, &*e.action, &*e.object, &*e.outcome)).collect();
    assert_eq!(
        told,
        [
            ("jane", "session.setup", "Account/jane", "succeeded"),
            ("jane", "session.login", "Account/jane", "succeeded"),
            ("system:anonymous", "session.login", "Account/jane", "failed"),
            ("system:anonymous", "session.login", "Account", "failed"),
            ("jane", "session.logout", "Account/jane", "succeeded"),
        ]
    );
    let all = serde_json::to_string(&events).unwrap();
    for secret in [PASSWORD, "wrong password", "hunter2", cookie.split('=').next_back().unwrap()] {
        assert!(!all.contains(secret), "{secret}");
    }
    assert!(all.contains("127.0.0.1"));
    world.stop().await;
}

#[tokio::test]
async fn events_end_with_the_session() {
    let (world, cookie) = with_jane().await;
    world.environment("seaway", "staging").await;
    let request = world.request(Method::GET, "/api/v1/events").header(COOKIE, &cookie);
    let mut stream = world.stream(request.body(Full::default()).unwrap()).await;
    with(&world, &cookie, Method::DELETE, SESSION).await;
    let suspend = "/api/v1/environments/seaway/staging/suspend";
    assert_eq!(world.post("admin", suspend, Value::Null).await.status, 200);
    let read = http_body_util::BodyExt::collect(&mut stream);
    let all = tokio::time::timeout(std::time::Duration::from_secs(30), read).await.expect("it ends").unwrap();
    let text = String::from_utf8_lossy(&all.to_bytes()).into_owned();
    assert!(!text.contains("environment.suspend"), "{text}");
    world.stop().await;
}

/// Whoever adds an endpoint that needs no login sees it here.
#[tokio::test]
async fn only_these_need_no_login() {
    let world = World::start().await;
    let document = seaway_server::document();
    let mut open = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let path = path.replace(['{', '}'], "");
            let method: Method = method.to_uppercase().parse().unwrap();
            let answer = send(&world, method.clone(), &path, &[], &Value::Null).await;
            let named = format!("{method} {path}");
            assert_eq!(
                answer.status != 401,
                operation["security"] == json!([{}]),
                "the document says it: {named}"
            );
            if answer.status != 401 {
                open.insert(named);
            }
        }
    }
    let expected = [
        "GET /api/v1/login",
        "GET /api/v1/oidc/callback",
        "GET /api/v1/oidc/login",
        "POST /api/v1/command-lines/token",
        "POST /api/v1/join",
        "POST /api/v1/login",
        "POST /api/v1/setup",
        "POST /api/v1/tokens",
        // Signed: see webhooks.rs.
        "POST /api/v1/webhooks",
    ];
    assert_eq!(open, expected.map(str::to_owned).into());
    world.stop().await;
}

/// Names of people are users in Kubernetes: they see no more than their bindings, whatever they are called.
#[tokio::test]
async fn who_logs_in_acts_in_kubernetes_under_his_own_name() {
    let (world, cookie) = with_jane().await;
    world.environment("seaway", "staging").await;
    let deleted = with(&world, &cookie, Method::DELETE, "/api/v1/environments/seaway/staging").await;
    assert_eq!(deleted.status, 200, "{deleted:?}");
    let filter = EventFilter { action: Some("environment.delete".into()), ..EventFilter::default() };
    let events = world.ledger.events(&filter, 10).await.unwrap().items;
    assert!(events.iter().any(|event| event.actor == "jane"), "{events:?}");
    let gvk = GroupVersionKind::gvk("authentication.k8s.io", "v1", "SelfSubjectReview");
    let reviews: Api<DynamicObject> = Api::all_with(world.as_server(), &ApiResource::from_gvk(&gvk));
    let asked = serde_json::from_value(json!({"metadata": {}})).unwrap();
    let answer = reviews.create(&PostParams::default(), &asked).await.unwrap();
    assert_eq!(
        answer.data["status"]["userInfo"]["username"], "server",
        "the account that serves is another one"
    );
    world.stop().await;
}
