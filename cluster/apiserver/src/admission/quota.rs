//! ResourceQuota: what a namespace may use, counted from the objects themselves.

use std::collections::BTreeMap;

use seaway_kinds::quantity::Quantity;
use serde_json::{Map, Value};

use super::limits::total;
use crate::catalog::Served;
use crate::store::Store;

type Amounts = BTreeMap<String, Quantity>;

/// What one object of a kind counts for.
fn usage_of(group: &str, plural: &str, object: &Value) -> Amounts {
    let mut used = Amounts::new();
    let one = Quantity::from_integer(1);
    let suffix = if group.is_empty() { String::new() } else { format!(".{group}") };
    let mut add = |name: String, amount: Quantity| {
        used.insert(name, amount);
    };
    add(format!("count/{plural}{suffix}"), one);
    if !group.is_empty() {
        return used;
    }
    let amount = |v: &Value| Quantity::from_value(v).unwrap_or(Quantity::ZERO);
    match plural {
        "configmaps" | "secrets" | "persistentvolumeclaims" | "replicationcontrollers" | "resourcequotas" => {
            add(plural.into(), one);
            if plural == "persistentvolumeclaims" {
                add("requests.storage".into(), amount(&object["spec"]["resources"]["requests"]["storage"]));
            }
        }
        "services" => {
            add(plural.into(), one);
            let kind = object["spec"]["type"].as_str().unwrap_or_default();
            let ports = object["spec"]["ports"].as_array().map_or(0, Vec::len);
            if matches!(kind, "NodePort" | "LoadBalancer") {
                add(
                    "services.nodeports".into(),
                    Quantity::from_integer(i64::try_from(ports).unwrap_or(i64::MAX)),
                );
            }
            if kind == "LoadBalancer" {
                add("services.loadbalancers".into(), one);
            }
        }
        "pods" => {
            // A finished pod uses nothing any more but its own object.
            if matches!(object["status"]["phase"].as_str(), Some("Succeeded" | "Failed")) {
                return used;
            }
            add("pods".into(), one);
            for (field, prefix) in [("requests", "requests."), ("limits", "limits.")] {
                for (resource, value) in total(&object["spec"], field).as_object().into_iter().flatten() {
                    add(format!("{prefix}{resource}"), amount(value));
                    if field == "requests"
                        && matches!(resource.as_str(), "cpu" | "memory" | "ephemeral-storage")
                    {
                        add(resource.clone(), amount(value));
                    }
                }
            }
        }
        _ => {}
    }
    used
}

