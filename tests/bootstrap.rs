//! `seaway bootstrap`: Seaway follows the deployment repository.

#![allow(clippy::unwrap_used)]

#[path = "support/git.rs"]
mod git;
mod support;

use std::process::Output;

use git::Repository;
use serde_json::Value;
use support::{Kubectl, Seaway, eventually, program, unwrapped};

fn bootstrap(seaway: &Seaway, arguments: &[&str]) -> (bool, String, String) {
    let command = program()
        .args(["bootstrap", "--kubeconfig"])
        .arg(seaway.folder.join("kubeconfig"))
        .args(arguments)
        .output();
    let Output { status, stdout, stderr } = command.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.success(), text(stdout), unwrapped(&text(stderr)))
}

fn stack(url: &str) -> String {
    format!(
        "apiVersion: seaway.dev/v1alpha1\nkind: Stack\nmetadata: {{name: shop, namespace: seaway}}\nspec:\n  components:\n  \
         - name: web\n    source: {{repo: \"{url}\", path: app, revision: main}}\n"
    )
}

fn environment(name: &str) -> String {
    format!(
        "apiVersion: seaway.dev/v1alpha1\nkind: Environment\nmetadata: {{name: {name}}}\nspec:\n  stack: shop\n  \
         destination: {{namespace: shop-{name}}}\n"
    )
}

fn deployed(k: &Kubectl, name: &str) -> bool {
    k.run(&format!("get configmap settings -n shop-{name}")).success
}

#[test]
fn seaway_follows_the_deployment_repository() {
    let repository = Repository::new();
    let settings = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {a: b}\n";
    repository.push(
        "main",
        "First",
        &[
            ("app/settings.yaml", settings),
            ("clusters/main/shop.yaml", &stack(&repository.url())),
            ("clusters/main/environments/staging.yaml", &environment("staging")),
            ("clusters/main/environments/production.yaml", &environment("production")),
        ],
    );
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join("data");
    let seaway = Seaway::start_with(&folder, &["--node", "none", "--poll-interval", "0.2"]);
    let k = seaway.kubectl();
    let url = repository.private_url();
    let arguments = [url.as_str(), "--path", "clusters/main"];

    // A dry run does nothing.
    let (success, stdout, stderr) = bootstrap(&seaway, &[&arguments[..], &["--dry-run"]].concat());
    assert!(success, "{stdout}{stderr}");
    assert!(stdout.contains("stack.seaway.dev/deployment created (server dry run)"), "{stdout}");
    assert_eq!(k.ok("get stacks,environments,rolebindings -n seaway -o name").stdout.trim(), "");

    // Whoever gives up waiting is told why it takes so long, and goes on later.
    let (success, stdout, stderr) = bootstrap(&seaway, &[&arguments[..], &["--timeout", "2"]].concat());
    assert!(!success && stderr.contains("refuses access") && stderr.contains("Secret"), "{stdout}{stderr}");
    let password = git::http::PASSWORD;
    k.ok(&format!(
        "create secret generic git -n seaway --from-literal=url={url} --from-literal=username={} --from-literal=password={password}",
        git::http::USER
    ));
    k.ok("label secret git -n seaway seaway.dev/credentials=git");
    // As after an interruption: some of it is there.
    k.ok("delete rolebinding seaway-bootstrap-deployment -n seaway");
    let (success, stdout, stderr) = bootstrap(&seaway, &[&arguments[..], &["-o", "json"]].concat());
    assert!(success, "{stdout}{stderr}");
    let report: Value = serde_json::from_str(&stdout).unwrap();
    let actions: Vec<_> =
        report["objects"].as_array().unwrap().iter().map(|o| o["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["unchanged", "created", "unchanged"], "{stdout}");
    assert_eq!(report["commit"].as_str().map(str::len), Some(8), "{stdout}");
    eventually("both environments are deployed", || deployed(&k, "staging") && deployed(&k, "production"));

    // Again: nothing is written.
    let (success, stdout, _) = bootstrap(&seaway, &arguments);
    assert!(success && stdout.matches(" unchanged\n").count() == 3, "{stdout}");

    // Git decides from now on: what is added comes, what is changed by hand is put back, what is gone goes.
    repository.push(
        "main",
        "Preview, without staging",
        &[
            ("clusters/main/environments/preview.yaml", &environment("preview")),
            ("clusters/main/environments/staging.yaml", ""),
        ],
    );
    eventually("the preview is deployed", || deployed(&k, "preview"));
    eventually("staging ends, with what it deployed", || {
        !k.run("get environment staging -n seaway").success && !deployed(&k, "staging")
    });
    k.ok("patch environment production -n seaway --type=merge -p {\"spec\":{\"stack\":\"elsewhere\"}}");
    eventually("the change by hand is put back", || {
        k.ok("get environment production -n seaway -o jsonpath={.spec.stack}").stdout == "shop"
    });

    // Another repository does not take its place by mistake.
    let (success, _, stderr) =
        bootstrap(&seaway, &["https://git.example.com/other.git", "--path", "clusters/main"]);
    assert!(!success && stderr.contains("already") && stderr.contains("--name"), "{stderr}");
}

#[test]
fn a_deployment_repository_gives_nobody_more_rights() {
    let repository = Repository::new();
    let binding = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: everything}\n\
                   roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}\n\
                   subjects: [{kind: User, name: mallory, apiGroup: rbac.authorization.k8s.io}]\n";
    repository.push("main", "First", &[("seaway/binding.yaml", binding)]);
    let temporary = tempfile::tempdir().unwrap();
    let seaway = Seaway::start_with(&temporary.path().join("data"), &["--node", "none"]);
    let k = seaway.kubectl();
    let (success, _, stderr) = bootstrap(&seaway, &[&repository.url(), "--path", "seaway", "--timeout", "3"]);
    assert!(!success && stderr.contains("ClusterRoleBinding") && stderr.contains("everything"), "{stderr}");
    assert!(!k.run("get clusterrolebinding everything").success);
    for url in ["ext::sh -c id", "-oProxyCommand=id", "https://ada:secret@git.example.com/a"] {
        let (success, _, stderr) = bootstrap(&seaway, &["--path", ".", "--", url]);
        assert!(!success && stderr.contains("not a usable repository URL"), "{stderr}");
        assert!(!stderr.contains("ada:secret"), "{stderr}");
    }
}

