//! Real repositories with overlays for development, staging and production: every difference that their overlays make is
//! found, and none is invented; a copy of production has no undeclared one.
//!
//! The corpus lies beside the checkout; where it is absent, there is nothing to compare.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use seaway_api::{EnvironmentSpec, StackSpec};
use seaway_environments::fidelity::deviations;
use seaway_environments::{Class, Copy, Error, Fidelity, Source, compare, place};
use seaway_object::Scope;
use seaway_render::{Outcome, RenderRequest, render};
use seaway_source::Directory;
use serde_json::{Value, json};

const NAMESPACE: &str = "bank";

fn corpus(repository: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus/kustomize");
    let found = root.join(repository).join("tree");
    if !found.is_dir() {
        println!("skipped: ../shared/corpus/kustomize is absent");
        return None;
    }
    Some(found)
}

/// The objects of a directory; `None` where it needs what is not in the corpus.
fn rendered(tree: &Path, path: &str) -> Option<Vec<Value>> {
    let directory = Directory::open(tree).unwrap();
    match render(&RenderRequest::new(&directory, path)) {
        Ok(Outcome::Rendered(rendered)) => {
            Some(rendered.objects.into_iter().map(|object| object.value).collect())
        }
        Ok(Outcome::Needs(_)) => None,
        Err(error) => panic!("{path}: {error}"),
    }
}

fn scope(value: &Value) -> Scope {
    let kind = value["kind"].as_str().unwrap_or_default();
    let cluster = ["Namespace", "ClusterIssuer", "CustomResourceDefinition", "StorageClass"];
    if kind.starts_with("Cluster") || cluster.contains(&kind) { Scope::Cluster } else { Scope::Namespaced }
}

fn placed(objects: &[Value]) -> Vec<Value> {
    objects.iter().map(|object| place(object, scope(object), NAMESPACE)).collect()
}

/// The oracle: every text, number and flag below a value with the names of the fields that lead to it, places in lists
/// aside. It knows nothing of how Kubernetes' lists merge.
type Leaves = BTreeMap<(String, String), i64>;

fn leaves(value: &Value, at: &str, sign: i64, found: &mut Leaves) {
    match value {
        Value::Object(map) => {
            map.iter().for_each(|(key, child)| leaves(child, &format!("{at}/{key}"), sign, found))
        }
        Value::Array(items) => items.iter().for_each(|child| leaves(child, at, sign, found)),
        Value::Null => {}
        leaf => *found.entry((at.to_owned(), leaf.to_string())).or_default() += sign,
    }
}

/// The names of the fields of a path as it is printed: `.spec.containers[name="a"].image` leads through `/spec/containers`.
fn names(path: &str) -> String {
    let (mut names, mut depth, mut quoted) = (String::new(), 0, false);
    for c in path.chars() {
        match c {
            '"' => quoted = !quoted,
            '[' if !quoted => depth += 1,
            ']' if !quoted => depth -= 1,
            '.' if depth == 0 => names.push('/'),
            c if depth == 0 => names.push(c),
            _ => {}
        }
    }
    names
}

fn key(object: &Value) -> String {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    format!("{}|{}|{}", text("/kind"), text("/metadata/namespace"), text("/metadata/name"))
}

/// What the oracle says of two sides, and what fidelity says: object by object the same leaves.
fn agree(left: &[Value], right: &[Value], fidelity: &Fidelity) {
    let mut expected: BTreeMap<String, Leaves> = BTreeMap::new();
    for (side, sign) in [(left, -1), (right, 1)] {
        for object in side {
            leaves(object, "", sign, expected.entry(key(object)).or_default());
        }
    }
    let mut found: BTreeMap<String, Leaves> = BTreeMap::new();
    for field in &fidelity.differences {
        let name = format!(
            "{}|{}|{}",
            field.object.kind,
            field.object.namespace.as_deref().unwrap_or_default(),
            field.object.name
        );
        let entry = found.entry(name).or_default();
        for (value, sign) in [(&field.left, -1), (&field.right, 1)] {
            if let Some(value) = value {
                leaves(value, &names(&field.path), sign, entry);
            }
        }
    }
    for all in [&mut expected, &mut found] {
        all.values_mut().for_each(|leaves| leaves.retain(|_, count| *count != 0));
        all.retain(|_, leaves| !leaves.is_empty());
    }
    for (object, leaves) in &expected {
        assert_eq!(Some(leaves), found.get(object), "{object}");
    }
    assert_eq!(expected.len(), found.len());
}

