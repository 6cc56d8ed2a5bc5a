//! Promises of the HTTP API, on the embedded Kubernetes API and a real repository.

#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use futures::StreamExt;
use http::Method;
use http_body_util::{BodyExt, Full};
use kube::api::{Api, PostParams};
use seaway_ledger::{EventFilter, NewEvent};
use seaway_server::{BearerToken, PROBLEM_MEDIA_TYPE};
use serde_json::{Value, json};
use support::{World, binding};

const STAGING: &str = "/api/v1/environments/seaway/staging";

fn names(body: &Value) -> Vec<String> {
    let text = |one: &Value, field: &str| one[field].as_str().unwrap().to_owned();
    let items = body["items"].as_array().unwrap().iter();
    items.map(|one| format!("{}/{}", text(one, "namespace"), text(one, "name"))).collect()
}

#[tokio::test]
async fn a_stranger_is_told_to_say_who_he_is() {
    let world = World::start().await;
    for authorization in
        [None, Some("Bearer guessed"), Some("Basic dG9rZW4="), Some("Bearer "), Some("token-of-admin")]
    {
        for path in ["/api/v1/environments", STAGING, "/api/v1/events"] {
            let mut request = world.request(Method::GET, path);
            if let Some(authorization) = authorization {
                request = request.header("authorization", authorization);
            }
            let answer = world.send(request.body(Full::default()).unwrap()).await;
            assert_eq!(answer.status, 401, "{authorization:?} {path}");
            assert_eq!(answer.headers["content-type"], PROBLEM_MEDIA_TYPE);
            assert!(answer.headers["www-authenticate"].to_str().unwrap().starts_with("Bearer"));
            assert_eq!(answer.body["type"], "urn:seaway:problem:unauthorized");
        }
    }
    world.stop().await;
}

#[tokio::test]
async fn tokens_of_kubernetes_are_checked_by_kubernetes() {
    use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
    use k8s_openapi::api::core::v1::ServiceAccount;
    let world = World::start().await;
    let accounts: Api<ServiceAccount> = Api::namespaced(world.cluster(), "seaway");
    let account = serde_json::from_value(json!({"metadata": {"name": "ci"}})).unwrap();
    accounts.create(&PostParams::default(), &account).await.unwrap();
    let request = TokenRequest { spec: Some(TokenRequestSpec::default()), ..TokenRequest::default() };
    let token = accounts.create_token_request("ci", &PostParams::default(), &request).await.unwrap();
    let token = token.status.unwrap().token.unwrap();
    drop(accounts);
    let authenticate = seaway_server::token_review(world.as_server());
    let who = async |token: &str| authenticate(BearerToken::new(token)).await.unwrap().map(|who| who.name);
    assert_eq!(who(&token).await.as_deref(), Some("system:serviceaccount:seaway:ci"));
    assert_eq!(who(&format!("{token}x")).await, None);
    drop(authenticate);
    world.stop().await;
}

