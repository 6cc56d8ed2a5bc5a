//! A person's copies through the HTTP API: made, deviated from, compared, handed back, kept, deleted.

#![allow(clippy::unwrap_used)]

mod support;

use http::Method;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use support::{Repository, World};

const ALL: &str = "/api/v1/environments";
const MINE: &str = "/api/v1/environments/seaway-jane/mine";

/// `staging` runs; jane may see it, and do what she likes with environments in her own namespace.
async fn world() -> (World, Repository) {
    let world = World::start().await;
    let repository = world.deployed().await;
    let synced = world.post("admin", "/api/v1/environments/seaway/staging/sync", json!({})).await;
    assert_eq!(synced.body["record"]["outcome"], "succeeded", "{synced:?}");
    world.create(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "seaway-jane"}})).await;
    let rbac = "rbac.authorization.k8s.io";
    let role = json!({"apiVersion": format!("{rbac}/v1"), "kind": "ClusterRole", "metadata": {"name": "own"},
        "rules": [{"apiGroups": ["seaway.dev"], "resources": ["environments"],
                   "verbs": ["get", "list", "watch", "create", "update", "patch", "delete", "sync"]}]});
    world.create(role).await;
    for (namespace, role) in [("seaway-jane", "own"), ("seaway", "seaway-viewer")] {
        world
            .create(json!({"apiVersion": format!("{rbac}/v1"), "kind": "RoleBinding",
                "metadata": {"name": "jane", "namespace": namespace},
                "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": role},
                "subjects": [{"apiGroup": rbac, "kind": "User", "name": "jane"}]}))
            .await;
    }
    (world, repository)
}

async fn has(world: &World, namespace: &str, wanted: &str) {
    let api: kube::Api<k8s_openapi::api::core::v1::ConfigMap> =
        kube::Api::namespaced(world.cluster(), namespace);
    world
        .until(&format!("{namespace} has {wanted}"), async || {
            let found = api.get_opt("settings").await.unwrap();
            found.and_then(|map| map.data?.remove("key")).as_deref() == Some(wanted)
        })
        .await;
}

async fn synced(world: &World) {
    world
        .until("the copy is synced", async || {
            let answer = world.get("jane", MINE).await;
            answer.body["sync"] == "Synced" && answer.body["release"].is_string()
        })
        .await;
}

fn explained(fidelity: &Value) -> Vec<String> {
    let line = |d: &Value| {
        let text = |field: &str| d[field].as_str().unwrap().to_owned();
        format!(
            "{} {} {} {}",
            d["object"]["kind"].as_str().unwrap(),
            text("path"),
            text("class"),
            text("rule")
        )
    };
    fidelity["differences"].as_array().unwrap().iter().map(line).collect()
}

#[tokio::test]
async fn a_person_makes_a_copy_changes_one_component_and_hands_it_back() {
    let (world, repository) = world().await;
    let asked = json!({"name": "mine", "copyOf": "staging", "dryRun": true});
    let shown = world.post("jane", ALL, asked).await;
    assert_eq!(shown.status, 200, "{shown:?}");
    assert_eq!(shown.body["created"], false);
    assert_eq!(shown.body["copy"]["namespaces"], json!({"shop": "mine-shop"}));
    assert_eq!(world.get("jane", MINE).await.status, 404, "it was only asked what it would be");

    let made = world.post("jane", ALL, json!({"name": "mine", "copyOf": "staging"})).await;
    assert_eq!((made.status, &made.body["created"]), (200, &json!(true)), "{made:?}");
    has(&world, "mine-shop", "1").await;
    synced(&world).await;
    let listed = world.get("jane", "/api/v1/environments?class=personal").await;
    assert_eq!(listed.body["items"][0]["copyOf"], "seaway/staging");
    assert_eq!(listed.body["items"][0]["owner"], "jane");

    repository.commit("feature", "2");
    let asked = json!({"component": "web", "revision": "feature", "reason": "try it"});
    let overridden = world.post("jane", &format!("{MINE}/override"), asked).await;
    assert_eq!(overridden.status, 200, "{overridden:?}");
    assert_eq!(overridden.body["overrides"][0]["active"], true);
    has(&world, "mine-shop", "2").await;
    has(&world, "shop", "1").await;
    let fidelity = world.get("jane", &format!("{MINE}/fidelity")).await;
    assert_eq!(fidelity.status, 200, "{fidelity:?}");
    assert_eq!(fidelity.body["undeclared"], 0);
    assert_eq!(
        explained(&fidelity.body),
        ["ConfigMap .data.key override web at feature", "ConfigMap .metadata.namespace identity names"]
    );

    let proposed = world.post("jane", &format!("{MINE}/propose"), json!({"email": "jane@example.com"})).await;
    assert_eq!(proposed.status, 200, "{proposed:?}");
    assert_eq!(proposed.body["proposed"]["branch"], "seaway/seaway-jane/mine/web");
    let effect = &proposed.body["effects"][0];
    assert_eq!(effect["environment"]["name"], "staging");
    assert_eq!(effect["objects"][0]["fields"][0]["path"], ".data.key");
    let shown = world.get("jane", MINE).await;
    assert_eq!(shown.body["overrides"][0]["proposal"]["commit"], proposed.body["proposed"]["commit"]);

    let ended =
        world.post("jane", &format!("{MINE}/override"), json!({"component": "web", "remove": true})).await;
    assert_eq!((ended.status, &ended.body["overrides"]), (200, &json!([])));
    has(&world, "mine-shop", "1").await;

    assert_eq!(world.act("jane", Method::DELETE, MINE, &Value::Null).await.status, 200);
    world.until("it is gone", async || world.get("jane", MINE).await.status == 404).await;
    world.stop().await;
}

