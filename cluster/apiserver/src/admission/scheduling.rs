//! What a pod needs to be scheduled and evicted: its priority, and how long it stays on a node that fails.

use serde_json::{Value, json};

use crate::api::Api;
use crate::status::{ApiError, Result};
use crate::store::ObjectKey;

const CLASSES: &str = "scheduling.k8s.io/priorityclasses";
/// Taints of a node that is not well.
const FAILING: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];
/// Seconds that pods stay on such a node when they say nothing.
const PATIENCE: i64 = 300;

/// Resolves `priorityClassName`, or takes the cluster's default class.
pub(super) fn priority(api: &Api, pod: &mut Value) -> Result<()> {
    let name = pod["spec"]["priorityClassName"].as_str().unwrap_or_default().to_owned();
    let class = if name.is_empty() {
        let all = api.store.all(CLASSES, None).into_iter().map(|e| e.value());
        all.filter(|c| c["globalDefault"] == true).min_by_key(|c| c["value"].as_i64())
    } else {
        let found = api.store.get(CLASSES, &ObjectKey::new("", name.as_str())).map(|e| e.value());
        Some(found.ok_or_else(|| refuse(pod, &format!("no PriorityClass with name {name} was found")))?)
    };
    let value = class.as_ref().and_then(|c| c["value"].as_i64()).unwrap_or(0);
    let policy =
        class.as_ref().and_then(|c| c["preemptionPolicy"].as_str()).unwrap_or("PreemptLowerPriority");
    let computed = "priority admission controller computed";
    let source = "from the given PriorityClass name";
    let spec = &pod["spec"];
    if let Some(given) = spec["priority"].as_i64().filter(|given| *given != value) {
        let why = format!(
            "the integer value of priority ({given}) must not be provided in pod spec; {computed} {value} {source}"
        );
        return Err(refuse(pod, &why));
    }
    if let Some(given) = spec["preemptionPolicy"].as_str().filter(|given| *given != policy) {
        let why = format!(
            "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; {computed} {policy} {source}"
        );
        return Err(refuse(pod, &why));
    }
    let policy = policy.to_owned();
    let spec = &mut pod["spec"];
    if let Some(class) = class {
        spec["priorityClassName"] = class["metadata"]["name"].clone();
    }
    spec["priority"] = value.into();
    spec["preemptionPolicy"] = policy.into();
    Ok(())
}

/// An update that leaves out what was computed keeps it.
pub(super) fn keep_priority(before: &Value, pod: &mut Value) {
    if before["spec"]["priorityClassName"] != pod["spec"]["priorityClassName"] {
        return;
    }
    for field in ["priority", "preemptionPolicy"] {
        if pod["spec"][field].is_null() && !before["spec"][field].is_null() {
            pod["spec"][field] = before["spec"][field].clone();
        }
    }
}

fn refuse(pod: &Value, why: &str) -> ApiError {
    ApiError::forbidden("", "pods", pod["metadata"]["name"].as_str().unwrap_or_default(), why)
}

/// Tolerates failing nodes for a while, unless the pod says how long.
pub(super) fn default_tolerations(spec: &mut Value) {
    for taint in FAILING {
        let covers = |t: &Value| {
            let text = |field: &str| t[field].as_str().unwrap_or_default();
            (text("key").is_empty() || text("key") == taint)
                && (text("effect").is_empty() || text("effect") == "NoExecute")
        };
        let toleration =
            json!({"key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": PATIENCE});
        match spec["tolerations"].as_array_mut() {
            Some(list) if list.iter().any(covers) => {}
            Some(list) => list.push(toleration),
            None => spec["tolerations"] = json!([toleration]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_says_nothing_stays_five_minutes_on_a_failing_node() {
        let mut spec =
            json!({"tolerations": [{"key": FAILING[0], "operator": "Exists", "tolerationSeconds": 5}]});
        default_tolerations(&mut spec);
        assert_eq!(spec["tolerations"].as_array().map(Vec::len), Some(2));
        assert_eq!(spec["tolerations"][1]["key"], FAILING[1]);
        let mut all = json!({"tolerations": [{"operator": "Exists"}]});
        default_tolerations(&mut all);
        assert_eq!(all, json!({"tolerations": [{"operator": "Exists"}]}));
    }
}
