//! What is accepted and still not right: the warnings that the real server sends beside its answer.
//!
//! [`for_object`] speaks about an object of a built-in kind that is created or changed, [`for_custom_object`] about
//! one of a custom kind, [`for_api`] about a kind that is on its way out, whatever is done with it. The texts are
//! those that Kubernetes' strategies write (`WarningsOnCreate`, `WarningsOnUpdate`), but for the one about what this
//! server does not do.
//!
//! Expects objects after defaulting and [`crate::strategy`], and says nothing about what [`crate::validation`]
//! refuses.

mod network;
mod pod;
mod storage;

use serde_json::Value;

use crate::field_error::Path;
use crate::fields::{at, count, entries, integer, items, text};
use crate::validation::formats::{dns_1123_label, qualified_name};

/// What to tell about a new object, or about one that was `old` before.
pub fn for_object(group: &str, kind: &str, new: &Value, old: Option<&Value>) -> Vec<String> {
    let mut warnings = Vec::new();
    let out = &mut warnings;
    match (group, kind) {
        // Who changes Pods is hardly ever a person.
        ("", "Pod") if old.is_none() => {
            name(out, new, "the Pod's hostname");
            pod::warn(out, new, &Path::root());
        }
        ("", "PodTemplate") => template(out, new, old, "template"),
        ("", "ReplicationController") | ("apps", "Deployment" | "ReplicaSet") => {
            if old.is_none() {
                name(out, new, "Pod names and hostnames");
            }
            template(out, new, old, "spec.template");
        }
        ("apps", "DaemonSet") => template(out, new, old, "spec.template"),
        ("apps", "StatefulSet") => stateful_set(out, new, old),
        ("batch", "Job") => {
            if old.is_none() {
                name(out, new, "Pod names and hostnames");
            }
            job(out, new, old, "spec");
        }
        ("batch", "CronJob") => {
            if old.is_none() {
                name(out, new, "Pod names and hostnames");
            }
            job(out, new, old, "spec.jobTemplate.spec");
        }
        ("", "Service") => network::service(out, new),
        ("", "Endpoints") => network::endpoints(out, new, old),
        ("discovery.k8s.io", "EndpointSlice") => network::endpoint_slice(out, new, old),
        ("networking.k8s.io", "NetworkPolicy") => network::policy(out, new, old),
        ("networking.k8s.io", "Ingress") => network::ingress(out, new, old),
        ("", "Node") => node(out, new),
        ("", "PersistentVolume") => storage::volume(out, new),
        ("", "PersistentVolumeClaim") => storage::claim(out, new),
        ("storage.k8s.io", "StorageClass") => storage::class(out, new),
        ("node.k8s.io", "RuntimeClass") => {
            for (key, _) in entries(new, "scheduling.nodeSelector") {
                if let Some(why) = deprecated_label(key) {
                    out.push(format!("scheduling.nodeSelector: {why}"));
                }
            }
        }
        ("", "Secret") => secret(out, new),
        ("", "ServiceAccount") => {
            const ANNOTATION: &str = "kubernetes.io/enforce-mountable-secrets";
            if annotation(new, ANNOTATION).is_some()
                && old.is_none_or(|old| annotation(old, ANNOTATION).is_none())
            {
                out.push(format!(
                    "metadata.annotations[{ANNOTATION}]: deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets"
                ));
            }
        }
        ("admissionregistration.k8s.io", _) if old.is_none() => {
            out.push(format!("this server keeps {kind} objects and does not act on them"));
        }
        _ => {}
    }
    warnings
}

/// What to tell about a new custom object, or about one that was `old` before: finalizers that could be anybody's.
pub fn for_custom_object(new: &Value, old: Option<&Value>) -> Vec<String> {
    const PATH: &str = "metadata.finalizers";
    const KNOWN: [&str; 3] = ["kubernetes", "orphan", "foregroundDeletion"];
    let known = old.map(|old| items(old, PATH)).unwrap_or_default();
    let mut added: Vec<&str> =
        items(new, PATH).iter().filter(|one| !known.contains(one)).filter_map(Value::as_str).collect();
    added.sort_unstable();
    added.dedup();
    let mut warnings = Vec::new();
    for finalizer in added {
        warnings.extend(qualified_name(finalizer).iter().map(|why| format!("{PATH}: {finalizer:?}: {why}")));
        if !finalizer.contains('/') && !KNOWN.contains(&finalizer) {
            warnings.push(format!(
                "{PATH}: {finalizer:?}: prefer a domain-qualified finalizer name including a path (/) to avoid accidental conflicts with other finalizer writers"
            ));
        }
    }
    warnings
}

/// What to tell with every answer about a kind at a version, reading or writing.
pub fn for_api(group: &str, version: &str, kind: &str) -> Option<&'static str> {
    match (group, version, kind) {
        ("", "v1", "Endpoints") => {
            Some("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice")
        }
        _ => None,
    }
}

/// A name that makes no host's name.
fn name(warnings: &mut Vec<String>, object: &Value, used: &str) {
    let wrong = dns_1123_label(text(object, "metadata.name"));
    if !wrong.is_empty() {
        warnings.push(format!(
            "metadata.name: this is used in {used}, which can result in surprising behavior; a DNS label is recommended: [{}]",
            wrong.join(" ")
        ));
    }
}

/// Whether the change is none of its makers' business: the generation stayed.
fn same_generation(new: &Value, old: Option<&Value>) -> bool {
    old.is_some_and(|old| integer(new, "metadata.generation") == integer(old, "metadata.generation"))
}