fn overlays(tree: &Path, overlay: &str) -> Vec<(String, Vec<Value>)> {
    let mut components = Vec::new();
    let mut folders = vec![tree.join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap().flatten().filter(|entry| entry.path().is_dir()) {
            let found = entry.path().join("k8s/overlays").join(overlay);
            if found.join("kustomization.yaml").is_file() {
                let path = found.strip_prefix(tree).unwrap().to_str().unwrap().to_owned();
                if let Some(objects) = rendered(tree, &path) {
                    components.push((entry.file_name().into_string().unwrap(), objects));
                }
            }
            folders.push(entry.path());
        }
    }
    components.sort_by(|a, b| a.0.cmp(&b.0));
    components
}

fn all(components: &[(String, Vec<Value>)]) -> Vec<Value> {
    components.iter().flat_map(|(_, objects)| objects.clone()).collect()
}

#[test]
fn what_overlays_change_is_found_and_nothing_is_invented() {
    let Some(tree) = corpus("GoogleCloudPlatform--bank-of-anthos") else { return };
    let production = overlays(&tree, "production");
    assert!(production.len() > 5, "{production:?}");
    let mut differences = 0;
    for overlay in ["development", "staging"] {
        let other = overlays(&tree, overlay);
        let (left, right) = (placed(&all(&production)), placed(&all(&other)));
        let fidelity = compare(&left, &right, &Clone::clone, &[]);
        assert_eq!(fidelity.declared, 0);
        assert_eq!(fidelity.undeclared, fidelity.differences.len());
        agree(&left, &right, &fidelity);
        differences += fidelity.undeclared;
    }
    assert!(differences > 20, "{differences}");
    let same = placed(&all(&production));
    assert_eq!(compare(&same, &same, &Clone::clone, &[]).undeclared, 0);
}

