//! Promises of roles: one table says what each may do, and the whole API keeps to it.

#![allow(clippy::unwrap_used)]

mod support;

use std::fmt::Write as _;

use http::Method;
use http_body_util::Full;
use serde_json::{Value, json};
use support::World;

const ACCOUNTS: &str = "/api/v1/accounts";
const ENVIRONMENTS: &str = "/api/v1/environments";
const PASSWORD: &str = "correct horse battery";
const RBAC: &str = "rbac.authorization.k8s.io";

/// `boss` has the role admin everywhere, `within` a grant for the staging environments of the stack `shop`. There are
/// `staging` and, of class production, `live`; and `other`, a staging environment of another stack.
async fn world() -> World {
    let world = World::start().await;
    world
        .create(json!({"apiVersion": format!("{RBAC}/v1"), "kind": "ClusterRoleBinding",
            "metadata": {"name": "boss"},
            "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": "seaway-admin"},
            "subjects": [{"apiGroup": RBAC, "kind": "User", "name": "boss"}]}))
        .await;
    world.environment("seaway", "staging").await;
    for (name, stack, class) in [("live", "shop", "production"), ("other", "bank", "staging")] {
        world
            .create(json!({"apiVersion": "seaway.dev/v1alpha1", "kind": "Environment",
                "metadata": {"namespace": "seaway", "name": name},
                "spec": {"stack": stack, "class": class, "destination": {"namespace": name},
                    "sync": {"automated": false}}}))
            .await;
        let path = format!("{ENVIRONMENTS}/seaway/{name}");
        world.until("it is known", async || world.get("boss", &path).await.status == 200).await;
    }
    // Made by an administrator for somebody; what counts is the group.
    let granted = json!({"name": "anybody", "grants": ["developer:shop/staging"]});
    let made = world.post("boss", ACCOUNTS, granted).await;
    assert_eq!(made.status, 200, "{made:?}");
    let sees = async || world.get("within", &format!("{ENVIRONMENTS}/seaway/staging")).await.status == 200;
    world.until("the grant counts", sees).await;
    world
}

/// A body with which the endpoint gets as far as asking whether this is allowed, and does little if it is.
fn body(method: &str, path: &str) -> Value {
    match (method, path.rsplit('/').next().unwrap_or_default()) {
        ("post", "accounts") => json!({"name": "newcomer", "role": "viewer"}),
        ("put", "role") => json!({"role": "viewer"}),
        ("post", "rollback") => json!({"to": "none"}),
        ("post", "hold") => json!({"release": "none", "lift": true}),
        ("post", "environments") => json!({"name": "mine", "copyOf": "staging", "dryRun": true}),
        ("post", "override") => json!({"component": "web", "remove": true}),
        ("post", "propose") => json!({"component": "web"}),
        _ => Value::Null,
    }
}

/// Every endpoint, asked by everybody: a change of who may do what is seen here, and so is a new endpoint that asks
/// nobody.
#[tokio::test]
async fn the_whole_api_keeps_to_the_table() {
    let world = world().await;
    let people = ["nobody", "viewer", "developer", "approver", "operator", "owner", "boss", "within"];
    let document = seaway_server::document();
    let mut table = format!("{:<72} {}\n", "", people.join(" "));
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            if operation["security"] == json!([{}]) {
                continue;
            }
            let environments: &[&str] = match path.contains("{namespace}") {
                // One that is not there is as well asked about, and stays what it is.
                true if method == "delete" => &["gone"],
                true => &["staging", "live", "other"],
                false => &[""],
            };
            for name in environments {
                let asked = path
                    .replace("{namespace}", "seaway")
                    .replace("{name}", if path.starts_with(ACCOUNTS) { "absent" } else { name });
                let query = match path.rsplit('/').next() {
                    Some("object") => "?version=v1&kind=ConfigMap&name=settings&namespace=shop",
                    Some("logs") => "?namespace=shop&pods=web-1",
                    _ => "",
                };
                let line = format!("{} {asked}", method.to_uppercase());
                write!(table, "{line:<72}").unwrap();
                for person in people {
                    let request = world
                        .request(method.to_uppercase().parse().unwrap(), &format!("{asked}{query}"))
                        .header("authorization", format!("Bearer token-of-{person}"));
                    let body = body(method, path);
                    let body = if body.is_null() { String::new() } else { body.to_string() };
                    let status = world.status(request.body(Full::from(body)).unwrap()).await;
                    assert_ne!(status, 401, "{person} {line}");
                    assert!(status < 500, "{person} {line}: {status}");
                    let mark = if status == 403 { "-" } else { "yes" };
                    write!(table, " {mark:<width$}", width = person.len()).unwrap();
                }
                table.truncate(table.trim_end().len());
                table.push('\n');
            }
        }
    }
    insta::assert_snapshot!("permissions", table);
    world.stop().await;
}