/// Whether a quota with scopes is about this pod; quotas without scopes are about everything.
fn in_scope(quota: &Value, plural: &str, object: &Value) -> bool {
    let spec = &quota["spec"];
    let scopes = spec["scopes"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let mut scopes = scopes.map(|scope| (scope, "Exists", vec![])).collect::<Vec<_>>();
    for expression in spec["scopeSelector"]["matchExpressions"].as_array().into_iter().flatten() {
        let text = |field: &str| expression[field].as_str().unwrap_or_default();
        let values = expression["values"].as_array().into_iter().flatten().filter_map(Value::as_str);
        scopes.push((text("scopeName"), text("operator"), values.collect()));
    }
    scopes.is_empty()
        || (plural == "pods"
            && scopes
                .iter()
                .all(|(scope, operator, values)| scoped(&object["spec"], scope, operator, values)))
}

/// Whether a pod is in one scope. Only priority classes are compared; of the others a pod has the scope or not.
fn scoped(pod: &Value, scope: &str, operator: &str, values: &[&str]) -> bool {
    let terminating = pod["activeDeadlineSeconds"].is_number();
    let best_effort = || {
        let containers = ["initContainers", "containers"].into_iter();
        containers.flat_map(|l| pod[l].as_array().into_iter().flatten()).all(|c| {
            let some = |field: &str| c["resources"][field].as_object().is_some_and(|r| !r.is_empty());
            !some("requests") && !some("limits")
        })
    };
    match scope {
        "Terminating" => terminating,
        "NotTerminating" => !terminating,
        "BestEffort" => best_effort(),
        "NotBestEffort" => !best_effort(),
        "PriorityClass" => {
            let class = pod["priorityClassName"].as_str().unwrap_or_default();
            match operator {
                "In" => values.contains(&class),
                "NotIn" => !values.contains(&class),
                "DoesNotExist" => class.is_empty(),
                _ => !class.is_empty(),
            }
        }
        "CrossNamespacePodAffinity" => {
            ["podAffinity", "podAntiAffinity"].iter().any(|kind| crosses_namespaces(&pod["affinity"][kind]))
        }
        _ => false,
    }
}

/// Whether terms of a pod affinity name other namespaces.
fn crosses_namespaces(affinity: &Value) -> bool {
    let terms = |field: &str| affinity[field].as_array().into_iter().flatten();
    let required = terms("requiredDuringSchedulingIgnoredDuringExecution");
    let preferred = terms("preferredDuringSchedulingIgnoredDuringExecution").map(|t| &t["podAffinityTerm"]);
    required.chain(preferred).any(|term| {
        term["namespaces"].as_array().is_some_and(|n| !n.is_empty()) || term["namespaceSelector"].is_object()
    })
}

fn hard(quota: &Value) -> Amounts {
    let hard = quota["spec"]["hard"].as_object().into_iter().flatten();
    hard.filter_map(|(name, value)| Some((name.clone(), Quantity::from_value(value).ok()?))).collect()
}

/// The stored resources that a quota can name.
fn counted(hard: &Amounts) -> Vec<(String, String)> {
    let mut out: Vec<(String, String)> = Vec::new();
    for name in hard.keys() {
        let (plural, group) = match name.as_str() {
            n if n.starts_with("count/") => {
                let n = &n["count/".len()..];
                n.split_once('.').map_or((n, ""), |(plural, group)| (plural, group))
            }
            n if n.starts_with("services") => ("services", ""),
            "configmaps"
            | "secrets"
            | "persistentvolumeclaims"
            | "replicationcontrollers"
            | "resourcequotas" => (name.as_str(), ""),
            "requests.storage" => ("persistentvolumeclaims", ""),
            _ => ("pods", ""),
        };
        let pair = (group.to_owned(), plural.to_owned());
        if !out.contains(&pair) {
            out.push(pair);
        }
    }
    out
}

/// What the namespace's objects use of what a quota bounds. `except` is left out (it is being updated).
fn used(store: &Store, namespace: &str, quota: &Value, except: Option<(&str, &str)>) -> Amounts {
    let hard = hard(quota);
    let mut sum: Amounts = hard.keys().map(|name| (name.clone(), Quantity::ZERO)).collect();
    for (group, plural) in counted(&hard) {
        let storage = format!("{group}/{plural}");
        for entry in store.all(&storage, Some(namespace)) {
            if except == Some((storage.as_str(), entry.key.name.as_str())) {
                continue;
            }
            let object = entry.value();
            if in_scope(quota, &plural, &object) {
                for (name, amount) in usage_of(&group, &plural, &object) {
                    if let Some(total) = sum.get_mut(&name) {
                        *total = total.plus(&amount);
                    }
                }
            }
        }
    }
    sum
}

fn list(amounts: &Amounts, names: &[&String]) -> String {
    names.iter().filter_map(|n| Some(format!("{n}={}", amounts.get(*n)?))).collect::<Vec<_>>().join(",")
}

/// Whether the namespace has quotas at all.
pub(crate) fn quotas(store: &Store, namespace: &str) -> Vec<Value> {
    store.all("/resourcequotas", Some(namespace)).iter().map(|e| e.value()).collect()
}

/// The reason why an object does not fit the quotas of its namespace any more.
pub(super) fn refusal(
    store: &Store,
    served: &Served,
    quotas: &[Value],
    before: Option<&Value>,
    object: &Value,
) -> Option<String> {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
    let (namespace, name) = (text("namespace"), text("name"));
    let wanted = usage_of(served.group(), served.plural(), object);
    for quota in quotas.iter().filter(|q| in_scope(q, served.plural(), object)) {
        let quota_name = quota["metadata"]["name"].as_str().unwrap_or_default();
        let hard = hard(quota);
        if served.group().is_empty()
            && served.plural() == "pods"
            && before.is_none()
            && let Some(missing) = unspecified(&hard, &object["spec"])
        {
            return Some(format!("failed quota: {quota_name}: must specify {missing}"));
        }
        let bounded: Vec<&String> = wanted.keys().filter(|n| hard.contains_key(*n)).collect();
        if bounded.is_empty() {
            continue;
        }
        let others = used(store, namespace, quota, Some((&served.storage, name)));
        let over: Vec<&String> = bounded
            .into_iter()
            .filter(|n| others[*n].plus(&wanted[*n]) > hard[*n] && !wanted[*n].is_zero())
            // An update that asks for no more than before is not refused.
            .filter(|n| {
                let old = before.map(|b| usage_of(served.group(), served.plural(), b));
                old.and_then(|old| old.get(*n).copied()).is_none_or(|old| wanted[*n] > old)
            })
            .collect();
        if !over.is_empty() {
            return Some(format!(
                "exceeded quota: {quota_name}, requested: {}, used: {}, limited: {}",
                list(&wanted, &over),
                list(&others, &over),
                list(&hard, &over)
            ));
        }
    }
    None
}

/// What every container must say when a quota bounds it: `limits.cpu for: a,b; requests.memory for: a`.
fn unspecified(hard: &Amounts, spec: &Value) -> Option<String> {
    let mut missing = Vec::new();
    for name in hard.keys() {
        let (field, resource) = match name.as_str() {
            "cpu" | "memory" => ("requests", name.as_str()),
            n => match n.split_once('.') {
                Some((field @ ("requests" | "limits"), resource @ ("cpu" | "memory"))) => (field, resource),
                _ => continue,
            },
        };
        let lists = ["initContainers", "containers"].into_iter();
        let silent: Vec<&str> = lists
            .flat_map(|l| spec[l].as_array().into_iter().flatten())
            .filter(|c| c["resources"][field][resource].is_null())
            .filter_map(|c| c["name"].as_str())
            .collect();
        if !silent.is_empty() {
            missing.push(format!("{name} for: {}", silent.join(",")));
        }
    }
    (!missing.is_empty()).then(|| missing.join("; "))
}

/// `status.hard` and `status.used` as they are now.
pub(crate) fn status(store: &Store, namespace: &str, quota: &Value) -> Value {
    let used: Map<String, Value> =
        used(store, namespace, quota, None).into_iter().map(|(n, a)| (n, a.to_string().into())).collect();
    serde_json::json!({"hard": quota["spec"]["hard"], "used": used})
}
