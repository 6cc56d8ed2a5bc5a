//! What a copy overrides, and how that goes back to what it is a copy of.

#![allow(clippy::unwrap_used)]

#[allow(dead_code, unreachable_pub)]
mod support;

use seaway_sync::proposal::Proposer;
use seaway_sync::view::EnvironmentKey;
use serde_json::{Value, json};
use support::copy::{COPY, copy, has, key, says, synced, value, why, world};
use support::{World, config};

fn proposer() -> Proposer {
    Proposer { name: "Jane".into(), email: "jane@example.com".into(), message: String::new() }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_override_is_proposed_and_ends_once_what_is_copied_has_it() {
    let (world, repository) = world(&[("deploy/a.yaml", Some(&config("a", "one")))], Value::Null).await;
    copy(&world, "mine", json!({})).await;
    synced(&world, "mine").await;
    let tip = repository.push("feature", "try", &[("deploy/a.yaml", Some(&config("a", "mine")))]);
    let overrides = json!([{"component": "web", "revision": "feature"}]);
    world
        .patch(COPY, "Environment", "seaway-jane", "mine", "jane", json!({"spec": {"overrides": overrides}}))
        .await;
    has(&world, "mine-shop", "a", "mine").await;

    let proposed = world.sync().propose(&key("mine"), "web", proposer()).await.unwrap();
    assert_eq!((proposed.branch.as_str(), proposed.base.as_str()), ("seaway/seaway-jane/mine/web", "main"));
    repository.git(&["fetch", "--quiet", "origin"]);
    let shown = repository.git(&[
        "log",
        "-1",
        "--format=%an %ae|%cn|%s|%(trailers:key=Seaway-Proposal,valueonly)",
        "origin/seaway/seaway-jane/mine/web",
    ]);
    assert_eq!(shown, "Jane jane@example.com|Seaway|Propose feature for web|seaway-jane/mine/web");
    assert_eq!(repository.git(&["rev-parse", "origin/seaway/seaway-jane/mine/web^2"]), tip);
    let again = world.sync().propose(&key("mine"), "web", proposer()).await.unwrap();
    assert!(again.unchanged && again.commit == proposed.commit);

    // What it would change, where.
    let concerned = world.sync().concerned(&key("mine")).unwrap();
    assert_eq!(concerned, [EnvironmentKey::new("seaway", "staging")]);
    let effect = world.sync().effect(&concerned[0], &proposed).await;
    assert_eq!(effect.error, None);
    let changes: Vec<String> = effect
        .objects
        .iter()
        .flat_map(|object| {
            object.fields.iter().map(move |field| format!("{}{}", object.object.id(), field.path))
        })
        .collect();
    assert_eq!(changes, ["ConfigMap shop/a.data.key"]);
    assert_eq!(value(&world, "shop", "a").await.as_deref(), Some("one"));

    // Somebody merges it.
    let proposal = json!({"branch": proposed.branch, "commit": proposed.commit});
    let overrides = json!([{"component": "web", "revision": "feature", "proposal": proposal}]);
    world
        .patch(COPY, "Environment", "seaway-jane", "mine", "jane", json!({"spec": {"overrides": overrides}}))
        .await;
    repository.git(&[
        "push",
        "--quiet",
        "--force",
        "origin",
        &format!("{}:refs/heads/main", proposed.commit),
    ]);
    world.synced(&proposed.commit).await;
    world
        .until("the override has ended", async |world| {
            world.sync().show(&key("mine")).unwrap().overrides.is_empty()
        })
        .await;
    synced(&world, "mine").await;
    let fidelity = world.sync().fidelity(&key("mine"), None).await.unwrap();
    assert_eq!(why(&fidelity), ["ConfigMap mine-shop/a.metadata.namespace identity names"]);
    world.stop().await;
}

async fn overrides(world: &World, all: Value) {
    let patch = json!({"spec": {"overrides": all}});
    world.patch(COPY, "Environment", "seaway-jane", "mine", "jane", patch).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_upstream_comes_to_an_override_and_a_conflict_is_told_to_its_owner() {
    let (a, b) = (config("a", "one"), config("b", "one"));
    let files = [("deploy/a.yaml", Some(a.as_str())), ("deploy/b.yaml", Some(b.as_str()))];
    let (world, repository) = world(&files, Value::Null).await;
    copy(&world, "mine", json!({})).await;
    synced(&world, "mine").await;
    repository.push("feature", "mine", &[("deploy/a.yaml", Some(&config("a", "mine")))]);
    overrides(&world, json!([{"component": "web", "revision": "feature"}])).await;
    has(&world, "mine-shop", "a", "mine").await;
    // What others change elsewhere comes by itself.
    repository.git(&["reset", "--quiet", "--hard", "HEAD~1"]);
    let main = repository.push("main", "theirs", &[("deploy/b.yaml", Some(&config("b", "two")))]);
    world.synced(&main).await;
    has(&world, "mine-shop", "b", "two").await;
    has(&world, "mine-shop", "a", "mine").await;
    let fidelity = world.sync().fidelity(&key("mine"), None).await.unwrap();
    let told = why(&fidelity);
    assert!(told.contains(&"ConfigMap mine-shop/a.data.key override web at feature".to_owned()), "{told:?}");
    assert!(!told.iter().any(|line| line.starts_with("ConfigMap mine-shop/b.data")), "{told:?}");
    assert_eq!(fidelity.undeclared, 0, "{told:?}");
    // What both change does not: the branch runs alone, and its owner is told why.
    let main = repository.push("main", "clash", &[("deploy/a.yaml", Some(&config("a", "theirs")))]);
    world.synced(&main).await;
    says(&world, "mine", "both changed deploy/a.yaml").await;
    has(&world, "mine-shop", "a", "mine").await;
    let shown = world.sync().show(&key("mine")).unwrap().overrides.remove(0);
    assert!(
        shown.conflict.as_deref().is_some_and(|why| why.contains("merge main into the branch")),
        "{shown:?}"
    );
    let condition = async |world: &World| {
        let found = world.get(COPY, "Environment", Some("seaway-jane"), "mine").await.unwrap();
        let conditions = found["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.into_iter().any(|one| one["type"] == "OverridesMerge" && one["status"] == "False")
    };
    world.until("a condition says so", async |world| condition(world).await).await;
    let events: kube::Api<k8s_openapi::api::core::v1::Event> =
        kube::Api::namespaced(world.admin(), "seaway-jane");
    world
        .until("and an event", async |_| {
            let all = events.list(&Default::default()).await.unwrap().items;
            all.iter().any(|event| event.reason.as_deref() == Some("OverrideConflict"))
        })
        .await;
    let ledger = world.ledger().await;
    let page = ledger.events(&seaway_ledger::EventFilter::default(), 100).await.unwrap();
    let conflicts = page.items.iter().filter(|event| event.action == "environment.override.conflict");
    assert_eq!(conflicts.count(), 1, "it is told once");
    // The owner solves it.
    repository.push("feature", "solved", &[("deploy/a.yaml", Some(&config("a", "both")))]);
    has(&world, "mine-shop", "a", "both").await;
    world.until("it is over", async |world| !condition(world).await).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_override_ends_also_when_its_proposal_is_squashed() {
    let (a, b) = (config("a", "one"), config("b", "one"));
    let files = [("deploy/a.yaml", Some(a.as_str())), ("deploy/b.yaml", Some(b.as_str()))];
    let (world, repository) = world(&files, Value::Null).await;
    copy(&world, "mine", json!({})).await;
    synced(&world, "mine").await;
    repository.push("feature", "mine", &[("deploy/a.yaml", Some(&config("a", "mine")))]);
    overrides(&world, json!([{"component": "web", "revision": "feature"}])).await;
    has(&world, "mine-shop", "a", "mine").await;
    let proposed = world.sync().propose(&key("mine"), "web", proposer()).await.unwrap();
    let proposal = json!({"branch": proposed.branch, "commit": proposed.commit});
    overrides(&world, json!([{"component": "web", "revision": "feature", "proposal": proposal}])).await;
    // Somebody else's change, and then the squashed one: the proposed commit is nowhere in the history.
    repository.git(&["reset", "--quiet", "--hard", "HEAD~1"]);
    repository.push("main", "theirs", &[("deploy/b.yaml", Some(&config("b", "two")))]);
    let squashed = repository.push("main", "Squashed", &[("deploy/a.yaml", Some(&config("a", "mine")))]);
    world.synced(&squashed).await;
    world
        .until("the override has ended", async |world| {
            world.sync().show(&key("mine")).unwrap().overrides.is_empty()
        })
        .await;
    has(&world, "mine-shop", "b", "two").await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_images_are_proposed_as_a_change_of_the_kustomization() {
    let kustomization =
        "resources: [pod.yaml]\nimages:\n# what runs\n- name: registry.example.com/web\n  newTag: \"1\"\n";
    let pod = "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: web}\nspec:\n  schedule: \"0 0 1 1 *\"\n  suspend: \
               true\n  jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: \
               registry.example.com/web}]}}}}\n";
    let files = [("deploy/kustomization.yaml", Some(kustomization)), ("deploy/pod.yaml", Some(pod))];
    let (world, repository) = world(&files, Value::Null).await;
    copy(&world, "mine", json!({})).await;
    synced(&world, "mine").await;
    let image = async |namespace: &str| {
        let found = world.get("batch/v1", "CronJob", Some(namespace), "web").await.unwrap();
        let pod = &found["spec"]["jobTemplate"]["spec"]["template"]["spec"];
        pod["containers"][0]["image"].as_str().unwrap().to_owned()
    };
    let images = json!([{"name": "registry.example.com/web", "tag": "2"}]);
    overrides(&world, json!([{"component": "web", "images": images}])).await;
    world.until("the copy has it", async |_| image("mine-shop").await.ends_with(":2")).await;
    let proposed = world.sync().propose(&key("mine"), "web", proposer()).await.unwrap();
    repository.git(&["fetch", "--quiet", "origin"]);
    let shown = repository.git(&["show", &format!("{}:deploy/kustomization.yaml", proposed.commit)]);
    assert_eq!(shown, kustomization.replace("\"1\"", "\"2\"").trim_end());
    // Merged, it ends.
    let proposal = json!({"branch": proposed.branch, "commit": proposed.commit});
    overrides(&world, json!([{"component": "web", "images": images, "proposal": proposal}])).await;
    repository.git(&["push", "--quiet", "origin", &format!("{}:refs/heads/main", proposed.commit)]);
    world.synced(&proposed.commit).await;
    world
        .until("the override has ended", async |world| {
            world.sync().show(&key("mine")).unwrap().overrides.is_empty()
        })
        .await;
    assert!(image("shop").await.ends_with(":2"));
    // With a branch, both are proposed.
    repository.git(&["fetch", "--quiet", "origin"]);
    repository.git(&["reset", "--quiet", "--hard", "origin/main"]);
    repository.push("feature", "more", &[("deploy/more.yaml", Some(&config("more", "one")))]);
    let both = json!([{"component": "web", "revision": "feature", "images": [{"name": "registry.example.com/web", "tag": "3"}]}]);
    overrides(&world, both).await;
    world.until("the copy has it", async |_| image("mine-shop").await.ends_with(":3")).await;
    let proposed = world.sync().propose(&key("mine"), "web", proposer()).await.unwrap();
    repository.git(&["fetch", "--quiet", "origin"]);
    let shown = repository.git(&["show", &format!("{}:deploy/kustomization.yaml", proposed.commit)]);
    assert!(shown.contains("\"3\""), "{shown}");
    repository.git(&["cat-file", "-e", &format!("{}:deploy/more.yaml", proposed.commit)]);
    // Parameters lie elsewhere.
    overrides(&world, json!([{"component": "web", "parameters": {"a": 1}}])).await;
    world
        .until("it is seen", async |world| {
            let all = world.sync().show(&key("mine")).unwrap().overrides;
            all.first().is_some_and(|one| !one.spec.parameters.is_empty())
        })
        .await;
    let refused = world.sync().propose(&key("mine"), "web", proposer()).await.unwrap_err().to_string();
    assert!(refused.contains("lie in the Stack"), "{refused}");
    world.stop().await;
}

/// A forge that answers every question with this.
async fn forge(status: u16, answers: &'static [(&'static str, &'static str)]) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            let mut chunk = [0; 4096];
            // Heads and bodies of requests are small; the length says where they end.
            loop {
                let count = stream.read(&mut chunk).await.unwrap_or(0);
                request.extend_from_slice(&chunk[..count]);
                let text = String::from_utf8_lossy(&request).to_lowercase();
                let length =
                    text.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok());
                let whole =
                    text.split_once("\r\n\r\n").is_some_and(|(_, body)| body.len() >= length.unwrap_or(0));
                if whole || count == 0 {
                    break;
                }
            }
            let text = String::from_utf8_lossy(&request).into_owned();
            let method = text.split(' ').next().unwrap_or_default();
            let body = answers.iter().find(|(wanted, _)| *wanted == method).map_or("{}", |(_, body)| *body);
            let status = if method == "POST" && status == 200 { 201 } else { status };
            let answer = format!(
                "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proposal_becomes_a_merge_request_and_a_forge_that_is_down_takes_nothing_back() {
    let (world, repository) = world(&[("deploy/a.yaml", Some(&config("a", "one")))], Value::Null).await;
    copy(&world, "mine", json!({})).await;
    synced(&world, "mine").await;
    repository.push("feature", "try", &[("deploy/a.yaml", Some(&config("a", "mine")))]);
    overrides(&world, json!([{"component": "web", "revision": "feature"}])).await;
    has(&world, "mine-shop", "a", "mine").await;
    let proposed = world.sync().propose(&key("mine"), "web", proposer()).await.unwrap();
    let mut effects = Vec::new();
    for environment in world.sync().concerned(&key("mine")).unwrap() {
        effects.push(world.sync().effect(&environment, &proposed).await);
    }
    let ask = async || world.sync().request_merge(&key("mine"), "jane", "Title", &proposed, &effects).await;
    assert_eq!(ask().await.unwrap(), None, "no forge is known");
    let secret = |api: &str| {
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "forge", "namespace": "seaway",
            "labels": {"seaway.dev/credentials": "git"}},
            "stringData": {"url": repository.url(), "forge": "github", "forge-token": "ghp_secret", "forge-api": api}})
    };
    let down = forge(502, &[]).await;
    world.create(secret(&down)).await;
    world.until("the forge is down", async |_| ask().await.is_err()).await;
    let error = ask().await.unwrap_err().to_string();
    assert!(
        error.contains("the branch is pushed") && error.contains("502") && !error.contains("ghp_secret"),
        "{error}"
    );
    assert!(repository.git(&["ls-remote", "origin"]).contains(&proposed.branch));
    let pull = r#"{"number": 7, "html_url": "https://github.com/acme/shop/pull/7"}"#;
    let up = forge(200, Box::leak(Box::new([("GET", "[]"), ("POST", pull)]))).await;
    world
        .patch("v1", "Secret", "seaway", "forge", "operator", json!({"stringData": {"forge-api": up}}))
        .await;
    world
        .until("it is up", async |_| {
            ask().await.is_ok_and(|url| url.as_deref() == Some("https://github.com/acme/shop/pull/7"))
        })
        .await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_overridden_or_proposed_is_said() {
    let (world, repository) = world(&[("deploy/a.yaml", Some(&config("a", "one")))], Value::Null).await;
    copy(&world, "mine", json!({})).await;
    synced(&world, "mine").await;
    let reset = || repository.git(&["reset", "--quiet", "--hard", "HEAD~1"]);
    repository.push("broken", "no YAML", &[("deploy/a.yaml", Some("kind: [\n"))]);
    reset();
    repository.push("calls", "pays", &[("deploy/a.yaml", Some(&config("a", "https://pay.example.com")))]);
    reset();
    let check = async |deviation: Value| {
        let deviation = serde_json::from_value(deviation).unwrap();
        world.sync().check_override(&key("mine"), &deviation).await.map_err(|error| error.to_string())
    };
    for (deviation, text) in [
        (json!({"component": "nothing", "revision": "main"}), "\"nothing\" is not a component"),
        (json!({"component": "web", "revision": "missing"}), "missing"),
        (
            json!({"component": "web", "repo": "https://other.example.com/x.git"}),
            "does not allow the repository",
        ),
        (json!({"component": "web", "parameters": {"color": "red"}}), "parameters"),
        (json!({"component": "web", "images": [{"name": "web", "tag": "1 2"}]}), "is not a tag"),
        (json!({"component": "web", "images": [{"name": "web", "tag": "2"}]}), "runs the image \"web\""),
        (json!({"component": "web", "revision": "broken"}), "deploy/a.yaml"),
        (json!({"component": "web", "revision": "calls"}), "pay.example.com"),
    ] {
        let error = check(deviation).await.unwrap_err();
        assert!(error.contains(text), "{error}");
    }
    let nothing = world.sync().propose(&key("mine"), "web", proposer()).await.unwrap_err().to_string();
    assert!(nothing.contains("has no override of \"web\""), "{nothing}");

    // Nobody pushed these to a branch: Seaway must not do so in its own name.
    let foreign = repository.push("theirs", "foreign", &[("deploy/b.yaml", Some(&config("b", "foreign")))]);
    repository.git(&["push", "--quiet", "origin", "HEAD:refs/pull/7/head", "HEAD:refs/tags/v7"]);
    repository.git(&["push", "--quiet", "origin", "--delete", "theirs"]);
    repository.git(&["reset", "--quiet", "--hard", "HEAD~1"]);
    for revision in ["refs/pull/7/head", "v7", "refs/tags/v7", &foreign, &foreign[..12]] {
        let overrides = json!([{"component": "web", "revision": revision}]);
        let patch = json!({"spec": {"overrides": overrides}});
        world.patch(COPY, "Environment", "seaway-jane", "mine", "jane", patch).await;
        let is_seen = async |world: &World| {
            let overrides = world.sync().show(&key("mine")).unwrap().overrides;
            overrides.first().and_then(|one| one.spec.revision.as_deref()) == Some(revision)
        };
        world.until("the override is seen", is_seen).await;
        let error = world.sync().propose(&key("mine"), "web", proposer()).await.unwrap_err().to_string();
        assert!(error.contains("no branch") && error.contains(revision), "{error}");
    }
    assert!(!repository.git(&["ls-remote", "origin"]).contains("seaway/"));

    // Both sides change one line.
    repository.push("feature", "mine", &[("deploy/a.yaml", Some(&config("a", "mine")))]);
    repository.git(&["reset", "--quiet", "--hard", "HEAD~1"]);
    repository.push("main", "theirs", &[("deploy/a.yaml", Some(&config("a", "theirs")))]);
    let overrides = json!([{"component": "web", "revision": "feature"}]);
    world
        .patch(COPY, "Environment", "seaway-jane", "mine", "jane", json!({"spec": {"overrides": overrides}}))
        .await;
    has(&world, "mine-shop", "a", "mine").await;
    let conflict = world.sync().propose(&key("mine"), "web", proposer()).await.unwrap_err().to_string();
    assert!(conflict.contains("deploy/a.yaml"), "{conflict}");
    assert!(!repository.git(&["ls-remote", "origin"]).contains("seaway/"));
    world.stop().await;
}
