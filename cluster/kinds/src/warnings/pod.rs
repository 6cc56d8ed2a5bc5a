//! Pods and pod templates.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::storage::{ENDED, claim_spec, fraction};
use super::{annotation, deprecated_label, node_term};
use crate::field_error::Path;
use crate::fields::{at, entries, integer, items, text};

const NO_POD: &str = "a null labelSelector results in matching no pod";
const OLD_ANNOTATIONS: [(&str, &str); 3] = [
    (
        "scheduler.alpha.kubernetes.io/critical-pod",
        r#"non-functional in v1.16+; use the "priorityClassName" field instead"#,
    ),
    ("security.alpha.kubernetes.io/sysctls", r#"non-functional in v1.11+; use the "sysctls" field instead"#),
    (
        "security.alpha.kubernetes.io/unsafe-sysctls",
        r#"non-functional in v1.11+; use the "sysctls" field instead"#,
    ),
];

/// What to tell about a Pod, or about a pod template at `path`.
pub(super) fn warn(warnings: &mut Vec<String>, pod: &Value, path: &Path) {
    let empty = Value::Null;
    let spec = pod.get("spec").unwrap_or(&empty);
    let annotations = path.child("metadata.annotations");
    let path = path.child("spec");
    scheduling(warnings, spec, &path);
    for (name, why) in OLD_ANNOTATIONS {
        if annotation(pod, name).is_some() {
            warnings.push(format!("{}: {why}", annotations.key(name)));
        }
    }
    volumes(warnings, spec, &path.child("volumes"));
    tokens(warnings, spec, &path.child("volumes"));
    repeated(warnings, spec, "hostAliases", "ip", &path);
    repeated(warnings, spec, "imagePullSecrets", "name", &path);
    for (index, secret) in items(spec, "imagePullSecrets").iter().enumerate() {
        if text(secret, "name").is_empty() {
            let path = path.child("imagePullSecrets").index(index).child("name");
            warnings.push(format!("{path}: invalid empty name \"\""));
        }
    }
    for resource in ["memory", "ephemeral-storage"] {
        fraction(warnings, spec.get("overhead"), resource, &path.child("overhead"));
    }
    const SECCOMP: &str = "seccomp.security.alpha.kubernetes.io/pod";
    const SECCOMP_FIELD: &str = r#"non-functional in v1.27+; use the "seccompProfile" field instead"#;
    if at(spec, "securityContext.seccompProfile").is_none() && annotation(pod, SECCOMP).is_some() {
        warnings.push(format!("{}: {SECCOMP_FIELD}", annotations.key(SECCOMP)));
    }
    let armored = at(spec, "securityContext.appArmorProfile").is_some();
    for (container, path) in containers(spec, &path) {
        let name = text(container, "name");
        let has = |field: &str| {
            at(container, "securityContext").is_some_and(|context| at(context, field).is_some())
        };
        let key = format!("container.seccomp.security.alpha.kubernetes.io/{name}");
        if !has("seccompProfile") && annotation(pod, &key).is_some() {
            warnings.push(format!("{}: {SECCOMP_FIELD}", annotations.key(&key)));
        }
        let key = format!("container.apparmor.security.beta.kubernetes.io/{name}");
        if !armored && !has("appArmorProfile") && annotation(pod, &key).is_some() {
            warnings.push(format!(
                "{}: deprecated since v1.30; use the \"appArmorProfile\" field instead",
                annotations.key(&key)
            ));
        }
        amounts(warnings, container, &path.child("resources"));
        environment(warnings, container, &path.child("env"));
    }
    ports(warnings, spec, &path);
    if integer(spec, "terminationGracePeriodSeconds").is_some_and(|seconds| seconds < 0) {
        warnings.push(format!(
            "{}: must be >= 0; negative values are invalid and will be treated as 1",
            path.child("terminationGracePeriodSeconds")
        ));
    }
    affinity(warnings, spec, &path.child("affinity"));
}

/// All containers with their paths, in the order in which they start.
fn containers<'a>(spec: &'a Value, path: &Path) -> Vec<(&'a Value, Path)> {
    ["initContainers", "containers", "ephemeralContainers"]
        .into_iter()
        .flat_map(|list| items(spec, list).iter().enumerate().map(move |(index, one)| (list, index, one)))
        .map(|(list, index, container)| (container, path.child(list).index(index)))
        .collect()
}

/// Labels of nodes that are not used any more, and selectors that select nothing.
fn scheduling(warnings: &mut Vec<String>, spec: &Value, path: &Path) {
    for (key, _) in entries(spec, "nodeSelector") {
        if let Some(why) = deprecated_label(key) {
            warnings.push(format!("{}: {why}", path.child("nodeSelector").key(key)));
        }
    }
    const REQUIRED: &str =
        "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms";
    const PREFERRED: &str = "affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution";
    for (index, term) in items(spec, REQUIRED).iter().enumerate() {
        node_term(warnings, term, false, &path.child(REQUIRED).index(index));
    }
    for (index, term) in items(spec, PREFERRED).iter().enumerate() {
        if let Some(term) = at(term, "preference") {
            node_term(warnings, term, true, &path.child(PREFERRED).index(index).child("preference"));
        }
    }
    for (index, constraint) in items(spec, "topologySpreadConstraints").iter().enumerate() {
        let path = path.child("topologySpreadConstraints").index(index);
        let key = text(constraint, "topologyKey");
        if let Some(why) = deprecated_label(key) {
            warnings.push(format!("{}: {key} is {why}", path.child("topologyKey")));
        }
        if at(constraint, "labelSelector").is_none() {
            warnings.push(format!("{}: {NO_POD}", path.child("labelSelector")));
        }
    }
}