#[tokio::test]
async fn kubernetes_rbac_decides_who_may_do_what() {
    let world = World::start().await;
    world.environment("seaway", "staging").await;
    let post = |action: &str| (Method::POST, format!("{STAGING}/{action}"));
    let get = |rest: &str| (Method::GET, format!("{STAGING}{rest}"));
    // What may be done, by the first role that may.
    let asked = [
        (get(""), "viewer"),
        (get("/plan"), "viewer"),
        (get("/history"), "viewer"),
        (post("sync"), "developer"),
        (post("rollback"), "developer"),
        (post("hold"), "developer"),
        (post("suspend"), "operator"),
        (post("resume"), "operator"),
        ((Method::DELETE, STAGING.to_owned()), "operator"),
    ];
    let people = ["nobody", "viewer", "developer", "operator"];
    for ((method, path), first) in asked {
        let first = people.iter().position(|person| *person == first).unwrap();
        for (rank, person) in people.iter().enumerate() {
            let answer = world.act(person, method.clone(), &path, &Value::Null).await;
            assert_eq!(answer.status == 403, rank < first, "{person} {method} {path}: {answer:?}");
            assert_ne!(answer.status, 401);
            if rank < first {
                let detail = answer.body["detail"].as_str().unwrap();
                assert!(detail.contains(&format!("User \"{person}\" cannot")), "{detail}");
            }
        }
    }
    // What was refused is kept, with who asked.
    let filter = EventFilter { action: Some("environment.delete".into()), ..EventFilter::default() };
    let events = world.ledger.events(&filter, 10).await.unwrap().items;
    let people = events.iter().rev().filter(|event| event.actor != "seaway");
    let told: Vec<_> = people.map(|e| (e.actor.as_str(), e.outcome.as_str())).collect();
    assert_eq!(
        told,
        [("nobody", "denied"), ("viewer", "denied"), ("developer", "denied"), ("operator", "requested")]
    );
    assert!(events.iter().all(|event| event.object == "Environment/seaway/staging"));
    world.stop().await;
}

#[tokio::test]
async fn who_has_no_rights_does_not_learn_what_there_is() {
    let world = World::start().await;
    world.environment("seaway", "staging").await;
    let there = world.get("nobody", STAGING).await;
    let not_there = world.get("nobody", "/api/v1/environments/seaway/missing").await;
    assert_eq!((there.status, not_there.status), (403, 403));
    assert_eq!(names(&world.get("nobody", "/api/v1/environments").await.body), [""; 0]);
    let missing = world.get("viewer", "/api/v1/environments/seaway/missing").await;
    assert_eq!(missing.status, 404);
    assert_eq!(missing.body["type"], "urn:seaway:problem:not-found");
    world.stop().await;
}

