//! What the owner of a copy is told, and what ends by itself.

#![allow(clippy::unwrap_used)]

#[allow(dead_code, unreachable_pub)]
mod support;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Event;
use serde_json::{Value, json};
use support::copy::{COPY, copy, has, key, says, synced, view, world};
use support::http::{PASSWORD, USER};
use support::{World, config};

async fn overrides(world: &World, all: Value) {
    let patch = json!({"spec": {"overrides": all}});
    world.patch(COPY, "Environment", "seaway-jane", "mine", "jane", patch).await;
}

async fn is_event(world: &World, reason: &str) -> bool {
    let events: kube::Api<Event> = kube::Api::namespaced(world.admin(), "seaway-jane");
    let all = events.list(&Default::default()).await.unwrap().items;
    all.iter().any(|event| event.reason.as_deref() == Some(reason))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_does_not_render_with_what_is_upstream_runs_alone_and_its_owner_is_told() {
    let a = config("a", "one");
    let files =
        [("deploy/kustomization.yaml", Some("resources: [a.yaml]\n")), ("deploy/a.yaml", Some(a.as_str()))];
    let (world, repository) = world(&files, Value::Null).await;
    copy(&world, "mine", json!({})).await;
    synced(&world, "mine").await;
    // The branch patches what main will call something else.
    let patched = "resources: [a.yaml]\npatches: [{path: patch.yaml}]\n";
    let patch = config("a", "mine");
    let branch = [("deploy/kustomization.yaml", Some(patched)), ("deploy/patch.yaml", Some(patch.as_str()))];
    repository.push("feature", "mine", &branch);
    overrides(&world, json!([{"component": "web", "revision": "feature"}])).await;
    has(&world, "mine-shop", "a", "mine").await;
    repository.git(&["reset", "--quiet", "--hard", "HEAD~1"]);
    let main = repository.push("main", "rename", &[("deploy/a.yaml", Some(&config("z", "one")))]);
    world.synced(&main).await;
    says(&world, "mine", "merged with main it does not render").await;
    has(&world, "mine-shop", "a", "mine").await;
    let shown = world.sync().show(&key("mine")).unwrap().overrides.remove(0);
    assert!(shown.conflict.as_deref().is_some_and(|why| why.contains("the branch runs alone")), "{shown:?}");
    world.until("an event says so", async |world| is_event(world, "OverrideConflict").await).await;
    // Such an override is possible: it is for its owner to put right.
    let deviation = serde_json::from_value(json!({"component": "web", "revision": "feature"})).unwrap();
    world.sync().check_override(&key("mine"), &deviation).await.unwrap();
    // It is put right upstream, and comes by itself again.
    let main = repository.push("main", "back", &[("deploy/a.yaml", Some(&config("a", "two")))]);
    world.synced(&main).await;
    world
        .until("it is over", async |world| {
            world.sync().show(&key("mine")).unwrap().overrides[0].conflict.is_none()
        })
        .await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_override_ends_at_its_time() {
    let (world, repository) = world(&[("deploy/a.yaml", Some(&config("a", "one")))], Value::Null).await;
    copy(&world, "mine", json!({})).await;
    synced(&world, "mine").await;
    repository.push("feature", "mine", &[("deploy/a.yaml", Some(&config("a", "mine")))]);
    overrides(&world, json!([{"component": "web", "revision": "feature"}])).await;
    has(&world, "mine-shop", "a", "mine").await;
    let soon = (Timestamp::now() + SignedDuration::from_secs(1)).to_string();
    overrides(&world, json!([{"component": "web", "revision": "feature", "expires": soon}])).await;
    has(&world, "mine-shop", "a", "one").await;
    world
        .until("it does not count", async |world| {
            let overrides = world.sync().show(&key("mine")).unwrap().overrides;
            overrides.first().is_some_and(|one| !one.active && one.commit.is_none())
        })
        .await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_copy_is_told_before_it_comes() {
    let (world, _repository) = world(&[("deploy/a.yaml", Some(&config("a", "one")))], Value::Null).await;
    let is_told = async |world: &World| {
        let ledger = world.ledger().await;
        let page = ledger.events(&seaway_ledger::EventFilter::default(), 100).await.unwrap();
        page.items.iter().any(|event| event.action == "environment.expiring")
    };
    // It is told in the last quarter of a short life. Who sleeps through that gets a longer one.
    for seconds in [8, 16, 32, 64] {
        let expires = (Timestamp::now() + SignedDuration::from_secs(seconds)).to_string();
        copy(&world, "brief", json!({"expires": expires})).await;
        world.until("it is there", async |world| view(world, "brief").is_some()).await;
        world
            .until("it is told, or over", async |world| {
                is_told(world).await || view(world, "brief").is_none()
            })
            .await;
        if is_told(&world).await {
            break;
        }
    }
    world.until("an event says so", async |world| is_event(world, "Expiring").await).await;
    world.until("it has expired", async |world| view(world, "brief").is_none()).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fidelity_tells_apart_what_somebody_changed_in_the_cluster_on_each_side() {
    let (world, _repository) = world(&[("deploy/a.yaml", Some(&config("a", "one")))], Value::Null).await;
    copy(&world, "mine", json!({"sync": {"selfHeal": false}})).await;
    synced(&world, "mine").await;
    let drift = async |world: &World| {
        let fidelity = world.sync().fidelity(&key("mine"), None).await.unwrap();
        assert_eq!(fidelity.undeclared, 0, "drift is no difference of what is rendered");
        let told = |side: &[seaway_sync::view::DriftedField]| {
            side.iter()
                .map(|one| {
                    let by = one.field.owner.as_ref().map(|owner| owner.manager.as_str()).unwrap_or_default();
                    format!("{}{} {by}", one.object.id(), one.field.path)
                })
                .collect::<Vec<_>>()
        };
        (told(&fidelity.drift.left), told(&fidelity.drift.right))
    };
    assert_eq!(drift(&world).await, (Vec::new(), Vec::new()));
    let change = json!({"data": {"key": "edited"}});
    world.patch("v1", "ConfigMap", "mine-shop", "a", "kubectl-edit", change.clone()).await;
    let mine = vec!["ConfigMap mine-shop/a.data.key kubectl-edit".to_owned()];
    world.until("the copy's is told", async |world| drift(world).await == (Vec::new(), mine.clone())).await;
    let staging = json!({"spec": {"sync": {"selfHeal": false}}});
    world.patch(COPY, "Environment", "seaway", "staging", "operator", staging).await;
    world.patch("v1", "ConfigMap", "shop", "a", "kubectl-edit", change).await;
    let theirs = vec!["ConfigMap shop/a.data.key kubectl-edit".to_owned()];
    world
        .until("that of what is copied, too", async |world| {
            drift(world).await == (theirs.clone(), mine.clone())
        })
        .await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_pod_says_what_that_waits_for() {
    let deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  selector: {matchLabels: {app: web}}\n  \
                      template:\n    metadata: {labels: {app: web}}\n    spec: {containers: [{name: web, image: 'web:1'}]}\n";
    let world = World::new().await;
    let repository = support::Repository::new();
    repository.push("main", "first", &[("deploy/web.yaml", Some(deployment))]);
    world.follow(&repository, json!({})).await;
    world
        .until("it is deployed", async |world| {
            world.get("apps/v1", "Deployment", Some("shop"), "web").await.is_some()
        })
        .await;
    // As a controller and a node would.
    world
        .create(json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "web-1", "namespace": "shop", "labels": {"app": "web"}},
            "spec": {"containers": [{"name": "web", "image": "web:1"}]}}))
        .await;
    let pods: kube::Api<k8s_openapi::api::core::v1::Pod> = kube::Api::namespaced(world.admin(), "shop");
    let waiting = json!({"waiting": {"reason": "ErrImagePull", "message": "no such image"}});
    let status = json!({"status": {"phase": "Pending", "containerStatuses": [{"name": "web", "image": "web:1",
        "imageID": "", "ready": false, "restartCount": 0, "state": waiting}]}});
    pods.patch_status("web-1", &Default::default(), &kube::api::Patch::Merge(status)).await.unwrap();
    world
        .until("the environment says so", async |world| {
            world.view().is_some_and(|view| {
                view.message.contains("Deployment.apps shop/web")
                    && view.message.contains("pod web-1: container web: ErrImagePull: no such image")
            })
        })
        .await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_has_expired_leaves_a_copy_as_it_is_and_is_told() {
    let repository = support::Repository::over_http().await;
    let first = repository.push("main", "First", &[("deploy/a.yaml", Some(&config("a", "one")))]);
    repository.push("feature", "mine", &[("deploy/a.yaml", Some(&config("a", "mine")))]);
    repository.git(&["reset", "--quiet", "--hard", "HEAD~1"]);
    let world = World::new().await;
    let url = repository.private_url();
    world
        .create(json!({"apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": "git", "namespace": "seaway", "labels": {"seaway.dev/credentials": "git"}},
            "stringData": {"url": url, "username": USER, "password": PASSWORD}}))
        .await;
    world.follow_url(&url, json!({})).await;
    world.synced(&first).await;
    world.create(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "seaway-jane"}})).await;
    copy(&world, "mine", json!({"overrides": [{"component": "web", "revision": "feature"}]})).await;
    has(&world, "mine-shop", "a", "mine").await;
    let token = async |token: &str| {
        world
            .patch("v1", "Secret", "seaway", "git", "test", json!({"stringData": {"password": token}}))
            .await;
    };
    token("expired").await;
    says(&world, "mine", "refuses access").await;
    has(&world, "mine-shop", "a", "mine").await;
    let deviation = serde_json::from_value(json!({"component": "web", "revision": "other"})).unwrap();
    let refused = world.sync().check_override(&key("mine"), &deviation).await.unwrap_err().to_string();
    assert!(refused.contains("refuses access"), "{refused}");
    token(PASSWORD).await;
    repository.push("feature", "again", &[("deploy/a.yaml", Some(&config("a", "again")))]);
    has(&world, "mine-shop", "a", "again").await;
    world.stop().await;
}