#[tokio::test]
async fn a_copy_is_made_in_ones_own_namespace_of_what_one_may_see() {
    let (world, _) = world().await;
    let make = async |who: &str, body: Value| world.post(who, ALL, body).await;
    let elsewhere = json!({"name": "x", "copyOf": "staging", "namespace": "seaway"});
    assert_eq!(make("jane", elsewhere).await.status, 403);
    assert_eq!(
        make("jane", json!({"name": "x", "copyOf": "staging", "namespace": "seaway-bob"})).await.status,
        403
    );
    assert_eq!(make("nobody", json!({"name": "x", "copyOf": "staging"})).await.status, 403);
    assert_eq!(make("jane", json!({"name": "x", "copyOf": "default/staging"})).await.status, 403);
    let unknown = make("jane", json!({"name": "x", "copyOf": "nothing"})).await;
    assert_eq!(unknown.status, 404, "{unknown:?}");
    world.create(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "taken-shop"}})).await;
    for (body, text) in [
        (json!({"name": "taken", "copyOf": "staging"}), "is there already"),
        (json!({"name": "kube-system", "copyOf": "staging"}), "cannot be the name of a copy"),
        (json!({"name": "x", "copyOf": "staging", "components": ["nothing"]}), "is not a component"),
        (json!({"name": "x", "copyOf": "staging", "release": "shop-000000000000"}), "never had release"),
    ] {
        let refused = make("jane", body.clone()).await;
        assert_eq!(refused.status, 422, "{body} {refused:?}");
        assert!(refused.body["detail"].as_str().unwrap().contains(text), "{refused:?}");
        let path = format!("{ALL}/seaway-jane/{}", body["name"].as_str().unwrap());
        assert_eq!(world.get("jane", &path).await.status, 404, "nothing is half made");
    }
    world.stop().await;
}

#[tokio::test]
async fn who_may_only_look_changes_nothing() {
    let (world, _) = world().await;
    let made = world.post("jane", ALL, json!({"name": "mine", "copyOf": "staging"})).await;
    assert_eq!(made.status, 200, "{made:?}");
    for (path, body) in [
        ("override", json!({"component": "web", "revision": "main"})),
        ("propose", json!({})),
        ("extend", json!({})),
    ] {
        for who in ["viewer", "developer", "nobody"] {
            let answer = world.post(who, &format!("{MINE}/{path}"), body.clone()).await;
            assert_eq!(answer.status, 403, "{who} {path}");
        }
    }
    assert_eq!(world.get("viewer", &format!("{MINE}/fidelity")).await.status, 403);
    let staging = "/api/v1/environments/seaway/staging";
    let deviate = world
        .post("jane", &format!("{staging}/override"), json!({"component": "web", "revision": "x"}))
        .await;
    assert_eq!(deviate.status, 403, "production is not hers");
    world.stop().await;
}

#[tokio::test]
async fn a_copy_is_kept_until_a_time() {
    let (world, _) = world().await;
    let made = world.post("jane", ALL, json!({"name": "mine", "copyOf": "staging"})).await;
    assert_eq!(made.status, 200, "{made:?}");
    let soon = (Timestamp::now() + SignedDuration::from_hours(1)).to_string();
    let kept = world.post("jane", &format!("{MINE}/extend"), json!({"expires": soon})).await;
    assert_eq!((kept.status, &kept.body["expires"]), (200, &json!(soon)));
    world.until("it is shown", async || world.get("jane", MINE).await.body["expires"] == json!(soon)).await;
    let over =
        world.post("jane", &format!("{MINE}/extend"), json!({"expires": "2020-01-01T00:00:00Z"})).await;
    assert_eq!(over.status, 422);
    let for_ever = world.post("jane", &format!("{MINE}/extend"), json!({})).await;
    assert_eq!((for_ever.status, for_ever.body.get("expires")), (200, None));
    world.until("it is for ever", async || world.get("jane", MINE).await.body.get("expires").is_none()).await;
    world.stop().await;
}

