//! Hooks, waves, and what happens when one of them hangs.

#![allow(clippy::unwrap_used)]

#[allow(dead_code, unreachable_pub)]
mod support;

use seaway_sync::SyncChoice;
use seaway_sync::steps::StepState;
use seaway_sync::view::Outcome;
use serde_json::{Value, json};
use support::{Repository, World, config};

fn job(name: &str, annotations: &str) -> String {
    format!(
        "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: {name}\n  annotations: {{{annotations}}}\nspec:\n  \
         template:\n    spec:\n      restartPolicy: Never\n      containers: [{{name: c, image: x}}]\n"
    )
}

/// No controller runs here: the test says how a Job ends.
async fn end_job(world: &World, name: &str, condition: &str) {
    world
        .until(&format!("{name} is there"), async |world| {
            world.get("batch/v1", "Job", Some("shop"), name).await.is_some()
        })
        .await;
    let status = json!({"status": {"startTime": "2024-01-01T00:00:00Z", "conditions": [
        {"type": condition, "status": "True", "lastTransitionTime": "2024-01-01T00:00:00Z"}]}});
    let jobs: kube::Api<k8s_openapi::api::batch::v1::Job> = kube::Api::namespaced(world.admin(), "shop");
    jobs.patch_status(name, &Default::default(), &kube::api::Patch::Merge(status)).await.unwrap();
}

