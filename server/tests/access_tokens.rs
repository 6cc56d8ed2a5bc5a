//! Promises of personal access tokens: what they may be used for, until when, and that they are kept as digests.

#![allow(clippy::unwrap_used)]

mod support;

use http::Method;
use http::header::SET_COOKIE;
use http_body_util::{BodyExt, Full};
use jiff::{SignedDuration, Timestamp};
use seaway_ledger::EventFilter;
use serde_json::{Value, json};
use support::{Answer, World};

const TOKENS: &str = "/api/v1/access-tokens";
const ACCOUNTS: &str = "/api/v1/accounts";
const STAGING: &str = "/api/v1/environments/seaway/staging";
const PASSWORD: &str = "correct horse battery";
const DAY: i64 = 24 * 60 * 60;

async fn send(world: &World, method: Method, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
    let mut request = world.request(method, path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = if body.is_null() { String::new() } else { body.to_string() };
    world.send(request.body(Full::from(body)).unwrap()).await
}

/// A server with an environment, and the cookie of `ada`, who has this role.
async fn with_ada(role: &str) -> (World, String) {
    let world = World::start().await;
    for object in seaway_server::group_bindings() {
        world.create(object).await;
    }
    world.environment("seaway", "staging").await;
    let invited = world.post("admin", ACCOUNTS, json!({"name": "ada", "role": role})).await;
    let code = invited.body["link"].as_str().unwrap().strip_prefix("/join#").unwrap();
    let joined =
        send(&world, Method::POST, "/api/v1/join", &[], &json!({"code": code, "password": PASSWORD})).await;
    assert_eq!(joined.status, 200, "{joined:?}");
    let cookie = joined.headers[SET_COOKIE].to_str().unwrap().split(';').next().unwrap().to_owned();
    let sees = async || by(&world, &cookie, Method::GET, STAGING, &Value::Null).await.status == 200;
    world.until("her role counts", sees).await;
    (world, cookie)
}

async fn by(world: &World, cookie: &str, method: Method, path: &str, body: &Value) -> Answer {
    send(world, method, path, &[("cookie", cookie), ("x-seaway-csrf", "1")], body).await
}

fn in_days(days: i64) -> Timestamp {
    Timestamp::now() + SignedDuration::from_secs(days * DAY)
}

/// A token with these scopes, as it is sent.
async fn made(world: &World, cookie: &str, name: &str, scopes: &[&str]) -> (String, i64) {
    let asked = json!({"name": name, "scopes": scopes, "expires": in_days(30)});
    let made = by(world, cookie, Method::POST, TOKENS, &asked).await;
    assert_eq!(made.status, 200, "{made:?}");
    let token = made.body["token"].as_str().unwrap();
    assert!(token.starts_with("swy_p_"), "it can be found where it does not belong");
    (format!("Bearer {token}"), made.body["id"].as_i64().unwrap())
}

async fn bearing(world: &World, bearer: &str, method: Method, path: &str) -> u16 {
    send(world, method, path, &[("authorization", bearer)], &Value::Null).await.status
}

#[tokio::test]
async fn a_token_may_do_what_its_person_may_within_its_scopes() {
    let (world, cookie) = with_ada("operator").await;
    let (read, _) = made(&world, &cookie, "read", &[]).await;
    let (deploy, _) = made(&world, &cookie, "deploy", &["deploy"]).await;
    let (write, _) = made(&world, &cookie, "write", &["write"]).await;
    let suspend = format!("{STAGING}/suspend");
    let rollback = format!("{STAGING}/rollback");
    for (bearer, may_deploy, may_write) in
        [(&read, false, false), (&deploy, true, false), (&write, false, true)]
    {
        assert_eq!(bearing(&world, bearer, Method::GET, STAGING).await, 200);
        assert_eq!(bearing(&world, bearer, Method::POST, &rollback).await != 403, may_deploy);
        assert_eq!(bearing(&world, bearer, Method::POST, &suspend).await != 403, may_write);
    }
    let path = format!("{STAGING}/rights");
    let rights = send(&world, Method::GET, &path, &[("authorization", &deploy)], &Value::Null).await;
    assert_eq!(
        rights.body,
        json!({"sync": true, "rollback": true, "hold": true, "update": false, "delete": false})
    );
    // No scope gives what the person has not.
    let (accounts, _) = made(&world, &cookie, "accounts", &["accounts"]).await;
    assert_eq!(bearing(&world, &accounts, Method::GET, ACCOUNTS).await, 403);
    let session =
        send(&world, Method::GET, "/api/v1/session", &[("authorization", &read)], &Value::Null).await;
    assert_eq!((&session.body["user"], &session.body["method"]), (&json!("ada"), &json!("token")));
    world.stop().await;
}

#[tokio::test]
async fn a_token_makes_sees_and_ends_no_tokens_and_is_no_cookie() {
    let (world, cookie) = with_ada("operator").await;
    let (token, id) = made(&world, &cookie, "ci", &["write", "accounts", "audit", "deploy"]).await;
    let asked = json!({"name": "more", "expires": in_days(1)});
    let made = send(&world, Method::POST, TOKENS, &[("authorization", &token)], &asked).await;
    assert_eq!(made.status, 403, "{made:?}");
    assert_eq!(bearing(&world, &token, Method::GET, TOKENS).await, 403);
    assert_eq!(bearing(&world, &token, Method::DELETE, &format!("{TOKENS}/{id}")).await, 403);
    assert_eq!(bearing(&world, &token, Method::DELETE, "/api/v1/session").await, 409);
    let secret = token.strip_prefix("Bearer swy_p_").unwrap();
    for cookie in [format!("seaway_session={secret}"), format!("seaway_session=swy_p_{secret}")] {
        assert_eq!(by(&world, &cookie, Method::GET, STAGING, &Value::Null).await.status, 401);
    }
    for other in [format!("Bearer swy_s_{secret}"), format!("Bearer {secret}")] {
        assert_eq!(
            bearing(&world, &other, Method::GET, "/api/v1/session").await,
            401,
            "it is none of a session"
        );
    }
    // A token of Kubernetes has no account here.
    assert_eq!(world.get("admin", TOKENS).await.status, 403);
    world.stop().await;
}

#[tokio::test]
async fn a_token_made_by_cookie_needs_the_header_that_other_sites_cannot_send() {
    let (world, cookie) = with_ada("viewer").await;
    let asked = json!({"name": "ci", "expires": in_days(1)});
    let forged = send(&world, Method::POST, TOKENS, &[("cookie", &cookie)], &asked).await;
    assert_eq!((forged.status, &forged.body["type"]), (403, &json!("urn:seaway:problem:csrf")));
    let elsewhere = [("cookie", cookie.as_str()), ("x-seaway-csrf", "1"), ("sec-fetch-site", "cross-site")];
    assert_eq!(send(&world, Method::POST, TOKENS, &elsewhere, &asked).await.status, 403);
    world.stop().await;
}

#[tokio::test]
async fn a_token_ends_in_time_when_it_is_revoked_and_with_its_account() {
    let (world, cookie) = with_ada("viewer").await;
    let (token, id) = made(&world, &cookie, "ci", &[]).await;
    let (other, _) = made(&world, &cookie, "other", &[]).await;
    let list = by(&world, &cookie, Method::GET, TOKENS, &Value::Null).await.body;
    assert_eq!((&list["items"][0]["name"], &list["items"][0]["scopes"]), (&json!("ci"), &json!(["read"])));
    assert_eq!(list["items"][0].get("used"), None);
    assert_eq!(bearing(&world, &token, Method::GET, STAGING).await, 200);
    let list = by(&world, &cookie, Method::GET, TOKENS, &Value::Null).await.body;
    assert!(list["items"][0]["used"].is_string(), "{list}");

    // Another person's number is nobody's.
    let missing = by(&world, &cookie, Method::DELETE, &format!("{TOKENS}/999"), &Value::Null).await;
    assert_eq!(missing.status, 404);
    let path = format!("{TOKENS}/{id}");
    assert_eq!(by(&world, &cookie, Method::DELETE, &path, &Value::Null).await.status, 200);
    assert_eq!(bearing(&world, &token, Method::GET, STAGING).await, 401);
    assert_eq!(bearing(&world, &other, Method::GET, STAGING).await, 200);

    // It outlives the session that made it, and not the account.
    assert_eq!(by(&world, &cookie, Method::DELETE, "/api/v1/session", &Value::Null).await.status, 200);
    assert_eq!(bearing(&world, &other, Method::GET, STAGING).await, 200);
    world.later(31 * DAY);
    assert_eq!(bearing(&world, &other, Method::GET, STAGING).await, 401, "its time is over");
    world.later(-31 * DAY);
    let gone = world.act("admin", Method::DELETE, &format!("{ACCOUNTS}/ada"), &Value::Null).await;
    assert_eq!(gone.status, 200, "{gone:?}");
    assert_eq!(bearing(&world, &other, Method::GET, STAGING).await, 401);
    world.stop().await;
}

#[tokio::test]
async fn what_somebody_watches_with_a_token_ends_with_it() {
    let (world, cookie) = with_ada("viewer").await;
    let (token, id) = made(&world, &cookie, "ci", &[]).await;
    let request = world.request(Method::GET, "/api/v1/events").header("authorization", &token);
    let stream = world.stream(request.body(Full::default()).unwrap()).await;
    let path = format!("{TOKENS}/{id}");
    assert_eq!(by(&world, &cookie, Method::DELETE, &path, &Value::Null).await.status, 200);
    // The revocation is an event: what is told next is not told to that token.
    let rest = tokio::time::timeout(std::time::Duration::from_secs(30), stream.collect()).await;
    let rest = String::from_utf8(rest.expect("it ends").unwrap().to_bytes().to_vec()).unwrap();
    assert!(!rest.contains("token.revoke"), "{rest}");
    world.stop().await;
}

#[tokio::test]
async fn a_token_that_is_asked_for_wrongly_is_refused() {
    let (world, cookie) = with_ada("viewer").await;
    for (asked, status) in [
        (json!({"name": "", "expires": in_days(1)}), 422),
        (json!({"name": "a".repeat(65), "expires": in_days(1)}), 422),
        (json!({"name": "a\nb", "expires": in_days(1)}), 422),
        (json!({"name": "ci", "expires": in_days(-1)}), 422),
        (json!({"name": "ci", "expires": in_days(400)}), 422),
        (json!({"name": "ci", "expires": "tomorrow"}), 400),
        (json!({"name": "ci", "expires": in_days(1), "scopes": ["everything"]}), 400),
        (json!({"name": "ci", "expires": in_days(1), "more": 1}), 400),
        (json!({"name": "ci"}), 400),
    ] {
        let refused = by(&world, &cookie, Method::POST, TOKENS, &asked).await;
        assert_eq!(refused.status, status, "{asked}: {refused:?}");
    }
    made(&world, &cookie, "ci", &[]).await;
    let again = json!({"name": "ci", "expires": in_days(1)});
    assert_eq!(by(&world, &cookie, Method::POST, TOKENS, &again).await.status, 409);
    for number in 1..32 {
        made(&world, &cookie, &format!("token {number}"), &[]).await;
    }
    let many = json!({"name": "one more", "expires": in_days(1)});
    assert_eq!(by(&world, &cookie, Method::POST, TOKENS, &many).await.status, 409);
    world.stop().await;
}

#[tokio::test]
async fn neither_the_file_nor_the_ledger_holds_a_token() {
    let (world, cookie) = with_ada("viewer").await;
    let (token, _) = made(&world, &cookie, "ci", &[]).await;
    let secret = token.strip_prefix("Bearer swy_p_").unwrap();
    let filter = EventFilter { action: Some("account.token.create".into()), ..EventFilter::default() };
    let events = world.ledger.events(&filter, 10).await.unwrap().items;
    assert_eq!((events[0].actor.as_str(), events[0].object.as_str()), ("ada", "Account/ada"));
    assert_eq!(events[0].detail["name"], "ci");
    let file = world.accounts();
    for name in ["accounts.db", "accounts.db-wal"] {
        let bytes = std::fs::read(file.with_file_name(name)).unwrap();
        assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()), "{name}");
    }
    world.stop().await;
}
