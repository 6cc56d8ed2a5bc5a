//! A stack judges kinds of its own by rules in CEL: waves wait by them, and environments are as well as they say.

#![allow(clippy::unwrap_used)]

#[allow(dead_code, unreachable_pub)]
mod support;

use seaway_sync::HealthStatus;
use seaway_sync::view::EnvironmentKey;
use serde_json::{Value, json};
use support::{Repository, World, config};

const API: &str = "example.com/v1";

/// A kind without conditions: its status is a phase.
async fn define(world: &World) {
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    world
        .create(json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": "databases.example.com"}, "spec": {"group": "example.com", "scope": "Namespaced",
            "names": {"plural": "databases", "singular": "database", "kind": "Database", "listKind": "DatabaseList"},
            "versions": [{"name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": open, "status": open}}}}]}}))
        .await;
    world
        .create(json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {
            "name": "databases", "labels": {"rbac.authorization.k8s.io/aggregate-to-admin": "true"}},
            "rules": [{"apiGroups": ["example.com"], "resources": ["databases"], "verbs": ["*"]}]}))
        .await;
}

fn database(name: &str, wave: i32) -> String {
    format!(
        "apiVersion: {API}\nkind: Database\nmetadata:\n  name: {name}\n  annotations: \
         {{argocd.argoproj.io/sync-wave: \"{wave}\"}}\nspec: {{}}\n"
    )
}

fn rules() -> Value {
    json!([{"apiVersion": API, "kind": "Database", "inProgress": "status.phase == 'Creating'",
        "failed": "status.phase == 'Broken'", "current": "status.phase == 'Ready'", "message": "status.?detail.orValue('')"}])
}

async fn set_rules(world: &World, rules: Value) {
    let patch = json!({"spec": {"healthCheckExprs": rules}});
    world.try_patch("seaway.dev/v1alpha1", "Stack", "seaway", "shop", patch).await.unwrap();
}

/// No controller runs here: the test says how a database does.
async fn report(world: &World, name: &str, status: Value) {
    let thing = json!({"apiVersion": API, "kind": "Database", "metadata": {"namespace": "shop"}});
    let api = support::api_of(&world.admin(), &thing);
    let patch = kube::api::Patch::Merge(json!({"status": status}));
    api.patch_status(name, &Default::default(), &patch).await.unwrap();
}

/// While it waits, what comes later is not there.
async fn waits(world: &World, part: &str) {
    world
        .until(&format!("it waits: {part}"), async |world| {
            world.view().is_some_and(|view| view.message.contains(part))
        })
        .await;
}

async fn is_well(world: &World, status: HealthStatus, part: &str) {
    world
        .until(&format!("it is {status:?}: {part}"), async |world| {
            world.view().is_some_and(|view| view.health == status && view.message.contains(part))
        })
        .await;
}

