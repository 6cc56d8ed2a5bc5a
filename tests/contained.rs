//! What the owner of a copy may do from inside it, and that it is nothing outside: request by request, with the tokens
//! that kubectl gets.

#![allow(clippy::unwrap_used)]

#[path = "support/cluster.rs"]
mod cluster;
#[path = "support/git.rs"]
mod git;
#[path = "contained/matrix.rs"]
mod matrix;
#[path = "real-kubernetes/mod.rs"]
mod real_kubernetes;
#[path = "support/serving.rs"]
mod serving;
mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use cluster::Cluster;
use git::Repository;
use matrix::{Api, Features};
use real_kubernetes::{Parts, RealKubernetes};
use serde_json::{Value, json};
use serving::{Serve, install};
use support::person::{PASSWORD, Person};
use support::{Kubectl, eventually};

const FILES: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {color: red}\n---\n\
                     apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: web}\n";

/// Makes the first account by its link, as the page does.
fn set_up(address: &str, code: &str) {
    let body = json!({"code": code, "name": "ada", "password": PASSWORD}).to_string();
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "POST /api/v1/setup HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// A server of long ago takes an empty text as a default for none at all, and refuses it.
fn without_empty_defaults(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|key, value| key != "default" || *value != "");
            map.values_mut().for_each(without_empty_defaults);
        }
        Value::Array(items) => items.iter_mut().for_each(without_empty_defaults),
        _ => {}
    }
}

