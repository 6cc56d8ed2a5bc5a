//! A real repository with overlays is deployed to production and staging, and production is copied. Nothing here can pull
//! its images: what is deployed is compared, and each environment says what its pods wait for.
//!
//! The corpus lies beside the checkout; where it is absent, there is nothing to deploy.

#![allow(clippy::unwrap_used)]

#[path = "support/git.rs"]
mod git;
mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use git::Repository;
use serde_json::{Value, json};
use support::person::Person;
use support::{Kubectl, Seaway, eventually};

const COMPONENTS: [&str; 8] = [
    "frontend",
    "ledger/balancereader",
    "ledger/ledger-db",
    "ledger/transactionhistory",
    "ledger/ledgerwriter",
    "accounts/accounts-db",
    "accounts/contacts",
    "accounts/userservice",
];

fn corpus() -> Option<PathBuf> {
    let found = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared/corpus/kustomize/GoogleCloudPlatform--bank-of-anthos/tree");
    if !found.is_dir() {
        println!("skipped: ../shared/corpus/kustomize is absent");
        return None;
    }
    Some(found)
}

/// What the repository expects to be there: an account that is somebody at a cloud provider, settings, something in a
/// second namespace, and something that lives in the cluster.
fn platform(overlay: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: bank-of-anthos, annotations: \
         {{iam.gke.io/gcp-service-account: bank@{overlay}.iam.gserviceaccount.com}}}}\n---\n\
         apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: environment-config}}\ndata: {{LOCAL_ROUTING_NUM: '883745000'}}\n---\n\
         apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: dashboards, namespace: bank-monitoring-{overlay}}}\ndata: {{a: b}}\n---\n\
         apiVersion: scheduling.k8s.io/v1\nkind: PriorityClass\nmetadata: {{name: bank-{overlay}}}\nvalue: 7\n"
    )
}

/// Kinds that the cluster of its authors has, without a schema, and the right to make them.
fn kinds() -> Value {
    let kinds = [
        ("cloud.google.com", "v1", "BackendConfig"),
        ("networking.gke.io", "v1", "ManagedCertificate"),
        ("networking.gke.io", "v1beta1", "FrontendConfig"),
    ];
    let definition = |(group, version, kind): (&str, &str, &str)| {
        let plural = format!("{}s", kind.to_lowercase());
        let schema =
            json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
        json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{plural}.{group}")},
            "spec": {"group": group, "scope": "Namespaced", "names": {"kind": kind, "plural": plural},
                     "versions": [{"name": version, "served": true, "storage": true, "schema": schema}]}})
    };
    let mut items: Vec<Value> = kinds.into_iter().map(definition).collect();
    items.push(json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": "gke", "labels": {"rbac.authorization.k8s.io/aggregate-to-admin": "true"}},
        "rules": [{"apiGroups": ["cloud.google.com", "networking.gke.io"], "resources": ["*"], "verbs": ["*"]}]}));
    json!({"apiVersion": "v1", "kind": "List", "items": items})
}

fn definitions(url: &str) -> Value {
    let component = |name: &str, path: String| json!({"name": name, "source": {"repo": url, "path": path, "revision": "main"}});
    let named = |path: &&str| path.rsplit('/').next().unwrap_or_default().to_owned();
    let mut components = vec![component("platform", "platform/${overlay}".to_owned())];
    components.extend(
        COMPONENTS
            .iter()
            .map(|path| component(&named(path), format!("src/{path}/k8s/overlays/${{overlay}}"))),
    );
    let environment = |name: &str| {
        json!({"apiVersion": "seaway.dev/v1alpha1", "kind": "Environment",
            "metadata": {"name": name, "namespace": "seaway"},
            "spec": {"stack": "bank", "class": name, "destination": {
                "namespace": format!("bank-of-anthos-{name}"), "namespaces": [format!("bank-monitoring-{name}")]}}})
    };
    let stack = json!({"apiVersion": "seaway.dev/v1alpha1", "kind": "Stack",
        "metadata": {"name": "bank", "namespace": "seaway"},
        "spec": {"components": components,
                 "allow": {"repositories": [url], "clusterKinds": ["PriorityClass.scheduling.k8s.io"]}}});
    json!({"apiVersion": "v1", "kind": "List", "items": [stack, environment("production"), environment("staging")]})
}

/// The pods of each workload in a namespace, as the API keeps them.
fn templates(k: &Kubectl, namespace: &str) -> Vec<(String, Value)> {
    let list: Value =
        serde_json::from_str(&k.ok(&format!("get deployments -n {namespace} -o json")).stdout).unwrap();
    let brief = |one: &Value| {
        (one["metadata"]["name"].as_str().unwrap().to_owned(), one["spec"]["template"]["spec"].clone())
    };
    list["items"].as_array().unwrap().iter().map(brief).collect()
}

/// Each difference as class, rule, kind and field.
fn why(person: &Person, line: &str) -> (Value, BTreeSet<String>) {
    let printed = person.run(line);
    let fidelity: Value =
        serde_json::from_str(&printed.stdout).unwrap_or_else(|e| panic!("{e}: {printed:?}"));
    let told = |d: &Value| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        format!(
            "{} {} {} {}",
            text(&d["class"]),
            text(&d["rule"]),
            text(&d["object"]["kind"]),
            text(&d["path"])
        )
    };
    let differences = fidelity["differences"].as_array().unwrap().iter().map(told).collect();
    (fidelity["undeclared"].clone(), differences)
}