fn affinity(warnings: &mut Vec<String>, spec: &Value, path: &Path) {
    for kind in ["podAffinity", "podAntiAffinity"] {
        for (list, below) in [
            ("requiredDuringSchedulingIgnoredDuringExecution", "labelSelector"),
            ("preferredDuringSchedulingIgnoredDuringExecution", "podAffinityTerm.labelSelector"),
        ] {
            for (index, term) in items(spec, &format!("affinity.{kind}.{list}")).iter().enumerate() {
                if at(term, below).is_none() {
                    let path = path.child(kind).child(list).index(index).child(below);
                    warnings.push(format!("{path}: {NO_POD}"));
                }
            }
        }
    }
}

fn volumes(warnings: &mut Vec<String>, spec: &Value, path: &Path) {
    for (index, volume) in items(spec, "volumes").iter().enumerate() {
        let path = path.index(index);
        for (field, shown, why) in ENDED {
            if at(volume, field).is_some() {
                warnings.push(format!("{}: {why}", path.child(shown)));
            }
        }
        if let Some(claim) = at(volume, "ephemeral.volumeClaimTemplate.spec") {
            claim_spec(warnings, claim, &path.child("ephemeral.volumeClaimTemplate.spec"));
        }
    }
}

/// Files that would take the place of a token.
fn tokens(warnings: &mut Vec<String>, spec: &Value, path: &Path) {
    let sources = |volume: &Value| items(volume, "projected.sources").to_vec();
    let tokens: BTreeSet<String> = items(spec, "volumes")
        .iter()
        .flat_map(sources)
        .filter_map(|source| Some(text(at(&source, "serviceAccountToken")?, "path").to_owned()))
        .collect();
    let mut clash = |path: Path, file: &str| {
        if tokens.contains(file) {
            warnings.push(format!("{path}: has duplicated path with ServiceAccountToken {file:?}"));
        }
    };
    for (index, volume) in items(spec, "volumes").iter().enumerate() {
        let path = path.index(index).child("projected.sources");
        for source in sources(volume) {
            for (kind, shown) in
                [("configMap", "configMap"), ("secret", "secrets"), ("downwardAPI", "downwardAPI")]
            {
                for (index, file) in items(&source, &format!("{kind}.items")).iter().enumerate() {
                    clash(path.child(shown).index(index), text(file, "path"));
                }
            }
            if let Some(bundle) = at(&source, "clusterTrustBundle") {
                clash(path.child("ClusterTrustBundle"), text(bundle, "path"));
            }
        }
    }
}

/// Items of a list with the same key, of which one counts.
fn repeated(warnings: &mut Vec<String>, spec: &Value, list: &str, key: &str, path: &Path) {
    let mut seen = BTreeSet::new();
    for (index, item) in items(spec, list).iter().enumerate() {
        let value = text(item, key);
        if !seen.insert(value) {
            let path = path.child(list).index(index).child(key);
            warnings.push(format!("{path}: duplicate {key} {value:?}"));
        }
    }
}

fn amounts(warnings: &mut Vec<String>, container: &Value, path: &Path) {
    for resource in ["memory", "ephemeral-storage"] {
        for list in ["limits", "requests"] {
            let amounts = at(container, "resources").and_then(|resources| resources.get(list));
            fraction(warnings, amounts, resource, &path.child(list));
        }
    }
}

/// A variable that hides an earlier one is fine only when it builds on it.
fn environment(warnings: &mut Vec<String>, container: &Value, path: &Path) {
    let mut seen = BTreeSet::new();
    for (index, variable) in items(container, "env").iter().enumerate() {
        let name = text(variable, "name");
        if seen.insert(name) {
            continue;
        }
        let reference = format!("$({name})");
        let value = text(variable, "value");
        if at(variable, "valueFrom").is_some() || value == reference || !value.contains(&reference) {
            warnings.push(format!(
                "{}: hides previous definition of {name:?}, which may be dropped when using apply",
                path.index(index)
            ));
        }
    }
}

fn ports(warnings: &mut Vec<String>, spec: &Value, path: &Path) {
    let mut known: BTreeMap<(i64, &str), Vec<(&Value, Path)>> = BTreeMap::new();
    for (container, path) in containers(spec, path) {
        for (index, port) in items(container, "ports").iter().enumerate() {
            let path = path.child("ports").index(index);
            let host =
                |port: &Value| (text(port, "hostIP").to_owned(), integer(port, "hostPort").unwrap_or(0));
            let (address, number) = host(port);
            let inner = integer(port, "containerPort").unwrap_or(0);
            let protocol = text(port, "protocol");
            if !address.is_empty() && number == 0 {
                warnings.push(format!(
                    "{path}: hostIP set without hostPort: {{Name:{} HostPort:0 ContainerPort:{inner} Protocol:{protocol} HostIP:{address}}}",
                    text(port, "name")
                ));
            }
            let others = known.entry((inner, protocol)).or_default();
            for (other, other_path) in others.iter() {
                let (other_address, other_number) = host(other);
                let what = if address == other_address && number == other_number {
                    "duplicate"
                } else if number == 0 || other_number == 0 {
                    "overlapping"
                } else if number == other_number && address.is_empty() != other_address.is_empty() {
                    "dangerously ambiguous"
                } else {
                    continue;
                };
                warnings.push(format!("{path}: {what} port definition with {other_path}"));
            }
            others.push((port, path));
        }
    }
}
