//! Hooks of an environment's end: before anything is deleted, and after all of it is.

#![allow(clippy::unwrap_used)]

#[allow(dead_code, unreachable_pub)]
mod support;

use seaway_sync::plan::Action;
use serde_json::{Value, json};
use support::end::{
    ENVIRONMENT, annotate, before, delete, end_job, end_job_in, ends_with, find_job, gone, job, runs,
    runs_again, says, skip,
};
use support::gate::Way;
use support::{Repository, World, config, copy};

/// A ConfigMap with annotations.
fn annotated(name: &str, value: &str, annotations: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n  annotations: {{{annotations}}}\ndata:\n  key: {value}\n"
    )
}

/// A world in which `staging` runs a ConfigMap `a` and has these files as well.
async fn world(files: &[(&str, &str)]) -> (World, Repository) {
    let (world, repository) = (World::new().await, Repository::new());
    let a = config("a", "one");
    let mut all: Vec<(&str, Option<&str>)> = vec![("deploy/a.yaml", Some(&a))];
    all.extend(files.iter().map(|(name, text)| (*name, Some(*text))));
    let commit = repository.push("main", "First", &all);
    world.follow(&repository, json!({})).await;
    world.synced(&commit).await;
    (world, repository)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_run_before_and_after_the_deletion_and_at_no_other_time_also_without_git() {
    let script = annotated(
        "script",
        "x",
        "argocd.argoproj.io/hook: PreDelete, argocd.argoproj.io/sync-wave: \"-1\", \
         argocd.argoproj.io/hook-delete-policy: HookSucceeded",
    );
    let told = annotated("told", "x", "seaway.dev/hook: after-delete, seaway.dev/hook-delete-policy: Never");
    let tell = job("tell", "argocd.argoproj.io/hook: PostDelete, seaway.dev/sync-wave: \"1\"");
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {password: hunter2}\n";
    let (world, repository) = world(&[
        ("deploy/script.yaml", &script),
        ("deploy/drain.yaml", &before("drain")),
        ("deploy/tell.yaml", &tell),
        ("deploy/told.yaml", &told),
        ("deploy/secret.yaml", secret),
    ])
    .await;
    let key = world.sync().find(None, "staging").unwrap();
    assert!(find_job(&world, "drain").await.is_none() && find_job(&world, "tell").await.is_none());
    assert_eq!((world.value("script", "key").await, world.value("told", "key").await), (None, None));
    let plan = world.sync().plan(&key, None).await.unwrap();
    let drain = plan.objects.iter().find(|planned| planned.object.name == "drain").unwrap();
    assert_eq!(
        (drain.action, drain.message.as_str()),
        (Action::Hook, "runs at the end of the environment, before anything is deleted")
    );
    let detail = world.sync().show(&key).unwrap();
    assert!(detail.objects.iter().all(|object| object.object.name != "drain"), "it is not missing");
    let records = std::fs::read_to_string(world.folder.path().join("sync/seaway.staging.json")).unwrap();
    assert!(records.contains("drain") && !records.contains("hunter2") && !records.contains("aHVudGVyMg"));

    repository.hide(true);
    delete(&world).await;
    says(&world, &["waits for the hook Job.batch shop/drain (before-delete"]).await;
    ends_with(&world, "Waiting").await;
    assert_eq!(world.value("a", "key").await.as_deref(), Some("one"), "nothing is deleted before it is done");
    assert!(world.value("script", "key").await.is_some(), "those of later waves need it");
    end_job(&world, "drain", "Complete").await;
    runs(&world, "tell").await;
    assert_eq!(world.value("a", "key").await, None, "everything is deleted before it begins");
    assert_eq!(world.value("script", "key").await, None, "it asked for that");
    assert_eq!(world.value("told", "key").await.as_deref(), Some("x"), "its wave is earlier");
    end_job(&world, "tell", "Complete").await;
    gone(&world).await;
    assert!(find_job(&world, "drain").await.is_none() && find_job(&world, "tell").await.is_none());
    assert_eq!(world.value("told", "key").await.as_deref(), Some("x"), "it asked to stay");
    let account = world.get("v1", "ServiceAccount", Some("seaway"), "seaway-staging").await;
    assert_eq!(account, None);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_fails_keeps_the_environment_until_it_is_deleted_again() {
    let second = job("second", "argocd.argoproj.io/hook: PreDelete, argocd.argoproj.io/sync-wave: \"1\"");
    let (mut world, _repository) =
        world(&[("deploy/first.yaml", &before("first")), ("deploy/second.yaml", &second)]).await;
    let key = world.sync().find(None, "staging").unwrap();
    delete(&world).await;
    let first = runs(&world, "first").await;
    assert!(!world.sync().end_again(&key).unwrap(), "none has failed");
    assert!(find_job(&world, "second").await.is_none(), "its wave is later");
    end_job(&world, "first", "Complete").await;
    let of_attempt_1 = runs(&world, "second").await;
    end_job(&world, "second", "Failed").await;
    let told = [
        "the hook Job.batch shop/second (before-delete) failed",
        "`seaway env delete staging` runs it again",
        "seaway.dev/skip-end-hooks=true",
    ];
    says(&world, &told).await;
    ends_with(&world, "HookFailed").await;
    world.restart().await;
    says(&world, &told).await;
    assert_eq!(runs(&world, "second").await, of_attempt_1, "it does not run again by itself");
    assert_eq!(world.value("a", "key").await.as_deref(), Some("one"));

    assert!(world.sync().end_again(&key).unwrap());
    let of_attempt_2 = runs_again(&world, "second", &of_attempt_1).await;
    end_job(&world, "second", "Failed").await;
    says(&world, &told).await;
    annotate(&world, "seaway.dev/retry-end-hooks", "once more").await;
    runs_again(&world, "second", &of_attempt_2).await;
    assert_eq!(runs(&world, "first").await, first, "what has succeeded does not run again");
    end_job(&world, "second", "Complete").await;
    gone(&world).await;
    assert_eq!(world.value("a", "key").await, None);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_not_done_in_time_has_failed_unless_it_ends_well_after_all() {
    let slow = job("slow", "seaway.dev/hook: before-delete, seaway.dev/deadline: \"1\"");
    let (world, _repository) = world(&[("deploy/slow.yaml", &slow)]).await;
    delete(&world).await;
    says(&world, &["the hook Job.batch shop/slow (before-delete) is not done after 1 s"]).await;
    end_job(&world, "slow", "Complete").await;
    gone(&world).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_one_that_its_policy_deletes_does_not_run_again_by_itself() {
    let hook = job("drain", "seaway.dev/hook: before-delete, seaway.dev/hook-delete-policy: HookFailed");
    let (mut world, _repository) = world(&[("deploy/drain.yaml", &hook)]).await;
    let key = world.sync().find(None, "staging").unwrap();
    delete(&world).await;
    end_job(&world, "drain", "Failed").await;
    world.until("it is deleted", async |world| find_job(world, "drain").await.is_none()).await;
    world.restart().await;
    says(&world, &["the hook Job.batch shop/drain (before-delete) failed"]).await;
    assert!(find_job(&world, "drain").await.is_none());
    assert!(world.sync().end_again(&key).unwrap());
    end_job(&world, "drain", "Complete").await;
    gone(&world).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_goes_on_without_them_leaves_only_what_this_end_did_not_make() {
    let tell = job("tell", "argocd.argoproj.io/hook: PostDelete");
    let (world, _repository) =
        world(&[("deploy/drain.yaml", &before("drain")), ("deploy/tell.yaml", &tell)]).await;
    let spec = json!({"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "x"}]}}});
    let theirs = world
        .create(json!({"apiVersion": "batch/v1", "kind": "Job", "spec": spec,
            "metadata": {"name": "tell", "namespace": "shop", "annotations": {"seaway.dev/hook-run": "end-other/x/1"}}}))
        .await;
    delete(&world).await;
    end_job(&world, "drain", "Failed").await;
    says(&world, &["drain", "failed"]).await;
    skip(&world).await;
    gone(&world).await;
    assert_eq!(world.value("a", "key").await, None);
    assert_eq!(find_job(&world, "drain").await, None);
    assert_eq!(find_job(&world, "tell").await.unwrap()["metadata"]["uid"], theirs["metadata"]["uid"]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_whose_object_goes_before_it_was_seen_to_end_does_not_run_twice() {
    let (mut world, _repository) = world(&[("deploy/drain.yaml", &before("drain"))]).await;
    let key = world.sync().find(None, "staging").unwrap();
    delete(&world).await;
    says(&world, &["waits for the hook Job.batch shop/drain"]).await;
    // As with a Job that ends while nobody looks, and is deleted by its time to live.
    world.sync.take().unwrap().stop().await;
    end_job(&world, "drain", "Complete").await;
    world.delete("batch/v1", "Job", Some("shop"), "drain").await;
    world.start().await;
    says(&world, &["the hook Job.batch shop/drain (before-delete) was deleted before it was seen to end"])
        .await;
    assert!(find_job(&world, "drain").await.is_none());
    // A person decides.
    assert!(world.sync().end_again(&key).unwrap());
    runs(&world, "drain").await;
    says(&world, &["waits for the hook Job.batch shop/drain"]).await;
    world.sync.take().unwrap().stop().await;
    end_job(&world, "drain", "Complete").await;
    world.start().await;
    gone(&world).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_earlier_run_left_is_waited_for_and_what_is_not_ours_is_left_alone() {
    let (world, _repository) = world(&[("deploy/drain.yaml", &before("drain"))]).await;
    let spec = json!({"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "x"}]}}});
    let theirs = world
        .create(json!({"apiVersion": "batch/v1", "kind": "Job", "spec": spec,
            "metadata": {"name": "drain", "namespace": "shop"}}))
        .await["metadata"]["uid"]
        .clone();
    delete(&world).await;
    says(&world, &["Job.batch shop/drain", "that is not this environment's", "skip-end-hooks"]).await;
    assert_eq!(runs(&world, "drain").await, theirs);
    world.delete("batch/v1", "Job", Some("shop"), "drain").await;
    let ours = runs_again(&world, "drain", &theirs).await;
    end_job(&world, "drain", "Failed").await;
    says(&world, &["failed"]).await;
    let key = world.sync().find(None, "staging").unwrap();

    // One of before that does not go at once.
    let keep = json!({"metadata": {"finalizers": ["example.com/slow"]}});
    world.patch("batch/v1", "Job", "shop", "drain", "test", keep).await;
    assert!(world.sync().end_again(&key).unwrap());
    says(&world, &["Job.batch shop/drain", "earlier run", "example.com/slow"]).await;
    let go = json!({"metadata": {"finalizers": null}});
    world.patch("batch/v1", "Job", "shop", "drain", "test", go).await;
    runs_again(&world, "drain", &ours).await;
    end_job(&world, "drain", "Complete").await;
    gone(&world).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_in_a_namespace_that_ends_says_so_and_can_be_passed_over() {
    let hook = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: drain, namespace: extra, annotations: \
        {argocd.argoproj.io/hook: PreDelete}}\n";
    let repository = Repository::new();
    let a = config("a", "one");
    let first =
        repository.push("main", "First", &[("deploy/a.yaml", Some(&a)), ("deploy/drain.yaml", Some(hook))]);
    let world = World::new().await;
    world.follow(&repository, json!({"destination": {"namespace": "shop", "namespaces": ["extra"]}})).await;
    world.synced(&first).await;
    let keeps = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "keeps",
        "namespace": "extra", "finalizers": ["example.com/slow"]}});
    world.create(keeps).await;
    world.delete("v1", "Namespace", None, "extra").await;
    delete(&world).await;
    let cannot = "the hook ConfigMap extra/drain (before-delete) cannot run: its namespace extra is";
    says(&world, &[cannot, "being deleted", "skip-end-hooks"]).await;
    let go = json!({"metadata": {"finalizers": null}});
    world.patch("v1", "ConfigMap", "extra", "keeps", "test", go).await;
    says(&world, &[cannot, "gone", "skip-end-hooks"]).await;
    assert_eq!(world.value("a", "key").await.as_deref(), Some("one"));
    skip(&world).await;
    gone(&world).await;
    assert_eq!(world.value("a", "key").await, None);
    world.stop().await;
}

fn widgets() -> Value {
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"}, "spec": {"group": "example.com", "scope": "Namespaced",
            "names": {"kind": "Widget", "plural": "widgets", "singular": "widget", "listKind": "WidgetList"},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"size": {"type": "integer"}}}}}]}})
}

/// A world whose environment has a hook of a kind that its account may not write.
async fn with_widget() -> (World, Repository) {
    let widget = "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w, annotations: \
        {argocd.argoproj.io/hook: PreDelete}}\nsize: 3\n";
    let repository = Repository::new();
    let a = config("a", "one");
    let first =
        repository.push("main", "First", &[("deploy/a.yaml", Some(&a)), ("deploy/w.yaml", Some(widget))]);
    let world = World::new().await;
    world.create(widgets()).await;
    world
        .until("the kind is served", async |world| {
            let api = support::api_of(
                &world.admin(),
                &json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"namespace": "default"}}),
            );
            api.list(&Default::default()).await.is_ok()
        })
        .await;
    world.follow(&repository, json!({})).await;
    world.synced(&first).await;
    (world, repository)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_are_applied_as_the_environments_account_and_what_that_may_not_do_says_so() {
    let (world, _repository) = with_widget().await;
    delete(&world).await;
    let told = ["the hook Widget.example.com shop/w (before-delete) cannot run", "cannot", "skip-end-hooks"];
    says(&world, &told).await;
    assert_eq!(world.get("example.com/v1", "Widget", Some("shop"), "w").await, None, "nor by Seaway itself");
    assert_eq!(world.value("a", "key").await.as_deref(), Some("one"));
    // The rights come: it goes on by itself.
    world
        .create(json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {"name": "widgets", "labels": {"rbac.authorization.k8s.io/aggregate-to-admin": "true"}},
            "rules": [{"apiGroups": ["example.com"], "resources": ["widgets"], "verbs": ["*"]}]}))
        .await;
    gone(&world).await;
    assert_eq!(world.get("example.com/v1", "Widget", Some("shop"), "w").await, None, "it went with the end");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_not_even_be_read_keeps_nothing_that_goes_on_without_hooks() {
    let (world, _repository) = with_widget().await;
    delete(&world).await;
    says(&world, &["the hook Widget.example.com shop/w (before-delete) cannot run"]).await;
    skip(&world).await;
    gone(&world).await;
    assert_eq!(world.value("a", "key").await, None);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_a_kind_that_is_gone_says_so_and_can_be_passed_over() {
    let (world, _repository) = with_widget().await;
    let admin = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": "widgets", "labels": {"rbac.authorization.k8s.io/aggregate-to-admin": "true"}},
        "rules": [{"apiGroups": ["example.com"], "resources": ["widgets"], "verbs": ["*"]}]});
    world.create(admin).await;
    world.delete("apiextensions.k8s.io/v1", "CustomResourceDefinition", None, "widgets.example.com").await;
    world
        .until("the kind is gone", async |world| {
            let found = world
                .get("apiextensions.k8s.io/v1", "CustomResourceDefinition", None, "widgets.example.com")
                .await;
            found.is_none()
        })
        .await;
    delete(&world).await;
    says(&world, &["does not know the kind", "Widget", "skip-end-hooks"]).await;
    skip(&world).await;
    gone(&world).await;
    assert_eq!(world.value("a", "key").await, None);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_environment_that_never_was_brought_to_anything_ends_without_them() {
    let elsewhere = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, namespace: kube-system}\n";
    let repository = Repository::new();
    repository.push(
        "main",
        "Refused",
        &[("deploy/x.yaml", Some(elsewhere)), ("deploy/drain.yaml", Some(&before("drain")))],
    );
    let world = World::new().await;
    world.follow(&repository, json!({})).await;
    says(&world, &["kube-system"]).await;
    delete(&world).await;
    gone(&world).await;
    assert_eq!(find_job(&world, "drain").await, None);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_environment_of_the_name_has_another_end() {
    let (world, _repository) = world(&[("deploy/drain.yaml", &before("drain"))]).await;
    delete(&world).await;
    let of_the_first = runs(&world, "drain").await;
    says(&world, &["waits for the hook"]).await;
    // Somebody takes its finalizer away in the middle.
    let freed = json!({"metadata": {"finalizers": null}});
    world.patch(ENVIRONMENT.0, ENVIRONMENT.1, "seaway", "staging", "test", freed).await;
    gone(&world).await;
    world
        .create(json!({"apiVersion": ENVIRONMENT.0, "kind": ENVIRONMENT.1,
            "metadata": {"name": "staging", "namespace": "seaway"},
            "spec": {"stack": "shop", "destination": {"namespace": "shop"}}}))
        .await;
    let synced = async |world: &World| {
        world.view().is_some_and(|view| view.sync == seaway_sync::view::SyncStatus::Synced)
    };
    world.until("it is synced", synced).await;
    assert_eq!(runs(&world, "drain").await, of_the_first, "what hooks have left is no concern of syncs");
    delete(&world).await;
    runs_again(&world, "drain", &of_the_first).await;
    assert!(world.value("a", "key").await.is_some(), "the hook has not ended");
    end_job(&world, "drain", "Complete").await;
    gone(&world).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_of_what_runs_count_also_where_it_is_held_and_suspended() {
    let hook = |value: &str| annotated("drain", value, "argocd.argoproj.io/hook: PreDelete");
    let repository = Repository::new();
    let files = |value: &str| [("deploy/a.yaml", config("a", value)), ("deploy/drain.yaml", hook(value))];
    let push = |value: &str| {
        let files = files(value);
        let files: Vec<(&str, Option<&str>)> =
            files.iter().map(|(name, text)| (*name, Some(text.as_str()))).collect();
        repository.push("main", value, &files)
    };
    let tell = job("tell", "argocd.argoproj.io/hook: PostDelete");
    repository.push("main", "Tell", &[("deploy/tell.yaml", Some(&tell))]);
    let first = push("one");
    let world = World::new().await;
    let key = world.follow(&repository, json!({})).await;
    world.synced(&first).await;
    let second = push("two");
    world.synced(&second).await;
    world.sync().rollback(&key, None, "ada", "bad").await.unwrap();
    world.synced(&first).await;
    world.sync().suspend(&key, "ada").await.unwrap();
    delete(&world).await;
    runs(&world, "tell").await;
    assert_eq!(world.value("drain", "key").await.as_deref(), Some("one"));
    assert_eq!(world.value("a", "key").await, None);
    end_job(&world, "tell", "Complete").await;
    gone(&world).await;
    assert_eq!(world.value("drain", "key").await, None);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_two_environments_ends_with_its_own() {
    let (world, _repository) = world(&[("deploy/drain.yaml", &before("drain"))]).await;
    world
        .create(json!({"apiVersion": ENVIRONMENT.0, "kind": ENVIRONMENT.1,
            "metadata": {"name": "other", "namespace": "seaway"},
            "spec": {"stack": "shop", "destination": {"namespace": "others"}}}))
        .await;
    let other = |world: &World| world.sync().list().into_iter().find(|view| view.name == "other");
    world
        .until("the other one is synced", async |world| {
            let synced = seaway_sync::view::SyncStatus::Synced;
            other(world).is_some_and(|view| view.sync == synced && view.release.is_some())
        })
        .await;
    delete(&world).await;
    world.delete(ENVIRONMENT.0, ENVIRONMENT.1, Some("seaway"), "other").await;
    runs(&world, "drain").await;
    end_job_in(&world, "others", "drain", "Complete").await;
    world.until("the other one is gone", async |world| other(world).is_none()).await;
    assert_eq!(world.value("a", "key").await.as_deref(), Some("one"), "this one's hook has not ended");
    assert!(world.view().is_some());
    end_job(&world, "drain", "Complete").await;
    gone(&world).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_that_is_away_meanwhile_changes_nothing() {
    let tell = job("tell", "argocd.argoproj.io/hook: PostDelete");
    let (world, _repository) =
        world(&[("deploy/drain.yaml", &before("drain")), ("deploy/tell.yaml", &tell)]).await;
    delete(&world).await;
    let drain = runs(&world, "drain").await;
    says(&world, &["waits for the hook Job.batch shop/drain"]).await;
    world.gate.set(Way::Down);
    end_job(&world, "drain", "Complete").await;
    says(&world, &["cannot go on", "nobody answers"]).await;
    assert_eq!(world.value("a", "key").await.as_deref(), Some("one"));
    world.gate.set(Way::Open);
    runs(&world, "tell").await;
    assert_eq!(runs(&world, "drain").await, drain);
    end_job(&world, "tell", "Complete").await;
    gone(&world).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_earlier_release_brought_gets_its_hooks_kept() {
    let (mut world, _repository) = world(&[("deploy/drain.yaml", &before("drain"))]).await;
    world.sync.take().unwrap().stop().await;
    // As a release wrote it that did not know them.
    let records = world.folder.path().join("sync/seaway.staging.json");
    let lines = std::fs::read_to_string(&records).unwrap();
    let without = |line: &str| {
        let mut change: Value = serde_json::from_str(line).unwrap();
        change.as_object_mut().unwrap().remove("endHooks");
        format!("{change}\n")
    };
    std::fs::write(&records, lines.lines().map(without).collect::<String>()).unwrap();
    world.start().await;
    world
        .until("they are kept", async |_| std::fs::read_to_string(&records).unwrap().contains("endHooks"))
        .await;
    let key = world.sync().find(None, "staging").unwrap();
    assert_eq!(world.sync().history(&key, 10).unwrap().len(), 1, "nothing is synced for that");
    delete(&world).await;
    end_job(&world, "drain", "Complete").await;
    gone(&world).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_kept_or_is_not_allowed_is_refused_before_it_counts() {
    let repository = Repository::new();
    let hook = "annotations: {argocd.argoproj.io/hook: PostDelete}";
    let a = config("a", "one");
    let secret =
        format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: s, {hook}}}\nstringData: {{p: x}}\n");
    let elsewhere =
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: x, namespace: kube-system, {hook}}}\n");
    let binding = format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {{name: root, {hook}}}\n\
         roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}}\nsubjects: []\n"
    );
    repository.push(
        "main",
        "Greedy",
        &[
            ("deploy/a.yaml", Some(&a)),
            ("deploy/secret.yaml", Some(&secret)),
            ("deploy/elsewhere.yaml", Some(&elsewhere)),
            ("deploy/binding.yaml", Some(&binding)),
        ],
    );
    let world = World::new().await;
    let key = world.follow(&repository, json!({})).await;
    says(&world, &["deploy/"]).await;
    let plan = world.sync().plan(&key, None).await.unwrap();
    let of = |name: &str| plan.objects.iter().find(|planned| planned.object.name == name).unwrap();
    assert_eq!((of("x").action, of("root").action), (Action::Forbidden, Action::Forbidden));
    assert_eq!(of("s").action, Action::Invalid);
    assert!(of("s").message.contains("a Secret is no hook of the environment's end"), "{}", of("s").message);
    assert_eq!(world.value("a", "key").await, None);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_ends_without_them() {
    let a = config("a", "one");
    let (world, _repository) = copy::world(
        &[("deploy/a.yaml", Some(&a)), ("deploy/drain.yaml", Some(&before("drain")))],
        Value::Null,
    )
    .await;
    copy::copy(&world, "mine", json!({})).await;
    copy::synced(&world, "mine").await;
    world.delete(ENVIRONMENT.0, ENVIRONMENT.1, Some("seaway-jane"), "mine").await;
    world.until("it is gone", async |world| copy::view(world, "mine").is_none()).await;
    world.stop().await;
}