#[test]
fn what_is_refused_leaves_nothing_behind_and_rights_end_with_their_environment() {
    let repository = Repository::new();
    let settings = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {a: b}\n";
    let definitions = format!("{}---\n{}", stack(&repository.url()), environment("staging"));
    repository.push("main", "First", &[("app/settings.yaml", settings), ("seaway/shop.yaml", &definitions)]);
    let temporary = tempfile::tempdir().unwrap();
    let seaway =
        Seaway::start_with(&temporary.path().join("data"), &["--node", "none", "--poll-interval", "0.2"]);
    let k = seaway.kubectl();
    let url = repository.url();
    let there = || k.ok("get stacks,environments,rolebindings -n seaway -o name").stdout;
    let refused = |more: &[&str]| {
        let (success, stdout, stderr) = bootstrap(&seaway, &[&[url.as_str()], more].concat());
        assert!(!success, "{more:?}: {stdout}");
        assert!(!stderr.contains("Status {") && !stderr.contains("Some("), "{stderr}");
        stderr
    };

    let said = refused(&["--path", "../x", "--name", "b3"]);
    assert!(said.contains("nothing was changed") && said.contains("it leaves the repository"), "{said}");
    assert_eq!(
        said.matches("Stack.seaway.dev \"b3\" is invalid: spec.components[0].source.path").count(),
        1,
        "{said}"
    );
    let said = refused(&["--path", "seaway", "--name", "Not_A_Name"]);
    assert!(said.contains("metadata.name"), "{said}");
    assert_eq!(there(), "");

    let (success, stdout, stderr) = bootstrap(&seaway, &[&url, "--path", "seaway"]);
    assert!(success, "{stdout}{stderr}");
    eventually("staging is deployed", || deployed(&k, "staging"));
    let said = refused(&["--path", "seaway", "--name", "staging"]);
    assert!(said.contains("runs the Stack shop in the namespace shop-staging"), "{said}");
    let said = refused(&["--path", "seaway", "--revision", "nope"]);
    assert!(said.contains("follows main of") && said.contains("kubectl edit stack deployment"), "{said}");
    assert!(!there().contains("stack.seaway.dev/staging") && !there().contains("seaway-bootstrap-staging"));
    k.prints("get stack deployment -n seaway -o jsonpath={.spec.components[0].source.revision}", "main");
    // Changed on purpose, it is not deployed before that branch is there.
    let patch = r#"[{"op": "replace", "path": "/spec/components/0/source/revision", "value": "nope"}]"#;
    let patched =
        k.args(&["patch", "stack", "deployment", "-n", "seaway", "--type", "json", "-p", patch], "");
    assert!(patched.success, "{patched:?}");
    eventually("the branch is missed", || refused(&["--path", "seaway", "--timeout", "2"]).contains("nope"));

    // A folder of other things is deployed, and follows nothing.
    let said = refused(&["--path", "app", "--name", "b1"]);
    assert!(said.contains("neither a Stack nor an Environment"), "{said}");
    k.ok("get rolebinding seaway-bootstrap-b1 -n seaway");
    k.ok("delete environment b1 -n seaway --wait=false");
    eventually("its account is no operator any more", || {
        !k.run("get rolebinding seaway-bootstrap-b1 -n seaway").success
    });
    k.ok("get rolebinding seaway-bootstrap-deployment -n seaway");
}