#[test]
fn production_of_a_real_repository_is_copied_though_nobody_can_pull_its_images() {
    let Some(tree) = corpus() else { return };
    let repository = Repository::new();
    let copied = Command::new("cp").arg("-r").arg(tree.join(".")).arg(repository.work()).status().unwrap();
    assert!(copied.success());
    let (production, staging) = (platform("production"), platform("staging"));
    let files =
        [("platform/production/all.yaml", production.as_str()), ("platform/staging/all.yaml", &staging)];
    repository.push("main", "First", &files);
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join("data");
    let seaway = Seaway::start_with(&folder, &["--node", "none", "--poll-interval", "0.2"]);
    let k = seaway.kubectl();
    k.apply(&kinds().to_string());
    k.apply(&definitions(&repository.url()).to_string());
    let operator = Person::new(&folder.join("kubeconfig"));
    let message = |name: &str| {
        let list = operator.json("env list -o json");
        let found = list.as_array().unwrap().iter().find(|one| one["name"] == name).cloned();
        found.unwrap_or_default()["message"].as_str().unwrap_or_default().to_owned()
    };
    for name in ["production", "staging"] {
        eventually("it says what its pods wait for", || message(name).contains("no nodes available"));
    }

    // What nobody has thought of stops the copy, and then it is shown before it is made.
    operator.fails("env create mine --copy-of production --dry-run", "it is an identity outside the cluster");
    let marked = json!({"spec": {"productionOnly": [
        {"name": "identity", "target": {"kind": "ServiceAccount"}, "standIn": {"omit": true}}]}});
    k.ok(&format!("patch stack bank -n seaway --type merge -p {}", marked.to_string().replace(' ', "")));
    eventually("the stack is followed", || {
        operator.run("env create mine --copy-of production --dry-run").success
    });
    let shown = operator.json("env create mine --copy-of production --dry-run -o json");
    assert_eq!(
        shown["copy"]["namespaces"],
        json!({"bank-of-anthos-production": "mine-bank-of-anthos-production",
               "bank-monitoring-production": "mine-bank-monitoring-production"})
    );
    assert_eq!(shown["copy"]["leftOut"][0]["object"], "PriorityClass.scheduling.k8s.io bank-production");

    operator.ok("env create mine --copy-of production --no-wait");
    let place = "mine-bank-of-anthos-production";
    eventually("everything is deployed", || {
        k.run(&format!("get ingress frontend-ingress -n {place}")).success
    });
    eventually("all workloads are", || templates(&k, place).len() == 6);
    assert_eq!(templates(&k, place), templates(&k, "bank-of-anthos-production"));
    k.ok("get configmap dashboards -n mine-bank-monitoring-production");
    let account = k.ok(&format!("get serviceaccount bank-of-anthos -n {place} -o yaml")).stdout;
    assert!(!account.contains("gserviceaccount"), "{account}");
    eventually("the copy says what its pods wait for", || {
        let said = message("mine");
        said.contains("no nodes available") || said.contains("violates PodSecurity")
    });
    let fresh = [
        "identity cluster-scoped PriorityClass ",
        "identity names BackendConfig .metadata.namespace",
        "identity names ConfigMap .metadata.namespace",
        "identity names Deployment .metadata.namespace",
        "identity names FrontendConfig .metadata.namespace",
        "identity names Ingress .metadata.namespace",
        "identity names ManagedCertificate .metadata.namespace",
        "identity names Service .metadata.namespace",
        "identity names ServiceAccount .metadata.namespace",
        "standIn identity ServiceAccount .metadata.annotations.iam.gke.io/gcp-service-account",
    ];
    let mut expected: BTreeSet<String> = fresh.map(str::to_owned).into();
    assert_eq!(why(&operator, "env fidelity mine -o json"), (0.into(), expected.clone()));

    // An override is just that.
    let image = templates(&k, place).into_iter().find(|(name, _)| name == "contacts").unwrap().1;
    let image = image["containers"][0]["image"].as_str().unwrap().to_owned();
    let name = image.split(['@', ':']).next().unwrap();
    operator.fails("env override mine contacts --image wrong=1", "runs the image \"wrong\"");
    operator.ok(&format!("env override mine contacts --image {name}=none"));
    expected.insert(
        "override contacts with other parameters or images Deployment \
         .spec.template.spec.containers[name=\"contacts\"].image"
            .to_owned(),
    );
    eventually("fidelity says that and nothing else", || {
        why(&operator, "env fidelity mine -o json") == (0.into(), expected.clone())
    });

    // Between the overlays, what they change and nothing of where they are.
    let (undeclared, differences) = why(&operator, "env fidelity staging --against production -o json");
    assert!(undeclared.as_u64().unwrap() > 50, "{undeclared}");
    let made: BTreeSet<&str> =
        differences.iter().filter_map(|line| line.strip_prefix("undeclared  ")).collect();
    let each = |kinds: &[&'static str], fields: &[&'static str]| -> Vec<String> {
        kinds.iter().flat_map(|kind| fields.iter().map(move |field| format!("{kind} {field}"))).collect()
    };
    let mut overlays = each(
        &["ConfigMap", "Deployment", "Service"],
        &[".metadata.labels.cluster", ".metadata.labels.environment"],
    );
    overlays.extend(each(&["Deployment", "Service"], &[".spec.selector"]));
    overlays.extend(each(
        &["Deployment"],
        &[".spec.template.metadata.labels.cluster", ".spec.template.metadata.labels.environment"],
    ));
    overlays.extend(each(&["Service"], &[".metadata.annotations", ".spec.type"]));
    overlays.extend(each(&["BackendConfig", "FrontendConfig", "Ingress", "ManagedCertificate"], &[""]));
    // Those that operations have added are others by name and by account.
    overlays.extend(each(&["PriorityClass"], &[""]));
    overlays.push("ServiceAccount .metadata.annotations.iam.gke.io/gcp-service-account".to_owned());
    assert_eq!(made, overlays.iter().map(String::as_str).collect());
}