/// The pod template at `path`.
fn template(warnings: &mut Vec<String>, new: &Value, old: Option<&Value>, path: &str) {
    let counts = integer(new, "metadata.generation").is_some();
    if let Some(template) = at(new, path)
        && !(counts && same_generation(new, old))
    {
        pod::warn(warnings, template, &Path::new(path));
    }
}

fn stateful_set(warnings: &mut Vec<String>, new: &Value, old: Option<&Value>) {
    if same_generation(new, old) {
        return;
    }
    template(warnings, new, old, "spec.template");
    for (index, claim) in items(new, "spec.volumeClaimTemplates").iter().enumerate() {
        if let Some(spec) = at(claim, "spec") {
            storage::claim_spec(warnings, spec, &Path::new("spec.volumeClaimTemplates").index(index));
        }
    }
    if integer(new, "spec.revisionHistoryLimit").is_some_and(|limit| limit < 0) {
        warnings.push(
            "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended"
                .to_owned(),
        );
    }
}

fn job(warnings: &mut Vec<String>, new: &Value, old: Option<&Value>, path: &str) {
    const MANY_COMPLETIONS: i64 = 100_000;
    const MANY_AT_ONCE: i64 = 10_000;
    if same_generation(new, old) {
        return;
    }
    let Some(spec) = at(new, path) else {
        return;
    };
    let number = |name: &str| integer(spec, name).unwrap_or(0);
    if text(spec, "completionMode") == "Indexed"
        && number("completions") > MANY_COMPLETIONS
        && number("parallelism") > MANY_AT_ONCE
    {
        warnings.push(format!(
            "{path}: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail"
        ));
    }
    if let Some(template) = at(spec, "template") {
        pod::warn(warnings, template, &Path::new(path).child("template"));
    }
}

fn node(warnings: &mut Vec<String>, node: &Value) {
    if at(node, "spec.configSource").is_some() {
        warnings.push("spec.configSource: the feature is removed".to_owned());
    }
    if !text(node, "spec.externalID").is_empty() {
        warnings.push("spec.externalID: this field is deprecated, and is unused by Kubernetes".to_owned());
    }
    for (index, range) in items(node, "spec.podCIDRs").iter().filter_map(Value::as_str).enumerate() {
        network::cidr(warnings, range, &Path::new("spec.podCIDRs").index(index));
    }
}

/// A certificate and a key that are none. Whether one belongs to the other is not looked at.
fn secret(warnings: &mut Vec<String>, secret: &Value) {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    if text(secret, "type") != "kubernetes.io/tls" || count(secret, "data") == 0 {
        return;
    }
    let has_pem = |key: &str| {
        let value = at(secret, "data").and_then(|data| data.get(key)).and_then(Value::as_str);
        let bytes = STANDARD.decode(value.unwrap_or_default()).unwrap_or_default();
        x509_parser::pem::Pem::iter_from_buffer(&bytes).next().is_some_and(|block| block.is_ok())
    };
    for (key, what) in [("tls.crt", "certificate"), ("tls.key", "key")] {
        if !has_pem(key) {
            warnings.push(format!("tls: failed to find any PEM data in {what} input"));
            return;
        }
    }
}

/// An annotation of an object.
fn annotation<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    at(object, "metadata.annotations").and_then(|all| all.get(name)).and_then(Value::as_str)
}

/// What to use in place of a label of nodes that is not used any more.
fn deprecated_label(label: &str) -> Option<&'static str> {
    Some(match label {
        "beta.kubernetes.io/arch" => r#"deprecated since v1.14; use "kubernetes.io/arch" instead"#,
        "beta.kubernetes.io/os" => r#"deprecated since v1.14; use "kubernetes.io/os" instead"#,
        "failure-domain.beta.kubernetes.io/region" => {
            r#"deprecated since v1.17; use "topology.kubernetes.io/region" instead"#
        }
        "failure-domain.beta.kubernetes.io/zone" => {
            r#"deprecated since v1.17; use "topology.kubernetes.io/zone" instead"#
        }
        "beta.kubernetes.io/instance-type" => {
            r#"deprecated since v1.17; use "node.kubernetes.io/instance-type" instead"#
        }
        "app.kubernetes.io/created-by" => "deprecated since v1.9",
        "scheduler.alpha.kubernetes.io/preferAvoidPods" => {
            "deprecated since v1.22; use Taints and Tolerations instead"
        }
        "node-role.kubernetes.io/master" => r#"use "node-role.kubernetes.io/control-plane" instead"#,
        _ => return None,
    })
}

/// The expressions of a term that selects nodes. With `check_values` also values that no label can have.
fn node_term(warnings: &mut Vec<String>, term: &Value, check_values: bool, path: &Path) {
    for (index, expression) in items(term, "matchExpressions").iter().enumerate() {
        let path = path.child("matchExpressions").index(index);
        let key = text(expression, "key");
        if let Some(why) = deprecated_label(key) {
            warnings.push(format!("{}: {key} is {why}", path.child("key")));
        }
        for (index, value) in items(expression, "values").iter().filter_map(Value::as_str).enumerate() {
            for why in crate::validation::formats::label_value(value).iter().filter(|_| check_values) {
                warnings.push(format!("{}: {value} is invalid, {why}", path.child("values").index(index)));
            }
        }
    }
}

#[cfg(test)]
mod tests;
