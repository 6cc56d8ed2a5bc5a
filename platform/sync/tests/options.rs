//! What objects ask for in their annotations.

#![allow(clippy::unwrap_used)]

#[allow(dead_code, unreachable_pub)]
mod support;

use seaway_sync::plan::Action;
use seaway_sync::view::{Outcome, SyncStatus};
use serde_json::{Value, json};
use support::{Repository, World, config};

/// A ConfigMap with annotations.
fn annotated(name: &str, value: &str, annotations: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n  annotations: {{{annotations}}}\ndata:\n  key: {value}\n"
    )
}

fn job(name: &str, annotations: &str) -> String {
    format!(
        "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: {name}\n  annotations: {{{annotations}}}\nspec:\n  \
         template:\n    spec:\n      restartPolicy: Never\n      containers: [{{name: c, image: x}}]\n"
    )
}

async fn has(world: &World, kind: (&str, &str), name: &str) -> bool {
    world.get(kind.0, kind.1, Some("shop"), name).await.is_some()
}

const CONFIG_MAP: (&str, &str) = ("v1", "ConfigMap");
const JOB: (&str, &str) = ("batch/v1", "Job");

/// No controller runs here: the test says how a Job ends.
async fn end_job(world: &World, name: &str, condition: &str) {
    world.until(&format!("{name} is there"), async |world| has(world, JOB, name).await).await;
    let status = json!({"status": {"startTime": "2024-01-01T00:00:00Z", "conditions": [
        {"type": condition, "status": "True", "lastTransitionTime": "2024-01-01T00:00:00Z"}]}});
    let jobs: kube::Api<k8s_openapi::api::batch::v1::Job> = kube::Api::namespaced(world.admin(), "shop");
    jobs.patch_status(name, &Default::default(), &kube::api::Patch::Merge(status)).await.unwrap();
}