/// `SEAWAY_WRITE_DOCS=1` writes the page anew.
#[test]
fn the_page_about_roles_is_made_from_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/roles.md");
    if std::env::var_os("SEAWAY_WRITE_DOCS").is_some() {
        std::fs::write(path, seaway_server::roles_page()).unwrap();
    }
    let page = std::fs::read_to_string(path).unwrap();
    assert!(
        page == seaway_server::roles_page(),
        "docs/roles.md is not what the table says: run this test with SEAWAY_WRITE_DOCS=1"
    );
}

#[tokio::test]
async fn who_has_a_grant_sees_and_changes_its_stack_and_class_and_nothing_else() {
    let world = world().await;
    let list = world.get("within", ENVIRONMENTS).await;
    let names: Vec<&Value> = list.body["items"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["staging"]);
    let rights =
        async |name: &str| world.get("within", &format!("{ENVIRONMENTS}/seaway/{name}/rights")).await;
    assert_eq!(
        rights("staging").await.body,
        json!({"sync": true, "rollback": true, "hold": true, "update": false, "delete": false})
    );
    assert_eq!(rights("live").await.status, 403);
    let held = json!({"release": "r1", "reason": "it is broken"});
    let hold = async |name: &str| {
        world.post("within", &format!("{ENVIRONMENTS}/seaway/{name}/hold"), held.clone()).await.status
    };
    assert_eq!(hold("staging").await, 409, "it may; there never was that release");
    assert_eq!(hold("live").await, 403);
    assert_eq!(hold("other").await, 403);
    world.stop().await;
}

