//! What people ask for is done, once, and they are told the truth about it.

#![allow(clippy::unwrap_used)]

#[allow(dead_code, unreachable_pub)]
mod support;

use seaway_sync::SyncChoice;
use seaway_sync::plan::Action;
use seaway_sync::view::{Outcome, SyncStatus, Trigger};
use serde_json::{Value, json};
use support::{Repository, World, config};

const HOOK: &str = "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: migrate\n  annotations: {argocd.argoproj.io/hook: \
                    PreSync}\nspec:\n  template:\n    spec:\n      restartPolicy: Never\n      containers: [{name: c, image: x}]\n";

/// A Deployment with a field that there is not.
const TYPO: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\nspec:\n  replicsa: 1\n  selector: \
                    {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n    spec: {containers: \
                    [{name: web, image: web}]}\n";

async fn migration(world: &World) -> Option<Value> {
    world.get("batch/v1", "Job", Some("shop"), "migrate").await
}

/// No controller runs here: the test says how a Job ends.
async fn end_migration(world: &World) {
    let status = json!({"status": {"startTime": "2024-01-01T00:00:00Z", "conditions": [
        {"type": "Complete", "status": "True", "lastTransitionTime": "2024-01-01T00:00:00Z"}]}});
    let jobs: kube::Api<k8s_openapi::api::batch::v1::Job> = kube::Api::namespaced(world.admin(), "shop");
    jobs.patch_status("migrate", &Default::default(), &kube::api::Patch::Merge(status)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_for_what_goes_on_already_waits_for_it_and_no_hook_runs_twice() {
    let repository = Repository::new();
    let commit = repository.push(
        "main",
        "One",
        &[("deploy/a.yaml", Some(&config("settings", "one"))), ("deploy/hook.yaml", Some(HOOK))],
    );
    let world = World::new().await;
    let key = world.follow(&repository, json!({})).await;
    world.until("the hook runs", async |world| migration(world).await.is_some()).await;
    let before = migration(&world).await.unwrap()["metadata"]["uid"].clone();
    let asked = async {
        let (one, other) = tokio::join!(
            world.sync().sync(&key, SyncChoice::default(), "ada"),
            world.sync().sync(&key, SyncChoice::default(), "grace"),
        );
        (one.unwrap().unwrap(), other.unwrap().unwrap())
    };
    // It goes on while they ask, and ends once nobody has anything more to say.
    let ends = async {
        for _ in 0..20 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            assert_eq!(
                migration(&world).await.unwrap()["metadata"]["uid"],
                before,
                "the hook was begun again"
            );
        }
        end_migration(&world).await;
    };
    let ((one, other), ()) = tokio::join!(asked, ends);
    assert_eq!((one.id, one.outcome), (other.id, Outcome::Succeeded));
    world.synced(&commit).await;
    assert_eq!(world.sync().history(&key, 9).unwrap().len(), 1, "it is one sync");
    // One that is over is another one.
    let again = world.sync().sync(&key, SyncChoice::default(), "ada");
    let another = async {
        world
            .until("the hook runs again", async |world| {
                migration(world).await.is_some_and(|job| job["metadata"]["uid"] != before)
            })
            .await;
        end_migration(&world).await;
    };
    let (again, ()) = tokio::join!(again, another);
    assert_ne!(again.unwrap().unwrap().id, one.id);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollback_is_done_also_where_nothing_is_done_by_itself() {
    let repository = Repository::new();
    repository.push("main", "One", &[("deploy/a.yaml", Some(&config("settings", "one")))]);
    let world = World::new().await;
    let key = world.follow(&repository, json!({"sync": {"automated": false}})).await;
    let sync = async || world.sync().sync(&key, SyncChoice::default(), "ada").await.unwrap().unwrap();
    world.until("it is known", async |world| world.view().is_some()).await;
    sync().await;
    repository.push("main", "Two", &[("deploy/a.yaml", Some(&config("settings", "two")))]);
    assert_eq!(sync().await.outcome, Outcome::Succeeded);
    assert_eq!(world.value("settings", "key").await.as_deref(), Some("two"));
    world.sync().rollback(&key, None, "ada", "two is wrong").await.unwrap();
    world
        .until("it is back", async |world| world.value("settings", "key").await.as_deref() == Some("one"))
        .await;
    let last = async |world: &World| world.sync().history(&key, 1).unwrap().remove(0);
    world.until("it is over", async |world| last(world).await.outcome == Outcome::Succeeded).await;
    let back = last(&world).await;
    assert_eq!((back.trigger, back.actor.as_str()), (Trigger::Rollback, "ada"));
    // Once: what somebody changes afterwards is left to people.
    world
        .patch("v1", "ConfigMap", "shop", "settings", "kubectl-edit", json!({"data": {"key": "by hand"}}))
        .await;
    world
        .until("it is seen", async |world| {
            world.view().is_some_and(|view| view.sync == SyncStatus::OutOfSync)
        })
        .await;
    assert_eq!(last(&world).await.id, back.id);
    assert_eq!(world.value("settings", "key").await.as_deref(), Some("by hand"));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_for_what_git_says_is_told_when_that_cannot_be_had() {
    let repository = Repository::new();
    let first = repository.push("main", "One", &[("deploy/a.yaml", Some(&config("settings", "one")))]);
    let world = World::new().await;
    let key = world.follow(&repository, json!({})).await;
    world.synced(&first).await;
    repository.push("main", "Broken", &[("deploy/b.yaml", Some("kind: ["))]);
    let error = world.sync().sync(&key, SyncChoice::default(), "ada").await.unwrap_err().to_string();
    assert!(error.contains("deploy/b.yaml: line 2"), "{error}");
    let (revision, release) = {
        let view = world.view().unwrap();
        (view.revision.unwrap(), view.release.unwrap())
    };
    assert_eq!(revision, first[..8]);
    assert!(error.ends_with(&format!("release {release} was applied instead")), "{error}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_object_that_the_api_cannot_read_is_named_with_its_file_and_the_rest_is_planned() {
    let repository = Repository::new();
    let first = repository.push("main", "One", &[("deploy/a.yaml", Some(&config("settings", "one")))]);
    let world = World::new().await;
    let key = world.follow(&repository, json!({})).await;
    world.synced(&first).await;
    let second = repository.push(
        "main",
        "Typo",
        &[("deploy/a.yaml", Some(&config("settings", "two"))), ("deploy/web.yaml", Some(TYPO))],
    );
    let plan = world.sync().plan(&key, None).await.unwrap();
    let of = |kind: &str| plan.objects.iter().find(|planned| planned.object.kind == kind).unwrap();
    assert_eq!((of("ConfigMap").action, of("Deployment").action), (Action::Change, Action::Invalid));
    assert_eq!(of("Deployment").origin.as_ref().unwrap().file, "deploy/web.yaml");
    let message = &of("Deployment").message;
    assert!(message.contains(".spec.replicsa") && message.contains("correct the field in Git"), "{message}");
    let last = async |world: &World| world.sync().history(&key, 1).unwrap().remove(0);
    world.until("it is tried", async |world| last(world).await.definition.revision() == second[..8]).await;
    world.until("it is over", async |world| last(world).await.outcome == Outcome::Failed).await;
    let failed = last(&world).await;
    assert!(failed.message.contains("deploy/web.yaml:1"), "{}", failed.message);
    assert_eq!(world.value("settings", "key").await.as_deref(), Some("one"), "nothing is half done");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_environment_that_nobody_has_begun_makes_nothing_and_says_what_it_has_not_asked() {
    let repository = Repository::new();
    repository.push("main", "One", &[("deploy/a.yaml", Some(&config("settings", "one")))]);
    let world = World::new().await;
    let key = world.follow(&repository, json!({"sync": {"automated": false}})).await;
    world
        .until("it is looked at", async |world| {
            world.view().is_some_and(|view| view.sync == SyncStatus::OutOfSync)
        })
        .await;
    assert!(world.get("v1", "Namespace", None, "shop").await.is_none());
    assert!(world.sync().plan(&key, None).await.unwrap().unasked);
    world.sync().sync(&key, SyncChoice::default(), "ada").await.unwrap();
    assert_eq!(world.value("settings", "key").await.as_deref(), Some("one"));
    assert!(!world.sync().plan(&key, None).await.unwrap().unasked);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_history_says_what_was_put_back_and_who_had_changed_it() {
    let repository = Repository::new();
    let first = repository.push("main", "One", &[("deploy/a.yaml", Some(&config("settings", "one")))]);
    let world = World::new().await;
    let key = world.follow(&repository, json!({})).await;
    world.synced(&first).await;
    let last = async |world: &World| world.sync().history(&key, 1).unwrap().remove(0);
    let is_back = async |world: &World| {
        let last = last(world).await;
        (last.trigger, last.outcome) == (Trigger::Drift, Outcome::Succeeded)
    };
    world
        .patch("v1", "ConfigMap", "shop", "settings", "kubectl-edit", json!({"data": {"key": "by hand"}}))
        .await;
    world.until("it is put back", is_back).await;
    let changed = last(&world).await;
    assert_eq!(changed.message, "put back .data.key of ConfigMap settings, changed by kubectl-edit");
    world.delete("v1", "ConfigMap", Some("shop"), "settings").await;
    world
        .until("it is made again", async |world| last(world).await.id != changed.id && is_back(world).await)
        .await;
    assert_eq!(last(&world).await.message, "made ConfigMap settings again, which was deleted");
    world.stop().await;
}

/// A kind with these fields, and an object that uses them.
fn kind_and_object(fields: &[&str]) -> [(&'static str, String); 2] {
    let properties: serde_json::Map<String, Value> =
        fields.iter().map(|field| ((*field).to_owned(), json!({"type": "string"}))).collect();
    let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.example.com"}, "spec": {"group": "example.com", "scope": "Namespaced",
        "names": {"kind": "Thing", "plural": "things"}, "versions": [{"name": "v1", "served": true, "storage": true,
            "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                "spec": {"type": "object", "properties": properties}}}}}]}});
    let spec: serde_json::Map<String, Value> =
        fields.iter().map(|field| ((*field).to_owned(), "x".into())).collect();
    let thing =
        json!({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "one"}, "spec": spec});
    [("deploy/kind.yaml", definition.to_string()), ("deploy/thing.yaml", thing.to_string())]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_extends_a_kind_and_uses_what_is_new_goes_through() {
    let repository = Repository::new();
    let world = World::new().await;
    // Who may write such objects.
    world
        .create(json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {"name": "things", "labels": {"rbac.authorization.k8s.io/aggregate-to-admin": "true"}},
            "rules": [{"apiGroups": ["example.com"], "resources": ["things"], "verbs": ["*"]}]}))
        .await;
    let push = |fields: &[&str]| {
        let files = kind_and_object(fields);
        let files: Vec<(&str, Option<&str>)> =
            files.iter().map(|(name, text)| (*name, Some(text.as_str()))).collect();
        repository.push("main", "Kind", &files)
    };
    let first = push(&["a"]);
    let allow = json!({"allow": {"clusterKinds": ["CustomResourceDefinition.apiextensions.k8s.io"]}});
    world.follow_with(&repository, allow, json!({})).await;
    world.synced(&first).await;
    let second = push(&["a", "b"]);
    world.synced(&second).await;
    let thing = world.get("example.com/v1", "Thing", Some("shop"), "one").await.unwrap();
    assert_eq!(thing["spec"], json!({"a": "x", "b": "x"}));
    world.stop().await;
}