/// Of one object, as the environment shows it.
fn object(world: &World, name: &str) -> (HealthStatus, String) {
    let detail = world.sync().show(&EnvironmentKey::new("seaway", "staging")).unwrap();
    let found = detail.objects.into_iter().find(|view| view.object.name == name).unwrap();
    (found.health, found.message)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wave_waits_for_what_a_rule_says_and_the_environment_shows_it() {
    let repository = Repository::new();
    let first = repository.push(
        "main",
        "First",
        &[("deploy/db.yaml", Some(&database("orders", -1))), ("deploy/a.yaml", Some(&config("a", "one")))],
    );
    let world = World::new().await;
    define(&world).await;
    let key = world.follow_with(&repository, json!({"healthCheckExprs": rules()}), json!({})).await;

    // Without a status nobody knows yet; the built-in rule would have gone on.
    waits(&world, "no such attribute(s): status").await;
    assert_eq!(object(&world, "orders").0, HealthStatus::Progressing);
    report(&world, "orders", json!({"phase": "Creating", "detail": "makes a volume"})).await;
    waits(&world, "sync wave -1 waits for Database.example.com shop/orders: makes a volume").await;
    report(&world, "orders", json!({"phase": "Broken", "detail": "no disk"})).await;
    is_well(&world, HealthStatus::Degraded, "no disk").await;
    assert_eq!(object(&world, "orders"), (HealthStatus::Degraded, "no disk".to_owned()));
    assert_eq!(world.value("a", "key").await, None, "the next wave waits");
    report(&world, "orders", json!({"phase": "Ready"})).await;
    world.synced(&first).await;
    assert_eq!(world.value("a", "key").await.as_deref(), Some("one"));
    is_well(&world, HealthStatus::Healthy, "").await;

    // What happens later is seen as well, also through what the server asks for.
    report(&world, "orders", json!({"phase": "Broken", "detail": "disk lost"})).await;
    is_well(&world, HealthStatus::Degraded, "disk lost").await;
    let live = world.get(API, "Database", Some("shop"), "orders").await.unwrap();
    assert_eq!(world.sync().health_rules(&key).unwrap().health(&live).message, "disk lost");
    world
        .until("it stands in the Environment", async |world| {
            let found = world.get("seaway.dev/v1alpha1", "Environment", Some("seaway"), "staging").await;
            found.is_some_and(|found| found["status"]["health"] == "Degraded")
        })
        .await;

    // Another rule counts at once, without a commit.
    set_rules(&world, json!([{"apiVersion": API, "current": "status.phase in ['Ready', 'Broken']"}])).await;
    is_well(&world, HealthStatus::Healthy, "").await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_that_fails_is_told_with_its_object_and_holds_up_nothing_else() {
    let repository = Repository::new();
    let first = repository.push(
        "main",
        "First",
        &[("deploy/db.yaml", Some(&database("orders", 1))), ("deploy/a.yaml", Some(&config("a", "one")))],
    );
    let world = World::new().await;
    define(&world).await;
    let endless = "data.all(a, data.all(b, data.all(c, data.all(d, data.all(e, a + b + c + d + e != '')))))";
    let rules = json!([
        {"apiVersion": API, "kind": "Database", "current": "status.phase > 3"},
        {"apiVersion": "v1", "kind": "ConfigMap", "current": format!("!has(data.big) || {endless}")},
    ]);
    world.follow_with(&repository, json!({"healthCheckExprs": rules}), json!({})).await;
    world.until("the first wave is done", async |world| world.value("a", "key").await.is_some()).await;
    world
        .until("the database is there", async |world| {
            world.get(API, "Database", Some("shop"), "orders").await.is_some()
        })
        .await;
    report(&world, "orders", json!({"phase": "Ready"})).await;
    is_well(&world, HealthStatus::Unknown, "no such overload: status.phase > 3").await;
    assert_eq!(object(&world, "a").0, HealthStatus::Healthy);

    // The rule is put right, and the same sync goes on.
    set_rules(&world, json!([{"apiVersion": API, "kind": "Database", "current": "status.phase == 'Ready'"}]))
        .await;
    world.synced(&first).await;
    is_well(&world, HealthStatus::Healthy, "").await;

    // Too costly on one object: that one alone.
    let keys: Vec<(String, Value)> = (0..60).map(|key| (format!("k{key}"), "x".into())).collect();
    let mut data: serde_json::Map<String, Value> = keys.into_iter().collect();
    data.insert("big".into(), "yes".into());
    set_rules(&world, rules.clone()).await;
    world.patch("v1", "ConfigMap", "shop", "a", "somebody", json!({"data": data})).await;
    world
        .until("it takes too many steps", async |world| {
            let (health, message) = object(world, "a");
            health == HealthStatus::Unknown && message.contains("too many steps")
        })
        .await;
    assert!(object(&world, "orders").1.contains("no such overload"));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_rule_is_refused_with_its_field() {
    let repository = Repository::new();
    let first = repository.push("main", "First", &[("deploy/a.yaml", Some(&config("a", "one")))]);
    let world = World::new().await;
    world.follow(&repository, json!({})).await;
    world.synced(&first).await;
    let patch = async |rules: Value| {
        let patch = json!({"spec": {"healthCheckExprs": rules}});
        world.try_patch("seaway.dev/v1alpha1", "Stack", "seaway", "shop", patch).await
    };
    // What the schema knows, the API refuses.
    let many = vec![json!({"apiVersion": "v1", "current": "true"}); 65];
    for (rules, field) in [
        (json!([{"kind": "Database", "current": "true"}]), "spec.healthCheckExprs[0].apiVersion"),
        (json!([{"apiVersion": API, "kind": "Database"}]), "spec.healthCheckExprs[0].current"),
        (json!([{"apiVersion": "a/b/c", "current": "true"}]), "spec.healthCheckExprs[0].apiVersion"),
        (json!([{"apiVersion": "v1", "current": 1}]), "spec.healthCheckExprs[0].current"),
        (json!([{"apiVersion": "v1", "current": "x".repeat(2049)}]), "spec.healthCheckExprs[0].current"),
        (json!(many), "spec.healthCheckExprs"),
    ] {
        let refused = patch(rules).await.unwrap_err();
        assert!(refused.contains(field), "{refused}");
    }
    // What it cannot know, the Stack and its environments say.
    patch(json!([{"apiVersion": "v1", "kind": "ConfigMap", "current": "data.key =="}])).await.unwrap();
    let wrong = "spec.healthCheckExprs[0].current: line 1, column 12: Syntax error";
    world
        .until("the Stack names the field", async |world| {
            let stack = world.get("seaway.dev/v1alpha1", "Stack", Some("seaway"), "shop").await.unwrap();
            stack["status"]["conditions"].to_string().contains(wrong)
        })
        .await;
    world.until("so does the environment", async |world| world.view().unwrap().message.contains(wrong)).await;
    patch(json!([])).await.unwrap();
    world.synced(&first).await;
    world.stop().await;
}
