//! Promises of the audit: who did what, to what, from where, and how it ended, refused attempts too.

#![allow(clippy::unwrap_used)]

mod support;

use http::Method;
use http_body_util::Full;
use serde_json::{Value, json};
use support::World;

const AUDIT: &str = "/api/v1/audit";
const STAGING: &str = "/api/v1/environments/seaway/staging";

/// A server where `admin` and `viewer` have done something, and `operator` may read it.
async fn world() -> World {
    let world = World::start().await;
    let rbac = "rbac.authorization.k8s.io";
    world
        .create(json!({"apiVersion": format!("{rbac}/v1"), "kind": "ClusterRoleBinding",
            "metadata": {"name": "reader"},
            "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": "seaway-operator"},
            "subjects": [{"apiGroup": rbac, "kind": "User", "name": "operator"}]}))
        .await;
    world.environment("seaway", "staging").await;
    let held =
        world.post("admin", &format!("{STAGING}/hold"), json!({"release": "r1", "reason": "broken"})).await;
    // It never had that release; that somebody asked is kept all the same.
    assert_eq!(held.status, 409, "{held:?}");
    assert_eq!(world.post("viewer", &format!("{STAGING}/suspend"), Value::Null).await.status, 403);
    let wrong = json!({"name": "nobody", "password": "wrong"});
    let login = world.request(Method::POST, "/api/v1/login").body(Full::from(wrong.to_string())).unwrap();
    assert_eq!(world.send(login).await.status, 401);
    let may = async || world.get("operator", AUDIT).await.status == 200;
    world.until("the binding counts", may).await;
    world
}

/// What a query finds, one line for each.
async fn found(world: &World, query: &str) -> Vec<String> {
    let answer = world.get("operator", &format!("{AUDIT}?{query}")).await;
    assert_eq!(answer.status, 200, "{query}: {answer:?}");
    let line = |event: &Value| {
        let text = |field: &str| event[field].as_str().unwrap().to_owned();
        format!("{} {} {} {}", text("actor"), text("action"), text("object"), text("outcome"))
    };
    answer.body["items"].as_array().unwrap().iter().map(line).collect()
}

#[tokio::test]
async fn it_tells_who_did_what_to_what_from_where_and_how_it_ended() {
    let world = world().await;
    let answer = world.get("operator", &format!("{AUDIT}?action=environment.hold&outcome=requested")).await;
    let event = &answer.body["items"][0];
    assert_eq!((&event["actor"], &event["object"]), (&json!("admin"), &json!("Environment/seaway/staging")));
    assert_eq!(event["detail"]["address"], "127.0.0.1");
    assert_eq!(event["detail"]["before"], json!({"release": null, "suspended": false, "holds": []}));
    assert_eq!(event["detail"]["after"], json!({"hold": "r1", "lift": false, "reason": "broken"}));
    world.stop().await;
}

#[tokio::test]
async fn each_part_of_it_can_be_asked_for() {
    let world = world().await;
    let denied = "viewer environment.update Environment/seaway/staging denied";
    let failed = "system:anonymous session.login Account failed";
    assert_eq!(found(&world, "outcome=denied&object=Environment/*").await, [denied]);
    assert_eq!(found(&world, "actor=viewer").await, [denied]);
    assert_eq!(found(&world, "action=environment.update").await, [denied]);
    assert_eq!(found(&world, "action=session.*").await, [failed]);
    assert_eq!(found(&world, "object=Account").await, [failed]);
    assert_eq!(found(&world, "object=Environment/seaway/staging&outcome=denied").await, [denied]);
    assert_eq!(found(&world, "address=127.0.0.1&outcome=denied&object=Environment/*").await, [denied]);
    assert_eq!(found(&world, "address=192.0.2.1").await, [""; 0]);
    assert_eq!(found(&world, "since=2999-01-01T00:00:00Z").await, [""; 0]);
    assert_eq!(found(&world, "until=2000-01-01T00:00:00Z").await, [""; 0]);
    assert_eq!(
        found(&world, "actor=").await.len(),
        found(&world, "").await.len(),
        "an empty field asks for nothing"
    );
    assert_eq!(found(&world, "actor=%27%20OR%201--").await, [""; 0]);
    for bad in ["since=yesterday", "limit=0", "continue=x", "who=viewer"] {
        assert_eq!(world.get("operator", &format!("{AUDIT}?{bad}")).await.status, 400, "{bad}");
    }
    world.stop().await;
}

#[tokio::test]
async fn pages_hold_everything_once() {
    let world = world().await;
    let all = found(&world, "").await;
    let (mut paged, mut next) = (Vec::new(), String::new());
    loop {
        let answer = world.get("operator", &format!("{AUDIT}?limit=2{next}")).await;
        paged.extend(
            answer.body["items"].as_array().unwrap().iter().map(|event| event["id"].as_i64().unwrap()),
        );
        match answer.body["continue"].as_i64() {
            Some(last) => next = format!("&continue={last}"),
            None => break,
        }
    }
    assert_eq!(paged.len(), all.len());
    assert!(paged.windows(2).all(|pair| pair[0] > pair[1]), "the latest first: {paged:?}");
    world.stop().await;
}

#[tokio::test]
async fn all_of_it_is_exported_as_json_lines_the_earliest_first() {
    let world = world().await;
    // More than are read at once.
    for number in 0..1100 {
        let event = seaway_ledger::NewEvent {
            time: jiff::Timestamp::now(),
            actor: "test".into(),
            action: "environment.sync".into(),
            object: "Environment/seaway/other".into(),
            release: None,
            outcome: "succeeded".into(),
            detail: json!({"number": number}),
        };
        world.ledger.append(event).await.unwrap();
    }
    let answer = world.get("operator", &format!("{AUDIT}/export?actor=test")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["content-type"], "application/x-ndjson");
    let text = answer.body.as_str().unwrap();
    let numbers: Vec<i64> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["detail"]["number"].as_i64().unwrap())
        .collect();
    assert_eq!(numbers, (0..1100).collect::<Vec<i64>>());
    // Who takes it all is in it.
    assert_eq!(found(&world, "action=audit.export").await, ["operator audit.export Audit requested"]);
    world.stop().await;
}

#[tokio::test]
async fn who_may_not_read_it_is_refused_and_that_is_kept() {
    let world = world().await;
    for path in [AUDIT.to_owned(), format!("{AUDIT}/export")] {
        let refused = world.get("viewer", &path).await;
        assert_eq!(refused.status, 403, "{refused:?}");
        assert!(refused.body["detail"].as_str().unwrap().contains("cannot list resource \"audit\""));
    }
    let denied = "viewer audit.list Audit denied";
    assert_eq!(found(&world, "action=audit.list&actor=viewer").await, [denied, denied]);
    world.stop().await;
}