#[tokio::test]
async fn who_has_as_many_environments_as_there_may_be_is_told_so_before_and_when_one_is_made() {
    let (world, _) = world().await;
    world
        .create(json!({"apiVersion": "v1", "kind": "ResourceQuota",
            "metadata": {"name": "seaway-environments", "namespace": "seaway-jane"},
            "spec": {"hard": {"count/environments.seaway.dev": "1"}}}))
        .await;
    let made = world.post("jane", ALL, json!({"name": "mine", "copyOf": "staging"})).await;
    assert_eq!(made.status, 200, "{made:?}");
    for dry_run in [true, false] {
        let asked = json!({"name": "more", "copyOf": "staging", "dryRun": dry_run});
        let refused = world.post("jane", ALL, asked).await;
        assert_eq!(refused.status, 422, "{refused:?}");
        assert_eq!(refused.body["detail"], "jane has 1 environment already, as many as there may be at once");
        assert!(refused.body["help"].as_str().unwrap().contains("seaway env delete"), "{refused:?}");
    }
    world.stop().await;
}

#[tokio::test]
async fn what_a_copy_does_not_have_is_said_before_it_is_made() {
    let (world, repository) = world().await;
    let allow = json!({"spec": {"allow": {"repositories": [repository.url()],
                                          "clusterKinds": ["PriorityClass.scheduling.k8s.io"]}}});
    let stacks: kube::Api<seaway_api::Stack> = kube::Api::namespaced(world.cluster(), "seaway");
    stacks.patch("shop", &Default::default(), &kube::api::Patch::Merge(&allow)).await.unwrap();
    let class = json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass",
                       "metadata": {"name": "shop"}, "value": 7});
    repository.add("class.yaml", &class);
    world
        .until("it is deployed", async || {
            world.post("admin", "/api/v1/environments/seaway/staging/sync", json!({})).await;
            let asked = json!({"name": "mine", "copyOf": "staging", "dryRun": true});
            let shown = world.post("jane", ALL, asked).await;
            shown.body["copy"]["leftOut"][0]["object"] == "PriorityClass.scheduling.k8s.io shop"
        })
        .await;
    let shown = world.post("jane", ALL, json!({"name": "mine", "copyOf": "staging", "dryRun": true})).await;
    assert_eq!(
        shown.body["copy"]["leftOut"][0]["reason"],
        "it lives in the cluster: that of staging is used"
    );
    world.stop().await;
}

#[tokio::test]
async fn a_copy_of_an_earlier_release_runs_it_and_stays_there() {
    let (world, repository) = world().await;
    let first = world.get("jane", "/api/v1/environments/seaway/staging").await.body["release"].clone();
    let sync = async || {
        let synced = world.post("admin", "/api/v1/environments/seaway/staging/sync", json!({})).await;
        assert_eq!(synced.body["record"]["outcome"], "succeeded", "{synced:?}");
    };
    repository.commit("main", "2");
    sync().await;
    has(&world, "shop", "2").await;
    let asked = json!({"name": "mine", "copyOf": "staging", "release": first});
    let made = world.post("jane", ALL, asked).await;
    assert_eq!(made.status, 200, "{made:?}");
    has(&world, "mine-shop", "1").await;
    // What it copies goes on, and it does not.
    repository.commit("main", "3");
    sync().await;
    has(&world, "shop", "3").await;
    let follows = world.post("jane", ALL, json!({"name": "other", "copyOf": "staging"})).await;
    assert_eq!(follows.status, 200, "{follows:?}");
    has(&world, "other-shop", "3").await;
    has(&world, "mine-shop", "1").await;
    let fidelity = world.get("jane", &format!("{MINE}/fidelity")).await;
    assert_eq!(fidelity.body["undeclared"], 0, "{fidelity:?}");
    assert!(
        explained(&fidelity.body)[0].starts_with("ConfigMap .data.key override web pinned at "),
        "{fidelity:?}"
    );
    world.stop().await;
}

#[tokio::test]
async fn what_is_asked_wrongly_is_said() {
    let (world, _) = world().await;
    let made = world.post("jane", ALL, json!({"name": "mine", "copyOf": "staging"})).await;
    assert_eq!(made.status, 200, "{made:?}");
    synced(&world).await;
    for (path, body, status, text) in [
        ("override", json!({"component": "web"}), 400, "say what the component is to run"),
        ("override", json!({"component": "web", "revision": "missing"}), 422, "missing"),
        ("override", json!({"component": "nothing", "revision": "main"}), 422, "nothing"),
        ("override", json!({"component": "web", "remove": true}), 409, "has no override"),
        (
            "override",
            json!({"component": "web", "repo": "https://evil.example.com/x.git"}),
            422,
            "does not allow",
        ),
        ("propose", json!({}), 409, "nothing to propose"),
        ("propose", json!({"colour": "red"}), 400, "colour"),
    ] {
        let answer = world.post("jane", &format!("{MINE}/{path}"), body.clone()).await;
        assert_eq!(answer.status, status, "{body} {answer:?}");
        assert!(answer.body["detail"].as_str().unwrap().contains(text), "{answer:?}");
    }
    let twice = world.post("jane", ALL, json!({"name": "mine", "copyOf": "staging"})).await;
    assert_eq!(twice.status, 422, "{twice:?}");
    world.stop().await;
}