async fn send(world: &World, path: &str, body: Value) -> Value {
    let request = world.request(Method::POST, path).body(Full::from(body.to_string())).unwrap();
    let answer = world.send(request).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

/// An account with a password, and the bearer token of a session.
async fn joined(world: &World, name: &str, role: &str) -> String {
    let invited = world.post("boss", ACCOUNTS, json!({"name": name, "role": role})).await;
    assert_eq!(invited.status, 200, "{invited:?}");
    let code = invited.body["link"].as_str().unwrap().strip_prefix("/join#").unwrap();
    send(world, "/api/v1/join", json!({"code": code, "password": PASSWORD})).await;
    let token = send(world, "/api/v1/tokens", json!({"name": name, "password": PASSWORD})).await;
    format!("Bearer {}", token["token"].as_str().unwrap())
}

async fn groups(world: &World, bearer: &str) -> Value {
    let request = world.request(Method::GET, "/api/v1/session").header("authorization", bearer);
    let answer = world.send(request.body(Full::default()).unwrap()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body["groups"].clone()
}

#[tokio::test]
async fn a_role_is_changed_at_once_and_the_ledger_has_what_it_was() {
    let world = world().await;
    let ada = joined(&world, "ada", "developer").await;
    assert_eq!(groups(&world, &ada).await, json!(["seaway:developers", "system:authenticated"]));
    let role = format!("{ACCOUNTS}/ada/role");
    let asked = json!({"role": "approver", "grants": ["operator:shop/staging", "viewer:*/production"]});
    let changed = world.act("boss", Method::PUT, &role, &asked).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    assert_eq!(changed.body["role"], "approver");
    assert_eq!(changed.body["grants"], json!(["operator:shop/staging", "viewer:*/production"]));
    assert_eq!(
        groups(&world, &ada).await,
        json!([
            "seaway:approvers",
            "seaway:operators:shop:staging",
            "seaway:viewers:*:production",
            "system:authenticated"
        ])
    );
    let filter = seaway_ledger::EventFilter { action: Some("account.assign".into()), ..Default::default() };
    let events = world.ledger.events(&filter, 10).await.unwrap().items;
    let told: Vec<_> = events.iter().rev().map(|e| (e.actor.as_str(), e.outcome.as_str())).collect();
    assert_eq!(told, [("boss", "requested"), ("boss", "succeeded")]);
    assert_eq!(events[0].detail["before"], json!({"role": "developer", "grants": []}));
    assert_eq!(events[0].detail["after"]["role"], "approver");
    world.stop().await;
}

#[tokio::test]
async fn the_last_who_may_add_people_keeps_that() {
    let world = world().await;
    joined(&world, "ada", "admin").await;
    let assign = async |name: &str, role: &str| {
        let path = format!("{ACCOUNTS}/{name}/role");
        world.act("boss", Method::PUT, &path, &json!({"role": role})).await.status
    };
    assert_eq!(assign("ada", "operator").await, 409);
    joined(&world, "ben", "admin").await;
    assert_eq!(assign("ada", "operator").await, 200);
    assert_eq!(assign("ben", "viewer").await, 409);
    world.stop().await;
}

/// Kubernetes refuses to let somebody make a Role with rights that he has not.
#[tokio::test]
async fn nobody_grants_what_he_may_not_do_himself() {
    let world = world().await;
    let rules = json!([
        {"apiGroups": ["seaway.dev"], "resources": ["accounts"], "verbs": ["create", "update", "list"]},
        {"apiGroups": [""], "resources": ["namespaces", "resourcequotas"], "verbs": ["get", "create", "patch"]},
        {"apiGroups": [RBAC], "resources": ["roles", "rolebindings"], "verbs": ["get", "create", "patch"]},
    ]);
    world
        .create(
            json!({"apiVersion": format!("{RBAC}/v1"), "kind": "ClusterRole", "metadata": {"name": "clerk"},
            "rules": rules}),
        )
        .await;
    world
        .create(json!({"apiVersion": format!("{RBAC}/v1"), "kind": "ClusterRoleBinding",
            "metadata": {"name": "clerk"}, "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": "clerk"},
            "subjects": [{"apiGroup": RBAC, "kind": "User", "name": "clerk"}]}))
        .await;
    let asked = json!({"name": "eve", "grants": ["operator:*/production"]});
    let counts = async || world.get("clerk", ACCOUNTS).await.status == 200;
    world.until("the binding counts", counts).await;
    let refused = world.post("clerk", ACCOUNTS, asked).await;
    assert_eq!(refused.status, 403, "{refused:?}");
    assert!(refused.body["detail"].as_str().unwrap().contains("not currently held"), "{refused:?}");
    let list = world.get("boss", ACCOUNTS).await;
    let names: Vec<&Value> = list.body["items"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["anybody"]);
    world.stop().await;
}

#[tokio::test]
async fn what_is_no_role_or_grant_is_refused() {
    let world = world().await;
    for bad in [
        json!({"name": "eve"}),
        json!({"name": "eve", "role": "boss"}),
        json!({"name": "eve", "grants": ["admin:shop"]}),
        json!({"name": "eve", "grants": ["operator:*"]}),
        json!({"name": "eve", "role": "viewer", "grants": vec!["operator:shop"; 33]}),
    ] {
        assert_eq!(world.post("boss", ACCOUNTS, bad.clone()).await.status, 400, "{bad}");
    }
    world.stop().await;
}