async fn uid(world: &World, name: &str) -> Value {
    world.get("batch/v1", "Job", Some("shop"), name).await.unwrap()["metadata"]["uid"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hook_runs_before_everything_else_and_once_for_a_sync() {
    let repository = Repository::new();
    let hook = job("migrate", "argocd.argoproj.io/hook: PreSync");
    let first = repository.push(
        "main",
        "First",
        &[("deploy/a.yaml", Some(&config("a", "one"))), ("deploy/migrate.yaml", Some(&hook))],
    );
    let mut world = World::new().await;
    let key = world.follow(&repository, json!({})).await;
    world
        .until("the hook is there", async |world| {
            world.get("batch/v1", "Job", Some("shop"), "migrate").await.is_some()
        })
        .await;
    assert_eq!(world.value("a", "key").await, None, "the hook comes first");
    let before = uid(&world, "migrate").await;

    // The process ends in the middle: the hook does not run again.
    world.sync.take().unwrap().stop().await;
    world.start().await;
    end_job(&world, "migrate", "Complete").await;
    world.synced(&first).await;
    assert_eq!(uid(&world, "migrate").await, before);
    assert_eq!(world.value("a", "key").await.as_deref(), Some("one"));

    // Drift is reverted without hooks; the next release runs them again.
    world.patch("v1", "ConfigMap", "shop", "a", "kubectl-edit", json!({"data": {"key": "x"}})).await;
    world.until("reverted", async |world| world.value("a", "key").await.as_deref() == Some("one")).await;
    assert_eq!(uid(&world, "migrate").await, before);
    let second = repository.push("main", "Second", &[("deploy/a.yaml", Some(&config("a", "two")))]);
    world
        .until("the hook is another", async |world| {
            let found = world.get("batch/v1", "Job", Some("shop"), "migrate").await;
            found.is_some_and(|found| found["metadata"]["uid"] != before)
        })
        .await;
    end_job(&world, "migrate", "Complete").await;
    world.synced(&second).await;
    assert!(world.sync().history(&key, 10).unwrap().iter().all(|sync| sync.outcome == Outcome::Succeeded));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wave_that_hangs_does_not_stop_the_fix() {
    let repository = Repository::new();
    repository.push(
        "main",
        "Hangs",
        &[
            ("deploy/a.yaml", Some(&config("a", "one"))),
            ("deploy/job.yaml", Some(&job("stuck", "argocd.argoproj.io/sync-wave: \"-1\""))),
        ],
    );
    let world = World::new().await;
    let key = world.follow(&repository, json!({})).await;
    world
        .until("the status says what is waited for", async |world| {
            let found =
                world.get("seaway.dev/v1alpha1", "Environment", Some("seaway"), "staging").await.unwrap();
            found["status"]["message"]
                .as_str()
                .is_some_and(|message| message.contains("Job.batch shop/stuck"))
        })
        .await;
    assert_eq!(world.value("a", "key").await, None, "the next wave waits");
    let fix = repository.push("main", "Fix", &[("deploy/job.yaml", None)]);
    world.synced(&fix).await;
    assert_eq!(world.value("a", "key").await.as_deref(), Some("one"));
    let history = world.sync().history(&key, 10).unwrap();
    let outcomes: Vec<Outcome> = history.iter().map(|sync| sync.outcome).collect();
    assert_eq!(outcomes, [Outcome::Succeeded, Outcome::Superseded]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_sync_stops_and_is_not_begun_again_by_itself() {
    let repository = Repository::new();
    let stuck = job("stuck", "argocd.argoproj.io/sync-wave: \"-1\"");
    repository.push(
        "main",
        "Hangs",
        &[("deploy/a.yaml", Some(&config("a", "one"))), ("deploy/job.yaml", Some(&stuck))],
    );
    let mut world = World::new().await;
    let key = world.follow(&repository, json!({})).await;
    let waits = async |world: &World| {
        let timeline = world.sync().timeline(&key, None);
        timeline.is_ok_and(|timeline| {
            timeline.outcome == Outcome::Running
                && timeline.steps.iter().any(|step| step.id.starts_with("wave/"))
        })
    };
    world.until("it waits for the first wave", waits).await;
    let running = world.sync().history(&key, 1).unwrap()[0].id;
    assert!(world.sync().cancel(&key, Some(running + 1), "ada").await.is_err(), "another one");
    assert_eq!(world.sync().cancel(&key, Some(running), "ada").await.unwrap(), running);
    let ended =
        async |world: &World, outcome: Outcome| world.sync().history(&key, 1).unwrap()[0].outcome == outcome;
    world.until("it ends as cancelled", async |world| ended(world, Outcome::Cancelled).await).await;
    let last = world.sync().history(&key, 1).unwrap().remove(0);
    assert_eq!((last.id, last.message.as_str()), (running, "cancelled by ada"));
    assert!(world.sync().cancel(&key, None, "ada").await.is_err(), "nothing goes on any more");
    let steps = world.sync().timeline(&key, None).unwrap().steps;
    assert!(steps.iter().any(|step| step.state == StepState::Cancelled), "{steps:?}");
    assert!(steps.iter().all(|step| step.state != StepState::Failed), "{steps:?}");

    // Neither the Job's end, nor a commit that changes nothing there, nor a restart begins it again.
    end_job(&world, "stuck", "Complete").await;
    repository.push("main", "Elsewhere", &[("README", Some("nothing that is deployed"))]);
    world.sync.take().unwrap().stop().await;
    world.start().await;
    let told =
        async |world: &World| world.view().is_some_and(|view| view.message.contains("was cancelled by ada"));
    world.until("it is said why nothing goes on", told).await;
    assert_eq!(world.sync().history(&key, 10).unwrap().len(), 1);
    assert_eq!(world.value("a", "key").await, None, "the wave after it was not begun");
    let condition = async |world: &World| {
        let found = world.get("seaway.dev/v1alpha1", "Environment", Some("seaway"), "staging").await.unwrap();
        let conditions = found["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.iter().any(|one| one["type"] == "Synced" && one["reason"] == "Cancelled")
    };
    world.until("its condition says so", condition).await;

    // Something else is to run: that is deployed.
    let other = repository.push("main", "Other", &[("deploy/a.yaml", Some(&config("a", "two")))]);
    world.synced(&other).await;
    assert_eq!(world.value("a", "key").await.as_deref(), Some("two"));
    let ledger = world.ledger().await;
    let filter = seaway_ledger::EventFilter { action: Some("environment.sync".into()), ..Default::default() };
    let events = ledger.events(&filter, 10).await.unwrap().items;
    let outcomes: Vec<&str> = events.iter().rev().map(|event| event.outcome.as_str()).collect();
    assert_eq!(outcomes, ["cancelled", "succeeded"]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_gets_the_cancelled_sync_after_all() {
    let repository = Repository::new();
    let stuck = job("stuck", "argocd.argoproj.io/sync-wave: \"-1\"");
    let first = repository.push(
        "main",
        "Hangs",
        &[("deploy/a.yaml", Some(&config("a", "one"))), ("deploy/job.yaml", Some(&stuck))],
    );
    let world = World::new().await;
    let key = world.follow(&repository, json!({})).await;
    world.until("it goes on", async |world| world.sync().cancel(&key, None, "ada").await.is_ok()).await;
    let outcome = async |world: &World| world.sync().history(&key, 1).unwrap()[0].outcome;
    world.until("it is cancelled", async |world| outcome(world).await == Outcome::Cancelled).await;
    let asked = world.sync().sync(&key, SyncChoice::default(), "ben");
    let (record, ()) = tokio::join!(asked, end_job(&world, "stuck", "Complete"));
    let record = record.unwrap().unwrap();
    assert_eq!((record.outcome, record.actor.as_str()), (Outcome::Succeeded, "ben"));
    world.synced(&first).await;
    let deployed = world.view().unwrap().deployed.unwrap();
    assert_eq!((deployed.actor.as_str(), deployed.subject.as_deref()), ("ben", Some("Hangs")));
    assert_eq!(deployed.author.as_deref(), Some("Ada"));

    // Later drift is reverted as ever, and who brought what runs is still who did.
    world.patch("v1", "ConfigMap", "shop", "a", "kubectl-edit", json!({"data": {"key": "x"}})).await;
    world.until("reverted", async |world| world.value("a", "key").await.as_deref() == Some("one")).await;
    world.until("that is recorded", async |world| world.sync().history(&key, 9).unwrap().len() == 3).await;
    assert_eq!(world.view().unwrap().deployed.unwrap().actor, "ben");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hook_that_fails_fails_the_sync_and_says_so() {
    let repository = Repository::new();
    repository.push(
        "main",
        "First",
        &[
            ("deploy/a.yaml", Some(&config("a", "one"))),
            ("deploy/migrate.yaml", Some(&job("migrate", "argocd.argoproj.io/hook: PreSync"))),
        ],
    );
    let world = World::new().await;
    let key = world.follow(&repository, json!({})).await;
    end_job(&world, "migrate", "Failed").await;
    world
        .until("it is said", async |world| {
            world.view().is_some_and(|view| view.message.contains("Job.batch shop/migrate failed"))
        })
        .await;
    assert_eq!(world.value("a", "key").await, None);
    assert_eq!(world.sync().history(&key, 1).unwrap()[0].outcome, Outcome::Failed);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_custom_kind_and_its_object_come_in_one_plan() {
    let definition = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: widgets.example.com}\n\
        spec:\n  group: example.com\n  scope: Cluster\n  names: {kind: Widget, plural: widgets, singular: widget, listKind: WidgetList}\n  \
        versions:\n  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, properties: {size: {type: integer}}}}}\n";
    let widget = "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w}\nsize: 3\n";
    let repository = Repository::new();
    let first = repository.push(
        "main",
        "First",
        &[("deploy/definition.yaml", Some(definition)), ("deploy/widget.yaml", Some(widget))],
    );
    let world = World::new().await;
    world.follow(&repository, json!({})).await;
    world
        .until("the kind is refused", async |world| {
            world.view().is_some_and(|view| view.message.contains("CustomResourceDefinition"))
        })
        .await;
    let allow = json!({"spec": {"allow": {"clusterKinds":
        ["CustomResourceDefinition.apiextensions.k8s.io", "Widget.example.com"]}}});
    world.patch("seaway.dev/v1alpha1", "Stack", "seaway", "shop", "test", allow).await;
    world.synced(&first).await;
    let found = world.get("example.com/v1", "Widget", None, "w").await.unwrap();
    assert_eq!(found["size"], 3);
    world.stop().await;
}