#[tokio::test]
async fn a_page_holds_what_one_may_see_and_asks_for() {
    let world = World::start().await;
    for namespace in ["seaway-anna", "seaway-ben"] {
        world.create(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})).await;
    }
    for (namespace, name) in
        [("seaway", "staging"), ("seaway", "production"), ("seaway-anna", "copy"), ("seaway-ben", "copy")]
    {
        world.environment(namespace, name).await;
    }
    world.create(binding("viewer", "seaway-ben")).await;
    let list = async |who: &str, query: &str| {
        let answer = world.get(who, &format!("/api/v1/environments?{query}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    };
    let all = ["seaway/production", "seaway/staging", "seaway-anna/copy", "seaway-ben/copy"];
    assert_eq!(names(&list("admin", "").await), all);
    assert_eq!(names(&list("viewer", "").await), [all[0], all[1], all[3]]);
    // Page after page, without those that one may not see.
    let mut seen = Vec::new();
    let mut query = "limit=2".to_owned();
    loop {
        let page = list("viewer", &query).await;
        seen.extend(names(&page));
        let Some(next) = page["continue"].as_str() else { break };
        query = format!("limit=2&continue={next}");
    }
    assert_eq!(seen, [all[0], all[1], all[3]]);
    for (query, expected) in [
        ("namespace=seaway", &all[..2]),
        ("name=copy", &all[2..]),
        ("stack=other", &[][..]),
        ("class=staging&search=PROD", &all[..1]),
        ("class=STAGING&search=PROD", &all[..1]),
        ("sync=Synced", &[]),
        ("health=degraded&sync=synced", &[]),
    ] {
        assert_eq!(names(&list("admin", query).await), expected, "{query}");
    }
    // A window of a long list, and how long that is.
    let window = list("admin", "offset=1&limit=2").await;
    assert_eq!(
        (names(&window), &window["total"]),
        (all[1..3].iter().map(ToString::to_string).collect(), &json!(4))
    );
    assert_eq!(list("admin", "offset=9").await["total"], 4);
    assert_eq!(list("viewer", "limit=1").await["total"], 3, "of those that one may see");
    for bad in ["limit=0", "limit=x", "continue=!", "unknown=1"] {
        let answer = world.get("admin", &format!("/api/v1/environments?{bad}")).await;
        assert_eq!(
            (answer.status, answer.headers["content-type"].to_str().unwrap()),
            (400, PROBLEM_MEDIA_TYPE),
            "{bad}"
        );
    }
    for field in ["class", "sync", "health"] {
        let answer = world.get("admin", &format!("/api/v1/environments?{field}=bogus")).await;
        let said = answer.body["detail"].as_str().unwrap();
        let expected = format!("{field}: \"bogus\" is none of ");
        assert!(answer.status == 400 && said.starts_with(&expected), "{said}");
    }
    world.stop().await;
}

#[tokio::test]
async fn other_sites_and_other_names_are_refused_before_anything_else() {
    let world = World::start().await;
    let asked = async |header: &str, value: &str| {
        let request = world.request(Method::POST, &format!("{STAGING}/sync")).header(header, value);
        let request = request.header("authorization", "Bearer token-of-admin");
        world.send(request.body(Full::default()).unwrap()).await
    };
    let evil = asked("origin", "http://evil.example").await;
    assert_eq!((evil.status, &evil.body["type"]), (403, &json!("urn:seaway:problem:wrong-origin")));
    let rebound = asked("host", "evil.example").await;
    assert_eq!((rebound.status, &rebound.body["type"]), (421, &json!("urn:seaway:problem:wrong-host")));
    let own = asked("origin", &format!("http://{}", world.server.address())).await;
    assert_eq!(own.status, 404, "it goes through, and there is no such environment: {own:?}");
    world.stop().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_said() {
    let world = World::start().await;
    world.environment("seaway", "staging").await;
    let path = format!("{STAGING}/rollback");
    let unknown = world.post("developer", &path, json!({"too": "x"})).await;
    assert_eq!(unknown.status, 400);
    assert!(unknown.body["detail"].as_str().unwrap().contains("too"), "{unknown:?}");
    let large = world.post("developer", &path, json!({"to": "x".repeat(100_000)})).await;
    assert_eq!(large.status, 413, "{large:?}");
    let never = world.post("developer", &path, Value::Null).await;
    assert_eq!(never.status, 409);
    assert!(never.body["detail"].as_str().unwrap().contains("never been synced"), "{never:?}");
    assert_eq!(world.get("admin", "/api/v1/nothing").await.body["type"], "urn:seaway:problem:not-found");
    let method = world.act("admin", Method::PUT, "/api/v1/environments", &Value::Null).await;
    assert_eq!((method.status, &method.body["type"]), (405, &json!("urn:seaway:problem:method-not-allowed")));
    let odd = world.get("admin", "/api/v1/environments/seaway/..%2Fx").await;
    assert_eq!(odd.status, 400, "{odd:?}");
    let plan = world.get("viewer", &format!("{STAGING}/plan")).await;
    assert_eq!(plan.status, 422);
    assert!(plan.body["detail"].as_str().unwrap().contains("Stack \"shop\""), "{plan:?}");
    world.stop().await;
}

#[tokio::test]
async fn a_person_deploys_looks_ahead_and_goes_back() {
    let world = World::start().await;
    let repository = world.deployed().await;
    // Nothing happens by itself here: automatic sync is off.
    let first = world.post("developer", &format!("{STAGING}/sync"), Value::Null).await;
    assert_eq!(first.status, 200, "{first:?}");
    assert_eq!(
        (&first.body["running"], &first.body["record"]["outcome"]),
        (&json!(false), &json!("succeeded"))
    );
    assert_eq!(first.body["record"]["actor"], "developer");
    assert_eq!(world.value().await.as_deref(), Some("1"));
    let shown = world.get("viewer", STAGING).await.body;
    assert_eq!((&shown["sync"], &shown["health"]), (&json!("Synced"), &json!("Healthy")), "{shown}");

    // A branch is looked at, and nothing changes.
    repository.commit("change", "2");
    let empty = world.get("viewer", &format!("{STAGING}/plan?revision=")).await;
    assert!(empty.status == 400 && empty.body["detail"].as_str().unwrap().starts_with("revision:"));
    let plan = world.get("viewer", &format!("{STAGING}/plan?revision=change")).await.body;
    let changed = &plan["objects"][0];
    assert_eq!(changed["action"], "change", "{plan}");
    assert_eq!((&changed["fields"][0]["from"], &changed["fields"][0]["to"]), (&json!("1"), &json!("2")));
    assert_eq!(world.value().await.as_deref(), Some("1"));

    repository.commit("main", "3");
    let second = world.post("developer", &format!("{STAGING}/sync"), json!({})).await.body;
    assert_eq!(second["record"]["outcome"], "succeeded");
    assert_eq!(world.value().await.as_deref(), Some("3"));
    let history = world.get("viewer", &format!("{STAGING}/history?limit=1")).await.body;
    assert_eq!(history["items"][0]["id"], second["record"]["id"]);
    let older =
        world.get("viewer", &format!("{STAGING}/history?continue={}", history["continue"])).await.body;
    assert_eq!(older["items"][0]["id"], first.body["record"]["id"]);
    assert_eq!(older.get("continue"), None);

    let back = world.post("developer", &format!("{STAGING}/rollback"), json!({"reason": "slow"})).await;
    assert_eq!(back.status, 200, "{back:?}");
    let hold = &back.body["holds"][0];
    assert_eq!(
        (&hold["release"], &hold["instead"]),
        (&second["record"]["release"], &first.body["record"]["release"])
    );
    assert_eq!((&hold["actor"], &hold["reason"]), (&json!("developer"), &json!("slow")));
    world
        .until("the old value is back", async || {
            world.post("developer", &format!("{STAGING}/sync"), Value::Null).await;
            world.value().await.as_deref() == Some("1")
        })
        .await;
    let lifted = world.post("developer", &format!("{STAGING}/hold"), json!({"lift": true})).await.body;
    assert_eq!(lifted["holds"][0]["release"], hold["release"]);

    assert_eq!(world.post("operator", &format!("{STAGING}/suspend"), Value::Null).await.status, 200);
    let suspended = async || world.get("viewer", STAGING).await.body["suspended"] == true;
    world.until("it is suspended", suspended).await;
    assert_eq!(world.post("operator", &format!("{STAGING}/resume"), Value::Null).await.status, 200);
    world.until("it goes on", async || !suspended().await).await;

    assert_eq!(world.act("operator", Method::DELETE, STAGING, &Value::Null).await.status, 200);
    world.until("it is gone", async || world.get("viewer", STAGING).await.status == 404).await;
    assert_eq!(world.value().await, None, "what it deployed goes with it");
    world.stop().await;
}

/// An open stream of the events of environments named `staging`.
struct Events {
    stream: http_body_util::BodyDataStream<hyper::body::Incoming>,
    text: String,
}

impl Events {
    async fn open(world: &World, who: &str, last: Option<i64>) -> Self {
        let mut request = world.request(Method::GET, "/api/v1/events?name=staging");
        request = request.header("authorization", format!("Bearer token-of-{who}"));
        if let Some(last) = last {
            request = request.header("last-event-id", last.to_string());
        }
        let stream = world.stream(request.body(Full::default()).unwrap()).await.into_data_stream();
        let mut events = Self { stream, text: String::new() };
        events.until("connected").await;
        events
    }

    /// Reads until this text has come, and returns everything since the beginning.
    async fn until(&mut self, text: &str) -> &str {
        let reading = async {
            while !self.text.contains(text) {
                let bytes = self.stream.next().await.unwrap().unwrap();
                self.text.push_str(&String::from_utf8_lossy(&bytes));
            }
        };
        let read = tokio::time::timeout(Duration::from_secs(30), reading).await;
        assert!(read.is_ok(), "no {text:?} after {}", self.text);
        &self.text
    }
}

#[tokio::test]
async fn who_comes_back_misses_no_event_and_sees_what_goes_on() {
    let world = World::start().await;
    world.deployed().await;
    let mut live = Events::open(&world, "viewer", None).await;
    world.post("developer", &format!("{STAGING}/sync"), Value::Null).await;
    live.until("event: progress\n").await;
    let text = live.until("\"action\":\"environment.sync\"").await;
    assert!(text.contains("event: event\n"), "{text}");
    drop(live);

    let last = world.ledger.events(&EventFilter::default(), 1).await.unwrap().items[0].id;
    for asked in [json!({"reason": "slow"}), json!({"lift": true})] {
        assert_eq!(world.post("developer", &format!("{STAGING}/hold"), asked).await.status, 200);
    }
    let mut missed = Events::open(&world, "viewer", Some(last)).await;
    let text = missed.until("environment.lift").await;
    assert!(text.find("\"slow\"").unwrap() < text.find("environment.lift").unwrap(), "{text}");
    assert!(text.contains(&format!("id: {}\n", last + 2)), "{text}");
    assert!(!text.contains("environment.sync"), "what was seen is not sent again: {text}");
    world.stop().await;
}

#[tokio::test]
async fn who_asks_for_all_there_ever_was_gets_it_in_order() {
    let world = World::start().await;
    world.deployed().await;
    for number in 0..250 {
        let event = NewEvent {
            time: jiff::Timestamp::now(),
            actor: "ada".to_owned(),
            action: "environment.note".to_owned(),
            object: "Environment/seaway/staging".to_owned(),
            release: None,
            outcome: "succeeded".to_owned(),
            detail: json!({"number": number}),
        };
        world.ledger.append(event).await.unwrap();
    }
    let mut events = Events::open(&world, "viewer", Some(0)).await;
    let text = events.until("\"number\":249}").await;
    let places: Vec<_> =
        (0..250).map(|number| text.find(&format!("\"number\":{number}}}")).unwrap()).collect();
    assert!(places.is_sorted());
    world.stop().await;
}

#[tokio::test]
async fn events_of_environments_that_one_may_not_see_are_left_out() {
    let world = World::start().await;
    world.create(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "secret"}})).await;
    world.environment("secret", "staging").await;
    world.environment("seaway", "staging").await;
    for namespace in ["secret", "seaway"] {
        let path = format!("/api/v1/environments/{namespace}/staging/suspend");
        assert_eq!(world.post("admin", &path, Value::Null).await.status, 200);
    }
    let last = "Environment/seaway/staging";
    let both = Events::open(&world, "admin", Some(0)).await.until(last).await.to_owned();
    assert!(both.contains("Environment/secret/staging"), "{both}");
    let own = Events::open(&world, "viewer", Some(0)).await.until(last).await.to_owned();
    assert!(!own.contains("secret"), "{own}");
    world.stop().await;
}

#[tokio::test]
async fn the_api_describes_itself_to_everybody() {
    let world = World::start().await;
    let request = world.request(Method::GET, "/api/openapi.json").body(Full::default()).unwrap();
    let served = world.send(request).await;
    assert_eq!(served.status, 200);
    assert_eq!(served.body["openapi"], "3.1.0");
    assert_eq!(served.headers["x-content-type-options"], "nosniff");
    let health = world.request(Method::GET, "/healthz").body(Full::default()).unwrap();
    assert_eq!(world.send(health).await.status, 200);
    assert_eq!(served.body, seaway_server::document());
    world.stop().await;
}

/// Whoever changes the API sees it here.
#[test]
fn the_document_is_the_one_that_was_reviewed() {
    insta::assert_json_snapshot!("openapi", seaway_server::document());
}