fn a_copy_is_open_inside_and_closed_outside(admin: &Path, features: Features) {
    let temporary = tempfile::tempdir().unwrap();
    let repository = Repository::new();
    repository.push("main", "First", &[("app/all.yaml", FILES)]);
    let k = Kubectl::new(admin);
    let mut routes = seaway_gateway::crds();
    routes.iter_mut().for_each(without_empty_defaults);
    let routes: Vec<String> = routes.iter().map(seaway_object::yaml::to_string).collect();
    let applied = k.args(&["apply", "--validate=false", "-f", "-"], &routes.join("---\n"));
    assert!(applied.success, "{applied:?}");
    let own = install(admin, temporary.path());
    let mut serve = Serve::start(&own, &temporary.path().join("data"), &[]);
    k.apply(&format!(
        "apiVersion: seaway.dev/v1alpha1\nkind: Stack\nmetadata: {{name: shop, namespace: seaway}}\nspec:\n  components:\n  \
         - name: web\n    source: {{repo: \"{}\", path: app, revision: main}}\n---\n\
         apiVersion: seaway.dev/v1alpha1\nkind: Environment\nmetadata: {{name: production, namespace: seaway}}\nspec:\n  \
         stack: shop\n  class: production\n  destination: {{namespace: shop}}\n",
        repository.url()
    ));
    let code = serve.setup_code();
    set_up(&serve.address, &code);
    let (ada, jane) = (Person::new(Path::new("/nonexistent")), Person::new(Path::new("/nonexistent")));
    let server = format!("http://{}", serve.address);
    let login = ["login", "--server", &server, "--user", "ada", "--password-stdin"];
    let printed = ada.run_with(&login, &format!("{PASSWORD}\n"));
    assert!(printed.success, "{printed:?}");
    let invited = ada.json("account create jane --role developer -o json");
    jane.enter("jane", invited["link"].as_str().unwrap());
    if !features.counts_custom_resources {
        k.ok("delete resourcequota --all -n seaway-jane");
    }
    eventually("production is there to be copied", || {
        jane.run("env create mine --copy-of production --dry-run").success
    });
    let made = jane.ok("env create mine --copy-of production --no-wait");
    assert!(made.stdout.contains("nothing that enforces NetworkPolicies was found"), "{made:?}");
    eventually("the copy runs", || k.run("get configmap settings -n mine-shop").success);

    // With the kubeconfig, kubectl asks this program for tokens.
    let config = temporary.path().join("mine.yaml");
    let printed = jane.ok("env kubeconfig mine").stdout;
    assert!(!printed.contains("token:"), "{printed}");
    std::fs::write(&config, printed).unwrap();
    let inside = |line: &str| {
        let output = Command::new(Kubectl::program())
            .args(line.split(' '))
            .env("KUBECONFIG", &config)
            .env("XDG_CONFIG_HOME", jane.file().parent().unwrap().parent().unwrap())
            .env("KUBECACHEDIR", temporary.path().join("cache"))
            .output()
            .unwrap();
        (
            output.status.success(),
            String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
        )
    };
    eventually("kubectl works in the copy", || {
        inside("get configmap settings -o name").1.trim() == "configmap/settings"
    });
    let (good, said) = inside("get configmaps -n shop");
    assert!(!good && said.contains("forbidden"), "{said}");
    let (good, said) = inside("create deployment extra --image registry.example.com/extra:1");
    assert!(good, "{said}");

    // The whole matrix, with such a token.
    let token = jane.json("kube-token mine");
    let token_of = |credential: &Value| credential["status"]["token"].as_str().unwrap().to_owned();
    let expires: jiff::Timestamp = token["status"]["expirationTimestamp"].as_str().unwrap().parse().unwrap();
    assert!(expires <= jiff::Timestamp::now() + jiff::SignedDuration::from_secs(3660), "{expires}");
    let api = Api::new(&own, &token_of(&token));
    eventually("quotas are counted", || {
        k.run("get resourcequota seaway -n mine-shop -o jsonpath={.status.hard.pods}").stdout == "100"
    });
    let (allowed, forbidden) = matrix::check(&api, features);
    assert!(allowed + forbidden >= 100, "{allowed} + {forbidden}");
    println!("{allowed} requests allowed, {forbidden} forbidden");

    // As whom the copy is applied, nothing outside can be reached either.
    let account = Api::acting_as(admin, "system:serviceaccount:seaway-jane:seaway-mine");
    matrix::check_account(&account, features);

    // Nobody else gets a token, and those that there are can be ended.
    let bob = ada.json("account create bob --role developer -o json");
    let bobs = Person::new(Path::new("/nonexistent"));
    bobs.enter("bob", bob["link"].as_str().unwrap());
    bobs.fails("kube-token seaway-jane/mine", "forbidden");
    ada.fails("kube-token seaway-jane/mine", "forbidden");
    assert_eq!(api.status("GET", "/api/v1/namespaces/mine-shop/configmaps", None), 200);
    jane.ok("env kubeconfig mine --revoke");
    eventually("the token does not count any more", || {
        api.status("GET", "/api/v1/namespaces/mine-shop/configmaps", None) == 401
    });
    let again = Api::new(&own, &token_of(&jane.json("kube-token mine")));
    eventually("a new one does", || {
        again.status("GET", "/api/v1/namespaces/mine-shop/configmaps", None) == 200
    });

    // With the copy all of it goes.
    jane.ok("env delete mine --yes");
    for what in ["serviceaccount access-mine", "role access-mine", "rolebinding access-mine"] {
        let left = k.run(&format!("get {what} -n seaway-jane"));
        assert!(left.stderr.contains("NotFound"), "{what}: {left:?}");
    }
    drop(serve);
}

#[test]
fn on_the_embedded_api() {
    let cluster = Cluster::start();
    let features = Features {
        pod_security: true,
        service_accounts: true,
        counts_custom_resources: true,
        refuses_endless_tokens: true,
    };
    a_copy_is_open_inside_and_closed_outside(&cluster.kubeconfig(), features);
}

#[test]
fn on_a_real_kubernetes() {
    let Some(programs) = real_kubernetes::programs() else { return };
    let mut real = RealKubernetes::start(&programs, Parts { sync_writes: false });
    real.start_controllers();
    let k = Kubectl::new(&real.kubeconfig());
    eventually("the default account is there", || k.run("get serviceaccount default -n default").success);
    // 1.20 knows no Pod Security and no policies of admission, is started without the plugin that looks for accounts, and its quota controller does
    // not come to count custom resources here.
    let features = Features {
        pod_security: false,
        service_accounts: false,
        counts_custom_resources: false,
        refuses_endless_tokens: false,
    };
    a_copy_is_open_inside_and_closed_outside(&real.kubeconfig(), features);
}
