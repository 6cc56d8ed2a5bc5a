//! Seaway is killed before and after each write of an environment's end: no hook runs twice, none is left out, and it ends.

#![allow(clippy::unwrap_used)]

#[allow(dead_code, unreachable_pub)]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::StreamExt as _;
use k8s_openapi::api::batch::v1::Job;
use kube::Api;
use kube::api::Patch;
use kube::runtime::{WatchStreamExt as _, watcher};
use parking_lot::Mutex;
use serde_json::json;
use support::end::{ENVIRONMENT, delete, gone, job};
use support::gate::Way;
use support::{Repository, World, config};

/// For each end and hook the objects that were made.
type Made = Arc<Mutex<BTreeMap<(String, String), BTreeSet<String>>>>;

/// Notes every Job that is made for an end, and ends it well.
async fn end_jobs(client: kube::Client, made: Made) {
    let jobs: Api<Job> = Api::namespaced(client, "shop");
    let mut events = watcher(jobs.clone(), watcher::Config::default()).default_backoff().boxed();
    while let Some(event) = events.next().await {
        let Ok(watcher::Event::Apply(job) | watcher::Event::InitApply(job)) = event else { continue };
        let (name, uid) = (job.metadata.name.unwrap(), job.metadata.uid.unwrap());
        let run = job.metadata.annotations.unwrap_or_default().remove("seaway.dev/hook-run").unwrap();
        let end = run.split('/').next().unwrap().to_owned();
        made.lock().entry((end, name.clone())).or_default().insert(uid);
        if job.status.is_none_or(|status| status.conditions.is_none_or(|conditions| conditions.is_empty())) {
            let status = json!({"status": {"startTime": "2024-01-01T00:00:00Z", "conditions": [
                {"type": "Complete", "status": "True", "lastTransitionTime": "2024-01-01T00:00:00Z"}]}});
            // It may be gone by now.
            let _ = jobs.patch_status(&name, &Default::default(), &Patch::Merge(status)).await;
        }
    }
}

/// The ends of one environment after the other, each killed one write later, until one comes to its end before that.
async fn killed(arrives: bool) {
    let repository = Repository::new();
    let first = job("first", "argocd.argoproj.io/hook: PreDelete");
    let second = job(
        "second",
        "argocd.argoproj.io/hook: \"PreDelete,PostDelete\", argocd.argoproj.io/sync-wave: \"1\", \
         argocd.argoproj.io/hook-delete-policy: HookSucceeded",
    );
    let a = config("a", "one");
    let commit = repository.push(
        "main",
        "First",
        &[
            ("deploy/a.yaml", Some(&a)),
            ("deploy/first.yaml", Some(&first)),
            ("deploy/second.yaml", Some(&second)),
        ],
    );
    let mut world = World::new().await;
    let made = Made::default();
    world.follow(&repository, json!({})).await;
    let controller = tokio::spawn(end_jobs(world.admin(), made.clone()));
    let mut ends = 0;
    for writes in 0.. {
        assert!(writes < 200, "it never ends");
        if writes > 0 {
            world
                .create(json!({"apiVersion": ENVIRONMENT.0, "kind": ENVIRONMENT.1,
                    "metadata": {"name": "staging", "namespace": "seaway"},
                    "spec": {"stack": "shop", "destination": {"namespace": "shop"}}}))
                .await;
        }
        world.synced(&commit).await;
        world.gate.set(Way::KilledAfter { writes, arrives });
        delete(&world).await;
        world
            .until("it is killed or gone", async |world| world.gate.is(Way::Killed) || world.view().is_none())
            .await;
        let whole = !world.gate.is(Way::Killed);
        world.restart().await;
        gone_for_good(&world).await;
        ends += 1;
        assert_eq!(world.value("a", "key").await, None);
        if whole {
            break;
        }
    }
    let made = made.lock().clone();
    let of = |hook: &str, count: usize| {
        let ends_of = made.iter().filter(|((_, name), _)| name == hook);
        let uids: Vec<usize> = ends_of.map(|(_, uids)| uids.len()).collect();
        assert_eq!(uids, vec![count; ends], "{hook}: {made:#?}");
    };
    of("first", 1);
    of("second", 2);
    assert!(ends > 10, "{ends} ends");
    controller.abort();
    world.stop().await;
}

/// Not only unseen after a start.
async fn gone_for_good(world: &World) {
    world
        .until("the Environment is gone", async |world| {
            world.get(ENVIRONMENT.0, ENVIRONMENT.1, Some("seaway"), "staging").await.is_none()
        })
        .await;
    gone(world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_before_a_write_it_comes_to_the_same_end() {
    killed(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_after_a_write_whose_answer_it_did_not_hear_it_comes_to_the_same_end() {
    killed(true).await;
}