/// What a copy says of everything that looks as if it must not leave production: the stack gets a mark for each.
fn marked(mut stack: StackSpec, copy: &Copy, sources: &[Source<'_>]) -> StackSpec {
    // Hosts are looked for once every object has its mark.
    for _ in 0..2 {
        let Err(Error::Unmarked(unmarked)) = copy.rewrite(sources, &stack, &|_, _| "generated".to_owned())
        else {
            break;
        };
        for (index, one) in unmarked.iter().enumerate() {
            if !one.calls.is_empty() {
                let fields: Vec<&String> = one.calls.iter().map(|(_, field)| field).collect();
                let target = json!({"kind": one.object.kind, "name": one.object.name});
                let rules = &mut stack.copies.get_or_insert_default().rules;
                let name = format!("hosts-{}", rules.len());
                rules.push(
                    serde_json::from_value(json!({"name": name, "target": target, "hosts": fields})).unwrap(),
                );
                continue;
            }
            for (number, host) in one.hosts.iter().enumerate() {
                stack.production_only.push(
                    serde_json::from_value(json!({"name": format!("host-{index}-{number}"), "host": host,
                        "standIn": {"host": "mock.bank"}}))
                    .unwrap(),
                );
            }
            if !one.hosts.is_empty() {
                continue;
            }
            let object = sources.iter().find(|source| {
                source.value["kind"] == one.object.kind.as_str()
                    && source.value["metadata"]["name"] == one.object.name.as_str()
            });
            let value = object.unwrap().value;
            let keys: BTreeSet<&String> = ["data", "stringData"]
                .iter()
                .filter_map(|field| value[*field].as_object())
                .flat_map(serde_json::Map::keys)
                .collect();
            let stand_in = match one.object.kind.as_str() {
                "Secret" => json!({"secret": {"generate": keys}}),
                "PersistentVolumeClaim" | "StatefulSet" => json!({"volume": "empty"}),
                _ => json!({"omit": true}),
            };
            stack.production_only.push(
                serde_json::from_value(json!({"name": format!("kept-{index}"),
                    "target": {"kind": one.object.kind, "name": one.object.name}, "standIn": stand_in}))
                .unwrap(),
            );
        }
    }
    stack
}

fn check_copy(
    production: &[(String, Vec<Value>)],
    changed: &[(String, Vec<Value>)],
    destination: Value,
    kinds: &[&str],
) {
    let original: EnvironmentSpec =
        serde_json::from_value(json!({"stack": "bank", "destination": destination})).unwrap();
    let stack: StackSpec = serde_json::from_value(json!({
        "components": [{"name": "all", "source": {"repo": "https://git/a"}}],
        "allow": {"clusterKinds": kinds},
    }))
    .unwrap();
    let copy = Copy::new("mine", ("production", &original), &stack, "localhost").unwrap();
    let values = |components: &[(String, Vec<Value>)]| all(components);
    let (base, with_override) = (values(production), values(changed));
    let sources = |objects: &[Value]| -> Vec<(Value, Scope)> {
        objects.iter().map(|value| (value.clone(), scope(value))).collect()
    };
    let (base_sources, changed_sources) = (sources(&base), sources(&with_override));
    let base_sources: Vec<Source<'_>> =
        base_sources.iter().map(|(value, scope)| Source { component: "all", value, scope: *scope }).collect();
    let changed_sources: Vec<Source<'_>> = changed_sources
        .iter()
        .map(|(value, scope)| Source { component: "all", value, scope: *scope })
        .collect();
    let stack = marked(marked(stack, &copy, &base_sources), &copy, &changed_sources);
    let password = |_: &str, _: &str| "generated".to_owned();

    let made = copy.rewrite(&base_sources, &stack, &password).unwrap();
    let right: Vec<Value> = made.objects.iter().map(|kept| kept.value.clone()).collect();
    let left = placed(&base);
    let fresh = compare(&left, &right, &|id| copy.identity(id), &made.record);
    assert_eq!(
        fresh.undeclared,
        0,
        "{:#?}",
        fresh.differences.iter().filter(|d| d.class == Class::Undeclared).collect::<Vec<_>>()
    );
    assert!(fresh.identical > 0);
    for object in &right {
        let namespace = object["metadata"]["namespace"].as_str().unwrap();
        assert!(namespace.starts_with("mine-"), "{object}");
    }

    // With all of it overridden by another overlay, what that changes is an override, and nothing else.
    let made = copy.rewrite(&changed_sources, &stack, &password).unwrap();
    let right: Vec<Value> = made.objects.iter().map(|kept| kept.value.clone()).collect();
    let mut record = deviations(&left, &placed(&with_override), "all at staging");
    record.extend(made.record.clone());
    let overridden = compare(&left, &right, &|id| copy.identity(id), &record);
    assert_eq!(
        overridden.undeclared,
        0,
        "{:#?}",
        overridden.differences.iter().filter(|d| d.class == Class::Undeclared).collect::<Vec<_>>()
    );
    let changes = overridden.differences.iter().filter(|d| d.class == Class::Override).count();
    assert!(changes > 0);
    // Without that record, each of them is found.
    let unexplained = compare(&left, &right, &|id| copy.identity(id), &made.record);
    assert!(unexplained.undeclared > 0);
}

#[test]
fn a_copy_of_production_has_no_undeclared_difference() {
    let Some(tree) = corpus("GoogleCloudPlatform--bank-of-anthos") else { return };
    let (production, staging) = (overlays(&tree, "production"), overlays(&tree, "staging"));
    // As if production's overlay said on a branch what staging's says.
    let branch = serde_json::to_string(&staging).unwrap();
    let branch = branch.replace("bank-of-anthos-staging", "bank-of-anthos-production");
    let branch: Vec<(String, Vec<Value>)> = serde_json::from_str(&branch).unwrap();
    check_copy(&production, &branch, json!({"namespace": "bank-of-anthos-production"}), &[]);
}

#[test]
fn several_namespaces_and_what_lives_in_the_cluster_are_copied_as_well() {
    let Some(tree) = corpus("fluxcd--flux2-kustomize-helm-example") else { return };
    let parts = |overlay: &str| -> Vec<(String, Vec<Value>)> {
        ["infrastructure/controllers", "infrastructure/configs", overlay]
            .iter()
            .filter_map(|path| Some(((*path).to_owned(), rendered(&tree, path)?)))
            .collect()
    };
    let (production, staging) = (parts("apps/production"), parts("apps/staging"));
    assert_eq!(production.len(), 3);
    let namespaces: BTreeSet<String> = all(&production)
        .iter()
        .filter_map(|object| object["metadata"]["namespace"].as_str().map(str::to_owned))
        .collect();
    assert!(namespaces.len() > 2, "{namespaces:?}");
    let destination = json!({"namespace": NAMESPACE, "namespaces": namespaces});
    check_copy(&production, &staging, destination, &["Namespace", "ClusterIssuer.cert-manager.io"]);
}
