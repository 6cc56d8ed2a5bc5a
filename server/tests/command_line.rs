//! Logging in a command line through a browser: with the code that the page got and the secret that nobody else has.

#![allow(clippy::unwrap_used)]

mod support;

use http::Method;
use http_body_util::Full;
use serde_json::{Value, json};
use support::{Answer, World};

const ADMIT: &str = "/api/v1/command-lines";
const REDEEM: &str = "/api/v1/command-lines/token";
/// RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const PASSWORD: &str = "correct horse battery";

async fn send(world: &World, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
    let mut request = world.request(Method::POST, path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    world.send(request.body(Full::from(body.to_string())).unwrap()).await
}

/// A server with the first account, and the cookie of its browser.
async fn with_browser() -> (World, String) {
    let world = World::start().await;
    let code = world.setup.clone().unwrap();
    let made =
        send(&world, "/api/v1/setup", &[], &json!({"code": code, "name": "ada", "password": PASSWORD})).await;
    assert_eq!(made.status, 200, "{made:?}");
    let cookie = made.headers["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    (world, cookie)
}

async fn admit(world: &World, cookie: &str) -> String {
    let headers = [("cookie", cookie), ("x-seaway-csrf", "1")];
    let answer = send(world, ADMIT, &headers, &json!({"challenge": CHALLENGE})).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body["code"].as_str().unwrap().to_owned()
}

async fn redeem(world: &World, code: &str, verifier: &str) -> Answer {
    send(world, REDEEM, &[], &json!({"code": code, "verifier": verifier})).await
}

#[tokio::test]
async fn who_has_code_and_secret_acts_as_the_person_and_the_code_is_good_once() {
    let (world, cookie) = with_browser().await;
    let code = admit(&world, &cookie).await;
    let token = redeem(&world, &code, VERIFIER).await;
    assert_eq!((token.status, &token.body["user"]), (200, &json!("ada")), "{token:?}");
    let bearer = format!("Bearer {}", token.body["token"].as_str().unwrap());
    let asked = world.request(Method::GET, "/api/v1/session").header("authorization", &bearer);
    let session = world.send(asked.body(Full::default()).unwrap()).await;
    assert_eq!((session.status, &session.body["user"]), (200, &json!("ada")), "{session:?}");
    assert_eq!(redeem(&world, &code, VERIFIER).await.status, 403, "once");

    let filter = seaway_ledger::EventFilter { actor: Some("ada".into()), ..Default::default() };
    let events = world.ledger.events(&filter, 10).await.unwrap().items;
    let actions: Vec<_> = events.iter().map(|event| event.action.as_str()).collect();
    assert!(actions.iter().any(|action| action.ends_with("admit")), "{actions:?}");
    assert!(!serde_json::to_string(&events).unwrap().contains(&code), "the code is in no event");
    world.stop().await;
}

#[tokio::test]
async fn a_code_without_its_secret_is_spent_and_opens_nothing() {
    let (world, cookie) = with_browser().await;
    for wrong in ["", "short", &VERIFIER.replace('d', "e"), &"x".repeat(129)] {
        let code = admit(&world, &cookie).await;
        assert_eq!(redeem(&world, &code, wrong).await.status, 403, "{wrong}");
        assert_eq!(redeem(&world, &code, VERIFIER).await.status, 403, "whoever guessed has used it up");
    }
    assert_eq!(redeem(&world, "no code at all", VERIFIER).await.status, 403);
    world.stop().await;
}

#[tokio::test]
async fn a_code_ends_with_its_time_and_with_the_session_that_let_it_in() {
    let (world, cookie) = with_browser().await;
    let code = admit(&world, &cookie).await;
    world.later(5 * 60);
    assert_eq!(redeem(&world, &code, VERIFIER).await.status, 403);
    let code = admit(&world, &cookie).await;
    let logout = world
        .request(Method::DELETE, "/api/v1/session")
        .header("cookie", &cookie)
        .header("x-seaway-csrf", "1");
    assert_eq!(world.send(logout.body(Full::default()).unwrap()).await.status, 200);
    assert_eq!(redeem(&world, &code, VERIFIER).await.status, 403);
    world.stop().await;
}

#[tokio::test]
async fn only_a_browser_lets_in_and_no_other_site_makes_it() {
    let (world, cookie) = with_browser().await;
    let body = json!({"challenge": CHALLENGE});
    let cookie = ("cookie", cookie.as_str());
    let csrf = ("x-seaway-csrf", "1");
    for (headers, status) in [
        (&[][..], 401),
        (&[cookie], 403),
        (&[cookie, csrf, ("sec-fetch-site", "cross-site")], 403),
        (&[cookie, csrf, ("origin", "https://evil.example")], 403),
        (&[("authorization", "Bearer token-of-admin")], 403),
        (&[cookie, csrf], 200),
    ] {
        let answer = send(&world, ADMIT, headers, &body).await;
        assert_eq!(answer.status, status, "{headers:?}: {answer:?}");
    }
    // A session of a command line is none of a browser: it lets in no further one.
    let token = send(&world, "/api/v1/tokens", &[], &json!({"name": "ada", "password": PASSWORD})).await;
    let bearer = format!("Bearer {}", token.body["token"].as_str().unwrap());
    assert_eq!(send(&world, ADMIT, &[("authorization", &bearer)], &body).await.status, 403);
    for bad in [json!({"challenge": "short"}), json!({"challenge": "!".repeat(43)}), json!({}), json!([])] {
        assert_eq!(send(&world, ADMIT, &[cookie, csrf], &bad).await.status, 400, "{bad}");
    }
    assert_eq!(send(&world, REDEEM, &[("sec-fetch-site", "cross-site")], &json!({})).await.status, 403);
    world.stop().await;
}
