//! LimitRange: defaults and bounds for the containers, pods and claims of a namespace.

use std::collections::BTreeMap;

use seaway_kinds::quantity::Quantity;
use serde_json::{Map, Value, json};

const CONTAINERS: [&str; 2] = ["initContainers", "containers"];

fn items<'a>(ranges: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    ranges
        .iter()
        .flat_map(|r| r["spec"]["limits"].as_array().into_iter().flatten())
        .filter(move |item| item["type"] == kind)
}

/// Fills in what a pod's containers leave open.
pub(super) fn default_pod(ranges: &[Value], spec: &mut Value) {
    for item in items(ranges, "Container") {
        for list in CONTAINERS {
            for container in spec[list].as_array_mut().into_iter().flatten() {
                for (field, defaults) in [("limits", &item["default"]), ("requests", &item["defaultRequest"])]
                {
                    let Some(defaults) = defaults.as_object().filter(|d| !d.is_empty()) else { continue };
                    if !container["resources"].is_object() {
                        container["resources"] = json!({});
                    }
                    if !container["resources"][field].is_object() {
                        container["resources"][field] = Value::Object(Map::new());
                    }
                    for (resource, amount) in defaults {
                        let slot = &mut container["resources"][field][resource];
                        if slot.is_null() {
                            *slot = amount.clone();
                        }
                    }
                }
            }
        }
    }
}

fn amount(value: &Value) -> Option<Quantity> {
    Quantity::from_value(value).ok()
}

/// Compares requests and limits with the bounds of one item.
fn check(item: &Value, requests: &Value, limits: &Value, found: &mut Vec<String>) {
    let kind = item["type"].as_str().unwrap_or_default();
    let each = |field: &str| item[field].as_object().cloned().unwrap_or_default();
    for (resource, least) in each("min") {
        let bound = text(&least);
        match (amount(&requests[&resource]), amount(&least)) {
            (None, _) => found
                .push(format!("minimum {resource} usage per {kind} is {bound}.  No request is specified")),
            (Some(request), Some(least)) if request < least => found.push(format!(
                "minimum {resource} usage per {kind} is {bound}, but request is {}",
                text(&requests[&resource])
            )),
            _ => {}
        }
    }
    for (resource, most) in each("max") {
        let bound = text(&most);
        match (amount(&limits[&resource]), amount(&most)) {
            (None, _) => {
                found.push(format!("maximum {resource} usage per {kind} is {bound}.  No limit is specified"))
            }
            (Some(limit), Some(most)) if limit > most => found.push(format!(
                "maximum {resource} usage per {kind} is {bound}, but limit is {}",
                text(&limits[&resource])
            )),
            _ => {}
        }
    }
    for (resource, ratio) in each("maxLimitRequestRatio") {
        if let (Some(request), Some(limit), Some(ratio_)) =
            (amount(&requests[&resource]), amount(&limits[&resource]), amount(&ratio))
            && request.milli_value() > 0
        {
            let actual = limit.milli_value() as f64 / request.milli_value() as f64;
            if actual > ratio_.milli_value() as f64 / 1000.0 {
                found.push(format!(
                    "{resource} max limit to request ratio per {kind} is {}, but provided ratio is {actual:.6}",
                    text(&ratio)
                ));
            }
        }
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(s) => s.clone(),
        other => other.to_string(),
    }
}

/// What a pod does beyond the bounds.
pub(super) fn check_pod(ranges: &[Value], spec: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let containers = || CONTAINERS.into_iter().flat_map(|l| spec[l].as_array().into_iter().flatten());
    for item in items(ranges, "Container") {
        for container in containers() {
            check(item, &container["resources"]["requests"], &container["resources"]["limits"], &mut found);
        }
    }
    for item in items(ranges, "Pod") {
        check(item, &total(spec, "requests"), &total(spec, "limits"), &mut found);
    }
    found
}

/// What a claim asks beyond the bounds.
pub(super) fn check_claim(ranges: &[Value], spec: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for item in items(ranges, "PersistentVolumeClaim") {
        // A claim has a request only; both bounds are of it.
        let requests = &spec["resources"]["requests"];
        check(item, requests, requests, &mut found);
    }
    found
}

type Amounts = BTreeMap<String, Quantity>;

fn add(sums: &mut Amounts, more: &Amounts) {
    for (resource, amount) in more {
        let sum = sums.entry(resource.clone()).or_insert(Quantity::ZERO);
        *sum = sum.plus(amount);
    }
}