async fn uid(world: &World, name: &str) -> Value {
    world.get("v1", "ConfigMap", Some("shop"), name).await.unwrap()["metadata"]["uid"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_is_replaced_made_anew_made_once_or_skipped_as_it_asks() {
    let repository = Repository::new();
    let files = |value: &str| {
        [
            (
                "deploy/replace.yaml",
                annotated("replaced", value, "argocd.argoproj.io/sync-options: Replace=true"),
            ),
            ("deploy/plain.yaml", config("plain", value)),
            ("deploy/once.yaml", annotated("once", value, "seaway.dev/options: create-only")),
            ("deploy/skip.yaml", annotated("skipped", value, "seaway.dev/options: skip")),
            (
                "deploy/force.yaml",
                annotated("forced", value, "argocd.argoproj.io/sync-options: Force=true")
                    + "immutable: true\n",
            ),
        ]
    };
    let push = |value: &str| {
        let files = files(value);
        let files: Vec<(&str, Option<&str>)> =
            files.iter().map(|(name, text)| (*name, Some(text.as_str()))).collect();
        repository.push("main", value, &files)
    };
    let first = push("one");
    let world = World::new().await;
    world.follow(&repository, json!({})).await;
    world.synced(&first).await;
    assert!(!has(&world, CONFIG_MAP, "skipped").await);
    let before = uid(&world, "forced").await;
    for name in ["replaced", "plain"] {
        world.patch("v1", "ConfigMap", "shop", name, "kubectl-edit", json!({"data": {"own": "x"}})).await;
    }
    let second = push("two");
    world.synced(&second).await;
    assert_eq!(world.value("replaced", "key").await.as_deref(), Some("two"));
    assert_eq!(world.value("replaced", "own").await, None, "the whole object is as in Git");
    assert_eq!(world.value("plain", "own").await.as_deref(), Some("x"), "what is not rendered is left alone");
    assert_eq!(world.value("forced", "key").await.as_deref(), Some("two"));
    assert_ne!(uid(&world, "forced").await, before, "what cannot be changed is made anew");
    assert_eq!(world.value("once", "key").await.as_deref(), Some("one"));
    world.delete("v1", "ConfigMap", Some("shop"), "once").await;
    world
        .until("it is made again once it is gone", async |world| {
            world.value("once", "key").await.as_deref() == Some("two")
        })
        .await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_force_what_cannot_be_changed_says_so_and_stays() {
    let repository = Repository::new();
    let fixed = |value: &str| config("fixed", value) + "immutable: true\n";
    let first = repository.push("main", "First", &[("deploy/a.yaml", Some(&fixed("one")))]);
    let world = World::new().await;
    world.follow(&repository, json!({})).await;
    world.synced(&first).await;
    let before = uid(&world, "fixed").await;
    repository.push("main", "Second", &[("deploy/a.yaml", Some(&fixed("two")))]);
    world
        .until("the object is named with the reason", async |world| {
            let message = world.view().unwrap().message;
            message.contains("ConfigMap shop/fixed") && message.contains("immutable")
        })
        .await;
    assert_eq!(uid(&world, "fixed").await, before);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pruning_goes_backwards_waits_for_people_and_spares_what_is_protected() {
    let repository = Repository::new();
    let objects = [
        ("deploy/last.yaml", annotated("last", "x", "argocd.argoproj.io/sync-options: PruneLast=true")),
        ("deploy/early.yaml", annotated("early", "x", "argocd.argoproj.io/sync-wave: \"-1\"")),
        ("deploy/late.yaml", annotated("late", "x", "argocd.argoproj.io/sync-wave: \"5\"")),
        ("deploy/asked.yaml", annotated("asked", "x", "seaway.dev/options: confirm")),
        (
            "deploy/protected.yaml",
            annotated("protected", "x", "argocd.argoproj.io/sync-options: Prune=false"),
        ),
    ];
    let mut files: Vec<(&str, Option<&str>)> =
        objects.iter().map(|(name, text)| (*name, Some(text.as_str()))).collect();
    let kept = config("kept", "x");
    files.push(("deploy/kept.yaml", Some(&kept)));
    let first = repository.push("main", "First", &files);
    let world = World::new().await;
    let key = world.follow(&repository, json!({})).await;
    world.synced(&first).await;
    let gone: Vec<(&str, Option<&str>)> = objects.iter().map(|(name, _)| (*name, None)).collect();
    repository.push("main", "Second", &gone);
    world.until("the last one is pruned", async |world| !has(world, CONFIG_MAP, "last").await).await;
    let pruned = || {
        let history = world.sync().history(&key, 10).unwrap();
        let objects =
            history.iter().flat_map(|sync| sync.objects.clone()).filter(|o| o.action == Action::Prune);
        objects.map(|object| object.object.name).collect::<Vec<_>>()
    };
    world.until("the sync is recorded", async |_| pruned().len() == 3).await;
    assert_eq!(pruned(), ["late", "early", "last"]);
    assert!(has(&world, CONFIG_MAP, "asked").await && has(&world, CONFIG_MAP, "protected").await);

    // What waits for people is shown, and nothing is tried over and over.
    let syncs = world.sync().history(&key, 10).unwrap().len();
    assert_eq!(world.view().unwrap().sync, SyncStatus::OutOfSync);
    let third = repository.push("main", "Third", &[("README.md", Some("x"))]);
    world
        .until("the third commit is seen", async |world| {
            world.sync().plan(&key, None).await.is_ok_and(|plan| !plan.objects.is_empty())
                && world.sync().show(&key).unwrap().summary.sync == SyncStatus::OutOfSync
        })
        .await;
    let history = world.sync().history(&key, 10).unwrap();
    let told: Vec<_> =
        history.iter().map(|sync| (sync.trigger, sync.outcome, sync.revision.clone())).collect();
    assert_eq!(told.len(), syncs, "{third}: {told:?}");

    // A person agrees.
    let agreed = json!({"metadata": {"annotations": {"argocd.argoproj.io/deletion-approved": "2026-01-01"}}});
    world.patch("v1", "ConfigMap", "shop", "asked", "kubectl-annotate", agreed).await;
    world.until("it is pruned then", async |world| !has(world, CONFIG_MAP, "asked").await).await;
    assert!(has(&world, CONFIG_MAP, "protected").await);
    let plan = world.sync().plan(&key, None).await.unwrap();
    let protected = plan.objects.iter().find(|object| object.object.name == "protected").unwrap();
    assert!(protected.held_back && !protected.message.is_empty(), "{protected:?}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hooks_are_deleted_when_they_ask_for_it() {
    let repository = Repository::new();
    let hook = |name: &str, policy: &str| {
        job(
            name,
            &format!("argocd.argoproj.io/hook: PreSync, argocd.argoproj.io/hook-delete-policy: \"{policy}\""),
        )
    };
    let first = repository.push(
        "main",
        "First",
        &[
            ("deploy/a.yaml", Some(&config("a", "one"))),
            ("deploy/kept.yaml", Some(&hook("kept", "BeforeHookCreation"))),
            ("deploy/if-good.yaml", Some(&hook("if-good", "HookSucceeded"))),
            ("deploy/if-bad.yaml", Some(&hook("if-bad", "HookFailed"))),
        ],
    );
    let world = World::new().await;
    let key = world.follow(&repository, json!({})).await;
    for name in ["kept", "if-good", "if-bad"] {
        end_job(&world, name, "Complete").await;
    }
    world.synced(&first).await;
    world.until("the successful one is deleted", async |world| !has(world, JOB, "if-good").await).await;
    assert!(has(&world, JOB, "kept").await && has(&world, JOB, "if-bad").await);

    let of_before = world.get(JOB.0, JOB.1, Some("shop"), "if-bad").await.unwrap();
    repository.push("main", "Second", &[("deploy/a.yaml", Some(&config("a", "two")))]);
    let attempts = || world.sync().history(&key, 10).unwrap();
    world
        .until("the hooks are made anew", async |world| {
            let now = world.get(JOB.0, JOB.1, Some("shop"), "if-bad").await;
            has(world, JOB, "if-good").await
                && now.is_some_and(|now| now["metadata"]["uid"] != of_before["metadata"]["uid"])
        })
        .await;
    end_job(&world, "if-bad", "Failed").await;
    world
        .until("the sync fails", async |_| {
            attempts().iter().any(|sync| sync.outcome == Outcome::Failed && sync.message.contains("if-bad"))
        })
        .await;
    world.until("the failed one is deleted", async |world| !has(world, JOB, "if-bad").await).await;
    assert!(has(&world, JOB, "kept").await);
    assert_eq!(
        world.value("a", "key").await.as_deref(),
        Some("one"),
        "nothing is applied after a failed hook"
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hook_that_hangs_fails_at_its_deadline_and_another_tells_of_it() {
    let repository = Repository::new();
    repository.push(
        "main",
        "First",
        &[
            ("deploy/a.yaml", Some(&config("a", "one"))),
            (
                "deploy/slow.yaml",
                Some(&job("slow", "seaway.dev/hook: before, seaway.dev/deadline: \"1\", seaway.dev/hook-delete-policy: HookFailed")),
            ),
            ("deploy/alarm.yaml", Some(&annotated("alarm", "x", "argocd.argoproj.io/hook: SyncFail"))),
        ],
    );
    let world = World::new().await;
    let key = world.follow(&repository, json!({})).await;
    world
        .until("it is said", async |world| {
            world
                .view()
                .is_some_and(|view| view.message.contains("is not healthy after 1 s: Job.batch shop/slow"))
        })
        .await;
    world
        .until("the hook for failed syncs has run", async |world| has(world, CONFIG_MAP, "alarm").await)
        .await;
    assert_eq!(world.value("a", "key").await, None);
    world.until("it is tried again", async |world| world.sync().history(&key, 10).unwrap().len() >= 2).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fields_are_left_to_others_by_pointer_and_by_manager() {
    let repository = Repository::new();
    let deployment = |image: &str| {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web, annotations: {{team: ours}}}}\nspec:\n  replicas: 2\n  \
             selector: {{matchLabels: {{app: web}}}}\n  template:\n    metadata: {{labels: {{app: web}}}}\n    spec:\n      \
             containers: [{{name: web, image: \"{image}\"}}]\n"
        )
    };
    repository.push("main", "First", &[("deploy/web.yaml", Some(&deployment("web:1")))]);
    let world = World::new().await;
    // No controller runs: it never becomes healthy.
    world.follow(&repository, json!({"sync": {"waveTimeoutSeconds": 1}})).await;
    let ignore = json!({"spec": {"ignore": [
        {"group": "apps", "kind": "Deployment", "jsonPointers": ["/spec/replicas"]},
        {"fieldManagers": ["annotator"]}]}});
    world.patch("seaway.dev/v1alpha1", "Stack", "seaway", "shop", "test", ignore).await;
    let web = async || world.get("apps/v1", "Deployment", Some("shop"), "web").await.unwrap_or_default();
    world.until("it is deployed", async |_| !web().await.is_null()).await;
    world.patch("apps/v1", "Deployment", "shop", "web", "scaler", json!({"spec": {"replicas": 7}})).await;
    let theirs = json!({"metadata": {"annotations": {"team": "theirs"}}});
    world.patch("apps/v1", "Deployment", "shop", "web", "annotator", theirs).await;
    let paused = json!({"spec": {"paused": true, "minReadySeconds": 3}});
    world.patch("apps/v1", "Deployment", "shop", "web", "kubectl-edit", paused).await;
    repository.push("main", "Second", &[("deploy/web.yaml", Some(&deployment("web:2")))]);
    world
        .until("the rest follows Git", async |_| {
            web().await["spec"]["template"]["spec"]["containers"][0]["image"] == "web:2"
        })
        .await;
    world
        .until("and that is all", async |world| {
            world.view().is_some_and(|view| view.sync == SyncStatus::Synced)
        })
        .await;
    let web = web().await;
    assert_eq!(
        (&web["spec"]["replicas"], &web["metadata"]["annotations"]["team"]),
        (&json!(7), &json!("theirs"))
    );
    assert_eq!(web["spec"]["minReadySeconds"], 3, "what is not rendered is nobody's concern");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_ignored_is_named_with_its_place_and_the_end_spares_what_asks_for_it() {
    let repository = Repository::new();
    let first = repository.push(
        "main",
        "First",
        &[
            (
                "deploy/kept.yaml",
                Some(&annotated("kept", "x", "argocd.argoproj.io/sync-options: Delete=false")),
            ),
            (
                "deploy/gone.yaml",
                Some(&annotated("gone", "x", "argocd.argoproj.io/sync-options: Prune=false")),
            ),
            (
                "deploy/odd.yaml",
                Some(&annotated("odd", "x", "argocd.argoproj.io/sync-options: Validate=false")),
            ),
        ],
    );
    let world = World::new().await;
    world.follow(&repository, json!({})).await;
    world.synced(&first).await;
    world
        .until("the warning is in the condition", async |world| {
            let found =
                world.get("seaway.dev/v1alpha1", "Environment", Some("seaway"), "staging").await.unwrap();
            let conditions = found["status"]["conditions"].as_array().cloned().unwrap_or_default();
            conditions.iter().any(|condition| {
                let message = condition["message"].as_str().unwrap_or_default();
                condition["type"] == "Rendered"
                    && condition["status"] == "True"
                    && message.starts_with("deploy/odd.yaml:1: ConfigMap shop/odd: ")
                    && message.contains("Validate=false is ignored: ")
                    && !message.contains("Delete=false")
            })
        })
        .await;
    world.delete("seaway.dev/v1alpha1", "Environment", Some("seaway"), "staging").await;
    world.until("it is gone", async |world| world.view().is_none()).await;
    assert!(has(&world, CONFIG_MAP, "kept").await);
    assert!(!has(&world, CONFIG_MAP, "gone").await && !has(&world, CONFIG_MAP, "odd").await);
    world.stop().await;
}
