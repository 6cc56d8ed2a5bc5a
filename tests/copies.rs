//! A developer's copy of production on `seaway up --demo`, with the command line alone.

#![allow(clippy::unwrap_used)]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use support::demo::Demo;
use support::person::Person;
use support::{Kubectl, eventually};

/// What a page of the shop says of itself, through the gateway.
fn title(demo: &Demo, host: &str) -> String {
    let mut stream = TcpStream::connect(demo.address("gateway at http://")).unwrap();
    write!(stream, "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let title = answer.split_once("<title>").and_then(|(_, rest)| rest.split_once("</title>"));
    title.map_or(answer.lines().next().unwrap_or_default().to_owned(), |(title, _)| title.to_owned())
}

fn git(clone: &Path, line: &str) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=Jane", "-c", "user.email=jane@example.com", "-c", "commit.gpgsign=false"])
        .args(line.split(' '))
        .current_dir(clone)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    assert!(output.status.success(), "git {line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Changes production's page on a branch, and pushes it.
fn push(clone: &Path, branch: &str, from: &str, to: &str) {
    let file = clone.join("overlays/production/web/kustomization.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains(from), "{text}");
    std::fs::write(&file, text.replace(from, to)).unwrap();
    git(clone, "commit --all --quiet -m Change");
    git(clone, &format!("push --quiet origin HEAD:{branch}"));
}

/// A running demo, whose production is healthy, and a developer who is logged in.
fn demo() -> (Demo, Person) {
    let mut demo = Demo::start();
    let text = demo.all();
    assert!(text.contains("production is healthy"), "{text}");
    let (admin, jane) = (Person::new(&demo.kubeconfig()), Person::new(Path::new("/nonexistent")));
    let invited = admin.json("account create jane --role developer -o json");
    jane.enter("jane", invited["link"].as_str().unwrap());
    (demo, jane)
}

/// Why a copy differs: class and rule, each once.
fn reasons(jane: &Person) -> (Value, Vec<String>) {
    let fidelity = jane.json("env fidelity mine -o json");
    let differences = fidelity["differences"].as_array().unwrap().iter();
    let mut reasons: Vec<String> = differences
        .map(|d| format!("{} {}", d["class"].as_str().unwrap(), d["rule"].as_str().unwrap()))
        .collect();
    reasons.sort();
    reasons.dedup();
    (fidelity["undeclared"].clone(), reasons)
}

/// Everything in the cluster that could be the copy's.
fn traces(kubectl: &Kubectl) -> String {
    let kinds = "namespaces,persistentvolumes,clusterroles,clusterrolebindings";
    let cluster = kubectl.ok(&format!("get {kinds} -o name")).stdout;
    let namespaced = "pods,services,configmaps,secrets,persistentvolumeclaims,deployments,replicasets,serviceaccounts,\
                      roles,rolebindings,environments,httproutes,endpointslices,networkpolicies,limitranges,resourcequotas";
    let all = kubectl.ok(&format!("get {namespaced} --all-namespaces -o name")).stdout;
    let mut lines: Vec<&str> = cluster.lines().chain(all.lines()).collect();
    lines.sort_unstable();
    lines.join("\n")
}

#[test]
fn a_developer_has_a_copy_of_production_changes_it_and_hands_that_back() {
    let (demo, jane) = demo();
    let (kubectl, clone) = (Kubectl::new(&demo.kubeconfig()), demo.clone_of_repository());
    let before = traces(&kubectl);

    // What it would be, then the copy itself.
    let shown = jane.json("env create mine --copy-of production --dry-run -o json");
    assert_eq!(shown["copy"]["hosts"]["shop.localhost"], "shop.mine.localhost");
    assert_eq!(jane.json("env list --class personal -o json").as_array().unwrap().len(), 0);
    let made = jane.ok("env create mine --copy-of production --expires 7d");
    assert!(made.stdout.contains("http://shop.mine.localhost:"), "{made:?}");
    assert_eq!(title(&demo, "shop.mine.localhost"), "Corner Shop – production 1.0");
    assert_eq!(reasons(&jane), (0.into(), vec!["identity names".into()]));

    // One component runs a branch.
    git(&clone, "checkout --quiet -b feature/title");
    push(&clone, "feature/title", "newTag: \"1.0\"", "newTag: \"2.0\"");
    jane.ok("env override mine web --revision feature/title --reason try");
    eventually("the copy runs the branch", || title(&demo, "shop.mine.localhost").ends_with("2.0"));
    assert_eq!(title(&demo, "shop.localhost"), "Corner Shop – production 1.0");
    assert_eq!(
        reasons(&jane),
        (0.into(), vec!["identity names".into(), "override web at feature/title".into()])
    );

    // A push to it goes live there alone.
    push(
        &clone,
        "feature/title",
        "  - SHOP_ENVIRONMENT=production",
        "  - SHOP_ENVIRONMENT=production\n  - SHOP_TITLE=Janes",
    );
    eventually("the copy runs the push", || title(&demo, "shop.mine.localhost").starts_with("Janes"));
    assert_eq!(title(&demo, "shop.localhost"), "Corner Shop – production 1.0");

    // It is proposed, and nothing that others follow has changed.
    let main = git(&clone, "ls-remote origin refs/heads/main");
    let proposed = jane.json("env propose mine --message Titles -o json");
    let effect = |name: &str| {
        let effects = proposed["effects"].as_array().unwrap();
        let found = effects.iter().find(|effect| effect["environment"]["name"] == name).unwrap();
        found["objects"].as_array().unwrap().len()
    };
    assert_eq!((effect("production"), effect("staging")), (3, 0));
    assert_eq!(git(&clone, "ls-remote origin refs/heads/main"), main);
    git(&clone, "fetch --quiet origin");
    let branch = format!("origin/{}", proposed["proposed"]["branch"].as_str().unwrap());
    let commit =
        git(&clone, &format!("log -1 --format=%an:%s:%(trailers:key=Seaway-Proposal,valueonly) {branch}"));
    assert_eq!(commit, "jane:Titles:seaway-jane/mine/web");

    // What is not hers, she may not touch.
    jane.fails(
        "env override production web --revision feature/title",
        "cannot update resource \"environments\"",
    );
    jane.fails("env create shop --copy-of production", "answers at a host below shop.localhost");
    jane.fails(
        "env create part --copy-of production --only web",
        "the copy has no catalog, checkout, which web needs",
    );

    // Somebody merges it: production has it, and the override ends.
    git(&clone, &format!("push --quiet origin {branch}:main"));
    eventually("production has it", || title(&demo, "shop.localhost") == "Janes – production 2.0");
    eventually("the override has ended", || jane.json("env show mine -o json").get("overrides").is_none());
    eventually("it is the same again", || reasons(&jane) == (0.into(), vec!["identity names".into()]));

    // And it is gone without a trace.
    let gone = jane.ok("env delete mine --yes");
    assert!(gone.stdout.contains("is deleted"), "{gone:?}");
    jane.fails("env show mine", "there is no environment");
    assert!(title(&demo, "shop.mine.localhost").contains("404"));
    let ours = |text: &str| {
        text.lines().filter(|line| !line.contains("/web-")).map(str::to_owned).collect::<Vec<_>>()
    };
    eventually("nothing is left of it", || ours(&traces(&kubectl)) == ours(&before));
    assert!(!demo.folder.join("environments/seaway-jane.mine.json").exists());
}

#[test]
fn a_copy_comes_from_git_as_well_and_a_kubeconfig_works_by_itself() {
    let (demo, jane) = demo();
    let (kubectl, clone) = (Kubectl::new(&demo.kubeconfig()), demo.clone_of_repository());

    // Who is known by a kubeconfig alone gets one for his copy that needs nothing else.
    let admin = Person::new(&demo.kubeconfig());
    admin.ok("env create own --copy-of production");
    let config = demo.folder.join("own.yaml");
    std::fs::write(&config, admin.ok("env kubeconfig own").stdout).unwrap();
    let pods = Command::new(Kubectl::program())
        .args(["get", "pods", "-o", "name"])
        .env("KUBECONFIG", &config)
        .env("XDG_CONFIG_HOME", "/nonexistent")
        .env_remove("SEAWAY_TOKEN")
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&pods.stdout).contains("pod/web-"), "{pods:?}");

    // What a person has in Git is followed by an account that operations have made an owner there.
    git(&clone, "checkout --quiet -b janes");
    let folder = clone.join("janes");
    std::fs::create_dir(&folder).unwrap();
    let environment = "apiVersion: seaway.dev/v1alpha1\nkind: Environment\nmetadata: {name: mine}\nspec: {copyOf: production, class: personal}\n";
    let note = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: note}\n";
    std::fs::write(folder.join("mine.yaml"), environment).unwrap();
    std::fs::write(folder.join("note.yaml"), note).unwrap();
    git(&clone, "add --all");
    git(&clone, "commit --quiet -m Mine");
    git(&clone, "push --quiet origin HEAD:janes");
    let url = kubectl.ok("get stack shop -n seaway -o jsonpath={.spec.components[0].source.repo}").stdout;
    let rbac = "rbac.authorization.k8s.io";
    kubectl.apply(&format!(
        "apiVersion: seaway.dev/v1alpha1\nkind: Stack\nmetadata: {{name: janes, namespace: seaway}}\nspec:\n  components:\n  \
         - {{name: environments, source: {{repo: '{url}', path: janes, revision: janes}}}}\n---\n\
         apiVersion: seaway.dev/v1alpha1\nkind: Environment\nmetadata: {{name: janes, namespace: seaway}}\nspec: {{stack: janes, \
         class: staging, destination: {{namespace: seaway-jane}}}}\n---\n\
         apiVersion: {rbac}/v1\nkind: RoleBinding\nmetadata: {{name: git, namespace: seaway-jane}}\nroleRef: {{apiGroup: {rbac}, \
         kind: ClusterRole, name: seaway-owner}}\nsubjects: [{{kind: ServiceAccount, name: seaway-janes, namespace: seaway}}]\n"
    ));
    eventually("the copy answers", || title(&demo, "shop.mine.localhost") == "Corner Shop – production 1.0");
    eventually("it is hers", || jane.json("env show mine -o json")["owner"] == "jane");
    assert_eq!(reasons(&jane), (0.into(), vec!["identity names".into()]));
    std::fs::remove_file(folder.join("mine.yaml")).unwrap();
    git(&clone, "commit --quiet --all -m Without");
    git(&clone, "push --quiet origin HEAD:janes");
    eventually("with the file it goes", || !kubectl.run("get namespace mine-shop").success);
    eventually("the Environment, too", || !kubectl.run("get environment mine -n seaway-jane").success);
}

#[test]
fn creation_and_deletion_go_on_after_kill_9() {
    let (demo, jane) = demo();
    jane.ok("env create mine --copy-of production --no-wait");
    let demo = demo.killed_and_restarted();
    eventually("the copy answers", || title(&demo, "shop.mine.localhost") == "Corner Shop – production 1.0");
    let kubectl = Kubectl::new(&demo.kubeconfig());
    assert!(kubectl.run("get namespace mine-shop").success);
    jane.ok("env delete mine --yes --no-wait");
    let demo = demo.killed_and_restarted();
    let kubectl = Kubectl::new(&demo.kubeconfig());
    eventually("it is gone", || !kubectl.run("get namespace mine-shop").success);
    eventually("the Environment, too", || !kubectl.run("get environment mine -n seaway-jane").success);
    assert!(kubectl.run("get namespace shop").success);
    // So does a shared environment, whose namespace stays.
    Person::new(&demo.kubeconfig()).ok("env delete staging --yes");
    let left = kubectl.ok("get deployments,services,httproutes,configmaps -n shop-staging -o name").stdout;
    assert!(!left.contains("web"), "{left}");
}