fn raise(peak: &mut Amounts, to: &Amounts) {
    for (resource, amount) in to {
        let top = peak.entry(resource.clone()).or_insert(Quantity::ZERO);
        *top = (*top).max(*amount);
    }
}

/// What a whole pod asks for: its containers and sidecars together, or more where an init container needs more beside
/// the sidecars that run before it (KEP-753); its overhead (KEP-688); or what it says for itself as a whole (KEP-2837).
pub(super) fn total(spec: &Value, field: &str) -> Value {
    let amounts = |of: &Value| -> Amounts {
        let named = of.as_object().into_iter().flatten();
        named.map(|(name, value)| (name.clone(), amount(value).unwrap_or(Quantity::ZERO))).collect()
    };
    let containers = |list: &str| spec[list].as_array().into_iter().flatten();
    let (mut sidecars, mut peak) = (Amounts::new(), Amounts::new());
    for container in containers("initContainers") {
        let own = amounts(&container["resources"][field]);
        let mut beside = sidecars.clone();
        add(&mut beside, &own);
        raise(&mut peak, &beside);
        if container["restartPolicy"] == "Always" {
            sidecars = beside;
        }
    }
    let mut sums = sidecars;
    for container in containers("containers") {
        add(&mut sums, &amounts(&container["resources"][field]));
    }
    raise(&mut sums, &peak);
    for (resource, amount) in amounts(&spec["resources"][field]) {
        sums.insert(resource, amount);
    }
    let mut overhead = amounts(&spec["overhead"]);
    // What is not limited does not become so.
    overhead.retain(|resource, _| field == "requests" || sums.contains_key(resource));
    add(&mut sums, &overhead);
    Value::Object(sums.into_iter().map(|(resource, sum)| (resource, sum.to_string().into())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range() -> Vec<Value> {
        vec![json!({"spec": {"limits": [{"type": "Container", "default": {"cpu": "500m"},
            "defaultRequest": {"cpu": "100m"}, "max": {"cpu": "1"}, "min": {"cpu": "50m"}}]}})]
    }

    #[test]
    fn open_requests_and_limits_are_filled_in() {
        let mut spec =
            json!({"containers": [{"name": "a"}, {"name": "b", "resources": {"limits": {"cpu": "1"}}}]});
        default_pod(&range(), &mut spec);
        assert_eq!(
            spec["containers"][0]["resources"],
            json!({"limits": {"cpu": "500m"}, "requests": {"cpu": "100m"}})
        );
        assert_eq!(spec["containers"][1]["resources"]["limits"]["cpu"], "1");
        assert!(check_pod(&range(), &spec).is_empty());
    }

    #[test]
    fn what_is_beyond_the_bounds_is_told() {
        let spec = json!({"containers": [{"name": "a", "resources":
            {"limits": {"cpu": "2"}, "requests": {"cpu": "10m"}}}]});
        assert_eq!(
            check_pod(&range(), &spec),
            [
                "minimum cpu usage per Container is 50m, but request is 10m",
                "maximum cpu usage per Container is 1, but limit is 2"
            ]
        );
    }

    #[test]
    fn a_pod_asks_for_what_runs_at_the_same_time() {
        let of = |cpu: &str, kind: &str| {
            let mut container = json!({"name": "c", "resources": {"requests": {"cpu": cpu}}});
            if kind == "sidecar" {
                container["restartPolicy"] = "Always".into();
            }
            container
        };
        let mut spec = json!({"initContainers": [of("2", ""), of("300m", "sidecar"), of("3", "")],
            "containers": [of("1", ""), of("500m", "")]});
        assert_eq!(total(&spec, "requests"), json!({"cpu": "3300m"}));
        spec["initContainers"][2]["resources"]["requests"]["cpu"] = "1".into();
        spec["initContainers"][0]["resources"]["requests"]["cpu"] = "1".into();
        assert_eq!(total(&spec, "requests"), json!({"cpu": "1800m"}));
        spec["overhead"] = json!({"cpu": "100m", "memory": "1Mi"});
        assert_eq!(total(&spec, "requests"), json!({"cpu": "1900m", "memory": "1Mi"}));
        assert_eq!(total(&spec, "limits"), json!({}));
        spec["resources"] = json!({"requests": {"cpu": "4"}});
        assert_eq!(total(&spec, "requests"), json!({"cpu": "4100m", "memory": "1Mi"}));
    }
}
