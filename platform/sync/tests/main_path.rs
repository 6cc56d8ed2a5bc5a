//! An environment follows a repository: deployed, pushed, broken, fixed, changed by hand, pruned, rolled back.

#![allow(clippy::unwrap_used)]

#[allow(dead_code, unreachable_pub)]
mod support;

use seaway_sync::plan::Action;
use seaway_sync::view::{Outcome, SyncStatus, Trigger};
use seaway_sync::{HealthStatus, SyncChoice};
use serde_json::json;
use support::{Repository, World, config};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_environment_follows_git() {
    let repository = Repository::over_http().await;
    let first = repository.push("main", "First", &[("deploy/a.yaml", Some(&config("a", "one")))]);
    let world = World::new().await;
    let key = world.follow(&repository, json!({})).await;
    world.synced(&first).await;
    assert_eq!(world.value("a", "key").await.as_deref(), Some("one"));
    assert_eq!(world.view().unwrap().health, HealthStatus::Healthy);

    // The Environment itself says it as well.
    world
        .until("the status says it", async |world| {
            let found =
                world.get("seaway.dev/v1alpha1", "Environment", Some("seaway"), "staging").await.unwrap();
            found["status"]["sync"] == "Synced" && found["status"]["revision"] == first[..8]
        })
        .await;

    // A push is followed, and what left Git is deleted.
    let second = repository.push(
        "main",
        "Second",
        &[("deploy/a.yaml", Some(&config("a", "two"))), ("deploy/b.yaml", Some(&config("b", "two")))],
    );
    world.synced(&second).await;
    assert_eq!(world.value("a", "key").await.as_deref(), Some("two"));
    let third = repository.push("main", "Third", &[("deploy/b.yaml", None)]);
    world.synced(&third).await;
    world.until("b is gone", async |world| world.value("b", "key").await.is_none()).await;

    // The record says who and what.
    let history = world.sync().history(&key, 10).unwrap();
    assert_eq!(history.len(), 3, "{history:#?}");
    assert!(
        history.iter().all(|sync| sync.outcome == Outcome::Succeeded && sync.trigger == Trigger::Release)
    );
    assert_eq!(history[1].commits[0].subject, "Second");
    assert_eq!(history[1].commits[0].author, "Ada");
    assert_eq!(history[0].objects.iter().map(|o| o.action).collect::<Vec<_>>(), [Action::Prune]);

    // So does the ledger, for good.
    let ledger = world.ledger().await;
    let syncs = ledger.syncs("seaway/staging", None, 10).await.unwrap().items;
    assert_eq!(syncs.len(), 3);
    assert_eq!(syncs[0].release, history[0].release);
    let filter = seaway_ledger::EventFilter {
        object: Some("Environment/seaway/staging".into()),
        action: Some("environment.sync".into()),
        ..Default::default()
    };
    let events = ledger.events(&filter, 10).await.unwrap().items;
    assert_eq!(events.iter().map(|event| event.outcome.as_str()).collect::<Vec<_>>(), ["succeeded"; 3]);
    assert_eq!(ledger.inventory("seaway/staging").await.unwrap().unwrap().entries.len(), 1);

    // A commit that changes nothing here costs nothing.
    repository.push("main", "Elsewhere", &[("docs/x.md", Some("x"))]);
    let fifth = repository.push("main", "Fifth", &[("deploy/a.yaml", Some(&config("a", "five")))]);
    world.synced(&fifth).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_commit_is_named_by_its_file_and_the_next_good_one_goes_through() {
    let repository = Repository::new();
    let first = repository.push("main", "First", &[("deploy/a.yaml", Some(&config("a", "one")))]);
    let world = World::new().await;
    world.follow(&repository, json!({})).await;
    world.synced(&first).await;
    repository.push("main", "Broken", &[("deploy/bad.yaml", Some("kind: [\n"))]);
    world
        .until("the broken file is named", async |world| {
            world.view().is_some_and(|view| view.message.contains("deploy/bad.yaml"))
        })
        .await;
    assert_eq!(world.view().unwrap().sync, SyncStatus::Unknown);

    // What runs is still looked after.
    world.patch("v1", "ConfigMap", "shop", "a", "kubectl-edit", json!({"data": {"key": "edited"}})).await;
    world.until("reverted", async |world| world.value("a", "key").await.as_deref() == Some("one")).await;

    let fixed = repository.push(
        "main",
        "Fixed",
        &[("deploy/bad.yaml", None), ("deploy/a.yaml", Some(&config("a", "fixed")))],
    );
    world.synced(&fixed).await;
    assert_eq!(world.view().unwrap().message, "");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drift_is_seen_attributed_and_reverted() {
    let repository = Repository::new();
    let first = repository.push("main", "First", &[("deploy/a.yaml", Some(&config("a", "one")))]);
    let world = World::new().await;
    let key = world.follow(&repository, json!({"sync": {"selfHeal": false}})).await;
    world.synced(&first).await;
    world
        .patch("v1", "ConfigMap", "shop", "a", "kubectl-edit", json!({"data": {"key": "x", "own": "y"}}))
        .await;
    world
        .until("drift is seen", async |world| {
            world.view().is_some_and(|view| view.sync == SyncStatus::OutOfSync)
        })
        .await;
    let plan = world.sync().show(&key).unwrap().plan;
    let fields: Vec<_> = plan.objects.iter().flat_map(|object| &object.fields).collect();
    assert_eq!(fields.len(), 1, "{fields:?}");
    assert_eq!(fields[0].path, ".data.key");
    assert!(fields[0].drift);
    assert_eq!(fields[0].owner.as_ref().unwrap().manager, "kubectl-edit");
    assert!(world.view().unwrap().message.contains("kubectl-edit"));

    let environment = json!({"spec": {"sync": {"selfHeal": true}}});
    world.patch("seaway.dev/v1alpha1", "Environment", "seaway", "staging", "test", environment).await;
    world.synced(&first).await;
    let found = world.get("v1", "ConfigMap", Some("shop"), "a").await.unwrap();
    assert_eq!(found["data"], json!({"key": "one", "own": "y"}), "what is not rendered is left alone");
    let history = world.sync().history(&key, 1).unwrap();
    assert_eq!(history[0].trigger, Trigger::Drift);
    assert_eq!(history[0].objects[0].reverted_from, ["kubectl-edit"]);

    // An object that somebody deletes comes back.
    world.delete("v1", "ConfigMap", Some("shop"), "a").await;
    world.until("it is back", async |world| world.value("a", "key").await.as_deref() == Some("one")).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_plan_of_a_branch_is_right_and_applies_nothing() {
    let repository = Repository::new();
    let first = repository.push(
        "main",
        "First",
        &[("deploy/a.yaml", Some(&config("a", "one"))), ("deploy/b.yaml", Some(&config("b", "one")))],
    );
    let world = World::new().await;
    let key = world.follow(&repository, json!({})).await;
    world.synced(&first).await;
    repository.push(
        "feature",
        "Feature",
        &[
            ("deploy/a.yaml", Some(&config("a", "two"))),
            ("deploy/b.yaml", None),
            ("deploy/c.yaml", Some(&config("c", "two"))),
        ],
    );
    let plan = world.sync().plan(&key, Some("feature")).await.unwrap();
    let mut actions: Vec<_> =
        plan.objects.iter().map(|object| (object.object.name.as_str(), object.action)).collect();
    actions.sort_unstable_by_key(|(name, _)| *name);
    assert_eq!(actions, [("a", Action::Change), ("b", Action::Prune), ("c", Action::Create)]);
    let field = &plan.objects.iter().find(|object| object.object.name == "a").unwrap().fields[0];
    assert_eq!((field.from.clone(), field.to.clone()), (Some(json!("one")), Some(json!("two"))));
    assert!(world.sync().plan(&key, None).await.unwrap().is_in_sync());
    assert!(world.sync().plan(&key, Some("no-such-branch")).await.is_err());
    assert_eq!(world.value("a", "key").await.as_deref(), Some("one"));
    assert_eq!(world.sync().history(&key, 10).unwrap().len(), 1);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollback_holds_the_bad_release_while_automatic_sync_stays_on() {
    let repository = Repository::new();
    let good = repository.push("main", "Good", &[("deploy/a.yaml", Some(&config("a", "good")))]);
    let mut world = World::new().await;
    let key = world.follow(&repository, json!({})).await;
    world.synced(&good).await;
    let bad = repository.push("main", "Bad", &[("deploy/a.yaml", Some(&config("a", "bad")))]);
    world.synced(&bad).await;
    let hold = world.sync().rollback(&key, None, "ada", "breaks checkout").await.unwrap();
    world.synced(&good).await;
    assert_eq!(world.value("a", "key").await.as_deref(), Some("good"));
    let history = world.sync().history(&key, 1).unwrap();
    assert_eq!((history[0].trigger, history[0].outcome), (Trigger::Rollback, Outcome::Succeeded));
    assert_eq!(history[0].actor, "ada");
    let message = world.view().unwrap().message;
    assert!(message.contains(&hold.release) && message.contains("breaks checkout"), "{message}");

    // Its timeline names what was passed over and why, and what was applied.
    let steps = world.sync().timeline(&key, None).unwrap().steps;
    let instead = steps.iter().find(|step| step.id == "instead").expect("a step for it");
    let short = |commit: &str| commit[..8].to_owned();
    assert!(
        instead.title.contains(&short(&good)) && instead.title.contains(&history[0].release),
        "{instead:?}"
    );
    assert!(
        instead.message.contains(&short(&bad)) && instead.message.contains("breaks checkout"),
        "{instead:?}"
    );
    let rendered: Vec<&str> =
        steps.iter().filter(|step| step.id.starts_with("instead/")).map(|step| step.title.as_str()).collect();
    assert_eq!(rendered, [format!("Render web at {}", short(&good))]);

    // It stays so: over news of the repository that change nothing here, over a restart, and by hand.
    repository.push("main", "Unrelated", &[("README.md", Some("x"))]);
    world.sync().sync(&key, Default::default(), "ada").await.unwrap();
    assert_eq!(world.value("a", "key").await.as_deref(), Some("good"));
    world.sync.take().unwrap().stop().await;
    world.start().await;
    world.synced(&good).await;
    assert_eq!(world.value("a", "key").await.as_deref(), Some("good"));

    // A newer release is deployed without anybody doing anything.
    let fix = repository.push("main", "Fix", &[("deploy/a.yaml", Some(&config("a", "fix")))]);
    world.synced(&fix).await;
    assert_eq!(world.value("a", "key").await.as_deref(), Some("fix"));

    // The bad content under another commit is held as well, until a person lifts the hold.
    let again = repository.push("main", "Bad again", &[("deploy/a.yaml", Some(&config("a", "bad")))]);
    world
        .until("it is held", async |world| world.view().is_some_and(|view| view.message.contains("is held")))
        .await;
    assert_eq!(world.value("a", "key").await.as_deref(), Some("fix"));
    assert_eq!(world.sync().lift(&key, None, "ada").await.unwrap().len(), 1);
    world.synced(&again).await;
    assert_eq!(world.value("a", "key").await.as_deref(), Some("bad"));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_goes_back_twice_is_two_releases_further_back() {
    let repository = Repository::new();
    let mut commits = vec![repository.push("main", "one", &[("deploy/a.yaml", Some(&config("a", "one")))])];
    let mut world = World::new().await;
    let key = world.follow(&repository, json!({})).await;
    world.synced(&commits[0]).await;
    for value in ["two", "three"] {
        commits.push(repository.push("main", value, &[("deploy/a.yaml", Some(&config("a", value)))]));
        world.synced(commits.last().unwrap()).await;
    }
    world.sync().rollback(&key, None, "ada", "three is wrong").await.unwrap();
    world.synced(&commits[1]).await;
    world.sync().rollback(&key, None, "ada", "two as well").await.unwrap();
    world.synced(&commits[0]).await;
    assert_eq!(world.value("a", "key").await.as_deref(), Some("one"));
    // It stays so: by hand, and over a restart.
    world.sync().sync(&key, Default::default(), "ada").await.unwrap();
    world.sync.take().unwrap().stop().await;
    world.start().await;
    world.synced(&commits[0]).await;
    assert_eq!(world.value("a", "key").await.as_deref(), Some("one"));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_looks_at_news_first_does_not_keep_them_from_the_others() {
    let repository = Repository::new();
    let first = repository.push(
        "main",
        "First",
        &[("deploy/a.yaml", Some(&config("a", "one"))), ("other/b.yaml", Some(&config("b", "one")))],
    );
    let world = World::new().await;
    let key = world.follow(&repository, json!({})).await;
    world.synced(&first).await;
    world
        .create(json!({"apiVersion": "seaway.dev/v1alpha1", "kind": "Stack",
            "metadata": {"name": "other", "namespace": "seaway"},
            "spec": {"components": [{"name": "web", "source":
                {"repo": repository.url(), "path": "other", "revision": "main"}}]}}))
        .await;
    world
        .create(json!({"apiVersion": "seaway.dev/v1alpha1", "kind": "Environment",
            "metadata": {"name": "other", "namespace": "seaway"},
            "spec": {"stack": "other", "destination": {"namespace": "shop"}}}))
        .await;
    world
        .until("the other runs", async |world| world.value("b", "key").await.as_deref() == Some("one"))
        .await;
    // Faster than any poll.
    for value in ["two", "three", "four"] {
        let (a, b) = (config("a", value), config("b", value));
        let files = [("deploy/a.yaml", Some(a.as_str())), ("other/b.yaml", Some(b.as_str()))];
        repository.push("main", value, &files);
        world.sync().plan(&key, None).await.unwrap();
        world.sync().sync(&key, SyncChoice::default(), "ada").await.unwrap();
        assert_eq!(world.value("a", "key").await.as_deref(), Some(value));
        world
            .until("the other hears of it", async |world| {
                world.value("b", "key").await.as_deref() == Some(value)
            })
            .await;
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_renamed_and_what_is_force_pushed_away_is_followed_and_can_be_gone_back_to() {
    let repository = Repository::new();
    let first = repository.push("main", "First", &[("deploy/a.yaml", Some(&config("a", "one")))]);
    let world = World::new().await;
    let key = world.follow(&repository, json!({})).await;
    world.synced(&first).await;
    // The file and the object in it have other names.
    let renamed = repository.push(
        "main",
        "Renamed",
        &[("deploy/a.yaml", None), ("deploy/b.yaml", Some(&config("b", "one")))],
    );
    world.synced(&renamed).await;
    assert_eq!(world.value("b", "key").await.as_deref(), Some("one"));
    world.until("the old name is gone", async |world| world.value("a", "key").await.is_none()).await;
    let release = world.view().unwrap().release.unwrap();

    // Somebody takes that back by force, with something else in its place.
    repository.git(&["reset", "--quiet", "--hard", &first]);
    let forced = repository.push("main", "Forced", &[("deploy/c.yaml", Some(&config("c", "one")))]);
    world.synced(&forced).await;
    assert!(world.value("a", "key").await.is_some() && world.value("c", "key").await.is_some());
    world.until("what it took away is gone", async |world| world.value("b", "key").await.is_none()).await;

    // The branch has lost that commit; history has not.
    world.sync().rollback(&key, Some(&release), "ada", "c is wrong").await.unwrap();
    world.synced(&renamed).await;
    assert_eq!(world.value("b", "key").await.as_deref(), Some("one"));
    world.until("c is gone", async |world| world.value("c", "key").await.is_none()).await;
    world.stop().await;
}
